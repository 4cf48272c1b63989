//! The HTTP side of webhooks: one signed POST, sent only to the addresses that the webhook's host name resolves to.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use apalis_diesel::JobError;
use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rollcall_domain::base::secret::Keyring;
use rollcall_domain::database;
use rollcall_domain::database::deployment::WebhookTargets;
use rollcall_domain::event::delivery::{Attempt, DueDelivery};
use rollcall_domain::event::target::WebhookKind;
use standardwebhooks::Webhook as Signer;
use tokio::net::TcpStream;
use tokio_rustls::rustls::{self, CertificateError};
use tower::util::MapResponse;
use tower::{Service, ServiceExt};
use url::Url;

use crate::bounded_stream::BoundedStream;

/// The time limit of a request. A receiver that takes longer counts as unreachable.
const TIME_LIMIT: Duration = Duration::from_secs(15);
const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(5);
/// How long idle connections are kept for the next event of a backlog.
const IDLE_TIME: Duration = Duration::from_secs(20);
/// How many bytes a receiver may send before the head of its response ends, with everything that belongs to TLS. hyper
/// reads interim responses (`100 Continue`) without end, in one go, and meanwhile the thread does nothing else.
const HEAD: usize = 64 * 1_024;

/// Sends webhooks. It follows no redirects, uses no proxy, and reads only the status of the response.
pub(crate) struct WebhookClient {
    organizations: Http,
    /// The platform's have connections of their own, so that nobody else's delivery goes over one that leads into the
    /// deployment's network; encrypted and plain ones, which may lead to different addresses.
    platform: Http,
    platform_unencrypted: Http,
    keyring: Keyring,
    targets: WebhookTargets,
}

type Http = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// Connects to receivers, each of which may send so much at a time.
type Connector = MapResponse<HttpConnector<Resolver>, fn(TokioIo<TcpStream>) -> TokioIo<BoundedStream>>;

fn bounded(stream: TokioIo<TcpStream>) -> TokioIo<BoundedStream> {
    TokioIo::new(BoundedStream::new(stream.into_inner(), HEAD, "the head of the response is too long"))
}

/// A client for the webhooks whose names this resolves.
fn http(resolver: Resolver) -> anyhow::Result<Http> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.set_connect_timeout(Some(CONNECT_TIME_LIMIT));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let connector: Connector = ServiceExt::<Uri>::map_response(tcp, bounded);
    let tls = HttpsConnectorBuilder::new().with_native_roots().context(
        "this machine has no root certificates, by which webhooks judge their receivers: install ca-certificates",
    )?;
    let scheme = if resolver.is_encrypted { tls.https_only() } else { tls.https_or_http() };
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME)
        .pool_max_idle_per_host(1)
        .build(scheme.enable_http1().wrap_connector(connector)))
}

impl WebhookClient {
    pub(crate) fn new(keyring: Keyring, targets: WebhookTargets) -> anyhow::Result<Self> {
        let client = |kind, is_encrypted| http(Resolver { targets, kind, is_encrypted });
        Ok(Self {
            organizations: client(WebhookKind::Organization, !targets.allow_http)?,
            platform: client(WebhookKind::Platform, true)?,
            platform_unencrypted: client(WebhookKind::Platform, false)?,
            keyring,
            targets,
        })
    }

    /// Delivers an event. Whatever the receiver does, the result is an attempt; an error means that something is wrong
    /// on our side.
    pub(crate) async fn deliver(&self, due: &DueDelivery) -> Result<Attempt, JobError> {
        database::expect_none_held();
        let kind = due.webhook.kind();
        // The settings may be stricter than when the webhook was created. A host name is resolved and checked when
        // connecting.
        let url = Url::parse(&due.webhook.url).ok().filter(|url| self.targets.check(kind, url).is_ok());
        let Some(uri) = url.as_ref().and_then(|url| url.as_str().parse::<Uri>().ok()) else {
            let error = match kind {
                WebhookKind::Organization => {
                    "the URL isn't allowed here: it must be https and lead to a public address"
                }
                WebhookKind::Platform => "the URL isn't allowed here: it leads to an address that no webhook may have",
            };
            return Ok(failed(None, error));
        };
        let http = match (kind, uri.scheme_str()) {
            (WebhookKind::Organization, _) => &self.organizations,
            (WebhookKind::Platform, Some("https")) => &self.platform,
            (WebhookKind::Platform, _) => &self.platform_unencrypted,
        };
        let request = self.request(uri, due)?;
        let attempt = match tokio::time::timeout(TIME_LIMIT, http.request(request)).await {
            Err(_) => failed(None, format!("no answer within {} seconds", TIME_LIMIT.as_secs())),
            Ok(Err(error)) => failed(None, reason(&error)),
            // The body is dropped unread, and unless it is empty, the connection with it.
            Ok(Ok(response)) => match response.status() {
                status if status.is_success() => {
                    Attempt { response_status: Some(status.as_u16()), error: None, retry_after: None }
                }
                status if status.is_redirection() => failed(Some(status), "redirects aren't followed"),
                status => Attempt {
                    retry_after: retry_after(response.headers(), due.at),
                    ..failed(Some(status), format!("answered {status}"))
                },
            },
        };
        Ok(attempt)
    }

    fn request(&self, uri: Uri, due: &DueDelivery) -> Result<Request<Full<Bytes>>, JobError> {
        let body = due.payload().to_string();
        // The receiver compares this time with its own clock.
        let at = due.at.timestamp();
        let id = due.event.id.to_string();
        let secrets =
            due.signing_secrets(&self.keyring).map_err(|_| JobError::retry("the webhook's secret can't be derived"))?;
        let mut signatures = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let signed = Signer::new(secret.reveal()).and_then(|signer| signer.sign(&id, at, body.as_bytes()));
            signatures.push(signed.map_err(|_| JobError::retry("the delivery can't be signed"))?);
        }
        Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("Rollcall/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signatures.join(" "))
            .body(Full::from(body))
            .map_err(|_| JobError::discard("the delivery makes no request"))
    }
}

fn failed(status: Option<StatusCode>, error: impl Into<String>) -> Attempt {
    Attempt { response_status: status.map(|status| status.as_u16()), error: Some(error.into()), retry_after: None }
}

/// How long the receiver wants us to wait before the next attempt, given in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTime::<Utc>::from(httpdate::parse_http_date(text).ok()?);
    Some((date - now).to_std().unwrap_or_default())
}

/// The root cause of an error, on one line.
fn reason(error: &hyper_util::client::legacy::Error) -> String {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(deeper) = inner(cause) {
        cause = deeper;
    }
    let what = if error.is_connect() { "can't connect" } else { "the connection broke" };
    let cause = match cause.downcast_ref() {
        // rustls would recite the names that are in the certificate.
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "the certificate isn't valid for the host".to_owned(),
        _ => cause.to_string(),
    };
    format!("{what}: {cause}").chars().take(300).collect()
}

/// The error inside another one. An `io::Error` passes over the error that it was made from.
fn inner<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    let made_from = error.downcast_ref().and_then(io::Error::get_ref);
    made_from.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source())
}

/// Resolves host names, and returns only addresses that deliveries may go to. The connection is made to one of these
/// addresses, so it doesn't matter if the name resolves to others a moment later.
#[derive(Clone, Copy)]
struct Resolver {
    targets: WebhookTargets,
    kind: WebhookKind,
    /// Whether all connections are encrypted.
    is_encrypted: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { targets, kind, is_encrypted } = *self;
        Box::pin(async move {
            // A name that doesn't exist gets the same error as one that leads into a private network. Otherwise, the
            // errors would tell which names there are in the network of the deployment.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.into_iter().flatten();
            let allowed: Vec<SocketAddr> =
                found.filter(|address| targets.allow(kind, is_encrypted, address.ip())).collect();
            if allowed.is_empty() {
                return Err(io::Error::other(match kind {
                    WebhookKind::Organization => "the name leads to no public address",
                    WebhookKind::Platform => "the name leads to no address that a webhook of the platform may have",
                }));
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_receiver_wants_is_read_as_seconds_or_as_a_date() {
        let now = DateTime::from_timestamp(784_111_777, 0).unwrap();
        let read = |text: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now).map(|wanted| wanted.as_secs())
        };
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0));
        for nonsense in ["", "soon", "-1", "1.5", "1994-11-06"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_resolves_to_nothing_unless_that_is_allowed() {
        let resolve = async |name: &str, kind, allow_private| {
            let targets = WebhookTargets { allow_http: false, allow_private };
            let mut resolver = Resolver { targets, kind, is_encrypted: true };
            resolver.call(name.parse().unwrap()).await.map(Iterator::count)
        };
        let (organization, platform) = (WebhookKind::Organization, WebhookKind::Platform);
        assert!(resolve("localhost", organization, true).await.unwrap() > 0);
        assert!(resolve("localhost", platform, false).await.unwrap() > 0);
        let refused = resolve("localhost", organization, false).await.unwrap_err();
        assert_eq!(refused.to_string(), "the name leads to no public address");
        // Nobody learns whether there is such a name.
        let unknown = resolve("nowhere.invalid", organization, false).await.unwrap_err();
        assert_eq!(unknown.to_string(), "the name leads to no public address");
    }
}
