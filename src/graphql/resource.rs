//! Resources.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::id::{OrganizationId, ResourceId};
use rollcall_domain::resource;

use super::connection::connection;
use super::context::{actor, database, loaders, request};
use super::error::{Payload, UserError, payload};
use super::id::{BigInt, Id};
use super::organization::Organization;
use super::policy::AccessLevel;
use super::user::User;

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "resource::ResourceKind")]
pub enum ResourceKind {
    /// A project; creating one bills to its organization.
    Project,
    /// A volume.
    Volume,
    /// A machine that a member has registered.
    Machine,
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
        Ok((found.access(context).await? > rollcall_domain::policy::AccessLevel::None).then_some(found))
    }

    async fn access(&self, context: &Context<'_>) -> async_graphql::Result<rollcall_domain::policy::AccessLevel> {
        let none = rollcall_domain::policy::AccessLevel::None;
        let Some(actor) = request(context).actor().cloned() else { return Ok(none) };
        let permit = loaders(context).load_one((actor, self.0.organization_id)).await?.and_then(|(_, permit)| permit);
        Ok(permit.map_or(none, |permit| resource::access_level(&permit, &self.0)))
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

    /// Whose it is; passes on when they leave the organization.
    async fn owner(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::load(context, self.0.owner_id).await
    }

    /// Who made it; never changes.
    async fn created_by(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::load(context, self.0.created_by_id).await
    }

    /// Who reads it.
    async fn visibility(&self) -> Visibility {
        self.0.visibility.into()
    }

    /// Its size in bytes.
    async fn size_bytes(&self) -> BigInt {
        BigInt(self.0.size_bytes)
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
    /// Where; the viewer's default bill-to where left out.
    organization_id: Option<Id<OrganizationId>>,
    /// What it is.
    kind: ResourceKind,
    /// What it is called; 1 to 100 characters.
    name: String,
    /// More about it, up to 2000 characters.
    description: Option<String>,
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
    visibility: Option<Visibility>,
    /// Its size in bytes.
    size_bytes: Option<BigInt>,
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

/// Resources.
#[derive(Default)]
pub struct ResourceMutation;

#[Object]
impl ResourceMutation {
    /// Makes a resource that the viewer owns.
    async fn create_resource(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The resource.")] input: CreateResourceInput,
    ) -> async_graphql::Result<CreateResourcePayload> {
        let command = resource::CreateResource {
            organization_id: input.organization_id.map(|id| id.0),
            kind: input.kind.into(),
            name: input.name,
            description: input.description,
            visibility: input.visibility.unwrap_or(Visibility::Private).into(),
            size_bytes: input.size_bytes.map_or(0, |size| size.0),
        };
        let outcome = resource::create(database(context), actor(context)?, &command).await;
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
        let command = resource::UpdateResource {
            name: super::required(input.name),
            description: super::undefined_or(input.description),
            visibility: input.visibility.map(Into::into),
            size_bytes: input.size_bytes.map(|size| size.0),
        };
        let outcome = resource::update(database(context), actor(context)?, input.id.0, &command).await;
        Payload::of(outcome, |resource| UpdateResourcePayload {
            resource: Some(Resource(resource)),
            user_errors: Vec::new(),
        })
    }

    /// Deletes a resource for good; takes ADMINISTER on it.
    async fn delete_resource(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which resource.")] input: DeleteResourceInput,
    ) -> async_graphql::Result<DeleteResourcePayload> {
        let outcome = resource::delete(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| DeleteResourcePayload {
            deleted_resource_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }
}
