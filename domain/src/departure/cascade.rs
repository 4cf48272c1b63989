//! The cascade: it passes on a leaver's work, chunk by chunk (R33–R38).
//!
//! Each chunk is one transaction, in which as many steps are done as fit. It locks what it moves, moves it, and records
//! each move and how far the steps have come. Whoever receives something is locked as the owner until the chunk
//! commits.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::json;
use uuid::Uuid;

use crate::account::user;
use crate::authority::audit::{self, AuditAction, NewEvent, in_log};
use crate::authority::issued::{self, EndedWith};
use crate::authority::membership::MemberStatus;
use crate::base::error::{Error, Result};
use crate::base::id::{DepartureId, GrantId, ResourceId, ResourceMoveId, UserId};
use crate::base::job::{JobClaim, MailDepartureReceipt};
use crate::base::sql::{Prepare as _, Statements};
use crate::base::{limits, text};
use crate::database::schema::{departure_steps, departures, members, resource_moves, resources};
use crate::database::{Database, Transaction, now};
use crate::departure::cascade_statement::{
    CountEndingGrants, LeftBehind, MoveChunk, MoveShape, RemoveGrants, left_behind_text,
};
use crate::departure::{Departure, DepartureStatus, DepartureStep, Progress, count, lock, newest_of};
use crate::membership::member;
use crate::resource::Visibility;
use crate::resource::kind::ResourceKind;
use crate::resource::run;

/// Whether anything is left to do after a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// There is more to do.
    More,
    /// The departure, or its revert, is complete.
    Done,
}

/// Runs one chunk of a departure's cascade in a transaction of its own.
pub async fn run_chunk(database: &Database, id: DepartureId, claim: JobClaim<'_>) -> Result<Chunk> {
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let found = lock(transaction, id).await?;
            let running = found.filter(|departure| departure.status == DepartureStatus::Running);
            let Some(departure) = running else { return Ok(Chunk::Done) };
            let steps: Vec<Progress> = departure_steps::table
                .filter(departure_steps::departure_id.eq(id))
                .filter(departure_steps::completed_at.is_null())
                .order(departure_steps::position)
                .select(Progress::as_select())
                .load(&mut **transaction)
                .await?;
            let context = CascadeContext::enter(transaction, &departure).await?;
            let mut events = Vec::new();
            let mut room = limits::CASCADE_CHUNK;
            for step in steps {
                let work = match step.step {
                    DepartureStep::TransferProjects
                    | DepartureStep::TransferVolumes
                    | DepartureStep::TransferOthers
                    | DepartureStep::CollectSamples
                    | DepartureStep::ShareDocuments => {
                        pass_on(transaction, &departure, &context, &step, room, &mut events).await?
                    }
                    DepartureStep::RemoveGrants => {
                        remove_grants(transaction, &departure, &step, room, &mut events).await?
                    }
                    DepartureStep::CancelRuns => {
                        cancel_runs(transaction, &departure, &context, &step, room, &mut events).await?
                    }
                    DepartureStep::RevokeIssued => {
                        revoke_issued(transaction, &departure, &step, room, &mut events).await?
                    }
                    DepartureStep::RevokeAccess | DepartureStep::LeaveTeams => {
                        return Err(Error::Bug("this step is done with the departure"));
                    }
                    DepartureStep::Notify => {
                        complete(transaction, &departure, &context, step.step, &mut events).await?;
                        audit::record(transaction, events).await?;
                        return Ok(Chunk::Done);
                    }
                };
                room -= work.items;
                if !work.is_last || room <= 0 {
                    break;
                }
            }
            audit::record(transaction, events).await?;
            Ok(Chunk::More)
        })
        .await
}

/// What a chunk did in a step.
pub(super) struct StepWork {
    /// The number of items that it looked at.
    items: i64,
    /// Whether the step is complete.
    is_last: bool,
}

/// The people, and the times, that a chunk of the cascade depends on.
struct CascadeContext {
    new_owner: UserId,
    /// The time until which a resource must have become the leaver's to be passed on. `None` if all of their resources
    /// are.
    owned_until: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
}

impl CascadeContext {
    /// Locks the members concerned. Whoever receives something stays a member and the owner until this transaction
    /// commits (R43), and the leaver can't come back before.
    async fn enter(transaction: &mut Transaction, departure: &Departure) -> Result<Self> {
        let new_owner = member::lock_owner(transaction, departure.organization_id).await?;
        let owned_until = lock_leaver(transaction, departure).await?;
        let at = now(transaction).await?;
        Ok(Self { new_owner, owned_until, at })
    }
}

/// Locks the leaver's membership in shared mode, so that they can't come back in the meantime. Returns the time until
/// which a resource must have become the leaver's to belong to this departure; `None` if all of their resources do.
async fn lock_leaver(transaction: &mut Transaction, departure: &Departure) -> Result<Option<DateTime<Utc>>> {
    let status: MemberStatus =
        members::table.find(departure.member_id).select(members::status).for_share().first(&mut **transaction).await?;
    // A leaver who came back keeps what they have created or received since then. If they then left again, what they
    // left behind at that time belongs to the newer departure. Otherwise everything belongs to this departure,
    // whatever times a clock that was set back may have recorded.
    let is_newest = newest_of(transaction, departure.member_id).await? == Some(departure.id);
    let is_gone = status != MemberStatus::Active && is_newest;
    Ok((!is_gone).then_some(departure.started_at))
}

/// Counts the resources of a step's kinds that are left behind. With a limit, it stops there.
async fn left_behind(
    transaction: &mut Transaction,
    departure: &Departure,
    context: &CascadeContext,
    step: DepartureStep,
    limit: Option<i64>,
) -> Result<i64> {
    #[derive(QueryableByName)]
    struct LeftBehindCount {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    static STATEMENTS: Statements<DepartureStep> = Statements::new();
    let asked = LeftBehind {
        organization_id: departure.organization_id,
        leaver_id: departure.user_id,
        kinds: step.kinds(),
        new_owner_id: context.new_owner,
        owned_until: context.owned_until,
        most: limit,
    };
    let left: LeftBehindCount = STATEMENTS.with(step, left_behind_text, asked).get_result(&mut **transaction).await?;
    Ok(left.count)
}

/// Passes up to `room` of the leaver's resources of a step's kinds to the owner. Samples are collected into a project
/// instead.
async fn pass_on(
    transaction: &mut Transaction,
    departure: &Departure,
    context: &CascadeContext,
    step: &Progress,
    room: i64,
    events: &mut Vec<NewEvent>,
) -> Result<StepWork> {
    let total = match step.total {
        Some(total) => total,
        None => {
            let total = left_behind(transaction, departure, context, step.step, None).await?;
            i32::try_from(total).unwrap_or(i32::MAX)
        }
    };
    if step.total.is_none() && total == 0 {
        let nothing = Advance { done: 0, total, reached_kind: None, reached_id: None, is_last: true };
        return advance(transaction, step, nothing, 0, context.at).await;
    }
    let expected = i64::from(total.saturating_sub(step.done)).max(1);
    let most = room.min(expected);
    let collected_in = match step.step {
        DepartureStep::CollectSamples
            if left_behind(transaction, departure, context, step.step, Some(1)).await? > 0 =>
        {
            Some(samples_project(transaction, departure, context, events).await?)
        }
        _ => None,
    };
    // Resources are moved kind by kind and in the order of their ids, as in the index, starting after those that were
    // moved before, which would only slow the search down.
    let (mut reached_kind, mut reached_id) = (step.reached_kind, step.reached_id);
    let (mut moved, mut moved_ids): (i64, Vec<ResourceId>) = (0, Vec::new());
    let kinds = step.step.kinds();
    for kind in kinds.iter().copied().filter(|kind| step.reached_kind.is_none_or(|reached| *kind >= reached)) {
        let after = reached_id.filter(|_| reached_kind == Some(kind));
        let which = ChunkSpec { step: step.step, kind, after, room: most - moved };
        let chunk = move_chunk(transaction, departure, context, &which, collected_in).await?;
        moved += chunk.count;
        moved_ids.extend(chunk.ids);
        (reached_kind, reached_id) = (Some(kind), chunk.last_id.or(after));
        if moved >= most {
            break;
        }
    }
    // After a full chunk, there is more to come, and looking for it would take long. A resource before the point that
    // was reached isn't expected, but if there is one, it isn't left behind either.
    let is_last = moved < room && left_behind(transaction, departure, context, step.step, Some(1)).await? == 0;
    if !is_last && moved < most {
        (reached_kind, reached_id) = (None, None);
    }
    let done = i32::try_from(moved).unwrap_or(i32::MAX);
    if departure.new_owner_id != context.new_owner {
        diesel::update(departures::table.find(departure.id))
            .set(departures::new_owner_id.eq(context.new_owner))
            .prepared()
            .execute(&mut **transaction)
            .await?;
    }
    if moved > 0 {
        let (leaver, new_owner) = (departure.user_id, context.new_owner);
        let summary = match collected_in {
            Some(project) => format!("{moved} sample(s) of {leaver} were collected into {project}"),
            None => format!("{moved} resource(s) passed from {leaver} to {new_owner}"),
        };
        let to = if collected_in.is_some() { leaver } else { new_owner };
        let event = NewEvent::by_system(departure.organization_id, AuditAction::DepartureResourcesMoved, departure.id)
            .summary(summary)
            .about(leaver)
            .with(json!({
                "step": step.step.as_str(), "count": moved, "from": leaver.to_string(), "to": to.to_string(),
                "resourceIds": in_log(&moved_ids),
            }));
        let event = match collected_in {
            Some(project) => event.with(json!({ "containerId": project.to_string() })),
            None => event,
        };
        events.push(event);
    }
    let progress = Advance { done, total, reached_kind, reached_id, is_last };
    advance(transaction, step, progress, moved, context.at).await
}

/// Describes a chunk of resources to move.
struct ChunkSpec {
    step: DepartureStep,
    kind: ResourceKind,
    /// Only resources after this one.
    after: Option<Uuid>,
    /// The maximum number of resources.
    room: i64,
}

/// The result of moving a chunk.
#[derive(QueryableByName)]
struct MovedChunk {
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Array<SqlUuid>)]
    ids: Vec<ResourceId>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last_id: Option<Uuid>,
}

/// Moves a chunk of resources of one kind and records each move, in one statement.
async fn move_chunk(
    transaction: &mut Transaction,
    departure: &Departure,
    context: &CascadeContext,
    which: &ChunkSpec,
    collected_in: Option<ResourceId>,
) -> Result<MovedChunk> {
    let ChunkSpec { step, kind, after, room } = *which;
    static STATEMENTS: Statements<MoveShape> = Statements::new();
    let asked = MoveChunk {
        organization_id: departure.organization_id,
        leaver_id: departure.user_id,
        kind,
        new_owner_id: context.new_owner,
        owned_until: context.owned_until,
        after,
        most: room,
        at: context.at,
        collected_in,
        departure_id: departure.id,
        move_ids: (0..room).map(|_| ResourceMoveId::new()).collect(),
    };
    let shape = MoveShape { step, kind, beyond: after.is_some() };
    let moved: MovedChunk = STATEMENTS.with(shape, MoveShape::text, asked).get_result(&mut **transaction).await?;
    Ok(moved)
}

/// The project that a departure's samples are collected into. It is created with the first of them and belongs to the
/// owner (R36).
async fn samples_project(
    transaction: &mut Transaction,
    departure: &Departure,
    context: &CascadeContext,
    events: &mut Vec<NewEvent>,
) -> Result<ResourceId> {
    let made: Option<ResourceId> =
        departures::table.find(departure.id).select(departures::samples_project_id).first(&mut **transaction).await?;
    if let Some(made) = made {
        let still_here: Option<ResourceId> = resources::table
            .find(made)
            .filter(resources::organization_id.eq(departure.organization_id))
            .filter(resources::moving.eq(false))
            .select(resources::id)
            .for_share()
            .first(&mut **transaction)
            .await
            .optional()?;
        if let Some(project) = still_here {
            return Ok(project);
        }
    }
    let leaver = user::by_id(transaction, departure.user_id).await?;
    let name = text::cut(&format!("Samples of {}", leaver.name), limits::NAME);
    let project = ResourceId::new();
    diesel::insert_into(resources::table)
        .values((
            resources::id.eq(project),
            resources::organization_id.eq(departure.organization_id),
            resources::kind.eq(ResourceKind::Project),
            resources::folded_name.eq(text::fold(&name)),
            resources::name.eq(name),
            resources::owner_id.eq(context.new_owner),
            resources::owned_since.eq(context.at),
            resources::created_by_id.eq(context.new_owner),
            resources::visibility.eq(Visibility::Private),
            resources::created_at.eq(context.at),
            resources::updated_at.eq(context.at),
        ))
        .execute(&mut **transaction)
        .await?;
    diesel::update(departures::table.find(departure.id))
        .set(departures::samples_project_id.eq(project))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    // This is recorded together with the chunk, since the head of the log must be locked last.
    events.push(
        NewEvent::by_system(departure.organization_id, AuditAction::ResourceCreated, project)
            .summary(format!("created a project for the samples of {}", departure.user_id))
            .about(departure.user_id)
            .with(json!({
                "kind": ResourceKind::Project.as_str(), "resourceIds": [project.to_string()],
                "owner": context.new_owner.to_string(), "departureId": departure.id.to_string(),
            })),
    );
    Ok(project)
}

/// Looks at up to `room` of the leaver's own grants in the organization: removes them, or records that they are kept.
pub(super) async fn remove_grants(
    transaction: &mut Transaction,
    departure: &Departure,
    step: &Progress,
    room: i64,
    events: &mut Vec<NewEvent>,
) -> Result<StepWork> {
    #[derive(QueryableByName)]
    struct RemovedGrants {
        #[diesel(sql_type = BigInt)]
        looked_at: i64,
        #[diesel(sql_type = Array<SqlUuid>)]
        removed: Vec<GrantId>,
        #[diesel(sql_type = Nullable<SqlUuid>)]
        last_id: Option<Uuid>,
    }
    #[derive(QueryableByName)]
    struct GrantCount {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let (organization_id, leaver_id) = (departure.organization_id, departure.user_id);
    let ended_at = departure.ended_at_position;
    let total = match step.total {
        Some(total) => total,
        None => {
            let ending = CountEndingGrants { organization_id, leaver_id, ended_at };
            let total: GrantCount = ending.query().get_result(&mut **transaction).await?;
            i32::try_from(total.count).unwrap_or(i32::MAX)
        }
    };
    let chunk =
        RemoveGrants { organization_id, leaver_id, ended_at, after: step.reached_id.unwrap_or_default(), most: room };
    let removed: RemovedGrants = chunk.query().get_result(&mut **transaction).await?;
    let at = now(transaction).await?;
    let progress = Advance {
        done: i32::try_from(removed.removed.len()).unwrap_or(i32::MAX),
        total,
        reached_kind: None,
        reached_id: removed.last_id.or(step.reached_id),
        is_last: removed.looked_at < room,
    };
    if !removed.removed.is_empty() {
        let number = removed.removed.len();
        let event = NewEvent::by_system(departure.organization_id, AuditAction::DepartureGrantsRemoved, departure.id)
            .summary(format!("{number} grant(s) to {} ended", departure.user_id))
            .about(departure.user_id)
            .with(json!({ "count": number, "grantIds": in_log(&removed.removed) }));
        events.push(event);
    }
    advance(transaction, step, progress, removed.looked_at, at).await
}

/// Marks up to `room` of what the leaver had issued or could have accepted, and which ended together with the
/// membership (R42).
pub(super) async fn revoke_issued(
    transaction: &mut Transaction,
    departure: &Departure,
    step: &Progress,
    room: i64,
    events: &mut Vec<NewEvent>,
) -> Result<StepWork> {
    let ended = EndedWith::Departure {
        id: departure.id,
        organization_id: departure.organization_id,
        leaver: departure.user_id,
        position: departure.ended_at_position,
    };
    let total = match step.total {
        Some(total) => total,
        None => {
            let ended = issued::count_ended(transaction, ended).await?;
            step.done.saturating_add(i32::try_from(ended).unwrap_or(i32::MAX))
        }
    };
    let (marked, of_marked) = issued::mark(transaction, ended, room).await?;
    events.extend(of_marked);
    let at = now(transaction).await?;
    let progress = Advance {
        done: i32::try_from(marked).unwrap_or(i32::MAX),
        total,
        reached_kind: None,
        // What has been marked isn't found again.
        reached_id: None,
        is_last: marked < room,
    };
    advance(transaction, step, progress, marked, at).await
}

/// Cancels up to `room` of the runs that the leaver queued (R42). Runs in progress continue.
async fn cancel_runs(
    transaction: &mut Transaction,
    departure: &Departure,
    context: &CascadeContext,
    step: &Progress,
    room: i64,
    events: &mut Vec<NewEvent>,
) -> Result<StepWork> {
    let (organization_id, leaver) = (departure.organization_id, departure.user_id);
    let queued_until = context.owned_until;
    let total = match step.total {
        Some(total) => total,
        None => {
            let queued = run::count_queued(transaction, organization_id, leaver, queued_until).await?;
            i32::try_from(queued).unwrap_or(i32::MAX)
        }
    };
    let runs = run::cancel_queued(transaction, organization_id, leaver, queued_until, room).await?;
    let cancelled = i64::try_from(runs.len()).unwrap_or(i64::MAX);
    let progress = Advance {
        done: i32::try_from(cancelled).unwrap_or(i32::MAX),
        total,
        reached_kind: None,
        // What has been cancelled isn't found again.
        reached_id: None,
        is_last: cancelled < room,
    };
    if cancelled > 0 {
        let event = NewEvent::by_system(organization_id, AuditAction::DepartureRunsCancelled, departure.id)
            .summary(format!("{cancelled} queued run(s) of {leaver} were cancelled"))
            .about(leaver)
            .with(json!({ "count": cancelled, "runIds": in_log(&runs) }));
        events.push(event);
    }
    advance(transaction, step, progress, cancelled, context.at).await
}

/// The progress that a chunk makes in a step.
struct Advance {
    done: i32,
    total: i32,
    reached_kind: Option<ResourceKind>,
    reached_id: Option<Uuid>,
    is_last: bool,
}

/// Records the progress of a step, in which `items` were looked at.
async fn advance(
    transaction: &mut Transaction,
    step: &Progress,
    progress: Advance,
    items: i64,
    at: DateTime<Utc>,
) -> Result<StepWork> {
    diesel::update(departure_steps::table.find((step.departure_id, step.step)))
        .set((
            departure_steps::done.eq(departure_steps::done + progress.done),
            departure_steps::total.eq(progress.total),
            departure_steps::reached_kind.eq(progress.reached_kind),
            departure_steps::reached_id.eq(progress.reached_id),
            departure_steps::completed_at.eq(progress.is_last.then_some(at)),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(StepWork { items, is_last: progress.is_last })
}

/// The last step: enqueues the receipts and completes the departure.
async fn complete(
    transaction: &mut Transaction,
    departure: &Departure,
    context: &CascadeContext,
    step: DepartureStep,
    events: &mut Vec<NewEvent>,
) -> Result<()> {
    let (at, new_owner) = (context.at, context.new_owner);
    // The recipients are everybody who received something, and the owner. The ownership may have been transferred in
    // the meantime (R43).
    let mut recipients: Vec<UserId> = resource_moves::table
        .filter(resource_moves::departure_id.eq(departure.id))
        .select(resource_moves::to_id)
        .distinct()
        .load(&mut **transaction)
        .await?;
    recipients.extend([departure.user_id, new_owner]);
    recipients.sort_unstable();
    recipients.dedup();
    let mails: Vec<_> = recipients
        .into_iter()
        .map(|recipient_id| MailDepartureReceipt { departure_id: departure.id, recipient_id })
        .collect();
    diesel::update(departure_steps::table.find((departure.id, step)))
        .set((
            departure_steps::done.eq(count(mails.len())),
            departure_steps::total.eq(count(mails.len())),
            departure_steps::completed_at.eq(at),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    diesel::update(departures::table.find(departure.id))
        .set((
            departures::status.eq(DepartureStatus::Completed),
            departures::new_owner_id.eq(new_owner),
            departures::completed_at.eq(at),
            departures::error.eq(None::<String>),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    transaction.enqueue_all(&mails).await?;
    let event = NewEvent::by_system(departure.organization_id, AuditAction::DepartureCompleted, departure.id)
        .summary(format!("everything that {} left has been passed on", departure.user_id))
        .about(departure.user_id);
    events.push(event);
    Ok(())
}
