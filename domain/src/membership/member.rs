//! Memberships: each user has at most one in each organization, which is kept for good (R45).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::account::user_ref::{self, UserRef};
use crate::authority::access::{self, Lock, Permit, WritePermit};
use crate::authority::actor::{Actor, Reach};
use crate::authority::attempt::{self, Count};
use crate::authority::membership::{JoinMethod, MemberStatus};
use crate::authority::permissions::Permissions;
use crate::authority::platform::{PlatformScope, lacks};
use crate::authority::rights::{MemberAction, Role};
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::base::limits::{self, TryLimit};
use crate::base::page::{Page, PageRequest};
use crate::base::sql::statement;
use crate::base::text::EmailAddress;
use crate::database::schema::{members, organizations};
use crate::database::{Database, Transaction};

/// A membership.
#[derive(Debug, Clone, Queryable, QueryableByName, Selectable)]
#[diesel(table_name = members)]
pub struct Member {
    /// The membership's id.
    pub id: MemberId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The user.
    pub user_id: UserId,
    /// The member's role; after the membership ended, the last one.
    pub role: Role,
    /// The status of the membership.
    pub status: MemberStatus,
    /// The member's permissions.
    #[diesel(embed)]
    pub permissions: Permissions,
    /// When they last joined.
    pub joined_at: DateTime<Utc>,
    /// How they last joined.
    pub joined_via: JoinMethod,
}

pub(super) const COLUMNS: &str = "m.id, m.organization_id, m.user_id, m.role, m.status, m.billable_activities, m.shared_apps, \
     m.shared_projects, m.joined_at, m.joined_via, m.sort_name";

/// Locks the active memberships of these people `FOR SHARE`, and returns them with their roles. They remain members
/// until the transaction commits.
pub(crate) async fn lock_active(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_ids: &[UserId],
) -> Result<HashMap<UserId, Role>> {
    let active: Vec<(UserId, Role)> = members::table
        .filter(members::organization_id.eq(organization_id))
        .filter(members::user_id.eq_any(user_ids))
        .filter(members::status.eq(MemberStatus::Active))
        .order(members::id)
        .select((members::user_id, members::role))
        .for_share()
        .load(&mut **transaction)
        .await?;
    Ok(active.into_iter().collect())
}

/// Locks the membership of the organization's owner `FOR SHARE`, for a change that gives the owner something. They
/// remain a member and the owner until the transaction commits.
pub(crate) async fn lock_owner(transaction: &mut Transaction, organization_id: OrganizationId) -> Result<UserId> {
    // If ownership passes on between the read and the lock, the next read finds the new owner (R43).
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

statement! {
    struct Leadership<'a> {
        organizations: Array<SqlUuid> = &'a [OrganizationId],
        roles: Array<Text> = Vec<Role>,
        most: BigInt = i64,
    } = format!(include_str!("leadership.sql"), columns = COLUMNS)
}

/// Returns the owner and the admins, as people to contact (R51), for readers to whom the organization's structure is
/// shown. For each organization these are the owner and the admins who have been members for longest, up to a limit.
pub async fn leadership(connection: &mut AsyncPgConnection, ids: &[OrganizationId]) -> Result<Vec<Member>> {
    let leadership =
        Leadership { organizations: ids, roles: vec![Role::Owner, Role::Admin], most: limits::MAX_UNPAGED };
    Ok(leadership.query().load(connection).await?)
}

/// Returns a page of the actor's active memberships with a role or a higher one, except in the personal organization
/// (R54).
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

/// Counts the memberships that [`list_of_user`] returns over all pages.
pub async fn count_of_user(connection: &mut AsyncPgConnection, actor: &Actor, at_least: Role) -> Result<i64> {
    let Some(reach) = actor.reach() else { return Ok(0) };
    Ok(of_user(reach, at_least).select(diesel::dsl::count_star()).first(connection).await?)
}

/// The organizations of which a user is an active member, except the personal one: the id, the name and the role. For
/// staff; this doesn't check who asks.
pub async fn roles_of(
    connection: &mut AsyncPgConnection,
    user_id: UserId,
) -> Result<Vec<(OrganizationId, String, Role)>> {
    let roles = of_user(Reach::of(user_id), Role::Viewer).order(organizations::id);
    Ok(roles.select((organizations::id, organizations::name, members::role)).load(connection).await?)
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
    if let Some(ids) = reach.within().ids() {
        query = query.filter(members::organization_id.eq_any(ids.to_vec()));
    }
    query
}

/// Returns the members with these ids without checking access, for callers who already reached them.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[MemberId]) -> Result<Vec<Member>> {
    Ok(members::table.filter(members::id.eq_any(ids)).select(Member::as_select()).load(connection).await?)
}

/// Returns a user's membership in an organization, whatever its status.
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

/// Returns those of the users who are active members of an organization.
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

/// Whether the permit's holder may see the member.
pub fn is_visible(permit: &Permit, member: &Member) -> bool {
    let active = member.status == MemberStatus::Active;
    permit.organization_id() == member.organization_id
        && (permit.is_of(member.user_id)
            || permit.standing().leads()
            || active && permit.standing().sees_members_of(member.role))
}

/// Returns those of the members that the actor may see.
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[MemberId]) -> Result<Vec<Member>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|member| member.organization_id)).await?;
    Ok(found
        .into_iter()
        .filter(|member| permits.get(&member.organization_id).is_some_and(|permit| is_visible(permit, member)))
        .collect())
}

/// Returns somebody's membership in an organization, whatever its status, if the actor may see it: staff, platform keys
/// with READ and service keys of the organization see every membership, and people those that they see elsewhere.
///
/// People don't find out by this whose address or external id it is: owner and admins name members by their address,
/// and everybody names themselves by either.
pub async fn find(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    organization_id: OrganizationId,
    named: &UserRef,
) -> Result<Option<Member>> {
    let user_id = user_ref::resolve(connection, std::slice::from_ref(named)).await?.remove(named);
    let Some(user_id) = user_id else { return Ok(None) };
    let Some(member) = of(connection, organization_id, user_id).await? else { return Ok(None) };
    let is_seen = match actor {
        Actor::Staff { .. } => true,
        Actor::Service { organization_id: own, .. } => *own == organization_id,
        Actor::Platform(_) => access::view(connection, actor, organization_id).await?.is_some(),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::OnBehalf { .. } => {
            let permit = access::view(connection, actor, organization_id).await?;
            permit.is_some_and(|permit| {
                let may_name = match named {
                    UserRef::Id(_) | UserRef::Username(_) => true,
                    UserRef::Email(_) => permit.standing().leads() && member.status == MemberStatus::Active,
                    UserRef::ExternalId(_) => false,
                };
                is_visible(&permit, &member) && (may_name || permit.is_of(user_id))
            })
        }
    };
    Ok(is_seen.then_some(member))
}

/// Counts an email of this kind about a membership, for the membership and for its recipient with `limit`. Returns
/// `false` if either has had enough of them: the recipient's count covers all their organizations.
pub async fn take_mail_turn(
    database: &Database,
    kind: &str,
    id: MemberId,
    recipient: &EmailAddress,
    limit: TryLimit,
) -> Result<bool> {
    let counts = [
        Count { limit: limits::MEMBERSHIP_MAILS, subject: format!("{kind} {id}"), number: 1 },
        Count { limit, subject: recipient.to_string(), number: 1 },
    ];
    Ok(attempt::count_all_or_none(database, &counts).await?.is_ok())
}

/// The refusal for callers who may not know of a member.
pub(crate) fn not_found(field: &str) -> Refusal {
    Refusal::new(Code::NotFound, field, "there is no such member")
}

/// Locks a member's account and organization. Returns the actor's permit there and the member if the actor may see
/// them.
pub(crate) async fn enter(
    transaction: &mut Transaction,
    actor: &Actor,
    id: MemberId,
    field: &str,
) -> Result<(WritePermit, Member)> {
    access::require_writing(actor, field)?;
    let found = by_ids(transaction, &[id]).await?.pop().ok_or_else(|| not_found(field))?;
    // In the order of locks, users come before organizations.
    access::lock_users(transaction, &[found.user_id]).await?;
    let permit = access::enter(transaction, actor, found.organization_id, Lock::Organization, not_found(field)).await?;
    // The member is read again under the organization's lock.
    let member = by_ids(transaction, &[id]).await?.pop().ok_or_else(|| not_found(field))?;
    if !is_visible(&permit, &member) {
        return Err(not_found(field).into());
    }
    Ok((permit, member))
}

/// Fails with a refusal that gives the reason if the action on the member isn't allowed.
pub(crate) fn require(permit: &Permit, member: &Member, action: MemberAction, field: &str) -> Result<()> {
    let is_self = permit.is_of(member.user_id);
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

/// The refusal for an actor whose role doesn't allow acting on a member with the target's role.
pub(crate) fn outranked(permit: &Permit, member: &Member, field: &str) -> Refusal {
    let theirs = member.role.with_article();
    let message = match permit.standing().role() {
        Some(role) => format!("{} may not do this to {theirs}", role.with_article()),
        None if member.role == Role::Owner => "nobody does this to the owner; set another owner first".to_owned(),
        None => lacks(PlatformScope::MembersWrite),
    };
    Refusal::new(Code::Forbidden, field, message)
}
