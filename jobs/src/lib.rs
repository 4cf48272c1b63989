//! Rollcall's worker: the mails, what ends at its time, the cascades of departures, webhooks, and the hourly sweeps.
//!
//! One file per job, named like the feature it serves. A handler reads, acts and writes the outcome; every transaction of
//! it checks that the job is still its own, so that a worker that was only slow can't finish what another has taken over.

mod account_deleted_mail;
mod context;
mod departure;
mod departure_receipt_mail;
mod email_change_mail;
mod ended;
mod grant_invitation_mail;
mod housekeeping;
mod invitation_accepted_mail;
mod invitation_expiry;
mod invitation_mail;
mod invitation_reminder_mail;
mod join_code_expiry;
mod joined_by_code_mail;
pub mod mail;
mod member_event;
mod membership_ended_mail;
mod membership_restored_mail;
pub mod metrics;
mod new_sign_in_mail;
mod owner_replaced_mail;
mod owner_set_mail;
mod owner_welcome_mail;
mod ownership_transferred_mail;
pub mod process;
mod role_changed_mail;
mod sign_in_mail;
mod transfer;
mod transfer_answered_mail;
mod transfer_offer_mail;
mod webhook_client;
mod webhook_delivery;
mod webhook_disabled_mail;
mod webhook_places;
mod webhook_redelivery;
pub mod worker;

pub use context::Context;
