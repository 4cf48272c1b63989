//! `rollcall-worker`: runs only a worker. Any number of workers can run beside any number of APIs.

use std::process::ExitCode;

use rollcall_domain::database::Purpose;
use rollcall_domain::start::open::{self, Fallback};
use rollcall_domain::start::settings::Settings;
use rollcall_jobs::{Context, metrics, process, worker};

/// Rollcall's worker: sends emails, ends what has expired, and passes on what leavers owned.
///
/// Settings come from the environment or rollcall.toml: DATABASE_URL (or ROLLCALL_DATA_DIR for the built-in
/// PostgreSQL), ROLLCALL_SECRET, ROLLCALL_PUBLIC_URL, ROLLCALL_SMTP_URL, ROLLCALL_MAIL_FROM, ROLLCALL_METRICS_LISTEN;
/// the README lists them all.
#[derive(clap::Parser)]
#[command(name = "rollcall-worker", version)]
struct Arguments {}

fn main() -> ExitCode {
    let Arguments {} = clap::Parser::parse();
    process::run(async |settings: Settings| {
        let shutdown = process::shutdown()?;
        settings.public_url()?;
        Context::check(&settings)?;
        let opened = open::open(&settings, Fallback::None, Purpose::Work).await?;
        opened.check_direct().await?;
        let context = Context::new(&settings, opened.database.clone())?;
        metrics::start(&settings, &opened.database, &shutdown).await?;
        worker::run(context, &opened.direct, shutdown).await
    })
}
