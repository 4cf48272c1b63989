//! Rollcall's own processes, with the settings of a run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::load::{Credentials, post};
use crate::process::{Server, command, free_port};
use crate::scenarios::STAFF_TOKEN;

/// The name of the database.
pub const DATABASE: &str = "rollcall";

/// Rollcall's programs, and the folder for their files.
pub struct Rollcall {
    folder: PathBuf,
    database_url: String,
}

impl Rollcall {
    /// Uses a folder for logs.
    pub fn new(folder: &Path, database_url: String) -> Self {
        Self { folder: folder.to_owned(), database_url }
    }

    /// The settings of Rollcall's processes, except for the database's address.
    ///
    /// The load comes from a trusted proxy, which names another client for each connection. Accounts may invite any
    /// number of people, since in production the same load would come from many more accounts.
    pub fn settings() -> Vec<(&'static str, String)> {
        vec![
            ("ROLLCALL_SECRET", "bench-bench-bench-bench-bench-bench".to_owned()),
            ("ROLLCALL_STAFF_TOKENS", format!("bench={STAFF_TOKEN}")),
            ("ROLLCALL_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
            ("ROLLCALL_INVITATIONS_PER_DAY", i32::MAX.to_string()),
            ("ROLLCALL_NEW_ACCOUNT_INVITATIONS_PER_DAY", i32::MAX.to_string()),
            ("RUST_LOG", "warn".to_owned()),
        ]
    }

    /// Brings the database up to date.
    pub fn migrate(&self) -> anyhow::Result<()> {
        let output = self.command("rollcall")?.arg("migrate").output()?;
        if !output.status.success() {
            bail!("rollcall migrate: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Starts the API.
    pub async fn serve(&self) -> anyhow::Result<Server> {
        let port = free_port()?;
        let mut command = self.command("rollcall")?;
        command.arg("serve").env("ROLLCALL_LISTEN", format!("127.0.0.1:{port}"));
        let probe = post("/graphql", Credentials::Nobody, r#"{"query":"{ __typename }"}"#.to_owned())?;
        Server::start(command, port, &probe, &self.folder.join("api.log")).await
    }

    /// Starts a worker that sends its emails to an SMTP server.
    pub fn work(&self, mail_server: &str) -> anyhow::Result<Server> {
        let mut command = self.command("rollcall-worker")?;
        command
            .env_remove("ROLLCALL_MAIL_DIR")
            .env("ROLLCALL_SMTP_URL", format!("smtp://{mail_server}?tls=none"))
            .env("ROLLCALL_MAIL_FROM", "Rollcall <rollcall@bench.example>")
            .env("ROLLCALL_PUBLIC_URL", "http://127.0.0.1:8080");
        Server::spawn(command, &self.folder.join("worker.log"))
    }

    /// The command that brings in a file.
    pub fn import(&self, file: &Path) -> anyhow::Result<Command> {
        let mut command = self.command("rollcall")?;
        command.args(["admin", "import"]).arg(file);
        Ok(command)
    }

    /// The folder for files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn command(&self, program: &str) -> anyhow::Result<Command> {
        let own = std::env::current_exe()?;
        let path = own.with_file_name(program);
        if !path.exists() {
            bail!("{} is missing: `make bench` builds it", path.display());
        }
        let mut command = command(&path);
        command.current_dir(&self.folder).env("DATABASE_URL", &self.database_url).envs(Self::settings());
        command.env("ROLLCALL_MAIL_DIR", self.folder.join("mails"));
        Ok(command)
    }
}
