//! Organizations and their members, who are one aggregate, and the ways in: invitations, join codes and teams.

pub mod answering;
pub(crate) mod cause;
pub mod collaborator;
pub mod collaborator_removal;
pub mod invitation;
pub mod invitation_grants;
pub mod invitation_mail;
pub mod inviting;
pub mod join_code;
pub(crate) mod joining;
pub mod member;
pub mod member_list;
pub mod member_upsert;
pub(crate) mod member_writes;
pub mod organization;
pub mod redeeming;
pub mod role;
pub mod seats;
pub mod team;
pub mod team_members;
mod team_places;
pub mod team_upsert;
