//! Which people an actor may look up.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::actor::{Actor, Reach};
use crate::authority::membership::MemberStatus;
use crate::authority::platform::PlatformScope;
use crate::authority::rights::{MemberDirectory, Role};
use crate::base::error::Result;
use crate::base::id::{OrganizationId, UserId};
use crate::database::schema::{members, organizations};

/// Returns those of the ids that the actor may look up: their own, and those of members whom they see in an
/// organization that they share (D9). Staff may look up everybody, service keys nobody, and platform keys with READ
/// everybody, or whoever belongs or belonged to the organizations to which they are limited (R85).
pub async fn visible_to(connection: &mut AsyncPgConnection, actor: &Actor, ids: &[UserId]) -> Result<Vec<UserId>> {
    let mut seen = match actor {
        Actor::Staff { .. } => return Ok(ids.to_vec()),
        Actor::Platform(key) => match (key.scopes.has(PlatformScope::Read), key.within.ids()) {
            (false, _) => Vec::new(),
            (true, None) => return Ok(ids.to_vec()),
            (true, Some(organizations)) => members_among(connection, organizations, ids).await?,
        },
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Service { .. } | Actor::OnBehalf { .. } => {
            match actor.reach() {
                Some(reach) => seen_by(connection, reach, ids).await?,
                None => Vec::new(),
            }
        }
    };
    seen.extend(actor.account());
    Ok(ids.iter().copied().filter(|id| seen.contains(id)).collect())
}

/// Returns those of the ids who belong or belonged to one of the organizations.
async fn members_among(
    connection: &mut AsyncPgConnection,
    organizations: &[OrganizationId],
    ids: &[UserId],
) -> Result<Vec<UserId>> {
    Ok(members::table
        .filter(members::organization_id.eq_any(organizations))
        .filter(members::user_id.eq_any(ids))
        .select(members::user_id)
        .load(connection)
        .await?)
}

/// Whether somebody may look another person up. Decides what emails to them may contain.
pub async fn knows(connection: &mut AsyncPgConnection, user_id: UserId, other: UserId) -> Result<bool> {
    Ok(user_id == other || !seen_by(connection, Reach::of(user_id), &[other]).await?.is_empty())
}

/// Returns those of the ids that a shared organization shows to the user (D9).
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
    if let Some(ids) = reach.within().ids() {
        query = query.filter(mine.field(members::organization_id).eq_any(ids.to_vec()));
    }
    Ok(query.load(connection).await?)
}
