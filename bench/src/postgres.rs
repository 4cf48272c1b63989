//! The PostgreSQL of a run: a cluster of its own, with the settings of a production server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rollcall_builtin_postgres::{BuiltinPostgres, Options};
use tokio_postgres::{Client, NoTls};

/// The settings that differ from PostgreSQL's defaults. `fsync` and `synchronous_commit` stay on.
pub const SETTINGS: &[(&str, &str)] = &[
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
    ("random_page_cost", "1.1"),
    ("effective_cache_size", "2GB"),
    ("shared_preload_libraries", "pg_stat_statements"),
    // The floor reads its statements from the log. Nothing is logged while something is measured.
    ("logging_collector", "on"),
    ("log_destination", "jsonlog"),
    ("log_directory", "log"),
    ("log_filename", "statements"),
    ("log_rotation_age", "0"),
    ("log_rotation_size", "0"),
];

/// A running cluster.
pub struct Postgres {
    builtin: BuiltinPostgres,
    data: PathBuf,
}

impl Postgres {
    /// Creates a cluster in a new folder and starts it with [`SETTINGS`].
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let builtin = BuiltinPostgres::start(folder, Options::default())?;
        let client = connect(&builtin.url("rollcall")).await?;
        for (name, value) in SETTINGS {
            client.batch_execute(&format!("ALTER SYSTEM SET {name} = '{value}'")).await?;
        }
        let data: String = client.query_one("SHOW data_directory", &[]).await?.try_get(0)?;
        drop(client);
        builtin.leave()?;
        let builtin = BuiltinPostgres::start(folder, Options::default())?;
        let postgres = Self { builtin, data: PathBuf::from(data) };
        postgres.client("rollcall").await?.batch_execute("CREATE EXTENSION pg_stat_statements").await?;
        Ok(postgres)
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        self.builtin.url(database)
    }

    /// Connects to a database.
    pub async fn client(&self, database: &str) -> anyhow::Result<Client> {
        connect(&self.url(database)).await
    }

    /// The process id of the postmaster.
    pub fn pid(&self) -> anyhow::Result<u32> {
        let file = self.data.join("postmaster.pid");
        let text = std::fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
        Ok(text.lines().next().unwrap_or_default().trim().parse()?)
    }

    /// The path of one of PostgreSQL's own programs, in the version that is running.
    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = std::fs::read_link(format!("/proc/{}/exe", self.pid()?))?.with_file_name(name);
        ensure!(path.exists(), "{} is missing", path.display());
        Ok(path)
    }

    /// The folder of the socket, for libpq.
    pub async fn socket_folder(&self) -> anyhow::Result<String> {
        let client = self.client("rollcall").await?;
        Ok(client.query_one("SHOW unix_socket_directories", &[]).await?.try_get(0)?)
    }

    /// The log file, in which each line is a JSON object.
    pub fn log(&self) -> PathBuf {
        self.data.join("log/statements.json")
    }

    /// Turns the logging of all statements with their parameters on or off.
    pub async fn log_statements(&self, on: bool) -> anyhow::Result<()> {
        let client = self.client("rollcall").await?;
        let threshold = if on { 0 } else { -1 };
        client.batch_execute(&format!("ALTER SYSTEM SET log_min_duration_statement = {threshold}")).await?;
        client.batch_execute("SELECT pg_reload_conf()").await?;
        // Every backend reads the setting before its next statement, once the postmaster has passed the signal on.
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(())
    }

    /// Runs a checkpoint, so that no round pays for the previous one.
    pub async fn checkpoint(&self) -> anyhow::Result<()> {
        Ok(self.client("rollcall").await?.batch_execute("CHECKPOINT").await?)
    }

    /// Stops the cluster.
    pub fn stop(self) -> anyhow::Result<()> {
        Ok(self.builtin.leave()?)
    }
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
