//! Bringing in a platform's resources, deleting and transferring them, many at once.

use async_graphql::{Context, Enum, InputObject, Json, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::base::id::OrganizationId;
use rollcall_domain::base::upsert;
use rollcall_domain::resource::{deletion, ownership, resource_upsert};

use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::{BigInt, Id, Time};
use super::organization::{OrganizationBy, unknown_organization};
use super::resource::{Resource, ResourceKind, ResourceRef, Visibility};
use super::undefined_or;
use super::user::UserRef;

/// What became of an item that was to be brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "upsert::UpsertOutcome")]
pub enum UpsertOutcome {
    /// It was made.
    Created,
    /// It was there, and was changed.
    Updated,
    /// It was there as it should be.
    Unchanged,
}

/// The resources to bring in.
#[derive(InputObject)]
pub struct UpsertResourcesInput {
    /// The organization that holds them.
    organization: OrganizationBy,
    /// The resources, 1 to 1,000, each named once.
    resources: Vec<ResourceUpsertInput>,
}

/// A resource, found by its kind and the platform's own id. An omitted field stays as it is, and null clears it.
#[derive(InputObject)]
pub struct ResourceUpsertInput {
    /// The kind of the resource, which never changes.
    kind: ResourceKind,
    /// The platform's own id of it, up to 255 characters.
    external_id: String,
    /// The name, 1 to 100 characters. Needed for a new resource.
    name: Option<String>,
    /// A description, up to 2000 characters.
    description: MaybeUndefined<String>,
    /// The platform's own noun for it, up to 50 characters.
    subtype: MaybeUndefined<String>,
    /// The owner, an active member of the organization. Needed for a new resource, and only looked at there:
    /// `transferResources` gives resources to others.
    owner: Option<UserRef>,
    /// The project, workspace or source group that it lies in, in the same organization. It may be in the same list, in
    /// any order.
    container: MaybeUndefined<ResourceRef>,
    /// Who can read the resource, apart from those it is shared with. A new one is PRIVATE if this is omitted.
    visibility: Option<Visibility>,
    /// The size in bytes.
    size_bytes: Option<BigInt>,
    /// What the platform attaches to it, an object of at most 8 kB.
    metadata: MaybeUndefined<Json<serde_json::Value>>,
    /// When it was created, for a new resource: from 1970 to now. Now if omitted.
    created_at: Option<Time>,
}

impl From<ResourceUpsertInput> for resource_upsert::ResourceUpsert {
    fn from(input: ResourceUpsertInput) -> Self {
        Self {
            kind: input.kind.into(),
            external_id: input.external_id,
            name: input.name,
            description: undefined_or(input.description),
            subtype: undefined_or(input.subtype),
            owner: input.owner.map(Into::into),
            container: undefined_or(input.container).map(|named| named.map(Into::into)),
            visibility: input.visibility.map(Into::into),
            size_bytes: input.size_bytes.map(|bytes| bytes.0),
            metadata: undefined_or(input.metadata).map(|data| data.map(|data| data.0)),
            created_at: input.created_at.map(|time| time.0),
        }
    }
}

/// A resource that was brought in.
#[derive(SimpleObject)]
pub struct ResourceUpsert {
    /// The resource.
    resource: Resource,
    /// What became of it.
    outcome: UpsertOutcome,
}

/// The result of bringing in resources.
#[derive(SimpleObject, Default)]
pub struct UpsertResourcesPayload {
    /// Each resource with what became of it, in the order of the input.
    results: Option<Vec<ResourceUpsert>>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpsertResourcesPayload);

/// The resources to delete.
#[derive(InputObject)]
pub struct DeleteResourcesInput {
    /// The resources, 1 to 1,000, each named once. Those that aren't there count as deleted.
    resources: Vec<ResourceRef>,
    /// Whether what lies in them is deleted with them, at most 10,000 resources. Otherwise everything that lies in one of
    /// them must be named as well.
    #[graphql(default_with = "Some(false)")]
    recursive: Option<bool>,
}

/// The result of deleting resources.
#[derive(SimpleObject, Default)]
pub struct DeleteResourcesPayload {
    /// How many are gone: those that were named, whether or not they were there, and what lay in them.
    deleted: Option<i32>,
    /// Why nothing was deleted.
    user_errors: Vec<UserError>,
}
payload!(DeleteResourcesPayload);

/// The resources to transfer.
#[derive(InputObject)]
pub struct TransferResourcesInput {
    /// The organization that holds them.
    organization_id: Id<OrganizationId>,
    /// The resources, 1 to 1,000, each named once. What lies in them keeps its owners.
    resources: Vec<ResourceRef>,
    /// The new owner, an active member of the organization.
    to: UserRef,
}

/// The result of transferring resources.
#[derive(SimpleObject, Default)]
pub struct TransferResourcesPayload {
    /// The resources with their new owner, in the order of the input.
    resources: Option<Vec<Resource>>,
    /// Why nothing was transferred.
    user_errors: Vec<UserError>,
}
payload!(TransferResourcesPayload);

/// The mutations that bring in resources, and change many at once.
#[derive(Default)]
pub struct ResourceUpsertMutation;

#[Object]
impl ResourceUpsertMutation {
    /// Makes and changes resources of an organization, 1 to 1,000, all or none. They are found by kind and `externalId`,
    /// and the same call again changes nothing. For platform keys with RESOURCES_WRITE.
    async fn upsert_resources(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The resources to bring in.")] input: UpsertResourcesInput,
    ) -> async_graphql::Result<UpsertResourcesPayload> {
        let actor = actor(context)?;
        let items: Vec<resource_upsert::ResourceUpsert> = input.resources.into_iter().map(Into::into).collect();
        let outcome = match input.organization.id(context).await? {
            Some(id) => resource_upsert::upsert(database(context), actor, id, &items).await,
            None => Err(unknown_organization()),
        };
        Payload::of(outcome, |results| UpsertResourcesPayload {
            results: Some(
                results
                    .into_iter()
                    .map(|(resource, outcome)| ResourceUpsert { resource: Resource(resource), outcome: outcome.into() })
                    .collect(),
            ),
            user_errors: Vec::new(),
        })
    }

    /// Deletes resources, 1 to 1,000, all or none, with the grants on them. For platform keys with RESOURCES_WRITE.
    async fn delete_resources(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The resources to delete.")] input: DeleteResourcesInput,
    ) -> async_graphql::Result<DeleteResourcesPayload> {
        let named: Vec<_> = input.resources.into_iter().map(Into::into).collect();
        let recursive = input.recursive.unwrap_or(false);
        let outcome = deletion::delete_all(database(context), actor(context)?, &named, recursive).await;
        Payload::of(outcome, |number| DeleteResourcesPayload {
            deleted: Some(i32::try_from(number).unwrap_or(i32::MAX)),
            user_errors: Vec::new(),
        })
    }

    /// Makes another active member of the same organization the owner of resources, 1 to 1,000, all or none. The
    /// organization's owner and admins, and platform keys with RESOURCES_WRITE, transfer any of its resources, others
    /// what they own, to members whom they see, named by id or username.
    async fn transfer_resources(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The resources, and who gets them.")] input: TransferResourcesInput,
    ) -> async_graphql::Result<TransferResourcesPayload> {
        let named: Vec<_> = input.resources.into_iter().map(Into::into).collect();
        let (database, actor, id) = (database(context), actor(context)?, input.organization_id.0);
        let outcome = ownership::transfer(database, actor, id, &named, &input.to.into()).await;
        Payload::of(outcome, |resources| TransferResourcesPayload {
            resources: Some(resources.into_iter().map(Resource).collect()),
            user_errors: Vec::new(),
        })
    }
}
