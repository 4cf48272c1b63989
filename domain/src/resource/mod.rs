//! Resources: the work that organizations hold, with a creator for good and an owner who can change (D8).

pub mod change;
pub mod collection;
pub mod creation;
pub mod grant;
pub mod grantee;
pub mod kind;
pub mod list;
mod list_statement;
pub mod run;
pub mod share_link;
mod storage;
pub mod transfer;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::access;
use crate::authority::actor::{Actor, Reach};
use crate::authority::resource_access::{Access, AccessQuestion, access_of};
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
    /// Who reads a resource beside those it is shared with.
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
    /// Its id.
    pub id: ResourceId,
    /// Holds it and pays for it.
    pub organization_id: OrganizationId,
    /// What it is.
    pub kind: ResourceKind,
    /// What it is called.
    pub name: String,
    /// More about it.
    pub description: Option<String>,
    /// Whose it is.
    pub owner_id: UserId,
    /// Who made it; never changes.
    pub created_by_id: UserId,
    /// What it lies in.
    pub container_id: Option<ResourceId>,
    /// Who reads it.
    pub visibility: Visibility,
    /// Its size in bytes.
    pub size_bytes: i64,
    /// Since when its organization can't change (R60).
    pub published_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// What those get who may not know of a resource.
pub(crate) fn not_found(field: &str) -> Refusal {
    Refusal::new(Code::NotFound, field, "there is no such resource, or you can't reach it")
}

/// What a resource is locked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To change it.
    Change,
    /// To add something to it: many may at once.
    Use,
}

/// Locks the memberships that give the actor access to a resource, the resource, and what it lies in, for an actor who
/// has the level on it and will change it.
///
/// NOT_FOUND on `field` for those who can't reach it, FORBIDDEN for those whose level is too low, and CONFLICT while it
/// moves to another organization.
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
    /// What resources lie in, with what that lies in.
    struct LockContainers { containers: Array<SqlUuid> = Vec<ResourceId> } = "SELECT id FROM resources WHERE id = ANY (:containers) \
         OR id IN (SELECT container_id FROM resources WHERE id = ANY (:containers)) ORDER BY id FOR SHARE"
}

/// Like [`reach`], for each of the ids, in their order: as many statements for many as for one.
async fn reach_each(
    transaction: &mut Transaction,
    actor: &Actor,
    ids: &[ResourceId],
    needed: AccessLevel,
    purpose: Purpose,
    field: &str,
) -> Result<Vec<std::result::Result<Resource, Refusal>>> {
    access::require_writing(actor, field)?;
    let reach = actor.reach().ok_or_else(|| not_found(field))?;
    lock_sources(transaction, reach.user_id(), ids).await?;
    let query = resources::table.filter(resources::id.eq_any(ids)).order(resources::id).select(Resource::as_select());
    let locked: Vec<Resource> = match purpose {
        Purpose::Change => query.for_no_key_update().load(&mut **transaction).await?,
        Purpose::Use => query.for_share().load(&mut **transaction).await?,
    };
    let containers: Vec<ResourceId> = locked.iter().filter_map(|resource| resource.container_id).collect();
    if !containers.is_empty() {
        // What they lie in stays where it is, and isn't accepted for another organization meanwhile.
        let _: Vec<LockedRow> = LockContainers { containers }.query().load(&mut **transaction).await?;
        // By what they may have come into before they were locked.
        lock_sources(transaction, reach.user_id(), ids).await?;
    }
    let question = |id: ResourceId| AccessQuestion::of(reach, id);
    let questions: Vec<AccessQuestion> = locked.iter().map(|resource| question(resource.id)).collect();
    let access = access_of(transaction, &questions).await?;
    let mut locked: HashMap<ResourceId, Resource> =
        locked.into_iter().map(|resource| (resource.id, resource)).collect();
    let answer = |id: &ResourceId| {
        let resource = locked.remove(id).ok_or_else(|| not_found(field))?;
        let access = access.get(&question(*id)).unwrap_or(&Access::NONE);
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

statement! {
    struct LockSources<'a> {
        user_id: SqlUuid = UserId,
        resources: Array<SqlUuid> = &'a [ResourceId],
    } = include_str!("lock_sources.sql")
}

/// Locks, shared, the user's memberships in the resources' organizations and in those that they, or what they lie in,
/// are shared with: nothing is written by someone whose access is just ending.
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

/// The resources of the ids, whoever asks: for what already led to them.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[ResourceId]) -> Result<Vec<Resource>> {
    Ok(resources::table.filter(resources::id.eq_any(ids)).select(Resource::as_select()).load(connection).await?)
}

/// How much the actor reaches of each of the resources, in one statement; what isn't there is nothing.
pub(crate) async fn levels(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: impl IntoIterator<Item = ResourceId>,
) -> Result<HashMap<ResourceId, AccessLevel>> {
    let Some(reach) = actor.reach() else { return Ok(HashMap::new()) };
    let questions: Vec<AccessQuestion> = ids.into_iter().map(|id| AccessQuestion::of(reach, id)).collect();
    let access = access_of(connection, &questions).await?;
    Ok(access.into_iter().map(|(question, access)| (question.resource_id, access.level)).collect())
}

/// Those of what hangs on resources whose resource the actor reaches at the level that each needs.
async fn within_reach<T: Attached<Parent = ResourceId>>(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    found: Vec<T>,
    needed: impl Fn(&T) -> AccessLevel,
) -> Result<Vec<T>> {
    let levels = levels(connection, actor, found.iter().map(T::parent)).await?;
    let is_reached = |one: &T| levels.get(&one.parent()).is_some_and(|level| *level >= needed(one));
    Ok(found.into_iter().filter(is_reached).collect())
}

/// Those of the ids that the actor can reach.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[ResourceId],
) -> Result<Vec<Resource>> {
    let levels = levels(connection, actor, ids.iter().copied()).await?;
    let reached = |id: ResourceId| levels.get(&id).is_some_and(|level| *level > AccessLevel::None);
    Ok(by_ids(connection, ids).await?.into_iter().filter(|resource| reached(resource.id)).collect())
}

/// What a user may do with resources, in the order asked, for who may know that: staff, a service key as far as its
/// organization holds them, and the user themselves. NONE for anything else.
///
/// Asking for none, or for more than [`limits::MAX_NODES`], is a bad request.
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
        Actor::Staff { .. } => Some(None),
        Actor::Service { organization_id, .. } => Some(Some(*organization_id)),
        Actor::User { .. } | Actor::ApiKey { .. } => {
            actor.reach().filter(|reach| reach.user_id() == user_id).map(Reach::only)
        }
    };
    let Some(within) = within else { return Ok(vec![AccessLevel::None; ids.len()]) };
    let question = |id: &ResourceId| AccessQuestion { user_id, resource_id: *id, within };
    let questions: Vec<AccessQuestion> = ids.iter().map(question).collect();
    let access = access_of(connection, &questions).await?;
    Ok(questions.iter().map(|question| access.get(question).unwrap_or(&Access::NONE).level).collect())
}
