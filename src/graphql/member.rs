//! Memberships.

use async_graphql::{Context, Enum, ID, InputObject, Json, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::authority::access::Permit;
use rollcall_domain::authority::platform_data::WithMetadata;
use rollcall_domain::authority::{membership, permissions};
use rollcall_domain::base::id::{MemberId, ResourceId, TeamId, TypedId};
use rollcall_domain::membership::{member, member_list, role};
use rollcall_domain::resource::list::{PartFilter, ResourcesBy};

use super::connection::{connection, forward, wants_total};
use super::context::{ResourcesOf, TeamsOfMember, actor, connection, database, loaders, metadata, request, viewer_in};
use super::departure::DepartureConnection;
use super::error::{Payload, UserError, payload, top_level};
use super::id::Id;
use super::organization::{Organization, OrganizationBy, departures_of};
use super::resource::{Resource, ResourceConnection};
use super::rights::{AccessLevel, MemberAction, Role};
use super::team::{Team, TeamConnection};
use super::user::{User, UserRef};

/// The status of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "membership::MemberStatus")]
pub enum MemberStatus {
    /// The membership is active.
    Active,
    /// The member left.
    Left,
    /// The owner or an admin removed the member.
    Removed,
    /// The owner or an admin deactivated the member, because the person has left the organization altogether.
    Deactivated,
}

/// How someone became a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "membership::JoinMethod")]
pub enum JoinMethod {
    /// They founded the organization.
    Founder,
    /// The platform's staff made them a member.
    Staff,
    /// They accepted an invitation.
    Invitation,
    /// They redeemed a join code.
    JoinCode,
    /// A platform key added them, or made them the owner.
    Platform,
}

/// The order in which members are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "member_list::MemberOrder")]
pub enum MemberOrder {
    /// By name, ignoring case.
    Name,
    /// By the time they joined, earliest first.
    JoinedAt,
    /// By role, from the owner down to viewers.
    Role,
}

/// What a member may do with resources that are shared with the organization, or billed to it.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct MemberPermissions {
    /// Whether they may bill activities to the organization.
    billable_activities: bool,
    /// Whether they may use apps that are shared with the organization.
    shared_apps: bool,
    /// The highest level of access that they get to projects that are shared with the organization.
    shared_projects: AccessLevel,
}

impl From<permissions::Permissions> for MemberPermissions {
    fn from(permissions: permissions::Permissions) -> Self {
        Self {
            billable_activities: permissions.billable_activities,
            shared_apps: permissions.shared_apps,
            shared_projects: permissions.shared_projects.into(),
        }
    }
}

/// The permissions to give a member. Omitted ones stay as they are, or come from the organization's policy.
#[derive(InputObject)]
pub struct MemberPermissionsInput {
    /// Whether they may bill activities to the organization.
    pub billable_activities: Option<bool>,
    /// Whether they may use apps that are shared with the organization.
    pub shared_apps: Option<bool>,
    /// The highest level of access that they get to projects that are shared with the organization.
    pub shared_projects: Option<AccessLevel>,
}

impl From<MemberPermissionsInput> for permissions::PermissionsInput {
    fn from(input: MemberPermissionsInput) -> Self {
        Self {
            billable_activities: input.billable_activities,
            shared_apps: input.shared_apps,
            shared_projects: input.shared_projects.map(Into::into),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Member(pub member::Member);

impl Member {
    /// Loads a member as the outcome of something that the viewer did, without a further check of what the viewer may
    /// see.
    pub async fn load(context: &Context<'_>, id: MemberId) -> async_graphql::Result<Option<Self>> {
        Ok(loaders(context).load_one(id).await?.map(Self))
    }

    /// Finds somebody's membership in an organization, if the viewer may see it.
    pub async fn find(
        context: &Context<'_>,
        user: UserRef,
        organization: OrganizationBy,
    ) -> async_graphql::Result<Option<Self>> {
        let actor = actor(context)?;
        let Some(organization_id) = organization.id(context).await? else { return Ok(None) };
        let found = member::find(&mut *connection(context).await?, actor, organization_id, &user.into()).await;
        Ok(found.map_err(top_level)?.map(Self))
    }

    /// Loads the member that a command was about, if the command succeeded.
    pub async fn loaded(
        context: &Context<'_>,
        outcome: &rollcall_domain::Result<MemberId>,
    ) -> async_graphql::Result<Option<Self>> {
        match outcome {
            Ok(id) => Self::load(context, *id).await,
            Err(_) => Ok(None),
        }
    }

    async fn permit(&self, context: &Context<'_>) -> async_graphql::Result<Option<Permit>> {
        let Some(actor) = request(context).actor().cloned() else { return Ok(None) };
        Ok(loaders(context).load_one((actor, self.0.organization_id)).await?.and_then(|(_, permit)| permit))
    }
}

/// A person's membership in an organization. A person has at most one membership in each organization; if they come
/// back, the same membership becomes active again.
#[Object]
impl Member {
    /// The membership's id. It begins with `mem_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The person. Platform keys without READ see a placeholder called `member`, whose id can't be looked up.
    async fn user(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::for_people(context, self.0.user_id, "member", self.0.id.uuid()).await
    }

    /// The person's email address. It is visible to the person, and while the membership is active also to the owner
    /// and admins.
    async fn email(&self, context: &Context<'_>) -> async_graphql::Result<Option<String>> {
        let own = request(context).actor().is_some_and(|actor| actor.is(self.0.user_id));
        let leads = self.permit(context).await?.is_some_and(|permit| permit.standing().leads());
        let active = self.0.status == membership::MemberStatus::Active;
        if !(own || leads && active) {
            return Ok(None);
        }
        let user = loaders(context).load_one(self.0.user_id).await?;
        Ok(user.and_then(|user| user.email.as_ref().map(ToString::to_string)))
    }

    /// The organization.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.0.organization_id).await
    }

    /// The person's role. After the membership has ended, it is the role that they had.
    async fn role(&self) -> Role {
        self.0.role.into()
    }

    /// What they may do with resources that are shared with the organization, or billed to it.
    async fn permissions(&self) -> MemberPermissions {
        self.0.permissions.into()
    }

    /// The membership's status.
    async fn status(&self) -> MemberStatus {
        self.0.status.into()
    }

    /// When they last joined.
    async fn joined_at(&self) -> DateTime<Utc> {
        self.0.joined_at
    }

    /// How they last joined.
    async fn joined_via(&self) -> JoinMethod {
        self.0.joined_via.into()
    }

    /// What the platform attached to this membership, an object of at most 8 kB. Null for everybody but platform keys,
    /// the owner and the admins.
    async fn metadata(&self, context: &Context<'_>) -> async_graphql::Result<Option<Json<serde_json::Value>>> {
        match self.permit(context).await? {
            Some(permit) if permit.standing().leads() => metadata(context, WithMetadata::Member(self.0.id)).await,
            Some(_) | None => Ok(None),
        }
    }

    /// The machines that the person registered in this organization and that the viewer can reach, oldest first.
    async fn machines(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<ResourceConnection>> {
        let Some(permit) = self.permit(context).await? else { return Ok(None) };
        let page = forward(first, after);
        page.check::<ResourceId>().map_err(top_level)?;
        let viewer_id = viewer_in(context, permit.actor(), self.0.organization_id).await?;
        let Some(viewer_id) = viewer_id else { return Ok(None) };
        let key = ResourcesOf {
            part: ResourcesBy::Machines(self.0.organization_id, self.0.user_id),
            within: PartFilter { viewer_id, kind: None },
            page,
        };
        let page = loaders(context).load_one(key).await?;
        Ok(page.map(|page| ResourceConnection::new(page.map_ref(|machine| Resource(machine.clone())))))
    }

    /// The organization's teams that the person is in, oldest first.
    async fn teams(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<TeamConnection>> {
        if self.permit(context).await?.is_none() {
            return Ok(None);
        }
        let page = forward(first, after);
        page.check::<TeamId>().map_err(top_level)?;
        let key =
            TeamsOfMember { member: (self.0.organization_id, self.0.user_id), page, with_count: wants_total(context) };
        let part = loaders(context).load_one(key).await?;
        Ok(part.map(|part| {
            let (page, count) = &*part;
            TeamConnection::new(page.map_ref(|team| Team(team.clone())), *count)
        }))
    }

    /// The person's departures from this organization, oldest first. Only the owner and admins see them.
    async fn departures(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<DepartureConnection>> {
        match self.permit(context).await? {
            Some(permit) => departures_of(context, &permit, Some(self.0.id), None, first, after).await,
            None => Ok(None),
        }
    }

    /// What the viewer may do to this member. It comes from the same rules that the mutations enforce.
    async fn viewer_can(&self, context: &Context<'_>) -> async_graphql::Result<Vec<MemberAction>> {
        let Some(permit) = self.permit(context).await? else { return Ok(Vec::new()) };
        let is_self = permit.is_of(self.0.user_id);
        let allowed = permit.standing().allowed_on_member(self.0.role, self.0.status, is_self);
        Ok(allowed.into_iter().map(Into::into).collect())
    }
}

connection!(MemberConnection, MemberEdge, Member, "members", total_count);

/// The member and their new role.
#[derive(InputObject)]
pub struct ChangeMemberRoleInput {
    /// The member.
    member_id: Id<MemberId>,
    /// The new role: ADMIN, MEMBER or VIEWER. Only a transfer of the ownership makes somebody the owner.
    role: Role,
}

/// The result of changing a member's role.
#[derive(SimpleObject, Default)]
pub struct ChangeMemberRolePayload {
    /// The member with the new role.
    member: Option<Member>,
    /// Why the role wasn't changed.
    user_errors: Vec<UserError>,
}
payload!(ChangeMemberRolePayload);

/// The member and their new permissions.
#[derive(InputObject)]
pub struct UpdateMemberPermissionsInput {
    /// The member. The owner always has every permission, so theirs can't be changed.
    member_id: Id<MemberId>,
    /// The permissions to set. Omitted ones stay as they are.
    permissions: MemberPermissionsInput,
}

/// The result of changing a member's permissions.
#[derive(SimpleObject, Default)]
pub struct UpdateMemberPermissionsPayload {
    /// The member with the new permissions.
    member: Option<Member>,
    /// Why the permissions weren't changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateMemberPermissionsPayload);

/// The mutations of members.
#[derive(Default)]
pub struct MemberMutation;

#[Object]
impl MemberMutation {
    /// Changes a member's role. A demotion also revokes what the person issued and could no longer issue in the new
    /// role.
    async fn change_member_role(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The member and their new role.")] input: ChangeMemberRoleInput,
    ) -> async_graphql::Result<ChangeMemberRolePayload> {
        let outcome = role::change_role(database(context), actor(context)?, input.member_id.0, input.role.into()).await;
        let member = Member::loaded(context, &outcome).await?;
        Payload::of(outcome, |_| ChangeMemberRolePayload { member, user_errors: Vec::new() })
    }

    /// Changes what a member may bill to the organization, and what they may do with resources that are shared with
    /// it.
    async fn update_member_permissions(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The member and their new permissions.")] input: UpdateMemberPermissionsInput,
    ) -> async_graphql::Result<UpdateMemberPermissionsPayload> {
        let (id, permissions) = (input.member_id.0, input.permissions.into());
        let outcome = role::update_permissions(database(context), actor(context)?, id, permissions).await;
        let member = Member::loaded(context, &outcome).await?;
        Payload::of(outcome, |_| UpdateMemberPermissionsPayload { member, user_errors: Vec::new() })
    }
}
