//! Extractors for forms that a browser sends.

use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use rollcall_domain::Error;
use rollcall_domain::authority::actor::Actor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::App;
use super::super::form::OurForm;
use super::visit::{EarlyAnswer, Visit};

/// A form that was sent, and that one of our own pages has shown to this browser. Other forms are refused with a page.
pub struct Sent<T> {
    pub visit: Visit,
    pub form: OurForm,
    /// The hidden field that proves this.
    pub csrf: String,
    pub fields: T,
}

/// The fields of a form, including the hidden one.
#[derive(Deserialize)]
struct Protected<T> {
    #[serde(default)]
    csrf: String,
    #[serde(flatten)]
    fields: T,
}

/// A form that has only a button.
#[derive(Deserialize)]
pub struct PlainForm {}

impl<T: DeserializeOwned> FromRequest<App> for Sent<T> {
    type Rejection = EarlyAnswer;

    async fn from_request(request: Request, app: &App) -> Result<Self, EarlyAnswer> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, app).await?;
        let request = Request::from_parts(parts, body);
        let Form(Protected { csrf, fields }) = Form::from_request(request, app).await.map_err(EarlyAnswer::by)?;
        let form = visit.require_ours(&csrf)?;
        Ok(Self { visit, form, csrf, fields })
    }
}

/// A form with only a button, sent by somebody who is signed in. Others are refused with a page.
pub struct SentBySignedIn {
    pub visit: Visit,
    pub form: OurForm,
    /// The hidden field that proves that the form is ours.
    pub csrf: String,
    pub actor: Actor,
}

impl FromRequest<App> for SentBySignedIn {
    type Rejection = EarlyAnswer;

    async fn from_request(request: Request, app: &App) -> Result<Self, EarlyAnswer> {
        let Sent { visit, form, csrf, fields: PlainForm {} } = Sent::from_request(request, app).await?;
        let actor = visit.signed_in().await?;
        let actor = visit.check(actor.ok_or(Error::Unauthenticated))?;
        Ok(Self { visit, form, csrf, actor })
    }
}
