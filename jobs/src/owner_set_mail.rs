//! Tells someone that staff gave them an organization (R1).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailOwnerSet;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::organization;

use crate::context::{Context, connection, job_error, noticed_at};
use crate::mail::{Envelope, OwnerSet};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailOwnerSet) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let organization = organization::by_id(&mut reader, payload.organization_id).await.map_err(job_error)?;
    let owner = user::by_id(&mut reader, payload.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = owner.email else { return Ok(()) };
    let mail = OwnerSet { organization_name: organization.name, sign_in_link: context.link(Route::SignIn) };
    let envelope = Envelope {
        key: format!("owner-set.{}", payload.notice),
        address: email.to_string(),
        name: Some(owner.name),
        date: noticed_at(payload.notice)?,
    };
    context.send(job, mail.render(envelope)).await
}
