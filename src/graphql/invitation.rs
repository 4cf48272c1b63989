//! Invitations.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::account::session::NewSession;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::base::delivery;
use rollcall_domain::base::id::{InvitationId, OrganizationId, TeamId};
use rollcall_domain::database::now;
use rollcall_domain::membership::{answering, invitation, inviting};

use super::connection::connection;
use super::context::{TeamsOfInvitation, actor, connection as connect, database, loaders, request};
use super::error::{Payload, UserError, payload, top_level};
use super::given;
use super::id::Id;
use super::member::{Member, MemberPermissions, MemberPermissionsInput};
use super::organization::Organization;
use super::rights::Role;
use super::team::Team;
use super::user::User;

/// Where an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "invitation::InvitationStatus")]
pub enum InvitationStatus {
    /// It waits for an answer.
    Pending,
    /// It made a membership.
    Accepted,
    /// The invited person declined.
    Declined,
    /// It was taken back.
    Revoked,
    /// Its time ran out.
    Expired,
}

/// The outcome of an email or of a webhook's delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "delivery::DeliveryStatus")]
pub enum DeliveryStatus {
    /// The worker will send it.
    Queued,
    /// It was taken.
    Sent,
    /// It could not be taken yet; it is tried again.
    Deferred,
    /// It was refused for good, or nobody took it in time.
    Failed,
}

#[derive(Debug, Clone)]
pub struct Invitation {
    invitation: invitation::Invitation,
    at: DateTime<Utc>,
}

impl Invitation {
    /// The invitation as it stands at a time.
    pub fn at(invitation: invitation::Invitation, at: DateTime<Utc>) -> Self {
        Self { invitation, at }
    }
}

/// An invitation to an organization.
#[Object]
impl Invitation {
    /// Begins with inv_.
    pub async fn id(&self) -> ID {
        self.invitation.id.to_string().into()
    }

    /// To which organization.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.invitation.organization_id).await
    }

    /// The address; null where the person was invited by username.
    async fn email(&self) -> Option<&str> {
        self.invitation.email.as_ref().map(|email| email.as_str())
    }

    /// The username; null where the person was invited by address.
    async fn username(&self, context: &Context<'_>) -> async_graphql::Result<Option<String>> {
        match self.invitation.user_id {
            Some(id) => Ok(loaders(context).load_one(id).await?.map(|user| user.username.to_string())),
            None => Ok(None),
        }
    }

    /// What the inviter called the person.
    async fn name(&self) -> Option<&str> {
        self.invitation.name.as_deref()
    }

    /// The role that it gives.
    async fn role(&self) -> Role {
        self.invitation.role.into()
    }

    /// The permissions that it gives.
    async fn permissions(&self) -> MemberPermissions {
        self.invitation.permissions().into()
    }

    /// The teams that it leads into.
    async fn teams(&self, context: &Context<'_>) -> async_graphql::Result<Vec<Team>> {
        let teams = loaders(context).load_one(TeamsOfInvitation(self.invitation.id)).await?.unwrap_or_default();
        Ok(teams.iter().cloned().map(Team).collect())
    }

    /// Who invited; null for the invited person where the organization's directory is HIDDEN.
    async fn invited_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::who_acted(context, self.invitation.organization_id, Some(self.invitation.invited_by_id)).await
    }

    /// Where it stands.
    async fn status(&self) -> InvitationStatus {
        self.invitation.status_at(self.at).into()
    }

    /// The outcome of the email itself.
    async fn delivery(&self) -> DeliveryStatus {
        self.invitation.delivery.into()
    }

    /// What the mail server said if it refused.
    async fn delivery_error(&self) -> Option<&str> {
        self.invitation.delivery_error.as_deref()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.invitation.created_at
    }

    /// Until when it can be accepted.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.invitation.expires_at
    }
}

connection!(InvitationConnection, InvitationEdge, Invitation, "invitations", total_count);

/// What the holder of an emailed token may know before signing in.
#[derive(SimpleObject)]
pub struct InvitationPreview {
    /// To which organization.
    organization_name: String,
    /// Who invited; null where the organization's directory is HIDDEN.
    invited_by: Option<String>,
    /// The address that it was sent to; empty unless the status is PENDING, since anybody may hold a link that no
    /// longer works.
    email: String,
    /// The role that it gives.
    role: Role,
    /// Its status; also REVOKED if a newer email has replaced the token.
    status: InvitationStatus,
    /// Until when it can be accepted.
    expires_at: DateTime<Utc>,
    /// Whether the address has an account, so that its owner must sign in first; false unless the status is PENDING.
    account_exists: bool,
}

impl InvitationPreview {
    /// What a token leads to; looking changes nothing.
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

/// Whom to invite.
#[derive(InputObject)]
pub struct InviteMembersInput {
    /// To which organization.
    organization_id: Id<OrganizationId>,
    /// 1 to 50 people; all are invited or none.
    invitations: Vec<InvitationInput>,
}

/// One person to invite: exactly one of email and username.
#[derive(InputObject)]
pub struct InvitationInput {
    /// The address; it needs no account.
    email: Option<String>,
    /// The username of an account.
    username: Option<String>,
    /// What to call the person, up to 100 characters.
    name: Option<String>,
    /// The role: MEMBER, VIEWER or, by those who may, ADMIN.
    #[graphql(default_with = "Some(Role::Member)")]
    role: Option<Role>,
    /// The permissions; what is left out comes from the organization's policy.
    permissions: Option<MemberPermissionsInput>,
    /// Teams of the organization, at most 20, that the person joins by accepting.
    team_ids: Option<Vec<Id<TeamId>>>,
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
        }
    }
}

/// The invitations that were made.
#[derive(SimpleObject, Default)]
pub struct InviteMembersPayload {
    /// The invitations.
    invitations: Option<Vec<Invitation>>,
    /// Why nobody was invited.
    user_errors: Vec<UserError>,
}
payload!(InviteMembersPayload);

/// An invitation to be sent again.
#[derive(InputObject)]
pub struct ResendInvitationInput {
    /// The invitation.
    id: Id<InvitationId>,
}

/// The invitation with its new days.
#[derive(SimpleObject, Default)]
pub struct ResendInvitationPayload {
    /// The invitation.
    invitation: Option<Invitation>,
    /// Why nothing was sent.
    user_errors: Vec<UserError>,
}
payload!(ResendInvitationPayload);

/// An invitation to be taken back.
#[derive(InputObject)]
pub struct RevokeInvitationInput {
    /// The invitation.
    id: Id<InvitationId>,
}

/// The invitation that was taken back.
#[derive(SimpleObject, Default)]
pub struct RevokeInvitationPayload {
    /// The invitation.
    invitation: Option<Invitation>,
    /// Why nothing was taken back.
    user_errors: Vec<UserError>,
}
payload!(RevokeInvitationPayload);

/// Exactly one of token and id.
#[derive(InputObject)]
pub struct AcceptInvitationInput {
    /// The token of the emailed link.
    token: Option<String>,
    /// One of the viewer's open invitations.
    id: Option<Id<InvitationId>>,
    /// The person's name, for a new account.
    name: Option<String>,
    /// A username, for a new account; made from the name if left out.
    username: Option<String>,
}

/// A new member.
#[derive(SimpleObject, Default)]
pub struct AcceptInvitationPayload {
    /// The membership.
    member: Option<Member>,
    /// For an account that this made: to be sent as `Authorization: Bearer …`; shown this once.
    session_token: Option<String>,
    /// Why nobody joined.
    user_errors: Vec<UserError>,
}
payload!(AcceptInvitationPayload);

/// Exactly one of token and id.
#[derive(InputObject)]
pub struct DeclineInvitationInput {
    /// The token of the emailed link.
    token: Option<String>,
    /// One of the viewer's open invitations.
    id: Option<Id<InvitationId>>,
}

/// Whether an invitation was declined.
#[derive(SimpleObject, Default)]
pub struct DeclineInvitationPayload {
    /// Whether it was.
    declined: bool,
    /// Why it was not.
    user_errors: Vec<UserError>,
}
payload!(DeclineInvitationPayload);

fn named(token: Option<String>, id: Option<Id<InvitationId>>) -> rollcall_domain::Result<answering::InvitationBy> {
    use rollcall_domain::Error;
    use rollcall_domain::base::error::Code;
    // What names nothing beside an id is left out; alone it is a token that leads nowhere.
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
            let at = now(&mut *connect(context).await?).await.map_err(top_level)?;
            Ok(Ok(Invitation::at(invitation, at)))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// Invitations.
#[derive(Default)]
pub struct InvitationMutation;

#[Object]
impl InvitationMutation {
    /// Invites 1 to 50 people, all or none, and emails each a link. TOO_MANY if the organization would have more than
    /// 10,000 open invitations. RATE_LIMITED for one person if others have had 5 emails sent to them within an hour or
    /// 20 within a day, from whichever organizations; RATE_LIMITED for all if the viewer's account or network has
    /// caused as many emails as are allowed. The message says when to try again.
    async fn invite_members(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Whom to invite.")] input: InviteMembersInput,
    ) -> async_graphql::Result<InviteMembersPayload> {
        let invites: Vec<inviting::Invite> = input.invitations.into_iter().map(Into::into).collect();
        let (database, client) = (database(context), request(context).client);
        let outcome = inviting::invite(database, actor(context)?, input.organization_id.0, &invites, client).await;
        Payload::of(outcome, |made| InviteMembersPayload {
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

    /// Sends an open invitation again, with a new link and its full number of days from now. The old link stops
    /// working. It counts like an invitation, and so can be RATE_LIMITED.
    async fn resend_invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which invitation.")] input: ResendInvitationInput,
    ) -> async_graphql::Result<ResendInvitationPayload> {
        let client = request(context).client;
        let outcome = inviting::resend(database(context), actor(context)?, input.id.0, client).await;
        Payload::of(shown(context, outcome).await?, |invitation| ResendInvitationPayload {
            invitation: Some(invitation),
            user_errors: Vec::new(),
        })
    }

    /// Takes an open invitation back: its link stops working.
    async fn revoke_invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which invitation.")] input: RevokeInvitationInput,
    ) -> async_graphql::Result<RevokeInvitationPayload> {
        let outcome = inviting::revoke(database(context), actor(context)?, input.id.0).await;
        Payload::of(shown(context, outcome).await?, |invitation| RevokeInvitationPayload {
            invitation: Some(invitation),
            user_errors: Vec::new(),
        })
    }

    /// By token without a session only if no account has the address: one is then created, and signed in by
    /// sessionToken; otherwise UNAUTHENTICATED. By token or id with a session of the invited account.
    async fn accept_invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which invitation.")] input: AcceptInvitationInput,
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
            request.becomes(Actor::User { user_id: member.user_id, session_id: *session_id, suspended: false });
        }
        Payload::of(outcome, |accepted| AcceptInvitationPayload {
            member: Some(Member(accepted.member)),
            session_token: accepted.session.map(|_| new.token().reveal().to_owned()),
            user_errors: Vec::new(),
        })
    }

    /// Declines an invitation: by the token in its email, or by its id with a session of the invited account.
    async fn decline_invitation(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which invitation.")] input: DeclineInvitationInput,
    ) -> async_graphql::Result<DeclineInvitationPayload> {
        let named = match named(input.token, input.id) {
            Ok(named) => named,
            Err(error) => return Payload::of(Err::<(), _>(error), |()| DeclineInvitationPayload::default()),
        };
        let outcome = answering::decline(database(context), request(context).actor(), &named).await;
        Payload::of(outcome, |()| DeclineInvitationPayload { declined: true, user_errors: Vec::new() })
    }
}
