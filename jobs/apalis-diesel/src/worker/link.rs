//! The worker's own connections, which don't come from any pool.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::methods::{ExecuteDsl, LoadQuery};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::statement::{Statement, Text};

/// The time after which a statement counts as lost, together with its connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The settings of a session. They make the planner use the indexes that exist for these statements, in their order,
/// whatever it believes about the table: a plan that was made while the table was empty would be disastrous later.
/// Such plans don't depend on the values either, so they are made only once. The statements are written so that only
/// one sensible plan remains with these settings. If the planner has to use a disabled kind of step, its estimated
/// cost is huge, which must not start the JIT.
///
/// Statements never wait long for a lock. Whatever is locked is tried again later.
const SESSION: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; SET plan_cache_mode = force_generic_plan;
    SET lock_timeout = '2s'; SET statement_timeout = '9s';";

/// Opens connections to the database.
pub(crate) struct Connector {
    connect: Connect,
}

/// A function that makes a connection.
pub(crate) type Connect = Box<dyn Fn() -> BoxFuture<'static, ConnectionResult<AsyncPgConnection>> + Send + Sync>;

impl Connector {
    pub(crate) fn new(url: String) -> Self {
        Self::with(Box::new(move || {
            let url = url.clone();
            async move { AsyncPgConnection::establish(&url).await }.boxed()
        }))
    }

    pub(crate) fn with(connect: Connect) -> Self {
        Self { connect }
    }

    /// Opens a connection whose `application_name` contains its purpose.
    pub(crate) async fn connect(&self, purpose: &'static str) -> Result<AsyncPgConnection, LinkError> {
        let opening = async {
            let mut connection = (self.connect)().await.map_err(LinkError::Connect)?;
            let session = format!("SET application_name = 'apalis-diesel {purpose}'; {SESSION}");
            connection.batch_execute(&session).await.map_err(LinkError::Query)?;
            Ok(connection)
        };
        tokio::time::timeout(PATIENCE, opening).await.unwrap_or(Err(LinkError::TimedOut))
    }
}

/// A connection that is opened when it is needed, and again after every failure.
pub(crate) struct Link {
    connector: Arc<Connector>,
    purpose: &'static str,
    connection: Option<AsyncPgConnection>,
}

impl Link {
    pub(crate) fn new(connector: Arc<Connector>, purpose: &'static str) -> Self {
        Self { connector, purpose, connection: None }
    }

    pub(crate) async fn load<'query, T, R, U>(&mut self, statement: Statement<T, R>) -> Result<Vec<U>, LinkError>
    where
        T: Text,
        R: 'static,
        U: Send,
        Statement<T, R>: LoadQuery<'query, AsyncPgConnection, U> + 'query,
    {
        let mut connection = self.take().await?;
        let rows = tokio::time::timeout(PATIENCE, statement.load(&mut connection))
            .await
            .map_err(|_| LinkError::TimedOut)?
            .map_err(LinkError::Query)?;
        self.put_back(connection);
        Ok(rows)
    }

    pub(crate) async fn execute<T>(&mut self, statement: Statement<T>) -> Result<usize, LinkError>
    where
        T: Text,
        Statement<T>: ExecuteDsl<AsyncPgConnection>,
    {
        let mut connection = self.take().await?;
        let rows = tokio::time::timeout(PATIENCE, statement.execute(&mut connection))
            .await
            .map_err(|_| LinkError::TimedOut)?
            .map_err(LinkError::Query)?;
        self.put_back(connection);
        Ok(rows)
    }

    /// Takes the connection for more than one statement. It must be [put back](Self::put_back) afterwards.
    ///
    /// It is put back only after a success, so that a connection in an unknown state isn't used again.
    pub(crate) async fn take(&mut self) -> Result<AsyncPgConnection, LinkError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.connector.connect(self.purpose).await,
        }
    }

    pub(crate) fn put_back(&mut self, connection: AsyncPgConnection) {
        self.connection = Some(connection);
    }
}

/// Why a statement of the worker failed.
#[derive(Debug)]
pub(crate) enum LinkError {
    Connect(ConnectionError),
    Query(diesel::result::Error),
    TimedOut,
}

impl fmt::Display for LinkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(_) => formatter.write_str("could not connect to the database"),
            Self::Query(_) => formatter.write_str("the database refused a statement"),
            Self::TimedOut => formatter.write_str("the database did not answer in time"),
        }
    }
}

impl Error for LinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Query(error) => Some(error),
            Self::TimedOut => None,
        }
    }
}
