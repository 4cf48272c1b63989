//! The page of an invitation, and the forms that accept or decline it.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use rollcall_domain::Error;
use rollcall_domain::account::user;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::base::text::EmailAddress;
use rollcall_domain::membership::answering::{self, AcceptedMembership, InvitationBy, InvitationPreview};
use rollcall_domain::membership::invitation::InvitationStatus;
use rollcall_domain::membership::invitation_grants::GrantInWords;
use rollcall_domain::membership::member;
use rollcall_domain::sign_in::{self, SignInRequester};
use serde::Deserialize;

use super::super::form::Notice;
use super::opened::Opened;
use super::page::shown;
use super::sent::{PlainForm, Sent};
use super::visit::{Answer, Visit};

/// The ways to accept an invitation.
enum WayToAccept {
    NewAccount,
    SignInFirst,
    SignedIn,
    OtherAccount,
}

impl WayToAccept {
    fn is_other(&self) -> bool {
        matches!(self, Self::OtherAccount)
    }
}

#[derive(Template)]
#[template(path = "pages/invitation.html")]
struct InvitationPage<'a> {
    site: &'a PublicUrl,
    csrf: &'a str,
    notice: &'a Notice,
    token: &'a str,
    organization: &'a str,
    invited_by: Option<&'a str>,
    message: Option<&'a str>,
    grants: &'a [GrantInWords],
    email: &'a str,
    role: &'a str,
    expires_at: &'a str,
    name: &'a str,
    username: &'a str,
    way: WayToAccept,
}

#[derive(Deserialize)]
pub struct AcceptForm {
    name: Option<String>,
    username: Option<String>,
}

/// Shows the invitation with the possible actions, or why there are none.
pub async fn show(Path(token): Path<String>, Opened { mut visit, notice }: Opened) -> Answer {
    let actor = visit.signed_in().await?;
    let go_on = actor.as_ref().map(|_| (Route::Account, "Continue"));
    // The notice was written before the commit that it reports, so nothing else needs to be read to show it.
    if let Some((title, text)) = &notice.done {
        return visit.message(StatusCode::OK, title, text, go_on);
    }
    let Some(preview) = visit.check(answering::preview(&visit.app.database, &token).await)? else {
        let text =
            "The link is incomplete or isn't genuine. Copy all of it from the email, or ask for a new invitation.";
        return visit.message(StatusCode::NOT_FOUND, "Invitation not found", text, None);
    };
    let visitor = match &actor {
        Some(actor) => visit.check(visitor(&visit, &preview, actor).await)?,
        None => Visitor::Nobody,
    };
    let name = &preview.organization_name;
    if matches!(visitor, Visitor::Member) {
        let (title, text) = member_words(&preview);
        return visit.message(StatusCode::OK, &title, &text, go_on);
    }
    if let Some((title, text)) = why_closed(&preview) {
        return visit.message(StatusCode::GONE, title, &text, go_on.or(Some((Route::SignIn, "Sign in"))));
    }
    let way = match (visitor, preview.account_exists) {
        (Visitor::Invited, _) => WayToAccept::SignedIn,
        (Visitor::Member | Visitor::Another, _) => WayToAccept::OtherAccount,
        (Visitor::Nobody, true) => WayToAccept::SignInFirst,
        (Visitor::Nobody, false) => WayToAccept::NewAccount,
    };
    let csrf = visit.protect()?;
    visit.page(&InvitationPage {
        site: visit.site(),
        csrf: &csrf,
        notice: &notice,
        token: &token,
        organization: name,
        invited_by: preview.invited_by.as_deref(),
        message: preview.invitation.message.as_deref(),
        grants: &preview.grants,
        email: preview.email.as_ref().map(EmailAddress::as_str).unwrap_or_default(),
        role: preview.invitation.role.label(),
        expires_at: &shown(preview.invitation.expires_at),
        name: notice.typed("name").or(preview.invitation.name.as_deref()).unwrap_or_default(),
        username: notice.typed("username").unwrap_or_default(),
        way,
    })
}

/// Who is signed in when an invitation is opened.
enum Visitor {
    Nobody,
    /// The person whom it is for.
    Invited,
    /// The person whom it is for, if they are a member already; or any member, if the invitation is no longer pending.
    Member,
    Another,
}

async fn visitor(visit: &Visit, preview: &InvitationPreview, actor: &Actor) -> rollcall_domain::Result<Visitor> {
    let (user_id, _) = actor.session().ok_or(Error::Unauthenticated)?;
    let mut connection = visit.app.database.connection().await?;
    let organization_id = preview.invitation.organization_id;
    let is_member = !member::active_among(&mut connection, organization_id, &[user_id]).await?.is_empty();
    let is_open = preview.status == InvitationStatus::Pending;
    let is_invited = is_open && user::by_id(&mut connection, user_id).await?.email == preview.email;
    Ok(match (is_member, is_open, is_invited) {
        (true, _, true) | (true, false, _) => Visitor::Member,
        (false, _, true) => Visitor::Invited,
        (_, _, false) => Visitor::Another,
    })
}

/// The text for a member who opens their link again.
fn member_words(preview: &InvitationPreview) -> (String, String) {
    let name = &preview.organization_name;
    let text = match preview.status {
        InvitationStatus::Accepted => format!(
            "This invitation was already accepted. There is nothing more to do: {name} is one of your organizations."
        ),
        _ => format!("There is nothing to accept: {name} is already one of your organizations."),
    };
    (format!("You are a member of {name}"), text)
}

/// Why an invitation can't be answered any more.
fn why_closed(preview: &InvitationPreview) -> Option<(&'static str, String)> {
    let name = &preview.organization_name;
    let asked = match &preview.invited_by {
        Some(inviter) => format!("Ask {inviter} at {name}"),
        None => format!("Ask {name}"),
    };
    match preview.status {
        InvitationStatus::Pending => None,
        InvitationStatus::Revoked if !preview.is_newest => Some((
            "A newer email has replaced this link",
            format!("The invitation to {name} was sent again: use the link in the newest email."),
        )),
        InvitationStatus::Revoked => {
            Some(("This invitation was taken back", format!("{asked} if you would still like to join.")))
        }
        InvitationStatus::Expired => Some(("This invitation has expired", format!("{asked} to send you a new one."))),
        InvitationStatus::Accepted => {
            Some(("This invitation was already accepted", format!("If that was you, sign in to see {name}.")))
        }
        InvitationStatus::Declined => {
            Some(("This invitation was declined", format!("{asked} for a new one if you have changed your mind.")))
        }
    }
}

pub async fn accept(Path(token): Path<String>, Sent { mut visit, form, fields, .. }: Sent<AcceptForm>) -> Answer {
    let page = Route::Invitation(&token);
    let actor = visit.signed_in().await?;
    let new = visit.new_session(&form, &[])?;
    if visit.has_begun(&new).await? {
        return accepted_before(visit, new.token().reveal(), page);
    }
    let command = answering::AcceptInvitation {
        invitation: InvitationBy::Token(token.clone()),
        name: fields.name.clone(),
        username: fields.username.clone(),
    };
    let outcome = answering::accept(&visit.app.database, actor.as_ref(), &command, &new, visit.client).await;
    // The form was sent twice at the same moment, and the browser shows only the second response.
    if matches!(outcome, Err(Error::Refused(_) | Error::Unauthenticated)) && visit.has_begun(&new).await? {
        return accepted_before(visit, new.token().reveal(), page);
    }
    if matches!(outcome, Err(Error::Unauthenticated)) {
        return visit.redirect_with(page, Notice::problem("This email address has an account: sign in first."));
    }
    let accepted = visit.check_form(outcome, page, |refusals| {
        Notice::refused(refusals, &["name", "username"])
            .with("name", fields.name.as_deref())
            .with("username", fields.username.as_deref())
    })?;
    if accepted.session.is_some() {
        visit.begin_session(new.token().reveal());
    }
    visit.redirect_with(page, joined(&accepted))
}

/// Handles a form that was accepted before and has created the account: signs this device in.
fn accepted_before(mut visit: Visit, token: &str, page: Route<'_>) -> Answer {
    visit.begin_session(token);
    visit.redirect(page)
}

/// The notice after an invitation was accepted.
pub fn joined(accepted: &AcceptedMembership) -> Notice {
    let name = &accepted.organization_name;
    let text = format!("You are now a member of {name}, and signed in on this device.");
    Notice::done(format!("Welcome to {name}"), text)
}

pub async fn decline(Path(token): Path<String>, Sent { mut visit, .. }: Sent<PlainForm>) -> Answer {
    let page = Route::Invitation(&token);
    let actor = visit.signed_in().await?;
    let outcome = answering::decline(&visit.app.database, actor.as_ref(), &InvitationBy::Token(token.clone())).await;
    visit.check_form(outcome, page, |refusals| Notice::refused(refusals, &[]))?;
    let text = "Nothing else will happen. You can close this page.";
    visit.redirect_with(page, Notice::done("You declined the invitation", text))
}

pub async fn mail_link(Path(token): Path<String>, Sent { mut visit, form, .. }: Sent<PlainForm>) -> Answer {
    let page = Route::Invitation(&token);
    let preview = visit.check(answering::preview(&visit.app.database, &token).await)?;
    let open = preview.filter(|preview| preview.status == InvitationStatus::Pending);
    // The page of the invitation says why it is no longer pending.
    let Some((id, email)) = open.and_then(|preview| Some((preview.invitation.id, preview.email?))) else {
        return visit.redirect(page);
    };
    let digest = visit.form_digest(&form, &[])?;
    let asking = SignInRequester { user_agent: visit.user_agent.as_deref(), form_digest: Some(&digest) };
    let outcome = sign_in::request_for_invitation(&visit.app.database, &email, id, asking, visit.client).await;
    visit.check(outcome)?;
    let text = format!("We sent an email to {email}. The link in it signs you in and accepts the invitation.");
    visit.redirect_with(page, Notice::done("Check your email", text))
}
