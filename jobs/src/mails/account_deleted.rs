//! The email that confirms an account's deletion. The job's payload contains the address, since the account no longer
//! has one.

use apalis_diesel::{ClaimedJob, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::base::job::MailAccountDeleted;
use rollcall_domain::departure::account_deletion;

use crate::context::{Context, Unsent, connection, hold, job_error};
use crate::mail::document::Document;
use crate::mail::words::{greeting, paragraph, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Confirms that the recipient's account was deleted.
#[derive(Debug, Clone)]
pub struct AccountDeletedMail {
    /// When the account was deleted.
    pub deleted_at: DateTime<Utc>,
    /// Whether the platform deleted it, and not the recipient.
    pub by_platform: bool,
}

impl AccountDeletedMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let at = time(self.deleted_at);
        let deleted = match self.by_platform {
            true => format!("The platform deleted your account on {at}"),
            false => format!("We deleted your account on {at}, as you asked"),
        };
        Document {
            subject: "Your Rollcall account was deleted".into(),
            preheader: "You left every organization, and your name and email address were removed.".into(),
            heading: "Your account was deleted".into(),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "{deleted}. You left every organization, and what you owned in each now belongs to its owner. Your \
                    sessions and API keys have ended."
                )),
                paragraph(
                    "Your name, username and email address were removed from the account. Everything in your personal \
                    organization will be deleted after 30 days.",
                ),
                paragraph(
                    "If you sign in with this email address again, you get a new account. If you didn't ask for this, \
                    please contact the platform's staff right away.",
                ),
            ],
            reason:
                "You received this email because the account with this address was deleted. It is the last one you \
                will get."
                    .into(),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailAccountDeleted) -> Result<(), JobError> {
    let user_id = payload.user_id;
    let mut reader = connection(context).await?;
    let found = account_deletion::by_user_id(&mut reader, user_id).await.map_err(job_error)?;
    drop(reader);
    let Some(deletion) = found else { return Ok(()) };
    let mail = AccountDeletedMail { deleted_at: deletion.deleted_at, by_platform: deletion.by_platform };
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
                account_deletion::forget(transaction, user_id).await
            })
            .await
            .map_err(job_error)?;
    }
    outcome.map_err(Unsent::into)
}
