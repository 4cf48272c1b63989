//! Organizations and their members, who are one aggregate, and the ways in: invitations, join codes and teams.

pub mod invitation;
pub mod join_code;
pub mod member;
pub mod organization;
pub mod team;
