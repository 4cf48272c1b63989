//! Usage and credits: what runs and reports use, what it costs, what is left, and how one asks for more.

use futures_util::future::join_all;

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::{Client, Team, TestApp, Value, json, until};

const OVERVIEW: &str = "query($id: ID!, $since: DateTime, $until: DateTime) { organization(by: { id: $id }) { \
     usage(since: $since, until: $until) { totalRuns concurrentRuns runningStudioSessions users storageBytes creditsSpent \
     creditsAvailable } } }";
const SERIES: &str = "query($id: ID!, $since: DateTime!, $until: DateTime!, $interval: UsageInterval, $by: UsageGroup) { \
     organization(by: { id: $id }) { usageSeries(since: $since, until: $until, interval: $interval, groupBy: $by) { \
     from kind user { id } workspace { id } quantity credits } } }";
const RUN: &str = "run { id status startedAt finishedAt cpuHours memoryGibHours credits }";

/// A service key of the organization.
async fn service(app: &TestApp, team: &Team, scope: &str) -> Client {
    let input = json!({ "organizationId": team.id, "name": "runner", "scope": scope });
    app.client(&text(&team.owner.ok("createServiceKey", input, "secret").await["secret"]))
}

async fn overview(client: &Client, id: &str) -> Value {
    client.query(OVERVIEW, json!({ "id": id })).await["organization"]["usage"].clone()
}

/// A series over the days around now.
async fn series(client: &Client, id: &str, by: &str) -> Vec<Value> {
    let variables = json!({ "id": id, "since": ago(40), "until": ago(-2), "by": by });
    client.query(SERIES, variables).await["organization"]["usageSeries"].as_array().unwrap().clone()
}

/// So many days ago.
fn ago(days: i64) -> String {
    (chrono::Utc::now() - chrono::Duration::days(days)).to_rfc3339()
}

fn decimal(value: &Value) -> rust_decimal::Decimal {
    text(value).parse().unwrap()
}

fn sum(points: &[Value]) -> rust_decimal::Decimal {
    points.iter().map(|point| decimal(&point["credits"])).sum()
}

async fn buy(app: &TestApp, id: &str, amount: &str, key: &str) {
    let input = json!({ "organizationId": id, "amount": amount, "idempotencyKey": key });
    app.staff().ok("addCredits", input, "").await;
}

/// One entry of a report.
fn entry(key: &str, quantity: &str) -> Value {
    json!({ "idempotencyKey": key, "kind": "CPU_HOURS", "quantity": quantity })
}

fn entries(entries: &[Value]) -> Value {
    json!({ "entries": entries })
}

/// The same entry with further fields.
fn with(mut entry: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        entry[name] = value.clone();
    }
    entry
}

// R69–R71: a run from the queue to its credits, as the platform reports it: totals so far, so that repeats and old
// reports change nothing, and never backwards.
#[tokio::test]
async fn a_run_goes_from_the_queue_to_its_credits() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let workspace = ada.create(&team.id, "WORKSPACE", "Atlas").await;
    let project = ada.create_in(&workspace, "PROJECT", "Liver atlas").await;
    let input = json!({ "organizationId": team.id, "kind": "STUDIO", "name": "Align", "resourceId": project });
    let run = text(&ada.ok("queueRun", input, "run { id }").await["run"]["id"]);
    let runner = service(&app, &team, "WRITE").await;
    let report = |status: &str, cpu: Value, memory: Value| json!({ "id": run, "status": status, "cpuHours": cpu, "memoryGibHours": memory });

    let queued = runner.ok("reportRun", report("QUEUED", Value::Null, Value::Null), RUN).await;
    assert_eq!((&queued["run"]["status"], &queued["run"]["startedAt"]), (&json!("QUEUED"), &Value::Null));
    let early = runner.refused("reportRun", report("QUEUED", json!("1"), Value::Null)).await;
    assert_eq!(early.is(), ("INVALID", "input.status"));
    let seen = overview(&team.owner, &team.id).await;
    assert_eq!((&seen["totalRuns"], &seen["concurrentRuns"]), (&json!(1), &json!(0)));

    let running = runner.ok("reportRun", report("RUNNING", json!("2.5"), json!(4)), RUN).await["run"].clone();
    assert!(running["startedAt"].is_string() && running["finishedAt"].is_null(), "{running}");
    // 2.5 × 0.1 + 4 × 0.025.
    assert_eq!((&running["cpuHours"], &running["credits"]), (&json!("2.5"), &json!("0.35")));
    let seen = overview(&team.owner, &team.id).await;
    assert_eq!(
        (&seen["concurrentRuns"], &seen["runningStudioSessions"], &seen["users"]),
        (&json!(1), &json!(1), &json!(2))
    );
    // A repeat, an old report and no news.
    for (cpu, memory) in [(json!("2.5"), json!("4")), (json!("1.25"), json!("3.999999999")), (Value::Null, Value::Null)]
    {
        let same = runner.ok("reportRun", report("RUNNING", cpu, memory), RUN).await["run"].clone();
        assert_eq!(same, running);
    }
    let ended = runner.ok("reportRun", report("SUCCEEDED", json!("3"), json!("3")), RUN).await["run"].clone();
    assert_eq!(
        (&ended["cpuHours"], &ended["memoryGibHours"], &ended["credits"]),
        (&json!("3"), &json!("4"), &json!("0.4"))
    );
    assert!(ended["finishedAt"].is_string(), "{ended}");
    // What was metered late still counts; nothing leads back or to another end.
    runner.ok("reportRun", report("SUCCEEDED", json!("3.000000001"), Value::Null), "").await;
    for status in ["QUEUED", "RUNNING", "FAILED", "CANCELLED"] {
        let back = runner.refused("reportRun", report(status, json!("9"), json!("9"))).await;
        assert_eq!(back.is(), ("CONFLICT", "input.status"), "{status}");
    }
    let seen = overview(&team.owner, &team.id).await;
    assert_eq!(
        (&seen["totalRuns"], &seen["concurrentRuns"], &seen["runningStudioSessions"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!((&seen["creditsSpent"], &seen["creditsAvailable"]), (&json!("0.4000000001"), &json!("-0.4000000001")));

    // Who used it, where, and of what.
    let by_kind = series(&team.owner, &team.id, "KIND").await;
    let kinds: Vec<_> = by_kind.iter().map(|point| (text(&point["kind"]), text(&point["quantity"]))).collect();
    assert_eq!(
        kinds,
        [("CPU_HOURS".to_owned(), "3.000000001".to_owned()), ("MEMORY_GIB_HOURS".to_owned(), "4".to_owned())]
    );
    let by_member = series(&team.owner, &team.id, "MEMBER").await;
    assert_eq!((by_member.len(), &by_member[0]["user"]["id"]), (1, &json!(ada.user_id)));
    let by_workspace = series(&team.owner, &team.id, "WORKSPACE").await;
    assert_eq!((by_workspace.len(), &by_workspace[0]["workspace"]["id"]), (1, &json!(workspace)));
    for points in [by_kind, by_member, by_workspace] {
        assert_eq!(sum(&points), decimal(&seen["creditsSpent"]));
    }
    let log = team.audit().await;
    for action in ["run.queued", "run.started", "run.succeeded"] {
        assert_eq!(log.iter().filter(|found| *found == action).count(), 1, "{action}: {log:?}");
    }
    app.finish().await;
}

// R70, R71: who reports, and who sees what was spent.
#[tokio::test]
async fn service_keys_report_and_leaders_see() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let run = ada.queue(&team.id, "Align").await;
    let (runner, reader) = (service(&app, &team, "WRITE").await, service(&app, &team, "READ").await);
    let other = app.sign_up("eve@example.org").await;
    let elsewhere = Team { id: other.found("Elsewhere").await, owner: other };
    let stranger = service(&app, &elsewhere, "WRITE").await;
    let input = json!({ "id": run, "status": "RUNNING", "cpuHours": "1" });
    for person in [&team.owner, &ada, &app.staff(), &reader] {
        assert_eq!(
            person.refused("reportRun", input.clone()).await.is(),
            ("FORBIDDEN", "input.id"),
            "{}",
            person.email
        );
    }
    assert_eq!(stranger.refused("reportRun", input.clone()).await.is(), ("NOT_FOUND", "input.id"));
    assert_eq!(app.anonymous().error_code("reportRun", input.clone()).await, "UNAUTHENTICATED");
    for (field, value) in [
        ("cpuHours", json!("-1")),
        ("cpuHours", json!("0.0000000001")),
        ("memoryGibHours", json!("1000000000.5")),
        ("memoryGibHours", json!(-0.5)),
    ] {
        let error = runner.refused("reportRun", with(input.clone(), json!({ field: value }))).await;
        assert_eq!(error.is(), ("INVALID", &*format!("input.{field}")), "{value}");
    }
    for value in ["NaN", "Infinity", "1e400", "0x10", "", "ten"] {
        let answer = runner.mutate("reportRun", with(input.clone(), json!({ "cpuHours": value })), "").await;
        assert_eq!(answer.error_code(), "BAD_REQUEST", "{value}");
    }
    let usage = entries(&[entry("a", "1")]);
    for person in [&team.owner, &ada, &reader] {
        assert_eq!(person.refused("reportUsage", usage.clone()).await.is(), ("FORBIDDEN", "input.entries"));
    }
    // Nothing of it was counted.
    let seen = overview(&team.owner, &team.id).await;
    assert_eq!((&seen["creditsSpent"], &seen["concurrentRuns"]), (&json!("0"), &json!(0)));
    assert!(series(&admin, &team.id, "KIND").await.is_empty());
    assert!(overview(&admin, &team.id).await.is_object());
    assert!(overview(&app.staff(), &team.id).await.is_object());
    let query = "query($id: ID!, $since: DateTime!, $until: DateTime!) { organization(by: { id: $id }) { usage { creditsSpent } \
         usageSeries(since: $since, until: $until) { credits } } }";
    let hidden = ada.query(query, json!({ "id": team.id, "since": ago(1), "until": ago(0) })).await;
    assert_eq!(hidden["organization"], json!({ "usage": null, "usageSeries": null }));
    let (turned, long) = (
        json!({ "id": team.id, "since": ago(0), "until": ago(1) }),
        json!({ "id": team.id, "since": ago(1001), "until": ago(0) }),
    );
    for variables in [turned, long] {
        assert_eq!(team.owner.run(query, variables.clone()).await.error_code(), "BAD_REQUEST", "{variables}");
    }
    app.finish().await;
}

// R70: reports of many at once, a third of them repeated, leave a ledger that is exact to the last digit; whatever is
// read meanwhile agrees with itself.
#[tokio::test]
async fn the_ledger_is_exact_however_many_report_at_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let runner = service(&app, &team, "WRITE").await;
    let run = team.owner.queue(&team.id, "Align").await;
    buy(&app, &team.id, "1000", "first").await;
    let reports = join_all((0..8).map(|connection: u64| {
        let (runner, run, team_id) = (runner.twin(), run.clone(), team.id.clone());
        async move {
            for number in 0..30_u64 {
                // Every third entry is one that somebody else reports too.
                let key = if number % 3 == 0 { format!("shared {number}") } else { format!("{connection} {number}") };
                let quantity = format!("0.{:09}", 1 + number * 7);
                let input = entries(&[with(entry(&key, &quantity), json!({ "organizationId": team_id }))]);
                runner.ok("reportUsage", input, "recorded alreadyRecorded").await;
                let hours = format!("{}.{connection}", number);
                runner.ok("reportRun", json!({ "id": run, "status": "RUNNING", "cpuHours": hours }), "").await;
            }
        }
    }));
    let looks = async {
        let query = "query($id: ID!, $since: DateTime!, $until: DateTime!) { organization(by: { id: $id }) { \
             usage { creditsSpent creditsAvailable } part: usage(since: $since, until: $until) { creditsSpent } \
             days: usageSeries(since: $since, until: $until) { credits } \
             members: usageSeries(since: $since, until: $until, interval: MONTH, groupBy: MEMBER) { credits } \
             billing { creditsPurchased } } }";
        for _ in 0..30 {
            let seen = team.owner.query(query, json!({ "id": team.id, "since": ago(40), "until": ago(-2) })).await;
            let seen = &seen["organization"];
            let spent = decimal(&seen["usage"]["creditsSpent"]);
            assert_eq!(decimal(&seen["part"]["creditsSpent"]), spent, "{seen}");
            for series in ["days", "members"] {
                assert_eq!(sum(seen[series].as_array().unwrap()), spent, "{series}: {seen}");
            }
            let bought = decimal(&seen["billing"]["creditsPurchased"]);
            assert_eq!(bought - spent, decimal(&seen["usage"]["creditsAvailable"]), "{seen}");
        }
    };
    futures_util::future::join(reports, looks).await;
    // 10 shared entries once, 20 of each connection, and a run of 29.7 hours.
    let quantity = |number: u64| rust_decimal::Decimal::new(1 + i64::try_from(number).unwrap() * 7, 9);
    let shared: rust_decimal::Decimal = (0..30).step_by(3).map(quantity).sum();
    let own: rust_decimal::Decimal = (0..30).filter(|number| number % 3 != 0).map(quantity).sum();
    let hours = shared + own * rust_decimal::Decimal::from(8) + "29.7".parse::<rust_decimal::Decimal>().unwrap();
    let spent = (hours / rust_decimal::Decimal::TEN).normalize();
    assert_eq!(decimal(&overview(&team.owner, &team.id).await["creditsSpent"]), spent);
    app.finish().await;
}

// R70, R82: what is used outside of runs: all entries or none, each key once, and for the user's default bill-to where
// no organization is named.
#[tokio::test]
async fn usage_outside_of_runs_is_charged_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let runner = service(&app, &team, "WRITE").await;
    let staff = app.staff();
    let here = |entry: Value| with(entry, json!({ "organizationId": team.id }));
    let counts = "recorded alreadyRecorded";

    let first = entries(&[here(entry("a", "1")), here(entry("b", "2"))]);
    let recorded = runner.ok("reportUsage", first.clone(), counts).await;
    assert_eq!((&recorded["recorded"], &recorded["alreadyRecorded"]), (&json!(2), &json!(0)));
    let again = runner.ok("reportUsage", first, counts).await;
    assert_eq!((&again["recorded"], &again["alreadyRecorded"]), (&json!(0), &json!(2)));
    // The same within one report, also by the platform itself.
    let twice = entries(&[here(entry("c", "3")), here(entry("c", "3.0")), here(entry("a", "1"))]);
    let recorded = staff.ok("reportUsage", twice, counts).await;
    assert_eq!((&recorded["recorded"], &recorded["alreadyRecorded"]), (&json!(1), &json!(2)));
    let other = entries(&[here(entry("d", "4")), here(entry("a", "1.1"))]);
    let conflict = runner.refused("reportUsage", other).await;
    assert_eq!(conflict.is(), ("CONFLICT", "input.entries.1.idempotencyKey"));
    let within = entries(&[here(entry("d", "4")), here(entry("d", "5"))]);
    assert_eq!(runner.refused("reportUsage", within).await.is(), ("CONFLICT", "input.entries.1.idempotencyKey"));
    assert_eq!(overview(&team.owner, &team.id).await["creditsSpent"], "0.6");

    // The user's default, which stays charged when it changes between two tries.
    let personal = ada.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let personal = text(&personal["viewer"]["personalOrganization"]["id"]);
    let download = entries(&[with(entry("e", "10"), json!({ "userId": ada.user_id }))]);
    staff.ok("reportUsage", download.clone(), counts).await;
    assert_eq!(overview(&ada, &personal).await["creditsSpent"], "1");
    let permissions = json!({ "memberId": team.member_id(&ada).await, "permissions": { "billableActivities": true } });
    team.owner.ok("updateMemberPermissions", permissions, "").await;
    ada.ok("setDefaultBillTo", json!({ "organizationId": team.id }), "").await;
    let again = staff.ok("reportUsage", download, counts).await;
    assert_eq!((&again["recorded"], &again["alreadyRecorded"]), (&json!(0), &json!(1)));
    let next = entries(&[with(entry("f", "10"), json!({ "userId": ada.user_id }))]);
    runner.ok("reportUsage", next, counts).await;
    assert_eq!(overview(&team.owner, &team.id).await["creditsSpent"], "1.6");
    assert_eq!(overview(&ada, &personal).await["creditsSpent"], "1");

    // Wrong entries, each by its own path, and nothing of the others is recorded.
    let eve = app.sign_up("eve@example.org").await;
    let elsewhere = eve.found("Elsewhere").await;
    let (run, workspace) = (eve.queue(&elsewhere, "Align").await, eve.create(&elsewhere, "WORKSPACE", "Theirs").await);
    let project = ada.create(&team.id, "PROJECT", "No workspace").await;
    let wrong = [
        ("quantity", json!({ "quantity": "0" }), "INVALID"),
        ("quantity", json!({ "quantity": "-1" }), "INVALID"),
        ("quantity", json!({ "quantity": "1000000001" }), "INVALID"),
        ("quantity", json!({ "quantity": "0.0000000001" }), "INVALID"),
        ("idempotencyKey", json!({ "idempotencyKey": " " }), "BLANK"),
        ("idempotencyKey", json!({ "idempotencyKey": "x".repeat(201) }), "TOO_LONG"),
        ("occurredAt", json!({ "occurredAt": ago(-1) }), "INVALID"),
        ("occurredAt", json!({ "occurredAt": "1999-01-01T00:00:00Z" }), "INVALID"),
        ("organizationId", json!({ "organizationId": elsewhere }), "NOT_FOUND"),
        ("userId", json!({ "userId": eve.user_id }), "NOT_FOUND"),
        ("runId", json!({ "runId": run }), "NOT_FOUND"),
        ("workspaceId", json!({ "workspaceId": workspace }), "NOT_FOUND"),
        ("workspaceId", json!({ "workspaceId": project }), "NOT_FOUND"),
    ];
    for (number, (field, fields, code)) in wrong.into_iter().enumerate() {
        let fine = here(entry(&format!("fine {number}"), "1"));
        let report = entries(&[fine, with(here(entry("wrong", "1")), fields.clone())]);
        let error = runner.refused("reportUsage", report).await;
        assert_eq!(error.is(), (code, &*format!("input.entries.1.{field}")), "{fields}");
    }
    let nobody = runner.refused("reportUsage", entries(&[entry("nobody", "1")])).await;
    assert_eq!(nobody.is(), ("BLANK", "input.entries.0.userId"));
    assert_eq!(runner.refused("reportUsage", entries(&[])).await.is(), ("BLANK", "input.entries"));
    let many: Vec<Value> = (0..1001).map(|number| here(entry(&format!("many {number}"), "1"))).collect();
    assert_eq!(runner.refused("reportUsage", entries(&many)).await.is(), ("TOO_MANY", "input.entries"));
    assert_eq!(overview(&team.owner, &team.id).await["creditsSpent"], "1.6");
    assert_eq!(runner.ok("reportUsage", entries(&many[..1000]), counts).await["recorded"], 1000);

    // A deleted organization isn't charged, by anybody.
    eve.ok("deleteOrganization", json!({ "id": elsewhere, "confirmOrganizationName": "Elsewhere" }), "").await;
    let late = entries(&[with(entry("late", "1"), json!({ "organizationId": elsewhere }))]);
    assert_eq!(staff.refused("reportUsage", late).await.is(), ("NOT_FOUND", "input.entries.0.organizationId"));
    assert!(team.audit().await.contains(&"usage.reported".to_owned()));
    app.finish().await;
}

// R82: the keys of an organization's service keys are its own, also for a person by whose default it pays.
#[tokio::test]
async fn organizations_never_meet_each_others_keys() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let chief = app.sign_up("chief@example.org").await;
    let other = Team { id: chief.found("Elsewhere").await, owner: chief };
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    ada.ok("redeemJoinCode", json!({ "code": other.code("MEMBER").await }), "member { id }").await;
    for team in [&team, &other] {
        let permissions =
            json!({ "memberId": team.member_id(&ada).await, "permissions": { "billableActivities": true } });
        team.owner.ok("updateMemberPermissions", permissions, "").await;
    }
    let (runner, others) = (service(&app, &team, "WRITE").await, service(&app, &other, "WRITE").await);
    let counts = "recorded alreadyRecorded";
    let of = |answer: &Value| (answer["recorded"].as_i64().unwrap(), answer["alreadyRecorded"].as_i64().unwrap());
    let report = |quantity: &str| entries(&[with(entry("download 1", quantity), json!({ "userId": ada.user_id }))]);

    ada.ok("setDefaultBillTo", json!({ "organizationId": team.id }), "").await;
    assert_eq!(of(&runner.ok("reportUsage", report("100"), counts).await), (1, 0));
    ada.ok("setDefaultBillTo", json!({ "organizationId": other.id }), "").await;
    // Another organization's key finds nothing of it, and what it reports counts.
    assert_eq!(of(&others.ok("reportUsage", report("7"), counts).await), (1, 0));
    assert_eq!(of(&others.ok("reportUsage", report("7"), counts).await), (0, 1));
    let conflict = others.refused("reportUsage", report("8")).await;
    assert_eq!(conflict.is(), ("CONFLICT", "input.entries.0.idempotencyKey"));
    assert!(conflict.message.contains("7 CPU_HOURS") && !conflict.message.contains("100"), "{}", conflict.message);
    // What the first one recorded is known to it, whoever pays for the person by now.
    assert_eq!(of(&runner.ok("reportUsage", report("100"), counts).await), (0, 1));
    let next = entries(&[with(entry("download 2", "1"), json!({ "userId": ada.user_id }))]);
    assert_eq!(runner.refused("reportUsage", next).await.is(), ("NOT_FOUND", "input.entries.0.organizationId"));
    // Within an organization, a key is one whether or not the entry names it.
    let named = entries(&[with(entry("download 1", "100"), json!({ "organizationId": team.id }))]);
    assert_eq!(of(&runner.ok("reportUsage", named, counts).await), (0, 1));
    // Staff are those of the user or of the organization that they name.
    assert_eq!(of(&app.staff().ok("reportUsage", report("3"), counts).await), (1, 0));
    assert_eq!(overview(&team.owner, &team.id).await["creditsSpent"], "10");
    assert_eq!(overview(&other.owner, &other.id).await["creditsSpent"], "1");
    app.finish().await;
}

// R82: a repeat is known for what it is, whatever has become of what it names.
#[tokio::test]
async fn a_repeat_is_known_whatever_has_changed() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let workspace = ada.create(&team.id, "WORKSPACE", "Atlas").await;
    let runner = service(&app, &team, "WRITE").await;
    let counts = "recorded alreadyRecorded";
    let of = |answer: &Value| (answer["recorded"].as_i64().unwrap(), answer["alreadyRecorded"].as_i64().unwrap());
    let fields =
        json!({ "organizationId": team.id, "userId": ada.user_id, "workspaceId": workspace, "occurredAt": ago(1_000) });
    let first = with(entry("a", "2"), fields);
    assert_eq!(of(&runner.ok("reportUsage", entries(std::slice::from_ref(&first)), counts).await), (1, 0));
    ada.ok("deleteResource", json!({ "id": workspace }), "").await;
    app.shift_clock("100 days").await;
    let new = with(entry("b", "1"), json!({ "organizationId": team.id }));
    let both = entries(&[first.clone(), new, first.clone()]);
    assert_eq!(of(&runner.ok("reportUsage", both, counts).await), (1, 2));
    // Something else under this key is a conflict, and something new would be refused.
    let other = entries(&[with(first.clone(), json!({ "quantity": "3" }))]);
    assert_eq!(runner.refused("reportUsage", other).await.is(), ("CONFLICT", "input.entries.0.idempotencyKey"));
    let unknown = entries(&[with(first, json!({ "idempotencyKey": "c" }))]);
    assert_eq!(runner.refused("reportUsage", unknown).await.is(), ("NOT_FOUND", "input.entries.0.workspaceId"));
    // Entries from before keys were the organization's: in the scope of the user, by whomever they were reported.
    let old = format!(
        "INSERT INTO usage_entries (id, organization_id, kind, quantity, credits, user_id, key_scope, idempotency_key, occurred_at, \
         recorded_at, of_any_reporter) VALUES (gen_random_uuid(), '{}', 'cpu_hours', 5, 0.5, '{user}', '{user}', 'old', rollcall_now(), \
         rollcall_now(), true)",
        uuid(&team.id),
        user = uuid(&ada.user_id)
    );
    app.database.sql(&old).await;
    let old = |quantity: &str| entries(&[with(entry("old", quantity), json!({ "userId": ada.user_id }))]);
    assert_eq!(of(&runner.ok("reportUsage", old("5"), counts).await), (0, 1));
    assert_eq!(runner.refused("reportUsage", old("6")).await.is(), ("CONFLICT", "input.entries.0.idempotencyKey"));
    app.finish().await;
}

// R70: numbers are taken as they were written, or not at all.
#[tokio::test]
async fn amounts_keep_each_digit() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let runner = service(&app, &team, "WRITE").await;
    let run = team.owner.queue(&team.id, "Align").await;
    let report = |hours: Value| json!({ "id": run, "status": "RUNNING", "cpuHours": hours });
    for (hours, kept) in [
        (json!(2), "2"),
        (json!(2.5), "2.5"),
        (json!("2.500000001"), "2.500000001"),
        (json!(999_999.123_456_789), "999999.123456789"),
        (json!("123456789.000000001"), "123456789.000000001"),
    ] {
        let reported = runner.ok("reportRun", report(hours.clone()), RUN).await;
        assert_eq!(reported["run"]["cpuHours"], kept, "{hours}");
    }
    // More digits than a number keeps on its way; also in the document itself.
    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for hours in ["123456789.000000002", "0.12345678901234567", "1234567.5", "123456789012345678901234"] {
        let answer = runner.mutate("reportRun", report(number(hours)), "").await;
        assert_eq!(answer.error_code(), "BAD_REQUEST", "{hours}");
        assert!(answer.body.to_string().contains("write it as a string"), "{hours}: {}", answer.body);
        let document = format!(
            "mutation {{ reportRun(input: {{ id: \"{run}\", status: RUNNING, cpuHours: {hours} }}) {{ userErrors {{ code }} }} }}"
        );
        let answer = runner.run(&document, json!({})).await;
        assert_eq!(answer.error_code(), "BAD_REQUEST", "{hours}");
    }
    for hours in ["1_000", "1_", "1__0", "+1", " 1", "1 ", "1.", ".5", "1e3", "1,5", "١"] {
        let answer = runner.mutate("reportRun", report(json!(hours)), "").await;
        assert_eq!(answer.error_code(), "BAD_REQUEST", "{hours}");
        let usage = runner.mutate("reportUsage", entries(&[entry("a", hours)]), "").await;
        assert_eq!(usage.error_code(), "BAD_REQUEST", "{hours}");
        let input = json!({ "organizationId": team.id, "amount": hours, "idempotencyKey": "a" });
        assert_eq!(app.staff().mutate("addCredits", input, "").await.error_code(), "BAD_REQUEST", "{hours}");
    }
    app.finish().await;
}

// R70: network costs what its region does.
#[tokio::test]
async fn rates_are_the_deployments() {
    let rates = r#"{"cpu_hour": "0.5", "network_gb": {"default": "0.09", "eu": "0.02"}}"#;
    let app = TestApp::builder().setting("ROLLCALL_CREDIT_RATES", rates).start().await;
    let team = app.team().await;
    let gb = |key: &str, region: Value| json!({ "idempotencyKey": key, "organizationId": team.id, "kind": "NETWORK_GB", "quantity": "1", "region": region });
    let report = entries(&[
        gb("a", json!("eu")),
        gb("b", json!("us")),
        gb("c", Value::Null),
        with(entry("d", "1"), json!({ "organizationId": team.id })),
    ]);
    app.staff().ok("reportUsage", report, "").await;
    assert_eq!(overview(&team.owner, &team.id).await["creditsSpent"], "0.7");
    app.finish().await;
}

/// The emails about credits that somebody has got, by their subjects.
fn told(app: &TestApp, person: &str) -> (usize, usize) {
    let got = |subject: &str| app.mails_about(person, subject).len();
    (got("has spent 80 % of its credits"), got("has spent all of its credits"))
}

// R70, R71: the owner and admins are told at 80 and at 100 percent, once each; then no new runs begin, and those in
// progress go on. Who has never bought any credits isn't limited by them.
#[tokio::test]
async fn credits_run_out_with_a_warning() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let runner = service(&app, &team, "WRITE").await;
    let run = ada.queue(&team.id, "Align").await;
    let hours = async |hours: &str| {
        runner.ok("reportRun", json!({ "id": run, "status": "RUNNING", "cpuHours": hours }), RUN).await
    };
    // On credit.
    hours("10").await;
    ada.queue(&team.id, "Another").await;
    buy(&app, &team.id, "10", "first").await;
    hours("79.999999999").await;
    app.until_idle().await;
    assert_eq!(told(&app, "owner@example.org"), (0, 0));
    let twins: Vec<Client> = (0..8).map(|_| runner.twin()).collect();
    let report = json!({ "id": run, "status": "RUNNING", "cpuHours": "80" });
    join_all(twins.iter().map(|twin| twin.ok("reportRun", report.clone(), ""))).await;
    hours("99.9").await;
    app.until_idle().await;
    for leader in [&team.owner, &admin] {
        assert_eq!(told(&app, &leader.email), (1, 0), "{}", leader.email);
    }
    let mail = app.mail_about("admin@example.org", "80 % of its credits").await;
    assert!(mail.text.contains("10.00") && mail.text.contains("Acme Genomics"), "{}", mail.text);
    ada.queue(&team.id, "The last").await;
    hours("100").await;
    hours("120").await;
    app.until_idle().await;
    for leader in [&team.owner, &admin] {
        assert_eq!(told(&app, &leader.email), (1, 1), "{}", leader.email);
    }
    assert_eq!(told(&app, "ada@example.org"), (0, 0));
    let input = json!({ "organizationId": team.id, "kind": "JOB", "name": "Too late" });
    assert_eq!(ada.refused("queueRun", input).await.is(), ("QUOTA_EXCEEDED", "input.organizationId"));
    // More credits, and more to be told of.
    buy(&app, &team.id, "10", "second").await;
    ada.queue(&team.id, "Again").await;
    hours("170").await;
    app.until_idle().await;
    assert_eq!(told(&app, "owner@example.org"), (2, 1));
    assert_eq!(overview(&team.owner, &team.id).await["creditsAvailable"], "3");
    let log = team.audit().await;
    assert_eq!(log.iter().filter(|action| *action == "organization.credits_spent").count(), 3, "{log:?}");
    app.finish().await;
}

const LIMITS: &str = "query($id: ID!) { organization(by: { id: $id }) { billing { seatLimit seatsUsed storageLimitBytes storageUsedBytes \
     runLimit runsUsed runLimits { kind limit used } workspaceLimit workspacesUsed upgradeUrl } } }";

// R79: limits for runs of each kind, besides the one for all, and for workspaces; exact under concurrency, and what is
// used beside them.
#[tokio::test]
async fn limits_of_each_kind_hold_and_can_be_seen() {
    let app = TestApp::builder().setting("ROLLCALL_UPGRADE_URL", "https://example.org/plans").start().await;
    let team = app.team().await;
    let plan = json!({ "organizationId": team.id, "plan": "team", "runLimit": 5, "workspaceLimit": 2,
        "runLimits": [{ "kind": "STUDIO", "limit": 2 }, { "kind": "JOB", "limit": 4 }] });
    app.staff().ok("setPlan", plan, "").await;
    let queue = |kind: &str| json!({ "organizationId": team.id, "kind": kind, "name": "Align" });
    let many = async |mutation: &str, input: Value| {
        let twins: Vec<Client> = (0..16).map(|_| team.owner.twin()).collect();
        let answers = join_all(twins.iter().map(|twin| twin.mutate(mutation, input.clone(), ""))).await;
        answers.iter().flat_map(|answer| answer.user_errors(mutation)).collect::<Vec<_>>()
    };
    let refusals = many("queueRun", queue("STUDIO")).await;
    assert_eq!(refusals.len(), 14, "{refusals:?}");
    assert!(refusals.iter().all(|error| error.is() == ("QUOTA_EXCEEDED", "input.organizationId")), "{refusals:?}");
    // Four jobs would fit by themselves, but five runs in all.
    assert_eq!(many("queueRun", queue("JOB")).await.len(), 13);
    let workspace = json!({ "organizationId": team.id, "kind": "WORKSPACE", "name": "Atlas", "sizeBytes": 100 });
    let refusals = many("createResource", workspace).await;
    assert_eq!(refusals.len(), 14, "{refusals:?}");
    assert!(refusals.iter().all(|error| error.is() == ("QUOTA_EXCEEDED", "input.kind")), "{refusals:?}");
    team.owner.create(&team.id, "VOLUME", "Not a workspace").await;
    let seen = team.owner.query(LIMITS, json!({ "id": team.id })).await["organization"]["billing"].clone();
    assert_eq!(
        seen,
        json!({ "seatLimit": null, "seatsUsed": 1, "storageLimitBytes": null, "storageUsedBytes": "200", "runLimit": 5, "runsUsed": 5,
            "runLimits": [{ "kind": "JOB", "limit": 4, "used": 3 }, { "kind": "STUDIO", "limit": 2, "used": 2 }],
            "workspaceLimit": 2, "workspacesUsed": 2, "upgradeUrl": "https://example.org/plans" })
    );
    // A list replaces the limits, null removes them, and what is left out stays.
    let set = async |fields: Value| {
        let input = with(json!({ "organizationId": team.id, "plan": "team" }), fields);
        app.staff().ok("setPlan", input, "").await;
        let seen = team.owner.query(LIMITS, json!({ "id": team.id })).await;
        seen["organization"]["billing"]["runLimits"].as_array().unwrap().len()
    };
    assert_eq!(set(json!({})).await, 2);
    assert_eq!(set(json!({ "runLimits": [{ "kind": "PIPELINE", "limit": 0 }], "runLimit": null })).await, 1);
    let refused = team.owner.refused("queueRun", queue("PIPELINE")).await;
    assert_eq!(refused.is(), ("QUOTA_EXCEEDED", "input.organizationId"));
    team.owner.ok("queueRun", queue("STUDIO"), "").await;
    assert_eq!(set(json!({ "runLimits": null })).await, 0);
    team.owner.ok("queueRun", queue("PIPELINE"), "").await;
    for (fields, path) in [
        (json!({ "runLimits": [{ "kind": "JOB", "limit": -1 }] }), "input.runLimits.0.limit"),
        (
            json!({ "runLimits": [{ "kind": "JOB", "limit": 1 }, { "kind": "JOB", "limit": 2 }] }),
            "input.runLimits.1.limit",
        ),
        (json!({ "workspaceLimit": -1 }), "input.workspaceLimit"),
    ] {
        let input = with(json!({ "organizationId": team.id, "plan": "team" }), fields);
        assert_eq!(app.staff().refused("setPlan", input).await.is(), ("INVALID", path));
    }
    app.finish().await;
}

// R79: the owner and admins ask for more, three times a day; the support's mail says who asks and what is used.
#[tokio::test]
async fn an_organization_asks_for_more() {
    let app = TestApp::builder().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let input = json!({ "organizationId": team.id, "message": "We need 300 seats.\nSee https://evil.example" });
    assert_eq!(ada.refused("requestUpgrade", input.clone()).await.is(), ("FORBIDDEN", "input.organizationId"));
    let eve = app.sign_up("eve@example.org").await;
    assert_eq!(eve.refused("requestUpgrade", input.clone()).await.is(), ("NOT_FOUND", "input.organizationId"));
    let long = json!({ "organizationId": team.id, "message": "x".repeat(2001) });
    assert_eq!(admin.refused("requestUpgrade", long).await.is(), ("TOO_LONG", "input.message"));
    let twins: Vec<Client> = (0..8).map(|_| admin.twin()).collect();
    let answers = join_all(twins.iter().map(|twin| twin.mutate("requestUpgrade", input.clone(), ""))).await;
    let refusals: Vec<_> = answers.iter().flat_map(|answer| answer.user_errors("requestUpgrade")).collect();
    assert_eq!(refusals.len(), 5);
    assert!(refusals.iter().all(|error| error.is() == ("RATE_LIMITED", "input.organizationId")), "{refusals:?}");
    let mail = app.mail_about("support@example.net", "asks for more").await;
    for part in ["admin@example.org", "Acme Genomics", "300 seats", &team.id, "3, without a limit"] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
    assert!(mail.links().is_empty() && mail.html_links().is_empty(), "{}", mail.text);
    app.until_idle().await;
    assert_eq!(app.mails_about("support@example.net", "asks for more").len(), 3);
    assert!(team.audit().await.contains(&"organization.upgrade_requested".to_owned()));
    app.finish().await;
}

// R79: the support gets only so many requests of one account and of one client, over however many organizations; those
// of others still reach it.
#[tokio::test]
async fn an_account_with_many_organizations_asks_no_more_often() {
    let app = TestApp::builder().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let team = app.team().await;
    let mut owned = vec![team.id.clone()];
    for number in 1..4 {
        owned.push(team.owner.found(&format!("Acme {number}")).await);
    }
    let ask = |id: &str| json!({ "organizationId": id });
    // Three of each organization, and ten in all.
    for number in 0..10 {
        team.owner.ok("requestUpgrade", ask(&owned[number / 3]), "").await;
    }
    let refused = team.owner.refused("requestUpgrade", ask(&owned[3])).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.organizationId"));
    assert!(refused.message.contains("your account may ask for more 10 times a day"), "{}", refused.message);
    // What was refused isn't counted, for the client neither.
    let counted = "SELECT count::bigint AS value FROM attempts WHERE bucket = 'support_mail_client'";
    assert_eq!(app.database.number(counted).await, 10);
    let eve = app.sign_up("eve@example.org").await;
    let elsewhere = eve.found("Elsewhere").await;
    eve.ok("requestUpgrade", ask(&elsewhere), "").await;
    // A client, whoever asks from it.
    app.database.sql("UPDATE attempts SET count = 30 WHERE bucket = 'support_mail_client'").await;
    let refused = eve.refused("requestUpgrade", ask(&elsewhere)).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.organizationId"));
    assert!(refused.message.contains("30 times an hour from where you are"), "{}", refused.message);
    eve.from("127.0.0.2", None).ok("requestUpgrade", ask(&elsewhere), "").await;
    app.until_idle().await;
    assert_eq!(app.mails_about("support@example.net", "asks for more").len(), 12);
    app.finish().await;
}

// R79: where nobody reads requests, the answer says so.
#[tokio::test]
async fn without_a_support_address_nobody_is_asked() {
    let app = TestApp::builder().setting("ROLLCALL_UPGRADE_URL", "https://example.org/plans").start().await;
    let team = app.team().await;
    let refused = team.owner.refused("requestUpgrade", json!({ "organizationId": team.id })).await;
    assert_eq!(refused.is(), ("INVALID", "input.organizationId"));
    assert!(refused.message.contains("https://example.org/plans"), "{}", refused.message);
    app.finish().await;
}

// R70: storage is metered once for each day, however many workers run, and also for days on which none did.
#[tokio::test]
async fn storage_is_metered_once_a_day() {
    let mut app = TestApp::builder().workers(3).start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let workspace = ada.create(&team.id, "WORKSPACE", "Atlas").await;
    let inside = json!({ "containerId": workspace, "kind": "VOLUME", "name": "Reads", "sizeBytes": "60000000000" });
    ada.ok("createResource", inside, "").await;
    let outside = json!({ "organizationId": team.id, "kind": "VOLUME", "name": "Archive", "sizeBytes": "30000000001" });
    team.owner.ok("createResource", outside, "").await;
    let metered = "SELECT count(*) AS value FROM metered_days WHERE completed_at IS NOT NULL";
    let days = async |app: &TestApp, expected: i64| {
        until("the days are metered", async || (app.database.number(metered).await == expected).then_some(())).await;
        app.until_idle().await;
    };
    let again = async |app: &mut TestApp| {
        app.stop_workers().await;
        app.database.sql("UPDATE job_schedules SET next_at = job_clock()").await;
        (0..3).for_each(|_| app.start_worker());
    };
    // Yesterday, on which there was no organization.
    again(&mut app).await;
    days(&app, 1).await;
    assert!(series(&team.owner, &team.id, "KIND").await.is_empty());
    app.shift_clock("1 day").await;
    days(&app, 2).await;
    let spent = overview(&team.owner, &team.id).await["creditsSpent"].clone();
    // Again on the same day, and then three days on which nobody looked.
    again(&mut app).await;
    app.until_idle().await;
    assert_eq!(overview(&team.owner, &team.id).await["creditsSpent"], spent);
    app.shift_clock("3 days").await;
    days(&app, 5).await;
    // By days, each by the length of its month: 60 GB of one member in a workspace, 30 GB of another's outside. The
    // last digit is what is missing to the rounded sum of the month so far.
    let per_day = "SELECT count(*) AS value FROM usage_entries WHERE kind = 'storage_gb_months' AND abs(quantity - \
         CASE WHEN workspace_id IS NULL THEN 30.000000001 ELSE 60 END / extract(day FROM date_trunc('month', occurred_at AT TIME ZONE 'UTC') \
         + interval '1 month - 1 day')::numeric) < 0.000000001 AND credits = quantity * 0.025";
    assert_eq!(app.database.number(per_day).await, 8);
    assert_eq!(app.database.number("SELECT count(*) AS value FROM usage_entries").await, 8);
    let variables = json!({ "id": team.id, "since": ago(2), "until": ago(-6), "by": "WORKSPACE" });
    let points = team.owner.query(SERIES, variables).await["organization"]["usageSeries"].as_array().unwrap().clone();
    assert_eq!(points.len(), 8);
    assert_eq!(points.iter().filter(|point| point["workspace"]["id"] == workspace.as_str()).count(), 4);
    assert_eq!(sum(&points), decimal(&overview(&team.owner, &team.id).await["creditsSpent"]));
    app.finish().await;
}

// R70: what is there on all days of a month has as many GB-months as it has GB, to the last digit, whatever the month's
// length.
#[tokio::test]
async fn a_gb_that_stays_for_a_month_is_one_gb_month() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let volume = json!({ "organizationId": team.id, "kind": "VOLUME", "name": "Archive", "sizeBytes": "1000000000" });
    team.owner.ok("createResource", volume, "").await;
    let odd = json!({ "organizationId": team.id, "kind": "WORKSPACE", "name": "Atlas", "sizeBytes": "1000000007" });
    team.owner.ok("createResource", odd, "").await;
    app.until_idle().await;
    app.stop_workers().await;
    // As if they had been there all year, and no worker since.
    app.database
        .sql(
            "UPDATE organizations SET created_at = '2025-01-01 00:00Z'; DELETE FROM metered_days; \
             INSERT INTO metered_days (day, completed_at) VALUES ('2025-12-31', rollcall_now()); \
             UPDATE job_schedules SET next_at = job_clock()",
        )
        .await;
    app.start_worker();
    let metered = "SELECT count(*) AS value FROM metered_days WHERE completed_at IS NOT NULL AND day BETWEEN '2026-01-01' AND '2026-04-30'";
    until("the days are metered", async || (app.database.number(metered).await == 120).then_some(())).await;
    app.until_idle().await;
    let variables = json!({ "id": team.id, "since": "2026-01-01T00:00:00Z", "until": "2026-05-01T00:00:00Z", "interval": "MONTH",
        "by": "KIND" });
    let points = team.owner.query(SERIES, variables).await["organization"]["usageSeries"].as_array().unwrap().clone();
    let months: Vec<_> = points.iter().map(|point| (text(&point["from"]), text(&point["quantity"]))).collect();
    let month = |month: u32| (format!("2026-{month:02}-01T00:00:00+00:00"), "2.000000007".to_owned());
    assert_eq!(months, [month(1), month(2), month(3), month(4)]);
    app.finish().await;
}

// R69: whose usage it is: members and former members as they are, collaborators as they were named, and nobody else's
// identity.
#[tokio::test]
async fn a_series_reveals_no_strangers() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let (eve, bob) = (app.sign_up("eve@example.org").await, app.sign_up("bob@example.org").await);
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let grant = team.owner.grant(&project, json!({ "username": eve.username().await }), "VIEW").await;
    let here = |key: &str, quantity: &str, person: &Client| {
        with(entry(key, quantity), json!({ "organizationId": team.id, "userId": person.user_id }))
    };
    let report = entries(&[here("a", "10", &ada), here("b", "20", &eve), here("c", "30", &bob)]);
    app.staff().ok("reportUsage", report, "").await;
    let departure = team.remove(&ada).await;
    app.completed(&team, &departure).await;
    let query = "query($id: ID!, $since: DateTime!, $until: DateTime!) { organization(by: { id: $id }) { \
         usageSeries(since: $since, until: $until, groupBy: MEMBER) { user { id name username avatarUrl } credits } } }";
    let seen = async |viewer: &Client| {
        let found = viewer.query(query, json!({ "id": team.id, "since": ago(2), "until": ago(-2) })).await;
        let points = found["organization"]["usageSeries"].as_array().unwrap().clone();
        let by = |credits: &str| points.iter().find(|point| point["credits"] == credits).unwrap()["user"].clone();
        [by("1"), by("2"), by("3")]
    };
    let [of_ada, of_eve, of_bob] = seen(&team.owner).await;
    assert_eq!((&of_ada["id"], &of_ada["username"]), (&json!(ada.user_id), &json!(ada.username().await)));
    assert_eq!((&of_eve["name"], &of_eve["username"]), (&json!(eve.username().await), &json!(eve.username().await)));
    assert_eq!((&of_bob["name"], &of_bob["username"]), (&json!("someone"), &json!("someone")));
    for (shown, person) in [(&of_eve, &eve), (&of_bob, &bob)] {
        assert_ne!(shown["id"], person.user_id.as_str());
        let node = team.owner.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": shown["id"] })).await;
        assert!(node["node"].is_null(), "{node}");
    }
    let listed = "query($id: ID!) { organization(by: { id: $id }) { collaborators { nodes { user { id } } } } }";
    let listed = team.owner.query(listed, json!({ "id": team.id })).await;
    assert_eq!(nodes(&listed["organization"]["collaborators"])[0]["user"]["id"], of_eve["id"]);
    // Nothing is shared with her any more, and nothing else changes.
    team.owner.ok("revokeAccess", json!({ "grantId": grant }), "").await;
    let [_, after, _] = seen(&team.owner).await;
    assert_eq!((&after["id"], &after["name"]), (&of_eve["id"], &json!("someone")));
    let [_, of_eve, of_bob] = seen(&app.staff()).await;
    assert_eq!((&of_eve["id"], &of_bob["id"]), (&json!(eve.user_id), &json!(bob.user_id)));
    app.finish().await;
}

// R1, R70: a service key reads no account, not even that of whoever queued the run that it reports; nor do platform
// keys without READ.
#[tokio::test]
async fn keys_that_read_no_accounts_see_nobody() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let policy = json!({ "organizationId": team.id, "memberDirectory": "EVERYONE" });
    team.owner.ok("updateOrganizationPolicy", policy, "").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let run = ada.queue(&team.id, "Align").await;
    let platform = async |scopes: &[&str]| {
        let input = json!({ "name": "backend", "scopes": scopes });
        app.client(&text(&app.staff().ok("createPlatformKey", input, "secret").await["secret"]))
    };
    let reported = async |key: &Client| {
        let input = json!({ "id": run, "status": "RUNNING" });
        let selection = "run { queuedBy { id name username avatarUrl } resource { owner { name } } }";
        key.ok("reportRun", input, selection).await["run"]["queuedBy"].clone()
    };
    for key in [service(&app, &team, "WRITE").await, platform(&["USAGE_REPORT"]).await] {
        let seen = reported(&key).await;
        assert_eq!((&seen["name"], &seen["username"]), (&json!("member"), &json!("member")));
        assert!(seen["id"] != ada.user_id.as_str() && seen["avatarUrl"].is_null(), "{seen}");
    }
    assert_eq!(reported(&platform(&["USAGE_REPORT", "READ"]).await).await["id"], ada.user_id.as_str());
    // What a key changes shows it nobody either.
    let members = platform(&["MEMBERS_WRITE"]).await;
    let input = json!({ "memberId": team.member_id(&ada).await, "role": "VIEWER" });
    let changed =
        members.ok("changeMemberRole", input, "member { role email user { id name } }").await["member"].clone();
    assert_eq!(
        (&changed["role"], &changed["email"], &changed["user"]["name"]),
        (&json!("VIEWER"), &Value::Null, &json!("member"))
    );
    assert_ne!(changed["user"]["id"], ada.user_id.as_str());
    app.finish().await;
}

// R69: a series with more points than fit keeps those who spent the most and the exact sum.
#[tokio::test]
async fn long_series_are_folded_and_stay_exact() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let people = app.sign_up_many(30).await;
    // 30 people on 100 days, of whom the last one spends the most.
    let users: Vec<String> = people.iter().map(|person| format!("'{}'::uuid", uuid(&person.user_id))).collect();
    let insert = format!(
        "INSERT INTO usage_entries (id, organization_id, kind, quantity, credits, user_id, occurred_at, recorded_at) \
         SELECT gen_random_uuid(), '{}', 'cpu_hours', p.n + 0.000000001, (p.n + 0.000000001) * 0.1, (ARRAY[{}])[p.n], \
         rollcall_now() - make_interval(days => d), rollcall_now() FROM generate_series(1, 30) AS p (n), generate_series(1, 100) AS d",
        uuid(&team.id),
        users.join(", ")
    );
    app.database.sql(&insert).await;
    for (interval, by, most, least) in
        [("DAY", "MEMBER", 1_000, 900), ("MONTH", "MEMBER", 30 * 5, 30 * 3), ("DAY", "KIND", 100, 100)]
    {
        let variables = json!({ "id": team.id, "since": ago(101), "until": ago(0), "interval": interval, "by": by });
        let points =
            team.owner.query(SERIES, variables).await["organization"]["usageSeries"].as_array().unwrap().clone();
        assert!((least..=most).contains(&points.len()), "{interval} {by}: {}", points.len());
        // 100 days of 465 hours and 30 times the last digit.
        assert_eq!(
            sum(&points).to_string().parse::<rust_decimal::Decimal>().unwrap().normalize().to_string(),
            "4650.0000003"
        );
        if (interval, by) == ("DAY", "MEMBER") {
            // Each person has one id throughout, and their credits of a day tell who they are.
            let of = |credits: &str| {
                let theirs = points.iter().filter(|point| point["user"].is_object() && point["credits"] == credits);
                theirs.map(|point| text(&point["user"]["id"])).collect::<Vec<_>>()
            };
            let most_of_all = of("3.0000000001");
            assert!(most_of_all.len() == 100 && most_of_all.iter().all(|id| *id == most_of_all[0]), "{most_of_all:?}");
            assert_eq!(of("0.1000000001"), [""; 0]);
            assert!(points.windows(2).all(|pair| text(&pair[0]["from"]) <= text(&pair[1]["from"])));
        }
    }
    app.finish().await;
}

// R69: a run that is cancelled, by whomever, isn't in progress; the ids of a leaver's are in the event.
#[tokio::test]
async fn runs_are_listed_and_counted_as_they_end() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let runner = service(&app, &team, "WRITE").await;
    let (first, second) = (ada.queue(&team.id, "First").await, ada.queue(&team.id, "Second").await);
    let job = json!({ "organizationId": team.id, "kind": "JOB", "name": "Third" });
    let third = text(&team.owner.ok("queueRun", job, "run { id }").await["run"]["id"]);
    for run in [&first, &third] {
        runner.ok("reportRun", json!({ "id": run, "status": "RUNNING", "cpuHours": "1" }), "").await;
    }
    let list = "query($id: ID!, $kind: RunKind, $by: ID, $status: RunStatus) { organization(by: { id: $id }) { \
         runs(kind: $kind, queuedById: $by, status: $status) { nodes { id } } } }";
    let listed = async |client: &Client, filter: Value| {
        let found = client.query(list, with(json!({ "id": team.id }), filter)).await;
        nodes(&found["organization"]["runs"]).iter().map(|run| text(&run["id"])).collect::<Vec<_>>()
    };
    assert_eq!(listed(&team.owner, json!({ "kind": "JOB" })).await, std::slice::from_ref(&third));
    assert_eq!(listed(&team.owner, json!({ "by": ada.user_id })).await, [first.clone(), second.clone()]);
    let both = json!({ "by": ada.user_id, "kind": "PIPELINE", "status": "RUNNING" });
    assert_eq!(listed(&team.owner, both).await, std::slice::from_ref(&first));
    assert!(listed(&ada, json!({ "by": team.owner.user_id })).await.is_empty());
    assert_eq!(listed(&ada, json!({ "kind": "PIPELINE" })).await.len(), 2);

    let departure = team.remove(&ada).await;
    app.completed(&team, &departure).await;
    let seen = overview(&team.owner, &team.id).await;
    assert_eq!((&seen["totalRuns"], &seen["concurrentRuns"]), (&json!(3), &json!(2)));
    let query = "query($id: ID!) { organization(by: { id: $id }) { auditLog(last: 100, action: \"departure.runs_cancelled\") { \
         nodes { metadata } } } }";
    let events = team.owner.query(query, json!({ "id": team.id })).await;
    assert_eq!(nodes(&events["organization"]["auditLog"])[0]["metadata"]["runIds"], json!([second]));
    // The owner stops a run, and the platform is told so when it reports.
    team.owner.ok("cancelRun", json!({ "id": third }), "").await;
    let late = runner.refused("reportRun", json!({ "id": third, "status": "SUCCEEDED", "cpuHours": "2" })).await;
    assert_eq!(late.is(), ("CONFLICT", "input.status"));
    runner.ok("reportRun", json!({ "id": third, "status": "CANCELLED", "cpuHours": "2" }), "").await;
    let seen = overview(&team.owner, &team.id).await;
    assert_eq!((&seen["concurrentRuns"], &seen["creditsSpent"]), (&json!(1), &json!("0.3")));
    app.finish().await;
}
