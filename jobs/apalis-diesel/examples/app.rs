//! A whole application: it greets whoever is named, and every ten seconds says how many were greeted.
//!
//! ```sh
//! createdb app
//! DATABASE_URL=postgres://… cargo run -p apalis-diesel --example app -- Ada Grace
//! ```
//!
//! Once one runs, others can join it. Ctrl-C ends it.

use std::env;
use std::error::Error;
use std::time::Duration;

use apalis::prelude::{Monitor, WorkerBuilder};
use apalis_diesel::{
    ClaimedJob, Job, JobError, JobStore, MIGRATIONS, Schedules, StoreOptions, Wake, correlation, enqueue_all,
};
use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::MigrationHarness;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Job for Greet {
    const QUEUE: &'static str = "greetings";
    const KIND: &'static str = "greet";
}

#[derive(Serialize, Deserialize)]
struct Count {}

impl Job for Count {
    const QUEUE: &'static str = "greetings";
    const KIND: &'static str = "count";
}

async fn handle(job: ClaimedJob, pool: Pool<AsyncPgConnection>) -> Result<(), JobError> {
    match job.kind.as_str() {
        Greet::KIND => {
            let Greet { name } = job.decode()?;
            println!("Hello, {name}!");
            let mut connection = pool.get().await?;
            connection
                .transaction(async |connection| {
                    // If another process had taken the job over meanwhile, this would end the transaction.
                    job.hold(connection).await?;
                    diesel::sql_query("UPDATE greetings SET count = count + 1").execute(connection).await?;
                    // The count and the end of the job commit together.
                    job.complete(connection).await
                })
                .await
        }
        Count::KIND => {
            let greetings = "SELECT count FROM greetings";
            let greetings: Greetings = diesel::sql_query(greetings).get_result(&mut pool.get().await?).await?;
            println!("{} were greeted", greetings.count);
            Ok(())
        }
        _ => Err(job.unknown_kind()),
    }
}

#[derive(QueryableByName)]
struct Greetings {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt().init();
    let url = env::var("DATABASE_URL")?;
    AsyncMigrationHarness::new(AsyncPgConnection::establish(&url).await?).run_pending_migrations(MIGRATIONS)?;
    let pool = Pool::builder(AsyncDieselConnectionManager::new(&url)).build()?;
    let wake = Wake::start(pool.clone());

    // A change and the jobs that it calls for, in one transaction.
    let greetings: Vec<Greet> = env::args().skip(1).map(|name| Greet { name }).collect();
    let mut connection = pool.get().await?;
    let change = connection.transaction::<_, diesel::result::Error, _>(async |connection| {
        let table = "CREATE TABLE IF NOT EXISTS greetings (count bigint NOT NULL)";
        diesel::sql_query(table).execute(connection).await?;
        let row = "INSERT INTO greetings SELECT 0 WHERE NOT EXISTS (SELECT FROM greetings)";
        diesel::sql_query(row).execute(connection).await?;
        enqueue_all(connection, &greetings).await?;
        Ok(())
    });
    correlation::scope("command line", change).await?;
    drop(connection);
    wake.wake();

    let store = JobStore::start(url, StoreOptions::default())?;
    store.run_schedules(Schedules::new().add("count", "*/10 * * * * *", |_| Count {})?);
    let queues = store.clone();
    let monitor = Monitor::new().shutdown_timeout(Duration::from_secs(25)).register(move |_| {
        let pool = pool.clone();
        WorkerBuilder::new("greetings")
            .backend(queues.queue(Greet::QUEUE, 10))
            .build(move |job: ClaimedJob| handle(job, pool.clone()))
    });
    monitor.run_with_signal(tokio::signal::ctrl_c()).await?;
    store.close().await;
    Ok(())
}
