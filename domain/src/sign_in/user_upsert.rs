//! Bringing in a platform's accounts, many at once: found by the platform's own ids, else by address, all or none, and
//! the same call again changes nothing (R87, R88). No mail is sent.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use crate::account::new_account;
use crate::account::reserved_name::{self, Holder, NameChange, NameKind};
use crate::account::user::{self, User};
use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::PlatformScope;
use crate::authority::platform_data;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, UserId};
use crate::base::limits;
use crate::base::sql::statement;
use crate::base::text::{self, EmailAddress, Username};
use crate::base::upsert::{self, ItemRefusals, UpsertOutcome};
use crate::database::schema::organizations;
use crate::database::{Database, Transaction, now};
use crate::sign_in::email_change;

/// The name of the list in the API.
const LIST: &str = "users";

/// An account to make or to change. What is `None` stays as it is, and `Some(None)` clears it.
#[derive(Debug, Clone)]
pub struct UserUpsert {
    /// The platform's own id.
    pub external_id: String,
    /// The email address; needed for a new account.
    pub email: Option<String>,
    /// Whether the platform vouches that the address is this person's.
    pub email_verified: bool,
    /// The username; made from the name if left out for a new account.
    pub username: Option<String>,
    /// The person's name; made from the address if left out for a new account.
    pub name: Option<String>,
    /// The URL of a picture.
    pub avatar_url: Option<Option<String>>,
    /// What the platform attaches to the account.
    pub metadata: Option<Option<Value>>,
    /// When the account was created, for a new one. `None` for now.
    pub created_at: Option<DateTime<Utc>>,
}

/// An item whose texts are in canonical form.
struct Parsed {
    email: Option<EmailAddress>,
    username: Option<Username>,
    name: Option<String>,
    avatar_url: Option<Option<String>>,
    metadata: Option<Option<Value>>,
}

/// An account that was there before, locked.
#[derive(QueryableByName)]
struct Existing {
    #[diesel(sql_type = SqlUuid)]
    id: UserId,
    #[diesel(sql_type = SqlUuid)]
    personal_organization_id: OrganizationId,
    #[diesel(sql_type = Nullable<Text>)]
    external_id: Option<String>,
    #[diesel(sql_type = Text)]
    email: EmailAddress,
    #[diesel(sql_type = Text)]
    username: Username,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    avatar_url: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    metadata: Option<Value>,
}

statement! {
    struct LockNamed {
        external_ids: Array<Text> = Vec<String>,
        emails: Array<Text> = Vec<EmailAddress>,
        usernames: Array<Text> = Vec<Username>,
    } = "SELECT u.id, o.id AS personal_organization_id, u.external_id, u.email, u.username, u.name, u.avatar_url, u.metadata \
         FROM users u JOIN organizations o ON o.personal_user_id = u.id \
         WHERE (u.external_id = ANY (:external_ids) OR u.email = ANY (:emails) OR u.username = ANY (:usernames)) \
           AND u.deleted_at IS NULL ORDER BY u.id FOR NO KEY UPDATE OF u"
}

statement! {
    struct UpdateAll {
        ids: Array<SqlUuid> = Vec<UserId>,
        external_ids: Array<Text> = Vec<String>,
        emails: Array<Text> = Vec<EmailAddress>,
        folded_emails: Array<Text> = Vec<String>,
        usernames: Array<Text> = Vec<Username>,
        names: Array<Text> = Vec<String>,
        folded_names: Array<Text> = Vec<String>,
        avatar_urls: Array<Nullable<Text>> = Vec<Option<String>>,
        metadata: Array<Nullable<Jsonb>> = Vec<Option<Value>>,
    } = "UPDATE users AS u SET external_id = n.external_id, email = n.email, folded_email = n.folded_email, username = n.username, \
           name = n.name, folded_name = n.folded_name, avatar_url = n.avatar_url, metadata = n.metadata \
         FROM unnest(:ids, :external_ids, :emails, :folded_emails, :usernames, :names, :folded_names, :avatar_urls, :metadata) \
           AS n (id, external_id, email, folded_email, username, name, folded_name, avatar_url, metadata) \
         WHERE u.id = n.id"
}

statement! {
    /// Personal organizations have the names of their users.
    struct RenamePersonal {
        ids: Array<SqlUuid> = Vec<OrganizationId>,
        names: Array<Text> = Vec<String>,
    } = "UPDATE organizations AS o SET name = n.name FROM unnest(:ids, :names) AS n (id, name) WHERE o.id = n.id"
}

statement! {
    struct InsertAll {
        ids: Array<SqlUuid> = Vec<UserId>,
        external_ids: Array<Text> = Vec<String>,
        emails: Array<Text> = Vec<EmailAddress>,
        folded_emails: Array<Text> = Vec<String>,
        usernames: Array<Text> = Vec<Username>,
        names: Array<Text> = Vec<String>,
        folded_names: Array<Text> = Vec<String>,
        avatar_urls: Array<Nullable<Text>> = Vec<Option<String>>,
        metadata: Array<Nullable<Jsonb>> = Vec<Option<Value>>,
        created: Array<Nullable<Timestamptz>> = Vec<Option<DateTime<Utc>>>,
        at: Timestamptz = DateTime<Utc>,
    } = "INSERT INTO users (id, external_id, email, folded_email, username, name, folded_name, avatar_url, metadata, created_at) \
         SELECT n.id, n.external_id, n.email, n.folded_email, n.username, n.name, n.folded_name, n.avatar_url, n.metadata, \
           coalesce(n.created_at, :at) \
         FROM unnest(:ids, :external_ids, :emails, :folded_emails, :usernames, :names, :folded_names, :avatar_urls, :metadata, :created) \
           AS n (id, external_id, email, folded_email, username, name, folded_name, avatar_url, metadata, created_at) \
         ON CONFLICT DO NOTHING"
}

/// What becomes of an item.
enum Planned<'a> {
    Insert(UserId),
    Update(&'a Existing),
    Nothing(UserId),
}

impl Planned<'_> {
    fn id(&self) -> UserId {
        match self {
            Self::Insert(id) | Self::Nothing(id) => *id,
            Self::Update(existing) => existing.id,
        }
    }

    fn outcome(&self) -> UpsertOutcome {
        match self {
            Self::Insert(_) => UpsertOutcome::Created,
            Self::Update(_) => UpsertOutcome::Updated,
            Self::Nothing(_) => UpsertOutcome::Unchanged,
        }
    }
}

/// Makes and changes accounts, for platform keys with USERS_WRITE that aren't limited to organizations. Returns each
/// with what became of it, in the order of the list.
///
/// An account that has the address already, and no id of the platform's, is linked only if the platform vouches for the
/// address. Likewise, only then does an account get another address.
///
/// # Errors
///
/// FORBIDDEN, BLANK or TOO_MANY on `users`. For each item: INVALID, BLANK or TOO_LONG; EMAIL_TAKEN; USERNAME_TAKEN.
pub async fn upsert(database: &Database, actor: &Actor, items: &[UserUpsert]) -> Result<Vec<(User, UpsertOutcome)>> {
    let parsed = check(actor, items)?;
    upsert::again_if_raced(|| database.transaction(async |transaction| write(transaction, actor, items, &parsed).await))
        .await
}

/// Like [`upsert`], in a transaction of the caller's.
pub(crate) async fn upsert_within(
    transaction: &mut Transaction,
    actor: &Actor,
    items: &[UserUpsert],
) -> Result<Vec<(User, UpsertOutcome)>> {
    let parsed = check(actor, items)?;
    write(transaction, actor, items, &parsed).await
}

fn check(actor: &Actor, items: &[UserUpsert]) -> Result<Vec<Parsed>> {
    actor.require_scope(PlatformScope::UsersWrite, LIST)?.require_unlimited(LIST)?;
    upsert::require_number(LIST, items.len(), limits::MAX_UPSERTED_PEOPLE)?;
    parse(items)
}

fn parse(items: &[UserUpsert]) -> Result<Vec<Parsed>> {
    let mut refusals = ItemRefusals::of(LIST);
    let keys = items.iter().enumerate();
    refusals.repeated("externalId", keys.map(|(position, item)| (position, item.external_id.as_str())));
    let mut parsed = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        refusals.keep(position, platform_data::external_id("externalId", &item.external_id));
        let email = item.email.as_deref().map(|email| EmailAddress::parse("email", email)).transpose();
        let username = item.username.as_deref().map(|username| Username::parse("username", username)).transpose();
        let name = item.name.as_deref().map(|name| text::name("name", name, limits::NAME)).transpose();
        let avatar_url = item.avatar_url.as_ref().map(|url| text::optional_link("avatarUrl", url.as_deref()));
        let metadata = item.metadata.as_ref().map(|data| platform_data::metadata("metadata", data.as_ref()));
        parsed.push(Parsed {
            email: refusals.keep(position, email).flatten(),
            username: refusals.keep(position, username).flatten(),
            name: refusals.keep(position, name).flatten(),
            avatar_url: refusals.keep(position, avatar_url.transpose()).flatten(),
            metadata: refusals.keep(position, metadata.transpose()).flatten(),
        });
    }
    let named = |position: usize, parsed: &Parsed| Some((position, parsed.email.clone()?));
    refusals.repeated("email", parsed.iter().enumerate().filter_map(|(position, item)| named(position, item)));
    let named = |position: usize, parsed: &Parsed| Some((position, parsed.username.clone()?));
    refusals.repeated("username", parsed.iter().enumerate().filter_map(|(position, item)| named(position, item)));
    refusals.none()?;
    Ok(parsed)
}

async fn write(
    transaction: &mut Transaction,
    actor: &Actor,
    items: &[UserUpsert],
    parsed: &[Parsed],
) -> Result<Vec<(User, UpsertOutcome)>> {
    let lock = LockNamed {
        external_ids: items.iter().map(|item| item.external_id.clone()).collect(),
        emails: parsed.iter().filter_map(|item| item.email.clone()).collect(),
        usernames: parsed.iter().filter_map(|item| item.username.clone()).collect(),
    };
    let existing: Vec<Existing> = lock.query().load(&mut **transaction).await?;
    let at = now(transaction).await?;
    let plan = plan(items, parsed, &existing, at)?;
    let mut events = update(transaction, actor, items, parsed, &plan, at).await?;
    events.extend(insert(transaction, actor, items, parsed, &plan, at).await?);
    let ids: Vec<UserId> = plan.iter().map(Planned::id).collect();
    let found: HashMap<UserId, User> =
        user::by_ids(transaction, &ids).await?.into_iter().map(|user| (user.id, user)).collect();
    audit::record(transaction, events).await?;
    let result = |planned: &Planned<'_>| {
        let user = found.get(&planned.id()).cloned().ok_or(Error::Bug("each item has an account"))?;
        Ok((user, planned.outcome()))
    };
    plan.iter().map(result).collect()
}

/// Decides what becomes of each item, or refuses what can't be.
fn plan<'a>(
    items: &[UserUpsert],
    parsed: &[Parsed],
    existing: &'a [Existing],
    at: DateTime<Utc>,
) -> Result<Vec<Planned<'a>>> {
    let mut refusals = ItemRefusals::of(LIST);
    let by_id: HashMap<&str, &Existing> =
        existing.iter().filter_map(|user| Some((user.external_id.as_deref()?, user))).collect();
    let by_email: HashMap<&EmailAddress, &Existing> = existing.iter().map(|user| (&user.email, user)).collect();
    let by_username: HashMap<&Username, &Existing> = existing.iter().map(|user| (&user.username, user)).collect();
    let mut plan = Vec::with_capacity(items.len());
    for (position, (item, parsed)) in items.iter().zip(parsed).enumerate() {
        refusals.keep(position, upsert::past("createdAt", item.created_at, at));
        let with_address = parsed.email.as_ref().and_then(|email| by_email.get(email).copied());
        let known = match (by_id.get(item.external_id.as_str()).copied(), with_address) {
            (Some(known), Some(other)) if other.id != known.id => {
                refusals.add(position, email_taken("another account has this address"));
                continue;
            }
            (Some(known), _) => Some(known),
            (None, Some(other)) if other.external_id.is_some() => {
                refusals.add(position, email_taken("an account with another externalId has this address"));
                continue;
            }
            (None, Some(_)) if !item.email_verified => {
                let message = "an account has this address; it is linked only if the platform vouches for the address, \
                               by emailVerified";
                refusals.add(position, email_taken(message));
                continue;
            }
            (None, other) => other,
        };
        if let Some(other) = parsed.username.as_ref().and_then(|username| by_username.get(username))
            && known.is_none_or(|known| known.id != other.id)
        {
            let message = "this username is in use; choose another, or leave it out";
            refusals.add(position, Refusal::new(Code::UsernameTaken, "username", message));
            continue;
        }
        plan.push(match known {
            Some(known) => {
                if parsed.email.as_ref().is_some_and(|email| *email != known.email) && !item.email_verified {
                    let message = "the account has another address, which is replaced only if the platform vouches for \
                                   the new one, by emailVerified";
                    refusals.add(position, Refusal::new(Code::Invalid, "email", message));
                }
                match changed_fields(item, parsed, known).is_empty() {
                    false => Planned::Update(known),
                    true => Planned::Nothing(known.id),
                }
            }
            None => {
                if parsed.email.is_none() {
                    refusals.add(position, Refusal::new(Code::Blank, "email", "is needed for a new account"));
                }
                Planned::Insert(UserId::new())
            }
        });
    }
    refusals.none()?;
    Ok(plan)
}

fn email_taken(message: &str) -> Refusal {
    Refusal::new(Code::EmailTaken, "email", message)
}

/// The fields that change, by their names in the API.
fn changed_fields(item: &UserUpsert, parsed: &Parsed, before: &Existing) -> Vec<&'static str> {
    let fields = [
        ("externalId", before.external_id.as_ref() != Some(&item.external_id)),
        ("email", parsed.email.as_ref().is_some_and(|new| *new != before.email)),
        ("username", parsed.username.as_ref().is_some_and(|new| *new != before.username)),
        ("name", parsed.name.as_ref().is_some_and(|new| *new != before.name)),
        ("avatarUrl", parsed.avatar_url.as_ref().is_some_and(|new| *new != before.avatar_url)),
        ("metadata", parsed.metadata.as_ref().is_some_and(|new| *new != before.metadata)),
    ];
    fields.into_iter().filter_map(|(field, is_changed)| is_changed.then_some(field)).collect()
}

async fn update(
    transaction: &mut Transaction,
    actor: &Actor,
    items: &[UserUpsert],
    parsed: &[Parsed],
    plan: &[Planned<'_>],
    at: DateTime<Utc>,
) -> Result<Vec<NewEvent>> {
    let mut changes = UpdateAll {
        ids: Vec::new(),
        external_ids: Vec::new(),
        emails: Vec::new(),
        folded_emails: Vec::new(),
        usernames: Vec::new(),
        names: Vec::new(),
        folded_names: Vec::new(),
        avatar_urls: Vec::new(),
        metadata: Vec::new(),
    };
    let mut renamed = RenamePersonal { ids: Vec::new(), names: Vec::new() };
    let mut events = Vec::new();
    // What memberships copy from the account is changed under their locks, which come after those of organizations.
    let copied: Vec<&Existing> = parsed
        .iter()
        .zip(plan)
        .filter_map(|(parsed, planned)| match planned {
            Planned::Update(before) if is_copied(parsed, before) => Some(*before),
            _ => None,
        })
        .collect();
    let readdressed: Vec<UserId> = parsed
        .iter()
        .zip(plan)
        .filter_map(|(parsed, planned)| match planned {
            Planned::Update(before) if parsed.email.as_ref().is_some_and(|new| *new != before.email) => Some(before.id),
            _ => None,
        })
        .collect();
    let mut organizations_of: Vec<(UserId, Vec<OrganizationId>)> = Vec::new();
    for user_id in &readdressed {
        organizations_of.push((*user_id, user::organizations_of(transaction, *user_id).await?));
    }
    if !copied.is_empty() {
        let mut locked: Vec<OrganizationId> = copied.iter().map(|before| before.personal_organization_id).collect();
        locked.extend(organizations_of.iter().flat_map(|(_, organizations)| organizations));
        access::lock_organizations(transaction, &locked).await?;
        let ids: Vec<UserId> = copied.iter().map(|before| before.id).collect();
        access::lock_memberships(transaction, &ids).await?;
    }
    let (mut positions, mut changed_names) = (Vec::new(), Vec::new());
    for (position, (parsed, planned)) in parsed.iter().zip(plan).enumerate() {
        if let (Planned::Update(before), Some(username)) = (planned, &parsed.username)
            && *username != before.username
        {
            positions.push(position);
            let (from, to) = (Some(before.username.as_str()), Some(username.as_str()));
            changed_names.push(NameChange { holder: Holder::Account(before.id), from, to });
        }
    }
    let refused = reserved_name::change_all(transaction, NameKind::Username, &changed_names, at).await?;
    ItemRefusals::at(LIST, &positions, refused)?.none()?;
    for ((item, parsed), planned) in items.iter().zip(parsed).zip(plan) {
        let Planned::Update(before) = planned else { continue };
        let username = parsed.username.clone().unwrap_or_else(|| before.username.clone());
        let name = parsed.name.clone().unwrap_or_else(|| before.name.clone());
        if name != before.name {
            renamed.ids.push(before.personal_organization_id);
            renamed.names.push(name.clone());
        }
        let email = parsed.email.clone().unwrap_or_else(|| before.email.clone());
        events.extend(changed(actor, parsed, before, item));
        changes.ids.push(before.id);
        changes.external_ids.push(item.external_id.clone());
        changes.folded_emails.push(email.folded());
        changes.emails.push(email);
        changes.usernames.push(username);
        changes.folded_names.push(text::fold(&name));
        changes.names.push(name);
        changes.avatar_urls.push(parsed.avatar_url.clone().unwrap_or_else(|| before.avatar_url.clone()));
        changes.metadata.push(parsed.metadata.clone().unwrap_or_else(|| before.metadata.clone()));
    }
    if changes.ids.is_empty() {
        return Ok(events);
    }
    let updated = changes.query().execute(&mut **transaction).await.map_err(Error::from);
    updated.map_err(|error| match error.constraint() {
        Some("users_email_key" | "users_username_key" | "users_external_id_key") => upsert::raced(LIST).into(),
        _ => error,
    })?;
    if !renamed.ids.is_empty() {
        renamed.query().execute(&mut **transaction).await?;
    }
    // What was on its way to another address ends, and so do invitations to where they belong already.
    if !readdressed.is_empty() {
        email_change::end_open_of(transaction, &readdressed).await?;
    }
    for (user_id, organizations) in &organizations_of {
        events.extend(email_change::revoke_invitations(transaction, *user_id, organizations).await?);
    }
    Ok(events)
}

/// Whether something changes that memberships copy, for their lists.
fn is_copied(parsed: &Parsed, before: &Existing) -> bool {
    parsed.name.as_ref().is_some_and(|new| *new != before.name)
        || parsed.username.as_ref().is_some_and(|new| *new != before.username)
        || parsed.email.as_ref().is_some_and(|new| *new != before.email)
}

fn changed(actor: &Actor, parsed: &Parsed, before: &Existing, item: &UserUpsert) -> Vec<NewEvent> {
    let event = |action| NewEvent::by(actor, before.personal_organization_id, action, before.id).about(before.id);
    let (email, profile): (Vec<&str>, Vec<&str>) =
        changed_fields(item, parsed, before).into_iter().partition(|field| *field == "email");
    let email =
        (!email.is_empty()).then(|| event(AuditAction::UserEmailChanged).summary("gave the account another address"));
    let profile = (!profile.is_empty()).then(|| {
        event(AuditAction::UserProfileUpdated)
            .summary(format!("changed {}", profile.join(", ")))
            .with(json!({ "fields": profile }))
    });
    email.into_iter().chain(profile).collect()
}

async fn insert(
    transaction: &mut Transaction,
    actor: &Actor,
    items: &[UserUpsert],
    parsed: &[Parsed],
    plan: &[Planned<'_>],
    at: DateTime<Utc>,
) -> Result<Vec<NewEvent>> {
    let mut new = InsertAll {
        ids: Vec::new(),
        external_ids: Vec::new(),
        emails: Vec::new(),
        folded_emails: Vec::new(),
        usernames: Vec::new(),
        names: Vec::new(),
        folded_names: Vec::new(),
        avatar_urls: Vec::new(),
        metadata: Vec::new(),
        created: Vec::new(),
        at,
    };
    let mut wanted = Vec::new();
    for (position, ((item, parsed), planned)) in items.iter().zip(parsed).zip(plan).enumerate() {
        let (Planned::Insert(id), Some(email)) = (planned, &parsed.email) else { continue };
        let name = parsed.name.clone().unwrap_or_else(|| text::cut(&email.as_name(), limits::NAME));
        wanted.push((position, parsed.username.clone(), name.clone()));
        new.ids.push(*id);
        new.external_ids.push(item.external_id.clone());
        new.folded_emails.push(email.folded());
        new.emails.push(email.clone());
        new.folded_names.push(text::fold(&name));
        new.names.push(name);
        new.avatar_urls.push(parsed.avatar_url.clone().flatten());
        new.metadata.push(parsed.metadata.clone().flatten());
        new.created.push(item.created_at);
    }
    if new.ids.is_empty() {
        return Ok(Vec::new());
    }
    new.usernames = usernames(transaction, &wanted).await?;
    let (ids, names, created) = (new.ids.clone(), new.names.clone(), new.created.clone());
    if new.query().execute(&mut **transaction).await? != ids.len() {
        return Err(upsert::raced(LIST).into());
    }
    let personal: Vec<OrganizationId> = ids.iter().map(|_| OrganizationId::new()).collect();
    let rows: Vec<_> = ids
        .iter()
        .zip(&personal)
        .zip(names.iter().zip(&created))
        .map(|((user_id, id), (name, created_at))| {
            (
                organizations::id.eq(*id),
                organizations::personal_user_id.eq(*user_id),
                organizations::name.eq(name),
                organizations::created_at.eq(created_at.unwrap_or(at)),
            )
        })
        .collect();
    diesel::insert_into(organizations::table).values(rows).execute(&mut **transaction).await?;
    let owned = ids.iter().zip(&personal).zip(&created);
    let owned = owned.map(|((user_id, id), created_at)| (*user_id, *id, created_at.unwrap_or(at)));
    new_account::own(transaction, owned).await?;
    Ok(ids
        .iter()
        .zip(&personal)
        .map(|(user_id, id)| {
            NewEvent::by(actor, *id, AuditAction::UserCreated, *user_id)
                .summary(format!("account {user_id} was made"))
                .about(*user_id)
                .with(json!({ "owner": user_id.to_string() }))
        })
        .collect())
}

/// The usernames of new accounts: the given ones, which are refused if they are kept for somebody else, and others made
/// from the names. None of the given ones is in use.
async fn usernames(
    transaction: &mut Transaction,
    wanted: &[(usize, Option<Username>, String)],
) -> Result<Vec<Username>> {
    let mut refusals = ItemRefusals::of(LIST);
    let given: Vec<Username> = wanted.iter().filter_map(|(_, username, _)| username.clone()).collect();
    let kept = reserved_name::reserved_among(transaction, &given).await?;
    for (position, username, _) in wanted {
        if username.as_ref().is_some_and(|username| kept.contains(username.as_str())) {
            let message = "this username is kept for the platform or for somebody who had it; choose another";
            refusals.add(*position, Refusal::new(Code::UsernameTaken, "username", message));
        }
    }
    refusals.none()?;
    let unnamed: Vec<&str> =
        wanted.iter().filter(|(_, username, _)| username.is_none()).map(|(_, _, name)| name.as_str()).collect();
    let used: HashSet<String> = given.iter().map(ToString::to_string).collect();
    let mut made = reserved_name::derive_all(transaction, &unnamed, used).await?.into_iter();
    let username = |(_, username, _): &(usize, Option<Username>, String)| match username {
        Some(username) => Some(username.clone()),
        None => made.next().flatten(),
    };
    let usernames: Option<Vec<Username>> = wanted.iter().map(username).collect();
    usernames.ok_or_else(|| upsert::raced(LIST).into())
}
