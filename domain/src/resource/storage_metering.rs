//! Metering of storage: once a day, what each organization's resources take up goes into its ledger (R70).
//!
//! A day is metered once it is over, by the sizes of that moment. If no worker was running then, it is made up for
//! later, by the sizes of then. A row for each day, which is locked meanwhile, keeps two workers from metering the same
//! one.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Date, Nullable, Numeric, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;

use crate::authority::audit;
use crate::base::credit_rates::UsageKind;
use crate::base::error::Result;
use crate::base::id::{OrganizationId, ResourceId, UsageEntryId, UserId};
use crate::base::limits;
use crate::base::sql::{Prepare as _, statement};
use crate::database::schema::metered_days;
use crate::database::{Transaction, rollcall_now};
use crate::organization::ledger::{self, NewEntry};

statement! {
    struct BeginDay {} = include_str!("begin_metered_day.sql")
}

statement! {
    struct StoringOrganizations {
        day: Date = NaiveDate,
        after: Nullable<SqlUuid> = Option<OrganizationId>,
        most: BigInt = i64,
    } = include_str!("storing_organizations.sql")
}

statement! {
    struct StoredBytes {
        organizations: Array<SqlUuid> = Vec<OrganizationId>,
        day: Date = NaiveDate,
    } = include_str!("stored_bytes.sql")
}

#[derive(QueryableByName)]
struct Storing {
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
}

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = SqlUuid)]
    organization_id: OrganizationId,
    #[diesel(sql_type = SqlUuid)]
    owner_id: UserId,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    workspace_id: Option<ResourceId>,
    #[diesel(sql_type = Numeric)]
    gb_months: Decimal,
}

/// Meters the storage of some organizations for the earliest day that isn't done. Returns how many, or `None` if every
/// day is done or in the hands of another worker.
pub(crate) async fn meter(transaction: &mut Transaction) -> Result<Option<usize>> {
    BeginDay {}.query().execute(&mut **transaction).await?;
    let begun: Option<(NaiveDate, Option<OrganizationId>)> = metered_days::table
        .filter(metered_days::completed_at.is_null())
        .order(metered_days::day)
        .select((metered_days::day, metered_days::reached_id))
        .for_no_key_update()
        .skip_locked()
        .first(&mut **transaction)
        .await
        .optional()?;
    let Some((day, after)) = begun else { return Ok(None) };
    let most = limits::METERED_ORGANIZATIONS;
    let storing: Vec<Storing> = StoringOrganizations { day, after, most }.query().load(&mut **transaction).await?;
    let ids: Vec<OrganizationId> = storing.iter().map(|storing| storing.organization_id).collect();
    let (number, reached) = (ids.len(), ids.last().copied().or(after));
    let is_last = i64::try_from(number).is_ok_and(|number| number < most);
    let day_row = metered_days::table.find(day);
    match is_last {
        true => {
            let done = diesel::update(day_row)
                .set((metered_days::reached_id.eq(reached), metered_days::completed_at.eq(rollcall_now().nullable())));
            done.prepared().execute(&mut **transaction).await?;
        }
        false => {
            let further = diesel::update(day_row).set(metered_days::reached_id.eq(reached));
            further.prepared().execute(&mut **transaction).await?;
        }
    }
    let occurred_at: DateTime<Utc> = day.and_time(NaiveTime::MIN).and_utc();
    let stored: Vec<Stored> = StoredBytes { organizations: ids, day }.query().load(&mut **transaction).await?;
    let entry = |stored: Stored| NewEntry {
        id: UsageEntryId::new(),
        organization_id: stored.organization_id,
        kind: UsageKind::StorageGbMonths,
        quantity: stored.gb_months,
        region: None,
        user_id: Some(stored.owner_id),
        workspace_id: stored.workspace_id,
        run_id: None,
        key: None,
        occurred_at,
    };
    let entries: Vec<NewEntry> = stored.into_iter().map(entry).collect();
    let recorded = ledger::record(transaction, &entries).await?;
    audit::record(transaction, recorded.events).await?;
    Ok(Some(number))
}
