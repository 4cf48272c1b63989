//! State that the queues, the background tasks and the handlers of a process share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, mpsc, oneshot, watch};

use super::link::Connector;
use super::outcome::Outcome;
use super::running::{Key, Running};
use crate::new_name;

/// How long a job's lease lasts after its timeout. The outcome must be written in that time.
pub(crate) const MARGIN: Duration = Duration::from_secs(5);

/// The options of a [`JobStore`](crate::JobStore). Most users need only the defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// The name of this process in the column `worker`, for operators. By default, it is random.
    pub worker: String,
    /// How long this process holds a job without a heartbeat; 20 seconds by default. If the process dies, its jobs are
    /// free again after this time plus at most one heartbeat.
    pub lease: Duration,
    /// How often leases are extended, and those of dead processes are freed; every 5 seconds by default. It must be a
    /// fraction of `lease`.
    pub heartbeat: Duration,
    /// How often a queue without work looks for jobs, in case a wake-up was lost; every second by default.
    pub look: Duration,
    /// How often [schedules](crate::Schedules) are checked apart from the times when one is due, in case the clock or
    /// their table was changed; every minute by default.
    pub schedule_look: Duration,
    /// How long [`JobStore::close`](crate::JobStore::close) waits for the handlers that it stops; 5 seconds by
    /// default.
    pub close: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            worker: new_name().to_string(),
            lease: Duration::from_secs(20),
            heartbeat: Duration::from_secs(5),
            look: Duration::from_secs(1),
            schedule_look: Duration::from_secs(60),
            close: Duration::from_secs(5),
        }
    }
}

/// The state of the background tasks. It doesn't keep the store open.
pub(crate) struct Shared {
    pub(crate) connector: Arc<Connector>,
    pub(crate) options: StoreOptions,
    pub(crate) running: Arc<Running>,
    pub(crate) acks: mpsc::UnboundedSender<Ack>,
    /// Changes when there may be something to claim.
    pub(crate) wake: watch::Sender<()>,
    /// Jobs that run beside others hold it for reading, and jobs that run alone hold it for writing.
    pub(crate) company: Arc<RwLock<()>>,
    pub(crate) phase: watch::Sender<Phase>,
}

/// The phases of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Nothing more is claimed.
    Closing,
    /// The background tasks end.
    Closed,
}

/// Waits until the store is closed.
pub(crate) async fn closed(phase: &mut watch::Receiver<Phase>) {
    // If the sender is gone, everything has been dropped.
    let _ = phase.wait_for(|phase| *phase == Phase::Closed).await;
}

/// A handle that keeps the store open. When the last one is dropped, the store closes.
#[derive(Clone)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    _closing: Arc<CloseWhenDropped>,
}

struct CloseWhenDropped(Arc<Shared>);

impl Drop for CloseWhenDropped {
    fn drop(&mut self) {
        self.0.phase.send_replace(Phase::Closed);
    }
}

/// An outcome that is yet to be written to the database.
pub(crate) struct Ack {
    pub(crate) key: Key,
    pub(crate) outcome: Outcome,
    pub(crate) serial: bool,
    pub(crate) unique: bool,
    /// Notified when the outcome is in the database, or the claim turned out to be lost.
    pub(crate) settled: oneshot::Sender<()>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handle").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { _closing: Arc::new(CloseWhenDropped(shared.clone())), shared }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Requests that an outcome is written. The receiver is notified when it is.
    pub(crate) fn acknowledge(&self, key: Key, outcome: Outcome) -> oneshot::Receiver<()> {
        let (serial, unique) = self.shared.running.end(key, &outcome);
        let (settled, receiver) = oneshot::channel();
        // If the store has closed, the lease must run out.
        let _ = self.shared.acks.send(Ack { key, outcome, serial, unique, settled });
        receiver
    }
}
