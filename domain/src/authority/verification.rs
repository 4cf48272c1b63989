//! Verification of the hash chain of an organization's audit log.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::authority::access::Permit;
use crate::authority::audit::AuditEvent;
use crate::authority::rights::Action;
use crate::base::error::{Error, Result};
use crate::base::id::OrganizationId;
use crate::base::limits;
use crate::base::sql::statement;
use crate::database::Database;
use crate::database::schema::audit_events;

/// The result of a verification.
#[derive(Debug)]
pub struct Verification {
    /// The number of events that were checked.
    pub checked: i64,
    /// The first event that doesn't fit the one before it, or that follows a gap.
    pub first_broken: Option<AuditEvent>,
    /// The sequence number from which to continue; `None` once the head was reached.
    pub next_sequence: Option<i64>,
    /// Whether the head agrees with the last event. If not, the end of the log may have been cut off.
    pub head_fits: bool,
}

impl Verification {
    /// Whether everything that was checked is intact.
    pub fn ok(&self) -> bool {
        self.first_broken.is_none() && self.head_fits
    }
}

#[derive(QueryableByName)]
struct CheckedChunk {
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

statement! {
    struct VerifyChain {
        organization_id: SqlUuid = OrganizationId,
        from_sequence: BigInt = i64,
        most: BigInt = i64,
    } = include_str!("verify_chain.sql")
}

/// Recomputes the chain from a sequence number on, for at most [`limits::VERIFY_CHUNK`] events.
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
    let chain = VerifyChain { organization_id, from_sequence: from, most: limits::VERIFY_CHUNK };
    let checked: CheckedChunk = chain.query().get_result(&mut *connection).await?;
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

/// Verifies the log of the permit's organization.
pub async fn verify_as(database: &Database, permit: &Permit, from_sequence: Option<i64>) -> Result<Verification> {
    permit.require(Action::ViewAuditLog)?;
    verify(database, permit.organization_id(), from_sequence).await
}
