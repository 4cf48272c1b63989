//! Plans, credits and billing accounts of organizations.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::base::id::OrganizationId;
use rollcall_domain::organization::billing;

use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::{BigInt, Decimal, Id};
use super::organization::Organization;
use super::organization::mutations::loaded;
use super::undefined_or;

/// An organization's plan, usage and billing account.
#[derive(SimpleObject)]
pub struct Billing {
    /// The name of the billing account that pays for all members.
    pub account_name: Option<String>,
    /// The email address of the contact for invoices.
    pub contact_email: Option<String>,
    /// A reference to print on invoices, such as a cost centre.
    pub reference: Option<String>,
    /// The name of the plan.
    pub plan: String,
    /// The number of seats in the plan; null for no limit.
    pub seat_limit: Option<i32>,
    /// The number of seats in use. Each active member and each pending invitation takes one.
    pub seats_used: i64,
    /// The number of bytes that the organization's resources may take up; null for no limit.
    pub storage_limit_bytes: Option<BigInt>,
    /// The number of runs that may be in progress at the same time; null for no limit.
    pub run_limit: Option<i32>,
    /// The sum of all credits that were purchased. One credit is one US dollar.
    pub credits_purchased: Decimal,
}

/// The plan and the limits to set.
#[derive(InputObject)]
pub struct SetPlanInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// The name of the plan, 1 to 100 characters.
    plan: String,
    /// The number of seats, at least 1; null for no limit. If the limit is below the number of seats in use, nobody
    /// loses their seat.
    seat_limit: MaybeUndefined<i32>,
    /// The number of bytes that the organization's resources may take up; null for no limit. If the limit is below the
    /// current usage, nothing is deleted.
    storage_limit_bytes: MaybeUndefined<BigInt>,
    /// The number of runs that may be in progress at the same time; null for no limit.
    run_limit: MaybeUndefined<i32>,
}

/// The organization with its new plan.
#[derive(SimpleObject, Default)]
pub struct SetPlanPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why the plan wasn't changed.
    user_errors: Vec<UserError>,
}
payload!(SetPlanPayload);

/// The billing account to set. An omitted field stays as it is; null clears it.
#[derive(InputObject)]
pub struct UpdateBillingInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// The name of the billing account that pays for all members, up to 200 characters.
    account_name: MaybeUndefined<String>,
    /// The email address of the contact for invoices.
    contact_email: MaybeUndefined<String>,
    /// A reference to print on invoices, up to 200 characters.
    reference: MaybeUndefined<String>,
}

/// The organization with its new billing account.
#[derive(SimpleObject, Default)]
pub struct UpdateBillingPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateBillingPayload);

/// Credits that an organization has purchased.
#[derive(InputObject)]
pub struct AddCreditsInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// The exact number of credits, with up to four decimal places. A negative number takes credits back. One credit
    /// is one US dollar.
    amount: Decimal,
    /// A key that identifies this purchase. A purchase that is sent again with the same key isn't counted again.
    idempotency_key: String,
}

/// The organization with its new credits.
#[derive(SimpleObject, Default)]
pub struct AddCreditsPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why no credits were added.
    user_errors: Vec<UserError>,
}
payload!(AddCreditsPayload);

/// The mutations of plans, credits and billing accounts.
#[derive(Default)]
pub struct BillingMutation;

#[Object]
impl BillingMutation {
    /// Sets an organization's plan and limits. For the platform's staff only.
    async fn set_plan(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization and its new plan.")] input: SetPlanInput,
    ) -> async_graphql::Result<SetPlanPayload> {
        let command = billing::SetPlan {
            plan: input.plan,
            seat_limit: undefined_or(input.seat_limit),
            storage_limit_bytes: undefined_or(input.storage_limit_bytes).map(|bytes| bytes.map(|bytes| bytes.0)),
            run_limit: undefined_or(input.run_limit),
        };
        let outcome = billing::set_plan(database(context), actor(context)?, input.organization_id.0, &command).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| SetPlanPayload { organization, user_errors: Vec::new() })
    }

    /// Changes an organization's billing account.
    async fn update_billing(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization and its new billing account.")] input: UpdateBillingInput,
    ) -> async_graphql::Result<UpdateBillingPayload> {
        let command = billing::UpdateBilling {
            account_name: undefined_or(input.account_name),
            contact_email: undefined_or(input.contact_email),
            reference: undefined_or(input.reference),
        };
        let outcome = billing::update(database(context), actor(context)?, input.organization_id.0, &command).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| UpdateBillingPayload { organization, user_errors: Vec::new() })
    }

    /// Adds credits that an organization has purchased. For the platform's staff only.
    async fn add_credits(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The organization and the number of credits.")] input: AddCreditsInput,
    ) -> async_graphql::Result<AddCreditsPayload> {
        let (id, key) = (input.organization_id.0, &input.idempotency_key);
        let outcome = billing::add_credits(database(context), actor(context)?, id, input.amount.0, key).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| AddCreditsPayload { organization, user_errors: Vec::new() })
    }
}
