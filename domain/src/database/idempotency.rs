//! Mutations that are carried out once, however often they are sent (R91).
//!
//! A request with an idempotency key consists of steps, its mutations. The transaction of a step enters the step under
//! the request's key first of all: whoever sends the same at the same time waits until that transaction has ended, and
//! if it was committed, changes nothing. Once the step is answered, the answer is kept beside it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Double, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::new_name;
use crate::base::limits;
use crate::base::sql::statement;

/// A request that may be sent again.
#[derive(Debug, Clone)]
pub struct RepeatableRequest {
    /// Who sent it, so that nobody meets the keys of others.
    pub caller: String,
    /// The caller's name for it.
    pub key: String,
    /// A digest of all that it asks for.
    pub digest: [u8; 32],
}

/// What is known of a step before it is carried out.
#[derive(Debug)]
pub enum Known {
    /// Nothing: it is to be carried out, in [`Step::run`].
    Nothing(Step),
    /// It was carried out and answered with this JSON value.
    Answer(String),
    /// It can't be carried out, for the reason that [`refusal`] gives within [`Step::run`].
    Refused(Step),
}

/// Why a step isn't carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// The key belongs to another request.
    OtherRequest,
    /// It was carried out already.
    Done,
}

/// One run of a step.
#[derive(Debug, Clone)]
pub struct Step(Arc<Run>);

#[derive(Debug)]
struct Run {
    request: Arc<RepeatableRequest>,
    /// The step's name in the request's answer.
    name: String,
    /// The name of this run.
    id: String,
    obstacle: OnceLock<Obstacle>,
    /// Whether a transaction of this run was committed.
    committed: AtomicBool,
    /// Whether it was refused for a reason that may soon be gone.
    passing: AtomicBool,
}

tokio::task_local! {
    static CURRENT: Step;
}

statement! {
    struct Find<'a> {
        caller: Text = &'a str,
        key: Text = &'a str,
        request: Binary = &'a [u8],
        step: Text = &'a str,
        retention: Double = f64,
    } = "SELECT request = :request AS is_same, steps ? :step AS is_done, answers ->> :step AS answer, \
         created_at <= (SELECT rollcall_now()) - make_interval(secs => :retention) AS is_over \
         FROM idempotency_keys WHERE caller = :caller AND key = :key"
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    is_same: bool,
    #[diesel(sql_type = Bool)]
    is_done: bool,
    #[diesel(sql_type = Nullable<Text>)]
    answer: Option<String>,
    #[diesel(sql_type = Bool)]
    is_over: bool,
}

statement! {
    struct Forget<'a> {
        caller: Text = &'a str,
        key: Text = &'a str,
        retention: Double = f64,
    } = "DELETE FROM idempotency_keys \
         WHERE caller = :caller AND key = :key AND created_at <= (SELECT rollcall_now()) - make_interval(secs => :retention)"
}

statement! {
    struct Enter<'a> {
        caller: Text = &'a str,
        key: Text = &'a str,
        request: Binary = &'a [u8],
        step: Text = &'a str,
        run: Text = &'a str,
        answer: Nullable<Text> = Option<&'a str>,
    } = "INSERT INTO idempotency_keys AS kept (caller, key, request, steps, answers) VALUES (:caller, :key, :request, \
         jsonb_build_object(:step, :run), jsonb_strip_nulls(jsonb_build_object(:step, :answer))) \
         ON CONFLICT (caller, key) DO UPDATE \
         SET steps = kept.steps || excluded.steps, answers = kept.answers || excluded.answers \
         WHERE kept.request = excluded.request AND coalesce(kept.steps ->> :step, :run) = :run"
}

statement! {
    struct Prune { retention: Double = f64, most: BigInt = i64 } =
        "DELETE FROM idempotency_keys WHERE (caller, key) IN ( \
         SELECT caller, key FROM idempotency_keys WHERE created_at <= (SELECT rollcall_now()) - make_interval(secs => :retention) \
         ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED)"
}

impl Known {
    /// Looks up a step. `None` while it has been carried out, but not answered yet.
    pub async fn find(
        connection: &mut AsyncPgConnection,
        request: &Arc<RepeatableRequest>,
        name: &str,
    ) -> Result<Option<Self>> {
        let step = |obstacle| Step::new(request, name, obstacle);
        Ok(match find(connection, request, name).await? {
            None => Some(Self::Nothing(step(None))),
            Some(Found { is_same: false, .. }) => Some(Self::Refused(step(Some(Obstacle::OtherRequest)))),
            Some(Found { answer: Some(answer), .. }) => Some(Self::Answer(answer)),
            Some(Found { is_done: false, .. }) => Some(Self::Nothing(step(None))),
            Some(_) => None,
        })
    }

    /// What is known of a step whose answer has been waited for in vain.
    pub fn unanswered(request: &Arc<RepeatableRequest>, name: &str) -> Self {
        Self::Refused(Step::new(request, name, Some(Obstacle::Done)))
    }
}

/// Finds what is kept for a request, and forgets it if it is too old.
async fn find(connection: &mut AsyncPgConnection, request: &RepeatableRequest, step: &str) -> Result<Option<Found>> {
    let RepeatableRequest { caller, key, digest } = request;
    let retention = limits::IDEMPOTENCY_RETENTION.as_secs_f64();
    let find = Find { caller, key, request: digest, step, retention };
    let found: Option<Found> = find.query().get_result(connection).await.optional()?;
    match found {
        Some(Found { is_over: true, .. }) => {
            Forget { caller, key, retention }.query().execute(connection).await?;
            Ok(None)
        }
        found => Ok(found),
    }
}

impl Step {
    fn new(request: &Arc<RepeatableRequest>, name: &str, obstacle: Option<Obstacle>) -> Self {
        Self(Arc::new(Run {
            request: request.clone(),
            name: name.to_owned(),
            id: new_name().to_string(),
            obstacle: obstacle.map(OnceLock::from).unwrap_or_default(),
            committed: AtomicBool::new(false),
            passing: AtomicBool::new(false),
        }))
    }

    /// Carries the step out. Its transactions enter it under the request's key. Tasks that are spawned meanwhile aren't
    /// part of it, such as the counting of attempts.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), work).await
    }

    /// Whether it turned out that the step can't be carried out, because somebody else has done so meanwhile.
    pub fn was_overtaken(&self) -> bool {
        self.0.obstacle.get().is_some()
    }

    /// Keeps the step's answer, a JSON value. If it was refused for a reason that may soon be gone, nothing is kept, so
    /// that it can be tried again.
    pub async fn answered(&self, connection: &mut AsyncPgConnection, answer: &str) -> Result<()> {
        if AtomicBool::load(&self.0.passing, Ordering::Relaxed)
            && !AtomicBool::load(&self.0.committed, Ordering::Relaxed)
        {
            return Ok(());
        }
        self.enter(connection, Some(answer)).await?;
        Ok(())
    }

    async fn enter(&self, connection: &mut AsyncPgConnection, answer: Option<&str>) -> Result<bool> {
        let RepeatableRequest { caller, key, digest } = &*self.0.request;
        let enter = Enter { caller, key, request: digest, step: &self.0.name, run: &self.0.id, answer };
        Ok(enter.query().execute(connection).await? > 0)
    }
}

/// Why the current step can't be carried out, if it can't.
pub fn refusal() -> Option<Refusal> {
    let message = match current()?.0.obstacle.get()? {
        Obstacle::OtherRequest => "this Idempotency-Key belongs to another request; use a new one for each",
        Obstacle::Done => "this was done, but its answer is lost; look up what it made instead of sending it again",
    };
    Some(Refusal { code: Code::Conflict, field: Vec::new(), message: message.to_owned() })
}

/// Notes why the current step was refused.
pub fn note_refusals(refusals: &[Refusal]) {
    if let Some(Step(run)) = current()
        && refusals.iter().any(|refusal| matches!(refusal.code, Code::Conflict | Code::RateLimited))
    {
        run.passing.store(true, Ordering::Relaxed);
    }
}

fn current() -> Option<Step> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Enters the current step, if there is one, in the transaction that is about to carry it out.
///
/// # Errors
/// [`Error::Repeated`] if it must not be carried out.
pub(super) async fn enter(transaction: &mut AsyncPgConnection) -> Result<()> {
    let Some(step) = current() else { return Ok(()) };
    if step.was_overtaken() {
        return Err(Error::Repeated);
    }
    if !step.enter(transaction, None).await? {
        // Whether it was this request or another one will be looked up.
        let _ = step.0.obstacle.set(Obstacle::Done);
        return Err(Error::Repeated);
    }
    Ok(())
}

/// Notes that a transaction of the current step was committed.
pub(super) fn note_commit() {
    if let Some(Step(run)) = current() {
        run.committed.store(true, Ordering::Relaxed);
    }
}

/// Deletes up to `limit` keys that are older than [`limits::IDEMPOTENCY_RETENTION`], and returns how many.
pub(crate) async fn prune(transaction: &mut AsyncPgConnection, limit: u32) -> Result<usize> {
    let prune = Prune { retention: limits::IDEMPOTENCY_RETENTION.as_secs_f64(), most: limit.into() };
    Ok(prune.query().execute(transaction).await?)
}
