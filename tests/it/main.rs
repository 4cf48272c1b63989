//! Rollcall through its front door: the real programs as processes, HTTP in, GraphQL, pages and mail out.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod schema;
mod invitation;
mod join_code;
mod departure;
mod race;
mod audit;
mod support;
