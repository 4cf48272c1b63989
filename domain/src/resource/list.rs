//! Lists of the resources that somebody can reach, page by page.
//!
//! A list starts from the viewer's sources, each of which is a range of an index: everything in organizations that they
//! lead, what they own, what is visible to members, what is granted to them, and what containers and collections hold
//! that they reach through these. A page reads no more than a page of each range. Its cost grows with the number of the
//! viewer's grants and containers, but not with the number of resources in them. A search for a name that few resources
//! have begins with those few instead. A property test compares the lists with
//! [`crate::authority::resource_access::access_of`].

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Json, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::access::Permit;
use crate::authority::actor::Actor;
use crate::authority::resource_access::{of_rank, rank_of};
use crate::authority::rights::{AccessLevel, Action};
use crate::base::error::{Error, Result};
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::sql::{Statements, statement};
use crate::base::{limits, text};
use crate::membership::organization;
use crate::resource::Resource;
use crate::resource::kind::ResourceKind;
use crate::resource::list_statement::{Bounds, Levels, ListParameters, PartParameters, PartSort, SearchBy, Shape};

/// The resources that a list is limited to.
#[derive(Debug, Clone, Default)]
pub struct ResourceFilter {
    /// Only resources of this kind.
    pub kind: Option<ResourceKind>,
    /// Only resources of this owner.
    pub owner_id: Option<UserId>,
    /// Only resources of this organization.
    pub organization_id: Option<OrganizationId>,
    /// Only resources in this container.
    pub container_id: Option<ResourceId>,
    /// Only resources whose name contains this text.
    pub search: Option<String>,
}

/// A search by name.
struct Search {
    by: SearchBy,
    text: String,
}

impl Search {
    fn new(text: String) -> Self {
        let by = match text.chars().count() {
            // In scripts in which two characters can be a whole word, they are searched anywhere in the name.
            1 | 2 if text.chars().all(|c| c.is_ascii_alphanumeric()) => SearchBy::Beginning,
            _ => SearchBy::Text,
        };
        Self { by, text }
    }

    /// The pattern for LIKE.
    fn pattern(&self) -> String {
        match self.by {
            SearchBy::Text => text::like_pattern(&self.text),
            SearchBy::Beginning => text::like_beginning(&self.text),
        }
    }

    /// Whether the index of names can serve the search, which takes at least one trigram. In trigrams the beginning of
    /// a word counts as two characters and its end as one.
    fn is_indexed(&self) -> bool {
        match self.by {
            SearchBy::Text => {
                let words: Vec<&str> = self.text.split(|c: char| !c.is_alphanumeric()).collect();
                let trigrams = |(number, word): (usize, &&str)| {
                    let begins = if number > 0 { 2 } else { 0 };
                    let ends = usize::from(number + 1 < words.len());
                    !word.is_empty() && begins + word.chars().count() + ends >= 3
                };
                words.iter().enumerate().any(trigrams)
            }
            SearchBy::Beginning => true,
        }
    }
}

statement! {
    struct ListOrganizations { user_id: SqlUuid = UserId } = include_str!("list_organizations.sql")
}

/// The parameters of a request for a list.
struct ListRequest<'a> {
    user_id: UserId,
    /// The only organizations to list, if the list is limited.
    within: Option<&'a [OrganizationId]>,
    filter: &'a ResourceFilter,
    kinds: Vec<ResourceKind>,
    leading: Vec<ResourceKind>,
    containers: Vec<ResourceKind>,
    held: Vec<ResourceKind>,
    search: Option<Search>,
    slice: &'a Slice<ResourceId>,
}

impl<'a> ListRequest<'a> {
    fn new(
        user_id: UserId,
        within: Option<&'a [OrganizationId]>,
        filter: &'a ResourceFilter,
        slice: &'a Slice<ResourceId>,
    ) -> Self {
        let kinds: Vec<ResourceKind> = filter.kind.map_or_else(|| ResourceKind::ALL.to_vec(), |kind| vec![kind]);
        let mut leading = leading_to(&kinds);
        if filter.container_id.is_some() {
            // The container itself is found by its id.
            leading.retain(|kind| matches!(kind, ResourceKind::Workspace | ResourceKind::Collection));
        }
        let (containers, held) = ResourceKind::pairs().into_iter().unzip();
        let search = text::searched(filter.search.as_deref()).map(Search::new);
        Self { user_id, within, filter, kinds, leading, containers, held, search, slice }
    }

    fn shape(&self) -> Shape {
        Shape {
            within: self.within.is_some(),
            in_container: self.filter.container_id.is_some(),
            of_owner: self.filter.owner_id.is_some(),
            search: self.search.as_ref().map(|search| search.by),
            levels: Levels::Untold,
            bounds: Bounds::of(self.slice),
        }
    }

    fn parameters<'p>(&'p self, organizations: &'p [OrganizationId]) -> ListParameters<'p> {
        ListParameters {
            user_id: self.user_id,
            within: self.within,
            container_id: self.filter.container_id,
            owner_id: self.filter.owner_id,
            kinds: &self.kinds,
            leading: &self.leading,
            containers: &self.containers,
            held: &self.held,
            pattern: self.search.as_ref().map(Search::pattern),
            organizations,
            most: self.slice.fetch(),
            after: self.slice.after,
            before: self.slice.before,
            at_least: 1,
        }
    }

    /// The organizations that may hold something the user can reach.
    async fn organizations(&self, connection: &mut AsyncPgConnection) -> Result<Vec<OrganizationId>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = SqlUuid)]
            organization_id: OrganizationId,
        }
        if let Some(only) = self.within {
            return Ok(only.to_vec());
        }
        let rows: Vec<Row> = ListOrganizations { user_id: self.user_id }.query().load(connection).await?;
        Ok(rows.into_iter().map(|row| row.organization_id).collect())
    }

    /// Returns the organizations to search if trigrams find so few names that each can be checked; otherwise `None`.
    /// PostgreSQL's statistics decide this: if very many resources match, reading the ranges finds them sooner.
    async fn few(&self, connection: &mut AsyncPgConnection) -> Result<Option<Vec<OrganizationId>>> {
        #[derive(QueryableByName)]
        struct ExplainedPlan {
            #[diesel(sql_type = Json, column_name = "QUERY PLAN")]
            plan: serde_json::Value,
        }
        static STATEMENTS: Statements<Shape> = Statements::new();
        if !self.search.as_ref().is_some_and(Search::is_indexed) {
            return Ok(None);
        }
        let organizations = self.organizations(connection).await?;
        let parameters = self.parameters(&organizations);
        let explained: ExplainedPlan =
            STATEMENTS.with(self.shape(), Shape::explaining, parameters).get_result(connection).await?;
        let rows = explained.plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_f64);
        Ok(rows.is_some_and(|rows| rows <= limits::SEARCH_LOOKED_AT).then_some(organizations))
    }

    async fn rows(&self, connection: &mut AsyncPgConnection) -> Result<Vec<Resource>> {
        static MERGING: Statements<Shape> = Statements::new();
        static SIFTING: Statements<Shape> = Statements::new();
        let few = self.few(connection).await?;
        let query = match &few {
            Some(organizations) => SIFTING.with(self.shape(), Shape::sifting, self.parameters(organizations)),
            None => MERGING.with(self.shape(), Shape::merging, self.parameters(&[])),
        };
        match self.search {
            Some(_) => query.load_planned_for_values(connection).await,
            None => Ok(query.load(connection).await?),
        }
    }
}

/// The kinds of containers and collections through which resources of the given kinds may be reached.
fn leading_to(kinds: &[ResourceKind]) -> Vec<ResourceKind> {
    let holds_any =
        |holder: &ResourceKind, wanted: &[ResourceKind]| wanted.iter().any(|kind| holder.holds().contains(kind));
    let mut leading: Vec<ResourceKind> =
        ResourceKind::ALL.iter().copied().filter(|holder| holds_any(holder, kinds)).collect();
    if kinds.iter().any(|kind| kind.is_gathered()) {
        leading.push(ResourceKind::Collection);
    }
    // The kinds that contain these in turn.
    let outer: Vec<ResourceKind> =
        ResourceKind::ALL.iter().copied().filter(|holder| holds_any(holder, &leading)).collect();
    leading.extend(outer);
    leading.sort_unstable();
    leading.dedup();
    leading
}

/// A resource with the level at which somebody reaches it.
#[derive(Debug, Clone, QueryableByName)]
pub struct ReachedResource {
    /// The resource.
    #[diesel(embed)]
    pub resource: Resource,
    #[diesel(sql_type = Integer)]
    rank: i32,
}

impl ReachedResource {
    /// The level.
    pub fn level(&self) -> AccessLevel {
        of_rank(self.rank)
    }
}

/// Returns a page of what a user reaches at least at a level, oldest first, without checking who asks. The account
/// isn't suspended.
///
/// The list begins with what may be reached at that level, and leaves out the little that can't, such as what is just
/// moving. So a page takes one statement, and more only where it would be short without.
pub(super) async fn list_at_least(
    connection: &mut AsyncPgConnection,
    user_id: UserId,
    within: Option<&[OrganizationId]>,
    filter: &ResourceFilter,
    at_least: AccessLevel,
    slice: &Slice<ResourceId>,
) -> Result<Page<ReachedResource>> {
    static STATEMENTS: Statements<Shape> = Statements::new();
    let request = ListRequest::new(user_id, within, filter, slice);
    let levels = if at_least > AccessLevel::View { Levels::AtLeast } else { Levels::Told };
    let (mut after, mut filling) = (slice.after, slice.filling()?);
    while let Some(most) = filling.most() {
        let shape = Shape { levels, bounds: Bounds::onward(after.is_some()), ..request.shape() };
        let parameters = ListParameters { after, most, at_least: rank_of(at_least), ..request.parameters(&[]) };
        let rows: Vec<ReachedResource> = STATEMENTS.with(shape, Shape::merging, parameters).load(connection).await?;
        after = rows.last().map(|reached| reached.resource.id);
        filling.take(rows, |reached| reached.level() >= at_least);
    }
    slice.page(filling.rows(), |reached| reached.resource.id)
}

/// Returns a page of everything that the actor can reach, in all organizations, oldest first.
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
            let within = match &filter.organization_id {
                Some(only) => Some(std::slice::from_ref(only)),
                None => reach.within().ids(),
            };
            ListRequest::new(reach.user_id(), within, filter, &slice).rows(connection).await?
        }
        None => Vec::new(),
    };
    slice.page(rows, |resource| resource.id)
}

/// Returns a page of the organization's resources that the permit's holder can reach, oldest first. The owner and
/// admins reach all of them (R2, R5, R62).
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    filter: &ResourceFilter,
    page: &PageRequest,
) -> Result<Page<Resource>> {
    // A list must not reveal who owns what to members who can't learn that elsewhere (R77).
    if filter.owner_id.is_some_and(|owner| !permit.actor().is(owner)) && !permit.standing().sees_structure() {
        return page.slice::<ResourceId>()?.page(Vec::new(), |resource: &Resource| resource.id);
    }
    let filter = ResourceFilter { organization_id: Some(permit.organization_id()), ..filter.clone() };
    if permit.user_id().is_some() {
        return list_of_user(connection, permit.actor(), &filter, page).await;
    }
    // A platform key sees what the owner sees there (R85).
    permit.require(Action::ViewAllResources)?;
    let slice: Slice<ResourceId> = page.slice()?;
    let owners = organization::owners(connection, &[permit.organization_id()]).await?;
    let Some((_, owner_id)) = owners.as_slice().first() else { return Err(Error::Bug("an organization has an owner")) };
    let within = [permit.organization_id()];
    let rows = ListRequest::new(*owner_id, Some(&within), &filter, &slice).rows(connection).await?;
    slice.page(rows, |resource| resource.id)
}

/// A set of resources that belongs to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourcesBy {
    /// The contents of a container.
    Contents(ResourceId),
    /// The items of a collection.
    Items(ResourceId),
    /// The machines of a user in an organization (R13).
    Machines(OrganizationId, UserId),
}

/// The resources that are wanted of several [`ResourcesBy`], and the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartFilter {
    /// The viewer.
    pub viewer_id: UserId,
    /// Only resources of this kind.
    pub kind: Option<ResourceKind>,
}

/// Returns a page of each part, limited to what the viewer can reach, oldest first. One statement serves any number of
/// parts of one sort.
pub async fn list_within(
    connection: &mut AsyncPgConnection,
    within: PartFilter,
    parts: &[ResourcesBy],
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
    let key = |part: &ResourcesBy| match part {
        ResourcesBy::Contents(id) | ResourcesBy::Items(id) => (id.uuid(), None),
        ResourcesBy::Machines(organization_id, owner_id) => (organization_id.uuid(), Some(*owner_id)),
    };
    let mut pages: Vec<Vec<Resource>> = parts.iter().map(|_| Vec::new()).collect();
    let sort = match parts.first() {
        Some(ResourcesBy::Contents(_)) => PartSort::Contents,
        Some(ResourcesBy::Items(_)) => PartSort::Items,
        Some(ResourcesBy::Machines(..)) => PartSort::Machines,
        None => return Ok(Vec::new()),
    };
    let (ids, owners): (Vec<uuid::Uuid>, Vec<Option<UserId>>) = parts.iter().map(key).unzip();
    let kinds: Vec<ResourceKind> = match (parts.first(), within.kind) {
        (Some(ResourcesBy::Machines(..)), _) => vec![ResourceKind::Machine],
        (_, Some(kind)) => vec![kind],
        (_, None) => ResourceKind::ALL.to_vec(),
    };
    static STATEMENTS: Statements<(PartSort, Bounds)> = Statements::new();
    let asked = PartParameters {
        viewer_id: within.viewer_id,
        ids,
        owners,
        kinds,
        most: slice.fetch(),
        after: slice.after,
        before: slice.before,
    };
    let key = (sort, Bounds::of(&slice));
    let statement = STATEMENTS.with(key, |(sort, bounds)| sort.page(*bounds), asked);
    let rows: Vec<Row> = statement.load(connection).await?;
    for row in rows {
        let index = usize::try_from(row.ordinal - 1).unwrap_or_default();
        if let Some(page) = pages.get_mut(index) {
            page.push(row.resource);
        }
    }
    pages.into_iter().map(|rows| slice.page(rows, |resource| resource.id)).collect()
}
