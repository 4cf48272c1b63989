//! The viewer's identities at issuers.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::account::identity;
use rollcall_domain::base::id::IdentityId;

use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::Id;

#[derive(Debug, Clone)]
pub struct Identity(pub identity::Identity);

/// A sign-in at an issuer (OpenID Connect) that is this account's.
#[Object]
impl Identity {
    /// The identity's id. It begins with `idn_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The issuer's identifier, a URL.
    async fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Who the person is to the issuer.
    async fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The address that the issuer called theirs when they first signed in by it.
    async fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// When they first signed in by it.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When they last used it, with a precision of five minutes.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        Some(self.0.last_used_at)
    }
}

/// Identifies the identity to unlink.
#[derive(InputObject)]
pub struct UnlinkIdentityInput {
    /// One of the viewer's identities.
    id: Id<IdentityId>,
}

/// The result of unlinking an identity.
#[derive(SimpleObject, Default)]
pub struct UnlinkIdentityPayload {
    /// The id of the identity, which leads to no account any more.
    unlinked_identity_id: Option<ID>,
    /// Why nothing was unlinked.
    user_errors: Vec<UserError>,
}
payload!(UnlinkIdentityPayload);

/// The mutations of identities.
#[derive(Default)]
pub struct IdentityMutation;

#[Object]
impl IdentityMutation {
    /// Unlinks a sign-in at an issuer from the viewer's account. Tokens that the issuer has signed for it are refused at
    /// once, also the one with which this is asked. The person signs in by email from then on.
    async fn unlink_identity(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The identity to unlink.")] input: UnlinkIdentityInput,
    ) -> async_graphql::Result<UnlinkIdentityPayload> {
        let outcome = identity::unlink(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| UnlinkIdentityPayload {
            unlinked_identity_id: Some(id.to_string().into()),
            ..Default::default()
        })
    }
}
