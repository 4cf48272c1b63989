//! A PostgreSQL of our own, started from the machine's binaries: for `rollcall` without arguments, for tests, and
//! wherever running a separate database server would be too much.
//!
//! Below the data folder:
//!
//! ```text
//! postgres/            0700, belongs to whoever runs PostgreSQL: this user or, as root, the user `postgres`
//!   cluster/           PostgreSQL's data
//!   log, log.old       what PostgreSQL says
//!   .s.PGSQL.5432      its socket; there is no TCP port, and the folder keeps other users out
//!   users.lock         shared flock of every process that uses the cluster
//!   transition.lock    exclusive flock while someone joins or leaves
//! ```
//!
//! **Invariants.** `users.lock` changes hands only under `transition.lock`, so joining and leaving can't overtake each
//! other: the first one in starts the cluster and the last one out stops it. Both locks end with their process, however
//! it ends; a cluster that outlives its users is taken over by the next start. `cluster/` appears by a rename, complete
//! or not at all. PostgreSQL runs in a session of its own (`pg_ctl` sees to that) and inherits none of our files.

mod binaries;
mod cluster;
mod home;
mod lock;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cluster::Cluster;
use lock::Lock;

/// Name of the superuser and of the first database.
const ROLLCALL: &str = "rollcall";

/// How the cluster is run. What the first process chose holds until the cluster stops.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether commits survive a crash, of PostgreSQL or of the machine. False is faster, and for tests only.
    pub fsync: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { fsync: true }
    }
}

/// One use of the built-in PostgreSQL. Dropping it leaves, which stops the cluster if nobody else uses it.
#[derive(Debug)]
pub struct BuiltinPostgres {
    cluster: Cluster,
    binaries: PathBuf,
    users: Option<Lock>,
}

impl BuiltinPostgres {
    /// Joins the cluster of this data folder, and creates and starts it as needed.
    ///
    /// Blocks until the cluster takes connections: about a second the first time, later a fraction of that.
    pub fn start(data_dir: &Path, options: Options) -> Result<Self, BuiltinPostgresError> {
        let cluster = Cluster::prepare(data_dir)?;
        let transition = cluster.lock("transition.lock")?;
        transition.wait()?;
        let users = cluster.lock("users.lock")?;
        let alone = users.try_exclusive()?;
        users.share()?;

        let version = cluster.version()?;
        let binaries = binaries::choose(binaries::search_path(), version.as_deref(), &cluster.data())?;
        if version.is_none() {
            cluster.create(&binaries, options)?;
        }
        cluster.ensure_running(&binaries, options, alone)?;
        drop(transition);
        Ok(Self { cluster, binaries, users: Some(users) })
    }

    /// URL of a database of the cluster, over its Unix socket: `postgres://rollcall@%2Fabsolute%2Fpath/NAME`.
    ///
    /// The database `rollcall` exists from the start.
    pub fn url(&self, database: &str) -> String {
        let folder = percent_encode(self.cluster.sockets().as_os_str().as_bytes());
        format!("postgres://{ROLLCALL}@{folder}/{}", percent_encode(database.as_bytes()))
    }

    /// Leaves the cluster and, if nobody else uses it, stops it. Blocks until it has stopped.
    pub fn leave(mut self) -> Result<(), BuiltinPostgresError> {
        self.leave_once()
    }

    fn leave_once(&mut self) -> Result<(), BuiltinPostgresError> {
        let Some(users) = self.users.take() else {
            return Ok(());
        };
        let transition = self.cluster.lock("transition.lock")?;
        transition.wait()?;
        let left = if users.try_exclusive()? { self.cluster.stop(&self.binaries) } else { Ok(()) };
        drop(users);
        drop(transition);
        left
    }
}

impl Drop for BuiltinPostgres {
    fn drop(&mut self) {
        if let Err(error) = self.leave_once() {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not leave the built-in PostgreSQL");
        }
    }
}

/// Why the built-in PostgreSQL can't be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BuiltinPostgresError {
    /// PostgreSQL isn't installed.
    #[error(
        "found no PostgreSQL on this machine (looked for initdb, postgres and pg_ctl in PATH, in \
         /usr/lib/postgresql/*/bin and where pg_config points): install it, for example with `apt-get install \
         postgresql`, or set DATABASE_URL to use a server elsewhere"
    )]
    NoBinaries,
    /// The data is of another major version than every installed PostgreSQL.
    #[error(
        "{} was made by PostgreSQL {made_by}, but installed is {installed}: install PostgreSQL {made_by} (for example \
         `apt-get install postgresql-{made_by}`), or bring the data over with pg_upgrade", data.display()
    )]
    OtherVersion {
        /// The cluster's data.
        data: PathBuf,
        /// Its version.
        made_by: String,
        /// The versions found, separated by commas.
        installed: String,
    },
    /// The data folder can't be used as it is.
    #[error("the built-in PostgreSQL can't use {}: {problem}", folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A file or folder could not be read, written or run.
    #[error(
        "the built-in PostgreSQL can't {action} {}: check permissions and free space, or choose another folder with \
         ROLLCALL_DATA_DIR", path.display()
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Root must hand PostgreSQL to another user, and there is none.
    #[error(
        "PostgreSQL refuses to run as root, and neither a user `postgres` nor `nobody` is in /etc/passwd: run as \
         another user, create one with `useradd --system postgres`, or set DATABASE_URL"
    )]
    NoUser,
    /// One of PostgreSQL's programs failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which one.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// The server ended while starting, or took too long.
    #[error("PostgreSQL did not start. The end of {}:\n{lines}", log.display())]
    DidNotStart {
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        lines: String,
    },
    /// A server holds the cluster but can't be talked to.
    #[error(
        "the PostgreSQL of {} runs but does not answer on {}: see its log, {}; if it hangs, end the process named in the \
         first line of {}", data.display(), socket.display(), log.display(), data.join("postmaster.pid").display()
    )]
    NotAnswering {
        /// The cluster's data.
        data: PathBuf,
        /// The socket tried.
        socket: PathBuf,
        /// The server's log.
        log: PathBuf,
    },
}

type Result<T, E = BuiltinPostgresError> = std::result::Result<T, E>;

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> BuiltinPostgresError + 'a {
    move |source| BuiltinPostgresError::Io { action, path: path.to_owned(), source }
}

fn percent_encode(bytes: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    bytes.iter().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::percent_encode;

    #[test]
    fn folders_are_encoded_for_urls() {
        assert_eq!(percent_encode("/a b/ü%".as_bytes()), "%2Fa%20b%2F%C3%BC%25");
    }
}
