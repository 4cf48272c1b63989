use std::time::{Duration, Instant};

use apalis_core::monitor::Monitor;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_diesel::admin::JobStatus;
use apalis_diesel::{ClaimedJob, Job, JobError, JobStore, describe_metrics, enqueue};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};

use crate::support::{Database, Worker, lively};

/// In a queue of its own, since the recorder hears the other tests, too.
#[derive(Serialize, Deserialize)]
struct Measured {
    outcome: String,
}

impl Measured {
    fn new(outcome: &str) -> Self {
        Self { outcome: outcome.to_owned() }
    }
}

impl Job for Measured {
    const QUEUE: &'static str = "measured";
    const KIND: &'static str = "measured";
}

async fn handle(job: ClaimedJob) -> Result<(), JobError> {
    match job.decode::<Measured>()?.outcome.as_str() {
        "retried" if job.attempt == 1 => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(JobError::retry_after("as told", Duration::ZERO))
        }
        "given up" => Err(JobError::discard("as told")),
        "given back" => std::future::pending().await,
        _ => Ok(()),
    }
}

/// The value of a line of what Prometheus gets.
fn value(recorder: &PrometheusHandle, series: &str) -> Option<f64> {
    let text = recorder.render();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_durations_and_pick_ups_are_measured() {
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    describe_metrics();
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    let mut ids = Vec::new();
    for outcome in ["done", "retried", "given up", "lost"] {
        ids.push(enqueue(connection, &Measured::new(outcome)).await.unwrap().unwrap());
    }
    // For so long they have been due, but for the lost one, whose time begins again.
    database.put_clock_ahead("10 seconds").await;
    database.let_lease_run_out(ids[3]).await;

    let store = JobStore::start(&database.url, lively()).unwrap();
    let queues = store.clone();
    let monitor = Monitor::new()
        .register(move |_| WorkerBuilder::new("measured").backend(queues.queue(Measured::QUEUE, 10)).build(handle));
    let worker = Worker::monitor(store, monitor);
    for id in [ids[0], ids[1], ids[3]] {
        database.until_status(id, JobStatus::Done).await;
    }
    database.until_status(ids[2], JobStatus::GivenUp).await;
    // The lost one ran alone, so nothing may have run beside it.
    let given_back = enqueue(connection, &Measured::new("given back")).await.unwrap().unwrap();
    database.until_status(given_back, JobStatus::Running).await;
    let running = r#"apalis_diesel_jobs_running{queue="measured"}"#;
    // An acknowledgement is in the database just before its claim is forgotten.
    let start = Instant::now();
    while value(&recorder, running) != Some(1.0) {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", recorder.render());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.abort().await;

    let finished = |outcome: &str| {
        let labels = format!(r#"{{queue="measured",kind="measured",outcome="{outcome}"}}"#);
        value(&recorder, &format!("apalis_diesel_jobs_finished_total{labels}"))
    };
    let outcomes = ["done", "retried", "given_up", "given_back", "lost"];
    assert_eq!(outcomes.map(finished), [3.0, 1.0, 1.0, 1.0, 1.0].map(Some), "{}", recorder.render());
    let measured = r#"{queue="measured",kind="measured"}"#;
    // Two for the one that was retried, none for the lost attempt, which wasn't made here.
    assert_eq!(value(&recorder, &format!("apalis_diesel_job_duration_seconds_count{measured}")), Some(6.0));
    assert!(value(&recorder, &format!("apalis_diesel_job_duration_seconds_sum{measured}")).unwrap() >= 0.1);
    let pickups = r#"apalis_diesel_job_pickup_seconds_count{queue="measured"}"#;
    assert_eq!(value(&recorder, pickups), Some(6.0));
    let waited = value(&recorder, r#"apalis_diesel_job_pickup_seconds_sum{queue="measured"}"#).unwrap();
    assert!((30.0..1000.0).contains(&waited), "{waited} seconds");
    assert_eq!(value(&recorder, running), Some(0.0));
    assert!(recorder.render().contains("# HELP apalis_diesel_jobs_finished_total "));
}
