//! What a user may do with a resource: one SQL expression for single checks, lists and services alike.

use std::collections::{BTreeSet, HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::actor::Reach;
use crate::authority::platform::Within;
use crate::authority::rights::AccessLevel;
use crate::base::error::Result;
use crate::base::id::{GrantId, OrganizationId, ResourceId, TeamId, UserId};
use crate::base::sql::statement;
use crate::base::text_enum::text_enum;

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

/// The grants to a user on a resource, with what of each counts. Both arguments are SQL.
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
        viewer_role = AccessLimit::ViewerRole.bit(),
        shared_projects = AccessLimit::SharedProjects.bit(),
        shared_apps = AccessLimit::SharedApps.bit(),
        external_sharing = AccessLimit::ExternalSharing.bit(),
        sleeping = AccessLimit::Sleeping.bit(),
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

/// A lateral subquery `way` for a resource `r` and the user whose id the SQL `user` gives, with the columns
/// [`WAY_COLUMNS`]: a row for each way by which the user reaches the resource, or would but for a limit. What
/// [`access`] gives is the most that the ways give, within their limits.
pub(crate) fn ways(user: &str) -> String {
    format!(
        include_str!("resource_ways.sql"),
        user = user,
        on_chain = granted(user, "ANY (ARRAY[r.id, c1.id, c2.id])"),
        on_collection = granted(user, "ANY (ARRAY[k.id, w.id])"),
        viewer_role = AccessLimit::ViewerRole.bit(),
        moving = AccessLimit::Moving.bit(),
        suspended = AccessLimit::Suspended.bit(),
    )
}

/// The columns of a [`WayRow`], of the subquery that [`ways`] gives.
pub(crate) const WAY_COLUMNS: &str = "way.kind AS way_kind, way.resource_id AS way_resource_id, way.grant_id AS way_grant_id, \
     way.team_id AS way_team_id, way.organization_id AS way_organization_id, way.given AS way_given, way.limits AS way_limits";

/// The columns of a [`WayRow`] where nobody asks why.
pub(crate) const NO_WAY_COLUMNS: &str = "NULL::text AS way_kind, NULL::uuid AS way_resource_id, NULL::uuid AS way_grant_id, \
     NULL::uuid AS way_team_id, NULL::uuid AS way_organization_id, NULL::integer AS way_given, NULL::integer AS way_limits";

text_enum! {
    /// By what somebody reaches a resource.
    AccessReasonKind {
        /// They own it, or what it lies in.
        Owner = "owner",
        /// They are the organization's owner or an admin (R2).
        Leader = "leader",
        /// It, or what it lies in, is shared with them.
        Grant = "grant",
        /// It, or what it lies in, is shared with a team that they are in (R66, R81).
        TeamGrant = "team_grant",
        /// It, or what it lies in, is shared with an organization of theirs (R57, R58).
        OrganizationGrant = "organization_grant",
        /// It, or what it lies in, is visible to all members.
        Visibility = "visibility",
        /// They reach a collection that gathers it (R73).
        Collection = "collection",
        /// It is a sample of their own, shared with them in an organization that they aren't a member of (R33).
        OwnSample = "own_sample",
        /// It is moving to an organization of theirs (R61).
        Transfer = "transfer",
    }
}

text_enum! {
    /// What keeps a level lower than a reason would give.
    AccessLimit {
        /// Viewers only read (R14).
        ViewerRole = "viewer_role",
        /// The member's permission for what is shared with the organization (R58).
        SharedProjects = "shared_projects",
        /// The member may not use apps that are shared with the organization (R58).
        SharedApps = "shared_apps",
        /// Whatever moves to another organization is read-only (R61).
        Moving = "moving",
        /// The organization shares with nobody outside.
        ExternalSharing = "external_sharing",
        /// The grant is dormant, since the membership under which it was made has ended (R37).
        Sleeping = "sleeping",
        /// The account is suspended (D6).
        Suspended = "suspended",
    }
}

impl AccessLimit {
    /// The limit in a set of limits.
    fn bit(self) -> i32 {
        1 << self as i32
    }

    /// The limits in a set.
    fn in_set(set: i32) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |limit| set & limit.bit() != 0)
    }
}

/// One way by which somebody reaches a resource, or would but for a limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessReason {
    /// By what.
    pub kind: AccessReasonKind,
    /// The level that it gives by itself, without the limits.
    pub level: AccessLevel,
    /// Through which resource: the one in question, one of its containers, or a collection.
    pub resource_id: Option<ResourceId>,
    /// By which grant.
    pub grant_id: Option<GrantId>,
    /// In which team.
    pub team_id: Option<TeamId>,
    /// As a member of which organization.
    pub organization_id: Option<OrganizationId>,
}

/// A row of [`ways`], joined to what it belongs to; without values if there is no way.
#[derive(Debug, QueryableByName)]
pub(crate) struct WayRow {
    #[diesel(sql_type = Nullable<Text>)]
    way_kind: Option<AccessReasonKind>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    way_resource_id: Option<ResourceId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    way_grant_id: Option<GrantId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    way_team_id: Option<TeamId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    way_organization_id: Option<OrganizationId>,
    #[diesel(sql_type = Nullable<Integer>)]
    way_given: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    way_limits: Option<i32>,
}

/// Why somebody has the level that they have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The ways by which they reach the resource, those that give most first.
    pub reasons: Vec<AccessReason>,
    /// What keeps their level lower than the reasons would give.
    pub limited_by: Vec<AccessLimit>,
}

impl Explanation {
    /// Explains a level by the ways to the resource.
    pub(crate) fn of(level: AccessLevel, ways: impl IntoIterator<Item = WayRow>) -> Self {
        let mut reasons = BTreeSet::new();
        let mut limits = 0;
        for way in ways {
            let (Some(kind), Some(given)) = (way.way_kind, way.way_given) else { continue };
            let reason = AccessReason {
                kind,
                level: of_rank(given),
                resource_id: way.way_resource_id,
                grant_id: way.way_grant_id,
                team_id: way.way_team_id,
                organization_id: way.way_organization_id,
            };
            if reason.level > level {
                limits |= way.way_limits.unwrap_or_default();
            }
            reasons.insert(reason);
        }
        let mut reasons: Vec<AccessReason> = reasons.into_iter().collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.level));
        Self { reasons, limited_by: AccessLimit::in_set(limits).collect() }
    }
}

/// The rank of an access level.
pub(crate) fn rank_of(level: AccessLevel) -> i32 {
    level as i32
}

/// The access level for a rank.
pub(crate) fn of_rank(rank: i32) -> AccessLevel {
    match rank {
        4.. => AccessLevel::Administer,
        3 => AccessLevel::Contribute,
        2 => AccessLevel::Upload,
        1 => AccessLevel::View,
        _ => AccessLevel::None,
    }
}

/// A question about a user's access to a resource, limited to some organizations if a key is, for example.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccessQuestion {
    /// The user.
    pub user_id: UserId,
    /// The resource.
    pub resource_id: ResourceId,
    /// The user has access only if the resource belongs to one of these organizations.
    pub within: Within,
}

impl AccessQuestion {
    /// The question for an actor's reach.
    pub fn of(reach: &Reach, resource_id: ResourceId) -> Self {
        Self { user_id: reach.user_id(), resource_id, within: reach.within().clone() }
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
        #[diesel(sql_type = SqlUuid)]
        organization_id: OrganizationId,
        #[diesel(sql_type = Integer)]
        rank: i32,
        #[diesel(sql_type = Bool)]
        moving: bool,
    }
    let asked = AccessOf {
        users: questions.iter().map(|question| question.user_id).collect(),
        resources: questions.iter().map(|question| question.resource_id).collect(),
    };
    let rows: Vec<Row> = asked.query().load(connection).await?;
    let rows: HashMap<(UserId, ResourceId), Row> =
        rows.into_iter().map(|row| ((row.user_id, row.resource_id), row)).collect();
    let answer = |question: &AccessQuestion| {
        let row = rows.get(&(question.user_id, question.resource_id))?;
        let access = Access { level: of_rank(row.rank), moving: row.moving };
        question.within.includes(row.organization_id).then(|| (question.clone(), access))
    };
    Ok(questions.iter().filter_map(answer).collect())
}

statement! {
    struct AccessOfPlatform<'a> { resources: Array<SqlUuid> = &'a [ResourceId] } =
        "SELECT r.id AS resource_id, r.organization_id, \
           r.moving OR coalesce(c1.moving, false) OR coalesce(c2.moving, false) AS moving \
         FROM resources r JOIN organizations o ON o.id = r.organization_id AND o.deleted_at IS NULL \
         LEFT JOIN resources c1 ON c1.id = r.container_id LEFT JOIN resources c2 ON c2.id = c1.container_id \
         WHERE r.id = ANY (:resources)"
}

/// What the platform may do with resources, each with its organization: everything, except that it only reads what is
/// moving (R61). Deleted organizations hold nothing.
pub async fn access_of_platform(
    connection: &mut AsyncPgConnection,
    resources: &[ResourceId],
) -> Result<HashMap<ResourceId, (OrganizationId, Access)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        resource_id: ResourceId,
        #[diesel(sql_type = SqlUuid)]
        organization_id: OrganizationId,
        #[diesel(sql_type = Bool)]
        moving: bool,
    }
    let rows: Vec<Row> = AccessOfPlatform { resources }.query().load(connection).await?;
    let access = |moving| Access { level: if moving { AccessLevel::View } else { AccessLevel::Administer }, moving };
    Ok(rows.into_iter().map(|row| (row.resource_id, (row.organization_id, access(row.moving)))).collect())
}

/// Who gave something on a resource of an organization: a user, or the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Giver {
    /// The user; `None` for the platform.
    pub user_id: Option<UserId>,
    /// The resource.
    pub resource_id: ResourceId,
    /// The organization in which it was given.
    pub organization_id: OrganizationId,
}

/// Returns those who still have the right to give what they gave: users who administer the resource, and the platform
/// as long as the organization holds it.
pub async fn rightful(connection: &mut AsyncPgConnection, givers: &[Giver]) -> Result<HashSet<Giver>> {
    let question = |giver: &Giver| {
        let within = Within::only([giver.organization_id]);
        Some(AccessQuestion { user_id: giver.user_id?, resource_id: giver.resource_id, within })
    };
    let questions: Vec<AccessQuestion> = givers.iter().filter_map(question).collect();
    let of_users = match questions.is_empty() {
        true => HashMap::new(),
        false => access_of(connection, &questions).await?,
    };
    let ids: Vec<ResourceId> =
        givers.iter().filter(|giver| giver.user_id.is_none()).map(|giver| giver.resource_id).collect();
    let of_platform = match ids.is_empty() {
        true => HashMap::new(),
        false => access_of_platform(connection, &ids).await?,
    };
    let access = |giver: &Giver| match question(giver) {
        Some(question) => of_users.get(&question).copied(),
        None => {
            let (holder, access) = of_platform.get(&giver.resource_id)?;
            (*holder == giver.organization_id).then_some(*access)
        }
    };
    let is_rightful = |giver: &&Giver| access(giver).is_some_and(|access| access.level == AccessLevel::Administer);
    Ok(givers.iter().filter(is_rightful).copied().collect())
}
