//! What operators see and do: metrics, ids in the logs, jobs by hand; and what they needn't do after a crash.

use std::collections::BTreeMap;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::client::{document, text};
use crate::support::proxy::{Hold, Proxy};
use crate::support::{Client, PATIENCE, Reply, TestApp, Value, json, scrape, until};

#[tokio::test]
async fn metrics_move_with_what_happens() {
    let mut app = TestApp::builder().setting("ROLLCALL_METRICS_LISTEN", "127.0.0.1:0").start().await;
    let team = app.team().await;
    app.until_idle().await;
    let before = scrape(&app.api_log()).await;
    let posts = [("method", "POST"), ("route", "/graphql"), ("status", "200")];
    let of_type = |kind: &'static str, outcome: &'static str| [("type", kind), ("outcome", outcome)];
    assert_eq!(before.get("rollcall_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert!(before.get("process_start_time_seconds", &[]) > 1.7e9);
    assert_eq!(before.get("rollcall_database_up", &[]), 1.0);
    assert!(before.get("rollcall_database_pool_connections", &[]) >= 1.0);
    assert_eq!(before.get("rollcall_database_pool_connections_limit", &[]), 16.0);
    assert_eq!(before.get("rollcall_database_pool_waiting", &[]), 0.0);
    assert_eq!(before.get("rollcall_http_requests_in_flight", &[]), 0.0);

    team.owner.query("{ viewer { email } }", json!({})).await;
    team.owner.refused("createResource", json!({ "organizationId": team.id, "kind": "PROJECT", "name": " " })).await;
    assert_eq!(team.owner.run("{ nothing }", json!({})).await.error_code(), "BAD_REQUEST");
    // Paths and methods are the client's: neither becomes a label.
    let paths = ["/sign-in/a-token-of-somebody", "/no/such/place"];
    for path in paths {
        reqwest::get(format!("{}{path}", app.url)).await.unwrap();
    }
    let made_up = reqwest::Method::from_bytes(b"MADEUP").unwrap();
    reqwest::Client::new().request(made_up, format!("{}/graphql", app.url)).send().await.unwrap();

    let after = scrape(&app.api_log()).await;
    let rise = |name: &str, labels: &[(&str, &str)]| after.get(name, labels) - before.find(name, labels).unwrap_or(0.0);
    assert_eq!(rise("rollcall_http_requests_total", &posts), 3.0);
    assert_eq!(rise("rollcall_http_request_duration_seconds_count", &posts[..2]), 3.0);
    assert_eq!(rise("rollcall_graphql_operations_total", &of_type("query", "ok")), 1.0);
    assert_eq!(rise("rollcall_graphql_operations_total", &of_type("query", "error")), 1.0);
    assert_eq!(rise("rollcall_graphql_operations_total", &of_type("mutation", "user_error")), 1.0);
    assert_eq!(rise("rollcall_graphql_user_errors_total", &[("code", "BLANK")]), 1.0);
    assert_eq!(rise("rollcall_graphql_errors_total", &[("code", "BAD_REQUEST")]), 1.0);
    assert_eq!(rise("rollcall_http_requests_total", &[("route", "/sign-in/{token}"), ("status", "400")]), 1.0);
    assert_eq!(rise("rollcall_http_requests_total", &[("route", "unmatched"), ("status", "404")]), 1.0);
    assert_eq!(rise("rollcall_http_requests_total", &[("method", "other"), ("route", "/graphql")]), 1.0);

    // A mail that the server doesn't take for good, and one that waits while nobody works.
    app.smtp.reply("nobody@example.org", [Reply::Recipient("550 no such user")]);
    team.invite("nobody@example.org", "MEMBER").await;
    let given_up = [("queue", "mail"), ("state", "given_up")];
    until("the mail is given up", async || {
        (scrape(&app.worker_log(0)).await.get("rollcall_jobs", &given_up) == 1.0).then_some(())
    })
    .await;
    let worker = scrape(&app.worker_log(0)).await;
    let finished = [("queue", "mail"), ("kind", "mail_invitation"), ("outcome", "given_up")];
    assert_eq!(worker.get("apalis_diesel_jobs_finished_total", &finished), 1.0);
    assert_eq!(worker.get("apalis_diesel_jobs_finished_total", &[("kind", "mail_sign_in"), ("outcome", "done")]), 1.0);
    assert!(worker.get("apalis_diesel_job_duration_seconds_count", &[("queue", "mail")]) >= 2.0);
    assert_eq!(worker.get("rollcall_mails_total", &[("outcome", "refused")]), 1.0);
    app.stop_workers().await;
    team.invite("grace@example.org", "MEMBER").await;
    // The expiries of both invitations wait for their time.
    until("the queues are read anew", async || {
        let api = scrape(&app.api_log()).await;
        let shown = |queue, state| api.get("rollcall_jobs", &[("queue", queue), ("state", state)]);
        let oldest = api.get("rollcall_jobs_oldest_due_seconds", &[("queue", "mail")]);
        (shown("mail", "waiting") == 1.0 && shown("expiry", "scheduled") == 2.0 && oldest > 0.0).then_some(())
    })
    .await;
    app.finish_with_given_up_jobs().await;
}

// Whoever connects to the metrics and says nothing uses up neither the process's files nor the places of others.
#[tokio::test]
async fn silent_connections_to_the_metrics_make_room() {
    let app = TestApp::builder().setting("ROLLCALL_METRICS_LISTEN", "127.0.0.1:0").without_worker().start().await;
    let log = app.api_log();
    let (_, address) = log.split_once("metrics on http://").unwrap();
    let address = address.split_once('/').unwrap().0;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(scrape(&log).await.get("rollcall_database_up", &[]), 1.0);
    // The first have made room at once, and the time of the last is soon up.
    for stream in [&mut silent.remove(0), &mut silent.pop().unwrap()] {
        assert_eq!(tokio::time::timeout(PATIENCE, stream.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
    }
    assert_eq!(scrape(&log).await.get("rollcall_database_up", &[]), 1.0);
    app.finish().await;
}

#[tokio::test]
async fn without_the_setting_there_are_no_metrics() {
    let app = TestApp::start().await;
    assert!(!app.api_log().contains("metrics on"));
    assert_eq!(reqwest::get(format!("{}/metrics", app.url)).await.unwrap().status(), 404);
    app.finish().await;
}

/// The lines of a JSON log.
fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

/// Whether a line lies in a span whose field has the value.
fn within(line: &Value, span: &str, field: &str, value: &str) -> bool {
    line["spans"]
        .as_array()
        .is_some_and(|spans| spans.iter().any(|found| found["name"] == span && found[field] == value))
}

// One id leads from the request's answer through its log line and its job to the line of the mail.
#[tokio::test]
async fn a_requests_id_leads_to_its_mail() {
    let app = TestApp::builder().setting("ROLLCALL_LOG", "json").start().await;
    let team = app.team().await;
    let input = json!({ "organizationId": team.id, "invitations": [{ "email": "grace@example.org" }] });
    let body = json!({ "query": document("inviteMembers", "invitations { id }"), "variables": { "input": input } });
    let answer = team.owner.try_send(&body, None).await.unwrap();
    let id = answer.request_id.clone().unwrap();
    assert!(answer.user_errors("inviteMembers").is_empty());
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
    let mail = app.mail_about("grace@example.org", "invites you").await;
    app.until_idle().await;

    let api = app.api_log();
    let answered: Vec<_> = lines(&api).into_iter().filter(|line| within(line, "request", "id", &id)).collect();
    assert!(answered.iter().any(|line| line["fields"]["status"] == 200), "{answered:?}");
    let job = "SELECT correlation_id AS value FROM jobs WHERE kind = 'mail_invitation'";
    assert_eq!(app.database.texts(job).await, std::slice::from_ref(&id));
    let sent = until("the worker's line of the mail", async || {
        let lines = lines(&app.worker_log(0));
        lines
            .into_iter()
            .find(|line| within(line, "job", "correlation_id", &id) && line["fields"]["message"] == "sent a mail")
    })
    .await;
    assert!(within(&sent, "job", "kind", "mail_invitation"), "{sent}");
    let message_id = text(&sent["fields"]["message_id"]);
    assert!(message_id.contains(&mail.message_id), "{message_id} is not {}", mail.message_id);

    // A client's own id serves as well, where it can stand in logs.
    let query = json!({ "query": "{ viewer { email } }" });
    let given = team.owner.try_send(&query, Some("Support-4711_a.b")).await.unwrap().request_id;
    assert_eq!(given.as_deref(), Some("Support-4711_a.b"));
    for wrong in ["", "two words", "\"quoted\"", &"x".repeat(65)] {
        let given = team.owner.try_send(&query, Some(wrong)).await.unwrap().request_id.unwrap();
        assert!(uuid::Uuid::parse_str(&given).is_ok(), "{wrong} became {given}");
    }

    // The pages' paths hold tokens.
    let link = mail.link("/invitations/");
    let page = reqwest::get(&link).await.unwrap();
    assert!(page.headers().contains_key("x-request-id"));
    let logs = app.api_log() + &app.worker_logs();
    assert!(logs.contains(r#""place":"invitations""#), "{logs}");
    for secret in [mail.token().as_str(), team.owner.token.as_deref().unwrap(), "@example.org"] {
        assert!(!logs.contains(secret), "{secret} is in the logs:\n{logs}");
    }
    app.finish().await;
}

// What a client quotes is found in the log.
#[tokio::test]
async fn a_fault_is_told_by_the_requests_id() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.until_idle().await;
    app.database.sql("ALTER TABLE resources RENAME TO mislaid").await;
    let query = "query($id: ID!) { organization(by: { id: $id }) { resources { nodes { name } } } }";
    let body = json!({ "query": query, "variables": { "id": team.id } });
    let answer = team.owner.try_send(&body, Some("quoted-by-somebody")).await.unwrap();
    assert_eq!(answer.error_code(), "INTERNAL");
    assert_eq!(answer.body["errors"][0]["extensions"]["id"], "quoted-by-somebody");
    let message = text(&answer.body["errors"][0]["message"]);
    assert!(message.contains("quoted-by-somebody") && !message.contains("resources"), "{message}");
    let log = app.api_log();
    let line = log.lines().find(|line| line.contains("internal error")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("request{id=\"quoted-by-somebody\"") && line.contains("relation \"resources\""), "{line}");
    app.database.sql("ALTER TABLE mislaid RENAME TO resources").await;
    app.finish_with_given_up_jobs().await;
}

/// What `rollcall admin jobs …` prints where it succeeds.
fn jobs(app: &TestApp, arguments: &[&str]) -> String {
    let output = app.admin(&[&["jobs"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it says where it fails.
fn jobs_refusal(app: &TestApp, arguments: &[&str]) -> String {
    let output = app.admin(&[&["jobs"], arguments].concat());
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn given_up_jobs_are_seen_retried_and_cancelled() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for address in ["one@example.org", "two@example.org", "three@example.org"] {
        app.smtp.reply(address, [Reply::Recipient("550 no such user")]);
        team.invite(address, "MEMBER").await;
    }
    let given_up = ["list", "--queue", "mail", "--kind", "mail_invitation", "--status", "given_up"];
    let found = until("three are given up", async || {
        let jobs: Vec<Value> = lines(&jobs(&app, &[&given_up[..], &["--json"]].concat()));
        (jobs.len() == 3).then_some(jobs)
    })
    .await;
    assert!(
        found.iter().all(|job| text(&job["lastError"]).contains("550") && job["countedAttempts"] == 1),
        "{found:?}"
    );
    let table = jobs(&app, &given_up);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.starts_with("ID ") && table.contains("mail_invitation  given_up  1/"), "{table}");
    assert_eq!(jobs(&app, &[&given_up[..], &["--limit", "2"]].concat()).lines().count(), 3);
    assert_eq!(jobs(&app, &["list", "--kind", "run_departure", "--json"]), "");
    let statistics: Vec<Value> = lines(&jobs(&app, &["statistics", "--json"]));
    let mail = statistics.iter().find(|queue| queue["queue"] == "mail").unwrap();
    assert_eq!((&mail["givenUp"], &mail["waiting"]), (&json!(3), &json!(0)));
    assert!(jobs(&app, &["statistics"]).lines().any(|line| line.starts_with("expiry ")));

    // The last one of the list was enqueued first.
    let [three, two, one] = [0, 1, 2].map(|number| text(&found[number]["id"]));
    let shown = jobs(&app, &["show", &one]);
    assert!(shown.contains("invitation_id") && shown.contains("550") && shown.contains("correlation"), "{shown}");
    assert!(!shown.contains('@'), "{shown}");
    assert_eq!(lines(&jobs(&app, &["show", &one, "--json"]))[0], found[2]);

    let retried = app.admin(&["jobs", "retry", &one]);
    assert!(retried.status.success());
    let log = String::from_utf8(retried.stderr).unwrap();
    assert!(log.contains("retried") && log.contains("command line") && log.contains(&one), "{log}");
    app.mail_about("one@example.org", "invites you").await;
    assert!(jobs_refusal(&app, &["retry", &one]).contains("was given up"));
    jobs(&app, &["cancel", &two]);
    assert!(jobs_refusal(&app, &["cancel", &two]).contains("was given up"));
    assert!(jobs_refusal(&app, &["show", &two]).contains("there is no job"));
    assert!(jobs(&app, &["retry", "--all-given-up", "--queue", "expiry"]).starts_with("0 "));
    assert!(jobs(&app, &["retry", "--all-given-up", "--kind", "mail_invitation"]).starts_with("1 "));
    app.mail_about("three@example.org", "invites you").await;
    assert_eq!(lines(&jobs(&app, &["show", &three, "--json"])).len(), 1);

    // What isn't given up is left alone, and what makes no sense is refused.
    let waiting: Vec<Value> = lines(&jobs(&app, &["list", "--queue", "expiry", "--status", "waiting", "--json"]));
    assert!(jobs_refusal(&app, &["cancel", &text(&waiting[0]["id"])]).contains("was given up"));
    for wrong in [&["retry"][..], &["retry", &one, "--all-given-up"], &["list", "--status", "lost"], &["show", "one"]] {
        assert_eq!(app.admin(&[&["jobs"], wrong].concat()).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(app.read_mail("two@example.org", "invites you").map(|mail| mail.subject), None);
    app.until_idle().await;
    app.finish_with_given_up_jobs().await;
}

// D7: a cascade that was given up goes on by its job as by `retryDeparture`.
#[tokio::test]
async fn a_given_up_cascade_is_retried_by_its_job() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    ada.create(&team.id, "PROJECT", "Liver atlas").await;
    app.until_idle().await;
    app.stop_workers().await;
    app.database
        .sql(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'out of order'; END $$; \
             CREATE TRIGGER stop BEFORE INSERT ON resource_moves FOR EACH ROW EXECUTE FUNCTION stop()",
        )
        .await;
    let departure = team.remove(&ada).await;
    app.database.sql("UPDATE jobs SET max_attempts = 1 WHERE kind = 'run_departure'").await;
    app.start_worker();
    until("it is given up", async || (team.departure(&departure).await["status"] == "FAILED").then_some(())).await;
    let list = ["list", "--kind", "run_departure", "--status", "given_up", "--json"];
    let job = until("its job is given up", async || lines(&jobs(&app, &list)).pop()).await;
    assert_eq!(app.owned(&team, &ada).await, 1);

    app.database.sql("DROP TRIGGER stop ON resource_moves").await;
    jobs(&app, &["retry", &text(&job["id"])]);
    app.completed(&team, &departure).await;
    assert_eq!(app.owned(&team, &ada).await, 0);
    let audit = team.audit().await;
    let events: Vec<&str> =
        audit.iter().map(String::as_str).filter(|action| action.starts_with("departure.")).collect();
    assert_eq!(events, ["departure.failed", "departure.retried", "departure.resources_moved", "departure.completed"]);
    app.until_idle().await;
    app.finish_with_given_up_jobs().await;
}

/// How much there is of what requests change.
async fn census(app: &TestApp) -> BTreeMap<&'static str, i64> {
    let mut counts = BTreeMap::new();
    for table in ["organizations", "members", "invitations", "join_codes", "departures", "audit_events", "jobs"] {
        counts.insert(table, app.database.number(&format!("SELECT count(*) AS value FROM {table}")).await);
    }
    counts
}

/// Runs a mutation on an API that is killed where its commit is held up, and says of what there is more afterwards.
async fn killed(
    app: &mut TestApp,
    hold: Hold,
    client: &Client,
    mutation: &str,
    input: &Value,
) -> Vec<(&'static str, i64)> {
    let before = census(app).await;
    let proxy = Proxy::start(&app.database.url).await;
    let (api, url) = app.api_on(&proxy.url).await;
    let victim = Client::new(&url, client.token.as_deref());
    let body = json!({ "query": document(mutation, ""), "variables": { "input": input } });
    proxy.hold(hold);
    let (answer, ()) = futures_util::future::join(victim.try_send(&body, None), async {
        proxy.held().await;
        api.kill();
    })
    .await;
    assert!(answer.is_err(), "{mutation} is answered: {answer:?}");
    // Where the commit hasn't arrived, the transaction ends with its connection.
    let open =
        "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    until("the transaction has ended", async || (app.database.number(open).await == 0).then_some(())).await;
    let after = census(app).await;
    after.into_iter().map(|(table, count)| (table, count - before[table])).filter(|(_, more)| *more != 0).collect()
}

// R76: killed before its commit, a request has changed nothing; killed between the commit and its answer, it has
// changed everything: rows, audit events and jobs. A repeat finds either, and what the jobs do happens once.
#[tokio::test]
async fn an_api_killed_around_its_commit_leaves_all_or_nothing() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let mut leavers = Vec::new();
    for address in ["ada@example.org", "eve@example.org"] {
        leavers.push(app.join(&team, address, "MEMBER").await);
    }
    app.until_idle().await;
    app.stop_workers().await;
    for (hold, leaver) in [Hold::Commit, Hold::Answer].into_iter().zip(&leavers) {
        let is_done = hold == Hold::Answer;
        let more = |changes: &[(&'static str, i64)]| if is_done { changes.to_vec() } else { Vec::new() };
        let (owner, address) = (&team.owner, format!("{hold:?}@example.org").to_lowercase());

        let input = json!({ "name": "Lost", "slug": format!("lost-{hold:?}").to_lowercase() });
        let changed = killed(&mut app, hold, owner, "createOrganization", &input).await;
        assert_eq!(changed, more(&[("audit_events", 1), ("members", 1), ("organizations", 1)]));
        if is_done {
            assert_eq!(owner.refused("createOrganization", input).await.is(), ("SLUG_TAKEN", "input.slug"));
        } else {
            owner.ok("createOrganization", input, "organization { id }").await;
        }

        let input = json!({ "organizationId": team.id, "count": 2 });
        let changed = killed(&mut app, hold, owner, "createJoinCodes", &input).await;
        assert_eq!(changed, more(&[("audit_events", 1), ("jobs", 2), ("join_codes", 2)]));

        // The mail, the reminder and the expiry.
        let input = json!({ "organizationId": team.id, "invitations": [{ "email": address }] });
        let changed = killed(&mut app, hold, owner, "inviteMembers", &input).await;
        assert_eq!(changed, more(&[("audit_events", 1), ("invitations", 1), ("jobs", 3)]));
        if is_done {
            let error = owner.refused("inviteMembers", input).await;
            assert_eq!(error.is(), ("ALREADY_INVITED", "input.invitations.0.email"));
        } else {
            owner.ok("inviteMembers", input, "invitations { id }").await;
        }

        let input = json!({ "memberId": team.member_id(leaver).await });
        let changed = killed(&mut app, hold, owner, "removeMember", &input).await;
        assert_eq!(changed, more(&[("audit_events", 1), ("departures", 1), ("jobs", 2)]));
        assert_eq!(leaver.belongs_to(&team.id).await, !is_done);
        if is_done {
            assert_eq!(owner.refused("removeMember", input).await.is(), ("CONFLICT", "input.memberId"));
        } else {
            owner.ok("removeMember", input, "departure { id }").await;
        }
    }
    app.start_worker();
    app.until_idle().await;
    let completed = "SELECT count(*) AS value FROM departures WHERE status = 'completed'";
    assert_eq!(app.database.number(completed).await, 2);
    for address in ["commit@example.org", "answer@example.org"] {
        let mails = app.smtp.mails().into_iter().filter(|mail| mail.recipient == address).count();
        assert_eq!(mails, 1, "{address}");
    }
    app.finish().await;
}

// A PostgreSQL that goes and comes back: API and worker wait for it, and go on by themselves.
#[tokio::test]
async fn the_service_survives_a_restart_of_postgresql() {
    let app =
        TestApp::builder().own_postgres().setting("ROLLCALL_METRICS_LISTEN", "127.0.0.1:0").workers(2).start().await;
    let team = app.team().await;
    let ready = async || reqwest::get(format!("{}/health/ready", app.url)).await.unwrap().status().as_u16();
    assert_eq!(ready().await, 200);
    for round in 0..3 {
        // Mails are under way when it goes.
        let people: Vec<_> = (0..20).map(|n| json!({ "email": format!("person{n}-{round}@example.org") })).collect();
        team.owner
            .ok("inviteMembers", json!({ "organizationId": team.id, "invitations": people }), "invitations { id }")
            .await;
        app.database.stop_postgres().await;
        assert_eq!(ready().await, 503);
        assert_eq!(reqwest::get(format!("{}/health/live", app.url)).await.unwrap().status(), 200);
        let answer = team.owner.run("{ viewer { email } }", json!({})).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (503, "UNAVAILABLE"), "{}", answer.body);
        for log in [app.api_log(), app.worker_log(0)] {
            until("the metrics know", async || {
                (scrape(&log).await.get("rollcall_database_up", &[]) == 0.0).then_some(())
            })
            .await;
            assert!(scrape(&log).await.get("rollcall_jobs", &[("queue", "mail")]).is_nan());
        }
        app.database.start_postgres().await;
        until("the API is ready", async || (ready().await == 200).then_some(())).await;
        assert!(team.owner.belongs_to(&team.id).await);
        until("the mails are sent", async || {
            let left = "SELECT count(*) AS value FROM invitations WHERE delivery <> 'sent'";
            (app.database.number(left).await == 0).then_some(())
        })
        .await;
        for n in 0..20 {
            app.mail_to(&format!("person{n}-{round}@example.org")).await;
        }
    }
    until("the metrics know", async || {
        (scrape(&app.api_log()).await.get("rollcall_database_up", &[]) == 1.0).then_some(())
    })
    .await;
    app.until_idle().await;
    app.finish_with_given_up_jobs().await;
}

// D2, D6, R42, R74: staff have every invariant checked, and what breaks one is named.
#[tokio::test]
async fn staff_verify_the_whole_database() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let member = team.member_id(&ada).await;
    let verified = app.admin(&["verify"]);
    let report = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && report.lines().all(|line| line.starts_with("ok ")), "{report}");
    // Behind the service's back.
    let id = crate::support::people::uuid(&member);
    let tables = [
        ("UPDATE members SET status = 'removed' WHERE id = $1", "has departed", member.clone()),
        ("UPDATE members SET sort_name = 'x' WHERE id = $1", "names that people have", member.clone()),
    ];
    for (change, invariant, broken_by) in tables {
        app.database.sql(&change.replace("$1", &format!("'{id}'"))).await;
        let verified = app.admin(&["verify"]);
        let report = String::from_utf8_lossy(&verified.stdout).into_owned();
        let line = report.lines().find(|line| line.contains(invariant)).unwrap();
        assert!(!verified.status.success() && line.starts_with("BROKEN ") && line.contains(&broken_by), "{report}");
    }
    let repair = format!("UPDATE members SET status = 'active', sort_name = 'ada' WHERE id = '{id}'");
    app.database.sql(&repair).await;
    app.finish().await;
}
