//! Invitations of email addresses to resources. What is shared with an address waits until somebody signs in with it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};
use serde_json::json;

use crate::account::user;
use crate::authority::access;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::issued::Issued;
use crate::authority::resource_access::{self, Giver, OWN_COUNTS};
use crate::authority::rights::AccessLevel;
use crate::base::attached::Attached;
use crate::base::error::Result;
use crate::base::id::{GrantId, GrantInvitationId, OrganizationId, ResourceId, UserId};
use crate::base::sql::statement;
use crate::base::text::EmailAddress;
use crate::database::schema::{grant_invitations, users};
use crate::database::{Database, Transaction, now};

/// An email address that gets a grant once somebody signs in with it.
#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = grant_invitations)]
pub struct GrantInvitation {
    /// The invitation's id.
    pub id: GrantInvitationId,
    /// The organization that holds the resource.
    pub organization_id: OrganizationId,
    /// The shared resource.
    pub resource_id: ResourceId,
    /// The email address.
    pub email: EmailAddress,
    /// The level of access that the grant will give.
    pub level: AccessLevel,
    /// The user who shared the resource; `None` for the platform.
    pub invited_by_id: Option<UserId>,
    /// When the resource was shared.
    pub created_at: DateTime<Utc>,
    /// When the invitation expires.
    pub expires_at: DateTime<Utc>,
}

impl Attached for GrantInvitation {
    type Id = GrantInvitationId;
    type Parent = ResourceId;
    const TABLE: &'static str = "grant_invitations";
    const PARENT: &'static str = "resource_id";
    fn condition() -> String {
        Issued::GrantInvitation.open()
    }
    fn id(&self) -> GrantInvitationId {
        self.id
    }
    fn parent(&self) -> ResourceId {
        self.resource_id
    }
}

statement! {
    struct HoldAddress<'a> { email: Text = &'a EmailAddress } =
        "SELECT pg_advisory_xact_lock(hashtextextended('grant_invitations ' || :email, 0))"
}

/// Locks an address until the commit. This serializes inviting the address and making it an account's, so that neither
/// misses the other.
pub(crate) async fn hold_address(transaction: &mut Transaction, email: &EmailAddress) -> Result<()> {
    HoldAddress { email }.query().execute(&mut **transaction).await?;
    Ok(())
}

statement! {
    struct TakeUp<'a> {
        ids: Array<SqlUuid> = Vec<GrantId>,
        organizations: Array<SqlUuid> = Vec<OrganizationId>,
        resources: Array<SqlUuid> = Vec<ResourceId>,
        levels: Array<Text> = Vec<AccessLevel>,
        inviters: Array<Nullable<SqlUuid>> = Vec<Option<UserId>>,
        user_id: SqlUuid = UserId,
        at: Timestamptz = DateTime<Utc>,
        named_as: Nullable<Text> = Option<&'a str>,
    } = format!(include_str!("take_up.sql"), own_counts = OWN_COUNTS)
}

/// A level on a resource that somebody gave to a person who takes it up now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferedGrant {
    /// The organization that holds the resource.
    pub organization_id: OrganizationId,
    /// The resource.
    pub resource_id: ResourceId,
    /// The level.
    pub level: AccessLevel,
    /// The user who gave it, who must still have the right to; `None` for the platform.
    pub granted_by_id: Option<UserId>,
}

/// A grant that was created or raised because a person took it up.
#[derive(Debug, QueryableByName)]
pub(crate) struct AcceptedGrant {
    #[diesel(sql_type = SqlUuid)]
    id: GrantId,
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    /// The resource.
    #[diesel(sql_type = SqlUuid)]
    pub resource_id: ResourceId,
    #[diesel(sql_type = Text)]
    level: AccessLevel,
    #[diesel(sql_type = Bool)]
    is_new: bool,
}

impl AcceptedGrant {
    /// The event that the person took the grant up.
    pub(crate) fn event(&self, user_id: UserId) -> NewEvent {
        let action = if self.is_new { AuditAction::GrantCreated } else { AuditAction::GrantChanged };
        NewEvent::by_user(user_id, self.organization_id, action, self.id)
            .summary(format!("took up what was shared: {}", self.level))
            .about(user_id)
            .with(json!({
                "resourceIds": [self.resource_id.to_string()], "grantIds": [self.id.to_string()],
                "grantee": user_id.to_string(), "level": self.level.as_str(),
            }))
    }
}

/// Gives a person what was offered to them, with one statement. A level that they have already is raised, and never
/// lowered. Nothing is given to active members on what they own.
pub(crate) async fn give(
    transaction: &mut Transaction,
    user_id: UserId,
    named_as: Option<&str>,
    offered: &[OfferedGrant],
) -> Result<Vec<AcceptedGrant>> {
    let taken = TakeUp {
        ids: offered.iter().map(|_| GrantId::new()).collect(),
        organizations: offered.iter().map(|offer| offer.organization_id).collect(),
        resources: offered.iter().map(|offer| offer.resource_id).collect(),
        levels: offered.iter().map(|offer| offer.level).collect(),
        inviters: offered.iter().map(|offer| offer.granted_by_id).collect(),
        user_id,
        at: now(transaction).await?,
        named_as,
    };
    Ok(taken.query().load(&mut **transaction).await?)
}

/// Gives an account what was shared with its address, if the users who shared it still have the right to. Returns the
/// events to record. It takes a constant number of statements however much was shared, since it is part of creating an
/// account and of signing in.
pub(crate) async fn take_up(
    transaction: &mut Transaction,
    user_id: UserId,
    email: &EmailAddress,
) -> Result<Vec<NewEvent>> {
    hold_address(transaction, email).await?;
    let at = now(transaction).await?;
    // What somebody shared whose account is suspended waits until that is lifted, or it expires.
    let suspended_inviter = users::table
        .filter(users::id.nullable().eq(grant_invitations::invited_by_id))
        .filter(users::suspended_at.is_not_null());
    let waiting = grant_invitations::table
        .filter(grant_invitations::email.eq(email))
        .filter(diesel::dsl::not(diesel::dsl::exists(suspended_inviter)));
    let waiting: Vec<(GrantInvitation, bool)> = diesel::delete(waiting)
        .returning((GrantInvitation::as_returning(), Issued::GrantInvitation.stands()))
        .get_results(&mut **transaction)
        .await?;
    let mut waiting: Vec<GrantInvitation> =
        waiting.into_iter().filter(|(_, stands)| *stands).map(|(invitation, _)| invitation).collect();
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let giver = |invitation: &GrantInvitation| Giver {
        user_id: invitation.invited_by_id,
        resource_id: invitation.resource_id,
        organization_id: invitation.organization_id,
    };
    let givers: Vec<Giver> = waiting.iter().map(giver).collect();
    let rightful = resource_access::rightful(transaction, &givers).await?;
    waiting.retain(|invitation| invitation.expires_at > at && rightful.contains(&giver(invitation)));
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let offer = |invitation: &GrantInvitation| OfferedGrant {
        organization_id: invitation.organization_id,
        resource_id: invitation.resource_id,
        level: invitation.level,
        granted_by_id: invitation.invited_by_id,
    };
    let offered: Vec<OfferedGrant> = waiting.iter().map(offer).collect();
    let taken = give(transaction, user_id, Some(email.as_str()), &offered).await?;
    Ok(taken.iter().map(|grant| grant.event(user_id)).collect())
}

/// Gives an account what was shared with its address since it last signed in. For people who have been signed in all
/// the time.
pub(crate) async fn take_up_meanwhile(database: &Database, user_id: UserId) -> Result<()> {
    let waiting = users::table
        .inner_join(grant_invitations::table.on(users::email.eq(grant_invitations::email.nullable())))
        .filter(users::id.eq(user_id));
    let mut connection = database.connection().await?;
    let is_waiting: bool = diesel::select(diesel::dsl::exists(waiting)).get_result(&mut connection).await?;
    drop(connection);
    if !is_waiting {
        return Ok(());
    }
    database
        .transaction(async |transaction| {
            // A request waits for this.
            transaction.batch_execute("SET LOCAL lock_timeout = '500ms'").await?;
            access::lock_users(transaction, &[user_id]).await?;
            let Some(email) = user::by_id(transaction, user_id).await?.email else { return Ok(()) };
            let events = take_up(transaction, user_id, &email).await?;
            audit::record(transaction, events).await
        })
        .await
}

/// Deletes up to `limit` invitations to resources that have expired.
pub(crate) async fn prune(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let at = now(transaction).await?;
    let overdue: Vec<GrantInvitationId> = grant_invitations::table
        .filter(grant_invitations::expires_at.le(at))
        .order(grant_invitations::expires_at)
        .limit(limit.into())
        .select(grant_invitations::id)
        .for_update()
        .skip_locked()
        .load(&mut **transaction)
        .await?;
    diesel::delete(grant_invitations::table.filter(grant_invitations::id.eq_any(&overdue)))
        .execute(&mut **transaction)
        .await?;
    Ok(overdue.len())
}

/// Loads the invitation for its email. `None` if it has ended.
pub async fn invitation_by_id(
    connection: &mut AsyncPgConnection,
    id: GrantInvitationId,
) -> Result<Option<GrantInvitation>> {
    Ok(grant_invitations::table
        .find(id)
        .filter(Issued::GrantInvitation.stands())
        .select(GrantInvitation::as_select())
        .first(connection)
        .await
        .optional()?)
}
