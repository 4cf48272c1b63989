//! Webhooks: an organization's audit log is delivered to other services in order and at least once (R75).
//!
//! A webhook has a cursor into the log. Whatever records an event that it is subscribed to enqueues the webhook's
//! single job, which delivers one event after the other and advances the cursor. So no event is sent before its
//! commit, overtaken by another one, or lost. Webhooks of the platform are alike, with a cursor into the feed over all
//! logs; see [`platform_webhook`](crate::event::platform_webhook).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;
use url::Url;

use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::{Actor, KeptWebhooks};
use crate::authority::audit::{self, AuditAction, DEPLOYMENT, NewEvent};
use crate::authority::rights::Action;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, PlatformKeyId, TypedId, UserId, WebhookId};
use crate::base::limits;
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::secret::{Keyring, Token};
use crate::base::sql::Prepare as _;
use crate::database::schema::{audit_heads, webhook_previous_secrets, webhooks};
use crate::database::{Database, Transaction, now};
use crate::event::platform_feed::FeedPlace;
use crate::event::target::WebhookKind;

/// The entry that subscribes to every event.
pub(super) const EVERY_EVENT: &str = "*";

/// A webhook of an organization or of the platform.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = webhooks)]
pub struct Webhook {
    /// The webhook's id.
    pub id: WebhookId,
    /// The organization whose events are delivered. `None` for a webhook of the platform.
    pub organization_id: Option<OrganizationId>,
    /// The platform key that made a webhook of the platform, which tells nothing that the key doesn't reach. `None` if
    /// staff made it, and for an organization's webhook.
    pub platform_key_id: Option<PlatformKeyId>,
    /// Whether staff keep a webhook of the platform, who made it or took it over. Otherwise it ends with its key.
    pub kept_by_staff: bool,
    /// The URL that events are delivered to.
    pub url: String,
    /// The actions that the webhook is subscribed to; `*` for all.
    pub events: Vec<String>,
    /// Whether the webhook delivers events.
    pub enabled: bool,
    /// The sequence number of the last event that has been processed, in its log.
    pub cursor: i64,
    /// The place in the feed of that event; 0 for an organization's webhook.
    pub(super) cursor_feed_position: i64,
    /// The log of that event; the organization's own for its webhook.
    pub(super) cursor_log_id: OrganizationId,
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
    /// Whose webhook it is.
    pub fn kind(&self) -> WebhookKind {
        match self.organization_id {
            Some(_) => WebhookKind::Organization,
            None => WebhookKind::Platform,
        }
    }

    /// The log in which what happens to the webhook itself is recorded.
    pub fn log_id(&self) -> OrganizationId {
        self.organization_id.unwrap_or(DEPLOYMENT)
    }

    /// The place of the last event that has been processed. In an organization's log, only the sequence number counts.
    pub(super) fn place(&self) -> FeedPlace {
        FeedPlace {
            feed_position: self.cursor_feed_position,
            organization_id: self.cursor_log_id,
            sequence: self.cursor,
        }
    }

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
    /// The organization whose events are delivered; `None` for those of all organizations that the actor may follow.
    pub organization_id: Option<OrganizationId>,
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
pub(super) fn parse_events(field: &str, events: &[String]) -> Result<Vec<String>, Refusal> {
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

/// Creates an organization's webhook.
pub(super) async fn create_for_organization(
    database: &Database,
    actor: &Actor,
    organization_id: OrganizationId,
    command: &CreateWebhook,
) -> Result<(Webhook, Token)> {
    let wanted = Wanted::parse(database, WebhookKind::Organization, command)?;
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
            require_room(count(transaction, &permit).await?, limits::MAX_WEBHOOKS)?;
            // The head of the log is locked from here on. Events recorded before aren't delivered; those recorded
            // after are.
            let cursor: Option<i64> = audit_heads::table
                .find(organization_id)
                .select(audit_heads::sequence)
                .for_update()
                .first(&mut **transaction)
                .await
                .optional()?;
            let origin = Origin {
                organization_id: Some(permit.organization_id()),
                platform_key_id: None,
                kept_by_staff: false,
                place: FeedPlace { feed_position: 0, organization_id, sequence: cursor.unwrap_or(0) },
                secret_made_by_id: permit.user_id(),
            };
            insert(transaction, actor, &wanted, &origin).await
        })
        .await
}

/// Fails if there are as many webhooks as there may be.
pub(super) fn require_room(existing: i64, most: i64) -> Result<()> {
    if existing < most {
        return Ok(());
    }
    let message = format!("there are {existing} webhooks already; delete one that nobody needs");
    Err(Error::refused(Code::TooMany, "organizationId", message))
}

/// What a new webhook is to do.
#[derive(Debug)]
pub(super) struct Wanted {
    url: Url,
    events: Vec<String>,
}

impl Wanted {
    pub(super) fn parse(database: &Database, kind: WebhookKind, command: &CreateWebhook) -> Result<Self> {
        let url = database.deployment().webhook_targets.parse(kind, "url", &command.url)?;
        Ok(Self { url, events: parse_events("events", &command.events)? })
    }
}

/// Whose a new webhook is, and where it begins.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) organization_id: Option<OrganizationId>,
    pub(super) platform_key_id: Option<PlatformKeyId>,
    pub(super) kept_by_staff: bool,
    pub(super) place: FeedPlace,
    pub(super) secret_made_by_id: Option<UserId>,
}

pub(super) async fn insert(
    transaction: &mut Transaction,
    actor: &Actor,
    wanted: &Wanted,
    origin: &Origin,
) -> Result<(Webhook, Token)> {
    let at = now(transaction).await?;
    let webhook: Webhook = diesel::insert_into(webhooks::table)
        .values((
            webhooks::id.eq(WebhookId::new()),
            webhooks::organization_id.eq(origin.organization_id),
            webhooks::platform_key_id.eq(origin.platform_key_id),
            webhooks::kept_by_staff.eq(origin.kept_by_staff),
            webhooks::url.eq(wanted.url.as_str()),
            webhooks::events.eq(&wanted.events),
            webhooks::enabled.eq(true),
            placed(origin.place),
            webhooks::secret_version.eq(1),
            webhooks::secret_made_at.eq(at),
            webhooks::secret_made_by_id.eq(origin.secret_made_by_id),
            webhooks::created_at.eq(at),
        ))
        .returning(Webhook::as_returning())
        .get_result(&mut **transaction)
        .await?;
    let secret = current_secret(transaction.keyring(), &webhook)?;
    let action = match webhook.kind() {
        WebhookKind::Organization => AuditAction::WebhookCreated,
        WebhookKind::Platform => AuditAction::PlatformWebhookCreated,
    };
    let event = NewEvent::by(actor, webhook.log_id(), action, webhook.id)
        .summary("made a webhook")
        .with(json!({ "host": wanted.url.host_str(), "events": wanted.events }));
    audit::record(transaction, [event]).await?;
    Ok((webhook, secret))
}

/// The columns of the place of the last event that has been processed.
pub(super) fn placed(place: FeedPlace) -> PlacedColumns {
    (
        webhooks::cursor_feed_position.eq(place.feed_position),
        webhooks::cursor_log_id.eq(place.organization_id),
        webhooks::cursor.eq(place.sequence),
    )
}

/// What [`placed`] makes, for inserts, updates and conditions.
pub(super) type PlacedColumns = (
    diesel::dsl::Eq<webhooks::cursor_feed_position, i64>,
    diesel::dsl::Eq<webhooks::cursor_log_id, OrganizationId>,
    diesel::dsl::Eq<webhooks::cursor, i64>,
);

pub(super) fn current_secret(keyring: &Keyring, webhook: &Webhook) -> Result<Token> {
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
    let organization_id: Option<OrganizationId> = webhooks::table
        .find(id)
        .select(webhooks::organization_id)
        .first(&mut **transaction)
        .await
        .optional()?
        .ok_or_else(not_found)?;
    match organization_id {
        Some(organization_id) => {
            let permit = access::enter(transaction, actor, organization_id, Lock::Membership, not_found()).await?;
            permit.require_or(Action::ManageWebhooks, field, not_found())?;
            lock(transaction, id).await?.ok_or_else(|| not_found().into())
        }
        None => {
            let found = lock(transaction, id).await?.filter(|webhook| is_kept_by(webhook, actor));
            found.ok_or_else(|| not_found().into())
        }
    }
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

/// Moves a webhook's cursor past events that it didn't want, unless the webhook has changed since it was read.
pub(super) async fn pass(transaction: &mut Transaction, webhook: &Webhook, to: FeedPlace) -> Result<()> {
    let from = webhook.place();
    diesel::update(
        webhooks::table
            .find(webhook.id)
            .filter(webhooks::events.eq(&webhook.events))
            .filter(webhooks::cursor_feed_position.eq(from.feed_position))
            .filter(webhooks::cursor_log_id.eq(from.organization_id))
            .filter(webhooks::cursor.eq(from.sequence)),
    )
    .set(placed(to))
    .prepared()
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Whether the actor keeps this webhook of the platform, and so may see and change it.
pub(super) fn is_kept_by(webhook: &Webhook, actor: &Actor) -> bool {
    match (webhook.kind(), actor.keeps_platform_webhooks("")) {
        (WebhookKind::Organization, _) | (_, Err(_)) => false,
        (WebhookKind::Platform, Ok(KeptWebhooks::All)) => true,
        (WebhookKind::Platform, Ok(KeptWebhooks::OfKey(id))) => {
            !webhook.kept_by_staff && webhook.platform_key_id == Some(id)
        }
    }
}

/// Whether staff take over a platform key's webhook by this change.
pub(super) fn is_taken_over(webhook: &Webhook, actor: &Actor, command: &UpdateWebhook) -> bool {
    webhook.kind() == WebhookKind::Platform && command.enabled == Some(true) && actor.is_staff()
}

/// Lets the current secret sign deliveries together with the next one for a day, and forgets secrets whose day is
/// over.
pub(super) async fn retire_secret(transaction: &mut Transaction, webhook: &Webhook, at: DateTime<Utc>) -> Result<()> {
    let previous = || webhook_previous_secrets::table.filter(webhook_previous_secrets::webhook_id.eq(webhook.id));
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

/// Loads the webhooks, without checking who asks.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[WebhookId]) -> Result<Vec<Webhook>> {
    Ok(webhooks::table.filter(webhooks::id.eq_any(ids)).select(Webhook::as_select()).load(connection).await?)
}

/// Loads those webhooks that the actor may see.
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[WebhookId]) -> Result<Vec<Webhook>> {
    let found = by_ids(connection, ids).await?;
    let permits =
        access::permits(connection, actor, found.iter().filter_map(|webhook| webhook.organization_id)).await?;
    let may_see = |webhook: &Webhook| match webhook.organization_id {
        Some(id) => permits.get(&id).is_some_and(|permit| permit.standing().allows(Action::ManageWebhooks)),
        None => is_kept_by(webhook, actor),
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
