//! The ownership of an organization: transfers, and owners set by staff.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::user;
use crate::authority::access::{self, Lock};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction};
use crate::authority::membership::MemberStatus;
use crate::authority::platform::PlatformScope;
use crate::authority::rights::{Action, Role};
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::base::job::{MailOwnerReplaced, MailOwnerSet, MailOwnershipTransferred};
use crate::base::text::{self, Username};
use crate::base::{clock, limits};
use crate::database::schema::members;
use crate::database::{Database, Transaction, now};
use crate::membership::cause::{Admission, Cause};
use crate::membership::organization::{self, Organization};
use crate::membership::{joining, member, member_writes, role};
use crate::organization::profile;

/// Gives an organization to another owner, on behalf of staff or the platform (R1, R85). The previous owner becomes an
/// admin. Both happen in one transaction, so that there is always exactly one owner.
///
/// # Errors
///
/// FORBIDDEN for everyone except staff and platform keys with ORGANIZATIONS_WRITE; NOT_FOUND, SUSPENDED,
/// ONE_ORGANIZATION or TOO_MANY for invalid fields; CONFLICT if the owner has just changed.
pub async fn set_owner(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    new_owner: UserId,
) -> Result<OrganizationId> {
    let (scope, field) = (PlatformScope::OrganizationsWrite, "organizationId");
    let operator = actor.operator(scope, Some(id), field, "owners use transferOwnership")?;
    let cause = Cause::Operator(operator);
    let no_user = || Refusal::new(Code::NotFound, "userId", "there is no such user");
    database
        .transaction(async |transaction| {
            let old_owner = organization::owners(transaction, &[id]).await?.pop().map(|(_, user_id)| user_id);
            let Some(old_owner) = old_owner else { return Err(profile::not_found()) };
            access::lock_users(transaction, &[old_owner, new_owner]).await?;
            if !access::lock_organization(transaction, id).await? {
                return Err(profile::not_found());
            }
            let organization = organization::by_id(transaction, id).await?;
            if organization.is_personal() {
                return Err(Error::refused(
                    Code::Forbidden,
                    "organizationId",
                    "a personal organization stays with its account",
                ));
            }
            // The owner may have changed before the lock was taken. From here on, the current one counts.
            let current = organization::owners(transaction, &[id]).await?.pop().map(|(_, user_id)| user_id);
            if current != Some(old_owner) {
                return Err(Error::refused(Code::Conflict, "organizationId", "the owner has just changed; look again"));
            }
            if old_owner == new_owner {
                return Ok(id);
            }
            let user = user::by_ids(transaction, &[new_owner]).await?.pop();
            let user = user.filter(|user| user.deleted_at.is_none()).ok_or_else(no_user)?;
            user.require_unsuspended(transaction.deployment(), Reader::Another, "userId")?;
            require_room_for_owner(transaction, new_owner, "userId").await?;
            step_down(transaction, cause, &organization, old_owner).await?;
            let mut events = Vec::new();
            let old_role = member::of(transaction, id, new_owner)
                .await?
                .filter(|member| member.status == MemberStatus::Active)
                .map(|member| member.role);
            if old_role.is_some() {
                member_writes::step_up(transaction, cause, id, new_owner).await?;
            } else {
                let admission = Admission::Operator { operator, user_id: new_owner, organization_id: id };
                events.extend(joining::join(transaction, admission, "userId").await?.1);
            }
            let notice = clock::uuid_of(now(transaction).await?);
            transaction.enqueue(&MailOwnerSet { organization_id: id, user_id: new_owner, notice }).await?;
            let set = cause
                .event(id, AuditAction::OrganizationOwnerSet, id)
                .summary(format!("the platform passed the ownership from {old_owner} to {new_owner}"))
                .about(new_owner)
                .with(json!({
                    "from": old_owner.to_string(), "to": new_owner.to_string(), "owner": new_owner.to_string(),
                    "role": Role::Owner.as_str(), "oldRole": old_role.map(Role::as_str),
                }));
            transaction.enqueue(&MailOwnerReplaced { audit_event_id: set.id() }).await?;
            events.push(set);
            audit::record(transaction, events).await?;
            Ok(id)
        })
        .await
}

/// Makes the owner an admin. What they issued and can no longer issue as an admin ends (R42). The caller has locked
/// the organization, and must make somebody else the owner right afterwards.
async fn step_down(
    transaction: &mut Transaction,
    cause: Cause<'_>,
    organization: &Organization,
    owner: UserId,
) -> Result<()> {
    member_writes::step_down(transaction, cause, organization.id, owner).await?;
    let (before, after) = (organization.standing_of(Role::Owner), organization.standing_of(Role::Admin));
    role::end_no_longer_issuable(transaction, cause, before, after, organization.id, owner).await
}

/// The new owner of an organization, and the texts typed as confirmation.
#[derive(Debug)]
pub struct TransferOwnership {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The membership of the new owner, who must be an admin.
    pub member_id: MemberId,
    /// The organization's name, typed as confirmation.
    pub confirm_organization_name: String,
    /// The admin's username, typed as confirmation.
    pub confirm_username: String,
}

pub(crate) fn mismatch(field: &str, what: &str) -> Refusal {
    Refusal::new(Code::ConfirmationMismatch, field, format!("type {what} to confirm"))
}

/// Transfers the organization to an admin (R46), on behalf of the owner, who has typed both names (R47). The previous
/// owner becomes an admin.
///
/// # Errors
///
/// FORBIDDEN for everyone except the owner; CONFIRMATION_MISMATCH; NOT_FOUND, SELF, NOT_AN_ADMIN, SUSPENDED or
/// TOO_MANY on `memberId`.
pub async fn transfer_ownership(
    database: &Database,
    actor: &Actor,
    command: &TransferOwnership,
) -> Result<OrganizationId> {
    let id = command.organization_id;
    let old_owner = actor.person("organizationId")?.user_id();
    let not_found = || member::not_found("memberId");
    database
        .transaction(async |transaction| {
            // In the order of locks, users come before organizations.
            let found = member::by_ids(transaction, &[command.member_id]).await?.pop();
            let target = found.filter(|member| member.organization_id == id).map(|member| member.user_id);
            let mut users = vec![old_owner];
            users.extend(target);
            access::lock_users(transaction, &users).await?;
            let (lock, action) = (Lock::Organization, Action::TransferOwnership);
            let permit = access::authorize(transaction, actor, id, lock, action, "organizationId").await?;
            let cause = Cause::Permit(&permit);
            let new_owner = target.ok_or_else(not_found)?;
            let organization = organization::by_id(transaction, id).await?;
            if !text::is_typed(&command.confirm_organization_name, &organization.name) {
                return Err(mismatch("confirmOrganizationName", "the organization's name as it stands").into());
            }
            let user = user::by_id(transaction, new_owner).await?;
            if Username::parse("confirmUsername", &command.confirm_username).as_ref() != Ok(&user.username) {
                return Err(mismatch("confirmUsername", "the username of the new owner").into());
            }
            if old_owner == new_owner {
                return Err(Error::refused(Code::Self_, "memberId", "you own this organization already"));
            }
            let member = member::of(transaction, id, new_owner).await?.ok_or_else(not_found)?;
            if member.status != MemberStatus::Active || member.role != Role::Admin {
                let message = "ownership goes to an admin only; make them an admin first";
                return Err(Error::refused(Code::NotAnAdmin, "memberId", message));
            }
            user.require_unsuspended(transaction.deployment(), Reader::Another, "memberId")?;
            require_room_for_owner(transaction, new_owner, "memberId").await?;
            step_down(transaction, cause, &organization, old_owner).await?;
            member_writes::step_up(transaction, cause, id, new_owner).await?;
            let at = now(transaction).await?;
            let mails = [old_owner, new_owner].map(|recipient_id| MailOwnershipTransferred {
                organization_id: id,
                from_id: old_owner,
                to_id: new_owner,
                recipient_id,
                notice: clock::uuid_of(at),
            });
            transaction.enqueue_all(&mails).await?;
            let event = cause
                .event(id, AuditAction::OrganizationOwnershipTransferred, command.member_id)
                .summary(format!("passed the ownership from {old_owner} to {new_owner}"))
                .about(new_owner)
                .with(json!({
                    "from": old_owner.to_string(), "to": new_owner.to_string(), "owner": new_owner.to_string(),
                    "role": Role::Owner.as_str(), "oldRole": Role::Admin.as_str(),
                }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Fails with TOO_MANY if somebody already owns as many organizations as one person may. Deleted ones count while they
/// can be restored, so that restoring one never exceeds the limit. The caller has locked the account's row.
pub(super) async fn require_room_for_owner(transaction: &mut Transaction, user_id: UserId, field: &str) -> Result<()> {
    let owned: i64 = members::table
        .filter(members::user_id.eq(user_id))
        .filter(members::role.eq(Role::Owner))
        .filter(members::status.eq(MemberStatus::Active))
        .count()
        .get_result(&mut **transaction)
        .await?;
    // The personal organization isn't included in the limit.
    if owned > limits::MAX_OWNED_ORGANIZATIONS {
        return Err(owns_too_many(field).into());
    }
    Ok(())
}

/// The refusal for somebody who owns as many organizations as one person may.
pub(super) fn owns_too_many(field: &str) -> Refusal {
    let most = limits::MAX_OWNED_ORGANIZATIONS;
    let message = format!("one person owns at most {most} organizations, and so many are owned; hand one over first");
    Refusal::new(Code::TooMany, field, message)
}
