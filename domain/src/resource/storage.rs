//! How much an organization's resources take up, and its plan's quota for that (R64).

use diesel::prelude::*;
use diesel::sql_types::{Bool, Numeric, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use rust_decimal::Decimal;

use crate::base::error::{Code, Error, Result};
use crate::base::id::OrganizationId;
use crate::database::Transaction;

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
            diesel::sql_query(
                "INSERT INTO organization_storage (organization_id, used_bytes) VALUES ($1, 0) ON CONFLICT DO NOTHING",
            )
            .bind::<SqlUuid, _>(organization_id)
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
struct Room {
    #[diesel(sql_type = Bool)]
    enough: bool,
}

/// Counts the bytes, and whether the plan has room for what is counted then; none where nothing was counted before.
async fn count(transaction: &mut Transaction, organization_id: OrganizationId, bytes: Decimal) -> Result<Option<Room>> {
    Ok(diesel::sql_query(
        "UPDATE organization_storage s SET used_bytes = s.used_bytes + $2 FROM organizations o \
         WHERE s.organization_id = $1 AND o.id = s.organization_id \
         RETURNING o.storage_limit_bytes IS NULL OR s.used_bytes <= o.storage_limit_bytes AS enough",
    )
    .bind::<SqlUuid, _>(organization_id)
    .bind::<Numeric, _>(bytes)
    .get_result(&mut **transaction)
    .await
    .optional()?)
}
