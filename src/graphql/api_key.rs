//! API keys: those of the viewer, and the service keys of organizations.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::account::api_key;
use rollcall_domain::authority::actor;
use rollcall_domain::base::id::{ApiKeyId, OrganizationId};

use super::connection::connection;
use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::{Id, Time};
use super::organization::Organization;
use super::user::User;

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "actor::ApiKeyScope")]
pub enum ApiKeyScope {
    /// Read, but change nothing.
    Read,
    /// Read and change, as far as the key may.
    Write,
}

#[derive(Debug, Clone)]
pub struct ApiKey(pub api_key::ApiKey);

/// A key with which a program can call this API. It reaches one organization only.
#[Object]
impl ApiKey {
    /// The key's id. It begins with `key_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The name that its creator gave it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The first characters of the secret, which help people to tell keys apart.
    async fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// What the key may do.
    async fn scope(&self) -> ApiKeyScope {
        self.0.scope.into()
    }

    /// The only organization that the key reaches.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.0.organization_id).await
    }

    /// The person who created the key.
    async fn created_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::load_optional(context, Some(self.0.user_id)).await
    }

    /// Whether this is a service key, which belongs to the organization and not to a person.
    async fn service(&self) -> bool {
        self.0.service
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
}

connection!(ApiKeyConnection, ApiKeyEdge, ApiKey, "API keys", total_count);

/// Describes the API key to create.
#[derive(InputObject)]
pub struct CreateApiKeyInput {
    /// The only organization that the key will reach. The viewer must be a member of it.
    organization_id: Id<OrganizationId>,
    /// A name for the key, 1 to 100 characters.
    name: String,
    /// What the key may do.
    #[graphql(default_with = "Some(ApiKeyScope::Write)")]
    scope: Option<ApiKeyScope>,
    /// When the key expires. If omitted, it doesn't expire.
    expires_at: Option<Time>,
}

/// The new API key and its secret.
#[derive(SimpleObject, Default)]
pub struct CreateApiKeyPayload {
    /// The key.
    api_key: Option<ApiKey>,
    /// The secret, to be sent as `Authorization: Bearer …`. It is shown only this once.
    secret: Option<String>,
    /// Why no key was created.
    user_errors: Vec<UserError>,
}
payload!(CreateApiKeyPayload);

/// Describes the service key to create.
#[derive(InputObject)]
pub struct CreateServiceKeyInput {
    /// The organization that the key will belong to.
    organization_id: Id<OrganizationId>,
    /// A name for the key, 1 to 100 characters.
    name: String,
    /// What the key may do.
    #[graphql(default_with = "Some(ApiKeyScope::Write)")]
    scope: Option<ApiKeyScope>,
    /// When the key expires. If omitted, it doesn't expire.
    expires_at: Option<Time>,
}

/// The new service key and its secret.
#[derive(SimpleObject, Default)]
pub struct CreateServiceKeyPayload {
    /// The key.
    api_key: Option<ApiKey>,
    /// The secret, to be sent as `Authorization: Bearer …`. It is shown only this once.
    secret: Option<String>,
    /// Why no key was created.
    user_errors: Vec<UserError>,
}
payload!(CreateServiceKeyPayload);

/// Identifies the key to revoke.
#[derive(InputObject)]
pub struct RevokeApiKeyInput {
    /// One of the viewer's own keys, or a service key that they may manage.
    id: Id<ApiKeyId>,
}

/// The result of revoking an API key.
#[derive(SimpleObject, Default)]
pub struct RevokeApiKeyPayload {
    /// The id of the key, which no longer works.
    revoked_api_key_id: Option<ID>,
    /// Why no key was revoked.
    user_errors: Vec<UserError>,
}
payload!(RevokeApiKeyPayload);

/// The mutations of API keys.
#[derive(Default)]
pub struct ApiKeyMutation;

#[Object]
impl ApiKeyMutation {
    /// Creates an API key with which the viewer's programs reach one organization.
    async fn create_api_key(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The key to create.")] input: CreateApiKeyInput,
    ) -> async_graphql::Result<CreateApiKeyPayload> {
        let command = api_key::CreateApiKey {
            organization_id: input.organization_id.0,
            name: input.name,
            scope: input.scope.unwrap_or(ApiKeyScope::Write).into(),
            expires_at: input.expires_at.map(|time| time.0),
        };
        let outcome = api_key::create(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |(key, secret)| CreateApiKeyPayload {
            api_key: Some(ApiKey(key)),
            secret: Some(secret.reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Creates a service key. It belongs to the organization and stays valid when its creator's membership ends. It
    /// can query `access` and reaches nothing else.
    async fn create_service_key(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The service key to create.")] input: CreateServiceKeyInput,
    ) -> async_graphql::Result<CreateServiceKeyPayload> {
        let command = api_key::CreateApiKey {
            organization_id: input.organization_id.0,
            name: input.name,
            scope: input.scope.unwrap_or(ApiKeyScope::Write).into(),
            expires_at: input.expires_at.map(|time| time.0),
        };
        let outcome = api_key::create_service(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |(key, secret)| CreateServiceKeyPayload {
            api_key: Some(ApiKey(key)),
            secret: Some(secret.reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Revokes one of the viewer's API keys, or a service key that they may manage. Later requests with the key are
    /// refused.
    async fn revoke_api_key(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The key to revoke.")] input: RevokeApiKeyInput,
    ) -> async_graphql::Result<RevokeApiKeyPayload> {
        let outcome = api_key::revoke(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| RevokeApiKeyPayload {
            revoked_api_key_id: Some(id.to_string().into()),
            ..Default::default()
        })
    }
}
