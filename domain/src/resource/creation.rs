//! Creating resources.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use crate::account::user;
use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::Within;
use crate::authority::platform_data;
use crate::authority::rights::{AccessLevel, Action};
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::{limits, text};
use crate::database::schema::{organizations, resources};
use crate::database::{Database, Transaction, now};
use crate::membership::member;
use crate::resource::kind::ResourceKind;
use crate::resource::storage;
use crate::resource::{self, Purpose, Resource, Visibility};

/// The command that creates a resource.
#[derive(Debug)]
pub struct CreateResource {
    /// The organization. If omitted, it is that of the container or, without a container, the user's default bill-to
    /// (R56).
    pub organization_id: Option<OrganizationId>,
    /// The kind of resource.
    pub kind: ResourceKind,
    /// The name.
    pub name: String,
    /// The description.
    pub description: Option<String>,
    /// The container in which to create it.
    pub container_id: Option<ResourceId>,
    /// Who can read it.
    pub visibility: Visibility,
    /// The size in bytes.
    pub size_bytes: i64,
    /// The platform's own noun for it; only for platform keys.
    pub subtype: Option<String>,
    /// What the platform attaches to it; only for platform keys.
    pub metadata: Option<Value>,
}

/// Creates a resource that the actor owns.
///
/// In a container this requires UPLOAD on it, which people outside the organization may have too. A sample then belongs
/// to them (R33). Anything else belongs to the organization's owner, so that everything has an owner in the
/// organization.
pub async fn create(database: &Database, actor: &Actor, command: &CreateResource) -> Result<Resource> {
    let name = parse_name(command.kind, &command.name)?;
    let description = text::optional_text("description", command.description.as_deref(), limits::DESCRIPTION)?;
    require_size(command.size_bytes)?;
    let subtype = platform_data::subtype("subtype", command.subtype.as_deref())?;
    let metadata = platform_data::metadata("metadata", command.metadata.as_ref())?;
    if subtype.is_some() || metadata.is_some() {
        platform_data::require_platform(actor, if subtype.is_some() { "subtype" } else { "metadata" })?;
    }
    let maker = Maker::of(actor)?;
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
                (None, None) => maker.default_bill_to(transaction, actor).await?,
            };
            let owner_id = match container {
                Some(_) => uploader(transaction, actor, organization_id, maker, command.kind).await?,
                None => {
                    // For workspaces, the organization is locked, so that their limit is exact.
                    let lock = match command.kind {
                        ResourceKind::Workspace => Lock::Organization,
                        _ => Lock::Membership,
                    };
                    let action = Action::CreateResources;
                    let permit =
                        access::authorize(transaction, actor, organization_id, lock, action, "organizationId").await?;
                    if command.kind == ResourceKind::Workspace {
                        require_room_for_workspaces(transaction, organization_id, 1, "kind").await?;
                    }
                    require_billing(&permit, command.kind, "organizationId")?;
                    maker.owner(transaction, organization_id).await?
                }
            };
            let created_by_id = match maker {
                Maker::Person(user_id) => user_id,
                Maker::Platform => owner_id,
            };
            // The time is read after the membership was locked, so that whatever a departure has to pass on is older
            // than the departure.
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
                    resources::created_by_id.eq(created_by_id),
                    resources::container_id.eq(command.container_id),
                    resources::visibility.eq(command.visibility),
                    resources::size_bytes.eq(command.size_bytes),
                    resources::subtype.eq(subtype.as_deref()),
                    resources::metadata.eq(metadata.as_ref()),
                    resources::created_at.eq(at),
                    resources::updated_at.eq(at),
                ))
                .returning(Resource::as_returning())
                .get_result(&mut **transaction)
                .await?;
            storage::change(transaction, organization_id, command.size_bytes.into(), "sizeBytes").await?;
            let event = NewEvent::by(actor, organization_id, AuditAction::ResourceCreated, resource.id)
                .summary(format!("created {}", resource.kind.with_article()))
                .about(resource.owner_id)
                .with(json!({
                    "kind": resource.kind.as_str(), "resourceIds": [resource.id.to_string()],
                    "owner": resource.owner_id.to_string(), "visibility": resource.visibility.as_str(),
                    "containerId": resource.container_id.map(|id| id.to_string()),
                }));
            audit::record(transaction, [event]).await?;
            Ok(resource)
        })
        .await
}

/// Who creates a resource.
#[derive(Debug, Clone, Copy)]
enum Maker {
    /// A person, who owns it.
    Person(UserId),
    /// The platform. What it creates belongs to the organization's owner, since only people own resources (R85).
    Platform,
}

impl Maker {
    fn of(actor: &Actor) -> Result<Self> {
        match actor {
            Actor::Platform(_) => Ok(Self::Platform),
            Actor::User { user_id, .. } | Actor::ApiKey { user_id, .. } | Actor::OnBehalf { user_id, .. } => {
                Ok(Self::Person(*user_id))
            }
            Actor::Service { .. } | Actor::Staff { .. } => {
                let message = "only a person owns a resource; sign in, or use a personal API key";
                Err(Error::refused(Code::Forbidden, "organizationId", message))
            }
        }
    }

    /// The organization that pays if none is named.
    async fn default_bill_to(self, transaction: &mut Transaction, actor: &Actor) -> Result<OrganizationId> {
        match self {
            Self::Person(user_id) => {
                let user = user::by_id(transaction, user_id).await?;
                let within = actor.reach().map_or(Within::All, |reach| reach.within().clone());
                user::default_bill_to(transaction, &user, &within).await
            }
            Self::Platform => {
                let message = "name the organization; a platform key has none of its own";
                Err(Error::refused(Code::Blank, "organizationId", message))
            }
        }
    }

    /// The owner of what is created in the organization, who stays a member until the commit.
    async fn owner(self, transaction: &mut Transaction, organization_id: OrganizationId) -> Result<UserId> {
        match self {
            Self::Person(user_id) => Ok(user_id),
            Self::Platform => member::lock_owner(transaction, organization_id).await,
        }
    }
}

fn require_billing(permit: &Permit, kind: ResourceKind, field: &str) -> Result<()> {
    if kind.is_billable() { permit.require_billing(field) } else { Ok(()) }
}

/// Locks a container to which the actor may add a resource of the kind.
pub(super) async fn enter_container(
    transaction: &mut Transaction,
    actor: &Actor,
    id: ResourceId,
    kind: ResourceKind,
) -> Result<Resource> {
    let container =
        resource::reach_to(transaction, actor, id, AccessLevel::Upload, Purpose::Use, "containerId").await?;
    require_holds(container.kind, kind, "containerId")?;
    Ok(container)
}

/// Fails with INVALID on `field` if a container of this kind can't contain resources of the other kind.
pub(super) fn require_holds(container: ResourceKind, kind: ResourceKind, field: &str) -> Result<(), Refusal> {
    if container.holds().contains(&kind) {
        return Ok(());
    }
    let holds: Vec<String> = container.holds().iter().map(|kind| kind.as_str().to_uppercase()).collect();
    let message = match holds.as_slice() {
        [] => format!("{} holds nothing; projects, workspaces and source groups do", container.with_article()),
        holds => format!("{} holds {} only", container.with_article(), holds.join(", ")),
    };
    Err(Refusal::new(Code::Invalid, field, message))
}

/// Returns the owner of a resource that the actor adds to a container of the organization. The container must be
/// locked.
async fn uploader(
    transaction: &mut Transaction,
    actor: &Actor,
    organization_id: OrganizationId,
    maker: Maker,
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
            maker.owner(transaction, organization_id).await
        }
        Err(Error::Refused(refusals)) if refusals.iter().all(|refusal| refusal.code == Code::NotFound) => {
            if kind.is_billable() {
                let message = "only members with the permission for billable activities create this here";
                return Err(Error::refused(Code::BillingAccessRequired, field, message));
            }
            match (kind, maker) {
                (ResourceKind::Sample, Maker::Person(user_id)) => Ok(user_id),
                _ => member::lock_owner(transaction, organization_id).await,
            }
        }
        Err(error) => Err(error),
    }
}

pub(super) fn require_size(size_bytes: i64) -> Result<()> {
    if size_bytes < 0 {
        return Err(Error::refused(Code::Invalid, "sizeBytes", "must not be negative"));
    }
    Ok(())
}

/// Parses the name of a resource of a kind. Names appear in emails to strangers.
pub(super) fn parse_name(kind: ResourceKind, name: &str) -> Result<String, Refusal> {
    if kind.is_file() { text::file_name("name", name, limits::NAME) } else { text::name("name", name, limits::NAME) }
}

/// Fails with QUOTA_EXCEEDED on `field` if the plan has no room for this many more workspaces (R79). The organization
/// must be locked. A workspace lies in no container, and stays in its organization.
pub(super) async fn require_room_for_workspaces(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    more: usize,
    field: &str,
) -> Result<()> {
    if more == 0 {
        return Ok(());
    }
    let limit: Option<i32> = organizations::table
        .find(organization_id)
        .select(organizations::workspace_limit)
        .first(&mut **transaction)
        .await?;
    let Some(limit) = limit.map(i64::from) else { return Ok(()) };
    let workspaces: Vec<ResourceId> = resources::table
        .filter(resources::organization_id.eq(organization_id))
        .filter(resources::kind.eq(ResourceKind::Workspace))
        .limit(limit)
        .select(resources::id)
        .load(&mut **transaction)
        .await?;
    if i64::try_from(workspaces.len() + more).is_ok_and(|number| number <= limit) {
        return Ok(());
    }
    let message = format!("the organization's plan has room for {limit} workspaces; delete one, or ask for more");
    Err(Error::refused(Code::QuotaExceeded, field, message))
}
