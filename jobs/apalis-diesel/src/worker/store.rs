use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use diesel::ConnectionResult;
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use tokio::sync::{RwLock, mpsc, oneshot, watch};

use super::acks::{self, Ack, Outcome};
use super::backend::JobQueue;
use super::cron::{self, Schedules};
use super::link::Connector;
use super::running::{Cancel, Key, Running};
use super::{heartbeat, listener};
use crate::new_name;

/// For how long after its timeout a job's lease holds: the outcome must be written meanwhile.
pub(crate) const MARGIN: Duration = Duration::from_secs(5);

/// How a [`JobStore`] works. The defaults are meant to be used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// Name of this process in the column `worker`, for whoever looks at the jobs. By default a random one.
    pub worker: String,
    /// For how long a job is this process's without a heartbeat; 20 seconds. Within this time and one heartbeat after its
    /// process has died, a job is free again.
    pub lease: Duration,
    /// How often leases are extended, and those of dead processes looked for; 5 seconds. A fraction of `lease`.
    pub heartbeat: Duration,
    /// How often a queue without work looks for some, in case that a wake-up was lost; 1 second.
    pub look: Duration,
    /// How often [schedules](crate::Schedules) are looked at, apart from the times when one is due, in case that the clock or
    /// their table was changed; 1 minute.
    pub schedule_look: Duration,
    /// How long [`JobStore::close`] waits for the handlers that it stopped; 5 seconds.
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

/// What the queues of a process share: the connection that listens for wake-ups, the heartbeat, the acknowledgements. A
/// process needs one. Cloning it is cheap.
///
/// It opens connections of its own, three and one more per queue, so that handlers that have taken all of a pool can't stop
/// it. Where they are lost, the queues pause, and resume as soon as the database can be reached again.
#[derive(Clone)]
pub struct JobStore {
    shared: Arc<Shared>,
    _closing: Arc<CloseWhenDropped>,
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

struct CloseWhenDropped(Arc<Shared>);

impl Drop for CloseWhenDropped {
    fn drop(&mut self) {
        self.0.phase.send_replace(Phase::Closed);
    }
}

impl fmt::Debug for JobStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JobStore").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl JobStore {
    /// Starts the background tasks. Doesn't wait for the database, nor fail without it.
    ///
    /// `url` must lead to PostgreSQL itself and not to a pooler that gives each transaction another connection: neither
    /// LISTEN nor settings of the session work there. The connections use no TLS; see
    /// [`start_with`](Self::start_with).
    ///
    /// # Errors
    ///
    /// If the heartbeat's thread can't be started.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(url: impl Into<String>, options: StoreOptions) -> io::Result<Self> {
        Self::open(Connector::new(url.into()), options)
    }

    /// Like [`start`](Self::start), with connections that `connect` makes, for example with TLS. It is called on different
    /// runtimes. Its connections must hear notifications: `AsyncPgConnection::try_from` makes some that don't.
    ///
    /// # Errors
    ///
    /// See [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// See [`start`](Self::start).
    pub fn start_with<F>(options: StoreOptions, connect: F) -> io::Result<Self>
    where
        F: Fn() -> BoxFuture<'static, ConnectionResult<AsyncPgConnection>> + Send + Sync + 'static,
    {
        Self::open(Connector::with(Box::new(connect)), options)
    }

    fn open(connector: Connector, options: StoreOptions) -> io::Result<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            connector: Arc::new(connector),
            options,
            running: Arc::default(),
            acks: sender,
            wake: watch::Sender::new(()),
            company: Arc::default(),
            phase: watch::Sender::new(Phase::Open),
        });
        heartbeat::start(shared.clone())?;
        tokio::spawn(listener::listen(shared.clone()));
        tokio::spawn(acks::acknowledge(shared.clone(), receiver));
        Ok(Self { _closing: Arc::new(CloseWhenDropped(shared.clone())), shared })
    }

    /// A backend for a worker of the queue `name`, for [`WorkerBuilder::backend`](apalis_core::worker::builder::WorkerBuilder).
    ///
    /// At most `concurrency` handlers run at a time, at least one; that many jobs are claimed at once. A tower layer that
    /// limits them further makes jobs wait in this process that others could run.
    pub fn queue(&self, name: impl Into<String>, concurrency: usize) -> JobQueue {
        JobQueue::new(self.clone(), name.into(), concurrency)
    }

    /// Starts a task that enqueues jobs at the times of `schedules`, on one more connection, until the store is closed. Every
    /// process may do so: see [`Schedules`] for what it promises.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn run_schedules(&self, schedules: Schedules) {
        tokio::spawn(cron::run(self.shared.clone(), schedules));
    }

    /// How many jobs this process has claimed and not yet acknowledged.
    pub fn running(&self) -> usize {
        self.shared.running.count()
    }

    /// Ends the store, after its workers have ended: stops the handlers that still run, gives their jobs back without
    /// counting the attempt, and writes the last acknowledgements. Waits no longer than [`StoreOptions::close`] for that: the
    /// lease of a job whose handler didn't stop runs out.
    pub async fn close(&self) {
        self.shared.phase.send_replace(Phase::Closing);
        self.shared.running.cancel_all(Cancel::Closing);
        if tokio::time::timeout(self.shared.options.close, self.shared.running.idle()).await.is_err() {
            let jobs = self.running();
            tracing::warn!(
                jobs,
                "some handlers didn't stop, or the database can't be reached; their leases will run out"
            );
        }
        self.shared.phase.send_replace(Phase::Closed);
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
