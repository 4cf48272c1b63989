//! Moves accepted projects, and marks unanswered offers as expired (R61).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::base::job::{ExpireTransfer, MoveProject};
use rollcall_domain::resource::transfer;

use crate::context::{Context, hold, job_error};

pub(crate) async fn carry_out(context: &Context, job: &ClaimedJob, payload: &MoveProject) -> Result<(), JobError> {
    transfer::carry_out(&context.database, payload.transfer_id, &hold(job)).await.map_err(job_error)
}

pub(crate) async fn expire(context: &Context, job: &ClaimedJob, payload: &ExpireTransfer) -> Result<(), JobError> {
    transfer::expire(&context.database, payload.transfer_id, &hold(job)).await.map_err(job_error)
}
