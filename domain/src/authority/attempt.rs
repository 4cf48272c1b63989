//! Counters of attempts. An attempt is counted and committed before it is checked, so that the limits hold across
//! processes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::runtime::Handle;
use tracing::Instrument as _;

use crate::authority::actor::Actor;
use crate::base::client::ClientNetwork;
use crate::base::error::{Error, Result};
use crate::base::limits::{self, TryLimit, TryLimits};
use crate::base::sql::statement;
use crate::database::schema::attempts;
use crate::database::{self, Database, Transaction};

/// The count of a subject after an attempt was counted, with its window.
#[derive(QueryableByName)]
pub(crate) struct WindowCount {
    #[diesel(sql_type = Integer)]
    count: i32,
    #[diesel(sql_type = Timestamptz)]
    window_ends_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

impl WindowCount {
    /// The time until the window ends.
    fn wait(&self) -> Duration {
        (self.window_ends_at - self.now).to_std().unwrap_or_default()
    }
}

/// Attempts that were counted before it is known whether they are right.
#[must_use]
pub(crate) struct PendingAttempts {
    counted: RefundableCounts,
    /// Whether what was attempted has been looked at, or may have been. Until then the caller has learned nothing, so
    /// the attempts don't stay counted.
    made: AtomicBool,
    /// The database in which they are counted; `None` if nothing was counted.
    database: Option<Database>,
}

/// Counts an attempt for the account, the client and the deployment, or for none of them: if one of their windows is
/// full, this fails with RATE_LIMITED and counts nothing. A caller who is at a limit of their own therefore uses up
/// nothing of the limits that they share with others, and a busy address doesn't use up the limits of the people behind
/// it.
pub(crate) async fn count_attempt(
    database: &Database,
    limits: &TryLimits,
    account: &str,
    client: ClientNetwork,
) -> Result<PendingAttempts> {
    let tries = count_attempts(database, limits, account, client, 1).await?;
    tries.mark_made();
    Ok(tries)
}

/// Like [`count_attempt`], for a guess at a name, which counts only once the name is looked up
/// ([`PendingAttempts::mark_made`]).
pub(crate) async fn count_guess_of(
    database: &Database,
    account: &str,
    client: ClientNetwork,
) -> Result<PendingAttempts> {
    count_attempts(database, &limits::NAME_GUESSES, account, client, 1).await
}

async fn count_attempts(
    database: &Database,
    limits: &TryLimits,
    account: &str,
    client: ClientNetwork,
    number: i32,
) -> Result<PendingAttempts> {
    let subjects =
        [(limits.account, account.to_owned()), (limits.client, client.to_string()), (limits.deployment, String::new())];
    let counts = subjects.map(|(limit, subject)| Count { limit, subject, number });
    let database = database.clone();
    run_to_completion(async move {
        let counted = require_all(&database, &counts).await?;
        Ok(PendingAttempts { counted, made: AtomicBool::new(false), database: Some(database) })
    })
    .await?
}

/// Runs work to its end even if the request that waits for it is abandoned meanwhile. Whatever owns the result then
/// takes the counts back.
pub(crate) async fn run_to_completion<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    database::expect_none_held();
    tokio::spawn(work.in_current_span()).await.map_err(|_| Error::Bug("what is counted can be counted"))
}

/// Like [`count_all_or_none`], but fails with RATE_LIMITED if nothing was counted. The delay is that of the full window
/// that ends last.
async fn require_all(database: &Database, counts: &[Count]) -> Result<RefundableCounts> {
    let counted = count_all_or_none(database, counts).await?;
    counted
        .map_err(|over| Error::RateLimited { retry_after: over.iter().map(|over| over.wait).max().unwrap_or_default() })
}

/// Counts guesses at names that somebody may have, such as usernames or slugs, since the answer reveals which of them
/// exist. They count once they are looked up ([`PendingAttempts::mark_made`]). Actors who may look everybody up
/// aren't counted.
pub(crate) async fn count_guesses(
    database: &Database,
    actor: &Actor,
    client: ClientNetwork,
    number: usize,
) -> Result<PendingAttempts> {
    let number = i32::try_from(number).map_err(|_| Error::Bug("a request names few"))?;
    match actor.guesses() {
        Some(who) if number > 0 => count_attempts(database, &limits::NAME_GUESSES, &who, client, number).await,
        Some(_) | None => Ok(PendingAttempts::none()),
    }
}

/// Returns the outcome of a command. If the command was refused, and the refusal may reveal something about `number`
/// names, they are first counted as guesses; if there were too many, the error is RATE_LIMITED instead.
pub(crate) async fn count_refusal<T>(
    database: &Database,
    actor: &Actor,
    client: ClientNetwork,
    number: usize,
    outcome: Result<T>,
) -> Result<T> {
    if matches!(outcome, Err(Error::Refused(_))) {
        count_guesses(database, actor, client, number).await?.mark_made();
    }
    outcome
}

impl PendingAttempts {
    /// No attempts.
    pub(crate) fn none() -> Self {
        Self { counted: RefundableCounts::default(), made: AtomicBool::new(false), database: None }
    }

    /// Records that what was attempted is looked at from here on, for a caller who may do so. The attempts now stay
    /// counted, whatever becomes of the request, unless they were right.
    pub(crate) fn mark_made(&self) {
        self.made.store(true, Ordering::Relaxed);
    }

    /// Whether anything was looked at.
    pub(crate) fn is_made(&self) -> bool {
        AtomicBool::load(&self.made, Ordering::Relaxed)
    }

    /// Returns the outcome of a command. Takes the counts back if the command succeeded, since the attempts were then
    /// right, or if the attempts weren't made.
    pub(crate) async fn refund_if_right<T>(self, outcome: Result<T>) -> Result<T> {
        if outcome.is_ok() || !self.is_made() {
            self.refund_all_but(0).await;
        }
        outcome
    }

    /// Takes back all but `wrong` of each count, since the others were right.
    pub(crate) async fn refund_all_but(mut self, wrong: usize) {
        let wrong = i32::try_from(wrong).unwrap_or(i32::MAX);
        let mut right = std::mem::take(&mut self.counted);
        right.0.iter_mut().for_each(|(count, _)| count.number = count.number.saturating_sub(wrong));
        right.0.retain(|(count, _)| count.number > 0);
        if let Some(database) = &self.database {
            right.refund(database).await;
        }
    }
}

/// A request that was abandoned before its attempts were made has revealed nothing, so they are taken back.
impl Drop for PendingAttempts {
    fn drop(&mut self) {
        if let (false, Some(database)) = (*self.made.get_mut(), self.database.take()) {
            std::mem::take(&mut self.counted).refund_later(database);
        }
    }
}

/// A number of attempts of one subject that are to be counted.
#[derive(Debug, Clone)]
pub(crate) struct Count {
    /// The limit against which they count.
    pub(crate) limit: TryLimit,
    /// Whose attempts they are, for example an account or a client.
    pub(crate) subject: String,
    /// The number of attempts.
    pub(crate) number: i32,
}

/// A window that has no room for the attempts that were to be counted.
#[derive(Debug, Clone)]
pub(crate) struct FullWindow {
    /// The bucket of the limit.
    pub(crate) bucket: &'static str,
    /// Whose window it is.
    pub(crate) subject: String,
    /// The number of attempts that the window holds.
    pub(crate) limit: i32,
    /// The number of attempts for which there is still room.
    pub(crate) left: i32,
    /// The time until the window ends.
    pub(crate) wait: Duration,
}

/// Attempts that were counted together, kept so that they can be taken back.
#[derive(Default)]
#[must_use]
pub(crate) struct RefundableCounts(Vec<(Count, DateTime<Utc>)>);

/// Counts all attempts or none, and commits. If some windows have no room, nothing is counted and those windows are
/// returned. Each subject of a limit must be named only once.
///
/// Some of these rows are shared by everybody, so nobody may hold them for longer than one statement takes, or until
/// the commit has reached the disk. If the database crashes, only the counts of its last moment are lost.
pub(crate) async fn count_all_or_none(
    database: &Database,
    counts: &[Count],
) -> Result<Result<RefundableCounts, Vec<FullWindow>>> {
    let counted = add_all(&*database.connection().await?, counts, Commit::ByItself).await?;
    match counted {
        Added::All(counted) => Ok(Ok(RefundableCounts(counted))),
        Added::None(full) => Ok(Err(full)),
        Added::TooMany(counted, full) => {
            database
                .transaction(async |transaction| {
                    subtract(transaction, &counted).await?;
                    forget_empty(transaction, counts).await
                })
                .await?;
            Ok(Err(full))
        }
    }
}

/// Like [`count_all_or_none`], but in the transaction whose actions are counted: exactly what is committed is counted,
/// whatever becomes of the request. Limits that everybody shares aren't counted this way, since their row would be
/// locked until the commit.
pub(crate) async fn count_in_transaction(
    transaction: &Transaction,
    counts: &[Count],
) -> Result<Result<RefundableCounts, Vec<FullWindow>>> {
    match add_all(transaction, counts, Commit::WithTransaction).await? {
        Added::All(counted) => Ok(Ok(RefundableCounts(counted))),
        Added::None(full) => Ok(Err(full)),
        Added::TooMany(counted, full) => {
            subtract(transaction, &counted).await?;
            Ok(Err(full))
        }
    }
}

/// When counts are committed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// With the statement, without waiting for the disk.
    ByItself,
    /// With the transaction that the statement belongs to.
    WithTransaction,
}

/// The outcome of counting attempts.
enum Added {
    /// All were counted, in windows that end at these times.
    All(Vec<(Count, DateTime<Utc>)>),
    /// Nothing was counted, since these windows are full.
    None(Vec<FullWindow>),
    /// All were counted, but others filled these windows at the same moment.
    TooMany(Vec<(Count, DateTime<Utc>)>, Vec<FullWindow>),
}

async fn add_all(connection: &AsyncPgConnection, counts: &[Count], commit: Commit) -> Result<Added> {
    #[derive(QueryableByName)]
    struct Window {
        #[diesel(sql_type = Text)]
        bucket: String,
        #[diesel(sql_type = Text)]
        subject: String,
        #[diesel(sql_type = Bool)]
        added: bool,
        #[diesel(embed)]
        counted: WindowCount,
    }
    if counts.is_empty() {
        return Ok(Added::All(Vec::new()));
    }
    let buckets = counts.iter().map(|count| count.limit.bucket).collect();
    let subjects = counts.iter().map(|count| count.subject.as_str()).collect();
    let seconds = counts.iter().map(|count| count.limit.window.as_secs_f64()).collect();
    let numbers = counts.iter().map(|count| count.number).collect();
    let tries = counts.iter().map(|count| count.limit.tries).collect();
    let by_itself = commit == Commit::ByItself;
    let windows: Vec<Window> =
        AddAll { buckets, subjects, seconds, numbers, tries, by_itself }.query().load(&mut &*connection).await?;
    let windows: HashMap<(&str, &str), &Window> =
        windows.iter().map(|window| ((window.bucket.as_str(), window.subject.as_str()), window)).collect();
    let mut full = Vec::new();
    let mut counted = Vec::new();
    for count in counts {
        // If some windows are full, the others aren't returned.
        let Some(window) = windows.get(&(count.limit.bucket, count.subject.as_str())) else { continue };
        let before = window.counted.count.saturating_sub(if window.added { count.number } else { 0 });
        let left = count.limit.tries.saturating_sub(before).max(0);
        if count.number > left {
            full.push(FullWindow {
                bucket: count.limit.bucket,
                subject: count.subject.clone(),
                limit: count.limit.tries,
                left,
                wait: window.counted.wait().max(Duration::from_secs(1)),
            });
        }
        if window.added {
            counted.push((count.clone(), window.counted.window_ends_at));
        }
    }
    Ok(match (counted.is_empty(), full.is_empty()) {
        (_, true) => Added::All(counted),
        (true, false) => Added::None(full),
        (false, false) => Added::TooMany(counted, full),
    })
}

statement! {
    struct AddAll<'a> {
        buckets: Array<Text> = Vec<&'a str>,
        subjects: Array<Text> = Vec<&'a str>,
        seconds: Array<Double> = Vec<f64>,
        numbers: Array<Integer> = Vec<i32>,
        tries: Array<Integer> = Vec<i32>,
        by_itself: Bool = bool,
    } = include_str!("add_all.sql")
}

statement! {
    struct ForgetEmpty<'a> {
        buckets: Array<Text> = Vec<&'a str>,
        subjects: Array<Text> = Vec<&'a str>,
    } = "DELETE FROM attempts a USING unnest(:buckets, :subjects) AS n (bucket, subject) \
         WHERE a.bucket = n.bucket AND a.subject = n.subject AND a.count = 0"
}

/// Deletes the rows of the subjects if nothing was counted, so that no trace of them remains.
async fn forget_empty(transaction: &mut Transaction, counts: &[Count]) -> Result<()> {
    let buckets: Vec<&str> = counts.iter().map(|count| count.limit.bucket).collect();
    let subjects: Vec<&str> = counts.iter().map(|count| count.subject.as_str()).collect();
    ForgetEmpty { buckets, subjects }.query().execute(&mut **transaction).await?;
    Ok(())
}

statement! {
    struct SubtractAll<'a> {
        buckets: Array<Text> = Vec<&'a str>,
        subjects: Array<Text> = Vec<&'a str>,
        numbers: Array<Integer> = Vec<i32>,
        windows: Array<Timestamptz> = Vec<DateTime<Utc>>,
    } = include_str!("subtract_all.sql")
}

/// Subtracts from the counts whose windows haven't ended.
async fn subtract(transaction: &Transaction, counted: &[(Count, DateTime<Utc>)]) -> Result<()> {
    let buckets: Vec<&str> = counted.iter().map(|(count, _)| count.limit.bucket).collect();
    let subjects: Vec<&str> = counted.iter().map(|(count, _)| count.subject.as_str()).collect();
    let numbers: Vec<i32> = counted.iter().map(|(count, _)| count.number).collect();
    let windows: Vec<DateTime<Utc>> = counted.iter().map(|(_, window_ends_at)| *window_ends_at).collect();
    SubtractAll { buckets, subjects, numbers, windows }.query().execute(&mut &**transaction).await?;
    Ok(())
}

impl RefundableCounts {
    /// Takes the counts back, because the counted action had no effect or was right.
    ///
    /// This runs in a transaction of its own, after the command's: everybody shares the deployment's row, so nobody may
    /// hold it, or wait for it, while holding other locks. If it fails, the command's result still stands, and the
    /// attempts stay counted until the window ends. It continues even if the request is abandoned meanwhile.
    pub(crate) async fn refund(self, database: &Database) {
        if !self.0.is_empty() {
            let database = database.clone();
            let _ = run_to_completion(async move { self.subtract(&database).await }).await;
        }
    }

    async fn subtract(&self, database: &Database) {
        // Under load, this queues for a connection again, as often as the request's time allows.
        for is_last in [false, false, true] {
            match database.transaction(async |transaction| subtract(transaction, &self.0).await).await {
                Ok(()) => return,
                Err(Error::Unavailable(_)) if !is_last => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    return tracing::warn!(error, "tries that were right stay counted");
                }
            }
        }
    }

    /// Like [`Self::refund`], for a request that is being abandoned and can't wait.
    pub(crate) fn refund_later(self, database: Database) {
        if let (false, Ok(runtime)) = (self.0.is_empty(), Handle::try_current()) {
            runtime.spawn(async move { self.subtract(&database).await }.in_current_span());
        }
    }
}

/// Deletes the counts of a subject, once the person has proved who they are.
pub(crate) async fn forget(transaction: &mut Transaction, limits: &[TryLimit], subject: &str) -> Result<()> {
    let buckets: Vec<&str> = limits.iter().map(|limit| limit.bucket).collect();
    diesel::delete(attempts::table.filter(attempts::bucket.eq_any(buckets)).filter(attempts::subject.eq(subject)))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Counts an action that is retried automatically at the time that RATE_LIMITED gives. If the window is full, the
/// retries are spread over the next windows, as many in each as it holds, rather than all at the end of this one.
pub(crate) async fn spread_over_windows(database: &Database, limit: &TryLimit, subject: &str) -> Result<()> {
    let counted = add(database, limit, subject).await?;
    let over = u32::try_from(counted.count - limit.tries).unwrap_or_default();
    if over > 0 {
        let windows = (over - 1) / limit.tries.unsigned_abs();
        return Err(Error::RateLimited { retry_after: counted.wait() + limit.window * windows });
    }
    Ok(())
}

statement! {
    struct AddOne<'a> {
        bucket: Text = &'a str,
        subject: Text = &'a str,
        seconds: Double = f64,
    } = include_str!("add_one.sql")
}

async fn add(database: &Database, limit: &TryLimit, subject: &str) -> Result<WindowCount> {
    let mut connection = database.connection().await?;
    let one = AddOne { bucket: limit.bucket, subject, seconds: limit.window.as_secs_f64() };
    Ok(one.query().get_result(&mut *connection).await?)
}

statement! {
    struct Prune { most: BigInt = i64 } = "DELETE FROM attempts WHERE (bucket, subject) IN ( \
         SELECT bucket, subject FROM attempts WHERE window_ends_at <= (SELECT rollcall_now()) \
         ORDER BY window_ends_at LIMIT :most FOR UPDATE SKIP LOCKED)"
}

/// Deletes up to `limit` counts whose window has ended, and returns how many.
pub(crate) async fn prune(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    Ok(Prune { most: limit.into() }.query().execute(&mut **transaction).await?)
}
