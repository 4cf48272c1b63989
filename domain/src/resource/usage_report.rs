//! Reports of what was used outside of runs, such as downloads (R70, R82).

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::Within;
use crate::base::credit_rates::UsageKind;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId, RunId, TypedId, UsageEntryId, UserId};
use crate::base::sql::statement;
use crate::base::{limits, text};
use crate::database::schema::{organizations, resources};
use crate::database::{Database, Transaction, now};
use crate::organization::ledger::{self, NewEntry};
use crate::resource::kind::ResourceKind;

/// Something that was used, as the platform reports it.
#[derive(Debug, Clone)]
pub struct UsageEntry {
    /// The key that keeps the entry from counting twice.
    pub idempotency_key: String,
    /// The organization that pays; `None` for the user's default bill-to (R82).
    pub organization_id: Option<OrganizationId>,
    /// What was used.
    pub kind: UsageKind,
    /// How much.
    pub quantity: Decimal,
    /// The network's region.
    pub region: Option<String>,
    /// The user who used it; `None` for the user who queued the run, if one is given.
    pub user_id: Option<UserId>,
    /// The workspace in which it was used; `None` for that of the run, if one is given.
    pub workspace_id: Option<ResourceId>,
    /// The run that used it.
    pub run_id: Option<RunId>,
    /// When it was used; `None` for now.
    pub occurred_at: Option<DateTime<Utc>>,
}

/// How many entries of a report are new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// How many were recorded.
    pub recorded: usize,
    /// How many had been recorded before, with the same key.
    pub already_recorded: usize,
}

/// The texts of an entry, once they are checked.
struct Parsed {
    key: String,
    region: Option<String>,
    quantity: Decimal,
}

/// Gives a refusal the path of an entry in the list.
fn at(position: usize) -> impl Fn(Refusal) -> Refusal {
    move |refusal| refusal.within(["entries", &position.to_string()])
}

/// Records what was used, all entries or none. An entry whose key was used before in the same scope
/// ([`Reporter::scope`]) isn't counted again. That is decided before anything that the entry names is looked up, so
/// that a repeat is known for what it is, whatever has become of the workspace, the user's default or the time limit.
///
/// # Errors
///
/// FORBIDDEN for people and for service keys with the scope READ; BLANK or TOO_MANY for no or too many entries; for
/// each entry, whatever is wrong with it; CONFLICT on `idempotencyKey` if the key came with something else before.
pub async fn report(database: &Database, actor: &Actor, entries: &[UsageEntry]) -> Result<Reported> {
    let reported = actor.reports_usage("entries")?;
    access::require_writing(actor, "entries")?;
    if entries.is_empty() {
        return Err(Error::refused(Code::Blank, "entries", "name at least one entry"));
    }
    if entries.len() > limits::MAX_USAGE_ENTRIES {
        let message = format!("must be at most {} at once", limits::MAX_USAGE_ENTRIES);
        return Err(Error::refused(Code::TooMany, "entries", message));
    }
    let parsed = all(entries.iter().map(parse).enumerate())?;
    let reporter = Reporter { within: reported, keys_of: actor.reports_with_keys_of() };
    let given = entries.iter().zip(&parsed).enumerate();
    let given = given.map(|(position, (entry, parsed))| {
        let (scope, earlier_scope) = (reporter.scope(entry)?, reporter.earlier_scope(entry));
        Ok(GivenEntry { position, entry, parsed, scope, earlier_scope })
    });
    let given = given.collect::<Result<Vec<_>>>()?;
    database
        .transaction(async |transaction| {
            let before = Before::load(transaction, &reporter, &given).await?;
            // What is out of the reporter's reach is refused like anything else there.
            let is_known = |given: &&GivenEntry<'_>| {
                before.of(given).is_some_and(|before| reporter.within.includes(before.organization_id))
            };
            let (repeated, unknown): (Vec<&GivenEntry<'_>>, Vec<&GivenEntry<'_>>) = given.iter().partition(is_known);
            require_same(&reporter, &before, &repeated)?;
            let time = now(transaction).await?;
            let known = Known::load(transaction, &reporter.within, &unknown).await?;
            let new = all(unknown.iter().map(|given| (given.position, known.entry(&reporter.within, given, time))))?;
            let recorded = ledger::record(transaction, &new).await?;
            // Those that are missing came twice in this report, or in another one at the same moment.
            let again = unknown.iter().zip(&new).filter(|(_, entry)| !recorded.ids.contains(&entry.id));
            let again: Vec<&GivenEntry<'_>> = again.map(|(given, _)| *given).collect();
            if !again.is_empty() {
                require_same(&reporter, &Before::load(transaction, &reporter, again.iter().copied()).await?, &again)?;
            }
            let mut events = Vec::new();
            let mut numbers: BTreeMap<OrganizationId, usize> = BTreeMap::new();
            for entry in new.iter().filter(|entry| recorded.ids.contains(&entry.id)) {
                *numbers.entry(entry.organization_id).or_default() += 1;
            }
            for (organization_id, number) in numbers {
                let event = NewEvent::by(actor, organization_id, AuditAction::UsageReported, organization_id)
                    .summary(format!("reported usage: {number} {}", if number == 1 { "entry" } else { "entries" }))
                    .with(json!({ "count": number }));
                events.push(event);
            }
            events.extend(recorded.events);
            audit::record(transaction, events).await?;
            Ok(Reported { recorded: recorded.ids.len(), already_recorded: repeated.len() + again.len() })
        })
        .await
}

/// All results, or all refusals with the paths of their entries, whose positions come with the results.
fn all<T>(results: impl Iterator<Item = (usize, Result<T, Refusal>)>) -> Result<Vec<T>> {
    let (mut values, mut refusals) = (Vec::new(), Vec::new());
    for (position, result) in results {
        match result {
            Ok(value) => values.push(value),
            Err(refusal) => refusals.push(at(position)(refusal)),
        }
    }
    if refusals.is_empty() { Ok(values) } else { Err(Error::Refused(refusals)) }
}

fn parse(entry: &UsageEntry) -> Result<Parsed, Refusal> {
    let key = text::line("idempotencyKey", &entry.idempotency_key, limits::LINE)?;
    let region = text::optional_line("region", entry.region.as_deref(), limits::REGION)?;
    let quantity = ledger::require_quantity("quantity", entry.quantity)?;
    if quantity.is_zero() {
        return Err(Refusal::new(Code::Invalid, "quantity", "must be more than 0"));
    }
    if entry.organization_id.is_none() && entry.user_id.is_none() {
        let message = "name the organization that pays, or the user whose default does";
        return Err(Refusal::new(Code::Blank, "userId", message));
    }
    Ok(Parsed { key, region, quantity })
}

/// Who reports.
struct Reporter {
    /// For which organizations.
    within: Within,
    /// The organization to which the reporter's keys belong; `None` for staff and platform keys.
    keys_of: Option<OrganizationId>,
}

impl Reporter {
    /// Within what an entry's key is unique: the organization of a service key, so that no organization meets another's
    /// keys; for everybody else, the organization that pays or, if none is named, the user whose default does.
    fn scope(&self, entry: &UsageEntry) -> Result<Uuid> {
        let named = entry.organization_id.map(TypedId::uuid).or(entry.user_id.map(TypedId::uuid));
        self.keys_of.map(TypedId::uuid).or(named).ok_or(Error::Bug("an entry names who pays"))
    }

    /// Within what the key of a service key's entry was unique before it had the scope of its organization.
    fn earlier_scope(&self, entry: &UsageEntry) -> Option<Uuid> {
        self.keys_of.and(entry.user_id).filter(|_| entry.organization_id.is_none()).map(TypedId::uuid)
    }
}

/// An entry of a report, with what was found out about it without looking anything up.
struct GivenEntry<'a> {
    /// Its position in the report.
    position: usize,
    entry: &'a UsageEntry,
    parsed: &'a Parsed,
    scope: Uuid,
    earlier_scope: Option<Uuid>,
}

/// What the entries refer to, as far as the reporter may know it.
struct Known {
    /// Organizations that aren't deleted.
    organizations: HashSet<OrganizationId>,
    /// Who pays for each user by default.
    defaults: HashMap<UserId, OrganizationId>,
    /// The users about whom can be reported.
    users: HashSet<UserId>,
    runs: HashMap<RunId, KnownRun>,
    /// Workspaces, with their organizations.
    workspaces: HashMap<ResourceId, OrganizationId>,
}

#[derive(QueryableByName)]
struct KnownRun {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = SqlUuid)]
    queued_by_id: UserId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    workspace_id: Option<ResourceId>,
}

statement! {
    struct BilledUsers<'a> {
        users: Array<SqlUuid> = Vec<UserId>,
        within: Nullable<Array<SqlUuid>> = Option<&'a [OrganizationId]>,
    } = include_str!("billed_users.sql")
}

statement! {
    struct KnownRuns { runs: Array<SqlUuid> = Vec<RunId> } =
        "SELECT id, organization_id, queued_by_id, workspace_of(resource_id) AS workspace_id FROM runs WHERE id = ANY (:runs)"
}

impl Known {
    /// Loads all of it, with one statement for each kind of thing.
    async fn load(transaction: &mut Transaction, reported: &Within, given: &[&GivenEntry<'_>]) -> Result<Self> {
        #[derive(QueryableByName)]
        struct BilledUser {
            #[diesel(sql_type = SqlUuid)]
            id: UserId,
            #[diesel(sql_type = SqlUuid)]
            default_bill_to_id: OrganizationId,
        }
        let within = reported.ids();
        let entries: Vec<&UsageEntry> = given.iter().map(|given| given.entry).collect();
        let users: Vec<UserId> = entries.iter().filter_map(|entry| entry.user_id).collect();
        let users: Vec<BilledUser> = match users.is_empty() {
            true => Vec::new(),
            false => BilledUsers { users, within }.query().load(&mut **transaction).await?,
        };
        let defaults: HashMap<UserId, OrganizationId> =
            users.iter().map(|user| (user.id, user.default_bill_to_id)).collect();
        let named = entries.iter().filter_map(|entry| entry.organization_id);
        let ids: Vec<OrganizationId> = named.chain(defaults.values().copied()).collect();
        let organizations: Vec<OrganizationId> = organizations::table
            .filter(organizations::id.eq_any(ids))
            .filter(organizations::deleted_at.is_null())
            .select(organizations::id)
            .load(&mut **transaction)
            .await?;
        let runs: Vec<RunId> = entries.iter().filter_map(|entry| entry.run_id).collect();
        let runs: Vec<KnownRun> = match runs.is_empty() {
            true => Vec::new(),
            false => KnownRuns { runs }.query().load(&mut **transaction).await?,
        };
        let workspaces: Vec<ResourceId> = entries.iter().filter_map(|entry| entry.workspace_id).collect();
        let workspaces: Vec<(ResourceId, OrganizationId)> = match workspaces.is_empty() {
            true => Vec::new(),
            false => {
                resources::table
                    .filter(resources::id.eq_any(workspaces))
                    .filter(resources::kind.eq(ResourceKind::Workspace))
                    .select((resources::id, resources::organization_id))
                    .load(&mut **transaction)
                    .await?
            }
        };
        Ok(Self {
            organizations: organizations.into_iter().collect(),
            users: defaults.keys().copied().collect(),
            defaults,
            runs: runs.into_iter().map(|run| (run.id, run)).collect(),
            workspaces: workspaces.into_iter().collect(),
        })
    }

    /// The entry for the ledger.
    fn entry(&self, reported: &Within, given: &GivenEntry<'_>, time: DateTime<Utc>) -> Result<NewEntry, Refusal> {
        let GivenEntry { entry, parsed, scope, .. } = *given;
        let not_found =
            |field: &str, what: &str| Refusal::new(Code::NotFound, field, format!("there is no such {what}"));
        if let Some(id) = entry.user_id.filter(|id| !self.users.contains(id)) {
            return Err(match reported {
                Within::Only(_) => not_found("userId", "person in this organization"),
                Within::All => not_found("userId", &format!("account as {id}")),
            });
        }
        let default = entry.user_id.and_then(|id| self.defaults.get(&id).copied());
        let organization_id = entry
            .organization_id
            .or(default)
            .filter(|id| reported.includes(*id) && self.organizations.contains(id))
            .ok_or_else(|| not_found("organizationId", "organization"))?;
        let run = match entry.run_id {
            Some(id) => {
                let run = self.runs.get(&id).filter(|run| run.organization_id == organization_id);
                Some(run.ok_or_else(|| not_found("runId", "run in this organization"))?)
            }
            None => None,
        };
        if let Some(id) = entry.workspace_id
            && self.workspaces.get(&id) != Some(&organization_id)
        {
            return Err(not_found("workspaceId", "workspace in this organization"));
        }
        let occurred_at = entry.occurred_at.unwrap_or(time);
        if occurred_at > time + limits::CLOCK_SKEW {
            return Err(Refusal::new(Code::Invalid, "occurredAt", "must not lie in the future"));
        }
        if occurred_at < time - limits::USAGE_REPORTED_WITHIN {
            return Err(Refusal::new(Code::Invalid, "occurredAt", "must not be more than three years ago"));
        }
        Ok(NewEntry {
            id: UsageEntryId::new(),
            organization_id,
            kind: entry.kind,
            quantity: parsed.quantity,
            region: parsed.region.clone(),
            user_id: entry.user_id.or(run.map(|run| run.queued_by_id)),
            workspace_id: entry.workspace_id.or(run.and_then(|run| run.workspace_id)),
            run_id: entry.run_id,
            key: Some((scope, parsed.key.clone())),
            occurred_at,
        })
    }
}

statement! {
    /// The reporter's organization is given for service keys only: an entry of theirs from before their keys had a
    /// scope of their own may be in the scope of its user.
    struct RecordedBefore<'a> {
        scopes: Array<SqlUuid> = Vec<Uuid>,
        keys: Array<Text> = Vec<&'a str>,
        keys_of: Nullable<SqlUuid> = Option<OrganizationId>,
    } = "SELECT e.* FROM unnest(:scopes, :keys) AS k (key_scope, idempotency_key) JOIN usage_entries e USING (key_scope, idempotency_key) \
         WHERE :keys_of IS NULL OR e.key_scope = :keys_of OR e.of_any_reporter AND e.organization_id = :keys_of"
}

#[derive(QueryableByName)]
struct RecordedEntry {
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = SqlUuid)]
    key_scope: Uuid,
    #[diesel(sql_type = Text)]
    idempotency_key: String,
    #[diesel(sql_type = Text)]
    kind: UsageKind,
    #[diesel(sql_type = Numeric)]
    quantity: Decimal,
    #[diesel(sql_type = Nullable<Text>)]
    region: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    user_id: Option<UserId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    workspace_id: Option<ResourceId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    run_id: Option<RunId>,
    #[diesel(sql_type = Timestamptz)]
    occurred_at: DateTime<Utc>,
}

impl RecordedEntry {
    /// Whether this is what a repeat of it says. What the repeat leaves out isn't compared: it may have been taken from
    /// the user's default, from the run, or from the clock.
    fn is_same(&self, given: &GivenEntry<'_>) -> bool {
        let GivenEntry { entry, parsed, .. } = given;
        self.kind == entry.kind
            && self.quantity == parsed.quantity
            && self.region == parsed.region
            && self.run_id == entry.run_id
            && entry.organization_id.is_none_or(|id| self.organization_id == id)
            && entry.user_id.is_none_or(|id| self.user_id == Some(id))
            && entry.workspace_id.is_none_or(|id| self.workspace_id == Some(id))
            && entry.occurred_at.is_none_or(|time| self.occurred_at == time)
    }
}

/// The entries that were recorded before, by the scopes of their keys.
struct Before(HashMap<(Uuid, String), RecordedEntry>);

impl Before {
    async fn load<'a>(
        transaction: &mut Transaction,
        reporter: &Reporter,
        given: impl IntoIterator<Item = &'a GivenEntry<'a>>,
    ) -> Result<Self> {
        let keys = given.into_iter().flat_map(|given| {
            let scopes = [Some(given.scope), given.earlier_scope].into_iter().flatten();
            scopes.map(|scope| (scope, given.parsed.key.as_str()))
        });
        let (scopes, keys) = keys.unzip();
        let asked = RecordedBefore { scopes, keys, keys_of: reporter.keys_of };
        let found: Vec<RecordedEntry> = asked.query().load(&mut **transaction).await?;
        Ok(Self(found.into_iter().map(|found| ((found.key_scope, found.idempotency_key.clone()), found)).collect()))
    }

    /// The entry that was recorded with this one's key.
    fn of(&self, given: &GivenEntry<'_>) -> Option<&RecordedEntry> {
        let in_scope = |scope: Uuid| self.0.get(&(scope, given.parsed.key.clone()));
        in_scope(given.scope).or_else(|| in_scope(given.earlier_scope?))
    }
}

/// Fails with CONFLICT for entries whose key was used before for something else.
fn require_same(reporter: &Reporter, before: &Before, repeated: &[&GivenEntry<'_>]) -> Result<()> {
    let conflict = |given: &&GivenEntry<'_>| {
        let before = before.of(given).filter(|before| !before.is_same(given))?;
        // A platform key that is limited to other organizations learns nothing of what this one used.
        let message = match reporter.within.includes(before.organization_id) {
            true => format!(
                "this key came with {} {} before, or with other particulars; take a new key",
                before.quantity.normalize(),
                before.kind.as_str().to_uppercase()
            ),
            false => "this key came with something else before; take a new key".to_owned(),
        };
        Some(at(given.position)(Refusal::new(Code::Conflict, "idempotencyKey", message)))
    };
    let refusals: Vec<Refusal> = repeated.iter().filter_map(conflict).collect();
    if refusals.is_empty() { Ok(()) } else { Err(Error::Refused(refusals)) }
}
