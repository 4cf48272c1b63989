//! The pages behind mailed links: signing in, answering invitations and confirming another address. They work without JavaScript.
//!
//! Opening a page (GET) changes nothing, since scanners open links; a POST acts (R24), and answers with a redirect to a page that can be
//! opened again. A form that is sent again leads to what it did.

mod account;
mod email_change;
mod invitation;
mod resource;
mod shared;
mod sign_in;
mod visit;

use askama::Template;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum_extra::extract::cookie::CookieJar;
use chrono::{DateTime, Utc};
use rollcall_domain::Error;
use rollcall_domain::base::error::{Code, Refusal};
use rollcall_domain::base::limits;
use rollcall_domain::base::link::{PublicUrl, Route};

use super::graphql::{self, MediaType};
use super::{App, form, log};
use crate::graphql::whole_seconds;
pub use visit::page;

/// The pages.
pub fn router(app: App) -> Router<App> {
    let token = "{token}";
    let route = |route: Route<'_>| route.path();
    Router::new()
        .route(&route(Route::SignIn), get(sign_in::ask_for_mail).post(sign_in::send_mail))
        .route(&route(Route::SignInCode), get(sign_in::ask_for_code).post(sign_in::sign_in_by_code))
        .route(&route(Route::SignInLink(token)), get(sign_in::ask_to_sign_in).post(sign_in::sign_in_by_link))
        .route(&route(Route::SignOut), post(sign_in::sign_out))
        .route(&route(Route::Account), get(account::show))
        .route(&route(Route::AccountToken), get(account::show_token).post(account::make_token))
        .route(&route(Route::EndSession("{id}")), post(account::end_session))
        .route(&route(Route::EndOtherSessions), post(account::end_other_sessions))
        .route(&route(Route::EmailChange(token)), get(email_change::show).post(email_change::confirm))
        .route(&route(Route::Shared(token)), get(shared::show))
        .route(&route(Route::Resource("{id}")), get(resource::show))
        .route(&route(Route::Invitation(token)), get(invitation::show))
        .route(&route(Route::AcceptInvitation(token)), post(invitation::accept))
        .route(&route(Route::DeclineInvitation(token)), post(invitation::decline))
        .route(&route(Route::SignInForInvitation(token)), post(invitation::mail_link))
        .layer(from_fn_with_state(app, with_words))
}

#[derive(Template)]
#[template(path = "pages/message.html")]
struct Message<'a> {
    site: &'a PublicUrl,
    title: &'a str,
    text: &'a str,
    next: Option<(Route<'a>, &'a str)>,
}

/// A page that says something, and where to go on.
fn message(
    site: &PublicUrl,
    jar: CookieJar,
    status: StatusCode,
    title: &str,
    text: &str,
    next: Option<(Route<'_>, &str)>,
) -> Response {
    page(status, jar, &Message { site, title, text, next })
}

/// The page for a request that isn't answered, for instance because there is too much to do.
pub fn refusal(site: &PublicUrl, status: StatusCode, text: &str) -> Response {
    let title = match status.is_server_error() {
        true => "Please try again",
        false => "This can't be done",
    };
    message(site, CookieJar::new(), status, title, text, None)
}

/// Gives what the framework refuses by a few bare words, such as a path that is no text, a page.
async fn with_words(State(app): State<App>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let media_type = response.headers().get(CONTENT_TYPE);
    let is_bare = media_type.is_none_or(|value| value.as_bytes().starts_with(b"text/plain"));
    if !is_bare || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = "What was sent isn't complete or isn't right. Go back, reload the page and try again.";
    refusal(&app.public_url, status, text)
}

/// A page's address with a slash at its end leads to the page; any other leads nowhere.
pub async fn not_found(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() < path.len() && !trimmed.is_empty() {
        // One slash at the start: two, or a backslash, would lead to another host.
        let rest = trimmed.trim_start_matches(['/', '\\']);
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let location = format!("{}/{rest}{query}", app.public_url.base_path());
        return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response();
    }
    let text = "There is no page at this address. Copy the link whole, or look whether a letter is missing.";
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

/// An address that only takes forms was opened, or a page was sent something.
pub async fn method_not_allowed(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let (title, text) = match *request.method() {
        Method::GET => ("This page can't be opened", "Its address takes what a form sends. Nothing has happened."),
        _ => ("This page takes no such request", "Open it in a browser. Nothing has happened."),
    };
    let status = StatusCode::METHOD_NOT_ALLOWED;
    nowhere(&app.public_url, request.headers(), status, "METHOD_NOT_ALLOWED", title, text, page_of(&path))
}

/// The page whose form is sent to a path.
fn page_of(path: &str) -> Route<'_> {
    match path.strip_prefix("/invitations/").and_then(|rest| rest.split('/').next()) {
        Some(token) => Route::Invitation(token),
        None if path.starts_with("/account") => Route::Account,
        None => Route::SignIn,
    }
}

/// Says to browsers by a page, and to programs in the API's shape, that something isn't there.
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

/// The page for an error that no form is shown again for.
fn trouble(site: &PublicUrl, jar: CookieJar, error: Error) -> Response {
    let sign_in = Some((Route::SignIn, "Sign in"));
    match error {
        Error::Refused(refusals) => {
            let text = in_words(&refusals);
            let (status, title) = match refusals.first().map(|refusal| refusal.code) {
                Some(Code::AlreadyUsed) => (StatusCode::GONE, "This was done before"),
                Some(Code::Expired) => (StatusCode::GONE, "This link has expired"),
                Some(Code::Revoked) => (StatusCode::GONE, "This link doesn't work any more"),
                Some(Code::AlreadyMember) => (StatusCode::GONE, "This can't be done"),
                _ => (StatusCode::BAD_REQUEST, "This can't be done"),
            };
            message(site, jar, status, title, &text, sign_in)
        }
        Error::Unauthenticated => {
            let text = "You are not signed in, or not any more.";
            message(site, jar, StatusCode::UNAUTHORIZED, "Sign in first", text, sign_in)
        }
        Error::RateLimited { retry_after } => {
            let seconds = whole_seconds(retry_after);
            let text = match seconds.div_ceil(60) {
                1 => "There were too many tries. Please wait a minute.".to_owned(),
                minutes => format!("There were too many tries. Please wait {minutes} minutes."),
            };
            let mut response = message(site, jar, StatusCode::TOO_MANY_REQUESTS, "Too many tries", &text, None);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Error::BadRequest(text) => message(site, jar, StatusCode::BAD_REQUEST, "This can't be done", &text, None),
        Error::Unavailable(_) => {
            let text = "The service is too busy just now. Please try again in a moment.";
            log::unavailable(&error, 1);
            let mut response = message(site, jar, StatusCode::SERVICE_UNAVAILABLE, "Please try again", text, None);
            response.headers_mut().insert(header::RETRY_AFTER, whole_seconds(limits::RETRY_AFTER).into());
            response
        }
        other => {
            tracing::error!(error = &other as &dyn std::error::Error, "a page failed");
            let text = "Something went wrong here. Please try again in a moment.";
            message(site, jar, StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", text, None)
        }
    }
}

fn in_words(refusals: &[Refusal]) -> String {
    refusals.iter().map(|refusal| form::sentence(&refusal.message)).collect::<Vec<_>>().join(" ")
}

/// Such as `29 November 2026, 14:05 UTC`.
fn shown(time: DateTime<Utc>) -> String {
    time.format("%-d %B %Y, %H:%M UTC").to_string()
}
