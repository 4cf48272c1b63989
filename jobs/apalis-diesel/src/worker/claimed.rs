use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Integer, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::failure::{JobError, Undecodable, some_pause};
use crate::Job;
use crate::statement::{Statement, Text};

/// A job that this process has claimed. Handlers receive it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedJob {
    /// The job's id.
    pub id: Uuid,
    /// See [`Job::QUEUE`].
    pub queue: String,
    /// See [`Job::KIND`].
    pub kind: String,
    /// The payload; see [`decode`](Self::decode).
    pub payload: serde_json::Value,
    /// The number of this claim, starting at 1. `(id, attempt)` identifies a claim for good.
    pub attempt: i32,
    /// How many of the claims so far, including this one, count towards `max_attempts`.
    pub counted_attempts: i32,
    /// See [`Job::MAX_ATTEMPTS`].
    pub max_attempts: i32,
    /// See [`correlation`](crate::correlation).
    pub correlation_id: Option<String>,
    /// When the job was enqueued.
    pub created_at: DateTime<Utc>,
    /// When the job was first to run. This is later than `created_at` if it was scheduled.
    pub scheduled_at: DateTime<Utc>,
    /// When the job was due.
    pub run_at: DateTime<Utc>,
}

impl ClaimedJob {
    /// Decodes the payload as a `J`. `J::KIND` should be equal to [`kind`](Self::kind).
    ///
    /// # Errors
    ///
    /// [`Undecodable`] if the payload doesn't have that form. Converted to a [`JobError`], it asks for a retry: during
    /// an upgrade, a worker of the other version may understand the payload. If none does, the job is eventually given
    /// up like any other that fails.
    pub fn decode<J: Job>(&self) -> Result<J, Undecodable> {
        J::deserialize(&self.payload).map_err(|source| Undecodable { kind: self.kind.clone(), source })
    }

    /// The error for a handler that doesn't know the job's kind. It asks for a retry, for the reason given in
    /// [`decode`](Self::decode).
    pub fn unknown_kind(&self) -> JobError {
        JobError::retry(format!("no handler for the kind {:?} in the queue {:?}", self.kind, self.queue))
    }

    /// Whether the job will be given up if this attempt fails.
    pub fn is_last_attempt(&self) -> bool {
        self.counted_attempts >= self.max_attempts
    }

    /// The usual pause before the next attempt, with a new random variation at each call. For handlers that choose the
    /// pause before a retry themselves; see [`JobError::Retry`].
    pub fn backoff(&self) -> Duration {
        some_pause(self.counted_attempts)
    }

    /// Checks that this claim is still valid, and keeps it valid until the transaction of `connection` ends. Call this
    /// first in every transaction of a handler. If a worker was so slow that another one has taken over the job, its
    /// transactions then fail.
    ///
    /// This locks the job's row `FOR KEY SHARE`. Heartbeats and acknowledgements don't change the key, so they aren't
    /// held up. Claims, and everything that frees a job for another claim, lock with `FOR UPDATE SKIP LOCKED`, so they
    /// skip the row while the transaction is open.
    ///
    /// # Errors
    ///
    /// [`JobError::Lost`] if the claim is no longer valid, and [`JobError::Retry`] if the database fails.
    pub async fn hold(&self, connection: &mut AsyncPgConnection) -> Result<(), JobError> {
        let held = Statement::<HoldClaim>::new()
            .bind::<SqlUuid, _>(self.id)
            .bind::<Integer, _>(self.attempt)
            .execute(connection)
            .await?;
        if held == 0 { Err(JobError::Lost) } else { Ok(()) }
    }

    /// Marks the job as done in the transaction of `connection`. The handler's changes and the end of the job are then
    /// committed together, and no other run can commit anything, whatever happens to this process. Call this last in
    /// the transaction, instead of [`hold`](Self::hold) or after it, and then return `Ok` from the handler.
    ///
    /// # Errors
    ///
    /// See [`hold`](Self::hold).
    pub async fn complete(&self, connection: &mut AsyncPgConnection) -> Result<(), JobError> {
        let completed = Statement::<CompleteClaim>::new()
            .bind::<SqlUuid, _>(self.id)
            .bind::<Integer, _>(self.attempt)
            .execute(connection)
            .await?;
        if completed == 0 { Err(JobError::Lost) } else { Ok(()) }
    }
}

struct HoldClaim;

impl Text for HoldClaim {
    const SQL: &'static str = "SELECT FROM jobs WHERE id = ? AND attempt = ? AND status = 'running' FOR KEY SHARE";
}

struct CompleteClaim;

impl Text for CompleteClaim {
    const SQL: &'static str = "UPDATE jobs SET status = 'done', finished_at = job_clock(), lease_expires_at = NULL
        WHERE id = ? AND attempt = ? AND status = 'running'";
}
