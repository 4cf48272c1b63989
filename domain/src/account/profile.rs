//! The profile, which people change themselves.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use crate::account::reserved_name::{self, Holder};
use crate::account::user;
use crate::authority::actor::Actor;
use crate::authority::audit::{self, AuditAction, NewEvent};
use crate::authority::{access, attempt};
use crate::base::client::ClientNetwork;
use crate::base::error::{Result, on_violation};
use crate::base::limits;
use crate::base::text::{self, Username};
use crate::database::Database;
use crate::database::schema::{organizations, users};

/// The changes to a profile. `None` leaves a field as it is.
#[derive(Debug, Default)]
pub struct UpdateProfile {
    /// The person's name.
    pub name: Option<String>,
    /// The unique username.
    pub username: Option<String>,
    /// The URL of a picture; `Some(None)` clears it.
    pub avatar_url: Option<Option<String>>,
}

/// Changes the actor's own profile.
pub async fn update_profile(
    database: &Database,
    actor: &Actor,
    command: &UpdateProfile,
    client: ClientNetwork,
) -> Result<()> {
    let user_id = actor.person_everywhere("name")?.user_id();
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
    // The response reveals whether somebody else has the username.
    let guess = attempt::count_guesses(database, actor, client, username.iter().len()).await?;
    let updated = database
        .transaction(async |transaction| {
            access::lock_users(transaction, &[user_id]).await?;
            let before = user::require_living(transaction, user_id, "name").await?;
            let personal = user::personal_organization_id(transaction, user_id).await?;
            access::lock_organizations(transaction, &[personal]).await?;
            access::lock_memberships(transaction, &[user_id]).await?;
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
            guess.mark_made();
            if let Some(username) = &username {
                let (from, to) = (before.username.as_str(), username.as_str());
                reserved_name::change(transaction, holder, Some(from), Some(to)).await?;
            }
            let updated = diesel::update(users::table.find(user_id)).set(changes).execute(&mut **transaction).await;
            on_violation(updated, "users_username_key", || holder.taken())?;
            if let Some(name) = &name {
                // The personal organization has the name of its user.
                diesel::update(organizations::table.find(personal))
                    .set(organizations::name.eq(name))
                    .execute(&mut **transaction)
                    .await?;
            }
            let event = NewEvent::by(actor, personal, AuditAction::UserProfileUpdated, user_id)
                .summary(format!("changed {}", changed.join(", ")))
                .about(user_id)
                .with(json!({ "fields": changed }));
            audit::record(transaction, [event]).await
        })
        .await;
    guess.refund_if_right(updated).await
}
