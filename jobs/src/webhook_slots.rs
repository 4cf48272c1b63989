//! Which webhooks are delivered at the same time, so that receivers that take their time hold up those alone who chose
//! them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apalis_diesel::JobError;
use rollcall_domain::base::id::{OrganizationId, WebhookId};
use rollcall_domain::event::webhook::Webhook;
use tokio::time::Instant;

/// Deliveries that run at the same time: the handlers of the queue.
pub(crate) const DELIVERY_SLOTS: usize = 32;
/// Of these, of one organization.
const OF_ORGANIZATION: usize = 8;
/// Of these, of slow webhooks; of one organization.
const OF_SLOW: usize = 16;
const OF_SLOW_OF_ORGANIZATION: usize = 4;
/// A webhook is slow where a delivery took that long.
const SLOW: Duration = Duration::from_secs(3);
/// For how long it counts as slow.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// When another slot is looked for where there was none.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_SLOW: Duration = Duration::from_secs(5);

/// The slots of a worker.
#[derive(Clone, Default)]
pub(crate) struct DeliverySlots(Arc<Mutex<TakenSlots>>);

#[derive(Default)]
struct TakenSlots {
    of_organizations: HashMap<OrganizationId, Count>,
    of_slow: usize,
    /// When webhooks were slow last.
    slow: HashMap<WebhookId, Instant>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    all: usize,
    slow: usize,
}

impl DeliverySlots {
    /// A slot for the webhook. Where there is none its job is put off, which costs it no try.
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

/// A webhook's slot, until it is dropped.
pub(crate) struct DeliverySlot {
    slots: DeliverySlots,
    organization_id: OrganizationId,
    webhook_id: WebhookId,
    slow: bool,
}

impl DeliverySlot {
    /// Notes how long a delivery took; for how long the webhook gives way to others, where that was long.
    pub(crate) fn gives_way_after(&self, took: Duration) -> Option<Duration> {
        if took < SLOW {
            return None;
        }
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.slow.retain(|_, at| at.elapsed() < REMEMBERED);
        taken.slow.insert(self.webhook_id, Instant::now());
        // Half of the time is for the organization's other webhooks, which look for a slot every few seconds.
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
