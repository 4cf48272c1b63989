//! Bringing in a platform's resources, many at once: found by their kind and the platform's own ids, all or none, and
//! the same call again changes nothing (R87, R88).

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::account::user;
use crate::account::user_ref::{self, UserRef};
use crate::authority::access::{self, Lock};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::PlatformScope;
use crate::authority::platform_data;
use crate::authority::rights::Action;
use crate::authority::suspension::Suspension;
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::sql::statement;
use crate::base::upsert::{self, ItemRefusals, UpsertOutcome};
use crate::base::{limits, text};
use crate::database::{Database, Transaction, now};
use crate::membership::member;
use crate::resource::kind::ResourceKind;
use crate::resource::resource_ref::{self, ResourceRef};
use crate::resource::{COLUMNS, Resource, Visibility, creation, storage};

/// The name of the list in the API.
const LIST: &str = "resources";

/// A resource to make or to change. What is `None` stays as it is, and `Some(None)` clears it.
#[derive(Debug, Clone)]
pub struct ResourceUpsert {
    /// The kind, which never changes.
    pub kind: ResourceKind,
    /// The platform's own id.
    pub external_id: String,
    /// The name; needed for a new resource.
    pub name: Option<String>,
    /// The description.
    pub description: Option<Option<String>>,
    /// The platform's own noun.
    pub subtype: Option<Option<String>>,
    /// The owner, an active member; needed for a new resource, and only looked at there.
    pub owner: Option<UserRef>,
    /// The container, which may be in the same list.
    pub container: Option<Option<ResourceRef>>,
    /// Who can read it.
    pub visibility: Option<Visibility>,
    /// The size in bytes.
    pub size_bytes: Option<i64>,
    /// What the platform attaches to it.
    pub metadata: Option<Option<Value>>,
    /// When it was created, for a new resource. `None` for now.
    pub created_at: Option<DateTime<Utc>>,
}

/// An item whose texts are in canonical form.
struct Parsed {
    name: Option<String>,
    description: Option<Option<String>>,
    subtype: Option<Option<String>>,
    metadata: Option<Option<Value>>,
}

/// A resource that was there before, locked.
#[derive(QueryableByName)]
struct Existing {
    #[diesel(embed)]
    resource: Resource,
    #[diesel(sql_type = Bool)]
    moving: bool,
    #[diesel(sql_type = Nullable<Jsonb>)]
    metadata: Option<Value>,
}

statement! {
    struct LockNamed {
        external_ids: Array<Text> = Vec<String>,
        kinds: Array<Text> = Vec<ResourceKind>,
    } = format!(
        "SELECT {COLUMNS}, r.moving, r.metadata FROM unnest(:external_ids, :kinds) AS n (external_id, kind) \
         JOIN resources r ON r.external_id = n.external_id AND r.kind = n.kind ORDER BY r.id FOR NO KEY UPDATE OF r"
    )
}

/// A container that isn't in the list itself.
#[derive(Clone, QueryableByName)]
struct Container {
    #[diesel(sql_type = SqlUuid)]
    id: ResourceId,
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = Text)]
    kind: ResourceKind,
    #[diesel(sql_type = Bool)]
    moving: bool,
}

statement! {
    /// The containers, and those above them, which stay where they are until the transaction ends.
    struct LockContainers { ids: Array<SqlUuid> = Vec<ResourceId> } =
        "SELECT r.id, r.organization_id, r.kind, r.moving FROM resources r WHERE r.id = ANY (:ids) \
         OR r.id IN (SELECT c.container_id FROM resources c WHERE c.id = ANY (:ids)) ORDER BY r.id FOR SHARE OF r"
}

statement! {
    struct InsertAll {
        organization_id: SqlUuid = OrganizationId,
        at: Timestamptz = DateTime<Utc>,
        ids: Array<SqlUuid> = Vec<ResourceId>,
        kinds: Array<Text> = Vec<ResourceKind>,
        names: Array<Text> = Vec<String>,
        folded_names: Array<Text> = Vec<String>,
        descriptions: Array<Nullable<Text>> = Vec<Option<String>>,
        owners: Array<SqlUuid> = Vec<UserId>,
        containers: Array<Nullable<SqlUuid>> = Vec<Option<ResourceId>>,
        visibilities: Array<Text> = Vec<Visibility>,
        sizes: Array<BigInt> = Vec<i64>,
        created: Array<Nullable<Timestamptz>> = Vec<Option<DateTime<Utc>>>,
        external_ids: Array<Text> = Vec<String>,
        subtypes: Array<Nullable<Text>> = Vec<Option<String>>,
        metadata: Array<Nullable<Jsonb>> = Vec<Option<Value>>,
    } = format!(include_str!("bulk_insert.sql"), columns = COLUMNS)
}

statement! {
    struct UpdateAll {
        at: Timestamptz = DateTime<Utc>,
        ids: Array<SqlUuid> = Vec<ResourceId>,
        names: Array<Text> = Vec<String>,
        folded_names: Array<Text> = Vec<String>,
        descriptions: Array<Nullable<Text>> = Vec<Option<String>>,
        containers: Array<Nullable<SqlUuid>> = Vec<Option<ResourceId>>,
        visibilities: Array<Text> = Vec<Visibility>,
        sizes: Array<BigInt> = Vec<i64>,
        subtypes: Array<Nullable<Text>> = Vec<Option<String>>,
        metadata: Array<Nullable<Jsonb>> = Vec<Option<Value>>,
    } = format!(include_str!("bulk_update.sql"), columns = COLUMNS)
}

/// What the list names, as it is in the database.
struct Known {
    existing: HashMap<(ResourceKind, String), Existing>,
    owners: HashMap<UserRef, UserId>,
    /// Those of the owners whose accounts are suspended.
    suspended: HashMap<UserId, Suspension>,
    active: HashSet<UserId>,
    containers: HashMap<ResourceRef, Container>,
}

/// What becomes of an item.
enum Planned {
    Insert { id: ResourceId, owner_id: UserId, name: String, container_id: Option<ResourceId> },
    Update { name: String, container_id: Option<ResourceId> },
    Nothing,
}

/// Makes and changes resources of an organization, for platform keys with RESOURCES_WRITE. Returns each with what
/// became of it, in the order of the list.
///
/// # Errors
///
/// On `organization`: NOT_FOUND, FORBIDDEN. BLANK, TOO_MANY or QUOTA_EXCEEDED on `resources`. For each item: INVALID,
/// BLANK or TOO_LONG; EXTERNAL_ID_TAKEN if another organization has it; NOT_FOUND on `owner` and `container`; SUSPENDED
/// on `owner`; CONFLICT while the resource or its container moves to another organization.
pub async fn upsert(
    database: &Database,
    actor: &Actor,
    organization_id: OrganizationId,
    items: &[ResourceUpsert],
) -> Result<Vec<(Resource, UpsertOutcome)>> {
    let parsed = check(actor, items)?;
    upsert::again_if_raced(|| {
        database.transaction(async |transaction| write(transaction, actor, organization_id, items, &parsed).await)
    })
    .await
}

/// Like [`upsert`], in a transaction of the caller's.
pub(crate) async fn upsert_within(
    transaction: &mut Transaction,
    actor: &Actor,
    organization_id: OrganizationId,
    items: &[ResourceUpsert],
) -> Result<Vec<(Resource, UpsertOutcome)>> {
    let parsed = check(actor, items)?;
    write(transaction, actor, organization_id, items, &parsed).await
}

fn check(actor: &Actor, items: &[ResourceUpsert]) -> Result<Vec<Parsed>> {
    actor.require_scope(PlatformScope::ResourcesWrite, "organization")?;
    upsert::require_number(LIST, items.len(), limits::MAX_UPSERTED_RESOURCES)?;
    parse(items)
}

fn parse(items: &[ResourceUpsert]) -> Result<Vec<Parsed>> {
    let mut refusals = ItemRefusals::of(LIST);
    refusals.repeated(
        "externalId",
        items.iter().enumerate().map(|(position, item)| (position, (item.kind, item.external_id.as_str()))),
    );
    let mut parsed = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        refusals.keep(position, platform_data::external_id("externalId", &item.external_id));
        let name = item.name.as_deref().map(|name| creation::parse_name(item.kind, name)).transpose();
        let description = item
            .description
            .as_ref()
            .map(|text| text::optional_text("description", text.as_deref(), limits::DESCRIPTION));
        let subtype = item.subtype.as_ref().map(|text| platform_data::subtype("subtype", text.as_deref()));
        let metadata = item.metadata.as_ref().map(|data| platform_data::metadata("metadata", data.as_ref()));
        if item.size_bytes.is_some_and(|bytes| bytes < 0) {
            refusals.add(position, Refusal::new(Code::Invalid, "sizeBytes", "must not be negative"));
        }
        parsed.push(Parsed {
            name: refusals.keep(position, name).flatten(),
            description: refusals.keep(position, description.transpose()).flatten(),
            subtype: refusals.keep(position, subtype.transpose()).flatten(),
            metadata: refusals.keep(position, metadata.transpose()).flatten(),
        });
    }
    refusals.none()?;
    Ok(parsed)
}

impl Known {
    async fn load(
        transaction: &mut Transaction,
        organization_id: OrganizationId,
        items: &[ResourceUpsert],
    ) -> Result<Self> {
        let named: Vec<UserRef> = items.iter().filter_map(|item| item.owner.clone()).collect();
        let owners = user_ref::resolve(transaction, &named).await?;
        // Owners stay members until the transaction ends.
        let ids: HashSet<UserId> = owners.values().copied().collect();
        let ids: Vec<UserId> = ids.into_iter().collect();
        let active = member::lock_active(transaction, organization_id, &ids).await?;
        let active: Vec<UserId> = active.into_keys().collect();
        let lock = LockNamed {
            external_ids: items.iter().map(|item| item.external_id.clone()).collect(),
            kinds: items.iter().map(|item| item.kind).collect(),
        };
        let existing: Vec<Existing> = lock.query().load(&mut **transaction).await?;
        let key = |found: &Existing| (found.resource.kind, found.resource.external_id.clone().unwrap_or_default());
        let existing: HashMap<_, _> = existing.into_iter().map(|found| (key(&found), found)).collect();
        let listed: HashSet<(ResourceKind, &str)> =
            items.iter().map(|item| (item.kind, item.external_id.as_str())).collect();
        let is_elsewhere = |named: &ResourceRef| match named {
            ResourceRef::External(kind, id) => !listed.contains(&(*kind, id.as_str())),
            ResourceRef::Id(_) => true,
        };
        let named: Vec<ResourceRef> =
            items.iter().filter_map(|item| item.container.clone().flatten()).filter(is_elsewhere).collect();
        let resolved = resource_ref::resolve(transaction, &named).await?;
        let ids: Vec<ResourceId> = resolved.values().map(|(id, _)| *id).collect();
        let locked: Vec<Container> = match ids.is_empty() {
            true => Vec::new(),
            false => LockContainers { ids }.query().load(&mut **transaction).await?,
        };
        let locked: HashMap<ResourceId, Container> =
            locked.into_iter().map(|container| (container.id, container)).collect();
        let mut containers = HashMap::new();
        for (named, (id, _)) in resolved {
            if let Some(container) = locked.get(&id) {
                containers.insert(named, container.clone());
            }
        }
        let suspended = user::suspended_among(transaction, &active).await?;
        Ok(Self { existing, owners, suspended, active: active.into_iter().collect(), containers })
    }

    fn existing(&self, item: &ResourceUpsert) -> Option<&Existing> {
        self.existing.get(&(item.kind, item.external_id.clone()))
    }
}

async fn write(
    transaction: &mut Transaction,
    actor: &Actor,
    organization_id: OrganizationId,
    items: &[ResourceUpsert],
    parsed: &[Parsed],
) -> Result<Vec<(Resource, UpsertOutcome)>> {
    // For workspaces, the organization is locked, so that their limit is exact.
    let lock = match items.iter().any(|item| item.kind == ResourceKind::Workspace) {
        true => Lock::Organization,
        false => Lock::Membership,
    };
    let action = Action::CreateResources;
    access::authorize(transaction, actor, organization_id, lock, action, "organization").await?;
    // The time is read after the owners were locked, so that whatever a departure has to pass on is older than it.
    let known = Known::load(transaction, organization_id, items).await?;
    let at = now(transaction).await?;
    let plan = plan(organization_id, items, parsed, &known, at)?;
    let workspaces = plan
        .iter()
        .zip(items)
        .filter(|(planned, item)| matches!(planned, Planned::Insert { .. }) && item.kind == ResourceKind::Workspace);
    creation::require_room_for_workspaces(transaction, organization_id, workspaces.count(), LIST).await?;
    let made = insert(transaction, organization_id, items, parsed, &plan, at).await?;
    let changed = update(transaction, items, parsed, &plan, &known, at).await?;
    let mut more = Decimal::ZERO;
    let mut results = Vec::with_capacity(items.len());
    let mut owned: BTreeMap<UserId, Vec<String>> = BTreeMap::new();
    let mut updated: Vec<String> = Vec::new();
    for (item, planned) in items.iter().zip(&plan) {
        let before = known.existing(item).map(|existing| &existing.resource);
        let (resource, outcome) = match planned {
            Planned::Insert { id, .. } => (made.get(id), UpsertOutcome::Created),
            Planned::Update { .. } => (before.and_then(|before| changed.get(&before.id)), UpsertOutcome::Updated),
            Planned::Nothing => (before, UpsertOutcome::Unchanged),
        };
        let resource = resource.ok_or(Error::Bug("each item has a resource"))?;
        more += Decimal::from(resource.size_bytes) - before.map_or(Decimal::ZERO, |before| before.size_bytes.into());
        match outcome {
            UpsertOutcome::Created => owned.entry(resource.owner_id).or_default().push(resource.id.to_string()),
            UpsertOutcome::Updated => updated.push(resource.id.to_string()),
            UpsertOutcome::Unchanged => {}
        }
        results.push((resource.clone(), outcome));
    }
    storage::change(transaction, organization_id, more, LIST).await?;
    let mut events: Vec<NewEvent> = owned
        .into_iter()
        .map(|(owner, ids)| {
            NewEvent::by(actor, organization_id, AuditAction::ResourceCreated, organization_id)
                .summary(format!("brought in {} resource(s) of {owner}", ids.len()))
                .about(owner)
                .with(json!({ "owner": owner.to_string(), "resourceIds": ids }))
        })
        .collect();
    if !updated.is_empty() {
        events.push(
            NewEvent::by(actor, organization_id, AuditAction::ResourceUpdated, organization_id)
                .summary(format!("brought {} resource(s) up to date", updated.len()))
                .with(json!({ "resourceIds": updated })),
        );
    }
    audit::record(transaction, events).await?;
    Ok(results)
}

/// Decides what becomes of each item, or refuses what can't be.
fn plan(
    organization_id: OrganizationId,
    items: &[ResourceUpsert],
    parsed: &[Parsed],
    known: &Known,
    at: DateTime<Utc>,
) -> Result<Vec<Planned>> {
    let mut refusals = ItemRefusals::of(LIST);
    // Items of the list can be each other's containers, so their ids come first.
    let ids: HashMap<(ResourceKind, &str), ResourceId> = items
        .iter()
        .map(|item| {
            let id = known.existing(item).map_or_else(ResourceId::new, |existing| existing.resource.id);
            ((item.kind, item.external_id.as_str()), id)
        })
        .collect();
    let container = |item: &ResourceUpsert, named: &ResourceRef| -> Result<ResourceId, Refusal> {
        let of_list = match named {
            ResourceRef::External(kind, id) => ids.get(&(*kind, id.as_str())).map(|id| (*id, *kind)),
            ResourceRef::Id(_) => None,
        };
        let (id, kind) = match (of_list, known.containers.get(named)) {
            (Some(found), _) => found,
            (None, Some(container)) if container.organization_id == organization_id => {
                if container.moving {
                    return Err(Refusal::new(Code::Conflict, "container", "it is moving to another organization"));
                }
                (container.id, container.kind)
            }
            (None, _) => return Err(named.not_found().within(["container"])),
        };
        creation::require_holds(kind, item.kind, "container")?;
        Ok(id)
    };
    let mut plan = Vec::with_capacity(items.len());
    for (position, (item, parsed)) in items.iter().zip(parsed).enumerate() {
        let existing = known.existing(item);
        if let Some(existing) = existing {
            if existing.resource.organization_id != organization_id {
                let message = "another organization has a resource of this kind and id";
                refusals.add(position, Refusal::new(Code::ExternalIdTaken, "externalId", message));
                continue;
            }
            if existing.moving {
                let message = "it is moving to another organization; try again when it is there";
                refusals.add(position, Refusal::new(Code::Conflict, "externalId", message));
                continue;
            }
        }
        let container_id = match &item.container {
            None => existing.and_then(|existing| existing.resource.container_id),
            Some(None) => None,
            Some(Some(named)) => refusals.keep(position, container(item, named)),
        };
        match existing {
            Some(existing) => {
                let before = &existing.resource;
                let is_taken_out = before.container_id.is_some() && container_id.is_none();
                if before.kind == ResourceKind::Sample && is_taken_out && !known.active.contains(&before.owner_id) {
                    let message = "the sample's owner must be named and a member here, or it stays in a project";
                    refusals.add(position, Refusal::new(Code::Invalid, "container", message));
                }
                let name = parsed.name.clone().unwrap_or_else(|| before.name.clone());
                plan.push(match is_changed(item, parsed, existing, &name, container_id) {
                    true => Planned::Update { name, container_id },
                    false => Planned::Nothing,
                });
            }
            None => {
                let name = parsed
                    .name
                    .clone()
                    .ok_or_else(|| Refusal::new(Code::Blank, "name", "is needed for a new resource"));
                let owner_id = owner(item, known);
                refusals.keep(position, upsert::past("createdAt", item.created_at, at));
                let (name, owner_id) = (refusals.keep(position, name), refusals.keep(position, owner_id));
                let id = ids.get(&(item.kind, item.external_id.as_str())).copied();
                if let (Some(name), Some(owner_id), Some(id)) = (name, owner_id, id) {
                    plan.push(Planned::Insert { id, owner_id, name, container_id });
                }
            }
        }
    }
    refusals.none()?;
    Ok(plan)
}

fn owner(item: &ResourceUpsert, known: &Known) -> Result<UserId, Refusal> {
    let Some(named) = &item.owner else {
        return Err(Refusal::new(Code::Blank, "owner", "is needed for a new resource"));
    };
    let found = known.owners.get(named).copied().filter(|id| known.active.contains(id));
    let owner = found.ok_or_else(|| {
        let message = "there is no such active member in the organization";
        Refusal::new(Code::NotFound, named.field(), message).within(["owner"])
    })?;
    match known.suspended.get(&owner) {
        None => Ok(owner),
        Some(suspension) => Err(suspension.refusal(Reader::Another, None, named.field()).within(["owner"])),
    }
}

fn is_changed(
    item: &ResourceUpsert,
    parsed: &Parsed,
    existing: &Existing,
    name: &str,
    container_id: Option<ResourceId>,
) -> bool {
    let before = &existing.resource;
    name != before.name
        || parsed.description.as_ref().is_some_and(|new| *new != before.description)
        || parsed.subtype.as_ref().is_some_and(|new| *new != before.subtype)
        || parsed.metadata.as_ref().is_some_and(|new| *new != existing.metadata)
        || item.visibility.is_some_and(|new| new != before.visibility)
        || item.size_bytes.is_some_and(|new| new != before.size_bytes)
        || container_id != before.container_id
}

async fn insert(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    items: &[ResourceUpsert],
    parsed: &[Parsed],
    plan: &[Planned],
    at: DateTime<Utc>,
) -> Result<HashMap<ResourceId, Resource>> {
    let mut new = InsertAll {
        organization_id,
        at,
        ids: Vec::new(),
        kinds: Vec::new(),
        names: Vec::new(),
        folded_names: Vec::new(),
        descriptions: Vec::new(),
        owners: Vec::new(),
        containers: Vec::new(),
        visibilities: Vec::new(),
        sizes: Vec::new(),
        created: Vec::new(),
        external_ids: Vec::new(),
        subtypes: Vec::new(),
        metadata: Vec::new(),
    };
    for ((item, parsed), planned) in items.iter().zip(parsed).zip(plan) {
        let Planned::Insert { id, owner_id, name, container_id } = planned else { continue };
        new.ids.push(*id);
        new.kinds.push(item.kind);
        new.folded_names.push(text::fold(name));
        new.names.push(name.clone());
        new.descriptions.push(parsed.description.clone().flatten());
        new.owners.push(*owner_id);
        new.containers.push(*container_id);
        new.visibilities.push(item.visibility.unwrap_or(Visibility::Private));
        new.sizes.push(item.size_bytes.unwrap_or_default());
        new.created.push(item.created_at);
        new.external_ids.push(item.external_id.clone());
        new.subtypes.push(parsed.subtype.clone().flatten());
        new.metadata.push(parsed.metadata.clone().flatten());
    }
    let wanted = new.ids.len();
    if wanted == 0 {
        return Ok(HashMap::new());
    }
    let made = new.query().load::<Resource>(&mut **transaction).await;
    let made = crate::base::error::on_violation(made, "resources_container_fkey", || upsert::raced(LIST))?;
    if made.len() != wanted {
        return Err(upsert::raced(LIST).into());
    }
    Ok(made.into_iter().map(|resource| (resource.id, resource)).collect())
}

async fn update(
    transaction: &mut Transaction,
    items: &[ResourceUpsert],
    parsed: &[Parsed],
    plan: &[Planned],
    known: &Known,
    at: DateTime<Utc>,
) -> Result<HashMap<ResourceId, Resource>> {
    let mut changes = UpdateAll {
        at,
        ids: Vec::new(),
        names: Vec::new(),
        folded_names: Vec::new(),
        descriptions: Vec::new(),
        containers: Vec::new(),
        visibilities: Vec::new(),
        sizes: Vec::new(),
        subtypes: Vec::new(),
        metadata: Vec::new(),
    };
    for ((item, parsed), planned) in items.iter().zip(parsed).zip(plan) {
        let (Planned::Update { name, container_id }, Some(existing)) = (planned, known.existing(item)) else {
            continue;
        };
        let before = &existing.resource;
        changes.ids.push(before.id);
        changes.folded_names.push(text::fold(name));
        changes.names.push(name.clone());
        changes.descriptions.push(parsed.description.clone().unwrap_or_else(|| before.description.clone()));
        changes.containers.push(*container_id);
        changes.visibilities.push(item.visibility.unwrap_or(before.visibility));
        changes.sizes.push(item.size_bytes.unwrap_or(before.size_bytes));
        changes.subtypes.push(parsed.subtype.clone().unwrap_or_else(|| before.subtype.clone()));
        changes.metadata.push(parsed.metadata.clone().unwrap_or_else(|| existing.metadata.clone()));
    }
    if changes.ids.is_empty() {
        return Ok(HashMap::new());
    }
    let changed = changes.query().load::<Resource>(&mut **transaction).await?;
    Ok(changed.into_iter().map(|resource| (resource.id, resource)).collect())
}
