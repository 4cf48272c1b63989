//! The actors that call the service, and what each kind of actor may do.

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
        /// A member of the platform's staff.
        Staff = "staff",
        /// Rollcall itself, for example when something expires.
        System = "system",
    }
}

/// The actor that makes a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person with a session.
    User {
        /// The person.
        user_id: UserId,
        /// The session.
        session_id: SessionId,
        /// A suspended account may accept an open invitation, and nothing else (D6).
        suspended: bool,
    },
    /// A person's API key, which acts as that person in one organization only.
    ApiKey {
        /// The key.
        api_key_id: ApiKeyId,
        /// The person to whom the key belongs.
        user_id: UserId,
        /// The only organization that the key reaches.
        organization_id: OrganizationId,
        /// Whether it may change anything.
        scope: ApiKeyScope,
    },
    /// A service key, for an organization's own programs. It belongs to no person and reaches only what explicitly
    /// admits service keys.
    Service {
        /// The key.
        api_key_id: ApiKeyId,
        /// The organization to which the key belongs.
        organization_id: OrganizationId,
        /// Whether it may change anything.
        scope: ApiKeyScope,
    },
    /// A member of the platform's staff, identified by a token of ROLLCALL_STAFF_TOKENS or using the command line.
    Staff {
        /// The name that the audit log shows.
        name: String,
    },
}

/// The user whose memberships and resources an actor reaches, and the organization to which they are limited, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reach {
    user_id: UserId,
    only: Option<OrganizationId>,
}

impl Reach {
    /// The reach of a person who is signed in.
    pub(crate) fn of(user_id: UserId) -> Self {
        Self { user_id, only: None }
    }

    /// The person whose memberships and grants count.
    pub fn user_id(self) -> UserId {
        self.user_id
    }

    /// The only organization in which they count, if a key limits them to one.
    pub fn only(self) -> Option<OrganizationId> {
        self.only
    }

    /// Whether they count in the organization.
    pub fn includes(self, organization_id: OrganizationId) -> bool {
        self.only.is_none_or(|only| only == organization_id)
    }
}

/// For which organizations an actor reports what was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UsageReporter {
    /// For this one.
    Organization(OrganizationId),
    /// For all of the deployment.
    Deployment,
}

impl UsageReporter {
    /// Whether the actor reports for the organization.
    pub(crate) fn includes(self, organization_id: OrganizationId) -> bool {
        match self {
            Self::Organization(only) => only == organization_id,
            Self::Deployment => true,
        }
    }
}

/// Proof that the actor is a person who is signed in themselves. Only [`Actor::person`] creates one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person<'a> {
    actor: &'a Actor,
    user_id: UserId,
    session_id: SessionId,
}

impl<'a> Person<'a> {
    /// The actor for whom this was proved.
    pub(crate) fn actor(self) -> &'a Actor {
        self.actor
    }

    /// The person's account.
    pub(crate) fn user_id(self) -> UserId {
        self.user_id
    }
}

/// Proof that the actor is a member of the platform's staff. Only [`Actor::staff`] creates one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Staff<'a> {
    actor: &'a Actor,
}

impl<'a> Staff<'a> {
    /// The actor for whom this was proved.
    pub(crate) fn actor(self) -> &'a Actor {
        self.actor
    }
}

/// What each kind of actor may do. Each question is an exhaustive match, and no code elsewhere tests for one kind and
/// treats all others alike. A new kind of actor therefore doesn't compile until each question has an answer for it.
impl Actor {
    /// The user and the organization through which the actor reaches memberships and resources. An actor without a
    /// reach is a member of no organization, and nothing is shared with it. Suspended accounts have no reach (D6).
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

    /// The person's account, suspended or not, for what belongs to them in all organizations. A key has its person's
    /// account.
    pub fn account(&self) -> Option<UserId> {
        match self {
            Self::User { user_id, .. } | Self::ApiKey { user_id, .. } => Some(*user_id),
            Self::Service { .. } | Self::Staff { .. } => None,
        }
    }

    /// Whether the actor is this person, by session or by key.
    pub fn is(&self, user_id: UserId) -> bool {
        self.account() == Some(user_id)
    }

    /// Whether the actor is this person as far as the organization is concerned, even if they have left it. A key of
    /// theirs for another organization doesn't count.
    pub fn is_in(&self, organization_id: OrganizationId, user_id: UserId) -> bool {
        match self {
            Self::User { user_id: own, .. } => *own == user_id,
            Self::ApiKey { user_id: own, organization_id: only, .. } => *own == user_id && *only == organization_id,
            Self::Service { .. } | Self::Staff { .. } => false,
        }
    }

    /// The person and their session, whether or not they are suspended. Keys have none: this is for what concerns a
    /// person in all their organizations.
    pub fn session(&self) -> Option<(UserId, SessionId)> {
        match self {
            Self::User { user_id, session_id, .. } => Some((*user_id, *session_id)),
            Self::ApiKey { .. } | Self::Service { .. } | Self::Staff { .. } => None,
        }
    }

    /// The person and their session, for operations that require a person who is signed in themselves; keys and staff
    /// are refused.
    ///
    /// # Errors
    ///
    /// SUSPENDED for suspended accounts and FORBIDDEN for all other actors that aren't signed in themselves, on
    /// `field`.
    pub fn signed_in(&self, field: &str) -> Result<(UserId, SessionId)> {
        let person = self.person(field)?;
        Ok((person.user_id, person.session_id))
    }

    /// Like [`Actor::signed_in`], but returns the proof that writers demand.
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

    /// For which organizations the actor reports what was used: staff for all, and a service key for its own.
    ///
    /// # Errors
    ///
    /// FORBIDDEN on `field` for people, who would report about themselves.
    pub(crate) fn reports_usage(&self, field: &str) -> Result<UsageReporter> {
        match self {
            Self::Service { organization_id, .. } => Ok(UsageReporter::Organization(*organization_id)),
            Self::Staff { .. } => Ok(UsageReporter::Deployment),
            Self::User { .. } | Self::ApiKey { .. } => {
                let message = "usage is reported by the platform; use a service key of the organization";
                Err(Error::refused(Code::Forbidden, field, message))
            }
        }
    }

    /// The organization whose runs the actor reports: a service key's own.
    ///
    /// # Errors
    ///
    /// FORBIDDEN on `field` for everybody else.
    pub(crate) fn reports_runs(&self, field: &str) -> Result<OrganizationId> {
        match self {
            Self::Service { organization_id, .. } => Ok(*organization_id),
            Self::User { .. } | Self::ApiKey { .. } | Self::Staff { .. } => {
                let message = "runs are reported by the platform; use a service key of the organization";
                Err(Error::refused(Code::Forbidden, field, message))
            }
        }
    }

    /// Fails with FORBIDDEN for everybody except the platform's staff. `remedy` tells the caller who else can do it, or
    /// to ask the staff.
    pub(crate) fn require_staff(&self, field: &str, remedy: &str) -> Result<Staff<'_>> {
        self.staff().ok_or_else(|| {
            Error::refused(Code::Forbidden, field, format!("only the platform's staff do this; {remedy}"))
        })
    }
}

pub(crate) fn suspended(field: &str) -> Refusal {
    suspended_to(Reader::Themselves, field)
}

/// The refusal for an action on a suspended account, worded for its reader.
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
        /// Everything that its person may do in the organization.
        Write = "write",
    }
}
