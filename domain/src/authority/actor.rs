//! Who asks, and what that is to others.

use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{ApiKeyId, OrganizationId, SessionId, UserId};
use crate::base::text_enum::text_enum;

text_enum! {
    /// What kind of actor did something.
    ActorKind {
        /// A person with a session.
        User = "user",
        /// A person's API key.
        ApiKey = "api_key",
        /// A key that belongs to the organization.
        Service = "service",
        /// The platform's staff.
        Staff = "staff",
        /// Rollcall itself, such as at an expiry.
        System = "system",
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person with a session.
    User {
        /// The person.
        user_id: UserId,
        /// The session.
        session_id: SessionId,
        /// A suspended account may take an open invitation, and nothing else (D6).
        suspended: bool,
    },
    /// A person's API key: that person, in one organization only.
    ApiKey {
        /// The key.
        api_key_id: ApiKeyId,
        /// Its person.
        user_id: UserId,
        /// The only organization it reaches.
        organization_id: OrganizationId,
        /// Whether it may change anything.
        scope: ApiKeyScope,
    },
    /// A service key: an organization's own programs. It belongs to no person, and reaches nothing but what says so.
    Service {
        /// The key.
        api_key_id: ApiKeyId,
        /// Whose it is.
        organization_id: OrganizationId,
        /// Whether it may change anything.
        scope: ApiKeyScope,
    },
    /// The platform's staff, by a token of ROLLCALL_STAFF_TOKENS or the command line.
    Staff {
        /// As the audit log names them.
        name: String,
    },
}

/// As whom an actor reaches memberships and resources, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reach {
    user_id: UserId,
    only: Option<OrganizationId>,
}

impl Reach {
    /// What a person reaches who is signed in.
    pub(crate) fn of(user_id: UserId) -> Self {
        Self { user_id, only: None }
    }

    /// The person whose memberships and grants count.
    pub fn user_id(self) -> UserId {
        self.user_id
    }

    /// The only organization in which they count, where a key limits them.
    pub fn only(self) -> Option<OrganizationId> {
        self.only
    }

    /// Whether they count in the organization.
    pub fn includes(self, organization_id: OrganizationId) -> bool {
        self.only.is_none_or(|only| only == organization_id)
    }
}

/// Proof that a person asks who is signed in themselves; only [`Actor::person`] makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person<'a> {
    actor: &'a Actor,
    user_id: UserId,
    session_id: SessionId,
}

impl<'a> Person<'a> {
    /// The actor that it was proved of.
    pub(crate) fn actor(self) -> &'a Actor {
        self.actor
    }

    /// The person's account.
    pub(crate) fn user_id(self) -> UserId {
        self.user_id
    }
}

/// Proof that the platform's staff ask; only [`Actor::staff`] makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Staff<'a> {
    actor: &'a Actor,
}

impl<'a> Staff<'a> {
    /// The actor that it was proved of.
    pub(crate) fn actor(self) -> &'a Actor {
        self.actor
    }
}

/// What an actor is to others. Each of these is an exhaustive match, and nothing outside of it looks at one kind of
/// actor and takes all others for one: a new kind doesn't compile until each has said what it may.
impl Actor {
    /// As whom, and where, the actor reaches memberships and resources: with none, no organization has it as a member
    /// and nothing is shared with it. Suspended accounts reach nothing (D6).
    pub fn reach(&self) -> Option<Reach> {
        match self {
            Self::User { suspended: true, .. } => None,
            Self::User { user_id, suspended: false, .. } => Some(Reach::of(*user_id)),
            Self::ApiKey { user_id, organization_id, .. } => {
                Some(Reach { user_id: *user_id, only: Some(*organization_id) })
            }
            Self::Service { .. } | Self::Staff { .. } => None,
        }
    }

    /// The person's account, suspended or not, for what is theirs wherever they belong; a key is its person's.
    pub fn account(&self) -> Option<UserId> {
        match self {
            Self::User { user_id, .. } | Self::ApiKey { user_id, .. } => Some(*user_id),
            Self::Service { .. } | Self::Staff { .. } => None,
        }
    }

    /// Whether the actor is this person, by session or key.
    pub fn is(&self, user_id: UserId) -> bool {
        self.account() == Some(user_id)
    }

    /// Whether the actor is this person as far as an organization is concerned, even one that they have left: a key of
    /// theirs for another organization isn't.
    pub fn is_in(&self, organization_id: OrganizationId, user_id: UserId) -> bool {
        match self {
            Self::User { user_id: own, .. } => *own == user_id,
            Self::ApiKey { user_id: own, organization_id: only, .. } => *own == user_id && *only == organization_id,
            Self::Service { .. } | Self::Staff { .. } => false,
        }
    }

    /// The person and their session, suspended or not, for what no key may have: it concerns them in all their
    /// organizations.
    pub fn session(&self) -> Option<(UserId, SessionId)> {
        match self {
            Self::User { user_id, session_id, .. } => Some((*user_id, *session_id)),
            Self::ApiKey { .. } | Self::Service { .. } | Self::Staff { .. } => None,
        }
    }

    /// The person, for what takes someone who is signed in themselves: keys and staff may not.
    ///
    /// # Errors
    ///
    /// SUSPENDED for suspended accounts, FORBIDDEN for all others who aren't signed in themselves, on `field`.
    pub fn signed_in(&self, field: &str) -> Result<(UserId, SessionId)> {
        let person = self.person(field)?;
        Ok((person.user_id, person.session_id))
    }

    /// Proof of [`Actor::signed_in`], for what writes on the strength of it.
    pub(crate) fn person(&self, field: &str) -> Result<Person<'_>> {
        match self {
            Self::User { suspended: true, .. } => Err(suspended(field).into()),
            Self::User { user_id, session_id, suspended: false } => {
                Ok(Person { actor: self, user_id: *user_id, session_id: *session_id })
            }
            Self::ApiKey { .. } | Self::Service { .. } => {
                Err(Error::refused(Code::Forbidden, field, "requires a signed-in person, not an API key"))
            }
            Self::Staff { .. } => {
                Err(Error::refused(Code::Forbidden, field, "requires a signed-in person, not a staff token"))
            }
        }
    }

    /// Whether the actor is the platform's staff.
    pub fn is_staff(&self) -> bool {
        self.staff().is_some()
    }

    /// Proof that the actor is the platform's staff.
    pub(crate) fn staff(&self) -> Option<Staff<'_>> {
        match self {
            Self::Staff { .. } => Some(Staff { actor: self }),
            Self::User { .. } | Self::ApiKey { .. } | Self::Service { .. } => None,
        }
    }

    /// Fails with FORBIDDEN for everybody but the platform's staff; `remedy` says who does it otherwise, or that staff
    /// are to be asked.
    pub(crate) fn require_staff(&self, field: &str, remedy: &str) -> Result<Staff<'_>> {
        self.staff().ok_or_else(|| {
            Error::refused(Code::Forbidden, field, format!("only the platform's staff do this; {remedy}"))
        })
    }
}

pub(crate) fn suspended(field: &str) -> Refusal {
    suspended_to(Reader::Themselves, field)
}

/// Why nothing is done with a suspended account, to whoever reads it.
pub(crate) fn suspended_to(reader: Reader, field: &str) -> Refusal {
    let message = match reader {
        Reader::Themselves => "this account is suspended; accept an organization's invitation to lift that",
        Reader::Another => "their account is suspended, which lasts until they accept an organization's invitation",
    };
    Refusal::new(Code::Suspended, field, message)
}

text_enum! {
    /// What a key may do.
    ApiKeyScope {
        /// Only read.
        Read = "read",
        /// All that its person may do in the organization.
        Write = "write",
    }
}
