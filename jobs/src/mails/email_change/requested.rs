//! The email that tells an account's old address that a change to another one was requested.

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::base::job::MailEmailChangeRequested;
use rollcall_domain::base::link::Route;
use url::Url;

use super::{find, greeted};
use crate::context::Context;
use crate::mail::document::{Block, Document, address, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells an account's address that a change to another one was requested.
#[derive(Debug, Clone)]
pub struct EmailChangeRequestedMail {
    /// The account's username, without `@`.
    pub username: String,
    /// The address that was requested.
    pub new_address: String,
    /// When the change was requested.
    pub requested_at: DateTime<Utc>,
    /// The page on which sessions can be ended.
    pub account_link: Url,
}

impl EmailChangeRequestedMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let new_address = address(&self.new_address);
        Document {
            subject: "A new email address was requested for your Rollcall account".into(),
            preheader: "Nothing has changed yet. If that was you, there is nothing you need to do.".into(),
            heading: "A new email address was requested".into(),
            blocks: vec![
                greeting(&envelope),
                paragraph(
                    "Someone who is signed in to your account asked to change its email address. Nothing has changed \
                    yet: it changes once the new address is confirmed with the link we sent to it.",
                ),
                Block::Rows(vec![
                    row("Account", format!("@{}", name(&self.username))),
                    row("New address", new_address),
                    row("Requested", time(self.requested_at)),
                ]),
                paragraph(
                    "If that was you, there is nothing you need to do here. If it wasn't, someone else is signed in to \
                    your account: end their session on your account page, and contact the platform's staff.",
                ),
                Block::Button { label: "See where you are signed in", url: self.account_link.clone() },
            ],
            reason: "You received this email because your Rollcall account has this email address.".into(),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(
    context: &Context,
    job: &ClaimedJob,
    payload: &MailEmailChangeRequested,
) -> Result<(), JobError> {
    let Some((change, user)) = find(context, payload.email_change_id).await? else { return Ok(()) };
    // Another email already tells that the address was changed; this one would say that nothing has changed.
    if change.confirmed_at.is_some() {
        return Ok(());
    }
    let mail = EmailChangeRequestedMail {
        username: user.username.to_string(),
        new_address: change.new_email.to_string(),
        requested_at: change.created_at,
        account_link: context.link(Route::Account),
    };
    let envelope = Envelope {
        key: format!("email-change-requested.{}", change.id),
        address: change.old_email.to_string(),
        name: greeted(user),
        date: change.created_at,
    };
    context.send(job, mail.render(envelope)).await
}
