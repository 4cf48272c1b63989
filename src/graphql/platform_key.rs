//! Platform keys, with which a platform's own services call (R85).

use std::collections::HashMap;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::account::platform_key;
use rollcall_domain::authority::platform;
use rollcall_domain::base::id::{OrganizationId, PlatformKeyId};

use super::connection::{connection, forward, total};
use super::context::{self, Loaders, actor, database, loaders};
use super::error::{Payload, UserError, payload, top_level};
use super::id::{Id, Time};
use super::loading::Loader;
use super::organization::Organization;

/// What a platform key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "platform::PlatformScope")]
pub enum PlatformScope {
    /// See what an owner sees of the organizations that the key reaches, except secrets.
    Read,
    /// Create, change, suspend and delete accounts.
    UsersWrite,
    /// Found organizations, change them, set their policy, plan and owner, delete and restore them.
    OrganizationsWrite,
    /// Invite, add, change, remove, deactivate and reactivate members, revert departures, and manage join codes and teams.
    MembersWrite,
    /// Create, change and delete resources and collections, and share them.
    ResourcesWrite,
    /// Ask what anybody may do with resources.
    AccessCheck,
    /// Read the events of all organizations, and manage webhooks.
    EventsRead,
    /// Report runs and usage.
    UsageReport,
    /// Act for a person who is named in the header `Rollcall-On-Behalf-Of`, with that person's rights and no more.
    ActForUsers,
}

#[derive(Debug, Clone)]
pub struct PlatformKey(pub platform_key::PlatformKey);

/// A key with which a platform's own services call this API. It belongs to no person.
#[Object]
impl PlatformKey {
    /// The key's id. It begins with `pky_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The key's name, which the audit log shows.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The first characters of the newest secret, which help people to tell keys apart.
    async fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// What the key may do.
    async fn scopes(&self) -> Vec<PlatformScope> {
        self.0.scopes.iter().copied().map(Into::into).collect()
    }

    /// The only organizations that the key reaches. Null if it reaches all.
    async fn organizations(&self, context: &Context<'_>) -> async_graphql::Result<Option<Vec<Organization>>> {
        if !self.0.limited {
            return Ok(None);
        }
        let ids = loaders(context).load_one(self.0.id).await?.unwrap_or_default();
        let mut organizations = Vec::with_capacity(ids.len());
        for id in ids {
            organizations.push(Organization::load(context, id).await?);
        }
        Ok(Some(organizations))
    }

    /// When the key was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When the key was last used, with a precision of five minutes.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }

    /// When the key expires; null if it doesn't.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// When the key was revoked.
    async fn revoked_at(&self) -> Option<DateTime<Utc>> {
        self.0.revoked_at
    }
}

connection!(PlatformKeyConnection, PlatformKeyEdge, PlatformKey, "platform keys", total_count);

impl Loader<PlatformKeyId> for Loaders {
    type Value = Vec<OrganizationId>;

    async fn load(
        &self,
        keys: &[PlatformKeyId],
    ) -> Result<HashMap<PlatformKeyId, Vec<OrganizationId>>, async_graphql::Error> {
        platform_key::organizations_of(&mut *self.connection().await?, keys).await.map_err(top_level)
    }
}

/// A page of all platform keys, for staff; null for everybody else.
pub async fn list(
    context: &Context<'_>,
    first: Option<i32>,
    after: Option<String>,
) -> async_graphql::Result<Option<PlatformKeyConnection>> {
    if !context::request(context).actor().is_some_and(|actor| actor.is_staff()) {
        return Ok(None);
    }
    let mut connection = context::connection(context).await?;
    let page = platform_key::list(&mut connection, &forward(first, after)).await.map_err(top_level)?;
    let total = total(context, platform_key::count(&mut connection)).await?;
    Ok(Some(PlatformKeyConnection::new(page.map(PlatformKey), total)))
}

/// Describes the platform key to create.
#[derive(InputObject)]
pub struct CreatePlatformKeyInput {
    /// A name for the key, 1 to 100 characters. The audit log shows it.
    name: String,
    /// What the key may do, at least one.
    scopes: Vec<PlatformScope>,
    /// The only organizations that the key reaches, 1 to 100. If omitted, it reaches all, also those that are founded
    /// later.
    organization_ids: Option<Vec<Id<OrganizationId>>>,
    /// When the key expires. If omitted, it doesn't expire.
    expires_at: Option<Time>,
}

/// The new platform key and its secret.
#[derive(SimpleObject, Default)]
pub struct CreatePlatformKeyPayload {
    /// The key.
    platform_key: Option<PlatformKey>,
    /// The secret, to be sent as `Authorization: Bearer …`. It is shown only this once.
    secret: Option<String>,
    /// Why no key was created.
    user_errors: Vec<UserError>,
}
payload!(CreatePlatformKeyPayload);

/// Says which platform key gets a new secret.
#[derive(InputObject)]
pub struct RotatePlatformKeyInput {
    /// The key.
    id: Id<PlatformKeyId>,
    /// For how many hours the previous secret still works, 0 to 720.
    #[graphql(default_with = "Some(24)")]
    overlap_hours: Option<i32>,
}

/// The platform key and its new secret.
#[derive(SimpleObject, Default)]
pub struct RotatePlatformKeyPayload {
    /// The key.
    platform_key: Option<PlatformKey>,
    /// The new secret. It is shown only this once.
    secret: Option<String>,
    /// Why the key has no new secret.
    user_errors: Vec<UserError>,
}
payload!(RotatePlatformKeyPayload);

/// Identifies the platform key to revoke.
#[derive(InputObject)]
pub struct RevokePlatformKeyInput {
    /// The key.
    id: Id<PlatformKeyId>,
}

/// The result of revoking a platform key.
#[derive(SimpleObject, Default)]
pub struct RevokePlatformKeyPayload {
    /// The key, which no longer works.
    platform_key: Option<PlatformKey>,
    /// Why the key wasn't revoked.
    user_errors: Vec<UserError>,
}
payload!(RevokePlatformKeyPayload);

/// The mutations of platform keys.
#[derive(Default)]
pub struct PlatformKeyMutation;

#[Object]
impl PlatformKeyMutation {
    /// Creates a platform key, for a platform's own services. Only staff may do this.
    async fn create_platform_key(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The key to create.")] input: CreatePlatformKeyInput,
    ) -> async_graphql::Result<CreatePlatformKeyPayload> {
        let command = platform_key::CreatePlatformKey {
            name: input.name,
            scopes: input.scopes.into_iter().map(Into::into).collect(),
            organization_ids: input.organization_ids.map(|ids| ids.into_iter().map(|id| id.0).collect()),
            expires_at: input.expires_at.map(|time| time.0),
        };
        let outcome = platform_key::create(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |(key, secret)| CreatePlatformKeyPayload {
            platform_key: Some(PlatformKey(key)),
            secret: Some(secret.reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Gives a platform key a new secret. The previous one works for another 24 hours, or as long as `overlapHours` says.
    /// Only staff may do this.
    async fn rotate_platform_key(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The key.")] input: RotatePlatformKeyInput,
    ) -> async_graphql::Result<RotatePlatformKeyPayload> {
        let overlap = input.overlap_hours.unwrap_or(24);
        let outcome = platform_key::rotate(database(context), actor(context)?, input.id.0, overlap).await;
        Payload::of(outcome, |(key, secret)| RotatePlatformKeyPayload {
            platform_key: Some(PlatformKey(key)),
            secret: Some(secret.reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Revokes a platform key with all its secrets, at once and for good. Only staff may do this.
    async fn revoke_platform_key(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The key to revoke.")] input: RevokePlatformKeyInput,
    ) -> async_graphql::Result<RevokePlatformKeyPayload> {
        let outcome = platform_key::revoke(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |key| RevokePlatformKeyPayload {
            platform_key: Some(PlatformKey(key)),
            ..Default::default()
        })
    }
}
