//! Creating, changing and deleting webhooks, of organizations and of the platform.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::base::error::Result;
use crate::base::id::WebhookId;
use crate::base::job::DeliverWebhook;
use crate::base::secret::Token;
use crate::database::schema::webhooks;
use crate::database::{Database, now};
use crate::event::platform_webhook;
use crate::event::target::WebhookKind;
use crate::event::webhook::{self, CreateWebhook, UpdateWebhook, Webhook};

/// Creates a webhook, which delivers what happens from now on. Its secret is returned only this once.
///
/// # Errors
///
/// On `organizationId`: NOT_FOUND, FORBIDDEN, TOO_MANY. INVALID, BLANK or TOO_LONG on `url`; INVALID or BLANK on
/// `events`.
pub async fn create(database: &Database, actor: &Actor, command: &CreateWebhook) -> Result<(Webhook, Token)> {
    match command.organization_id {
        Some(organization_id) => webhook::create_for_organization(database, actor, organization_id, command).await,
        None => platform_webhook::create(database, actor, command).await,
    }
}

/// Changes a webhook. A new secret is returned only this once. When the webhook is enabled again, it continues with
/// the event after the last one that was processed. Staff who enable a platform key's webhook take it over.
///
/// # Errors
///
/// NOT_FOUND on `id`; INVALID, BLANK or TOO_LONG on `url`; INVALID or BLANK on `events`; TOO_MANY on `rotateSecret`.
pub async fn update(database: &Database, actor: &Actor, command: &UpdateWebhook) -> Result<(Webhook, Option<Token>)> {
    let targets = database.deployment().webhook_targets;
    let events = command.events.as_deref().map(|events| webhook::parse_events("events", events)).transpose()?;
    database
        .transaction(async |transaction| {
            let before = webhook::manage(transaction, actor, command.id, "id").await?;
            let url = command.url.as_deref().map(|url| targets.parse(before.kind(), "url", url)).transpose()?;
            let at = now(transaction).await?;
            let mut changed = before.clone();
            if let Some(url) = url {
                changed.url = url.into();
            }
            if let Some(events) = &events {
                changed.events.clone_from(events);
            }
            let mut place = before.place();
            if changed.events != before.events {
                place = platform_webhook::place_for_other_events(transaction, &before).await?;
            }
            changed.kept_by_staff |= webhook::is_taken_over(&before, actor, command);
            changed.enabled = command.enabled.unwrap_or(before.enabled);
            if command.rotate_secret {
                webhook::retire_secret(transaction, &before, at).await?;
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
                    webhooks::kept_by_staff.eq(changed.kept_by_staff),
                    webhook::placed(place),
                    webhooks::failing_since.eq(changed.failing_since),
                    webhooks::secret_version.eq(changed.secret_version),
                    webhooks::secret_made_at.eq(changed.secret_made_at),
                    webhooks::secret_made_by_id.eq(changed.secret_made_by_id),
                ))
                .returning(Webhook::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let secret = match command.rotate_secret {
                true => Some(webhook::current_secret(transaction.keyring(), &webhook)?),
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
                (webhook.kept_by_staff != before.kept_by_staff, "keeper"),
            ] {
                if is_changed {
                    what.push(name);
                }
            }
            let action = match webhook.kind() {
                WebhookKind::Organization => AuditAction::WebhookUpdated,
                WebhookKind::Platform => AuditAction::PlatformWebhookUpdated,
            };
            let event = NewEvent::by(actor, webhook.log_id(), action, webhook.id)
                .summary("changed a webhook")
                .with(json!({ "fields": what, "enabled": webhook.enabled, "events": webhook.events }));
            audit::record(transaction, [event]).await?;
            Ok((webhook, secret))
        })
        .await
}

/// Deletes a webhook and its deliveries. Nothing more is sent to it.
pub async fn delete(database: &Database, actor: &Actor, id: WebhookId) -> Result<WebhookId> {
    database
        .transaction(async |transaction| {
            let webhook = webhook::manage(transaction, actor, id, "id").await?;
            diesel::delete(webhooks::table.find(id)).execute(&mut **transaction).await?;
            let action = match webhook.kind() {
                WebhookKind::Organization => AuditAction::WebhookDeleted,
                WebhookKind::Platform => AuditAction::PlatformWebhookDeleted,
            };
            let event = NewEvent::by(actor, webhook.log_id(), action, id).summary("deleted a webhook");
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}
