//! What became of the work of somebody who departed.

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

/// A resource that passed on.
#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = resource_moves)]
pub struct ResourceMove {
    /// Its id.
    pub id: ResourceMoveId,
    /// Of which organization.
    pub organization_id: OrganizationId,
    /// In which departure.
    pub departure_id: DepartureId,
    /// What; none once it is deleted.
    pub resource_id: Option<ResourceId>,
    /// What it was called.
    pub resource_name: String,
    /// What it is.
    pub resource_kind: ResourceKind,
    /// From whom.
    pub from_id: UserId,
    /// To whom; samples stay whose they are.
    pub to_id: UserId,
    /// The project that a sample was collected into (R36).
    pub container_id: Option<ResourceId>,
    /// When.
    pub moved_at: DateTime<Utc>,
    /// When a revert gave it back.
    pub reverted_at: Option<DateTime<Utc>>,
    /// Why a revert left it where it is.
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

/// A page of what each of the departures moved, in the order of moving, and how many moves there are.
pub async fn moves(
    connection: &mut AsyncPgConnection,
    ids: &[DepartureId],
    page: &PageRequest,
    with_count: bool,
) -> Result<HashMap<DepartureId, (Page<ResourceMove>, i64)>> {
    attached::to(connection, ids, page, with_count).await
}

/// The moves of the ids, whoever asks.
pub async fn moves_by_ids(connection: &mut AsyncPgConnection, ids: &[ResourceMoveId]) -> Result<Vec<ResourceMove>> {
    Ok(resource_moves::table
        .filter(resource_moves::id.eq_any(ids))
        .select(ResourceMove::as_select())
        .load(connection)
        .await?)
}

/// How a membership ended, as people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembershipEnding {
    /// The member left.
    Left,
    /// The member was removed.
    Removed,
    /// The member was deactivated.
    Deactivated,
    /// The member deleted their account, and left with it.
    Deleted,
}

impl MembershipEnding {
    /// How `leaver` went.
    pub fn of(departure: &Departure, leaver: &User) -> Self {
        match (departure.kind, leaver.deleted_at) {
            (DepartureKind::Leave, Some(_)) => Self::Deleted,
            (DepartureKind::Leave, None) => Self::Left,
            (DepartureKind::Remove, _) => Self::Removed,
            (DepartureKind::Deactivate, _) => Self::Deactivated,
        }
    }
}

/// What one person is told of a departure once everything has passed on.
#[derive(Debug)]
pub struct Receipt {
    /// The departure.
    pub departure: Departure,
    /// The name of the organization.
    pub organization_name: String,
    /// Who is told.
    pub recipient: User,
    /// How the membership ended.
    pub ending: MembershipEnding,
    /// What moved: from the leaver, or to the owner who is told.
    pub moved: MovedSummary,
    /// What else they are told.
    pub told: ReceiptContent,
}

/// What a leaver is told, and what an owner.
#[derive(Debug)]
pub enum ReceiptContent {
    /// The leaver.
    Leaver {
        /// Whether they hear here first that the membership has ended.
        tells_end: bool,
        /// The names of those who have their things now; none where they may not see who leads the organization (R77).
        new_owner_names: Option<Vec<String>>,
        /// Whose the project is that samples were collected into (R36), where they may know.
        samples_owner_name: Option<String>,
    },
    /// Somebody who received something, or owns the organization.
    Owner {
        /// Who is gone.
        leaver: User,
        /// The names of the others who received something.
        other_owners: Vec<String>,
        /// Whether they still own the organization.
        owns: bool,
        /// What the owner should do now, such as secrets to renew; a sentence each.
        advice: Vec<String>,
    },
}

/// What a departure moved, in short.
#[derive(Debug)]
pub struct MovedSummary {
    /// How many of each kind.
    pub counts: Vec<(ResourceKind, i64)>,
    /// The names of the first [`limits::RECEIPT_EXAMPLES`].
    pub examples: Vec<String>,
    /// How many samples were collected into a project (R36); they are not among the others, since they stay whose they
    /// are.
    pub collected_samples: i64,
}

/// What `recipient_id` is told of the departure; none where it was taken back, or is no business of theirs any more.
///
/// # Errors
/// Those of the database.
pub async fn of(connection: &mut AsyncPgConnection, id: DepartureId, recipient_id: UserId) -> Result<Option<Receipt>> {
    let Some(departure) = super::by_ids(connection, &[id]).await?.pop() else { return Ok(None) };
    // Taken back meanwhile: what it would tell isn't so any more.
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
        // Who mustn't see who leads the organization isn't told of it at the end either (R77).
        let names = member.is_some_and(|member| organization.standing_of(member.role).sees_structure());
        let told = ReceiptContent::Leaver {
            // Who went by themselves knows it; who was told has heard it.
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
        // Who handed the organization over and has gone since is no business of its any more; their own receipt tells
        // the rest.
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

/// Who received something: more than one where the ownership passed on meanwhile (R43).
async fn receivers(connection: &mut AsyncPgConnection, id: DepartureId) -> Result<Vec<UserId>> {
    Ok(passed_on(id).select(resource_moves::to_id).distinct().load(connection).await?)
}

/// The leaver hears of all who have something of theirs now: what somebody received who has gone since is the owner's.
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

/// The secrets that the leaver knew.
async fn advice(connection: &mut AsyncPgConnection, departure: &Departure) -> Result<Vec<String>> {
    let webhooks = webhook::known_to(connection, departure.organization_id, departure.user_id).await?;
    let services = api_key::known_to(connection, departure.organization_id, departure.user_id).await?;
    Ok(webhooks.iter().map(Webhook::renewal_advice).chain(services.iter().map(ApiKey::renewal_advice)).collect())
}

/// What moved to one of these.
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

/// Whose the project is that samples were collected into.
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
