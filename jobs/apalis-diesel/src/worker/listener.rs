//! The connection that listens for notifications.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use futures_util::StreamExt;

use super::failure::chain;
use super::link::LinkError;
use super::shared::{Shared, closed};
use crate::wake::CHANNEL;

const PAUSE: Duration = Duration::from_secs(1);

/// Wakes the process's queues at each notification, until the store is closed.
pub(crate) async fn listen(shared: Arc<Shared>) {
    let mut phase = shared.phase.subscribe();
    tokio::select! {
        () = listen_again_and_again(&shared) => {}
        () = closed(&mut phase) => {}
    }
}

async fn listen_again_and_again(shared: &Shared) {
    let mut failing = false;
    loop {
        let error = match listen_once(shared, &mut failing).await {
            Ok(()) => "the connection was closed".to_owned(),
            Err(error) => chain(&error),
        };
        if !failing {
            failing = true;
            tracing::warn!(%error, "does not hear wake-ups any more, so looks for jobs every second; connecting again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Listens until the connection is lost.
async fn listen_once(shared: &Shared, failing: &mut bool) -> Result<(), LinkError> {
    let mut connection = shared.connector.connect("listen").await?;
    connection.batch_execute(&format!("LISTEN {CHANNEL}")).await.map_err(LinkError::Query)?;
    if *failing {
        *failing = false;
        tracing::info!("hears wake-ups again");
    }
    // There may have been notifications before this connection listened.
    shared.wake.send_modify(|_| ());
    let mut notifications = pin!(connection.notifications_stream());
    while let Some(notification) = notifications.next().await {
        notification.map_err(LinkError::Query)?;
        shared.wake.send_modify(|_| ());
    }
    Ok(())
}
