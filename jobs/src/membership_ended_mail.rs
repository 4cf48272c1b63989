//! Tells someone at once that they were removed or deactivated; the receipt follows once everything is passed on.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::departure::{self, DepartureStatus};
use rollcall_domain::job::MailMembershipEnded;
use rollcall_domain::member::{self, MemberStatus};
use rollcall_domain::{organization, user};

use crate::context::{Context, connection, job_error};
use crate::departure_receipt_mail::kind;
use crate::mail::{Envelope, MembershipEnded};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailMembershipEnded) -> Result<(), JobError> {
    let id = payload.departure_id;
    let mut reader = connection(context).await?;
    let Some(departure) = departure::by_ids(&mut reader, &[id]).await.map_err(job_error)?.pop() else { return Ok(()) };
    // Taken back, or back by an invitation meanwhile: nothing has ended.
    if matches!(departure.status, DepartureStatus::Reverting | DepartureStatus::Reverted) {
        return Ok(());
    }
    let member = member::by_ids(&mut reader, &[departure.member_id]).await.map_err(job_error)?.pop();
    if member.is_none_or(|member| member.status == MemberStatus::Active) {
        return Ok(());
    }
    let organization = organization::by_id(&mut reader, departure.organization_id).await.map_err(job_error)?;
    let leaver = user::by_id(&mut reader, departure.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = leaver.email else { return Ok(()) };
    let mail = MembershipEnded {
        organization_name: organization.name,
        kind: kind(departure.kind),
        reason: departure.reason,
        ended_at: departure.started_at,
        suspended: departure.suspended_account,
    };
    let envelope = Envelope {
        key: format!("membership-ended.{id}"),
        address: email.to_string(),
        name: Some(leaver.name),
        date: departure.started_at,
    };
    context.send(job, mail.render(envelope)).await
}
