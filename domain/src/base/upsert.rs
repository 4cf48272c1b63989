//! What commands that bring in many objects at once have in common: all or none, each item with an outcome, and
//! refusals that name the item (R88).

use std::collections::HashSet;
use std::hash::Hash;

use chrono::{DateTime, Utc};

use crate::base::error::{Code, Error, Refusal, Result};

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpsertOutcome {
    /// It was made.
    Created,
    /// It was there, and was changed.
    Updated,
    /// It was there as it should be.
    Unchanged,
}

/// The refusals of a list's items.
pub(crate) struct ItemRefusals {
    list: &'static str,
    refusals: Vec<Refusal>,
}

impl ItemRefusals {
    /// No refusals yet, for the items of this list.
    pub(crate) fn of(list: &'static str) -> Self {
        Self { list, refusals: Vec::new() }
    }

    /// The refusals of what concerns some of the items. `positions` says which.
    pub(crate) fn at(list: &'static str, positions: &[usize], refused: Vec<(usize, Refusal)>) -> Result<Self> {
        let mut refusals = Self::of(list);
        for (index, refusal) in refused {
            refusals.add(*positions.get(index).ok_or(Error::Bug("each refusal is of an item"))?, refusal);
        }
        Ok(refusals)
    }

    /// Refuses an item.
    pub(crate) fn add(&mut self, position: usize, refusal: Refusal) {
        self.refusals.push(refusal.within([self.list, &position.to_string()]));
    }

    /// Keeps the value of an item's field, or the refusal.
    pub(crate) fn keep<T>(&mut self, position: usize, value: Result<T, Refusal>) -> Option<T> {
        value.map_err(|refusal| self.add(position, refusal)).ok()
    }

    /// Refuses each item whose key an earlier one of the list has.
    pub(crate) fn repeated<K: Hash + Eq>(&mut self, field: &str, keys: impl IntoIterator<Item = (usize, K)>) {
        let mut seen = HashSet::new();
        for (position, key) in keys {
            if !seen.insert(key) {
                self.add(position, Refusal::new(Code::Invalid, field, "is named twice in this list"));
            }
        }
    }

    /// Fails with all refusals, if there are any.
    pub(crate) fn none(self) -> Result<()> {
        match self.refusals.is_empty() {
            true => Ok(()),
            false => Err(Error::Refused(self.refusals)),
        }
    }
}

/// Fails with BLANK or TOO_MANY for a list of no or of too many items.
pub(crate) fn require_number(list: &str, number: usize, most: usize) -> Result<()> {
    match number {
        0 => Err(Error::refused(Code::Blank, list, "name at least one")),
        number if number > most => Err(Error::refused(Code::TooMany, list, format!("must be at most {most} at once"))),
        _ => Ok(()),
    }
}

/// Checks a time at which something is said to have happened: not before 1970, and not in the future.
pub(crate) fn past(
    field: &str,
    time: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Refusal> {
    match time {
        Some(time) if time < DateTime::UNIX_EPOCH => Err(Refusal::new(Code::Invalid, field, "must not be before 1970")),
        Some(time) if time > now => Err(Refusal::new(Code::Invalid, field, "must not lie in the future")),
        time => Ok(time),
    }
}

/// The refusal for a command that another one like it has overtaken: what it was about to make was made meanwhile.
pub(crate) fn raced(list: &str) -> Refusal {
    Refusal::new(Code::Conflict, list, "somebody else brings in the same at this very moment; try again")
}

/// Runs a command again if another one like it has overtaken it, which then finds what the other one made. Each run is
/// a transaction of its own.
pub(crate) async fn again_if_raced<T, F: Future<Output = Result<T>>>(run: impl Fn() -> F) -> Result<T> {
    const RUNS: usize = 5;
    let is_raced = |error: &Error| match error {
        Error::Refused(refusals) => {
            refusals.first().is_some_and(|first| first.field.first().is_some_and(|list| *first == raced(list)))
        }
        _ => false,
    };
    for _ in 1..RUNS {
        match run().await {
            Err(error) if is_raced(&error) => {}
            outcome => return outcome,
        }
    }
    run().await
}
