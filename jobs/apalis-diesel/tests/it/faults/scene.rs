//! A database with workers, and what they leave behind.

use std::collections::HashMap;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apalis_diesel::admin::{self, JobFilter, JobRecord, JobStatus};
use apalis_diesel::{Job, enqueue_all};
use chrono::{DateTime, Utc};
use diesel_async::RunQueryDsl;
use rollcall_builtin_postgres::BuiltinPostgres;
use uuid::Uuid;

use super::process::{Event, Note, Process, Script, Settings, Step, effects, gate};
use crate::support::{Database, PATIENCE, folder};

/// Long enough for a busy machine to keep it, short enough to wait until it has run out.
pub const LEASE: Duration = Duration::from_secs(3);

/// A database of its own and a folder for what the workers write.
pub struct Scene {
    database: Database,
    folder: PathBuf,
}

impl Deref for Scene {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

impl Scene {
    pub async fn new() -> Self {
        Self::on(Database::new().await).await
    }

    /// On a cluster of its own.
    pub async fn of(cluster: Arc<BuiltinPostgres>) -> Self {
        Self::on(Database::of(cluster).await).await
    }

    async fn on(database: Database) -> Self {
        let folder = folder().join(database.name());
        fs::create_dir_all(&folder).unwrap();
        // Without a key, so that nothing keeps a second effect out.
        database
            .sql(
                "CREATE TABLE effects
                     (job_id uuid NOT NULL, attempt integer NOT NULL, worker text NOT NULL, host_clock timestamptz NOT NULL)",
            )
            .await;
        Self { database, folder }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn settings(&self, worker: &str) -> Settings {
        Settings {
            worker: worker.to_owned(),
            url: self.url.clone(),
            folder: self.folder.clone(),
            concurrency: 16,
            threads: 2,
            lease: LEASE,
            heartbeat: Duration::from_millis(300),
            look: Duration::from_millis(100),
        }
    }

    pub fn start(&self, worker: &str) -> Process {
        Process::start(&self.settings(worker), &[])
    }

    pub async fn enqueue_scripts(&self, scripts: &[Script]) -> Vec<Uuid> {
        enqueue_all(&self.connection().await, scripts).await.unwrap().into_iter().flatten().collect()
    }

    pub fn open_gate(&self, job: Uuid, attempt: i32) {
        fs::write(gate(&self.folder, job, attempt), []).unwrap();
    }

    /// Waits until a worker has noted something.
    pub async fn until_noted(&self, event: Event, job: Uuid, attempt: i32) {
        let start = Instant::now();
        while !self.notes().iter().any(|(_, note)| *note == (event, job, attempt)) {
            assert!(start.elapsed() < PATIENCE, "never noted {event:?} of attempt {attempt} at {job}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn until_all_finished(&self) {
        self.until_number("SELECT count(*) AS value FROM jobs WHERE finished_at IS NULL", 0).await;
    }

    /// What the workers have noted, each with the worker's name.
    fn notes(&self) -> Vec<(String, Note)> {
        let mut notes = Vec::new();
        for entry in fs::read_dir(&self.folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "notes") {
                let worker = path.file_stem().unwrap().to_str().unwrap().to_owned();
                for line in fs::read_to_string(&path).unwrap().split_inclusive('\n').filter(|line| line.ends_with('\n'))
                {
                    notes.push((worker.clone(), serde_json::from_str(line).unwrap()));
                }
            }
        }
        notes
    }

    /// What is left of all jobs.
    pub async fn record(&self) -> Record {
        let connection = &mut self.connection().await;
        let jobs = admin::list(connection, &JobFilter::default(), 1_000_000).await.unwrap();
        let effects: Vec<(Uuid, i32, String, DateTime<Utc>)> = effects::table.load(connection).await.unwrap();
        let mut runs: HashMap<(Uuid, i32), Run> = HashMap::new();
        for (worker, (event, job, attempt)) in self.notes() {
            if event == Event::Began {
                let run = Run { worker, ending: None, effects: Vec::new() };
                assert!(runs.insert((job, attempt), run).is_none(), "attempt {attempt} at {job} ran twice");
            } else if event != Event::Held {
                runs.get_mut(&(job, attempt)).unwrap().ending = Some(event);
            }
        }
        for (job, attempt, worker, host_clock) in effects {
            let run = runs.get_mut(&(job, attempt)).expect("an effect comes from a run");
            assert_eq!(run.worker, worker);
            run.effects.push(host_clock);
        }
        Record { jobs, runs }
    }
}

/// The jobs, and what was noted of each run and committed by it.
pub struct Record {
    pub jobs: Vec<JobRecord>,
    pub runs: HashMap<(Uuid, i32), Run>,
}

/// A handler's run for one attempt.
#[derive(Debug)]
pub struct Run {
    pub worker: String,
    pub ending: Option<Event>,
    /// When each was made by its host's clock.
    pub effects: Vec<DateTime<Utc>>,
}

impl Record {
    /// Makes sure that each script is done; that it has had its effect exactly once; and that it ran again only after a
    /// run that something happened to. Where the handler doesn't complete the job in its transaction, such a run may
    /// have had its effect, too.
    pub fn assert_done_once(&self, something_happened_to: impl Fn(&Run) -> bool) {
        for job in self.jobs.iter().filter(|job| job.kind == Script::KIND) {
            assert_eq!(job.status, JobStatus::Done, "{job:?}");
            let script: Script = serde_json::from_value(job.payload.clone()).unwrap();
            let completes = !script.steps.contains(&Step::Commit);
            let mut effects = 0;
            for attempt in 1..=job.attempt {
                // A claim whose answer got lost with its connection or its process has no run.
                let Some(run) = self.runs.get(&(job.id, attempt)) else { continue };
                let last = attempt == job.attempt;
                assert!(last || something_happened_to(run), "no reason to run {job:?} after {run:?}");
                assert!(run.effects.len() <= 1, "{job:?} had its effects more than once in {run:?}");
                effects += if last || completes { run.effects.len() } else { 0 };
            }
            assert_eq!(effects, 1, "effects of {job:?}");
        }
        let attempts: HashMap<Uuid, i32> = self.jobs.iter().map(|job| (job.id, job.attempt)).collect();
        for (job, attempt) in self.runs.keys() {
            assert!(Some(attempt) <= attempts.get(job), "attempt {attempt} at {job} isn't in the database");
        }
    }

    /// How many runs were followed by another.
    pub fn repeated(&self) -> usize {
        self.jobs.iter().map(|job| usize::try_from(job.attempt - 1).unwrap()).sum()
    }
}
