//! Tells someone that they are a member again whom an owner or admin has brought back.

use apalis_diesel::{ClaimedJob, Job, JobError};
use rollcall_domain::base::job::MailMembershipRestored;
use rollcall_domain::base::limits;
use rollcall_domain::base::link::Route;

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, MembershipRestored};
use crate::member_event::MemberEvent;

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailMembershipRestored) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    // Who is gone again hears of that by its own mail.
    let found = MemberEvent::find(&mut reader, payload.audit_event_id).await.map_err(job_error)?;
    drop(reader);
    let Some(MemberEvent { event, member, user, organization_name, done_by }) = found else { return Ok(()) };
    let Some(email) = user.email else { return Ok(()) };
    let mail = MembershipRestored {
        organization_name,
        role: member.role.label().to_owned(),
        restored_by: done_by,
        restored_at: event.occurred_at,
        returns: payload.returns,
        sign_in_link: context.link(Route::SignIn),
    };
    let envelope = Envelope {
        key: format!("membership-restored.{}", event.id),
        address: email.to_string(),
        name: Some(user.name),
        date: event.occurred_at,
    };
    if !context.takes_turn(job, MailMembershipRestored::KIND, member.id, &email, limits::MEMBER_MAILS).await? {
        return Ok(());
    }
    context.send(job, mail.render(envelope)).await
}
