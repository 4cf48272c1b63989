//! The time in ids. It is the database's time, as this process last read it, plus the time that has passed since.
//!
//! All decisions, and all dates that people see, use `rollcall_now()` itself. Ids, however, are created before the
//! statement that writes them. Lists are in the order of ids, so they are in the order of creation whichever process
//! created the objects.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::base::error::{Code, Refusal};

/// What the database's clock showed, and when it was read.
struct ClockReading {
    clock: Duration,
    at: Instant,
}

struct IdClock {
    reading: Option<ClockReading>,
    /// Makes each id greater than those before it, even if a reading sets the clock back a little.
    context: ContextV7,
}

fn id_clock() -> MutexGuard<'static, IdClock> {
    static CLOCK: Mutex<IdClock> = Mutex::new(IdClock { reading: None, context: ContextV7::new() });
    CLOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks an expiry that somebody has set: it must be in the future, and in a year that a `DateTime` can express.
pub(crate) fn require_future(field: &str, end: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), Refusal> {
    if end.is_some_and(|end| end <= now || end.year() > 9999) {
        return Err(Refusal::new(Code::Invalid, field, "must lie in the future, before the year 10000 in UTC"));
    }
    Ok(())
}

/// Records that the database's clock shows `now`.
pub(crate) fn was_read(now: DateTime<Utc>) {
    id_clock().reading = Some(ClockReading { clock: since_epoch(now), at: Instant::now() });
}

/// A UUIDv7 with the current time, which is greater than those before it.
pub(crate) fn new_uuid() -> Uuid {
    let clock = id_clock();
    let now = match &clock.reading {
        Some(reading) => reading.clock + reading.at.elapsed(),
        None => own_clock(),
    };
    Uuid::new_v7(Timestamp::from_unix(&clock.context, now.as_secs(), now.subsec_nanos()))
}

/// A UUIDv7 with the given time.
pub(crate) fn uuid_of(time: DateTime<Utc>) -> Uuid {
    let time = since_epoch(time);
    Uuid::new_v7(Timestamp::from_unix(ContextV7::new(), time.as_secs(), time.subsec_nanos()))
}

fn since_epoch(time: DateTime<Utc>) -> Duration {
    (time - DateTime::UNIX_EPOCH).to_std().unwrap_or_default()
}

/// The host's clock, used only before the first reading. Each connection begins with a reading, so no id that is
/// stored gets its time from here.
#[expect(clippy::disallowed_methods, reason = "without a database there is no other clock")]
fn own_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time_of(id: Uuid) -> u64 {
        id.get_timestamp().unwrap().to_unix().0
    }

    #[test]
    fn ids_hold_the_databases_time_and_each_is_later_than_the_one_before() {
        let tomorrow = DateTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        was_read(tomorrow);
        let ids: Vec<Uuid> = (0..1_000).map(|_| new_uuid()).collect();
        assert!(ids.iter().all(|id| (4_000_000_000..4_000_000_060).contains(&time_of(*id))));
        // The clock is set back a little.
        was_read(tomorrow - Duration::from_millis(10));
        let later = new_uuid();
        assert!(ids.is_sorted() && ids.last() < Some(&later));
        let notices = [uuid_of(tomorrow), uuid_of(tomorrow)];
        assert!(notices.iter().all(|id| time_of(*id) == 4_000_000_000));
        assert_ne!(notices[0], notices[1]);
    }
}
