//! The email that tells the inviter that their invitation was accepted. It is sent only if they are still an active
//! member.

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::account::user;
use rollcall_domain::authority::membership::MemberStatus;
use rollcall_domain::base::job::MailInvitationAccepted;
use rollcall_domain::membership::{invitation, member, organization};

use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the inviter that their invitation was accepted.
#[derive(Debug, Clone)]
pub struct InvitationAcceptedMail {
    /// The organization.
    pub organization_name: String,
    /// The new member's name.
    pub member_name: String,
    /// The new member's username, without `@`.
    pub username: String,
    /// The role that they joined with, such as `Member`.
    pub role: String,
    /// When they joined.
    pub joined_at: DateTime<Utc>,
}

impl InvitationAcceptedMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let member = name(&self.member_name);
        Document {
            subject: format!("{member} accepted your invitation to {organization}"),
            preheader: "They are now a member; there is nothing you need to do.".into(),
            heading: format!("{member} joined {organization}"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!("{member} accepted your invitation and joined {organization}.")),
                Block::Rows(vec![
                    row("Name", member),
                    row("Username", format!("@{}", name(&self.username))),
                    row("Role", name(&self.role)),
                    row("Joined", time(self.joined_at)),
                ]),
                paragraph(
                    "There is nothing you need to do. If this isn't the person you meant to invite, remove them in the \
                    members list: their access ends at once.",
                ),
            ],
            reason: format!("You received this email because you invited them to {organization}."),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailInvitationAccepted) -> Result<(), JobError> {
    let MailInvitationAccepted { invitation_id: id, member_id } = *payload;
    let mut reader = connection(context).await?;
    let Some(invitation) = invitation::by_id(&mut reader, id).await.map_err(job_error)? else { return Ok(()) };
    let Some(joined) = member::by_ids(&mut reader, &[member_id]).await.map_err(job_error)?.pop() else { return Ok(()) };
    // If the platform invited, it learns of the acceptance from the events.
    let (organization_id, Some(inviter_id)) = (invitation.organization_id, invitation.invited_by_id) else {
        return Ok(());
    };
    let inviter = member::of(&mut reader, organization_id, inviter_id).await.map_err(job_error)?;
    let organization = organization::by_id(&reader, organization_id).await.map_err(job_error)?;
    let is_told = inviter.is_some_and(|inviter| inviter.status == MemberStatus::Active);
    if !is_told || organization.deleted_at.is_some() {
        return Ok(());
    }
    let inviter = user::by_id(&mut reader, inviter_id).await.map_err(job_error)?;
    let person = user::by_id(&mut reader, joined.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = inviter.email else { return Ok(()) };
    let mail = InvitationAcceptedMail {
        organization_name: organization.name,
        member_name: person.name,
        username: person.username.to_string(),
        role: invitation.role.label().to_owned(),
        joined_at: joined.joined_at,
    };
    let envelope = Envelope {
        key: format!("invitation-accepted.{id}"),
        address: email.to_string(),
        name: Some(inviter.name),
        date: joined.joined_at,
    };
    context.send(job, mail.render(envelope)).await
}
