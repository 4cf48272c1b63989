//! Reminds the invited person a day before an invitation expires.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::authority::mail_limit;
use rollcall_domain::base::delivery::DeliveryStatus;
use rollcall_domain::base::job::MailInvitationReminder;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;
use rollcall_domain::database;
use rollcall_domain::membership::invitation::{self, InvitationStatus};
use rollcall_domain::membership::organization;

use crate::context::{Context, connection, job_error};
use crate::invitation_mail::recipient;
use crate::mail::{Envelope, InvitationReminder};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailInvitationReminder) -> Result<(), JobError> {
    let MailInvitationReminder { invitation_id: id, token_version } = *payload;
    let mut reader = connection(context).await?;
    let Some(invitation) = invitation::by_id(&mut reader, id).await.map_err(job_error)? else { return Ok(()) };
    let now = database::now(&mut reader).await.map_err(job_error)?;
    // Whom the invitation itself didn't reach, there is nothing to remind of.
    let is_open = invitation.status_at(now) == InvitationStatus::Pending
        && invitation.token_version == token_version
        && invitation.delivery == DeliveryStatus::Sent;
    let organization = organization::by_id(&mut reader, invitation.organization_id).await.map_err(job_error)?;
    if !is_open || organization.deleted_at.is_some() {
        return Ok(());
    }
    let Some((address, name)) = recipient(&mut reader, &invitation).await? else { return Ok(()) };
    drop(reader);
    let token = invitation::link_token(&context.database, &invitation).map_err(job_error)?;
    let mail = InvitationReminder {
        organization_name: organization.name,
        role: invitation.role.label().to_owned(),
        link: context.link(Route::Invitation(token.reveal())),
        expires_at: invitation.expires_at,
    };
    let envelope = Envelope {
        key: format!("invitation-reminder.{id}.{token_version}"),
        address: address.to_string(),
        name,
        date: invitation.expires_at - limits::INVITATION_REMINDER,
    };
    // A retry is still the same mail.
    if job.attempt == 1 && !mail_limit::count_reminder(&context.database, &address).await.map_err(job_error)? {
        tracing::info!("not sent: this person has had enough mails for now");
        return Ok(());
    }
    organization::take_mail_turn(&context.database, invitation.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}
