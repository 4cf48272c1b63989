//! The email that tells the owner that a webhook was disabled, since its deliveries failed (R75).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailWebhookDisabled;
use rollcall_domain::base::page::PageRequest;
use rollcall_domain::event::{delivery, webhook};
use rollcall_domain::membership::organization;

use crate::context::{Context, connection, job_error, noticed_at};
use crate::mail::document::{Block, Document, address, line, name};
use crate::mail::words::{greeting, paragraph};
use crate::mail::{Envelope, Mail, RenderError};

/// Tells the owner that a webhook was disabled.
#[derive(Debug, Clone)]
pub struct WebhookDisabledMail {
    /// The organization.
    pub organization_name: String,
    /// The host that the webhook delivers to.
    pub host: String,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The webhook's id, with which it can be enabled again.
    pub webhook_id: String,
}

impl WebhookDisabledMail {
    /// Renders the email. It greets the recipient by the envelope's name.
    pub fn render(&self, envelope: Envelope) -> Result<Mail, RenderError> {
        let organization = name(&self.organization_name);
        let host = address(&self.host);
        let mut rows = vec![("Webhook", self.webhook_id.clone()), ("Sends to", host.clone())];
        rows.extend(self.error.as_ref().map(|error| ("Last attempt", line(error, 200))));
        Document {
            subject: format!("A webhook of {organization} was disabled"),
            preheader: format!("{host} hasn't accepted a delivery for 24 hours."),
            heading: format!("A webhook of {organization} was disabled"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "This webhook tells {host} what happens in {organization}. Rollcall couldn't deliver anything \
                    there for 24 hours, or was told that nobody wants it anymore, and has stopped trying."
                )),
                Block::Rows(rows),
                paragraph(
                    "Nothing is lost. Once the receiver works again, have an owner or admin enable the webhook: it \
                    continues with the event after the last one delivered. If nobody needs it, delete it.",
                ),
            ],
            reason: format!("You received this email because you own {organization}."),
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailWebhookDisabled) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = webhook::by_ids(&mut reader, &[payload.webhook_id]).await.map_err(job_error)?.pop();
    // If somebody has enabled or deleted it in the meantime, they know about it.
    let Some(webhook) = found.filter(|webhook| !webhook.enabled) else { return Ok(()) };
    let organization = organization::by_id(&reader, webhook.organization_id).await.map_err(job_error)?;
    let owner = organization::owners(&mut reader, &[webhook.organization_id]).await.map_err(job_error)?.pop();
    let Some((_, owner_id)) = owner else { return Ok(()) };
    let owner = user::by_id(&mut reader, owner_id).await.map_err(job_error)?;
    let newest = PageRequest { first: Some(1), ..PageRequest::default() };
    let deliveries = delivery::deliveries(&mut reader, &webhook, &newest).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = owner.email else { return Ok(()) };
    let mail = WebhookDisabledMail {
        organization_name: organization.name,
        host: webhook.host(),
        error: deliveries.items.into_iter().find_map(|(_, delivery)| delivery.error),
        webhook_id: webhook.id.to_string(),
    };
    let envelope = Envelope {
        key: format!("webhook-disabled.{}", payload.notice),
        address: email.to_string(),
        name: Some(owner.name),
        date: noticed_at(payload.notice)?,
    };
    context.send(job, mail.render(envelope)).await
}
