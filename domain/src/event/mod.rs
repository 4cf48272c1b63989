//! What the service tells other services about.

pub mod delivery;
pub mod target;
pub mod webhook;
