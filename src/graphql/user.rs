//! People, as others see them.

use std::collections::HashSet;

use async_graphql::{Context, ID, Object};
use rollcall_domain::Error;
use rollcall_domain::account::user;
use rollcall_domain::base::id::{OrganizationId, TypedId, UserId};
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

    /// Unique; 2 to 39 of a–z, 0–9 and single hyphens. A deleted account has one with a dot, which nobody can choose.
    /// Where the viewer may not know the person, what they named them by, or a word for them.
    async fn username(&self) -> &str {
        match self {
            Self::Known(user) => user.username.as_str(),
            Self::Called { word, .. } => word,
        }
    }

    /// The person's name; “Deleted account” where the account was deleted. Where the viewer may not know the person, as
    /// `username`.
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

/// How somebody named another person or organization.
pub struct Naming<'a> {
    /// For what is of which organization.
    pub organization_id: OrganizationId,
    /// Who named them.
    pub named_by: UserId,
    /// By which word; none where it was an id.
    pub word: Option<&'a str>,
    /// What led to them, whose id stands for theirs.
    pub by: Uuid,
}

impl Naming<'_> {
    /// Whether the word is shown to the viewer: to whoever typed it, and to those who lead the organization. It may be
    /// an address, which others don't learn because they administer the same resource.
    pub async fn is_shown(&self, context: &Context<'_>) -> async_graphql::Result<bool> {
        let own = request(context).actor().is_some_and(|actor| actor.is_in(self.organization_id, self.named_by));
        Ok(own || Organization::load(context, self.organization_id).await?.is_led_by_viewer())
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

    /// The user of an id, where the viewer may know them.
    pub async fn if_known(context: &Context<'_>, id: UserId) -> async_graphql::Result<Option<Self>> {
        match request(context).actor().cloned() {
            Some(actor) => Ok(loaders(context).load_one((actor, id)).await?.map(Self::known)),
            None => Ok(None),
        }
    }

    /// Those of the ids whom the viewer may know.
    pub async fn known_of(context: &Context<'_>, ids: &HashSet<UserId>) -> async_graphql::Result<HashSet<UserId>> {
        let Some(actor) = request(context).actor() else { return Ok(HashSet::new()) };
        let known = loaders(context).load_many(ids.iter().map(|id| (actor.clone(), *id))).await?;
        Ok(known.into_values().map(|user| user.id).collect())
    }

    /// Somebody whom others have named: as the viewer knows them; else, to those to whom the word is shown, as they
    /// were named, with an id that leads nowhere, or by their id alone where that is what named them; else somebody.
    pub async fn named(context: &Context<'_>, id: UserId, naming: Naming<'_>) -> async_graphql::Result<Self> {
        if let Some(known) = Self::if_known(context, id).await? {
            return Ok(known);
        }
        let called = |word: &str| Self::Called { id: UserId::from_uuid(naming.by), word: word.to_owned() };
        Ok(match (naming.is_shown(context).await?, naming.word) {
            (true, Some(word)) => called(word),
            (true, None) => Self::Called { id, word: id.to_string() },
            (false, _) => called("someone"),
        })
    }

    /// Who did something for an organization, where the viewer sees that of it (R77) or is that person; nobody
    /// otherwise.
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

    /// Who received something in an organization: where the viewer doesn't see who leads it (R77), somebody called its
    /// owner, with an id that leads nowhere.
    pub async fn who_received(
        context: &Context<'_>,
        organization_id: OrganizationId,
        id: UserId,
        by: Uuid,
    ) -> async_graphql::Result<Self> {
        Self::who_is(context, organization_id, id, "owner", by).await
    }

    /// Who is something in an organization, such as the owner of a resource: where the viewer doesn't see its structure
    /// (R77) and isn't that person, somebody called by what they are, with an id that leads nowhere.
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
