//! Webhooks, by which other services are notified of events.

pub mod delivery;
pub mod target;
pub mod webhook;
