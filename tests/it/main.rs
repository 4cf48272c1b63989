//! Rollcall through its front door: the real programs as processes, HTTP in, GraphQL, pages and mail out.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod api_key;
mod audit;
mod departure;
mod invitation;
mod join_code;
mod member;
mod organization;
mod race;
mod resource;
mod schema;
mod session;
mod sign_in;
mod pages;
mod graphql;
mod bad_input;
mod statements;
mod support;
mod worker;
