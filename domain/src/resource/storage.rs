//! How much an organization's resources take up, and its plan's quota for that (R64).

use diesel::prelude::*;
use diesel::sql_types::{Bool, Numeric, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;

use crate::base::error::{Code, Error, Result};
use crate::base::id::OrganizationId;
use crate::base::sql::statement;
use crate::database::Transaction;
use crate::database::schema::organization_storage;

/// Counts bytes that come to an organization, or with a negative number go; QUOTA_EXCEEDED on `field` where they are
/// more than its plan has room for. What goes is never refused.
///
/// The count is one row per organization and locked until the commit: this comes last, right before the audit event.
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
        // The first bytes of an organization.
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

/// Counts the bytes, and whether the plan has room for what is counted then; none where nothing was counted before.
async fn count(
    transaction: &mut Transaction,
    organization_id: OrganizationId,
    bytes: Decimal,
) -> Result<Option<StorageRoom>> {
    Ok(CountBytes { organization_id, bytes }.query().get_result(&mut **transaction).await.optional()?)
}
