//! The account: where it is signed in, and tokens for other clients.

use askama::Template;
use axum::extract::{Form, Path};
use rollcall_domain::Error;
use rollcall_domain::account::session::{self, NewSession, Session};
use rollcall_domain::account::user;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::id::SessionId;
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::base::page::PageRequest;
use rollcall_domain::base::{device, limits};

use super::super::form::Notice;
use super::shown;
use super::sign_in::PlainForm;
use super::visit::{Answer, Ended, Visit};

/// How many sessions the page shows, the newest.
const SESSIONS: i32 = 50;

#[derive(Template)]
#[template(path = "pages/account.html")]
struct Account<'a> {
    site: &'a PublicUrl,
    csrf: &'a str,
    notice: &'a Notice,
    name: &'a str,
    email: &'a str,
    sessions: Vec<SignedInOn>,
}

/// A session as its person knows it.
struct SignedInOn {
    id: String,
    device: String,
    since: String,
    last_seen: String,
    is_current: bool,
}

impl SignedInOn {
    fn of(session: Session, current: SessionId) -> Self {
        let device = match session.user_agent {
            // Programs are known by what they call themselves; browsers call themselves by one another's names.
            Some(agent) if !agent.is_empty() && !agent.starts_with("Mozilla/") => agent,
            agent => capitalized(&device::name(agent.as_deref())),
        };
        Self {
            id: session.id.to_string(),
            device,
            since: shown(session.created_at),
            last_seen: shown(session.last_seen_at),
            is_current: session.id == current,
        }
    }
}

/// Such as `An app on an iPhone`.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}

#[derive(Template)]
#[template(path = "pages/token.html")]
struct Token<'a> {
    site: &'a PublicUrl,
    token: &'a str,
    minutes: u64,
}

pub async fn show(mut visit: Visit) -> Answer {
    let notice = visit.take_notice();
    let Some(actor) = visit.signed_in().await? else { return visit.redirect(Route::SignIn) };
    let found = async {
        let (user_id, current) = actor.session().ok_or(Error::Unauthenticated)?;
        let mut connection = visit.app.database.connection().await?;
        let user = user::by_id(&mut connection, user_id).await?;
        let email = user.email.ok_or(Error::Unauthenticated)?;
        let newest = PageRequest { last: Some(SESSIONS), ..PageRequest::default() };
        let sessions = session::list(&mut connection, user_id, &newest).await?.items;
        let sessions = sessions.into_iter().map(|(_, session)| SignedInOn::of(session, current));
        Ok((user.name, email, sessions.collect::<Vec<_>>()))
    };
    let (name, email, sessions) = visit.check(found.await)?;
    let csrf = visit.protect()?;
    let site = visit.site();
    visit.page(&Account { site, csrf: &csrf, notice: &notice, name: &name, email: email.as_str(), sessions })
}

pub async fn end_session(mut visit: Visit, Path(id): Path<String>, Form(form): Form<PlainForm>) -> Answer {
    visit.require_ours(&form.csrf)?;
    let actor = visit.require_signed_in().await?;
    if let Ok(id) = id.parse::<SessionId>() {
        match session::sign_out(&visit.app.database, &actor, Some(id)).await {
            // Nobody has it any more, which is what was wanted.
            Err(Error::Refused(_)) => {}
            outcome => {
                visit.check(outcome)?;
            }
        }
    }
    visit.redirect_with(Route::Account, Notice::done("Done", "That session has ended: whoever has it is signed out."))
}

pub async fn end_other_sessions(mut visit: Visit, Form(form): Form<PlainForm>) -> Answer {
    visit.require_ours(&form.csrf)?;
    let actor = visit.require_signed_in().await?;
    visit.check(session::end_others(&visit.app.database, &actor).await)?;
    visit.redirect_with(Route::Account, Notice::done("Done", "You are signed in on this device only."))
}

/// The session that a form makes a token of.
fn of_form(visit: &Visit, actor: &Actor, field: &str) -> Result<NewSession, Ended> {
    let ours = visit.require_ours(field)?;
    let (user_id, session_id) = visit.check(actor.session().ok_or(Error::Unauthenticated))?;
    visit.new_session(&ours, &[&user_id.to_string(), &session_id.to_string()])
}

pub async fn make_token(mut visit: Visit, Form(form): Form<PlainForm>) -> Answer {
    visit.require_ours(&form.csrf)?;
    let actor = visit.require_signed_in().await?;
    let new = of_form(&visit, &actor, &form.csrf)?;
    if !visit.has_begun(&new).await? {
        match session::begin_another(&visit.app.database, &actor, &new).await {
            Err(Error::Refused(_)) if visit.has_begun(&new).await? => {}
            outcome => {
                visit.check_form(outcome, Route::Account, |refusals| Notice::refused(refusals, &[]))?;
            }
        }
    }
    // The token isn't kept: the page derives it again from the form.
    visit.redirect_with(Route::AccountToken, Notice::default().with("csrf", Some(&form.csrf)))
}

/// The token that a form has made a moment ago.
pub async fn show_token(mut visit: Visit) -> Answer {
    let notice = visit.take_notice();
    let Some(actor) = visit.signed_in().await? else { return visit.redirect(Route::SignIn) };
    let Some(field) = notice.typed("csrf") else { return visit.redirect(Route::Account) };
    let new = of_form(&visit, &actor, field)?;
    if !visit.has_begun(&new).await? {
        return visit.redirect(Route::Account);
    }
    let minutes = limits::FORM_SENT_AGAIN.as_secs() / 60;
    visit.keep_notice(Route::AccountToken, notice)?;
    visit.page(&Token { site: visit.site(), token: new.token().reveal(), minutes })
}
