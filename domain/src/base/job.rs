//! The jobs that changes call for: payloads only, with ids only. Handlers are the worker's.

use std::pin::Pin;
use std::time::Duration;

use apalis_diesel::Job;
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::id::{
    AuditEventId, DepartureId, EmailChangeId, GrantInvitationId, InvitationId, JoinCodeId, MemberId, OrganizationId,
    SessionId, SignInRequestId, TransferId, UserId, WebhookDeliveryId, WebhookId,
};

/// The worker's claim on its job, checked first in each transaction so that a run that was taken over can't commit.
pub type JobClaim<'a> = &'a (
        dyn for<'c> Fn(&'c mut AsyncPgConnection) -> Pin<Box<dyn Future<Output = crate::Result<()>> + Send + 'c>>
            + Send
            + Sync
    );

/// Queue of the mails.
pub const MAIL: &str = "mail";
/// Queue of what ends at its time.
pub const EXPIRY: &str = "expiry";
/// Queue of the cascades.
pub const DEPARTURE: &str = "departure";
/// Queue of what is told to other services.
pub const WEBHOOK: &str = "webhook";

/// More than fit into the day that a mail is tried for (`limits::MAIL_TRIED_FOR`), which ends it; this stops one that
/// kills its process.
const MAIL_TRIES: i32 = 64;

macro_rules! job {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ } in $queue:ident as $kind:literal, tries $tries:expr, timeout $timeout:literal s $(, unique $unique:ident, serial $serial:ident)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)+ }

        impl Job for $name {
            const QUEUE: &'static str = $queue;
            const KIND: &'static str = $kind;
            const MAX_ATTEMPTS: i32 = $tries;
            const TIMEOUT: Duration = Duration::from_secs($timeout);
            $(
                fn unique_key(&self) -> Option<String> {
                    Some(self.$unique.to_string())
                }
                fn serial_key(&self) -> Option<String> {
                    Some(self.$serial.to_string())
                }
            )?
        }
    };
}

job! {
    /// Mails an invitation's link.
    MailInvitation {
        /// The invitation.
        invitation_id: InvitationId,
        /// The token's version: a mail that a resend overtook isn't sent.
        token_version: i32,
    } in MAIL as "mail_invitation", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Mails the link and digits of a sign-in.
    MailSignIn {
        /// The request.
        sign_in_request_id: SignInRequestId,
    } in MAIL as "mail_sign_in", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Mails the link that confirms an account's new address.
    MailEmailChangeLink {
        /// The change.
        email_change_id: EmailChangeId,
    } in MAIL as "mail_email_change_link", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells an account's address that another one was asked for.
    MailEmailChangeRequested {
        /// The change.
        email_change_id: EmailChangeId,
    } in MAIL as "mail_email_change_requested", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells an account's old address that another one took its place.
    MailEmailChanged {
        /// The change.
        email_change_id: EmailChangeId,
    } in MAIL as "mail_email_changed", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Confirms that an account was deleted.
    MailAccountDeleted {
        /// The account.
        user_id: UserId,
    } in MAIL as "mail_account_deleted", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells someone that they were signed in on a device that wasn't before.
    MailNewSignIn {
        /// The session.
        session_id: SessionId,
    } in MAIL as "mail_new_sign_in", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Reminds the invited person a day before an invitation expires.
    MailInvitationReminder {
        /// The invitation.
        invitation_id: InvitationId,
        /// The token's version: a resend has a reminder of its own.
        token_version: i32,
    } in MAIL as "mail_invitation_reminder", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells the inviter that an invitation was accepted.
    MailInvitationAccepted {
        /// The invitation.
        invitation_id: InvitationId,
        /// Who joined.
        member_id: MemberId,
    } in MAIL as "mail_invitation_accepted", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells a member that their role changed.
    MailRoleChanged {
        /// The event of the change: it knows the member, the roles and by whom.
        audit_event_id: AuditEventId,
    } in MAIL as "mail_role_changed", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells someone that they are a member again, without having done anything for it.
    MailMembershipRestored {
        /// The event of that: it knows the member, the role and who did it.
        audit_event_id: AuditEventId,
        /// Whether what they left behind goes back to them.
        returns: bool,
    } in MAIL as "mail_membership_restored", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells someone that they were removed or deactivated, where that takes longer to pass on than
    /// [`limits::DEPARTURE_NOTICE`]: the receipt follows. Otherwise that says both.
    MailMembershipEnded {
        /// The departure.
        departure_id: DepartureId,
    } in MAIL as "mail_membership_ended", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells the owner that someone joined by code (R30).
    MailJoinedByCode {
        /// The code that was used.
        join_code_id: JoinCodeId,
    } in MAIL as "mail_joined_by_code", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells someone that staff founded an organization for them (R1).
    MailOwnerWelcome {
        /// The organization.
        organization_id: OrganizationId,
        /// Its owner.
        user_id: UserId,
    } in MAIL as "mail_owner_welcome", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells someone that staff gave them an organization (R1).
    MailOwnerSet {
        /// The organization.
        organization_id: OrganizationId,
        /// Its new owner.
        user_id: UserId,
        /// Names this mail among others to the same person, and when it was called for; a UUIDv7.
        notice: Uuid,
    } in MAIL as "mail_owner_set", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells an owner that staff gave the organization to somebody else (R1).
    MailOwnerReplaced {
        /// The event of that: it knows the organization, and both owners.
        audit_event_id: AuditEventId,
    } in MAIL as "mail_owner_replaced", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Mails a completed departure's receipt to the leaver or to the new owner.
    MailDepartureReceipt {
        /// The departure.
        departure_id: DepartureId,
        /// Who gets it.
        recipient_id: UserId,
    } in MAIL as "mail_departure_receipt", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Marks a join code expired once its 24 hours are over (R29).
    ExpireJoinCode {
        /// The code.
        join_code_id: JoinCodeId,
    } in EXPIRY as "expire_join_code", tries 25, timeout 30 s
}
job! {
    /// Marks an invitation expired once its days are over (R23).
    ExpireInvitation {
        /// The invitation.
        invitation_id: InvitationId,
    } in EXPIRY as "expire_invitation", tries 25, timeout 30 s
}
job! {
    /// Runs a departure's cascade (D6, D7); one job waits per departure, one runs per membership.
    RunDeparture {
        /// The departure.
        departure_id: DepartureId,
        /// The membership that ended.
        member_id: MemberId,
    } in DEPARTURE as "run_departure", tries 25, timeout 3_600 s, unique departure_id, serial member_id
}
job! {
    /// Marks what ended in an organization by demotions, or with the organization (R42).
    MarkEnded {
        /// The organization.
        organization_id: OrganizationId,
    } in DEPARTURE as "mark_ended", tries 25, timeout 3_600 s, unique organization_id, serial organization_id
}
job! {
    /// Marks what ended with an account: invitations to it, and offers by and to it.
    MarkEndedWithAccount {
        /// The account.
        user_id: UserId,
    } in DEPARTURE as "mark_ended_with_account", tries 25, timeout 3_600 s, unique user_id, serial user_id
}
job! {
    /// Delivers the events that a webhook waits for, in the order of the audit log (R75); one job waits and one runs
    /// per webhook, whatever happens meanwhile.
    DeliverWebhook {
        /// The webhook.
        webhook_id: WebhookId,
    } in WEBHOOK as "deliver_webhook", tries 1_000, timeout 150 s, unique webhook_id, serial webhook_id
}
job! {
    /// Delivers one event again, as someone asked for.
    RedeliverWebhook {
        /// The delivery.
        delivery_id: WebhookDeliveryId,
    } in WEBHOOK as "redeliver_webhook", tries 5, timeout 30 s, unique delivery_id, serial delivery_id
}
job! {
    /// Tells the owner that a webhook was disabled, since nobody took its deliveries (R75).
    MailWebhookDisabled {
        /// The webhook.
        webhook_id: WebhookId,
        /// Names this mail among others about the same, and when it was called for; a UUIDv7.
        notice: Uuid,
    } in MAIL as "mail_webhook_disabled", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells someone that the ownership passed to them, or from them to another (R46).
    MailOwnershipTransferred {
        /// The organization.
        organization_id: OrganizationId,
        /// Who owned it.
        from_id: UserId,
        /// Who owns it now.
        to_id: UserId,
        /// Which of the two gets the mail.
        recipient_id: UserId,
        /// Names this mail among others about the same, and when it was called for; a UUIDv7.
        notice: Uuid,
    } in MAIL as "mail_ownership_transferred", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Returns what a departure passed on (R45); never at the same time as its cascade.
    RevertDeparture {
        /// The departure.
        departure_id: DepartureId,
        /// The membership that ended.
        member_id: MemberId,
    } in DEPARTURE as "revert_departure", tries 25, timeout 3_600 s, unique departure_id, serial member_id
}
job! {
    /// Marks the offer of a project expired once its days are over.
    ExpireTransfer {
        /// The offer.
        transfer_id: TransferId,
    } in EXPIRY as "expire_transfer", tries 25, timeout 30 s
}
job! {
    /// Moves an accepted project with what lies in it (R61).
    MoveProject {
        /// The accepted offer.
        transfer_id: TransferId,
    } in DEPARTURE as "move_project", tries 25, timeout 3_600 s, unique transfer_id, serial transfer_id
}
job! {
    /// Tells somebody that a project is offered to them.
    MailTransferOffer {
        /// The offer.
        transfer_id: TransferId,
    } in MAIL as "mail_transfer_offer", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells whoever offered a project what became of the offer: it was accepted, declined, or has expired.
    MailTransferAnswered {
        /// The offer.
        transfer_id: TransferId,
    } in MAIL as "mail_transfer_answered", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Mails an address what was shared with it.
    MailGrantInvitation {
        /// The invitation to the resource.
        grant_invitation_id: GrantInvitationId,
    } in MAIL as "mail_grant_invitation", tries MAIL_TRIES, timeout 150 s, unique grant_invitation_id, serial grant_invitation_id
}
