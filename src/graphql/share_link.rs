//! Share links to collections.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::base::id::{ResourceId, ShareLinkId};
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::resource::share_link;

use super::connection::connection;
use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::{Id, Time};
use super::user::User;

#[derive(Debug, Clone)]
pub struct ShareLink(pub share_link::ShareLink);

/// A link to a collection. Everyone who has the link can read a page with the collection's items, without an account.
#[Object]
impl ShareLink {
    /// The link's id. It begins with `lnk_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The last characters of the link, which help people to tell links apart.
    async fn hint(&self) -> &str {
        &self.0.hint
    }

    /// When the link expires; null if it doesn't.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// When the link was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// The user who created the link. The link ends when they leave the organization. If the directory is HIDDEN,
    /// members see only themselves here.
    async fn created_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::who_acted(context, self.0.organization_id, self.0.created_by_id).await
    }
}

connection!(ShareLinkConnection, ShareLinkEdge, ShareLink, "links", total_count);

/// The link to create.
#[derive(InputObject)]
pub struct CreateShareLinkInput {
    /// The collection. The viewer needs ADMINISTER access to it.
    resource_id: Id<ResourceId>,
    /// When the link expires. If omitted, it doesn't expire.
    expires_at: Option<Time>,
}

/// The result of creating a share link.
#[derive(SimpleObject, Default)]
pub struct CreateShareLinkPayload {
    /// The share link, without its URL.
    share_link: Option<ShareLink>,
    /// The URL. It is shown only this once.
    url: Option<String>,
    /// Why no link was created.
    user_errors: Vec<UserError>,
}
payload!(CreateShareLinkPayload);

/// Identifies the share link to revoke.
#[derive(InputObject)]
pub struct RevokeShareLinkInput {
    /// The link. The viewer needs ADMINISTER access to its collection.
    id: Id<ShareLinkId>,
}

/// The result of revoking a share link.
#[derive(SimpleObject, Default)]
pub struct RevokeShareLinkPayload {
    /// The id of the link, which no longer works.
    revoked_share_link_id: Option<ID>,
    /// Why no link was revoked.
    user_errors: Vec<UserError>,
}
payload!(RevokeShareLinkPayload);

/// The mutations of share links.
#[derive(Default)]
pub struct ShareLinkMutation;

#[Object]
impl ShareLinkMutation {
    /// Creates a link to a collection. Everyone who has the link can read the collection, without an account.
    async fn create_share_link(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The collection, and when the link expires.")] input: CreateShareLinkInput,
    ) -> async_graphql::Result<CreateShareLinkPayload> {
        let expires_at = input.expires_at.map(|time| time.0);
        let outcome = share_link::create(database(context), actor(context)?, input.resource_id.0, expires_at).await;
        let public_url = context.data_unchecked::<Arc<PublicUrl>>();
        Payload::of(outcome, |(link, token)| CreateShareLinkPayload {
            share_link: Some(ShareLink(link)),
            url: Some(public_url.link(Route::Shared(token.reveal())).into()),
            user_errors: Vec::new(),
        })
    }

    /// Revokes a share link. It stops working at once.
    async fn revoke_share_link(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The link to revoke.")] input: RevokeShareLinkInput,
    ) -> async_graphql::Result<RevokeShareLinkPayload> {
        let outcome = share_link::revoke(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| RevokeShareLinkPayload {
            revoked_share_link_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }
}
