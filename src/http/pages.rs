//! The pages behind mailed links: signing in, answering invitations and confirming another address. They work without JavaScript.
//!
//! Opening a page (GET) changes nothing, since scanners open links; a POST acts (R24).

use askama::Template;
use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum_extra::extract::cookie::CookieJar;
use chrono::{DateTime, Utc};
use rollcall_domain::actor::{self, Actor};
use rollcall_domain::client::ClientNetwork;
use rollcall_domain::error::Code;
use rollcall_domain::id::SessionId;
use rollcall_domain::invitation::{self, InvitationStatus, Named};
use rollcall_domain::page::PageRequest;
use rollcall_domain::sign_in::{self, Proof, SignedIn};
use rollcall_domain::text::EmailAddress;
use rollcall_domain::{Error, email_change, limits, organization, session, share_link, user};
use serde::Deserialize;

use super::client::Client;
use super::{App, form, user_agent};
use crate::graphql::whole_seconds;

const SESSION: form::CookieName = form::CookieName("__Host-rollcall_session");
/// How many sessions the account's page shows, the newest.
const SESSIONS: i32 = 50;
/// How many things a page of a shared collection shows.
const SHARED_ITEMS: i32 = 100;

/// The pages.
pub fn router() -> Router<App> {
    Router::new()
        .route("/sign-in", get(ask_for_mail).post(send_mail))
        .route("/sign-in/digits", post(sign_in_by_digits))
        .route("/sign-in/{token}", get(ask_to_sign_in).post(sign_in_by_link))
        .route("/account", get(account))
        .route("/account/token", post(make_token))
        .route("/account/sessions/{id}/end", post(end_session))
        .route("/email-change/{token}", get(ask_to_change_email).post(change_email))
        .route("/sign-out", post(sign_out))
        .route("/shared/{token}", get(show_shared))
        .route("/invitations/{token}", get(show_invitation))
        .route("/invitations/{token}/accept", post(accept))
        .route("/invitations/{token}/decline", post(decline))
        .route("/invitations/{token}/sign-in", post(sign_in_for_invitation))
}

// ---------------------------------------------------------------- templates

#[derive(Template)]
#[template(path = "pages/message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    next: Option<(&'a str, &'a str)>,
}

#[derive(Template)]
#[template(path = "pages/sign_in_form.html")]
struct SignInForm<'a> {
    csrf: &'a str,
    email: &'a str,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "pages/sign_in_sent.html")]
struct SignInSent<'a> {
    csrf: &'a str,
    email: &'a str,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "pages/sign_in_confirm.html")]
struct SignInConfirm<'a> {
    csrf: &'a str,
    token: &'a str,
    email: &'a str,
    organization: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "pages/account.html")]
struct Account<'a> {
    csrf: &'a str,
    name: &'a str,
    email: &'a str,
    sessions: Vec<SignedInOn>,
}

/// A session as its person knows it.
struct SignedInOn {
    id: String,
    device: String,
    since: String,
    is_current: bool,
}

#[derive(Template)]
#[template(path = "pages/email_change.html")]
struct ConfirmEmailChange<'a> {
    csrf: &'a str,
    token: &'a str,
    username: &'a str,
    new_email: &'a str,
}

#[derive(Template)]
#[template(path = "pages/token.html")]
struct Token<'a> {
    token: &'a str,
}

/// By which way an invitation is accepted.
enum Way {
    NewAccount,
    SignInFirst,
    SignedIn,
    OtherAccount,
}

impl Way {
    fn is_other(&self) -> bool {
        matches!(self, Self::OtherAccount)
    }
}

#[derive(Template)]
#[template(path = "pages/invitation.html")]
struct Invitation<'a> {
    csrf: &'a str,
    token: &'a str,
    organization: &'a str,
    invited_by: Option<&'a str>,
    email: &'a str,
    role: &'a str,
    expires_at: &'a str,
    name: &'a str,
    username: &'a str,
    problem: Option<&'a str>,
    way: Way,
}

#[derive(Template)]
#[template(path = "pages/shared.html")]
struct Shared<'a> {
    name: &'a str,
    description: Option<&'a str>,
    organization: &'a str,
    items: Vec<SharedItem>,
    more: Option<String>,
}

/// What a collection's page says of one thing.
struct SharedItem {
    name: String,
    kind: &'static str,
    size: String,
}

/// A page, with the headers that keep its secrets and its forms to itself.
fn page(status: StatusCode, jar: CookieJar, template: &impl Template) -> Response {
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
        // The address of the page is a secret.
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, jar, headers, Html(html)).into_response()
}

fn message(status: StatusCode, jar: CookieJar, title: &str, text: &str, next: Option<(&str, &str)>) -> Response {
    page(status, jar, &Message { title, text, next })
}

/// The page for a request that isn't answered, for instance because there is too much to do.
pub fn refusal(status: StatusCode, text: &str) -> Response {
    let title = match status.is_server_error() {
        true => "Please try again",
        false => "This can't be done",
    };
    message(status, CookieJar::new(), title, text, None)
}

/// The page for an error that no form is shown again for.
fn trouble(jar: CookieJar, error: Error) -> Response {
    match error {
        Error::Refused(refusals) => {
            let text = in_words(&refusals);
            let gone = refusals.iter().any(|refusal| {
                matches!(refusal.code, Code::Expired | Code::Revoked | Code::AlreadyUsed | Code::AlreadyMember)
            });
            let status = if gone { StatusCode::GONE } else { StatusCode::BAD_REQUEST };
            message(status, jar, "This can't be done", &text, Some(("/sign-in", "Sign in")))
        }
        Error::Unauthenticated => {
            let text = "You are not signed in, or not any more.";
            message(StatusCode::UNAUTHORIZED, jar, "Sign in first", text, Some(("/sign-in", "Sign in")))
        }
        Error::RateLimited { retry_after } => {
            let seconds = whole_seconds(retry_after);
            let text = match seconds.div_ceil(60) {
                1 => "There were too many tries. Please wait a minute.".to_owned(),
                minutes => format!("There were too many tries. Please wait {minutes} minutes."),
            };
            let mut response = message(StatusCode::TOO_MANY_REQUESTS, jar, "Too many tries", &text, None);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Error::BadRequest(text) => message(StatusCode::BAD_REQUEST, jar, "This can't be done", &text, None),
        Error::Unavailable(cause) => {
            let text = "The service is too busy just now. Please try again in a moment.";
            tracing::warn!(error = &*cause as &dyn std::error::Error, "the database is too busy, or can't be reached");
            let mut response = message(StatusCode::SERVICE_UNAVAILABLE, jar, "Please try again", text, None);
            response.headers_mut().insert(header::RETRY_AFTER, whole_seconds(limits::RETRY_AFTER).into());
            response
        }
        other => {
            tracing::error!(error = &other as &dyn std::error::Error, "a page failed");
            let text = "Something went wrong here. Please try again in a moment.";
            message(StatusCode::INTERNAL_SERVER_ERROR, jar, "Something went wrong", text, None)
        }
    }
}

fn in_words(refusals: &[rollcall_domain::error::Refusal]) -> String {
    let sentences: Vec<String> = refusals
        .iter()
        .map(|refusal| {
            let mut letters = refusal.message.chars();
            let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
            format!("{first}{}.", letters.as_str())
        })
        .collect();
    sentences.join(" ")
}

/// A POST that did not come from one of our pages.
fn not_ours(jar: CookieJar) -> Response {
    let text =
        "The form was not sent from this page, or the page was open for too long. Go back, reload it and try again.";
    message(StatusCode::FORBIDDEN, jar, "Please try again", text, None)
}

/// Gives the hidden field of the form, or answers.
macro_rules! protect {
    ($app:expr, $jar:expr) => {
        match form::protect($app.database.keyring(), $jar.clone(), $app.secure_cookies) {
            Ok(protected) => protected,
            Err(error) => return trouble($jar, error),
        }
    };
}

/// Lets only our own forms through.
macro_rules! require_ours {
    ($app:expr, $headers:expr, $jar:expr, $csrf:expr) => {
        match form::is_ours($app.database.keyring(), &$headers, &$jar, $app.secure_cookies, &$csrf) {
            Ok(true) => {}
            Ok(false) => return not_ours($jar),
            Err(error) => return trouble($jar, error),
        }
    };
}

/// The person whom the session cookie signs in.
async fn signed_in(app: &App, jar: &CookieJar) -> rollcall_domain::Result<Option<Actor>> {
    let Some(cookie) = jar.get(SESSION.of(app.secure_cookies)) else { return Ok(None) };
    match actor::authenticate(&app.database, cookie.value()).await {
        // The pages are for people; a key is none, wherever it is put.
        Ok(actor) => Ok(actor.session().is_some().then_some(actor)),
        Err(Error::Unauthenticated) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Who is signed in, if anyone; or answers.
macro_rules! signed_in {
    ($app:expr, $jar:expr) => {
        match signed_in(&$app, &$jar).await {
            Ok(actor) => actor,
            Err(error) => return trouble($jar, error),
        }
    };
}

fn with_session(app: &App, jar: CookieJar, token: &str) -> CookieJar {
    jar.add(form::cookie(SESSION, token.to_owned(), app.secure_cookies))
}

// ---------------------------------------------------------------- signing in

async fn ask_for_mail(State(app): State<App>, jar: CookieJar) -> Response {
    let (jar, csrf) = protect!(app, jar);
    page(StatusCode::OK, jar, &SignInForm { csrf: &csrf, email: "", problem: None })
}

#[derive(Deserialize)]
struct EmailForm {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    email: String,
}

async fn send_mail(
    State(app): State<App>,
    Client(client): Client,
    headers: HeaderMap,
    jar: CookieJar,
    Form(form): Form<EmailForm>,
) -> Response {
    require_ours!(app, headers, jar, form.csrf);
    let (jar, csrf) = protect!(app, jar);
    let email = form.email.trim();
    match sign_in::request(&app.database, email, user_agent(&headers).as_deref(), client).await {
        Ok(()) => page(StatusCode::OK, jar, &SignInSent { csrf: &csrf, email, problem: None }),
        Err(Error::Refused(refusals)) => {
            let problem =
                format!("The address {}.", refusals.first().map_or("isn't right", |refusal| &refusal.message));
            page(StatusCode::BAD_REQUEST, jar, &SignInForm { csrf: &csrf, email, problem: Some(&problem) })
        }
        Err(error) => trouble(jar, error),
    }
}

#[derive(Deserialize)]
struct DigitsForm {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    code: String,
}

async fn sign_in_by_digits(
    State(app): State<App>,
    Client(client): Client,
    headers: HeaderMap,
    jar: CookieJar,
    Form(form): Form<DigitsForm>,
) -> Response {
    require_ours!(app, headers, jar, form.csrf);
    let proof = Proof::Digits { email: form.email.clone(), code: form.code };
    match sign_in::sign_in(&app.database, &proof, user_agent(&headers).as_deref(), client).await {
        Ok(signed_in) => welcome(&app, &headers, jar, signed_in, client).await,
        Err(Error::Refused(refusals)) => {
            let (jar, csrf) = protect!(app, jar);
            let problem = in_words(&refusals);
            page(StatusCode::BAD_REQUEST, jar, &SignInSent { csrf: &csrf, email: &form.email, problem: Some(&problem) })
        }
        Err(error) => trouble(jar, error),
    }
}

async fn ask_to_sign_in(State(app): State<App>, Path(token): Path<String>, jar: CookieJar) -> Response {
    let request = match sign_in::by_token(&app.database, &token).await {
        Ok(request) => request,
        Err(error) => return trouble(jar, error),
    };
    let organization = match request.invitation_id {
        None => None,
        Some(id) => match invited_to(&app, id).await {
            Ok(name) => name,
            Err(error) => return trouble(jar, error),
        },
    };
    let (jar, csrf) = protect!(app, jar);
    let email = request.email.as_str();
    page(
        StatusCode::OK,
        jar,
        &SignInConfirm { csrf: &csrf, token: &token, email, organization: organization.as_deref() },
    )
}

async fn invited_to(app: &App, id: rollcall_domain::id::InvitationId) -> rollcall_domain::Result<Option<String>> {
    let mut connection = app.database.connection().await?;
    let Some(invitation) = invitation::by_id(&mut connection, id).await? else { return Ok(None) };
    Ok(Some(organization::by_id(&mut connection, invitation.organization_id).await?.name))
}

#[derive(Deserialize)]
struct PlainForm {
    #[serde(default)]
    csrf: String,
}

async fn sign_in_by_link(
    State(app): State<App>,
    Path(token): Path<String>,
    Client(client): Client,
    headers: HeaderMap,
    jar: CookieJar,
    Form(form): Form<PlainForm>,
) -> Response {
    require_ours!(app, headers, jar, form.csrf);
    match sign_in::sign_in(&app.database, &Proof::Token(token), user_agent(&headers).as_deref(), client).await {
        Ok(signed_in) => welcome(&app, &headers, jar, signed_in, client).await,
        Err(error) => trouble(jar, error),
    }
}

/// What follows a sign-in: the invitation that it was asked for is accepted (R20), or the account is shown.
async fn welcome(
    app: &App,
    headers: &HeaderMap,
    jar: CookieJar,
    signed_in: SignedIn,
    client: ClientNetwork,
) -> Response {
    let jar = with_session(app, jar, signed_in.token.reveal());
    let Some(id) = signed_in.invitation_id else { return (jar, Redirect::to("/account")).into_response() };
    let command = invitation::Accept { invitation: Named::Id(id), name: None, username: None };
    let actor = signed_in.actor();
    let user_agent = user_agent(headers);
    let outcome = invitation::accept(&app.database, Some(&actor), &command, user_agent.as_deref(), client).await;
    joined(app, jar, outcome)
}

async fn account(State(app): State<App>, jar: CookieJar) -> Response {
    let Some(actor) = signed_in!(app, jar) else { return (jar, Redirect::to("/sign-in")).into_response() };
    let found = async {
        let (user_id, current) = actor.session().ok_or(Error::Unauthenticated)?;
        let mut connection = app.database.connection().await?;
        let user = user::by_id(&mut connection, user_id).await?;
        let email = user.email.ok_or(Error::Unauthenticated)?;
        let newest = PageRequest { last: Some(SESSIONS), ..PageRequest::default() };
        let sessions = session::list(&mut connection, user_id, &newest).await?;
        let sessions = sessions.items.into_iter().map(|(_, session)| SignedInOn {
            id: session.id.to_string(),
            device: session.user_agent.unwrap_or_else(|| "An unknown device".to_owned()),
            since: shown(session.created_at),
            is_current: session.id == current,
        });
        Ok((user.name, email, sessions.collect::<Vec<_>>()))
    };
    match found.await {
        Ok((name, email, sessions)) => {
            let (jar, csrf) = protect!(app, jar);
            page(StatusCode::OK, jar, &Account { csrf: &csrf, name: &name, email: email.as_str(), sessions })
        }
        Err(error) => trouble(jar, error),
    }
}

/// Such as `29 November 2026, 14:05 UTC`.
fn shown(time: DateTime<Utc>) -> String {
    time.format("%-d %B %Y, %H:%M UTC").to_string()
}

async fn end_session(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    jar: CookieJar,
    Form(form): Form<PlainForm>,
) -> Response {
    require_ours!(app, headers, jar, form.csrf);
    let Some(actor) = signed_in!(app, jar) else { return trouble(jar, Error::Unauthenticated) };
    let Ok(id) = id.parse::<SessionId>() else {
        return trouble(jar, Error::BadRequest("There is no such session.".to_owned()));
    };
    match session::sign_out(&app.database, &actor, Some(id)).await {
        Ok(_) => (jar, Redirect::to("/account")).into_response(),
        Err(error) => trouble(jar, error),
    }
}

async fn make_token(
    State(app): State<App>,
    headers: HeaderMap,
    jar: CookieJar,
    Form(form): Form<PlainForm>,
) -> Response {
    require_ours!(app, headers, jar, form.csrf);
    let Some(actor) = signed_in!(app, jar) else { return trouble(jar, Error::Unauthenticated) };
    match session::begin_another(&app.database, &actor, user_agent(&headers).as_deref()).await {
        Ok(token) => page(StatusCode::OK, jar, &Token { token: token.reveal() }),
        Err(error) => trouble(jar, error),
    }
}

async fn sign_out(State(app): State<App>, headers: HeaderMap, jar: CookieJar, Form(form): Form<PlainForm>) -> Response {
    require_ours!(app, headers, jar, form.csrf);
    if let Some(actor) = signed_in!(app, jar)
        && let Err(error) = session::sign_out(&app.database, &actor, None).await
    {
        return trouble(jar, error);
    }
    let jar = jar.remove(form::cookie(SESSION, String::new(), app.secure_cookies));
    message(StatusCode::OK, jar, "Signed out", "This device is signed out.", Some(("/sign-in", "Sign in")))
}

// ---------------------------------------------------------------- another address

async fn ask_to_change_email(State(app): State<App>, Path(token): Path<String>, jar: CookieJar) -> Response {
    let found = async {
        let change = email_change::by_token(&app.database, &token).await?;
        let user = user::by_id(&mut *app.database.connection().await?, change.user_id).await?;
        Ok((change, user))
    };
    let (change, user) = match found.await {
        Ok(found) => found,
        Err(error) => return trouble(jar, error),
    };
    let (jar, csrf) = protect!(app, jar);
    let template = ConfirmEmailChange {
        csrf: &csrf,
        token: &token,
        username: user.username.as_str(),
        new_email: change.new_email.as_str(),
    };
    page(StatusCode::OK, jar, &template)
}

async fn change_email(
    State(app): State<App>,
    Path(token): Path<String>,
    headers: HeaderMap,
    jar: CookieJar,
    Form(form): Form<PlainForm>,
) -> Response {
    require_ours!(app, headers, jar, form.csrf);
    match email_change::confirm(&app.database, &token).await {
        Ok(email) => {
            let text = format!("Your account has the address {email} now. Sign in with it from here on.");
            message(StatusCode::OK, jar, "Your address is changed", &text, Some(("/account", "Go on")))
        }
        Err(error) => trouble(jar, error),
    }
}

// ---------------------------------------------------------------- invitations

async fn show_invitation(State(app): State<App>, Path(token): Path<String>, jar: CookieJar) -> Response {
    invitation_page(&app, jar, &token, StatusCode::OK, None, &AcceptForm::default()).await
}

/// The invitation with what can be done about it, or why nothing can.
async fn invitation_page(
    app: &App,
    jar: CookieJar,
    token: &str,
    status: StatusCode,
    problem: Option<&str>,
    typed: &AcceptForm,
) -> Response {
    let preview = match invitation::preview(&app.database, token).await {
        Ok(Some(preview)) => preview,
        Ok(None) => {
            let text =
                "The link isn't complete or isn't genuine. Copy it whole out of the mail, or ask for a new invitation.";
            return message(StatusCode::NOT_FOUND, jar, "No such invitation", text, None);
        }
        Err(error) => return trouble(jar, error),
    };
    let name = &preview.organization_name;
    let asked = match &preview.invited_by {
        Some(inviter) => format!("Ask {inviter} of {name}"),
        None => format!("Ask {name}"),
    };
    let closed = match preview.status {
        InvitationStatus::Pending => None,
        InvitationStatus::Revoked if !preview.is_newest => Some((
            "A newer mail has replaced this link",
            format!("The invitation to {name} was sent again: use the link of the newest mail."),
        )),
        InvitationStatus::Revoked => {
            Some(("This invitation was taken back", format!("{asked} if you still wish to join.")))
        }
        InvitationStatus::Expired => Some(("This invitation has expired", format!("{asked} to send you a new one."))),
        InvitationStatus::Accepted => {
            Some(("This invitation was accepted before", format!("If that was you, sign in to see {name}.")))
        }
        InvitationStatus::Declined => {
            Some(("This invitation was declined", format!("{asked} for a new one if you have changed your mind.")))
        }
    };
    if let Some((title, text)) = closed {
        return message(StatusCode::GONE, jar, title, &text, Some(("/sign-in", "Sign in")));
    }
    let actor = signed_in!(*app, jar);
    let way = match (actor, preview.account_exists) {
        (Some(actor), _) => match actor.session() {
            Some((user_id, _)) if is_for(app, &preview, user_id).await => Way::SignedIn,
            _ => Way::OtherAccount,
        },
        (None, true) => Way::SignInFirst,
        (None, false) => Way::NewAccount,
    };
    let (jar, csrf) = protect!(app, jar);
    let template = Invitation {
        csrf: &csrf,
        token,
        organization: name,
        invited_by: preview.invited_by.as_deref(),
        email: preview.email.as_ref().map(EmailAddress::as_str).unwrap_or_default(),
        role: preview.invitation.role.label(),
        expires_at: &shown(preview.invitation.expires_at),
        name: typed.name.as_deref().or(preview.invitation.name.as_deref()).unwrap_or_default(),
        username: typed.username.as_deref().unwrap_or_default(),
        problem,
        way,
    };
    page(status, jar, &template)
}

async fn is_for(app: &App, preview: &invitation::Preview, user_id: rollcall_domain::id::UserId) -> bool {
    let Ok(mut connection) = app.database.connection().await else { return false };
    user::by_id(&mut connection, user_id).await.is_ok_and(|user| user.email == preview.email)
}

#[derive(Deserialize, Default)]
struct AcceptForm {
    #[serde(default)]
    csrf: String,
    name: Option<String>,
    username: Option<String>,
}

async fn accept(
    State(app): State<App>,
    Path(token): Path<String>,
    Client(client): Client,
    headers: HeaderMap,
    jar: CookieJar,
    Form(form): Form<AcceptForm>,
) -> Response {
    require_ours!(app, headers, jar, form.csrf);
    let actor = signed_in!(app, jar);
    let command = invitation::Accept {
        invitation: Named::Token(token.clone()),
        name: form.name.clone(),
        username: form.username.clone(),
    };
    let user_agent = user_agent(&headers);
    match invitation::accept(&app.database, actor.as_ref(), &command, user_agent.as_deref(), client).await {
        Err(Error::Refused(refusals)) => {
            let problem = in_words(&refusals);
            invitation_page(&app, jar, &token, StatusCode::BAD_REQUEST, Some(&problem), &form).await
        }
        Err(Error::Unauthenticated) => {
            let problem = "This address has an account: sign in first.";
            invitation_page(&app, jar, &token, StatusCode::UNAUTHORIZED, Some(problem), &form).await
        }
        outcome => joined(&app, jar, outcome),
    }
}

/// The page after an accepted invitation.
fn joined(app: &App, jar: CookieJar, outcome: rollcall_domain::Result<invitation::Accepted>) -> Response {
    let accepted = match outcome {
        Ok(accepted) => accepted,
        Err(error) => return trouble(jar, error),
    };
    let jar = match &accepted.session {
        Some((_, token)) => with_session(app, jar, token.reveal()),
        None => jar,
    };
    let name = accepted.organization_name;
    let title = format!("Welcome to {name}");
    let text = format!("You are a member of {name} now, and signed in on this device.");
    message(StatusCode::OK, jar, &title, &text, Some(("/account", "Go on")))
}

async fn decline(
    State(app): State<App>,
    Path(token): Path<String>,
    headers: HeaderMap,
    jar: CookieJar,
    Form(form): Form<PlainForm>,
) -> Response {
    require_ours!(app, headers, jar, form.csrf);
    let actor = signed_in!(app, jar);
    match invitation::decline(&app.database, actor.as_ref(), &Named::Token(token)).await {
        Ok(()) => {
            message(StatusCode::OK, jar, "You have declined", "Nothing else happens. You can close this page.", None)
        }
        Err(error) => trouble(jar, error),
    }
}

async fn sign_in_for_invitation(
    State(app): State<App>,
    Path(token): Path<String>,
    Client(client): Client,
    headers: HeaderMap,
    jar: CookieJar,
    Form(form): Form<PlainForm>,
) -> Response {
    require_ours!(app, headers, jar, form.csrf);
    let preview = match invitation::preview(&app.database, &token).await {
        Ok(Some(preview)) if preview.status == InvitationStatus::Pending => Some(preview),
        Ok(_) => None,
        Err(error) => return trouble(jar, error),
    };
    let open = preview.and_then(|preview| Some((preview.invitation.id, preview.email?)));
    let (id, email) = match open {
        Some(open) => open,
        None => return invitation_page(&app, jar, &token, StatusCode::GONE, None, &AcceptForm::default()).await,
    };
    let user_agent = user_agent(&headers);
    match sign_in::request_for_invitation(&app.database, &email, id, user_agent.as_deref(), client).await {
        Ok(()) => {
            let text = format!("We have sent a mail to {email}. Its link signs you in and accepts the invitation.");
            message(StatusCode::OK, jar, "Look into your mail", &text, None)
        }
        Err(error) => trouble(jar, error),
    }
}

/// Where in a long collection a page begins.
#[derive(Deserialize)]
struct After {
    after: Option<String>,
}

/// What a link to a collection shows to whoever has it: reading changes nothing (R73).
async fn show_shared(
    State(app): State<App>,
    jar: CookieJar,
    Path(token): Path<String>,
    Query(After { after }): Query<After>,
) -> Response {
    let request = PageRequest { first: Some(SHARED_ITEMS), after, ..PageRequest::default() };
    let opened = match app.database.connection().await {
        Ok(mut connection) => share_link::open(&mut connection, &token, &request).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(Some(opened)) => {
            let items = opened.items.items.iter().map(|(_, item)| SharedItem {
                name: item.name.clone(),
                kind: item.kind.label(),
                size: size(item.size_bytes),
            });
            let more = opened.items.items.last().filter(|_| opened.items.has_next);
            let shared = Shared {
                name: &opened.collection.name,
                description: opened.collection.description.as_deref(),
                organization: &opened.organization_name,
                items: items.collect(),
                more: more.map(|(cursor, _)| format!("/shared/{token}?after={cursor}")),
            };
            let mut response = page(StatusCode::OK, jar, &shared);
            response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex"));
            response
        }
        Ok(None) => {
            let text =
                "The link leads nowhere: it isn't complete, has expired or was revoked. Ask whoever gave it to you.";
            message(StatusCode::NOT_FOUND, jar, "There is nothing here", text, None)
        }
        Err(error) => trouble(jar, error),
    }
}

/// A size as people read it.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut size = bytes as f64;
    let mut shown = format!("{bytes} bytes");
    for unit in UNITS {
        if size < 1_024.0 {
            break;
        }
        size /= 1_024.0;
        shown = format!("{size:.1} {unit}");
    }
    shown
}
