//! PostgreSQL: the pool, transactions, migrations and the clock.

pub(crate) mod checks;
mod connection;
pub mod deployment;
mod endpoint;
pub mod idempotency;
mod lent;
pub mod listener;
pub mod migrations;
mod readiness;
pub mod rehearsal;
pub(crate) mod schema;
pub(crate) mod stored_text;
mod tls;
mod under_way;
mod wire;

pub use connection::Connection;
use connection::{Part, Shares};
pub use endpoint::Endpoint;
pub use lent::{expect_none_held, subtask};

use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apalis_diesel::{Job, Wake};
use chrono::{DateTime, Utc};
use diesel_async::pooled_connection::deadpool::{Hook, HookError, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager};
use tokio::sync::Semaphore;

use crate::base::error::{Code, Error, Result};
use crate::base::secret::Keyring;
use crate::base::{clock, limits};
use crate::database::deployment::Deployment;
use readiness::Readiness;

/// The number of connections of one process.
pub const POOL_SIZE: usize = 16;
/// A connection that has been idle for longer is tested before use. For a busy one the round trip isn't worth it.
const UNTRIED: Duration = Duration::from_secs(1);
/// How many times a transaction is run before a deadlock or a serialization failure becomes CONFLICT.
const TRIES: u32 = 5;

diesel::define_sql_function! {
    /// The one clock by which everything is decided.
    fn rollcall_now() -> diesel::sql_types::Timestamptz;
}

/// The purpose of a process's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Answering requests. No statement may run for longer than [`limits::STATEMENT_TIMEOUT`].
    Requests,
    /// Jobs and staff work, whose statements may take as long as they need.
    Work,
}

/// The work of a transaction: an async closure that can be called again and whose future can move between threads.
pub trait Work<T, R>: AsyncFn(T) -> R + Fn(T) -> <Self as Work<T, R>>::Running {
    /// The closure's future.
    type Running: Future<Output = R>;
}

impl<F, T, Running, R> Work<T, R> for F
where
    F: AsyncFn(T) -> R + Fn(T) -> Running,
    Running: Future<Output = R>,
{
    type Running = Running;
}

/// How a process's connections are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// The connections that are in use.
    pub in_use: usize,
    /// The open connections that nobody uses.
    pub idle: usize,
    /// The maximum number of connections.
    pub limit: usize,
    /// The number of those who wait for one.
    pub waiting: usize,
}

/// The database, together with what every change needs: the keyring for digests, and the wake-up of workers and of
/// subscriptions.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
    endpoint: Endpoint,
    /// The settings that each transaction makes for itself, if connections are shared with others.
    transaction_settings: Option<Arc<str>>,
    /// The parts of the pool from which this use of it may take connections. If there are none, it may take all.
    shares: Shares,
    keyring: Keyring,
    deployment: Arc<Deployment>,
    wake: Wake,
    announce: Wake,
    readiness: Readiness,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database(…)")
    }
}

impl Database {
    /// Creates a pool of connections to the endpoint, which are made when they are needed.
    pub fn new(
        endpoint: Endpoint,
        keyring: Keyring,
        deployment: Arc<Deployment>,
        purpose: Purpose,
    ) -> anyhow::Result<Self> {
        // The timeouts keep anybody from waiting forever, or making others wait. Statements here are short: in a large
        // database, compiling one with JIT takes a second, which is longer than it runs. Planning takes longer than
        // running, too, so the statements of requests are planned once per connection, whatever their values; see
        // `Query::load_planned_for_values`.
        let (statement_timeout, plans) = match purpose {
            Purpose::Requests => (limits::STATEMENT_TIMEOUT.as_millis(), "force_generic_plan"),
            Purpose::Work => (0, "auto"),
        };
        let settings = |set: &str| {
            format!(
                "{set} lock_timeout = '10s'; {set} idle_in_transaction_session_timeout = '60s'; {set} jit = off; \
                 {set} statement_timeout = {statement_timeout}; {set} plan_cache_mode = {plans}"
            )
        };
        // If each transaction may run on another connection, a session can't have settings of its own.
        let (session_settings, transaction_settings) = match endpoint.is_pooler() {
            false => (Some(settings("SET")), None),
            true => (None, Some(settings("SET LOCAL").into())),
        };
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        let connect_to = endpoint.clone();
        config.custom_setup = Box::new(move |_| {
            let (endpoint, settings) = (connect_to.clone(), session_settings.clone());
            Box::pin(async move {
                let mut connection = endpoint.connect().await?;
                if let Some(settings) = settings {
                    connection
                        .batch_execute(&settings)
                        .await
                        .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                }
                // Reads the clock for the ids that are generated. A database that isn't migrated has no clock, and gets
                // no ids.
                let _ = now(&connection).await;
                Ok(connection)
            })
        });
        // The endpoint knows the address, so diesel's URL is empty.
        let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config(String::new(), config);
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            .wait_timeout(Some(limits::CONNECTION_WAIT))
            .create_timeout(Some(limits::CONNECTION_WAIT))
            .recycle_timeout(Some(limits::CONNECTION_WAIT))
            .runtime(deadpool::Runtime::Tokio1)
            .pre_recycle(Hook::async_fn(|connection: &mut AsyncPgConnection, metrics| {
                Box::pin(async move {
                    if metrics.last_used() > UNTRIED {
                        diesel::sql_query("SELECT 1")
                            .execute(connection)
                            .await
                            .map_err(|error| HookError::message(error.to_string()))?;
                    }
                    Ok(())
                })
            }))
            .build()?;
        let wake = Wake::start(pool.clone());
        let announce = Wake::start_on(listener::CHANNEL, pool.clone());
        let readiness = Readiness::of(endpoint.clone());
        Ok(Self {
            pool,
            endpoint,
            transaction_settings,
            shares: Shares::default(),
            keyring,
            deployment,
            wake,
            announce,
            readiness,
        })
    }

    /// The same database for another purpose, with connections of its own.
    pub(crate) fn another(&self, purpose: Purpose) -> anyhow::Result<Self> {
        Self::new(self.endpoint.clone(), self.keyring.clone(), self.deployment.clone(), purpose)
    }

    /// The same database for one of several uses, which takes at most this number of the process's connections at a
    /// time. If it waits, for example for a lock, the other uses continue.
    #[must_use]
    pub fn share(&self, connections: usize) -> Self {
        let part = Part { connections: Arc::new(Semaphore::new(connections)), patience: None };
        Self { shares: self.shares.and(part), ..self.clone() }
    }

    /// The same database for one of several clients that share a number of the process's connections. If all of these
    /// are in use, it waits for as long as for a connection of the process.
    #[must_use]
    pub fn within(&self, connections: Arc<Semaphore>) -> Self {
        let part = Part { connections, patience: Some(limits::CONNECTION_WAIT) };
        Self { shares: self.shares.and(part), ..self.clone() }
    }

    /// The same database, without the shares of a client or an account.
    pub(crate) fn for_everybody(&self) -> Self {
        Self { shares: Shares::default(), ..self.clone() }
    }

    /// Takes a connection for reading. The caller must not hold another one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if none becomes free in time.
    #[track_caller]
    pub fn connection(&self) -> impl Future<Output = Result<Connection>> {
        self.connection_for(Location::caller())
    }

    async fn connection_for(&self, place: &'static Location<'static>) -> Result<Connection> {
        lent::report(place);
        Connection::take(&self.pool, &self.endpoint, &self.shares, place).await
    }

    /// The endpoint of the database.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The deployment's keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The deployment's settings.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// How the process's connections are used at this moment.
    pub fn pool_use(&self) -> PoolUse {
        let status = self.pool.status();
        PoolUse {
            in_use: status.size.saturating_sub(status.available),
            idle: status.available,
            limit: status.max_size,
            waiting: status.waiting + self.shares.waiting(),
        }
    }

    /// Whether the database answers, asked on a connection that requests can't take.
    pub async fn is_ready(&self) -> bool {
        self.readiness.check().await
    }

    /// Runs `work` in a transaction. After the commit, it wakes the workers if jobs were enqueued, and the subscriptions
    /// of all processes if audit events were recorded.
    ///
    /// After a deadlock or a serialization failure, the transaction runs again, a few times; then the error is
    /// CONFLICT.
    #[track_caller]
    pub fn transaction<F, T>(&self, work: F) -> impl Future<Output = Result<T>>
    where
        for<'t> F: AsyncFn(&'t mut Transaction) -> Result<T>
            + Work<&'t mut Transaction, Result<T>, Running: Send>
            + Send
            + Sync,
        T: Send,
    {
        let place = Location::caller();
        async move {
            for _ in 0..TRIES {
                match self.try_transaction(&work, place).await {
                    Err(error) if error.is_transient() => tracing::debug!(%error, "transaction is run again"),
                    Err(error) if error.is_lock_timeout() => break,
                    outcome => return outcome,
                }
            }
            Err(contended())
        }
    }

    async fn try_transaction<F, T>(&self, work: &F, place: &'static Location<'static>) -> Result<T>
    where
        for<'t> F: AsyncFn(&'t mut Transaction) -> Result<T>
            + Work<&'t mut Transaction, Result<T>, Running: Send>
            + Send
            + Sync,
        T: Send,
    {
        let mut transaction = self.begin(place).await?;
        let outcome = match self.prepare(&mut transaction).await {
            Ok(()) => work(&mut transaction).await,
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(value) => {
                AnsiTransactionManager::commit_transaction(&mut *transaction).await?;
                idempotency::note_commit();
                if AtomicBool::load(&transaction.enqueued, Ordering::Relaxed) {
                    self.wake.wake();
                }
                if AtomicBool::load(&transaction.recorded, Ordering::Relaxed) {
                    self.announce.wake();
                }
                Ok(value)
            }
            Err(error) => {
                AnsiTransactionManager::rollback_transaction(&mut *transaction).await?;
                Err(error)
            }
        };
        transaction.connection.set_in_transaction(false);
        outcome
    }

    /// Makes a transaction's settings, and enters the mutation that it carries out if that has an idempotency key.
    async fn prepare(&self, transaction: &mut Transaction) -> Result<()> {
        self.set_up(transaction).await?;
        idempotency::enter(transaction).await
    }

    async fn begin(&self, place: &'static Location<'static>) -> Result<Transaction> {
        let mut transaction = Transaction {
            connection: self.connection_for(place).await?,
            keyring: self.keyring.clone(),
            deployment: self.deployment.clone(),
            enqueued: AtomicBool::new(false),
            recorded: AtomicBool::new(false),
        };
        // Until the transaction has ended, abandoning the request closes the connection. In the pool it would keep its
        // locks.
        transaction.connection.set_in_transaction(true);
        AnsiTransactionManager::begin_transaction(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Makes the settings that each transaction makes for itself.
    async fn set_up(&self, transaction: &mut Transaction) -> Result<()> {
        match &self.transaction_settings {
            Some(settings) => Ok(transaction.batch_execute(settings).await?),
            None => Ok(()),
        }
    }
}

/// The refusal for a change that others who change the same kept waiting for too long.
fn contended() -> Error {
    Error::refused(Code::Conflict, "", "someone else is changing the same; try again")
}

/// An open transaction. Functions that write take it as an argument, so that none of them can run outside of one.
///
/// Statements that don't need each other's results can be sent together, with `join!` on shared references: PostgreSQL
/// executes them in the order in which they are listed, and there is only one round trip. Wait for all of them before
/// looking at their errors (never use `try_join!`): if a statement's answer is abandoned, the connection is lost.
pub struct Transaction {
    connection: Connection,
    keyring: Keyring,
    deployment: Arc<Deployment>,
    enqueued: AtomicBool,
    recorded: AtomicBool,
}

impl Transaction {
    /// Enqueues a job, which exists exactly if this transaction commits (R76).
    pub async fn enqueue<J: Job>(&self, job: &J) -> Result<()> {
        apalis_diesel::enqueue(&self.connection, job).await?;
        self.enqueued.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Enqueues a job. If one with the same unique key is waiting, for example for a retry, that one starts now.
    pub async fn enqueue_or_expedite<J: Job>(&self, job: &J) -> Result<()> {
        if apalis_diesel::enqueue(&self.connection, job).await?.is_none() {
            apalis_diesel::expedite(&self.connection, job).await?;
        }
        self.enqueued.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Enqueues several jobs of one kind with one statement.
    pub async fn enqueue_all<J: Job>(&self, jobs: &[J]) -> Result<()> {
        if !jobs.is_empty() {
            apalis_diesel::enqueue_all(&self.connection, jobs).await?;
            self.enqueued.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Enqueues a job that doesn't start before `run_at`.
    pub async fn enqueue_at<J: Job>(&self, job: &J, run_at: DateTime<Utc>) -> Result<()> {
        apalis_diesel::enqueue_at(&self.connection, job, run_at).await?;
        self.enqueued.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Enqueues several jobs of one kind that don't start before `run_at`, with one statement.
    pub async fn enqueue_all_at<J: Job>(&self, jobs: &[J], run_at: DateTime<Utc>) -> Result<()> {
        if !jobs.is_empty() {
            apalis_diesel::enqueue_all_at(&self.connection, jobs, run_at).await?;
            self.enqueued.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Notes that audit events were recorded, which subscriptions are told after the commit.
    pub(crate) fn note_recorded(&self) {
        self.recorded.store(true, Ordering::Relaxed);
    }

    /// The deployment's keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The deployment's settings.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }
}

impl Deref for Transaction {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}

/// Reads the database's time, by which everything is decided.
pub async fn now(connection: &AsyncPgConnection) -> Result<DateTime<Utc>> {
    let now = diesel::select(rollcall_now()).get_result(&mut &*connection).await?;
    clock::was_read(now);
    Ok(now)
}
