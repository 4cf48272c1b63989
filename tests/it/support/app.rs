//! The service as it runs in production: API and workers as processes, on a database of the test's own.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::client::{Client, text};
use super::database::Database;
use super::mail::Mail;
use super::process::{self, Process};
use super::smtp::SmtpServer;
use super::{PATIENCE, json, until};

const STAFF_TOKEN: &str = "ops-token-of-the-tests-0123456789";
const SECRET: &str = "a-secret-of-the-tests-0123456789-0123456789";

/// A folder that goes away with its test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An address of this machine that nobody listens on, nor will: of ports that the system gives to no connection, each
/// once.
fn free_address() -> SocketAddr {
    const PORTS: u32 = 12_000;
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    let mut ports =
        std::iter::repeat_with(|| 20_000 + first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)) % PORTS);
    let bind = |port| std::net::TcpListener::bind(("127.0.0.1", u16::try_from(port).ok()?)).ok()?.local_addr().ok();
    ports.by_ref().take(PORTS as usize).find_map(bind).unwrap()
}

/// Folders of test processes that were killed.
fn remove_leftovers() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        for entry in std::fs::read_dir(env!("CARGO_TARGET_TMPDIR")).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let process = name
                .strip_prefix("app_")
                .or_else(|| name.strip_prefix("chromium_"))
                .and_then(|rest| rest.split('_').next());
            if process.is_some_and(|process| !PathBuf::from("/proc").join(process).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    });
}

/// What a test wants to be different.
pub struct Builder {
    workers: usize,
    mails_as_files: bool,
    smtp_parameters: &'static str,
    own_postgres: bool,
    database: Option<Database>,
    settings: Vec<(String, String)>,
}

impl Builder {
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    pub fn without_worker(self) -> Self {
        self.workers(0)
    }

    /// No SMTP server: mails become files.
    pub fn mails_as_files(self) -> Self {
        Self { mails_as_files: true, ..self }
    }

    /// What the SMTP server's URL ends with, such as `?timeout=2`.
    pub fn smtp_parameters(self, smtp_parameters: &'static str) -> Self {
        Self { smtp_parameters, ..self }
    }

    /// A PostgreSQL of the test's own, which it may stop and start.
    pub fn own_postgres(self) -> Self {
        Self { own_postgres: true, ..self }
    }

    /// This database.
    pub fn on(self, database: Database) -> Self {
        Self { database: Some(database), ..self }
    }

    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Webhooks may lead to this machine, over plain http.
    pub fn local_webhooks(self) -> Self {
        self.setting("ROLLCALL_WEBHOOK_ALLOW_HTTP", "true").setting("ROLLCALL_WEBHOOK_ALLOW_PRIVATE", "true")
    }

    pub async fn start(self) -> TestApp {
        remove_leftovers();
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("app_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let folder = Folder(folder);
        let database = match (self.database, self.own_postgres) {
            (Some(database), _) => database,
            (None, true) => Database::with_postgres(&folder.0).await,
            (None, false) => Database::new().await,
        };
        let smtp = SmtpServer::start().await;
        // The same address from the beginning, after restarts too: links in mails stay good.
        let address = free_address();
        let mut settings = vec![
            ("DATABASE_URL".to_owned(), database.url.clone()),
            ("ROLLCALL_SECRET".to_owned(), SECRET.to_owned()),
            ("ROLLCALL_MAIL_FROM".to_owned(), "Rollcall <no-reply@rollcall.example>".to_owned()),
            ("ROLLCALL_STAFF_TOKENS".to_owned(), format!("ops={STAFF_TOKEN}")),
            ("ROLLCALL_LISTEN".to_owned(), address.to_string()),
            ("ROLLCALL_PUBLIC_URL".to_owned(), format!("http://{address}")),
        ];
        if self.mails_as_files {
            settings.push(("ROLLCALL_MAIL_DIR".to_owned(), folder.0.join("mails").display().to_string()));
        } else {
            settings.push((
                "ROLLCALL_SMTP_URL".to_owned(),
                format!("smtp://127.0.0.1:{}{}", smtp.port, self.smtp_parameters),
            ));
        }
        settings.extend(self.settings);
        let (api, url) = Process::api(&folder.0, &settings, 0).await;
        let mut app = TestApp {
            api: Some(api),
            workers: Vec::new(),
            started: 1,
            url,
            settings,
            smtp,
            read: Mutex::default(),
            database,
            folder,
        };
        for _ in 0..self.workers {
            app.start_worker();
        }
        app
    }
}

/// The service under test. Fields are dropped in this order: processes before their database.
pub struct TestApp {
    api: Option<Process>,
    workers: Vec<Process>,
    started: usize,
    /// Where the API is.
    pub url: String,
    settings: Vec<(String, String)>,
    /// Where mails go.
    pub smtp: SmtpServer,
    /// Which mails the test has read.
    read: Mutex<HashSet<usize>>,
    pub database: Database,
    folder: Folder,
}

impl TestApp {
    /// API and one worker.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> Builder {
        Builder {
            workers: 1,
            mails_as_files: false,
            smtp_parameters: "",
            own_postgres: false,
            database: None,
            settings: Vec::new(),
        }
    }

    /// A setting, or another variable of the environment, for what is started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    pub fn start_worker(&mut self) {
        self.started += 1;
        self.workers.push(Process::worker(&self.folder.0, &self.settings, self.started));
    }

    /// A worker on a host whose clock is wrong, by `+2d` say.
    pub fn start_worker_with_wrong_clock(&mut self, by: &str) {
        self.started += 1;
        let settings = [self.settings.clone(), process::wrong_clock(by)].concat();
        self.workers.push(Process::worker(&self.folder.0, &settings, self.started));
    }

    /// kill -9 for the oldest worker.
    pub fn kill_worker(&mut self) {
        self.workers.remove(0).kill();
    }

    /// How much memory the oldest worker holds, in MiB.
    pub fn worker_mib(&self) -> f64 {
        self.workers[0].resident_mib()
    }

    /// How much memory the API holds, in MiB.
    pub fn api_mib(&self) -> f64 {
        self.api.as_ref().unwrap().resident_mib()
    }

    /// The number of the API's process.
    pub fn api_pid(&self) -> String {
        self.api.as_ref().unwrap().pid()
    }

    /// What the API has logged since it was started last.
    pub fn api_log(&self) -> String {
        self.api.as_ref().unwrap().log()
    }

    /// What one of the running workers has logged.
    pub fn worker_log(&self, number: usize) -> String {
        self.workers[number].log()
    }

    /// What the running workers have logged.
    pub fn worker_logs(&self) -> String {
        self.workers.iter().map(Process::log).collect()
    }

    /// SIGTERM for every worker; each must end well.
    pub async fn stop_workers(&mut self) {
        for worker in self.workers.drain(..) {
            until("the worker is at work", async || worker.log().contains("the worker is at work").then_some(())).await;
            let status = worker.terminate().await;
            assert!(status.success(), "a worker ended with {status}");
        }
    }

    /// SIGTERM for the API, which must end well.
    pub async fn stop_api(&mut self) {
        if let Some(api) = self.api.take() {
            let status = api.terminate().await;
            assert!(status.success(), "the API ended with {status}");
        }
    }

    /// kill -9 for the API.
    pub fn kill_api(&mut self) {
        self.api.take().unwrap().kill();
    }

    pub async fn start_api(&mut self) {
        self.started += 1;
        let (api, url) = Process::api(&self.folder.0, &self.settings, self.started).await;
        assert_eq!(url, self.url);
        self.api = Some(api);
    }

    /// Staff work on the command line: `rollcall admin …`.
    pub fn admin(&self, arguments: &[&str]) -> std::process::Output {
        self.admin_command(arguments).output().unwrap()
    }

    /// A command for staff that hasn't begun.
    pub fn admin_command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = process::command(process::rollcall(), &self.folder.0, &self.settings);
        command.arg("admin").args(arguments);
        command
    }

    /// Writes a file beside the processes, which find it by its name.
    pub fn write_file(&self, name: &str, content: &str) {
        std::fs::write(self.folder.0.join(name), content).unwrap();
    }

    /// Another API process on the same database.
    pub async fn another_api(&mut self) -> String {
        self.another_api_with(Vec::new()).await
    }

    /// Another API process, on a host whose clock is wrong, by `+2d` say.
    pub async fn another_api_with_wrong_clock(&mut self, by: &str) -> String {
        self.another_api_with(process::wrong_clock(by)).await
    }

    async fn another_api_with(&mut self, environment: Vec<(String, String)>) -> String {
        self.started += 1;
        let mut settings = [self.settings.clone(), environment].concat();
        settings.push(("ROLLCALL_LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
        let (api, url) = Process::api(&self.folder.0, &settings, self.started).await;
        self.workers.push(api);
        url
    }

    /// Another API process, which finds the database elsewhere; it isn't stopped or checked with the others.
    pub async fn api_on(&mut self, database_url: &str) -> (Process, String) {
        self.started += 1;
        let mut settings = self.settings.clone();
        settings.push(("ROLLCALL_LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
        settings.push(("DATABASE_URL".to_owned(), database_url.to_owned()));
        Process::api(&self.folder.0, &settings, self.started).await
    }

    /// Lets the time pass: `25 hours`, for everything that the service decides.
    pub async fn shift_clock(&mut self, by: &str) {
        let workers = self.workers.len();
        self.stop_workers().await;
        self.stop_api().await;
        let offset = format!(
            "coalesce(nullif(current_setting('rollcall.clock_offset', true), ''), '0')::interval + interval '{by}'"
        );
        let offset = self.database.texts(&format!("SELECT ({offset})::text AS value")).await.remove(0);
        self.database
            .sql(&format!("ALTER DATABASE {} SET rollcall.clock_offset = '{offset}'", self.database.name))
            .await;
        self.start_api().await;
        for _ in 0..workers {
            self.start_worker();
        }
    }

    /// Someone without a token.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.url, None)
    }

    /// The platform's staff.
    pub fn staff(&self) -> Client {
        Client::new(&self.url, Some(STAFF_TOKEN))
    }

    /// Someone with a token.
    pub fn client(&self, token: &str) -> Client {
        Client::new(&self.url, Some(token))
    }

    /// Signs in by mail, which makes the account where there is none.
    pub async fn sign_up(&self, email: &str) -> Client {
        self.sign_in(self.anonymous(), email).await
    }

    /// Signs in by mail on the device of a client without a token.
    pub async fn sign_in(&self, anonymous: Client, email: &str) -> Client {
        anonymous.ok("requestSignIn", json!({ "email": email }), "").await;
        let mail = self.mail_about(email, "sign in").await;
        let input = json!({ "digits": { "email": email, "code": mail.digits() } });
        let payload = anonymous.ok("signIn", input, "sessionToken viewer { email user { id } }").await;
        let mut client = anonymous.with_token(&text(&payload["sessionToken"]));
        client.email = text(&payload["viewer"]["email"]);
        client.user_id = text(&payload["viewer"]["user"]["id"]);
        client
    }

    /// The next mail to an address that the test hasn't read yet; waits for it.
    pub async fn mail_to(&self, address: &str) -> Mail {
        self.mail_about(address, "").await
    }

    /// Like `mail_to`, for the next one whose subject holds a text.
    pub async fn mail_about(&self, address: &str, subject: &str) -> Mail {
        let mut arrivals = self.smtp.arrivals();
        let wait = async {
            loop {
                arrivals.borrow_and_update();
                if let Some(mail) = self.read_mail(address, subject) {
                    return mail;
                }
                arrivals.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(mail) => mail,
            Err(_) => {
                let came: Vec<_> = self.smtp.mails().into_iter().map(|mail| (mail.recipient, mail.subject)).collect();
                panic!("no mail to {address} about {subject:?}; these came: {came:?}")
            }
        }
    }

    /// The next mail to an address, if it has come.
    pub fn read_mail(&self, address: &str, subject: &str) -> Option<Mail> {
        let mails = self.smtp.mails();
        let mut read = self.read.lock().unwrap();
        let mut unread = mails.into_iter().enumerate().filter(|(number, _)| !read.contains(number));
        let (number, mail) = unread.find(|(_, mail)| mail.recipient == address && mail.subject.contains(subject))?;
        read.insert(number);
        Some(mail)
    }

    /// All mails to an address whose subjects hold a text, also those that were read.
    pub fn mails_about(&self, address: &str, subject: &str) -> Vec<Mail> {
        let is_about = |mail: &Mail| mail.recipient == address && mail.subject.contains(subject);
        self.smtp.mails().into_iter().filter(is_about).collect()
    }

    /// Jobs that wait for a worker now, run, or were given up.
    pub async fn jobs_left(&self) -> Vec<String> {
        let left = "SELECT kind || ' ' || status || coalesce(': ' || last_error, '') AS value FROM jobs \
             WHERE status IN ('running', 'given_up') OR status = 'waiting' AND run_at <= job_clock()";
        self.database.texts(left).await
    }

    /// Waits until the workers have nothing to do; what was given up fails the test.
    pub async fn until_idle(&self) {
        until("the workers are done", async || {
            let left = self.jobs_left().await;
            assert!(!left.iter().any(|job| job.contains("given_up")), "{left:?}");
            left.is_empty().then_some(())
        })
        .await;
    }

    /// The end of every test: nothing is left to do or given up, the processes are well, and what must always hold
    /// does.
    pub async fn finish(mut self) {
        if self.workers.is_empty() {
            let left = self.jobs_left().await;
            assert!(!left.iter().any(|job| job.contains("given_up")), "{left:?}");
        } else {
            self.until_idle().await;
        }
        self.check(false).await;
    }

    /// The end of a test in which something is broken on purpose.
    pub async fn finish_with_errors(mut self) {
        self.check(true).await;
    }

    /// The end of a test in which jobs are given up on purpose.
    pub async fn finish_with_given_up_jobs(mut self) {
        self.check(true).await;
    }

    async fn check(&mut self, errors_expected: bool) {
        for process in self.api.iter_mut().chain(&mut self.workers) {
            process.assert_well(errors_expected);
        }
        let verified = self.admin(&["verify"]);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}
