//! Collaborators: people outside an organization who reach some of its resources.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::Error;
use rollcall_domain::base::id::{GrantId, OrganizationId, TeamId, TypedId, UserId};
use rollcall_domain::membership::{collaborator, collaborator_removal};

use super::connection::{connection, forward, wants_total};
use super::context::{GrantsOfCollaborator, TeamsOfMember, actor, database, loaders};
use super::error::{Payload, UserError, payload, top_level};
use super::grant::{Grant, GrantConnection};
use super::id::Id;
use super::organization::Organization;
use super::team::{Team, TeamConnection};
use super::user::{Naming, User};

#[derive(Debug, Clone)]
pub struct Collaborator(pub collaborator::Collaborator);

/// Someone who reaches some of the organization's resources without being a member of it. The organization's owner and
/// admins see collaborators; nobody else does.
#[Object]
impl Collaborator {
    /// The collaborator's id. It begins with `col_`, and stays the same for this person in this organization.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The person. Viewers who can't look them up otherwise see a placeholder, named by the word by which the earliest
    /// of their grants names them, such as an email address or a username. Its id can't be looked up, but
    /// `removeCollaborator`, `addTeamMembers` and `removeTeamMember` accept it.
    async fn user(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        let naming = Naming {
            organization_id: self.0.organization_id,
            named_by: self.0.granted_by_id,
            word: self.0.named_as.as_deref(),
            by: self.0.id.uuid(),
        };
        User::named(context, self.0.user_id, naming).await
    }

    /// The organization whose resources they reach.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.0.organization_id).await
    }

    /// The grants by which they reach something here, oldest first: those to themselves, and those to teams here that
    /// they are in.
    async fn grants(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<GrantConnection> {
        let page = forward(first, after);
        page.check::<GrantId>().map_err(top_level)?;
        let key = GrantsOfCollaborator {
            collaborator: (self.0.organization_id, self.0.user_id),
            page,
            with_count: wants_total(context),
        };
        let part = loaders(context).load_one(key).await?;
        let part = part.ok_or_else(|| top_level(Error::Bug("every collaborator has a page of grants")))?;
        let (page, count) = &*part;
        Ok(GrantConnection::new(page.map_ref(|grant| Grant(grant.clone())), *count))
    }

    /// The organization's teams that they are in.
    async fn teams(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<TeamConnection> {
        let page = forward(first, after);
        page.check::<TeamId>().map_err(top_level)?;
        let key =
            TeamsOfMember { member: (self.0.organization_id, self.0.user_id), page, with_count: wants_total(context) };
        let part = loaders(context).load_one(key).await?;
        let part = part.ok_or_else(|| top_level(Error::Bug("every collaborator has a page of teams")))?;
        let (page, count) = &*part;
        Ok(TeamConnection::new(page.map_ref(|team| Team(team.clone())), *count))
    }

    /// Since when they have been a collaborator: when the earliest of the present grants to themselves was created.
    async fn since(&self) -> DateTime<Utc> {
        self.0.since
    }

    /// The person who gave, or last changed, the earliest of these grants.
    async fn granted_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::who_acted(context, self.0.organization_id, self.0.granted_by_id).await
    }
}

connection!(CollaboratorConnection, CollaboratorEdge, Collaborator, "collaborators", total_count);

/// The collaborator to remove.
#[derive(InputObject)]
pub struct RemoveCollaboratorInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// The person: the id of `Collaborator.user`, which may be a placeholder's, or that of their account.
    user_id: Id<UserId>,
}

/// The result of removing a collaborator.
#[derive(SimpleObject, Default)]
pub struct RemoveCollaboratorPayload {
    /// The number of grants to the person that ended.
    removed_grants: Option<i32>,
    /// Why nothing was removed.
    user_errors: Vec<UserError>,
}
payload!(RemoveCollaboratorPayload);

/// The mutations of collaborators.
#[derive(Default)]
pub struct CollaboratorMutation;

#[Object]
impl CollaboratorMutation {
    /// Ends everything that is granted to a collaborator in an organization, at once: the grants to them, their places
    /// in its teams, and open invitations of their address to its resources. Links, invitations and offers that they
    /// had issued there end too. What they granted to others stays. For the owner and admins.
    async fn remove_collaborator(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization and the person.")] input: RemoveCollaboratorInput,
    ) -> async_graphql::Result<RemoveCollaboratorPayload> {
        let (organization_id, user_id) = (input.organization_id.0, input.user_id.0);
        let outcome = collaborator_removal::remove(database(context), actor(context)?, organization_id, user_id).await;
        Payload::of(outcome, |removed| RemoveCollaboratorPayload {
            removed_grants: Some(i32::try_from(removed).unwrap_or(i32::MAX)),
            user_errors: Vec::new(),
        })
    }
}
