//! Tries that are counted and committed before what they guard is checked, so that they hold across processes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Integer, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use crate::database::{Database, Transaction};
use crate::error::{Error, Result};
use crate::limits::TryLimit;

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = Integer)]
    count: i32,
    #[diesel(sql_type = Timestamptz)]
    window_ends_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

impl Counted {
    /// Until the window ends.
    fn wait(&self) -> Duration {
        (self.window_ends_at - self.now).to_std().unwrap_or_default()
    }
}

/// Counts a try of the subject, and fails with RATE_LIMITED where its window holds no more.
pub(crate) async fn count(database: &Database, limit: &TryLimit, subject: &str) -> Result<()> {
    let counted = add(database, limit, subject).await?;
    if counted.count > limit.tries {
        return Err(Error::RateLimited { retry_after: counted.wait().max(Duration::from_secs(1)) });
    }
    Ok(())
}

/// Like [`count`], for what comes back by itself at the time that RATE_LIMITED names: as many in each of the next windows as
/// it holds, and not all at the end of this one.
pub(crate) async fn take_turn(database: &Database, limit: &TryLimit, subject: &str) -> Result<()> {
    let counted = add(database, limit, subject).await?;
    let over = u32::try_from(counted.count - limit.tries).unwrap_or_default();
    if over > 0 {
        let windows = (over - 1) / limit.tries.unsigned_abs();
        return Err(Error::RateLimited { retry_after: counted.wait() + limit.window * windows });
    }
    Ok(())
}

async fn add(database: &Database, limit: &TryLimit, subject: &str) -> Result<Counted> {
    let mut connection = database.connection().await?;
    Ok(diesel::sql_query(
        "INSERT INTO attempts AS a (bucket, subject, window_ends_at, count) \
         VALUES ($1, $2, rollcall_now() + make_interval(secs => $3), 1) \
         ON CONFLICT ON CONSTRAINT attempts_pkey DO UPDATE SET \
           count = CASE WHEN a.window_ends_at > rollcall_now() THEN a.count + 1 ELSE 1 END, \
           window_ends_at = CASE WHEN a.window_ends_at > rollcall_now() THEN a.window_ends_at ELSE excluded.window_ends_at END \
         RETURNING count, window_ends_at, rollcall_now() AS now",
    )
    .bind::<Text, _>(limit.bucket)
    .bind::<Text, _>(subject)
    .bind::<Double, _>(limit.window.as_secs_f64())
    .get_result(&mut connection)
    .await?)
}

/// Deletes up to `limit` counts whose window is over, and returns how many.
pub(crate) async fn prune(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let deleted = diesel::sql_query(
        "DELETE FROM attempts WHERE (bucket, subject) IN ( \
           SELECT bucket, subject FROM attempts WHERE window_ends_at <= (SELECT rollcall_now()) \
           ORDER BY window_ends_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<BigInt, _>(i64::from(limit))
    .execute(&mut **transaction)
    .await?;
    Ok(deleted)
}
