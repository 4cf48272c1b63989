//! Opening the database that the settings name: a given one, or the built-in PostgreSQL of the data folder.

use std::sync::Arc;

use anyhow::{Context, bail};
use secrecy::ExposeSecret;

use super::{Database, Purpose, is_migrated, migrate};
use crate::builtin_postgres::{BuiltinPostgres, Options};
use crate::settings::Settings;

/// The built-in PostgreSQL's database.
const BUILTIN_DATABASE: &str = "rollcall";

/// Whether the built-in PostgreSQL may be used without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// `rollcall` without arguments: it runs everything by itself.
    BuiltIn,
    /// `serve`, `rollcall-worker` and staff commands: they must be told where the database is.
    None,
}

/// An open database, and the built-in PostgreSQL as long as this process uses it.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The database, for what it was opened for.
    pub database: Database,
    url: String,
    /// Its URL around any pooler: for migrations and for listening.
    pub direct_url: String,
    // Dropping it leaves the cluster, which the last one out stops.
    postgres: Option<Arc<BuiltinPostgres>>,
}

impl Opened {
    /// The same database for something else, with connections of its own.
    pub fn database_for(&self, purpose: Purpose) -> anyhow::Result<Database> {
        Database::new(&self.url, self.database.keyring().clone(), self.database.deployment(), purpose)
    }

    /// Whether it is the built-in PostgreSQL of this machine.
    pub fn is_builtin(&self) -> bool {
        self.postgres.is_some()
    }
}

/// Finds the database's direct URL, starting the built-in PostgreSQL if that is where it is.
async fn locate(
    settings: &Settings,
    fallback: Fallback,
) -> anyhow::Result<(String, String, Option<Arc<BuiltinPostgres>>)> {
    if let Some(url) = &settings.database_url {
        if settings.has_data_dir() {
            tracing::info!("DATABASE_URL is set: ROLLCALL_DATA_DIR serves for mails only");
        }
        let url = url.expose_secret().to_owned();
        let direct = settings
            .rollcall_direct_database_url
            .as_ref()
            .map_or_else(|| url.clone(), |direct| direct.expose_secret().to_owned());
        return Ok((url, direct, None));
    }
    if fallback == Fallback::None && !settings.has_data_dir() {
        bail!("set DATABASE_URL, or ROLLCALL_DATA_DIR for the built-in PostgreSQL of that folder");
    }
    let data_dir = settings.data_dir();
    std::fs::create_dir_all(&data_dir)
        .with_context(|| format!("the data folder {} can't be made", data_dir.display()))?;
    let postgres = tokio::task::spawn_blocking(move || BuiltinPostgres::start(&data_dir, Options::default())).await??;
    let url = postgres.url(BUILTIN_DATABASE);
    Ok((url.clone(), url, Some(Arc::new(postgres))))
}

/// Opens the database of the settings. The built-in one is migrated; any other must have been.
pub async fn open(settings: &Settings, fallback: Fallback, purpose: Purpose) -> anyhow::Result<Opened> {
    let keyring = settings.keyring()?;
    let (url, direct_url, postgres) = locate(settings, fallback).await?;
    if postgres.is_some() {
        migrate(&direct_url).await.context("the built-in database can't be migrated")?;
    }
    let database = Database::new(&url, keyring, settings.deployment(), purpose)?;
    let mut connection = database.connection().await.context("the database can't be reached")?;
    if !is_migrated(&mut connection).await? {
        bail!("the database isn't up to date; run `rollcall migrate` first");
    }
    drop(connection);
    Ok(Opened { database, url, direct_url, postgres })
}

/// Brings the database of the settings up to date.
pub async fn migrate_located(settings: &Settings) -> anyhow::Result<()> {
    let (_, direct_url, _postgres) = locate(settings, Fallback::None).await?;
    migrate(&direct_url).await
}
