//! The work of workers: jobs, emails and departures. Each round does a fixed amount of work.

use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use tokio_postgres::Client;

use crate::alternatives::node;
use crate::bring_in::Kind;
use crate::load::{self, Load};
use crate::measure::{Figures, each};
use crate::postgres::Postgres;
use crate::process::{self, Server, command};
use crate::report::ROLLCALL;
use crate::rollcall::Rollcall;
use crate::scenarios::graphql;
use crate::smtp::Sink;
use crate::world::{Accounts, Sizes, member_id, organization_id, token};

/// The number of jobs in a round.
const JOBS: usize = 20_000;
/// The number of emails in a round. An organization may cause a hundred a minute.
const MAILS: u64 = 2_000;
/// The number of resources that one statement of the plain UPDATE changes, which is that of a chunk of the cascade.
pub const CHUNK: i64 = 1_000;
/// The time limit of a round.
pub const PATIENCE: Duration = Duration::from_secs(1_200);

/// A kind of work to measure.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// Jobs that do nothing.
    Jobs,
    /// The emails of invitations.
    Mails,
    /// The removal of a number of members, each of whom owns a number of resources.
    Departures { members: u64, resources: u64 },
    /// What a platform brings in that is there already.
    BringIn(Kind),
}

impl Work {
    /// All kinds of work. The largest departure and the most resources are included only on request.
    pub fn all(huge: bool) -> Vec<Self> {
        let mut all = vec![
            Self::Jobs,
            Self::Mails,
            Self::Departures { members: 200, resources: 1 },
            Self::Departures { members: 10, resources: 1_000 },
            Self::BringIn(Kind::People(4_000)),
            Self::BringIn(Kind::Resources(100_000)),
        ];
        if huge {
            all.push(Self::Departures { members: 1, resources: 1_000_000 });
            all.push(Self::BringIn(Kind::Resources(1_000_000)));
        }
        all
    }

    /// The name on the command line.
    pub fn name(self) -> String {
        match self {
            Self::Jobs => "jobs".to_owned(),
            Self::Mails => "mails".to_owned(),
            Self::Departures { resources, .. } => format!("departures-{resources}"),
            Self::BringIn(Kind::People(count)) => format!("bring-in-people-{count}"),
            Self::BringIn(Kind::Resources(count)) => format!("bring-in-resources-{count}"),
        }
    }

    /// The title in the report, with the unit of the rate.
    pub fn title(self) -> String {
        match self {
            Self::Jobs => "20,000 jobs that do nothing, by one worker: jobs/s".to_owned(),
            Self::Mails => "invitations' emails to a local SMTP server, by one worker: emails/s".to_owned(),
            Self::Departures { members, resources } => {
                let members = if members == 1 { "a member".to_owned() } else { format!("{members} members") };
                let resources =
                    if resources == 1 { "one resource".to_owned() } else { format!("{resources} resources") };
                format!("removal of {members} with {resources} each, by one worker: resources/s")
            }
            Self::BringIn(Kind::People(count)) => {
                format!("bringing in {count} accounts, each with a membership: accounts/s")
            }
            Self::BringIn(Kind::Resources(count)) => format!("bringing in {count} resources: resources/s"),
        }
    }

    /// The names of the contenders, Rollcall first.
    pub fn contenders(self, alone: bool) -> &'static [&'static str] {
        match self {
            _ if alone => &[ROLLCALL],
            Self::Jobs => &[ROLLCALL, "graphile-worker", "pg-boss"],
            Self::Mails => &[ROLLCALL],
            Self::Departures { .. } => &[ROLLCALL, PLAIN_UPDATE],
            Self::BringIn(Kind::People(_)) => &[ROLLCALL, IMPORT],
            Self::BringIn(Kind::Resources(_)) => &[ROLLCALL, IMPORT, PLAIN_INSERT],
        }
    }
}

const PLAIN_UPDATE: &str = "plain UPDATE, in such chunks";
const PLAIN_INSERT: &str = "plain INSERT, in such lists";
const IMPORT: &str = "rollcall admin import";

/// Everything that the rounds need.
pub struct Workshop<'a> {
    /// The PostgreSQL of the run.
    pub postgres: &'a Postgres,
    /// The process id of the postmaster.
    pub postmaster: u32,
    /// The connection that loaded the world, with the functions in its `pg_temp`.
    pub client: &'a Client,
    /// Rollcall's programs.
    pub rollcall: &'a Rollcall,
    /// The API's address.
    pub api: &'a str,
    /// The process id of the API.
    pub api_pid: u32,
    /// The sizes of the world.
    pub sizes: Sizes,
    /// The accounts that don't belong to an organization yet.
    pub accounts: Rc<Accounts>,
}

impl Workshop<'_> {
    /// Runs one round of a contender.
    pub async fn round(&self, work: Work, contender: &str) -> anyhow::Result<Figures> {
        match (work, contender) {
            (Work::Jobs, _) => self.jobs(contender).await,
            (Work::Mails, _) => self.mails().await,
            (Work::Departures { members, resources }, ROLLCALL) => self.departures(members, resources).await,
            (Work::Departures { members, resources }, _) => self.plain_update(members, resources).await,
            (Work::BringIn(kind), ROLLCALL) => self.bring_in(kind).await,
            (Work::BringIn(Kind::Resources(count)), PLAIN_INSERT) => self.plain_insert(count).await,
            (Work::BringIn(kind), _) => self.import(kind).await,
        }
    }

    async fn jobs(&self, contender: &str) -> anyhow::Result<Figures> {
        let (mut drain, database) = match contender {
            ROLLCALL => (measure_program()?, "jobs_of_rollcall"),
            "graphile-worker" => (node("graphile-worker.mjs")?, "jobs_of_graphile_worker"),
            _ => (node("pg-boss.mjs")?, "jobs_of_pg_boss"),
        };
        let exists = self.client.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&database]).await?.is_some();
        if !exists {
            self.client.batch_execute(&format!("CREATE DATABASE {database}")).await?;
        }
        drain.arg(JOBS.to_string()).env("DATABASE_URL", self.postgres.url(database)).env("NO_LOG_SUCCESS", "1");
        if contender == ROLLCALL {
            drain.args(["1000", "--json"]);
        }
        let output = tokio::process::Command::from(drain).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        #[derive(Deserialize)]
        struct Drained {
            jobs: f64,
            seconds: f64,
        }
        let last = said.lines().last().unwrap_or_default();
        let drained: Drained = serde_json::from_str(last).with_context(|| said.to_string())?;
        Ok(Figures::of_work(drained.jobs / drained.seconds))
    }

    async fn mails(&self) -> anyhow::Result<Figures> {
        for statement in crate::scenarios::FORGET_INVITATIONS.split(';') {
            self.client.batch_execute(statement).await?;
        }
        let organizations = self.sizes.organizations.min(200);
        let each = (MAILS / organizations).clamp(1, 50);
        let count = usize::try_from(each * organizations)?;
        let load = self.invitations(organizations, each);
        for number in 0..organizations {
            load::send_once(self.api, &load, number).await?;
        }
        self.postgres.checkpoint().await?;
        let sink = Sink::start().await?;
        let before = process::cpu(self.postmaster)?;
        let worker = self.rollcall.work(&sink.address)?;
        wait(async || Ok(sink.count() >= count)).await?;
        let database = process::cpu(self.postmaster)?.saturating_sub(before);
        self.figures(sink.rate(), count, &worker, database)
    }

    /// A load of invitations to addresses that no earlier round has invited.
    fn invitations(&self, organizations: u64, each: u64) -> Load {
        let (sizes, accounts) = (self.sizes, self.accounts.clone());
        let query =
            "mutation($input: InviteMembersInput!) { inviteMembers(input: $input) { userErrors { code message } } }";
        let request = move |number: u64| {
            let organization = number % organizations;
            let invitations: Vec<_> = (0..each)
                .map(
                    |_| json!({ "email": format!("mailed{}@bench.example", accounts.new_address()), "role": "MEMBER" }),
                )
                .collect();
            let input = json!({ "organizationId": organization_id(organization), "invitations": invitations });
            graphql(&token(sizes.admin(organization, 0)), query, json!({ "input": input })).ok()
        };
        Load::each(request, &[("\"userErrors\":[]", 1)])
    }

    async fn departures(&self, members: u64, resources: u64) -> anyhow::Result<Figures> {
        let first = self.leavers(members, resources).await?;
        let query = "mutation($id: ID!) { removeMember(input: { memberId: $id }) { departure { id } userErrors { code message } } }";
        let sizes = self.sizes;
        let request = move |number: u64| {
            let remove = || {
                graphql(
                    &token(sizes.owner(number % sizes.asked())),
                    query,
                    json!({ "id": member_id(sizes, first + number) }),
                )
            };
            (number < members).then(remove)?.ok()
        };
        let load = Load::each(request, &[("\"userErrors\":[]", 1)]);
        let sink = Sink::start().await?;
        let worker = self.rollcall.work(&sink.address)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let since: String = self.client.query_one("SELECT rollcall_now()::text", &[]).await?.try_get(0)?;
        let before = process::cpu(self.postmaster)?;
        load::run(self.api, &load, 8, Duration::ZERO, PATIENCE, || Ok(())).await?;
        let under_way =
            format!("SELECT count(*) FROM departures WHERE started_at >= '{since}' AND status = 'completed'");
        wait(async || {
            let completed: i64 = self.client.query_one(&under_way, &[]).await?.try_get(0)?;
            Ok(u64::try_from(completed)? >= members)
        })
        .await?;
        let database = process::cpu(self.postmaster)?.saturating_sub(before);
        let times = format!(
            "SELECT extract(epoch FROM max(completed_at) - min(started_at))::float8, \
             percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM completed_at - started_at)::float8 * 1000) \
             FROM departures WHERE started_at >= '{since}'"
        );
        let row = self.client.query_one(&times, &[]).await?;
        let (seconds, percentiles): (f64, Vec<f64>) = (row.try_get(0)?, row.try_get(1)?);
        let moved = usize::try_from(members * resources)?;
        let mut figures = self.figures(moved as f64 / seconds, moved, &worker, database)?;
        figures.p50_ms = percentiles.first().copied();
        figures.p99_ms = percentiles.last().copied();
        Ok(figures)
    }

    async fn plain_update(&self, members: u64, resources: u64) -> anyhow::Result<Figures> {
        let first = self.leavers(members, resources).await?;
        let update = self
            .client
            .prepare(&format!(
                "UPDATE resources SET owner_id = pg_temp.id(1, $1), owned_since = rollcall_now(), updated_at = rollcall_now() \
                 WHERE id IN (SELECT id FROM resources WHERE organization_id = pg_temp.id(3, $1) AND owner_id = pg_temp.id(1, $2) \
                 ORDER BY kind, id LIMIT {CHUNK})"
            ))
            .await?;
        let before = process::cpu(self.postmaster)?;
        let start = Instant::now();
        let mut moved = 0;
        for leaver in 0..members {
            let organization = i64::try_from(self.sizes.owner(leaver % self.sizes.asked()))?;
            let account = i64::try_from(self.sizes.joiner(first + leaver))?;
            for _ in 0..resources.div_ceil(u64::try_from(CHUNK)?) {
                moved += self.client.execute(&update, &[&organization, &account]).await?;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        ensure!(moved == members * resources, "{moved} resources were moved");
        let mut figures = Figures::of_work(moved as f64 / seconds);
        let database = process::cpu(self.postmaster)?.saturating_sub(before);
        figures.database_cpu_us = Some(each(database, moved));
        Ok(figures)
    }

    /// Makes members of accounts that don't belong to an organization yet, and gives them resources. Returns the first
    /// of these accounts.
    async fn leavers(&self, members: u64, resources: u64) -> anyhow::Result<u64> {
        let first = self.accounts.take(members)?;
        let (account, asked, accounts) = (self.sizes.joiner(first), self.sizes.asked(), self.sizes.accounts());
        let number = format!("3 * {accounts} + {first} + n");
        self.client
            .batch_execute(&format!(
                "INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, \
                   joined_at, joined_via) \
                 SELECT pg_temp.id(4, {number}), pg_temp.id(3, n % {asked}), pg_temp.id(1, {account} + n), 'member', 'active', true, true, \
                   'contribute', rollcall_now(), 'invitation' FROM generate_series(0, {members} - 1) n; \
                 INSERT INTO resources (id, organization_id, kind, name, folded_name, owner_id, owned_since, created_by_id, created_at, updated_at) \
                 SELECT gen_random_uuid(), pg_temp.id(3, n % {asked}), 'document', 'Document ' || place, 'document ' || place, \
                   pg_temp.id(1, {account} + n), rollcall_now(), pg_temp.id(1, {account} + n), rollcall_now(), rollcall_now() \
                 FROM generate_series(0, {members} - 1) n, generate_series(1, {resources}) place"
            ))
            .await?;
        for statement in ["TRUNCATE jobs, attempts", "VACUUM ANALYZE resources", "VACUUM ANALYZE members", "CHECKPOINT"]
        {
            self.client.batch_execute(statement).await?;
        }
        Ok(first)
    }

    fn figures(&self, rate: f64, count: usize, worker: &Server, database: Duration) -> anyhow::Result<Figures> {
        let things = u64::try_from(count)?;
        Ok(Figures {
            server_cpu_us: Some(each(process::cpu(worker.pid())?, things)),
            database_cpu_us: Some(each(database, things)),
            server_memory_mb: Some(process::memory(worker.pid())? as f64 / 1e6),
            ..Figures::of_work(rate)
        })
    }
}

/// The command that runs the job queue's own benchmark.
fn measure_program() -> anyhow::Result<Command> {
    let own = std::env::current_exe()?;
    let path = own.parent().unwrap_or(Path::new(".")).join("examples/measure");
    ensure!(path.exists(), "{} is missing: `make bench` builds it", path.display());
    Ok(command(&path))
}

async fn wait(mut done: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let start = Instant::now();
    while !done().await? {
        if start.elapsed() > PATIENCE {
            bail!("it isn't done after {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
