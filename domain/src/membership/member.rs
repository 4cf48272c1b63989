//! Memberships: one per user and organization, for good (R45).

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::account::user;
use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::{Actor, Reach};
use crate::authority::attempt::{self, Counting};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::membership::{JoinMethod, MemberStatus};
use crate::authority::permissions::{Permissions, PermissionsInput};
use crate::authority::policy::{MemberAction, Role, Standing};
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{MemberId, OrganizationId, TypedId, UserId};
use crate::base::job::{MailRoleChanged, MarkEnded};
use crate::base::limits::{self, TryLimit};
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::text::{self, EmailAddress};
use crate::database::schema::{members, organizations};
use crate::database::{Database, Transaction, now};
use crate::organization::billing::{self, Seats};

/// A membership.
#[derive(Debug, Clone, Queryable, QueryableByName, Selectable)]
#[diesel(table_name = members)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The person.
    pub user_id: UserId,
    /// Their role; after the end the one they had.
    pub role: Role,
    /// Where it stands.
    pub status: MemberStatus,
    /// What they may do with what is shared or billed.
    #[diesel(embed)]
    pub permissions: Permissions,
    /// When they joined, the last time.
    pub joined_at: DateTime<Utc>,
    /// How they joined, the last time.
    pub joined_via: JoinMethod,
}

/// Fails with ONE_ORGANIZATION where the deployment allows one per user (D3) and the user has one. The user's row is locked.
pub(crate) async fn require_room_for_another(
    transaction: &mut Transaction,
    user_id: UserId,
    reader: Reader,
    field: &str,
) -> Result<()> {
    if transaction.deployment().one_organization_per_user && user::team_memberships(transaction, user_id).await? > 0 {
        let message = match reader {
            Reader::Themselves => {
                "you belong to an organization, and here one belongs to one at a time; leave it first"
            }
            Reader::Another => {
                "they belong to another organization by now, and here one belongs to one at a time; they must leave it first"
            }
        };
        return Err(Error::refused(Code::OneOrganization, field, message));
    }
    Ok(())
}

/// What a joining brings.
pub(crate) struct Join {
    pub user_id: UserId,
    pub organization_id: OrganizationId,
    pub role: Role,
    pub permissions: Permissions,
    pub via: JoinMethod,
}

impl Join {
    /// Who reads why it is refused: whom staff let in doesn't ask for it.
    fn reader(&self) -> Reader {
        match self.via {
            JoinMethod::Founder | JoinMethod::Invitation | JoinMethod::JoinCode => Reader::Themselves,
            JoinMethod::Staff => Reader::Another,
        }
    }
}

/// Makes a member, or the member of old active again with what the joining brings (R45); with the events of what it ended.
///
/// The user's and the organization's rows are locked.
pub(crate) async fn join(transaction: &mut Transaction, join: &Join, field: &str) -> Result<(MemberId, Vec<NewEvent>)> {
    let before: Option<(MemberId, MemberStatus)> = members::table
        .filter(members::organization_id.eq(join.organization_id))
        .filter(members::user_id.eq(join.user_id))
        .select((members::id, members::status))
        .first(&mut **transaction)
        .await
        .optional()?;
    match before {
        Some((_, MemberStatus::Active)) => {
            let message = match join.reader() {
                Reader::Themselves => "you belong to this organization already",
                Reader::Another => "they belong to this organization already",
            };
            return Err(Error::refused(Code::AlreadyMember, field, message));
        }
        // D6: a code isn't a way back in after a removal.
        Some((_, MemberStatus::Removed | MemberStatus::Deactivated)) if join.via == JoinMethod::JoinCode => {
            return Err(Error::refused(
                Code::Forbidden,
                field,
                "you were removed here; only a new invitation brings you back",
            ));
        }
        _ => {}
    }
    let user = user::require_living(transaction, join.user_id, field).await?;
    require_room_for_another(transaction, join.user_id, join.reader(), field).await?;
    // Another open invitation of the same person, by address or username, has no purpose any more.
    let reason = "the invited person joined by another way";
    let events =
        crate::membership::invitation::revoke_to(transaction, None, join.organization_id, &user, reason).await?;
    let seats = match join.via {
        JoinMethod::Invitation => Seats::Invited,
        JoinMethod::JoinCode => Seats::Joining,
        JoinMethod::Founder | JoinMethod::Staff => Seats::More(1),
    };
    billing::require_seats(transaction, join.organization_id, seats, field).await?;
    let at = now(transaction).await?;
    let values = (
        members::role.eq(join.role),
        members::status.eq(MemberStatus::Active),
        join.permissions,
        members::joined_at.eq(at),
        members::joined_via.eq(join.via),
    );
    if let Some((id, _)) = before {
        diesel::update(members::table.find(id)).set(values).execute(&mut **transaction).await?;
        return Ok((id, events));
    }
    let id = MemberId::new();
    diesel::insert_into(members::table)
        .values((
            members::id.eq(id),
            members::organization_id.eq(join.organization_id),
            members::user_id.eq(join.user_id),
            values,
        ))
        .execute(&mut **transaction)
        .await?;
    Ok((id, events))
}

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

/// What the permit shows of the members that a filter wants (R2, R7, D9): the whole of some statuses and roles, each of which is
/// a range of an index, and one's own membership where it isn't among them.
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

const COLUMNS: &str = "m.id, m.organization_id, m.user_id, m.role, m.status, m.billable_activities, m.shared_apps, \
     m.shared_projects, m.joined_at, m.joined_via, m.sort_name";

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

/// A page of the members that the permit shows (R2, R7, R13, R15, D9). It costs the same wherever it lies and however many
/// members there are; a search costs as much as it finds.
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

/// Locks the organization's owner, shared, for whoever gives them something: they stay a member, and the owner, until this commits.
pub(crate) async fn lock_owner(transaction: &mut Transaction, organization_id: OrganizationId) -> Result<UserId> {
    // Where ownership passes on between the look and the lock, the next look finds the new owner (R43).
    for _ in 0..3 {
        let owner: Option<UserId> = members::table
            .filter(members::organization_id.eq(organization_id))
            .filter(members::role.eq(Role::Owner))
            .filter(members::status.eq(MemberStatus::Active))
            .select(members::user_id)
            .for_share()
            .first(&mut **transaction)
            .await
            .optional()?;
        if let Some(owner) = owner {
            return Ok(owner);
        }
    }
    Err(Error::refused(Code::Conflict, "", "ownership is passing on; try again"))
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

/// Owner and admins: whom to contact (R51); for whom the organization's structure is shown. Of each organization the owner, and
/// those who have been members for longest.
pub async fn leadership(connection: &mut AsyncPgConnection, ids: &[OrganizationId]) -> Result<Vec<Member>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let statement = format!(
        "SELECT leader.* FROM unnest($1) AS organization (id) CROSS JOIN unnest($2) WITH ORDINALITY AS rank (role, number) \
         CROSS JOIN LATERAL (SELECT {COLUMNS} FROM members m WHERE m.organization_id = organization.id \
           AND m.status = 'active' AND m.role = rank.role ORDER BY m.joined_at, m.id LIMIT $3 - rank.number + 1) leader \
         ORDER BY leader.organization_id, rank.number, leader.joined_at, leader.id"
    );
    Ok(diesel::sql_query(statement)
        .bind::<Array<sql_types::Uuid>, _>(ids)
        .bind::<Array<Text>, _>(vec![Role::Owner, Role::Admin])
        .bind::<BigInt, _>(limits::MAX_UNPAGED)
        .load(connection)
        .await?)
}

/// A page of the actor's active memberships at a role or above, the personal organization apart (R54).
pub async fn list_of_user(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    at_least: Role,
    page: &PageRequest,
) -> Result<Page<Member>> {
    let slice = page.slice()?;
    let Some(reach) = actor.reach() else { return Ok(Page::default()) };
    let query = of_user(reach, at_least).select(Member::as_select());
    let rows = crate::base::page::by_id!(query, slice, members::id).load(connection).await?;
    slice.page(rows, |member: &Member| member.id)
}

/// How many memberships [`list_of_user`] would give in all.
pub async fn count_of_user(connection: &mut AsyncPgConnection, actor: &Actor, at_least: Role) -> Result<i64> {
    let Some(reach) = actor.reach() else { return Ok(0) };
    Ok(of_user(reach, at_least).select(diesel::dsl::count_star()).first(connection).await?)
}

type OfUser = diesel::helper_types::IntoBoxed<
    'static,
    diesel::helper_types::InnerJoinOn<
        members::table,
        organizations::table,
        diesel::helper_types::Eq<organizations::id, members::organization_id>,
    >,
    diesel::pg::Pg,
>;

fn of_user(reach: Reach, at_least: Role) -> OfUser {
    let mut query = members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .into_boxed()
        .filter(members::user_id.eq(reach.user_id()))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(members::role.eq_any(at_least.at_least()))
        .filter(organizations::personal_user_id.is_null())
        .filter(organizations::deleted_at.is_null());
    if let Some(only) = reach.only() {
        query = query.filter(members::organization_id.eq(only));
    }
    query
}

/// The members of the ids, whoever asks: for what already led to them.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[MemberId]) -> Result<Vec<Member>> {
    Ok(members::table.filter(members::id.eq_any(ids)).select(Member::as_select()).load(connection).await?)
}

/// The membership of a user in an organization, whatever its status.
pub async fn of(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<Option<Member>> {
    Ok(members::table
        .filter(members::organization_id.eq(organization_id))
        .filter(members::user_id.eq(user_id))
        .select(Member::as_select())
        .first(connection)
        .await
        .optional()?)
}

/// Those of the users who are active members of an organization.
pub async fn active_among(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    user_ids: &[UserId],
) -> Result<Vec<UserId>> {
    Ok(members::table
        .filter(members::organization_id.eq(organization_id))
        .filter(members::user_id.eq_any(user_ids))
        .filter(members::status.eq(MemberStatus::Active))
        .select(members::user_id)
        .load(connection)
        .await?)
}

/// Whether the permit shows the member.
pub fn is_visible(permit: &Permit, member: &Member) -> bool {
    let active = member.status == MemberStatus::Active;
    permit.organization_id() == member.organization_id
        && (member.user_id == permit.user_id()
            || permit.standing().role.is_at_least(Role::Admin)
            || active && permit.standing().sees_members_of(member.role))
}

/// Those of the ids that the actor may see.
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[MemberId]) -> Result<Vec<Member>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|member| member.organization_id)).await?;
    Ok(found
        .into_iter()
        .filter(|member| permits.get(&member.organization_id).is_some_and(|permit| is_visible(permit, member)))
        .collect())
}

/// Takes the turn of a mail of this kind about a membership, to somebody of whom the limit is; `false` where they have had enough of
/// them, about this membership or in all their organizations.
pub async fn take_mail_turn(
    database: &Database,
    kind: &str,
    id: MemberId,
    recipient: &EmailAddress,
    limit: TryLimit,
) -> Result<bool> {
    let countings = [
        Counting { limit: limits::MEMBERSHIP_MAILS, subject: format!("{kind} {id}"), number: 1 },
        Counting { limit, subject: recipient.to_string(), number: 1 },
    ];
    Ok(attempt::count_together(database, &countings).await?.is_ok())
}

/// What those get who may not know of a member.
pub(crate) fn not_found(field: &str) -> Refusal {
    Refusal::new(Code::NotFound, field, "there is no such member")
}

/// Locks a member's account and organization, and gives the actor's permit there with the member, if the actor sees it.
pub(crate) async fn enter(
    transaction: &mut Transaction,
    actor: &Actor,
    id: MemberId,
    field: &str,
) -> Result<(Permit, Member)> {
    access::require_writing(actor, field)?;
    let found = by_ids(transaction, &[id]).await?.pop().ok_or_else(|| not_found(field))?;
    // Users come before organizations in the order of locks.
    access::lock_users(transaction, &[found.user_id]).await?;
    let permit = access::enter(transaction, actor, found.organization_id, Lock::Organization, not_found(field)).await?;
    // Read again under the organization's lock.
    let member = by_ids(transaction, &[id]).await?.pop().ok_or_else(|| not_found(field))?;
    if !is_visible(&permit, &member) {
        return Err(not_found(field).into());
    }
    Ok((permit, member))
}

/// Fails with what forbids the action on the member.
pub(crate) fn require(permit: &Permit, member: &Member, action: MemberAction, field: &str) -> Result<()> {
    let is_self = member.user_id == permit.user_id();
    if permit.standing().allows_on_member(action, member.role, member.status, is_self) {
        return Ok(());
    }
    let active = member.status == MemberStatus::Active;
    let refusal = if is_self {
        let message = match action {
            MemberAction::Remove | MemberAction::Deactivate => {
                "you can't do this to yourself; leave the organization instead"
            }
            _ => "you can't do this to yourself; ask the owner or another admin",
        };
        Refusal::new(Code::Self_, field, message)
    } else if !active && permit.standing().allows_on_member(action, member.role, MemberStatus::Active, false) {
        Refusal::new(Code::Conflict, field, format!("this member is not active any more: {}", member.status))
    } else {
        outranked(permit, member, field)
    };
    Err(refusal.into())
}

/// What those get whose role doesn't reach a member's.
pub(crate) fn outranked(permit: &Permit, member: &Member, field: &str) -> Refusal {
    let [role, theirs] = [permit.standing().role, member.role].map(Role::with_article);
    Refusal::new(Code::Forbidden, field, format!("{role} may not do this to {theirs}"))
}

/// Changes a member's role (R3, R10, R12); ownership passes by a transfer alone (R46).
pub async fn change_role(database: &Database, actor: &Actor, id: MemberId, role: Role) -> Result<MemberId> {
    if role == Role::Owner {
        return Err(Error::refused(Code::Forbidden, "role", "ownership passes only by transferOwnership"));
    }
    database
        .transaction(async |transaction| {
            let (permit, member) = enter(transaction, actor, id, "memberId").await?;
            let action = match (member.role, role) {
                (Role::Admin, _) => MemberAction::Demote,
                (_, Role::Admin) => MemberAction::Promote,
                _ => MemberAction::ChangeRole,
            };
            require(&permit, &member, action, "memberId")?;
            if member.role == role {
                return Ok(id);
            }
            diesel::update(members::table.find(id)).set(members::role.eq(role)).execute(&mut **transaction).await?;
            let changed = NewEvent::by(actor, member.organization_id, AuditAction::MemberRoleChanged, id)
                .summary(format!("changed the role of {} from {} to {role}", member.user_id, member.role))
                .with(json!({ "from": member.role.as_str(), "to": role.as_str() }));
            transaction.enqueue(&MailRoleChanged { audit_event_id: changed.id() }).await?;
            let standing = Standing { role, ..permit.standing() };
            if !standing.may_bill(member.permissions.billable_activities) {
                user::reset_default_bill_to(transaction, member.user_id, member.organization_id).await?;
            }
            let before = Standing { role: member.role, ..standing };
            end_no_longer_issuable(transaction, before, standing, member.organization_id, member.user_id).await?;
            audit::record(transaction, [changed]).await?;
            Ok(id)
        })
        .await
}

/// Changes what a member may bill and what they get from grants (R3, R55, R58); the owner has everything (R4).
pub async fn update_permissions(
    database: &Database,
    actor: &Actor,
    id: MemberId,
    input: PermissionsInput,
) -> Result<MemberId> {
    database
        .transaction(async |transaction| {
            let (permit, member) = enter(transaction, actor, id, "memberId").await?;
            require(&permit, &member, MemberAction::ChangePermissions, "memberId")?;
            let permissions = input.or(member.permissions);
            if permissions == member.permissions {
                return Ok(id);
            }
            diesel::update(members::table.find(id)).set(permissions).execute(&mut **transaction).await?;
            let standing = Standing { role: member.role, ..permit.standing() };
            if !standing.may_bill(permissions.billable_activities) {
                user::reset_default_bill_to(transaction, member.user_id, member.organization_id).await?;
            }
            let event = NewEvent::by(actor, member.organization_id, AuditAction::MemberPermissionsUpdated, id)
                .summary(format!("changed the permissions of {}", member.user_id))
                .with(json!({ "from": member.permissions.to_json(), "to": permissions.to_json() }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// A demotion ends the invitations and codes that the person could no longer issue (R42): by positions that are taken under the lock on
/// the membership, which is changed already. Marking them is the worker's. The organization is locked.
pub(crate) async fn end_no_longer_issuable(
    transaction: &mut Transaction,
    before: Standing,
    after: Standing,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<()> {
    let is_lost = |role: Role| before.may_issue(role) && !after.may_issue(role);
    let (all, admins) = (is_lost(Role::Member), is_lost(Role::Admin));
    if !(all || admins) {
        return Ok(());
    }
    let next = || sql::<BigInt>("nextval('grant_positions')");
    diesel::update(
        members::table.filter(members::organization_id.eq(organization_id)).filter(members::user_id.eq(user_id)),
    )
    .set((
        all.then(|| members::invites_ended_position.eq(next())),
        (all || admins).then(|| members::admin_invites_ended_position.eq(next())),
    ))
    .execute(&mut **transaction)
    .await?;
    transaction.enqueue(&MarkEnded { organization_id }).await
}

/// Admins who lose the owner's powers are demoted in all but name: what they issued for ADMIN ends. The organization is locked.
pub(crate) async fn end_issued_for_admins(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
) -> Result<()> {
    diesel::update(
        members::table
            .filter(members::organization_id.eq(organization_id))
            .filter(members::status.eq(MemberStatus::Active))
            .filter(members::role.eq(Role::Admin)),
    )
    .set(members::admin_invites_ended_position.eq(sql::<BigInt>("nextval('grant_positions')")))
    .execute(&mut **transaction)
    .await?;
    transaction.enqueue(&MarkEnded { organization_id }).await
}
