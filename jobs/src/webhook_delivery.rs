//! Delivers the events that a webhook waits for, one after the other (R75).

use std::time::Duration;

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::job::DeliverWebhook;
use rollcall_domain::webhook::{self, Then};
use tokio::time::Instant;

use crate::context::{Context, hold, job_error};

/// A long backlog gives way to other webhooks after this time; well within the job's timeout, together with a last attempt.
const TURN: Duration = Duration::from_secs(60);

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &DeliverWebhook) -> Result<(), JobError> {
    let DeliverWebhook { webhook_id: id } = *payload;
    let hold = hold(job);
    let end = Instant::now() + TURN;
    while let Some(due) = webhook::next(&context.database, id, &hold).await.map_err(job_error)? {
        if Instant::now() >= end {
            return webhook::go_on_after(&context.database, id, Duration::ZERO, &hold).await.map_err(job_error);
        }
        let attempt = context.webhooks.deliver(&due).await?;
        let then = webhook::record_attempt(&context.database, &due.webhook, &due.event, &attempt, &hold)
            .await
            .map_err(job_error)?;
        match then {
            Then::GoOn => {}
            Then::Stop => return Ok(()),
            Then::Retry { attempts } if job.is_last_attempt() => {
                // It is the webhook that is given up, after a day, and never the job.
                let pause = attempt.pause(attempts);
                return webhook::go_on_after(&context.database, id, pause, &hold).await.map_err(job_error);
            }
            Then::Retry { attempts } => {
                let pause = attempt.pause(attempts);
                return Err(JobError::retry_after(attempt.error.unwrap_or_default(), pause));
            }
        }
    }
    Ok(())
}
