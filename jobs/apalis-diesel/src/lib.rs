#![cfg_attr(feature = "worker", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "worker"),
    doc = "Jobs on PostgreSQL, enqueued in your own transaction; the part without a worker."
)]

pub mod admin;
pub mod correlation;
mod job;
mod statement;
mod wake;
#[cfg(feature = "worker")]
mod worker;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};

pub use job::{Job, enqueue, enqueue_all, enqueue_all_at, enqueue_at, expedite};
pub use wake::Wake;
#[cfg(feature = "worker")]
pub use worker::*;

/// A unique name for a job, a process or a chain of work. The time in a job's id decides nothing and only sorts an
/// operator's list; when a job was enqueued is in `jobs.created_at`, by `job_clock()`.
#[expect(clippy::disallowed_methods, reason = "nothing is decided by a name's time")]
fn new_name() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

/// The migrations, which create the tables `jobs` and `job_schedules`, their indexes, and the function `job_clock()`.
/// They must be run before anything else in this crate is used.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");
