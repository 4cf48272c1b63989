//! Runs a sweep, chunk by chunk.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::housekeeping::{self, RunSweep};
use rollcall_domain::limits;

use crate::context::{Context, hold, job_error};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &RunSweep) -> Result<(), JobError> {
    let hold = hold(job);
    let sweep = payload.sweep.as_str();
    let mut swept = 0;
    loop {
        let chunk = housekeeping::sweep_chunk(&context.database, payload.sweep, &hold).await.map_err(job_error)?;
        swept += chunk;
        if chunk < limits::SWEEP_CHUNK as usize {
            break;
        }
        tracing::debug!(sweep, swept, "sweeping");
    }
    if swept > 0 {
        tracing::info!(sweep, swept, "swept");
    }
    Ok(())
}
