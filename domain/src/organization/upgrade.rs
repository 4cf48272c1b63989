//! Asking the platform for more (R79).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::access::{self, Lock};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::mail_limit;
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Result};
use crate::base::id::{OrganizationId, UpgradeRequestId, UserId};
use crate::base::job::MailUpgradeRequested;
use crate::base::{limits, text};
use crate::database::schema::upgrade_requests;
use crate::database::{Database, now};

/// A request for more.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = upgrade_requests)]
pub struct UpgradeRequest {
    /// The request's id.
    pub id: UpgradeRequestId,
    /// The organization that asks.
    pub organization_id: OrganizationId,
    /// The owner or admin who asked.
    pub user_id: UserId,
    /// What they wrote.
    pub message: Option<String>,
    /// When they asked.
    pub created_at: DateTime<Utc>,
}

/// Asks the deployment's support for more, by email. This is for those who see the organization's plan: the owner and
/// admins.
///
/// # Errors
///
/// On `organizationId`: NOT_FOUND, FORBIDDEN, RATE_LIMITED after [`limits::UPGRADE_REQUESTS`] within a day and by
/// [`limits::SUPPORT_MAILS`], INVALID if this deployment has no support address; TOO_LONG on `message`.
pub async fn request(
    database: &Database,
    actor: &Actor,
    organization_id: OrganizationId,
    message: Option<&str>,
    client: ClientNetwork,
) -> Result<()> {
    const FIELD: &str = "organizationId";
    let message = text::optional_text("message", message, limits::DESCRIPTION)?;
    let caused = mail_limit::count_to_support(database, actor, client, FIELD).await?;
    let outcome = database
        .transaction(async |transaction| {
            // The organization is locked, so that the limit is exact.
            let not_found = access::organization_not_found(FIELD);
            let permit = access::enter(transaction, actor, organization_id, Lock::Organization, not_found).await?;
            let user_id = permit.require_member(FIELD)?;
            if !permit.standing().sees_billing() {
                let message = "only the owner and admins ask for more";
                return Err(Error::refused(Code::Forbidden, FIELD, message));
            }
            if transaction.deployment().support_email.is_none() {
                let message = match &transaction.deployment().upgrade_url {
                    Some(url) => format!("nobody reads requests here; ask at {url}"),
                    None => "nobody reads requests here; ask whoever runs this service".to_owned(),
                };
                return Err(Error::refused(Code::Invalid, FIELD, message));
            }
            let at = now(transaction).await?;
            let since = at - chrono::Duration::days(1);
            let before: Vec<DateTime<Utc>> = upgrade_requests::table
                .filter(upgrade_requests::organization_id.eq(organization_id))
                .filter(upgrade_requests::created_at.gt(since))
                .order(upgrade_requests::created_at.desc())
                .limit(limits::UPGRADE_REQUESTS)
                .select(upgrade_requests::created_at)
                .load(&mut **transaction)
                .await?;
            if let Some(oldest) = before.last().filter(|_| before.len() as i64 >= limits::UPGRADE_REQUESTS) {
                let wait = text::in_words((*oldest - since).to_std().unwrap_or_default());
                let message = format!(
                    "your organization has asked {} times within a day; ask again in {wait}",
                    limits::UPGRADE_REQUESTS
                );
                return Err(Error::refused(Code::RateLimited, FIELD, message));
            }
            caused.require(transaction).await?;
            let id = UpgradeRequestId::new();
            diesel::insert_into(upgrade_requests::table)
                .values((
                    upgrade_requests::id.eq(id),
                    upgrade_requests::organization_id.eq(organization_id),
                    upgrade_requests::user_id.eq(user_id),
                    upgrade_requests::message.eq(message.as_deref()),
                    upgrade_requests::created_at.eq(at),
                ))
                .execute(&mut **transaction)
                .await?;
            transaction.enqueue(&MailUpgradeRequested { upgrade_request_id: id }).await?;
            let event = NewEvent::by(actor, organization_id, AuditAction::OrganizationUpgradeRequested, id)
                .summary("asked for more");
            audit::record(transaction, [event]).await
        })
        .await;
    caused.settle(outcome).await
}

/// Loads a request, without checking who asks.
pub async fn by_id(connection: &mut AsyncPgConnection, id: UpgradeRequestId) -> Result<Option<UpgradeRequest>> {
    let query = upgrade_requests::table.find(id).select(UpgradeRequest::as_select());
    Ok(query.first(connection).await.optional()?)
}
