//! The queue against a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the tests compare the host's clock with the database's")]

mod admin;
mod correlation;
mod cron;
mod enqueue;
mod faults;
mod lease;
mod metrics;
mod run;
mod serial;
mod shutdown;
mod support;
