//! Reactivating a member, and reverting a departure, which returns what it moved (R45).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::{suspension, user};
use crate::authority::access::{self, WritePermit};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent, in_log};
use crate::authority::membership::MemberStatus;
use crate::authority::rights::MemberAction;
use crate::base::error::{Code, Error, Reader, Result};
use crate::base::id::{DepartureId, MemberId, OrganizationId, ResourceId, ResourceMoveId, UserId};
use crate::base::job::{JobClaim, MailMembershipRestored, RevertDeparture};
use crate::base::limits;
use crate::base::sql::{Prepare as _, statement};
use crate::database::schema::{departure_steps, departures, members, resource_moves, resources};
use crate::database::{Database, Transaction, now};
use crate::departure::cascade::{Chunk, remove_grants, revoke_issued};
use crate::departure::{
    Departure, DepartureKind, DepartureStatus, DepartureStep, Progress, enter, expedite, known, lock, newest_of,
    set_under_way,
};
use crate::membership::cause::Cause;
use crate::membership::member::{self, Member};
use crate::membership::seats::{self, Seats};
use crate::membership::{invitation, joining, member_writes};
use crate::resource::Visibility;
use crate::resource::kind::ResourceKind;

/// Reactivates a removed or deactivated member, with their former role and permissions (R45). What was moved stays
/// where it is, and a running cascade continues.
///
/// # Errors
///
/// NOT_FOUND, FORBIDDEN, CONFLICT or SELF on `memberId` if the actor may not do this to the member; ALREADY_MEMBER,
/// ONE_ORGANIZATION or SEAT_LIMIT if they can't be a member again.
pub async fn reactivate(database: &Database, actor: &Actor, id: MemberId) -> Result<MemberId> {
    database
        .transaction(async |transaction| {
            let (permit, member) = member::enter(transaction, actor, id, "memberId").await?;
            let events = bring_back(transaction, &permit, &member, ReturnedWork::Nothing, "memberId").await?;
            audit::record(transaction, events).await?;
            Ok(id)
        })
        .await
}

/// Whether a reactivated member gets back what they had left behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReturnedWork {
    /// It stays where it is.
    Nothing,
    /// It is returned to them.
    Everything,
}

/// Reactivates the member, and enqueues the email that tells them. The caller has locked the user and the
/// organization.
async fn bring_back(
    transaction: &mut Transaction,
    permit: &WritePermit,
    member: &Member,
    returns: ReturnedWork,
    field: &str,
) -> Result<Vec<NewEvent>> {
    let user = user::require_living(transaction, member.user_id, field).await?;
    match member.status {
        MemberStatus::Active => {
            return Err(Error::refused(Code::AlreadyMember, field, "this member is active"));
        }
        // D6: somebody who left comes back only by their own decision.
        MemberStatus::Left => {
            let message = "they left by themselves; invite them, and they come back if they want to";
            return Err(Error::refused(Code::Conflict, field, message));
        }
        MemberStatus::Removed | MemberStatus::Deactivated => {}
    }
    member::require(permit, member, MemberAction::Reactivate, field)?;
    joining::require_room_for_another(transaction, member.user_id, Reader::Another, field).await?;
    let (organization_id, user_id) = (member.organization_id, member.user_id);
    let reason = "the invited person is a member again by another way";
    let mut events = invitation::revoke_to(transaction, Some(permit.actor()), organization_id, &user, reason).await?;
    seats::require_seats(transaction, organization_id, Seats::More(1), field).await?;
    member_writes::reactivate(transaction, permit, member.id).await?;
    events.extend(
        suspension::lift_by_membership(transaction, &[user_id], "the organization that suspended it took it back")
            .await?,
    );
    let restored = Cause::Permit(permit)
        .event(organization_id, AuditAction::MemberReactivated, member.id)
        .summary(format!("{user_id} is active again as {}", member.role))
        .about(user_id)
        .with(json!({ "role": member.role.as_str() }));
    let returns = returns == ReturnedWork::Everything;
    transaction.enqueue(&MailMembershipRestored { audit_event_id: restored.id(), returns }).await?;
    events.push(restored);
    Ok(events)
}

/// Reverts a departure: stops its cascade, reactivates a removed or deactivated member, and has the worker return what
/// was moved and is still where the departure put it.
///
/// If the person left by themselves or has rejoined, they are either an active member already or they aren't one at
/// all. In these cases, only resources are returned.
///
/// # Errors
///
/// On `departureId`: NOT_FOUND or FORBIDDEN if the actor may not decide about it; EXPIRED after 30 days; CONFLICT if
/// it was already reverted or isn't the newest one; and the reasons for which the person can't be a member again.
pub async fn revert(database: &Database, actor: &Actor, id: DepartureId) -> Result<Departure> {
    access::require_writing(actor, "departureId")?;
    let field = "departureId";
    database
        .transaction(async |transaction| {
            let found = known(transaction, actor, id, field).await?;
            access::lock_users(transaction, &[found.user_id]).await?;
            let permit = enter(transaction, actor, &found, field).await?;
            user::require_living(transaction, found.user_id, field).await?;
            // This waits until the running chunk has committed. After that, nothing more is passed on.
            let departure = lock(transaction, id).await?.ok_or(Error::Bug("a departure stays"))?;
            if matches!(departure.status, DepartureStatus::Reverting | DepartureStatus::Reverted) {
                return Err(Error::refused(Code::Conflict, field, "this departure was reverted before"));
            }
            if now(transaction).await? >= departure.revertible_until() {
                return Err(Error::refused(Code::Expired, field, "a departure can be reverted for 30 days"));
            }
            let member = member::by_ids(transaction, &[departure.member_id])
                .await?
                .pop()
                .ok_or(Error::Bug("a departure has its membership"))?;
            let mut events = Vec::new();
            if member.status != MemberStatus::Active {
                let newest = newest_of(transaction, departure.member_id).await?;
                if newest != Some(id) {
                    let message = "they came back and departed again since; revert the newer departure";
                    return Err(Error::refused(Code::Conflict, field, message));
                }
                if departure.kind == DepartureKind::Leave {
                    let message = "they left by themselves; once they are a member again, this returns what they owned";
                    return Err(Error::refused(Code::Conflict, field, message));
                }
                events = bring_back(transaction, &permit, &member, ReturnedWork::Everything, field).await?;
                // The end of the membership is undone, so the member still has what the cascade hasn't taken from them
                // yet.
                let previous = departure.previous_ended_at_position;
                member_writes::undo_end(transaction, &permit, member.id, previous).await?;
            } else if !permit.is_of(member.user_id) && !permit.standing().outranks(member.role) {
                return Err(member::outranked(&permit, &member, field).into());
            }
            // If the cascade is waiting for its next attempt, it finds that it is over, and the revert can begin.
            expedite(transaction, departure.member_id).await?;
            let cause = Cause::Permit(&permit);
            let reverting = set_under_way(transaction, cause, &departure, DepartureStatus::Reverting).await?;
            transaction.enqueue(&RevertDeparture { departure_id: id, member_id: departure.member_id }).await?;
            events.push(
                cause
                    .event(departure.organization_id, AuditAction::DepartureReverting, id)
                    .summary(format!("takes the departure of {} back", departure.user_id))
                    .about(departure.user_id),
            );
            audit::record(transaction, events).await?;
            Ok(reverting)
        })
        .await
}

/// A resource that the departure moved, and whether it is still where the departure put it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = resource_moves)]
struct MovedResource {
    #[diesel(column_name = id)]
    move_id: ResourceMoveId,
    resource_id: Option<ResourceId>,
    to_id: UserId,
    moved_at: DateTime<Utc>,
    /// The project that a sample was collected into.
    container_id: Option<ResourceId>,
    /// The visibility that a document had before.
    visibility: Option<Visibility>,
}

/// Where a resource is now.
#[derive(Queryable, Selectable)]
#[diesel(table_name = resources)]
struct CurrentPlace {
    id: ResourceId,
    organization_id: OrganizationId,
    owner_id: UserId,
    owned_since: DateTime<Utc>,
    container_id: Option<ResourceId>,
}

impl MovedResource {
    /// Why the resource stays where it is. `None` if it is still where the departure put it.
    fn stays_because(
        &self,
        departure: &Departure,
        now: Option<&CurrentPlace>,
        moving: &[ResourceId],
    ) -> Option<&'static str> {
        let Some(now) = now else { return Some("it was deleted") };
        if now.container_id.is_some_and(|container| moving.contains(&container)) {
            return Some("it is moving to another organization");
        }
        if now.organization_id != departure.organization_id {
            return Some("it was moved to another organization");
        }
        match self.container_id {
            Some(container) if now.container_id != Some(container) => Some("it was moved elsewhere since"),
            Some(_) if now.owner_id != self.to_id => Some("it was passed on since"),
            None if now.owner_id != self.to_id || now.owned_since != self.moved_at => Some("it was passed on since"),
            _ => None,
        }
    }
}

/// Returns a chunk of what a departure moved, in a transaction of its own.
pub async fn revert_chunk(database: &Database, id: DepartureId, claim: JobClaim<'_>) -> Result<Chunk> {
    database
        .transaction(async |transaction| {
            claim(transaction).await?;
            let found = lock(transaction, id).await?;
            let reverting = found.filter(|departure| departure.status == DepartureStatus::Reverting);
            let Some(departure) = reverting else { return Ok(Chunk::Done) };
            // Whoever receives something stays a member until this transaction commits.
            let status: MemberStatus = members::table
                .find(departure.member_id)
                .select(members::status)
                .for_share()
                .first(&mut **transaction)
                .await?;
            let chunk: Vec<MovedResource> = to_look_at(transaction, id).await?;
            let at = now(transaction).await?;
            if chunk.is_empty() {
                let ended_at: i64 = members::table
                    .find(departure.member_id)
                    .select(members::ended_at_position)
                    .first(&mut **transaction)
                    .await?;
                // What has ended remains so, whoever comes back.
                if let Some(step) = unfinished(transaction, id, DepartureStep::RevokeIssued).await? {
                    let mut events = Vec::new();
                    revoke_issued(transaction, &departure, &step, limits::CASCADE_CHUNK, &mut events).await?;
                    audit::record(transaction, events).await?;
                    return Ok(Chunk::More);
                }
                // A member who came back in another way than by this revert loses what was shared with them (R37,
                // R45). A member whom the revert reactivated still has it.
                let step = unfinished(transaction, id, DepartureStep::RemoveGrants).await?;
                if let Some(step) = step.filter(|_| ended_at >= departure.ended_at_position) {
                    let mut events = Vec::new();
                    remove_grants(transaction, &departure, &step, limits::CASCADE_CHUNK, &mut events).await?;
                    audit::record(transaction, events).await?;
                    return Ok(Chunk::More);
                }
                finish(transaction, &departure, at).await?;
                return Ok(Chunk::Done);
            }
            let returned = match status {
                MemberStatus::Active => give_back(transaction, &departure, &chunk, at).await?,
                _ => {
                    let ids: Vec<ResourceMoveId> = chunk.iter().map(|passed| passed.move_id).collect();
                    keep(transaction, &ids, "the member is gone again").await?;
                    Vec::new()
                }
            };
            if !returned.is_empty() {
                let event = NewEvent::by_system(departure.organization_id, AuditAction::DepartureResourcesReturned, id)
                    .summary(format!("{} resource(s) went back to {}", returned.len(), departure.user_id))
                    .about(departure.user_id)
                    .with(json!({
                        "count": returned.len(), "to": departure.user_id.to_string(), "resourceIds": in_log(&returned),
                    }));
                audit::record(transaction, [event]).await?;
            }
            Ok(Chunk::More)
        })
        .await
}

/// The step, unless the cascade has completed it.
async fn unfinished(transaction: &mut Transaction, id: DepartureId, step: DepartureStep) -> Result<Option<Progress>> {
    Ok(departure_steps::table
        .find((id, step))
        .filter(departure_steps::completed_at.is_null())
        .select(Progress::as_select())
        .first(&mut **transaction)
        .await
        .optional()?)
}

async fn to_look_at(transaction: &mut Transaction, id: DepartureId) -> Result<Vec<MovedResource>> {
    Ok(resource_moves::table
        .filter(resource_moves::departure_id.eq(id))
        .filter(resource_moves::reverted_at.is_null())
        .filter(resource_moves::kept_because.is_null())
        .order(resource_moves::id)
        .limit(limits::CASCADE_CHUNK)
        .select(MovedResource::as_select())
        .load(&mut **transaction)
        .await?)
}

/// Returns those resources that are still where the departure put them, and records why the others stay. The result are
/// the returned resources.
async fn give_back(
    transaction: &mut Transaction,
    departure: &Departure,
    chunk: &[MovedResource],
    at: DateTime<Utc>,
) -> Result<Vec<ResourceId>> {
    let ids: Vec<ResourceId> = chunk.iter().filter_map(|passed| passed.resource_id).collect();
    let found: Vec<CurrentPlace> = resources::table
        .filter(resources::id.eq_any(&ids))
        .order(resources::id)
        .select(CurrentPlace::as_select())
        .for_no_key_update()
        .load(&mut **transaction)
        .await?;
    // Resources that were accepted for another organization already count as being there.
    let containers: Vec<ResourceId> = found.iter().filter_map(|now| now.container_id).collect();
    let containers: Vec<(ResourceId, bool)> = resources::table
        .filter(resources::id.eq_any(containers))
        .order(resources::id)
        .select((resources::id, resources::moving))
        .for_share()
        .load(&mut **transaction)
        .await?;
    let moving: Vec<ResourceId> = containers.into_iter().filter(|(_, moving)| *moving).map(|(id, _)| id).collect();
    let found: HashMap<ResourceId, CurrentPlace> = found.into_iter().map(|now| (now.id, now)).collect();
    let mut staying: HashMap<&str, Vec<ResourceMoveId>> = HashMap::new();
    let (mut back, mut owned, mut samples, mut documents) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for passed in chunk {
        let now = passed.resource_id.and_then(|id| found.get(&id));
        match (passed.stays_because(departure, now, &moving), now) {
            (Some(reason), _) => staying.entry(reason).or_default().push(passed.move_id),
            (None, Some(now)) => {
                back.push(passed.move_id);
                if passed.container_id.is_some() { &mut samples } else { &mut owned }.push(now.id);
                if passed.visibility == Some(Visibility::Private) {
                    documents.push(now.id);
                }
            }
            (None, None) => {}
        }
    }
    diesel::update(resources::table.filter(resources::id.eq_any(&owned)))
        .set((resources::owner_id.eq(departure.user_id), resources::owned_since.eq(at)))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    // Also undoes the departure's other changes: samples are taken out of the project, and documents get back their
    // former visibility.
    diesel::update(resources::table.filter(resources::id.eq_any(&samples)))
        .set((resources::container_id.eq(None::<ResourceId>), resources::updated_at.eq(at)))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    diesel::update(resources::table.filter(resources::id.eq_any(&documents)))
        .set(resources::visibility.eq(Visibility::Private))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    diesel::update(resource_moves::table.filter(resource_moves::id.eq_any(&back)))
        .set(resource_moves::reverted_at.eq(at))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    for (reason, moves) in staying {
        keep(transaction, &moves, reason).await?;
    }
    Ok(owned.into_iter().chain(samples).collect())
}

async fn keep(transaction: &mut Transaction, moves: &[ResourceMoveId], reason: &str) -> Result<()> {
    if !moves.is_empty() {
        diesel::update(resource_moves::table.filter(resource_moves::id.eq_any(moves)))
            .set(resource_moves::kept_because.eq(reason))
            .prepared()
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

statement! {
    struct RemoveEmptyProject { project_id: SqlUuid = ResourceId } = include_str!("remove_empty_project.sql")
}

/// Deletes the project that samples were collected into, if all of them were returned and nobody has started to use
/// it.
async fn remove_samples_project(transaction: &mut Transaction, departure: &Departure) -> Result<Option<NewEvent>> {
    let project: Option<ResourceId> = departures::table
        .find(departure.id)
        .inner_join(resources::table.on(departures::samples_project_id.eq(resources::id.nullable())))
        .filter(resources::organization_id.eq(departure.organization_id))
        .filter(resources::moving.eq(false))
        .filter(resources::container_id.is_null())
        .filter(resources::updated_at.eq(resources::created_at))
        .select(resources::id)
        .for_update()
        .first(&mut **transaction)
        .await
        .optional()?;
    let Some(project) = project else { return Ok(None) };
    // A separate statement also sees what was put into the project, shared or offered before the lock was taken.
    let deleted = RemoveEmptyProject { project_id: project }.query().execute(&mut **transaction).await?;
    let event = NewEvent::by_system(departure.organization_id, AuditAction::ResourceDeleted, project)
        .summary(format!("deleted the project for the samples of {}, which is empty again", departure.user_id))
        .about(departure.user_id)
        .with(json!({
            "kind": ResourceKind::Project.as_str(), "resourceIds": [project.to_string()],
            "departureId": departure.id.to_string(),
        }));
    Ok((deleted > 0).then_some(event))
}

async fn finish(transaction: &mut Transaction, departure: &Departure, at: DateTime<Utc>) -> Result<()> {
    let mut events: Vec<NewEvent> = remove_samples_project(transaction, departure).await?.into_iter().collect();
    diesel::update(departures::table.find(departure.id))
        .set((
            departures::status.eq(DepartureStatus::Reverted),
            departures::completed_at.eq(departure.completed_at.unwrap_or(at)),
            departures::error.eq(None::<String>),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    events.push(
        NewEvent::by_system(departure.organization_id, AuditAction::DepartureReverted, departure.id)
            .summary(format!("what {} left behind and could go back has gone back", departure.user_id))
            .about(departure.user_id),
    );
    audit::record(transaction, events).await
}
