//! The jobs that changes enqueue. This module has only their payloads, which contain only ids. The handlers are in the
//! worker.

use std::pin::Pin;
use std::time::Duration;

use apalis_diesel::Job;
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::id::{
    AuditEventId, DepartureId, EmailChangeId, GrantInvitationId, InvitationId, JoinCodeId, MemberId, OrganizationId,
    SessionId, SignInRequestId, TransferId, UpgradeRequestId, UserId, WebhookDeliveryId, WebhookId,
};

/// The worker's claim on its job. Each transaction checks it first, so that a run whose job was taken over can't
/// commit.
pub type JobClaim<'a> = &'a (
        dyn for<'c> Fn(&'c mut AsyncPgConnection) -> Pin<Box<dyn Future<Output = crate::Result<()>> + Send + 'c>>
            + Send
            + Sync
    );

/// The queue of emails.
pub const MAIL: &str = "mail";
/// The queue of jobs that mark what has expired.
pub const EXPIRY: &str = "expiry";
/// The queue of cascades and other long work.
pub const DEPARTURE: &str = "departure";
/// The queue of webhooks.
pub const WEBHOOK: &str = "webhook";

/// More attempts than fit into the time for which an email is tried (`limits::MAIL_TRIED_FOR`), which normally ends
/// the attempts. This limit stops an email that kills its process.
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
    /// Sends the email with an invitation's link.
    MailInvitation {
        /// The invitation.
        invitation_id: InvitationId,
        /// The version of the token. An email that was replaced by a resent one isn't sent.
        token_version: i32,
    } in MAIL as "mail_invitation", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Sends the email with the link and digits for signing in.
    MailSignIn {
        /// The request.
        sign_in_request_id: SignInRequestId,
    } in MAIL as "mail_sign_in", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Sends the email with the link that confirms an account's new address.
    MailEmailChangeLink {
        /// The change.
        email_change_id: EmailChangeId,
    } in MAIL as "mail_email_change_link", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells an account's address that a change to another one was requested.
    MailEmailChangeRequested {
        /// The change.
        email_change_id: EmailChangeId,
    } in MAIL as "mail_email_change_requested", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells somebody what the platform did with their account: suspended it, lifted that, or ended its sessions (R84).
    MailAccountNotice {
        /// The audit event.
        audit_event_id: AuditEventId,
    } in MAIL as "mail_account_notice", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells an account's old or new address that the platform's staff have changed the address (R84).
    MailEmailSet {
        /// The change.
        email_change_id: EmailChangeId,
        /// Whether this email goes to the new address.
        to_new: bool,
    } in MAIL as "mail_email_set", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells an account's old address that a new one has replaced it.
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
    /// Tells somebody that their account was signed in to on a new device.
    MailNewSignIn {
        /// The session.
        session_id: SessionId,
    } in MAIL as "mail_new_sign_in", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Reminds the invited person one day before an invitation expires.
    MailInvitationReminder {
        /// The invitation.
        invitation_id: InvitationId,
        /// The version of the token. A resent invitation has a reminder of its own.
        token_version: i32,
    } in MAIL as "mail_invitation_reminder", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells the inviter that their invitation was accepted.
    MailInvitationAccepted {
        /// The invitation.
        invitation_id: InvitationId,
        /// The new member.
        member_id: MemberId,
    } in MAIL as "mail_invitation_accepted", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells a member that their role was changed.
    MailRoleChanged {
        /// The audit event of the change, which contains the member, the roles and the actor.
        audit_event_id: AuditEventId,
    } in MAIL as "mail_role_changed", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells somebody that they are a member again, which they didn't bring about themselves.
    MailMembershipRestored {
        /// The audit event, which contains the member, the role and the actor.
        audit_event_id: AuditEventId,
        /// Whether what they left behind is being returned to them.
        returns: bool,
    } in MAIL as "mail_membership_restored", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells somebody that the platform made them a member (R88).
    MailMemberAdded {
        /// The membership.
        member_id: MemberId,
        /// A UUIDv7 that distinguishes this email from others about the same membership, and contains the time when
        /// they were made a member.
        notice: Uuid,
    } in MAIL as "mail_member_added", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells somebody that they were removed or deactivated, if passing on their work takes longer than
    /// [`limits::DEPARTURE_NOTICE`]. The receipt follows later. If it doesn't take that long, the receipt tells both.
    MailMembershipEnded {
        /// The departure.
        departure_id: DepartureId,
    } in MAIL as "mail_membership_ended", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells the owner that somebody joined with a code (R30).
    MailJoinedByCode {
        /// The join code.
        join_code_id: JoinCodeId,
    } in MAIL as "mail_joined_by_code", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells somebody that staff created an organization for them (R1).
    MailOwnerWelcome {
        /// The organization.
        organization_id: OrganizationId,
        /// Its owner.
        user_id: UserId,
    } in MAIL as "mail_owner_welcome", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells somebody that staff gave them an organization (R1).
    MailOwnerSet {
        /// The organization.
        organization_id: OrganizationId,
        /// Its new owner.
        user_id: UserId,
        /// A UUIDv7 that distinguishes this email from others to the same person, and contains the time of the change.
        notice: Uuid,
    } in MAIL as "mail_owner_set", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells the former owner that staff gave the organization to somebody else (R1).
    MailOwnerReplaced {
        /// The audit event, which contains the organization and both owners.
        audit_event_id: AuditEventId,
    } in MAIL as "mail_owner_replaced", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Sends the receipt of a completed departure to the leaver or to an owner.
    MailDepartureReceipt {
        /// The departure.
        departure_id: DepartureId,
        /// The recipient.
        recipient_id: UserId,
    } in MAIL as "mail_departure_receipt", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Marks a join code as expired once its 24 hours are over (R29).
    ExpireJoinCode {
        /// The code.
        join_code_id: JoinCodeId,
    } in EXPIRY as "expire_join_code", tries 25, timeout 30 s
}
job! {
    /// Marks an invitation as expired once its days are over (R23).
    ExpireInvitation {
        /// The invitation.
        invitation_id: InvitationId,
    } in EXPIRY as "expire_invitation", tries 25, timeout 30 s
}
job! {
    /// Runs a departure's cascade (D6, D7). At most one job waits for each departure, and at most one runs for each
    /// membership.
    RunDeparture {
        /// The departure.
        departure_id: DepartureId,
        /// The membership that ended.
        member_id: MemberId,
    } in DEPARTURE as "run_departure", tries 25, timeout 3_600 s, unique departure_id, serial member_id
}
job! {
    /// Marks what has ended in an organization because of demotions, or together with the organization (R42).
    MarkEnded {
        /// The organization.
        organization_id: OrganizationId,
    } in DEPARTURE as "mark_ended", tries 25, timeout 3_600 s, unique organization_id, serial organization_id
}
job! {
    /// Marks what has ended together with an account: invitations to it, and offers by it and to it.
    MarkEndedWithAccount {
        /// The account.
        user_id: UserId,
    } in DEPARTURE as "mark_ended_with_account", tries 25, timeout 3_600 s, unique user_id, serial user_id
}
job! {
    /// Delivers the events that a webhook is subscribed to, in the order of the audit log (R75) or of the feed over all
    /// logs (R90). At most one job waits and one runs for each webhook.
    DeliverWebhook {
        /// The webhook.
        webhook_id: WebhookId,
    } in WEBHOOK as "deliver_webhook", tries 1_000, timeout 150 s, unique webhook_id, serial webhook_id
}
job! {
    /// Delivers one event again, on request.
    RedeliverWebhook {
        /// The delivery.
        delivery_id: WebhookDeliveryId,
    } in WEBHOOK as "redeliver_webhook", tries 5, timeout 30 s, unique delivery_id, serial delivery_id
}
job! {
    /// Tells the owner, or for a webhook of the platform the deployment's support, that a webhook was disabled, since
    /// its deliveries failed (R75).
    MailWebhookDisabled {
        /// The webhook.
        webhook_id: WebhookId,
        /// A UUIDv7 that distinguishes this email from others about the same webhook, and contains the time when it
        /// was disabled.
        notice: Uuid,
    } in MAIL as "mail_webhook_disabled", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells the old or the new owner that the ownership was transferred (R46).
    MailOwnershipTransferred {
        /// The organization.
        organization_id: OrganizationId,
        /// The previous owner.
        from_id: UserId,
        /// The new owner.
        to_id: UserId,
        /// The one of the two who gets this email.
        recipient_id: UserId,
        /// A UUIDv7 that distinguishes this email from others about the same organization, and contains the time of
        /// the transfer.
        notice: Uuid,
    } in MAIL as "mail_ownership_transferred", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Returns what a departure moved (R45). It never runs at the same time as the departure's cascade.
    RevertDeparture {
        /// The departure.
        departure_id: DepartureId,
        /// The membership that ended.
        member_id: MemberId,
    } in DEPARTURE as "revert_departure", tries 25, timeout 3_600 s, unique departure_id, serial member_id
}
job! {
    /// Marks the offer of a project as expired once its days are over.
    ExpireTransfer {
        /// The offer.
        transfer_id: TransferId,
    } in EXPIRY as "expire_transfer", tries 25, timeout 30 s
}
job! {
    /// Moves an accepted project and its contents (R61).
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
    /// Tells the user who offered a project how the offer ended: it was accepted, declined, or has expired.
    MailTransferAnswered {
        /// The offer.
        transfer_id: TransferId,
    } in MAIL as "mail_transfer_answered", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Sends an email to an address that a resource was shared with.
    MailGrantInvitation {
        /// The invitation to the resource.
        grant_invitation_id: GrantInvitationId,
    } in MAIL as "mail_grant_invitation", tries MAIL_TRIES, timeout 150 s, unique grant_invitation_id, serial grant_invitation_id
}
job! {
    /// Tells an owner or admin how much of the organization's credits is spent (R70, R71).
    MailCreditsSpent {
        /// The organization.
        organization_id: OrganizationId,
        /// The owner or admin who gets this email.
        recipient_id: UserId,
        /// The share of the credits that is spent, in percent: 80 or 100.
        percent: i32,
        /// A UUIDv7 that distinguishes this email from others about the same organization, and contains the time when
        /// this much was spent.
        notice: Uuid,
    } in MAIL as "mail_credits_spent", tries MAIL_TRIES, timeout 150 s
}
job! {
    /// Tells the deployment's support that an organization asks for more (R79).
    MailUpgradeRequested {
        /// The request.
        upgrade_request_id: UpgradeRequestId,
    } in MAIL as "mail_upgrade_requested", tries MAIL_TRIES, timeout 150 s
}
