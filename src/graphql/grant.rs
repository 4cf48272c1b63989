//! Sharing: grants, and invitations of email addresses to resources.

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

/// Whoever a resource is shared with.
#[derive(Union)]
pub enum Grantee {
    /// A person.
    User(User),
    /// A team of the resource's organization.
    Team(Team),
    /// All members of an organization, as far as their permissions allow.
    Organization(Organization),
}

#[derive(Debug, Clone)]
pub struct Grant(pub grant::Grant);

/// A resource that is shared with a person, a team or an organization.
#[Object]
impl Grant {
    /// The grant's id. It begins with `grt_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The shared resource.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Resource> {
        Resource::load(context, self.0.resource_id).await
    }

    /// Whoever the resource is shared with. Viewers who can't look them up otherwise see a placeholder whose id can't
    /// be looked up. For the user who shared the resource, the owner and admins, its name and username are the word by
    /// which the grantee was named, such as an email address, a username or a slug. For everybody else, it is
    /// anonymous.
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

    /// The level of access that the grant gives.
    async fn level(&self) -> AccessLevel {
        self.0.level.into()
    }

    /// The person who gave the grant or last changed its level. If the directory is HIDDEN, members see only themselves
    /// here.
    async fn granted_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::who_acted(context, self.0.organization_id, self.0.granted_by_id).await
    }

    /// When the resource was shared.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

#[derive(Debug, Clone)]
pub struct GrantInvitation(pub grant_invitation::GrantInvitation);

/// An email address that a resource is shared with, whether or not it has an account. Whoever signs in with it next
/// gets the grant.
#[Object]
impl GrantInvitation {
    /// The invitation's id. It begins with `gin_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The shared resource.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Resource> {
        Resource::load(context, self.0.resource_id).await
    }

    /// The email address. Only the person who shared the resource, the organization's owner and its admins see it; for
    /// others who administer the resource it is null.
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

    /// The level of access that the grant will give.
    async fn level(&self) -> AccessLevel {
        self.0.level.into()
    }

    /// The person who shared the resource. If the directory is HIDDEN, members see only themselves here.
    async fn invited_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::who_acted(context, self.0.organization_id, self.0.invited_by_id).await
    }

    /// When the resource was shared.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When the invitation expires. It is valid for as many days as the organization's invitations are.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }
}

connection!(GrantConnection, GrantEdge, Grant, "grants", total_count);
connection!(GrantInvitationConnection, GrantInvitationEdge, GrantInvitation, "invitations to a resource", total_count);

/// Whoever to share with. Exactly one field must be set.
#[derive(OneofObject)]
pub enum GranteeInput {
    /// A person, by id.
    UserId(Id<UserId>),
    /// A person, by username.
    Username(String),
    /// A person, by email address. The address is invited to the resource, and whoever signs in with it gets the
    /// grant. If the viewer already knows that this person has the address, for example because they lead an
    /// organization in which the person is a member, the person gets the grant at once.
    Email(String),
    /// A team of the resource's organization.
    TeamId(Id<TeamId>),
    /// An organization, by id.
    OrganizationId(Id<OrganizationId>),
    /// An organization, by slug.
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

/// The resource to share, with whom, and at which level.
#[derive(InputObject)]
pub struct GrantAccessInput {
    /// The resource. The viewer must have ADMINISTER access to it.
    resource_id: Id<ResourceId>,
    /// The person, team or organization to share with.
    grantee: GranteeInput,
    /// The level of access. It replaces the level of an existing grant, whether that is higher or lower.
    level: AccessLevel,
}

/// The result of sharing a resource.
#[derive(SimpleObject, Default)]
pub struct GrantAccessPayload {
    /// The grant. Null if an email address was invited.
    grant: Option<Grant>,
    /// Whether an email address was invited. This doesn't reveal whether the address has an account.
    invited: Option<bool>,
    /// Why nothing was shared.
    user_errors: Vec<UserError>,
}
payload!(GrantAccessPayload);

/// Identifies the grant to revoke.
#[derive(InputObject)]
pub struct RevokeAccessInput {
    /// The grant. It must be on a resource that the viewer administers, or belong to the viewer.
    grant_id: Id<GrantId>,
}

/// The result of revoking a grant.
#[derive(SimpleObject, Default)]
pub struct RevokeAccessPayload {
    /// The id of the grant, which has ended.
    revoked_grant_id: Option<ID>,
    /// Why no grant was revoked.
    user_errors: Vec<UserError>,
}
payload!(RevokeAccessPayload);

/// Identifies the invitation to revoke.
#[derive(InputObject)]
pub struct RevokeGrantInvitationInput {
    /// The invitation of an email address to a resource that the viewer administers.
    id: Id<GrantInvitationId>,
}

/// The result of revoking an invitation to a resource.
#[derive(SimpleObject, Default)]
pub struct RevokeGrantInvitationPayload {
    /// The id of the invitation, which is no longer valid.
    revoked_grant_invitation_id: Option<ID>,
    /// Why no invitation was revoked.
    user_errors: Vec<UserError>,
}
payload!(RevokeGrantInvitationPayload);

/// The mutations of grants.
#[derive(Default)]
pub struct GrantMutation;

#[Object]
impl GrantMutation {
    /// Shares a resource with a user, a team or an organization. The grant takes effect at once. A grant to an email
    /// address waits until somebody signs in with it; its email counts towards the same limits as an invitation, so
    /// the mutation can be RATE_LIMITED.
    async fn grant_access(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The resource to share, and with whom.")] input: GrantAccessInput,
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

    /// Revokes a grant.
    async fn revoke_access(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The grant to revoke.")] input: RevokeAccessInput,
    ) -> async_graphql::Result<RevokeAccessPayload> {
        let outcome = grant::revoke(database(context), actor(context)?, input.grant_id.0).await;
        Payload::of(outcome, |id| RevokeAccessPayload {
            revoked_grant_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }

    /// Revokes the invitation of an email address to a resource.
    async fn revoke_grant_invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The invitation to revoke.")] input: RevokeGrantInvitationInput,
    ) -> async_graphql::Result<RevokeGrantInvitationPayload> {
        let outcome = grant::revoke_invitation(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| RevokeGrantInvitationPayload {
            revoked_grant_invitation_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }
}
