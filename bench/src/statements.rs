//! What a round's statements cost, by pg_stat_statements.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::postgres::Postgres;

/// Counts from zero. The planning is counted too, which makes every statement a little slower.
pub async fn begin(postgres: &Postgres) -> anyhow::Result<()> {
    let client = postgres.client("postgres").await?;
    client.batch_execute("ALTER SYSTEM SET pg_stat_statements.track_planning = on").await?;
    client.batch_execute("SELECT pg_reload_conf()").await?;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    postgres.client("rollcall").await?.batch_execute("SELECT pg_stat_statements_reset()").await?;
    Ok(())
}

/// Writes the statements since [`begin`] to a file, the most expensive first.
pub async fn write(postgres: &Postgres, database: &str, file: &Path) -> anyhow::Result<()> {
    let client = postgres.client("rollcall").await?;
    let rows = client
        .query(
            "SELECT calls, plans, total_exec_time, total_plan_time, rows, shared_blks_hit, wal_bytes::float8, \
             regexp_replace(query, '\\s+', ' ', 'g') \
             FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid WHERE datname = $1 \
             ORDER BY total_exec_time + total_plan_time DESC LIMIT 60",
            &[&database],
        )
        .await?;
    let mut text = String::from(
        "| calls | plans | ms in all | µs executing | µs planning | rows | pages | WAL bytes | statement |\n",
    );
    text.push_str("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n");
    for row in rows {
        let (calls, plans): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (executing, planning): (f64, f64) = (row.try_get(2)?, row.try_get(3)?);
        let (rows, pages): (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
        let (wal, query): (f64, String) = (row.try_get(6)?, row.try_get(7)?);
        let each = |sum: f64| sum / (calls.max(1) as f64);
        writeln!(
            text,
            "| {calls} | {plans} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {} |",
            executing + planning,
            each(executing * 1_000.0),
            each(planning * 1_000.0),
            each(rows as f64),
            each(pages as f64),
            each(wal),
            query.replace('|', "\\|"),
        )?;
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
}
