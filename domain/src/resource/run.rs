//! Runs: work that members queue for the platform, within the limit of the organization's plan (R8, R64).

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
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId, RunId, UserId};
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::sql::{Prepare as _, statement};
use crate::base::text_enum::text_enum;
use crate::base::{limits, text};
use crate::database::schema::{organizations, runs};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::resource;

text_enum! {
    /// The kind of a run.
    RunKind {
        /// A pipeline.
        Pipeline = "pipeline",
        /// A studio session.
        Studio = "studio",
        /// A job.
        Job = "job",
    }
}

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

/// The statuses that count towards the plan's limit and in which a run can be cancelled.
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
/// QUOTA_EXCEEDED on `organizationId` if the plan's limit is reached.
pub async fn queue(database: &Database, actor: &Actor, command: &QueueRun) -> Result<Run> {
    let name = text::line("name", &command.name, limits::NAME)?;
    let organization_id = command.organization_id;
    database
        .transaction(async |transaction| {
            // The organization is locked, so that the limit is exact.
            let (lock, action) = (Lock::Organization, Action::CreateResources);
            let permit = access::authorize(transaction, actor, organization_id, lock, action, "organizationId").await?;
            if let Some(id) = command.resource_id {
                let resource = resource::reach(transaction, actor, id, AccessLevel::View, "resourceId").await?;
                if resource.organization_id != organization_id {
                    let message = "the resource lies in another organization; queue the run there";
                    return Err(Error::refused(Code::Invalid, "resourceId", message));
                }
            }
            require_room(transaction, organization_id).await?;
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
                    runs::queued_by_id.eq(permit.user_id()),
                    runs::queued_at.eq(queued_at),
                ))
                .returning(Run::as_returning())
                .get_result(&mut **transaction)
                .await?;
            let mut event = NewEvent::by(actor, organization_id, AuditAction::RunQueued, run.id)
                .summary(format!("queued a {}", run.kind))
                .with(json!({ "kind": run.kind.as_str() }));
            if let Some(id) = run.resource_id {
                event = event.with(json!({ "resource": id.to_string() }));
            }
            audit::record(transaction, [event]).await?;
            Ok(run)
        })
        .await
}

/// Fails with QUOTA_EXCEEDED if the plan's limit of runs is reached. The organization must be locked.
async fn require_room(transaction: &mut Transaction, organization_id: OrganizationId) -> Result<()> {
    let limit: Option<i32> =
        organizations::table.find(organization_id).select(organizations::run_limit).first(&mut **transaction).await?;
    let Some(limit) = limit.map(i64::from) else { return Ok(()) };
    let under_way: i64 = runs::table
        .filter(runs::organization_id.eq(organization_id))
        .filter(runs::status.eq_any(UNDER_WAY))
        .count()
        .get_result(&mut **transaction)
        .await?;
    if under_way < limit {
        return Ok(());
    }
    let message = format!(
        "the organization's plan has room for {limit} runs at a time; wait for one to end, cancel one, or ask for more"
    );
    Err(Error::refused(Code::QuotaExceeded, "organizationId", message))
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
            let event = NewEvent::by(actor, organization_id, AuditAction::RunCancelled, id).summary("cancelled a run");
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
/// how many.
pub(crate) async fn cancel_queued(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_id: UserId,
    queued_until: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<i64> {
    let queued = CancelQueued { organization_id, user_id, queued_until, most: limit };
    let cancelled = queued.query().execute(&mut **transaction).await?;
    Ok(i64::try_from(cancelled).unwrap_or(i64::MAX))
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
        && (permit.user_id() == run.queued_by_id || permit.standing().allows(Action::ViewAllResources))
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

/// Returns a page of an organization's runs, oldest first. Members who aren't the owner or an admin see only their own.
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    status: Option<RunStatus>,
    page: &PageRequest,
) -> Result<Page<Run>> {
    let slice = page.slice()?;
    let mut query =
        runs::table.into_boxed().filter(runs::organization_id.eq(permit.organization_id())).select(Run::as_select());
    if !permit.standing().allows(Action::ViewAllResources) {
        query = query.filter(runs::queued_by_id.eq(permit.user_id()));
    }
    if let Some(status) = status {
        query = query.filter(runs::status.eq(status));
    }
    let rows = by_id!(query, slice, runs::id).load(connection).await?;
    slice.page(rows, |run: &Run| run.id)
}
