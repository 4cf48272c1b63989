//! What someone may do with a resource: one expression, which single checks, lists and services ask alike.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Integer, Nullable, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::actor::Reach;
use crate::authority::rights::AccessLevel;
use crate::base::error::Result;
use crate::base::id::{OrganizationId, ResourceId, UserId};
use crate::base::sql::statement;

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
    format!(include_str!("granted.sql"), user = user, resource = resource, own_counts = OWN_COUNTS)
}

/// A lateral subquery `access (rank, moving)` on a resource `r` for the user whose id the SQL `user` is: no row where
/// they can reach nothing there, such as for a suspended account or in a deleted organization.
///
/// Above a resource lie at most two containers, whose owner, visibility and grants count for what lies in them. Owner
/// and admins of the organization reach all (R2). Owning takes an active membership; to others a sample of their own is
/// theirs as long as a grant counts for them there (R33). A collection shows what it gathers to whoever reaches it
/// (R73). A viewer only reads (R14), and so does everyone while a project moves; its new owner reads it already (R61).
pub(crate) fn access(user: &str) -> String {
    format!(
        include_str!("resource_access.sql"),
        user = user,
        on_chain = granted(user, "ANY (ARRAY[r.id, c1.id, c2.id])"),
        on_collection = granted(user, "ANY (ARRAY[k.id, w.id])"),
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
pub struct AccessQuestion {
    /// Whose access.
    pub user_id: UserId,
    /// To what.
    pub resource_id: ResourceId,
    /// Only where this organization holds it.
    pub within: Option<OrganizationId>,
}

impl AccessQuestion {
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

statement! {
    struct AccessOf {
        users: Array<SqlUuid> = Vec<UserId>,
        resources: Array<SqlUuid> = Vec<ResourceId>,
        within: Array<Nullable<SqlUuid>> = Vec<Option<OrganizationId>>,
    } = format!(include_str!("resource_access_of.sql"), access = access("q.user_id"))
}

/// What users may do with resources, in one statement for however many; what isn't there is nothing.
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
