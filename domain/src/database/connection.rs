//! The connections that the pool lends.

use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::database::endpoint::Endpoint;
use crate::database::lent::LentEntry;
use crate::database::under_way::UnderWay;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a connection waits for the rest of an answer before it returns to the pool.
const SETTLING: Duration = Duration::from_millis(200);
/// How long cancelling a statement may take.
const CANCELLING: Duration = Duration::from_secs(5);

/// The parts of a pool from which a use of it may take connections. Each connection counts in all of them.
#[derive(Clone, Default)]
pub(super) struct Shares {
    parts: Vec<Part>,
    /// The number of those who wait for their share of the pool.
    waiting: Arc<AtomicUsize>,
}

/// A part of a pool.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) connections: Arc<Semaphore>,
    /// How long to wait for a connection of this part.
    pub(super) patience: Option<Duration>,
}

impl Part {
    async fn place(&self) -> Result<OwnedSemaphorePermit> {
        let place = self.connections.clone().acquire_owned();
        let place = match self.patience {
            None => place.await,
            Some(patience) => {
                tokio::time::timeout(patience, place).await.map_err(|elapsed| Error::Unavailable(Box::new(elapsed)))?
            }
        };
        place.map_err(|_| Error::Bug("a share is never closed"))
    }
}

impl Shares {
    pub(super) fn and(&self, part: Part) -> Self {
        Self { parts: self.parts.iter().cloned().chain([part]).collect(), waiting: self.waiting.clone() }
    }

    /// The number of those who wait for their share.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a place in each part. The parts that were added last are the smallest, and come first.
    async fn acquire(&self) -> Result<Vec<OwnedSemaphorePermit>> {
        let _waiting = Waiting::among(&self.waiting);
        let mut places = Vec::with_capacity(self.parts.len());
        for part in self.parts.iter().rev() {
            places.push(part.place().await?);
        }
        Ok(places)
    }
}

/// Counts somebody as waiting until it is dropped.
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

/// A pooled connection. When it is dropped, it returns to the pool if nothing is under way on it.
///
/// A request that is abandoned drops its connections at any point: during a statement whose answer hasn't come yet, or
/// in the middle of a transaction. Such a connection is closed and its statement cancelled. If it returned to the pool,
/// its next user would wait for that answer, and its locks would be kept.
pub struct Connection {
    pooled: Option<Object<AsyncPgConnection>>,
    /// The endpoint, for cancelling statements.
    endpoint: Endpoint,
    under_way: UnderWay,
    in_transaction: bool,
    // What the connection counts in is released after it, in this order.
    _shares: Vec<OwnedSemaphorePermit>,
    _held: LentEntry,
}

impl Connection {
    /// Takes a connection of the pool and of the shares. `place` is where the caller asked for it.
    pub(super) async fn take(
        pool: &Pool<AsyncPgConnection>,
        endpoint: &Endpoint,
        shares: &Shares,
        place: &'static Location<'static>,
    ) -> Result<Self> {
        let places = shares.acquire().await?;
        let mut pooled = pool.get().await.map_err(|error| Error::Unavailable(Box::new(error)))?;
        let under_way = pooled.instrumentation().downcast_ref::<UnderWay>().cloned();
        Ok(Self {
            pooled: Some(pooled),
            endpoint: endpoint.clone(),
            under_way: under_way.ok_or(Error::Bug("the endpoint counts what is under way on each connection"))?,
            in_transaction: false,
            _shares: places,
            _held: LentEntry::new(place),
        })
    }

    /// Records whether a transaction is open on the connection.
    pub(super) fn set_in_transaction(&mut self, in_transaction: bool) {
        self.in_transaction = in_transaction;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(pooled) = self.pooled.take() else { return };
        let is_answered = !self.under_way.has_statements() && self.under_way.unanswered.is_none();
        if is_answered && !self.in_transaction {
            return;
        }
        let (true, Ok(runtime)) = (!is_answered, tokio::runtime::Handle::try_current()) else {
            drop(Object::take(pooled));
            return;
        };
        let (endpoint, under_way, in_transaction) =
            (self.endpoint.clone(), self.under_way.clone(), self.in_transaction);
        runtime.spawn(async move {
            // A user who wanted only the first rows has left the rest of the answer unread, most of which has usually
            // arrived.
            let may_be_whole = !under_way.has_statements() && !in_transaction;
            if may_be_whole && tokio::time::timeout(SETTLING, under_way.unanswered.ended()).await.is_ok() {
                return;
            }
            let mut connection = Object::take(pooled);
            // PostgreSQL notices that a client is gone only when it writes to it, and a pooler doesn't cancel anything
            // for a client that is gone. The connection therefore stays open until the ROLLBACK after the statement
            // has been answered.
            let statement = connection.cancel_token();
            let cancelling = async {
                if endpoint.cancel(statement).await.is_ok() {
                    let _ = connection.batch_execute("ROLLBACK").await;
                }
            };
            let _ = tokio::time::timeout(CANCELLING, cancelling).await;
        });
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
