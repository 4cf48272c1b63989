//! Anything by its id, under the same authorization as the fields that lead to it.

use std::collections::{HashMap, HashSet};

use async_graphql::{Context, ID, Interface};
use rollcall_domain::id::{
    ApiKeyId, AuditEventId, DepartureId, InvitationId, JoinCodeId, MemberId, OrganizationId, ResourceId,
    ResourceMoveId, SessionId, TypedId, UserId, parse_any,
};
use rollcall_domain::{api_key, database, departure, invitation, limits, session, user};
use uuid::Uuid;

use super::api_key::ApiKey;
use super::audit::{self, AuditEvent};
use super::context::{actor, connection, loaders, request};
use super::departure::{Departure, ResourceMove};
use super::error::{bad_request, top_level};
use super::invitation::Invitation;
use super::join_code::{self, JoinCode};
use super::member::{self, Member};
use super::organization::Organization;
use super::resource::Resource;
use super::session::Session;
use super::user::User;

/// Anything that has a global id.
#[derive(Debug, Clone, Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "Global and opaque: a short prefix that tells the type, and the rest."
))]
pub enum Node {
    /// A person.
    User(User),
    /// A session of the viewer.
    Session(Session),
    /// An API key of the viewer.
    ApiKey(ApiKey),
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
    /// A resource that a departure passed on.
    ResourceMove(ResourceMove),
    /// A resource.
    Resource(Resource),
    /// An event of an audit log.
    AuditEvent(AuditEvent),
}

/// What the ids lead to, in their order; null for what doesn't exist or the viewer may not see.
///
/// One statement or a few per kind, however many ids there are.
pub async fn find(context: &Context<'_>, ids: &[ID]) -> async_graphql::Result<Vec<Option<Node>>> {
    if ids.len() > limits::MAX_NODES {
        return Err(bad_request(format!("`ids` takes at most {}", limits::MAX_NODES)));
    }
    let parsed: Vec<(String, Uuid)> = ids
        .iter()
        .map(|id| {
            parse_any(id)
                .ok_or_else(|| bad_request(format!("not an id: {:?}", id.chars().take(100).collect::<String>())))
        })
        .collect::<async_graphql::Result<_>>()?;
    if request(context).actor.is_none() {
        return Ok(ids.iter().map(|_| None).collect());
    }
    let prefixes: HashSet<&str> = parsed.iter().map(|(prefix, _)| prefix.as_str()).collect();
    let mut found: HashMap<(&str, Uuid), Node> = HashMap::new();
    for prefix in prefixes {
        let uuids: Vec<Uuid> = parsed.iter().filter(|(other, _)| other == prefix).map(|(_, uuid)| *uuid).collect();
        for (uuid, node) in of_kind(context, prefix, &uuids).await? {
            found.insert((prefix, uuid), node);
        }
    }
    Ok(parsed.iter().map(|(prefix, uuid)| found.get(&(prefix.as_str(), *uuid)).cloned()).collect())
}

fn typed<T: TypedId>(uuids: &[Uuid]) -> Vec<T> {
    uuids.iter().map(|uuid| T::from_uuid(*uuid)).collect()
}

async fn of_kind(context: &Context<'_>, prefix: &str, uuids: &[Uuid]) -> async_graphql::Result<Vec<(Uuid, Node)>> {
    let actor = actor(context)?;
    let nodes = match prefix {
        UserId::PREFIX => {
            let visible =
                user::visible_to(&mut *connection(context).await?, actor, &typed(uuids)).await.map_err(top_level)?;
            let users = loaders(context).load_many(visible).await?;
            users.into_iter().map(|(id, user)| (id.uuid(), Node::User(User(user)))).collect()
        }
        SessionId::PREFIX => {
            let Some(user_id) = actor.user_id() else { return Ok(Vec::new()) };
            let found =
                session::by_ids(&mut *connection(context).await?, user_id, &typed(uuids)).await.map_err(top_level)?;
            found.into_iter().map(|session| (session.id.uuid(), Node::Session(Session::of(actor, session)))).collect()
        }
        ApiKeyId::PREFIX => {
            let found =
                api_key::by_ids(&mut *connection(context).await?, actor, &typed(uuids)).await.map_err(top_level)?;
            found.into_iter().map(|key| (key.id.uuid(), Node::ApiKey(ApiKey(key)))).collect()
        }
        OrganizationId::PREFIX => {
            let mut nodes = Vec::new();
            let found = futures_util::future::try_join_all(
                typed::<OrganizationId>(uuids)
                    .into_iter()
                    .map(async |id| Ok::<_, async_graphql::Error>((id, Organization::find(context, id).await?))),
            );
            for (id, organization) in found.await? {
                nodes.extend(organization.map(|organization| (id.uuid(), Node::Organization(organization))));
            }
            nodes
        }
        MemberId::PREFIX => {
            let found = member::visible(context, &typed(uuids)).await?;
            found.into_iter().map(|member| (member.0.id.uuid(), Node::Member(member))).collect()
        }
        InvitationId::PREFIX => {
            let mut connection = connection(context).await?;
            let found = invitation::visible_to(&mut connection, actor, &typed(uuids)).await.map_err(top_level)?;
            let at = database::now(&mut connection).await.map_err(top_level)?;
            found.into_iter().map(|found| (found.id.uuid(), Node::Invitation(Invitation::at(found, at)))).collect()
        }
        JoinCodeId::PREFIX => {
            let found = join_code::visible(context, &typed(uuids)).await?;
            let mut nodes = Vec::new();
            for code in found {
                nodes.push((code.uuid(), Node::JoinCode(code)));
            }
            nodes
        }
        DepartureId::PREFIX => {
            let found = departure::visible_to(&mut *connection(context).await?, actor, &typed(uuids))
                .await
                .map_err(top_level)?;
            found.into_iter().map(|departure| (departure.id.uuid(), Node::Departure(Departure(departure)))).collect()
        }
        ResourceMoveId::PREFIX => {
            let mut connection = connection(context).await?;
            let found = departure::moves_by_ids(&mut connection, &typed(uuids)).await.map_err(top_level)?;
            let departures: Vec<DepartureId> = found.iter().map(|moved| moved.departure_id).collect();
            let visible = departure::visible_to(&mut connection, actor, &departures).await.map_err(top_level)?;
            found
                .into_iter()
                .filter(|moved| visible.iter().any(|departure| departure.id == moved.departure_id))
                .map(|moved| (moved.id.uuid(), Node::ResourceMove(ResourceMove(moved))))
                .collect()
        }
        ResourceId::PREFIX => {
            let mut nodes = Vec::new();
            let found = futures_util::future::try_join_all(
                typed::<ResourceId>(uuids)
                    .into_iter()
                    .map(async |id| Ok::<_, async_graphql::Error>((id, Resource::find(context, id).await?))),
            );
            for (id, resource) in found.await? {
                nodes.extend(resource.map(|resource| (id.uuid(), Node::Resource(resource))));
            }
            nodes
        }
        AuditEventId::PREFIX => {
            let found = audit::visible(context, &typed(uuids)).await?;
            found.into_iter().map(|event| (event.0.id.uuid(), Node::AuditEvent(event))).collect()
        }
        _ => Vec::new(),
    };
    Ok(nodes)
}
