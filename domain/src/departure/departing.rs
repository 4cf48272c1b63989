//! Leaving an organization, and removing a member. Access ends in the same transaction.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::{api_key, suspension, user};
use crate::authority::access::{self, Lock, lock_users};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, NewEvent, in_log};
use crate::authority::rights::MemberAction;
use crate::base::error::{Error, Result};
use crate::base::id::{DepartureId, MemberId, OrganizationId};
use crate::base::job::{MailMembershipEnded, RunDeparture};
use crate::base::sql::Prepare as _;
use crate::base::{limits, text};
use crate::database::schema::{departure_steps, departures, sessions};
use crate::database::{Database, Transaction, now};
use crate::departure::{self, Departure, DepartureKind, DepartureStep};
use crate::membership::cause::Cause;
use crate::membership::member::{self, Member};
use crate::membership::{invitation, member_writes, team};

/// Ends the actor's own membership (R40).
///
/// # Errors
///
/// NOT_FOUND on `organizationId` for everyone who isn't a member; OWNER_MUST_STAY for the owner; FORBIDDEN in a
/// personal organization.
pub async fn leave(database: &Database, actor: &Actor, organization_id: OrganizationId) -> Result<Departure> {
    let user_id = actor.person("organizationId")?.user_id();
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
            departure::plan::require_leave(&permit)?;
            let member = member::of(transaction, organization_id, user_id)
                .await?
                .ok_or(Error::Bug("a permit comes with a membership"))?;
            let (departure, events) =
                depart(transaction, Cause::Permit(&permit), &member, DepartureKind::Leave, Words::default()).await?;
            audit::record(transaction, events).await?;
            Ok(departure)
        })
        .await
}

/// The member to remove or deactivate.
#[derive(Debug)]
pub struct RemoveMember {
    /// The member.
    pub member_id: MemberId,
    /// Whether the member is removed or deactivated.
    pub kind: DepartureKind,
    /// The reason, which the audit log keeps for the owner and admins.
    pub reason: Option<String>,
    /// A message to the member, which is included in their email.
    pub message_to_member: Option<String>,
    /// The hash of a plan. The departure is refused if the plan is no longer accurate (R44).
    pub plan_hash: Option<String>,
}

/// The texts that were given for a departure.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Words<'a> {
    /// For the owner and admins.
    reason: Option<&'a str>,
    /// For the member.
    message_to_member: Option<&'a str>,
}

/// Removes or deactivates a member, on behalf of the owner or an admin (R3, R9, R12). If the hash of a plan is given,
/// this happens only if the plan is still accurate (R44).
///
/// # Errors
///
/// NOT_FOUND, FORBIDDEN, CONFLICT or SELF on `memberId` if the actor may not do this to the member; PLAN_STALE if the
/// plan is no longer accurate.
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
                departure::plan::require(transaction, &permit, &member, kind, hash).await?;
            }
            let words = Words { reason: reason.as_deref(), message_to_member: message_to_member.as_deref() };
            let (departure, events) = depart(transaction, Cause::Permit(&permit), &member, kind, words).await?;
            audit::record(transaction, events).await?;
            Ok(departure)
        })
        .await
}

/// Ends the membership and everything that depends on it, and enqueues the cascade. Returns the departure and the
/// events to record. The caller has locked the user and the organization, and has checked the member.
pub(crate) async fn depart(
    transaction: &mut Transaction,
    cause: Cause<'_>,
    member: &Member,
    kind: DepartureKind,
    words: Words<'_>,
) -> Result<(Departure, Vec<NewEvent>)> {
    let (organization_id, user_id) = (member.organization_id, member.user_id);
    let ended = member_writes::end(transaction, cause, member, kind.status()).await?;
    let started_at = now(transaction).await?;
    let leaver = user::by_id(transaction, user_id).await?;

    let keys = api_key::revoke_for(transaction, organization_id, user_id).await?;
    diesel::update(
        sessions::table
            .filter(sessions::user_id.eq(user_id))
            .filter(sessions::active_organization_id.eq(organization_id)),
    )
    .set(sessions::active_organization_id.eq(None::<OrganizationId>))
    .prepared()
    .execute(&mut **transaction)
    .await?;
    user::reset_default_bill_to(transaction, &[user_id], organization_id).await?;

    let departed = "revoked: the invited person departed";
    let mut events =
        invitation::revoke_to(transaction, Some(cause.actor()), organization_id, &leaver, departed).await?;
    let revoked = events.len();
    let teams = team::leave_all(transaction, organization_id, user_id).await?;

    let suspends = kind == DepartureKind::Deactivate
        && leaver.origin_organization_id == Some(organization_id)
        && !user::belongs_to_another_team(transaction, user_id, organization_id).await?;
    if suspends {
        events.push(suspension::suspend_by_organization(transaction, user_id, organization_id).await?);
    }

    let departure: Departure = diesel::insert_into(departures::table)
        .values((
            departures::id.eq(DepartureId::new()),
            departures::organization_id.eq(organization_id),
            departures::member_id.eq(member.id),
            departures::user_id.eq(user_id),
            departures::kind.eq(kind),
            departures::new_owner_id.eq(departure::owner(transaction, organization_id).await?),
            departures::started_by_id.eq(cause.actor().account()),
            departures::reason.eq(words.reason),
            departures::message_to_member.eq(words.message_to_member),
            departures::role.eq(member.role),
            departures::suspended_account.eq(suspends),
            departures::started_at.eq(started_at),
            departures::ended_at_position.eq(ended.this),
            departures::previous_ended_at_position.eq(ended.previous),
        ))
        .returning(Departure::as_returning())
        .get_result(&mut **transaction)
        .await?;
    let steps: Vec<_> = DepartureStep::ALL
        .iter()
        .enumerate()
        .map(|(position, step)| {
            // The steps that are part of this transaction are complete from the start.
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
            let done = done.map(departure::count);
            let begun = if *step == DepartureStep::RevokeIssued { departure::count(revoked) } else { 0 };
            (
                departure_steps::departure_id.eq(departure.id),
                departure_steps::step.eq(*step),
                departure_steps::position.eq(departure::count(position)),
                departure_steps::done.eq(done.unwrap_or(begun)),
                departure_steps::total.eq(done),
                departure_steps::completed_at.eq(done.map(|_| started_at)),
            )
        })
        .collect();
    diesel::insert_into(departure_steps::table).values(steps).execute(&mut **transaction).await?;
    departure::expedite(transaction, member.id).await?;
    transaction.enqueue(&RunDeparture { departure_id: departure.id, member_id: member.id }).await?;
    if kind != DepartureKind::Leave {
        // The member is told soon, not only after the last of possibly a million resources has been passed on.
        let notice = MailMembershipEnded { departure_id: departure.id };
        transaction.enqueue_at(&notice, started_at + limits::DEPARTURE_NOTICE).await?;
    }
    let mut event = cause
        .event(organization_id, kind.audit_action(), member.id)
        .summary(format!("{user_id} departed: {kind}"))
        .about(user_id)
        .with(json!({ "departureId": departure.id.to_string(), "role": member.role.as_str() }))
        .reason(words.reason);
    if !teams.is_empty() {
        event = event.with(json!({ "teamIds": in_log(&teams) }));
    }
    events.push(event);
    Ok((departure, events))
}
