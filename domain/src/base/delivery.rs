//! How far a message to somebody outside has come: a mail, or a call of a webhook.

use crate::base::text_enum::text_enum;

text_enum! {
    /// What became of a mail or of a webhook's delivery.
    DeliveryStatus {
        /// The worker will send it.
        Queued = "queued",
        /// It was taken.
        Sent = "sent",
        /// It could not be taken yet; it is tried again.
        Deferred = "deferred",
        /// It was refused for good, or nobody took it in time.
        Failed = "failed",
    }
}
