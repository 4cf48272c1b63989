//! What a platform brings in that is there already: accounts with memberships, and resources.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::load::{self, Load};
use crate::measure::{Figures, each};
use crate::process;
use crate::scenarios::{STAFF_TOKEN, graphql};
use crate::work::{CHUNK, PATIENCE, Workshop};
use crate::world::{organization_id, user_id};

/// How many requests bring something in at the same time.
const CONNECTIONS: usize = 8;
/// The accounts in a list, which is the most that one may have.
const ACCOUNTS_EACH: u64 = 500;
/// The resources in a list, which is the most that one may have.
const RESOURCES_EACH: u64 = 1_000;

/// What is brought in.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A number of accounts, each with a membership; spread over all organizations.
    People(u64),
    /// A number of resources of owners whom they are spread over; spread over the organizations that are asked about.
    Resources(u64),
}

impl Workshop<'_> {
    /// Brings it in by the mutations for lists.
    pub async fn bring_in(&self, kind: Kind) -> anyhow::Result<Figures> {
        let key = self.platform_key().await?;
        let series = self.accounts.new_address();
        self.settle().await?;
        let (api, database) = (process::cpu(self.api_pid)?, process::cpu(self.postmaster)?);
        let start = Instant::now();
        match kind {
            Kind::People(count) => {
                let users = (0..count.div_ceil(ACCOUNTS_EACH)).map(|list| {
                    let numbers = list * ACCOUNTS_EACH..count.min((list + 1) * ACCOUNTS_EACH);
                    json!({ "users": numbers.map(|number| account(series, number)).collect::<Vec<_>>() })
                });
                self.send(&key, "upsertUsers", "UpsertUsersInput", users.collect()).await?;
                let organizations = self.sizes.organizations.min(count);
                let members = (0..organizations).map(|organization| {
                    let numbers = (organization..count).step_by(usize::try_from(organizations).unwrap_or(1));
                    let members: Vec<Value> = numbers.map(|number| member(series, number)).collect();
                    json!({ "organization": { "id": organization_id(organization) }, "members": members })
                });
                self.send(&key, "upsertMembers", "UpsertMembersInput", members.collect()).await?;
            }
            Kind::Resources(count) => {
                let lists = (0..count.div_ceil(RESOURCES_EACH)).map(|list| {
                    let organization = list % self.sizes.asked();
                    let numbers = list * RESOURCES_EACH..count.min((list + 1) * RESOURCES_EACH);
                    let resources: Vec<Value> =
                        numbers.map(|number| self.resource(series, number, organization)).collect();
                    json!({ "organization": { "id": organization_id(organization) }, "resources": resources })
                });
                self.send(&key, "upsertResources", "UpsertResourcesInput", lists.collect()).await?;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let api = process::cpu(self.api_pid)?.saturating_sub(api);
        let database = process::cpu(self.postmaster)?.saturating_sub(database);
        Ok(Figures {
            server_cpu_us: Some(each(api, kind.count())),
            database_cpu_us: Some(each(database, kind.count())),
            server_memory_mb: Some(process::memory(self.api_pid)? as f64 / 1e6),
            ..Figures::of_work(kind.count() as f64 / seconds)
        })
    }

    /// Brings it in by a file on the command line.
    pub async fn import(&self, kind: Kind) -> anyhow::Result<Figures> {
        let series = self.accounts.new_address();
        let mut lines = String::new();
        let mut write = |kind: &str, organization: Option<u64>, item: Value| {
            let organization = organization.map(|number| json!({ "id": organization_id(number) }));
            let Value::Object(mut line) = item else { return };
            line.insert("type".to_owned(), json!(kind));
            line.extend(organization.map(|organization| ("organization".to_owned(), organization)));
            // Writing to a string can't fail.
            let _ = writeln!(lines, "{}", Value::Object(line));
        };
        match kind {
            Kind::People(count) => {
                (0..count).for_each(|number| write("user", None, account(series, number)));
                for organization in 0..self.sizes.organizations {
                    let numbers = (organization..count).step_by(usize::try_from(self.sizes.organizations)?);
                    numbers.for_each(|number| write("member", Some(organization), member(series, number)));
                }
            }
            Kind::Resources(count) => {
                for number in 0..count {
                    let organization = number / RESOURCES_EACH % self.sizes.asked();
                    write("resource", Some(organization), self.resource(series, number, organization));
                }
            }
        }
        let file = self.rollcall.folder().join("import.ndjson");
        std::fs::write(&file, lines)?;
        self.settle().await?;
        let database = process::cpu(self.postmaster)?;
        let start = Instant::now();
        let output = tokio::process::Command::from(self.rollcall.import(&file)?).output().await?;
        let seconds = start.elapsed().as_secs_f64();
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        let database = process::cpu(self.postmaster)?.saturating_sub(database);
        Ok(Figures {
            database_cpu_us: Some(each(database, kind.count())),
            ..Figures::of_work(kind.count() as f64 / seconds)
        })
    }

    /// Inserts as many resources into the table, in lists of the same length over one connection; nothing is checked
    /// but what the database does, and nothing is recorded.
    pub async fn plain_insert(&self, count: u64) -> anyhow::Result<Figures> {
        let series = i64::try_from(self.accounts.new_address())?;
        let insert = self
            .client
            .prepare(&format!(
                "INSERT INTO resources (id, organization_id, kind, name, folded_name, external_id, owner_id, owned_since, created_by_id, \
                   size_bytes, created_at, updated_at) \
                 SELECT gen_random_uuid(), pg_temp.id(3, $1), 'document', 'Data set ' || n, 'data set ' || n, \
                   's' || $3::bigint || '-' || n, \
                   pg_temp.id(1, $1), rollcall_now(), pg_temp.id(1, $1), 1000, rollcall_now(), rollcall_now() \
                 FROM generate_series($2::bigint, $2 + {CHUNK} - 1) n"
            ))
            .await?;
        self.settle().await?;
        let database = process::cpu(self.postmaster)?;
        let start = Instant::now();
        let mut made = 0;
        for list in 0..count.div_ceil(RESOURCES_EACH) {
            let organization = i64::try_from(list % self.sizes.asked())?;
            let first = i64::try_from(list * RESOURCES_EACH)?;
            made += self.client.execute(&insert, &[&organization, &first, &series]).await?;
        }
        let seconds = start.elapsed().as_secs_f64();
        ensure!(made >= count, "{made} resources were made");
        let database = process::cpu(self.postmaster)?.saturating_sub(database);
        Ok(Figures { database_cpu_us: Some(each(database, made)), ..Figures::of_work(made as f64 / seconds) })
    }

    /// A platform key that may bring everything in.
    async fn platform_key(&self) -> anyhow::Result<String> {
        let query = "mutation { createPlatformKey(input: { name: \"bench\", scopes: [USERS_WRITE, MEMBERS_WRITE, RESOURCES_WRITE] }) \
             { secret userErrors { message } } }";
        let load = Load::each(move |_| graphql(STAFF_TOKEN, query, json!({})).ok(), &[("\"userErrors\":[]", 1)]);
        let answer: Value = serde_json::from_slice(&load::send_once(self.api, &load, 0).await?)?;
        let secret = answer.pointer("/data/createPlatformKey/secret").and_then(Value::as_str);
        Ok(secret.context("there is no platform key")?.to_owned())
    }

    /// Removes what the round before has brought in, so that each begins alike.
    async fn settle(&self) -> anyhow::Result<()> {
        for statement in [
            "DELETE FROM resources WHERE external_id IS NOT NULL",
            "VACUUM ANALYZE resources",
            "VACUUM ANALYZE members",
            "VACUUM ANALYZE users",
            "CHECKPOINT",
        ] {
            self.client.batch_execute(statement).await?;
        }
        Ok(())
    }

    /// Sends a mutation once for each of the inputs.
    async fn send(&self, key: &str, mutation: &str, input: &str, inputs: Vec<Value>) -> anyhow::Result<()> {
        let query = format!(
            "mutation($input: {input}!) {{ {mutation}(input: $input) {{ results {{ outcome }} userErrors {{ field message }} }} }}"
        );
        let (key, count) = (key.to_owned(), u64::try_from(inputs.len())?);
        let request = move |number: u64| {
            let input = inputs.get(usize::try_from(number).ok()?)?;
            graphql(&key, &query, json!({ "input": input })).ok()
        };
        let load = Load::each(request, &[("\"userErrors\":[]", 1)]);
        let outcome = load::run(self.api, &load, CONNECTIONS, Duration::ZERO, PATIENCE, || Ok(())).await?;
        ensure!(outcome.answers == count, "{} of {count} lists were brought in", outcome.answers);
        Ok(())
    }

    /// A resource of an organization, whose owner is one of its members.
    fn resource(&self, series: u64, number: u64, organization: u64) -> Value {
        let owner = self.sizes.admin(organization, number);
        json!({
            "kind": "DOCUMENT", "externalId": format!("s{series}-{number}"), "name": format!("Data set {number}"),
            "owner": { "id": user_id(owner) }, "sizeBytes": "1000",
            "metadata": { "bucket": "data", "key": format!("sets/{series}/{number}") },
        })
    }
}

impl Kind {
    /// The number of accounts or resources.
    fn count(self) -> u64 {
        match self {
            Self::People(count) | Self::Resources(count) => count,
        }
    }
}

fn external_id(series: u64, number: u64) -> String {
    format!("p{series}-{number}")
}

fn account(series: u64, number: u64) -> Value {
    json!({
        "externalId": external_id(series, number), "email": format!("p{series}-{number}@platform.example"),
        "emailVerified": true, "name": format!("Researcher {number}"),
    })
}

fn member(series: u64, number: u64) -> Value {
    json!({ "user": { "externalId": external_id(series, number) }, "role": "MEMBER", "joinedAt": "2024-03-01T00:00:00Z" })
}
