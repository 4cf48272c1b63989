//! What owners and admins do with an organization as a whole.

pub mod billing;
