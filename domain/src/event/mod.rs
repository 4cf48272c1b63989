//! What other programs are told of events: webhooks, and the feed that subscriptions follow.

pub mod delivery;
pub mod feed;
pub mod target;
pub mod webhook;
