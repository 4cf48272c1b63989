//! Roles, access levels, and lists of what the viewer may do, which come from the same rules that are enforced.

use async_graphql::Enum;
use rollcall_domain::authority::rights;

/// A member's role. Each role includes the rights of those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::Role")]
pub enum Role {
    /// The owner, of whom each organization has exactly one. May do everything; only the owner can transfer and delete
    /// the organization.
    Owner,
    /// An admin. Invites people, removes members and viewers, edits the profile and settings, and sees everything.
    Admin,
    /// A member. Creates resources and manages their own.
    Member,
    /// A viewer. Reads what is shared with them or visible to the organization, and can't change anything.
    Viewer,
}

/// What somebody may do with a resource. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::AccessLevel")]
pub enum AccessLevel {
    /// No access.
    None,
    /// Read the resource.
    View,
    /// Also add contents.
    Upload,
    /// Also change the resource.
    Contribute,
    /// Also share, move and delete the resource.
    Administer,
}

/// Which other members plain members can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::MemberDirectory")]
pub enum MemberDirectory {
    /// Nobody.
    Hidden,
    /// The owner and the admins.
    Leadership,
    /// All members.
    Everyone,
}

/// Whether admins have the owner's powers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::AdminPowers")]
pub enum AdminPowers {
    /// Admins have only the powers of an admin.
    Standard,
    /// Admins have the owner's powers, except transferring or deleting the organization, changing this setting, and
    /// anything done to the owner.
    OwnerEquivalent,
}

/// Whether resources may be shared outside the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::ExternalSharing")]
pub enum ExternalSharing {
    /// Resources may be shared outside.
    Allowed,
    /// Resources can be shared with members only.
    MembersOnly,
}

/// What somebody may do in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::Action")]
pub enum OrganizationAction {
    /// Invite members and viewers; see, resend and revoke invitations.
    Invite,
    /// Invite admins.
    InviteAdmin,
    /// Create, see and revoke join codes.
    CreateJoinCodes,
    /// Create join codes for admins.
    CreateAdminJoinCode,
    /// See all members, not only those that the directory shows.
    ViewMembers,
    /// See all resources of every member; see, retry and revert departures; see and remove collaborators.
    ViewAllResources,
    /// Create resources in the organization.
    CreateResources,
    /// Edit the profile.
    EditProfile,
    /// Edit the policy, except whether admins have the owner's powers.
    EditPolicy,
    /// Create, change and delete teams.
    ManageTeams,
    /// Change the billing account.
    ManageBilling,
    /// Create and revoke service keys, which belong to the organization.
    ManageServiceKeys,
    /// Create, change and delete webhooks.
    ManageWebhooks,
    /// Read the audit log.
    ViewAuditLog,
    /// Transfer the ownership to an admin.
    TransferOwnership,
    /// Delete the organization.
    Delete,
    /// Leave the organization.
    Leave,
}

/// What somebody may do to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::MemberAction")]
pub enum MemberAction {
    /// Make them an admin.
    Promote,
    /// Make an admin a member or viewer again.
    Demote,
    /// Change their role between member and viewer.
    ChangeRole,
    /// Change what they may bill and what they may do with shared resources.
    ChangePermissions,
    /// Remove them from the organization.
    Remove,
    /// Deactivate them.
    Deactivate,
    /// Reactivate them.
    Reactivate,
    /// Transfer the ownership to them.
    MakeOwner,
}
