//! Usernames and slugs that were given up. For a time, only their former holder may take them again, so that people
//! who still share with an old name, or invite it, don't reach somebody else. The names of deleted accounts and
//! organizations are reserved for good.
//!
//! A name that was given up can't be used for lookups: an old slug doesn't find the organization, nor an old username
//! the account.
//!
//! Some words are never given to anyone (`reserved_words.txt`): those that could be mistaken for the platform or its
//! staff, and those that occur in the URLs of its pages. Whoever had one before it was listed keeps it.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::base::error::{Code, Refusal, Result};
use crate::base::id::{OrganizationId, TypedId, UserId};
use crate::base::sql::statement;
use crate::base::text::{Slug, Username};
use crate::base::text_enum::text_enum;
use crate::base::{limits, random, text};
use crate::database::schema::{organizations, reserved_names, users};
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

    /// The refusal for a holder who may give up another name only after this time.
    fn gave_up_many(self, wait: TimeDelta) -> Refusal {
        let wait = text::in_words(wait.to_std().unwrap_or_default());
        let message = format!(
            "{} were given up lately, and are kept for you: take one of those back, or try again in {wait}",
            limits::MAX_RESERVED_NAMES
        );
        Refusal::new(Code::RateLimited, self.field(), message)
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

/// A name that is unique among those of its kind.
pub(crate) trait UniqueName: Clone {
    /// The kind.
    const KIND: NameKind;

    /// A name made from a text. `salt` makes it differ from others.
    fn derived(from: &str, salt: &str) -> Self;

    /// The name as text.
    fn as_str(&self) -> &str;
}

impl UniqueName for Username {
    const KIND: NameKind = NameKind::Username;

    fn derived(from: &str, salt: &str) -> Self {
        Self::derived(from, salt)
    }

    fn as_str(&self) -> &str {
        self.as_str()
    }
}

impl UniqueName for Slug {
    const KIND: NameKind = NameKind::Slug;

    fn derived(from: &str, salt: &str) -> Self {
        Self::derived(from, salt)
    }

    fn as_str(&self) -> &str {
        self.as_str()
    }
}

/// What makes a derived name another one, if it is in use.
pub(crate) fn salt() -> String {
    random::number(1000..1_000_000).to_string()
}

/// Returns those of the names that a new account or organization can't have: reserved words, and names that are kept
/// for others.
pub(crate) async fn reserved_among<N: UniqueName>(
    transaction: &mut Transaction,
    names: &[N],
) -> Result<HashSet<String>> {
    let names: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let kept = kept_among(transaction, N::KIND, names.clone()).await?.into_keys();
    Ok(kept.chain(names.into_iter().filter(|name| RESERVED_WORDS.contains(name.as_str()))).collect())
}

/// Those of the names that are kept, each with the holder who may take it again, if there is one.
async fn kept_among(
    transaction: &mut Transaction,
    kind: NameKind,
    names: Vec<String>,
) -> Result<HashMap<String, Option<Uuid>>> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let kept: Vec<(String, Option<Uuid>)> = reserved_names::table
        .filter(reserved_names::kind.eq(kind))
        .filter(reserved_names::name.eq_any(names))
        .filter(
            reserved_names::reserved_until.is_null().or(reserved_names::reserved_until.gt(rollcall_now().nullable())),
        )
        .select((reserved_names::name, reserved_names::holder_id))
        .load(&mut **transaction)
        .await?;
    Ok(kept.into_iter().collect())
}

/// Makes names from texts, for new accounts or organizations. Each differs from the others and from those in `used`,
/// and is neither in use nor reserved. Where no such name was found in a few rounds, there is none.
pub(crate) async fn derive_all<N: UniqueName>(
    transaction: &mut Transaction,
    texts: &[&str],
    mut used: HashSet<String>,
) -> Result<Vec<Option<N>>> {
    const ROUNDS: usize = 10;
    let mut made: Vec<Option<N>> = vec![None; texts.len()];
    for round in 0..ROUNDS {
        let missing = made.iter_mut().zip(texts).filter(|(made, _)| made.is_none());
        let candidates: Vec<_> = missing
            .map(|(place, text)| {
                let salt = if round == 0 { String::new() } else { salt() };
                (place, N::derived(text, &salt))
            })
            .collect();
        if candidates.is_empty() {
            break;
        }
        let names: Vec<N> = candidates.iter().map(|(_, name)| name.clone()).collect();
        let mut taken = reserved_among(transaction, &names).await?;
        let names = names.iter().map(N::as_str);
        let in_use: Vec<String> = match N::KIND {
            NameKind::Username => {
                let taken = users::table.filter(users::username.eq_any(names));
                taken.select(users::username).load(&mut **transaction).await?
            }
            NameKind::Slug => {
                let taken = organizations::table.filter(organizations::slug.eq_any(names));
                taken.select(organizations::slug.assume_not_null()).load(&mut **transaction).await?
            }
        };
        taken.extend(in_use);
        for (place, name) in candidates {
            if !taken.contains(name.as_str()) && used.insert(name.as_str().to_owned()) {
                *place = Some(name);
            }
        }
    }
    Ok(made)
}

/// A change of a name.
pub(crate) struct NameChange<'a> {
    /// Whose name it is.
    pub(crate) holder: Holder,
    /// The name that the holder gives up.
    pub(crate) from: Option<&'a str>,
    /// The name that the holder takes.
    pub(crate) to: Option<&'a str>,
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
        return Err(holder.gave_up_many(wait).into());
    }
    reserve(transaction, holder, from, Some(holder.id()), Some(at + limits::NAME_RESERVATION)).await
}

statement! {
    /// Releases reservations that their own holders take back.
    struct TakeBack {
        kind: Text = NameKind,
        names: Array<Text> = Vec<String>,
        holders: Array<SqlUuid> = Vec<Uuid>,
    } = "DELETE FROM reserved_names AS r USING unnest(:names, :holders) AS n (name, holder_id) \
         WHERE r.kind = :kind AND r.name = n.name AND r.holder_id = n.holder_id"
}

statement! {
    /// How many names are reserved for holders, and when the first of these reservations ends.
    struct GivenUp {
        holders: Array<SqlUuid> = Vec<Uuid>,
        at: Timestamptz = DateTime<Utc>,
    } = "SELECT r.holder_id, count(*) AS number, min(r.reserved_until) AS first_until FROM reserved_names r \
         WHERE r.holder_id = ANY (:holders) AND r.reserved_until > :at GROUP BY r.holder_id"
}

#[derive(QueryableByName)]
struct GivenUpRow {
    #[diesel(sql_type = SqlUuid)]
    holder_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Timestamptz)]
    first_until: DateTime<Utc>,
}

statement! {
    struct ReserveAll {
        kind: Text = NameKind,
        names: Array<Text> = Vec<String>,
        holders: Array<SqlUuid> = Vec<Uuid>,
        until: Timestamptz = DateTime<Utc>,
    } = "INSERT INTO reserved_names (kind, name, holder_id, reserved_until) \
         SELECT :kind, n.name, n.holder_id, :until FROM unnest(:names, :holders) AS n (name, holder_id) \
         ON CONFLICT (kind, name) DO UPDATE SET holder_id = excluded.holder_id, reserved_until = excluded.reserved_until"
}

/// Like [`change`], for holders of names of one kind, with at most four statements however many there are. Returns the
/// refusals with the positions of their changes; if there are any, the caller must not commit.
pub(crate) async fn change_all(
    transaction: &mut Transaction,
    kind: NameKind,
    changes: &[NameChange<'_>],
    at: DateTime<Utc>,
) -> Result<Vec<(usize, Refusal)>> {
    let changes = || changes.iter().enumerate().filter(|(_, change)| change.from != change.to);
    let taken = || changes().filter_map(|(position, change)| Some((position, change.holder, change.to?)));
    let kept = kept_among(transaction, kind, taken().map(|(_, _, name)| name.to_owned()).collect()).await?;
    let mut refusals = Vec::new();
    let mut own = TakeBack { kind, names: Vec::new(), holders: Vec::new() };
    for (position, holder, name) in taken() {
        match kept.get(name) {
            _ if RESERVED_WORDS.contains(name) => refusals.push((position, holder.reserved(name))),
            Some(kept_for) if *kept_for != Some(holder.id()) => refusals.push((position, holder.taken())),
            Some(_) => {
                own.names.push(name.to_owned());
                own.holders.push(holder.id());
            }
            None => {}
        }
    }
    if !own.names.is_empty() {
        own.query().execute(&mut **transaction).await?;
    }
    let given_up = || changes().filter_map(|(position, change)| Some((position, change.holder, change.from?)));
    let holders: Vec<Uuid> = given_up().map(|(_, holder, _)| holder.id()).collect();
    if holders.is_empty() {
        return Ok(refusals);
    }
    let before: Vec<GivenUpRow> = GivenUp { holders: holders.clone(), at }.query().load(&mut **transaction).await?;
    let before: HashMap<Uuid, GivenUpRow> = before.into_iter().map(|row| (row.holder_id, row)).collect();
    for (position, holder, _) in given_up() {
        if let Some(row) = before.get(&holder.id())
            && usize::try_from(row.number).is_ok_and(|number| number >= limits::MAX_RESERVED_NAMES)
        {
            refusals.push((position, holder.gave_up_many(row.first_until - at)));
        }
    }
    let names = given_up().map(|(_, _, name)| name.to_owned()).collect();
    let until = at + limits::NAME_RESERVATION;
    ReserveAll { kind, names, holders, until }.query().execute(&mut **transaction).await?;
    Ok(refusals)
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
