//! Rollcall's worker. It sends emails, marks what has expired, runs the cascades of departures, delivers webhooks, and
//! does the hourly sweeps.
//!
//! There is one file per job, named like the feature that it serves. A handler reads, acts and records the outcome.
//! Each of its transactions checks that the job still belongs to this run, so that a slow worker can't finish a job
//! that another worker has taken over.

mod bounded_stream;
mod context;
mod departure;
mod ended;
mod housekeeping;
mod invitation_expiry;
mod join_code_expiry;
pub mod mail;
pub mod mails;
pub mod metrics;
mod platform_webhooks;
pub mod process;
mod transfer;
mod webhook_client;
mod webhook_delivery;
mod webhook_redelivery;
mod webhook_slots;
pub mod worker;

pub use context::Context;
