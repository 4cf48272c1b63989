//! The actors that call the service, and what each kind of actor may do.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::authority::membership::JoinMethod;
use crate::authority::platform::{PlatformActor, PlatformIdentity, PlatformScope, Within};
use crate::authority::suspension::Suspension;
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{ApiKeyId, OrganizationId, PlatformKeyId, SessionId, UserId};
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
        /// A platform key, for the platform's own services.
        Platform = "platform",
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
        /// When what they are signed in by ends by itself, if that isn't the session: a token of an issuer (R92).
        until: Option<DateTime<Utc>>,
        /// Whether an organization has suspended the account, which may then accept an open invitation and nothing
        /// else (D6). If the platform has suspended it, its sessions authenticate nobody (R84).
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
    /// A platform key, for the platform's own services. It belongs to no person and no organization (R85). Or staff on
    /// the command line, who bring in the platform's data.
    Platform(Arc<PlatformActor>),
    /// A platform key with ACT_FOR_USERS that acts for a person: with that person's rights and no more, within the
    /// organizations that the key reaches (R86).
    OnBehalf {
        /// The person, who isn't suspended.
        user_id: UserId,
        /// The key.
        key: Arc<PlatformActor>,
    },
    /// A member of the platform's staff, identified by a token of ROLLCALL_STAFF_TOKENS or using the command line.
    Staff {
        /// The name that the audit log shows.
        name: String,
    },
}

/// The user whose memberships and resources an actor reaches, and the organizations to which they are limited, if any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reach {
    user_id: UserId,
    within: Within,
}

impl Reach {
    /// The reach of a person who is signed in.
    pub(crate) fn of(user_id: UserId) -> Self {
        Self { user_id, within: Within::All }
    }

    /// The person whose memberships and grants count.
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// The organizations in which they count.
    pub fn within(&self) -> &Within {
        &self.within
    }

    /// Whether they count in the organization.
    pub fn includes(&self, organization_id: OrganizationId) -> bool {
        self.within.includes(organization_id)
    }
}

/// Whose access to resources an actor may ask about (R89).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessQuestions {
    /// Anybody's, to what these organizations hold.
    OfAnybody(Within),
    /// The person's own.
    OfOneself(Reach),
    /// Nobody's.
    None,
}

/// Proof that the actor is a person, who is signed in or for whom the platform acts. Only [`Actor::person`] creates
/// one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person<'a> {
    actor: &'a Actor,
    user_id: UserId,
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

/// Proof that the actor acts for whoever runs the deployment: a member of the platform's staff, or a platform key with
/// the scope for it. Only [`Actor::staff`] and [`Actor::operator`] create one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator<'a> {
    actor: &'a Actor,
}

impl<'a> Operator<'a> {
    /// The actor for whom this was proved.
    pub(crate) fn actor(self) -> &'a Actor {
        self.actor
    }

    /// How somebody becomes a member whom the operator adds.
    pub(crate) fn joined_via(self) -> JoinMethod {
        match self.actor {
            Actor::Platform(_) => JoinMethod::Platform,
            Actor::User { .. }
            | Actor::ApiKey { .. }
            | Actor::Service { .. }
            | Actor::OnBehalf { .. }
            | Actor::Staff { .. } => JoinMethod::Staff,
        }
    }
}

/// The webhooks of the platform that somebody keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeptWebhooks {
    /// All of them.
    All,
    /// Those that this platform key made, except those that staff took over.
    OfKey(PlatformKeyId),
}

/// What each kind of actor may do. Each question is an exhaustive match, and no code elsewhere tests for one kind and
/// treats all others alike. A new kind of actor therefore doesn't compile until each question has an answer for it.
impl Actor {
    /// The user and the organizations through which the actor reaches memberships and resources. An actor without a
    /// reach is a member of no organization, and nothing is shared with it. Suspended accounts have no reach (D6).
    pub fn reach(&self) -> Option<Reach> {
        match self {
            Self::User { suspended: true, .. } => None,
            Self::User { user_id, suspended: false, .. } => Some(Reach::of(*user_id)),
            Self::ApiKey { user_id, organization_id, .. } => {
                Some(Reach { user_id: *user_id, within: Within::only([*organization_id]) })
            }
            Self::OnBehalf { user_id, key } => Some(Reach { user_id: *user_id, within: key.within.clone() }),
            Self::Service { .. } | Self::Platform(_) | Self::Staff { .. } => None,
        }
    }

    /// The person's account, suspended or not, for what belongs to them in all organizations. A key has its person's
    /// account.
    pub fn account(&self) -> Option<UserId> {
        match self {
            Self::User { user_id, .. } | Self::ApiKey { user_id, .. } | Self::OnBehalf { user_id, .. } => {
                Some(*user_id)
            }
            Self::Service { .. } | Self::Platform(_) | Self::Staff { .. } => None,
        }
    }

    /// Whether the actor is this person, by session, by key, or through the platform.
    pub fn is(&self, user_id: UserId) -> bool {
        self.account() == Some(user_id)
    }

    /// Whether the actor is this person as far as the organization is concerned, even if they have left it. A key of
    /// theirs for another organization doesn't count.
    pub fn is_in(&self, organization_id: OrganizationId, user_id: UserId) -> bool {
        match self {
            Self::User { user_id: own, .. } => *own == user_id,
            Self::ApiKey { user_id: own, organization_id: only, .. } => *own == user_id && *only == organization_id,
            Self::OnBehalf { user_id: own, key } => *own == user_id && key.within.includes(organization_id),
            Self::Service { .. } | Self::Platform(_) | Self::Staff { .. } => false,
        }
    }

    /// The person, suspended or not, who is signed in or for whom the platform acts in the organization. Personal API
    /// keys are nobody here.
    pub(crate) fn present(&self, organization_id: OrganizationId) -> Option<UserId> {
        match self {
            Self::User { user_id, .. } => Some(*user_id),
            Self::OnBehalf { user_id, key } => key.within.includes(organization_id).then_some(*user_id),
            Self::ApiKey { .. } | Self::Service { .. } | Self::Platform(_) | Self::Staff { .. } => None,
        }
    }

    /// The person and their session, whether or not they are suspended. Keys have none: this is for what concerns a
    /// person in all their organizations.
    pub fn session(&self) -> Option<(UserId, SessionId)> {
        match self {
            Self::User { user_id, session_id, .. } => Some((*user_id, *session_id)),
            Self::ApiKey { .. }
            | Self::Service { .. }
            | Self::Platform(_)
            | Self::OnBehalf { .. }
            | Self::Staff { .. } => None,
        }
    }

    /// The person and their session, for what requires a person who is signed in themselves, such as their keys, their
    /// address, their sessions and the end of their account; everybody else is refused, and so is a platform key that
    /// acts for them.
    ///
    /// # Errors
    ///
    /// SUSPENDED for suspended accounts and FORBIDDEN for all other actors that aren't signed in themselves, on
    /// `field`.
    pub fn signed_in(&self, field: &str) -> Result<(UserId, SessionId)> {
        match self {
            Self::User { suspended: true, .. } => Err(suspended(field).into()),
            Self::User { user_id, session_id, suspended: false, .. } => Ok((*user_id, *session_id)),
            Self::ApiKey { .. }
            | Self::Service { .. }
            | Self::Platform(_)
            | Self::OnBehalf { .. }
            | Self::Staff { .. } => Err(self.nobody(field)),
        }
    }

    /// Proof that the actor is a person, who is signed in or for whom the platform acts. Whoever uses it for an
    /// organization also checks that the actor reaches it.
    ///
    /// # Errors
    ///
    /// SUSPENDED for suspended accounts and FORBIDDEN for all other actors, on `field`.
    pub(crate) fn person(&self, field: &str) -> Result<Person<'_>> {
        match self {
            Self::User { suspended: true, .. } => Err(suspended(field).into()),
            Self::User { user_id, suspended: false, .. } | Self::OnBehalf { user_id, .. } => {
                Ok(Person { actor: self, user_id: *user_id })
            }
            Self::ApiKey { .. } | Self::Service { .. } | Self::Platform(_) | Self::Staff { .. } => {
                Err(self.nobody(field))
            }
        }
    }

    /// Like [`Actor::person`], for what concerns a person beside all organizations. A platform key that is limited to
    /// some organizations doesn't reach that.
    pub(crate) fn person_everywhere(&self, field: &str) -> Result<Person<'_>> {
        match self {
            Self::OnBehalf { key, .. } => key.require_unlimited(field)?,
            Self::User { .. } | Self::ApiKey { .. } | Self::Service { .. } | Self::Platform(_) | Self::Staff { .. } => {
            }
        }
        self.person(field)
    }

    /// The refusal for actors that aren't a person who is signed in.
    fn nobody(&self, field: &str) -> Error {
        let message = match self {
            Self::User { .. } => "requires a signed-in person",
            Self::ApiKey { .. } | Self::Service { .. } => "requires a signed-in person, not an API key",
            Self::Platform(_) => "requires a signed-in person, not a platform key",
            Self::OnBehalf { .. } => "only the person themselves, signed in, do this; nobody does it on their behalf",
            Self::Staff { .. } => "requires a signed-in person, not a staff token",
        };
        Error::refused(Code::Forbidden, field, message)
    }

    /// Whose guesses at names are counted: those of whoever may not look everybody up anyway.
    pub(crate) fn guesses(&self) -> Option<String> {
        match self {
            Self::User { user_id, .. } | Self::ApiKey { user_id, .. } | Self::OnBehalf { user_id, .. } => {
                Some(user_id.to_string())
            }
            Self::Service { api_key_id, .. } => Some(api_key_id.to_string()),
            Self::Platform(key) => {
                let looks_up = key.scopes.has(PlatformScope::Read) && key.within == Within::All;
                match &key.identity {
                    PlatformIdentity::Key { id, .. } => (!looks_up).then(|| id.to_string()),
                    PlatformIdentity::Staff { .. } => None,
                }
            }
            Self::Staff { .. } => None,
        }
    }

    /// Whose idempotency keys the actor uses: no other's, since answers are for whoever asked (R91). A person who is
    /// signed in has the same in all sessions.
    pub fn caller(&self) -> String {
        match self {
            Self::User { user_id, .. } => user_id.to_string(),
            Self::ApiKey { api_key_id, .. } | Self::Service { api_key_id, .. } => api_key_id.to_string(),
            Self::Platform(key) => key.identity.caller(),
            Self::OnBehalf { user_id, key } => format!("{} for {user_id}", key.identity.caller()),
            Self::Staff { name } => format!("staff {name}"),
        }
    }

    /// Fails with FORBIDDEN on `field` for platform keys that act for a person, in what takes that person themselves.
    pub(crate) fn require_themselves(&self, field: &str) -> Result<()> {
        match self {
            Self::OnBehalf { .. } => Err(self.nobody(field)),
            Self::User { .. } | Self::ApiKey { .. } | Self::Service { .. } | Self::Platform(_) | Self::Staff { .. } => {
                Ok(())
            }
        }
    }

    /// Whether the actor may name the organization by its slug or the platform's own id, without being a member of it.
    pub(crate) fn names(&self, organization_id: OrganizationId) -> bool {
        match self {
            Self::Staff { .. } => true,
            Self::Platform(key) => key.within.includes(organization_id),
            Self::Service { organization_id: own, .. } => *own == organization_id,
            Self::User { .. } | Self::ApiKey { .. } | Self::OnBehalf { .. } => false,
        }
    }

    /// Fails with FORBIDDEN on `field` for platform keys that act for themselves, in what people decide among each
    /// other.
    pub(crate) fn require_people(&self, field: &str) -> Result<()> {
        match self {
            Self::Platform(_) => {
                let message = "only people do this; let them sign in, or act on their behalf";
                Err(Error::refused(Code::Forbidden, field, message))
            }
            Self::User { .. }
            | Self::ApiKey { .. }
            | Self::Service { .. }
            | Self::OnBehalf { .. }
            | Self::Staff { .. } => Ok(()),
        }
    }

    /// Whether the actor is the platform's staff.
    pub fn is_staff(&self) -> bool {
        self.staff().is_some()
    }

    /// Proof that the actor is the platform's staff.
    pub(crate) fn staff(&self) -> Option<Operator<'_>> {
        match self {
            Self::Staff { .. } => Some(Operator { actor: self }),
            Self::User { .. }
            | Self::ApiKey { .. }
            | Self::Service { .. }
            | Self::Platform(_)
            | Self::OnBehalf { .. } => None,
        }
    }

    /// Whether the actor sees people at all where something leads to them, such as a run to the member who queued it. A
    /// service key reads no account, and a platform key only with READ.
    pub fn sees_people(&self) -> bool {
        match self {
            Self::User { .. } | Self::ApiKey { .. } | Self::OnBehalf { .. } | Self::Staff { .. } => true,
            Self::Platform(key) => key.scopes.has(PlatformScope::Read),
            Self::Service { .. } => false,
        }
    }

    /// Whether the actor sees an organization without being a member of it, also while it is deleted: the platform's
    /// staff, and platform keys with READ that reach it.
    pub fn oversees(&self, organization_id: OrganizationId) -> bool {
        match self {
            Self::Staff { .. } => true,
            Self::Platform(key) => key.scopes.has(PlatformScope::Read) && key.within.includes(organization_id),
            Self::User { .. } | Self::ApiKey { .. } | Self::Service { .. } | Self::OnBehalf { .. } => false,
        }
    }

    /// The platform key that acts for itself, with a scope.
    ///
    /// # Errors
    ///
    /// FORBIDDEN on `field`: for a key, naming the scope that it lacks.
    pub(crate) fn require_scope(&self, scope: PlatformScope, field: &str) -> Result<&PlatformActor> {
        match self {
            Self::Platform(key) => {
                key.require(scope, field)?;
                Ok(key)
            }
            Self::User { .. }
            | Self::ApiKey { .. }
            | Self::Service { .. }
            | Self::OnBehalf { .. }
            | Self::Staff { .. } => {
                let message = format!("only platform keys with the scope {} do this", scope.name());
                Err(Error::refused(Code::Forbidden, field, message))
            }
        }
    }

    /// The platform key that acts, for itself or for a person.
    pub(crate) fn platform_key(&self) -> Option<&PlatformActor> {
        match self {
            Self::Platform(key) | Self::OnBehalf { key, .. } => Some(key),
            Self::User { .. } | Self::ApiKey { .. } | Self::Service { .. } | Self::Staff { .. } => None,
        }
    }

    /// Whether the actor is whoever runs the deployment: staff, or a platform key that acts for itself. They see what
    /// the platform attached to objects.
    pub fn is_of_platform(&self) -> bool {
        match self {
            Self::Staff { .. } | Self::Platform(_) => true,
            Self::User { .. } | Self::ApiKey { .. } | Self::Service { .. } | Self::OnBehalf { .. } => false,
        }
    }

    /// Proof that the actor acts for whoever runs the deployment: staff, or a platform key with the scope. A key that
    /// is limited to some organizations acts in these only. `organization_id` is `None` for what concerns no
    /// organization that is there already. `remedy` tells others who else can do it, or to ask the staff.
    ///
    /// # Errors
    ///
    /// On `field`: NOT_FOUND for keys that don't reach the organization, otherwise FORBIDDEN.
    pub(crate) fn operator(
        &self,
        scope: PlatformScope,
        organization_id: Option<OrganizationId>,
        field: &str,
        remedy: &str,
    ) -> Result<Operator<'_>> {
        match self {
            Self::Staff { .. } => {}
            Self::Platform(key) => {
                key.require(scope, field)?;
                match organization_id {
                    Some(id) if !key.within.includes(id) => {
                        return Err(Error::refused(Code::NotFound, field, "there is no such organization"));
                    }
                    Some(_) => {}
                    None => key.require_unlimited(field)?,
                }
            }
            Self::User { .. } | Self::ApiKey { .. } | Self::Service { .. } | Self::OnBehalf { .. } => {
                let message = format!(
                    "only the platform's staff and platform keys with the scope {} do this; {remedy}",
                    scope.name()
                );
                return Err(Error::refused(Code::Forbidden, field, message));
            }
        }
        Ok(Operator { actor: self })
    }

    /// For which organizations the actor reports runs and usage: a platform key for those that it reaches, and a
    /// service key for its own.
    ///
    /// # Errors
    ///
    /// FORBIDDEN on `field` for keys without USAGE_REPORT, and for people, who would report about themselves.
    pub(crate) fn reports_runs(&self, field: &str) -> Result<Within> {
        match self {
            Self::Service { organization_id, .. } => Ok(Within::only([*organization_id])),
            Self::Platform(key) => {
                key.require(PlatformScope::UsageReport, field)?;
                Ok(key.within.clone())
            }
            Self::User { .. } | Self::ApiKey { .. } | Self::OnBehalf { .. } | Self::Staff { .. } => {
                let message =
                    "runs are reported by the platform; use a platform key, or a service key of the organization";
                Err(Error::refused(Code::Forbidden, field, message))
            }
        }
    }

    /// For which organizations the actor reports what was used outside of runs: like [`Actor::reports_runs`], and staff
    /// for all.
    ///
    /// # Errors
    ///
    /// FORBIDDEN on `field` for keys without USAGE_REPORT, and for people, who would report about themselves.
    pub(crate) fn reports_usage(&self, field: &str) -> Result<Within> {
        match self {
            Self::Staff { .. } => Ok(Within::All),
            Self::Service { .. } | Self::Platform(_) => self.reports_runs(field),
            Self::User { .. } | Self::ApiKey { .. } | Self::OnBehalf { .. } => {
                let message =
                    "usage is reported by the platform; use a platform key, or a service key of the organization";
                Err(Error::refused(Code::Forbidden, field, message))
            }
        }
    }

    /// The organization to which the keys in an actor's reports of usage belong, whatever the reports name. `None` for
    /// actors that report for many organizations.
    pub(crate) fn reports_with_keys_of(&self) -> Option<OrganizationId> {
        match self {
            Self::Service { organization_id, .. } => Some(*organization_id),
            Self::User { .. }
            | Self::ApiKey { .. }
            | Self::Platform(_)
            | Self::OnBehalf { .. }
            | Self::Staff { .. } => None,
        }
    }

    /// Whose access to resources the actor may ask about: staff anybody's, platform keys with ACCESS_CHECK anybody's to
    /// what their organizations hold, service keys anybody's to what their organization holds, and people their own.
    ///
    /// # Errors
    ///
    /// FORBIDDEN on `field` for platform keys without ACCESS_CHECK.
    pub(crate) fn access_questions(&self, field: &str) -> Result<AccessQuestions> {
        match self {
            Self::Staff { .. } => Ok(AccessQuestions::OfAnybody(Within::All)),
            Self::Platform(key) => {
                key.require(PlatformScope::AccessCheck, field)?;
                Ok(AccessQuestions::OfAnybody(key.within.clone()))
            }
            Self::Service { organization_id, .. } => Ok(AccessQuestions::OfAnybody(Within::only([*organization_id]))),
            Self::User { .. } | Self::ApiKey { .. } | Self::OnBehalf { .. } => {
                Ok(self.reach().map_or(AccessQuestions::None, AccessQuestions::OfOneself))
            }
        }
    }

    /// The organizations whose events the actor may read in the feed (R90): staff those of all, and platform keys with
    /// EVENTS_READ those of the organizations that they reach. The deployment's own log counts as one that no limited
    /// key reaches.
    ///
    /// # Errors
    ///
    /// FORBIDDEN on `field` for everybody else.
    pub fn reads_feed(&self, field: &str) -> Result<Within> {
        match self {
            Self::Staff { .. } => Ok(Within::All),
            Self::Platform(key) => {
                key.require(PlatformScope::EventsRead, field)?;
                Ok(key.within.clone())
            }
            Self::User { .. } | Self::ApiKey { .. } | Self::Service { .. } | Self::OnBehalf { .. } => {
                let message = format!(
                    "only the platform's staff and platform keys with the scope {} read the events of all organizations; \
                     owners and admins read their organization's log",
                    PlatformScope::EventsRead.name()
                );
                Err(Error::refused(Code::Forbidden, field, message))
            }
        }
    }

    /// Which webhooks of the platform the actor makes and keeps (R90): staff all, and a platform key with EVENTS_READ
    /// its own, which tell of the organizations that it reaches.
    ///
    /// # Errors
    ///
    /// FORBIDDEN on `field` for everybody else.
    pub(crate) fn keeps_platform_webhooks(&self, field: &str) -> Result<KeptWebhooks> {
        match self {
            Self::Staff { .. } => Ok(KeptWebhooks::All),
            Self::Platform(key) => {
                key.require(PlatformScope::EventsRead, field)?;
                Ok(match &key.identity {
                    PlatformIdentity::Key { id, .. } => KeptWebhooks::OfKey(*id),
                    PlatformIdentity::Staff { .. } => KeptWebhooks::All,
                })
            }
            Self::User { .. } | Self::ApiKey { .. } | Self::Service { .. } | Self::OnBehalf { .. } => {
                let message = format!(
                    "name an organization: only the platform's staff and platform keys with the scope {} have webhooks \
                     for all of them",
                    PlatformScope::EventsRead.name()
                );
                Err(Error::refused(Code::Forbidden, field, message))
            }
        }
    }

    /// Fails with FORBIDDEN for everybody except the platform's staff. `remedy` tells the caller who else can do it, or
    /// to ask the staff.
    pub(crate) fn require_staff(&self, field: &str, remedy: &str) -> Result<Operator<'_>> {
        self.staff().ok_or_else(|| {
            Error::refused(Code::Forbidden, field, format!("only the platform's staff do this; {remedy}"))
        })
    }
}

/// The refusal for a session of an account that an organization has suspended. The sessions of accounts that the
/// platform has suspended aren't authenticated.
pub(crate) fn suspended(field: &str) -> Refusal {
    Suspension::ByOrganization.refusal(Reader::Themselves, None, field)
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
