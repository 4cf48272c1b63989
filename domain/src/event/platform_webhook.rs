//! Webhooks of the platform: the events of all organizations, or of those that a platform key reaches, are delivered to
//! the platform's own services in the order of the feed (R90).
//!
//! Transactions of different organizations must not wait for each other, so they don't enqueue the job of such a
//! webhook. Instead, the workers *look* whenever something was committed, and once a second: a look enqueues the jobs
//! of the webhooks that have something to tell, and moves the cursors of the others past what they don't want. The job
//! delivers from the cursor on. Both read only what is older than every transaction that is still running, so nothing
//! that commits late is skipped.
//!
//! Staff keep the webhooks that they made. A platform key keeps its own, which end with it: from that moment nothing is
//! delivered, and the next look disables them. Staff who enable such a webhook take it over, and it tells no more than
//! before.

use std::collections::{HashMap, HashSet};

use apalis_diesel::Job as _;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::authority::actor::{Actor, KeptWebhooks};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::Within;
use crate::base::error::Result;
use crate::base::id::{OrganizationId, WebhookId};
use crate::base::job::DeliverWebhook;
use crate::base::limits;
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::secret::Token;
use crate::base::sql::statement;
use crate::database::schema::{feed_clock, webhooks};
use crate::database::{Database, Transaction};
use crate::event::platform_feed::{self, FeedFilter, FeedPlace, FeedReader};
use crate::event::target::WebhookKind;
use crate::event::webhook::{self, CreateWebhook, EVERY_EVENT, Origin, Wanted, Webhook};

/// Creates a webhook of the platform. It delivers what commits from now on, and what committed before while an older
/// transaction was still running.
pub(super) async fn create(database: &Database, actor: &Actor, command: &CreateWebhook) -> Result<(Webhook, Token)> {
    let (platform_key_id, kept_by_staff) = match actor.keeps_platform_webhooks("organizationId")? {
        KeptWebhooks::All => (None, true),
        KeptWebhooks::OfKey(id) => (Some(id), false),
    };
    let wanted = Wanted::parse(database, WebhookKind::Platform, command)?;
    database
        .transaction(async |transaction| {
            // Whoever else creates one waits. Nobody who records or reads events locks this row.
            feed_clock::table.select(feed_clock::id).for_update().first::<bool>(&mut **transaction).await?;
            webhook::require_room(count(transaction, KeptWebhooks::All).await?, limits::MAX_PLATFORM_WEBHOOKS)?;
            let place = platform_feed::end(transaction).await?;
            let origin =
                Origin { organization_id: None, platform_key_id, kept_by_staff, place, secret_made_by_id: None };
            webhook::insert(transaction, actor, &wanted, &origin).await
        })
        .await
}

/// Where a webhook goes on whose events change. What happened before the change and wasn't wanted isn't told
/// afterwards, unless it comes behind an event that waits to be told.
pub(super) async fn place_for_other_events(connection: &mut AsyncPgConnection, webhook: &Webhook) -> Result<FeedPlace> {
    match webhook.kind() {
        WebhookKind::Organization => Ok(webhook.place()),
        WebhookKind::Platform => {
            let end = platform_feed::end(connection).await?;
            let Some(filter) = filter_of(connection, webhook).await? else { return Ok(webhook.place()) };
            let waiting = platform_feed::next_after(connection, &filter, webhook.place()).await?;
            Ok(if waiting.is_some() { webhook.place() } else { end.max(webhook.place()) })
        }
    }
}

/// A page of the webhooks of the platform that the actor keeps, oldest first. `None` for those who keep none.
pub async fn list(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    page: &PageRequest,
) -> Result<Option<Page<Webhook>>> {
    let Ok(kept) = actor.keeps_platform_webhooks("") else { return Ok(None) };
    let slice = page.slice()?;
    let mut query =
        webhooks::table.filter(webhooks::organization_id.is_null()).select(Webhook::as_select()).into_boxed();
    if let KeptWebhooks::OfKey(id) = kept {
        query = query.filter(webhooks::platform_key_id.eq(id)).filter(webhooks::kept_by_staff.eq(false));
    }
    let rows = by_id!(query, slice, webhooks::id).load(connection).await?;
    slice.page(rows, |webhook: &Webhook| webhook.id).map(Some)
}

/// The number of webhooks of the platform that the actor keeps.
pub async fn count_of(connection: &mut AsyncPgConnection, actor: &Actor) -> Result<i64> {
    count(connection, actor.keeps_platform_webhooks("")?).await
}

async fn count(connection: &mut AsyncPgConnection, kept: KeptWebhooks) -> Result<i64> {
    let mut query = webhooks::table.filter(webhooks::organization_id.is_null()).count().into_boxed();
    if let KeptWebhooks::OfKey(id) = kept {
        query = query.filter(webhooks::platform_key_id.eq(id)).filter(webhooks::kept_by_staff.eq(false));
    }
    Ok(query.get_result(connection).await?)
}

statement! {
    struct FindReaches {
        ids: Array<SqlUuid> = Vec<WebhookId>,
    } = include_str!("webhook_reaches.sql")
}

/// What a webhook of the platform may tell.
#[derive(Debug, QueryableByName)]
struct Reach {
    #[diesel(sql_type = SqlUuid)]
    id: WebhookId,
    #[diesel(sql_type = Bool)]
    has_ended: bool,
    #[diesel(sql_type = Nullable<Array<SqlUuid>>)]
    organization_ids: Option<Vec<OrganizationId>>,
}

impl Reach {
    /// The events that the webhook wants and may tell. `None` if its key has ended.
    fn filter(self, webhook: &Webhook) -> Option<FeedFilter> {
        let within = self.organization_ids.map_or(Within::All, Within::only);
        let all = webhook.events.iter().any(|event| event == EVERY_EVENT);
        (!self.has_ended).then(|| FeedFilter::of_webhook((!all).then_some(&webhook.events), within))
    }
}

async fn reaches(connection: &mut AsyncPgConnection, webhooks: &[Webhook]) -> Result<HashMap<WebhookId, Reach>> {
    let ids = webhooks.iter().map(|webhook| webhook.id).collect();
    let found: Vec<Reach> = FindReaches { ids }.query().load(connection).await?;
    Ok(found.into_iter().map(|reach| (reach.id, reach)).collect())
}

/// The events that a webhook of the platform wants and may tell. `None` if its key has ended.
pub(super) async fn filter_of(connection: &mut AsyncPgConnection, webhook: &Webhook) -> Result<Option<FeedFilter>> {
    let reach = reaches(connection, std::slice::from_ref(webhook)).await?.remove(&webhook.id);
    Ok(reach.and_then(|reach| reach.filter(webhook)))
}

statement! {
    struct FindWaitingJobs {
        kind: Text = &'static str,
        keys: Array<Text> = Vec<String>,
    } = "SELECT unique_key FROM jobs \
         WHERE kind = :kind AND status = 'waiting' AND unique_key IS NOT NULL AND unique_key = ANY (:keys)"
}

#[derive(QueryableByName)]
struct WaitingJob {
    #[diesel(sql_type = Text)]
    unique_key: String,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// There are no webhooks of the platform that deliver events.
    NoWebhooks,
    /// There may be more to find at once.
    Part,
    /// There are events that can't be told yet, because an older transaction is still running.
    UpToRunningTransactions,
    /// Everything that there is was found.
    Everything,
}

/// Enqueues the jobs of the webhooks of the platform that have something to tell, moves the cursors of the others on,
/// and disables those whose key has ended.
pub async fn look(database: &Database) -> Result<Looked> {
    let mut connection = database.connection().await?;
    let enabled: Vec<Webhook> = webhooks::table
        .filter(webhooks::organization_id.is_null())
        .filter(webhooks::enabled)
        .order(webhooks::id)
        .select(Webhook::as_select())
        .load(&mut connection)
        .await?;
    if enabled.is_empty() {
        return Ok(Looked::NoWebhooks);
    }
    let mut reaches = reaches(&mut connection, &enabled).await?;
    let keys = enabled.iter().map(|webhook| webhook.id.to_string()).collect();
    let waiting: Vec<WaitingJob> =
        FindWaitingJobs { kind: DeliverWebhook::KIND, keys }.query().load(&mut connection).await?;
    let waiting: HashSet<String> = waiting.into_iter().map(|job| job.unique_key).collect();

    let (mut ended, mut readers) = (Vec::new(), Vec::new());
    for webhook in enabled {
        match reaches.remove(&webhook.id).and_then(|reach| reach.filter(&webhook)) {
            None => ended.push(webhook.id),
            // Its job goes on when it is time.
            Some(_) if waiting.contains(&webhook.id.to_string()) => {}
            Some(filter) => readers.push((FeedReader { place: webhook.place(), filter }, webhook)),
        }
    }
    let places = readers.iter().map(|(reader, _)| reader.clone()).collect();
    let found = platform_feed::read_on(&mut connection, &places, 1).await?;
    drop(connection);

    let (mut jobs, mut passed) = (Vec::new(), Vec::new());
    for (reader, webhook) in readers {
        match found.parts.get(&reader) {
            None => {}
            Some(part) if part.events.is_empty() => passed.push((webhook, part.reached)),
            Some(_) => jobs.push(DeliverWebhook { webhook_id: webhook.id }),
        }
    }
    if !(ended.is_empty() && jobs.is_empty() && passed.is_empty()) {
        database
            .transaction(async |transaction| {
                for (webhook, to) in &passed {
                    webhook::pass(transaction, webhook, *to).await?;
                }
                let events = disable_ended(transaction, &ended).await?;
                transaction.enqueue_all(&jobs).await?;
                audit::record(transaction, events).await
            })
            .await?;
    }
    Ok(match (passed.is_empty() && !found.is_cut, found.is_held_back) {
        (false, _) => Looked::Part,
        (true, true) => Looked::UpToRunningTransactions,
        (true, false) => Looked::Everything,
    })
}

/// Disables webhooks whose platform key has ended, unless staff have taken them over in the meantime.
async fn disable_ended(transaction: &mut Transaction, ids: &[WebhookId]) -> Result<Vec<NewEvent>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let disabled: Vec<Webhook> = diesel::update(
        webhooks::table
            .filter(webhooks::id.eq_any(ids))
            .filter(webhooks::enabled)
            .filter(webhooks::kept_by_staff.eq(false)),
    )
    .set(webhooks::enabled.eq(false))
    .returning(Webhook::as_returning())
    .get_results(&mut **transaction)
    .await?;
    let event = |webhook: &Webhook| {
        NewEvent::by_system(webhook.log_id(), AuditAction::PlatformWebhookDisabled, webhook.id)
            .summary("disabled a webhook whose platform key has ended")
            .with(json!({ "because": "key_ended" }))
    };
    Ok(disabled.iter().map(event).collect())
}
