//! Turns rendered emails into messages, and sends them.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use rollcall_domain::base::text::hyperlink;
use secrecy::SecretString;
use url::Host;

use super::{
    Envelope, Mail,
    document::one_line,
    smtp::{Smtp, SmtpUrlError},
};

/// Sends emails by SMTP, or writes them into a directory.
pub struct Mailer {
    from: Mailbox,
    reply_to: Option<Mailbox>,
    transport: Transport,
}

enum Transport {
    Smtp(Smtp),
    Directory(PathBuf),
}

/// Why an email wasn't sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The server refused the email for good, or the address is invalid. Trying again won't help.
    #[error("refused: {reply}")]
    Permanent {
        /// The server's code and words on one line, such as `550 5.1.1 No such user`.
        reply: String,
    },
    /// The server refused the email for now, or no server could be reached. Try again later. If the connection broke
    /// at the very end, the email may nevertheless have arrived; the repeated email has the same Message-ID.
    #[error("not sent yet: {reply}")]
    Temporary {
        /// The server's code and words, or what happened, on one line.
        reply: String,
    },
}

impl Mailer {
    /// Sends by SMTP to the server of the URL: `smtps://user:password@host`, `smtp://host?tls=required` (or
    /// `opportunistic`), or `smtp://host:port`. With `timeout=30`, connecting may take 30 seconds, and so may sending.
    /// The default, and the maximum, is 60 seconds.
    pub fn smtp(url: &SecretString, from: Mailbox) -> Result<Self, SmtpUrlError> {
        Ok(Self { from, reply_to: None, transport: Transport::Smtp(Smtp::new(url)?) })
    }

    /// Writes each email into `directory`, as a file named `20261122T014500.123Z-<key>.eml`. If the directory is
    /// missing, it is created, accessible only to its owner.
    pub fn directory(directory: impl Into<PathBuf>, from: Mailbox) -> io::Result<Self> {
        let directory = directory.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Self { from, reply_to: None, transport: Transport::Directory(directory) })
    }

    /// Adds an address that replies go to. `None` if the address is invalid.
    pub fn with_reply_to(self, raw: &str) -> Option<Self> {
        Some(Self { reply_to: Some(Mailbox::new(None, address(raw)?)), ..self })
    }

    /// Sends an email. Returns once the server has accepted it, or the file is in its place. May be cancelled at any
    /// time.
    pub async fn send(&self, mail: &Mail) -> Result<(), SendError> {
        let started = Instant::now();
        let outcome = self.hand_over(mail).await;
        crate::metrics::count_mail(&outcome, started.elapsed());
        outcome
    }

    async fn hand_over(&self, mail: &Mail) -> Result<(), SendError> {
        let message = self.message(mail)?;
        match &self.transport {
            Transport::Smtp(smtp) => smtp.send(&message).await,
            Transport::Directory(directory) => write(directory, &mail.envelope, &message)
                .map_err(|error| SendError::Temporary { reply: error.to_string() }),
        }
    }

    /// The Message-ID of an email, without the angle brackets. It never changes.
    pub fn message_id(&self, envelope: &Envelope) -> String {
        format!("{}@{}", key(envelope), self.from.email.domain())
    }

    fn message(&self, mail: &Mail) -> Result<Message, SendError> {
        let envelope = &mail.envelope;
        let permanent = |reply: String| SendError::Permanent { reply };
        let address = address(&envelope.address).ok_or_else(|| permanent("the address is not valid".into()))?;
        let name = envelope.name.as_deref().map(|name| one_line(name).chars().take(80).collect::<String>());
        // A name that contains a link (it may be older than the rule against that) isn't shown, since nothing in a
        // header could make it harmless. Neither is a name that begins with a dot, since it would be sent without
        // quotes, which headers don't allow.
        let is_shown = |name: &String| !name.is_empty() && !name.starts_with('.') && !hyperlink::is_in(name);
        let to = Mailbox::new(name.filter(is_shown), address);
        let mut message = Message::builder().from(self.from.clone()).to(to);
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        message
            .subject(mail.subject.as_str())
            .date(envelope.date.into())
            .message_id(Some(format!("<{}>", self.message_id(envelope))))
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Auto-Response-Suppress", "OOF, AutoReply"))
            .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
            .map_err(|error| permanent(error.to_string()))
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Parses an email address. An international domain is converted to its ASCII form, which every server accepts.
fn address(raw: &str) -> Option<Address> {
    let (user, domain) = raw.rsplit_once('@')?;
    if domain.is_ascii() {
        return Address::new(user, domain).ok();
    }
    Address::new(user, Host::parse(domain).ok()?.to_string()).ok()
}

fn key(envelope: &Envelope) -> String {
    envelope
        .key
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-'))
        .collect()
}

/// Writes the file under a hidden name first, so that readers never see half an email. An email that is sent twice is
/// one file.
fn write(directory: &Path, envelope: &Envelope, message: &Message) -> io::Result<()> {
    let name = format!("{}-{}.eml", envelope.date.format("%Y%m%dT%H%M%S%.3fZ"), key(envelope));
    let unfinished = directory.join(format!(".{name}.part"));
    fs::write(&unfinished, message.formatted())?;
    fs::rename(unfinished, directory.join(name))
}
