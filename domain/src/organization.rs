//! Organizations: founding them, their profile, and who finds them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rand::RngExt;
use serde_json::json;
use uuid::Uuid;

use crate::access::{self, Lock};
use crate::actor::Actor;
use crate::audit::{self, AuditAction, NewEvent};
use crate::database::schema::{members, organizations};
use crate::database::{Database, Transaction, now};
use crate::error::{Code, Error, Refusal, Result, on_violation};
use crate::id::{MemberId, OrganizationId, UserId};
use crate::job::{MailOwnerSet, MailOwnerWelcome};
use crate::limits;
use crate::member::{self, Join, JoinMethod, MemberStatus, Permissions};
use crate::policy::{AccessLevel, Action, AdminPowers, ExternalSharing, MemberDirectory, Role, Standing};
use crate::settings::OrganizationCreation;
use crate::text::{self, EmailAddress, Slug};
use crate::user::{self, NewUser};

/// An organization.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = organizations)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// The account whose personal organization it is (D5).
    pub personal_user_id: Option<UserId>,
    /// As it appears everywhere.
    pub name: String,
    /// Its short name.
    pub slug: Option<Slug>,
    /// Its name in full.
    pub full_name: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// A link.
    pub website: Option<String>,
    /// Where it is.
    pub location: Option<String>,
    /// In which sector.
    pub sector: Option<String>,
    /// Of which university.
    pub university_name: Option<String>,
    /// A link to its logo.
    pub logo_url: Option<String>,
    /// Whom plain members see.
    pub member_directory: MemberDirectory,
    /// Whether admins have the owner's powers.
    pub admin_powers: AdminPowers,
    /// Whether resources may be shared outside.
    pub external_sharing: ExternalSharing,
    /// What who joins by code may do, and who is invited without other words.
    #[diesel(embed)]
    pub default_permissions: DefaultPermissions,
    /// How long invitations last.
    pub invitation_days: i32,
    /// When it was founded.
    pub created_at: DateTime<Utc>,
    /// Since when it waits for its final removal.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// The permissions that new members get.
#[derive(Debug, Clone, Copy, Queryable, Selectable)]
#[diesel(table_name = organizations)]
pub struct DefaultPermissions {
    default_billable_activities: bool,
    default_shared_apps: bool,
    default_shared_projects: AccessLevel,
}

impl From<DefaultPermissions> for Permissions {
    fn from(default: DefaultPermissions) -> Self {
        Self {
            billable_activities: default.default_billable_activities,
            shared_apps: default.default_shared_apps,
            shared_projects: default.default_shared_projects,
        }
    }
}

impl Organization {
    /// Whether it is an account's personal organization.
    pub fn is_personal(&self) -> bool {
        self.personal_user_id.is_some()
    }

    pub(crate) fn standing_of(&self, role: Role) -> Standing {
        Standing {
            role,
            admin_powers: self.admin_powers,
            member_directory: self.member_directory,
            personal: self.is_personal(),
        }
    }
}

/// The organization of an id, whoever asks: for what already led to it.
pub async fn by_id(connection: &mut AsyncPgConnection, id: OrganizationId) -> Result<Organization> {
    Ok(organizations::table.find(id).select(Organization::as_select()).first(connection).await?)
}

/// The organization of a slug; those who don't belong to it must not learn of it (R21).
pub async fn id_by_slug(connection: &mut AsyncPgConnection, slug: &str) -> Result<Option<OrganizationId>> {
    Ok(organizations::table
        .filter(organizations::slug.eq(slug.trim().to_lowercase()))
        .filter(organizations::deleted_at.is_null())
        .select(organizations::id)
        .first(connection)
        .await
        .optional()?)
}

/// The owners of the organizations.
pub async fn owners(
    connection: &mut AsyncPgConnection,
    ids: &[OrganizationId],
) -> Result<Vec<(OrganizationId, UserId)>> {
    Ok(members::table
        .filter(members::organization_id.eq_any(ids))
        .filter(members::role.eq(Role::Owner))
        .filter(members::status.eq(MemberStatus::Active))
        .select((members::organization_id, members::user_id))
        .load(connection)
        .await?)
}

/// The profile as it was sent; a field left out of an update stays as it is, and null clears it.
#[derive(Debug, Clone, Default)]
pub struct ProfileInput {
    /// As it appears everywhere.
    pub name: Option<String>,
    /// Its short name.
    pub slug: Option<Option<String>>,
    /// Its name in full.
    pub full_name: Option<Option<String>>,
    /// What it is.
    pub description: Option<Option<String>>,
    /// A link.
    pub website: Option<Option<String>>,
    /// Where it is.
    pub location: Option<Option<String>>,
    /// In which sector.
    pub sector: Option<Option<String>>,
    /// Of which university.
    pub university_name: Option<Option<String>>,
    /// A link to its logo.
    pub logo_url: Option<Option<String>>,
}

#[derive(Debug, Clone, Default, AsChangeset, Insertable)]
#[diesel(table_name = organizations)]
struct Profile {
    name: Option<String>,
    slug: Option<Option<Slug>>,
    full_name: Option<Option<String>>,
    description: Option<Option<String>>,
    website: Option<Option<String>>,
    location: Option<Option<String>>,
    sector: Option<Option<String>>,
    university_name: Option<Option<String>>,
    logo_url: Option<Option<String>>,
}

impl ProfileInput {
    /// Parses every field, so that all that is wrong is said at once.
    fn parse(&self) -> Result<Profile> {
        let mut refusals = Vec::new();
        let mut line = |field: &str, value: &Option<Option<String>>| -> Option<Option<String>> {
            let parsed =
                value.as_ref().map(|value| text::optional_line(field, value.as_deref(), limits::LINE)).transpose();
            parsed.unwrap_or_else(|refusal| {
                refusals.push(refusal);
                None
            })
        };
        let full_name = line("fullName", &self.full_name);
        let location = line("location", &self.location);
        let sector = line("sector", &self.sector);
        let university_name = line("universityName", &self.university_name);
        let mut keep = |refusal: Refusal| refusals.push(refusal);
        let name = self.name.as_deref().and_then(|name| text::line("name", name, limits::NAME).map_err(&mut keep).ok());
        let slug = match &self.slug {
            None => None,
            Some(None) => Some(None),
            Some(Some(slug)) => Slug::parse("slug", slug).map_err(&mut keep).ok().map(Some),
        };
        let description = self.description.as_ref().and_then(|value| {
            text::optional_text("description", value.as_deref(), limits::DESCRIPTION).map_err(&mut keep).ok()
        });
        let mut link = |field: &str, value: &Option<Option<String>>| {
            value.as_ref().and_then(|value| text::optional_link(field, value.as_deref()).map_err(&mut keep).ok())
        };
        let website = link("website", &self.website);
        let logo_url = link("logoUrl", &self.logo_url);
        if !refusals.is_empty() {
            return Err(Error::Refused(refusals));
        }
        Ok(Profile { name, slug, full_name, description, website, location, sector, university_name, logo_url })
    }

    fn changed_fields(&self) -> Vec<&'static str> {
        [
            ("name", self.name.is_some()),
            ("slug", self.slug.is_some()),
            ("fullName", self.full_name.is_some()),
            ("description", self.description.is_some()),
            ("website", self.website.is_some()),
            ("location", self.location.is_some()),
            ("sector", self.sector.is_some()),
            ("universityName", self.university_name.is_some()),
            ("logoUrl", self.logo_url.is_some()),
        ]
        .into_iter()
        .filter_map(|(field, changed)| changed.then_some(field))
        .collect()
    }
}

fn slug_taken() -> Refusal {
    Refusal::new(Code::SlugTaken, "slug", "this slug is in use; choose another")
}

/// Founds an organization: its creator owns it (R11), or, where staff name one, the account of `owner_email` (R1).
pub async fn create(
    database: &Database,
    actor: &Actor,
    profile: &ProfileInput,
    owner_email: Option<&str>,
) -> Result<OrganizationId> {
    let founder = match (actor, owner_email) {
        (Actor::Staff { .. }, Some(email)) => Founder::Appointed(EmailAddress::parse("ownerEmail", email)?),
        (Actor::Staff { .. }, None) => {
            return Err(Error::refused(Code::Blank, "ownerEmail", "staff name the owner by e-mail address"));
        }
        (_, Some(_)) => {
            return Err(Error::refused(
                Code::Forbidden,
                "ownerEmail",
                "only the platform's staff name another owner; leave it out",
            ));
        }
        (_, None) => {
            let (user_id, _) = actor.signed_in("name")?;
            if database.deployment().organization_creation == OrganizationCreation::Staff {
                return Err(Error::refused(
                    Code::Forbidden,
                    "name",
                    "here the platform's staff create organizations; ask them",
                ));
            }
            Founder::Self_(user_id)
        }
    };
    if profile.name.is_none() {
        return Err(Error::refused(Code::Blank, "name", "may not be empty"));
    }
    let parsed = profile.parse()?;
    database
        .transaction(async |transaction| {
            let mut events = Vec::new();
            let (user_id, joined_via) = match &founder {
                Founder::Self_(user_id) => (*user_id, JoinMethod::Founder),
                Founder::Appointed(email) => match user::by_email(transaction, email).await? {
                    Some(user) => (user.id, JoinMethod::Staff),
                    None => {
                        // The address is a pre-registration: whoever controls it signs in as the owner.
                        let new = NewUser { email, name: None, username: None, origin_organization_id: None };
                        let created = user::create(transaction, new).await?;
                        events.push(created.event());
                        (created.user_id, JoinMethod::Staff)
                    }
                },
            };
            access::lock_users(transaction, &[user_id]).await?;
            if user::by_id(transaction, user_id).await?.suspended_at.is_some() {
                let field = if joined_via == JoinMethod::Staff { "ownerEmail" } else { "name" };
                return Err(crate::actor::suspended(field).into());
            }
            member::require_room_for_another(transaction, user_id, "name").await?;
            require_room_for_owner(transaction, user_id).await?;
            let id = insert(transaction, parsed.clone()).await?;
            let at = now(transaction).await?;
            diesel::insert_into(members::table)
                .values((
                    members::id.eq(MemberId::new()),
                    members::organization_id.eq(id),
                    members::user_id.eq(user_id),
                    members::role.eq(Role::Owner),
                    members::status.eq(MemberStatus::Active),
                    Permissions::all(),
                    members::joined_at.eq(at),
                    members::joined_via.eq(joined_via),
                ))
                .execute(&mut **transaction)
                .await?;
            if joined_via == JoinMethod::Staff {
                transaction.enqueue(&MailOwnerWelcome { organization_id: id, user_id }).await?;
            }
            events.push(
                NewEvent::by(actor, id, AuditAction::OrganizationCreated, id)
                    .summary(format!("founded with the owner {user_id}"))
                    .with(json!({ "owner": user_id.to_string() })),
            );
            audit::record(transaction, events).await?;
            Ok(id)
        })
        .await
}

/// Staff give an organization to another owner (R1); the old one becomes ADMIN. One transaction: there is never none, never two.
pub async fn set_owner(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    new_owner: UserId,
) -> Result<OrganizationId> {
    if !matches!(actor, Actor::Staff { .. }) {
        return Err(Error::refused(
            Code::Forbidden,
            "organizationId",
            "only the platform's staff do this; owners use transferOwnership",
        ));
    }
    let no_user = || Refusal::new(Code::NotFound, "userId", "there is no such user");
    database
        .transaction(async |transaction| {
            let old_owner = owners(transaction, &[id]).await?.pop().map(|(_, user_id)| user_id);
            let Some(old_owner) = old_owner else { return Err(not_found()) };
            access::lock_users(transaction, &[old_owner, new_owner]).await?;
            if !access::lock_organization(transaction, id).await? {
                return Err(not_found());
            }
            let organization = by_id(transaction, id).await?;
            if organization.is_personal() {
                return Err(Error::refused(
                    Code::Forbidden,
                    "organizationId",
                    "a personal organization stays with its account",
                ));
            }
            // Another change of owner may have come first: its outcome counts now.
            let current = owners(transaction, &[id]).await?.pop().map(|(_, user_id)| user_id);
            if current != Some(old_owner) {
                return Err(Error::refused(Code::Conflict, "organizationId", "the owner has just changed; look again"));
            }
            if old_owner == new_owner {
                return Ok(id);
            }
            let user = user::by_ids(transaction, &[new_owner]).await?.pop().ok_or_else(no_user)?;
            if user.suspended_at.is_some() {
                return Err(crate::actor::suspended("userId").into());
            }
            diesel::update(
                members::table.filter(members::organization_id.eq(id)).filter(members::user_id.eq(old_owner)),
            )
            .set(members::role.eq(Role::Admin))
            .execute(&mut **transaction)
            .await?;
            let standing = organization.standing_of(Role::Admin);
            let mut events = member::revoke_no_longer_issuable(transaction, actor, standing, id, old_owner).await?;
            let is_member = member::of(transaction, id, new_owner)
                .await?
                .is_some_and(|member| member.status == MemberStatus::Active);
            if is_member {
                diesel::update(
                    members::table.filter(members::organization_id.eq(id)).filter(members::user_id.eq(new_owner)),
                )
                .set((members::role.eq(Role::Owner), Permissions::all()))
                .execute(&mut **transaction)
                .await?;
            } else {
                let join = Join {
                    user_id: new_owner,
                    organization_id: id,
                    role: Role::Owner,
                    permissions: Permissions::all(),
                    via: JoinMethod::Staff,
                };
                events.extend(member::join(transaction, &join, "userId").await?.1);
            }
            transaction
                .enqueue(&MailOwnerSet { organization_id: id, user_id: new_owner, notice: Uuid::now_v7() })
                .await?;
            events.push(
                NewEvent::by(actor, id, AuditAction::OrganizationOwnerSet, id)
                    .summary(format!("staff passed the ownership from {old_owner} to {new_owner}"))
                    .with(json!({ "from": old_owner.to_string(), "to": new_owner.to_string() })),
            );
            audit::record(transaction, events).await?;
            Ok(id)
        })
        .await
}

fn not_found() -> Error {
    Error::refused(Code::NotFound, "organizationId", "there is no such organization")
}

enum Founder {
    Self_(UserId),
    Appointed(EmailAddress),
}

async fn require_room_for_owner(transaction: &mut Transaction, user_id: UserId) -> Result<()> {
    let owned: i64 = members::table
        .filter(members::user_id.eq(user_id))
        .filter(members::role.eq(Role::Owner))
        .filter(members::status.eq(MemberStatus::Active))
        .count()
        .get_result(&mut **transaction)
        .await?;
    if owned > limits::MAX_OWNED_ORGANIZATIONS {
        return Err(Error::refused(
            Code::TooMany,
            "name",
            format!("one person owns at most {} organizations; hand one over first", limits::MAX_OWNED_ORGANIZATIONS),
        ));
    }
    Ok(())
}

/// Inserts the organization; one without a slug gets one made of its name.
async fn insert(transaction: &mut Transaction, mut profile: Profile) -> Result<OrganizationId> {
    let id = OrganizationId::new();
    let at = now(transaction).await?;
    if let Some(Some(_)) = &profile.slug {
        let inserted = diesel::insert_into(organizations::table)
            .values((organizations::id.eq(id), organizations::created_at.eq(at), profile))
            .execute(&mut **transaction)
            .await;
        on_violation(inserted, "organizations_slug_key", slug_taken)?;
        return Ok(id);
    }
    let name = profile.name.clone().unwrap_or_default();
    let mut salt = String::new();
    for _ in 0..10 {
        profile.slug = Some(Some(Slug::derived(&name, &salt)));
        let inserted = diesel::insert_into(organizations::table)
            .values((organizations::id.eq(id), organizations::created_at.eq(at), profile.clone()))
            .on_conflict(organizations::slug)
            .do_nothing()
            .execute(&mut **transaction)
            .await?;
        if inserted == 1 {
            return Ok(id);
        }
        salt = rand::rng().random_range(1000..1_000_000_u32).to_string();
    }
    Err(Error::refused(Code::SlugTaken, "slug", "name a slug: the ones made from the name are in use"))
}

/// Changes the profile (R49); it is cosmetic and changes no right (R50).
pub async fn update(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    profile: &ProfileInput,
) -> Result<OrganizationId> {
    let parsed = profile.parse()?;
    let changed = profile.changed_fields();
    database
        .transaction(async |transaction| {
            access::authorize(transaction, actor, id, Lock::Organization, Action::EditProfile, "id").await?;
            if changed.is_empty() {
                return Ok(id);
            }
            let updated =
                diesel::update(organizations::table.find(id)).set(parsed.clone()).execute(&mut **transaction).await;
            on_violation(updated, "organizations_slug_key", slug_taken)?;
            let event = NewEvent::by(actor, id, AuditAction::OrganizationUpdated, id)
                .summary(format!("changed {}", changed.join(", ")))
                .with(json!({ "fields": changed }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}
