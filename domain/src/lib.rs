//! Rollcall's rules and their data, on diesel-async, in rooms. A room imports from those above it in this list, and
//! from itself:
//!
//! - [`base`] has ids, errors, texts in canonical form, pages of lists, limits, secrets, links and the jobs' payloads.
//! - [`database`] has the pool, transactions, the schema and the clock.
//! - [`authority`] says who asks and what roles may do; it has the locks, the audit log and counted attempts.
//! - [`account`] has people's accounts, their sessions and API keys.
//! - [`membership`] has organizations and their members, who are one aggregate, and invitations, join codes and teams.
//! - [`organization`] has what is done with an organization as a whole, and its billing.
//! - [`resource`] has projects, files, apps and the like, and their grants, share links, transfers and runs.
//! - [`event`] has webhooks.
//! - [`sign_in`] has signing in and the change of an account's address, which answer invitations on the way.
//! - [`departure`] has leaving, being removed, and the end of an account or an organization.
//! - [`upkeep`] has sweeps, imports, checks of the data, and what staff do with jobs.
//! - [`start`] has the settings, and opens the database that they name.
//!
//! A writer runs in [`database::Database::transaction`]: it locks and gets an [`authority::access::Permit`], writes,
//! enqueues the jobs that the change calls for, and last records the audit event. Nothing here knows of GraphQL, HTTP
//! or mail.

pub mod account;
pub mod authority;
pub mod base;
pub mod database;
pub mod departure;
pub mod event;
pub mod membership;
pub mod organization;
pub mod resource;
pub mod sign_in;
pub mod start;
pub mod upkeep;

pub use base::error::{Error, Result};
