//! A database per test, workers on it, and jobs to try.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use apalis_core::backend::BackendConfig;
use apalis_core::monitor::Monitor;
use apalis_core::monitor::context::MonitorContext;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_diesel::admin::{self, JobRecord, JobStatus};
use apalis_diesel::{ClaimedJob, Job, JobError, JobStore, MIGRATIONS, StoreOptions, Wake};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::MigrationHarness;
use rollcall_builtin_postgres::{BuiltinPostgres, Options};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// After this a test has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where tests keep what they write.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// The cluster, while a test uses it.
fn cluster() -> Arc<BuiltinPostgres> {
    static CLUSTER: Mutex<Weak<BuiltinPostgres>> = Mutex::new(Weak::new());
    let mut shared = CLUSTER.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let started = Arc::new(BuiltinPostgres::start(&folder().join("jobs"), Options { fsync: false }).unwrap());
        *shared = Arc::downgrade(&started);
        started
    })
}

/// A migrated database of its own, dropped at the end.
pub struct Database {
    cluster: Arc<BuiltinPostgres>,
    name: String,
    pub url: String,
    pub pool: Pool<AsyncPgConnection>,
}

impl Database {
    pub async fn new() -> Self {
        Self::of(tokio::task::spawn_blocking(cluster).await.unwrap()).await
    }

    /// On a cluster of the test's own.
    pub async fn of(cluster: Arc<BuiltinPostgres>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("jobs_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut server = AsyncPgConnection::establish(&cluster.url("postgres")).await.unwrap();
        server.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let url = cluster.url(&name);
        let connection = AsyncPgConnection::establish(&url).await.unwrap();
        AsyncMigrationHarness::new(connection).run_pending_migrations(MIGRATIONS).unwrap();
        let pool = Pool::builder(AsyncDieselConnectionManager::new(&url)).max_size(10).build().unwrap();
        let database = Self { cluster, name, url, pool };
        database
            .sql(
                "CREATE TABLE test_clock (ahead interval NOT NULL);
                 INSERT INTO test_clock VALUES ('0');
                 CREATE OR REPLACE FUNCTION job_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
                     AS $$ SELECT clock_timestamp() + ahead FROM test_clock $$",
            )
            .await;
        database
    }

    pub async fn connection(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&self.url).await.unwrap()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection to another database of the cluster.
    pub async fn server(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&self.cluster.url("postgres")).await.unwrap()
    }

    pub async fn sql(&self, sql: &str) {
        self.connection().await.batch_execute(sql).await.unwrap();
    }

    /// What a query gives that selects one whole number as `value`.
    pub async fn number(&self, sql: &str) -> i64 {
        number(&mut self.connection().await, sql).await
    }

    /// What a query gives that selects one text as `value`.
    pub async fn text(&self, sql: &str) -> String {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            value: String,
        }
        let row: Row = diesel::sql_query(sql).get_result(&mut self.connection().await).await.unwrap();
        row.value
    }

    pub async fn put_clock_ahead(&self, interval: &str) {
        self.sql(&format!("UPDATE test_clock SET ahead = ahead + interval '{interval}'")).await;
    }

    pub async fn enqueue<J: Job>(&self, job: &J) -> Option<Uuid> {
        apalis_diesel::enqueue(&self.connection().await, job).await.unwrap()
    }

    pub async fn job(&self, id: Uuid) -> JobRecord {
        admin::find(&mut self.connection().await, id).await.unwrap().unwrap()
    }

    /// Waits until a job is in a state, and returns it.
    pub async fn until(&self, id: Uuid, state: impl Fn(&JobRecord) -> bool) -> JobRecord {
        let mut connection = self.connection().await;
        let start = Instant::now();
        loop {
            let job = admin::find(&mut connection, id).await.unwrap().unwrap();
            if state(&job) {
                return job;
            }
            assert!(start.elapsed() < PATIENCE, "still {job:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn until_status(&self, id: Uuid, status: JobStatus) -> JobRecord {
        self.until(id, |job| job.status == status).await
    }

    /// Waits until a query that selects one whole number as `value` gives this one.
    pub async fn until_number(&self, sql: &str, expected: i64) {
        self.until_some_number(sql, |value| value == expected).await;
    }

    /// Waits until a query that selects one whole number as `value` gives one of these; for as long as there is
    /// progress.
    pub async fn until_some_number(&self, sql: &str, expected: impl Fn(i64) -> bool) {
        let mut connection = self.connection().await;
        let (mut last, mut since) = (None, Instant::now());
        loop {
            let value = number(&mut connection, sql).await;
            if expected(value) {
                return;
            }
            if last != Some(value) {
                (last, since) = (Some(value), Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "still {value}: {sql}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Makes jobs look as if a worker had claimed them and had died since.
    pub async fn let_lease_run_out(&self, id: Uuid) {
        self.sql(&format!(
            "UPDATE jobs SET status = 'running', attempt = attempt + 1, worker = 'dead', started_at = job_clock(),
                 lease_expires_at = job_clock() - interval '1 second'
             WHERE id = '{id}'"
        ))
        .await;
    }

    pub fn wake(&self) -> Wake {
        Wake::start(self.pool.clone())
    }
}

async fn number(connection: &mut AsyncPgConnection, sql: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        value: i64,
    }
    let row: Row = diesel::sql_query(sql).get_result(connection).await.unwrap();
    row.value
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, sql) = (self.cluster.url("postgres"), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                AsyncPgConnection::establish(&url).await.unwrap().batch_execute(&sql).await.unwrap();
            });
        });
        // The server waits until each of its sessions takes notice, which one doesn't that waits for a client on this
        // runtime.
        if let Err(panic) = tokio::task::block_in_place(|| dropped.join())
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Sees to the leases every 50 ms.
pub fn lively() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.heartbeat = Duration::from_millis(50);
    options
}

/// Doesn't see to the leases.
pub fn stalled() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.heartbeat = Duration::from_secs(3600);
    options
}

/// A worker of some queues.
pub struct Worker {
    pub store: JobStore,
    context: MonitorContext,
    task: tokio::task::JoinHandle<()>,
}

impl Worker {
    /// Serves the queue `notes`.
    pub fn start<H, F>(database: &Database, options: StoreOptions, concurrency: usize, handler: H) -> Self
    where
        H: Fn(ClaimedJob) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        let store = JobStore::start(&database.url, options).unwrap();
        let queues = store.clone();
        let monitor = Monitor::new().register(move |_| {
            let queue = queues.queue(Note::QUEUE, concurrency);
            WorkerBuilder::new(queue.config().queue.clone()).backend(queue).build(handler.clone())
        });
        Self::monitor(store, monitor)
    }

    pub fn monitor(store: JobStore, monitor: Monitor) -> Self {
        let context = monitor.context();
        let task = tokio::spawn(async move { monitor.run().await.unwrap() });
        Self { store, context, task }
    }

    /// Stops claiming.
    pub fn shut_down(&self) {
        self.context.shutdown().unwrap();
    }

    /// Stops claiming and waits for what runs.
    pub async fn stop(self) {
        self.shut_down();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
        self.store.close().await;
    }

    /// Ends without waiting for what runs.
    pub async fn abort(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        self.store.close().await;
    }
}

/// Waits for something that will happen.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("did not happen in time")
}

/// A job of which everything can be chosen but its kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub text: String,
    pub unique: Option<String>,
    pub serial: Option<String>,
}

impl Note {
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    pub fn unique(key: &str) -> Self {
        Self { unique: Some(key.to_owned()), ..Self::default() }
    }

    pub fn serial(key: &str, text: &str) -> Self {
        Self { serial: Some(key.to_owned()), ..Self::new(text) }
    }
}

impl Job for Note {
    const QUEUE: &'static str = "notes";
    const KIND: &'static str = "note";
    const MAX_ATTEMPTS: i32 = 3;

    fn unique_key(&self) -> Option<String> {
        self.unique.clone()
    }

    fn serial_key(&self) -> Option<String> {
        self.serial.clone()
    }
}

/// A job that is tried once, and not for long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Brief {}

impl Job for Brief {
    const QUEUE: &'static str = Note::QUEUE;
    const KIND: &'static str = "brief";
    const MAX_ATTEMPTS: i32 = 1;
    const TIMEOUT: Duration = Duration::from_millis(100);
}

/// A job that goes before the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Urgent {}

impl Job for Urgent {
    const QUEUE: &'static str = Note::QUEUE;
    const KIND: &'static str = "urgent";
    const PRIORITY: i16 = 10;
}
