//! The account page, and the devices on which the account is signed in.

use askama::Template;
use axum::extract::Path;
use rollcall_domain::Error;
use rollcall_domain::account::session::{self, Session};
use rollcall_domain::account::user;
use rollcall_domain::base::device;
use rollcall_domain::base::id::SessionId;
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::base::page::PageRequest;

use super::super::form::Notice;
use super::opened::OpenedBySignedIn;
use super::page::shown;
use super::sent::SentBySignedIn;
use super::visit::Answer;

/// How many sessions the page shows, newest first.
const SESSIONS: i32 = 50;

#[derive(Template)]
#[template(path = "pages/account.html")]
struct AccountPage<'a> {
    site: &'a PublicUrl,
    csrf: &'a str,
    notice: &'a Notice,
    name: &'a str,
    email: &'a str,
    sessions: Vec<SessionLine>,
}

/// A session, as the page shows it.
struct SessionLine {
    id: String,
    device: String,
    since: String,
    last_seen: String,
    is_current: bool,
}

impl SessionLine {
    fn of(session: Session, current: SessionId) -> Self {
        let device = match session.user_agent {
            // Programs are shown by their own User-Agent. Those of browsers contain the names of other browsers too.
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

/// A text with a capital first letter, such as `An app on an iPhone`.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}

pub async fn show(OpenedBySignedIn { mut visit, notice, actor }: OpenedBySignedIn) -> Answer {
    let found = async {
        let (user_id, current) = actor.session().ok_or(Error::Unauthenticated)?;
        let mut connection = visit.app.database.connection().await?;
        let user = user::by_id(&mut connection, user_id).await?;
        let email = user.email.ok_or(Error::Unauthenticated)?;
        let newest = PageRequest { last: Some(SESSIONS), ..PageRequest::default() };
        let sessions = session::list(&mut connection, user_id, &newest).await?.items;
        let sessions = sessions.into_iter().map(|(_, session)| SessionLine::of(session, current));
        Ok((user.name, email, sessions.collect::<Vec<_>>()))
    };
    let (name, email, sessions) = visit.check(found.await)?;
    let csrf = visit.protect()?;
    let site = visit.site();
    visit.page(&AccountPage { site, csrf: &csrf, notice: &notice, name: &name, email: email.as_str(), sessions })
}

pub async fn end_session(Path(id): Path<String>, SentBySignedIn { mut visit, actor, .. }: SentBySignedIn) -> Answer {
    if let Ok(id) = id.parse::<SessionId>() {
        match session::sign_out(&visit.app.database, &actor, Some(id)).await {
            // The session has already ended, which is what was wanted.
            Err(Error::Refused(_)) => {}
            outcome => {
                visit.check(outcome)?;
            }
        }
    }
    visit.redirect_with(Route::Account, Notice::done("Done", "That session has ended, and its device is signed out."))
}

pub async fn end_other_sessions(SentBySignedIn { mut visit, actor, .. }: SentBySignedIn) -> Answer {
    visit.check(session::end_others(&visit.app.database, &actor).await)?;
    visit.redirect_with(Route::Account, Notice::done("Done", "You are now signed in on this device only."))
}
