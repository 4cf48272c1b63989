//! Resources.

use async_graphql::{Context, Enum, ID, InputObject, Json, MaybeUndefined, Object, OneofObject, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::authority::platform_data::WithMetadata;
use rollcall_domain::authority::resource_access::Access;
use rollcall_domain::authority::rights;
use rollcall_domain::base::id::{GrantId, GrantInvitationId, OrganizationId, ResourceId, ShareLinkId, TypedId};
use rollcall_domain::base::page::{Page, PageRequest};
use rollcall_domain::resource;
use rollcall_domain::resource::kind;
use rollcall_domain::resource::list::{PartFilter, ResourcesBy};
use rollcall_domain::resource::resource_ref;
use uuid::Uuid;

use super::connection::{connection, forward, wants_total};
use super::context::{
    self, GrantInvitationsOf, GrantsOf, ResourcesOf, ShareLinksOf, actor, database, loaders, metadata, request,
    viewer_in,
};
use super::error::{Payload, UserError, payload, top_level};
use super::grant::{Grant, GrantConnection, GrantInvitation, GrantInvitationConnection};
use super::id::{BigInt, Id};
use super::organization::Organization;
use super::rights::AccessLevel;
use super::share_link::{ShareLink, ShareLinkConnection};
use super::transfer::ProjectTransfer;
use super::user::User;

/// The kind of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "kind::ResourceKind")]
pub enum ResourceKind {
    /// A project. It can contain samples, documents, volumes and apps. Whoever creates a project bills it to its
    /// organization.
    Project,
    /// A volume.
    Volume,
    /// A sample. When its owner leaves the organization, it still belongs to them.
    Sample,
    /// A document.
    Document,
    /// A machine that a member has registered.
    Machine,
    /// An app. Whoever creates an app bills it to its organization. A published app can't move to another
    /// organization.
    App,
    /// A workspace. It can contain projects, volumes, documents, machines, apps, sources, source groups and
    /// collections.
    Workspace,
    /// A source.
    Source,
    /// A group that contains sources.
    SourceGroup,
    /// A collection. It refers to samples, documents, volumes, machines, apps and sources from anywhere in the
    /// organization.
    Collection,
}

/// Who can read a resource, apart from those it is shared with.
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
    /// Finds the resource, if the viewer can reach it.
    pub async fn find(context: &Context<'_>, id: ResourceId) -> async_graphql::Result<Option<Self>> {
        let Some(found) = loaders(context).load_one(id).await?.map(Self) else { return Ok(None) };
        Ok((found.access(context).await? > rights::AccessLevel::None).then_some(found))
    }

    /// Loads the resource. Only for ids that a visible object has led to.
    pub async fn load(context: &Context<'_>, id: ResourceId) -> async_graphql::Result<Self> {
        let found = loaders(context).load_one(id).await?;
        Ok(Self(found.ok_or_else(|| top_level(rollcall_domain::Error::Bug("a resource is missing")))?))
    }

    /// What the viewer may do with the resource.
    pub async fn access(&self, context: &Context<'_>) -> async_graphql::Result<rights::AccessLevel> {
        let Some(actor) = request(context).actor() else { return Ok(rights::AccessLevel::None) };
        let access = loaders(context).load_one((actor.clone(), self.0.id)).await?;
        Ok(access.unwrap_or(Access::NONE).level)
    }

    /// Loads a page of the resources that belong to this one and that the viewer can reach.
    async fn part(
        &self,
        context: &Context<'_>,
        part: ResourcesBy,
        kind: Option<ResourceKind>,
        page: PageRequest,
    ) -> async_graphql::Result<ResourceConnection> {
        page.check::<ResourceId>().map_err(top_level)?;
        let Some(actor) = request(context).actor() else { return Ok(ResourceConnection::new(Page::default())) };
        // The viewer may see a resource without access to it, for example a project that is offered to them. Without
        // this check, each resource inside would be checked one by one.
        if self.access(context).await? == rights::AccessLevel::None {
            return Ok(ResourceConnection::new(Page::default()));
        }
        let Some(viewer_id) = viewer_in(context, actor, self.0.organization_id).await? else {
            return Ok(ResourceConnection::new(Page::default()));
        };
        let key = ResourcesOf { part, within: PartFilter { viewer_id, kind: kind.map(Into::into) }, page };
        let page = loaders(context).load_one(key).await?.unwrap_or_default();
        Ok(ResourceConnection::new(page.map_ref(|resource| Self(resource.clone()))))
    }
}

/// Identifies a resource. Exactly one field must be set.
#[derive(OneofObject)]
pub enum ResourceRef {
    /// The resource's id.
    Id(Id<ResourceId>),
    /// The resource's kind and the platform's own id of it.
    External(ExternalResourceRef),
}

/// A resource, by its kind and the platform's own id of it.
#[derive(InputObject)]
pub struct ExternalResourceRef {
    /// The kind of the resource.
    kind: ResourceKind,
    /// The platform's own id of the resource.
    external_id: String,
}

impl From<ResourceRef> for resource_ref::ResourceRef {
    fn from(named: ResourceRef) -> Self {
        match named {
            ResourceRef::Id(id) => Self::Id(id.0),
            ResourceRef::External(named) => Self::External(named.kind.into(), named.external_id),
        }
    }
}

/// Finds the resource that is named, if the viewer can reach it.
pub async fn find(context: &Context<'_>, by: ResourceRef) -> async_graphql::Result<Option<Resource>> {
    let named = by.into();
    let found = resource_ref::resolve(&mut *context::connection(context).await?, std::slice::from_ref(&named)).await;
    match found.map_err(top_level)?.remove(&named) {
        Some((id, _)) => Resource::find(context, id).await,
        None => Ok(None),
    }
}

/// A piece of work, such as a project, a volume or a document. It belongs to an organization and has one owner.
#[Object]
impl Resource {
    /// The resource's id. It begins with `res_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The platform's own noun for it, such as `dataset`.
    async fn subtype(&self) -> Option<&str> {
        self.0.subtype.as_deref()
    }

    /// The platform's own id of the resource, unique per kind. Null for viewers who can't reach it.
    async fn external_id(&self, context: &Context<'_>) -> async_graphql::Result<Option<&str>> {
        if self.0.external_id.is_none() || self.access(context).await? == rights::AccessLevel::None {
            return Ok(None);
        }
        Ok(self.0.external_id.as_deref())
    }

    /// What the platform attached to this resource, an object of at most 8 kB. Null for viewers who can't reach it.
    async fn metadata(&self, context: &Context<'_>) -> async_graphql::Result<Option<Json<serde_json::Value>>> {
        match self.access(context).await? {
            rights::AccessLevel::None => Ok(None),
            _ => metadata(context, WithMetadata::Resource(self.0.id)).await,
        }
    }

    /// The kind of the resource.
    async fn kind(&self) -> ResourceKind {
        self.0.kind.into()
    }

    /// The resource's name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The resource's description.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// The organization that holds the resource and pays for it.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.0.organization_id).await
    }

    /// The user who owns the resource. When they leave the organization, it passes to somebody else. If the directory
    /// is HIDDEN, viewers who don't lead the organization and aren't the owner themselves see a placeholder user with
    /// the username `owner`.
    async fn owner(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::who_is(context, self.0.organization_id, self.0.owner_id, "owner", self.0.id.uuid()).await
    }

    /// The user who created the resource; this never changes. If the directory is HIDDEN, viewers who don't lead the
    /// organization and aren't that user see a placeholder user with the username `creator`.
    async fn created_by(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        // The placeholder's id differs from that of the owner's placeholder, so that nothing reveals whether they are
        // the same person.
        let by = Uuid::from_u128(self.0.id.uuid().as_u128() ^ 1);
        User::who_is(context, self.0.organization_id, self.0.created_by_id, "creator", by).await
    }

    /// The project, workspace or source group that the resource is in, if the viewer can reach it. Containers can be
    /// nested two deep.
    async fn container(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.0.container_id {
            Some(id) => Resource::find(context, id).await,
            None => Ok(None),
        }
    }

    /// The resources directly inside that the viewer can reach, oldest first.
    async fn contents(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only resources of this kind.")] kind: Option<ResourceKind>,
    ) -> async_graphql::Result<ResourceConnection> {
        self.part(context, ResourcesBy::Contents(self.0.id), kind, forward(first, after)).await
    }

    /// The items of a collection, wherever they are stored, oldest first. Null for other kinds of resources.
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

    /// The grants by which the resource is shared, oldest first. Only those who administer the resource see them.
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

    /// The email addresses that the resource is shared with and that nobody has signed in with since, oldest first.
    /// Only those who administer the resource see them.
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

    /// The share links to the resource, oldest first. Only those who administer the resource see them.
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

    /// The pending offer to move a project to another organization. Null for other kinds of resources. Only those who
    /// administer the project see it.
    async fn open_transfer(&self, context: &Context<'_>) -> async_graphql::Result<Option<ProjectTransfer>> {
        let project = self.0.kind == kind::ResourceKind::Project;
        if !project || self.access(context).await? < rights::AccessLevel::Administer {
            return Ok(None);
        }
        ProjectTransfer::open(context, self.0.id).await
    }

    /// Who can read the resource, apart from those it is shared with.
    async fn visibility(&self) -> Visibility {
        self.0.visibility.into()
    }

    /// The resource's size in bytes.
    async fn size_bytes(&self) -> BigInt {
        BigInt(self.0.size_bytes)
    }

    /// When the app was published. Since then, it can't move to another organization. Null for other kinds of
    /// resources.
    async fn published_at(&self) -> Option<DateTime<Utc>> {
        self.0.published_at
    }

    /// When the resource was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When the resource was last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }

    /// What the viewer may do with the resource.
    async fn viewer_access(&self, context: &Context<'_>) -> async_graphql::Result<AccessLevel> {
        Ok(self.access(context).await?.into())
    }
}

connection!(ResourceConnection, ResourceEdge, Resource, "resources");

/// The resource to create.
#[derive(InputObject)]
pub struct CreateResourceInput {
    /// The organization that will hold the resource. If omitted, it is the container's organization, or without a
    /// container the viewer's default bill-to.
    organization_id: Option<Id<OrganizationId>>,
    /// The kind of the resource.
    kind: ResourceKind,
    /// The name, 1 to 100 characters.
    name: String,
    /// A description, up to 2000 characters.
    description: Option<String>,
    /// The project, workspace or source group to put the resource in. The viewer must be allowed to add to it. The
    /// resource belongs to the container's organization. If somebody from outside adds it, and it isn't a sample, the
    /// organization's owner owns it.
    container_id: Option<Id<ResourceId>>,
    /// Who can read the resource, apart from those it is shared with.
    #[graphql(default_with = "Some(Visibility::Private)")]
    visibility: Option<Visibility>,
    /// The size in bytes; 0 if omitted.
    size_bytes: Option<BigInt>,
    /// The platform's own noun for it, up to 50 characters. Only platform keys set it.
    subtype: Option<String>,
    /// What the platform attaches to it, an object of at most 8 kB. Only platform keys set it.
    metadata: Option<Json<serde_json::Value>>,
}

/// The result of creating a resource.
#[derive(SimpleObject, Default)]
pub struct CreateResourcePayload {
    /// The new resource.
    resource: Option<Resource>,
    /// Why no resource was created.
    user_errors: Vec<UserError>,
}
payload!(CreateResourcePayload);

/// The changes to a resource. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateResourceInput {
    /// The resource.
    id: Id<ResourceId>,
    /// The name, 1 to 100 characters.
    name: MaybeUndefined<String>,
    /// A description, up to 2000 characters; null clears it.
    description: MaybeUndefined<String>,
    /// Who can read the resource, apart from those it is shared with. To change this, the viewer needs ADMINISTER
    /// access.
    visibility: MaybeUndefined<Visibility>,
    /// The container to move the resource to, in the same organization; null takes it out of its container. This
    /// requires ADMINISTER access to the resource and UPLOAD access to the container.
    container_id: MaybeUndefined<Id<ResourceId>>,
    /// The size in bytes.
    size_bytes: MaybeUndefined<BigInt>,
    /// The platform's own noun for it, up to 50 characters; null clears it. Only platform keys set it.
    subtype: MaybeUndefined<String>,
    /// What the platform attaches to it, an object of at most 8 kB; null clears it. Only platform keys set it.
    metadata: MaybeUndefined<Json<serde_json::Value>>,
}

/// The result of changing a resource.
#[derive(SimpleObject, Default)]
pub struct UpdateResourcePayload {
    /// The changed resource.
    resource: Option<Resource>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateResourcePayload);

/// Identifies the resource to delete.
#[derive(InputObject)]
pub struct DeleteResourceInput {
    /// The resource.
    id: Id<ResourceId>,
}

/// The result of deleting a resource.
#[derive(SimpleObject, Default)]
pub struct DeleteResourcePayload {
    /// The id of the deleted resource.
    deleted_resource_id: Option<ID>,
    /// Why no resource was deleted.
    user_errors: Vec<UserError>,
}
payload!(DeleteResourcePayload);

/// Identifies the app to publish.
#[derive(InputObject)]
pub struct PublishAppInput {
    /// The app.
    id: Id<ResourceId>,
}

/// The result of publishing an app.
#[derive(SimpleObject, Default)]
pub struct PublishAppPayload {
    /// The published app.
    resource: Option<Resource>,
    /// Why the app wasn't published.
    user_errors: Vec<UserError>,
}
payload!(PublishAppPayload);

/// The collection, and the resources to add to it.
#[derive(InputObject)]
pub struct AddToCollectionInput {
    /// The collection. The viewer needs CONTRIBUTE access to it.
    collection_id: Id<ResourceId>,
    /// 1 to 100 resources of the collection's organization. The viewer needs ADMINISTER access to each, since everyone
    /// who reaches the collection can read them. Either all are added or none. Resources that are already in the
    /// collection stay there.
    resource_ids: Vec<Id<ResourceId>>,
}

/// The result of adding resources to a collection.
#[derive(SimpleObject, Default)]
pub struct AddToCollectionPayload {
    /// The collection, with the resources that were added.
    collection: Option<Resource>,
    /// Why nothing was added.
    user_errors: Vec<UserError>,
}
payload!(AddToCollectionPayload);

/// The collection, and the resources to remove from it.
#[derive(InputObject)]
pub struct RemoveFromCollectionInput {
    /// The collection. The viewer needs CONTRIBUTE access to it, or ADMINISTER access to each of the resources.
    collection_id: Id<ResourceId>,
    /// 1 to 100 resources. Those that aren't in the collection are ignored.
    resource_ids: Vec<Id<ResourceId>>,
}

/// The result of removing resources from a collection.
#[derive(SimpleObject, Default)]
pub struct RemoveFromCollectionPayload {
    /// The collection. Null if the viewer can't reach it.
    collection: Option<Resource>,
    /// Why nothing was removed.
    user_errors: Vec<UserError>,
}
payload!(RemoveFromCollectionPayload);

/// The mutations of resources.
#[derive(Default)]
pub struct ResourceMutation;

#[Object]
impl ResourceMutation {
    /// Creates a resource. The viewer owns it, unless it is put in a container of an organization that they aren't a
    /// member of: then that organization's owner does.
    async fn create_resource(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The resource to create.")] input: CreateResourceInput,
    ) -> async_graphql::Result<CreateResourcePayload> {
        let command = resource::creation::CreateResource {
            organization_id: input.organization_id.map(|id| id.0),
            kind: input.kind.into(),
            name: input.name,
            description: input.description,
            container_id: input.container_id.map(|id| id.0),
            visibility: input.visibility.unwrap_or(Visibility::Private).into(),
            size_bytes: input.size_bytes.map_or(0, |size| size.0),
            subtype: input.subtype,
            metadata: input.metadata.map(|data| data.0),
        };
        let outcome = resource::creation::create(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |resource| CreateResourcePayload {
            resource: Some(Resource(resource)),
            user_errors: Vec::new(),
        })
    }

    /// Changes a resource. The viewer needs CONTRIBUTE access to it.
    async fn update_resource(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The resource and the changes.")] input: UpdateResourceInput,
    ) -> async_graphql::Result<UpdateResourcePayload> {
        let command = resource::change::UpdateResource {
            name: super::required(input.name),
            description: super::undefined_or(input.description),
            container_id: super::undefined_or(input.container_id).map(|id| id.map(|id| id.0)),
            visibility: super::undefined_or(input.visibility).map(|visibility| visibility.map(Into::into)),
            size_bytes: super::undefined_or(input.size_bytes).map(|size| size.map(|size| size.0)),
            subtype: super::undefined_or(input.subtype),
            metadata: super::undefined_or(input.metadata).map(|data| data.map(|data| data.0)),
        };
        let outcome = resource::change::update(database(context), actor(context)?, input.id.0, &command).await;
        Payload::of(outcome, |resource| UpdateResourcePayload {
            resource: Some(Resource(resource)),
            user_errors: Vec::new(),
        })
    }

    /// Deletes a resource for good. The viewer needs ADMINISTER access to it, and it must be empty.
    async fn delete_resource(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The resource to delete.")] input: DeleteResourceInput,
    ) -> async_graphql::Result<DeleteResourcePayload> {
        let outcome = resource::deletion::delete(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| DeleteResourcePayload {
            deleted_resource_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }

    /// Publishes an app, which can be done only once. The viewer needs ADMINISTER access to it. From then on, the app
    /// can't move to another organization.
    async fn publish_app(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The app to publish.")] input: PublishAppInput,
    ) -> async_graphql::Result<PublishAppPayload> {
        let outcome = resource::change::publish_app(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |app| PublishAppPayload { resource: Some(Resource(app)), user_errors: Vec::new() })
    }

    /// Adds resources to a collection, from anywhere in the organization.
    async fn add_to_collection(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The collection and the resources to add.")] input: AddToCollectionInput,
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

    /// Removes resources from a collection. The resources themselves stay where they are stored.
    async fn remove_from_collection(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The collection and the resources to remove.")] input: RemoveFromCollectionInput,
    ) -> async_graphql::Result<RemoveFromCollectionPayload> {
        let ids: Vec<ResourceId> = input.resource_ids.into_iter().map(|id| id.0).collect();
        let outcome = resource::collection::remove_from_collection(
            database(context),
            actor(context)?,
            input.collection_id.0,
            &ids,
        )
        .await;
        // Those who removed their own resources don't necessarily reach the collection.
        let seen = match &outcome {
            Ok(collection) => Resource::find(context, collection.id).await?,
            Err(_) => None,
        };
        Payload::of(outcome, |_| RemoveFromCollectionPayload { collection: seen, user_errors: Vec::new() })
    }
}
