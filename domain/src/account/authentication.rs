//! The actor of a bearer token, read from the database for every request by one indexed query.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::account::{api_key, grant_invitation, session};
use crate::authority::actor::{Actor, ApiKeyScope};
use crate::authority::membership::MemberStatus;
use crate::base::error::{Error, Result};
use crate::base::id::{ApiKeyId, OrganizationId, SessionId, UserId};
use crate::base::limits;
use crate::base::secret::Token;
use crate::base::sql::Prepare as _;
use crate::database::schema::{api_keys, members, organizations, sessions, users};
use crate::database::{Database, rollcall_now};

/// The actor of a bearer token; UNAUTHENTICATED where it is unknown, expired or revoked.
pub async fn authenticate(database: &Database, token: &str) -> Result<Actor> {
    let mut connection = database.connection().await?;
    if token.starts_with(session::TOKEN_PREFIX) {
        let (actor, is_seen_again) = by_session(&mut connection, token).await?;
        drop(connection);
        if let (true, Some(reach)) = (is_seen_again, actor.reach()) {
            // Nobody is kept from what they came for by what is shared with them just now.
            if let Err(error) = grant_invitation::take_up_meanwhile(database, reach.user_id()).await {
                tracing::warn!(%error, "what was shared with an address could not be taken up; the next request in some minutes tries again");
            }
        }
        Ok(actor)
    } else if token.starts_with(api_key::TOKEN_PREFIX) {
        by_api_key(&mut connection, token).await
    } else {
        Err(Error::Unauthenticated)
    }
}

/// Whether the last use was written down so long ago that it is time again.
fn is_stale(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    last.is_none_or(|last| (now - last).to_std().is_ok_and(|age| age > limits::LAST_SEEN_GRAIN))
}

/// The actor of a session, and whether that was last seen so long ago that it was written down again.
async fn by_session(connection: &mut AsyncPgConnection, token: &str) -> Result<(Actor, bool)> {
    type Row = (SessionId, UserId, DateTime<Utc>, Option<DateTime<Utc>>, DateTime<Utc>);
    let found: Option<Row> = sessions::table
        .inner_join(users::table.on(users::id.eq(sessions::user_id)))
        .filter(sessions::token_digest.eq(Token::digest(token)))
        .filter(sessions::expires_at.gt(rollcall_now()))
        .select((sessions::id, sessions::user_id, sessions::last_seen_at, users::suspended_at, rollcall_now()))
        .first(connection)
        .await
        .optional()?;
    let (session_id, user_id, last_seen_at, suspended_at, now) = found.ok_or(Error::Unauthenticated)?;
    let is_seen_again = is_stale(Some(last_seen_at), now);
    if is_seen_again {
        diesel::update(sessions::table.find(session_id))
            .set(sessions::last_seen_at.eq(now))
            .prepared()
            .execute(connection)
            .await?;
    }
    Ok((Actor::User { user_id, session_id, suspended: suspended_at.is_some() }, is_seen_again))
}

async fn by_api_key(connection: &mut AsyncPgConnection, token: &str) -> Result<Actor> {
    type Row = (ApiKeyId, UserId, bool, OrganizationId, ApiKeyScope, Option<DateTime<Utc>>, DateTime<Utc>);
    let found: Option<Row> = api_keys::table
        .inner_join(
            members::table
                .on(members::organization_id.eq(api_keys::organization_id).and(members::user_id.eq(api_keys::user_id))),
        )
        .inner_join(users::table.on(users::id.eq(api_keys::user_id)))
        .inner_join(organizations::table.on(organizations::id.eq(api_keys::organization_id)))
        .filter(api_keys::secret_digest.eq(Token::digest(token)))
        .filter(api_keys::revoked_at.is_null())
        .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(rollcall_now().nullable())))
        // Whoever made a service key may be gone.
        .filter(api_keys::service.or(members::status.eq(MemberStatus::Active).and(users::suspended_at.is_null())))
        .filter(organizations::deleted_at.is_null())
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
