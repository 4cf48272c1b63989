//! Why an attempt failed, and what that asks for.

use std::any::Any;
use std::error::Error;
use std::time::Duration;

use apalis_core::error::{AbortError, BoxDynError, RetryAfterError};
use diesel_async::pooled_connection::deadpool::PoolError;

/// A job's payload isn't of the form that its kind has here.
#[derive(Debug, thiserror::Error)]
#[error("the payload of a job of kind {kind:?} can't be decoded")]
pub struct Undecodable {
    pub(crate) kind: String,
    pub(crate) source: serde_json::Error,
}

/// Why a handler didn't do its job, and what is to become of it.
///
/// Handlers may return any other error, too: it asks for a retry, and apalis-core's `AbortError` and `RetryAfterError`
/// do what they say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// It shall be tried again, unless this was the last attempt: then it is given up.
    #[error("{reason}")]
    Retry {
        /// For whoever looks after the jobs; kept in the row. No secrets.
        reason: String,
        /// How long to wait. Without it 2 seconds after the first attempt, then twice as long each time, up to 2 hours,
        /// and each time up to a quarter more or less.
        after: Option<Duration>,
    },
    /// It can't be done yet, through no fault of its own, such as a limit that others have used up: it shall be run
    /// later. The attempt doesn't count.
    #[error("put off")]
    Postpone {
        /// How long to wait.
        after: Duration,
    },
    /// It shall not be tried again: it is given up at once.
    #[error("{reason}")]
    Discard {
        /// For whoever looks after the jobs; kept in the row. No secrets.
        reason: String,
    },
    /// The claim doesn't hold any more, so whatever becomes of the job is no business of this handler.
    #[error("the claim on the job was lost")]
    Lost,
}

impl JobError {
    /// A retry after the usual pause.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after: None }
    }

    /// A retry after a pause of this length.
    pub fn retry_after(reason: impl Into<String>, after: Duration) -> Self {
        Self::Retry { reason: reason.into(), after: Some(after) }
    }

    /// To be run after a pause of this length; the attempt doesn't count.
    pub fn postpone(after: Duration) -> Self {
        Self::Postpone { after }
    }

    /// No retry.
    pub fn discard(reason: impl Into<String>) -> Self {
        Self::Discard { reason: reason.into() }
    }

    /// What an error that came through apalis and its layers asks for.
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

/// An error with its causes, unless they repeat each other.
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

/// What became of whatever panicked.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> JobError {
    let message = panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    JobError::retry(format!("panicked: {message}"))
}

/// What a handler can ask for.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 24 * 3600);

const FIRST_PAUSE_SECONDS: f64 = 2.0;
const LONGEST_USUAL_PAUSE_SECONDS: f64 = 7_200.0;

/// The pause after so many counted attempts, each time another one.
#[expect(clippy::disallowed_methods, reason = "so that what failed together isn't tried together again")]
pub(crate) fn some_pause(attempts: i32) -> Duration {
    pause(attempts, rand::random())
}

/// `random` is from 0 to 1.
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
