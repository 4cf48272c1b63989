//! Platform keys, with which a platform's own services call (R85). Staff create, rotate and revoke them. They belong to
//! no person and no organization, so what happens to them is in the deployment's own log.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::PlatformScope;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, PlatformKeyId};
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::secret::Token;
use crate::base::sql::Prepare as _;
use crate::base::{clock, limits, text};
use crate::database::schema::{organizations, platform_key_organizations, platform_key_secrets, platform_keys};
use crate::database::{Database, Transaction, now};

/// The prefix of platform keys' secrets.
pub(crate) const TOKEN_PREFIX: &str = "rcp_";
/// The number of characters of the secret that are kept, so that people can tell keys apart.
const SHOWN: usize = 8;
/// What staff are told who aren't.
const FOR_STAFF: &str = "ask them";

/// A platform key.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = platform_keys)]
pub struct PlatformKey {
    /// The key's id.
    pub id: PlatformKeyId,
    /// The name that staff gave it, which the audit log shows.
    pub name: String,
    /// The first characters of the newest secret.
    pub prefix: String,
    /// What the key may do.
    pub scopes: Vec<PlatformScope>,
    /// Whether the key reaches some organizations only.
    pub limited: bool,
    /// When the key was created.
    pub created_at: DateTime<Utc>,
    /// When the key was last used, with a precision of five minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When the key expires. `None` if it doesn't.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the key was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The key to create.
#[derive(Debug)]
pub struct CreatePlatformKey {
    /// A name for the key.
    pub name: String,
    /// What the key may do.
    pub scopes: Vec<PlatformScope>,
    /// The organizations that the key reaches. `None` for all.
    pub organization_ids: Option<Vec<OrganizationId>>,
    /// When the key expires. `None` if it doesn't.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Creates a platform key. Its secret is returned only this once.
///
/// # Errors
///
/// FORBIDDEN on `name` for everybody but staff; BLANK, TOO_LONG or INVALID on `name`; BLANK on `scopes`; BLANK,
/// TOO_MANY or NOT_FOUND on `organizationIds`; INVALID on `expiresAt`.
pub async fn create(database: &Database, actor: &Actor, command: &CreatePlatformKey) -> Result<(PlatformKey, Token)> {
    actor.require_staff("name", FOR_STAFF)?;
    let name = text::line("name", &command.name, limits::NAME)?;
    let scopes: BTreeSet<PlatformScope> = command.scopes.iter().copied().collect();
    if scopes.is_empty() {
        return Err(Error::refused(Code::Blank, "scopes", "name at least one scope"));
    }
    let limited_to: Option<BTreeSet<OrganizationId>> =
        command.organization_ids.as_ref().map(|ids| ids.iter().copied().collect());
    match limited_to.as_ref().map(BTreeSet::len) {
        Some(0) => {
            let message = "name at least one organization, or leave this out for all";
            return Err(Error::refused(Code::Blank, "organizationIds", message));
        }
        Some(number) if number > limits::MAX_PLATFORM_KEY_ORGANIZATIONS => {
            let message = format!("must be at most {}", limits::MAX_PLATFORM_KEY_ORGANIZATIONS);
            return Err(Error::refused(Code::TooMany, "organizationIds", message));
        }
        _ => {}
    }
    database
        .transaction(async |transaction| {
            let at = now(transaction).await?;
            clock::require_future("expiresAt", command.expires_at, at)?;
            let secret = Token::random(TOKEN_PREFIX)?;
            let key: PlatformKey = diesel::insert_into(platform_keys::table)
                .values((
                    platform_keys::id.eq(PlatformKeyId::new()),
                    platform_keys::name.eq(&name),
                    platform_keys::prefix.eq(shown(&secret)),
                    platform_keys::scopes.eq(words(&scopes)),
                    platform_keys::limited.eq(limited_to.is_some()),
                    platform_keys::created_at.eq(at),
                    platform_keys::expires_at.eq(command.expires_at),
                ))
                .returning(PlatformKey::as_returning())
                .get_result(&mut **transaction)
                .await?;
            if let Some(ids) = &limited_to {
                limit(transaction, key.id, ids).await?;
            }
            add_secret(transaction, key.id, &secret).await?;
            let event = NewEvent::of_deployment(actor, AuditAction::PlatformKeyCreated, key.id)
                .summary(format!("made the platform key {} ({}…)", key.name, key.prefix))
                .with(json!({ "name": key.name, "scopes": words(&scopes), "expiresAt": key.expires_at,
                    "organizationIds": limited_to.as_ref().map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>()) }));
            audit::record(transaction, [event]).await?;
            Ok((key, secret))
        })
        .await
}

fn words(scopes: &BTreeSet<PlatformScope>) -> Vec<&'static str> {
    scopes.iter().map(|scope| scope.as_str()).collect()
}

fn shown(secret: &Token) -> String {
    secret.reveal().chars().take(SHOWN).collect()
}

async fn limit(transaction: &mut Transaction, id: PlatformKeyId, ids: &BTreeSet<OrganizationId>) -> Result<()> {
    let found: BTreeSet<OrganizationId> = organizations::table
        .filter(organizations::id.eq_any(ids))
        .select(organizations::id)
        .for_key_share()
        .load(&mut **transaction)
        .await?
        .into_iter()
        .collect();
    if let Some(unknown) = ids.difference(&found).next() {
        let message = format!("there is no organization {unknown}");
        return Err(Error::refused(Code::NotFound, "organizationIds", message));
    }
    let row = |organization_id: &OrganizationId| {
        (
            platform_key_organizations::platform_key_id.eq(id),
            platform_key_organizations::organization_id.eq(*organization_id),
        )
    };
    let rows: Vec<_> = ids.iter().map(row).collect();
    diesel::insert_into(platform_key_organizations::table).values(rows).execute(&mut **transaction).await?;
    Ok(())
}

async fn add_secret(transaction: &mut Transaction, id: PlatformKeyId, secret: &Token) -> Result<()> {
    diesel::insert_into(platform_key_secrets::table)
        .values((
            platform_key_secrets::digest.eq(Token::digest(secret.reveal())),
            platform_key_secrets::platform_key_id.eq(id),
        ))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Locks a key that isn't revoked. A key that has expired can't be rotated either, since its new secret wouldn't work.
async fn lock(transaction: &mut Transaction, id: PlatformKeyId) -> Result<PlatformKey> {
    let found: Option<PlatformKey> = platform_keys::table
        .find(id)
        .select(PlatformKey::as_select())
        .for_no_key_update()
        .first(&mut **transaction)
        .await
        .optional()?;
    let key = found.ok_or_else(|| Refusal::new(Code::NotFound, "id", "there is no such platform key"))?;
    match key.revoked_at {
        None => Ok(key),
        Some(_) => Err(Error::refused(Code::Revoked, "id", "this platform key was revoked before")),
    }
}

/// Gives a key a new secret, which is returned only this once. The one before it works on for as long as is said; older
/// ones end no later than that.
///
/// # Errors
///
/// On `id`: FORBIDDEN for everybody but staff, NOT_FOUND, REVOKED, EXPIRED. INVALID on `overlapHours`.
pub async fn rotate(
    database: &Database,
    actor: &Actor,
    id: PlatformKeyId,
    overlap_hours: i32,
) -> Result<(PlatformKey, Token)> {
    actor.require_staff("id", FOR_STAFF)?;
    if !(0..=limits::MAX_PLATFORM_KEY_OVERLAP_HOURS).contains(&overlap_hours) {
        let message = format!("must be 0 to {} hours", limits::MAX_PLATFORM_KEY_OVERLAP_HOURS);
        return Err(Error::refused(Code::Invalid, "overlapHours", message));
    }
    database
        .transaction(async |transaction| {
            let key = lock(transaction, id).await?;
            let at = now(transaction).await?;
            if key.expires_at.is_some_and(|expires_at| expires_at <= at) {
                return Err(Error::refused(Code::Expired, "id", "this platform key has expired; create another one"));
            }
            let ends_at = at + TimeDelta::hours(overlap_hours.into());
            diesel::update(
                platform_key_secrets::table
                    .filter(platform_key_secrets::platform_key_id.eq(id))
                    .filter(platform_key_secrets::ends_at.is_null().or(platform_key_secrets::ends_at.gt(ends_at))),
            )
            .set(platform_key_secrets::ends_at.eq(ends_at))
            .execute(&mut **transaction)
            .await?;
            diesel::delete(
                platform_key_secrets::table
                    .filter(platform_key_secrets::platform_key_id.eq(id))
                    .filter(platform_key_secrets::ends_at.le(at)),
            )
            .execute(&mut **transaction)
            .await?;
            let secret = Token::random(TOKEN_PREFIX)?;
            add_secret(transaction, id, &secret).await?;
            let key: PlatformKey = diesel::update(platform_keys::table.find(id))
                .set(platform_keys::prefix.eq(shown(&secret)))
                .returning(PlatformKey::as_returning())
                .prepared()
                .get_result(&mut **transaction)
                .await?;
            let event = NewEvent::of_deployment(actor, AuditAction::PlatformKeyRotated, id)
                .summary(format!("gave the platform key {} a new secret ({}…)", key.name, key.prefix))
                .with(json!({ "name": key.name, "overlapHours": overlap_hours }));
            audit::record(transaction, [event]).await?;
            Ok((key, secret))
        })
        .await
}

/// Revokes a key with all its secrets, at once and for good.
///
/// # Errors
///
/// On `id`: FORBIDDEN for everybody but staff, NOT_FOUND, REVOKED.
pub async fn revoke(database: &Database, actor: &Actor, id: PlatformKeyId) -> Result<PlatformKey> {
    actor.require_staff("id", FOR_STAFF)?;
    database
        .transaction(async |transaction| {
            lock(transaction, id).await?;
            let at = now(transaction).await?;
            let key: PlatformKey = diesel::update(platform_keys::table.find(id))
                .set(platform_keys::revoked_at.eq(at))
                .returning(PlatformKey::as_returning())
                .prepared()
                .get_result(&mut **transaction)
                .await?;
            diesel::delete(platform_key_secrets::table.filter(platform_key_secrets::platform_key_id.eq(id)))
                .execute(&mut **transaction)
                .await?;
            let event = NewEvent::of_deployment(actor, AuditAction::PlatformKeyRevoked, id)
                .summary(format!("revoked the platform key {} ({}…)", key.name, key.prefix))
                .with(json!({ "name": key.name }));
            audit::record(transaction, [event]).await?;
            Ok(key)
        })
        .await
}

/// Returns the platform keys with these ids, for staff; nobody else may see any.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[PlatformKeyId],
) -> Result<Vec<PlatformKey>> {
    if !actor.is_staff() {
        return Ok(Vec::new());
    }
    Ok(platform_keys::table
        .filter(platform_keys::id.eq_any(ids))
        .select(PlatformKey::as_select())
        .load(connection)
        .await?)
}

/// Returns the organizations to which keys are limited.
pub async fn organizations_of(
    connection: &mut AsyncPgConnection,
    ids: &[PlatformKeyId],
) -> Result<HashMap<PlatformKeyId, Vec<OrganizationId>>> {
    let rows: Vec<(PlatformKeyId, OrganizationId)> = platform_key_organizations::table
        .filter(platform_key_organizations::platform_key_id.eq_any(ids))
        .order((platform_key_organizations::platform_key_id, platform_key_organizations::organization_id))
        .select((platform_key_organizations::platform_key_id, platform_key_organizations::organization_id))
        .load(connection)
        .await?;
    let mut organizations: HashMap<PlatformKeyId, Vec<OrganizationId>> = HashMap::new();
    for (id, organization_id) in rows {
        organizations.entry(id).or_default().push(organization_id);
    }
    Ok(organizations)
}

/// Returns a page of all platform keys, oldest first, for staff.
pub async fn list(connection: &mut AsyncPgConnection, page: &PageRequest) -> Result<Page<PlatformKey>> {
    let slice = page.slice()?;
    let query = platform_keys::table.select(PlatformKey::as_select()).into_boxed();
    let rows = by_id!(query, slice, platform_keys::id).load(connection).await?;
    slice.page(rows, |key: &PlatformKey| key.id)
}

/// Counts all platform keys.
pub async fn count(connection: &mut AsyncPgConnection) -> Result<i64> {
    Ok(platform_keys::table.count().get_result(connection).await?)
}
