//! Who is in which team, read and changed for many people and teams with one statement each.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::authority::actor::Actor;
use crate::authority::audit::{AuditAction, NewEvent, in_log};
use crate::base::error::Result;
use crate::base::id::{OrganizationId, TeamId, UserId};
use crate::base::limits;
use crate::base::sql::statement;
use crate::database::schema::team_members;
use crate::database::{Transaction, now};

/// A person's place in a team.
pub(super) type TeamPlace = (TeamId, UserId);

#[derive(QueryableByName)]
struct PlaceRow {
    #[diesel(sql_type = SqlUuid)]
    team_id: TeamId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
}

/// Returns the places that people have in the teams of an organization.
pub(super) async fn of_people(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_ids: &[UserId],
) -> Result<BTreeSet<TeamPlace>> {
    if user_ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let places: Vec<TeamPlace> = team_members::table
        .filter(team_members::organization_id.eq(organization_id))
        .filter(team_members::user_id.eq_any(user_ids))
        .select((team_members::team_id, team_members::user_id))
        .load(&mut **transaction)
        .await?;
    Ok(places.into_iter().collect())
}

/// Returns the places in teams.
pub(super) async fn of_teams(transaction: &mut Transaction, team_ids: &[TeamId]) -> Result<BTreeSet<TeamPlace>> {
    if team_ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let places: Vec<TeamPlace> = team_members::table
        .filter(team_members::team_id.eq_any(team_ids))
        .select((team_members::team_id, team_members::user_id))
        .load(&mut **transaction)
        .await?;
    Ok(places.into_iter().collect())
}

statement! {
    struct AddAll {
        organization_id: SqlUuid = OrganizationId,
        at: Timestamptz = DateTime<Utc>,
        team_ids: Array<SqlUuid> = Vec<TeamId>,
        user_ids: Array<SqlUuid> = Vec<UserId>,
        outside: Array<Bool> = Vec<bool>,
    } = "INSERT INTO team_members (organization_id, team_id, user_id, added_at, outside) \
         SELECT :organization_id, n.team_id, n.user_id, :at, n.outside \
         FROM unnest(:team_ids, :user_ids, :outside) AS n (team_id, user_id, outside) \
         ON CONFLICT DO NOTHING RETURNING team_id, user_id"
}

statement! {
    struct RemoveAll {
        team_ids: Array<SqlUuid> = Vec<TeamId>,
        user_ids: Array<SqlUuid> = Vec<UserId>,
    } = "DELETE FROM team_members t USING unnest(:team_ids, :user_ids) AS n (team_id, user_id) \
         WHERE t.team_id = n.team_id AND t.user_id = n.user_id RETURNING t.team_id, t.user_id"
}

/// Changes of who is in which team.
#[derive(Debug, Default)]
pub(super) struct PlaceChanges {
    /// The places to give, each with whether the person is a collaborator.
    pub added: BTreeMap<TeamPlace, bool>,
    /// The places to take.
    pub removed: BTreeSet<TeamPlace>,
}

impl PlaceChanges {
    /// Makes the changes, and returns the events to record: for each team one for those who were added and one for
    /// those who were removed, in chunks. The organization must be locked.
    pub(super) async fn write(
        self,
        transaction: &mut Transaction,
        actor: &Actor,
        organization_id: OrganizationId,
    ) -> Result<Vec<NewEvent>> {
        let mut events = Vec::new();
        if !self.removed.is_empty() {
            let (team_ids, user_ids) = self.removed.into_iter().unzip();
            let removed: Vec<PlaceRow> = RemoveAll { team_ids, user_ids }.query().load(&mut **transaction).await?;
            events.extend(told(actor, organization_id, AuditAction::TeamMemberRemoved, "took", "out of", removed));
        }
        if !self.added.is_empty() {
            let at = now(transaction).await?;
            let (places, outside): (Vec<TeamPlace>, Vec<bool>) = self.added.into_iter().unzip();
            let (team_ids, user_ids) = places.into_iter().unzip();
            let add = AddAll { organization_id, at, team_ids, user_ids, outside };
            let added: Vec<PlaceRow> = add.query().load(&mut **transaction).await?;
            events.extend(told(actor, organization_id, AuditAction::TeamMembersAdded, "put", "into", added));
        }
        Ok(events)
    }
}

fn told(
    actor: &Actor,
    organization_id: OrganizationId,
    action: AuditAction,
    did: &str,
    where_to: &str,
    places: Vec<PlaceRow>,
) -> Vec<NewEvent> {
    let mut of_teams: BTreeMap<TeamId, Vec<UserId>> = BTreeMap::new();
    for PlaceRow { team_id, user_id } in places {
        of_teams.entry(team_id).or_default().push(user_id);
    }
    let mut events = Vec::new();
    for (team_id, people) in of_teams {
        for chunk in people.chunks(limits::IDS_OF_EVENT) {
            let event = NewEvent::by(actor, organization_id, action, team_id)
                .summary(format!("{did} {} {where_to} a team", chunk.len()))
                .with(json!({ "userIds": in_log(chunk) }));
            events.push(match chunk {
                [one] => event.about(*one),
                _ => event,
            });
        }
    }
    events
}
