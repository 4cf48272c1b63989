//! Accounts, and the credentials that identify them: sessions, identities at issuers, and API keys.

pub mod api_key;
pub mod authentication;
pub mod grant_invitation;
pub mod identity;
pub(crate) mod new_account;
pub mod platform_key;
pub mod profile;
pub(crate) mod reserved_name;
pub mod session;
pub mod suspension;
pub mod user;
pub mod user_ref;
