//! `rollcall`: the API, migrations, the schema and staff work; without arguments everything on one machine.

mod admin;
mod graphql;
mod http;
mod issuers;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rollcall_domain::base::link::{PublicUrl, Route};
use rollcall_domain::base::secret::Token;
use rollcall_domain::database::Purpose;
use rollcall_domain::sign_in;
use rollcall_domain::start::open::{self, Fallback, Opened};
use rollcall_domain::start::settings::Settings;
use rollcall_jobs::{Context, metrics, process, worker};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whom the banner's sign-in link is for; the playground's tabs begin with the same.
const FIRST_ACCOUNT: &str = "ada@example.org";

/// The organization service that platforms plug in.
///
/// Without a command, it runs everything on this machine: its own PostgreSQL, the migrations, the API and a worker.
/// Settings come from the environment or rollcall.toml; the README lists them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve only the API; run `rollcall-worker` beside it.
    Serve,
    /// Bring the database up to date.
    Migrate,
    /// Print the GraphQL schema.
    Schema,
    /// Commands for the platform's staff.
    #[command(subcommand)]
    Admin(admin::Command),
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    if let Some(Command::Schema) = command {
        return match std::io::stdout().write_all(graphql::sdl().as_bytes()) {
            // Whoever reads only its beginning has what they want.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        };
    }
    process::run(async |settings: Settings| match command {
        None => everything(&settings).await,
        Some(Command::Serve) => {
            let shutdown = process::shutdown()?;
            settings.public_url()?;
            Context::check(&settings)?;
            let opened = open::open(&settings, Fallback::None, Purpose::Requests).await?;
            metrics::start(&settings, &opened.database, &shutdown).await?;
            let direct = opened.direct.clone();
            http::serve(&settings, opened.database.clone(), direct, shutdown, |address, _| announce(address)).await
        }
        Some(Command::Migrate) => {
            open::migrate_located(&settings).await?;
            println!("rollcall: the database is up to date");
            Ok(())
        }
        Some(Command::Schema) => Ok(()),
        Some(Command::Admin(command)) => admin::run(&settings, command).await,
    })
}

/// Where the API is, for people and for programs that started it.
fn announce(address: SocketAddr) {
    println!("rollcall: API on http://{address}");
}

/// API and worker in one process, on a database of their own unless one is named.
async fn everything(settings: &Settings) -> anyhow::Result<()> {
    let shutdown = process::shutdown()?;
    settings.public_url()?;
    Context::check(settings)?;
    let opened = open::open(settings, Fallback::BuiltIn, Purpose::Requests).await?;
    opened.check_direct().await?;
    let context = Context::new(settings, opened.database_for(Purpose::Work)?)?;
    metrics::start(settings, &opened.database, &shutdown).await?;
    // A link that signs in is for the screen of this machine, never for the journal of a server.
    let first_token = match opened.is_builtin() && http::shows_mails(settings) {
        true => Some(first_token(&opened).await?),
        false => None,
    };
    let listening = |address: SocketAddr, url: &PublicUrl| {
        announce(address);
        println!("  playground  {}", url.link(Route::Playground));
        if http::shows_mails(settings) {
            println!("  emails      {}", url.link(Route::Mails));
        } else if settings.rollcall_smtp_url.is_none()
            && let Some(folder) = settings.mail_dir()
        {
            println!("  emails      in {}; set ROLLCALL_SMTP_URL to send them", folder.display());
        }
        let sign_in = url.link(Route::SignIn);
        match &first_token {
            Some(token) => {
                println!("  sign in     {}", url.link(Route::SignInLink(token.reveal())));
                println!("              (as {FIRST_ACCOUNT}, once, within the hour; or ask for an email at {sign_in})");
            }
            None => println!("  sign in     {sign_in}"),
        }
    };
    // Whichever ends first takes the other with it.
    let api = async {
        let (database, direct) = (opened.database.clone(), opened.direct.clone());
        let outcome = http::serve(settings, database, direct, shutdown.clone(), listening).await;
        shutdown.cancel();
        outcome
    };
    let work = async {
        let outcome = worker::run(context, &opened.direct, shutdown.clone()).await;
        shutdown.cancel();
        outcome
    };
    let (api, work) = tokio::join!(api, work);
    api.and(work)
}

async fn first_token(opened: &Opened) -> anyhow::Result<Token> {
    let email = FIRST_ACCOUNT.parse().map_err(|()| anyhow::anyhow!("the first account has an address"))?;
    Ok(sign_in::first_link(&opened.database, &email).await?)
}
