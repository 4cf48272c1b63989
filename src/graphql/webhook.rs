//! Webhooks.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::base::id::{OrganizationId, WebhookDeliveryId, WebhookId};
use rollcall_domain::event::{delivery, webhook};

use super::connection::{connection, forward};
use super::context::{self, actor, database};
use super::error::{Payload, UserError, payload, top_level};
use super::id::{BigInt, Id};
use super::invitation::DeliveryStatus;
use super::required;

#[derive(Debug, Clone)]
pub struct Webhook(pub webhook::Webhook);

/// Tells another service what happens in an organization: each event of the audit log that it waits for, in their
/// order, at least once, signed as Standard Webhooks says. What can't be delivered holds up what comes after it, and is
/// tried again for 24 hours; then the webhook is disabled, and the owner gets an email.
#[Object]
impl Webhook {
    /// Begins with whk_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Where it leads.
    async fn url(&self) -> &str {
        &self.0.url
    }

    /// The actions of the audit log that it tells; `*` for all.
    async fn events(&self) -> &[String] {
        &self.0.events
    }

    /// Whether it delivers anything. Once enabled again, it continues with the event after the last one delivered.
    async fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// Since when every attempt failed; null where the last one didn't.
    async fn failing_since(&self) -> Option<DateTime<Utc>> {
        self.0.failing_since
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// What was delivered to it or tried to, the newest event first; kept for 30 days.
    async fn deliveries(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<WebhookDeliveryConnection> {
        let mut connection = context::connection(context).await?;
        let page = delivery::deliveries(&mut connection, &self.0, &forward(first, after)).await.map_err(top_level)?;
        Ok(WebhookDeliveryConnection::new(page.map(WebhookDelivery)))
    }
}

connection!(WebhookConnection, WebhookEdge, Webhook, "webhooks", total_count);

#[derive(Debug, Clone)]
pub struct WebhookDelivery(pub delivery::WebhookDelivery);

/// An event on its way to a webhook.
#[Object]
impl WebhookDelivery {
    /// Begins with whd_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The event's action, such as organization.member_joined.
    async fn event(&self) -> &str {
        &self.0.event
    }

    /// The event's sequence in the audit log.
    async fn sequence(&self) -> BigInt {
        BigInt(self.0.sequence)
    }

    /// What became of it.
    async fn status(&self) -> DeliveryStatus {
        self.0.status.into()
    }

    /// How often it was tried.
    async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// The HTTP status of the last answer; null where there was none.
    async fn response_status(&self) -> Option<i32> {
        self.0.response_status
    }

    /// Why the last attempt failed.
    async fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }

    /// When it was last tried.
    async fn last_attempt_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_attempt_at
    }
}

connection!(WebhookDeliveryConnection, WebhookDeliveryEdge, WebhookDelivery, "deliveries");

/// A webhook to be made.
#[derive(InputObject)]
pub struct CreateWebhookInput {
    /// Whose events it shall tell.
    organization_id: Id<OrganizationId>,
    /// The URL to deliver to: https://… at a public address, up to 2,000 characters.
    url: String,
    /// Actions of the audit log, such as organization.member_joined; `*` for all.
    events: Vec<String>,
}

/// A new webhook with its secret.
#[derive(SimpleObject, Default)]
pub struct CreateWebhookPayload {
    /// The webhook; it tells what happens from now on, its own making first.
    webhook: Option<Webhook>,
    /// Verifies the deliveries' signatures, begins with whsec_; shown this once.
    secret: Option<String>,
    /// Why none was made.
    user_errors: Vec<UserError>,
}
payload!(CreateWebhookPayload);

/// A change of a webhook; what is left out stays.
#[derive(InputObject)]
pub struct UpdateWebhookInput {
    /// Which.
    id: Id<WebhookId>,
    /// Where it shall lead; what waits is tried there at once.
    url: MaybeUndefined<String>,
    /// Actions of the audit log; `*` for all.
    events: MaybeUndefined<Vec<String>>,
    /// Whether it delivers anything. Once enabled again, it continues with the event after the last one delivered.
    enabled: Option<bool>,
    /// Whether it gets a new secret. Deliveries are signed with the old one too, for 24 hours, whatever other rotations
    /// follow; at most 5 old ones at a time.
    rotate_secret: Option<bool>,
}

/// The changed webhook.
#[derive(SimpleObject, Default)]
pub struct UpdateWebhookPayload {
    /// As it stands now.
    webhook: Option<Webhook>,
    /// The new secret, where one was asked for; shown this once.
    secret: Option<String>,
    /// Why nothing has changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateWebhookPayload);

/// A webhook to be deleted.
#[derive(InputObject)]
pub struct DeleteWebhookInput {
    /// Which.
    id: Id<WebhookId>,
}

/// A webhook that is gone with its deliveries.
#[derive(SimpleObject, Default)]
pub struct DeleteWebhookPayload {
    /// Which.
    deleted_webhook_id: Option<ID>,
    /// Why none was deleted.
    user_errors: Vec<UserError>,
}
payload!(DeleteWebhookPayload);

/// A delivery to be made again.
#[derive(InputObject)]
pub struct RedeliverWebhookInput {
    /// Which; its webhook is enabled.
    delivery_id: Id<WebhookDeliveryId>,
}

/// A delivery that is made again, out of its order and under the same `webhook-id`.
#[derive(SimpleObject, Default)]
pub struct RedeliverWebhookPayload {
    /// The delivery, QUEUED.
    delivery: Option<WebhookDelivery>,
    /// Why it isn't made again.
    user_errors: Vec<UserError>,
}
payload!(RedeliverWebhookPayload);

/// Webhooks.
#[derive(Default)]
pub struct WebhookMutation;

#[Object]
impl WebhookMutation {
    /// Makes a webhook; for owner and admins.
    async fn create_webhook(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The webhook.")] input: CreateWebhookInput,
    ) -> async_graphql::Result<CreateWebhookPayload> {
        let command =
            webhook::CreateWebhook { organization_id: input.organization_id.0, url: input.url, events: input.events };
        let outcome = webhook::create(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |(webhook, secret)| CreateWebhookPayload {
            webhook: Some(Webhook(webhook)),
            secret: Some(secret.reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Changes a webhook, enables or disables it, or gives it a new secret.
    async fn update_webhook(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The change.")] input: UpdateWebhookInput,
    ) -> async_graphql::Result<UpdateWebhookPayload> {
        let command = webhook::UpdateWebhook {
            id: input.id.0,
            url: required(input.url),
            events: required(input.events),
            enabled: input.enabled,
            rotate_secret: input.rotate_secret.unwrap_or(false),
        };
        let outcome = webhook::update(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |(webhook, secret)| UpdateWebhookPayload {
            webhook: Some(Webhook(webhook)),
            secret: secret.map(|secret| secret.reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Deletes a webhook with its deliveries.
    async fn delete_webhook(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The webhook.")] input: DeleteWebhookInput,
    ) -> async_graphql::Result<DeleteWebhookPayload> {
        let outcome = webhook::delete(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| DeleteWebhookPayload {
            deleted_webhook_id: Some(id.to_string().into()),
            ..Default::default()
        })
    }

    /// Has an event delivered again; up to 100 of one webhook may wait for that. If it succeeds, deliveries waiting
    /// behind it continue at once.
    async fn redeliver_webhook(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The delivery.")] input: RedeliverWebhookInput,
    ) -> async_graphql::Result<RedeliverWebhookPayload> {
        let outcome = delivery::redeliver(database(context), actor(context)?, input.delivery_id.0).await;
        Payload::of(outcome, |delivery| RedeliverWebhookPayload {
            delivery: Some(WebhookDelivery(delivery)),
            ..Default::default()
        })
    }
}
