//! The ways to PostgreSQL: TLS, a pooler in transaction mode, a server that speaks another language.

use std::process::Output;

use diesel_async::SimpleAsyncConnection;

use crate::support::database::Database;
use crate::support::pooler::Pooler;
use crate::support::server::{Authority, Server, self_signed};
use crate::support::{Client, TestApp, json, process, until};

const SECRET: &str = "a-secret-of-the-tests-0123456789-0123456789";

/// A command of `rollcall` with these settings.
fn rollcall(server: &Server, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut all = vec![("ROLLCALL_SECRET".to_owned(), SECRET.to_owned())];
    all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    process::command(process::rollcall(), &server.folder, &all).args(arguments).output().unwrap()
}

/// What it says when it can't connect.
fn refusal(server: &Server, settings: &[(&str, &str)]) -> String {
    let output = rollcall(server, &["migrate"], settings);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    assert!(!said.contains("pass@") && !said.contains(":pass"), "{said}");
    said
}

fn connects(server: &Server, settings: &[(&str, &str)]) {
    let output = rollcall(server, &["migrate"], settings);
    assert!(output.status.success(), "{settings:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Founds an organization, brings somebody in by mail and somebody by code, and removes one of them.
async fn live(app: &TestApp) -> Client {
    let team = app.team().await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    grace.create(&team.id, "PROJECT", "Compiler").await;
    let input = json!({ "organizationId": team.id, "count": 2 });
    let codes = team.owner.ok("createJoinCodes", input, "codes { code }").await;
    let alan = app.sign_up("alan@example.org").await;
    alan.ok("redeemJoinCode", json!({ "code": codes["codes"][0]["code"] }), "member { role }").await;
    let members = "query($id: ID!) { organization(by: { id: $id }) { members(search: \"grace\") { nodes { id } } } }";
    let members = team.owner.query(members, json!({ "id": team.id })).await;
    let grace_id = &members["organization"]["members"]["nodes"][0]["id"];
    let departure = team.owner.ok("removeMember", json!({ "memberId": grace_id }), "departure { id }").await;
    app.completed(&team, departure["departure"]["id"].as_str().unwrap()).await;
    assert!(!grace.belongs_to(&team.id).await);
    app.until_idle().await;
    team.owner
}

/// Who waits for a lock.
const WAITING: &str = "SELECT count(*) AS value FROM pg_stat_activity \
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'";

/// A change that waits for too long for another one is refused.
async fn is_put_off_by_a_lock(app: &TestApp, owner: &Client) {
    let memberships = owner.query("{ viewer { memberships { nodes { organization { id } } } } }", json!({})).await;
    let id = &memberships["viewer"]["memberships"]["nodes"][0]["organization"]["id"];
    let mut holder = app.database.connection().await;
    holder.batch_execute("BEGIN; SELECT FROM organizations FOR UPDATE").await.unwrap();
    let refused = owner.refused("updateOrganization", json!({ "id": id, "name": "Another" })).await;
    assert_eq!(refused.is().0, "CONFLICT");
    holder.batch_execute("ROLLBACK").await.unwrap();
}

/// A request that is given up takes its statement along; readiness is asked for meanwhile.
async fn is_cancelled(app: &TestApp, person: &Client) {
    assert_eq!(app.health("ready").await, 200);
    let mut holder = app.database.connection().await;
    holder.batch_execute("BEGIN; LOCK TABLE users, sessions").await.unwrap();
    {
        let request = person.run("{ viewer { email } }", json!({}));
        let waits = until("the request waits", async || (app.database.number(WAITING).await > 0).then_some(()));
        tokio::select! {
            answer = request => panic!("it doesn't wait: {}", answer.body),
            () = waits => {}
        }
    }
    until("its statement is cancelled", async || (app.database.number(WAITING).await == 0).then_some(())).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    person.query("{ viewer { email } }", json!({})).await;
}

// A server that takes only TLS: API, worker, listener, migrations, cancelling, readiness and staff work.
#[tokio::test]
async fn everything_goes_over_tls() {
    let authority = Authority::new("the authority");
    let server = Server::with_tls("tls", &authority.certificate("localhost")).await;
    let ca = authority.write_to(&server.folder.join("ca.pem"));
    let url =
        format!("postgres://app:pass@localhost:{}/rollcall?sslmode=verify-full&channel_binding=require", server.port);
    connects(&server, &[("DATABASE_URL", &url), ("ROLLCALL_DATABASE_CA", &ca)]);
    let app = TestApp::builder()
        .on(Database::of(&server.url))
        .setting("DATABASE_URL", &url)
        .setting("ROLLCALL_DATABASE_CA", &ca)
        .start()
        .await;
    let person = live(&app).await;
    is_cancelled(&app, &person).await;
    let connections = "SELECT (CASE WHEN ssl THEN 'tls' ELSE 'plain' END) || ' ' || \
         CASE WHEN application_name LIKE 'apalis%' THEN application_name ELSE 'pool' END AS value \
         FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app'";
    let connections = server.texts(connections).await;
    assert!(connections.iter().all(|connection| connection.starts_with("tls ")), "{connections:?}");
    for wanted in ["tls pool", "tls apalis-diesel listen", "tls apalis-diesel heartbeat"] {
        assert!(connections.iter().any(|connection| connection == wanted), "{connections:?}");
    }
    app.finish().await;
}

// Each sslmode is what it is with libpq.
#[tokio::test]
async fn each_sslmode_takes_the_servers_that_it_should() {
    let (authority, stranger) = (Authority::new("the authority"), Authority::new("a stranger"));
    let server = Server::with_tls("sslmode", &authority.certificate("localhost")).await;
    let ca = authority.write_to(&server.folder.join("ca.pem"));
    let other = stranger.write_to(&server.folder.join("other.pem"));
    let url = |host: &str, parameters: &str| format!("postgres://app:pass@{host}:{}/rollcall{parameters}", server.port);

    // Encrypted, whoever it is; the default asks for TLS and gets it.
    for parameters in ["", "?sslmode=prefer", "?sslmode=require", "?sslmode=require&channel_binding=require"] {
        connects(&server, &[("DATABASE_URL", &url("127.0.0.1", parameters))]);
    }
    let plain = refusal(&server, &[("DATABASE_URL", &url("127.0.0.1", "?sslmode=disable"))]);
    for part in ["DATABASE_URL: can't connect to 127.0.0.1:", "28000: no pg_hba.conf entry", "set sslmode=require"] {
        assert!(plain.contains(part), "{plain}");
    }

    // The certificate's origin.
    for (host, parameters) in
        [("localhost", "?sslmode=verify-ca"), ("127.0.0.1", "?sslmode=verify-ca"), ("127.0.0.1", "?sslmode=require")]
    {
        connects(&server, &[("DATABASE_URL", &url(host, parameters)), ("ROLLCALL_DATABASE_CA", &ca)]);
        let unknown = refusal(&server, &[("DATABASE_URL", &url(host, parameters)), ("ROLLCALL_DATABASE_CA", &other)]);
        assert!(unknown.contains("UnknownIssuer") && unknown.contains("in ROLLCALL_DATABASE_CA"), "{unknown}");
    }
    connects(&server, &[("DATABASE_URL", &url("127.0.0.1", &format!("?sslmode=verify-ca&sslrootcert={ca}")))]);

    // The host's name too: by the given CA beside the system's certificates, by a file alone, by the system's.
    let full = url("localhost", "?sslmode=verify-full");
    connects(&server, &[("DATABASE_URL", &full), ("ROLLCALL_DATABASE_CA", &ca)]);
    connects(&server, &[("DATABASE_URL", &format!("{full}&sslrootcert={ca}"))]);
    for settings in [
        [("DATABASE_URL", full.as_str()), ("SSL_CERT_FILE", &ca)],
        [("DATABASE_URL", &format!("{full}&sslrootcert=system")), ("SSL_CERT_FILE", &ca)],
    ] {
        connects(&server, &settings);
    }
    let unknown = refusal(&server, &[("DATABASE_URL", &full), ("SSL_CERT_FILE", &other)]);
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let misnamed = url("127.0.0.1", "?sslmode=verify-full");
    let misnamed = refusal(&server, &[("DATABASE_URL", &misnamed), ("ROLLCALL_DATABASE_CA", &ca)]);
    assert!(misnamed.contains("not valid for name \"127.0.0.1\"") && misnamed.contains("localhost"), "{misnamed}");

    // As PostgreSQL's manual makes one.
    let own = self_signed("localhost");
    let own_file = server.folder.join("own.pem").display().to_string();
    std::fs::write(&own_file, &own.pem).unwrap();
    server.show(&own).await;
    until("the server shows its new certificate", async || {
        let output = rollcall(&server, &["migrate"], &[("DATABASE_URL", &full), ("ROLLCALL_DATABASE_CA", &own_file)]);
        output.status.success().then_some(())
    })
    .await;
    let misnamed = url("127.0.0.1", "?sslmode=verify-full");
    refusal(&server, &[("DATABASE_URL", &misnamed), ("ROLLCALL_DATABASE_CA", &own_file)]);
    refusal(&server, &[("DATABASE_URL", &full), ("ROLLCALL_DATABASE_CA", &ca)]);

    // A wrong password, and a server that has no TLS.
    let wrong = url("localhost", "?sslmode=require").replace(":pass@", ":wrong-pw@");
    let wrong = refusal(&server, &[("DATABASE_URL", &wrong)]);
    assert!(wrong.contains("28P01: password authentication failed") && !wrong.contains("wrong-pw"), "{wrong}");
    server.sql("ALTER SYSTEM SET ssl = off").await;
    server.sql("SELECT pg_reload_conf()").await;
    let offered = until("TLS is off", async || {
        let output = rollcall(&server, &["migrate"], &[("DATABASE_URL", &url("localhost", "?sslmode=require"))]);
        let said = String::from_utf8(output.stderr).unwrap();
        said.contains("the server offers no TLS").then_some(said)
    })
    .await;
    assert!(offered.contains("sslmode=disable"), "{offered}");
}

// What can't be meant is refused before anything is tried.
#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_reason() {
    let server = Server::start("gone", &[], "", &[]).await;
    let gone = refusal(&server, &[("DATABASE_URL", "postgres://app:pass@127.0.0.1:1/rollcall")]);
    assert!(gone.contains("DATABASE_URL: can't connect to 127.0.0.1:1 (database rollcall as app)"), "{gone}");
    assert!(gone.contains("Connection refused"), "{gone}");
    let nowhere = refusal(&server, &[("DATABASE_URL", "postgres://app:pass@db.invalid/rollcall")]);
    assert!(nowhere.contains("db.invalid:5432"), "{nowhere}");
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").await;
    let latin = refusal(&server, &[("DATABASE_URL", &format!("{}/latin", server.url.rsplit_once('/').unwrap().0))]);
    assert!(latin.contains("encoding LATIN1") && latin.contains("ENCODING 'UTF8'"), "{latin}");
}

// PgBouncer in transaction mode, of a version that knows nothing of prepared statements.
#[tokio::test]
async fn everything_works_through_a_pooler() {
    let database = Database::new().await;
    let (direct, pooler) = (database.url.clone(), Pooler::start(&database.url, 4).await);
    let app = TestApp::builder()
        .on(database)
        .setting("DATABASE_URL", &pooler.url)
        .setting("ROLLCALL_DIRECT_DATABASE_URL", &direct)
        .start()
        .await;
    let person = live(&app).await;
    // Many at once, so that each of them is on one connection after another.
    for _ in 0..5 {
        let document = "{ viewer { email memberships { nodes { organization { name } role } } } }";
        let asked = (0..30).map(|_| person.query(document, json!({})));
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(answer["viewer"]["email"], "owner@example.org");
        }
    }
    let founded = (0..20).map(|number| {
        let person = &person;
        async move { person.found(&format!("Organization {number}")).await }
    });
    assert_eq!(futures_util::future::join_all(founded).await.len(), 20);
    is_cancelled(&app, &person).await;
    let run = |program: &std::path::Path, arguments: &[&str], settings: &[(&str, &str)]| {
        let secret = ("ROLLCALL_SECRET", "a-secret-of-the-tests-0123456789-0123456789");
        let settings = settings.iter().chain([&secret, &("ROLLCALL_MAIL_DIR", "/tmp")]);
        let settings: Vec<_> = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        process::command(program, std::path::Path::new("/"), &settings).args(arguments).output().unwrap()
    };
    let pooled = ("DATABASE_URL", pooler.url.as_str());
    let migrated = run(process::rollcall(), &["migrate"], &[pooled, ("ROLLCALL_DIRECT_DATABASE_URL", &direct)]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    // Ways that lead elsewhere than they should are refused by whoever would go them.
    let other = Database::new().await;
    let keeps = ("ROLLCALL_POOLER_PREPARED_STATEMENTS", "true");
    let worker = process::worker();
    let (serve, migrate, work): (&[&str], &[&str], &[&str]) = (&["serve"], &["migrate"], &[]);
    for (program, arguments, settings, wanted) in [
        (process::rollcall(), serve, vec![pooled], "DATABASE_URL leads to a pooler"),
        (process::rollcall(), migrate, vec![pooled], "DATABASE_URL leads to a pooler"),
        (&worker, work, vec![pooled], "DATABASE_URL leads to a pooler"),
        (
            process::rollcall(),
            migrate,
            vec![pooled, ("ROLLCALL_DIRECT_DATABASE_URL", &pooler.url)],
            "ROLLCALL_DIRECT_DATABASE_URL leads to a pooler",
        ),
        (
            &worker,
            work,
            vec![pooled, ("ROLLCALL_DIRECT_DATABASE_URL", &pooler.url)],
            "ROLLCALL_DIRECT_DATABASE_URL leads to a pooler",
        ),
        (
            &worker,
            work,
            vec![pooled, ("ROLLCALL_DIRECT_DATABASE_URL", &other.url)],
            "DATABASE_URL and ROLLCALL_DIRECT_DATABASE_URL lead to different databases",
        ),
        (
            process::rollcall(),
            serve,
            vec![pooled, ("ROLLCALL_DIRECT_DATABASE_URL", &direct), keeps],
            "unset ROLLCALL_POOLER_PREPARED_STATEMENTS",
        ),
    ] {
        let refused = run(program, arguments, &settings);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(wanted), "{settings:?}: {said}");
    }
    drop(other);
    is_put_off_by_a_lock(&app, &person).await;
    app.finish().await;
}

// A server that speaks German: what happens is told by codes, not by words.
#[tokio::test]
async fn a_server_may_speak_another_language() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("locales");
    std::fs::create_dir_all(&folder).unwrap();
    let made = std::process::Command::new("localedef")
        .args(["-i", "de_DE", "-f", "UTF-8"])
        .arg(folder.join("de_DE.UTF-8"))
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "the sources of locales are missing: `make locales`, or `apt-get install locales`"
    );
    let server = Server::start("german", &[], "", &[("LOCPATH", folder.to_str().unwrap())]).await;
    server.sql("ALTER SYSTEM SET lc_messages = 'de_DE.UTF-8'").await;
    server.sql("SELECT pg_reload_conf()").await;
    connects(&server, &[("DATABASE_URL", &server.url)]);
    let app = TestApp::builder().on(Database::of(&server.url)).start().await;
    until("it speaks German", async || {
        app.database.refusal("SELECT 1 / 0").await.contains("Division durch Null").then_some(())
    })
    .await;
    let team = app.team().await;
    let owner = &team.owner;
    app.join(&team, "grace@example.org", "MEMBER").await;
    app.until_idle().await;

    // A deadlock is the API's, which has waited longer; it does its work again.
    let deadlocks = "SELECT deadlocks AS value FROM pg_stat_database WHERE datname = current_database()";
    let members = "query($id: ID!) { organization(by: { id: $id }) { members(search: \"grace\") { nodes { id } } } }";
    let members = owner.query(members, json!({ "id": team.id })).await;
    let grace = &members["organization"]["members"]["nodes"][0]["id"];
    let mut holder = app.database.connection().await;
    holder.batch_execute("BEGIN; SELECT FROM members FOR UPDATE").await.unwrap();
    let change = owner.ok("changeMemberRole", json!({ "memberId": grace, "role": "ADMIN" }), "member { role }");
    let crossing = async {
        until("it waits", async || (app.database.number(WAITING).await > 0).then_some(())).await;
        holder.batch_execute("SELECT FROM organizations FOR UPDATE; COMMIT").await.unwrap();
    };
    let (changed, ()) = tokio::join!(change, crossing);
    assert_eq!(changed["member"]["role"], "ADMIN");
    until("it was a deadlock", async || (app.database.number(deadlocks).await == 1).then_some(())).await;

    is_put_off_by_a_lock(&app, owner).await;

    // A server that ends a connection, and a statement that takes too long.
    let ask = || owner.run("{ viewer { email } }", json!({}));
    for end in ["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", ""] {
        holder.batch_execute("BEGIN; LOCK TABLE users, sessions").await.unwrap();
        let ending = async {
            until("it waits", async || (app.database.number(WAITING).await > 0).then_some(())).await;
            app.database.sql(end).await;
        };
        let (answer, ()) = tokio::join!(ask(), ending);
        holder.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!((answer.status, answer.error_code().as_str()), (503, "UNAVAILABLE"), "{}", answer.body);
    }

    // What can't be stored is found nowhere.
    let unstorable = "{ organization(by: { slug: \"a\\u0000b\" }) { id } }";
    assert!(owner.query(unstorable, json!({})).await["organization"].is_null());
    app.finish().await;
}
