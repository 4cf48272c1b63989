//! Rate-limited log lines for events that can happen to many requests at once. Of each kind, one line a second is
//! written, with the number of lines that were left out, so that nobody can flood the log. The metrics count every
//! event.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollcall_domain::Error;

/// The minimum time between two lines of the same kind.
const PAUSE: Duration = Duration::from_secs(1);

/// A kind of log line.
struct Kind(Mutex<LastLine>);

struct LastLine {
    last: Option<Instant>,
    left_out: u64,
}

impl Kind {
    const fn new() -> Self {
        Self(Mutex::new(LastLine { last: None, left_out: 0 }))
    }

    /// Returns the number of lines that were left out since the last one, if it is time for another line. Otherwise
    /// this line is left out too.
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

/// Logs that a request, or this many of its fields, failed because of overload.
pub fn unavailable(error: &Error, fields: usize) {
    static KIND: Kind = Kind::new();
    if let Some(left_out) = KIND.turn() {
        let error: &dyn std::error::Error = error;
        tracing::warn!(error, fields, left_out, "the database is too busy, or can't be reached");
    }
}

/// Logs that a request got the response 503.
pub fn sent_away(duration: Duration) {
    static KIND: Kind = Kind::new();
    match KIND.turn() {
        Some(left_out) => tracing::warn!(status = 503, ?duration, left_out, "sent away"),
        None => tracing::debug!(status = 503, ?duration, "sent away"),
    }
}
