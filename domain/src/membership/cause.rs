//! The rights by which memberships, roles, ownership and departures change, as proof that writers must show.
//!
//! The event in the audit log takes its actor from the same proof, so it can't name another one.

use crate::authority::access::WritePermit;
use crate::authority::actor::{Actor, Operator, Person};
use crate::authority::audit::{AuditAction, NewEvent};
use crate::authority::membership::JoinMethod;
use crate::authority::permissions::Permissions;
use crate::authority::rights::Role;
use crate::base::error::{Error, Reader, Result};
use crate::base::id::{OrganizationId, TypedId, UserId};
use crate::membership::invitation::AcceptedInvitation;
use crate::membership::join_code::UsedJoinCode;

/// The right by which a membership is changed or ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause<'a> {
    /// The right of a member in their organization.
    Permit(&'a WritePermit),
    /// The right of whoever runs the deployment.
    Operator(Operator<'a>),
    /// The right of the account itself, which gives up its memberships.
    Account(Person<'a>),
}

impl<'a> Cause<'a> {
    /// The actor who has the right.
    pub(crate) fn actor(self) -> &'a Actor {
        match self {
            Self::Permit(permit) => permit.actor(),
            Self::Operator(operator) => operator.actor(),
            Self::Account(person) => person.actor(),
        }
    }

    /// An event for a change made by this right.
    pub(crate) fn event(
        self,
        organization_id: OrganizationId,
        action: AuditAction,
        target: impl TypedId + ToString,
    ) -> NewEvent {
        NewEvent::by(self.actor(), organization_id, action, target)
    }

    /// Fails if this right doesn't cover a user's membership in an organization. A permit covers one organization, and
    /// an account only its own memberships.
    pub(crate) fn require_reach(self, organization_id: OrganizationId, user_id: UserId) -> Result<()> {
        let reaches = match self {
            Self::Permit(permit) => permit.organization_id() == organization_id,
            Self::Operator(_) => true,
            Self::Account(person) => person.user_id() == user_id,
        };
        match reaches {
            true => Ok(()),
            false => Err(Error::Bug("a membership is changed by a right that doesn't reach it")),
        }
    }
}

/// The right by which somebody becomes a member.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Admission<'a> {
    /// They founded the organization.
    Founder {
        /// The founder.
        person: Person<'a>,
        /// The organization that they founded.
        organization_id: OrganizationId,
    },
    /// Whoever runs the deployment makes them the owner.
    Operator {
        /// The proof that staff or the platform act.
        operator: Operator<'a>,
        /// The new owner.
        user_id: UserId,
        /// The organization.
        organization_id: OrganizationId,
    },
    /// They accepted an invitation.
    Invitation(&'a AcceptedInvitation),
    /// They redeemed a join code.
    JoinCode {
        /// The code, which is used up.
        code: &'a UsedJoinCode,
        /// The permissions that the organization's policy gives to new members.
        permissions: Permissions,
    },
}

/// The membership that an admission gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership {
    /// The user who becomes a member.
    pub user_id: UserId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The role.
    pub role: Role,
    /// The permissions.
    pub permissions: Permissions,
    /// How the user became a member.
    pub joined_via: JoinMethod,
}

impl Admission<'_> {
    /// The membership that the admission gives.
    pub(crate) fn membership(self) -> Membership {
        match self {
            Self::Founder { person, organization_id } => Membership {
                user_id: person.user_id(),
                organization_id,
                role: Role::Owner,
                permissions: Permissions::all(),
                joined_via: JoinMethod::Founder,
            },
            Self::Operator { operator, user_id, organization_id } => Membership {
                user_id,
                organization_id,
                role: Role::Owner,
                permissions: Permissions::all(),
                joined_via: operator.joined_via(),
            },
            Self::Invitation(invitation) => Membership {
                user_id: invitation.user_id(),
                organization_id: invitation.organization_id(),
                role: invitation.role(),
                permissions: invitation.permissions(),
                joined_via: JoinMethod::Invitation,
            },
            Self::JoinCode { code, permissions } => Membership {
                user_id: code.user_id(),
                organization_id: code.organization_id(),
                role: code.role(),
                permissions,
                joined_via: JoinMethod::JoinCode,
            },
        }
    }

    /// The reader of a refusal: if staff add somebody, that person isn't the one who asked.
    pub(crate) fn reader(self) -> Reader {
        match self {
            Self::Founder { .. } | Self::Invitation(_) | Self::JoinCode { .. } => Reader::Themselves,
            Self::Operator { .. } => Reader::Another,
        }
    }

    /// An event of the admission. A person who accepts an invitation may not have a session yet.
    pub(crate) fn event(self, action: AuditAction, target: impl TypedId + ToString) -> NewEvent {
        let Membership { user_id, organization_id, .. } = self.membership();
        match self {
            Self::Founder { person, .. } => NewEvent::by(person.actor(), organization_id, action, target),
            Self::Operator { operator, .. } => NewEvent::by(operator.actor(), organization_id, action, target),
            Self::Invitation(_) | Self::JoinCode { .. } => NewEvent::by_user(user_id, organization_id, action, target),
        }
    }
}
