//! A receiver of webhooks: real HTTP, with answers that a test can choose.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What the receiver does with the next delivery; after the last one it answers 204.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    /// 503 with this `Retry-After`.
    Later(String),
    Redirect(String),
    /// Takes it, and says so after this time.
    Slow(Duration),
    /// Takes it and never answers.
    Hang,
}

/// A delivery as it came.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub headers: HeaderMap,
    pub body: String,
    /// Whether it was answered as taken.
    pub taken: bool,
}

impl Arrival {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The event's place in the audit log.
    pub fn sequence(&self) -> i64 {
        self.json()["data"]["sequence"].as_str().unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Whether a receiver that has the secret takes it: the signature is the secret's, and the time the receiver's.
    pub fn is_good_to(&self, secret: &str) -> bool {
        standardwebhooks::Webhook::new(secret).unwrap().verify(self.body.as_bytes(), &self.headers).is_ok()
    }

    /// Whether one of the signatures is the secret's, whenever it was made.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let timestamp = self.header("webhook-timestamp").parse().unwrap();
        let signer = standardwebhooks::Webhook::new(secret).unwrap();
        let signature = signer.sign(self.header("webhook-id"), timestamp, self.body.as_bytes()).unwrap();
        self.header("webhook-signature").split(' ').any(|one| one == signature)
    }
}

#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    always: Option<Answer>,
    arrivals: Vec<Arrival>,
}

/// The receiver; it ends with the test's runtime.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    script: Arc<Mutex<Script>>,
    arrived: watch::Sender<usize>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            script: Arc::default(),
            arrived: watch::Sender::new(0),
        };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        receiver
    }

    /// Answers the next deliveries so.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().unwrap().answers.extend(answers);
    }

    /// Answers every delivery so; `None` for 204.
    pub fn always(&self, answer: Option<Answer>) {
        self.script.lock().unwrap().always = answer;
    }

    /// Every delivery that came, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.script.lock().unwrap().arrivals.clone()
    }

    /// The sequences of what was taken, in order, repeats too.
    pub fn taken(&self) -> Vec<i64> {
        self.arrivals().iter().filter(|arrival| arrival.taken).map(Arrival::sequence).collect()
    }

    /// Waits until so many deliveries have come.
    pub async fn wait_for(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        let waited = tokio::time::timeout(super::PATIENCE, arrived.wait_for(|arrived| *arrived >= count)).await;
        assert!(waited.is_ok(), "{} deliveries came, not {count}", self.arrivals().len());
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = {
        let mut script = receiver.script.lock().unwrap();
        let answer = script.answers.pop_front().or_else(|| script.always.clone()).unwrap_or(Answer::Status(204));
        let taken = match &answer {
            Answer::Status(status) => (200..300).contains(status),
            Answer::Slow(_) => true,
            Answer::Later(_) | Answer::Redirect(_) | Answer::Hang => false,
        };
        script.arrivals.push(Arrival { headers, body: String::from_utf8(body.to_vec()).unwrap(), taken });
        receiver.arrived.send_replace(script.arrivals.len());
        answer
    };
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Later(when) => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, when)]).into_response(),
        Answer::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Answer::Slow(time) => {
            tokio::time::sleep(time).await;
            StatusCode::NO_CONTENT.into_response()
        }
        Answer::Hang => std::future::pending().await,
    }
}
