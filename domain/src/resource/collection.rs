//! Collections: resources that people gather from anywhere in the organization (R73).

use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::rights::AccessLevel;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::ResourceId;
use crate::base::limits;
use crate::database::schema::{collection_items, resources};
use crate::database::{Database, Transaction, now};
use crate::resource::{Purpose, Resource, reach, reach_each};

/// Adds resources to a collection, all or none. This requires CONTRIBUTE on the collection, and ADMINISTER on each
/// resource, since everybody who reaches the collection can read them from then on. Resources that are already in it
/// stay in it.
pub async fn add_to_collection(
    database: &Database,
    actor: &Actor,
    collection_id: ResourceId,
    ids: &[ResourceId],
) -> Result<Resource> {
    let ids = require_some(ids)?;
    database
        .transaction(async |transaction| {
            let collection = enter(transaction, actor, collection_id).await?;
            let (needed, field) = (AccessLevel::Administer, "resourceIds");
            let reached = reach_each(transaction, actor, &ids, needed, Purpose::Change, field).await?;
            let mut items = Vec::new();
            for (id, reached) in ids.iter().zip(reached) {
                let item =
                    reached.map_err(|refusal| Refusal { message: format!("{id}: {}", refusal.message), ..refusal })?;
                if item.organization_id != collection.organization_id {
                    let message = format!("{id} lies in another organization than the collection");
                    return Err(Error::refused(Code::Invalid, field, message));
                }
                if !item.kind.is_gathered() {
                    let message = format!("{id} is {}, which a collection doesn't gather", item.kind.with_article());
                    return Err(Error::refused(Code::Invalid, field, message));
                }
                items.push(item);
            }
            let at = now(transaction).await?;
            let items: Vec<_> = items
                .iter()
                .map(|item| {
                    (
                        collection_items::organization_id.eq(item.organization_id),
                        collection_items::collection_id.eq(collection_id),
                        collection_items::resource_id.eq(item.id),
                        collection_items::kind.eq(item.kind),
                        collection_items::added_at.eq(at),
                    )
                })
                .collect();
            diesel::insert_into(collection_items::table)
                .values(items)
                .on_conflict_do_nothing()
                .execute(&mut **transaction)
                .await?;
            let gathered: i64 = collection_items::table
                .filter(collection_items::collection_id.eq(collection_id))
                .count()
                .get_result(&mut **transaction)
                .await?;
            if gathered > limits::MAX_COLLECTION_ITEMS {
                let message = format!(
                    "a collection gathers at most {} resources; begin another one",
                    limits::MAX_COLLECTION_ITEMS
                );
                return Err(Error::refused(Code::TooMany, "collectionId", message));
            }
            // The resources are locked, so that nobody else adds them to a collection meanwhile.
            let crowded: Option<ResourceId> = collection_items::table
                .filter(collection_items::resource_id.eq_any(&ids))
                .group_by(collection_items::resource_id)
                .having(count_star().gt(limits::MAX_COLLECTIONS_OF_ITEM))
                .select(collection_items::resource_id)
                .first(&mut **transaction)
                .await
                .optional()?;
            if let Some(id) = crowded {
                let message = format!(
                    "{id} is in {} collections already; take it out of one of them first",
                    limits::MAX_COLLECTIONS_OF_ITEM
                );
                return Err(Error::refused(Code::TooMany, "resourceIds", message));
            }
            let event = event(actor, &collection, AuditAction::CollectionItemsAdded, "added to a collection", &ids);
            audit::record(transaction, [event]).await?;
            Ok(collection)
        })
        .await
}

/// Removes resources from a collection. This requires CONTRIBUTE on the collection, or ADMINISTER on each of the
/// resources, so that people can take what is theirs out of somebody else's collection. Resources that aren't in it are
/// ignored.
pub async fn remove_from_collection(
    database: &Database,
    actor: &Actor,
    collection_id: ResourceId,
    ids: &[ResourceId],
) -> Result<Resource> {
    let ids = require_some(ids)?;
    database
        .transaction(async |transaction| {
            let collection = match enter(transaction, actor, collection_id).await {
                Err(Error::Refused(refusals)) => {
                    let theirs = gathering_theirs(transaction, actor, collection_id, &ids).await?;
                    theirs.ok_or(Error::Refused(refusals))?
                }
                entered => entered?,
            };
            let mut removed: Vec<ResourceId> = diesel::delete(
                collection_items::table
                    .filter(collection_items::collection_id.eq(collection_id))
                    .filter(collection_items::resource_id.eq_any(&ids)),
            )
            .returning(collection_items::resource_id)
            .get_results(&mut **transaction)
            .await?;
            if removed.is_empty() {
                return Err(Error::refused(Code::NotFound, "resourceIds", "the collection holds none of these"));
            }
            removed.sort_unstable();
            let event =
                event(actor, &collection, AuditAction::CollectionItemsRemoved, "took out of a collection", &removed);
            audit::record(transaction, [event]).await?;
            Ok(collection)
        })
        .await
}

/// Returns the collection, even if the actor can't reach it, if it contains some of the resources and the actor
/// administers all of them.
async fn gathering_theirs(
    transaction: &mut Transaction,
    actor: &Actor,
    collection_id: ResourceId,
    ids: &[ResourceId],
) -> Result<Option<Resource>> {
    let reached = reach_each(transaction, actor, ids, AccessLevel::Administer, Purpose::Change, "resourceIds").await?;
    if reached.iter().any(std::result::Result::is_err) {
        return Ok(None);
    }
    let gathers = collection_items::table
        .filter(collection_items::collection_id.eq(collection_id))
        .filter(collection_items::resource_id.eq_any(ids));
    Ok(resources::table
        .find(collection_id)
        .filter(diesel::dsl::exists(gathers))
        .select(Resource::as_select())
        .for_key_share()
        .first(&mut **transaction)
        .await
        .optional()?)
}

fn require_some(ids: &[ResourceId]) -> Result<Vec<ResourceId>> {
    let mut ids = ids.to_vec();
    // The ids are sorted, so that concurrent transactions that add the same resources wait for each other instead of
    // deadlocking.
    ids.sort_unstable();
    ids.dedup();
    match ids.len() {
        0 => Err(Error::refused(Code::Blank, "resourceIds", "name at least one resource")),
        1..=limits::MAX_COLLECTED => Ok(ids),
        _ => {
            let message = format!("must be at most {} at once", limits::MAX_COLLECTED);
            Err(Error::refused(Code::TooMany, "resourceIds", message))
        }
    }
}

/// Locks a collection that the actor may change.
async fn enter(transaction: &mut Transaction, actor: &Actor, id: ResourceId) -> Result<Resource> {
    let collection = reach(transaction, actor, id, AccessLevel::Contribute, "collectionId").await?;
    match collection.kind {
        crate::resource::kind::ResourceKind::Collection => Ok(collection),
        other => {
            let message = format!("this is {}, not a collection", other.with_article());
            Err(Error::refused(Code::Invalid, "collectionId", message))
        }
    }
}

fn event(actor: &Actor, collection: &Resource, action: AuditAction, what: &str, ids: &[ResourceId]) -> NewEvent {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    NewEvent::by(actor, collection.organization_id, action, collection.id)
        .summary(format!("{what}: {} resource(s)", ids.len()))
        .with(json!({ "resourceIds": ids }))
}
