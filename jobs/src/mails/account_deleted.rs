//! Confirms that an account was deleted; the address goes with the mail.

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::base::job::MailAccountDeleted;
use rollcall_domain::departure::deletion;

use crate::context::{Context, Unsent, connection, hold, job_error};
use crate::mail::document::Document;
use crate::mail::words::{greeting, paragraph, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Confirms that the recipient's account was deleted.
#[derive(Debug, Clone)]
pub struct AccountDeletedMail {
    /// When.
    pub deleted_at: DateTime<Utc>,
}

impl AccountDeletedMail {
    /// Renders the mail; it greets the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        Document {
            subject: "Your Rollcall account was deleted".into(),
            preheader: "You have left every organization, and your name and address are gone from it.".into(),
            heading: "Your account was deleted".into(),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "Your account was deleted, as you asked, on {}. You have left every organization; what you owned \
                    there belongs to their owners now. Your sessions and API keys have ended.",
                    time(self.deleted_at)
                )),
                paragraph(
                    "Your name, username and address are gone from the account. What was in your personal organization \
                    is removed after 30 days.",
                ),
                paragraph(
                    "If you sign in with this address again, that makes a new account. If you did not ask for this, write \
                    to the platform's staff at once.",
                ),
            ],
            reason: "You get this mail because the account with this address was deleted; it is the last one.".into(),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailAccountDeleted) -> Result<(), JobError> {
    let user_id = payload.user_id;
    let mut reader = connection(context).await?;
    let found = deletion::by_user_id(&mut reader, user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(deletion) = found else { return Ok(()) };
    let mail = AccountDeletedMail { deleted_at: deletion.deleted_at };
    let envelope = Envelope {
        key: format!("account-deleted.{user_id}"),
        address: deletion.email.to_string(),
        name: Some(deletion.name),
        date: deletion.deleted_at,
    };
    let outcome = context.try_send(job, mail.render(envelope)).await?;
    let is_tried_again = outcome.as_ref().is_err_and(|unsent| unsent.again_after.is_some());
    if !is_tried_again {
        let hold = hold(job);
        context
            .database
            .transaction(async |transaction| {
                hold(transaction).await?;
                deletion::forget(transaction, user_id).await
            })
            .await
            .map_err(job_error)?;
    }
    outcome.map_err(Unsent::into)
}
