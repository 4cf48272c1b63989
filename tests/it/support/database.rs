//! One PostgreSQL for all test processes, a migrated template in it, and a copy of that for each test.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use rollcall_builtin_postgres::{BuiltinPostgres, Options};
use rollcall_domain::database::Endpoint;

use super::until;

/// Where the cluster is. Checkouts that share a build directory have migrations of their own, and so a cluster each.
fn cluster_folder() -> PathBuf {
    let mut checkout = DefaultHasher::new();
    env!("CARGO_MANIFEST_DIR").hash(&mut checkout);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("it-{:08x}", checkout.finish() as u32))
}

/// The cluster, while a test uses it.
fn cluster() -> Arc<BuiltinPostgres> {
    static CLUSTER: Mutex<Weak<BuiltinPostgres>> = Mutex::new(Weak::new());
    let mut shared = CLUSTER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let started = Arc::new(BuiltinPostgres::start(&cluster_folder(), Options { fsync: false }).unwrap());
        *shared = Arc::downgrade(&started);
        started
    })
}

/// Like those of production: without fsync, what was committed last may be gone after a crash.
async fn start(folder: &Path) -> BuiltinPostgres {
    let folder = folder.to_owned();
    let start = move || BuiltinPostgres::start(&folder, Options { fsync: true }).unwrap();
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// A migrated database of its own, dropped at the end.
pub struct Database {
    /// `None` where the server is the test's.
    cluster: Option<Arc<BuiltinPostgres>>,
    /// The folder of its own cluster, where it has one.
    folder: Option<PathBuf>,
    pub name: String,
    pub url: String,
}

impl Database {
    /// A copy of the template.
    pub async fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let cluster = tokio::task::spawn_blocking(cluster).await.unwrap();
        let template = template(&cluster).await;
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(&cluster.url("postgres"), &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        let url = cluster.url(&name);
        Self { cluster: Some(cluster), folder: None, name, url }
    }

    /// In a cluster of its own, which the test may stop and start.
    pub async fn with_postgres(folder: &Path) -> Self {
        let cluster = Arc::new(start(folder).await);
        let (name, url) = ("rollcall".to_owned(), cluster.url("rollcall"));
        migrate(&url).await;
        Self { cluster: Some(cluster), folder: Some(folder.to_owned()), name, url }
    }

    /// The database `rollcall` of a server of the test's.
    pub fn of(url: &str) -> Self {
        Self { cluster: None, folder: None, name: "rollcall".to_owned(), url: url.to_owned() }
    }

    /// Stops its own PostgreSQL at once, as a crash would: nothing is finished.
    pub async fn stop_postgres(&self) {
        let pid_file = self.folder.as_ref().unwrap().join("postgres/cluster/postmaster.pid");
        let pid = fs::read_to_string(&pid_file).unwrap().lines().next().unwrap().to_owned();
        let stopped = std::process::Command::new("sh").args(["-c", "kill -QUIT $0", &pid]).status().unwrap();
        assert!(stopped.success());
        until("PostgreSQL has stopped", async || (!pid_file.exists()).then_some(())).await;
    }

    /// Starts it again.
    pub async fn start_postgres(&self) {
        // It stays for whoever joined first.
        drop(start(self.folder.as_ref().unwrap()).await);
    }

    /// What PostgreSQL logs, about the other tests' databases too.
    pub fn log(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(cluster_folder).join("postgres/log")
    }

    pub async fn connection(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&self.url).await.unwrap()
    }

    /// Runs statements.
    pub async fn sql(&self, sql: &str) {
        run(&self.url, sql).await;
    }

    /// What the database says to statements that it refuses.
    pub async fn refusal(&self, sql: &str) -> String {
        self.connection().await.batch_execute(sql).await.expect_err("the database takes it").to_string()
    }

    /// What a query gives that selects one whole number as `value`.
    pub async fn number(&self, sql: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            value: i64,
        }
        let row: Row = diesel::sql_query(sql).get_result(&mut self.connection().await).await.unwrap();
        row.value
    }

    /// What a query gives that selects one text per row as `value`.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        texts(&self.url, sql).await
    }
}

async fn migrate(url: &str) {
    let endpoint = Endpoint::parse("the tests' database", url, None).unwrap();
    rollcall_domain::database::migrations::migrate(&endpoint).await.unwrap();
}

pub(super) async fn run(url: &str, sql: &str) {
    AsyncPgConnection::establish(url)
        .await
        .unwrap()
        .batch_execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
}

pub(super) async fn texts(url: &str, sql: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        value: String,
    }
    let rows: Vec<Row> =
        diesel::sql_query(sql).load(&mut AsyncPgConnection::establish(url).await.unwrap()).await.unwrap();
    rows.into_iter().map(|row| row.value).collect()
}

impl Drop for Database {
    fn drop(&mut self) {
        let (None, Some(cluster)) = (&self.folder, &self.cluster) else {
            // It goes with its cluster.
            return;
        };
        let (url, sql) = (cluster.url("postgres"), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&url, &sql));
        });
        if let Err(panic) = dropped.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The migrated template, made by the first one that needs it and named by what the migrations say.
async fn template(cluster: &BuiltinPostgres) -> String {
    static MADE: tokio::sync::Mutex<Option<String>> = tokio::sync::Mutex::const_new(None);
    let mut made = MADE.lock().await;
    if let Some(name) = made.as_ref() {
        return name.clone();
    }
    let name = format!("template_{:016x}", migrations_hash());
    let server_url = cluster.url("postgres");
    let mut server = AsyncPgConnection::establish(&server_url).await.unwrap();
    // Held by this connection, in another database than the template.
    server.batch_execute("SELECT pg_advisory_lock(hashtext('template of the tests'))").await.unwrap();
    drop_leftovers(&server_url).await;
    // Tests count what is logged about their own database, whichever connections it had.
    run(&server_url, "ALTER SYSTEM SET log_line_prefix = '%m [%p] %d '").await;
    run(&server_url, "SELECT pg_reload_conf()").await;
    let exists =
        texts(&server_url, &format!("SELECT datname::text AS value FROM pg_database WHERE datname = '{name}'")).await;
    if exists.is_empty() {
        for old in
            texts(&server_url, "SELECT datname::text AS value FROM pg_database WHERE datname LIKE 'template\\_%'").await
        {
            run(&server_url, &format!("ALTER DATABASE {old} IS_TEMPLATE false")).await;
            // Another process may be copying it just now; then it stays.
            let _ = server.batch_execute(&format!("DROP DATABASE {old}")).await;
        }
        run(&server_url, "DROP DATABASE IF EXISTS draft WITH (FORCE)").await;
        run(&server_url, "CREATE DATABASE draft").await;
        migrate(&cluster.url("draft")).await;
        // Under its name it is complete or not there at all.
        run(&server_url, "ALTER DATABASE draft ALLOW_CONNECTIONS false").await;
        run(&server_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'draft'").await;
        run(&server_url, &format!("ALTER DATABASE draft RENAME TO {name}")).await;
        run(&server_url, &format!("ALTER DATABASE {name} IS_TEMPLATE true")).await;
    }
    *made = Some(name.clone());
    name
}

/// Databases of test processes that were killed.
async fn drop_leftovers(server_url: &str) {
    for name in texts(server_url, "SELECT datname::text AS value FROM pg_database WHERE datname LIKE 'test\\_%'").await
    {
        let process = name.split('_').nth(1).unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            run(server_url, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}

fn migrations_hash() -> u64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("migrations"), &mut files);
    collect(&root.join("jobs/apalis-diesel/migrations"), &mut files);
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        // A migration's version is its folder's name.
        file.strip_prefix(root).unwrap().hash(&mut hasher);
        fs::read(&file).unwrap().hash(&mut hasher);
    }
    hasher.finish()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
