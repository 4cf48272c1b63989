//! The migrations, which are embedded in the program: running them, reverting them, and checking whether they have run.

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::base::error::{Error, Result};
use crate::database::endpoint::Endpoint;
use crate::database::{checks, stored_text};

const QUEUE_MIGRATIONS: EmbeddedMigrations = apalis_diesel::MIGRATIONS;

const OWN_MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

/// All migrations: those of the job queue, and Rollcall's own, which build on them.
struct Migrations;

impl MigrationSource<Pg> for Migrations {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        let mut migrations = MigrationSource::<Pg>::migrations(&QUEUE_MIGRATIONS)?;
        migrations.extend(MigrationSource::<Pg>::migrations(&OWN_MIGRATIONS)?);
        Ok(migrations)
    }
}

/// Brings the database up to date: the queue's tables, then Rollcall's. The endpoint must not lead through a pooler.
pub async fn migrate(endpoint: &Endpoint) -> anyhow::Result<()> {
    run_migrations(endpoint, |harness| harness.run_pending_migrations(Migrations).map(|_| ())).await?;
    // The part that SQL can't do.
    let mut connection = endpoint.connect().await?;
    checks::take_turn(&mut connection, "rollcall text forms").await?;
    stored_text::settle(&mut connection).await?;
    Ok(())
}

/// Reverts every migration, which removes all data.
pub async fn revert_migrations(endpoint: &Endpoint) -> anyhow::Result<()> {
    run_migrations(endpoint, |harness| harness.revert_all_migrations(Migrations).map(|_| ())).await
}

type MigrationResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn run_migrations(
    endpoint: &Endpoint,
    work: impl FnOnce(&mut AsyncMigrationHarness<AsyncPgConnection>) -> MigrationResult + Send + 'static,
) -> anyhow::Result<()> {
    let mut connection = endpoint.connect().await?;
    checks::require_server(&mut connection).await?;
    // Processes that start at the same time take turns.
    checks::take_turn(&mut connection, "rollcall migrations").await?;
    // The harness blocks its thread.
    tokio::task::spawn_blocking(move || work(&mut AsyncMigrationHarness::new(connection)))
        .await?
        .map_err(|error| anyhow::anyhow!(error))
}

/// Whether every migration of this program has run completely.
pub async fn is_migrated(connection: &mut AsyncPgConnection) -> Result<bool> {
    let wanted = Migrations.migrations().map_err(|_| Error::Bug("the embedded migrations can't be read"))?;
    let Some(newest) = wanted.iter().map(|migration| migration.name().version().to_string()).max() else {
        return Ok(true);
    };
    let table: bool = diesel::select(diesel::dsl::sql::<diesel::sql_types::Bool>(
        "to_regclass('__diesel_schema_migrations') IS NOT NULL",
    ))
    .get_result(connection)
    .await?;
    if !table {
        return Ok(false);
    }
    let found: bool = diesel::select(
        diesel::dsl::sql::<diesel::sql_types::Bool>("EXISTS (SELECT FROM __diesel_schema_migrations WHERE version = ")
            .bind::<diesel::sql_types::Text, _>(newest)
            .sql(")"),
    )
    .get_result(connection)
    .await?;
    Ok(found && stored_text::is_settled(connection).await?)
}
