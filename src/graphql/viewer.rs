//! The viewer: the user who makes the request.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use diesel_async::AsyncPgConnection;
use rollcall_domain::account::{api_key, identity, profile, session, user};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::platform::Within;
use rollcall_domain::base::id::{OrganizationId, UserId};
use rollcall_domain::base::page::Page;
use rollcall_domain::base::text::EmailAddress;
use rollcall_domain::departure::account_deletion;
use rollcall_domain::membership::{invitation, member};
use rollcall_domain::organization::billing;
use rollcall_domain::resource;
use rollcall_domain::resource::list::ResourceFilter;
use rollcall_domain::resource::transfer;
use rollcall_domain::sign_in::email_change;

use super::api_key::{ApiKey, ApiKeyConnection};
use super::connection::{forward, total};
use super::context::{actor, connection, database, request};
use super::error::{Payload, UserError, payload, top_level, unauthenticated};
use super::id::Id;
use super::identity::Identity;
use super::invitation::{Invitation, InvitationConnection};
use super::member::{Member, MemberConnection};
use super::organization::Organization;
use super::resource::{Resource, ResourceConnection, ResourceKind};
use super::rights::Role;
use super::session::{Session, SessionConnection};
use super::transfer::{ProjectTransfer, ProjectTransferConnection};
use super::user::User;

#[derive(Debug, Clone)]
pub struct Viewer {
    user: user::User,
    email: EmailAddress,
    actor: Actor,
}

impl Viewer {
    /// Loads the viewer for an actor. `None` for staff and service keys, which don't have an account. Fails with
    /// UNAUTHENTICATED if the account was deleted in the meantime.
    pub async fn load(connection: &mut AsyncPgConnection, actor: &Actor) -> async_graphql::Result<Option<Self>> {
        let Some(user_id) = actor.account() else { return Ok(None) };
        let user = user::by_id(connection, user_id).await.map_err(top_level)?;
        Self::of(user, actor.clone()).map(Some)
    }

    /// Makes the viewer for an actor. Fails with UNAUTHENTICATED if the account is deleted.
    pub fn of(user: user::User, actor: Actor) -> async_graphql::Result<Self> {
        let email = user.email.clone().ok_or_else(unauthenticated)?;
        Ok(Self { user, email, actor })
    }

    fn id(&self) -> UserId {
        self.user.id
    }
}

/// The user who makes the request, including what only they can see.
#[Object]
impl Viewer {
    /// The viewer's account, as others see it.
    async fn user(&self) -> User {
        User::known(self.user.clone())
    }

    /// The email address of the viewer's account.
    async fn email(&self) -> &str {
        self.email.as_str()
    }

    /// The viewer's active memberships with this role or a higher one. The personal organization isn't included.
    async fn memberships(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The lowest role to include.", default_with = "Some(Role::Viewer)")] at_least: Option<Role>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<MemberConnection> {
        let at_least = at_least.unwrap_or(Role::Viewer).into();
        let mut connection = connection(context).await?;
        let page = member::list_of_user(&mut connection, &self.actor, at_least, &forward(first, after)).await;
        let total = total(context, member::count_of_user(&mut connection, &self.actor, at_least)).await?;
        Ok(MemberConnection::new(page.map_err(top_level)?.map(Member), total))
    }

    /// The viewer's personal organization. It holds and pays for what doesn't belong to any other organization, and
    /// nobody else can join it.
    async fn personal_organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        let id =
            user::personal_organization_id(&mut *connection(context).await?, self.id()).await.map_err(top_level)?;
        Organization::load_as(context, &self.actor, id).await
    }

    /// The session's active organization. Null if none was chosen.
    async fn active_organization(&self, context: &Context<'_>) -> async_graphql::Result<Option<Organization>> {
        let Some((user_id, session_id)) = self.actor.session() else { return Ok(None) };
        let found =
            session::by_ids(&mut *connection(context).await?, user_id, &[session_id]).await.map_err(top_level)?;
        match found.into_iter().next().and_then(|session| session.active_organization_id) {
            Some(id) => Ok(Some(Organization::load_as(context, &self.actor, id).await?)),
            None => Ok(None),
        }
    }

    /// Whether the account has no organization except its personal one, so that a client should offer to create one or
    /// to enter a join code. Always false for API keys, which can do neither.
    async fn needs_organization(&self, context: &Context<'_>) -> async_graphql::Result<bool> {
        user::needs_organization(&mut *connection(context).await?, &self.actor).await.map_err(top_level)
    }

    /// The organization that pays for new projects and apps, unless another one is named. For an API key, it is the
    /// key's organization.
    async fn default_bill_to(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        let within = self.actor.reach().map_or(Within::All, |reach| reach.within().clone());
        let id =
            user::default_bill_to(&mut *connection(context).await?, &self.user, &within).await.map_err(top_level)?;
        Organization::load_as(context, &self.actor, id).await
    }

    /// The organizations that the viewer may bill to: first the personal one, then the others by name, 100 at most.
    /// `memberships` lists all that the viewer belongs to. For an API key, it is at most the key's organization.
    async fn billable_organizations(&self, context: &Context<'_>) -> async_graphql::Result<Vec<Organization>> {
        let found =
            billing::billable_organizations(&mut *connection(context).await?, &self.actor).await.map_err(top_level)?;
        let seen = |(organization, permit)| Organization::seen_by(&self.actor, organization, Some(permit));
        Ok(found.into_iter().map(seen).collect())
    }

    /// The pending invitations to this account.
    async fn invitations(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<InvitationConnection> {
        if self.actor.session().is_none() {
            // A key reaches only its own organization, not those that its person is invited to.
            return Ok(InvitationConnection::new(Page::default(), 0));
        }
        let mut connection = connection(context).await?;
        let page = invitation::list_to(&mut connection, &self.user, &forward(first, after)).await.map_err(top_level)?;
        let total = total(context, invitation::count_to(&mut connection, &self.user)).await?;
        let now = rollcall_domain::database::now(&connection).await.map_err(top_level)?;
        Ok(InvitationConnection::new(page.map(|invitation| Invitation::at(invitation, now)), total))
    }

    /// Everything that the viewer can reach in any organization, oldest first.
    async fn resources(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only resources of this kind.")] kind: Option<ResourceKind>,
        #[graphql(desc = "Only resources of this organization.")] organization_id: Option<Id<OrganizationId>>,
        #[graphql(
            desc = "Only resources whose name contains this text, ignoring case and accents. A text of one or two letters or digits finds names with a word that begins with it."
        )]
        search: Option<String>,
    ) -> async_graphql::Result<ResourceConnection> {
        let filter = ResourceFilter {
            kind: kind.map(Into::into),
            organization_id: organization_id.map(|id| id.0),
            search,
            ..ResourceFilter::default()
        };
        let mut connection = connection(context).await?;
        let page = resource::list::list_of_user(&mut connection, &self.actor, &filter, &forward(first, after)).await;
        Ok(ResourceConnection::new(page.map_err(top_level)?.map(Resource)))
    }

    /// The pending offers of projects to the viewer, oldest first.
    async fn incoming_transfers(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<ProjectTransferConnection> {
        let mut connection = connection(context).await?;
        let page = transfer::list_incoming(&mut connection, &self.actor, &forward(first, after)).await;
        let total = total(context, transfer::count_incoming(&mut connection, &self.actor)).await?;
        let now = rollcall_domain::database::now(&connection).await.map_err(top_level)?;
        let page = page.map_err(top_level)?.map(|transfer| ProjectTransfer::at(transfer, now));
        Ok(ProjectTransferConnection::new(page, total))
    }

    /// The viewer's API keys, oldest first.
    async fn api_keys(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<ApiKeyConnection> {
        let mut connection = connection(context).await?;
        let page = api_key::list(&mut connection, &self.actor, &forward(first, after)).await.map_err(top_level)?;
        let total = total(context, api_key::count(&mut connection, &self.actor)).await?;
        Ok(ApiKeyConnection::new(page.map(ApiKey), total))
    }

    /// The viewer's sessions, oldest first.
    async fn sessions(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<SessionConnection> {
        if self.actor.session().is_none() {
            return Ok(SessionConnection::new(Page::default(), 0));
        }
        let mut connection = connection(context).await?;
        let page = session::list(&mut connection, self.id(), &forward(first, after)).await.map_err(top_level)?;
        let total = total(context, session::count(&mut connection, self.id())).await?;
        Ok(SessionConnection::new(page.map(|session| Session::of(&self.actor, session)), total))
    }

    /// By which issuers the viewer signs in, oldest first. There is at most one for each issuer; none for API keys.
    async fn identities(&self, context: &Context<'_>) -> async_graphql::Result<Vec<Identity>> {
        if self.actor.session().is_none() {
            return Ok(Vec::new());
        }
        let found = identity::list(&mut *connection(context).await?, self.id()).await.map_err(top_level)?;
        Ok(found.into_iter().map(Identity).collect())
    }
}

/// The changes to the viewer's profile. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateProfileInput {
    /// The name, which emails show: 1 to 100 characters, without links.
    name: MaybeUndefined<String>,
    /// The unique username: 2 to 39 characters out of a–z, 0–9 and single hyphens. The old username stops working at
    /// once, so everybody who shares or invites by it needs the new one. For 90 days it is reserved for the viewer,
    /// who may take it back. At most 10 old usernames are reserved at a time.
    username: MaybeUndefined<String>,
    /// The URL of a picture; null clears it.
    avatar_url: MaybeUndefined<String>,
}

/// The result of changing the viewer's profile.
#[derive(SimpleObject, Default)]
pub struct UpdateProfilePayload {
    /// The viewer with the new profile.
    viewer: Option<Viewer>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateProfilePayload);

/// The new email address for the viewer's account.
#[derive(InputObject)]
pub struct ChangeEmailInput {
    /// The new email address. No account may have it.
    email: String,
}

/// The result of requesting a change of the email address.
#[derive(SimpleObject, Default)]
pub struct ChangeEmailPayload {
    /// Why no email was sent.
    user_errors: Vec<UserError>,
}

impl Payload for ChangeEmailPayload {
    fn refused(user_errors: Vec<UserError>) -> Self {
        Self { user_errors }
    }
}

/// The proof that the new email address belongs to the account's owner.
#[derive(InputObject)]
pub struct ConfirmEmailChangeInput {
    /// The token from the link that was emailed to the new address. It works once, within an hour.
    token: String,
}

/// The result of changing the email address.
#[derive(SimpleObject, Default)]
pub struct ConfirmEmailChangePayload {
    /// The account's new email address.
    email: Option<String>,
    /// Why the address wasn't changed.
    user_errors: Vec<UserError>,
}
payload!(ConfirmEmailChangePayload);

/// The confirmation that the account is to be deleted.
#[derive(InputObject)]
pub struct DeleteAccountInput {
    /// The account's email address, typed as confirmation.
    confirm_email: String,
}

/// The result of deleting an account.
#[derive(SimpleObject, Default)]
pub struct DeleteAccountPayload {
    /// The id of the deleted account.
    deleted_user_id: Option<ID>,
    /// Why the account wasn't deleted.
    user_errors: Vec<UserError>,
}
payload!(DeleteAccountPayload);

/// The organization that pays for the viewer's new projects and apps.
#[derive(InputObject)]
pub struct SetDefaultBillToInput {
    /// An organization that the viewer may bill to, which may be the personal one.
    organization_id: Id<OrganizationId>,
}

/// The result of changing the default bill-to.
#[derive(SimpleObject, Default)]
pub struct SetDefaultBillToPayload {
    /// The viewer with the new default bill-to.
    viewer: Option<Viewer>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(SetDefaultBillToPayload);

/// The mutations of the viewer's account.
#[derive(Default)]
pub struct ViewerMutation;

#[Object]
impl ViewerMutation {
    /// Changes the viewer's name, username or picture.
    async fn update_profile(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The changes.")] input: UpdateProfileInput,
    ) -> async_graphql::Result<UpdateProfilePayload> {
        let command = profile::UpdateProfile {
            name: super::required(input.name),
            username: super::required(input.username),
            avatar_url: super::undefined_or(input.avatar_url),
        };
        let outcome =
            profile::update_profile(database(context), actor(context)?, &command, request(context).client).await;
        let viewer = Viewer::load(&mut *connection(context).await?, actor(context)?).await?;
        Payload::of(outcome, |()| UpdateProfilePayload { viewer, user_errors: Vec::new() })
    }

    /// Requests a change of the account's email address. The new address gets an email with a link, and the old
    /// address gets a notice. Once the link is confirmed within the hour, the new address replaces the old one.
    /// Another request makes the link invalid. RATE_LIMITED if other people have caused 5 emails to the address within
    /// an hour or 20 within a day.
    async fn change_email(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The new email address.")] input: ChangeEmailInput,
    ) -> async_graphql::Result<ChangeEmailPayload> {
        let outcome =
            email_change::request(database(context), actor(context)?, &input.email, request(context).client).await;
        Payload::of(outcome, |()| ChangeEmailPayload::default())
    }

    /// Confirms the new email address of an account by the emailed link. This works without a session. The old address
    /// gets an email about it.
    async fn confirm_email_change(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The token from the email.")] input: ConfirmEmailChangeInput,
    ) -> async_graphql::Result<ConfirmEmailChangePayload> {
        let outcome = email_change::confirm(database(context), &input.token).await;
        Payload::of(outcome, |email| ConfirmEmailChangePayload {
            email: Some(email.to_string()),
            user_errors: Vec::new(),
        })
    }

    /// Deletes the viewer's account for good. It leaves every organization, its sessions and keys end, and its name
    /// and email address are removed. Its username is never given to anyone else. Its personal organization is removed
    /// after 30 days. Owners must transfer their organizations first.
    async fn delete_account(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The confirmation.")] input: DeleteAccountInput,
    ) -> async_graphql::Result<DeleteAccountPayload> {
        let outcome = account_deletion::delete(database(context), actor(context)?, &input.confirm_email).await;
        Payload::of(outcome, |id| DeleteAccountPayload {
            deleted_user_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }

    /// Chooses the organization that pays for the viewer's new projects and apps, unless another one is named.
    async fn set_default_bill_to(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization.")] input: SetDefaultBillToInput,
    ) -> async_graphql::Result<SetDefaultBillToPayload> {
        let outcome = user::set_default_bill_to(database(context), actor(context)?, input.organization_id.0).await;
        let viewer = Viewer::load(&mut *connection(context).await?, actor(context)?).await?;
        Payload::of(outcome, |()| SetDefaultBillToPayload { viewer, user_errors: Vec::new() })
    }
}
