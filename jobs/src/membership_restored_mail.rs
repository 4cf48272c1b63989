//! Tells someone that they are a member again whom an owner or admin has brought back.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::id::MemberId;
use rollcall_domain::job::MailMembershipRestored;
use rollcall_domain::member::{Member, MemberStatus};
use rollcall_domain::{audit, member, organization, user};

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, MembershipRestored};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailMembershipRestored) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let Some(event) = audit::by_id(&mut reader, payload.audit_event_id).await.map_err(job_error)? else {
        return Ok(());
    };
    let id: Option<MemberId> = event.target_id.as_deref().and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| JobError::discard("the event is of no member"))?;
    let member = member::by_ids(&mut reader, &[id]).await.map_err(job_error)?.pop();
    // Who is gone again hears of that by its own mail.
    let still = |member: &Member| member.status == MemberStatus::Active;
    let Some(member) = member.filter(still) else { return Ok(()) };
    let organization = organization::by_id(&mut reader, event.organization_id).await.map_err(job_error)?;
    if organization.deleted_at.is_some() {
        return Ok(());
    }
    let recipient = user::by_id(&mut reader, member.user_id).await.map_err(job_error)?;
    let restored_by = match event.actor_id {
        Some(id) => Some(user::by_id(&mut reader, id).await.map_err(job_error)?.name),
        None => None,
    };
    drop(reader);
    let Some(email) = recipient.email else { return Ok(()) };
    let mail = MembershipRestored {
        organization_name: organization.name,
        role: member.role.label().to_owned(),
        restored_by,
        restored_at: event.occurred_at,
        returns: payload.returns,
        sign_in_link: context.link("/sign-in")?,
    };
    let envelope = Envelope {
        key: format!("membership-restored.{}", event.id),
        address: email.to_string(),
        name: Some(recipient.name),
        date: event.occurred_at,
    };
    context.send(job, mail.render(envelope)).await
}
