//! Headers by which browsers protect what they are given.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, STRICT_TRANSPORT_SECURITY};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::App;

/// A year. Other names of the domain are for their own operators to decide about.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
/// No page here needs any of it.
const PERMISSIONS: HeaderValue = HeaderValue::from_static(
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), publickey-credentials-get=(), usb=()",
);

/// Gives each answer what belongs to it: all that other sites may not embed it, pages that they keep their window and
/// the device to themselves, and https that it stays https.
pub async fn protect(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(RESOURCE_POLICY).or_insert(SAME_ORIGIN);
    if headers.get(CONTENT_TYPE).is_some_and(|media_type| media_type.as_bytes().starts_with(b"text/html")) {
        headers.entry(OPENER_POLICY).or_insert(SAME_ORIGIN);
        headers.entry(PERMISSIONS_POLICY).or_insert(PERMISSIONS);
    }
    // Below a path the host is others' too, who may not have https.
    if app.public_url.is_https() && app.public_url.base_path().is_empty() {
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(HSTS);
    }
    response
}
