//! Tells a member that their role changed: from what to what, and by whom.

use apalis_diesel::{ClaimedJob, Job, JobError};
use rollcall_domain::authority::audit::AuditEvent;
use rollcall_domain::authority::policy::Role;
use rollcall_domain::base::job::MailRoleChanged;
use rollcall_domain::base::limits;
use rollcall_domain::membership::organization;

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, RoleChanged};
use crate::member_event::MemberEvent;

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailRoleChanged) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = MemberEvent::find(&mut reader, payload.audit_event_id).await.map_err(job_error)?;
    drop(reader);
    let Some(MemberEvent { event, member, user, organization_name, done_by }) = found else { return Ok(()) };
    let (from, to) = change(&event).ok_or_else(|| JobError::discard("the event is no change of a role"))?;
    // Who is gone meanwhile hears of that, and of the role that they have now by its own mail.
    if member.role != to {
        return Ok(());
    }
    let Some(email) = user.email else { return Ok(()) };
    let mail = RoleChanged {
        organization_name,
        old_role: from.label().to_owned(),
        new_role: to.label().to_owned(),
        changed_by: done_by,
        changed_at: event.occurred_at,
    };
    let envelope = Envelope {
        key: format!("role-changed.{}", event.id),
        address: email.to_string(),
        name: Some(user.name),
        date: event.occurred_at,
    };
    if !context.takes_turn(job, MailRoleChanged::KIND, member.id, &email, limits::ROLE_MAILS).await? {
        return Ok(());
    }
    organization::take_mail_turn(&context.database, event.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}

/// From what to what a role changed.
fn change(event: &AuditEvent) -> Option<(Role, Role)> {
    let role = |key: &str| {
        let word = event.metadata.get(key)?.as_str()?;
        Role::ALL.iter().copied().find(|role| role.as_str() == word)
    };
    Some((role("from")?, role("to")?))
}
