//! Measures Rollcall together with the floor and the alternatives, on a PostgreSQL of its own. `make bench` runs it.
//!
//! Within a scenario the contenders take turns, round by round, so that whatever else the machine does affects all of
//! them. Only figures of the same run can be compared.

mod alternatives;
mod bring_in;
mod floor;
mod load;
mod measure;
mod postgres;
mod preparation;
mod process;
mod report;
mod rollcall;
mod scenarios;
mod smtp;
mod statements;
mod work;
mod world;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use alternatives::{Alternative, Alternatives};
use floor::Floor;
use load::Load;
use measure::{Figures, Pace, median};
use postgres::Postgres;
use process::Server;
use report::{ContenderResult, ROLLCALL, Run, ScenarioResult, StartResult};
use rollcall::{DATABASE, Rollcall};
use scenarios::{Preparation, Scenario};
use work::{Work, Workshop};
use world::{Accounts, LargeOrganization, Sizes};

/// Measures Rollcall beside pgbench and the alternatives, and writes a table, JSON and a chart.
#[derive(Parser, Debug)]
#[command(name = "make bench ARGS=\"…\"", bin_name = "make bench ARGS=\"…\"")]
struct Arguments {
    /// Only the scenarios whose names begin with one of these, separated by commas.
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Print the scenarios and end.
    #[arg(long)]
    list: bool,
    /// Rounds of each contender.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that are measured of each round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Seconds before them.
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Connections of the load generator.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Organizations: up to 10,000.
    #[arg(long, default_value_t = 200)]
    organizations: u64,
    /// Memberships in them: up to 1,000,000.
    #[arg(long, default_value_t = 20_000)]
    members: u64,
    /// Resources in them: up to 5,000,000.
    #[arg(long, default_value_t = 100_000)]
    resources: u64,
    /// Also the main queries in organizations of these sizes, such as 100,10000,1000000.
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<u64>,
    /// Also the removal of a member who owns 1,000,000 resources, and the bringing in of as many.
    #[arg(long)]
    huge: bool,
    /// Rollcall alone, without the floor and the alternatives.
    #[arg(long)]
    alone: bool,
    /// Also what each statement of Rollcall costs, by scenario, in the folder `statements` of the results.
    #[arg(long)]
    statements: bool,
    /// Where the results go.
    #[arg(long, default_value = "bench/results")]
    results: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tokio::task::LocalSet::new().run_until(run(Arguments::parse())).await
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let sizes = Sizes {
        organizations: arguments.organizations,
        members: arguments.members,
        resources: arguments.resources,
        joiners: 5_000 * u64::try_from(arguments.rounds)?,
        of_large: arguments.sizes.iter().sum(),
    };
    sizes.check()?;
    let wanted = |name: &str| {
        arguments.scenarios.is_empty() || arguments.scenarios.iter().any(|prefix| name.starts_with(prefix.as_str()))
    };
    let accounts = Rc::new(Accounts::new(sizes));
    let large = LargeOrganization::all(sizes, &arguments.sizes)?;
    let mut plan = Plan {
        sizes,
        large,
        scenarios: scenarios::all(sizes, &accounts)?,
        accounts,
        work: Work::all(arguments.huge),
        starts: wanted("start"),
    };
    for one in &plan.large {
        plan.scenarios.extend(scenarios::by_size(*one)?);
    }
    plan.scenarios.retain(|scenario| wanted(&scenario.name));
    plan.work.retain(|work| wanted(&work.name()));
    if arguments.list {
        for (name, title) in plan.names() {
            println!("{name:<28} {title}");
        }
        return Ok(());
    }
    let folder = Folder::new()?;
    let postgres = Postgres::start(&folder.0.join("postgres")).await?;
    let outcome = tokio::select! {
        outcome = measure_all(&arguments, &plan, &postgres, &folder.0) => outcome,
        error = interruption() => Err(error),
    };
    postgres.stop()?;
    let run = outcome?;
    let table = run.write(&arguments.results)?;
    println!("\n{}\n{} has this table, and beside it are JSON and a chart", run.table(), table.display());
    let failed =
        run.scenarios.iter().flat_map(|scenario| &scenario.contenders).filter(|one| one.failure.is_some()).count();
    if failed > 0 {
        bail!("{failed} measurements failed");
    }
    Ok(())
}

/// Waits for a signal to end the run, so that its processes and files are removed.
async fn interruption() -> anyhow::Error {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
    anyhow!("interrupted")
}

/// What a run measures.
struct Plan {
    sizes: Sizes,
    large: Vec<LargeOrganization>,
    accounts: Rc<Accounts>,
    scenarios: Vec<Scenario>,
    work: Vec<Work>,
    /// Whether to measure how long the servers take to start.
    starts: bool,
}

impl Plan {
    fn names(&self) -> Vec<(String, String)> {
        let start = self.starts.then(|| ("start".to_owned(), "start to first answer, and idle memory".to_owned()));
        let scenarios = self.scenarios.iter().map(|scenario| (scenario.name.clone(), scenario.title.clone()));
        let work = self.work.iter().map(|work| (work.name(), work.title()));
        start.into_iter().chain(scenarios).chain(work).collect()
    }
}

async fn measure_all(arguments: &Arguments, plan: &Plan, postgres: &Postgres, folder: &Path) -> anyhow::Result<Run> {
    let sizes = plan.sizes;
    let rollcall = Rollcall::new(folder, postgres.url(DATABASE));
    rollcall.migrate()?;
    let client = postgres.client(DATABASE).await?;
    eprintln!("loading the world");
    world::load(&client, sizes, &plan.large).await?;
    let alternatives = match arguments.alone {
        true => None,
        false => Some(Alternatives::prepare(&client, folder, postgres.url(DATABASE), sizes).await?),
    };
    postgres.checkpoint().await?;
    let mut start_results = Vec::new();
    if plan.starts {
        start_results.push(start(ROLLCALL, async || rollcall.serve().await).await?);
        if let Some(alternatives) = &alternatives {
            for which in Alternative::ALL {
                start_results.push(start(which.name(), async || alternatives.start(which).await).await?);
            }
        }
    }

    let pace = Pace {
        connections: arguments.connections,
        warm_up: Duration::from_secs(arguments.warm_up),
        duration: Duration::from_secs(arguments.seconds),
    };
    let bench = Bench {
        postgres,
        postmaster: postgres.pid()?,
        socket: postgres.socket_folder().await?,
        server: rollcall.serve().await?,
        pace,
        folder: folder.join("pgbench"),
        plan,
        rollcall: &rollcall,
    };
    std::fs::create_dir_all(&bench.folder)?;
    let mut results = Vec::new();
    for scenario in &plan.scenarios {
        let mut rivals = Vec::new();
        if let Some(alternatives) = &alternatives {
            for which in Alternative::ALL {
                if let Some(load) = alternatives.load(which, &scenario.name)? {
                    let server = alternatives.start(which).await?;
                    rivals.push(Rival { server, load, result: ContenderResult::new(which.name(), None) });
                }
            }
        }
        results.push(bench.scenario(scenario, rivals, arguments).await?);
    }
    for work in &plan.work {
        results.push(bench.work(*work, &client, arguments).await?);
    }
    let row = client.query_one("SELECT to_char(now(), 'YYYY-MM-DD'), version()", &[]).await?;
    let (date, version): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let about = json!({
        "versions": { "rollcall": revision(), "postgresql": version, "npm": alternatives::versions()? },
        "machine": machine(),
        "arguments": { "rounds": arguments.rounds, "seconds": arguments.seconds, "warm_up": arguments.warm_up,
            "connections": arguments.connections },
        "world": sizes,
        "postgresql_settings": postgres::SETTINGS.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        "rollcall_settings": Rollcall::settings().into_iter().filter(|(name, _)| !name.contains("SECRET"))
            .collect::<std::collections::BTreeMap<_, _>>(),
    });
    Ok(Run { date, about, scenarios: results, starts: start_results })
}

/// Starts a server a few times, and measures its memory one second after the last start.
async fn start(name: &str, server: impl AsyncFn() -> anyhow::Result<Server>) -> anyhow::Result<StartResult> {
    let mut times = Vec::new();
    let mut memory = 0;
    for _ in 0..5 {
        let server = server().await?;
        times.push(server.start_up.as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory = process::memory(server.pid())?;
    }
    let first_answer_ms = median(times).unwrap_or_default();
    Ok(StartResult { name: name.to_owned(), first_answer_ms, idle_memory_mb: memory as f64 / 1e6 })
}

/// An alternative that takes part in a scenario.
struct Rival {
    server: Server,
    load: Load,
    result: ContenderResult,
}

/// Everything that the rounds need.
struct Bench<'a> {
    postgres: &'a Postgres,
    postmaster: u32,
    socket: String,
    server: Server,
    pace: Pace,
    /// The folder for pgbench's scripts and logs.
    folder: PathBuf,
    plan: &'a Plan,
    rollcall: &'a Rollcall,
}

impl Bench<'_> {
    /// Removes what earlier rounds have left behind.
    async fn reset(&self, scenario: &Scenario, rivals: &[Rival]) -> anyhow::Result<()> {
        let Some(sql) = scenario.reset else { return Ok(()) };
        let client = self.postgres.client(DATABASE).await?;
        for statement in sql.split(';') {
            client.batch_execute(statement).await?;
        }
        if !rivals.is_empty() {
            Alternatives::reset(&client).await?;
        }
        Ok(())
    }

    async fn scenario(
        &self,
        scenario: &Scenario,
        mut rivals: Vec<Rival>,
        arguments: &Arguments,
    ) -> anyhow::Result<ScenarioResult> {
        let mut own = ContenderResult::new(ROLLCALL, None);
        let mut floor = None;
        if !arguments.alone && matches!(scenario.preparation, Preparation::Nothing) {
            // The scenario before this one may have used up what this one needs.
            self.reset(scenario, &rivals).await?;
            let recorded = Floor::record(self.postgres, DATABASE, &self.server.address, &scenario.load).await;
            let recorded = recorded.with_context(|| format!("the statements of {}", scenario.name))?;
            own.note = Some(format!("statements: {}", recorded.statements.len()));
            own.statements.clone_from(&recorded.statements);
            if scenario.reads {
                let generic = self.prefers_generic_plans(&recorded).await;
                let plans = if generic { "generic plans" } else { "plans as PostgreSQL chooses" };
                floor = Some((recorded, generic, ContenderResult::new("pgbench", Some(plans.to_owned()))));
            }
        }
        for round in 1..=arguments.rounds {
            self.reset(scenario, &rivals).await?;
            let server = &self.server;
            let (sizes, accounts) = (self.plan.sizes, &self.plan.accounts);
            preparation::make(&scenario.preparation, &server.address, self.rollcall, sizes, accounts).await?;
            self.postgres.checkpoint().await?;
            if arguments.statements {
                statements::begin(self.postgres).await?;
            }
            let figures =
                measure::server(&server.address, server.pid(), self.postmaster, &scenario.load, self.pace).await;
            note(&scenario.name, round, &mut own, figures);
            if arguments.statements {
                self.write_statements(arguments, &scenario.name).await?;
            }
            if let Some((floor, generic, result)) = &mut floor {
                let figures = self.floor(floor, *generic, self.pace).await;
                note(&scenario.name, round, result, figures);
            }
            for Rival { server, load, result } in &mut rivals {
                let figures = measure::server(&server.address, server.pid(), self.postmaster, load, self.pace).await;
                note(&scenario.name, round, result, figures);
            }
        }
        let floor = floor.map(|(_, _, result)| result);
        let contenders = [own].into_iter().chain(floor).chain(rivals.into_iter().map(|rival| rival.result)).collect();
        Ok(ScenarioResult { name: scenario.name.clone(), title: scenario.title.clone(), contenders })
    }

    async fn work(
        &self,
        work: Work,
        client: &tokio_postgres::Client,
        arguments: &Arguments,
    ) -> anyhow::Result<ScenarioResult> {
        let workshop = Workshop {
            postgres: self.postgres,
            postmaster: self.postmaster,
            client,
            rollcall: self.rollcall,
            api: &self.server.address,
            api_pid: self.server.pid(),
            sizes: self.plan.sizes,
            accounts: self.plan.accounts.clone(),
        };
        let names = work.contenders(arguments.alone);
        let mut contenders: Vec<ContenderResult> = names.iter().map(|name| ContenderResult::new(name, None)).collect();
        for round in 1..=arguments.rounds {
            for result in &mut contenders {
                if arguments.statements {
                    statements::begin(self.postgres).await?;
                }
                let figures = workshop.round(work, &result.name).await;
                note(&work.name(), round, result, figures);
                if arguments.statements && result.name == ROLLCALL {
                    self.write_statements(arguments, &work.name()).await?;
                }
            }
        }
        Ok(ScenarioResult { name: work.name(), title: work.title(), contenders })
    }

    async fn write_statements(&self, arguments: &Arguments, scenario: &str) -> anyhow::Result<()> {
        let file = arguments.results.join("statements").join(format!("{scenario}.md"));
        statements::write(self.postgres, DATABASE, &file).await
    }

    async fn floor(&self, floor: &Floor, generic: bool, pace: Pace) -> anyhow::Result<Figures> {
        let before = process::cpu(self.postmaster)?;
        let outcome = floor.run(&self.folder, &self.socket, DATABASE, generic, pace.warm_up, pace.duration).await?;
        // The difference includes the processor time of the warm-up, whose share is subtracted here.
        let measured = outcome.seconds / (outcome.seconds + pace.warm_up.as_secs_f64());
        Ok(Figures::of(&outcome, process::cpu(self.postmaster)?.saturating_sub(before).mul_f64(measured)))
    }

    /// Whether the statements are faster with generic plans. The floor is the faster variant.
    async fn prefers_generic_plans(&self, floor: &Floor) -> bool {
        let pace = Pace { warm_up: Duration::from_secs(1), duration: Duration::from_secs(1), ..self.pace };
        let rate = async |generic| self.floor(floor, generic, pace).await.map_or(0.0, |figures| figures.rate);
        rate(true).await > rate(false).await
    }
}

/// Records a round's figures, or the reason why there are none.
fn note(scenario: &str, round: usize, result: &mut ContenderResult, figures: anyhow::Result<Figures>) {
    match figures {
        Ok(figures) => {
            let latencies = figures.p50_ms.zip(figures.p99_ms);
            let latencies = latencies.map(|(p50, p99)| format!("  p50 {p50:>7.2} ms  p99 {p99:>7.2} ms"));
            let latencies = latencies.unwrap_or_default();
            eprintln!("{scenario:<28} {round}  {:<32} {:>9.0}/s{latencies}", result.name, figures.rate);
            result.rounds.push(Some(figures));
        }
        Err(error) => {
            eprintln!("{scenario:<28} {round}  {:<32} failed: {error:#}", result.name);
            result.rounds.push(None);
            result.failure = Some(format!("{error:#}"));
        }
    }
}

/// The commit that is measured, if git knows it.
fn revision() -> String {
    let output = std::process::Command::new("git").args(["describe", "--always", "--dirty"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Information about the machine, including its load at the end.
fn machine() -> serde_json::Value {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, model)| model);
    let memory = read("/proc/meminfo");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({
        "cpu": model, "cores": cores, "memory": memory.lines().next(), "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_average": read("/proc/loadavg").trim(),
    })
}

/// The folder for a run's files, which is removed at the end. PostgreSQL's user can access it, and it is on a disk:
/// `/tmp` may be in memory, where commits are cheaper.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = Path::new("/var/tmp").join(format!("rollcall-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("can't create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
