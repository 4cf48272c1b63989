//! What both binaries need as processes: logs, signals and the exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use std::time::Duration;

use anyhow::{Context, bail};
use rollcall_domain::start::settings::{LogFormat, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The log level, unless RUST_LOG sets another one.
const DEFAULT_LEVEL: &str = "info";

/// How long a process may take to stop after SIGTERM.
const STOPPING: Duration = Duration::from_secs(19);
/// How long a program waits at its end for tasks that are still running.
const ENDING: Duration = Duration::from_secs(1);

/// Runs a program with its settings until it ends. An error is printed on one line with its causes, without a
/// backtrace.
pub fn run(program: impl AsyncFnOnce(Settings) -> anyhow::Result<()>) -> ExitCode {
    match try_run(program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollcall: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(program: impl AsyncFnOnce(Settings) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let settings = Settings::load()?;
    let filter = log_filter(settings.rust_log.as_deref().unwrap_or(DEFAULT_LEVEL))?;
    // Colours are for people. In a file or a journal, they would only hinder searches.
    let colours = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    match settings.rollcall_log {
        LogFormat::Json => logs.json().init(),
        LogFormat::Text => logs.init(),
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime can be started")?;
    let outcome = runtime.block_on(program(settings));
    runtime.shutdown_timeout(ENDING);
    outcome
}

/// Parses RUST_LOG. A single word must be a level: tracing would take a typo such as `inof` for the name of a module,
/// and log nothing else.
fn log_filter(text: &str) -> anyhow::Result<EnvFilter> {
    const ALLOWED: &str = "RUST_LOG must be a level (error, warn, info, debug, trace or off), or levels by target such as \
                           info,rollcall_jobs=debug";
    for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let is_word = directive.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        if is_word && directive.parse::<LevelFilter>().is_err() {
            bail!("{ALLOWED}; {directive:?} is none");
        }
    }
    let filter = EnvFilter::builder().parse(text).map_err(|error| anyhow::anyhow!("{ALLOWED}: {error}"))?;
    // With more detail, tokio_postgres logs the values of statements, which include addresses. That has to be
    // requested by its name.
    match filter.max_level_hint() > Some(LevelFilter::INFO) && !text.contains("tokio_postgres") {
        true => Ok(filter.add_directive("tokio_postgres=info".parse()?)),
        false => Ok(filter),
    }
}

/// Returns a token that SIGTERM or SIGINT cancels. After that, the process ends in time whatever is still running.
///
/// # Errors
/// If the process can't listen for signals.
pub fn shutdown() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    // Signals are handled on a thread and a runtime of their own, since the threads of the main runtime may be busy.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _runtime = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let listen = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        cancelled.cancel();
        tokio::time::sleep(STOPPING).await;
        tracing::warn!("what is still running is given up");
        std::process::exit(1);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(token)
}
