//! Organizations: their profile, their policy, and the lists that hang on them.

pub mod mutations;

use async_graphql::{Context, ID, Object, OneofObject, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::Error;
use rollcall_domain::account::api_key;
use rollcall_domain::authority::access::Permit;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::{audit, permissions, rights};
use rollcall_domain::base::id::{MemberId, OrganizationId, ResourceId, TypedId, UserId};
use rollcall_domain::event::webhook;
use rollcall_domain::membership::{invitation, join_code, member_list, organization, team};
use rollcall_domain::resource::list::ResourceFilter;
use rollcall_domain::resource::{kind, run};
use rollcall_domain::{departure, resource};

use super::api_key::{ApiKey, ApiKeyConnection};
use super::audit::{AuditEvent, AuditEventConnection};
use super::billing::Billing;
use super::connection::{either_way, forward, total};
use super::context::{CreditsOf, LeadershipOf, OwnerOf, SeatsUsedOf, actor, connection, loaders, request};
use super::departure::{Departure, DepartureConnection, DepartureKind, DeparturePlan, DepartureStatus};
use super::error::{top_level, visible};
use super::given;
use super::id::{BigInt, Decimal, Id, Time};
use super::invitation::{Invitation, InvitationConnection, InvitationStatus};
use super::join_code::{JoinCode, JoinCodeConnection, JoinCodeStatus};
use super::member::{Member, MemberConnection, MemberOrder, MemberPermissions, MemberStatus};
use super::resource::{Resource, ResourceConnection, ResourceKind};
use super::rights::{AdminPowers, ExternalSharing, MemberDirectory, OrganizationAction, Role};
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
    ///
    /// # Errors
    /// There is no such organization, which is a mistake here; or the database's.
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
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub async fn load_as(context: &Context<'_>, actor: &Actor, id: OrganizationId) -> async_graphql::Result<Self> {
        let found = loaders(context).load_one((actor.clone(), id)).await?;
        let (organization, permit) = found.ok_or_else(|| top_level(Error::Bug("an organization is missing")))?;
        Ok(Self::seen_by(actor, organization, permit))
    }

    /// The organization, if the actor belongs to it or is of the staff; to anyone else it doesn't exist (R21).
    ///
    /// # Errors
    /// The database's.
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

    /// An organization that somebody has named: as the viewer knows it; else, to those to whom the word is shown, by
    /// what it was named, with an id that leads nowhere, or by its id alone where that is what named it; else some
    /// organization.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
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
            Some(permit) => permit.standing().role.is_at_least(rights::Role::Admin),
            None => self.shown,
        }
    }

    /// Whether the actor may know of it by itself.
    pub fn is_visible(&self) -> bool {
        self.permit.is_some() || self.shown
    }

    /// Whether the viewer sees more of its structure than their own part (R77): by their membership, as staff, or,
    /// having reached it from outside, where its members do.
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
/// Whoever legitimately reaches it from a resource or invitation reads id, name, logoUrl and personal; every other
/// field is null for those who are no members.
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

    /// When it was created.
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

    /// Owner and admins with their roles: whom to contact. The owner first, then those who have been members for
    /// longest, 100 at most; `members(role: ADMIN)` gives all admins. Null for members where the directory is HIDDEN.
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

    /// The members that the viewer may see: the owner and admins see everyone, others see themselves and what the
    /// directory shows.
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
            desc = "Only this status; null for all. Statuses other than ACTIVE are for the owner and admins.",
            default_with = "Some(MemberStatus::Active)"
        )]
        status: Option<MemberStatus>,
        #[graphql(
            desc = "Only those whose name or username (for owner and admins also address) contains this text, ignoring case and accents: `zoe` finds Zoë."
        )]
        search: Option<String>,
        #[graphql(desc = "In which order.", default_with = "Some(MemberOrder::Name)")] order_by: Option<MemberOrder>,
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
        let total = total(context, invitation::count(&mut connection, permit, status)).await?;
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
        let total = total(context, join_code::count(&mut connection, permit, status)).await?;
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
        #[graphql(desc = "Only names that contain this text, ignoring case and accents.")] search: Option<String>,
    ) -> async_graphql::Result<Option<TeamConnection>> {
        let Some(permit) = &self.permit else { return Ok(None) };
        let search = search.as_deref();
        let mut connection = connection(context).await?;
        let page = team::list(&mut connection, permit, search, &forward(first, after)).await.map_err(top_level)?;
        let total = total(context, team::count(&mut connection, permit, search)).await?;
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
        let total = total(context, webhook::count(&mut connection, permit)).await?;
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
        let total = total(context, api_key::count_services(&mut connection, permit)).await?;
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
            desc = "Only those whose name contains this text, ignoring case and accents; with one or two letters or digits, those with a word that begins with them."
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
        let request = either_way(first, after, last, before);
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

/// The departures of an organization, or of one of its members; none for those who may not see them.
///
/// # Errors
/// What is wrong with the page's arguments; or the database's.
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

/// How an organization is run.
#[derive(SimpleObject)]
pub struct OrganizationPolicy {
    /// Whom a plain member sees: nobody, the owner and admins, or everyone.
    member_directory: MemberDirectory,
    /// OWNER_EQUIVALENT: admins may do what the owner may, except transfer, deletion, this setting, and anything done
    /// to the owner.
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
    ///
    /// # Errors
    /// The database's.
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
