//! CORS: the browser apps on other origins that may call `/graphql`.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// How long browsers may cache the response to a preflight request. This is the longest time that Chromium accepts.
const MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// Lets scripts of these origins call the API and read every response, including errors. Browser credentials are never
/// allowed: apps send bearer tokens in a header, which no other site can add.
///
/// # Errors
/// If an origin can't be the value of a header.
pub fn layer(origins: &[String]) -> anyhow::Result<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().map(|origin| origin.parse()).collect::<Result<_, _>>()?;
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        // Clients add headers of their own, for example for tracing. Without credentials, such a header is no more
        // than what its sender claims.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([HeaderName::from_static("x-request-id"), header::RETRY_AFTER])
        .max_age(MAX_AGE))
}
