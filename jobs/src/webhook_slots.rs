//! Limits which webhooks are delivered to at the same time, so that slow receivers hold up only the organizations that
//! chose them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apalis_diesel::JobError;
use rollcall_domain::base::id::{OrganizationId, WebhookId};
use rollcall_domain::event::webhook::Webhook;
use tokio::time::Instant;

/// The number of deliveries that run at the same time, which is the number of the queue's handlers.
pub(crate) const DELIVERY_SLOTS: usize = 32;
/// How many of these may belong to one organization.
const OF_ORGANIZATION: usize = 8;
/// How many of these may belong to slow webhooks, in total and of one organization.
const OF_SLOW: usize = 16;
const OF_SLOW_OF_ORGANIZATION: usize = 4;
/// A webhook is slow if one of its deliveries took this long.
const SLOW: Duration = Duration::from_secs(3);
/// How long a webhook counts as slow.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// How long to wait before looking for a slot again if none is free.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_SLOW: Duration = Duration::from_secs(5);

/// The delivery slots of a worker.
#[derive(Clone, Default)]
pub(crate) struct DeliverySlots(Arc<Mutex<TakenSlots>>);

#[derive(Default)]
struct TakenSlots {
    /// The webhooks of the platform count as those of one organization more.
    of_organizations: HashMap<Option<OrganizationId>, Count>,
    of_slow: usize,
    /// When each webhook was last slow.
    slow: HashMap<WebhookId, Instant>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    all: usize,
    slow: usize,
}

impl DeliverySlots {
    /// Takes a slot for the webhook. If none is free, the job is postponed, which doesn't count as an attempt.
    pub(crate) fn take(&self, webhook: &Webhook) -> Result<DeliverySlot, JobError> {
        let (organization_id, webhook_id) = (webhook.organization_id, webhook.id);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slow = taken.slow.get(&webhook_id).is_some_and(|at| at.elapsed() < REMEMBERED);
        let mut count = taken.of_organizations.get(&organization_id).copied().unwrap_or_default();
        if slow && (taken.of_slow >= OF_SLOW || count.slow >= OF_SLOW_OF_ORGANIZATION) {
            return Err(JobError::postpone(AGAIN_SLOW));
        }
        if count.all >= OF_ORGANIZATION {
            return Err(JobError::postpone(AGAIN));
        }
        count.all += 1;
        count.slow += usize::from(slow);
        taken.of_organizations.insert(organization_id, count);
        taken.of_slow += usize::from(slow);
        Ok(DeliverySlot { slots: self.clone(), organization_id, webhook_id, slow })
    }
}

/// A slot for a webhook. It is free again when this value is dropped.
pub(crate) struct DeliverySlot {
    slots: DeliverySlots,
    organization_id: Option<OrganizationId>,
    webhook_id: WebhookId,
    slow: bool,
}

impl DeliverySlot {
    /// Records how long a delivery took. If the webhook is slow, returns how long it must give way to others.
    pub(crate) fn gives_way_after(&self, took: Duration) -> Option<Duration> {
        if took < SLOW {
            return None;
        }
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.slow.retain(|_, at| at.elapsed() < REMEMBERED);
        taken.slow.insert(self.webhook_id, Instant::now());
        // This leaves half of the time for the organization's other webhooks, which look for a slot every few seconds.
        Some(took)
    }
}

impl Drop for DeliverySlot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.of_slow -= usize::from(self.slow);
        if let Some(count) = taken.of_organizations.get_mut(&self.organization_id) {
            count.all -= 1;
            count.slow -= usize::from(self.slow);
            if count.all == 0 {
                taken.of_organizations.remove(&self.organization_id);
            }
        }
    }
}
