//! The sweeps: they finish what a lost job would have left open, and delete what nobody needs any more.

use std::time::Duration;

use apalis_diesel::Job;
use serde::{Deserialize, Serialize};

use crate::account::{grant_invitation, reserved_name, session};
use crate::authority::{attempt, expiry};
use crate::base::error::Result;
use crate::base::job::JobClaim;
use crate::base::limits;
use crate::database::Database;
use crate::departure::{account_deletion, organization_deletion};
use crate::event::delivery;
use crate::membership::invitation::{self, Invitation};
use crate::membership::join_code::JoinCode;
use crate::resource::transfer::Transfer;
use crate::sign_in;
use crate::sign_in::email_change;

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
    /// Offers of projects past their days that nobody has marked expired (R61).
    Transfers,
    /// Invitations of addresses to resources that have expired.
    GrantInvitations,
    /// Sessions that ended [`limits::SESSION_RETENTION`] ago.
    Sessions,
    /// Requests to sign in that are older than [`limits::SIGN_IN_REQUEST_RETENTION`].
    SignInRequests,
    /// Changes of address that are older than [`limits::EMAIL_CHANGE_RETENTION`].
    EmailChanges,
    /// Addresses of deleted accounts that are older than [`limits::ACCOUNT_DELETION_RETENTION`].
    AccountDeletions,
    /// Usernames and slugs that were given up [`limits::NAME_RESERVATION`] ago.
    ReservedNames,
    /// Counted tries whose window is over.
    Attempts,
    /// Deliveries of webhooks that are older than [`limits::WEBHOOK_DELIVERY_RETENTION`].
    WebhookDeliveries,
    /// Invitations whose mail nobody will send any more, since its job was lost.
    UnsentInvitations,
    /// Webhooks that have something to tell and no job.
    StalledWebhooks,
    /// Organizations that were deleted [`limits::RESTORABLE`] ago, with all that belongs to them (R48).
    DeletedOrganizations,
    /// Jobs that were done [`limits::JOB_RETENTION`] ago.
    Jobs,
}

impl Sweep {
    /// Every sweep.
    pub const ALL: [Self; 15] = [
        Self::JoinCodes,
        Self::Invitations,
        Self::Transfers,
        Self::GrantInvitations,
        Self::Sessions,
        Self::SignInRequests,
        Self::EmailChanges,
        Self::AccountDeletions,
        Self::ReservedNames,
        Self::Attempts,
        Self::WebhookDeliveries,
        Self::UnsentInvitations,
        Self::StalledWebhooks,
        Self::DeletedOrganizations,
        Self::Jobs,
    ];

    /// Its name in schedules and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JoinCodes => "join_codes",
            Self::Invitations => "invitations",
            Self::Transfers => "transfers",
            Self::GrantInvitations => "grant_invitations",
            Self::Sessions => "sessions",
            Self::SignInRequests => "sign_in_requests",
            Self::EmailChanges => "email_changes",
            Self::AccountDeletions => "account_deletions",
            Self::ReservedNames => "reserved_names",
            Self::Attempts => "attempts",
            Self::WebhookDeliveries => "webhook_deliveries",
            Self::UnsentInvitations => "unsent_invitations",
            Self::StalledWebhooks => "stalled_webhooks",
            Self::DeletedOrganizations => "deleted_organizations",
            Self::Jobs => "jobs",
        }
    }
}

/// How far a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepProgress {
    /// Rows that were changed or deleted.
    pub rows: usize,
    /// Whether there may be more to do.
    pub more: bool,
}

impl SweepProgress {
    /// A chunk that is full may not be the last.
    fn chunk(rows: usize) -> Self {
        Self { rows, more: rows >= limits::SWEEP_CHUNK as usize }
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

/// Sweeps up to [`limits::SWEEP_CHUNK`] rows in a transaction of its own.
pub async fn sweep_chunk(database: &Database, sweep: Sweep, claim: JobClaim<'_>) -> Result<SweepProgress> {
    const LIMIT: u32 = limits::SWEEP_CHUNK;
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let rows = match sweep {
                Sweep::JoinCodes => expiry::sweep::<JoinCode>(transaction, LIMIT).await?,
                Sweep::Invitations => expiry::sweep::<Invitation>(transaction, LIMIT).await?,
                Sweep::Transfers => expiry::sweep::<Transfer>(transaction, LIMIT).await?,
                Sweep::GrantInvitations => grant_invitation::prune(transaction, LIMIT).await?,
                Sweep::Sessions => session::prune(transaction, LIMIT).await?,
                Sweep::SignInRequests => sign_in::prune(transaction, LIMIT).await?,
                Sweep::EmailChanges => email_change::prune(transaction, LIMIT).await?,
                Sweep::AccountDeletions => account_deletion::prune(transaction, LIMIT).await?,
                Sweep::ReservedNames => reserved_name::prune(transaction, LIMIT).await?,
                Sweep::Attempts => attempt::prune(transaction, LIMIT).await?,
                Sweep::WebhookDeliveries => delivery::prune_deliveries(transaction, LIMIT).await?,
                Sweep::UnsentInvitations => invitation::sweep_unsent(transaction, LIMIT).await?,
                Sweep::StalledWebhooks => delivery::sweep_stalled(transaction, LIMIT).await?,
                Sweep::DeletedOrganizations => {
                    let removed = organization_deletion::purge(transaction, LIMIT).await?;
                    return Ok(SweepProgress { rows: removed.unwrap_or(0), more: removed.is_some() });
                }
                Sweep::Jobs => apalis_diesel::admin::prune(transaction, limits::JOB_RETENTION, LIMIT).await?,
            };
            Ok(SweepProgress::chunk(rows))
        })
        .await
}
