//! The columns with texts from outside, and the canonical form of each. `rollcall migrate` brings stored texts to that
//! form, and `rollcall admin verify` checks them.

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::base::error::Result;
use crate::base::id::{
    ApiKeyId, DepartureId, EmailChangeId, GrantId, GrantInvitationId, InvitationId, JoinCodeId, OrganizationId,
    PlatformKeyId, ResourceId, RunId, SignInRequestId, TeamId, TransferId, TypedId, UserId,
};
use crate::base::limits;
use crate::base::sql::{Statements, parameters};
use crate::base::text::unicode::{VERSION, is_blank};
use crate::base::text::{EmailAddress, fold, settled_line, settled_text};
use crate::database::schema::text_forms;

/// The canonical form of a column.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// A line that is always there.
    Name,
    /// A line that may be missing.
    Line,
    /// Several lines, which may be missing.
    Text,
    /// An email address, or a username or slug in its place.
    Address,
    /// The folded form of a name, which is in the column with this number.
    FoldedName(usize),
    /// The folded form of an email address, which is in the column with this number.
    FoldedAddress(usize),
}

/// A table with texts from outside.
struct Table {
    name: &'static str,
    key: &'static str,
    columns: &'static [(&'static str, Form)],
    /// How the table's ids are written.
    id: fn(Uuid) -> String,
}

fn id<T: TypedId>(uuid: Uuid) -> String {
    crate::base::id::to_text(T::from_uuid(uuid))
}

const TABLES: &[Table] = &[
    Table {
        name: "users",
        key: "id",
        columns: &[
            ("name", Form::Name),
            ("email", Form::Address),
            ("folded_name", Form::FoldedName(0)),
            ("folded_email", Form::FoldedAddress(1)),
        ],
        id: id::<UserId>,
    },
    Table {
        name: "organizations",
        key: "id",
        columns: &[
            ("name", Form::Name),
            ("full_name", Form::Line),
            ("description", Form::Text),
            ("location", Form::Line),
            ("sector", Form::Line),
            ("university_name", Form::Line),
            ("plan", Form::Name),
            ("billing_account_name", Form::Line),
            ("billing_contact_email", Form::Address),
            ("billing_reference", Form::Line),
        ],
        id: id::<OrganizationId>,
    },
    Table {
        name: "teams",
        key: "id",
        columns: &[("name", Form::Name), ("description", Form::Text), ("folded_name", Form::FoldedName(0))],
        id: id::<TeamId>,
    },
    Table {
        name: "resources",
        key: "id",
        columns: &[("name", Form::Name), ("description", Form::Text), ("folded_name", Form::FoldedName(0))],
        id: id::<ResourceId>,
    },
    Table { name: "runs", key: "id", columns: &[("name", Form::Name)], id: id::<RunId> },
    Table { name: "api_keys", key: "id", columns: &[("name", Form::Name)], id: id::<ApiKeyId> },
    Table { name: "platform_keys", key: "id", columns: &[("name", Form::Name)], id: id::<PlatformKeyId> },
    Table { name: "join_codes", key: "id", columns: &[("label", Form::Line)], id: id::<JoinCodeId> },
    Table {
        name: "invitations",
        key: "id",
        columns: &[("name", Form::Line), ("email", Form::Address), ("message", Form::Text)],
        id: id::<InvitationId>,
    },
    Table {
        name: "departures",
        key: "id",
        columns: &[("reason", Form::Text), ("message_to_member", Form::Text)],
        id: id::<DepartureId>,
    },
    Table { name: "grants", key: "id", columns: &[("named_as", Form::Address)], id: id::<GrantId> },
    Table { name: "grant_invitations", key: "id", columns: &[("email", Form::Address)], id: id::<GrantInvitationId> },
    Table {
        name: "project_transfers",
        key: "id",
        columns: &[("recipient_named_as", Form::Address)],
        id: id::<TransferId>,
    },
    Table {
        name: "email_changes",
        key: "id",
        columns: &[("old_email", Form::Address), ("new_email", Form::Address)],
        id: id::<EmailChangeId>,
    },
    Table { name: "sign_in_requests", key: "id", columns: &[("email", Form::Address)], id: id::<SignInRequestId> },
    Table {
        name: "account_deletions",
        key: "user_id",
        columns: &[("name", Form::Name), ("email", Form::Address)],
        id: id::<UserId>,
    },
];

/// The replacement for a name that has no visible characters.
const UNNAMED: &str = "Unnamed";

/// How many rows are read at a time.
const BATCH: i64 = 1_000;

type Values = Vec<Option<String>>;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Array<Nullable<Text>>)]
    texts: Values,
}

parameters! {
    struct ReadTexts {
        after: SqlUuid = Uuid,
        most: BigInt = i64,
    }
}

parameters! {
    struct WriteTexts<'a> {
        id: SqlUuid = Uuid,
        texts: Array<Nullable<Text>> = &'a Values,
    }
}

impl Table {
    fn column(&self, number: usize) -> &'static str {
        self.columns.get(number).map_or("", |(column, _)| column)
    }

    /// A condition for rows that may not be in canonical form. All other rows contain only ASCII, which the database
    /// can check as well as Rollcall does.
    fn suspect(&self) -> String {
        const BEYOND_ASCII: &str = r"~ '[^\x20-\x7e]'";
        let suspect = |(column, form): &(&str, Form)| match form {
            Form::Name | Form::Line => format!("{column} {BEYOND_ASCII} OR {column} <> btrim({column})"),
            Form::Text => format!(r"{column} ~ '[^\x20-\x7e\n\t]' OR {column} <> btrim({column}, E' \n\t')"),
            Form::Address => format!("{column} {BEYOND_ASCII} OR {column} <> lower({column} COLLATE \"C\")"),
            Form::FoldedName(of) => {
                let name = self.column(*of);
                format!(
                    "{column} IS DISTINCT FROM lower({name} COLLATE \"C\") OR {name} {BEYOND_ASCII} OR {name} LIKE '%  %'"
                )
            }
            Form::FoldedAddress(of) => {
                let address = self.column(*of);
                format!("{column} IS DISTINCT FROM {address} OR {address} {BEYOND_ASCII} OR {address} LIKE '%xn--%'")
            }
        };
        self.columns.iter().map(suspect).collect::<Vec<_>>().join(" OR ")
    }

    /// Reads rows after an id that may not be in canonical form.
    async fn read(&self, connection: &mut AsyncPgConnection, after: Uuid) -> QueryResult<Vec<Row>> {
        let (Self { name, key, .. }, suspect) = (self, self.suspect());
        let columns: Vec<&str> = self.columns.iter().map(|(column, _)| *column).collect();
        let columns = columns.join(", ");
        static STATEMENTS: Statements<&str> = Statements::new();
        let text = |_: &&str| {
            format!(
                "SELECT {key} AS id, ARRAY[{columns}]::text[] AS texts FROM {name} \
                 WHERE {key} > :after AND ({suspect}) ORDER BY {key} LIMIT :most"
            )
        };
        STATEMENTS.with(name, text, ReadTexts { after, most: BATCH }).load(connection).await
    }

    /// The canonical form of a row's texts.
    fn settled(&self, texts: &Values) -> Values {
        let text = |values: &Values, number: usize| values.get(number).cloned().flatten();
        let mut settled: Values = Vec::with_capacity(texts.len());
        for (number, (_, form)) in self.columns.iter().enumerate() {
            let stored = text(texts, number);
            let seen = |text: String| Some(text).filter(|text| !is_blank(text));
            settled.push(match form {
                Form::Name => stored.map(|name| seen(settled_line(&name)).unwrap_or_else(|| UNNAMED.to_owned())),
                Form::Line => stored.and_then(|line| seen(settled_line(&line))),
                Form::Text => stored.and_then(|text| seen(settled_text(&text))),
                Form::Address => stored.map(|address| match address.parse::<EmailAddress>() {
                    Ok(address) => address.to_string(),
                    Err(()) => address,
                }),
                Form::FoldedName(of) => text(&settled, *of).map(|name| fold(&name)),
                Form::FoldedAddress(of) => text(&settled, *of).map(|address| folded_address(&address)),
            });
        }
        settled
    }

    async fn write(&self, connection: &mut AsyncPgConnection, id: Uuid, texts: &Values) -> QueryResult<usize> {
        static STATEMENTS: Statements<&str> = Statements::new();
        let text = |_: &&str| {
            let set =
                |(number, (column, _)): (usize, &(&str, Form))| format!("{column} = (:texts::text[])[{}]", number + 1);
            let set: Vec<String> = self.columns.iter().enumerate().map(set).collect();
            format!("UPDATE {} SET {} WHERE {} = :id", self.name, set.join(", "), self.key)
        };
        STATEMENTS.with(self.name, text, WriteTexts { id, texts }).execute(connection).await
    }

    /// Brings a row to its canonical form. If another row already has the resulting name, this one's gets a number. If
    /// another already has the resulting email address, this one's stays as it is.
    async fn settle(&self, connection: &mut AsyncPgConnection, row: &Row) -> QueryResult<()> {
        let settled = self.settled(&row.texts);
        if settled == row.texts || !is_taken(self.write(connection, row.id, &settled).await)? {
            return Ok(());
        }
        let mut kept = settled.clone();
        for ((_, form), (kept, stored)) in self.columns.iter().zip(kept.iter_mut().zip(&row.texts)) {
            if matches!(form, Form::Address | Form::FoldedAddress(_)) {
                kept.clone_from(stored);
            }
        }
        let holds_address = kept != settled;
        let id = (self.id)(row.id);
        if holds_address {
            tracing::warn!(%id, table = self.name, "another has the same address in another form; this one is left as it is");
            is_taken(self.write(connection, row.id, &kept).await)?;
            return Ok(());
        }
        let name = settled.iter().flatten().next().cloned().unwrap_or_default();
        for number in 2.. {
            let suffix = format!(" ({number})");
            let beginning: String = name.chars().take(limits::NAME - suffix.len()).collect();
            let mut numbered = row.texts.clone();
            if let Some(name) = numbered.first_mut() {
                *name = Some(format!("{}{suffix}", beginning.trim_end()));
            }
            if !is_taken(self.write(connection, row.id, &self.settled(&numbered)).await)? {
                tracing::warn!(%id, table = self.name, number, "another has a name that looks like this one's, which got a number");
                return Ok(());
            }
        }
        Ok(())
    }
}

fn folded_address(address: &str) -> String {
    address.parse::<EmailAddress>().map_or_else(|()| fold(address), |address| address.folded())
}

/// Whether the write failed because another row already has the same value.
fn is_taken(written: QueryResult<usize>) -> QueryResult<bool> {
    match written {
        Ok(_) => Ok(false),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether everything stored has been brought to the form of this version or of a newer one.
pub(crate) async fn is_settled(connection: &mut AsyncPgConnection) -> QueryResult<bool> {
    let settled = text_forms::table.filter(text_forms::version.ge(VERSION));
    diesel::select(diesel::dsl::exists(settled)).get_result(connection).await
}

/// Brings everything stored to the form of this version. If it is interrupted, the next call continues. It must not run
/// more than once at a time.
pub(crate) async fn settle(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    if !is_settled(connection).await? {
        for table in TABLES {
            let mut after = Uuid::nil();
            loop {
                let rows = table.read(connection, after).await?;
                let Some(last) = rows.last() else { break };
                after = last.id;
                for row in &rows {
                    table.settle(connection, row).await?;
                }
            }
        }
        diesel::update(text_forms::table).set(text_forms::version.eq(VERSION)).execute(connection).await?;
    }
    Ok(())
}

/// Returns the ids of rows that aren't in canonical form.
pub(crate) async fn unsettled(connection: &mut AsyncPgConnection) -> Result<Vec<String>> {
    let mut unsettled = Vec::new();
    for table in TABLES {
        let mut after = Uuid::nil();
        loop {
            let rows = table.read(connection, after).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            let broken = rows.iter().filter(|row| table.settled(&row.texts) != row.texts);
            unsettled.extend(broken.map(|row| (table.id)(row.id)));
        }
    }
    Ok(unsettled)
}
