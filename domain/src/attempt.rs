//! Tries that are counted and committed before what they guard is checked, so that they hold across processes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Integer, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use crate::client::ClientNetwork;
use crate::database::{Database, Transaction};
use crate::error::{Error, Result};
use crate::limits::{TryLimit, TryLimits};

/// A try that was counted, with its window.
#[derive(QueryableByName)]
pub(crate) struct Counted {
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
pub(crate) async fn count(database: &Database, limit: &TryLimit, subject: &str) -> Result<Counted> {
    let counted = add(database, limit, subject).await?;
    if counted.count > limit.tries {
        return Err(Error::RateLimited { retry_after: counted.wait().max(Duration::from_secs(1)) });
    }
    Ok(counted)
}

/// A try that was counted before anybody knew whether it is right.
#[must_use]
pub(crate) struct Try(Vec<(TryLimit, String, DateTime<Utc>)>);

/// Counts a try for the client, for the account and for the deployment, and fails with RATE_LIMITED at the first of them whose
/// window holds no more. What is refused for one isn't counted for those after it: a busy network uses up nobody's own tries, and
/// whoever is at a limit of their own doesn't use up the deployment's.
pub(crate) async fn count_try(
    database: &Database,
    limits: &TryLimits,
    account: &str,
    client: ClientNetwork,
) -> Result<Try> {
    let mut counts = Vec::with_capacity(3);
    for (limit, subject) in
        [(limits.client, client.to_string()), (limits.account, account.to_owned()), (limits.deployment, String::new())]
    {
        let counted = count(database, &limit, &subject).await?;
        counts.push((limit, subject, counted.window_ends_at));
    }
    Ok(Try(counts))
}

impl Try {
    /// Takes the counts back: the try was right. In the transaction that acts on it, right before the audit event, since the
    /// deployment's row is everybody's.
    pub(crate) async fn was_right(&self, transaction: &mut Transaction) -> Result<()> {
        for (limit, subject, window_ends_at) in &self.0 {
            diesel::sql_query(
                "UPDATE attempts SET count = count - 1 WHERE bucket = $1 AND subject = $2 AND window_ends_at = $3",
            )
            .bind::<Text, _>(limit.bucket)
            .bind::<Text, _>(subject)
            .bind::<Timestamptz, _>(*window_ends_at)
            .execute(&mut **transaction)
            .await?;
        }
        Ok(())
    }
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
    .get_result(&mut *connection)
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
