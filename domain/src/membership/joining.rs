//! Becoming a member, in whichever way.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::account::user;
use crate::authority::audit::NewEvent;
use crate::authority::membership::{JoinMethod, MemberStatus};
use crate::authority::suspension::Suspension;
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{MemberId, UserId};
use crate::database::Transaction;
use crate::database::schema::members;
use crate::membership::cause::{Admission, Membership};
use crate::membership::seats::{self, Seats};
use crate::membership::{invitation, member_writes};

/// Fails with ONE_ORGANIZATION if the deployment allows only one organization per user (D3) and the user has one. The
/// user's row must be locked.
pub(crate) async fn require_room_for_another(
    transaction: &mut Transaction,
    user_id: UserId,
    reader: Reader,
    field: &str,
) -> Result<()> {
    if transaction.deployment().one_organization_per_user && user::team_memberships(transaction, user_id).await? > 0 {
        return Err(belongs_elsewhere(reader, field).into());
    }
    Ok(())
}

/// The refusal for somebody who belongs to another organization, where one belongs to one at a time (D3).
pub(crate) fn belongs_elsewhere(reader: Reader, field: &str) -> Refusal {
    let message = match reader {
        Reader::Themselves => "you belong to an organization, and here one belongs to one at a time; leave it first",
        Reader::Another => {
            "they belong to another organization by now, and here one belongs to one at a time; they must leave it first"
        }
    };
    Refusal::new(Code::OneOrganization, field, message)
}

/// Creates a member, or makes a former member active again, with what the admission gives (R45). Returns the events of
/// whatever this ended.
///
/// The rows of the user and the organization must be locked.
pub(crate) async fn join(
    transaction: &mut Transaction,
    admission: Admission<'_>,
    field: &str,
) -> Result<(MemberId, Vec<NewEvent>)> {
    let Membership { user_id, organization_id, joined_via, .. } = admission.membership();
    let before: Option<(MemberId, MemberStatus)> = members::table
        .filter(members::organization_id.eq(organization_id))
        .filter(members::user_id.eq(user_id))
        .select((members::id, members::status))
        .first(&mut **transaction)
        .await
        .optional()?;
    match before {
        Some((_, MemberStatus::Active)) => {
            let message = match admission.reader() {
                Reader::Themselves => "you belong to this organization already",
                Reader::Another => "they belong to this organization already",
            };
            return Err(Error::refused(Code::AlreadyMember, field, message));
        }
        // D6: nobody returns by a code after they were removed.
        Some((_, MemberStatus::Removed | MemberStatus::Deactivated)) if joined_via == JoinMethod::JoinCode => {
            return Err(Error::refused(
                Code::Forbidden,
                field,
                "you were removed here; only a new invitation brings you back",
            ));
        }
        _ => {}
    }
    let user = user::require_living(transaction, user_id, field).await?;
    // An accepted invitation lifts the suspension by an organization (D6), and nothing else does. The account may have
    // been suspended after the request was authenticated.
    let lifts_suspension = match joined_via {
        JoinMethod::Invitation => user.suspension() == Some(Suspension::ByOrganization),
        JoinMethod::JoinCode | JoinMethod::Founder | JoinMethod::Staff | JoinMethod::Platform => false,
    };
    if !lifts_suspension {
        user.require_unsuspended(transaction.deployment(), admission.reader(), field)?;
    }
    require_room_for_another(transaction, user_id, admission.reader(), field).await?;
    // Another open invitation of the same person, by address or username, serves no purpose any more.
    let reason = "the invited person joined by another way";
    let events = invitation::revoke_to(transaction, None, organization_id, &user, reason).await?;
    let seats = match joined_via {
        JoinMethod::Invitation => Seats::Invited,
        JoinMethod::JoinCode => Seats::Joining,
        JoinMethod::Founder | JoinMethod::Staff | JoinMethod::Platform => Seats::More(1),
    };
    seats::require_seats(transaction, organization_id, seats, field).await?;
    let id = member_writes::admit(transaction, admission, before.map(|(id, _)| id)).await?;
    Ok((id, events))
}
