//! Usernames and slugs that were given up. For a time nobody but their holder may take them, so that whoever still
//! shares with an old name, or invites it, reaches nobody else; those of deleted accounts and organizations, nobody
//! ever.
//!
//! What was given up finds nothing: an old slug leads to no organization, and an old username to no account.
//!
//! Words by which a platform or its people are taken for somebody, or which its pages' addresses hold, are nobody's
//! (`reserved_words.txt`). Who had one before it was listed keeps it.

use std::collections::HashSet;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, TypedId, UserId};
use crate::base::text_enum::text_enum;
use crate::base::{limits, text};
use crate::database::schema::reserved_names;
use crate::database::{Transaction, now, rollcall_now};

/// Words that are nobody's username or slug.
static RESERVED_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("reserved_words.txt").lines().collect());

text_enum! {
    /// What kind of name it is.
    NameKind {
        /// An account's.
        Username = "username",
        /// An organization's.
        Slug = "slug",
    }
}

/// Whose name it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Holder {
    /// An account, with its username.
    Account(UserId),
    /// An organization, with its slug.
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

    /// The refusal where a name is in use, or reserved for another: the two aren't told apart.
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

    /// The refusal of a word that is nobody's name.
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

/// Whether a name is reserved for another than who would have it, or for nobody.
pub(crate) async fn is_reserved(transaction: &mut Transaction, holder: Holder, name: &str) -> Result<bool> {
    Ok(RESERVED_WORDS.contains(name) || is_kept_for_another(transaction, holder, name).await?)
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

/// Fails where the name is reserved for another, or for nobody.
pub(crate) async fn require_free(transaction: &mut Transaction, holder: Holder, name: &str) -> Result<()> {
    if RESERVED_WORDS.contains(name) {
        return Err(holder.reserved(name).into());
    }
    if is_kept_for_another(transaction, holder, name).await? { Err(holder.taken().into()) } else { Ok(()) }
}

/// Reserves the name that a holder gives up for another, or for none, and lets them take back one of their own. The
/// holder's row is locked, and gets its new name in this transaction.
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

/// Reserves the last name of an account or organization that is gone for good, which takes back nothing any more.
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
        // What another had given up was free by the time at which this one took it.
        .on_conflict((reserved_names::kind, reserved_names::name))
        .do_update()
        .set(values)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Deletes up to `limit` reservations whose time is over, and returns how many.
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
