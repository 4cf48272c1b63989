//! Subscriptions over a WebSocket with the subprotocol `graphql-transport-ws`
//! (<https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>).
//!
//! async-graphql's implementation of the protocol executes queries and mutations too, has no limits, and ends no
//! connection that says nothing. This one serves only subscriptions, each of which is checked like a request over HTTP.

use std::collections::HashMap;
use std::future::pending;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use rollcall_domain::account::authentication::OnBehalfOf;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::limits;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::graphql::{self, CheckedSubscription, MediaType, Parameters, Part, error_list, has_too_many_values};
use super::server::{Answering, ConnectionInUse};
use super::subscriptions::{self, ConnectionPlace, HeldPart, STOPPING, Transport};
use super::{App, Credentials, ON_BEHALF_OF, Unidentified, bearer_token, identify, read_on_behalf_of, user_agent};
use crate::graphql::Request as GraphqlRequest;

const PROTOCOL: &str = "graphql-transport-ws";

/// The close codes of the protocol, and those of WebSockets.
mod code {
    pub const GOING_AWAY: u16 = 1001;
    pub const TOO_BIG: u16 = 1009;
    pub const TRY_AGAIN: u16 = 1013;
    pub const BAD_REQUEST: u16 = 4400;
    pub const UNAUTHORIZED: u16 = 4401;
    pub const FORBIDDEN: u16 = 4403;
    pub const INIT_TIMEOUT: u16 = 4408;
    pub const ALREADY_EXISTS: u16 = 4409;
    pub const TOO_MANY_INITS: u16 = 4429;
}

/// The maximum length in bytes of the id that a client gives a subscription.
const LONGEST_ID: usize = 128;
/// The maximum length in bytes of the reason in a close frame.
const LONGEST_REASON: usize = 123;
/// How long the client may take to agree that the connection is closed.
const CLOSING: Duration = Duration::from_secs(1);
/// The buffer for what is received. Larger messages get a larger one.
const BUFFER: usize = 4 * 1024;

/// Whether a request asks for a WebSocket.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let upgrades = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    upgrades.flat_map(|value| value.split(',')).any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// Opens a WebSocket, or says why not.
pub async fn open(app: App, client: ClientNetwork, on_behalf_of: Option<OnBehalfOf>, request: Request) -> Response {
    let (mut head, _) = request.into_parts();
    let refuse = |status, message: &str| graphql::refuse(MediaType::Json, status, "BAD_REQUEST", message, None);
    if !comes_from_known_origin(&app, &head.headers) {
        let message =
            "a browser app on this origin may not connect; the operator can list it in ROLLCALL_ALLOWED_ORIGINS";
        return refuse(StatusCode::FORBIDDEN, message);
    }
    let connection = head.extensions.get::<ConnectionInUse>().cloned();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut head, &app).await else {
        return refuse(StatusCode::BAD_REQUEST, "this isn't how a WebSocket of version 13 is opened");
    };
    let upgrade = upgrade.protocols([PROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return refuse(StatusCode::BAD_REQUEST, "the only subprotocol here is graphql-transport-ws; ask for it");
    }
    let place = match app.subscriptions.connect(Transport::WebSocket, client) {
        Ok(place) => place,
        Err(refusal) => {
            let (status, wait) = (refusal.status(), refusal.retry_after());
            return graphql::refuse(MediaType::Json, status, refusal.code, refusal.message, wait);
        }
    };
    let upgrade = upgrade
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * limits::ANSWER)
        .max_message_size(limits::WEBSOCKET_MESSAGE)
        .max_frame_size(limits::WEBSOCKET_MESSAGE);
    let answering = connection.as_ref().map(ConnectionInUse::answering);
    let upgraded = app.subscriptions.upgraded.clone();
    upgrade.on_upgrade(move |socket| {
        let connection = Connection::new(app, client, on_behalf_of, &head, place, answering);
        upgraded.track_future(connection.serve(socket))
    })
}

/// Whether the connection may come from where it says. Programs don't say it. Browsers do, and they let any site open a
/// WebSocket anywhere; the token keeps other sites out, so this only tells a developer early what is wrong.
fn comes_from_known_origin(app: &App, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_here = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
    is_here || app.public_url.origin() == origin || app.allowed_origins.iter().any(|allowed| allowed == origin)
}

/// A message of the client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ClientMessage {
    ConnectionInit { payload: Option<Map<String, Value>> },
    Ping,
    Pong,
    Subscribe { id: String, payload: Parameters },
    Complete { id: String },
}

/// Why the server closes a connection.
struct Close {
    code: u16,
    reason: String,
}

impl Close {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        Self { code, reason }
    }
}

/// What ends the service of a connection.
enum End {
    /// The server closes it.
    Close(Close),
    /// The client closes it, and waits for the answer to its close frame.
    Closed,
    /// The client is gone, or doesn't read.
    Gone,
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Close(close)
    }
}

/// Who a connection belongs to.
struct Identity {
    credentials: Credentials,
    actor: Actor,
    /// The state for this actor's requests.
    app: App,
}

/// A subscription of a connection. Clients may use its id again once it has ended, but not its number.
struct Subscribed {
    number: u64,
    _run: AbortOnDropHandle<()>,
}

/// The number and the id of a subscription.
type Key = (u64, String);

/// The state of a connection.
struct Connection {
    app: App,
    client: ClientNetwork,
    user_agent: Option<String>,
    /// The token of the HTTP request, if it had one.
    header_token: Option<SecretString>,
    /// For whom the token's key acts.
    on_behalf_of: Option<OnBehalfOf>,
    identity: Option<Identity>,
    has_begun: bool,
    subscribed: HashMap<String, Subscribed>,
    last_number: u64,
    sender: mpsc::Sender<(Key, HeldPart)>,
    parts: mpsc::Receiver<(Key, HeldPart)>,
    _place: ConnectionPlace,
    /// Keeps the connection from being closed for new ones.
    _answering: Option<Answering>,
}

impl Connection {
    fn new(
        app: App,
        client: ClientNetwork,
        on_behalf_of: Option<OnBehalfOf>,
        head: &Parts,
        place: ConnectionPlace,
        answering: Option<Answering>,
    ) -> Self {
        let authorization = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // One message at a time waits for the client, however many subscriptions there are.
        let (sender, parts) = mpsc::channel(1);
        Self {
            app,
            client,
            user_agent: user_agent(&head.headers),
            header_token: authorization.map(token_of),
            on_behalf_of,
            identity: None,
            has_begun: false,
            subscribed: HashMap::new(),
            last_number: 0,
            sender,
            parts,
            _place: place,
            _answering: answering,
        }
    }

    /// Serves the connection to its end.
    async fn serve(mut self, mut socket: WebSocket) {
        let end = self.converse(&mut socket).await;
        // The subscriptions end first, so that nothing is read from the database any more.
        drop(self);
        let closing = async {
            let is_closing = match end {
                End::Close(Close { code, reason }) => {
                    let frame = CloseFrame { code, reason: reason.into() };
                    socket.send(Message::Close(Some(frame))).await.is_ok()
                }
                // The library sends its answer to the client's close frame when it is next asked to read.
                End::Closed => true,
                End::Gone => false,
            };
            if is_closing {
                while let Some(Ok(_)) = socket.recv().await {}
            }
        };
        let _ = timeout(CLOSING, closing).await;
    }

    async fn converse(&mut self, socket: &mut WebSocket) -> End {
        let shutdown = self.app.subscriptions.shutdown.clone();
        let began = Instant::now();
        let (mut heard, mut pinged) = (began, began);
        loop {
            let next = match self.identity {
                Some(_) => pinged + limits::WEBSOCKET_PING,
                None => began + limits::CONNECTION_INIT_TIMEOUT,
            };
            let outcome = tokio::select! {
                biased;
                () = shutdown.cancelled() => Err(Close::new(code::GOING_AWAY, STOPPING).into()),
                () = sleep_until(next) => {
                    if self.identity.is_none() {
                        Err(Close::new(code::INIT_TIMEOUT, "Connection initialisation timeout").into())
                    } else if heard < pinged {
                        Err(End::Gone)
                    } else {
                        pinged = Instant::now();
                        send(socket, Message::Ping(Vec::new().into())).await
                    }
                }
                received = socket.recv() => {
                    heard = Instant::now();
                    match received {
                        Some(Ok(message)) => self.hear(socket, message).await,
                        Some(Err(error)) => Err(unreadable(&error)),
                        None => Err(End::Gone),
                    }
                }
                part = self.parts.recv() => match part {
                    Some((key, part)) => self.forward(socket, key, part).await,
                    // This connection holds a sender itself.
                    None => pending().await,
                },
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// Deals with a message of the client.
    async fn hear(&mut self, socket: &mut WebSocket, message: Message) -> Result<(), End> {
        let text = match message {
            Message::Text(text) => text,
            // Pings are answered by the library.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Binary(_) => return Err(Close::new(code::BAD_REQUEST, "Messages are text").into()),
            Message::Close(_) => return Err(End::Closed),
        };
        match read(&text)? {
            // In a box, so that a connection doesn't take up the memory for it to its end.
            ClientMessage::ConnectionInit { payload } => Box::pin(self.begin(socket, payload)).await,
            ClientMessage::Ping => send(socket, Message::text(r#"{"type":"pong"}"#)).await,
            ClientMessage::Pong => Ok(()),
            ClientMessage::Subscribe { id, payload } => self.subscribe(socket, id, payload, text.len()).await,
            ClientMessage::Complete { id } => {
                // It may have ended by itself at the same moment.
                self.subscribed.remove(&id);
                Ok(())
            }
        }
    }

    /// Finds out who connects.
    async fn begin(&mut self, socket: &mut WebSocket, payload: Option<Map<String, Value>>) -> Result<(), End> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Err(Close::new(code::TOO_MANY_INITS, "Too many initialisation requests").into());
        }
        let payload = payload.unwrap_or_default();
        let of_payload = |wanted: &str| {
            let found = payload.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(name, value)| (name.clone(), value.clone()))
        };
        match of_payload(ON_BEHALF_OF.as_str()) {
            None => {}
            Some((_, Value::String(named))) if self.on_behalf_of.is_none() => {
                match read_on_behalf_of(named.as_bytes()) {
                    Ok(named) => self.on_behalf_of = Some(named),
                    Err(reason) => return Err(Close::new(code::BAD_REQUEST, reason).into()),
                }
            }
            Some(_) => {
                let reason = "Send one Rollcall-On-Behalf-Of, as a header or as a text in the payload";
                return Err(Close::new(code::BAD_REQUEST, reason).into());
            }
        }
        let named = of_payload("authorization");
        let token = match (named, self.header_token.take()) {
            (Some((_, Value::String(authorization))), _) => Some(token_of(&authorization)),
            (Some(_), _) => None,
            (None, of_header) => of_header,
        };
        let forbidden = |reason: &str| Close::new(code::FORBIDDEN, reason);
        let Some(token) = token else {
            let reason = r#"Forbidden: send {"Authorization": "Bearer <token>"} as the payload of connection_init"#;
            return Err(forbidden(reason).into());
        };
        let (on_behalf_of, user_agent) = (self.on_behalf_of.clone(), self.user_agent.clone());
        let credentials = Credentials { token, on_behalf_of, user_agent };
        let actor = match identify(&self.app, &credentials).await {
            Ok(actor) => actor,
            Err(Unidentified { status: StatusCode::UNAUTHORIZED, message, .. }) => {
                return Err(forbidden(&format!("Forbidden: {message}")).into());
            }
            Err(Unidentified { message, .. }) => return Err(Close::new(code::TRY_AGAIN, message).into()),
        };
        let app = self.app.clone().for_account(&actor);
        self.identity = Some(Identity { credentials, actor, app });
        send(socket, Message::text(r#"{"type":"connection_ack"}"#)).await
    }

    async fn subscribe(
        &mut self,
        socket: &mut WebSocket,
        id: String,
        parameters: Parameters,
        bytes: usize,
    ) -> Result<(), End> {
        let Some(identity) = &self.identity else {
            return Err(Close::new(code::UNAUTHORIZED, "Unauthorized: send connection_init first").into());
        };
        if id.is_empty() || id.len() > LONGEST_ID {
            let reason = format!("The id of a subscription has 1 to {LONGEST_ID} bytes");
            return Err(Close::new(code::BAD_REQUEST, reason).into());
        }
        if self.subscribed.contains_key(&id) {
            return Err(Close::new(code::ALREADY_EXISTS, format!("Subscriber for {id} already exists")).into());
        }
        let (client, actor) = (self.client, Some(&identity.actor));
        let place = match self.app.subscriptions.subscribe(Transport::WebSocket, client, actor) {
            Ok(place) => place,
            Err(refusal) => return send_part(socket, &id, refusal.part()).await,
        };
        let (app, credentials, user_agent) =
            (identity.app.clone(), identity.credentials.clone(), self.user_agent.clone());
        let begin = async move {
            // The session may have ended since the connection began.
            let actor = identify(&app, &credentials).await.map_err(|unidentified| unidentified.part())?;
            let checked = CheckedSubscription::check(&app.request_limits, client, bytes, parameters).await;
            let checked = checked.map_err(|error| Part::Failed(vec![error]))?;
            Ok((GraphqlRequest::new(Some(actor), user_agent, client), checked))
        };
        self.last_number += 1;
        let key = (self.last_number, id.clone());
        let run = subscriptions::run(identity.app.clone(), place, begin, key, self.sender.clone());
        self.subscribed.insert(id, Subscribed { number: self.last_number, _run: run });
        Ok(())
    }

    /// Sends a part of a subscription that the client hasn't ended.
    async fn forward(&mut self, socket: &mut WebSocket, (number, id): Key, part: HeldPart) -> Result<(), End> {
        if self.subscribed.get(&id).is_none_or(|subscribed| subscribed.number != number) {
            return Ok(());
        }
        let HeldPart { part, held } = part;
        if !matches!(part, Part::Next(_)) {
            self.subscribed.remove(&id);
        }
        let outcome = send_part(socket, &id, part).await;
        drop(held);
        outcome
    }
}

/// The token of an Authorization header, or of the same in the payload of `connection_init`.
fn token_of(authorization: &str) -> SecretString {
    // Whatever isn't a bearer token is unknown.
    bearer_token(authorization).unwrap_or_default().into()
}

fn read(text: &Utf8Bytes) -> Result<ClientMessage, Close> {
    if has_too_many_values(text.as_bytes()) {
        return Err(Close::new(code::BAD_REQUEST, "The message has too many values in its JSON"));
    }
    serde_json::from_str(text).map_err(|error| Close::new(code::BAD_REQUEST, format!("Invalid message: {error}")))
}

/// What ends a connection from which nothing more can be read.
fn unreadable(error: &axum::Error) -> End {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().starts_with("Space limit exceeded") {
            let reason = format!("A message has at most {} kB", limits::WEBSOCKET_MESSAGE / 1024);
            return Close::new(code::TOO_BIG, reason).into();
        }
        cause = error.source();
    }
    End::Gone
}

async fn send_part(socket: &mut WebSocket, id: &str, part: Part) -> Result<(), End> {
    let id = Value::from(id);
    let message = match part {
        Part::Next(json) => {
            let head = format!(r#"{{"id":{id},"type":"next","payload":"#);
            [head.as_bytes(), &json, b"}"].concat()
        }
        Part::Failed(errors) => format!(r#"{{"id":{id},"type":"error","payload":{}}}"#, error_list(&errors)).into(),
        Part::Complete => format!(r#"{{"id":{id},"type":"complete"}}"#).into(),
    };
    // Both parts of it are JSON.
    let text = String::from_utf8(message).unwrap_or_default();
    send(socket, Message::text(text)).await
}

/// Sends a message. Clients that don't read it in time are gone.
async fn send(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match timeout(limits::READING_TIMEOUT, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}
