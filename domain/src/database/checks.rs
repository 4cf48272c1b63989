//! What must be true of a database before the service works on it. Each refusal says what to do.

use std::time::Duration;

use anyhow::bail;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::base::error::{Error, Result};
use crate::base::secret::{Keyring, Purpose};
use crate::base::sql::statement;
use crate::database::Endpoint;
use crate::database::schema::secret_fingerprint;

/// The oldest PostgreSQL that has everything the statements need.
const OLDEST_VERSION: i32 = 150_000;

/// How many times two connections are checked for whether they share one server connection.
const LOOKS: usize = 10;
/// How long a pooler may take to find another server connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait for another process's migration.
const TURN: Duration = Duration::from_secs(10 * 60);

/// Checks that an endpoint without a pooler leads to none, and that a pooler keeps prepared statements if the settings
/// say so.
pub(crate) async fn require_way(endpoint: &Endpoint) -> anyhow::Result<()> {
    let setting = endpoint.setting();
    if endpoint.is_pooler() {
        if endpoint.names_statements() && !keeps_statements(endpoint).await? {
            bail!(
                "the pooler that {setting} leads to keeps no prepared statements (PgBouncer does from 1.21 on, with \
                 max_prepared_statements): unset ROLLCALL_POOLER_PREPARED_STATEMENTS"
            );
        }
        return Ok(());
    }
    if shares_connections(endpoint).await? {
        bail!(
            "{setting} leads to a pooler that gives each transaction another connection: name the pooler in DATABASE_URL, and the way \
             around it in ROLLCALL_DIRECT_DATABASE_URL"
        );
    }
    Ok(())
}

/// Whether two connections that are open at the same time share one server connection.
async fn shares_connections(endpoint: &Endpoint) -> anyhow::Result<bool> {
    #[derive(QueryableByName)]
    struct Backend {
        #[diesel(sql_type = Integer)]
        pid: i32,
    }
    let endpoint = endpoint.without_statement_names();
    let (mut one, mut other) = (endpoint.connect().await?, endpoint.connect().await?);
    let pid = async |connection: &mut AsyncPgConnection| {
        diesel::sql_query("SELECT pg_backend_pid() AS pid")
            .get_result::<Backend>(connection)
            .await
            .map(|backend| backend.pid)
    };
    let first = pid(&mut one).await?;
    for _ in 0..LOOKS {
        // Behind a pooler, the first connection moves to another server connection, or waits for the only one. If
        // others use the pooler too, it may happen to return to the same server connection, but hardly each time.
        let during = in_others_transaction(&mut other, pid(&mut one)).await?.transpose()?;
        if during != Some(first) || pid(&mut one).await? != first {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Runs a query on one connection while the other holds a transaction, which may occupy the server connection that the
/// first one used before. Returns `None` if no answer comes in time.
async fn in_others_transaction<T>(
    other: &mut AsyncPgConnection,
    asking: impl Future<Output = T>,
) -> anyhow::Result<Option<T>> {
    other.batch_execute("BEGIN").await?;
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    other.batch_execute("ROLLBACK").await?;
    Ok(answer.ok())
}

/// Whether prepared statements keep working whichever server connection the pooler chooses.
async fn keeps_statements(endpoint: &Endpoint) -> anyhow::Result<bool> {
    let (mut one, mut other) = (endpoint.connect().await?, endpoint.connect().await?);
    let statement = || diesel::select(1.into_sql::<Integer>());
    for _ in 0..LOOKS {
        if statement().execute(&mut one).await.is_err() {
            return Ok(false);
        }
        match in_others_transaction(&mut other, statement().execute(&mut one)).await? {
            Some(Ok(_)) => {}
            Some(Err(_)) => return Ok(false),
            // The pooler has only one connection, which has every statement.
            None => break,
        }
    }
    Ok(true)
}

/// Checks that both endpoints lead to the same database.
pub(crate) async fn require_same(one: &Endpoint, other: &Endpoint) -> anyhow::Result<()> {
    #[derive(QueryableByName)]
    struct Identity {
        #[diesel(sql_type = Text)]
        identity: String,
    }
    let identity = async |endpoint: &Endpoint| {
        let found = diesel::sql_query(
            "SELECT format('%s/%s', (SELECT system_identifier FROM pg_control_system()), d.oid) AS identity \
             FROM pg_database d WHERE d.datname = current_database()",
        )
        .get_result::<Identity>(&mut endpoint.connect().await?)
        .await;
        // If the server doesn't reveal its identity, the check passes.
        anyhow::Ok(found.ok().map(|found| found.identity))
    };
    if let (Some(one_is), Some(other_is)) = (identity(one).await?, identity(other).await?)
        && one_is != other_is
    {
        bail!("{} and {} lead to different databases; they must be ways to the same", one.setting(), other.setting());
    }
    Ok(())
}

statement! {
    struct TakeTurn<'a> { work: Text = &'a str } = "SELECT pg_try_advisory_lock(hashtext(:work)) AS is_ours, \
         (SELECT string_agg(pid::text, ', ') FROM pg_locks WHERE locktype = 'advisory' AND granted \
           AND ((classid::bigint << 32) | objid::bigint) = hashtext(:work)) AS holders"
}

/// Waits until no other process does the same work on the database. The turn lasts until the connection ends.
pub(super) async fn take_turn(connection: &mut AsyncPgConnection, work: &str) -> anyhow::Result<()> {
    #[derive(QueryableByName)]
    struct Turn {
        #[diesel(sql_type = Bool)]
        is_ours: bool,
        #[diesel(sql_type = Nullable<Text>)]
        holders: Option<String>,
    }
    let began = tokio::time::Instant::now();
    let mut has_told = false;
    loop {
        let Turn { is_ours, holders } = TakeTurn { work }.query().get_result(connection).await?;
        if is_ours {
            return Ok(());
        }
        let holders = holders.unwrap_or_default();
        if began.elapsed() > TURN {
            bail!(
                "another migration holds the database for {} minutes; end its process (PostgreSQL's {holders})",
                TURN.as_secs() / 60
            );
        }
        if !has_told {
            tracing::info!("another migration is under way (PostgreSQL's process {holders}); waiting for it");
            has_told = true;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

statement! {
    struct CatchUpWithFeed {} = "SELECT feed_catch_up() AS was_behind"
}

/// Makes new events come last in the feed over all organizations, even if the database was restored on a server that
/// counts its transactions from a smaller number (migration `feed`).
pub(crate) async fn catch_up_with_feed(connection: &mut AsyncPgConnection) -> Result<()> {
    #[derive(QueryableByName)]
    struct CaughtUp {
        #[diesel(sql_type = Bool)]
        was_behind: bool,
    }
    let CaughtUp { was_behind } = CatchUpWithFeed {}.query().get_result(connection).await?;
    if was_behind {
        tracing::info!(
            "this server counts its transactions from a smaller number than the one before; the feed goes on"
        );
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Server {
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    version_name: String,
    #[diesel(sql_type = Text)]
    encoding: String,
    #[diesel(sql_type = Text)]
    name: String,
}

/// Checks the server's version and the database's encoding.
pub(crate) async fn require_server(connection: &mut AsyncPgConnection) -> anyhow::Result<()> {
    let Server { version, version_name, encoding, name } = diesel::sql_query(
        "SELECT current_setting('server_version_num')::integer AS version, current_setting('server_version') AS version_name, \
         current_setting('server_encoding') AS encoding, current_database()::text AS name",
    )
    .get_result(connection)
    .await?;
    if version < OLDEST_VERSION {
        bail!("the server is PostgreSQL {version_name}; Rollcall needs 15 or later: upgrade it");
    }
    if encoding != "UTF8" {
        bail!(
            "the database {name} has the encoding {encoding}, which can't hold every name; Rollcall needs UTF8: make one with \
             CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        );
    }
    Ok(())
}

/// Whether the database was used with this secret before, or has never been used with any, in which case this secret is
/// recorded. A database that was used with the previous secret is switched to the current one.
pub(crate) async fn knows_secret(connection: &mut AsyncPgConnection, keyring: &Keyring) -> Result<bool> {
    let accepted = keyring.accepted_digests(Purpose::Fingerprint, &[])?;
    let Some((current, previous)) = accepted.split_first() else { return Err(Error::Bug("a keyring has a secret")) };
    diesel::insert_into(secret_fingerprint::table)
        .values(secret_fingerprint::fingerprint.eq(current))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    let is_used_with = |digests: Vec<Vec<u8>>| secret_fingerprint::fingerprint.eq_any(digests);
    let changed = diesel::update(secret_fingerprint::table)
        .filter(is_used_with(previous.to_vec()))
        .set(secret_fingerprint::fingerprint.eq(current))
        .execute(connection)
        .await?;
    if changed > 0 {
        tracing::info!(
            "ROLLCALL_SECRET has been changed; keep ROLLCALL_PREVIOUS_SECRET until no link of before matters"
        );
    }
    let used = secret_fingerprint::table.filter(is_used_with(vec![current.clone()]));
    Ok(diesel::select(diesel::dsl::exists(used)).get_result(connection).await?)
}
