//! Why an attempt failed, and what should happen next.

use std::any::Any;
use std::error::Error;
use std::time::Duration;

use apalis_core::error::{AbortError, BoxDynError, RetryAfterError};
use diesel_async::pooled_connection::deadpool::PoolError;

/// The error for a payload that doesn't have the form of its kind.
#[derive(Debug, thiserror::Error)]
#[error("the payload of a job of kind {kind:?} can't be decoded")]
pub struct Undecodable {
    pub(crate) kind: String,
    pub(crate) source: serde_json::Error,
}

/// Why a handler didn't complete its job, and what should happen to the job.
///
/// Handlers can also return any other error. It asks for a retry, and apalis-core's `AbortError` and `RetryAfterError`
/// have their usual meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The job should be tried again. If this was the last attempt, it is given up.
    #[error("{reason}")]
    Retry {
        /// The reason, for operators. It is stored in the job's row, so it must not contain secrets.
        reason: String,
        /// How long to wait. By default, it is 2 seconds after the first attempt, and then twice as long each time, up
        /// to 2 hours, with a random variation of up to a quarter.
        after: Option<Duration>,
    },
    /// The job can't be done yet for a reason outside of it, such as a limit that others have used up. It should run
    /// later, and this attempt doesn't count.
    #[error("put off")]
    Postpone {
        /// How long to wait.
        after: Duration,
    },
    /// The job should not be tried again: it is given up at once.
    #[error("{reason}")]
    Discard {
        /// The reason, for operators. It is stored in the job's row, so it must not contain secrets.
        reason: String,
    },
    /// The claim is no longer valid, so this handler no longer decides what happens to the job.
    #[error("the claim on the job was lost")]
    Lost,
}

impl JobError {
    /// A retry after the usual pause.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after: None }
    }

    /// A retry after the given pause.
    pub fn retry_after(reason: impl Into<String>, after: Duration) -> Self {
        Self::Retry { reason: reason.into(), after: Some(after) }
    }

    /// Postpones the job by the given time. The attempt doesn't count.
    pub fn postpone(after: Duration) -> Self {
        Self::Postpone { after }
    }

    /// Gives the job up without a retry.
    pub fn discard(reason: impl Into<String>) -> Self {
        Self::Discard { reason: reason.into() }
    }

    /// Interprets an error that was returned through apalis and its layers.
    pub(crate) fn from_boxed(error: BoxDynError) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error.as_ref());
        while let Some(current) = cause {
            if let Some(job_error) = current.downcast_ref::<Self>() {
                return job_error.clone();
            }
            if let Some(abort) = current.downcast_ref::<AbortError>() {
                return Self::discard(abort.to_string());
            }
            if let Some(retry) = current.downcast_ref::<RetryAfterError>() {
                return Self::retry_after(retry.to_string(), retry.get_duration());
            }
            cause = current.source();
        }
        Self::retry(chain(error.as_ref()))
    }
}

impl From<diesel::result::Error> for JobError {
    fn from(error: diesel::result::Error) -> Self {
        Self::retry(chain(&error))
    }
}

impl From<PoolError> for JobError {
    fn from(error: PoolError) -> Self {
        Self::retry(chain(&error))
    }
}

impl From<Undecodable> for JobError {
    fn from(error: Undecodable) -> Self {
        Self::retry(chain(&error))
    }
}

/// Formats an error with its causes, leaving out those that it already contains.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let reason = current.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        cause = current.source();
    }
    text
}

/// The error for an attempt that panicked.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> JobError {
    let message = panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    JobError::retry(format!("panicked: {message}"))
}

/// The longest pause that a handler can ask for.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 24 * 3600);

const FIRST_PAUSE_SECONDS: f64 = 2.0;
const LONGEST_USUAL_PAUSE_SECONDS: f64 = 7_200.0;

/// The pause after this many counted attempts, with a new random variation at each call.
#[expect(clippy::disallowed_methods, reason = "so that what failed together isn't tried together again")]
pub(crate) fn some_pause(attempts: i32) -> Duration {
    pause(attempts, rand::random())
}

/// The pause with a given variation; `random` must be between 0 and 1.
fn pause(attempts: i32, random: f64) -> Duration {
    let doublings = attempts.clamp(1, 30) - 1;
    let seconds =
        (FIRST_PAUSE_SECONDS * f64::from(2_u32.pow(doublings.unsigned_abs()))).min(LONGEST_USUAL_PAUSE_SECONDS);
    Duration::from_secs_f64(seconds * (0.75 + 0.5 * random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_two_hours() {
        let usual: Vec<f64> = (1..=13).map(|attempts| pause(attempts, 0.5).as_secs_f64()).collect();
        let expected: Vec<f64> = (1..=12).map(|power| f64::from(1 << power)).chain([7_200.0]).collect();
        assert_eq!(usual, expected);
        assert_eq!(pause(i32::MAX, 0.5), Duration::from_secs(7_200));
        assert_eq!(pause(0, 0.5), Duration::from_secs(2));
    }

    #[test]
    fn pauses_differ_by_up_to_a_quarter() {
        assert_eq!(pause(3, 0.0), Duration::from_secs(6));
        assert_eq!(pause(3, 1.0), Duration::from_secs(10));
    }
}
