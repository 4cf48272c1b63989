//! Processes: the servers of a run, and how much processor time and memory they use.

use std::collections::HashMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::load::{self, LoadRequest};

/// Clock ticks of `/proc` per second, which is always 100 on Linux.
const TICKS: f64 = 100.0;

/// Creates a command that doesn't inherit settings from the shell's environment.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("ROLLCALL_") || name.starts_with("PG") || name == "DATABASE_URL" || name == "RUST_LOG" {
            command.env_remove(&*name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Returns a port on which nobody listens.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
    Ok(listener.local_addr()?.port())
}

/// A server that is stopped when the value is dropped.
pub struct Server {
    child: Child,
    /// The address on which it listens.
    pub address: String,
    /// The time from its start to its first answer.
    pub start_up: Duration,
}

impl Server {
    /// Starts a process that receives no requests.
    pub fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("can't create {}", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("can't start {}", command.get_program().display()))?;
        Ok(Self { child, address: String::new(), start_up: Duration::ZERO })
    }

    /// Starts a server and waits until it answers the probe.
    pub async fn start(command: Command, port: u16, probe: &LoadRequest, log: &Path) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        let started = Instant::now();
        let mut server = Self::spawn(command, log)?;
        server.address = format!("127.0.0.1:{port}");
        while !load::answers(&server.address, probe).await {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended with {status}; see {}", program.display(), log.display());
            }
            if started.elapsed() > Duration::from_secs(60) {
                bail!("{} doesn't answer; see {}", program.display(), log.display());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.start_up = started.elapsed();
        Ok(server)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended by itself; it is reaped in either case.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The processor time of a process and its descendants, including those that have ended.
pub fn cpu(root: u32) -> anyhow::Result<Duration> {
    let mut ticks = 0;
    for stat in tree(root)? {
        ticks += stat.own;
        if stat.pid == root {
            ticks += stat.of_ended;
        }
    }
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS))
}

/// The memory of a process and its descendants, in bytes. Shared memory is counted once.
pub fn memory(root: u32) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for stat in tree(root)? {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", stat.pid)).unwrap_or_default();
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes: u64 = pss.and_then(|pss| pss.split_whitespace().next()?.parse().ok()).unwrap_or_default();
        bytes += kilobytes * 1024;
    }
    Ok(bytes)
}

struct Stat {
    pid: u32,
    parent: u32,
    /// The process's own ticks.
    own: u64,
    /// The ticks of its children that have ended and were waited for.
    of_ended: u64,
}

fn tree(root: u32) -> anyhow::Result<Vec<Stat>> {
    let mut all: HashMap<u32, Stat> = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The process may end meanwhile.
        let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if let Some(stat) = parse(pid, &text) {
            all.insert(pid, stat);
        }
    }
    let is_below = |mut pid: u32| {
        while pid != root {
            match all.get(&pid) {
                Some(stat) if stat.parent != pid => pid = stat.parent,
                _ => return false,
            }
        }
        true
    };
    let below: Vec<u32> = all.keys().copied().filter(|pid| is_below(*pid)).collect();
    Ok(below.into_iter().filter_map(|pid| all.remove(&pid)).collect())
}

/// Parses the stat file of a process. Its second field is the name in parentheses, which may contain any character.
fn parse(pid: u32, text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    Some(Stat {
        pid,
        parent: number(1)?.try_into().ok()?,
        own: number(11)? + number(12)?,
        of_ended: number(13)? + number(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_parentheses_and_spaces() {
        let text = "7 (a) b) S 3 7 7 0 -1 4194560 1 2 3 4 50 6 700 8 20 0 1 0 1 1";
        let stat = parse(7, text).unwrap();
        assert_eq!((stat.parent, stat.own, stat.of_ended), (3, 56, 708));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(memory(std::process::id()).unwrap() > 0);
    }
}
