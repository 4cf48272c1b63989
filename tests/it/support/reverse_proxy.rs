//! A reverse proxy as operators set one up before a service below a path: it strips the path, names its own upstream as
//! the host, and changes nothing in the answers.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

/// The proxy; it ends with the test's runtime.
pub struct ReverseProxy {
    /// Where it listens, with the path.
    pub url: String,
    upstream: Arc<Mutex<String>>,
}

#[derive(Clone)]
struct Forward {
    path: &'static str,
    upstream: Arc<Mutex<String>>,
    client: Client<HttpConnector, Body>,
}

impl ReverseProxy {
    /// Listens; what it leads to is said later, since that has to know the proxy's address.
    pub async fn start(path: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        let upstream = Arc::<Mutex<String>>::default();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let forward = Forward { path, upstream: upstream.clone(), client };
        let router = Router::new().fallback(pass).with_state(forward);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, upstream }
    }

    /// Leads to a service.
    pub fn lead_to(&self, url: &str) {
        *self.upstream.lock().unwrap() = url.trim_start_matches("http://").to_owned();
    }
}

async fn pass(State(forward): State<Forward>, mut request: Request) -> Response {
    let asked = request.uri().path_and_query().unwrap().as_str();
    let below = match asked.strip_prefix(forward.path) {
        Some("") => "/",
        Some(below) if below.starts_with(['/', '?']) => below,
        // Another's.
        _ => return StatusCode::MISDIRECTED_REQUEST.into_response(),
    };
    let upstream = forward.upstream.lock().unwrap().clone();
    *request.uri_mut() = format!("http://{upstream}{below}").parse::<Uri>().unwrap();
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(&upstream).unwrap());
    forward.client.request(request).await.unwrap().map(Body::new)
}
