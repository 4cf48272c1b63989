//! Changing and publishing resources.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform_data;
use crate::authority::rights::AccessLevel;
use crate::base::error::{Code, Error, Result};
use crate::base::id::ResourceId;
use crate::base::{limits, text};
use crate::database::schema::resources;
use crate::database::{Database, Transaction, rollcall_now};
use crate::membership::member;
use crate::resource::kind::ResourceKind;
use crate::resource::storage;
use crate::resource::{self, Resource, Visibility};

/// The changes to make to a resource. `None` leaves a field as it is.
#[derive(Debug, Default)]
pub struct UpdateResource {
    /// The name.
    pub name: Option<String>,
    /// The description; `Some(None)` clears it.
    pub description: Option<Option<String>>,
    /// The container; `Some(None)` takes the resource out of it.
    pub container_id: Option<Option<ResourceId>>,
    /// Who can read the resource. It can't be cleared.
    pub visibility: Option<Option<Visibility>>,
    /// The size in bytes. It can't be cleared.
    pub size_bytes: Option<Option<i64>>,
    /// The platform's own noun for it; only for platform keys.
    pub subtype: Option<Option<String>>,
    /// What the platform attaches to it; only for platform keys.
    pub metadata: Option<Option<Value>>,
}

impl UpdateResource {
    /// The fields that the command changes, by their names in the API.
    fn changed_fields(&self) -> Vec<&'static str> {
        let fields = [
            ("name", self.name.is_some()),
            ("description", self.description.is_some()),
            ("containerId", self.container_id.is_some()),
            ("visibility", self.visibility.is_some()),
            ("sizeBytes", self.size_bytes.is_some()),
            ("subtype", self.subtype.is_some()),
            ("metadata", self.metadata.is_some()),
        ];
        fields.into_iter().filter(|(_, is_changed)| *is_changed).map(|(field, _)| field).collect()
    }
}

/// Returns an update's value for a field that can't be cleared. Fails with BLANK if the value is null.
fn kept<T>(field: &str, value: Option<Option<T>>) -> Result<Option<T>> {
    match value {
        Some(None) => Err(Error::refused(Code::Blank, field, "can't be cleared; leave it out to keep it as it is")),
        value => Ok(value.flatten()),
    }
}

/// Changes a resource. This requires CONTRIBUTE on it, or ADMINISTER to change its visibility or container, and UPLOAD
/// on a new container.
pub async fn update(database: &Database, actor: &Actor, id: ResourceId, command: &UpdateResource) -> Result<Resource> {
    // At this point the kind isn't known, so only what applies to names of every kind is checked.
    command.name.as_deref().map(|name| text::file_name("name", name, limits::NAME)).transpose()?;
    let description = command
        .description
        .as_ref()
        .map(|description| text::optional_text("description", description.as_deref(), limits::DESCRIPTION))
        .transpose()?;
    let visibility = kept("visibility", command.visibility)?;
    let size_bytes = kept("sizeBytes", command.size_bytes)?;
    size_bytes.map(resource::creation::require_size).transpose()?;
    let subtype =
        command.subtype.as_ref().map(|subtype| platform_data::subtype("subtype", subtype.as_deref())).transpose()?;
    let metadata =
        command.metadata.as_ref().map(|data| platform_data::metadata("metadata", data.as_ref())).transpose()?;
    if subtype.is_some() || metadata.is_some() {
        platform_data::require_platform(actor, if subtype.is_some() { "subtype" } else { "metadata" })?;
    }
    let changed = command.changed_fields();
    database
        .transaction(async |transaction| {
            let administers = visibility.is_some() || command.container_id.is_some();
            let needed = if administers { AccessLevel::Administer } else { AccessLevel::Contribute };
            let before = resource::reach(transaction, actor, id, needed, "id").await?;
            if changed.is_empty() {
                return Ok(before);
            }
            let name =
                command.name.as_deref().map(|name| resource::creation::parse_name(before.kind, name)).transpose()?;
            if let Some(Some(container_id)) = command.container_id.filter(|new| *new != before.container_id) {
                let container =
                    resource::creation::enter_container(transaction, actor, container_id, before.kind).await?;
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
                subtype: Option<Option<&'a str>>,
                metadata: Option<Option<&'a Value>>,
            }
            let changes = Changes {
                name: name.as_deref(),
                folded_name: name.as_deref().map(text::fold),
                description: description.as_ref().map(Option::as_deref),
                container_id: command.container_id,
                visibility,
                size_bytes,
                subtype: subtype.as_ref().map(Option::as_deref),
                metadata: metadata.as_ref().map(Option::as_ref),
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
                .with(json!({ "fields": changed, "resourceIds": [id.to_string()] }));
            if resource.visibility != before.visibility {
                event = event.with(json!({ "visibility": resource.visibility.as_str() }));
            }
            if resource.container_id != before.container_id {
                let container = resource.container_id.map(|id| id.to_string());
                event = event.with(json!({ "containerId": container }));
            }
            audit::record(transaction, [event]).await?;
            Ok(resource)
        })
        .await
}

/// Fails if the sample's owner isn't a member. Outside a container, only the owner and admins could reach it, and no
/// cascade would collect it any more (R36).
async fn require_collected(transaction: &mut Transaction, sample: &Resource) -> Result<()> {
    if member::lock_active(transaction, sample.organization_id, &[sample.owner_id]).await?.is_empty() {
        let message = "the sample's owner is no member here, so it stays in a project; move it to another one";
        return Err(Error::refused(Code::Invalid, "containerId", message));
    }
    Ok(())
}

/// Publishes an app. This requires ADMINISTER on it. From then on its organization can't change (R60).
pub async fn publish_app(database: &Database, actor: &Actor, id: ResourceId) -> Result<Resource> {
    database
        .transaction(async |transaction| {
            let app = resource::reach(transaction, actor, id, AccessLevel::Administer, "id").await?;
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
            let event = NewEvent::by(actor, app.organization_id, AuditAction::AppPublished, id)
                .summary("published an app")
                .with(json!({ "resourceIds": [id.to_string()] }));
            audit::record(transaction, [event]).await?;
            Ok(app)
        })
        .await
}
