//! People, as others see them.

use async_graphql::{Context, ID, Object};
use rollcall_domain::Error;
use rollcall_domain::id::{OrganizationId, TypedId, UserId};
use rollcall_domain::user;
use uuid::Uuid;

use super::context::{loaders, request};
use super::error::top_level;
use super::organization::Organization;

#[derive(Debug, Clone)]
pub enum User {
    /// Somebody whom the viewer may know.
    Known(Box<user::User>),
    /// Somebody of whom they know no more than this word, such as what they were named by.
    Called {
        /// The id, which leads nowhere where they don't know that either.
        id: UserId,
        /// The word.
        word: String,
    },
}

/// A person with an account.
#[Object]
impl User {
    /// Begins with usr_.
    pub async fn id(&self) -> ID {
        match self {
            Self::Known(user) => user.id.to_string().into(),
            Self::Called { id, .. } => id.to_string().into(),
        }
    }

    /// Unique; 2 to 39 of a–z, 0–9 and single hyphens. A deleted account has one with a dot, which nobody can choose. Where the
    /// viewer may not know the person, what they named them by, or a word for them.
    async fn username(&self) -> &str {
        match self {
            Self::Known(user) => user.username.as_str(),
            Self::Called { word, .. } => word,
        }
    }

    /// The person's name; “Deleted account” where the account was deleted. Where the viewer may not know the person, as `username`.
    async fn name(&self) -> &str {
        match self {
            Self::Known(user) => &user.name,
            Self::Called { word, .. } => word,
        }
    }

    /// A link to a picture.
    async fn avatar_url(&self) -> Option<&str> {
        match self {
            Self::Known(user) => user.avatar_url.as_deref(),
            Self::Called { .. } => None,
        }
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
            Some(id) => Ok(loaders(context).load_one(id).await?.map(Self::known)),
            None => Ok(None),
        }
    }

    /// An account that the viewer may know.
    pub fn known(user: user::User) -> Self {
        Self::Known(Box::new(user))
    }

    /// Somebody whom others have named: as the viewer knows them, or else as they were named, with an id that leads nowhere; by their
    /// id alone where that is what named them.
    pub async fn named(
        context: &Context<'_>,
        id: UserId,
        named_as: Option<&str>,
        by: Uuid,
    ) -> async_graphql::Result<Self> {
        if let Some(actor) = request(context).actor().cloned()
            && let Some(user) = loaders(context).load_one((actor, id)).await?
        {
            return Ok(Self::known(user));
        }
        Ok(match named_as {
            Some(word) => Self::Called { id: UserId::from_uuid(by), word: word.to_owned() },
            None => Self::Called { id, word: id.to_string() },
        })
    }

    /// Who did something for an organization, where the viewer sees that of it (R77) or is that person; nobody otherwise.
    pub async fn who_acted(
        context: &Context<'_>,
        organization_id: OrganizationId,
        id: Option<UserId>,
    ) -> async_graphql::Result<Option<Self>> {
        match Self::may_see(context, organization_id, id).await? {
            true => Self::load_optional(context, id).await,
            false => Ok(None),
        }
    }

    /// Who received something in an organization: where the viewer doesn't see who leads it (R77), somebody called its owner, with an
    /// id that leads nowhere.
    pub async fn who_received(
        context: &Context<'_>,
        organization_id: OrganizationId,
        id: UserId,
        by: Uuid,
    ) -> async_graphql::Result<Self> {
        Self::who_is(context, organization_id, id, "owner", by).await
    }

    /// Who is something in an organization, such as the owner of a resource: where the viewer doesn't see its structure (R77) and isn't
    /// that person, somebody called by what they are, with an id that leads nowhere.
    pub async fn who_is(
        context: &Context<'_>,
        organization_id: OrganizationId,
        id: UserId,
        word: &str,
        by: Uuid,
    ) -> async_graphql::Result<Self> {
        match Self::may_see(context, organization_id, Some(id)).await? {
            true => Self::load(context, id).await,
            false => Ok(Self::Called { id: UserId::from_uuid(by), word: word.to_owned() }),
        }
    }

    async fn may_see(
        context: &Context<'_>,
        organization_id: OrganizationId,
        id: Option<UserId>,
    ) -> async_graphql::Result<bool> {
        let own = id.is_some_and(|id| request(context).actor().is_some_and(|actor| actor.is(id)));
        Ok(own || Organization::load(context, organization_id).await?.shows_structure())
    }
}
