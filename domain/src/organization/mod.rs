//! What owners, admins and staff do with an organization as a whole.

pub mod billing;
pub mod founding;
pub(crate) mod ledger;
pub mod organization_upsert;
pub mod ownership;
pub mod policy;
pub mod profile;
pub mod upgrade;
pub mod usage;
