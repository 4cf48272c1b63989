//! Pages, and the simple page that shows only a message.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use chrono::{DateTime, Utc};
use rollcall_domain::base::link::{PublicUrl, Route};

/// Renders a page, with headers that protect its secrets and its forms.
pub fn page(status: StatusCode, jar: CookieJar, template: &impl Template) -> Response {
    let html = match template.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "a page can't be rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; \
                 frame-ancestors 'none'",
            ),
        ),
        // The path of the page is a secret. Without the origin, browsers would hide where a form comes from.
        (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, jar, headers, Html(html)).into_response()
}

#[derive(Template)]
#[template(path = "pages/message.html")]
struct MessagePage<'a> {
    site: &'a PublicUrl,
    title: &'a str,
    text: &'a str,
    next: Option<(Route<'a>, &'a str)>,
}

/// A page that shows a message, and a link to continue.
pub fn message(
    site: &PublicUrl,
    jar: CookieJar,
    status: StatusCode,
    title: &str,
    text: &str,
    next: Option<(Route<'_>, &str)>,
) -> Response {
    page(status, jar, &MessagePage { site, title, text, next })
}

/// The page whose form is sent to this path.
pub fn page_of(path: &str) -> Route<'_> {
    match path.strip_prefix("/invitations/").and_then(|rest| rest.split('/').next()) {
        Some(token) => Route::Invitation(token),
        None if path.starts_with("/account") => Route::Account,
        None => Route::SignIn,
    }
}

/// Formats a time like `29 November 2026, 14:05 UTC`.
pub fn shown(time: DateTime<Utc>) -> String {
    time.format("%-d %B %Y, %H:%M UTC").to_string()
}
