//! What other programs are told of events: webhooks, and the feed that subscriptions follow.

pub mod delivery;
pub mod feed;
pub mod platform_feed;
pub mod platform_webhook;
pub mod target;
pub mod webhook;
pub mod webhook_changes;
