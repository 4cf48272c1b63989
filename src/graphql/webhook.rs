//! Webhooks.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::authority::audit::DEPLOYMENT;
use rollcall_domain::base::id::{OrganizationId, WebhookDeliveryId, WebhookId};
use rollcall_domain::event::{delivery, platform_webhook, webhook, webhook_changes};

use super::connection::{connection, forward, total};
use super::context::{self, actor, database};
use super::error::{Payload, UserError, payload, top_level};
use super::id::{BigInt, Id};
use super::invitation::DeliveryStatus;
use super::required;

#[derive(Debug, Clone)]
pub struct Webhook(pub webhook::Webhook);

/// A webhook notifies another service of what happens in an organization. It delivers the audit log's events that it
/// is subscribed to, in order and at least once, signed according to Standard Webhooks. An event that can't be
/// delivered holds up those after it, and is retried for 24 hours. After that, the webhook is disabled and the
/// organization's owner gets an email. A webhook of the platform delivers the events of all organizations in the order
/// of the feed, and if it is disabled, the email goes to the platform's support.
#[Object]
impl Webhook {
    /// The webhook's id. It begins with `whk_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The URL that events are delivered to.
    async fn url(&self) -> &str {
        &self.0.url
    }

    /// The audit log's actions that the webhook is subscribed to; `*` for all.
    async fn events(&self) -> &[String] {
        &self.0.events
    }

    /// Whether the webhook delivers events. When it is enabled again, it continues with the event after the last one
    /// that was delivered.
    async fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// Since when all attempts have failed. Null if the last attempt succeeded.
    async fn failing_since(&self) -> Option<DateTime<Utc>> {
        self.0.failing_since
    }

    /// The organization whose events are delivered. Null for a webhook of the platform.
    async fn organization_id(&self) -> Option<ID> {
        self.0.organization_id.map(|id| id.to_string().into())
    }

    /// The platform key that made a webhook of the platform, which tells only of the organizations that the key
    /// reaches. Null if staff made it.
    async fn platform_key_id(&self) -> Option<ID> {
        self.0.platform_key_id.map(|id| id.to_string().into())
    }

    /// Whether staff keep a webhook of the platform, who made it or took it over. Otherwise it ends with its key.
    async fn kept_by_staff(&self) -> bool {
        self.0.kept_by_staff
    }

    /// When the webhook was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// The deliveries that were made or attempted, newest event first. They are kept for 30 days.
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

/// A page of the webhooks of the platform that the caller keeps; null for those who keep none.
pub async fn platform_webhooks(
    context: &Context<'_>,
    first: Option<i32>,
    after: Option<String>,
) -> async_graphql::Result<Option<WebhookConnection>> {
    let Some(actor) = context::request(context).actor() else { return Ok(None) };
    let mut connection = context::connection(context).await?;
    let page = platform_webhook::list(&mut connection, actor, &forward(first, after)).await.map_err(top_level)?;
    let Some(page) = page else { return Ok(None) };
    let total = total(context, platform_webhook::count_of(&mut connection, actor)).await?;
    Ok(Some(WebhookConnection::new(page.map(Webhook), total)))
}

#[derive(Debug, Clone)]
pub struct WebhookDelivery(pub delivery::WebhookDelivery);

/// The delivery of an event to a webhook.
#[Object]
impl WebhookDelivery {
    /// The delivery's id. It begins with `whd_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The event's action, such as `organization.member_joined`.
    async fn event(&self) -> &str {
        &self.0.event
    }

    /// The organization in whose audit log the event is. Null for the deployment's own log.
    async fn organization_id(&self) -> Option<ID> {
        (self.0.log_id != DEPLOYMENT).then(|| self.0.log_id.to_string().into())
    }

    /// The event's sequence number in that log.
    async fn sequence(&self) -> BigInt {
        BigInt(self.0.sequence)
    }

    /// The outcome of the delivery.
    async fn status(&self) -> DeliveryStatus {
        self.0.status.into()
    }

    /// The number of attempts so far.
    async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// The HTTP status of the last response. Null if there was no response.
    async fn response_status(&self) -> Option<i32> {
        self.0.response_status
    }

    /// Why the last attempt failed.
    async fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }

    /// When the last attempt was made.
    async fn last_attempt_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_attempt_at
    }
}

connection!(WebhookDeliveryConnection, WebhookDeliveryEdge, WebhookDelivery, "deliveries");

/// The webhook to create.
#[derive(InputObject)]
pub struct CreateWebhookInput {
    /// The organization whose events are delivered. Left out by platform keys with EVENTS_READ and by staff, for the
    /// events of all organizations, or of those that the key reaches.
    organization_id: Option<Id<OrganizationId>>,
    /// The URL to deliver to: `https://…` at a public address, up to 2,000 characters. A webhook of the platform may
    /// also lead to a private address, and there to `http://…`.
    url: String,
    /// The audit log's actions to subscribe to, such as `organization.member_joined`; `*` for all.
    events: Vec<String>,
}

/// The result of creating a webhook.
#[derive(SimpleObject, Default)]
pub struct CreateWebhookPayload {
    /// The new webhook. It delivers what happens from now on, beginning with the event of its own creation. A webhook
    /// of the platform may also deliver what happened in the moments before.
    webhook: Option<Webhook>,
    /// The secret for verifying the signatures of deliveries. It begins with `whsec_` and is shown only this once.
    secret: Option<String>,
    /// Why no webhook was created.
    user_errors: Vec<UserError>,
}
payload!(CreateWebhookPayload);

/// The changes to a webhook. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateWebhookInput {
    /// The webhook.
    id: Id<WebhookId>,
    /// The new URL to deliver to. Waiting deliveries are attempted there at once.
    url: MaybeUndefined<String>,
    /// The audit log's actions to subscribe to; `*` for all.
    events: MaybeUndefined<Vec<String>>,
    /// Whether the webhook delivers events. When it is enabled again, it continues with the event after the last one
    /// that was delivered. Staff who set this to true for a platform key's webhook take it over.
    enabled: Option<bool>,
    /// Whether to create a new secret. For 24 hours, deliveries are also signed with the old secret, even if it is
    /// rotated again. At most 5 old secrets are in use at a time.
    rotate_secret: Option<bool>,
}

/// The result of changing a webhook.
#[derive(SimpleObject, Default)]
pub struct UpdateWebhookPayload {
    /// The changed webhook.
    webhook: Option<Webhook>,
    /// The new secret, if one was requested. It is shown only this once.
    secret: Option<String>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateWebhookPayload);

/// Identifies the webhook to delete.
#[derive(InputObject)]
pub struct DeleteWebhookInput {
    /// The webhook.
    id: Id<WebhookId>,
}

/// The result of deleting a webhook.
#[derive(SimpleObject, Default)]
pub struct DeleteWebhookPayload {
    /// The id of the webhook, which is deleted together with its deliveries.
    deleted_webhook_id: Option<ID>,
    /// Why the webhook wasn't deleted.
    user_errors: Vec<UserError>,
}
payload!(DeleteWebhookPayload);

/// Identifies the delivery to repeat.
#[derive(InputObject)]
pub struct RedeliverWebhookInput {
    /// The delivery. Its webhook must be enabled.
    delivery_id: Id<WebhookDeliveryId>,
}

/// The result of repeating a delivery. It is sent out of order and with the same `webhook-id` as before.
#[derive(SimpleObject, Default)]
pub struct RedeliverWebhookPayload {
    /// The delivery, now with the status QUEUED.
    delivery: Option<WebhookDelivery>,
    /// Why the delivery isn't repeated.
    user_errors: Vec<UserError>,
}
payload!(RedeliverWebhookPayload);

/// The mutations of webhooks.
#[derive(Default)]
pub struct WebhookMutation;

#[Object]
impl WebhookMutation {
    /// Creates a webhook. For the owner and admins; without an organization, for platform keys with EVENTS_READ and for
    /// staff.
    async fn create_webhook(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The webhook to create.")] input: CreateWebhookInput,
    ) -> async_graphql::Result<CreateWebhookPayload> {
        let organization_id = input.organization_id.map(|id| id.0);
        let command = webhook::CreateWebhook { organization_id, url: input.url, events: input.events };
        let outcome = webhook_changes::create(database(context), actor(context)?, &command).await;
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
        #[graphql(desc = "The webhook and the changes.")] input: UpdateWebhookInput,
    ) -> async_graphql::Result<UpdateWebhookPayload> {
        let command = webhook::UpdateWebhook {
            id: input.id.0,
            url: required(input.url),
            events: required(input.events),
            enabled: input.enabled,
            rotate_secret: input.rotate_secret.unwrap_or(false),
        };
        let outcome = webhook_changes::update(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |(webhook, secret)| UpdateWebhookPayload {
            webhook: Some(Webhook(webhook)),
            secret: secret.map(|secret| secret.reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Deletes a webhook and its deliveries.
    async fn delete_webhook(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The webhook to delete.")] input: DeleteWebhookInput,
    ) -> async_graphql::Result<DeleteWebhookPayload> {
        let outcome = webhook_changes::delete(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| DeleteWebhookPayload {
            deleted_webhook_id: Some(id.to_string().into()),
            ..Default::default()
        })
    }

    /// Delivers an event again. For each webhook, up to 100 deliveries can wait for this at a time. If the delivery
    /// succeeds, those that wait behind it continue at once.
    async fn redeliver_webhook(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The delivery to repeat.")] input: RedeliverWebhookInput,
    ) -> async_graphql::Result<RedeliverWebhookPayload> {
        let outcome = delivery::redeliver(database(context), actor(context)?, input.delivery_id.0).await;
        Payload::of(outcome, |delivery| RedeliverWebhookPayload {
            delivery: Some(WebhookDelivery(delivery)),
            ..Default::default()
        })
    }
}
