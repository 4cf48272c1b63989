//! An organization's policy, which is its settings.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::authority::access::{self, Lock};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::permissions::PermissionsInput;
use crate::authority::rights::{Action, AdminPowers, ExternalSharing, MemberDirectory};
use crate::base::error::{Code, Error, Result};
use crate::base::id::OrganizationId;
use crate::base::limits;
use crate::database::Database;
use crate::database::schema::organizations;
use crate::membership::organization::{self, Organization};
use crate::membership::role;

/// The changes to a policy. `None` leaves a field as it is.
#[derive(Debug, Default)]
pub struct UpdatePolicy {
    /// Which other members plain members can see (D9).
    pub member_directory: Option<MemberDirectory>,
    /// Whether admins have the owner's powers (D2). Only the owner can change this.
    pub admin_powers: Option<AdminPowers>,
    /// Whether resources may be shared outside the organization.
    pub external_sharing: Option<ExternalSharing>,
    /// The permissions of new members.
    pub default_permissions: PermissionsInput,
    /// How many days invitations are valid (R23).
    pub invitation_days: Option<i32>,
}

/// Changes the policy (R9).
///
/// # Errors
///
/// NOT_FOUND or FORBIDDEN if the actor may not change the policy, or one of the fields; INVALID on `invitationDays`.
pub async fn update_policy(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    command: &UpdatePolicy,
) -> Result<OrganizationId> {
    if let Some(days) = command.invitation_days.filter(|days| !limits::INVITATION_DAYS.contains(days)) {
        let (first, last) = (limits::INVITATION_DAYS.start(), limits::INVITATION_DAYS.end());
        let message = format!("invitations last {first} to {last} days, not {days}");
        return Err(Error::refused(Code::Invalid, "invitationDays", message));
    }
    database
        .transaction(async |transaction| {
            let permit =
                access::authorize(transaction, actor, id, Lock::Organization, Action::EditPolicy, "organizationId")
                    .await?;
            let before = organization::by_id(transaction, id).await?;
            let admin_powers = command.admin_powers.unwrap_or(before.admin_powers);
            if admin_powers != before.admin_powers && !permit.standing().may_set_admin_powers() {
                let message = "only the owner says what admins may do";
                return Err(Error::refused(Code::Forbidden, "adminPowers", message));
            }
            let permissions = command.default_permissions.or(before.default_permissions.into());
            let after: Organization = diesel::update(organizations::table.find(id))
                .set((
                    organizations::member_directory.eq(command.member_directory.unwrap_or(before.member_directory)),
                    organizations::admin_powers.eq(admin_powers),
                    organizations::external_sharing.eq(command.external_sharing.unwrap_or(before.external_sharing)),
                    organizations::default_billable_activities.eq(permissions.billable_activities),
                    organizations::default_shared_apps.eq(permissions.shared_apps),
                    organizations::default_shared_projects.eq(permissions.shared_projects),
                    organizations::invitation_days.eq(command.invitation_days.unwrap_or(before.invitation_days)),
                ))
                .returning(Organization::as_returning())
                .get_result(&mut **transaction)
                .await?;
            if before.admin_powers == AdminPowers::OwnerEquivalent && admin_powers == AdminPowers::Standard {
                role::end_issued_for_admins(transaction, &permit).await?;
            }
            let (old_policy, policy) = (before.policy_json(), after.policy_json());
            if old_policy != policy {
                let event = NewEvent::by(actor, id, AuditAction::OrganizationPolicyUpdated, id)
                    .summary("changed the policy")
                    .with(json!({ "oldPolicy": old_policy, "policy": policy }));
                audit::record(transaction, [event]).await?;
            }
            Ok(id)
        })
        .await
}
