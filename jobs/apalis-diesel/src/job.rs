use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Array, Double, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::correlation;
use crate::new_name;
use crate::statement::{self, Statement};

/// A job: the payload of one kind of job, and how jobs of this kind are handled.
///
/// The payload is stored as JSON. It should contain only identifiers: whatever else a job needs to know is in the
/// database when it runs, and a small payload with a stable form survives upgrades.
///
/// Handlers must be idempotent. A job runs at least once. It runs again if the handler commits but the acknowledgement
/// doesn't follow, for example because the process dies in between.
pub trait Job: Serialize + DeserializeOwned {
    /// The queue in which the job waits. Each worker serves one queue.
    const QUEUE: &'static str;

    /// The unique name of this kind of job, by which handlers recognize it.
    const KIND: &'static str;

    /// How many times the job is attempted before it is given up, at least 1.
    ///
    /// With the default of 24, the attempts take about a day, since the pauses grow from 2 seconds to 2 hours.
    const MAX_ATTEMPTS: i32 = 24;

    /// How long one attempt may take. An attempt that takes longer is aborted and counts as failed.
    const TIMEOUT: Duration = Duration::from_secs(60);

    /// The priority. Of the due jobs in a queue, those with the highest priority run first.
    const PRIORITY: i16 = 0;

    /// The unique key. Of the jobs of one kind with the same unique key, only one waits at a time: while it waits, for
    /// its first attempt or for a retry, enqueuing another one does nothing. While it is running it doesn't wait, so
    /// another one can be enqueued. This is necessary, since the running job may have missed the reason for the new
    /// one.
    ///
    /// If a job must be retried while another one with its key is already waiting, it stays in the queue but loses its
    /// key, and both run.
    ///
    /// At most 1,000 bytes.
    fn unique_key(&self) -> Option<String> {
        None
    }

    /// The serial key. Of the jobs with the same serial key, of any kind and in any queue, only one runs at a time.
    /// They run in the order of the times for which they are scheduled, or else at which they were enqueued. A job
    /// that waits for a retry holds up those after it until it is done or given up.
    ///
    /// At most 1,000 bytes.
    fn serial_key(&self) -> Option<String> {
        None
    }
}

/// Enqueues a job. It runs as soon as the transaction of `connection` has committed and a worker is free.
///
/// This is a single INSERT on the given connection, so the job exists exactly if the transaction commits. A
/// shared reference to the connection is enough, so the INSERT can be sent together with other statements. Call
/// [`Wake::wake`](crate::Wake::wake) after the commit. Without that call, workers find the job at their next look,
/// within a second.
///
/// Returns the new job's id, or `None` if a job with its [unique key](Job::unique_key) is already waiting. In the
/// latter case, the waiting job doesn't start before this transaction has ended, so it sees what the transaction did.
///
/// # Errors
///
/// If the database fails, after which the transaction can't continue; or
/// [`SerializationError`](diesel::result::Error::SerializationError) if the job can't be serialized to JSON.
pub async fn enqueue<J: Job>(connection: &AsyncPgConnection, job: &J) -> QueryResult<Option<Uuid>> {
    Ok(insert(connection, std::slice::from_ref(job), None).await?.into_iter().next().flatten())
}

/// Like [`enqueue`], for a job that must not run before `run_at`. If that time has passed, it runs at once.
///
/// If a job with its [unique key](Job::unique_key) is already waiting, the time of that job doesn't change.
///
/// # Errors
///
/// See [`enqueue`].
pub async fn enqueue_at<J: Job>(
    connection: &AsyncPgConnection,
    job: &J,
    run_at: DateTime<Utc>,
) -> QueryResult<Option<Uuid>> {
    Ok(insert(connection, std::slice::from_ref(job), Some(run_at)).await?.into_iter().next().flatten())
}

/// Like [`enqueue`], for many jobs of one kind in a single INSERT. Returns what `enqueue` would return for each, in
/// the same order.
///
/// # Errors
///
/// See [`enqueue`].
pub async fn enqueue_all<J: Job>(connection: &AsyncPgConnection, jobs: &[J]) -> QueryResult<Vec<Option<Uuid>>> {
    insert(connection, jobs, None).await
}

/// Like [`enqueue_all`], for jobs that must not run before `run_at`.
///
/// # Errors
///
/// See [`enqueue`].
pub async fn enqueue_all_at<J: Job>(
    connection: &AsyncPgConnection,
    jobs: &[J],
    run_at: DateTime<Utc>,
) -> QueryResult<Vec<Option<Uuid>>> {
    insert(connection, jobs, Some(run_at)).await
}

/// Makes the waiting job with the same [unique key](Job::unique_key) run now instead of at its time, for example
/// because the reason for its retry is gone. Returns whether such a job is waiting.
///
/// # Errors
///
/// If the database fails.
pub async fn expedite<J: Job>(connection: &AsyncPgConnection, job: &J) -> QueryResult<bool> {
    let Some(unique_key) = job.unique_key() else { return Ok(false) };
    let changed = Statement::<ExpediteJob>::new()
        .bind::<Text, _>(J::KIND)
        .bind::<Text, _>(unique_key)
        .execute(&mut &*connection)
        .await?;
    Ok(changed > 0)
}

struct ExpediteJob;

impl statement::Text for ExpediteJob {
    const SQL: &'static str = "UPDATE jobs SET run_at = least(run_at, job_clock())
        WHERE kind = ? AND unique_key = ? AND status = 'waiting' AND unique_key IS NOT NULL";
}

struct InsertJobs;

impl statement::Text for InsertJobs {
    const SQL: &'static str = "
        WITH clock AS MATERIALIZED (SELECT job_clock() AS now)
        INSERT INTO jobs
            (id, queue, kind, payload, priority, scheduled_at, run_at, max_attempts, timeout, serial_key,
             correlation_id, created_at)
        SELECT new.id, ?, ?, new.payload, ?, coalesce(given.run_at, now), coalesce(given.run_at, now), ?,
            make_interval(secs => ?), new.serial_key, ?, now
        FROM unnest(?, ?, ?) WITH ORDINALITY AS new (id, payload, serial_key, place),
            (SELECT ? AS run_at) AS given, clock
        ORDER BY new.place";
}

struct InsertUniqueJobs;

/// A conflicting job is locked in the same way as by `ClaimedJob::hold`, so that it isn't claimed before the
/// transaction has ended. Otherwise it could run without seeing the change that it now also stands for.
impl statement::Text for InsertUniqueJobs {
    const SQL: &'static str = "
        WITH clock AS MATERIALIZED (SELECT job_clock() AS now),
        inserted AS (
            INSERT INTO jobs (id, queue, kind, payload, priority, scheduled_at, run_at, max_attempts, timeout,
                serial_key, unique_key, correlation_id, created_at)
            SELECT new.id, ?, ?, new.payload, ?, coalesce(given.run_at, now), coalesce(given.run_at, now), ?,
                make_interval(secs => ?), new.serial_key, new.unique_key, ?, now
            FROM unnest(?, ?, ?, ?) WITH ORDINALITY AS new (id, payload, serial_key, unique_key, place),
                (SELECT ? AS run_at) AS given, clock
            ORDER BY new.place
            ON CONFLICT (kind, unique_key) WHERE status = 'waiting' AND unique_key IS NOT NULL DO NOTHING
            RETURNING id
        ),
        found AS (
            SELECT unique_key FROM jobs
            WHERE kind = ? AND status = 'waiting' AND unique_key IS NOT NULL AND unique_key = ANY (?)
            FOR KEY SHARE
        )
        SELECT id, NULL::text FROM inserted UNION ALL SELECT NULL::uuid, unique_key FROM found";
}

/// A job that is to be inserted.
pub(crate) struct NewJob {
    id: Uuid,
    payload: serde_json::Value,
    serial_key: Option<String>,
    unique_key: Option<String>,
}

impl NewJob {
    pub(crate) fn new<J: Job>(job: &J, unique_key: Option<String>) -> QueryResult<Self> {
        let payload =
            serde_json::to_value(job).map_err(|error| diesel::result::Error::SerializationError(error.into()))?;
        Ok(Self { id: new_name(), payload, serial_key: job.serial_key(), unique_key })
    }
}

async fn insert<J: Job>(
    connection: &AsyncPgConnection,
    jobs: &[J],
    run_at: Option<DateTime<Utc>>,
) -> QueryResult<Vec<Option<Uuid>>> {
    let mut ids = Vec::with_capacity(jobs.len());
    let mut keys = HashSet::new();
    let mut new = Vec::with_capacity(jobs.len());
    for job in jobs {
        let unique_key = job.unique_key();
        if let Some(key) = &unique_key
            && !keys.insert(key.clone())
        {
            ids.push(None);
            continue;
        }
        let job = NewJob::new(job, unique_key)?;
        ids.push(Some(job.id));
        new.push(job);
    }
    if keys.is_empty() {
        insert_plain::<J>(connection, new, run_at).await?;
    } else {
        let inserted = insert_unique::<J>(connection, new, run_at).await?;
        for id in &mut ids {
            *id = id.filter(|id| inserted.contains(id));
        }
    }
    Ok(ids)
}

/// Enqueues a job with a unique key.
#[cfg(feature = "worker")]
pub(crate) async fn insert_one<J: Job>(connection: &AsyncPgConnection, job: NewJob) -> QueryResult<Option<Uuid>> {
    Ok(insert_unique::<J>(connection, vec![job], None).await?.into_iter().next())
}

async fn insert_plain<J: Job>(
    connection: &AsyncPgConnection,
    jobs: Vec<NewJob>,
    run_at: Option<DateTime<Utc>>,
) -> QueryResult<()> {
    let (mut ids, mut payloads, mut serial_keys) = (Vec::new(), Vec::new(), Vec::new());
    for job in jobs {
        ids.push(job.id);
        payloads.push(job.payload);
        serial_keys.push(job.serial_key);
    }
    Statement::<InsertJobs>::new()
        .bind::<Text, _>(J::QUEUE)
        .bind::<Text, _>(J::KIND)
        .bind::<SmallInt, _>(J::PRIORITY)
        .bind::<Integer, _>(J::MAX_ATTEMPTS)
        .bind::<Double, _>(J::TIMEOUT.as_secs_f64())
        .bind::<Nullable<Text>, _>(correlation::current())
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<Jsonb>, _>(payloads)
        .bind::<Array<Nullable<Text>>, _>(serial_keys)
        .bind::<Nullable<Timestamptz>, _>(run_at)
        .execute(&mut &*connection)
        .await?;
    Ok(())
}

/// Returns the ids of the jobs that were inserted, because no waiting job stands for them.
async fn insert_unique<J: Job>(
    connection: &AsyncPgConnection,
    mut jobs: Vec<NewJob>,
    run_at: Option<DateTime<Utc>>,
) -> QueryResult<HashSet<Uuid>> {
    let mut inserted = HashSet::new();
    loop {
        let (mut ids, mut payloads, mut serial_keys, mut unique_keys) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for job in &jobs {
            ids.push(job.id);
            payloads.push(job.payload.clone());
            serial_keys.push(job.serial_key.clone());
            unique_keys.push(job.unique_key.clone());
        }
        let rows: Vec<(Option<Uuid>, Option<String>)> =
            Statement::<InsertUniqueJobs, (Nullable<SqlUuid>, Nullable<Text>)>::new()
                .bind::<Text, _>(J::QUEUE)
                .bind::<Text, _>(J::KIND)
                .bind::<SmallInt, _>(J::PRIORITY)
                .bind::<Integer, _>(J::MAX_ATTEMPTS)
                .bind::<Double, _>(J::TIMEOUT.as_secs_f64())
                .bind::<Nullable<Text>, _>(correlation::current())
                .bind::<Array<SqlUuid>, _>(ids)
                .bind::<Array<Jsonb>, _>(payloads)
                .bind::<Array<Nullable<Text>>, _>(serial_keys)
                .bind::<Array<Nullable<Text>>, _>(unique_keys.clone())
                .bind::<Nullable<Timestamptz>, _>(run_at)
                .bind::<Text, _>(J::KIND)
                .bind::<Array<Nullable<Text>>, _>(unique_keys)
                .load(&mut &*connection)
                .await?;
        let mut found = HashSet::new();
        for (id, key) in rows {
            inserted.extend(id);
            found.extend(key);
        }
        // The others conflicted with a job that a worker has claimed in the meantime, or with one that was enqueued
        // after this statement began. Neither reliably stands for them, so they are tried again.
        jobs.retain(|job| {
            !inserted.contains(&job.id) && !job.unique_key.as_ref().is_some_and(|key| found.contains(key))
        });
        if jobs.is_empty() {
            return Ok(inserted);
        }
    }
}
