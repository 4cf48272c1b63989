//! Delivers the events that a webhook is subscribed to, one after the other (R75).

use std::time::Duration;

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::base::job::DeliverWebhook;
use rollcall_domain::event::delivery::{self, AfterAttempt};
use tokio::time::Instant;

use crate::context::{Context, hold, job_error};

/// How long a webhook with a backlog may deliver before others get their turn.
const TURN: Duration = Duration::from_secs(5);

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &DeliverWebhook) -> Result<(), JobError> {
    let DeliverWebhook { webhook_id: id } = *payload;
    let hold = hold(job);
    let go_on_after = async |pause| delivery::go_on_after(&context.database, id, pause, &hold).await.map_err(job_error);
    let end = Instant::now() + TURN;
    let mut slot = None;
    while let Some(due) = delivery::next(&context.database, id, &hold).await.map_err(job_error)? {
        if Instant::now() >= end {
            return go_on_after(Duration::ZERO).await;
        }
        let slot = match &slot {
            Some(slot) => slot,
            None => slot.insert(context.webhook_slots.take(&due.webhook)?),
        };
        let began = Instant::now();
        let attempt = context.webhooks.deliver(&due).await?;
        let gives_way = slot.gives_way_after(began.elapsed());
        let then = delivery::record_attempt(&context.database, &due, &attempt, &hold).await.map_err(job_error)?;
        match (then, gives_way) {
            (AfterAttempt::GoOn, None) => {}
            (AfterAttempt::GoOn, Some(pause)) => return go_on_after(pause).await,
            (AfterAttempt::Stop, _) => return Ok(()),
            // It is the webhook that is given up, after a day; the job never is.
            (AfterAttempt::Retry { attempts }, _) if job.is_last_attempt() => {
                return go_on_after(attempt.pause(attempts)).await;
            }
            (AfterAttempt::Retry { attempts }, _) => {
                let pause = attempt.pause(attempts);
                return Err(JobError::retry_after(attempt.error.unwrap_or_default(), pause));
            }
        }
    }
    Ok(())
}
