//! The events of organizations in the order of their commits, for subscriptions.
//!
//! An organization's audit log is gapless and in commit order, so a reader's place in it is one number. Whoever has
//! read up to a number misses nothing and gets nothing twice, however often they begin again.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::access::{self, Permit};
use crate::authority::actor::Actor;
use crate::authority::audit::AuditEvent;
use crate::authority::rights::Action;
use crate::base::error::{Error, Result};
use crate::base::id::OrganizationId;
use crate::base::limits;
use crate::base::sql::statement;
use crate::database::schema::audit_heads;

/// A reader's place in an organization's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The sequence number of the last event that the reader has.
    pub after: i64,
}

/// Fails unless the permit allows following the organization's events, which takes the right to read its audit log.
/// `None` stands for callers who may not learn that the organization exists.
pub fn require(permit: Option<&Permit>) -> Result<()> {
    let permit = permit.ok_or_else(|| access::organization_not_found("organizationId"))?;
    permit.require(Action::ViewAuditLog)
}

/// Finds the position after which a reader begins: after the given sequence number, or after the newest event.
///
/// # Errors
///
/// NOT_FOUND or FORBIDDEN if the actor may not read the organization's audit log, and [`Error::BadRequest`] if the log
/// has no such place.
pub async fn begin(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    organization_id: OrganizationId,
    after_sequence: Option<i64>,
) -> Result<Position> {
    require(access::view(connection, actor, organization_id).await?.as_ref())?;
    let head: Option<i64> =
        audit_heads::table.find(organization_id).select(audit_heads::sequence).first(connection).await.optional()?;
    let head = head.unwrap_or_default();
    let after = after_sequence.unwrap_or(head);
    if after < 0 {
        return Err(Error::BadRequest("`afterSequence` begins at 0, which stands for the whole log".to_owned()));
    }
    if after > head {
        return Err(Error::BadRequest(format!(
            "`afterSequence` must be at most {head}, the sequence number of the organization's newest event"
        )));
    }
    Ok(Position { organization_id, after })
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    after: i64,
    #[diesel(embed)]
    event: AuditEvent,
}

statement! {
    struct ReadPages {
        organization_ids: Array<SqlUuid> = Vec<OrganizationId>,
        afters: Array<BigInt> = Vec<i64>,
        page: BigInt = i64,
        most: BigInt = i64,
    } = include_str!("feed_pages.sql")
}

/// The next events of readers, by their positions.
#[derive(Debug, Default)]
pub struct Pages {
    /// The events that follow a position, in order and without a gap. Positions without new events are missing.
    pub events: HashMap<Position, Vec<AuditEvent>>,
    /// Whether some positions may have further events that weren't read because there were too many at once.
    pub is_cut: bool,
}

/// Reads the next events of any number of positions with one statement. Each position gets at most
/// [`limits::FEED_PAGE`] events, and all of them together at most [`limits::FEED_ROWS`].
pub async fn pages(connection: &mut AsyncPgConnection, positions: &HashSet<Position>) -> Result<Pages> {
    if positions.is_empty() {
        return Ok(Pages::default());
    }
    let (organization_ids, afters) =
        positions.iter().map(|position| (position.organization_id, position.after)).unzip();
    let query = ReadPages { organization_ids, afters, page: limits::FEED_PAGE, most: limits::FEED_ROWS };
    let rows: Vec<Row> = query.query().load(connection).await?;
    let is_cut = i64::try_from(rows.len()).is_ok_and(|rows| rows >= limits::FEED_ROWS);
    let mut events: HashMap<Position, Vec<AuditEvent>> = HashMap::new();
    for Row { after, event } in rows {
        events.entry(Position { organization_id: event.organization_id, after }).or_default().push(event);
    }
    for (position, page) in &mut events {
        page.sort_unstable_by_key(|event| event.sequence);
        page.truncate(presentable(position.after, page));
    }
    events.retain(|_, page| !page.is_empty());
    Ok(Pages { events, is_cut })
}

/// How many of the events, which are in order, can be handed out together: those that follow the position without a
/// gap, as far as they aren't too large to be kept for a slow reader.
fn presentable(after: i64, page: &[AuditEvent]) -> usize {
    let mut size = 0;
    let fits = |(expected, event): &(i64, &AuditEvent)| {
        let is_first = *expected == after + 1;
        size += event.summary.len() + event.metadata.to_string().len();
        event.sequence == *expected && (is_first || size <= limits::FEED_PAGE_BYTES)
    };
    (after + 1..).zip(page).take_while(fits).count()
}
