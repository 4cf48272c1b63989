//! Folders, other processes and SQL for the tests of the built-in PostgreSQL.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;
use std::{env, io, process};

use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use rollcall_builtin_postgres::{BuiltinPostgres, Options};

/// A user without rights, on every system.
pub const NOBODY: u32 = 65_534;
const FOLDER_VARIABLE: &str = "TEST_DATA_FOLDER";

/// A data folder that goes away together with all that still runs in it.
#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
}

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Short, and open to all users.
        let name = format!("rollcall-test-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new("/tmp").join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Self { path }
    }

    /// The server's process, as long as the cluster says that it has one.
    pub fn server(&self) -> Option<u32> {
        let text = fs::read_to_string(self.path.join("postgres/cluster/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path.join("postgres/log")).unwrap()
    }

    pub fn kill_server_and_children(&self) {
        let Some(server) = self.server() else { return };
        // First, so that it can't start new children.
        signal("STOP", &server.to_string());
        let mut processes = children(server);
        processes.push(server);
        for process in &processes {
            signal("KILL", &process.to_string());
        }
        while processes.iter().any(|process| is_alive(*process)) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.server().is_some_and(is_alive) {
            self.kill_server_and_children();
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} stays behind: {error}", self.path.display());
        }
    }
}

/// The process's state and its parent.
fn stat(process: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text.rsplit(')').next()?.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn is_alive(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state != "Z" && state != "X")
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|process| stat(*process).is_some_and(|(_, its_parent)| its_parent == parent)).collect()
}

pub fn signal(kind: &str, target: &str) {
    assert!(Command::new("kill").args(["-s", kind, "--", target]).status().unwrap().success());
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A process that has nothing to do with PostgreSQL.
#[derive(Debug)]
pub struct Stranger(pub Child);

impl Stranger {
    pub fn with_the_owner_of(path: &Path) -> Self {
        let mut command = Command::new("sleep");
        command.arg("60").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if is_root() {
            let found = fs::metadata(path).unwrap();
            command.uid(found.uid()).gid(found.gid());
        }
        Self(command.spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

fn end(process: &mut Child) {
    if let Err(error) = process.kill().and_then(|()| process.wait()) {
        eprintln!("process {} stays behind: {error}", process.id());
    }
}

pub fn join(folder: &Folder) -> BuiltinPostgres {
    BuiltinPostgres::start(&folder.path, Options { fsync: false }).unwrap()
}

/// Another process that uses the cluster, with the default options, until it is told to leave, or killed.
#[derive(Debug)]
pub struct User {
    pub url: String,
    pub process: Child,
    pub output: BufReader<ChildStdout>,
    input: ChildStdin,
    _binary: Option<Folder>,
}

/// A [`User`] that may still be starting.
pub struct Starting(User);

impl User {
    pub fn start(folder: &Folder) -> Self {
        Self::spawn(folder).ready().unwrap()
    }

    pub fn spawn(folder: &Folder) -> Starting {
        // Whoever runs the tests in the background has them ignore SIGINT; these processes don't.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(env::current_exe().unwrap());
        Self::run(command, folder, None)
    }

    pub fn spawn_as(folder: &Folder, uid: u32) -> Starting {
        // Where that user can reach it.
        let binary = Folder::new();
        let path = binary.path.join("test");
        // By another process: while a fork of ours holds a file open for writing, it can't be run.
        let mut cp = Command::new("cp");
        cp.arg(env::current_exe().unwrap()).arg(&path);
        assert!(cp.status().unwrap().success());
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(path);
        command.uid(uid).gid(uid).current_dir("/");
        Self::run(command, folder, Some(binary))
    }

    fn run(mut command: Command, folder: &Folder, binary: Option<Folder>) -> Starting {
        command.args(["--exact", "use_until_told", "--ignored", "--nocapture"]);
        command.env(FOLDER_VARIABLE, &folder.path).process_group(0);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Starting(Self { url: String::new(), process, output, input, _binary: binary })
    }

    pub fn leave(mut self) {
        writeln!(self.input, "LEAVE").unwrap();
        let lines: Vec<_> = self.output.by_ref().lines().map(Result::unwrap).collect();
        assert!(lines.iter().any(|line| line == "LEFT"), "{lines:?}");
        assert!(self.process.wait().unwrap().success());
    }

    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for User {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

impl Starting {
    /// Waits until it has joined; or says why it couldn't.
    pub fn ready(mut self) -> Result<User, String> {
        let mut line = String::new();
        while self.0.output.read_line(&mut line).unwrap() > 0 {
            if let Some(url) = line.trim_end().strip_prefix("URL ") {
                url.clone_into(&mut self.0.url);
                return Ok(self.0);
            }
            if let Some(error) = line.trim_end().strip_prefix("ERROR ") {
                self.0.process.wait().unwrap();
                return Err(error.to_owned());
            }
            line.clear();
        }
        panic!("the process ended early: {:?}", self.0.process.wait());
    }
}

/// The other side of [`User`].
pub fn speak_as_child() {
    let Some(folder) = env::var_os(FOLDER_VARIABLE) else {
        return;
    };
    match BuiltinPostgres::start(Path::new(&folder), Options::default()) {
        Ok(postgres) => {
            println!("\nURL {}", postgres.url("rollcall"));
            let mut order = String::new();
            io::stdin().read_line(&mut order).unwrap();
            postgres.leave().unwrap();
            println!("\nLEFT");
        }
        Err(error) => println!("\nERROR {error}"),
    }
}

/// Where the server's socket is.
pub fn sockets(url: &str) -> PathBuf {
    PathBuf::from(query(url, "SELECT current_setting('unix_socket_directories')"))
}

fn on_connection<T>(url: &str, work: impl AsyncFnOnce(&mut AsyncPgConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { work(&mut AsyncPgConnection::establish(url).await.unwrap()).await })
}

pub fn execute(url: &str, statement: &str) {
    on_connection(url, async |connection| {
        diesel::sql_query(statement).execute(connection).await.unwrap();
    });
}

/// The one value that a query gives.
pub fn query(url: &str, query: &str) -> String {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        value: String,
    }
    on_connection(url, async |connection| {
        let query = diesel::sql_query(format!("SELECT ({query})::text AS value"));
        let row: Row = query.get_result(connection).await.unwrap();
        row.value
    })
}
