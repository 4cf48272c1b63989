//! The email that tells the owner that a webhook was disabled, since its deliveries failed (R75). For a webhook of the
//! platform, it goes to the deployment's support.

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

/// Tells the owner or the support that a webhook was disabled.
#[derive(Debug, Clone)]
pub struct WebhookDisabledMail {
    /// The organization; `None` for a webhook of the platform.
    pub organization_name: Option<String>,
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
        let host = address(&self.host);
        let mut rows = vec![("Webhook", self.webhook_id.clone()), ("Sends to", host.clone())];
        rows.extend(self.error.as_ref().map(|error| ("Last attempt", line(error, 200))));
        let (whose, place, who, reason) = match &self.organization_name {
            Some(organization) => {
                let organization = name(organization);
                (
                    format!("A webhook of {organization}"),
                    format!("in {organization}"),
                    "an owner or admin",
                    format!("You received this email because you own {organization}."),
                )
            }
            None => (
                "A webhook of the platform".to_owned(),
                "in the organizations that it follows".to_owned(),
                "staff, or the service whose platform key made it,",
                "You received this email because the platform's support has this address.".to_owned(),
            ),
        };
        Document {
            subject: format!("{whose} was disabled"),
            preheader: format!("{host} hasn't accepted a delivery for 24 hours."),
            heading: format!("{whose} was disabled"),
            blocks: vec![
                greeting(&envelope),
                paragraph(format!(
                    "This webhook tells {host} what happens {place}. Rollcall couldn't deliver anything there for 24 \
                    hours, or was told that nobody wants it anymore, and has stopped trying."
                )),
                Block::Rows(rows),
                paragraph(format!(
                    "Nothing is lost. Once the receiver works again, have {who} enable the webhook: it continues with \
                    the event after the last one delivered. If nobody needs it, delete it."
                )),
            ],
            reason,
        }
        .render(envelope)
    }
}

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailWebhookDisabled) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = webhook::by_ids(&mut reader, &[payload.webhook_id]).await.map_err(job_error)?.pop();
    // If somebody has enabled or deleted it in the meantime, they know about it.
    let Some(webhook) = found.filter(|webhook| !webhook.enabled) else { return Ok(()) };
    let (organization_name, email, recipient_name) = match webhook.organization_id {
        Some(organization_id) => {
            let organization = organization::by_id(&reader, organization_id).await.map_err(job_error)?;
            let owner = organization::owners(&mut reader, &[organization_id]).await.map_err(job_error)?.pop();
            let Some((_, owner_id)) = owner else { return Ok(()) };
            let owner = user::by_id(&mut reader, owner_id).await.map_err(job_error)?;
            (Some(organization.name), owner.email, Some(owner.name))
        }
        None => (None, context.database.deployment().support_email.clone(), None),
    };
    let newest = PageRequest { first: Some(1), ..PageRequest::default() };
    let deliveries = delivery::deliveries(&mut reader, &webhook, &newest).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = email else { return Ok(()) };
    let mail = WebhookDisabledMail {
        organization_name,
        host: webhook.host(),
        error: deliveries.items.into_iter().find_map(|(_, delivery)| delivery.error),
        webhook_id: webhook.id.to_string(),
    };
    let envelope = Envelope {
        key: format!("webhook-disabled.{}", payload.notice),
        address: email.to_string(),
        name: recipient_name,
        date: noticed_at(payload.notice)?,
    };
    context.send(job, mail.render(envelope)).await
}
