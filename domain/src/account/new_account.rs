//! Creates an account together with its personal organization.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::grant_invitation;
use crate::account::reserved_name::{self, Holder};
use crate::authority::audit::{AuditAction, NewEvent};
use crate::authority::membership::{JoinMethod, MemberStatus};
use crate::authority::permissions::Permissions;
use crate::authority::rights::Role;
use crate::base::error::{Code, Error, Refusal, Result, on_violation};
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::base::limits;
use crate::base::text::{self, EmailAddress, Username};
use crate::database::schema::{members, organizations, users};
use crate::database::{Transaction, now};

/// The account to create.
pub(crate) struct NewUser<'a> {
    pub email: &'a EmailAddress,
    pub name: Option<&'a str>,
    pub username: Option<&'a Username>,
    pub origin_organization_id: Option<OrganizationId>,
}

/// A new account and its personal organization.
pub(crate) struct Created {
    pub user_id: UserId,
    pub personal_organization_id: OrganizationId,
    /// The events to record: the creation, and what was already shared with the address.
    pub events: Vec<NewEvent>,
}

/// Creates an account together with its personal organization. CONFLICT if somebody else creates an account for the
/// address at the same time.
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
            salt = reserved_name::salt();
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
    own(transaction, [(user_id, personal_organization_id, at)]).await?;
    let mut events = vec![
        NewEvent::by_user(user_id, personal_organization_id, AuditAction::UserCreated, user_id)
            .summary(format!("account {user_id} was made"))
            .about(user_id)
            .with(json!({ "owner": user_id.to_string() })),
    ];
    events.extend(grant_invitation::take_up(transaction, user_id, new.email).await?);
    Ok(Created { user_id, personal_organization_id, events })
}

/// Makes accounts the owners, and only members, of their personal organizations, each since a time.
pub(crate) async fn own(
    transaction: &mut Transaction,
    owned: impl IntoIterator<Item = (UserId, OrganizationId, DateTime<Utc>)>,
) -> Result<()> {
    let row = |(user_id, organization_id, joined_at): (UserId, OrganizationId, DateTime<Utc>)| {
        (
            members::id.eq(MemberId::new()),
            members::organization_id.eq(organization_id),
            members::user_id.eq(user_id),
            members::role.eq(Role::Owner),
            members::status.eq(MemberStatus::Active),
            Permissions::all(),
            members::joined_at.eq(joined_at),
            members::joined_via.eq(JoinMethod::Founder),
        )
    };
    let rows: Vec<_> = owned.into_iter().map(row).collect();
    diesel::insert_into(members::table).values(rows).execute(&mut **transaction).await?;
    Ok(())
}

fn email_taken() -> Refusal {
    Refusal::new(Code::Conflict, "email", "an account with this address was made at this very moment; try again")
}
