//! The email that tells an account's old address that a new one has replaced it.

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::base::job::MailEmailChanged;

use super::{find, greeted};
use crate::context::Context;
use crate::mail::document::{Block, Document, address, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells an account's old address that a new one has replaced it.
#[derive(Debug, Clone)]
pub struct EmailChangedMail {
    /// The account's username, without `@`.
    pub username: String,
    /// The account's new address.
    pub new_address: String,
    /// When the address was changed.
    pub changed_at: DateTime<Utc>,
}

impl EmailChangedMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        Document {
            subject: "Your Rollcall email address was changed".into(),
            preheader: "If that was you, there is nothing you need to do.".into(),
            heading: "Your email address was changed".into(),
            blocks: vec![
                greeting(&envelope),
                paragraph(
                    "Your new email address was confirmed. From now on, you sign in with it and our emails go there. \
                    This is the last one to your old address.",
                ),
                Block::Rows(vec![
                    row("Account", format!("@{}", name(&self.username))),
                    row("New address", address(&self.new_address)),
                    row("Changed", time(self.changed_at)),
                ]),
                paragraph(
                    "If that was you, there is nothing you need to do. If it wasn't, please contact the platform's \
                    staff right away, from this address.",
                ),
            ],
            reason: "You received this email because your Rollcall account had this email address until now.".into(),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailEmailChanged) -> Result<(), JobError> {
    let Some((change, user)) = find(context, payload.email_change_id).await? else { return Ok(()) };
    let Some(confirmed_at) = change.confirmed_at else { return Ok(()) };
    let mail = EmailChangedMail {
        username: user.username.to_string(),
        new_address: change.new_email.to_string(),
        changed_at: confirmed_at,
    };
    let envelope = Envelope {
        key: format!("email-changed.{}", change.id),
        address: change.old_email.to_string(),
        name: greeted(user),
        date: confirmed_at,
    };
    context.send(job, mail.render(envelope)).await
}
