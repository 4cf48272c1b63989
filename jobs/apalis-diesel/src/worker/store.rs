use std::io;
use std::sync::Arc;

use diesel::ConnectionResult;
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use super::backend::JobQueue;
use super::cron::{self, Schedules};
use super::link::Connector;
use super::running::Cancel;
use super::shared::{Handle, Phase, Shared, StoreOptions};
use super::{acks, heartbeat, listener};

/// What the queues of a process share: the connection that listens for wake-ups, the heartbeat, the acknowledgements. A
/// process needs one. Cloning it is cheap.
///
/// It opens connections of its own, three and one more per queue, so that handlers that have taken all of a pool can't
/// stop it. Where they are lost, the queues pause, and resume as soon as the database can be reached again.
#[derive(Clone, Debug)]
pub struct JobStore {
    handle: Handle,
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

    /// Like [`start`](Self::start), with connections that `connect` makes, for example with TLS. It is called on
    /// different runtimes. Its connections must hear notifications: `AsyncPgConnection::try_from` makes some that
    /// don't.
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
        Ok(Self { handle: Handle::new(shared) })
    }

    /// A backend for a worker of the queue `name`, for
    /// [`WorkerBuilder::backend`](apalis_core::worker::builder::WorkerBuilder).
    ///
    /// At most `concurrency` handlers run at a time, at least one; that many jobs are claimed at once. A tower layer
    /// that limits them further makes jobs wait in this process that others could run.
    pub fn queue(&self, name: impl Into<String>, concurrency: usize) -> JobQueue {
        JobQueue::new(self.handle.clone(), name.into(), concurrency)
    }

    /// Starts a task that enqueues jobs at the times of `schedules`, on one more connection, until the store is closed.
    /// Every process may do so: see [`Schedules`] for what it promises.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn run_schedules(&self, schedules: Schedules) {
        tokio::spawn(cron::run(self.handle.shared().clone(), schedules));
    }

    /// How many jobs this process has claimed and not yet acknowledged.
    pub fn running(&self) -> usize {
        self.handle.shared().running.count()
    }

    /// Ends the store, after its workers have ended: stops the handlers that still run, gives their jobs back without
    /// counting the attempt, and writes the last acknowledgements. Waits no longer than [`StoreOptions::close`] for
    /// that: the lease of a job whose handler didn't stop runs out.
    pub async fn close(&self) {
        self.handle.shared().phase.send_replace(Phase::Closing);
        self.handle.shared().running.cancel_all(Cancel::Closing);
        if tokio::time::timeout(self.handle.shared().options.close, self.handle.shared().running.idle()).await.is_err()
        {
            let jobs = self.running();
            tracing::warn!(
                jobs,
                "some handlers didn't stop, or the database can't be reached; their leases will run out"
            );
        }
        self.handle.shared().phase.send_replace(Phase::Closed);
    }
}
