//! Accounts: a person, their address, and the personal organization that holds what belongs to no team (D5).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rand::RngExt;
use serde_json::json;

use crate::account::reserved_name::{self, Holder};
use crate::account::{api_key, session};
use crate::authority::access::{self, Lock, Permit};
use crate::authority::actor::{Actor, Reach};
use crate::authority::attempt;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::policy::{MemberDirectory, Role};
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Refusal, Result, on_violation};
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::base::limits;
use crate::base::text::{self, EmailAddress, Username};
use crate::database::schema::{members, organizations, users};
use crate::database::{Database, Transaction, now, rollcall_now};
use crate::membership::member::{JoinMethod, MemberStatus, Permissions};
use crate::membership::organization::Organization;
use crate::resource::grant;

diesel::define_sql_function! {
    /// For an order that people see.
    fn lower(text: diesel::sql_types::Text) -> diesel::sql_types::Text;
}

/// An account.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Where its mails go; compared without case (R24). A deleted account has none.
    pub email: Option<EmailAddress>,
    /// Its unique name.
    pub username: Username,
    /// The person's name.
    pub name: String,
    /// A link to a picture.
    pub avatar_url: Option<String>,
    /// The organization whose invitation created the account.
    pub origin_organization_id: Option<OrganizationId>,
    /// Since when it is suspended (D6).
    pub suspended_at: Option<DateTime<Utc>>,
    /// Who pays for new projects and apps; the personal organization where it is none.
    pub default_bill_to_id: Option<OrganizationId>,
    /// Since when it is deleted: a row without a name, that others' data refers to.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// An account to be made.
pub(crate) struct NewUser<'a> {
    pub email: &'a EmailAddress,
    pub name: Option<&'a str>,
    pub username: Option<&'a Username>,
    pub origin_organization_id: Option<OrganizationId>,
}

/// The account and the personal organization that came with it.
pub(crate) struct Created {
    pub user_id: UserId,
    pub personal_organization_id: OrganizationId,
    /// What tells of it, and of what the account found shared with it.
    pub events: Vec<NewEvent>,
}

/// Makes an account with its personal organization. CONFLICT where the address got one at this very moment.
pub(crate) async fn create(transaction: &mut Transaction, new: NewUser<'_>) -> Result<Created> {
    let user_id = UserId::new();
    let at = now(transaction).await?;
    let name = new.name.map_or_else(|| new.email.as_name(), str::to_owned);
    let name = text::cut(&name, limits::NAME);
    let insert = |username: Username| {
        diesel::insert_into(users::table).values((
            users::id.eq(user_id),
            users::email.eq(new.email.clone()),
            users::username.eq(username),
            users::name.eq(name.clone()),
            users::folded_name.eq(text::fold(&name)),
            users::folded_email.eq(new.email.folded()),
            users::origin_organization_id.eq(new.origin_organization_id),
            users::created_at.eq(at),
        ))
    };
    let holder = Holder::Account(user_id);
    if let Some(username) = new.username {
        reserved_name::require_free(transaction, holder, username.as_str()).await?;
        let inserted = insert(username.clone()).execute(&mut **transaction).await;
        let inserted = inserted.map_err(Error::from).map_err(|error| match error.constraint() {
            Some("users_username_key") => holder.taken().into(),
            Some("users_email_key") => email_taken().into(),
            _ => error,
        });
        inserted?;
    } else {
        let mut made = false;
        let mut salt = String::new();
        for _ in 0..10 {
            let username = Username::derived(&name, &salt);
            if !reserved_name::is_reserved(transaction, holder, username.as_str()).await? {
                let inserted =
                    insert(username).on_conflict(users::username).do_nothing().execute(&mut **transaction).await;
                made = on_violation(inserted, "users_email_key", email_taken)? == 1;
            }
            if made {
                break;
            }
            salt = rand::rng().random_range(1000..1_000_000_u32).to_string();
        }
        if !made {
            return Err(Error::refused(
                Code::UsernameTaken,
                "username",
                "name a username: the ones made from the name are in use",
            ));
        }
    }
    let personal_organization_id = OrganizationId::new();
    diesel::insert_into(organizations::table)
        .values((
            organizations::id.eq(personal_organization_id),
            organizations::personal_user_id.eq(user_id),
            organizations::name.eq(&name),
            organizations::created_at.eq(at),
        ))
        .execute(&mut **transaction)
        .await?;
    diesel::insert_into(members::table)
        .values((
            members::id.eq(MemberId::new()),
            members::organization_id.eq(personal_organization_id),
            members::user_id.eq(user_id),
            members::role.eq(Role::Owner),
            members::status.eq(MemberStatus::Active),
            Permissions::all(),
            members::joined_at.eq(at),
            members::joined_via.eq(JoinMethod::Founder),
        ))
        .execute(&mut **transaction)
        .await?;
    let mut events = vec![
        NewEvent::by_user(user_id, personal_organization_id, AuditAction::UserCreated, user_id)
            .summary(format!("account {user_id} was made")),
    ];
    events.extend(grant::take_up(transaction, user_id, new.email).await?);
    Ok(Created { user_id, personal_organization_id, events })
}

fn email_taken() -> Refusal {
    Refusal::new(Code::Conflict, "email", "an account with this address was made at this very moment; try again")
}

/// The account with a username.
pub async fn by_username(connection: &mut AsyncPgConnection, username: &Username) -> Result<Option<User>> {
    Ok(users::table
        .filter(users::username.eq(username))
        .select(User::as_select())
        .first(connection)
        .await
        .optional()?)
}

/// The account of an address.
pub async fn by_email(connection: &mut AsyncPgConnection, email: &EmailAddress) -> Result<Option<User>> {
    Ok(users::table.filter(users::email.eq(email)).select(User::as_select()).first(connection).await.optional()?)
}

/// The accounts of the ids, whoever asks: for what already led to them.
pub async fn by_ids(connection: &mut AsyncPgConnection, ids: &[UserId]) -> Result<Vec<User>> {
    Ok(users::table.filter(users::id.eq_any(ids)).select(User::as_select()).load(connection).await?)
}

/// The account of an id.
pub async fn by_id(connection: &mut AsyncPgConnection, id: UserId) -> Result<User> {
    Ok(users::table.find(id).select(User::as_select()).first(connection).await?)
}

/// Those of the ids whom the actor may look up: people themselves, and members whom a common organization shows them (D9); staff
/// everybody, and service keys nobody.
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[UserId]) -> Result<Vec<UserId>> {
    let mut seen = match actor {
        Actor::Staff { .. } => return Ok(ids.to_vec()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Service { .. } => match actor.reach() {
            Some(reach) => seen_by(connection, reach, ids).await?,
            None => Vec::new(),
        },
    };
    seen.extend(actor.account());
    Ok(ids.iter().copied().filter(|id| seen.contains(id)).collect())
}

/// Whether somebody may look another person up, for what is mailed to them.
pub async fn knows(connection: &mut AsyncPgConnection, user_id: UserId, other: UserId) -> Result<bool> {
    Ok(user_id == other || !seen_by(connection, Reach::of(user_id), &[other]).await?.is_empty())
}

/// Those of the ids whom a common organization shows (D9).
async fn seen_by(connection: &mut AsyncPgConnection, reach: Reach, ids: &[UserId]) -> Result<Vec<UserId>> {
    let (mine, theirs) = diesel::alias!(members as mine, members as theirs);
    let mut query = mine
        .inner_join(theirs.on(theirs.field(members::organization_id).eq(mine.field(members::organization_id))))
        .inner_join(organizations::table.on(organizations::id.eq(mine.field(members::organization_id))))
        .filter(mine.field(members::user_id).eq(reach.user_id()))
        .filter(mine.field(members::status).eq(MemberStatus::Active))
        .filter(theirs.field(members::user_id).eq_any(ids))
        .filter(organizations::deleted_at.is_null())
        .filter(
            mine.field(members::role).eq_any(Role::Admin.at_least()).or(theirs
                .field(members::status)
                .eq(MemberStatus::Active)
                .and(
                    organizations::member_directory.eq(MemberDirectory::Everyone).or(organizations::member_directory
                        .eq(MemberDirectory::Leadership)
                        .and(theirs.field(members::role).eq_any(Role::Admin.at_least()))),
                )),
        )
        .select(theirs.field(members::user_id))
        .into_boxed();
    if let Some(only) = reach.only() {
        query = query.filter(mine.field(members::organization_id).eq(only));
    }
    Ok(query.load(connection).await?)
}

/// The personal organization of an account.
pub async fn personal_organization_id(connection: &mut AsyncPgConnection, user_id: UserId) -> Result<OrganizationId> {
    Ok(organizations::table
        .filter(organizations::personal_user_id.eq(user_id))
        .select(organizations::id)
        .first(connection)
        .await?)
}

/// Whether the actor's account belongs to no organization but its personal one (R52); a key, which founds none, isn't told.
pub async fn needs_organization(connection: &mut AsyncPgConnection, actor: &Actor) -> Result<bool> {
    match actor.session() {
        Some((user_id, _)) => Ok(team_memberships(connection, user_id).await? == 0),
        None => Ok(false),
    }
}

/// Where the account is an active member, its personal organization included.
pub(crate) async fn organizations_of(transaction: &mut Transaction, user_id: UserId) -> Result<Vec<OrganizationId>> {
    Ok(members::table
        .filter(members::user_id.eq(user_id))
        .filter(members::status.eq(MemberStatus::Active))
        .select(members::organization_id)
        .load(&mut **transaction)
        .await?)
}

/// How many organizations the account belongs to, its personal one apart.
pub(crate) async fn team_memberships(connection: &mut AsyncPgConnection, user_id: UserId) -> Result<i64> {
    Ok(members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(members::user_id.eq(user_id))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(organizations::personal_user_id.is_null())
        .filter(organizations::deleted_at.is_null())
        .count()
        .get_result(connection)
        .await?)
}

/// Whether the account belongs to an organization other than this one, its personal one apart; one that is deleted counts
/// while it can be restored.
pub(crate) async fn belongs_to_another_team(
    connection: &mut AsyncPgConnection,
    user_id: UserId,
    organization_id: OrganizationId,
) -> Result<bool> {
    let memberships = members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(members::user_id.eq(user_id))
        .filter(members::organization_id.ne(organization_id))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(organizations::personal_user_id.is_null());
    Ok(diesel::select(diesel::dsl::exists(memberships)).get_result(connection).await?)
}

/// How many of the users belong to an organization other than this one, personal ones apart.
pub(crate) async fn in_other_teams(
    connection: &mut AsyncPgConnection,
    ids: &[UserId],
    organization_id: OrganizationId,
) -> Result<i64> {
    Ok(members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(members::user_id.eq_any(ids))
        .filter(members::organization_id.ne(organization_id))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(organizations::personal_user_id.is_null())
        .filter(organizations::deleted_at.is_null())
        .select(diesel::dsl::count(members::user_id).aggregate_distinct())
        .first(connection)
        .await?)
}

/// What to change of a profile; `None` leaves it as it is.
#[derive(Debug, Default)]
pub struct UpdateProfile {
    /// The person's name.
    pub name: Option<String>,
    /// Their unique name.
    pub username: Option<String>,
    /// A link to a picture; `Some(None)` clears it.
    pub avatar_url: Option<Option<String>>,
}

/// Changes the actor's own profile.
pub async fn update_profile(
    database: &Database,
    actor: &Actor,
    command: &UpdateProfile,
    client: ClientNetwork,
) -> Result<()> {
    let (user_id, _) = actor.signed_in("name")?;
    let name = command.name.as_deref().map(|name| text::name("name", name, limits::NAME)).transpose()?;
    let username = command.username.as_deref().map(|username| Username::parse("username", username)).transpose()?;
    let avatar_url =
        command.avatar_url.as_ref().map(|url| text::optional_link("avatarUrl", url.as_deref())).transpose()?;
    let changed: Vec<&str> =
        [("name", name.is_some()), ("username", username.is_some()), ("avatarUrl", avatar_url.is_some())]
            .into_iter()
            .filter_map(|(field, changed)| changed.then_some(field))
            .collect();
    if changed.is_empty() {
        return Ok(());
    }
    // The answer tells whether somebody else has the username.
    let guess = attempt::count_guesses(database, actor, client, username.iter().len()).await?;
    let updated = database
        .transaction(async |transaction| {
            access::lock_users(transaction, &[user_id]).await?;
            let before = require_living(transaction, user_id, "name").await?;
            let personal = personal_organization_id(transaction, user_id).await?;
            access::lock_organizations(transaction, &[personal]).await?;
            access::lock_memberships(transaction, user_id).await?;
            #[derive(AsChangeset)]
            #[diesel(table_name = users)]
            struct Changes<'a> {
                name: Option<&'a str>,
                folded_name: Option<String>,
                username: Option<&'a Username>,
                avatar_url: Option<Option<&'a str>>,
            }
            let changes = Changes {
                name: name.as_deref(),
                folded_name: name.as_deref().map(text::fold),
                username: username.as_ref(),
                avatar_url: avatar_url.as_ref().map(Option::as_deref),
            };
            let holder = Holder::Account(user_id);
            guess.make();
            if let Some(username) = &username {
                let (from, to) = (before.username.as_str(), username.as_str());
                reserved_name::change(transaction, holder, Some(from), Some(to)).await?;
            }
            let updated = diesel::update(users::table.find(user_id)).set(changes).execute(&mut **transaction).await;
            on_violation(updated, "users_username_key", || holder.taken())?;
            if let Some(name) = &name {
                // The personal organization carries its user's name.
                diesel::update(organizations::table.find(personal))
                    .set(organizations::name.eq(name))
                    .execute(&mut **transaction)
                    .await?;
            }
            let event = NewEvent::by(actor, personal, AuditAction::UserProfileUpdated, user_id)
                .summary(format!("changed {}", changed.join(", ")))
                .with(json!({ "fields": changed }));
            audit::record(transaction, [event]).await
        })
        .await;
    guess.settle(updated).await
}

/// The account, as it stands under the lock on its row; CONFLICT where it was deleted.
pub(crate) async fn require_living(transaction: &mut Transaction, user_id: UserId, field: &str) -> Result<User> {
    let user = by_id(transaction, user_id).await?;
    if user.deleted_at.is_some() {
        return Err(Error::refused(Code::Conflict, field, "this account was deleted, and nothing brings it back"));
    }
    Ok(user)
}

/// Makes an organization pay for the actor's new projects and apps, unless another one is named (R56). It takes the permission
/// to bill there (R55); the personal organization always pays.
pub async fn set_default_bill_to(database: &Database, actor: &Actor, organization_id: OrganizationId) -> Result<()> {
    let (user_id, _) = actor.signed_in("organizationId")?;
    database
        .transaction(async |transaction| {
            // Whoever takes the permission away locks the account too.
            access::lock_users(transaction, &[user_id]).await?;
            let not_found = access::organization_not_found("organizationId");
            let permit = access::enter(transaction, actor, organization_id, Lock::Membership, not_found).await?;
            permit.require_billing("organizationId")?;
            let personal = personal_organization_id(transaction, user_id).await?;
            let default_bill_to_id = (organization_id != personal).then_some(organization_id);
            diesel::update(users::table.find(user_id))
                .set(users::default_bill_to_id.eq(default_bill_to_id))
                .execute(&mut **transaction)
                .await?;
            let event = NewEvent::by(actor, personal, AuditAction::UserDefaultBillToSet, user_id)
                .summary(format!("new projects and apps are billed to {organization_id}"))
                .with(json!({ "organization": organization_id.to_string() }));
            audit::record(transaction, [event]).await
        })
        .await
}

/// Who pays for the user's new projects and apps where nobody else is named (R56): the default, or the personal organization; with
/// a key the only organization that this reaches.
pub async fn default_bill_to(
    connection: &mut AsyncPgConnection,
    user: &User,
    only: Option<OrganizationId>,
) -> Result<OrganizationId> {
    if let Some(only) = only {
        return Ok(only);
    }
    if let Some(id) = user.default_bill_to_id {
        // A deleted one pays again once it is restored (R48).
        let living = organizations::table.find(id).filter(organizations::deleted_at.is_null());
        if diesel::select(diesel::dsl::exists(living)).get_result(connection).await? {
            return Ok(id);
        }
    }
    personal_organization_id(connection, user.id).await
}

/// The personal organization pays again, where it was this one that did: the account may not bill there any more. Its row is
/// locked.
pub(crate) async fn reset_default_bill_to(
    transaction: &mut Transaction,
    user_id: UserId,
    organization_id: OrganizationId,
) -> Result<()> {
    diesel::update(users::table.find(user_id).filter(users::default_bill_to_id.eq(organization_id)))
        .set(users::default_bill_to_id.eq(None::<OrganizationId>))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// The organizations that the actor may bill to (R55), the personal one first, the others by name, as many as a list without pages
/// holds; for an API key at most its own.
pub async fn billable_organizations(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
) -> Result<Vec<(Organization, Permit)>> {
    let Some(reach) = actor.reach() else { return Ok(Vec::new()) };
    let (roles, roles_with_permission) = (Role::that_may_bill(false), Role::that_may_bill(true));
    let query = members::table
        .inner_join(organizations::table.on(organizations::id.eq(members::organization_id)))
        .filter(members::user_id.eq(reach.user_id()))
        .filter(members::status.eq(MemberStatus::Active))
        .filter(
            members::role
                .eq_any(roles)
                .or(members::billable_activities.and(members::role.eq_any(roles_with_permission))),
        )
        .filter(organizations::deleted_at.is_null())
        .select(members::organization_id)
        .order((organizations::personal_user_id.is_null(), lower(organizations::name), organizations::id))
        .limit(limits::MAX_UNPAGED)
        .into_boxed();
    let query = match reach.only() {
        Some(only) => query.filter(organizations::id.eq(only)),
        None => query,
    };
    let ids: Vec<OrganizationId> = query.load(connection).await?;
    let keys: Vec<_> = ids.into_iter().map(|id| (actor.clone(), id)).collect();
    let found = access::organizations_with_permits(connection, &keys).await?;
    let may_bill = |(_, organization, permit): (Actor, Organization, Option<Permit>)| {
        Some((organization, permit.filter(Permit::may_bill)?))
    };
    Ok(found.into_iter().filter_map(may_bill).collect())
}

/// Lifts a suspension: an organization's invitation was accepted (D6). The account's row is locked.
pub(crate) async fn lift_suspension(
    transaction: &mut Transaction,
    user_id: UserId,
    reason: &str,
) -> Result<Option<NewEvent>> {
    let lifted = diesel::update(users::table.find(user_id).filter(users::suspended_at.is_not_null()))
        .set(users::suspended_at.eq(None::<DateTime<Utc>>))
        .execute(&mut **transaction)
        .await?;
    if lifted == 0 {
        return Ok(None);
    }
    let personal = personal_organization_id(transaction, user_id).await?;
    Ok(Some(NewEvent::by_user(user_id, personal, AuditAction::UserSuspensionLifted, user_id).summary(reason)))
}

/// Suspends the account: its organization let it go, and it belongs to no other (D6). Sessions end; keys don't answer.
pub(crate) async fn suspend(transaction: &mut Transaction, user_id: UserId, by: OrganizationId) -> Result<NewEvent> {
    diesel::update(users::table.find(user_id))
        .set(users::suspended_at.eq(rollcall_now().nullable()))
        .execute(&mut **transaction)
        .await?;
    session::end_all(transaction, user_id).await?;
    api_key::revoke_all(transaction, user_id).await?;
    let personal = personal_organization_id(transaction, user_id).await?;
    api_key::revoke_services(transaction, personal).await?;
    Ok(NewEvent::by_system(personal, AuditAction::UserSuspended, user_id)
        .summary("the organization that created the account deactivated it")
        .with(json!({ "organization": by.to_string() })))
}
