//! The service's processes, as they run in production; none outlives its test.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// The API's program.
pub fn rollcall() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rollcall"))
}

/// The worker's program, which is built with the workspace.
pub fn worker() -> PathBuf {
    let path = rollcall().with_file_name("rollcall-worker");
    assert!(path.exists(), "{} is missing: run `cargo build --workspace` first, as `make test` does", path.display());
    path
}

/// A command whose process ends with the test's thread, even where the tests are killed.
pub fn bound(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The environment that sets the clock of a process wrong, by `+2d` say; what it measures takes as long as ever.
pub fn wrong_clock(by: &str) -> Vec<(String, String)> {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let library = folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime is not installed: `make faketime`, or `apt-get install libfaketime`");
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME", by),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A command that inherits none of the settings around the tests.
pub fn command(program: &Path, folder: &Path, settings: &[(String, String)]) -> Command {
    let mut command = bound(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("ROLLCALL_") || name == "DATABASE_URL" || name.starts_with("PG") || name == "RUST_LOG" {
            command.env_remove(&*name);
        }
    }
    command.envs(settings.iter().map(|(name, value)| (name, value))).current_dir(folder).stdin(Stdio::null());
    command
}

/// A process that is killed with its test.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts the API and waits until it takes requests; its address is `http://…`.
    pub async fn api(folder: &Path, settings: &[(String, String)], number: usize) -> (Self, String) {
        let mut command = command(rollcall(), folder, settings);
        command.arg("serve").stdout(Stdio::piped());
        let mut process = Self::start(command, folder, format!("api-{number}"));
        let stdout = process.child.stdout.take().unwrap();
        let (send, ready) = tokio::sync::oneshot::channel();
        // Reads on for good, so that the API never waits for its reader.
        std::thread::spawn(move || {
            let mut send = Some(send);
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("rollcall: API on ")
                    && let Some(send) = send.take()
                {
                    let _ = send.send(address.trim().trim_end_matches('/').to_owned());
                }
            }
        });
        match tokio::time::timeout(PATIENCE, ready).await {
            Ok(Ok(address)) => (process, address),
            _ => panic!("the API did not start:\n{}", process.log()),
        }
    }

    /// Starts a worker.
    pub fn worker(folder: &Path, settings: &[(String, String)], number: usize) -> Self {
        let mut command = command(&worker(), folder, settings);
        command.stdout(Stdio::null());
        Self::start(command, folder, format!("worker-{number}"))
    }

    fn start(mut command: Command, folder: &Path, name: String) -> Self {
        let log = folder.join(format!("{name}.log"));
        let child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        Self { child, name, log }
    }

    /// What the process has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The number of the process.
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// How much memory it holds, in MiB.
    pub fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1_024.0
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and what the process ended with.
    pub async fn terminate(mut self) -> ExitStatus {
        let sent = Command::new("sh").args(["-c", "kill -TERM $0", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{} does not end on SIGTERM:\n{}", self.name, self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Fails where the process has ended or panicked, or has logged an error that the test doesn't expect.
    pub fn assert_well(&mut self, errors_expected: bool) {
        let log = self.log();
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} has ended: {status}\n{log}", self.name);
        }
        let has_errors = log.contains(" ERROR ") || log.contains(r#""level":"ERROR""#);
        let is_well = !log.contains("panicked at") && (errors_expected || !has_errors);
        assert!(is_well, "{} is not well:\n{log}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines.len().saturating_sub(30);
            eprintln!("---- the end of {}'s log\n{}", self.name, lines[end..].join("\n"));
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
