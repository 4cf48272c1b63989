//! Runs a departure's cascade, chunk by chunk. If a run is killed, the next one continues where the last chunk ended
//! (D7).

use std::time::Instant;

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::Error;
use rollcall_domain::base::id::DepartureId;
use rollcall_domain::base::job::{RevertDeparture, RunDeparture};
use rollcall_domain::departure;
use rollcall_domain::departure::cascade::Chunk;

use crate::context::{Context, GIVES_WAY, Turn, hold, job_error};

/// The message that is shown when a cascade fails. The details are in the logs.
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

/// Returns what a departure moved (R45).
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

/// Pauses for as long as the chunk took. A cascade may take its time; requests that people wait for come first, even
/// if the database has few processors.
async fn rest(began: Instant) {
    tokio::time::sleep(began.elapsed()).await;
}

/// The job's outcome after an error. After the last attempt, the departure is marked as failed.
async fn failed(context: &Context, job: &ClaimedJob, id: DepartureId, error: Error) -> Result<JobError, JobError> {
    let error = job_error(error);
    if job.is_last_attempt() && error != JobError::Lost {
        // The failure is kept and visible, and `retryDeparture` continues from here.
        departure::fail(&context.database, id, GIVEN_UP, &hold(job)).await.map_err(job_error)?;
    }
    Ok(error)
}
