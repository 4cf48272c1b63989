//! Confirming another address.

use askama::Template;
use axum::extract::{Form, Path};
use axum::http::StatusCode;
use rollcall_domain::account::user;
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::sign_in::email_change;

use super::super::form::Notice;
use super::sign_in::PlainForm;
use super::visit::{Answer, Visit};

#[derive(Template)]
#[template(path = "pages/email_change.html")]
struct ConfirmEmailChange<'a> {
    site: &'a PublicUrl,
    csrf: &'a str,
    notice: &'a Notice,
    token: &'a str,
    username: &'a str,
    new_email: &'a str,
}

pub async fn show(mut visit: Visit, Path(token): Path<String>) -> Answer {
    let notice = visit.take_notice();
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
    visit.page(&ConfirmEmailChange {
        site: visit.site(),
        csrf: &csrf,
        notice: &notice,
        token: &token,
        username: user.username.as_str(),
        new_email: change.new_email.as_str(),
    })
}

pub async fn confirm(mut visit: Visit, Path(token): Path<String>, Form(form): Form<PlainForm>) -> Answer {
    visit.require_ours(&form.csrf)?;
    let page = Route::EmailChange(&token);
    let outcome = email_change::confirm(&visit.app.database, &token).await;
    let email = visit.check_form(outcome, page, |refusals| Notice::refused(refusals, &[]))?;
    let text = format!("Your account has the address {email} now. Sign in with it from here on.");
    visit.redirect_with(page, Notice::done("Your address is changed", text))
}
