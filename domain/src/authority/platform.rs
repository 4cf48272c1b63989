//! Platform keys as actors: their scopes, and the organizations to which they are limited (R85, R86).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::error::{Code, Error, Result};
use crate::base::id::{OrganizationId, PlatformKeyId};
use crate::base::text_enum::text_enum;

text_enum! {
    /// What a platform key may do.
    PlatformScope {
        /// See what an owner sees of the organizations that the key reaches, except secrets.
        Read = "read",
        /// Create, change, suspend and delete accounts.
        UsersWrite = "users_write",
        /// Found, change, delete and restore organizations, and set their policy, plan and owner.
        OrganizationsWrite = "organizations_write",
        /// Invite, add, change and remove members, and manage join codes and teams.
        MembersWrite = "members_write",
        /// Create, change and delete resources, and share them.
        ResourcesWrite = "resources_write",
        /// Ask what anybody may do with resources.
        AccessCheck = "access_check",
        /// Read the events of all organizations, and manage webhooks.
        EventsRead = "events_read",
        /// Report runs and usage.
        UsageReport = "usage_report",
        /// Act as a person, with that person's rights (R86).
        ActForUsers = "act_for_users",
    }
}

impl PlatformScope {
    /// The scope's name in the API.
    pub fn name(self) -> String {
        self.as_str().to_uppercase()
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PlatformScopes(u16);

impl PlatformScopes {
    /// Whether the scope is one of them.
    pub fn has(self, scope: PlatformScope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The scopes, in the order of their definition.
    pub fn iter(self) -> impl Iterator<Item = PlatformScope> {
        PlatformScope::ALL.iter().copied().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<PlatformScope> for PlatformScopes {
    fn from_iter<I: IntoIterator<Item = PlatformScope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |all, scope| all | scope.bit()))
    }
}

/// The organizations to which an actor is limited.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Within {
    /// All organizations.
    All,
    /// Only these, in the order of their ids.
    Only(Arc<[OrganizationId]>),
}

impl Within {
    /// Only these organizations.
    pub fn only(ids: impl IntoIterator<Item = OrganizationId>) -> Self {
        Self::Only(ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// Whether the organization is one of them.
    pub fn includes(&self, organization_id: OrganizationId) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.binary_search(&organization_id).is_ok(),
        }
    }

    /// The organizations, or `None` for all.
    pub fn ids(&self) -> Option<&[OrganizationId]> {
        match self {
            Self::All => None,
            Self::Only(ids) => Some(ids),
        }
    }
}

/// Who acts as the platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PlatformIdentity {
    /// One of the platform's services, with a key.
    Key {
        /// The key.
        id: PlatformKeyId,
        /// The key's name, which the audit log shows.
        name: String,
        /// The digest of the secret by which the key was authenticated.
        secret_digest: Vec<u8>,
    },
    /// A member of the platform's staff, who brings in the platform's data on the command line. No request comes from
    /// there.
    Staff {
        /// The name that the audit log shows.
        name: String,
    },
}

impl PlatformIdentity {
    /// Whose idempotency keys it uses; see [`Actor::caller`](crate::authority::actor::Actor::caller).
    pub(crate) fn caller(&self) -> String {
        match self {
            Self::Key { id, .. } => id.to_string(),
            Self::Staff { name } => format!("staff {name}"),
        }
    }
}

/// The platform itself as an actor: a platform key that makes a request, as it was when the request was authenticated,
/// or staff on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlatformActor {
    /// Who acts.
    pub identity: PlatformIdentity,
    /// What the key may do.
    pub scopes: PlatformScopes,
    /// The organizations that the key reaches.
    pub within: Within,
}

impl PlatformActor {
    /// A member of the platform's staff, who brings in the platform's data on the command line. They may do what a key
    /// with every scope may do in all organizations.
    pub fn staff(name: String) -> Self {
        let scopes = PlatformScope::ALL.iter().copied().collect();
        Self { identity: PlatformIdentity::Staff { name }, scopes, within: Within::All }
    }

    /// The digest of the secret by which a key was authenticated.
    pub(crate) fn secret_digest(&self) -> Option<&[u8]> {
        match &self.identity {
            PlatformIdentity::Key { secret_digest, .. } => Some(secret_digest),
            PlatformIdentity::Staff { .. } => None,
        }
    }

    /// Fails with FORBIDDEN on `field`, naming the scope, if the key doesn't have it.
    pub(crate) fn require(&self, scope: PlatformScope, field: &str) -> Result<()> {
        match self.scopes.has(scope) {
            true => Ok(()),
            false => Err(Error::refused(Code::Forbidden, field, lacks(scope))),
        }
    }

    /// Fails with FORBIDDEN on `field` if the key is limited to organizations, for what concerns no organization.
    pub(crate) fn require_unlimited(&self, field: &str) -> Result<()> {
        match self.within {
            Within::All => Ok(()),
            Within::Only(_) => {
                let message = "this platform key is limited to some organizations; use one that isn't";
                Err(Error::refused(Code::Forbidden, field, message))
            }
        }
    }
}

/// Says which scope a key lacks.
pub(crate) fn lacks(scope: PlatformScope) -> String {
    format!("this platform key lacks the scope {}", scope.name())
}
