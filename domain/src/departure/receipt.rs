//! What became of the work of somebody who departed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::base::attached::{self, Attached};
use crate::base::error::Result;
use crate::base::id::{DepartureId, OrganizationId, ResourceId, ResourceMoveId, UserId};
use crate::base::limits;
use crate::base::page::{Page, PageRequest};
use crate::database::schema::{departures, resource_moves, resources};
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

/// What a departure's mail says.
#[derive(Debug)]
pub struct Receipt {
    /// How many of each kind.
    pub counts: Vec<(ResourceKind, i64)>,
    /// The names of the first [`limits::RECEIPT_EXAMPLES`].
    pub examples: Vec<String>,
    /// How many samples were collected into a project (R36); they are not among the others, since they stay whose they are.
    pub collected_samples: i64,
    /// Whose the project is that they were collected into.
    pub samples_owner: Option<UserId>,
    /// Who received them: more than one where the ownership passed on meanwhile (R43).
    pub receivers: Vec<UserId>,
}

/// What a departure moved, in short; to one of the receivers only where one is named.
pub async fn receipt(connection: &mut AsyncPgConnection, id: DepartureId, to: Option<UserId>) -> Result<Receipt> {
    let of_departure = resource_moves::table.filter(resource_moves::departure_id.eq(id));
    let passed = of_departure.filter(resource_moves::container_id.is_null());
    let receivers: Vec<UserId> = passed.select(resource_moves::to_id).distinct().load(connection).await?;
    let wanted: Vec<UserId> =
        receivers.iter().copied().filter(|receiver| to.is_none_or(|to| to == *receiver)).collect();
    let moves = passed.filter(resource_moves::to_id.eq_any(wanted));
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
    let collected_samples =
        of_departure.filter(resource_moves::container_id.is_not_null()).count().get_result(connection).await?;
    let samples_owner = departures::table
        .find(id)
        .inner_join(resources::table.on(departures::samples_project_id.eq(resources::id.nullable())))
        .select(resources::owner_id)
        .first(connection)
        .await
        .optional()?;
    Ok(Receipt { counts, examples, collected_samples, samples_owner, receivers })
}
