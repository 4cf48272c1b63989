//! The audit log.

use std::collections::HashSet;

use async_graphql::{Context, Enum, ID, Json, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::authority::{access, actor, audit, verification};
use rollcall_domain::base::id::{OrganizationId, UserId};
use rollcall_domain::event::platform_feed::{self, FeedFilter};

use super::connection::{connection, forward};
use super::context::{self, database, request};
use super::error::{top_level, without_payload};
use super::id::BigInt;
use super::node::{self, Node};
use super::organization::Organization;
use super::user::User;

/// The kind of actor that did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "actor::ActorKind")]
pub enum ActorKind {
    /// A person with a session.
    User,
    /// A person's API key.
    ApiKey,
    /// A service key, which belongs to the organization.
    Service,
    /// A platform key, for the platform's own services.
    Platform,
    /// A member of the platform's staff.
    Staff,
    /// Rollcall itself, for example when something expires.
    System,
}

#[derive(Debug, Clone)]
pub struct AuditEvent(pub audit::AuditEvent);

impl AuditEvent {
    /// Whether the viewer reads the event in the feed over all organizations, which names everybody concerned.
    fn is_in_viewers_feed(&self, context: &Context<'_>) -> bool {
        request(context).actor().is_some_and(|actor| self.0.is_in_feed_of(actor))
    }

    /// A person whom the event names, unless the viewer may not know them. Keys that see no people get the id alone.
    async fn person(&self, context: &Context<'_>, id: Option<UserId>) -> async_graphql::Result<Option<User>> {
        match id {
            Some(id) if !self.is_in_viewers_feed(context) => User::if_known(context, id).await,
            Some(id) => User::for_keys(context, id).await.map(Some),
            None => Ok(None),
        }
    }
}

/// An entry of the audit log. It is written in the same transaction as the change that it records.
#[Object]
impl AuditEvent {
    /// The event's id. It begins with `evt_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The event's number in the organization's log. Numbers start at 1, follow the order of commits, and have no
    /// gaps.
    async fn sequence(&self) -> BigInt {
        BigInt(self.0.sequence)
    }

    /// What happened, such as `organization.member_invited`.
    async fn action(&self) -> &str {
        &self.0.action
    }

    /// The user who did it, with a session or an API key. Null if the viewer may not know this user, for example
    /// somebody who declined an invitation.
    async fn actor(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        self.person(context, self.0.actor_id).await
    }

    /// Whom it concerns, such as the person who joined, left, was given a role, or with whom something was shared. Null if
    /// it concerns nobody in particular, or if the viewer may not know this user.
    async fn subject(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        self.person(context, self.0.subject()).await
    }

    /// The organization in whose log the event is: the personal one for events that concern only an account. Null in the
    /// deployment's own log, and if the organization's data was removed for good.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Option<Organization>> {
        match self.0.organization_id {
            audit::DEPLOYMENT => Ok(None),
            id => Organization::load_remaining(context, id).await,
        }
    }

    /// The kind of actor that did it.
    async fn actor_kind(&self) -> ActorKind {
        self.0.actor_kind.into()
    }

    /// The name of the platform key that acted, for itself (`actorKind` is PLATFORM) or on behalf of a person.
    async fn platform_key(&self) -> Option<&str> {
        self.0.platform_key()
    }

    /// The id of the object that was changed.
    async fn target_id(&self) -> Option<ID> {
        self.0.target_id.clone().map(Into::into)
    }

    /// The object that was changed, if it still exists and the viewer may see it.
    async fn target(&self, context: &Context<'_>) -> async_graphql::Result<Option<Node>> {
        match &self.0.target_id {
            Some(id) => Ok(node::find(context, &[ID::from(id.clone())]).await?.pop().flatten()),
            None => Ok(None),
        }
    }

    /// What happened, as a sentence. It contains no email addresses.
    async fn summary(&self) -> &str {
        &self.0.summary
    }

    /// Further details, which depend on the action. The same keys mean the same everywhere, such as `role`, `oldRole`,
    /// `from`, `to` and `owner` (ids of users), `resourceIds`, `runIds`, `grantIds`, `teamIds` and `invitationIds`, of
    /// which there are at most 1,000 in one event. Ids of people and organizations that the viewer may not know are null.
    async fn metadata(&self, context: &Context<'_>) -> async_graphql::Result<Json<serde_json::Value>> {
        if self.is_in_viewers_feed(context) {
            return Ok(Json(self.0.metadata.clone()));
        }
        let told = self.0.told();
        let people = User::known_of(context, &told.people).await?;
        let mut grantees = HashSet::new();
        for id in told.grantees {
            if Organization::load(context, id).await?.is_visible() {
                grantees.insert(id);
            }
        }
        Ok(Json(self.0.clone().for_whom_knows(&audit::NamedInEvent { people, grantees }).metadata))
    }

    /// When it happened.
    async fn occurred_at(&self) -> DateTime<Utc> {
        self.0.occurred_at
    }

    /// The SHA-256 hash of the previous event's hash and this event, in hexadecimal digits.
    async fn hash(&self) -> String {
        self.0.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

connection!(AuditEventConnection, AuditEventEdge, AuditEvent, "audit events");
connection!(EventConnection, EventEdge, AuditEvent, "events");

impl EventEdge {
    /// An event with its cursor.
    pub fn of(event: audit::AuditEvent) -> rollcall_domain::Result<Self> {
        Ok(Self { cursor: platform_feed::cursor(&event)?, node: AuditEvent(event) })
    }
}

/// A page of the events of all organizations, in the order of the feed.
pub async fn feed(
    context: &Context<'_>,
    after: Option<String>,
    first: Option<i32>,
    filter: FeedFilter,
) -> async_graphql::Result<EventConnection> {
    let mut connection = context::connection(context).await?;
    let page = platform_feed::page(&mut connection, &filter, &forward(first, after)).await.map_err(without_payload)?;
    Ok(EventConnection::new(page.map(AuditEvent)))
}

/// The part of the feed that a request asks for.
///
/// # Errors
/// UNAUTHENTICATED, FORBIDDEN, NOT_FOUND or BAD_REQUEST.
pub fn feed_filter(
    context: &Context<'_>,
    actions: Option<Vec<String>>,
    organization_id: Option<OrganizationId>,
) -> async_graphql::Result<FeedFilter> {
    let actor = context::actor(context)?;
    FeedFilter::of(actor, &actions.unwrap_or_default(), organization_id).map_err(without_payload)
}

/// The result of verifying an organization's audit log.
#[derive(SimpleObject)]
pub struct AuditVerification {
    /// Whether every event that was checked is intact.
    ok: bool,
    /// How many events were checked. One call checks at most 10,000.
    checked: i64,
    /// The first event whose hash doesn't match its predecessor's, or that follows a gap in the sequence.
    first_broken: Option<AuditEvent>,
    /// The sequence number at which the next call should continue. Null once the newest event has been checked.
    next_sequence: Option<BigInt>,
}

/// Verifies an organization's audit log, if the viewer may read it.
pub async fn verify(
    context: &Context<'_>,
    organization_id: OrganizationId,
    from_sequence: Option<i64>,
) -> async_graphql::Result<Option<AuditVerification>> {
    let Some(actor) = context::request(context).actor() else { return Ok(None) };
    let permit =
        access::view(&mut *context::connection(context).await?, actor, organization_id).await.map_err(top_level)?;
    let Some(permit) = permit else { return Ok(None) };
    let found = verification::verify_as(database(context), &permit, from_sequence).await;
    Ok(super::error::visible(found)?.map(|found| AuditVerification {
        ok: found.ok(),
        checked: found.checked,
        next_sequence: found.next_sequence.map(BigInt),
        first_broken: found.first_broken.map(AuditEvent),
    }))
}
