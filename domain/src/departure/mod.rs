//! Departures: leaving, being removed and being deactivated run the same cascade (D6, R31–R43).
//!
//! Access ends in the transaction of the departure; what can be long is the worker's, in chunks of
//! [`limits::CASCADE_CHUNK`], each its own transaction, so that it can be killed and resumed at any point (D7).

pub mod account_deletion;
pub mod cascade;
mod cascade_statement;
pub mod departing;
pub mod organization_deletion;
pub mod plan;
pub mod receipt;
pub mod revert;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::authority::access::{self, Lock, Permit, WritePermit};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::membership::MemberStatus;
use crate::authority::rights::{Action, Role};
use crate::base::error::{Code, Refusal, Result};
use crate::base::id::{DepartureId, MemberId, OrganizationId, UserId};
use crate::base::job::{JobClaim, RevertDeparture, RunDeparture};
use crate::base::limits;
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::text_enum::text_enum;
use crate::database::schema::{departure_steps, departures, members};
use crate::database::{Database, Transaction, rollcall_now};
use crate::membership::cause::Cause;
use crate::membership::member;
use crate::resource::kind::ResourceKind;

text_enum! {
    /// How someone goes.
    DepartureKind {
        /// By themselves.
        Leave = "leave",
        /// Removed by owner or admin.
        Remove = "remove",
        /// Deactivated by owner or admin (D6).
        Deactivate = "deactivate",
    }
}

text_enum! {
    /// Where a departure stands.
    DepartureStatus {
        /// The worker passes things on.
        Running = "running",
        /// Everything is passed on.
        Completed = "completed",
        /// The worker gave up; a retry goes on where it stopped.
        Failed = "failed",
        /// What was moved is on its way back.
        Reverting = "reverting",
        /// What was moved is back.
        Reverted = "reverted",
    }
}

text_enum! {
    /// The steps of a departure, in their order.
    DepartureStep {
        /// Membership and API keys end, the active organization and the default bill-to are reset. With the departure
        /// itself.
        RevokeAccess = "revoke_access",
        /// Open invitations (to resources as well), codes, share links and project offers that the leaver made end, and
        /// so do invitations and offers to them. With the departure itself; they are marked one after the other.
        RevokeIssued = "revoke_issued",
        /// Projects pass to the owner (R34).
        TransferProjects = "transfer_projects",
        /// Volumes pass to the owner (R35).
        TransferVolumes = "transfer_volumes",
        /// Machines, workspaces, apps, sources, source groups and collections likewise (R35).
        TransferOthers = "transfer_others",
        /// Samples that lie in no project are collected into a new one, which is the owner's; they stay the leaver's
        /// (R33, R36).
        CollectSamples = "collect_samples",
        /// Documents pass to the owner and become visible to the organization (R38).
        ShareDocuments = "share_documents",
        /// What was shared with the leaver isn't any more, but for projects that they uploaded samples to (R37, R38).
        RemoveGrants = "remove_grants",
        /// The leaver is taken out of all teams. With the departure itself (R42).
        LeaveTeams = "leave_teams",
        /// What the leaver has queued and nothing has begun is cancelled (R42).
        CancelRuns = "cancel_runs",
        /// Owner and leaver are told what moved.
        Notify = "notify",
    }
}

/// What becomes of a leaver's resources of a kind: the one place where kinds and steps meet (R33–R38).
fn step_for(kind: ResourceKind) -> DepartureStep {
    match kind {
        ResourceKind::Project => DepartureStep::TransferProjects,
        ResourceKind::Volume => DepartureStep::TransferVolumes,
        ResourceKind::Sample => DepartureStep::CollectSamples,
        ResourceKind::Document => DepartureStep::ShareDocuments,
        ResourceKind::Machine
        | ResourceKind::App
        | ResourceKind::Workspace
        | ResourceKind::Source
        | ResourceKind::SourceGroup
        | ResourceKind::Collection => DepartureStep::TransferOthers,
    }
}

impl DepartureStep {
    /// The kinds of resources that a step concerns.
    fn kinds(self) -> Vec<ResourceKind> {
        ResourceKind::ALL.iter().copied().filter(|kind| step_for(*kind) == self).collect()
    }
}

impl DepartureKind {
    fn status(self) -> MemberStatus {
        match self {
            Self::Leave => MemberStatus::Left,
            Self::Remove => MemberStatus::Removed,
            Self::Deactivate => MemberStatus::Deactivated,
        }
    }

    fn audit_action(self) -> AuditAction {
        match self {
            Self::Leave => AuditAction::MemberLeft,
            Self::Remove => AuditAction::MemberRemoved,
            Self::Deactivate => AuditAction::MemberDeactivated,
        }
    }
}

/// A departure.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = departures)]
pub struct Departure {
    /// Its id.
    pub id: DepartureId,
    /// From which organization.
    pub organization_id: OrganizationId,
    /// The membership that ended.
    pub member_id: MemberId,
    /// Who went.
    pub user_id: UserId,
    /// How.
    pub kind: DepartureKind,
    /// Where it stands.
    pub status: DepartureStatus,
    /// Who receives what the leaver owned; follows a transfer of ownership (R43).
    pub new_owner_id: UserId,
    /// Who started it.
    pub started_by_id: Option<UserId>,
    reason: Option<String>,
    /// What the mail tells the leaver.
    pub message_to_member: Option<String>,
    /// When the leaver was told that their membership has ended, where that was before everything was passed on.
    pub told_at: Option<DateTime<Utc>>,
    /// What stopped it.
    pub error: Option<String>,
    /// When.
    pub started_at: DateTime<Utc>,
    /// When everything was passed on.
    pub completed_at: Option<DateTime<Utc>>,
    /// The end of the membership that it is: what was shared with the leaver before this position is its to remove or
    /// keep.
    ended_at_position: i64,
    /// The end before it, if there was one.
    previous_ended_at_position: i64,
    /// Whether the account was suspended with it (D6).
    pub suspended_account: bool,
}

impl Departure {
    /// Why, in words, which are not for the leaver.
    pub fn reason_for(&self, actor: &Actor) -> Option<&str> {
        self.reason.as_deref().filter(|_| !actor.is(self.user_id))
    }

    /// Until when it can be reverted.
    pub fn revertible_until(&self) -> DateTime<Utc> {
        self.started_at + limits::REVERTIBLE
    }
}

/// How far a step is.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = departure_steps)]
pub struct Progress {
    /// Of which departure.
    pub departure_id: DepartureId,
    /// Which step.
    pub step: DepartureStep,
    /// How many things are done.
    pub done: i32,
    /// Of how many; none before the step began.
    pub total: Option<i32>,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
    /// Of which kind its last chunk was.
    reached_kind: Option<ResourceKind>,
    /// The last thing that it has dealt with.
    reached_id: Option<Uuid>,
}

pub(crate) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(crate) async fn owner(connection: &mut AsyncPgConnection, organization_id: OrganizationId) -> Result<UserId> {
    Ok(members::table
        .filter(members::organization_id.eq(organization_id))
        .filter(members::role.eq(Role::Owner))
        .filter(members::status.eq(MemberStatus::Active))
        .select(members::user_id)
        .first(connection)
        .await?)
}

/// Locks a departure against whatever else would take it further.
async fn lock(transaction: &mut Transaction, id: DepartureId) -> Result<Option<Departure>> {
    Ok(departures::table
        .find(id)
        .select(Departure::as_select())
        .for_no_key_update()
        .first(&mut **transaction)
        .await
        .optional()?)
}

/// The worker gives a departure, or its revert, up; it is kept, visible, and can be retried.
pub async fn fail(database: &Database, id: DepartureId, reason: &str, claim: JobClaim<'_>) -> Result<()> {
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let Some(departure) = lock(transaction, id).await? else { return Ok(()) };
            let (status, summary) = match departure.status {
                DepartureStatus::Running => (DepartureStatus::Failed, "the cascade was given up"),
                DepartureStatus::Reverting => (DepartureStatus::Reverting, "the revert was given up"),
                DepartureStatus::Completed | DepartureStatus::Failed | DepartureStatus::Reverted => return Ok(()),
            };
            diesel::update(departures::table.find(id))
                .set((departures::status.eq(status), departures::error.eq(reason)))
                .execute(&mut **transaction)
                .await?;
            let event =
                NewEvent::by_system(departure.organization_id, AuditAction::DepartureFailed, id).summary(summary);
            audit::record(transaction, [event]).await
        })
        .await
}

/// The departure of whose end the leaver is to be told now; `None` where the receipt says it, which is on its way or
/// was sent, and where nothing has ended any more.
pub async fn to_tell_leaver(connection: &mut AsyncPgConnection, id: DepartureId) -> Result<Option<Departure>> {
    let Some(departure) = by_ids(connection, &[id]).await?.pop() else { return Ok(None) };
    let is_under_way = match departure.status {
        DepartureStatus::Running | DepartureStatus::Failed => true,
        DepartureStatus::Completed => departure.told_at.is_some(),
        DepartureStatus::Reverting | DepartureStatus::Reverted => false,
    };
    let member = member::by_ids(connection, &[departure.member_id]).await?.pop();
    // Back by an invitation meanwhile.
    let is_back = member.is_none_or(|member| member.status == MemberStatus::Active);
    Ok((is_under_way && !is_back).then_some(departure))
}

/// Decides whether the leaver is told now that their membership has ended, as [`to_tell_leaver`] says, and writes that
/// down: the receipt says no more of it. Asked again, it is the same answer.
pub async fn tell_leaver(database: &Database, id: DepartureId, claim: JobClaim<'_>) -> Result<Option<Departure>> {
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            if lock(transaction, id).await?.is_none() {
                return Ok(None);
            }
            let Some(departure) = to_tell_leaver(transaction, id).await? else { return Ok(None) };
            if departure.told_at.is_none() {
                diesel::update(departures::table.find(id))
                    .set(departures::told_at.eq(rollcall_now().nullable()))
                    .execute(&mut **transaction)
                    .await?;
            }
            Ok(Some(departure))
        })
        .await
}

/// Lets a departure go on where it stopped: a failed one, or one that runs and whose job was lost to a fault.
///
/// Where its job waits already, nothing is added; where it runs, the second finds nothing to do.
///
/// # Errors
///
/// On `departureId`: NOT_FOUND or FORBIDDEN where it isn't the actor's to decide, CONFLICT where it has come to its
/// end.
pub async fn retry(database: &Database, actor: &Actor, id: DepartureId) -> Result<Departure> {
    let field = "departureId";
    access::require_writing(actor, field)?;
    database
        .transaction(async |transaction| {
            let found = known(transaction, actor, id, field).await?;
            let permit = enter(transaction, actor, &found, field).await?;
            let resumed = resume(transaction, Cause::Permit(&permit), id).await?;
            let departure =
                resumed.ok_or_else(|| Refusal::new(Code::Conflict, field, "this departure has come to its end"))?;
            let member_id = departure.member_id;
            call_for(transaction, departure.status, id, member_id).await?;
            Ok(departure)
        })
        .await
}

/// The departure that the actor may know of.
async fn known(transaction: &mut Transaction, actor: &Actor, id: DepartureId, field: &str) -> Result<Departure> {
    let not_found = || Refusal::new(Code::NotFound, field, "there is no such departure");
    Ok(visible_to(transaction, actor, &[id]).await?.pop().ok_or_else(not_found)?)
}

/// Locks the organization of a departure that the actor knows of, and gives their permit where they decide about it;
/// leavers don't.
async fn enter(
    transaction: &mut Transaction,
    actor: &Actor,
    departure: &Departure,
    field: &str,
) -> Result<WritePermit> {
    let forbidden =
        || Refusal::new(Code::Forbidden, field, "this is for the organization's owner and admins; ask one of them");
    let permit = access::enter(transaction, actor, departure.organization_id, Lock::Organization, forbidden()).await?;
    if !is_visible(&permit, departure) {
        return Err(forbidden().into());
    }
    Ok(permit)
}

/// Enqueues what takes a departure, or its revert, further, or has it start now where it waits for its next try.
async fn call_for(
    transaction: &mut Transaction,
    status: DepartureStatus,
    departure_id: DepartureId,
    member_id: MemberId,
) -> Result<()> {
    match status {
        DepartureStatus::Reverting => {
            transaction.enqueue_or_expedite(&RevertDeparture { departure_id, member_id }).await
        }
        _ => transaction.enqueue_or_expedite(&RunDeparture { departure_id, member_id }).await,
    }
}

/// Has the departures of a member that are under way go on now: what comes next of the same member runs after them, and
/// would wait for their next try.
pub(crate) async fn expedite(transaction: &mut Transaction, member_id: MemberId) -> Result<()> {
    let under_way: Vec<(DepartureId, DepartureStatus)> = departures::table
        .filter(departures::member_id.eq(member_id))
        .filter(departures::status.eq_any([DepartureStatus::Running, DepartureStatus::Reverting]))
        .order(departures::id)
        .select((departures::id, departures::status))
        .load(&mut **transaction)
        .await?;
    for (id, status) in under_way {
        call_for(transaction, status, id, member_id).await?;
    }
    Ok(())
}

/// A member's newest departure.
async fn newest_of(connection: &mut AsyncPgConnection, member_id: MemberId) -> Result<Option<DepartureId>> {
    Ok(departures::table
        .filter(departures::member_id.eq(member_id))
        .order((departures::started_at.desc(), departures::id.desc()))
        .select(departures::id)
        .first(connection)
        .await
        .optional()?)
}

/// Has a departure, or its revert, go on that hasn't come to its end; none where it has. Its job is the caller's.
pub(crate) async fn resume(
    transaction: &mut Transaction,
    cause: Cause<'_>,
    id: DepartureId,
) -> Result<Option<Departure>> {
    let Some(departure) = lock(transaction, id).await? else { return Ok(None) };
    let status = match departure.status {
        DepartureStatus::Running | DepartureStatus::Failed => DepartureStatus::Running,
        DepartureStatus::Reverting => DepartureStatus::Reverting,
        DepartureStatus::Completed | DepartureStatus::Reverted => return Ok(None),
    };
    let resumed = set_under_way(transaction, cause, &departure, status).await?;
    let event = cause
        .event(resumed.organization_id, AuditAction::DepartureRetried, id)
        .summary("let it go on where it stopped");
    audit::record(transaction, [event]).await?;
    Ok(Some(resumed))
}

/// Has a departure, which is locked, go on or back.
async fn set_under_way(
    transaction: &mut Transaction,
    cause: Cause<'_>,
    departure: &Departure,
    status: DepartureStatus,
) -> Result<Departure> {
    cause.require_reach(departure.organization_id, departure.user_id)?;
    Ok(diesel::update(departures::table.find(departure.id))
        .set((departures::status.eq(status), departures::error.eq(None::<String>)))
        .returning(Departure::as_returning())
        .get_result(&mut **transaction)
        .await?)
}

/// Whether a permit shows a departure, and lets it be retried and reverted; leavers see their own without a permit.
pub fn is_visible(permit: &Permit, departure: &Departure) -> bool {
    permit.organization_id() == departure.organization_id && permit.standing().allows(Action::ViewAllResources)
}

/// Those of the ids that the actor may see: as owner or admin of their organization, or as the leaver.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[DepartureId],
) -> Result<Vec<Departure>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|departure| departure.organization_id)).await?;
    let may_see = |departure: &Departure| {
        let own = actor.is_in(departure.organization_id, departure.user_id);
        own || permits.get(&departure.organization_id).is_some_and(|permit| is_visible(permit, departure))
    };
    Ok(found.into_iter().filter(may_see).collect())
}

/// The departures of the ids, whoever asks.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[DepartureId]) -> Result<Vec<Departure>> {
    Ok(departures::table.filter(departures::id.eq_any(ids)).select(Departure::as_select()).load(connection).await?)
}

/// The steps of departures, in their order.
pub async fn steps(connection: &mut AsyncPgConnection, ids: &[DepartureId]) -> Result<Vec<Progress>> {
    Ok(departure_steps::table
        .filter(departure_steps::departure_id.eq_any(ids))
        .order((departure_steps::departure_id, departure_steps::position))
        .select(Progress::as_select())
        .load(connection)
        .await?)
}

type Query = diesel::helper_types::IntoBoxed<'static, departures::table, diesel::pg::Pg>;

fn of_organization(
    organization_id: OrganizationId,
    member_id: Option<MemberId>,
    status: Option<DepartureStatus>,
) -> Query {
    let mut query = departures::table.into_boxed().filter(departures::organization_id.eq(organization_id));
    if let Some(member_id) = member_id {
        query = query.filter(departures::member_id.eq(member_id));
    }
    if let Some(status) = status {
        query = query.filter(departures::status.eq(status));
    }
    query
}

/// A page of an organization's departures, or of one member's, oldest first.
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    member_id: Option<MemberId>,
    status: Option<DepartureStatus>,
    page: &PageRequest,
) -> Result<Page<Departure>> {
    permit.require(Action::ViewAllResources)?;
    let slice = page.slice()?;
    let query = of_organization(permit.organization_id(), member_id, status).select(Departure::as_select());
    let rows = by_id!(query, slice, departures::id).load(connection).await?;
    slice.page(rows, |departure: &Departure| departure.id)
}

/// How many departures [`list`] would give in all.
pub async fn count_all(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    member_id: Option<MemberId>,
    status: Option<DepartureStatus>,
) -> Result<i64> {
    permit.require(Action::ViewAllResources)?;
    Ok(of_organization(permit.organization_id(), member_id, status)
        .select(diesel::dsl::count_star())
        .first(connection)
        .await?)
}
