//! People, as others see them.

use async_graphql::{Context, ID, Object};
use rollcall_domain::Error;
use rollcall_domain::id::UserId;
use rollcall_domain::user;

use super::context::loaders;
use super::error::top_level;

#[derive(Debug, Clone)]
pub struct User(pub user::User);

/// A person with an account.
#[Object]
impl User {
    /// Begins with usr_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Unique; 2 to 39 of a–z, 0–9 and single hyphens. A deleted account has one with a dot, which nobody can choose.
    async fn username(&self) -> &str {
        self.0.username.as_str()
    }

    /// The person's name; “Deleted account” where the account was deleted.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// A link to a picture.
    async fn avatar_url(&self) -> Option<&str> {
        self.0.avatar_url.as_deref()
    }
}

impl User {
    /// The user of an id that something visible led to.
    pub async fn load(context: &Context<'_>, id: UserId) -> async_graphql::Result<Self> {
        Self::load_optional(context, Some(id)).await?.ok_or_else(|| top_level(Error::Bug("an account is missing")))
    }

    /// Like [`Self::load`], where there may be none.
    pub async fn load_optional(context: &Context<'_>, id: Option<UserId>) -> async_graphql::Result<Option<Self>> {
        match id {
            Some(id) => Ok(loaders(context).load_one(id).await?.map(Self)),
            None => Ok(None),
        }
    }
}
