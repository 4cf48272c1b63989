//! Opens the database of the settings, which is either a given one or the built-in PostgreSQL of the data directory.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use diesel_async::AsyncPgConnection;
#[cfg(feature = "builtin")]
use rollcall_builtin_postgres::{BuiltinPostgres, Options};

use crate::base::secret::Keyring;
use crate::database::checks;
use crate::database::migrations::{is_migrated, migrate};
use crate::database::{Database, Endpoint, Purpose, now};
use crate::start::settings::Settings;

/// The built-in PostgreSQL, while this process uses it.
#[cfg(feature = "builtin")]
type Builtin = Arc<BuiltinPostgres>;
/// A program that was built without the built-in PostgreSQL never has one.
#[cfg(not(feature = "builtin"))]
type Builtin = std::convert::Infallible;

/// The name of the database in the built-in PostgreSQL.
#[cfg(feature = "builtin")]
const BUILTIN_DATABASE: &str = "rollcall";

/// Whether the built-in PostgreSQL is used if the settings don't name a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// For `rollcall` without arguments, which runs everything itself.
    BuiltIn,
    /// For commands beside it, which use it only if it already exists.
    Existing,
    /// For `serve` and `rollcall-worker`, whose settings must name the database.
    None,
}

/// An open database. The built-in PostgreSQL runs at least as long as this value exists.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The database, opened for its purpose.
    pub database: Database,
    /// The endpoint without any pooler, for migrations and for listening.
    pub direct: Endpoint,
    // Dropping this releases the cluster. The last process that uses it stops it.
    postgres: Option<Builtin>,
}

impl Opened {
    /// The same database for another purpose, with connections of its own.
    pub fn database_for(&self, purpose: Purpose) -> anyhow::Result<Database> {
        self.database.another(purpose)
    }

    /// Checks that the endpoint without a pooler leads to a suitable database, which was used with the same secret.
    ///
    /// # Errors
    /// The same as for [`open`].
    pub async fn check_direct(&self) -> anyhow::Result<()> {
        if self.postgres.is_none() && self.database.endpoint().is_pooler() {
            checks::require_way(&self.direct).await?;
            checks::require_same(self.database.endpoint(), &self.direct).await?;
        }
        let mut connection = self.direct.connect().await?;
        require_all(&mut connection, self.database.keyring())
            .await
            .with_context(|| format!("where {} leads", self.direct.setting()))
    }

    /// Whether this is the built-in PostgreSQL of this machine.
    pub fn is_builtin(&self) -> bool {
        self.postgres.is_some()
    }
}

/// The location of the database.
struct DatabaseLocation {
    endpoint: Endpoint,
    direct: Endpoint,
    postgres: Option<Builtin>,
}

/// Finds the database, and starts the built-in PostgreSQL if it is used.
async fn locate(settings: &Settings, fallback: Fallback) -> anyhow::Result<DatabaseLocation> {
    if let Some(endpoint) = settings.database()? {
        let direct = settings.direct_database()?.unwrap_or_else(|| endpoint.clone());
        return Ok(DatabaseLocation { endpoint, direct, postgres: None });
    }
    let data_dir = settings.data_dir();
    let is_chosen = match fallback {
        Fallback::BuiltIn => true,
        Fallback::Existing => settings.has_data_dir() || data_dir.join("secret").exists(),
        Fallback::None => settings.has_data_dir(),
    };
    if !is_chosen {
        bail!("set DATABASE_URL, or ROLLCALL_DATA_DIR for the built-in PostgreSQL of that folder");
    }
    start_builtin(data_dir).await
}

#[cfg(feature = "builtin")]
async fn start_builtin(data_dir: PathBuf) -> anyhow::Result<DatabaseLocation> {
    std::fs::create_dir_all(&data_dir)
        .with_context(|| format!("the data folder {} can't be made", data_dir.display()))?;
    let postgres = tokio::task::spawn_blocking(move || BuiltinPostgres::start(&data_dir, Options::default())).await??;
    let endpoint = Endpoint::parse("the built-in PostgreSQL", &postgres.url(BUILTIN_DATABASE), None)?;
    Ok(DatabaseLocation { direct: endpoint.clone(), endpoint, postgres: Some(Arc::new(postgres)) })
}

#[cfg(not(feature = "builtin"))]
async fn start_builtin(_: PathBuf) -> anyhow::Result<DatabaseLocation> {
    bail!("this program was built without the built-in PostgreSQL; set DATABASE_URL");
}

/// Opens the database of the settings. The built-in one is migrated; any other one must be up to date.
///
/// # Errors
/// If the database can't be reached, or isn't as it must be. The error is one line that says what to do.
pub async fn open(settings: &Settings, fallback: Fallback, purpose: Purpose) -> anyhow::Result<Opened> {
    let DatabaseLocation { endpoint, direct, postgres } = locate(settings, fallback).await?;
    let keyring = settings.keyring()?;
    if postgres.is_some() {
        migrate(&direct).await.context("the built-in database can't be migrated")?;
    }
    let mut connection = endpoint.connect().await?;
    if postgres.is_none() {
        checks::require_way(&endpoint).await?;
    }
    require_all(&mut connection, &keyring).await?;
    // Reads the time, for ids that are created before the pool has a connection.
    now(&connection).await?;
    drop(connection);
    let database = Database::new(endpoint, keyring, Arc::new(settings.deployment()?), purpose)?;
    Ok(Opened { database, direct, postgres })
}

/// Migrates the database of the settings.
pub async fn migrate_located(settings: &Settings) -> anyhow::Result<()> {
    let located = locate(settings, Fallback::Existing).await?;
    if located.postgres.is_none() {
        checks::require_way(&located.direct).await?;
    }
    migrate(&located.direct).await
}

/// Checks everything that a process needs before it starts working.
async fn require_all(connection: &mut AsyncPgConnection, keyring: &Keyring) -> anyhow::Result<()> {
    checks::require_server(connection).await?;
    if !is_migrated(connection).await? {
        bail!("the database isn't up to date; run `rollcall migrate` first");
    }
    if !checks::knows_secret(connection, keyring).await? {
        bail!(
            "ROLLCALL_SECRET isn't the one that this database was used with, so codes, links in mails and webhooks' secrets would \
             be lost: set that one again or, to change it, name it in ROLLCALL_PREVIOUS_SECRET; docs/operations.md says what to \
             do if it is gone"
        );
    }
    checks::catch_up_with_feed(connection).await?;
    Ok(())
}
