//! One cluster: made, started, taken over, stopped.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::binaries::{last_lines, run};
use crate::home::{self, Account, create_private_folder, effective_uid, short_hash};
use crate::lock::Lock;
use crate::{BuiltinPostgresError, Options, ROLLCALL, Result, io_error};

const SOCKET: &str = ".s.PGSQL.5432";
/// 107 bytes on Linux, 103 elsewhere.
const LONGEST_SOCKET_PATH: usize = 103;
/// Long enough for the recovery after a crash.
const PATIENCE: Duration = Duration::from_secs(120);
/// The log is set aside at a start when it has more bytes than this.
const LARGE_LOG: u64 = 16 << 20;

/// The folder `postgres` of a data folder, ready to be used.
#[derive(Debug)]
pub(super) struct Cluster {
    home: PathBuf,
    /// Same as `home`, unless that path is too long for a socket or needs quoting.
    sockets: PathBuf,
    /// As root, who runs PostgreSQL.
    run_as: Option<Account>,
}

#[derive(Debug, PartialEq, Eq)]
enum Server {
    Ready,
    /// It starts, stops or hangs.
    Busy,
    Gone,
}

impl Cluster {
    pub(super) fn prepare(data_dir: &Path) -> Result<Self> {
        let (home, run_as) = home::prepare(data_dir)?;
        let mut sockets = home.clone();
        if home.join(SOCKET).as_os_str().len() > LONGEST_SOCKET_PATH || !is_plain(&home) {
            sockets = Path::new("/tmp").join(format!("rollcall-{}", short_hash(&home)));
        }
        Ok(Self { home, sockets, run_as })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.home.join("cluster")
    }

    /// Folder of the socket.
    pub(super) fn sockets(&self) -> &Path {
        &self.sockets
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    pub(super) fn lock(&self, name: &str) -> Result<Lock> {
        let path = self.home.join(name);
        let lock = Lock::open(path.clone())?;
        self.give(&path)?;
        Ok(lock)
    }

    /// Gives a file that we made to the user who runs PostgreSQL.
    fn give(&self, path: &Path) -> Result<()> {
        let Some(account) = &self.run_as else {
            return Ok(());
        };
        chown(path, Some(account.uid), Some(account.gid)).map_err(io_error("change the owner of", path))
    }

    /// Major version that made the data, if there is any.
    pub(super) fn version(&self) -> Result<Option<String>> {
        let path = self.data().join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(version) => Ok(Some(version.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.data().exists() => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    pub(super) fn create(&self, binaries: &Path, options: Options) -> Result<()> {
        for entry in fs::read_dir(&self.home).map_err(io_error("read", &self.home))?.flatten() {
            if entry.file_name().as_bytes().starts_with(b"cluster.new-") {
                fs::remove_dir_all(entry.path()).map_err(io_error("remove", &entry.path()))?;
            }
        }
        // A name of its own, since the initdb of a process that was killed may still be writing.
        let name = format!("cluster.new-{}", process::id());
        let data = self.home.join(&name);

        let mut initdb = self.command(&binaries.join("initdb"));
        initdb.args(["-D", &name, "-U", ROLLCALL, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
        if !options.fsync {
            initdb.arg("--no-sync");
        }
        run("initdb", initdb, "")?;

        let settings = data.join("postgresql.conf");
        let mut file = OpenOptions::new().append(true).open(&settings).map_err(io_error("open", &settings))?;
        file.write_all(SETTINGS.as_bytes()).map_err(io_error("write", &settings))?;

        let mut postgres = self.command(&binaries.join("postgres"));
        postgres.args(["--single", "-D", &name, "postgres"]);
        // It reports success whatever comes of the statement.
        let output = run("postgres --single", postgres, &format!("CREATE DATABASE {ROLLCALL};\n"))?;
        if output.contains("ERROR:") {
            return Err(BuiltinPostgresError::Program { program: "postgres --single", output });
        }

        fs::rename(&data, self.data()).map_err(io_error("rename", &data))?;
        let home = File::open(&self.home).and_then(|home| home.sync_all());
        home.map_err(io_error("sync", &self.home))
    }

    /// Takes over a server that runs already, or starts one. `alone`: no other process uses the cluster.
    pub(super) fn ensure_running(&self, binaries: &Path, options: Options, alone: bool) -> Result<()> {
        self.prepare_sockets()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.server() {
                Server::Ready => return Ok(()),
                Server::Gone => {
                    self.remove_stale_pids(alone)?;
                    return self.launch(binaries, options, deadline);
                }
                Server::Busy if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
                Server::Busy => {
                    let (data, log) = (self.data(), self.log());
                    return Err(BuiltinPostgresError::NotAnswering { data, socket: self.sockets.join(SOCKET), log });
                }
            }
        }
    }

    /// A socket that takes connections proves that a server lives, even one in another container; where there is none,
    /// the process named in postmaster.pid may still be on its way up or down.
    fn server(&self) -> Server {
        let pid_file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        // The eighth line says "starting", "ready" or "stopping".
        let ready = pid_file.lines().nth(7).is_some_and(|status| status.trim() == "ready");
        match UnixStream::connect(self.sockets.join(SOCKET)) {
            Ok(_) if ready => Server::Ready,
            Ok(_) => Server::Busy,
            Err(_) if pid_in(&pid_file).is_some_and(|pid| self.is_server(pid)) => Server::Busy,
            Err(_) => Server::Gone,
        }
    }

    /// Whether this process lives, isn't a zombie, and works in the cluster's folder, as PostgreSQL does.
    fn is_server(&self, pid: u32) -> bool {
        if is_zombie(pid) {
            return false;
        }
        let pid = pid.to_string();
        let probe = if Path::new("/proc/self").exists() {
            // Asked as the user who runs PostgreSQL: in a container even root may not look into others' processes.
            self.command(Path::new("/bin/sh")).args(["-c", "test /proc/$0/cwd -ef cluster", &pid]).output()
        } else {
            self.command(Path::new("kill")).args(["-0", &pid]).output()
        };
        probe.is_ok_and(|output| output.status.success())
    }

    /// PostgreSQL copes with the pid files of a server that was killed, unless a zombie or another of this user's
    /// processes has the number now. Children of the dead one that still use its memory are found by PostgreSQL itself.
    /// With other users about, one of them may be a container with process numbers of its own: then only a zombie
    /// counts.
    fn remove_stale_pids(&self, alone: bool) -> Result<()> {
        for path in [self.data().join("postmaster.pid"), self.sockets.join(format!("{SOCKET}.lock"))] {
            let Some(pid) = pid_in(&fs::read_to_string(&path).unwrap_or_default()) else {
                continue;
            };
            let exists = Path::new("/proc").join(pid.to_string()).exists();
            if exists && !self.is_server(pid) && (alone || is_zombie(pid)) {
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    fn prepare_sockets(&self) -> Result<()> {
        if self.sockets == self.home {
            return Ok(());
        }
        if create_private_folder(&self.sockets)? {
            self.give(&self.sockets)?;
        }
        let uid = self.run_as.as_ref().map(|account| account.uid).or_else(effective_uid);
        let found = fs::symlink_metadata(&self.sockets).map_err(io_error("read", &self.sockets))?;
        if !found.is_dir() || found.mode() & 0o077 != 0 || uid.is_some_and(|uid| uid != found.uid()) {
            let problem = format!(
                "its path is too long or unusual for a Unix socket, and {}, which would take its place, isn't a \
                 private folder of the user who runs PostgreSQL: remove that, or choose another ROLLCALL_DATA_DIR",
                self.sockets.display()
            );
            return Err(BuiltinPostgresError::Folder { folder: self.home.clone(), problem });
        }
        Ok(())
    }

    fn launch(&self, binaries: &Path, options: Options, deadline: Instant) -> Result<()> {
        // These pass through a shell: `sockets` is plain, and the data goes by its name alone.
        let mut settings = format!(
            "-c listen_addresses= -c port=5432 -c unix_socket_directories={} -c unix_socket_permissions=0700",
            self.sockets.display()
        );
        if !options.fsync {
            settings.push_str(" -c fsync=off -c synchronous_commit=off -c full_page_writes=off");
        }
        let log_length = || fs::metadata(self.log()).map_or(0, |log| log.len());
        if log_length() > LARGE_LOG {
            fs::rename(self.log(), self.home.join("log.old")).map_err(io_error("rename", &self.log()))?;
        }
        loop {
            let log_length = log_length();
            let mut pg_ctl = self.command(&binaries.join("pg_ctl"));
            pg_ctl.args(["start", "-w", "-D", "cluster", "-l", "log", "-t", &PATIENCE.as_secs().to_string()]);
            pg_ctl.args(["-o", &settings]);
            let Err(error) = run("pg_ctl start", pg_ctl, "") else {
                return Ok(());
            };
            let said = read_from(&self.log(), log_length).unwrap_or_default();
            // Children of a server that was killed end within moments.
            if said.contains("pre-existing shared memory block") && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(100));
                continue;
            }
            if said.trim().is_empty() {
                return Err(error);
            }
            // One that is only slow is left to its recovery, for the next start to take over.
            return Err(BuiltinPostgresError::DidNotStart { log: self.log(), lines: last_lines(&said, 15) });
        }
    }

    pub(super) fn stop(&self, binaries: &Path) -> Result<()> {
        let pid_file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        if pid_in(&pid_file).is_some_and(|pid| self.is_server(pid)) {
            let mut pg_ctl = self.command(&binaries.join("pg_ctl"));
            pg_ctl.args(["stop", "-w", "-m", "fast", "-D", "cluster", "-t", &PATIENCE.as_secs().to_string()]);
            run("pg_ctl stop", pg_ctl, "")?;
        } else if self.server() != Server::Gone {
            // Its number means nothing here: pg_ctl would signal a stranger.
            tracing::warn!("the PostgreSQL of {} runs in another container: it was not stopped", self.home.display());
            return Ok(());
        }
        if self.sockets != self.home {
            // What a killed server left there stays for the next one.
            if let Err(error) = fs::remove_dir(&self.sockets) {
                tracing::debug!(%error, "could not remove {}", self.sockets.display());
            }
        }
        Ok(())
    }

    /// A command in the cluster's folder, as the user who runs PostgreSQL, out of reach of the terminal's Ctrl-C, and
    /// without what in our environment would change its behaviour or is none of its business.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.home).stdin(Stdio::null()).process_group(0).env("LC_ALL", "C");
        for (name, _) in env::vars_os() {
            let bytes = name.as_bytes();
            if bytes.starts_with(b"PG") || bytes.starts_with(b"ROLLCALL_") || bytes == b"DATABASE_URL" {
                command.env_remove(&name);
            }
        }
        if let Some(account) = &self.run_as {
            account.take_on(&mut command);
        }
        command
    }
}

/// Added to postgresql.conf, where operators may change them.
const SETTINGS: &str = "
# Rollcall
max_connections = 200
shared_buffers = 128MB
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
";

fn read_from(path: &Path, offset: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn pid_in(pid_file: &str) -> Option<u32> {
    pid_file.lines().next()?.trim().trim_start_matches('-').parse().ok()
}

fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|state| state.trim_start().starts_with(['Z', 'X']))
}

/// Whether neither a shell nor PostgreSQL's list of folders sees anything special in it.
fn is_plain(path: &Path) -> bool {
    path.as_os_str().as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@".contains(byte))
}
