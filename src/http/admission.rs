//! The admission of requests, before any work is done for them: the request must be well formed, its body is read, and
//! there must be room for it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apalis_diesel::correlation;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, EXPECT, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt as _;
use metrics::{counter, describe_counter};
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::{PublicUrl, Route};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::bodies::{self, Bodies, OutOfMemory};
use super::client::Client;
use super::graphql::{self, MediaType, OfMutation};
use super::server::ConnectionInUse;
use super::unsent::{HeldBytes, UnsentBytes};
use super::{App, pages};
use crate::graphql::whole_seconds;

const TOO_LARGE: Unread = Unread::Malformed(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 1 MB.");
/// How long an oversized body is still read before the connection is closed.
const LINGER: Duration = Duration::from_secs(2);
const SHED: &str = "rollcall_http_requests_shed_total";

/// Describes the metrics.
pub fn describe() {
    describe_counter!(SHED, "Requests that were sent away with 503, by reason: client, total, memory or time.");
    for reason in ["client", "total", "memory", "time"] {
        counter!(SHED, "reason" => reason).increment(0);
    }
}

/// Counts the requests that are in progress.
#[derive(Clone)]
pub struct Admission {
    total: Arc<Semaphore>,
    clients: Arc<Mutex<HashMap<ClientNetwork, usize>>>,
    bodies: Bodies,
    unsent: UnsentBytes,
}

impl Admission {
    /// An admission with the capacity of the limits.
    pub fn new() -> Self {
        Self {
            total: Arc::new(Semaphore::new(limits::MAX_REQUESTS)),
            clients: Arc::default(),
            bodies: Bodies::default(),
            unsent: UnsentBytes::default(),
        }
    }

    /// Takes a place for a request of the client. `None` if it has as many in progress as it may: at most
    /// [`limits::MAX_REQUESTS_OF_CLIENT`], and fewer than the places that are left for everybody. However many clients
    /// take all they can get, a new client thus finds as much room as each of them has.
    fn of_client(&self, client: ClientNetwork) -> Option<ClientPlace> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = clients.get(&client).copied().unwrap_or_default();
        let left = self.total.available_permits();
        if under_way >= limits::MAX_REQUESTS_OF_CLIENT || (under_way > 0 && under_way >= left) {
            return None;
        }
        clients.insert(client, under_way + 1);
        Some(ClientPlace { clients: self.clients.clone(), client })
    }

    /// Makes room for a part of a client's subscription until it has been sent, like for a response. `None` if there
    /// is none.
    pub fn hold_unsent(&self, client: ClientNetwork, bytes: usize) -> Option<HeldBytes> {
        self.unsent.hold(client, bytes)
    }

    fn of_all(&self) -> Option<OwnedSemaphorePermit> {
        self.total.clone().try_acquire_owned().ok()
    }
}

/// The places and the memory that a response occupies until it has been sent.
#[derive(Clone)]
pub struct Places {
    _places: Arc<(RequestPlace, HeldBytes)>,
}

/// The places that a request takes up, its client's and everybody's, until the last copy of this is dropped.
#[derive(Clone)]
struct RequestPlace {
    _places: Arc<(ClientPlace, OwnedSemaphorePermit)>,
}

/// A place among the requests of a client, until this value is dropped.
struct ClientPlace {
    clients: Arc<Mutex<HashMap<ClientNetwork, usize>>>,
    client: ClientNetwork,
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = clients.get_mut(&self.client) {
            *under_way -= 1;
            if *under_way == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// The form in which a refusal is sent.
#[derive(Clone)]
enum RefusalForm {
    Graphql(MediaType),
    Page(Arc<PublicUrl>),
}

impl RefusalForm {
    fn of(request: &Request, public_url: &Arc<PublicUrl>) -> Self {
        match request.uri().path().trim_end_matches('/') == Route::Graphql.path() {
            true => Self::Graphql(MediaType::of(request.headers())),
            false => Self::Page(public_url.clone()),
        }
    }

    fn refuse(self, status: StatusCode, code: &'static str, message: &str, retry_after: Option<Duration>) -> Response {
        match self {
            Self::Graphql(media_type) => graphql::refuse(media_type, status, code, message, retry_after),
            Self::Page(public_url) => {
                let mut response = pages::refusal(&public_url, status, message);
                if let Some(wait) = retry_after {
                    response.headers_mut().insert(RETRY_AFTER, whole_seconds(wait).into());
                }
                response
            }
        }
    }

    fn bad_request(self, status: StatusCode, message: &str) -> Response {
        self.refuse(status, "BAD_REQUEST", message, None)
    }

    fn shed(self, reason: &'static str, message: &str) -> Response {
        counter!(SHED, "reason" => reason).increment(1);
        self.refuse(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message, Some(limits::RETRY_AFTER))
    }
}

/// Admits a request if it is well formed and there is room for it, and aborts it when its time is up.
pub async fn admit(State(app): State<App>, Client(client): Client, request: Request, next: Next) -> Response {
    let shape = RefusalForm::of(&request, &app.public_url);
    if let Some((status, message)) = malformed(&request) {
        return shape.bad_request(status, message);
    }
    // Probes are always answered, so that an overload doesn't look like a dead process.
    let connection = request.extensions().get::<ConnectionInUse>().cloned();
    let answering = || connection.as_ref().map(ConnectionInUse::answering);
    if request.uri().path().starts_with("/health/") {
        let _answering = answering();
        return next.run(request).await;
    }
    // The body is read before the request takes a place, so that slow senders don't keep others out.
    let mut request = match read(request, &app.admission, client).await {
        Ok(request) => request,
        Err(Unread::Malformed(status, message)) => return shape.bad_request(status, message),
        Err(Unread::NoMemory) => {
            return shape.shed("memory", "You send too much at a time. Wait for some requests to be answered.");
        }
    };
    let _answering = answering();
    let Some(place) = app.admission.of_client(client) else {
        return shape.shed("client", "You have too many requests under way. Wait for some of them to be answered.");
    };
    let Some(place_among_all) = app.admission.of_all() else {
        return shape.shed("total", "The service has too much to do just now. Try again in a moment.");
    };
    let place = RequestPlace { _places: Arc::new((place, place_among_all)) };
    // A request that is carried out to its end, whoever waits for it, keeps its place until then.
    request.extensions_mut().insert(place.clone());
    match timeout(limits::REQUEST_TIMEOUT, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
        Ok(Ok(mut response)) => {
            // The files of pages aren't copied for each response, and what else pages show is small.
            let size = match &shape {
                RefusalForm::Graphql(_) => size_of(&response),
                RefusalForm::Page(_) => 0,
            };
            let Some(held) = app.admission.unsent.hold(client, size) else {
                if response.extensions().get::<OfMutation>().is_some() {
                    let message =
                        "This was done, but too many large answers wait to be read. Read them, and ask for less.";
                    return shape.bad_request(StatusCode::BAD_REQUEST, message);
                }
                return shape.shed("memory", "Too many large answers wait to be read. Read them, and ask for less.");
            };
            response.extensions_mut().insert(Places { _places: Arc::new((place, held)) });
            response
        }
        Ok(Err(panic)) => {
            let cause = panic.downcast_ref::<String>().map(String::as_str);
            let cause = cause.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
            let id = correlation::current().unwrap_or_default();
            tracing::error!(error_id = id, cause, "a request panicked");
            let message = format!("Something went wrong here. Quote {id}.");
            shape.refuse(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", &message, None)
        }
        Err(_) => shape.shed("time", "The request took too long and was given up."),
    }
}

fn size_of(response: &Response) -> usize {
    let size = http_body::Body::size_hint(response.body());
    usize::try_from(size.upper().unwrap_or(size.lower())).unwrap_or(usize::MAX)
}

/// Why a request is malformed. `None` if it isn't.
fn malformed(request: &Request) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    let mut hosts = headers.get_all(HOST).iter();
    // Probes with HTTP/1.0 don't send a Host header.
    let is_named = match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    };
    if !is_named {
        return Some((StatusCode::BAD_REQUEST, "A request names its host in one Host header."));
    }
    if headers.get_all(TRANSFER_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not accepted."));
    }
    is_encoded(headers).then_some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not accepted."))
}

/// Whether a header contains exactly one host, with or without a port.
fn is_host(header: &HeaderValue) -> bool {
    let authority = header.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|host| !host.host().is_empty() && !host.as_str().contains([',', '@']))
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Reads the whole body of a request. It counts until the returned request's [`HeldBody`] is dropped.
async fn read(request: Request, admission: &Admission, client: ClientNetwork) -> Result<Request, Unread> {
    if http_body::Body::is_end_stream(request.body()) {
        return Ok(request);
    }
    let (mut head, mut body) = request.into_parts();
    let mut receiving = admission.bodies.begin(client);
    let aborted = receiving.aborted();
    let whole = async {
        if http_body::Body::size_hint(&body).lower() > limits::BODY as u64 {
            // A client that sends `Expect` waits for permission before it sends the body.
            return Err(if head.headers.contains_key(EXPECT) { TOO_LARGE } else { too_large(&mut body).await });
        }
        // The frames are copied, since each may keep a larger buffer alive. The copy grows by steps that are counted, so
        // that what counts is what it takes up.
        let announced = usize::try_from(http_body::Body::size_hint(&body).lower()).unwrap_or(limits::BODY);
        let mut whole: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|_| Unread::Malformed(StatusCode::BAD_REQUEST, "The body could not be read to its end."))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > limits::BODY {
                return Err(too_large(&mut body).await);
            }
            let free = whole.capacity() - whole.len();
            if data.len() > free {
                let step = data.len().max(announced.saturating_sub(whole.len()).min(STEP));
                receiving.add(step).map_err(|OutOfMemory| Unread::NoMemory)?;
                whole.reserve_exact(step);
            }
            whole.extend_from_slice(&data);
        }
        Ok(Bytes::from(whole))
    };
    let read = tokio::select! {
        read = timeout(limits::BODY_TIMEOUT, whole) => read.ok(),
        () = aborted.notified() => None,
    };
    let slow = Unread::Malformed(StatusCode::REQUEST_TIMEOUT, "The body was sent too slowly.");
    let bytes = read.ok_or(slow)??;
    receiving.complete();
    head.extensions.insert(HeldBody { _body: Arc::new(receiving) });
    Ok(Request::from_parts(head, Body::from(bytes)))
}

/// The number of bytes by which the memory for a body grows at least, unless it is known to be shorter.
const STEP: usize = 64 * 1024;

/// Why the body of a request wasn't read.
enum Unread {
    /// Because of the client.
    Malformed(StatusCode, &'static str),
    /// There is no memory for it.
    NoMemory,
}

/// The memory of a request's body. Whoever needs the body no longer drops it.
#[derive(Clone)]
pub struct HeldBody {
    _body: Arc<bodies::Body>,
}

/// The refusal of an oversized body. Before that, some of the rest of the body is read, because a client that is still
/// sending when the connection is closed doesn't see the response.
async fn too_large(body: &mut Body) -> Unread {
    let _ = timeout(LINGER, async { while let Some(Ok(_)) = body.frame().await {} }).await;
    TOO_LARGE
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn a_newcomer_finds_room_whoever_takes_all_they_can_get() {
        let admission = Admission::new();
        let mut places = Vec::new();
        for last in 1..=9 {
            let client = ClientNetwork::of(IpAddr::from([192, 0, 2, last]));
            while let Some(place) = admission.of_client(client) {
                places.push((place, admission.of_all().expect("there is a place for whoever is let in")));
            }
            let newcomer = ClientNetwork::of(IpAddr::from([198, 51, 100, last]));
            assert!(admission.of_client(newcomer).is_some() && admission.of_all().is_some(), "{last}");
        }
        // A client that is alone has as many places as a client may have.
        drop(places);
        let client = ClientNetwork::of(IpAddr::from([192, 0, 2, 1]));
        let places: Vec<_> = std::iter::from_fn(|| Some((admission.of_client(client)?, admission.of_all()?))).collect();
        assert_eq!(places.len(), limits::MAX_REQUESTS_OF_CLIENT);
    }
}
