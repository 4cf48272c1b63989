//! Lists of what hangs on resources, such as grants and links: of many resources with one statement.

use std::collections::HashMap;

use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Untyped, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;
use crate::id::{ResourceId, TypedId};
use crate::page::{Page, PageRequest, Slice};

/// What hangs on a resource.
pub(crate) trait Attached: FromSqlRow<Untyped, Pg> + Send + 'static {
    /// Its id's type.
    type Id: TypedId + serde::Serialize + serde::de::DeserializeOwned + diesel::expression::AsExpression<SqlUuid>;
    /// Its table, and which of it count: ours, never input.
    const TABLE: &'static str;
    /// Which rows count.
    const CONDITION: &'static str;
    /// Its id.
    fn id(&self) -> Self::Id;
    /// Of which resource.
    fn resource_id(&self) -> ResourceId;
}

/// A page of what hangs on each of the resources, oldest first, and how many there are in all where that is asked.
pub(crate) async fn of_resources<T: Attached>(
    connection: &mut AsyncPgConnection,
    ids: &[ResourceId],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<ResourceId, (Page<T>, i64)>> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = SqlUuid)]
        resource_id: ResourceId,
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let slice: Slice<T::Id> = page.slice()?;
    let (table, condition) = (T::TABLE, T::CONDITION);
    let rows: Vec<T> = diesel::sql_query(format!(
        "SELECT a.* FROM unnest($1) AS k (id) CROSS JOIN LATERAL (SELECT * FROM {table} \
           WHERE resource_id = k.id AND {condition} AND ($2 IS NULL OR id > $2) ORDER BY id LIMIT $3) a ORDER BY a.id"
    ))
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Nullable<SqlUuid>, _>(slice.after.map(TypedId::uuid))
    .bind::<BigInt, _>(slice.fetch())
    .load(connection)
    .await?;
    let counts: Vec<Count> = match with_count {
        false => Vec::new(),
        true => {
            diesel::sql_query(format!(
                "SELECT resource_id, count(*) AS count FROM {table} WHERE resource_id = ANY ($1) AND {condition} GROUP BY resource_id"
            ))
            .bind::<Array<SqlUuid>, _>(ids)
            .load(connection)
            .await?
        }
    };
    let counts: HashMap<ResourceId, i64> = counts.into_iter().map(|row| (row.resource_id, row.count)).collect();
    let mut found: HashMap<ResourceId, Vec<T>> = HashMap::new();
    for row in rows {
        found.entry(row.resource_id()).or_default().push(row);
    }
    ids.iter()
        .map(|id| {
            let page = slice.page(found.remove(id).unwrap_or_default(), T::id)?;
            Ok((*id, (page, counts.get(id).copied().unwrap_or_default())))
        })
        .collect()
}
