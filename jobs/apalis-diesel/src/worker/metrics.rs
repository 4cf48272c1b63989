//! Metrics, recorded with the facade [`metrics`]. If no recorder is installed, they do nothing and cost almost
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, SharedString, Unit};

use super::outcome::Outcome;

const FINISHED: &str = "apalis_diesel_jobs_finished_total";
const RUNNING: &str = "apalis_diesel_jobs_running";
const DURATION: &str = "apalis_diesel_job_duration_seconds";
const PICKUP: &str = "apalis_diesel_job_pickup_seconds";

/// Describes each metric to the installed recorder of the crate `metrics`. Call this once, after the recorder was
/// installed.
pub fn describe_metrics() {
    metrics::describe_counter!(FINISHED, Unit::Count, "Attempts at jobs that have ended, by their outcome");
    metrics::describe_gauge!(RUNNING, Unit::Count, "Jobs that this process has claimed and not yet acknowledged");
    metrics::describe_histogram!(DURATION, Unit::Seconds, "How long handlers ran, whatever their outcome");
    metrics::describe_histogram!(PICKUP, Unit::Seconds, "How long jobs were due before they were claimed");
}

/// The metrics of one queue. They are made again for each batch of claims, so that a recorder that is installed later
/// is used, and yet not every job has to look up its metrics.
pub(crate) struct QueueMetrics {
    queue: SharedString,
    running: Gauge,
    pickup: Histogram,
    kinds: HashMap<String, Arc<KindMetrics>>,
}

impl QueueMetrics {
    pub(crate) fn new(queue: &str) -> Self {
        let queue = SharedString::from_shared(Arc::from(queue));
        Self {
            running: metrics::gauge!(RUNNING, "queue" => queue.clone()),
            pickup: metrics::histogram!(PICKUP, "queue" => queue.clone()),
            kinds: HashMap::new(),
            queue,
        }
    }

    /// Records that a job was claimed this many seconds after it was due.
    pub(crate) fn claimed(&mut self, kind: &str, pickup: f64) -> JobMetrics {
        self.pickup.record(pickup.max(0.0));
        let kind = match self.kinds.get(kind) {
            Some(metrics) => metrics.clone(),
            None => {
                let metrics = Arc::new(KindMetrics::new(&self.queue, kind));
                self.kinds.insert(kind.to_owned(), metrics.clone());
                metrics
            }
        };
        self.running.increment(1.0);
        JobMetrics { kind, _running: Running(self.running.clone()) }
    }
}

/// The metrics of a job while it is claimed.
pub(crate) struct JobMetrics {
    pub(crate) kind: Arc<KindMetrics>,
    _running: Running,
}

struct Running(Gauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// The metrics of the jobs of one kind in one queue.
pub(crate) struct KindMetrics {
    done: Counter,
    retried: Counter,
    given_up: Counter,
    postponed: Counter,
    given_back: Counter,
    pub(crate) duration: Histogram,
}

impl KindMetrics {
    fn new(queue: &SharedString, kind: &str) -> Self {
        let kind = SharedString::from_shared(Arc::from(kind));
        Self {
            done: finished(queue.clone(), kind.clone(), "done"),
            retried: finished(queue.clone(), kind.clone(), "retried"),
            given_up: finished(queue.clone(), kind.clone(), "given_up"),
            postponed: finished(queue.clone(), kind.clone(), "postponed"),
            given_back: finished(queue.clone(), kind.clone(), "given_back"),
            duration: metrics::histogram!(DURATION, "queue" => queue.clone(), "kind" => kind),
        }
    }

    pub(crate) fn ended(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => &self.done,
            Outcome::Retry { .. } => &self.retried,
            Outcome::GivenUp { .. } => &self.given_up,
            Outcome::Postponed { .. } => &self.postponed,
            Outcome::GivenBack => &self.given_back,
        }
        .increment(1);
    }
}

/// Records that a lease ran out. The process that frees the job calls this, since the one that held the lease may be
/// dead.
pub(crate) fn lease_ran_out(queue: String, kind: String, given_up: bool) {
    finished(queue.into(), kind.into(), if given_up { "given_up" } else { "lost" }).increment(1);
}

fn finished(queue: SharedString, kind: SharedString, outcome: &'static str) -> Counter {
    metrics::counter!(FINISHED, "queue" => queue, "kind" => kind, "outcome" => outcome)
}
