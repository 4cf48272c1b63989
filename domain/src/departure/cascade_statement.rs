//! The SQL statements of the cascade, assembled from parts that the plan uses too.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use crate::base::id::{DepartureId, OrganizationId, ResourceId, ResourceMoveId, UserId};
use crate::base::sql::{parameters, statement};
use crate::departure::DepartureStep;
use crate::resource::kind::ResourceKind;

/// The condition for resources `r` to be of one of the kinds in the parameter `:kinds`.
pub(super) const OF_KINDS: &str = "r.kind = ANY (:kinds)";

/// The condition for resources `r` to be of the kind in the parameter `:kind`. Only with this one, the index gives them
/// in the order of their ids, so that a chunk reads no more than it moves.
const OF_KIND: &str = "r.kind = :kind";

/// The leaver's resources that a step concerns: conditions on resources `r`, with the parameters `:organization_id`
/// and `:leaver_id`, and those of the condition for their kind. Samples in projects stay where they are (R33).
/// Resources that are moving to another organization, and their contents, will have their owner there.
pub(super) fn concerned(step: DepartureStep, of_kind: &str) -> String {
    let lies_loose = match step {
        DepartureStep::CollectSamples => " AND r.container_id IS NULL",
        _ => "",
    };
    format!(
        "r.organization_id = :organization_id AND r.owner_id = :leaver_id AND {of_kind}{lies_loose} AND NOT r.moving \
         AND NOT EXISTS (SELECT FROM resources p WHERE p.id = r.container_id AND p.moving)"
    )
}

/// The resources out of those that are left behind. It also has the parameters `:new_owner_id` and `:owned_until`, the
/// time until which a resource must have become the leaver's (null if all of them belong to the departure).
///
/// A leaver who came back and became the owner keeps their resources. A leaver who came back also keeps samples that
/// they have taken out of a project since then.
fn left_behind_by(step: DepartureStep, of_kind: &str) -> String {
    let untouched = match step {
        DepartureStep::CollectSamples => " AND r.updated_at <= coalesce(:owned_until, 'infinity')",
        _ => "",
    };
    let concerned = concerned(step, of_kind);
    format!(
        "{concerned} AND r.owner_id <> :new_owner_id AND r.owned_since <= coalesce(:owned_until, 'infinity'){untouched}"
    )
}

parameters! {
    pub(super) struct LeftBehind {
        organization_id: SqlUuid = OrganizationId,
        leaver_id: SqlUuid = UserId,
        kinds: Array<Text> = Vec<ResourceKind>,
        new_owner_id: SqlUuid = UserId,
        owned_until: Nullable<Timestamptz> = Option<DateTime<Utc>>,
        most: Nullable<BigInt> = Option<i64>,
    }
}

pub(super) fn left_behind_text(step: &DepartureStep) -> String {
    let left_behind = left_behind_by(*step, OF_KINDS);
    format!("SELECT count(*) AS count FROM (SELECT FROM resources r WHERE {left_behind} LIMIT :most) behind")
}

parameters! {
    pub(super) struct MoveChunk {
        organization_id: SqlUuid = OrganizationId,
        leaver_id: SqlUuid = UserId,
        kind: Text = ResourceKind,
        new_owner_id: SqlUuid = UserId,
        owned_until: Nullable<Timestamptz> = Option<DateTime<Utc>>,
        after: Nullable<SqlUuid> = Option<Uuid>,
        most: BigInt = i64,
        at: Timestamptz = DateTime<Utc>,
        collected_in: Nullable<SqlUuid> = Option<ResourceId>,
        departure_id: SqlUuid = DepartureId,
        move_ids: Array<SqlUuid> = Vec<ResourceMoveId>,
    }
}

/// The parameters that decide the text of the statement that moves a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MoveShape {
    pub step: DepartureStep,
    pub kind: ResourceKind,
    /// Whether it continues after the resource that was moved last.
    pub beyond: bool,
}

impl MoveShape {
    pub(super) fn text(&self) -> String {
        let (to, change) = match self.kind {
            // Samples still belong to the leaver (R33).
            ResourceKind::Sample => (":leaver_id", "container_id = :collected_in"),
            ResourceKind::Document => {
                (":new_owner_id", "owner_id = :new_owner_id, owned_since = :at, visibility = 'organization'")
            }
            _ => (":new_owner_id", "owner_id = :new_owner_id, owned_since = :at"),
        };
        let was = match self.kind {
            ResourceKind::Document => "c.visibility",
            _ => "NULL",
        };
        format!(
            include_str!("move_chunk.sql"),
            left_behind = left_behind_by(self.step, OF_KIND),
            beyond = if self.beyond { " AND r.id > :after" } else { "" },
            change = change,
            to = to,
            was = was,
        )
    }
}

/// The leaver's grants that end: conditions on grants `g`, with the parameters `:organization_id` and `:leaver_id`.
/// Grants on projects that they uploaded samples to become dormant instead (R37). Grants that were given after the
/// membership's end aren't concerned, since they were given to somebody outside.
pub(super) const ENDING_GRANTS: &str = include_str!("ending_grants.sql");

statement! {
    pub(super) struct CountEndingGrants {
        organization_id: SqlUuid = OrganizationId,
        leaver_id: SqlUuid = UserId,
        ended_at: BigInt = i64,
    } = format!("SELECT count(*) AS count FROM grants g WHERE {ENDING_GRANTS} AND g.position <= :ended_at")
}

statement! {
    pub(super) struct RemoveGrants {
        organization_id: SqlUuid = OrganizationId,
        leaver_id: SqlUuid = UserId,
        ended_at: BigInt = i64,
        after: SqlUuid = Uuid,
        most: BigInt = i64,
    } = format!(include_str!("remove_grants.sql"), ending = ENDING_GRANTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sql::require_fit;

    #[test]
    fn the_statements_name_their_parameters() {
        require_fit::<LeftBehind>(DepartureStep::ALL.iter().map(left_behind_text));
        let shapes = DepartureStep::ALL.iter().flat_map(|step| {
            let of_kind = |kind: ResourceKind| [false, true].map(|beyond| MoveShape { step: *step, kind, beyond });
            step.kinds().into_iter().flat_map(of_kind).collect::<Vec<_>>()
        });
        require_fit::<MoveChunk>(shapes.map(|shape| shape.text()));
    }
}
