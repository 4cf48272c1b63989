//! What owners, admins and staff do with an organization as a whole.

pub mod billing;
pub mod founding;
pub mod ownership;
pub mod policy;
pub mod profile;
