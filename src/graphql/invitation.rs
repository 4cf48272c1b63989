//! Invitations.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::account::session::NewSession;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::delivery;
use rollcall_domain::base::id::{InvitationId, OrganizationId, ResourceId, TeamId};
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::database::now;
use rollcall_domain::membership::invitation_grants::{self, InvitedGrant};
use rollcall_domain::membership::{answering, invitation, inviting};

use super::connection::connection;
use super::context::{GrantsOfInvitation, TeamsOfInvitation, actor, connection as connect, database, loaders, request};
use super::error::{Payload, UserError, payload, top_level};
use super::given;
use super::id::Id;
use super::member::{Member, MemberPermissions, MemberPermissionsInput};
use super::organization::Organization;
use super::resource::Resource;
use super::rights::{AccessLevel, Role};
use super::team::Team;
use super::user::User;

/// The status of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "invitation::InvitationStatus")]
pub enum InvitationStatus {
    /// It waits for an answer.
    Pending,
    /// It was accepted and led to a membership.
    Accepted,
    /// The invited person declined.
    Declined,
    /// It was revoked.
    Revoked,
    /// It expired without an answer.
    Expired,
}

/// The outcome of sending an email or delivering to a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "delivery::DeliveryStatus")]
pub enum DeliveryStatus {
    /// The worker has yet to send it.
    Queued,
    /// The receiving server accepted it.
    Sent,
    /// It wasn't accepted yet, and the worker will try again.
    Deferred,
    /// It was rejected for good, or it wasn't accepted in time.
    Failed,
}

#[derive(Debug, Clone)]
pub struct Invitation {
    invitation: invitation::Invitation,
    at: DateTime<Utc>,
}

impl Invitation {
    /// The invitation, with its status at the given time.
    pub fn at(invitation: invitation::Invitation, at: DateTime<Utc>) -> Self {
        Self { invitation, at }
    }
}

/// An invitation to join an organization.
#[Object]
impl Invitation {
    /// The invitation's id. It begins with `inv_`.
    pub async fn id(&self) -> ID {
        self.invitation.id.to_string().into()
    }

    /// The organization that the person is invited to.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.invitation.organization_id).await
    }

    /// The email address of the invited person. Null if they were invited by username.
    async fn email(&self) -> Option<&str> {
        self.invitation.email.as_ref().map(|email| email.as_str())
    }

    /// The username of the invited person. Null if they were invited by email address.
    async fn username(&self, context: &Context<'_>) -> async_graphql::Result<Option<String>> {
        match self.invitation.user_id {
            Some(id) => Ok(loaders(context).load_one(id).await?.map(|user| user.username.to_string())),
            None => Ok(None),
        }
    }

    /// The name by which the inviter called the person.
    async fn name(&self) -> Option<&str> {
        self.invitation.name.as_deref()
    }

    /// The role that the person gets.
    async fn role(&self) -> Role {
        self.invitation.role.into()
    }

    /// The permissions that the person gets.
    async fn permissions(&self) -> MemberPermissions {
        self.invitation.permissions().into()
    }

    /// The teams that the person joins.
    async fn teams(&self, context: &Context<'_>) -> async_graphql::Result<Vec<Team>> {
        let teams = loaders(context).load_one(TeamsOfInvitation(self.invitation.id)).await?.unwrap_or_default();
        Ok(teams.iter().cloned().map(Team).collect())
    }

    /// What is granted with the membership, as far as the user who sent the invitation can still grant it when the
    /// person accepts.
    async fn grants(&self, context: &Context<'_>) -> async_graphql::Result<Vec<InvitationGrant>> {
        let grants = loaders(context).load_one(GrantsOfInvitation(self.invitation.id)).await?.unwrap_or_default();
        Ok(grants.into_iter().map(InvitationGrant).collect())
    }

    /// The message to the person, in the words of the user who sent the invitation.
    async fn message(&self) -> Option<&str> {
        self.invitation.message.as_deref()
    }

    /// The user who sent the invitation. If the directory is HIDDEN, this is null for the invited person.
    async fn invited_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::who_acted(context, self.invitation.organization_id, self.invitation.invited_by_id).await
    }

    /// The invitation's status.
    async fn status(&self) -> InvitationStatus {
        self.invitation.status_at(self.at).into()
    }

    /// The outcome of sending its email.
    async fn delivery(&self) -> DeliveryStatus {
        self.invitation.delivery.into()
    }

    /// The mail server's response, if it rejected or deferred the email.
    async fn delivery_error(&self) -> Option<&str> {
        self.invitation.delivery_error.as_deref()
    }

    /// When the invitation was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.invitation.created_at
    }

    /// When the invitation expires.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.invitation.expires_at
    }
}

#[derive(Debug, Clone)]
pub struct InvitationGrant(invitation_grants::InvitationGrant);

/// A level on a resource that comes with the membership.
#[Object]
impl InvitationGrant {
    /// The project or workspace. Null for viewers who can't reach it, and if it was deleted.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.0.resource_id {
            Some(id) => Resource::find(context, id).await,
            None => Ok(None),
        }
    }

    /// The level of access.
    async fn level(&self) -> AccessLevel {
        self.0.level.into()
    }
}

connection!(InvitationConnection, InvitationEdge, Invitation, "invitations", total_count);

/// What the holder of an emailed token sees of an invitation before signing in.
#[derive(SimpleObject)]
pub struct InvitationPreview {
    /// The name of the organization.
    organization_name: String,
    /// The name of the person who sent the invitation. Null if the organization's directory is HIDDEN.
    invited_by: Option<String>,
    /// The email address that the invitation was sent to. Empty unless the status is PENDING, since anybody may have
    /// got hold of a link that no longer works.
    email: String,
    /// The role that the person gets.
    role: Role,
    /// The invitation's status. It is also REVOKED if a newer email has replaced this token.
    status: InvitationStatus,
    /// When the invitation expires.
    expires_at: DateTime<Utc>,
    /// Whether the email address has an account, whose owner must sign in before accepting. False unless the status is
    /// PENDING.
    account_exists: bool,
}

impl InvitationPreview {
    /// Finds the invitation of a token. This changes nothing.
    pub async fn find(context: &Context<'_>, token: &str) -> async_graphql::Result<Option<Self>> {
        let preview = answering::preview(database(context), token).await.map_err(top_level)?;
        Ok(preview.map(|preview| Self {
            organization_name: preview.organization_name,
            invited_by: preview.invited_by,
            email: preview.email.as_ref().map(ToString::to_string).unwrap_or_default(),
            role: preview.invitation.role.into(),
            status: preview.status.into(),
            expires_at: preview.invitation.expires_at,
            account_exists: preview.account_exists,
        }))
    }
}

/// The people to invite.
#[derive(InputObject)]
pub struct InviteMembersInput {
    /// The organization to invite them to.
    organization_id: Id<OrganizationId>,
    /// 1 to 50 people. Either all of them are invited or nobody is.
    invitations: Vec<InvitationInput>,
    /// A message to these people, up to 1000 characters, which their emails and the invitation's page show. It can't
    /// contain links.
    message: Option<String>,
    /// Whether each of them gets an email, and a reminder before the invitation expires. Only platform keys with
    /// MEMBERS_WRITE may say false; they get `acceptUrls` instead, to deliver by themselves.
    #[graphql(default_with = "Some(true)")]
    send_mail: Option<bool>,
}

/// One person to invite. Exactly one of `email` and `username` must be set.
#[derive(InputObject)]
pub struct InvitationInput {
    /// The person's email address, which doesn't need to have an account.
    email: Option<String>,
    /// The username of the person's account.
    username: Option<String>,
    /// The person's name, up to 100 characters.
    name: Option<String>,
    /// The role: MEMBER, VIEWER, or ADMIN if the viewer may invite admins.
    #[graphql(default_with = "Some(Role::Member)")]
    role: Option<Role>,
    /// The person's permissions. Omitted ones come from the organization's policy.
    permissions: Option<MemberPermissionsInput>,
    /// Teams of the organization, at most 20, that the person joins on accepting.
    team_ids: Option<Vec<Id<TeamId>>>,
    /// Levels on projects and workspaces of the organization, at most 20, that come with the membership, as far as the
    /// viewer can grant them.
    grants: Option<Vec<InvitationGrantInput>>,
}

/// A level on a resource that comes with the membership.
#[derive(InputObject)]
pub struct InvitationGrantInput {
    /// A project or workspace of the organization, which the viewer must be able to share.
    resource_id: Id<ResourceId>,
    /// The level: VIEW or more.
    level: AccessLevel,
}

impl From<InvitationInput> for inviting::Invite {
    fn from(input: InvitationInput) -> Self {
        Self {
            email: input.email,
            username: input.username,
            name: input.name,
            role: input.role.unwrap_or(Role::Member).into(),
            permissions: input.permissions.map(Into::into).unwrap_or_default(),
            team_ids: input.team_ids.unwrap_or_default().into_iter().map(|id| id.0).collect(),
            grants: input
                .grants
                .unwrap_or_default()
                .into_iter()
                .map(|grant| InvitedGrant { resource_id: grant.resource_id.0, level: grant.level.into() })
                .collect(),
        }
    }
}

/// The result of inviting people.
#[derive(SimpleObject, Default)]
pub struct InviteMembersPayload {
    /// The new invitations.
    invitations: Option<Vec<Invitation>>,
    /// The pages on which they accept or decline, in the same order, if no mail is sent. Each is only for the person who
    /// is invited. They are shown only this once.
    accept_urls: Option<Vec<String>>,
    /// Why nobody was invited.
    user_errors: Vec<UserError>,
}
payload!(InviteMembersPayload);

/// Identifies the invitation to resend.
#[derive(InputObject)]
pub struct ResendInvitationInput {
    /// The invitation.
    id: Id<InvitationId>,
}

/// The result of resending an invitation.
#[derive(SimpleObject, Default)]
pub struct ResendInvitationPayload {
    /// The invitation, with its new expiry.
    invitation: Option<Invitation>,
    /// Why nothing was sent.
    user_errors: Vec<UserError>,
}
payload!(ResendInvitationPayload);

/// Identifies the invitation to revoke.
#[derive(InputObject)]
pub struct RevokeInvitationInput {
    /// The invitation.
    id: Id<InvitationId>,
}

/// The result of revoking an invitation.
#[derive(SimpleObject, Default)]
pub struct RevokeInvitationPayload {
    /// The invitation, now with the status REVOKED.
    invitation: Option<Invitation>,
    /// Why the invitation wasn't revoked.
    user_errors: Vec<UserError>,
}
payload!(RevokeInvitationPayload);

/// Identifies the invitation to accept. Exactly one of `token` and `id` must be set.
#[derive(InputObject)]
pub struct AcceptInvitationInput {
    /// The token from the emailed link.
    token: Option<String>,
    /// The id of one of the viewer's pending invitations.
    id: Option<Id<InvitationId>>,
    /// The person's name, if a new account is created.
    name: Option<String>,
    /// A username, if a new account is created. If omitted, it is derived from the name.
    username: Option<String>,
}

/// The result of accepting an invitation.
#[derive(SimpleObject, Default)]
pub struct AcceptInvitationPayload {
    /// The new membership.
    member: Option<Member>,
    /// A session token, if an account was created: to be sent as `Authorization: Bearer …`. It is shown only this
    /// once.
    session_token: Option<String>,
    /// Why the person didn't join.
    user_errors: Vec<UserError>,
}
payload!(AcceptInvitationPayload);

/// Identifies the invitation to decline. Exactly one of `token` and `id` must be set.
#[derive(InputObject)]
pub struct DeclineInvitationInput {
    /// The token from the emailed link.
    token: Option<String>,
    /// The id of one of the viewer's pending invitations.
    id: Option<Id<InvitationId>>,
}

/// The result of declining an invitation.
#[derive(SimpleObject, Default)]
pub struct DeclineInvitationPayload {
    /// Whether the invitation was declined.
    declined: bool,
    /// Why the invitation wasn't declined.
    user_errors: Vec<UserError>,
}
payload!(DeclineInvitationPayload);

fn named(token: Option<String>, id: Option<Id<InvitationId>>) -> rollcall_domain::Result<answering::InvitationBy> {
    use rollcall_domain::Error;
    use rollcall_domain::base::error::Code;
    // Next to an id, an empty token counts as omitted. Without an id, it is a token that doesn't match anything.
    let token = if id.is_some() { given(token) } else { token };
    match (token, id) {
        (Some(token), None) => Ok(answering::InvitationBy::Token(token)),
        (None, Some(id)) => Ok(answering::InvitationBy::Id(id.0)),
        (Some(_), Some(_)) => Err(Error::refused(Code::Invalid, "token", "name the token or the id, not both")),
        (None, None) => Err(Error::refused(Code::Blank, "token", "name the token or the id")),
    }
}

async fn shown(
    context: &Context<'_>,
    outcome: rollcall_domain::Result<invitation::Invitation>,
) -> async_graphql::Result<rollcall_domain::Result<Invitation>> {
    match outcome {
        Ok(invitation) => {
            let at = now(&*connect(context).await?).await.map_err(top_level)?;
            Ok(Ok(Invitation::at(invitation, at)))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// The pages on which the invited people answer.
fn accept_urls(context: &Context<'_>, made: &[invitation::Invitation]) -> async_graphql::Result<Vec<String>> {
    let public_url = context.data_unchecked::<Arc<PublicUrl>>();
    let url = |invitation| {
        let token = invitation::link_token(database(context), invitation).map_err(top_level)?;
        Ok(public_url.link(Route::Invitation(token.reveal())).into())
    };
    made.iter().map(url).collect()
}

/// The mutations of invitations.
#[derive(Default)]
pub struct InvitationMutation;

#[Object]
impl InvitationMutation {
    /// Invites 1 to 50 people and emails each of them a link. Either all are invited or nobody is. TOO_MANY if the
    /// organization would have more than 10,000 pending invitations. RATE_LIMITED for one person if other people have
    /// caused 5 emails to them within an hour or 20 within a day, from any organizations. RATE_LIMITED for all if the
    /// viewer's account or network has used up its limit of emails. The message says when to try again.
    async fn invite_members(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization and the people to invite.")] input: InviteMembersInput,
    ) -> async_graphql::Result<InviteMembersPayload> {
        let invites: Vec<inviting::Invite> = input.invitations.into_iter().map(Into::into).collect();
        let (database, client) = (database(context), request(context).client);
        let (organization_id, message) = (input.organization_id.0, input.message.as_deref());
        let delivery = match input.send_mail.unwrap_or(true) {
            true => inviting::Delivery::Mail,
            false => inviting::Delivery::Platform,
        };
        let actor = actor(context)?;
        let outcome = inviting::invite(database, actor, organization_id, &invites, message, delivery, client).await;
        let urls = match (&outcome, delivery) {
            (Ok(made), inviting::Delivery::Platform) => Some(accept_urls(context, made)?),
            (Ok(_) | Err(_), _) => None,
        };
        Payload::of(outcome, |made| InviteMembersPayload {
            accept_urls: urls,
            invitations: Some(
                made.into_iter()
                    .map(|invitation| {
                        let at = invitation.created_at;
                        Invitation::at(invitation, at)
                    })
                    .collect(),
            ),
            user_errors: Vec::new(),
        })
    }

    /// Sends a pending invitation again, with a new link. It is then valid for its full number of days from now, and
    /// the old link stops working. The email counts towards the same limits as an invitation, so the mutation can be
    /// RATE_LIMITED.
    async fn resend_invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The invitation to resend.")] input: ResendInvitationInput,
    ) -> async_graphql::Result<ResendInvitationPayload> {
        let client = request(context).client;
        let outcome = inviting::resend(database(context), actor(context)?, input.id.0, client).await;
        Payload::of(shown(context, outcome).await?, |invitation| ResendInvitationPayload {
            invitation: Some(invitation),
            user_errors: Vec::new(),
        })
    }

    /// Revokes a pending invitation. Its link stops working.
    async fn revoke_invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The invitation to revoke.")] input: RevokeInvitationInput,
    ) -> async_graphql::Result<RevokeInvitationPayload> {
        let outcome = inviting::revoke(database(context), actor(context)?, input.id.0).await;
        Payload::of(shown(context, outcome).await?, |invitation| RevokeInvitationPayload {
            invitation: Some(invitation),
            user_errors: Vec::new(),
        })
    }

    /// Accepts an invitation, by `token` or `id`. With a session of the invited account, either works. Without a
    /// session, only `token` works, and only if no account has the email address: an account is then created, and
    /// `sessionToken` signs it in. Otherwise the result is UNAUTHENTICATED.
    async fn accept_invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The invitation to accept.")] input: AcceptInvitationInput,
    ) -> async_graphql::Result<AcceptInvitationPayload> {
        let invitation = match named(input.token, input.id) {
            Ok(invitation) => invitation,
            Err(error) => return Payload::of(Err::<(), _>(error), |()| AcceptInvitationPayload::default()),
        };
        let command = answering::AcceptInvitation { invitation, name: input.name, username: input.username };
        let request = request(context);
        let new = NewSession::random(request.user_agent.as_deref()).map_err(top_level)?;
        let outcome = answering::accept(database(context), request.actor(), &command, &new, request.client).await;
        if let Ok(answering::AcceptedMembership { member, session: Some(session_id), .. }) = &outcome {
            let (user_id, session_id) = (member.user_id, *session_id);
            request.becomes(Actor::User { user_id, session_id, until: None, suspended: false });
        }
        Payload::of(outcome, |accepted| AcceptInvitationPayload {
            member: Some(Member(accepted.member)),
            session_token: accepted.session.map(|_| new.token().reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Declines an invitation, either by the token from its email, or by its id with a session of the invited account.
    async fn decline_invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The invitation to decline.")] input: DeclineInvitationInput,
    ) -> async_graphql::Result<DeclineInvitationPayload> {
        let named = match named(input.token, input.id) {
            Ok(named) => named,
            Err(error) => return Payload::of(Err::<(), _>(error), |()| DeclineInvitationPayload::default()),
        };
        let outcome = answering::decline(database(context), request(context).actor(), &named).await;
        Payload::of(outcome, |()| DeclineInvitationPayload { declined: true, user_errors: Vec::new() })
    }
}
