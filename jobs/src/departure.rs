//! Runs a departure's cascade, chunk by chunk; a run that is killed goes on where the last chunk ended (D7).

use std::time::Instant;

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::Error;
use rollcall_domain::base::id::DepartureId;
use rollcall_domain::base::job::{RevertDeparture, RunDeparture};
use rollcall_domain::departure;
use rollcall_domain::departure::cascade::Chunk;

use crate::context::{Context, GIVES_WAY, Turn, hold, job_error};

/// What is shown of a failure; its details are for the logs.
const GIVEN_UP: &str = "the worker gave up after many tries; its log says why";

/// Passes on what a leaver owned (R33–R38).
pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &RunDeparture) -> Result<(), JobError> {
    let (id, hold, turn) = (payload.departure_id, hold(job), Turn::begin());
    loop {
        let began = Instant::now();
        match departure::cascade::run_chunk(&context.database, id, &hold).await {
            Ok(Chunk::More) if turn.is_over() => return Err(GIVES_WAY),
            Ok(Chunk::More) => rest(began).await,
            Ok(Chunk::Done) => return Ok(()),
            Err(error) => return Err(failed(context, job, id, error).await?),
        }
    }
}

/// Returns what a departure passed on (R45).
pub(crate) async fn revert(context: &Context, job: &ClaimedJob, payload: &RevertDeparture) -> Result<(), JobError> {
    let (id, hold, turn) = (payload.departure_id, hold(job), Turn::begin());
    loop {
        let began = Instant::now();
        match departure::revert::revert_chunk(&context.database, id, &hold).await {
            Ok(Chunk::More) if turn.is_over() => return Err(GIVES_WAY),
            Ok(Chunk::More) => rest(began).await,
            Ok(Chunk::Done) => return Ok(()),
            Err(error) => return Err(failed(context, job, id, error).await?),
        }
    }
}

/// Rests as long as a chunk took: a cascade may last, and people who wait for answers come first, however few
/// processors the database has.
async fn rest(began: Instant) {
    tokio::time::sleep(began.elapsed()).await;
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
