//! The removal of a collaborator: everything that is granted to them in an organization ends at once (R67).

use diesel::prelude::*;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::{grant_invitation, user};
use crate::authority::access::{self, Lock};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::issued::{self, EndedWith};
use crate::authority::membership::MemberStatus;
use crate::authority::rights::Action;
use crate::base::error::{Code, Error, Result};
use crate::base::id::{CollaboratorId, GrantId, GrantInvitationId, OrganizationId, TeamId, UserId};
use crate::base::limits;
use crate::base::sql::statement;
use crate::base::text::EmailAddress;
use crate::database::schema::{grant_invitations, grants, members};
use crate::database::{Database, Transaction};
use crate::membership::collaborator::GRANTS_LOCK;
use crate::membership::{collaborator, team};

statement! {
    /// Keeps out whoever grants something to the person, until the commit.
    struct HoldGrants {
        organization_id: SqlUuid = OrganizationId,
        user_id: SqlUuid = UserId,
    } = format!("SELECT pg_advisory_xact_lock({GRANTS_LOCK})")
}

/// Ends everything that is granted to a collaborator here, in one transaction: grants to them, dormant ones included,
/// their places in teams, invitations of their address to resources, and what they issued (R67, as R42). Returns the
/// number of grants. The person is named by the account's id or by that of their placeholder
/// ([`collaborator::account`]).
///
/// # Errors
///
/// NOT_FOUND or FORBIDDEN on `organizationId` if the actor isn't the owner or an admin; on `userId`, NOT_FOUND if
/// that person is no collaborator, and ALREADY_MEMBER if they are a member.
pub async fn remove(
    database: &Database,
    actor: &Actor,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<usize> {
    database
        .transaction(async |transaction| {
            let user_id = collaborator::account(transaction, organization_id, user_id).await?;
            // Whoever becomes a member, or takes up what was shared with their address, locks the account too.
            access::lock_users(transaction, &[user_id]).await?;
            access::authorize(
                transaction,
                actor,
                organization_id,
                Lock::Organization,
                Action::ViewAllResources,
                "organizationId",
            )
            .await?;
            let not_found =
                || Error::refused(Code::NotFound, "userId", "this person isn't a collaborator of the organization");
            let user = user::by_ids(transaction, &[user_id]).await?.pop().ok_or_else(not_found)?;
            let membership: Option<(MemberStatus, i64)> = members::table
                .filter(members::organization_id.eq(organization_id))
                .filter(members::user_id.eq(user_id))
                .select((members::status, members::ended_at_position))
                .first(&mut **transaction)
                .await
                .optional()?;
            if membership.is_some_and(|(status, _)| status == MemberStatus::Active) {
                let message = "is a member of the organization; use removeMember or deactivateMember";
                return Err(Error::refused(Code::AlreadyMember, "userId", message));
            }
            let mut events = match &user.email {
                Some(email) => revoke_invitations(transaction, actor, organization_id, email).await?,
                None => Vec::new(),
            };
            HoldGrants { organization_id, user_id }.query().execute(&mut **transaction).await?;
            let ended: Vec<(GrantId, i64)> = diesel::delete(
                grants::table.filter(grants::organization_id.eq(organization_id)).filter(grants::user_id.eq(user_id)),
            )
            .returning((grants::id, grants::position))
            .get_results(&mut **transaction)
            .await?;
            let teams = team::leave_all(transaction, organization_id, user_id).await?;
            // Grants from before the membership ended are dormant, and make nobody a collaborator.
            let from = membership.map_or(0, |(_, ended_at)| ended_at);
            if teams.is_empty() && ended.iter().all(|(_, position)| membership.is_some() && *position <= from) {
                return Err(not_found());
            }
            let id = id_of(transaction, organization_id, user_id).await?;
            let with = EndedWith::Collaboration { id, organization_id, user_id };
            loop {
                let (marked, more) = issued::mark(transaction, with, limits::CASCADE_CHUNK).await?;
                events.extend(more);
                if marked < limits::CASCADE_CHUNK {
                    break;
                }
            }
            events.extend(removed(actor, organization_id, user_id, id, &ended, &teams));
            audit::record(transaction, events).await?;
            Ok(ended.len())
        })
        .await
}

/// The events of a removal. Each names a limited number of grants.
fn removed(
    actor: &Actor,
    organization_id: OrganizationId,
    user_id: UserId,
    id: CollaboratorId,
    ended: &[(GrantId, i64)],
    teams: &[TeamId],
) -> Vec<NewEvent> {
    let grants: Vec<String> = ended.iter().map(|(id, _)| id.to_string()).collect();
    let teams: Vec<String> = teams.iter().map(ToString::to_string).collect();
    let none = [Vec::new()];
    let chunks: Vec<&[String]> = match grants.is_empty() {
        true => none.iter().map(Vec::as_slice).collect(),
        false => grants.chunks(limits::AUDIT_IDS).collect(),
    };
    let event = |(number, grants): (usize, &[String])| {
        let mut event = NewEvent::by(actor, organization_id, AuditAction::CollaboratorRemoved, id)
            .summary(format!("removed a collaborator: {} grant(s) ended", ended.len()))
            .about(user_id)
            .with(json!({ "grantIds": grants }));
        if number == 0 && !teams.is_empty() {
            event = event.with(json!({ "teamIds": teams }));
        }
        event
    };
    chunks.into_iter().enumerate().map(event).collect()
}

/// Revokes the invitations of an address to resources of an organization.
async fn revoke_invitations(
    transaction: &mut Transaction,
    actor: &Actor,
    organization_id: OrganizationId,
    email: &EmailAddress,
) -> Result<Vec<NewEvent>> {
    grant_invitation::hold_address(transaction, email).await?;
    let revoked: Vec<GrantInvitationId> = diesel::delete(
        grant_invitations::table
            .filter(grant_invitations::organization_id.eq(organization_id))
            .filter(grant_invitations::email.eq(email)),
    )
    .returning(grant_invitations::id)
    .get_results(&mut **transaction)
    .await?;
    let event = |id| {
        NewEvent::by(actor, organization_id, AuditAction::GrantInvitationRevoked, id)
            .summary("took an invitation to a resource back: the person was removed as a collaborator")
    };
    Ok(revoked.into_iter().map(event).collect())
}

statement! {
    struct IdOf {
        organization_id: SqlUuid = OrganizationId,
        user_id: SqlUuid = UserId,
    } = "SELECT collaborator_id(:organization_id, :user_id) AS id"
}

async fn id_of(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<CollaboratorId> {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = SqlUuid)]
        id: CollaboratorId,
    }
    let found: Id = IdOf { organization_id, user_id }.query().get_result(&mut **transaction).await?;
    Ok(found.id)
}
