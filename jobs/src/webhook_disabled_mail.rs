//! Tells the owner that a webhook was disabled, since nobody took its deliveries (R75).

use apalis_diesel::{ClaimedJob, JobError};
use rollcall_domain::account::user;
use rollcall_domain::base::job::MailWebhookDisabled;
use rollcall_domain::base::page::PageRequest;
use rollcall_domain::event::{delivery, webhook};
use rollcall_domain::membership::organization;

use crate::context::{Context, connection, job_error, noticed_at};
use crate::mail::{Envelope, WebhookDisabled};

pub(crate) async fn run(context: &Context, job: &ClaimedJob, payload: &MailWebhookDisabled) -> Result<(), JobError> {
    let mut reader = connection(context).await?;
    let found = webhook::by_ids(&mut reader, &[payload.webhook_id]).await.map_err(job_error)?.pop();
    // Enabled again or deleted meanwhile: whoever did it knows.
    let Some(webhook) = found.filter(|webhook| !webhook.enabled) else { return Ok(()) };
    let organization = organization::by_id(&mut reader, webhook.organization_id).await.map_err(job_error)?;
    let owner = organization::owners(&mut reader, &[webhook.organization_id]).await.map_err(job_error)?.pop();
    let Some((_, owner_id)) = owner else { return Ok(()) };
    let owner = user::by_id(&mut reader, owner_id).await.map_err(job_error)?;
    let newest = PageRequest { first: Some(1), ..PageRequest::default() };
    let deliveries = delivery::deliveries(&mut reader, &webhook, &newest).await.map_err(job_error)?;
    drop(reader);
    let Some(email) = owner.email else { return Ok(()) };
    let mail = WebhookDisabled {
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
