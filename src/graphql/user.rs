//! People, as others see them.

use std::collections::HashSet;
use std::sync::Arc;

use async_graphql::{Context, ID, Json, Object, OneofObject};
use chrono::{DateTime, Utc};
use rollcall_domain::Error;
use rollcall_domain::account::{user, user_ref};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::platform_data::WithMetadata;
use rollcall_domain::base::id::{OrganizationId, TypedId, UserId};
use uuid::Uuid;

use super::context::{NamingOf, connection, loaders, metadata, request};
use super::error::top_level;
use super::id::Id;
use super::organization::Organization;

#[derive(Debug, Clone)]
pub enum User {
    /// A user whom the viewer may know.
    Known(Arc<user::User>),
    /// A placeholder for a user whom the viewer may not know. It has only a word as its name, such as the one by which
    /// the user was named.
    Called {
        /// The id. Unless the viewer already knows the user's id, this is another id, which can't be looked up.
        id: UserId,
        /// The word that is shown as name and username.
        word: String,
    },
}

/// A person with an account.
#[Object]
impl User {
    /// The user's id. It begins with `usr_`.
    pub async fn id(&self) -> ID {
        match self {
            Self::Known(user) => user.id.to_string().into(),
            Self::Called { id, .. } => id.to_string().into(),
        }
    }

    /// The unique username: 2 to 39 characters out of a–z, 0–9 and single hyphens. A deleted account gets one that
    /// contains a dot, which nobody can choose. For a placeholder, it is the word by which the person was named, or a
    /// general word such as `owner`.
    async fn username(&self) -> &str {
        match self {
            Self::Known(user) => user.username.as_str(),
            Self::Called { word, .. } => word,
        }
    }

    /// The person's name. It is “Deleted account” if the account was deleted. For a placeholder, it is the same as
    /// `username`.
    async fn name(&self) -> &str {
        match self {
            Self::Known(user) => &user.name,
            Self::Called { word, .. } => word,
        }
    }

    /// The URL of the person's picture.
    async fn avatar_url(&self) -> Option<&str> {
        match self {
            Self::Known(user) => user.avatar_url.as_deref(),
            Self::Called { .. } => None,
        }
    }

    /// The platform's own id of this account. Null for everybody but platform keys, staff and the person.
    async fn external_id(&self, context: &Context<'_>) -> Option<&str> {
        match self {
            Self::Known(user) if sees_platform_data(context, user.id) => user.external_id.as_deref(),
            Self::Known(_) | Self::Called { .. } => None,
        }
    }

    /// What the platform attached to this account, an object of at most 8 kB. Null for everybody but platform keys,
    /// staff and the person.
    async fn metadata(&self, context: &Context<'_>) -> async_graphql::Result<Option<Json<serde_json::Value>>> {
        match self {
            Self::Known(user) if sees_platform_data(context, user.id) => {
                metadata(context, WithMetadata::User(user.id)).await
            }
            Self::Known(_) | Self::Called { .. } => Ok(None),
        }
    }

    /// When the account was suspended; null while it isn't, and for everybody but platform keys and staff.
    async fn suspended_at(&self, context: &Context<'_>) -> Option<DateTime<Utc>> {
        match self {
            Self::Known(user) => {
                let is_shown = request(context).actor().is_some_and(|actor| actor.is_of_platform());
                user.suspended_at.filter(|_| is_shown)
            }
            Self::Called { .. } => None,
        }
    }
}

/// Whether the viewer sees what the platform attached to an account.
fn sees_platform_data(context: &Context<'_>, user_id: UserId) -> bool {
    request(context).actor().is_some_and(|actor| actor.is_of_platform() || actor.is(user_id))
}

/// Identifies an account. Exactly one field must be set.
#[derive(OneofObject)]
pub enum UserRef {
    /// The account's id.
    Id(Id<UserId>),
    /// The platform's own id of the account.
    ExternalId(String),
    /// The account's email address.
    Email(String),
    /// The account's current username.
    Username(String),
}

impl From<UserRef> for user_ref::UserRef {
    fn from(named: UserRef) -> Self {
        match named {
            UserRef::Id(id) => Self::Id(id.0),
            UserRef::ExternalId(id) => Self::ExternalId(id),
            UserRef::Email(email) => Self::Email(email),
            UserRef::Username(username) => Self::Username(username),
        }
    }
}

/// Finds the account that is named, for platform keys with READ and for staff. For everybody else there is none.
pub async fn find(context: &Context<'_>, by: UserRef) -> async_graphql::Result<Option<User>> {
    let Some(actor) = request(context).actor() else { return Ok(None) };
    if !actor.is_of_platform() {
        return Ok(None);
    }
    let named = by.into();
    let found = user_ref::resolve(&mut *connection(context).await?, std::slice::from_ref(&named)).await;
    let Some(id) = found.map_err(top_level)?.remove(&named) else { return Ok(None) };
    User::if_known(context, id).await
}

/// Describes how somebody named another person or organization.
pub struct Naming<'a> {
    /// The organization in which they were named.
    pub organization_id: OrganizationId,
    /// The user who named them.
    pub named_by: Option<UserId>,
    /// The word by which they were named. `None` if they were named by their id.
    pub word: Option<&'a str>,
    /// The id of the object that refers to them. A placeholder gets this id instead of theirs.
    pub by: Uuid,
}

impl Naming<'_> {
    /// Whether the viewer may see the word. That is the case for the user who typed it, and for those who lead the
    /// organization. The word may be an email address, which others don't learn just because they administer the same
    /// resource.
    pub async fn is_shown(&self, context: &Context<'_>) -> async_graphql::Result<bool> {
        let own = match (request(context).actor(), self.named_by) {
            (Some(actor), Some(named_by)) => actor.is_in(self.organization_id, named_by),
            (Some(_) | None, _) => false,
        };
        Ok(own || Organization::load(context, self.organization_id).await?.is_led_by_viewer())
    }
}

impl User {
    /// Loads the user. Only for ids that a visible object has led to.
    pub async fn load(context: &Context<'_>, id: UserId) -> async_graphql::Result<Self> {
        Self::load_optional(context, Some(id)).await?.ok_or_else(|| top_level(Error::Bug("an account is missing")))
    }

    /// Like [`Self::load`], for ids that may be absent.
    pub async fn load_optional(context: &Context<'_>, id: Option<UserId>) -> async_graphql::Result<Option<Self>> {
        match id {
            Some(id) => Ok(loaders(context).load_one(id).await?.map(Self::known)),
            None => Ok(None),
        }
    }

    /// A user whom the viewer may know.
    pub fn known(user: impl Into<Arc<user::User>>) -> Self {
        Self::Known(user.into())
    }

    /// An account that the platform's staff or one of its keys has written. A key without READ learns the account's id,
    /// and nothing else of it.
    pub fn for_operator(actor: &Actor, user: user::User) -> Self {
        match actor.sees_people() {
            true => Self::known(user),
            false => Self::Called { id: user.id, word: "account".to_owned() },
        }
    }

    /// Loads the user, if the viewer may know them.
    pub async fn if_known(context: &Context<'_>, id: UserId) -> async_graphql::Result<Option<Self>> {
        match request(context).actor().cloned() {
            Some(actor) => Ok(loaders(context).load_one((actor, id)).await?.map(Self::known)),
            None => Ok(None),
        }
    }

    /// Loads the user, for ids that an object has led to whose viewers may know the user. For keys that see no people,
    /// this is a placeholder called by the word, with an id that can't be looked up.
    pub async fn for_people(context: &Context<'_>, id: UserId, word: &str, by: Uuid) -> async_graphql::Result<Self> {
        match Self::are_shown(context) {
            true => Self::load(context, id).await,
            false => Ok(Self::Called { id: UserId::from_uuid(by), word: word.to_owned() }),
        }
    }

    /// Like [`Self::for_people`], for ids that may be absent. Keys that see no people get nobody.
    pub async fn optional_for_people(context: &Context<'_>, id: Option<UserId>) -> async_graphql::Result<Option<Self>> {
        Self::load_optional(context, id.filter(|_| Self::are_shown(context))).await
    }

    /// Whether the viewer sees people at all.
    fn are_shown(context: &Context<'_>) -> bool {
        request(context).actor().is_none_or(Actor::sees_people)
    }

    /// The ids of those users whom the viewer may know.
    pub async fn known_of(context: &Context<'_>, ids: &HashSet<UserId>) -> async_graphql::Result<HashSet<UserId>> {
        let Some(actor) = request(context).actor() else { return Ok(HashSet::new()) };
        let known = loaders(context).load_many(ids.iter().map(|id| (actor.clone(), *id))).await?;
        Ok(known.into_values().map(|user| user.id).collect())
    }

    /// A user whom somebody has named. Viewers who know the user see them as they are. Viewers to whom the word is
    /// shown see a placeholder: named by the word and with an id that can't be looked up, or, if the user was named by
    /// their id, with that id alone. Everybody else sees an anonymous placeholder.
    pub async fn named(context: &Context<'_>, id: UserId, naming: Naming<'_>) -> async_graphql::Result<Self> {
        match Self::if_known(context, id).await? {
            Some(known) => Ok(known),
            None => Self::unknown(context, id, naming).await,
        }
    }

    /// A person who may be outside an organization in which something of theirs is shown, such as what they used.
    /// Viewers who know the person see them as they are. Everybody else sees a collaborator as they are named in the
    /// grant that makes them one, and anybody else as an anonymous placeholder. Either placeholder has the same id for
    /// the same person, made of their id as a collaborator.
    pub async fn outside(
        context: &Context<'_>,
        organization_id: OrganizationId,
        id: UserId,
    ) -> async_graphql::Result<Self> {
        if let Some(known) = Self::if_known(context, id).await? {
            return Ok(known);
        }
        let found = loaders(context).load_one(NamingOf(organization_id, id)).await?;
        let found = found.ok_or_else(|| top_level(Error::Bug("every person has a naming")))?;
        let by = found.id.uuid();
        if !found.is_collaborator {
            return Ok(Self::Called { id: UserId::from_uuid(by), word: "someone".to_owned() });
        }
        let (named_by, word) = (found.granted_by_id, found.named_as.as_deref());
        Self::unknown(context, id, Naming { organization_id, named_by, word, by }).await
    }

    /// The placeholder for a user whom the viewer doesn't know and somebody has named.
    async fn unknown(context: &Context<'_>, id: UserId, naming: Naming<'_>) -> async_graphql::Result<Self> {
        let called = |word: &str| Self::Called { id: UserId::from_uuid(naming.by), word: word.to_owned() };
        Ok(match (naming.is_shown(context).await?, naming.word) {
            (true, Some(word)) => called(word),
            (true, None) => Self::Called { id, word: id.to_string() },
            (false, _) => called("someone"),
        })
    }

    /// The user who did something in an organization. `None` unless the viewer may see the organization's structure
    /// (R77) or is that user.
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

    /// The user who received something in an organization. If the viewer may not see the organization's structure
    /// (R77), this is a placeholder with the username `owner`, with an id that can't be looked up.
    pub async fn who_received(
        context: &Context<'_>,
        organization_id: OrganizationId,
        id: UserId,
        by: Uuid,
    ) -> async_graphql::Result<Self> {
        Self::who_is(context, organization_id, id, "owner", by).await
    }

    /// The user who has a role in an organization, such as the owner of a resource. If the viewer may not see the
    /// organization's structure (R77) and isn't that user, this is a placeholder named after the role, with an id that
    /// can't be looked up.
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
        Ok(own || Self::are_shown(context) && Organization::load(context, organization_id).await?.shows_structure())
    }
}
