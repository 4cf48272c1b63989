//! What runs jobs.

mod acks;
mod backend;
mod claimed;
mod cron;
mod heartbeat;
mod link;
mod listener;
mod metrics;
mod running;
mod service;
mod store;

pub use backend::{JobQueue, QueueConfig};
pub use claimed::{ClaimedJob, JobError, Undecodable};
pub use cron::{ScheduleError, Schedules};
pub use metrics::describe_metrics;
pub use service::{OutcomeLayer, OutcomeService};
pub use store::{JobStore, StoreOptions};
