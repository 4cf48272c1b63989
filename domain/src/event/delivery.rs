//! The deliveries of webhooks: what is delivered next, the outcome, and delivering again.

use std::time::Duration;

use apalis_diesel::Job;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use diesel::upsert::excluded;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::account::user;
use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, AuditEvent, DEPLOYMENT, NewEvent};
use crate::base::delivery::DeliveryStatus;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, TypedId, WebhookDeliveryId, WebhookId};
use crate::base::job::{DeliverWebhook, JobClaim, MailWebhookDisabled, RedeliverWebhook};
use crate::base::page::{Page, PageRequest};
use crate::base::secret::{Keyring, Token};
use crate::base::sql::{Prepare as _, statement};
use crate::base::{clock, limits};
use crate::database::schema::{
    audit_events, audit_heads, organizations, webhook_deliveries, webhook_previous_secrets, webhooks,
};
use crate::database::{Database, Transaction, now};
use crate::event::platform_feed::{self, FeedPlace};
use crate::event::platform_webhook;
use crate::event::target::WebhookKind;
use crate::event::webhook::{self, EVERY_EVENT, Webhook, placed};
use crate::membership::organization;

/// An event that is to be delivered to a webhook now.
#[derive(Debug)]
pub struct DueDelivery {
    /// The webhook, as it is now.
    pub webhook: Webhook,
    /// The event. For an organization's webhook, without people whom the organization may not know.
    pub event: AuditEvent,
    /// The current time.
    pub at: DateTime<Utc>,
    /// The event's place in what the webhook tells.
    place: FeedPlace,
    /// The platform's own id of the event's organization, for a webhook of the platform.
    organization_external_id: Option<String>,
    /// The versions of earlier secrets that are still in use.
    previous_versions: Vec<i32>,
}

impl DueDelivery {
    async fn now(
        connection: &mut AsyncPgConnection,
        webhook: Webhook,
        place: FeedPlace,
        event: AuditEvent,
    ) -> Result<Self> {
        let at = now(connection).await?;
        let (event, organization_external_id) = match webhook.kind() {
            WebhookKind::Organization => (event.for_its_organization(connection).await?, None),
            WebhookKind::Platform => {
                let known: Option<Option<String>> = organizations::table
                    .find(event.organization_id)
                    .select(organizations::external_id)
                    .first(connection)
                    .await
                    .optional()?;
                (event, known.flatten())
            }
        };
        let previous_versions = webhook_previous_secrets::table
            .filter(webhook_previous_secrets::webhook_id.eq(webhook.id))
            .filter(webhook_previous_secrets::version.lt(webhook.secret_version))
            .filter(webhook_previous_secrets::ends_at.gt(at))
            .order(webhook_previous_secrets::version.desc())
            .select(webhook_previous_secrets::version)
            .load(connection)
            .await?;
        Ok(Self { webhook, event, at, place, organization_external_id, previous_versions })
    }

    /// The payload that the receiver gets: the event, with the names that it has in the API. The reason of a removal
    /// isn't included; it is only for the owner and admins, who read the log. A webhook of the platform also tells the
    /// platform's own id of the organization.
    pub fn payload(&self) -> Value {
        let event = &self.event;
        let mut metadata = event.metadata.clone();
        if let Value::Object(entries) = &mut metadata {
            entries.remove(audit::REASON);
        }
        let organization_id = (event.organization_id != DEPLOYMENT).then(|| event.organization_id.to_string());
        let mut data = json!({
            "id": event.id.to_string(),
            "organizationId": organization_id,
            "sequence": event.sequence.to_string(),
            "actorKind": event.actor_kind.as_str().to_uppercase(),
            "actorId": event.actor_id.map(|id| id.to_string()),
            "targetId": event.target_id,
            "summary": event.summary,
            "metadata": metadata,
        });
        match (self.webhook.kind(), &mut data) {
            (WebhookKind::Platform, Value::Object(fields)) => {
                fields.insert("organizationExternalId".to_owned(), json!(self.organization_external_id));
            }
            (WebhookKind::Platform | WebhookKind::Organization, _) => {}
        }
        json!({ "type": event.action, "timestamp": event.occurred_at, "data": data })
    }

    /// The secrets that sign the delivery: the webhook's current secret, and earlier ones until a day after their
    /// rotation, so that the receiver can switch over without missing anything. Each of them is derived from every
    /// accepted secret of the deployment.
    pub fn signing_secrets(&self, keyring: &Keyring) -> Result<Vec<Token>> {
        let mut secrets = Vec::new();
        for version in std::iter::once(self.webhook.secret_version).chain(self.previous_versions.iter().copied()) {
            secrets.extend(keyring.webhook_secrets(self.webhook.id.uuid(), version)?);
        }
        Ok(secrets)
    }
}

/// The delivery of an event to a webhook.
#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = webhook_deliveries)]
pub struct WebhookDelivery {
    /// The delivery's id.
    pub id: WebhookDeliveryId,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The log that the event is in: an organization's, or [`DEPLOYMENT`].
    pub log_id: OrganizationId,
    /// The event's sequence number in that log.
    pub sequence: i64,
    /// The event's place in the feed, for webhooks of the platform.
    feed_position: i64,
    /// The event's action.
    pub event: String,
    /// The outcome of the delivery.
    pub status: DeliveryStatus,
    /// The number of attempts so far.
    pub attempts: i32,
    /// The HTTP status of the last response.
    pub response_status: Option<i32>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When the last attempt was made.
    pub last_attempt_at: Option<DateTime<Utc>>,
}

impl WebhookDelivery {
    fn place(&self) -> FeedPlace {
        FeedPlace { feed_position: self.feed_position, organization_id: self.log_id, sequence: self.sequence }
    }
}

/// Delivers an event again, out of order.
///
/// # Errors
///
/// On `deliveryId`: NOT_FOUND if the actor doesn't manage the webhook; CONFLICT or TOO_MANY if it can't be delivered
/// again now.
pub async fn redeliver(database: &Database, actor: &Actor, id: WebhookDeliveryId) -> Result<WebhookDelivery> {
    access::require_writing(actor, "deliveryId")?;
    let not_found = || Refusal::new(Code::NotFound, "deliveryId", "there is no such delivery");
    database
        .transaction(async |transaction| {
            let webhook_id: WebhookId = webhook_deliveries::table
                .find(id)
                .select(webhook_deliveries::webhook_id)
                .first(&mut **transaction)
                .await
                .optional()?
                .ok_or_else(not_found)?;
            let webhook =
                webhook::manage(transaction, actor, webhook_id, "deliveryId").await.map_err(|error| match error {
                    Error::Refused(refusals) if refusals.iter().all(|refusal| refusal.code == Code::NotFound) => {
                        not_found().into()
                    }
                    other => other,
                })?;
            if !webhook.enabled {
                let message = "the webhook is disabled; enable it first, and it goes on with what it hasn't told yet";
                return Err(Error::refused(Code::Conflict, "deliveryId", message));
            }
            let others: i64 = webhook_deliveries::table
                .filter(webhook_deliveries::webhook_id.eq(webhook_id))
                .filter(webhook_deliveries::status.eq(DeliveryStatus::Queued))
                .filter(webhook_deliveries::id.ne(id))
                .count()
                .get_result(&mut **transaction)
                .await?;
            if others >= limits::MAX_REDELIVERIES {
                let message =
                    format!("{others} deliveries of the webhook wait to be made again; wait for some of them");
                return Err(Error::refused(Code::TooMany, "deliveryId", message));
            }
            let delivery: WebhookDelivery = diesel::update(webhook_deliveries::table.find(id))
                .set(webhook_deliveries::status.eq(DeliveryStatus::Queued))
                .returning(WebhookDelivery::as_returning())
                .prepared()
                .get_result(&mut **transaction)
                .await?;
            transaction.enqueue_or_expedite(&RedeliverWebhook { delivery_id: id }).await?;
            let what = json!({ "webhookId": webhook_id.to_string(), "sequence": delivery.sequence });
            let event = match webhook.kind() {
                WebhookKind::Organization => {
                    NewEvent::by(actor, webhook.log_id(), AuditAction::WebhookRedelivered, id).with(what)
                }
                WebhookKind::Platform => {
                    NewEvent::by(actor, webhook.log_id(), AuditAction::PlatformWebhookRedelivered, id)
                        .with(what)
                        .with(of_log(delivery.log_id))
                }
            };
            let event = event.summary("had an event delivered again");
            audit::record(transaction, [event]).await?;
            Ok(delivery)
        })
        .await
}

/// Loads the delivery, without checking who asks.
pub async fn delivery(connection: &mut AsyncPgConnection, id: WebhookDeliveryId) -> Result<Option<WebhookDelivery>> {
    let query = webhook_deliveries::table.find(id).select(WebhookDelivery::as_select());
    Ok(query.first(connection).await.optional()?)
}

/// Loads those deliveries that the actor may see.
pub async fn deliveries_visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[WebhookDeliveryId],
) -> Result<Vec<WebhookDelivery>> {
    let found: Vec<WebhookDelivery> = webhook_deliveries::table
        .filter(webhook_deliveries::id.eq_any(ids))
        .select(WebhookDelivery::as_select())
        .load(connection)
        .await?;
    let webhooks: Vec<WebhookId> = found.iter().map(|delivery| delivery.webhook_id).collect();
    let webhooks = webhook::visible_to(connection, actor, &webhooks).await?;
    let may_see = |delivery: &WebhookDelivery| webhooks.iter().any(|webhook| webhook.id == delivery.webhook_id);
    Ok(found.into_iter().filter(may_see).collect())
}

statement! {
    struct DeliveriesBefore {
        webhook_id: SqlUuid = WebhookId,
        feed_position: BigInt = i64,
        log_id: SqlUuid = OrganizationId,
        sequence: BigInt = i64,
        most: BigInt = i64,
    } = "SELECT id, webhook_id, log_id, sequence, feed_position, event, status, attempts, response_status, error, last_attempt_at \
         FROM webhook_deliveries \
         WHERE webhook_id = :webhook_id AND (feed_position, log_id, sequence) < (:feed_position, :log_id, :sequence) \
         ORDER BY feed_position DESC, log_id DESC, sequence DESC LIMIT :most"
}

/// A page of a webhook's deliveries, newest event first. The caller has checked that the viewer may see the webhook.
pub async fn deliveries(
    connection: &mut AsyncPgConnection,
    webhook: &Webhook,
    page: &PageRequest,
) -> Result<Page<WebhookDelivery>> {
    let slice = page.slice::<(i64, OrganizationId, i64)>()?;
    let (feed_position, log_id, sequence) =
        slice.after.unwrap_or((i64::MAX, OrganizationId::from_uuid(Uuid::max()), i64::MAX));
    let before = DeliveriesBefore { webhook_id: webhook.id, feed_position, log_id, sequence, most: slice.fetch() };
    let rows = before.query().load(connection).await?;
    slice.page(rows, |delivery: &WebhookDelivery| (delivery.feed_position, delivery.log_id, delivery.sequence))
}

/// Deletes up to `limit` deliveries that succeeded or were given up and are older than
/// [`limits::WEBHOOK_DELIVERY_RETENTION`], and returns how many.
pub(crate) async fn prune_deliveries(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let until = now(transaction).await? - limits::WEBHOOK_DELIVERY_RETENTION;
    let old: Vec<WebhookDeliveryId> = webhook_deliveries::table
        .filter(webhook_deliveries::created_at.lt(until))
        .filter(webhook_deliveries::status.eq_any([DeliveryStatus::Sent, DeliveryStatus::Failed]))
        .order(webhook_deliveries::created_at)
        .limit(limit.into())
        .select(webhook_deliveries::id)
        .for_update()
        .skip_locked()
        .load(&mut **transaction)
        .await?;
    let old = webhook_deliveries::table.filter(webhook_deliveries::id.eq_any(old));
    Ok(diesel::delete(old).execute(&mut **transaction).await?)
}

statement! {
    struct StalledWebhooks {
        kind: Text = &'static str,
        most: BigInt = i64,
    } = include_str!("stalled_webhooks.sql")
}

/// Enqueues the jobs of up to `limit` webhooks that have events to deliver but whose job was lost, and returns how
/// many.
pub(crate) async fn sweep_stalled(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let stalled = StalledWebhooks { kind: DeliverWebhook::KIND, most: limit.into() };
    let stalled: Vec<StalledWebhook> = stalled.query().load(&mut **transaction).await?;
    let jobs: Vec<_> = stalled.into_iter().map(|stalled| DeliverWebhook { webhook_id: stalled.id }).collect();
    transaction.enqueue_all(&jobs).await?;
    Ok(jobs.len())
}

#[derive(QueryableByName)]
struct StalledWebhook {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: WebhookId,
}

/// The next event to deliver to an enabled webhook. `None` if there is none.
///
/// Advances the cursor past events that the webhook isn't subscribed to, and past those that were already delivered
/// again by hand.
pub async fn next(database: &Database, id: WebhookId, claim: JobClaim<'_>) -> Result<Option<DueDelivery>> {
    loop {
        let ahead = NextEvent::of(&mut *database.connection().await?, id).await?;
        match ahead {
            NextEvent::Nothing => return Ok(None),
            NextEvent::Event(due) => return Ok(Some(*due)),
            NextEvent::Passed(webhook, to) => {
                database
                    .transaction(async |transaction| {
                        claim(transaction).await?;
                        webhook::pass(transaction, &webhook, to).await
                    })
                    .await?;
            }
        }
    }
}

/// What comes after a webhook's cursor.
enum NextEvent {
    /// There are no events, or the webhook doesn't deliver any.
    Nothing,
    /// An event to deliver.
    Event(Box<DueDelivery>),
    /// Up to this place, there is nothing to deliver.
    Passed(Box<Webhook>, FeedPlace),
}

impl NextEvent {
    async fn of(connection: &mut AsyncPgConnection, id: WebhookId) -> Result<Self> {
        let Some(webhook) = webhook::by_ids(connection, &[id]).await?.pop().filter(|webhook| webhook.enabled) else {
            return Ok(Self::Nothing);
        };
        match webhook.organization_id {
            Some(organization_id) => Self::in_log(connection, webhook, organization_id).await,
            None => Self::in_feed(connection, webhook).await,
        }
    }

    async fn in_log(
        connection: &mut AsyncPgConnection,
        webhook: Webhook,
        organization_id: OrganizationId,
    ) -> Result<Self> {
        if rests(connection, organization_id).await? {
            return Ok(Self::Nothing);
        }
        // The head is read before the events: all events up to it are committed and visible.
        let head: i64 = audit_heads::table
            .find(organization_id)
            .select(audit_heads::sequence)
            .first(connection)
            .await
            .optional()?
            .unwrap_or(0);
        let end = head.min(webhook.cursor.saturating_add(limits::WEBHOOK_WINDOW));
        if end <= webhook.cursor {
            return Ok(Self::Nothing);
        }
        let mut query = audit_events::table
            .filter(audit_events::organization_id.eq(organization_id))
            .filter(audit_events::sequence.gt(webhook.cursor))
            .filter(audit_events::sequence.le(end))
            .select(AuditEvent::as_select())
            .into_boxed();
        if !webhook.events.iter().any(|event| event == EVERY_EVENT) {
            query = query.filter(audit_events::action.eq_any(webhook.events.clone()));
        }
        let event: Option<AuditEvent> = query.order(audit_events::sequence.asc()).first(connection).await.optional()?;
        let place = |sequence| FeedPlace { feed_position: 0, organization_id, sequence };
        match event {
            None => {
                let to = place(end);
                Ok(Self::Passed(Box::new(webhook), to))
            }
            Some(event) => Self::unless_sent(connection, webhook, place(event.sequence), event).await,
        }
    }

    async fn in_feed(connection: &mut AsyncPgConnection, webhook: Webhook) -> Result<Self> {
        let Some(filter) = platform_webhook::filter_of(connection, &webhook).await? else { return Ok(Self::Nothing) };
        match platform_feed::next_after(connection, &filter, webhook.place()).await? {
            None => Ok(Self::Nothing),
            Some((place, event)) => Self::unless_sent(connection, webhook, place, event).await,
        }
    }

    async fn unless_sent(
        connection: &mut AsyncPgConnection,
        webhook: Webhook,
        place: FeedPlace,
        event: AuditEvent,
    ) -> Result<Self> {
        let sent = webhook_deliveries::table
            .filter(webhook_deliveries::webhook_id.eq(webhook.id))
            .filter(webhook_deliveries::feed_position.eq(place.feed_position))
            .filter(webhook_deliveries::log_id.eq(place.organization_id))
            .filter(webhook_deliveries::sequence.eq(place.sequence))
            .filter(webhook_deliveries::status.eq(DeliveryStatus::Sent));
        match diesel::select(diesel::dsl::exists(sent)).get_result(connection).await? {
            true => Ok(Self::Passed(Box::new(webhook), place)),
            false => Ok(Self::Event(Box::new(DueDelivery::now(connection, webhook, place, event).await?))),
        }
    }
}

/// Whether an organization's webhooks deliver nothing for now: it is deleted (R48), or it is the personal one of a
/// suspended account (R84). Delivery continues once it is restored, or the suspension is lifted.
async fn rests(connection: &mut AsyncPgConnection, organization_id: OrganizationId) -> Result<bool> {
    let organization = organization::by_id(connection, organization_id).await?;
    let is_suspended = match organization.personal_user_id {
        Some(user_id) => user::by_id(connection, user_id).await?.suspended_at.is_some(),
        None => false,
    };
    Ok(organization.deleted_at.is_some() || is_suspended)
}

/// Enqueues a new job for the webhook, which continues after a pause.
pub async fn go_on_after(database: &Database, id: WebhookId, pause: Duration, claim: JobClaim<'_>) -> Result<()> {
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let at = now(transaction).await? + pause;
            transaction.enqueue_at(&DeliverWebhook { webhook_id: id }, at).await
        })
        .await
}

/// The outcome of one attempt at a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The HTTP status of the response, if there was one.
    pub response_status: Option<u16>,
    /// Why the attempt failed. It doesn't contain any of the receiver's words.
    pub error: Option<String>,
    /// How long the receiver wants us to wait before the next attempt.
    pub retry_after: Option<Duration>,
}

impl Attempt {
    /// How long to wait before the next attempt after this many failures in a row. It is as long as the receiver
    /// wants, within limits. Otherwise it is as long as the queue would wait, but at most 15 minutes, so that a
    /// receiver that is back gets its events soon.
    pub fn pause(&self, failures: i32) -> Duration {
        const LONGEST: Duration = Duration::from_secs(15 * 60);
        const SHORTEST: Duration = Duration::from_secs(2);
        match self.retry_after {
            Some(wanted) => wanted.clamp(SHORTEST, limits::LONGEST_WEBHOOK_RETRY_AFTER),
            None => {
                SHORTEST.saturating_mul(2_u32.saturating_pow(failures.clamp(1, 30).unsigned_abs() - 1)).min(LONGEST)
            }
        }
    }

    /// Whether the receiver doesn't want any more deliveries (410 Gone).
    fn is_gone(&self) -> bool {
        self.response_status == Some(410)
    }
}

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterAttempt {
    /// Deliver the next event.
    GoOn,
    /// Try the same event again later.
    Retry {
        /// How often it has failed so far.
        attempts: i32,
    },
    /// The webhook is disabled or deleted.
    Stop,
}

/// Records an attempt to deliver the next event, and advances the cursor. After a day of failures, it disables the
/// webhook instead.
pub async fn record_attempt(
    database: &Database,
    due: &DueDelivery,
    attempt: &Attempt,
    claim: JobClaim<'_>,
) -> Result<AfterAttempt> {
    let DueDelivery { webhook, event, place, .. } = due;
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let Some(current) = webhook::lock(transaction, webhook.id).await? else { return Ok(AfterAttempt::Stop) };
            let at = now(transaction).await?;
            let delivered = attempt.error.is_none();
            let failing_since = if delivered { None } else { Some(current.failing_since.unwrap_or(at)) };
            let overdue = failing_since.is_some_and(|since| at - since >= day());
            // If the webhook was changed while the attempt was in progress, the changed webhook gets an attempt of its
            // own.
            let same = current.enabled && current.url == webhook.url;
            let disable = !delivered && same && (overdue || attempt.is_gone());
            let status = match (delivered, disable) {
                (true, _) => DeliveryStatus::Sent,
                (false, true) => DeliveryStatus::Failed,
                (false, false) => DeliveryStatus::Deferred,
            };
            let attempts: i32 = diesel::insert_into(webhook_deliveries::table)
                .values((
                    webhook_deliveries::id.eq(WebhookDeliveryId::new()),
                    webhook_deliveries::organization_id.eq(current.organization_id),
                    webhook_deliveries::webhook_id.eq(current.id),
                    webhook_deliveries::feed_position.eq(place.feed_position),
                    webhook_deliveries::log_id.eq(place.organization_id),
                    webhook_deliveries::sequence.eq(place.sequence),
                    webhook_deliveries::event.eq(&event.action),
                    webhook_deliveries::status.eq(status),
                    webhook_deliveries::attempts.eq(1),
                    webhook_deliveries::response_status.eq(attempt.response_status.map(i32::from)),
                    webhook_deliveries::error.eq(attempt.error.as_deref()),
                    webhook_deliveries::last_attempt_at.eq(at),
                    webhook_deliveries::created_at.eq(at),
                ))
                .on_conflict((
                    webhook_deliveries::webhook_id,
                    webhook_deliveries::feed_position,
                    webhook_deliveries::log_id,
                    webhook_deliveries::sequence,
                ))
                .do_update()
                .set((
                    webhook_deliveries::status.eq(excluded(webhook_deliveries::status)),
                    webhook_deliveries::attempts.eq(webhook_deliveries::attempts + 1),
                    webhook_deliveries::response_status.eq(excluded(webhook_deliveries::response_status)),
                    webhook_deliveries::error.eq(excluded(webhook_deliveries::error)),
                    webhook_deliveries::last_attempt_at.eq(excluded(webhook_deliveries::last_attempt_at)),
                ))
                .returning(webhook_deliveries::attempts)
                .get_result(&mut **transaction)
                .await?;
            diesel::update(webhooks::table.find(current.id))
                .set((
                    placed(if delivered { *place } else { current.place() }),
                    webhooks::enabled.eq(current.enabled && !disable),
                    webhooks::failing_since.eq(failing_since),
                ))
                .prepared()
                .execute(&mut **transaction)
                .await?;
            if disable {
                let notice = MailWebhookDisabled { webhook_id: current.id, notice: clock::uuid_of(at) };
                transaction.enqueue(&notice).await?;
                let what = json!({ "sequence": event.sequence, "responseStatus": attempt.response_status });
                let event = match current.kind() {
                    WebhookKind::Organization => {
                        NewEvent::by_system(current.log_id(), AuditAction::WebhookDisabled, current.id).with(what)
                    }
                    WebhookKind::Platform => {
                        NewEvent::by_system(current.log_id(), AuditAction::PlatformWebhookDisabled, current.id)
                            .with(what)
                            .with(of_log(event.organization_id))
                            .with(json!({ "because": "deliveries_failed" }))
                    }
                };
                let event = event.summary("disabled a webhook that took no deliveries");
                audit::record(transaction, [event]).await?;
            }
            Ok(match (delivered, current.enabled && !disable) {
                (_, false) => AfterAttempt::Stop,
                (true, true) => AfterAttempt::GoOn,
                (false, true) => AfterAttempt::Retry { attempts },
            })
        })
        .await
}

/// How the log tells whose event it was that was delivered.
fn of_log(log_id: OrganizationId) -> Value {
    json!({ "organizationId": (log_id != DEPLOYMENT).then(|| log_id.to_string()) })
}

fn day() -> chrono::Duration {
    chrono::Duration::from_std(limits::WEBHOOK_FAILING).unwrap_or(chrono::Duration::MAX)
}

/// The delivery that is to be repeated. `None` if the webhook or the delivery no longer exists, or if the webhook is
/// disabled or its platform key has ended.
pub async fn to_redeliver(connection: &mut AsyncPgConnection, id: WebhookDeliveryId) -> Result<Option<DueDelivery>> {
    let Some(delivery) = delivery(connection, id).await? else { return Ok(None) };
    let webhook = webhook::by_ids(connection, &[delivery.webhook_id]).await?.pop().filter(|webhook| webhook.enabled);
    let Some(webhook) = webhook else { return Ok(None) };
    let may_tell = match webhook.kind() {
        WebhookKind::Organization => !rests(connection, delivery.log_id).await?,
        WebhookKind::Platform => {
            let filter = platform_webhook::filter_of(connection, &webhook).await?;
            filter.is_some_and(|filter| filter.reaches(delivery.log_id))
        }
    };
    if !may_tell {
        return Ok(None);
    }
    let event: Option<AuditEvent> = audit_events::table
        .find((delivery.log_id, delivery.sequence))
        .select(AuditEvent::as_select())
        .first(connection)
        .await
        .optional()?;
    match event {
        Some(event) => Ok(Some(DueDelivery::now(connection, webhook, delivery.place(), event).await?)),
        None => Ok(None),
    }
}

/// Records an attempt to repeat a delivery. If it succeeded, deliveries that wait behind the same event continue at
/// once.
pub async fn record_redelivery(
    database: &Database,
    id: WebhookDeliveryId,
    attempt: &Attempt,
    give_up: bool,
    claim: JobClaim<'_>,
) -> Result<()> {
    let status = match (&attempt.error, give_up) {
        (None, _) => DeliveryStatus::Sent,
        (Some(_), true) => DeliveryStatus::Failed,
        (Some(_), false) => DeliveryStatus::Deferred,
    };
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let at = now(transaction).await?;
            let webhook_id: Option<WebhookId> = diesel::update(webhook_deliveries::table.find(id))
                .set((
                    webhook_deliveries::status.eq(status),
                    webhook_deliveries::attempts.eq(webhook_deliveries::attempts + 1),
                    webhook_deliveries::response_status.eq(attempt.response_status.map(i32::from)),
                    webhook_deliveries::error.eq(attempt.error.as_deref()),
                    webhook_deliveries::last_attempt_at.eq(at),
                ))
                .returning(webhook_deliveries::webhook_id)
                .prepared()
                .get_result(&mut **transaction)
                .await
                .optional()?;
            match webhook_id.filter(|_| status == DeliveryStatus::Sent) {
                Some(webhook_id) => transaction.enqueue_or_expedite(&DeliverWebhook { webhook_id }).await,
                None => Ok(()),
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_quarter_of_an_hour_or_are_what_the_receiver_wants_up_to_an_hour() {
        let failed = |retry_after: Option<u64>| Attempt {
            response_status: Some(503),
            error: Some("answered 503".to_owned()),
            retry_after: retry_after.map(Duration::from_secs),
        };
        assert_eq!([1, 2, 3, 10, i32::MAX].map(|failures| failed(None).pause(failures).as_secs()), [2, 4, 8, 900, 900]);
        let wanted = [0, 5, 1_800, 3_600, 3_601, u64::MAX].map(|wanted| failed(Some(wanted)).pause(10).as_secs());
        assert_eq!(wanted, [2, 5, 1_800, 3_600, 3_600, 3_600]);
    }
}
