//! The email that tells the deployment's support that an organization asks for more (R79).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailUpgradeRequested;
use rollcall_domain::base::run_kind::RunKind;
use rollcall_domain::membership::{organization, seats};
use rollcall_domain::organization::upgrade;
use rollcall_domain::organization::usage::{self, UsageQuestion};

use crate::context::{Context, connection, job_error};
use crate::mail::document::{Block, Document, address, line, name};
use crate::mail::words::{paragraph, row};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the support that an organization asks for more.
#[derive(Debug, Clone)]
pub struct UpgradeRequestedMail {
    /// The organization.
    pub organization_name: String,
    /// The organization's id.
    pub organization_id: String,
    /// The name of its plan.
    pub plan: String,
    /// The name of whoever asks.
    pub asked_by: String,
    /// Their email address, to answer to.
    pub email: Option<String>,
    /// What they wrote.
    pub message: Option<String>,
    /// What is used and what is allowed, by name.
    pub usage: Vec<(&'static str, String)>,
}

impl UpgradeRequestedMail {
    /// Renders the email.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let asked_by = name(&self.asked_by);
        let mut rows = vec![
            row("Organization", organization.clone()),
            row("ID", self.organization_id.clone()),
            row("Plan", line(&self.plan, 200)),
            row("Asked by", asked_by.clone()),
        ];
        rows.extend(self.email.as_deref().map(|email| row("Answer to", address(email))));
        let mut blocks =
            vec![paragraph(format!("{asked_by} asks for more on behalf of {organization}.")), Block::Rows(rows)];
        if let Some(message) = &self.message {
            blocks.push(paragraph("They wrote:"));
            // As quotations are written, so that no line can be taken for one of ours.
            let lines = message.lines().filter(|text| !text.trim().is_empty());
            blocks.extend(lines.map(|text| paragraph(format!("> {}", line(text, usize::MAX)))));
        }
        blocks.push(paragraph("What the organization uses at this moment:"));
        blocks.push(Block::Rows(self.usage.clone()));
        Document {
            subject: format!("{organization} asks for more"),
            preheader: format!("{asked_by} asks for more on behalf of {organization}."),
            heading: format!("{organization} asks for more"),
            blocks,
            reason: "You received this email because requests for larger plans go to this address.".to_owned(),
        }
        .render(envelope)
    }
}

/// A number beside its limit.
fn beside(used: impl ToString, limit: Option<impl ToString>) -> String {
    match limit {
        Some(limit) => format!("{} of {}", used.to_string(), limit.to_string()),
        None => format!("{}, without a limit", used.to_string()),
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailUpgradeRequested) -> Result<(), JobError> {
    let Some(support) = context.database.deployment().support_email.clone() else { return Ok(()) };
    let mut reader = connection(context).await?;
    let found = upgrade::by_id(&mut reader, payload.upgrade_request_id).await.map_err(job_error)?;
    let Some(request) = found else { return Ok(()) };
    let organization = organization::by_id(&reader, request.organization_id).await.map_err(job_error)?;
    let asked_by = user::by_id(&mut reader, request.user_id).await.map_err(job_error)?;
    let seats = seats::seats_used(&reader, &[organization.id]).await.map_err(job_error)?;
    let question = UsageQuestion { organization_id: organization.id, period: Default::default(), series: None };
    let answer = usage::answer(&mut reader, &[question]).await.map_err(job_error)?.remove(&question);
    drop(reader);
    let Some(answer) = answer else { return Ok(()) };
    let used = &answer.overview;
    let mut rows = vec![
        row("Seats", beside(seats.get(&organization.id).copied().unwrap_or_default(), organization.seat_limit)),
        row("Bytes", beside(used.storage_bytes.normalize(), organization.storage_limit_bytes)),
        row("Workspaces", beside(used.workspaces, organization.workspace_limit)),
        row("Runs", beside(used.runs_under_way(None), organization.run_limit)),
    ];
    rows.extend(RunKind::ALL.iter().map(|kind| {
        let label = match kind {
            RunKind::Pipeline => "Pipelines",
            RunKind::Studio => "Studios",
            RunKind::Job => "Jobs",
        };
        let limit = used.run_limits.iter().find(|(limited, _)| limited == kind).map(|(_, limit)| *limit);
        row(label, beside(used.runs_under_way(Some(*kind)), limit))
    }));
    rows.push(row("Credits", format!("{} of {} left", used.available.normalize(), used.purchased.normalize())));
    let mail = UpgradeRequestedMail {
        organization_name: organization.name,
        organization_id: organization.id.to_string(),
        plan: organization.plan,
        asked_by: asked_by.name,
        email: asked_by.email.map(|email| email.to_string()),
        message: request.message,
        usage: rows,
    };
    let envelope = Envelope {
        key: format!("upgrade-requested.{}", request.id),
        address: support.to_string(),
        name: None,
        date: request.created_at,
    };
    context.send(job, mail.render(envelope)).await
}
