//! Departures: leaving, being removed and being deactivated run the same cascade (D6, R31–R43).
//!
//! Access ends in the transaction of the departure; what can be long is the worker's, in chunks of
//! [`limits::CASCADE_CHUNK`], each its own transaction, so that it can be killed and resumed at any point (D7).

mod cascade;
pub mod deletion;
mod plan;
mod revert;

pub use cascade::{Chunk, run_chunk};
pub use plan::{Plan, PlannedStep, plan};
pub use revert::{reactivate, revert, revert_chunk};

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;
use uuid::Uuid;

use crate::account::{api_key, suspension, user};
use crate::authority::access::{self, Lock, Permit, lock_users};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::membership::MemberStatus;
use crate::authority::policy::{Action, MemberAction, Role};
use crate::base::attached::{self, Attached};
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{DepartureId, MemberId, OrganizationId, ResourceId, ResourceMoveId, UserId};
use crate::base::job::{Hold, MailMembershipEnded, RevertDeparture, RunDeparture};
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::text_enum::text_enum;
use crate::base::{limits, text};
use crate::database::schema::{departure_steps, departures, members, resource_moves, resources, sessions};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::membership::member::{self, Member};
use crate::membership::{invitation, team};
use crate::resource::ResourceKind;

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
        /// Membership and API keys end, the active organization and the default bill-to are reset. With the departure itself.
        RevokeAccess = "revoke_access",
        /// Open invitations (to resources as well), codes, share links and project offers that the leaver made end, and so do invitations
        /// and offers to them. With the departure itself; they are marked one after the other.
        RevokeIssued = "revoke_issued",
        /// Projects pass to the owner (R34).
        TransferProjects = "transfer_projects",
        /// Volumes pass to the owner (R35).
        TransferVolumes = "transfer_volumes",
        /// Machines, workspaces, apps, sources, source groups and collections likewise (R35).
        TransferOthers = "transfer_others",
        /// Samples that lie in no project are collected into a new one, which is the owner's; they stay the leaver's (R33, R36).
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
    /// The end of the membership that it is: what was shared with the leaver before this position is its to remove or keep.
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

/// A resource that passed on.
#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = resource_moves)]
pub struct ResourceMove {
    /// Its id.
    pub id: ResourceMoveId,
    /// Of which organization.
    pub organization_id: OrganizationId,
    /// In which departure.
    pub departure_id: DepartureId,
    /// What; none once it is deleted.
    pub resource_id: Option<ResourceId>,
    /// What it was called.
    pub resource_name: String,
    /// What it is.
    pub resource_kind: ResourceKind,
    /// From whom.
    pub from_id: UserId,
    /// To whom; samples stay whose they are.
    pub to_id: UserId,
    /// The project that a sample was collected into (R36).
    pub container_id: Option<ResourceId>,
    /// When.
    pub moved_at: DateTime<Utc>,
    /// When a revert gave it back.
    pub reverted_at: Option<DateTime<Utc>>,
    /// Why a revert left it where it is.
    pub kept_because: Option<String>,
}

impl Attached for ResourceMove {
    type Id = ResourceMoveId;
    type Parent = DepartureId;
    const TABLE: &'static str = "resource_moves";
    const PARENT: &'static str = "departure_id";
    fn condition() -> String {
        "true".to_owned()
    }
    fn id(&self) -> ResourceMoveId {
        self.id
    }
    fn parent(&self) -> DepartureId {
        self.departure_id
    }
}

/// The actor leaves (R40).
pub async fn leave(database: &Database, actor: &Actor, organization_id: OrganizationId) -> Result<Departure> {
    let (user_id, _) = actor.signed_in("organizationId")?;
    database
        .transaction(async |transaction| {
            lock_users(transaction, &[user_id]).await?;
            let permit = access::enter(
                transaction,
                actor,
                organization_id,
                Lock::Organization,
                access::organization_not_found("organizationId"),
            )
            .await?;
            require_leave(&permit)?;
            let member = member::of(transaction, organization_id, user_id)
                .await?
                .ok_or(Error::Bug("a permit comes with a membership"))?;
            let (departure, events) =
                depart(transaction, actor, &member, DepartureKind::Leave, Words::default()).await?;
            audit::record(transaction, events).await?;
            Ok(departure)
        })
        .await
}

/// Fails with what keeps someone from leaving.
fn require_leave(permit: &Permit) -> Result<()> {
    if permit.standing().role == Role::Owner && !permit.standing().personal {
        return Err(Error::refused(
            Code::OwnerMustStay,
            "organizationId",
            "the owner can't leave; transfer the ownership to an admin first",
        ));
    }
    permit.require_on(Action::Leave, "organizationId")
}

/// Whom to remove or deactivate.
#[derive(Debug)]
pub struct RemoveMember {
    /// The member.
    pub member_id: MemberId,
    /// Whether they are removed or deactivated.
    pub kind: DepartureKind,
    /// Why: for the audit log, and so for owner and admins.
    pub reason: Option<String>,
    /// What the mail tells the member.
    pub message_to_member: Option<String>,
    /// The hash of a plan: the departure is refused where it doesn't fit any more (R44).
    pub plan_hash: Option<String>,
}

/// What is said about a departure.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Words<'a> {
    /// To owner and admins.
    reason: Option<&'a str>,
    /// To whom it concerns.
    message_to_member: Option<&'a str>,
}

/// A member is removed or deactivated by owner or admin (R3, R9, R12); with the hash of a plan only if that still fits (R44).
pub async fn remove(database: &Database, actor: &Actor, command: &RemoveMember) -> Result<Departure> {
    let RemoveMember { member_id: id, kind, .. } = *command;
    let reason = text::optional_text("reason", command.reason.as_deref(), limits::DESCRIPTION)?;
    let message_to_member =
        text::optional_text("messageToMember", command.message_to_member.as_deref(), limits::DESCRIPTION)?;
    let action = match kind {
        DepartureKind::Remove => MemberAction::Remove,
        DepartureKind::Deactivate => MemberAction::Deactivate,
        DepartureKind::Leave => return Err(Error::Bug("nobody leaves for another")),
    };
    database
        .transaction(async |transaction| {
            let (permit, member) = member::enter(transaction, actor, id, "memberId").await?;
            member::require(&permit, &member, action, "memberId")?;
            if let Some(hash) = &command.plan_hash {
                plan::require(transaction, &permit, &member, kind, hash).await?;
            }
            let words = Words { reason: reason.as_deref(), message_to_member: message_to_member.as_deref() };
            let (departure, events) = depart(transaction, actor, &member, kind, words).await?;
            audit::record(transaction, events).await?;
            Ok(departure)
        })
        .await
}

/// Ends the membership and what hangs on it, and calls for the cascade; with the events to record. User and organization are
/// locked, and the member is checked.
pub(crate) async fn depart(
    transaction: &mut Transaction,
    actor: &Actor,
    member: &Member,
    kind: DepartureKind,
    words: Words<'_>,
) -> Result<(Departure, Vec<NewEvent>)> {
    let (organization_id, user_id) = (member.organization_id, member.user_id);
    // Waits for whatever is being written under the membership; nothing new can begin.
    let previous_ended_at_position: i64 = members::table
        .find(member.id)
        .select(members::ended_at_position)
        .for_no_key_update()
        .first(&mut **transaction)
        .await?;
    // The position is taken only then: every grant that was made under the membership lies before it, and sleeps, and so does all that
    // was issued under it, and has ended.
    let ended_at_position: i64 =
        diesel::select(diesel::dsl::sql::<BigInt>("nextval('grant_positions')")).get_result(&mut **transaction).await?;
    diesel::update(members::table.find(member.id))
        .set((
            members::status.eq(kind.status()),
            members::ended_at_position.eq(ended_at_position),
            members::issued_ended_position.eq(ended_at_position),
            members::invites_ended_position.eq(ended_at_position),
            members::admin_invites_ended_position.eq(ended_at_position),
        ))
        .execute(&mut **transaction)
        .await?;
    let started_at = now(transaction).await?;
    let leaver = user::by_id(transaction, user_id).await?;

    let keys = api_key::revoke_for(transaction, organization_id, user_id).await?;
    diesel::update(
        sessions::table
            .filter(sessions::user_id.eq(user_id))
            .filter(sessions::active_organization_id.eq(organization_id)),
    )
    .set(sessions::active_organization_id.eq(None::<OrganizationId>))
    .execute(&mut **transaction)
    .await?;
    user::reset_default_bill_to(transaction, user_id, organization_id).await?;

    let departed = "revoked: the invited person departed";
    let mut events = invitation::revoke_to(transaction, Some(actor), organization_id, &leaver, departed).await?;
    let revoked = events.len();
    let teams = team::leave_all(transaction, organization_id, user_id).await?;

    let suspends = kind == DepartureKind::Deactivate
        && leaver.origin_organization_id == Some(organization_id)
        && !user::belongs_to_another_team(transaction, user_id, organization_id).await?;
    if suspends {
        events.push(suspension::suspend(transaction, user_id, organization_id).await?);
    }

    let departure: Departure = diesel::insert_into(departures::table)
        .values((
            departures::id.eq(DepartureId::new()),
            departures::organization_id.eq(organization_id),
            departures::member_id.eq(member.id),
            departures::user_id.eq(user_id),
            departures::kind.eq(kind),
            departures::new_owner_id.eq(owner(transaction, organization_id).await?),
            departures::started_by_id.eq(actor.account()),
            departures::reason.eq(words.reason),
            departures::message_to_member.eq(words.message_to_member),
            departures::role.eq(member.role),
            departures::suspended_account.eq(suspends),
            departures::started_at.eq(started_at),
            departures::ended_at_position.eq(ended_at_position),
            departures::previous_ended_at_position.eq(previous_ended_at_position),
        ))
        .returning(Departure::as_returning())
        .get_result(&mut **transaction)
        .await?;
    let steps: Vec<_> = DepartureStep::ALL
        .iter()
        .enumerate()
        .map(|(position, step)| {
            // What this transaction does is done with it.
            let done = match step {
                DepartureStep::RevokeAccess => Some(keys + 1),
                DepartureStep::LeaveTeams => Some(teams.len()),
                DepartureStep::RevokeIssued
                | DepartureStep::TransferProjects
                | DepartureStep::TransferVolumes
                | DepartureStep::TransferOthers
                | DepartureStep::CollectSamples
                | DepartureStep::ShareDocuments
                | DepartureStep::RemoveGrants
                | DepartureStep::CancelRuns
                | DepartureStep::Notify => None,
            };
            let done = done.map(count);
            let begun = if *step == DepartureStep::RevokeIssued { count(revoked) } else { 0 };
            (
                departure_steps::departure_id.eq(departure.id),
                departure_steps::step.eq(*step),
                departure_steps::position.eq(count(position)),
                departure_steps::done.eq(done.unwrap_or(begun)),
                departure_steps::total.eq(done),
                departure_steps::completed_at.eq(done.map(|_| started_at)),
            )
        })
        .collect();
    diesel::insert_into(departure_steps::table).values(steps).execute(&mut **transaction).await?;
    expedite(transaction, member.id).await?;
    transaction.enqueue(&RunDeparture { departure_id: departure.id, member_id: member.id }).await?;
    if kind != DepartureKind::Leave {
        // They hear of it soon, and not when the last of a million resources is passed on.
        let notice = MailMembershipEnded { departure_id: departure.id };
        transaction.enqueue_at(&notice, started_at + limits::DEPARTURE_NOTICE).await?;
    }
    let mut event = NewEvent::by(actor, organization_id, kind.audit_action(), member.id)
        .summary(format!("{user_id} departed: {kind}"))
        .with(json!({ "departure": departure.id.to_string(), "role": member.role.as_str() }));
    if !teams.is_empty() {
        let teams: Vec<String> = teams.iter().map(ToString::to_string).collect();
        event = event.with(json!({ "teams": teams }));
    }
    if let Some(reason) = words.reason {
        event = event.with(json!({ "reason": reason }));
    }
    events.push(event);
    Ok((departure, events))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

async fn owner(connection: &mut AsyncPgConnection, organization_id: OrganizationId) -> Result<UserId> {
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
pub async fn fail(database: &Database, id: DepartureId, reason: &str, hold: Hold<'_>) -> Result<()> {
    database
        .transaction(async |transaction| {
            hold(transaction).await?;
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

/// The departure of whose end the leaver is to be told now; `None` where the receipt says it, which is on its way or was sent, and where
/// nothing has ended any more.
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

/// Decides whether the leaver is told now that their membership has ended, as [`to_tell_leaver`] says, and writes that down: the receipt
/// says no more of it. Asked again, it is the same answer.
pub async fn tell_leaver(database: &Database, id: DepartureId, hold: Hold<'_>) -> Result<Option<Departure>> {
    database
        .transaction(async |transaction| {
            hold(transaction).await?;
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
pub async fn retry(database: &Database, actor: &Actor, id: DepartureId) -> Result<Departure> {
    let field = "departureId";
    access::require_writing(actor, field)?;
    database
        .transaction(async |transaction| {
            let found = known(transaction, actor, id, field).await?;
            enter(transaction, actor, &found, field).await?;
            let resumed = resume(transaction, actor, id).await?;
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

/// Locks the organization of a departure that the actor knows of, and gives their permit where they decide about it; leavers don't.
async fn enter(transaction: &mut Transaction, actor: &Actor, departure: &Departure, field: &str) -> Result<Permit> {
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

/// Has the departures of a member that are under way go on now: what comes next of the same member runs after them, and would wait
/// for their next try.
async fn expedite(transaction: &mut Transaction, member_id: MemberId) -> Result<()> {
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
pub(crate) async fn resume(transaction: &mut Transaction, actor: &Actor, id: DepartureId) -> Result<Option<Departure>> {
    let status = match lock(transaction, id).await?.map(|departure| departure.status) {
        Some(DepartureStatus::Running | DepartureStatus::Failed) => DepartureStatus::Running,
        Some(DepartureStatus::Reverting) => DepartureStatus::Reverting,
        Some(DepartureStatus::Completed | DepartureStatus::Reverted) | None => return Ok(None),
    };
    let resumed: Departure = diesel::update(departures::table.find(id))
        .set((departures::status.eq(status), departures::error.eq(None::<String>)))
        .returning(Departure::as_returning())
        .get_result(&mut **transaction)
        .await?;
    let event = NewEvent::by(actor, resumed.organization_id, AuditAction::DepartureRetried, id)
        .summary("let it go on where it stopped");
    audit::record(transaction, [event]).await?;
    Ok(Some(resumed))
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

/// A page of what each of the departures moved, in the order of moving, and how many moves there are.
pub async fn moves(
    connection: &mut AsyncPgConnection,
    ids: &[DepartureId],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<DepartureId, (Page<ResourceMove>, i64)>> {
    attached::to(connection, ids, page, with_count).await
}

/// The moves of the ids, whoever asks.
pub async fn moves_by_ids(connection: &mut AsyncPgConnection, ids: &[ResourceMoveId]) -> Result<Vec<ResourceMove>> {
    Ok(resource_moves::table
        .filter(resource_moves::id.eq_any(ids))
        .select(ResourceMove::as_select())
        .load(connection)
        .await?)
}

/// What a departure's mail says.
#[derive(Debug)]
pub struct Receipt {
    /// How many of each kind.
    pub counts: Vec<(ResourceKind, i64)>,
    /// The names of the first [`limits::RECEIPT_EXAMPLES`].
    pub examples: Vec<String>,
    /// How many samples were collected into a project (R36); they are not among the others, since they stay whose they are.
    pub collected_samples: i64,
    /// Whose the project is that they were collected into.
    pub samples_owner: Option<UserId>,
    /// Who received them: more than one where the ownership passed on meanwhile (R43).
    pub receivers: Vec<UserId>,
}

/// What a departure moved, in short; to one of the receivers only where one is named.
pub async fn receipt(connection: &mut AsyncPgConnection, id: DepartureId, to: Option<UserId>) -> Result<Receipt> {
    let of_departure = resource_moves::table.filter(resource_moves::departure_id.eq(id));
    let passed = of_departure.filter(resource_moves::container_id.is_null());
    let receivers: Vec<UserId> = passed.select(resource_moves::to_id).distinct().load(connection).await?;
    let wanted: Vec<UserId> =
        receivers.iter().copied().filter(|receiver| to.is_none_or(|to| to == *receiver)).collect();
    let moves = passed.filter(resource_moves::to_id.eq_any(wanted));
    let counts = moves
        .clone()
        .group_by(resource_moves::resource_kind)
        .order(resource_moves::resource_kind)
        .select((resource_moves::resource_kind, diesel::dsl::count_star()))
        .load(connection)
        .await?;
    let examples = moves
        .order(resource_moves::id)
        .limit(limits::RECEIPT_EXAMPLES)
        .select(resource_moves::resource_name)
        .load(connection)
        .await?;
    let collected_samples =
        of_departure.filter(resource_moves::container_id.is_not_null()).count().get_result(connection).await?;
    let samples_owner = departures::table
        .find(id)
        .inner_join(resources::table.on(departures::samples_project_id.eq(resources::id.nullable())))
        .select(resources::owner_id)
        .first(connection)
        .await
        .optional()?;
    Ok(Receipt { counts, examples, collected_samples, samples_owner, receivers })
}
