//! Rollcall's worker: the mails, what ends at its time, the cascades of departures, webhooks, and the hourly sweeps.
//!
//! One file per job, named like the feature it serves. A handler reads, acts and writes the outcome; every transaction
//! of it checks that the job is still its own, so that a worker that was only slow can't finish what another has taken
//! over.

mod context;
mod departure;
mod ended;
mod housekeeping;
mod invitation_expiry;
mod join_code_expiry;
pub mod mail;
pub mod mails;
pub mod metrics;
pub mod process;
mod transfer;
mod webhook_client;
mod webhook_delivery;
mod webhook_redelivery;
mod webhook_slots;
pub mod worker;

pub use context::Context;
