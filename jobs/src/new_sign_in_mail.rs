//! Tells someone that they were signed in on a device that wasn't before.

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::{session, user};
use rollcall_domain::base::job::MailNewSignIn;
use rollcall_domain::base::link::Route;

use crate::context::{Context, connection, job_error};
use crate::mail::{Envelope, NewSignIn};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailNewSignIn) -> Result<(), JobError> {
    let id = payload.session_id;
    let mut reader = connection(context).await?;
    let Some(session) = session::by_id(&mut reader, id).await.map_err(job_error)? else { return Ok(()) };
    let user = user::by_id(&mut reader, session.user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = user.email else { return Ok(()) };
    let mut account_link = context.link(Route::Account);
    account_link.set_fragment(Some(&id.to_string()));
    let mail = NewSignIn {
        signed_in_at: session.created_at,
        user_agent: session.user_agent,
        session_id: id.to_string(),
        account_link,
    };
    let envelope = Envelope {
        key: format!("new-sign-in.{id}"),
        address: email.to_string(),
        name: Some(user.name),
        date: session.created_at,
    };
    context.send(job, mail.render(envelope)).await
}
