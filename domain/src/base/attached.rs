//! Lists of objects that belong to a parent, such as the grants on a resource. They are loaded for many parents with
//! one statement.

use std::collections::HashMap;

use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Untyped, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::base::error::Result;
use crate::base::id::TypedId;
use crate::base::page::{Page, PageRequest, Slice};
use crate::base::sql::{Statements, parameters};

/// An object that belongs to a parent.
pub(crate) trait Attached: FromSqlRow<Untyped, Pg> + Send + 'static {
    /// The type of the object's id.
    type Id: TypedId + serde::Serialize + serde::de::DeserializeOwned + diesel::expression::AsExpression<SqlUuid>;
    /// The type of the parent's id.
    type Parent: TypedId;
    /// The object's table. This and the column are constants, never input.
    const TABLE: &'static str;
    /// The column with the parent's id.
    const PARENT: &'static str;
    /// The condition for rows that are included.
    fn condition() -> String;
    /// The object's id.
    fn id(&self) -> Self::Id;
    /// The parent's id.
    fn parent(&self) -> Self::Parent;
}

parameters! {
    struct PageOf<'a> {
        ids: Array<SqlUuid> = &'a [Uuid],
        after: Nullable<SqlUuid> = Option<Uuid>,
        most: BigInt = i64,
    }
}

parameters! {
    struct CountOf<'a> { ids: Array<SqlUuid> = &'a [Uuid] }
}

/// A page of the objects of each parent, oldest first. Also returns the number of objects of each parent, if it is
/// requested.
pub(crate) async fn to<T: Attached>(
    connection: &mut AsyncPgConnection,
    ids: &[T::Parent],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<T::Parent, (Page<T>, i64)>> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = SqlUuid)]
        parent: Uuid,
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let slice: Slice<T::Id> = page.slice()?;
    let (table, parent, condition) = (T::TABLE, T::PARENT, T::condition());
    let uuids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    static PAGES: Statements<&str> = Statements::new();
    let page_of = |_: &&str| {
        format!(
            "SELECT a.* FROM unnest(:ids) AS k (id) CROSS JOIN LATERAL (SELECT * FROM {table} \
               WHERE {parent} = k.id AND {condition} AND (:after IS NULL OR id > :after) ORDER BY id LIMIT :most) a ORDER BY a.id"
        )
    };
    let after = slice.after.map(TypedId::uuid);
    let rows: Vec<T> =
        PAGES.with(table, page_of, PageOf { ids: &uuids, after, most: slice.fetch() }).load(connection).await?;
    static COUNTS: Statements<&str> = Statements::new();
    let count_of = |_: &&str| {
        format!(
            "SELECT {parent} AS parent, count(*) AS count FROM {table} WHERE {parent} = ANY (:ids) AND {condition} GROUP BY 1"
        )
    };
    let counts: Vec<Count> = match with_count {
        false => Vec::new(),
        true => COUNTS.with(table, count_of, CountOf { ids: &uuids }).load(connection).await?,
    };
    let counts: HashMap<Uuid, i64> = counts.into_iter().map(|row| (row.parent, row.count)).collect();
    let mut found: HashMap<T::Parent, Vec<T>> = HashMap::new();
    for row in rows {
        found.entry(row.parent()).or_default().push(row);
    }
    ids.iter()
        .map(|id| {
            let page = slice.page(found.remove(id).unwrap_or_default(), T::id)?;
            Ok((*id, (page, counts.get(&id.uuid()).copied().unwrap_or_default())))
        })
        .collect()
}
