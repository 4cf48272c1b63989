//! Bringing in a platform's resources, many at once.

use async_graphql::{Context, Enum, InputObject, Json, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::base::upsert;
use rollcall_domain::resource::resource_upsert;

use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::{BigInt, Time};
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

/// The mutations that bring in resources.
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
}
