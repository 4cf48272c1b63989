//! A worker in a process of its own: how tests start and treat it, and what it does.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use apalis_core::monitor::Monitor;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_diesel::{ClaimedJob, Job, JobError, JobStore, StoreOptions, enqueue};
use chrono::Utc;
use diesel::ExpressionMethods;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, Command};
use uuid::Uuid;

use crate::support::soon;

diesel::table! {
    effects (job_id, attempt) {
        job_id -> Uuid,
        attempt -> Integer,
        worker -> Text,
        host_clock -> Timestamptz,
    }
}

/// One thing that a handler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Waits so many milliseconds.
    Pause(u64),
    /// Fails at the first attempt.
    FailOnce,
    /// Waits until the test opens the gate of this attempt.
    Gate,
    /// Blocks its thread until then.
    BlockAtGate,
    /// Commits an effect, under `hold`.
    Commit,
    /// Commits an effect and the job's end together, by `complete`.
    Complete,
    /// Waits at the gate with a transaction open, under `hold`, and then does as `Complete`.
    CompleteAtGate,
    /// Enqueues a job that commits an effect.
    Enqueue,
}

/// A job that does as it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Script {
    pub steps: Vec<Step>,
    /// Whether the steps go on even where the handler is stopped.
    pub detached: bool,
}

impl Script {
    pub fn new(steps: impl Into<Vec<Step>>) -> Self {
        Self { steps: steps.into(), detached: false }
    }

    pub fn detached(steps: impl Into<Vec<Step>>) -> Self {
        Self { steps: steps.into(), detached: true }
    }
}

impl Job for Script {
    const QUEUE: &'static str = "scripts";
    const KIND: &'static str = "script";
}

/// A job that ends its process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deadly {}

impl Job for Deadly {
    const QUEUE: &'static str = Script::QUEUE;
    const KIND: &'static str = "deadly";
    const MAX_ATTEMPTS: i32 = 3;
}

/// What a worker process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    pub worker: String,
    pub url: String,
    /// For its notes, and where the gates are.
    pub folder: PathBuf,
    pub concurrency: usize,
    /// Threads of its runtime.
    pub threads: usize,
    pub lease: Duration,
    pub heartbeat: Duration,
    pub look: Duration,
}

/// The environment variable that the settings are in.
const SETTINGS: &str = "APALIS_DIESEL_TEST_WORKER";

/// A worker process, killed when this is dropped.
pub struct Process {
    pub worker: String,
    child: Child,
    /// Kept apart: waiting for a child closes its own.
    input: Option<ChildStdin>,
}

impl Process {
    /// Starts a worker, with some more environment variables.
    pub fn start(settings: &Settings, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["faults::process::worker_process", "--exact", "--ignored", "--nocapture"])
            .env(SETTINGS, serde_json::to_string(settings).unwrap())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { worker: settings.worker.clone(), input: child.stdin.take(), child }
    }

    /// Sends SIGKILL, and waits until the process is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Stops the process where it is (SIGSTOP).
    pub async fn stop(&self) {
        self.signal("-STOP").await;
    }

    /// Lets a stopped process go on (SIGCONT).
    pub async fn go_on(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.unwrap()
    }

    /// Shuts the worker down, and waits until everything it had to say is in the database.
    pub async fn shut_down(mut self) {
        drop(self.input.take());
        assert!(self.ended().await.success());
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

/// The worker process itself. It ends when its standard input does, so it doesn't outlive its test.
#[test]
#[ignore = "started by the tests of this module"]
fn worker_process() {
    let Ok(settings) = env::var(SETTINGS) else { return };
    let settings: Settings = serde_json::from_str(&settings).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(settings.threads).enable_all().build().unwrap();
    runtime.block_on(work(settings));
}

async fn work(settings: Settings) {
    let mut options = StoreOptions::default();
    options.worker = settings.worker.clone();
    options.lease = settings.lease;
    options.heartbeat = settings.heartbeat;
    options.look = settings.look;
    let store = JobStore::start(&settings.url, options).unwrap();
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    let host = Arc::new(Host {
        pool: Pool::builder(AsyncDieselConnectionManager::new_with_config(&settings.url, config))
            .max_size(4)
            .build()
            .unwrap(),
        notes: note_file(&settings.folder, &settings.worker),
        worker: settings.worker,
        folder: settings.folder,
    });
    let queues = store.clone();
    let monitor = Monitor::new().register(move |_| {
        let host = host.clone();
        let queue = queues.queue(Script::QUEUE, settings.concurrency);
        WorkerBuilder::new(Script::QUEUE).backend(queue).build(move |job: ClaimedJob| {
            let host = host.clone();
            async move { host.run(job).await }
        })
    });
    let end = async {
        let mut nothing = Vec::new();
        tokio::io::stdin().read_to_end(&mut nothing).await.map(drop)
    };
    monitor.run_with_signal(end).await.unwrap();
    store.close().await;
}

fn note_file(folder: &Path, worker: &str) -> File {
    OpenOptions::new().create_new(true).append(true).open(folder.join(format!("{worker}.notes"))).unwrap()
}

/// What becomes of a run, as noted outside of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The handler has been called.
    Began,
    /// It holds the job in an open transaction.
    Held,
    Succeeded,
    /// For instance because the database could not be reached.
    Failed,
    /// The claim was lost.
    Refused,
}

/// A line of a worker's notes: event, job, attempt.
pub type Note = (Event, Uuid, i32);

/// The gate of an attempt is open if this file is there.
pub fn gate(folder: &Path, job: Uuid, attempt: i32) -> PathBuf {
    folder.join(format!("{job}.{attempt}.gate"))
}

/// What handlers have.
struct Host {
    pool: Pool<AsyncPgConnection>,
    notes: File,
    worker: String,
    folder: PathBuf,
}

impl Host {
    async fn run(self: Arc<Self>, job: ClaimedJob) -> Result<(), JobError> {
        self.note(Event::Began, &job);
        if job.kind == Deadly::KIND {
            std::process::abort();
        }
        let script: Script = job.decode()?;
        if script.detached {
            tokio::spawn(self.perform(job, script.steps)).await.unwrap()
        } else {
            self.perform(job, script.steps).await
        }
    }

    async fn perform(self: Arc<Self>, job: ClaimedJob, steps: Vec<Step>) -> Result<(), JobError> {
        for step in steps {
            if let Err(error) = self.take(step, &job).await {
                let lost = error == JobError::Lost;
                self.note(if lost { Event::Refused } else { Event::Failed }, &job);
                // Sooner than usual.
                return Err(if lost { error } else { JobError::retry_after(error.to_string(), RETRY) });
            }
        }
        self.note(Event::Succeeded, &job);
        Ok(())
    }

    async fn take(&self, step: Step, job: &ClaimedJob) -> Result<(), JobError> {
        match step {
            Step::Pause(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
            Step::FailOnce if job.attempt == 1 => return Err(JobError::retry("as told")),
            Step::FailOnce => {}
            Step::Gate => self.wait_at_gate(job).await,
            Step::BlockAtGate => {
                while !self.gate_is_open(job) {
                    std::thread::sleep(LOOK);
                }
            }
            Step::Commit | Step::Complete | Step::CompleteAtGate => self.commit(step, job).await?,
            Step::Enqueue => {
                enqueue(&*self.pool.get().await?, &Script::new([Step::Complete])).await?;
            }
        }
        Ok(())
    }

    async fn commit(&self, step: Step, job: &ClaimedJob) -> Result<(), JobError> {
        let mut connection = self.pool.get().await?;
        connection
            .transaction(async |connection| {
                if step != Step::Complete {
                    job.hold(connection).await?;
                }
                if step == Step::CompleteAtGate {
                    self.note(Event::Held, job);
                    self.wait_at_gate(job).await;
                }
                let effect = (
                    effects::job_id.eq(job.id),
                    effects::attempt.eq(job.attempt),
                    effects::worker.eq(&self.worker),
                    effects::host_clock.eq(Utc::now()),
                );
                diesel::insert_into(effects::table).values(effect).execute(connection).await?;
                if step != Step::Commit {
                    job.complete(connection).await?;
                }
                Ok(())
            })
            .await
    }

    async fn wait_at_gate(&self, job: &ClaimedJob) {
        while !self.gate_is_open(job) {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn gate_is_open(&self, job: &ClaimedJob) -> bool {
        gate(&self.folder, job.id, job.attempt).exists()
    }

    fn note(&self, event: Event, job: &ClaimedJob) {
        let note: Note = (event, job.id, job.attempt);
        // One write, so that a line is there or not.
        (&self.notes).write_all(format!("{}\n", serde_json::to_string(&note).unwrap()).as_bytes()).unwrap();
    }
}

/// Pause before a failed job is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// Between two looks at a gate.
const LOOK: Duration = Duration::from_millis(5);
