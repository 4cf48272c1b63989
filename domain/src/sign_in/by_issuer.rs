//! Signing in by an issuer of OpenID Connect, whose tokens the caller has verified (R92).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::identity::{self, IssuedToken};
use crate::account::new_account::{self, NewUser};
use crate::account::session::{self, NewSession};
use crate::account::{grant_invitation, user};
use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::base::error::{Code, Error, Result};
use crate::base::id::{IdentityId, OrganizationId, SessionId, UserId};
use crate::base::issuer::Issuer;
use crate::base::sql::statement;
use crate::base::text::EmailAddress;
use crate::base::{limits, text, upsert};
use crate::database::schema::identities;
use crate::database::{Database, Transaction, now};
use crate::sign_in::require_unsuspended;

/// What a token says of the person besides who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssuedProfile {
    /// Their address.
    pub email: Option<String>,
    /// Whether the issuer has verified that the address is theirs.
    pub email_verified: bool,
    /// Their name.
    pub name: Option<String>,
}

/// Begins a session for the identity of a token. Whoever is seen for the first time gets an account. If an account has
/// their address already, it is theirs only if the issuer has verified the address and the deployment believes it;
/// nobody is merged with anybody else.
///
/// # Errors
///
/// UNAUTHENTICATED for tokens from before the end of their identity or its session, and if the platform has suspended
/// the account. A refusal without a field for people who can't sign in: FORBIDDEN without an address that the issuer
/// has verified, CONFLICT if somebody else has the address, SUSPENDED if an organization has suspended the account.
pub async fn begin(
    database: &Database,
    issuer: &Issuer,
    token: &IssuedToken,
    profile: &IssuedProfile,
    user_agent: Option<&str>,
) -> Result<Actor> {
    upsert::again_if_raced(|| {
        database.transaction(async |transaction| begin_within(transaction, issuer, token, profile, user_agent).await)
    })
    .await
}

async fn begin_within(
    transaction: &mut Transaction,
    issuer: &Issuer,
    token: &IssuedToken,
    profile: &IssuedProfile,
    user_agent: Option<&str>,
) -> Result<Actor> {
    let Some(seen) = identity::find(transaction, token).await? else {
        return first(transaction, issuer, token, profile, user_agent, None).await;
    };
    let Some(user_id) = seen.user_id else {
        // Fails for tokens from before the end.
        seen.actor(token)?;
        return first(transaction, issuer, token, profile, user_agent, Some(seen.id)).await;
    };
    access::lock_users(transaction, &[user_id]).await?;
    // Under the lock, nobody else begins a session, or ends the identity.
    let found = identity::find(transaction, token).await?.filter(|found| found.user_id == Some(user_id));
    let found = found.ok_or_else(raced)?;
    if let Some(recognized) = found.actor(token)? {
        return Ok(recognized.actor);
    }
    let mut events = Vec::new();
    let user = user::by_id(transaction, user_id).await?;
    let email = user.email.clone().ok_or(Error::Unauthenticated)?;
    let suspended = require_unsuspended(transaction, &user, &email, "").await?;
    events.extend(grant_invitation::take_up(transaction, user_id, &email).await?);
    let personal = user::personal_organization_id(transaction, user_id).await?;
    let session_id = begin_session(transaction, found.id, user_id, user_agent).await?;
    events.push(signed_in(user_id, personal, session_id, issuer));
    audit::record(transaction, events).await?;
    Ok(Actor::User { user_id, session_id, until: Some(token.until()), suspended })
}

fn raced() -> Error {
    upsert::raced("identity").into()
}

/// Begins the first session of somebody whom no identity has led to an account. `ended` is their identity from before,
/// which led to an account once.
async fn first(
    transaction: &mut Transaction,
    issuer: &Issuer,
    token: &IssuedToken,
    profile: &IssuedProfile,
    user_agent: Option<&str>,
    ended: Option<IdentityId>,
) -> Result<Actor> {
    token.require_timely(now(transaction).await?)?;
    let email = profile.email.as_deref().and_then(|email| EmailAddress::parse("email", email).ok());
    let Some(email) = email.filter(|_| profile.email_verified) else {
        let message = format!("{} names no verified email address of yours; verify one there first", issuer.name);
        return Err(Error::refused(Code::Forbidden, "", message));
    };
    let mut events = Vec::new();
    let (user_id, personal, suspended) = match user::by_email(transaction, &email).await? {
        Some(user) => {
            access::lock_users(transaction, &[user.id]).await?;
            let user = user::by_id(transaction, user.id).await?;
            // Another request with a token of theirs may just have made this account.
            let is_linked = identity::find(transaction, token).await?.is_some_and(|found| found.user_id.is_some());
            if is_linked || user.email.as_ref() != Some(&email) {
                return Err(raced());
            }
            let is_believed = issuer.link_by_email && ended.is_none();
            if !is_believed || identity::had_one(transaction, user.id, &issuer.issuer).await? {
                let message = "another account has your email address; sign in with a link to that address instead";
                return Err(Error::refused(Code::Conflict, "", message));
            }
            let suspended = require_unsuspended(transaction, &user, &email, "").await?;
            events.extend(grant_invitation::take_up(transaction, user.id, &email).await?);
            let personal = user::personal_organization_id(transaction, user.id).await?;
            (user.id, personal, suspended)
        }
        None => {
            // A name that can't be one is made from the address.
            let name = profile.name.as_deref().and_then(|name| text::line("name", name, limits::NAME).ok());
            let new = NewUser { email: &email, name: name.as_deref(), username: None, origin_organization_id: None };
            let created = new_account::create(transaction, new).await.map_err(|error| match error {
                // Somebody else makes an account for the address at this moment.
                Error::Refused(refusals) if refusals.iter().any(|refusal| refusal.code == Code::Conflict) => raced(),
                error => error,
            })?;
            events.extend(created.events);
            (created.user_id, created.personal_organization_id, false)
        }
    };
    let id = link(transaction, token, user_id, &email, ended).await?;
    events.push(
        NewEvent::by_user(user_id, personal, AuditAction::UserIdentityLinked, id)
            .summary(format!("linked a sign-in at {}", issuer.name))
            .about(user_id)
            .with(json!({ "issuer": issuer.issuer })),
    );
    let session_id = begin_session(transaction, id, user_id, user_agent).await?;
    events.push(signed_in(user_id, personal, session_id, issuer));
    audit::record(transaction, events).await?;
    Ok(Actor::User { user_id, session_id, until: Some(token.until()), suspended })
}

/// Makes the identity lead to an account.
async fn link(
    transaction: &mut Transaction,
    token: &IssuedToken,
    user_id: UserId,
    email: &EmailAddress,
    ended: Option<IdentityId>,
) -> Result<IdentityId> {
    let at = now(transaction).await?;
    let id = ended.unwrap_or_else(IdentityId::new);
    let linked = match ended {
        Some(id) => {
            diesel::update(identities::table.find(id).filter(identities::user_id.is_null()))
                .set((
                    identities::user_id.eq(user_id),
                    identities::email.eq(email.as_str()),
                    identities::last_used_at.eq(at),
                    identities::not_before.eq(identities::ended_at),
                    identities::ended_at.eq(None::<DateTime<Utc>>),
                    identities::unlinked_from.eq(None::<UserId>),
                ))
                .execute(&mut **transaction)
                .await?
        }
        None => {
            diesel::insert_into(identities::table)
                .values((
                    identities::id.eq(id),
                    identities::user_id.eq(user_id),
                    identities::issuer.eq(&token.issuer),
                    identities::subject.eq(&token.subject),
                    identities::email.eq(email.as_str()),
                    identities::created_at.eq(at),
                    identities::last_used_at.eq(at),
                ))
                .on_conflict_do_nothing()
                .execute(&mut **transaction)
                .await?
        }
    };
    match linked {
        1 => Ok(id),
        _ => Err(raced()),
    }
}

statement! {
    /// Gives an identity another session. Tokens from before the end of the one before stay refused.
    struct BeginSession {
        id: SqlUuid = IdentityId,
        session_id: SqlUuid = SessionId,
    } = "UPDATE identities AS i SET session_id = :session_id, \
           not_before = greatest(i.not_before, (SELECT s.expires_at FROM sessions s WHERE s.id = i.session_id)) \
         WHERE i.id = :id"
}

/// Begins a session that the identity's tokens have. Nobody else has it: its own token is forgotten at once.
async fn begin_session(
    transaction: &mut Transaction,
    id: IdentityId,
    user_id: UserId,
    user_agent: Option<&str>,
) -> Result<SessionId> {
    let session = session::create(transaction, user_id, &NewSession::random(user_agent)?).await?;
    BeginSession { id, session_id: session.id }.query().execute(&mut **transaction).await?;
    Ok(session.id)
}

fn signed_in(user_id: UserId, personal: OrganizationId, session_id: SessionId, issuer: &Issuer) -> NewEvent {
    NewEvent::by_user(user_id, personal, AuditAction::UserSignedIn, session_id)
        .summary(format!("signed in by {}", issuer.name))
        .about(user_id)
}
