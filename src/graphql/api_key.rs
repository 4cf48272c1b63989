//! API keys: the viewer's, and the organizations' service keys.

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
    /// Only read.
    Read,
    /// All that its person may do in the organization.
    Write,
}

#[derive(Debug, Clone)]
pub struct ApiKey(pub api_key::ApiKey);

/// A way in for programs, in one organization only.
#[Object]
impl ApiKey {
    /// Begins with key_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What its maker calls it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The first characters of the secret, to tell keys apart.
    async fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// What it may do.
    async fn scope(&self) -> ApiKeyScope {
        self.0.scope.into()
    }

    /// The only organization that it reaches.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.0.organization_id).await
    }

    /// Who made it.
    async fn created_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::load_optional(context, Some(self.0.user_id)).await
    }

    /// Whether it belongs to the organization rather than to a person.
    async fn service(&self) -> bool {
        self.0.service
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was last used, to within five minutes.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }

    /// When it ends by itself.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }
}

connection!(ApiKeyConnection, ApiKeyEdge, ApiKey, "API keys", total_count);

/// A key to be made.
#[derive(InputObject)]
pub struct CreateApiKeyInput {
    /// The only organization that it shall reach; the viewer belongs to it.
    organization_id: Id<OrganizationId>,
    /// What to call it, in 1 to 100 characters.
    name: String,
    /// What it may do.
    #[graphql(default_with = "Some(ApiKeyScope::Write)")]
    scope: Option<ApiKeyScope>,
    /// When it ends by itself; never where left out.
    expires_at: Option<Time>,
}

/// A new key with its secret.
#[derive(SimpleObject, Default)]
pub struct CreateApiKeyPayload {
    /// The key.
    api_key: Option<ApiKey>,
    /// To be sent as `Authorization: Bearer …`; shown this once.
    secret: Option<String>,
    /// Why none was made.
    user_errors: Vec<UserError>,
}
payload!(CreateApiKeyPayload);

/// A service key to be made.
#[derive(InputObject)]
pub struct CreateServiceKeyInput {
    /// The organization that it shall belong to.
    organization_id: Id<OrganizationId>,
    /// What to call it, in 1 to 100 characters.
    name: String,
    /// What it may do.
    #[graphql(default_with = "Some(ApiKeyScope::Write)")]
    scope: Option<ApiKeyScope>,
    /// When it ends by itself; never where left out.
    expires_at: Option<Time>,
}

/// A new service key with its secret.
#[derive(SimpleObject, Default)]
pub struct CreateServiceKeyPayload {
    /// The key.
    api_key: Option<ApiKey>,
    /// To be sent as `Authorization: Bearer …`; shown this once.
    secret: Option<String>,
    /// Why none was made.
    user_errors: Vec<UserError>,
}
payload!(CreateServiceKeyPayload);

/// A key to be revoked.
#[derive(InputObject)]
pub struct RevokeApiKeyInput {
    /// One of the viewer's keys, or a service key that they may manage.
    id: Id<ApiKeyId>,
}

/// A key that no longer works.
#[derive(SimpleObject, Default)]
pub struct RevokeApiKeyPayload {
    /// Which.
    revoked_api_key_id: Option<ID>,
    /// Why none was revoked.
    user_errors: Vec<UserError>,
}
payload!(RevokeApiKeyPayload);

/// API keys.
#[derive(Default)]
pub struct ApiKeyMutation;

#[Object]
impl ApiKeyMutation {
    /// Makes an API key of the viewer for one organization.
    async fn create_api_key(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The key.")] input: CreateApiKeyInput,
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

    /// Makes a service key: it belongs to the organization and outlives its maker's membership. It asks `access`, and
    /// reaches nothing else.
    async fn create_service_key(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The key.")] input: CreateServiceKeyInput,
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

    /// Revokes an API key of the viewer, or a service key that they may manage: the next request with it is refused.
    async fn revoke_api_key(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The key.")] input: RevokeApiKeyInput,
    ) -> async_graphql::Result<RevokeApiKeyPayload> {
        let outcome = api_key::revoke(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| RevokeApiKeyPayload {
            revoked_api_key_id: Some(id.to_string().into()),
            ..Default::default()
        })
    }
}
