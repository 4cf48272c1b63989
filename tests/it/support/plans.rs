//! The plans of the service's statements, as PostgreSQL itself logs them.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::client::text;
use super::{TestApp, Value};

/// What PostgreSQL logs of the plans of one database, as `auto_explain` sees them run.
pub struct Plans<'a> {
    app: &'a TestApp,
    log: PathBuf,
}

impl<'a> Plans<'a> {
    /// Restarts the API so that it is seen.
    pub async fn explain(app: &mut TestApp) {
        let name = &app.database.name;
        let settings = [
            "session_preload_libraries = 'auto_explain'",
            "auto_explain.log_min_duration = 0",
            "auto_explain.log_analyze = on",
            "auto_explain.log_format = json",
        ];
        // Otherwise the parameters aren't known yet.
        let mut sql = "LOAD 'auto_explain';".to_owned();
        settings.iter().for_each(|setting| sql += &format!("ALTER DATABASE {name} SET {setting};"));
        app.database.sql(&sql).await;
        app.stop_workers().await;
        app.stop_api().await;
        app.start_api().await;
    }

    pub fn of(app: &'a TestApp) -> Self {
        Self { app, log: app.database.log() }
    }

    /// The statements and plans of what is done meanwhile.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> (T, Vec<(String, Value)>) {
        let from = std::fs::metadata(&self.log).unwrap().len();
        let result = work.await;
        let backends = format!(
            "SELECT pid::text AS value FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.app.database.name
        );
        let backends = self.app.database.texts(&backends).await;
        let mut file = std::fs::File::open(&self.log).unwrap();
        file.seek(SeekFrom::Start(from)).unwrap();
        let mut log = Vec::new();
        file.read_to_end(&mut log).unwrap();
        let mut plans = Vec::new();
        let log = String::from_utf8_lossy(&log).into_owned();
        let mut lines = log.lines().peekable();
        while let Some(line) = lines.next() {
            let is_ours = backends.iter().any(|pid| line.contains(&format!(" [{pid}] ")));
            let mut plan = String::new();
            while let Some(more) = lines.next_if(|line| line.starts_with('\t')) {
                plan.push_str(more);
            }
            if is_ours && line.ends_with("plan:") {
                let plan: Value = serde_json::from_str(&plan).unwrap();
                plans.push((text(&plan["Query Text"]), plan["Plan"].clone()));
            }
        }
        (result, plans)
    }
}

/// Every node of a plan.
pub fn plan_nodes(plan: &Value) -> Vec<&Value> {
    let children = plan["Plans"].as_array().into_iter().flatten();
    std::iter::once(plan).chain(children.flat_map(plan_nodes)).collect()
}

/// How many rows a node has given, or thrown away, in all.
pub fn rows(node: &Value) -> f64 {
    let all = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"];
    all.iter().filter_map(|rows| node[rows].as_f64()).sum::<f64>() * node["Actual Loops"].as_f64().unwrap_or(1.0)
}

/// What is wrong with a plan that may read so many rows, by these indexes.
pub fn problems(plan: &Value, limit: usize, indexes: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    for node in plan_nodes(plan) {
        let kind = text(&node["Node Type"]);
        if kind == "Seq Scan" {
            problems.push(format!("reads all of {}", node["Relation Name"]));
        }
        if let Some(index) = node["Index Name"].as_str().filter(|index| !indexes.contains(index)) {
            problems.push(format!("uses {index}"));
        }
        if rows(node) > limit as f64 {
            problems.push(format!("{kind} of {} rows", rows(node)));
        }
    }
    problems
}
