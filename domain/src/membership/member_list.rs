//! Lists of an organization's members, as far as the reader sees them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::authority::access::Permit;
use crate::authority::membership::MemberStatus;
use crate::authority::policy::Role;
use crate::base::error::{Error, Result};
use crate::base::id::{MemberId, OrganizationId, TypedId};
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::text;
use crate::membership::member::{COLUMNS, Member};

/// In which order members are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberOrder {
    /// By name, without case.
    #[default]
    Name,
    /// By the time they joined.
    JoinedAt,
    /// Owner first, viewers last.
    Role,
}

/// Where a member stands in an order, apart from their id.
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

    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::JoinedAt(_) | Self::Role(_) => None,
        }
    }

    fn joined_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::JoinedAt(at) => Some(*at),
            Self::Name(_) | Self::Role(_) => None,
        }
    }
}

/// Which members to list.
#[derive(Debug, Clone, Default)]
pub struct MemberFilter {
    /// Only this role.
    pub role: Option<Role>,
    /// Only this status.
    pub status: Option<MemberStatus>,
    /// Only those whose name or username (for owner and admins also address) holds this text.
    pub search: Option<String>,
}

/// What the permit shows of the members that a filter wants (R2, R7, D9): the whole of some statuses and roles, each of
/// which is a range of an index, and one's own membership where it isn't among them.
struct Shown {
    organization_id: OrganizationId,
    ranges: Vec<(MemberStatus, Role)>,
    own: Option<MemberId>,
    /// What names, or for owner and admins addresses, must be like.
    search: Option<String>,
    searches_addresses: bool,
}

impl Shown {
    fn of(permit: &Permit, filter: &MemberFilter) -> Self {
        let standing = permit.standing();
        let leads = standing.role.is_at_least(Role::Admin);
        let wants_status = |status: MemberStatus| {
            filter.status.is_none_or(|wanted| wanted == status) && (leads || status == MemberStatus::Active)
        };
        let wants_role = |role: Role| filter.role.is_none_or(|wanted| wanted == role);
        let roles: Vec<Role> =
            Role::ALL.iter().copied().filter(|role| wants_role(*role) && standing.sees_members_of(*role)).collect();
        let statuses = MemberStatus::ALL.iter().copied().filter(|status| wants_status(*status));
        let wants_own = wants_status(MemberStatus::Active) && wants_role(standing.role);
        Self {
            organization_id: permit.organization_id(),
            ranges: statuses.flat_map(|status| roles.iter().map(move |role| (status, *role))).collect(),
            own: (wants_own && !roles.contains(&standing.role)).then_some(permit.member_id()),
            search: text::searched(filter.search.as_deref()).as_deref().map(text::like_pattern),
            searches_addresses: leads,
        }
    }

    /// Those that are shown as a condition on the members `m`, with the own one as a parameter of this name.
    fn members(&self, own: &str) -> String {
        let ranges = "m.status = ANY($2) AND m.role = ANY($3)";
        if self.own.is_some() { format!("({ranges} OR m.id = {own})") } else { ranges.to_owned() }
    }

    /// Whether an index finds what is searched: a trigram takes three characters.
    fn has_trigrams(&self) -> bool {
        // The pattern has a wildcard at either end.
        self.search.as_ref().is_some_and(|pattern| pattern.chars().count() >= 5)
    }

    /// The search as a condition on the members `m`, with the pattern as a parameter of this name.
    fn condition(&self, pattern: &str) -> String {
        match (&self.search, self.searches_addresses) {
            (None, _) => String::new(),
            (Some(_), false) => format!(" AND m.search_names LIKE {pattern}"),
            (Some(_), true) => {
                // Where a membership ended, the address is shown no longer, and so not found.
                format!(" AND (m.search_names LIKE {pattern} OR m.search_email LIKE {pattern} AND m.status = 'active')")
            }
        }
    }
}

/// A row of the list, with what cursors need.
#[derive(QueryableByName)]
struct Listed {
    #[diesel(embed)]
    member: Member,
    #[diesel(sql_type = Text)]
    sort_name: String,
}

impl Listed {
    fn sort_key(&self, order: MemberOrder) -> SortKey {
        match order {
            MemberOrder::Name => SortKey::Name(self.sort_name.clone()),
            MemberOrder::JoinedAt => SortKey::JoinedAt(self.member.joined_at),
            MemberOrder::Role => SortKey::Role(self.member.role as u8),
        }
    }
}

type MemberSlice = Slice<(SortKey, MemberId)>;

/// Between which ids the page lies within a role, in the order of roles; `None` where the role lies outside.
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

/// The statement of a page.
///
/// What trigrams find is sorted. Otherwise it merges at most a page of each range, by the index of the order: a search without
/// trigrams too, which filters what it meets on the way.
fn page_statement(shown: &Shown, order: MemberOrder, slice: &MemberSlice) -> String {
    const RANK: &str = "array_position(ARRAY['owner', 'admin', 'member', 'viewer'], role)";
    let (direction, after, before) = (if slice.backward { "DESC" } else { "ASC" }, &slice.after, &slice.before);
    let key = match order {
        MemberOrder::Name => "sort_name",
        MemberOrder::JoinedAt => "joined_at",
        MemberOrder::Role => RANK,
    };
    let beyond = |comparison: &str, cursor: &Option<(SortKey, MemberId)>, [name, joined_at, id]: [&str; 3]| match cursor
    {
        None => String::new(),
        Some((SortKey::Name(_), _)) => format!(" AND (m.sort_name, m.id) {comparison} ({name}, {id})"),
        Some((SortKey::JoinedAt(_), _)) => format!(" AND (m.joined_at, m.id) {comparison} ({joined_at}, {id})"),
        Some((SortKey::Role(rank), _)) => format!(" AND ({RANK}, m.id) {comparison} ({}, {id})", u32::from(*rank) + 1),
    };
    let search = shown.condition("$8");
    let bounds = beyond(">", after, ["$9", "$10", "$11"]) + &beyond("<", before, ["$12", "$13", "$14"]);
    let sorted = format!("ORDER BY {key} {direction}, id {direction} LIMIT $6");
    if shown.has_trigrams() {
        return format!(
            "SELECT {COLUMNS} FROM members m WHERE m.organization_id = $1 \
             AND {}{search}{bounds} {sorted}",
            shown.members("$7")
        );
    }
    // Within a role the order of roles is that of ids.
    let (bounds_of_range, sorted_range) = match order {
        MemberOrder::Name | MemberOrder::JoinedAt => (bounds.as_str(), sorted.clone()),
        MemberOrder::Role => {
            (" AND m.id > range.after_id AND m.id < range.before_id", format!("ORDER BY m.id {direction} LIMIT $6"))
        }
    };
    format!(
        "SELECT found.* FROM ( \
           SELECT part.* FROM unnest($2, $3, $4, $5) AS range (status, role, after_id, before_id) CROSS JOIN LATERAL ( \
             SELECT {COLUMNS} FROM members m WHERE m.organization_id = $1 \
             AND m.status = range.status AND m.role = range.role{bounds_of_range}{search} {sorted_range}) part \
           UNION ALL \
           SELECT {COLUMNS} FROM members m WHERE m.organization_id = $1 AND m.id = $7{bounds}{search}) found {sorted}"
    )
}

/// A page of the members that the permit shows (R2, R7, R13, R15, D9). It costs the same wherever it lies and however
/// many members there are; a search costs as much as it finds.
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
    let shown = Shown::of(permit, filter);
    let mut ranges = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (status, role) in &shown.ranges {
        if let Some((after, before)) = ids_within(&slice, *role) {
            ranges.0.push(*status);
            ranges.1.push(*role);
            ranges.2.push(after);
            ranges.3.push(before);
        }
    }
    let key = |cursor: &Option<(SortKey, MemberId)>| {
        let key = cursor.as_ref().map(|(key, _)| key);
        (key.and_then(SortKey::name).map(str::to_owned), key.and_then(SortKey::joined_at))
    };
    let ((after_name, after_joined_at), (before_name, before_joined_at)) = (key(&slice.after), key(&slice.before));
    let rows: Vec<Listed> = diesel::sql_query(page_statement(&shown, order, &slice))
        .bind::<sql_types::Uuid, _>(shown.organization_id)
        .bind::<Array<Text>, _>(ranges.0)
        .bind::<Array<Text>, _>(ranges.1)
        .bind::<Array<sql_types::Uuid>, _>(ranges.2)
        .bind::<Array<sql_types::Uuid>, _>(ranges.3)
        .bind::<BigInt, _>(slice.fetch())
        .bind::<Nullable<sql_types::Uuid>, _>(shown.own)
        .bind::<Nullable<Text>, _>(shown.search.as_deref())
        .bind::<Nullable<Text>, _>(after_name)
        .bind::<Nullable<Timestamptz>, _>(after_joined_at)
        .bind::<Nullable<sql_types::Uuid>, _>(slice.after.as_ref().map(|(_, id)| *id))
        .bind::<Nullable<Text>, _>(before_name)
        .bind::<Nullable<Timestamptz>, _>(before_joined_at)
        .bind::<Nullable<sql_types::Uuid>, _>(slice.before.as_ref().map(|(_, id)| *id))
        .load(connection)
        .await?;
    let page = slice.page(rows, |row| (row.sort_key(order), row.member.id))?;
    Ok(page.map(|row| row.member.clone()))
}

/// How many members [`list`] would give in all.
pub async fn count(connection: &mut AsyncPgConnection, permit: &Permit, filter: &MemberFilter) -> Result<i64> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let shown = Shown::of(permit, filter);
    let statement = format!(
        "SELECT count(*) AS count FROM members m WHERE m.organization_id = $1 \
         AND {}{}",
        shown.members("$4"),
        shown.condition("$5")
    );
    let (statuses, roles): (Vec<MemberStatus>, Vec<Role>) = shown.ranges.iter().copied().unzip();
    let counted: Count = diesel::sql_query(statement)
        .bind::<sql_types::Uuid, _>(shown.organization_id)
        .bind::<Array<Text>, _>(statuses)
        .bind::<Array<Text>, _>(roles)
        .bind::<Nullable<sql_types::Uuid>, _>(shown.own)
        .bind::<Nullable<Text>, _>(shown.search.as_deref())
        .get_result(connection)
        .await?;
    Ok(counted.count)
}
