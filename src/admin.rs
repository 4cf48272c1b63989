//! Staff commands for the command line. The audit log shows the name of the operating system's user.

mod import;
mod jobs;
mod platform_keys;
mod users;

use anyhow::{Context, bail};
use clap::Subcommand;
use rollcall_domain::Error;
use rollcall_domain::account::user;
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::verification;
use rollcall_domain::base::client::ClientNetwork;
use rollcall_domain::base::id::OrganizationId;
use rollcall_domain::base::text::{self, EmailAddress};
use rollcall_domain::database::{Database, Purpose};
use rollcall_domain::departure::organization_deletion;
use rollcall_domain::organization::billing::{self, SetPlan};
use rollcall_domain::organization::profile::ProfileInput;
use rollcall_domain::organization::{founding, ownership};
use rollcall_domain::start::open::{self, Fallback};
use rollcall_domain::start::settings::Settings;
use rollcall_domain::upkeep::integrity;
use std::net::Ipv4Addr;

/// What staff can do.
#[derive(Subcommand)]
pub enum Command {
    /// Create an organization for an owner. An address without an account gets one, and an email (R1).
    CreateOrganization {
        /// The name that people see.
        #[arg(long)]
        name: String,
        /// The owner's email address.
        #[arg(long)]
        owner_email: String,
        /// The short name; made from the name if left out.
        #[arg(long)]
        slug: Option<String>,
    },
    /// Give an organization to another owner; the previous owner becomes ADMIN (R1).
    SetOwner {
        /// The organization's ID, such as org_01h455vb4pex5vsknk084sn02q.
        #[arg(long)]
        organization: OrganizationId,
        /// The new owner's email address; it must have an account.
        #[arg(long)]
        owner_email: String,
    },
    /// Restore an organization within 30 days of its deletion (R48).
    RestoreOrganization {
        /// The organization's ID, such as org_01h455vb4pex5vsknk084sn02q.
        organization: OrganizationId,
    },
    /// Set an organization's plan (R64).
    SetPlan {
        /// The organization's ID, such as org_01h455vb4pex5vsknk084sn02q.
        #[arg(long)]
        organization: OrganizationId,
        /// The plan's name.
        #[arg(long)]
        plan: String,
        /// How many seats come with it; if left out, the limit stays as it is.
        #[arg(long)]
        seat_limit: Option<i32>,
        /// No limit on seats.
        #[arg(long, conflicts_with = "seat_limit")]
        unlimited: bool,
        /// How many bytes its resources may take up; if left out, the limit stays as it is.
        #[arg(long)]
        storage_limit_bytes: Option<i64>,
        /// No limit on storage.
        #[arg(long, conflicts_with = "storage_limit_bytes")]
        unlimited_storage: bool,
        /// How many runs may go on at a time; if left out, the limit stays as it is.
        #[arg(long)]
        run_limit: Option<i32>,
        /// How many workspaces it may have; if left out, the limit stays as it is.
        #[arg(long)]
        workspace_limit: Option<i32>,
    },
    /// Bring in a platform's accounts, organizations, members, teams and resources from a file, as mutations do (R88).
    ///
    /// What is refused is said line by line, and the rest is brought in all the same. Run it again after an
    /// interruption or a correction: what is as it should be stays unchanged. No email is sent.
    Import(import::Arguments),
    /// Check every invariant on the whole database. Fails if one is broken, and says what breaks it.
    Verify,
    /// Check that an organization's audit log is intact. Fails at the first broken event (R74).
    VerifyAuditLog {
        /// The organization's ID, such as org_01h455vb4pex5vsknk084sn02q.
        organization: OrganizationId,
    },
    /// Manage the workers' jobs.
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Manage platform keys, with which the platform's own services call the API (R85).
    #[command(subcommand)]
    PlatformKeys(platform_keys::Command),
    /// Manage people's accounts (R84).
    #[command(subcommand)]
    Users(users::Command),
}

/// Runs a staff command.
pub async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let opened = open::open(settings, Fallback::Existing, Purpose::Work).await?;
    let outcome = match command {
        Command::CreateOrganization { name, owner_email, slug } => {
            create_organization(&opened.database, name, &owner_email, slug).await
        }
        Command::SetOwner { organization, owner_email } => {
            set_owner(&opened.database, organization, &owner_email).await
        }
        Command::RestoreOrganization { organization } => restore_organization(&opened.database, organization).await,
        Command::SetPlan {
            organization,
            plan,
            seat_limit,
            unlimited,
            storage_limit_bytes,
            unlimited_storage,
            run_limit,
            workspace_limit,
        } => {
            let seat_limit = if unlimited { Some(None) } else { seat_limit.map(Some) };
            let storage_limit_bytes = if unlimited_storage { Some(None) } else { storage_limit_bytes.map(Some) };
            let command = SetPlan {
                plan,
                seat_limit,
                storage_limit_bytes,
                run_limit: run_limit.map(Some),
                run_limits: None,
                workspace_limit: workspace_limit.map(Some),
            };
            set_plan(&opened.database, organization, command).await
        }
        Command::Import(arguments) => import::run(&opened.database, staff_name(), arguments).await,
        Command::Verify => verify(&opened.database).await,
        Command::VerifyAuditLog { organization } => verify_audit_log(&opened.database, organization).await,
        Command::Jobs(command) => jobs::run(&opened.database, &staff(), command).await,
        Command::PlatformKeys(command) => platform_keys::run(&opened.database, &staff(), command).await,
        Command::Users(command) => users::run(&opened.database, &staff(), command).await,
    };
    outcome.map_err(in_words)
}

/// The staff actor.
fn staff() -> Actor {
    Actor::Staff { name: staff_name() }
}

/// The name of the staff actor, after the operating system's user. It comes from the environment, so it gets the
/// canonical form of a text from outside.
fn staff_name() -> String {
    let name = |variable: &str| {
        let name = std::env::var(variable).ok().map(|name| text::settled_line(&name));
        name.filter(|name| !name.is_empty())
    };
    let user = name("USER").or_else(|| name("LOGNAME")).unwrap_or_else(|| "unknown".to_owned());
    let user: String = user.chars().take(100).collect();
    format!("command line ({user})")
}

/// Turns a refusal into one line of text.
fn in_words(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Error>() {
        Ok(Error::Refused(refusals)) => {
            let lines: Vec<String> =
                refusals.iter().map(|refusal| format!("{}: {}", refusal.field.join("."), refusal.message)).collect();
            anyhow::anyhow!(lines.join("; "))
        }
        Ok(other) => other.into(),
        Err(error) => error,
    }
}

async fn create_organization(
    database: &Database,
    name: String,
    owner_email: &str,
    slug: Option<String>,
) -> anyhow::Result<()> {
    let profile = ProfileInput { name: Some(name), slug: slug.map(Some), ..ProfileInput::default() };
    // Attempts of staff aren't counted, so the client doesn't matter.
    let client = ClientNetwork::of(Ipv4Addr::LOCALHOST.into());
    let id = founding::create(database, &staff(), &profile, Some(owner_email), client).await?;
    println!("{id}");
    Ok(())
}

async fn set_owner(database: &Database, organization_id: OrganizationId, owner_email: &str) -> anyhow::Result<()> {
    let email = EmailAddress::parse("owner-email", owner_email).map_err(Error::from)?;
    let found = user::by_email(&mut *database.connection().await?, &email).await?;
    let owner = found.with_context(|| format!("no account has the email address {email}"))?;
    ownership::set_owner(database, &staff(), organization_id, owner.id).await?;
    println!("{organization_id} now belongs to {}", owner.username);
    Ok(())
}

async fn restore_organization(database: &Database, organization_id: OrganizationId) -> anyhow::Result<()> {
    organization_deletion::restore(database, &staff(), organization_id).await?;
    println!("{organization_id} was restored");
    Ok(())
}

async fn set_plan(database: &Database, organization_id: OrganizationId, command: SetPlan) -> anyhow::Result<()> {
    billing::set_plan(database, &staff(), organization_id, &command).await?;
    println!("{organization_id} now has the plan {}", command.plan);
    Ok(())
}

async fn verify(database: &Database) -> anyhow::Result<()> {
    let mut found = 0;
    for outcome in integrity::verify(database).await? {
        if outcome.broken == 0 {
            println!("ok      {}", outcome.invariant);
            continue;
        }
        found += 1;
        let others =
            if i64::try_from(outcome.examples.len()).is_ok_and(|named| named < outcome.broken) { ", …" } else { "" };
        println!("BROKEN  {}: {} times, by {}{others}", outcome.invariant, outcome.broken, outcome.examples.join(", "));
    }
    match found {
        0 => Ok(()),
        _ => bail!("{found} invariants are broken"),
    }
}

async fn verify_audit_log(database: &Database, organization_id: OrganizationId) -> anyhow::Result<()> {
    let mut from = Some(1);
    let mut checked = 0;
    while let Some(sequence) = from {
        let found = verification::verify(database, organization_id, Some(sequence))
            .await
            .context("the audit log can't be read")?;
        checked += found.checked;
        if let Some(event) = found.first_broken {
            bail!("event {} ({}, {}) doesn't fit the one before it", event.sequence, event.id, event.action);
        }
        if !found.ok() {
            bail!("the newest events are missing: the audit log ends at {}", sequence + found.checked - 1);
        }
        from = found.next_sequence;
    }
    println!("intact: {checked} events");
    Ok(())
}
