//! The receipts of departures: what became of the leaver's work.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Departure, DepartureKind, DepartureStatus};
use crate::account::api_key::{self, ApiKey};
use crate::account::user::{self, User};
use crate::authority::membership::MemberStatus;
use crate::base::attached::{self, Attached};
use crate::base::error::Result;
use crate::base::id::{DepartureId, OrganizationId, ResourceId, ResourceMoveId, UserId};
use crate::base::limits;
use crate::base::page::{Page, PageRequest};
use crate::database::schema::{departures, resource_moves, resources};
use crate::event::webhook::{self, Webhook};
use crate::membership::{member, organization};
use crate::resource::kind::ResourceKind;

/// A resource that a departure moved.
#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = resource_moves)]
pub struct ResourceMove {
    /// The move's id.
    pub id: ResourceMoveId,
    /// The organization that the departure is from.
    pub organization_id: OrganizationId,
    /// The departure.
    pub departure_id: DepartureId,
    /// The resource. `None` once it is deleted.
    pub resource_id: Option<ResourceId>,
    /// The resource's name at the time of the move.
    pub resource_name: String,
    /// The kind of the resource.
    pub resource_kind: ResourceKind,
    /// The user who owned it before.
    pub from_id: UserId,
    /// The user who owned it afterwards. For samples, this is still the leaver.
    pub to_id: UserId,
    /// The project that a sample was collected into (R36).
    pub container_id: Option<ResourceId>,
    /// When the resource was moved.
    pub moved_at: DateTime<Utc>,
    /// When a revert returned the resource.
    pub reverted_at: Option<DateTime<Utc>>,
    /// Why a revert didn't return the resource.
    pub kept_because: Option<String>,
}

impl Attached for ResourceMove {
    type Id = ResourceMoveId;
    type Parent = DepartureId;
    const TABLE: &'static str = "resource_moves";
    const PARENT: &'static str = "departure_id";
    fn condition() -> String {
        "true".to_owned()
    }
    fn id(&self) -> ResourceMoveId {
        self.id
    }
    fn parent(&self) -> DepartureId {
        self.departure_id
    }
}

/// A page of the moves of each departure, in the order in which they were made, and the number of its moves.
pub async fn moves(
    connection: &mut AsyncPgConnection,
    ids: &[DepartureId],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<DepartureId, (Page<ResourceMove>, i64)>> {
    attached::to(connection, ids, page, with_count).await
}

/// Loads the moves, without checking who asks.
pub async fn moves_by_ids(connection: &mut AsyncPgConnection, ids: &[ResourceMoveId]) -> Result<Vec<ResourceMove>> {
    Ok(resource_moves::table
        .filter(resource_moves::id.eq_any(ids))
        .select(ResourceMove::as_select())
        .load(connection)
        .await?)
}

/// How a membership ended, in the way that people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembershipEnding {
    /// The member left.
    Left,
    /// The member was removed.
    Removed,
    /// The member was deactivated.
    Deactivated,
    /// The member's account was deleted, and thereby left.
    Deleted,
}

impl MembershipEnding {
    /// How the membership of `leaver` ended.
    pub fn of(departure: &Departure, leaver: &User) -> Self {
        match (departure.kind, leaver.deleted_at) {
            (DepartureKind::Leave, Some(_)) => Self::Deleted,
            (DepartureKind::Leave, None) => Self::Left,
            (DepartureKind::Remove, _) => Self::Removed,
            (DepartureKind::Deactivate, _) => Self::Deactivated,
        }
    }
}

/// What one person is told about a departure once everything has been passed on.
#[derive(Debug)]
pub struct Receipt {
    /// The departure.
    pub departure: Departure,
    /// The organization's name.
    pub organization_name: String,
    /// The person who is told.
    pub recipient: User,
    /// How the membership ended.
    pub ending: MembershipEnding,
    /// What moved from the leaver, or to the owner who is told.
    pub moved: MovedSummary,
    /// The details for this kind of recipient.
    pub told: ReceiptContent,
}

/// What the leaver is told, and what an owner is told.
#[derive(Debug)]
pub enum ReceiptContent {
    /// For the leaver.
    Leaver {
        /// Whether this is the first email that tells them about the end of their membership.
        tells_end: bool,
        /// The names of those who have the leaver's resources now. `None` if the leaver may not see who leads the
        /// organization (R77).
        new_owner_names: Option<Vec<String>>,
        /// The name of the user who owns the project that samples were collected into (R36), if the leaver may know
        /// it.
        samples_owner_name: Option<String>,
    },
    /// For somebody who received something, or who owns the organization.
    Owner {
        /// The leaver.
        leaver: User,
        /// The names of the others who received something.
        other_owners: Vec<String>,
        /// Whether they still own the organization.
        owns: bool,
        /// What the owner should do now, one sentence each, such as rotating secrets.
        advice: Vec<String>,
    },
}

/// A summary of what a departure moved.
#[derive(Debug)]
pub struct MovedSummary {
    /// The number of resources of each kind.
    pub counts: Vec<(ResourceKind, i64)>,
    /// The names of the first [`limits::RECEIPT_EXAMPLES`] resources.
    pub examples: Vec<String>,
    /// The number of samples that were collected into a project (R36). The other counts don't include them, since they
    /// still belong to the leaver.
    pub collected_samples: i64,
}

/// What `recipient_id` is told about the departure. `None` if it was reverted, or no longer concerns them.
///
/// # Errors
/// If the database fails.
pub async fn of(connection: &mut AsyncPgConnection, id: DepartureId, recipient_id: UserId) -> Result<Option<Receipt>> {
    let Some(departure) = super::by_ids(connection, &[id]).await?.pop() else { return Ok(None) };
    // The departure was reverted in the meantime, so the receipt would no longer be true.
    if matches!(departure.status, DepartureStatus::Reverting | DepartureStatus::Reverted) {
        return Ok(None);
    }
    let organization = organization::by_id(connection, departure.organization_id).await?;
    let recipient = user::by_id(connection, recipient_id).await?;
    let leaver = user::by_id(connection, departure.user_id).await?;
    let member = member::of(connection, departure.organization_id, recipient_id).await?;
    let ending = MembershipEnding::of(&departure, &leaver);
    let receivers = receivers(connection, id).await?;
    let samples_owner = samples_owner(connection, id).await?;
    let (moved, told) = if recipient_id == departure.user_id {
        let moved = moved(connection, id, &receivers).await?;
        let samples_owner = samples_owner.filter(|_| moved.collected_samples > 0);
        // Leavers who may not see who leads the organization aren't told it in the receipt either (R77).
        let names = member.is_some_and(|member| organization.standing_of(member.role).sees_structure());
        let told = ReceiptContent::Leaver {
            // Somebody who left by themselves knows it, and somebody who was told before doesn't need to be told
            // again.
            tells_end: departure.kind != DepartureKind::Leave && departure.told_at.is_none(),
            new_owner_names: match names {
                true => {
                    let owners = owners_now(connection, &departure, receivers).await?;
                    Some(names_of(connection, &owners).await?)
                }
                false => None,
            },
            samples_owner_name: match samples_owner.filter(|_| names) {
                Some(owner) => Some(user::by_id(connection, owner).await?.name),
                None => None,
            },
        };
        (moved, told)
    } else {
        // Somebody who transferred the organization and has left since then has nothing to do with it any more. The
        // receipt of their own departure tells them the rest.
        if member.is_none_or(|member| member.status != MemberStatus::Active) {
            return Ok(None);
        }
        let theirs: Vec<UserId> = receivers.iter().copied().filter(|receiver| *receiver == recipient_id).collect();
        let mut moved = moved(connection, id, &theirs).await?;
        if samples_owner != Some(recipient_id) {
            moved.collected_samples = 0;
        }
        let others: Vec<UserId> = receivers.into_iter().filter(|receiver| *receiver != recipient_id).collect();
        let owns = recipient_id == departure.new_owner_id;
        let told = ReceiptContent::Owner {
            other_owners: names_of(connection, &others).await?,
            owns,
            advice: if owns { advice(connection, &departure).await? } else { Vec::new() },
            leaver,
        };
        (moved, told)
    };
    Ok(Some(Receipt { departure, organization_name: organization.name, recipient, ending, moved, told }))
}

/// The users who received something. There is more than one if the ownership was transferred in the meantime (R43).
async fn receivers(connection: &mut AsyncPgConnection, id: DepartureId) -> Result<Vec<UserId>> {
    Ok(passed_on(id).select(resource_moves::to_id).distinct().load(connection).await?)
}

/// The users whom the leaver is told of: those who have the resources now. If a user who received some has left since
/// then, the owner has them.
async fn owners_now(
    connection: &mut AsyncPgConnection,
    departure: &Departure,
    receivers: Vec<UserId>,
) -> Result<Vec<UserId>> {
    let here = member::active_among(connection, departure.organization_id, &receivers).await?;
    let mut owners: Vec<UserId> = receivers.iter().copied().filter(|receiver| here.contains(receiver)).collect();
    let some_are_gone = owners.is_empty() || owners.len() < receivers.len();
    if some_are_gone && !owners.contains(&departure.new_owner_id) {
        owners.push(departure.new_owner_id);
    }
    Ok(owners)
}

async fn names_of(connection: &mut AsyncPgConnection, users: &[UserId]) -> Result<Vec<String>> {
    Ok(user::by_ids(connection, users).await?.into_iter().map(|user| user.name).collect())
}

/// Advice to renew the secrets that the leaver knew.
async fn advice(connection: &mut AsyncPgConnection, departure: &Departure) -> Result<Vec<String>> {
    let webhooks = webhook::known_to(connection, departure.organization_id, departure.user_id).await?;
    let services = api_key::known_to(connection, departure.organization_id, departure.user_id).await?;
    Ok(webhooks.iter().map(Webhook::renewal_advice).chain(services.iter().map(ApiKey::renewal_advice)).collect())
}

/// A summary of what moved to any of these users.
async fn moved(connection: &mut AsyncPgConnection, id: DepartureId, receivers: &[UserId]) -> Result<MovedSummary> {
    let moves = passed_on(id).filter(resource_moves::to_id.eq_any(receivers));
    let counts = moves
        .clone()
        .group_by(resource_moves::resource_kind)
        .order(resource_moves::resource_kind)
        .select((resource_moves::resource_kind, diesel::dsl::count_star()))
        .load(connection)
        .await?;
    let examples = moves
        .order(resource_moves::id)
        .limit(limits::RECEIPT_EXAMPLES)
        .select(resource_moves::resource_name)
        .load(connection)
        .await?;
    let collected_samples = resource_moves::table
        .filter(resource_moves::departure_id.eq(id))
        .filter(resource_moves::container_id.is_not_null())
        .count()
        .get_result(connection)
        .await?;
    Ok(MovedSummary { counts, examples, collected_samples })
}

/// The owner of the project that samples were collected into.
async fn samples_owner(connection: &mut AsyncPgConnection, id: DepartureId) -> Result<Option<UserId>> {
    let owner = departures::table
        .find(id)
        .inner_join(resources::table.on(departures::samples_project_id.eq(resources::id.nullable())))
        .select(resources::owner_id)
        .first(connection)
        .await
        .optional()?;
    Ok(owner)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn passed_on(id: DepartureId) -> _ {
    let of_departure = resource_moves::departure_id.eq(id);
    resource_moves::table.filter(of_departure).filter(resource_moves::container_id.is_null())
}
