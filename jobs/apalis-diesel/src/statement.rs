//! SQL statements that are prepared once per connection.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::{AppearsOnTable, Expression, IntoSql, QueryResult};

/// The text of a statement, with `?` for each value.
pub(crate) trait Text: 'static {
    const SQL: &'static str;
}

/// A statement with the text `T`, which returns rows of the SQL types `R`.
///
/// `diesel::sql_query` would work too, but is parsed again at each use, which takes another round trip.
pub(crate) struct Statement<T, R = ()> {
    values: Vec<Box<dyn QueryFragment<Pg> + Send>>,
    marker: PhantomData<fn() -> (T, R)>,
}

impl<T: Text, R> Statement<T, R> {
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), marker: PhantomData }
    }

    /// Binds a value to the next `?`.
    pub(crate) fn bind<S, V>(mut self, value: V) -> Self
    where
        S: diesel::sql_types::SqlType + diesel::expression::TypedExpressionType,
        V: diesel::expression::AsExpression<S>,
        V::Expression: QueryFragment<Pg> + Expression + AppearsOnTable<()> + Send + 'static,
    {
        self.values.push(Box::new(value.into_sql::<S>()));
        self
    }
}

impl<T: Text, R> QueryFragment<Pg> for Statement<T, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut values = self.values.iter();
        for (place, text) in T::SQL.split('?').enumerate() {
            if place > 0
                && let Some(value) = values.next()
            {
                value.walk_ast(out.reborrow())?;
            }
            out.push_sql(text);
        }
        Ok(())
    }
}

impl<T: Text, R> QueryId for Statement<T, R> {
    type QueryId = T;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<T: Text, R> Query for Statement<T, R> {
    type SqlType = R;
}

/// The unique key of a row of `jobs` when it goes back to waiting. It is removed if another job with the same key is
/// already waiting.
macro_rules! unique_key_when_waiting {
    () => {
        "CASE WHEN NOT EXISTS (
             SELECT FROM jobs AS other
             WHERE other.status = 'waiting' AND other.unique_key = jobs.unique_key AND other.kind = jobs.kind)
         THEN jobs.unique_key END"
    };
}
pub(crate) use unique_key_when_waiting;

/// Whether no other job with the same serial key is running or comes first.
macro_rules! is_next_of_serial_key {
    () => {
        "(jobs.serial_key IS NULL OR (
            NOT EXISTS (
                SELECT FROM jobs AS other WHERE other.status = 'running' AND other.serial_key = jobs.serial_key)
            AND NOT EXISTS (
                SELECT FROM jobs AS other WHERE other.status = 'waiting' AND other.serial_key = jobs.serial_key
                    AND (other.scheduled_at, other.ordinal) < (jobs.scheduled_at, jobs.ordinal))))"
    };
}
pub(crate) use is_next_of_serial_key;

/// Joins valid claims to rows with `id` and `attempt`, and locks them. Claims that are locked by somebody else are
/// left out. Each row takes one lookup in the primary key, whatever the planner believes about the table.
#[cfg(feature = "worker")]
macro_rules! lock_claims {
    ($of:literal) => {
        concat!(
            "CROSS JOIN LATERAL (
                SELECT jobs.id FROM jobs
                WHERE jobs.id = ",
            $of,
            ".id AND jobs.attempt = ",
            $of,
            ".attempt AND jobs.status = 'running'
                LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
            ) AS held"
        )
    };
}
#[cfg(feature = "worker")]
pub(crate) use lock_claims;
