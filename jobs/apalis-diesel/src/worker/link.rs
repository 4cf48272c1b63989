//! Connections of the worker's own, outside of any pool.

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

/// After this a statement is taken for lost, with its connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the planner use the indexes that are made for these statements, in their order, whatever it believes about the
/// table: a plan that was made while the table was empty would be a catastrophe once it isn't. As such plans don't
/// depend on the values either, they are made once. The statements are written such that these settings leave but one
/// sensible plan. Where a step is forced on it, its "cost" is huge; that must not start the JIT.
///
/// Nothing here waits long for a lock: what is locked is tried again later.
const SESSION: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; SET plan_cache_mode = force_generic_plan;
    SET lock_timeout = '2s'; SET statement_timeout = '9s';";

/// Opens connections to the database.
pub(crate) struct Connector {
    connect: Connect,
}

/// How a connection is made.
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

    /// Opens a connection whose `application_name` says what it is for.
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

/// One connection, opened when it is needed and again after every failure.
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

    /// A connection for more than a statement, to be [put back](Self::put_back).
    ///
    /// That is done after a success only, so that one whose state is unknown isn't used again.
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

/// Why a statement of the worker's own didn't succeed.
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
