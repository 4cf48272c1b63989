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
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
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

/// What is wrong with an SMTP URL. Never repeats the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error(
    "the SMTP URL must look like smtps://user:password@mail.example.com, \
    smtp://… with ?tls=required or ?tls=opportunistic, or smtp://host:port: \
    {0}"
)]
pub struct SmtpUrlError(String);

pub(super) struct Smtp {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    hello: ClientId,
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
    /// Takes the URLs that lettre's `from_url` takes, with the same meaning.
    pub(super) fn new(url: &SecretString) -> Result<Self, SmtpUrlError> {
        let url = Url::parse(url.expose_secret()).map_err(|error| SmtpUrlError(error.to_string()))?;
        let host = url.host_str().ok_or_else(|| SmtpUrlError("it names no host".into()))?.to_owned();
        let parameters = || TlsParameters::new(host.clone()).map_err(|error| SmtpUrlError(error.to_string()));
        let wanted = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
        let (tls, default_port) = match (url.scheme(), wanted.as_deref()) {
            ("smtp", None) => (Tls::None, 25),
            ("smtp", Some("opportunistic")) => (Tls::Opportunistic(parameters()?), 587),
            ("smtp", Some("required")) => (Tls::Required(parameters()?), 587),
            ("smtps", _) => (Tls::Implicit(parameters()?), 465),
            _ => return Err(SmtpUrlError("unknown scheme or value of tls".into())),
        };
        let decoded = |part: &str| match percent_decode_str(part).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(SmtpUrlError("user or password is not UTF-8".into())),
        };
        let credentials = match url.password() {
            Some(password) => Some(Credentials::new(decoded(url.username())?, decoded(password)?)),
            None => None,
        };
        Ok(Self {
            port: url.port().unwrap_or(default_port),
            hello: match url.path().trim_matches('/') {
                "" => ClientId::default(),
                domain => ClientId::Domain(domain.to_owned()),
            },
            host,
            tls,
            credentials,
            idle: Mutex::default(),
        })
    }

    /// Each of connecting and sending gets `limit`.
    pub(super) async fn send(&self, message: &Message, limit: Duration) -> Result<(), SendError> {
        let late = |_| SendError::Temporary { reply: format!("no answer within {} seconds", limit.as_secs_f32()) };
        // Whatever goes wrong before the mail itself, be it a refused password, is about this
        // deployment and not about the recipient.
        let mut connection = match timeout(limit, self.connection()).await.map_err(late)? {
            Ok(connection) => connection,
            Err(error) => {
                return Err(SendError::Temporary { reply: reply(&error) });
            }
        };
        let raw = message.formatted();
        let sending = connection.send(message.envelope(), &raw);
        match timeout(limit, sending).await.map_err(late)? {
            Ok(_) => {
                self.park(connection);
                Ok(())
            }
            Err(error) if is_permanent(&error) => Err(SendError::Permanent { reply: reply(&error) }),
            Err(error) => Err(SendError::Temporary { reply: reply(&error) }),
        }
    }

    /// An idle connection that still answers, or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, Error> {
        while let Some((mut connection, since)) = self.take_idle() {
            let answer = timeout(Duration::from_secs(5), connection.test_connected());
            if since.elapsed() < IDLE_TIME && matches!(answer.await, Ok(true)) {
                return Ok(connection);
            }
        }
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

/// The server refused this mail (5xx), or can't take such an address. 530 to 538 ask for a login:
/// not the recipient's doing.
fn is_permanent(error: &Error) -> bool {
    match error.status().map(u16::from) {
        Some(530..=538) => false,
        Some(code) => code >= 500,
        None => error.is_client(),
    }
}

/// The server's words with their code, or what happened to the connection.
fn reply(error: &Error) -> String {
    let words = match (error.status(), std::error::Error::source(error)) {
        (Some(code), Some(words)) => format!("{code} {words}"),
        _ => error.to_string(),
    };
    one_line(&words).chars().take(500).collect()
}
