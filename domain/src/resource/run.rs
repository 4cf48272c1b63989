//! Runs: what members queue for the platform to carry out, as far as the organization's plan has room (R8, R64).

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
use crate::base::sql::statement;
use crate::base::text_enum::text_enum;
use crate::base::{limits, text};
use crate::database::schema::{organizations, runs};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::resource;

text_enum! {
    /// What is run.
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
    /// Where a run stands.
    RunStatus {
        /// It waits for the platform.
        Queued = "queued",
        /// The platform carries it out.
        Running = "running",
        /// It came to its end.
        Succeeded = "succeeded",
        /// It went wrong.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
    }
}

/// Those that hold a place of the plan's limit, and can be cancelled.
const UNDER_WAY: [RunStatus; 2] = [RunStatus::Queued, RunStatus::Running];

/// A run.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = runs)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// In which organization.
    pub organization_id: OrganizationId,
    /// What is run.
    pub kind: RunKind,
    /// What it is called.
    pub name: String,
    /// Where it stands.
    pub status: RunStatus,
    /// What it is about; none where nothing was named, or it was deleted.
    pub resource_id: Option<ResourceId>,
    /// Who queued it.
    pub queued_by_id: UserId,
    /// When it was queued.
    pub queued_at: DateTime<Utc>,
    /// When the platform began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, in whichever way.
    pub finished_at: Option<DateTime<Utc>>,
    /// CPU-hours so far.
    pub cpu_hours: Decimal,
    /// GiB-hours of memory so far.
    pub memory_gib_hours: Decimal,
    /// Credits so far; one is one US dollar.
    pub credits: Decimal,
}

/// A run to be queued.
#[derive(Debug)]
pub struct QueueRun {
    /// In which organization.
    pub organization_id: OrganizationId,
    /// What is run.
    pub kind: RunKind,
    /// What it is called.
    pub name: String,
    /// What it is about: a resource of the organization.
    pub resource_id: Option<ResourceId>,
}

/// Queues a run (R8); takes [`Action::CreateResources`], and VIEW on the resource.
///
/// # Errors
///
/// QUOTA_EXCEEDED on `organizationId` where the plan has no room for another one.
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
            // Read after the lock on the membership: what a departure has to cancel is older than the departure.
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

/// Fails with QUOTA_EXCEEDED where as many runs are under way as the plan has room for. The organization is locked.
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

/// Cancels a run that hasn't come to its end: by the member who queued it, or owner and admins.
///
/// # Errors
///
/// On `id`: NOT_FOUND or FORBIDDEN where it isn't the actor's to cancel, CONFLICT where it has come to its end.
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

/// Cancels up to `limit` of the runs that a leaver has queued until a moment, in the order of their ids (R42), and
/// returns how many.
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

/// How many runs a leaver has queued until a moment that wait still.
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

/// How many runs somebody has queued that wait still, and some of them by name; with a limit no more than that are
/// counted.
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

/// Whether a permit shows a run: members see their own, owner and admins all.
fn is_visible(permit: &Permit, run: &Run) -> bool {
    permit.organization_id() == run.organization_id
        && (permit.user_id() == run.queued_by_id || permit.standing().allows(Action::ViewAllResources))
}

/// Those of the ids that the actor may see.
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[RunId]) -> Result<Vec<Run>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|run| run.organization_id)).await?;
    let may_see = |run: &Run| permits.get(&run.organization_id).is_some_and(|permit| is_visible(permit, run));
    Ok(found.into_iter().filter(may_see).collect())
}

/// The runs of the ids, whoever asks.
async fn by_ids(connection: &mut AsyncPgConnection, ids: &[RunId]) -> Result<Vec<Run>> {
    Ok(runs::table.filter(runs::id.eq_any(ids)).select(Run::as_select()).load(connection).await?)
}

/// A page of an organization's runs, oldest first; for who isn't owner or admin their own.
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
