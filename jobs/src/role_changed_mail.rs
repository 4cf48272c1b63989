//! Tells a member that their role changed: from what to what, and by whom.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::audit::{self, AuditEvent};
use rollcall_domain::id::MemberId;
use rollcall_domain::job::MailRoleChanged;
use rollcall_domain::member::{Member, MemberStatus};
use rollcall_domain::policy::Role;
use rollcall_domain::{member, organization, user};

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, RoleChanged};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailRoleChanged) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let Some(event) = audit::by_id(&mut reader, payload.audit_event_id).await.map_err(job_error)? else {
        return Ok(());
    };
    let (member_id, from, to) = change(&event).ok_or_else(|| JobError::discard("the event is no change of a role"))?;
    let member = member::by_ids(&mut reader, &[member_id]).await.map_err(job_error)?.pop();
    // Who is gone meanwhile hears of that, and of the role that they have now by its own mail.
    let still = |member: &Member| member.status == MemberStatus::Active && member.role == to;
    let Some(member) = member.filter(still) else { return Ok(()) };
    let organization = organization::by_id(&mut reader, event.organization_id).await.map_err(job_error)?;
    if organization.deleted_at.is_some() {
        return Ok(());
    }
    let recipient = user::by_id(&mut reader, member.user_id).await.map_err(job_error)?;
    let changed_by = match event.actor_id {
        Some(id) => Some(user::by_id(&mut reader, id).await.map_err(job_error)?.name),
        None => None,
    };
    drop(reader);
    let Some(email) = recipient.email else { return Ok(()) };
    let mail = RoleChanged {
        organization_name: organization.name,
        old_role: from.label().to_owned(),
        new_role: to.label().to_owned(),
        changed_by,
        changed_at: event.occurred_at,
    };
    let envelope = Envelope {
        key: format!("role-changed.{}", event.id),
        address: email.to_string(),
        name: Some(recipient.name),
        date: event.occurred_at,
    };
    organization::take_mail_turn(&context.database, event.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}

/// Whose role changed, from what to what.
fn change(event: &AuditEvent) -> Option<(MemberId, Role, Role)> {
    let role = |key: &str| {
        let word = event.metadata.get(key)?.as_str()?;
        Role::ALL.iter().copied().find(|role| role.as_str() == word)
    };
    Some((event.target_id.as_deref()?.parse().ok()?, role("from")?, role("to")?))
}
