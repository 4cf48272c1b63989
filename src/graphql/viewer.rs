//! The person who asks.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use diesel_async::AsyncPgConnection;
use rollcall_domain::account::{api_key, profile, session, user};
use rollcall_domain::authority::actor::{Actor, Reach};
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
    /// The person whose account an actor is; staff and service keys are nobody's. UNAUTHENTICATED where the account was
    /// deleted at this very moment.
    pub async fn load(connection: &mut AsyncPgConnection, actor: &Actor) -> async_graphql::Result<Option<Self>> {
        let Some(user_id) = actor.account() else { return Ok(None) };
        let user = user::by_id(connection, user_id).await.map_err(top_level)?;
        Self::of(user, actor.clone()).map(Some)
    }

    /// The person of an actor. UNAUTHENTICATED where the account is deleted.
    pub fn of(user: user::User, actor: Actor) -> async_graphql::Result<Self> {
        let email = user.email.clone().ok_or_else(unauthenticated)?;
        Ok(Self { user, email, actor })
    }

    fn id(&self) -> UserId {
        self.user.id
    }
}

/// The person who asks, with what only they see.
#[Object]
impl Viewer {
    /// As others see them.
    async fn user(&self) -> User {
        User::known(self.user.clone())
    }

    /// The address that their emails go to.
    async fn email(&self) -> &str {
        self.email.as_str()
    }

    /// Active memberships at this role or above, each with its organization; the personal organization isn't among
    /// them.
    async fn memberships(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The lowest role to list.", default_with = "Some(Role::Viewer)")] at_least: Option<Role>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<MemberConnection> {
        let at_least = at_least.unwrap_or(Role::Viewer).into();
        let mut connection = connection(context).await?;
        let page = member::list_of_user(&mut connection, &self.actor, at_least, &forward(first, after)).await;
        let total = total(context, member::count_of_user(&mut connection, &self.actor, at_least)).await?;
        Ok(MemberConnection::new(page.map_err(top_level)?.map(Member), total))
    }

    /// Holds and pays for what belongs to no team; nobody else gets into it.
    async fn personal_organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        let id =
            user::personal_organization_id(&mut *connection(context).await?, self.id()).await.map_err(top_level)?;
        Organization::load_as(context, &self.actor, id).await
    }

    /// The session's active organization; null where none was chosen.
    async fn active_organization(&self, context: &Context<'_>) -> async_graphql::Result<Option<Organization>> {
        let Some((user_id, session_id)) = self.actor.session() else { return Ok(None) };
        let found =
            session::by_ids(&mut *connection(context).await?, user_id, &[session_id]).await.map_err(top_level)?;
        match found.into_iter().next().and_then(|session| session.active_organization_id) {
            Some(id) => Ok(Some(Organization::load_as(context, &self.actor, id).await?)),
            None => Ok(None),
        }
    }

    /// True where the account belongs to no organization but its personal one: offer to create one or to enter a join
    /// code. False for an API key, which does neither.
    async fn needs_organization(&self, context: &Context<'_>) -> async_graphql::Result<bool> {
        user::needs_organization(&mut *connection(context).await?, &self.actor).await.map_err(top_level)
    }

    /// Pays for new projects and apps unless another organization is named; for an API key its own.
    async fn default_bill_to(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        let only = self.actor.reach().and_then(Reach::only);
        let id = user::default_bill_to(&mut *connection(context).await?, &self.user, only).await.map_err(top_level)?;
        Organization::load_as(context, &self.actor, id).await
    }

    /// Organizations that the viewer may bill to, the personal one first, the others by name, 100 at most;
    /// `memberships` gives all that the viewer belongs to. For an API key at most its own.
    async fn billable_organizations(&self, context: &Context<'_>) -> async_graphql::Result<Vec<Organization>> {
        let found =
            billing::billable_organizations(&mut *connection(context).await?, &self.actor).await.map_err(top_level)?;
        let seen = |(organization, permit)| Organization::seen_by(&self.actor, organization, Some(permit));
        Ok(found.into_iter().map(seen).collect())
    }

    /// Open invitations to this account.
    async fn invitations(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<InvitationConnection> {
        if self.actor.session().is_none() {
            // A key reaches its one organization, not those that its person is invited to.
            return Ok(InvitationConnection::new(Page::default(), 0));
        }
        let mut connection = connection(context).await?;
        let page = invitation::list_to(&mut connection, &self.user, &forward(first, after)).await.map_err(top_level)?;
        let total = total(context, invitation::count_to(&mut connection, &self.user)).await?;
        let now = rollcall_domain::database::now(&mut connection).await.map_err(top_level)?;
        Ok(InvitationConnection::new(page.map(|invitation| Invitation::at(invitation, now)), total))
    }

    /// Everything the viewer can reach, in whichever organization, oldest first.
    async fn resources(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only this kind.")] kind: Option<ResourceKind>,
        #[graphql(desc = "Only this organization's.")] organization_id: Option<Id<OrganizationId>>,
        #[graphql(
            desc = "Only those whose name contains this text, ignoring case and accents; with one or two letters or digits, those with a word that begins with them."
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

    /// Open offers of projects to the viewer, oldest first.
    async fn incoming_transfers(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<ProjectTransferConnection> {
        let mut connection = connection(context).await?;
        let page = transfer::list_incoming(&mut connection, &self.actor, &forward(first, after)).await;
        let total = total(context, transfer::count_incoming(&mut connection, &self.actor)).await?;
        let now = rollcall_domain::database::now(&mut connection).await.map_err(top_level)?;
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
}

/// What to change of the viewer's profile; a field left out stays as it is.
#[derive(InputObject)]
pub struct UpdateProfileInput {
    /// The person's name, as emails show it; 1 to 100 characters without a link.
    name: MaybeUndefined<String>,
    /// Unique; 2 to 39 of a–z, 0–9 and single hyphens. The old one finds nobody from now on: whoever shares or invites
    /// by it must learn the new one. It is kept for the viewer, who may take it back, for 90 days, and nobody else has
    /// it meanwhile; at most 10 are kept at a time.
    username: MaybeUndefined<String>,
    /// A link to a picture; null clears it.
    avatar_url: MaybeUndefined<String>,
}

/// The viewer with the profile as it is now.
#[derive(SimpleObject, Default)]
pub struct UpdateProfilePayload {
    /// The viewer.
    viewer: Option<Viewer>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateProfilePayload);

/// Another address for the viewer's account.
#[derive(InputObject)]
pub struct ChangeEmailInput {
    /// The address, which no account has.
    email: String,
}

/// Whether the emails are on their way.
#[derive(SimpleObject, Default)]
pub struct ChangeEmailPayload {
    /// Why nothing was emailed.
    user_errors: Vec<UserError>,
}

impl Payload for ChangeEmailPayload {
    fn refused(user_errors: Vec<UserError>) -> Self {
        Self { user_errors }
    }
}

/// What proves that the new address is the account's.
#[derive(InputObject)]
pub struct ConfirmEmailChangeInput {
    /// The token of the link that was emailed there; it works once, for an hour.
    token: String,
}

/// An account with another address.
#[derive(SimpleObject, Default)]
pub struct ConfirmEmailChangePayload {
    /// The address that the account has now.
    email: Option<String>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(ConfirmEmailChangePayload);

/// An account to be deleted.
#[derive(InputObject)]
pub struct DeleteAccountInput {
    /// The account's address, typed to confirm it.
    confirm_email: String,
}

/// An account that is deleted.
#[derive(SimpleObject, Default)]
pub struct DeleteAccountPayload {
    /// Which.
    deleted_user_id: Option<ID>,
    /// Why nothing was deleted.
    user_errors: Vec<UserError>,
}
payload!(DeleteAccountPayload);

/// Who shall pay for the viewer's new projects and apps.
#[derive(InputObject)]
pub struct SetDefaultBillToInput {
    /// An organization that the viewer may bill to, the personal one included.
    organization_id: Id<OrganizationId>,
}

/// The viewer with the default bill-to as it is now.
#[derive(SimpleObject, Default)]
pub struct SetDefaultBillToPayload {
    /// The viewer.
    viewer: Option<Viewer>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(SetDefaultBillToPayload);

/// The viewer's account.
#[derive(Default)]
pub struct ViewerMutation;

#[Object]
impl ViewerMutation {
    /// Changes the viewer's name, username or picture.
    async fn update_profile(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateProfileInput,
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

    /// Emails a link to another address, and tells the old one. The new address replaces the old one once the link is
    /// confirmed, within the hour; asking again ends the link. RATE_LIMITED if others have had 5 emails sent to the
    /// address within an hour, or 20 within a day.
    async fn change_email(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The other address.")] input: ChangeEmailInput,
    ) -> async_graphql::Result<ChangeEmailPayload> {
        let outcome =
            email_change::request(database(context), actor(context)?, &input.email, request(context).client).await;
        Payload::of(outcome, |()| ChangeEmailPayload::default())
    }

    /// Gives an account the address that the link was emailed to. It needs no session; the old address is told.
    async fn confirm_email_change(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What was emailed.")] input: ConfirmEmailChangeInput,
    ) -> async_graphql::Result<ConfirmEmailChangePayload> {
        let outcome = email_change::confirm(database(context), &input.token).await;
        Payload::of(outcome, |email| ConfirmEmailChangePayload {
            email: Some(email.to_string()),
            user_errors: Vec::new(),
        })
    }

    /// Deletes the viewer's account, for good: it leaves every organization, its sessions and keys end, and its name
    /// and address are removed. Nobody else ever gets its username. Its personal organization is removed after 30 days.
    /// Owners hand their organizations over first.
    async fn delete_account(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The account.")] input: DeleteAccountInput,
    ) -> async_graphql::Result<DeleteAccountPayload> {
        let outcome = account_deletion::delete(database(context), actor(context)?, &input.confirm_email).await;
        Payload::of(outcome, |id| DeleteAccountPayload {
            deleted_user_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }

    /// Says which organization pays for the viewer's new projects and apps unless another one is named.
    async fn set_default_bill_to(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Who shall pay.")] input: SetDefaultBillToInput,
    ) -> async_graphql::Result<SetDefaultBillToPayload> {
        let outcome = user::set_default_bill_to(database(context), actor(context)?, input.organization_id.0).await;
        let viewer = Viewer::load(&mut *connection(context).await?, actor(context)?).await?;
        Payload::of(outcome, |()| SetDefaultBillToPayload { viewer, user_errors: Vec::new() })
    }
}
