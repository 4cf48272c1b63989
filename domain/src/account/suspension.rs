//! Suspending an account, and lifting the suspension: by an organization (D6), and by the platform (R84).
//!
//! An organization suspends only accounts that it created and that belong to no other. Their sessions and keys end. The
//! platform suspends any account. Its memberships, grants, sessions and keys stay and give nothing until the platform
//! lifts the suspension. Whatever depends on whether an account is suspended reads
//! `users.suspended_at`, which both set.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::user::{self, User};
use crate::account::user_ref::{self, UserRef};
use crate::account::{api_key, session};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::PlatformScope;
use crate::authority::suspension::PlatformSuspension;
use crate::base::error::Result;
use crate::base::id::{OrganizationId, UserId};
use crate::base::job::MailAccountNotice;
use crate::base::sql::Prepare as _;
use crate::base::{limits, text};
use crate::database::schema::{organizations, users};
use crate::database::{Database, Transaction, rollcall_now};

/// Whether the person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// By email.
    Email,
    /// Not at all, for example because the account is abused.
    None,
}

/// Suspends an account, on behalf of staff or the platform (R84). It reaches nothing until [`lift`]. If the platform
/// has suspended it before, nothing changes.
///
/// The reason is kept in the audit log, for staff and for readers of the feed.
///
/// # Errors
///
/// FORBIDDEN on `user` for everyone except staff and platform keys with USERS_WRITE that aren't limited to
/// organizations; NOT_FOUND on `user`; TOO_LONG or INVALID on `reason`.
pub async fn suspend(
    database: &Database,
    actor: &Actor,
    named: &UserRef,
    reason: Option<&str>,
    notice: Notice,
) -> Result<User> {
    let operator = actor.operator(PlatformScope::UsersWrite, None, "user", "ask them")?;
    let reason = text::optional_text("reason", reason, limits::DESCRIPTION)?;
    database
        .transaction(async |transaction| {
            let user = user_ref::lock_named(transaction, named).await?;
            if user.platform_suspension.is_some() {
                return Ok(user);
            }
            if user.suspended_at.is_none() {
                mark_suspended(transaction, user.id).await?;
            }
            let suspension = match notice {
                Notice::Email => PlatformSuspension::Told,
                Notice::None => PlatformSuspension::Silent,
            };
            let suspended: User = diesel::update(users::table.find(user.id))
                .set(users::platform_suspension.eq(suspension))
                .returning(User::as_returning())
                .prepared()
                .get_result(&mut **transaction)
                .await?;
            let personal = user::personal_organization_id(transaction, user.id).await?;
            let event = NewEvent::by(operator.actor(), personal, AuditAction::UserSuspended, user.id)
                .summary("suspended the account")
                .about(user.id)
                .reason(reason.as_deref());
            if notice == Notice::Email {
                transaction.enqueue(&MailAccountNotice { audit_event_id: event.id() }).await?;
            }
            audit::record(transaction, [event]).await?;
            Ok(suspended)
        })
        .await
}

/// Lifts the suspension of an account, whoever suspended it, on behalf of staff or the platform (R84). Sessions and
/// keys that rested work again, unless they have expired. If the account isn't suspended, nothing changes.
///
/// # Errors
///
/// On `user`: FORBIDDEN for everyone except staff and platform keys with USERS_WRITE that aren't limited to
/// organizations; NOT_FOUND.
pub async fn lift(database: &Database, actor: &Actor, named: &UserRef) -> Result<User> {
    let operator = actor.operator(PlatformScope::UsersWrite, None, "user", "ask them")?;
    database
        .transaction(async |transaction| {
            let user = user_ref::lock_named(transaction, named).await?;
            if user.suspended_at.is_none() {
                return Ok(user);
            }
            let lifted: User = diesel::update(users::table.find(user.id))
                .set((
                    users::suspended_at.eq(None::<DateTime<Utc>>),
                    users::platform_suspension.eq(None::<PlatformSuspension>),
                ))
                .returning(User::as_returning())
                .prepared()
                .get_result(&mut **transaction)
                .await?;
            let personal = user::personal_organization_id(transaction, user.id).await?;
            audit::resume_deliveries(transaction, personal).await?;
            let event = NewEvent::by(operator.actor(), personal, AuditAction::UserSuspensionLifted, user.id)
                .summary("lifted the suspension")
                .about(user.id);
            if user.is_told() {
                transaction.enqueue(&MailAccountNotice { audit_event_id: event.id() }).await?;
            }
            audit::record(transaction, [event]).await?;
            Ok(lifted)
        })
        .await
}

async fn mark_suspended(transaction: &mut Transaction, user_id: UserId) -> Result<()> {
    diesel::update(users::table.find(user_id).filter(users::suspended_at.is_null()))
        .set(users::suspended_at.eq(rollcall_now().nullable()))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Lifts organizations' suspensions, because the accounts are members of an organization again (D6). A suspension by
/// the platform stays. The caller has locked the accounts' rows.
pub(crate) async fn lift_by_membership(
    transaction: &mut Transaction,
    ids: &[UserId],
    reason: &str,
) -> Result<Vec<NewEvent>> {
    let suspended_by_organization = users::table
        .filter(users::id.eq_any(ids))
        .filter(users::suspended_at.is_not_null())
        .filter(users::platform_suspension.is_null());
    let lifted: Vec<UserId> = diesel::update(suspended_by_organization)
        .set(users::suspended_at.eq(None::<DateTime<Utc>>))
        .returning(users::id)
        .prepared()
        .get_results(&mut **transaction)
        .await?;
    if lifted.is_empty() {
        return Ok(Vec::new());
    }
    let personal: Vec<(OrganizationId, UserId)> = organizations::table
        .filter(organizations::personal_user_id.eq_any(&lifted))
        .select((organizations::id, organizations::personal_user_id.assume_not_null()))
        .load(&mut **transaction)
        .await?;
    let mut events = Vec::new();
    for (personal, user_id) in personal {
        audit::resume_deliveries(transaction, personal).await?;
        let event = NewEvent::by_user(user_id, personal, AuditAction::UserSuspensionLifted, user_id);
        events.push(event.summary(reason).about(user_id));
    }
    Ok(events)
}

/// Suspends the account, because the organization that created it has deactivated it and it belongs to no other (D6).
/// Its sessions end, and its keys stop working.
pub(crate) async fn suspend_by_organization(
    transaction: &mut Transaction,
    user_id: UserId,
    by: OrganizationId,
) -> Result<NewEvent> {
    mark_suspended(transaction, user_id).await?;
    session::end_all(transaction, user_id).await?;
    api_key::revoke_all(transaction, user_id).await?;
    let personal = user::personal_organization_id(transaction, user_id).await?;
    api_key::revoke_services(transaction, personal).await?;
    Ok(NewEvent::by_system(personal, AuditAction::UserSuspended, user_id)
        .summary("the organization that created the account deactivated it")
        .about(user_id)
        .with(json!({ "organizationId": by.to_string() })))
}
