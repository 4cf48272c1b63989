//! Organizations: founding them, their profile, and who finds them.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rand::RngExt;
use serde_json::{Value, json};

use crate::account::new_account::{self, NewUser};
use crate::account::reserved_name::{self, Holder};
use crate::account::user;
use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::Actor;
use crate::authority::attempt::{self, Tries};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::membership::{JoinMethod, MemberStatus};
use crate::authority::permissions::{Permissions, PermissionsInput};
use crate::authority::policy::{AccessLevel, Action, AdminPowers, ExternalSharing, MemberDirectory, Role, Standing};
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Reader, Refusal, Result, on_violation};
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::base::job::{MailOwnerReplaced, MailOwnerSet, MailOwnerWelcome, MailOwnershipTransferred, MarkEnded};
use crate::base::text::{self, EmailAddress, Slug, Username};
use crate::base::{clock, limits};
use crate::database::deployment::OrganizationCreation;
use crate::database::schema::{members, organizations};
use crate::database::{Database, Transaction, now};
use crate::event::webhook;
use crate::membership::member::{self, Join};

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
    /// The owner who deleted it.
    pub deleted_by_id: Option<UserId>,
    /// Its plan (R64).
    pub plan: String,
    /// How many seats come with it; as many as like where it is none.
    pub seat_limit: Option<i32>,
    /// How many bytes its resources may take up; as many as they like where it is none.
    pub storage_limit_bytes: Option<i64>,
    /// How many runs may go on at a time; as many as they like where it is none.
    pub run_limit: Option<i32>,
    /// Where it is billed, for all of its members (R63).
    #[diesel(embed)]
    pub billing_account: BillingAccount,
}

/// Where an organization is billed.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = organizations)]
pub struct BillingAccount {
    /// Whose account.
    pub billing_account_name: Option<String>,
    /// Whom to ask about bills.
    pub billing_contact_email: Option<EmailAddress>,
    /// What bills shall say, such as a cost centre.
    pub billing_reference: Option<String>,
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

    /// For the audit log.
    fn policy_json(&self) -> Value {
        json!({
            "member_directory": self.member_directory.as_str(),
            "admin_powers": self.admin_powers.as_str(),
            "external_sharing": self.external_sharing.as_str(),
            "default_permissions": Permissions::from(self.default_permissions).to_json(),
            "invitation_days": self.invitation_days,
        })
    }

    pub fn standing_of(&self, role: Role) -> Standing {
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

/// Whether an organization's resources may be shared outside.
pub(crate) async fn external_sharing(transaction: &mut Transaction, id: OrganizationId) -> Result<ExternalSharing> {
    Ok(organizations::table.find(id).select(organizations::external_sharing).first(&mut **transaction).await?)
}

/// The organization of a slug; those who don't belong to it must not learn of it (R21).
pub async fn id_by_slug(connection: &mut AsyncPgConnection, slug: &str) -> Result<Option<OrganizationId>> {
    let Ok(slug) = Slug::parse("slug", slug) else { return Ok(None) };
    Ok(organizations::table
        .filter(organizations::slug.eq(slug))
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
                value.as_ref().map(|value| text::optional_name(field, value.as_deref(), limits::LINE)).transpose();
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
        let name = self.name.as_deref().and_then(|name| text::name("name", name, limits::NAME).map_err(&mut keep).ok());
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

/// Founds an organization: its creator owns it (R11), or, where staff name one, the account of `owner_email` (R1).
pub async fn create(
    database: &Database,
    actor: &Actor,
    profile: &ProfileInput,
    owner_email: Option<&str>,
    client: ClientNetwork,
) -> Result<OrganizationId> {
    let founder = match (actor.is_staff(), owner_email) {
        (true, Some(email)) => Founder::Appointed(EmailAddress::parse("ownerEmail", email)?),
        (true, None) => {
            return Err(Error::refused(Code::Blank, "ownerEmail", "staff name the owner by e-mail address"));
        }
        (false, Some(_)) => {
            return Err(Error::refused(
                Code::Forbidden,
                "ownerEmail",
                "only the platform's staff name another owner; leave it out",
            ));
        }
        (false, None) => {
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
    // The slug tells whether another organization has it (R21), also the one that is made of the name: whoever has made too many guesses
    // gets one that tells nothing.
    let is_named = matches!(parsed.slug, Some(Some(_)));
    let (guess, salted) = match attempt::count_guesses(database, actor, client, 1).await {
        Err(Error::RateLimited { .. }) if !is_named => (Tries::none(), true),
        guess => (guess?, false),
    };
    let created = database
        .transaction(async |transaction| {
            let mut events = Vec::new();
            let (user_id, joined_via) = match &founder {
                Founder::Self_(user_id) => (*user_id, JoinMethod::Founder),
                Founder::Appointed(email) => match user::by_email(transaction, email).await? {
                    Some(user) => (user.id, JoinMethod::Staff),
                    None => {
                        // The address is a pre-registration: whoever controls it signs in as the owner.
                        let new = NewUser { email, name: None, username: None, origin_organization_id: None };
                        let created = new_account::create(transaction, new).await?;
                        events.extend(created.events);
                        (created.user_id, JoinMethod::Staff)
                    }
                },
            };
            access::lock_users(transaction, &[user_id]).await?;
            let (field, reader) = match &founder {
                Founder::Self_(_) => ("name", Reader::Themselves),
                Founder::Appointed(_) => ("ownerEmail", Reader::Another),
            };
            if user::require_living(transaction, user_id, field).await?.suspended_at.is_some() {
                return Err(crate::authority::actor::suspended_to(reader, field).into());
            }
            member::require_room_for_another(transaction, user_id, reader, field).await?;
            require_room_for_owner(transaction, user_id, field).await?;
            guess.make();
            let (id, is_salted) = insert(transaction, parsed.clone(), salted).await?;
            let tells_of_another = is_salted && !salted;
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
            Ok((id, tells_of_another))
        })
        .await;
    match created {
        Ok((id, tells_of_another)) => {
            guess.keep(usize::from(tells_of_another)).await;
            Ok(id)
        }
        Err(error) => guess.settle(Err(error)).await,
    }
}

/// Staff give an organization to another owner (R1); the old one becomes ADMIN. One transaction: there is never none, never two.
pub async fn set_owner(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    new_owner: UserId,
) -> Result<OrganizationId> {
    actor.require_staff("organizationId", "owners use transferOwnership")?;
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
            let user = user::by_ids(transaction, &[new_owner]).await?.pop();
            let user = user.filter(|user| user.deleted_at.is_none()).ok_or_else(no_user)?;
            if user.suspended_at.is_some() {
                return Err(crate::authority::actor::suspended_to(Reader::Another, "userId").into());
            }
            require_room_for_owner(transaction, new_owner, "userId").await?;
            step_down(transaction, &organization, old_owner).await?;
            let mut events = Vec::new();
            let is_member = member::of(transaction, id, new_owner)
                .await?
                .is_some_and(|member| member.status == MemberStatus::Active);
            if is_member {
                step_up(transaction, id, new_owner).await?;
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
            let notice = clock::uuid_of(now(transaction).await?);
            transaction.enqueue(&MailOwnerSet { organization_id: id, user_id: new_owner, notice }).await?;
            let set = NewEvent::by(actor, id, AuditAction::OrganizationOwnerSet, id)
                .summary(format!("staff passed the ownership from {old_owner} to {new_owner}"))
                .with(json!({ "from": old_owner.to_string(), "to": new_owner.to_string() }));
            transaction.enqueue(&MailOwnerReplaced { audit_event_id: set.id() }).await?;
            events.push(set);
            audit::record(transaction, events).await?;
            Ok(id)
        })
        .await
}

/// The owner becomes ADMIN; what they issued and as an admin can issue no longer ends (R42). Another owner must follow at
/// once. The organization is locked.
async fn step_down(transaction: &mut Transaction, organization: &Organization, owner: UserId) -> Result<()> {
    let membership =
        members::table.filter(members::organization_id.eq(organization.id)).filter(members::user_id.eq(owner));
    diesel::update(membership).set(members::role.eq(Role::Admin)).execute(&mut **transaction).await?;
    let (before, after) = (organization.standing_of(Role::Owner), organization.standing_of(Role::Admin));
    member::end_no_longer_issuable(transaction, before, after, organization.id, owner).await
}

/// A member becomes the owner.
async fn step_up(transaction: &mut Transaction, id: OrganizationId, member: UserId) -> Result<()> {
    let membership = members::table.filter(members::organization_id.eq(id)).filter(members::user_id.eq(member));
    diesel::update(membership)
        .set((members::role.eq(Role::Owner), Permissions::all()))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// To whom the owner hands the organization over, and what they typed to confirm it.
#[derive(Debug)]
pub struct TransferOwnership {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The admin who shall own it.
    pub member_id: MemberId,
    /// The organization's name.
    pub confirm_organization_name: String,
    /// The admin's username.
    pub confirm_username: String,
}

fn mismatch(field: &str, what: &str) -> Refusal {
    Refusal::new(Code::ConfirmationMismatch, field, format!("type {what} to confirm"))
}

/// The owner hands the organization over to an admin (R46), having typed both names (R47); the old owner becomes ADMIN.
pub async fn transfer_ownership(
    database: &Database,
    actor: &Actor,
    command: &TransferOwnership,
) -> Result<OrganizationId> {
    let id = command.organization_id;
    let (old_owner, _) = actor.signed_in("organizationId")?;
    let not_found = || member::not_found("memberId");
    database
        .transaction(async |transaction| {
            // Users come before organizations in the order of locks.
            let found = member::by_ids(transaction, &[command.member_id]).await?.pop();
            let target = found.filter(|member| member.organization_id == id).map(|member| member.user_id);
            let mut users = vec![old_owner];
            users.extend(target);
            access::lock_users(transaction, &users).await?;
            access::authorize(transaction, actor, id, Lock::Organization, Action::TransferOwnership, "organizationId")
                .await?;
            let new_owner = target.ok_or_else(not_found)?;
            let organization = by_id(transaction, id).await?;
            if !text::is_typed(&command.confirm_organization_name, &organization.name) {
                return Err(mismatch("confirmOrganizationName", "the organization's name as it stands").into());
            }
            let user = user::by_id(transaction, new_owner).await?;
            if Username::parse("confirmUsername", &command.confirm_username).as_ref() != Ok(&user.username) {
                return Err(mismatch("confirmUsername", "the username of the new owner").into());
            }
            if old_owner == new_owner {
                return Err(Error::refused(Code::Self_, "memberId", "you own this organization already"));
            }
            let member = member::of(transaction, id, new_owner).await?.ok_or_else(not_found)?;
            if member.status != MemberStatus::Active || member.role != Role::Admin {
                let message = "ownership goes to an admin only; make them an admin first";
                return Err(Error::refused(Code::NotAnAdmin, "memberId", message));
            }
            if user.suspended_at.is_some() {
                return Err(crate::authority::actor::suspended_to(Reader::Another, "memberId").into());
            }
            require_room_for_owner(transaction, new_owner, "memberId").await?;
            step_down(transaction, &organization, old_owner).await?;
            step_up(transaction, id, new_owner).await?;
            let at = now(transaction).await?;
            let mails = [old_owner, new_owner].map(|recipient_id| MailOwnershipTransferred {
                organization_id: id,
                from_id: old_owner,
                to_id: new_owner,
                recipient_id,
                notice: clock::uuid_of(at),
            });
            transaction.enqueue_all(&mails).await?;
            let event = NewEvent::by(actor, id, AuditAction::OrganizationOwnershipTransferred, command.member_id)
                .summary(format!("passed the ownership from {old_owner} to {new_owner}"))
                .with(json!({ "from": old_owner.to_string(), "to": new_owner.to_string() }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// What to change of a policy; what is left out stays as it is.
#[derive(Debug, Default)]
pub struct UpdatePolicy {
    /// Whom plain members see (D9).
    pub member_directory: Option<MemberDirectory>,
    /// Whether admins have the owner's powers (D2); for the owner alone.
    pub admin_powers: Option<AdminPowers>,
    /// Whether resources may be shared outside.
    pub external_sharing: Option<ExternalSharing>,
    /// What new members may do.
    pub default_permissions: PermissionsInput,
    /// How many days invitations last (R23).
    pub invitation_days: Option<i32>,
}

/// Changes the policy (R9).
pub async fn update_policy(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    command: &UpdatePolicy,
) -> Result<OrganizationId> {
    if let Some(days) = command.invitation_days.filter(|days| !limits::INVITATION_DAYS.contains(days)) {
        let (first, last) = (limits::INVITATION_DAYS.start(), limits::INVITATION_DAYS.end());
        let message = format!("invitations last {first} to {last} days, not {days}");
        return Err(Error::refused(Code::Invalid, "invitationDays", message));
    }
    database
        .transaction(async |transaction| {
            let permit =
                access::authorize(transaction, actor, id, Lock::Organization, Action::EditPolicy, "organizationId")
                    .await?;
            let before = by_id(transaction, id).await?;
            let admin_powers = command.admin_powers.unwrap_or(before.admin_powers);
            if admin_powers != before.admin_powers && !permit.standing().may_set_admin_powers() {
                let message = "only the owner says what admins may do";
                return Err(Error::refused(Code::Forbidden, "adminPowers", message));
            }
            let permissions = command.default_permissions.or(before.default_permissions.into());
            let after: Organization = diesel::update(organizations::table.find(id))
                .set((
                    organizations::member_directory.eq(command.member_directory.unwrap_or(before.member_directory)),
                    organizations::admin_powers.eq(admin_powers),
                    organizations::external_sharing.eq(command.external_sharing.unwrap_or(before.external_sharing)),
                    organizations::default_billable_activities.eq(permissions.billable_activities),
                    organizations::default_shared_apps.eq(permissions.shared_apps),
                    organizations::default_shared_projects.eq(permissions.shared_projects),
                    organizations::invitation_days.eq(command.invitation_days.unwrap_or(before.invitation_days)),
                ))
                .returning(Organization::as_returning())
                .get_result(&mut **transaction)
                .await?;
            if before.admin_powers == AdminPowers::OwnerEquivalent && admin_powers == AdminPowers::Standard {
                member::end_issued_for_admins(transaction, id).await?;
            }
            let (from, to) = (before.policy_json(), after.policy_json());
            if from != to {
                let event = NewEvent::by(actor, id, AuditAction::OrganizationPolicyUpdated, id)
                    .summary("changed the policy")
                    .with(json!({ "from": from, "to": to }));
                audit::record(transaction, [event]).await?;
            }
            Ok(id)
        })
        .await
}

/// The owner deletes the organization, having typed its name (R48). Access ends at once; staff can restore it for
/// [`limits::RESTORABLE`], and then it is removed for good. Returns when.
pub async fn delete(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    confirm_organization_name: &str,
) -> Result<DateTime<Utc>> {
    let (owner, _) = actor.signed_in("id")?;
    database
        .transaction(async |transaction| {
            access::authorize(transaction, actor, id, Lock::Organization, Action::Delete, "id").await?;
            let organization = by_id(transaction, id).await?;
            if !text::is_typed(confirm_organization_name, &organization.name) {
                return Err(mismatch("confirmOrganizationName", "the organization's name as it stands").into());
            }
            let at = now(transaction).await?;
            diesel::update(organizations::table.find(id))
                .set((
                    organizations::deleted_at.eq(at),
                    organizations::deleted_by_id.eq(owner),
                    // Offers from and to it end for good, whoever restores it.
                    organizations::offers_ended_position.eq(sql::<BigInt>("nextval('grant_positions')")),
                ))
                .execute(&mut **transaction)
                .await?;
            transaction.enqueue(&MarkEnded { organization_id: id }).await?;
            let event =
                NewEvent::by(actor, id, AuditAction::OrganizationDeleted, id).summary("deleted the organization");
            audit::record(transaction, [event]).await?;
            Ok(at + limits::RESTORABLE)
        })
        .await
}

/// Staff restore a deleted organization (R48): everyone who was a member is one again, and what waited goes on.
pub async fn restore(database: &Database, actor: &Actor, id: OrganizationId) -> Result<OrganizationId> {
    actor.require_staff("id", "ask them")?;
    let not_found = || Refusal::new(Code::NotFound, "id", "there is no such organization");
    database
        .transaction(async |transaction| {
            // D3: members may have joined elsewhere meanwhile. Users come before organizations in the order of locks.
            if transaction.deployment().one_organization_per_user {
                let users: Vec<UserId> = members::table
                    .filter(members::organization_id.eq(id))
                    .filter(members::status.eq(MemberStatus::Active))
                    .select(members::user_id)
                    .load(&mut **transaction)
                    .await?;
                access::lock_users(transaction, &users).await?;
                let elsewhere = user::in_other_teams(transaction, &users, id).await?;
                if elsewhere > 0 {
                    let message = format!(
                        "{elsewhere} of its members belong to another organization by now; they must leave it first"
                    );
                    return Err(Error::refused(Code::OneOrganization, "id", message));
                }
            }
            let (deleted_at, personal): (Option<DateTime<Utc>>, Option<UserId>) = organizations::table
                .find(id)
                .select((organizations::deleted_at, organizations::personal_user_id))
                .for_no_key_update()
                .first(&mut **transaction)
                .await
                .optional()?
                .ok_or_else(not_found)?;
            if personal.is_some() {
                let message = "a personal organization goes with its account, and nothing brings that back";
                return Err(Error::refused(Code::Forbidden, "id", message));
            }
            let Some(deleted_at) = deleted_at else {
                return Err(Error::refused(Code::Conflict, "id", "this organization isn't deleted"));
            };
            if now(transaction).await? >= deleted_at + limits::RESTORABLE {
                return Err(Error::refused(Code::Expired, "id", "its 30 days are over; its data is being removed"));
            }
            diesel::update(organizations::table.find(id))
                .set((
                    organizations::deleted_at.eq(None::<DateTime<Utc>>),
                    organizations::deleted_by_id.eq(None::<UserId>),
                ))
                .execute(&mut **transaction)
                .await?;
            webhook::resume(transaction, id).await?;
            let event =
                NewEvent::by(actor, id, AuditAction::OrganizationRestored, id).summary("restored the organization");
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

/// Takes one of the mails that an organization may send a minute; RATE_LIMITED says when this one's turn comes.
pub async fn take_mail_turn(database: &Database, organization_id: OrganizationId) -> Result<()> {
    attempt::take_turn(database, &limits::ORGANIZATION_MAILS, &organization_id.to_string()).await
}

/// What belongs to an organization, in an order that its references allow. Its log stays; the rest goes with these.
const TENANT_TABLES: [&str; 19] = [
    "webhook_deliveries",
    "webhooks",
    "resource_moves",
    "departures",
    "project_transfers",
    "runs",
    "collection_items",
    "share_links",
    "grant_invitations",
    "grants",
    "resources",
    "organization_storage",
    "credit_purchases",
    "api_keys",
    "join_codes",
    "invitation_teams",
    "team_members",
    "teams",
    "invitations",
];

/// Removes up to `limit` rows of an organization that was deleted [`limits::RESTORABLE`] ago, and at last the organization
/// itself (R48). Returns how many; none where there is no such organization left.
pub(crate) async fn purge(transaction: &mut Transaction, limit: u32) -> Result<Option<usize>> {
    let until = now(transaction).await? - limits::RESTORABLE;
    // Who restores it, or deletes in it, holds it.
    let overdue: Option<OrganizationId> = organizations::table
        .filter(organizations::deleted_at.le(until))
        .order(organizations::deleted_at)
        .select(organizations::id)
        .for_update()
        .skip_locked()
        .first(&mut **transaction)
        .await
        .optional()?;
    let Some(id) = overdue else { return Ok(None) };
    // The owner goes with the organization, which is never without one.
    let members = ("members", "NOT (role = 'owner' AND status = 'active')");
    let condition = |table| match table {
        // What lies in something goes before it.
        "resources" => "NOT EXISTS (SELECT FROM resources inside WHERE inside.container_id = resources.id)",
        // By what there is an index for.
        "webhook_deliveries" => "webhook_id IN (SELECT id FROM webhooks WHERE organization_id = $1)",
        _ => "true",
    };
    for (table, condition) in TENANT_TABLES.map(|table| (table, condition(table))).into_iter().chain([members]) {
        let condition = format!("organization_id = $1 AND {condition}");
        let removed = remove_where(transaction, table, &condition, id, limit).await?;
        if removed > 0 {
            return Ok(Some(removed));
        }
    }
    // What others have shared with it.
    let shared = remove_where(transaction, "grants", "grantee_organization_id = $1", id, limit).await?;
    if shared > 0 {
        return Ok(Some(shared));
    }
    diesel::delete(members::table.filter(members::organization_id.eq(id))).execute(&mut **transaction).await?;
    let slug = by_id(transaction, id).await?.slug;
    reserved_name::retire(transaction, Holder::Organization(id), slug.as_ref().map(Slug::as_str)).await?;
    diesel::delete(organizations::table.find(id)).execute(&mut **transaction).await?;
    let event =
        NewEvent::by_system(id, AuditAction::OrganizationPurged, id).summary("removed what belonged to it for good");
    audit::record(transaction, [event]).await?;
    Ok(Some(1))
}

/// Deletes up to `limit` rows of a table for which the condition holds, with $1 the organization; table and condition are ours, never
/// input.
async fn remove_where(
    transaction: &mut Transaction,
    table: &str,
    condition: &str,
    id: OrganizationId,
    limit: u32,
) -> Result<usize> {
    let rows = diesel::sql_query(format!(
        "DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE {condition} LIMIT $2)"
    ))
    .bind::<diesel::sql_types::Uuid, _>(id)
    .bind::<diesel::sql_types::BigInt, _>(i64::from(limit))
    .execute(&mut **transaction)
    .await?;
    Ok(rows)
}

fn not_found() -> Error {
    Error::refused(Code::NotFound, "organizationId", "there is no such organization")
}

enum Founder {
    Self_(UserId),
    Appointed(EmailAddress),
}

/// Fails with TOO_MANY where someone owns as many organizations as one person may; those that are deleted count while they can be
/// restored, so that restoring one takes no room. The account's row is locked.
async fn require_room_for_owner(transaction: &mut Transaction, user_id: UserId, field: &str) -> Result<()> {
    let owned: i64 = members::table
        .filter(members::user_id.eq(user_id))
        .filter(members::role.eq(Role::Owner))
        .filter(members::status.eq(MemberStatus::Active))
        .count()
        .get_result(&mut **transaction)
        .await?;
    // The personal one comes on top.
    if owned > limits::MAX_OWNED_ORGANIZATIONS {
        let most = limits::MAX_OWNED_ORGANIZATIONS;
        let message =
            format!("one person owns at most {most} organizations, and so many are owned; hand one over first");
        return Err(Error::refused(Code::TooMany, field, message));
    }
    Ok(())
}

/// Inserts the organization; one without a slug gets one made of its name, salted where it shall tell nothing. And whether it is salted, which
/// otherwise tells that another one has the slug that
/// the name gives.
async fn insert(transaction: &mut Transaction, mut profile: Profile, salted: bool) -> Result<(OrganizationId, bool)> {
    let id = OrganizationId::new();
    let at = now(transaction).await?;
    let holder = Holder::Organization(id);
    if let Some(Some(slug)) = &profile.slug {
        reserved_name::require_free(transaction, holder, slug.as_str()).await?;
        let inserted = diesel::insert_into(organizations::table)
            .values((organizations::id.eq(id), organizations::created_at.eq(at), profile))
            .execute(&mut **transaction)
            .await;
        on_violation(inserted, "organizations_slug_key", || holder.taken())?;
        return Ok((id, false));
    }
    let name = profile.name.clone().unwrap_or_default();
    let new_salt = || rand::rng().random_range(1000..1_000_000_u32).to_string();
    let mut salt = if salted { new_salt() } else { String::new() };
    for _ in 0..10 {
        let slug = Slug::derived(&name, &salt);
        if !reserved_name::is_reserved(transaction, holder, slug.as_str()).await? {
            profile.slug = Some(Some(slug));
            let inserted = diesel::insert_into(organizations::table)
                .values((organizations::id.eq(id), organizations::created_at.eq(at), profile.clone()))
                .on_conflict(organizations::slug)
                .do_nothing()
                .execute(&mut **transaction)
                .await?;
            if inserted == 1 {
                return Ok((id, !salt.is_empty()));
            }
        }
        salt = new_salt();
    }
    Err(Error::refused(Code::SlugTaken, "slug", "name a slug: the ones made from the name are in use"))
}

/// Changes the profile (R49); it is cosmetic and changes no right (R50).
pub async fn update(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    profile: &ProfileInput,
    client: ClientNetwork,
) -> Result<OrganizationId> {
    let parsed = profile.parse()?;
    let changed = profile.changed_fields();
    let guess = attempt::count_guesses(database, actor, client, profile.slug.iter().flatten().count()).await?;
    let updated = database
        .transaction(async |transaction| {
            access::authorize(transaction, actor, id, Lock::Organization, Action::EditProfile, "id").await?;
            guess.make();
            if changed.is_empty() {
                return Ok(id);
            }
            let holder = Holder::Organization(id);
            if let Some(slug) = &parsed.slug {
                let before = by_id(transaction, id).await?.slug;
                let [from, to] = [&before, slug].map(|slug| slug.as_ref().map(Slug::as_str));
                reserved_name::change(transaction, holder, from, to).await?;
            }
            let updated =
                diesel::update(organizations::table.find(id)).set(parsed.clone()).execute(&mut **transaction).await;
            on_violation(updated, "organizations_slug_key", || holder.taken())?;
            let event = NewEvent::by(actor, id, AuditAction::OrganizationUpdated, id)
                .summary(format!("changed {}", changed.join(", ")))
                .with(json!({ "fields": changed }));
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await;
    guess.settle(updated).await
}

/// The organizations of the ids, each with the actor's permit where they are an active member.
pub async fn organizations_with_permits(
    connection: &mut AsyncPgConnection,
    keys: &[(Actor, OrganizationId)],
) -> Result<Vec<(Actor, Organization, Option<Permit>)>> {
    let ids: Vec<OrganizationId> = keys.iter().map(|(_, id)| *id).collect();
    let found: Vec<Organization> = organizations::table
        .filter(organizations::id.eq_any(&ids))
        .select(Organization::as_select())
        .load(connection)
        .await?;
    let named = |id: OrganizationId| found.iter().find(|organization| organization.id == id);
    let standing_of = |id: OrganizationId, role: Role| {
        let living = named(id).filter(|organization| organization.deleted_at.is_none())?;
        Some(living.standing_of(role))
    };
    let permits = access::permits_by(connection, keys, standing_of).await?;
    let answer = |((actor, id), permit): (&(Actor, OrganizationId), Option<Permit>)| {
        Some((actor.clone(), named(*id)?.clone(), permit))
    };
    Ok(keys.iter().zip(permits).filter_map(answer).collect())
}
