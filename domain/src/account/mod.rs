//! Accounts, and what proves that a caller is one: sessions and API keys.

pub mod api_key;
pub(crate) mod reserved_name;
pub mod session;
pub mod user;
