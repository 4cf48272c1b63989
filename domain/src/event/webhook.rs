//! Webhooks: an organization's audit log is delivered to other services in order and at least once (R75).
//!
//! A webhook has a cursor into the log. Whatever records an event that it is subscribed to enqueues the webhook's
//! single job, which delivers one event after the other and advances the cursor. So no event is sent before its
//! commit, overtaken by another one, or lost.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;
use url::Url;

use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::rights::Action;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, TypedId, UserId, WebhookId};
use crate::base::job::DeliverWebhook;
use crate::base::limits;
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::secret::{Keyring, Token};
use crate::database::schema::{audit_heads, webhook_previous_secrets, webhooks};
use crate::database::{Database, Transaction, now};

/// The entry that subscribes to every event.
pub(super) const EVERY_EVENT: &str = "*";

/// A webhook of an organization.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = webhooks)]
pub struct Webhook {
    /// The webhook's id.
    pub id: WebhookId,
    /// The organization whose events are delivered.
    pub organization_id: OrganizationId,
    /// The URL that events are delivered to.
    pub url: String,
    /// The actions that the webhook is subscribed to; `*` for all.
    pub events: Vec<String>,
    /// Whether the webhook delivers events.
    pub enabled: bool,
    /// The last sequence number of the audit log that has been processed.
    pub cursor: i64,
    /// Since when all attempts have failed. `None` if the last one succeeded.
    pub failing_since: Option<DateTime<Utc>>,
    /// The version of the secret that signs deliveries.
    pub secret_version: i32,
    /// When this secret was created.
    pub secret_made_at: DateTime<Utc>,
    /// The user who was shown this secret; `None` if it was the platform.
    pub secret_made_by_id: Option<UserId>,
    /// When the webhook was created.
    pub created_at: DateTime<Utc>,
}

impl Webhook {
    /// The host that the webhook delivers to, as it is shown to people.
    pub fn host(&self) -> String {
        Url::parse(&self.url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Advice, as a sentence, for when somebody who was shown the secret leaves.
    pub fn renewal_advice(&self) -> String {
        format!("Renew the secret of the webhook {} to {}: they were shown it.", self.id, self.host())
    }
}

/// The webhook to create.
#[derive(Debug)]
pub struct CreateWebhook {
    /// The organization whose events are delivered.
    pub organization_id: OrganizationId,
    /// The URL to deliver to.
    pub url: String,
    /// The actions to subscribe to.
    pub events: Vec<String>,
}

/// The changes to a webhook. `None` leaves a field as it is.
#[derive(Debug)]
pub struct UpdateWebhook {
    /// The webhook.
    pub id: WebhookId,
    /// The new URL to deliver to.
    pub url: Option<String>,
    /// The actions to subscribe to.
    pub events: Option<Vec<String>>,
    /// Whether the webhook delivers events.
    pub enabled: Option<bool>,
    /// Whether to create a new secret.
    pub rotate_secret: bool,
}

/// Parses the names of actions, and removes duplicates.
fn parse_events(field: &str, events: &[String]) -> Result<Vec<String>, Refusal> {
    if events.is_empty() {
        return Err(Refusal::new(Code::Blank, field, "name at least one event, or \"*\" for all"));
    }
    let mut parsed = Vec::new();
    for event in events {
        let known = event == EVERY_EVENT || AuditAction::ALL.iter().any(|action| action.as_str() == event);
        if !known {
            let shown: String = event.chars().take(limits::LABEL).collect();
            let message =
                format!("there is no event {shown:?}; the audit log's actions are events, and \"*\" is all of them");
            return Err(Refusal::new(Code::Invalid, field, message));
        }
        if !parsed.contains(event) {
            parsed.push(event.clone());
        }
    }
    Ok(parsed)
}

/// Creates a webhook, which delivers what happens from now on. Its secret is returned only this once.
pub async fn create(database: &Database, actor: &Actor, command: &CreateWebhook) -> Result<(Webhook, Token)> {
    let url = database.deployment().webhook_targets.parse("url", &command.url)?;
    let events = parse_events("events", &command.events)?;
    let organization_id = command.organization_id;
    database
        .transaction(async |transaction| {
            let permit = access::authorize(
                transaction,
                actor,
                organization_id,
                Lock::Organization,
                Action::ManageWebhooks,
                "organizationId",
            )
            .await?;
            let existing = count(transaction, &permit).await?;
            if existing >= limits::MAX_WEBHOOKS {
                let message = format!("there are {existing} webhooks already; delete one that nobody needs");
                return Err(Error::refused(Code::TooMany, "organizationId", message));
            }
            // The head of the log is locked from here on. Events recorded before aren't delivered; those recorded
            // after are.
            let cursor: Option<i64> = audit_heads::table
                .find(organization_id)
                .select(audit_heads::sequence)
                .for_update()
                .first(&mut **transaction)
                .await
                .optional()?;
            let at = now(transaction).await?;
            let webhook: Webhook = diesel::insert_into(webhooks::table)
                .values((
                    webhooks::id.eq(WebhookId::new()),
                    webhooks::organization_id.eq(permit.organization_id()),
                    webhooks::url.eq(url.as_str()),
                    webhooks::events.eq(&events),
                    webhooks::enabled.eq(true),
                    webhooks::cursor.eq(cursor.unwrap_or(0)),
                    webhooks::secret_version.eq(1),
                    webhooks::secret_made_at.eq(at),
                    webhooks::secret_made_by_id.eq(permit.user_id()),
                    webhooks::created_at.eq(at),
                ))
                .returning(Webhook::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let secret = current_secret(transaction.keyring(), &webhook)?;
            let event = NewEvent::by(actor, organization_id, AuditAction::WebhookCreated, webhook.id)
                .summary("made a webhook")
                .with(json!({ "host": url.host_str(), "events": events }));
            audit::record(transaction, [event]).await?;
            Ok((webhook, secret))
        })
        .await
}

fn current_secret(keyring: &Keyring, webhook: &Webhook) -> Result<Token> {
    let secrets = keyring.webhook_secrets(webhook.id.uuid(), webhook.secret_version)?;
    secrets.into_iter().next().ok_or(Error::Bug("a keyring has a current secret"))
}

/// Locks a webhook that the actor manages.
pub(super) async fn manage(
    transaction: &mut Transaction,
    actor: &Actor,
    id: WebhookId,
    field: &str,
) -> Result<Webhook> {
    access::require_writing(actor, field)?;
    let not_found = || Refusal::new(Code::NotFound, field, "there is no such webhook");
    let organization_id: OrganizationId = webhooks::table
        .find(id)
        .select(webhooks::organization_id)
        .first(&mut **transaction)
        .await
        .optional()?
        .ok_or_else(not_found)?;
    let permit = access::enter(transaction, actor, organization_id, Lock::Membership, not_found()).await?;
    permit.require_or(Action::ManageWebhooks, field, not_found())?;
    lock(transaction, id).await?.ok_or_else(|| not_found().into())
}

pub(super) async fn lock(transaction: &mut Transaction, id: WebhookId) -> Result<Option<Webhook>> {
    Ok(webhooks::table
        .find(id)
        .select(Webhook::as_select())
        .for_no_key_update()
        .first(&mut **transaction)
        .await
        .optional()?)
}

/// Changes a webhook. A new secret is returned only this once. When the webhook is enabled again, it continues with
/// the event after the last one that was processed.
pub async fn update(database: &Database, actor: &Actor, command: &UpdateWebhook) -> Result<(Webhook, Option<Token>)> {
    let targets = database.deployment().webhook_targets;
    let url = command.url.as_deref().map(|url| targets.parse("url", url)).transpose()?;
    let events = command.events.as_deref().map(|events| parse_events("events", events)).transpose()?;
    database
        .transaction(async |transaction| {
            let before = manage(transaction, actor, command.id, "id").await?;
            let at = now(transaction).await?;
            let mut changed = before.clone();
            if let Some(url) = &url {
                changed.url = url.to_string();
            }
            if let Some(events) = &events {
                changed.events.clone_from(events);
            }
            changed.enabled = command.enabled.unwrap_or(before.enabled);
            if command.rotate_secret {
                retire_secret(transaction, &before, at).await?;
                changed.secret_version += 1;
                changed.secret_made_at = at;
                changed.secret_made_by_id = actor.account();
            }
            // With another URL, or after it was enabled again, the webhook has another full day before it is disabled.
            let fresh = changed.enabled && (changed.url != before.url || !before.enabled);
            if fresh {
                changed.failing_since = None;
            }
            let webhook: Webhook = diesel::update(webhooks::table.find(command.id))
                .set((
                    webhooks::url.eq(&changed.url),
                    webhooks::events.eq(&changed.events),
                    webhooks::enabled.eq(changed.enabled),
                    webhooks::failing_since.eq(changed.failing_since),
                    webhooks::secret_version.eq(changed.secret_version),
                    webhooks::secret_made_at.eq(changed.secret_made_at),
                    webhooks::secret_made_by_id.eq(changed.secret_made_by_id),
                ))
                .returning(Webhook::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let secret = match command.rotate_secret {
                true => Some(current_secret(transaction.keyring(), &webhook)?),
                false => None,
            };
            if fresh {
                transaction.enqueue_or_expedite(&DeliverWebhook { webhook_id: webhook.id }).await?;
            }
            let mut what = Vec::new();
            for (is_changed, name) in [
                (webhook.url != before.url, "url"),
                (webhook.events != before.events, "events"),
                (webhook.enabled != before.enabled, "enabled"),
                (command.rotate_secret, "secret"),
            ] {
                if is_changed {
                    what.push(name);
                }
            }
            let event = NewEvent::by(actor, webhook.organization_id, AuditAction::WebhookUpdated, webhook.id)
                .summary("changed a webhook")
                .with(json!({ "fields": what, "enabled": webhook.enabled, "events": webhook.events }));
            audit::record(transaction, [event]).await?;
            Ok((webhook, secret))
        })
        .await
}

/// Lets the current secret sign deliveries together with the next one for a day, and forgets secrets whose day is
/// over.
async fn retire_secret(transaction: &mut Transaction, webhook: &Webhook, at: DateTime<Utc>) -> Result<()> {
    let previous = || {
        webhook_previous_secrets::table
            .filter(webhook_previous_secrets::organization_id.eq(webhook.organization_id))
            .filter(webhook_previous_secrets::webhook_id.eq(webhook.id))
    };
    diesel::delete(previous().filter(webhook_previous_secrets::ends_at.le(at))).execute(&mut **transaction).await?;
    let (living, first_end): (i64, Option<DateTime<Utc>>) = previous()
        .select((diesel::dsl::count_star(), diesel::dsl::min(webhook_previous_secrets::ends_at)))
        .first(&mut **transaction)
        .await?;
    if living >= limits::MAX_WEBHOOK_PREVIOUS_SECRETS {
        let until = first_end.map(|end| end.format("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
        let message = format!(
            "{living} earlier secrets sign deliveries still, each for a day; rotate again after {until}, or make another webhook"
        );
        return Err(Error::refused(Code::TooMany, "rotateSecret", message));
    }
    diesel::insert_into(webhook_previous_secrets::table)
        .values((
            webhook_previous_secrets::organization_id.eq(webhook.organization_id),
            webhook_previous_secrets::webhook_id.eq(webhook.id),
            webhook_previous_secrets::version.eq(webhook.secret_version),
            webhook_previous_secrets::ends_at.eq(at + limits::WEBHOOK_SECRET_OVERLAP),
        ))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Deletes a webhook and its deliveries. Nothing more is sent to it.
pub async fn delete(database: &Database, actor: &Actor, id: WebhookId) -> Result<WebhookId> {
    database
        .transaction(async |transaction| {
            let webhook = manage(transaction, actor, id, "id").await?;
            diesel::delete(webhooks::table.find(id)).execute(&mut **transaction).await?;
            let event = NewEvent::by(actor, webhook.organization_id, AuditAction::WebhookDeleted, id)
                .summary("deleted a webhook");
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Loads the webhooks, without checking who asks.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[WebhookId]) -> Result<Vec<Webhook>> {
    Ok(webhooks::table.filter(webhooks::id.eq_any(ids)).select(Webhook::as_select()).load(connection).await?)
}

/// Loads those webhooks that the actor may see.
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[WebhookId]) -> Result<Vec<Webhook>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|webhook| webhook.organization_id)).await?;
    let may_see = |webhook: &Webhook| {
        permits.get(&webhook.organization_id).is_some_and(|permit| permit.standing().allows(Action::ManageWebhooks))
    };
    Ok(found.into_iter().filter(may_see).collect())
}

/// A page of an organization's webhooks, oldest first.
pub async fn list(connection: &mut AsyncPgConnection, permit: &Permit, page: &PageRequest) -> Result<Page<Webhook>> {
    permit.require(Action::ManageWebhooks)?;
    let slice = page.slice()?;
    let query = webhooks::table
        .filter(webhooks::organization_id.eq(permit.organization_id()))
        .select(Webhook::as_select())
        .into_boxed();
    let rows = by_id!(query, slice, webhooks::id).load(connection).await?;
    slice.page(rows, |webhook: &Webhook| webhook.id)
}

/// The number of an organization's webhooks.
pub async fn count(connection: &mut AsyncPgConnection, permit: &Permit) -> Result<i64> {
    permit.require(Action::ManageWebhooks)?;
    let query = webhooks::table.filter(webhooks::organization_id.eq(permit.organization_id()));
    Ok(query.count().get_result(connection).await?)
}

/// The webhooks of an organization whose secret the user was shown. The secrets should be renewed after the user's
/// departure.
pub async fn known_to(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<Vec<Webhook>> {
    Ok(webhooks::table
        .filter(webhooks::organization_id.eq(organization_id))
        .filter(webhooks::secret_made_by_id.eq(user_id))
        .order(webhooks::id)
        .select(Webhook::as_select())
        .load(connection)
        .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_known_and_named_once() {
        let events = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(parse_events("events", &events(&["*", "*"])), Ok(events(&["*"])));
        assert!(parse_events("events", &events(&["organization.member_joined"])).is_ok());
        assert_eq!(parse_events("events", &[]).map_err(|refusal| refusal.code), Err(Code::Blank));
        assert_eq!(
            parse_events("events", &events(&["member.joined"])).map_err(|refusal| refusal.code),
            Err(Code::Invalid)
        );
    }
}
