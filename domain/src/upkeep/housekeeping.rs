//! The sweeps. They finish what lost jobs have left unfinished, and delete what is no longer needed.

use std::time::Duration;

use apalis_diesel::Job;
use serde::{Deserialize, Serialize};

use crate::account::{grant_invitation, identity, reserved_name, session};
use crate::authority::{attempt, expiry};
use crate::base::error::Result;
use crate::base::job::JobClaim;
use crate::base::limits;
use crate::database::{Database, idempotency};
use crate::departure::{account_deletion, organization_deletion};
use crate::event::delivery;
use crate::membership::invitation::{self, Invitation};
use crate::membership::join_code::JoinCode;
use crate::resource::storage_metering;
use crate::resource::transfer::Transfer;
use crate::sign_in;
use crate::sign_in::email_change;

/// The queue of the sweeps.
pub const HOUSEKEEPING: &str = "housekeeping";

/// The kinds of sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sweep {
    /// Marks join codes whose 24 hours are over as expired (R29).
    JoinCodes,
    /// Marks invitations whose days are over as expired (R23).
    Invitations,
    /// Marks offers of projects whose days are over as expired (R61).
    Transfers,
    /// Deletes invitations of addresses to resources that have expired.
    GrantInvitations,
    /// Deletes sessions that ended [`limits::SESSION_RETENTION`] ago, and identities that ended as long ago.
    Sessions,
    /// Deletes requests to sign in that are older than [`limits::SIGN_IN_REQUEST_RETENTION`].
    SignInRequests,
    /// Deletes changes of address that are older than [`limits::EMAIL_CHANGE_RETENTION`].
    EmailChanges,
    /// Deletes addresses of deleted accounts that are older than [`limits::ACCOUNT_DELETION_RETENTION`].
    AccountDeletions,
    /// Deletes reservations of usernames and slugs that were given up [`limits::NAME_RESERVATION`] ago.
    ReservedNames,
    /// Deletes counts of attempts whose window is over.
    Attempts,
    /// Deletes what became of requests with an idempotency key that are older than [`limits::IDEMPOTENCY_RETENTION`].
    IdempotencyKeys,
    /// Deletes webhook deliveries that are older than [`limits::WEBHOOK_DELIVERY_RETENTION`].
    WebhookDeliveries,
    /// Marks invitations as failed whose email will never be sent, since its job was lost.
    UnsentInvitations,
    /// Enqueues jobs for webhooks that have events to deliver but no job.
    StalledWebhooks,
    /// Removes organizations that were deleted [`limits::RESTORABLE`] ago, with everything that belongs to them (R48).
    DeletedOrganizations,
    /// Records in the ledgers what resources took up on the days that are over (R70).
    Storage,
    /// Deletes jobs that were completed [`limits::JOB_RETENTION`] ago.
    Jobs,
}

impl Sweep {
    /// Every sweep.
    pub const ALL: [Self; 17] = [
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
        Self::IdempotencyKeys,
        Self::WebhookDeliveries,
        Self::UnsentInvitations,
        Self::StalledWebhooks,
        Self::DeletedOrganizations,
        Self::Storage,
        Self::Jobs,
    ];

    /// The sweep's name in schedules and logs.
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
            Self::IdempotencyKeys => "idempotency_keys",
            Self::WebhookDeliveries => "webhook_deliveries",
            Self::UnsentInvitations => "unsent_invitations",
            Self::StalledWebhooks => "stalled_webhooks",
            Self::DeletedOrganizations => "deleted_organizations",
            Self::Storage => "storage",
            Self::Jobs => "jobs",
        }
    }
}

/// The progress of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepProgress {
    /// The number of rows that were changed or deleted.
    pub rows: usize,
    /// Whether there may be more to do.
    pub more: bool,
}

impl SweepProgress {
    /// A chunk that isn't full is the last one.
    fn chunk(rows: usize) -> Self {
        Self { rows, more: rows >= limits::SWEEP_CHUNK as usize }
    }
}

/// Runs a sweep. At most one job of each kind of sweep waits at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSweep {
    /// The sweep.
    pub sweep: Sweep,
}

impl Job for RunSweep {
    const QUEUE: &'static str = HOUSEKEEPING;
    const KIND: &'static str = "sweep";
    // These take about half an hour; an hour later, the next sweep comes anyway.
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
                Sweep::Sessions => {
                    session::prune(transaction, LIMIT).await? + identity::prune(transaction, LIMIT).await?
                }
                Sweep::SignInRequests => sign_in::prune(transaction, LIMIT).await?,
                Sweep::EmailChanges => email_change::prune(transaction, LIMIT).await?,
                Sweep::AccountDeletions => account_deletion::prune(transaction, LIMIT).await?,
                Sweep::ReservedNames => reserved_name::prune(transaction, LIMIT).await?,
                Sweep::Attempts => attempt::prune(transaction, LIMIT).await?,
                Sweep::IdempotencyKeys => idempotency::prune(transaction, LIMIT).await?,
                Sweep::WebhookDeliveries => delivery::prune_deliveries(transaction, LIMIT).await?,
                Sweep::UnsentInvitations => invitation::sweep_unsent(transaction, LIMIT).await?,
                Sweep::StalledWebhooks => delivery::sweep_stalled(transaction, LIMIT).await?,
                Sweep::DeletedOrganizations => {
                    let removed = organization_deletion::purge(transaction, LIMIT).await?;
                    return Ok(SweepProgress { rows: removed.unwrap_or(0), more: removed.is_some() });
                }
                Sweep::Storage => {
                    let metered = storage_metering::meter(transaction).await?;
                    return Ok(SweepProgress { rows: metered.unwrap_or(0), more: metered.is_some() });
                }
                Sweep::Jobs => apalis_diesel::admin::prune(transaction, limits::JOB_RETENTION, LIMIT).await?,
            };
            Ok(SweepProgress::chunk(rows))
        })
        .await
}
