//! Tells the former owner that staff gave their organization to somebody else (R1).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::authority::audit::{self, AuditEvent};
use rollcall_domain::base::id::UserId;
use rollcall_domain::base::job::MailOwnerReplaced;
use rollcall_domain::membership::organization;

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, OwnerReplaced};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailOwnerReplaced) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = audit::by_id(&mut reader, payload.audit_event_id).await.map_err(job_error)?;
    let Some(event) = found else { return Ok(()) };
    let not_of_this_kind = || JobError::discard("the event is no change of the owner");
    let former = user_of(&event, "from").ok_or_else(not_of_this_kind)?;
    let new = user_of(&event, "to").ok_or_else(not_of_this_kind)?;
    let organization = organization::by_id(&mut reader, event.organization_id).await.map_err(job_error)?;
    let former = user::by_id(&mut reader, former).await.map_err(job_error)?;
    let new = user::by_id(&mut reader, new).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = former.email else { return Ok(()) };
    let mail = OwnerReplaced {
        organization_name: organization.name,
        new_owner_name: new.name,
        new_owner_username: new.username.to_string(),
        replaced_at: event.occurred_at,
    };
    let envelope = Envelope {
        key: format!("owner-replaced.{}", event.id),
        address: email.to_string(),
        name: Some(former.name),
        date: event.occurred_at,
    };
    context.send(job, mail.render(envelope)).await
}

/// The user whom the event names.
fn user_of(event: &AuditEvent, key: &str) -> Option<UserId> {
    event.metadata.get(key)?.as_str()?.parse().ok()
}
