//! Functions for operators who look after the jobs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{BigInt, Bool, Double, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::statement::{is_next_of_serial_key, unique_key_when_waiting};

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromSqlRow)]
pub enum JobStatus {
    /// It waits for its time, for a free worker, or for a retry.
    Waiting,
    /// A worker has claimed it.
    Running,
    /// Its handler succeeded.
    Done,
    /// It failed too often, or its handler gave it up. It stays until it is retried or cancelled by hand.
    GivenUp,
}

impl JobStatus {
    /// All statuses.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Running, Self::Done, Self::GivenUp];

    /// The value in the column `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::GivenUp => "given_up",
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The error for a text that isn't a status.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is none of waiting, running, done, given_up")]
pub struct UnknownStatus(String);

impl FromStr for JobStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

impl FromSql<Text, Pg> for JobStatus {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(<String as FromSql<Text, Pg>>::from_sql(value)?.parse()?)
    }
}

/// A row of the table `jobs`.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct JobRecord {
    /// The job's id, a UUIDv7.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// See [`Job::QUEUE`](crate::Job::QUEUE).
    #[diesel(sql_type = Text)]
    pub queue: String,
    /// See [`Job::KIND`](crate::Job::KIND).
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// The payload.
    #[diesel(sql_type = Jsonb)]
    pub payload: serde_json::Value,
    /// The job's status.
    #[diesel(sql_type = Text)]
    pub status: JobStatus,
    /// See [`Job::PRIORITY`](crate::Job::PRIORITY).
    #[diesel(sql_type = SmallInt)]
    pub priority: i16,
    /// When the job was first to run.
    #[diesel(sql_type = Timestamptz)]
    pub scheduled_at: DateTime<Utc>,
    /// The job doesn't run before this time. A retry moves it.
    #[diesel(sql_type = Timestamptz)]
    pub run_at: DateTime<Utc>,
    /// How many times the job was claimed.
    #[diesel(sql_type = Integer)]
    pub attempt: i32,
    /// How many of these claims don't count: those of jobs that were given back unfinished at a shutdown, those whose
    /// process died while it ran other jobs too, and those before a manual retry.
    #[diesel(sql_type = Integer)]
    pub uncounted_attempts: i32,
    /// How many claims may count before the job is given up.
    #[diesel(sql_type = Integer)]
    pub max_attempts: i32,
    /// See [`Job::unique_key`](crate::Job::unique_key).
    #[diesel(sql_type = Nullable<Text>)]
    pub unique_key: Option<String>,
    /// See [`Job::serial_key`](crate::Job::serial_key).
    #[diesel(sql_type = Nullable<Text>)]
    pub serial_key: Option<String>,
    /// See [`correlation`](crate::correlation).
    #[diesel(sql_type = Nullable<Text>)]
    pub correlation_id: Option<String>,
    /// Whether its last lease ran out, so that the job is claimed only by a process that runs nothing else.
    #[diesel(sql_type = Bool)]
    pub alone: bool,
    /// The process that has claimed the job or, once it is finished, had claimed it.
    #[diesel(sql_type = Nullable<Text>)]
    pub worker: Option<String>,
    /// Until when the worker holds the claim, unless it extends the lease.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub lease_expires_at: Option<DateTime<Utc>>,
    /// Why the last failed attempt failed.
    #[diesel(sql_type = Nullable<Text>)]
    pub last_error: Option<String>,
    /// When the job was enqueued.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// When the job was last claimed.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub started_at: Option<DateTime<Utc>>,
    /// When the job was done or given up.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub finished_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "id, queue, kind, payload, status, priority, scheduled_at, run_at, attempt, uncounted_attempts, \
     max_attempts, unique_key, serial_key, correlation_id, alone, worker, lease_expires_at, last_error, created_at, started_at, \
     finished_at";

/// Selects jobs. A job must match every field that is given.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Only jobs in this queue.
    pub queue: Option<String>,
    /// Only jobs of this kind.
    pub kind: Option<String>,
    /// Only jobs with this status.
    pub status: Option<JobStatus>,
    /// Only jobs older than the one with this id. To get the next page, give the last id of a page.
    pub before: Option<Uuid>,
}

impl JobFilter {
    /// The condition of a query whose first four values are bound by [`bind`](Self::bind).
    ///
    /// The last two lines are always true, but match the conditions of partial indexes. The values are known when the
    /// query is planned, so conditions that don't apply cost nothing.
    const CONDITION: &str = "($1 IS NULL OR queue = $1) AND ($2 IS NULL OR kind = $2) AND ($3 IS NULL OR status = $3)
        AND ($4 IS NULL OR id < $4)
        AND ($3 IS DISTINCT FROM 'waiting' OR alone OR NOT alone)
        AND ($3 IS DISTINCT FROM 'running' OR lease_expires_at IS NOT NULL)";

    fn bind(&self, sql: String) -> BoxedSqlQuery<'_, Pg, SqlQuery> {
        sql_query(sql)
            .into_boxed()
            .bind::<Nullable<Text>, _>(self.queue.as_deref())
            .bind::<Nullable<Text>, _>(self.kind.as_deref())
            .bind::<Nullable<Text>, _>(self.status.map(JobStatus::as_str))
            .bind::<Nullable<SqlUuid>, _>(self.before)
    }
}

/// Lists at most `limit` jobs that match the filter, newest first.
///
/// With a status other than done, this is fast however many jobs there are. Otherwise it reads the table backwards
/// until it has found enough jobs. If only few match, it reads the whole table.
///
/// # Errors
///
/// If the database fails.
pub async fn list(connection: &mut AsyncPgConnection, filter: &JobFilter, limit: u32) -> QueryResult<Vec<JobRecord>> {
    filter
        .bind(format!("SELECT {COLUMNS} FROM jobs WHERE {} ORDER BY id DESC LIMIT $5", JobFilter::CONDITION))
        .bind::<BigInt, _>(i64::from(limit))
        .load(connection)
        .await
}

/// Finds a job.
///
/// # Errors
///
/// If the database fails.
pub async fn find(connection: &mut AsyncPgConnection, id: Uuid) -> QueryResult<Option<JobRecord>> {
    sql_query(format!("SELECT {COLUMNS} FROM jobs WHERE id = $1"))
        .bind::<SqlUuid, _>(id)
        .get_result(connection)
        .await
        .optional()
}

/// Retries a job that was given up, at once and with all its attempts. Returns whether there is such a job.
///
/// If another job with its [unique key](crate::Job::unique_key) is already waiting, this job loses its key and both
/// run.
///
/// # Errors
///
/// If the database fails.
pub async fn retry(connection: &mut AsyncPgConnection, id: Uuid) -> QueryResult<bool> {
    let changed = sql_query(concat!(
        "UPDATE jobs SET status = 'waiting', run_at = job_clock(), finished_at = NULL, worker = NULL,
             uncounted_attempts = attempt, alone = false, unique_key = ",
        unique_key_when_waiting!(),
        " WHERE id = $1 AND status = 'given_up'"
    ))
    .bind::<SqlUuid, _>(id)
    .execute(connection)
    .await?;
    Ok(changed > 0)
}

/// [Retries](retry) at most `limit` given-up jobs that match the filter, starting with those that were given up first.
/// Returns how many were retried.
///
/// The jobs are retried one by one. Without a transaction around this call, an error leaves the earlier ones retried.
///
/// # Errors
///
/// If the database fails.
pub async fn retry_all(connection: &mut AsyncPgConnection, filter: &JobFilter, limit: u32) -> QueryResult<usize> {
    let sql = format!(
        "SELECT id FROM jobs WHERE {} AND status = 'given_up' ORDER BY finished_at LIMIT $5",
        JobFilter::CONDITION
    );
    let jobs: Vec<Id> = filter.bind(sql).bind::<BigInt, _>(i64::from(limit)).load(connection).await?;
    let mut retried = 0;
    for job in jobs {
        retried += usize::from(retry(connection, job.id).await?);
    }
    Ok(retried)
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Deletes a job that is waiting or was given up. Returns whether there is such a job; a running job can't be
/// cancelled.
///
/// # Errors
///
/// If the database fails.
pub async fn cancel(connection: &mut AsyncPgConnection, id: Uuid) -> QueryResult<bool> {
    let deleted = sql_query("DELETE FROM jobs WHERE id = $1 AND status IN ('waiting', 'given_up')")
        .bind::<SqlUuid, _>(id)
        .execute(connection)
        .await?;
    Ok(deleted > 0)
}

/// Deletes at most `limit` jobs that were done longer than `retention` ago, and returns how many. Given-up jobs stay.
///
/// The limit keeps transactions short. Call this again while it returns `limit`.
///
/// # Errors
///
/// If the database fails.
pub async fn prune(connection: &mut AsyncPgConnection, retention: Duration, limit: u32) -> QueryResult<usize> {
    sql_query(
        "DELETE FROM jobs WHERE id IN (
             SELECT id FROM jobs
             WHERE status = 'done' AND finished_at < (SELECT job_clock() - make_interval(secs => $1))
             ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Double, _>(retention.as_secs_f64())
    .bind::<BigInt, _>(i64::from(limit))
    .execute(connection)
    .await
}

/// The statistics of a queue.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct QueueStatistics {
    /// The queue's name.
    #[diesel(sql_type = Text)]
    pub queue: String,
    /// The number of jobs that are due and haven't been tried yet. A job that waits for another one with its [serial
    /// key](crate::Job::serial_key) isn't due.
    #[diesel(sql_type = BigInt)]
    pub waiting: i64,
    /// The number of jobs whose time or turn hasn't come yet, and that haven't been tried yet.
    #[diesel(sql_type = BigInt)]
    pub scheduled: i64,
    /// The number of jobs that failed and wait for their next attempt, whether it is due or not.
    #[diesel(sql_type = BigInt)]
    pub retrying: i64,
    /// The number of jobs that a worker has claimed.
    #[diesel(sql_type = BigInt)]
    pub running: i64,
    /// The number of jobs that were given up.
    #[diesel(sql_type = BigInt)]
    pub given_up: i64,
    /// For how many seconds the oldest due job has been due; 0 if no job is due.
    #[diesel(sql_type = Double)]
    pub oldest_due_seconds: f64,
}

/// The statistics of all queues that have unfinished or given-up jobs, ordered by name.
///
/// # Errors
///
/// If the database fails.
pub async fn statistics(connection: &mut AsyncPgConnection) -> QueryResult<Vec<QueueStatistics>> {
    // There is one branch per partial index, so that finished jobs aren't read.
    sql_query(concat!(
        "WITH clock AS MATERIALIZED (SELECT job_clock() AS now),
         unfinished AS (
             SELECT queue, status, run_at, attempt > uncounted_attempts AS tried,
                 run_at <= (SELECT now FROM clock) AND ",
        is_next_of_serial_key!(),
        " AS due FROM jobs WHERE status = 'waiting'
             UNION ALL SELECT queue, status, run_at, true, false FROM jobs WHERE lease_expires_at IS NOT NULL
             UNION ALL SELECT queue, status, run_at, true, false FROM jobs WHERE status = 'given_up')
         SELECT queue,
             count(*) FILTER (WHERE status = 'waiting' AND NOT tried AND due) AS waiting,
             count(*) FILTER (WHERE status = 'waiting' AND NOT tried AND NOT due) AS scheduled,
             count(*) FILTER (WHERE status = 'waiting' AND tried) AS retrying,
             count(*) FILTER (WHERE status = 'running') AS running,
             count(*) FILTER (WHERE status = 'given_up') AS given_up,
             coalesce(extract(epoch FROM max(now - run_at) FILTER (WHERE due)), 0)::float8 AS oldest_due_seconds
         FROM unfinished, clock GROUP BY queue ORDER BY queue"
    ))
    .load(connection)
    .await
}
