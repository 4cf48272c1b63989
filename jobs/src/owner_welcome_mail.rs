//! Tells someone that staff founded an organization for them (R1).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailOwnerWelcome;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::organization;

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, OwnerWelcome};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailOwnerWelcome) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let organization = organization::by_id(&mut reader, payload.organization_id).await.map_err(job_error)?;
    let owner = user::by_id(&mut reader, payload.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = owner.email else { return Ok(()) };
    let mail = OwnerWelcome { organization_name: organization.name, sign_in_link: context.link(Route::SignIn) };
    let envelope = Envelope {
        key: format!("owner-welcome.{}.{}", payload.organization_id, payload.user_id),
        address: email.to_string(),
        name: Some(owner.name),
        date: organization.created_at,
    };
    context.send(job, mail.render(envelope)).await
}
