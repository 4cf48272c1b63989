//! Changes of an account's email address. The owner requests the change, and it takes effect once they confirm the
//! link that is emailed to the new address. The platform's staff give an account another address at once (R84).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::account::user::User;
use crate::account::user_ref::{self, UserRef};
use crate::account::{grant_invitation, session, user};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::mail_limit::{self, CausedMail};
use crate::authority::{access, attempt};
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Reader, Refusal, Result, on_violation};
use crate::base::id::{EmailChangeId, OrganizationId, SessionId, TypedId, UserId};
use crate::base::job::{MailEmailChangeLink, MailEmailChangeRequested, MailEmailChanged, MailEmailSet};
use crate::base::limits;
use crate::base::secret::{Purpose, Token};
use crate::base::sql::Prepare as _;
use crate::base::text::EmailAddress;
use crate::base::text_enum::text_enum;
use crate::database::schema::{email_changes, users};
use crate::database::{Database, Transaction, now};
use crate::membership::invitation;

text_enum! {
    /// The status of a change of address.
    EmailChangeStatus {
        /// The link waits for confirmation.
        Open = "open",
        /// The account has the new address.
        Confirmed = "confirmed",
        /// A newer request has replaced this one.
        Replaced = "replaced",
    }
}

/// A change of an account's address.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = email_changes)]
pub struct EmailChange {
    /// The change's id.
    pub id: EmailChangeId,
    /// The account.
    pub user_id: UserId,
    /// The session that requested the change. `None` if the platform's staff made it.
    pub session_id: Option<SessionId>,
    /// The address that the account had at the time of the request.
    pub old_email: EmailAddress,
    /// The new address.
    pub new_email: EmailAddress,
    /// The status of the change.
    pub status: EmailChangeStatus,
    /// When the change was requested.
    pub created_at: DateTime<Utc>,
    /// When the change was confirmed.
    pub confirmed_at: Option<DateTime<Utc>>,
}

impl EmailChange {
    /// When the link expires.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.created_at + limits::EMAIL_CHANGE_LIFETIME
    }

    /// Why the change can't be confirmed. `None` if it can.
    pub fn why_closed(&self, at: DateTime<Utc>) -> Option<Refusal> {
        let (code, message) = match self.status {
            EmailChangeStatus::Open if self.expires_at() > at => return None,
            EmailChangeStatus::Open => (Code::Expired, "this link has expired; ask for the change again"),
            EmailChangeStatus::Confirmed => (Code::AlreadyUsed, "this address was already confirmed"),
            EmailChangeStatus::Replaced => (Code::Revoked, "a newer email has replaced this link; use that one"),
        };
        Some(Refusal::new(code, "token", message))
    }
}

fn taken(field: &str) -> Refusal {
    Refusal::new(Code::EmailTaken, field, "another account has this address; name one that has none")
}

/// Emails a link to the new address, and a notice to the old one. A newer request makes the link of an older one
/// invalid.
pub async fn request(database: &Database, actor: &Actor, email: &str, client: ClientNetwork) -> Result<()> {
    let (user_id, session_id) = actor.signed_in("email")?;
    let email = EmailAddress::parse("email", email)?;
    let _ = attempt::count_attempt(database, &limits::EMAIL_CHANGES, &user_id.to_string(), client).await?;
    let mails = [CausedMail::new(email.clone(), ["email"])];
    let mails = mail_limit::count(database, actor, client, &mails, "email").await?;
    let requested = database
        .transaction(async |transaction| {
            access::lock_users(transaction, &[user_id]).await?;
            let old_email = user::by_id(transaction, user_id).await?.email.ok_or(Error::Unauthenticated)?;
            if old_email == email {
                return Err(Error::refused(Code::Invalid, "email", "this is your address already; name another"));
            }
            // Whether another account has the address is revealed only on confirmation, to somebody who reads its
            // emails.
            mails.require(transaction).await?;
            end_open(transaction, user_id).await?;
            let id = EmailChangeId::new();
            let at = now(transaction).await?;
            diesel::insert_into(email_changes::table)
                .values((
                    email_changes::id.eq(id),
                    email_changes::user_id.eq(user_id),
                    email_changes::session_id.eq(session_id),
                    email_changes::old_email.eq(&old_email),
                    email_changes::new_email.eq(&email),
                    email_changes::created_at.eq(at),
                ))
                .execute(&mut **transaction)
                .await?;
            transaction.enqueue(&MailEmailChangeLink { email_change_id: id }).await?;
            transaction.enqueue(&MailEmailChangeRequested { email_change_id: id }).await?;
            let personal = user::personal_organization_id(transaction, user_id).await?;
            let event = NewEvent::by(actor, personal, AuditAction::UserEmailChangeRequested, user_id)
                .summary("asked for another address")
                .about(user_id);
            audit::record(transaction, [event]).await
        })
        .await;
    mails.settle(requested).await
}

/// Ends the account's pending change, if there is one. The caller has locked the account's row.
async fn end_open(transaction: &mut Transaction, user_id: UserId) -> Result<()> {
    end_open_of(transaction, &[user_id]).await
}

/// Ends the open changes of accounts, whose addresses are changed in another way.
pub(super) async fn end_open_of(transaction: &mut Transaction, users: &[UserId]) -> Result<()> {
    diesel::update(
        email_changes::table
            .filter(email_changes::user_id.eq_any(users))
            .filter(email_changes::status.eq(EmailChangeStatus::Open)),
    )
    .set(email_changes::status.eq(EmailChangeStatus::Replaced))
    .prepared()
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Deletes all changes of an account, together with the addresses. The caller has locked the account's row.
pub(crate) async fn forget(transaction: &mut Transaction, user_id: UserId) -> Result<()> {
    diesel::delete(email_changes::table.filter(email_changes::user_id.eq(user_id))).execute(&mut **transaction).await?;
    Ok(())
}

/// Loads the change for its emails.
pub async fn by_id(connection: &mut AsyncPgConnection, id: EmailChangeId) -> Result<Option<EmailChange>> {
    Ok(email_changes::table.find(id).select(EmailChange::as_select()).first(connection).await.optional()?)
}

/// The token of the link, for the email.
pub fn link_token(database: &Database, id: EmailChangeId) -> Result<Token> {
    database.keyring().link_token(Purpose::EmailChange, id.uuid(), 1)
}

/// Finds the change of a link's token, if it can still be confirmed. This changes nothing (R24).
pub async fn by_token(database: &Database, token: &str) -> Result<EmailChange> {
    let wrong = || {
        let message = "this link is incomplete or isn't genuine; copy all of it, or ask for the change again";
        Refusal::new(Code::Invalid, "token", message)
    };
    let (id, _) = database.keyring().read_link_token(Purpose::EmailChange, token)?.ok_or_else(wrong)?;
    let mut connection = database.connection().await?;
    let change = by_id(&mut connection, EmailChangeId::from_uuid(id)).await?.ok_or_else(wrong)?;
    if let Some(refusal) = change.why_closed(now(&connection).await?) {
        return Err(refusal.into());
    }
    require_session(&mut connection, &change).await?;
    Ok(change)
}

/// Fails with REVOKED if the session that requested the change was ended. The email to the old address advises people
/// to end it, and that must stop the change too.
async fn require_session(connection: &mut AsyncPgConnection, change: &EmailChange) -> Result<()> {
    if session::by_ids(connection, change.user_id, change.session_id.as_slice()).await?.is_empty() {
        let message = "the session that asked for this was ended; ask for the change again";
        return Err(Error::refused(Code::Revoked, "token", message));
    }
    Ok(())
}

/// Gives the account the new address and returns it. This needs no session: whoever holds the token can read the
/// emails to that address.
pub async fn confirm(database: &Database, token: &str) -> Result<EmailAddress> {
    let change = by_token(database, token).await?;
    let EmailChange { id, user_id, new_email, .. } = &change;
    let (id, user_id) = (*id, *user_id);
    database
        .transaction(async |transaction| {
            access::lock_users(transaction, &[user_id]).await?;
            let user = user::by_id(transaction, user_id).await?;
            user.require_unsuspended(transaction.deployment(), Reader::Themselves, "token")?;
            require_session(transaction, &change).await?;
            let organizations = lock_around(transaction, user_id).await?;
            let at = now(transaction).await?;
            let confirmed = diesel::update(
                email_changes::table
                    .find(id)
                    .filter(email_changes::status.eq(EmailChangeStatus::Open))
                    .filter(email_changes::created_at.gt(at - limits::EMAIL_CHANGE_LIFETIME)),
            )
            .set((email_changes::status.eq(EmailChangeStatus::Confirmed), email_changes::confirmed_at.eq(at)))
            .prepared()
            .execute(&mut **transaction)
            .await?;
            if confirmed == 0 {
                let closed = by_id(transaction, id).await?.and_then(|change| change.why_closed(at));
                return Err(closed.ok_or(Error::Bug("a change that can't be confirmed is closed"))?.into());
            }
            let mut events = give(transaction, user_id, new_email, &organizations, "token").await?;
            transaction.enqueue(&MailEmailChanged { email_change_id: id }).await?;
            let personal = user::personal_organization_id(transaction, user_id).await?;
            events.push(
                NewEvent::by_user(user_id, personal, AuditAction::UserEmailChanged, user_id)
                    .summary("another address was confirmed")
                    .about(user_id),
            );
            audit::record(transaction, events).await?;
            Ok(new_email.clone())
        })
        .await
}

/// Gives an account another address, on behalf of staff (R84). Links and digits under way to the old address end, both
/// for signing in and for another change; the account's sessions and keys stay. Both addresses are told. If it is the
/// account's address already, nothing changes.
///
/// # Errors
///
/// On `user`: FORBIDDEN for everyone except staff; NOT_FOUND; CONFLICT if the address has just changed. On `email`:
/// INVALID and the like; EMAIL_TAKEN if another account has it.
pub async fn set(database: &Database, actor: &Actor, named: &UserRef, email: &str) -> Result<User> {
    let remedy = "people change their own address, and platform keys set addresses by upsertUsers";
    let operator = actor.require_staff("user", remedy)?;
    let email = EmailAddress::parse("email", email)?;
    database
        .transaction(async |transaction| {
            let user_id = user_ref::find_named(transaction, named).await?;
            let user = user::by_id(transaction, user_id).await?;
            let old_email = match &user.email {
                Some(old_email) if *old_email == email => return Ok(user),
                Some(old_email) => old_email.clone(),
                None => return Err(just_changed()),
            };
            // Signing in locks its request before the account.
            super::end_requests_to(transaction, &old_email).await?;
            access::lock_users(transaction, &[user_id]).await?;
            if user::by_id(transaction, user_id).await?.email.as_ref() != Some(&old_email) {
                return Err(just_changed());
            }
            let organizations = lock_around(transaction, user_id).await?;
            end_open(transaction, user_id).await?;
            let mut events = give(transaction, user_id, &email, &organizations, "email").await?;
            let (id, at) = (EmailChangeId::new(), now(transaction).await?);
            diesel::insert_into(email_changes::table)
                .values((
                    email_changes::id.eq(id),
                    email_changes::user_id.eq(user_id),
                    email_changes::old_email.eq(&old_email),
                    email_changes::new_email.eq(&email),
                    email_changes::status.eq(EmailChangeStatus::Confirmed),
                    email_changes::created_at.eq(at),
                    email_changes::confirmed_at.eq(at),
                ))
                .execute(&mut **transaction)
                .await?;
            let mails = [false, true].map(|to_new| MailEmailSet { email_change_id: id, to_new });
            transaction.enqueue_all(&mails).await?;
            let personal = user::personal_organization_id(transaction, user_id).await?;
            events.push(
                NewEvent::by(operator.actor(), personal, AuditAction::UserEmailChanged, user_id)
                    .summary("gave the account another address")
                    .about(user_id),
            );
            let changed = user::by_id(transaction, user_id).await?;
            audit::record(transaction, events).await?;
            Ok(changed)
        })
        .await
}

fn just_changed() -> Error {
    Error::refused(Code::Conflict, "user", "the account's address has just changed; look again")
}

/// Locks what a new address of the account changes, and returns the organizations of which it is a member. The caller
/// has locked the account's row.
async fn lock_around(transaction: &mut Transaction, user_id: UserId) -> Result<Vec<OrganizationId>> {
    let organizations = user::organizations_of(transaction, user_id).await?;
    access::lock_organizations(transaction, &organizations).await?;
    access::lock_memberships(transaction, &[user_id]).await?;
    Ok(organizations)
}

/// Gives the account an address, and what was shared with the address. Returns the events of that.
async fn give(
    transaction: &mut Transaction,
    user_id: UserId,
    email: &EmailAddress,
    organizations: &[OrganizationId],
    field: &str,
) -> Result<Vec<NewEvent>> {
    let updated = diesel::update(users::table.find(user_id))
        .set((users::email.eq(email), users::folded_email.eq(email.folded())))
        .prepared()
        .execute(&mut **transaction)
        .await;
    // Somebody else has the address, perhaps already since before the request.
    on_violation(updated, "users_email_key", || taken(field))?;
    // Invitations of this address to organizations that the person is already a member of have no purpose any more.
    let mut events = revoke_invitations(transaction, user_id, organizations).await?;
    events.extend(grant_invitation::take_up(transaction, user_id, email).await?);
    Ok(events)
}

/// Revokes the invitations to an account's new address of those organizations of which it is a member already.
pub(super) async fn revoke_invitations(
    transaction: &mut Transaction,
    user_id: UserId,
    organizations: &[OrganizationId],
) -> Result<Vec<NewEvent>> {
    let user = user::by_id(transaction, user_id).await?;
    let mut events = Vec::new();
    for organization_id in organizations {
        let reason = "the invited person is a member by another address";
        events.extend(invitation::revoke_to(transaction, None, *organization_id, &user, reason).await?);
    }
    Ok(events)
}

/// Deletes up to `limit` changes older than [`limits::EMAIL_CHANGE_RETENTION`], and returns how many.
pub(crate) async fn prune(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let until = now(transaction).await? - limits::EMAIL_CHANGE_RETENTION;
    let old: Vec<EmailChangeId> = email_changes::table
        .filter(email_changes::created_at.lt(until))
        .order(email_changes::created_at)
        .limit(limit.into())
        .select(email_changes::id)
        .for_update()
        .skip_locked()
        .load(&mut **transaction)
        .await?;
    let old = email_changes::table.filter(email_changes::id.eq_any(old));
    Ok(diesel::delete(old).execute(&mut **transaction).await?)
}
