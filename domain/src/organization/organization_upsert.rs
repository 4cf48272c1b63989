//! Bringing in a platform's organizations, many at once: found by the platform's own ids, else by slug, all or none,
//! and the same call again changes nothing (R87, R88). No mail is sent.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use crate::account::reserved_name::{self, Holder, NameChange, NameKind};
use crate::account::user;
use crate::account::user_ref::{self, UserRef};
use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::attempt;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::platform::{PlatformScope, Within};
use crate::authority::platform_data;
use crate::authority::rights::Role;
use crate::authority::suspension::Suspension;
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{OrganizationId, UserId};
use crate::base::limits;
use crate::base::sql::statement;
use crate::base::text::Slug;
use crate::base::upsert::{self, ItemRefusals, UpsertOutcome};
use crate::database::{Database, Transaction, now};
use crate::membership::cause::Admission;
use crate::membership::{joining, member_writes};
use crate::organization::ownership;
use crate::organization::profile::{Profile, ProfileInput};

/// The name of the list in the API.
const LIST: &str = "organizations";

/// An organization to found or to change. What is `None` stays as it is, and `Some(None)` clears it.
#[derive(Debug, Clone)]
pub struct OrganizationUpsert {
    /// The platform's own id.
    pub external_id: String,
    /// The profile. A new organization needs a name. Its slug is made from the name if it is left out.
    pub profile: ProfileInput,
    /// The owner; needed for a new organization, and only looked at there.
    pub owner: Option<UserRef>,
    /// What the platform attaches to it.
    pub metadata: Option<Option<Value>>,
    /// When it was founded, for a new organization. `None` for now.
    pub created_at: Option<DateTime<Utc>>,
}

/// An item whose texts are in canonical form.
struct Parsed {
    profile: Profile,
    metadata: Option<Option<Value>>,
}

impl Parsed {
    /// The slug that the item names.
    fn slug(&self) -> Option<&Slug> {
        self.profile.slug.as_ref()?.as_ref()
    }
}

/// An organization that was there before.
#[derive(QueryableByName)]
struct Existing {
    #[diesel(sql_type = SqlUuid)]
    id: OrganizationId,
    #[diesel(sql_type = Nullable<Text>)]
    external_id: Option<String>,
    #[diesel(sql_type = Bool)]
    is_deleted: bool,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    slug: Option<Slug>,
    #[diesel(sql_type = Nullable<Text>)]
    full_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    description: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    website: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    location: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    sector: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    university_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    logo_url: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    metadata: Option<Value>,
}

/// Organizations by the platform's own ids and by slugs.
const NAMED: &str = "SELECT o.id, o.external_id, o.deleted_at IS NOT NULL AS is_deleted, o.name, o.slug, o.full_name, o.description, \
     o.website, o.location, o.sector, o.university_name, o.logo_url, o.metadata FROM organizations o \
     WHERE o.external_id = ANY (:external_ids) OR o.slug = ANY (:slugs)";

statement! {
    struct Named {
        external_ids: Array<Text> = Vec<String>,
        slugs: Array<Text> = Vec<Slug>,
    } = NAMED
}

statement! {
    struct LockNamed {
        external_ids: Array<Text> = Vec<String>,
        slugs: Array<Text> = Vec<Slug>,
    } = format!("{NAMED} ORDER BY o.id FOR NO KEY UPDATE OF o")
}

/// An account that is named as an owner, locked.
#[derive(QueryableByName)]
struct Owner {
    #[diesel(sql_type = SqlUuid)]
    id: UserId,
    /// The organizations to which they belong, without the personal one.
    #[diesel(sql_type = BigInt)]
    teams: i64,
    /// The organizations that they own, without the personal one. Deleted ones count while they can be restored.
    #[diesel(sql_type = BigInt)]
    owned: i64,
}

statement! {
    struct Owners { ids: Array<SqlUuid> = Vec<UserId> } =
        "SELECT u.id, count(o.id) FILTER (WHERE o.deleted_at IS NULL) AS teams, count(*) FILTER (WHERE m.role = 'owner') AS owned \
         FROM users u \
         LEFT JOIN (members m JOIN organizations o ON o.id = m.organization_id AND o.personal_user_id IS NULL) \
           ON m.user_id = u.id AND m.status = 'active' \
         WHERE u.id = ANY (:ids) AND u.deleted_at IS NULL GROUP BY u.id"
}

statement! {
    struct InsertAll {
        ids: Array<SqlUuid> = Vec<OrganizationId>,
        external_ids: Array<Text> = Vec<String>,
        names: Array<Text> = Vec<String>,
        slugs: Array<Nullable<Text>> = Vec<Option<Slug>>,
        full_names: Array<Nullable<Text>> = Vec<Option<String>>,
        descriptions: Array<Nullable<Text>> = Vec<Option<String>>,
        websites: Array<Nullable<Text>> = Vec<Option<String>>,
        locations: Array<Nullable<Text>> = Vec<Option<String>>,
        sectors: Array<Nullable<Text>> = Vec<Option<String>>,
        university_names: Array<Nullable<Text>> = Vec<Option<String>>,
        logo_urls: Array<Nullable<Text>> = Vec<Option<String>>,
        metadata: Array<Nullable<Jsonb>> = Vec<Option<Value>>,
        created: Array<Timestamptz> = Vec<DateTime<Utc>>,
    } = "INSERT INTO organizations (id, external_id, name, slug, full_name, description, website, location, sector, university_name, \
           logo_url, metadata, created_at) \
         SELECT n.* FROM unnest(:ids, :external_ids, :names, :slugs, :full_names, :descriptions, :websites, :locations, :sectors, \
           :university_names, :logo_urls, :metadata, :created) AS n ON CONFLICT DO NOTHING"
}

statement! {
    struct UpdateAll {
        ids: Array<SqlUuid> = Vec<OrganizationId>,
        external_ids: Array<Text> = Vec<String>,
        names: Array<Text> = Vec<String>,
        slugs: Array<Nullable<Text>> = Vec<Option<Slug>>,
        full_names: Array<Nullable<Text>> = Vec<Option<String>>,
        descriptions: Array<Nullable<Text>> = Vec<Option<String>>,
        websites: Array<Nullable<Text>> = Vec<Option<String>>,
        locations: Array<Nullable<Text>> = Vec<Option<String>>,
        sectors: Array<Nullable<Text>> = Vec<Option<String>>,
        university_names: Array<Nullable<Text>> = Vec<Option<String>>,
        logo_urls: Array<Nullable<Text>> = Vec<Option<String>>,
        metadata: Array<Nullable<Jsonb>> = Vec<Option<Value>>,
    } = "UPDATE organizations AS o SET external_id = n.external_id, name = n.name, slug = n.slug, full_name = n.full_name, \
           description = n.description, website = n.website, location = n.location, sector = n.sector, \
           university_name = n.university_name, logo_url = n.logo_url, metadata = n.metadata \
         FROM unnest(:ids, :external_ids, :names, :slugs, :full_names, :descriptions, :websites, :locations, :sectors, \
             :university_names, :logo_urls, :metadata) \
           AS n (id, external_id, name, slug, full_name, description, website, location, sector, university_name, logo_url, metadata) \
         WHERE o.id = n.id"
}

/// What the list names, as it is in the database.
struct Known<'a> {
    by_external_id: HashMap<&'a str, &'a Existing>,
    by_slug: HashMap<&'a Slug, &'a Existing>,
    within: &'a Within,
}

/// The organization that an item is about.
enum Target<'a> {
    Existing(&'a Existing),
    New,
}

impl<'a> Known<'a> {
    fn of(existing: &'a [Existing], within: &'a Within) -> Self {
        Self {
            by_external_id: existing.iter().filter_map(|found| Some((found.external_id.as_deref()?, found))).collect(),
            by_slug: existing.iter().filter_map(|found| Some((found.slug.as_ref()?, found))).collect(),
            within,
        }
    }

    /// The organization that an item is about, or why it can't be. A key that is limited to some organizations gets the
    /// same refusal for those that it doesn't reach and for those that don't exist, since it founds none.
    fn target(&self, item: &OrganizationUpsert, parsed: &Parsed) -> Result<Target<'a>, Refusal> {
        let reached = |found: &Existing| self.within.includes(found.id);
        let known = self.by_external_id.get(item.external_id.as_str()).copied();
        let with_slug = parsed.slug().and_then(|slug| self.by_slug.get(slug).copied());
        let free = with_slug.filter(|other| other.external_id.is_none() && !other.is_deleted && reached(other));
        match (known, with_slug) {
            (Some(known), _) if !reached(known) => Err(match free {
                Some(_) => {
                    let message = "another organization has this id; leave the slug out, or name the other id";
                    Refusal::new(Code::ExternalIdTaken, "externalId", message)
                }
                None => self.unreached(),
            }),
            (Some(known), _) if known.is_deleted => {
                let message = "this organization was deleted and waits for its final removal; restore it first";
                Err(Refusal::new(Code::Conflict, "externalId", message))
            }
            (Some(known), Some(other)) if other.id != known.id => Err(Holder::Organization(known.id).taken()),
            (Some(known), _) => Ok(Target::Existing(known)),
            (None, Some(_)) if let Some(found) = free => Ok(Target::Existing(found)),
            (None, _) if *self.within != Within::All => Err(self.unreached()),
            (None, Some(other)) => Err(match other.external_id {
                Some(_) => {
                    Refusal::new(Code::SlugTaken, "slug", "an organization with another externalId has this slug")
                }
                None => Holder::Organization(other.id).taken(),
            }),
            (None, None) => Ok(Target::New),
        }
    }

    fn unreached(&self) -> Refusal {
        let message = "there is no such organization among those that this platform key is limited to, and such a key \
                       founds none";
        Refusal::new(Code::NotFound, "externalId", message)
    }
}

/// What becomes of an item.
enum Planned<'a> {
    Insert { id: OrganizationId, owner: UserId, name: String },
    Update(&'a Existing),
    Nothing(OrganizationId),
}

impl Planned<'_> {
    fn result(&self) -> (OrganizationId, UpsertOutcome) {
        match self {
            Self::Insert { id, .. } => (*id, UpsertOutcome::Created),
            Self::Update(before) => (before.id, UpsertOutcome::Updated),
            Self::Nothing(id) => (*id, UpsertOutcome::Unchanged),
        }
    }
}

/// Founds and changes organizations, for platform keys with ORGANIZATIONS_WRITE. Returns each with what became of it,
/// in the order of the list.
///
/// An organization that has the slug already, and no id of the platform's, is taken over.
///
/// # Errors
///
/// FORBIDDEN, BLANK or TOO_MANY on `organizations`. For each item: INVALID, BLANK or TOO_LONG; SLUG_TAKEN;
/// EXTERNAL_ID_TAKEN; CONFLICT on `externalId` if the organization was deleted; NOT_FOUND on `externalId` for keys that
/// are limited to other organizations; NOT_FOUND, SUSPENDED, ONE_ORGANIZATION or TOO_MANY on `owner`; RATE_LIMITED on
/// `slug` if too many were given up. RATE_LIMITED for keys that guess at slugs.
pub async fn upsert(
    database: &Database,
    actor: &Actor,
    items: &[OrganizationUpsert],
    client: ClientNetwork,
) -> Result<Vec<(OrganizationId, UpsertOutcome)>> {
    let parsed = check(actor, items)?;
    let written = upsert::again_if_raced(|| {
        database.transaction(async |transaction| write(transaction, actor, items, &parsed).await)
    })
    .await;
    // A slug that is taken reveals that an organization has it (R21).
    let revealed = match &written {
        Err(Error::Refused(refusals)) => refusals.iter().filter(|refusal| refusal.code == Code::SlugTaken).count(),
        _ => 0,
    };
    attempt::count_refusal(database, actor, client, revealed, written).await
}

/// Like [`upsert`], in a transaction of the caller's.
pub(crate) async fn upsert_within(
    transaction: &mut Transaction,
    actor: &Actor,
    items: &[OrganizationUpsert],
) -> Result<Vec<(OrganizationId, UpsertOutcome)>> {
    let parsed = check(actor, items)?;
    write(transaction, actor, items, &parsed).await
}

fn check(actor: &Actor, items: &[OrganizationUpsert]) -> Result<Vec<Parsed>> {
    actor.require_scope(PlatformScope::OrganizationsWrite, LIST)?;
    upsert::require_number(LIST, items.len(), limits::MAX_UPSERTED_GROUPS)?;
    parse(items)
}

fn parse(items: &[OrganizationUpsert]) -> Result<Vec<Parsed>> {
    let mut refusals = ItemRefusals::of(LIST);
    let keys = items.iter().enumerate();
    refusals.repeated("externalId", keys.map(|(position, item)| (position, item.external_id.as_str())));
    let mut parsed = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        refusals.keep(position, platform_data::external_id("externalId", &item.external_id));
        let profile = match item.profile.parse() {
            Ok(profile) => profile,
            Err(Error::Refused(of_item)) => {
                of_item.into_iter().for_each(|refusal| refusals.add(position, refusal));
                Profile::default()
            }
            Err(error) => return Err(error),
        };
        let metadata = item.metadata.as_ref().map(|data| platform_data::metadata("metadata", data.as_ref()));
        let metadata = refusals.keep(position, metadata.transpose()).flatten();
        parsed.push(Parsed { profile, metadata });
    }
    let named = parsed.iter().enumerate().filter_map(|(position, item)| Some((position, item.slug()?)));
    refusals.repeated("slug", named);
    refusals.none()?;
    Ok(parsed)
}

async fn write(
    transaction: &mut Transaction,
    actor: &Actor,
    items: &[OrganizationUpsert],
    parsed: &[Parsed],
) -> Result<Vec<(OrganizationId, UpsertOutcome)>> {
    let key = actor.require_scope(PlatformScope::OrganizationsWrite, LIST)?;
    let external_ids: Vec<String> = items.iter().map(|item| item.external_id.clone()).collect();
    let slugs: Vec<Slug> = parsed.iter().filter_map(|item| item.slug().cloned()).collect();
    // Accounts are locked before organizations, so the organizations are first looked at without a lock, to learn which
    // will be founded.
    let named = Named { external_ids: external_ids.clone(), slugs: slugs.clone() };
    let seen: Vec<Existing> = named.query().load(&mut **transaction).await?;
    let owners = Owners::load(transaction, items, parsed, &Known::of(&seen, &key.within)).await?;
    let locked: Vec<Existing> = LockNamed { external_ids, slugs }.query().load(&mut **transaction).await?;
    let at = now(transaction).await?;
    let plan = plan(transaction, items, parsed, &Known::of(&locked, &key.within), owners, at)?;
    let mut events = update(transaction, actor, items, parsed, &plan, at).await?;
    events.extend(insert(transaction, actor, items, parsed, &plan, at).await?);
    audit::record(transaction, events).await?;
    Ok(plan.iter().map(Planned::result).collect())
}

/// The accounts that are named as owners of new organizations.
struct NamedOwners {
    by_name: HashMap<UserRef, UserId>,
    accounts: HashMap<UserId, Owner>,
    suspended: HashMap<UserId, Suspension>,
    /// The names that were looked up.
    looked_up: HashSet<UserRef>,
}

impl Owners {
    /// Looks up and locks the owners of the organizations that will be founded.
    async fn load(
        transaction: &mut Transaction,
        items: &[OrganizationUpsert],
        parsed: &[Parsed],
        seen: &Known<'_>,
    ) -> Result<NamedOwners> {
        let founded =
            items.iter().zip(parsed).filter(|(item, parsed)| matches!(seen.target(item, parsed), Ok(Target::New)));
        let named: Vec<UserRef> = founded.filter_map(|(item, _)| item.owner.clone()).collect();
        let by_name = user_ref::resolve(transaction, &named).await?;
        let ids: Vec<UserId> = by_name.values().copied().collect();
        access::lock_users(transaction, &ids).await?;
        let suspended = user::suspended_among(transaction, &ids).await?;
        let accounts: Vec<Owner> = match ids.is_empty() {
            true => Vec::new(),
            false => Self { ids }.query().load(&mut **transaction).await?,
        };
        let accounts = accounts.into_iter().map(|owner| (owner.id, owner)).collect();
        Ok(NamedOwners { by_name, accounts, suspended, looked_up: named.into_iter().collect() })
    }
}

impl NamedOwners {
    /// The owner of a new organization, who then owns one more.
    fn take(&mut self, transaction: &Transaction, named: Option<&UserRef>) -> Result<UserId, Refusal> {
        let Some(named) = named else {
            return Err(Refusal::new(Code::Blank, "owner", "is needed for a new organization"));
        };
        let account = self.by_name.get(named).and_then(|id| self.accounts.get_mut(id));
        let Some(owner) = account else {
            let message = "there is no such account";
            return Err(Refusal::new(Code::NotFound, named.field(), message).within(["owner"]));
        };
        if let Some(suspension) = self.suspended.get(&owner.id) {
            return Err(suspension.refusal(Reader::Another, None, "owner"));
        }
        if transaction.deployment().one_organization_per_user && owner.teams > 0 {
            return Err(joining::belongs_elsewhere(Reader::Another, "owner"));
        }
        if owner.owned >= limits::MAX_OWNED_ORGANIZATIONS {
            return Err(ownership::owns_too_many("owner"));
        }
        owner.teams += 1;
        owner.owned += 1;
        Ok(owner.id)
    }
}

/// Decides what becomes of each item, or refuses what can't be.
fn plan<'a>(
    transaction: &Transaction,
    items: &[OrganizationUpsert],
    parsed: &[Parsed],
    known: &Known<'a>,
    mut owners: NamedOwners,
    at: DateTime<Utc>,
) -> Result<Vec<Planned<'a>>> {
    let mut refusals = ItemRefusals::of(LIST);
    let mut plan = Vec::with_capacity(items.len());
    for (position, (item, parsed)) in items.iter().zip(parsed).enumerate() {
        refusals.keep(position, upsert::past("createdAt", item.created_at, at));
        match refusals.keep(position, known.target(item, parsed)) {
            None => {}
            Some(Target::Existing(before)) => plan.push(match changed_fields(item, parsed, before).is_empty() {
                true => Planned::Nothing(before.id),
                false => Planned::Update(before),
            }),
            // The organization was there until just now, so its owner wasn't looked up.
            Some(Target::New) if item.owner.as_ref().is_some_and(|named| !owners.looked_up.contains(named)) => {
                return Err(upsert::raced(LIST).into());
            }
            Some(Target::New) => {
                let blank = || Refusal::new(Code::Blank, "name", "is needed for a new organization");
                let name = refusals.keep(position, parsed.profile.name.clone().ok_or_else(blank));
                let owner = refusals.keep(position, owners.take(transaction, item.owner.as_ref()));
                if let (Some(name), Some(owner)) = (name, owner) {
                    plan.push(Planned::Insert { id: OrganizationId::new(), owner, name });
                }
            }
        }
    }
    refusals.none()?;
    Ok(plan)
}

/// The fields that change, by their names in the API.
fn changed_fields(item: &OrganizationUpsert, parsed: &Parsed, before: &Existing) -> Vec<&'static str> {
    fn changes<T: PartialEq>(new: &Option<T>, before: &T) -> bool {
        new.as_ref().is_some_and(|new| new != before)
    }
    let profile = &parsed.profile;
    let fields = [
        ("externalId", before.external_id.as_ref() != Some(&item.external_id)),
        ("name", changes(&profile.name, &before.name)),
        ("slug", changes(&profile.slug, &before.slug)),
        ("fullName", changes(&profile.full_name, &before.full_name)),
        ("description", changes(&profile.description, &before.description)),
        ("website", changes(&profile.website, &before.website)),
        ("location", changes(&profile.location, &before.location)),
        ("sector", changes(&profile.sector, &before.sector)),
        ("universityName", changes(&profile.university_name, &before.university_name)),
        ("logoUrl", changes(&profile.logo_url, &before.logo_url)),
        ("metadata", changes(&parsed.metadata, &before.metadata)),
    ];
    fields.into_iter().filter_map(|(field, is_changed)| is_changed.then_some(field)).collect()
}

async fn update(
    transaction: &mut Transaction,
    actor: &Actor,
    items: &[OrganizationUpsert],
    parsed: &[Parsed],
    plan: &[Planned<'_>],
    at: DateTime<Utc>,
) -> Result<Vec<NewEvent>> {
    let mut changes = UpdateAll {
        ids: Vec::new(),
        external_ids: Vec::new(),
        names: Vec::new(),
        slugs: Vec::new(),
        full_names: Vec::new(),
        descriptions: Vec::new(),
        websites: Vec::new(),
        locations: Vec::new(),
        sectors: Vec::new(),
        university_names: Vec::new(),
        logo_urls: Vec::new(),
        metadata: Vec::new(),
    };
    let mut events = Vec::new();
    let (mut positions, mut renamed) = (Vec::new(), Vec::new());
    for (position, ((item, parsed), planned)) in items.iter().zip(parsed).zip(plan).enumerate() {
        let Planned::Update(before) = planned else { continue };
        let profile = &parsed.profile;
        if let Some(slug) = &profile.slug {
            let [from, to] = [&before.slug, slug].map(|slug| slug.as_ref().map(Slug::as_str));
            positions.push(position);
            renamed.push(NameChange { holder: Holder::Organization(before.id), from, to });
        }
        let fields = changed_fields(item, parsed, before);
        events.push(
            NewEvent::by(actor, before.id, AuditAction::OrganizationUpdated, before.id)
                .summary(format!("changed {}", fields.join(", ")))
                .with(json!({ "fields": fields })),
        );
        let or = |new: &Option<Option<String>>, before: &Option<String>| new.clone().unwrap_or_else(|| before.clone());
        changes.ids.push(before.id);
        changes.external_ids.push(item.external_id.clone());
        changes.names.push(profile.name.clone().unwrap_or_else(|| before.name.clone()));
        changes.slugs.push(profile.slug.clone().unwrap_or_else(|| before.slug.clone()));
        changes.full_names.push(or(&profile.full_name, &before.full_name));
        changes.descriptions.push(or(&profile.description, &before.description));
        changes.websites.push(or(&profile.website, &before.website));
        changes.locations.push(or(&profile.location, &before.location));
        changes.sectors.push(or(&profile.sector, &before.sector));
        changes.university_names.push(or(&profile.university_name, &before.university_name));
        changes.logo_urls.push(or(&profile.logo_url, &before.logo_url));
        changes.metadata.push(parsed.metadata.clone().unwrap_or_else(|| before.metadata.clone()));
    }
    if changes.ids.is_empty() {
        return Ok(events);
    }
    change_slugs(transaction, &positions, &renamed, at).await?;
    let updated = changes.query().execute(&mut **transaction).await.map_err(Error::from);
    updated.map_err(|error| match error.constraint() {
        Some("organizations_slug_key" | "organizations_external_id_key") => upsert::raced(LIST).into(),
        _ => error,
    })?;
    Ok(events)
}

/// Changes what is reserved of slugs. `positions` says to which items the changes belong.
async fn change_slugs(
    transaction: &mut Transaction,
    positions: &[usize],
    changes: &[NameChange<'_>],
    at: DateTime<Utc>,
) -> Result<()> {
    let refused = reserved_name::change_all(transaction, NameKind::Slug, changes, at).await?;
    ItemRefusals::at(LIST, positions, refused)?.none()
}

async fn insert(
    transaction: &mut Transaction,
    actor: &Actor,
    items: &[OrganizationUpsert],
    parsed: &[Parsed],
    plan: &[Planned<'_>],
    at: DateTime<Utc>,
) -> Result<Vec<NewEvent>> {
    let mut new = InsertAll {
        ids: Vec::new(),
        external_ids: Vec::new(),
        names: Vec::new(),
        slugs: Vec::new(),
        full_names: Vec::new(),
        descriptions: Vec::new(),
        websites: Vec::new(),
        locations: Vec::new(),
        sectors: Vec::new(),
        university_names: Vec::new(),
        logo_urls: Vec::new(),
        metadata: Vec::new(),
        created: Vec::new(),
    };
    let (mut positions, mut named, mut owned) = (Vec::new(), Vec::new(), Vec::new());
    for (position, ((item, parsed), planned)) in items.iter().zip(parsed).zip(plan).enumerate() {
        let Planned::Insert { id, owner, name } = planned else { continue };
        let profile = parsed.profile.clone();
        if let Some(slug) = parsed.slug() {
            positions.push(position);
            named.push(NameChange { holder: Holder::Organization(*id), from: None, to: Some(slug.as_str()) });
        }
        let created_at = item.created_at.unwrap_or(at);
        owned.push((*id, *owner, created_at));
        new.ids.push(*id);
        new.external_ids.push(item.external_id.clone());
        new.names.push(name.clone());
        new.slugs.push(profile.slug.clone().flatten());
        new.full_names.push(profile.full_name.flatten());
        new.descriptions.push(profile.description.flatten());
        new.websites.push(profile.website.flatten());
        new.locations.push(profile.location.flatten());
        new.sectors.push(profile.sector.flatten());
        new.university_names.push(profile.university_name.flatten());
        new.logo_urls.push(profile.logo_url.flatten());
        new.metadata.push(parsed.metadata.clone().flatten());
        new.created.push(created_at);
    }
    if owned.is_empty() {
        return Ok(Vec::new());
    }
    let operator = actor.operator(PlatformScope::OrganizationsWrite, None, LIST, "ask them")?;
    change_slugs(transaction, &positions, &named, at).await?;
    new.slugs = slugs(transaction, parsed, plan).await?;
    if new.query().execute(&mut **transaction).await? != owned.len() {
        return Err(upsert::raced(LIST).into());
    }
    let admission = |(organization_id, user_id, since): &(OrganizationId, UserId, DateTime<Utc>)| {
        (Admission::Operator { operator, user_id: *user_id, organization_id: *organization_id }, *since)
    };
    let admissions: Vec<_> = owned.iter().map(admission).collect();
    member_writes::admit_new(transaction, &admissions).await?;
    let event = |(admission, _): (Admission<'_>, DateTime<Utc>)| {
        let membership = admission.membership();
        let (id, owner) = (membership.organization_id, membership.user_id);
        admission
            .event(AuditAction::OrganizationCreated, id)
            .summary(format!("founded with the owner {owner}"))
            .about(owner)
            .with(json!({ "owner": owner.to_string(), "role": Role::Owner.as_str() }))
    };
    Ok(admissions.into_iter().map(event).collect())
}

/// The slugs of new organizations: the given ones, none where null is given, and others made from the names.
async fn slugs(transaction: &mut Transaction, parsed: &[Parsed], plan: &[Planned<'_>]) -> Result<Vec<Option<Slug>>> {
    let new: Vec<(&Parsed, &str)> = parsed
        .iter()
        .zip(plan)
        .filter_map(|(parsed, planned)| match planned {
            Planned::Insert { name, .. } => Some((parsed, name.as_str())),
            Planned::Update(_) | Planned::Nothing(_) => None,
        })
        .collect();
    let unnamed: Vec<&str> =
        new.iter().filter(|(parsed, _)| parsed.profile.slug.is_none()).map(|(_, name)| *name).collect();
    let given: HashSet<String> = parsed.iter().filter_map(|parsed| Some(parsed.slug()?.to_string())).collect();
    let mut made = reserved_name::derive_all::<Slug>(transaction, &unnamed, given).await?.into_iter();
    let slug = |(parsed, _): &(&Parsed, &str)| match &parsed.profile.slug {
        Some(given) => Ok(given.clone()),
        None => made.next().flatten().map(Some).ok_or_else(|| upsert::raced(LIST).into()),
    };
    new.iter().map(slug).collect()
}
