//! What staff can do with jobs that were given up.

use apalis_diesel::Job;
use apalis_diesel::admin::{self, JobRecord};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::authority::actor::Actor;
use crate::base::error::{Error, Result};
use crate::base::job::{RevertDeparture, RunDeparture};
use crate::base::sql::statement;
use crate::database::{Database, Transaction};
use crate::departure;
use crate::membership::cause::Cause;

/// Retries a job that was given up, at once and with all its attempts. Returns the job as it was, or `None` if no job
/// with this id was given up.
///
/// If it is the job of a departure's cascade or revert, the departure has failed with it. In this case, the departure
/// continues too.
///
/// # Errors
///
/// FORBIDDEN for everyone except staff.
pub async fn retry(database: &Database, actor: &Actor, id: Uuid) -> Result<Option<JobRecord>> {
    let staff = actor.require_staff("id", "ask them")?;
    database
        .transaction(async |transaction| {
            let Some(job) = given_up(transaction, id).await? else { return Ok(None) };
            admin::retry(transaction, id).await?;
            let unreadable = |_| Error::Bug("the job's payload can't be read");
            let payload = job.payload.clone();
            let departure_id = match job.kind.as_str() {
                RunDeparture::KIND => {
                    Some(serde_json::from_value::<RunDeparture>(payload).map_err(unreadable)?.departure_id)
                }
                RevertDeparture::KIND => {
                    Some(serde_json::from_value::<RevertDeparture>(payload).map_err(unreadable)?.departure_id)
                }
                _ => None,
            };
            if let Some(id) = departure_id {
                departure::resume(transaction, Cause::Operator(staff), id).await?;
            }
            Ok(Some(job))
        })
        .await
}

/// Deletes a job that was given up, so that it can't be retried any more. Returns the job as it was, or `None` if no
/// job with this id was given up.
pub async fn cancel(database: &Database, id: Uuid) -> Result<Option<JobRecord>> {
    database
        .transaction(async |transaction| {
            let Some(job) = given_up(transaction, id).await? else { return Ok(None) };
            admin::cancel(transaction, id).await?;
            Ok(Some(job))
        })
        .await
}

statement! {
    struct LockGivenUp { id: diesel::sql_types::Uuid = Uuid } =
        "SELECT FROM jobs WHERE id = :id AND status = 'given_up' FOR UPDATE"
}

/// Loads the job, locked against others who would retry or cancel it.
async fn given_up(transaction: &mut Transaction, id: Uuid) -> Result<Option<JobRecord>> {
    let locked = LockGivenUp { id }.query().execute(&mut **transaction).await?;
    Ok(if locked == 0 { None } else { admin::find(transaction, id).await? })
}
