//! The email that tells somebody that the platform's staff gave them an organization (R1).

use apalis_diesel::{ClaimedJob, Job, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailOwnerSet;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::{member, organization};
use url::Url;

use crate::context::{Context, connection, job_error, noticed_at};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the recipient that the platform's staff gave them an organization.
#[derive(Debug, Clone)]
pub struct OwnerSetMail {
    /// The organization.
    pub organization_name: String,
    /// The page for signing in.
    pub sign_in_link: Url,
}

impl OwnerSetMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        Document {
            subject: format!("You own {organization} now"),
            preheader: "The platform's staff passed ownership to you.".into(),
            heading: format!("You own {organization} now"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "The platform's staff passed ownership of {organization} to you. The previous owner is now an \
                    admin there."
                )),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph(
                    "If you didn't expect this, please contact the platform's staff. As the owner, you are responsible \
                    for the organization's members and work.",
                ),
            ],
            reason: format!(
                "You received this email because the platform's staff made you the owner of {}.",
                name(&self.organization_name)
            ),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailOwnerSet) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let organization = organization::by_id(&reader, payload.organization_id).await.map_err(job_error)?;
    let owner = user::by_id(&mut reader, payload.user_id).await.map_err(job_error)?;
    let membership = member::of(&mut reader, payload.organization_id, payload.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = owner.email else { return Ok(()) };
    let mail = OwnerSetMail { organization_name: organization.name, sign_in_link: context.link(Route::SignIn) };
    let envelope = Envelope {
        key: format!("owner-set.{}", payload.notice),
        address: email.to_string(),
        name: Some(owner.name),
        date: noticed_at(payload.notice)?,
    };
    if let Some(membership) = membership
        && !context.takes_turn(job, MailOwnerSet::KIND, membership.id, &email, limits::ROLE_MAILS).await?
    {
        return Ok(());
    }
    context.send(job, mail.render(envelope)).await
}
