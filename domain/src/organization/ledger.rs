//! The ledger: what organizations used and what it cost (R70). It only grows.
//!
//! The database adds it up with each entry, in the same transaction: what is spent, and the totals by day and month
//! (migration `usage`). Whoever reads them together therefore reads the same moment.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Integer, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::authority::audit::{AuditAction, NewEvent};
use crate::authority::rights::Role;
use crate::base::clock;
use crate::base::credit_rates::{CreditRates, UsageKind};
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId, RunId, UsageEntryId, UserId};
use crate::base::job::MailCreditsSpent;
use crate::base::limits;
use crate::base::sql::statement;
use crate::database::schema::organization_credits;
use crate::database::{Transaction, now};

/// Something that was used.
#[derive(Debug, Clone)]
pub(crate) struct NewEntry {
    /// The entry's id.
    pub id: UsageEntryId,
    /// The organization that pays.
    pub organization_id: OrganizationId,
    /// What was used.
    pub kind: UsageKind,
    /// How much, more than zero.
    pub quantity: Decimal,
    /// The network's region.
    pub region: Option<String>,
    /// The user who used it.
    pub user_id: Option<UserId>,
    /// The workspace in which it was used.
    pub workspace_id: Option<ResourceId>,
    /// The run that used it.
    pub run_id: Option<RunId>,
    /// The key that keeps a report from counting twice, and within what it is unique.
    pub key: Option<(Uuid, String)>,
    /// When it was used.
    pub occurred_at: DateTime<Utc>,
}

impl NewEntry {
    /// The credits that it costs. Both factors are limited so that the product is exact.
    pub(crate) fn cost(&self, rates: &CreditRates) -> Decimal {
        self.quantity * rates.rate(self.kind, self.region.as_deref())
    }
}

/// What has been recorded.
pub(crate) struct Recorded {
    /// The entries that are new. Those that are missing here have keys that were used before.
    pub ids: HashSet<UsageEntryId>,
    /// Events about what the entries led to, to be recorded last.
    pub events: Vec<NewEvent>,
}

statement! {
    struct RecordUsage<'a> {
        ids: Array<SqlUuid> = Vec<UsageEntryId>,
        organizations: Array<SqlUuid> = Vec<OrganizationId>,
        kinds: Array<Text> = Vec<UsageKind>,
        quantities: Array<Numeric> = Vec<Decimal>,
        credits: Array<Numeric> = Vec<Decimal>,
        regions: Array<Nullable<Text>> = Vec<Option<&'a str>>,
        users: Array<Nullable<SqlUuid>> = Vec<Option<UserId>>,
        workspaces: Array<Nullable<SqlUuid>> = Vec<Option<ResourceId>>,
        runs: Array<Nullable<SqlUuid>> = Vec<Option<RunId>>,
        scopes: Array<Nullable<SqlUuid>> = Vec<Option<Uuid>>,
        keys: Array<Nullable<Text>> = Vec<Option<&'a str>>,
        occurred: Array<Timestamptz> = Vec<DateTime<Utc>>,
    } = include_str!("record_usage.sql")
}

/// Records entries at the deployment's rates, and lets the owner and admins know when 80 or 100 percent of what was
/// bought is spent. An entry whose key was used before is left out.
///
/// From here to the commit, the organizations' balances are locked. Callers therefore do this late.
pub(crate) async fn record(transaction: &mut Transaction, entries: &[NewEntry]) -> Result<Recorded> {
    #[derive(QueryableByName)]
    struct NewRow {
        #[diesel(sql_type = SqlUuid)]
        id: UsageEntryId,
    }
    if entries.is_empty() {
        return Ok(Recorded { ids: HashSet::new(), events: Vec::new() });
    }
    let rates = &transaction.deployment().credit_rates;
    let rows = RecordUsage {
        ids: entries.iter().map(|entry| entry.id).collect(),
        organizations: entries.iter().map(|entry| entry.organization_id).collect(),
        kinds: entries.iter().map(|entry| entry.kind).collect(),
        quantities: entries.iter().map(|entry| entry.quantity).collect(),
        credits: entries.iter().map(|entry| entry.cost(rates)).collect(),
        regions: entries.iter().map(|entry| entry.region.as_deref()).collect(),
        users: entries.iter().map(|entry| entry.user_id).collect(),
        workspaces: entries.iter().map(|entry| entry.workspace_id).collect(),
        runs: entries.iter().map(|entry| entry.run_id).collect(),
        scopes: entries.iter().map(|entry| entry.key.as_ref().map(|(scope, _)| *scope)).collect(),
        keys: entries.iter().map(|entry| entry.key.as_ref().map(|(_, key)| key.as_str())).collect(),
        occurred: entries.iter().map(|entry| entry.occurred_at).collect(),
    };
    let new: Vec<NewRow> = rows.query().load(&mut **transaction).await?;
    let ids: HashSet<UsageEntryId> = new.into_iter().map(|row| row.id).collect();
    let of_new = entries.iter().filter(|entry| ids.contains(&entry.id)).map(|entry| entry.organization_id);
    let organizations: HashSet<OrganizationId> = of_new.collect();
    let events = tell_spent(transaction, organizations.into_iter().collect()).await?;
    Ok(Recorded { ids, events })
}

statement! {
    struct TellSpent {
        organizations: Array<SqlUuid> = Vec<OrganizationId>,
        leaders: Array<Text> = Vec<Role>,
        most: diesel::sql_types::BigInt = i64,
    } = include_str!("tell_spent.sql")
}

/// Enqueues emails to the owner and admins of those organizations that have now spent 80 or 100 percent of what they
/// bought, once each (R70, R71). Returns the events about it.
pub(crate) async fn tell_spent(
    transaction: &mut Transaction,
    organizations: Vec<OrganizationId>,
) -> Result<Vec<NewEvent>> {
    #[derive(QueryableByName)]
    struct Leader {
        #[diesel(sql_type = SqlUuid)]
        organization_id: OrganizationId,
        #[diesel(sql_type = Integer)]
        percent: i32,
        #[diesel(sql_type = SqlUuid)]
        user_id: UserId,
    }
    let leaders = Role::Admin.at_least();
    let told = TellSpent { organizations, leaders, most: limits::MAX_UNPAGED };
    let leaders: Vec<Leader> = told.query().load(&mut **transaction).await?;
    if leaders.is_empty() {
        return Ok(Vec::new());
    }
    let notice = clock::uuid_of(now(transaction).await?);
    let mail = |leader: &Leader| MailCreditsSpent {
        organization_id: leader.organization_id,
        recipient_id: leader.user_id,
        percent: leader.percent,
        notice,
    };
    transaction.enqueue_all(&leaders.iter().map(mail).collect::<Vec<_>>()).await?;
    let mut told: Vec<(OrganizationId, i32)> =
        leaders.iter().map(|leader| (leader.organization_id, leader.percent)).collect();
    told.sort_unstable();
    told.dedup();
    let event = |(id, percent): (OrganizationId, i32)| {
        NewEvent::by_system(id, AuditAction::OrganizationCreditsSpent, id)
            .summary(format!("{percent} % of the credits are spent"))
            .with(json!({ "percent": percent }))
    };
    Ok(told.into_iter().map(event).collect())
}

/// Fails with QUOTA_EXCEEDED on `field` if the organization has bought credits and none are left (R70). Whoever has
/// never bought any isn't limited by them.
pub(crate) async fn require_credits(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    field: &str,
) -> Result<()> {
    let balance: Option<(i32, Decimal, Decimal)> = organization_credits::table
        .find(organization_id)
        .select((organization_credits::purchases, organization_credits::purchased, organization_credits::spent))
        .first(&mut **transaction)
        .await
        .optional()?;
    match balance {
        Some((1.., purchased, spent)) if purchased <= spent => {
            let message = "the organization's credits are spent; its owner or an admin can ask for more";
            Err(Error::refused(Code::QuotaExceeded, field, message))
        }
        Some(_) | None => Ok(()),
    }
}

/// Checks an amount of usage: its sign, its size and its digits.
pub(crate) fn require_quantity(field: &str, quantity: Decimal) -> Result<Decimal, Refusal> {
    let quantity = quantity.normalize();
    let is_right = !quantity.is_sign_negative() || quantity.is_zero();
    if is_right && quantity <= limits::MAX_USAGE && quantity.scale() <= limits::USAGE_DIGITS {
        return Ok(quantity);
    }
    let message = format!(
        "must be from 0 to {}, with at most {} digits behind the point",
        limits::MAX_USAGE,
        limits::USAGE_DIGITS
    );
    Err(Refusal::new(Code::Invalid, field, message))
}
