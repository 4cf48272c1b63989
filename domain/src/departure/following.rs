//! Departures for those who follow their progress.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;

use crate::authority::actor::Actor;
use crate::base::error::{Code, Refusal, Result};
use crate::base::id::{DepartureId, UserId};
use crate::departure::{self, Departure, DepartureStatus, DepartureStep, Progress};

/// What followers of a departure see change. If two reads give the same, there is nothing new to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressMark {
    status: DepartureStatus,
    error: Option<String>,
    new_owner_id: UserId,
    steps: Vec<StepMark>,
}

/// A step, what is done of it, how much there is, and when it was completed.
type StepMark = (DepartureStep, i32, Option<i32>, Option<DateTime<Utc>>);

impl ProgressMark {
    fn of(departure: &Departure, steps: &[Progress]) -> Self {
        Self {
            status: departure.status,
            error: departure.error.clone(),
            new_owner_id: departure.new_owner_id,
            steps: steps.iter().map(|step| (step.step, step.done, step.total, step.completed_at)).collect(),
        }
    }
}

impl Departure {
    /// Whether the departure stays as it is unless somebody retries or reverts it. It has been completed or reverted,
    /// or the worker has given up, be it the departure or its revert.
    pub fn has_ended(&self) -> bool {
        match self.status {
            DepartureStatus::Completed | DepartureStatus::Failed | DepartureStatus::Reverted => true,
            DepartureStatus::Running => false,
            DepartureStatus::Reverting => self.error.is_some(),
        }
    }
}

/// The refusal for callers who may not learn that the departure exists.
pub fn not_found() -> Refusal {
    Refusal::new(Code::NotFound, "departureId", "there is no such departure, or you may not see it")
}

/// Returns a departure that the actor may follow, which are those that they may see.
///
/// # Errors
///
/// NOT_FOUND if there is none.
pub async fn begin(connection: &mut AsyncPgConnection, actor: &Actor, id: DepartureId) -> Result<Departure> {
    Ok(departure::visible_to(connection, actor, &[id]).await?.pop().ok_or_else(not_found)?)
}

/// Reads any number of departures and how far each has come, with two statements and without checking who asks.
pub async fn read(
    connection: &mut AsyncPgConnection,
    ids: &[DepartureId],
) -> Result<HashMap<DepartureId, (Departure, ProgressMark)>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    // The steps are read last, so that none of them is older than the status.
    let departures = departure::by_ids(connection, ids).await?;
    let mut steps_of: HashMap<DepartureId, Vec<Progress>> = HashMap::new();
    for step in departure::steps(connection, ids).await? {
        steps_of.entry(step.departure_id).or_default().push(step);
    }
    let marked = |departure: Departure| {
        let steps = steps_of.remove(&departure.id).unwrap_or_default();
        let mark = ProgressMark::of(&departure, &steps);
        (departure.id, (departure, mark))
    };
    Ok(departures.into_iter().map(marked).collect())
}
