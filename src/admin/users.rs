//! Commands for people's accounts (R84).

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use rollcall_domain::account::suspension::Notice;
use rollcall_domain::account::user::{self, User};
use rollcall_domain::account::user_ref::{self, UserRef};
use rollcall_domain::account::{session, suspension};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::database::Database;
use rollcall_domain::departure::account_deletion;
use rollcall_domain::membership::member;
use rollcall_domain::sign_in::email_change;

use super::jobs::print;

/// What can be done with an account.
#[derive(Subcommand)]
pub enum Command {
    /// Show an account, with the organizations that it belongs to.
    Find {
        #[command(flatten)]
        account: Account,
    },
    /// Suspend an account: nobody signs in to it, and its sessions and keys rest, until the suspension is lifted.
    Suspend {
        #[command(flatten)]
        account: Account,
        /// Why; kept in the audit log, for staff and for readers of the feed.
        #[arg(long)]
        reason: Option<String>,
        /// Don't tell the person by email.
        #[arg(long)]
        silent: bool,
    },
    /// Lift the suspension of an account: its old sessions and keys work again.
    Unsuspend {
        #[command(flatten)]
        account: Account,
    },
    /// End all sessions of an account. Keys stay.
    EndSessions {
        #[command(flatten)]
        account: Account,
    },
    /// Give an account another email address. The old and the new address are told.
    ChangeEmail {
        #[command(flatten)]
        account: Account,
        /// The new address.
        #[arg(long)]
        email: String,
    },
    /// Delete an account that owns no organization: it leaves every organization, for good.
    Delete {
        #[command(flatten)]
        account: Account,
        /// Why; kept in the audit log, for staff and for readers of the feed.
        #[arg(long)]
        reason: Option<String>,
    },
}

/// The account that is meant.
#[derive(Args)]
pub struct Account {
    /// An email address, a username, an ID such as usr_01h455vb4pex5vsknk084sn02q, or `external:` and the platform's
    /// own ID.
    #[arg(value_name = "ACCOUNT", value_parser = named)]
    named: UserRef,
}

fn named(text: &str) -> Result<UserRef, String> {
    let text = text.trim();
    if let Some(id) = text.strip_prefix("external:") {
        return Ok(UserRef::ExternalId(id.to_owned()));
    }
    if text.contains('@') {
        return Ok(UserRef::Email(text.to_owned()));
    }
    // No username has an underscore.
    match text.starts_with("usr_") {
        true => text.parse().map(UserRef::Id).map_err(|_| "is no account's ID; copy all of it".to_owned()),
        false => Ok(UserRef::Username(text.to_owned())),
    }
}

/// Runs a command.
pub async fn run(database: &Database, staff: &Actor, command: Command) -> anyhow::Result<()> {
    let told = match command {
        Command::Find { account } => find(database, &account.named).await?,
        Command::Suspend { account, reason, silent } => {
            let notice = if silent { Notice::None } else { Notice::Email };
            let user = suspension::suspend(database, staff, &account.named, reason.as_deref(), notice).await?;
            format!("{} is suspended\n", words(&user))
        }
        Command::Unsuspend { account } => {
            let user = suspension::lift(database, staff, &account.named).await?;
            format!("{} isn't suspended any more\n", words(&user))
        }
        Command::EndSessions { account } => {
            let ended = session::end_all_of(database, staff, &account.named).await?;
            format!("{ended} session(s) ended\n")
        }
        Command::ChangeEmail { account, email } => {
            let user = email_change::set(database, staff, &account.named, &email).await?;
            let email = user.email.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{} has the address {email}\n", words(&user))
        }
        Command::Delete { account, reason } => {
            let id = account_deletion::delete_named(database, staff, &account.named, reason.as_deref()).await?;
            format!("{id} was deleted\n")
        }
    };
    print(&told)
}

/// The account in few words.
fn words(user: &User) -> String {
    format!("{} (@{})", user.id, user.username)
}

async fn find(database: &Database, named: &UserRef) -> anyhow::Result<String> {
    let mut connection = database.connection().await?;
    let found = user_ref::resolve(&mut connection, std::slice::from_ref(named)).await?.remove(named);
    let Some(id) = found else { anyhow::bail!("there is no such account") };
    let user = user::by_id(&mut connection, id).await?;
    let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let time = |time: Option<DateTime<Utc>>| text(time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)));
    let mut lines = vec![
        format!("id           {}", user.id),
        format!("username     {}", user.username),
        format!("name         {}", user.name),
        format!("email        {}", text(user.email.as_ref().map(ToString::to_string))),
        format!("external id  {}", text(user.external_id.clone())),
        format!("suspended    {}", time(user.suspended_at)),
    ];
    for (organization_id, name, role) in member::roles_of(&mut connection, id).await? {
        lines.push(format!("{:<12} {organization_id} {name}", role.as_str()));
    }
    Ok(lines.join("\n") + "\n")
}
