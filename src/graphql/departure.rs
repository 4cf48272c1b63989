//! Departures: leaving, being removed, being deactivated.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use rollcall_domain::Error;
use rollcall_domain::base::id::{DepartureId, MemberId, OrganizationId, ResourceMoveId, TypedId};
use rollcall_domain::departure;
use rollcall_domain::departure::{departing, receipt};

use super::api_key::ApiKey;
use super::connection::{connection, forward};
use super::context::{MovesOf, StepsOf, actor, database, loaders};
use super::error::{Payload, UserError, payload, top_level};
use super::id::Id;
use super::member::Member;
use super::resource::Resource;
use super::user::User;

/// How someone goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "departure::DepartureKind")]
pub enum DepartureKind {
    /// By themselves.
    Leave,
    /// Removed by owner or admin.
    Remove,
    /// Deactivated by owner or admin; an account that this organization's invitation created, and that belongs to no
    /// other, is suspended as well.
    Deactivate,
}

/// Where a departure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "departure::DepartureStatus")]
pub enum DepartureStatus {
    /// Access has ended; the worker passes things on.
    Running,
    /// Everything is passed on.
    Completed,
    /// The worker gave up; retryDeparture goes on where it stopped.
    Failed,
    /// What was moved is on its way back.
    Reverting,
    /// What was moved is back.
    Reverted,
}

/// The steps of a departure, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "departure::DepartureStep")]
pub enum DepartureStep {
    /// Membership and API keys end; active organization and default bill-to are reset. Done with the departure itself.
    RevokeAccess,
    /// Open invitations (to resources as well), codes, share links and project offers that the leaver made end, and so
    /// do invitations and offers to them. They count no more with the departure itself; the worker marks them one after
    /// the other.
    RevokeIssued,
    /// Projects pass to the owner.
    TransferProjects,
    /// Volumes pass to the owner.
    TransferVolumes,
    /// Machines, workspaces, apps, sources, source groups and collections pass to the owner.
    TransferOthers,
    /// Samples that aren't in any project are collected into a new project of the owner's; they stay the leaver's.
    CollectSamples,
    /// Documents pass to the owner and become visible to the organization.
    ShareDocuments,
    /// What was shared with the leaver is no longer shared with them. Projects that they uploaded samples to stay
    /// shared, but without effect until they are an active member again.
    RemoveGrants,
    /// The leaver is taken out of all teams. Done with the departure itself.
    LeaveTeams,
    /// Runs that the leaver queued and that haven't started are cancelled; those in progress continue.
    CancelRuns,
    /// Owner and leaver are told what moved.
    Notify,
}

#[derive(Debug, Clone)]
pub struct Departure(pub departure::Departure);

/// The end of a membership, and what becomes of what the leaver owned.
#[Object]
impl Departure {
    /// Begins with dep_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The membership that ended.
    async fn member(&self, context: &Context<'_>) -> async_graphql::Result<Member> {
        Member::load(context, self.0.member_id).await?.ok_or_else(|| top_level(Error::Bug("a membership is missing")))
    }

    /// How.
    async fn kind(&self) -> DepartureKind {
        self.0.kind.into()
    }

    /// Where it stands.
    async fn status(&self) -> DepartureStatus {
        self.0.status.into()
    }

    /// Who receives what the leaver owned: the organization's owner, whoever that is when it moves. For the leaver,
    /// where the directory is HIDDEN, somebody called `owner`.
    async fn new_owner(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::who_received(context, self.0.organization_id, self.0.new_owner_id, self.0.id.uuid()).await
    }

    /// Who started it; null for the leaver where the directory is HIDDEN, unless it was them.
    async fn started_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::who_acted(context, self.0.organization_id, self.0.started_by_id).await
    }

    /// Why, as it was said; for owner and admins, and null for the leaver.
    async fn reason(&self, context: &Context<'_>) -> async_graphql::Result<Option<&str>> {
        Ok(self.0.reason_for(actor(context)?))
    }

    /// How far each step is, in their order.
    async fn steps(&self, context: &Context<'_>) -> async_graphql::Result<Vec<DepartureProgress>> {
        let steps = loaders(context).load_one(StepsOf(self.0.id)).await?.unwrap_or_default();
        Ok(steps
            .iter()
            .map(|progress| DepartureProgress {
                step: progress.step.into(),
                done: progress.done,
                total: progress.total,
                completed_at: progress.completed_at,
            })
            .collect())
    }

    /// What was moved, one by one: the leaver's receipt and the new owner's.
    async fn moves(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many, at most 100; 20 where left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor before the page.")] after: Option<String>,
    ) -> async_graphql::Result<ResourceMoveConnection> {
        let page = forward(first, after);
        page.check::<ResourceMoveId>().map_err(top_level)?;
        let key = MovesOf { parent_id: self.0.id, page, with_count: false };
        let found = loaders(context).load_one(key).await?.unwrap_or_default();
        Ok(ResourceMoveConnection::new(found.0.map_ref(|moved| ResourceMove(moved.clone()))))
    }

    /// When it began, and access ended.
    async fn started_at(&self) -> DateTime<Utc> {
        self.0.started_at
    }

    /// When everything was passed on.
    async fn completed_at(&self) -> Option<DateTime<Utc>> {
        self.0.completed_at
    }

    /// Until when it can be reverted: 30 days from its beginning.
    async fn revertible_until(&self) -> Option<DateTime<Utc>> {
        Some(self.0.revertible_until())
    }

    /// What stopped it, where it failed.
    async fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }
}

/// How far a step of a departure is.
#[derive(SimpleObject)]
pub struct DepartureProgress {
    /// Which step.
    step: DepartureStep,
    /// How many things are done.
    done: i32,
    /// Of how many; null before the step begins.
    total: Option<i32>,
    /// When it was done.
    completed_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub struct ResourceMove(pub receipt::ResourceMove);

/// A resource that a departure passed on.
#[Object]
impl ResourceMove {
    /// Begins with mov_.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What moved; null if it is deleted, or if the viewer can't reach it (anymore).
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.0.resource_id {
            Some(id) => Resource::find(context, id).await,
            None => Ok(None),
        }
    }

    /// What it was called when it moved.
    async fn resource_name(&self) -> &str {
        &self.0.resource_name
    }

    /// Whose it was.
    async fn from(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::load(context, self.0.from_id).await
    }

    /// Whose it became; samples stay whose they are. For the leaver, where the directory is HIDDEN, somebody called
    /// `owner`.
    async fn to(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::who_received(context, self.0.organization_id, self.0.to_id, self.0.departure_id.uuid()).await
    }

    /// The project that a sample was collected into, where the viewer reaches that.
    async fn container(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.0.container_id {
            Some(id) => Resource::find(context, id).await,
            None => Ok(None),
        }
    }

    /// When.
    async fn moved_at(&self) -> DateTime<Utc> {
        self.0.moved_at
    }

    /// When a revert gave it back.
    async fn reverted_at(&self) -> Option<DateTime<Utc>> {
        self.0.reverted_at
    }

    /// Why a revert left it where it is.
    async fn kept_because(&self) -> Option<&str> {
        self.0.kept_because.as_deref()
    }
}

pub struct DeparturePlan(pub departure::plan::Plan);

/// What a departure would do, before anyone decides.
#[Object]
impl DeparturePlan {
    /// Whose.
    async fn member(&self) -> Member {
        Member(self.0.member.clone())
    }

    /// How.
    async fn kind(&self) -> DepartureKind {
        self.0.kind.into()
    }

    /// Who would receive what they own; for members, where the directory is HIDDEN, somebody called `owner`.
    async fn new_owner(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        let departure::plan::Plan { member, new_owner_id, .. } = &self.0;
        User::who_received(context, member.organization_id, *new_owner_id, member.id.uuid()).await
    }

    /// Every step with what it would concern.
    async fn steps(&self) -> Vec<DeparturePlanStep> {
        let steps = self.0.steps.iter();
        steps
            .map(|planned| DeparturePlanStep {
                step: planned.step.into(),
                affects: i32::try_from(planned.affects).unwrap_or(i32::MAX),
                examples: planned.examples.clone(),
            })
            .collect()
    }

    /// True where this organization's invitation created the account and it belongs to no other.
    async fn suspends_account(&self) -> bool {
        self.0.suspends_account
    }

    /// The organization's keys that would stop working, with their last use. A suspension ends the keys to the
    /// account's personal organization as well, which are nobody else's business.
    async fn api_keys(&self) -> Vec<ApiKey> {
        self.0.api_keys.iter().cloned().map(ApiKey).collect()
    }

    /// What should be done afterwards, one sentence each, such as renewing secrets that the leaver knew.
    async fn advice(&self) -> &[String] {
        &self.0.advice
    }

    /// What stands in its way; empty where it can be done.
    async fn blocked_by(&self) -> Vec<UserError> {
        self.0.blocked_by.iter().cloned().map(Into::into).collect()
    }

    /// Over member, role, new owner, steps that apply and blockers, not over counts. Passed back as `planHash`, the
    /// departure is refused with PLAN_STALE where they have changed.
    async fn hash(&self) -> String {
        self.0.hash()
    }
}

/// A step of a plan.
#[derive(SimpleObject)]
pub struct DeparturePlanStep {
    /// Which.
    step: DepartureStep,
    /// How many things it would concern.
    affects: i32,
    /// Some of them by name.
    examples: Vec<String>,
}

connection!(DepartureConnection, DepartureEdge, Departure, "departures", total_count);
connection!(ResourceMoveConnection, ResourceMoveEdge, ResourceMove, "moves");

/// Whom to remove.
#[derive(InputObject)]
pub struct RemoveMemberInput {
    /// The member.
    member_id: Id<MemberId>,
    /// Why; up to 2000 characters, kept in the audit log for owner and admins. The member isn't told.
    reason: Option<String>,
    /// What the email tells the member; up to 2000 characters.
    message_to_member: Option<String>,
    /// The hash of a plan: the departure is refused with PLAN_STALE if it would now do something else.
    plan_hash: Option<String>,
}

/// A removal under way.
#[derive(SimpleObject, Default)]
pub struct RemoveMemberPayload {
    /// The departure; access has ended already.
    departure: Option<Departure>,
    /// Why nobody was removed.
    user_errors: Vec<UserError>,
}
payload!(RemoveMemberPayload);

/// Whom to deactivate.
#[derive(InputObject)]
pub struct DeactivateMemberInput {
    /// The member.
    member_id: Id<MemberId>,
    /// Why; up to 2000 characters, kept in the audit log for owner and admins. The member isn't told.
    reason: Option<String>,
    /// What the email tells the member; up to 2000 characters.
    message_to_member: Option<String>,
    /// The hash of a plan: the departure is refused with PLAN_STALE if it would now do something else.
    plan_hash: Option<String>,
}

/// A deactivation under way.
#[derive(SimpleObject, Default)]
pub struct DeactivateMemberPayload {
    /// The departure; access has ended already.
    departure: Option<Departure>,
    /// Why nobody was deactivated.
    user_errors: Vec<UserError>,
}
payload!(DeactivateMemberPayload);

/// What to leave.
#[derive(InputObject)]
pub struct LeaveOrganizationInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
}

/// A leaving under way.
#[derive(SimpleObject, Default)]
pub struct LeaveOrganizationPayload {
    /// The departure; access has ended already.
    departure: Option<Departure>,
    /// Why the viewer is still there.
    user_errors: Vec<UserError>,
}
payload!(LeaveOrganizationPayload);

/// What to retry.
#[derive(InputObject)]
pub struct RetryDepartureInput {
    /// A failed departure.
    departure_id: Id<DepartureId>,
}

/// A departure that goes on.
#[derive(SimpleObject, Default)]
pub struct RetryDeparturePayload {
    /// The departure.
    departure: Option<Departure>,
    /// Why it doesn't go on.
    user_errors: Vec<UserError>,
}
payload!(RetryDeparturePayload);

/// Whom to make active again.
#[derive(InputObject)]
pub struct ReactivateMemberInput {
    /// A removed or deactivated member.
    member_id: Id<MemberId>,
}

/// A member who is active again.
#[derive(SimpleObject, Default)]
pub struct ReactivateMemberPayload {
    /// The member.
    member: Option<Member>,
    /// Why they aren't.
    user_errors: Vec<UserError>,
}
payload!(ReactivateMemberPayload);

/// What to take back.
#[derive(InputObject)]
pub struct RevertDepartureInput {
    /// A departure of the last 30 days.
    departure_id: Id<DepartureId>,
}

/// A departure that is taken back.
#[derive(SimpleObject, Default)]
pub struct RevertDeparturePayload {
    /// The departure, REVERTING.
    departure: Option<Departure>,
    /// Why it stands.
    user_errors: Vec<UserError>,
}
payload!(RevertDeparturePayload);

/// Departures.
#[derive(Default)]
pub struct DepartureMutation;

#[Object]
impl DepartureMutation {
    /// Removes a member: access ends at once, and the worker passes on what they owned to the organization's owner.
    async fn remove_member(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Whom to remove.")] input: RemoveMemberInput,
    ) -> async_graphql::Result<RemoveMemberPayload> {
        let command = departing::RemoveMember {
            member_id: input.member_id.0,
            kind: departure::DepartureKind::Remove,
            reason: input.reason,
            message_to_member: input.message_to_member,
            plan_hash: input.plan_hash,
        };
        let outcome = departing::remove(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |departure| RemoveMemberPayload {
            departure: Some(Departure(departure)),
            user_errors: Vec::new(),
        })
    }

    /// Deactivates a member: like a removal, and an account that this organization's invitation created, and that
    /// belongs to no other, is suspended.
    async fn deactivate_member(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Whom to deactivate.")] input: DeactivateMemberInput,
    ) -> async_graphql::Result<DeactivateMemberPayload> {
        let command = departing::RemoveMember {
            member_id: input.member_id.0,
            kind: departure::DepartureKind::Deactivate,
            reason: input.reason,
            message_to_member: input.message_to_member,
            plan_hash: input.plan_hash,
        };
        let outcome = departing::remove(database(context), actor(context)?, &command).await;
        Payload::of(outcome, |departure| DeactivateMemberPayload {
            departure: Some(Departure(departure)),
            user_errors: Vec::new(),
        })
    }

    /// Leaves an organization; the owner only after transferring the ownership.
    async fn leave_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to leave.")] input: LeaveOrganizationInput,
    ) -> async_graphql::Result<LeaveOrganizationPayload> {
        let outcome = departing::leave(database(context), actor(context)?, input.organization_id.0).await;
        Payload::of(outcome, |departure| LeaveOrganizationPayload {
            departure: Some(Departure(departure)),
            user_errors: Vec::new(),
        })
    }

    /// Makes a removed or deactivated member active again, with role and permissions; nothing that was moved comes back
    /// by this.
    async fn reactivate_member(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Whom.")] input: ReactivateMemberInput,
    ) -> async_graphql::Result<ReactivateMemberPayload> {
        let outcome = departure::revert::reactivate(database(context), actor(context)?, input.member_id.0).await;
        let member = Member::loaded(context, &outcome).await?;
        Payload::of(outcome, |_| ReactivateMemberPayload { member, user_errors: Vec::new() })
    }

    /// Takes a departure back: stops its cascade, makes a removed or deactivated member active again, and has the
    /// worker return what was moved and is still where the departure put it. If the person left by themselves or has
    /// rejoined, and is a member again, it only returns what was moved.
    async fn revert_departure(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which departure.")] input: RevertDepartureInput,
    ) -> async_graphql::Result<RevertDeparturePayload> {
        let outcome = departure::revert::revert(database(context), actor(context)?, input.departure_id.0).await;
        Payload::of(outcome, |departure| RevertDeparturePayload {
            departure: Some(Departure(departure)),
            user_errors: Vec::new(),
        })
    }

    /// Lets a failed departure, or its revert, go on where it stopped.
    async fn retry_departure(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which departure.")] input: RetryDepartureInput,
    ) -> async_graphql::Result<RetryDeparturePayload> {
        let outcome = departure::retry(database(context), actor(context)?, input.departure_id.0).await;
        Payload::of(outcome, |departure| RetryDeparturePayload {
            departure: Some(Departure(departure)),
            user_errors: Vec::new(),
        })
    }
}
