//! The emails that tell the old and the new owner that the ownership was transferred (R46).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailOwnershipTransferred;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::organization;
use url::Url;

use crate::context::{Context, connection, job_error, noticed_at};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the old or the new owner that the ownership was transferred.
#[derive(Debug, Clone)]
pub struct OwnershipTransferredMail {
    /// The organization.
    pub organization_name: String,
    /// The name of the other one of the two.
    pub other_name: String,
    /// The username of the other one, without `@`.
    pub other_username: String,
    /// Whether the recipient is the new owner.
    pub receives: bool,
    /// The page for signing in.
    pub sign_in_link: Url,
}

impl OwnershipTransferredMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let other = format!("{} (@{})", name(&self.other_name), name(&self.other_username));
        let (heading, preheader, what, reason) = if self.receives {
            (
                format!("You own {organization} now"),
                format!("{other} passed ownership to you."),
                format!(
                    "{other} passed ownership of {organization} to you and is now an admin there. As the owner, you \
                    are responsible for the organization's members and work, and what people leave behind passes to \
                    you."
                ),
                format!("You received this email because you now own {organization}."),
            )
        } else {
            (
                format!("{organization} has a new owner"),
                format!("You passed ownership to {other}."),
                format!("You passed ownership of {organization} to {other}. You are now an admin there."),
                format!("You received this email because you owned {organization}."),
            )
        };
        Document {
            subject: heading.clone(),
            preheader,
            heading,
            blocks: vec![
                greeting(&envelope),
                paragraph(what),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph(
                    "If you didn't expect this, please contact the platform's staff right away: they can put it \
                    right.",
                ),
            ],
            reason,
        }
        .render(envelope)
    }
}

pub(crate) async fn run(
    context: &Context,
    job: &ClaimedJob,
    payload: &MailOwnershipTransferred,
) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let organization = organization::by_id(&reader, payload.organization_id).await.map_err(job_error)?;
    let recipient = user::by_id(&mut reader, payload.recipient_id).await.map_err(job_error)?;
    let receives = payload.recipient_id == payload.to_id;
    let other_id = if receives { payload.from_id } else { payload.to_id };
    let other = user::by_id(&mut reader, other_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = recipient.email else { return Ok(()) };
    let mail = OwnershipTransferredMail {
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
