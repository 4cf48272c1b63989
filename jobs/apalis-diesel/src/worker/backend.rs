use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::claimed::ClaimedJob;
use super::failure::chain;
use super::link::{Link, LinkError};
use super::metrics::QueueMetrics;
use super::outcome::Outcome;
use super::running::{self, Claim, Company};
use super::service::OutcomeLayer;
use super::shared::{Handle, MARGIN, Phase};
use crate::statement::{self, Statement, is_next_of_serial_key};

/// The maximum number of jobs that one statement claims.
const BATCH: usize = 500;
/// The longest pause between attempts while the database can't be reached.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a queue at first waits for the process to have nothing else to do.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
/// How long several slots are waited for when one is free.
const GATHERING: Duration = Duration::from_millis(2);

/// One queue, as a backend for an apalis worker. It is made by [`JobStore::queue`](crate::JobStore::queue).
///
/// It claims jobs when the worker asks for them, as many at a time as there are free handlers. Handlers receive a
/// [`ClaimedJob`]. The backend's middleware, [`OutcomeLayer`], runs the handlers and acknowledges the jobs.
///
/// It never fails. While the database can't be reached, it simply has no jobs.
pub struct JobQueue {
    store: Handle,
    config: QueueConfig,
    claims: Claims,
    closing: Option<BoxFuture<'static, ()>>,
}

/// The configuration of a [`JobQueue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// The queue's name.
    pub queue: String,
    /// How many handlers run at the same time.
    pub concurrency: usize,
}

/// The source of a queue's jobs.
enum Claims {
    Unstarted,
    Started { jobs: mpsc::UnboundedReceiver<ClaimedJob>, demand: Arc<Notify>, stop: watch::Sender<bool> },
    Ended,
}

impl fmt::Debug for JobQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JobQueue").field("config", &self.config).finish_non_exhaustive()
    }
}

impl JobQueue {
    pub(crate) fn new(store: Handle, queue: String, concurrency: usize) -> Self {
        let config = QueueConfig { queue, concurrency: concurrency.clamp(1, Semaphore::MAX_PERMITS) };
        Self { store, config, claims: Claims::Unstarted, closing: None }
    }

    fn start(&self) -> Claims {
        let (sender, jobs) = mpsc::unbounded_channel();
        let demand = Arc::new(Notify::new());
        let stop = watch::Sender::new(false);
        let claimer = Claimer {
            _claimer: self.store.shared().running.claimer(),
            stop: StopSignal { backend: stop.subscribe(), store: self.store.shared().phase.subscribe() },
            link: Link::new(self.store.shared().connector.clone(), "claim"),
            slots: Arc::new(Semaphore::new(self.config.concurrency)),
            concurrency: self.config.concurrency,
            store: self.store.clone(),
            queue: self.config.queue.clone(),
            demand: demand.clone(),
            wake: self.store.shared().wake.subscribe(),
            jobs: sender,
            failures: 0,
            look_at: Instant::now(),
            patience: FIRST_PATIENCE,
            alone_from: Instant::now(),
        };
        tokio::spawn(claimer.run());
        Claims::Started { jobs, demand, stop }
    }

    /// Stops claiming. The returned future gives back the jobs that were claimed but not started.
    fn stop(&mut self) -> BoxFuture<'static, ()> {
        let Claims::Started { mut jobs, stop, .. } = std::mem::replace(&mut self.claims, Claims::Ended) else {
            return async {}.boxed();
        };
        let store = self.store.clone();
        stop.send_replace(true);
        async move {
            let mut given_back = Vec::new();
            // This ends when the claimer has ended.
            while let Some(job) = jobs.recv().await {
                given_back.push(give_back(&store, &job));
            }
            for settled in given_back {
                // This fails only if the store has already closed.
                let _ = settled.await;
            }
        }
        .boxed()
    }
}

impl Drop for JobQueue {
    fn drop(&mut self) {
        let stopping = self.closing.take().unwrap_or_else(|| self.stop());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(stopping);
        }
    }
}

fn give_back(store: &Handle, job: &ClaimedJob) -> tokio::sync::oneshot::Receiver<()> {
    store.acknowledge((job.id, job.attempt), Outcome::GivenBack)
}

impl Backend for JobQueue {
    type Task = Task<ClaimedJob>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<ClaimedJob>, Infallible>>> {
        if matches!(self.claims, Claims::Unstarted) {
            self.claims = self.start();
        }
        let Claims::Started { jobs, demand, .. } = &mut self.claims else { return Poll::Ready(None) };
        let next = jobs.poll_recv(context);
        if next.is_pending() {
            demand.notify_one();
        }
        Poll::Ready(ready!(next).map(|job| Ok(task(job))))
    }

    fn poll_close(&mut self, context: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        let mut closing = self.closing.take().unwrap_or_else(|| self.stop());
        let closed = closing.poll_unpin(context);
        if closed.is_pending() {
            self.closing = Some(closing);
        }
        closed.map(Ok)
    }
}

impl BackendConfig for JobQueue {
    type Args = ClaimedJob;
    type Id = Uuid;
    type Kind = Ephemeral;
    type Config = QueueConfig;
    type Layer = OutcomeLayer;

    fn config(&self) -> &QueueConfig {
        &self.config
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> OutcomeLayer {
        OutcomeLayer::new(self.store.clone())
    }
}

fn task(job: ClaimedJob) -> Task<ClaimedJob> {
    let (id, queue) = (TaskId::from_string(job.id.to_string()), job.queue.as_str().into());
    // apalis itself counts the attempt when it begins. A count is never negative here.
    let before = usize::try_from(job.attempt - 1).unwrap_or_default();
    let max_attempts = usize::try_from(job.max_attempts).unwrap_or_default();
    TaskBuilder::new(job).task_id(id).queue(queue).attempt(before).max_attempts(max_attempts).build()
}

/// Interrupts whatever waits when the queue stops.
struct StopSignal {
    backend: watch::Receiver<bool>,
    store: watch::Receiver<Phase>,
}

impl StopSignal {
    /// Waits for `future`. Returns `None` if the queue stops before it is ready.
    async fn or<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            // If the sender is gone, the queue has been dropped.
            _ = self.backend.wait_for(|stopped| *stopped) => None,
            _ = self.store.wait_for(|phase| *phase != Phase::Open) => None,
            output = future => Some(output),
        }
    }
}

/// The task that claims a queue's jobs. It stops only between statements: if nobody read the response, the claimed
/// jobs would be lost until their leases run out.
struct Claimer {
    store: Handle,
    queue: String,
    link: Link,
    slots: Arc<Semaphore>,
    /// The number of all slots.
    concurrency: usize,
    demand: Arc<Notify>,
    wake: watch::Receiver<()>,
    jobs: mpsc::UnboundedSender<ClaimedJob>,
    stop: StopSignal,
    /// How many times in a row the database has failed.
    failures: u32,
    /// When to look for jobs that must run alone, even if there are others.
    look_at: Instant,
    /// How long to wait, at the next attempt, until the process has nothing else to do; and when that attempt may
    /// begin.
    patience: Duration,
    alone_from: Instant,
    _claimer: running::Claimer,
}

/// The result of looking into the queue.
enum LookResult {
    Jobs,
    /// There are no jobs now. The next one is due after this time.
    Nothing {
        next: Duration,
    },
}

impl Claimer {
    async fn run(mut self) {
        while self.serve().await.is_some() {}
    }

    /// Claims jobs once the worker wants them and there are some. Here and below, `None` means that the queue stops.
    async fn serve(&mut self) -> Option<()> {
        let demand = self.demand.clone();
        self.stop.or(demand.notified()).await?;
        loop {
            self.wake.mark_unchanged();
            let found = self.claim().await?;
            self.report(&found);
            let pause = match found {
                Ok(LookResult::Jobs) => return Some(()),
                Ok(LookResult::Nothing { next }) => next.min(self.store.shared().options.look),
                Err(_) => (Duration::from_millis(50) * 2_u32.saturating_pow(self.failures.min(10))).min(LONGEST_PAUSE),
            };
            let woken = async {
                tokio::select! {
                    _ = self.wake.changed() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            };
            self.stop.or(woken).await?;
        }
    }

    fn report(&mut self, found: &Result<LookResult, LinkError>) {
        match found {
            Ok(_) if self.failures > 0 => {
                self.failures = 0;
                tracing::info!(queue = self.queue, "claims jobs again");
            }
            Ok(_) => {}
            Err(error) => {
                if self.failures == 0 {
                    let error = chain(error);
                    tracing::warn!(queue = self.queue, %error, "could not claim jobs; trying again");
                }
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    async fn claim(&mut self) -> Option<Result<LookResult, LinkError>> {
        let mut seen = None;
        // Jobs that must run alone get their turn even if the others never end.
        if self.look_at <= Instant::now() {
            match self.look().await? {
                Ok(LookResult::Nothing { next }) => seen = Some(LookResult::Nothing { next }),
                found => return Some(found),
            }
        }
        match (self.claim_beside_others().await?, seen) {
            (Ok(0), Some(seen)) => Some(Ok(seen)),
            (Ok(0), None) => self.look().await,
            (Ok(_), _) => Some(Ok(LookResult::Jobs)),
            (Err(error), _) => Some(Err(error)),
        }
    }

    /// Finds out when the next job is due, and claims a job that must run alone if there is one.
    async fn look(&mut self) -> Option<Result<LookResult, LinkError>> {
        self.look_at = Instant::now() + self.store.shared().options.look;
        let outlook = match self.outlook().await {
            Ok(outlook) => outlook,
            Err(error) => return Some(Err(error)),
        };
        if outlook.alone && self.alone_from <= Instant::now() {
            match self.claim_alone().await? {
                Ok(0) => {}
                Ok(_) => return Some(Ok(LookResult::Jobs)),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(LookResult::Nothing { next: outlook.next }))
    }

    /// Claims as many jobs as there are free handlers, and returns their number.
    async fn claim_beside_others(&mut self) -> Option<Result<usize, LinkError>> {
        let slots = self.free_slots().await?;
        let company = self.store.shared().company.clone();
        let company = Arc::new(self.stop.or(company.read_owned()).await?);
        let asked_at = Instant::now();
        let claimed = match self.load::<ClaimBesideOthers>(slots.num_permits()).await {
            Ok(claimed) => claimed,
            Err(error) => return Some(Err(error)),
        };
        let count = claimed.len();
        let mut slots = slots;
        let mut metrics = QueueMetrics::new(&self.queue);
        for row in claimed {
            self.add(row, asked_at, slots.split(1), Company::Shared { _guard: company.clone() }, &mut metrics);
        }
        Some(Ok(count))
    }

    /// Claims a job whose lease ran out, once this process runs nothing else. That can take long, and until then
    /// nothing else is claimed. Therefore the wait is limited, and other jobs get the same amount of time in between.
    async fn claim_alone(&mut self) -> Option<Result<usize, LinkError>> {
        let company = self.store.shared().company.clone();
        let waited = self.stop.or(tokio::time::timeout(self.patience, company.write_owned())).await?;
        let Ok(company) = waited else {
            self.alone_from = Instant::now() + self.patience;
            self.patience = self.patience.saturating_mul(2);
            return Some(Ok(0));
        };
        self.patience = FIRST_PATIENCE;
        let mut slots = self.free_slots().await?;
        let asked_at = Instant::now();
        let claimed = match self.load::<ClaimAlone>(1).await {
            Ok(claimed) => claimed,
            Err(error) => return Some(Err(error)),
        };
        let Some(row) = claimed.into_iter().next() else { return Some(Ok(0)) };
        let mut metrics = QueueMetrics::new(&self.queue);
        self.add(row, asked_at, slots.split(1), Company::Exclusive { _guard: company }, &mut metrics);
        Some(Ok(1))
    }

    /// Takes all free slots, and waits until there is at least one. If most handlers are busy, it waits for a moment
    /// until a quarter of the slots is free, so that one statement claims several jobs.
    async fn free_slots(&mut self) -> Option<OwnedSemaphorePermit> {
        let mut slots = self.stop.or(self.slots.clone().acquire_owned()).await?.ok()?;
        let quarter = (self.concurrency / 4).min(BATCH).saturating_sub(1);
        if self.slots.available_permits() < quarter {
            let several = self.slots.clone().acquire_many_owned(u32::try_from(quarter).unwrap_or_default());
            if let Ok(several) = self.stop.or(tokio::time::timeout(GATHERING, several)).await? {
                slots.merge(several.ok()?);
            }
        }
        let more = self.slots.available_permits().min(BATCH - 1);
        if let Ok(more) = self.slots.clone().try_acquire_many_owned(u32::try_from(more).unwrap_or_default()) {
            slots.merge(more);
        }
        Some(slots)
    }

    async fn load<T: statement::Text>(&mut self, limit: usize) -> Result<Vec<ClaimedRow>, LinkError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let options = &self.store.shared().options;
        self.link
            .load(
                Statement::<T, ClaimedTypes>::new()
                    .bind::<Text, _>(self.queue.clone())
                    .bind::<BigInt, _>(limit)
                    .bind::<Text, _>(options.worker.clone())
                    .bind::<Double, _>(options.lease.as_secs_f64())
                    .bind::<Double, _>(MARGIN.as_secs_f64()),
            )
            .await
    }

    fn add(
        &self,
        row: ClaimedRow,
        asked_at: Instant,
        slot: Option<OwnedSemaphorePermit>,
        company: Company,
        metrics: &mut QueueMetrics,
    ) {
        let (
            id,
            kind,
            payload,
            attempt,
            uncounted,
            max_attempts,
            correlation_id,
            timeout,
            run_at,
            created_at,
            scheduled_at,
            serial,
            unique,
            pickup,
        ) = row;
        let deadline = asked_at + Duration::from_secs_f64(timeout.clamp(0.0, LONGEST_TIMEOUT_SECONDS));
        let metrics = metrics.claimed(&kind, pickup);
        self.store.shared().running.insert((id, attempt), Claim::new(deadline, serial, unique, slot, company, metrics));
        let job = ClaimedJob {
            id,
            queue: self.queue.clone(),
            kind,
            payload,
            attempt,
            counted_attempts: attempt - uncounted,
            max_attempts,
            correlation_id,
            created_at,
            scheduled_at,
            run_at,
        };
        if let Err(mpsc::error::SendError(job)) = self.jobs.send(job) {
            // The worker has been dropped. The job is given back without waiting for it.
            drop(give_back(&self.store, &job));
        }
    }

    async fn outlook(&mut self) -> Result<NextJob, LinkError> {
        let rows: Vec<(Option<f64>, bool)> = self
            .link
            .load(Statement::<LookAhead, (Nullable<Double>, Bool)>::new().bind::<Text, _>(self.queue.clone()))
            .await?;
        let (next, alone) = rows.into_iter().next().unwrap_or_default();
        let next =
            next.map_or(Duration::MAX, |seconds| Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_TIMEOUT_SECONDS)));
        Ok(NextJob { next, alone })
    }
}

/// About 30 years, which every type of time used here can represent.
const LONGEST_TIMEOUT_SECONDS: f64 = 1e9;

struct NextJob {
    /// The time until the next job is due, of those that aren't due now.
    next: Duration,
    /// Whether a job is due that must run alone.
    alone: bool,
}

type ClaimedTypes = (
    SqlUuid,
    Text,
    Jsonb,
    Integer,
    Integer,
    Integer,
    Nullable<Text>,
    Double,
    Timestamptz,
    Timestamptz,
    Timestamptz,
    Bool,
    Bool,
    Double,
);
type ClaimedRow = (
    Uuid,
    String,
    serde_json::Value,
    i32,
    i32,
    i32,
    Option<String>,
    f64,
    DateTime<Utc>,
    DateTime<Utc>,
    DateTime<Utc>,
    bool,
    bool,
    f64,
);

/// The first common table expressions of a claim: the current time, once per statement, so that indexes can be used;
/// and the priorities of the waiting jobs, highest first, each found by one lookup in the index.
macro_rules! waiting_priorities {
    () => {
        "clock AS MATERIALIZED (SELECT job_clock() AS now),
        priorities (priority) AS (
            (SELECT priority FROM jobs
             WHERE queue = (SELECT queue FROM given) AND status = 'waiting' AND NOT alone
             ORDER BY priority DESC LIMIT 1)
            UNION ALL
            SELECT (SELECT jobs.priority FROM jobs
                    WHERE queue = (SELECT queue FROM given) AND status = 'waiting' AND NOT alone
                        AND jobs.priority < priorities.priority
                    ORDER BY jobs.priority DESC LIMIT 1)
            FROM priorities WHERE priorities.priority IS NOT NULL
        )"
    };
}

macro_rules! claim {
    ($due:expr) => {
        concat!(
            "WITH RECURSIVE
            given AS MATERIALIZED (
                SELECT ? AS queue, ? AS amount, ? AS worker, make_interval(secs => ?) AS lease,
                    make_interval(secs => ?) AS margin),",
            waiting_priorities!(),
            ", due AS MATERIALIZED (",
            $due,
            ")
            UPDATE jobs SET
                status = 'running',
                attempt = jobs.attempt + 1,
                worker = given.worker,
                started_at = now,
                lease_expires_at = least(now + given.lease, now + jobs.timeout + given.margin)
            FROM given, clock
            WHERE jobs.id = ANY (ARRAY (SELECT id FROM due))
            RETURNING jobs.id, kind, payload, attempt, uncounted_attempts, max_attempts,
                correlation_id, extract(epoch FROM timeout)::float8, run_at, created_at, scheduled_at, serial_key IS NOT NULL, unique_key IS NOT NULL,
                extract(epoch FROM now - run_at)::float8"
        )
    };
}

struct ClaimBesideOthers;

impl statement::Text for ClaimBesideOthers {
    const SQL: &'static str = claim!(concat!(
        "SELECT next.id FROM priorities CROSS JOIN LATERAL (
            SELECT id FROM jobs
            WHERE queue = (SELECT queue FROM given) AND status = 'waiting' AND NOT alone
                AND jobs.priority = priorities.priority AND run_at <= (SELECT now FROM clock)
                AND ",
        is_next_of_serial_key!(),
        " ORDER BY run_at, ordinal LIMIT (SELECT amount FROM given) FOR UPDATE SKIP LOCKED
        ) AS next LIMIT (SELECT amount FROM given)"
    ));
}

struct ClaimAlone;

impl statement::Text for ClaimAlone {
    const SQL: &'static str = claim!(concat!(
        "SELECT id FROM jobs
        WHERE queue = (SELECT queue FROM given) AND status = 'waiting' AND alone AND run_at <= (SELECT now FROM clock)
            AND ",
        is_next_of_serial_key!(),
        " ORDER BY run_at, ordinal LIMIT (SELECT amount FROM given) FOR UPDATE SKIP LOCKED"
    ));
}

struct LookAhead;

impl statement::Text for LookAhead {
    const SQL: &'static str = concat!(
        "WITH RECURSIVE given AS MATERIALIZED (SELECT ? AS queue),",
        waiting_priorities!(),
        "SELECT
            (SELECT extract(epoch FROM min(next.run_at) - (SELECT now FROM clock))::float8
             FROM priorities CROSS JOIN LATERAL (
                 SELECT run_at FROM jobs
                 WHERE queue = (SELECT queue FROM given) AND status = 'waiting' AND NOT alone
                     AND jobs.priority = priorities.priority AND run_at > (SELECT now FROM clock)
                 ORDER BY run_at LIMIT 1
             ) AS next),
            EXISTS (
                SELECT FROM jobs
                WHERE queue = (SELECT queue FROM given) AND status = 'waiting' AND alone
                    AND run_at <= (SELECT now FROM clock) AND ",
        is_next_of_serial_key!(),
        ")"
    );
}
