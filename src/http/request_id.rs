//! The request id, which is in the response, in every log line, and in the jobs that the request enqueues.

use std::time::Instant;

use apalis_diesel::correlation;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use rollcall_domain::base::id::new_name;
use tracing::Instrument;

use super::log;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The maximum length in characters of a client's id, of a method, and of a path's first segment.
const LONGEST: usize = 64;

/// Runs a request under its id, which the response contains. It is the client's own id if that is acceptable, and a
/// new one otherwise.
pub async fn identify(request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(|| new_name().to_string());
    // The paths of pages contain tokens, so logs contain only the method and the path's first segment.
    let place = cut(request.uri().path().split('/').nth(1).unwrap_or_default());
    let is_probe = place == "health";
    let span = tracing::info_span!("request", id, method = cut(request.method().as_str()), place);
    let started = Instant::now();
    let mut response = correlation::scope(id.as_str(), next.run(request)).instrument(span.clone()).await;
    let (status, duration) = (response.status(), started.elapsed());
    span.in_scope(|| match status {
        // Probes know their result. Logging one every few seconds would bury everything else.
        _ if is_probe => tracing::debug!(status = status.as_u16(), ?duration, "answered"),
        // Overload isn't a fault of the service.
        StatusCode::SERVICE_UNAVAILABLE => log::sent_away(duration),
        _ if status.is_server_error() => tracing::error!(status = status.as_u16(), ?duration, "failed"),
        _ => tracing::info!(status = status.as_u16(), ?duration, "answered"),
    });
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// A word from a client, cut to a length that fits into a log line.
fn cut(word: &str) -> &str {
    word.get(..LONGEST).unwrap_or(word)
}

/// The client's id, if it is acceptable in logs.
fn given(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    let is_sane = (1..=LONGEST).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    is_sane.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_that_can_stand_in_logs_are_taken() {
        let taken = |id: &'static str| given(&HeaderMap::from_iter([(HEADER, HeaderValue::from_static(id))])).is_some();
        let longest = "x".repeat(LONGEST).leak();
        let too_long = "x".repeat(LONGEST + 1).leak();
        for id in ["1", "Ab.c_d-9", longest] {
            assert!(taken(id), "{id}");
        }
        for id in ["", too_long, "a b", "a\"b", "a/b", "a@b", "a\tb"] {
            assert!(!taken(id), "{id}");
        }
        assert_eq!(given(&HeaderMap::new()), None);
    }
}
