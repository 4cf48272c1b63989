//! Wakes the webhooks of the platform, whose jobs nobody enqueues who records an event (R90).

use std::time::Duration;

use rollcall_domain::database::listener::Listener;
use rollcall_domain::database::{Database, Endpoint};
use rollcall_domain::event::platform_webhook::{self, Looked};
use rollcall_domain::{Error, Result};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The longest time between two looks. It bounds how late an event is whose notification was lost, and how long a
/// webhook looks enabled whose key has ended.
const LOOK: Duration = Duration::from_secs(1);
/// The shortest time between two looks, in which notifications gather.
const GRAIN: Duration = Duration::from_millis(100);
/// How long a connection may take to be made before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks until `shutdown` is cancelled. `endpoint` leads to the database without a pooler.
pub(crate) async fn run(database: Database, endpoint: Endpoint, shutdown: CancellationToken) {
    shutdown.run_until_cancelled(look_again_and_again(&database, &endpoint)).await;
}

async fn look_again_and_again(database: &Database, endpoint: &Endpoint) {
    let (mut listener, mut is_failing) = (None, false);
    loop {
        match look_and_wait(database, endpoint, &mut listener).await {
            Ok(()) => {
                if std::mem::take(&mut is_failing) {
                    tracing::info!("webhooks of the platform are woken again");
                }
            }
            Err(error) => {
                listener = None;
                if !std::mem::replace(&mut is_failing, true) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "webhooks of the platform aren't woken until the database can be reached");
                }
                sleep(LOOK).await;
            }
        }
    }
}

/// Looks, and waits until it is time for the next look. Without webhooks of the platform, nothing is listened to.
async fn look_and_wait(database: &Database, endpoint: &Endpoint, listener: &mut Option<Listener>) -> Result<()> {
    let pause = match platform_webhook::look(database).await? {
        Looked::NoWebhooks => {
            *listener = None;
            sleep(LOOK).await;
            return Ok(());
        }
        Looked::Part | Looked::UpToRunningTransactions => None,
        Looked::Everything => Some(LOOK),
    };
    match (pause, &mut *listener) {
        (None, _) => {}
        (Some(pause), Some(listener)) => {
            // What came since the last wait is heard at once.
            if let Ok(heard) = timeout(pause, listener.heard()).await {
                heard?;
            }
        }
        (Some(_), None) => {
            let connected = timeout(PATIENCE, Listener::connect(endpoint, "rollcall webhooks")).await;
            *listener = Some(connected.map_err(|elapsed| Error::Unavailable(Box::new(elapsed)))??);
            // What was committed before it listened is found by another look.
        }
    }
    sleep(GRAIN).await;
    Ok(())
}
