//! The hourly sweeps: they finish what a lost job would have left open, and delete what nobody needs any more.

use std::time::Duration;

use apalis_diesel::Job;
use serde::{Deserialize, Serialize};

use crate::database::Database;
use crate::error::{Error, Result};
use crate::job::Hold;
use crate::{attempt, invitation, join_code, limits, session, sign_in, webhook};

/// Queue of the sweeps.
pub const HOUSEKEEPING: &str = "housekeeping";

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sweep {
    /// Join codes past their 24 hours that nobody has marked expired (R29).
    JoinCodes,
    /// Invitations past their days that nobody has marked expired (R23).
    Invitations,
    /// Sessions that ended [`limits::SESSION_RETENTION`] ago.
    Sessions,
    /// Requests to sign in that are older than [`limits::SIGN_IN_REQUEST_RETENTION`].
    SignInRequests,
    /// Counted tries whose window is over.
    Attempts,
    /// Deliveries of webhooks that are older than [`limits::WEBHOOK_DELIVERY_RETENTION`].
    WebhookDeliveries,
    /// Jobs that were done [`limits::JOB_RETENTION`] ago.
    Jobs,
}

impl Sweep {
    /// Every sweep.
    pub const ALL: [Self; 7] = [
        Self::JoinCodes,
        Self::Invitations,
        Self::Sessions,
        Self::SignInRequests,
        Self::Attempts,
        Self::WebhookDeliveries,
        Self::Jobs,
    ];

    /// Its name in schedules and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JoinCodes => "join_codes",
            Self::Invitations => "invitations",
            Self::Sessions => "sessions",
            Self::SignInRequests => "sign_in_requests",
            Self::Attempts => "attempts",
            Self::WebhookDeliveries => "webhook_deliveries",
            Self::Jobs => "jobs",
        }
    }
}

/// Runs a sweep; one of each waits at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSweep {
    /// Which one.
    pub sweep: Sweep,
}

impl Job for RunSweep {
    const QUEUE: &'static str = HOUSEKEEPING;
    const KIND: &'static str = "sweep";
    // Over about half an hour; the next hour brings another.
    const MAX_ATTEMPTS: i32 = 10;
    const TIMEOUT: Duration = Duration::from_secs(3_600);

    fn unique_key(&self) -> Option<String> {
        Some(self.sweep.as_str().to_owned())
    }
}

/// Sweeps up to [`limits::SWEEP_CHUNK`] rows in a transaction of its own, and returns how many; there may be more where
/// it is that many.
pub async fn sweep_chunk(database: &Database, sweep: Sweep, hold: Hold<'_>) -> Result<usize> {
    database
        .transaction(async |transaction| {
            hold(transaction).await?;
            match sweep {
                Sweep::JoinCodes => join_code::sweep_overdue(transaction, limits::SWEEP_CHUNK).await,
                Sweep::Invitations => invitation::sweep_overdue(transaction, limits::SWEEP_CHUNK).await,
                Sweep::Sessions => session::prune(transaction, limits::SWEEP_CHUNK).await,
                Sweep::SignInRequests => sign_in::prune(transaction, limits::SWEEP_CHUNK).await,
                Sweep::Attempts => attempt::prune(transaction, limits::SWEEP_CHUNK).await,
                Sweep::WebhookDeliveries => webhook::prune_deliveries(transaction, limits::SWEEP_CHUNK).await,
                Sweep::Jobs => {
                    apalis_diesel::admin::prune(&mut *transaction, limits::JOB_RETENTION, limits::SWEEP_CHUNK)
                        .await
                        .map_err(Error::from)
                }
            }
        })
        .await
}
