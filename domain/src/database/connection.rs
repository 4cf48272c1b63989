//! The connections that the pool lends out.

use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::held::Held;
use crate::error::{Error, Result};

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

/// A pooled connection; dropped, it goes back to the pool.
pub struct Connection {
    connection: Object<AsyncPgConnection>,
    // What it is counted by ends after it, in this order.
    _share: Option<OwnedSemaphorePermit>,
    _held: Held,
}

impl Connection {
    /// One of the pool, and of the share where there is one; `place` asks for it.
    pub(super) async fn take(
        pool: &Pool<AsyncPgConnection>,
        share: Option<&Share>,
        place: &'static Location<'static>,
    ) -> Result<Self> {
        let share = match share {
            Some(share) => Some(share.acquire().await?),
            None => None,
        };
        let connection = pool.get().await.map_err(|error| Error::Pool(Box::new(error)))?;
        Ok(Self { connection, _share: share, _held: Held::new(place) })
    }

    /// Closes it instead of giving it back to the pool.
    pub(super) fn close(self) {
        drop(Object::take(self.connection));
    }
}

impl Deref for Connection {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}
