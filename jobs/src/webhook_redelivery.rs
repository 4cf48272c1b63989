//! Delivers one event again, on request.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::base::job::RedeliverWebhook;
use rollcall_domain::event::delivery;
use tokio::time::Instant;

use crate::context::{Context, connection, hold, job_error};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &RedeliverWebhook) -> Result<(), JobError> {
    let id = payload.delivery_id;
    let mut reader = connection(context).await?;
    let found = delivery::to_redeliver(&mut reader, id).await.map_err(job_error)?;
    drop(reader);
    let Some(due) = found else { return Ok(()) };
    let slot = context.webhook_slots.take(&due.webhook)?;
    let began = Instant::now();
    let attempt = context.webhooks.deliver(&due).await?;
    slot.gives_way_after(began.elapsed());
    drop(slot);
    let last = job.is_last_attempt();
    delivery::record_redelivery(&context.database, id, &attempt, last, &hold(job)).await.map_err(job_error)?;
    let pause = attempt.pause(job.counted_attempts);
    match attempt.error {
        // After the last attempt, the delivery itself shows the failure, so that the job doesn't need to.
        Some(reason) if !last => Err(JobError::retry_after(reason, pause)),
        _ => Ok(()),
    }
}
