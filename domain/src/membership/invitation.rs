//! Invitations by email address or username, with a role. They last for some days, and the email lets a new person
//! register (R16–R25).

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
use crate::base::sql::{FixedSql, Prepare as _, statement};
use crate::base::text::EmailAddress;
use crate::base::text_enum::text_enum;
use crate::database::schema::{invitations, organizations};
use crate::database::{Database, Transaction, rollcall_now};

text_enum! {
    /// The status of an invitation.
    InvitationStatus {
        /// It is waiting for an answer.
        Pending = "pending",
        /// It was accepted and created a membership.
        Accepted = "accepted",
        /// The invited person declined.
        Declined = "declined",
        /// It was revoked.
        Revoked = "revoked",
        /// It expired.
        Expired = "expired",
    }
}

/// An invitation.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = invitations)]
pub struct Invitation {
    /// The invitation's id.
    pub id: InvitationId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The address, unless the person was invited by username.
    pub email: Option<EmailAddress>,
    /// The account, if the person was invited by username.
    pub user_id: Option<UserId>,
    /// The name that the inviter gave the person.
    pub name: Option<String>,
    /// The inviter's own words to the person.
    pub message: Option<String>,
    /// The role that the invitation gives.
    pub role: Role,
    /// Whether the member may bill to the organization.
    pub billable_activities: bool,
    /// Whether they may use apps that are shared with the organization.
    pub shared_apps: bool,
    /// The highest level that they get from projects shared with the organization.
    pub shared_projects: AccessLevel,
    /// The inviter.
    pub invited_by_id: Option<UserId>,
    /// The status. An invitation that ended together with its inviter is revoked even before the worker has marked it.
    #[diesel(select_expression = status_now(), select_expression_type = FixedSql<Text>)]
    pub status: InvitationStatus,
    /// The version of the only token that is valid.
    pub token_version: i32,
    /// The status of the email's delivery.
    pub delivery: DeliveryStatus,
    /// The mail server's response, if it refused the email.
    pub delivery_error: Option<String>,
    /// When the invitation was created.
    pub created_at: DateTime<Utc>,
    /// When it was created or last sent again.
    pub sent_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

fn status_now() -> FixedSql<Text> {
    Issued::Invitation.status("pending", "revoked")
}

impl Invitation {
    /// The permissions that the invitation gives.
    pub fn permissions(&self) -> Permissions {
        Permissions {
            billable_activities: self.billable_activities,
            shared_apps: self.shared_apps,
            shared_projects: self.shared_projects,
        }
    }

    /// The status at a time. An invitation that is past its expiry is expired, whether or not the worker has marked it.
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

/// Proof that a user accepted an invitation, which is thereby used up. Only [`accept`] creates one.
#[derive(Debug)]
pub(crate) struct AcceptedInvitation {
    user_id: UserId,
    organization_id: OrganizationId,
    role: Role,
    permissions: Permissions,
}

impl AcceptedInvitation {
    /// The user who accepted the invitation.
    pub(super) fn user_id(&self) -> UserId {
        self.user_id
    }

    /// The organization of the invitation.
    pub(super) fn organization_id(&self) -> OrganizationId {
        self.organization_id
    }

    /// The role that the invitation gives.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The permissions that the invitation gives.
    pub(super) fn permissions(&self) -> Permissions {
        self.permissions
    }
}

/// Stores the answer to an invitation. Returns `false` if it isn't open any more, or if its link was replaced.
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
    .prepared()
    .execute(&mut **transaction)
    .await?;
    Ok(answered > 0)
}

/// Uses up the invitation for a user, in the version that was read. Returns `None` if it can't be accepted any more.
/// The caller must have checked that the invitation is for this user.
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

/// Returns the token for the link in an invitation's email.
pub fn link_token(database: &Database, invitation: &Invitation) -> Result<Token> {
    database.keyring().link_token(Purpose::Invitation, invitation.id.uuid(), invitation.token_version)
}

/// Returns the invitation with an id without checking access, for its email and its expiry.
pub async fn by_id(connection: &mut AsyncPgConnection, id: InvitationId) -> Result<Option<Invitation>> {
    Ok(invitations::table.find(id).select(Invitation::as_select()).first(connection).await.optional()?)
}

/// Revokes the organization's open invitations to a person, and returns events with the given reason: the person
/// departs (R42), or has joined in another way. Without an actor, the events record Rollcall itself as the actor.
pub(crate) async fn revoke_to(
    transaction: &mut Transaction,
    actor: Option<&Actor>,
    organization_id: OrganizationId,
    user: &User,
    reason: &str,
) -> Result<Vec<NewEvent>> {
    let revoked = revoke_all_to(transaction, organization_id, &[user.id], user.email.as_slice()).await?;
    Ok(revoked
        .into_iter()
        .map(|id| match actor {
            Some(actor) => NewEvent::by(actor, organization_id, AuditAction::InvitationRevoked, id),
            None => NewEvent::by_system(organization_id, AuditAction::InvitationRevoked, id),
        })
        .map(|event| event.summary(reason))
        .collect())
}

/// Revokes the organization's open invitations to people, by their accounts' ids and addresses, and returns the
/// invitations' ids.
pub(super) async fn revoke_all_to(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    user_ids: &[UserId],
    emails: &[EmailAddress],
) -> Result<Vec<InvitationId>> {
    Ok(diesel::update(
        invitations::table
            .filter(invitations::organization_id.eq(organization_id))
            .filter(invitations::status.eq(InvitationStatus::Pending))
            .filter(invitations::email.eq_any(emails).or(invitations::user_id.eq_any(user_ids))),
    )
    .set(invitations::status.eq(InvitationStatus::Revoked))
    .returning(invitations::id)
    .prepared()
    .get_results(&mut **transaction)
    .await?)
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

/// Marks an invitation as expired if its time is over. The worker calls this (R23).
pub async fn expire(database: &Database, id: InvitationId, claim: JobClaim<'_>) -> Result<()> {
    expiry::expire::<Invitation>(database, id, claim).await
}

/// Marks overdue invitations as expired, and those that ended together with their inviter as revoked. Returns the
/// events to record.
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
    .prepared()
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

/// Marks the delivery of up to `limit` emails as failed that nobody will send any more: the time for retries is over,
/// and their jobs were lost because a process died during each attempt. Returns how many.
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

/// Records the status of the email's delivery, unless the invitation has been sent again since.
pub async fn set_delivery(
    connection: &mut AsyncPgConnection,
    id: InvitationId,
    token_version: i32,
    delivery: DeliveryStatus,
    error: Option<&str>,
) -> Result<()> {
    diesel::update(invitations::table.find(id).filter(invitations::token_version.eq(token_version)))
        .set((invitations::delivery.eq(delivery), invitations::delivery_error.eq(error)))
        .prepared()
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns those of the invitations that the actor may see, because they may invite for the organization or are the
/// invited person.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[InvitationId],
) -> Result<Vec<Invitation>> {
    let person = match actor.session() {
        // A key reaches only its organization, not the organizations to which its person is invited.
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

/// Returns a page of an organization's invitations, oldest first.
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

/// Counts the invitations that [`list`] returns over all pages.
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
/// one that has ended as revoked, whether or not the worker has marked it. The unmarked ones, which are few, are read
/// first, so that an invitation that is marked meanwhile isn't missed.
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

/// Returns a page of the open invitations to an account, oldest first.
pub async fn list_to(connection: &mut AsyncPgConnection, user: &User, page: &PageRequest) -> Result<Page<Invitation>> {
    let slice = page.slice()?;
    let query = to_user(user).select(Invitation::as_select());
    let rows = by_id!(query, slice, invitations::id).load(connection).await?;
    slice.page(rows, |invitation: &Invitation| invitation.id)
}

/// Counts the open invitations to an account.
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
        // The invitations of a deleted organization are paused (R48).
        .filter(diesel::dsl::exists(
            organizations::table
                .filter(organizations::id.eq(invitations::organization_id))
                .filter(organizations::deleted_at.is_null()),
        ))
}

/// The reason why an invitation can't be answered any more, if there is one.
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
