//! Tokens for other clients. Each is a session of the account.

use askama::Template;
use rollcall_domain::Error;
use rollcall_domain::account::session::{self, NewSession};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::{PublicUrl, Route};

use super::super::form::{Notice, OurForm};
use super::opened::OpenedBySignedIn;
use super::sent::SentBySignedIn;
use super::visit::{Answer, EarlyAnswer, Visit};

#[derive(Template)]
#[template(path = "pages/token.html")]
struct TokenPage<'a> {
    site: &'a PublicUrl,
    token: &'a str,
    minutes: u64,
}

/// The session that a form creates a token for.
fn of_form(visit: &Visit, actor: &Actor, form: &OurForm) -> Result<NewSession, EarlyAnswer> {
    let (user_id, session_id) = visit.check(actor.session().ok_or(Error::Unauthenticated))?;
    visit.new_session(form, &[&user_id.to_string(), &session_id.to_string()])
}

/// Creates a token. It isn't stored: the page that shows it derives it again from the form.
pub async fn make(SentBySignedIn { mut visit, form, csrf, actor, .. }: SentBySignedIn) -> Answer {
    let new = of_form(&visit, &actor, &form)?;
    if !visit.has_begun(&new).await? {
        match session::begin_another(&visit.app.database, &actor, &new).await {
            Err(Error::Refused(_)) if visit.has_begun(&new).await? => {}
            outcome => {
                visit.check_form(outcome, Route::Account, |refusals| Notice::refused(refusals, &[]))?;
            }
        }
    }
    visit.redirect_with(Route::AccountToken, Notice::default().with("csrf", Some(&csrf)))
}

/// Shows the token that a form created a moment ago.
pub async fn show(OpenedBySignedIn { mut visit, notice, actor }: OpenedBySignedIn) -> Answer {
    let Some(csrf) = notice.typed("csrf") else { return visit.redirect(Route::Account) };
    let new = of_form(&visit, &actor, &visit.require_ours(csrf)?)?;
    if !visit.has_begun(&new).await? {
        return visit.redirect(Route::Account);
    }
    let minutes = limits::FORM_SENT_AGAIN.as_secs() / 60;
    visit.keep_notice(Route::AccountToken, notice)?;
    visit.page(&TokenPage { site: visit.site(), token: new.token().reveal(), minutes })
}
