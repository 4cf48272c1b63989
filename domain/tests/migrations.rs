//! The migrations against a real PostgreSQL: down and up again, and diesel's picture of the tables against the tables.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use rollcall_builtin_postgres::{BuiltinPostgres, Options};
use rollcall_domain::database::Endpoint;
use rollcall_domain::database::migrations::{is_migrated, migrate, revert_migrations};

#[derive(QueryableByName, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

async fn lines(connection: &mut AsyncPgConnection, query: &str) -> BTreeSet<String> {
    let lines: Vec<Line> = diesel::sql_query(query).load(connection).await.unwrap();
    lines.into_iter().map(|line| line.line).collect()
}

/// Every object that migrations make.
async fn objects(connection: &mut AsyncPgConnection) -> BTreeSet<String> {
    lines(
        connection,
        "SELECT 'relation ' || relname AS line FROM pg_class WHERE relnamespace = 'public'::regnamespace \
         UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
         UNION ALL SELECT 'constraint ' || conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
         UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal",
    )
    .await
}

/// The columns as `schema.rs` declares them.
fn declared() -> BTreeSet<String> {
    let source = include_str!("../src/database/schema.rs");
    let mut table = String::new();
    let mut columns = BTreeSet::new();
    for line in source.lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with('{')) {
            table = name.to_owned();
        } else if let Some((column, sql_type)) = line.trim_end_matches(',').split_once(" -> ") {
            columns.insert(format!("{table}.{column} {sql_type}"));
        }
    }
    columns
}

/// Of two with one version only one would run.
#[test]
fn every_migration_has_a_version_of_its_own() {
    let mut versions = BTreeSet::new();
    for folder in ["../migrations", "../jobs/apalis-diesel/migrations"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for migration in std::fs::read_dir(folder).unwrap() {
            let name = migration.unwrap().file_name().into_string().unwrap();
            let version = name.split('_').next().unwrap_or_default().to_owned();
            assert!(versions.insert(version), "{name} has the version of another migration");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_run_down_and_up_again_and_agree_with_the_code() {
    let postgres = BuiltinPostgres::start(
        &std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("migrations"),
        Options { fsync: false },
    );
    let postgres = postgres.expect("PostgreSQL starts");
    let mut owner = AsyncPgConnection::establish(&postgres.url("postgres")).await.unwrap();
    diesel::sql_query("DROP DATABASE IF EXISTS migrations WITH (FORCE)").execute(&mut owner).await.unwrap();
    diesel::sql_query("CREATE DATABASE migrations").execute(&mut owner).await.unwrap();
    let url = postgres.url("migrations");
    let endpoint = Endpoint::parse("the test's database", &url, None).unwrap();
    let mut connection = AsyncPgConnection::establish(&url).await.unwrap();

    assert!(!is_migrated(&mut connection).await.unwrap());
    migrate(&endpoint).await.unwrap();
    assert!(is_migrated(&mut connection).await.unwrap());
    let first = objects(&mut connection).await;

    let found = lines(
        &mut connection,
        "SELECT table_name || '.' || column_name || ' ' || CASE WHEN is_nullable = 'YES' THEN 'Nullable<' || type || '>' ELSE type END AS line \
         FROM information_schema.columns, LATERAL (SELECT CASE udt_name WHEN 'timestamptz' THEN 'Timestamptz' WHEN '_text' THEN 'Array<Text>' ELSE initcap(udt_name) END AS type) AS t \
         WHERE table_schema = 'public' AND table_name NOT IN ('jobs', 'job_schedules', '__diesel_schema_migrations')",
    )
    .await;
    assert_eq!(found, declared());

    revert_migrations(&endpoint).await.unwrap();
    let left = objects(&mut connection).await;
    let ours: Vec<_> = left.iter().filter(|object| !object.contains("__diesel_schema_migrations")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    migrate(&endpoint).await.unwrap();
    assert_eq!(objects(&mut connection).await, first);

    drop(connection);
    diesel::sql_query("DROP DATABASE migrations WITH (FORCE)").execute(&mut owner).await.unwrap();
}
