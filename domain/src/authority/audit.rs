//! The audit log: one hash chain per organization, written by the transaction of the change (R74).
//!
//! What concerns an account alone goes to the log of its personal organization. Summaries and metadata hold ids and
//! settings, never addresses: the log outlives the people's data (R48). Those that people write into a reason or a
//! label are masked before they get there.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Jsonb, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::authority::access::{self, Permit};
use crate::authority::actor::{Actor, ActorKind};
use crate::authority::rights::Action;
use crate::authority::visibility;
use crate::base::error::Result;
use crate::base::id::{AuditEventId, OrganizationId, TypedId, UserId, WebhookId};
use crate::base::job::DeliverWebhook;
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::text;
use crate::base::text_enum::text_enum;
use crate::database::Transaction;
use crate::database::schema::{audit_events, members};

text_enum! {
    /// What can happen, as the log names it.
    AuditAction {
        /// An account was made.
        UserCreated = "user.created",
        /// Name, username or avatar changed.
        UserProfileUpdated = "user.profile_updated",
        /// A sign-in mail was asked for.
        UserSignInRequested = "user.sign_in_requested",
        /// Another address was asked for.
        UserEmailChangeRequested = "user.email_change_requested",
        /// The account has another address.
        UserEmailChanged = "user.email_changed",
        /// Another organization pays for new projects and apps.
        UserDefaultBillToSet = "user.default_bill_to_set",
        /// The account was deleted.
        UserDeleted = "user.deleted",
        /// A session began.
        UserSignedIn = "user.signed_in",
        /// A session was ended by its user.
        UserSignedOut = "user.signed_out",
        /// A session switched to another organization.
        UserOrganizationSwitched = "user.organization_switched",
        /// An organization suspended the account it had created.
        UserSuspended = "user.suspended",
        /// Another organization's invitation lifted a suspension.
        UserSuspensionLifted = "user.suspension_lifted",
        /// An organization began.
        OrganizationCreated = "organization.created",
        /// Staff gave the organization to another owner.
        OrganizationOwnerSet = "organization.owner_set",
        /// The owner handed the organization over to an admin.
        OrganizationOwnershipTransferred = "organization.ownership_transferred",
        /// The owner deleted the organization; staff can restore it for 30 days.
        OrganizationDeleted = "organization.deleted",
        /// Staff restored the organization.
        OrganizationRestored = "organization.restored",
        /// The organization's data was removed for good.
        OrganizationPurged = "organization.purged",
        /// The policy changed.
        OrganizationPolicyUpdated = "organization.policy_updated",
        /// Staff gave the organization a plan.
        OrganizationPlanSet = "organization.plan_set",
        /// Where the organization is billed changed.
        OrganizationBillingUpdated = "organization.billing_updated",
        /// Staff added credits that were bought.
        OrganizationCreditsAdded = "organization.credits_added",
        /// The profile changed.
        OrganizationUpdated = "organization.updated",
        /// Someone was invited.
        MemberInvited = "organization.member_invited",
        /// An invitation was sent again, under a new token.
        InvitationResent = "organization.invitation_resent",
        /// An invitation was taken back, or several ended with who invited or whom they were for.
        InvitationRevoked = "organization.invitation_revoked",
        /// The invited person declined.
        InvitationDeclined = "organization.invitation_declined",
        /// Nobody took the invitation in time.
        InvitationExpired = "organization.invitation_expired",
        /// Someone became a member.
        MemberJoined = "organization.member_joined",
        /// A member's role changed.
        MemberRoleChanged = "organization.member_role_changed",
        /// What a member may bill, and what they get from grants, changed.
        MemberPermissionsUpdated = "organization.member_permissions_updated",
        /// A member left.
        MemberLeft = "organization.member_left",
        /// A member was removed.
        MemberRemoved = "organization.member_removed",
        /// A member was deactivated.
        MemberDeactivated = "organization.member_deactivated",
        /// A removed or deactivated member was made active again.
        MemberReactivated = "organization.member_reactivated",
        /// Join codes were made.
        JoinCodesCreated = "organization.join_codes_created",
        /// A join code was taken back, or several ended with their maker.
        JoinCodeRevoked = "organization.join_code_revoked",
        /// Nobody used the code within its 24 hours.
        JoinCodeExpired = "organization.join_code_expired",
        /// A team was created.
        TeamCreated = "organization.team_created",
        /// A team's name, description or picture changed.
        TeamUpdated = "organization.team_updated",
        /// A team was deleted.
        TeamDeleted = "organization.team_deleted",
        /// Members were added to a team, or joined it by an invitation.
        TeamMembersAdded = "organization.team_members_added",
        /// Someone was taken out of a team.
        TeamMemberRemoved = "organization.team_member_removed",
        /// An API key was made.
        ApiKeyCreated = "organization.api_key_created",
        /// An API key was revoked.
        ApiKeyRevoked = "organization.api_key_revoked",
        /// A webhook was made.
        WebhookCreated = "organization.webhook_created",
        /// A webhook's URL or events changed, or it was enabled or disabled, or got a new secret.
        WebhookUpdated = "organization.webhook_updated",
        /// A webhook was disabled, since nobody took its deliveries.
        WebhookDisabled = "organization.webhook_disabled",
        /// A webhook was deleted.
        WebhookDeleted = "organization.webhook_deleted",
        /// Someone had an event delivered again.
        WebhookRedelivered = "organization.webhook_redelivered",
        /// A resource was created.
        ResourceCreated = "resource.created",
        /// A resource changed.
        ResourceUpdated = "resource.updated",
        /// A resource was deleted.
        ResourceDeleted = "resource.deleted",
        /// Resources were added to a collection.
        CollectionItemsAdded = "resource.collection_items_added",
        /// Resources were taken out of a collection.
        CollectionItemsRemoved = "resource.collection_items_removed",
        /// A resource was shared with a user, a team or an organization.
        GrantCreated = "grant.created",
        /// What is shared of a resource was raised or lowered.
        GrantChanged = "grant.changed",
        /// What was shared isn't any more.
        GrantRevoked = "grant.revoked",
        /// A resource was shared with an address, whether or not an account has it.
        GrantInvited = "grant.invited",
        /// The invitation of an address to a resource was taken back.
        GrantInvitationRevoked = "grant.invitation_revoked",
        /// A link to a collection was made.
        ShareLinkCreated = "share_link.created",
        /// A link to a collection was revoked.
        ShareLinkRevoked = "share_link.revoked",
        /// An app was published.
        AppPublished = "resource.app_published",
        /// A project was offered to somebody.
        TransferOffered = "transfer.offered",
        /// A project was accepted; the worker moves it.
        TransferAccepted = "transfer.accepted",
        /// The recipient declined a project.
        TransferDeclined = "transfer.declined",
        /// An offer of a project was taken back, or several ended with somebody concerned.
        TransferCancelled = "transfer.cancelled",
        /// Nobody answered the offer of a project in time.
        TransferExpired = "transfer.expired",
        /// A project was moved with what lies in it.
        TransferCompleted = "transfer.completed",
        /// A run was queued.
        RunQueued = "run.queued",
        /// A run was cancelled.
        RunCancelled = "run.cancelled",
        /// A chunk of a leaver's resources passed to the owner.
        DepartureResourcesMoved = "departure.resources_moved",
        /// A chunk of what was shared with a leaver is shared no longer.
        DepartureGrantsRemoved = "departure.grants_removed",
        /// A chunk of what a leaver had queued was cancelled.
        DepartureRunsCancelled = "departure.runs_cancelled",
        /// A cascade came to its end.
        DepartureCompleted = "departure.completed",
        /// Someone takes a departure back.
        DepartureReverting = "departure.reverting",
        /// A chunk of what had passed on went back.
        DepartureResourcesReturned = "departure.resources_returned",
        /// What could go back has gone back.
        DepartureReverted = "departure.reverted",
        /// A failed cascade was let go on.
        DepartureRetried = "departure.retried",
        /// A cascade was given up and waits for a retry.
        DepartureFailed = "departure.failed",
    }
}

/// An event to be written.
#[derive(Debug)]
pub(crate) struct NewEvent {
    id: AuditEventId,
    organization_id: OrganizationId,
    action: AuditAction,
    actor_kind: ActorKind,
    actor_id: Option<UserId>,
    target_id: String,
    summary: String,
    metadata: Value,
}

impl NewEvent {
    /// An event of an actor.
    pub(crate) fn by(
        actor: &Actor,
        organization_id: OrganizationId,
        action: AuditAction,
        target: impl TypedId + ToString,
    ) -> Self {
        let (kind, means) = match actor {
            Actor::User { .. } => (ActorKind::User, None),
            Actor::ApiKey { api_key_id, .. } => (ActorKind::ApiKey, Some(json!({ "api_key": api_key_id.to_string() }))),
            Actor::Service { api_key_id, .. } => {
                (ActorKind::Service, Some(json!({ "api_key": api_key_id.to_string() })))
            }
            Actor::Staff { name } => (ActorKind::Staff, Some(json!({ "staff": name }))),
        };
        // By which means is nothing that people write: a member of staff may be known by an address, and is named by
        // all of it.
        let metadata = means.unwrap_or_else(|| json!({}));
        Self { metadata, ..Self::of(organization_id, action, target, kind, actor.account()) }
    }

    /// An event of a user who has no session yet, such as who signs in.
    pub(crate) fn by_user(
        user_id: UserId,
        organization_id: OrganizationId,
        action: AuditAction,
        target: impl TypedId + ToString,
    ) -> Self {
        Self::of(organization_id, action, target, ActorKind::User, Some(user_id))
    }

    /// An event of Rollcall itself.
    pub(crate) fn by_system(
        organization_id: OrganizationId,
        action: AuditAction,
        target: impl TypedId + ToString,
    ) -> Self {
        Self::of(organization_id, action, target, ActorKind::System, None)
    }

    fn of(
        organization_id: OrganizationId,
        action: AuditAction,
        target: impl ToString,
        actor_kind: ActorKind,
        actor_id: Option<UserId>,
    ) -> Self {
        Self {
            id: AuditEventId::new(),
            organization_id,
            action,
            actor_kind,
            actor_id,
            target_id: target.to_string(),
            summary: String::new(),
            metadata: json!({}),
        }
    }

    /// Its id, for the mail that tells of it.
    pub(crate) fn id(&self) -> AuditEventId {
        self.id
    }

    /// Whether it tells of this.
    pub(crate) fn is(&self, action: AuditAction) -> bool {
        self.action == action
    }

    /// What happened, in words; addresses that people have written into them are masked.
    pub(crate) fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = text::without_addresses(&summary.into());
        self
    }

    /// Adds to the metadata; addresses that people have written into it are masked, since the log would keep them for
    /// good.
    pub(crate) fn with(mut self, more: Value) -> Self {
        if let (Value::Object(metadata), Value::Object(more)) = (&mut self.metadata, without_addresses(more)) {
            metadata.extend(more);
        }
        self
    }
}

diesel::define_sql_function! {
    /// Appends events to the logs, and gives the webhooks that wait for some of them.
    fn audit_append(events: Jsonb) -> Array<SqlUuid>;
}

/// Writes events with one statement: a transaction's last one, since it holds the log's head until the commit. Where
/// webhooks wait for the events, one more enqueues their delivery (R75).
pub(crate) async fn record(transaction: &Transaction, events: impl IntoIterator<Item = NewEvent>) -> Result<()> {
    let events: Vec<Value> = events
        .into_iter()
        .map(|event| {
            json!({
                "organization_id": event.organization_id.uuid(), "id": event.id.uuid(), "action": event.action.as_str(),
                "actor_kind": event.actor_kind.as_str(), "actor_id": event.actor_id.map(UserId::uuid),
                "target_id": event.target_id, "summary": event.summary, "metadata": event.metadata,
            })
        })
        .collect();
    if events.is_empty() {
        return Ok(());
    }
    let webhooks: Vec<WebhookId> =
        diesel::select(audit_append(Value::Array(events))).get_result(&mut &**transaction).await?;
    let jobs: Vec<_> = webhooks.into_iter().map(|webhook_id| DeliverWebhook { webhook_id }).collect();
    transaction.enqueue_all(&jobs).await
}

fn without_addresses(metadata: Value) -> Value {
    match metadata {
        Value::String(text) => Value::String(text::without_addresses(&text)),
        Value::Array(values) => values.into_iter().map(without_addresses).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, without_addresses(value))).collect(),
        value @ (Value::Null | Value::Bool(_) | Value::Number(_)) => value,
    }
}

/// An event of the log.
#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = audit_events)]
pub struct AuditEvent {
    /// Its id.
    pub id: AuditEventId,
    /// Whose log it is in.
    pub organization_id: OrganizationId,
    /// Gapless within the organization, in commit order.
    pub sequence: i64,
    /// What happened.
    pub action: String,
    /// What kind of actor did it.
    pub actor_kind: ActorKind,
    /// The user who did it, by session or key.
    pub actor_id: Option<UserId>,
    /// The TypeID of what it was done to.
    pub target_id: Option<String>,
    /// What happened, in words.
    pub summary: String,
    /// More of it.
    pub metadata: Value,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// SHA-256 over the hash of the event before and this event.
    pub hash: Vec<u8>,
}

/// Those of whom an event tells, beside what it was done to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedInEvent {
    /// People: who did it, and those in its metadata.
    pub people: HashSet<UserId>,
    /// Organizations with which something was shared; those in other places are no secret to whoever reads the event.
    pub grantees: HashSet<OrganizationId>,
}

/// What the metadata calls whom something was shared with.
const GRANTEE: &str = "grantee";

impl AuditEvent {
    /// Of whom it tells.
    pub fn told(&self) -> NamedInEvent {
        let mut told = NamedInEvent { people: self.actor_id.into_iter().collect(), grantees: HashSet::new() };
        tell(&self.metadata, &mut told.people);
        let grantee = self.metadata.get(GRANTEE).and_then(Value::as_str);
        told.grantees.extend(grantee.and_then(|id| id.parse::<OrganizationId>().ok()));
        told
    }

    /// The event as it is for somebody who knows only so many of those: the others' ids aren't in it. The log keeps
    /// them, and who shared something by a name, or invited an address, learns no more from it than that.
    pub fn for_whom_knows(mut self, known: &NamedInEvent) -> Self {
        self.actor_id = self.actor_id.filter(|id| known.people.contains(id));
        if let Some(grantee) = self.metadata.get_mut(GRANTEE)
            && grantee.as_str().and_then(|id| id.parse().ok()).is_some_and(|id| !known.grantees.contains(&id))
        {
            *grantee = Value::Null;
        }
        forget(&mut self.metadata, &known.people);
        self
    }

    /// The event as it is for the organization in whose log it is: that knows whoever belongs or belonged to it.
    pub(crate) async fn for_its_organization(self, connection: &mut AsyncPgConnection) -> Result<Self> {
        let people: Vec<UserId> = members::table
            .filter(members::organization_id.eq(self.organization_id))
            .filter(members::user_id.eq_any(self.told().people))
            .select(members::user_id)
            .load(connection)
            .await?;
        let known =
            NamedInEvent { people: people.into_iter().collect(), grantees: HashSet::from([self.organization_id]) };
        Ok(self.for_whom_knows(&known))
    }
}

fn tell(metadata: &Value, people: &mut HashSet<UserId>) {
    match metadata {
        Value::String(text) => people.extend(text.parse::<UserId>().ok()),
        Value::Array(values) => values.iter().for_each(|value| tell(value, people)),
        Value::Object(fields) => fields.values().for_each(|value| tell(value, people)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn forget(metadata: &mut Value, known: &HashSet<UserId>) {
    match metadata {
        Value::String(text) => {
            if text.parse().is_ok_and(|id| !known.contains(&id)) {
                *metadata = Value::Null;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| forget(value, known)),
        Value::Object(fields) => fields.values_mut().for_each(|value| forget(value, known)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only this action.
    pub action: Option<String>,
    /// Only this actor; nothing where whoever asks may not know them.
    pub actor_id: Option<UserId>,
    /// Only this target.
    pub target_id: Option<String>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Before.
    pub until: Option<DateTime<Utc>>,
}

/// A page of an organization's log, oldest first.
pub async fn list(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    permit: &Permit,
    filter: &AuditFilter,
    page: &PageRequest,
) -> Result<Page<AuditEvent>> {
    permit.require(Action::ViewAuditLog)?;
    let slice: Slice<i64> = page.slice()?;
    let mut query = audit_events::table
        .filter(audit_events::organization_id.eq(permit.organization_id()))
        .select(AuditEvent::as_select())
        .into_boxed();
    if let Some(action) = filter.action.clone() {
        query = query.filter(audit_events::action.eq(text::storable(&action)));
    }
    if let Some(actor_id) = filter.actor_id {
        let known = visibility::visible_to(connection, actor, &[actor_id]).await?;
        query = query.filter(audit_events::actor_id.eq_any(known));
    }
    if let Some(target_id) = filter.target_id.clone() {
        query = query.filter(audit_events::target_id.eq(text::storable(&target_id)));
    }
    if let Some(since) = filter.since {
        query = query.filter(audit_events::occurred_at.ge(since));
    }
    if let Some(until) = filter.until {
        query = query.filter(audit_events::occurred_at.lt(until));
    }
    if let Some(after) = slice.after {
        query = query.filter(audit_events::sequence.gt(after));
    }
    if let Some(before) = slice.before {
        query = query.filter(audit_events::sequence.lt(before));
    }
    query = if slice.backward {
        query.order(audit_events::sequence.desc())
    } else {
        query.order(audit_events::sequence.asc())
    };
    let rows = query.limit(slice.fetch()).load(connection).await?;
    slice.page(rows, |event| event.sequence)
}

/// The event of an id, whoever asks: for the mail that tells of it.
pub async fn by_id(connection: &mut AsyncPgConnection, id: AuditEventId) -> Result<Option<AuditEvent>> {
    Ok(audit_events::table
        .filter(audit_events::id.eq(id))
        .select(AuditEvent::as_select())
        .first(connection)
        .await
        .optional()?)
}

/// Whether something has happened in an organization before.
pub(crate) async fn has_happened(
    connection: &mut AsyncPgConnection,
    organization_id: OrganizationId,
    action: AuditAction,
) -> Result<bool> {
    let found = audit_events::table
        .filter(audit_events::organization_id.eq(organization_id))
        .filter(audit_events::action.eq(action.as_str()));
    Ok(diesel::select(diesel::dsl::exists(found)).get_result(connection).await?)
}

/// Those of the ids that the actor may read.
pub async fn visible_to(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    ids: &[AuditEventId],
) -> Result<Vec<AuditEvent>> {
    let found: Vec<AuditEvent> = audit_events::table
        .filter(audit_events::id.eq_any(ids))
        .select(AuditEvent::as_select())
        .load(connection)
        .await?;
    let permits = access::permits(connection, actor, found.iter().map(|event| event.organization_id)).await?;
    let may_read = |event: &AuditEvent| {
        permits.get(&event.organization_id).is_some_and(|permit| permit.standing().allows(Action::ViewAuditLog))
    };
    Ok(found.into_iter().filter(may_read).collect())
}

#[cfg(test)]
mod tests {
    use super::AuditAction;

    #[test]
    fn the_docs_name_every_event() {
        let docs = include_str!("../../../docs/webhooks.md");
        for action in AuditAction::ALL {
            assert!(docs.contains(&format!("| `{action}` |")), "docs/webhooks.md lacks {action}");
        }
    }
}
