//! The email that tells the owner that somebody joined with a code (R30).

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailJoinedByCode;
use rollcall_domain::membership::{join_code, organization};

use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the owner that somebody joined with a code.
#[derive(Debug, Clone)]
pub struct JoinedByCodeMail {
    /// The organization.
    pub organization_name: String,
    /// The new member's name.
    pub member_name: String,
    /// The new member's username, without `@`.
    pub username: String,
    /// The role that they joined with, such as `Member`.
    pub role: String,
    /// The part of the code that may be shown, such as `••••-••78`.
    pub code_hint: String,
    /// When they joined.
    pub joined_at: DateTime<Utc>,
}

impl JoinedByCodeMail {
    /// Renders the email.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let member = name(&self.member_name);
        Document {
            subject: format!("{member} joined {organization} with a code"),
            preheader: "If you know this person, there is nothing you need to do.".into(),
            heading: format!("{member} joined {organization}"),
            blocks: vec![
                greeting(&envelope),
                paragraph(
                    "Someone entered one of your organization's join codes and is now a member. The code can't be used \
                    again.",
                ),
                Block::Rows(vec![
                    row("Name", member),
                    row("Username", format!("@{}", name(&self.username))),
                    row("Role", name(&self.role)),
                    row("Code", name(&self.code_hint)),
                    row("Joined", time(self.joined_at)),
                ]),
                paragraph(
                    "If you know this person, there is nothing you need to do. If you don't, remove them in the \
                    members list: their access ends at once. Then revoke any codes you no longer need.",
                ),
            ],
            reason: format!(
                "You received this email because you own {organization}; we tell the owner about everyone who joins \
                with a code."
            ),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailJoinedByCode) -> Result<(), JobError> {
    let id = payload.join_code_id;
    let mut reader = connection(context).await?;
    let code = join_code::by_ids(&mut reader, &[id]).await.map_err(job_error)?.pop();
    let Some((code, used_by, used_at)) = code.and_then(|code| Some((code.clone(), code.used_by_id?, code.used_at?)))
    else {
        return Ok(());
    };
    let organization = organization::by_id(&reader, code.organization_id).await.map_err(job_error)?;
    let Some((_, owner_id)) =
        organization::owners(&mut reader, &[code.organization_id]).await.map_err(job_error)?.pop()
    else {
        return Ok(());
    };
    let owner = user::by_id(&mut reader, owner_id).await.map_err(job_error)?;
    let member = user::by_id(&mut reader, used_by).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = owner.email else { return Ok(()) };
    let mail = JoinedByCodeMail {
        organization_name: organization.name,
        member_name: member.name,
        username: member.username.to_string(),
        role: code.role.label().to_owned(),
        code_hint: code.masked(),
        joined_at: used_at,
    };
    let envelope = Envelope {
        key: format!("joined-by-code.{id}"),
        address: email.to_string(),
        name: Some(owner.name),
        date: used_at,
    };
    context.send(job, mail.render(envelope)).await
}
