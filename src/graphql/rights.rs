//! Roles, levels and what the viewer may do, from the code that enforces it.

use async_graphql::Enum;
use rollcall_domain::authority::rights;

/// A member's role; each includes the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::Role")]
pub enum Role {
    /// Exactly one per organization. May do everything, and alone transfers and deletes it.
    Owner,
    /// Invites, removes members and viewers, edits the profile and settings, sees everything.
    Admin,
    /// Works: creates and manages what is theirs.
    Member,
    /// Reads what is shared with them or visible to the organization; changes nothing.
    Viewer,
}

/// What one may do with a resource; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::AccessLevel")]
pub enum AccessLevel {
    /// Nothing.
    None,
    /// Read.
    View,
    /// Also add contents.
    Upload,
    /// Also change.
    Contribute,
    /// Also share, move and delete.
    Administer,
}

/// Whom a plain member sees among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::MemberDirectory")]
pub enum MemberDirectory {
    /// Nobody.
    Hidden,
    /// The owner and the admins.
    Leadership,
    /// Everyone.
    Everyone,
}

/// Whether admins have the owner's powers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::AdminPowers")]
pub enum AdminPowers {
    /// They have their own.
    Standard,
    /// They have the owner's, except transfer, deletion, this setting, and anything done to the owner.
    OwnerEquivalent,
}

/// Whether resources may be shared outside the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::ExternalSharing")]
pub enum ExternalSharing {
    /// They may.
    Allowed,
    /// They are shared with members only.
    MembersOnly,
}

/// What someone may do in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::Action")]
pub enum OrganizationAction {
    /// Invite members and viewers; see, resend and revoke invitations.
    Invite,
    /// Invite admins.
    InviteAdmin,
    /// Make, see and revoke join codes.
    CreateJoinCodes,
    /// Make an admin code.
    CreateAdminJoinCode,
    /// See all members, not only those that the directory shows.
    ViewMembers,
    /// See all resources of every member; see, retry and revert departures.
    ViewAllResources,
    /// Create resources here.
    CreateResources,
    /// Edit the profile.
    EditProfile,
    /// Edit the policy, except the admins' powers.
    EditPolicy,
    /// Create, change and delete teams.
    ManageTeams,
    /// Say where the organization is billed.
    ManageBilling,
    /// Make and revoke keys that belong to the organization.
    ManageServiceKeys,
    /// Make, change and delete webhooks.
    ManageWebhooks,
    /// Read the audit log.
    ViewAuditLog,
    /// Hand the organization over.
    TransferOwnership,
    /// Delete the organization.
    Delete,
    /// Leave.
    Leave,
}

/// What someone may do to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "rights::MemberAction")]
pub enum MemberAction {
    /// Make them an admin.
    Promote,
    /// Make them a member or viewer again.
    Demote,
    /// Change between member and viewer.
    ChangeRole,
    /// Change what they may bill and what they get from grants.
    ChangePermissions,
    /// Remove them.
    Remove,
    /// Deactivate them.
    Deactivate,
    /// Make them active again.
    Reactivate,
    /// Hand the ownership to them.
    MakeOwner,
}
