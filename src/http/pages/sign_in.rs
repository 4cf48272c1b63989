//! The pages for signing in, by the emailed link or its six digits, and for signing out.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use rollcall_domain::Error;
use rollcall_domain::account::session::{self, NewSession};
use rollcall_domain::base::id::InvitationId;
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::membership::answering::{self, InvitationBy};
use rollcall_domain::membership::{invitation, organization};
use rollcall_domain::sign_in::{self, Proof, SignInRequester, SignedIn};
use serde::Deserialize;

use super::super::form::Notice;
use super::error_page::in_words;
use super::invitation::joined;
use super::opened::Opened;
use super::sent::{PlainForm, Sent};
use super::visit::{Answer, Visit};

#[derive(Template)]
#[template(path = "pages/sign_in_form.html")]
struct SignInPage<'a> {
    site: &'a PublicUrl,
    csrf: &'a str,
    notice: &'a Notice,
    /// The address that is already signed in on this device.
    signed_in: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/sign_in_sent.html")]
struct SignInSentPage<'a> {
    site: &'a PublicUrl,
    csrf: &'a str,
    notice: &'a Notice,
    email: &'a str,
}

#[derive(Template)]
#[template(path = "pages/sign_in_confirm.html")]
struct SignInConfirmPage<'a> {
    site: &'a PublicUrl,
    csrf: &'a str,
    notice: &'a Notice,
    token: &'a str,
    email: &'a str,
    organization: Option<&'a str>,
}

#[derive(Deserialize)]
pub struct EmailForm {
    #[serde(default)]
    email: String,
}

#[derive(Deserialize)]
pub struct CodeForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    code: String,
}

pub async fn ask_for_mail(Opened { mut visit, notice }: Opened) -> Answer {
    let signed_in = match visit.signed_in().await? {
        Some(actor) => Some(visit.email_of(&actor).await?),
        None => None,
    };
    let csrf = visit.protect()?;
    visit.page(&SignInPage { site: visit.site(), csrf: &csrf, notice: &notice, signed_in })
}

pub async fn send_mail(Sent { mut visit, form, fields, .. }: Sent<EmailForm>) -> Answer {
    let email = fields.email.trim();
    let digest = visit.form_digest(&form, &[email])?;
    let asking = SignInRequester { user_agent: visit.user_agent.as_deref(), form_digest: Some(&digest) };
    let outcome = sign_in::request(&visit.app.database, email, asking, visit.client).await;
    let outcome = outcome.map_err(|error| match error {
        // On this page, the message isn't preceded by the name of its field.
        Error::Refused(mut refusals) => {
            refusals.iter_mut().for_each(|refusal| refusal.message = format!("the address {}", refusal.message));
            Error::Refused(refusals)
        }
        other => other,
    });
    visit.check_form(outcome, Route::SignIn, |refusals| {
        Notice::refused(refusals, &["email"]).with("email", Some(email))
    })?;
    visit.remember_email(email);
    visit.redirect(Route::SignInCode)
}

pub async fn ask_for_code(Opened { mut visit, notice }: Opened) -> Answer {
    let Some(email) = visit.remembered_email() else {
        // The person has signed in since then, or never requested an email.
        return match visit.signed_in().await? {
            Some(_) => visit.redirect(Route::Account),
            None => visit.redirect(Route::SignIn),
        };
    };
    let csrf = visit.protect()?;
    visit.page(&SignInSentPage { site: visit.site(), csrf: &csrf, notice: &notice, email: &email })
}

pub async fn sign_in_by_code(Sent { visit, form, fields, .. }: Sent<CodeForm>) -> Answer {
    let new = visit.new_session(&form, &[&fields.email, &fields.code])?;
    let proof = Proof::Digits { email: fields.email, code: fields.code };
    sign_in(visit, &proof, new, Route::SignInCode).await
}

pub async fn ask_to_sign_in(Path(token): Path<String>, Opened { mut visit, notice }: Opened) -> Answer {
    let request = match sign_in::by_token(&visit.app.database, &token).await {
        Err(Error::Refused(refusals)) => {
            // For example, somebody who is signed in with the link has opened it again.
            return match visit.signed_in().await? {
                Some(actor) => {
                    let email = visit.email_of(&actor).await?;
                    let text = format!("This device is signed in as {email}. {}", in_words(&refusals));
                    visit.message(StatusCode::OK, "You are signed in", &text, Some((Route::Account, "Continue")))
                }
                None => visit.check(Err(Error::Refused(refusals))),
            };
        }
        outcome => visit.check(outcome)?,
    };
    let organization = match request.invitation_id {
        None => None,
        Some(id) => visit.check(invited_to(&visit, id).await)?,
    };
    let csrf = visit.protect()?;
    visit.page(&SignInConfirmPage {
        site: visit.site(),
        csrf: &csrf,
        notice: &notice,
        token: &token,
        email: request.email.as_str(),
        organization: organization.as_deref(),
    })
}

async fn invited_to(visit: &Visit, id: InvitationId) -> rollcall_domain::Result<Option<String>> {
    let mut connection = visit.app.database.connection().await?;
    let Some(invitation) = invitation::by_id(&mut connection, id).await? else { return Ok(None) };
    Ok(Some(organization::by_id(&connection, invitation.organization_id).await?.name))
}

pub async fn sign_in_by_link(Path(token): Path<String>, Sent { visit, form, .. }: Sent<PlainForm>) -> Answer {
    let new = visit.new_session(&form, &[])?;
    let proof = Proof::Token(token.clone());
    sign_in(visit, &proof, new, Route::SignInLink(&token)).await
}

/// Signs in, or shows on the form's page why that failed.
async fn sign_in(mut visit: Visit, proof: &Proof, new: NewSession, page: Route<'_>) -> Answer {
    if !visit.has_begun(&new).await? {
        match sign_in::sign_in(&visit.app.database, proof, &new, visit.client).await {
            Ok(signed_in) => return welcome(visit, signed_in, new).await,
            // The form was sent twice at the same moment, and the browser shows only the second response.
            Err(Error::Refused(_)) if visit.has_begun(&new).await? => {}
            outcome => {
                visit.check_form(outcome, page, |refusals| Notice::refused(refusals, &["code"]))?;
            }
        }
    }
    visit.begin_session(new.token().reveal());
    go_on(visit)
}

/// Redirects to the resource that was to be shown, or to the account.
fn go_on(mut visit: Visit) -> Answer {
    match visit.take_resource() {
        Some(id) => visit.redirect(Route::Resource(&id.to_string())),
        None => visit.redirect(Route::Account),
    }
}

/// Continues after a sign-in. If it was requested for an invitation, the invitation is accepted (R20). Otherwise it
/// redirects to the resource that was to be shown, or to the account.
async fn welcome(mut visit: Visit, signed_in: SignedIn, new: NewSession) -> Answer {
    visit.begin_session(new.token().reveal());
    let Some(id) = signed_in.invitation_id else { return go_on(visit) };
    let command = answering::AcceptInvitation { invitation: InvitationBy::Id(id), name: None, username: None };
    let actor = signed_in.actor();
    let outcome = answering::accept(&visit.app.database, Some(&actor), &command, &new, visit.client).await;
    let accepted = visit.check_form(outcome, Route::Account, |refusals| Notice::refused(refusals, &[]))?;
    visit.redirect_with(Route::Account, joined(&accepted))
}

pub async fn sign_out(Sent { mut visit, .. }: Sent<PlainForm>) -> Answer {
    if let Some(actor) = visit.signed_in().await? {
        match session::sign_out(&visit.app.database, &actor, None).await {
            // The session was ended at the same moment.
            Err(Error::Refused(_)) => {}
            outcome => {
                visit.check(outcome)?;
            }
        }
    }
    visit.end_session();
    visit.redirect_with(Route::SignIn, Notice::done("Signed out", "This device is signed out."))
}
