//! Deleting resources, one or many at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;
use serde_json::json;

use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::PlatformScope;
use crate::authority::rights::AccessLevel;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::limits;
use crate::base::sql::statement;
use crate::base::upsert::{self, ItemRefusals};
use crate::database::schema::{grants, resources};
use crate::database::{Database, Transaction};
use crate::membership::collaborator;
use crate::resource::resource_ref::{self, ResourceRef};
use crate::resource::{self, COLUMNS, Purpose, Resource, storage};

/// The input field with the resources to delete.
const LIST: &str = "resources";

/// Deletes a resource. This requires ADMINISTER on it, and that it contains nothing. Collaborators to whom nothing else
/// in the organization is granted leave its teams.
pub async fn delete(database: &Database, actor: &Actor, id: ResourceId) -> Result<ResourceId> {
    database
        .transaction(async |transaction| {
            let resource = resource::reach(transaction, actor, id, AccessLevel::Administer, "id").await?;
            let kind = resource.kind;
            lock_all(transaction, &[id]).await?;
            match remove(transaction, actor, &[resource], "id").await {
                Err(error) if error.constraint() == Some("resources_container_fkey") => {
                    let message = format!("something lies in this {}; delete that, or move it first", kind.label());
                    Err(Error::refused(Code::Conflict, "id", message))
                }
                outcome => outcome.map(|()| id),
            }
        })
        .await
}

/// Deletes resources, for platform keys with RESOURCES_WRITE, and if `recursive`, what lies in them. Returns how many
/// of those that were named, and of those that lay in them, are gone. Those that aren't there count as deleted (R88).
///
/// # Errors
///
/// FORBIDDEN, BLANK or TOO_MANY on `resources`. For each item: INVALID if it is named twice; NOT_FOUND if an
/// organization holds it that the key doesn't reach; CONFLICT if something lies in it, or while it moves to another
/// organization.
pub async fn delete_all(database: &Database, actor: &Actor, named: &[ResourceRef], recursive: bool) -> Result<usize> {
    actor.require_scope(PlatformScope::ResourcesWrite, LIST)?;
    upsert::require_number(LIST, named.len(), limits::MAX_UPSERTED_RESOURCES)?;
    let mut refusals = ItemRefusals::of(LIST);
    refusals.repeated("", named.iter().enumerate());
    refusals.none()?;
    database
        .transaction(async |transaction| {
            let found = resource_ref::resolve(transaction, named).await?;
            // An id and the platform's own id may name the same.
            let ids: BTreeSet<ResourceId> = found.values().map(|(id, _)| *id).collect();
            let ids: Vec<ResourceId> = ids.into_iter().collect();
            let reached =
                resource::reach_each(transaction, actor, &ids, AccessLevel::Administer, Purpose::Change, "").await?;
            let mut reached: BTreeMap<ResourceId, Result<Resource, Refusal>> =
                ids.iter().copied().zip(reached).collect();
            let mut refusals = ItemRefusals::of(LIST);
            let mut gone: Vec<Resource> = Vec::new();
            for (position, name) in named.iter().enumerate() {
                match found.get(name).and_then(|(id, _)| reached.remove(id)) {
                    Some(Ok(resource)) => gone.push(resource),
                    // R85: what the key isn't limited to.
                    Some(Err(refusal)) if refusal.code == Code::NotFound => refusals.add(position, name.not_found()),
                    Some(Err(refusal)) => refusals.add(position, refusal),
                    None => {}
                }
            }
            let absent = named.len() - gone.len();
            let contents = contents_of(transaction, &gone).await?;
            if !recursive && !contents.is_empty() {
                let full: HashSet<ResourceId> = contents.iter().filter_map(|content| content.container_id).collect();
                for (position, name) in named.iter().enumerate() {
                    if found.get(name).is_some_and(|(id, _)| full.contains(id)) {
                        let message = "something lies in it; delete that too, or ask for `recursive`";
                        refusals.add(position, Refusal::new(Code::Conflict, "", message));
                    }
                }
            }
            refusals.none()?;
            gone.extend(contents);
            remove(transaction, actor, &gone, LIST).await?;
            Ok(absent + gone.len())
        })
        .await
}

statement! {
    /// What lies in these resources, at any depth, with themselves.
    struct Tree<'a> {
        roots: Array<SqlUuid> = &'a [ResourceId],
        most: BigInt = i64,
    } = "WITH RECURSIVE tree AS ( \
           SELECT id FROM unnest(:roots) AS root (id) \
           UNION SELECT r.id FROM tree JOIN resources r ON r.container_id = tree.id) \
         SELECT id FROM tree LIMIT :most"
}

statement! {
    /// What lies in the containers, and isn't one of these resources, locked.
    struct LockContents<'a> {
        containers: Array<SqlUuid> = &'a [ResourceId],
        known: Array<SqlUuid> = &'a [ResourceId],
        most: BigInt = i64,
    } = format!(
        "SELECT {COLUMNS} FROM resources r WHERE r.container_id = ANY (:containers) AND r.id <> ALL (:known) \
         ORDER BY r.id LIMIT :most FOR UPDATE OF r"
    )
}

/// What lies in the resources besides themselves, at any depth, locked. At most two containers lie above a resource.
async fn contents_of(transaction: &mut Transaction, containers: &[Resource]) -> Result<Vec<Resource>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        id: ResourceId,
    }
    let mut known: Vec<ResourceId> = containers.iter().map(|resource| resource.id).collect();
    // Everything is locked at once, in the order in which others lock resources. Nothing is put into what is locked.
    // With twice the limit, it is clear that they are too many.
    let most = 2 * limits::MAX_DELETED_CONTENTS;
    let tree: Vec<Row> = Tree { roots: &known, most }.query().load(&mut **transaction).await?;
    let tree: Vec<ResourceId> = tree.into_iter().map(|row| row.id).collect();
    lock_all(transaction, &tree).await?;
    let mut contents: Vec<Resource> = Vec::new();
    let mut above = known.clone();
    for _ in 0..2 {
        let most = limits::MAX_DELETED_CONTENTS + 1;
        let lock = LockContents { containers: &above, known: &known, most };
        let found: Vec<Resource> = lock.query().load(&mut **transaction).await?;
        above = found.iter().map(|resource| resource.id).collect();
        known.extend(&above);
        contents.extend(found);
        if i64::try_from(contents.len()).is_ok_and(|number| number > limits::MAX_DELETED_CONTENTS) {
            let message = format!("more than {} resources lie in these; delete some of them first", most - 1);
            return Err(Error::refused(Code::TooMany, LIST, message));
        }
    }
    Ok(contents)
}

/// Locks resources so that no grant on them is created until the transaction ends, not even by somebody who takes up an
/// invitation.
async fn lock_all(transaction: &mut Transaction, ids: &[ResourceId]) -> Result<()> {
    let lock = resources::table.filter(resources::id.eq_any(ids)).order(resources::id).select(resources::id);
    let _: Vec<ResourceId> = lock.for_update().load(&mut **transaction).await?;
    Ok(())
}

/// Deletes resources that are locked, with the grants on them. `field` is the input field that named them.
async fn remove(transaction: &mut Transaction, actor: &Actor, gone: &[Resource], field: &str) -> Result<()> {
    let ids: Vec<ResourceId> = gone.iter().map(|resource| resource.id).collect();
    let granted: Vec<(OrganizationId, UserId)> = grants::table
        .filter(grants::resource_id.eq_any(&ids))
        .filter(grants::outside)
        .select((grants::organization_id, grants::user_id.assume_not_null()))
        .distinct()
        .load(&mut **transaction)
        .await?;
    diesel::delete(resources::table.filter(resources::id.eq_any(&ids))).execute(&mut **transaction).await?;
    let mut freed: BTreeMap<OrganizationId, Decimal> = BTreeMap::new();
    let mut alike: BTreeMap<(OrganizationId, &str, UserId), Vec<&Resource>> = BTreeMap::new();
    for resource in gone {
        *freed.entry(resource.organization_id).or_default() += Decimal::from(resource.size_bytes);
        let key = (resource.organization_id, resource.kind.as_str(), resource.owner_id);
        alike.entry(key).or_default().push(resource);
    }
    let mut events: Vec<NewEvent> = Vec::new();
    for (key, alike) in &alike {
        events.extend(alike.chunks(limits::IDS_OF_EVENT).map(|chunk| deleted(actor, key, chunk)));
    }
    for (organization_id, bytes) in freed {
        storage::change(transaction, organization_id, -bytes, field).await?;
        let outside: Vec<UserId> =
            granted.iter().filter(|(holder, _)| *holder == organization_id).map(|(_, user_id)| *user_id).collect();
        events.extend(collaborator::leave_teams(transaction, organization_id, &outside).await?);
    }
    audit::record(transaction, events).await
}

fn deleted(
    actor: &Actor,
    (organization_id, kind, owner): &(OrganizationId, &str, UserId),
    chunk: &[&Resource],
) -> NewEvent {
    let ids: Vec<String> = chunk.iter().map(|resource| resource.id.to_string()).collect();
    let metadata = json!({ "kind": kind, "resourceIds": ids, "owner": owner.to_string() });
    match chunk {
        [resource] => NewEvent::by(actor, *organization_id, AuditAction::ResourceDeleted, resource.id)
            .summary(format!("deleted {}", resource.kind.with_article())),
        _ => NewEvent::by(actor, *organization_id, AuditAction::ResourceDeleted, *organization_id)
            .summary(format!("deleted {} resource(s) of {owner}", ids.len())),
    }
    .with(metadata)
}
