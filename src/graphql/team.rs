//! Teams.

use async_graphql::{Context, ID, InputObject, Json, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::Error;
use rollcall_domain::authority::platform_data::WithMetadata;
use rollcall_domain::base::id::{OrganizationId, TeamId, TypedId, UserId};
use rollcall_domain::membership::{team, team_members};
use uuid::Uuid;

use super::connection::{connection, forward, wants_total};
use super::context::{MembersOfTeam, actor, database, loaders, metadata, request};
use super::error::{Payload, UserError, payload, top_level};
use super::id::Id;
use super::member::Member;
use super::organization::Organization;
use super::user::User;
use super::{required, undefined_or};

#[derive(Debug, Clone)]
pub struct Team(pub team::Team);

impl Team {
    /// Loads the team. Only for ids that a visible object has led to.
    pub async fn load(context: &Context<'_>, id: TeamId) -> async_graphql::Result<Self> {
        let team = loaders(context).load_one(id).await?;
        Ok(Self(team.ok_or_else(|| top_level(Error::Bug("a team is missing")))?))
    }
}

impl Team {
    /// A team that something is shared with. If the viewer can't see the team, this is a placeholder that reveals only
    /// that it is a team, with an id that can't be looked up.
    pub async fn shared_with(context: &Context<'_>, id: TeamId, by: Uuid) -> async_graphql::Result<Self> {
        if let Some(actor) = request(context).actor().cloned()
            && let Some(team) = loaders(context).load_one((actor, id)).await?
        {
            return Ok(Self(team));
        }
        let team = Self::load(context, id).await?.0;
        let (id, name) = (TeamId::from_uuid(by), "team".to_owned());
        Ok(Self(team::Team { id, name, description: None, avatar_url: None, external_id: None, ..team }))
    }
}

/// A named group of an organization's members and collaborators.
#[Object]
impl Team {
    /// The team's id. It begins with `tea_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The organization that the team belongs to.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.0.organization_id).await
    }

    /// The team's name, which is unique in its organization, ignoring case.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The team's description.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// The URL of the team's picture.
    async fn avatar_url(&self) -> Option<&str> {
        self.0.avatar_url.as_deref()
    }

    /// The platform's own id of the team. Null for viewers who only reach something that is shared with it.
    async fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// What the platform attached to this team, an object of at most 8 kB. Null for viewers who aren't members of the
    /// organization.
    async fn metadata(&self, context: &Context<'_>) -> async_graphql::Result<Option<Json<serde_json::Value>>> {
        match Organization::load(context, self.0.organization_id).await?.is_visible() {
            true => metadata(context, WithMetadata::Team(self.0.id)).await,
            false => Ok(None),
        }
    }

    /// The people in the team that the viewer may see: first the members, then the collaborators. The owner and admins
    /// see everybody. Others see themselves and the members that the directory shows, and, if the directory is
    /// EVERYONE, the collaborators in teams that they are in. Null for viewers who aren't members of the organization.
    async fn members(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<TeamMemberConnection>> {
        let Some(actor) = request(context).actor().cloned() else { return Ok(None) };
        let permit = loaders(context).load_one((actor, self.0.organization_id)).await?.and_then(|(_, permit)| permit);
        let Some(permit) = permit else { return Ok(None) };
        let page = forward(first, after);
        page.check::<team_members::TeamPlace>().map_err(top_level)?;
        let key = MembersOfTeam {
            team_id: self.0.id,
            visible: team_members::VisibleTeamMembers::of(&permit),
            page,
            with_count: wants_total(context),
        };
        let part = loaders(context).load_one(key).await?;
        Ok(part.map(|part| {
            let (page, count) = &*part;
            TeamMemberConnection::new(page.map_ref(|person| TeamMember(person.clone())), *count)
        }))
    }
}

#[derive(Debug, Clone)]
pub struct TeamMember(team_members::TeamPerson);

/// A person in a team: a member or a collaborator of the team's organization.
#[Object]
impl TeamMember {
    /// The person. A collaborator whom the viewer can't look up otherwise is shown as a placeholder, like
    /// `Collaborator.user`.
    async fn user(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        match &self.0.member {
            Some(_) => User::load(context, self.0.user_id).await,
            None => User::outside(context, self.0.organization_id, self.0.user_id).await,
        }
    }

    /// The person's membership in the team's organization. Null for a collaborator.
    async fn member(&self) -> Option<Member> {
        self.0.member.clone().map(Member)
    }
}

connection!(TeamConnection, TeamEdge, Team, "teams", total_count);
connection!(TeamMemberConnection, TeamMemberEdge, TeamMember, "people", total_count);

/// The team to create.
#[derive(InputObject)]
pub struct CreateTeamInput {
    /// The organization that the team will belong to.
    organization_id: Id<OrganizationId>,
    /// The name: 1 to 100 characters, unique in the organization.
    name: String,
    /// A description, up to 2000 characters.
    description: Option<String>,
    /// The URL of a picture.
    avatar_url: Option<String>,
}

/// The result of creating a team.
#[derive(SimpleObject, Default)]
pub struct CreateTeamPayload {
    /// The new team.
    team: Option<Team>,
    /// Why no team was created.
    user_errors: Vec<UserError>,
}
payload!(CreateTeamPayload);

/// The changes to a team. An omitted field stays as it is; null clears it.
#[derive(InputObject)]
pub struct UpdateTeamInput {
    /// The team.
    id: Id<TeamId>,
    /// The name: 1 to 100 characters, unique in the organization.
    name: MaybeUndefined<String>,
    /// A description, up to 2000 characters.
    description: MaybeUndefined<String>,
    /// The URL of a picture.
    avatar_url: MaybeUndefined<String>,
}

/// The result of changing a team.
#[derive(SimpleObject, Default)]
pub struct UpdateTeamPayload {
    /// The changed team.
    team: Option<Team>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateTeamPayload);

/// Identifies the team to delete.
#[derive(InputObject)]
pub struct DeleteTeamInput {
    /// The team.
    id: Id<TeamId>,
}

/// The result of deleting a team.
#[derive(SimpleObject, Default)]
pub struct DeleteTeamPayload {
    /// The id of the deleted team.
    deleted_team_id: Option<ID>,
    /// Why the team wasn't deleted.
    user_errors: Vec<UserError>,
}
payload!(DeleteTeamPayload);

/// The team, and the people to add to it.
#[derive(InputObject)]
pub struct AddTeamMembersInput {
    /// The team.
    team_id: Id<TeamId>,
    /// 1 to 100 members and collaborators of the team's organization. Collaborators are named by the id of
    /// `Collaborator.user`, which may be a placeholder's, or by that of their account. Either all are added or nobody
    /// is. Those who are already in the team stay there.
    user_ids: Vec<Id<UserId>>,
}

/// The result of adding people to a team.
#[derive(SimpleObject, Default)]
pub struct AddTeamMembersPayload {
    /// The team, with the people who were added.
    team: Option<Team>,
    /// Why nobody was added.
    user_errors: Vec<UserError>,
}
payload!(AddTeamMembersPayload);

/// The team, and the person to remove from it.
#[derive(InputObject)]
pub struct RemoveTeamMemberInput {
    /// The team.
    team_id: Id<TeamId>,
    /// The person: the id of `TeamMember.user`, which may be a placeholder's, or that of their account. Everyone may
    /// remove themselves.
    user_id: Id<UserId>,
}

/// The result of removing somebody from a team.
#[derive(SimpleObject, Default)]
pub struct RemoveTeamMemberPayload {
    /// The team, without the person.
    team: Option<Team>,
    /// Why nobody was removed.
    user_errors: Vec<UserError>,
}
payload!(RemoveTeamMemberPayload);

/// The mutations of teams.
#[derive(Default)]
pub struct TeamMutation;

#[Object]
impl TeamMutation {
    /// Creates a team, which has no members yet.
    async fn create_team(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The team to create.")] input: CreateTeamInput,
    ) -> async_graphql::Result<CreateTeamPayload> {
        let team = team::TeamInput {
            name: Some(input.name),
            description: input.description.map(Some),
            avatar_url: input.avatar_url.map(Some),
        };
        let outcome = team::create(database(context), actor(context)?, input.organization_id.0, &team).await;
        Payload::of(outcome, |team| CreateTeamPayload { team: Some(Team(team)), user_errors: Vec::new() })
    }

    /// Changes a team's name, description and picture.
    async fn update_team(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The team and the changes.")] input: UpdateTeamInput,
    ) -> async_graphql::Result<UpdateTeamPayload> {
        let team = team::TeamInput {
            name: required(input.name),
            description: undefined_or(input.description),
            avatar_url: undefined_or(input.avatar_url),
        };
        let outcome = team::update(database(context), actor(context)?, input.id.0, &team).await;
        Payload::of(outcome, |team| UpdateTeamPayload { team: Some(Team(team)), user_errors: Vec::new() })
    }

    /// Deletes a team. Its members stay in the organization, and pending invitations no longer lead to the team.
    async fn delete_team(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The team to delete.")] input: DeleteTeamInput,
    ) -> async_graphql::Result<DeleteTeamPayload> {
        let outcome = team::delete(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| DeleteTeamPayload {
            deleted_team_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }

    /// Adds members and collaborators of the organization to a team. Somebody becomes a collaborator only by a grant on
    /// a resource, so the team makes nobody one. Collaborators leave their teams when the last grant to themselves
    /// ends, and can't be added while the policy keeps sharing inside.
    async fn add_team_members(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The team and the people to add.")] input: AddTeamMembersInput,
    ) -> async_graphql::Result<AddTeamMembersPayload> {
        let user_ids: Vec<UserId> = input.user_ids.into_iter().map(|id| id.0).collect();
        let outcome = team::add_members(database(context), actor(context)?, input.team_id.0, &user_ids).await;
        Payload::of(outcome, |team| AddTeamMembersPayload { team: Some(Team(team)), user_errors: Vec::new() })
    }

    /// Removes somebody from a team. They stay a member or collaborator of the organization.
    async fn remove_team_member(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The team and the person to remove.")] input: RemoveTeamMemberInput,
    ) -> async_graphql::Result<RemoveTeamMemberPayload> {
        let outcome = team::remove_member(database(context), actor(context)?, input.team_id.0, input.user_id.0).await;
        Payload::of(outcome, |team| RemoveTeamMemberPayload { team: Some(Team(team)), user_errors: Vec::new() })
    }
}
