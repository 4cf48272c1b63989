//! The expiry of invitations, join codes and offers of projects.
//!
//! Expiry is decided whenever one of them is used. This module only marks them and records it in the log: in the job
//! that was scheduled for the time of expiry or, if that job was lost, in the hourly sweep.

use chrono::{DateTime, Utc};

use crate::authority::audit::{self, NewEvent};
use crate::base::error::Result;
use crate::base::job::JobClaim;
use crate::database::{Database, Transaction, now};

/// An object that expires.
pub(crate) trait Expiring {
    /// The object's id.
    type Id: Copy + Send + Sync;

    /// Locks up to `limit` objects that had expired at the time `at` and aren't marked yet. Skips objects that are
    /// locked, since somebody is using, ending or marking them.
    fn lock_overdue(
        transaction: &mut Transaction,
        at: DateTime<Utc>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Self::Id>>> + Send;

    /// Marks those of the objects that have expired or ended, and returns the events to record.
    fn mark_over(transaction: &mut Transaction, ids: &[Self::Id])
    -> impl Future<Output = Result<Vec<NewEvent>>> + Send;
}

/// The statement of [`Expiring::lock_overdue`] for a table, in which `$waiting` is the status of rows that can expire.
macro_rules! overdue {
    ($table:ident, $waiting:expr, $at:expr, $limit:expr) => {
        $table::table
            .filter($table::status.eq($waiting))
            .filter($table::expires_at.le($at))
            .order($table::expires_at)
            .limit($limit.into())
            .select($table::id)
            .for_no_key_update()
            .skip_locked()
    };
}
pub(crate) use overdue;

/// Marks one object if it has expired. The job scheduled for its expiry calls this.
pub(crate) async fn expire<T: Expiring>(database: &Database, id: T::Id, claim: JobClaim<'_>) -> Result<()> {
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let events = T::mark_over(transaction, &[id]).await?;
            audit::record(transaction, events).await
        })
        .await
}

/// Marks up to `limit` objects whose jobs were lost, and returns how many. The hourly sweep calls this.
pub(crate) async fn sweep<T: Expiring>(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    // Read once, so that the index can be used.
    let at = now(transaction).await?;
    let overdue = T::lock_overdue(transaction, at, limit).await?;
    let events = T::mark_over(transaction, &overdue).await?;
    audit::record(transaction, events).await?;
    Ok(overdue.len())
}
