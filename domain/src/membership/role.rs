//! Changes of a member's role and permissions, and what these end.

use serde_json::json;

use crate::account::user;
use crate::authority::access::WritePermit;
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction};
use crate::authority::permissions::PermissionsInput;
use crate::authority::rights::{MemberAction, MemberRights, Role};
use crate::base::error::{Code, Error, Result};
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::base::job::{MailRoleChanged, MarkEnded};
use crate::database::{Database, Transaction};
use crate::membership::cause::Cause;
use crate::membership::member;
use crate::membership::member_writes::{self, EndingIssues};

/// Changes a member's role (R3, R10, R12). Ownership passes only by a transfer (R46).
///
/// # Errors
///
/// NOT_FOUND, FORBIDDEN, CONFLICT or SELF on `memberId` if the actor may not do this to the member; FORBIDDEN on `role`
/// for OWNER.
pub async fn change_role(database: &Database, actor: &Actor, id: MemberId, role: Role) -> Result<MemberId> {
    if role == Role::Owner {
        return Err(Error::refused(Code::Forbidden, "role", "ownership passes only by transferOwnership"));
    }
    database
        .transaction(async |transaction| {
            let (permit, member) = member::enter(transaction, actor, id, "memberId").await?;
            member::require(&permit, &member, change(member.role, role), "memberId")?;
            if member.role == role {
                return Ok(id);
            }
            member_writes::set_role(transaction, &permit, id, role).await?;
            let cause = Cause::Permit(&permit);
            let changed = cause
                .event(member.organization_id, AuditAction::MemberRoleChanged, id)
                .summary(format!("changed the role of {} from {} to {role}", member.user_id, member.role))
                .about(member.user_id)
                .with(json!({ "oldRole": member.role.as_str(), "role": role.as_str() }));
            transaction.enqueue(&MailRoleChanged { audit_event_id: changed.id() }).await?;
            let standing = permit.rights_of(role);
            if !standing.may_bill(member.permissions.billable_activities) {
                user::reset_default_bill_to(transaction, &[member.user_id], member.organization_id).await?;
            }
            let before = MemberRights { role: member.role, ..standing };
            end_no_longer_issuable(transaction, cause, before, standing, member.organization_id, member.user_id)
                .await?;
            audit::record(transaction, [changed]).await?;
            Ok(id)
        })
        .await
}

/// What a change of a member's role is called among the rights.
pub(super) fn change(from: Role, to: Role) -> MemberAction {
    match (from, to) {
        (Role::Admin, _) => MemberAction::Demote,
        (_, Role::Admin) => MemberAction::Promote,
        _ => MemberAction::ChangeRole,
    }
}

/// Changes what a member may bill and what they get from grants to the organization (R3, R55, R58). The owner always
/// has all permissions (R4).
///
/// # Errors
///
/// NOT_FOUND, FORBIDDEN, CONFLICT or SELF on `memberId` if the actor may not do this to the member.
pub async fn update_permissions(
    database: &Database,
    actor: &Actor,
    id: MemberId,
    input: PermissionsInput,
) -> Result<MemberId> {
    database
        .transaction(async |transaction| {
            let (permit, member) = member::enter(transaction, actor, id, "memberId").await?;
            member::require(&permit, &member, MemberAction::ChangePermissions, "memberId")?;
            let permissions = input.or(member.permissions);
            if permissions == member.permissions {
                return Ok(id);
            }
            member_writes::set_permissions(transaction, &permit, id, permissions).await?;
            let standing = permit.rights_of(member.role);
            if !standing.may_bill(permissions.billable_activities) {
                user::reset_default_bill_to(transaction, &[member.user_id], member.organization_id).await?;
            }
            let event = Cause::Permit(&permit)
                .event(member.organization_id, AuditAction::MemberPermissionsUpdated, id)
                .summary(format!("changed the permissions of {}", member.user_id))
                .about(member.user_id)
                .with(json!({ "oldPermissions": member.permissions.to_json(), "permissions": permissions.to_json() }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Ends the invitations and codes that a member could no longer issue after a demotion (R42). The positions are taken
/// under the lock on the membership, which has already been changed. The worker marks what has ended. The organization
/// must be locked.
pub(crate) async fn end_no_longer_issuable(
    transaction: &mut Transaction,
    cause: Cause<'_>,
    before: MemberRights,
    after: MemberRights,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<()> {
    let Some(ending) = no_longer_issuable(before, after) else { return Ok(()) };
    member_writes::end_issued(transaction, cause, organization_id, &[user_id], ending).await?;
    transaction.enqueue(&MarkEnded { organization_id }).await
}

/// Which of the invitations and codes that somebody has issued end with a change of their rights. `None` for none.
pub(super) fn no_longer_issuable(before: MemberRights, after: MemberRights) -> Option<EndingIssues> {
    let is_lost = |role: Role| before.may_issue(role) && !after.may_issue(role);
    match (is_lost(Role::Member), is_lost(Role::Admin)) {
        (true, _) => Some(EndingIssues::All),
        (false, true) => Some(EndingIssues::ForAdmins),
        (false, false) => None,
    }
}

/// Ends what admins issued for the role ADMIN when they lose the owner's powers, since that has the same effect as a
/// demotion. The organization must be locked.
pub(crate) async fn end_issued_for_admins(transaction: &mut Transaction, permit: &WritePermit) -> Result<()> {
    member_writes::end_issued_for_admins(transaction, permit).await?;
    transaction.enqueue(&MarkEnded { organization_id: permit.organization_id() }).await
}
