//! Identities: the issuers of OpenID Connect by which a person signs in, each with the subject that they are there
//! (R92).
//!
//! Whoever comes with a token of an issuer has a session like everybody who is signed in. It begins with the first
//! token that is seen, and is used by all tokens of the same identity. If it is ended, the tokens that were issued
//! until then are refused; one that was issued later begins another.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::account::{session, user};
use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::base::error::{Code, Error, Result};
use crate::base::id::{IdentityId, SessionId, UserId};
use crate::base::limits;
use crate::base::sql::{Prepare as _, statement};
use crate::database::schema::identities;
use crate::database::{Database, Transaction, now, rollcall_now};

/// A person's identity at an issuer.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = identities)]
pub struct Identity {
    /// The identity's id.
    pub id: IdentityId,
    /// The issuer's identifier.
    pub issuer: String,
    /// Who the person is to the issuer.
    pub subject: String,
    /// The address that the issuer called theirs when they first signed in.
    pub email: Option<String>,
    /// When they first signed in by it.
    pub created_at: DateTime<Utc>,
    /// When they last used it, with a precision of five minutes.
    pub last_used_at: DateTime<Utc>,
}

/// What a token says that its issuer has signed: who somebody is, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The issuer's identifier.
    pub issuer: String,
    /// Who the person is to the issuer.
    pub subject: String,
    /// When the token was issued.
    pub issued_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

impl IssuedToken {
    /// Until when it signs anybody in.
    pub(crate) fn until(&self) -> DateTime<Utc> {
        self.expires_at.min(self.issued_at + limits::ISSUED_TOKEN_AGE) + limits::CLOCKS_APART
    }

    /// Fails with UNAUTHENTICATED for tokens that are from the future, or too old however long they are valid.
    pub(crate) fn require_timely(&self, now: DateTime<Utc>) -> Result<()> {
        let is_timely = self.issued_at <= now + limits::CLOCKS_APART && self.until() > now;
        if is_timely { Ok(()) } else { Err(Error::Unauthenticated) }
    }
}

statement! {
    struct Find<'a> {
        issuer: Text = &'a str,
        subject: Text = &'a str,
    } = "SELECT i.id, i.user_id, i.ended_at, i.not_before, s.id AS session_id, s.last_seen_at, s.expires_at AS session_ends_at, \
           coalesce(u.suspended_at IS NOT NULL, false) AS is_suspended, \
           coalesce(u.platform_suspension IS NOT NULL, false) AS is_suspended_by_platform, rollcall_now() AS now \
         FROM identities i LEFT JOIN users u ON u.id = i.user_id LEFT JOIN sessions s ON s.id = i.session_id \
         WHERE i.issuer = :issuer AND i.subject = :subject"
}

/// An identity as a request finds it.
#[derive(QueryableByName)]
pub(crate) struct FoundIdentity {
    /// The identity.
    #[diesel(sql_type = SqlUuid)]
    pub(crate) id: IdentityId,
    /// Whose it is; `None` once it leads to no account any more.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(crate) user_id: Option<UserId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    not_before: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    session_id: Option<SessionId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_seen_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    session_ends_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    is_suspended: bool,
    #[diesel(sql_type = Bool)]
    is_suspended_by_platform: bool,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// Somebody whom a token signs in.
pub(crate) struct Recognized {
    pub(crate) actor: Actor,
    /// When their session was last used.
    pub(crate) last_seen_at: DateTime<Utc>,
    /// What time it is.
    pub(crate) now: DateTime<Utc>,
}

impl FoundIdentity {
    /// Whom the token signs in. `None` if a session has to be begun first.
    ///
    /// # Errors
    ///
    /// UNAUTHENTICATED for tokens that aren't of this time, or were issued before the identity or its session ended, and
    /// for accounts that the platform has suspended.
    pub(crate) fn actor(&self, token: &IssuedToken) -> Result<Option<Recognized>> {
        token.require_timely(self.now)?;
        // Issuers write whole seconds, so tokens of the same second count as earlier ones.
        let is_from_before = |end: Option<DateTime<Utc>>| end.is_some_and(|end| token.issued_at <= end);
        if self.is_suspended_by_platform || is_from_before(self.not_before) {
            return Err(Error::Unauthenticated);
        }
        match (self.user_id, self.session_id, self.session_ends_at, self.last_seen_at) {
            (Some(user_id), Some(session_id), Some(ends_at), Some(last_seen_at)) if ends_at > self.now => {
                let (until, suspended) = (Some(token.until()), self.is_suspended);
                let actor = Actor::User { user_id, session_id, until, suspended };
                Ok(Some(Recognized { actor, last_seen_at, now: self.now }))
            }
            (_, _, session_ends_at, _) if is_from_before(session_ends_at.max(self.ended_at)) => {
                Err(Error::Unauthenticated)
            }
            _ => Ok(None),
        }
    }
}

/// Looks up the identity of a token.
pub(crate) async fn find(connection: &mut AsyncPgConnection, token: &IssuedToken) -> Result<Option<FoundIdentity>> {
    let find = Find { issuer: &token.issuer, subject: &token.subject };
    Ok(find.query().get_result(connection).await.optional()?)
}

/// Writes down that an identity was used.
pub(crate) async fn note_use(connection: &mut AsyncPgConnection, id: IdentityId, at: DateTime<Utc>) -> Result<()> {
    diesel::update(identities::table.find(id))
        .set(identities::last_used_at.eq(at))
        .prepared()
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether the account has an identity at the issuer, or had one that the person has unlinked.
pub(crate) async fn had_one(transaction: &mut Transaction, user_id: UserId, issuer: &str) -> Result<bool> {
    let own = identities::table
        .filter(identities::user_id.eq(user_id).or(identities::unlinked_from.eq(user_id)))
        .filter(identities::issuer.eq(issuer));
    Ok(diesel::select(diesel::dsl::exists(own)).get_result(&mut **transaction).await?)
}

/// The identities of a user, oldest first. There is at most one for each issuer.
pub async fn list(connection: &mut AsyncPgConnection, user_id: UserId) -> Result<Vec<Identity>> {
    Ok(identities::table
        .filter(identities::user_id.eq(user_id))
        .order(identities::id)
        .select(Identity::as_select())
        .load(connection)
        .await?)
}

/// Loads those identities that are the user's.
pub async fn by_ids(connection: &mut AsyncPgConnection, user_id: UserId, ids: &[IdentityId]) -> Result<Vec<Identity>> {
    Ok(identities::table
        .filter(identities::id.eq_any(ids))
        .filter(identities::user_id.eq(user_id))
        .select(Identity::as_select())
        .load(connection)
        .await?)
}

/// Makes an identity of the actor's lead to no account any more, and ends its session. Later tokens of it don't lead to
/// this account again by its address. The person signs in by mail from then on.
///
/// # Errors
///
/// On `id`: FORBIDDEN for everybody who isn't signed in themselves, SUSPENDED, and NOT_FOUND.
pub async fn unlink(database: &Database, actor: &Actor, id: IdentityId) -> Result<IdentityId> {
    let (user_id, _) = actor.signed_in("id")?;
    database
        .transaction(async |transaction| {
            access::lock_users(transaction, &[user_id]).await?;
            let found = by_ids(transaction, user_id, &[id]).await?.into_iter().next();
            let identity = found.ok_or_else(|| Error::refused(Code::NotFound, "id", "you have no such identity"))?;
            end(transaction, user_id, Some(id)).await?;
            let personal = user::personal_organization_id(transaction, user_id).await?;
            let event = NewEvent::by(actor, personal, AuditAction::UserIdentityUnlinked, id)
                .summary("unlinked a sign-in at an issuer")
                .about(user_id)
                .with(json!({ "issuer": identity.issuer }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Ends all of the user's identities, or one, with their sessions. The caller has locked the account's row.
pub(crate) async fn end(transaction: &mut Transaction, user_id: UserId, id: Option<IdentityId>) -> Result<()> {
    let mut own = identities::table.filter(identities::user_id.eq(user_id)).into_boxed();
    if let Some(id) = id {
        own = own.filter(identities::id.eq(id));
    }
    let sessions: Vec<Option<SessionId>> = own.select(identities::session_id).load(&mut **transaction).await?;
    let sessions: Vec<SessionId> = sessions.into_iter().flatten().collect();
    session::end_these(transaction, &sessions).await?;
    let ended = (
        identities::user_id.eq(None::<UserId>),
        identities::email.eq(None::<String>),
        identities::session_id.eq(None::<SessionId>),
        identities::ended_at.eq(rollcall_now().nullable()),
    );
    match id {
        Some(id) => {
            diesel::update(identities::table.find(id))
                .set((ended, identities::unlinked_from.eq(user_id)))
                .execute(&mut **transaction)
                .await?;
        }
        None => {
            let own = identities::table.filter(identities::user_id.eq(user_id));
            diesel::update(own).set(ended).execute(&mut **transaction).await?;
            let unlinked = identities::table.filter(identities::unlinked_from.eq(user_id));
            diesel::update(unlinked)
                .set(identities::unlinked_from.eq(None::<UserId>))
                .execute(&mut **transaction)
                .await?;
        }
    }
    Ok(())
}

/// Deletes up to `limit` identities that ended so long ago that no token from before counts, except those that were
/// unlinked, and returns how many.
pub(crate) async fn prune(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let until = now(transaction).await? - limits::SESSION_RETENTION;
    let ended: Vec<IdentityId> = identities::table
        .filter(identities::ended_at.lt(until))
        .filter(identities::unlinked_from.is_null())
        .order(identities::ended_at)
        .limit(limit.into())
        .select(identities::id)
        .for_update()
        .skip_locked()
        .load(&mut **transaction)
        .await?;
    Ok(diesel::delete(identities::table.filter(identities::id.eq_any(ended))).execute(&mut **transaction).await?)
}
