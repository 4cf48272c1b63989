//! HTTP: GraphQL, the playground, the pages behind emailed links, and the health checks.

mod admission;
mod bodies;
mod client;
mod cors;
mod event_stream;
mod form;
mod graphql;
mod log;
mod mailbox;
mod metrics;
mod pages;
mod persisted;
mod playground;
mod request_id;
mod secure;
mod server;
mod subscriptions;
mod unsent;
mod websocket;

#[cfg(test)]
pub use playground::TABS;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apalis_diesel::correlation;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use ipnet::IpNet;
use rollcall_domain::Error;
use rollcall_domain::account::authentication::{self, OnBehalfOf};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::id::UserId;
use rollcall_domain::base::keyed::Keyed;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::database::{Database, Endpoint};
use rollcall_domain::start::settings::{Settings, StaffToken};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Layer;
use tracing::Instrument as _;

use crate::graphql::{Hub, Request as GraphqlRequest, Schema, UNAVAILABLE, asked_by, schema, sdl};
use crate::issuers::Issuers;
use admission::Admission;
use client::Client;
use graphql::{MediaType, Part, RequestLimits};
use server::ConnectionInUse;
use subscriptions::Subscriptions;

/// How long requests in progress may take after the API was asked to stop.
const SHUTDOWN: Duration = Duration::from_secs(15);

/// The state that handlers share.
#[derive(Clone)]
pub struct App {
    schema: Schema,
    request_limits: Arc<RequestLimits>,
    admission: Admission,
    subscriptions: Subscriptions,
    database: Database,
    connections: Arc<ConnectionShares>,
    staff_tokens: Arc<Vec<StaffToken>>,
    trusted_proxies: Arc<Vec<IpNet>>,
    /// The origins of browser apps that may call the API, besides its own.
    allowed_origins: Arc<Vec<String>>,
    /// The URL by which people reach the service.
    public_url: Arc<PublicUrl>,
    /// The issuers whose tokens are accepted.
    issuers: Arc<Issuers>,
}

/// Whether /mail shows emails, which are then files: only without an SMTP server, and only if the service is local.
pub fn shows_mails(settings: &Settings) -> bool {
    settings.rollcall_smtp_url.is_none() && settings.is_local()
}

/// All routes of the API.
fn router(
    settings: &Settings,
    database: Database,
    public_url: Arc<PublicUrl>,
    trusted_proxies: Arc<Vec<IpNet>>,
    hub: Hub,
    subscriptions: Subscriptions,
) -> anyhow::Result<Router> {
    let origins = settings.allowed_origins()?;
    let app = App {
        schema: schema(public_url.clone(), hub),
        request_limits: Arc::new(RequestLimits::new(&sdl())?),
        admission: Admission::new(),
        subscriptions,
        database,
        connections: Arc::default(),
        staff_tokens: Arc::new(settings.staff_tokens()?),
        trusted_proxies,
        allowed_origins: Arc::new(origins.clone()),
        public_url: public_url.clone(),
        issuers: Arc::new(Issuers::new(settings.issuers()?)?),
    };
    let graphql_path = Route::Graphql.path();
    // Not all clients follow redirects, so the path with a slash is a route, too.
    let graphql_path_with_slash = format!("{graphql_path}/");
    let mut router = Router::new()
        .merge(playground::router(&public_url, shows_mails(settings)))
        .merge(playground::stylesheet())
        .merge(pages::router(app.clone()))
        .route(&graphql_path, any(answer))
        .route(&graphql_path_with_slash, any(answer))
        .route("/health/live", get(async || "alive"))
        .route("/health/ready", get(ready));
    if shows_mails(settings)
        && let Some(folder) = settings.mail_dir()
    {
        router = router.merge(mailbox::router(public_url, folder));
    }
    let layers = tower::ServiceBuilder::new()
        .layer(from_fn(metrics::count))
        .layer(from_fn_with_state(app.clone(), secure::protect))
        .layer(from_fn_with_state(app.clone(), admission::admit));
    let router = router.method_not_allowed_fallback(pages::method_not_allowed).fallback(pages::not_found);
    let mut router = router.layer(layers).with_state(app);
    if !origins.is_empty() {
        // CORS wraps everything that may refuse a request, so that apps can read the reason.
        let graphql = cors::layer(&origins)?.layer(router.clone());
        router = Router::new()
            .route_service(&graphql_path, graphql.clone())
            .route_service(&graphql_path_with_slash, graphql)
            .fallback_service(router);
    }
    Ok(router.layer(from_fn(request_id::identify)))
}

/// Serves the API until `shutdown` is cancelled. Calls `listening` with its address. `direct` leads to the database
/// without a pooler.
pub async fn serve(
    settings: &Settings,
    database: Database,
    direct: Endpoint,
    shutdown: CancellationToken,
    listening: impl FnOnce(SocketAddr, &PublicUrl),
) -> anyhow::Result<()> {
    use anyhow::Context;
    metrics::describe();
    admission::describe();
    subscriptions::describe();
    let address = settings.rollcall_listen;
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("ROLLCALL_LISTEN: can't listen on {address}"))?;
    let address = listener.local_addr()?;
    let trusted_proxies = Arc::new(settings.trusted_proxies()?);
    let public_url = Arc::new(settings.public_url_at(address)?);
    if !public_url.is_https() && !public_url.is_loopback() {
        tracing::warn!(
            "ROLLCALL_PUBLIC_URL begins with http://: what people type, and what signs them in, can be read on the way"
        );
    }
    let (hub, most_connections) = (Hub::default(), server::most_connections());
    let subscriptions = Subscriptions::new(most_connections, shutdown.clone());
    let upgraded = subscriptions.upgraded.clone();
    tokio::spawn(hub.clone().run(direct, shutdown.clone()));
    let router = router(settings, database, public_url.clone(), trusted_proxies.clone(), hub, subscriptions)?;
    let work = server::WorkThreads::start()?;
    let serving = async {
        server::serve(listener, router, work.clone(), trusted_proxies, most_connections, shutdown.clone()).await;
        upgraded.close();
        upgraded.wait().await;
    };
    listening(address, &public_url);
    tokio::select! {
        () = serving => {}
        // Requests that haven't finished by then are aborted.
        () = async { shutdown.cancelled().await; tokio::time::sleep(SHUTDOWN).await } => {}
    }
    Ok(())
}

/// How many of the process's database connections each client and each account may use at a time.
#[derive(Default)]
struct ConnectionShares {
    clients: Keyed<ClientNetwork, Semaphore>,
    accounts: Keyed<UserId, Semaphore>,
}

impl App {
    /// The same state for the requests of one client. They leave some connections to others, even while all of theirs
    /// wait for a lock.
    fn for_client(&self, client: ClientNetwork) -> Self {
        let part = self.connections.clients.get(client, || Semaphore::new(limits::CONNECTIONS_OF_CLIENT));
        Self { database: self.database.within(part), ..self.clone() }
    }

    /// The same state for the requests of one account, from whichever client.
    fn for_account(self, actor: &Actor) -> Self {
        let Some(account) = actor.account() else { return self };
        let part = self.connections.accounts.get(account, || Semaphore::new(limits::CONNECTIONS_OF_ACCOUNT));
        Self { database: self.database.within(part), ..self }
    }
}

async fn ready(State(app): State<App>) -> Response {
    if app.database.is_ready().await {
        "ready".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the database can't be reached").into_response()
    }
}

/// The client's User-Agent.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    headers.get(header::USER_AGENT)?.to_str().ok().map(ToOwned::to_owned)
}

/// Why nobody can be authenticated by a token.
struct Unidentified {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Unidentified {
    /// The same as the end of a subscription.
    fn part(&self) -> Part {
        Part::failed(self.code, &self.message, self.retry_after)
    }
}

/// Finds out whose token it is.
async fn identify(app: &App, credentials: &Credentials) -> Result<Actor, Unidentified> {
    let unidentified =
        |status, code, message| Unidentified { status, code, message: Cow::Borrowed(message), retry_after: None };
    match authenticate(app, credentials).await {
        Ok(actor) => Ok(actor),
        Err(Error::Unauthenticated) => {
            let message = match credentials.on_behalf_of {
                None => "the credentials are unknown, expired or revoked; sign in again",
                Some(_) => {
                    "nobody acts on this person's behalf: the platform key is unknown, expired or revoked, it lacks the \
                     scope ACT_FOR_USERS, or no account that may act has this id"
                }
            };
            Err(unidentified(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message))
        }
        // Somebody whom an issuer signs in, but who can't sign in here.
        Err(Error::Refused(refusals)) if refusals.iter().all(|refusal| refusal.is_on("")) => {
            let message = refusals.into_iter().next().map(|refusal| Cow::Owned(refusal.message)).unwrap_or_default();
            let refused = unidentified(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "");
            Err(Unidentified { message, ..refused })
        }
        Err(error @ (Error::Unavailable(_) | Error::Refused(_))) => {
            log::unavailable(&error, 1);
            let busy = unidentified(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", UNAVAILABLE);
            Err(Unidentified { retry_after: Some(limits::RETRY_AFTER), ..busy })
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "nobody can be authenticated");
            let message = "something went wrong here; try again in a moment";
            Err(unidentified(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message))
        }
    }
}

/// Answers GraphQL requests. Only bearer tokens are accepted, so that no other site can act with a browser's cookies.
async fn answer(State(app): State<App>, Client(client): Client, request: Request) -> Response {
    let app = app.for_client(client);
    let headers = request.headers();
    let media_type = MediaType::of(headers);
    let refuse = |status, code, message: &str, wait| graphql::refuse(media_type, status, code, message, wait);
    if headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        let message = "send one Authorization header, so that it is clear who asks";
        return refuse(StatusCode::BAD_REQUEST, "BAD_REQUEST", message, None);
    }
    let on_behalf_of = match on_behalf_of(headers) {
        Ok(named) => named,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, "BAD_REQUEST", message, None),
    };
    let idempotency_key = match idempotency_key(headers) {
        Ok(key) => key,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, "BAD_REQUEST", message, None),
    };
    if websocket::is_wanted(headers) {
        return websocket::open(app, client, on_behalf_of, request).await;
    }
    let actor = match (headers.get(header::AUTHORIZATION), on_behalf_of) {
        (None, None) => None,
        (credentials, on_behalf_of) => {
            let token = credentials.and_then(|credentials| credentials.to_str().ok()).and_then(bearer_token);
            let token = token.unwrap_or_default().to_owned().into();
            match identify(&app, &Credentials { token, on_behalf_of, user_agent: user_agent(headers) }).await {
                Ok(actor) => Some(actor),
                Err(Unidentified { status, code, message, retry_after }) => {
                    return refuse(status, code, &message, retry_after);
                }
            }
        }
    };
    let app = match &actor {
        Some(actor) => app.for_account(actor),
        None => app,
    };
    let connection = request.extensions().get::<ConnectionInUse>().cloned();
    let user_agent = user_agent(headers);
    let is_repeatable = idempotency_key.is_some();
    let answering = async move {
        let who = || GraphqlRequest::new(actor.clone(), user_agent.clone(), client);
        let prepare = |request| asked_by(who().with_idempotency_key(idempotency_key), &app.database, request);
        let subscribe = |subscription| event_stream::answer(app.clone(), connection.as_ref(), who(), subscription);
        graphql::execute(&app.schema, &app.request_limits, client, request, prepare, subscribe).await
    };
    match is_repeatable {
        true => to_its_end(answering).await,
        false => answering.await,
    }
}

/// Answers a request even if its client doesn't wait, so that the answer is there when it asks again.
async fn to_its_end(answering: impl Future<Output = Response> + Send + 'static) -> Response {
    let answering = correlation::scope(correlation::current().unwrap_or_default(), answering);
    match tokio::spawn(answering.in_current_span()).await {
        Ok(response) => response,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process ends.
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        },
    }
}

fn bearer_token(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The header that names the person for whom a platform key acts (R86).
const ON_BEHALF_OF: HeaderName = HeaderName::from_static("rollcall-on-behalf-of");

/// The header under whose value a mutation is carried out once (R91).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The request's idempotency key, or why the header can't be read.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.as_bytes(),
        (Some(_), Some(_)) => return Err("send one Idempotency-Key header, so that it is clear which one counts"),
    };
    let fits = (1..=limits::IDEMPOTENCY_KEY).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    let key = std::str::from_utf8(value).ok().filter(|_| fits);
    key.map(|key| Some(key.to_owned())).ok_or("Idempotency-Key must have 1 to 255 visible ASCII characters")
}

/// What a client shows to be identified by.
#[derive(Clone)]
struct Credentials {
    /// The bearer token.
    token: SecretString,
    /// For whom the token's key acts.
    on_behalf_of: Option<OnBehalfOf>,
    /// The client's User-Agent.
    user_agent: Option<String>,
}

/// For whom a platform key acts, or why the header can't be read.
fn on_behalf_of(headers: &HeaderMap) -> Result<Option<OnBehalfOf>, &'static str> {
    let mut values = headers.get_all(ON_BEHALF_OF).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err("send one Rollcall-On-Behalf-Of header, so that it is clear for whom you act"),
        (Some(value), None) => read_on_behalf_of(value.as_bytes()).map(Some),
    }
}

/// Reads the name of the person for whom a platform key acts.
fn read_on_behalf_of(named: &[u8]) -> Result<OnBehalfOf, &'static str> {
    const UNREADABLE: &str = "Rollcall-On-Behalf-Of must be the id of an account, such as usr_01h455vb4pex5vsknk084sn02q, \
         or `external:` and the platform's own id of it";
    // The platform's own ids may have letters of any script.
    let named = std::str::from_utf8(named).map_err(|_| UNREADABLE)?.trim();
    match named.strip_prefix("external:") {
        Some("") => Err(UNREADABLE),
        Some(external_id) => Ok(OnBehalfOf::ExternalId(external_id.to_owned())),
        None => named.parse().map(OnBehalfOf::Id).map_err(|_| UNREADABLE),
    }
}

async fn authenticate(app: &App, credentials: &Credentials) -> rollcall_domain::Result<Actor> {
    let token = credentials.token.expose_secret();
    if let Some(named) = &credentials.on_behalf_of {
        return authentication::authenticate_on_behalf(&app.database, token, named).await;
    }
    for staff in app.staff_tokens.iter() {
        if same(staff.token.expose_secret(), token) {
            return Ok(Actor::Staff { name: staff.name.clone() });
        }
    }
    match app.issuers.authenticate(&app.database, token, credentials.user_agent.as_deref()).await? {
        Some(actor) => Ok(actor),
        None => authentication::authenticate(&app.database, token).await,
    }
}

/// Compares in constant time, so that the time doesn't reveal where two texts differ.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}
