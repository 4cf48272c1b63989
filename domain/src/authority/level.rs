//! What someone may do with a resource: one expression, which single checks, lists and services ask alike.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Integer, Nullable, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::actor::Reach;
use crate::authority::policy::AccessLevel;
use crate::base::error::Result;
use crate::base::id::{OrganizationId, ResourceId, UserId};

/// Whether a grant `g` to a person counts, whose membership where the resource lies is `m`, or null, in the
/// organization `o`.
pub(crate) const OWN_COUNTS: &str = "CASE WHEN m.status = 'active' \
     THEN g.position > m.ended_at_position OR g.kept_position >= m.ended_at_position \
     ELSE o.external_sharing = 'allowed' AND (m.id IS NULL OR g.position > m.ended_at_position) END";

/// The grants that count for a user on a resource, both named as SQL.
///
/// A person's own grants sleep once the membership that they were made under has ended, and for someone who is back
/// wake where the departure has kept them (R37); those made for someone outside sleep, like those of other
/// organizations, while sharing stays inside. What comes by an organization's grant is capped by what its member may
/// have (R58).
fn granted(user: &str, resource: &str) -> String {
    format!(
        "SELECT access_rank(g.level) AS rank FROM grants g WHERE g.user_id = {user} AND g.resource_id = {resource} AND {OWN_COUNTS} \
         UNION ALL \
         SELECT access_rank(g.level) FROM team_members t JOIN grants g ON g.team_id = t.team_id AND g.resource_id = {resource} \
           WHERE t.organization_id = r.organization_id AND t.user_id = {user} AND m.status = 'active' \
         UNION ALL \
         SELECT least(access_rank(g.level), CASE WHEN gm.role IN ('owner', 'admin') THEN 4 \
             WHEN r.kind = 'app' THEN CASE WHEN gm.shared_apps THEN 4 ELSE 0 END ELSE access_rank(gm.shared_projects) END, \
             CASE gm.role WHEN 'viewer' THEN 1 ELSE 4 END) \
           FROM members gm JOIN organizations go ON go.id = gm.organization_id AND go.deleted_at IS NULL \
             AND go.personal_user_id IS NULL \
           JOIN grants g ON g.grantee_organization_id = gm.organization_id AND g.resource_id = {resource} \
           WHERE gm.user_id = {user} AND gm.status = 'active' \
           AND (g.grantee_organization_id = r.organization_id OR o.external_sharing = 'allowed')"
    )
}

/// A lateral subquery `access (rank, moving)` on a resource `r` for the user whose id the SQL `user` is: no row where
/// they can reach nothing there, such as for a suspended account or in a deleted organization.
///
/// Above a resource lie at most two containers, whose owner, visibility and grants count for what lies in them. Owner
/// and admins of the organization reach all (R2). Owning takes an active membership; to others a sample of their own is
/// theirs as long as a grant counts for them there (R33). A collection shows what it gathers to whoever reaches it
/// (R73). A viewer only reads (R14), and so does everyone while a project moves; its new owner reads it already (R61).
pub(crate) fn access(user: &str) -> String {
    let on_chain = granted(user, "ANY (ARRAY[r.id, c1.id, c2.id])");
    let on_collection = granted(user, "ANY (ARRAY[k.id, w.id])");
    format!(
        "LATERAL ( \
           SELECT CASE WHEN leads THEN least(4, cap) ELSE least(cap, greatest( \
               granted, \
               CASE WHEN active AND owns OR granted > 0 AND is_own_sample THEN 4 ELSE 0 END, \
               CASE WHEN active AND visible OR receives THEN 1 ELSE 0 END, \
               CASE WHEN gathered THEN 1 ELSE 0 END)) END AS rank, moving \
           FROM ( \
             SELECT coalesce(m.status = 'active', false) AS active, \
               coalesce(m.status = 'active' AND m.role IN ('owner', 'admin'), false) AS leads, \
               coalesce({user} IN (r.owner_id, c1.owner_id, c2.owner_id), false) AS owns, \
               r.kind = 'sample' AND r.owner_id = {user} AS is_own_sample, \
               r.moving AND r.owner_id = {user} OR coalesce(c1.moving AND c1.owner_id = {user}, false) \
                 OR coalesce(c2.moving AND c2.owner_id = {user}, false) AS receives, \
               coalesce('organization' IN (r.visibility, c1.visibility, c2.visibility), false) AS visible, \
               r.moving OR coalesce(c1.moving, false) OR coalesce(c2.moving, false) AS moving, \
               CASE WHEN m.status = 'active' AND m.role = 'viewer' OR r.moving OR c1.moving OR c2.moving THEN 1 ELSE 4 END AS cap, \
               coalesce((SELECT max(g.rank) FROM ({on_chain}) g), 0) AS granted, \
               EXISTS (SELECT FROM collection_items i JOIN resources k ON k.id = i.collection_id \
                 LEFT JOIN resources w ON w.id = k.container_id WHERE i.resource_id = r.id AND ( \
                   m.status = 'active' AND ({user} IN (k.owner_id, w.owner_id) OR 'organization' IN (k.visibility, w.visibility)) \
                   OR EXISTS (SELECT FROM ({on_collection}) g WHERE g.rank > 0))) AS gathered \
             FROM organizations o \
             JOIN users u ON u.id = {user} AND u.suspended_at IS NULL AND u.deleted_at IS NULL \
             LEFT JOIN members m ON m.organization_id = o.id AND m.user_id = u.id \
             LEFT JOIN resources c1 ON c1.id = r.container_id \
             LEFT JOIN resources c2 ON c2.id = c1.container_id \
             WHERE o.id = r.organization_id AND o.deleted_at IS NULL OFFSET 0 \
           ) facts \
         ) access"
    )
}

/// The rank of SQL as a level.
fn of_rank(rank: i32) -> AccessLevel {
    match rank {
        4.. => AccessLevel::Administer,
        3 => AccessLevel::Contribute,
        2 => AccessLevel::Upload,
        1 => AccessLevel::View,
        _ => AccessLevel::None,
    }
}

/// Who asks about which resource; with the organization that they are limited to, such as by an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question {
    /// Whose access.
    pub user_id: UserId,
    /// To what.
    pub resource_id: ResourceId,
    /// Only where this organization holds it.
    pub within: Option<OrganizationId>,
}

impl Question {
    /// What an actor's reach asks.
    pub fn of(reach: Reach, resource_id: ResourceId) -> Self {
        Self { user_id: reach.user_id(), resource_id, within: reach.only() }
    }
}

/// What someone may do with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// How much.
    pub level: AccessLevel,
    /// Whether it is moving to another organization, and therefore read-only (R61).
    pub moving: bool,
}

impl Access {
    /// None at all.
    pub const NONE: Self = Self { level: AccessLevel::None, moving: false };
}

/// What users may do with resources, in one statement for however many; what isn't there is nothing.
pub async fn access_of(
    connection: &mut AsyncPgConnection,
    questions: &[Question],
) -> Result<HashMap<Question, Access>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        user_id: UserId,
        #[diesel(sql_type = SqlUuid)]
        resource_id: ResourceId,
        #[diesel(sql_type = Nullable<SqlUuid>)]
        within: Option<OrganizationId>,
        #[diesel(sql_type = Integer)]
        rank: i32,
        #[diesel(sql_type = Bool)]
        moving: bool,
    }
    let users: Vec<UserId> = questions.iter().map(|question| question.user_id).collect();
    let resources: Vec<ResourceId> = questions.iter().map(|question| question.resource_id).collect();
    let within: Vec<Option<OrganizationId>> = questions.iter().map(|question| question.within).collect();
    let rows: Vec<Row> = diesel::sql_query(format!(
        "SELECT q.user_id, q.resource_id, q.within, access.rank, access.moving \
         FROM unnest($1, $2, $3) AS q (user_id, resource_id, within) \
         JOIN resources r ON r.id = q.resource_id AND (q.within IS NULL OR r.organization_id = q.within) \
         CROSS JOIN {}",
        access("q.user_id")
    ))
    .bind::<Array<SqlUuid>, _>(users)
    .bind::<Array<SqlUuid>, _>(resources)
    .bind::<Array<Nullable<SqlUuid>>, _>(within)
    .load(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let question = Question { user_id: row.user_id, resource_id: row.resource_id, within: row.within };
            (question, Access { level: of_rank(row.rank), moving: row.moving })
        })
        .collect())
}
