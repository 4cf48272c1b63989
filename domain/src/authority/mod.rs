//! Actors, the rights of roles, and the checks and records that every change needs.

pub mod access;
pub mod actor;
pub(crate) mod attempt;
pub mod audit;
pub(crate) mod expiry;
pub mod issued;
pub mod mail_limit;
pub mod membership;
pub mod permissions;
pub mod platform;
pub mod platform_data;
pub mod resource_access;
pub mod rights;
pub mod suspension;
pub mod verification;
pub mod visibility;
