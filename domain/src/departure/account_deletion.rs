//! The deletion of an account. The account leaves every organization. What remains is a row without a name, which
//! other people's data refers to.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::account::reserved_name::{self, Holder};
use crate::account::user::User;
use crate::account::user_ref::{self, UserRef};
use crate::account::{api_key, identity, user};
use crate::authority::access;
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction};
use crate::authority::membership::MemberStatus;
use crate::authority::platform::PlatformScope;
use crate::authority::rights::Role;
use crate::authority::suspension::PlatformSuspension;
use crate::base::error::{Code, Error, Reader, Result};
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
    /// Whether the platform deleted it, and not the person.
    pub by_platform: bool,
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
    let user_id = person.user_id();
    database
        .transaction(async |transaction| {
            // Everything that makes an account a member or an owner locks it first, so from here on nothing new can be
            // added.
            access::lock_users(transaction, &[user_id]).await?;
            let user = user::by_id(transaction, user_id).await?;
            let email = user.email.clone().ok_or(Error::Unauthenticated)?;
            if EmailAddress::parse("confirmEmail", confirm_email).as_ref() != Ok(&email) {
                let message = "type your account's address to confirm";
                return Err(Error::refused(Code::ConfirmationMismatch, "confirmEmail", message));
            }
            let asked = Asked { cause: Cause::Account(person), reader: Reader::Themselves, field: "confirmEmail" };
            end(transaction, asked, user, None).await
        })
        .await
}

/// Deletes somebody's account, on behalf of staff or the platform (R84), like [`delete`]. The reason is kept in the
/// audit log, for staff and for readers of the feed.
///
/// # Errors
///
/// On `user`: FORBIDDEN for everyone except staff and platform keys with USERS_WRITE that aren't limited to
/// organizations; NOT_FOUND; OWNER_MUST_STAY while the account owns an organization; TOO_MANY if it belongs to more
/// organizations than it can leave at once. TOO_LONG or INVALID on `reason`.
pub async fn delete_named(database: &Database, actor: &Actor, named: &UserRef, reason: Option<&str>) -> Result<UserId> {
    let remedy = "people delete their own account by deleteAccount";
    let operator = actor.operator(PlatformScope::UsersWrite, None, "user", remedy)?;
    let reason = text::optional_text("reason", reason, limits::DESCRIPTION)?;
    database
        .transaction(async |transaction| {
            let user = user_ref::lock_named(transaction, named).await?;
            let asked = Asked { cause: Cause::Operator(operator), reader: Reader::Another, field: "user" };
            end(transaction, asked, user, reason.as_deref()).await
        })
        .await
}

/// By what right an account is deleted, and how a refusal is worded.
#[derive(Clone, Copy)]
struct Asked<'a> {
    cause: Cause<'a>,
    reader: Reader,
    field: &'static str,
}

/// Deletes an account, whose row is locked.
async fn end(transaction: &mut Transaction, asked: Asked<'_>, user: User, reason: Option<&str>) -> Result<UserId> {
    let Asked { cause, reader, field } = asked;
    let (user_id, is_told) = (user.id, user.is_told());
    require_no_organization(transaction, user_id, reader, field).await?;
    let organizations = user::organizations_of(transaction, user_id).await?;
    if organizations.len() > limits::MAX_LEFT_WITH_ACCOUNT {
        let most = limits::MAX_LEFT_WITH_ACCOUNT;
        let message = match reader {
            Reader::Themselves => {
                format!("leave some organizations first: an account of at most {most} can be deleted at once")
            }
            Reader::Another => {
                format!(
                    "remove them from some organizations first: an account of at most {most} can be deleted at once"
                )
            }
        };
        return Err(Error::refused(Code::TooMany, field, message));
    }
    access::lock_organizations(transaction, &organizations).await?;
    access::lock_memberships(transaction, &[user_id]).await?;
    let personal = user::personal_organization_id(transaction, user_id).await?;
    cause.require_reach(personal, user_id)?;
    let at = now(transaction).await?;

    // This includes deleted organizations, so that a restored one doesn't bring the account back. It is read while the
    // locks are held.
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
        events.extend(departing::depart(transaction, cause, member, DepartureKind::Leave, Words::default()).await?.1);
    }
    // Invitations to the account, and offers by it and to it, end together with the account.
    transaction.enqueue(&MarkEndedWithAccount { user_id }).await?;
    api_key::revoke_all(transaction, user_id).await?;
    email_change::forget(transaction, user_id).await?;
    grant::forget_names(transaction, user_id).await?;
    transfer::forget_names(transaction, user_id).await?;
    identity::end(transaction, user_id, None).await?;
    diesel::delete(sessions::table.filter(sessions::user_id.eq(user_id))).execute(&mut **transaction).await?;
    delete_personal_organization(transaction, cause, personal, user_id, at).await?;
    reserved_name::retire(transaction, Holder::Account(user_id), Some(user.username.as_str())).await?;
    empty(transaction, user_id, at).await?;
    if let Some(email) = user.email.filter(|_| is_told) {
        let by_platform = match cause {
            Cause::Account(_) | Cause::Permit(_) => false,
            Cause::Operator(_) => true,
        };
        diesel::insert_into(account_deletions::table)
            .values((
                account_deletions::user_id.eq(user_id),
                account_deletions::email.eq(email),
                account_deletions::name.eq(user.name),
                account_deletions::deleted_at.eq(at),
                account_deletions::by_platform.eq(by_platform),
            ))
            .execute(&mut **transaction)
            .await?;
        transaction.enqueue(&MailAccountDeleted { user_id }).await?;
    }
    let left: Vec<String> = memberships.iter().map(|member| member.organization_id.to_string()).collect();
    events.push(
        cause
            .event(personal, AuditAction::UserDeleted, user_id)
            .summary(format!("deleted the account, which left {} organization(s)", left.len()))
            .about(user_id)
            .with(serde_json::json!({ "organizationIds": left }))
            .reason(reason),
    );
    audit::record(transaction, events).await?;
    Ok(user_id)
}

/// Deletes the account's personal organization.
async fn delete_personal_organization(
    transaction: &mut Transaction,
    cause: Cause<'_>,
    personal: OrganizationId,
    user_id: UserId,
    at: DateTime<Utc>,
) -> Result<()> {
    diesel::update(organizations::table.find(personal).filter(organizations::personal_user_id.eq(user_id)))
        .set((
            organizations::name.eq(NAME),
            organizations::deleted_at.eq(at),
            organizations::deleted_by_id.eq(cause.actor().account()),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Removes name, address and everything else from the account's row.
async fn empty(transaction: &mut Transaction, user_id: UserId, at: DateTime<Utc>) -> Result<()> {
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
            users::suspended_at.eq(None::<DateTime<Utc>>),
            users::platform_suspension.eq(None::<PlatformSuspension>),
            users::deleted_at.eq(at),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Fails with OWNER_MUST_STAY while the account owns organizations. A deleted organization counts until it is removed
/// for good, since it can be restored.
async fn require_no_organization(
    transaction: &mut Transaction,
    user_id: UserId,
    reader: Reader,
    field: &str,
) -> Result<()> {
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
    let named = named.join(", ");
    let message = match reader {
        Reader::Themselves => format!(
            "you own {named}; transfer the ownership or delete them first (a deleted one can be restored for 30 days, and is yours until then)"
        ),
        Reader::Another => {
            format!("they own {named}; set another owner first (also of a deleted one, after you have restored it)")
        }
    };
    Err(Error::refused(Code::OwnerMustStay, field, message))
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
