//! The pages behind the links in emails: signing in, answering invitations and confirming a new email address. They
//! work without JavaScript. There is one file per flow.
//!
//! Opening a page (GET) changes nothing, since scanners open links. Only a POST acts (R24). Its response is a redirect
//! to a page that can be opened again. A form that is sent twice leads to the result of the first time.
//!
//! Handlers begin with an extractor: [`opened`] for a GET, [`sent`] for a POST. The extractor itself responds to
//! requests that the handler must not see, such as a form of another site.

mod account;
mod email_change;
mod error_page;
mod invitation;
mod opened;
mod page;
mod resource;
mod sent;
mod shared;
mod sign_in;
mod token;
mod unmatched;
mod visit;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use rollcall_domain::base::link::Route;

use super::App;
pub use error_page::refusal;
pub use unmatched::{method_not_allowed, not_found};

/// The routes of the pages.
pub fn router(app: App) -> Router<App> {
    let token = "{token}";
    let route = |route: Route<'_>| route.path();
    Router::new()
        .route(&route(Route::SignIn), get(sign_in::ask_for_mail).post(sign_in::send_mail))
        .route(&route(Route::SignInCode), get(sign_in::ask_for_code).post(sign_in::sign_in_by_code))
        .route(&route(Route::SignInLink(token)), get(sign_in::ask_to_sign_in).post(sign_in::sign_in_by_link))
        .route(&route(Route::SignOut), post(sign_in::sign_out))
        .route(&route(Route::Account), get(account::show))
        .route(&route(Route::AccountToken), get(token::show).post(token::make))
        .route(&route(Route::EndSession("{id}")), post(account::end_session))
        .route(&route(Route::EndOtherSessions), post(account::end_other_sessions))
        .route(&route(Route::EmailChange(token)), get(email_change::show).post(email_change::confirm))
        .route(&route(Route::Shared(token)), get(shared::show))
        .route(&route(Route::Resource("{id}")), get(resource::show))
        .route(&route(Route::Invitation(token)), get(invitation::show))
        .route(&route(Route::AcceptInvitation(token)), post(invitation::accept))
        .route(&route(Route::DeclineInvitation(token)), post(invitation::decline))
        .route(&route(Route::SignInForInvitation(token)), post(invitation::mail_link))
        .layer(from_fn_with_state(app, unmatched::with_words))
}
