//! Which people an actor may look up.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::authority::actor::{Actor, Reach};
use crate::authority::membership::MemberStatus;
use crate::authority::rights::{MemberDirectory, Role};
use crate::base::error::Result;
use crate::base::id::UserId;
use crate::database::schema::{members, organizations};

/// Returns those of the ids that the actor may look up: their own, and those of members whom they see in an
/// organization that they share (D9). Staff may look up everybody, and service keys nobody.
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
    if let Some(only) = reach.only() {
        query = query.filter(mine.field(members::organization_id).eq(only));
    }
    Ok(query.load(connection).await?)
}
