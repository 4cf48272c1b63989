//! Resources: the work that organizations hold. The creator of a resource never changes; its owner can (D8).

pub mod change;
pub mod collection;
pub mod creation;
pub mod deletion;
pub mod grant;
pub mod grantee;
pub mod kind;
pub mod list;
mod list_statement;
pub mod ownership;
pub mod resource_ref;
pub mod resource_upsert;
pub mod run;
pub mod share_link;
mod storage;
pub(crate) mod storage_metering;
pub mod transfer;
pub mod usage_report;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::access;
use crate::authority::actor::{Actor, Reach};
use crate::authority::platform::{PlatformActor, PlatformScope, Within};
use crate::authority::resource_access::{Access, AccessQuestion, access_of, access_of_platform};
use crate::authority::rights::AccessLevel;
use crate::base::attached::Attached;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::limits;
use crate::base::sql::statement;
use crate::base::text_enum::text_enum;
use crate::database::Transaction;
use crate::database::schema::resources;
use crate::resource::kind::ResourceKind;

text_enum! {
    /// Who can read a resource, besides those with whom it is shared.
    Visibility {
        /// Its owner, and the organization's owner and admins.
        Private = "private",
        /// Every member of the organization.
        Organization = "organization",
    }
}

/// A resource.
#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = resources)]
pub struct Resource {
    /// The resource's id.
    pub id: ResourceId,
    /// The organization that holds the resource and pays for it.
    pub organization_id: OrganizationId,
    /// The kind of resource.
    pub kind: ResourceKind,
    /// The name.
    pub name: String,
    /// The description.
    pub description: Option<String>,
    /// The owner.
    pub owner_id: UserId,
    /// The user who created it, which never changes.
    pub created_by_id: UserId,
    /// The container that it is in.
    pub container_id: Option<ResourceId>,
    /// Who can read it.
    pub visibility: Visibility,
    /// Its size in bytes.
    pub size_bytes: i64,
    /// When it was published, after which its organization can't change (R60).
    pub published_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// The platform's own id of it, unique per kind (R87).
    pub external_id: Option<String>,
    /// The platform's own noun for it.
    pub subtype: Option<String>,
}

/// The columns of a resource `r` that [`Resource`] reads. Those that may be large are read only where they are wanted.
pub(crate) const COLUMNS: &str = "r.id, r.organization_id, r.kind, r.name, r.description, r.owner_id, r.created_by_id, r.container_id, \
     r.visibility, r.size_bytes, r.published_at, r.created_at, r.updated_at, r.external_id, r.subtype";

/// The refusal for callers who may not know of a resource.
pub(crate) fn not_found(field: &str) -> Refusal {
    Refusal::new(Code::NotFound, field, "there is no such resource, or you can't reach it")
}

/// What a resource is locked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To change it.
    Change,
    /// To add something to it, which several transactions may do at the same time.
    Use,
}

/// Locks a resource that the actor wants to change, its containers, and the memberships that give the actor access to
/// it, and checks the actor's level.
///
/// Fails on `field` with NOT_FOUND if the actor can't reach the resource, with FORBIDDEN if their level is too low, and
/// with CONFLICT while the resource moves to another organization.
pub(crate) async fn reach(
    transaction: &mut Transaction,
    actor: &Actor,
    id: ResourceId,
    needed: AccessLevel,
    field: &str,
) -> Result<Resource> {
    reach_to(transaction, actor, id, needed, Purpose::Change, field).await
}

pub(crate) async fn reach_to(
    transaction: &mut Transaction,
    actor: &Actor,
    id: ResourceId,
    needed: AccessLevel,
    purpose: Purpose,
    field: &str,
) -> Result<Resource> {
    let reached = reach_each(transaction, actor, &[id], needed, purpose, field).await?.pop();
    Ok(reached.ok_or(Error::Bug("one id has one answer"))??)
}

statement! {
    /// The containers of resources, and the containers of those.
    struct LockContainers { containers: Array<SqlUuid> = Vec<ResourceId> } = "SELECT id FROM resources WHERE id = ANY (:containers) \
         OR id IN (SELECT container_id FROM resources WHERE id = ANY (:containers)) ORDER BY id FOR SHARE"
}

/// Like [`reach`], for several resources, in the order of `ids`. The number of statements is the same as for one.
async fn reach_each(
    transaction: &mut Transaction,
    actor: &Actor,
    ids: &[ResourceId],
    needed: AccessLevel,
    purpose: Purpose,
    field: &str,
) -> Result<Vec<std::result::Result<Resource, Refusal>>> {
    access::require_writing(actor, field)?;
    let asking = Asking::to_write(actor, field)?;
    asking.lock_sources(transaction, ids).await?;
    let query = resources::table.filter(resources::id.eq_any(ids)).order(resources::id).select(Resource::as_select());
    let locked: Vec<Resource> = match purpose {
        Purpose::Change => query.for_no_key_update().load(&mut **transaction).await?,
        Purpose::Use => query.for_share().load(&mut **transaction).await?,
    };
    let containers: Vec<ResourceId> = locked.iter().filter_map(|resource| resource.container_id).collect();
    if !containers.is_empty() {
        // The containers stay where they are, and can't be accepted for another organization meanwhile.
        let _: Vec<LockedRow> = LockContainers { containers }.query().load(&mut **transaction).await?;
        // Covers memberships through which the containers became accessible before they were locked.
        asking.lock_sources(transaction, ids).await?;
    }
    let found: Vec<ResourceId> = locked.iter().map(|resource| resource.id).collect();
    let access = asking.access(transaction, &found).await?;
    let mut locked: HashMap<ResourceId, Resource> =
        locked.into_iter().map(|resource| (resource.id, resource)).collect();
    let answer = |id: &ResourceId| {
        let resource = locked.remove(id).ok_or_else(|| not_found(field))?;
        let access = access.get(id).unwrap_or(&Access::NONE);
        match access.level {
            AccessLevel::None => Err(not_found(field)),
            level if level < needed && access.moving => {
                let message = "it is moving to another organization and read-only until it is there";
                Err(Refusal::new(Code::Conflict, field, message))
            }
            level if level < needed => {
                let [needed, has] = [needed, level].map(|level| level.as_str().to_uppercase());
                Err(Refusal::new(Code::Forbidden, field, format!("requires {needed}; you have {has}")))
            }
            _ => Ok(resource),
        }
    };
    Ok(ids.iter().map(answer).collect())
}

/// Who asks for access to resources.
enum Asking<'a> {
    /// A person, as far as they reach.
    Person(Reach),
    /// A platform key, which reaches everything in its organizations.
    Key(&'a PlatformActor),
    /// Nobody who reaches anything.
    Nobody,
}

impl<'a> Asking<'a> {
    fn to_read(actor: &'a Actor) -> Self {
        match actor {
            Actor::Platform(key) if key.scopes.has(PlatformScope::Read) => Self::Key(key),
            Actor::Platform(_) => Self::Nobody,
            Actor::User { .. }
            | Actor::ApiKey { .. }
            | Actor::Service { .. }
            | Actor::OnBehalf { .. }
            | Actor::Staff { .. } => actor.reach().map_or(Self::Nobody, Self::Person),
        }
    }

    /// To look at something that is to be changed. Fails with FORBIDDEN on `field` for platform keys without
    /// RESOURCES_WRITE.
    fn to_change(actor: &'a Actor, field: &str) -> Result<Self> {
        match actor {
            Actor::Platform(_) => Self::to_write(actor, field),
            Actor::User { .. }
            | Actor::ApiKey { .. }
            | Actor::Service { .. }
            | Actor::OnBehalf { .. }
            | Actor::Staff { .. } => Ok(Self::to_read(actor)),
        }
    }

    /// Fails with NOT_FOUND on `field` for actors that reach nothing, and with FORBIDDEN for platform keys without
    /// RESOURCES_WRITE.
    fn to_write(actor: &'a Actor, field: &str) -> Result<Self> {
        match actor {
            Actor::Platform(key) => {
                key.require(PlatformScope::ResourcesWrite, field)?;
                Ok(Self::Key(key))
            }
            Actor::User { .. }
            | Actor::ApiKey { .. }
            | Actor::Service { .. }
            | Actor::OnBehalf { .. }
            | Actor::Staff { .. } => Ok(Self::Person(actor.reach().ok_or_else(|| not_found(field))?)),
        }
    }

    /// Locks the memberships through which a person reaches the resources.
    async fn lock_sources(&self, transaction: &mut Transaction, ids: &[ResourceId]) -> Result<()> {
        match self {
            Self::Person(reach) => lock_sources(transaction, reach.user_id(), ids).await,
            Self::Key(_) | Self::Nobody => Ok(()),
        }
    }

    async fn access(
        &self,
        connection: &mut AsyncPgConnection,
        ids: &[ResourceId],
    ) -> Result<HashMap<ResourceId, Access>> {
        match self {
            Self::Person(reach) => {
                let questions: Vec<AccessQuestion> = ids.iter().map(|id| AccessQuestion::of(reach, *id)).collect();
                let access = access_of(connection, &questions).await?;
                Ok(access.into_iter().map(|(question, access)| (question.resource_id, access)).collect())
            }
            Self::Key(key) => {
                let access = access_of_platform(connection, ids).await?;
                let reached = access.into_iter().filter(|(_, (holder, _))| key.within.includes(*holder));
                Ok(reached.map(|(id, (_, access))| (id, access)).collect())
            }
            Self::Nobody => Ok(HashMap::new()),
        }
    }
}

statement! {
    struct LockSources<'a> {
        user_id: SqlUuid = UserId,
        resources: Array<SqlUuid> = &'a [ResourceId],
    } = include_str!("lock_sources.sql")
}

/// Locks the user's memberships `FOR SHARE` in the organizations of the resources, and in those with which the
/// resources or their containers are shared, so that nobody writes whose access is just ending.
async fn lock_sources(transaction: &mut Transaction, user_id: UserId, ids: &[ResourceId]) -> Result<()> {
    let _: Vec<LockedRow> = LockSources { user_id, resources: ids }.query().load(&mut **transaction).await?;
    Ok(())
}

#[derive(QueryableByName)]
struct LockedRow {
    #[expect(dead_code, reason = "the rows are locked, not read")]
    #[diesel(sql_type = SqlUuid)]
    id: uuid::Uuid,
}

/// Returns the resources with these ids without checking access, for callers who already reached them.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[ResourceId]) -> Result<Vec<Resource>> {
    Ok(resources::table.filter(resources::id.eq_any(ids)).select(Resource::as_select()).load(connection).await?)
}

/// Returns the actor's access to each of the resources, in one statement. Resources that are missing in the result
/// can't be reached.
pub async fn access(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: impl IntoIterator<Item = ResourceId>,
) -> Result<HashMap<ResourceId, Access>> {
    let ids: Vec<ResourceId> = ids.into_iter().collect();
    Asking::to_read(actor).access(connection, &ids).await
}

/// Returns the actor's level on each of the resources, in one statement. Resources that are missing in the result can't
/// be reached.
pub(crate) async fn levels(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: impl IntoIterator<Item = ResourceId>,
) -> Result<HashMap<ResourceId, AccessLevel>> {
    let access = access(connection, actor, ids).await?;
    Ok(access.into_iter().map(|(id, access)| (id, access.level)).collect())
}

/// Returns those of the objects attached to resources whose resource the actor reaches with the level that `needed`
/// gives.
async fn within_reach<T: Attached<Parent = ResourceId>>(
    connection: &mut AsyncPgConnection,
    asking: &Asking<'_>,
    found: Vec<T>,
    needed: impl Fn(&T) -> AccessLevel,
) -> Result<Vec<T>> {
    let ids: Vec<ResourceId> = found.iter().map(T::parent).collect();
    let access = asking.access(connection, &ids).await?;
    let is_reached = |one: &T| access.get(&one.parent()).is_some_and(|access| access.level >= needed(one));
    Ok(found.into_iter().filter(is_reached).collect())
}

/// Returns those of the resources that the actor can reach.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[ResourceId],
) -> Result<Vec<Resource>> {
    let levels = levels(connection, actor, ids.iter().copied()).await?;
    let reached = |id: ResourceId| levels.get(&id).is_some_and(|level| *level > AccessLevel::None);
    Ok(by_ids(connection, ids).await?.into_iter().filter(|resource| reached(resource.id)).collect())
}

/// Returns what a user may do with resources, in the order of `ids`, if the actor may know that: staff and platform
/// keys with ACCESS_CHECK for everything that they reach, a service key for what its organization holds, and users for
/// themselves. Everything else is NONE.
///
/// Asking about no resources, or about more than [`limits::MAX_NODES`], is a bad request.
pub async fn access_for(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    user_id: UserId,
    ids: &[ResourceId],
) -> Result<Vec<AccessLevel>> {
    if ids.is_empty() || ids.len() > limits::MAX_NODES {
        return Err(Error::BadRequest(format!("`resourceIds` must be 1 to {}", limits::MAX_NODES)));
    }
    let within = match actor {
        Actor::Staff { .. } => Some(Within::All),
        Actor::Service { organization_id, .. } => Some(Within::only([*organization_id])),
        Actor::Platform(key) => key.scopes.has(PlatformScope::AccessCheck).then(|| key.within.clone()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::OnBehalf { .. } => {
            actor.reach().filter(|reach| reach.user_id() == user_id).map(|reach| reach.within().clone())
        }
    };
    let Some(within) = within else { return Ok(vec![AccessLevel::None; ids.len()]) };
    let question = |id: &ResourceId| AccessQuestion { user_id, resource_id: *id, within: within.clone() };
    let questions: Vec<AccessQuestion> = ids.iter().map(question).collect();
    let access = access_of(connection, &questions).await?;
    Ok(questions.iter().map(|question| access.get(question).unwrap_or(&Access::NONE).level).collect())
}
