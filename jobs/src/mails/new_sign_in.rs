//! The email that tells somebody that their account was signed in to on a new device.

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::account::{session, user};
use rollcall_domain::base::device;
use rollcall_domain::base::job::MailNewSignIn;
use rollcall_domain::base::link::Route;
use url::Url;

use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the recipient that their account was signed in to on a new device.
#[derive(Debug, Clone)]
pub struct NewSignInMail {
    /// When that happened.
    pub signed_in_at: DateTime<Utc>,
    /// The User-Agent header of the device. Only the browser and system recognized in it are shown.
    pub user_agent: Option<String>,
    /// The session's id.
    pub session_id: String,
    /// The page on which sessions can be ended.
    pub account_link: Url,
}

impl NewSignInMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        Document {
            subject: "New sign-in to your Rollcall account".into(),
            preheader: "If that was you, there is nothing you need to do.".into(),
            heading: "New sign-in to your account".into(),
            blocks: vec![
                greeting(&envelope),
                paragraph("Someone signed in to your account on a device that it hadn't been used on before."),
                Block::Rows(vec![
                    row("When", time(self.signed_in_at)),
                    row("Device", device::name(self.user_agent.as_deref())),
                    row("Session", name(&self.session_id)),
                ]),
                paragraph(
                    "If that was you, there is nothing you need to do. If it wasn't, end that session on your account \
                    page right away. Whoever signed in could read your email, so change your mailbox password, too.",
                ),
                Block::Button { label: "See where you are signed in", url: self.account_link.clone() },
            ],
            reason: "You received this email because your Rollcall account has this email address; we send one \
                whenever a new device signs in."
                .into(),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailNewSignIn) -> Result<(), JobError> {
    let id = payload.session_id;
    let mut reader = connection(context).await?;
    let Some(session) = session::by_id(&mut reader, id).await.map_err(job_error)? else { return Ok(()) };
    let user = user::by_id(&mut reader, session.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = user.email else { return Ok(()) };
    let mut account_link = context.link(Route::Account);
    account_link.set_fragment(Some(&id.to_string()));
    let mail = NewSignInMail {
        signed_in_at: session.created_at,
        user_agent: session.user_agent,
        session_id: id.to_string(),
        account_link,
    };
    let envelope = Envelope {
        key: format!("new-sign-in.{id}"),
        address: email.to_string(),
        name: Some(user.name),
        date: session.created_at,
    };
    context.send(job, mail.render(envelope)).await
}
