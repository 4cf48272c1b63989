//! What the tests stand on: real processes, a database per test, a mail server, GraphQL clients, pages and a browser.

pub mod app;
pub mod browser;
pub mod client;
pub mod database;
pub mod follower;
pub mod issuer;
pub mod mail;
pub mod metrics;
pub mod page;
pub mod people;
pub mod plans;
pub mod pooler;
pub mod process;
pub mod proxy;
pub mod receiver;
pub mod reverse_proxy;
pub mod server;
pub mod smtp;
pub mod tls_relay;

use std::time::{Duration, Instant};

pub use app::TestApp;
pub use client::{Answer, Client};
pub use metrics::scrape;
pub use people::Team;
pub use serde_json::{Value, json};
pub use smtp::{Act, Farewell, Reply, Stage};

/// After this a test has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until the check gives something, and returns that.
pub async fn until<T>(what: &str, check: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "did not happen in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
