//! Whether the database answers, asked on a connection of its own: an exhausted pool must not look like a database that
//! is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::sync::Mutex;

use crate::database::endpoint::Endpoint;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the database, one question at a time. Whoever comes meanwhile shares the next answer, so that many who ask keep
/// nobody waiting.
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
    /// Of the database there; the connection is made with the first question.
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
        // Out of its place, the connection is closed where its answer doesn't come in time.
        let connection = state.connection.take();
        state.connection = tokio::time::timeout(PATIENCE, self.answers(connection)).await.ok().flatten();
        let is_ready = state.connection.is_some();
        state.last = Some((began, is_ready));
        is_ready
    }

    /// The connection, where the database answers on it; a broken one is replaced.
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
