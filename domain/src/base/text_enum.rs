//! Enums that are stored as text.

/// Defines an enum whose variants are stored as the given words.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, diesel::deserialize::FromSqlRow)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word that is used in the database, the audit log and the documentation.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        $crate::base::text_enum::literal! { $name { $($variant = $word,)+ } diesel::sql_types::Text }
        $crate::base::text_enum::literal! {
            $name { $($variant = $word,)+ } diesel::sql_types::Nullable<diesel::sql_types::Text>
        }

        impl diesel::serialize::ToSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>) -> diesel::serialize::Result {
                use std::io::Write;
                out.write_all(self.as_str().as_bytes())?;
                Ok(diesel::serialize::IsNull::No)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn from_sql(bytes: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                match bytes.as_bytes() {
                    $(word if word == $word.as_bytes() => Ok(Self::$variant),)+
                    other => Err(format!("unknown {}: {:?}", stringify!($name), String::from_utf8_lossy(other)).into()),
                }
            }
        }
    };
}
pub(crate) use text_enum;

/// Writes a variant into diesel's statements as a literal. A statement that is planned without its values can use a
/// partial index of the rows with one status only if its text names that status.
macro_rules! literal {
    ($name:ident { $($variant:ident = $word:literal,)+ } $sql_type:ty) => {
        impl diesel::expression::AsExpression<$sql_type> for $name {
            type Expression = $crate::base::sql::FixedSql<$sql_type>;

            fn as_expression(self) -> Self::Expression {
                $crate::base::sql::fixed_sql(match self { $(Self::$variant => concat!("'", $word, "'"),)+ })
            }
        }

        impl diesel::expression::AsExpression<$sql_type> for &$name {
            type Expression = $crate::base::sql::FixedSql<$sql_type>;

            fn as_expression(self) -> Self::Expression {
                diesel::expression::AsExpression::<$sql_type>::as_expression(*self)
            }
        }
    };
}
pub(crate) use literal;
