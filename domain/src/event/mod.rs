//! What the service tells other services about.

pub mod webhook;
