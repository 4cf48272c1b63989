//! One round of one contender, and the resources that it used.

use std::cell::Cell;
use std::time::Duration;

use serde::Serialize;

use crate::load::{self, Load, Outcome};
use crate::process;

/// How long each round lasts, and how many connections it uses.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Connections of the load generator.
    pub connections: usize,
    /// The time at the beginning of each round that isn't measured.
    pub warm_up: Duration,
    /// The time that is measured.
    pub duration: Duration,
}

/// A round's figures.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// Requests per second, or whatever the scenario's title says.
    pub rate: f64,
    /// The median latency, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The latency that 99 of 100 requests don't exceed, in milliseconds.
    pub p99_ms: Option<f64>,
    /// The server's processor time per request, in microseconds; `None` if there is no server.
    pub server_cpu_us: Option<f64>,
    /// PostgreSQL's processor time per request, in microseconds.
    pub database_cpu_us: Option<f64>,
    /// The server's memory at the end of the round, in MB.
    pub server_memory_mb: Option<f64>,
}

/// Runs a load against a server and measures it.
pub async fn server(address: &str, pid: u32, postmaster: u32, load: &Load, pace: Pace) -> anyhow::Result<Figures> {
    let before = Cell::new((Duration::ZERO, Duration::ZERO));
    let begun = || {
        before.set((process::cpu(pid)?, process::cpu(postmaster)?));
        Ok(())
    };
    let outcome = load::run(address, load, pace.connections, pace.warm_up, pace.duration, begun).await?;
    let (server, database) = before.get();
    let server = process::cpu(pid)?.saturating_sub(server);
    let database = process::cpu(postmaster)?.saturating_sub(database);
    Ok(Figures {
        server_cpu_us: Some(each(server, outcome.answers)),
        server_memory_mb: Some(process::memory(pid)? as f64 / 1e6),
        ..Figures::of(&outcome, database)
    })
}

impl Figures {
    /// The figures of a round without a server.
    pub fn of(outcome: &Outcome, database_cpu: Duration) -> Self {
        Self {
            rate: outcome.rate(),
            p50_ms: Some(outcome.percentile(0.5)),
            p99_ms: Some(outcome.percentile(0.99)),
            server_cpu_us: None,
            database_cpu_us: Some(each(database_cpu, outcome.answers)),
            server_memory_mb: None,
        }
    }

    /// The figures of work of which only the rate is known.
    pub fn of_work(rate: f64) -> Self {
        Self { rate, p50_ms: None, p99_ms: None, server_cpu_us: None, database_cpu_us: None, server_memory_mb: None }
    }

    /// The median of each figure over the rounds.
    pub fn median(rounds: &[Self]) -> Option<Self> {
        let of = |figure: fn(&Self) -> Option<f64>| median(rounds.iter().filter_map(figure).collect());
        Some(Self {
            rate: of(|round| Some(round.rate))?,
            p50_ms: of(|round| round.p50_ms),
            p99_ms: of(|round| round.p99_ms),
            server_cpu_us: of(|round| round.server_cpu_us),
            database_cpu_us: of(|round| round.database_cpu_us),
            server_memory_mb: of(|round| round.server_memory_mb),
        })
    }
}

/// Processor time in microseconds, for each of a number of answers or things.
pub fn each(cpu: Duration, count: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / (count.max(1) as f64)
}

/// The median. For an even number of values, it is the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    match values.len() % 2 {
        1 => Some(upper),
        _ => Some(f64::midpoint(*values.get(values.len() / 2 - 1)?, upper)),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
