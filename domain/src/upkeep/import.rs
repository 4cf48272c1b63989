//! Bringing in a platform's data from a file: the same as by the API, in batches, so that what can't be brought in is
//! told apart from the rest (R88).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::authority::actor::Actor;
use crate::authority::platform::PlatformActor;
use crate::base::error::{Error, Refusal, Result};
use crate::base::id::OrganizationId;
use crate::base::limits;
use crate::base::upsert::{self, UpsertOutcome};
use crate::database::rehearsal::Rehearsal;
use crate::database::{Database, Transaction};
use crate::membership::member_upsert::{self, MemberUpsert, UpsertMembers};
use crate::membership::organization::{self, OrganizationRef};
use crate::membership::team_upsert::{self, TeamUpsert};
use crate::organization::organization_upsert::{self, OrganizationUpsert};
use crate::resource::resource_upsert::{self, ResourceUpsert};
use crate::sign_in::user_upsert::{self, UserUpsert};

/// Items of one kind that are brought in together; those of an organization are of the same one.
#[derive(Debug, Clone)]
pub enum Batch {
    /// Accounts.
    Users(Vec<UserUpsert>),
    /// Organizations.
    Organizations(Vec<OrganizationUpsert>),
    /// Members of an organization.
    Members(OrganizationRef, Vec<MemberUpsert>),
    /// Teams of an organization.
    Teams(OrganizationRef, Vec<TeamUpsert>),
    /// Resources of an organization.
    Resources(OrganizationRef, Vec<ResourceUpsert>),
}

impl Batch {
    /// Adds the items of another batch, or returns it if they don't belong together or are too many for one command.
    ///
    /// # Errors
    ///
    /// The other batch.
    pub fn append(&mut self, other: Self) -> Result<(), Self> {
        fn added<T>(items: &mut Vec<T>, more: Vec<T>, most: usize) -> Result<(), Vec<T>> {
            if items.len() + more.len() > most {
                return Err(more);
            }
            items.extend(more);
            Ok(())
        }
        let (people, groups, resources) =
            (limits::MAX_UPSERTED_PEOPLE, limits::MAX_UPSERTED_GROUPS, limits::MAX_UPSERTED_RESOURCES);
        match (self, other) {
            (Self::Users(items), Self::Users(more)) => added(items, more, people).map_err(Self::Users),
            (Self::Organizations(items), Self::Organizations(more)) => {
                added(items, more, groups).map_err(Self::Organizations)
            }
            (Self::Members(organization, items), Self::Members(same, more)) if *organization == same => {
                added(items, more, people).map_err(|more| Self::Members(same, more))
            }
            (Self::Teams(organization, items), Self::Teams(same, more)) if *organization == same => {
                added(items, more, groups).map_err(|more| Self::Teams(same, more))
            }
            (Self::Resources(organization, items), Self::Resources(same, more)) if *organization == same => {
                added(items, more, resources).map_err(|more| Self::Resources(same, more))
            }
            (
                Self::Users(_) | Self::Organizations(_) | Self::Members(..) | Self::Teams(..) | Self::Resources(..),
                other,
            ) => Err(other),
        }
    }

    /// What the items are, in the plural.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Users(_) => "users",
            Self::Organizations(_) => "organizations",
            Self::Members(..) => "members",
            Self::Teams(..) => "teams",
            Self::Resources(..) => "resources",
        }
    }

    /// The number of items.
    fn len(&self) -> usize {
        match self {
            Self::Users(items) => items.len(),
            Self::Organizations(items) => items.len(),
            Self::Members(_, items) => items.len(),
            Self::Teams(_, items) => items.len(),
            Self::Resources(_, items) => items.len(),
        }
    }

    /// Some of the items.
    fn pick(&self, positions: &[usize]) -> Self {
        fn picked<T: Clone>(items: &[T], positions: &[usize]) -> Vec<T> {
            positions.iter().filter_map(|position| items.get(*position).cloned()).collect()
        }
        match self {
            Self::Users(items) => Self::Users(picked(items, positions)),
            Self::Organizations(items) => Self::Organizations(picked(items, positions)),
            Self::Members(organization, items) => Self::Members(organization.clone(), picked(items, positions)),
            Self::Teams(organization, items) => Self::Teams(organization.clone(), picked(items, positions)),
            Self::Resources(organization, items) => Self::Resources(organization.clone(), picked(items, positions)),
        }
    }

    /// Brings in all of the items or none.
    async fn write(&self, transaction: &mut Transaction, actor: &Actor) -> Result<Vec<UpsertOutcome>> {
        fn outcomes<T>(results: Vec<(T, UpsertOutcome)>) -> Vec<UpsertOutcome> {
            results.into_iter().map(|(_, outcome)| outcome).collect()
        }
        match self {
            Self::Users(items) => user_upsert::upsert_within(transaction, actor, items).await.map(outcomes),
            Self::Organizations(items) => {
                organization_upsert::upsert_within(transaction, actor, items).await.map(outcomes)
            }
            Self::Members(organization, items) => {
                let organization_id = organization_id(transaction, actor, organization).await?;
                let command = UpsertMembers { organization_id, members: items.clone(), notify: false };
                member_upsert::upsert_within(transaction, actor, &command).await.map(outcomes)
            }
            Self::Teams(organization, items) => {
                let id = organization_id(transaction, actor, organization).await?;
                team_upsert::upsert_within(transaction, actor, id, items).await.map(outcomes)
            }
            Self::Resources(organization, items) => {
                let id = organization_id(transaction, actor, organization).await?;
                resource_upsert::upsert_within(transaction, actor, id, items).await.map(outcomes)
            }
        }
    }
}

async fn organization_id(
    transaction: &mut Transaction,
    actor: &Actor,
    organization: &OrganizationRef,
) -> Result<OrganizationId> {
    let found = organization::named(transaction, actor, organization).await?;
    found.ok_or_else(|| organization::not_found(ORGANIZATION))
}

/// The field that names the organization of a batch.
const ORGANIZATION: &str = "organization";

/// What became of an item, or why it wasn't brought in. The refusals' fields are those of the item.
pub type ItemResult = Result<UpsertOutcome, Vec<Refusal>>;

/// An import, on behalf of the platform's staff.
pub struct Import {
    actor: Actor,
    place: Place,
}

enum Place {
    /// Each batch is committed.
    Committed(Database),
    /// Nothing is.
    Rehearsed(Box<Rehearsal>),
}

impl Import {
    /// An import that commits each batch. The audit log shows the name of the member of staff.
    pub fn new(database: &Database, staff: String) -> Self {
        Self { actor: Self::actor(staff), place: Place::Committed(database.clone()) }
    }

    /// An import of which nothing remains, to see what would be refused. What it brings in is found by what follows, as
    /// if it were there. It holds its locks until it ends.
    pub async fn rehearse(database: &Database, staff: String) -> Result<Self> {
        let place = Place::Rehearsed(Box::new(database.rehearse().await?));
        Ok(Self { actor: Self::actor(staff), place })
    }

    fn actor(staff: String) -> Actor {
        Actor::Platform(Arc::new(PlatformActor::staff(staff)))
    }

    /// Brings in the items of a batch, except for those that are refused, and returns what became of each.
    ///
    /// A command brings in all of its items or none. If it is refused because of some of them, the others are brought
    /// in without these, which are then tried one by one, in their order. If the refusal names none, as with a quota,
    /// halves of the list are tried.
    ///
    /// # Errors
    ///
    /// If the database fails. Some of the items may have been brought in.
    pub async fn bring_in(&mut self, batch: &Batch) -> Result<Vec<ItemResult>> {
        let all: Vec<usize> = (0..batch.len()).collect();
        let mut results: BTreeMap<usize, ItemResult> = BTreeMap::new();
        let mut refused: BTreeSet<usize> = BTreeSet::new();
        // The group to try next is the last one.
        let mut groups = vec![all];
        loop {
            let group = match groups.pop() {
                Some(group) => group,
                None => match refused.pop_first() {
                    Some(alone) => vec![alone],
                    None => break,
                },
            };
            let refusals = match self.write(&batch.pick(&group)).await {
                Ok(outcomes) => {
                    results.extend(group.into_iter().zip(outcomes.into_iter().map(Ok)));
                    continue;
                }
                Err(Error::Refused(refusals)) => refusals,
                Err(error) => return Err(error),
            };
            let is_of_organization =
                |refusal: &Refusal| refusal.field.first().is_some_and(|field| field == ORGANIZATION);
            match group.as_slice() {
                group if refusals.iter().all(is_of_organization) => {
                    results.extend(group.iter().map(|position| (*position, Err(refusals.clone()))));
                }
                [position] => {
                    results.insert(*position, Err(refusals.into_iter().map(of_item).collect()));
                }
                group => {
                    let named: BTreeSet<usize> = refusals.iter().filter_map(position).collect();
                    let (bad, good): (Vec<_>, Vec<_>) =
                        group.iter().enumerate().partition(|(index, _)| named.contains(index));
                    let [bad, good] = [bad, good].map(|part| part.into_iter().map(|(_, position)| *position));
                    if named.is_empty() {
                        let (first, second) = group.split_at(group.len() / 2);
                        groups.extend([second.to_vec(), first.to_vec()]);
                        continue;
                    }
                    refused.extend(bad);
                    groups.extend(Some(good.collect::<Vec<_>>()).filter(|good| !good.is_empty()));
                }
            }
        }
        Ok(results.into_values().collect())
    }

    async fn write(&mut self, batch: &Batch) -> Result<Vec<UpsertOutcome>> {
        let actor = &self.actor;
        match &mut self.place {
            Place::Committed(database) => {
                upsert::again_if_raced(|| {
                    database.transaction(async |transaction| batch.write(transaction, actor).await)
                })
                .await
            }
            Place::Rehearsed(rehearsal) => {
                rehearsal.step(async |transaction| batch.write(transaction, actor).await).await
            }
        }
    }

    /// Ends the import. What was rehearsed is taken back.
    pub async fn end(self) -> Result<()> {
        match self.place {
            Place::Committed(_) => Ok(()),
            Place::Rehearsed(rehearsal) => rehearsal.end().await,
        }
    }
}

/// The item that a refusal names, by its position in the list.
fn position(refusal: &Refusal) -> Option<usize> {
    refusal.field.get(1)?.parse().ok()
}

/// The refusal with a field of the item, rather than of the list.
fn of_item(mut refusal: Refusal) -> Refusal {
    let in_list = if position(&refusal).is_some() { 2 } else { 0 };
    refusal.field.drain(..in_list);
    refusal
}
