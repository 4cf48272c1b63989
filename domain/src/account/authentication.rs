//! The actor of a bearer token, read from the database for every request by one indexed query.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Binary, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::join;

use crate::account::identity::{IssuedToken, Recognized};
use crate::account::{api_key, grant_invitation, identity, platform_key, session};
use crate::authority::actor::{Actor, ApiKeyScope};
use crate::authority::membership::MemberStatus;
use crate::authority::platform::{PlatformActor, PlatformIdentity, PlatformScope, PlatformScopes, Within};
use crate::base::error::{Error, Result};
use crate::base::id::{ApiKeyId, OrganizationId, PlatformKeyId, SessionId, UserId};
use crate::base::limits;
use crate::base::secret::Token;
use crate::base::sql::{Prepare as _, statement};
use crate::database::schema::{api_keys, members, organizations, platform_key_secrets, platform_keys, sessions, users};
use crate::database::{Database, rollcall_now};

/// The actor of a bearer token; UNAUTHENTICATED where it is unknown, expired or revoked.
pub async fn authenticate(database: &Database, token: &str) -> Result<Actor> {
    let mut connection = database.connection().await?;
    if token.starts_with(session::TOKEN_PREFIX) {
        let (actor, is_seen_again) = by_session(&mut connection, token).await?;
        drop(connection);
        take_up_if(database, &actor, is_seen_again).await;
        Ok(actor)
    } else if token.starts_with(api_key::TOKEN_PREFIX) {
        by_api_key(&mut connection, token).await
    } else if token.starts_with(platform_key::TOKEN_PREFIX) {
        let key = by_platform_key(&mut connection, token).await?;
        Ok(Actor::Platform(Arc::new(key)))
    } else {
        Err(Error::Unauthenticated)
    }
}

/// The actor of a token that an issuer has signed (R92). `None` if a session has to be begun for it first, also for
/// people who are seen for the first time.
///
/// # Errors
///
/// UNAUTHENTICATED if the identity's session was ended after the token had been issued, or the platform has suspended
/// the account.
pub async fn authenticate_issued(database: &Database, token: &IssuedToken) -> Result<Option<Actor>> {
    let mut connection = database.connection().await?;
    let Some(found) = identity::find(&mut connection, token).await? else { return Ok(None) };
    let Some(Recognized { actor, last_seen_at, now }) = found.actor(token)? else { return Ok(None) };
    let is_seen_again = is_stale(Some(last_seen_at), now);
    if is_seen_again {
        identity::note_use(&mut connection, found.id, now).await?;
        if let Some((_, session_id)) = actor.session() {
            note_seen(&mut connection, session_id, now).await?;
        }
    }
    drop(connection);
    take_up_if(database, &actor, is_seen_again).await;
    Ok(Some(actor))
}

/// Takes up what was shared with the address of somebody who is seen again after a while.
async fn take_up_if(database: &Database, actor: &Actor, is_seen_again: bool) {
    if let (true, Some(reach)) = (is_seen_again, actor.reach()) {
        // Nobody is kept from what they came for by what is shared with them just now.
        if let Err(error) = grant_invitation::take_up_meanwhile(database, reach.user_id()).await {
            tracing::warn!(%error, "what was shared with an address could not be taken up; the next request in some minutes tries again");
        }
    }
}

/// Writes down that a session was used.
async fn note_seen(connection: &mut AsyncPgConnection, session_id: SessionId, at: DateTime<Utc>) -> Result<()> {
    diesel::update(sessions::table.find(session_id))
        .set(sessions::last_seen_at.eq(at))
        .prepared()
        .execute(connection)
        .await?;
    Ok(())
}

/// The accounts that may act.
macro_rules! active_users {
    () => {
        users::table.filter(users::suspended_at.is_null()).filter(users::deleted_at.is_null())
    };
}

/// For whom a platform key acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnBehalfOf {
    /// The account with this id.
    Id(UserId),
    /// The account with this id of the platform's own.
    ExternalId(String),
}

/// The actor of a platform key's token that acts for a person (R86); UNAUTHENTICATED where the token is unknown,
/// expired or revoked, or lacks the scope, and where nobody who may act is named.
pub async fn authenticate_on_behalf(database: &Database, token: &str, named: &OnBehalfOf) -> Result<Actor> {
    let mut connection = database.connection().await?;
    if !token.starts_with(platform_key::TOKEN_PREFIX) {
        return Err(Error::Unauthenticated);
    }
    let key = by_platform_key(&mut connection, token).await?;
    if !key.scopes.has(PlatformScope::ActForUsers) {
        return Err(Error::Unauthenticated);
    }
    let users = active_users!().select(users::id).into_boxed();
    let named = match named {
        OnBehalfOf::Id(user_id) => users.filter(users::id.eq(*user_id)),
        OnBehalfOf::ExternalId(external_id) => users.filter(users::external_id.eq(external_id)),
    };
    let found: Option<UserId> = named.first(&mut connection).await.optional()?;
    let user_id = found.ok_or(Error::Unauthenticated)?;
    Ok(Actor::OnBehalf { user_id, key: Arc::new(key) })
}

/// The secrets of platform keys that work.
macro_rules! live_platform_secrets {
    () => {
        platform_key_secrets::table
            .inner_join(platform_keys::table.on(platform_keys::id.eq(platform_key_secrets::platform_key_id)))
            .filter(
                platform_key_secrets::ends_at.is_null().or(platform_key_secrets::ends_at.gt(rollcall_now().nullable())),
            )
            .filter(platform_keys::revoked_at.is_null())
            .filter(platform_keys::expires_at.is_null().or(platform_keys::expires_at.gt(rollcall_now().nullable())))
    };
}

/// The sessions that work, with their users. Those of an account that the platform has suspended rest (R84).
macro_rules! live_sessions {
    () => {
        sessions::table
            .inner_join(users::table.on(users::id.eq(sessions::user_id)))
            .filter(sessions::expires_at.gt(rollcall_now()))
            .filter(users::platform_suspension.is_null())
    };
}

/// The API keys that work.
macro_rules! live_api_keys {
    () => {
        api_keys::table
            .inner_join(
                members::table.on(members::organization_id
                    .eq(api_keys::organization_id)
                    .and(members::user_id.eq(api_keys::user_id))),
            )
            .inner_join(users::table.on(users::id.eq(api_keys::user_id)))
            .inner_join(organizations::table.on(organizations::id.eq(api_keys::organization_id)))
            .filter(api_keys::revoked_at.is_null())
            .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(rollcall_now().nullable())))
            // Whoever made a service key may be gone, unless it belongs to their personal organization.
            .filter(
                api_keys::service
                    .and(organizations::personal_user_id.is_null())
                    .or(members::status.eq(MemberStatus::Active).and(users::suspended_at.is_null())),
            )
            .filter(organizations::deleted_at.is_null())
    };
}

/// Returns those of the actors who are still what they were when they were authenticated: their session or key hasn't
/// ended, and a session's account is suspended exactly if it was then. There are at most four statements, sent
/// together, however many actors there are.
pub async fn still_valid(connection: &AsyncPgConnection, actors: &HashSet<Actor>) -> Result<HashSet<Actor>> {
    let (mut session_ids, mut api_key_ids) = (Vec::new(), Vec::new());
    let (mut platform_secrets, mut user_ids) = (Vec::new(), Vec::new());
    for actor in actors {
        match actor {
            Actor::User { session_id, .. } => session_ids.push(*session_id),
            Actor::ApiKey { api_key_id, .. } | Actor::Service { api_key_id, .. } => api_key_ids.push(*api_key_id),
            Actor::Platform(key) => platform_secrets.extend(key.secret_digest()),
            Actor::OnBehalf { user_id, key } => {
                platform_secrets.extend(key.secret_digest());
                user_ids.push(*user_id);
            }
            // Staff tokens are settings, which last as long as the process.
            Actor::Staff { .. } => {}
        }
    }
    let sessions = async {
        if session_ids.is_empty() {
            return Ok(Vec::new());
        }
        live_sessions!()
            .filter(sessions::id.eq_any(session_ids))
            .select((sessions::id, (users::suspended_at.is_not_null(), rollcall_now())))
            .load::<(SessionId, (bool, DateTime<Utc>))>(&mut &*connection)
            .await
    };
    let api_keys = async {
        if api_key_ids.is_empty() {
            return Ok(Vec::new());
        }
        live_api_keys!()
            .filter(api_keys::id.eq_any(api_key_ids))
            .select(api_keys::id)
            .load::<ApiKeyId>(&mut &*connection)
            .await
    };
    let platform_keys = async {
        if platform_secrets.is_empty() {
            return Ok(Vec::new());
        }
        live_platform_secrets!()
            .filter(platform_key_secrets::digest.eq_any(platform_secrets))
            .select(platform_key_secrets::digest)
            .load::<Vec<u8>>(&mut &*connection)
            .await
    };
    let users = async {
        if user_ids.is_empty() {
            return Ok(Vec::new());
        }
        active_users!().filter(users::id.eq_any(user_ids)).select(users::id).load::<UserId>(&mut &*connection).await
    };
    let (sessions, api_keys, platform_keys, users) = join!(sessions, api_keys, platform_keys, users);
    let platform_secrets: HashSet<Vec<u8>> = platform_keys?.into_iter().collect();
    let users: HashSet<UserId> = users?.into_iter().collect();
    let sessions: HashMap<SessionId, (bool, DateTime<Utc>)> = sessions?.into_iter().collect();
    let api_keys: HashSet<ApiKeyId> = api_keys?.into_iter().collect();
    let has_secret = |key: &PlatformActor| key.secret_digest().is_some_and(|digest| platform_secrets.contains(digest));
    let is_valid = |actor: &&Actor| match actor {
        Actor::User { session_id, until, suspended, .. } => sessions
            .get(session_id)
            .is_some_and(|(is_suspended, now)| is_suspended == suspended && until.is_none_or(|until| until > *now)),
        Actor::ApiKey { api_key_id, .. } | Actor::Service { api_key_id, .. } => api_keys.contains(api_key_id),
        Actor::Platform(key) => has_secret(key),
        Actor::OnBehalf { user_id, key } => has_secret(key) && users.contains(user_id),
        Actor::Staff { .. } => true,
    };
    Ok(actors.iter().filter(is_valid).cloned().collect())
}

/// Whether the last use was written down so long ago that it is time again.
fn is_stale(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    last.is_none_or(|last| (now - last).to_std().is_ok_and(|age| age > limits::LAST_SEEN_GRAIN))
}

/// The actor of a session, and whether that was last seen so long ago that it was written down again.
async fn by_session(connection: &mut AsyncPgConnection, token: &str) -> Result<(Actor, bool)> {
    type Row = (SessionId, UserId, DateTime<Utc>, Option<DateTime<Utc>>, DateTime<Utc>);
    let found: Option<Row> = live_sessions!()
        .filter(sessions::token_digest.eq(Token::digest(token)))
        .select((sessions::id, sessions::user_id, sessions::last_seen_at, users::suspended_at, rollcall_now()))
        .first(connection)
        .await
        .optional()?;
    let (session_id, user_id, last_seen_at, suspended_at, now) = found.ok_or(Error::Unauthenticated)?;
    let is_seen_again = is_stale(Some(last_seen_at), now);
    if is_seen_again {
        note_seen(connection, session_id, now).await?;
    }
    Ok((Actor::User { user_id, session_id, until: None, suspended: suspended_at.is_some() }, is_seen_again))
}

async fn by_api_key(connection: &mut AsyncPgConnection, token: &str) -> Result<Actor> {
    type Row = (ApiKeyId, UserId, bool, OrganizationId, ApiKeyScope, Option<DateTime<Utc>>, DateTime<Utc>);
    let found: Option<Row> = live_api_keys!()
        .filter(api_keys::secret_digest.eq(Token::digest(token)))
        .select((
            api_keys::id,
            api_keys::user_id,
            api_keys::service,
            api_keys::organization_id,
            api_keys::scope,
            api_keys::last_used_at,
            rollcall_now(),
        ))
        .first(connection)
        .await
        .optional()?;
    let (api_key_id, user_id, service, organization_id, scope, last_used_at, now) =
        found.ok_or(Error::Unauthenticated)?;
    if is_stale(last_used_at, now) {
        diesel::update(api_keys::table.find(api_key_id))
            .set(api_keys::last_used_at.eq(now))
            .prepared()
            .execute(connection)
            .await?;
    }
    Ok(match service {
        true => Actor::Service { api_key_id, organization_id, scope },
        false => Actor::ApiKey { api_key_id, user_id, organization_id, scope },
    })
}

#[derive(QueryableByName)]
struct PlatformKeyRow {
    #[diesel(sql_type = SqlUuid)]
    id: PlatformKeyId,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Array<Text>)]
    scopes: Vec<PlatformScope>,
    #[diesel(sql_type = Nullable<Array<SqlUuid>>)]
    organizations: Option<Vec<OrganizationId>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_used_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

statement! {
    struct PlatformKeyOf { digest: Binary = Vec<u8> } =
        "SELECT k.id, k.name, k.scopes, k.last_used_at, rollcall_now() AS now, CASE WHEN k.limited THEN \
           ARRAY(SELECT o.organization_id FROM platform_key_organizations o WHERE o.platform_key_id = k.id) END AS organizations \
         FROM platform_key_secrets s JOIN platform_keys k ON k.id = s.platform_key_id \
         WHERE s.digest = :digest AND (s.ends_at IS NULL OR s.ends_at > rollcall_now()) \
           AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > rollcall_now())"
}

async fn by_platform_key(connection: &mut AsyncPgConnection, token: &str) -> Result<PlatformActor> {
    let found: Option<PlatformKeyRow> =
        PlatformKeyOf { digest: Token::digest(token) }.query().get_result(connection).await.optional()?;
    let PlatformKeyRow { id, name, scopes, organizations, last_used_at, now } = found.ok_or(Error::Unauthenticated)?;
    if is_stale(last_used_at, now) {
        diesel::update(platform_keys::table.find(id))
            .set(platform_keys::last_used_at.eq(now))
            .prepared()
            .execute(connection)
            .await?;
    }
    let scopes: PlatformScopes = scopes.into_iter().collect();
    let within = organizations.map_or(Within::All, Within::only);
    let identity = PlatformIdentity::Key { id, name, secret_digest: Token::digest(token) };
    Ok(PlatformActor { identity, scopes, within })
}
