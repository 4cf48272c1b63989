//! API keys: a person's way in for programs, in one organization only.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::access::{self, Lock};
use crate::actor::Actor;
use crate::audit::{self, AuditAction, NewEvent};
use crate::database::schema::api_keys;
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::error::{Code, Error, Result};
use crate::id::{ApiKeyId, OrganizationId, UserId};
use crate::limits;
use crate::page::{Page, PageRequest, by_id};
use crate::secret::Token;
use crate::text;
use crate::text_enum::text_enum;

/// What API keys begin with.
pub(crate) const TOKEN_PREFIX: &str = "rck_";
/// Characters of the secret that are kept to tell keys apart.
const SHOWN: usize = 8;

text_enum! {
    /// What a key may do.
    ApiKeyScope {
        /// Only read.
        Read = "read",
        /// All that its person may do in the organization.
        Write = "write",
    }
}

/// An API key.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The only organization it reaches.
    pub organization_id: OrganizationId,
    /// Whose it is.
    pub user_id: UserId,
    /// What its person calls it.
    pub name: String,
    /// The first characters of the secret.
    pub prefix: String,
    /// What it may do.
    pub scope: ApiKeyScope,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to within five minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key to be made.
#[derive(Debug)]
pub struct CreateApiKey {
    /// The organization it shall reach.
    pub organization_id: OrganizationId,
    /// What to call it.
    pub name: String,
    /// What it may do.
    pub scope: ApiKeyScope,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes a key for the actor; its secret is shown this once.
pub async fn create(database: &Database, actor: &Actor, command: &CreateApiKey) -> Result<(ApiKey, Token)> {
    let (user_id, _) = actor.signed_in("organizationId")?;
    let name = text::line("name", &command.name, limits::NAME)?;
    let organization_id = command.organization_id;
    database
        .transaction(async |transaction| {
            let permit = access::enter(
                transaction,
                actor,
                organization_id,
                Lock::Membership,
                access::organization_not_found("organizationId"),
            )
            .await?;
            let at = now(transaction).await?;
            if command.expires_at.is_some_and(|expires_at| expires_at <= at) {
                return Err(Error::refused(Code::Invalid, "expiresAt", "must lie in the future"));
            }
            let living: i64 = living()
                .filter(api_keys::user_id.eq(user_id))
                .filter(api_keys::organization_id.eq(organization_id))
                .count()
                .get_result(&mut **transaction)
                .await?;
            if living >= limits::MAX_API_KEYS {
                return Err(Error::refused(
                    Code::TooMany,
                    "organizationId",
                    format!("you have {living} keys here; revoke those that nobody uses"),
                ));
            }
            let secret = Token::random(TOKEN_PREFIX)?;
            let key: ApiKey = diesel::insert_into(api_keys::table)
                .values((
                    api_keys::id.eq(ApiKeyId::new()),
                    api_keys::organization_id.eq(permit.organization_id()),
                    api_keys::user_id.eq(user_id),
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
            let event = NewEvent::by(actor, organization_id, AuditAction::ApiKeyCreated, key.id)
                .summary(format!("made the API key {}… ({})", key.prefix, key.scope))
                .with(json!({ "scope": key.scope.as_str(), "expires_at": key.expires_at }));
            audit::record(transaction, [event]).await?;
            Ok((key, secret))
        })
        .await
}

/// Revokes a key of the actor.
pub async fn revoke(database: &Database, actor: &Actor, id: ApiKeyId) -> Result<ApiKeyId> {
    access::require_writing(actor, "id")?;
    let not_found = || Error::refused(Code::NotFound, "id", "you have no such API key");
    let user_id = actor.user_id().ok_or_else(not_found)?;
    database
        .transaction(async |transaction| {
            let revoked: Option<OrganizationId> = diesel::update(
                api_keys::table.find(id).filter(api_keys::user_id.eq(user_id)).filter(api_keys::revoked_at.is_null()),
            )
            .set(api_keys::revoked_at.eq(rollcall_now().nullable()))
            .returning(api_keys::organization_id)
            .get_result(&mut **transaction)
            .await
            .optional()?;
            let organization_id = revoked.filter(|id| actor.reaches(*id)).ok_or_else(not_found)?;
            let event =
                NewEvent::by(actor, organization_id, AuditAction::ApiKeyRevoked, id).summary("revoked an API key");
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Revokes every key of the user for the organization (R32); how many.
pub(crate) async fn revoke_for(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<usize> {
    Ok(diesel::update(
        api_keys::table
            .filter(api_keys::organization_id.eq(organization_id))
            .filter(api_keys::user_id.eq(user_id))
            .filter(api_keys::revoked_at.is_null()),
    )
    .set(api_keys::revoked_at.eq(rollcall_now().nullable()))
    .execute(&mut **transaction)
    .await?)
}

/// Revokes every key of the user: for an account that is suspended or deleted (R32).
pub(crate) async fn revoke_all(transaction: &mut Transaction, user_id: UserId) -> Result<()> {
    diesel::update(api_keys::table.filter(api_keys::user_id.eq(user_id)).filter(api_keys::revoked_at.is_null()))
        .set(api_keys::revoked_at.eq(rollcall_now().nullable()))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// The living keys of a member.
pub(crate) async fn of_member(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<Vec<ApiKey>> {
    Ok(living()
        .filter(api_keys::organization_id.eq(organization_id))
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

/// The user's keys of the ids.
pub async fn by_ids(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[ApiKeyId]) -> Result<Vec<ApiKey>> {
    let Some(user_id) = actor.user_id() else { return Ok(Vec::new()) };
    let mut query = living()
        .filter(api_keys::user_id.eq(user_id))
        .filter(api_keys::id.eq_any(ids))
        .select(ApiKey::as_select())
        .into_boxed();
    if let Some(only) = actor.only_organization() {
        query = query.filter(api_keys::organization_id.eq(only));
    }
    Ok(query.load(connection).await?)
}

/// A page of the actor's keys, oldest first.
pub async fn list(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    user_id: UserId,
    page: &PageRequest,
) -> Result<Page<ApiKey>> {
    let slice = page.slice()?;
    let mut query = living().filter(api_keys::user_id.eq(user_id)).select(ApiKey::as_select()).into_boxed();
    if let Some(only) = actor.only_organization() {
        query = query.filter(api_keys::organization_id.eq(only));
    }
    let rows = by_id!(query, slice, api_keys::id).load(connection).await?;
    slice.page(rows, |key| key.id)
}

/// How many keys the actor has.
pub async fn count(connection: &mut AsyncPgConnection, actor: &Actor, user_id: UserId) -> Result<i64> {
    let mut query = living().filter(api_keys::user_id.eq(user_id)).into_boxed();
    if let Some(only) = actor.only_organization() {
        query = query.filter(api_keys::organization_id.eq(only));
    }
    Ok(query.count().get_result(connection).await?)
}
