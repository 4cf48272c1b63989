//! Invitations: by address or username, with a role, for some days; the mail is a pre-registration (R16–R25).

use apalis_diesel::Job;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::account::user::{self, User};
use crate::authority::access::{self, Permit};
use crate::authority::actor::Actor;
use crate::authority::audit::{AuditAction, NewEvent};
use crate::authority::expiry::{self, Expiring};
use crate::authority::issued::Issued;
use crate::authority::permissions::Permissions;
use crate::authority::rights::{AccessLevel, Action, Role};
use crate::base::delivery::DeliveryStatus;
use crate::base::error::{Code, Refusal, Result};
use crate::base::id::{InvitationId, OrganizationId, TypedId, UserId};
use crate::base::job::{JobClaim, MailInvitation};
use crate::base::limits;
use crate::base::page::{Page, PageRequest, by_id};
use crate::base::secret::{Purpose, Token};
use crate::base::sql::{FixedSql, statement};
use crate::base::text::EmailAddress;
use crate::base::text_enum::text_enum;
use crate::database::schema::{invitations, organizations};
use crate::database::{Database, Transaction, rollcall_now};

text_enum! {
    /// Where an invitation stands.
    InvitationStatus {
        /// It waits for an answer.
        Pending = "pending",
        /// It made a membership.
        Accepted = "accepted",
        /// The invited person declined.
        Declined = "declined",
        /// It was taken back.
        Revoked = "revoked",
        /// Its time ran out.
        Expired = "expired",
    }
}

/// An invitation.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = invitations)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// To which organization.
    pub organization_id: OrganizationId,
    /// The address, unless the person was invited by username.
    pub email: Option<EmailAddress>,
    /// The account, where the person was invited by username.
    pub user_id: Option<UserId>,
    /// What the inviter called the person.
    pub name: Option<String>,
    /// The role that it gives.
    pub role: Role,
    /// Bill to the organization.
    pub billable_activities: bool,
    /// Use apps shared with it.
    pub shared_apps: bool,
    /// What one gets at most from projects shared with it.
    pub shared_projects: AccessLevel,
    /// Who invited.
    pub invited_by_id: UserId,
    /// Where it stands, which may have ended with who invited before anybody wrote that down.
    #[diesel(select_expression = status_now(), select_expression_type = FixedSql<Text>)]
    pub status: InvitationStatus,
    /// Which token is alive.
    pub token_version: i32,
    /// What became of the mail.
    pub delivery: DeliveryStatus,
    /// The mail server's words where it refused.
    pub delivery_error: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was made or last sent again.
    pub sent_at: DateTime<Utc>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

fn status_now() -> FixedSql<Text> {
    Issued::Invitation.status("pending", "revoked")
}

impl Invitation {
    /// The permissions that it gives.
    pub fn permissions(&self) -> Permissions {
        Permissions {
            billable_activities: self.billable_activities,
            shared_apps: self.shared_apps,
            shared_projects: self.shared_projects,
        }
    }

    /// Its status at a time: one that is past its time is expired, whether or not the worker has marked it.
    pub fn status_at(&self, at: DateTime<Utc>) -> InvitationStatus {
        if self.status == InvitationStatus::Pending && self.expires_at <= at {
            InvitationStatus::Expired
        } else {
            self.status
        }
    }

    pub(super) fn is_for(&self, user: &User) -> bool {
        self.user_id == Some(user.id) || self.email.is_some() && self.email == user.email
    }
}

/// Proof that an invitation was accepted by somebody, and is used up; only [`accept`] makes one.
#[derive(Debug)]
pub(crate) struct AcceptedInvitation {
    user_id: UserId,
    organization_id: OrganizationId,
    role: Role,
    permissions: Permissions,
}

impl AcceptedInvitation {
    /// Who accepted it.
    pub(super) fn user_id(&self) -> UserId {
        self.user_id
    }

    /// To which organization.
    pub(super) fn organization_id(&self) -> OrganizationId {
        self.organization_id
    }

    /// The role that it gives.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The permissions that it gives.
    pub(super) fn permissions(&self) -> Permissions {
        self.permissions
    }
}

/// Writes the answer to an invitation; false where it isn't open any more, or its link was replaced.
pub(super) async fn answer(
    transaction: &mut Transaction,
    invitation: &Invitation,
    answer: InvitationStatus,
) -> Result<bool> {
    let answered = diesel::update(
        invitations::table
            .find(invitation.id)
            .filter(invitations::status.eq(InvitationStatus::Pending))
            .filter(invitations::token_version.eq(invitation.token_version))
            .filter(invitations::expires_at.gt(rollcall_now()))
            .filter(Issued::Invitation.stands()),
    )
    .set(invitations::status.eq(answer))
    .execute(&mut **transaction)
    .await?;
    Ok(answered > 0)
}

/// Uses the invitation up for a user, as it was read; none where it can't be accepted any more. Whoever calls this
/// knows that the user is whom the invitation is for.
pub(super) async fn accept(
    transaction: &mut Transaction,
    invitation: &Invitation,
    user_id: UserId,
) -> Result<Option<AcceptedInvitation>> {
    let is_taken = answer(transaction, invitation, InvitationStatus::Accepted).await?;
    Ok(is_taken.then(|| AcceptedInvitation {
        user_id,
        organization_id: invitation.organization_id,
        role: invitation.role,
        permissions: invitation.permissions(),
    }))
}

/// The token of an invitation's link, for its mail.
pub fn link_token(database: &Database, invitation: &Invitation) -> Result<Token> {
    database.keyring().link_token(Purpose::Invitation, invitation.id.uuid(), invitation.token_version)
}

/// The invitation of an id, whoever asks: for its mail and its expiry.
pub async fn by_id(connection: &mut AsyncPgConnection, id: InvitationId) -> Result<Option<Invitation>> {
    Ok(invitations::table.find(id).select(Invitation::as_select()).first(connection).await.optional()?)
}

/// Revokes the organization's open invitations to a person, for the reason that the events give: who departs (R42), or
/// who is in by another way. Without an actor it is a consequence of what the person did.
pub(crate) async fn revoke_to(
    transaction: &mut Transaction,
    actor: Option<&Actor>,
    organization_id: OrganizationId,
    user: &User,
    reason: &str,
) -> Result<Vec<NewEvent>> {
    let revoked: Vec<InvitationId> = diesel::update(
        invitations::table
            .filter(invitations::organization_id.eq(organization_id))
            .filter(invitations::status.eq(InvitationStatus::Pending))
            .filter(invitations::email.eq(user.email.as_ref()).or(invitations::user_id.eq(user.id))),
    )
    .set(invitations::status.eq(InvitationStatus::Revoked))
    .returning(invitations::id)
    .get_results(&mut **transaction)
    .await?;
    Ok(revoked
        .into_iter()
        .map(|id| match actor {
            Some(actor) => NewEvent::by(actor, organization_id, AuditAction::InvitationRevoked, id),
            None => NewEvent::by_system(organization_id, AuditAction::InvitationRevoked, id),
        })
        .map(|event| event.summary(reason))
        .collect())
}

impl Expiring for Invitation {
    type Id = InvitationId;

    async fn lock_overdue(transaction: &mut Transaction, at: DateTime<Utc>, limit: u32) -> Result<Vec<InvitationId>> {
        Ok(expiry::overdue!(invitations, InvitationStatus::Pending, at, limit).load(&mut **transaction).await?)
    }

    async fn mark_over(transaction: &mut Transaction, ids: &[InvitationId]) -> Result<Vec<NewEvent>> {
        mark_over(transaction, ids).await
    }
}

/// Marks an invitation expired, if its time is over; the worker's part of the expiry (R23).
pub async fn expire(database: &Database, id: InvitationId, claim: JobClaim<'_>) -> Result<()> {
    expiry::expire::<Invitation>(database, id, claim).await
}

/// Marks those of the invitations whose time is over expired, and those that have ended with who invited revoked; with
/// the events to record.
pub(super) async fn mark_over(transaction: &mut Transaction, ids: &[InvitationId]) -> Result<Vec<NewEvent>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let over: Vec<(InvitationId, OrganizationId, InvitationStatus)> = diesel::update(
        invitations::table
            .filter(invitations::id.eq_any(ids))
            .filter(invitations::status.eq(InvitationStatus::Pending))
            .filter(invitations::expires_at.le(rollcall_now()).or(Issued::Invitation.has_ended())),
    )
    .set(invitations::status.eq(Issued::Invitation.over("revoked", "expired")))
    .returning((invitations::id, invitations::organization_id, invitations::status))
    .get_results(&mut **transaction)
    .await?;
    let events = over.into_iter().map(|(id, organization_id, status)| match status {
        InvitationStatus::Revoked => NewEvent::by_system(organization_id, AuditAction::InvitationRevoked, id)
            .summary("revoked: its issuer may not issue it any more"),
        _ => NewEvent::by_system(organization_id, AuditAction::InvitationExpired, id)
            .summary("nobody took the invitation in time"),
    });
    Ok(events.collect())
}

statement! {
    struct SweepUnsent {
        queue: Text = &'static str,
        kind: Text = &'static str,
        seconds: Double = f64,
        most: BigInt = i64,
        error: Text = &'static str,
    } = include_str!("sweep_unsent.sql")
}

/// Marks up to `limit` mails failed that nobody will send any more: their day is over, and their jobs are lost, since a
/// process died with each of their tries. Returns how many.
pub(crate) async fn sweep_unsent(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let unsent = SweepUnsent {
        queue: MailInvitation::QUEUE,
        kind: MailInvitation::KIND,
        seconds: (limits::MAIL_TRIED_FOR + limits::LONGEST_MAIL_PAUSE).as_secs_f64(),
        most: limit.into(),
        error: "the mail could not be sent for a day; send the invitation again",
    };
    Ok(unsent.query().execute(&mut **transaction).await?)
}

/// Writes down what became of the mail, unless a resend has overtaken it.
pub async fn set_delivery(
    connection: &mut AsyncPgConnection,
    id: InvitationId,
    token_version: i32,
    delivery: DeliveryStatus,
    error: Option<&str>,
) -> Result<()> {
    diesel::update(invitations::table.find(id).filter(invitations::token_version.eq(token_version)))
        .set((invitations::delivery.eq(delivery), invitations::delivery_error.eq(error)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Those of the ids that the actor may see: as an inviter of their organization, or as whom they are for.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[InvitationId],
) -> Result<Vec<Invitation>> {
    let person = match actor.session() {
        // A key reaches its one organization, not those that its person is invited to.
        Some((user_id, _)) => Some(user::by_id(connection, user_id).await?),
        None => None,
    };
    let found: Vec<Invitation> =
        invitations::table.filter(invitations::id.eq_any(ids)).select(Invitation::as_select()).load(connection).await?;
    let permits = access::permits(connection, actor, found.iter().map(|invitation| invitation.organization_id)).await?;
    let organizations: Vec<OrganizationId> = found.iter().map(|invitation| invitation.organization_id).collect();
    let living: Vec<OrganizationId> = organizations::table
        .filter(organizations::id.eq_any(organizations))
        .filter(organizations::deleted_at.is_null())
        .select(organizations::id)
        .load(connection)
        .await?;
    let may_see = |invitation: &Invitation| {
        let invites =
            permits.get(&invitation.organization_id).is_some_and(|permit| permit.standing().allows(Action::Invite));
        let is_living = living.contains(&invitation.organization_id);
        invites || is_living && person.as_ref().is_some_and(|person| invitation.is_for(person))
    };
    Ok(found.into_iter().filter(may_see).collect())
}

/// A page of an organization's invitations, oldest first.
pub async fn list(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    status: Option<InvitationStatus>,
    page: &PageRequest,
) -> Result<Page<Invitation>> {
    permit.require(Action::Invite)?;
    let slice = page.slice()?;
    let mut rows: Vec<Invitation> = Vec::new();
    for range in of_organization(permit.organization_id(), status) {
        rows.extend(by_id!(range.select(Invitation::as_select()), slice, invitations::id).load(connection).await?);
    }
    let rows = slice.merge(rows, |invitation| invitation.id);
    slice.page(rows, |invitation: &Invitation| invitation.id)
}

/// How many invitations [`list`] would give in all.
pub async fn count(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    status: Option<InvitationStatus>,
) -> Result<i64> {
    permit.require(Action::Invite)?;
    let mut count = 0;
    for range in of_organization(permit.organization_id(), status) {
        count += range.select(diesel::dsl::count_star()).first::<i64>(connection).await?;
    }
    Ok(count)
}

type Query = diesel::helper_types::IntoBoxed<'static, invitations::table, diesel::pg::Pg>;

/// The organization's invitations with a status, as ranges of the index. An overdue invitation counts as expired, and
/// one that has ended as revoked, whether or not the worker has marked it: few of them wait to be marked, and these
/// come first, so that none that is just being marked is missed.
fn of_organization(organization_id: OrganizationId, status: Option<InvitationStatus>) -> Vec<Query> {
    let all = || invitations::table.into_boxed().filter(invitations::organization_id.eq(organization_id));
    let of = |status: InvitationStatus| all().filter(invitations::status.eq(status));
    let pending = || of(InvitationStatus::Pending);
    match status {
        None => vec![all()],
        Some(InvitationStatus::Pending) => vec![open_of(organization_id)],
        Some(status @ InvitationStatus::Expired) => {
            let overdue = pending().filter(invitations::expires_at.le(rollcall_now()));
            vec![overdue.filter(Issued::Invitation.stands()), of(status)]
        }
        Some(status @ InvitationStatus::Revoked) => {
            vec![pending().filter(Issued::Invitation.has_ended()), of(status)]
        }
        Some(status @ (InvitationStatus::Accepted | InvitationStatus::Declined)) => vec![of(status)],
    }
}

pub(super) fn open_of(organization_id: OrganizationId) -> Query {
    invitations::table
        .into_boxed()
        .filter(invitations::organization_id.eq(organization_id))
        .filter(invitations::status.eq(InvitationStatus::Pending))
        .filter(invitations::expires_at.gt(rollcall_now()))
        .filter(Issued::Invitation.stands())
}

/// A page of the open invitations to an account, oldest first.
pub async fn list_to(connection: &mut AsyncPgConnection, user: &User, page: &PageRequest) -> Result<Page<Invitation>> {
    let slice = page.slice()?;
    let query = to_user(user).select(Invitation::as_select());
    let rows = by_id!(query, slice, invitations::id).load(connection).await?;
    slice.page(rows, |invitation: &Invitation| invitation.id)
}

/// How many open invitations the account has.
pub async fn count_to(connection: &mut AsyncPgConnection, user: &User) -> Result<i64> {
    Ok(to_user(user).select(diesel::dsl::count_star()).first(connection).await?)
}

fn to_user(user: &User) -> Query {
    invitations::table
        .into_boxed()
        .filter(invitations::email.eq(user.email.clone()).or(invitations::user_id.eq(user.id)))
        .filter(invitations::status.eq(InvitationStatus::Pending))
        .filter(invitations::expires_at.gt(rollcall_now()))
        .filter(Issued::Invitation.stands())
        // Those of a deleted organization pause with it (R48).
        .filter(diesel::dsl::exists(
            organizations::table
                .filter(organizations::id.eq(invitations::organization_id))
                .filter(organizations::deleted_at.is_null()),
        ))
}

/// Why an invitation can't be answered any more.
pub(super) fn why_closed(invitation: &Invitation, at: DateTime<Utc>, field: &str) -> Option<Refusal> {
    let (code, message) = match invitation.status_at(at) {
        InvitationStatus::Pending => return None,
        InvitationStatus::Accepted => (Code::AlreadyUsed, "this invitation was already accepted"),
        InvitationStatus::Declined => (Code::AlreadyUsed, "this invitation was declined; ask for a new one"),
        InvitationStatus::Revoked => (Code::Revoked, "this invitation was taken back; ask for a new one"),
        InvitationStatus::Expired => (Code::Expired, "this invitation has expired; ask for a new one"),
    };
    Some(Refusal::new(code, field, message))
}
