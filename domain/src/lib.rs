//! Rollcall's rules and their data: one module per feature, on diesel-async.
//!
//! A writer runs in [`database::Database::transaction`]: it locks and gets a [`access::Permit`], writes, enqueues
//! the jobs that the change calls for, and last records the audit event. Nothing here knows of GraphQL, HTTP or mail.

pub mod access;
pub mod account_deletion;
pub mod actor;
pub mod api_key;
mod attached;
mod attempt;
pub mod audit;
pub mod billing;
pub mod builtin_postgres;
pub mod client;
mod clock;
pub mod database;
pub mod departure;
pub mod device;
pub mod email_change;
pub mod error;
pub mod grant;
pub mod housekeeping;
pub mod hyperlink;
pub mod id;
pub mod integrity;
pub mod invitation;
pub mod issued;
pub mod job;
pub mod job_admin;
pub mod join_code;
pub mod limits;
pub mod link;
pub mod mail_limit;
pub mod member;
pub mod organization;
pub mod page;
pub mod policy;
mod reserved_name;
pub mod resource;
pub mod run;
pub mod secret;
pub mod session;
pub mod settings;
pub mod share_link;
pub mod sign_in;
mod storage;
pub mod team;
pub mod text;
mod text_enum;
pub mod transfer;
pub mod user;
pub mod webhook;

pub use error::{Error, Result};
