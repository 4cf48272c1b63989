//! The worker: a Monitor with one apalis worker per queue, which process the jobs in the database.

use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use apalis_core::monitor::Monitor;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_diesel::{ClaimedJob, Job, JobError, JobStore, ScheduleError, Schedules, StoreOptions};
use rollcall_domain::base::job::{
    DEPARTURE, DeliverWebhook, EXPIRY, ExpireInvitation, ExpireJoinCode, ExpireTransfer, MAIL, MailAccountDeleted,
    MailAccountNotice, MailCreditsSpent, MailDepartureReceipt, MailEmailChangeLink, MailEmailChangeRequested,
    MailEmailChanged, MailEmailSet, MailGrantInvitation, MailInvitation, MailInvitationAccepted,
    MailInvitationReminder, MailJoinedByCode, MailMemberAdded, MailMembershipEnded, MailMembershipRestored,
    MailNewSignIn, MailOwnerReplaced, MailOwnerSet, MailOwnerWelcome, MailOwnershipTransferred, MailRoleChanged,
    MailSignIn, MailTransferAnswered, MailTransferOffer, MailUpgradeRequested, MailWebhookDisabled, MarkEnded,
    MarkEndedWithAccount, MoveProject, RedeliverWebhook, RevertDeparture, RunDeparture, WEBHOOK,
};
use rollcall_domain::database::Endpoint;
use rollcall_domain::upkeep::housekeeping::{HOUSEKEEPING, RunSweep, Sweep};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::mails::{
    account_deleted, account_notice, credits_spent, departure_receipt, email_change, grant_invitation, invitation,
    invitation_accepted, invitation_reminder, joined_by_code, member_added, membership_ended, membership_restored,
    new_sign_in, owner_replaced, owner_set, owner_welcome, ownership_transferred, role_changed, sign_in,
    transfer_answered, transfer_offer, upgrade_requested, webhook_disabled,
};
use crate::webhook_slots::DELIVERY_SLOTS;
use crate::{
    departure, ended, housekeeping, invitation_expiry, join_code_expiry, platform_webhooks, transfer, webhook_delivery,
    webhook_redelivery,
};

/// A queue, and the resources that its handlers may use.
struct QueueShare {
    queue: &'static str,
    /// How many handlers run at the same time.
    handlers: usize,
    /// How many of the process's connections they may use at the same time, so that no queue stops because the
    /// handlers of another one wait for a lock.
    connections: usize,
}

/// The handlers for emails and webhooks mostly wait for the network, the others for the database.
const QUEUES: [QueueShare; 5] = [
    QueueShare { queue: MAIL, handlers: 16, connections: 6 },
    QueueShare { queue: EXPIRY, handlers: 2, connections: 2 },
    QueueShare { queue: DEPARTURE, handlers: 2, connections: 2 },
    QueueShare { queue: WEBHOOK, handlers: DELIVERY_SLOTS, connections: 4 },
    QueueShare { queue: HOUSEKEEPING, handlers: 1, connections: 1 },
];

/// How long running jobs may take after the worker was asked to stop.
const SHUTDOWN: Duration = Duration::from_secs(15);

/// Works until `shutdown` is cancelled. Then it finishes the running jobs and releases the others.
///
/// `direct` must lead to PostgreSQL without a pooler, since it is used to listen.
pub async fn run(context: Context, direct: &Endpoint, shutdown: CancellationToken) -> anyhow::Result<()> {
    let endpoint = direct.clone();
    let connect = move || -> Pin<Box<dyn Future<Output = _> + Send>> {
        let endpoint = endpoint.clone();
        Box::pin(async move { endpoint.connect_to_listen().await })
    };
    let store =
        JobStore::start_with(StoreOptions::default(), connect).context("the heartbeat's thread can't be started")?;
    store.run_schedules(schedules()?);
    let mut monitor = Monitor::new();
    for QueueShare { queue, handlers, connections } in QUEUES {
        let (store, context) = (store.clone(), context.share(connections));
        monitor = monitor.register(move |_| {
            let context = context.clone();
            WorkerBuilder::new(queue).backend(store.queue(queue, handlers)).build(move |job: ClaimedJob| {
                let context = context.clone();
                async move { handle(&context, &job).await }
            })
        });
    }
    tracing::info!("the worker is at work");
    let looks = platform_webhooks::run(context.database.share(1), direct.clone(), shutdown.clone());
    let looks = tokio::spawn(looks);
    let signal = async move {
        shutdown.cancelled().await;
        Ok(())
    };
    let outcome = monitor.shutdown_timeout(SHUTDOWN).run_with_signal(signal).await;
    store.close().await;
    looks.abort();
    outcome.context("a worker ended by itself")?;
    tracing::info!("the worker has stopped");
    Ok(())
}

/// The names of the queues.
pub fn queues() -> impl Iterator<Item = &'static str> {
    QUEUES.into_iter().map(|share| share.queue)
}

/// The jobs that run every hour or every night. They run at different minutes, so that they don't all come at once.
fn schedules() -> Result<Schedules, ScheduleError> {
    let mut schedules = Schedules::new();
    for (number, sweep) in Sweep::ALL.into_iter().enumerate() {
        let hour = if sweep == Sweep::DeletedOrganizations { "3" } else { "*" };
        let expression = format!("0 {} {hour} * * *", 7 + number);
        schedules = schedules.add(format!("sweep {}", sweep.as_str()), &expression, move |_| RunSweep { sweep })?;
    }
    Ok(schedules)
}

/// Passes a job to its handler.
async fn handle(context: &Context, job: &ClaimedJob) -> Result<(), JobError> {
    match job.kind.as_str() {
        MailInvitation::KIND => invitation::run(context, job, &job.decode()?).await,
        MailSignIn::KIND => sign_in::run(context, job, &job.decode()?).await,
        MailNewSignIn::KIND => new_sign_in::run(context, job, &job.decode()?).await,
        MailEmailChangeLink::KIND => email_change::link::run(context, job, &job.decode()?).await,
        MailEmailChangeRequested::KIND => email_change::requested::run(context, job, &job.decode()?).await,
        MailEmailChanged::KIND => email_change::changed::run(context, job, &job.decode()?).await,
        MailEmailSet::KIND => email_change::set::run(context, job, &job.decode()?).await,
        MailAccountNotice::KIND => account_notice::run(context, job, &job.decode()?).await,
        MailAccountDeleted::KIND => account_deleted::run(context, job, &job.decode()?).await,
        MailInvitationReminder::KIND => invitation_reminder::run(context, job, &job.decode()?).await,
        MailInvitationAccepted::KIND => invitation_accepted::run(context, job, &job.decode()?).await,
        MailRoleChanged::KIND => role_changed::run(context, job, &job.decode()?).await,
        MailMemberAdded::KIND => member_added::run(context, job, &job.decode()?).await,
        MailMembershipEnded::KIND => membership_ended::run(context, job, &job.decode()?).await,
        MailMembershipRestored::KIND => membership_restored::run(context, job, &job.decode()?).await,
        MailJoinedByCode::KIND => joined_by_code::run(context, job, &job.decode()?).await,
        MailOwnerWelcome::KIND => owner_welcome::run(context, job, &job.decode()?).await,
        MailOwnerReplaced::KIND => owner_replaced::run(context, job, &job.decode()?).await,
        MailOwnerSet::KIND => owner_set::run(context, job, &job.decode()?).await,
        MailDepartureReceipt::KIND => departure_receipt::run(context, job, &job.decode()?).await,
        MailOwnershipTransferred::KIND => ownership_transferred::run(context, job, &job.decode()?).await,
        MailCreditsSpent::KIND => credits_spent::run(context, job, &job.decode()?).await,
        MailUpgradeRequested::KIND => upgrade_requested::run(context, job, &job.decode()?).await,
        MailWebhookDisabled::KIND => webhook_disabled::run(context, job, &job.decode()?).await,
        ExpireJoinCode::KIND => join_code_expiry::run(context, job, &job.decode()?).await,
        ExpireInvitation::KIND => invitation_expiry::run(context, job, &job.decode()?).await,
        ExpireTransfer::KIND => transfer::expire(context, job, &job.decode()?).await,
        MoveProject::KIND => transfer::carry_out(context, job, &job.decode()?).await,
        MailGrantInvitation::KIND => grant_invitation::run(context, job, &job.decode()?).await,
        MailTransferAnswered::KIND => transfer_answered::run(context, job, &job.decode()?).await,
        MailTransferOffer::KIND => transfer_offer::run(context, job, &job.decode()?).await,
        RunDeparture::KIND => departure::run(context, job, &job.decode()?).await,
        RevertDeparture::KIND => departure::revert(context, job, &job.decode()?).await,
        MarkEnded::KIND => ended::of_organization(context, job, &job.decode()?).await,
        MarkEndedWithAccount::KIND => ended::of_account(context, job, &job.decode()?).await,
        DeliverWebhook::KIND => webhook_delivery::run(context, job, &job.decode()?).await,
        RedeliverWebhook::KIND => webhook_redelivery::run(context, job, &job.decode()?).await,
        RunSweep::KIND => housekeeping::run(context, job, &job.decode()?).await,
        _ => Err(job.unknown_kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::QUEUES;
    use rollcall_domain::database::POOL_SIZE;

    #[test]
    fn handlers_leave_a_connection_for_waking_workers_and_webhooks_and_for_metrics() {
        assert!(QUEUES.iter().map(|queue| queue.connections).sum::<usize>() < POOL_SIZE);
    }
}
