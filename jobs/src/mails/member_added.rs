//! The email that tells somebody that the platform made them a member of an organization (R88).

use apalis_diesel::{ClaimedJob, Job, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::account::user;
use rollcall_domain::authority::membership::MemberStatus;
use rollcall_domain::base::job::MailMemberAdded;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::{member, organization};
use url::Url;

use crate::context::{Context, connection, job_error, noticed_at};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the recipient that they are a member, without having been invited.
#[derive(Debug, Clone)]
pub struct MemberAddedMail {
    /// The organization.
    pub organization_name: String,
    /// Their role, such as `Member`.
    pub role: String,
    /// When they were made a member.
    pub added_at: DateTime<Utc>,
    /// The page for signing in.
    pub sign_in_link: Url,
}

impl MemberAddedMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        Document {
            subject: format!("You are a member of {organization} now"),
            preheader: "You don't have to accept an invitation.".into(),
            heading: format!("You are a member of {organization}"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "The platform added you to {organization}. You don't have to accept an invitation: sign in with \
                    this email address."
                )),
                Block::Rows(vec![
                    row("Organization", organization.clone()),
                    row("Your role", name(&self.role)),
                    row("When", time(self.added_at)),
                ]),
                Block::Button { label: "Sign in", url: self.sign_in_link.clone() },
                paragraph("If you would rather not be a member, you can leave at any time."),
            ],
            reason: format!("You received this email because you are a member of {organization}."),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailMemberAdded) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = member::by_ids(&mut reader, &[payload.member_id]).await.map_err(job_error)?.pop();
    // If they have left in the meantime, there is nothing to tell.
    let Some(member) = found.filter(|member| member.status == MemberStatus::Active) else { return Ok(()) };
    let organization = organization::by_id(&reader, member.organization_id).await.map_err(job_error)?;
    let user = user::by_id(&mut reader, member.user_id).await.map_err(job_error)?;
    drop(reader);
    let (Some(email), None) = (user.email, organization.deleted_at) else { return Ok(()) };
    let added_at = noticed_at(payload.notice)?;
    let mail = MemberAddedMail {
        organization_name: organization.name,
        role: member.role.label().to_owned(),
        added_at,
        sign_in_link: context.link(Route::SignIn),
    };
    let envelope = Envelope {
        key: format!("member-added.{}.{}", member.id, payload.notice),
        address: email.to_string(),
        name: Some(user.name),
        date: added_at,
    };
    if !context.takes_turn(job, MailMemberAdded::KIND, member.id, &email, limits::MEMBER_MAILS).await? {
        return Ok(());
    }
    organization::take_mail_turn(&context.database, member.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}
