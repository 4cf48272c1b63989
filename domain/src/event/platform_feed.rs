//! The feed: the events of all logs in one order, for a platform's own services (R90).
//!
//! Readers are shown only what is older than every transaction still running, in the order of [`FeedPlace`]. Whatever
//! commits later comes behind it, so whoever goes on after the last event that they have misses nothing and gets
//! nothing twice. Within the feed, the events of each log are in the order of that log (migration `feed`).
//!
//! A cursor is the id of an event. Events are never removed, so a cursor without its event comes from another database,
//! or from a time that was lost when the database was restored, and is refused.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::authority::actor::Actor;
use crate::authority::audit::{AuditAction, AuditEvent};
use crate::authority::platform::Within;
use crate::base::error::{Code, Error, Result};
use crate::base::id::{AuditEventId, OrganizationId, TypedId, shown};
use crate::base::limits;
use crate::base::page::{Page, PageRequest, cursor_of};
use crate::base::sql::{Statements, parameters, statement};
use crate::database::schema::{audit_events, audit_heads};

/// A place in the feed: that of an event, or the one before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedPlace {
    pub(super) feed_position: i64,
    pub(super) organization_id: OrganizationId,
    pub(super) sequence: i64,
}

impl FeedPlace {
    /// The place before the first event.
    pub const BEGINNING: Self = Self { feed_position: -1, organization_id: OrganizationId::NIL, sequence: 0 };

    fn of(feed_position: i64, event: &AuditEvent) -> Self {
        Self { feed_position, organization_id: event.organization_id, sequence: event.sequence }
    }
}

/// The events of the feed that somebody wants and may read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedFilter {
    /// Only events with one of these actions, in the order of their names. `None` for all.
    actions: Option<Arc<[String]>>,
    /// Only events of these organizations.
    within: Within,
}

impl FeedFilter {
    /// The events that the actor may read, limited to some actions and to an organization. No actions are all of them.
    ///
    /// # Errors
    ///
    /// FORBIDDEN for actors that may not read the feed, NOT_FOUND on `organizationId` for an organization that they
    /// don't reach, and [`Error::BadRequest`] for an action that doesn't exist.
    pub fn of(actor: &Actor, actions: &[String], organization_id: Option<OrganizationId>) -> Result<Self> {
        let reached = actor.reads_feed("")?;
        let within = match organization_id {
            None => reached,
            Some(id) if reached.includes(id) => Within::only([id]),
            Some(_) => return Err(no_such_organization()),
        };
        for action in actions {
            if !AuditAction::ALL.iter().any(|known| known.as_str() == action) {
                let message = format!("there is no action {:?}; docs/events.md names all", shown(action));
                return Err(Error::BadRequest(message));
            }
        }
        let actions: BTreeSet<&String> = actions.iter().collect();
        let actions = (!actions.is_empty()).then(|| actions.into_iter().cloned().collect());
        Ok(Self { actions, within })
    }

    /// The events that a webhook wants, of the organizations that it may tell of. No actions are all of them.
    pub(super) fn of_webhook(actions: Option<&[String]>, within: Within) -> Self {
        let actions = actions.map(|actions| actions.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect());
        Self { actions, within }
    }

    /// Whether events of this log may be among these.
    pub(super) fn reaches(&self, log_id: OrganizationId) -> bool {
        self.within.includes(log_id)
    }

    /// Fails if the actor may not read these events any more.
    pub fn require(&self, actor: &Actor) -> Result<()> {
        let reached = actor.reads_feed("")?;
        match self.within.ids() {
            Some(ids) if !ids.iter().all(|id| reached.includes(*id)) => Err(no_such_organization()),
            None if reached != Within::All => Err(no_such_organization()),
            Some(_) | None => Ok(()),
        }
    }

    fn kind(&self) -> FilterKind {
        match (&self.actions, &self.within) {
            (None, Within::All) => FilterKind::Nothing,
            (Some(_), Within::All) => FilterKind::Actions,
            (None, Within::Only(_)) => FilterKind::Organizations,
            (Some(_), Within::Only(_)) => FilterKind::Both,
        }
    }
}

fn no_such_organization() -> Error {
    Error::refused(Code::NotFound, "organizationId", "there is no such organization, or this key doesn't reach it")
}

parameters! {
    struct PageParameters {
        feed_position: BigInt = i64,
        organization_id: SqlUuid = OrganizationId,
        sequence: BigInt = i64,
        actions: Array<Text> = Vec<String>,
        organization_ids: Array<SqlUuid> = Vec<OrganizationId>,
        most: BigInt = i64,
    }
}

/// By what the feed is filtered. Each kind has a statement that goes along an index, whatever the size of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum FilterKind {
    Nothing,
    Actions,
    Organizations,
    Both,
}

impl FilterKind {
    fn text(&self) -> String {
        const KEY: &str = "a.feed_position, a.organization_id, a.sequence";
        let range = |condition: &str, order: &str| {
            format!(
                "SELECT {KEY} FROM audit_events a WHERE {condition} a.feed_position >= :feed_position \
                   AND ({KEY}) > (:feed_position, :organization_id, :sequence) AND a.feed_position < (SELECT feed_horizon()) \
                 ORDER BY {order} LIMIT :most"
            )
        };
        let places = match self {
            Self::Nothing => range("", KEY),
            Self::Actions => format!(
                "SELECT a.* FROM unnest(:actions) AS wanted (action) CROSS JOIN LATERAL ({}) a",
                range("a.action = wanted.action AND", KEY)
            ),
            Self::Organizations => format!(
                "SELECT a.* FROM unnest(:organization_ids) AS wanted (organization_id) CROSS JOIN LATERAL ({}) a",
                range("a.organization_id = wanted.organization_id AND", "a.feed_position, a.sequence")
            ),
            // Where to begin in a log is found first. From there on, the log's own order is the feed's.
            Self::Both => format!(
                "SELECT a.* FROM unnest(:organization_ids) AS wanted (organization_id) \
                 CROSS JOIN LATERAL (SELECT a.sequence FROM audit_events a \
                   WHERE a.organization_id = wanted.organization_id AND a.feed_position >= :feed_position \
                     AND ({KEY}) > (:feed_position, :organization_id, :sequence) \
                   ORDER BY a.feed_position, a.sequence LIMIT 1) first \
                 CROSS JOIN unnest(:actions) AS of (action) \
                 CROSS JOIN LATERAL (SELECT {KEY} FROM audit_events a \
                   WHERE a.organization_id = wanted.organization_id AND a.action = of.action AND a.sequence >= first.sequence \
                     AND a.feed_position < (SELECT feed_horizon()) \
                   ORDER BY a.sequence LIMIT :most) a"
            ),
        };
        format!(
            "SELECT place.feed_position, e.id, e.organization_id, e.sequence, e.action, e.actor_kind, e.actor_id, e.target_id, \
               e.summary, e.metadata, e.occurred_at, e.hash \
             FROM (SELECT {KEY} FROM ({places}) a ORDER BY {KEY} LIMIT :most) place \
             JOIN audit_events e ON e.organization_id = place.organization_id AND e.sequence = place.sequence \
             ORDER BY place.feed_position, place.organization_id, place.sequence"
        )
    }
}

/// Finds the place of the event that a cursor names, or the beginning if there is no cursor.
///
/// # Errors
///
/// [`Error::BadRequest`] if there is no such event, and NOT_FOUND on `organizationId` if the filter names an
/// organization without a log.
async fn place_of(
    connection: &mut AsyncPgConnection,
    filter: &FeedFilter,
    after: Option<AuditEventId>,
) -> Result<FeedPlace> {
    if let Some([id]) = filter.within.ids() {
        let log = audit_heads::table.filter(audit_heads::organization_id.eq(*id));
        if !diesel::select(diesel::dsl::exists(log)).get_result::<bool>(connection).await? {
            return Err(no_such_organization());
        }
    }
    let Some(id) = after else { return Ok(FeedPlace::BEGINNING) };
    let found: Option<(i64, OrganizationId, i64)> = audit_events::table
        .filter(audit_events::id.eq(id))
        .select((audit_events::feed_position, audit_events::organization_id, audit_events::sequence))
        .first(connection)
        .await
        .optional()?;
    let (feed_position, organization_id, sequence) = found.ok_or_else(|| {
        let message = "`after` names no event of this database, which may have been restored from an older backup; begin \
                       at an earlier cursor, or without one";
        Error::BadRequest(message.to_owned())
    })?;
    Ok(FeedPlace { feed_position, organization_id, sequence })
}

/// Returns a page of the feed, of at most [`limits::MAX_FEED_PAGE`] events.
///
/// # Errors
///
/// [`Error::BadRequest`] if the page or its cursor is wrong, and NOT_FOUND on `organizationId` if the filter names an
/// organization without a log.
pub async fn page(
    connection: &mut AsyncPgConnection,
    filter: &FeedFilter,
    page: &PageRequest,
) -> Result<Page<AuditEvent>> {
    let slice = page.slice_up_to::<AuditEventId>(limits::MAX_FEED_PAGE)?;
    let place = place_of(connection, filter, slice.after).await?;
    let rows = events_after(connection, filter, place, slice.fetch()).await?;
    slice.page(rows.into_iter().map(|row| row.event).collect(), |event: &AuditEvent| event.id)
}

/// The next event after a place, with its own place. `None` if there is none to show yet.
pub(super) async fn next_after(
    connection: &mut AsyncPgConnection,
    filter: &FeedFilter,
    place: FeedPlace,
) -> Result<Option<(FeedPlace, AuditEvent)>> {
    let next = events_after(connection, filter, place, 1).await?.pop();
    Ok(next.map(|row| (FeedPlace::of(row.feed_position, &row.event), row.event)))
}

#[derive(QueryableByName)]
struct PlacedRow {
    #[diesel(sql_type = BigInt)]
    feed_position: i64,
    #[diesel(embed)]
    event: AuditEvent,
}

async fn events_after(
    connection: &mut AsyncPgConnection,
    filter: &FeedFilter,
    place: FeedPlace,
    most: i64,
) -> Result<Vec<PlacedRow>> {
    static STATEMENTS: Statements<FilterKind> = Statements::new();
    let parameters = PageParameters {
        feed_position: place.feed_position,
        organization_id: place.organization_id,
        sequence: place.sequence,
        actions: filter.actions.as_deref().unwrap_or_default().to_vec(),
        organization_ids: filter.within.ids().unwrap_or_default().to_vec(),
        most,
    };
    Ok(STATEMENTS.with(filter.kind(), FilterKind::text, parameters).load(connection).await?)
}

diesel::define_sql_function! {
    /// The place that no event may come before any more.
    fn feed_horizon() -> BigInt;
}

/// The place before whatever isn't shown yet. All that commits from now on comes behind it, and so may what committed
/// while an older transaction was running.
pub(super) async fn end(connection: &mut AsyncPgConnection) -> Result<FeedPlace> {
    let feed_position = diesel::select(feed_horizon()).get_result(connection).await?;
    Ok(FeedPlace { feed_position, organization_id: OrganizationId::NIL, sequence: 0 })
}

/// Finds the place after which a reader begins who goes on and on: after the event of a cursor, or at the beginning.
///
/// # Errors
///
/// The same as for [`page`].
pub async fn begin(
    connection: &mut AsyncPgConnection,
    filter: &FeedFilter,
    after: Option<String>,
) -> Result<FeedPlace> {
    let request = PageRequest { after, ..PageRequest::default() };
    place_of(connection, filter, request.slice_up_to(limits::MAX_FEED_PAGE)?.after).await
}

/// The cursor of an event.
pub fn cursor(event: &AuditEvent) -> Result<String> {
    cursor_of(&event.id)
}

/// What somebody reads who goes on and on, and how far they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeedReader {
    /// The place of the last event that the reader has, or beyond it up to the next one that the filter lets pass.
    pub place: FeedPlace,
    /// What the reader wants.
    pub filter: FeedFilter,
}

/// What comes next for a reader.
#[derive(Debug)]
pub struct FeedPart {
    /// The next events.
    pub events: Vec<AuditEvent>,
    /// The place up to which the reader has everything with these.
    pub reached: FeedPlace,
}

/// What comes next for several readers.
#[derive(Debug, Default)]
pub struct FeedParts {
    /// The parts of the readers for whom there is something new, if only a place.
    pub parts: HashMap<FeedReader, FeedPart>,
    /// Whether some readers weren't served, because there were too many at once.
    pub is_cut: bool,
    /// Whether there are events that can't be shown yet, because an older transaction is still running.
    pub is_held_back: bool,
}

#[derive(QueryableByName)]
struct PartRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    feed_position: i64,
    #[diesel(sql_type = Bool)]
    is_shown: bool,
    #[diesel(embed)]
    event: AuditEvent,
}

impl PartRow {
    fn place(&self) -> FeedPlace {
        FeedPlace::of(self.feed_position, &self.event)
    }
}

statement! {
    struct ReadParts {
        places: Jsonb = Value,
        look_at: BigInt = i64,
        page: BigInt = i64,
    } = include_str!("feed_parts.sql")
}

statement! {
    struct HeldBack {} = "SELECT EXISTS (SELECT FROM audit_events WHERE feed_position >= (SELECT feed_horizon())) AS is_held_back"
}

#[derive(QueryableByName)]
struct HeldBackRow {
    #[diesel(sql_type = Bool)]
    is_held_back: bool,
}

/// Reads on for any number of readers, with two statements. Each gets at most `page` events.
pub async fn read_on(
    connection: &mut AsyncPgConnection,
    readers: &HashSet<FeedReader>,
    page: i64,
) -> Result<FeedParts> {
    if readers.is_empty() {
        return Ok(FeedParts::default());
    }
    let served: Vec<&FeedReader> = readers.iter().take(limits::FEED_PLACES).collect();
    let place = |(number, reader): (usize, &&FeedReader)| {
        let FeedReader { place, filter } = reader;
        json!({
            "number": number, "feed_position": place.feed_position, "organization_id": place.organization_id.uuid(),
            "sequence": place.sequence, "actions": filter.actions.as_deref(), "organization_ids": filter.within.ids(),
        })
    };
    let places = Value::Array(served.iter().enumerate().map(place).collect());
    let query = ReadParts { places, look_at: limits::FEED_WINDOW, page };
    let rows: Vec<PartRow> = query.query().load(connection).await?;
    let HeldBackRow { is_held_back } = HeldBack {}.query().get_result(connection).await?;
    let mut parts = HashMap::new();
    for rows in rows.chunk_by(|one, next| one.number == next.number) {
        let reader = rows.first().and_then(|row| served.get(usize::try_from(row.number).ok()?));
        if let (Some(reader), Some(part)) = (reader, part_of(rows, page)) {
            parts.insert((*reader).clone(), part);
        }
    }
    Ok(FeedParts { parts, is_cut: served.len() < readers.len(), is_held_back })
}

/// Makes a reader's part of its rows: the events to show, as far as they aren't too large to be kept for a slow reader,
/// and the last event that was looked at.
fn part_of(rows: &[PartRow], page: i64) -> Option<FeedPart> {
    let (mut events, mut size) = (Vec::new(), 0);
    let mut reached = None;
    for row in rows {
        if row.is_shown {
            size += row.event.summary.len() + row.event.metadata.to_string().len();
            let is_full = i64::try_from(events.len()).is_ok_and(|number| number >= page);
            if !events.is_empty() && (is_full || size > limits::FEED_PAGE_BYTES) {
                break;
            }
            events.push(row.event.clone());
        } else if i64::try_from(events.len()).is_ok_and(|number| number >= page) {
            // Further events may lie before the last one that was looked at.
            break;
        }
        reached = Some(row.place());
    }
    reached.map(|reached| FeedPart { events, reached })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sql::require_fit;

    #[test]
    fn the_statements_name_their_parameters() {
        let kinds = [FilterKind::Nothing, FilterKind::Actions, FilterKind::Organizations, FilterKind::Both];
        require_fit::<PageParameters>(kinds.iter().map(FilterKind::text));
    }
}
