//! Tells someone that they were removed or deactivated, where the receipt, which otherwise says both, takes longer.

use apalis_diesel::{ClaimedJob, Job, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailMembershipEnded;
use rollcall_domain::base::limits;
use rollcall_domain::departure::{self, Departure};
use rollcall_domain::membership::organization;

use crate::context::{Context, connection, hold, job_error};
use crate::departure_receipt_mail::kind;
use crate::mail::{Envelope, MembershipEnd, MembershipEnded};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailMembershipEnded) -> Result<(), JobError> {
    let id = payload.departure_id;
    let mut reader = connection(context).await?;
    let Some(departure) = departure::to_tell_leaver(&mut reader, id).await.map_err(job_error)? else { return Ok(()) };
    let organization = organization::by_id(&mut reader, departure.organization_id).await.map_err(job_error)?;
    let leaver = user::by_id(&mut reader, departure.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = leaver.email else { return Ok(()) };
    // Before it is written down that they are told: where they aren't, the receipt says it.
    if !context.takes_turn(job, MailMembershipEnded::KIND, departure.member_id, &email, limits::MEMBER_MAILS).await? {
        return Ok(());
    }
    let told = departure::tell_leaver(&context.database, id, &hold(job)).await.map_err(job_error)?;
    let Some(departure) = told else { return Ok(()) };
    let envelope = Envelope {
        key: format!("membership-ended.{id}"),
        address: email.to_string(),
        name: Some(leaver.name),
        date: departure.started_at,
    };
    let mail = MembershipEnded {
        organization_name: organization.name,
        kind: kind(departure.kind),
        end: membership_end(departure),
    };
    context.send(job, mail.render(envelope)).await
}

/// What the first mail about a departure says of the end of the membership.
pub(crate) fn membership_end(departure: Departure) -> MembershipEnd {
    MembershipEnd {
        message: departure.message_to_member,
        ended_at: departure.started_at,
        suspended: departure.suspended_account,
    }
}
