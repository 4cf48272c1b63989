//! What each role may do: the whole table of roles and actions. No other code decides this.

use crate::authority::membership::MemberStatus;
use crate::authority::platform::{PlatformScope, PlatformScopes, lacks};
use crate::base::text_enum::text_enum;

text_enum! {
    /// A member's role. Each role includes the rights of the next one (D1).
    Role {
        /// The owner. An organization has exactly one (D2).
        Owner = "owner",
        /// An admin invites and removes members and viewers, and edits the profile and settings.
        Admin = "admin",
        /// A member creates resources and manages their own.
        Member = "member",
        /// A viewer reads what is shared with them.
        Viewer = "viewer",
    }
}

impl Role {
    /// Whether this role includes the other one.
    pub fn is_at_least(self, other: Self) -> bool {
        self <= other
    }

    /// The role's name for people to read.
    pub fn label(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::Member => "Member",
            Self::Viewer => "Viewer",
        }
    }

    /// The role with its article, for sentences: `an admin`.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Owner => "the owner",
            Self::Admin => "an admin",
            Self::Member => "a member",
            Self::Viewer => "a viewer",
        }
    }

    /// Every role that includes this one.
    pub fn at_least(self) -> Vec<Self> {
        Self::ALL.iter().copied().filter(|role| role.is_at_least(self)).collect()
    }

    /// Whether the role may bill projects and apps to the organization (R55).
    fn may_bill(self, billable_activities: bool) -> bool {
        self.is_at_least(if billable_activities { Self::Member } else { Self::Admin })
    }

    /// Every role that may bill projects and apps to the organization, with or without the permission
    /// `billable_activities` (R55).
    pub(crate) fn that_may_bill(billable_activities: bool) -> Vec<Self> {
        Self::ALL.iter().copied().filter(|role| role.may_bill(billable_activities)).collect()
    }
}

text_enum! {
    /// What a grant allows. Each level includes those before it.
    AccessLevel {
        /// No access.
        None = "none",
        /// Read the resource.
        View = "view",
        /// Also add contents.
        Upload = "upload",
        /// Also change the resource.
        Contribute = "contribute",
        /// Also share, move and delete the resource.
        Administer = "administer",
    }
}

impl AccessLevel {
    /// The level as far as a role allows it: a viewer only reads (R14).
    pub fn within(self, role: Role) -> Self {
        match role {
            Role::Owner | Role::Admin | Role::Member => self,
            Role::Viewer => self.min(Self::View),
        }
    }

    /// What the level allows, to complete "you can …".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::None => "do nothing with it",
            Self::View => "view it",
            Self::Upload => "view it and add to it",
            Self::Contribute => "view, add to and change it",
            Self::Administer => "do everything with it, including sharing and deleting it",
        }
    }
}

text_enum! {
    /// Which other members plain members see (D9).
    MemberDirectory {
        /// Nobody. Neither the organization's leaders nor teams that a member isn't in are shown (R77).
        Hidden = "hidden",
        /// The owner and the admins.
        Leadership = "leadership",
        /// Everyone.
        Everyone = "everyone",
    }
}

impl MemberDirectory {
    /// Whether members who don't lead the organization see more of its structure than their own part (R77).
    pub fn shows_structure(self) -> bool {
        match self {
            Self::Hidden => false,
            Self::Leadership | Self::Everyone => true,
        }
    }
}

text_enum! {
    /// Whether admins have the owner's powers (D2).
    AdminPowers {
        /// Admins have only their own powers.
        Standard = "standard",
        /// Admins have the owner's powers, except for the transfer and deletion of the organization, this setting, and
        /// anything done to the owner.
        OwnerEquivalent = "owner_equivalent",
    }
}

text_enum! {
    /// Whether resources may be shared with accounts and organizations outside the organization.
    ExternalSharing {
        /// Sharing with outsiders is allowed.
        Allowed = "allowed",
        /// Resources may be shared only within the organization.
        MembersOnly = "members_only",
    }
}

text_enum! {
    /// What someone may do in an organization.
    Action {
        /// Invite members and viewers; see, resend and revoke invitations.
        Invite = "invite",
        /// Invite admins (D10).
        InviteAdmin = "invite_admin",
        /// Create, see and revoke join codes (R26).
        CreateJoinCodes = "create_join_codes",
        /// Create a join code for admins (R27).
        CreateAdminJoinCode = "create_admin_join_code",
        /// See all members, not only those that the directory shows (R2, R7, D9).
        ViewMembers = "view_members",
        /// See all resources of every member (R2); see, retry and revert departures; see and remove collaborators
        /// (R67).
        ViewAllResources = "view_all_resources",
        /// Create resources in the organization (R8, R14).
        CreateResources = "create_resources",
        /// Edit the profile (R49).
        EditProfile = "edit_profile",
        /// Edit the policy, except for the admins' powers (R9).
        EditPolicy = "edit_policy",
        /// Create, change and delete teams.
        ManageTeams = "manage_teams",
        /// Change where the organization is billed (R63).
        ManageBilling = "manage_billing",
        /// Create and revoke keys that belong to the organization.
        ManageServiceKeys = "manage_service_keys",
        /// Create, change and delete webhooks.
        ManageWebhooks = "manage_webhooks",
        /// Read the audit log.
        ViewAuditLog = "view_audit_log",
        /// Transfer the organization's ownership (R46).
        TransferOwnership = "transfer_ownership",
        /// Delete the organization (R48).
        Delete = "delete",
        /// Leave the organization (R40).
        Leave = "leave",
    }
}

text_enum! {
    /// What someone may do to a member.
    MemberAction {
        /// Make them an admin.
        Promote = "promote",
        /// Make an admin a member or viewer again.
        Demote = "demote",
        /// Change their role between member and viewer.
        ChangeRole = "change_role",
        /// Change what they may bill and what they get from grants to the organization.
        ChangePermissions = "change_permissions",
        /// Remove them.
        Remove = "remove",
        /// Deactivate them (D6).
        Deactivate = "deactivate",
        /// Make them active again.
        Reactivate = "reactivate",
        /// Transfer the ownership to them.
        MakeOwner = "make_owner",
    }
}

/// A member's role together with the organization's settings on which their rights depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberRights {
    /// The member's role.
    pub role: Role,
    /// The organization's setting for admins' powers.
    pub admin_powers: AdminPowers,
    /// The organization's setting for the member directory.
    pub member_directory: MemberDirectory,
    /// Whether it is a personal organization (D5).
    pub personal: bool,
}

impl MemberRights {
    fn is_leader(self) -> bool {
        self.role.is_at_least(Role::Admin)
    }

    /// Whether this is the owner, or an admin in an organization whose admins have the owner's powers.
    fn has_owner_powers(self) -> bool {
        match self.role {
            Role::Owner => true,
            Role::Admin => self.admin_powers == AdminPowers::OwnerEquivalent,
            Role::Member | Role::Viewer => false,
        }
    }

    /// Whether the action is allowed.
    pub fn allows(self, action: Action) -> bool {
        let team = !self.personal;
        match action {
            Action::Invite | Action::CreateJoinCodes | Action::ManageTeams => team && self.is_leader(),
            Action::InviteAdmin | Action::CreateAdminJoinCode => team && self.has_owner_powers(),
            Action::ViewMembers => self.is_leader() || self.member_directory == MemberDirectory::Everyone,
            Action::ViewAllResources
            | Action::EditPolicy
            | Action::ManageServiceKeys
            | Action::ManageWebhooks
            | Action::ViewAuditLog => self.is_leader(),
            // The profile of a personal organization is its user's.
            Action::EditProfile => team && self.is_leader(),
            Action::CreateResources => self.role.is_at_least(Role::Member),
            Action::ManageBilling => self.has_owner_powers(),
            Action::TransferOwnership | Action::Delete => team && self.role == Role::Owner,
            Action::Leave => team && self.role != Role::Owner,
        }
    }

    /// Whether the admins' powers may be changed. Only the owner may do so (D2).
    pub fn may_set_admin_powers(self) -> bool {
        self.role == Role::Owner && self.allows(Action::EditPolicy)
    }

    /// Whether the holder may act on the work of members with this role, for example to return it to them.
    pub fn outranks(self, target: Role) -> bool {
        match target {
            Role::Owner => false,
            Role::Admin => self.has_owner_powers(),
            Role::Member | Role::Viewer => self.is_leader(),
        }
    }

    /// Whether projects may be given away to other organizations, besides the permission to bill (R61). If sharing with
    /// outsiders isn't allowed, only the owner and the admins may do so.
    pub fn may_give_away(self, external_sharing: ExternalSharing) -> bool {
        external_sharing == ExternalSharing::Allowed || self.is_leader()
    }

    /// Whether plan, seats and balance are shown (R71).
    pub fn sees_billing(self) -> bool {
        self.is_leader()
    }

    /// Every action that is allowed.
    pub fn allowed(self) -> Vec<Action> {
        Action::ALL.iter().copied().filter(|action| self.allows(*action)).collect()
    }

    /// Whether an invitation or code for the role may be issued. Nobody can invite an owner (D10).
    pub fn may_issue(self, role: Role) -> bool {
        match role {
            Role::Owner => false,
            Role::Admin => self.allows(Action::InviteAdmin),
            Role::Member | Role::Viewer => self.allows(Action::Invite),
        }
    }

    /// Whether the directory shows members with this role (D9).
    pub fn sees_members_of(self, role: Role) -> bool {
        self.allows(Action::ViewMembers)
            || (self.member_directory == MemberDirectory::Leadership && role.is_at_least(Role::Admin))
    }

    /// Whether the collaborators in a team are shown, to somebody who is in it or not: to the owner and admins, and to
    /// their teammates if every member is shown (D9, R81).
    pub fn sees_collaborators(self, is_in_team: bool) -> bool {
        self.is_leader() || is_in_team && self.member_directory == MemberDirectory::Everyone
    }

    /// Whether the organization's structure is shown beyond the member's own part of it: its leaders, who did something
    /// for it, and teams that the member isn't in (R51, R77).
    pub fn sees_structure(self) -> bool {
        self.is_leader() || self.member_directory.shows_structure()
    }

    /// Whether the action may be done to a member. `is_self` says whether it is the actor's own membership.
    pub fn allows_on_member(self, action: MemberAction, target: Role, status: MemberStatus, is_self: bool) -> bool {
        // Nothing can be done to the owner, and nobody can act on their own membership: they leave instead (R4, R39).
        if self.personal || is_self || target == Role::Owner {
            return false;
        }
        let over_target = self.outranks(target);
        let active = status == MemberStatus::Active;
        match action {
            MemberAction::Promote => active && target != Role::Admin && self.has_owner_powers(),
            MemberAction::Demote => active && target == Role::Admin && self.has_owner_powers(),
            MemberAction::ChangeRole => active && target != Role::Admin && self.is_leader(),
            MemberAction::ChangePermissions | MemberAction::Remove | MemberAction::Deactivate => active && over_target,
            // A member who left comes back only by their own decision (D6).
            MemberAction::Reactivate => {
                matches!(status, MemberStatus::Removed | MemberStatus::Deactivated) && over_target
            }
            MemberAction::MakeOwner => active && target == Role::Admin && self.role == Role::Owner,
        }
    }

    /// Whether projects and apps may be billed to the organization (R55).
    pub fn may_bill(self, billable_activities: bool) -> bool {
        self.allows(Action::CreateResources) && self.role.may_bill(billable_activities)
    }
}

impl Action {
    /// Whether this is about seeing something, for which READ lets a platform key in.
    fn is_view(self) -> bool {
        match self {
            Self::ViewMembers | Self::ViewAllResources | Self::ViewAuditLog => true,
            Self::Invite
            | Self::InviteAdmin
            | Self::CreateJoinCodes
            | Self::CreateAdminJoinCode
            | Self::CreateResources
            | Self::EditProfile
            | Self::EditPolicy
            | Self::ManageTeams
            | Self::ManageBilling
            | Self::ManageServiceKeys
            | Self::ManageWebhooks
            | Self::TransferOwnership
            | Self::Delete
            | Self::Leave => false,
        }
    }

    /// The scope that lets a platform key change something by this right. `None` if that is only for people: the secrets of
    /// service keys, the hand-over by the owner, and leaving.
    fn write_scope(self) -> Option<PlatformScope> {
        match self {
            Self::Invite
            | Self::InviteAdmin
            | Self::CreateJoinCodes
            | Self::CreateAdminJoinCode
            | Self::ManageTeams
            // Retrying and reverting departures, and removing collaborators.
            | Self::ViewAllResources => Some(PlatformScope::MembersWrite),
            Self::CreateResources => Some(PlatformScope::ResourcesWrite),
            Self::EditProfile | Self::EditPolicy | Self::ManageBilling | Self::Delete => {
                Some(PlatformScope::OrganizationsWrite)
            }
            Self::ManageWebhooks => Some(PlatformScope::EventsRead),
            Self::ViewMembers
            | Self::ViewAuditLog
            | Self::ManageServiceKeys
            | Self::TransferOwnership
            | Self::Leave => None,
        }
    }
}

/// What a platform key may do in an organization that it reaches (R85).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformRights {
    /// The key's scopes.
    pub scopes: PlatformScopes,
    /// Whether this is about reading, which READ allows, or about changing something. Without READ, a key has no right
    /// to read.
    pub reads: bool,
    /// Whether it is a personal organization, which has no members to manage (D5).
    pub personal: bool,
}

impl PlatformRights {
    fn may_write(self, action: Action) -> bool {
        let is_of_team = match action {
            Action::Invite
            | Action::InviteAdmin
            | Action::CreateJoinCodes
            | Action::CreateAdminJoinCode
            | Action::ManageTeams
            | Action::EditProfile
            | Action::TransferOwnership
            | Action::Delete
            | Action::Leave => true,
            Action::ViewMembers
            | Action::ViewAllResources
            | Action::CreateResources
            | Action::EditPolicy
            | Action::ManageBilling
            | Action::ManageServiceKeys
            | Action::ManageWebhooks
            | Action::ViewAuditLog => false,
        };
        action.write_scope().is_some_and(|scope| self.scopes.has(scope)) && !(is_of_team && self.personal)
    }

    fn allows(self, action: Action) -> bool {
        self.reads || self.may_write(action)
    }

    fn manages_members(self) -> bool {
        self.scopes.has(PlatformScope::MembersWrite)
    }

    fn allows_on_member(self, action: MemberAction, target: Role, status: MemberStatus) -> bool {
        if self.personal || target == Role::Owner || !self.manages_members() {
            return false;
        }
        let active = status == MemberStatus::Active;
        match action {
            MemberAction::Promote => active && target != Role::Admin,
            MemberAction::Demote => active && target == Role::Admin,
            MemberAction::ChangeRole => active && target != Role::Admin,
            MemberAction::ChangePermissions | MemberAction::Remove | MemberAction::Deactivate => active,
            MemberAction::Reactivate => matches!(status, MemberStatus::Removed | MemberStatus::Deactivated),
            // Owners are set by `setOrganizationOwner`.
            MemberAction::MakeOwner => false,
        }
    }
}

/// What an actor may do in an organization: as a member, by role, or as the platform, by a key's scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A member.
    Member(MemberRights),
    /// A platform key.
    Platform(PlatformRights),
}

impl Standing {
    /// Whether the actor leads the organization: its owner, its admins, and the platform, which sees what an owner sees.
    pub fn leads(self) -> bool {
        match self {
            Self::Member(rights) => rights.is_leader(),
            Self::Platform(_) => true,
        }
    }

    /// The member's role; a platform key has none.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Member(rights) => Some(rights.role),
            Self::Platform(_) => None,
        }
    }

    /// Whether it is a personal organization.
    pub fn personal(self) -> bool {
        match self {
            Self::Member(MemberRights { personal, .. }) | Self::Platform(PlatformRights { personal, .. }) => personal,
        }
    }

    /// Whether the action is allowed.
    pub fn allows(self, action: Action) -> bool {
        match self {
            Self::Member(rights) => rights.allows(action),
            Self::Platform(rights) => rights.allows(action),
        }
    }

    /// Why the action isn't allowed, as a message for the actor.
    pub(crate) fn why_not(self, action: Action) -> String {
        match self {
            Self::Member(MemberRights { personal: true, .. })
            | Self::Platform(PlatformRights { personal: true, .. }) => {
                "this is a personal organization, which is for one person alone; found another one".to_owned()
            }
            Self::Member(rights) => format!("{} may not do this here", rights.role.with_article()),
            Self::Platform(_) => match action.write_scope() {
                Some(scope) => lacks(scope),
                None => "requires a signed-in person, not a platform key".to_owned(),
            },
        }
    }

    /// Every action that is allowed.
    pub fn allowed(self) -> Vec<Action> {
        match self {
            Self::Member(rights) => rights.allowed(),
            Self::Platform(rights) => {
                let may = |action: &Action| match action.is_view() {
                    true => rights.scopes.has(PlatformScope::Read),
                    false => rights.may_write(*action),
                };
                Action::ALL.iter().copied().filter(may).collect()
            }
        }
    }

    /// Whether the admins' powers may be changed: by the owner (D2) and the platform.
    pub fn may_set_admin_powers(self) -> bool {
        match self {
            Self::Member(rights) => rights.may_set_admin_powers(),
            Self::Platform(rights) => rights.may_write(Action::EditPolicy),
        }
    }

    /// Whether the actor may act on the work of members with this role, for example to return it to them.
    pub fn outranks(self, target: Role) -> bool {
        match self {
            Self::Member(rights) => rights.outranks(target),
            Self::Platform(rights) => rights.manages_members() && target != Role::Owner,
        }
    }

    /// Whether plan, seats and balance are shown (R71).
    pub fn sees_billing(self) -> bool {
        match self {
            Self::Member(rights) => rights.sees_billing(),
            Self::Platform(_) => true,
        }
    }

    /// Whether an invitation or code for the role may be issued. Nobody can invite an owner (D10).
    pub fn may_issue(self, role: Role) -> bool {
        match self {
            Self::Member(rights) => rights.may_issue(role),
            Self::Platform(rights) => role != Role::Owner && rights.may_write(Action::Invite),
        }
    }

    /// Whether members with this role are shown (D9).
    pub fn sees_members_of(self, role: Role) -> bool {
        match self {
            Self::Member(rights) => rights.sees_members_of(role),
            Self::Platform(_) => true,
        }
    }

    /// Whether the collaborators in a team are shown, to somebody who is in it or not (D9, R81).
    pub fn sees_collaborators(self, is_in_team: bool) -> bool {
        match self {
            Self::Member(rights) => rights.sees_collaborators(is_in_team),
            Self::Platform(_) => true,
        }
    }

    /// Whether the organization's structure is shown beyond the actor's own part of it (R51, R77).
    pub fn sees_structure(self) -> bool {
        match self {
            Self::Member(rights) => rights.sees_structure(),
            Self::Platform(_) => true,
        }
    }

    /// Whether the action may be done to a member. `is_self` says whether it is the actor's own membership.
    pub fn allows_on_member(self, action: MemberAction, target: Role, status: MemberStatus, is_self: bool) -> bool {
        match self {
            Self::Member(rights) => rights.allows_on_member(action, target, status, is_self),
            Self::Platform(rights) => rights.allows_on_member(action, target, status),
        }
    }

    /// Every action that may be done to the member.
    pub fn allowed_on_member(self, target: Role, status: MemberStatus, is_self: bool) -> Vec<MemberAction> {
        let allowed = |action: &MemberAction| self.allows_on_member(*action, target, status, is_self);
        MemberAction::ALL.iter().copied().filter(allowed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn standing() -> impl Strategy<Value = MemberRights> {
        (select(Role::ALL), select(AdminPowers::ALL), select(MemberDirectory::ALL), any::<bool>()).prop_map(
            |(role, admin_powers, member_directory, personal)| MemberRights {
                role,
                admin_powers,
                member_directory,
                personal,
            },
        )
    }

    proptest! {
        // D1: each role is a superset of the next; leaving is what the owner alone can't do.
        #[test]
        fn a_higher_role_may_do_all_that_a_lower_one_may(standing in standing(), action in select(Action::ALL)) {
            for role in standing.role.at_least() {
                if standing.allows(action) && action != Action::Leave {
                    let higher = MemberRights { role, ..standing };
                    prop_assert!(higher.allows(action), "{higher:?} {action}");
                }
            }
        }

        // Nobody issues a role above their own.
        #[test]
        fn nobody_issues_a_role_above_their_own(standing in standing(), role in select(Role::ALL)) {
            prop_assert!(!standing.may_issue(role) || standing.role.is_at_least(role));
        }

        // R4, R39: the owner is out of reach, and so is oneself.
        #[test]
        fn nothing_is_done_to_the_owner_or_oneself(standing in standing(), action in select(MemberAction::ALL), status in select(MemberStatus::ALL), target in select(Role::ALL)) {
            prop_assert!(!standing.allows_on_member(action, Role::Owner, status, false));
            prop_assert!(!standing.allows_on_member(action, target, status, true));
        }

        // R12: STANDARD admins do nothing to admins.
        #[test]
        fn standard_admins_do_nothing_to_admins(action in select(MemberAction::ALL), status in select(MemberStatus::ALL), directory in select(MemberDirectory::ALL)) {
            let admin = MemberRights { role: Role::Admin, admin_powers: AdminPowers::Standard, member_directory: directory, personal: false };
            prop_assert!(!admin.allows_on_member(action, Role::Admin, status, false));
        }

        // D5: nobody is brought into a personal organization, and nobody leaves or gives it away.
        #[test]
        fn a_personal_organization_is_nobody_elses(standing in standing()) {
            let personal = MemberRights { personal: true, ..standing };
            for action in [Action::Invite, Action::InviteAdmin, Action::CreateJoinCodes, Action::CreateAdminJoinCode, Action::ManageTeams, Action::TransferOwnership, Action::Delete, Action::Leave] {
                prop_assert!(!personal.allows(action));
            }
        }
    }

    /// The actors, as in the columns of docs/roles.md.
    const ACTORS: [(&str, Role, AdminPowers); 5] = [
        ("owner", Role::Owner, AdminPowers::Standard),
        ("admin, OWNER_EQUIVALENT", Role::Admin, AdminPowers::OwnerEquivalent),
        ("admin, STANDARD", Role::Admin, AdminPowers::Standard),
        ("member", Role::Member, AdminPowers::Standard),
        ("viewer", Role::Viewer, AdminPowers::Standard),
    ];

    fn standing_of(role: Role, admin_powers: AdminPowers, member_directory: MemberDirectory) -> MemberRights {
        MemberRights { role, admin_powers, member_directory, personal: false }
    }

    fn upper(words: impl IntoIterator<Item = &'static str>) -> String {
        words.into_iter().map(str::to_uppercase).collect::<Vec<_>>().join(", ")
    }

    /// The description of an enum's value in the schema.
    fn described(of: &str, value: &str) -> &'static str {
        let schema = include_str!("../../../schema.graphql");
        let (_, values) = schema.split_once(&format!("enum {of} {{")).unwrap();
        let (before, _) = values.split_once(&format!("\n\t{value}\n")).unwrap_or_else(|| panic!("{of}.{value}"));
        before.rsplit('\n').next().unwrap().trim().trim_matches('"')
    }

    fn table(heads: &[&str], rows: Vec<Vec<String>>) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
        let rule = vec!["---".to_owned(); heads.len()];
        line(&heads) + &line(&rule) + &rows.iter().map(|row| line(row)).collect::<String>()
    }

    /// The contents of docs/roles.md, as the code decides.
    fn roles() -> String {
        let names = ACTORS.map(|(name, ..)| name);
        let actions = Action::ALL.iter().map(|action| {
            let cells = ACTORS.map(|(_, role, powers)| {
                let allows = |directory| standing_of(role, powers, directory).allows(*action);
                let by: Vec<_> = MemberDirectory::ALL.iter().copied().filter(|directory| allows(*directory)).collect();
                match by.len() {
                    0 => String::new(),
                    all if all == MemberDirectory::ALL.len() => "yes".to_owned(),
                    _ => format!("where `memberDirectory` is {}", upper(by.iter().map(|directory| directory.as_str()))),
                }
            });
            let personal = MemberRights {
                personal: true,
                ..standing_of(Role::Owner, AdminPowers::Standard, MemberDirectory::Leadership)
            };
            let personal = if personal.allows(*action) { "yes" } else { "" };
            let word = action.as_str().to_uppercase();
            let words = [format!("`{word}`"), described("OrganizationAction", &word).to_owned()];
            words.into_iter().chain(cells).chain([personal.to_owned()]).collect()
        });
        let member_actions = MemberAction::ALL.iter().map(|action| {
            let cells = ACTORS.map(|(_, role, powers)| {
                let standing = standing_of(role, powers, MemberDirectory::Leadership);
                let to = |status| {
                    let allows = |target: &Role| standing.allows_on_member(*action, *target, status, false);
                    upper(Role::ALL.iter().filter(|target| allows(target)).map(|target| target.as_str()))
                };
                match (to(MemberStatus::Active), to(MemberStatus::Removed)) {
                    (active, gone) if gone.is_empty() => active,
                    (active, gone) if active.is_empty() => format!("gone: {gone}"),
                    (active, gone) => format!("{active}; gone: {gone}"),
                }
            });
            let word = action.as_str().to_uppercase();
            [format!("`{word}`"), described("MemberAction", &word).to_owned()].into_iter().chain(cells).collect()
        });
        let issued = ACTORS.map(|(_, role, powers)| {
            let standing = standing_of(role, powers, MemberDirectory::Leadership);
            upper(Role::ALL.iter().filter(|role| standing.may_issue(**role)).map(|role| role.as_str()))
        });
        let powers = ACTORS.map(|(_, role, powers)| {
            let may = standing_of(role, powers, MemberDirectory::Leadership).may_set_admin_powers();
            if may { "yes" } else { "" }.to_owned()
        });
        let bills = ACTORS.map(|(_, role, powers)| {
            let standing = standing_of(role, powers, MemberDirectory::Leadership);
            match (standing.may_bill(false), standing.may_bill(true)) {
                (true, _) => "yes",
                (false, true) => "with `billableActivities`",
                (false, false) => "",
            }
            .to_owned()
        });
        let gives_away = ACTORS.map(|(_, role, powers)| {
            let standing = standing_of(role, powers, MemberDirectory::Leadership);
            let may = |sharing| standing.may_bill(true) && standing.may_give_away(sharing);
            match (may(ExternalSharing::MembersOnly), may(ExternalSharing::Allowed)) {
                (true, _) => "yes",
                (false, true) => "with `billableActivities`, where `externalSharing` is ALLOWED",
                (false, false) => "",
            }
            .to_owned()
        });
        let returned = ACTORS.map(|(_, role, powers)| {
            let standing = standing_of(role, powers, MemberDirectory::Leadership);
            upper(Role::ALL.iter().filter(|role| standing.outranks(**role)).map(|role| role.as_str()))
        });
        let structure = ACTORS.map(|(_, role, powers)| {
            let sees = |directory: &&MemberDirectory| standing_of(role, powers, **directory).sees_structure();
            let by: Vec<_> = MemberDirectory::ALL.iter().filter(sees).map(|directory| directory.as_str()).collect();
            match by.len() == MemberDirectory::ALL.len() {
                true => "yes".to_owned(),
                false => format!("where `memberDirectory` is {}", upper(by)),
            }
        });
        let teammates = ACTORS.map(|(_, role, powers)| {
            let sees = |directory: &&MemberDirectory| standing_of(role, powers, **directory).sees_collaborators(true);
            let by: Vec<_> = MemberDirectory::ALL.iter().filter(sees).map(|directory| directory.as_str()).collect();
            let in_any = MemberDirectory::ALL.iter().all(|it| standing_of(role, powers, *it).sees_collaborators(false));
            match in_any {
                true => "yes".to_owned(),
                false => format!("in their own teams, where `memberDirectory` is {}", upper(by)),
            }
        });
        let opened = Action::ALL.iter().map(|action| {
            let word = action.as_str().to_uppercase();
            let scope = match (action.is_view(), action.write_scope()) {
                (true, _) => "READ".to_owned(),
                (false, Some(scope)) => scope.name(),
                (false, None) => String::new(),
            };
            vec![format!("`{word}`"), described("OrganizationAction", &word).to_owned(), scope]
        });
        let row = |what: &str, cells: [String; 5]| [what.to_owned()].into_iter().chain(cells).collect::<Vec<_>>();
        let directories = MemberDirectory::ALL.iter().map(|directory| {
            let cells = ACTORS.map(|(_, role, powers)| {
                let standing = standing_of(role, powers, *directory);
                let seen = Role::ALL.iter().filter(|role| standing.sees_members_of(**role));
                upper(seen.map(|role| role.as_str()))
            });
            row(&format!("`{}`", directory.as_str().to_uppercase()), cells)
        });
        let heads = |first: &[&'static str], last: &[&'static str]| [first, &names, last].concat();
        format!(
            "# Roles\n\n\
             Made from `domain/src/authority/rights.rs`, which alone decides; `viewerCan` answers from it too. A test compares: run \
             `WRITE_DOCS=1 cargo test -p rollcall-domain the_table_of_roles` to write this file anew.\n\n\
             ## In an organization\n\n\
             The last column is for personal organizations, which have no other member than their owner.\n\n{}\n\
             ## To a member\n\n\
             Each cell names the roles of the members to whom it can be done. \"gone\" stands for members who were removed or \
             deactivated; somebody who left comes back only by their own decision. None of this can be done to the owner, \
             to yourself, or in a personal organization.\n\n{}\n\
             ## Other rights\n\n{}\n\
             ## The directory\n\n\
             Each cell names the roles of the members who are visible under that setting. Everybody sees themselves.\n\n{}\n\
             ## Platform keys\n\n\
             The scope that opens each of these to a platform key in the organizations that it reaches; what has none is for people \
             only. MEMBERS_WRITE also opens everything that can be done to a member, except to the owner, and the retry and revert of \
             departures. EVENTS_READ also opens the feed, and webhooks of the key's own for the events of all organizations that it \
             reaches. [integration.md](integration.md) lists the mutations.\n\n{}\n\
             ## Accounts\n\n\
             People change and delete their own account. Staff, and platform keys with USERS_WRITE that aren't limited to \
             organizations, suspend any account, lift that, end its sessions and delete it. Only staff change another \
             person's address. A suspended account has its roles and reaches nothing. \
             [integration.md](integration.md#suspending-signing-out-and-deleting-accounts) says what each of these means.\n",
            table(&heads(&["action", "what"], &["personal organization"]), actions.collect()),
            table(&heads(&["action", "what"], &[]), member_actions.collect()),
            table(
                &heads(&["what"], &[]),
                vec![
                    row("invite as, and make join codes for (VIEWER by invitation only)", issued),
                    row("change `adminPowers`", powers),
                    row("bill projects and apps here", bills),
                    row("give away projects that they administer", gives_away),
                    row("revert the departure of", returned),
                    row("see `leadership`, `owner`, and teams that they aren't in", structure),
                    row("see the collaborators in teams", teammates),
                ],
            ),
            table(&heads(&["`memberDirectory`"], &[]), directories.collect()),
            table(&["action", "what", "scope"], opened.collect()),
        )
    }

    // D1, D2, D9: the table that people read is the one of the code.
    #[test]
    fn the_table_of_roles_in_the_docs_is_the_codes() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/roles.md");
        let roles = roles();
        if std::env::var_os("WRITE_DOCS").is_some() {
            std::fs::write(&path, &roles).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == roles,
            "docs/roles.md is not the code's: run `WRITE_DOCS=1 cargo test -p rollcall-domain the_table_of_roles`"
        );
    }
}
