//! `rollcall admin import`: a platform's data from a file.

use std::io::Write as _;
use std::process::{Output, Stdio};

use diesel_async::SimpleAsyncConnection as _;

use crate::bad_input::state;
use crate::support::{TestApp, Value, json, until};

/// Lines of a file.
fn lines(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("{object}\n")).collect()
}

/// Brings in a file by its name.
fn import(app: &TestApp, content: &str, options: &[&str]) -> Output {
    app.write_file("platform.ndjson", content);
    app.admin(&[&["import", "platform.ndjson"], options].concat())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The counts of a kind: created, updated, unchanged, refused.
fn counts(output: &Output, kind: &str) -> [u64; 4] {
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let row =
        report.lines().find_map(|line| line.strip_prefix(kind)).unwrap_or_else(|| panic!("{report}{}", stderr(output)));
    let numbers: Vec<u64> = row.split_whitespace().map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

fn user(number: usize) -> Value {
    json!({ "type": "user", "externalId": format!("p-{number}"), "email": format!("p{number}@example.org"),
        "name": format!("Person {number}"), "createdAt": "2020-01-02T03:04:05Z" })
}

fn lab(number: usize, owner: usize) -> Value {
    json!({ "type": "organization", "externalId": format!("lab-{number}"), "name": format!("Lab {number}"),
        "owner": { "externalId": format!("p-{owner}") } })
}

fn volume(number: usize, lab: usize, owner: usize) -> Value {
    json!({ "type": "resource", "organization": { "externalId": format!("lab-{lab}") }, "kind": "VOLUME",
        "externalId": format!("v-{number}"), "name": format!("Volume {number}"), "owner": { "externalId": format!("p-{owner}") } })
}

// R74, R87, R88: a file brings in what the mutations do, again changes nothing, and the log names who did it.
#[tokio::test]
async fn a_file_is_brought_in_and_again_changes_nothing() {
    let app = TestApp::start().await;
    let mut objects: Vec<Value> = (0..30).map(user).collect();
    objects.extend((0..5).map(|number| lab(number, number)));
    for number in 0..5 {
        let (of, person) =
            (json!({ "externalId": format!("lab-{number}") }), json!({ "externalId": format!("p-{}", number + 5) }));
        objects.push(json!({ "type": "member", "organization": of, "user": person, "role": "VIEWER", "joinedAt": "2021-01-01T00:00:00Z" }));
        objects.push(json!({ "type": "team", "organization": of, "externalId": "imaging", "name": "Imaging", "members": [person] }));
    }
    for number in 0..5 {
        let project = json!({ "external": { "kind": "PROJECT", "externalId": format!("a-{number}") } });
        let mut inside = volume(number, number, number);
        inside["container"] = project;
        let mut project = volume(number, number, number);
        project["kind"] = json!("PROJECT");
        project["externalId"] = json!(format!("a-{number}"));
        objects.extend([inside, project]);
    }
    // Empty lines don't count, and neither does the mark with which some editors begin.
    let content = format!("\u{feff}{}", lines(&objects).replacen('\n', "\n\n  \n", 1));
    let first = import(&app, &content, &[]);
    assert!(first.status.success(), "{}", stderr(&first));
    assert_eq!(counts(&first, "users"), [30, 0, 0, 0]);
    assert_eq!(counts(&first, "organizations"), [5, 0, 0, 0]);
    assert_eq!((counts(&first, "members"), counts(&first, "teams")), ([5, 0, 0, 0], [5, 0, 0, 0]));
    assert_eq!(counts(&first, "resources"), [10, 0, 0, 0]);
    let before = state(&app).await;
    let second = import(&app, &content, &[]);
    assert!(second.status.success(), "{}", stderr(&second));
    assert_eq!(counts(&second, "users"), [0, 0, 30, 0]);
    assert_eq!((counts(&second, "members"), counts(&second, "teams")), ([0, 0, 5, 0], [0, 0, 5, 0]));
    assert_eq!(counts(&second, "resources"), [0, 0, 10, 0]);
    assert_eq!(state(&app).await, before);
    // From the standard input as well.
    let mut command = app.admin_command(&["import", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let changed = json!({ "type": "organization", "externalId": "lab-0", "sector": "Health" });
    child.stdin.take().unwrap().write_all(changed.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(counts(&output, "organizations"), [0, 1, 0, 0]);
    let actors = "SELECT DISTINCT actor_kind || ' ' || (metadata ->> 'staff' LIKE 'command line (%)')::text || ' ' || \
         (metadata ? 'platformKey')::text AS value FROM audit_events";
    assert_eq!(app.database.texts(actors).await, ["staff true false"]);
    assert_eq!(app.database.number("SELECT count(*) AS value FROM team_members").await, 5);
    let via = "SELECT count(*) AS value FROM members m JOIN organizations o ON o.id = m.organization_id \
         WHERE o.external_id IS NOT NULL AND m.joined_via = 'platform'";
    assert_eq!(app.database.number(via).await, 10);
    app.until_idle().await;
    assert!(app.smtp.mails().is_empty());
    app.finish().await;
}

// R88: what can't be brought in is said by line and field, and the rest is brought in all the same.
#[tokio::test]
async fn what_is_refused_is_said_by_its_line() {
    let app = TestApp::start().await;
    app.sign_up("taken@example.org").await;
    let bad_owner =
        json!({ "type": "organization", "externalId": "lab-9", "name": "Lab", "owner": { "externalId": "p-99" } });
    let mut no_name = volume(3, 0, 0);
    no_name["name"] = Value::Null;
    let in_project = |id: &str, project: &str| {
        let mut item = volume(0, 0, 0);
        item["externalId"] = json!(id);
        item["container"] = json!({ "external": { "kind": "PROJECT", "externalId": project } });
        item
    };
    let bad_project = json!({ "type": "resource", "organization": { "externalId": "lab-0" }, "kind": "PROJECT",
        "externalId": "bad", "name": "Bad", "owner": { "externalId": "p-1" } });
    let elsewhere =
        json!({ "type": "resource", "organization": { "slug": "nowhere" }, "kind": "VOLUME", "externalId": "e" });
    let mut renamed = user(1);
    renamed["name"] = json!("Renamed");
    let content = [
        user(0).to_string(),
        json!({ "type": "user", "externalId": "p-t", "email": "taken@example.org" }).to_string(),
        user(1).to_string(),
        "{ not JSON".to_owned(),
        json!({ "type": "user", "externalId": "p-x", "mail": "x@example.org" }).to_string(),
        json!({ "type": "person", "externalId": "p-x" }).to_string(),
        // The same account again, with a change: after the line above, in the same batch.
        renamed.to_string(),
        lab(0, 0).to_string(),
        bad_owner.to_string(),
        volume(1, 0, 0).to_string(),
        no_name.to_string(),
        // The owner is no member there, and so neither the project is, nor what lies in it.
        in_project("v-in", "bad").to_string(),
        bad_project.to_string(),
        volume(2, 0, 0).to_string(),
        elsewhere.to_string(),
        elsewhere.to_string(),
        format!("{{\"type\":\"user\",\"externalId\":\"{}\"}}", "x".repeat(2_000_000)),
        user(2).to_string(),
        // What can't be stored is nobody's name.
        json!({ "type": "organization", "externalId": "lab-n", "name": "Lab", "owner": { "externalId": "a\u{0}b" } })
            .to_string(),
        in_project("v-n", "a\u{0}b").to_string(),
    ];
    let output = import(&app, &content.join("\n"), &[]);
    assert!(!output.status.success());
    let said = stderr(&output);
    for expected in [
        "line 2: email: an account has this address",
        "line 4: must be a JSON object on one line",
        "line 5: mail: is not known; there are externalId, email",
        "line 6: type: must be \"user\", \"organization\", \"member\"",
        "line 9: owner.externalId: there is no such account (NOT_FOUND)",
        "line 11: name: is needed for a new resource (BLANK)",
        "line 12: container.external: ",
        "line 13: owner.externalId: there is no such active member",
        "line 15: organization: there is no such organization",
        "line 16: organization: there is no such organization",
        "line 17: is longer than 1 MiB",
        "line 19: owner.externalId: there is no such account (NOT_FOUND)",
        "line 20: container.external: ",
        "rollcall: 13 lines were refused",
    ] {
        assert!(said.contains(expected), "{expected} is missing:\n{said}");
    }
    assert_eq!(said.lines().filter(|line| line.starts_with("line ")).count(), 13, "{said}");
    assert_eq!(counts(&output, "users"), [3, 1, 0, 1]);
    assert_eq!(counts(&output, "organizations"), [1, 0, 0, 2]);
    assert_eq!(counts(&output, "resources"), [2, 0, 0, 6]);
    assert_eq!(counts(&output, "unreadable"), [0, 0, 0, 4]);
    let names = "SELECT name AS value FROM users WHERE external_id = 'p-1'";
    assert_eq!(app.database.texts(names).await, ["Renamed"]);
    app.finish().await;
}

// R64, R88: where a quota holds for all, as many are brought in as there is room for.
#[tokio::test]
async fn a_quota_refuses_only_what_is_beyond_it() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.staff()
        .ok("setPlan", json!({ "organizationId": team.id, "plan": "small", "storageLimitBytes": "100" }), "")
        .await;
    let sized = |number: usize| {
        json!({ "type": "resource", "organization": { "id": team.id }, "kind": "VOLUME", "externalId": format!("v-{number}"),
            "name": "x", "owner": { "id": team.owner.user_id }, "sizeBytes": 15 })
    };
    let output = import(&app, &lines(&(0..10).map(sized).collect::<Vec<_>>()), &[]);
    assert!(!output.status.success());
    assert_eq!(counts(&output, "resources"), [6, 0, 0, 4]);
    assert!(stderr(&output).contains("line 7: resources: "), "{}", stderr(&output));
    assert_eq!(app.database.number("SELECT used_bytes::bigint AS value FROM organization_storage").await, 90);
    app.finish().await;
}

// R88: a dry run shows what would be refused, also among what the same file brings in, and nothing of it remains.
#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let app = TestApp::start().await;
    let mut objects = vec![user(0), user(1), lab(0, 0), volume(0, 0, 0), volume(1, 0, 1), volume(2, 0, 0), lab(1, 7)];
    objects.push(json!({ "type": "organization", "externalId": "lab-0", "sector": "Health" }));
    app.until_idle().await;
    let before = state(&app).await;
    for _ in 0..2 {
        let output = import(&app, &lines(&objects), &["--dry-run"]);
        assert!(!output.status.success());
        let said = stderr(&output);
        assert_eq!(counts(&output, "users"), [2, 0, 0, 0], "{said}");
        assert_eq!(counts(&output, "organizations"), [1, 1, 0, 1], "{said}");
        assert_eq!(counts(&output, "resources"), [2, 0, 0, 1], "{said}");
        assert!(said.contains("line 5: owner.externalId: ") && said.contains("line 7: owner.externalId: "), "{said}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("nothing was changed"));
        assert_eq!(state(&app).await, before);
    }
    // What it foretold is what happens.
    let output = import(&app, &lines(&objects), &[]);
    assert_eq!((counts(&output, "organizations"), counts(&output, "resources")), ([1, 1, 0, 1], [2, 0, 0, 1]));
    app.finish().await;
}

// R76, R88: killed in the middle, it has brought in whole batches; run again, it brings in the rest.
#[tokio::test]
async fn a_killed_import_goes_on_where_it_was() {
    let app = TestApp::start().await;
    let mut objects: Vec<Value> = (0..600).map(user).collect();
    objects.extend((0..120).map(|number| lab(number, 0)));
    app.write_file("platform.ndjson", &lines(&objects));
    // The second batch of organizations waits for one of its slugs.
    let mut blocker = app.database.connection().await;
    let hold = "BEGIN; INSERT INTO organizations (id, name, slug, created_at) VALUES (gen_random_uuid(), 'x', 'lab-110', rollcall_now())";
    blocker.batch_execute(hold).await.unwrap();
    let mut child = app.admin_command(&["import", "platform.ndjson"]).stderr(Stdio::piped()).spawn().unwrap();
    let made = "SELECT count(*) AS value FROM organizations WHERE external_id IS NOT NULL";
    until("the first batch is there", async || (app.database.number(made).await == 100).then_some(())).await;
    child.kill().unwrap();
    child.wait().unwrap();
    blocker.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(app.database.number(made).await, 100);
    let again = app.admin(&["import", "platform.ndjson", "--from-line", "601"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(counts(&again, "organizations"), [20, 0, 100, 0]);
    let all = app.admin(&["import", "platform.ndjson"]);
    assert_eq!((counts(&all, "users"), counts(&all, "organizations")), ([0, 0, 600, 0], [0, 0, 120, 0]));
    app.finish().await;
}

// R88: told to stop, it says up to which line everything is done.
#[tokio::test]
async fn an_interrupted_import_says_where_to_go_on() {
    let app = TestApp::start().await;
    let objects = [user(0), user(1), user(2), lab(0, 0), lab(1, 1)];
    app.write_file("platform.ndjson", &lines(&objects));
    let mut command = app.admin_command(&["import", "-"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The accounts are brought in once something else follows.
    stdin.write_all(lines(&objects[..4]).as_bytes()).unwrap();
    stdin.flush().unwrap();
    let made = "SELECT count(*) AS value FROM users WHERE external_id IS NOT NULL";
    until("the accounts are there", async || (app.database.number(made).await == 3).then_some(())).await;
    let signal =
        std::process::Command::new("sh").args(["-c", "kill -INT $0", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("everything up to line 3 is done: go on with --from-line 4"),
        "{}",
        stderr(&output)
    );
    let rest = app.admin(&["import", "platform.ndjson", "--from-line", "4"]);
    assert!(rest.status.success(), "{}", stderr(&rest));
    assert_eq!(counts(&rest, "organizations"), [2, 0, 0, 0]);
    // Behind the end, there is nothing to do; further on, it is a mistake.
    assert!(app.admin(&["import", "platform.ndjson", "--from-line", "6"]).status.success());
    let beyond = app.admin(&["import", "platform.ndjson", "--from-line", "7"]);
    assert!(!beyond.status.success() && stderr(&beyond).contains("the file ends at line 5"), "{}", stderr(&beyond));
    let missing = app.admin(&["import", "missing.ndjson"]);
    assert!(
        !missing.status.success() && stderr(&missing).contains("missing.ndjson can't be opened"),
        "{}",
        stderr(&missing)
    );
    app.finish().await;
}

// R88: two imports of the same file at once bring in everything once.
#[tokio::test]
async fn two_imports_at_once_bring_in_everything_once() {
    let app = TestApp::start().await;
    let mut objects: Vec<Value> = (0..700).map(user).collect();
    objects.extend((0..150).map(|number| lab(number, number)));
    objects.extend((0..400).map(|number| volume(number, number % 4, number % 4)));
    app.write_file("platform.ndjson", &lines(&objects));
    let start = || {
        let mut command = app.admin_command(&["import", "platform.ndjson"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
    for output in &both {
        assert!(output.status.success(), "{}", stderr(output));
    }
    for (kind, number) in [("users", 700), ("organizations", 150), ("resources", 400)] {
        let created: u64 = both.iter().map(|output| counts(output, kind)[0]).sum();
        assert_eq!(created, number, "{kind}");
    }
    let verified = app.admin(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    app.finish().await;
}
