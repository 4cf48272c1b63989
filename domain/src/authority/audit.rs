//! The audit log: one hash chain per organization, written by the transaction that makes the change (R74).
//!
//! Events that concern only an account are in the log of its personal organization. Summaries and metadata contain ids
//! and settings, never email addresses, because the log outlives people's data (R48). Addresses that people write into
//! a reason or a label are masked before they are stored.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Jsonb, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::authority::access::{self, Permit};
use crate::authority::actor::{Actor, ActorKind};
use crate::authority::platform::{PlatformActor, PlatformIdentity};
use crate::authority::rights::Action;
use crate::authority::visibility;
use crate::base::error::Result;
use crate::base::id::{AuditEventId, OrganizationId, TypedId, UserId, WebhookId};
use crate::base::job::DeliverWebhook;
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::text;
use crate::base::text_enum::text_enum;
use crate::database::Transaction;
use crate::database::schema::{audit_events, members, webhooks};

text_enum! {
    /// The actions that the audit log records.
    AuditAction {
        /// An account was created.
        UserCreated = "user.created",
        /// Name, username or avatar changed.
        UserProfileUpdated = "user.profile_updated",
        /// A sign-in email was requested.
        UserSignInRequested = "user.sign_in_requested",
        /// A change of the email address was requested.
        UserEmailChangeRequested = "user.email_change_requested",
        /// The account's email address changed.
        UserEmailChanged = "user.email_changed",
        /// The account chose another organization to which its new projects and apps are billed.
        UserDefaultBillToSet = "user.default_bill_to_set",
        /// The account was deleted.
        UserDeleted = "user.deleted",
        /// A session began.
        UserSignedIn = "user.signed_in",
        /// Sessions were ended, by their user or by the platform.
        UserSignedOut = "user.signed_out",
        /// An account can be signed in to by an issuer from now on (R92).
        UserIdentityLinked = "user.identity_linked",
        /// An account can't be signed in to by an issuer any more.
        UserIdentityUnlinked = "user.identity_unlinked",
        /// A session switched to another organization.
        UserOrganizationSwitched = "user.organization_switched",
        /// The platform suspended the account, or the organization that had created it.
        UserSuspended = "user.suspended",
        /// The platform, or a membership of an organization, lifted a suspension.
        UserSuspensionLifted = "user.suspension_lifted",
        /// An organization was created.
        OrganizationCreated = "organization.created",
        /// Staff made somebody else the owner of the organization.
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
        /// Staff set the organization's plan.
        OrganizationPlanSet = "organization.plan_set",
        /// The organization's billing details changed.
        OrganizationBillingUpdated = "organization.billing_updated",
        /// Staff added credits that the organization bought.
        OrganizationCreditsAdded = "organization.credits_added",
        /// The owner or an admin asked the platform for more (R79).
        OrganizationUpgradeRequested = "organization.upgrade_requested",
        /// 80 or 100 percent of the credits that the organization bought are spent.
        OrganizationCreditsSpent = "organization.credits_spent",
        /// The profile changed.
        OrganizationUpdated = "organization.updated",
        /// Someone was invited.
        MemberInvited = "organization.member_invited",
        /// An invitation was sent again, with a new token.
        InvitationResent = "organization.invitation_resent",
        /// An invitation was revoked, or several ended together with their inviter or the person invited.
        InvitationRevoked = "organization.invitation_revoked",
        /// The invited person declined.
        InvitationDeclined = "organization.invitation_declined",
        /// An invitation expired without an answer.
        InvitationExpired = "organization.invitation_expired",
        /// Someone became a member, or the platform made several people members.
        MemberJoined = "organization.member_joined",
        /// A member's role changed.
        MemberRoleChanged = "organization.member_role_changed",
        /// What the platform attached to memberships changed (R87).
        MemberUpdated = "organization.member_updated",
        /// A member's permissions changed: what they may bill, and what they get from grants to the organization.
        MemberPermissionsUpdated = "organization.member_permissions_updated",
        /// A member left.
        MemberLeft = "organization.member_left",
        /// A member was removed.
        MemberRemoved = "organization.member_removed",
        /// A member was deactivated.
        MemberDeactivated = "organization.member_deactivated",
        /// A removed or deactivated member was made active again.
        MemberReactivated = "organization.member_reactivated",
        /// Join codes were created.
        JoinCodesCreated = "organization.join_codes_created",
        /// A join code was revoked, or several ended together with their creator.
        JoinCodeRevoked = "organization.join_code_revoked",
        /// A join code expired unused, 24 hours after it was created.
        JoinCodeExpired = "organization.join_code_expired",
        /// A team was created.
        TeamCreated = "organization.team_created",
        /// A team's name, description or picture changed, or what the platform attached to it.
        TeamUpdated = "organization.team_updated",
        /// A team was deleted.
        TeamDeleted = "organization.team_deleted",
        /// Members or collaborators were added to a team, or somebody joined it by an invitation.
        TeamMembersAdded = "organization.team_members_added",
        /// Someone was removed from a team, or several people by the platform, for example because nothing is shared
        /// with a collaborator any more.
        TeamMemberRemoved = "organization.team_member_removed",
        /// A collaborator was removed: nothing of the organization is shared with them any more.
        CollaboratorRemoved = "organization.collaborator_removed",
        /// An API key was created.
        ApiKeyCreated = "organization.api_key_created",
        /// An API key was revoked.
        ApiKeyRevoked = "organization.api_key_revoked",
        /// A platform key was created.
        PlatformKeyCreated = "platform.key_created",
        /// A platform key got a new secret.
        PlatformKeyRotated = "platform.key_rotated",
        /// A platform key was revoked.
        PlatformKeyRevoked = "platform.key_revoked",
        /// A webhook of the platform was created.
        PlatformWebhookCreated = "platform.webhook_created",
        /// A webhook of the platform changed, was enabled or disabled, got a new secret, or was taken over by staff.
        PlatformWebhookUpdated = "platform.webhook_updated",
        /// A webhook of the platform was disabled because its deliveries kept failing or its platform key ended.
        PlatformWebhookDisabled = "platform.webhook_disabled",
        /// A webhook of the platform was deleted.
        PlatformWebhookDeleted = "platform.webhook_deleted",
        /// Someone had an event delivered again to a webhook of the platform.
        PlatformWebhookRedelivered = "platform.webhook_redelivered",
        /// A webhook was created.
        WebhookCreated = "organization.webhook_created",
        /// A webhook's URL or events changed, it was enabled or disabled, or it got a new secret.
        WebhookUpdated = "organization.webhook_updated",
        /// A webhook was disabled because its deliveries kept failing.
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
        /// Resources were transferred to another member.
        ResourceTransferred = "resource.transferred",
        /// Resources were added to a collection.
        CollectionItemsAdded = "resource.collection_items_added",
        /// Resources were removed from a collection.
        CollectionItemsRemoved = "resource.collection_items_removed",
        /// A resource was shared with a user, a team or an organization.
        GrantCreated = "grant.created",
        /// The level of a grant was raised or lowered.
        GrantChanged = "grant.changed",
        /// A grant was revoked.
        GrantRevoked = "grant.revoked",
        /// A resource was shared with an email address, whether or not an account has it.
        GrantInvited = "grant.invited",
        /// An email address's invitation to a resource was revoked.
        GrantInvitationRevoked = "grant.invitation_revoked",
        /// A link to a collection was created.
        ShareLinkCreated = "share_link.created",
        /// A link to a collection was revoked.
        ShareLinkRevoked = "share_link.revoked",
        /// An app was published.
        AppPublished = "resource.app_published",
        /// A project was offered to somebody.
        TransferOffered = "transfer.offered",
        /// The offer of a project was accepted; the worker moves the project.
        TransferAccepted = "transfer.accepted",
        /// The recipient declined the offer of a project.
        TransferDeclined = "transfer.declined",
        /// An offer of a project was cancelled, or several ended together with a person or an organization concerned.
        TransferCancelled = "transfer.cancelled",
        /// The offer of a project expired without an answer.
        TransferExpired = "transfer.expired",
        /// A project was moved together with its contents.
        TransferCompleted = "transfer.completed",
        /// A run was queued.
        RunQueued = "run.queued",
        /// The platform started a run.
        RunStarted = "run.started",
        /// A run succeeded.
        RunSucceeded = "run.succeeded",
        /// A run failed.
        RunFailed = "run.failed",
        /// A run was cancelled.
        RunCancelled = "run.cancelled",
        /// Usage outside of runs was reported.
        UsageReported = "usage.reported",
        /// A chunk of a leaver's resources passed to the owner.
        DepartureResourcesMoved = "departure.resources_moved",
        /// A chunk of the grants to a leaver was removed.
        DepartureGrantsRemoved = "departure.grants_removed",
        /// A chunk of a leaver's queued runs was cancelled.
        DepartureRunsCancelled = "departure.runs_cancelled",
        /// A cascade finished.
        DepartureCompleted = "departure.completed",
        /// Someone began to revert a departure.
        DepartureReverting = "departure.reverting",
        /// A chunk of the resources that had passed on was returned.
        DepartureResourcesReturned = "departure.resources_returned",
        /// The revert of a departure finished: everything that could be returned was returned.
        DepartureReverted = "departure.reverted",
        /// A failed cascade was resumed.
        DepartureRetried = "departure.retried",
        /// A cascade failed for good and waits for a retry.
        DepartureFailed = "departure.failed",
    }
}

/// The log of the deployment itself has this id in the place of an organization's. No organization has it.
pub const DEPLOYMENT: OrganizationId = OrganizationId::NIL;

/// An event that is to be recorded.
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
    /// An event that an actor caused.
    pub(crate) fn by(
        actor: &Actor,
        organization_id: OrganizationId,
        action: AuditAction,
        target: impl TypedId + ToString,
    ) -> Self {
        let (kind, means) = match actor {
            Actor::User { .. } => (ActorKind::User, None),
            Actor::ApiKey { api_key_id, .. } => {
                (ActorKind::ApiKey, Some(json!({ "apiKeyId": api_key_id.to_string() })))
            }
            Actor::Service { api_key_id, .. } => {
                (ActorKind::Service, Some(json!({ "apiKeyId": api_key_id.to_string() })))
            }
            Actor::Platform(key) => match &key.identity {
                PlatformIdentity::Key { .. } => (ActorKind::Platform, Some(by_platform(key))),
                PlatformIdentity::Staff { .. } => (ActorKind::Staff, Some(by_platform(key))),
            },
            Actor::OnBehalf { key, .. } => (ActorKind::User, Some(by_platform(key))),
            Actor::Staff { name } => (ActorKind::Staff, Some(by_staff(name))),
        };
        // How the actor authenticated isn't text that people write, so it isn't masked: a staff member may be known by
        // an email address, and the log keeps their whole name.
        let metadata = means.unwrap_or_else(|| json!({}));
        Self { metadata, ..Self::of(organization_id, action, target, kind, actor.account()) }
    }

    /// An event that an actor caused and that concerns no organization. It is in the deployment's own log.
    pub(crate) fn of_deployment(actor: &Actor, action: AuditAction, target: impl TypedId + ToString) -> Self {
        Self::by(actor, DEPLOYMENT, action, target)
    }

    /// The event as the audit log shows it if a platform key acts for the person whom it names as its actor (R86).
    pub(crate) fn through(mut self, actor: &Actor) -> Self {
        if let (ActorKind::User, Some(key)) = (self.actor_kind, actor.platform_key())
            && let (Value::Object(metadata), Value::Object(means)) = (&mut self.metadata, by_platform(key))
        {
            metadata.extend(means);
        }
        self
    }

    /// An event caused by a user who may not have a session yet, for example while signing in.
    pub(crate) fn by_user(
        user_id: UserId,
        organization_id: OrganizationId,
        action: AuditAction,
        target: impl TypedId + ToString,
    ) -> Self {
        Self::of(organization_id, action, target, ActorKind::User, Some(user_id))
    }

    /// An event that Rollcall itself caused.
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

    /// The event's id, for the email that reports it.
    pub(crate) fn id(&self) -> AuditEventId {
        self.id
    }

    /// Whether the event records this action.
    pub(crate) fn is(&self, action: AuditAction) -> bool {
        self.action == action
    }

    /// Sets whom the event concerns: who joined, left, was given a role, with whom something was shared (R90).
    pub(crate) fn about(self, subject: UserId) -> Self {
        self.with(json!({ (SUBJECT): subject.to_string() }))
    }

    /// Adds the reason that was given, if any. Webhooks aren't told, and about an account neither is its person.
    pub(crate) fn reason(self, reason: Option<&str>) -> Self {
        match reason {
            Some(reason) => self.with(json!({ (REASON): reason })),
            None => self,
        }
    }

    /// Sets the description of what happened. Email addresses that people wrote into it are masked.
    pub(crate) fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = text::without_addresses(&summary.into());
        self
    }

    /// Adds to the metadata. Email addresses that people wrote into it are masked, since the log would keep them for
    /// good.
    pub(crate) fn with(mut self, more: Value) -> Self {
        if let (Value::Object(metadata), Value::Object(more)) = (&mut self.metadata, without_addresses(more)) {
            metadata.extend(more);
        }
        self
    }
}

/// How the metadata name whoever acted as the platform.
fn by_platform(platform: &PlatformActor) -> Value {
    match &platform.identity {
        PlatformIdentity::Key { id, name, .. } => json!({ (PLATFORM_KEY): name, "platformKeyId": id.to_string() }),
        PlatformIdentity::Staff { name } => by_staff(name),
    }
}

/// How the metadata name a member of the platform's staff.
fn by_staff(name: &str) -> Value {
    json!({ "staff": name })
}

diesel::define_sql_function! {
    /// Appends events to the logs and returns the webhooks that wait for some of them.
    fn audit_append(events: Jsonb) -> Array<SqlUuid>;
}

/// Records events with one statement. It must be the transaction's last, since it holds the log's head until the
/// commit. If webhooks wait for the events, one more statement enqueues their delivery (R75). Subscriptions are told
/// after the commit.
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
    transaction.note_recorded();
    let jobs: Vec<_> = webhooks.into_iter().map(|webhook_id| DeliverWebhook { webhook_id }).collect();
    transaction.enqueue_all(&jobs).await
}

/// Lets the webhooks of an organization that delivered nothing for some time continue.
pub(crate) async fn resume_deliveries(transaction: &mut Transaction, organization_id: OrganizationId) -> Result<()> {
    let enabled: Vec<WebhookId> = webhooks::table
        .filter(webhooks::organization_id.eq(organization_id))
        .filter(webhooks::enabled)
        .order(webhooks::id)
        .select(webhooks::id)
        .load(&mut **transaction)
        .await?;
    for webhook_id in enabled {
        transaction.enqueue_or_expedite(&DeliverWebhook { webhook_id }).await?;
    }
    Ok(())
}

/// The ids of objects, as the metadata names them. Callers name at most [`limits::IDS_OF_EVENT`] in one event.
pub(crate) fn in_log<T: ToString>(ids: &[T]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
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
    /// The event's id.
    pub id: AuditEventId,
    /// The organization in whose log the event is.
    pub organization_id: OrganizationId,
    /// The position in the organization's log: without gaps, in the order of the commits.
    pub sequence: i64,
    /// The action, as in [`AuditAction`].
    pub action: String,
    /// What kind of actor did it.
    pub actor_kind: ActorKind,
    /// The user who did it, by session or by key.
    pub actor_id: Option<UserId>,
    /// The TypeID of the object to which it was done.
    pub target_id: Option<String>,
    /// What happened, as text for people.
    pub summary: String,
    /// More details, as JSON.
    pub metadata: Value,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// SHA-256 of the previous event's hash and this event.
    pub hash: Vec<u8>,
}

/// The people and organizations that an event names, besides the object to which something was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedInEvent {
    /// The person who acted, and the people in the metadata.
    pub people: HashSet<UserId>,
    /// The organizations with which something was shared. Organizations elsewhere in the metadata are no secret to
    /// readers of the event.
    pub grantees: HashSet<OrganizationId>,
}

/// The metadata's key for the person or organization with which something was shared.
const GRANTEE: &str = "grantee";

/// The metadata's key for the person whom the event concerns.
const SUBJECT: &str = "subject";

/// The metadata's key for the reason that was given.
pub(crate) const REASON: &str = "reason";

/// The metadata's key for the name of the platform key that acted.
const PLATFORM_KEY: &str = "platformKey";

impl AuditEvent {
    /// The name of the platform key that acted, for itself or for a person (R86).
    pub fn platform_key(&self) -> Option<&str> {
        self.metadata.get(PLATFORM_KEY).and_then(Value::as_str)
    }

    /// Whom the event concerns (R90).
    pub fn subject(&self) -> Option<UserId> {
        self.metadata.get(SUBJECT)?.as_str()?.parse().ok()
    }

    /// Whether the actor reads the event in the feed over all organizations, which names everybody concerned (R90).
    pub fn is_in_feed_of(&self, actor: &Actor) -> bool {
        actor.reads_feed("").is_ok_and(|within| within.includes(self.organization_id))
    }

    /// Whether the event concerns an account, and no organization but its personal one.
    fn is_about_account(&self) -> bool {
        self.action.starts_with("user.")
    }

    /// The people and organizations that the event names.
    pub fn told(&self) -> NamedInEvent {
        let mut told = NamedInEvent { people: self.actor_id.into_iter().collect(), grantees: HashSet::new() };
        tell(&self.metadata, &mut told.people);
        let grantee = self.metadata.get(GRANTEE).and_then(Value::as_str);
        told.grantees.extend(grantee.and_then(|id| id.parse::<OrganizationId>().ok()));
        told
    }

    /// The event as shown to a reader who knows only the people and organizations in `known`; the ids of all others are
    /// removed. The log itself keeps them. Whoever shared something by name, or invited an email address, therefore
    /// learns no more from the log.
    pub fn for_whom_knows(mut self, known: &NamedInEvent) -> Self {
        self.actor_id = self.actor_id.filter(|id| known.people.contains(id));
        if let Some(grantee) = self.metadata.get_mut(GRANTEE)
            && grantee.as_str().and_then(|id| id.parse().ok()).is_some_and(|id| !known.grantees.contains(&id))
        {
            *grantee = Value::Null;
        }
        forget(&mut self.metadata, &known.people);
        // Why the platform did something with an account is for the platform alone (R84). In an organization's log, its
        // owner and admins read the reasons that they gave.
        if self.is_about_account()
            && let Value::Object(metadata) = &mut self.metadata
        {
            metadata.remove(REASON);
        }
        self
    }

    /// The event as shown to the organization in whose log it is, which knows everybody who belongs or belonged to it.
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

/// The events that a list is limited to.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only events with this action.
    pub action: Option<String>,
    /// Only events of this actor. The list is empty if the caller may not know that person.
    pub actor_id: Option<UserId>,
    /// Only events with this target.
    pub target_id: Option<String>,
    /// Only events at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// Only events before this time.
    pub until: Option<DateTime<Utc>>,
}

/// Returns a page of an organization's log, oldest first.
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

/// Returns the event with an id without checking access, for the email that reports it.
pub async fn by_id(connection: &mut AsyncPgConnection, id: AuditEventId) -> Result<Option<AuditEvent>> {
    Ok(audit_events::table
        .filter(audit_events::id.eq(id))
        .select(AuditEvent::as_select())
        .first(connection)
        .await
        .optional()?)
}

/// Whether an action has been recorded in an organization before.
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

/// Returns those of the events that the actor may read.
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
        let in_log =
            permits.get(&event.organization_id).is_some_and(|permit| permit.standing().allows(Action::ViewAuditLog));
        in_log || event.is_in_feed_of(actor)
    };
    Ok(found.into_iter().filter(may_read).collect())
}

#[cfg(test)]
mod tests {
    use super::AuditAction;

    #[test]
    fn the_docs_name_every_event() {
        let docs = include_str!("../../../docs/events.md");
        for action in AuditAction::ALL {
            assert!(docs.contains(&format!("| `{action}` |")), "docs/events.md lacks {action}");
        }
    }
}
