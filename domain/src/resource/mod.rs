//! Resources: the work that organizations hold, with a creator for good and an owner who can change (D8).

mod collection;
pub mod grant;
mod kind;
mod list;
pub mod run;
pub mod share_link;
mod storage;
pub mod transfer;

pub use collection::{add_to_collection, remove_from_collection};
pub use kind::ResourceKind;
pub use list::{Part, ResourceFilter, Within, list, list_of_user, list_within};

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::json;

use crate::account::user;
use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::{Actor, Reach};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::level::{Access, Question, access_of};
use crate::authority::membership::MemberStatus;
use crate::authority::policy::{AccessLevel, Action};
use crate::base::error::{Code, Error, Refusal, Result, on_violation};
use crate::base::id::{MemberId, OrganizationId, ResourceId, UserId};
use crate::base::text_enum::text_enum;
use crate::base::{limits, text};
use crate::database::schema::{members, resources};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::membership::member;

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

/// A resource to be made.
#[derive(Debug)]
pub struct CreateResource {
    /// Where; the container's, or the user's default bill-to where left out (R56).
    pub organization_id: Option<OrganizationId>,
    /// What it is.
    pub kind: ResourceKind,
    /// What it is called.
    pub name: String,
    /// More about it.
    pub description: Option<String>,
    /// What it shall lie in.
    pub container_id: Option<ResourceId>,
    /// Who reads it.
    pub visibility: Visibility,
    /// Its size in bytes.
    pub size_bytes: i64,
}

/// Creates a resource that the actor owns.
///
/// In a container it takes UPLOAD there, which someone outside may have too. A sample is then theirs (R33); anything else is the
/// organization's owner's, so that nothing belongs to nobody.
pub async fn create(database: &Database, actor: &Actor, command: &CreateResource) -> Result<Resource> {
    let name = parse_name(command.kind, &command.name)?;
    let description = text::optional_text("description", command.description.as_deref(), limits::DESCRIPTION)?;
    require_size(command.size_bytes)?;
    let not_for_staff = || {
        Error::refused(
            Code::Forbidden,
            "organizationId",
            "only a person owns a resource; sign in, or use a personal API key",
        )
    };
    let user_id = actor.account().ok_or_else(not_for_staff)?;
    let only = actor.reach().and_then(Reach::only);
    database
        .transaction(async |transaction| {
            let container = match command.container_id {
                Some(id) => Some(enter_container(transaction, actor, id, command.kind).await?),
                None => None,
            };
            let organization_id = match (&container, command.organization_id) {
                (Some(container), Some(id)) if container.organization_id != id => {
                    let message = "the container lies in another organization; leave this out";
                    return Err(Error::refused(Code::Invalid, "organizationId", message));
                }
                (Some(container), _) => container.organization_id,
                (None, Some(id)) => id,
                (None, None) => {
                    let user = user::by_id(transaction, user_id).await?;
                    user::default_bill_to(transaction, &user, only).await?
                }
            };
            let owner_id = match container {
                Some(_) => uploader(transaction, actor, organization_id, user_id, command.kind).await?,
                None => {
                    let (lock, action) = (Lock::Membership, Action::CreateResources);
                    let permit =
                        access::authorize(transaction, actor, organization_id, lock, action, "organizationId").await?;
                    require_billing(&permit, command.kind, "organizationId")?;
                    user_id
                }
            };
            // After the lock on the membership: what a departure has to pass on is older than the departure.
            let at = now(transaction).await?;
            let resource: Resource = diesel::insert_into(resources::table)
                .values((
                    resources::id.eq(ResourceId::new()),
                    resources::organization_id.eq(organization_id),
                    resources::kind.eq(command.kind),
                    resources::name.eq(&name),
                    resources::folded_name.eq(text::fold(&name)),
                    resources::description.eq(description.as_deref()),
                    resources::owner_id.eq(owner_id),
                    resources::owned_since.eq(at),
                    resources::created_by_id.eq(user_id),
                    resources::container_id.eq(command.container_id),
                    resources::visibility.eq(command.visibility),
                    resources::size_bytes.eq(command.size_bytes),
                    resources::created_at.eq(at),
                    resources::updated_at.eq(at),
                ))
                .returning(Resource::as_returning())
                .get_result(&mut **transaction)
                .await?;
            storage::change(transaction, organization_id, command.size_bytes.into(), "sizeBytes").await?;
            let event = NewEvent::by(actor, organization_id, AuditAction::ResourceCreated, resource.id)
                .summary(format!("created {}", resource.kind.with_article()))
                .with(json!({ "kind": resource.kind.as_str() }));
            audit::record(transaction, [event]).await?;
            Ok(resource)
        })
        .await
}

fn require_billing(permit: &Permit, kind: ResourceKind, field: &str) -> Result<()> {
    if kind.is_billable() { permit.require_billing(field) } else { Ok(()) }
}

/// Locks a container that the actor may add a resource of the kind to.
async fn enter_container(
    transaction: &mut Transaction,
    actor: &Actor,
    id: ResourceId,
    kind: ResourceKind,
) -> Result<Resource> {
    let container = reach_to(transaction, actor, id, AccessLevel::Upload, Purpose::Use, "containerId").await?;
    require_holds(&container, kind)?;
    Ok(container)
}

fn require_holds(container: &Resource, kind: ResourceKind) -> Result<()> {
    if container.kind.holds().contains(&kind) {
        return Ok(());
    }
    let holds: Vec<String> = container.kind.holds().iter().map(|kind| kind.as_str().to_uppercase()).collect();
    let message = match holds.as_slice() {
        [] => format!("{} holds nothing; projects, workspaces and source groups do", container.kind.with_article()),
        holds => format!("{} holds {} only", container.kind.with_article(), holds.join(", ")),
    };
    Err(Error::refused(Code::Invalid, "containerId", message))
}

/// Whose a resource is that the actor adds to a container of the organization. The container is entered.
async fn uploader(
    transaction: &mut Transaction,
    actor: &Actor,
    organization_id: OrganizationId,
    user_id: UserId,
    kind: ResourceKind,
) -> Result<UserId> {
    let field = "containerId";
    let membership =
        access::enter(transaction, actor, organization_id, Lock::Membership, access::organization_not_found(field))
            .await;
    match membership {
        Ok(permit) => {
            permit.require_on(Action::CreateResources, field)?;
            require_billing(&permit, kind, field)?;
            Ok(user_id)
        }
        Err(Error::Refused(refusals)) if refusals.iter().all(|refusal| refusal.code == Code::NotFound) => {
            if kind.is_billable() {
                let message = "only members with the permission for billable activities create this here";
                return Err(Error::refused(Code::BillingAccessRequired, field, message));
            }
            if kind == ResourceKind::Sample {
                Ok(user_id)
            } else {
                member::lock_owner(transaction, organization_id).await
            }
        }
        Err(error) => Err(error),
    }
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
    /// What it lies in; `Some(None)` takes it out.
    pub container_id: Option<Option<ResourceId>>,
    /// Who reads it; nobody clears that.
    pub visibility: Option<Option<Visibility>>,
    /// Its size in bytes; nobody clears that.
    pub size_bytes: Option<Option<i64>>,
}

impl UpdateResource {
    /// The fields that it changes, by their names in the API.
    fn changed_fields(&self) -> Vec<&'static str> {
        let fields = [
            ("name", self.name.is_some()),
            ("description", self.description.is_some()),
            ("containerId", self.container_id.is_some()),
            ("visibility", self.visibility.is_some()),
            ("sizeBytes", self.size_bytes.is_some()),
        ];
        fields.into_iter().filter(|(_, is_changed)| *is_changed).map(|(field, _)| field).collect()
    }
}

/// What an update gives for a field that nobody clears; BLANK where that is null.
fn kept<T>(field: &str, value: Option<Option<T>>) -> Result<Option<T>> {
    match value {
        Some(None) => Err(Error::refused(Code::Blank, field, "can't be cleared; leave it out to keep it as it is")),
        value => Ok(value.flatten()),
    }
}

/// What something of a kind is called; strangers receive mails with it.
fn parse_name(kind: ResourceKind, name: &str) -> Result<String, Refusal> {
    if kind.is_file() { text::file_name("name", name, limits::NAME) } else { text::name("name", name, limits::NAME) }
}

/// Changes a resource; takes CONTRIBUTE, ADMINISTER to change who reads it or where it lies, and UPLOAD on a new container.
pub async fn update(database: &Database, actor: &Actor, id: ResourceId, command: &UpdateResource) -> Result<Resource> {
    // Whatever it is; more is said of the name once that is known.
    command.name.as_deref().map(|name| text::file_name("name", name, limits::NAME)).transpose()?;
    let description = command
        .description
        .as_ref()
        .map(|description| text::optional_text("description", description.as_deref(), limits::DESCRIPTION))
        .transpose()?;
    let visibility = kept("visibility", command.visibility)?;
    let size_bytes = kept("sizeBytes", command.size_bytes)?;
    size_bytes.map(require_size).transpose()?;
    let changed = command.changed_fields();
    database
        .transaction(async |transaction| {
            let administers = visibility.is_some() || command.container_id.is_some();
            let needed = if administers { AccessLevel::Administer } else { AccessLevel::Contribute };
            let before = reach(transaction, actor, id, needed, "id").await?;
            if changed.is_empty() {
                return Ok(before);
            }
            let name = command.name.as_deref().map(|name| parse_name(before.kind, name)).transpose()?;
            if let Some(Some(container_id)) = command.container_id.filter(|new| *new != before.container_id) {
                let container = enter_container(transaction, actor, container_id, before.kind).await?;
                if container.organization_id != before.organization_id {
                    let (code, message) = match before.published_at {
                        Some(_) => (Code::Published, "a published app's organization can't change"),
                        None => (Code::Invalid, "the container lies in another organization"),
                    };
                    return Err(Error::refused(code, "containerId", message));
                }
            }
            if command.container_id == Some(None) && before.kind == ResourceKind::Sample {
                require_collected(transaction, &before).await?;
            }
            #[derive(AsChangeset)]
            #[diesel(table_name = resources)]
            struct Changes<'a> {
                name: Option<&'a str>,
                folded_name: Option<String>,
                description: Option<Option<&'a str>>,
                container_id: Option<Option<ResourceId>>,
                visibility: Option<Visibility>,
                size_bytes: Option<i64>,
            }
            let changes = Changes {
                name: name.as_deref(),
                folded_name: name.as_deref().map(text::fold),
                description: description.as_ref().map(Option::as_deref),
                container_id: command.container_id,
                visibility,
                size_bytes,
            };
            let resource: Resource = diesel::update(resources::table.find(id))
                .set((changes, resources::updated_at.eq(rollcall_now())))
                .returning(Resource::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let more = Decimal::from(resource.size_bytes) - Decimal::from(before.size_bytes);
            storage::change(transaction, resource.organization_id, more, "sizeBytes").await?;
            let mut event = NewEvent::by(actor, resource.organization_id, AuditAction::ResourceUpdated, id)
                .summary(format!("changed {} of {}", changed.join(", "), resource.kind.with_article()))
                .with(json!({ "fields": changed }));
            if resource.visibility != before.visibility {
                event = event.with(json!({ "visibility": resource.visibility.as_str() }));
            }
            if resource.container_id != before.container_id {
                let container = resource.container_id.map(|id| id.to_string());
                event = event.with(json!({ "container": container }));
            }
            audit::record(transaction, [event]).await?;
            Ok(resource)
        })
        .await
}

/// Fails where the sample's owner is no member: it would lie where nobody but owner and admins reaches it, and nothing collects it
/// any more (R36).
async fn require_collected(transaction: &mut Transaction, sample: &Resource) -> Result<()> {
    let active: Option<MemberId> = members::table
        .filter(members::organization_id.eq(sample.organization_id))
        .filter(members::user_id.eq(sample.owner_id))
        .filter(members::status.eq(MemberStatus::Active))
        .select(members::id)
        .for_share()
        .first(&mut **transaction)
        .await
        .optional()?;
    if active.is_none() {
        let message = "the sample's owner is no member here, so it stays in a project; move it to another one";
        return Err(Error::refused(Code::Invalid, "containerId", message));
    }
    Ok(())
}

/// Deletes a resource; takes ADMINISTER, and that nothing lies in it.
pub async fn delete(database: &Database, actor: &Actor, id: ResourceId) -> Result<ResourceId> {
    database
        .transaction(async |transaction| {
            let resource = reach(transaction, actor, id, AccessLevel::Administer, "id").await?;
            let deleted = diesel::delete(resources::table.find(id)).execute(&mut **transaction).await;
            on_violation(deleted, "resources_container_fkey", || {
                let message =
                    format!("something lies in this {}; delete that, or move it first", resource.kind.label());
                Refusal::new(Code::Conflict, "id", message)
            })?;
            storage::change(transaction, resource.organization_id, -Decimal::from(resource.size_bytes), "id").await?;
            let event = NewEvent::by(actor, resource.organization_id, AuditAction::ResourceDeleted, id)
                .summary(format!("deleted {}", resource.kind.with_article()))
                .with(json!({ "kind": resource.kind.as_str() }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Publishes an app; takes ADMINISTER. From here on its organization can't change (R60).
pub async fn publish_app(database: &Database, actor: &Actor, id: ResourceId) -> Result<Resource> {
    database
        .transaction(async |transaction| {
            let app = reach(transaction, actor, id, AccessLevel::Administer, "id").await?;
            if app.kind != ResourceKind::App {
                let message = format!("this is {}; only apps are published", app.kind.with_article());
                return Err(Error::refused(Code::Invalid, "id", message));
            }
            if app.published_at.is_some() {
                return Err(Error::refused(Code::Published, "id", "this app was published before"));
            }
            let app: Resource = diesel::update(resources::table.find(id))
                .set((resources::published_at.eq(rollcall_now().nullable()), resources::updated_at.eq(rollcall_now())))
                .returning(Resource::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let event =
                NewEvent::by(actor, app.organization_id, AuditAction::AppPublished, id).summary("published an app");
            audit::record(transaction, [event]).await?;
            Ok(app)
        })
        .await
}

/// What those get who may not know of a resource.
pub(crate) fn not_found(field: &str) -> Refusal {
    Refusal::new(Code::NotFound, field, "there is no such resource, or you can't reach it")
}

/// What a resource is locked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To change it.
    Change,
    /// To add something to it: many may at once.
    Use,
}

/// Locks the memberships that give the actor access to a resource, the resource, and what it lies in, for an actor who has the
/// level on it and will change it.
///
/// NOT_FOUND on `field` for those who can't reach it, FORBIDDEN for those whose level is too low, and CONFLICT while it moves to
/// another organization.
pub(crate) async fn reach(
    transaction: &mut Transaction,
    actor: &Actor,
    id: ResourceId,
    needed: AccessLevel,
    field: &str,
) -> Result<Resource> {
    reach_to(transaction, actor, id, needed, Purpose::Change, field).await
}

async fn reach_to(
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
        let _: Vec<Locked> = diesel::sql_query(
            "SELECT id FROM resources WHERE id = ANY ($1) \
             OR id IN (SELECT container_id FROM resources WHERE id = ANY ($1)) ORDER BY id FOR SHARE",
        )
        .bind::<Array<SqlUuid>, _>(containers)
        .load(&mut **transaction)
        .await?;
        // By what they may have come into before they were locked.
        lock_sources(transaction, reach.user_id(), ids).await?;
    }
    let question = |id: ResourceId| Question::of(reach, id);
    let questions: Vec<Question> = locked.iter().map(|resource| question(resource.id)).collect();
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

/// Locks, shared, the user's memberships in the resources' organizations and in those that they, or what they lie in, are shared
/// with: nothing is written by someone whose access is just ending.
async fn lock_sources(transaction: &mut Transaction, user_id: UserId, ids: &[ResourceId]) -> Result<()> {
    let _: Vec<Locked> = diesel::sql_query(
        "SELECT m.id FROM members m WHERE m.user_id = $1 AND m.status = 'active' AND m.organization_id IN ( \
           SELECT r.organization_id FROM resources r WHERE r.id = ANY ($2) \
           UNION ALL \
           SELECT g.grantee_organization_id FROM resources r LEFT JOIN resources c ON c.id = r.container_id \
           JOIN grants g ON g.resource_id IN (r.id, c.id, c.container_id) AND g.grantee_organization_id IS NOT NULL \
           WHERE r.id = ANY ($2)) \
         ORDER BY m.id FOR SHARE OF m",
    )
    .bind::<SqlUuid, _>(user_id)
    .bind::<Array<SqlUuid>, _>(ids)
    .load(&mut **transaction)
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Locked {
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
    let questions: Vec<Question> = ids.into_iter().map(|id| Question::of(reach, id)).collect();
    let access = access_of(connection, &questions).await?;
    Ok(access.into_iter().map(|(question, access)| (question.resource_id, access.level)).collect())
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

/// What a user may do with resources, in the order asked, for who may know that: staff, a service key as far as its organization
/// holds them, and the user themselves. NONE for anything else.
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
    let question = |id: &ResourceId| Question { user_id, resource_id: *id, within };
    let questions: Vec<Question> = ids.iter().map(question).collect();
    let access = access_of(connection, &questions).await?;
    Ok(questions.iter().map(|question| access.get(question).unwrap_or(&Access::NONE).level).collect())
}
