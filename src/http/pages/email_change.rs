//! The page that confirms a new email address.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use rollcall_domain::account::user;
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::sign_in::email_change;

use super::super::form::Notice;
use super::opened::Opened;
use super::sent::{PlainForm, Sent};
use super::visit::Answer;

#[derive(Template)]
#[template(path = "pages/email_change.html")]
struct EmailChangePage<'a> {
    site: &'a PublicUrl,
    csrf: &'a str,
    notice: &'a Notice,
    token: &'a str,
    username: &'a str,
    new_email: &'a str,
}

pub async fn show(Path(token): Path<String>, Opened { mut visit, notice }: Opened) -> Answer {
    if let Some((title, text)) = &notice.done {
        return visit.message(StatusCode::OK, title, text, Some((Route::Account, "Continue")));
    }
    let found = async {
        let change = email_change::by_token(&visit.app.database, &token).await?;
        let user = user::by_id(&mut *visit.app.database.connection().await?, change.user_id).await?;
        Ok((change, user))
    };
    let (change, user) = visit.check(found.await)?;
    let csrf = visit.protect()?;
    visit.page(&EmailChangePage {
        site: visit.site(),
        csrf: &csrf,
        notice: &notice,
        token: &token,
        username: user.username.as_str(),
        new_email: change.new_email.as_str(),
    })
}

pub async fn confirm(Path(token): Path<String>, Sent { mut visit, .. }: Sent<PlainForm>) -> Answer {
    let page = Route::EmailChange(&token);
    let outcome = email_change::confirm(&visit.app.database, &token).await;
    let email = visit.check_form(outcome, page, |refusals| Notice::refused(refusals, &[]))?;
    let text = format!("Your account now has the email address {email}. Sign in with it from now on.");
    visit.redirect_with(page, Notice::done("Your email address was changed", text))
}
