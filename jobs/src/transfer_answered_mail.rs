//! Tells whoever offered a project what became of the offer (R61).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::authority::visibility;
use rollcall_domain::base::job::MailTransferAnswered;
use rollcall_domain::database;
use rollcall_domain::membership::organization;
use rollcall_domain::resource::transfer::{self, TransferStatus};

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, TransferAnswer, TransferAnswered};
use crate::transfer_offer_mail::Parties;

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailTransferAnswered) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = transfer::by_ids(&mut reader, &[payload.transfer_id]).await.map_err(job_error)?.pop();
    let Some(transfer) = found else { return Ok(()) };
    let now = database::now(&mut reader).await.map_err(job_error)?;
    let answer = match transfer.status_at(now) {
        TransferStatus::Accepted => TransferAnswer::Accepted,
        TransferStatus::Declined => TransferAnswer::Declined,
        TransferStatus::Expired => TransferAnswer::Expired,
        TransferStatus::Offered | TransferStatus::Cancelled => return Ok(()),
    };
    let Parties { from_name, to_name, offered_by, recipient } =
        Parties::of(&mut reader, &transfer).await.map_err(job_error)?;
    // Whoever offered it learns no more of somebody who didn't accept it than they knew.
    let is_known = answer == TransferAnswer::Accepted
        || visibility::knows(&mut reader, offered_by.id, recipient.id).await.map_err(job_error)?;
    let (recipient_name, recipient_username) = match is_known {
        true => (recipient.name, Some(recipient.username.to_string())),
        false => {
            let username = transfer.recipient_named_as.as_ref();
            (username.map_or_else(|| "The recipient".to_owned(), |username| format!("@{username}")), None)
        }
    };
    drop(reader);
    let Some(email) = offered_by.email else { return Ok(()) };
    let mail = TransferAnswered {
        answer,
        project_name: transfer.resource_name().to_owned(),
        from_name,
        to_name,
        recipient_name,
        recipient_username,
        transfer_id: transfer.id.to_string(),
    };
    let envelope = Envelope {
        key: format!("transfer-answered.{}", transfer.id),
        address: email.to_string(),
        name: Some(offered_by.name),
        date: job.scheduled_at,
    };
    organization::take_mail_turn(&context.database, transfer.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}
