//! Verification of an organization's audit log: whether its chain of hashes is whole.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use diesel_async::RunQueryDsl;

use crate::authority::access::Permit;
use crate::authority::audit::AuditEvent;
use crate::authority::policy::Action;
use crate::base::error::{Error, Result};
use crate::base::id::OrganizationId;
use crate::base::limits;
use crate::database::Database;
use crate::database::schema::audit_events;

/// What a verification found.
#[derive(Debug)]
pub struct Verification {
    /// Events checked.
    pub checked: i64,
    /// The first that doesn't fit the one before it, or that stands after a gap.
    pub first_broken: Option<AuditEvent>,
    /// Where to go on; `None` once the head was reached.
    pub next_sequence: Option<i64>,
    /// Whether the head agrees with the last event, which shows a log cut off at its end.
    pub head_fits: bool,
}

impl Verification {
    /// Whether everything checked is whole.
    pub fn ok(&self) -> bool {
        self.first_broken.is_none() && self.head_fits
    }
}

#[derive(QueryableByName)]
struct Checked {
    #[diesel(sql_type = BigInt)]
    checked: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    last_hash: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    broken: Option<i64>,
    #[diesel(sql_type = BigInt)]
    head: i64,
    #[diesel(sql_type = Binary)]
    head_hash: Vec<u8>,
}

/// Recomputes the chain from a sequence on, at most [`limits::VERIFY_CHUNK`] events of it.
pub async fn verify(
    database: &Database,
    organization_id: OrganizationId,
    from_sequence: Option<i64>,
) -> Result<Verification> {
    let from = from_sequence.unwrap_or(1);
    if from < 1 {
        return Err(Error::BadRequest("fromSequence begins at 1".to_owned()));
    }
    let mut connection = database.connection().await?;
    // One statement, so that log and head are of one moment. `position` finds gaps, `previous` the broken links.
    let checked: Checked = diesel::sql_query(
        "WITH head AS (SELECT sequence, hash FROM audit_heads WHERE organization_id = $1), \
         events AS (SELECT * FROM audit_events WHERE organization_id = $1 AND sequence >= $2 - 1 ORDER BY sequence LIMIT $3 + 1), \
         linked AS (SELECT *, lag(hash) OVER w AS previous, lag(sequence) OVER w AS before FROM events WINDOW w AS (ORDER BY sequence)), \
         judged AS (SELECT sequence, hash, \
           sequence <> coalesce(before, $2 - 1) + 1 \
           OR hash IS DISTINCT FROM audit_hash(CASE WHEN sequence = 1 THEN ''::bytea ELSE previous END, \
             organization_id, sequence, id, action, actor_kind, actor_id, target_id, summary, metadata, occurred_at) AS broken \
           FROM linked WHERE sequence >= $2 ORDER BY sequence LIMIT $3) \
         SELECT (SELECT count(*) FROM judged) AS checked, (SELECT max(sequence) FROM judged) AS last, \
           (SELECT hash FROM judged ORDER BY sequence DESC LIMIT 1) AS last_hash, \
           (SELECT min(sequence) FROM judged WHERE broken) AS broken, \
           coalesce((SELECT sequence FROM head), 0) AS head, coalesce((SELECT hash FROM head), ''::bytea) AS head_hash",
    )
    .bind::<diesel::sql_types::Uuid, _>(organization_id)
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(limits::VERIFY_CHUNK)
    .get_result(&mut *connection)
    .await?;
    let first_broken = match checked.broken {
        Some(sequence) => Some(
            audit_events::table
                .find((organization_id, sequence))
                .select(AuditEvent::as_select())
                .first(&mut *connection)
                .await?,
        ),
        None => None,
    };
    let last = checked.last.unwrap_or(from - 1);
    let more = checked.checked == limits::VERIFY_CHUNK && last < checked.head;
    let head_fits = more
        || from > checked.head
        || (last == checked.head && checked.last_hash.is_none_or(|hash| hash == checked.head_hash));
    Ok(Verification { checked: checked.checked, first_broken, next_sequence: more.then_some(last + 1), head_fits })
}

/// The permit-holder's verification of their own log.
pub async fn verify_as(database: &Database, permit: &Permit, from_sequence: Option<i64>) -> Result<Verification> {
    permit.require(Action::ViewAuditLog)?;
    verify(database, permit.organization_id(), from_sequence).await
}
