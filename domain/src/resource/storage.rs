//! The storage that an organization's resources take up, and the quota of its plan (R64).

use diesel::prelude::*;
use diesel::sql_types::{Bool, Numeric, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;

use crate::base::error::{Code, Error, Result};
use crate::base::id::OrganizationId;
use crate::base::sql::statement;
use crate::database::Transaction;
use crate::database::schema::organization_storage;

/// Counts bytes that are added to an organization or, if negative, removed. Fails with QUOTA_EXCEEDED on `field` if its
/// plan has no room for them. Removing is never refused.
///
/// The count is one row per organization, which stays locked until the commit. Callers therefore do this last, right
/// before recording the audit event.
pub(crate) async fn change(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    bytes: Decimal,
    field: &str,
) -> Result<()> {
    if bytes.is_zero() {
        return Ok(());
    }
    let counted = count(transaction, organization_id, bytes).await?;
    let room = match counted {
        Some(room) => room,
        // These are the organization's first bytes.
        None => {
            diesel::insert_into(organization_storage::table)
                .values((
                    organization_storage::organization_id.eq(organization_id),
                    organization_storage::used_bytes.eq(Decimal::ZERO),
                ))
                .on_conflict_do_nothing()
                .execute(&mut **transaction)
                .await?;
            let counted = count(transaction, organization_id, bytes).await?;
            counted.ok_or(Error::Bug("an organization's storage is counted in a row"))?
        }
    };
    if bytes.is_sign_positive() && !room.enough {
        let message = "the organization's plan has no room for this; free some, or ask for a larger quota";
        return Err(Error::refused(Code::QuotaExceeded, field, message));
    }
    Ok(())
}

#[derive(QueryableByName)]
struct StorageRoom {
    #[diesel(sql_type = Bool)]
    enough: bool,
}

statement! {
    struct CountBytes {
        organization_id: SqlUuid = OrganizationId,
        bytes: Numeric = Decimal,
    } = include_str!("count_bytes.sql")
}

/// Counts the bytes, and returns whether the new total is within the plan's limit. Returns `None` if the organization
/// has no row yet.
async fn count(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    bytes: Decimal,
) -> Result<Option<StorageRoom>> {
    Ok(CountBytes { organization_id, bytes }.query().get_result(&mut **transaction).await.optional()?)
}
