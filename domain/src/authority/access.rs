//! Access to an organization: the permits that readers and writers demand, and the locks behind them.
//!
//! Locks are always taken in the same order, which rules out deadlocks: users by id, the organization, memberships,
//! resources, the head of the audit log.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;

use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::join;

use crate::authority::actor::{Actor, ApiKeyScope};
use crate::authority::membership::MemberStatus;
use crate::authority::rights::{Action, AdminPowers, MemberDirectory, MemberRights, Role};
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::base::sql::statement;
use crate::database::Transaction;
use crate::database::schema::{members, organizations, users};

/// Proof that an actor is an active member of an organization, with their role there.
///
/// Only this module creates permits. A `Permit` allows reading; functions that write demand a [`WritePermit`].
#[derive(Debug, Clone)]
pub struct Permit {
    actor: Actor,
    user_id: UserId,
    organization_id: OrganizationId,
    member_id: MemberId,
    standing: MemberRights,
    billable_activities: bool,
}

impl Permit {
    /// The actor who holds the permit.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The user who holds the permit.
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// The organization for which the permit was issued.
    pub fn organization_id(&self) -> OrganizationId {
        self.organization_id
    }

    /// The membership on which the permit is based.
    pub fn member_id(&self) -> MemberId {
        self.member_id
    }

    /// The rights that the membership gives.
    pub fn standing(&self) -> MemberRights {
        self.standing
    }

    /// Fails with FORBIDDEN if the action isn't allowed.
    pub fn require(&self, action: Action) -> Result<()> {
        self.require_on(action, "organizationId")
    }

    pub(crate) fn require_on(&self, action: Action, field: &str) -> Result<()> {
        if self.standing.allows(action) {
            Ok(())
        } else {
            Err(Error::refused(
                Code::Forbidden,
                field,
                match self.standing.personal {
                    true => {
                        "this is a personal organization, which is for one person alone; found another one".to_owned()
                    }
                    false => format!("{} may not do this here", self.standing.role.with_article()),
                },
            ))
        }
    }

    /// Whether the holder may bill to the organization (R55).
    pub fn may_bill(&self) -> bool {
        self.standing.may_bill(self.billable_activities)
    }

    /// Fails with BILLING_ACCESS_REQUIRED if the holder may not bill to the organization (R55).
    pub(crate) fn require_billing(&self, field: &str) -> Result<()> {
        if self.may_bill() {
            Ok(())
        } else {
            let message = match self.standing.allows(Action::CreateResources) {
                true => {
                    "requires the permission for billable activities in this organization; its owner or an admin can give it"
                }
                false => "a viewer bills nothing here; ask its owner or an admin for another role",
            };
            Err(Error::refused(Code::BillingAccessRequired, field, message))
        }
    }
}

/// A permit with which a transaction may write. The membership's row is locked `FOR SHARE` until the transaction ends,
/// and the actor is one that may change things.
///
/// Only [`enter`] and [`authorize`] create one; a [`Permit`] can't be converted into it.
#[derive(Debug)]
pub(crate) struct WritePermit(Permit);

impl Deref for WritePermit {
    type Target = Permit;

    fn deref(&self) -> &Permit {
        &self.0
    }
}

/// The rows that a writer locks before it checks anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// The actor's own membership, `FOR SHARE`, so that nothing is written under a membership that is just ending.
    Membership,
    /// The organization as well: for every change of roles, the owner, memberships, or who may join.
    Organization,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    member_id: MemberId,
    #[diesel(sql_type = Text)]
    role: Role,
    #[diesel(sql_type = Bool)]
    billable_activities: bool,
    #[diesel(sql_type = Text)]
    admin_powers: AdminPowers,
    #[diesel(sql_type = Text)]
    member_directory: MemberDirectory,
    #[diesel(sql_type = Bool)]
    personal: bool,
}

statement! {
    struct Membership {
        organization_id: SqlUuid = OrganizationId,
        user_id: SqlUuid = UserId,
    } = include_str!("membership.sql")
}

statement! {
    struct LockedMembership {
        organization_id: SqlUuid = OrganizationId,
        user_id: SqlUuid = UserId,
    } = concat!(include_str!("membership.sql"), " FOR SHARE OF m")
}

impl Row {
    fn standing(&self) -> MemberRights {
        MemberRights {
            role: self.role,
            admin_powers: self.admin_powers,
            member_directory: self.member_directory,
            personal: self.personal,
        }
    }

    fn permit(&self, actor: &Actor, user_id: UserId, organization_id: OrganizationId) -> Permit {
        Permit {
            actor: actor.clone(),
            user_id,
            organization_id,
            member_id: self.member_id,
            standing: self.standing(),
            billable_activities: self.billable_activities,
        }
    }
}

/// Whether reading a membership locks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Without a lock.
    Plain,
    /// With a `FOR SHARE` lock.
    Locked,
}

async fn membership(
    connection: &AsyncPgConnection,
    user_id: UserId,
    organization_id: OrganizationId,
    reading: Reading,
) -> Result<Option<Row>> {
    let query = match reading {
        Reading::Plain => Membership { organization_id, user_id }.query(),
        Reading::Locked => LockedMembership { organization_id, user_id }.query(),
    };
    Ok(query.get_result(&mut &*connection).await.optional()?)
}

async fn permit(
    connection: &AsyncPgConnection,
    actor: &Actor,
    organization_id: OrganizationId,
    reading: Reading,
) -> Result<Option<Permit>> {
    let Some(reach) = actor.reach().filter(|reach| reach.includes(organization_id)) else { return Ok(None) };
    let user_id = reach.user_id();
    let row = membership(connection, user_id, organization_id, reading).await?;
    Ok(row.map(|row| row.permit(actor, user_id, organization_id)))
}

/// The rights of an active membership, whoever the member is.
pub(crate) struct Held {
    /// The rights that the membership gives.
    pub standing: MemberRights,
    /// Whether the member may bill to the organization (R55).
    pub may_bill: bool,
}

/// Returns the rights of a user in an organization and locks their membership `FOR SHARE`. The user needn't be the
/// actor.
pub(crate) async fn held_by(
    transaction: &mut Transaction,
    user_id: UserId,
    organization_id: OrganizationId,
) -> Result<Option<Held>> {
    let row = membership(transaction, user_id, organization_id, Reading::Locked).await?;
    Ok(row.map(|row| Held { standing: row.standing(), may_bill: row.standing().may_bill(row.billable_activities) }))
}

/// Returns the actor's permit for reading, or `None` if they aren't an active member.
pub async fn view(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    organization_id: OrganizationId,
) -> Result<Option<Permit>> {
    permit(connection, actor, organization_id, Reading::Plain).await
}

/// The columns of an active membership from which a permit is created, selected by a join with [`membership_of`].
#[derive(Debug, Clone, Copy, Queryable, Selectable)]
#[diesel(table_name = members)]
pub(crate) struct ActiveMembership {
    id: MemberId,
    user_id: UserId,
    role: Role,
    billable_activities: bool,
}

impl ActiveMembership {
    /// Returns the actor's permit in the membership's organization, which must not be deleted, or `None` if the
    /// membership isn't the actor's. `rights_of` gives the rights of a role in that organization.
    pub(crate) fn permit(
        self,
        actor: &Actor,
        organization_id: OrganizationId,
        rights_of: impl FnOnce(Role) -> MemberRights,
    ) -> Option<Permit> {
        let reach = actor.reach().filter(|reach| reach.includes(organization_id))?;
        (reach.user_id() == self.user_id).then(|| Permit {
            actor: actor.clone(),
            user_id: self.user_id,
            organization_id,
            member_id: self.id,
            standing: rights_of(self.role),
            billable_activities: self.billable_activities,
        })
    }
}

/// Returns the actor's permits in those of the organizations where they are an active member.
pub async fn permits(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: impl IntoIterator<Item = OrganizationId>,
) -> Result<HashMap<OrganizationId, Permit>> {
    let Some(reach) = actor.reach() else { return Ok(HashMap::new()) };
    let ids: Vec<OrganizationId> = ids.into_iter().collect();
    let found: Vec<(OrganizationId, AdminPowers, MemberDirectory, bool, ActiveMembership)> = organizations::table
        .inner_join(members::table.on(members::organization_id.eq(organizations::id)))
        .filter(organizations::id.eq_any(ids))
        .filter(organizations::deleted_at.is_null())
        .filter(members::user_id.eq(reach.user_id()))
        .filter(members::status.eq(MemberStatus::Active))
        .select((
            organizations::id,
            organizations::admin_powers,
            organizations::member_directory,
            organizations::personal_user_id.is_not_null(),
            ActiveMembership::as_select(),
        ))
        .load(connection)
        .await?;
    let permit = |(id, admin_powers, member_directory, personal, membership): (_, _, _, _, ActiveMembership)| {
        let rights_of = |role| MemberRights { role, admin_powers, member_directory, personal };
        Some((id, membership.permit(actor, id, rights_of)?))
    };
    Ok(found.into_iter().filter_map(permit).collect())
}

#[derive(QueryableByName)]
struct PersonRow {
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(embed)]
    row: Row,
}

statement! {
    struct Memberships {
        organization_ids: Array<SqlUuid> = Vec<OrganizationId>,
        user_ids: Array<SqlUuid> = Vec<UserId>,
    } = include_str!("memberships.sql")
}

/// Returns the permits of any number of actors, each in the organization beside it, with one statement. Those who
/// aren't an active member there are missing.
pub async fn permits_of(
    connection: &mut AsyncPgConnection,
    wanted: &HashSet<(Actor, OrganizationId)>,
) -> Result<HashMap<(Actor, OrganizationId), Permit>> {
    let reaching = |(actor, id): &(Actor, OrganizationId)| {
        let reach = actor.reach().filter(|reach| reach.includes(*id))?;
        Some((*id, reach.user_id()))
    };
    let people: HashSet<(OrganizationId, UserId)> = wanted.iter().filter_map(reaching).collect();
    if people.is_empty() {
        return Ok(HashMap::new());
    }
    let (organization_ids, user_ids) = people.into_iter().unzip();
    let rows: Vec<PersonRow> = Memberships { organization_ids, user_ids }.query().load(connection).await?;
    let rows: HashMap<(OrganizationId, UserId), Row> =
        rows.into_iter().map(|found| ((found.organization_id, found.user_id), found.row)).collect();
    let permit = |key: &(Actor, OrganizationId)| {
        let (organization_id, user_id) = reaching(key)?;
        let permit = rows.get(&(organization_id, user_id))?.permit(&key.0, user_id, organization_id);
        Some((key.clone(), permit))
    };
    Ok(wanted.iter().filter_map(permit).collect())
}

/// Takes the locks that `lock` names and returns the actor's permit if the action is allowed.
///
/// # Errors
///
/// NOT_FOUND on `field` for callers who may not learn that the organization exists, FORBIDDEN for those who may.
pub(crate) async fn authorize(
    transaction: &mut Transaction,
    actor: &Actor,
    organization_id: OrganizationId,
    lock: Lock,
    action: Action,
    field: &str,
) -> Result<WritePermit> {
    let permit = enter(transaction, actor, organization_id, lock, organization_not_found(field)).await?;
    permit.require_on(action, field)?;
    Ok(permit)
}

/// Like [`authorize`], for an action that depends on more than the role. `not_found` is the refusal for callers who may
/// not learn that the organization exists.
pub(crate) async fn enter(
    transaction: &mut Transaction,
    actor: &Actor,
    organization_id: OrganizationId,
    lock: Lock,
    not_found: Refusal,
) -> Result<WritePermit> {
    require_writing(actor, not_found.field.as_slice().first().map_or("", String::as_str))?;
    let transaction = &*transaction;
    let permit = permit(transaction, actor, organization_id, Reading::Locked);
    let permit = match lock {
        Lock::Membership => permit.await?,
        Lock::Organization => {
            let (locked, permit) = join!(lock_organization(transaction, organization_id), permit);
            locked?;
            permit?
        }
    };
    permit.map(WritePermit).ok_or_else(|| not_found.into())
}

/// Fails for actors that may not change anything: suspended accounts and READ keys.
pub(crate) fn require_writing(actor: &Actor, field: &str) -> Result<()> {
    match actor {
        Actor::User { suspended: true, .. } => Err(crate::authority::actor::suspended(field).into()),
        Actor::ApiKey { scope: ApiKeyScope::Read, .. } | Actor::Service { scope: ApiKeyScope::Read, .. } => {
            Err(Error::refused(Code::Forbidden, field, "this API key may only read; use one with the scope WRITE"))
        }
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Service { .. } | Actor::Staff { .. } => Ok(()),
    }
}

/// The refusal for callers who may not learn that the organization exists.
pub(crate) fn organization_not_found(field: &str) -> Refusal {
    Refusal::new(Code::NotFound, field, "there is no such organization, or you don't belong to it")
}

/// Locks an organization's row against other changes of its members and roles. Returns `false` if there is no such
/// organization.
pub(crate) async fn lock_organization(transaction: &Transaction, organization_id: OrganizationId) -> Result<bool> {
    let found: Option<OrganizationId> = organizations::table
        .find(organization_id)
        .filter(organizations::deleted_at.is_null())
        .select(organizations::id)
        .for_no_key_update()
        .first(&mut &**transaction)
        .await
        .optional()?;
    Ok(found.is_some())
}

/// Locks organizations, including deleted ones, in order of id. Callers call [`lock_users`] first.
pub(crate) async fn lock_organizations(transaction: &mut Transaction, ids: &[OrganizationId]) -> Result<()> {
    let _: Vec<OrganizationId> = organizations::table
        .filter(organizations::id.eq_any(ids))
        .order(organizations::id)
        .select(organizations::id)
        .for_no_key_update()
        .load(&mut **transaction)
        .await?;
    Ok(())
}

/// Locks every membership of an account, including past ones, for changes of what memberships copy from the account.
/// Callers lock the account and the organizations first. Cascades and writers hold memberships while they insert
/// references to the account, so the memberships must be locked before it changes.
pub(crate) async fn lock_memberships(transaction: &mut Transaction, user_id: UserId) -> Result<()> {
    let _: Vec<MemberId> = members::table
        .filter(members::user_id.eq(user_id))
        .order(members::id)
        .select(members::id)
        .for_no_key_update()
        .load(&mut **transaction)
        .await?;
    Ok(())
}

/// Locks accounts in order of id, for everything that joins, leaves, suspends or deletes.
pub(crate) async fn lock_users(transaction: &mut Transaction, ids: &[UserId]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let _: Vec<UserId> = users::table
        .filter(users::id.eq_any(ids))
        .order(users::id)
        .select(users::id)
        .for_no_key_update()
        .load(&mut **transaction)
        .await?;
    Ok(())
}
