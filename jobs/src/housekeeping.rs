//! Runs a sweep, chunk by chunk.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::upkeep::housekeeping::{self, RunSweep};

use crate::context::{Context, hold, job_error};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &RunSweep) -> Result<(), JobError> {
    let hold = hold(job);
    let sweep = payload.sweep.as_str();
    let mut rows = 0;
    loop {
        let swept = housekeeping::sweep_chunk(&context.database, payload.sweep, &hold).await.map_err(job_error)?;
        rows += swept.rows;
        if !swept.more {
            break;
        }
        tracing::debug!(sweep, rows, "sweeping");
    }
    if rows > 0 {
        tracing::info!(sweep, rows, "swept");
    }
    Ok(())
}
