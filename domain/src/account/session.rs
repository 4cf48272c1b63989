//! Sessions. Their bearer tokens have 256 bits, and only the digest is stored.

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::account::user;
use crate::account::user_ref::{self, UserRef};
use crate::authority::access::{self, Lock};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent, in_log};
use crate::authority::platform::PlatformScope;
use crate::base::error::{Code, Error, Refusal, Result, on_violation};
use crate::base::id::{OrganizationId, SessionId, UserId};
use crate::base::job::{MailAccountNotice, MailNewSignIn};
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::secret::{Keyring, Token};
use crate::base::sql::Prepare as _;
use crate::base::{limits, text};
use crate::database::schema::sessions;
use crate::database::{Database, Transaction, now, rollcall_now};

/// The prefix of session tokens.
pub(crate) const TOKEN_PREFIX: &str = "rcs_";

/// A session.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = sessions)]
pub struct Session {
    /// The session's id.
    pub id: SessionId,
    /// The user who is signed in.
    pub user_id: UserId,
    /// The organization that the session has switched to.
    pub active_organization_id: Option<OrganizationId>,
    /// The `User-Agent` of the client that began the session.
    pub user_agent: Option<String>,
    /// When the session began.
    pub created_at: DateTime<Utc>,
    /// When the session was last used, with a precision of five minutes.
    pub last_seen_at: DateTime<Utc>,
    /// When the session ends.
    pub expires_at: DateTime<Utc>,
}

/// A session to begin.
#[derive(Debug)]
pub struct NewSession {
    user_agent: Option<String>,
    token: Token,
}

impl NewSession {
    /// A session with a random token of 256 bits.
    pub fn random(user_agent: Option<&str>) -> Result<Self> {
        Ok(Self { user_agent: kept_user_agent(user_agent), token: Token::random(TOKEN_PREFIX)? })
    }

    /// A session that is begun by a page's form. Its token is derived from `form`, which contains a secret of the
    /// browser. If the form is sent again, it finds the session that it has begun; but the form alone, or the database
    /// alone, isn't enough to derive the token.
    pub fn by_form(keyring: &Keyring, user_agent: Option<&str>, form: &[&[u8]]) -> Result<Self> {
        Ok(Self { user_agent: kept_user_agent(user_agent), token: keyring.session_token(TOKEN_PREFIX, form)? })
    }

    /// The session's token.
    pub fn token(&self) -> &Token {
        &self.token
    }
}

/// Whether the same form was sent a moment ago, and the session that it began is still valid.
pub async fn has_begun(connection: &mut AsyncPgConnection, new: &NewSession) -> Result<bool> {
    let lately = now(connection).await? - limits::FORM_SENT_AGAIN;
    let begun = sessions::table
        .filter(sessions::token_digest.eq(Token::digest(new.token.reveal())))
        .filter(sessions::expires_at.gt(rollcall_now()))
        .filter(sessions::created_at.gt(lately));
    Ok(diesel::select(exists(begun)).get_result(connection).await?)
}

/// Begins a session. If the account wasn't signed in on this device before, its owner gets an email.
pub(crate) async fn create(transaction: &mut Transaction, user_id: UserId, new: &NewSession) -> Result<Session> {
    let user_agent = new.user_agent.as_deref();
    let is_new_device = is_new_device(transaction, user_id, user_agent).await?;
    let at = now(transaction).await?;
    let lifetime = chrono::Duration::from_std(limits::SESSION_LIFETIME)
        .map_err(|_| Error::Bug("a session's lifetime is short"))?;
    let inserted = diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(SessionId::new()),
            sessions::user_id.eq(user_id),
            sessions::token_digest.eq(Token::digest(new.token.reveal())),
            sessions::user_agent.eq(user_agent),
            sessions::created_at.eq(at),
            sessions::last_seen_at.eq(at),
            sessions::expires_at.eq(at + lifetime),
        ))
        .returning(Session::as_returning())
        .get_result(&mut **transaction)
        .await;
    let session: Session = on_violation(inserted, "sessions_token_digest_key", || {
        Refusal::new(Code::AlreadyUsed, "token", "this form was sent before; open its page again")
    })?;
    if is_new_device {
        transaction.enqueue(&MailNewSignIn { session_id: session.id }).await?;
    }
    Ok(session)
}

/// Whether the account has been signed in to before, but never with this user agent, as far as sessions are kept.
async fn is_new_device(transaction: &mut Transaction, user_id: UserId, user_agent: Option<&str>) -> Result<bool> {
    let same = sessions::table
        .filter(sessions::user_id.eq(user_id))
        .filter(sessions::user_agent.is_not_distinct_from(user_agent));
    if diesel::select(exists(same)).get_result(&mut **transaction).await? {
        return Ok(false);
    }
    // Sessions are pruned, but the log isn't.
    let personal = user::personal_organization_id(transaction, user_id).await?;
    audit::has_happened(transaction, personal, AuditAction::UserSignedIn).await
}

/// The user agent in the form in which it is stored: cut to a maximum length, and without line breaks.
pub(crate) fn kept_user_agent(user_agent: Option<&str>) -> Option<String> {
    user_agent.map(|text| text::cut(text, limits::USER_AGENT))
}

/// Begins another session for the same person, for example for the playground beside the pages, which use a cookie.
pub async fn begin_another(database: &Database, actor: &Actor, new: &NewSession) -> Result<()> {
    let (user_id, session_id) = actor.signed_in("sessionId")?;
    database
        .transaction(async |transaction| {
            access::lock_users(transaction, &[user_id]).await?;
            // A concurrent sign-out or suspension may have ended the session that makes the request.
            if by_ids(transaction, user_id, &[session_id]).await?.is_empty() {
                return Err(Error::Unauthenticated);
            }
            let session = create(transaction, user_id, new).await?;
            let personal = user::personal_organization_id(transaction, user_id).await?;
            let event = NewEvent::by(actor, personal, AuditAction::UserSignedIn, session.id)
                .summary("began another session")
                .about(user_id);
            audit::record(transaction, [event]).await
        })
        .await
}

/// Loads those sessions that belong to the user and are still valid.
pub async fn by_ids(connection: &mut AsyncPgConnection, user_id: UserId, ids: &[SessionId]) -> Result<Vec<Session>> {
    Ok(sessions::table
        .filter(sessions::id.eq_any(ids))
        .filter(sessions::user_id.eq(user_id))
        .filter(sessions::expires_at.gt(rollcall_now()))
        .select(Session::as_select())
        .load(connection)
        .await?)
}

/// Loads a session for the email about it, without checking who asks, and even if it has ended.
pub async fn by_id(connection: &mut AsyncPgConnection, id: SessionId) -> Result<Option<Session>> {
    Ok(sessions::table.find(id).select(Session::as_select()).first(connection).await.optional()?)
}

/// A page of the user's valid sessions, oldest first.
pub async fn list(connection: &mut AsyncPgConnection, user_id: UserId, page: &PageRequest) -> Result<Page<Session>> {
    let slice = page.slice()?;
    let query = sessions::table
        .filter(sessions::user_id.eq(user_id))
        .filter(sessions::expires_at.gt(rollcall_now()))
        .select(Session::as_select())
        .into_boxed();
    let rows = by_id!(query, slice, sessions::id).load(connection).await?;
    slice.page(rows, |session| session.id)
}

/// The number of the user's valid sessions.
pub async fn count(connection: &mut AsyncPgConnection, user_id: UserId) -> Result<i64> {
    Ok(sessions::table
        .filter(sessions::user_id.eq(user_id))
        .filter(sessions::expires_at.gt(rollcall_now()))
        .count()
        .get_result(connection)
        .await?)
}

/// Ends one of the actor's sessions. Without an id, it ends the session that makes the request.
pub async fn sign_out(database: &Database, actor: &Actor, session_id: Option<SessionId>) -> Result<SessionId> {
    let (user_id, current) = actor.session().ok_or_else(|| {
        Refusal::new(Code::Forbidden, "sessionId", "only a session can be signed out; revoke API keys instead")
    })?;
    let session_id = session_id.unwrap_or(current);
    database
        .transaction(async |transaction| {
            // The ended session is kept for a while, so that its device is still known.
            let ended = diesel::update(
                sessions::table
                    .find(session_id)
                    .filter(sessions::user_id.eq(user_id))
                    .filter(sessions::expires_at.gt(rollcall_now())),
            )
            .set(sessions::expires_at.eq(rollcall_now()))
            .prepared()
            .execute(&mut **transaction)
            .await?;
            if ended == 0 {
                return Err(Error::refused(Code::NotFound, "sessionId", "you have no such session"));
            }
            let personal = user::personal_organization_id(transaction, user_id).await?;
            let event = NewEvent::by(actor, personal, AuditAction::UserSignedOut, session_id)
                .summary("ended a session")
                .about(user_id);
            audit::record(transaction, [event]).await?;
            Ok(session_id)
        })
        .await
}

/// Ends all of the actor's sessions except the one that makes the request, and returns how many.
pub async fn end_others(database: &Database, actor: &Actor) -> Result<usize> {
    let (user_id, current) = actor.session().ok_or(Error::Unauthenticated)?;
    database
        .transaction(async |transaction| {
            access::lock_users(transaction, &[user_id]).await?;
            // A session that was itself ended in the meantime may not end others.
            if by_ids(transaction, user_id, &[current]).await?.is_empty() {
                return Err(Error::Unauthenticated);
            }
            let ended: Vec<SessionId> = diesel::update(
                sessions::table
                    .filter(sessions::user_id.eq(user_id))
                    .filter(sessions::id.ne(current))
                    .filter(sessions::expires_at.gt(rollcall_now())),
            )
            .set(sessions::expires_at.eq(rollcall_now()))
            .returning(sessions::id)
            .prepared()
            .get_results(&mut **transaction)
            .await?;
            if ended.is_empty() {
                return Ok(0);
            }
            let personal = user::personal_organization_id(transaction, user_id).await?;
            let event = NewEvent::by(actor, personal, AuditAction::UserSignedOut, current)
                .summary(format!("ended {} other sessions", ended.len()))
                .about(user_id)
                .with(json!({ "sessionIds": ended.iter().map(SessionId::to_string).collect::<Vec<_>>() }));
            audit::record(transaction, [event]).await?;
            Ok(ended.len())
        })
        .await
}

/// Ends all sessions of an account, on behalf of staff or the platform (R84), and returns how many. Keys stay.
///
/// # Errors
///
/// On `user`: FORBIDDEN for everyone except staff and platform keys with USERS_WRITE that aren't limited to
/// organizations; NOT_FOUND.
pub async fn end_all_of(database: &Database, actor: &Actor, named: &UserRef) -> Result<usize> {
    let operator = actor.operator(PlatformScope::UsersWrite, None, "user", "ask them")?;
    database
        .transaction(async |transaction| {
            let user = user_ref::lock_named(transaction, named).await?;
            let ended = end_all(transaction, user.id).await?;
            if ended.is_empty() {
                return Ok(0);
            }
            let personal = user::personal_organization_id(transaction, user.id).await?;
            let of_chunk = |ids: &[SessionId]| {
                NewEvent::by(operator.actor(), personal, AuditAction::UserSignedOut, user.id)
                    .summary(format!("ended {} sessions", ids.len()))
                    .about(user.id)
                    .with(json!({ "sessionIds": in_log(ids) }))
            };
            let events: Vec<NewEvent> = ended.chunks(limits::IDS_OF_EVENT).map(of_chunk).collect();
            if let Some(event) = events.as_slice().first().filter(|_| user.is_told()) {
                transaction.enqueue(&MailAccountNotice { audit_event_id: event.id() }).await?;
            }
            audit::record(transaction, events).await?;
            Ok(ended.len())
        })
        .await
}

/// Ends all of the user's sessions. The caller has locked the account's row.
pub(crate) async fn end_all(transaction: &mut Transaction, user_id: UserId) -> Result<Vec<SessionId>> {
    Ok(diesel::update(
        sessions::table.filter(sessions::user_id.eq(user_id)).filter(sessions::expires_at.gt(rollcall_now())),
    )
    .set(sessions::expires_at.eq(rollcall_now()))
    .returning(sessions::id)
    .prepared()
    .get_results(&mut **transaction)
    .await?)
}

/// Ends sessions that are still valid.
pub(crate) async fn end_these(transaction: &mut Transaction, ids: &[SessionId]) -> Result<()> {
    diesel::update(sessions::table.filter(sessions::id.eq_any(ids)).filter(sessions::expires_at.gt(rollcall_now())))
        .set(sessions::expires_at.eq(rollcall_now()))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Deletes up to `limit` sessions that ended [`limits::SESSION_RETENTION`] ago, and returns how many.
pub(crate) async fn prune(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let until = now(transaction).await? - limits::SESSION_RETENTION;
    let ended: Vec<SessionId> = sessions::table
        .filter(sessions::expires_at.lt(until))
        .order(sessions::expires_at)
        .limit(limit.into())
        .select(sessions::id)
        .for_update()
        .skip_locked()
        .load(&mut **transaction)
        .await?;
    Ok(diesel::delete(sessions::table.filter(sessions::id.eq_any(ended))).execute(&mut **transaction).await?)
}

/// Makes an organization the session's active one (R53). It may be the personal organization.
pub async fn switch_organization(database: &Database, actor: &Actor, organization_id: OrganizationId) -> Result<()> {
    let (user_id, session_id) = actor.signed_in("organizationId")?;
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
            diesel::update(sessions::table.find(session_id))
                .set(sessions::active_organization_id.eq(organization_id))
                .prepared()
                .execute(&mut **transaction)
                .await?;
            let personal = user::personal_organization_id(transaction, user_id).await?;
            let event = NewEvent::by(permit.actor(), personal, AuditAction::UserOrganizationSwitched, session_id)
                .summary(format!("switched to {organization_id}"))
                .about(user_id)
                .with(json!({ "organizationId": organization_id.to_string() }));
            audit::record(transaction, [event]).await
        })
        .await
}
