//! Rollcall through its front door: the real programs as processes, HTTP in, GraphQL, pages and mail out.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the tests compare the host's clock with the database's")]

mod access;
mod account_deletion;
mod api_key;
mod attack;
mod audit;
mod bad_input;
mod billing;
mod cascade;
mod clients;
mod clock;
mod database;
mod departure;
mod email_change;
mod ending;
mod grant;
mod graphql;
mod housekeeping;
mod invitation;
mod join_code;
mod limits;
mod mail_delivery;
mod mail_limits;
mod member;
mod member_list;
mod operations;
mod organization;
mod pages;
mod playground;
mod public_url;
mod race;
mod random;
mod reach;
mod reserved_names;
mod resource;
mod roles;
mod rules;
mod run;
mod schema;
mod service_key;
mod session;
mod settings;
mod share_link;
mod shown_once;
mod sign_in;
mod size;
mod statements;
mod support;
mod team;
mod text;
mod transfer;
mod user;
mod webhook;
mod worker;
