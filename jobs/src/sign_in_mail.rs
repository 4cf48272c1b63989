//! Mails the link and digits of a sign-in.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::base::id::TypedId;
use rollcall_domain::base::job::MailSignIn;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;
use rollcall_domain::base::secret::Purpose;
use rollcall_domain::membership::{invitation, organization};
use rollcall_domain::{database, sign_in};

use crate::context::{Context, connection, hold, job_error};
use crate::mail::{Envelope, SignIn};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailSignIn) -> Result<(), JobError> {
    let id = payload.sign_in_request_id;
    sign_in::record_request(&context.database, id, &hold(job)).await.map_err(job_error)?;
    let mut reader = connection(context).await?;
    let Some(request) = sign_in::by_id(&mut reader, id).await.map_err(job_error)? else { return Ok(()) };
    // A mail that can't be used any more would only puzzle.
    let now = database::now(&mut reader).await.map_err(job_error)?;
    if request.used_at.is_some() || request.link_expires_at() <= now {
        return Ok(());
    }
    let organization_name = match request.invitation_id {
        None => None,
        Some(invitation_id) => match invitation::by_id(&mut reader, invitation_id).await.map_err(job_error)? {
            None => None,
            Some(invitation) => {
                Some(organization::by_id(&mut reader, invitation.organization_id).await.map_err(job_error)?.name)
            }
        },
    };
    drop(reader);
    // A retry is still the same mail.
    if job.attempt == 1 && !sign_in::take_mail_turn(&context.database, &request).await.map_err(job_error)? {
        tracing::info!("not sent: this address has had enough such mails, or strangers have from there");
        return Ok(());
    }
    let keyring = context.database.keyring();
    let token = keyring.link_token(Purpose::SignInLink, id.uuid(), 1).map_err(job_error)?;
    let minutes = |lifetime: std::time::Duration| u32::try_from(lifetime.as_secs() / 60).unwrap_or(u32::MAX);
    let mail = SignIn {
        link: context.link(Route::SignInLink(token.reveal())),
        digits: keyring.digits(id.uuid()).map_err(job_error)?,
        link_minutes: minutes(limits::SIGN_IN_LINK_LIFETIME),
        digits_minutes: minutes(limits::SIGN_IN_DIGITS_LIFETIME),
        user_agent: request.user_agent,
        organization_name,
    };
    let envelope = Envelope {
        key: format!("sign-in.{id}"),
        address: request.email.to_string(),
        name: None,
        date: request.created_at,
    };
    context.send(job, mail.render(envelope)).await
}
