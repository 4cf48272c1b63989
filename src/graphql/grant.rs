//! Sharing: grants, and invitations of addresses to resources.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject, Union};
use chrono::{DateTime, Utc};
use rollcall_domain::account::grant_invitation;
use rollcall_domain::base::id::{GrantId, GrantInvitationId, OrganizationId, ResourceId, TeamId, TypedId, UserId};
use rollcall_domain::resource::grant::{self, Shared};
use rollcall_domain::resource::grantee;

use super::connection::connection;
use super::context::{actor, database, request};
use super::error::{Payload, UserError, payload};
use super::id::Id;
use super::organization::Organization;
use super::resource::Resource;
use super::rights::AccessLevel;
use super::team::Team;
use super::user::{Naming, User};

/// Who has something by a grant.
#[derive(Union)]
pub enum Grantee {
    /// A person.
    User(User),
    /// A team of the organization that holds the resource.
    Team(Team),
    /// All members of an organization, as far as their permissions go.
    Organization(Organization),
}

#[derive(Debug, Clone)]
pub struct Grant(pub grant::Grant);

/// What is shared of a resource with somebody.
#[Object]
impl Grant {
    /// Begins with grt_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What is shared.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Resource> {
        Resource::load(context, self.0.resource_id).await
    }

    /// With whom. Whom the viewer can't look up otherwise is shown to whoever named them, and to the owner and admins,
    /// as they were named, such as by an address, a username or a slug: by name and username, under an id that leads
    /// nowhere. To others they are someone.
    async fn grantee(&self, context: &Context<'_>) -> async_graphql::Result<Grantee> {
        let by = self.0.id.uuid();
        let naming = Naming {
            organization_id: self.0.organization_id,
            named_by: self.0.granted_by_id,
            word: self.0.named_as.as_deref(),
            by,
        };
        Ok(match self.0.grantee() {
            grantee::Grantee::User(id) => Grantee::User(User::named(context, id, naming).await?),
            grantee::Grantee::Team(id) => Grantee::Team(Team::shared_with(context, id, by).await?),
            grantee::Grantee::Organization(id) => {
                Grantee::Organization(Organization::named(context, id, naming).await?)
            }
        })
    }

    /// How much.
    async fn level(&self) -> AccessLevel {
        self.0.level.into()
    }

    /// Since when.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

#[derive(Debug, Clone)]
pub struct GrantInvitation(pub grant_invitation::GrantInvitation);

/// An email address that something is shared with, whether or not it has an account: whoever signs in with it next gets
/// the grant.
#[Object]
impl GrantInvitation {
    /// Begins with gin_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What is shared.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Resource> {
        Resource::load(context, self.0.resource_id).await
    }

    /// With whom; null for whoever administers the resource, didn't share it, and is neither the organization's owner
    /// nor an admin.
    async fn email(&self, context: &Context<'_>) -> async_graphql::Result<Option<&str>> {
        let email = self.0.email.as_str();
        let naming = Naming {
            organization_id: self.0.organization_id,
            named_by: self.0.invited_by_id,
            word: Some(email),
            by: self.0.id.uuid(),
        };
        Ok(naming.is_shown(context).await?.then_some(email))
    }

    /// How much.
    async fn level(&self) -> AccessLevel {
        self.0.level.into()
    }

    /// Who shared it; null for members where the directory is HIDDEN, but for their own.
    async fn invited_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::who_acted(context, self.0.organization_id, Some(self.0.invited_by_id)).await
    }

    /// Since when.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// Until when; as long as the organization's invitations last.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }
}

connection!(GrantConnection, GrantEdge, Grant, "grants", total_count);
connection!(GrantInvitationConnection, GrantInvitationEdge, GrantInvitation, "invitations to a resource", total_count);

/// With whom to share: exactly one.
#[derive(OneofObject)]
pub enum GranteeInput {
    /// A person by id.
    UserId(Id<UserId>),
    /// A person by username.
    Username(String),
    /// A person by address. The address is invited to this resource, and whoever signs in with it gets the grant; whom
    /// the viewer knows by it, such as a member whom they lead, gets it at once.
    Email(String),
    /// A team of the organization that holds the resource.
    TeamId(Id<TeamId>),
    /// An organization by id.
    OrganizationId(Id<OrganizationId>),
    /// An organization by slug.
    OrganizationSlug(String),
}

impl From<GranteeInput> for grantee::Named {
    fn from(input: GranteeInput) -> Self {
        match input {
            GranteeInput::UserId(id) => Self::User(id.0),
            GranteeInput::Username(username) => Self::Username(username),
            GranteeInput::Email(email) => Self::Email(email),
            GranteeInput::TeamId(id) => Self::Team(id.0),
            GranteeInput::OrganizationId(id) => Self::Organization(id.0),
            GranteeInput::OrganizationSlug(slug) => Self::OrganizationSlug(slug),
        }
    }
}

/// What to share with whom.
#[derive(InputObject)]
pub struct GrantAccessInput {
    /// The resource; takes ADMINISTER on it.
    resource_id: Id<ResourceId>,
    /// With whom.
    grantee: GranteeInput,
    /// How much; raises or lowers what is shared with them already.
    level: AccessLevel,
}

/// What came of sharing.
#[derive(SimpleObject, Default)]
pub struct GrantAccessPayload {
    /// The grant; null where an address was invited.
    grant: Option<Grant>,
    /// Whether an address was invited, which may or may not have an account.
    invited: Option<bool>,
    /// Why nothing was shared.
    user_errors: Vec<UserError>,
}
payload!(GrantAccessPayload);

/// A grant to end.
#[derive(InputObject)]
pub struct RevokeAccessInput {
    /// The grant: on what the viewer administers, or to the viewer.
    grant_id: Id<GrantId>,
}

/// A grant that has ended.
#[derive(SimpleObject, Default)]
pub struct RevokeAccessPayload {
    /// Which.
    revoked_grant_id: Option<ID>,
    /// Why none has.
    user_errors: Vec<UserError>,
}
payload!(RevokeAccessPayload);

/// An invitation to take back.
#[derive(InputObject)]
pub struct RevokeGrantInvitationInput {
    /// The invitation of an address to a resource that the viewer administers.
    id: Id<GrantInvitationId>,
}

/// An invitation that was taken back.
#[derive(SimpleObject, Default)]
pub struct RevokeGrantInvitationPayload {
    /// Which.
    revoked_grant_invitation_id: Option<ID>,
    /// Why none was.
    user_errors: Vec<UserError>,
}
payload!(RevokeGrantInvitationPayload);

/// Sharing.
#[derive(Default)]
pub struct GrantMutation;

#[Object]
impl GrantMutation {
    /// Shares a resource with a user, a team or an organization; it works at once. What is shared with an address waits
    /// for whoever signs in with it, and its email counts like an invitation, and so can be RATE_LIMITED.
    async fn grant_access(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to share with whom.")] input: GrantAccessInput,
    ) -> async_graphql::Result<GrantAccessPayload> {
        let (named, level) = (input.grantee.into(), input.level.into());
        let (database, client) = (database(context), request(context).client);
        let outcome = grant::share(database, actor(context)?, input.resource_id.0, &named, level, client).await;
        Payload::of(outcome, |shared| match shared {
            Shared::Granted(grant) => {
                GrantAccessPayload { grant: Some(Grant(grant)), invited: Some(false), user_errors: Vec::new() }
            }
            Shared::Invited(_) => GrantAccessPayload { grant: None, invited: Some(true), user_errors: Vec::new() },
        })
    }

    /// Ends a grant.
    async fn revoke_access(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which grant.")] input: RevokeAccessInput,
    ) -> async_graphql::Result<RevokeAccessPayload> {
        let outcome = grant::revoke(database(context), actor(context)?, input.grant_id.0).await;
        Payload::of(outcome, |id| RevokeAccessPayload {
            revoked_grant_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }

    /// Takes back the invitation of an address to a resource.
    async fn revoke_grant_invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which invitation.")] input: RevokeGrantInvitationInput,
    ) -> async_graphql::Result<RevokeGrantInvitationPayload> {
        let outcome = grant::revoke_invitation(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| RevokeGrantInvitationPayload {
            revoked_grant_invitation_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }
}
