//! The deletion of an account. The account leaves every organization. What remains is a row without a name, which
//! other people's data refers to.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::account::reserved_name::{self, Holder};
use crate::account::{api_key, user};
use crate::authority::access;
use crate::authority::actor::{Actor, Person};
use crate::authority::audit::{self, AuditAction};
use crate::authority::membership::MemberStatus;
use crate::authority::rights::Role;
use crate::base::error::{Code, Error, Result};
use crate::base::id::{OrganizationId, UserId};
use crate::base::job::{MailAccountDeleted, MarkEndedWithAccount};
use crate::base::limits;
use crate::base::sql::Prepare as _;
use crate::base::text::{self, EmailAddress, Username};
use crate::database::schema::{account_deletions, members, organizations, sessions, users};
use crate::database::{Database, Transaction, now};
use crate::departure::DepartureKind;
use crate::departure::departing::{self, Words};
use crate::membership::cause::Cause;
use crate::membership::member::Member;
use crate::resource::{grant, transfer};
use crate::sign_in::email_change;

/// The name of deleted accounts.
pub const NAME: &str = "Deleted account";
/// How many organizations a refusal names.
const NAMED: usize = 5;

/// The data that the email about a deletion needs. It is kept until the email is sent.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = account_deletions)]
pub struct AccountDeletion {
    /// The deleted account.
    pub user_id: UserId,
    /// The address that the account had.
    pub email: EmailAddress,
    /// The name that the account had.
    pub name: String,
    /// When the account was deleted.
    pub deleted_at: DateTime<Utc>,
}

/// Deletes the actor's account, whose address was typed as confirmation.
///
/// In one transaction, the account leaves every organization as its members do (R31 to R42), its sessions and keys
/// end, its personal organization is deleted, and its name, username and address are removed. The username is never
/// given to anyone else.
///
/// # Errors
///
/// CONFIRMATION_MISMATCH if another address was typed; OWNER_MUST_STAY while the account owns an organization (R40);
/// TOO_MANY if it belongs to more organizations than it can leave at once.
pub async fn delete(database: &Database, actor: &Actor, confirm_email: &str) -> Result<UserId> {
    actor.signed_in("confirmEmail")?;
    let person = actor.person("confirmEmail")?;
    let (cause, user_id) = (Cause::Account(person), person.user_id());
    database
        .transaction(async |transaction| {
            // Everything that makes an account a member or an owner locks it first, so from here on nothing new can be
            // added.
            access::lock_users(transaction, &[user_id]).await?;
            let user = user::by_id(transaction, user_id).await?;
            let email = user.email.ok_or(Error::Unauthenticated)?;
            if EmailAddress::parse("confirmEmail", confirm_email).as_ref() != Ok(&email) {
                let message = "type your account's address to confirm";
                return Err(Error::refused(Code::ConfirmationMismatch, "confirmEmail", message));
            }
            require_no_organization(transaction, user_id).await?;
            let organizations = user::organizations_of(transaction, user_id).await?;
            if organizations.len() > limits::MAX_LEFT_WITH_ACCOUNT {
                let message = format!(
                    "leave some organizations first: an account of at most {} can be deleted at once",
                    limits::MAX_LEFT_WITH_ACCOUNT
                );
                return Err(Error::refused(Code::TooMany, "confirmEmail", message));
            }
            access::lock_organizations(transaction, &organizations).await?;
            access::lock_memberships(transaction, &[user_id]).await?;
            let personal = user::personal_organization_id(transaction, user_id).await?;
            let at = now(transaction).await?;

            // This includes deleted organizations, so that a restored one doesn't bring the account back. It is read
            // while the locks are held.
            let memberships: Vec<Member> = members::table
                .filter(members::user_id.eq(user_id))
                .filter(members::status.eq(MemberStatus::Active))
                .filter(members::organization_id.ne(personal))
                .order(members::organization_id)
                .select(Member::as_select())
                .load(&mut **transaction)
                .await?;
            let mut events = Vec::new();
            for member in &memberships {
                events.extend(
                    departing::depart(transaction, cause, member, DepartureKind::Leave, Words::default()).await?.1,
                );
            }
            // Invitations to the account, and offers by it and to it, end together with the account.
            transaction.enqueue(&MarkEndedWithAccount { user_id }).await?;
            api_key::revoke_all(transaction, user_id).await?;
            email_change::forget(transaction, user_id).await?;
            grant::forget_names(transaction, user_id).await?;
            transfer::forget_names(transaction, user_id).await?;
            diesel::delete(sessions::table.filter(sessions::user_id.eq(user_id))).execute(&mut **transaction).await?;
            delete_personal_organization(transaction, person, personal, at).await?;
            reserved_name::retire(transaction, Holder::Account(user_id), Some(user.username.as_str())).await?;
            empty(transaction, person, at).await?;
            diesel::insert_into(account_deletions::table)
                .values((
                    account_deletions::user_id.eq(user_id),
                    account_deletions::email.eq(email),
                    account_deletions::name.eq(user.name),
                    account_deletions::deleted_at.eq(at),
                ))
                .execute(&mut **transaction)
                .await?;
            transaction.enqueue(&MailAccountDeleted { user_id }).await?;
            let left: Vec<String> = memberships.iter().map(|member| member.organization_id.to_string()).collect();
            events.push(
                cause
                    .event(personal, AuditAction::UserDeleted, user_id)
                    .summary(format!("deleted the account, which left {} organization(s)", left.len()))
                    .about(user_id)
                    .with(serde_json::json!({ "organizationIds": left })),
            );
            audit::record(transaction, events).await?;
            Ok(user_id)
        })
        .await
}

/// Deletes the account's personal organization.
async fn delete_personal_organization(
    transaction: &mut Transaction,
    person: Person<'_>,
    personal: OrganizationId,
    at: DateTime<Utc>,
) -> Result<()> {
    diesel::update(organizations::table.find(personal).filter(organizations::personal_user_id.eq(person.user_id())))
        .set((
            organizations::name.eq(NAME),
            organizations::deleted_at.eq(at),
            organizations::deleted_by_id.eq(person.user_id()),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Removes name, address and everything else from the account's row.
async fn empty(transaction: &mut Transaction, person: Person<'_>, at: DateTime<Utc>) -> Result<()> {
    let user_id = person.user_id();
    diesel::update(users::table.find(user_id))
        .set((
            users::email.eq(None::<EmailAddress>),
            users::username.eq(Username::of_deleted(user_id)),
            users::name.eq(NAME),
            users::folded_name.eq(text::fold(NAME)),
            users::folded_email.eq(None::<String>),
            users::avatar_url.eq(None::<String>),
            users::external_id.eq(None::<String>),
            users::metadata.eq(None::<serde_json::Value>),
            users::origin_organization_id.eq(None::<OrganizationId>),
            users::default_bill_to_id.eq(None::<OrganizationId>),
            users::deleted_at.eq(at),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Fails with OWNER_MUST_STAY while the account owns organizations. A deleted organization counts until it is removed
/// for good, since it can be restored.
async fn require_no_organization(transaction: &mut Transaction, user_id: UserId) -> Result<()> {
    let owned: Vec<String> = members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(members::user_id.eq(user_id))
        .filter(members::role.eq(Role::Owner))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(organizations::personal_user_id.is_null())
        .order(organizations::id)
        .select(organizations::name)
        .load(&mut **transaction)
        .await?;
    if owned.is_empty() {
        return Ok(());
    }
    let mut named: Vec<String> = owned.iter().take(NAMED).map(|name| format!("“{name}”")).collect();
    if owned.len() > NAMED {
        named.push(format!("{} more", owned.len() - NAMED));
    }
    let message = format!(
        "you own {}; transfer the ownership or delete them first (a deleted one can be restored for 30 days, and is yours until then)",
        named.join(", ")
    );
    Err(Error::refused(Code::OwnerMustStay, "confirmEmail", message))
}

/// The data for the email about an account's deletion. `None` once the email was sent.
pub async fn by_user_id(connection: &mut AsyncPgConnection, user_id: UserId) -> Result<Option<AccountDeletion>> {
    Ok(account_deletions::table
        .find(user_id)
        .select(AccountDeletion::as_select())
        .first(connection)
        .await
        .optional()?)
}

/// Forgets the address of a deleted account. Its email was sent, or never will be.
pub async fn forget(connection: &mut AsyncPgConnection, user_id: UserId) -> Result<()> {
    diesel::delete(account_deletions::table.find(user_id)).execute(connection).await?;
    Ok(())
}

/// Forgets up to `limit` addresses of accounts that were deleted [`limits::ACCOUNT_DELETION_RETENTION`] ago, and
/// returns how many. The jobs for their emails were lost.
pub(crate) async fn prune(transaction: &mut Transaction, limit: u32) -> Result<usize> {
    let until = now(transaction).await? - limits::ACCOUNT_DELETION_RETENTION;
    let old: Vec<UserId> = account_deletions::table
        .filter(account_deletions::deleted_at.lt(until))
        .order(account_deletions::deleted_at)
        .limit(limit.into())
        .select(account_deletions::user_id)
        .for_update()
        .skip_locked()
        .load(&mut **transaction)
        .await?;
    let old = account_deletions::table.filter(account_deletions::user_id.eq_any(old));
    Ok(diesel::delete(old).execute(&mut **transaction).await?)
}
