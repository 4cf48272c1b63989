//! Usernames and slugs that were given up. For a time, only their former holder may take them again, so that people
//! who still share with an old name, or invite it, don't reach somebody else. The names of deleted accounts and
//! organizations are reserved for good.
//!
//! A name that was given up can't be used for lookups: an old slug doesn't find the organization, nor an old username
//! the account.
//!
//! Some words are never given to anyone (`reserved_words.txt`): those that could be mistaken for the platform or its
//! staff, and those that occur in the URLs of its pages. Whoever had one before it was listed keeps it.

use std::collections::HashSet;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, TypedId, UserId};
use crate::base::text::Username;
use crate::base::text_enum::text_enum;
use crate::base::{limits, text};
use crate::database::schema::reserved_names;
use crate::database::{Transaction, now, rollcall_now};

/// Words that can't be a username or a slug.
static RESERVED_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("reserved_words.txt").lines().collect());

text_enum! {
    /// The kind of a name.
    NameKind {
        /// The username of an account.
        Username = "username",
        /// The slug of an organization.
        Slug = "slug",
    }
}

/// The account or organization that has a name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Holder {
    /// An account, which has a username.
    Account(UserId),
    /// An organization, which has a slug.
    Organization(OrganizationId),
}

impl Holder {
    fn kind(self) -> NameKind {
        match self {
            Self::Account(_) => NameKind::Username,
            Self::Organization(_) => NameKind::Slug,
        }
    }

    fn id(self) -> Uuid {
        match self {
            Self::Account(id) => id.uuid(),
            Self::Organization(id) => id.uuid(),
        }
    }

    /// The refusal for a name that is in use, or is reserved for somebody else. The two can't be told apart.
    pub(crate) fn taken(self) -> Refusal {
        match self {
            Self::Account(_) => {
                let message = "this username is in use, or was until lately; choose another";
                Refusal::new(Code::UsernameTaken, "username", message)
            }
            Self::Organization(_) => {
                let message = "this slug is in use, or was until lately; choose another";
                Refusal::new(Code::SlugTaken, "slug", message)
            }
        }
    }

    /// The refusal for a reserved word.
    fn reserved(self, word: &str) -> Refusal {
        let (code, what) = match self {
            Self::Account(_) => (Code::UsernameTaken, "a username"),
            Self::Organization(_) => (Code::SlugTaken, "a slug"),
        };
        let message = format!(
            "“{word}” is kept for the platform itself and can't be {what}; choose another, such as one with a word more"
        );
        Refusal::new(code, self.field(), message)
    }

    fn field(self) -> &'static str {
        match self {
            Self::Account(_) => "username",
            Self::Organization(_) => "slug",
        }
    }
}

/// Whether a name is a reserved word, or is reserved for somebody other than this holder.
pub(crate) async fn is_reserved(transaction: &mut Transaction, holder: Holder, name: &str) -> Result<bool> {
    Ok(RESERVED_WORDS.contains(name) || is_kept_for_another(transaction, holder, name).await?)
}

/// Returns those of the usernames that a new account can't have: reserved words, and names that are kept for others.
pub(crate) async fn reserved_among(transaction: &mut Transaction, names: &[Username]) -> Result<HashSet<String>> {
    let kept: Vec<String> = reserved_names::table
        .filter(reserved_names::kind.eq(NameKind::Username))
        .filter(reserved_names::name.eq_any(names.iter().map(Username::as_str)))
        .filter(
            reserved_names::reserved_until.is_null().or(reserved_names::reserved_until.gt(rollcall_now().nullable())),
        )
        .select(reserved_names::name)
        .load(&mut **transaction)
        .await?;
    let words = names.iter().map(Username::as_str).filter(|name| RESERVED_WORDS.contains(name)).map(str::to_owned);
    Ok(kept.into_iter().chain(words).collect())
}

async fn is_kept_for_another(transaction: &mut Transaction, holder: Holder, name: &str) -> Result<bool> {
    let reserved = reserved_names::table
        .find((holder.kind(), name))
        .filter(reserved_names::holder_id.is_distinct_from(holder.id()))
        .filter(
            reserved_names::reserved_until.is_null().or(reserved_names::reserved_until.gt(rollcall_now().nullable())),
        );
    Ok(diesel::select(diesel::dsl::exists(reserved)).get_result(&mut **transaction).await?)
}

/// Fails if a name is a reserved word, or is reserved for somebody other than this holder.
pub(crate) async fn require_free(transaction: &mut Transaction, holder: Holder, name: &str) -> Result<()> {
    if RESERVED_WORDS.contains(name) {
        return Err(holder.reserved(name).into());
    }
    if is_kept_for_another(transaction, holder, name).await? { Err(holder.taken().into()) } else { Ok(()) }
}

/// Reserves the name that a holder gives up, and releases the reservation if the new name is one of their own. The
/// caller has locked the holder's row, and sets the new name in the same transaction.
pub(crate) async fn change(
    transaction: &mut Transaction,
    holder: Holder,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<()> {
    if from == to {
        return Ok(());
    }
    if let Some(to) = to {
        require_free(transaction, holder, to).await?;
        let own = reserved_names::table.find((holder.kind(), to)).filter(reserved_names::holder_id.eq(holder.id()));
        diesel::delete(own).execute(&mut **transaction).await?;
    }
    let Some(from) = from else { return Ok(()) };
    let at = now(transaction).await?;
    let given_up: Vec<Option<DateTime<Utc>>> = reserved_names::table
        .filter(reserved_names::holder_id.eq(holder.id()))
        .filter(reserved_names::reserved_until.gt(at))
        .order(reserved_names::reserved_until)
        .select(reserved_names::reserved_until)
        .load(&mut **transaction)
        .await?;
    if given_up.len() >= limits::MAX_RESERVED_NAMES {
        let wait = given_up.into_iter().flatten().next().map(|until| until - at).unwrap_or_default();
        let wait = text::in_words(wait.to_std().unwrap_or_default());
        let message = format!(
            "{} were given up lately, and are kept for you: take one of those back, or try again in {wait}",
            limits::MAX_RESERVED_NAMES
        );
        return Err(Error::refused(Code::RateLimited, holder.field(), message));
    }
    reserve(transaction, holder, from, Some(holder.id()), Some(at + limits::NAME_RESERVATION)).await
}

/// Reserves the last name of an account or organization that is gone for good. Nobody can take it, or its earlier
/// names, again.
pub(crate) async fn retire(transaction: &mut Transaction, holder: Holder, name: Option<&str>) -> Result<()> {
    diesel::update(reserved_names::table.filter(reserved_names::holder_id.eq(holder.id())))
        .set(reserved_names::holder_id.eq(None::<Uuid>))
        .execute(&mut **transaction)
        .await?;
    match name {
        Some(name) => reserve(transaction, holder, name, None, None).await,
        None => Ok(()),
    }
}

async fn reserve(
    transaction: &mut Transaction,
    holder: Holder,
    name: &str,
    holder_id: Option<Uuid>,
    until: Option<DateTime<Utc>>,
) -> Result<()> {
    let values = (reserved_names::holder_id.eq(holder_id), reserved_names::reserved_until.eq(until));
    diesel::insert_into(reserved_names::table)
        .values((reserved_names::kind.eq(holder.kind()), reserved_names::name.eq(name), values))
        // A name that another holder had given up was free when this holder took it.
        .on_conflict((reserved_names::kind, reserved_names::name))
        .do_update()
        .set(values)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Deletes up to `limit` reservations that have expired, and returns how many.
pub(crate) async fn prune(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let at = now(transaction).await?;
    let over: Vec<(NameKind, String)> = reserved_names::table
        .filter(reserved_names::reserved_until.le(at))
        .order(reserved_names::reserved_until)
        .limit(limit.into())
        .select((reserved_names::kind, reserved_names::name))
        .for_update()
        .skip_locked()
        .load(&mut **transaction)
        .await?;
    let number = over.len();
    for (kind, name) in over {
        diesel::delete(reserved_names::table.find((kind, name))).execute(&mut **transaction).await?;
    }
    Ok(number)
}
