//! What the service tells other services about.

pub mod target;
pub mod webhook;
