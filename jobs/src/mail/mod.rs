//! Rendering and sending of emails.
//!
//! An email is a struct of facts (such as [`InvitationMail`](crate::mails::InvitationMail)) whose `render` turns it
//! into a [`Mail`]. Its text is in [`mails`](crate::mails), beside its facts and its handler, as a list of blocks.
//! `document.rs` renders these blocks to HTML (with `templates/mail.mjml`) and to plain text. A [`Mailer`] then sends
//! the email to an SMTP server or writes it into a directory.
//!
//! Invariants:
//! - Names and everything else that people typed are considered hostile. Before they are placed in a sentence, they
//!   are shortened, put on one line and kept from becoming links; the template escapes them.
//! - An email that is rendered again from the same facts and [`Envelope`] is the same email, with the same Message-ID,
//!   date and links.
//! - No picture, font or script is loaded from anywhere, and every link in the HTML is also in the text.

pub(crate) mod document;
mod mailer;
mod smtp;
mod smtp_stream;
pub(crate) mod words;

use chrono::{DateTime, Utc};
pub use document::RenderError;
pub use lettre::message::Mailbox;
pub use mailer::{Mailer, SendError};
pub use smtp::SmtpUrlError;

/// How somebody is called in an email to a recipient who may not know who that is.
pub(crate) const SOMEBODY: &str = "Somebody";

/// The recipient of an email, and what identifies the email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Identifies the email for good, for example `inv_01h….2` (the object that it is about, and its version). It
    /// becomes the left part of the Message-ID and part of the file name. Only ASCII letters, digits, `.`, `_` and `-`
    /// are kept.
    pub key: String,
    /// The address to send the email to.
    pub address: String,
    /// The recipient's name, if it is known.
    pub name: Option<String>,
    /// The date of the email. Retries have the same date.
    pub date: DateTime<Utc>,
}

/// A rendered email, ready for [`Mailer::send`]. Like the structs that it is rendered from, it has no `Debug`, because
/// it contains links and digits that sign people in.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The recipient of the email, and what identifies it.
    pub envelope: Envelope,
    /// The subject, on one line.
    pub subject: String,
    /// The plain text, wrapped at 76 columns. Links are never broken.
    pub text: String,
    /// The same content as HTML.
    pub html: String,
}
