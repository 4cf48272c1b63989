//! Becoming a member, however that came about.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::account::user;
use crate::authority::audit::NewEvent;
use crate::authority::membership::{JoinMethod, MemberStatus};
use crate::authority::permissions::Permissions;
use crate::authority::policy::Role;
use crate::base::error::{Code, Error, Reader, Result};
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::database::schema::members;
use crate::database::{Transaction, now};
use crate::membership::seats::{self, Seats};

/// Fails with ONE_ORGANIZATION where the deployment allows one per user (D3) and the user has one. The user's row is locked.
pub(crate) async fn require_room_for_another(
    transaction: &mut Transaction,
    user_id: UserId,
    reader: Reader,
    field: &str,
) -> Result<()> {
    if transaction.deployment().one_organization_per_user && user::team_memberships(transaction, user_id).await? > 0 {
        let message = match reader {
            Reader::Themselves => {
                "you belong to an organization, and here one belongs to one at a time; leave it first"
            }
            Reader::Another => {
                "they belong to another organization by now, and here one belongs to one at a time; they must leave it first"
            }
        };
        return Err(Error::refused(Code::OneOrganization, field, message));
    }
    Ok(())
}

/// What a joining brings.
pub(crate) struct Join {
    pub user_id: UserId,
    pub organization_id: OrganizationId,
    pub role: Role,
    pub permissions: Permissions,
    pub via: JoinMethod,
}

impl Join {
    /// Who reads why it is refused: whom staff let in doesn't ask for it.
    fn reader(&self) -> Reader {
        match self.via {
            JoinMethod::Founder | JoinMethod::Invitation | JoinMethod::JoinCode => Reader::Themselves,
            JoinMethod::Staff => Reader::Another,
        }
    }
}

/// Makes a member, or the member of old active again with what the joining brings (R45); with the events of what it ended.
///
/// The user's and the organization's rows are locked.
pub(crate) async fn join(transaction: &mut Transaction, join: &Join, field: &str) -> Result<(MemberId, Vec<NewEvent>)> {
    let before: Option<(MemberId, MemberStatus)> = members::table
        .filter(members::organization_id.eq(join.organization_id))
        .filter(members::user_id.eq(join.user_id))
        .select((members::id, members::status))
        .first(&mut **transaction)
        .await
        .optional()?;
    match before {
        Some((_, MemberStatus::Active)) => {
            let message = match join.reader() {
                Reader::Themselves => "you belong to this organization already",
                Reader::Another => "they belong to this organization already",
            };
            return Err(Error::refused(Code::AlreadyMember, field, message));
        }
        // D6: a code isn't a way back in after a removal.
        Some((_, MemberStatus::Removed | MemberStatus::Deactivated)) if join.via == JoinMethod::JoinCode => {
            return Err(Error::refused(
                Code::Forbidden,
                field,
                "you were removed here; only a new invitation brings you back",
            ));
        }
        _ => {}
    }
    let user = user::require_living(transaction, join.user_id, field).await?;
    require_room_for_another(transaction, join.user_id, join.reader(), field).await?;
    // Another open invitation of the same person, by address or username, has no purpose any more.
    let reason = "the invited person joined by another way";
    let events =
        crate::membership::invitation::revoke_to(transaction, None, join.organization_id, &user, reason).await?;
    let seats = match join.via {
        JoinMethod::Invitation => Seats::Invited,
        JoinMethod::JoinCode => Seats::Joining,
        JoinMethod::Founder | JoinMethod::Staff => Seats::More(1),
    };
    seats::require_seats(transaction, join.organization_id, seats, field).await?;
    let at = now(transaction).await?;
    let values = (
        members::role.eq(join.role),
        members::status.eq(MemberStatus::Active),
        join.permissions,
        members::joined_at.eq(at),
        members::joined_via.eq(join.via),
    );
    if let Some((id, _)) = before {
        diesel::update(members::table.find(id)).set(values).execute(&mut **transaction).await?;
        return Ok((id, events));
    }
    let id = MemberId::new();
    diesel::insert_into(members::table)
        .values((
            members::id.eq(id),
            members::organization_id.eq(join.organization_id),
            members::user_id.eq(join.user_id),
            values,
        ))
        .execute(&mut **transaction)
        .await?;
    Ok((id, events))
}
