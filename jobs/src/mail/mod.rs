//! How the mails look, and how they leave.
//!
//! A mail is a struct of facts (such as [`InvitationMail`](crate::mails::InvitationMail)) whose `render` turns it into
//! a [`Mail`]. What it says lies beside its facts and its handler, in [`mails`](crate::mails), as a list of blocks;
//! `document.rs` renders the same blocks to HTML (by `templates/mail.mjml`) and to plain text. A [`Mailer`] then hands
//! the mail to an SMTP server or writes it to a folder.
//!
//! Invariants:
//! - Names and all else that people typed are hostile: they are shortened, put on one line and kept
//!   from becoming links before they are placed in a sentence, and escaped by the template.
//! - A mail rendered again from the same facts and [`Envelope`] is the same mail: same Message-ID,
//!   same Date, same links.
//! - No picture, font or script is fetched from anywhere; every link in the HTML stands in the text.

pub(crate) mod document;
mod mailer;
mod smtp;
pub(crate) mod words;

use chrono::{DateTime, Utc};
pub use document::RenderError;
pub use lettre::message::Mailbox;
pub use mailer::{Mailer, SendError};
pub use smtp::SmtpUrlError;

/// Who did something, to a recipient who may not know who that is.
pub(crate) const SOMEBODY: &str = "Somebody";

/// Whom a mail goes to, and what identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Identifies the mail for good, for example `inv_01h….2` (the thing it is about and its
    /// version): it becomes the left part of the Message-ID and part of the file name. Only ASCII
    /// letters, digits, `.`, `_` and `-` are kept.
    pub key: String,
    /// The address to send to.
    pub address: String,
    /// The recipient's name, where one is known.
    pub name: Option<String>,
    /// When the mail came to be; a retry carries the same.
    pub date: DateTime<Utc>,
}

/// A rendered mail, ready for [`Mailer::send`]. Like the mails it comes from it can't be printed by
/// `{:?}`, because it holds links and digits that let somebody in.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// Whom it goes to, and what identifies it.
    pub envelope: Envelope,
    /// The subject, on one line.
    pub subject: String,
    /// The plain text, wrapped at 76 columns; links are never broken.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}
