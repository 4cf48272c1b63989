//! Those who follow: over a WebSocket with the subprotocol graphql-transport-ws, and by server-sent events.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{Client, PATIENCE, Value, json};

/// What follows an organization's events.
pub const EVENTS: &str = "subscription($id: ID!, $after: BigInt) { \
     organizationEvents(organizationId: $id, afterSequence: $after) { sequence action actor { id } } }";

/// What follows a departure.
pub const PROGRESS: &str = "subscription($id: ID!) { departureProgress(departureId: $id) { status error \
     steps { step done total completedAt } } }";

/// An open WebSocket.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Opens one from an address of this machine, with these headers, and says nothing yet. The status of the refusal
    /// where there is one, and what it says.
    pub async fn open(url: &str, from: &str, headers: &[(&'static str, &str)]) -> Result<Self, (StatusCode, String)> {
        let host = url.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{host}/graphql").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        let tcp = socket.connect(host.parse().unwrap()).await.unwrap();
        match tokio_tungstenite::client_async(request, tcp).await {
            Ok((stream, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], "graphql-transport-ws");
                Ok(Self { stream })
            }
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status(), String::from_utf8(body).unwrap()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens one that asks for the subprotocol.
    pub async fn to(url: &str) -> Self {
        Self::open(url, "127.0.0.1", PROTOCOL).await.unwrap()
    }

    /// Opens one and says whose it is.
    pub async fn of(url: &str, client: &Client) -> Self {
        let mut socket = Self::to(url).await;
        socket.begin(client).await;
        socket
    }

    /// Says whose it is, and waits for the acknowledgement.
    pub async fn begin(&mut self, client: &Client) {
        let authorization = format!("Bearer {}", client.token.as_deref().unwrap());
        self.send(json!({ "type": "connection_init", "payload": { "Authorization": authorization } })).await;
        assert_eq!(self.next().await, json!({ "type": "connection_ack" }));
    }

    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send_message(Message::Text(Utf8Bytes::from(text))).await;
    }

    /// Sends something; the server may have closed the connection.
    pub async fn send_message(&mut self, message: Message) {
        let _ = self.stream.send(message).await;
    }

    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.send(json!({ "type": "subscribe", "id": id, "payload": payload })).await;
    }

    /// The next message of the protocol.
    pub async fn next(&mut self) -> Value {
        match self.receive().await {
            Ok(message) => message,
            Err(code) => panic!("the connection was closed: {code:?}"),
        }
    }

    /// The code with which the server closes the connection, after whatever it says before.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.receive().await {
                Ok(_) => continue,
                Err(close) => return close.expect("a close frame"),
            }
        }
    }

    /// The next message of the protocol, or how the connection was closed.
    pub async fn receive(&mut self) -> Result<Value, Option<(u16, String)>> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("nothing comes");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map(|frame| (frame.code.into(), frame.reason.to_string())));
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The data of the next event of a subscription.
    pub async fn event(&mut self, id: &str) -> Value {
        let message = self.next().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!(id)), "{message}");
        assert!(message["payload"].get("errors").is_none(), "{message}");
        message["payload"]["data"].clone()
    }

    /// What a subscription is told until it ends: the data of its events, and the code of the error that ends it, if it
    /// isn't complete.
    pub async fn rest(&mut self, id: &str) -> (Vec<Value>, Option<String>) {
        let mut events = Vec::new();
        loop {
            let message = self.next().await;
            assert_eq!(message["id"], id, "{message}");
            match message["type"].as_str().unwrap() {
                "next" => events.push(message["payload"]["data"].clone()),
                "error" => return (events, Some(code(&message["payload"]))),
                "complete" => return (events, None),
                _ => panic!("{message}"),
            }
        }
    }
}

/// The header that asks for the subprotocol.
pub const PROTOCOL: &[(&str, &str)] = &[("sec-websocket-protocol", "graphql-transport-ws")];

/// The code of the first of some errors.
fn code(errors: &Value) -> String {
    errors[0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{errors}")).to_owned()
}

/// A stream of events.
pub struct EventStream {
    response: reqwest::Response,
    received: String,
}

impl EventStream {
    /// Subscribes as a client at an API. The refusal where there is one.
    pub async fn to(url: &str, client: &Client, query: &str, variables: Value) -> Result<Self, reqwest::Response> {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = http.post(format!("{url}/graphql")).header("accept", "text/event-stream");
        if let Some(token) = &client.token {
            request = request.bearer_auth(token);
        }
        let response = request.json(&json!({ "query": query, "variables": variables })).send().await.unwrap();
        let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        if response.status() != 200 || !media_type.starts_with("text/event-stream") {
            return Err(response);
        }
        Ok(Self { response, received: String::new() })
    }

    /// The next event, with its name and what it says; none at the end of the stream. Comments are passed over.
    pub async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.received.split_once("\n\n") {
                let told = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    line.map(|line| line.trim_start().to_owned())
                };
                let found = told("event").zip(told("data"));
                assert!(found.is_some() || event.starts_with(':'), "{event}");
                self.received = rest.to_owned();
                if found.is_some() {
                    return found;
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("nothing comes");
            let chunk = chunk.ok().flatten()?;
            self.received += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// The data of the next event.
    pub async fn event(&mut self) -> Value {
        let (name, data) = self.next().await.expect("another event");
        let answer: Value = serde_json::from_str(&data).unwrap();
        assert!(name == "next" && answer.get("errors").is_none(), "{name} {data}");
        answer["data"].clone()
    }

    /// What comes until the end: the data of the events, and the code of the error that ends them, if there is one.
    pub async fn rest(&mut self) -> (Vec<Value>, Option<String>) {
        let (mut events, mut error) = (Vec::new(), None);
        while let Some((name, data)) = self.next().await {
            if name == "complete" {
                assert_eq!(self.next().await, None, "nothing comes after the end");
                return (events, error);
            }
            assert!(error.is_none() && name == "next", "{name} {data}");
            let answer: Value = serde_json::from_str(&data).unwrap();
            match answer.get("errors") {
                Some(errors) if answer.get("data").is_none() => error = Some(code(errors)),
                _ => events.push(answer["data"].clone()),
            }
        }
        panic!("the stream broke off after {events:?}")
    }
}

/// The sequence number of an event.
pub fn sequence(data: &Value) -> i64 {
    let sequence = data["organizationEvents"]["sequence"].as_str();
    sequence.unwrap_or_else(|| panic!("no event: {data}")).parse().unwrap()
}
