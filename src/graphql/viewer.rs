//! The person who asks.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use diesel_async::AsyncPgConnection;
use rollcall_domain::actor::Actor;
use rollcall_domain::id::{OrganizationId, UserId};
use rollcall_domain::page::Page;
use rollcall_domain::resource::ResourceFilter;
use rollcall_domain::{api_key, invitation, member, resource, session, user};

use super::api_key::{ApiKey, ApiKeyConnection};
use super::connection::{forward, page_cost, wants_total};
use super::context::{actor, connection, database};
use super::error::{Payload, UserError, payload, top_level};
use super::id::Id;
use super::invitation::{Invitation, InvitationConnection};
use super::member::{Member, MemberConnection};
use super::organization::Organization;
use super::policy::Role;
use super::resource::{Resource, ResourceConnection, ResourceKind};
use super::session::{Session, SessionConnection};
use super::user::User;

#[derive(Debug, Clone)]
pub struct Viewer {
    user: user::User,
    actor: Actor,
}

impl Viewer {
    /// The person behind an actor; staff are none.
    pub async fn load(connection: &mut AsyncPgConnection, actor: &Actor) -> async_graphql::Result<Option<Self>> {
        let Some(user_id) = actor.user_id() else { return Ok(None) };
        let user = user::by_id(connection, user_id).await.map_err(top_level)?;
        Ok(Some(Self { user, actor: actor.clone() }))
    }

    fn id(&self) -> UserId {
        self.user.id
    }
}

/// The person who asks, with what only they see.
#[Object]
impl Viewer {
    /// As others see them.
    async fn user(&self) -> User {
        User(self.user.clone())
    }

    /// Where their mails go.
    async fn email(&self) -> &str {
        self.user.email.as_str()
    }

    /// Active memberships at this role or above, each with its organization; the personal organization is apart.
    #[graphql(complexity = "page_cost(first, None) * child_complexity")]
    async fn memberships(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The lowest role to list.", default_with = "Some(Role::Viewer)")] at_least: Option<Role>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<MemberConnection> {
        let at_least = at_least.unwrap_or(Role::Viewer).into();
        let mut connection = connection(context).await?;
        let page =
            member::list_of_user(&mut connection, &self.actor, self.id(), at_least, &forward(first, after)).await;
        let total = match wants_total(context) {
            true => {
                member::count_of_user(&mut connection, &self.actor, self.id(), at_least).await.map_err(top_level)?
            }
            false => 0,
        };
        Ok(MemberConnection::new(page.map_err(top_level)?.map(Member), total))
    }

    /// Holds and pays for what belongs to no team; nobody else gets into it.
    async fn personal_organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        let id =
            user::personal_organization_id(&mut *connection(context).await?, self.id()).await.map_err(top_level)?;
        Organization::load_as(context, &self.actor, id).await
    }

    /// The session's active organization; null where none was chosen.
    async fn active_organization(&self, context: &Context<'_>) -> async_graphql::Result<Option<Organization>> {
        let Actor::User { session_id, .. } = &self.actor else { return Ok(None) };
        let found =
            session::by_ids(&mut *connection(context).await?, self.id(), &[*session_id]).await.map_err(top_level)?;
        match found.into_iter().next().and_then(|session| session.active_organization_id) {
            Some(id) => Ok(Some(Organization::load_as(context, &self.actor, id).await?)),
            None => Ok(None),
        }
    }

    /// True where the account belongs to no organization but its personal one: offer to found one or to enter a join code.
    async fn needs_organization(&self, context: &Context<'_>) -> async_graphql::Result<bool> {
        user::needs_organization(&mut *connection(context).await?, self.id()).await.map_err(top_level)
    }

    /// Pays for new projects and apps unless another organization is named.
    async fn default_bill_to(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        let id = match self.user.default_bill_to_id {
            Some(id) => id,
            None => {
                user::personal_organization_id(&mut *connection(context).await?, self.id()).await.map_err(top_level)?
            }
        };
        Organization::load_as(context, &self.actor, id).await
    }

    /// Open invitations to this account.
    #[graphql(complexity = "page_cost(first, None) * child_complexity")]
    async fn invitations(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<InvitationConnection> {
        if self.actor.only_organization().is_some() {
            // A key reaches its one organization, not those that its person is invited to.
            return Ok(InvitationConnection::new(Page::default(), 0));
        }
        let mut connection = connection(context).await?;
        let page = invitation::list_to(&mut connection, &self.user, &forward(first, after)).await.map_err(top_level)?;
        let total = match wants_total(context) {
            true => invitation::count_to(&mut connection, &self.user).await.map_err(top_level)?,
            false => 0,
        };
        let now = rollcall_domain::database::now(&mut connection).await.map_err(top_level)?;
        Ok(InvitationConnection::new(page.map(|invitation| Invitation::at(invitation, now)), total))
    }

    /// Everything the viewer can reach, in whichever organization, oldest first.
    #[graphql(complexity = "page_cost(first, None) * child_complexity")]
    async fn resources(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only this kind.")] kind: Option<ResourceKind>,
        #[graphql(desc = "Only this organization's.")] organization_id: Option<Id<OrganizationId>>,
        #[graphql(desc = "Only those whose name holds this text.")] search: Option<String>,
    ) -> async_graphql::Result<ResourceConnection> {
        let filter = ResourceFilter {
            kind: kind.map(Into::into),
            organization_id: organization_id.map(|id| id.0),
            search,
            owner_id: None,
        };
        let mut connection = connection(context).await?;
        let page =
            resource::list_of_user(&mut connection, &self.actor, self.id(), &filter, &forward(first, after)).await;
        Ok(ResourceConnection::new(page.map_err(top_level)?.map(Resource)))
    }

    /// The viewer's API keys, oldest first.
    #[graphql(complexity = "page_cost(first, None) * child_complexity")]
    async fn api_keys(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<ApiKeyConnection> {
        let mut connection = connection(context).await?;
        let page =
            api_key::list(&mut connection, &self.actor, self.id(), &forward(first, after)).await.map_err(top_level)?;
        let total = match wants_total(context) {
            true => api_key::count(&mut connection, &self.actor, self.id()).await.map_err(top_level)?,
            false => 0,
        };
        Ok(ApiKeyConnection::new(page.map(ApiKey), total))
    }

    /// The viewer's sessions, oldest first.
    #[graphql(complexity = "page_cost(first, None) * child_complexity")]
    async fn sessions(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<SessionConnection> {
        if self.actor.only_organization().is_some() {
            return Ok(SessionConnection::new(Page::default(), 0));
        }
        let mut connection = connection(context).await?;
        let page = session::list(&mut connection, self.id(), &forward(first, after)).await.map_err(top_level)?;
        let total = match wants_total(context) {
            true => session::count(&mut connection, self.id()).await.map_err(top_level)?,
            false => 0,
        };
        Ok(SessionConnection::new(page.map(|session| Session::of(&self.actor, session)), total))
    }
}

/// What to change of the viewer's profile; a field left out stays as it is.
#[derive(InputObject)]
pub struct UpdateProfileInput {
    /// The person's name, 1 to 100 characters.
    name: MaybeUndefined<String>,
    /// Unique; 2 to 39 of a–z, 0–9 and single hyphens.
    username: MaybeUndefined<String>,
    /// A link to a picture; null clears it.
    avatar_url: MaybeUndefined<String>,
}

/// The viewer with the profile as it is now.
#[derive(SimpleObject, Default)]
pub struct UpdateProfilePayload {
    /// The viewer.
    viewer: Option<Viewer>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateProfilePayload);

/// The viewer's account.
#[derive(Default)]
pub struct ViewerMutation;

#[Object]
impl ViewerMutation {
    /// Changes the viewer's name, username or picture.
    async fn update_profile(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateProfileInput,
    ) -> async_graphql::Result<UpdateProfilePayload> {
        let command = user::UpdateProfile {
            name: super::required(input.name),
            username: super::required(input.username),
            avatar_url: super::undefined_or(input.avatar_url),
        };
        let outcome = user::update_profile(database(context), actor(context)?, &command).await;
        let viewer = Viewer::load(&mut *connection(context).await?, actor(context)?).await?;
        Payload::of(outcome, |()| UpdateProfilePayload { viewer, user_errors: Vec::new() })
    }
}
