//! SQL with named parameters such as `:user_id`, as in psql. Only this module numbers them.
//!
//! A statement is a struct whose fields are its parameters. [`statement!`] creates the struct, and a unit test that
//! fails if the text and the fields don't name the same parameters. Statements that are assembled from parts share a
//! struct made by [`parameters!`], and each text is assembled once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use diesel::expression::{TypedExpressionType, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};
use diesel::{AppearsOnTable, Expression, QueryableByName, SelectableExpression};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager};

use crate::base::error::Result;

/// A statement with its values, ready to run. Its text is fixed, so that each connection prepares it only once. With
/// `diesel::sql_query`, it would be parsed and planned again at each use.
#[must_use]
pub(crate) struct Query<'a> {
    statement: Arc<Statement>,
    values: Vec<Box<dyn QueryFragment<Pg> + Send + 'a>>,
}

impl<'a> Query<'a> {
    /// Sets the value of the next parameter.
    pub(crate) fn bind<S, V>(mut self, value: V) -> Self
    where
        Pg: HasSqlType<S>,
        S: Send + 'a,
        V: ToSql<S, Pg> + Send + 'a,
    {
        self.values.push(Box::new(Value(value, PhantomData::<S>)));
        self
    }

    /// Loads the rows of a statement whose best plan depends on its values, such as a search. It is planned for these
    /// values, in a transaction of its own. Other statements of requests keep their one plan per connection.
    pub(crate) async fn load_planned_for_values<R>(self, connection: &mut AsyncPgConnection) -> Result<Vec<R>>
    where
        R: QueryableByName<Pg> + Send + 'static,
    {
        AnsiTransactionManager::begin_transaction(connection).await?;
        let rows = async {
            connection.batch_execute("SET LOCAL plan_cache_mode = force_custom_plan").await?;
            self.load(connection).await
        };
        match rows.await {
            Ok(rows) => {
                AnsiTransactionManager::commit_transaction(connection).await?;
                Ok(rows)
            }
            Err(error) => {
                AnsiTransactionManager::rollback_transaction(connection).await?;
                Err(error.into())
            }
        }
    }
}

impl QueryFragment<Pg> for Query<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut values = self.values.iter();
        for piece in &self.statement.pieces {
            match piece {
                Piece::Text(text) => out.push_sql(text),
                // diesel numbers values in the order in which they come, and so do the pieces.
                Piece::Value => values.next().map_or(Ok(()), |value| value.walk_ast(out.reborrow()))?,
            }
        }
        Ok(())
    }
}

impl QueryId for Query<'_> {
    // Statements are told apart by their text.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl diesel::query_builder::Query for Query<'_> {
    type SqlType = Untyped;
}

/// A value of the SQL type `S`.
struct Value<S, V>(V, PhantomData<S>);

impl<S, V> QueryFragment<Pg> for Value<S, V>
where
    Pg: HasSqlType<S>,
    V: ToSql<S, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param(&self.0)
    }
}

/// A part of a diesel statement with a fixed text. Unlike with `diesel::dsl::sql`, the statement is prepared only once.
#[derive(Debug, Clone)]
pub struct FixedSql<S> {
    text: Cow<'static, str>,
    sql_type: PhantomData<S>,
}

/// Creates a part of a statement with the SQL type `S`. The text must be SQL of our own, never input.
pub(crate) fn fixed_sql<S>(text: impl Into<Cow<'static, str>>) -> FixedSql<S> {
    FixedSql { text: text.into(), sql_type: PhantomData }
}

impl<S: TypedExpressionType> Expression for FixedSql<S> {
    type SqlType = S;
}

impl<S> QueryFragment<Pg> for FixedSql<S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(&self.text);
        Ok(())
    }
}

impl<S> QueryId for FixedSql<S> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<S, T> AppearsOnTable<T> for FixedSql<S> where Self: Expression {}
impl<S, T> SelectableExpression<T> for FixedSql<S> where Self: Expression {}

impl<S, G> ValidGrouping<G> for FixedSql<S> {
    type IsAggregate = is_aggregate::Never;
}

/// A statement of diesel's that each connection prepares only once.
#[derive(Debug)]
#[must_use]
pub(crate) struct Prepared<T>(T);

/// Makes statements be prepared only once per connection.
pub(crate) trait Prepare: Sized {
    /// Makes each connection prepare this statement only once. diesel prepares every UPDATE anew, since its text may
    /// depend on which fields are set. This is for statements whose text is always the same.
    fn prepared(self) -> Prepared<Self>;
}

impl<T: QueryFragment<Pg>> Prepare for T {
    fn prepared(self) -> Prepared<Self> {
        Prepared(self)
    }
}

impl<T: QueryFragment<Pg>> QueryFragment<Pg> for Prepared<T> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<T> QueryId for Prepared<T> {
    // Statements are told apart by their text.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T: diesel::query_builder::Query> diesel::query_builder::Query for Prepared<T> {
    type SqlType = T::SqlType;
}

/// The parameters of a statement, by name.
pub(crate) trait Parameters<'a> {
    /// The names of the parameters.
    const NAMES: &'static [&'static str];

    /// Binds the values of the named parameters to the query, in this order.
    fn bind(self, names: &[&'static str], query: Query<'a>) -> Query<'a>;
}

/// A statement's text, with its parameters numbered as PostgreSQL expects.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pieces: Vec<Piece>,
    /// The names of $1, $2 and so on.
    names: Vec<&'static str>,
}

/// A piece of a statement.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// SQL, including the numbers of parameters that occurred before.
    Text(String),
    /// The next parameter.
    Value,
}

impl Statement {
    /// Creates a statement from a text that uses all of these parameters, and no others.
    ///
    /// # Panics
    ///
    /// Panics if the text doesn't, which a unit test of each statement detects.
    pub(crate) fn new(text: &str, names: &'static [&'static str]) -> Self {
        let statement = Self::with_some(text, names);
        let unused: Vec<&str> = names.iter().copied().filter(|name| !statement.names.contains(name)).collect();
        assert!(unused.is_empty(), "parameters that a statement doesn't use: {unused:?}; it is: {text}");
        statement
    }

    /// Creates a statement from a text that uses some of these parameters, and no others.
    ///
    /// # Panics
    ///
    /// Panics if the text uses others.
    fn with_some(text: &str, known: &'static [&'static str]) -> Self {
        let mut names: Vec<&'static str> = Vec::new();
        let (mut pieces, mut sql) = (Vec::new(), String::with_capacity(text.len()));
        for token in tokens(text.trim()) {
            match token {
                Token::Text(text) => sql.push_str(text),
                Token::Space => sql.push(' '),
                Token::Parameter(name) => match names.iter().position(|known| *known == name) {
                    Some(before) => sql.push_str(&format!("${}", before + 1)),
                    None => {
                        let known = known.iter().copied().find(|known| *known == name);
                        assert!(known.is_some(), "a statement has no parameter :{name}; it is: {text}");
                        names.extend(known);
                        pieces.extend([Piece::Text(std::mem::take(&mut sql)), Piece::Value]);
                    }
                },
            }
        }
        pieces.push(Piece::Text(sql.trim_end().to_owned()));
        Self { pieces, names }
    }

    /// The statement with values for its parameters.
    pub(crate) fn with<'a>(self: &Arc<Self>, parameters: impl Parameters<'a>) -> Query<'a> {
        let query = Query { statement: self.clone(), values: Vec::with_capacity(self.names.len()) };
        parameters.bind(&self.names, query)
    }
}

/// Statements that are assembled from parts. Each is assembled once and kept under the key on which its text depends.
pub(crate) struct Statements<K>(LazyLock<RwLock<HashMap<K, Arc<Statement>>>>);

impl<K: Eq + Hash> Statements<K> {
    pub(crate) const fn new() -> Self {
        Self(LazyLock::new(RwLock::default))
    }

    /// Returns the statement for a key with the values of the parameters that its text names. The text is assembled at
    /// the first call.
    pub(crate) fn with<'a, P: Parameters<'a>>(
        &self,
        key: K,
        text: impl FnOnce(&K) -> String,
        parameters: P,
    ) -> Query<'a> {
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let statement = found.unwrap_or_else(|| {
            let made = Arc::new(Statement::with_some(&text(&key), P::NAMES));
            self.0.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(made).clone()
        });
        statement.with(parameters)
    }
}

/// A piece of SQL.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Text(&'a str),
    /// White space, and comments up to the end of their line.
    Space,
    Parameter(&'a str),
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Splits SQL into its parameters and what is between them. Quoted text stays as it is.
fn tokens(sql: &str) -> Vec<Token<'_>> {
    enum Kind {
        Text,
        Space,
        Parameter,
    }
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let until = |is_end: &dyn Fn(char) -> bool| rest.find(is_end).unwrap_or(rest.len());
        let parameter = rest.strip_prefix(':').filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
        let (length, kind) = match first {
            _ if rest.starts_with("--") => (until(&|c| c == '\n'), Kind::Space),
            _ if first.is_whitespace() => (until(&|c| !c.is_whitespace()), Kind::Space),
            _ if let Some(name) = parameter => (1 + name.find(|c| !is_word(c)).unwrap_or(name.len()), Kind::Parameter),
            // A doubled quote is treated as the beginning of the next quoted text.
            '\'' | '"' => {
                (rest.get(1..).and_then(|text| text.find(first)).map_or(rest.len(), |end| end + 2), Kind::Text)
            }
            _ if rest.starts_with("::") => (2, Kind::Text),
            _ if is_word(first) => (until(&|c| !is_word(c)), Kind::Text),
            _ => (first.len_utf8(), Kind::Text),
        };
        let (text, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let token = match kind {
            Kind::Text => Token::Text(text),
            Kind::Space => Token::Space,
            Kind::Parameter => Token::Parameter(text.trim_start_matches(':')),
        };
        if !(token == Token::Space && tokens.last() == Some(&Token::Space)) {
            tokens.push(token);
        }
        rest = behind;
    }
    tokens
}

/// Defines a struct of parameters with their SQL and Rust types, for statements that are assembled from parts.
macro_rules! parameters {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fields:tt)* }) => {
        $crate::base::sql::parameters!(@make [$(#[$meta])*] [$vis] [$name] ['q] [] { $($fields)* });
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$life:lifetime> { $($fields:tt)* }) => {
        $crate::base::sql::parameters!(@make [$(#[$meta])*] [$vis] [$name] [$life] [<$life>] { $($fields)* });
    };
    (
        @make [$($meta:tt)*] [$vis:vis] [$name:ident] [$life:lifetime] [$($generics:tt)*]
        { $($(#[$field_meta:meta])* $field:ident: $sql:ty = $rust:ty),* $(,)? }
    ) => {
        $($meta)*
        $vis struct $name $($generics)* {
            $($(#[$field_meta])* pub $field: $rust,)*
        }

        impl<$life> $crate::base::sql::Parameters<$life> for $name $($generics)* {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            fn bind(
                self,
                names: &[&'static str],
                mut query: $crate::base::sql::Query<$life>,
            ) -> $crate::base::sql::Query<$life> {
                let Self { $($field),* } = self;
                $(let mut $field = Some($field);)*
                for name in names {
                    query = match *name {
                        $(stringify!($field) => match $field.take() {
                            Some(value) => query.bind::<$sql, _>(value),
                            None => query,
                        },)*
                        _ => query,
                    };
                }
                query
            }
        }
    };
}
pub(crate) use parameters;

/// Defines a statement: a struct of its parameters, whose method `query` returns the statement with their values, and a
/// unit test that the text and the parameters fit.
macro_rules! statement {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fields:tt)* } = $text:expr) => {
        $crate::base::sql::parameters!($(#[$meta])* $vis struct $name { $($fields)* });
        $crate::base::sql::statement!(@make [$vis] [$name] ['q] [] $text);
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$life:lifetime> { $($fields:tt)* } = $text:expr) => {
        $crate::base::sql::parameters!($(#[$meta])* $vis struct $name<$life> { $($fields)* });
        $crate::base::sql::statement!(@make [$vis] [$name] [$life] [<$life>] $text);
    };
    (@make [$vis:vis] [$name:ident] [$life:lifetime] [$($generics:tt)*] $text:expr) => {
        impl<$life> $name $($generics)* {
            fn statement() -> &'static std::sync::Arc<$crate::base::sql::Statement> {
                static STATEMENT: std::sync::LazyLock<std::sync::Arc<$crate::base::sql::Statement>> =
                    std::sync::LazyLock::new(|| {
                        let names = <$name as $crate::base::sql::Parameters>::NAMES;
                        $crate::base::sql::Statement::new($text.as_ref(), names).into()
                    });
                &STATEMENT
            }

            /// The statement with these values.
            $vis fn query(self) -> $crate::base::sql::Query<$life> {
                Self::statement().with(self)
            }
        }

        #[cfg(test)]
        #[test]
        #[expect(non_snake_case, reason = "it is named for the statement")]
        fn $name() {
            $name::statement();
        }
    };
}
pub(crate) use statement;

/// Fails if one of the texts uses an unknown parameter, or if none of them uses one of these.
#[cfg(test)]
pub(crate) fn require_fit<'a, P: Parameters<'a>>(texts: impl IntoIterator<Item = String>) {
    let statements: Vec<Statement> = texts.into_iter().map(|text| Statement::with_some(&text, P::NAMES)).collect();
    for name in P::NAMES {
        assert!(statements.iter().any(|statement| statement.names.contains(name)), "nothing uses :{name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: &[&str] = &["user_id", "most"];

    #[test]
    fn parameters_are_numbered_as_they_come() {
        let statement = Statement::new(
            "SELECT id, ':most'::text -- not :this\n  FROM a WHERE user_id = :user_id\n AND (b < :most OR c = :user_id)",
            NAMES,
        );
        let text = |text: &str| Piece::Text(text.to_owned());
        let pieces = vec![
            text("SELECT id, ':most'::text FROM a WHERE user_id = "),
            Piece::Value,
            text(" AND (b < "),
            Piece::Value,
            text(" OR c = $1)"),
        ];
        assert_eq!(statement, Statement { pieces, names: vec!["user_id", "most"] });
    }

    #[test]
    #[should_panic(expected = "doesn't use: [\"most\"]")]
    fn a_parameter_that_nothing_uses_is_found() {
        Statement::new("SELECT :user_id", NAMES);
    }

    #[test]
    #[should_panic(expected = "no parameter :user")]
    fn a_parameter_that_is_missing_is_found() {
        Statement::new("SELECT :user_id, :most, :user", NAMES);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".*") {
            let _ = tokens(&text);
        }
    }
}
