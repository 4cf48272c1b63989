//! API keys, with which programs reach one organization only. A person's keys end together with the membership (R32).
//! Service keys belong to the organization and outlive the membership of whoever created them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::account::user;
use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::{Actor, ApiKeyScope, Reach};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::rights::Action;
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{ApiKeyId, OrganizationId, UserId};
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::secret::Token;
use crate::base::sql::Prepare as _;
use crate::base::{clock, limits, text};
use crate::database::schema::api_keys;
use crate::database::{Database, Transaction, now, rollcall_now};

/// The prefix of API keys.
pub(crate) const TOKEN_PREFIX: &str = "rck_";
/// The number of characters of the secret that are kept, so that people can tell keys apart.
const SHOWN: usize = 8;

/// An API key.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct ApiKey {
    /// The key's id.
    pub id: ApiKeyId,
    /// The only organization that the key reaches.
    pub organization_id: OrganizationId,
    /// The person whom the key belongs to. For a service key, the person who created it.
    pub user_id: UserId,
    /// Whether the key belongs to the organization and not to a person.
    pub service: bool,
    /// The name that its creator gave it.
    pub name: String,
    /// The first characters of the secret.
    pub prefix: String,
    /// What the key may do.
    pub scope: ApiKeyScope,
    /// When the key was created.
    pub created_at: DateTime<Utc>,
    /// When the key was last used, with a precision of five minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When the key expires. `None` if it doesn't.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The key to create.
#[derive(Debug)]
pub struct CreateApiKey {
    /// The organization that the key will reach.
    pub organization_id: OrganizationId,
    /// A name for the key.
    pub name: String,
    /// What the key may do.
    pub scope: ApiKeyScope,
    /// When the key expires. `None` if it doesn't.
    pub expires_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// Advice, as a sentence, for when the creator of a service key has left.
    pub fn renewal_advice(&self) -> String {
        format!("Replace the service key {} ({}…): they were shown its secret.", self.id, self.prefix)
    }
}

/// Creates an API key for the actor. Its secret is returned only this once.
pub async fn create(database: &Database, actor: &Actor, command: &CreateApiKey) -> Result<(ApiKey, Token)> {
    make(database, actor, command, false).await
}

/// Creates a service key for the organization. Its secret is returned only this once. Requires
/// [`Action::ManageServiceKeys`].
pub async fn create_service(database: &Database, actor: &Actor, command: &CreateApiKey) -> Result<(ApiKey, Token)> {
    make(database, actor, command, true).await
}

async fn make(database: &Database, actor: &Actor, command: &CreateApiKey, service: bool) -> Result<(ApiKey, Token)> {
    let (user_id, _) = actor.signed_in("organizationId")?;
    let name = text::line("name", &command.name, limits::NAME)?;
    let organization_id = command.organization_id;
    database
        .transaction(async |transaction| {
            // A suspension locks the account, and that by an organization ends all of its keys. Under this lock, no key
            // can be created after it, not even for the personal organization.
            access::lock_users(transaction, &[user_id]).await?;
            let user = user::by_id(transaction, user_id).await?;
            user.require_unsuspended(transaction.deployment(), Reader::Themselves, "organizationId")?;
            let permit = access::enter(
                transaction,
                actor,
                organization_id,
                Lock::Membership,
                access::organization_not_found("organizationId"),
            )
            .await?;
            if service {
                permit.require(Action::ManageServiceKeys)?;
            }
            let at = now(transaction).await?;
            clock::require_future("expiresAt", command.expires_at, at)?;
            let alike: i64 = match service {
                true => of_organization(organization_id).count().get_result(&mut **transaction).await?,
                false => {
                    of_user(user_id)
                        .filter(api_keys::organization_id.eq(organization_id))
                        .count()
                        .get_result(&mut **transaction)
                        .await?
                }
            };
            if alike >= limits::MAX_API_KEYS {
                let message = format!("there are {alike} such keys here; revoke those that nobody uses");
                return Err(Error::refused(Code::TooMany, "organizationId", message));
            }
            let secret = Token::random(TOKEN_PREFIX)?;
            let key: ApiKey = diesel::insert_into(api_keys::table)
                .values((
                    api_keys::id.eq(ApiKeyId::new()),
                    api_keys::organization_id.eq(permit.organization_id()),
                    api_keys::user_id.eq(user_id),
                    api_keys::service.eq(service),
                    api_keys::name.eq(&name),
                    api_keys::prefix.eq(secret.reveal().chars().take(SHOWN).collect::<String>()),
                    api_keys::secret_digest.eq(Token::digest(secret.reveal())),
                    api_keys::scope.eq(command.scope),
                    api_keys::created_at.eq(at),
                    api_keys::expires_at.eq(command.expires_at),
                ))
                .returning(ApiKey::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let what = if service { "service key" } else { "API key" };
            let event = NewEvent::by(actor, organization_id, AuditAction::ApiKeyCreated, key.id)
                .summary(format!("made the {what} {}… ({})", key.prefix, key.scope))
                .with(json!({ "scope": key.scope.as_str(), "service": service, "expiresAt": key.expires_at }));
            audit::record(transaction, [event]).await?;
            Ok((key, secret))
        })
        .await
}

/// Revokes one of the actor's keys, or a service key if the actor may manage those.
pub async fn revoke(database: &Database, actor: &Actor, id: ApiKeyId) -> Result<ApiKeyId> {
    access::require_writing(actor, "id")?;
    actor.require_themselves("id")?;
    let not_found = || Refusal::new(Code::NotFound, "id", "there is no such API key, or it isn't yours");
    database
        .transaction(async |transaction| {
            let found: Option<ApiKey> =
                living().find(id).select(ApiKey::as_select()).first(&mut **transaction).await.optional()?;
            let key = found.ok_or_else(not_found)?;
            if key.service {
                let permit =
                    access::enter(transaction, actor, key.organization_id, Lock::Membership, not_found()).await?;
                permit.require_or(Action::ManageServiceKeys, "id", not_found())?;
            } else if !actor.is_in(key.organization_id, key.user_id) {
                return Err(not_found().into());
            }
            let revoked = diesel::update(living().find(id))
                .set(api_keys::revoked_at.eq(rollcall_now().nullable()))
                .prepared()
                .execute(&mut **transaction)
                .await?;
            if revoked == 0 {
                return Err(not_found().into());
            }
            let event = NewEvent::by(actor, key.organization_id, AuditAction::ApiKeyRevoked, id)
                .summary(if key.service { "revoked a service key" } else { "revoked an API key" });
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Revokes all of the user's keys for the organization (R32), and returns how many.
pub(crate) async fn revoke_for(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<usize> {
    Ok(diesel::update(of_user(user_id).filter(api_keys::organization_id.eq(organization_id)))
        .set(api_keys::revoked_at.eq(rollcall_now().nullable()))
        .prepared()
        .execute(&mut **transaction)
        .await?)
}

/// Revokes all of the user's keys, because the account is being suspended or deleted (R32).
pub(crate) async fn revoke_all(transaction: &mut Transaction, user_id: UserId) -> Result<()> {
    diesel::update(of_user(user_id))
        .set(api_keys::revoked_at.eq(rollcall_now().nullable()))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Revokes the service keys of a personal organization, because the account is being suspended (R32).
pub(crate) async fn revoke_services(transaction: &mut Transaction, personal: OrganizationId) -> Result<()> {
    diesel::update(of_organization(personal))
        .set(api_keys::revoked_at.eq(rollcall_now().nullable()))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// The valid keys of a member.
pub(crate) async fn of_member(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<Vec<ApiKey>> {
    Ok(of_user(user_id)
        .filter(api_keys::organization_id.eq(organization_id))
        .order(api_keys::id)
        .select(ApiKey::as_select())
        .load(connection)
        .await?)
}

/// The valid service keys of an organization whose secret somebody was shown. They should be replaced once that person
/// has left (R42).
pub async fn known_to(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<Vec<ApiKey>> {
    Ok(of_organization(organization_id)
        .filter(api_keys::user_id.eq(user_id))
        .order(api_keys::id)
        .select(ApiKey::as_select())
        .load(connection)
        .await?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn living() -> _ {
    api_keys::table.filter(api_keys::revoked_at.is_null())
}

/// The keys of a person that aren't revoked. They may have expired.
#[diesel::dsl::auto_type(no_type_alias)]
fn of_user(user_id: UserId) -> _ {
    api_keys::table
        .filter(api_keys::revoked_at.is_null())
        .filter(diesel::dsl::not(api_keys::service))
        .filter(api_keys::user_id.eq(user_id))
}

/// The service keys of an organization that aren't revoked. They may have expired.
#[diesel::dsl::auto_type(no_type_alias)]
fn of_organization(organization_id: OrganizationId) -> _ {
    api_keys::table
        .filter(api_keys::revoked_at.is_null())
        .filter(api_keys::service)
        .filter(api_keys::organization_id.eq(organization_id))
}

/// Loads those keys that the actor may see: their own keys, and service keys that they may manage.
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[ApiKeyId]) -> Result<Vec<ApiKey>> {
    let found: Vec<ApiKey> =
        living().filter(api_keys::id.eq_any(ids)).select(ApiKey::as_select()).load(connection).await?;
    let organizations = found.iter().filter(|key| key.service).map(|key| key.organization_id);
    let permits = access::permits(connection, actor, organizations).await?;
    let may_see = |key: &ApiKey| match key.service {
        true => {
            permits.get(&key.organization_id).is_some_and(|permit| permit.standing().allows(Action::ManageServiceKeys))
        }
        false => actor.is_in(key.organization_id, key.user_id),
    };
    Ok(found.into_iter().filter(may_see).collect())
}

type Query = diesel::helper_types::IntoBoxed<'static, api_keys::table, diesel::pg::Pg>;

/// The person's keys, limited to what this actor reaches.
fn reached(reach: &Reach) -> Query {
    let query = api_keys::table
        .into_boxed()
        .filter(api_keys::revoked_at.is_null())
        .filter(diesel::dsl::not(api_keys::service))
        .filter(api_keys::user_id.eq(reach.user_id()));
    match reach.within().ids() {
        Some(ids) => query.filter(api_keys::organization_id.eq_any(ids.to_vec())),
        None => query,
    }
}

/// A page of the actor's keys, oldest first.
pub async fn list(connection: &mut AsyncPgConnection, actor: &Actor, page: &PageRequest) -> Result<Page<ApiKey>> {
    let slice = page.slice()?;
    let Some(reach) = actor.reach() else { return Ok(Page::default()) };
    let query = reached(&reach).select(ApiKey::as_select());
    let rows = by_id!(query, slice, api_keys::id).load(connection).await?;
    slice.page(rows, |key| key.id)
}

/// The number of the actor's keys.
pub async fn count(connection: &mut AsyncPgConnection, actor: &Actor) -> Result<i64> {
    let Some(reach) = actor.reach() else { return Ok(0) };
    Ok(reached(&reach).select(diesel::dsl::count_star()).first(connection).await?)
}

/// A page of the organization's service keys, oldest first. FORBIDDEN for members who may not manage them.
pub async fn list_services(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    page: &PageRequest,
) -> Result<Page<ApiKey>> {
    permit.require(Action::ManageServiceKeys)?;
    let slice = page.slice()?;
    let query = of_organization(permit.organization_id()).select(ApiKey::as_select()).into_boxed();
    let rows = by_id!(query, slice, api_keys::id).load(connection).await?;
    slice.page(rows, |key| key.id)
}

/// The number of the organization's service keys.
pub async fn count_services(connection: &mut AsyncPgConnection, permit: &Permit) -> Result<i64> {
    permit.require(Action::ManageServiceKeys)?;
    Ok(of_organization(permit.organization_id()).count().get_result(connection).await?)
}
