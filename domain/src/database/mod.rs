//! PostgreSQL: the pool, transactions, migrations and the clock.

pub(crate) mod checks;
mod connection;
pub mod deployment;
mod endpoint;
mod lent;
pub mod migrations;
mod readiness;
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

/// Connections of one process.
pub const POOL_SIZE: usize = 16;
/// An idle connection is tried before use; a busy one isn't worth the round trip.
const UNTRIED: Duration = Duration::from_secs(1);
/// How often a transaction is run before a deadlock or serialization failure becomes CONFLICT.
const TRIES: u32 = 5;

diesel::define_sql_function! {
    /// The one clock of decisions.
    fn rollcall_now() -> diesel::sql_types::Timestamptz;
}

/// What a process's connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Answering requests: no statement runs for longer than [`limits::STATEMENT_TIMEOUT`].
    Requests,
    /// Jobs and staff work, whose statements may take as long as they need.
    Work,
}

/// What a transaction runs: an async closure that can be called again and whose future may move between threads.
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

/// How the connections of a process are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Connections that are lent out.
    pub in_use: usize,
    /// Open connections that nobody uses.
    pub idle: usize,
    /// How many there may be.
    pub limit: usize,
    /// Who waits for one.
    pub waiting: usize,
}

/// The database, with what every change of it needs: the keyring for digests and the wake-up of workers.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
    endpoint: Endpoint,
    /// What each transaction sets for itself, where connections are shared with others.
    transaction_settings: Option<Arc<str>>,
    /// What this use of it may take of the pool; all where there is none.
    shares: Shares,
    keyring: Keyring,
    deployment: Deployment,
    wake: Wake,
    readiness: Readiness,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database(…)")
    }
}

impl Database {
    /// A pool of connections to the endpoint, made when they are needed.
    pub fn new(endpoint: Endpoint, keyring: Keyring, deployment: Deployment, purpose: Purpose) -> anyhow::Result<Self> {
        // Nobody waits for ever, nor makes others wait. Statements here are short: what compiling them takes, in a
        // large database a second each, is longer than they do. So is planning them: those of requests are planned once
        // per connection, whatever their values; see `Query::load_planned_for_values`.
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
        // Where each transaction may be on another connection, a session has no settings of its own.
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
                // For the ids that are made with it. A database that isn't migrated has no clock, and gets no ids.
                let _ = now(&connection).await;
                Ok(connection)
            })
        });
        // The endpoint knows where; diesel's URL says nothing.
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
        let readiness = Readiness::of(endpoint.clone());
        Ok(Self {
            pool,
            endpoint,
            transaction_settings,
            shares: Shares::default(),
            keyring,
            deployment,
            wake,
            readiness,
        })
    }

    /// The same database for something else, with connections of its own.
    pub(crate) fn another(&self, purpose: Purpose) -> anyhow::Result<Self> {
        Self::new(self.endpoint.clone(), self.keyring.clone(), self.deployment, purpose)
    }

    /// The same database for one of several uses, which takes at most so many of the process's connections at a time:
    /// where it waits, for a lock say, the others go on.
    #[must_use]
    pub fn share(&self, connections: usize) -> Self {
        let part = Part { connections: Arc::new(Semaphore::new(connections)), patience: None };
        Self { shares: self.shares.and(part), ..self.clone() }
    }

    /// The same database for one of those who have so many of the process's connections in common. Where all of these
    /// are in use, it waits for as long as for one of the process's.
    #[must_use]
    pub fn within(&self, connections: Arc<Semaphore>) -> Self {
        let part = Part { connections, patience: Some(limits::CONNECTION_WAIT) };
        Self { shares: self.shares.and(part), ..self.clone() }
    }

    /// A connection for reading. Nobody may hold another meanwhile.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where none is free in time.
    #[track_caller]
    pub fn connection(&self) -> impl Future<Output = Result<Connection>> {
        self.connection_for(Location::caller())
    }

    async fn connection_for(&self, place: &'static Location<'static>) -> Result<Connection> {
        lent::report(place);
        Connection::take(&self.pool, &self.endpoint, &self.shares, place).await
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The deployment's keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What the deployment decides about organizations.
    pub fn deployment(&self) -> Deployment {
        self.deployment
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

    /// Whether the database answers, asked on a connection that no request can take.
    pub async fn is_ready(&self) -> bool {
        self.readiness.check().await
    }

    /// Runs `work` in a transaction and, where it enqueued jobs, wakes the workers after the commit.
    ///
    /// A deadlock or serialization failure runs it again, a few times; then it is CONFLICT.
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
            Err(Error::refused(Code::Conflict, "", "someone else is changing the same; try again"))
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
        let mut transaction = Transaction {
            connection: self.connection_for(place).await?,
            keyring: self.keyring.clone(),
            deployment: self.deployment,
            enqueued: AtomicBool::new(false),
        };
        // Until it has ended, giving the request up closes the connection: back in the pool it would keep its locks.
        transaction.connection.set_in_transaction(true);
        AnsiTransactionManager::begin_transaction(&mut *transaction).await?;
        let begun = match &self.transaction_settings {
            Some(settings) => transaction.batch_execute(settings).await.map_err(Error::from),
            None => Ok(()),
        };
        let outcome = match begun {
            Ok(()) => work(&mut transaction).await,
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(value) => {
                AnsiTransactionManager::commit_transaction(&mut *transaction).await?;
                if AtomicBool::load(&transaction.enqueued, Ordering::Relaxed) {
                    self.wake.wake();
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
}

/// An open transaction. Writers take it, so that none of them can run outside of one.
///
/// Statements that don't need each other's answers can be sent together, by `join!` on shared references: PostgreSQL
/// carries them out in the order in which they stand there, and there is one round trip. Wait for all of them before
/// looking at their errors (never `try_join!`): a statement whose answer nobody waits for costs the connection.
pub struct Transaction {
    connection: Connection,
    keyring: Keyring,
    deployment: Deployment,
    enqueued: AtomicBool,
}

impl Transaction {
    /// Enqueues a job that exists exactly where this transaction commits (R76).
    pub async fn enqueue<J: Job>(&self, job: &J) -> Result<()> {
        apalis_diesel::enqueue(&self.connection, job).await?;
        self.enqueued.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Enqueues a job; where one with its unique key waits, for a retry say, that one starts now.
    pub async fn enqueue_or_expedite<J: Job>(&self, job: &J) -> Result<()> {
        if apalis_diesel::enqueue(&self.connection, job).await?.is_none() {
            apalis_diesel::expedite(&self.connection, job).await?;
        }
        self.enqueued.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Enqueues several jobs of a kind with one statement.
    pub async fn enqueue_all<J: Job>(&self, jobs: &[J]) -> Result<()> {
        if !jobs.is_empty() {
            apalis_diesel::enqueue_all(&self.connection, jobs).await?;
            self.enqueued.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Enqueues a job that starts at `run_at`, not before.
    pub async fn enqueue_at<J: Job>(&self, job: &J, run_at: DateTime<Utc>) -> Result<()> {
        apalis_diesel::enqueue_at(&self.connection, job, run_at).await?;
        self.enqueued.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Enqueues several jobs of a kind that start at `run_at`, with one statement.
    pub async fn enqueue_all_at<J: Job>(&self, jobs: &[J], run_at: DateTime<Utc>) -> Result<()> {
        if !jobs.is_empty() {
            apalis_diesel::enqueue_all_at(&self.connection, jobs, run_at).await?;
            self.enqueued.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The deployment's keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What the deployment decides about organizations.
    pub fn deployment(&self) -> Deployment {
        self.deployment
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

/// The database's time, by which everything is decided.
pub async fn now(connection: &AsyncPgConnection) -> Result<DateTime<Utc>> {
    let now = diesel::select(rollcall_now()).get_result(&mut &*connection).await?;
    clock::was_read(now);
    Ok(now)
}
