//! The statements of lists of resources, assembled from parts according to the request. [`crate::resource::list`]
//! explains what they cost.

use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid};

use crate::authority::resource_access::{OWN_COUNTS, access};
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::page::Slice;
use crate::base::sql::parameters;
use crate::resource::COLUMNS;
use crate::resource::kind::ResourceKind;

/// How a search matches names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum SearchBy {
    /// Names that contain a text.
    Text,
    /// Names with a word that begins with one or two letters or digits. Trigrams can find only the beginnings of words
    /// for texts this short.
    Beginning,
}

impl SearchBy {
    /// The condition on the resources `r`.
    fn condition(self) -> &'static str {
        match self {
            Self::Text => "r.folded_name LIKE :pattern",
            Self::Beginning => {
                "(r.folded_name LIKE :pattern OR r.folded_name LIKE '% ' || :pattern OR r.folded_name LIKE '%-' || :pattern \
                 OR r.folded_name LIKE '%\\_' || :pattern OR r.folded_name LIKE '%.' || :pattern OR r.folded_name LIKE '%/' || :pattern)"
            }
        }
    }
}

/// The direction of a page, and the cursors between which it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Bounds {
    after: bool,
    before: bool,
    backward: bool,
}

impl Bounds {
    pub(super) fn of(slice: &Slice<ResourceId>) -> Self {
        Self { after: slice.after.is_some(), before: slice.before.is_some(), backward: slice.backward }
    }

    /// From a place of the list on, or from its beginning.
    pub(super) fn onward(after: bool) -> Self {
        Self { after, before: false, backward: false }
    }

    /// The conditions on the ids in the given column.
    fn condition(self, id: &str) -> String {
        let mut condition = String::new();
        if self.after {
            condition += &format!(" AND {id} > :after");
        }
        if self.before {
            condition += &format!(" AND {id} < :before");
        }
        condition
    }

    fn direction(self) -> &'static str {
        if self.backward { "DESC" } else { "ASC" }
    }
}

parameters! {
    /// The parameters of a list's statements.
    pub(super) struct ListParameters<'a> {
        user_id: SqlUuid = UserId,
        /// The only organizations to list.
        within: Nullable<Array<SqlUuid>> = Option<&'a [OrganizationId]>,
        container_id: Nullable<SqlUuid> = Option<ResourceId>,
        owner_id: Nullable<SqlUuid> = Option<UserId>,
        kinds: Array<Text> = &'a [ResourceKind],
        /// The kinds of containers and collections through which the wanted resources may be reached.
        leading: Array<Text> = &'a [ResourceKind],
        /// The pairs of kinds of which the first can contain the second.
        containers: Array<Text> = &'a [ResourceKind],
        held: Array<Text> = &'a [ResourceKind],
        /// The pattern that names must match.
        pattern: Nullable<Text> = Option<String>,
        /// The organizations to search.
        organizations: Array<SqlUuid> = &'a [OrganizationId],
        most: BigInt = i64,
        after: Nullable<SqlUuid> = Option<ResourceId>,
        before: Nullable<SqlUuid> = Option<ResourceId>,
        /// The least level that is listed, as a rank.
        at_least: Integer = i32,
    }
}

/// What a list says of levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Levels {
    /// Nothing: it has everything that the user reaches.
    Untold,
    /// It has everything that the user reaches, each with its level.
    Told,
    /// It begins with what may be reached at `:at_least`, which is more than VIEW, and tells the level of each.
    AtLeast,
}

/// Everything that the text of a list's statements depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Whether the list is limited to some organizations.
    pub within: bool,
    /// Whether the list is limited to a container.
    pub in_container: bool,
    /// Whether the list is limited to an owner.
    pub of_owner: bool,
    pub search: Option<SearchBy>,
    pub levels: Levels,
    pub bounds: Bounds,
}

impl Shape {
    /// The text if the list begins with what may be reached at a level.
    fn if_ranked(self, text: &str) -> String {
        match self.levels {
            Levels::Untold | Levels::Told => String::new(),
            Levels::AtLeast => text.to_owned(),
        }
    }

    /// The conditions for the owner and the container, on the resources with this name.
    fn narrowed(self, resource: &str) -> String {
        let mut narrowed = String::new();
        if self.of_owner {
            narrowed += &format!(" AND {resource}.owner_id = :owner_id");
        }
        if self.in_container {
            narrowed += &format!(" AND {resource}.container_id = :container_id");
        }
        narrowed
    }

    /// The condition for the search, on the resources `r`.
    fn named(self) -> String {
        self.search.map_or_else(String::new, |search| format!(" AND {}", search.condition()))
    }

    /// The conditions on the resources `r` that a search reads, whether or not the viewer can reach them. There are no
    /// others, so that the index of names is the only one that fits.
    fn found(self) -> String {
        format!("r.organization_id = ANY (:organizations){}", self.named())
    }

    /// The order and length of a page, by the given column with ids.
    fn sorted(self, id: &str) -> String {
        format!("ORDER BY {id} {} LIMIT :most", self.bounds.direction())
    }

    /// The beginning of a statement: the sources through which the user reaches resources.
    fn sources(self) -> String {
        let only = |column: &str| if self.within { format!(" AND {column} = ANY (:within)") } else { String::new() };
        // Reads a range of an index for each kind, and the container that the list is limited to by its id.
        let holders = |condition: &str, rank: &str| {
            let ranks = self.if_ranked(&format!(", {rank} AS apps_rank, {rank} AS others_rank"));
            let of_kinds = format!(
                "SELECT r.id, r.kind, true AS apps, true AS others{ranks} FROM me CROSS JOIN unnest(:leading) AS k (kind) \
                 CROSS JOIN LATERAL (SELECT r.id, r.kind FROM resources r \
                   WHERE r.organization_id = me.organization_id AND r.kind = k.kind AND {condition} OFFSET 0) r WHERE NOT me.leads"
            );
            if !self.in_container {
                return of_kinds;
            }
            format!(
                "{of_kinds} UNION SELECT r.id, r.kind, true, true{ranks} FROM me JOIN resources r ON r.id = :container_id \
                 AND r.organization_id = me.organization_id AND {condition} WHERE NOT me.leads"
            )
        };
        let h_ranks = self.if_ranked(", h.apps_rank, h.others_rank");
        let (or_itself, itself) = match self.in_container {
            true => (
                " OR r.id = :container_id",
                format!(
                    " UNION SELECT r.id, r.kind, h.apps, h.others{h_ranks} FROM holders h \
                     JOIN resources r ON r.id = :container_id AND r.container_id = h.id"
                ),
            ),
            false => ("", String::new()),
        };
        // A viewer only reads what belongs to the organization, whatever is granted to them (R14).
        let rank = "least(access_rank(g.level), CASE WHEN EXISTS ( \
             SELECT FROM members v WHERE v.organization_id = g.organization_id AND v.user_id = :user_id \
               AND v.status = 'active' AND v.role = 'viewer') THEN 1 ELSE 4 END)";
        let as_member = "CASE gm.role WHEN 'viewer' THEN 1 ELSE 4 END";
        format!(
            include_str!("list_sources.sql"),
            own_counts = OWN_COUNTS,
            only_member = only("m.organization_id"),
            only_grant = only("g.organization_id"),
            only_moving = only("r.organization_id"),
            owned = holders("r.owner_id = :user_id", "me.cap"),
            visible = holders("r.visibility = 'organization'", "1"),
            me_cap = self.if_ranked(", CASE m.role WHEN 'viewer' THEN 1 ELSE 4 END AS cap"),
            grant_rank = self.if_ranked(&format!(", {rank} AS rank")),
            own_ranks = self.if_ranked(", rank AS apps_rank, rank AS others_rank"),
            team_ranks = self.if_ranked(&format!(", {rank}, {rank}")),
            organization_ranks = self.if_ranked(&format!(
                ", least({rank}, {as_member}), least({rank}, {as_member}, \
                 CASE WHEN gm.role IN ('owner', 'admin') THEN 4 ELSE access_rank(gm.shared_projects) END)"
            )),
            read_ranks = self.if_ranked(", 1, 1"),
            g_ranks = self.if_ranked(", g.apps_rank, g.others_rank"),
            h_ranks = h_ranks,
            or_itself = or_itself,
            itself = itself,
        )
    }

    /// The statement for a page that merges a page of each range to which the sources lead.
    pub(super) fn merging(&self) -> String {
        let narrowed = self.narrowed("r") + &self.named();
        let (wanted, sorted) = (self.bounds.condition("r.id") + &narrowed, self.sorted("r.id"));
        // The items are filtered one by one, since a collection has a limited number. The resources that satisfy the
        // filter may be too many to start from.
        let narrowed_items = match narrowed.as_str() {
            "" => String::new(),
            _ => {
                format!(" CROSS JOIN LATERAL (SELECT FROM resources r WHERE r.id = i.resource_id{narrowed} OFFSET 0) r")
            }
        };
        // Reads the resources of an organization `me` and a kind, using an index.
        let range = |condition: &str, of: &str| {
            format!(
                "SELECT f.id FROM me CROSS JOIN unnest(:kinds) AS k (kind) CROSS JOIN LATERAL ( \
                   SELECT r.id FROM resources r \
                   WHERE r.organization_id = me.organization_id AND r.kind = k.kind{condition}{wanted} {sorted} \
                 ) f WHERE {of}"
            )
        };
        let allowed = |by: &str, kind: &str| {
            let enough = self.if_ranked(&format!(
                " AND CASE {kind} WHEN 'app' THEN {by}.apps_rank ELSE {by}.others_rank END >= :at_least"
            ));
            format!("CASE {kind} WHEN 'app' THEN {by}.apps ELSE {by}.others END{enough}")
        };
        // What makes a resource visible lets nobody change it.
        let reading = |of: String| if self.levels == Levels::AtLeast { "false".to_owned() } else { of };
        // To whoever isn't a member, a grant of any level makes a sample of their own theirs (R33).
        let own_samples = self.if_ranked(&format!(
            " UNION ALL SELECT r.id FROM granted g JOIN resources r ON r.id = g.resource_id \
             WHERE r.kind = 'sample' AND r.kind = ANY (:kinds) AND r.owner_id = :user_id AND g.others{wanted} \
             UNION ALL SELECT f.id FROM inside h CROSS JOIN LATERAL ( \
               SELECT r.id FROM resources r WHERE r.container_id = h.id AND r.owner_id = :user_id \
                 AND r.kind = 'sample'{wanted} {sorted}) f \
             WHERE h.others AND 'sample' = ANY (:kinds)"
        ));
        let (level, access) = match self.levels {
            Levels::Untold => ("", String::new()),
            Levels::Told | Levels::AtLeast => {
                (", coalesce(access.rank, 0) AS rank", format!(" LEFT JOIN {} ON true", access(":user_id")))
            }
        };
        format!(
            include_str!("list_merging.sql"),
            columns = COLUMNS,
            sources = self.sources(),
            led = range("", "me.leads"),
            owned = range(
                " AND r.owner_id = :user_id",
                &format!("NOT me.leads{}", self.if_ranked(" AND me.cap >= :at_least"))
            ),
            visible = range(" AND r.visibility = 'organization'", &reading("NOT me.leads".to_owned())),
            own_samples = own_samples,
            level = level,
            access = access,
            granted_allow = allowed("g", "r.kind"),
            contents_allow = allowed("h", "p.kind"),
            items_allow = reading(allowed("h", "k.kind")),
            in_container = if self.in_container { " AND h.id = :container_id" } else { "" },
            narrowed_items = narrowed_items,
            item_bounds = self.bounds.condition("i.resource_id"),
            sorted_items = self.sorted("i.resource_id"),
            wanted = wanted,
            sorted = sorted,
            direction = self.bounds.direction(),
        )
    }

    /// The statement for a page of the few names that a search finds, limited to those to which the sources lead.
    pub(super) fn sifting(&self) -> String {
        let led_to = |by: &str| {
            format!(
                "EXISTS (SELECT FROM granted g WHERE g.resource_id = f.id AND g.{by}) \
                 OR EXISTS (SELECT FROM inside h WHERE h.id = f.container_id AND h.{by}) \
                 OR EXISTS (SELECT FROM inside h JOIN collection_items i ON i.collection_id = h.id \
                   WHERE i.resource_id = f.id AND h.kind = 'collection' AND h.{by})"
            )
        };
        format!(
            include_str!("list_sifting.sql"),
            columns = COLUMNS,
            sources = self.sources(),
            found = self.found(),
            narrowed = self.bounds.condition("f.id") + &self.narrowed("f"),
            apps = led_to("apps"),
            others = led_to("others"),
            sorted = self.sorted("f.id"),
            direction = self.bounds.direction(),
        )
    }

    /// The statement that estimates how many names a search finds, from PostgreSQL's statistics.
    pub(super) fn explaining(&self) -> String {
        format!("EXPLAIN (FORMAT JSON) SELECT FROM resources r WHERE {}", self.found())
    }
}

/// The sort of a part. All parts of one sort are read by one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PartSort {
    Contents,
    Items,
    Machines,
}

impl PartSort {
    /// The statement for a page of each part. It reads kind by kind, in the order of the indexes.
    pub(super) fn page(self, bounds: Bounds) -> String {
        let access = access(":viewer_id");
        let (source, id) = match self {
            Self::Contents => {
                (format!("resources r CROSS JOIN {access} WHERE r.container_id = k.id AND r.kind = x.kind"), "r.id")
            }
            Self::Items => (
                format!(
                    "collection_items i JOIN resources r ON r.id = i.resource_id CROSS JOIN {access} \
                     WHERE i.collection_id = k.id AND i.kind = x.kind"
                ),
                "i.resource_id",
            ),
            Self::Machines => (
                format!(
                    "resources r CROSS JOIN {access} \
                     WHERE r.organization_id = k.id AND r.owner_id = k.owner_id AND r.kind = x.kind"
                ),
                "r.id",
            ),
        };
        format!(
            include_str!("list_within.sql"),
            columns = COLUMNS,
            source = source,
            bounds = bounds.condition(id),
            id = id,
            direction = bounds.direction(),
        )
    }
}

parameters! {
    /// The parameters of the pages of parts.
    pub(super) struct PartParameters {
        viewer_id: SqlUuid = UserId,
        ids: Array<SqlUuid> = Vec<uuid::Uuid>,
        owners: Array<Nullable<SqlUuid>> = Vec<Option<UserId>>,
        kinds: Array<Text> = Vec<ResourceKind>,
        most: BigInt = i64,
        after: Nullable<SqlUuid> = Option<ResourceId>,
        before: Nullable<SqlUuid> = Option<ResourceId>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sql::require_fit;

    const EITHER: [bool; 2] = [false, true];

    fn all_bounds() -> Vec<Bounds> {
        let of = |after: bool| EITHER.map(move |before| EITHER.map(|backward| Bounds { after, before, backward }));
        EITHER.into_iter().flat_map(of).flatten().collect()
    }

    #[test]
    fn the_lists_of_every_shape_name_their_parameters() {
        let mut shapes = Vec::new();
        for bounds in all_bounds() {
            for search in [None, Some(SearchBy::Text), Some(SearchBy::Beginning)] {
                for (within, in_container) in [(false, false), (false, true), (true, false), (true, true)] {
                    for levels in [Levels::Untold, Levels::Told, Levels::AtLeast] {
                        let shape = |of_owner| Shape { within, in_container, of_owner, search, levels, bounds };
                        shapes.extend(EITHER.map(shape));
                    }
                }
            }
        }
        let texts = |shape: &Shape| [shape.merging(), shape.sifting(), shape.explaining()];
        require_fit::<ListParameters<'_>>(shapes.iter().flat_map(texts));
    }

    #[test]
    fn the_pages_of_every_sort_of_parts_name_their_parameters() {
        let sorts = [PartSort::Contents, PartSort::Items, PartSort::Machines];
        let texts = |bounds: Bounds| sorts.map(|sort| sort.page(bounds));
        require_fit::<PartParameters>(all_bounds().into_iter().flat_map(texts));
    }
}
