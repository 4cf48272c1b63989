//! Requests that match no page, and errors that the framework returns.

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use rollcall_domain::base::link::{PublicUrl, Route};

use super::super::App;
use super::super::graphql::{self, MediaType};
use super::error_page::refusal;
use super::page::{message, page_of};

/// Replaces errors that the framework returns as a few bare words, for example for a path that isn't valid text, by a
/// page.
pub async fn with_words(State(app): State<App>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let media_type = response.headers().get(CONTENT_TYPE);
    let is_bare = media_type.is_none_or(|value| value.as_bytes().starts_with(b"text/plain"));
    if !is_bare || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = "What was sent is incomplete or not valid. Go back, reload the page and try again.";
    refusal(&app.public_url, status, text)
}

/// Redirects a page's path with a slash at its end to the page. Other paths aren't found.
pub async fn not_found(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() < path.len() && !trimmed.is_empty() {
        // There must be one slash at the start: two, or a backslash, would lead to another host.
        let rest = trimmed.trim_start_matches(['/', '\\']);
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let location = format!("{}/{rest}{query}", app.public_url.base_path());
        return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response();
    }
    let text = "There is no page at this address. Copy the whole link, or check whether a letter is missing.";
    nowhere(
        &app.public_url,
        request.headers(),
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "Page not found",
        text,
        Route::Account,
    )
}

/// The path accepts only forms and was opened, or it is a page and was sent something.
pub async fn method_not_allowed(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let (title, text) = match *request.method() {
        Method::GET => ("This page can't be opened", "It only accepts what a form sends. Nothing has happened."),
        _ => ("This page doesn't accept such requests", "Open it in a browser. Nothing has happened."),
    };
    let status = StatusCode::METHOD_NOT_ALLOWED;
    nowhere(&app.public_url, request.headers(), status, "METHOD_NOT_ALLOWED", title, text, page_of(&path))
}

/// Responds that something doesn't exist: to browsers with a page, and to programs in the API's form.
fn nowhere(
    site: &PublicUrl,
    headers: &HeaderMap,
    status: StatusCode,
    code: &'static str,
    title: &str,
    text: &str,
    next: Route<'_>,
) -> Response {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    match accepted.flat_map(|value| value.split(',')).any(|range| range.trim().starts_with("text/html")) {
        true => message(site, CookieJar::new(), status, title, text, Some((next, "Continue"))),
        false => graphql::refuse(MediaType::of(headers), status, code, format!("{title}. {text}"), None),
    }
}
