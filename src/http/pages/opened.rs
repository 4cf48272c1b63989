//! Extractors for pages that a browser opens.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::link::Route;

use super::super::App;
use super::super::form::Notice;
use super::visit::{EarlyAnswer, Visit};

/// A page that was opened.
pub struct Opened {
    pub visit: Visit,
    /// The notice that the page shows once.
    pub notice: Notice,
}

impl FromRequestParts<App> for Opened {
    type Rejection = EarlyAnswer;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, EarlyAnswer> {
        let mut visit = Visit::from_request_parts(parts, app).await?;
        let notice = visit.take_notice();
        Ok(Self { visit, notice })
    }
}

/// A page that was opened by somebody who is signed in. Others are redirected to sign in.
pub struct OpenedBySignedIn {
    pub visit: Visit,
    pub notice: Notice,
    pub actor: Actor,
}

impl FromRequestParts<App> for OpenedBySignedIn {
    type Rejection = EarlyAnswer;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, EarlyAnswer> {
        let Opened { visit, notice } = Opened::from_request_parts(parts, app).await?;
        match visit.signed_in().await? {
            Some(actor) => Ok(Self { visit, notice, actor }),
            None => visit.end(visit.redirect(Route::SignIn)?),
        }
    }
}
