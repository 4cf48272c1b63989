//! What both binaries do as processes: logs, signals and the exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// How long after SIGTERM a process is there at the most.
const STOPPING: Duration = Duration::from_secs(19);
/// How long what still runs at a program's end is waited for.
const ENDING: Duration = Duration::from_secs(1);

/// Runs a program to its end; an error is told in one line with its causes, without a backtrace.
pub fn run(program: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    // RUST_LOG says more or less; ROLLCALL_LOG=json makes lines for machines.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours are for people: in a file or a journal they are in the way of whoever searches.
    let colours = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    if std::env::var_os("ROLLCALL_LOG").is_some_and(|format| format == "json") {
        logs.json().init();
    } else {
        logs.init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.context("no runtime can be started").and_then(|runtime| {
        let outcome = runtime.block_on(program);
        runtime.shutdown_timeout(ENDING);
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollcall: {error:#}");
            ExitCode::FAILURE
        }
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
