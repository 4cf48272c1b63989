//! Bringing in a platform's teams with the people in them, many at once: found by the platform's own ids, else by name,
//! all or none, and the same call again changes nothing (R87, R88).

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use crate::account::user_ref::{self, UserRef};
use crate::authority::access::{self, Lock};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::PlatformScope;
use crate::authority::platform_data;
use crate::authority::rights::Action;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, TeamId, UserId};
use crate::base::sql::statement;
use crate::base::upsert::{self, ItemRefusals, UpsertOutcome};
use crate::base::{limits, text};
use crate::database::schema::teams;
use crate::database::{Database, Transaction, now};
use crate::membership::team::{self, Team};
use crate::membership::team_places::{self, PlaceChanges};
use crate::membership::{collaborator, member};

/// The name of the list in the API.
const LIST: &str = "teams";

/// A team to make or to change. What is `None` stays as it is, and `Some(None)` clears it.
#[derive(Debug, Clone)]
pub struct TeamUpsert {
    /// The platform's own id.
    pub external_id: String,
    /// The name; needed for a new team.
    pub name: Option<String>,
    /// A description of the team.
    pub description: Option<Option<String>>,
    /// A link to a picture.
    pub avatar_url: Option<Option<String>>,
    /// The people who are in the team afterwards.
    pub members: Option<Vec<UserRef>>,
    /// What the platform attaches to the team.
    pub metadata: Option<Option<Value>>,
}

/// An item whose texts are in canonical form.
struct Parsed {
    name: Option<String>,
    description: Option<Option<String>>,
    avatar_url: Option<Option<String>>,
    metadata: Option<Option<Value>>,
}

/// A team that was there before.
#[derive(Queryable)]
struct Existing {
    id: TeamId,
    external_id: Option<String>,
    folded_name: String,
    name: String,
    description: Option<String>,
    avatar_url: Option<String>,
    metadata: Option<Value>,
}

/// What the list names, as it is in the database.
struct Known {
    /// All teams of the organization. There are few.
    existing: Vec<Existing>,
    named: HashMap<UserRef, UserId>,
    /// The people in those of the teams whose people are given.
    people: HashMap<TeamId, BTreeSet<UserId>>,
    active: HashSet<UserId>,
    /// Those who are collaborators, and whether the organization allows sharing outside.
    collaborators: HashMap<UserId, bool>,
}

/// A team as it is to be.
struct TeamState {
    id: TeamId,
    external_id: String,
    name: String,
    description: Option<String>,
    avatar_url: Option<String>,
    metadata: Option<Value>,
}

/// What becomes of an item.
struct Planned<'a> {
    position: usize,
    before: Option<&'a Existing>,
    after: TeamState,
    /// The names of the fields that change.
    fields: Vec<&'static str>,
    /// The people in the team afterwards, if these change.
    people: Option<BTreeSet<UserId>>,
}

impl Planned<'_> {
    fn outcome(&self) -> UpsertOutcome {
        match self.before {
            None => UpsertOutcome::Created,
            Some(_) if self.fields.is_empty() && self.people.is_none() => UpsertOutcome::Unchanged,
            Some(_) => UpsertOutcome::Updated,
        }
    }
}

statement! {
    struct InsertAll {
        organization_id: SqlUuid = OrganizationId,
        at: Timestamptz = DateTime<Utc>,
        ids: Array<SqlUuid> = Vec<TeamId>,
        external_ids: Array<Text> = Vec<String>,
        names: Array<Text> = Vec<String>,
        folded_names: Array<Text> = Vec<String>,
        descriptions: Array<Nullable<Text>> = Vec<Option<String>>,
        avatar_urls: Array<Nullable<Text>> = Vec<Option<String>>,
        metadata: Array<Nullable<Jsonb>> = Vec<Option<Value>>,
    } = "INSERT INTO teams (id, organization_id, external_id, name, folded_name, description, avatar_url, metadata, created_at) \
         SELECT n.id, :organization_id, n.external_id, n.name, n.folded_name, n.description, n.avatar_url, n.metadata, :at \
         FROM unnest(:ids, :external_ids, :names, :folded_names, :descriptions, :avatar_urls, :metadata) \
           AS n (id, external_id, name, folded_name, description, avatar_url, metadata)"
}

statement! {
    struct UpdateAll {
        ids: Array<SqlUuid> = Vec<TeamId>,
        external_ids: Array<Text> = Vec<String>,
        names: Array<Text> = Vec<String>,
        folded_names: Array<Text> = Vec<String>,
        descriptions: Array<Nullable<Text>> = Vec<Option<String>>,
        avatar_urls: Array<Nullable<Text>> = Vec<Option<String>>,
        metadata: Array<Nullable<Jsonb>> = Vec<Option<Value>>,
    } = "UPDATE teams AS t SET external_id = n.external_id, name = n.name, folded_name = n.folded_name, \
           description = n.description, avatar_url = n.avatar_url, metadata = n.metadata \
         FROM unnest(:ids, :external_ids, :names, :folded_names, :descriptions, :avatar_urls, :metadata) \
           AS n (id, external_id, name, folded_name, description, avatar_url, metadata) \
         WHERE t.id = n.id"
}

statement! {
    /// Frees the names of teams that get others in the same transaction, so that teams can swap names. No name of a
    /// team begins with a line feed.
    struct FreeNames {
        ids: Array<SqlUuid> = Vec<TeamId>,
    } = r"UPDATE teams SET folded_name = E'\n' || id WHERE id = ANY (:ids)"
}

/// Makes and changes teams of an organization, for platform keys with MEMBERS_WRITE. Returns each with what became of
/// it, in the order of the list.
///
/// A team that has the name already, and no id of the platform's, gets the id.
///
/// # Errors
///
/// On `organization`: NOT_FOUND, FORBIDDEN. BLANK or TOO_MANY on `teams`. For each item: INVALID, BLANK or TOO_LONG;
/// CONFLICT on `name` if another team has it; on `members`, NOT_FOUND for people who are neither members nor
/// collaborators, and FORBIDDEN for those whose grants are dormant because sharing outside isn't allowed.
pub async fn upsert(
    database: &Database,
    actor: &Actor,
    organization_id: OrganizationId,
    items: &[TeamUpsert],
) -> Result<Vec<(Team, UpsertOutcome)>> {
    database.transaction(async |transaction| upsert_within(transaction, actor, organization_id, items).await).await
}

/// The same within a transaction.
pub(crate) async fn upsert_within(
    transaction: &mut Transaction,
    actor: &Actor,
    organization_id: OrganizationId,
    items: &[TeamUpsert],
) -> Result<Vec<(Team, UpsertOutcome)>> {
    actor.require_scope(PlatformScope::MembersWrite, "organization")?;
    upsert::require_number(LIST, items.len(), limits::MAX_UPSERTED_GROUPS)?;
    let parsed = parse(items)?;
    let (lock, action) = (Lock::Organization, Action::ManageTeams);
    access::authorize(transaction, actor, organization_id, lock, action, "organization").await?;
    write(transaction, actor, organization_id, items, &parsed).await
}

fn parse(items: &[TeamUpsert]) -> Result<Vec<Parsed>> {
    let mut refusals = ItemRefusals::of(LIST);
    let keys = items.iter().enumerate();
    refusals.repeated("externalId", keys.map(|(position, item)| (position, item.external_id.as_str())));
    let mut parsed = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        refusals.keep(position, platform_data::external_id("externalId", &item.external_id));
        let name = item.name.as_deref().map(|name| text::name("name", name, limits::NAME)).transpose();
        let description = item
            .description
            .as_ref()
            .map(|text| text::optional_text("description", text.as_deref(), limits::DESCRIPTION));
        let avatar_url = item.avatar_url.as_ref().map(|url| text::optional_link("avatarUrl", url.as_deref()));
        let metadata = item.metadata.as_ref().map(|data| platform_data::metadata("metadata", data.as_ref()));
        parsed.push(Parsed {
            name: refusals.keep(position, name).flatten(),
            description: refusals.keep(position, description.transpose()).flatten(),
            avatar_url: refusals.keep(position, avatar_url.transpose()).flatten(),
            metadata: refusals.keep(position, metadata.transpose()).flatten(),
        });
    }
    let named = |(position, parsed): (usize, &Parsed)| Some((position, text::fold(parsed.name.as_deref()?)));
    refusals.repeated("name", parsed.iter().enumerate().filter_map(named));
    refusals.none()?;
    Ok(parsed)
}

impl Known {
    async fn load(
        transaction: &mut Transaction,
        organization_id: OrganizationId,
        items: &[TeamUpsert],
        parsed: &[Parsed],
    ) -> Result<Self> {
        let existing: Vec<Existing> = teams::table
            .filter(teams::organization_id.eq(organization_id))
            .order(teams::id)
            .select((
                teams::id,
                teams::external_id,
                teams::folded_name,
                teams::name,
                teams::description,
                teams::avatar_url,
                teams::metadata,
            ))
            .load(&mut **transaction)
            .await?;
        let refs: Vec<UserRef> = items.iter().filter_map(|item| item.members.as_ref()).flatten().cloned().collect();
        let named = user_ref::resolve(transaction, &refs).await?;
        let mut known =
            Self { existing, named, people: HashMap::new(), active: HashSet::new(), collaborators: HashMap::new() };
        let given = items.iter().zip(parsed).filter(|(item, _)| item.members.is_some());
        let given: Vec<TeamId> = given.filter_map(|(item, parsed)| Some(known.team(item, parsed)?.id)).collect();
        for (team_id, user_id) in team_places::of_teams(transaction, &given).await? {
            known.people.entry(team_id).or_default().insert(user_id);
        }
        if known.named.is_empty() {
            return Ok(known);
        }
        // Nobody can leave before this commits, since departures also lock the organization.
        let people: Vec<UserId> = known.named.values().copied().collect::<BTreeSet<_>>().into_iter().collect();
        known.active = member::active_among(transaction, organization_id, &people).await?.into_iter().collect();
        let others: Vec<UserId> = people.into_iter().filter(|id| !known.active.contains(id)).collect();
        known.collaborators = collaborator::hold(transaction, organization_id, &others).await?;
        Ok(known)
    }

    /// The team that an item means: by the platform's id, else by name.
    fn team(&self, item: &TeamUpsert, parsed: &Parsed) -> Option<&Existing> {
        let by_id = self.existing.iter().find(|team| team.external_id.as_ref() == Some(&item.external_id));
        let folded_name = parsed.name.as_deref().map(text::fold);
        by_id.or_else(|| {
            let is_named =
                |team: &&Existing| team.external_id.is_none() && Some(&team.folded_name) == folded_name.as_ref();
            self.existing.iter().find(is_named)
        })
    }

    /// The person whom a list names, if they may be in a team: a member or a collaborator, or somebody who is in it.
    fn person(&self, named: &UserRef, in_team: &BTreeSet<UserId>) -> Result<UserId, Refusal> {
        let id = self.named.get(named).copied();
        let found = id
            .filter(|id| in_team.contains(id) || self.active.contains(id) || self.collaborators.get(id) == Some(&true));
        found.ok_or_else(|| {
            let (code, message) = match id.and_then(|id| self.collaborators.get(&id)) {
                Some(_) => team::SHARING_INSIDE,
                None => team::NOBODY_HERE,
            };
            Refusal::new(code, named.field(), message)
        })
    }
}

async fn write(
    transaction: &mut Transaction,
    actor: &Actor,
    organization_id: OrganizationId,
    items: &[TeamUpsert],
    parsed: &[Parsed],
) -> Result<Vec<(Team, UpsertOutcome)>> {
    let known = Known::load(transaction, organization_id, items, parsed).await?;
    let plan = plan(items, parsed, &known)?;
    let changed: Vec<&Planned<'_>> =
        plan.iter().filter(|planned| planned.before.is_some() && !planned.fields.is_empty()).collect();
    update(transaction, &changed).await?;
    let created: Vec<&Planned<'_>> = plan.iter().filter(|planned| planned.before.is_none()).collect();
    insert(transaction, organization_id, &created).await?;
    let event = |action, planned: &Planned<'_>| NewEvent::by(actor, organization_id, action, planned.after.id);
    let mut events = Vec::new();
    for planned in created {
        events.push(event(AuditAction::TeamCreated, planned).summary("brought in a team"));
    }
    for planned in changed {
        events.push(
            event(AuditAction::TeamUpdated, planned)
                .summary(format!("changed a team's {}", planned.fields.join(", ")))
                .with(json!({ "fields": planned.fields })),
        );
    }
    events.extend(place(&known, &plan).write(transaction, actor, organization_id).await?);
    let ids: Vec<TeamId> = plan.iter().map(|planned| planned.after.id).collect();
    let found: HashMap<TeamId, Team> =
        team::by_ids(transaction, &ids).await?.into_iter().map(|team| (team.id, team)).collect();
    audit::record(transaction, events).await?;
    let result = |planned: &Planned<'_>| {
        let team = found.get(&planned.after.id).cloned().ok_or(Error::Bug("each item has a team"))?;
        Ok((team, planned.outcome()))
    };
    plan.iter().map(result).collect()
}

/// Decides what becomes of each item, or refuses what can't be.
fn plan<'a>(items: &[TeamUpsert], parsed: &[Parsed], known: &'a Known) -> Result<Vec<Planned<'a>>> {
    let mut refusals = ItemRefusals::of(LIST);
    let mut plan = Vec::with_capacity(items.len());
    let nobody = BTreeSet::new();
    for (position, (item, parsed)) in items.iter().zip(parsed).enumerate() {
        let before = known.team(item, parsed);
        let Some(name) = parsed.name.clone().or_else(|| before.map(|before| before.name.clone())) else {
            refusals.add(position, Refusal::new(Code::Blank, "name", "is needed for a new team"));
            continue;
        };
        let after = TeamState {
            id: before.map_or_else(TeamId::new, |before| before.id),
            external_id: item.external_id.clone(),
            name,
            description: kept(&parsed.description, before.map(|before| &before.description)),
            avatar_url: kept(&parsed.avatar_url, before.map(|before| &before.avatar_url)),
            metadata: kept(&parsed.metadata, before.map(|before| &before.metadata)),
        };
        let fields = before.map(|before| changed_fields(before, &after)).unwrap_or_default();
        let in_team = before.and_then(|before| known.people.get(&before.id)).unwrap_or(&nobody);
        let mut people = item.members.as_ref().map(|_| BTreeSet::new());
        for (number, named) in item.members.iter().flatten().enumerate() {
            let person = known.person(named, in_team);
            let person = person.map_err(|refusal| refusal.within(["members", &number.to_string()]));
            if let (Some(person), Some(people)) = (refusals.keep(position, person), &mut people) {
                people.insert(person);
            }
        }
        let people = people.filter(|people| people != in_team);
        plan.push(Planned { position, before, after, fields, people });
    }
    // A name is free if no team has it, or if the team that has it gets another one.
    let is_renamed = |planned: &&Planned<'_>| planned.fields.contains(&"name");
    let renamed: HashSet<TeamId> = plan.iter().filter(is_renamed).map(|planned| planned.after.id).collect();
    let kept = known.existing.iter().filter(|team| !renamed.contains(&team.id));
    let kept: HashMap<&str, TeamId> = kept.map(|team| (team.folded_name.as_str(), team.id)).collect();
    for planned in &plan {
        if kept.get(text::fold(&planned.after.name).as_str()).is_some_and(|id| *id != planned.after.id) {
            refusals.add(planned.position, team::name_taken());
        }
    }
    refusals.none()?;
    let created = plan.iter().filter(|planned| planned.before.is_none()).count();
    let number = i64::try_from(known.existing.len() + created).unwrap_or(i64::MAX);
    if created > 0 && number > limits::MAX_TEAMS {
        let message = format!("an organization has at most {} teams; delete some first", limits::MAX_TEAMS);
        return Err(Error::refused(Code::TooMany, LIST, message));
    }
    Ok(plan)
}

/// A field as it is to be: as it is given, else as it was.
fn kept<T: Clone>(given: &Option<Option<T>>, before: Option<&Option<T>>) -> Option<T> {
    given.clone().unwrap_or_else(|| before.cloned().flatten())
}

/// The fields that change, by their names in the API.
fn changed_fields(before: &Existing, after: &TeamState) -> Vec<&'static str> {
    let fields = [
        ("externalId", before.external_id.as_ref() != Some(&after.external_id)),
        ("name", before.name != after.name),
        ("description", before.description != after.description),
        ("avatarUrl", before.avatar_url != after.avatar_url),
        ("metadata", before.metadata != after.metadata),
    ];
    fields.into_iter().filter_map(|(field, is_changed)| is_changed.then_some(field)).collect()
}

/// The columns of teams, for a statement about many.
struct Columns {
    ids: Vec<TeamId>,
    external_ids: Vec<String>,
    names: Vec<String>,
    folded_names: Vec<String>,
    descriptions: Vec<Option<String>>,
    avatar_urls: Vec<Option<String>>,
    metadata: Vec<Option<Value>>,
}

impl Columns {
    fn of(teams: &[&Planned<'_>]) -> Self {
        let teams = || teams.iter().map(|planned| &planned.after);
        Self {
            ids: teams().map(|team| team.id).collect(),
            external_ids: teams().map(|team| team.external_id.clone()).collect(),
            names: teams().map(|team| team.name.clone()).collect(),
            folded_names: teams().map(|team| text::fold(&team.name)).collect(),
            descriptions: teams().map(|team| team.description.clone()).collect(),
            avatar_urls: teams().map(|team| team.avatar_url.clone()).collect(),
            metadata: teams().map(|team| team.metadata.clone()).collect(),
        }
    }
}

async fn update(transaction: &mut Transaction, changed: &[&Planned<'_>]) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let renamed = changed.iter().filter(|planned| planned.fields.contains(&"name"));
    let renamed: Vec<TeamId> = renamed.map(|planned| planned.after.id).collect();
    if renamed.len() > 1 {
        FreeNames { ids: renamed }.query().execute(&mut **transaction).await?;
    }
    let Columns { ids, external_ids, names, folded_names, descriptions, avatar_urls, metadata } = Columns::of(changed);
    let update = UpdateAll { ids, external_ids, names, folded_names, descriptions, avatar_urls, metadata };
    update.query().execute(&mut **transaction).await?;
    Ok(())
}

async fn insert(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    created: &[&Planned<'_>],
) -> Result<()> {
    if created.is_empty() {
        return Ok(());
    }
    let at = now(transaction).await?;
    let Columns { ids, external_ids, names, folded_names, descriptions, avatar_urls, metadata } = Columns::of(created);
    let insert =
        InsertAll { organization_id, at, ids, external_ids, names, folded_names, descriptions, avatar_urls, metadata };
    insert.query().execute(&mut **transaction).await?;
    Ok(())
}

/// The places in teams that the list gives and takes.
fn place(known: &Known, plan: &[Planned<'_>]) -> PlaceChanges {
    let (mut changes, nobody) = (PlaceChanges::default(), BTreeSet::new());
    for planned in plan {
        let (team_id, Some(wanted)) = (planned.after.id, &planned.people) else { continue };
        let now = known.people.get(&team_id).unwrap_or(&nobody);
        let added = wanted.difference(now);
        changes.added.extend(added.map(|user_id| ((team_id, *user_id), known.collaborators.contains_key(user_id))));
        changes.removed.extend(now.difference(wanted).map(|user_id| (team_id, *user_id)));
    }
    changes
}
