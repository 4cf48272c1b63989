//! Organizations: their record, and how they are looked up.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::authority::access::{self, ActiveMembership, Permit};
use crate::authority::actor::Actor;
use crate::authority::attempt;
use crate::authority::membership::MemberStatus;
use crate::authority::permissions::Permissions;
use crate::authority::rights::{AccessLevel, AdminPowers, ExternalSharing, MemberDirectory, MemberRights, Role};
use crate::base::error::{Error, Result};
use crate::base::id::{OrganizationId, UserId};
use crate::base::limits;
use crate::base::text::{self, EmailAddress, Slug};
use crate::database::schema::{members, organizations};
use crate::database::{Database, Transaction};

/// An organization.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = organizations)]
pub struct Organization {
    /// The organization's id.
    pub id: OrganizationId,
    /// The account, if this is its personal organization (D5).
    pub personal_user_id: Option<UserId>,
    /// The name that is shown everywhere.
    pub name: String,
    /// The short name for URLs.
    pub slug: Option<Slug>,
    /// The full name.
    pub full_name: Option<String>,
    /// A description of the organization.
    pub description: Option<String>,
    /// A link to the organization's website.
    pub website: Option<String>,
    /// The organization's location.
    pub location: Option<String>,
    /// The sector in which it works.
    pub sector: Option<String>,
    /// The name of its university.
    pub university_name: Option<String>,
    /// A link to its logo.
    pub logo_url: Option<String>,
    /// Which other members plain members see.
    pub member_directory: MemberDirectory,
    /// Whether admins have the owner's powers.
    pub admin_powers: AdminPowers,
    /// Whether resources may be shared with outsiders.
    pub external_sharing: ExternalSharing,
    /// The permissions of members who join by code, and of invited people unless the invitation says otherwise.
    #[diesel(embed)]
    pub default_permissions: DefaultPermissions,
    /// How many days invitations last.
    pub invitation_days: i32,
    /// When the organization was created.
    pub created_at: DateTime<Utc>,
    /// When it was deleted, if it is waiting for its final removal.
    pub deleted_at: Option<DateTime<Utc>>,
    /// The owner who deleted it.
    pub deleted_by_id: Option<UserId>,
    /// The organization's plan (R64).
    pub plan: String,
    /// How many seats the plan includes; `None` for no limit.
    pub seat_limit: Option<i32>,
    /// How many bytes its resources may take up; `None` for no limit.
    pub storage_limit_bytes: Option<i64>,
    /// How many runs may be in progress at a time; `None` for no limit.
    pub run_limit: Option<i32>,
    /// How many workspaces it may have; `None` for no limit (R79).
    pub workspace_limit: Option<i32>,
    /// The platform's own id of it (R87).
    pub external_id: Option<String>,
    /// The billing details, which apply to all members (R63).
    #[diesel(embed)]
    pub billing_account: BillingAccount,
}

/// An organization's billing details.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = organizations)]
pub struct BillingAccount {
    /// The name of the billing account that pays for all members.
    pub billing_account_name: Option<String>,
    /// Whom to contact about bills.
    pub billing_contact_email: Option<EmailAddress>,
    /// A text to print on bills, such as a cost centre.
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

    /// The policy as the audit log records it.
    pub(crate) fn policy_json(&self) -> Value {
        json!({
            "memberDirectory": self.member_directory.as_str(),
            "adminPowers": self.admin_powers.as_str(),
            "externalSharing": self.external_sharing.as_str(),
            "defaultPermissions": Permissions::from(self.default_permissions).to_json(),
            "invitationDays": self.invitation_days,
        })
    }

    /// The rights of somebody with the role, according to the organization's policy.
    pub fn standing_of(&self, role: Role) -> MemberRights {
        MemberRights {
            role,
            admin_powers: self.admin_powers,
            member_directory: self.member_directory,
            personal: self.is_personal(),
        }
    }
}

/// Returns the organization with an id without checking access, for callers who already reached it.
pub async fn by_id(connection: &AsyncPgConnection, id: OrganizationId) -> Result<Organization> {
    Ok(organizations::table.find(id).select(Organization::as_select()).first(&mut &*connection).await?)
}

/// Whether an organization's resources may be shared with outsiders.
pub(crate) async fn external_sharing(transaction: &mut Transaction, id: OrganizationId) -> Result<ExternalSharing> {
    Ok(organizations::table.find(id).select(organizations::external_sharing).first(&mut **transaction).await?)
}

/// Returns the organization with a slug. People who don't belong to it must not learn that it exists (R21).
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

/// Returns the organization with a slug, if the actor is a member of it or staff. Anybody else gets the same answer in
/// the same time as for a slug that nobody has (R21).
pub async fn known_by_slug(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    slug: &str,
) -> Result<Option<OrganizationId>> {
    match actor {
        Actor::Staff { .. } | Actor::Platform(_) => {
            let id = id_by_slug(connection, slug).await?;
            return Ok(id.filter(|id| actor.names(*id)));
        }
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Service { .. } | Actor::OnBehalf { .. } => {}
    }
    let (Ok(slug), Some(reach)) = (Slug::parse("slug", slug), actor.reach()) else { return Ok(None) };
    Ok(members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(organizations::slug.eq(slug))
        .filter(organizations::deleted_at.is_null())
        .filter(members::user_id.eq(reach.user_id()))
        .filter(members::status.eq(MemberStatus::Active))
        .select(members::organization_id)
        .first(connection)
        .await
        .optional()?)
}

/// Returns the organization with the platform's own id, if the actor is a member of it, staff, or a platform key that
/// reaches it. For anybody else it doesn't exist.
pub async fn known_by_external_id(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    external_id: &str,
) -> Result<Option<OrganizationId>> {
    let found: Option<OrganizationId> = organizations::table
        .filter(organizations::external_id.eq(text::storable(external_id)))
        .select(organizations::id)
        .first(connection)
        .await
        .optional()?;
    let Some(id) = found else { return Ok(None) };
    if actor.names(id) {
        return Ok(Some(id));
    }
    Ok(access::view(connection, actor, id).await?.map(|permit| permit.organization_id()))
}

/// An organization, as somebody named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrganizationRef {
    /// By its id.
    Id(OrganizationId),
    /// By its slug.
    Slug(String),
    /// By the platform's own id.
    ExternalId(String),
}

/// Returns the id of the organization that is named, if the actor knows of it. They may still not know of it if they
/// named it by its id.
pub async fn named(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    named: &OrganizationRef,
) -> Result<Option<OrganizationId>> {
    match named {
        OrganizationRef::Id(id) => Ok(Some(*id)),
        OrganizationRef::Slug(slug) => known_by_slug(connection, actor, slug).await,
        OrganizationRef::ExternalId(id) => known_by_external_id(connection, actor, id).await,
    }
}

/// The refusal on `field` for callers who may not know of an organization.
pub fn not_found(field: &str) -> Error {
    access::organization_not_found(field).into()
}

/// Returns the owners of the organizations.
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

/// Counts one of the emails that an organization may send per minute. RATE_LIMITED says when to try this email again.
pub async fn take_mail_turn(database: &Database, organization_id: OrganizationId) -> Result<()> {
    attempt::spread_over_windows(database, &limits::ORGANIZATION_MAILS, &organization_id.to_string()).await
}

/// Returns the organizations with these ids, each with the actor's permit if they are an active member. There is one
/// statement for each actor, and a request has only one actor.
pub async fn organizations_with_permits(
    connection: &mut AsyncPgConnection,
    keys: &[(Actor, OrganizationId)],
) -> Result<Vec<(Actor, Organization, Option<Permit>)>> {
    let mut ids_of: HashMap<&Actor, Vec<OrganizationId>> = HashMap::new();
    for (actor, id) in keys {
        ids_of.entry(actor).or_default().push(*id);
    }
    let mut answers = HashMap::with_capacity(keys.len());
    for (actor, ids) in ids_of {
        let user_id = actor.reach().map(|reach| reach.user_id());
        let membership = members::organization_id
            .eq(organizations::id)
            .and(members::user_id.nullable().eq(user_id))
            .and(members::status.eq(MemberStatus::Active));
        let found: Vec<(Organization, Option<ActiveMembership>)> = organizations::table
            .left_join(members::table.on(membership))
            .filter(organizations::id.eq_any(ids))
            .select((Organization::as_select(), Option::<ActiveMembership>::as_select()))
            .load(connection)
            .await?;
        answers.extend(found.into_iter().map(|(organization, membership)| {
            let rights_of = |role| organization.standing_of(role);
            let permit = match (membership, organization.deleted_at) {
                (_, Some(_)) => None,
                (Some(membership), None) => membership.permit(actor, organization.id, rights_of),
                (None, None) => access::platform_permit(actor, organization.id, rights_of),
            };
            ((actor, organization.id), (organization, permit))
        }));
    }
    let answer = |(actor, id): &(Actor, OrganizationId)| {
        let (organization, permit) = answers.get(&(actor, *id))?.clone();
        Some((actor.clone(), organization, permit))
    };
    Ok(keys.iter().filter_map(answer).collect())
}
