use std::time::Duration;

use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::sync::mpsc;

/// The channel of the notifications.
pub(crate) const CHANNEL: &str = "apalis_diesel";

/// The minimum time between two notifications of one process.
const PAUSE: Duration = Duration::from_millis(5);

/// Wakes the workers of all processes after a commit that enqueued something.
///
/// It is cheap to clone. All clones share one background task, so that a burst of a thousand calls becomes a few
/// `NOTIFY`s. These are sent on separate connections, because a transaction that notifies takes a lock that makes all
/// such commits wait for each other.
///
/// A wake-up can be lost if the process dies. Workers look for jobs every second anyway.
#[derive(Clone, Debug)]
pub struct Wake {
    due: mpsc::Sender<()>,
}

impl Wake {
    /// Starts the background task. It borrows a connection from the pool for each `NOTIFY`, and ends when the last
    /// clone is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(pool: Pool<AsyncPgConnection>) -> Self {
        Self::start_on(CHANNEL, pool)
    }

    /// Like [`start`](Self::start), on another channel, for listeners of your own. `channel` is an SQL identifier.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start_on(channel: &'static str, pool: Pool<AsyncPgConnection>) -> Self {
        let (due, wakes) = mpsc::channel(1);
        tokio::spawn(notify(channel, pool, wakes));
        Self { due }
    }

    /// Wakes the workers soon, without waiting for it. Call this after the transaction has committed, since workers
    /// that are woken earlier find nothing.
    pub fn wake(&self) {
        // If the channel is full, a notification is due anyway and will be sent after this call.
        let _ = self.due.try_send(());
    }
}

async fn notify(channel: &'static str, pool: Pool<AsyncPgConnection>, mut wakes: mpsc::Receiver<()>) {
    while wakes.recv().await.is_some() {
        let sent = async {
            let mut connection = pool.get().await?;
            diesel::sql_query(format!("NOTIFY {channel}")).execute(&mut connection).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        };
        if let Err(error) = sent.await {
            tracing::warn!(%error, channel, "could not wake the listeners; they find what is new when they look next");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
