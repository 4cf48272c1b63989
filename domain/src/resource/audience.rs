//! Who reaches a resource, for a platform's services and for whoever administers it (R89).
//!
//! Staff and unlimited platform keys are told of everybody. Others are told of the members whom they see (D9), and of
//! people with whom the resource is shared: those whom they don't know are placeholders, as in the list of grants.
//! Members whom the directory hides, and members of another organization with which it is shared, are left out.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::authority::access;
use crate::authority::actor::{AccessQuestions, Actor};
use crate::authority::platform::Within;
use crate::authority::resource_access::{
    Explanation, WayRow, access as access_expression, access_of_platform, of_rank, rank_of,
};
use crate::authority::rights::{AccessLevel, Role};
use crate::base::error::Result;
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::sql::{Statements, parameters, statement};
use crate::resource::access_check::{Why, require_level};
use crate::resource::resource_ref::{self, ResourceRef};

/// The place of a person in the list: whether they come after those whom the actor sees, and the id by which they are
/// ordered there, which is an account's only for those.
type Place = (bool, Uuid);

/// Somebody who reaches a resource.
#[derive(Debug, Clone)]
pub struct AudienceMember {
    /// The person.
    pub user_id: UserId,
    /// Whether the actor is shown their account, rather than how the organization names them.
    pub is_seen: bool,
    /// The organization that holds the resource.
    pub organization_id: OrganizationId,
    /// The resource.
    pub resource_id: ResourceId,
    /// Their level.
    pub level: AccessLevel,
    /// Why; empty unless it was asked for.
    pub explanation: Explanation,
    place: Place,
}

/// Whom the actor sees among those who reach a resource.
struct Sight {
    /// Whether they see everybody.
    everybody: bool,
    /// The person who asks, who sees themselves.
    viewer_id: Option<UserId>,
    /// The members whom they see, by organization and role.
    members: Vec<(OrganizationId, Role)>,
    /// Whether they see that collaborators are in teams.
    collaborators: bool,
}

statement! {
    /// The organizations whose members may reach a resource: the one that holds it, and those with which it is shared,
    /// or a collection that gathers it.
    struct Organizations { resource_id: SqlUuid = ResourceId } =
        "WITH thing AS MATERIALIZED ( \
           SELECT r.id, r.organization_id, r.container_id, c.container_id AS outer_id \
           FROM resources r LEFT JOIN resources c ON c.id = r.container_id WHERE r.id = :resource_id \
         ), around AS MATERIALIZED ( \
           SELECT a.id FROM thing t CROSS JOIN LATERAL (VALUES (t.id), (t.container_id), (t.outer_id)) AS a (id) \
           UNION SELECT a.id FROM thing t JOIN collection_items i ON i.resource_id = t.id \
             JOIN resources k ON k.id = i.collection_id \
             CROSS JOIN LATERAL (VALUES (k.id), (k.container_id)) AS a (id) \
         ) SELECT t.organization_id FROM thing t \
         UNION SELECT g.grantee_organization_id FROM around a JOIN grants g ON g.resource_id = a.id \
           WHERE g.grantee_organization_id IS NOT NULL"
}

impl Sight {
    const EVERYBODY: Self = Self { everybody: true, viewer_id: None, members: Vec::new(), collaborators: true };

    /// For keys that are limited to these organizations, whose members they see.
    fn of_keys(organizations: &[OrganizationId]) -> Self {
        let roles = |id: &OrganizationId| Role::ALL.iter().map(move |role| (*id, *role)).collect::<Vec<_>>();
        let members = organizations.iter().flat_map(roles).collect();
        Self { everybody: false, viewer_id: None, members, collaborators: true }
    }

    /// For a person who administers the resource.
    async fn of_person(
        connection: &mut AsyncPgConnection,
        actor: &Actor,
        resource_id: ResourceId,
        holder: OrganizationId,
    ) -> Result<Self> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = SqlUuid)]
            organization_id: OrganizationId,
        }
        let rows: Vec<Row> = Organizations { resource_id }.query().load(connection).await?;
        let permits = access::permits(connection, actor, rows.iter().map(|row| row.organization_id)).await?;
        let members = permits.iter().flat_map(|(id, permit)| {
            let seen = Role::ALL.iter().filter(|role| permit.standing().sees_members_of(**role));
            seen.map(|role| (*id, *role))
        });
        let members = members.collect();
        let collaborators = permits.get(&holder).is_some_and(|permit| permit.standing().leads());
        Ok(Self { everybody: false, viewer_id: actor.account(), members, collaborators })
    }
}

parameters! {
    /// The parameters of a page.
    struct AudienceParameters {
        resource_id: SqlUuid = ResourceId,
        at_least: Integer = i32,
        sees_all: Bool = bool,
        sees_collaborators: Bool = bool,
        viewer_id: Nullable<SqlUuid> = Option<UserId>,
        seen_organizations: Array<SqlUuid> = Vec<OrganizationId>,
        seen_roles: Array<Text> = Vec<Role>,
        is_behind_known: Bool = bool,
        after_known: SqlUuid = Uuid,
        after_others: SqlUuid = Uuid,
        most: BigInt = i64,
    }
}

/// The condition for the actor to see a person `p`.
const IS_SEEN: &str = "(:sees_all OR p.user_id IS NOT DISTINCT FROM :viewer_id OR EXISTS ( \
     SELECT FROM members v JOIN seen USING (organization_id, role) WHERE v.user_id = p.user_id AND v.status = 'active'))";

fn text_of(why: Why) -> String {
    format!(
        include_str!("audience.sql"),
        is_seen = IS_SEEN,
        columns = why.columns(),
        access = access_expression("p.user_id"),
        ways = why.join("p.user_id"),
    )
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = Bool)]
    is_other: bool,
    #[diesel(sql_type = SqlUuid)]
    place: Uuid,
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = Integer)]
    rank: i32,
    #[diesel(embed)]
    way: WayRow,
}

/// Returns a page of the people who reach a resource at least at a level, each once: first those whom the actor sees,
/// by the ids of their accounts, then others. `None` if the actor may not ask, or there is no such resource.
///
/// # Errors
///
/// A bad request for a malformed page and for the level NONE; FORBIDDEN for platform keys without ACCESS_CHECK.
pub async fn audience(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    named: &ResourceRef,
    at_least: AccessLevel,
    page: &PageRequest,
    why: Why,
) -> Result<Option<Page<AudienceMember>>> {
    static STATEMENTS: Statements<Why> = Statements::new();
    let slice: Slice<Place> = page.slice()?;
    require_level(at_least)?;
    let questions = actor.access_questions("resource")?;
    let found = resource_ref::resolve(connection, std::slice::from_ref(named)).await?;
    let Some((resource_id, holder)) = found.get(named).copied() else { return Ok(None) };
    let sight = match questions {
        AccessQuestions::OfAnybody(within) => {
            let is_held = access_of_platform(connection, &[resource_id]).await?.contains_key(&resource_id);
            match within {
                _ if !is_held || !within.includes(holder) => return Ok(None),
                Within::All => Sight::EVERYBODY,
                Within::Only(ids) => Sight::of_keys(&ids),
            }
        }
        AccessQuestions::OfOneself(_) => {
            let levels = super::levels(connection, actor, [resource_id]).await?;
            if levels.get(&resource_id) != Some(&AccessLevel::Administer) {
                return Ok(None);
            }
            Sight::of_person(connection, actor, resource_id, holder).await?
        }
        AccessQuestions::None => return Ok(None),
    };
    let (mut after, mut filling) = (slice.after, slice.filling()?);
    while let Some(most) = filling.most() {
        let (seen_organizations, seen_roles) = sight.members.iter().copied().unzip();
        let (is_behind_known, place) = after.unwrap_or_default();
        let asked = AudienceParameters {
            resource_id,
            at_least: rank_of(at_least),
            sees_all: sight.everybody,
            sees_collaborators: sight.collaborators,
            viewer_id: sight.viewer_id,
            seen_organizations,
            seen_roles,
            is_behind_known,
            after_known: if is_behind_known { Uuid::nil() } else { place },
            after_others: if is_behind_known { place } else { Uuid::nil() },
            most,
        };
        let rows: Vec<Row> = STATEMENTS.with(why, |why| text_of(*why), asked).load(connection).await?;
        let people = people(rows, resource_id);
        after = people.last().map(|person| person.place);
        filling.take(people, |person| person.level >= at_least);
    }
    Ok(Some(slice.page(filling.rows(), |person| person.place)?))
}

/// The people of rows that follow each other, one for each way.
fn people(rows: Vec<Row>, resource_id: ResourceId) -> Vec<AudienceMember> {
    let mut rows = rows.into_iter().peekable();
    let mut people = Vec::new();
    while let Some(first) = rows.next() {
        let (user_id, level, place) = (first.user_id, of_rank(first.rank), (first.is_other, first.place));
        let (is_seen, organization_id) = (!first.is_other, first.organization_id);
        let others = std::iter::from_fn(|| rows.next_if(|row| row.user_id == user_id));
        let ways = std::iter::once(first.way).chain(others.map(|row| row.way));
        let explanation = Explanation::of(level, ways);
        people.push(AudienceMember { user_id, is_seen, organization_id, resource_id, level, explanation, place });
    }
    people
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sql::require_fit;

    #[test]
    fn the_pages_name_their_parameters() {
        require_fit::<AudienceParameters>([Why::Unasked, Why::Asked].map(text_of));
    }
}
