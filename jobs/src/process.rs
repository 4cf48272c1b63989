//! What both binaries do as processes: logs, signals and the exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use std::time::Duration;

use anyhow::{Context, bail};
use rollcall_domain::start::settings::{LogFormat, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// How much is logged unless RUST_LOG says otherwise.
const DEFAULT_LEVEL: &str = "info";

/// How long after SIGTERM a process is there at the most.
const STOPPING: Duration = Duration::from_secs(19);
/// How long what still runs at a program's end is waited for.
const ENDING: Duration = Duration::from_secs(1);

/// Runs a program to its end, with its settings; an error is told in one line with its causes, without a backtrace.
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
    // Colours are for people: in a file or a journal they are in the way of whoever searches.
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

/// What RUST_LOG says. A word alone must be a level: tracing would take `inof` for the name of a module, and log
/// nothing else.
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
    // In more detail than that it tells the values of statements, and addresses with them: to whoever asks for it by
    // name.
    match filter.max_level_hint() > Some(LevelFilter::INFO) && !text.contains("tokio_postgres") {
        true => Ok(filter.add_directive("tokio_postgres=info".parse()?)),
        false => Ok(filter),
    }
}

/// A token that SIGTERM or SIGINT cancels. Whatever is running then, the process ends in time.
///
/// # Errors
/// Where the process can't listen to signals.
pub fn shutdown() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    // Signals have a thread and a runtime of their own: the other's threads may be busy.
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
