//! Plans (R64), billing accounts (R63) and credits of organizations.
//!
//! Each active member and each pending invitation takes a seat, so that there is a seat for everyone who was invited.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::membership::MemberStatus;
use crate::authority::platform::PlatformScope;
use crate::authority::rights::{Action, Role};
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{CreditPurchaseId, OrganizationId};
use crate::base::limits;
use crate::base::run_kind::RunKind;
use crate::base::text::{self, EmailAddress};
use crate::database::schema::{credit_purchases, members, organizations, run_limits};
use crate::database::{Database, Transaction, rollcall_now};
use crate::membership::organization::{self, Organization};
use crate::organization::ledger;

/// The plan and limits to set.
#[derive(Debug)]
pub struct SetPlan {
    /// The plan's name, as the platform calls it.
    pub plan: String,
    /// The number of seats. `Some(None)` removes the limit, and `None` leaves it as it is.
    pub seat_limit: Option<Option<i32>>,
    /// The number of bytes that the organization's resources may take up. `Some(None)` and `None` mean the same as for
    /// seats.
    pub storage_limit_bytes: Option<Option<i64>>,
    /// The number of runs that may be in progress at the same time. `Some(None)` and `None` mean the same as for
    /// seats.
    pub run_limit: Option<Option<i32>>,
    /// The number of runs of each kind that may be in progress at the same time (R79). Kinds that aren't in the list
    /// have no limit of their own; `None` leaves all of them as they are.
    pub run_limits: Option<Vec<(RunKind, i32)>>,
    /// The number of workspaces (R79). `Some(None)` and `None` mean the same as for seats.
    pub workspace_limit: Option<Option<i32>>,
}

/// Checks the limits of the kinds.
fn require_run_limits(given: &[(RunKind, i32)]) -> Result<(), Refusal> {
    for (position, (kind, limit)) in given.iter().enumerate() {
        let wrong = match given.iter().take(position).any(|(other, _)| other == kind) {
            true => Some("this kind has a limit in the list already"),
            false => (*limit < 0).then_some("must not be negative; leave the kind out for no limit"),
        };
        if let Some(message) = wrong {
            let refusal = Refusal::new(Code::Invalid, "limit", message);
            return Err(refusal.within(["runLimits", &position.to_string()]));
        }
    }
    Ok(())
}

/// Replaces the limits of the kinds.
async fn set_run_limits(transaction: &mut Transaction, id: OrganizationId, limits: &[(RunKind, i32)]) -> Result<()> {
    diesel::delete(run_limits::table.filter(run_limits::organization_id.eq(id))).execute(&mut **transaction).await?;
    let rows: Vec<_> = limits
        .iter()
        .map(|(kind, limit)| {
            (run_limits::organization_id.eq(id), run_limits::kind.eq(*kind), run_limits::run_limit.eq(*limit))
        })
        .collect();
    if !rows.is_empty() {
        diesel::insert_into(run_limits::table).values(rows).execute(&mut **transaction).await?;
    }
    Ok(())
}

/// The limits of a plan, once they are set.
#[derive(Queryable, Selectable)]
#[diesel(table_name = organizations)]
struct SetLimits {
    seat_limit: Option<i32>,
    storage_limit_bytes: Option<i64>,
    run_limit: Option<i32>,
    workspace_limit: Option<i32>,
}

/// Sets an organization's plan, on behalf of staff or the platform. A limit that is below the current usage takes
/// nothing away; it only prevents further usage.
pub async fn set_plan(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    command: &SetPlan,
) -> Result<OrganizationId> {
    actor.operator(PlatformScope::OrganizationsWrite, Some(id), "organizationId", "ask them")?;
    let plan = text::line("plan", &command.plan, limits::NAME)?;
    if command.seat_limit.flatten().is_some_and(|seats| seats < 1) {
        return Err(Error::refused(Code::Invalid, "seatLimit", "must be at least 1; null is for no limit"));
    }
    if command.storage_limit_bytes.flatten().is_some_and(|bytes| bytes < 0) {
        return Err(Error::refused(Code::Invalid, "storageLimitBytes", "must not be negative; null is for no limit"));
    }
    if command.run_limit.flatten().is_some_and(|runs| runs < 0) {
        return Err(Error::refused(Code::Invalid, "runLimit", "must not be negative; null is for no limit"));
    }
    if command.workspace_limit.flatten().is_some_and(|workspaces| workspaces < 0) {
        return Err(Error::refused(Code::Invalid, "workspaceLimit", "must not be negative; null is for no limit"));
    }
    if let Some(limits) = &command.run_limits {
        require_run_limits(limits)?;
    }
    database
        .transaction(async |transaction| {
            if !access::lock_organization(transaction, id).await? {
                return Err(Error::refused(Code::NotFound, "organizationId", "there is no such organization"));
            }
            let set: SetLimits = diesel::update(organizations::table.find(id))
                .set((
                    organizations::plan.eq(&plan),
                    command.seat_limit.map(|limit| organizations::seat_limit.eq(limit)),
                    command.storage_limit_bytes.map(|limit| organizations::storage_limit_bytes.eq(limit)),
                    command.run_limit.map(|limit| organizations::run_limit.eq(limit)),
                    command.workspace_limit.map(|limit| organizations::workspace_limit.eq(limit)),
                ))
                .returning(SetLimits::as_returning())
                .get_result(&mut **transaction)
                .await?;
            if let Some(limits) = &command.run_limits {
                set_run_limits(transaction, id, limits).await?;
            }
            let of_kinds: Vec<(RunKind, i32)> = run_limits::table
                .filter(run_limits::organization_id.eq(id))
                .order(run_limits::kind)
                .select((run_limits::kind, run_limits::run_limit))
                .load(&mut **transaction)
                .await?;
            let of_kinds = of_kinds.into_iter().map(|(kind, limit)| (kind.as_str().to_owned(), Value::from(limit)));
            let event = NewEvent::by(actor, id, AuditAction::OrganizationPlanSet, id)
                .summary(format!("gave the organization the plan {plan}"))
                .with(json!({ "plan": plan, "seatLimit": set.seat_limit, "storageLimitBytes": set.storage_limit_bytes,
                    "runLimit": set.run_limit, "runLimits": Value::Object(of_kinds.collect()),
                    "workspaceLimit": set.workspace_limit }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// The changes to a billing account. `None` leaves a field as it is, and `Some(None)` clears it.
#[derive(Debug, Default)]
pub struct UpdateBilling {
    /// The name of the billing account.
    pub account_name: Option<Option<String>>,
    /// The email address of the contact for invoices.
    pub contact_email: Option<Option<String>>,
    /// A reference to print on invoices.
    pub reference: Option<Option<String>>,
}

/// Changes an organization's billing account, which pays for all of its members (R63). Requires
/// [`Action::ManageBilling`].
pub async fn update(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    command: &UpdateBilling,
) -> Result<OrganizationId> {
    let line = |field: &str, text: &Option<Option<String>>| {
        text.as_ref().map(|text| text::optional_line(field, text.as_deref(), limits::LINE)).transpose()
    };
    let account_name = line("accountName", &command.account_name)?;
    let reference = line("reference", &command.reference)?;
    let contact_email = line("contactEmail", &command.contact_email)?
        .map(|email| email.map(|email| EmailAddress::parse("contactEmail", &email)).transpose())
        .transpose()?;
    database
        .transaction(async |transaction| {
            let (lock, action) = (Lock::Organization, Action::ManageBilling);
            access::authorize(transaction, actor, id, lock, action, "organizationId").await?;
            #[derive(AsChangeset)]
            #[diesel(table_name = organizations)]
            struct Changes<'a> {
                billing_account_name: Option<Option<&'a str>>,
                billing_contact_email: Option<Option<&'a EmailAddress>>,
                billing_reference: Option<Option<&'a str>>,
            }
            let changes = Changes {
                billing_account_name: account_name.as_ref().map(Option::as_deref),
                billing_contact_email: contact_email.as_ref().map(Option::as_ref),
                billing_reference: reference.as_ref().map(Option::as_deref),
            };
            // Without any change, there would be no statement to execute.
            if account_name.is_some() || contact_email.is_some() || reference.is_some() {
                diesel::update(organizations::table.find(id)).set(changes).execute(&mut **transaction).await?;
            }
            let event = NewEvent::by(actor, id, AuditAction::OrganizationBillingUpdated, id)
                .summary("said where the organization is billed");
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Adds credits that an organization has purchased, on behalf of staff. A negative amount takes credits back. A
/// purchase with the same key isn't counted again.
///
/// INVALID for zero, for more than four decimal places, and for an amount that no invoice would have; CONFLICT if the
/// key was used with another amount.
pub async fn add_credits(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    amount: Decimal,
    idempotency_key: &str,
) -> Result<OrganizationId> {
    actor.require_staff("organizationId", "ask them")?;
    let key = text::line("idempotencyKey", idempotency_key, limits::LINE)?;
    let amount = amount.normalize();
    if amount.is_zero() || amount.scale() > limits::CREDIT_DIGITS || amount.abs() > limits::MAX_CREDITS {
        let message = format!(
            "must be an amount other than 0, of at most {} either way, with at most {} digits behind the point",
            limits::MAX_CREDITS,
            limits::CREDIT_DIGITS
        );
        return Err(Error::refused(Code::Invalid, "amount", message));
    }
    database
        .transaction(async |transaction| {
            if !access::lock_organization(transaction, id).await? {
                return Err(Error::refused(Code::NotFound, "organizationId", "there is no such organization"));
            }
            // The lock prevents the same key from being used twice at the same time.
            let before: Option<Decimal> = credit_purchases::table
                .filter(credit_purchases::organization_id.eq(id))
                .filter(credit_purchases::idempotency_key.eq(&key))
                .select(credit_purchases::amount)
                .first(&mut **transaction)
                .await
                .optional()?;
            match before {
                Some(before) if before == amount => return Ok(id),
                Some(before) => {
                    let message = format!("this key came with {} before; take a new key", before.normalize());
                    return Err(Error::refused(Code::Conflict, "idempotencyKey", message));
                }
                None => {}
            }
            diesel::insert_into(credit_purchases::table)
                .values((
                    credit_purchases::id.eq(CreditPurchaseId::new()),
                    credit_purchases::organization_id.eq(id),
                    credit_purchases::idempotency_key.eq(&key),
                    credit_purchases::amount.eq(amount),
                    credit_purchases::created_at.eq(rollcall_now()),
                ))
                .execute(&mut **transaction)
                .await?;
            // Credits that are taken back may have been spent.
            let told = ledger::tell_spent(transaction, vec![id]).await?;
            let event = NewEvent::by(actor, id, AuditAction::OrganizationCreditsAdded, id)
                .summary(format!("added {amount} credits"))
                .with(json!({ "amount": amount.to_string(), "idempotencyKey": key }));
            audit::record(transaction, [event].into_iter().chain(told)).await?;
            Ok(id)
        })
        .await
}

diesel::define_sql_function! {
    /// SQL's `lower`, for an order that people see.
    fn lower(text: diesel::sql_types::Text) -> diesel::sql_types::Text;
}

/// The organizations that the actor may bill to (R55): first the personal one, then the others by name, up to the
/// limit for lists without pagination. For an API key, it is at most the key's organization.
pub async fn billable_organizations(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
) -> Result<Vec<(Organization, Permit)>> {
    let Some(reach) = actor.reach() else { return Ok(Vec::new()) };
    let (roles, roles_with_permission) = (Role::that_may_bill(false), Role::that_may_bill(true));
    let query = members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(members::user_id.eq(reach.user_id()))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(
            members::role
                .eq_any(roles)
                .or(members::billable_activities.and(members::role.eq_any(roles_with_permission))),
        )
        .filter(organizations::deleted_at.is_null())
        .select(members::organization_id)
        .order((organizations::personal_user_id.is_null(), lower(organizations::name), organizations::id))
        .limit(limits::MAX_UNPAGED)
        .into_boxed();
    let query = match reach.within().ids() {
        Some(ids) => query.filter(organizations::id.eq_any(ids.to_vec())),
        None => query,
    };
    let ids: Vec<OrganizationId> = query.load(connection).await?;
    let keys: Vec<_> = ids.into_iter().map(|id| (actor.clone(), id)).collect();
    let found = organization::organizations_with_permits(connection, &keys).await?;
    let may_bill = |(_, organization, permit): (Actor, Organization, Option<Permit>)| {
        Some((organization, permit.filter(Permit::may_bill)?))
    };
    Ok(found.into_iter().filter_map(may_bill).collect())
}
