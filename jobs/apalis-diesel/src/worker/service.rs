use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Instant;

use apalis_core::error::BoxDynError;
use apalis_core::layers::{Layer, Service};
use apalis_core::task::Task;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::Instrument;

use super::claimed::ClaimedJob;
use super::failure::{JobError, LONGEST_PAUSE, panicked, some_pause};
use super::outcome::Outcome;
use super::running::{Cancel, Key, Start};
use super::shared::Handle;
use crate::correlation;

/// Runs handlers and acknowledges their outcomes. It is the middleware of [`JobQueue`](crate::JobQueue) and surrounds
/// all other layers, so that whatever they do has an outcome.
///
/// Each handler runs in a tokio task of its own, which neither a blocking neighbour nor the end of the worker can
/// stop. It is stopped at its timeout, when its claim is lost, and when the store closes. A panic counts as a failure.
#[derive(Clone, Debug)]
pub struct OutcomeLayer {
    store: Handle,
}

impl OutcomeLayer {
    pub(crate) fn new(store: Handle) -> Self {
        Self { store }
    }
}

impl<S> Layer<S> for OutcomeLayer {
    type Service = OutcomeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OutcomeService { store: self.store.clone(), inner }
    }
}

/// The service of [`OutcomeLayer`].
#[derive(Clone, Debug)]
pub struct OutcomeService<S> {
    store: Handle,
    inner: S,
}

impl<S> Service<Task<ClaimedJob>> for OutcomeService<S>
where
    S: Service<Task<ClaimedJob>>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxDynError>,
{
    type Response = S::Response;
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<S::Response, BoxDynError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, task: Task<ClaimedJob>) -> Self::Future {
        let attempt = Attempt::new(self.store.clone(), &task.args);
        let Start { deadline, cancelled, metrics } = match self.store.shared().running.start(attempt.key) {
            Ok(start) => start,
            Err(cancel) => return async move { Err(attempt.cancelled(cancel).await.into()) }.boxed(),
        };
        let correlation_id = task.args.correlation_id.clone();
        let span = tracing::info_span!(
            "job",
            id = %task.args.id,
            kind = task.args.kind,
            attempt = task.args.attempt,
            // A field with the value `None` isn't recorded.
            correlation_id,
        );
        let started_at = Instant::now();
        let call = || catch_unwind(AssertUnwindSafe(|| self.inner.call(task)));
        let called = span.in_scope(|| correlation::in_scope_of_job(correlation_id.clone(), call));
        let run = async move {
            let handled = async move {
                match called {
                    Ok(future) => AssertUnwindSafe(future).catch_unwind().await,
                    Err(panic) => Err(panic),
                }
            };
            let handled = correlation::scope_of_job(correlation_id, handled);
            let ended = tokio::select! {
                biased;
                ended = handled => match ended {
                    Ok(Ok(response)) => Ok(response),
                    Ok(Err(error)) => Err(End::Failed(JobError::from_boxed(error.into()))),
                    Err(panic) => Err(End::Failed(panicked(panic.as_ref()))),
                },
                Ok(cancel) = cancelled => Err(End::Cancelled(cancel)),
                () = tokio::time::sleep_until(deadline) => Err(End::Failed(JobError::retry("timed out"))),
            };
            // A handler that was stopped has been dropped at this point.
            metrics.duration.record(started_at.elapsed());
            match ended {
                Ok(response) => Ok(attempt.done(response).await),
                Err(End::Failed(error)) => Err(attempt.failed(error).await),
                Err(End::Cancelled(cancel)) => Err(attempt.cancelled(cancel).await),
            }
        };
        let handle = tokio::spawn(run.instrument(span));
        async move { Ok(handle.await??) }.boxed()
    }
}

/// How an attempt ended without success.
enum End {
    Failed(JobError),
    Cancelled(Cancel),
}

/// One attempt at a job, which has yet to get its outcome.
struct Attempt {
    store: Handle,
    key: Key,
    counted: i32,
    is_last: bool,
}

impl Attempt {
    fn new(store: Handle, job: &ClaimedJob) -> Self {
        Self { store, key: (job.id, job.attempt), counted: job.counted_attempts, is_last: job.is_last_attempt() }
    }

    async fn done<T>(self, response: T) -> T {
        tracing::debug!("done");
        self.acknowledge(Outcome::Done).await;
        response
    }

    async fn failed(self, error: JobError) -> JobError {
        let outcome = match error.clone() {
            JobError::Lost => {
                tracing::warn!("stopped: the claim was lost");
                self.store.shared().running.remove(self.key);
                return error;
            }
            JobError::Postpone { after } => Outcome::Postponed { after: after.min(LONGEST_PAUSE) },
            JobError::Discard { reason } => Outcome::GivenUp { reason },
            JobError::Retry { reason, .. } if self.is_last => Outcome::GivenUp { reason },
            JobError::Retry { reason, after } => {
                let after = after.unwrap_or_else(|| some_pause(self.counted));
                Outcome::Retry { reason, after: after.min(LONGEST_PAUSE) }
            }
        };
        match &outcome {
            Outcome::Retry { reason, after } => tracing::warn!(reason, ?after, "failed; will be tried again"),
            Outcome::GivenUp { reason } => tracing::error!(reason, "failed; gave it up"),
            Outcome::Postponed { after } => tracing::debug!(?after, "put off"),
            Outcome::Done | Outcome::GivenBack => {}
        }
        self.acknowledge(outcome).await;
        error
    }

    async fn cancelled(self, cancel: Cancel) -> JobError {
        match cancel {
            Cancel::Lost => self.failed(JobError::Lost).await,
            Cancel::Closing => {
                tracing::info!("stopped; gives the job back");
                self.acknowledge(Outcome::GivenBack).await;
                JobError::Lost
            }
        }
    }

    async fn acknowledge(self, outcome: Outcome) {
        // This fails only if the store has already closed.
        let _ = self.store.acknowledge(self.key, outcome).await;
    }
}
