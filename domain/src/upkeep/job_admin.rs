//! What staff do with jobs that were given up.

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

/// Has a job that was given up tried again, at once and with all its attempts. Returns it as it was; none where no job
/// of this id was given up.
///
/// A departure has failed with the job of its cascade or revert: it goes on, too.
///
/// # Errors
///
/// FORBIDDEN for all but staff.
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
                departure::resume(transaction, Cause::Staff(staff), id).await?;
            }
            Ok(Some(job))
        })
        .await
}

/// Deletes a job that was given up: nobody will try it again. Returns it as it was; none where no job of this id was
/// given up.
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

/// The job, kept from whoever else would retry or cancel it.
async fn given_up(transaction: &mut Transaction, id: Uuid) -> Result<Option<JobRecord>> {
    let locked = LockGivenUp { id }.query().execute(&mut **transaction).await?;
    Ok(if locked == 0 { None } else { admin::find(transaction, id).await? })
}
