//! Headers that make browsers protect the responses.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, STRICT_TRANSPORT_SECURITY};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::App;

/// One year. Subdomains aren't included, since their operators must decide for themselves.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
/// The pages need none of these permissions.
const PERMISSIONS: HeaderValue = HeaderValue::from_static(
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), publickey-credentials-get=(), usb=()",
);

/// Adds the appropriate headers to each response: other sites may not embed it, pages keep their window and the device
/// to themselves, and HTTPS stays HTTPS.
pub async fn protect(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(RESOURCE_POLICY).or_insert(SAME_ORIGIN);
    if headers.get(CONTENT_TYPE).is_some_and(|media_type| media_type.as_bytes().starts_with(b"text/html")) {
        headers.entry(OPENER_POLICY).or_insert(SAME_ORIGIN);
        headers.entry(PERMISSIONS_POLICY).or_insert(PERMISSIONS);
    }
    // With a base path, the host also serves other applications, which may not have HTTPS.
    if app.public_url.is_https() && app.public_url.base_path().is_empty() {
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(HSTS);
    }
    response
}
