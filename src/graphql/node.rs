//! Lookup of any object by its id, under the same authorization as the fields that lead to it.

use std::collections::HashMap;

use async_graphql::{Context, ID, Interface};
use diesel_async::AsyncPgConnection;
use rollcall_domain::account::{api_key, identity, platform_key, session, user};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::{audit, visibility};
use rollcall_domain::base::id::{
    ApiKeyId, AuditEventId, CollaboratorId, DepartureId, GrantId, GrantInvitationId, IdentityId, InvitationId,
    JoinCodeId, MemberId, OrganizationId, PlatformKeyId, ResourceId, ResourceMoveId, RunId, SessionId, ShareLinkId,
    TeamId, TransferId, TypedId, UserId, WebhookDeliveryId, WebhookId, parse_any, shown,
};
use rollcall_domain::base::limits;
use rollcall_domain::departure::receipt;
use rollcall_domain::event::{delivery, webhook};
use rollcall_domain::membership::{collaborator, invitation, join_code, member, organization, team};
use rollcall_domain::resource::{grant, run, share_link, transfer};
use rollcall_domain::{database, departure, resource};
use uuid::Uuid;

use super::api_key::ApiKey;
use super::audit::AuditEvent;
use super::collaborator::Collaborator;
use super::context::{Loaders, loaders, request};
use super::departure::{Departure, ResourceMove};
use super::error::{bad_request, top_level};
use super::grant::{Grant, GrantInvitation};
use super::identity::Identity;
use super::invitation::Invitation;
use super::join_code::JoinCode;
use super::loading::Loader;
use super::member::Member;
use super::organization::Organization;
use super::platform_key::PlatformKey;
use super::resource::Resource;
use super::run::Run;
use super::session::Session;
use super::share_link::ShareLink;
use super::team::Team;
use super::transfer::ProjectTransfer;
use super::user::User;
use super::webhook::{Webhook, WebhookDelivery};

/// Any object that has a global id.
#[derive(Debug, Clone, Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "A global, opaque id. It begins with a short prefix that tells the object's type."
))]
pub enum Node {
    /// A person.
    User(User),
    /// A session of the viewer.
    Session(Session),
    /// A sign-in of the viewer at an issuer.
    Identity(Identity),
    /// An API key of the viewer, or a service key that they may manage.
    ApiKey(ApiKey),
    /// A platform key, for staff.
    PlatformKey(PlatformKey),
    /// An organization.
    Organization(Organization),
    /// A membership.
    Member(Member),
    /// An invitation.
    Invitation(Invitation),
    /// A join code.
    JoinCode(JoinCode),
    /// A departure.
    Departure(Departure),
    /// A resource that a departure moved.
    ResourceMove(ResourceMove),
    /// A resource.
    Resource(Resource),
    /// A resource that is shared with somebody.
    Grant(Grant),
    /// An email address that a resource is shared with.
    GrantInvitation(GrantInvitation),
    /// A share link to a collection.
    ShareLink(ShareLink),
    /// An offer to move a project.
    ProjectTransfer(ProjectTransfer),
    /// A run.
    Run(Run),
    /// A team.
    Team(Team),
    /// A collaborator.
    Collaborator(Collaborator),
    /// An event of an audit log.
    AuditEvent(AuditEvent),
    /// A webhook.
    Webhook(Webhook),
    /// A delivery to a webhook.
    WebhookDelivery(WebhookDelivery),
}

/// Finds the objects of the ids, in the same order. The entry is null if the object doesn't exist or the viewer may
/// not see it.
pub async fn find(context: &Context<'_>, ids: &[ID]) -> async_graphql::Result<Vec<Option<Node>>> {
    if ids.len() > limits::MAX_NODES {
        return Err(bad_request(format!("`ids` must be at most {}", limits::MAX_NODES)));
    }
    let parsed: Vec<(String, Uuid)> = ids
        .iter()
        .map(|id| parse_any(id).ok_or_else(|| bad_request(format!("not an id: {:?}", shown(id)))))
        .collect::<async_graphql::Result<_>>()?;
    let Some(actor) = request(context).actor() else { return Ok(ids.iter().map(|_| None).collect()) };
    let keys: Vec<NodeKey> = parsed.into_iter().map(|(prefix, uuid)| (actor.clone(), prefix, uuid)).collect();
    let found = loaders(context).load_many(keys.iter().cloned()).await?;
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// The key of a lookup: the actor who asks, the prefix of the id, and the UUID inside it.
type NodeKey = (Actor, String, Uuid);

impl Loader<NodeKey> for Loaders {
    type Value = Node;

    /// Runs one statement, or a few, for each actor and kind of object, however many ids there are.
    async fn load(&self, keys: &[NodeKey]) -> Result<HashMap<NodeKey, Node>, async_graphql::Error> {
        let mut kinds: HashMap<(&Actor, &str), Vec<Uuid>> = HashMap::new();
        for (actor, prefix, uuid) in keys {
            kinds.entry((actor, prefix)).or_default().push(*uuid);
        }
        let mut connection = self.connection().await?;
        let mut found = HashMap::new();
        for ((actor, prefix), uuids) in kinds {
            for (uuid, node) in of_kind(&mut connection, actor, prefix, &uuids).await.map_err(top_level)? {
                found.insert((actor.clone(), prefix.to_owned(), uuid), node);
            }
        }
        Ok(found)
    }
}

async fn of_kind(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    prefix: &str,
    uuids: &[Uuid],
) -> rollcall_domain::Result<Vec<(Uuid, Node)>> {
    fn typed<T: TypedId>(uuids: &[Uuid]) -> Vec<T> {
        uuids.iter().map(|uuid| T::from_uuid(*uuid)).collect()
    }
    /// Pairs each node with the UUID inside its id.
    fn nodes<T, I: TypedId>(found: Vec<T>, id: impl Fn(&T) -> I, node: impl Fn(T) -> Node) -> Vec<(Uuid, Node)> {
        found.into_iter().map(|found| (id(&found).uuid(), node(found))).collect()
    }
    Ok(match prefix {
        UserId::PREFIX => {
            let visible = visibility::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(user::by_ids(connection, &visible).await?, |user| user.id, |user| Node::User(User::known(user)))
        }
        SessionId::PREFIX => {
            let Some((user_id, _)) = actor.session() else { return Ok(Vec::new()) };
            let found = session::by_ids(connection, user_id, &typed(uuids)).await?;
            nodes(found, |session| session.id, |session| Node::Session(Session::of(actor, session)))
        }
        IdentityId::PREFIX => {
            let Some((user_id, _)) = actor.session() else { return Ok(Vec::new()) };
            let found = identity::by_ids(connection, user_id, &typed(uuids)).await?;
            nodes(found, |identity| identity.id, |identity| Node::Identity(Identity(identity)))
        }
        ApiKeyId::PREFIX => {
            let found = api_key::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |key| key.id, |key| Node::ApiKey(ApiKey(key)))
        }
        PlatformKeyId::PREFIX => {
            let found = platform_key::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |key| key.id, |key| Node::PlatformKey(PlatformKey(key)))
        }
        OrganizationId::PREFIX => {
            let keys: Vec<_> = typed(uuids).into_iter().map(|id| (actor.clone(), id)).collect();
            organization::organizations_with_permits(connection, &keys)
                .await?
                .into_iter()
                .map(|(actor, organization, permit)| {
                    (organization.id, Organization::seen_by(&actor, organization, permit))
                })
                .filter(|(_, organization)| organization.is_visible())
                .map(|(id, organization)| (id.uuid(), Node::Organization(organization)))
                .collect()
        }
        MemberId::PREFIX => {
            let found = member::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |member| member.id, |member| Node::Member(Member(member)))
        }
        InvitationId::PREFIX => {
            let found = invitation::visible_to(connection, actor, &typed(uuids)).await?;
            let at = database::now(connection).await?;
            nodes(found, |invitation| invitation.id, |invitation| Node::Invitation(Invitation::at(invitation, at)))
        }
        JoinCodeId::PREFIX => {
            let found = join_code::visible_to(connection, actor, &typed(uuids)).await?;
            let at = database::now(connection).await?;
            nodes(found, |code| code.id, |code| Node::JoinCode(JoinCode::at(code, at)))
        }
        DepartureId::PREFIX => {
            let found = departure::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |departure| departure.id, |departure| Node::Departure(Departure(departure)))
        }
        ResourceMoveId::PREFIX => {
            let found = receipt::moves_by_ids(connection, &typed(uuids)).await?;
            let departures: Vec<DepartureId> = found.iter().map(|moved| moved.departure_id).collect();
            let departures = departure::visible_to(connection, actor, &departures).await?;
            let visible = found
                .into_iter()
                .filter(|moved| departures.iter().any(|departure| departure.id == moved.departure_id))
                .collect();
            nodes(visible, |moved: &receipt::ResourceMove| moved.id, |moved| Node::ResourceMove(ResourceMove(moved)))
        }
        ResourceId::PREFIX => {
            let found = resource::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |resource| resource.id, |resource| Node::Resource(Resource(resource)))
        }
        GrantId::PREFIX => {
            let found = grant::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |grant| grant.id, |grant| Node::Grant(Grant(grant)))
        }
        GrantInvitationId::PREFIX => {
            let found = grant::invitations_visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |invitation| invitation.id, |invitation| Node::GrantInvitation(GrantInvitation(invitation)))
        }
        ShareLinkId::PREFIX => {
            let found = share_link::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |link| link.id, |link| Node::ShareLink(ShareLink(link)))
        }
        TransferId::PREFIX => {
            let found = transfer::visible_to(connection, actor, &typed(uuids)).await?;
            let at = database::now(connection).await?;
            nodes(found, |transfer| transfer.id, |transfer| Node::ProjectTransfer(ProjectTransfer::at(transfer, at)))
        }
        RunId::PREFIX => {
            let found = run::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |run| run.id, |run| Node::Run(Run(run)))
        }
        TeamId::PREFIX => {
            let found = team::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |team| team.id, |team| Node::Team(Team(team)))
        }
        CollaboratorId::PREFIX => {
            let found = collaborator::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |collaborator| collaborator.id, |collaborator| Node::Collaborator(Collaborator(collaborator)))
        }
        AuditEventId::PREFIX => {
            let found = audit::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |event| event.id, |event| Node::AuditEvent(AuditEvent(event)))
        }
        WebhookId::PREFIX => {
            let found = webhook::visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |webhook| webhook.id, |webhook| Node::Webhook(Webhook(webhook)))
        }
        WebhookDeliveryId::PREFIX => {
            let found = delivery::deliveries_visible_to(connection, actor, &typed(uuids)).await?;
            nodes(found, |delivery| delivery.id, |delivery| Node::WebhookDelivery(WebhookDelivery(delivery)))
        }
        _ => Vec::new(),
    })
}
