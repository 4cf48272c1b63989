//! Marks an invitation as expired once its days are over (R23).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::base::job::ExpireInvitation;
use rollcall_domain::membership::invitation;

use crate::context::{Context, hold, job_error};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &ExpireInvitation) -> Result<(), JobError> {
    invitation::expire(&context.database, payload.invitation_id, &hold(job)).await.map_err(job_error)
}
