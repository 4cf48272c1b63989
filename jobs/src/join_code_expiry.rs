//! Marks a join code as expired once its 24 hours are over (R29).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::base::job::ExpireJoinCode;
use rollcall_domain::membership::join_code;

use crate::context::{Context, hold, job_error};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &ExpireJoinCode) -> Result<(), JobError> {
    join_code::expire(&context.database, payload.join_code_id, &hold(job)).await.map_err(job_error)
}
