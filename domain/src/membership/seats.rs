//! Seats: how many people an organization may have, and how many it has.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::join;

use crate::authority::issued::Issued;
use crate::authority::membership::MemberStatus;
use crate::base::error::{Code, Refusal, Result};
use crate::base::id::OrganizationId;
use crate::base::sql::statement;
use crate::database::Transaction;
use crate::database::schema::{members, organizations};

statement! {
    struct InvitedPeople<'a> { organizations: Array<SqlUuid> = &'a [OrganizationId] } =
        format!(include_str!("invited_people.sql"), open = Issued::Invitation.open())
}

/// Counts the seats in use in each of the organizations, by active members and by people with open invitations.
pub async fn seats_used(
    connection: &AsyncPgConnection,
    ids: &[OrganizationId],
) -> Result<HashMap<OrganizationId, i64>> {
    #[derive(QueryableByName)]
    struct InvitedCount {
        #[diesel(sql_type = SqlUuid)]
        organization_id: OrganizationId,
        #[diesel(sql_type = BigInt)]
        people: i64,
    }
    let invited = async { InvitedPeople { organizations: ids }.query().load::<InvitedCount>(&mut &*connection).await };
    let (used, invited) = join!(active_members(connection, ids), invited);
    let (mut used, invited) = (used?, invited?);
    for InvitedCount { organization_id, people } in invited {
        *used.entry(organization_id).or_default() += people;
    }
    Ok(used)
}

async fn active_members(
    connection: &AsyncPgConnection,
    ids: &[OrganizationId],
) -> Result<HashMap<OrganizationId, i64>> {
    let active: Vec<(OrganizationId, i64)> = members::table
        .filter(members::organization_id.eq_any(ids))
        .filter(members::status.eq(MemberStatus::Active))
        .group_by(members::organization_id)
        .select((members::organization_id, diesel::dsl::count_star()))
        .load(&mut &*connection)
        .await?;
    Ok(active.into_iter().collect())
}

/// The people for whom seats are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seats {
    /// For this many people whom somebody adds. Open invitations count as used seats.
    More(usize),
    /// For a person who joins by code. Open invitations count as used seats.
    Joining,
    /// For a person whose invitation already took a seat.
    Invited,
}

/// Fails with SEAT_LIMIT on `field` if there are too few seats. The organization must be locked.
pub(crate) async fn require_seats(
    transaction: &Transaction,
    id: OrganizationId,
    seats: Seats,
    field: &str,
) -> Result<()> {
    let limit: Option<i32> =
        organizations::table.find(id).select(organizations::seat_limit).first(&mut &**transaction).await?;
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
    // Only those who lead the organization may learn how many seats there are.
    let message = match seats {
        Seats::More(_) => format!(
            "the organization's plan has {limit} {}, of which {free} {} free; revoke open invitations, or ask for more",
            if limit == 1 { "seat" } else { "seats" },
            if free == 1 { "is" } else { "are" }
        ),
        Seats::Joining => {
            "the organization has no free seat at the moment; ask whoever gave you the code for one".to_owned()
        }
        Seats::Invited => "the organization has no free seat at the moment; ask whoever invited you for one".to_owned(),
    };
    Err(Refusal::new(Code::SeatLimit, field, message).into())
}
