use std::time::Duration;

use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::sync::mpsc;

/// Channel of the notifications.
pub(crate) const CHANNEL: &str = "apalis_diesel";

/// Notifications of one process follow each other at this distance at least.
const PAUSE: Duration = Duration::from_millis(5);

/// Wakes the workers of every process, after a commit that enqueued something.
///
/// Cloning it is cheap. All clones share one background task, so that a thousand calls in a burst become a few
/// `NOTIFY`s. These are sent on connections of their own, for a reason: a transaction that notifies takes a lock that
/// makes all such commits wait for each other.
///
/// A wake-up can be lost with its process; workers look for jobs every second anyway.
#[derive(Clone, Debug)]
pub struct Wake {
    due: mpsc::Sender<()>,
}

impl Wake {
    /// Starts the background task, which borrows a connection from the pool for each `NOTIFY` and ends when the last
    /// clone is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(pool: Pool<AsyncPgConnection>) -> Self {
        let (due, wakes) = mpsc::channel(1);
        tokio::spawn(notify(pool, wakes));
        Self { due }
    }

    /// Wakes the workers soon, and doesn't wait for that. To be called once the transaction has committed: workers
    /// woken earlier find nothing.
    pub fn wake(&self) {
        // Where the channel is full, a notification is due anyway and will be sent after this call.
        let _ = self.due.try_send(());
    }
}

async fn notify(pool: Pool<AsyncPgConnection>, mut wakes: mpsc::Receiver<()>) {
    while wakes.recv().await.is_some() {
        let sent = async {
            let mut connection = pool.get().await?;
            diesel::sql_query(format!("NOTIFY {CHANNEL}")).execute(&mut connection).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        };
        if let Err(error) = sent.await {
            tracing::warn!(%error, "could not wake the workers; they find the jobs when they look next");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
