//! Memberships: one per user and organization, for good (R45).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::access::{self, Lock, Permit};
use crate::actor::Actor;
use crate::audit::{self, AuditAction, NewEvent};
use crate::billing::{self, Seats};
use crate::database::schema::{members, organizations, users};
use crate::database::{Database, Transaction, now};
use crate::error::{Code, Error, Refusal, Result};
use crate::id::{MemberId, OrganizationId, UserId};
use crate::page::{Page, PageRequest, Slice};
use crate::policy::{AccessLevel, MemberAction, Role, Standing};
use crate::text;
use crate::text_enum::text_enum;
use crate::user;

text_enum! {
    /// Where a membership stands.
    MemberStatus {
        /// In force.
        Active = "active",
        /// Ended by the member (LEAVE).
        Left = "left",
        /// Ended by owner or admin (REMOVE).
        Removed = "removed",
        /// Ended by owner or admin (DEACTIVATE, D6).
        Deactivated = "deactivated",
    }
}

text_enum! {
    /// How someone became a member.
    JoinMethod {
        /// By founding the organization.
        Founder = "founder",
        /// By the platform's staff.
        Staff = "staff",
        /// By an invitation.
        Invitation = "invitation",
        /// By a join code.
        JoinCode = "join_code",
    }
}

/// What a member may do with what is shared with, or billed to, the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = members)]
pub struct Permissions {
    /// Bill to the organization (R55).
    pub billable_activities: bool,
    /// Use apps that are shared with it (R58).
    pub shared_apps: bool,
    /// What they get at most from projects that are shared with it (R58).
    pub shared_projects: AccessLevel,
}

impl Permissions {
    /// Everything: for owners.
    pub(crate) fn all() -> Self {
        Self { billable_activities: true, shared_apps: true, shared_projects: AccessLevel::Administer }
    }

    /// For the audit log.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "billable_activities": self.billable_activities,
            "shared_apps": self.shared_apps,
            "shared_projects": self.shared_projects.as_str(),
        })
    }
}

/// Permissions to be given; what is left out stays, or comes from the organization's policy.
#[derive(Debug, Clone, Copy, Default)]
pub struct PermissionsInput {
    /// Bill to the organization.
    pub billable_activities: Option<bool>,
    /// Use apps shared with it.
    pub shared_apps: Option<bool>,
    /// What one gets at most from projects shared with it.
    pub shared_projects: Option<AccessLevel>,
}

impl PermissionsInput {
    /// These, and for what is left out the others.
    pub(crate) fn or(self, others: Permissions) -> Permissions {
        Permissions {
            billable_activities: self.billable_activities.unwrap_or(others.billable_activities),
            shared_apps: self.shared_apps.unwrap_or(others.shared_apps),
            shared_projects: self.shared_projects.unwrap_or(others.shared_projects),
        }
    }
}

/// A membership.
#[derive(Debug, Clone, Queryable, Selectable)]
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
    field: &str,
) -> Result<()> {
    if transaction.deployment().one_organization_per_user && user::team_memberships(transaction, user_id).await? > 0 {
        return Err(Error::refused(
            Code::OneOrganization,
            field,
            "you belong to an organization, and here one belongs to one at a time; leave it first",
        ));
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
            return Err(Error::refused(Code::AlreadyMember, field, "you belong to this organization already"));
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
    require_room_for_another(transaction, join.user_id, field).await?;
    // Another open invitation of the same person, by address or username, has no purpose any more.
    let user = user::by_id(transaction, join.user_id).await?;
    let superseded = crate::invitation::revoke_to(transaction, join.organization_id, &user).await?;
    let seats = if join.via == JoinMethod::Invitation { Seats::Invited } else { Seats::More(1) };
    billing::require_seats(transaction, join.organization_id, seats, field).await?;
    let events = superseded
        .into_iter()
        .map(|id| {
            NewEvent::by_system(join.organization_id, AuditAction::InvitationRevoked, id)
                .summary("the invited person joined by another way")
        })
        .collect();
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

impl MemberOrder {
    /// The sort key as text that sorts alike.
    fn key(self) -> &'static str {
        match self {
            Self::Name => "lower(users.name)",
            Self::JoinedAt => "to_char(members.joined_at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')",
            Self::Role => "array_position(ARRAY['owner', 'admin', 'member', 'viewer'], members.role)::text",
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

/// What of the members the permit shows.
macro_rules! visible {
    ($query:expr, $permit:expr, $filter:expr) => {{
        let (permit, filter) = ($permit, $filter);
        let mut query = $query.filter(members::organization_id.eq(permit.organization_id()));
        let sees_all = permit.standing().allows(crate::policy::Action::ViewMembers);
        let leads = permit.standing().role.is_at_least(Role::Admin);
        if !sees_all {
            let shown: Vec<Role> =
                Role::ALL.iter().copied().filter(|role| permit.standing().sees_members_of(*role)).collect();
            query = query.filter(members::user_id.eq(permit.user_id()).or(members::role.eq_any(shown)));
        }
        if !leads {
            query = query.filter(members::status.eq(MemberStatus::Active));
        }
        if let Some(role) = filter.role {
            query = query.filter(members::role.eq(role));
        }
        if let Some(status) = filter.status {
            query = query.filter(members::status.eq(status));
        }
        if let Some(search) = filter.search.as_deref().map(str::trim).filter(|search| !search.is_empty()) {
            let pattern = text::like_pattern(search);
            let named = users::name.ilike(pattern.clone()).or(users::username.ilike(pattern.clone()));
            query = if leads { query.filter(named.or(users::email.ilike(pattern))) } else { query.filter(named) };
        }
        query
    }};
}

/// A page of the members that the permit shows (R2, R7, R13, R15, D9).
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    filter: &MemberFilter,
    order: MemberOrder,
    page: &PageRequest,
) -> Result<Page<Member>> {
    let slice: Slice<(String, MemberId)> = page.slice()?;
    let key = order.key();
    let query = members::table
        .inner_join(users::table.on(users::id.eq(members::user_id)))
        .select((Member::as_select(), diesel::dsl::sql::<Text>(key)))
        .into_boxed();
    let mut query = visible!(query, permit, filter);
    let beyond = |comparison: &str, (key_value, id): (String, MemberId)| {
        diesel::dsl::sql::<Bool>(&format!("({key}, members.id) {comparison} ("))
            .bind::<Text, _>(key_value)
            .sql(", ")
            .bind::<diesel::sql_types::Uuid, _>(id)
            .sql(")")
    };
    if let Some(after) = slice.after.clone() {
        query = query.filter(beyond(">", after));
    }
    if let Some(before) = slice.before.clone() {
        query = query.filter(beyond("<", before));
    }
    query = if slice.backward {
        query.order((diesel::dsl::sql::<Text>(key).desc(), members::id.desc()))
    } else {
        query.order((diesel::dsl::sql::<Text>(key).asc(), members::id.asc()))
    };
    let rows: Vec<(Member, String)> = query.limit(slice.fetch()).load(connection).await?;
    let page = slice.page(rows, |(member, key)| (key.clone(), member.id))?;
    Ok(page.map(|(member, _)| member))
}

/// How many members [`list`] would give in all.
pub async fn count(connection: &mut AsyncPgConnection, permit: &Permit, filter: &MemberFilter) -> Result<i64> {
    let query = members::table
        .inner_join(users::table.on(users::id.eq(members::user_id)))
        .select(diesel::dsl::count_star())
        .into_boxed();
    Ok(visible!(query, permit, filter).first(connection).await?)
}

/// Owner and admins: whom to contact (R51). For every member, whatever the directory.
pub async fn leadership(connection: &mut AsyncPgConnection, ids: &[OrganizationId]) -> Result<Vec<Member>> {
    Ok(members::table
        .filter(members::organization_id.eq_any(ids))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(members::role.eq_any(Role::Admin.at_least()))
        .order((members::role.desc(), members::id))
        .select(Member::as_select())
        .load(connection)
        .await?)
}

/// A page of the user's active memberships at a role or above, the personal organization apart (R54).
pub async fn list_of_user(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    user_id: UserId,
    at_least: Role,
    page: &PageRequest,
) -> Result<Page<Member>> {
    let slice = page.slice()?;
    let query = of_user(actor, user_id, at_least).select(Member::as_select());
    let rows = crate::page::by_id!(query, slice, members::id).load(connection).await?;
    slice.page(rows, |member: &Member| member.id)
}

/// How many memberships [`list_of_user`] would give in all.
pub async fn count_of_user(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    user_id: UserId,
    at_least: Role,
) -> Result<i64> {
    Ok(of_user(actor, user_id, at_least).select(diesel::dsl::count_star()).first(connection).await?)
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

fn of_user(actor: &Actor, user_id: UserId, at_least: Role) -> OfUser {
    let mut query = members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .into_boxed()
        .filter(members::user_id.eq(user_id))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(members::role.eq_any(at_least.at_least()))
        .filter(organizations::personal_user_id.is_null())
        .filter(organizations::deleted_at.is_null());
    if let Some(only) = actor.only_organization() {
        query = query.filter(members::organization_id.eq(only));
    }
    query
}

/// The members of the ids, whoever asks: for what already led to them.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[MemberId]) -> Result<Vec<Member>> {
    Ok(members::table.filter(members::id.eq_any(ids)).select(Member::as_select()).load(connection).await?)
}

/// The membership of a user in an organization, whatever its status.
pub(crate) async fn of(
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

/// What those get who may not know of a member.
pub(crate) fn not_found(field: &str) -> Refusal {
    Refusal::new(Code::NotFound, field, "there is no such member")
}

/// Locks the organization of a member and gives the actor's permit there with the member, if the actor sees it.
pub(crate) async fn enter(
    transaction: &mut Transaction,
    actor: &Actor,
    id: MemberId,
    field: &str,
) -> Result<(Permit, Member)> {
    access::require_writing(actor, field)?;
    let found = by_ids(transaction, &[id]).await?.pop().ok_or_else(|| not_found(field))?;
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
    let active = member.status == MemberStatus::Active;
    if permit.standing().allows_on_member(action, member.role, active, is_self) {
        return Ok(());
    }
    let refusal = if is_self {
        Refusal::new(Code::Self_, field, "you can't do this to yourself; to go, leave the organization")
    } else if !active && permit.standing().allows_on_member(action, member.role, true, false) {
        Refusal::new(Code::Conflict, field, format!("this member is not active any more: {}", member.status))
    } else {
        Refusal::new(
            Code::Forbidden,
            field,
            format!("your role here, {}, doesn't allow this to the member's, {}", permit.standing().role, member.role),
        )
    };
    Err(refusal.into())
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
            let mut events = vec![
                NewEvent::by(actor, member.organization_id, AuditAction::MemberRoleChanged, id)
                    .summary(format!("changed the role of {} from {} to {role}", member.user_id, member.role))
                    .with(json!({ "from": member.role.as_str(), "to": role.as_str() })),
            ];
            let standing = Standing { role, ..permit.standing() };
            events.extend(
                revoke_no_longer_issuable(transaction, actor, standing, member.organization_id, member.user_id).await?,
            );
            audit::record(transaction, events).await?;
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
            let event = NewEvent::by(actor, member.organization_id, AuditAction::MemberPermissionsUpdated, id)
                .summary(format!("changed the permissions of {}", member.user_id))
                .with(json!({ "from": member.permissions.to_json(), "to": permissions.to_json() }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// A demotion revokes the invitations and codes that the person could no longer issue (R42). The organization is locked.
pub(crate) async fn revoke_no_longer_issuable(
    transaction: &mut Transaction,
    actor: &Actor,
    standing: Standing,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<Vec<NewEvent>> {
    let lost: Vec<Role> = Role::ALL.iter().copied().filter(|role| !standing.may_issue(*role)).collect();
    let mut events = crate::invitation::revoke_issued(transaction, actor, organization_id, user_id, &lost).await?;
    events.extend(crate::join_code::revoke_issued(transaction, actor, organization_id, user_id, &lost).await?);
    Ok(events)
}
