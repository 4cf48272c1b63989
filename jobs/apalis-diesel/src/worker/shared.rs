//! What the queues, the background tasks and the handlers of a process share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, mpsc, oneshot, watch};

use super::link::Connector;
use super::outcome::Outcome;
use super::running::{Key, Running};
use crate::new_name;

/// For how long after its timeout a job's lease holds: the outcome must be written meanwhile.
pub(crate) const MARGIN: Duration = Duration::from_secs(5);

/// How a [`JobStore`](crate::JobStore) works. The defaults are meant to be used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// Name of this process in the column `worker`, for whoever looks at the jobs. By default a random one.
    pub worker: String,
    /// For how long a job is this process's without a heartbeat; 20 seconds. Within this time and one heartbeat after
    /// its process has died, a job is free again.
    pub lease: Duration,
    /// How often leases are extended, and those of dead processes looked for; 5 seconds. A fraction of `lease`.
    pub heartbeat: Duration,
    /// How often a queue without work looks for some, in case that a wake-up was lost; 1 second.
    pub look: Duration,
    /// How often [schedules](crate::Schedules) are looked at, apart from the times when one is due, in case that the
    /// clock or their table was changed; 1 minute.
    pub schedule_look: Duration,
    /// How long [`JobStore::close`](crate::JobStore::close) waits for the handlers that it stopped; 5 seconds.
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

/// What the background tasks have; it doesn't keep the store open.
pub(crate) struct Shared {
    pub(crate) connector: Arc<Connector>,
    pub(crate) options: StoreOptions,
    pub(crate) running: Arc<Running>,
    pub(crate) acks: mpsc::UnboundedSender<Ack>,
    /// Changes when there may be something to claim.
    pub(crate) wake: watch::Sender<()>,
    /// Read by what runs, written by what runs alone.
    pub(crate) company: Arc<RwLock<()>>,
    pub(crate) phase: watch::Sender<Phase>,
}

/// Where the store is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Nothing is claimed any more.
    Closing,
    /// The background tasks end.
    Closed,
}

/// Waits for the end of the store.
pub(crate) async fn closed(phase: &mut watch::Receiver<Phase>) {
    // Where the other end is gone, everything has been dropped.
    let _ = phase.wait_for(|phase| *phase == Phase::Closed).await;
}

/// Keeps the store open; with the last of them it closes.
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

/// An outcome on its way to the database.
pub(crate) struct Ack {
    pub(crate) key: Key,
    pub(crate) outcome: Outcome,
    pub(crate) serial: bool,
    pub(crate) unique: bool,
    /// Told when the outcome is in the database, or the claim turned out to be lost.
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

    /// Has an outcome written. The receiver is told when that has happened.
    pub(crate) fn acknowledge(&self, key: Key, outcome: Outcome) -> oneshot::Receiver<()> {
        let (serial, unique) = self.shared.running.end(key, &outcome);
        let (settled, receiver) = oneshot::channel();
        // After the store has closed, the lease must run out.
        let _ = self.shared.acks.send(Ack { key, outcome, serial, unique, settled });
        receiver
    }
}
