//! The email that tells somebody that the owner or an admin has reactivated their membership.

use apalis_diesel::{ClaimedJob, Job, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::base::job::MailMembershipRestored;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;
use url::Url;

use super::member_event::MemberEvent;
use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the recipient that they are a member again.
#[derive(Debug, Clone)]
pub struct MembershipRestoredMail {
    /// The organization.
    pub organization_name: String,
    /// The role that they have again, such as `Member`.
    pub role: String,
    /// The name of the member who reactivated them. `None` if it wasn't a member.
    pub restored_by: Option<String>,
    /// When they were reactivated.
    pub restored_at: DateTime<Utc>,
    /// Whether what they left behind is being returned to them.
    pub returns: bool,
    /// The page for signing in.
    pub sign_in_link: Url,
}

impl MembershipRestoredMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let mut rows = vec![row("Organization", organization.clone()), row("Your role", name(&self.role))];
        rows.extend(self.restored_by.as_deref().map(|by| row("Brought back by", name(by))));
        rows.push(row("When", time(self.restored_at)));
        let left_behind = match self.returns {
            true => "What you left behind goes back to you, as long as it is still with whoever received it.",
            false => "What you left behind stays with whoever received it.",
        };
        Document {
            subject: format!("You are back in {organization}"),
            preheader: "You have your role and permissions back.".into(),
            heading: format!("You are back in {organization}"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "You are a member of {organization} again, with the role and permissions you had. {left_behind}"
                )),
                Block::Rows(rows),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph(
                    "The API keys, share links and invitations that ended with your membership don't come back: create \
                    new ones where you need them. If you would rather not be a member, you can leave at any time.",
                ),
            ],
            reason: format!("You received this email because you are a member of {organization}."),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailMembershipRestored) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    // If they have left again in the meantime, another email tells them so.
    let found = MemberEvent::find(&mut reader, payload.audit_event_id).await.map_err(job_error)?;
    drop(reader);
    let Some(MemberEvent { event, member, user, organization_name, done_by }) = found else { return Ok(()) };
    let Some(email) = user.email else { return Ok(()) };
    let mail = MembershipRestoredMail {
        organization_name,
        role: member.role.label().to_owned(),
        restored_by: done_by,
        restored_at: event.occurred_at,
        returns: payload.returns,
        sign_in_link: context.link(Route::SignIn),
    };
    let envelope = Envelope {
        key: format!("membership-restored.{}", event.id),
        address: email.to_string(),
        name: Some(user.name),
        date: event.occurred_at,
    };
    if !context.takes_turn(job, MailMembershipRestored::KIND, member.id, &email, limits::MEMBER_MAILS).await? {
        return Ok(());
    }
    context.send(job, mail.render(envelope)).await
}
