//! The readiness check asks the database on a connection of its own, so that an exhausted pool doesn't look like a
//! missing database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::sync::Mutex;

use crate::database::endpoint::Endpoint;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the database, one question at a time. Callers that arrive meanwhile share the next answer, so that many callers
/// don't wait for each other.
#[derive(Clone)]
pub(super) struct Readiness {
    endpoint: Endpoint,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    connection: Option<AsyncPgConnection>,
    /// When the last question began, and its answer.
    last: Option<(Instant, bool)>,
}

impl Readiness {
    /// Checks the database of an endpoint. The connection is made for the first question.
    pub(super) fn of(endpoint: Endpoint) -> Self {
        Self { endpoint, state: Arc::default() }
    }

    /// Whether the database answers.
    pub(super) async fn check(&self) -> bool {
        let arrived = Instant::now();
        let mut state = self.state.lock().await;
        if let Some((began, is_ready)) = state.last
            && began >= arrived
        {
            return is_ready;
        }
        let began = Instant::now();
        // The connection is taken out of the state, so that it is closed if its answer doesn't come in time.
        let connection = state.connection.take();
        state.connection = tokio::time::timeout(PATIENCE, self.answers(connection)).await.ok().flatten();
        let is_ready = state.connection.is_some();
        state.last = Some((began, is_ready));
        is_ready
    }

    /// Returns the connection if the database answers on it. Replaces a broken connection.
    async fn answers(&self, connection: Option<AsyncPgConnection>) -> Option<AsyncPgConnection> {
        if let Some(mut connection) = connection
            && diesel::sql_query("SELECT 1").execute(&mut connection).await.is_ok()
        {
            return Some(connection);
        }
        let mut connection = self.endpoint.connect().await.ok()?;
        diesel::sql_query("SELECT 1").execute(&mut connection).await.is_ok().then_some(connection)
    }
}
