//! The outcome of sending something to a recipient outside: an email, or a webhook's delivery.

use crate::base::text_enum::text_enum;

text_enum! {
    /// The outcome of sending an email or delivering to a webhook.
    DeliveryStatus {
        /// The worker has yet to send it.
        Queued = "queued",
        /// The receiving server accepted it.
        Sent = "sent",
        /// It wasn't accepted yet, and the worker will try again.
        Deferred = "deferred",
        /// It was rejected for good, or it wasn't accepted in time.
        Failed = "failed",
    }
}
