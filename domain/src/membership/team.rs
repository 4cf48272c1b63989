//! Teams: named groups of an organization's members and collaborators (R66, R81).
//!
//! Every member sees which teams there are and, in them, the people whom the directory shows (D9). If the directory is
//! hidden, they see only the teams that they are in (R77). The owner and admins manage teams. Collaborators see no
//! teams.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::authority::access::{self, Lock, Permit, WritePermit};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent, in_log};
use crate::authority::membership::MemberStatus;
use crate::authority::rights::Action;
use crate::base::error::{Code, Error, Refusal, Result, on_violation};
use crate::base::id::{InvitationId, OrganizationId, TeamId, UserId};
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::{limits, text};
use crate::database::schema::{invitation_teams, members, team_members, teams};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::membership::collaborator;

/// A team.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = teams)]
pub struct Team {
    /// The team's id.
    pub id: TeamId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The team's name, which is unique in the organization regardless of case.
    pub name: String,
    /// A description of the team.
    pub description: Option<String>,
    /// A link to a picture.
    pub avatar_url: Option<String>,
    /// The platform's own id of it, unique in the organization (R87).
    pub external_id: Option<String>,
}

/// A team's profile as given by the caller. In an update, `None` leaves a field as it is.
#[derive(Debug, Default)]
pub struct TeamInput {
    /// The team's name.
    pub name: Option<String>,
    /// A description of the team; `Some(None)` clears it.
    pub description: Option<Option<String>>,
    /// A link to a picture; `Some(None)` clears it.
    pub avatar_url: Option<Option<String>>,
}

#[derive(Debug, Clone, AsChangeset, Insertable)]
#[diesel(table_name = teams)]
struct Profile {
    name: Option<String>,
    folded_name: Option<String>,
    description: Option<Option<String>>,
    avatar_url: Option<Option<String>>,
}

impl TeamInput {
    fn parse(&self) -> Result<Profile> {
        let name = self.name.as_deref().map(|name| text::name("name", name, limits::NAME)).transpose()?;
        let description = self.description.as_ref();
        let description = description
            .map(|value| text::optional_text("description", value.as_deref(), limits::DESCRIPTION))
            .transpose()?;
        let avatar_url =
            self.avatar_url.as_ref().map(|url| text::optional_link("avatarUrl", url.as_deref())).transpose()?;
        let folded_name = name.as_deref().map(text::fold);
        Ok(Profile { name, folded_name, description, avatar_url })
    }

    fn changed_fields(&self) -> Vec<&'static str> {
        [
            ("name", self.name.is_some()),
            ("description", self.description.is_some()),
            ("avatarUrl", self.avatar_url.is_some()),
        ]
        .into_iter()
        .filter_map(|(field, changed)| changed.then_some(field))
        .collect()
    }
}

pub(super) fn name_taken() -> Refusal {
    Refusal::new(Code::Conflict, "name", "a team here has this name; choose another")
}

/// Creates a team without members.
///
/// # Errors
///
/// BLANK, INVALID or CONFLICT on `name`; NOT_FOUND or FORBIDDEN if the actor may not manage teams; TOO_MANY on
/// `organizationId`.
pub async fn create(
    database: &Database,
    actor: &Actor,
    organization_id: OrganizationId,
    input: &TeamInput,
) -> Result<Team> {
    if input.name.is_none() {
        return Err(Error::refused(Code::Blank, "name", "may not be empty"));
    }
    let profile = input.parse()?;
    database
        .transaction(async |transaction| {
            access::authorize(
                transaction,
                actor,
                organization_id,
                Lock::Organization,
                Action::ManageTeams,
                "organizationId",
            )
            .await?;
            let existing: i64 = teams::table
                .filter(teams::organization_id.eq(organization_id))
                .count()
                .get_result(&mut **transaction)
                .await?;
            if existing >= limits::MAX_TEAMS {
                let message = format!("an organization has at most {} teams; delete one first", limits::MAX_TEAMS);
                return Err(Error::refused(Code::TooMany, "organizationId", message));
            }
            let created = diesel::insert_into(teams::table)
                .values((
                    teams::id.eq(TeamId::new()),
                    teams::organization_id.eq(organization_id),
                    profile.clone(),
                    teams::created_at.eq(rollcall_now()),
                ))
                .returning(Team::as_returning())
                .get_result(&mut **transaction)
                .await;
            let team: Team = on_violation(created, "teams_name_key", name_taken)?;
            let event =
                NewEvent::by(actor, organization_id, AuditAction::TeamCreated, team.id).summary("created a team");
            audit::record(transaction, [event]).await?;
            Ok(team)
        })
        .await
}

/// Why somebody can't be in a team whose grants are dormant.
pub(super) const SHARING_INSIDE: (Code, &str) = (
    Code::Forbidden,
    "the organization's policy keeps sharing inside, so teams hold only its members; invite this person",
);
/// Why somebody can't be in a team who is neither a member nor a collaborator (R68).
pub(super) const NOBODY_HERE: (Code, &str) = (
    Code::NotFound,
    "there is no such member or collaborator here; invite this person, or share a resource with them first",
);

fn not_found(field: &str) -> Refusal {
    Refusal::new(Code::NotFound, field, "there is no such team")
}

/// Locks the organization of a team and returns the actor's permit there with the team.
async fn enter(transaction: &mut Transaction, actor: &Actor, id: TeamId, field: &str) -> Result<(WritePermit, Team)> {
    access::require_writing(actor, field)?;
    let found = by_ids(transaction, &[id]).await?.pop().ok_or_else(|| not_found(field))?;
    let permit = access::enter(transaction, actor, found.organization_id, Lock::Organization, not_found(field)).await?;
    // The team is read again under the organization's lock.
    let found = by_ids(transaction, &[id]).await?;
    let team = shown_by(transaction, &permit, found).await?.pop();
    Ok((permit, team.ok_or_else(|| not_found(field))?))
}

/// Changes a team's profile.
///
/// # Errors
///
/// NOT_FOUND or FORBIDDEN if the actor may not manage teams; CONFLICT on `name` if another team has it.
pub async fn update(database: &Database, actor: &Actor, id: TeamId, input: &TeamInput) -> Result<Team> {
    let profile = input.parse()?;
    let changed = input.changed_fields();
    database
        .transaction(async |transaction| {
            let (permit, team) = enter(transaction, actor, id, "id").await?;
            permit.require_on(Action::ManageTeams, "id")?;
            if changed.is_empty() {
                return Ok(team);
            }
            let updated = diesel::update(teams::table.find(id))
                .set(profile.clone())
                .returning(Team::as_returning())
                .get_result(&mut **transaction)
                .await;
            let team: Team = on_violation(updated, "teams_name_key", name_taken)?;
            let event = NewEvent::by(actor, team.organization_id, AuditAction::TeamUpdated, id)
                .summary(format!("changed a team's {}", changed.join(", ")))
                .with(json!({ "fields": changed }));
            audit::record(transaction, [event]).await?;
            Ok(team)
        })
        .await
}

/// Deletes a team. Its members lose what was granted to the team, and open invitations no longer lead to it.
///
/// # Errors
///
/// NOT_FOUND or FORBIDDEN if the actor may not manage teams.
pub async fn delete(database: &Database, actor: &Actor, id: TeamId) -> Result<TeamId> {
    database
        .transaction(async |transaction| {
            let (permit, team) = enter(transaction, actor, id, "id").await?;
            permit.require_on(Action::ManageTeams, "id")?;
            diesel::delete(teams::table.find(id)).execute(&mut **transaction).await?;
            let event =
                NewEvent::by(actor, team.organization_id, AuditAction::TeamDeleted, id).summary("deleted a team");
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Adds members and collaborators of the organization to a team, all or none. Collaborators are named by the account's
/// id or by that of their placeholder ([`collaborator::account`]). Those who are already in the team stay in it. A team
/// makes nobody a collaborator: something must be shared with them first (R68).
///
/// # Errors
///
/// NOT_FOUND or FORBIDDEN if the actor may not manage teams; on `userIds`, BLANK, TOO_MANY, NOT_FOUND for people who
/// are neither, and FORBIDDEN for those whose grants are dormant because sharing outside isn't allowed.
pub async fn add_members(database: &Database, actor: &Actor, id: TeamId, user_ids: &[UserId]) -> Result<Team> {
    if user_ids.is_empty() {
        return Err(Error::refused(Code::Blank, "userIds", "name at least one person"));
    }
    if user_ids.len() > limits::MAX_TEAM_ADDITIONS {
        let message = format!("must be at most {} at once", limits::MAX_TEAM_ADDITIONS);
        return Err(Error::refused(Code::TooMany, "userIds", message));
    }
    database
        .transaction(async |transaction| {
            let (permit, team) = enter(transaction, actor, id, "teamId").await?;
            permit.require_on(Action::ManageTeams, "teamId")?;
            let user_ids = collaborator::accounts(transaction, team.organization_id, user_ids).await?;
            // Nobody can leave before this commits, since departures also lock the organization.
            let active: Vec<UserId> = members::table
                .filter(members::organization_id.eq(team.organization_id))
                .filter(members::user_id.eq_any(&user_ids))
                .filter(members::status.eq(MemberStatus::Active))
                .select(members::user_id)
                .load(&mut **transaction)
                .await?;
            let others: Vec<UserId> = user_ids.iter().copied().filter(|id| !active.contains(id)).collect();
            let collaborators = collaborator::hold(transaction, team.organization_id, &others).await?;
            let refusal = |(position, id): (usize, &UserId)| {
                let (code, message) = match collaborators.get(id) {
                    _ if active.contains(id) => return None,
                    Some(true) => return None,
                    Some(false) => SHARING_INSIDE,
                    None => NOBODY_HERE,
                };
                Some(Refusal::new(code, &position.to_string(), message).within(["userIds"]))
            };
            let refusals: Vec<Refusal> = user_ids.iter().enumerate().filter_map(refusal).collect();
            if !refusals.is_empty() {
                return Err(Error::Refused(refusals));
            }
            let people = active.into_iter().map(|id| (id, false)).chain(collaborators.into_keys().map(|id| (id, true)));
            let added = add(transaction, &team, people).await?;
            if !added.is_empty() {
                let event = NewEvent::by(actor, team.organization_id, AuditAction::TeamMembersAdded, id)
                    .summary(format!("added {} to a team", added.len()))
                    .with(json!({ "userIds": in_log(&added) }));
                let event = match added.as_slice() {
                    [one] => event.about(*one),
                    _ => event,
                };
                audit::record(transaction, [event]).await?;
            }
            Ok(team)
        })
        .await
}

/// Adds people to a team, each with whether they are a collaborator, and returns those who weren't in it yet.
async fn add(
    transaction: &mut Transaction,
    team: &Team,
    people: impl IntoIterator<Item = (UserId, bool)>,
) -> Result<Vec<UserId>> {
    let at = now(transaction).await?;
    let rows: Vec<_> = people
        .into_iter()
        .map(|(user_id, is_outside)| {
            (
                team_members::organization_id.eq(team.organization_id),
                team_members::team_id.eq(team.id),
                team_members::user_id.eq(user_id),
                team_members::added_at.eq(at),
                team_members::outside.eq(is_outside),
            )
        })
        .collect();
    Ok(diesel::insert_into(team_members::table)
        .values(rows)
        .on_conflict_do_nothing()
        .returning(team_members::user_id)
        .get_results(&mut **transaction)
        .await?)
}

/// Removes someone from a team, named like those who are added. Those who manage teams may remove anyone; others only
/// themselves.
///
/// # Errors
///
/// NOT_FOUND or FORBIDDEN if the actor may not do this; NOT_FOUND on `userId` if that person isn't in the team.
pub async fn remove_member(database: &Database, actor: &Actor, id: TeamId, user_id: UserId) -> Result<Team> {
    database
        .transaction(async |transaction| {
            let (permit, team) = enter(transaction, actor, id, "teamId").await?;
            let user_id = collaborator::account(transaction, team.organization_id, user_id).await?;
            if !permit.is_of(user_id) {
                permit.require_on(Action::ManageTeams, "teamId")?;
            }
            let removed = diesel::delete(team_members::table.find((id, user_id))).execute(&mut **transaction).await?;
            if removed == 0 {
                return Err(Error::refused(Code::NotFound, "userId", "this person isn't in the team"));
            }
            let event = NewEvent::by(actor, team.organization_id, AuditAction::TeamMemberRemoved, id)
                .summary("took someone out of a team")
                .about(user_id);
            audit::record(transaction, [event]).await?;
            Ok(team)
        })
        .await
}

/// Removes a leaver (R42), or a collaborator, from all teams of the organization, and returns these teams.
pub(crate) async fn leave_all(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<Vec<TeamId>> {
    Ok(diesel::delete(
        team_members::table
            .filter(team_members::organization_id.eq(organization_id))
            .filter(team_members::user_id.eq(user_id)),
    )
    .returning(team_members::team_id)
    .get_results(&mut **transaction)
    .await?)
}

/// Counts the teams of the organization that someone is in, and returns the names of some of them. If there is a limit,
/// no more teams than that are counted.
pub(crate) async fn teams_of(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
    limit: Option<i64>,
    examples: i64,
) -> Result<(i64, Vec<String>)> {
    let theirs = team_members::table
        .filter(team_members::organization_id.eq(organization_id))
        .filter(team_members::user_id.eq(user_id));
    let count = match limit {
        Some(limit) => {
            let first: Vec<TeamId> = theirs.limit(limit).select(team_members::team_id).load(connection).await?;
            i64::try_from(first.len()).unwrap_or(i64::MAX)
        }
        None => theirs.count().get_result(connection).await?,
    };
    let names = teams::table
        .filter(teams::id.eq_any(theirs.select(team_members::team_id)))
        .order(teams::id)
        .limit(examples)
        .select(teams::name)
        .load(connection)
        .await?;
    Ok((count, names))
}

/// Returns those of the ids that are teams of the organization.
pub(crate) async fn in_organization(
    connection: &AsyncPgConnection,
    organization_id: OrganizationId,
    ids: &[TeamId],
) -> Result<Vec<TeamId>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(teams::table
        .filter(teams::organization_id.eq(organization_id))
        .filter(teams::id.eq_any(ids))
        .select(teams::id)
        .load(&mut &*connection)
        .await?)
}

/// Records which teams of the organization people join by accepting an invitation.
pub(crate) async fn invite_into(
    transaction: &Transaction,
    organization_id: OrganizationId,
    pairs: &[(InvitationId, TeamId)],
) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = pairs
        .iter()
        .map(|(invitation_id, team_id)| {
            (
                invitation_teams::organization_id.eq(organization_id),
                invitation_teams::invitation_id.eq(*invitation_id),
                invitation_teams::team_id.eq(*team_id),
            )
        })
        .collect();
    diesel::insert_into(invitation_teams::table)
        .values(rows)
        .on_conflict_do_nothing()
        .execute(&mut &**transaction)
        .await?;
    Ok(())
}

/// Adds a person who accepted an invitation to its teams that still exist. The organization must be locked.
pub(crate) async fn join_by(
    transaction: &mut Transaction,
    invitation_id: InvitationId,
    user_id: UserId,
) -> Result<Vec<NewEvent>> {
    let mut events = Vec::new();
    for (_, team) in of_invitations(transaction, &[invitation_id]).await? {
        for user_id in add(transaction, &team, [(user_id, false)]).await? {
            events.push(
                NewEvent::by_user(user_id, team.organization_id, AuditAction::TeamMembersAdded, team.id)
                    .summary("the accepted invitation led into a team")
                    .about(user_id)
                    .with(json!({ "userIds": [user_id.to_string()] })),
            );
        }
    }
    Ok(events)
}

/// Returns the teams that people join by accepting the invitations.
pub async fn of_invitations(
    connection: &mut AsyncPgConnection,
    ids: &[InvitationId],
) -> Result<Vec<(InvitationId, Team)>> {
    Ok(invitation_teams::table
        .inner_join(teams::table.on(teams::id.eq(invitation_teams::team_id)))
        .filter(invitation_teams::invitation_id.eq_any(ids))
        .order((invitation_teams::invitation_id, teams::id))
        .select((invitation_teams::invitation_id, Team::as_select()))
        .load(connection)
        .await?)
}

/// Returns the teams with these ids without checking access, for callers who already reached them.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[TeamId]) -> Result<Vec<Team>> {
    Ok(teams::table.filter(teams::id.eq_any(ids)).select(Team::as_select()).load(connection).await?)
}

/// Returns those of the teams that the actor may see as a member of their organizations.
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[TeamId]) -> Result<Vec<Team>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|team| team.organization_id)).await?;
    let mut seen = Vec::new();
    for permit in permits.values() {
        let here = found.iter().filter(|team| team.organization_id == permit.organization_id()).cloned().collect();
        seen.extend(shown_by(connection, permit, here).await?);
    }
    Ok(seen)
}

/// Returns those of the organization's teams that the permit shows: all of them, or only those that its holder is in
/// (R77).
async fn shown_by(connection: &mut AsyncPgConnection, permit: &Permit, teams: Vec<Team>) -> Result<Vec<Team>> {
    if permit.standing().sees_structure() {
        return Ok(teams);
    }
    let ids: Vec<TeamId> = teams.iter().map(|team| team.id).collect();
    let Some(user_id) = permit.user_id() else { return Ok(Vec::new()) };
    let own: Vec<TeamId> = team_members::table
        .filter(team_members::team_id.eq_any(ids))
        .filter(team_members::user_id.eq(user_id))
        .select(team_members::team_id)
        .load(connection)
        .await?;
    Ok(teams.into_iter().filter(|team| own.contains(&team.id)).collect())
}

type Query = diesel::helper_types::IntoBoxed<'static, teams::table, diesel::pg::Pg>;

fn listed(permit: &Permit, search: Option<&str>) -> Query {
    let mut query = teams::table.into_boxed().filter(teams::organization_id.eq(permit.organization_id()));
    if !permit.standing().sees_structure() {
        let own = team_members::table
            .filter(team_members::organization_id.eq(permit.organization_id()))
            .filter(team_members::user_id.nullable().eq(permit.user_id()));
        query = query.filter(teams::id.eq_any(own.select(team_members::team_id)));
    }
    match text::searched(search) {
        Some(search) => query.filter(teams::folded_name.like(text::like_pattern(&search))),
        None => query,
    }
}

/// Returns a page of the organization's teams that the permit shows, oldest first.
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    search: Option<&str>,
    page: &PageRequest,
) -> Result<Page<Team>> {
    let slice = page.slice()?;
    let query = listed(permit, search).select(Team::as_select());
    let rows = by_id!(query, slice, teams::id).load(connection).await?;
    slice.page(rows, |team: &Team| team.id)
}

/// Counts the teams that [`list`] returns over all pages.
pub async fn count(connection: &mut AsyncPgConnection, permit: &Permit, search: Option<&str>) -> Result<i64> {
    Ok(listed(permit, search).select(diesel::dsl::count_star()).first(connection).await?)
}
