//! Lines that many requests cause at once: one of a kind a second, with the number of those that it stands for, so that
//! nobody floods the log. The metrics count each.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollcall_domain::Error;

/// A line of a kind is written no sooner than so long after the one before.
const PAUSE: Duration = Duration::from_secs(1);

/// A kind of line.
struct Kind(Mutex<LastLine>);

struct LastLine {
    last: Option<Instant>,
    left_out: u64,
}

impl Kind {
    const fn new() -> Self {
        Self(Mutex::new(LastLine { last: None, left_out: 0 }))
    }

    /// How many lines were left out since the last one, where it is time for another; otherwise this one is left out
    /// too.
    fn turn(&self) -> Option<u64> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.last.is_some_and(|last| last.elapsed() < PAUSE) {
            written.left_out += 1;
            return None;
        }
        written.last = Some(Instant::now());
        Some(std::mem::take(&mut written.left_out))
    }
}

/// There was too much to do for a request, or for so many fields of it.
pub fn unavailable(error: &Error, fields: usize) {
    static KIND: Kind = Kind::new();
    if let Some(left_out) = KIND.turn() {
        let error: &dyn std::error::Error = error;
        tracing::warn!(error, fields, left_out, "the database is too busy, or can't be reached");
    }
}

/// A request was answered with 503.
pub fn sent_away(duration: Duration) {
    static KIND: Kind = Kind::new();
    match KIND.turn() {
        Some(left_out) => tracing::warn!(status = 503, ?duration, left_out, "sent away"),
        None => tracing::debug!(status = 503, ?duration, "sent away"),
    }
}
