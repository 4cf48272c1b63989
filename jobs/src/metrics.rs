//! The metrics of a process, for Prometheus. They have a listener of their own, apart from the API's.
//!
//! Events are counted where they happen, with the `metrics` macros, which do nothing if there is no listener. States
//! (the pool, the queues) are read when Prometheus asks.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use apalis_diesel::admin::{self, QueueStatistics};
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rollcall_domain::database::Database;
use rollcall_domain::start::settings::Settings;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt as _;

use crate::mail::SendError;
use crate::worker;

/// The upper bounds of the histograms' buckets, in seconds: from a claim that succeeds at once to a cascade that takes
/// an hour.
const BUCKETS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0, 3_600.0];
/// How often the histograms' samples are aggregated, even if nobody reads them.
const UPKEEP: Duration = Duration::from_secs(5);
/// The queues are read from the database at most this often, however many requests ask for them.
const GRAIN: Duration = Duration::from_secs(1);
/// How long a response waits for the database. After that, the other metrics are returned without it.
const DATABASE_WAIT: Duration = Duration::from_secs(2);
/// The maximum number of open connections. One more closes the oldest one.
const MAX_CONNECTIONS: usize = 32;
/// How long a connection may take. Each carries one request.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// Starts counting, and serves `/metrics` on the listener of the settings until `shutdown` is cancelled. Does nothing
/// if no listener is set.
///
/// # Errors
///
/// If the address can't be listened on.
pub async fn start(settings: &Settings, database: &Database, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let Some(address) = settings.rollcall_metrics_listen else { return Ok(()) };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("ROLLCALL_METRICS_LISTEN: can't listen on {address}"))?;
    let handle = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
    describe();
    // If the setting left the choice of port open, this is the actual port.
    tracing::info!("metrics on http://{}/metrics", listener.local_addr()?);
    gauge!("rollcall_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    #[expect(clippy::disallowed_methods, reason = "Prometheus compares it with the host's other processes")]
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge!("process_start_time_seconds").set(started.as_secs_f64());
    let upkeep = handle.clone();
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    }));
    let scrape = Arc::new(Scrape { handle, database: database.clone(), queues: Mutex::default() });
    let router = Router::new().route("/metrics", get(answer)).with_state(scrape);
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(serve(listener, router)));
    Ok(())
}

/// Serves the router. Clients that are silent or slow use up neither the process's files nor the places of others.
async fn serve(mut listener: TcpListener, router: Router) {
    let mut connections = VecDeque::new();
    loop {
        // If no more files can be opened, this waits.
        let (stream, _) = Listener::accept(&mut listener).await;
        connections.retain(|connection: &AbortOnDropHandle<()>| !connection.is_finished());
        if connections.len() >= MAX_CONNECTIONS {
            connections.pop_front();
        }
        let answered = tokio::time::timeout(CONNECTION_TIME, answer_one(stream, router.clone()));
        connections.push_back(AbortOnDropHandle::new(tokio::spawn(async {
            let _ = answered.await;
        })));
    }
}

/// Serves one request of a connection. Errors of a client that is gone or doesn't speak HTTP can be ignored.
async fn answer_one(stream: TcpStream, router: Router) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
}

fn describe() {
    apalis_diesel::describe_metrics();
    describe_gauge!("rollcall_build_info", "Always 1; its label is the program's version.");
    describe_gauge!("process_start_time_seconds", Unit::Seconds, "When the process started, since 1970.");
    describe_gauge!("rollcall_database_up", "Whether the database answered within two seconds.");
    describe_gauge!("rollcall_database_pool_connections", "Open connections of the process's pool, by state.");
    describe_gauge!("rollcall_database_pool_connections_limit", "Connections the pool may open.");
    describe_gauge!("rollcall_database_pool_waiting", "Requests and handlers that wait for a connection.");
    describe_gauge!("rollcall_jobs", "Unfinished and given-up jobs of the whole deployment, by queue and state.");
    describe_gauge!(
        "rollcall_jobs_oldest_due_seconds",
        Unit::Seconds,
        "For how long the queue's oldest due job has waited for a worker; 0 where none waits."
    );
    describe_counter!("rollcall_mails_total", "Mails by what became of them: sent, deferred or refused.");
    describe_histogram!("rollcall_mail_duration_seconds", Unit::Seconds, "How long handing over a mail took.");
    // Prometheus doesn't see an increase if a counter didn't exist before. Therefore, counters that alerts watch start
    // at 0.
    for outcome in ["sent", "deferred", "refused"] {
        counter!("rollcall_mails_total", "outcome" => outcome).increment(0);
    }
}

/// Counts an email by its outcome.
pub(crate) fn count_mail(outcome: &Result<(), SendError>, duration: Duration) {
    let outcome = match outcome {
        Ok(()) => "sent",
        Err(SendError::Temporary { .. }) => "deferred",
        Err(SendError::Permanent { .. }) => "refused",
    };
    counter!("rollcall_mails_total", "outcome" => outcome).increment(1);
    histogram!("rollcall_mail_duration_seconds").record(duration);
}

/// What a response is made from.
struct Scrape {
    handle: PrometheusHandle,
    database: Database,
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    read_at: Option<Instant>,
    /// All queues that were ever seen. One that has become empty is shown as empty.
    names: BTreeSet<String>,
}

async fn answer(State(scrape): State<Arc<Scrape>>) -> impl IntoResponse {
    show_pool(&scrape.database);
    scrape.queues.lock().await.show(&scrape.database).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], scrape.handle.render())
}

#[expect(clippy::cast_precision_loss, reason = "connections are few")]
fn show_pool(database: &Database) {
    let pool = database.pool_use();
    gauge!("rollcall_database_pool_connections", "state" => "in_use").set(pool.in_use as f64);
    gauge!("rollcall_database_pool_connections", "state" => "idle").set(pool.idle as f64);
    gauge!("rollcall_database_pool_connections_limit").set(pool.limit as f64);
    gauge!("rollcall_database_pool_waiting").set(pool.waiting as f64);
}

impl Queues {
    /// Updates the figures of the queues. They are unknown (NaN) if the database doesn't respond.
    async fn show(&mut self, database: &Database) {
        if self.read_at.is_some_and(|read_at| read_at.elapsed() < GRAIN) {
            return;
        }
        let read = async {
            let mut connection = database.connection().await.ok()?;
            admin::statistics(&mut connection).await.ok()
        };
        let statistics = tokio::time::timeout(DATABASE_WAIT, read).await.ok().flatten();
        self.read_at = Some(Instant::now());
        gauge!("rollcall_database_up").set(if statistics.is_some() { 1.0 } else { 0.0 });
        self.names.extend(worker::queues().map(str::to_owned));
        self.names.extend(statistics.iter().flatten().map(|queue| queue.queue.clone()));
        for name in &self.names {
            let found = statistics.as_ref().map(|queues| queues.iter().find(|queue| queue.queue == *name));
            show_queue(name, found);
        }
    }
}

/// Sets a queue's figures: 0 if it is empty, and unknown (NaN) if the database didn't respond.
#[expect(clippy::cast_precision_loss, reason = "so many jobs that a float is inexact would not fit a disk")]
fn show_queue(name: &str, found: Option<Option<&QueueStatistics>>) {
    let figure = |of: fn(&QueueStatistics) -> f64| found.map_or(f64::NAN, |queue| queue.map_or(0.0, of));
    let states = [
        ("waiting", figure(|queue| queue.waiting as f64)),
        ("scheduled", figure(|queue| queue.scheduled as f64)),
        ("retrying", figure(|queue| queue.retrying as f64)),
        ("running", figure(|queue| queue.running as f64)),
        ("given_up", figure(|queue| queue.given_up as f64)),
    ];
    for (state, jobs) in states {
        gauge!("rollcall_jobs", "queue" => name.to_owned(), "state" => state).set(jobs);
    }
    let oldest = figure(|queue| queue.oldest_due_seconds);
    gauge!("rollcall_jobs_oldest_due_seconds", "queue" => name.to_owned()).set(oldest);
}
