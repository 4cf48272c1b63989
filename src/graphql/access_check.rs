//! Questions about access, for a platform's own services: what people may do, what they reach, who reaches something,
//! and why.

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use rollcall_domain::authority::resource_access;
use rollcall_domain::base::id::{OrganizationId, ResourceId};
use rollcall_domain::resource::access_check::{self, Why};
use rollcall_domain::resource::audience::{self, AudienceMember};
use rollcall_domain::resource::reachable::{self, ReachFilter};

use super::connection::{PageInfo, forward};
use super::context::{self, GrantKey, loaders, request};
use super::error::without_payload;
use super::grant::Grant;
use super::id::BigInt;
use super::organization::Organization;
use super::resource::{Resource, ResourceKind, ResourceRef};
use super::rights::AccessLevel;
use super::team::Team;
use super::user::{User, UserRef};

/// By what somebody reaches a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "resource_access::AccessReasonKind")]
pub enum AccessReasonKind {
    /// They own it, or what it lies in, and are a member of the organization that holds it.
    Owner,
    /// They are the owner or an admin of the organization that holds it.
    Leader,
    /// It, or what it lies in, is shared with them.
    Grant,
    /// It, or what it lies in, is shared with a team that they are in.
    TeamGrant,
    /// It, or what it lies in, is shared with an organization that they are a member of.
    OrganizationGrant,
    /// It, or what it lies in, is visible to all members of the organization that holds it.
    Visibility,
    /// They reach a collection that it is in.
    Collection,
    /// It is their own sample, in an organization that they aren't a member of, and shared with them.
    OwnSample,
    /// It, or what it lies in, is moving to an organization of theirs, which will own it.
    Transfer,
}

/// What keeps somebody's level lower than a reason would give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "resource_access::AccessLimit")]
pub enum AccessLimit {
    /// They are a viewer, and viewers only read.
    ViewerRole,
    /// Their permission `sharedProjects` for what is shared with the organization.
    SharedProjects,
    /// They lack the permission `sharedApps` for apps that are shared with the organization.
    SharedApps,
    /// It is moving to another organization and read-only until it is there.
    Moving,
    /// The organization that holds it shares nothing outside.
    ExternalSharing,
    /// The grant is dormant, because the membership ended under which it was given, or, for a team's, because nothing
    /// in the organization is shared with the person themselves any more.
    Sleeping,
    /// Their account is suspended.
    Suspended,
}

/// The question whether somebody may do something with a resource.
#[derive(InputObject)]
pub struct AccessCheckInput {
    /// The person.
    user: UserRef,
    /// The resource.
    resource: ResourceRef,
    /// The level that it takes: VIEW or more.
    #[graphql(default_with = "Some(AccessLevel::View)")]
    at_least: Option<AccessLevel>,
}

/// The answer to a check.
pub struct AccessDecision(access_check::AccessDecision);

/// What somebody may do with a resource, and why.
#[Object]
impl AccessDecision {
    /// Whether the person has at least the level that was asked for.
    async fn allowed(&self) -> bool {
        self.0.allowed
    }

    /// The person's level.
    async fn level(&self) -> AccessLevel {
        self.0.level.into()
    }

    /// The ways by which the person reaches the resource, or would but for what `limitedBy` names. Those that give most
    /// come first.
    async fn reasons(&self) -> Vec<AccessReason> {
        let reasons = self.0.explanation.reasons.iter();
        reasons.map(|reason| AccessReason { reason: reason.clone(), of: self.0.resource_id }).collect()
    }

    /// What keeps the level lower than the reasons would give.
    async fn limited_by(&self) -> Vec<AccessLimit> {
        self.0.explanation.limited_by.iter().copied().map(Into::into).collect()
    }

    /// The sequence of the last event in the audit log of the organization that holds the resource, when this held.
    /// Null if nothing was found.
    async fn revision(&self) -> Option<BigInt> {
        self.0.revision.map(BigInt)
    }
}

/// A reason, and the resource of which it is one.
pub struct AccessReason {
    reason: resource_access::AccessReason,
    of: Option<ResourceId>,
}

/// One way by which somebody reaches a resource. The objects that it names are null if the viewer may not see them.
#[Object]
impl AccessReason {
    /// The kind of way.
    async fn kind(&self) -> AccessReasonKind {
        self.reason.kind.into()
    }

    /// The level that it gives by itself, before limits.
    async fn level(&self) -> AccessLevel {
        self.reason.level.into()
    }

    /// The container or collection through which it leads. Null if it is the resource itself.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.reason.resource_id {
            Some(id) if Some(id) != self.of => Resource::find(context, id).await,
            Some(_) | None => Ok(None),
        }
    }

    /// The grant, for GRANT, TEAM_GRANT and ORGANIZATION_GRANT.
    async fn grant(&self, context: &Context<'_>) -> async_graphql::Result<Option<Grant>> {
        let (Some(actor), Some(id)) = (request(context).actor(), self.reason.grant_id) else { return Ok(None) };
        Ok(loaders(context).load_one(GrantKey(actor.clone(), id)).await?.map(Grant))
    }

    /// The team, for TEAM_GRANT.
    async fn team(&self, context: &Context<'_>) -> async_graphql::Result<Option<Team>> {
        let (Some(actor), Some(id)) = (request(context).actor(), self.reason.team_id) else { return Ok(None) };
        Ok(loaders(context).load_one((actor.clone(), id)).await?.map(Team))
    }

    /// The organization as whose member they reach it, for LEADER, VISIBILITY and ORGANIZATION_GRANT.
    async fn organization(&self, context: &Context<'_>) -> async_graphql::Result<Option<Organization>> {
        match self.reason.organization_id {
            Some(id) => Organization::find(context, id).await,
            None => Ok(None),
        }
    }
}

/// Whether the reasons are to be found out, which costs as much again as the levels.
fn why(is_selected: bool) -> Why {
    if is_selected { Why::Asked } else { Why::Unasked }
}

fn level(at_least: Option<AccessLevel>) -> rollcall_domain::authority::rights::AccessLevel {
    at_least.unwrap_or(AccessLevel::View).into()
}

/// Answers checks, in their order and by one state of the database.
pub async fn check(context: &Context<'_>, checks: Vec<AccessCheckInput>) -> async_graphql::Result<Vec<AccessDecision>> {
    let actor = context::actor(context)?;
    let selected = context.look_ahead();
    let why = why(selected.field("reasons").exists() || selected.field("limitedBy").exists());
    let check = |check: AccessCheckInput| access_check::AccessCheck {
        user: check.user.into(),
        resource: check.resource.into(),
        at_least: level(check.at_least),
    };
    let checks: Vec<access_check::AccessCheck> = checks.into_iter().map(check).collect();
    let mut connection = context::connection(context).await?;
    let decisions = access_check::check_access(&mut connection, actor, &checks, why).await.map_err(without_payload)?;
    Ok(decisions.into_iter().map(AccessDecision).collect())
}

/// A resource that somebody reaches.
#[derive(SimpleObject)]
pub struct ReachableEdge {
    /// The item's position in the list, for use as `after` or `before`.
    cursor: String,
    /// The resource.
    node: Resource,
    /// The person's level.
    level: AccessLevel,
}

pub struct ReachableConnection {
    edges: Vec<ReachableEdge>,
    page_info: PageInfo,
}

/// A page of what somebody reaches.
#[Object]
impl ReachableConnection {
    /// The resources with the person's levels and their cursors.
    async fn edges(&self) -> &[ReachableEdge] {
        &self.edges
    }

    /// The resources without their cursors.
    async fn nodes(&self) -> Vec<&Resource> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// The position of this page in the list.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }
}

/// Returns a page of what somebody reaches.
pub async fn reachable(
    context: &Context<'_>,
    user: UserRef,
    organization_id: Option<OrganizationId>,
    kind: Option<ResourceKind>,
    at_least: Option<AccessLevel>,
    (first, after): (Option<i32>, Option<String>),
) -> async_graphql::Result<ReachableConnection> {
    let actor = context::actor(context)?;
    let filter = ReachFilter { organization_id, kind: kind.map(Into::into), at_least: level(at_least) };
    let mut connection = context::connection(context).await?;
    let page = reachable::reachable(&mut connection, actor, &user.into(), &filter, &forward(first, after)).await;
    let page = page.map_err(without_payload)?;
    let page_info = PageInfo::of(&page);
    let edge = |(cursor, reached): (String, rollcall_domain::resource::list::ReachedResource)| ReachableEdge {
        cursor,
        level: reached.level().into(),
        node: Resource(reached.resource),
    };
    Ok(ReachableConnection { edges: page.items.into_iter().map(edge).collect(), page_info })
}

/// Somebody who reaches a resource.
pub struct AudienceEdge {
    cursor: String,
    person: AudienceMember,
}

impl AudienceEdge {
    /// The person as the viewer sees them. Keys that may not read accounts are told the ids of those whom they may name
    /// anyway.
    async fn user(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        let AudienceMember { user_id, is_seen, organization_id, .. } = self.person;
        match is_seen {
            true => User::for_keys(context, user_id).await,
            false => User::outside(context, organization_id, user_id).await,
        }
    }
}

/// A person who reaches the resource.
#[Object]
impl AudienceEdge {
    /// The item's position in the list, for use as `after` or `before`.
    async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The person. Whom the viewer doesn't know is shown as a placeholder, like `Collaborator.user`. Keys that may not
    /// read accounts see only the id.
    async fn node(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        self.user(context).await
    }

    /// The person's level.
    async fn level(&self) -> AccessLevel {
        self.person.level.into()
    }

    /// The ways by which the person reaches the resource. Those that give most come first.
    async fn reasons(&self) -> Vec<AccessReason> {
        let reasons = self.person.explanation.reasons.iter();
        reasons.map(|reason| AccessReason { reason: reason.clone(), of: Some(self.person.resource_id) }).collect()
    }
}

pub struct AudienceConnection {
    edges: Vec<AudienceEdge>,
    page_info: PageInfo,
}

/// A page of the people who reach a resource.
#[Object]
impl AudienceConnection {
    /// The people with their levels and cursors.
    async fn edges(&self) -> &[AudienceEdge] {
        &self.edges
    }

    /// The people without their cursors.
    async fn nodes(&self, context: &Context<'_>) -> async_graphql::Result<Vec<User>> {
        futures_util::future::try_join_all(self.edges.iter().map(|edge| edge.user(context))).await
    }

    /// The position of this page in the list.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }
}

/// Returns a page of the people who reach a resource, or `None` if the viewer may not ask.
pub async fn audience(
    context: &Context<'_>,
    resource: ResourceRef,
    at_least: Option<AccessLevel>,
    (first, after): (Option<i32>, Option<String>),
) -> async_graphql::Result<Option<AudienceConnection>> {
    let actor = context::actor(context)?;
    let why = why(context.look_ahead().field("edges").field("reasons").exists());
    let (resource, at_least, page) = (resource.into(), level(at_least), forward(first, after));
    let mut connection = context::connection(context).await?;
    let page = audience::audience(&mut connection, actor, &resource, at_least, &page, why).await;
    let Some(page) = page.map_err(without_payload)? else { return Ok(None) };
    let page_info = PageInfo::of(&page);
    let edges = page.items.into_iter().map(|(cursor, person)| AudienceEdge { cursor, person }).collect();
    Ok(Some(AudienceConnection { edges, page_info }))
}
