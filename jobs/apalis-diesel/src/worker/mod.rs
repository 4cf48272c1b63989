//! The part of the crate that runs jobs.

mod acks;
mod backend;
mod claimed;
mod cron;
mod failure;
mod heartbeat;
mod link;
mod listener;
mod metrics;
mod outcome;
mod running;
mod service;
mod shared;
mod store;

pub use backend::{JobQueue, QueueConfig};
pub use claimed::ClaimedJob;
pub use cron::{ScheduleError, Schedules};
pub use failure::{JobError, Undecodable};
pub use metrics::describe_metrics;
pub use service::{OutcomeLayer, OutcomeService};
pub use shared::StoreOptions;
pub use store::JobStore;
