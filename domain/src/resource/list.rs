//! Lists of resources: what someone reaches, a page at a time.
//!
//! A list starts from the viewer's sources, each a range of an index: all that lies in organizations that they lead, what they
//! own, what is visible to members, what is granted to them, and what lies in containers, or is gathered by collections, that
//! they reach by these. A page takes no more than a page of each range; what it costs grows with the grants and containers that
//! someone has, and not with the resources that lie there. A property test holds it to [`super::access_of`].

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::level::access;
use super::{Resource, ResourceKind};
use crate::access::{Permit, is_suspended};
use crate::actor::Actor;
use crate::error::Result;
use crate::id::{OrganizationId, ResourceId, UserId};
use crate::page::{Page, PageRequest, Slice};
use crate::text;

/// Which resources to list.
#[derive(Debug, Clone, Default)]
pub struct ResourceFilter {
    /// Only this kind.
    pub kind: Option<ResourceKind>,
    /// Only this owner's.
    pub owner_id: Option<UserId>,
    /// Only this organization's.
    pub organization_id: Option<OrganizationId>,
    /// Only what lies in this container.
    pub container_id: Option<ResourceId>,
    /// Only those whose name holds this text.
    pub search: Option<String>,
}

impl ResourceFilter {
    fn pattern(&self) -> Option<String> {
        self.search.as_deref().map(str::trim).filter(|search| !search.is_empty()).map(text::like_pattern)
    }
}

/// Conditions on resources `r` behind and before the cursors, as the parameters of these names.
fn bounds(slice: &Slice<ResourceId>, after: &str, before: &str) -> String {
    let mut bounds = String::new();
    if slice.after.is_some() {
        bounds += &format!(" AND r.id > {after}");
    }
    if slice.before.is_some() {
        bounds += &format!(" AND r.id < {before}");
    }
    bounds
}

fn direction(slice: &Slice<ResourceId>) -> &'static str {
    if slice.backward { "DESC" } else { "ASC" }
}

/// The statement of a page of what a user reaches.
///
/// $1 the user, $2 the only organization, $3 kinds, $4 how many, $5 and $6 the cursors, $7 the owner, $8 the container, $9 the
/// pattern of names; $10 and $11 which kinds of containers hold which kinds; $12 the kinds that may lead to what is wanted.
fn statement(filter: &ResourceFilter, within: Option<OrganizationId>, slice: &Slice<ResourceId>) -> String {
    let mut narrowed = bounds(slice, "$5", "$6");
    if filter.owner_id.is_some() {
        narrowed += " AND r.owner_id = $7";
    }
    if filter.container_id.is_some() {
        narrowed += " AND r.container_id = $8";
    }
    if filter.pattern().is_some() {
        narrowed += " AND lower(r.name) LIKE lower($9)";
    }
    let only = |column: &str| if within.is_some() { format!(" AND {column} = $2") } else { String::new() };
    let sorted = format!("ORDER BY r.id {} LIMIT $4", direction(slice));
    // A page of the resources of an organization `me` and a kind, of a range of an index.
    let range = |condition: &str, of: &str| {
        format!(
            "SELECT f.id FROM me CROSS JOIN unnest($3) AS k (kind) CROSS JOIN LATERAL ( \
               SELECT r.id FROM resources r WHERE r.organization_id = me.organization_id AND r.kind = k.kind{condition}{narrowed} {sorted} \
             ) f WHERE {of}"
        )
    };
    let allowed = |by: &str| format!("CASE r.kind WHEN 'app' THEN {by}.apps ELSE {by}.others END");
    // The container that is asked about; and what that lies in or what gathers something of it may lie in.
    let around = match filter.container_id {
        Some(_) => " AND (r.id = $8 OR r.kind IN ('workspace', 'collection'))",
        None => "",
    };
    let holder = |condition: &str| {
        format!(
            "SELECT r.id, r.kind, true AS apps, true AS others FROM me CROSS JOIN unnest($12) AS k (kind) \
             JOIN resources r ON r.organization_id = me.organization_id AND r.kind = k.kind AND {condition}{around} WHERE NOT me.leads"
        )
    };
    let in_container = if filter.container_id.is_some() { " AND h.id = $8" } else { "" };
    format!(
        "WITH me AS MATERIALIZED ( \
           SELECT m.organization_id, m.role IN ('owner', 'admin') AS leads FROM members m \
           JOIN organizations o ON o.id = m.organization_id AND o.deleted_at IS NULL \
           WHERE m.user_id = $1 AND m.status = 'active'{only_member} \
         ), granted AS MATERIALIZED ( \
           SELECT g.resource_id, true AS apps, true AS others FROM grants g \
             JOIN organizations o ON o.id = g.organization_id AND o.deleted_at IS NULL \
             LEFT JOIN members m ON m.organization_id = g.organization_id AND m.user_id = $1 \
             WHERE g.user_id = $1{only_grant} AND (m.status = 'active' \
               OR o.external_sharing = 'allowed' AND (m.id IS NULL OR g.position > m.ended_at_position)) \
           UNION ALL \
           SELECT g.resource_id, true, true FROM me JOIN team_members t ON t.organization_id = me.organization_id AND t.user_id = $1 \
             JOIN grants g ON g.team_id = t.team_id \
           UNION ALL \
           SELECT g.resource_id, gm.role IN ('owner', 'admin') OR gm.shared_apps, \
               gm.role IN ('owner', 'admin') OR gm.shared_projects <> 'none' \
             FROM members gm JOIN organizations go ON go.id = gm.organization_id AND go.deleted_at IS NULL \
             AND go.personal_user_id IS NULL \
             JOIN grants g ON g.grantee_organization_id = gm.organization_id \
             JOIN organizations o ON o.id = g.organization_id AND o.deleted_at IS NULL \
             WHERE gm.user_id = $1 AND gm.status = 'active'{only_grant} \
             AND (g.grantee_organization_id = g.organization_id OR o.external_sharing = 'allowed') \
         ), holders AS MATERIALIZED ( \
           {owned_holders} UNION {visible_holders} UNION \
           SELECT r.id, r.kind, g.apps, g.others FROM granted g JOIN resources r ON r.id = g.resource_id \
             WHERE r.kind = ANY ($12){around} \
         ), inside AS MATERIALIZED ( \
           SELECT * FROM holders UNION \
           SELECT r.id, r.kind, h.apps, h.others FROM holders h CROSS JOIN LATERAL ( \
             SELECT r.id, r.kind FROM resources r WHERE r.container_id = h.id AND r.kind = ANY ($12){around} OFFSET 0) r \
         ), page AS ( \
           SELECT r.id FROM ( \
             {led} UNION ALL {owned} UNION ALL {visible} \
             UNION ALL \
             SELECT r.id FROM granted g JOIN resources r ON r.id = g.resource_id WHERE r.kind = ANY ($3) AND {granted_allow}{narrowed} \
             UNION ALL \
             SELECT f.id FROM inside h JOIN unnest($10, $11) AS p (container, kind) ON p.container = h.kind AND p.kind = ANY ($3) \
               CROSS JOIN LATERAL (SELECT r.id FROM resources r \
                 WHERE r.container_id = h.id AND r.kind = p.kind AND {inside_allow}{narrowed} {sorted}) f WHERE true{in_container} \
             UNION ALL \
             SELECT f.id FROM inside h CROSS JOIN LATERAL (SELECT r.id FROM collection_items i JOIN resources r ON r.id = i.resource_id \
                 WHERE i.collection_id = h.id AND r.kind = ANY ($3) AND {inside_allow}{narrowed} {sorted}) f WHERE h.kind = 'collection' \
           ) r GROUP BY r.id {sorted} \
         ) SELECT r.* FROM page JOIN resources r USING (id) ORDER BY r.id {direction}",
        only_member = only("m.organization_id"),
        only_grant = only("g.organization_id"),
        owned_holders = holder("r.owner_id = $1"),
        visible_holders = holder("r.visibility = 'organization'"),
        led = range("", "me.leads"),
        owned = range(" AND r.owner_id = $1", "NOT me.leads"),
        visible = range(" AND r.visibility = 'organization'", "NOT me.leads"),
        granted_allow = allowed("g"),
        inside_allow = allowed("h"),
        direction = direction(slice),
    )
}

/// The kinds of containers and collections by which something of the kinds may be reached.
fn leading_to(kinds: &[ResourceKind]) -> Vec<ResourceKind> {
    let holds_any =
        |holder: &ResourceKind, wanted: &[ResourceKind]| wanted.iter().any(|kind| holder.holds().contains(kind));
    let mut leading: Vec<ResourceKind> =
        ResourceKind::ALL.iter().copied().filter(|holder| holds_any(holder, kinds)).collect();
    if kinds.iter().any(|kind| kind.is_gathered()) {
        leading.push(ResourceKind::Collection);
    }
    // What these lie in themselves.
    let outer: Vec<ResourceKind> =
        ResourceKind::ALL.iter().copied().filter(|holder| holds_any(holder, &leading)).collect();
    leading.extend(outer);
    leading.sort_unstable();
    leading.dedup();
    leading
}

/// A page of everything that the user reaches, in whichever organization, oldest first.
pub async fn list_of_user(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    user_id: UserId,
    filter: &ResourceFilter,
    page: &PageRequest,
) -> Result<Page<Resource>> {
    let slice: Slice<ResourceId> = page.slice()?;
    let within = match (filter.organization_id, actor.only_organization()) {
        (Some(wanted), Some(only)) if wanted != only => {
            return slice.page(Vec::new(), |resource: &Resource| resource.id);
        }
        (wanted, only) => wanted.or(only),
    };
    if is_suspended(actor) {
        return slice.page(Vec::new(), |resource: &Resource| resource.id);
    }
    let kinds: Vec<ResourceKind> = filter.kind.map_or_else(|| ResourceKind::ALL.to_vec(), |kind| vec![kind]);
    let (containers, held): (Vec<ResourceKind>, Vec<ResourceKind>) = ResourceKind::pairs().into_iter().unzip();
    let rows: Vec<Resource> = diesel::sql_query(statement(filter, within, &slice))
        .bind::<SqlUuid, _>(user_id)
        .bind::<Nullable<SqlUuid>, _>(within)
        .bind::<Array<Text>, _>(&kinds)
        .bind::<BigInt, _>(slice.fetch())
        .bind::<Nullable<SqlUuid>, _>(slice.after)
        .bind::<Nullable<SqlUuid>, _>(slice.before)
        .bind::<Nullable<SqlUuid>, _>(filter.owner_id)
        .bind::<Nullable<SqlUuid>, _>(filter.container_id)
        .bind::<Nullable<Text>, _>(filter.pattern())
        .bind::<Array<Text>, _>(containers)
        .bind::<Array<Text>, _>(held)
        .bind::<Array<Text>, _>(leading_to(&kinds))
        .load(connection)
        .await?;
    slice.page(rows, |resource| resource.id)
}

/// A page of the organization's resources that the permit reaches, oldest first; owner and admins reach all (R2, R5, R62).
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    filter: &ResourceFilter,
    page: &PageRequest,
) -> Result<Page<Resource>> {
    let filter = ResourceFilter { organization_id: Some(permit.organization_id()), ..filter.clone() };
    list_of_user(connection, permit.actor(), permit.user_id(), &filter, page).await
}

/// Resources that belong to one thing of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// What lies in a container.
    Contents(ResourceId),
    /// What a collection gathers.
    Items(ResourceId),
    /// The machines of someone in an organization (R13).
    Machines(OrganizationId, UserId),
}

/// Which resources of several parts are wanted, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Within {
    /// Who looks.
    pub viewer_id: UserId,
    /// Only this kind.
    pub kind: Option<ResourceKind>,
}

/// A page of each of the parts, as far as the viewer reaches them, oldest first: one statement for parts of one sort, however many.
pub async fn list_within(
    connection: &mut AsyncPgConnection,
    within: Within,
    parts: &[Part],
    page: &PageRequest,
) -> Result<Vec<Page<Resource>>> {
    use crate::id::TypedId;

    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        ordinal: i64,
        #[diesel(embed)]
        resource: Resource,
    }
    let slice: Slice<ResourceId> = page.slice()?;
    let (bounds, direction) = (bounds(&slice, "$6", "$7"), direction(&slice));
    let access = access("$1");
    let of = |part: &Part| match part {
        Part::Contents(_) => format!("resources r CROSS JOIN {access} WHERE r.container_id = k.id AND r.kind = x.kind"),
        Part::Items(_) => format!(
            "collection_items i JOIN resources r ON r.id = i.resource_id CROSS JOIN {access} \
             WHERE i.collection_id = k.id AND r.kind = ANY ($4)"
        ),
        Part::Machines(..) => format!(
            "resources r CROSS JOIN {access} WHERE r.organization_id = k.id AND r.owner_id = k.owner_id AND r.kind = x.kind"
        ),
    };
    let key = |part: &Part| match part {
        Part::Contents(id) | Part::Items(id) => (id.uuid(), None),
        Part::Machines(organization_id, owner_id) => (organization_id.uuid(), Some(*owner_id)),
    };
    let mut pages: Vec<Vec<Resource>> = parts.iter().map(|_| Vec::new()).collect();
    let Some(source) = parts.first().map(of) else { return Ok(Vec::new()) };
    // Kind by kind, where that is how an index lies.
    let of_kinds = match parts.first() {
        Some(Part::Items(_)) => "(VALUES (NULL))",
        _ => "unnest($4)",
    };
    let (ids, owners): (Vec<uuid::Uuid>, Vec<Option<UserId>>) = parts.iter().map(key).unzip();
    let kinds: Vec<ResourceKind> = match (parts.first(), within.kind) {
        (Some(Part::Machines(..)), _) => vec![ResourceKind::Machine],
        (_, Some(kind)) => vec![kind],
        (_, None) => ResourceKind::ALL.to_vec(),
    };
    let rows: Vec<Row> = diesel::sql_query(format!(
        "SELECT k.ordinal, r.* FROM unnest($2, $3) WITH ORDINALITY AS k (id, owner_id, ordinal) CROSS JOIN LATERAL ( \
           SELECT f.id FROM {of_kinds} AS x (kind) CROSS JOIN LATERAL ( \
             SELECT r.id FROM {source} AND access.rank > 0{bounds} ORDER BY r.id {direction} LIMIT $5 \
           ) f ORDER BY f.id {direction} LIMIT $5 \
         ) p JOIN resources r ON r.id = p.id ORDER BY k.ordinal, r.id {direction}"
    ))
    .bind::<SqlUuid, _>(within.viewer_id)
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<Nullable<SqlUuid>>, _>(owners)
    .bind::<Array<Text>, _>(kinds)
    .bind::<BigInt, _>(slice.fetch())
    .bind::<Nullable<SqlUuid>, _>(slice.after)
    .bind::<Nullable<SqlUuid>, _>(slice.before)
    .load(connection)
    .await?;
    for row in rows {
        let index = usize::try_from(row.ordinal - 1).unwrap_or_default();
        if let Some(page) = pages.get_mut(index) {
            page.push(row.resource);
        }
    }
    pages.into_iter().map(|rows| slice.page(rows, |resource| resource.id)).collect()
}
