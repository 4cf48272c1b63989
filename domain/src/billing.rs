//! What an organization has by its plan: its seats (R64).
//!
//! Active members hold a seat each, and so do open invitations, so that everyone who was invited finds one.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::access;
use crate::actor::Actor;
use crate::audit::{self, AuditAction, NewEvent};
use crate::database::schema::{invitations, members, organizations};
use crate::database::{Database, Transaction, rollcall_now};
use crate::error::{Code, Error, Refusal, Result};
use crate::id::OrganizationId;
use crate::invitation::InvitationStatus;
use crate::limits;
use crate::member::MemberStatus;
use crate::text;

/// What an organization shall have.
#[derive(Debug)]
pub struct SetPlan {
    /// The plan's name, as the platform calls it.
    pub plan: String,
    /// How many seats come with it; `Some(None)` for as many as like, and `None` leaves it as it is.
    pub seat_limit: Option<Option<i32>>,
}

/// Staff give an organization a plan. A limit below the seats in use takes nobody's away; it only lets nobody in.
pub async fn set_plan(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    command: &SetPlan,
) -> Result<OrganizationId> {
    if !matches!(actor, Actor::Staff { .. }) {
        let message = "only the platform's staff do this; ask them";
        return Err(Error::refused(Code::Forbidden, "organizationId", message));
    }
    let plan = text::line("plan", &command.plan, limits::NAME)?;
    if command.seat_limit.flatten().is_some_and(|seats| seats < 1) {
        return Err(Error::refused(Code::Invalid, "seatLimit", "takes at least 1; null is for no limit"));
    }
    database
        .transaction(async |transaction| {
            if !access::lock_organization(transaction, id).await? {
                return Err(Error::refused(Code::NotFound, "organizationId", "there is no such organization"));
            }
            let seat_limit: Option<i32> = diesel::update(organizations::table.find(id))
                .set((
                    organizations::plan.eq(&plan),
                    command.seat_limit.map(|limit| organizations::seat_limit.eq(limit)),
                ))
                .returning(organizations::seat_limit)
                .get_result(&mut **transaction)
                .await?;
            let event = NewEvent::by(actor, id, AuditAction::OrganizationPlanSet, id)
                .summary(format!("gave the organization the plan {plan}"))
                .with(json!({ "plan": plan, "seat_limit": seat_limit }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// How many seats are in use in each of the organizations: by active members, and by open invitations.
pub async fn seats_used(
    connection: &mut AsyncPgConnection,
    ids: &[OrganizationId],
) -> Result<HashMap<OrganizationId, i64>> {
    let mut used = active_members(connection, ids).await?;
    let open: Vec<(OrganizationId, i64)> = invitations::table
        .filter(invitations::organization_id.eq_any(ids))
        .filter(invitations::status.eq(InvitationStatus::Pending))
        .filter(invitations::expires_at.gt(rollcall_now()))
        .group_by(invitations::organization_id)
        .select((invitations::organization_id, diesel::dsl::count_star()))
        .load(connection)
        .await?;
    for (id, invitations) in open {
        *used.entry(id).or_default() += invitations;
    }
    Ok(used)
}

async fn active_members(
    connection: &mut AsyncPgConnection,
    ids: &[OrganizationId],
) -> Result<HashMap<OrganizationId, i64>> {
    let active: Vec<(OrganizationId, i64)> = members::table
        .filter(members::organization_id.eq_any(ids))
        .filter(members::status.eq(MemberStatus::Active))
        .group_by(members::organization_id)
        .select((members::organization_id, diesel::dsl::count_star()))
        .load(connection)
        .await?;
    Ok(active.into_iter().collect())
}

/// For whom seats are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seats {
    /// For so many people whom someone lets in; the seats of open invitations are taken.
    More(usize),
    /// For someone who comes in by themselves; likewise.
    Joining,
    /// For someone whose invitation held one.
    Invited,
}

/// Fails with SEAT_LIMIT on `field` where there are too few seats. The organization is locked.
pub(crate) async fn require_seats(
    transaction: &mut Transaction,
    id: OrganizationId,
    seats: Seats,
    field: &str,
) -> Result<()> {
    let limit: Option<i32> =
        organizations::table.find(id).select(organizations::seat_limit).first(&mut **transaction).await?;
    let Some(limit) = limit.map(i64::from) else { return Ok(()) };
    let used = match seats {
        Seats::More(_) | Seats::Joining => seats_used(transaction, &[id]).await?,
        Seats::Invited => active_members(transaction, &[id]).await?,
    };
    let used = used.get(&id).copied().unwrap_or_default();
    let wanted = match seats {
        Seats::More(number) => i64::try_from(number).unwrap_or(i64::MAX),
        Seats::Joining | Seats::Invited => 1,
    };
    if used.saturating_add(wanted) <= limit {
        return Ok(());
    }
    let free = (limit - used).max(0);
    // How many seats there are is the business of those who lead the organization.
    let message = match seats {
        Seats::More(_) => format!(
            "the organization's plan has {limit} seats, and {free} of them are free; revoke open invitations, or ask for more seats"
        ),
        Seats::Joining | Seats::Invited => {
            "the organization has no free seat at the moment; ask whoever invited you for one".to_owned()
        }
    };
    Err(Refusal::new(Code::SeatLimit, field, message).into())
}
