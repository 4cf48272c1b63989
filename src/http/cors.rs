//! Which browser apps of other origins may call /graphql.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// How long browsers remember a preflight's answer: as long as Chromium does at most.
const MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// Lets scripts of these origins call, and read each answer, also one that refuses. Credentials of the browser are
/// never allowed: apps send bearer tokens, in a header that no other site can add.
///
/// # Errors
/// An origin can't be a header's value.
pub fn layer(origins: &[String]) -> anyhow::Result<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().map(|origin| origin.parse()).collect::<Result<_, _>>()?;
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        // Clients add headers of their own, for tracing for instance. Without credentials none of them is more than its
        // sender's word.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([HeaderName::from_static("x-request-id"), header::RETRY_AFTER])
        .max_age(MAX_AGE))
}
