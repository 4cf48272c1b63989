//! Settings: the environment, or the same names in rollcall.toml. What can't be meant is refused at start, in a line
//! that names the setting and what to do.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::{TestApp, process};

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("settings-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn run(folder: &Path, program: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = process::bound(program);
    let path = std::env::var_os("PATH").unwrap();
    command
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .envs(settings.iter().copied())
        .current_dir(folder)
        .output()
        .unwrap()
}

/// What the refusal of a process says: a line, which a second one explains to nobody.
fn line(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("rollcall: ") && said.trim().lines().count() == 1, "{said}");
    assert!(output.stdout.is_empty());
    said
}

/// What `rollcall serve` says when it refuses to start in a folder with this rollcall.toml.
fn refusal(toml: &str) -> String {
    let folder = Folder::new();
    std::fs::write(folder.0.join("rollcall.toml"), toml).unwrap();
    line(run(&folder.0, process::rollcall(), &["serve"], &[]))
}

/// What a program says when it refuses to start with these settings.
fn refusal_by(program: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> String {
    line(run(&Folder::new().0, program, arguments, settings))
}

const SECRET: (&str, &str) = ("ROLLCALL_SECRET", "a-secret-of-the-tests-0123456789-0123456789");
const NOWHERE: (&str, &str) = ("DATABASE_URL", "postgres://app:hunter2@127.0.0.1:1/none");

#[test]
fn without_a_database_it_says_what_to_set() {
    assert!(refusal("").contains("set DATABASE_URL, or ROLLCALL_DATA_DIR"));
}

#[test]
fn the_file_takes_the_names_of_the_environment() {
    let refusal = refusal("DATABASE_URL = \"postgres://nobody@127.0.0.1:1/none\"\nROLLCALL_MAIL_DIR = \"mails\"\n");
    assert!(refusal.contains("ROLLCALL_SECRET is required with DATABASE_URL"), "{refusal}");
}

#[test]
fn a_setting_that_does_not_exist_is_refused_and_the_one_that_was_meant_is_named() {
    for (name, meant) in [
        ("ROLLCALL_SMPT_URL", "ROLLCALL_SMTP_URL"),
        ("ROLLCALL_DATABSE_CA", "ROLLCALL_DATABASE_CA"),
        ("ROLLCALL_PREVIOUS_SECRETS", "ROLLCALL_PREVIOUS_SECRET"),
        ("rollcall_public_ulr", "ROLLCALL_PUBLIC_URL"),
        ("ROLLCALL_DATABASE_URL", "DATABASE_URL"),
    ] {
        let said = refusal(&format!("{name} = \"x\"\n"));
        assert!(said.contains(&format!("rollcall.toml: there is no setting {name} (is {meant} meant?)")), "{said}");
        let said = refusal_by(process::rollcall(), &["serve"], &[(name, "x")]);
        assert!(
            said.contains(&format!("there is no setting {name} (is {meant} meant?): rename or unset it")),
            "{said}"
        );
    }
    let said = refusal_by(process::rollcall(), &["serve"], &[("ROLLCALL_PORT", "8080")]);
    assert!(
        said.contains("there is no setting ROLLCALL_PORT (README lists those there are): rename or unset it"),
        "{said}"
    );
    // What Kubernetes sets for a Service that is called rollcall is nobody's mistake.
    let links = [
        ("ROLLCALL_PORT", "tcp://10.0.0.1:8080"),
        ("ROLLCALL_SERVICE_HOST", "10.0.0.1"),
        ("ROLLCALL_SERVICE_PORT_HTTP", "8080"),
        ("ROLLCALL_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    let said = refusal_by(process::rollcall(), &["serve"], &links);
    assert!(said.contains("set DATABASE_URL"), "{said}");
}

#[test]
fn a_value_that_is_not_allowed_is_refused_and_what_is_allowed_is_said() {
    for (name, value, allowed) in [
        ("ROLLCALL_LISTEN", "8080", "ROLLCALL_LISTEN must be an address and a port such as 127.0.0.1:8080"),
        ("ROLLCALL_METRICS_LISTEN", "here", "ROLLCALL_METRICS_LISTEN must be an address and a port"),
        ("ROLLCALL_ONE_ORGANIZATION_PER_USER", "maybe", "must be true or false"),
        ("ROLLCALL_ORGANIZATION_CREATION", "nobody", "must be anyone or staff"),
        ("ROLLCALL_INVITATIONS_PER_DAY", "-1", "must be a whole number from 0"),
        ("ROLLCALL_LOG", "JSON5", "ROLLCALL_LOG must be text or json"),
        ("RUST_LOG", "inof", "RUST_LOG must be a level (error, warn, info, debug, trace or off)"),
        ("RUST_LOG", "info,rollcall_jobs=loud", "RUST_LOG must be a level"),
        ("ROLLCALL_SECRET", "short", "ROLLCALL_SECRET must have at least 32 characters"),
        ("ROLLCALL_PREVIOUS_SECRET", "short", "ROLLCALL_PREVIOUS_SECRET must have at least 32 characters"),
        ("ROLLCALL_SECRET", "                                    ", "set DATABASE_URL"),
        ("ROLLCALL_STAFF_TOKENS", "ops=short", "each must be name=token"),
        ("ROLLCALL_MAIL_FROM", "nobody at all", "ROLLCALL_MAIL_FROM must be a sender such as"),
        ("ROLLCALL_DIRECT_DATABASE_URL", "postgres://db/x", "ROLLCALL_DIRECT_DATABASE_URL belongs to DATABASE_URL"),
        ("ROLLCALL_DATABASE_CA", "/ca.pem", "ROLLCALL_DATABASE_CA belongs to DATABASE_URL"),
    ] {
        let said = refusal_by(process::rollcall(), &["serve"], &[(name, value)]);
        assert!(said.contains(allowed), "{name}={value}: {said}");
        // The file is read in the same way.
        let said = refusal(&format!("{name} = \"{value}\"\n"));
        assert!(said.contains(allowed), "{name}={value}: {said}");
    }
}

#[test]
fn a_proxy_that_is_no_address_is_refused() {
    for wrong in ["proxy.example", "10.0.0.0/33", "10.0.0.1 10.0.0.2", "10.0.0.1,nobody"] {
        let refusal = refusal(&format!("ROLLCALL_TRUSTED_PROXIES = \"{wrong}\"\n"));
        assert!(refusal.contains("ROLLCALL_TRUSTED_PROXIES: ") && refusal.contains("10.0.0.0/8"), "{refusal}");
    }
}

#[test]
fn an_origin_that_is_none_is_refused() {
    for (wrong, right) in [
        ("https://app.example.org/", "write https://app.example.org"),
        ("https://app.example.org/app", "write https://app.example.org"),
        ("https://app.example.org?x", "write https://app.example.org"),
        ("https://user@app.example.org", "write https://app.example.org"),
        ("*", "has a wildcard"),
        ("https://*.example.org", "has a wildcard"),
        ("https://good.example, null", "such as https://app.example.org"),
        ("app.example.org", "such as https://app.example.org"),
        ("localhost:5173", "such as https://app.example.org or http://localhost:5173"),
        ("file:///tmp", "is neither http:// nor https://"),
        ("https://", "such as https://app.example.org"),
    ] {
        let refusal = refusal(&format!("ROLLCALL_ALLOWED_ORIGINS = \"{wrong}\"\n"));
        assert!(refusal.contains("ROLLCALL_ALLOWED_ORIGINS: ") && refusal.contains(right), "{wrong}: {refusal}");
        assert_eq!(refusal.trim().lines().count(), 1, "{refusal}");
    }
}

// A worker that writes mails into its own folder, and calls them sent, is nobody's wish; the API says so too.
#[test]
fn mails_that_nobody_would_get_are_refused() {
    let worker = process::worker();
    let smtp = ("ROLLCALL_SMTP_URL", "smtp://mail.example:25");
    let sender = ("ROLLCALL_MAIL_FROM", "Rollcall <rollcall@example.org>");
    let url = ("ROLLCALL_PUBLIC_URL", "https://rollcall.example");
    for (settings, wanted) in [
        (vec![], "ROLLCALL_SMTP_URL is required with DATABASE_URL"),
        (vec![], "name a folder in ROLLCALL_MAIL_DIR"),
        (vec![smtp, sender], "ROLLCALL_PUBLIC_URL is required with ROLLCALL_SMTP_URL"),
        (vec![smtp, url], "ROLLCALL_MAIL_FROM is required with ROLLCALL_SMTP_URL"),
        (vec![smtp, url, sender, ("ROLLCALL_MAIL_DIR", "mails")], "unset one of them"),
        (vec![("ROLLCALL_DATA_DIR", "data")], "ROLLCALL_DATA_DIR is the folder of the built-in PostgreSQL"),
        (vec![("ROLLCALL_SMTP_URL", "http://mail.example"), url, sender], "must begin with smtp:// or smtps://"),
        (
            vec![("ROLLCALL_SMTP_URL", "smtp://u:hunter2@mail.example"), url, sender],
            "set tls=required or, where that is meant, tls=none",
        ),
        (vec![("ROLLCALL_SMTP_URL", "smtp://u:hunter2@mail.example?tls=opportunistic"), url, sender], "in plain"),
        (vec![("ROLLCALL_SMTP_URL", "smtp://u@mail.example?tls=required"), url, sender], "a user and no password"),
        (
            vec![("ROLLCALL_SMTP_URL", "smtp://mail.example?tls=yes"), url, sender],
            "tls must be required, opportunistic or none",
        ),
    ] {
        let settings = [vec![NOWHERE, SECRET], settings].concat();
        for (program, arguments) in [(process::rollcall(), &["serve"][..]), (&worker, &[])] {
            let said = refusal_by(program, arguments, &settings);
            assert!(said.contains(wanted) && !said.contains("hunter2"), "{settings:?}: {said}");
        }
    }
    // With what is meant, the next thing that is wrong is the database that isn't there.
    for mails in [
        vec![("ROLLCALL_SMTP_URL", "smtp://u:p@mail.example?tls=none"), url, sender],
        vec![("ROLLCALL_SMTP_URL", "smtps://u:p@mail.example"), url, sender],
        vec![("ROLLCALL_MAIL_DIR", "mails")],
    ] {
        let settings = [vec![NOWHERE, SECRET], mails].concat();
        let said = refusal_by(&worker, &[], &settings);
        assert!(said.contains("DATABASE_URL: can't connect to 127.0.0.1:1") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_support_address_that_is_none_is_refused() {
    for wrong in ["support", "Support <support@example.org>", "a@b@c"] {
        let refusal = refusal(&format!("ROLLCALL_SUPPORT_EMAIL = \"{wrong}\"\n"));
        assert!(refusal.contains("ROLLCALL_SUPPORT_EMAIL: ") && refusal.contains("support@example.org"), "{refusal}");
    }
}

// R92: issuers are a list, or a table for each; what nobody could trust is refused by its name.
#[test]
fn issuers_that_cannot_be_trusted_are_refused() {
    let issuer = |url: &str, more: &str| {
        format!("[[issuer]]\nissuer = \"{url}\"\nname = \"Example\"\naudience = \"rollcall\"\n{more}")
    };
    let https = issuer("https://id.example.org", "");
    for (toml, named) in [
        ("ROLLCALL_ISSUERS = 'https://id.example.org'\n".to_owned(), "must be a list of issuers"),
        (issuer("http://id.example.org", ""), "http://id.example.org"),
        (issuer("https://id.example.org?x", ""), "https://id.example.org?x"),
        (format!("{https}{https}"), "named twice"),
        (issuer("https://id.example.org", "audiences = 1\n"), "audiences"),
        (
            "[[issuer]]\nissuer = \"https://id.example.org\"\nname = \"Example\"\naudience = \" \"\n".to_owned(),
            "audience",
        ),
        ("[[issuer]]\nissuer = \"https://id.example.org\"\n".to_owned(), "name"),
    ] {
        let refusal = refusal(&toml);
        assert!(refusal.contains("ROLLCALL_ISSUERS") && refusal.contains(named), "{refusal}");
    }
}

// R70: rates are JSON, or a table; what no rate can be is refused by its name.
#[test]
fn rates_that_are_none_are_refused() {
    for (toml, named) in [
        ("ROLLCALL_CREDIT_RATES = '{\"cpu_hour\": \"-1\"}'\n", "cpu_hour"),
        ("ROLLCALL_CREDIT_RATES = 'cheap'\n", "cpu_hour"),
        ("[ROLLCALL_CREDIT_RATES]\ncpu_hours = 0.1\n", "cpu_hours"),
        ("[ROLLCALL_CREDIT_RATES.network_gb]\neu = \"free\"\n", "network_gb.eu"),
    ] {
        let refusal = refusal(toml);
        assert!(refusal.contains("ROLLCALL_CREDIT_RATES") && refusal.contains(named), "{refusal}");
    }
    let refusal = refusal("ROLLCALL_UPGRADE_URL = \"plans\"\n");
    assert!(refusal.contains("ROLLCALL_UPGRADE_URL") && refusal.contains("https://example.org/plans"), "{refusal}");
}

#[test]
fn a_way_to_the_database_that_can_not_be_meant_is_refused() {
    let files = ("ROLLCALL_MAIL_DIR", "mails");
    for (settings, wanted) in [
        (
            vec![("DATABASE_URL", "postgres://app:hunter2@db/x?sslmode=always")],
            "DATABASE_URL: sslmode must be one of disable",
        ),
        (
            vec![("DATABASE_URL", "postgres://app:hunter2@db/x?schema=public")],
            "there is no parameter schema; it may have sslmode",
        ),
        (vec![NOWHERE, ("ROLLCALL_DIRECT_DATABASE_URL", "db:5432")], "ROLLCALL_DIRECT_DATABASE_URL: must be a URL"),
        (vec![NOWHERE, ("ROLLCALL_DATABASE_CA", "Cargo.toml")], "add sslmode=verify-full"),
        (vec![NOWHERE, ("ROLLCALL_POOLER_PREPARED_STATEMENTS", "true")], "set that too"),
        (
            vec![
                ("DATABASE_URL", "postgres://app:hunter2@db/x?sslmode=verify-full"),
                ("ROLLCALL_DATABASE_CA", "none.pem"),
            ],
            "the CA file none.pem of ROLLCALL_DATABASE_CA can't be read",
        ),
    ] {
        let settings = [vec![SECRET, files], settings].concat();
        let said = refusal_by(process::rollcall(), &["serve"], &settings);
        assert!(said.contains(wanted) && !said.contains("hunter2"), "{settings:?}: {said}");
    }
}

// The database knows by which secret it was used: another one would lose codes, links and webhooks' secrets.
#[tokio::test]
async fn another_secret_than_the_databases_is_refused() {
    let mut app = TestApp::builder().without_worker().start().await;
    let with = |secret: &str, previous: &str| {
        let settings = [
            ("DATABASE_URL", app.database.url.as_str()),
            ("ROLLCALL_SECRET", secret),
            ("ROLLCALL_PREVIOUS_SECRET", previous),
        ];
        run(&Folder::new().0, process::rollcall(), &["admin", "verify"], &settings)
    };
    let (old, new) = (SECRET.1, "another-secret-of-the-tests-0123456789-01234");
    // White space around it is no part of it: files end with a line break.
    assert!(with(&format!(" {old}\n"), "").status.success());
    for (secret, previous) in [(new, ""), (new, "a-third-secret-of-the-tests-0123456789-0123")] {
        let said = line(with(secret, previous));
        assert!(said.contains("ROLLCALL_SECRET isn't the one that this database was used with"), "{said}");
        assert!(said.contains("ROLLCALL_PREVIOUS_SECRET") && !said.contains(new), "{said}");
    }
    // Changed with the previous one named, it is the database's from then on, and the old one no longer.
    assert!(with(new, &format!("{old}\n")).status.success());
    assert!(with(new, "").status.success());
    assert!(line(with(old, "")).contains("isn't the one"));
    assert!(with(old, new).status.success());
    assert!(line(with(old, old)).contains("ROLLCALL_PREVIOUS_SECRET is the same as ROLLCALL_SECRET"));
    app.stop_api().await;
    app.start_api().await;
    app.finish().await;
}

// A way around the pooler that leads to another database is found at start, and not by jobs that nobody runs.
#[tokio::test]
async fn a_direct_way_to_another_database_is_refused() {
    let app = TestApp::builder().without_worker().start().await;
    let (server, _) = app.database.url.rsplit_once('/').unwrap();
    let elsewhere = format!("{server}/postgres");
    let settings = [
        ("DATABASE_URL", app.database.url.as_str()),
        ("ROLLCALL_DIRECT_DATABASE_URL", &elsewhere),
        ("ROLLCALL_MAIL_DIR", "mails"),
        SECRET,
    ];
    let said = refusal_by(&process::worker(), &[], &settings);
    assert!(said.contains("DATABASE_URL and ROLLCALL_DIRECT_DATABASE_URL lead to different databases"), "{said}");
    app.finish().await;
}

// `rollcall admin` works on what `rollcall` has made in ./data, and makes nothing by itself.
#[tokio::test]
async fn staff_work_uses_the_data_folder_that_is_there() {
    let folder = Folder::new();
    let said = line(run(&folder.0, process::rollcall(), &["admin", "verify"], &[]));
    assert!(said.contains("set DATABASE_URL, or ROLLCALL_DATA_DIR"), "{said}");
    assert!(!folder.0.join("data").exists());
    let made = run(&folder.0, process::rollcall(), &["admin", "verify"], &[("ROLLCALL_DATA_DIR", "data")]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let arguments = ["admin", "create-organization", "--name", "Acme", "--owner-email", "ada@example.org"];
    let founded = run(&folder.0, process::rollcall(), &arguments, &[]);
    assert!(founded.status.success(), "{}", String::from_utf8_lossy(&founded.stderr));
    assert!(String::from_utf8_lossy(&founded.stdout).starts_with("org_"));
}
