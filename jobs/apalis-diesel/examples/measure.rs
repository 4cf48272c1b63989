//! Measures how fast one worker drains no-op jobs, and how soon it picks up a single one.
//!
//! ```sh
//! createdb measure
//! DATABASE_URL=postgres://… cargo run --release -p apalis-diesel --example measure -- 20000 500
//! ```
//!
//! The arguments are the number of jobs and the concurrency; `--json` prints one line for programs. The table `jobs` is
//! made where it doesn't exist, and emptied.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use apalis::prelude::{Monitor, WorkerBuilder};
use apalis_diesel::{ClaimedJob, Job, JobError, JobStore, MIGRATIONS, StoreOptions, Wake, enqueue, enqueue_all};
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::MigrationHarness;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Clone, Serialize, Deserialize)]
struct Nothing {
    number: usize,
}

impl Job for Nothing {
    const QUEUE: &'static str = "nothing";
    const KIND: &'static str = "nothing";
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let url = env::var("DATABASE_URL")?;
    let (flags, arguments): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let json = flags.iter().any(|flag| flag == "--json");
    let mut arguments = arguments.iter().map(|argument| argument.parse::<usize>());
    let jobs = arguments.next().unwrap_or(Ok(20_000))?;
    let concurrency = arguments.next().unwrap_or(Ok(500))?;

    let mut harness = AsyncMigrationHarness::new(AsyncPgConnection::establish(&url).await?);
    harness.run_pending_migrations(MIGRATIONS)?;
    let mut connection = harness.into_inner();
    connection.batch_execute("TRUNCATE jobs").await?;
    let start = Instant::now();
    let numbers: Vec<Nothing> = (0..jobs).map(|number| Nothing { number }).collect();
    for chunk in numbers.chunks(1_000) {
        enqueue_all(&connection, chunk).await?;
    }
    let enqueued = start.elapsed();
    // The drain is measured, not what is left of this.
    connection.batch_execute("CHECKPOINT").await?;

    let (done, mut finished) = mpsc::unbounded_channel();
    let start = Instant::now();
    let store = JobStore::start(&url, StoreOptions::default())?;
    let queues = store.clone();
    let monitor = Monitor::new().register(move |_| {
        let done = done.clone();
        WorkerBuilder::new("nothing").backend(queues.queue(Nothing::QUEUE, concurrency)).build(move |_: ClaimedJob| {
            let _ = done.send(Instant::now());
            async { Ok::<(), JobError>(()) }
        })
    });
    let context = monitor.context();
    let worker = tokio::spawn(monitor.run());
    for _ in 0..jobs {
        finished.recv().await;
    }
    while store.running() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let drained = start.elapsed();

    let wake = Wake::start(Pool::builder(AsyncDieselConnectionManager::new(&url)).build()?);
    let mut delays = Vec::new();
    for number in 0..200 {
        enqueue(&connection, &Nothing { number }).await?;
        let committed = Instant::now();
        wake.wake();
        if let Some(started) = finished.recv().await {
            delays.push(started - committed);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    delays.sort();
    let at = |part: usize| delays.get(delays.len() * part / 100).copied().unwrap_or_default();
    if json {
        let (seconds, pickup) = (drained.as_secs_f64(), at(50).as_secs_f64());
        println!("{}", serde_json::json!({ "jobs": jobs, "seconds": seconds, "pickup_seconds": pickup }));
    } else {
        report("enqueued", jobs, enqueued);
        report("done and acknowledged", jobs, drained);
        println!("picked up a single job after {:?} in the median, p99 {:?}", at(50), at(99));
    }

    context.shutdown()?;
    worker.await??;
    store.close().await;
    Ok(())
}

fn report(what: &str, jobs: usize, took: Duration) {
    println!("{what}: {jobs} jobs in {took:?}, {:.0} a second", jobs as f64 / took.as_secs_f64());
}
