//! The connection on which a process hears of commits, its own and those of others.

use std::ops::{Deref, DerefMut};
use std::pin::pin;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::{FutureExt, StreamExt};

use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::database::endpoint::Endpoint;

/// The channel of the notifications. They have no payload: they only say that something was recorded.
pub(super) const CHANNEL: &str = "rollcall_events";

/// An unpooled connection that hears of every commit that recorded an audit event.
///
/// A notification can be lost, because it is sent after its commit and the process may die in between. Whoever listens
/// must therefore look for what is new from time to time.
pub struct Listener(AsyncPgConnection);

impl Listener {
    /// Connects to an endpoint without a pooler, and begins to listen. PostgreSQL shows the connection under the name.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database can't be reached.
    pub async fn connect(endpoint: &Endpoint, name: &'static str) -> Result<Self> {
        let mut connection = endpoint.connect_to_listen().await.map_err(|error| Error::Unavailable(Box::new(error)))?;
        let timeout = limits::STATEMENT_TIMEOUT.as_millis();
        connection
            .batch_execute(&format!(
                "SET application_name = '{name}'; SET jit = off; SET statement_timeout = {timeout}; \
                 SET plan_cache_mode = force_generic_plan; LISTEN {CHANNEL}"
            ))
            .await?;
        Ok(Self(connection))
    }

    /// Waits for a notification. Those that have arrived together count as one.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn heard(&mut self) -> Result<()> {
        let mut notifications = pin!(self.0.notifications_stream());
        let mut next = Some(notifications.next().await);
        while let Some(notification) = next {
            notification.ok_or_else(|| Error::Unavailable("the connection was closed".into()))??;
            next = notifications.next().now_or_never();
        }
        Ok(())
    }
}

impl Deref for Listener {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.0
    }
}

impl DerefMut for Listener {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.0
    }
}
