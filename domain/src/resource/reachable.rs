//! What somebody reaches, for a platform's services (R89).

use diesel_async::AsyncPgConnection;

use crate::account::user;
use crate::account::user_ref::{self, UserRef};
use crate::authority::actor::{AccessQuestions, Actor};
use crate::authority::rights::AccessLevel;
use crate::base::error::Result;
use crate::base::id::{OrganizationId, ResourceId};
use crate::base::page::{Page, PageRequest, Slice};
use crate::resource::access_check::require_level;
use crate::resource::kind::ResourceKind;
use crate::resource::list::{ReachedResource, ResourceFilter, list_at_least};

/// The resources that are asked for.
#[derive(Debug, Clone)]
pub struct ReachFilter {
    /// Only resources of this organization.
    pub organization_id: Option<OrganizationId>,
    /// Only resources of this kind.
    pub kind: Option<ResourceKind>,
    /// Only resources that the person reaches at this level or a higher one, VIEW or more.
    pub at_least: AccessLevel,
}

/// Returns a page of what a person reaches, oldest first, each with their level. It is empty for accounts that the
/// actor may not ask about, that aren't there, and that are suspended.
///
/// # Errors
///
/// A bad request for a malformed page and for the level NONE; FORBIDDEN for platform keys without ACCESS_CHECK.
pub async fn reachable(
    connection: &mut AsyncPgConnection,
    actor: &Actor,
    named: &UserRef,
    filter: &ReachFilter,
    page: &PageRequest,
) -> Result<Page<ReachedResource>> {
    let slice: Slice<ResourceId> = page.slice()?;
    require_level(filter.at_least)?;
    let questions = actor.access_questions("user")?;
    let found = user_ref::resolve(connection, std::slice::from_ref(named)).await?;
    let within = match questions {
        AccessQuestions::OfAnybody(within) => within,
        AccessQuestions::OfOneself(reach) if found.get(named) == Some(&reach.user_id()) => reach.within().clone(),
        AccessQuestions::OfOneself(_) | AccessQuestions::None => return Ok(Page::default()),
    };
    let account = match found.get(named) {
        Some(id) => user::by_ids(connection, &[*id]).await?.pop(),
        None => None,
    };
    let Some(account) = account.filter(|account| account.suspended_at.is_none()) else { return Ok(Page::default()) };
    let only = filter.organization_id;
    if only.is_some_and(|id| !within.includes(id)) {
        return Ok(Page::default());
    }
    let within = match &only {
        Some(only) => Some(std::slice::from_ref(only)),
        None => within.ids(),
    };
    let kinds = ResourceFilter { kind: filter.kind, ..ResourceFilter::default() };
    list_at_least(connection, account.id, within, &kinds, filter.at_least, &slice).await
}
