//! Collaborators: people who reach some of an organization's resources without being members of it (R67).
//!
//! Whether somebody is a collaborator follows from the grants to them alone, so there is nothing that could contradict
//! them. Only through a resource does somebody become one (R68): a team may hold them, but what it is granted counts
//! for them only as long as something is granted to themselves. When the last such grant ends, they leave their teams
//! in the same transaction.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::authority::access::{self, Permit};
use crate::authority::actor::Actor;
use crate::authority::audit::{AuditAction, NewEvent};
use crate::authority::resource_access::OWN_COUNTS;
use crate::authority::rights::Action;
use crate::base::error::Result;
use crate::base::id::{CollaboratorId, OrganizationId, TeamId, TypedId as _, UserId};
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::sql::statement;
use crate::database::Transaction;

/// A collaborator of an organization.
#[derive(Debug, Clone, QueryableByName)]
pub struct Collaborator {
    /// The collaborator's id.
    #[diesel(sql_type = SqlUuid)]
    pub id: CollaboratorId,
    /// The organization.
    #[diesel(sql_type = SqlUuid)]
    pub organization_id: OrganizationId,
    /// The person.
    #[diesel(sql_type = SqlUuid)]
    pub user_id: UserId,
    /// When the earliest of their present grants was created.
    #[diesel(sql_type = Timestamptz)]
    pub since: DateTime<Utc>,
    /// The user who last created or changed that grant; `None` for the platform.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub granted_by_id: Option<UserId>,
    /// The word by which that grant names the person; `None` if it names them by their id.
    #[diesel(sql_type = Nullable<Text>)]
    pub named_as: Option<String>,
}

/// The people from one to the next, as the CTE `person`.
fn people() -> String {
    let earliest = collaboration(":organization_id", "n.user_id");
    let next = format!(include_str!("next_collaborator.sql"), earliest = earliest);
    format!(include_str!("collaborators.sql"), next = next)
}

/// The earliest grant that makes a person a collaborator. The arguments are SQL for ids.
fn collaboration(organization: &str, user: &str) -> String {
    format!(include_str!("collaboration.sql"), organization = organization, user = user, own_counts = OWN_COUNTS)
}

statement! {
    struct Collaborators {
        organization_id: SqlUuid = OrganizationId,
        after: Nullable<SqlUuid> = Option<CollaboratorId>,
        most: BigInt = i64,
    } = format!(
        "{} SELECT p.id, :organization_id AS organization_id, p.user_id, p.since, p.granted_by_id, p.named_as \
         FROM person p WHERE p.since IS NOT NULL ORDER BY p.id",
        people()
    )
}

statement! {
    struct CountCollaborators {
        organization_id: SqlUuid = OrganizationId,
        after: Nullable<SqlUuid> = Option<CollaboratorId>,
        most: BigInt = i64,
    } = format!("{} SELECT count(p.since) AS count FROM person p", people())
}

statement! {
    struct CollaboratorsById { ids: Array<SqlUuid> = Vec<CollaboratorId> } = format!(
        "SELECT k.id, p.organization_id, p.user_id, e.since, e.granted_by_id, e.named_as FROM unnest(:ids) AS k (id) \
         CROSS JOIN LATERAL (SELECT g.organization_id, g.user_id FROM grants g \
           WHERE g.outside AND collaborator_id(g.organization_id, g.user_id) = k.id LIMIT 1) p \
         CROSS JOIN LATERAL ({}) e",
        collaboration("p.organization_id", "p.user_id")
    )
}

/// Returns a page of an organization's collaborators, in the order of their ids.
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    page: &PageRequest,
) -> Result<Page<Collaborator>> {
    permit.require(Action::ViewAllResources)?;
    let slice: Slice<CollaboratorId> = page.slice()?;
    let asked = Collaborators { organization_id: permit.organization_id(), after: slice.after, most: slice.fetch() };
    let rows = asked.query().load(connection).await?;
    slice.page(rows, |collaborator: &Collaborator| collaborator.id)
}

/// Counts the collaborators that [`list`] returns over all pages.
pub async fn count(connection: &mut AsyncPgConnection, permit: &Permit) -> Result<i64> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    permit.require(Action::ViewAllResources)?;
    let all = CountCollaborators { organization_id: permit.organization_id(), after: None, most: i64::MAX };
    let found: Count = all.query().get_result(connection).await?;
    Ok(found.count)
}

/// Returns those of the collaborators that the actor may see: those of organizations that they lead.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[CollaboratorId],
) -> Result<Vec<Collaborator>> {
    let found: Vec<Collaborator> = CollaboratorsById { ids: ids.to_vec() }.query().load(connection).await?;
    let permits = access::permits(connection, actor, found.iter().map(|one| one.organization_id)).await?;
    let may_see = |one: &Collaborator| {
        permits.get(&one.organization_id).is_some_and(|permit| permit.standing().allows(Action::ViewAllResources))
    };
    Ok(found.into_iter().filter(may_see).collect())
}

/// How an organization names a person who isn't its member.
#[derive(Debug, Clone, QueryableByName)]
pub struct OutsiderNaming {
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    /// The id that the person has there as a collaborator, whether or not they are one now.
    #[diesel(sql_type = SqlUuid)]
    pub id: CollaboratorId,
    /// Whether they are a collaborator now.
    #[diesel(sql_type = Bool)]
    pub is_collaborator: bool,
    /// The user who last created or changed the grant that makes them one.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub granted_by_id: Option<UserId>,
    /// The word by which that grant names them.
    #[diesel(sql_type = Nullable<Text>)]
    pub named_as: Option<String>,
}

statement! {
    struct OutsiderNamings {
        organizations: Array<SqlUuid> = Vec<OrganizationId>,
        users: Array<SqlUuid> = Vec<UserId>,
    } = format!(
        "SELECT k.organization_id, k.user_id, collaborator_id(k.organization_id, k.user_id) AS id, \
           e.since IS NOT NULL AS is_collaborator, e.granted_by_id, e.named_as \
         FROM unnest(:organizations, :users) AS k (organization_id, user_id) LEFT JOIN LATERAL ({}) e ON true",
        collaboration("k.organization_id", "k.user_id")
    )
}

/// Returns how organizations name people who aren't their members, without checking who asks. Only for people to whom a
/// visible object has led.
pub async fn namings(
    connection: &mut AsyncPgConnection,
    people: &[(OrganizationId, UserId)],
) -> Result<HashMap<(OrganizationId, UserId), OutsiderNaming>> {
    let (organizations, users) = people.iter().copied().unzip();
    let found: Vec<OutsiderNaming> = OutsiderNamings { organizations, users }.query().load(connection).await?;
    Ok(found.into_iter().map(|naming| ((naming.organization_id, naming.user_id), naming)).collect())
}

#[derive(QueryableByName)]
struct NamedAccount {
    #[diesel(sql_type = SqlUuid)]
    collaborator_id: CollaboratorId,
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
}

statement! {
    struct NamedAccounts<'a> {
        organization_id: SqlUuid = OrganizationId,
        ids: Array<SqlUuid> = &'a [UserId],
    } = "SELECT DISTINCT collaborator_id(g.organization_id, g.user_id) AS collaborator_id, g.user_id FROM grants g \
         WHERE g.organization_id = :organization_id AND g.outside AND collaborator_id(g.organization_id, g.user_id) = ANY (:ids)"
}

/// Returns the accounts that callers mean by these ids. Whoever may not look a collaborator up sees a placeholder,
/// whose id is made of the collaborator's ([`Collaborator::id`]); it means their account. All other ids mean
/// themselves.
pub(super) async fn accounts(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    ids: &[UserId],
) -> Result<Vec<UserId>> {
    let named: Vec<NamedAccount> = NamedAccounts { organization_id, ids }.query().load(connection).await?;
    let named: HashMap<Uuid, UserId> =
        named.into_iter().map(|named| (named.collaborator_id.uuid(), named.user_id)).collect();
    Ok(ids.iter().map(|id| named.get(&id.uuid()).copied().unwrap_or(*id)).collect())
}

/// Returns the account that callers mean by this id, like [`accounts`].
pub(super) async fn account(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    id: UserId,
) -> Result<UserId> {
    Ok(accounts(connection, organization_id, &[id]).await?.pop().unwrap_or(id))
}

#[derive(QueryableByName)]
struct HeldCollaborator {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = Bool)]
    is_allowed: bool,
}

statement! {
    struct HoldCollaborators<'a> {
        organization_id: SqlUuid = OrganizationId,
        users: Array<SqlUuid> = &'a [UserId],
    } = include_str!("hold_collaborators.sql")
}

/// Returns those of the people who are collaborators, each with whether the organization allows sharing outside. If it
/// doesn't, their grants are dormant. A grant of each is locked, so that they are collaborators until the transaction
/// ends. The organization must be locked.
pub(super) async fn hold(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    users: &[UserId],
) -> Result<HashMap<UserId, bool>> {
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let held: Vec<HeldCollaborator> =
        HoldCollaborators { organization_id, users }.query().load(&mut **transaction).await?;
    Ok(held.into_iter().map(|held| (held.user_id, held.is_allowed)).collect())
}

#[derive(QueryableByName)]
struct TeamPlaces {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
}

#[derive(QueryableByName)]
struct LeftTeam {
    #[diesel(sql_type = SqlUuid)]
    user_id: UserId,
    #[diesel(sql_type = SqlUuid)]
    team_id: TeamId,
}

statement! {
    struct HoldTeamPlaces<'a> {
        organization_id: SqlUuid = OrganizationId,
        users: Array<SqlUuid> = &'a [UserId],
    } = include_str!("hold_team_places.sql")
}

statement! {
    struct LeaveTeams<'a> {
        organization_id: SqlUuid = OrganizationId,
        users: Array<SqlUuid> = &'a [UserId],
    } = include_str!("leave_teams.sql")
}

/// Removes people from the teams of an organization if they aren't members and nothing there is granted to themselves
/// any more (R66, R68). Call it after the statement that ended grants to them. Returns the events to record.
pub(crate) async fn leave_teams(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    users: &[UserId],
) -> Result<Vec<NewEvent>> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let held: Vec<TeamPlaces> = HoldTeamPlaces { organization_id, users }.query().load(&mut **transaction).await?;
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let users: Vec<UserId> = held.iter().map(|held| held.user_id).collect();
    let left = LeaveTeams { organization_id, users: &users };
    let left: Vec<LeftTeam> = left.query().load(&mut **transaction).await?;
    let event = |left: LeftTeam| {
        NewEvent::by_system(organization_id, AuditAction::TeamMemberRemoved, left.team_id)
            .summary("took someone out of a team with whom nothing is shared any more")
            .about(left.user_id)
    };
    Ok(left.into_iter().map(event).collect())
}

/// The key of the lock on the grants to a person outside an organization, as SQL.
pub(super) const GRANTS_LOCK: &str =
    "hashtextextended('grants outside ' || (:organization_id)::text || ' ' || (:user_id)::text, 0)";

statement! {
    struct ShareGrants {
        organization_id: SqlUuid = OrganizationId,
        user_id: SqlUuid = UserId,
    } = format!("SELECT pg_advisory_xact_lock_shared({GRANTS_LOCK})")
}

/// Keeps the removal of a collaborator out until the commit. Whoever grants something to a person calls this first, so
/// that the removal ends the grant, or the grant comes after it, in the log too.
pub(crate) async fn hold_grants(
    transaction: &Transaction,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<()> {
    ShareGrants { organization_id, user_id }.query().execute(&mut &**transaction).await?;
    Ok(())
}
