//! Departures: how members leave, are removed, or are deactivated.

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

/// The way in which a membership ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "departure::DepartureKind")]
pub enum DepartureKind {
    /// The member leaves.
    Leave,
    /// The owner or an admin removes the member.
    Remove,
    /// The owner or an admin deactivates the member. If an invitation from this organization created the account, and
    /// the account belongs to no other organization, the account is suspended too.
    Deactivate,
}

/// The status of a departure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "departure::DepartureStatus")]
pub enum DepartureStatus {
    /// Access has ended, and the worker is passing on what the leaver owned.
    Running,
    /// Everything has been passed on.
    Completed,
    /// The worker gave up. `retryDeparture` continues where it stopped.
    Failed,
    /// The worker is returning what the departure moved.
    Reverting,
    /// What the departure moved has been returned.
    Reverted,
}

/// The steps of a departure, in the order in which they are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "departure::DepartureStep")]
pub enum DepartureStep {
    /// The membership and the API keys end, and the active organization and the default bill-to are reset. This is
    /// part of the departure's own transaction.
    RevokeAccess,
    /// Pending invitations (including those to resources), join codes, share links and project offers that the leaver
    /// issued end, and so do invitations and offers made to the leaver. They are void from the moment of the
    /// departure; the worker then marks them one by one.
    RevokeIssued,
    /// Projects pass to the organization's owner.
    TransferProjects,
    /// Volumes pass to the organization's owner.
    TransferVolumes,
    /// Machines, workspaces, apps, sources, source groups and collections pass to the organization's owner.
    TransferOthers,
    /// Samples that aren't in a project are collected into a new project that belongs to the organization's owner. The
    /// samples themselves still belong to the leaver.
    CollectSamples,
    /// Documents pass to the organization's owner and become visible to the organization.
    ShareDocuments,
    /// What was shared with the leaver is no longer shared with them. Grants on projects that they uploaded samples to
    /// are kept, but have no effect until they are an active member again.
    RemoveGrants,
    /// The leaver is removed from all teams. This is part of the departure's own transaction.
    LeaveTeams,
    /// Runs that the leaver queued and that haven't started are cancelled. Runs in progress continue.
    CancelRuns,
    /// The owner and the leaver are sent an email that lists what moved.
    Notify,
}

#[derive(Debug, Clone)]
pub struct Departure(pub departure::Departure);

/// The end of a membership, and the transfer of what the leaver owned.
#[Object]
impl Departure {
    /// The departure's id. It begins with `dep_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The membership that ended.
    async fn member(&self, context: &Context<'_>) -> async_graphql::Result<Member> {
        Member::load(context, self.0.member_id).await?.ok_or_else(|| top_level(Error::Bug("a membership is missing")))
    }

    /// The way in which the membership ended.
    async fn kind(&self) -> DepartureKind {
        self.0.kind.into()
    }

    /// The departure's status.
    async fn status(&self) -> DepartureStatus {
        self.0.status.into()
    }

    /// The user who receives what the leaver owned: whoever is the organization's owner when it moves. If the
    /// directory is HIDDEN, the leaver sees a placeholder user with the username `owner` instead.
    async fn new_owner(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::who_received(context, self.0.organization_id, self.0.new_owner_id, self.0.id.uuid()).await
    }

    /// The user who started the departure. If the directory is HIDDEN, this is null for the leaver, unless they
    /// started it themselves.
    async fn started_by(&self, context: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::who_acted(context, self.0.organization_id, self.0.started_by_id).await
    }

    /// The reason that was given. Only the owner and admins see it; it is null for the leaver.
    async fn reason(&self, context: &Context<'_>) -> async_graphql::Result<Option<&str>> {
        Ok(self.0.reason_for(actor(context)?))
    }

    /// The progress of each step, in order.
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

    /// The resources that were moved, one by one. This is the receipt for both the leaver and the new owner.
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

    /// When the departure began and access ended.
    async fn started_at(&self) -> DateTime<Utc> {
        self.0.started_at
    }

    /// When everything had been passed on.
    async fn completed_at(&self) -> Option<DateTime<Utc>> {
        self.0.completed_at
    }

    /// Until when the departure can be reverted: 30 days after it began.
    async fn revertible_until(&self) -> Option<DateTime<Utc>> {
        Some(self.0.revertible_until())
    }

    /// The error that stopped the departure, if it failed.
    async fn error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }
}

/// The progress of one step of a departure.
#[derive(SimpleObject)]
pub struct DepartureProgress {
    /// The step.
    step: DepartureStep,
    /// The number of items that are done.
    done: i32,
    /// The number of items in total; null until the step begins.
    total: Option<i32>,
    /// When the step was completed.
    completed_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub struct ResourceMove(pub receipt::ResourceMove);

/// A resource that a departure moved.
#[Object]
impl ResourceMove {
    /// The move's id. It begins with `mov_`.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The resource. Null if it was deleted, or if the viewer can't reach it.
    async fn resource(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.0.resource_id {
            Some(id) => Resource::find(context, id).await,
            None => Ok(None),
        }
    }

    /// The resource's name at the time of the move.
    async fn resource_name(&self) -> &str {
        &self.0.resource_name
    }

    /// The user who owned it before.
    async fn from(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::for_people(context, self.0.from_id, "member", self.0.id.uuid()).await
    }

    /// The user who owned it afterwards. For samples, this is still the leaver. If the directory is HIDDEN, the leaver
    /// sees a placeholder user with the username `owner` instead of the new owner.
    async fn to(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        User::who_received(context, self.0.organization_id, self.0.to_id, self.0.departure_id.uuid()).await
    }

    /// The project that a sample was collected into, if the viewer can reach it.
    async fn container(&self, context: &Context<'_>) -> async_graphql::Result<Option<Resource>> {
        match self.0.container_id {
            Some(id) => Resource::find(context, id).await,
            None => Ok(None),
        }
    }

    /// When the resource was moved.
    async fn moved_at(&self) -> DateTime<Utc> {
        self.0.moved_at
    }

    /// When a revert returned the resource.
    async fn reverted_at(&self) -> Option<DateTime<Utc>> {
        self.0.reverted_at
    }

    /// Why a revert didn't return the resource.
    async fn kept_because(&self) -> Option<&str> {
        self.0.kept_because.as_deref()
    }
}

pub struct DeparturePlan(pub departure::plan::Plan);

/// A preview of a departure: what it would do if it happened now.
#[Object]
impl DeparturePlan {
    /// The member who would leave.
    async fn member(&self) -> Member {
        Member(self.0.member.clone())
    }

    /// The way in which the membership would end.
    async fn kind(&self) -> DepartureKind {
        self.0.kind.into()
    }

    /// The user who would receive what the member owns. If the directory is HIDDEN, members see a placeholder user
    /// with the username `owner` instead.
    async fn new_owner(&self, context: &Context<'_>) -> async_graphql::Result<User> {
        let departure::plan::Plan { member, new_owner_id, .. } = &self.0;
        User::who_received(context, member.organization_id, *new_owner_id, member.id.uuid()).await
    }

    /// Every step, with the number of items that it would affect.
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

    /// Whether the departure would suspend the account, because an invitation from this organization created it and it
    /// belongs to no other organization.
    async fn suspends_account(&self) -> bool {
        self.0.suspends_account
    }

    /// The member's keys for this organization, which would stop working. A suspension also ends the keys for the
    /// account's personal organization, but those aren't shown here.
    async fn api_keys(&self) -> Vec<ApiKey> {
        self.0.api_keys.iter().cloned().map(ApiKey).collect()
    }

    /// What should be done afterwards, one sentence each, such as rotating secrets that the leaver knew.
    async fn advice(&self) -> &[String] {
        &self.0.advice
    }

    /// What prevents the departure. Empty if it is possible.
    async fn blocked_by(&self) -> Vec<UserError> {
        self.0.blocked_by.iter().cloned().map(Into::into).collect()
    }

    /// A hash of the member, their role, the new owner, the steps that apply and the blockers, but not of the counts.
    /// If it is passed as `planHash` and any of these has changed, the departure is refused with PLAN_STALE.
    async fn hash(&self) -> String {
        self.0.hash()
    }
}

/// One step of a departure plan.
#[derive(SimpleObject)]
pub struct DeparturePlanStep {
    /// The step.
    step: DepartureStep,
    /// The number of items that the step would affect.
    affects: i32,
    /// The names of some of these items.
    examples: Vec<String>,
}

connection!(DepartureConnection, DepartureEdge, Departure, "departures", total_count);
connection!(ResourceMoveConnection, ResourceMoveEdge, ResourceMove, "moves");

/// Identifies the member to remove.
#[derive(InputObject)]
pub struct RemoveMemberInput {
    /// The member.
    member_id: Id<MemberId>,
    /// The reason, up to 2000 characters. The audit log keeps it for the owner and admins; the member isn't told.
    reason: Option<String>,
    /// A message to the member, up to 2000 characters, which is included in their email.
    message_to_member: Option<String>,
    /// The hash of a departure plan. If the departure would now do something else, it is refused with PLAN_STALE.
    plan_hash: Option<String>,
}

/// The result of removing a member.
#[derive(SimpleObject, Default)]
pub struct RemoveMemberPayload {
    /// The departure. Access has already ended.
    departure: Option<Departure>,
    /// Why nobody was removed.
    user_errors: Vec<UserError>,
}
payload!(RemoveMemberPayload);

/// Identifies the member to deactivate.
#[derive(InputObject)]
pub struct DeactivateMemberInput {
    /// The member.
    member_id: Id<MemberId>,
    /// The reason, up to 2000 characters. The audit log keeps it for the owner and admins; the member isn't told.
    reason: Option<String>,
    /// A message to the member, up to 2000 characters, which is included in their email.
    message_to_member: Option<String>,
    /// The hash of a departure plan. If the departure would now do something else, it is refused with PLAN_STALE.
    plan_hash: Option<String>,
}

/// The result of deactivating a member.
#[derive(SimpleObject, Default)]
pub struct DeactivateMemberPayload {
    /// The departure. Access has already ended.
    departure: Option<Departure>,
    /// Why nobody was deactivated.
    user_errors: Vec<UserError>,
}
payload!(DeactivateMemberPayload);

/// Identifies the organization to leave.
#[derive(InputObject)]
pub struct LeaveOrganizationInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
}

/// The result of leaving an organization.
#[derive(SimpleObject, Default)]
pub struct LeaveOrganizationPayload {
    /// The departure. Access has already ended.
    departure: Option<Departure>,
    /// Why the viewer is still a member.
    user_errors: Vec<UserError>,
}
payload!(LeaveOrganizationPayload);

/// Identifies the departure to retry.
#[derive(InputObject)]
pub struct RetryDepartureInput {
    /// The departure, which must have failed.
    departure_id: Id<DepartureId>,
}

/// The result of retrying a departure.
#[derive(SimpleObject, Default)]
pub struct RetryDeparturePayload {
    /// The departure, which continues.
    departure: Option<Departure>,
    /// Why the departure doesn't continue.
    user_errors: Vec<UserError>,
}
payload!(RetryDeparturePayload);

/// Identifies the member to reactivate.
#[derive(InputObject)]
pub struct ReactivateMemberInput {
    /// The member, who must have been removed or deactivated.
    member_id: Id<MemberId>,
}

/// The result of reactivating a member.
#[derive(SimpleObject, Default)]
pub struct ReactivateMemberPayload {
    /// The member, who is active again.
    member: Option<Member>,
    /// Why the member wasn't reactivated.
    user_errors: Vec<UserError>,
}
payload!(ReactivateMemberPayload);

/// Identifies the departure to revert.
#[derive(InputObject)]
pub struct RevertDepartureInput {
    /// The departure, which must have begun within the last 30 days.
    departure_id: Id<DepartureId>,
}

/// The result of reverting a departure.
#[derive(SimpleObject, Default)]
pub struct RevertDeparturePayload {
    /// The departure, now with the status REVERTING.
    departure: Option<Departure>,
    /// Why the departure wasn't reverted.
    user_errors: Vec<UserError>,
}
payload!(RevertDeparturePayload);

/// The mutations of departures.
#[derive(Default)]
pub struct DepartureMutation;

#[Object]
impl DepartureMutation {
    /// Removes a member. Access ends at once, and the worker passes what they owned to the organization's owner.
    async fn remove_member(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The member to remove.")] input: RemoveMemberInput,
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

    /// Deactivates a member. This does the same as a removal. In addition, the account is suspended if an invitation
    /// from this organization created it and it belongs to no other organization.
    async fn deactivate_member(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The member to deactivate.")] input: DeactivateMemberInput,
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

    /// Ends the viewer's own membership. The owner can leave only after transferring the ownership.
    async fn leave_organization(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization to leave.")] input: LeaveOrganizationInput,
    ) -> async_graphql::Result<LeaveOrganizationPayload> {
        let outcome = departing::leave(database(context), actor(context)?, input.organization_id.0).await;
        Payload::of(outcome, |departure| LeaveOrganizationPayload {
            departure: Some(Departure(departure)),
            user_errors: Vec::new(),
        })
    }

    /// Reactivates a removed or deactivated member, with their role and permissions. It doesn't return anything that
    /// the departure moved.
    async fn reactivate_member(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The member to reactivate.")] input: ReactivateMemberInput,
    ) -> async_graphql::Result<ReactivateMemberPayload> {
        let outcome = departure::revert::reactivate(database(context), actor(context)?, input.member_id.0).await;
        let member = Member::loaded(context, &outcome).await?;
        Payload::of(outcome, |_| ReactivateMemberPayload { member, user_errors: Vec::new() })
    }

    /// Reverts a departure: stops its cascade, reactivates a removed or deactivated member, and has the worker return
    /// what was moved and is still where the departure put it. If the person left by themselves or has rejoined, and
    /// is a member again, it only returns what was moved.
    async fn revert_departure(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The departure to revert.")] input: RevertDepartureInput,
    ) -> async_graphql::Result<RevertDeparturePayload> {
        let outcome = departure::revert::revert(database(context), actor(context)?, input.departure_id.0).await;
        Payload::of(outcome, |departure| RevertDeparturePayload {
            departure: Some(Departure(departure)),
            user_errors: Vec::new(),
        })
    }

    /// Retries a failed departure, or its failed revert. It continues where it stopped.
    async fn retry_departure(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The departure to retry.")] input: RetryDepartureInput,
    ) -> async_graphql::Result<RetryDeparturePayload> {
        let outcome = departure::retry(database(context), actor(context)?, input.departure_id.0).await;
        Payload::of(outcome, |departure| RetryDeparturePayload {
            departure: Some(Departure(departure)),
            user_errors: Vec::new(),
        })
    }
}
