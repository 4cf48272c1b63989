//! A PgBouncer of a test's own, in transaction mode, before one of the tests' databases.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{process, until};

/// The pooler; it ends with its test.
pub struct Pooler {
    child: Child,
    folder: PathBuf,
    pub url: String,
}

impl Pooler {
    /// `url` is that of one of the tests' databases; so many connections lead there.
    pub async fn start(url: &str, size: usize) -> Self {
        let program = Path::new("/usr/sbin/pgbouncer");
        assert!(program.exists(), "PgBouncer is not installed: `make pgbouncer`, or `apt-get install pgbouncer`");
        let (socket, name) = url.split_once('@').unwrap().1.rsplit_once('/').unwrap();
        let socket = socket.replace("%2F", "/");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("app_{}_pooler_{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!(
            "[databases]\n{name} = host={socket} port=5432 dbname={name} user=rollcall\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {size}\nmax_client_conn = 200\nlogfile = {}\n",
            folder.join("log").display()
        );
        let ini = folder.join("pgbouncer.ini");
        fs::write(&ini, settings).unwrap();
        let mut command = process::bound(program);
        // It doesn't run as root.
        if let Some((user, group)) = postgres_user() {
            for path in [&folder, &ini] {
                chown(path, Some(user), Some(group)).unwrap();
            }
            command = Command::new("setpriv");
            command.args([format!("--reuid={user}"), format!("--regid={group}")]);
            command.args(["--clear-groups", "--pdeathsig", "KILL", "--"]).arg(program);
        }
        let child = command.arg(&ini).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Self { child, folder, url: format!("postgres://rollcall@127.0.0.1:{port}/{name}") };
        until("the pooler takes connections", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok())
            .await;
        pooler
    }
}

/// The user who runs PostgreSQL in place of root.
fn postgres_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let fields: Vec<&str> = users.lines().find(|line| line.starts_with("postgres:"))?.split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the pooler's log\n{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
