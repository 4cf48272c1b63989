//! A PostgreSQL of a test's own that listens on TCP, as a deployment's does: with TLS, rules for who may connect, a
//! language.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use diesel_async::{AsyncConnection, AsyncPgConnection};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rollcall_builtin_postgres::{BuiltinPostgres, Options};

use super::{process, until};

/// A certificate authority of a test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A server's certificate with its key.
pub struct Certificate {
    pub pem: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for a host, by its alternative name.
    pub fn certificate(&self, host: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let pem = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap().pem();
        Certificate { pem, key: key.serialize_pem() }
    }

    /// Its own certificate in a file.
    pub fn write_to(&self, path: &Path) -> String {
        fs::write(path, &self.pem).unwrap();
        path.display().to_string()
    }
}

/// One as PostgreSQL's manual has it made: by itself, for a host that only its subject names.
pub fn self_signed(host: &str) -> Certificate {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    let key = KeyPair::generate().unwrap();
    Certificate { pem: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// The server; it ends with its test.
pub struct Server {
    child: Child,
    pub folder: PathBuf,
    pub port: u16,
    /// Its superuser's way, over a socket: to the database `rollcall`.
    pub url: String,
}

impl Server {
    /// Starts one with these settings (`name=value`), lines of pg_hba.conf for TCP, and variables in its environment.
    pub async fn start(name: &str, settings: &[&str], rules: &str, environment: &[(&str, &str)]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("app_{}_{name}", std::process::id()));
        let made = folder.clone();
        let make = move || BuiltinPostgres::start(&made, Options { fsync: false }).unwrap().leave().unwrap();
        tokio::task::spawn_blocking(make).await.unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = folder.join("postgres");
        let data = home.join("cluster");
        let owner = fs::metadata(&data).unwrap();
        fs::write(data.join("pg_hba.conf"), format!("local all all trust\n{rules}\n")).unwrap();
        let mut command = process::bound(&binaries().join("postgres"));
        if owner.uid() != fs::metadata("/proc/self").unwrap().uid() {
            let ids = [format!("--reuid={}", owner.uid()), format!("--regid={}", owner.gid())];
            command = Command::new("setpriv");
            command.args(ids).args(["--clear-groups", "--pdeathsig", "KILL", "--"]).arg(binaries().join("postgres"));
        }
        command.args(["-D".as_ref(), data.as_os_str()]).current_dir(&home).env("LC_ALL", "C");
        for setting in [
            "listen_addresses=127.0.0.1",
            &format!("port={port}"),
            &format!("unix_socket_directories={}", home.display()),
            "fsync=off",
        ]
        .into_iter()
        .chain(settings.iter().copied())
        {
            command.args(["-c", setting]);
        }
        let log = fs::File::create(folder.join("server.log")).unwrap();
        command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let url = format!("postgres://rollcall@{}:{port}/rollcall", home.display().to_string().replace('/', "%2F"));
        let server = Self { child: command.spawn().unwrap(), folder, port, url };
        until("the server takes connections", async || AsyncPgConnection::establish(&server.url).await.ok()).await;
        server
    }

    /// Starts one that takes only TLS, with the certificate, and a user `app` with the password `pass`.
    pub async fn with_tls(name: &str, certificate: &Certificate) -> Self {
        let rules = "hostssl all all 127.0.0.1/32 scram-sha-256";
        let server = Self::start(name, &[], rules, &[]).await;
        server.show(certificate).await;
        server.sql("ALTER SYSTEM SET ssl = on").await;
        server.sql("SELECT pg_reload_conf()").await;
        server.sql("CREATE ROLE app LOGIN PASSWORD 'pass'").await;
        server.sql("ALTER DATABASE rollcall OWNER TO app").await;
        until("it speaks TLS", async || {
            (server.texts("SELECT current_setting('ssl') AS value").await == ["on"]).then_some(())
        })
        .await;
        server
    }

    /// Shows another certificate from now on.
    pub async fn show(&self, certificate: &Certificate) {
        let data = self.folder.join("postgres/cluster");
        let owner = fs::metadata(&data).unwrap();
        for (name, content) in [("server.crt", &certificate.pem), ("server.key", &certificate.key)] {
            let path = data.join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        self.sql("SELECT pg_reload_conf()").await;
    }

    pub async fn sql(&self, sql: &str) {
        super::database::run(&self.url, sql).await;
    }

    pub async fn texts(&self, sql: &str) -> Vec<String> {
        super::database::texts(&self.url, sql).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "---- the server's log\n{}",
                fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
            );
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where PostgreSQL's programs are: on the PATH, or where Debian keeps them.
fn binaries() -> PathBuf {
    let folders = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let debian =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    folders.into_iter().chain(debian).find(|folder| folder.join("postgres").exists()).expect("PostgreSQL is installed")
}
