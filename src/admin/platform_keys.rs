//! Commands for platform keys.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use rollcall_domain::account::platform_key::{self, CreatePlatformKey, PlatformKey};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::platform::PlatformScope;
use rollcall_domain::base::id::{OrganizationId, PlatformKeyId};
use rollcall_domain::base::page::PageRequest;
use rollcall_domain::base::secret::Token;
use rollcall_domain::database::Database;

use super::jobs::{print, table};

/// What can be done with platform keys.
#[derive(Subcommand)]
pub enum Command {
    /// Create a key, and print its secret, which is shown only this once.
    Create {
        /// The key's name, which the audit log shows.
        #[arg(long)]
        name: String,
        /// What the key may do, such as READ or MEMBERS_WRITE; separated by commas, or given several times.
        #[arg(long = "scope", required = true, value_delimiter = ',', value_parser = scope)]
        scopes: Vec<PlatformScope>,
        /// The only organizations that the key reaches; all if left out.
        #[arg(long = "organization", value_delimiter = ',')]
        organizations: Vec<OrganizationId>,
        /// When the key expires, such as 2027-01-31T00:00:00Z.
        #[arg(long)]
        expires_at: Option<DateTime<Utc>>,
    },
    /// List all keys, oldest first.
    List,
    /// Give a key a new secret, and print it. The previous one works for some more hours.
    Rotate {
        /// The key's ID.
        id: PlatformKeyId,
        /// For how many hours the previous secret still works.
        #[arg(long, default_value_t = 24)]
        overlap_hours: i32,
    },
    /// Revoke a key with all its secrets, at once and for good.
    Revoke {
        /// The key's ID.
        id: PlatformKeyId,
    },
}

/// Reads a scope as the API writes it, in either case.
fn scope(text: &str) -> Result<PlatformScope, String> {
    let word = text.trim().to_lowercase().replace('-', "_");
    PlatformScope::ALL.iter().copied().find(|scope| scope.as_str() == word).ok_or_else(|| {
        let known: Vec<String> = PlatformScope::ALL.iter().copied().map(PlatformScope::name).collect();
        format!("there is no such scope; there are {}", known.join(", "))
    })
}

/// Runs a command.
pub async fn run(database: &Database, staff: &Actor, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create { name, scopes, organizations, expires_at } => {
            let organization_ids = (!organizations.is_empty()).then_some(organizations);
            let command = CreatePlatformKey { name, scopes, organization_ids, expires_at };
            shown_once(&platform_key::create(database, staff, &command).await?)
        }
        Command::List => list(database).await,
        Command::Rotate { id, overlap_hours } => {
            shown_once(&platform_key::rotate(database, staff, id, overlap_hours).await?)
        }
        Command::Revoke { id } => {
            let key = platform_key::revoke(database, staff, id).await?;
            print(&format!("{id} ({}) was revoked\n", key.name))
        }
    }
}

fn shown_once((key, secret): &(PlatformKey, Token)) -> anyhow::Result<()> {
    print(&format!("{}\n{}\n", key.id, secret.reveal()))
}

async fn list(database: &Database) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let mut page = PageRequest { first: Some(100), ..PageRequest::default() };
    loop {
        let found = platform_key::list(&mut *database.connection().await?, &page).await?;
        rows.extend(found.items.iter().map(|(_, key)| row(key)));
        match found.items.last().filter(|_| found.has_next) {
            Some((cursor, _)) => page.after = Some(cursor.clone()),
            None => break,
        }
    }
    print(&table(&["ID", "NAME", "PREFIX", "SCOPES", "LAST USED", "EXPIRES", "REVOKED"], rows))
}

fn row(key: &PlatformKey) -> [String; 7] {
    let time = |time: Option<DateTime<Utc>>| {
        time.map_or_else(|| "-".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
    };
    let scopes: Vec<String> = key.scopes.iter().copied().map(PlatformScope::name).collect();
    [
        key.id.to_string(),
        key.name.clone(),
        format!("{}…", key.prefix),
        scopes.join(","),
        time(key.last_used_at),
        time(key.expires_at),
        time(key.revoked_at),
    ]
}
