//! Lists of an organization's members, limited to those that the reader may see.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::authority::access::Permit;
use crate::authority::membership::MemberStatus;
use crate::authority::rights::Role;
use crate::base::error::{Error, Result};
use crate::base::id::{MemberId, OrganizationId, TypedId};
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::sql::{Statements, parameters};
use crate::base::text;
use crate::membership::member::{COLUMNS, Member};

/// The order in which members are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MemberOrder {
    /// By name, ignoring case.
    #[default]
    Name,
    /// By the time when they joined.
    JoinedAt,
    /// By role, from the owner to the viewers.
    Role,
}

/// A member's sort key in an order, without their id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SortKey {
    Name(String),
    JoinedAt(DateTime<Utc>),
    Role(u8),
}

impl SortKey {
    fn is_of(&self, order: MemberOrder) -> bool {
        match self {
            Self::Name(_) => order == MemberOrder::Name,
            Self::JoinedAt(_) => order == MemberOrder::JoinedAt,
            Self::Role(_) => order == MemberOrder::Role,
        }
    }

    fn name(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::JoinedAt(_) | Self::Role(_) => None,
        }
    }

    fn joined_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::JoinedAt(at) => Some(*at),
            Self::Name(_) | Self::Role(_) => None,
        }
    }

    /// The role's position among all roles, counted from 1 as in SQL.
    fn rank(&self) -> Option<i32> {
        match self {
            Self::Role(rank) => Some(i32::from(*rank) + 1),
            Self::Name(_) | Self::JoinedAt(_) => None,
        }
    }
}

/// The members that a list is limited to.
#[derive(Debug, Clone, Default)]
pub struct MemberFilter {
    /// Only members with this role.
    pub role: Option<Role>,
    /// Only memberships with this status.
    pub status: Option<MemberStatus>,
    /// Only members whose name or username contains this text; for owner and admins, also whose email address does.
    pub search: Option<String>,
}

/// The members that the permit shows and the filter admits (R2, R7, D9): all members with certain statuses and roles,
/// each combination of which is one range of an index, and the reader's own membership if it isn't among them.
struct VisibleMembers {
    organization_id: OrganizationId,
    ranges: Vec<(MemberStatus, Role)>,
    own: Option<MemberId>,
    /// The pattern that names must match; for owner and admins, names or addresses.
    search: Option<String>,
    searches_addresses: bool,
}

impl VisibleMembers {
    fn of(permit: &Permit, filter: &MemberFilter) -> Self {
        let standing = permit.standing();
        let leads = standing.leads();
        let wants_status = |status: MemberStatus| {
            filter.status.is_none_or(|wanted| wanted == status) && (leads || status == MemberStatus::Active)
        };
        let wants_role = |role: Role| filter.role.is_none_or(|wanted| wanted == role);
        let roles: Vec<Role> =
            Role::ALL.iter().copied().filter(|role| wants_role(*role) && standing.sees_members_of(*role)).collect();
        let statuses = MemberStatus::ALL.iter().copied().filter(|status| wants_status(*status));
        let is_own_shown = |role: Role| roles.contains(&role) || !wants_role(role);
        let wants_own = wants_status(MemberStatus::Active) && standing.role().is_some_and(|role| !is_own_shown(role));
        Self {
            organization_id: permit.organization_id(),
            ranges: statuses.flat_map(|status| roles.iter().map(move |role| (status, *role))).collect(),
            own: permit.member_id().filter(|_| wants_own),
            search: text::searched(filter.search.as_deref()).as_deref().map(text::like_pattern),
            searches_addresses: leads,
        }
    }

    fn search_in(&self) -> Option<SearchIn> {
        self.search.as_ref()?;
        Some(if self.searches_addresses { SearchIn::NamesAndAddresses } else { SearchIn::Names })
    }

    /// Whether an index finds the matches of the search. A trigram needs three characters.
    fn has_trigrams(&self) -> bool {
        // The pattern has a wildcard at each end.
        self.search.as_ref().is_some_and(|pattern| pattern.chars().count() >= 5)
    }
}

/// A row of the list, with the sort key for cursors.
#[derive(QueryableByName)]
struct MemberRow {
    #[diesel(embed)]
    member: Member,
    #[diesel(sql_type = Text)]
    sort_name: String,
}

impl MemberRow {
    fn sort_key(&self, order: MemberOrder) -> SortKey {
        match order {
            MemberOrder::Name => SortKey::Name(self.sort_name.clone()),
            MemberOrder::JoinedAt => SortKey::JoinedAt(self.member.joined_at),
            MemberOrder::Role => SortKey::Role(self.member.role as u8),
        }
    }
}

type MemberSlice = Slice<(SortKey, MemberId)>;

/// The ids within a role between which the page lies when members are ordered by role; `None` if the page contains none
/// of the role.
fn ids_within(slice: &MemberSlice, role: Role) -> Option<(Uuid, Uuid)> {
    let after = match &slice.after {
        Some((SortKey::Role(rank), _)) if *rank > role as u8 => return None,
        Some((SortKey::Role(rank), id)) if *rank == role as u8 => id.uuid(),
        _ => Uuid::nil(),
    };
    let before = match &slice.before {
        Some((SortKey::Role(rank), _)) if *rank < role as u8 => return None,
        Some((SortKey::Role(rank), id)) if *rank == role as u8 => id.uuid(),
        _ => Uuid::max(),
    };
    Some((after, before))
}

/// The columns that are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SearchIn {
    Names,
    NamesAndAddresses,
}

/// The search as a condition on the members `m`.
fn search_condition(search: Option<SearchIn>) -> &'static str {
    match search {
        None => "",
        Some(SearchIn::Names) => " AND m.search_names LIKE :pattern",
        // The email address of an ended membership isn't shown any more, so it isn't searched either.
        Some(SearchIn::NamesAndAddresses) => {
            " AND (m.search_names LIKE :pattern OR m.search_email LIKE :pattern AND m.status = 'active')"
        }
    }
}

/// The condition on the members `m` that are shown.
fn shown_condition(with_own: bool) -> &'static str {
    match with_own {
        true => "(m.status = ANY (:statuses) AND m.role = ANY (:roles) OR m.id = :own_id)",
        false => "m.status = ANY (:statuses) AND m.role = ANY (:roles)",
    }
}

/// Everything that the statement of a page depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PageShape {
    order: MemberOrder,
    after: bool,
    before: bool,
    backward: bool,
    with_own: bool,
    search: Option<SearchIn>,
    has_trigrams: bool,
}

impl PageShape {
    /// The text of the statement.
    ///
    /// If the search can use trigrams, what they find is sorted. Otherwise the statement reads at most a page of each
    /// range by the index for the order, and merges them. A search without trigrams does the same and filters the rows
    /// on the way.
    fn text(&self) -> String {
        const RANK: &str = "array_position(ARRAY['owner', 'admin', 'member', 'viewer'], role)";
        let direction = if self.backward { "DESC" } else { "ASC" };
        let (key, cursor) = match self.order {
            MemberOrder::Name => ("sort_name", "name"),
            MemberOrder::JoinedAt => ("joined_at", "joined_at"),
            MemberOrder::Role => (RANK, "rank"),
        };
        let column = match self.order {
            MemberOrder::Name | MemberOrder::JoinedAt => format!("m.{key}"),
            MemberOrder::Role => RANK.to_owned(),
        };
        let mut bounds = String::new();
        if self.after {
            bounds += &format!(" AND ({column}, m.id) > (:after_{cursor}, :after_id)");
        }
        if self.before {
            bounds += &format!(" AND ({column}, m.id) < (:before_{cursor}, :before_id)");
        }
        let search = search_condition(self.search);
        let sorted = format!("ORDER BY {key} {direction}, id {direction} LIMIT :most");
        if self.has_trigrams {
            let shown = shown_condition(self.with_own);
            return format!(
                "SELECT {COLUMNS} FROM members m WHERE m.organization_id = :organization_id AND {shown}{search}{bounds} {sorted}"
            );
        }
        // Within one role, the order is that of the ids.
        let (bounds_of_range, sorted_range) = match self.order {
            MemberOrder::Name | MemberOrder::JoinedAt => (bounds.as_str(), sorted.clone()),
            MemberOrder::Role => (
                " AND m.id > range.after_id AND m.id < range.before_id",
                format!("ORDER BY m.id {direction} LIMIT :most"),
            ),
        };
        format!(
            include_str!("member_ranges.sql"),
            columns = COLUMNS,
            bounds_of_range = bounds_of_range,
            search = search,
            sorted_range = sorted_range,
            bounds = bounds,
            sorted = sorted,
        )
    }
}

parameters! {
    struct PageParameters {
        organization_id: SqlUuid = OrganizationId,
        /// The ranges, and the ids between which the page lies in each.
        statuses: Array<Text> = Vec<MemberStatus>,
        roles: Array<Text> = Vec<Role>,
        after_ids: Array<SqlUuid> = Vec<Uuid>,
        before_ids: Array<SqlUuid> = Vec<Uuid>,
        own_id: Nullable<SqlUuid> = Option<MemberId>,
        pattern: Nullable<Text> = Option<String>,
        most: BigInt = i64,
        after_name: Nullable<Text> = Option<String>,
        after_joined_at: Nullable<Timestamptz> = Option<DateTime<Utc>>,
        after_rank: Nullable<Integer> = Option<i32>,
        after_id: Nullable<SqlUuid> = Option<MemberId>,
        before_name: Nullable<Text> = Option<String>,
        before_joined_at: Nullable<Timestamptz> = Option<DateTime<Utc>>,
        before_rank: Nullable<Integer> = Option<i32>,
        before_id: Nullable<SqlUuid> = Option<MemberId>,
    }
}

parameters! {
    struct CountParameters {
        organization_id: SqlUuid = OrganizationId,
        statuses: Array<Text> = Vec<MemberStatus>,
        roles: Array<Text> = Vec<Role>,
        own_id: Nullable<SqlUuid> = Option<MemberId>,
        pattern: Nullable<Text> = Option<String>,
    }
}

fn count_text((with_own, search): &(bool, Option<SearchIn>)) -> String {
    format!(
        "SELECT count(*) AS count FROM members m WHERE m.organization_id = :organization_id AND {}{}",
        shown_condition(*with_own),
        search_condition(*search)
    )
}

/// Returns a page of the members that the permit shows (R2, R7, R13, R15, D9). The cost is the same for every page and
/// doesn't depend on the number of members; a search costs as much as it finds.
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    filter: &MemberFilter,
    order: MemberOrder,
    page: &PageRequest,
) -> Result<Page<Member>> {
    let slice: MemberSlice = page.slice()?;
    for (name, cursor) in [("after", &slice.after), ("before", &slice.before)] {
        if cursor.as_ref().is_some_and(|(key, _)| !key.is_of(order)) {
            return Err(Error::BadRequest(format!("`{name}` is a cursor of another order; begin anew in this one")));
        }
    }
    let shown = VisibleMembers::of(permit, filter);
    let [after, before] = [&slice.after, &slice.before].map(|cursor| cursor.as_ref().map(|(key, _)| key));
    let mut asked = PageParameters {
        organization_id: shown.organization_id,
        statuses: Vec::new(),
        roles: Vec::new(),
        after_ids: Vec::new(),
        before_ids: Vec::new(),
        own_id: shown.own,
        pattern: shown.search.clone(),
        most: slice.fetch(),
        after_name: after.and_then(SortKey::name),
        after_joined_at: after.and_then(SortKey::joined_at),
        after_rank: after.and_then(SortKey::rank),
        after_id: slice.after.as_ref().map(|(_, id)| *id),
        before_name: before.and_then(SortKey::name),
        before_joined_at: before.and_then(SortKey::joined_at),
        before_rank: before.and_then(SortKey::rank),
        before_id: slice.before.as_ref().map(|(_, id)| *id),
    };
    for (status, role) in &shown.ranges {
        if let Some((after, before)) = ids_within(&slice, *role) {
            asked.statuses.push(*status);
            asked.roles.push(*role);
            asked.after_ids.push(after);
            asked.before_ids.push(before);
        }
    }
    static STATEMENTS: Statements<PageShape> = Statements::new();
    let shape = PageShape {
        order,
        after: slice.after.is_some(),
        before: slice.before.is_some(),
        backward: slice.backward,
        with_own: shown.own.is_some(),
        search: shown.search_in(),
        has_trigrams: shown.has_trigrams(),
    };
    let query = STATEMENTS.with(shape, PageShape::text, asked);
    let rows: Vec<MemberRow> = match shape.search {
        Some(_) => query.load_planned_for_values(connection).await?,
        None => query.load(connection).await?,
    };
    let page = slice.page(rows, |row| (row.sort_key(order), row.member.id))?;
    Ok(page.map(|row| row.member.clone()))
}

/// Counts the members that [`list`] returns over all pages.
pub async fn count(connection: &mut AsyncPgConnection, permit: &Permit, filter: &MemberFilter) -> Result<i64> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let shown = VisibleMembers::of(permit, filter);
    let (statuses, roles): (Vec<MemberStatus>, Vec<Role>) = shown.ranges.iter().copied().unzip();
    static STATEMENTS: Statements<(bool, Option<SearchIn>)> = Statements::new();
    let key = (shown.own.is_some(), shown.search_in());
    let asked = CountParameters {
        organization_id: shown.organization_id,
        statuses,
        roles,
        own_id: shown.own,
        pattern: shown.search,
    };
    let query = STATEMENTS.with(key, count_text, asked);
    let counted: Vec<Count> = match key {
        (_, Some(_)) => query.load_planned_for_values(connection).await?,
        (_, None) => query.load(connection).await?,
    };
    Ok(counted.into_iter().next().map_or(0, |counted| counted.count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sql::require_fit;

    const EITHER: [bool; 2] = [false, true];
    const SEARCHES: [Option<SearchIn>; 3] = [None, Some(SearchIn::Names), Some(SearchIn::NamesAndAddresses)];

    #[test]
    fn the_pages_of_every_shape_name_their_parameters() {
        let mut texts = Vec::new();
        for order in [MemberOrder::Name, MemberOrder::JoinedAt, MemberOrder::Role] {
            for search in SEARCHES {
                for flags in 0..32_u8 {
                    let [after, before, backward, with_own, has_trigrams] =
                        [1, 2, 4, 8, 16].map(|bit| flags & bit != 0);
                    let shape = PageShape { order, after, before, backward, with_own, search, has_trigrams };
                    texts.push(shape.text());
                }
            }
        }
        require_fit::<PageParameters>(texts);
    }

    #[test]
    fn the_counts_name_their_parameters() {
        let texts = |with_own: bool| SEARCHES.map(|search| count_text(&(with_own, search)));
        require_fit::<CountParameters>(EITHER.into_iter().flat_map(texts));
    }
}
