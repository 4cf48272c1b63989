//! Departures: leaving, being removed and being deactivated run the same cascade (D6, R31–R43).
//!
//! Access ends in the departure's own transaction. Whatever can take long is done by the worker in chunks of
//! [`limits::CASCADE_CHUNK`]. Each chunk is a transaction, so that the worker can be killed and resumed at any point
//! (D7).

pub mod account_deletion;
pub mod cascade;
mod cascade_statement;
pub mod departing;
pub mod following;
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
use crate::authority::platform::PlatformScope;
use crate::authority::rights::{Action, Role};
use crate::base::error::{Code, Refusal, Result};
use crate::base::id::{DepartureId, MemberId, OrganizationId, UserId};
use crate::base::job::{JobClaim, RevertDeparture, RunDeparture};
use crate::base::limits;
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::sql::Prepare as _;
use crate::base::text_enum::text_enum;
use crate::database::schema::{departure_steps, departures, members};
use crate::database::{Database, Transaction, rollcall_now};
use crate::membership::cause::Cause;
use crate::membership::member;
use crate::resource::kind::ResourceKind;

text_enum! {
    /// The way in which a membership ends.
    DepartureKind {
        /// The member leaves.
        Leave = "leave",
        /// The owner or an admin removes the member.
        Remove = "remove",
        /// The owner or an admin deactivates the member (D6).
        Deactivate = "deactivate",
    }
}

text_enum! {
    /// The status of a departure.
    DepartureStatus {
        /// The worker is passing on what the leaver owned.
        Running = "running",
        /// Everything has been passed on.
        Completed = "completed",
        /// The worker gave up. A retry continues where it stopped.
        Failed = "failed",
        /// The worker is returning what the departure moved.
        Reverting = "reverting",
        /// What the departure moved has been returned.
        Reverted = "reverted",
    }
}

text_enum! {
    /// The steps of a departure, in the order in which they are done.
    DepartureStep {
        /// The membership and the API keys end, and the active organization and the default bill-to are reset. This is
        /// part of the departure's own transaction.
        RevokeAccess = "revoke_access",
        /// Pending invitations (including those to resources), join codes, share links and project offers that the
        /// leaver issued end, and so do invitations and offers made to the leaver. They end in the departure's own
        /// transaction; the worker then marks them one by one.
        RevokeIssued = "revoke_issued",
        /// Projects pass to the organization's owner (R34).
        TransferProjects = "transfer_projects",
        /// Volumes pass to the organization's owner (R35).
        TransferVolumes = "transfer_volumes",
        /// Machines, workspaces, apps, sources, source groups and collections pass to the organization's owner (R35).
        TransferOthers = "transfer_others",
        /// Samples that aren't in a project are collected into a new project that belongs to the organization's owner.
        /// The samples themselves still belong to the leaver (R33, R36).
        CollectSamples = "collect_samples",
        /// Documents pass to the organization's owner and become visible to the organization (R38).
        ShareDocuments = "share_documents",
        /// What was shared with the leaver is no longer shared with them, except projects that they uploaded samples
        /// to (R37, R38).
        RemoveGrants = "remove_grants",
        /// The leaver is removed from all teams. This is part of the departure's own transaction (R42).
        LeaveTeams = "leave_teams",
        /// Runs that the leaver queued and that haven't started are cancelled (R42).
        CancelRuns = "cancel_runs",
        /// The owner and the leaver are sent an email that lists what moved.
        Notify = "notify",
    }
}

/// The step that handles a leaver's resources of a kind. This is the only place where kinds and steps are connected
/// (R33–R38).
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
    /// The kinds of resources that a step handles.
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

/// A departure: the end of a membership, and the transfer of what the leaver owned.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = departures)]
pub struct Departure {
    /// The departure's id.
    pub id: DepartureId,
    /// The organization that the member left.
    pub organization_id: OrganizationId,
    /// The membership that ended.
    pub member_id: MemberId,
    /// The leaver.
    pub user_id: UserId,
    /// The way in which the membership ended.
    pub kind: DepartureKind,
    /// The departure's status.
    pub status: DepartureStatus,
    /// The user who receives what the leaver owned. It changes if the ownership is transferred (R43).
    pub new_owner_id: UserId,
    /// The user who started the departure.
    pub started_by_id: Option<UserId>,
    reason: Option<String>,
    /// A message to the leaver, which is included in their email.
    pub message_to_member: Option<String>,
    /// When the leaver was told that their membership has ended. `None` if they weren't told before everything was
    /// passed on.
    pub told_at: Option<DateTime<Utc>>,
    /// The error that stopped the departure.
    pub error: Option<String>,
    /// When the departure began.
    pub started_at: DateTime<Utc>,
    /// When everything had been passed on.
    pub completed_at: Option<DateTime<Utc>>,
    /// The position of this end of the membership. The departure removes or keeps what was shared with the leaver
    /// before this position.
    ended_at_position: i64,
    /// The position of the previous end of the membership, if there was one.
    previous_ended_at_position: i64,
    /// Whether the account was suspended as well (D6).
    pub suspended_account: bool,
}

impl Departure {
    /// The reason that was given. The leaver may not see it.
    pub fn reason_for(&self, actor: &Actor) -> Option<&str> {
        self.reason.as_deref().filter(|_| !actor.is(self.user_id))
    }

    /// Until when the departure can be reverted.
    pub fn revertible_until(&self) -> DateTime<Utc> {
        self.started_at + limits::REVERTIBLE
    }
}

/// The progress of a step.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = departure_steps)]
pub struct Progress {
    /// The departure that the step belongs to.
    pub departure_id: DepartureId,
    /// The step.
    pub step: DepartureStep,
    /// The number of items that are done.
    pub done: i32,
    /// The number of items in total. `None` until the step begins.
    pub total: Option<i32>,
    /// When the step was completed.
    pub completed_at: Option<DateTime<Utc>>,
    /// The kind of resource that the last chunk moved.
    reached_kind: Option<ResourceKind>,
    /// The last item that was processed.
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

/// Locks a departure, so that nothing else can advance it.
async fn lock(transaction: &mut Transaction, id: DepartureId) -> Result<Option<Departure>> {
    Ok(departures::table
        .find(id)
        .select(Departure::as_select())
        .for_no_key_update()
        .first(&mut **transaction)
        .await
        .optional()?)
}

/// Marks a departure, or its revert, as failed, because the worker gives up. It stays visible and can be retried.
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
                .prepared()
                .execute(&mut **transaction)
                .await?;
            let event = NewEvent::by_system(departure.organization_id, AuditAction::DepartureFailed, id)
                .summary(summary)
                .about(departure.user_id);
            audit::record(transaction, [event]).await
        })
        .await
}

/// The departure, if the leaver is to be told now that their membership has ended. `None` if the receipt tells them,
/// which is about to be sent or was sent, or if the membership hasn't ended any more.
pub async fn to_tell_leaver(connection: &mut AsyncPgConnection, id: DepartureId) -> Result<Option<Departure>> {
    let Some(departure) = by_ids(connection, &[id]).await?.pop() else { return Ok(None) };
    let is_under_way = match departure.status {
        DepartureStatus::Running | DepartureStatus::Failed => true,
        DepartureStatus::Completed => departure.told_at.is_some(),
        DepartureStatus::Reverting | DepartureStatus::Reverted => false,
    };
    let member = member::by_ids(connection, &[departure.member_id]).await?.pop();
    // The leaver has come back by an invitation in the meantime.
    let is_back = member.is_none_or(|member| member.status == MemberStatus::Active);
    Ok((is_under_way && !is_back).then_some(departure))
}

/// Decides whether the leaver is told now that their membership has ended (see [`to_tell_leaver`]), and records the
/// decision. If they are, the receipt doesn't tell it again. Repeated calls give the same answer.
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
                    .prepared()
                    .execute(&mut **transaction)
                    .await?;
            }
            Ok(Some(departure))
        })
        .await
}

/// Lets a departure continue where it stopped. It must have failed, or be running although its job was lost because of
/// a fault.
///
/// If its job is waiting, no further job is added. If its job is running, the second one finds nothing to do.
///
/// # Errors
///
/// On `departureId`: NOT_FOUND or FORBIDDEN if the actor may not decide about it; CONFLICT if it is already complete.
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

/// Loads the departure that is to be decided about, if the actor may know of it.
async fn known(transaction: &mut Transaction, actor: &Actor, id: DepartureId, field: &str) -> Result<Departure> {
    let not_found = || Refusal::new(Code::NotFound, field, "there is no such departure");
    let found = match actor {
        Actor::Platform(key) => {
            key.require(PlatformScope::MembersWrite, field)?;
            let found = by_ids(transaction, &[id]).await?.pop();
            found.filter(|departure| key.within.includes(departure.organization_id))
        }
        Actor::User { .. }
        | Actor::ApiKey { .. }
        | Actor::Service { .. }
        | Actor::OnBehalf { .. }
        | Actor::Staff { .. } => visible_to(transaction, actor, &[id]).await?.pop(),
    };
    Ok(found.ok_or_else(not_found)?)
}

/// Locks the organization of a departure that the actor may see, and returns the actor's permit if they may decide
/// about the departure. Leavers may not.
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

/// Enqueues the job that continues a departure, or its revert. If the job is waiting for its next attempt, it starts
/// now.
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

/// Makes a member's unfinished departures continue now. The next job of the same member runs only after theirs, and
/// would otherwise wait for their next attempt.
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

/// The newest departure of a member.
async fn newest_of(connection: &mut AsyncPgConnection, member_id: MemberId) -> Result<Option<DepartureId>> {
    Ok(departures::table
        .filter(departures::member_id.eq(member_id))
        .order((departures::started_at.desc(), departures::id.desc()))
        .select(departures::id)
        .first(connection)
        .await
        .optional()?)
}

/// Makes a departure, or its revert, continue. `None` if it is already complete. The caller must enqueue its job.
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
        .summary("let it go on where it stopped")
        .about(resumed.user_id);
    audit::record(transaction, [event]).await?;
    Ok(Some(resumed))
}

/// Sets the status of a departure, which the caller has locked, to running or reverting.
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
        .prepared()
        .get_result(&mut **transaction)
        .await?)
}

/// Whether the permit's holder may see a departure, and may retry and revert it. Leavers see their own departures
/// without a permit.
pub fn is_visible(permit: &Permit, departure: &Departure) -> bool {
    permit.organization_id() == departure.organization_id && permit.standing().allows(Action::ViewAllResources)
}

/// Loads those departures that the actor may see, because they are the owner or an admin of the organization, or the
/// leaver.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[DepartureId],
) -> Result<Vec<Departure>> {
    let found = by_ids(connection, ids).await?;
    let permits = access::permits(connection, actor, found.iter().map(|departure| departure.organization_id)).await?;
    let may_see = |departure: &Departure| is_visible_to(actor, permits.get(&departure.organization_id), departure);
    Ok(found.into_iter().filter(may_see).collect())
}

/// Whether the actor may see a departure: as the leaver, or by the permit that they have in its organization.
pub fn is_visible_to(actor: &Actor, permit: Option<&Permit>, departure: &Departure) -> bool {
    actor.is_in(departure.organization_id, departure.user_id)
        || permit.is_some_and(|permit| is_visible(permit, departure))
}

/// Loads the departures, without checking who asks.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[DepartureId]) -> Result<Vec<Departure>> {
    Ok(departures::table.filter(departures::id.eq_any(ids)).select(Departure::as_select()).load(connection).await?)
}

/// Loads the steps of departures, in order.
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

/// The number of departures in the whole list of [`list`].
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
