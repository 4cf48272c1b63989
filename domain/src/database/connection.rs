//! The connections that the pool lends out.

use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Endpoint;
use super::held::Held;
use crate::error::{Error, Result};
use diesel::connection::{Instrumentation, InstrumentationEvent};
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long cancelling a statement may take.
const CANCELLING: Duration = Duration::from_secs(5);

/// A part of a pool's connections, for one of several uses.
#[derive(Clone)]
pub(super) struct Share {
    connections: Arc<Semaphore>,
    /// Who waits for any share of the pool.
    waiting: Arc<AtomicUsize>,
}

impl Share {
    pub(super) fn new(connections: usize, waiting: Arc<AtomicUsize>) -> Self {
        Self { connections: Arc::new(Semaphore::new(connections)), waiting }
    }

    async fn acquire(&self) -> Result<OwnedSemaphorePermit> {
        let _waiting = Waiting::among(&self.waiting);
        self.connections.clone().acquire_owned().await.map_err(|_| Error::Bug("a share is never closed"))
    }
}

/// Counts whoever waits, until that is dropped.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn among(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A pooled connection; dropped, it goes back to the pool if nothing is under way on it.
///
/// A request that is given up drops its connections wherever it is: with a statement whose answer is still to come, or in the
/// middle of a transaction. Such a connection is closed, and its statement cancelled; in the pool, whoever took it next would
/// wait for the answer, and locks would be kept.
pub struct Connection {
    pooled: Option<Object<AsyncPgConnection>>,
    /// Where it leads, for cancelling.
    endpoint: Endpoint,
    unanswered: Unanswered,
    in_transaction: bool,
    // What it is counted by ends after it, in this order.
    _share: Option<OwnedSemaphorePermit>,
    _held: Held,
}

impl Connection {
    /// One of the pool, and of the share where there is one; `place` asks for it.
    pub(super) async fn take(
        pool: &Pool<AsyncPgConnection>,
        endpoint: &Endpoint,
        share: Option<&Share>,
        place: &'static Location<'static>,
    ) -> Result<Self> {
        let share = match share {
            Some(share) => Some(share.acquire().await?),
            None => None,
        };
        let mut pooled = pool.get().await.map_err(|error| Error::Unavailable(Box::new(error)))?;
        let unanswered = Unanswered::default();
        pooled.set_instrumentation(unanswered.clone());
        Ok(Self {
            pooled: Some(pooled),
            endpoint: endpoint.clone(),
            unanswered,
            in_transaction: false,
            _share: share,
            _held: Held::new(place),
        })
    }

    /// Says whether a transaction is open on it.
    pub(super) fn set_in_transaction(&mut self, in_transaction: bool) {
        self.in_transaction = in_transaction;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(pooled) = self.pooled.take() else { return };
        let is_answered = self.unanswered.0.load(Ordering::Relaxed) == 0;
        if is_answered && !self.in_transaction {
            return;
        }
        let connection = Object::take(pooled);
        if !is_answered && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // PostgreSQL notices that a client is gone only when it writes to it. A pooler cancels nothing for a client that is
            // gone: so the connection stays until what follows the statement on it is answered.
            let (endpoint, statement, mut connection) = (self.endpoint.clone(), connection.cancel_token(), connection);
            let cancelling = async move {
                if endpoint.cancel(statement).await.is_ok() {
                    let _ = connection.batch_execute("ROLLBACK").await;
                }
            };
            runtime.spawn(tokio::time::timeout(CANCELLING, cancelling));
        }
    }
}

impl Deref for Connection {
    type Target = AsyncPgConnection;
    #[expect(clippy::expect_used, reason = "only dropping takes it out")]
    fn deref(&self) -> &AsyncPgConnection {
        self.pooled.as_ref().expect("the connection is there until it is dropped")
    }
}

impl DerefMut for Connection {
    #[expect(clippy::expect_used, reason = "only dropping takes it out")]
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        self.pooled.as_mut().expect("the connection is there until it is dropped")
    }
}

/// How many statements of a connection have been sent and not answered.
#[derive(Clone, Default)]
struct Unanswered(Arc<AtomicUsize>);

impl Instrumentation for Unanswered {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { .. } => {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
            InstrumentationEvent::FinishQuery { .. } => {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
            // Of these, what is sent is a statement as well.
            _ => {}
        }
    }
}
