//! The email that tells the user who offered a project how the offer ended (R61).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::authority::visibility;
use rollcall_domain::base::job::MailTransferAnswered;
use rollcall_domain::database;
use rollcall_domain::membership::organization;
use rollcall_domain::resource::transfer::{self, TransferStatus};

use super::transfer_offer::Parties;
use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph, row};
use crate::mail::{Envelope, Mail, RenderError};

/// How an offer of a project ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferAnswer {
    /// It was accepted.
    Accepted,
    /// It was declined.
    Declined,
    /// It expired without an answer.
    Expired,
}

/// Tells the user who offered a project how the offer ended.
#[derive(Debug, Clone)]
pub struct TransferAnsweredMail {
    /// How the offer ended.
    pub answer: TransferAnswer,
    /// The project.
    pub project_name: String,
    /// The organization that it was offered from.
    pub from_name: String,
    /// The organization that the project was offered to, if one was named or chosen.
    pub to_name: Option<String>,
    /// The recipient's name.
    pub recipient_name: String,
    /// The recipient's username, without `@`, if the user who made the offer knows them.
    pub recipient_username: Option<String>,
    /// The offer's id.
    pub transfer_id: String,
}

impl TransferAnsweredMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let project = name(&self.project_name);
        let recipient = match &self.recipient_username {
            Some(username) => format!("{} (@{})", name(&self.recipient_name), name(username)),
            None => name(&self.recipient_name),
        };
        let (subject, said, follows) = match self.answer {
            TransferAnswer::Accepted => (
                format!("{} accepted the project {project}", name(&self.recipient_name)),
                format!("{recipient} accepted the project you offered and now owns it."),
                "The project is read-only until it has moved with everything in it. The people it is shared with keep \
                their access; teams and unanswered invitations don't move with it.",
            ),
            TransferAnswer::Declined => (
                format!("{} declined the project {project}", name(&self.recipient_name)),
                format!("{recipient} declined the project you offered."),
                "It stays where it is, and nothing about it has changed.",
            ),
            TransferAnswer::Expired => (
                format!("Your offer of the project {project} has expired"),
                format!("{recipient} did not answer your offer of this project in time."),
                "It stays where it is, and nothing about it has changed. You can offer it again.",
            ),
        };
        let mut rows = vec![row("Project", project), row("Offered from", name(&self.from_name))];
        rows.extend(self.to_name.as_deref().map(|to| row("For", name(to))));
        rows.push(row("Offer", name(&self.transfer_id)));
        Document {
            subject: subject.clone(),
            preheader: follows.to_owned(),
            heading: subject,
            blocks: vec![greeting(&envelope), paragraph(said), Block::Rows(rows), paragraph(follows)],
            reason: "You received this email because you offered the project.".to_owned(),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailTransferAnswered) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = transfer::by_ids(&mut reader, &[payload.transfer_id]).await.map_err(job_error)?.pop();
    let Some(transfer) = found else { return Ok(()) };
    let now = database::now(&reader).await.map_err(job_error)?;
    let answer = match transfer.status_at(now) {
        TransferStatus::Accepted => TransferAnswer::Accepted,
        TransferStatus::Declined => TransferAnswer::Declined,
        TransferStatus::Expired => TransferAnswer::Expired,
        TransferStatus::Offered | TransferStatus::Cancelled => return Ok(()),
    };
    let Parties { from_name, to_name, offered_by, recipient } =
        Parties::of(&mut reader, &transfer).await.map_err(job_error)?;
    // If the recipient didn't accept, the user who made the offer learns no more about them than they already knew.
    let is_known = answer == TransferAnswer::Accepted
        || visibility::knows(&mut reader, offered_by.id, recipient.id).await.map_err(job_error)?;
    let (recipient_name, recipient_username) = match is_known {
        true => (recipient.name, Some(recipient.username.to_string())),
        false => {
            let username = transfer.recipient_named_as.as_ref();
            (username.map_or_else(|| "The recipient".to_owned(), |username| format!("@{username}")), None)
        }
    };
    drop(reader);
    let Some(email) = offered_by.email else { return Ok(()) };
    let mail = TransferAnsweredMail {
        answer,
        project_name: transfer.resource_name().to_owned(),
        from_name,
        to_name,
        recipient_name,
        recipient_username,
        transfer_id: transfer.id.to_string(),
    };
    let envelope = Envelope {
        key: format!("transfer-answered.{}", transfer.id),
        address: email.to_string(),
        name: Some(offered_by.name),
        date: job.scheduled_at,
    };
    organization::take_mail_turn(&context.database, transfer.organization_id).await.map_err(job_error)?;
    context.send(job, mail.render(envelope)).await
}
