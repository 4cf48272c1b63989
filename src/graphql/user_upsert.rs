//! Bringing in a platform's accounts, many at once.

use async_graphql::{Context, InputObject, Json, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::sign_in::user_upsert;

use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::Time;
use super::resource_upsert::UpsertOutcome;
use super::undefined_or;
use super::user::User;

/// The accounts to bring in.
#[derive(InputObject)]
pub struct UpsertUsersInput {
    /// The accounts, 1 to 500, each named once.
    users: Vec<UserUpsertInput>,
}

/// An account, found by the platform's own id, else by its address. An omitted field stays as it is, and null clears
/// it.
#[derive(InputObject)]
pub struct UserUpsertInput {
    /// The platform's own id of the account, up to 255 characters.
    external_id: String,
    /// The email address. Needed for a new account.
    email: Option<String>,
    /// Whether the platform vouches that the address is this person's. Only then is an account that has the address
    /// already linked to `externalId`, and only then does an account get another address.
    #[graphql(default_with = "Some(false)")]
    email_verified: Option<bool>,
    /// The username. Made from the name if omitted for a new account.
    username: Option<String>,
    /// The person's name, 1 to 100 characters. Made from the address if omitted for a new account.
    name: Option<String>,
    /// The URL of a picture.
    avatar_url: MaybeUndefined<String>,
    /// What the platform attaches to the account, an object of at most 8 kB.
    metadata: MaybeUndefined<Json<serde_json::Value>>,
    /// When the account was created, for a new one: from 1970 to now. Now if omitted.
    created_at: Option<Time>,
}

impl From<UserUpsertInput> for user_upsert::UserUpsert {
    fn from(input: UserUpsertInput) -> Self {
        Self {
            external_id: input.external_id,
            email: input.email,
            email_verified: input.email_verified.unwrap_or_default(),
            username: input.username,
            name: input.name,
            avatar_url: undefined_or(input.avatar_url),
            metadata: undefined_or(input.metadata).map(|data| data.map(|data| data.0)),
            created_at: input.created_at.map(|time| time.0),
        }
    }
}

/// An account that was brought in.
#[derive(SimpleObject)]
pub struct UserUpsert {
    /// The account.
    user: User,
    /// What became of it.
    outcome: UpsertOutcome,
}

/// The result of bringing in accounts.
#[derive(SimpleObject, Default)]
pub struct UpsertUsersPayload {
    /// Each account with what became of it, in the order of the input.
    results: Option<Vec<UserUpsert>>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpsertUsersPayload);

/// The mutations that bring in accounts.
#[derive(Default)]
pub struct UserUpsertMutation;

#[Object]
impl UserUpsertMutation {
    /// Makes and changes accounts, 1 to 500, all or none. They are found by `externalId`, else by address, and the same
    /// call again changes nothing. No email is sent. For platform keys with USERS_WRITE that aren't limited to
    /// organizations.
    async fn upsert_users(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The accounts to bring in.")] input: UpsertUsersInput,
    ) -> async_graphql::Result<UpsertUsersPayload> {
        let items: Vec<user_upsert::UserUpsert> = input.users.into_iter().map(Into::into).collect();
        let actor = actor(context)?;
        let outcome = user_upsert::upsert(database(context), actor, &items).await;
        Payload::of(outcome, |results| UpsertUsersPayload {
            results: Some(
                results
                    .into_iter()
                    .map(|(user, outcome)| UserUpsert {
                        user: User::for_operator(actor, user),
                        outcome: outcome.into(),
                    })
                    .collect(),
            ),
            user_errors: Vec::new(),
        })
    }
}
