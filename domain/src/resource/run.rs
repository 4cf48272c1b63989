//! Runs: work that members queue for the platform, within the limits of the organization's plan (R8, R64, R79), and
//! what the platform reports of it (R70).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::json;

use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::rights::{AccessLevel, Action};
use crate::base::credit_rates::UsageKind;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId, RunId, UsageEntryId, UserId};
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::run_kind::RunKind;
use crate::base::sql::{Prepare as _, statement};
use crate::base::text_enum::text_enum;
use crate::base::{limits, text};
use crate::database::schema::{organizations, run_counts, run_limits, runs};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::organization::ledger::{self, NewEntry};
use crate::organization::usage::{self, RunCount};
use crate::resource;

text_enum! {
    /// The status of a run.
    RunStatus {
        /// It waits for the platform.
        Queued = "queued",
        /// The platform is carrying it out.
        Running = "running",
        /// It finished successfully.
        Succeeded = "succeeded",
        /// It failed.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
    }
}

impl RunStatus {
    /// How far a run has come: a report never leads back.
    fn stage(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Running => 1,
            Self::Succeeded | Self::Failed | Self::Cancelled => 2,
        }
    }
}

/// The statuses that count towards the plan's limits and in which a run can be cancelled.
const UNDER_WAY: [RunStatus; 2] = [RunStatus::Queued, RunStatus::Running];

/// A run.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = runs)]
pub struct Run {
    /// The run's id.
    pub id: RunId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The kind of run.
    pub kind: RunKind,
    /// The name.
    pub name: String,
    /// The status.
    pub status: RunStatus,
    /// The resource that the run is about; `None` if none was named, or if it was deleted.
    pub resource_id: Option<ResourceId>,
    /// The user who queued it.
    pub queued_by_id: UserId,
    /// When it was queued.
    pub queued_at: DateTime<Utc>,
    /// When the platform started it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it finished, failed or was cancelled.
    pub finished_at: Option<DateTime<Utc>>,
    /// The CPU-hours used so far.
    pub cpu_hours: Decimal,
    /// The GiB-hours of memory used so far.
    pub memory_gib_hours: Decimal,
    /// The credits used so far. One credit is one US dollar.
    pub credits: Decimal,
}

/// The command that queues a run.
#[derive(Debug)]
pub struct QueueRun {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The kind of run.
    pub kind: RunKind,
    /// The name.
    pub name: String,
    /// The resource that the run is about, which must belong to the organization.
    pub resource_id: Option<ResourceId>,
}

/// Queues a run (R8). This requires [`Action::CreateResources`], and VIEW on the resource.
///
/// # Errors
///
/// QUOTA_EXCEEDED on `organizationId` if a limit of the plan is reached, or if the credits are spent that the
/// organization bought.
pub async fn queue(database: &Database, actor: &Actor, command: &QueueRun) -> Result<Run> {
    let name = text::line("name", &command.name, limits::NAME)?;
    let organization_id = command.organization_id;
    database
        .transaction(async |transaction| {
            // The organization is locked, so that the limit is exact.
            let (lock, action) = (Lock::Organization, Action::CreateResources);
            let permit = access::authorize(transaction, actor, organization_id, lock, action, "organizationId").await?;
            let queued_by_id = permit.require_member("organizationId")?;
            if let Some(id) = command.resource_id {
                let resource = resource::reach(transaction, actor, id, AccessLevel::View, "resourceId").await?;
                if resource.organization_id != organization_id {
                    let message = "the resource lies in another organization; queue the run there";
                    return Err(Error::refused(Code::Invalid, "resourceId", message));
                }
            }
            require_room(transaction, organization_id, command.kind).await?;
            ledger::require_credits(transaction, organization_id, "organizationId").await?;
            // The time is read after the membership was locked, so that whatever a departure has to cancel is older
            // than the departure.
            let queued_at = now(transaction).await?;
            let run: Run = diesel::insert_into(runs::table)
                .values((
                    runs::id.eq(RunId::new()),
                    runs::organization_id.eq(organization_id),
                    runs::kind.eq(command.kind),
                    runs::name.eq(&name),
                    runs::status.eq(RunStatus::Queued),
                    runs::resource_id.eq(command.resource_id),
                    runs::queued_by_id.eq(queued_by_id),
                    runs::queued_at.eq(queued_at),
                ))
                .returning(Run::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let mut event = NewEvent::by(actor, organization_id, AuditAction::RunQueued, run.id)
                .summary(format!("queued a {}", run.kind))
                .about(run.queued_by_id)
                .with(json!({ "kind": run.kind.as_str(), "runIds": [run.id.to_string()] }));
            if let Some(id) = run.resource_id {
                event = event.with(json!({ "resourceIds": [id.to_string()] }));
            }
            audit::record(transaction, [event]).await?;
            Ok(run)
        })
        .await
}

/// Fails with QUOTA_EXCEEDED if the plan's limit of runs, or of runs of this kind, is reached. The organization must be
/// locked.
async fn require_room(transaction: &mut Transaction, organization_id: OrganizationId, kind: RunKind) -> Result<()> {
    let of_all: Option<i32> =
        organizations::table.find(organization_id).select(organizations::run_limit).first(&mut **transaction).await?;
    let of_kind: Option<i32> = run_limits::table
        .find((organization_id, kind))
        .select(run_limits::run_limit)
        .first(&mut **transaction)
        .await
        .optional()?;
    if of_all.is_none() && of_kind.is_none() {
        return Ok(());
    }
    let counts: Vec<RunCount> = run_counts::table
        .filter(run_counts::organization_id.eq(organization_id))
        .select(RunCount::as_select())
        .load(&mut **transaction)
        .await?;
    let is_full = |limit: i32, kind: Option<RunKind>| usage::runs_under_way(&counts, kind) >= i64::from(limit);
    let full = match (of_all, of_kind) {
        (Some(limit), _) if is_full(limit, None) => format!("{limit} runs"),
        (_, Some(limit)) if is_full(limit, Some(kind)) => {
            format!("{limit} runs of the kind {}", kind.as_str().to_uppercase())
        }
        _ => return Ok(()),
    };
    let message = format!(
        "the organization's plan has room for {full} at a time; wait for one to end, cancel one, or ask for more"
    );
    Err(Error::refused(Code::QuotaExceeded, "organizationId", message))
}

/// What the platform reports of a run.
#[derive(Debug)]
pub struct ReportRun {
    /// The run.
    pub id: RunId,
    /// Its status.
    pub status: RunStatus,
    /// The CPU-hours that it has used so far; `None` for no news.
    pub cpu_hours: Option<Decimal>,
    /// The GiB-hours of memory that it has used so far; `None` for no news.
    pub memory_gib_hours: Option<Decimal>,
}

/// Takes the platform's report of a run, by a platform key or a service key of the run's organization. Its numbers are
/// totals so far: a report that comes twice, or late, changes nothing (R70). What is new is charged at the rates of the
/// moment.
///
/// # Errors
///
/// On `id`: FORBIDDEN for everybody but platform keys with USAGE_REPORT and service keys with WRITE, NOT_FOUND. On
/// `status`: CONFLICT if the run has come further, or to another end; INVALID if a waiting run is said to use
/// something. INVALID on `cpuHours` and `memoryGibHours`.
pub async fn report(database: &Database, actor: &Actor, command: &ReportRun) -> Result<Run> {
    let reported = actor.reports_runs("id")?;
    access::require_writing(actor, "id")?;
    let total =
        |field: &str, total: Option<Decimal>| total.map(|total| ledger::require_quantity(field, total)).transpose();
    let given = [total("cpuHours", command.cpu_hours), total("memoryGibHours", command.memory_gib_hours)];
    let refusals: Vec<Refusal> = given.iter().filter_map(|total| total.clone().err()).collect();
    if !refusals.is_empty() {
        return Err(Error::Refused(refusals));
    }
    let [cpu_hours, memory_gib_hours] = given.map(|total| total.ok().flatten());
    database
        .transaction(async |transaction| {
            let found: Option<Run> = runs::table
                .find(command.id)
                .select(Run::as_select())
                .for_no_key_update()
                .first(&mut **transaction)
                .await
                .optional()?;
            let run = found
                .filter(|run| reported.includes(run.organization_id))
                .ok_or_else(|| Refusal::new(Code::NotFound, "id", "there is no such run"))?;
            let organization_id = run.organization_id;
            require_forward(run.status, command.status)?;
            let more =
                |total: Option<Decimal>, before: Decimal| (total.unwrap_or_default() - before).max(Decimal::ZERO);
            let (cpu, memory) = (more(cpu_hours, run.cpu_hours), more(memory_gib_hours, run.memory_gib_hours));
            let is_used = !cpu.is_zero() || !memory.is_zero();
            if is_used && command.status == RunStatus::Queued {
                let message = "a run that uses something isn't waiting any more; report it as RUNNING";
                return Err(Error::refused(Code::Invalid, "status", message));
            }
            if !is_used && command.status == run.status {
                return Ok(run);
            }
            let at = now(transaction).await?;
            let is_news = command.status != run.status;
            let is_ended = command.status.stage() == RunStatus::Succeeded.stage();
            // The run's row comes before the ledger, whose lock is held by everybody for as short a time as possible.
            let workspace_id: Option<ResourceId> = match run.resource_id.filter(|_| is_used) {
                Some(id) => diesel::select(workspace_of(id)).get_result(&mut **transaction).await?,
                None => None,
            };
            let used = [(UsageKind::CpuHours, cpu), (UsageKind::MemoryGibHours, memory)];
            let entry = |(kind, quantity): (UsageKind, Decimal)| NewEntry {
                id: UsageEntryId::new(),
                organization_id,
                kind,
                quantity,
                region: None,
                user_id: Some(run.queued_by_id),
                workspace_id,
                run_id: Some(run.id),
                key: None,
                occurred_at: at,
            };
            let entries: Vec<NewEntry> =
                used.into_iter().filter(|(_, quantity)| !quantity.is_zero()).map(entry).collect();
            let credits: Decimal = entries.iter().map(|entry| entry.cost(&transaction.deployment().credit_rates)).sum();
            let run: Run = diesel::update(runs::table.find(run.id))
                .set((
                    runs::status.eq(command.status),
                    runs::started_at.eq(run.started_at.or((command.status != RunStatus::Queued).then_some(at))),
                    runs::finished_at.eq(run.finished_at.or(is_ended.then_some(at))),
                    runs::cpu_hours.eq(run.cpu_hours + cpu),
                    runs::memory_gib_hours.eq(run.memory_gib_hours + memory),
                    runs::credits.eq(run.credits + credits),
                ))
                .returning(Run::as_returning())
                .prepared()
                .get_result(&mut **transaction)
                .await?;
            let recorded = ledger::record(transaction, &entries).await?;
            let mut events = Vec::new();
            if let Some((action, summary)) = news(command.status).filter(|_| is_news) {
                events.push(
                    NewEvent::by(actor, organization_id, action, run.id).summary(summary).about(run.queued_by_id).with(
                        json!({
                            "runIds": [run.id.to_string()],
                            "cpuHours": run.cpu_hours.normalize().to_string(),
                            "memoryGibHours": run.memory_gib_hours.normalize().to_string(),
                            "credits": run.credits.normalize().to_string(),
                        }),
                    ),
                );
            }
            events.extend(recorded.events);
            audit::record(transaction, events).await?;
            Ok(run)
        })
        .await
}

/// Fails with CONFLICT if a report would lead a run back, or from one end to another.
fn require_forward(from: RunStatus, to: RunStatus) -> Result<(), Refusal> {
    let is_other_end = from.stage() == to.stage() && from != to;
    if to.stage() >= from.stage() && !is_other_end {
        return Ok(());
    }
    let message = match from {
        RunStatus::Cancelled => "this run was cancelled: stop it, and report what it used with CANCELLED".to_owned(),
        from => format!("this run is {} by now, and a run doesn't go back", from.as_str().to_uppercase()),
    };
    Err(Refusal::new(Code::Conflict, "status", message))
}

/// What the audit log says when a run gets a status.
fn news(status: RunStatus) -> Option<(AuditAction, &'static str)> {
    match status {
        RunStatus::Queued => None,
        RunStatus::Running => Some((AuditAction::RunStarted, "started a run")),
        RunStatus::Succeeded => Some((AuditAction::RunSucceeded, "a run succeeded")),
        RunStatus::Failed => Some((AuditAction::RunFailed, "a run failed")),
        RunStatus::Cancelled => Some((AuditAction::RunCancelled, "cancelled a run")),
    }
}

diesel::define_sql_function! {
    /// The workspace in which a resource lies, or which it is.
    fn workspace_of(resource: diesel::sql_types::Uuid) -> Nullable<diesel::sql_types::Uuid>;
}

/// Cancels a run that hasn't ended. The member who queued it may do so, and so may the owner and admins.
///
/// # Errors
///
/// On `id`: NOT_FOUND or FORBIDDEN if the actor may not cancel the run, CONFLICT if it has ended.
pub async fn cancel(database: &Database, actor: &Actor, id: RunId) -> Result<Run> {
    access::require_writing(actor, "id")?;
    let not_found = || Refusal::new(Code::NotFound, "id", "there is no such run");
    database
        .transaction(async |transaction| {
            let found = by_ids(transaction, &[id]).await?.pop().ok_or_else(not_found)?;
            let organization_id = found.organization_id;
            let permit = access::enter(transaction, actor, organization_id, Lock::Membership, not_found()).await?;
            permit.require_member("id")?;
            if !is_visible(&permit, &found) {
                return Err(not_found().into());
            }
            let cancelled: Option<Run> = diesel::update(runs::table.find(id).filter(runs::status.eq_any(UNDER_WAY)))
                .set((runs::status.eq(RunStatus::Cancelled), runs::finished_at.eq(rollcall_now().nullable())))
                .returning(Run::as_returning())
                .prepared()
                .get_result(&mut **transaction)
                .await
                .optional()?;
            let cancelled =
                cancelled.ok_or_else(|| Refusal::new(Code::Conflict, "id", "this run has come to its end already"))?;
            let event = NewEvent::by(actor, organization_id, AuditAction::RunCancelled, id)
                .summary("cancelled a run")
                .about(cancelled.queued_by_id)
                .with(json!({ "runIds": [id.to_string()] }));
            audit::record(transaction, [event]).await?;
            Ok(cancelled)
        })
        .await
}

statement! {
    struct CancelQueued {
        organization_id: SqlUuid = OrganizationId,
        user_id: SqlUuid = UserId,
        queued_until: Nullable<Timestamptz> = Option<DateTime<Utc>>,
        most: BigInt = i64,
    } = include_str!("cancel_queued.sql")
}

/// Cancels up to `limit` of the runs that a leaver queued up to a time, in the order of their ids (R42), and returns
/// which.
pub(crate) async fn cancel_queued(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_id: UserId,
    queued_until: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<RunId>> {
    #[derive(QueryableByName)]
    struct Cancelled {
        #[diesel(sql_type = SqlUuid)]
        id: RunId,
    }
    let queued = CancelQueued { organization_id, user_id, queued_until, most: limit };
    let cancelled: Vec<Cancelled> = queued.query().load(&mut **transaction).await?;
    Ok(cancelled.into_iter().map(|run| run.id).collect())
}

/// Counts the runs that a leaver queued up to a time and that are still waiting.
pub(crate) async fn count_queued(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_id: UserId,
    queued_until: Option<DateTime<Utc>>,
) -> Result<i64> {
    let mut queued = runs::table
        .filter(runs::organization_id.eq(organization_id))
        .filter(runs::queued_by_id.eq(user_id))
        .filter(runs::status.eq(RunStatus::Queued))
        .into_boxed();
    if let Some(until) = queued_until {
        queued = queued.filter(runs::queued_at.le(until));
    }
    Ok(queued.count().get_result(&mut **transaction).await?)
}

/// Counts the runs that somebody queued and that are still waiting, and returns the names of some of them. If there is
/// a limit, no more runs than that are counted.
pub(crate) async fn queued_by(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
    limit: Option<i64>,
    examples: i64,
) -> Result<(i64, Vec<String>)> {
    let queued = || {
        runs::table
            .filter(runs::organization_id.eq(organization_id))
            .filter(runs::queued_by_id.eq(user_id))
            .filter(runs::status.eq(RunStatus::Queued))
    };
    let count = match limit {
        Some(limit) => {
            let first: Vec<RunId> = queued().limit(limit).select(runs::id).load(connection).await?;
            i64::try_from(first.len()).unwrap_or(i64::MAX)
        }
        None => queued().count().get_result(connection).await?,
    };
    let names = queued().order(runs::id).limit(examples).select(runs::name).load(connection).await?;
    Ok((count, names))
}

/// Whether the permit's holder may see a run: members see their own, the owner and admins all of them.
fn is_visible(permit: &Permit, run: &Run) -> bool {
    permit.organization_id() == run.organization_id
        && (permit.is_of(run.queued_by_id) || permit.standing().allows(Action::ViewAllResources))
}

/// Returns those of the runs that the actor may see.
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[RunId]) -> Result<Vec<Run>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|run| run.organization_id)).await?;
    let may_see = |run: &Run| permits.get(&run.organization_id).is_some_and(|permit| is_visible(permit, run));
    Ok(found.into_iter().filter(may_see).collect())
}

/// Returns the runs with these ids without checking access.
async fn by_ids(connection: &mut AsyncPgConnection, ids: &[RunId]) -> Result<Vec<Run>> {
    Ok(runs::table.filter(runs::id.eq_any(ids)).select(Run::as_select()).load(connection).await?)
}

/// Which of an organization's runs are listed. What is `None` doesn't matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Only runs with this status.
    pub status: Option<RunStatus>,
    /// Only runs of this kind.
    pub kind: Option<RunKind>,
    /// Only runs that this user queued.
    pub queued_by_id: Option<UserId>,
}

/// Returns a page of an organization's runs, oldest first. Members who aren't the owner or an admin see only their own.
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    filter: &RunFilter,
    page: &PageRequest,
) -> Result<Page<Run>> {
    let slice = page.slice()?;
    let mut query =
        runs::table.into_boxed().filter(runs::organization_id.eq(permit.organization_id())).select(Run::as_select());
    if !permit.standing().allows(Action::ViewAllResources) {
        query = query.filter(runs::queued_by_id.nullable().eq(permit.user_id()));
    }
    if let Some(user_id) = filter.queued_by_id {
        query = query.filter(runs::queued_by_id.eq(user_id));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(runs::kind.eq(kind));
    }
    if let Some(status) = filter.status {
        query = query.filter(runs::status.eq(status));
    }
    let rows = by_id!(query, slice, runs::id).load(connection).await?;
    slice.page(rows, |run: &Run| run.id)
}
