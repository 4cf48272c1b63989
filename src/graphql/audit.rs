//! The audit log.

use std::collections::HashSet;

use async_graphql::{Context, Enum, ID, Json, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::authority::{access, actor, audit, verification};
use rollcall_domain::base::id::OrganizationId;

use super::connection::connection;
use super::context::{self, database};
use super::error::top_level;
use super::id::BigInt;
use super::node::{self, Node};
use super::organization::Organization;
use super::user::User;

/// What kind of actor did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "actor::ActorKind")]
pub enum ActorKind {
    /// A person with a session.
    User,
    /// A person's API key.
    ApiKey,
    /// A key that belongs to the organization.
    Service,
    /// The platform's staff.
    Staff,
    /// Rollcall itself, such as at an expiry.
    System,
}

#[derive(Debug, Clone)]
pub struct AuditEvent(pub audit::AuditEvent);

/// Something that happened, written by the transaction that did it.
#[Object]
impl AuditEvent {
    /// Begins with evt_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Gapless within the organization, in commit order, from 1.
    async fn sequence(&self) -> BigInt {
        BigInt(self.0.sequence)
    }

    /// What happened, such as organization.member_invited.
    async fn action(&self) -> &str {
        &self.0.action
    }

    /// The user who did it, by session or API key; null where the viewer may not know them, such as somebody who
    /// declined.
    async fn actor(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        match self.0.actor_id {
            Some(id) => User::if_known(context, id).await,
            None => Ok(None),
        }
    }

    /// What kind of actor did it.
    async fn actor_kind(&self) -> ActorKind {
        self.0.actor_kind.into()
    }

    /// The id of what it was done to.
    async fn target_id(&self) -> Option<ID> {
        self.0.target_id.clone().map(Into::into)
    }

    /// What it was done to, if it still exists and the viewer may see it.
    async fn target(&self, context: &Context<'_>) -> async_graphql::Result<Option<Node>> {
        match &self.0.target_id {
            Some(id) => Ok(node::find(context, &[ID::from(id.clone())]).await?.pop().flatten()),
            None => Ok(None),
        }
    }

    /// What happened, in words, without addresses.
    async fn summary(&self) -> &str {
        &self.0.summary
    }

    /// More of it, by action; ids of people and organizations that the viewer may not know are null.
    async fn metadata(&self, context: &Context<'_>) -> async_graphql::Result<Json<serde_json::Value>> {
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

    /// When.
    async fn occurred_at(&self) -> DateTime<Utc> {
        self.0.occurred_at
    }

    /// SHA-256, in hexadecimal digits, over the hash of the event before and this event.
    async fn hash(&self) -> String {
        self.0.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

connection!(AuditEventConnection, AuditEventEdge, AuditEvent, "audit events");

/// What a check of the log found.
#[derive(SimpleObject)]
pub struct AuditVerification {
    /// Whether everything checked is whole.
    ok: bool,
    /// How many events were checked; at most 10,000 a call.
    checked: i64,
    /// The first event that doesn't match the one before it, or that follows a gap.
    first_broken: Option<AuditEvent>,
    /// Where to go on; null once the newest event was reached.
    next_sequence: Option<BigInt>,
}

/// Checks an organization's log, if the viewer may read it.
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
