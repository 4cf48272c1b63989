//! The floor: pgbench runs the statements that the server sends for a request, as prepared statements. They are read
//! from PostgreSQL's log, with their parameters, so that they can't differ from what the server does.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::load::{self, Load, Outcome};
use crate::postgres::Postgres;
use crate::process::command;

/// How many requests are recorded. Each becomes a script, and pgbench chooses one at random for each transaction.
const RECORDED: u64 = 4;

/// The number of pgbench's connections, which is that of the server.
const CONNECTIONS: usize = 16;

/// The recorded statements of a scenario.
pub struct Floor {
    /// The path of pgbench.
    pgbench: PathBuf,
    scripts: Vec<Script>,
    /// The statements of a request.
    pub statements: Vec<String>,
}

struct Script {
    text: String,
    /// The values of the variables `:name` in the script.
    values: BTreeMap<String, String>,
}

impl Floor {
    /// Records what the server sends to PostgreSQL for the first requests of a load.
    pub async fn record(postgres: &Postgres, database: &str, address: &str, load: &Load) -> anyhow::Result<Self> {
        // What is prepared and looked up only once doesn't belong to a request.
        for number in 0..RECORDED {
            load::send_once(address, load, number).await?;
        }
        let client = postgres.client(database).await?;
        let mut scripts = Vec::new();
        let mut statements = Vec::new();
        postgres.log_statements(true).await?;
        for number in 0..RECORDED {
            let position = std::fs::metadata(postgres.log()).context("PostgreSQL has no log")?.len();
            let (begin, end) = (format!("SELECT 'begin {number}'"), format!("SELECT 'end {number}'"));
            client.batch_execute(&begin).await?;
            load::send_once(address, load, number).await?;
            client.batch_execute(&end).await?;
            let logged = logged(&between(postgres, position, &begin, &end).await?, database)?;
            statements = logged.iter().map(|(statement, _)| statement.clone()).collect();
            let mut typed = Vec::new();
            for (statement, parameters) in logged {
                // pgbench sends no types. If PostgreSQL can't infer them from the statement, they are inferred from the
                // values.
                let is_clear = client.prepare(&statement).await.is_ok();
                typed.push(Statement { text: statement, parameters, is_clear });
            }
            scripts.push(script(&typed, scripts.len()));
        }
        postgres.log_statements(false).await?;
        Ok(Self { pgbench: postgres.program("pgbench")?, scripts, statements })
    }

    /// Runs the scripts.
    pub async fn run(
        &self,
        folder: &Path,
        socket: &str,
        database: &str,
        generic_plans: bool,
        warm_up: Duration,
        duration: Duration,
    ) -> anyhow::Result<Outcome> {
        let mut pgbench = command(&self.pgbench);
        let seconds = (warm_up + duration).as_secs().max(1);
        pgbench.args(["-n", "-M", "prepared", "-l", "--log-prefix=transactions", "-j", "1", "-U", "rollcall"]);
        pgbench.args(["-h", socket, "-c", &CONNECTIONS.to_string(), "-T", &seconds.to_string()]);
        if generic_plans {
            pgbench.env("PGOPTIONS", "-c plan_cache_mode=force_generic_plan");
        }
        for (number, script) in self.scripts.iter().enumerate() {
            let file = folder.join(format!("{number}.sql"));
            std::fs::write(&file, &script.text)?;
            pgbench.arg("-f").arg(file);
            for (name, value) in &script.values {
                pgbench.arg("-D").arg(format!("{name}={value}"));
            }
        }
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "sql") {
                std::fs::remove_file(path)?;
            }
        }
        pgbench.arg(database).current_dir(folder);
        let output = tokio::process::Command::from(pgbench).output().await.context("pgbench can't be run")?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || said.contains("ERROR") || said.contains("aborted") {
            bail!("pgbench: {}", said.chars().take(1_000).collect::<String>());
        }
        outcome(folder, warm_up)
    }
}

/// Reads the transactions that pgbench logged: `client number latency script second microsecond`.
fn outcome(folder: &Path, warm_up: Duration) -> anyhow::Result<Outcome> {
    let mut transactions = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("transactions")) {
            for line in std::fs::read_to_string(path)?.lines() {
                let fields: Vec<u64> = line.split(' ').filter_map(|field| field.parse().ok()).collect();
                if let [_, _, latency, _, second, microsecond] = fields.as_slice() {
                    transactions.push((second * 1_000_000 + microsecond, *latency));
                }
            }
        }
    }
    let first = transactions.iter().map(|(end, latency)| end - latency).min().context("pgbench logged nothing")?;
    let last = transactions.iter().map(|(end, _)| *end).max().unwrap_or(first);
    let begin = first + u64::try_from(warm_up.as_micros())?;
    let measured = transactions.iter().filter(|(end, _)| *end > begin);
    let mut latencies: Vec<u32> = measured.map(|(_, latency)| u32::try_from(*latency).unwrap_or(u32::MAX)).collect();
    latencies.sort_unstable();
    let seconds = Duration::from_micros(last.saturating_sub(begin)).as_secs_f64();
    Ok(Outcome { answers: latencies.len() as u64, seconds, latencies })
}

/// Returns the lines of the log between two marker statements. The log collector writes them with a short delay, and in
/// order.
async fn between(postgres: &Postgres, position: u64, begin: &str, end: &str) -> anyhow::Result<String> {
    for _ in 0..500 {
        let mut log = std::fs::File::open(postgres.log()).context("PostgreSQL's log can't be opened")?;
        log.seek(SeekFrom::Start(position))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let of = |marker: &str| lines.iter().position(|line| line.contains(marker));
        if let (Some(begin), Some(end)) = (of(begin), of(end)) {
            return Ok(lines.get(begin + 1..end).unwrap_or_default().join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("PostgreSQL's log doesn't get to its end")
}

/// A statement and its parameters: `None` for NULL.
type Logged = (String, BTreeMap<usize, Option<String>>);

fn logged(log: &str, database: &str) -> anyhow::Result<Vec<Logged>> {
    let mut statements = Vec::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).context("PostgreSQL's log has a line that isn't JSON")?;
        if line.get("dbname").and_then(Value::as_str) != Some(database) {
            continue;
        }
        let text = |key| line.get(key).and_then(Value::as_str).unwrap_or_default();
        // `duration: 0.1 ms  execute s1: SELECT …`; parsing and binding have lines of their own.
        let Some((_, said)) = text("message").split_once(" ms  ") else { continue };
        let statement = match said.split_once(": ") {
            Some(("statement", statement)) => statement,
            Some((what, statement)) if what.starts_with("execute ") => statement,
            _ => continue,
        };
        // Connections that have been idle are tested with this statement, which doesn't happen under load.
        if statement == "SELECT 1" {
            continue;
        }
        statements.push((statement.to_owned(), parameters(text("detail"))));
    }
    Ok(statements)
}

/// Parses `parameters: $1 = 'it''s', $2 = NULL`, or `Parameters: …` in later versions.
fn parameters(detail: &str) -> BTreeMap<usize, Option<String>> {
    let mut found = BTreeMap::new();
    let mut rest = detail;
    while let Some((_, behind)) = rest.split_once('$') {
        let Some((number, value)) = behind.split_once(" = ") else { break };
        let Ok(number) = number.parse() else { break };
        let Some(quoted) = value.strip_prefix('\'') else {
            found.insert(number, None);
            rest = value;
            continue;
        };
        let mut text = String::new();
        let mut characters = quoted.char_indices().peekable();
        rest = "";
        while let Some((_, character)) = characters.next() {
            if character != '\'' {
                text.push(character);
            } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
                text.push('\'');
            } else {
                rest = characters.peek().and_then(|(at, _)| quoted.get(*at..)).unwrap_or_default();
                break;
            }
        }
        found.insert(number, Some(text));
    }
    found
}

/// A statement as the server sent it.
struct Statement {
    text: String,
    parameters: BTreeMap<usize, Option<String>>,
    /// Whether PostgreSQL can infer the parameters' types from the text alone.
    is_clear: bool,
}

/// Guesses the type of a parameter from its value.
fn cast(value: &str) -> &'static str {
    let is_uuid = |text: &str| text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_number = |text: &str| text.parse::<i64>().is_ok();
    let is_truth = |text: &str| matches!(text, "t" | "f");
    match value.strip_prefix('{').and_then(|value| value.strip_suffix('}')) {
        Some(items) => {
            let all = |is: fn(&str) -> bool| items.split(',').all(|item| item == "NULL" || is(item));
            match () {
                () if items.is_empty() => "::text[]",
                () if all(is_uuid) => "::uuid[]",
                () if all(is_number) => "::bigint[]",
                () if all(is_truth) => "::boolean[]",
                () => "::text[]",
            }
        }
        None if is_uuid(value) => "::uuid",
        None if is_number(value) => "::bigint",
        None if is_truth(value) => "::boolean",
        None => "::text",
    }
}

/// Turns the statements into a pgbench script with a variable for each parameter.
fn script(statements: &[Statement], number: usize) -> Script {
    let mut script = Script { text: String::new(), values: BTreeMap::new() };
    for (position, Statement { text, parameters, is_clear }) in statements.iter().enumerate() {
        let mut rest = text.trim().trim_end_matches(';');
        while let Some((before, behind)) = rest.split_once('$') {
            let digits = behind.len() - behind.trim_start_matches(|character: char| character.is_ascii_digit()).len();
            let (digits, after) = behind.split_at(digits);
            script.text.push_str(before);
            match digits.parse().ok().and_then(|parameter: usize| parameters.get(&parameter)) {
                Some(Some(value)) => {
                    let name = format!("p{number}_{position}_{digits}");
                    script.text.push_str(&format!(":{name}{}", if *is_clear { "" } else { cast(value) }));
                    script.values.insert(name, value.clone());
                }
                Some(None) => script.text.push_str("NULL"),
                None => script.text.push_str(&format!("${digits}")),
            }
            rest = after;
        }
        script.text.push_str(rest);
        script.text.push_str(";\n");
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_they_are_logged() {
        let found = parameters("parameters: $1 = 'it''s $3', $2 = NULL, $10 = '{a,b}'");
        let expected = [(1, Some("it's $3".to_owned())), (2, None), (10, Some("{a,b}".to_owned()))];
        assert_eq!(found, expected.into_iter().collect());
    }

    #[test]
    fn parameters_become_variables() {
        let parameters = [(1, Some("a".to_owned())), (2, None), (10, Some("b".to_owned()))].into_iter().collect();
        let text = "SELECT $1, $2::text, $10;".to_owned();
        let script = script(&[Statement { text, parameters, is_clear: true }], 3);
        assert_eq!(script.text, "SELECT :p3_0_1, NULL::text, :p3_0_10;\n");
        assert_eq!(
            script.values.into_iter().collect::<Vec<_>>(),
            [("p3_0_1".to_owned(), "a".to_owned()), ("p3_0_10".to_owned(), "b".to_owned())]
        );
    }

    #[test]
    fn types_are_told_by_values() {
        assert_eq!(cast("{01a0c450-6c0a-7003-8000-00000000000a}"), "::uuid[]");
        assert_eq!(cast("{1,2}"), "::bigint[]");
        assert_eq!(cast("{}"), "::text[]");
        assert_eq!(cast("{NULL}"), "::uuid[]");
        assert_eq!(cast("f"), "::boolean");
    }

    #[test]
    fn statements_are_those_of_the_database() {
        let log = concat!(
            r#"{"dbname":"rollcall","message":"duration: 0.012 ms  bind s1: SELECT $1"}"#,
            "\n",
            r#"{"dbname":"rollcall","message":"duration: 0.012 ms  execute s1: SELECT $1","detail":"parameters: $1 = 'x'"}"#,
            "\n",
            r#"{"dbname":"rollcall","message":"duration: 0.012 ms  statement: BEGIN"}"#,
            "\n",
            r#"{"dbname":"other","message":"duration: 0.012 ms  statement: COMMIT"}"#,
        );
        let statements: Vec<String> = logged(log, "rollcall").unwrap().into_iter().map(|(text, _)| text).collect();
        assert_eq!(statements, ["SELECT $1", "BEGIN"]);
    }
}
