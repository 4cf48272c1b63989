//! The data of a run: organizations, members, resources and sessions, created by set-based SQL under the product's own
//! constraints and triggers.

use std::cell::Cell;

use anyhow::{Context as _, bail, ensure};
use tokio_postgres::Client;
use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

/// The sizes of a world.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Sizes {
    /// The number of organizations, besides everybody's personal one.
    pub organizations: u64,
    /// The number of memberships in them.
    pub members: u64,
    /// The number of resources in them.
    pub resources: u64,
    /// The number of accounts that don't belong to any of them yet.
    pub joiners: u64,
    /// The total number of members of the large organizations, whose sizes are compared.
    pub of_large: u64,
}

/// A large organization, with as many members as resources.
#[derive(Debug, Clone, Copy)]
pub struct LargeOrganization {
    /// The number of its members, and of its resources.
    pub count: u64,
    /// The organization's number.
    pub organization: u64,
    /// The owner's account. The next account is in the organization's team.
    pub owner: u64,
    /// The first of its resources. A hundred of them are shared with its team.
    pub resource: u64,
}

impl LargeOrganization {
    /// The large organizations of these sizes.
    pub fn all(sizes: Sizes, counts: &[u64]) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        let (mut owner, mut resource) = (sizes.accounts() - sizes.of_large, sizes.resources);
        for (organization, count) in (sizes.organizations..).zip(counts.iter().copied()) {
            ensure!(count >= 100, "an organization whose size is compared has at least 100 members");
            all.push(Self { count, organization, owner, resource });
            owner += count;
            resource += count;
        }
        Ok(all)
    }

    /// A member who can reach a hundred resources through a team.
    pub fn team_member(self) -> u64 {
        self.owner + 1
    }
}

impl Sizes {
    /// The number of organizations that requests about access and pages of resources use.
    pub fn asked(self) -> u64 {
        self.organizations.min(64)
    }

    /// The number of people who belong to two organizations each.
    pub fn people(self) -> u64 {
        self.members / 2
    }

    /// The number of all accounts.
    pub fn accounts(self) -> u64 {
        self.people() + self.asked() + self.joiners + self.of_large
    }

    /// Checks the sizes.
    ///
    /// # Errors
    ///
    /// Fails if an organization would have too few members or resources for the scenarios.
    pub fn check(self) -> anyhow::Result<()> {
        if self.organizations < 2 || self.members < 60 * self.organizations || self.resources < 200 * self.organizations
        {
            bail!("the scenarios need two organizations, and 60 members and 200 resources for each of them");
        }
        Ok(())
    }

    /// The owner of an organization.
    pub fn owner(self, organization: u64) -> u64 {
        organization
    }

    /// One of the seven admins of an organization.
    pub fn admin(self, organization: u64, number: u64) -> u64 {
        let place = match number % 7 {
            0 => 1,
            later => later + 2,
        };
        organization + self.organizations * place
    }

    /// A member who is in the organization's team.
    pub fn team_member(self, organization: u64) -> u64 {
        organization + 2 * self.organizations
    }

    /// A person outside the organization with whom some of its resources are shared.
    pub fn outsider(self, organization: u64) -> u64 {
        self.people() + organization
    }

    /// A person who belonged to no organization at first.
    pub fn joiner(self, number: u64) -> u64 {
        self.people() + self.asked() + number
    }

    /// A resource of an organization. The first hundred are shared with its team, the next hundred with the person
    /// outside.
    pub fn resource(self, organization: u64, place: u64) -> u64 {
        organization + self.organizations * place
    }
}

/// The accounts and addresses that are used only once in a run.
pub struct Accounts {
    joiners: u64,
    taken: Cell<u64>,
    addresses: Cell<u64>,
}

impl Accounts {
    /// The accounts of a world.
    pub fn new(sizes: Sizes) -> Self {
        Self { joiners: sizes.joiners, taken: Cell::new(0), addresses: Cell::new(0) }
    }

    /// Takes a number of joiners, and returns the first of them.
    ///
    /// # Errors
    ///
    /// Fails if there aren't as many left.
    pub fn take(&self, count: u64) -> anyhow::Result<u64> {
        let first = self.taken.get();
        ensure!(first + count <= self.joiners, "all {} accounts are used up: ask for fewer rounds", self.joiners);
        self.taken.set(first + count);
        Ok(first)
    }

    /// Returns a number that no address has had yet.
    pub fn new_address(&self) -> u64 {
        let number = self.addresses.get();
        self.addresses.set(number + 1);
        number
    }
}

/// Fills an empty, migrated database.
pub async fn load(client: &Client, sizes: Sizes, large: &[LargeOrganization]) -> anyhow::Result<()> {
    let world = with(
        include_str!("world.sql"),
        &[
            ("accounts", sizes.accounts()),
            ("organizations", sizes.organizations),
            ("people", sizes.people()),
            ("resources", sizes.resources),
            ("asked", sizes.asked()),
        ],
    );
    client.batch_execute(&world).await.context("the world can't be loaded")?;
    for one in large {
        let sql = with(
            include_str!("large.sql"),
            &[
                ("accounts", sizes.accounts()),
                ("organization", one.organization),
                ("account", one.owner),
                ("resource", one.resource),
                ("count", one.count),
            ],
        );
        client.batch_execute(&sql).await.context("a large organization can't be loaded")?;
    }
    client.batch_execute("VACUUM ANALYZE").await?;
    Ok(())
}

/// Replaces each `{name}` in SQL by its number.
fn with(sql: &str, numbers: &[(&str, u64)]) -> String {
    numbers.iter().fold(sql.to_owned(), |sql, (name, number)| sql.replace(&format!("{{{name}}}"), &number.to_string()))
}

/// Creates an id as world.sql does: a UUIDv7 made of a kind and a number.
fn id(kind: u64, number: u64) -> Uuid {
    let time = u128::from(1_790_000_000_000 + number) << 80;
    Uuid::from_u128(time | (0x7000 | u128::from(kind)) << 64 | 0x8000 << 48 | u128::from(number))
}

/// An id in the form that the API uses.
fn text(prefix: &str, id: Uuid) -> String {
    // The prefixes are constants, and valid.
    DynamicType::new(prefix).map(|prefix| TypeSafeId::from_type_and_uuid(prefix, id).to_string()).unwrap_or_default()
}

/// The id of an account in the API.
pub fn user_id(number: u64) -> String {
    text("usr", id(1, number))
}

/// The id of an organization in the API.
pub fn organization_id(number: u64) -> String {
    text("org", id(3, number))
}

/// The id of the membership that a joiner gets.
pub fn member_id(sizes: Sizes, joiner: u64) -> String {
    text("mem", id(4, 3 * sizes.accounts() + joiner))
}

/// The id of a resource in the API.
pub fn resource_id(number: u64) -> String {
    text("res", id(6, number))
}

/// The id of an account in the database.
pub fn user_uuid(number: u64) -> String {
    id(1, number).to_string()
}

/// The id of an organization in the database.
pub fn organization_uuid(number: u64) -> String {
    id(3, number).to_string()
}

/// The bearer token of an account's session.
pub fn token(number: u64) -> String {
    format!("rcs_bench{number}")
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn ids_are_those_of_the_sql() {
        assert_eq!(id(3, 10).to_string(), "01a0c450-6c0a-7003-8000-00000000000a");
    }
}
