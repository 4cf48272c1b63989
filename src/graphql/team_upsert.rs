//! Bringing in a platform's teams, many at once.

use async_graphql::{Context, InputObject, Json, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::membership::team_upsert;

use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::organization::{OrganizationBy, unknown_organization};
use super::resource_upsert::UpsertOutcome;
use super::team::Team;
use super::undefined_or;
use super::user::UserRef;

/// The teams to bring in.
#[derive(InputObject)]
pub struct UpsertTeamsInput {
    /// The organization that they belong to.
    organization: OrganizationBy,
    /// The teams, 1 to 100, each named once.
    teams: Vec<TeamUpsertInput>,
}

/// A team, found by the platform's own id, else by its name if the team has no such id. An omitted field stays as it
/// is, and null clears it.
#[derive(InputObject)]
pub struct TeamUpsertInput {
    /// The platform's own id of the team, up to 255 characters. A team that is found by its name gets it.
    external_id: String,
    /// The name: 1 to 100 characters, unique in the organization. Needed for a new team.
    name: Option<String>,
    /// A description, up to 2000 characters.
    description: MaybeUndefined<String>,
    /// The URL of a picture.
    avatar_url: MaybeUndefined<String>,
    /// The people who are in the team afterwards: members and collaborators of the organization. If it is omitted, the
    /// same people stay in it.
    members: MaybeUndefined<Vec<UserRef>>,
    /// What the platform attaches to the team, an object of at most 8 kB.
    metadata: MaybeUndefined<Json<serde_json::Value>>,
}

impl From<TeamUpsertInput> for team_upsert::TeamUpsert {
    fn from(input: TeamUpsertInput) -> Self {
        Self {
            external_id: input.external_id,
            name: input.name,
            description: undefined_or(input.description),
            avatar_url: undefined_or(input.avatar_url),
            members: undefined_or(input.members)
                .map(|members| members.unwrap_or_default().into_iter().map(Into::into).collect()),
            metadata: undefined_or(input.metadata).map(|data| data.map(|data| data.0)),
        }
    }
}

/// A team that was brought in.
#[derive(SimpleObject)]
pub struct TeamUpsert {
    /// The team.
    team: Team,
    /// What became of it.
    outcome: UpsertOutcome,
}

/// The result of bringing in teams.
#[derive(SimpleObject, Default)]
pub struct UpsertTeamsPayload {
    /// Each team with what became of it, in the order of the input.
    results: Option<Vec<TeamUpsert>>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpsertTeamsPayload);

/// The mutations that bring in teams.
#[derive(Default)]
pub struct TeamUpsertMutation;

#[Object]
impl TeamUpsertMutation {
    /// Makes and changes teams of an organization with the people in them, 1 to 100, all or none. They are found by
    /// `externalId`, else by name, and the same call again changes nothing. For platform keys with MEMBERS_WRITE.
    async fn upsert_teams(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The teams to bring in.")] input: UpsertTeamsInput,
    ) -> async_graphql::Result<UpsertTeamsPayload> {
        let actor = actor(context)?;
        let items: Vec<team_upsert::TeamUpsert> = input.teams.into_iter().map(Into::into).collect();
        let outcome = match input.organization.id(context).await? {
            Some(id) => team_upsert::upsert(database(context), actor, id, &items).await,
            None => Err(unknown_organization()),
        };
        Payload::of(outcome, |results| UpsertTeamsPayload {
            results: Some(
                results
                    .into_iter()
                    .map(|(team, outcome)| TeamUpsert { team: Team(team), outcome: outcome.into() })
                    .collect(),
            ),
            user_errors: Vec::new(),
        })
    }
}
