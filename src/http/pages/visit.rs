//! A browser's visit to a page: its cookies, and the responses that set them.

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::CookieJar;
use rollcall_domain::Error;
use rollcall_domain::account::session::{self, NewSession};
use rollcall_domain::account::{authentication, user};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::error::Refusal;
use rollcall_domain::base::id::ResourceId;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::base::secret::Keyring;

use super::super::client::Client;
use super::super::form::{self, EMAIL, Notice, OurForm, RESOURCE, SESSION};
use super::super::{App, user_agent};
use super::error_page::error_page;
use super::page::{message, page, page_of};

/// The response of a page. An error is a response too, which ends the visit early.
pub type Answer = Result<Response, EarlyAnswer>;

/// A response that ends the visit early.
pub struct EarlyAnswer(Box<Response>);

impl EarlyAnswer {
    /// Ends the visit with the response of a rejection.
    pub fn by(rejection: impl IntoResponse) -> Self {
        Self(Box::new(rejection.into_response()))
    }
}

impl IntoResponse for EarlyAnswer {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// A browser's visit to a page.
pub struct Visit {
    pub app: App,
    pub client: ClientNetwork,
    pub user_agent: Option<String>,
    path: String,
    headers: HeaderMap,
    jar: CookieJar,
}

impl FromRequestParts<App> for Visit {
    type Rejection = EarlyAnswer;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, EarlyAnswer> {
        let Client(client) = Client::from_request_parts(parts, app).await.map_err(EarlyAnswer::by)?;
        Ok(Self {
            app: app.for_client(client),
            client,
            user_agent: user_agent(&parts.headers),
            path: parts.uri.path().to_owned(),
            headers: parts.headers.clone(),
            jar: CookieJar::from_headers(&parts.headers),
        })
    }
}

impl Visit {
    /// The service's public URL.
    pub fn site(&self) -> &PublicUrl {
        &self.app.public_url
    }

    fn keyring(&self) -> &Keyring {
        self.app.database.keyring()
    }

    /// Unwraps the outcome of a domain function. If it failed, the visit ends with a page that says so.
    ///
    /// # Errors
    /// The page that says what failed.
    pub fn check<T>(&self, outcome: Result<T, Error>) -> Result<T, EarlyAnswer> {
        outcome.map_err(|error| EarlyAnswer::by(error_page(self.site(), self.jar.clone(), error)))
    }

    /// The same for a function whose refusals are shown as a notice on a page, so that a reload doesn't send the form
    /// again.
    ///
    /// # Errors
    /// The redirect to that page if it was refused; otherwise the page that says what failed.
    pub fn check_form<T>(
        &mut self,
        outcome: Result<T, Error>,
        page: Route<'_>,
        notice: impl FnOnce(&[Refusal]) -> Notice,
    ) -> Result<T, EarlyAnswer> {
        match outcome {
            Err(Error::Refused(refusals)) => {
                let answer = self.redirect_with(page, notice(&refusals))?;
                Err(EarlyAnswer::by(answer))
            }
            outcome => self.check(outcome),
        }
    }

    /// Ends the visit with a response.
    ///
    /// # Errors
    /// Always: the error is the response.
    pub fn end<T>(&self, answer: Response) -> Result<T, EarlyAnswer> {
        Err(EarlyAnswer::by(answer))
    }

    /// A page.
    pub fn page(&self, template: &impl Template) -> Answer {
        Ok(page(StatusCode::OK, self.jar.clone(), template))
    }

    /// A page that shows a message, and a link to continue.
    pub fn message(&self, status: StatusCode, title: &str, text: &str, next: Option<(Route<'_>, &str)>) -> Answer {
        Ok(message(self.site(), self.jar.clone(), status, title, text, next))
    }

    /// Redirects to another page.
    pub fn redirect(&self, page: Route<'_>) -> Answer {
        Ok((self.jar.clone(), Redirect::to(&self.site().path(page))).into_response())
    }

    /// Redirects to another page, which shows a notice once.
    ///
    /// # Errors
    /// The same as for [`keep_notice`](Self::keep_notice).
    pub fn redirect_with(&mut self, page: Route<'_>, notice: Notice) -> Answer {
        self.keep_notice(page, notice)?;
        self.redirect(page)
    }

    /// Takes the notice that this page shows once.
    pub fn take_notice(&mut self) -> Notice {
        let (jar, notice) = form::take_notice(self.keyring(), self.jar.clone(), self.site(), &self.path);
        self.jar = jar;
        notice
    }

    /// Adds a notice that a page shows once.
    ///
    /// # Errors
    /// If the notice can't be authenticated, which would be a bug.
    pub fn keep_notice(&mut self, page: Route<'_>, mut notice: Notice) -> Result<(), EarlyAnswer> {
        notice.page = page.path().into_owned();
        self.jar = self.check(form::with_notice(self.keyring(), self.jar.clone(), self.site(), &notice))?;
        Ok(())
    }

    /// Makes the hidden field for the forms of a page.
    ///
    /// # Errors
    /// If the operating system provides no randomness.
    pub fn protect(&mut self) -> Result<String, EarlyAnswer> {
        let (jar, field) = self.check(form::protect(self.keyring(), self.jar.clone(), self.site()))?;
        self.jar = jar;
        Ok(field)
    }

    /// Checks that a form is one of ours.
    ///
    /// # Errors
    /// If it isn't: the page that asks to send the form again.
    pub fn require_ours(&self, field: &str) -> Result<OurForm, EarlyAnswer> {
        let read = form::read(self.keyring(), &self.headers, &self.jar, self.site(), field);
        match self.check(read)? {
            Some(form) => Ok(form),
            None => {
                let text =
                    "The form wasn't sent from this page, or the page was open for too long. Open it and try again.";
                let next = Some((page_of(&self.path), "Open the page"));
                self.end(self.message(StatusCode::FORBIDDEN, "Please try again", text, next)?)
            }
        }
    }

    /// The digest that identifies a form when it is sent again, with the same input.
    ///
    /// # Errors
    /// If digests can't be made, which would be a bug.
    pub fn form_digest(&self, form: &OurForm, sent: &[&str]) -> Result<Vec<u8>, EarlyAnswer> {
        self.check(form.digest(self.keyring(), &self.path, sent))
    }

    /// The session that a form begins, which also depends on what else was sent with it.
    ///
    /// # Errors
    /// If digests can't be made, which would be a bug.
    pub fn new_session(&self, form: &OurForm, sent: &[&str]) -> Result<NewSession, EarlyAnswer> {
        let [browser, showing, path] = form.identity(&self.path);
        let parts: Vec<&[u8]> =
            [browser, showing, path].into_iter().chain(sent.iter().map(|part| part.as_bytes())).collect();
        self.check(NewSession::by_form(self.keyring(), self.user_agent.as_deref(), &parts))
    }

    /// Whether the form was sent before and has begun its session.
    ///
    /// # Errors
    /// If the database fails: the page that says so.
    pub async fn has_begun(&self, new: &NewSession) -> Result<bool, EarlyAnswer> {
        let mut connection = self.check(self.app.database.connection().await)?;
        self.check(session::has_begun(&mut connection, new).await)
    }

    /// The person who is signed in by the session cookie.
    ///
    /// # Errors
    /// If the database fails: the page that says so.
    pub async fn signed_in(&self) -> Result<Option<Actor>, EarlyAnswer> {
        let Some(cookie) = self.jar.get(&SESSION.of(self.site())) else { return Ok(None) };
        match authentication::authenticate(&self.app.database, cookie.value()).await {
            // The pages are for people. An API key isn't accepted, even as the value of the cookie.
            Ok(actor) => Ok(actor.session().is_some().then_some(actor)),
            Err(Error::Unauthenticated) => Ok(None),
            Err(error) => self.check(Err(error)),
        }
    }

    /// The email address of the person who is signed in.
    ///
    /// # Errors
    /// If the account has none any more: the response that ends the visit.
    pub async fn email_of(&self, actor: &Actor) -> Result<String, EarlyAnswer> {
        let found = async {
            let (user_id, _) = actor.session().ok_or(Error::Unauthenticated)?;
            let user = user::by_id(&mut *self.app.database.connection().await?, user_id).await?;
            Ok(user.email.ok_or(Error::Unauthenticated)?.as_str().to_owned())
        };
        self.check(found.await)
    }

    /// Signs this device in, for as long as the new session lasts.
    pub fn begin_session(&mut self, token: &str) {
        let cookie = form::cookie(SESSION, token.to_owned(), self.site(), limits::SESSION_LIFETIME);
        self.jar = form::without(self.jar.clone(), EMAIL, self.site()).add(cookie);
    }

    /// Signs this device out.
    pub fn end_session(&mut self) {
        self.jar = form::without(self.jar.clone(), SESSION, self.site());
    }

    /// Remembers the address to which a sign-in email was sent, for as long as its link works.
    pub fn remember_email(&mut self, email: &str) {
        let email = form::to_cookie_text(email);
        self.jar = self.jar.clone().add(form::cookie(EMAIL, email, self.site(), limits::SIGN_IN_LINK_LIFETIME));
    }

    /// Remembers the resource to show once this device is signed in.
    pub fn remember_resource(&mut self, id: Option<ResourceId>) {
        if let Some(id) = id {
            let cookie = form::cookie(RESOURCE, id.to_string(), self.site(), limits::SIGN_IN_LINK_LIFETIME);
            self.jar = self.jar.clone().add(cookie);
        }
    }

    /// Takes the resource to show now that this device is signed in.
    pub fn take_resource(&mut self) -> Option<ResourceId> {
        let id = self.jar.get(&RESOURCE.of(self.site()))?.value().parse().ok();
        self.jar = form::without(self.jar.clone(), RESOURCE, self.site());
        id
    }

    /// The address to which a sign-in email was sent.
    pub fn remembered_email(&self) -> Option<String> {
        form::from_cookie_text(self.jar.get(&EMAIL.of(self.site()))?.value())
    }
}
