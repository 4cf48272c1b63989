//! The folder of a cluster: where it is, and whose.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::{BuiltinPostgresError, Result, io_error};

/// Where root keeps clusters whose data folder the user `postgres` can't reach.
const ELSEWHERE: &str = "/var/lib/rollcall";

/// Finds or makes the folder of a cluster, and tells who runs PostgreSQL there if we are root.
pub(super) fn prepare(data_dir: &Path) -> Result<(PathBuf, Option<Account>)> {
    fs::create_dir_all(data_dir).map_err(io_error("create", data_dir))?;
    let data_dir = data_dir.canonicalize().map_err(io_error("open", data_dir))?;
    let mut home = data_dir.join("postgres");
    let service = if effective_uid() == Some(0) { Some(Account::service()?) } else { None };
    if let Some(service) = &service
        && !home.exists()
    {
        let elsewhere = Path::new(ELSEWHERE).join(short_hash(&data_dir));
        if elsewhere.exists() || !service.reaches(&data_dir) {
            tracing::info!(
                "the user {} who runs PostgreSQL can't reach {}: its data is in {}",
                service.name,
                data_dir.display(),
                elsewhere.display()
            );
            create_public_folder(Path::new(ELSEWHERE))?;
            home = elsewhere;
        }
    }
    create_private_folder(&home)?;
    let run_as = own(&home, service)?;
    Ok((home, run_as))
}

/// A user of this machine.
#[derive(Debug)]
pub(super) struct Account {
    name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// Who runs PostgreSQL in place of root.
    fn service() -> Result<Self> {
        let users = fs::read_to_string("/etc/passwd").map_err(io_error("read", Path::new("/etc/passwd")))?;
        let find = |name: &str| {
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                if fields.next()? != name {
                    return None;
                }
                let uid = fields.nth(1)?.parse().ok()?;
                Some(Self { name: name.to_owned(), uid, gid: fields.next()?.parse().ok()? })
            })
        };
        find("postgres").or_else(|| find("nobody")).ok_or(BuiltinPostgresError::NoUser)
    }

    /// The standard library gives up our supplementary groups, too.
    pub(super) fn take_on(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    fn reaches(&self, folder: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ":"]).current_dir(folder).stdin(Stdio::null());
        self.take_on(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}

/// Makes sure that the folder is private to whoever runs PostgreSQL: its owner. Returns that owner if we are root.
fn own(home: &Path, service: Option<Account>) -> Result<Option<Account>> {
    let unusable = |problem: String| BuiltinPostgresError::Folder { folder: home.to_owned(), problem };
    // Before its owner: another root process that is just as far gives it away first and fills it then.
    let empty = fs::read_dir(home).is_ok_and(|mut entries| entries.next().is_none());
    let found = fs::metadata(home).map_err(io_error("open", home))?;
    if !found.is_dir() {
        return Err(unusable("it isn't a folder: move it away, or choose another ROLLCALL_DATA_DIR".to_owned()));
    }
    let run_as = match service {
        None if effective_uid().is_some_and(|uid| uid != found.uid()) => {
            return Err(unusable(format!(
                "it belongs to the user with the id {}: run as that user, or choose another ROLLCALL_DATA_DIR",
                found.uid()
            )));
        }
        None => None,
        Some(service) if found.uid() == 0 => {
            if !empty {
                return Err(unusable(format!(
                    "it belongs to root, and PostgreSQL refuses to run as root: `chown -R {} {}`",
                    service.name,
                    home.display()
                )));
            }
            chown(home, Some(service.uid), Some(service.gid)).map_err(io_error("change the owner of", home))?;
            Some(service)
        }
        Some(_) => Some(Account { name: format!("with the id {}", found.uid()), uid: found.uid(), gid: found.gid() }),
    };
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(home, Permissions::from_mode(0o700)).map_err(io_error("make private", home))?;
    }
    match run_as {
        Some(account) if !account.reaches(home) => Err(unusable(format!(
            "the user {} who runs PostgreSQL can't reach it: open the folders above it (chmod o+x), or choose another \
             ROLLCALL_DATA_DIR",
            account.name
        ))),
        run_as => Ok(run_as),
    }
}

/// False if it was there already.
pub(super) fn create_private_folder(path: &Path) -> Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(io_error("create", path)(error)),
    }
}

fn create_public_folder(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(io_error("create", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(io_error("open to all", path))
}

/// None where there is no /proc; such systems are for development, not as root.
pub(super) fn effective_uid() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|found| found.uid())
}

pub(super) fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
