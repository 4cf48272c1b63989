//! The people in many teams and the teams of many members, with a fixed number of statements.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::authority::access::Permit;
use crate::authority::rights::Role;
use crate::base::error::Result;
use crate::base::id::{MemberId, OrganizationId, TeamId, UserId};
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::sql::statement;
use crate::membership::member::{self, Member};
use crate::membership::team::{self, Team};

/// A page of a list that belongs to some object, and the length of the whole list if that was requested.
pub type Part<T> = (Page<T>, i64);

#[derive(QueryableByName)]
struct TeamOf {
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = SqlUuid)]
    team_id: TeamId,
}

#[derive(QueryableByName)]
struct TeamsOf {
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

statement! {
    struct TeamsOfMembers<'a> {
        organizations: Array<SqlUuid> = &'a [OrganizationId],
        users: Array<SqlUuid> = &'a [UserId],
        after: Nullable<SqlUuid> = Option<TeamId>,
        most: BigInt = i64,
    } = include_str!("teams_of_members.sql")
}

statement! {
    struct CountTeamsOfMembers<'a> {
        organizations: Array<SqlUuid> = &'a [OrganizationId],
        users: Array<SqlUuid> = &'a [UserId],
    } = include_str!("count_teams_of_members.sql")
}

/// Returns a page of the teams of each of the members, oldest first. The number of statements doesn't depend on the
/// number of members.
pub async fn of_members(
    connection: &mut AsyncPgConnection,
    members: &[(OrganizationId, UserId)],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<(OrganizationId, UserId), Part<Team>>> {
    let slice: Slice<TeamId> = page.slice()?;
    let (organizations, users): (Vec<OrganizationId>, Vec<UserId>) = members.iter().copied().unzip();
    let (organizations, users) = (organizations.as_slice(), users.as_slice());
    let asked = TeamsOfMembers { organizations, users, after: slice.after, most: slice.fetch() };
    let rows: Vec<TeamOf> = asked.query().load(connection).await?;
    let ids: Vec<TeamId> = rows.iter().map(|row| row.team_id).collect();
    let teams: HashMap<TeamId, Team> =
        team::by_ids(connection, &ids).await?.into_iter().map(|team| (team.id, team)).collect();
    let counts: Vec<TeamsOf> = match with_count {
        false => Vec::new(),
        true => CountTeamsOfMembers { organizations, users }.query().load(connection).await?,
    };
    let mut found: HashMap<_, Vec<Team>> = HashMap::new();
    for row in rows {
        // A team that was deleted between the two statements is missing.
        if let Some(team) = teams.get(&row.team_id) {
            found.entry((row.organization_id, row.user_id)).or_default().push(team.clone());
        }
    }
    let counts: HashMap<_, i64> =
        counts.into_iter().map(|row| ((row.organization_id, row.user_id), row.count)).collect();
    members
        .iter()
        .map(|key| {
            let page = slice.page(found.remove(key).unwrap_or_default(), |team| team.id)?;
            Ok((*key, (page, counts.get(key).copied().unwrap_or_default())))
        })
        .collect()
}

/// The people in a team that a viewer may see.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VisibleTeamMembers {
    /// The organization.
    organization_id: OrganizationId,
    /// The viewer, who sees themselves. A platform key isn't in any team.
    user_id: Option<UserId>,
    /// The roles of the other members whom the viewer sees (D9).
    roles: Vec<Role>,
    /// Whether the viewer sees the collaborators in teams that they are in, and in all teams.
    collaborators: [bool; 2],
}

impl VisibleTeamMembers {
    /// The people whom the permit shows.
    pub fn of(permit: &Permit) -> Self {
        let standing = permit.standing();
        let roles = Role::ALL.iter().copied().filter(|role| standing.sees_members_of(*role)).collect();
        let collaborators = [true, false].map(|is_in_team| standing.sees_collaborators(is_in_team));
        Self { organization_id: permit.organization_id(), user_id: permit.user_id(), roles, collaborators }
    }
}

/// The place of a person in the list of a team: whether they come after the members, as collaborators do, and the id by
/// which they are ordered there.
pub type TeamPlace = (bool, Uuid);

/// A person in a team.
#[derive(Debug, Clone)]
pub struct TeamPerson {
    /// The team's organization.
    pub organization_id: OrganizationId,
    /// The person.
    pub user_id: UserId,
    place: TeamPlace,
    /// Their membership in the team's organization; `None` for a collaborator.
    pub member: Option<Member>,
}

#[derive(QueryableByName)]
struct PersonOf {
    #[diesel(sql_type = SqlUuid)]
    team_id: TeamId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    member_id: Option<MemberId>,
    #[diesel(sql_type = Bool)]
    is_outside: bool,
    #[diesel(sql_type = SqlUuid)]
    place: Uuid,
}

#[derive(QueryableByName)]
struct PeopleOf {
    #[diesel(sql_type = SqlUuid)]
    team_id: TeamId,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// The condition for the members of a team `k` who are seen. The organization is a constant, so that the planner can
/// begin with the members who are seen if they are few.
const SEEN: &str = "JOIN members m ON m.user_id = tm.user_id AND m.organization_id = :organization_id AND m.status = 'active' \
     WHERE tm.team_id = k.team_id AND (m.role = ANY (:roles) OR m.user_id = :viewer_id)";

/// The condition for the collaborators in a team `k` who are seen (R81). Whoever isn't a member was added as a
/// collaborator.
const SEEN_OUTSIDE: &str = "JOIN users u ON u.id = tm.user_id AND u.deleted_at IS NULL \
     WHERE tm.team_id = k.team_id AND tm.outside \
     AND (:sees_all OR :sees_in_own AND EXISTS (SELECT FROM team_members v WHERE v.team_id = k.team_id AND v.user_id = :viewer_id)) \
     AND NOT EXISTS (SELECT FROM members m WHERE m.user_id = tm.user_id AND m.organization_id = :organization_id AND m.status = 'active')";

statement! {
    struct PeopleOfTeams<'a> {
        teams: Array<SqlUuid> = &'a [TeamId],
        roles: Array<Text> = &'a [Role],
        viewer_id: Nullable<SqlUuid> = Option<UserId>,
        organization_id: SqlUuid = OrganizationId,
        sees_in_own: Bool = bool,
        sees_all: Bool = bool,
        after_members: Bool = bool,
        after: Nullable<SqlUuid> = Option<Uuid>,
        most: BigInt = i64,
    } = format!(include_str!("members_of_teams.sql"), seen = SEEN, seen_outside = SEEN_OUTSIDE)
}

statement! {
    struct CountPeopleOfTeams<'a> {
        teams: Array<SqlUuid> = &'a [TeamId],
        roles: Array<Text> = &'a [Role],
        viewer_id: Nullable<SqlUuid> = Option<UserId>,
        organization_id: SqlUuid = OrganizationId,
        sees_in_own: Bool = bool,
        sees_all: Bool = bool,
    } = format!(include_str!("count_members_of_teams.sql"), seen = SEEN, seen_outside = SEEN_OUTSIDE)
}

/// Returns a page of the people in each of the teams who are seen: first the members, then the collaborators. The
/// number of statements doesn't depend on the number of teams.
pub async fn people_of(
    connection: &mut AsyncPgConnection,
    teams: &[TeamId],
    visible: &VisibleTeamMembers,
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<TeamId, Part<TeamPerson>>> {
    let slice: Slice<TeamPlace> = page.slice()?;
    let VisibleTeamMembers { organization_id, user_id: viewer_id, ref roles, collaborators: [sees_in_own, sees_all] } =
        *visible;
    let (after_members, after) = slice.after.map_or((false, None), |(is_outside, place)| (is_outside, Some(place)));
    let most = slice.fetch();
    let asked =
        PeopleOfTeams { teams, roles, viewer_id, organization_id, sees_in_own, sees_all, after_members, after, most };
    let rows: Vec<PersonOf> = asked.query().load(connection).await?;
    let ids: Vec<MemberId> = rows.iter().filter_map(|row| row.member_id).collect();
    let members: HashMap<MemberId, Member> =
        member::by_ids(connection, &ids).await?.into_iter().map(|member| (member.id, member)).collect();
    let counts: Vec<PeopleOf> = match with_count {
        false => Vec::new(),
        true => {
            let asked = CountPeopleOfTeams { teams, roles, viewer_id, organization_id, sees_in_own, sees_all };
            asked.query().load(connection).await?
        }
    };
    let mut found: HashMap<TeamId, Vec<TeamPerson>> = HashMap::new();
    for row in rows {
        let member = row.member_id.and_then(|id| members.get(&id)).cloned();
        if member.is_some() || row.member_id.is_none() {
            let place = (row.is_outside, row.place);
            let person = TeamPerson { organization_id, user_id: row.user_id, place, member };
            found.entry(row.team_id).or_default().push(person);
        }
    }
    let counts: HashMap<TeamId, i64> = counts.into_iter().map(|row| (row.team_id, row.count)).collect();
    teams
        .iter()
        .map(|id| {
            let page = slice.page(found.remove(id).unwrap_or_default(), |person| person.place)?;
            Ok((*id, (page, counts.get(id).copied().unwrap_or_default())))
        })
        .collect()
}
