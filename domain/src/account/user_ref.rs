//! How a platform names accounts: by Rollcall's id or the platform's own, by address or by username (R87).

use std::collections::HashMap;

use diesel::QueryableByName;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::account::user::{self, User};
use crate::authority::access;
use crate::base::error::{Code, Refusal, Result};
use crate::base::id::UserId;
use crate::base::sql::statement;
use crate::base::text::{self, EmailAddress, Username};
use crate::database::Transaction;

/// An account, as somebody named it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UserRef {
    /// By its id.
    Id(UserId),
    /// By the platform's own id.
    ExternalId(String),
    /// By its email address.
    Email(String),
    /// By its username.
    Username(String),
}

impl UserRef {
    /// The input field that names the account.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Id(_) => "id",
            Self::ExternalId(_) => "externalId",
            Self::Email(_) => "email",
            Self::Username(_) => "username",
        }
    }
}

/// Finds the account that whoever runs the deployment names, without checking who asks.
///
/// # Errors
///
/// NOT_FOUND on `user`.
pub(crate) async fn find_named(transaction: &mut Transaction, named: &UserRef) -> Result<UserId> {
    let found = resolve(transaction, std::slice::from_ref(named)).await?.remove(named);
    Ok(found.ok_or_else(|| not_found(named))?)
}

/// Finds and locks the account that whoever runs the deployment names, without checking who asks.
///
/// # Errors
///
/// NOT_FOUND on `user`.
pub(crate) async fn lock_named(transaction: &mut Transaction, named: &UserRef) -> Result<User> {
    let id = find_named(transaction, named).await?;
    access::lock_users(transaction, &[id]).await?;
    // It may just have been deleted.
    let user = user::by_id(transaction, id).await?;
    Ok(Some(user).filter(|user| user.deleted_at.is_none()).ok_or_else(|| not_found(named))?)
}

fn not_found(named: &UserRef) -> Refusal {
    Refusal::new(Code::NotFound, named.field(), "there is no such account").within(["user"])
}

statement! {
    struct UsersNamed {
        ids: Array<SqlUuid> = Vec<UserId>,
        external_ids: Array<Text> = Vec<String>,
        emails: Array<Text> = Vec<EmailAddress>,
        usernames: Array<Text> = Vec<Username>,
    } = "SELECT 'id' AS by, u.id::text AS name, u.id FROM users u WHERE u.id = ANY (:ids) AND u.deleted_at IS NULL \
         UNION ALL SELECT 'external_id', u.external_id, u.id FROM users u \
           WHERE u.external_id = ANY (:external_ids) AND u.deleted_at IS NULL \
         UNION ALL SELECT 'email', u.email, u.id FROM users u WHERE u.email = ANY (:emails) AND u.deleted_at IS NULL \
         UNION ALL SELECT 'username', u.username, u.id FROM users u WHERE u.username = ANY (:usernames) AND u.deleted_at IS NULL"
}

/// Finds the accounts that are named, with one statement, without checking who asks. Deleted accounts aren't found, and
/// texts that can't be a name find nothing.
pub async fn resolve(connection: &mut AsyncPgConnection, named: &[UserRef]) -> Result<HashMap<UserRef, UserId>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        by: String,
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = SqlUuid)]
        id: UserId,
    }
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let mut asked = UsersNamed { ids: Vec::new(), external_ids: Vec::new(), emails: Vec::new(), usernames: Vec::new() };
    // An address or a username is found however it is written.
    let mut addresses: HashMap<EmailAddress, Vec<&UserRef>> = HashMap::new();
    let mut usernames: HashMap<Username, Vec<&UserRef>> = HashMap::new();
    for name in named {
        match name {
            UserRef::Id(id) => asked.ids.push(*id),
            UserRef::ExternalId(id) => asked.external_ids.push(text::storable(id)),
            UserRef::Email(email) => {
                if let Ok(email) = EmailAddress::parse("email", email) {
                    addresses.entry(email).or_default().push(name);
                }
            }
            UserRef::Username(username) => {
                if let Ok(username) = Username::parse("username", username) {
                    usernames.entry(username).or_default().push(name);
                }
            }
        }
    }
    asked.emails = addresses.keys().cloned().collect();
    asked.usernames = usernames.keys().cloned().collect();
    let rows: Vec<Row> = asked.query().load(connection).await?;
    let mut found = HashMap::new();
    for Row { by, name, id } in rows {
        match by.as_str() {
            "external_id" => drop(found.insert(UserRef::ExternalId(name), id)),
            "email" => {
                let written = EmailAddress::parse("email", &name).ok().and_then(|email| addresses.remove(&email));
                found.extend(written.into_iter().flatten().map(|name| (name.clone(), id)));
            }
            "username" => {
                let written = Username::parse("username", &name).ok().and_then(|name| usernames.remove(&name));
                found.extend(written.into_iter().flatten().map(|name| (name.clone(), id)));
            }
            _ => drop(found.insert(UserRef::Id(id), id)),
        }
    }
    Ok(found)
}
