//! What a user may do with a resource: one SQL expression for single checks, lists and services alike.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Integer, Nullable, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::actor::Reach;
use crate::authority::rights::AccessLevel;
use crate::base::error::Result;
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::sql::statement;

/// The condition for a grant `g` to a person to count. `m` is the person's membership in the resource's organization
/// `o`, or null.
pub(crate) const OWN_COUNTS: &str = "CASE WHEN m.status = 'active' \
     THEN g.position > m.ended_at_position OR g.kept_position >= m.ended_at_position \
     ELSE o.external_sharing = 'allowed' AND (m.id IS NULL OR g.position > m.ended_at_position) END";

/// The condition for a person's places in teams of an organization to count. Members have what their teams are granted.
/// Collaborators have it as long as a grant of their own counts in the organization (R66, R81). `m` and `o` are as for
/// [`OWN_COUNTS`]. The arguments are SQL for the ids of the organization and the user.
fn teams_count(organization: &str, user: &str) -> String {
    format!(
        "CASE WHEN m.status = 'active' THEN true ELSE o.external_sharing = 'allowed' AND EXISTS ( \
         SELECT FROM grants own WHERE own.organization_id = {organization} AND own.user_id = {user} \
         AND (m.id IS NULL OR own.position > m.ended_at_position)) END"
    )
}

/// The grants that count for a user on a resource. Both arguments are SQL.
///
/// A person's own grants become dormant when the membership under which they were made ends. If the person returns,
/// those that the departure kept become active again (R37). Grants to people outside the organization, and grants to
/// other organizations, don't count while sharing with outsiders isn't allowed. What a member gets through a grant to
/// their organization is capped by their permissions (R58).
fn granted(user: &str, resource: &str) -> String {
    format!(
        include_str!("granted.sql"),
        user = user,
        resource = resource,
        own_counts = OWN_COUNTS,
        teams_count = teams_count("r.organization_id", user),
    )
}

/// A lateral subquery `access (rank, moving)` for a resource `r` and the user whose id the SQL `user` gives. It has no
/// row if the user can reach nothing there, for example because the account is suspended or the organization deleted.
///
/// Above a resource are at most two containers. Their owners, visibility and grants also count for what they contain.
/// The organization's owner and admins reach everything (R2). Ownership counts only with an active membership; to
/// others, a sample of their own is theirs as long as a grant on it counts for them (R33). A collection makes its items
/// visible to everybody who reaches the collection (R73). A viewer only reads (R14). While a project moves, everybody
/// only reads, including its new owner, who can read it from then on (R61).
pub(crate) fn access(user: &str) -> String {
    format!(
        include_str!("resource_access.sql"),
        user = user,
        on_chain = granted(user, "ANY (ARRAY[r.id, c1.id, c2.id])"),
        on_collection = granted(user, "ANY (ARRAY[k.id, w.id])"),
    )
}

/// The access level for a rank.
fn of_rank(rank: i32) -> AccessLevel {
    match rank {
        4.. => AccessLevel::Administer,
        3 => AccessLevel::Contribute,
        2 => AccessLevel::Upload,
        1 => AccessLevel::View,
        _ => AccessLevel::None,
    }
}

/// A question about a user's access to a resource, limited to one organization if an API key is, for example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccessQuestion {
    /// The user.
    pub user_id: UserId,
    /// The resource.
    pub resource_id: ResourceId,
    /// If set, the user has access only if the resource belongs to this organization.
    pub within: Option<OrganizationId>,
}

impl AccessQuestion {
    /// The question for an actor's reach.
    pub fn of(reach: Reach, resource_id: ResourceId) -> Self {
        Self { user_id: reach.user_id(), resource_id, within: reach.only() }
    }
}

/// A user's access to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The access level.
    pub level: AccessLevel,
    /// Whether the resource is moving to another organization and is therefore read-only (R61).
    pub moving: bool,
}

impl Access {
    /// No access.
    pub const NONE: Self = Self { level: AccessLevel::None, moving: false };
}

statement! {
    struct AccessOf {
        users: Array<SqlUuid> = Vec<UserId>,
        resources: Array<SqlUuid> = Vec<ResourceId>,
        within: Array<Nullable<SqlUuid>> = Vec<Option<OrganizationId>>,
    } = format!(include_str!("resource_access_of.sql"), access = access("q.user_id"))
}

/// Answers any number of questions in one statement. Questions that are missing in the result mean no access.
pub async fn access_of(
    connection: &mut AsyncPgConnection,
    questions: &[AccessQuestion],
) -> Result<HashMap<AccessQuestion, Access>> {
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
    let asked = AccessOf {
        users: questions.iter().map(|question| question.user_id).collect(),
        resources: questions.iter().map(|question| question.resource_id).collect(),
        within: questions.iter().map(|question| question.within).collect(),
    };
    let rows: Vec<Row> = asked.query().load(connection).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let question = AccessQuestion { user_id: row.user_id, resource_id: row.resource_id, within: row.within };
            (question, Access { level: of_rank(row.rank), moving: row.moving })
        })
        .collect())
}
