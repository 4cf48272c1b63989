//! Teams of many members, and members of many teams, with one statement each.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::access::Permit;
use crate::authority::policy::Role;
use crate::base::error::Result;
use crate::base::id::{MemberId, OrganizationId, TeamId, UserId};
use crate::base::page::{Page, PageRequest, Slice};
use crate::membership::member::{self, Member};
use crate::membership::team::{self, Team};

/// A page of a list that hangs on something, and how long the list is where that was asked for.
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

/// A page of the teams of each of the members, oldest first: the same number of statements for however many members.
pub async fn of_members(
    connection: &mut AsyncPgConnection,
    members: &[(OrganizationId, UserId)],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<(OrganizationId, UserId), Part<Team>>> {
    let slice: Slice<TeamId> = page.slice()?;
    let (organizations, users): (Vec<OrganizationId>, Vec<UserId>) = members.iter().copied().unzip();
    let rows: Vec<TeamOf> = diesel::sql_query(
        "SELECT k.organization_id, k.user_id, t.team_id FROM unnest($1, $2) AS k (organization_id, user_id) \
         CROSS JOIN LATERAL (SELECT team_id FROM team_members \
           WHERE organization_id = k.organization_id AND user_id = k.user_id AND ($3 IS NULL OR team_id > $3) \
           ORDER BY team_id LIMIT $4) AS t",
    )
    .bind::<Array<SqlUuid>, _>(&organizations)
    .bind::<Array<SqlUuid>, _>(&users)
    .bind::<Nullable<SqlUuid>, _>(slice.after)
    .bind::<BigInt, _>(slice.fetch())
    .load(connection)
    .await?;
    let ids: Vec<TeamId> = rows.iter().map(|row| row.team_id).collect();
    let teams: HashMap<TeamId, Team> =
        team::by_ids(connection, &ids).await?.into_iter().map(|team| (team.id, team)).collect();
    let counts: Vec<TeamsOf> = match with_count {
        false => Vec::new(),
        true => {
            diesel::sql_query(
                "SELECT k.organization_id, k.user_id, count(*) FROM unnest($1, $2) AS k (organization_id, user_id) \
                 JOIN team_members USING (organization_id, user_id) GROUP BY k.organization_id, k.user_id",
            )
            .bind::<Array<SqlUuid>, _>(&organizations)
            .bind::<Array<SqlUuid>, _>(&users)
            .load(connection)
            .await?
        }
    };
    let mut found: HashMap<_, Vec<Team>> = HashMap::new();
    for row in rows {
        // One that was deleted between the two statements is gone.
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

/// Whom of a team's members someone sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sight {
    /// In which organization.
    organization_id: OrganizationId,
    /// Themselves.
    user_id: UserId,
    /// And those with these roles (D9).
    roles: Vec<Role>,
}

impl Sight {
    /// Whom the permit shows.
    pub fn of(permit: &Permit) -> Self {
        let roles = Role::ALL.iter().copied().filter(|role| permit.standing().sees_members_of(*role)).collect();
        Self { organization_id: permit.organization_id(), user_id: permit.user_id(), roles }
    }
}

#[derive(QueryableByName)]
struct MemberOf {
    #[diesel(sql_type = SqlUuid)]
    team_id: TeamId,
    #[diesel(sql_type = SqlUuid)]
    member_id: MemberId,
}

#[derive(QueryableByName)]
struct MembersOf {
    #[diesel(sql_type = SqlUuid)]
    team_id: TeamId,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// A page of the members of each of the teams that are seen, in the order of their accounts: the same number of statements for
/// however many teams.
pub async fn members_of(
    connection: &mut AsyncPgConnection,
    teams: &[TeamId],
    sight: &Sight,
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<TeamId, Part<Member>>> {
    // The organization as a constant, so that who is seen can be looked for first where that is few.
    const SEEN: &str = "JOIN members m ON m.user_id = tm.user_id AND m.organization_id = $4 AND m.status = 'active' \
         WHERE tm.team_id = k.team_id AND (m.role = ANY ($2) OR m.user_id = $3)";
    let slice: Slice<UserId> = page.slice()?;
    let roles: Vec<&str> = sight.roles.iter().map(|role| role.as_str()).collect();
    let rows: Vec<MemberOf> = diesel::sql_query(format!(
        "SELECT k.team_id, t.member_id FROM unnest($1) AS k (team_id) \
         CROSS JOIN LATERAL (SELECT m.id AS member_id, m.user_id FROM team_members tm {SEEN} \
           AND ($5 IS NULL OR tm.user_id > $5) ORDER BY tm.user_id LIMIT $6) AS t ORDER BY k.team_id, t.user_id"
    ))
    .bind::<Array<SqlUuid>, _>(teams)
    .bind::<Array<Text>, _>(&roles)
    .bind::<SqlUuid, _>(sight.user_id)
    .bind::<SqlUuid, _>(sight.organization_id)
    .bind::<Nullable<SqlUuid>, _>(slice.after)
    .bind::<BigInt, _>(slice.fetch())
    .load(connection)
    .await?;
    let ids: Vec<MemberId> = rows.iter().map(|row| row.member_id).collect();
    let members: HashMap<MemberId, Member> =
        member::by_ids(connection, &ids).await?.into_iter().map(|member| (member.id, member)).collect();
    let counts: Vec<MembersOf> =
        match with_count {
            false => Vec::new(),
            true => diesel::sql_query(format!(
                "SELECT k.team_id, count(*) FROM unnest($1) AS k (team_id) JOIN team_members tm USING (team_id) {SEEN} \
                 GROUP BY k.team_id"
            ))
            .bind::<Array<SqlUuid>, _>(teams)
            .bind::<Array<Text>, _>(&roles)
            .bind::<SqlUuid, _>(sight.user_id)
            .bind::<SqlUuid, _>(sight.organization_id)
            .load(connection)
            .await?,
        };
    let mut found: HashMap<TeamId, Vec<Member>> = HashMap::new();
    for row in rows {
        if let Some(member) = members.get(&row.member_id) {
            found.entry(row.team_id).or_default().push(member.clone());
        }
    }
    let counts: HashMap<TeamId, i64> = counts.into_iter().map(|row| (row.team_id, row.count)).collect();
    teams
        .iter()
        .map(|id| {
            let page = slice.page(found.remove(id).unwrap_or_default(), |member| member.user_id)?;
            Ok((*id, (page, counts.get(id).copied().unwrap_or_default())))
        })
        .collect()
}
