//! Tells somebody that a project is offered to them (R61).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::job::MailTransferOffer;
use rollcall_domain::transfer::{self, TransferStatus};
use rollcall_domain::{database, grant, invitation, organization, user};

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, TransferOffer};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailTransferOffer) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = transfer::by_ids(&mut reader, &[payload.transfer_id]).await.map_err(job_error)?.pop();
    let now = database::now(&mut reader).await.map_err(job_error)?;
    // What is answered or taken back by now is no news.
    let Some(transfer) = found.filter(|transfer| transfer.status_at(now) == TransferStatus::Offered) else {
        return Ok(());
    };
    let from = organization::by_id(&mut reader, transfer.organization_id).await.map_err(job_error)?;
    let to = match transfer.to_organization_id {
        Some(id) => Some(organization::by_id(&mut reader, id).await.map_err(job_error)?.name),
        None => None,
    };
    let offered_by = user::by_id(&mut reader, transfer.offered_by_id).await.map_err(job_error)?;
    let recipient = user::by_id(&mut reader, transfer.recipient_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = recipient.email else { return Ok(()) };
    let mail = TransferOffer {
        offered_by_name: offered_by.name,
        offered_by_username: offered_by.username.to_string(),
        project_name: transfer.resource_name().to_owned(),
        from_name: from.name,
        to_name: to,
        transfer_id: transfer.id.to_string(),
        expires_at: transfer.expires_at,
        sign_in_link: context.link("/sign-in")?,
    };
    let envelope = Envelope {
        key: format!("transfer.{}", transfer.id),
        address: email.to_string(),
        name: Some(recipient.name),
        date: transfer.created_at,
    };
    // A retry is still the same mail.
    if job.attempt == 1 && !grant::take_mail_turn(&context.database, &email).await.map_err(job_error)? {
        tracing::info!("not sent: this person has had enough such mails today");
        return Ok(());
    }
    invitation::take_mail_turn(&context.database, transfer.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}
