//! Tells the old and the new owner that the ownership passed between them (R46).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailOwnershipTransferred;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::organization;

use crate::context::{Context, connection, job_error, noticed_at};
use crate::mail::{Envelope, OwnershipTransferred};

pub(crate) async fn run(
    context: &Context,
    job: &ClaimedJob,
    payload: &MailOwnershipTransferred,
) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let organization = organization::by_id(&mut reader, payload.organization_id).await.map_err(job_error)?;
    let recipient = user::by_id(&mut reader, payload.recipient_id).await.map_err(job_error)?;
    let receives = payload.recipient_id == payload.to_id;
    let other_id = if receives { payload.from_id } else { payload.to_id };
    let other = user::by_id(&mut reader, other_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = recipient.email else { return Ok(()) };
    let mail = OwnershipTransferred {
        organization_name: organization.name,
        other_name: other.name,
        other_username: other.username.to_string(),
        receives,
        sign_in_link: context.link(Route::SignIn),
    };
    let envelope = Envelope {
        key: format!("ownership-transferred.{}", payload.notice),
        address: email.to_string(),
        name: Some(recipient.name),
        date: noticed_at(payload.notice)?,
    };
    context.send(job, mail.render(envelope)).await
}
