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

use crate::authority::actor::{Actor, ApiKeyScope, Reach};
use crate::authority::membership::MemberStatus;
use crate::authority::platform::{PlatformActor, PlatformScope};
use crate::authority::rights::{Action, AdminPowers, MemberDirectory, MemberRights, PlatformRights, Role, Standing};
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::base::sql::statement;
use crate::database::Transaction;
use crate::database::schema::{members, organizations, users};

/// Proof that an actor is an active member of an organization, with their role there, or that it is a platform key that
/// reaches the organization.
///
/// Only this module creates permits. A `Permit` allows reading; functions that write demand a [`WritePermit`].
#[derive(Debug, Clone)]
pub struct Permit {
    actor: Actor,
    organization_id: OrganizationId,
    holder: Option<Holder>,
    settings: OrganizationSettings,
    standing: Standing,
}

/// The membership on which a permit is based.
#[derive(Debug, Clone, Copy)]
struct Holder {
    user_id: UserId,
    member_id: MemberId,
    billable_activities: bool,
}

/// The settings of an organization on which its members' rights depend.
#[derive(Debug, Clone, Copy)]
struct OrganizationSettings {
    admin_powers: AdminPowers,
    member_directory: MemberDirectory,
    personal: bool,
}

impl OrganizationSettings {
    fn rights_of(self, role: Role) -> MemberRights {
        let Self { admin_powers, member_directory, personal } = self;
        MemberRights { role, admin_powers, member_directory, personal }
    }
}

impl Permit {
    fn of_member(
        actor: &Actor,
        organization_id: OrganizationId,
        holder: Holder,
        role: Role,
        settings: OrganizationSettings,
    ) -> Self {
        let standing = Standing::Member(settings.rights_of(role));
        Self { actor: actor.clone(), organization_id, holder: Some(holder), settings, standing }
    }

    fn of_platform(
        actor: &Actor,
        key: &PlatformActor,
        organization_id: OrganizationId,
        settings: OrganizationSettings,
        reading: Reading,
    ) -> Self {
        let rights =
            PlatformRights { scopes: key.scopes, reads: reading == Reading::Plain, personal: settings.personal };
        let standing = Standing::Platform(rights);
        Self { actor: actor.clone(), organization_id, holder: None, settings, standing }
    }

    /// The actor who holds the permit.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The user who holds the permit; a platform key is none.
    pub fn user_id(&self) -> Option<UserId> {
        self.holder.map(|holder| holder.user_id)
    }

    /// Whether this user holds the permit.
    pub fn is_of(&self, user_id: UserId) -> bool {
        self.user_id() == Some(user_id)
    }

    /// The organization for which the permit was issued.
    pub fn organization_id(&self) -> OrganizationId {
        self.organization_id
    }

    /// The membership on which the permit is based; a platform key has none.
    pub fn member_id(&self) -> Option<MemberId> {
        self.holder.map(|holder| holder.member_id)
    }

    /// What the holder may do in the organization.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The rights that somebody with this role has in the organization.
    pub(crate) fn rights_of(&self, role: Role) -> MemberRights {
        self.settings.rights_of(role)
    }

    /// Fails with FORBIDDEN if the action isn't allowed.
    pub fn require(&self, action: Action) -> Result<()> {
        self.require_on(action, "organizationId")
    }

    pub(crate) fn require_on(&self, action: Action, field: &str) -> Result<()> {
        match self.standing.allows(action) {
            true => Ok(()),
            false => Err(Error::refused(Code::Forbidden, field, self.standing.why_not(action))),
        }
    }

    /// Like [`Permit::require_on`], for something of which members who may not do this may not even know. A platform
    /// key is told which scope it lacks.
    pub(crate) fn require_or(&self, action: Action, field: &str, not_found: Refusal) -> Result<()> {
        match self.standing {
            Standing::Member(rights) if !rights.allows(action) => Err(not_found.into()),
            Standing::Member(_) | Standing::Platform(_) => self.require_on(action, field),
        }
    }

    /// The member who holds the permit, for what only people do.
    ///
    /// # Errors
    /// FORBIDDEN on `field` for platform keys.
    pub(crate) fn require_member(&self, field: &str) -> Result<UserId> {
        self.user_id().ok_or_else(|| {
            let message = "only people do this; let them sign in, or act on their behalf";
            Error::refused(Code::Forbidden, field, message)
        })
    }

    /// Whether the holder may bill to the organization (R55). The platform may.
    pub fn may_bill(&self) -> bool {
        match (self.standing, self.holder) {
            (Standing::Member(rights), Some(holder)) => rights.may_bill(holder.billable_activities),
            (Standing::Member(_), None) => false,
            (Standing::Platform(_), _) => self.standing.allows(Action::CreateResources),
        }
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

/// A permit with which a transaction may write. The membership's row, if there is one, is locked `FOR SHARE` until the
/// transaction ends, and the actor is one that may change things.
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
    fn settings(&self) -> OrganizationSettings {
        OrganizationSettings {
            admin_powers: self.admin_powers,
            member_directory: self.member_directory,
            personal: self.personal,
        }
    }

    fn permit(&self, actor: &Actor, user_id: UserId, organization_id: OrganizationId) -> Permit {
        let holder = Holder { user_id, member_id: self.member_id, billable_activities: self.billable_activities };
        Permit::of_member(actor, organization_id, holder, self.role, self.settings())
    }
}

/// Through what an actor reaches organizations.
enum Through<'a> {
    /// A person's memberships.
    Memberships(Reach),
    /// A platform key, which needs none.
    Key(&'a PlatformActor),
}

impl<'a> Through<'a> {
    fn of(actor: &'a Actor) -> Option<Self> {
        match actor {
            Actor::Platform(key) => Some(Self::Key(key)),
            Actor::User { .. }
            | Actor::ApiKey { .. }
            | Actor::Service { .. }
            | Actor::OnBehalf { .. }
            | Actor::Staff { .. } => actor.reach().map(Self::Memberships),
        }
    }

    fn includes(&self, organization_id: OrganizationId) -> bool {
        match self {
            Self::Memberships(reach) => reach.includes(organization_id),
            Self::Key(key) => key.within.includes(organization_id),
        }
    }
}

statement! {
    /// The settings of organizations that aren't deleted.
    struct Settings {
        organization_ids: Array<SqlUuid> = Vec<OrganizationId>,
    } = "SELECT o.id AS organization_id, o.admin_powers, o.member_directory, o.personal_user_id IS NOT NULL AS personal \
         FROM organizations o WHERE o.id = ANY (:organization_ids) AND o.deleted_at IS NULL"
}

#[derive(QueryableByName)]
struct SettingsRow {
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = Text)]
    admin_powers: AdminPowers,
    #[diesel(sql_type = Text)]
    member_directory: MemberDirectory,
    #[diesel(sql_type = Bool)]
    personal: bool,
}

/// Whether a platform key reaches an organization, for reading only with READ. What it may change there is decided by
/// its other scopes.
fn is_reached(key: &PlatformActor, organization_id: OrganizationId, reading: Reading) -> bool {
    let may = match reading {
        Reading::Plain => key.scopes.has(PlatformScope::Read),
        Reading::Locked => true,
    };
    may && key.within.includes(organization_id)
}

/// Returns the permits of a platform key in those of the organizations that it reaches.
async fn permits_of_platform(
    connection: &AsyncPgConnection,
    actor: &Actor,
    key: &PlatformActor,
    ids: impl IntoIterator<Item = OrganizationId>,
    reading: Reading,
) -> Result<HashMap<OrganizationId, Permit>> {
    let organization_ids: Vec<OrganizationId> =
        ids.into_iter().filter(|organization_id| is_reached(key, *organization_id, reading)).collect();
    if organization_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<SettingsRow> = Settings { organization_ids }.query().load(&mut &*connection).await?;
    let permit = |SettingsRow { organization_id, admin_powers, member_directory, personal }| {
        let settings = OrganizationSettings { admin_powers, member_directory, personal };
        (organization_id, Permit::of_platform(actor, key, organization_id, settings, reading))
    };
    Ok(rows.into_iter().map(permit).collect())
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
    match Through::of(actor).filter(|through| through.includes(organization_id)) {
        None => Ok(None),
        Some(Through::Memberships(reach)) => {
            let user_id = reach.user_id();
            let row = membership(connection, user_id, organization_id, reading).await?;
            Ok(row.map(|row| row.permit(actor, user_id, organization_id)))
        }
        Some(Through::Key(key)) => {
            let mut found = permits_of_platform(connection, actor, key, [organization_id], reading).await?;
            Ok(found.remove(&organization_id))
        }
    }
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
    Ok(row.map(|row| {
        let standing = row.settings().rights_of(row.role);
        Held { standing, may_bill: standing.may_bill(row.billable_activities) }
    }))
}

/// Returns the actor's permit for reading, or `None` if they don't reach the organization.
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
        let MemberRights { role, admin_powers, member_directory, personal } = rights_of(self.role);
        let holder =
            Holder { user_id: self.user_id, member_id: self.id, billable_activities: self.billable_activities };
        let settings = OrganizationSettings { admin_powers, member_directory, personal };
        (reach.user_id() == self.user_id).then(|| Permit::of_member(actor, organization_id, holder, role, settings))
    }
}

/// Returns a platform key's permit to read in an organization, which must not be deleted, or `None` if the actor is no
/// platform key that reaches it. `rights_of` gives the rights of a role in that organization.
pub(crate) fn platform_permit(
    actor: &Actor,
    organization_id: OrganizationId,
    rights_of: impl FnOnce(Role) -> MemberRights,
) -> Option<Permit> {
    let Some(Through::Key(key)) = Through::of(actor) else { return None };
    if !is_reached(key, organization_id, Reading::Plain) {
        return None;
    }
    let MemberRights { admin_powers, member_directory, personal, .. } = rights_of(Role::Owner);
    let settings = OrganizationSettings { admin_powers, member_directory, personal };
    Some(Permit::of_platform(actor, key, organization_id, settings, Reading::Plain))
}

/// Returns the actor's permits in those of the organizations that they reach.
pub async fn permits(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: impl IntoIterator<Item = OrganizationId>,
) -> Result<HashMap<OrganizationId, Permit>> {
    let reach = match Through::of(actor) {
        None => return Ok(HashMap::new()),
        Some(Through::Key(key)) => {
            return permits_of_platform(connection, actor, key, ids, Reading::Plain).await;
        }
        Some(Through::Memberships(reach)) => reach,
    };
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

/// Returns the permits of any number of actors, each in the organization beside it, with one statement for people and
/// one for each platform key. Those who don't reach the organization are missing.
pub async fn permits_of(
    connection: &mut AsyncPgConnection,
    wanted: &HashSet<(Actor, OrganizationId)>,
) -> Result<HashMap<(Actor, OrganizationId), Permit>> {
    let mut people: HashSet<(OrganizationId, UserId)> = HashSet::new();
    let mut of_keys: HashMap<&Actor, (&PlatformActor, Vec<OrganizationId>)> = HashMap::new();
    for (actor, id) in wanted {
        match Through::of(actor).filter(|through| through.includes(*id)) {
            None => {}
            Some(Through::Memberships(reach)) => {
                people.insert((*id, reach.user_id()));
            }
            Some(Through::Key(key)) => of_keys.entry(actor).or_insert_with(|| (key, Vec::new())).1.push(*id),
        }
    }
    let mut permits = HashMap::new();
    for (actor, (key, ids)) in of_keys {
        let found = permits_of_platform(connection, actor, key, ids, Reading::Plain).await?;
        permits.extend(found.into_iter().map(|(id, permit)| ((actor.clone(), id), permit)));
    }
    if people.is_empty() {
        return Ok(permits);
    }
    let (organization_ids, user_ids) = people.into_iter().unzip();
    let rows: Vec<PersonRow> = Memberships { organization_ids, user_ids }.query().load(connection).await?;
    let rows: HashMap<(OrganizationId, UserId), Row> =
        rows.into_iter().map(|found| ((found.organization_id, found.user_id), found.row)).collect();
    let of_person = |key: &(Actor, OrganizationId)| {
        let (actor, organization_id) = key;
        let user_id = actor.reach().filter(|reach| reach.includes(*organization_id))?.user_id();
        let permit = rows.get(&(*organization_id, user_id))?.permit(actor, user_id, *organization_id);
        Some((key.clone(), permit))
    };
    permits.extend(wanted.iter().filter_map(of_person));
    Ok(permits)
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
        // What a platform key may change is decided by its scopes, where it is changed.
        Actor::User { .. }
        | Actor::ApiKey { .. }
        | Actor::Service { .. }
        | Actor::Platform(_)
        | Actor::OnBehalf { .. }
        | Actor::Staff { .. } => Ok(()),
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

/// Locks every membership of accounts, including past ones, for changes of what memberships copy from the accounts.
/// Callers lock the accounts and the organizations first. Cascades and writers hold memberships while they insert
/// references to the account, so the memberships must be locked before it changes.
pub(crate) async fn lock_memberships(transaction: &mut Transaction, users: &[UserId]) -> Result<()> {
    let _: Vec<MemberId> = members::table
        .filter(members::user_id.eq_any(users))
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
