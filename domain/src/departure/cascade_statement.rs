//! The statements of the cascade, of parts that the plan shares.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use crate::base::id::{DepartureId, OrganizationId, ResourceId, ResourceMoveId, UserId};
use crate::base::sql::{parameters, statement};
use crate::departure::DepartureStep;
use crate::resource::kind::ResourceKind;

/// Which of what a leaver owns a step concerns: conditions on resources `r`, by `:organization_id`, `:leaver_id` and
/// `:kinds`. Samples in projects stay where they lie (R33). What is moving to another organization, with what lies in
/// it, finds its owner there.
pub(super) fn concerned(step: DepartureStep) -> String {
    let lies_loose = match step {
        DepartureStep::CollectSamples => " AND r.container_id IS NULL",
        _ => "",
    };
    format!(
        "r.organization_id = :organization_id AND r.owner_id = :leaver_id AND r.kind = ANY (:kinds){lies_loose} AND NOT r.moving \
         AND NOT EXISTS (SELECT FROM resources p WHERE p.id = r.container_id AND p.moving)"
    )
}

/// What of that is left behind: also by `:new_owner_id`, and by `:owned_until`, the moment until which it was the
/// leaver's (null: all of it is the departure's).
///
/// A leaver who came back and became the owner keeps what is theirs, and so does who came back with samples that they
/// have taken out of a project since.
fn left_behind_by(step: DepartureStep) -> String {
    let untouched = match step {
        DepartureStep::CollectSamples => " AND r.updated_at <= coalesce(:owned_until, 'infinity')",
        _ => "",
    };
    let concerned = concerned(step);
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
    let left_behind = left_behind_by(*step);
    format!("SELECT count(*) AS count FROM (SELECT FROM resources r WHERE {left_behind} LIMIT :most) behind")
}

parameters! {
    pub(super) struct MoveChunk {
        organization_id: SqlUuid = OrganizationId,
        leaver_id: SqlUuid = UserId,
        kinds: Array<Text> = Vec<ResourceKind>,
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

/// What the statement that moves a chunk depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MoveShape {
    pub step: DepartureStep,
    pub kind: ResourceKind,
    /// Whether it goes on behind what was moved before.
    pub beyond: bool,
}

impl MoveShape {
    pub(super) fn text(&self) -> String {
        let (to, change) = match self.kind {
            // They stay the leaver's (R33).
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
            left_behind = left_behind_by(self.step),
            beyond = if self.beyond { " AND r.id > :after" } else { "" },
            change = change,
            to = to,
            was = was,
        )
    }
}

/// A leaver's grants that end: conditions on grants `g`, by `:organization_id` and `:leaver_id`. Those on projects that
/// they have uploaded samples to sleep instead (R37), and those after the membership's end were made for someone
/// outside.
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
