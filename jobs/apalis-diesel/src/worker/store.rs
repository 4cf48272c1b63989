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

/// The parts that the queues of a process share: the connection that listens for notifications, the heartbeat and the
/// acknowledgements. A process needs only one. It is cheap to clone.
///
/// It opens connections of its own: three, and one for each queue. Therefore handlers that use up a pool can't stop
/// it. If these connections are lost, the queues pause until the database can be reached again.
#[derive(Clone, Debug)]
pub struct JobStore {
    handle: Handle,
}

impl JobStore {
    /// Starts the background tasks. It doesn't wait for the database, and doesn't fail if the database can't be
    /// reached.
    ///
    /// `url` must lead to PostgreSQL itself, and not to a pooler that uses another connection for each transaction,
    /// since neither LISTEN nor session settings work there. The connections don't use TLS; see
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

    /// Like [`start`](Self::start), with connections made by `connect`, for example with TLS. `connect` is called on
    /// different runtimes. Its connections must receive notifications; those made by `AsyncPgConnection::try_from`
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

    /// Makes a backend for a worker of the queue `name`, for
    /// [`WorkerBuilder::backend`](apalis_core::worker::builder::WorkerBuilder).
    ///
    /// At most `concurrency` handlers run at the same time, but at least one, and as many jobs are claimed at once. If
    /// a tower layer limits the handlers further, jobs wait in this process although others could run them.
    pub fn queue(&self, name: impl Into<String>, concurrency: usize) -> JobQueue {
        JobQueue::new(self.handle.clone(), name.into(), concurrency)
    }

    /// Starts a task that enqueues jobs at the times of `schedules`, on another connection, until the store is closed.
    /// Every process can do this; see [`Schedules`] for the guarantees.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn run_schedules(&self, schedules: Schedules) {
        tokio::spawn(cron::run(self.handle.shared().clone(), schedules));
    }

    /// The number of jobs that this process has claimed and not yet acknowledged.
    pub fn running(&self) -> usize {
        self.handle.shared().running.count()
    }

    /// Closes the store, after its workers have ended. It stops the handlers that are still running, gives their jobs
    /// back without counting the attempt, and writes the last acknowledgements. It waits at most
    /// [`StoreOptions::close`] for that. If a handler doesn't stop in time, the lease of its job runs out.
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
