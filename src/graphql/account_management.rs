//! What the platform's staff and services do with people's accounts (R84).

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use rollcall_domain::account::{session, suspension};
use rollcall_domain::departure::account_deletion;
use rollcall_domain::sign_in::email_change;

use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::user::{User, UserRef};

/// The account to suspend.
#[derive(InputObject)]
pub struct SuspendUserInput {
    /// The account.
    user: UserRef,
    /// Why, up to 2,000 characters. It is kept in the audit log, for staff and for readers of the feed.
    reason: Option<String>,
    /// Whether an email tells the person. If not, no email tells them what the platform does with the account while it
    /// is suspended, except for another address.
    #[graphql(default_with = "Some(true)")]
    notify: Option<bool>,
}

/// The result of suspending an account.
#[derive(SimpleObject, Default)]
pub struct SuspendUserPayload {
    /// The account.
    user: Option<User>,
    /// Why it wasn't suspended.
    user_errors: Vec<UserError>,
}
payload!(SuspendUserPayload);

/// The account whose suspension ends.
#[derive(InputObject)]
pub struct UnsuspendUserInput {
    /// The account.
    user: UserRef,
}

/// The result of lifting a suspension.
#[derive(SimpleObject, Default)]
pub struct UnsuspendUserPayload {
    /// The account.
    user: Option<User>,
    /// Why the suspension wasn't lifted.
    user_errors: Vec<UserError>,
}
payload!(UnsuspendUserPayload);

/// The account whose sessions end.
#[derive(InputObject)]
pub struct EndUserSessionsInput {
    /// The account.
    user: UserRef,
}

/// The result of ending an account's sessions.
#[derive(SimpleObject, Default)]
pub struct EndUserSessionsPayload {
    /// How many sessions were ended.
    ended: Option<i32>,
    /// Why none was ended.
    user_errors: Vec<UserError>,
}
payload!(EndUserSessionsPayload);

/// Another address for an account.
#[derive(InputObject)]
pub struct ChangeUserEmailInput {
    /// The account.
    user: UserRef,
    /// The new address, which no other account may have.
    email: String,
}

/// The result of changing an account's address.
#[derive(SimpleObject, Default)]
pub struct ChangeUserEmailPayload {
    /// The account.
    user: Option<User>,
    /// Why the address wasn't changed.
    user_errors: Vec<UserError>,
}
payload!(ChangeUserEmailPayload);

/// The account to delete.
#[derive(InputObject)]
pub struct DeleteUserInput {
    /// The account.
    user: UserRef,
    /// Why, up to 2,000 characters. It is kept in the audit log, for staff and for readers of the feed.
    reason: Option<String>,
}

/// The result of deleting an account.
#[derive(SimpleObject, Default)]
pub struct DeleteUserPayload {
    /// The id of the account, which is gone.
    deleted_user_id: Option<ID>,
    /// Why it wasn't deleted.
    user_errors: Vec<UserError>,
}
payload!(DeleteUserPayload);

/// The mutations with which the platform manages accounts.
#[derive(Default)]
pub struct AccountManagementMutation;

#[Object]
impl AccountManagementMutation {
    /// Suspends an account, which reaches nothing until the suspension is lifted: nobody signs in to it, and its
    /// sessions and keys rest. Memberships, grants and what the person owns stay. If the platform has suspended it
    /// before, nothing changes. For staff and for platform keys with USERS_WRITE that aren't limited to organizations.
    async fn suspend_user(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The account to suspend.")] input: SuspendUserInput,
    ) -> async_graphql::Result<SuspendUserPayload> {
        let actor = actor(context)?;
        let notice = match input.notify.unwrap_or(true) {
            true => suspension::Notice::Email,
            false => suspension::Notice::None,
        };
        let named = input.user.into();
        let outcome = suspension::suspend(database(context), actor, &named, input.reason.as_deref(), notice).await;
        Payload::of(outcome, |user| SuspendUserPayload {
            user: Some(User::for_operator(actor, user)),
            user_errors: Vec::new(),
        })
    }

    /// Lifts the suspension of an account, whoever suspended it. Sessions and keys that rested work again, unless they
    /// have expired. If it isn't suspended, nothing changes. For staff and for platform keys with USERS_WRITE that
    /// aren't limited to organizations.
    async fn unsuspend_user(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The account whose suspension ends.")] input: UnsuspendUserInput,
    ) -> async_graphql::Result<UnsuspendUserPayload> {
        let actor = actor(context)?;
        let outcome = suspension::lift(database(context), actor, &input.user.into()).await;
        Payload::of(outcome, |user| UnsuspendUserPayload {
            user: Some(User::for_operator(actor, user)),
            user_errors: Vec::new(),
        })
    }

    /// Ends all sessions of an account, everywhere and at once. Keys stay. For staff and for platform keys with
    /// USERS_WRITE that aren't limited to organizations.
    async fn end_user_sessions(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The account whose sessions end.")] input: EndUserSessionsInput,
    ) -> async_graphql::Result<EndUserSessionsPayload> {
        let outcome = session::end_all_of(database(context), actor(context)?, &input.user.into()).await;
        Payload::of(outcome, |ended| EndUserSessionsPayload {
            ended: Some(i32::try_from(ended).unwrap_or(i32::MAX)),
            user_errors: Vec::new(),
        })
    }

    /// Gives an account another address. Links under way to the old one end; sessions and keys stay. Both addresses are
    /// told. For staff.
    async fn change_user_email(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The account and its new address.")] input: ChangeUserEmailInput,
    ) -> async_graphql::Result<ChangeUserEmailPayload> {
        let actor = actor(context)?;
        let outcome = email_change::set(database(context), actor, &input.user.into(), &input.email).await;
        Payload::of(outcome, |user| ChangeUserEmailPayload {
            user: Some(User::for_operator(actor, user)),
            user_errors: Vec::new(),
        })
    }

    /// Deletes an account, as its person does with `deleteAccount`: it leaves every organization. Refused with
    /// OWNER_MUST_STAY while it owns one. For staff and for platform keys with USERS_WRITE that aren't limited to
    /// organizations.
    async fn delete_user(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The account to delete.")] input: DeleteUserInput,
    ) -> async_graphql::Result<DeleteUserPayload> {
        let (actor, named) = (actor(context)?, input.user.into());
        let outcome = account_deletion::delete_named(database(context), actor, &named, input.reason.as_deref()).await;
        Payload::of(outcome, |id| DeleteUserPayload {
            deleted_user_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }
}
