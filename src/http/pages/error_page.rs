//! The pages that explain why something wasn't done.

use axum::http::{StatusCode, header};
use axum::response::Response;
use axum_extra::extract::cookie::CookieJar;
use rollcall_domain::Error;
use rollcall_domain::base::error::{Code, Refusal};
use rollcall_domain::base::limits;
use rollcall_domain::base::link::{PublicUrl, Route};

use super::super::{form, log};
use super::page::message;
use crate::graphql::whole_seconds;

/// The page for a request that was refused, for example because of overload.
pub fn refusal(site: &PublicUrl, status: StatusCode, text: &str) -> Response {
    let title = match status.is_server_error() {
        true => "Please try again",
        false => "This can't be done",
    };
    message(site, CookieJar::new(), status, title, text, None)
}

/// The page for an error after which no form is shown again.
pub fn error_page(site: &PublicUrl, jar: CookieJar, error: Error) -> Response {
    let sign_in = Some((Route::SignIn, "Sign in"));
    match error {
        Error::Refused(refusals) => {
            let text = in_words(&refusals);
            let (status, title) = match refusals.first().map(|refusal| refusal.code) {
                Some(Code::AlreadyUsed) => (StatusCode::GONE, "This was already done"),
                Some(Code::Expired) => (StatusCode::GONE, "This link has expired"),
                Some(Code::Revoked) => (StatusCode::GONE, "This link no longer works"),
                Some(Code::AlreadyMember) => (StatusCode::GONE, "This can't be done"),
                _ => (StatusCode::BAD_REQUEST, "This can't be done"),
            };
            message(site, jar, status, title, &text, sign_in)
        }
        Error::Unauthenticated => {
            let text = "You are not signed in, or your session has ended.";
            message(site, jar, StatusCode::UNAUTHORIZED, "Sign in first", text, sign_in)
        }
        Error::RateLimited { retry_after } => {
            let seconds = whole_seconds(retry_after);
            let text = match seconds.div_ceil(60) {
                1 => "There were too many attempts. Please wait a minute.".to_owned(),
                minutes => format!("There were too many attempts. Please wait {minutes} minutes."),
            };
            let mut response = message(site, jar, StatusCode::TOO_MANY_REQUESTS, "Too many attempts", &text, None);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Error::BadRequest(text) => message(site, jar, StatusCode::BAD_REQUEST, "This can't be done", &text, None),
        Error::Unavailable(_) => {
            let text = "The service is too busy right now. Please try again in a moment.";
            log::unavailable(&error, 1);
            let mut response = message(site, jar, StatusCode::SERVICE_UNAVAILABLE, "Please try again", text, None);
            response.headers_mut().insert(header::RETRY_AFTER, whole_seconds(limits::RETRY_AFTER).into());
            response
        }
        other => {
            tracing::error!(error = &other as &dyn std::error::Error, "a page failed");
            let text = "Something went wrong on our side. Please try again in a moment.";
            message(site, jar, StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", text, None)
        }
    }
}

/// The messages of the refusals, as sentences.
pub fn in_words(refusals: &[Refusal]) -> String {
    refusals.iter().map(|refusal| form::sentence(&refusal.message)).collect::<Vec<_>>().join(" ")
}
