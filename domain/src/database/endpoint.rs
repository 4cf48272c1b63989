//! Where PostgreSQL is and how to connect to it. Every connection of the service is made here.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, bail};
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_postgres::config::{ChannelBinding, Host, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{CancelToken, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::database::tls::{self, Roots, SslMode};
use crate::database::under_way::UnderWay;
use crate::database::wire::{Ending, StatementNames, Transport, Unanswered, Wire};

/// The parameters that a URL may contain, besides `sslmode` and `sslrootcert`, which work as in libpq.
const PARAMETERS: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "options",
    "password",
    "port",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// The message with which a client asks a server for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A PostgreSQL server, or a pooler in front of it, as a setting gives it. Cloning it is cheap.
#[derive(Clone)]
pub struct Endpoint {
    /// The setting's name, for messages to whoever must change it.
    setting: &'static str,
    config: Arc<Config>,
    mode: SslMode,
    tls: Option<MakeRustlsConnect>,
    is_pooler: bool,
    names: StatementNames,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", self.place())
    }
}

impl Endpoint {
    /// Parses the URL of a setting. `ca` is the file of ROLLCALL_DATABASE_CA.
    ///
    /// # Errors
    /// The error is one line that names the setting and the problem, and contains no password.
    pub fn parse(setting: &'static str, url: &str, ca: Option<&Path>) -> anyhow::Result<Self> {
        Self::read(setting, url, ca).with_context(|| setting.to_owned())
    }

    fn read(setting: &'static str, url: &str, ca: Option<&Path>) -> anyhow::Result<Self> {
        let Some((scheme @ ("postgres" | "postgresql"), rest)) = url.split_once("://") else {
            bail!("must be a URL such as postgres://user:password@host:5432/database");
        };
        let (credentials, rest) = match rest.split_once('@') {
            Some((credentials, rest)) => (format!("{credentials}@"), rest),
            None => (String::new(), rest),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if place.contains('@') {
            bail!("write @ as %40 in the user's name and the password");
        }
        let (mut mode, mut root_file, mut kept) = (SslMode::Prefer, None, Vec::new());
        let mut names = HashSet::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').with_context(|| format!("the parameter {pair} has no value"))?;
            if !names.insert(name) {
                bail!("the parameter {name} is given twice");
            }
            let decoded = || percent_decode_str(value).decode_utf8().context("a parameter isn't UTF-8");
            match name {
                "sslmode" => {
                    mode = SslMode::parse(&decoded()?)
                        .with_context(|| format!("sslmode must be one of {}", SslMode::names()))?;
                }
                "sslrootcert" => root_file = Some(PathBuf::from(decoded()?.into_owned())),
                _ if PARAMETERS.contains(&name) => kept.push(pair),
                _ => bail!("there is no parameter {name}; it may have sslmode, sslrootcert, {}", PARAMETERS.join(", ")),
            }
        }
        let mut config: Config = format!("{scheme}://{credentials}{place}?{}", kept.join("&"))
            .parse()
            .map_err(|error: tokio_postgres::Error| anyhow::anyhow!(reason(&error)))?;
        for address in config.get_hostaddrs().to_vec() {
            if config.get_hosts().len() < config.get_hostaddrs().len() {
                config.host(address.to_string());
            }
        }
        let is_socket = |host: &Host| matches!(host, Host::Unix(_));
        match config.get_hosts() {
            [] => bail!("names no host"),
            [_] => {}
            hosts if hosts.iter().any(is_socket) => bail!("a Unix socket can't be one of several hosts"),
            _ => {}
        }
        // The dialer does the TLS handshake, so tokio-postgres must not.
        config.ssl_mode(tokio_postgres::config::SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        if config.get_hosts().iter().any(is_socket) {
            // As in libpq: nobody can listen in between.
            mode = SslMode::Disable;
        }
        let roots = match (&root_file, ca) {
            (Some(file), _) if file.as_os_str() == "system" => Roots::System,
            (Some(file), _) => Roots::File(file),
            (None, Some(file)) => Roots::CaSetting(file),
            (None, None) => Roots::Unnamed,
        };
        let tls = tls::connector(mode, roots, config.get_channel_binding() == ChannelBinding::Require)?;
        Ok(Self { setting, config: Arc::new(config), mode, tls, is_pooler: false, names: StatementNames::Kept })
    }

    /// The same endpoint as a pooler, which gives each transaction another server connection.
    pub(crate) fn behind_pooler(self, keeps_statements: bool) -> Self {
        let names = if keeps_statements { StatementNames::Kept } else { StatementNames::Removed };
        Self { is_pooler: true, names, ..self }
    }

    /// Whether each transaction may run on another server connection. Settings of a session then don't stay with the
    /// client that made them.
    pub(crate) fn is_pooler(&self) -> bool {
        self.is_pooler
    }

    /// The name of the setting that gives it.
    pub(crate) fn setting(&self) -> &'static str {
        self.setting
    }

    /// Whether the server's certificate is verified if a CA is given: `sslmode` is require, verify-ca or verify-full.
    pub(crate) fn judges_server(&self) -> bool {
        matches!(self.mode, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull)
    }

    /// Whether the settings don't say whether TLS is wanted.
    pub(crate) fn leaves_tls_open(&self) -> bool {
        self.mode == SslMode::Prefer
    }

    /// The same endpoint without names for statements, which works with any pooler.
    pub(super) fn without_statement_names(&self) -> Self {
        Self { names: StatementNames::Removed, ..self.clone() }
    }

    /// Whether statements have names on its connections.
    pub(super) fn names_statements(&self) -> bool {
        self.names == StatementNames::Kept
    }

    /// The path of the socket, if the endpoint is one on this machine.
    fn socket(&self) -> Option<PathBuf> {
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        match self.config.get_hosts() {
            [Host::Unix(folder)] => Some(folder.join(format!(".s.PGSQL.{port}"))),
            _ => None,
        }
    }

    /// The host, port, database and user, for people to read.
    pub fn place(&self) -> String {
        let ports = self.config.get_ports();
        let port = |number: usize| ports.get(number).or(ports.first()).copied().unwrap_or(5432);
        let hosts: Vec<String> = (self.config.get_hosts().iter().enumerate())
            .map(|(number, host)| match host {
                Host::Tcp(name) => format!("{name}:{}", port(number)),
                Host::Unix(folder) => folder.join(format!(".s.PGSQL.{}", port(number))).display().to_string(),
            })
            .collect();
        let user = self.config.get_user().map(|user| format!(" as {user}")).unwrap_or_default();
        let database = self.config.get_dbname().map(|name| format!(" (database {name}{user})")).unwrap_or_default();
        format!("{}{database}", hosts.join(", "))
    }

    /// Connects. LISTEN doesn't work on this connection; see [`connect_to_listen`](Self::connect_to_listen).
    ///
    /// # Errors
    /// The error is one line that names the setting, the host and the reason.
    pub async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        let Some(socket) = self.socket() else { return self.connect_to_listen().await };
        let mut dialers = self.dialers(Ending::Ours);
        let dialer = dialers.remove(0);
        let (under_way, dialer) = (UnderWay::on(dialer.unanswered.clone()), dialer.to_host(""));
        let connecting = async {
            let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
            self.config.connect_raw(stream, dialer).await.map_err(|error| reason(&error))
        };
        let (client, connection) = connecting.await.map_err(|reason| self.failure(&reason, ""))?;
        tokio::spawn(async move {
            // Whoever waits for an answer gets the error.
            let _ = connection.await;
        });
        let mut connection = AsyncPgConnection::try_from(client).await?;
        connection.set_instrumentation(under_way);
        Ok(connection)
    }

    /// Connects, and receives notifications.
    ///
    /// # Errors
    /// The same as those of [`connect`](Self::connect).
    pub async fn connect_to_listen(&self) -> ConnectionResult<AsyncPgConnection> {
        if self.socket().is_some() {
            let mut config = Config::clone(&self.config);
            // tokio-postgres allows no custom stream here, so errors on this connection have no code.
            config.ssl_mode(tokio_postgres::config::SslMode::Disable).ssl_negotiation(SslNegotiation::Postgres);
            let (client, connection) =
                config.connect(NoTls).await.map_err(|error| self.failure(&reason(&error), ""))?;
            return AsyncPgConnection::try_from_client_and_connection(client, connection).await;
        }
        let mut failure = None;
        for dialer in self.dialers(Ending::Ours) {
            let under_way = UnderWay::on(dialer.unanswered.clone());
            match self.config.connect(dialer).await {
                Ok((client, connection)) => {
                    let mut connection = AsyncPgConnection::try_from_client_and_connection(client, connection).await?;
                    connection.set_instrumentation(under_way);
                    return Ok(connection);
                }
                Err(error) => {
                    // Without TLS the server would refuse the client for the same reason, unless the lack of TLS is the
                    // reason.
                    let is_final =
                        error.code().is_some_and(|code| *code != SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
                    failure = Some(error);
                    if is_final {
                        break;
                    }
                }
            }
        }
        let (reason, remedy) = failure.map(|error| (reason(&error), self.remedy(&error))).unwrap_or_default();
        Err(self.failure(&reason, remedy))
    }

    /// Cancels the statement that runs on one of the endpoint's connections.
    pub(super) async fn cancel(&self, statement: CancelToken) -> Result<(), tokio_postgres::Error> {
        let mut outcome = Ok(());
        for dialer in self.dialers(Ending::Servers) {
            outcome = match self.socket() {
                None => statement.cancel_query(dialer).await,
                Some(socket) => match UnixStream::connect(socket).await {
                    Ok(stream) => statement.cancel_query_raw(stream, dialer.to_host("")).await,
                    // The connection has ended together with its server.
                    Err(_) => Ok(()),
                },
            };
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// The dialers to try, one after the other.
    fn dialers(&self, ending: Ending) -> Vec<Dialer> {
        let dialer = |tls, is_tls_required| Dialer {
            tls,
            is_tls_required,
            names: self.names,
            ending,
            unanswered: Unanswered::default(),
        };
        match (self.mode, &self.tls) {
            (_, None) => vec![dialer(None, false)],
            (SslMode::Prefer, Some(tls)) => vec![dialer(Some(tls.clone()), false), dialer(None, false)],
            (_, Some(tls)) => vec![dialer(Some(tls.clone()), true)],
        }
    }

    fn failure(&self, reason: &str, remedy: &str) -> ConnectionError {
        ConnectionError::BadConnection(format!("{}: can't connect to {}: {reason}{remedy}", self.setting, self.place()))
    }

    /// A probable remedy, worded as the end of a sentence.
    fn remedy(&self, error: &tokio_postgres::Error) -> &'static str {
        // A pooler says this without a code of its own.
        let wants_tls = error.as_db_error().is_some_and(|error| error.message() == "SSL required");
        if (wants_tls || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)) && self.tls.is_none() {
            return "; if the server takes only TLS, set sslmode=require, or better verify-full";
        }
        if error.code() == Some(&SqlState::INVALID_PASSWORD)
            || error.as_db_error().is_some_and(|error| error.message().ends_with("authentication failed"))
        {
            return "; the user or the password is wrong";
        }
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
                Some(inner) if inner.is::<rustls::Error>() => {
                    return match inner.downcast_ref() {
                        Some(rustls::Error::InvalidCertificate(
                            rustls::CertificateError::UnknownIssuer
                            | rustls::CertificateError::BadSignature
                            | rustls::CertificateError::Other(_),
                        )) => {
                            "; name the file of its CA, or of its own certificate if it has made that, in ROLLCALL_DATABASE_CA"
                        }
                        Some(rustls::Error::InvalidCertificate(
                            rustls::CertificateError::NotValidForName
                            | rustls::CertificateError::NotValidForNameContext { .. },
                        )) => {
                            "; connect by a name that the certificate has, or set sslmode=verify-ca with the CA given"
                        }
                        Some(rustls::Error::InvalidCertificate(
                            rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. },
                        )) => "; the server needs a new one, and this machine the right time",
                        Some(rustls::Error::General(_)) => {
                            "; make one with alternative names, as openssl's -addext subjectAltName=DNS:host does"
                        }
                        _ => "",
                    };
                }
                _ => {
                    let io = error.downcast_ref::<std::io::Error>();
                    if io.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
                        return "; is PostgreSQL running there?";
                    }
                    if error.to_string().starts_with("failed to lookup address") {
                        return "; is the host's name right?";
                    }
                    cause = error.source();
                }
            }
        }
        ""
    }
}

/// The message of a tokio-postgres error, with its cause.
fn reason(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Turns a stream into a connection's [`Wire`], with TLS as configured.
#[derive(Clone)]
struct Dialer {
    tls: Option<MakeRustlsConnect>,
    is_tls_required: bool,
    names: StatementNames,
    ending: Ending,
    unanswered: Unanswered,
}

impl Dialer {
    fn to_host(&self, host: &str) -> DialHost {
        DialHost { dialer: self.clone(), host: host.to_owned() }
    }
}

impl<S> MakeTlsConnect<S> for Dialer
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Wire<S>;
    type TlsConnect = DialHost;
    type Error = std::convert::Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<DialHost, Self::Error> {
        Ok(self.to_host(host))
    }
}

/// The same for one host, against whose name the certificate is verified.
struct DialHost {
    dialer: Dialer,
    host: String,
}

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

impl<S> TlsConnect<S> for DialHost
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Wire<S>;
    type Error = BoxedError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire<S>, BoxedError>> + Send>>;

    fn connect(self, mut stream: S) -> Self::Future {
        Box::pin(async move {
            let Dialer { tls, is_tls_required, names, ending, unanswered } = self.dialer;
            let Some(mut tls) = tls else { return Ok(Wire::new(Transport::Plain(stream), names, ending, unanswered)) };
            stream.write_all(&SSL_REQUEST).await?;
            stream.flush().await?;
            match stream.read_u8().await? {
                b'S' => {
                    let encrypted =
                        MakeTlsConnect::<S>::make_tls_connect(&mut tls, &self.host)?.connect(stream).await?;
                    Ok(Wire::new(Transport::Encrypted(Box::new(encrypted)), names, ending, unanswered))
                }
                _ if is_tls_required => Err("the server offers no TLS; to go without, set sslmode=disable".into()),
                _ => Ok(Wire::new(Transport::Plain(stream), names, ending, unanswered)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        format!("{:#}", Endpoint::parse("DATABASE_URL", url, None).unwrap_err())
    }

    #[test]
    fn a_url_that_can_not_be_meant_is_refused_without_its_password() {
        for (url, wanted) in [
            ("mysql://app:hunter2@db/app", "must be a URL such as postgres://"),
            ("host=db user=app password=hunter2", "must be a URL such as postgres://"),
            ("postgres://app:hunter2@word@db/app", "write @ as %40"),
            (
                "postgres://app:hunter2@db/app?sslmode=allow",
                "sslmode must be one of disable, prefer, require, verify-ca",
            ),
            (
                "postgres://app:hunter2@db/app?ssl=true",
                "there is no parameter ssl; it may have sslmode, sslrootcert, app",
            ),
            ("postgres://app:hunter2@db/app?pool_size", "the parameter pool_size has no value"),
            ("postgres://app:hunter2@db/app?port=many", "invalid value for option `port`"),
            ("postgres://app:hunter2@/app", "names no host"),
            ("postgres://app:hunter2@db,%2Frun/app", "a Unix socket can't be one of several hosts"),
            ("postgres://app:hunter2@db/app?sslmode=verify-ca", "name its file in ROLLCALL_DATABASE_CA or sslrootcert"),
            ("postgres://app:hunter2@db/app?sslmode=verify-ca&sslrootcert=system", "use sslmode=verify-full"),
            ("postgres://app:hunter2@db/app?sslmode=verify-full&sslrootcert=/none", "the CA file /none can't be read"),
        ] {
            let refusal = refusal(url);
            assert!(refusal.starts_with("DATABASE_URL: ") && refusal.contains(wanted), "{url}: {refusal}");
            assert!(!refusal.contains("hunter2") && !refusal.contains("word@db"), "{refusal}");
        }
    }

    #[test]
    fn a_place_is_told_without_the_password() {
        let place = |url| Endpoint::parse("DATABASE_URL", url, None).unwrap().place();
        assert_eq!(place("postgres://app:hunter2@db.example/rollcall"), "db.example:5432 (database rollcall as app)");
        assert_eq!(place("postgresql://app@a:1,b:2/x?application_name=y"), "a:1, b:2 (database x as app)");
        assert_eq!(
            place("postgres:///x?host=/run/postgresql&user=app"),
            "/run/postgresql/.s.PGSQL.5432 (database x as app)"
        );
        assert_eq!(place("postgres://app@/x?hostaddr=127.0.0.1"), "127.0.0.1:5432 (database x as app)");
    }
}
