//! The load generator: a number of connections, each of which sends its next request when it has the answer to the
//! last. Every answer is checked.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpStream;

/// A request as it is sent.
pub type LoadRequest = Request<Full<Bytes>>;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The requests to send, and the expected answers.
#[derive(Clone)]
pub struct Load {
    /// Returns the request with a number, which counts up over all connections; `None` when all are used up.
    pub request: Rc<dyn Fn(u64) -> Option<LoadRequest>>,
    /// The texts that every answer contains, and how many times.
    pub expected: Vec<(String, usize)>,
}

impl Load {
    /// Sends these requests in turn, over and over.
    pub fn cycle(requests: Vec<LoadRequest>, expected: &[(&str, usize)]) -> Self {
        let request = move |number: u64| {
            let count = u64::try_from(requests.len()).unwrap_or(1).max(1);
            requests.get(usize::try_from(number % count).unwrap_or_default()).cloned()
        };
        Self { request: Rc::new(request), expected: owned(expected) }
    }

    /// Sends requests that are created one by one, each of them once.
    pub fn each(request: impl Fn(u64) -> Option<LoadRequest> + 'static, expected: &[(&str, usize)]) -> Self {
        Self { request: Rc::new(request), expected: owned(expected) }
    }
}

fn owned(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected.iter().map(|(needle, count)| ((*needle).to_owned(), *count)).collect()
}

/// The credentials of a request.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    /// A bearer token.
    Bearer(&'a str),
    /// A cookie, from the server's own pages.
    Cookie(&'a str),
    /// No credentials.
    Nobody,
}

/// Creates a POST request with a JSON body.
pub fn post(path: &str, credentials: Credentials, body: String) -> anyhow::Result<LoadRequest> {
    build(Method::POST, path, credentials, Some(body))
}

/// Creates a GET request.
pub fn get(path: &str, credentials: Credentials) -> anyhow::Result<LoadRequest> {
    build(Method::GET, path, credentials, None)
}

fn build(method: Method, path: &str, credentials: Credentials, body: Option<String>) -> anyhow::Result<LoadRequest> {
    let mut request = Request::builder().method(method).uri(path).header(HOST, "localhost");
    match credentials {
        Credentials::Bearer(token) => request = request.header(AUTHORIZATION, format!("Bearer {token}")),
        Credentials::Cookie(cookie) => request = request.header(COOKIE, cookie).header(ORIGIN, "http://localhost"),
        Credentials::Nobody => {}
    }
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    Ok(request.body(Full::from(body.unwrap_or_default()))?)
}

/// The result of a load.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The number of answers within the measured time.
    pub answers: u64,
    /// The time from the end of the warm-up to the last answer.
    pub seconds: f64,
    /// The latency of each answer in microseconds, in ascending order.
    pub latencies: Vec<u32>,
}

impl Outcome {
    /// The answers per second.
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.answers as f64 / self.seconds } else { 0.0 }
    }

    /// The latency in milliseconds that this fraction of the answers doesn't exceed.
    pub fn percentile(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1) as f64;
        self.latencies.get((last * part).round() as usize).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
    }
}

/// Sends a load over a number of connections for some time. The time before `begun` is called isn't measured.
pub async fn run(
    address: &str,
    load: &Load,
    connections: usize,
    warm_up: Duration,
    duration: Duration,
    begun: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let mut senders = Vec::new();
    for number in 0..connections {
        senders.push((connect(address).await?, client(number)?));
    }
    let next = Cell::new(0);
    if !warm_up.is_zero() {
        let until = Instant::now() + warm_up;
        try_join_all(senders.iter_mut().map(|(sender, client)| keep_sending(sender, client, load, &next, until)))
            .await?;
    }
    begun()?;
    let start = Instant::now();
    let until = start + duration;
    let times =
        try_join_all(senders.iter_mut().map(|(sender, client)| keep_sending(sender, client, load, &next, until)))
            .await?;
    let seconds = start.elapsed().as_secs_f64();
    let mut latencies = times.concat();
    latencies.sort_unstable();
    if latencies.is_empty() {
        bail!("there was no answer");
    }
    Ok(Outcome { answers: latencies.len() as u64, seconds, latencies })
}

/// Sends one request and checks its answer.
pub async fn send_once(address: &str, load: &Load, number: u64) -> anyhow::Result<Bytes> {
    let mut sender = connect(address).await?;
    let request = (load.request)(number).context("there is no such request")?;
    exchange(&mut sender, &client(0)?, load, request).await
}

/// Whether the server answers a request.
pub async fn answers(address: &str, request: &LoadRequest) -> bool {
    let ask = async {
        let mut sender = connect(address).await?;
        let answer = sender.send_request(request.clone()).await?;
        anyhow::Ok(answer.status())
    };
    ask.await.is_ok_and(|status| status == StatusCode::OK)
}

/// Gives every connection the address of another client, as if a proxy forwarded them.
fn client(number: usize) -> anyhow::Result<HeaderValue> {
    Ok(HeaderValue::from_str(&format!("198.51.100.{}", number % 250 + 1))?)
}

async fn connect(address: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn keep_sending(
    sender: &mut SendRequest<Full<Bytes>>,
    client: &HeaderValue,
    load: &Load,
    next: &Cell<u64>,
    until: Instant,
) -> anyhow::Result<Vec<u32>> {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let number = next.get();
        next.set(number + 1);
        let Some(request) = (load.request)(number) else { break };
        let sent = Instant::now();
        exchange(sender, client, load, request).await?;
        latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(latencies)
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    client: &HeaderValue,
    load: &Load,
    mut request: LoadRequest,
) -> anyhow::Result<Bytes> {
    request.headers_mut().insert(FORWARDED_FOR, client.clone());
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    check(status, &body, &load.expected)?;
    Ok(body)
}

fn check(status: StatusCode, body: &[u8], expected: &[(String, usize)]) -> anyhow::Result<()> {
    let excerpt = || String::from_utf8_lossy(body.get(..600).unwrap_or(body)).into_owned();
    if status != StatusCode::OK {
        bail!("status {status}: {}", excerpt());
    }
    if memmem::find(body, b"\"errors\":").is_some() {
        bail!("errors: {}", excerpt());
    }
    for (needle, count) in expected {
        let found = memmem::find_iter(body, needle.as_bytes()).count();
        if found != *count {
            bail!("{found} times {needle} instead of {count}: {}", excerpt());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_answers_are_found() {
        let expected = owned(&[("\"id\"", 2)]);
        assert!(check(StatusCode::OK, br#"{"data":[{"id":1},{"id":2}]}"#, &expected).is_ok());
        assert!(check(StatusCode::OK, br#"{"data":[{"id":1}]}"#, &expected).is_err());
        assert!(check(StatusCode::BAD_GATEWAY, br#"{"data":[{"id":1},{"id":2}]}"#, &expected).is_err());
        assert!(check(StatusCode::OK, br#"{"data":[{"id":1},{"id":2}],"errors":[]}"#, &expected).is_err());
    }

    #[test]
    fn percentiles_are_of_the_answers() {
        let outcome = Outcome { answers: 100, seconds: 1.0, latencies: (1..=100).map(|n| n * 1_000).collect() };
        assert!((outcome.percentile(0.5) - 51.0).abs() < 1.5);
        assert!((outcome.percentile(1.0) - 100.0).abs() < f64::EPSILON);
    }
}
