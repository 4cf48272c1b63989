//! Resources: the work that organizations hold, with a creator for good and an owner who can change (D8).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::access::{self, Lock, Permit};
use crate::actor::Actor;
use crate::audit::{self, AuditAction, NewEvent};
use crate::database::schema::{members, organizations, resources};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::error::{Code, Error, Refusal, Result};
use crate::id::{OrganizationId, ResourceId, UserId};
use crate::limits;
use crate::member::MemberStatus;
use crate::page::{Page, PageRequest, Slice, by_id};
use crate::policy::{AccessLevel, Action, Role};
use crate::text;
use crate::text_enum::text_enum;
use crate::user;

text_enum! {
    /// What a resource is.
    ResourceKind {
        /// A project.
        Project = "project",
        /// A volume.
        Volume = "volume",
        /// A machine that a member has registered (R8, R13).
        Machine = "machine",
    }
}

text_enum! {
    /// Who reads a resource beside those it is shared with.
    Visibility {
        /// Its owner, and the organization's owner and admins.
        Private = "private",
        /// Every member of the organization.
        Organization = "organization",
    }
}

impl ResourceKind {
    /// Whether creating one bills to the organization (R55).
    fn is_billable(self) -> bool {
        match self {
            Self::Project => true,
            Self::Volume | Self::Machine => false,
        }
    }
}

/// A resource.
#[derive(Debug, Clone, Queryable, Selectable)]
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
    /// Who reads it.
    pub visibility: Visibility,
    /// Its size in bytes.
    pub size_bytes: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// What a permit gives on a resource of its organization.
///
/// Someone who is no active member has no permit, and so owning alone gives nothing (R33).
pub fn access_level(permit: &Permit, resource: &Resource) -> AccessLevel {
    if permit.organization_id() != resource.organization_id {
        return AccessLevel::None;
    }
    let role = permit.standing().role;
    let level = if resource.owner_id == permit.user_id() || permit.standing().allows(Action::ViewAllResources) {
        AccessLevel::Administer
    } else if resource.visibility == Visibility::Organization {
        AccessLevel::View
    } else {
        AccessLevel::None
    };
    // A viewer reads and changes nothing (R14).
    if role == Role::Viewer { level.min(AccessLevel::View) } else { level }
}

/// A resource to be made.
#[derive(Debug)]
pub struct CreateResource {
    /// Where; the user's default bill-to where left out (R56).
    pub organization_id: Option<OrganizationId>,
    /// What it is.
    pub kind: ResourceKind,
    /// What it is called.
    pub name: String,
    /// More about it.
    pub description: Option<String>,
    /// Who reads it.
    pub visibility: Visibility,
    /// Its size in bytes.
    pub size_bytes: i64,
}

/// Creates a resource that the actor owns.
pub async fn create(database: &Database, actor: &Actor, command: &CreateResource) -> Result<Resource> {
    let name = text::line("name", &command.name, limits::NAME)?;
    let description = text::optional_text("description", command.description.as_deref(), limits::DESCRIPTION)?;
    require_size(command.size_bytes)?;
    let not_for_staff = || Error::refused(Code::Forbidden, "organizationId", "staff own no resources");
    let user_id = actor.user_id().ok_or_else(not_for_staff)?;
    database
        .transaction(async |transaction| {
            let organization_id = match (command.organization_id, actor.only_organization()) {
                (Some(id), _) | (None, Some(id)) => id,
                (None, None) => {
                    let user = user::by_id(transaction, user_id).await?;
                    user::default_bill_to(transaction, &user).await?
                }
            };
            let permit = access::authorize(
                transaction,
                actor,
                organization_id,
                Lock::Membership,
                Action::CreateResources,
                "organizationId",
            )
            .await?;
            if command.kind.is_billable() {
                permit.require_billing("organizationId")?;
            }
            // After the lock on the membership: what a departure has to pass on is older than the departure.
            let at = now(transaction).await?;
            let resource: Resource = diesel::insert_into(resources::table)
                .values((
                    resources::id.eq(ResourceId::new()),
                    resources::organization_id.eq(permit.organization_id()),
                    resources::kind.eq(command.kind),
                    resources::name.eq(&name),
                    resources::description.eq(description.as_deref()),
                    resources::owner_id.eq(permit.user_id()),
                    resources::owned_since.eq(at),
                    resources::created_by_id.eq(permit.user_id()),
                    resources::visibility.eq(command.visibility),
                    resources::size_bytes.eq(command.size_bytes),
                    resources::created_at.eq(at),
                    resources::updated_at.eq(at),
                ))
                .returning(Resource::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let event = NewEvent::by(actor, organization_id, AuditAction::ResourceCreated, resource.id)
                .summary(format!("created a {}", resource.kind))
                .with(json!({ "kind": resource.kind.as_str() }));
            audit::record(transaction, [event]).await?;
            Ok(resource)
        })
        .await
}

fn require_size(size_bytes: i64) -> Result<()> {
    if size_bytes < 0 {
        return Err(Error::refused(Code::Invalid, "sizeBytes", "must not be negative"));
    }
    Ok(())
}

/// What to change; `None` leaves it as it is.
#[derive(Debug, Default)]
pub struct UpdateResource {
    /// What it is called.
    pub name: Option<String>,
    /// More about it; `Some(None)` clears it.
    pub description: Option<Option<String>>,
    /// Who reads it.
    pub visibility: Option<Visibility>,
    /// Its size in bytes.
    pub size_bytes: Option<i64>,
}

/// Changes a resource; takes CONTRIBUTE, and ADMINISTER to change who reads it.
pub async fn update(database: &Database, actor: &Actor, id: ResourceId, command: &UpdateResource) -> Result<Resource> {
    let name = command.name.as_deref().map(|name| text::line("name", name, limits::NAME)).transpose()?;
    let description = command
        .description
        .as_ref()
        .map(|description| text::optional_text("description", description.as_deref(), limits::DESCRIPTION))
        .transpose()?;
    command.size_bytes.map(require_size).transpose()?;
    database
        .transaction(async |transaction| {
            let needed = if command.visibility.is_some() { AccessLevel::Administer } else { AccessLevel::Contribute };
            let resource = reach(transaction, actor, id, needed).await?;
            #[derive(AsChangeset)]
            #[diesel(table_name = resources)]
            struct Changes<'a> {
                name: Option<&'a str>,
                description: Option<Option<&'a str>>,
                visibility: Option<Visibility>,
                size_bytes: Option<i64>,
            }
            let changes = Changes {
                name: name.as_deref(),
                description: description.as_ref().map(Option::as_deref),
                visibility: command.visibility,
                size_bytes: command.size_bytes,
            };
            let resource: Resource = diesel::update(resources::table.find(resource.id))
                .set((changes, resources::updated_at.eq(rollcall_now())))
                .returning(Resource::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let event = NewEvent::by(actor, resource.organization_id, AuditAction::ResourceUpdated, id)
                .summary(format!("changed a {}", resource.kind));
            audit::record(transaction, [event]).await?;
            Ok(resource)
        })
        .await
}

/// Deletes a resource; takes ADMINISTER.
pub async fn delete(database: &Database, actor: &Actor, id: ResourceId) -> Result<ResourceId> {
    database
        .transaction(async |transaction| {
            let resource = reach(transaction, actor, id, AccessLevel::Administer).await?;
            diesel::delete(resources::table.find(id)).execute(&mut **transaction).await?;
            let event = NewEvent::by(actor, resource.organization_id, AuditAction::ResourceDeleted, id)
                .summary(format!("deleted a {}", resource.kind))
                .with(json!({ "kind": resource.kind.as_str() }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Locks the actor's membership and the resource, for an actor who has the level on it.
async fn reach(transaction: &mut Transaction, actor: &Actor, id: ResourceId, needed: AccessLevel) -> Result<Resource> {
    access::require_writing(actor, "id")?;
    let not_found = || Refusal::new(Code::NotFound, "id", "there is no such resource, or you can't reach it");
    let organization_id: Option<OrganizationId> =
        resources::table.find(id).select(resources::organization_id).first(&mut **transaction).await.optional()?;
    let organization_id = organization_id.ok_or_else(not_found)?;
    let permit = access::enter(transaction, actor, organization_id, Lock::Membership, not_found()).await?;
    let resource: Option<Resource> = resources::table
        .find(id)
        .filter(resources::organization_id.eq(organization_id))
        .select(Resource::as_select())
        .for_no_key_update()
        .first(&mut **transaction)
        .await
        .optional()?;
    let resource = resource.ok_or_else(not_found)?;
    match access_level(&permit, &resource) {
        AccessLevel::None => Err(not_found().into()),
        level if level < needed => {
            Err(Error::refused(Code::Forbidden, "id", format!("takes {needed}; you have {level}")))
        }
        _ => Ok(resource),
    }
}

/// The resources of the ids, whoever asks: for what already led to them.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[ResourceId]) -> Result<Vec<Resource>> {
    Ok(resources::table.filter(resources::id.eq_any(ids)).select(Resource::as_select()).load(connection).await?)
}

/// Those of the ids that the actor can reach.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[ResourceId],
) -> Result<Vec<Resource>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|resource| resource.organization_id)).await?;
    let can_reach = |resource: &Resource| {
        permits.get(&resource.organization_id).is_some_and(|permit| access_level(permit, resource) > AccessLevel::None)
    };
    Ok(found.into_iter().filter(can_reach).collect())
}

/// Which resources to list.
#[derive(Debug, Clone, Default)]
pub struct ResourceFilter {
    /// Only this kind.
    pub kind: Option<ResourceKind>,
    /// Only this owner's.
    pub owner_id: Option<UserId>,
    /// Only this organization's.
    pub organization_id: Option<OrganizationId>,
    /// Only those whose name holds this text.
    pub search: Option<String>,
}

type Query = diesel::helper_types::IntoBoxed<'static, resources::table, diesel::pg::Pg>;

impl ResourceFilter {
    fn apply(&self, mut query: Query) -> Query {
        if let Some(kind) = self.kind {
            query = query.filter(resources::kind.eq(kind));
        }
        if let Some(owner_id) = self.owner_id {
            query = query.filter(resources::owner_id.eq(owner_id));
        }
        if let Some(organization_id) = self.organization_id {
            query = query.filter(resources::organization_id.eq(organization_id));
        }
        if let Some(search) = self.search.as_deref().map(str::trim).filter(|search| !search.is_empty()) {
            query = query.filter(resources::name.ilike(text::like_pattern(search)));
        }
        query
    }
}

/// A page of the organization's resources that the permit reaches, oldest first; owner and admins reach all (R2, R5, R62).
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    filter: &ResourceFilter,
    page: &PageRequest,
) -> Result<Page<Resource>> {
    let slice = page.slice()?;
    let mut query =
        filter.apply(resources::table.into_boxed()).filter(resources::organization_id.eq(permit.organization_id()));
    if !permit.standing().allows(Action::ViewAllResources) {
        query = query
            .filter(resources::owner_id.eq(permit.user_id()).or(resources::visibility.eq(Visibility::Organization)));
    }
    let rows = by_id!(query.select(Resource::as_select()), slice, resources::id).load(connection).await?;
    slice.page(rows, |resource: &Resource| resource.id)
}

/// A page of everything that the user reaches, in whichever organization, oldest first.
pub async fn list_of_user(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    user_id: UserId,
    filter: &ResourceFilter,
    page: &PageRequest,
) -> Result<Page<Resource>> {
    let slice = page.slice()?;
    let mut memberships = members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(members::user_id.eq(user_id))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(organizations::deleted_at.is_null())
        .select((members::organization_id, members::role))
        .into_boxed();
    if let Some(only) = actor.only_organization() {
        memberships = memberships.filter(members::organization_id.eq(only));
    }
    let memberships: Vec<(OrganizationId, Role)> =
        if access::is_suspended(actor) { Vec::new() } else { memberships.load(connection).await? };
    let of = |leads: bool| -> Vec<OrganizationId> {
        memberships.iter().filter(|(_, role)| role.is_at_least(Role::Admin) == leads).map(|(id, _)| *id).collect()
    };
    let query = filter.apply(resources::table.into_boxed()).filter(
        resources::organization_id.eq_any(of(true)).or(resources::organization_id
            .eq_any(of(false))
            .and(resources::owner_id.eq(user_id).or(resources::visibility.eq(Visibility::Organization)))),
    );
    let rows = by_id!(query.select(Resource::as_select()), slice, resources::id).load(connection).await?;
    slice.page(rows, |resource: &Resource| resource.id)
}

/// Whether the permit reaches everything that someone owns in its organization, or only what is visible to the organization.
pub fn reaches_all_of(permit: &Permit, owner_id: UserId) -> bool {
    permit.user_id() == owner_id || permit.standing().allows(Action::ViewAllResources)
}

#[derive(QueryableByName)]
struct OwnedBy {
    #[diesel(sql_type = SqlUuid)]
    id: ResourceId,
}

/// A page of the machines of each of the owners (R13), oldest first, all of them or those visible to the organization: the same
/// number of statements for however many owners.
pub async fn machines_of(
    connection: &mut AsyncPgConnection,
    owners: &[(OrganizationId, UserId)],
    all: bool,
    page: &PageRequest,
) -> Result<HashMap<(OrganizationId, UserId), Page<Resource>>> {
    let slice: Slice<ResourceId> = page.slice()?;
    let (organizations, users): (Vec<OrganizationId>, Vec<UserId>) = owners.iter().copied().unzip();
    let rows: Vec<OwnedBy> = diesel::sql_query(
        "SELECT r.id FROM unnest($1, $2) AS k (organization_id, owner_id) \
         CROSS JOIN LATERAL (SELECT id FROM resources \
           WHERE organization_id = k.organization_id AND owner_id = k.owner_id AND kind = $3 \
           AND ($4 OR visibility = 'organization') AND ($5 IS NULL OR id > $5) ORDER BY id LIMIT $6) AS r",
    )
    .bind::<Array<SqlUuid>, _>(&organizations)
    .bind::<Array<SqlUuid>, _>(&users)
    .bind::<Text, _>(ResourceKind::Machine)
    .bind::<Bool, _>(all)
    .bind::<Nullable<SqlUuid>, _>(slice.after)
    .bind::<BigInt, _>(slice.fetch())
    .load(connection)
    .await?;
    let ids: Vec<ResourceId> = rows.into_iter().map(|row| row.id).collect();
    let mut machines = by_ids(connection, &ids).await?;
    machines.sort_by_key(|machine| machine.id);
    let mut found: HashMap<_, Vec<Resource>> = HashMap::new();
    for machine in machines {
        found.entry((machine.organization_id, machine.owner_id)).or_default().push(machine);
    }
    owners
        .iter()
        .map(|key| Ok((*key, slice.page(found.remove(key).unwrap_or_default(), |machine| machine.id)?)))
        .collect()
}
