//! Suspending an account, and lifting the suspension (D6).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::{api_key, session, user};
use crate::authority::audit::{AuditAction, NewEvent};
use crate::base::error::Result;
use crate::base::id::{OrganizationId, UserId};
use crate::base::sql::Prepare as _;
use crate::database::schema::users;
use crate::database::{Transaction, rollcall_now};

/// Lifts a suspension, because the account is a member of an organization again (D6). The caller has locked the
/// account's row.
pub(crate) async fn lift_suspension(
    transaction: &mut Transaction,
    user_id: UserId,
    reason: &str,
) -> Result<Option<NewEvent>> {
    let lifted = diesel::update(users::table.find(user_id).filter(users::suspended_at.is_not_null()))
        .set(users::suspended_at.eq(None::<DateTime<Utc>>))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    if lifted == 0 {
        return Ok(None);
    }
    let personal = user::personal_organization_id(transaction, user_id).await?;
    Ok(Some(
        NewEvent::by_user(user_id, personal, AuditAction::UserSuspensionLifted, user_id).summary(reason).about(user_id),
    ))
}

/// Suspends the account, because the organization that created it has deactivated it and it belongs to no other (D6).
/// Its sessions end, and its keys stop working.
pub(crate) async fn suspend(transaction: &mut Transaction, user_id: UserId, by: OrganizationId) -> Result<NewEvent> {
    diesel::update(users::table.find(user_id))
        .set(users::suspended_at.eq(rollcall_now().nullable()))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    session::end_all(transaction, user_id).await?;
    api_key::revoke_all(transaction, user_id).await?;
    let personal = user::personal_organization_id(transaction, user_id).await?;
    api_key::revoke_services(transaction, personal).await?;
    Ok(NewEvent::by_system(personal, AuditAction::UserSuspended, user_id)
        .summary("the organization that created the account deactivated it")
        .about(user_id)
        .with(json!({ "organizationId": by.to_string() })))
}
