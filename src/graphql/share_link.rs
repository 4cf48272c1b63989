//! Links to collections, for whoever has them.

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

/// A link to a collection: whoever has it reads a page of what the collection gathers.
#[Object]
impl ShareLink {
    /// Begins with lnk_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The last characters of the link, to tell links apart.
    async fn hint(&self) -> &str {
        &self.0.hint
    }

    /// When it ends by itself.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// Who made it; it ends when they leave the organization. Null for members where the directory is HIDDEN, but for
    /// their own.
    async fn created_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::who_acted(context, self.0.organization_id, Some(self.0.created_by_id)).await
    }
}

connection!(ShareLinkConnection, ShareLinkEdge, ShareLink, "links", total_count);

/// A link to be made.
#[derive(InputObject)]
pub struct CreateShareLinkInput {
    /// The collection; takes ADMINISTER on it.
    resource_id: Id<ResourceId>,
    /// When the link ends by itself; never where left out.
    expires_at: Option<Time>,
}

/// A new link.
#[derive(SimpleObject, Default)]
pub struct CreateShareLinkPayload {
    /// What is known of it afterwards.
    share_link: Option<ShareLink>,
    /// The link itself; shown this once.
    url: Option<String>,
    /// Why none was made.
    user_errors: Vec<UserError>,
}
payload!(CreateShareLinkPayload);

/// A link to revoke.
#[derive(InputObject)]
pub struct RevokeShareLinkInput {
    /// The link; takes ADMINISTER on its collection.
    id: Id<ShareLinkId>,
}

/// A link that no longer works.
#[derive(SimpleObject, Default)]
pub struct RevokeShareLinkPayload {
    /// Which.
    revoked_share_link_id: Option<ID>,
    /// Why none was revoked.
    user_errors: Vec<UserError>,
}
payload!(RevokeShareLinkPayload);

/// Links to collections.
#[derive(Default)]
pub struct ShareLinkMutation;

#[Object]
impl ShareLinkMutation {
    /// Makes a link to a collection: whoever has it reads the collection, without an account.
    async fn create_share_link(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "To which collection.")] input: CreateShareLinkInput,
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

    /// Revokes a link: it stops working at once.
    async fn revoke_share_link(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which link.")] input: RevokeShareLinkInput,
    ) -> async_graphql::Result<RevokeShareLinkPayload> {
        let outcome = share_link::revoke(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| RevokeShareLinkPayload {
            revoked_share_link_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }
}
