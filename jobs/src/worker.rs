//! The worker: a Monitor with one apalis worker per queue, on the jobs of the database.

use std::time::Duration;

use anyhow::Context as _;
use apalis_core::monitor::Monitor;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_diesel::{ClaimedJob, Job, JobError, JobStore, StoreOptions};
use rollcall_domain::job::{
    DEPARTURE, DeliverWebhook, EXPIRY, ExpireInvitation, ExpireJoinCode, MAIL, MailDepartureReceipt, MailInvitation,
    MailJoinedByCode, MailOwnerSet, MailOwnerWelcome, MailOwnershipTransferred, MailSignIn, MailWebhookDisabled,
    RedeliverWebhook, RevertDeparture, RunDeparture, WEBHOOK,
};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::{
    departure, departure_receipt_mail, invitation_expiry, invitation_mail, join_code_expiry, joined_by_code_mail,
    owner_set_mail, owner_welcome_mail, ownership_transferred_mail, sign_in_mail, webhook_delivery,
    webhook_disabled_mail, webhook_redelivery,
};

/// Handlers that run at a time: mails and webhooks wait for the network, cascades for the database.
const MAIL_CONCURRENCY: usize = 16;
const EXPIRY_CONCURRENCY: usize = 2;
const DEPARTURE_CONCURRENCY: usize = 2;
const WEBHOOK_CONCURRENCY: usize = 16;

/// How long what is under way may take after the worker was asked to stop.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// Works until `shutdown` is cancelled; then finishes what is under way and gives back the rest.
///
/// `direct_url` leads to PostgreSQL around any pooler, for listening.
pub async fn run(context: Context, direct_url: &str, shutdown: CancellationToken) -> anyhow::Result<()> {
    let store =
        JobStore::start(direct_url, StoreOptions::default()).context("the heartbeat's thread can't be started")?;
    let mut monitor = Monitor::new();
    for (queue, concurrency) in [
        (MAIL, MAIL_CONCURRENCY),
        (EXPIRY, EXPIRY_CONCURRENCY),
        (DEPARTURE, DEPARTURE_CONCURRENCY),
        (WEBHOOK, WEBHOOK_CONCURRENCY),
    ] {
        let (store, context) = (store.clone(), context.clone());
        monitor = monitor.register(move |_| {
            let context = context.clone();
            WorkerBuilder::new(queue).backend(store.queue(queue, concurrency)).build(move |job: ClaimedJob| {
                let context = context.clone();
                async move { handle(&context, &job).await }
            })
        });
    }
    tracing::info!("the worker is at work");
    let signal = async move {
        shutdown.cancelled().await;
        Ok(())
    };
    let outcome = monitor.shutdown_timeout(SHUTDOWN).run_with_signal(signal).await;
    store.close().await;
    outcome.context("a worker ended by itself")?;
    tracing::info!("the worker has stopped");
    Ok(())
}

/// Gives a job to its handler.
async fn handle(context: &Context, job: &ClaimedJob) -> Result<(), JobError> {
    match job.kind.as_str() {
        MailInvitation::KIND => invitation_mail::run(context, job, &job.decode()?).await,
        MailSignIn::KIND => sign_in_mail::run(context, job, &job.decode()?).await,
        MailJoinedByCode::KIND => joined_by_code_mail::run(context, job, &job.decode()?).await,
        MailOwnerWelcome::KIND => owner_welcome_mail::run(context, job, &job.decode()?).await,
        MailOwnerSet::KIND => owner_set_mail::run(context, job, &job.decode()?).await,
        MailDepartureReceipt::KIND => departure_receipt_mail::run(context, job, &job.decode()?).await,
        MailOwnershipTransferred::KIND => ownership_transferred_mail::run(context, job, &job.decode()?).await,
        MailWebhookDisabled::KIND => webhook_disabled_mail::run(context, job, &job.decode()?).await,
        ExpireJoinCode::KIND => join_code_expiry::run(context, job, &job.decode()?).await,
        ExpireInvitation::KIND => invitation_expiry::run(context, job, &job.decode()?).await,
        RunDeparture::KIND => departure::run(context, job, &job.decode()?).await,
        RevertDeparture::KIND => departure::revert(context, job, &job.decode()?).await,
        DeliverWebhook::KIND => webhook_delivery::run(context, job, &job.decode()?).await,
        RedeliverWebhook::KIND => webhook_redelivery::run(context, job, &job.decode()?).await,
        _ => Err(job.unknown_kind()),
    }
}
