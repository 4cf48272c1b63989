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
use crate::database::schema::{organizations, users};
use crate::database::{Transaction, rollcall_now};

/// Lifts the suspension of accounts, because they are members of an organization again (D6). The caller has locked the
/// accounts' rows.
pub(crate) async fn lift_suspension(
    transaction: &mut Transaction,
    ids: &[UserId],
    reason: &str,
) -> Result<Vec<NewEvent>> {
    let lifted: Vec<UserId> =
        diesel::update(users::table.filter(users::id.eq_any(ids)).filter(users::suspended_at.is_not_null()))
            .set(users::suspended_at.eq(None::<DateTime<Utc>>))
            .returning(users::id)
            .prepared()
            .get_results(&mut **transaction)
            .await?;
    if lifted.is_empty() {
        return Ok(Vec::new());
    }
    let personal: Vec<(OrganizationId, Option<UserId>)> = organizations::table
        .filter(organizations::personal_user_id.eq_any(&lifted))
        .select((organizations::id, organizations::personal_user_id))
        .load(&mut **transaction)
        .await?;
    let event = |(personal, user_id): (OrganizationId, Option<UserId>)| {
        let user_id = user_id?;
        let event = NewEvent::by_user(user_id, personal, AuditAction::UserSuspensionLifted, user_id);
        Some(event.summary(reason).about(user_id))
    };
    Ok(personal.into_iter().filter_map(event).collect())
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
