//! The email that reminds the invited person, one day before an invitation expires.

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::authority::mail_limit;
use rollcall_domain::base::delivery::DeliveryStatus;
use rollcall_domain::base::job::MailInvitationReminder;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::invitation::{self, InvitationStatus};
use rollcall_domain::membership::invitation_grants::GrantInWords;
use rollcall_domain::membership::invitation_mail::{self, InvitationToMail};
use rollcall_domain::membership::organization;
use url::Url;

use super::invitation::{granted, reason};
use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{deadline, greeting, paragraph, row};
use crate::mail::{Envelope, Mail, RenderError};

/// Reminds the recipient of an invitation that expires soon.
#[derive(Clone)]
pub struct InvitationReminderMail {
    /// The organization.
    pub organization_name: String,
    /// The role offered, such as `Member`.
    pub role: String,
    /// What the recipient gets access to by joining.
    pub grants: Vec<GrantInWords>,
    /// The page that shows the invitation.
    pub link: Url,
    /// When the invitation expires.
    pub expires_at: DateTime<Utc>,
}

impl InvitationReminderMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let expires = deadline(self.expires_at, &envelope);
        let mut blocks = vec![
            greeting(&envelope),
            paragraph(format!("You were invited to join {organization} on Rollcall and haven't answered yet.")),
            Block::Rows(vec![
                row("Organization", organization.clone()),
                row("Your role", name(&self.role)),
                row("Open until", expires.clone()),
            ]),
        ];
        blocks.extend(granted(&self.grants));
        blocks.extend([
            Block::Button { label: "See the invitation", url: self.link.clone() },
            paragraph(
                "You can accept or decline on the page that opens; opening it changes nothing. If you would rather \
                not join, just ignore this email and the invitation will expire. We won't remind you again.",
            ),
        ]);
        Document {
            subject: format!("Your invitation to {organization} expires soon"),
            preheader: format!("You can accept or decline it until {expires}."),
            heading: format!("Do you want to join {organization}?"),
            blocks,
            reason: reason(&self.organization_name),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailInvitationReminder) -> Result<(), JobError> {
    let MailInvitationReminder { invitation_id: id, token_version } = *payload;
    let found = invitation_mail::by_id(&mut *connection(context).await?, id).await.map_err(job_error)?;
    let Some(InvitationToMail { invitation, organization, recipient, grants, at, .. }) = found else { return Ok(()) };
    // If the invitation itself didn't reach the person, there is nothing to remind them of.
    let is_open = invitation.status_at(at) == InvitationStatus::Pending
        && invitation.token_version == token_version
        && invitation.delivery == DeliveryStatus::Sent;
    if !is_open || organization.deleted_at.is_some() {
        return Ok(());
    }
    let Some((address, name)) = recipient else { return Ok(()) };
    let token = invitation::link_token(&context.database, &invitation).map_err(job_error)?;
    let mail = InvitationReminderMail {
        organization_name: organization.name,
        role: invitation.role.label().to_owned(),
        grants,
        link: context.link(Route::Invitation(token.reveal())),
        expires_at: invitation.expires_at,
    };
    let envelope = Envelope {
        key: format!("invitation-reminder.{id}.{token_version}"),
        address: address.to_string(),
        name,
        date: invitation.expires_at - limits::INVITATION_REMINDER,
    };
    // A retry is still the same email, so it isn't counted again.
    if job.attempt == 1 && !mail_limit::count_reminder(&context.database, &address).await.map_err(job_error)? {
        tracing::info!("not sent: this person has had enough mails for now");
        return Ok(());
    }
    organization::take_mail_turn(&context.database, invitation.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}
