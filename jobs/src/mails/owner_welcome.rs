//! The email that tells somebody that the platform's staff created an organization for them (R1).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailOwnerWelcome;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::organization;
use url::Url;

use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the recipient that the platform's staff created an organization for them.
#[derive(Debug, Clone)]
pub struct OwnerWelcomeMail {
    /// The organization.
    pub organization_name: String,
    /// The page for signing in.
    pub sign_in_link: Url,
}

impl OwnerWelcomeMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        Document {
            subject: format!("{organization} is ready for you"),
            preheader: "Sign in with this email address; you own the organization.".into(),
            heading: format!("{organization} is ready"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "We created the organization {organization} on Rollcall for you, and you are its owner."
                )),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph(
                    "Sign in with the address this email went to. There is no password: we email you a link. Then \
                    invite the people you work with, or hand out join codes.",
                ),
                paragraph("If you didn't expect this, you can ignore it: nothing happens until you sign in."),
            ],
            reason: format!(
                "You received this email because the platform's staff made you the owner of {}.",
                name(&self.organization_name)
            ),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailOwnerWelcome) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let organization = organization::by_id(&reader, payload.organization_id).await.map_err(job_error)?;
    let owner = user::by_id(&mut reader, payload.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = owner.email else { return Ok(()) };
    let mail = OwnerWelcomeMail { organization_name: organization.name, sign_in_link: context.link(Route::SignIn) };
    let envelope = Envelope {
        key: format!("owner-welcome.{}.{}", payload.organization_id, payload.user_id),
        address: email.to_string(),
        name: Some(owner.name),
        date: organization.created_at,
    };
    context.send(job, mail.render(envelope)).await
}
