//! Organizations: what they are, who finds them, and how they are looked up.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::authority::access::{ActiveMembership, Permit};
use crate::authority::actor::Actor;
use crate::authority::attempt;
use crate::authority::membership::MemberStatus;
use crate::authority::permissions::Permissions;
use crate::authority::rights::{AccessLevel, AdminPowers, ExternalSharing, MemberDirectory, MemberRights, Role};
use crate::base::error::Result;
use crate::base::id::{OrganizationId, UserId};
use crate::base::limits;
use crate::base::text::{EmailAddress, Slug};
use crate::database::schema::{members, organizations};
use crate::database::{Database, Transaction};

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
    pub(crate) fn policy_json(&self) -> Value {
        json!({
            "member_directory": self.member_directory.as_str(),
            "admin_powers": self.admin_powers.as_str(),
            "external_sharing": self.external_sharing.as_str(),
            "default_permissions": Permissions::from(self.default_permissions).to_json(),
            "invitation_days": self.invitation_days,
        })
    }

    /// What somebody with the role may see and do here, by the organization's policy.
    pub fn standing_of(&self, role: Role) -> MemberRights {
        MemberRights {
            role,
            admin_powers: self.admin_powers,
            member_directory: self.member_directory,
            personal: self.is_personal(),
        }
    }
}

/// The organization of an id, whoever asks: for what already led to it.
pub async fn by_id(connection: &AsyncPgConnection, id: OrganizationId) -> Result<Organization> {
    Ok(organizations::table.find(id).select(Organization::as_select()).first(&mut &*connection).await?)
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

/// Takes one of the mails that an organization may send a minute; RATE_LIMITED says when this one's turn comes.
pub async fn take_mail_turn(database: &Database, organization_id: OrganizationId) -> Result<()> {
    attempt::spread_over_windows(database, &limits::ORGANIZATION_MAILS, &organization_id.to_string()).await
}

/// The organizations of the ids, each with the actor's permit where they are an active member: one statement for each
/// actor, of whom a request has one.
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
            let membership = membership.filter(|_| organization.deleted_at.is_none());
            let permit = membership.and_then(|membership| {
                membership.permit(actor, organization.id, |role| organization.standing_of(role))
            });
            ((actor, organization.id), (organization, permit))
        }));
    }
    let answer = |(actor, id): &(Actor, OrganizationId)| {
        let (organization, permit) = answers.get(&(actor, *id))?.clone();
        Some((actor.clone(), organization, permit))
    };
    Ok(keys.iter().filter_map(answer).collect())
}
