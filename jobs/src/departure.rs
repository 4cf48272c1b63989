//! Runs a departure's cascade, chunk by chunk; a run that is killed goes on where the last chunk ended (D7).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::departure::{self, Chunk};
use rollcall_domain::job::RunDeparture;

use crate::context::{Context, hold, job_error};

/// What is shown of a failure; its details are for the logs.
const GIVEN_UP: &str = "the worker gave up after many tries; its log says why";

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &RunDeparture) -> Result<(), JobError> {
    let hold = hold(job);
    loop {
        match departure::run_chunk(&context.database, payload.departure_id, &hold).await {
            Ok(Chunk::More) => {}
            Ok(Chunk::Done) => return Ok(()),
            Err(error) => {
                let error = job_error(error);
                if job.is_last_attempt() && error != JobError::Lost {
                    // Kept and visible: `retryDeparture` goes on from here.
                    departure::fail(&context.database, payload.departure_id, GIVEN_UP, &hold)
                        .await
                        .map_err(job_error)?;
                }
                return Err(error);
            }
        }
    }
}
