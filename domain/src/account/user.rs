//! Accounts: a person, their email address, and the personal organization that holds what doesn't belong to any other
//! organization (D5).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::authority::access::{self, Lock};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::membership::MemberStatus;
use crate::authority::platform::Within;
use crate::authority::suspension::{PlatformSuspension, Suspension};
use crate::base::error::{Code, Error, Reader, Result};
use crate::base::id::{OrganizationId, UserId};
use crate::base::sql::Prepare as _;
use crate::base::text::{EmailAddress, Username};
use crate::database::deployment::Deployment;
use crate::database::schema::{members, organizations, users};
use crate::database::{Database, Transaction};

/// An account.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    /// The account's id.
    pub id: UserId,
    /// The email address, which is compared without case (R24). `None` for a deleted account.
    pub email: Option<EmailAddress>,
    /// The unique username.
    pub username: Username,
    /// The person's name.
    pub name: String,
    /// The URL of a picture.
    pub avatar_url: Option<String>,
    /// The organization whose invitation created the account.
    pub origin_organization_id: Option<OrganizationId>,
    /// When the account was suspended, by an organization (D6) or by the platform (R84). `None` if it isn't.
    pub suspended_at: Option<DateTime<Utc>>,
    /// Whether the platform has suspended the account, and whether the person was told.
    pub platform_suspension: Option<PlatformSuspension>,
    /// The organization that pays for new projects and apps. `None` for the personal organization.
    pub default_bill_to_id: Option<OrganizationId>,
    /// The platform's own id of the account (R87).
    pub external_id: Option<String>,
    /// When the account was deleted. What remains is a row without a name, which other people's data refers to.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl User {
    /// Who has suspended the account. `None` if it isn't suspended.
    pub fn suspension(&self) -> Option<Suspension> {
        match (self.suspended_at, self.platform_suspension) {
            (None, _) => None,
            (Some(_), None) => Some(Suspension::ByOrganization),
            (Some(_), Some(PlatformSuspension::Told | PlatformSuspension::Silent)) => Some(Suspension::ByPlatform),
        }
    }

    /// Whether the person is told by email what the platform does with the account: not while it is suspended and they
    /// weren't told of that (R84).
    pub fn is_told(&self) -> bool {
        match self.platform_suspension {
            Some(PlatformSuspension::Silent) => false,
            Some(PlatformSuspension::Told) | None => true,
        }
    }

    /// Fails with SUSPENDED on `field` if the account is suspended. A suspended account is given nothing.
    pub(crate) fn require_unsuspended(&self, deployment: &Deployment, reader: Reader, field: &str) -> Result<()> {
        match self.suspension() {
            None => Ok(()),
            Some(suspension) => Err(suspension.refusal(reader, deployment.support_email.as_ref(), field).into()),
        }
    }
}

/// Finds the account with this username.
pub async fn by_username(connection: &mut AsyncPgConnection, username: &Username) -> Result<Option<User>> {
    Ok(users::table
        .filter(users::username.eq(username))
        .select(User::as_select())
        .first(connection)
        .await
        .optional()?)
}

/// Finds the account with this email address.
pub async fn by_email(connection: &mut AsyncPgConnection, email: &EmailAddress) -> Result<Option<User>> {
    Ok(users::table.filter(users::email.eq(email)).select(User::as_select()).first(connection).await.optional()?)
}

/// Loads the accounts, without checking who asks. Only for ids that a visible object has led to.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[UserId]) -> Result<Vec<User>> {
    Ok(users::table.filter(users::id.eq_any(ids)).select(User::as_select()).load(connection).await?)
}

/// Those of the accounts that are suspended, and by whom.
pub(crate) async fn suspended_among(
    connection: &mut AsyncPgConnection,
    ids: &[UserId],
) -> Result<HashMap<UserId, Suspension>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let suspended: Vec<User> = users::table
        .filter(users::id.eq_any(ids))
        .filter(users::suspended_at.is_not_null())
        .select(User::as_select())
        .load(connection)
        .await?;
    Ok(suspended.into_iter().filter_map(|user| Some((user.id, user.suspension()?))).collect())
}

/// Loads the account.
pub async fn by_id(connection: &mut AsyncPgConnection, id: UserId) -> Result<User> {
    Ok(users::table.find(id).select(User::as_select()).first(connection).await?)
}

/// The personal organization of an account.
pub async fn personal_organization_id(connection: &mut AsyncPgConnection, user_id: UserId) -> Result<OrganizationId> {
    Ok(organizations::table
        .filter(organizations::personal_user_id.eq(user_id))
        .select(organizations::id)
        .first(connection)
        .await?)
}

/// Whether the actor's account belongs to no organization except its personal one (R52). Always `false` for API keys,
/// which can't create organizations.
pub async fn needs_organization(connection: &mut AsyncPgConnection, actor: &Actor) -> Result<bool> {
    match actor.session() {
        Some((user_id, _)) => Ok(team_memberships(connection, user_id).await? == 0),
        None => Ok(false),
    }
}

/// The organizations in which the account is an active member, including its personal one.
pub(crate) async fn organizations_of(transaction: &mut Transaction, user_id: UserId) -> Result<Vec<OrganizationId>> {
    Ok(members::table
        .filter(members::user_id.eq(user_id))
        .filter(members::status.eq(MemberStatus::Active))
        .select(members::organization_id)
        .load(&mut **transaction)
        .await?)
}

/// The number of organizations that the account belongs to, without its personal one.
pub(crate) async fn team_memberships(connection: &mut AsyncPgConnection, user_id: UserId) -> Result<i64> {
    Ok(members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(members::user_id.eq(user_id))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(organizations::personal_user_id.is_null())
        .filter(organizations::deleted_at.is_null())
        .count()
        .get_result(connection)
        .await?)
}

/// Whether the account belongs to any organization other than this one, without its personal one. A deleted
/// organization counts while it can be restored.
pub(crate) async fn belongs_to_another_team(
    connection: &mut AsyncPgConnection,
    user_id: UserId,
    organization_id: OrganizationId,
) -> Result<bool> {
    let memberships = members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(members::user_id.eq(user_id))
        .filter(members::organization_id.ne(organization_id))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(organizations::personal_user_id.is_null());
    Ok(diesel::select(diesel::dsl::exists(memberships)).get_result(connection).await?)
}

/// Those of the users who belong to any organization other than this one, without personal ones.
pub(crate) async fn in_other_teams(
    connection: &mut AsyncPgConnection,
    ids: &[UserId],
    organization_id: OrganizationId,
) -> Result<Vec<UserId>> {
    Ok(members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(members::user_id.eq_any(ids))
        .filter(members::organization_id.ne(organization_id))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(organizations::personal_user_id.is_null())
        .filter(organizations::deleted_at.is_null())
        .select(members::user_id)
        .distinct()
        .load(connection)
        .await?)
}

/// Loads the account under the lock on its row. CONFLICT if it was deleted.
pub(crate) async fn require_living(transaction: &mut Transaction, user_id: UserId, field: &str) -> Result<User> {
    let user = by_id(transaction, user_id).await?;
    if user.deleted_at.is_some() {
        return Err(Error::refused(Code::Conflict, field, "this account was deleted, and nothing brings it back"));
    }
    Ok(user)
}

/// Makes an organization pay for the actor's new projects and apps, unless another one is named (R56). Requires the
/// permission to bill there (R55); the personal organization can always be chosen.
pub async fn set_default_bill_to(database: &Database, actor: &Actor, organization_id: OrganizationId) -> Result<()> {
    let user_id = actor.person_everywhere("organizationId")?.user_id();
    database
        .transaction(async |transaction| {
            // Taking the permission away locks the account too.
            access::lock_users(transaction, &[user_id]).await?;
            let not_found = access::organization_not_found("organizationId");
            let permit = access::enter(transaction, actor, organization_id, Lock::Membership, not_found).await?;
            permit.require_billing("organizationId")?;
            let personal = personal_organization_id(transaction, user_id).await?;
            let default_bill_to_id = (organization_id != personal).then_some(organization_id);
            diesel::update(users::table.find(user_id))
                .set(users::default_bill_to_id.eq(default_bill_to_id))
                .prepared()
                .execute(&mut **transaction)
                .await?;
            let event = NewEvent::by(actor, personal, AuditAction::UserDefaultBillToSet, user_id)
                .summary(format!("new projects and apps are billed to {organization_id}"))
                .about(user_id)
                .with(json!({ "organizationId": organization_id.to_string() }));
            audit::record(transaction, [event]).await
        })
        .await
}

/// The organization that pays for the user's new projects and apps if no other one is named (R56): the default, or the
/// personal organization. For a key that reaches one organization only, it is that one.
pub async fn default_bill_to(
    connection: &mut AsyncPgConnection,
    user: &User,
    within: &Within,
) -> Result<OrganizationId> {
    if let Some([only]) = within.ids() {
        return Ok(*only);
    }
    if let Some(id) = user.default_bill_to_id {
        // A deleted organization pays again once it is restored (R48).
        let living = organizations::table.find(id).filter(organizations::deleted_at.is_null());
        if diesel::select(diesel::dsl::exists(living)).get_result(connection).await? {
            return Ok(id);
        }
    }
    personal_organization_id(connection, user.id).await
}

/// Resets the default bill-to to the personal organization if it was this organization, since the accounts may not bill
/// to it any more. The caller has locked the accounts' rows.
pub(crate) async fn reset_default_bill_to(
    transaction: &mut Transaction,
    ids: &[UserId],
    organization_id: OrganizationId,
) -> Result<()> {
    diesel::update(users::table.filter(users::id.eq_any(ids)).filter(users::default_bill_to_id.eq(organization_id)))
        .set(users::default_bill_to_id.eq(None::<OrganizationId>))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
