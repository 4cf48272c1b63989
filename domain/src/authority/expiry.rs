//! The end of what expires by itself: invitations, join codes and offers of projects.
//!
//! Whoever uses one looks at its time; here it is only marked and written to the log: by the job of its time, or, where
//! that was lost, by the hourly sweep.

use chrono::{DateTime, Utc};

use crate::authority::audit::{self, NewEvent};
use crate::base::error::Result;
use crate::base::job::JobClaim;
use crate::database::{Database, Transaction, now};

/// What expires by itself.
pub(crate) trait Expiring {
    /// Its id.
    type Id: Copy + Send + Sync;

    /// Locks up to `limit` of those that nobody has marked and whose time was over at a moment, but for those that
    /// somebody else has locked, and so is using, ending or marking.
    fn lock_overdue(
        transaction: &mut Transaction,
        at: DateTime<Utc>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Self::Id>>> + Send;

    /// Marks those of them whose time is over, or that have ended; with the events to record.
    fn mark_over(transaction: &mut Transaction, ids: &[Self::Id])
    -> impl Future<Output = Result<Vec<NewEvent>>> + Send;
}

/// The statement of [`Expiring::lock_overdue`] for a table, of which rows with this status wait.
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

/// Marks one, if its time is over: the part of its job.
pub(crate) async fn expire<T: Expiring>(database: &Database, id: T::Id, claim: JobClaim<'_>) -> Result<()> {
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let events = T::mark_over(transaction, &[id]).await?;
            audit::record(transaction, events).await
        })
        .await
}

/// Marks up to `limit` whose jobs were lost, and returns how many: the part of the hourly sweep.
pub(crate) async fn sweep<T: Expiring>(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    // Read once, so that the index can be used.
    let at = now(transaction).await?;
    let overdue = T::lock_overdue(transaction, at, limit).await?;
    let events = T::mark_over(transaction, &overdue).await?;
    audit::record(transaction, events).await?;
    Ok(overdue.len())
}
