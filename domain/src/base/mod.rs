//! What all other rooms use: errors, ids, texts in canonical form, pagination, limits, secrets, links and job
//! payloads.

pub(crate) mod attached;
pub mod client;
pub(crate) mod clock;
pub mod credit_rates;
pub mod decimal;
pub mod delivery;
pub mod device;
pub mod error;
pub mod id;
pub mod issuer;
pub mod job;
pub mod keyed;
pub mod limits;
pub mod link;
pub mod page;
pub mod random;
pub mod run_kind;
pub mod secret;
pub(crate) mod sql;
pub mod text;
pub(crate) mod text_enum;
pub mod upsert;
