//! Runs a departure's cascade, chunk by chunk; a run that is killed goes on where the last chunk ended (D7).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::Error;
use rollcall_domain::departure::{self, Chunk};
use rollcall_domain::id::DepartureId;
use rollcall_domain::job::{RevertDeparture, RunDeparture};

use crate::context::{Context, hold, job_error};

/// Returns what a departure passed on, chunk by chunk (R45).
pub(crate) async fn revert(context: &Context, job: &ClaimedJob, payload: &RevertDeparture) -> Result<(), JobError> {
    let hold = hold(job);
    loop {
        match departure::revert_chunk(&context.database, payload.departure_id, &hold).await {
            Ok(Chunk::More) => {}
            Ok(Chunk::Done) => return Ok(()),
            Err(error) => return Err(failed(context, job, payload.departure_id, error).await?),
        }
    }
}

/// The job's outcome after an error; after the last attempt the departure says so.
async fn failed(context: &Context, job: &ClaimedJob, id: DepartureId, error: Error) -> Result<JobError, JobError> {
    let error = job_error(error);
    if job.is_last_attempt() && error != JobError::Lost {
        // Kept and visible: `retryDeparture` goes on from here.
        departure::fail(&context.database, id, GIVEN_UP, &hold(job)).await.map_err(job_error)?;
    }
    Ok(error)
}

/// What is shown of a failure; its details are for the logs.
const GIVEN_UP: &str = "the worker gave up after many tries; its log says why";

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &RunDeparture) -> Result<(), JobError> {
    let hold = hold(job);
    loop {
        match departure::run_chunk(&context.database, payload.departure_id, &hold).await {
            Ok(Chunk::More) => {}
            Ok(Chunk::Done) => return Ok(()),
            Err(error) => return Err(failed(context, job, payload.departure_id, error).await?),
        }
    }
}
