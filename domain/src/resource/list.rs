//! Lists of resources: what someone reaches, a page at a time.
//!
//! A list starts from the viewer's sources, each a range of an index: all that lies in organizations that they lead,
//! what they own, what is visible to members, what is granted to them, and what lies in containers, or is gathered by
//! collections, that they reach by these. A page takes no more than a page of each range; what it costs grows with the
//! grants and containers that someone has, and not with the resources that lie there. A search for a name that few have
//! begins with these few instead. A property test holds it to [`crate::authority::level::access_of`].

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Json, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::access::Permit;
use crate::authority::actor::Actor;
use crate::authority::level::{OWN_COUNTS, access};
use crate::base::error::Result;
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::{limits, text};
use crate::resource::Resource;
use crate::resource::kind::ResourceKind;

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

/// Conditions on ids behind and before the cursors, as the parameters of these names.
fn bounds(slice: &Slice<ResourceId>, id: &str, after: &str, before: &str) -> String {
    let mut bounds = String::new();
    if slice.after.is_some() {
        bounds += &format!(" AND {id} > {after}");
    }
    if slice.before.is_some() {
        bounds += &format!(" AND {id} < {before}");
    }
    bounds
}

/// What a search looks through, whoever reaches it: conditions on resources `r`, with $13 the organizations. Nothing else narrows it,
/// so that the index of names is all that serves it.
const FOUND: &str = "r.organization_id = ANY ($13)";

/// What is searched for among names.
enum Search {
    /// Names that hold a text.
    Text(String),
    /// Names with a word that begins with one or two letters or digits: trigrams know words' beginnings, and nothing else so short.
    Beginning(String),
}

impl Search {
    fn new(text: String) -> Self {
        match text.chars().count() {
            // Where two characters are a word of their own, they are looked for anywhere.
            1 | 2 if text.chars().all(|c| c.is_ascii_alphanumeric()) => Self::Beginning(text),
            _ => Self::Text(text),
        }
    }

    /// What LIKE takes.
    fn pattern(&self) -> String {
        match self {
            Self::Text(text) => text::like_pattern(text),
            Self::Beginning(beginning) => text::like_beginning(beginning),
        }
    }

    /// The condition on resources `r`, with $10 the pattern.
    fn condition(&self) -> &'static str {
        match self {
            Self::Text(_) => "r.folded_name LIKE $10",
            Self::Beginning(_) => {
                "(r.folded_name LIKE $10 OR r.folded_name LIKE '% ' || $10 OR r.folded_name LIKE '%-' || $10 \
                 OR r.folded_name LIKE '%\\_' || $10 OR r.folded_name LIKE '%.' || $10 OR r.folded_name LIKE '%/' || $10)"
            }
        }
    }

    /// Whether the index of names serves it: it holds a trigram, of which a word's beginning counts two characters and
    /// its end one.
    fn is_indexed(&self) -> bool {
        match self {
            Self::Text(text) => {
                let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
                let trigrams = |(number, word): (usize, &&str)| {
                    let begins = if number > 0 { 2 } else { 0 };
                    let ends = usize::from(number + 1 < words.len());
                    !word.is_empty() && begins + word.chars().count() + ends >= 3
                };
                words.iter().enumerate().any(trigrams)
            }
            Self::Beginning(_) => true,
        }
    }
}

fn direction(slice: &Slice<ResourceId>) -> &'static str {
    if slice.backward { "DESC" } else { "ASC" }
}

/// A list that is asked for.
struct Asked<'a> {
    user_id: UserId,
    /// The only organization.
    within: Option<OrganizationId>,
    filter: &'a ResourceFilter,
    kinds: Vec<ResourceKind>,
    leading: Vec<ResourceKind>,
    containers: Vec<ResourceKind>,
    held: Vec<ResourceKind>,
    search: Option<Search>,
    slice: &'a Slice<ResourceId>,
}

impl<'a> Asked<'a> {
    fn new(
        user_id: UserId,
        within: Option<OrganizationId>,
        filter: &'a ResourceFilter,
        slice: &'a Slice<ResourceId>,
    ) -> Self {
        let kinds: Vec<ResourceKind> = filter.kind.map_or_else(|| ResourceKind::ALL.to_vec(), |kind| vec![kind]);
        let mut leading = leading_to(&kinds);
        if filter.container_id.is_some() {
            // The container itself is looked for by its id.
            leading.retain(|kind| matches!(kind, ResourceKind::Workspace | ResourceKind::Collection));
        }
        let (containers, held) = ResourceKind::pairs().into_iter().unzip();
        let search = text::searched(filter.search.as_deref()).map(Search::new);
        Self { user_id, within, filter, kinds, leading, containers, held, search, slice }
    }

    /// A statement with the parameters that all of them have: $1 the user, $2 the only organization, $3 the container, $4 the kinds
    /// that may lead to what is wanted, $5 kinds, $6 how many, $7 and $8 the cursors, $9 the owner, $10 the pattern of names, $11 and
    /// $12 which kinds of containers hold which kinds.
    fn query(&'a self, statement: String) -> BoxedSqlQuery<'a, Pg, SqlQuery> {
        diesel::sql_query(statement)
            .into_boxed()
            .bind::<SqlUuid, _>(self.user_id)
            .bind::<Nullable<SqlUuid>, _>(self.within)
            .bind::<Nullable<SqlUuid>, _>(self.filter.container_id)
            .bind::<Array<Text>, _>(&self.leading)
            .bind::<Array<Text>, _>(&self.kinds)
            .bind::<BigInt, _>(self.slice.fetch())
            .bind::<Nullable<SqlUuid>, _>(self.slice.after)
            .bind::<Nullable<SqlUuid>, _>(self.slice.before)
            .bind::<Nullable<SqlUuid>, _>(self.filter.owner_id)
            .bind::<Nullable<Text>, _>(self.search.as_ref().map(Search::pattern))
            .bind::<Array<Text>, _>(&self.containers)
            .bind::<Array<Text>, _>(&self.held)
    }

    /// Conditions on ids, as the column of this name: behind and before the cursors.
    fn bounds(&self, id: &str) -> String {
        bounds(self.slice, id, "$7", "$8")
    }

    /// Conditions on resources of this name: whose, and in which container.
    fn narrowed(&self, resource: &str) -> String {
        let mut narrowed = String::new();
        if self.filter.owner_id.is_some() {
            narrowed += &format!(" AND {resource}.owner_id = $9");
        }
        if self.filter.container_id.is_some() {
            narrowed += &format!(" AND {resource}.container_id = $3");
        }
        narrowed
    }

    /// Conditions on resources `r`: what a search finds.
    fn named(&self) -> String {
        self.search.as_ref().map_or_else(String::new, |search| format!(" AND {}", search.condition()))
    }

    /// A page's order and length, by the column `id`.
    fn sorted(&self, id: &str) -> String {
        format!("ORDER BY {id} {} LIMIT $6", direction(self.slice))
    }

    /// The beginning of a statement, what the user reaches resources by: `me`, their memberships; `granted`, what is granted to
    /// them, or moving to them; and `inside`, the containers and collections that they reach. `apps` and `others` say what comes of a
    /// grant (R58).
    fn sources(&self) -> String {
        let only = |column: &str| if self.within.is_some() { format!(" AND {column} = $2") } else { String::new() };
        // A range of an index for each kind; and the container that is asked about, by its id.
        let holders = |condition: &str| {
            let of_kinds = format!(
                "SELECT r.id, r.kind, true AS apps, true AS others FROM me CROSS JOIN unnest($4) AS k (kind) \
                 CROSS JOIN LATERAL (SELECT r.id, r.kind FROM resources r \
                   WHERE r.organization_id = me.organization_id AND r.kind = k.kind AND {condition} OFFSET 0) r WHERE NOT me.leads"
            );
            if self.filter.container_id.is_none() {
                return of_kinds;
            }
            format!(
                "{of_kinds} UNION SELECT r.id, r.kind, true, true FROM me JOIN resources r ON r.id = $3 \
                 AND r.organization_id = me.organization_id AND {condition} WHERE NOT me.leads"
            )
        };
        let (or_itself, itself) = match self.filter.container_id {
            Some(_) => (
                " OR r.id = $3",
                " UNION SELECT r.id, r.kind, h.apps, h.others FROM holders h JOIN resources r ON r.id = $3 AND r.container_id = h.id",
            ),
            None => ("", ""),
        };
        format!(
            "WITH me AS MATERIALIZED ( \
               SELECT m.organization_id, m.role IN ('owner', 'admin') AS leads FROM members m \
               JOIN organizations o ON o.id = m.organization_id AND o.deleted_at IS NULL \
               WHERE m.user_id = $1 AND m.status = 'active'{only_member} \
             ), granted AS MATERIALIZED ( \
               SELECT g.resource_id, true AS apps, true AS others FROM grants g \
                 JOIN organizations o ON o.id = g.organization_id AND o.deleted_at IS NULL \
                 LEFT JOIN members m ON m.organization_id = g.organization_id AND m.user_id = $1 \
                 WHERE g.user_id = $1{only_grant} AND {OWN_COUNTS} \
               UNION ALL \
               SELECT g.resource_id, true, true FROM me \
                 JOIN team_members t ON t.organization_id = me.organization_id AND t.user_id = $1 \
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
               UNION ALL \
               SELECT r.id, true, true FROM resources r JOIN organizations o ON o.id = r.organization_id AND o.deleted_at IS NULL \
                 WHERE r.owner_id = $1 AND r.moving{only_moving} \
             ), holders AS MATERIALIZED ( \
               {owned} UNION {visible} UNION \
               SELECT r.id, r.kind, g.apps, g.others FROM granted g JOIN resources r ON r.id = g.resource_id \
                 WHERE r.kind = ANY ($4){or_itself} \
             ), inside AS MATERIALIZED ( \
               SELECT * FROM holders UNION \
               SELECT r.id, r.kind, h.apps, h.others FROM holders h CROSS JOIN LATERAL ( \
                 SELECT r.id, r.kind FROM resources r WHERE r.container_id = h.id AND r.kind = ANY ($4) OFFSET 0) r{itself} \
             )",
            only_member = only("m.organization_id"),
            only_grant = only("g.organization_id"),
            only_moving = only("r.organization_id"),
            owned = holders("r.owner_id = $1"),
            visible = holders("r.visibility = 'organization'"),
        )
    }

    /// A page of what the sources lead to: a page of each range, merged.
    fn merging(&self) -> String {
        let narrowed = self.narrowed("r") + &self.named();
        let (wanted, sorted) = (self.bounds("r.id") + &narrowed, self.sorted("r.id"));
        let (item_bounds, sorted_items) = (self.bounds("i.resource_id"), self.sorted("i.resource_id"));
        // Item by item, of which a collection has not too many; not by what they are narrowed to, of which there may be.
        let narrowed_items = match narrowed.as_str() {
            "" => String::new(),
            _ => {
                format!(" CROSS JOIN LATERAL (SELECT FROM resources r WHERE r.id = i.resource_id{narrowed} OFFSET 0) r")
            }
        };
        // Of the resources of an organization `me` and a kind, by an index.
        let range = |condition: &str, of: &str| {
            format!(
                "SELECT f.id FROM me CROSS JOIN unnest($5) AS k (kind) CROSS JOIN LATERAL ( \
                   SELECT r.id FROM resources r \
                   WHERE r.organization_id = me.organization_id AND r.kind = k.kind{condition}{wanted} {sorted} \
                 ) f WHERE {of}"
            )
        };
        let allowed = |by: &str, kind: &str| format!("CASE {kind} WHEN 'app' THEN {by}.apps ELSE {by}.others END");
        let in_container = if self.filter.container_id.is_some() { " AND h.id = $3" } else { "" };
        format!(
            "{sources}, page AS ( \
               SELECT r.id FROM ( \
                 {led} UNION ALL {owned} UNION ALL {visible} \
                 UNION ALL \
                 SELECT r.id FROM granted g JOIN resources r ON r.id = g.resource_id \
                   WHERE r.kind = ANY ($5) AND {granted_allow}{wanted} \
                 UNION ALL \
                 SELECT f.id FROM inside h JOIN unnest($11, $12) AS p (container, kind) ON p.container = h.kind AND p.kind = ANY ($5) \
                   CROSS JOIN LATERAL (SELECT r.id FROM resources r \
                     WHERE r.container_id = h.id AND r.kind = p.kind{wanted} {sorted}) f \
                   WHERE {contents_allow}{in_container} \
                 UNION ALL \
                 SELECT f.id FROM inside h CROSS JOIN unnest($5) AS k (kind) CROSS JOIN LATERAL ( \
                     SELECT i.resource_id AS id FROM collection_items i{narrowed_items} \
                     WHERE i.collection_id = h.id AND i.kind = k.kind{item_bounds} {sorted_items}) f \
                   WHERE h.kind = 'collection' AND {items_allow} \
               ) r GROUP BY r.id {sorted} \
             ) SELECT r.* FROM page JOIN resources r USING (id) ORDER BY r.id {direction}",
            sources = self.sources(),
            led = range("", "me.leads"),
            owned = range(" AND r.owner_id = $1", "NOT me.leads"),
            visible = range(" AND r.visibility = 'organization'", "NOT me.leads"),
            granted_allow = allowed("g", "r.kind"),
            contents_allow = allowed("h", "p.kind"),
            items_allow = allowed("h", "k.kind"),
            direction = direction(self.slice),
        )
    }

    /// A page of those of the few names that a search finds which the sources lead to.
    fn sifting(&self) -> String {
        let led_to = |by: &str| {
            format!(
                "EXISTS (SELECT FROM granted g WHERE g.resource_id = f.id AND g.{by}) \
                 OR EXISTS (SELECT FROM inside h WHERE h.id = f.container_id AND h.{by}) \
                 OR EXISTS (SELECT FROM inside h JOIN collection_items i ON i.collection_id = h.id \
                   WHERE i.resource_id = f.id AND h.kind = 'collection' AND h.{by})"
            )
        };
        format!(
            "{sources}, found AS MATERIALIZED ( \
               SELECT r.id, r.organization_id, r.kind, r.owner_id, r.visibility, r.container_id FROM resources r WHERE {FOUND}{named} \
             ), page AS ( \
               SELECT f.id FROM found f WHERE f.kind = ANY ($5){narrowed} AND ( \
                 EXISTS (SELECT FROM me WHERE me.organization_id = f.organization_id \
                   AND (me.leads OR f.owner_id = $1 OR f.visibility = 'organization')) \
                 OR CASE f.kind WHEN 'app' THEN {apps} ELSE {others} END) \
               {sorted} \
             ) SELECT r.* FROM page JOIN resources r USING (id) ORDER BY r.id {direction}",
            sources = self.sources(),
            named = self.named(),
            narrowed = self.bounds("f.id") + &self.narrowed("f"),
            apps = led_to("apps"),
            others = led_to("others"),
            sorted = self.sorted("f.id"),
            direction = direction(self.slice),
        )
    }

    /// The organizations that hold something the user may reach.
    async fn organizations(&self, connection: &mut AsyncPgConnection) -> Result<Vec<OrganizationId>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = SqlUuid)]
            organization_id: OrganizationId,
        }
        if let Some(only) = self.within {
            return Ok(vec![only]);
        }
        let statement = "SELECT organization_id FROM members WHERE user_id = $1 AND status = 'active' \
             UNION SELECT organization_id FROM grants WHERE user_id = $1 \
             UNION SELECT g.organization_id FROM members m JOIN grants g ON g.grantee_organization_id = m.organization_id \
             WHERE m.user_id = $1 AND m.status = 'active' \
             UNION SELECT organization_id FROM resources WHERE owner_id = $1 AND moving";
        let rows: Vec<Row> = self.query(statement.to_owned()).load(connection).await?;
        Ok(rows.into_iter().map(|row| row.organization_id).collect())
    }

    /// Where trigrams find so few names that each may be looked at, the organizations that are searched. PostgreSQL's
    /// statistics tell: a name that very many have is found sooner by going along the ranges.
    async fn few(&self, connection: &mut AsyncPgConnection) -> Result<Option<Vec<OrganizationId>>> {
        #[derive(QueryableByName)]
        struct Explained {
            #[diesel(sql_type = Json, column_name = "QUERY PLAN")]
            plan: serde_json::Value,
        }
        if !self.search.as_ref().is_some_and(Search::is_indexed) {
            return Ok(None);
        }
        let organizations = self.organizations(connection).await?;
        let explained: Explained = self
            .query(format!("EXPLAIN (FORMAT JSON) SELECT FROM resources r WHERE {FOUND}{}", self.named()))
            .bind::<Array<SqlUuid>, _>(&organizations)
            .get_result(connection)
            .await?;
        let rows = explained.plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_f64);
        Ok(rows.is_some_and(|rows| rows <= limits::SEARCH_LOOKED_AT).then_some(organizations))
    }

    async fn rows(&self, connection: &mut AsyncPgConnection) -> Result<Vec<Resource>> {
        Ok(match self.few(connection).await? {
            Some(organizations) => {
                self.query(self.sifting()).bind::<Array<SqlUuid>, _>(organizations).load(connection).await?
            }
            None => self.query(self.merging()).load(connection).await?,
        })
    }
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

/// A page of everything that the actor reaches, in whichever organization, oldest first.
pub async fn list_of_user(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    filter: &ResourceFilter,
    page: &PageRequest,
) -> Result<Page<Resource>> {
    let slice: Slice<ResourceId> = page.slice()?;
    let reach = actor.reach().filter(|reach| filter.organization_id.is_none_or(|wanted| reach.includes(wanted)));
    let rows = match reach {
        Some(reach) => {
            let within = filter.organization_id.or(reach.only());
            Asked::new(reach.user_id(), within, filter, &slice).rows(connection).await?
        }
        None => Vec::new(),
    };
    slice.page(rows, |resource| resource.id)
}

/// A page of the organization's resources that the permit reaches, oldest first; owner and admins reach all (R2, R5,
/// R62).
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    filter: &ResourceFilter,
    page: &PageRequest,
) -> Result<Page<Resource>> {
    // Whose is what isn't told by a list to whom nothing else tells it (R77).
    if filter.owner_id.is_some_and(|owner| !permit.actor().is(owner)) && !permit.standing().sees_structure() {
        return page.slice::<ResourceId>()?.page(Vec::new(), |resource: &Resource| resource.id);
    }
    let filter = ResourceFilter { organization_id: Some(permit.organization_id()), ..filter.clone() };
    list_of_user(connection, permit.actor(), &filter, page).await
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

/// A page of each of the parts, as far as the viewer reaches them, oldest first: one statement for parts of one sort,
/// however many.
pub async fn list_within(
    connection: &mut AsyncPgConnection,
    within: Within,
    parts: &[Part],
    page: &PageRequest,
) -> Result<Vec<Page<Resource>>> {
    use crate::base::id::TypedId;

    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        ordinal: i64,
        #[diesel(embed)]
        resource: Resource,
    }
    let slice: Slice<ResourceId> = page.slice()?;
    let direction = direction(&slice);
    let access = access("$1");
    // Kind by kind, as the indexes lie.
    let of = |part: &Part| match part {
        Part::Contents(_) => {
            (format!("resources r CROSS JOIN {access} WHERE r.container_id = k.id AND r.kind = x.kind"), "r.id")
        }
        Part::Items(_) => (
            format!(
                "collection_items i JOIN resources r ON r.id = i.resource_id CROSS JOIN {access} \
                 WHERE i.collection_id = k.id AND i.kind = x.kind"
            ),
            "i.resource_id",
        ),
        Part::Machines(..) => (
            format!(
                "resources r CROSS JOIN {access} \
                 WHERE r.organization_id = k.id AND r.owner_id = k.owner_id AND r.kind = x.kind"
            ),
            "r.id",
        ),
    };
    let key = |part: &Part| match part {
        Part::Contents(id) | Part::Items(id) => (id.uuid(), None),
        Part::Machines(organization_id, owner_id) => (organization_id.uuid(), Some(*owner_id)),
    };
    let mut pages: Vec<Vec<Resource>> = parts.iter().map(|_| Vec::new()).collect();
    let Some((source, id)) = parts.first().map(of) else { return Ok(Vec::new()) };
    let bounds = bounds(&slice, id, "$6", "$7");
    let (ids, owners): (Vec<uuid::Uuid>, Vec<Option<UserId>>) = parts.iter().map(key).unzip();
    let kinds: Vec<ResourceKind> = match (parts.first(), within.kind) {
        (Some(Part::Machines(..)), _) => vec![ResourceKind::Machine],
        (_, Some(kind)) => vec![kind],
        (_, None) => ResourceKind::ALL.to_vec(),
    };
    let rows: Vec<Row> = diesel::sql_query(format!(
        "SELECT k.ordinal, r.* FROM unnest($2, $3) WITH ORDINALITY AS k (id, owner_id, ordinal) CROSS JOIN LATERAL ( \
           SELECT f.id FROM unnest($4) AS x (kind) CROSS JOIN LATERAL ( \
             SELECT r.id FROM {source} AND access.rank > 0{bounds} ORDER BY {id} {direction} LIMIT $5 \
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
