//! The outcomes of attempts.

use std::time::Duration;

/// The outcome of an attempt, which decides what happens to the job.
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
    /// The attempt found that the job must wait. It doesn't count.
    Postponed {
        after: Duration,
    },
    /// The attempt didn't take place, or was stopped for a reason outside of the job.
    GivenBack,
}
