//! Teams.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::Error;
use rollcall_domain::base::id::{OrganizationId, TeamId, TypedId, UserId};
use rollcall_domain::membership::{team, team_members};
use uuid::Uuid;

use super::connection::{connection, forward, wants_total};
use super::context::{MembersOfTeam, actor, database, loaders, request};
use super::error::{Payload, UserError, payload, top_level};
use super::id::Id;
use super::member::Member;
use super::organization::Organization;
use super::user::User;
use super::{required, undefined_or};

#[derive(Debug, Clone)]
pub struct Team(pub team::Team);

impl Team {
    /// The team of an id; for what already led to it.
    pub async fn load(context: &Context<'_>, id: TeamId) -> async_graphql::Result<Self> {
        let team = loaders(context).load_one(id).await?;
        Ok(Self(team.ok_or_else(|| top_level(Error::Bug("a team is missing")))?))
    }
}

impl Team {
    /// A team that something is shared with: as the viewer sees it, or else no more than that it is one, with an id
    /// that leads nowhere.
    pub async fn shared_with(context: &Context<'_>, id: TeamId, by: Uuid) -> async_graphql::Result<Self> {
        if let Some(actor) = request(context).actor().cloned()
            && let Some(team) = loaders(context).load_one((actor, id)).await?
        {
            return Ok(Self(team));
        }
        let team = Self::load(context, id).await?.0;
        let (id, name) = (TeamId::from_uuid(by), "team".to_owned());
        Ok(Self(team::Team { id, name, description: None, avatar_url: None, ..team }))
    }
}

/// A named group of an organization's members.
#[Object]
impl Team {
    /// Begins with tea_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Whose.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Organization> {
        Organization::load(context, self.0.organization_id).await
    }

    /// What it is called; unique in its organization, without case.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it does.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// A link to a picture.
    async fn avatar_url(&self) -> Option<&str> {
        self.0.avatar_url.as_deref()
    }

    /// Who is in it, as far as the viewer may see them; null for those who aren't members of the organization.
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
        page.check::<UserId>().map_err(top_level)?;
        let key = MembersOfTeam {
            team_id: self.0.id,
            visible: team_members::VisibleTeamMembers::of(&permit),
            page,
            with_count: wants_total(context),
        };
        let part = loaders(context).load_one(key).await?;
        Ok(part.map(|part| {
            let (page, count) = &*part;
            TeamMemberConnection::new(page.map_ref(|member| TeamMember { member: Member(member.clone()) }), *count)
        }))
    }
}

#[derive(Debug, Clone)]
pub struct TeamMember {
    member: Member,
}

/// Someone in a team.
#[Object]
impl TeamMember {
    /// The person.
    async fn user(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::load(context, self.member.0.user_id).await
    }

    /// Their membership in the team's organization.
    async fn member(&self) -> Option<Member> {
        Some(self.member.clone())
    }
}

connection!(TeamConnection, TeamEdge, Team, "teams", total_count);
connection!(TeamMemberConnection, TeamMemberEdge, TeamMember, "people", total_count);

/// A team to be created.
#[derive(InputObject)]
pub struct CreateTeamInput {
    /// Where.
    organization_id: Id<OrganizationId>,
    /// What it is called; 1 to 100 characters, unique in its organization.
    name: String,
    /// What it does, up to 2000 characters.
    description: Option<String>,
    /// A link to a picture.
    avatar_url: Option<String>,
}

/// A new team.
#[derive(SimpleObject, Default)]
pub struct CreateTeamPayload {
    /// The team.
    team: Option<Team>,
    /// Why none was created.
    user_errors: Vec<UserError>,
}
payload!(CreateTeamPayload);

/// What to change of a team; a field left out stays as it is, and null clears it.
#[derive(InputObject)]
pub struct UpdateTeamInput {
    /// The team.
    id: Id<TeamId>,
    /// What it is called; 1 to 100 characters, unique in its organization.
    name: MaybeUndefined<String>,
    /// What it does, up to 2000 characters.
    description: MaybeUndefined<String>,
    /// A link to a picture.
    avatar_url: MaybeUndefined<String>,
}

/// A team as it is now.
#[derive(SimpleObject, Default)]
pub struct UpdateTeamPayload {
    /// The team.
    team: Option<Team>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateTeamPayload);

/// A team to be deleted.
#[derive(InputObject)]
pub struct DeleteTeamInput {
    /// The team.
    id: Id<TeamId>,
}

/// A team that is gone.
#[derive(SimpleObject, Default)]
pub struct DeleteTeamPayload {
    /// Which.
    deleted_team_id: Option<ID>,
    /// Why it is still there.
    user_errors: Vec<UserError>,
}
payload!(DeleteTeamPayload);

/// Whom to add to a team.
#[derive(InputObject)]
pub struct AddTeamMembersInput {
    /// The team.
    team_id: Id<TeamId>,
    /// 1 to 100 members of its organization; all are added or none. Those already in the team stay in it.
    user_ids: Vec<Id<UserId>>,
}

/// A team with those who were added.
#[derive(SimpleObject, Default)]
pub struct AddTeamMembersPayload {
    /// The team.
    team: Option<Team>,
    /// Why nobody was added.
    user_errors: Vec<UserError>,
}
payload!(AddTeamMembersPayload);

/// Whom to take out of a team.
#[derive(InputObject)]
pub struct RemoveTeamMemberInput {
    /// The team.
    team_id: Id<TeamId>,
    /// The person; everyone may take themselves out.
    user_id: Id<UserId>,
}

/// A team without the person.
#[derive(SimpleObject, Default)]
pub struct RemoveTeamMemberPayload {
    /// The team.
    team: Option<Team>,
    /// Why nobody was taken out.
    user_errors: Vec<UserError>,
}
payload!(RemoveTeamMemberPayload);

/// Teams.
#[derive(Default)]
pub struct TeamMutation;

#[Object]
impl TeamMutation {
    /// Creates a team without members.
    async fn create_team(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The team.")] input: CreateTeamInput,
    ) -> async_graphql::Result<CreateTeamPayload> {
        let team = team::TeamInput {
            name: Some(input.name),
            description: input.description.map(Some),
            avatar_url: input.avatar_url.map(Some),
        };
        let outcome = team::create(database(context), actor(context)?, input.organization_id.0, &team).await;
        Payload::of(outcome, |team| CreateTeamPayload { team: Some(Team(team)), user_errors: Vec::new() })
    }

    /// Changes what is said of a team.
    async fn update_team(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateTeamInput,
    ) -> async_graphql::Result<UpdateTeamPayload> {
        let team = team::TeamInput {
            name: required(input.name),
            description: undefined_or(input.description),
            avatar_url: undefined_or(input.avatar_url),
        };
        let outcome = team::update(database(context), actor(context)?, input.id.0, &team).await;
        Payload::of(outcome, |team| UpdateTeamPayload { team: Some(Team(team)), user_errors: Vec::new() })
    }

    /// Deletes a team; its members stay in the organization, and open invitations no longer lead into it.
    async fn delete_team(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which team.")] input: DeleteTeamInput,
    ) -> async_graphql::Result<DeleteTeamPayload> {
        let outcome = team::delete(database(context), actor(context)?, input.id.0).await;
        Payload::of(outcome, |id| DeleteTeamPayload {
            deleted_team_id: Some(id.to_string().into()),
            user_errors: Vec::new(),
        })
    }

    /// Adds members of the organization to a team.
    async fn add_team_members(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Whom to add.")] input: AddTeamMembersInput,
    ) -> async_graphql::Result<AddTeamMembersPayload> {
        let user_ids: Vec<UserId> = input.user_ids.into_iter().map(|id| id.0).collect();
        let outcome = team::add_members(database(context), actor(context)?, input.team_id.0, &user_ids).await;
        Payload::of(outcome, |team| AddTeamMembersPayload { team: Some(Team(team)), user_errors: Vec::new() })
    }

    /// Takes someone out of a team; they stay in the organization.
    async fn remove_team_member(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Whom to take out.")] input: RemoveTeamMemberInput,
    ) -> async_graphql::Result<RemoveTeamMemberPayload> {
        let outcome = team::remove_member(database(context), actor(context)?, input.team_id.0, input.user_id.0).await;
        Payload::of(outcome, |team| RemoveTeamMemberPayload { team: Some(Team(team)), user_errors: Vec::new() })
    }
}
