//! The email that tells somebody that they were removed or deactivated. It is sent only if the receipt, which would
//! otherwise tell this too, takes longer.

use apalis_diesel::{ClaimedJob, Job, JobError};
use chrono::{DateTime, Utc};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailMembershipEnded;
use rollcall_domain::base::limits;
use rollcall_domain::departure::receipt::MembershipEnding;
use rollcall_domain::departure::{self, Departure};
use rollcall_domain::membership::organization;

use crate::context::{Context, connection, hold, job_error};
use crate::mail::document::{Block, Document, line, name};
use crate::mail::words::{greeting, paragraph, row, time};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the recipient that their membership was ended, before everything has been passed on.
#[derive(Debug, Clone)]
pub struct MembershipEndedMail {
    /// The organization.
    pub organization_name: String,
    /// How the membership was ended.
    pub ending: MembershipEnding,
    /// The details of the end.
    pub end: MembershipEnd,
}

/// The details of a membership's end, which only the first email about it contains.
#[derive(Debug, Clone)]
pub struct MembershipEnd {
    /// A message to the member from whoever ended the membership.
    pub message: Option<String>,
    /// When the membership ended.
    pub ended_at: DateTime<Utc>,
    /// Whether the account was suspended as well.
    pub suspended: bool,
}

impl MembershipEndedMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let what = match self.ending {
            MembershipEnding::Left | MembershipEnding::Deleted => format!("You left {organization}."),
            MembershipEnding::Removed => format!("You were removed from {organization}."),
            MembershipEnding::Deactivated => format!("You were deactivated in {organization}."),
        };
        let mut blocks = vec![
            greeting(&envelope),
            paragraph(format!(
                "{what} Your access has ended. Your API keys and share links there no longer work, and your \
                invitations, codes and offers that nobody had answered have ended, too."
            )),
        ];
        blocks.extend(self.end.blocks(&organization));
        blocks.push(paragraph(
            "What you owned there passes to the organization's owner. Once that is done, we will email you a receipt \
            for it.",
        ));
        Document {
            subject: format!("Your access to {organization} has ended"),
            preheader: what.clone(),
            heading: format!("Your access to {organization} has ended"),
            blocks,
            reason: format!("You received this email because you were a member of {organization}."),
        }
        .render(envelope)
    }
}

impl MembershipEnd {
    pub(super) fn of(departure: Departure) -> Self {
        Self {
            message: departure.message_to_member,
            ended_at: departure.started_at,
            suspended: departure.suspended_account,
        }
    }

    pub(super) fn blocks(&self, organization: &str) -> Vec<Block> {
        let mut rows = vec![row("Organization", organization.to_owned()), row("When", time(self.ended_at))];
        rows.extend(self.message.as_deref().map(|message| row("Message to you", line(message, limits::DESCRIPTION))));
        let mut blocks = vec![Block::Rows(rows)];
        if self.suspended {
            blocks.push(paragraph(format!(
                "Your account came from {organization} and belongs to no other organization, so it was suspended. You \
                can't use it until you accept an invitation from an organization."
            )));
        }
        blocks
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailMembershipEnded) -> Result<(), JobError> {
    let id = payload.departure_id;
    let mut reader = connection(context).await?;
    let Some(departure) = departure::to_tell_leaver(&mut reader, id).await.map_err(job_error)? else { return Ok(()) };
    let organization = organization::by_id(&reader, departure.organization_id).await.map_err(job_error)?;
    let leaver = user::by_id(&mut reader, departure.user_id).await.map_err(job_error)?;
    drop(reader);
    let ending = MembershipEnding::of(&departure, &leaver);
    let Some(email) = leaver.email else { return Ok(()) };
    // This comes before it is recorded that the leaver was told. If this email isn't sent, the receipt tells them.
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
    let mail = MembershipEndedMail { organization_name: organization.name, ending, end: MembershipEnd::of(departure) };
    context.send(job, mail.render(envelope)).await
}
