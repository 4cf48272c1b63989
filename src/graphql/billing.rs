//! Plans, credits, and where organizations are billed.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::base::id::OrganizationId;
use rollcall_domain::organization::billing;

use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::{BigInt, Decimal, Id};
use super::organization::Organization;
use super::organization::mutations::loaded;
use super::undefined_or;

/// What an organization has by its plan, and where it is billed.
#[derive(SimpleObject)]
pub struct Billing {
    /// Whose account pays, for all members.
    pub account_name: Option<String>,
    /// Whom to ask about bills.
    pub contact_email: Option<String>,
    /// What bills shall say, such as a cost centre.
    pub reference: Option<String>,
    /// The plan's name.
    pub plan: String,
    /// How many seats come with it; null for as many as like.
    pub seat_limit: Option<i32>,
    /// Seats in use: one for each active member, and for each open invitation.
    pub seats_used: i64,
    /// How many bytes its resources may take up; null for no limit.
    pub storage_limit_bytes: Option<BigInt>,
    /// How many runs may go on at a time; null for no limit.
    pub run_limit: Option<i32>,
    /// Credits that were bought in all; one is one US dollar.
    pub credits_purchased: Decimal,
}

/// What an organization shall have.
#[derive(InputObject)]
pub struct SetPlanInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// The plan's name, 1 to 100 characters.
    plan: String,
    /// How many seats come with it, at least 1; null for no limit. A limit below the seats in use takes no seat away.
    seat_limit: MaybeUndefined<i32>,
    /// How many bytes its resources may take up; null for no limit. A lower limit takes nothing away.
    storage_limit_bytes: MaybeUndefined<BigInt>,
    /// How many runs may go on at a time; null for no limit.
    run_limit: MaybeUndefined<i32>,
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

/// Where an organization is billed; a field left out stays as it is, and null clears it.
#[derive(InputObject)]
pub struct UpdateBillingInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// Whose account pays, up to 200 characters.
    account_name: MaybeUndefined<String>,
    /// Whom to ask about bills.
    contact_email: MaybeUndefined<String>,
    /// What bills shall say, up to 200 characters.
    reference: MaybeUndefined<String>,
}

/// An organization with where it is billed now.
#[derive(SimpleObject, Default)]
pub struct UpdateBillingPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpdateBillingPayload);

/// Credits that an organization has bought.
#[derive(InputObject)]
pub struct AddCreditsInput {
    /// The organization.
    organization_id: Id<OrganizationId>,
    /// The exact number, with up to four decimal places; negative to take some back. One credit is one US dollar.
    amount: Decimal,
    /// Names this purchase: the same counts once.
    idempotency_key: String,
}

/// An organization with its credits.
#[derive(SimpleObject, Default)]
pub struct AddCreditsPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why none were added.
    user_errors: Vec<UserError>,
}
payload!(AddCreditsPayload);

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

    /// Says where an organization is billed.
    async fn update_billing(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization, and where.")] input: UpdateBillingInput,
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

    /// Staff: adds credits that an organization has bought.
    async fn add_credits(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Which organization, how many credits.")] input: AddCreditsInput,
    ) -> async_graphql::Result<AddCreditsPayload> {
        let (id, key) = (input.organization_id.0, &input.idempotency_key);
        let outcome = billing::add_credits(database(context), actor(context)?, id, input.amount.0, key).await;
        let organization = loaded(context, &outcome).await?;
        Payload::of(outcome, |_| AddCreditsPayload { organization, user_errors: Vec::new() })
    }
}
