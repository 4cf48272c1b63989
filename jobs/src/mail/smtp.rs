//! SMTP with one pool of connections.
//!
//! The connections are lettre's, but the pool isn't. lettre's pool takes back a connection even if its user was
//! cancelled in the middle of a conversation, for example by a timeout. The next email would then take the late
//! response to the previous one for its own. Here, a connection returns to the pool only after an email that went
//! through.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hyper_rustls::ConfigBuilderExt as _;
use lettre::{
    Message,
    address::Envelope,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters},
        commands::{Data, Mail, Noop, Rcpt},
        extension::ClientId,
    },
};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, crypto::ring, pki_types::ServerName},
};
use url::Url;

use super::{
    SendError,
    document::one_line,
    smtp_stream::{self, EncryptedStream, PlainStream},
};

/// How many idle connections are kept, which is one for each handler of emails, and for how long.
const IDLE_CONNECTIONS: usize = 16;
const IDLE_TIME: Duration = Duration::from_secs(60);
/// How long a connection that was idle has to answer. If it doesn't, a new one is made.
const IDLE_ANSWER: Duration = Duration::from_secs(5);

/// This is long enough for a server that examines an email before it responds, and short enough that a job has time
/// for two of them.
const LONGEST_TIME_LIMIT: Duration = Duration::from_secs(60);

/// What is wrong with an SMTP URL. The error never repeats the URL, which may contain a password.
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
    /// How long connecting may take, and how long sending may take.
    time_limit: Duration,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

enum Tls {
    None,
    /// TLS from the first byte on.
    Implicit(TlsConnector),
    /// STARTTLS, if the server offers it.
    Opportunistic(TlsParameters),
    /// STARTTLS; without it, nothing is sent.
    Required(TlsParameters),
}

impl Smtp {
    /// Parses a URL. It accepts the same URLs as lettre's `from_url`, with the same meaning, and also `timeout` in
    /// whole seconds.
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
            ("smtps", None) => (Tls::Implicit(connector()?), 465),
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
        // Otherwise, anybody who listens to the network or impersonates the server would get the credentials.
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

    /// Sends a message. This takes at most twice the time limit.
    pub(super) async fn send(&self, message: &Message) -> Result<(), SendError> {
        timeout(self.time_limit * 2, self.try_send(message)).await.unwrap_or_else(|_| Err(self.late()))
    }

    fn late(&self) -> SendError {
        SendError::Temporary { reply: format!("no answer within {} seconds", self.time_limit.as_secs()) }
    }

    async fn try_send(&self, message: &Message) -> Result<(), SendError> {
        let late = |_| self.late();
        let (envelope, raw) = (message.envelope(), message.formatted());
        while let Some((mut connection, since)) = self.take_idle() {
            if since.elapsed() >= IDLE_TIME {
                continue;
            }
            match timeout(IDLE_ANSWER, begin(&mut connection, envelope, &raw)).await {
                Ok(Ok(())) => {
                    let sending = finish(&mut connection, envelope, &raw);
                    match timeout(self.time_limit, sending).await.map_err(late)? {
                        // The server has had enough emails on this connection. It hasn't accepted this one.
                        Err(error) if is_421(&error) => break,
                        outcome => return self.end(connection, outcome),
                    }
                }
                // The server closes a connection that was idle for long or has carried enough emails. That says
                // nothing about this email, of which the server has accepted nothing.
                Ok(Err(error)) if is_421(&error) || is_broken(&error) => {}
                Ok(Err(error)) => return self.end(connection, Err(error)),
                // If one connection doesn't answer any more, the others won't either.
                Err(_) => self.idle().clear(),
            }
        }
        let mut connection = timeout(self.time_limit, self.connect()).await.map_err(late)??;
        let sending = async {
            begin(&mut connection, envelope, &raw).await?;
            finish(&mut connection, envelope, &raw).await
        };
        let outcome = timeout(self.time_limit, sending).await.map_err(late)?;
        self.end(connection, outcome)
    }

    /// Handles the end of a conversation: returns the connection to the pool or drops it, and converts the outcome.
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

    /// Opens a connection and logs in. Anything that fails there, such as a rejected password, is a problem of this
    /// deployment and not of the recipient.
    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let unreachable =
            |error: io::Error| SendError::Temporary { reply: words(&format!("Connection error: {error}")) };
        let refused = |error: Error| SendError::Temporary { reply: reply(&error) };
        let stream = smtp_stream::connect(&self.host, self.port).await.map_err(unreachable)?;
        let stream: Box<dyn AsyncTokioStream> = match &self.tls {
            Tls::Implicit(connector) => {
                let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other).map_err(unreachable)?;
                Box::new(EncryptedStream(connector.connect(name, stream).await.map_err(unreachable)?))
            }
            Tls::None | Tls::Opportunistic(_) | Tls::Required(_) => Box::new(PlainStream::new(stream)),
        };
        let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &self.hello).await.map_err(refused)?;
        match &self.tls {
            Tls::Required(parameters) => {
                connection.starttls(parameters.clone(), &self.hello).await.map_err(refused)?;
            }
            Tls::Opportunistic(parameters) if connection.can_starttls() => {
                connection.starttls(parameters.clone(), &self.hello).await.map_err(refused)?;
            }
            Tls::None | Tls::Implicit(_) | Tls::Opportunistic(_) => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(refused)?;
        }
        Ok(connection)
    }

    fn take_idle(&self) -> Option<(AsyncSmtpConnection, Instant)> {
        self.idle().pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(AsyncSmtpConnection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn park(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle();
        idle.retain(|(_, since)| since.elapsed() < IDLE_TIME);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push((connection, Instant::now()));
        }
    }
}

/// TLS that judges servers by this machine's certificates.
fn connector() -> Result<TlsConnector, SmtpUrlError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SmtpUrlError(error.to_string()))?
        .with_native_roots()
        .map_err(|_| SmtpUrlError("this machine has no root certificates: install ca-certificates".into()))?;
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

/// Begins to send one email. If this fails because the connection was closed, the email can be sent by another one.
async fn begin(connection: &mut AsyncSmtpConnection, envelope: &Envelope, raw: &[u8]) -> Result<(), Error> {
    match raw.is_ascii() {
        true => connection.command(Mail::new(envelope.from().cloned(), Vec::new())).await.map(drop),
        // lettre sends the whole email; see `finish`.
        false => connection.command(Noop).await.map(drop),
    }
}

/// Sends the rest of one email, like lettre's `send` except for the end. After a refusal, lettre waits for the response
/// to a QUIT, and the server's words are lost if there is none.
async fn finish(connection: &mut AsyncSmtpConnection, envelope: &Envelope, raw: &[u8]) -> Result<(), Error> {
    if !raw.is_ascii() {
        // Not every server accepts such an address; lettre finds out whether this one does.
        return connection.send(envelope, raw).await.map(drop);
    }
    for recipient in envelope.to() {
        connection.command(Rcpt::new(recipient.clone(), Vec::new())).await?;
    }
    connection.command(Data).await?;
    connection.message(raw).await.map(drop)
}

/// Whether the server refused this email for good (5xx), or doesn't support such an address. The codes 530 to 538 ask
/// for a login, so they aren't about the recipient.
fn is_permanent(error: &Error) -> bool {
    match error.status().map(u16::from) {
        Some(530..=538) => false,
        Some(code) => code >= 500,
        None => error.is_client(),
    }
}

/// Whether the server is closing the connection (421), whatever the command was.
fn is_421(error: &Error) -> bool {
    error.status().map(u16::from) == Some(421)
}

/// Whether there is no answer because of the connection.
fn is_broken(error: &Error) -> bool {
    error.status().is_none() && !error.is_client()
}

/// The server's code and words, or what happened to the connection.
fn reply(error: &Error) -> String {
    match (error.status(), std::error::Error::source(error)) {
        (Some(code), Some(reply)) => words(&format!("{code} {reply}")),
        _ => words(&error.to_string()),
    }
}

/// A text on one line, and not too long.
fn words(text: &str) -> String {
    one_line(text).chars().take(500).collect()
}
