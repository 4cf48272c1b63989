//! Confirms that an account was deleted; the address goes with the mail.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::base::job::MailAccountDeleted;
use rollcall_domain::departure::deletion;

use crate::context::{Context, Unsent, connection, hold, job_error};
use crate::mail::{AccountDeleted, Envelope};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailAccountDeleted) -> Result<(), JobError> {
    let user_id = payload.user_id;
    let mut reader = connection(context).await?;
    let found = deletion::by_user_id(&mut reader, user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(deletion) = found else { return Ok(()) };
    let mail = AccountDeleted { deleted_at: deletion.deleted_at };
    let envelope = Envelope {
        key: format!("account-deleted.{user_id}"),
        address: deletion.email.to_string(),
        name: Some(deletion.name),
        date: deletion.deleted_at,
    };
    let outcome = context.try_send(job, mail.render(envelope)).await?;
    let is_tried_again = outcome.as_ref().is_err_and(|unsent| unsent.again_after.is_some());
    if !is_tried_again {
        let hold = hold(job);
        context
            .database
            .transaction(async |transaction| {
                hold(transaction).await?;
                deletion::forget(transaction, user_id).await
            })
            .await
            .map_err(job_error)?;
    }
    outcome.map_err(Unsent::into)
}
