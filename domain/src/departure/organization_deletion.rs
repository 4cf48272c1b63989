//! The end of an organization: its deletion, its restoration, and its removal for good.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use crate::account::reserved_name::{self, Holder};
use crate::account::user;
use crate::authority::access::{self, Lock, WritePermit};
use crate::authority::actor::{Actor, Operator};
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::membership::MemberStatus;
use crate::authority::platform::PlatformScope;
use crate::authority::rights::Action;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{OrganizationId, UserId};
use crate::base::job::MarkEnded;
use crate::base::limits;
use crate::base::sql::{Prepare as _, Statements, fixed_sql, parameters};
use crate::base::text::{self, Slug};
use crate::database::schema::{members, organizations};
use crate::database::{Database, Transaction, now};
use crate::membership::organization;
use crate::organization::ownership;

/// Deletes an organization on behalf of its owner, who has typed its name (R48). Access ends at once. Staff can
/// restore it for [`limits::RESTORABLE`]; after that, it is removed for good. Returns the time of that removal.
///
/// # Errors
///
/// FORBIDDEN for everyone except the owner, and platform keys with ORGANIZATIONS_WRITE; CONFIRMATION_MISMATCH if
/// another name was typed.
pub async fn delete(
    database: &Database,
    actor: &Actor,
    id: OrganizationId,
    confirm_organization_name: &str,
) -> Result<DateTime<Utc>> {
    match actor {
        // Their right is checked under the organization's lock.
        Actor::Platform(_) => {}
        Actor::User { .. }
        | Actor::ApiKey { .. }
        | Actor::Service { .. }
        | Actor::OnBehalf { .. }
        | Actor::Staff { .. } => {
            actor.person("id")?;
        }
    }
    database
        .transaction(async |transaction| {
            let permit = access::authorize(transaction, actor, id, Lock::Organization, Action::Delete, "id").await?;
            let organization = organization::by_id(transaction, id).await?;
            if !text::is_typed(confirm_organization_name, &organization.name) {
                return Err(
                    ownership::mismatch("confirmOrganizationName", "the organization's name as it stands").into()
                );
            }
            let at = now(transaction).await?;
            mark_deleted(transaction, &permit, at).await?;
            transaction.enqueue(&MarkEnded { organization_id: id }).await?;
            let event = NewEvent::by(permit.actor(), id, AuditAction::OrganizationDeleted, id)
                .summary("deleted the organization");
            audit::record(transaction, [event]).await?;
            Ok(at + limits::RESTORABLE)
        })
        .await
}

async fn mark_deleted(transaction: &mut Transaction, permit: &WritePermit, at: DateTime<Utc>) -> Result<()> {
    diesel::update(organizations::table.find(permit.organization_id()))
        .set((
            organizations::deleted_at.eq(at),
            organizations::deleted_by_id.eq(permit.user_id()),
            // Offers from and to the organization end for good, even if it is restored.
            organizations::offers_ended_position.eq(fixed_sql::<BigInt>("nextval('grant_positions')")),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Restores a deleted organization on behalf of staff (R48). Everyone who was a member is a member again, and jobs
/// that waited continue.
///
/// # Errors
///
/// FORBIDDEN for everyone except staff, and for personal organizations. On `id`: NOT_FOUND; CONFLICT if it isn't
/// deleted; EXPIRED after 30 days; ONE_ORGANIZATION if members belong to another organization by now.
pub async fn restore(database: &Database, actor: &Actor, id: OrganizationId) -> Result<OrganizationId> {
    let operator = actor.operator(PlatformScope::OrganizationsWrite, Some(id), "id", "ask them")?;
    let not_found = || Refusal::new(Code::NotFound, "id", "there is no such organization");
    database
        .transaction(async |transaction| {
            // D3: members may have joined other organizations in the meantime. In the order of locks, users come
            // before organizations.
            if transaction.deployment().one_organization_per_user {
                let users: Vec<UserId> = members::table
                    .filter(members::organization_id.eq(id))
                    .filter(members::status.eq(MemberStatus::Active))
                    .select(members::user_id)
                    .load(&mut **transaction)
                    .await?;
                access::lock_users(transaction, &users).await?;
                let elsewhere = user::in_other_teams(transaction, &users, id).await?.len();
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
            mark_restored(transaction, operator, id).await?;
            audit::resume_deliveries(transaction, id).await?;
            let event = NewEvent::by(operator.actor(), id, AuditAction::OrganizationRestored, id)
                .summary("restored the organization");
            audit::record(transaction, [event]).await?;
            Ok(id)
        })
        .await
}

async fn mark_restored(transaction: &mut Transaction, _: Operator<'_>, id: OrganizationId) -> Result<()> {
    diesel::update(organizations::table.find(id))
        .set((organizations::deleted_at.eq(None::<DateTime<Utc>>), organizations::deleted_by_id.eq(None::<UserId>)))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// The tables with an organization's data, in an order that the references between them allow. The log stays;
/// everything else is deleted together with these rows.
const TENANT_TABLES: [&str; 28] = [
    "webhook_deliveries",
    "webhooks",
    "resource_moves",
    "departures",
    "project_transfers",
    "usage_entries",
    "usage_totals",
    "organization_credits",
    "runs",
    "run_counts",
    "run_limits",
    "run_days",
    "upgrade_requests",
    "collection_items",
    "share_links",
    "grant_invitations",
    "grants",
    "resources",
    "organization_storage",
    "credit_purchases",
    "api_keys",
    "platform_key_organizations",
    "join_codes",
    "invitation_grants",
    "invitation_teams",
    "team_members",
    "teams",
    "invitations",
];

/// The condition for rows of a table that can be deleted next.
fn condition(table: &str) -> &'static str {
    match table {
        // Contents must be deleted before their container.
        "resources" => {
            "organization_id = :organization_id \
             AND NOT EXISTS (SELECT FROM resources inside WHERE inside.container_id = resources.id)"
        }
        // There is an index on this column.
        "webhook_deliveries" => {
            "organization_id = :organization_id \
             AND webhook_id IN (SELECT id FROM webhooks WHERE organization_id = :organization_id)"
        }
        _ => "organization_id = :organization_id",
    }
}

/// After that, the members are deleted. The owner is deleted together with the organization, which must always have
/// one.
const MEMBERS: (&str, &str) =
    ("members", "organization_id = :organization_id AND NOT (role = 'owner' AND status = 'active')");

/// Also, grants that others have given to the organization are deleted.
const SHARED: (&str, &str) = ("grants", "grantee_organization_id = :organization_id");

/// Deletes up to `limit` rows of an organization that was deleted [`limits::RESTORABLE`] ago, and finally the
/// organization itself (R48). Returns the number of rows, or `None` if there is no such organization left.
pub(crate) async fn purge(transaction: &mut Transaction, limit: u32) -> Result<Option<usize>> {
    let until = now(transaction).await? - limits::RESTORABLE;
    // Whoever restores the organization, or deletes data in it, holds this lock.
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
    for (table, condition) in TENANT_TABLES.map(|table| (table, condition(table))).into_iter().chain([MEMBERS, SHARED])
    {
        let removed = remove_where(transaction, table, condition, id, limit).await?;
        if removed > 0 {
            return Ok(Some(removed));
        }
    }
    diesel::delete(members::table.filter(members::organization_id.eq(id))).execute(&mut **transaction).await?;
    let slug = organization::by_id(transaction, id).await?.slug;
    reserved_name::retire(transaction, Holder::Organization(id), slug.as_ref().map(Slug::as_str)).await?;
    diesel::delete(organizations::table.find(id)).execute(&mut **transaction).await?;
    let event =
        NewEvent::by_system(id, AuditAction::OrganizationPurged, id).summary("removed what belonged to it for good");
    audit::record(transaction, [event]).await?;
    Ok(Some(1))
}

parameters! {
    struct RemoveRows {
        organization_id: SqlUuid = OrganizationId,
        most: BigInt = i64,
    }
}

fn remove_text((table, condition): &(&str, &str)) -> String {
    format!("DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE {condition} LIMIT :most)")
}

/// Deletes up to `limit` rows of a table for which the condition holds; it must name the organization. Table and
/// condition are constants, never input.
async fn remove_where(
    transaction: &mut Transaction,
    table: &'static str,
    condition: &'static str,
    organization_id: OrganizationId,
    limit: u32,
) -> Result<usize> {
    static STATEMENTS: Statements<(&str, &str)> = Statements::new();
    let rows = RemoveRows { organization_id, most: limit.into() };
    Ok(STATEMENTS.with((table, condition), remove_text, rows).execute(&mut **transaction).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sql::require_fit;

    /// The tables whose rows the removal doesn't delete with a statement of its own, and why.
    const NOT_DELETED: [(&str, &str); 4] = [
        ("members", "at last, together with the organization: it is never without an owner"),
        ("audit_heads", "the log stays"),
        ("audit_events", "the log stays"),
        ("webhook_previous_secrets", "they go with their webhooks, by ON DELETE CASCADE"),
    ];

    #[test]
    fn every_table_of_an_organization_is_known_to_its_removal() {
        let schema = include_str!("../database/schema.rs");
        let mut table = "";
        let mut unknown = Vec::new();
        for line in schema.lines().map(str::trim) {
            if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with('{')) {
                table = name;
            } else if line.starts_with("organization_id ->") {
                let is_known = TENANT_TABLES.contains(&table) || NOT_DELETED.iter().any(|(kept, _)| *kept == table);
                if !is_known {
                    unknown.push(table);
                }
            }
        }
        assert!(schema.contains("organization_id ->") && unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn the_statements_name_their_parameters() {
        let tables = TENANT_TABLES.map(|table| (table, condition(table))).into_iter().chain([MEMBERS, SHARED]);
        tables.for_each(|table| require_fit::<RemoveRows>([remove_text(&table)]));
    }
}
