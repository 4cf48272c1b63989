//! Tells the owner that someone joined by code (R30).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailJoinedByCode;
use rollcall_domain::membership::{join_code, organization};

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, JoinedByCode};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailJoinedByCode) -> Result<(), JobError> {
    let id = payload.join_code_id;
    let mut reader = connection(context).await?;
    let code = join_code::by_ids(&mut reader, &[id]).await.map_err(job_error)?.pop();
    let Some((code, used_by, used_at)) = code.and_then(|code| Some((code.clone(), code.used_by_id?, code.used_at?)))
    else {
        return Ok(());
    };
    let organization = organization::by_id(&mut reader, code.organization_id).await.map_err(job_error)?;
    let Some((_, owner_id)) =
        organization::owners(&mut reader, &[code.organization_id]).await.map_err(job_error)?.pop()
    else {
        return Ok(());
    };
    let owner = user::by_id(&mut reader, owner_id).await.map_err(job_error)?;
    let member = user::by_id(&mut reader, used_by).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = owner.email else { return Ok(()) };
    let mail = JoinedByCode {
        organization_name: organization.name,
        member_name: member.name,
        username: member.username.to_string(),
        role: code.role.label().to_owned(),
        code_hint: code.masked(),
        joined_at: used_at,
    };
    let envelope = Envelope {
        key: format!("joined-by-code.{id}"),
        address: email.to_string(),
        name: Some(owner.name),
        date: used_at,
    };
    context.send(job, mail.render(envelope)).await
}
