//! By what right memberships, roles, ownership and departures change: proof that whoever writes them has to show.
//!
//! The event in the audit log takes its actor from the same proof, so that it can't name another one.

use crate::authority::access::WritePermit;
use crate::authority::actor::{Actor, Person, Staff};
use crate::authority::audit::{AuditAction, NewEvent};
use crate::authority::membership::JoinMethod;
use crate::authority::permissions::Permissions;
use crate::authority::rights::Role;
use crate::base::error::{Error, Reader, Result};
use crate::base::id::{OrganizationId, TypedId, UserId};
use crate::membership::invitation::AcceptedInvitation;
use crate::membership::join_code::UsedJoinCode;

/// By what right a membership is changed or ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause<'a> {
    /// A member's, in their organization.
    Permit(&'a WritePermit),
    /// The platform staff's.
    Staff(Staff<'a>),
    /// The account's own, which gives its memberships up.
    Account(Person<'a>),
}

impl<'a> Cause<'a> {
    /// Who acts.
    pub(crate) fn actor(self) -> &'a Actor {
        match self {
            Self::Permit(permit) => permit.actor(),
            Self::Staff(staff) => staff.actor(),
            Self::Account(person) => person.actor(),
        }
    }

    /// An event of what is done by this right.
    pub(crate) fn event(
        self,
        organization_id: OrganizationId,
        action: AuditAction,
        target: impl TypedId + ToString,
    ) -> NewEvent {
        NewEvent::by(self.actor(), organization_id, action, target)
    }

    /// Fails where this right doesn't reach a user's membership in an organization: a permit is for one organization,
    /// and an account has its own memberships only.
    pub(crate) fn require_reach(self, organization_id: OrganizationId, user_id: UserId) -> Result<()> {
        let reaches = match self {
            Self::Permit(permit) => permit.organization_id() == organization_id,
            Self::Staff(_) => true,
            Self::Account(person) => person.user_id() == user_id,
        };
        match reaches {
            true => Ok(()),
            false => Err(Error::Bug("a membership is changed by a right that doesn't reach it")),
        }
    }
}

/// By what right somebody becomes a member.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Admission<'a> {
    /// They have founded the organization.
    Founder {
        /// Who founded it.
        person: Person<'a>,
        /// What they founded.
        organization_id: OrganizationId,
    },
    /// Staff make them the owner.
    Staff {
        /// Proof that staff ask.
        staff: Staff<'a>,
        /// The new owner.
        user_id: UserId,
        /// Of which organization.
        organization_id: OrganizationId,
    },
    /// They have accepted an invitation.
    Invitation(&'a AcceptedInvitation),
    /// They have redeemed a join code.
    JoinCode {
        /// The code, which is used up.
        code: &'a UsedJoinCode,
        /// What the organization's policy lets new members do.
        permissions: Permissions,
    },
}

/// What an admission gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership {
    /// Who becomes a member.
    pub user_id: UserId,
    /// Of which organization.
    pub organization_id: OrganizationId,
    /// As what.
    pub role: Role,
    /// What they may do with what is shared or billed.
    pub permissions: Permissions,
    /// How they became one.
    pub joined_via: JoinMethod,
}

impl Admission<'_> {
    /// What it gives.
    pub(crate) fn membership(self) -> Membership {
        match self {
            Self::Founder { person, organization_id } => Membership {
                user_id: person.user_id(),
                organization_id,
                role: Role::Owner,
                permissions: Permissions::all(),
                joined_via: JoinMethod::Founder,
            },
            Self::Staff { staff: _, user_id, organization_id } => Membership {
                user_id,
                organization_id,
                role: Role::Owner,
                permissions: Permissions::all(),
                joined_via: JoinMethod::Staff,
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

    /// Who reads why it is refused: whom staff let in doesn't ask for it.
    pub(crate) fn reader(self) -> Reader {
        match self {
            Self::Founder { .. } | Self::Invitation(_) | Self::JoinCode { .. } => Reader::Themselves,
            Self::Staff { .. } => Reader::Another,
        }
    }

    /// An event of the admission. Whoever accepts an invitation may have no session yet.
    pub(crate) fn event(self, action: AuditAction, target: impl TypedId + ToString) -> NewEvent {
        let Membership { user_id, organization_id, .. } = self.membership();
        match self {
            Self::Founder { person, .. } => NewEvent::by(person.actor(), organization_id, action, target),
            Self::Staff { staff, .. } => NewEvent::by(staff.actor(), organization_id, action, target),
            Self::Invitation(_) | Self::JoinCode { .. } => NewEvent::by_user(user_id, organization_id, action, target),
        }
    }
}
