//! Marks, chunk by chunk, what has ended together with somebody's right, an organization or an account. From that end
//! on, it is refused anyway.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::authority::issued;
use rollcall_domain::base::job::{MarkEnded, MarkEndedWithAccount};

use crate::context::{Context, GIVES_WAY, Turn, hold, job_error};

pub(crate) async fn of_organization(context: &Context, job: &ClaimedJob, payload: &MarkEnded) -> Result<(), JobError> {
    let (id, hold, turn) = (payload.organization_id, hold(job), Turn::begin());
    while issued::mark_of_organization(&context.database, id, &hold).await.map_err(job_error)? {
        if turn.is_over() {
            return Err(GIVES_WAY);
        }
    }
    Ok(())
}

pub(crate) async fn of_account(
    context: &Context,
    job: &ClaimedJob,
    payload: &MarkEndedWithAccount,
) -> Result<(), JobError> {
    let (id, hold, turn) = (payload.user_id, hold(job), Turn::begin());
    while issued::mark_of_account(&context.database, id, &hold).await.map_err(job_error)? {
        if turn.is_over() {
            return Err(GIVES_WAY);
        }
    }
    Ok(())
}
