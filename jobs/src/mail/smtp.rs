//! SMTP with one pool of connections.
//!
//! The connections are lettre's; the pool is not, because lettre's takes a connection back even
//! when its user was cancelled in the middle of a conversation (a timeout), and the next mail would
//! then take the late answer to the last one for its own. Here a connection returns to the pool
//! only after a mail that went through.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use lettre::{
    Message,
    address::Envelope,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::ClientId,
    },
};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use url::Url;

use super::{SendError, document::one_line};

/// How many idle connections are kept, and for how long.
const IDLE_CONNECTIONS: usize = 8;
const IDLE_TIME: Duration = Duration::from_secs(60);

/// Long enough for a server that looks at a mail before it answers, and short enough that two of
/// them fit into the time of a mail's job.
const LONGEST_TIME_LIMIT: Duration = Duration::from_secs(60);

/// What is wrong with an SMTP URL. Never repeats the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be a URL such as smtps://user:password@mail.example.com or \
    smtp://user:password@mail.example.com:587?tls=required: {0}"
)]
pub struct SmtpUrlError(String);

pub(super) struct Smtp {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    hello: ClientId,
    /// How long connecting may take, and sending.
    time_limit: Duration,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

enum Tls {
    None,
    /// From the first byte on.
    Implicit(TlsParameters),
    /// By STARTTLS where the server offers it.
    Opportunistic(TlsParameters),
    /// By STARTTLS, or not at all.
    Required(TlsParameters),
}

impl Smtp {
    /// Takes the URLs that lettre's `from_url` takes, with the same meaning, and `timeout` in whole
    /// seconds.
    pub(super) fn new(url: &SecretString) -> Result<Self, SmtpUrlError> {
        let url = Url::parse(url.expose_secret()).map_err(|error| SmtpUrlError(error.to_string()))?;
        if !matches!(url.scheme(), "smtp" | "smtps") {
            return Err(SmtpUrlError("it must begin with smtp:// or smtps://".into()));
        }
        if url.path().contains(['@', ':']) {
            return Err(SmtpUrlError("write @ as %40, / as %2F and : as %3A in user and password".into()));
        }
        let host = url.host_str().ok_or_else(|| SmtpUrlError("it names no host".into()))?.to_owned();
        let parameters = || TlsParameters::new(host.clone()).map_err(|error| SmtpUrlError(error.to_string()));
        let mut wanted_tls = None;
        let mut time_limit = LONGEST_TIME_LIMIT;
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), value.parse()) {
                ("tls", _) => wanted_tls = Some(value.into_owned()),
                ("timeout", Ok(seconds @ 1..=60)) => time_limit = Duration::from_secs(seconds),
                ("timeout", _) => return Err(SmtpUrlError("timeout must be 1 to 60 seconds".into())),
                _ => return Err(SmtpUrlError(format!("there is no parameter {name}"))),
            }
        }
        let (tls, default_port) = match (url.scheme(), wanted_tls.as_deref()) {
            ("smtp", None | Some("none")) => (Tls::None, 25),
            ("smtp", Some("opportunistic")) => (Tls::Opportunistic(parameters()?), 587),
            ("smtp", Some("required")) => (Tls::Required(parameters()?), 587),
            ("smtps", None) => (Tls::Implicit(parameters()?), 465),
            ("smtps", Some(_)) => return Err(SmtpUrlError("smtps:// is TLS already, and takes no tls".into())),
            ("smtp", Some(_)) => return Err(SmtpUrlError("tls must be required, opportunistic or none".into())),
            _ => return Err(SmtpUrlError("it must begin with smtp:// or smtps://".into())),
        };
        let decoded = |part: &str| match percent_decode_str(part).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(SmtpUrlError("user or password is not UTF-8".into())),
        };
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (_, None) => return Err(SmtpUrlError("it names a user and no password".into())),
            (user, Some(password)) => Some(Credentials::new(decoded(user)?, decoded(password)?)),
        };
        // Who listens, or answers instead of the server, would have them.
        let may_be_plain = matches!(tls, Tls::None | Tls::Opportunistic(_));
        if credentials.is_some() && may_be_plain && wanted_tls.as_deref() != Some("none") {
            return Err(SmtpUrlError(
                "user and password would go over the network in plain: set tls=required or, where that is meant, tls=none".into(),
            ));
        }
        Ok(Self {
            port: url.port().unwrap_or(default_port),
            hello: match url.path().trim_matches('/') {
                "" => ClientId::default(),
                domain => ClientId::Domain(domain.to_owned()),
            },
            host,
            tls,
            credentials,
            time_limit,
            idle: Mutex::default(),
        })
    }

    /// Takes no longer than twice the time limit.
    pub(super) async fn send(&self, message: &Message) -> Result<(), SendError> {
        timeout(self.time_limit * 2, self.try_send(message)).await.unwrap_or_else(|_| Err(self.late()))
    }

    fn late(&self) -> SendError {
        SendError::Temporary { reply: format!("no answer within {} seconds", self.time_limit.as_secs()) }
    }

    async fn try_send(&self, message: &Message) -> Result<(), SendError> {
        let late = |_| self.late();
        let raw = message.formatted();
        let idle = timeout(self.time_limit, self.idle_connection()).await.map_err(late)?;
        if let Some(mut connection) = idle {
            let sending = converse(&mut connection, message.envelope(), &raw);
            match timeout(self.time_limit, sending).await.map_err(late)? {
                // The server closes a connection that has rested or carried enough: that says
                // nothing about this mail, which it has not taken.
                Err(error) if is_closing(&error) => {}
                outcome => return self.end(connection, outcome),
            }
        }
        // Whatever goes wrong before the mail itself, be it a refused password, is about this
        // deployment and not about the recipient.
        let mut connection = timeout(self.time_limit, self.connect())
            .await
            .map_err(late)?
            .map_err(|error| SendError::Temporary { reply: reply(&error) })?;
        let sending = converse(&mut connection, message.envelope(), &raw);
        let outcome = timeout(self.time_limit, sending).await.map_err(late)?;
        self.end(connection, outcome)
    }

    /// What a conversation about a mail ended with.
    fn end(&self, connection: AsyncSmtpConnection, outcome: Result<(), Error>) -> Result<(), SendError> {
        match outcome {
            Ok(()) => {
                self.park(connection);
                Ok(())
            }
            Err(error) if is_permanent(&error) => Err(SendError::Permanent { reply: reply(&error) }),
            Err(error) => Err(SendError::Temporary { reply: reply(&error) }),
        }
    }

    /// An idle connection that still answers.
    async fn idle_connection(&self) -> Option<AsyncSmtpConnection> {
        while let Some((mut connection, since)) = self.take_idle() {
            let answer = timeout(Duration::from_secs(5), connection.test_connected());
            if since.elapsed() < IDLE_TIME && matches!(answer.await, Ok(true)) {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let implicit = match &self.tls {
            Tls::Implicit(parameters) => Some(parameters.clone()),
            _ => None,
        };
        let address = (self.host.as_str(), self.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, implicit, None).await?;
        match &self.tls {
            Tls::Required(parameters) => connection.starttls(parameters.clone(), &self.hello).await?,
            Tls::Opportunistic(parameters) if connection.can_starttls() => {
                connection.starttls(parameters.clone(), &self.hello).await?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    fn take_idle(&self) -> Option<(AsyncSmtpConnection, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn park(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE_TIME);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push((connection, Instant::now()));
        }
    }
}

/// One mail's conversation, as lettre's `send` has it but for the end: after a refusal that one waits
/// for the answer to a QUIT, and the server's words are lost where none comes.
async fn converse(connection: &mut AsyncSmtpConnection, envelope: &Envelope, raw: &[u8]) -> Result<(), Error> {
    if !raw.is_ascii() {
        // An address that not every server takes; lettre asks this one.
        return connection.send(envelope, raw).await.map(drop);
    }
    connection.command(Mail::new(envelope.from().cloned(), Vec::new())).await?;
    for recipient in envelope.to() {
        connection.command(Rcpt::new(recipient.clone(), Vec::new())).await?;
    }
    connection.command(Data).await?;
    connection.message(raw).await.map(drop)
}

/// The server refused this mail (5xx), or can't take such an address. 530 to 538 ask for a login:
/// not the recipient's doing.
fn is_permanent(error: &Error) -> bool {
    match error.status().map(u16::from) {
        Some(530..=538) => false,
        Some(code) => code >= 500,
        None => error.is_client(),
    }
}

/// The server ends the connection (421), whatever it was asked for.
fn is_closing(error: &Error) -> bool {
    error.status().map(u16::from) == Some(421)
}

/// The server's words with their code, or what happened to the connection.
fn reply(error: &Error) -> String {
    let words = match (error.status(), std::error::Error::source(error)) {
        (Some(code), Some(words)) => format!("{code} {words}"),
        _ => error.to_string(),
    };
    one_line(&words).chars().take(500).collect()
}
