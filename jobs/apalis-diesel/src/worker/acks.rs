//! Acknowledgements, which are written in batches.

use std::sync::Arc;
use std::time::Duration;

use diesel::sql_types::{Array, Bool, Double, Integer, Nullable, Text, Uuid as SqlUuid};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::failure::chain;
use super::link::{Link, LinkError};
use super::outcome::Outcome;
use super::running::Key;
use super::shared::{Ack, Shared, closed};
use crate::statement::{self, Statement, lock_claims, unique_key_when_waiting};

const BATCH: usize = 1_000;
/// The number of acknowledgements below which more are waited for.
const FEW: usize = 16;
/// How long they are waited for.
const GATHERING: Duration = Duration::from_millis(2);
/// The pause between a failure and the next attempt to write.
const PAUSE: Duration = Duration::from_millis(500);
/// The length to which reasons are cut.
const LONGEST_REASON: usize = 2_000;

/// Writes acknowledgements until the store is closed. Those that arrive during a statement, or within a moment, are
/// written together.
pub(crate) async fn acknowledge(shared: Arc<Shared>, mut acks: mpsc::UnboundedReceiver<Ack>) {
    let mut phase = shared.phase.subscribe();
    let mut writer = Writer { link: Link::new(shared.connector.clone(), "acknowledge"), shared, failing: false };
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            received = acks.recv_many(&mut batch, BATCH) => {
                if received == 0 {
                    return;
                }
                if received < FEW {
                    tokio::time::sleep(GATHERING).await;
                    while batch.len() < BATCH && let Ok(ack) = acks.try_recv() {
                        batch.push(ack);
                    }
                }
                writer.write_all(&mut batch).await;
            }
            () = closed(&mut phase) => break,
        }
    }
    acks.close();
    while acks.recv_many(&mut batch, BATCH).await > 0 {
        writer.write_all(&mut batch).await;
    }
}

struct Writer {
    shared: Arc<Shared>,
    link: Link,
    failing: bool,
}

impl Writer {
    async fn write_all(&mut self, batch: &mut Vec<Ack>) {
        let (mut done, mut back) = (Vec::new(), Vec::new());
        for ack in batch.drain(..) {
            match ack.outcome {
                Outcome::Done => done.push(ack),
                // A job with a unique key that goes back to waiting may have to wait for another transaction that
                // enqueues a job with the same key. Nothing else may be held up or locked during that time.
                _ if ack.unique => self.write(vec![ack]).await,
                _ => back.push(ack),
            }
        }
        self.write(done).await;
        self.write(back).await;
    }

    /// Writes acknowledgements, which must either all be `Done` or all be something else.
    async fn write(&mut self, acks: Vec<Ack>) {
        if acks.is_empty() {
            return;
        }
        match self.try_write(&acks).await {
            Ok(locked) => {
                if self.failing {
                    self.failing = false;
                    tracing::info!("acknowledging jobs again");
                }
                self.settle(acks, &locked);
            }
            // They are written one by one, so that one that can't be written doesn't hold up the others.
            Err(LinkError::Query(error)) if acks.len() > 1 && !is_connection_error(&error) => {
                tracing::warn!(%error, "could not acknowledge jobs together");
                for ack in acks {
                    Box::pin(self.write(vec![ack])).await;
                }
            }
            Err(error) => {
                if !self.failing {
                    self.failing = true;
                    let error = chain(&error);
                    tracing::warn!(%error, jobs = acks.len(), "could not acknowledge jobs; trying again");
                }
                self.again_later(acks);
            }
        }
    }

    /// Returns the claims that another transaction has locked.
    async fn try_write(&mut self, acks: &[Ack]) -> Result<Vec<Key>, LinkError> {
        let ids: Vec<Uuid> = acks.iter().map(|ack| ack.key.0).collect();
        let attempts: Vec<i32> = acks.iter().map(|ack| ack.key.1).collect();
        let changed = if acks.iter().all(|ack| ack.outcome == Outcome::Done) {
            let done = Statement::<AcknowledgeDone>::new()
                .bind::<Array<SqlUuid>, _>(ids.clone())
                .bind::<Array<Integer>, _>(attempts.clone());
            self.link.execute(done).await?
        } else {
            self.link.execute(other(acks, ids.clone(), attempts.clone())).await?
        };
        if changed == acks.len() {
            return Ok(Vec::new());
        }
        // The other claims are locked, or they are lost, which the heartbeat reports, or the handler has completed
        // them itself.
        let running = Statement::<StillRunning, (SqlUuid, Integer)>::new()
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<Integer>, _>(attempts);
        let running: Vec<Key> = self.link.load(running).await?;
        Ok(running)
    }

    fn settle(&self, acks: Vec<Ack>, locked: &[Key]) {
        let mut again = Vec::new();
        let mut wake = false;
        for ack in acks {
            if locked.contains(&ack.key) {
                again.push(ack);
            } else {
                wake |= ack.serial || ack.outcome != Outcome::Done;
                self.shared.running.remove(ack.key);
                // If nobody waits for the receiver any more, nobody needs to be notified.
                let _ = ack.settled.send(());
            }
        }
        if wake {
            self.shared.wake.send_modify(|_| ());
        }
        if !again.is_empty() {
            self.again_later(again);
        }
    }

    fn again_later(&self, acks: Vec<Ack>) {
        let sender = self.shared.acks.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            for ack in acks {
                // If the store has closed, the lease must run out.
                let _ = sender.send(ack);
            }
        });
    }
}

fn other(acks: &[Ack], ids: Vec<Uuid>, attempts: Vec<i32>) -> Statement<AcknowledgeOther> {
    let (mut statuses, mut pauses, mut reasons, mut uncounted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ack in acks {
        let (status, pause, reason) = match &ack.outcome {
            Outcome::Done => ("done", None, None),
            Outcome::Retry { reason, after } => ("waiting", Some(after.as_secs_f64()), Some(cut(reason))),
            Outcome::GivenUp { reason } => ("given_up", None, Some(cut(reason))),
            Outcome::Postponed { after } => ("waiting", Some(after.as_secs_f64()), None),
            Outcome::GivenBack => ("waiting", None, None),
        };
        statuses.push(status);
        pauses.push(pause);
        reasons.push(reason);
        uncounted.push(matches!(ack.outcome, Outcome::Postponed { .. } | Outcome::GivenBack));
    }
    Statement::new()
        .bind::<Array<SqlUuid>, _>(ids)
        .bind::<Array<Integer>, _>(attempts)
        .bind::<Array<Text>, _>(statuses)
        .bind::<Array<Nullable<Double>>, _>(pauses)
        .bind::<Array<Nullable<Text>>, _>(reasons)
        .bind::<Array<Bool>, _>(uncounted)
}

fn is_connection_error(error: &diesel::result::Error) -> bool {
    use diesel::result::DatabaseErrorKind::{ClosedConnection, UnableToSendCommand};
    matches!(error, diesel::result::Error::DatabaseError(ClosedConnection | UnableToSendCommand, _))
}

/// Cuts a reason, and removes NUL characters, which PostgreSQL's text can't contain.
fn cut(reason: &str) -> String {
    reason.chars().filter(|character| *character != '\0').take(LONGEST_REASON).collect()
}

struct AcknowledgeDone;

impl statement::Text for AcknowledgeDone {
    const SQL: &'static str = concat!(
        "WITH held AS MATERIALIZED (SELECT held.id FROM unnest(?, ?) AS ended (id, attempt) ",
        lock_claims!("ended"),
        ") UPDATE jobs SET status = 'done', finished_at = (SELECT job_clock()), lease_expires_at = NULL
        WHERE jobs.id = ANY (ARRAY (SELECT id FROM held))"
    );
}

struct AcknowledgeOther;

impl statement::Text for AcknowledgeOther {
    const SQL: &'static str = concat!(
        "WITH clock AS MATERIALIZED (SELECT job_clock() AS now),
        held AS MATERIALIZED (
            SELECT held.id, ended.status, ended.pause, ended.reason, ended.uncounted
            FROM unnest(?, ?, ?, ?, ?, ?) AS ended (id, attempt, status, pause, reason, uncounted) ",
        lock_claims!("ended"),
        ") UPDATE jobs SET
            status = held.status,
            run_at = coalesce(now + make_interval(secs => held.pause), jobs.run_at),
            last_error = coalesce(held.reason, jobs.last_error),
            uncounted_attempts = jobs.uncounted_attempts + held.uncounted::integer,
            alone = jobs.alone AND held.uncounted,
            worker = CASE WHEN held.status <> 'waiting' THEN jobs.worker END,
            finished_at = CASE WHEN held.status <> 'waiting' THEN now END,
            lease_expires_at = NULL,
            unique_key = ",
        unique_key_when_waiting!(),
        " FROM held, clock WHERE jobs.id = held.id AND jobs.id = ANY (ARRAY (SELECT id FROM held))"
    );
}

struct StillRunning;

impl statement::Text for StillRunning {
    const SQL: &'static str = "
        SELECT ended.id, ended.attempt FROM unnest(?, ?) AS ended (id, attempt)
        CROSS JOIN LATERAL (
            SELECT FROM jobs
            WHERE jobs.id = ended.id AND jobs.attempt = ended.attempt AND jobs.status = 'running' LIMIT 1
        ) AS running";
}
