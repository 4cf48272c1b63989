//! The mails of a change of address: the link to the new one, and what the old one hears of it.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user::{self, User};
use rollcall_domain::base::id::EmailChangeId;
use rollcall_domain::base::job::{MailEmailChangeLink, MailEmailChangeRequested, MailEmailChanged};
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;
use rollcall_domain::database;
use rollcall_domain::sign_in::email_change::{self, EmailChange};

use crate::context::{Context, connection, job_error};
use crate::mail::{EmailChangeLink, EmailChangeRequested, EmailChanged, Envelope};

/// Mails the link that confirms the new address.
pub(crate) async fn link(context: &Context, job: &ClaimedJob, payload: &MailEmailChangeLink) -> Result<(), JobError> {
    let Some((change, user)) = find(context, payload.email_change_id).await? else { return Ok(()) };
    // A link that can't be used any more would only puzzle.
    let now = database::now(&mut *connection(context).await?).await.map_err(job_error)?;
    if change.why_closed(now).is_some() {
        return Ok(());
    }
    let token = email_change::link_token(&context.database, change.id).map_err(job_error)?;
    let mail = EmailChangeLink {
        username: user.username.to_string(),
        link: context.link(Route::EmailChange(token.reveal())),
        link_minutes: u32::try_from(limits::EMAIL_CHANGE_LIFETIME.as_secs() / 60).unwrap_or(u32::MAX),
    };
    let envelope = Envelope {
        key: format!("email-change-link.{}", change.id),
        address: change.new_email.to_string(),
        // Whoever reads the address's mails may be somebody else.
        name: None,
        date: change.created_at,
    };
    context.send(job, mail.render(envelope)).await
}

/// Tells the old address that another one was asked for.
pub(crate) async fn requested(
    context: &Context,
    job: &ClaimedJob,
    payload: &MailEmailChangeRequested,
) -> Result<(), JobError> {
    let Some((change, user)) = find(context, payload.email_change_id).await? else { return Ok(()) };
    // The mail that it was changed is on its way: this one would say that nothing has changed.
    if change.confirmed_at.is_some() {
        return Ok(());
    }
    let mail = EmailChangeRequested {
        username: user.username.to_string(),
        new_address: change.new_email.to_string(),
        requested_at: change.created_at,
        account_link: context.link(Route::Account),
    };
    let envelope = Envelope {
        key: format!("email-change-requested.{}", change.id),
        address: change.old_email.to_string(),
        name: greeted(user),
        date: change.created_at,
    };
    context.send(job, mail.render(envelope)).await
}

/// Tells the old address that the new one took its place.
pub(crate) async fn changed(context: &Context, job: &ClaimedJob, payload: &MailEmailChanged) -> Result<(), JobError> {
    let Some((change, user)) = find(context, payload.email_change_id).await? else { return Ok(()) };
    let Some(confirmed_at) = change.confirmed_at else { return Ok(()) };
    let mail = EmailChanged {
        username: user.username.to_string(),
        new_address: change.new_email.to_string(),
        changed_at: confirmed_at,
    };
    let envelope = Envelope {
        key: format!("email-changed.{}", change.id),
        address: change.old_email.to_string(),
        name: greeted(user),
        date: confirmed_at,
    };
    context.send(job, mail.render(envelope)).await
}

/// A deleted account has no name to greet.
fn greeted(user: User) -> Option<String> {
    user.deleted_at.is_none().then_some(user.name)
}

async fn find(context: &Context, id: EmailChangeId) -> Result<Option<(EmailChange, User)>, JobError> {
    let mut reader = connection(context).await?;
    let Some(change) = email_change::by_id(&mut reader, id).await.map_err(job_error)? else { return Ok(None) };
    let user = user::by_id(&mut reader, change.user_id).await.map_err(job_error)?;
    Ok(Some((change, user)))
}
