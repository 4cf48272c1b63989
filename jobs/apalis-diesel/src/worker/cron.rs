//! Jobs that are enqueued at recurring times.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::result::Error;
use diesel::sql_types::{Array, Double, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::failure::{chain, panicked};
use super::link::{Link, LinkError, PATIENCE};
use super::shared::{Phase, Shared};
use crate::job::{NewJob, insert_one};
use crate::statement::{self, Statement};
use crate::wake::CHANNEL;
use crate::{Job, correlation, new_name};

/// How long to wait before looking again at a schedule that failed, or that another process is working on.
const PAUSE: Duration = Duration::from_secs(1);

/// Jobs to enqueue at recurring times, for [`JobStore::run_schedules`](crate::JobStore::run_schedules).
///
/// A schedule *ticks* at the times of its expression. Each tick enqueues the schedule's job **once**, however many
/// processes run the same schedules, because the transaction that enqueues the job also advances the schedule's row in
/// the table `job_schedules` to its next time. If several ticks were missed because no process was running or the
/// database wasn't available, the schedule ticks once afterwards.
///
/// While a job of the schedule is still waiting, a tick doesn't enqueue another one: see [`add`](Self::add).
///
/// ```
/// use apalis_diesel::{Job, Schedules};
/// use chrono::{DateTime, Utc};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct SendReport {
///     until: DateTime<Utc>,
/// }
///
/// impl Job for SendReport {
///     const QUEUE: &'static str = "reports";
///     const KIND: &'static str = "send_report";
/// }
///
/// // At 3 o'clock every Monday.
/// let schedules = Schedules::new().add("weekly report", "0 0 3 * * Mon", |tick| SendReport { until: tick })?;
/// # Ok::<_, apalis_diesel::ScheduleError>(())
/// ```
#[derive(Default)]
pub struct Schedules {
    /// The schedules, sorted by name, so that all processes lock them in the same order.
    schedules: Vec<Schedule>,
}

impl fmt::Debug for Schedules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_map()
            .entries(self.schedules.iter().map(|schedule| (&schedule.name, schedule.expression())))
            .finish()
    }
}

impl Schedules {
    /// Makes an empty list of schedules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a schedule.
    ///
    /// `name` identifies the schedule in the table, so it should never change. It has at most 1,000 bytes.
    ///
    /// `expression` has the syntax of the crate [`cron`]: second, minute, hour, day of month, month, day of week and
    /// optionally year, in UTC; or one of `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly`. Days of the week
    /// are best written as names, since 1 is Sunday. If both kinds of day are given, both must match. If a process
    /// starts with a different expression than the table has, it replaces the one in the table.
    ///
    /// `job` makes the job from the time of the tick, or of the first missed tick. The job's unique key is that of
    /// [`Job::unique_key`], or otherwise `name`. Each tick has a [`correlation`] id of its own.
    ///
    /// # Errors
    ///
    /// If the expression can't be parsed or never matches, or if a schedule with this name already exists.
    pub fn add<J, F>(mut self, name: impl Into<String>, expression: &str, job: F) -> Result<Self, ScheduleError>
    where
        J: Job + 'static,
        F: Fn(DateTime<Utc>) -> J + Send + Sync + 'static,
    {
        let name = name.into();
        let times = cron::Schedule::from_str(expression).map_err(|source| ScheduleError::Expression {
            name: name.clone(),
            expression: expression.to_owned(),
            source,
        })?;
        if times.after(&DateTime::UNIX_EPOCH).next().is_none() {
            return Err(ScheduleError::Never { name, expression: expression.to_owned() });
        }
        let Err(place) = self.schedules.binary_search_by(|schedule| schedule.name.cmp(&name)) else {
            return Err(ScheduleError::Duplicate { name });
        };
        let key = name.clone();
        let new_job = move |tick| {
            let job = job(tick);
            NewJob::new(&job, Some(job.unique_key().unwrap_or_else(|| key.clone())))
        };
        let enqueue: Box<Enqueue> = Box::new(move |connection, tick| {
            let job = catch_unwind(AssertUnwindSafe(|| new_job(tick)))
                .unwrap_or_else(|panic| Err(Error::SerializationError(panicked(panic.as_ref()).into())));
            async move { insert_one::<J>(connection, job?).await }.boxed()
        });
        self.schedules.insert(place, Schedule { name, times, enqueue });
        Ok(self)
    }
}

/// Why a schedule is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The expression can't be parsed.
    #[error("{expression:?}, the expression of the schedule {name:?}, can't be understood")]
    Expression {
        /// The schedule's name.
        name: String,
        /// The expression.
        expression: String,
        /// What is wrong with it.
        source: cron::error::Error,
    },
    /// The expression never matches.
    #[error("no time fits {expression:?}, the expression of the schedule {name:?}")]
    Never {
        /// The schedule's name.
        name: String,
        /// The expression.
        expression: String,
    },
    /// A schedule with this name already exists.
    #[error("there is a schedule {name:?} already")]
    Duplicate {
        /// The name of the schedules.
        name: String,
    },
}

struct Schedule {
    name: String,
    times: cron::Schedule,
    enqueue: Box<Enqueue>,
}

/// A function that enqueues the job of a tick.
type Enqueue = dyn for<'connection> Fn(
        &'connection mut AsyncPgConnection,
        DateTime<Utc>,
    ) -> BoxFuture<'connection, QueryResult<Option<Uuid>>>
    + Send
    + Sync;

impl Schedule {
    fn expression(&self) -> &str {
        self.times.source()
    }

    /// The time of the next tick after `now`. If all years of the expression have passed, it is the maximum time.
    fn next(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.times.after(&now).next().unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Ticks if the schedule is due and no other process is working on it. Returns whether it ticked.
    async fn tick(&self, connection: &mut AsyncPgConnection) -> QueryResult<bool> {
        // Imported only here, since its `load` and `execute` would hide those of `Link` elsewhere.
        use diesel_async::RunQueryDsl;

        let due: Vec<(DateTime<Utc>, DateTime<Utc>)> = Statement::<LockDue, (Timestamptz, Timestamptz)>::new()
            .bind::<Text, _>(self.name.clone())
            .load(connection)
            .await?;
        let Some((tick, now)) = due.into_iter().next() else { return Ok(false) };
        let enqueued = (self.enqueue)(connection, tick).await?;
        Statement::<MoveOn>::new()
            .bind::<Text, _>(self.expression().to_owned())
            .bind::<Timestamptz, _>(self.next(now))
            .bind::<Timestamptz, _>(now)
            .bind::<Text, _>(self.name.clone())
            .execute(connection)
            .await?;
        match enqueued {
            Some(id) => tracing::debug!(schedule = self.name, %tick, job = %id, "enqueued a job on schedule"),
            None => {
                tracing::info!(schedule = self.name, %tick, "enqueued nothing: the job of an earlier tick still waits")
            }
        }
        Ok(true)
    }
}

/// Runs schedules until the store is closed.
pub(crate) async fn run(shared: Arc<Shared>, schedules: Schedules) {
    let mut phase = shared.phase.subscribe();
    let mut clock = Clock {
        link: Link::new(shared.connector.clone(), "schedule"),
        look: shared.options.schedule_look,
        schedules: schedules.schedules,
        registered: false,
    };
    tokio::select! {
        () = clock.run() => {}
        // If the sender is gone, everything has been dropped. An interrupted transaction is rolled back.
        _ = phase.wait_for(|phase| *phase != Phase::Open) => {}
    }
}

struct Clock {
    link: Link,
    look: Duration,
    schedules: Vec<Schedule>,
    /// Whether the table contains all schedules.
    registered: bool,
}

impl Clock {
    async fn run(&mut self) {
        let mut failing = false;
        loop {
            let looked = self.look().await;
            match &looked {
                Ok(_) if failing => {
                    failing = false;
                    tracing::info!("runs schedules again");
                }
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(error = chain(error), "could not run the schedules; trying again");
                }
                _ => {}
            }
            tokio::time::sleep(looked.unwrap_or(PAUSE)).await;
        }
    }

    /// Lets the schedules that are due tick. Returns when to look again or, after all have had their turn, the last
    /// error.
    async fn look(&mut self) -> Result<Duration, LinkError> {
        if !self.registered {
            self.register().await?;
        }
        let names: Vec<String> = self.schedules.iter().map(|schedule| schedule.name.clone()).collect();
        let times = Statement::<TimesLeft, (Text, Double)>::new().bind::<Array<Text>, _>(names);
        let times: Vec<(String, f64)> = self.link.load(times).await?;
        // Somebody may have deleted a row.
        self.registered = times.len() == self.schedules.len();
        let mut pause = Ok(self.look);
        for (name, seconds) in times {
            let Some(schedule) = self.schedules.iter().find(|schedule| schedule.name == name) else { continue };
            let left = if seconds > 0.0 {
                Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
            } else {
                tick(&mut self.link, schedule).await.map(|ticked| if ticked { Duration::ZERO } else { PAUSE })
            };
            pause = match (pause, left) {
                (Ok(pause), Ok(left)) => Ok(pause.min(left)),
                (Err(error), Ok(_)) | (_, Err(error)) => Err(error),
            };
        }
        pause
    }

    /// Ensures that the table contains the schedules with these expressions.
    async fn register(&mut self) -> Result<(), LinkError> {
        let now: Vec<(DateTime<Utc>,)> = self.link.load(Statement::<Now, (Timestamptz,)>::new()).await?;
        let Some((now,)) = now.into_iter().next() else { return Ok(()) };
        let (mut names, mut expressions, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for schedule in &self.schedules {
            names.push(schedule.name.clone());
            expressions.push(schedule.expression().to_owned());
            times.push(schedule.next(now));
        }
        let register = Statement::<Register>::new()
            .bind::<Array<Text>, _>(names)
            .bind::<Array<Text>, _>(expressions)
            .bind::<Array<Timestamptz>, _>(times);
        self.link.execute(register).await?;
        Ok(())
    }
}

async fn tick(link: &mut Link, schedule: &Schedule) -> Result<bool, LinkError> {
    let mut connection = link.take().await?;
    let transaction = connection.transaction(async |connection| schedule.tick(connection).await);
    let transaction = correlation::scope(new_name(), transaction);
    let ticked = tokio::time::timeout(PATIENCE, transaction)
        .await
        .map_err(|_| LinkError::TimedOut)?
        .map_err(LinkError::Query)?;
    // If the notification fails, workers find the job at their next look.
    if !ticked || connection.batch_execute(&format!("NOTIFY {CHANNEL}")).await.is_ok() {
        link.put_back(connection);
    }
    Ok(ticked)
}

struct Now;

impl statement::Text for Now {
    const SQL: &'static str = "SELECT job_clock()";
}

struct Register;

impl statement::Text for Register {
    const SQL: &'static str = "
        INSERT INTO job_schedules (name, expression, next_at) SELECT * FROM unnest(?, ?, ?)
        ON CONFLICT (name) DO UPDATE SET expression = excluded.expression, next_at = excluded.next_at
        WHERE job_schedules.expression <> excluded.expression";
}

struct TimesLeft;

impl statement::Text for TimesLeft {
    const SQL: &'static str = "
        SELECT name, extract(epoch FROM next_at - now)::float8
        FROM job_schedules, (SELECT job_clock() AS now) AS clock WHERE name = ANY (?)";
}

struct LockDue;

impl statement::Text for LockDue {
    const SQL: &'static str = "
        SELECT next_at, now FROM job_schedules, (SELECT job_clock() AS now) AS clock
        WHERE name = ? AND next_at <= now FOR UPDATE OF job_schedules SKIP LOCKED";
}

struct MoveOn;

impl statement::Text for MoveOn {
    const SQL: &'static str = "UPDATE job_schedules SET expression = ?, next_at = ?, last_at = ? WHERE name = ?";
}
