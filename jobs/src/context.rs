//! What the handlers of jobs share: the database, the mailer, the webhook client.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use rollcall_domain::Error;
use rollcall_domain::base::id::MemberId;
use rollcall_domain::base::limits::{self, TryLimit};
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::base::text::{self, EmailAddress};
use rollcall_domain::database::{self, Database};
use rollcall_domain::membership::member;
use rollcall_domain::start::settings::Settings;
use url::Url;
use uuid::Uuid;

use crate::mail::{Mail, Mailbox, Mailer, RenderError, SendError};
use crate::webhook_client::WebhookClient;
use crate::webhook_slots::DeliverySlots;

/// What handlers work with. It is cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub(crate) database: Database,
    mailer: Arc<Mailer>,
    pub(crate) webhooks: Arc<WebhookClient>,
    pub(crate) webhook_slots: DeliverySlots,
    public_url: Arc<PublicUrl>,
}

impl Context {
    /// Makes the context from the settings. Emails go to the SMTP server or, if none is set, into a directory.
    pub fn new(settings: &Settings, database: Database) -> anyhow::Result<Self> {
        let mailer = Destination::of(settings)?.open()?;
        let mailer = match settings.support_email()? {
            Some(email) => {
                mailer.with_reply_to(email.as_str()).context("ROLLCALL_SUPPORT_EMAIL can't be written to")?
            }
            None => mailer,
        };
        let webhooks = WebhookClient::new(database.keyring().clone(), database.deployment().webhook_targets)?;
        let public_url = Arc::new(settings.public_url()?);
        let (mailer, webhooks) = (Arc::new(mailer), Arc::new(webhooks));
        Ok(Self { database, mailer, webhooks, webhook_slots: DeliverySlots::default(), public_url })
    }

    /// Checks that the settings contain what a worker needs. The API checks this at its start too, so that a mistake
    /// doesn't first show in emails that never arrive.
    ///
    /// # Errors
    /// If a setting is missing or wrong. The error is one line that names the setting and says what to do.
    pub fn check(settings: &Settings) -> anyhow::Result<()> {
        Destination::of(settings).map(drop)
    }

    /// The same context for the handlers of one queue, which may take at most this many connections at a time.
    pub(crate) fn share(&self, connections: usize) -> Self {
        Self { database: self.database.share(connections), ..self.clone() }
    }

    /// The URL of a page.
    pub(crate) fn link(&self, route: Route<'_>) -> Url {
        self.public_url.link(route)
    }

    /// Counts an email of this kind about a membership. Returns `false` if its recipient has already had enough of
    /// them today. A retry isn't counted again, since it is still the same email.
    pub(crate) async fn takes_turn(
        &self,
        job: &ClaimedJob,
        kind: &str,
        member_id: MemberId,
        recipient: &EmailAddress,
        limit: TryLimit,
    ) -> Result<bool, JobError> {
        if job.attempt > 1
            || member::take_mail_turn(&self.database, kind, member_id, recipient, limit).await.map_err(job_error)?
        {
            return Ok(true);
        }
        tracing::info!("not sent: this person has had enough such mails today");
        Ok(false)
    }

    /// Sends an email whose outcome isn't recorded.
    pub(crate) async fn send(&self, job: &ClaimedJob, mail: Result<Mail, RenderError>) -> Result<(), JobError> {
        self.try_send(job, mail).await?.map_err(Unsent::into)
    }

    /// Sends an email. This must not happen within a transaction, since the mail server may take its time.
    pub(crate) async fn try_send(
        &self,
        job: &ClaimedJob,
        mail: Result<Mail, RenderError>,
    ) -> Result<Result<(), Unsent>, JobError> {
        database::expect_none_held();
        let mail = mail.map_err(|error| JobError::discard(error.to_string()))?;
        let hide = |reply: String| without_address(&reply, &mail.envelope.address);
        Ok(match self.mailer.send(&mail).await {
            Ok(()) => {
                tracing::info!(message_id = self.mailer.message_id(&mail.envelope), "sent a mail");
                Ok(())
            }
            Err(SendError::Permanent { reply }) => Err(Unsent { reply: hide(reply), again_after: None }),
            Err(SendError::Temporary { reply }) => {
                Err(Unsent { reply: hide(reply), again_after: self.next_try(job).await? })
            }
        })
    }

    /// How long to wait before the next attempt to send an email. `None` if it has been tried for as long as emails
    /// are.
    async fn next_try(&self, job: &ClaimedJob) -> Result<Option<Duration>, JobError> {
        let now = database::now(&*connection(self).await?).await.map_err(job_error)?;
        let left = (job.scheduled_at + limits::MAIL_TRIED_FOR - now).to_std().unwrap_or_default();
        let is_over = left.is_zero() || job.is_last_attempt();
        Ok((!is_over).then(|| job.backoff().min(limits::LONGEST_MAIL_PAUSE).min(left)))
    }
}

/// Where emails go: to an SMTP server or into a directory.
enum Destination {
    Smtp(Box<Mailer>),
    Directory(PathBuf, Mailbox),
}

impl Destination {
    fn of(settings: &Settings) -> anyhow::Result<Self> {
        let from: Mailbox = settings.mail_from().parse().map_err(|_| {
            anyhow::anyhow!("ROLLCALL_MAIL_FROM must be a sender such as Rollcall <rollcall@example.org>")
        })?;
        match (&settings.rollcall_smtp_url, settings.mail_dir()) {
            (Some(url), _) => Ok(Self::Smtp(Box::new(Mailer::smtp(url, from).context("ROLLCALL_SMTP_URL")?))),
            (None, Some(folder)) => Ok(Self::Directory(folder, from)),
            (None, None) => bail!(
                "ROLLCALL_SMTP_URL is required with DATABASE_URL, such as smtp://user:password@host:587?tls=required; to keep \
                 emails as files instead of sending them, name a folder in ROLLCALL_MAIL_DIR"
            ),
        }
    }

    fn open(self) -> anyhow::Result<Mailer> {
        match self {
            Self::Smtp(mailer) => Ok(*mailer),
            Self::Directory(folder, from) => Mailer::directory(&folder, from)
                .with_context(|| format!("ROLLCALL_MAIL_DIR: mails can't be written to {}", folder.display())),
        }
    }
}

/// An email that wasn't sent.
pub(crate) struct Unsent {
    /// The mail server's response, or a description of what happened.
    pub(crate) reply: String,
    /// How long to wait before the next attempt. `None` if the email was refused for good, or was tried for long
    /// enough.
    pub(crate) again_after: Option<Duration>,
}

impl Unsent {
    /// The response in our own words, with only the codes of the server's response. Whoever may not know the address
    /// isn't told the address, its parts or its server either (R25).
    pub(crate) fn in_own_words(&self) -> String {
        let mut words = self.reply.split_whitespace();
        let code = words.next().filter(|word| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(code) = code else { return "the mail server didn't take it, or didn't answer".to_owned() };
        let is_enhanced = |word: &&str| {
            let mut parts = word.split('.');
            let is_number =
                |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            parts.next().is_some_and(|class| matches!(class, "4" | "5"))
                && parts.clone().count() == 2
                && parts.all(is_number)
        };
        match words.next().filter(is_enhanced) {
            Some(enhanced) => format!("the mail server didn't take it: {code} {enhanced}"),
            None => format!("the mail server didn't take it: {code}"),
        }
    }
}

impl From<Unsent> for JobError {
    fn from(unsent: Unsent) -> Self {
        match unsent.again_after {
            Some(after) => Self::retry_after(unsent.reply, after),
            None => Self::discard(unsent.reply),
        }
    }
}

/// Removes the address from the mail server's response, in upper or lower case, since logs contain no addresses.
fn without_address(reply: &str, address: &str) -> String {
    // Whole addresses are removed first. The server may write this one in ASCII, or respond with another address that
    // contains it.
    let reply = text::without_addresses(reply);
    let mut shown = String::new();
    let mut rest = reply.as_str();
    while let Some(at) = rest.to_ascii_lowercase().find(&address.to_ascii_lowercase()) {
        let (before, after) = rest.split_at(at);
        shown.push_str(before);
        shown.push_str("[address]");
        rest = after.get(address.len()..).unwrap_or_default();
    }
    shown + rest
}

/// The outcome of a job whose handler got an error from the domain.
pub(crate) fn job_error(error: Error) -> JobError {
    match error {
        Error::JobLost => JobError::Lost,
        Error::Database(error) => error.into(),
        Error::RateLimited { retry_after } => JobError::postpone(retry_after),
        other => JobError::retry(other.to_string()),
    }
}

/// When a notice was requested, read from its id, which is a UUIDv7.
pub(crate) fn noticed_at(notice: Uuid) -> Result<DateTime<Utc>, JobError> {
    let called_for = notice.get_timestamp().and_then(|timestamp| {
        let (seconds, nanoseconds) = timestamp.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
    });
    called_for.ok_or_else(|| JobError::discard("the notice's id holds no time"))
}

/// How long a job that works in chunks may run before the jobs that wait behind it get their turn.
const TURN: Duration = Duration::from_secs(20);

/// The outcome of a job whose turn is over. It continues after the jobs that are waiting, and this doesn't count as an
/// attempt.
pub(crate) const GIVES_WAY: JobError = JobError::Postpone { after: Duration::ZERO };

/// The turn of a job, which ends after [`TURN`].
pub(crate) struct Turn(Instant);

impl Turn {
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.elapsed() >= TURN
    }
}

/// A connection for a handler to read with.
pub(crate) async fn connection(context: &Context) -> Result<rollcall_domain::database::Connection, JobError> {
    context.database.connection().await.map_err(job_error)
}

/// The check that each transaction of the domain makes first: that the job still belongs to this run.
pub(crate) fn hold(
    job: &ClaimedJob,
) -> impl for<'c> Fn(&'c mut AsyncPgConnection) -> Pin<Box<dyn Future<Output = rollcall_domain::Result<()>> + Send + 'c>>
+ Send
+ Sync {
    let job = Arc::new(job.clone());
    move |connection| {
        let job = job.clone();
        Box::pin(async move {
            job.hold(connection).await.map_err(|error| match error {
                JobError::Lost => Error::JobLost,
                JobError::Retry { .. } | JobError::Postpone { .. } | JobError::Discard { .. } => {
                    Error::Bug("the job's row can't be read")
                }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Unsent, without_address};

    #[test]
    fn a_reply_is_shown_without_the_address() {
        let reply = "550 5.1.1 <Grace@Example.org>: no such user grace@example.org here";
        assert_eq!(without_address(reply, "grace@example.org"), "550 5.1.1 <[address]>: no such user [address] here");
        assert_eq!(without_address("451 later", "grace@example.org"), "451 later");
        let reply = "550 <grace@xn--bcher-kva.example>: forwarded to grace@elsewhere.example, unknown";
        assert_eq!(
            without_address(reply, "grace@b\u{fc}cher.example"),
            "550 <[address]>: forwarded to [address], unknown"
        );
    }

    #[test]
    fn a_reply_in_own_words_holds_only_codes() {
        let own = |reply: &str| Unsent { reply: reply.to_owned(), again_after: None }.in_own_words();
        for (reply, shown) in [
            ("550 5.1.1 grace at example.org is unknown", "the mail server didn't take it: 550 5.1.1"),
            ("550 grace: user unknown", "the mail server didn't take it: 550"),
            ("550 203.0.113.7 rejects", "the mail server didn't take it: 550"),
            ("mx.example.org is down", "the mail server didn't take it, or didn't answer"),
            ("", "the mail server didn't take it, or didn't answer"),
        ] {
            assert_eq!(own(reply), shown, "{reply:?}");
        }
    }
}
