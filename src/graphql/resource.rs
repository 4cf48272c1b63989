//! Resources.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::resource_access::{Access, AccessQuestion};
use rollcall_domain::authority::rights;
use rollcall_domain::base::id::{GrantId, GrantInvitationId, OrganizationId, ResourceId, ShareLinkId, TypedId};
use rollcall_domain::base::page::{Page, PageRequest};
use rollcall_domain::resource;
use rollcall_domain::resource::kind;
use rollcall_domain::resource::list::{PartFilter, ResourcesBy};
use uuid::Uuid;

use super::connection::{connection, forward, wants_total};
use super::context::{GrantInvitationsOf, GrantsOf, ResourcesOf, ShareLinksOf, actor, database, loaders, request};
use super::error::{Payload, UserError, payload, top_level};
use super::grant::{Grant, GrantConnection, GrantInvitation, GrantInvitationConnection};
use super::id::{BigInt, Id};
use super::organization::Organization;
use super::rights::AccessLevel;
use super::share_link::{ShareLink, ShareLinkConnection};
use super::transfer::ProjectTransfer;
use super::user::User;

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "kind::ResourceKind")]
pub enum ResourceKind {
    /// A project: holds samples, documents, volumes and apps. Creating one bills to its organization.
    Project,
    /// A volume.
    Volume,
    /// A sample. It stays its owner's when they leave the organization.
    Sample,
    /// A document.
    Document,
    /// A machine that a member has registered.
    Machine,
    /// An app. Creating one bills to its organization, which can't change once it is published.
    App,
    /// A workspace: holds projects, volumes, documents, machines, apps, sources, source groups and collections.
    Workspace,
    /// A source.
    Source,
    /// A group of sources, which it holds.
    SourceGroup,
    /// Gathers samples, documents, volumes, machines, apps and sources from wherever in the organization they lie.
    Collection,
}

/// Who reads a resource beside those it is shared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "resource::Visibility")]
pub enum Visibility {
    /// Its owner, and the organization's owner and admins.
    Private,
    /// Every member of the organization.
    Organization,
}

#[derive(Debug, Clone)]
pub struct Resource(pub resource::Resource);

impl Resource {
    /// The resource, if the viewer can reach it.
    pub async fn find(context: &Context<'_>, id: ResourceId) -> async_graphql::Result<Option<Self>> {
        let Some(found) = loaders(context).load_one(id).await?.map(Self) else { return Ok(None) };
        Ok((found.access(context).await? > rights::AccessLevel::None).then_some(found))
    }

    /// The resource; for what already led to it.
    pub async fn load(context: &Context<'_>, id: ResourceId) -> async_graphql::Result<Self> {
        let found = loaders(context).load_one(id).await?;
        Ok(Self(found.ok_or_else(|| top_level(rollcall_domain::Error::Bug("a resource is missing")))?))
    }

    /// What the viewer may do with it.
    pub async fn access(&self, context: &Context<'_>) -> async_graphql::Result<rights::AccessLevel> {
        let Some(reach) = request(context).actor().and_then(Actor::reach) else {
            return Ok(rights::AccessLevel::None);
        };
        let access = loaders(context).load_one(AccessQuestion::of(reach, self.0.id)).await?;
        Ok(access.unwrap_or(Access::NONE).level)
    }

    /// A page of what belongs to it, as far as the viewer reaches it.
    async fn part(
        &self,
        context: &Context<'_>,
        part: ResourcesBy,
        kind: Option<ResourceKind>,
        page: PageRequest,
    ) -> async_graphql::Result<ResourceConnection> {
        page.check::<ResourceId>().map_err(top_level)?;
        let Some(reach) = request(context).actor().and_then(Actor::reach) else {
            return Ok(ResourceConnection::new(Page::default()));
        };
        // Such as a project that is offered: what lies in it would be looked at one by one.
        if self.access(context).await? == rights::AccessLevel::None {
            return Ok(ResourceConnection::new(Page::default()));
        }
        let key =
            ResourcesOf { part, within: PartFilter { viewer_id: reach.user_id(), kind: kind.map(Into::into) }, page };
        let page = loaders(context).load_one(key).await?.unwrap_or_default();
        Ok(ResourceConnection::new(page.map_ref(|resource| Self(resource.clone()))))
    }
}

/// A piece of work that an organization holds and someone owns.
#[Object]
impl Resource {
    /// Begins with res_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What it is.
    async fn kind(&self) -> ResourceKind {
        self.0.kind.into()
    }

    /// What it is called.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// More about it.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// Holds it and pays for it.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.0.organization_id).await
    }

    /// Whose it is; passes on when they leave the organization. Where the directory is HIDDEN, for whoever doesn't lead
    /// the organization and isn't that person, somebody called `owner`.
    async fn owner(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::who_is(context, self.0.organization_id, self.0.owner_id, "owner", self.0.id.uuid()).await
    }

    /// Who made it; never changes. Where the directory is HIDDEN, likewise somebody called `creator`.
    async fn created_by(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        // Not under the id of whoever owns it: nothing tells whether that is the same person.
        let by = Uuid::from_u128(self.0.id.uuid().as_u128() ^ 1);
        User::who_is(context, self.0.organization_id, self.0.created_by_id, "creator", by).await
    }

    /// The project, workspace or source group it lies in, where the viewer reaches that; at most two above one another.
    async fn container(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.0.container_id {
            Some(id) => Resource::find(context, id).await,
            None => Ok(None),
        }
    }

    /// What lies in it and the viewer can reach, oldest first.
    async fn contents(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only this kind.")] kind: Option<ResourceKind>,
    ) -> async_graphql::Result<ResourceConnection> {
        self.part(context, ResourcesBy::Contents(self.0.id), kind, forward(first, after)).await
    }

    /// Collections only: what it gathers, wherever that lies, oldest first; null for anything else.
    async fn items(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<ResourceConnection>> {
        if self.0.kind != kind::ResourceKind::Collection {
            return Ok(None);
        }
        self.part(context, ResourcesBy::Items(self.0.id), None, forward(first, after)).await.map(Some)
    }

    /// With whom it is shared, oldest first; for who administers it.
    async fn grants(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<GrantConnection>> {
        let page = forward(first, after);
        page.check::<GrantId>().map_err(top_level)?;
        if self.access(context).await? < rights::AccessLevel::Administer {
            return Ok(None);
        }
        let key = GrantsOf { parent_id: self.0.id, page, with_count: wants_total(context) };
        let found = loaders(context).load_one(key).await?;
        Ok(found.map(|found| GrantConnection::new(found.0.map_ref(|grant| Grant(grant.clone())), found.1)))
    }

    /// Addresses that it is shared with and that nobody has signed in with since, oldest first; for those who
    /// administer it.
    async fn grant_invitations(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<GrantInvitationConnection>> {
        let page = forward(first, after);
        page.check::<GrantInvitationId>().map_err(top_level)?;
        if self.access(context).await? < rights::AccessLevel::Administer {
            return Ok(None);
        }
        let key = GrantInvitationsOf { parent_id: self.0.id, page, with_count: wants_total(context) };
        let found = loaders(context).load_one(key).await?;
        let invitation = |invitation: &rollcall_domain::account::grant_invitation::GrantInvitation| {
            GrantInvitation(invitation.clone())
        };
        Ok(found.map(|found| GrantInvitationConnection::new(found.0.map_ref(invitation), found.1)))
    }

    /// Its links, oldest first; for who administers it.
    async fn share_links(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<ShareLinkConnection>> {
        let page = forward(first, after);
        page.check::<ShareLinkId>().map_err(top_level)?;
        if self.access(context).await? < rights::AccessLevel::Administer {
            return Ok(None);
        }
        let key = ShareLinksOf { parent_id: self.0.id, page, with_count: wants_total(context) };
        let found = loaders(context).load_one(key).await?;
        Ok(found.map(|found| ShareLinkConnection::new(found.0.map_ref(|link| ShareLink(link.clone())), found.1)))
    }

    /// Projects only: the open offer to move it; for who administers it.
    async fn open_transfer(&self, context: &Context<'_>) -> async_graphql::Result<Option<ProjectTransfer>> {
        let project = self.0.kind == kind::ResourceKind::Project;
        if !project || self.access(context).await? < rights::AccessLevel::Administer {
            return Ok(None);
        }
        ProjectTransfer::open(context, self.0.id).await
    }

    /// Who reads it.
    async fn visibility(&self) -> Visibility {
        self.0.visibility.into()
    }

    /// Its size in bytes.
    async fn size_bytes(&self) -> BigInt {
        BigInt(self.0.size_bytes)
    }

    /// Since when an app is published, and its organization can't change.
    async fn published_at(&self) -> Option<DateTime<Utc>> {
        self.0.published_at
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }

    /// What the viewer may do with it.
    async fn viewer_access(&self, context: &Context<'_>) -> async_graphql::Result<AccessLevel> {
        Ok(self.access(context).await?.into())
    }
}

connection!(ResourceConnection, ResourceEdge, Resource, "resources");

/// A resource to be made.
#[derive(InputObject)]
pub struct CreateResourceInput {
    /// Where; the container's organization where left out, and the viewer's default bill-to without a container.
    organization_id: Option<Id<OrganizationId>>,
    /// What it is.
    kind: ResourceKind,
    /// What it is called; 1 to 100 characters.
    name: String,
    /// More about it, up to 2000 characters.
    description: Option<String>,
    /// What it shall lie in: a project, workspace or source group that the viewer may add to. It takes the container's
    /// organization. What someone outside adds, except samples, is the organization's owner's.
    container_id: Option<Id<ResourceId>>,
    /// Who reads it.
    #[graphql(default_with = "Some(Visibility::Private)")]
    visibility: Option<Visibility>,
    /// Its size in bytes; 0 where left out.
    size_bytes: Option<BigInt>,
}

/// A new resource.
#[derive(SimpleObject, Default)]
pub struct CreateResourcePayload {
    /// The resource.
    resource: Option<Resource>,
    /// Why none was made.
    user_errors: Vec<UserError>,
}
payload!(CreateResourcePayload);

/// What to change of a resource; a field left out stays as it is.
#[derive(InputObject)]
pub struct UpdateResourceInput {
    /// The resource.
    id: Id<ResourceId>,
    /// What it is called; 1 to 100 characters.
    name: MaybeUndefined<String>,
    /// More about it, up to 2000 characters; null clears it.
    description: MaybeUndefined<String>,
    /// Who reads it; changing that takes ADMINISTER.
    visibility: MaybeUndefined<Visibility>,
    /// What it lies in, of the same organization; null takes it out. Takes ADMINISTER on it and UPLOAD on the
    /// container.
    container_id: MaybeUndefined<Id<ResourceId>>,
    /// Its size in bytes.
    size_bytes: MaybeUndefined<BigInt>,
}

/// A resource as it is now.
#[derive(SimpleObject, Default)]
pub struct UpdateResourcePayload {
    /// The resource.
    resource: Option<Resource>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateResourcePayload);

/// A resource to be deleted.
#[derive(InputObject)]
pub struct DeleteResourceInput {
    /// The resource.
    id: Id<ResourceId>,
}

/// A resource that is gone.
#[derive(SimpleObject, Default)]
pub struct DeleteResourcePayload {
    /// Which.
    deleted_resource_id: Option<ID>,
    /// Why none was deleted.
    user_errors: Vec<UserError>,
}
payload!(DeleteResourcePayload);

/// An app to publish.
#[derive(InputObject)]
pub struct PublishAppInput {
    /// The app.
    id: Id<ResourceId>,
}

/// A published app.
#[derive(SimpleObject, Default)]
pub struct PublishAppPayload {
    /// The app.
    resource: Option<Resource>,
    /// Why it isn't published.
    user_errors: Vec<UserError>,
}
payload!(PublishAppPayload);

/// What to add to a collection.
#[derive(InputObject)]
pub struct AddToCollectionInput {
    /// The collection; takes CONTRIBUTE on it.
    collection_id: Id<ResourceId>,
    /// 1 to 100 resources of its organization; takes ADMINISTER on each, since whoever reaches the collection may read
    /// them. All are added or none; resources already in it stay in it.
    resource_ids: Vec<Id<ResourceId>>,
}

/// A collection with what was added.
#[derive(SimpleObject, Default)]
pub struct AddToCollectionPayload {
    /// The collection.
    collection: Option<Resource>,
    /// Why nothing was added.
    user_errors: Vec<UserError>,
}
payload!(AddToCollectionPayload);

/// What to take out of a collection.
#[derive(InputObject)]
pub struct RemoveFromCollectionInput {
    /// The collection; requires CONTRIBUTE on it, or ADMINISTER on each of the resources.
    collection_id: Id<ResourceId>,
    /// 1 to 100 resources; what isn't in it is passed over.
    resource_ids: Vec<Id<ResourceId>>,
}

/// A collection without what was taken out.
#[derive(SimpleObject, Default)]
pub struct RemoveFromCollectionPayload {
    /// The collection; null where the viewer doesn't reach it.
    collection: Option<Resource>,
    /// Why nothing was taken out.
    user_errors: Vec<UserError>,
}
payload!(RemoveFromCollectionPayload);

/// Resources.
#[derive(Default)]
pub struct ResourceMutation;

#[Object]
impl ResourceMutation {
    /// Creates a resource. The viewer owns it; in a container of an organization that they don't belong to, the
    /// organization's owner does.
    async fn create_resource(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The resource.")] input: CreateResourceInput,
    ) -> async_graphql::Result<CreateResourcePayload> {
        let command = resource::creation::CreateResource {
            organization_id: input.organization_id.map(|id| id.0),
            kind: input.kind.into(),
            name: input.name,
            description: input.description,
            container_id: input.container_id.map(|id| id.0),
            visibility: input.visibility.unwrap_or(Visibility::Private).into(),
            size_bytes: input.size_bytes.map_or(0, |size| size.0),
        };
        let outcome = resource::creation::create(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |resource| CreateResourcePayload {
            resource: Some(Resource(resource)),
            user_errors: Vec::new(),
        })
    }

    /// Changes a resource; takes CONTRIBUTE on it.
    async fn update_resource(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateResourceInput,
    ) -> async_graphql::Result<UpdateResourcePayload> {
        let command = resource::change::UpdateResource {
            name: super::required(input.name),
            description: super::undefined_or(input.description),
            container_id: super::undefined_or(input.container_id).map(|id| id.map(|id| id.0)),
            visibility: super::undefined_or(input.visibility).map(|visibility| visibility.map(Into::into)),
            size_bytes: super::undefined_or(input.size_bytes).map(|size| size.map(|size| size.0)),
        };
        let outcome = resource::change::update(database(context), actor(context)?, input.id.0, &command).await;
        Payload::of(outcome, |resource| UpdateResourcePayload {
            resource: Some(Resource(resource)),
            user_errors: Vec::new(),
        })
    }

    /// Deletes a resource for good; takes ADMINISTER on it, and it must be empty.
    async fn delete_resource(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which resource.")] input: DeleteResourceInput,
    ) -> async_graphql::Result<DeleteResourcePayload> {
        let outcome = resource::change::delete(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| DeleteResourcePayload {
            deleted_resource_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }

    /// Publishes an app, once; takes ADMINISTER on it. From here on its organization can't change.
    async fn publish_app(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which app.")] input: PublishAppInput,
    ) -> async_graphql::Result<PublishAppPayload> {
        let outcome = resource::change::publish_app(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |app| PublishAppPayload { resource: Some(Resource(app)), user_errors: Vec::new() })
    }

    /// Adds resources to a collection, from wherever in the organization they lie.
    async fn add_to_collection(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to add.")] input: AddToCollectionInput,
    ) -> async_graphql::Result<AddToCollectionPayload> {
        let ids: Vec<ResourceId> = input.resource_ids.into_iter().map(|id| id.0).collect();
        let outcome =
            resource::collection::add_to_collection(database(context), actor(context)?, input.collection_id.0, &ids)
                .await;
        Payload::of(outcome, |collection| AddToCollectionPayload {
            collection: Some(Resource(collection)),
            user_errors: Vec::new(),
        })
    }

    /// Takes resources out of a collection; they stay where they lie.
    async fn remove_from_collection(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to take out.")] input: RemoveFromCollectionInput,
    ) -> async_graphql::Result<RemoveFromCollectionPayload> {
        let ids: Vec<ResourceId> = input.resource_ids.into_iter().map(|id| id.0).collect();
        let outcome = resource::collection::remove_from_collection(
            database(context),
            actor(context)?,
            input.collection_id.0,
            &ids,
        )
        .await;
        // Who took out what is theirs needn't reach the collection.
        let seen = match &outcome {
            Ok(collection) => Resource::find(context, collection.id).await?,
            Err(_) => None,
        };
        Payload::of(outcome, |_| RemoveFromCollectionPayload { collection: seen, user_errors: Vec::new() })
    }
}
