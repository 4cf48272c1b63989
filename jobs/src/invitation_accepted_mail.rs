//! Tells the inviter that an invitation was accepted, while they are an active member.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::authority::membership::MemberStatus;
use rollcall_domain::base::job::MailInvitationAccepted;
use rollcall_domain::membership::{invitation, member, organization};

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, InvitationAccepted};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailInvitationAccepted) -> Result<(), JobError> {
    let MailInvitationAccepted { invitation_id: id, member_id } = *payload;
    let mut reader = connection(context).await?;
    let Some(invitation) = invitation::by_id(&mut reader, id).await.map_err(job_error)? else { return Ok(()) };
    let Some(joined) = member::by_ids(&mut reader, &[member_id]).await.map_err(job_error)?.pop() else { return Ok(()) };
    let (organization_id, inviter_id) = (invitation.organization_id, invitation.invited_by_id);
    let inviter = member::of(&mut reader, organization_id, inviter_id).await.map_err(job_error)?;
    let organization = organization::by_id(&mut reader, organization_id).await.map_err(job_error)?;
    let is_told = inviter.is_some_and(|inviter| inviter.status == MemberStatus::Active);
    if !is_told || organization.deleted_at.is_some() {
        return Ok(());
    }
    let inviter = user::by_id(&mut reader, inviter_id).await.map_err(job_error)?;
    let person = user::by_id(&mut reader, joined.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = inviter.email else { return Ok(()) };
    let mail = InvitationAccepted {
        organization_name: organization.name,
        member_name: person.name,
        username: person.username.to_string(),
        role: invitation.role.label().to_owned(),
        joined_at: joined.joined_at,
    };
    let envelope = Envelope {
        key: format!("invitation-accepted.{id}"),
        address: email.to_string(),
        name: Some(inviter.name),
        date: joined.joined_at,
    };
    context.send(job, mail.render(envelope)).await
}
