//! Share links: a page with a collection for everybody who has the link, until the link expires or is revoked (R73).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::issued::Issued;
use crate::authority::resource_access::{self, Giver};
use crate::authority::rights::{AccessLevel, ExternalSharing};
use crate::base::attached::{self, Attached};
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId, ShareLinkId, UserId};
use crate::base::page::{Page, PageRequest, Slice, by_id};
use crate::base::secret::Token;
use crate::base::sql::{FixedSql, Prepare as _};
use crate::base::{clock, limits};
use crate::database::schema::{collection_items, organizations, resources, share_links};
use crate::database::{Database, now, rollcall_now};
use crate::membership::organization::{self, Organization};
use crate::resource::kind::ResourceKind;
use crate::resource::{self, Asking, Resource};

/// The prefix of the links' tokens.
const TOKEN_PREFIX: &str = "rcl_";
/// How many characters of the token are kept, to tell links apart.
const SHOWN: usize = 4;

/// A link to a collection.
#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = share_links)]
pub struct ShareLink {
    /// The link's id.
    pub id: ShareLinkId,
    /// The organization to which the collection belongs.
    pub organization_id: OrganizationId,
    /// The collection.
    pub resource_id: ResourceId,
    /// The last characters of the link.
    pub hint: String,
    /// The user who created it; `None` for the platform.
    pub created_by_id: Option<UserId>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Attached for ShareLink {
    type Id = ShareLinkId;
    type Parent = ResourceId;
    const TABLE: &'static str = "share_links";
    const PARENT: &'static str = "resource_id";
    fn condition() -> String {
        Issued::ShareLink.open()
    }
    fn id(&self) -> ShareLinkId {
        self.id
    }
    fn parent(&self) -> ResourceId {
        self.resource_id
    }
}

/// The condition for links that work: neither revoked, nor expired, nor ended together with their creator.
#[diesel::dsl::auto_type]
fn is_living() -> _ {
    let now: diesel::dsl::Nullable<rollcall_now> = rollcall_now().nullable();
    let stands: FixedSql<Bool> = Issued::ShareLink.stands();
    share_links::revoked_at
        .is_null()
        .and(share_links::expires_at.is_null().or(share_links::expires_at.gt(now)))
        .and(stands)
}

/// Creates a link to a collection. This requires ADMINISTER on it, and a policy that allows sharing with outsiders.
/// This is the only time that the token is shown.
///
/// # Errors
///
/// On `resourceId`: NOT_FOUND, FORBIDDEN, INVALID if it isn't a collection, TOO_MANY; INVALID on `expiresAt`.
pub async fn create(
    database: &Database,
    actor: &Actor,
    resource_id: ResourceId,
    expires_at: Option<DateTime<Utc>>,
) -> Result<(ShareLink, Token)> {
    let field = "resourceId";
    database
        .transaction(async |transaction| {
            let collection = resource::reach(transaction, actor, resource_id, AccessLevel::Administer, field).await?;
            if collection.kind != ResourceKind::Collection {
                let message = format!("this is {}; only collections have links", collection.kind.with_article());
                return Err(Error::refused(Code::Invalid, field, message));
            }
            let sharing = organization::external_sharing(transaction, collection.organization_id).await?;
            if sharing == ExternalSharing::MembersOnly {
                let message = "the organization's policy keeps sharing inside";
                return Err(Error::refused(Code::Forbidden, field, message));
            }
            let at = now(transaction).await?;
            clock::require_future("expiresAt", expires_at, at)?;
            let living: i64 = share_links::table
                .filter(share_links::resource_id.eq(resource_id))
                .filter(is_living())
                .count()
                .get_result(&mut **transaction)
                .await?;
            if living >= limits::MAX_SHARE_LINKS {
                let message = format!("this collection has {living} links; revoke those that nobody needs");
                return Err(Error::refused(Code::TooMany, field, message));
            }
            let token = Token::random(TOKEN_PREFIX)?;
            let secret = token.reveal();
            let hint: String = secret.chars().skip(secret.chars().count().saturating_sub(SHOWN)).collect();
            let link: ShareLink = diesel::insert_into(share_links::table)
                .values((
                    share_links::id.eq(ShareLinkId::new()),
                    share_links::organization_id.eq(collection.organization_id),
                    share_links::resource_id.eq(resource_id),
                    share_links::token_digest.eq(Token::digest(secret)),
                    share_links::hint.eq(hint),
                    share_links::created_by_id.eq(actor.account()),
                    share_links::created_at.eq(at),
                    share_links::expires_at.eq(expires_at),
                ))
                .returning(ShareLink::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let event = NewEvent::by(actor, link.organization_id, AuditAction::ShareLinkCreated, link.id)
                .summary("made a link to a collection")
                .with(json!({ "resourceIds": [resource_id.to_string()], "expiresAt": expires_at }));
            audit::record(transaction, [event]).await?;
            Ok((link, token))
        })
        .await
}

/// Revokes a link. This requires ADMINISTER on the collection.
///
/// # Errors
///
/// NOT_FOUND, FORBIDDEN or CONFLICT on `id` if the actor may not revoke the link.
pub async fn revoke(database: &Database, actor: &Actor, id: ShareLinkId) -> Result<ShareLinkId> {
    access::require_writing(actor, "id")?;
    let not_found = || Refusal::new(Code::NotFound, "id", "there is no such link");
    database
        .transaction(async |transaction| {
            let asking = Asking::to_change(actor, "id")?;
            let link = seen_by(transaction, &asking, &[id]).await?.pop().ok_or_else(not_found)?;
            resource::reach(transaction, actor, link.resource_id, AccessLevel::Administer, "id").await?;
            let revoked = diesel::update(share_links::table.find(id).filter(share_links::revoked_at.is_null()))
                .set(share_links::revoked_at.eq(rollcall_now().nullable()))
                .prepared()
                .execute(&mut **transaction)
                .await?;
            if revoked == 0 {
                return Err(not_found().into());
            }
            let event = NewEvent::by(actor, link.organization_id, AuditAction::ShareLinkRevoked, id)
                .summary("revoked a link to a collection")
                .with(json!({ "resourceIds": [link.resource_id.to_string()] }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Returns those of the links that the actor may see: links to collections that they administer.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[ShareLinkId],
) -> Result<Vec<ShareLink>> {
    seen_by(connection, &Asking::to_read(actor), ids).await
}

async fn seen_by(
    connection: &mut AsyncPgConnection,
    asking: &Asking<'_>,
    ids: &[ShareLinkId],
) -> Result<Vec<ShareLink>> {
    let found: Vec<ShareLink> = share_links::table
        .filter(share_links::id.eq_any(ids))
        .filter(is_living())
        .select(ShareLink::as_select())
        .load(connection)
        .await?;
    resource::within_reach(connection, asking, found, |_| AccessLevel::Administer).await
}

/// Returns a page of the working links to each of the collections, oldest first, and how many there are. The caller has
/// checked that the actor administers the collections.
pub async fn of_resources(
    connection: &mut AsyncPgConnection,
    ids: &[ResourceId],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<ResourceId, (Page<ShareLink>, i64)>> {
    attached::to(connection, ids, page, with_count).await
}

/// The contents of a link's page.
#[derive(Debug)]
pub struct SharedCollection {
    /// The collection.
    pub collection: Resource,
    /// The name of the organization that shares the collection.
    pub organization_name: String,
    /// A page of the collection's items, oldest first.
    pub items: Page<Resource>,
}

/// Returns the collection to which a link leads. Returns `None` if the link is unknown, expired or revoked, if the
/// organization was deleted or its policy doesn't allow sharing with outsiders, or if the link's creator doesn't
/// administer the collection. Opening a link changes nothing.
pub async fn open(
    connection: &mut AsyncPgConnection,
    token: &str,
    page: &PageRequest,
) -> Result<Option<SharedCollection>> {
    let slice: Slice<ResourceId> = page.slice()?;
    let found: Option<(Resource, Organization, Option<UserId>)> = share_links::table
        .inner_join(resources::table.on(resources::id.eq(share_links::resource_id)))
        .inner_join(organizations::table.on(organizations::id.eq(resources::organization_id)))
        .filter(share_links::token_digest.eq(Token::digest(token)))
        .filter(is_living())
        .filter(organizations::deleted_at.is_null())
        .filter(organizations::external_sharing.eq(ExternalSharing::Allowed))
        .select((Resource::as_select(), Organization::as_select(), share_links::created_by_id))
        .first(connection)
        .await
        .optional()?;
    let Some((collection, organization, created_by_id)) = found else { return Ok(None) };
    // It doesn't matter how the creator's right ended: by a revoked grant, a demotion, or leaving the organization to
    // which it was granted.
    let giver = Giver { user_id: created_by_id, resource_id: collection.id, organization_id: organization.id };
    if resource_access::rightful(connection, &[giver]).await?.is_empty() {
        return Ok(None);
    }
    let query = resources::table
        .inner_join(collection_items::table.on(collection_items::resource_id.eq(resources::id)))
        .filter(collection_items::collection_id.eq(collection.id))
        .select(Resource::as_select())
        .into_boxed();
    let rows = by_id!(query, slice, resources::id).load(connection).await?;
    let items = slice.page(rows, |item: &Resource| item.id)?;
    Ok(Some(SharedCollection { collection, organization_name: organization.name, items }))
}
