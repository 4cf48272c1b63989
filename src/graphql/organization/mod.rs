//! Organizations: their profile, their policy, and the lists that belong to them.

pub mod mutations;

use std::sync::Arc;

use async_graphql::{Context, ID, Json, Object, OneofObject, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::Error;
use rollcall_domain::account::api_key;
use rollcall_domain::authority::access::Permit;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::platform_data::WithMetadata;
use rollcall_domain::authority::{audit, permissions};
use rollcall_domain::base::id::{MemberId, OrganizationId, ResourceId, TypedId, UserId};
use rollcall_domain::event::webhook;
use rollcall_domain::membership::organization::OrganizationRef;
use rollcall_domain::membership::{collaborator, invitation, join_code, member_list, organization, team};
use rollcall_domain::organization::usage::{Period, Series, UsageAnswer, UsageQuestion};
use rollcall_domain::resource::list::ResourceFilter;
use rollcall_domain::resource::{kind, run};
use rollcall_domain::{departure, resource};

use super::api_key::{ApiKey, ApiKeyConnection};
use super::audit::{AuditEvent, AuditEventConnection};
use super::billing::Billing;
use super::collaborator::{Collaborator, CollaboratorConnection};
use super::connection::{either_way, forward, total};
use super::context::{LeadershipOf, OwnerOf, SeatsUsedOf, actor, connection, database, loaders, metadata, request};
use super::departure::{Departure, DepartureConnection, DepartureKind, DeparturePlan, DepartureStatus};
use super::error::{top_level, visible};
use super::given;
use super::id::{Id, Time};
use super::invitation::{Invitation, InvitationConnection, InvitationStatus};
use super::join_code::{JoinCode, JoinCodeConnection, JoinCodeStatus};
use super::member::{Member, MemberConnection, MemberOrder, MemberPermissions, MemberStatus};
use super::resource::{Resource, ResourceConnection, ResourceKind};
use super::rights::{AdminPowers, ExternalSharing, MemberDirectory, OrganizationAction, Role};
use super::run::{Run, RunConnection, RunKind, RunStatus};
use super::team::{Team, TeamConnection};
use super::usage::{Usage, UsageGroup, UsageInterval, UsagePoint};
use super::user::{Naming, User};
use super::webhook::{Webhook, WebhookConnection};

#[derive(Debug, Clone)]
pub struct Organization {
    organization: Arc<organization::Organization>,
    permit: Option<Permit>,
    /// Whether the profile is shown even without a permit, as it is to staff and to the owner who deleted the
    /// organization.
    shown: bool,
}

impl Organization {
    /// Loads the organization as the request's actor sees it. Only for ids that a visible object has led to.
    ///
    /// # Errors
    /// If there is no such organization, which would be a bug; or if the database fails.
    pub async fn load(context: &Context<'_>, id: OrganizationId) -> async_graphql::Result<Self> {
        match request(context).actor() {
            Some(actor) => Self::load_as(context, actor, id).await,
            // A person who has just accepted an invitation without a session may see the organization's name.
            None => {
                let organization = organization::by_id(&*connection(context).await?, id).await.map_err(top_level)?;
                Ok(Self { organization: Arc::new(organization), permit: None, shown: false })
            }
        }
    }

    /// Loads the organization as the given actor sees it.
    ///
    /// # Errors
    /// The same as for [`load`](Self::load).
    pub async fn load_as(context: &Context<'_>, actor: &Actor, id: OrganizationId) -> async_graphql::Result<Self> {
        let found = loaders(context).load_one((actor.clone(), id)).await?;
        let (organization, permit) = found.ok_or_else(|| top_level(Error::Bug("an organization is missing")))?;
        Ok(Self::seen_by(actor, organization, permit))
    }

    /// Loads the organization as the request's actor sees it, if it is still there. Only for ids that a visible object has
    /// led to.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn load_remaining(context: &Context<'_>, id: OrganizationId) -> async_graphql::Result<Option<Self>> {
        let Some(actor) = request(context).actor() else { return Ok(None) };
        let found = loaders(context).load_one((actor.clone(), id)).await?;
        Ok(found.map(|(organization, permit)| Self::seen_by(actor, organization, permit)))
    }

    /// Finds the organization if the actor is a member of it or staff. For anyone else it doesn't exist (R21).
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(context: &Context<'_>, id: OrganizationId) -> async_graphql::Result<Option<Self>> {
        let Some(actor) = request(context).actor() else { return Ok(None) };
        let Some((organization, permit)) = loaders(context).load_one((actor.clone(), id)).await? else {
            return Ok(None);
        };
        let found = Self::seen_by(actor, organization, permit);
        Ok(found.is_visible().then_some(found))
    }

    /// The organization, with the permit that the actor has in it.
    pub fn seen_by(
        actor: &Actor,
        organization: impl Into<Arc<organization::Organization>>,
        permit: Option<Permit>,
    ) -> Self {
        let organization = organization.into();
        let deleted_it = organization.deleted_by_id.is_some_and(|user_id| actor.is_in(organization.id, user_id));
        let shown = actor.oversees(organization.id) || deleted_it;
        Self { organization, permit, shown }
    }

    /// An organization that somebody has named. Viewers who know the organization see it as it is. Viewers to whom the
    /// word is shown see a placeholder: named by the word and with an id that can't be looked up, or, if it was named
    /// by its id, with that id alone. Everybody else sees an anonymous placeholder.
    ///
    /// # Errors
    /// The same as for [`load`](Self::load).
    pub async fn named(context: &Context<'_>, id: OrganizationId, naming: Naming<'_>) -> async_graphql::Result<Self> {
        let found = Self::load(context, id).await?;
        if found.is_visible() {
            return Ok(found);
        }
        let (shown_id, name) = match (naming.is_shown(context).await?, naming.word) {
            (true, Some(word)) => (OrganizationId::from_uuid(naming.by), word.to_owned()),
            (true, None) => (id, id.to_string()),
            (false, _) => (OrganizationId::from_uuid(naming.by), "organization".to_owned()),
        };
        let organization =
            organization::Organization { id: shown_id, name, logo_url: None, ..(*found.organization).clone() };
        Ok(Self { organization: Arc::new(organization), permit: None, shown: false })
    }

    /// Whether the viewer is the owner or an admin, or staff.
    pub fn is_led_by_viewer(&self) -> bool {
        match &self.permit {
            Some(permit) => permit.standing().leads(),
            None => self.shown,
        }
    }

    /// Whether the actor may know that this organization exists, apart from what led to it.
    pub fn is_visible(&self) -> bool {
        self.permit.is_some() || self.shown
    }

    /// Whether the viewer may see more of the organization's structure than their own part (R77). Members see as much
    /// as their role allows, and staff see everything. Viewers who reached the organization from outside see as much
    /// as its members do.
    pub fn shows_structure(&self) -> bool {
        match &self.permit {
            Some(permit) => permit.standing().sees_structure(),
            None => self.shown || self.organization.member_directory.shows_structure(),
        }
    }

    fn shown<T>(&self, value: impl FnOnce(&organization::Organization) -> Option<T>) -> Option<T> {
        if self.is_visible() { value(&self.organization) } else { None }
    }
}

/// A group of people who work together, or an account's personal organization.
///
/// Everyone who legitimately reaches it from a resource or an invitation can read `id`, `name`, `logoUrl` and
/// `personal`. All other fields are null for those who aren't members.
#[Object]
impl Organization {
    /// The organization's id. It begins with `org_`.
    pub async fn id(&self) -> ID {
        self.organization.id.to_string().into()
    }

    /// The name that is shown everywhere.
    async fn name(&self) -> &str {
        &self.organization.name
    }

    /// The URL of its logo.
    async fn logo_url(&self) -> Option<&str> {
        self.organization.logo_url.as_deref()
    }

    /// Whether this is an account's personal organization, which nobody else can join.
    async fn personal(&self) -> bool {
        self.organization.is_personal()
    }

    /// The short name in URLs: 2 to 39 characters out of a–z, 0–9 and single hyphens. Personal organizations don't
    /// have one.
    async fn slug(&self) -> Option<String> {
        self.shown(|organization| organization.slug.as_ref().map(ToString::to_string))
    }

    /// The full name.
    async fn full_name(&self) -> Option<String> {
        self.shown(|organization| organization.full_name.clone())
    }

    /// A description, up to 2000 characters.
    async fn description(&self) -> Option<String> {
        self.shown(|organization| organization.description.clone())
    }

    /// The URL of its website.
    async fn website(&self) -> Option<String> {
        self.shown(|organization| organization.website.clone())
    }

    /// The place where it is located.
    async fn location(&self) -> Option<String> {
        self.shown(|organization| organization.location.clone())
    }

    /// The sector in which it works.
    async fn sector(&self) -> Option<String> {
        self.shown(|organization| organization.sector.clone())
    }

    /// The name of the university that it belongs to.
    async fn university_name(&self) -> Option<String> {
        self.shown(|organization| organization.university_name.clone())
    }

    /// When the organization was created.
    async fn created_at(&self) -> Option<DateTime<Utc>> {
        self.shown(|organization| Some(organization.created_at))
    }

    /// When the organization was deleted. Set until it is removed for good; meanwhile, only its owner and staff can
    /// still see it.
    async fn deleted_at(&self) -> Option<DateTime<Utc>> {
        self.shown(|organization| organization.deleted_at)
    }

    /// The platform's own id of the organization.
    async fn external_id(&self) -> Option<String> {
        self.shown(|organization| organization.external_id.clone())
    }

    /// What the platform attached to this organization, an object of at most 8 kB.
    async fn metadata(&self, context: &Context<'_>) -> async_graphql::Result<Option<Json<serde_json::Value>>> {
        match self.is_visible() {
            true => metadata(context, WithMetadata::Organization(self.organization.id)).await,
            false => Ok(None),
        }
    }

    /// The organization's only owner. If the directory is HIDDEN, this is null for members.
    async fn owner(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        if !self.is_visible() || !self.shows_structure() {
            return Ok(None);
        }
        let owner: Option<UserId> = loaders(context).load_one(OwnerOf(self.organization.id)).await?;
        User::load_optional(context, owner).await
    }

    /// The owner and admins, as people to contact: first the owner, then the admins who have been members for longest,
    /// 100 people at most. `members(role: ADMIN)` lists all admins. If the directory is HIDDEN, this is null for
    /// members.
    async fn leadership(&self, context: &Context<'_>) -> async_graphql::Result<Option<Vec<Member>>> {
        if !self.is_visible() || !self.shows_structure() {
            return Ok(None);
        }
        let leaders = loaders(context).load_one(LeadershipOf(self.organization.id)).await?;
        Ok(leaders.map(|leaders| leaders.into_iter().map(Member).collect()))
    }

    /// The organization's settings.
    async fn policy(&self) -> Option<OrganizationPolicy> {
        self.shown(|organization| Some(OrganizationPolicy::of(organization)))
    }

    /// The viewer's own membership. Null if the viewer isn't a member.
    async fn viewer_membership(&self, context: &Context<'_>) -> async_graphql::Result<Option<Member>> {
        match self.permit.as_ref().and_then(Permit::member_id) {
            Some(member_id) => Ok(loaders(context).load_one(member_id).await?.map(Member)),
            None => Ok(None),
        }
    }

    /// What the viewer may do in this organization. It comes from the same rules that the mutations enforce.
    async fn viewer_can(&self) -> Vec<OrganizationAction> {
        self.permit
            .as_ref()
            .map(|permit| permit.standing().allowed().into_iter().map(Into::into).collect())
            .unwrap_or_default()
    }

    /// The members that the viewer may see. The owner and admins see everyone; others see themselves and those that
    /// the directory shows.
    #[expect(clippy::too_many_arguments, reason = "the contract's arguments")]
    async fn members(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many from the start, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor behind the page.")] before: Option<String>,
        #[graphql(desc = "Only members with this role.")] role: Option<Role>,
        #[graphql(
            desc = "Only members with this status; null for all. Only the owner and admins see statuses other than ACTIVE.",
            default_with = "Some(MemberStatus::Active)"
        )]
        status: Option<MemberStatus>,
        #[graphql(
            desc = "Only members whose name or username contains this text, ignoring case and accents: `zoe` finds Zoë. For the owner and admins, the email address counts too."
        )]
        search: Option<String>,
        #[graphql(desc = "The sort order.", default_with = "Some(MemberOrder::Name)")] order_by: Option<MemberOrder>,
    ) -> async_graphql::Result<Option<MemberConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let filter = member_list::MemberFilter { role: role.map(Into::into), status: status.map(Into::into), search };
        let order = order_by.unwrap_or(MemberOrder::Name).into();
        let request = either_way(first, after, last, before);
        let mut connection = connection(context).await?;
        let page = member_list::list(&mut connection, permit, &filter, order, &request).await.map_err(top_level)?;
        let total = total(context, member_list::count(&mut connection, permit, &filter)).await?;
        Ok(Some(MemberConnection::new(page.map(Member), total)))
    }

    /// The people who reach some of the organization's resources without being members of it, each of them once. Null
    /// for everybody but the owner and admins. While the policy keeps sharing inside, nobody outside reaches anything,
    /// and the list is empty.
    async fn collaborators(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<CollaboratorConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let mut connection = connection(context).await?;
        let page = collaborator::list(&mut connection, permit, &forward(first, after)).await;
        let Some(page) = visible(page)? else { return Ok(None) };
        let total = total(context, collaborator::count(&mut connection, permit)).await?;
        Ok(Some(CollaboratorConnection::new(page.map(Collaborator), total)))
    }

    /// The organization's invitations, oldest first. Only members who may invite see them.
    async fn invitations(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only invitations with this status.")] status: Option<InvitationStatus>,
    ) -> async_graphql::Result<Option<InvitationConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let status = status.map(Into::into);
        let mut connection = connection(context).await?;
        let page = invitation::list(&mut connection, permit, status, &forward(first, after)).await;
        let Some(page) = visible(page)? else { return Ok(None) };
        let total = total(context, invitation::count(&mut connection, permit, status)).await?;
        let now = rollcall_domain::database::now(&connection).await.map_err(top_level)?;
        Ok(Some(InvitationConnection::new(page.map(|invitation| Invitation::at(invitation, now)), total)))
    }

    /// The organization's join codes, oldest first. Only members who may create them see them.
    async fn join_codes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only join codes with this status.")] status: Option<JoinCodeStatus>,
    ) -> async_graphql::Result<Option<JoinCodeConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let status = status.map(Into::into);
        let mut connection = connection(context).await?;
        let page = join_code::list(&mut connection, permit, status, &forward(first, after)).await;
        let Some(page) = visible(page)? else { return Ok(None) };
        let total = total(context, join_code::count(&mut connection, permit, status)).await?;
        let now = rollcall_domain::database::now(&connection).await.map_err(top_level)?;
        Ok(Some(JoinCodeConnection::new(page.map(|code| JoinCode::at(code, now)), total)))
    }

    /// The organization's plan, credits and billing account. Only the owner, admins and the platform's staff see them.
    async fn billing(&self, context: &Context<'_>) -> async_graphql::Result<Option<Billing>> {
        if !self.sees_billing(context) {
            return Ok(None);
        }
        let organization = &self.organization;
        let seats_used = loaders(context).load_one(SeatsUsedOf(organization.id)).await?.unwrap_or_default();
        let answer = self.usage_of(context, Period::default(), None).await?;
        Ok(Some(Billing::of(organization, seats_used, &answer.overview, database(context).deployment())))
    }

    /// What the organization uses, and what it used and spent within a period. Only the owner, admins and the platform's
    /// staff see it.
    async fn usage(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The beginning of the period; from the first day on if omitted.")] since: Option<Time>,
        #[graphql(desc = "The end of the period, which isn't part of it; up to now if omitted.")] until: Option<Time>,
    ) -> async_graphql::Result<Option<Usage>> {
        if !self.sees_billing(context) {
            return Ok(None);
        }
        let period = Period { since: since.map(|time| time.0), until: until.map(|time| time.0) };
        let answer = self.usage_of(context, period, None).await?;
        Ok(Some(Usage::of(&answer.overview)))
    }

    /// What was used and spent, in the order of time: a point for each interval and each kind, member or workspace that
    /// used anything in it. Only the owner, admins and the platform's staff see it. A period of more than 1,000
    /// intervals is a bad request.
    async fn usage_series(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The beginning of the period.")] since: Time,
        #[graphql(desc = "The end of the period, which isn't part of it.")] until: Time,
        #[graphql(desc = "What each point covers.", default_with = "Some(UsageInterval::Day)")] interval: Option<
            UsageInterval,
        >,
        #[graphql(desc = "What the points are grouped by.", default_with = "Some(UsageGroup::Kind)")] group_by: Option<
            UsageGroup,
        >,
    ) -> async_graphql::Result<Option<Vec<UsagePoint>>> {
        if !self.sees_billing(context) {
            return Ok(None);
        }
        let period = Period { since: Some(since.0), until: Some(until.0) };
        let series = Series {
            interval: interval.unwrap_or(UsageInterval::Day).into(),
            group: group_by.unwrap_or(UsageGroup::Kind).into(),
        };
        let answer = self.usage_of(context, period, Some(series)).await?;
        let id = self.organization.id;
        Ok(Some(answer.points.iter().map(|point| UsagePoint(id, *point)).collect()))
    }

    /// The organization's teams, oldest first. If the directory is HIDDEN, members see only the teams that they are
    /// in.
    async fn teams(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only names that contain this text, ignoring case and accents.")] search: Option<String>,
    ) -> async_graphql::Result<Option<TeamConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let search = search.as_deref();
        let mut connection = connection(context).await?;
        let page = team::list(&mut connection, permit, search, &forward(first, after)).await.map_err(top_level)?;
        let total = total(context, team::count(&mut connection, permit, search)).await?;
        Ok(Some(TeamConnection::new(page.map(Team), total)))
    }

    /// The organization's webhooks, oldest first. Only the owner and admins see them.
    async fn webhooks(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<WebhookConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let mut connection = connection(context).await?;
        let page = webhook::list(&mut connection, permit, &forward(first, after)).await;
        let Some(page) = visible(page)? else { return Ok(None) };
        let total = total(context, webhook::count(&mut connection, permit)).await?;
        Ok(Some(WebhookConnection::new(page.map(Webhook), total)))
    }

    /// The organization's service keys, oldest first. Only members who may manage them see them.
    async fn service_keys(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<ApiKeyConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let mut connection = connection(context).await?;
        let page = api_key::list_services(&mut connection, permit, &forward(first, after)).await;
        let Some(page) = visible(page)? else { return Ok(None) };
        let total = total(context, api_key::count_services(&mut connection, permit)).await?;
        Ok(Some(ApiKeyConnection::new(page.map(ApiKey), total)))
    }

    /// The organization's resources that the viewer can reach, oldest first. The owner and admins reach all of them.
    #[expect(clippy::too_many_arguments, reason = "the contract's arguments")]
    async fn resources(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only resources of this kind.")] kind: Option<ResourceKind>,
        #[graphql(desc = "Only resources that this user owns.")] owner_id: Option<Id<UserId>>,
        #[graphql(desc = "Only resources that are directly in this container.")] container_id: Option<Id<ResourceId>>,
        #[graphql(
            desc = "Only resources whose name contains this text, ignoring case and accents. A text of one or two letters or digits finds names with a word that begins with it."
        )]
        search: Option<String>,
    ) -> async_graphql::Result<Option<ResourceConnection>> {
        let filter = ResourceFilter {
            kind: kind.map(Into::into),
            owner_id: owner_id.map(|id| id.0),
            container_id: container_id.map(|id| id.0),
            organization_id: None,
            search,
        };
        self.resources_where(context, &filter, first, after).await
    }

    /// The organization's projects that the viewer can reach, oldest first.
    async fn projects(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<ResourceConnection>> {
        let filter = ResourceFilter { kind: Some(kind::ResourceKind::Project), ..ResourceFilter::default() };
        self.resources_where(context, &filter, first, after).await
    }

    /// The organization's volumes that the viewer can reach, oldest first.
    async fn volumes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<ResourceConnection>> {
        let filter = ResourceFilter { kind: Some(kind::ResourceKind::Volume), ..ResourceFilter::default() };
        self.resources_where(context, &filter, first, after).await
    }

    /// The runs that members have queued, oldest first. The owner and admins see all of them; others see their own.
    async fn runs(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only runs with this status.")] status: Option<RunStatus>,
        #[graphql(desc = "Only runs of this kind.")] kind: Option<RunKind>,
        #[graphql(desc = "Only runs that this user queued.")] queued_by_id: Option<Id<UserId>>,
    ) -> async_graphql::Result<Option<RunConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let filter = run::RunFilter {
            status: status.map(Into::into),
            kind: kind.map(Into::into),
            queued_by_id: queued_by_id.map(|id| id.0),
        };
        let mut connection = connection(context).await?;
        let page = run::list(&mut connection, permit, &filter, &forward(first, after)).await;
        Ok(Some(RunConnection::new(page.map_err(top_level)?.map(Run))))
    }

    /// The departures of members who left, were removed or were deactivated, oldest first. Only the owner and admins
    /// see them.
    async fn departures(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only departures with this status.")] status: Option<DepartureStatus>,
    ) -> async_graphql::Result<Option<DepartureConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        departures_of(context, permit, None, status, first, after).await
    }

    /// A preview of what a member's departure would do. Members can query it for their own leaving, the owner and
    /// admins also for others.
    async fn departure_plan(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The member who would leave.")] member_id: Id<MemberId>,
        #[graphql(desc = "The way in which the membership would end.")] kind: DepartureKind,
    ) -> async_graphql::Result<Option<DeparturePlan>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let plan = departure::plan::plan(&mut *connection(context).await?, permit, member_id.0, kind.into()).await;
        Ok(plan.map_err(top_level)?.map(DeparturePlan))
    }

    /// The organization's audit log, oldest event first; use `last` for the newest. Only the owner and admins see it.
    #[expect(clippy::too_many_arguments, reason = "the contract's arguments")]
    async fn audit_log(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many from the start, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor behind the page.")] before: Option<String>,
        #[graphql(desc = "Only this action, such as `organization.member_invited`.")] action: Option<String>,
        #[graphql(desc = "Only events caused by this user, if the viewer may know them.")] actor_id: Option<Id<UserId>>,
        #[graphql(desc = "Only events that concern the object with this id.")] target_id: Option<ID>,
        #[graphql(desc = "Only events at or after this time.")] since: Option<Time>,
        #[graphql(desc = "Only events before this time.")] until: Option<Time>,
    ) -> async_graphql::Result<Option<AuditEventConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let filter = audit::AuditFilter {
            action: given(action),
            actor_id: actor_id.map(|id| id.0),
            target_id: target_id.map(|id| id.0),
            since: since.map(|time| time.0),
            until: until.map(|time| time.0),
        };
        let request = either_way(first, after, last, before);
        let page = audit::list(&mut *connection(context).await?, actor(context)?, permit, &filter, &request).await;
        Ok(visible(page)?.map(|page| AuditEventConnection::new(page.map(AuditEvent))))
    }
}

impl Organization {
    /// Whether the viewer sees the organization's plan, usage and balance: the owner, admins and staff (R71).
    fn sees_billing(&self, context: &Context<'_>) -> bool {
        let is_staff = request(context).actor().is_some_and(Actor::is_staff);
        is_staff || self.permit.as_ref().is_some_and(|permit| permit.standing().sees_billing())
    }

    async fn usage_of(
        &self,
        context: &Context<'_>,
        period: Period,
        series: Option<Series>,
    ) -> async_graphql::Result<Arc<UsageAnswer>> {
        let question = UsageQuestion { organization_id: self.organization.id, period, series };
        let answer = loaders(context).load_one(question).await?;
        answer.ok_or_else(|| top_level(rollcall_domain::Error::Bug("an organization has no usage")))
    }

    async fn resources_where(
        &self,
        context: &Context<'_>,
        filter: &ResourceFilter,
        first: Option<i32>,
        after: Option<String>,
    ) -> async_graphql::Result<Option<ResourceConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let page = resource::list::list(&mut *connection(context).await?, permit, filter, &forward(first, after)).await;
        Ok(Some(ResourceConnection::new(page.map_err(top_level)?.map(Resource))))
    }
}

/// Lists the departures of an organization, or of one of its members. The result is `None` if the viewer may not see
/// them.
///
/// # Errors
/// If the page's arguments are invalid, or the database fails.
pub async fn departures_of(
    context: &Context<'_>,
    permit: &Permit,
    member_id: Option<MemberId>,
    status: Option<DepartureStatus>,
    first: Option<i32>,
    after: Option<String>,
) -> async_graphql::Result<Option<DepartureConnection>> {
    let status = status.map(Into::into);
    let mut connection = connection(context).await?;
    let page = departure::list(&mut connection, permit, member_id, status, &forward(first, after)).await;
    let Some(page) = visible(page)? else { return Ok(None) };
    let total = total(context, departure::count_all(&mut connection, permit, member_id, status)).await?;
    Ok(Some(DepartureConnection::new(page.map(Departure), total)))
}

/// The settings of an organization.
#[derive(SimpleObject)]
pub struct OrganizationPolicy {
    /// Which other members plain members can see: nobody, the owner and admins, or everyone.
    member_directory: MemberDirectory,
    /// Whether admins have the owner's powers. With OWNER_EQUIVALENT, they may do everything that the owner may,
    /// except transfer or delete the organization, change this setting, or do anything to the owner.
    admin_powers: AdminPowers,
    /// Whether resources may be shared outside. With MEMBERS_ONLY, they can't be shared with accounts or organizations
    /// outside.
    external_sharing: ExternalSharing,
    /// The permissions of new members, unless their invitation specifies others.
    default_permissions: MemberPermissions,
    /// How many days invitations are valid: 1 to 30.
    invitation_days: i32,
}

impl OrganizationPolicy {
    fn of(organization: &organization::Organization) -> Self {
        Self {
            member_directory: organization.member_directory.into(),
            admin_powers: organization.admin_powers.into(),
            external_sharing: organization.external_sharing.into(),
            default_permissions: MemberPermissions::from(permissions::Permissions::from(
                organization.default_permissions,
            )),
            invitation_days: organization.invitation_days,
        }
    }
}

/// Identifies an organization. Exactly one field must be set.
#[derive(OneofObject)]
pub enum OrganizationBy {
    /// The organization's id.
    Id(Id<OrganizationId>),
    /// The organization's current slug. Former slugs don't find it.
    Slug(String),
    /// The platform's own id of the organization.
    ExternalId(String),
}

impl OrganizationBy {
    /// Finds the organization, if the viewer may know that it exists.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(self, context: &Context<'_>) -> async_graphql::Result<Option<Organization>> {
        match self.id(context).await? {
            Some(id) => Organization::find(context, id).await,
            None => Ok(None),
        }
    }

    /// The id of the organization, which the viewer may still not know of if they named it by that.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn id(self, context: &Context<'_>) -> async_graphql::Result<Option<OrganizationId>> {
        let Some(actor) = request(context).actor() else { return Ok(None) };
        match OrganizationRef::from(self) {
            OrganizationRef::Id(id) => Ok(Some(id)),
            named @ (OrganizationRef::Slug(_) | OrganizationRef::ExternalId(_)) => {
                organization::named(&mut *connection(context).await?, actor, &named).await.map_err(top_level)
            }
        }
    }
}

impl From<OrganizationBy> for OrganizationRef {
    fn from(named: OrganizationBy) -> Self {
        match named {
            OrganizationBy::Id(id) => Self::Id(id.0),
            OrganizationBy::Slug(slug) => Self::Slug(slug),
            OrganizationBy::ExternalId(id) => Self::ExternalId(id),
        }
    }
}

/// The refusal of a mutation for an organization that the actor doesn't know of.
pub fn unknown_organization() -> rollcall_domain::Error {
    organization::not_found("organization")
}
