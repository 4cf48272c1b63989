//! The context of resolvers: the actor, the database and the loaders.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use async_graphql::{Context, Json};
use rollcall_domain::account::grant_invitation::GrantInvitation;
use rollcall_domain::account::user::{self, User};
use rollcall_domain::authority::access::Permit;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::platform_data::{self, WithMetadata};
use rollcall_domain::authority::resource_access::Access;
use rollcall_domain::authority::visibility;
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::id::{DepartureId, InvitationId, MemberId, OrganizationId, ResourceId, TeamId, UserId};
use rollcall_domain::base::limits;
use rollcall_domain::base::page::{Page, PageRequest};
use rollcall_domain::database::idempotency::RepeatableRequest;
use rollcall_domain::database::{self, Connection, Database};
use rollcall_domain::departure::receipt::{self, ResourceMove};
use rollcall_domain::departure::{self, Progress};
use rollcall_domain::membership::collaborator::{self, OutsiderNaming};
use rollcall_domain::membership::invitation_grants::{self, InvitationGrant};
use rollcall_domain::membership::member::{self, Member};
use rollcall_domain::membership::organization::{self, Organization};
use rollcall_domain::membership::seats;
use rollcall_domain::membership::team::{self, Team};
use rollcall_domain::membership::team_members::{self, TeamPerson};
use rollcall_domain::organization::usage::{self, UsageAnswer, UsageQuestion};
use rollcall_domain::resource::grant::{self, Grant};
use rollcall_domain::resource::list::{PartFilter, ResourcesBy};
use rollcall_domain::resource::share_link::{self, ShareLink};
use rollcall_domain::resource::transfer::{self, Transfer};
use rollcall_domain::resource::{self, Resource};
use sha2::{Digest as _, Sha256};

use super::error::{top_level, unauthenticated};
use super::loading::{Batches, DataLoader, Loader};

/// The actor of a request, and details of the client.
#[derive(Debug)]
pub struct Request {
    actor: Option<Actor>,
    /// The actor who signed in during this request. Its answer is for them.
    became: OnceLock<Actor>,
    /// The client's User-Agent.
    pub user_agent: Option<String>,
    /// The network from which the client connects.
    pub client: ClientNetwork,
    idempotency_key: Option<String>,
    /// Set for requests with an idempotency key.
    repeatable: Option<Arc<RepeatableRequest>>,
}

impl Request {
    /// A request of an actor, or of nobody if there are no credentials.
    pub fn new(actor: Option<Actor>, user_agent: Option<String>, client: ClientNetwork) -> Self {
        Self { actor, became: OnceLock::new(), user_agent, client, idempotency_key: None, repeatable: None }
    }

    /// The same request, whose mutations are carried out once under this key, however often it is sent.
    #[must_use]
    pub fn with_idempotency_key(self, idempotency_key: Option<String>) -> Self {
        Self { idempotency_key, ..self }
    }

    /// Notes all that the request asks for, if it has an idempotency key.
    fn asks_for(&mut self, request: &async_graphql::Request) {
        let Some(key) = self.idempotency_key.take() else { return };
        let asked = serde_json::json!([request.query, request.operation_name, request.variables]);
        let digest: [u8; 32] = Sha256::digest(asked.to_string()).into();
        let caller = match &self.actor {
            Some(actor) => actor.caller(),
            // Nobody is known. Whoever sends the very same knows what it holds.
            None => digest.iter().fold("nobody ".to_owned(), |name, byte| format!("{name}{byte:02x}")),
        };
        self.repeatable = Some(Arc::new(RepeatableRequest { caller, key, digest }));
    }

    /// What is to be carried out once, if the request has an idempotency key.
    pub fn repeatable(&self) -> Option<&Arc<RepeatableRequest>> {
        self.repeatable.as_ref()
    }

    /// The actor, or `None` without credentials.
    pub fn actor(&self) -> Option<&Actor> {
        self.became.get().or(self.actor.as_ref())
    }

    /// From here on, the answer is for the actor who has just signed in.
    pub fn becomes(&self, actor: Actor) {
        // The first who signs in during a request stays its actor.
        let _ = self.became.set(actor);
    }
}

/// The database of the request.
pub fn database<'c>(context: &Context<'c>) -> &'c Database {
    context.data_unchecked::<Database>()
}

/// Takes a connection for reading.
pub async fn connection(context: &Context<'_>) -> async_graphql::Result<Connection> {
    database(context).connection().await.map_err(top_level)
}

/// The actor of the request, and details of the client.
pub fn request<'c>(context: &Context<'c>) -> &'c Request {
    context.data_unchecked::<Request>()
}

/// Returns the actor. Fails with UNAUTHENTICATED without credentials.
pub fn actor<'c>(context: &Context<'c>) -> async_graphql::Result<&'c Actor> {
    request(context).actor().ok_or_else(unauthenticated)
}

/// The loaders. They collect what one level of the query needs and load it with one statement each, on connections of
/// their own.
#[track_caller]
pub fn loaders<'c>(context: &Context<'c>) -> &'c DataLoader<Loaders> {
    database::expect_none_held();
    context.data_unchecked::<DataLoader<Loaders>>()
}

/// Completes a GraphQL request with its actor, the loaders, and a share of the database that is limited to a few
/// connections at a time, so that no request takes them all. Pass the batches to [`Batches::run`].
pub fn asked_by(
    mut who: Request,
    database: &Database,
    request: async_graphql::Request,
) -> (async_graphql::Request, Arc<Batches>) {
    who.asks_for(&request);
    let database = database.share(limits::CONNECTIONS_OF_REQUEST);
    let batches = Arc::new(Batches::default());
    let loaders = DataLoader::new(Loaders(database.clone()), batches.clone());
    (request.data(who).data(database).data(loaders), batches)
}

/// The loaders of a request. If it matters for whom something is loaded, the actor is part of the key.
pub struct Loaders(Database);

impl Loaders {
    /// Takes a connection for a batch.
    pub async fn connection(&self) -> Result<Connection, async_graphql::Error> {
        self.0.connection().await.map_err(top_level)
    }
}

impl Loader<UserId> for Loaders {
    type Value = Arc<User>;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, Self::Value>, async_graphql::Error> {
        let users = user::by_ids(&mut *self.connection().await?, keys).await.map_err(top_level)?;
        Ok(users.into_iter().map(|user| (user.id, Arc::new(user))).collect())
    }
}

/// An account on behalf of an actor. It isn't found if the actor may not look it up.
pub type UserKey = (Actor, UserId);

impl Loader<UserKey> for Loaders {
    type Value = Arc<User>;

    async fn load(&self, keys: &[UserKey]) -> Result<HashMap<UserKey, Self::Value>, async_graphql::Error> {
        let mut answers = HashMap::new();
        let mut connection = self.connection().await?;
        for (actor, keys) in by_page(keys, |(actor, _)| actor.clone()) {
            let ids: Vec<UserId> = keys.iter().map(|(_, id)| *id).collect();
            let visible = visibility::visible_to(&mut connection, &actor, &ids).await.map_err(top_level)?;
            let users = user::by_ids(&mut connection, &visible).await.map_err(top_level)?;
            answers.extend(users.into_iter().map(|user| ((actor.clone(), user.id), Arc::new(user))));
        }
        Ok(answers)
    }
}

/// How an organization names a person who isn't its member. Access is checked before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NamingOf(pub OrganizationId, pub UserId);

impl Loader<NamingOf> for Loaders {
    type Value = Arc<OutsiderNaming>;

    async fn load(&self, keys: &[NamingOf]) -> Result<HashMap<NamingOf, Self::Value>, async_graphql::Error> {
        let people: Vec<_> = keys.iter().map(|NamingOf(organization_id, id)| (*organization_id, *id)).collect();
        let found = collaborator::namings(&mut *self.connection().await?, &people).await.map_err(top_level)?;
        Ok(found
            .into_iter()
            .map(|((organization_id, id), naming)| (NamingOf(organization_id, id), Arc::new(naming)))
            .collect())
    }
}

/// A team on behalf of an actor. It isn't found if the actor can't see it.
pub type TeamKey = (Actor, TeamId);

impl Loader<TeamKey> for Loaders {
    type Value = Team;

    async fn load(&self, keys: &[TeamKey]) -> Result<HashMap<TeamKey, Team>, async_graphql::Error> {
        let mut answers = HashMap::new();
        let mut connection = self.connection().await?;
        for (actor, keys) in by_page(keys, |(actor, _)| actor.clone()) {
            let ids: Vec<TeamId> = keys.iter().map(|(_, id)| *id).collect();
            let teams = team::visible_to(&mut connection, &actor, &ids).await.map_err(top_level)?;
            answers.extend(teams.into_iter().map(|team| ((actor.clone(), team.id), team)));
        }
        Ok(answers)
    }
}

/// An organization on behalf of an actor.
pub type OrganizationKey = (Actor, OrganizationId);

impl Loader<OrganizationKey> for Loaders {
    type Value = (Arc<Organization>, Option<Permit>);

    async fn load(
        &self,
        keys: &[OrganizationKey],
    ) -> Result<HashMap<OrganizationKey, Self::Value>, async_graphql::Error> {
        let found =
            organization::organizations_with_permits(&mut *self.connection().await?, keys).await.map_err(top_level)?;
        Ok(found
            .into_iter()
            .map(|(actor, organization, permit)| ((actor, organization.id), (Arc::new(organization), permit)))
            .collect())
    }
}

/// The owner of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerOf(pub OrganizationId);

impl Loader<OwnerOf> for Loaders {
    type Value = UserId;

    async fn load(&self, keys: &[OwnerOf]) -> Result<HashMap<OwnerOf, UserId>, async_graphql::Error> {
        let ids: Vec<OrganizationId> = keys.iter().map(|key| key.0).collect();
        let owners = organization::owners(&mut *self.connection().await?, &ids).await.map_err(top_level)?;
        Ok(owners.into_iter().map(|(organization_id, user_id)| (OwnerOf(organization_id), user_id)).collect())
    }
}

/// The seats in use in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeatsUsedOf(pub OrganizationId);

impl Loader<SeatsUsedOf> for Loaders {
    type Value = i64;

    async fn load(&self, keys: &[SeatsUsedOf]) -> Result<HashMap<SeatsUsedOf, i64>, async_graphql::Error> {
        let ids: Vec<OrganizationId> = keys.iter().map(|key| key.0).collect();
        let used = seats::seats_used(&*self.connection().await?, &ids).await.map_err(top_level)?;
        Ok(used.into_iter().map(|(id, used)| (SeatsUsedOf(id), used)).collect())
    }
}

impl Loader<UsageQuestion> for Loaders {
    type Value = Arc<UsageAnswer>;

    async fn load(&self, keys: &[UsageQuestion]) -> Result<HashMap<UsageQuestion, Self::Value>, async_graphql::Error> {
        let answers = usage::answer(&mut *self.connection().await?, keys).await.map_err(top_level)?;
        Ok(answers.into_iter().map(|(question, answer)| (question, Arc::new(answer))).collect())
    }
}

/// The owner and admins of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeadershipOf(pub OrganizationId);

impl Loader<LeadershipOf> for Loaders {
    type Value = Vec<Member>;

    async fn load(&self, keys: &[LeadershipOf]) -> Result<HashMap<LeadershipOf, Vec<Member>>, async_graphql::Error> {
        let ids: Vec<OrganizationId> = keys.iter().map(|key| key.0).collect();
        let leaders = member::leadership(&mut *self.connection().await?, &ids).await.map_err(top_level)?;
        let mut answers: HashMap<LeadershipOf, Vec<Member>> = HashMap::new();
        for leader in leaders {
            answers.entry(LeadershipOf(leader.organization_id)).or_default().push(leader);
        }
        Ok(answers)
    }
}

impl Loader<MemberId> for Loaders {
    type Value = Member;

    async fn load(&self, keys: &[MemberId]) -> Result<HashMap<MemberId, Member>, async_graphql::Error> {
        let members = member::by_ids(&mut *self.connection().await?, keys).await.map_err(top_level)?;
        Ok(members.into_iter().map(|member| (member.id, member)).collect())
    }
}

impl Loader<ResourceId> for Loaders {
    type Value = Resource;

    async fn load(&self, keys: &[ResourceId]) -> Result<HashMap<ResourceId, Resource>, async_graphql::Error> {
        let resources = resource::by_ids(&mut *self.connection().await?, keys).await.map_err(top_level)?;
        Ok(resources.into_iter().map(|resource| (resource.id, resource)).collect())
    }
}

/// The steps of a departure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepsOf(pub DepartureId);

impl Loader<StepsOf> for Loaders {
    type Value = Arc<Vec<Progress>>;

    async fn load(&self, keys: &[StepsOf]) -> Result<HashMap<StepsOf, Self::Value>, async_graphql::Error> {
        let ids: Vec<DepartureId> = keys.iter().map(|key| key.0).collect();
        let steps = departure::steps(&mut *self.connection().await?, &ids).await.map_err(top_level)?;
        let mut answers: HashMap<StepsOf, Vec<Progress>> = HashMap::new();
        for step in steps {
            answers.entry(StepsOf(step.departure_id)).or_default().push(step);
        }
        Ok(answers.into_iter().map(|(key, steps)| (key, Arc::new(steps))).collect())
    }
}

impl Loader<TeamId> for Loaders {
    type Value = Team;

    async fn load(&self, keys: &[TeamId]) -> Result<HashMap<TeamId, Team>, async_graphql::Error> {
        let teams = team::by_ids(&mut *self.connection().await?, keys).await.map_err(top_level)?;
        Ok(teams.into_iter().map(|team| (team.id, team)).collect())
    }
}

/// The teams that people join by accepting an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TeamsOfInvitation(pub InvitationId);

impl Loader<TeamsOfInvitation> for Loaders {
    type Value = Vec<Team>;

    async fn load(
        &self,
        keys: &[TeamsOfInvitation],
    ) -> Result<HashMap<TeamsOfInvitation, Vec<Team>>, async_graphql::Error> {
        let ids: Vec<InvitationId> = keys.iter().map(|key| key.0).collect();
        let teams = team::of_invitations(&mut *self.connection().await?, &ids).await.map_err(top_level)?;
        let mut answers: HashMap<TeamsOfInvitation, Vec<Team>> = HashMap::new();
        for (id, team) in teams {
            answers.entry(TeamsOfInvitation(id)).or_default().push(team);
        }
        Ok(answers)
    }
}

/// What is granted to people who accept an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrantsOfInvitation(pub InvitationId);

impl Loader<GrantsOfInvitation> for Loaders {
    type Value = Vec<InvitationGrant>;

    async fn load(
        &self,
        keys: &[GrantsOfInvitation],
    ) -> Result<HashMap<GrantsOfInvitation, Vec<InvitationGrant>>, async_graphql::Error> {
        let ids: Vec<InvitationId> = keys.iter().map(|key| key.0).collect();
        let grants =
            invitation_grants::of_invitations(&mut *self.connection().await?, &ids).await.map_err(top_level)?;
        let mut answers: HashMap<GrantsOfInvitation, Vec<InvitationGrant>> = HashMap::new();
        for (id, grant) in grants {
            answers.entry(GrantsOfInvitation(id)).or_default().push(grant);
        }
        Ok(answers)
    }
}

/// Groups the keys of lists that belong to many objects by the requested page, so that there is one load per page
/// instead of one per object.
fn by_page<K, G: std::hash::Hash + Eq>(keys: &[K], page: impl Fn(&K) -> G) -> HashMap<G, Vec<&K>> {
    let mut groups: HashMap<G, Vec<&K>> = HashMap::new();
    for key in keys {
        groups.entry(page(key)).or_default().push(key);
    }
    groups
}

/// A page of the teams of a member or a collaborator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TeamsOfMember {
    /// The organization and the person.
    pub member: (OrganizationId, UserId),
    /// The requested page, which has been validated.
    pub page: PageRequest,
    /// Whether the total number was requested.
    pub with_count: bool,
}

impl Loader<TeamsOfMember> for Loaders {
    type Value = Arc<team_members::Part<Team>>;

    async fn load(&self, keys: &[TeamsOfMember]) -> Result<HashMap<TeamsOfMember, Self::Value>, async_graphql::Error> {
        let mut answers = HashMap::new();
        let mut connection = self.connection().await?;
        let groups = by_page(keys, |key| (key.page.clone(), key.with_count));
        for ((page, with_count), keys) in groups {
            let members: Vec<_> = keys.iter().map(|key| key.member).collect();
            let found = team_members::of_members(&mut connection, &members, &page, with_count).await;
            let mut found = found.map_err(top_level)?;
            answers
                .extend(keys.into_iter().filter_map(|key| Some((key.clone(), Arc::new(found.remove(&key.member)?)))));
        }
        Ok(answers)
    }
}

/// A page of the people in a team whom the viewer may see.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MembersOfTeam {
    /// The team.
    pub team_id: TeamId,
    /// The people whom the viewer may see.
    pub visible: team_members::VisibleTeamMembers,
    /// The requested page, which has been validated.
    pub page: PageRequest,
    /// Whether the total number was requested.
    pub with_count: bool,
}

impl Loader<MembersOfTeam> for Loaders {
    type Value = Arc<team_members::Part<TeamPerson>>;

    async fn load(&self, keys: &[MembersOfTeam]) -> Result<HashMap<MembersOfTeam, Self::Value>, async_graphql::Error> {
        let mut answers = HashMap::new();
        let mut connection = self.connection().await?;
        let groups = by_page(keys, |key| (key.visible.clone(), key.page.clone(), key.with_count));
        for ((visible, page, with_count), keys) in groups {
            let ids: Vec<TeamId> = keys.iter().map(|key| key.team_id).collect();
            let found = team_members::people_of(&mut connection, &ids, &visible, &page, with_count).await;
            let mut found = found.map_err(top_level)?;
            answers
                .extend(keys.into_iter().filter_map(|key| Some((key.clone(), Arc::new(found.remove(&key.team_id)?)))));
        }
        Ok(answers)
    }
}

/// A page of the grants by which a collaborator reaches something. Access is checked before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GrantsOfCollaborator {
    /// The organization and the person.
    pub collaborator: (OrganizationId, UserId),
    /// The requested page, which has been validated.
    pub page: PageRequest,
    /// Whether the total number was requested.
    pub with_count: bool,
}

impl Loader<GrantsOfCollaborator> for Loaders {
    type Value = Arc<(Page<Grant>, i64)>;

    async fn load(
        &self,
        keys: &[GrantsOfCollaborator],
    ) -> Result<HashMap<GrantsOfCollaborator, Self::Value>, async_graphql::Error> {
        let mut answers = HashMap::new();
        let mut connection = self.connection().await?;
        for ((page, with_count), keys) in by_page(keys, |key| (key.page.clone(), key.with_count)) {
            let people: Vec<_> = keys.iter().map(|key| key.collaborator).collect();
            let found = grant::of_collaborators(&mut connection, &people, &page, with_count).await;
            let mut found = found.map_err(top_level)?;
            answers.extend(
                keys.into_iter().filter_map(|key| Some((key.clone(), Arc::new(found.remove(&key.collaborator)?)))),
            );
        }
        Ok(answers)
    }
}

impl Loader<WithMetadata> for Loaders {
    type Value = serde_json::Value;

    async fn load(
        &self,
        keys: &[WithMetadata],
    ) -> Result<HashMap<WithMetadata, serde_json::Value>, async_graphql::Error> {
        platform_data::metadata_of(&mut *self.connection().await?, keys).await.map_err(top_level)
    }
}

/// Loads what the platform attached to an object. The caller has checked that the viewer may see it.
pub async fn metadata(
    context: &Context<'_>,
    of: WithMetadata,
) -> async_graphql::Result<Option<Json<serde_json::Value>>> {
    Ok(loaders(context).load_one(of).await?.map(Json))
}

/// What an actor may do with a resource.
pub type AccessKey = (Actor, ResourceId);

impl Loader<AccessKey> for Loaders {
    type Value = Access;

    async fn load(&self, keys: &[AccessKey]) -> Result<HashMap<AccessKey, Access>, async_graphql::Error> {
        let mut answers = HashMap::new();
        let mut connection = self.connection().await?;
        for (actor, keys) in by_page(keys, |(actor, _)| actor.clone()) {
            let ids = keys.iter().map(|(_, id)| *id);
            let found = resource::access(&mut connection, &actor, ids).await.map_err(top_level)?;
            answers.extend(found.into_iter().map(|(id, access)| ((actor.clone(), id), access)));
        }
        Ok(answers)
    }
}

/// With whose eyes the actor sees the resources of an organization: their own, or, for a platform key, the owner's
/// (R85).
pub async fn viewer_in(
    context: &Context<'_>,
    actor: &Actor,
    organization_id: OrganizationId,
) -> async_graphql::Result<Option<UserId>> {
    match actor {
        Actor::Platform(_) => loaders(context).load_one(OwnerOf(organization_id)).await,
        Actor::User { .. }
        | Actor::ApiKey { .. }
        | Actor::Service { .. }
        | Actor::OnBehalf { .. }
        | Actor::Staff { .. } => Ok(actor.reach().map(|reach| reach.user_id())),
    }
}

/// A page of the resources that belong to an object, limited to those that the viewer can reach.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourcesOf {
    /// The object, and how the resources belong to it.
    pub part: ResourcesBy,
    /// The viewer, and the kind of resources.
    pub within: PartFilter,
    /// The requested page, which has been validated.
    pub page: PageRequest,
}

impl Loader<ResourcesOf> for Loaders {
    type Value = Arc<Page<Resource>>;

    async fn load(&self, keys: &[ResourcesOf]) -> Result<HashMap<ResourcesOf, Self::Value>, async_graphql::Error> {
        let mut answers = HashMap::new();
        let mut connection = self.connection().await?;
        let groups = by_page(keys, |key| (std::mem::discriminant(&key.part), key.within, key.page.clone()));
        for ((_, within, page), keys) in groups {
            let parts: Vec<ResourcesBy> = keys.iter().map(|key| key.part).collect();
            let pages = resource::list::list_within(&mut connection, within, &parts, &page).await.map_err(top_level)?;
            answers.extend(keys.into_iter().zip(pages).map(|(key, page)| (key.clone(), Arc::new(page))));
        }
        Ok(answers)
    }
}

/// The open offer of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpenTransferOf(pub ResourceId);

impl Loader<OpenTransferOf> for Loaders {
    type Value = Transfer;

    async fn load(&self, keys: &[OpenTransferOf]) -> Result<HashMap<OpenTransferOf, Transfer>, async_graphql::Error> {
        let ids: Vec<ResourceId> = keys.iter().map(|key| key.0).collect();
        let open = transfer::open_of_resources(&mut *self.connection().await?, &ids).await.map_err(top_level)?;
        Ok(open.into_iter().map(|transfer| (OpenTransferOf(transfer.resource_id), transfer)).collect())
    }
}

/// Defines a loader of pages of the objects attached to a parent. Access is checked before.
macro_rules! attached {
    ($(#[$doc:meta])* $key:ident($parent:ty): $value:ty = $load:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $key {
            /// The parent.
            pub parent_id: $parent,
            /// The requested page, which has been validated.
            pub page: PageRequest,
            /// Whether the total number was requested.
            pub with_count: bool,
        }

        impl Loader<$key> for Loaders {
            type Value = Arc<(Page<$value>, i64)>;

            async fn load(&self, keys: &[$key]) -> Result<HashMap<$key, Self::Value>, async_graphql::Error> {
                let mut answers = HashMap::new();
                let mut connection = self.connection().await?;
                let groups = by_page(keys, |key| (key.page.clone(), key.with_count));
                for ((page, with_count), keys) in groups {
                    let ids: Vec<$parent> = keys.iter().map(|key| key.parent_id).collect();
                    let mut found = $load(&mut connection, &ids, &page, with_count).await.map_err(top_level)?;
                    answers.extend(keys.into_iter().filter_map(|key| {
                        Some((key.clone(), Arc::new(found.remove(&key.parent_id)?)))
                    }));
                }
                Ok(answers)
            }
        }
    };
}

attached! {
    /// A page of the grants on a resource.
    GrantsOf(ResourceId): Grant = grant::of_resources
}
attached! {
    /// A page of the open invitations to a resource.
    GrantInvitationsOf(ResourceId): GrantInvitation = grant::invitations_of_resources
}
attached! {
    /// A page of the working links to a collection.
    ShareLinksOf(ResourceId): ShareLink = share_link::of_resources
}
attached! {
    /// A page of the resources that a departure moved.
    MovesOf(DepartureId): ResourceMove = receipt::moves
}
