//! What becomes of a job whose attempt has ended.

use std::time::Duration;

/// What becomes of a job whose attempt has ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Done,
    Retry {
        reason: String,
        after: Duration,
    },
    GivenUp {
        reason: String,
    },
    /// The attempt found that the job must wait, and doesn't count.
    Postponed {
        after: Duration,
    },
    /// The attempt didn't take place, or was stopped for no fault of the job's.
    GivenBack,
}
