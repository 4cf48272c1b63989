//! Plans, credits and billing accounts of organizations.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use rollcall_domain::base::id::OrganizationId;
use rollcall_domain::base::run_kind;
use rollcall_domain::database::deployment::Deployment;
use rollcall_domain::membership::organization;
use rollcall_domain::organization::usage::Overview;
use rollcall_domain::organization::{billing, usage};

use super::context::{actor, database};
use super::error::{Payload, UserError, payload};
use super::id::{BigInt, Decimal, Id};
use super::organization::Organization;
use super::organization::mutations::loaded;
use super::run::RunKind;
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
    /// The number of bytes that they take up.
    pub storage_used_bytes: BigInt,
    /// The number of runs that may be in progress at the same time, of all kinds together; null for no limit. Runs that
    /// wait count as well.
    pub run_limit: Option<i32>,
    /// The number of runs that count towards the limit at this moment.
    pub runs_used: i64,
    /// The limits of the kinds that have one of their own, besides `runLimit`.
    pub run_limits: Vec<RunLimit>,
    /// The number of workspaces that the organization may have; null for no limit.
    pub workspace_limit: Option<i32>,
    /// The number of workspaces that it has.
    pub workspaces_used: i64,
    /// The sum of all credits that were purchased. One credit is one US dollar.
    pub credits_purchased: Decimal,
    /// Where the organization can ask for a larger plan, if the deployment has such a page. `requestUpgrade` asks by
    /// email.
    pub upgrade_url: Option<String>,
}

/// The limit for runs of one kind.
#[derive(SimpleObject)]
pub struct RunLimit {
    /// The kind.
    pub kind: RunKind,
    /// The number of runs of this kind that may be in progress at the same time. Runs that wait count as well.
    pub limit: i32,
    /// The number of runs that count towards the limit at this moment.
    pub used: i64,
}

impl Billing {
    /// The billing of an organization, with what it uses.
    pub fn of(
        organization: &organization::Organization,
        seats_used: i64,
        overview: &Overview,
        deployment: &Deployment,
    ) -> Self {
        let account = &organization.billing_account;
        let limit = |(kind, limit): &(run_kind::RunKind, i32)| RunLimit {
            kind: (*kind).into(),
            limit: *limit,
            used: overview.runs_under_way(Some(*kind)),
        };
        Self {
            account_name: account.billing_account_name.clone(),
            contact_email: account.billing_contact_email.as_ref().map(ToString::to_string),
            reference: account.billing_reference.clone(),
            plan: organization.plan.clone(),
            seat_limit: organization.seat_limit,
            seats_used,
            storage_limit_bytes: organization.storage_limit_bytes.map(BigInt),
            storage_used_bytes: BigInt(usage::whole(overview.storage_bytes)),
            run_limit: organization.run_limit,
            runs_used: overview.runs_under_way(None),
            run_limits: overview.run_limits.iter().map(limit).collect(),
            workspace_limit: organization.workspace_limit,
            workspaces_used: overview.workspaces,
            credits_purchased: Decimal(overview.purchased),
            upgrade_url: deployment.upgrade_url.clone(),
        }
    }
}

/// A limit for runs of one kind.
#[derive(InputObject)]
pub struct RunLimitInput {
    /// The kind.
    kind: RunKind,
    /// The number of runs of this kind that may be in progress at the same time, at least 0.
    limit: i32,
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
    /// The number of runs of single kinds that may be in progress at the same time, besides `runLimit`. Kinds that
    /// aren't in the list have no limit of their own, and null removes all of them.
    run_limits: MaybeUndefined<Vec<RunLimitInput>>,
    /// The number of workspaces, at least 0; null for no limit. If the limit is below the current number, nothing is
    /// deleted.
    workspace_limit: MaybeUndefined<i32>,
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
            run_limits: undefined_or(input.run_limits).map(|limits| {
                limits.unwrap_or_default().into_iter().map(|limit| (limit.kind.into(), limit.limit)).collect()
            }),
            workspace_limit: undefined_or(input.workspace_limit),
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
