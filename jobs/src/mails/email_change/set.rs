//! The email that tells an account's old or new address that the platform's staff have changed the address (R84).

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::base::job::MailEmailSet;

use super::{find, greeted};
use crate::context::Context;
use crate::mail::document::{Block, Document, address, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells an account's old or new address that the platform's staff have changed the address.
#[derive(Debug, Clone)]
pub struct EmailSetMail {
    /// The account's username, without `@`.
    pub username: String,
    /// The account's new address.
    pub new_address: String,
    /// When the address was changed.
    pub changed_at: DateTime<Utc>,
    /// Whether this email goes to the new address.
    pub to_new: bool,
}

impl EmailSetMail {
    /// Renders the email. To the old address, it greets the recipient by the envelope's name. The new one may belong to
    /// somebody else, by mistake.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let envelope = match self.to_new {
            true => Envelope { name: None, ..envelope },
            false => envelope,
        };
        let (preheader, text, remedy, reason) = match self.to_new {
            true => (
                "You sign in with this address from now on.",
                "The platform's staff gave your account this email address. From now on, you sign in with it and our \
                emails come here.",
                "If this isn't your account, please contact the platform's staff.",
                "You received this email because the platform's staff gave a Rollcall account this email address.",
            ),
            false => (
                "You sign in with another address from now on.",
                "The platform's staff gave your account another email address. From now on, you sign in with it and our \
                emails go there. This is the last one to your old address.",
                "If you didn't ask for this and nobody has told you why, please contact the platform's staff right \
                away, from this address.",
                "You received this email because your Rollcall account had this email address until now.",
            ),
        };
        Document {
            subject: "Your Rollcall email address was changed".into(),
            preheader: preheader.into(),
            heading: "Your email address was changed".into(),
            blocks: vec![
                greeting(&envelope),
                paragraph(text),
                Block::Rows(vec![
                    row("Account", format!("@{}", name(&self.username))),
                    row("New address", address(&self.new_address)),
                    row("Changed", time(self.changed_at)),
                ]),
                paragraph(remedy),
            ],
            reason: reason.into(),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailEmailSet) -> Result<(), JobError> {
    let Some((change, user)) = find(context, payload.email_change_id).await? else { return Ok(()) };
    let Some(confirmed_at) = change.confirmed_at else { return Ok(()) };
    let to_new = payload.to_new;
    let mail = EmailSetMail {
        username: user.username.to_string(),
        new_address: change.new_email.to_string(),
        changed_at: confirmed_at,
        to_new,
    };
    let (recipient, key) = match to_new {
        true => (change.new_email, "email-set-new"),
        false => (change.old_email, "email-set-old"),
    };
    let envelope = Envelope {
        key: format!("{key}.{}", change.id),
        address: recipient.to_string(),
        name: greeted(user),
        date: confirmed_at,
    };
    context.send(job, mail.render(envelope)).await
}
