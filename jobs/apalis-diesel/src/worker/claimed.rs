use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Integer, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::failure::{JobError, Undecodable, some_pause};
use crate::Job;
use crate::statement::{Statement, Text};

/// A job that this process has claimed: what handlers get.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedJob {
    /// The job's id.
    pub id: Uuid,
    /// See [`Job::QUEUE`].
    pub queue: String,
    /// See [`Job::KIND`].
    pub kind: String,
    /// The job itself; see [`decode`](Self::decode).
    pub payload: serde_json::Value,
    /// Number of this claim, from 1. `(id, attempt)` names one claim for good.
    pub attempt: i32,
    /// How many of the claims, including this one, count towards `max_attempts`.
    pub counted_attempts: i32,
    /// See [`Job::MAX_ATTEMPTS`].
    pub max_attempts: i32,
    /// See [`correlation`](crate::correlation).
    pub correlation_id: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it was to run first: later than it was enqueued where that was asked for.
    pub scheduled_at: DateTime<Utc>,
    /// When it was due.
    pub run_at: DateTime<Utc>,
}

impl ClaimedJob {
    /// The payload as the job it is; `J::KIND` should be [`kind`](Self::kind).
    ///
    /// # Errors
    ///
    /// [`Undecodable`] if the payload isn't of that form. As a [`JobError`] it asks for a retry: during an upgrade, a
    /// worker of the other version may understand it. In the end it is given up like whatever fails.
    pub fn decode<J: Job>(&self) -> Result<J, Undecodable> {
        J::deserialize(&self.payload).map_err(|source| Undecodable { kind: self.kind.clone(), source })
    }

    /// The error for a handler that doesn't know this kind. It asks for a retry, for the reason given at
    /// [`decode`](Self::decode).
    pub fn unknown_kind(&self) -> JobError {
        JobError::retry(format!("no handler for the kind {:?} in the queue {:?}", self.kind, self.queue))
    }

    /// Whether the job is given up if this attempt fails.
    pub fn is_last_attempt(&self) -> bool {
        self.counted_attempts >= self.max_attempts
    }

    /// The usual pause before a next attempt, each time another one, for a handler that retries after one of its own
    /// making; see [`JobError::Retry`].
    pub fn backoff(&self) -> Duration {
        some_pause(self.counted_attempts)
    }

    /// Makes sure that this claim holds, and that it does until the transaction of `connection` ends. To be called in
    /// every transaction of a handler, first: the transactions of a worker that was only slow, so that another has
    /// taken its job over, then fail.
    ///
    /// It locks the job's row `FOR KEY SHARE`. Heartbeats and acknowledgements change no key, so they aren't held up;
    /// claims, and whatever frees a job for another claim, lock `FOR UPDATE SKIP LOCKED`, so they pass over the row
    /// while the transaction is open.
    ///
    /// # Errors
    ///
    /// [`JobError::Lost`] if the claim doesn't hold any more, and [`JobError::Retry`] for an error of the database.
    pub async fn hold(&self, connection: &mut AsyncPgConnection) -> Result<(), JobError> {
        let held = Statement::<HoldClaim>::new()
            .bind::<SqlUuid, _>(self.id)
            .bind::<Integer, _>(self.attempt)
            .execute(connection)
            .await?;
        if held == 0 { Err(JobError::Lost) } else { Ok(()) }
    }

    /// Marks the job as done in the transaction of `connection`: what the handler did and the end of the job then
    /// commit together, and no other run can commit anything, whatever happens to this process. To be called last in
    /// the transaction, in place of [`hold`](Self::hold) or after it; the handler then returns `Ok`.
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
