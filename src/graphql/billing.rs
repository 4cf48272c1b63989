//! Plans and seats.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::billing;
use rollcall_domain::id::OrganizationId;

use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::Id;
use super::organization::{self, Organization};
use super::undefined_or;

/// What an organization has by its plan.
#[derive(SimpleObject)]
pub struct Billing {
    /// The plan's name.
    pub plan: String,
    /// How many seats come with it; null for as many as like.
    pub seat_limit: Option<i32>,
    /// Seats in use: one for each active member, and for each open invitation.
    pub seats_used: i64,
}

/// What an organization shall have.
#[derive(InputObject)]
pub struct SetPlanInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// The plan's name, 1 to 100 characters.
    plan: String,
    /// How many seats come with it, at least 1; null for as many as like. A limit below the seats in use takes nobody's away.
    seat_limit: MaybeUndefined<i32>,
}

/// An organization with its plan as it is now.
#[derive(SimpleObject, Default)]
pub struct SetPlanPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why the plan is the same.
    user_errors: Vec<UserError>,
}
payload!(SetPlanPayload);

/// Billing.
#[derive(Default)]
pub struct BillingMutation;

#[Object]
impl BillingMutation {
    /// Staff: gives an organization a plan.
    async fn set_plan(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization, which plan.")] input: SetPlanInput,
    ) -> async_graphql::Result<SetPlanPayload> {
        let command = billing::SetPlan { plan: input.plan, seat_limit: undefined_or(input.seat_limit) };
        let outcome = billing::set_plan(database(context), actor(context)?, input.organization_id.0, &command).await;
        let organization = organization::loaded(context, &outcome).await?;
        Payload::of(outcome, |_| SetPlanPayload { organization, user_errors: Vec::new() })
    }
}
