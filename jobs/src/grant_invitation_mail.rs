//! Mails an address what was shared with it.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::{grant_invitation, user};
use rollcall_domain::base::job::MailGrantInvitation;
use rollcall_domain::base::link::Route;
use rollcall_domain::membership::organization;
use rollcall_domain::{database, resource};

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, GrantInvitation, SOMEBODY};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailGrantInvitation) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found =
        grant_invitation::invitation_by_id(&mut reader, payload.grant_invitation_id).await.map_err(job_error)?;
    let now = database::now(&mut reader).await.map_err(job_error)?;
    // What is taken up or back by now is no news.
    let Some(shared) = found.filter(|shared| shared.expires_at > now) else { return Ok(()) };
    let resource = resource::by_ids(&mut reader, &[shared.resource_id]).await.map_err(job_error)?.pop();
    let Some(resource) = resource else { return Ok(()) };
    let organization = organization::by_id(&mut reader, shared.organization_id).await.map_err(job_error)?;
    if organization.deleted_at.is_some() {
        return Ok(());
    }
    let inviter = user::by_id(&mut reader, shared.invited_by_id).await.map_err(job_error)?;
    drop(reader);
    let mail = GrantInvitation {
        // Who acts for an organization that doesn't show it is nobody's to know (R77).
        inviter_name: match organization.member_directory.shows_structure() {
            true => inviter.name,
            false => SOMEBODY.to_owned(),
        },
        organization_name: organization.name,
        kind: resource.kind.label().to_owned(),
        resource_name: resource.name,
        level: shared.level.as_str().to_owned(),
        expires_at: shared.expires_at,
        link: context.link(Route::Resource(&resource.id.to_string())),
    };
    let envelope = Envelope {
        key: format!("grant-invitation.{}.{}", shared.id, shared.created_at.timestamp()),
        address: shared.email.to_string(),
        name: None,
        date: shared.created_at,
    };
    organization::take_mail_turn(&context.database, shared.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}
