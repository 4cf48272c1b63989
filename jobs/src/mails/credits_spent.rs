//! The email that tells the owner and admins how much of the organization's credits is spent (R70, R71).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::authority::membership::MemberStatus;
use rollcall_domain::authority::rights::Role;
use rollcall_domain::base::job::MailCreditsSpent;
use rollcall_domain::membership::{member, organization};
use rollcall_domain::organization::usage::{self, UsageQuestion};
use rust_decimal::{Decimal, RoundingStrategy};

use crate::context::{Context, connection, job_error, noticed_at};
use crate::mail::document::{Block, Document, name};
use crate::mail::words::{greeting, paragraph, row};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells an owner or admin how much of the organization's credits is spent.
#[derive(Debug, Clone)]
pub struct CreditsSpentMail {
    /// The organization.
    pub organization_name: String,
    /// The share that was spent, in percent: 80 or 100.
    pub percent: i32,
    /// The credits that were ever bought.
    pub purchased: Decimal,
    /// The credits that are left, which may be a negative number.
    pub available: Decimal,
    /// Where to ask for more, if the deployment has such a page.
    pub upgrade_url: Option<url::Url>,
}

impl CreditsSpentMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let (subject, said, follows) = match self.percent {
            ..100 => (
                format!("{organization} has spent {} % of its credits", self.percent),
                format!("{} % of the credits that {organization} bought are spent.", self.percent),
                "When all of them are spent, no new runs can be queued. Runs that have begun continue.",
            ),
            _ => (
                format!("{organization} has spent all of its credits"),
                format!("All of the credits that {organization} bought are spent."),
                "No new runs can be queued until there are credits again. Runs that have begun continue.",
            ),
        };
        // What is spent is the difference of the amounts that are shown, so that the three add up.
        let (bought, left) = (cents(self.purchased), cents(self.available));
        let mut blocks = vec![
            greeting(&envelope),
            paragraph(said),
            Block::Rows(vec![
                row("Bought", amount(bought)),
                row("Spent", amount(bought - left)),
                row("Left", amount(left)),
            ]),
            paragraph(follows),
        ];
        match &self.upgrade_url {
            Some(url) => blocks.push(Block::Button { label: "Get more credits", url: url.clone() }),
            None => blocks.push(paragraph("To get more, reply to this email.")),
        }
        Document {
            preheader: format!("{} credits are left.", amount(left)),
            heading: subject.clone(),
            subject,
            blocks,
            reason: format!("You received this email because you are the owner or an admin of {organization}."),
        }
        .render(envelope)
    }
}

/// Credits in whole cents. They are rounded down, so that an email never shows more than is left.
fn cents(credits: Decimal) -> Decimal {
    credits.round_dp_with_strategy(2, RoundingStrategy::ToNegativeInfinity)
}

/// Credits as amounts of money are written.
fn amount(cents: Decimal) -> String {
    format!("{cents:.2}")
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailCreditsSpent) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let (organization_id, recipient_id) = (payload.organization_id, payload.recipient_id);
    // Whoever no longer leads the organization doesn't learn its balance.
    let member = member::of(&mut reader, organization_id, recipient_id).await.map_err(job_error)?;
    let is_leader =
        member.is_some_and(|member| member.status == MemberStatus::Active && member.role.is_at_least(Role::Admin));
    if !is_leader {
        return Ok(());
    }
    let organization = organization::by_id(&reader, organization_id).await.map_err(job_error)?;
    let recipient = user::by_id(&mut reader, recipient_id).await.map_err(job_error)?;
    let question = UsageQuestion { organization_id, period: Default::default(), series: None };
    let answer = usage::answer(&mut reader, &[question]).await.map_err(job_error)?.remove(&question);
    drop(reader);
    let (Some(answer), Some(email)) = (answer, recipient.email) else { return Ok(()) };
    let upgrade_url = context.database.deployment().upgrade_url.as_deref().and_then(|url| url.parse().ok());
    let mail = CreditsSpentMail {
        organization_name: organization.name,
        percent: payload.percent,
        purchased: answer.overview.purchased,
        available: answer.overview.available,
        upgrade_url,
    };
    let envelope = Envelope {
        key: format!("credits-spent.{}.{recipient_id}", payload.notice),
        address: email.to_string(),
        name: Some(recipient.name),
        date: noticed_at(payload.notice)?,
    };
    context.send(job, mail.render(envelope)).await
}
