//! Commands for jobs: what is waiting, what was given up and why, and retrying or deleting it.

use std::io::{ErrorKind, Write};

use anyhow::{Context, bail};
use apalis_diesel::admin::{self, JobFilter, JobRecord, JobStatus, QueueStatistics};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::database::Database;
use rollcall_domain::upkeep::job_admin;
use serde_json::{Value, json};
use uuid::Uuid;

/// The number of given-up jobs that are read at a time.
const PAGE: u32 = 500;

/// What can be done with jobs.
#[derive(Subcommand)]
pub enum Command {
    /// List jobs, newest first.
    List {
        #[command(flatten)]
        of: Of,
        /// Only jobs with this status: waiting, running, done or given_up.
        #[arg(long)]
        status: Option<JobStatus>,
        /// The largest number of jobs to list.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Show everything about a job.
    Show {
        /// The job's ID.
        id: Uuid,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Retry given-up jobs at once, with all their attempts.
    Retry {
        /// The job's ID.
        #[arg(required_unless_present = "all_given_up", conflicts_with_all = ["all_given_up", "queue", "kind"])]
        id: Option<Uuid>,
        /// Retry every given-up job, or only those of the given queue or kind.
        #[arg(long)]
        all_given_up: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Delete a given-up job: its work will never be done.
    Cancel {
        /// The job's ID.
        id: Uuid,
    },
    /// Show how many jobs each queue has, and how long the oldest has been due.
    Statistics {
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

/// Which jobs are meant.
#[derive(Args)]
pub struct Of {
    /// Only jobs in this queue: mail, expiry, departure, …
    #[arg(long)]
    queue: Option<String>,
    /// Only jobs of this kind, such as mail_invitation.
    #[arg(long)]
    kind: Option<String>,
}

/// Runs a command.
pub async fn run(database: &Database, staff: &Actor, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { of, status, limit, json } => {
            let filter = JobFilter { queue: of.queue, kind: of.kind, status, ..JobFilter::default() };
            let jobs = admin::list(&mut *database.connection().await?, &filter, limit).await?;
            let head = ["ID", "QUEUE", "KIND", "STATUS", "TRIES", "DUE", "ERROR"];
            print(&if json { lines(jobs.iter().map(as_json)) } else { table(&head, jobs.iter().map(row)) })
        }
        Command::Show { id, json } => {
            let found = admin::find(&mut *database.connection().await?, id).await?;
            let job = found.with_context(|| format!("there is no job {id}"))?;
            print(&if json { lines([as_json(&job)]) } else { description(&job) })
        }
        Command::Retry { id: Some(id), .. } => retry(database, staff, id).await,
        Command::Retry { id: None, of, .. } => retry_all(database, staff, of).await,
        Command::Cancel { id } => {
            let job = job_admin::cancel(database, id).await?.with_context(|| not_given_up(id))?;
            log(staff, &job, "cancelled");
            print(&format!("{id} was cancelled\n"))
        }
        Command::Statistics { json } => {
            let queues = admin::statistics(&mut *database.connection().await?).await?;
            let head = ["QUEUE", "WAITING", "SCHEDULED", "RETRYING", "RUNNING", "GIVEN UP", "OLDEST DUE"];
            print(&if json {
                lines(queues.iter().map(statistics_as_json))
            } else {
                table(&head, queues.iter().map(statistics_row))
            })
        }
    }
}

/// Prints a text. It isn't an error if the reader closes the pipe before the end.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

async fn retry(database: &Database, staff: &Actor, id: Uuid) -> anyhow::Result<()> {
    let job = job_admin::retry(database, staff, id).await?.with_context(|| not_given_up(id))?;
    log(staff, &job, "retried");
    print(&format!("{id} will be retried\n"))
}

/// Retries the jobs that are given up now. A job that is given up again in the meantime isn't retried twice.
async fn retry_all(database: &Database, staff: &Actor, of: Of) -> anyhow::Result<()> {
    let mut filter =
        JobFilter { queue: of.queue, kind: of.kind, status: Some(JobStatus::GivenUp), ..JobFilter::default() };
    let (mut retried, mut failed) = (0, 0);
    loop {
        let jobs = admin::list(&mut *database.connection().await?, &filter, PAGE).await?;
        let Some(last) = jobs.last() else { break };
        filter.before = Some(last.id);
        for job in &jobs {
            match job_admin::retry(database, staff, job.id).await {
                Ok(Some(job)) => {
                    log(staff, &job, "retried");
                    retried += 1;
                }
                // Somebody else has already retried or cancelled the job.
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(job = %job.id, error = &error as &dyn std::error::Error, "not retried");
                    failed += 1;
                }
            }
        }
    }
    if failed > 0 {
        bail!("{retried} will be retried; {failed} could not be");
    }
    print(&format!("{retried} will be retried\n"))
}

fn not_given_up(id: Uuid) -> String {
    format!("no job {id} was given up")
}

fn log(staff: &Actor, job: &JobRecord, what: &'static str) {
    let name = match staff {
        Actor::Staff { name } => name.as_str(),
        Actor::User { .. }
        | Actor::ApiKey { .. }
        | Actor::Service { .. }
        | Actor::Platform(_)
        | Actor::OnBehalf { .. } => "",
    };
    tracing::info!(staff = name, job = %job.id, queue = job.queue, kind = job.kind, "{what}");
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The number of attempts that counted, and the maximum.
fn tries(job: &JobRecord) -> String {
    format!("{}/{}", job.attempt - job.uncounted_attempts, job.max_attempts)
}

/// Puts a text from elsewhere, for example from a mail server or a file, on one line.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn row(job: &JobRecord) -> [String; 7] {
    [
        job.id.to_string(),
        job.queue.clone(),
        job.kind.clone(),
        job.status.to_string(),
        tries(job),
        time(job.run_at),
        job.last_error.as_deref().map(one_line).unwrap_or_default(),
    ]
}

fn description(job: &JobRecord) -> String {
    let facts = [
        ("id", Some(job.id.to_string())),
        ("queue", Some(job.queue.clone())),
        ("kind", Some(job.kind.clone())),
        ("payload", Some(job.payload.to_string())),
        ("status", Some(job.status.to_string())),
        ("tries", Some(format!("{} (claimed {} times)", tries(job), job.attempt))),
        ("due", Some(time(job.run_at))),
        ("error", job.last_error.as_deref().map(one_line)),
        ("enqueued", Some(time(job.created_at))),
        ("correlation", job.correlation_id.clone()),
        ("started", job.started_at.map(time)),
        ("finished", job.finished_at.map(time)),
        ("worker", job.worker.clone()),
        ("leased until", job.lease_expires_at.map(time)),
        ("unique key", job.unique_key.clone()),
        ("serial key", job.serial_key.clone()),
    ];
    facts.into_iter().filter_map(|(name, value)| Some(format!("{name:<14}{}\n", value?))).collect()
}

fn as_json(job: &JobRecord) -> Value {
    json!({
        "id": job.id, "queue": job.queue, "kind": job.kind, "payload": job.payload, "status": job.status.as_str(),
        "priority": job.priority, "scheduledAt": job.scheduled_at, "runAt": job.run_at, "attempt": job.attempt,
        "countedAttempts": job.attempt - job.uncounted_attempts, "maxAttempts": job.max_attempts,
        "uniqueKey": job.unique_key, "serialKey": job.serial_key, "correlationId": job.correlation_id,
        "worker": job.worker, "leaseExpiresAt": job.lease_expires_at, "lastError": job.last_error,
        "createdAt": job.created_at, "startedAt": job.started_at, "finishedAt": job.finished_at,
    })
}

fn statistics_row(queue: &QueueStatistics) -> [String; 7] {
    [
        queue.queue.clone(),
        queue.waiting.to_string(),
        queue.scheduled.to_string(),
        queue.retrying.to_string(),
        queue.running.to_string(),
        queue.given_up.to_string(),
        format!("{:.0} s", queue.oldest_due_seconds),
    ]
}

fn statistics_as_json(queue: &QueueStatistics) -> Value {
    json!({
        "queue": queue.queue, "waiting": queue.waiting, "scheduled": queue.scheduled, "retrying": queue.retrying,
        "running": queue.running, "givenUp": queue.given_up, "oldestDueSeconds": queue.oldest_due_seconds,
    })
}

/// JSON objects, one per line.
fn lines(objects: impl IntoIterator<Item = Value>) -> String {
    objects.into_iter().map(|object| format!("{object}\n")).collect()
}

/// A table whose columns are as wide as their widest cell.
pub(super) fn table<const N: usize>(head: &[&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    rows.iter()
        .map(|row| {
            let cells: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
            format!("{}\n", cells.trim_end())
        })
        .collect()
}
