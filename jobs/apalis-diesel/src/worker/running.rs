//! The claims of this process that aren't acknowledged yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::metrics::{JobMetrics, KindMetrics};
use super::outcome::Outcome;

/// The key of a claim: the job's id and the number of the attempt.
pub(crate) type Key = (Uuid, i32);

/// Why a handler is stopped before it has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    Lost,
    Closing,
}

/// The lock that a claim holds in this process until it is acknowledged.
pub(crate) enum Company {
    /// The job runs beside others.
    Shared { _guard: Arc<OwnedRwLockReadGuard<()>> },
    /// The job runs alone.
    Exclusive { _guard: OwnedRwLockWriteGuard<()> },
}

/// A claim that isn't acknowledged yet.
pub(crate) struct Claim {
    /// When the attempt times out.
    pub(crate) deadline: Instant,
    /// Whether the job has a serial key, so that its end may make another job due.
    pub(crate) serial: bool,
    /// Whether the job has a unique key.
    pub(crate) unique: bool,
    /// The job's place among the queue's handlers, until its handler has ended.
    pub(crate) slot: Option<OwnedSemaphorePermit>,
    pub(crate) _company: Company,
    pub(crate) metrics: JobMetrics,
    state: State,
}

enum State {
    Unstarted,
    Started(Option<oneshot::Sender<Cancel>>),
    Cancelled(Cancel),
}

impl Claim {
    pub(crate) fn new(
        deadline: Instant,
        serial: bool,
        unique: bool,
        slot: Option<OwnedSemaphorePermit>,
        company: Company,
        metrics: JobMetrics,
    ) -> Self {
        Self { deadline, serial, unique, slot, _company: company, metrics, state: State::Unstarted }
    }
}

/// What a handler needs when it starts.
pub(crate) struct Start {
    /// When the attempt times out.
    pub(crate) deadline: Instant,
    /// Tells the handler to stop earlier.
    pub(crate) cancelled: oneshot::Receiver<Cancel>,
    pub(crate) metrics: Arc<KindMetrics>,
}

/// All claims of the process, and the number of tasks that may add more.
#[derive(Default)]
pub(crate) struct Running {
    claims: Mutex<Claims>,
    idle: Notify,
}

#[derive(Default)]
struct Claims {
    by_key: HashMap<Key, Claim>,
    claimers: usize,
}

/// A task that may add claims, until this value is dropped.
pub(crate) struct Claimer(Arc<Running>);

impl Drop for Claimer {
    fn drop(&mut self) {
        self.0.lock().claimers -= 1;
        self.0.idle.notify_waiters();
    }
}

impl Running {
    pub(crate) fn claimer(self: &Arc<Self>) -> Claimer {
        self.lock().claimers += 1;
        Claimer(self.clone())
    }

    pub(crate) fn insert(&self, key: Key, claim: Claim) {
        self.lock().by_key.insert(key, claim);
    }

    /// Records that the handler starts. Returns an error if it should not start at all.
    pub(crate) fn start(&self, key: Key) -> Result<Start, Cancel> {
        let mut claims = self.lock();
        let claim = claims.by_key.get_mut(&key).ok_or(Cancel::Lost)?;
        if let State::Cancelled(cancel) = claim.state {
            return Err(cancel);
        }
        let (cancel, cancelled) = oneshot::channel();
        claim.state = State::Started(Some(cancel));
        Ok(Start { deadline: claim.deadline, cancelled, metrics: claim.metrics.kind.clone() })
    }

    /// Records that the handler has ended. Returns whether the job has a serial key, and whether it has a unique key.
    pub(crate) fn end(&self, key: Key, outcome: &Outcome) -> (bool, bool) {
        self.lock().by_key.get_mut(&key).map_or((false, false), |claim| {
            claim.slot = None;
            claim.metrics.kind.ended(outcome);
            (claim.serial, claim.unique)
        })
    }

    pub(crate) fn remove(&self, key: Key) {
        let removed = self.lock().by_key.remove(&key);
        if removed.is_some() {
            self.idle.notify_waiters();
        }
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.lock().by_key.keys().copied().collect()
    }

    /// Stops a handler, or prevents it from starting. Returns whether there was one to stop.
    pub(crate) fn cancel(&self, key: Key, reason: Cancel) -> bool {
        self.lock().by_key.get_mut(&key).is_some_and(|claim| claim.cancel(reason))
    }

    pub(crate) fn cancel_all(&self, reason: Cancel) {
        for claim in self.lock().by_key.values_mut() {
            claim.cancel(reason);
        }
    }

    /// Waits until nothing is claimed and nothing can be claimed any more.
    pub(crate) async fn idle(&self) {
        loop {
            let changed = self.idle.notified();
            {
                let claims = self.lock();
                if claims.by_key.is_empty() && claims.claimers == 0 {
                    return;
                }
            }
            changed.await;
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().by_key.len()
    }

    fn lock(&self) -> MutexGuard<'_, Claims> {
        // Nothing panics while the lock is held.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    fn cancel(&mut self, reason: Cancel) -> bool {
        match &mut self.state {
            State::Unstarted => {
                self.state = State::Cancelled(reason);
                false
            }
            State::Started(cancel) => cancel.take().is_some_and(|cancel| cancel.send(reason).is_ok()),
            State::Cancelled(_) => false,
        }
    }
}
