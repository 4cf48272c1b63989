//! Organizations: founding, profile, and the lists that hang on them.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, OneofObject, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::Error;
use rollcall_domain::account::api_key;
use rollcall_domain::authority::access::Permit;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::{audit, permissions, policy};
use rollcall_domain::base::id::{MemberId, OrganizationId, ResourceId, TypedId, UserId};
use rollcall_domain::departure::removal;
use rollcall_domain::event::webhook;
use rollcall_domain::membership::{invitation, join_code, member_list, organization, team};
use rollcall_domain::organization::profile::{self, ProfileInput};
use rollcall_domain::organization::{founding, ownership, settings};
use rollcall_domain::resource::list::ResourceFilter;
use rollcall_domain::resource::{kind, run};
use rollcall_domain::{departure, resource};

use super::api_key::{ApiKey, ApiKeyConnection};
use super::audit::{AuditEvent, AuditEventConnection};
use super::billing::Billing;
use super::connection::{forward, wants_total};
use super::context::{CreditsOf, LeadershipOf, OwnerOf, SeatsUsedOf, actor, connection, database, loaders, request};
use super::departure::{Departure, DepartureConnection, DepartureKind, DeparturePlan, DepartureStatus};
use super::error::{Payload, UserError, payload, top_level, visible};
use super::given;
use super::id::{BigInt, Decimal, Id, Time};
use super::invitation::{Invitation, InvitationConnection, InvitationStatus};
use super::join_code::{JoinCode, JoinCodeConnection, JoinCodeStatus};
use super::member::{Member, MemberConnection, MemberOrder, MemberPermissions, MemberPermissionsInput, MemberStatus};
use super::policy::{AdminPowers, ExternalSharing, MemberDirectory, OrganizationAction, Role};
use super::resource::{Resource, ResourceConnection, ResourceKind};
use super::run::{Run, RunConnection, RunStatus};
use super::team::{Team, TeamConnection};
use super::user::{Naming, User};
use super::webhook::{Webhook, WebhookConnection};

#[derive(Debug, Clone)]
pub struct Organization {
    organization: Box<organization::Organization>,
    permit: Option<Permit>,
    /// Its profile is shown without a permit: to staff, and to the owner who deleted it.
    shown: bool,
}

impl Organization {
    /// The organization as the actor of the request sees it; for what already led to it.
    pub async fn load(context: &Context<'_>, id: OrganizationId) -> async_graphql::Result<Self> {
        match request(context).actor() {
            Some(actor) => Self::load_as(context, actor, id).await,
            // Who has just accepted an invitation without a session sees the organization's name.
            None => {
                let organization =
                    organization::by_id(&mut *connection(context).await?, id).await.map_err(top_level)?;
                Ok(Self { organization: Box::new(organization), permit: None, shown: false })
            }
        }
    }

    /// The organization as an actor sees it.
    pub async fn load_as(context: &Context<'_>, actor: &Actor, id: OrganizationId) -> async_graphql::Result<Self> {
        let found = loaders(context).load_one((actor.clone(), id)).await?;
        let (organization, permit) = found.ok_or_else(|| top_level(Error::Bug("an organization is missing")))?;
        Ok(Self::seen_by(actor, organization, permit))
    }

    /// The organization, if the actor belongs to it or is of the staff; to anyone else it doesn't exist (R21).
    pub async fn find(context: &Context<'_>, id: OrganizationId) -> async_graphql::Result<Option<Self>> {
        let Some(actor) = request(context).actor() else { return Ok(None) };
        let Some((organization, permit)) = loaders(context).load_one((actor.clone(), id)).await? else {
            return Ok(None);
        };
        let found = Self::seen_by(actor, organization, permit);
        Ok(found.is_visible().then_some(found))
    }

    /// The organization with what an actor is in it.
    pub fn seen_by(actor: &Actor, organization: organization::Organization, permit: Option<Permit>) -> Self {
        let deleted_it = organization.deleted_by_id.is_some_and(|user_id| actor.is_in(organization.id, user_id));
        Self { organization: Box::new(organization), permit, shown: actor.is_staff() || deleted_it }
    }

    /// An organization that somebody has named: as the viewer knows it; else, to those to whom the word is shown, by what it was named,
    /// with an id that leads nowhere, or by its id alone where that is what named it; else some organization.
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
        let organization = organization::Organization { id: shown_id, name, logo_url: None, ..*found.organization };
        Ok(Self { organization: Box::new(organization), permit: None, shown: false })
    }

    /// Whether the viewer is its owner or an admin, or of the staff.
    pub fn is_led_by_viewer(&self) -> bool {
        match &self.permit {
            Some(permit) => permit.standing().role.is_at_least(policy::Role::Admin),
            None => self.shown,
        }
    }

    /// Whether the actor may know of it by itself.
    pub fn is_visible(&self) -> bool {
        self.permit.is_some() || self.shown
    }

    /// Whether the viewer sees more of its structure than their own part (R77): by their membership, as staff, or, having reached it
    /// from outside, where its members do.
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
/// Whoever legitimately reaches it from a resource or invitation reads id, name, logoUrl and personal; every other field is
/// null for those who are no members.
#[Object]
impl Organization {
    /// Begins with org_.
    pub async fn id(&self) -> ID {
        self.organization.id.to_string().into()
    }

    /// As it appears everywhere.
    async fn name(&self) -> &str {
        &self.organization.name
    }

    /// A link to its logo.
    async fn logo_url(&self) -> Option<&str> {
        self.organization.logo_url.as_deref()
    }

    /// Whether it is an account's personal organization, which nobody else gets into.
    async fn personal(&self) -> bool {
        self.organization.is_personal()
    }

    /// Its short name: 2 to 39 of a–z, 0–9 and single hyphens. Personal organizations have none.
    async fn slug(&self) -> Option<String> {
        self.shown(|organization| organization.slug.as_ref().map(ToString::to_string))
    }

    /// Its name in full.
    async fn full_name(&self) -> Option<String> {
        self.shown(|organization| organization.full_name.clone())
    }

    /// What it is, in up to 2000 characters.
    async fn description(&self) -> Option<String> {
        self.shown(|organization| organization.description.clone())
    }

    /// A link to its website.
    async fn website(&self) -> Option<String> {
        self.shown(|organization| organization.website.clone())
    }

    /// Where it is.
    async fn location(&self) -> Option<String> {
        self.shown(|organization| organization.location.clone())
    }

    /// In which sector it works.
    async fn sector(&self) -> Option<String> {
        self.shown(|organization| organization.sector.clone())
    }

    /// The university that it belongs to.
    async fn university_name(&self) -> Option<String> {
        self.shown(|organization| organization.university_name.clone())
    }

    /// When it was founded.
    async fn created_at(&self) -> Option<DateTime<Utc>> {
        self.shown(|organization| Some(organization.created_at))
    }

    /// Set while the organization waits for its final removal; only owner and staff still see it.
    async fn deleted_at(&self) -> Option<DateTime<Utc>> {
        self.shown(|organization| organization.deleted_at)
    }

    /// The one owner; null for members where the directory is HIDDEN.
    async fn owner(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        if !self.is_visible() || !self.shows_structure() {
            return Ok(None);
        }
        let owner: Option<UserId> = loaders(context).load_one(OwnerOf(self.organization.id)).await?;
        User::load_optional(context, owner).await
    }

    /// Owner and admins with their roles: whom to contact. The owner first, then those who have been members for longest, 100 at most;
    /// `members(role: ADMIN)` gives all admins. Null for members where the directory is HIDDEN.
    async fn leadership(&self, context: &Context<'_>) -> async_graphql::Result<Option<Vec<Member>>> {
        if !self.is_visible() || !self.shows_structure() {
            return Ok(None);
        }
        let leaders = loaders(context).load_one(LeadershipOf(self.organization.id)).await?;
        Ok(leaders.map(|leaders| leaders.into_iter().map(Member).collect()))
    }

    /// How the organization is run.
    async fn policy(&self) -> Option<OrganizationPolicy> {
        self.shown(|organization| Some(OrganizationPolicy::of(organization)))
    }

    /// The viewer's own membership.
    async fn viewer_membership(&self, context: &Context<'_>) -> async_graphql::Result<Option<Member>> {
        match &self.permit {
            Some(permit) => Ok(loaders(context).load_one(permit.member_id()).await?.map(Member)),
            None => Ok(None),
        }
    }

    /// What the viewer may do here, from the code that enforces it.
    async fn viewer_can(&self) -> Vec<OrganizationAction> {
        self.permit
            .as_ref()
            .map(|permit| permit.standing().allowed().into_iter().map(Into::into).collect())
            .unwrap_or_default()
    }

    /// The members that the viewer may see: owner and admins see everyone, others what the directory shows, and themselves.
    #[expect(clippy::too_many_arguments, reason = "the contract's arguments")]
    async fn members(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many from the start, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor behind the page.")] before: Option<String>,
        #[graphql(desc = "Only this role.")] role: Option<Role>,
        #[graphql(
            desc = "Only this status; null for all. Others than ACTIVE are for owner and admins.",
            default_with = "Some(MemberStatus::Active)"
        )]
        status: Option<MemberStatus>,
        #[graphql(
            desc = "Only those whose name or username (for owner and admins also address) holds this text, whatever its case and marks: `zoe` finds Zoë."
        )]
        search: Option<String>,
        #[graphql(desc = "In which order.", default_with = "Some(MemberOrder::Name)")] order_by: Option<MemberOrder>,
    ) -> async_graphql::Result<Option<MemberConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let filter = member_list::MemberFilter { role: role.map(Into::into), status: status.map(Into::into), search };
        let order = order_by.unwrap_or(MemberOrder::Name).into();
        let request = rollcall_domain::base::page::PageRequest { first, after, last, before };
        let mut connection = connection(context).await?;
        let page = member_list::list(&mut connection, permit, &filter, order, &request).await.map_err(top_level)?;
        let total = match wants_total(context) {
            true => member_list::count(&mut connection, permit, &filter).await.map_err(top_level)?,
            false => 0,
        };
        Ok(Some(MemberConnection::new(page.map(Member), total)))
    }

    /// Its invitations, oldest first; for those who invite.
    async fn invitations(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only this status.")] status: Option<InvitationStatus>,
    ) -> async_graphql::Result<Option<InvitationConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let status = status.map(Into::into);
        let mut connection = connection(context).await?;
        let page = invitation::list(&mut connection, permit, status, &forward(first, after)).await;
        let Some(page) = visible(page)? else { return Ok(None) };
        let total = match wants_total(context) {
            true => invitation::count(&mut connection, permit, status).await.map_err(top_level)?,
            false => 0,
        };
        let now = rollcall_domain::database::now(&mut connection).await.map_err(top_level)?;
        Ok(Some(InvitationConnection::new(page.map(|invitation| Invitation::at(invitation, now)), total)))
    }

    /// Its join codes, oldest first; for those who make them.
    async fn join_codes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only this status.")] status: Option<JoinCodeStatus>,
    ) -> async_graphql::Result<Option<JoinCodeConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let status = status.map(Into::into);
        let mut connection = connection(context).await?;
        let page = join_code::list(&mut connection, permit, status, &forward(first, after)).await;
        let Some(page) = visible(page)? else { return Ok(None) };
        let total = match wants_total(context) {
            true => join_code::count(&mut connection, permit, status).await.map_err(top_level)?,
            false => 0,
        };
        let now = rollcall_domain::database::now(&mut connection).await.map_err(top_level)?;
        Ok(Some(JoinCodeConnection::new(page.map(|code| JoinCode::at(code, now)), total)))
    }

    /// Its plan, credits, and where it is billed; for owner and admins, and for the platform's staff.
    async fn billing(&self, context: &Context<'_>) -> async_graphql::Result<Option<Billing>> {
        let staff = request(context).actor().is_some_and(Actor::is_staff);
        if !staff && !self.permit.as_ref().is_some_and(|permit| permit.standing().sees_billing()) {
            return Ok(None);
        }
        let organization = &self.organization;
        let seats_used = loaders(context).load_one(SeatsUsedOf(organization.id)).await?.unwrap_or_default();
        let credits_purchased = loaders(context).load_one(CreditsOf(organization.id)).await?.unwrap_or_default();
        let account = &organization.billing_account;
        Ok(Some(Billing {
            account_name: account.billing_account_name.clone(),
            contact_email: account.billing_contact_email.as_ref().map(ToString::to_string),
            reference: account.billing_reference.clone(),
            plan: organization.plan.clone(),
            seat_limit: organization.seat_limit,
            seats_used,
            storage_limit_bytes: organization.storage_limit_bytes.map(BigInt),
            run_limit: organization.run_limit,
            credits_purchased: Decimal(credits_purchased),
        }))
    }

    /// Its teams, oldest first; for members where the directory is HIDDEN those that they are in.
    async fn teams(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only those whose name holds this text, whatever its case and marks.")] search: Option<String>,
    ) -> async_graphql::Result<Option<TeamConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let search = search.as_deref();
        let mut connection = connection(context).await?;
        let page = team::list(&mut connection, permit, search, &forward(first, after)).await.map_err(top_level)?;
        let total = match wants_total(context) {
            true => team::count(&mut connection, permit, search).await.map_err(top_level)?,
            false => 0,
        };
        Ok(Some(TeamConnection::new(page.map(Team), total)))
    }

    /// Its webhooks, oldest first; for owner and admins.
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
        let total = match wants_total(context) {
            true => webhook::count(&mut connection, permit).await.map_err(top_level)?,
            false => 0,
        };
        Ok(Some(WebhookConnection::new(page.map(Webhook), total)))
    }

    /// The organization's service keys, oldest first; for those who may manage them.
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
        let total = match wants_total(context) {
            true => api_key::count_services(&mut connection, permit).await.map_err(top_level)?,
            false => 0,
        };
        Ok(Some(ApiKeyConnection::new(page.map(ApiKey), total)))
    }

    /// The resources here that the viewer can reach, oldest first; owner and admins reach all.
    #[expect(clippy::too_many_arguments, reason = "the contract's arguments")]
    async fn resources(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only this kind.")] kind: Option<ResourceKind>,
        #[graphql(desc = "Only this owner's.")] owner_id: Option<Id<UserId>>,
        #[graphql(desc = "Only what lies in this container.")] container_id: Option<Id<ResourceId>>,
        #[graphql(
            desc = "Only those whose name holds this text, whatever its case and marks; of one or two letters or digits, those with a word that begins so."
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

    /// The projects here that the viewer can reach, oldest first.
    async fn projects(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<ResourceConnection>> {
        let filter = ResourceFilter { kind: Some(kind::ResourceKind::Project), ..ResourceFilter::default() };
        self.resources_where(context, &filter, first, after).await
    }

    /// The volumes here that the viewer can reach, oldest first.
    async fn volumes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<Option<ResourceConnection>> {
        let filter = ResourceFilter { kind: Some(kind::ResourceKind::Volume), ..ResourceFilter::default() };
        self.resources_where(context, &filter, first, after).await
    }

    /// What members have queued, oldest first: all of it for owner and admins, and for others their own.
    async fn runs(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only this status.")] status: Option<RunStatus>,
    ) -> async_graphql::Result<Option<RunConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let mut connection = connection(context).await?;
        let page = run::list(&mut connection, permit, status.map(Into::into), &forward(first, after)).await;
        Ok(Some(RunConnection::new(page.map_err(top_level)?.map(Run))))
    }

    /// Who left, was removed or was deactivated, oldest first; for owner and admins.
    async fn departures(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "Only this status.")] status: Option<DepartureStatus>,
    ) -> async_graphql::Result<Option<DepartureConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        departures_of(context, permit, None, status, first, after).await
    }

    /// What a member's departure would do; for owner and admins, and for one's own leaving.
    async fn departure_plan(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Whose.")] member_id: Id<MemberId>,
        #[graphql(desc = "How.")] kind: DepartureKind,
    ) -> async_graphql::Result<Option<DeparturePlan>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let plan = departure::plan::plan(&mut *connection(context).await?, permit, member_id.0, kind.into()).await;
        Ok(plan.map_err(top_level)?.map(DeparturePlan))
    }

    /// What happened here, oldest first by sequence; `last` for the newest. For owner and admins.
    #[expect(clippy::too_many_arguments, reason = "the contract's arguments")]
    async fn audit_log(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many from the start, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor behind the page.")] before: Option<String>,
        #[graphql(desc = "Only this action, such as organization.member_invited.")] action: Option<String>,
        #[graphql(desc = "Only what this user did, whom the viewer may know.")] actor_id: Option<Id<UserId>>,
        #[graphql(desc = "Only what was done to this.")] target_id: Option<ID>,
        #[graphql(desc = "Not before this time.")] since: Option<Time>,
        #[graphql(desc = "Before this time.")] until: Option<Time>,
    ) -> async_graphql::Result<Option<AuditEventConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let filter = audit::AuditFilter {
            action: given(action),
            actor_id: actor_id.map(|id| id.0),
            target_id: target_id.map(|id| id.0),
            since: since.map(|time| time.0),
            until: until.map(|time| time.0),
        };
        let request = rollcall_domain::base::page::PageRequest { first, after, last, before };
        let page = audit::list(&mut *connection(context).await?, actor(context)?, permit, &filter, &request).await;
        Ok(visible(page)?.map(|page| AuditEventConnection::new(page.map(AuditEvent))))
    }
}

impl Organization {
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

/// The departures of an organization, or of one of its members.
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
    let total = match wants_total(context) {
        true => departure::count_all(&mut connection, permit, member_id, status).await.map_err(top_level)?,
        false => 0,
    };
    Ok(Some(DepartureConnection::new(page.map(Departure), total)))
}

/// How an organization is run.
#[derive(SimpleObject)]
pub struct OrganizationPolicy {
    /// Whom a plain member sees: nobody, the owner and admins, or everyone.
    member_directory: MemberDirectory,
    /// OWNER_EQUIVALENT: admins may do what the owner may, except transfer, deletion, this setting, and anything done to
    /// the owner.
    admin_powers: AdminPowers,
    /// MEMBERS_ONLY: resources here are not shared with accounts or organizations outside.
    external_sharing: ExternalSharing,
    /// What who joins may do, unless the invitation says otherwise.
    default_permissions: MemberPermissions,
    /// How long invitations last: 1 to 30 days.
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

/// How an organization is named.
#[derive(OneofObject)]
pub enum OrganizationBy {
    /// By its id.
    Id(Id<OrganizationId>),
    /// By its slug of now; one that it gave up finds nothing.
    Slug(String),
}

impl OrganizationBy {
    /// The organization, if the viewer may know of it.
    pub async fn find(self, context: &Context<'_>) -> async_graphql::Result<Option<Organization>> {
        let id = match self {
            Self::Id(id) => Some(id.0),
            Self::Slug(slug) => {
                organization::id_by_slug(&mut *connection(context).await?, &slug).await.map_err(top_level)?
            }
        };
        match id {
            Some(id) => Organization::find(context, id).await,
            None => Ok(None),
        }
    }
}

/// An organization to be founded.
#[derive(InputObject)]
pub struct CreateOrganizationInput {
    /// As it appears everywhere, also in mails; 1 to 100 characters without a link.
    name: String,
    /// 2 to 39 of a–z, 0–9 and single hyphens; made of the name where left out. SLUG_TAKEN where another organization has it, gave it up
    /// within 90 days, or had it when it was removed for good.
    slug: Option<String>,
    /// Its name in full, up to 200 characters.
    full_name: Option<String>,
    /// What it is, up to 2000 characters.
    description: Option<String>,
    /// A link to its website.
    website: Option<String>,
    /// Where it is, up to 200 characters.
    location: Option<String>,
    /// In which sector it works, up to 200 characters.
    sector: Option<String>,
    /// The university that it belongs to, up to 200 characters.
    university_name: Option<String>,
    /// A link to its logo.
    logo_url: Option<String>,
    /// For staff: the owner's address. Where it has no account, one is made for whoever signs in with it.
    owner_email: Option<String>,
}

/// A new organization.
#[derive(SimpleObject, Default)]
pub struct CreateOrganizationPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why none was founded.
    user_errors: Vec<UserError>,
}
payload!(CreateOrganizationPayload);

/// What to change of a profile; a field left out stays as it is, and null clears it.
#[derive(InputObject)]
pub struct UpdateOrganizationInput {
    /// The organization.
    id: Id<OrganizationId>,
    /// As it appears everywhere, also in mails; 1 to 100 characters without a link.
    name: MaybeUndefined<String>,
    /// 2 to 39 of a–z, 0–9 and single hyphens. The old one finds nothing from now on: whoever uses it must learn the new one. It is kept
    /// for this organization, which may take it back, for 90 days, and nobody else has it meanwhile; at most 10 are kept at a time.
    slug: MaybeUndefined<String>,
    /// Its name in full, up to 200 characters.
    full_name: MaybeUndefined<String>,
    /// What it is, up to 2000 characters.
    description: MaybeUndefined<String>,
    /// A link to its website.
    website: MaybeUndefined<String>,
    /// Where it is, up to 200 characters.
    location: MaybeUndefined<String>,
    /// In which sector it works, up to 200 characters.
    sector: MaybeUndefined<String>,
    /// The university that it belongs to, up to 200 characters.
    university_name: MaybeUndefined<String>,
    /// A link to its logo.
    logo_url: MaybeUndefined<String>,
}

/// An organization with its profile as it is now.
#[derive(SimpleObject, Default)]
pub struct UpdateOrganizationPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateOrganizationPayload);

/// Whom to give an organization to.
#[derive(InputObject)]
pub struct SetOrganizationOwnerInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// Its new owner; joins where they are no member.
    user_id: Id<UserId>,
}

/// An organization with its new owner.
#[derive(SimpleObject, Default)]
pub struct SetOrganizationOwnerPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why the owner is the same.
    user_errors: Vec<UserError>,
}
payload!(SetOrganizationOwnerPayload);

/// What to change of a policy; what is left out stays as it is.
#[derive(InputObject)]
pub struct UpdateOrganizationPolicyInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// Whom a plain member sees.
    member_directory: Option<MemberDirectory>,
    /// Whether admins have the owner's powers; for the owner alone. What admins issued and can issue no longer is revoked.
    admin_powers: Option<AdminPowers>,
    /// Whether resources here may be shared outside.
    external_sharing: Option<ExternalSharing>,
    /// What who joins from now on may do, unless the invitation says otherwise.
    default_permissions: Option<MemberPermissionsInput>,
    /// How long invitations that are made from now on last: 1 to 30 days.
    invitation_days: Option<i32>,
}

/// An organization with its policy as it is now.
#[derive(SimpleObject, Default)]
pub struct UpdateOrganizationPolicyPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateOrganizationPolicyPayload);

/// To whom to hand an organization over.
#[derive(InputObject)]
pub struct TransferOwnershipInput {
    /// The organization; the viewer owns it.
    organization_id: Id<OrganizationId>,
    /// The admin who shall own it.
    member_id: Id<MemberId>,
    /// The organization's name, typed to confirm.
    confirm_organization_name: String,
    /// The admin's username, typed to confirm.
    confirm_username: String,
}

/// An organization with its new owner.
#[derive(SimpleObject, Default)]
pub struct TransferOwnershipPayload {
    /// The organization; the viewer is an admin of it now.
    organization: Option<Organization>,
    /// Why the owner is the same.
    user_errors: Vec<UserError>,
}
payload!(TransferOwnershipPayload);

/// An organization to be deleted.
#[derive(InputObject)]
pub struct DeleteOrganizationInput {
    /// The organization; the viewer owns it.
    id: Id<OrganizationId>,
    /// Its name, typed to confirm.
    confirm_organization_name: String,
}

/// An organization that nobody reaches any more.
#[derive(SimpleObject, Default)]
pub struct DeleteOrganizationPayload {
    /// Which.
    deleted_organization_id: Option<ID>,
    /// When its data is removed for good; until then the platform's staff can restore it.
    purge_at: Option<DateTime<Utc>>,
    /// Why it is still there.
    user_errors: Vec<UserError>,
}
payload!(DeleteOrganizationPayload);

/// An organization to be restored.
#[derive(InputObject)]
pub struct RestoreOrganizationInput {
    /// The organization.
    id: Id<OrganizationId>,
}

/// An organization that is back.
#[derive(SimpleObject, Default)]
pub struct RestoreOrganizationPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why it is still deleted.
    user_errors: Vec<UserError>,
}
payload!(RestoreOrganizationPayload);

/// Organizations.
#[derive(Default)]
pub struct OrganizationMutation;

#[Object]
impl OrganizationMutation {
    /// Founds an organization; its creator owns it.
    async fn create_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization.")] input: CreateOrganizationInput,
    ) -> async_graphql::Result<CreateOrganizationPayload> {
        let profile = ProfileInput {
            name: Some(input.name),
            slug: given(input.slug).map(Some),
            full_name: input.full_name.map(Some),
            description: input.description.map(Some),
            website: input.website.map(Some),
            location: input.location.map(Some),
            sector: input.sector.map(Some),
            university_name: input.university_name.map(Some),
            logo_url: input.logo_url.map(Some),
        };
        let outcome = founding::create(
            database(context),
            actor(context)?,
            &profile,
            given(input.owner_email).as_deref(),
            request(context).client,
        )
        .await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| CreateOrganizationPayload { organization, user_errors: Vec::new() })
    }

    /// Changes an organization's profile; it is cosmetic and changes no right.
    async fn update_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateOrganizationInput,
    ) -> async_graphql::Result<UpdateOrganizationPayload> {
        use super::{required, undefined_or};
        let profile = ProfileInput {
            name: required(input.name),
            slug: undefined_or(input.slug).map(given),
            full_name: undefined_or(input.full_name),
            description: undefined_or(input.description),
            website: undefined_or(input.website),
            location: undefined_or(input.location),
            sector: undefined_or(input.sector),
            university_name: undefined_or(input.university_name),
            logo_url: undefined_or(input.logo_url),
        };
        let outcome =
            profile::update(database(context), actor(context)?, input.id.0, &profile, request(context).client).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| UpdateOrganizationPayload { organization, user_errors: Vec::new() })
    }

    /// Changes how an organization is run.
    async fn update_organization_policy(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateOrganizationPolicyInput,
    ) -> async_graphql::Result<UpdateOrganizationPolicyPayload> {
        let command = settings::UpdatePolicy {
            member_directory: input.member_directory.map(Into::into),
            admin_powers: input.admin_powers.map(Into::into),
            external_sharing: input.external_sharing.map(Into::into),
            default_permissions: input.default_permissions.map(Into::into).unwrap_or_default(),
            invitation_days: input.invitation_days,
        };
        let id = input.organization_id.0;
        let outcome = settings::update_policy(database(context), actor(context)?, id, &command).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| UpdateOrganizationPolicyPayload { organization, user_errors: Vec::new() })
    }

    /// Hands an organization over to one of its admins; the old owner becomes ADMIN. Both get a mail.
    async fn transfer_ownership(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization, to whom.")] input: TransferOwnershipInput,
    ) -> async_graphql::Result<TransferOwnershipPayload> {
        let command = ownership::TransferOwnership {
            organization_id: input.organization_id.0,
            member_id: input.member_id.0,
            confirm_organization_name: input.confirm_organization_name,
            confirm_username: input.confirm_username,
        };
        let outcome = ownership::transfer_ownership(database(context), actor(context)?, &command).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| TransferOwnershipPayload { organization, user_errors: Vec::new() })
    }

    /// Deletes an organization: access ends at once, for everyone. For 30 days the platform's staff can restore it; then its data
    /// is removed for good.
    async fn delete_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization.")] input: DeleteOrganizationInput,
    ) -> async_graphql::Result<DeleteOrganizationPayload> {
        let id = input.id.0;
        let outcome = removal::delete(database(context), actor(context)?, id, &input.confirm_organization_name).await;
        Payload::of(outcome, |purge_at| DeleteOrganizationPayload {
            deleted_organization_id: Some(id.to_string().into()),
            purge_at: Some(purge_at),
            user_errors: Vec::new(),
        })
    }

    /// Staff: restores a deleted organization, within 30 days.
    async fn restore_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization.")] input: RestoreOrganizationInput,
    ) -> async_graphql::Result<RestoreOrganizationPayload> {
        let outcome = removal::restore(database(context), actor(context)?, input.id.0).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| RestoreOrganizationPayload { organization, user_errors: Vec::new() })
    }

    /// Staff: gives an organization to another owner; the old one becomes ADMIN.
    async fn set_organization_owner(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization, to whom.")] input: SetOrganizationOwnerInput,
    ) -> async_graphql::Result<SetOrganizationOwnerPayload> {
        let (id, user_id) = (input.organization_id.0, input.user_id.0);
        let outcome = ownership::set_owner(database(context), actor(context)?, id, user_id).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| SetOrganizationOwnerPayload { organization, user_errors: Vec::new() })
    }
}

/// The organization that a command was about, as the actor sees it now.
pub async fn loaded(
    context: &Context<'_>,
    outcome: &rollcall_domain::Result<OrganizationId>,
) -> async_graphql::Result<Option<Organization>> {
    match outcome {
        Ok(id) => Ok(Some(Organization::load(context, *id).await?)),
        Err(_) => Ok(None),
    }
}
