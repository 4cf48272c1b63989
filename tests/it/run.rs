//! Runs: who queues, sees and cancels them, and what becomes of a leaver's.

use futures_util::future::{join, join_all};

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::{Client, Team, TestApp, Value, json};

const SEEN: &str = "query($id: ID!) { node(id: $id) { ... on Run { id kind name status resource { id } queuedBy { id } \
     queuedAt startedAt finishedAt cpuHours memoryGibHours credits } } }";
const LISTED: &str = "query($id: ID!, $first: Int, $after: String, $status: RunStatus) { organization(by: { id: $id }) { \
     runs(first: $first, after: $after, status: $status) { nodes { name } pageInfo { hasNextPage endCursor } } } }";

async fn seen(client: &Client, id: &str) -> Value {
    client.query(SEEN, json!({ "id": id })).await["node"].clone()
}

/// The names of what someone finds, in its order.
async fn listed(client: &Client, team: &str, status: Option<&str>) -> Vec<String> {
    let found = client.query(LISTED, json!({ "id": team, "first": 100, "status": status })).await;
    nodes(&found["organization"]["runs"]).iter().map(|run| text(&run["name"])).collect()
}

/// What the platform says of a run, until it can say so itself.
async fn set_status(app: &TestApp, id: &str, status: &str) {
    app.database.sql(&format!("UPDATE runs SET status = '{status}' WHERE id = '{}'", uuid(id))).await;
}

async fn set_limit(app: &TestApp, organization: &str, limit: Option<i32>) {
    let input = json!({ "organizationId": organization, "plan": "team", "runLimit": limit });
    app.staff().ok("setPlan", input, "").await;
}

// R8, R14: members queue, viewers and strangers don't; members see and cancel their own, owner and admins all.
#[tokio::test]
async fn members_queue_runs_and_cancel_their_own() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let viewer = app.join(&team, "viewer@example.org", "VIEWER").await;
    let stranger = app.sign_up("eve@example.org").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;

    let input = json!({ "organizationId": team.id, "kind": "STUDIO", "name": " Align ", "resourceId": project });
    let queued = ada.ok("queueRun", input.clone(), "run { id }").await;
    let run = text(&queued["run"]["id"]);
    assert!(run.starts_with("run_"), "{run}");
    for (person, code, field) in [
        (&viewer, "FORBIDDEN", "input.organizationId"),
        (&stranger, "NOT_FOUND", "input.organizationId"),
        // Ada's project isn't shared with her.
        (&grace, "NOT_FOUND", "input.resourceId"),
    ] {
        assert_eq!(person.refused("queueRun", input.clone()).await.is(), (code, field), "{}", person.email);
    }
    let other = ada.found("Elsewhere").await;
    let elsewhere = json!({ "organizationId": other, "kind": "JOB", "name": "Align", "resourceId": project });
    assert_eq!(ada.refused("queueRun", elsewhere).await.is(), ("INVALID", "input.resourceId"));
    let unnamed = json!({ "organizationId": team.id, "kind": "JOB", "name": " " });
    assert_eq!(ada.refused("queueRun", unnamed).await.is(), ("BLANK", "input.name"));

    let node = seen(&ada, &run).await;
    assert_eq!((&node["kind"], &node["name"], &node["status"]), (&json!("STUDIO"), &json!("Align"), &json!("QUEUED")));
    assert_eq!((&node["resource"]["id"], &node["queuedBy"]["id"]), (&json!(project), &json!(ada.user_id)));
    assert!(node["queuedAt"].is_string() && node["startedAt"].is_null() && node["finishedAt"].is_null(), "{node}");
    for spent in ["cpuHours", "memoryGibHours", "credits"] {
        assert_eq!(node[spent], "0", "{spent}");
    }
    let graces = grace.queue(&team.id, "Count").await;
    for (person, both) in [(&team.owner, true), (&admin, true), (&ada, false)] {
        assert_eq!(seen(person, &run).await["id"], json!(run), "{}", person.email);
        assert_eq!(seen(person, &graces).await.is_object(), both, "{}", person.email);
        let names: &[&str] = if both { &["Align", "Count"] } else { &["Align"] };
        assert_eq!(listed(person, &team.id, None).await, names, "{}", person.email);
    }
    for person in [&viewer, &stranger] {
        assert!(seen(person, &run).await.is_null(), "{}", person.email);
        assert_eq!(person.refused("cancelRun", json!({ "id": run })).await.is(), ("NOT_FOUND", "input.id"));
    }
    assert!(listed(&viewer, &team.id, None).await.is_empty());
    let hidden = stranger.query(LISTED, json!({ "id": team.id })).await;
    assert!(hidden["organization"].is_null(), "{hidden}");
    assert_eq!(ada.refused("cancelRun", json!({ "id": graces })).await.is(), ("NOT_FOUND", "input.id"));

    // What waits and what runs can be cancelled, once; what has ended can't.
    let cancelled = ada.ok("cancelRun", json!({ "id": run }), "run { status finishedAt }").await;
    assert_eq!(cancelled["run"]["status"], "CANCELLED");
    assert!(cancelled["run"]["finishedAt"].is_string(), "{cancelled}");
    assert_eq!(ada.refused("cancelRun", json!({ "id": run })).await.is(), ("CONFLICT", "input.id"));
    set_status(&app, &graces, "running").await;
    assert_eq!(listed(&admin, &team.id, Some("RUNNING")).await, ["Count"]);
    assert_eq!(listed(&ada, &team.id, Some("CANCELLED")).await, ["Align"]);
    assert!(listed(&ada, &team.id, Some("RUNNING")).await.is_empty());
    admin.ok("cancelRun", json!({ "id": graces }), "run { id }").await;
    for ended in ["SUCCEEDED", "FAILED"] {
        let id = ada.queue(&team.id, "Ended").await;
        set_status(&app, &id, &ended.to_lowercase()).await;
        assert_eq!(ada.refused("cancelRun", json!({ "id": id })).await.is(), ("CONFLICT", "input.id"), "{ended}");
    }
    // The run outlives what it was about.
    ada.ok("deleteResource", json!({ "id": project }), "").await;
    assert!(seen(&ada, &run).await["resource"].is_null());
    let log = team.audit().await;
    for (action, count) in [("run.queued", 4), ("run.cancelled", 2)] {
        assert_eq!(log.iter().filter(|found| *found == action).count(), count, "{action}: {log:?}");
    }
    app.finish().await;
}

// R8: pages of runs, oldest first, each once.
#[tokio::test]
async fn runs_are_paged() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let names: Vec<String> = (0..5).map(|number| format!("Align {number}")).collect();
    for name in &names {
        team.owner.queue(&team.id, name).await;
    }
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let page =
            team.owner.query(LISTED, json!({ "id": team.id, "first": 2, "after": after, "status": "QUEUED" })).await;
        let page = &page["organization"]["runs"];
        found.extend(nodes(page).iter().map(|run| text(&run["name"])));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(found, names);
    app.finish().await;
}

// R64: the plan's limit on runs under way is exact, however many queue at once.
#[tokio::test]
async fn the_plans_limit_on_runs_holds_however_many_queue_at_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    set_limit(&app, &team.id, Some(5)).await;
    let twins: Vec<Client> = (0..32).map(|_| team.owner.twin()).collect();
    join_all(twins.iter().map(|twin| twin.run("{ __typename }", json!({})))).await;
    let input = json!({ "organizationId": team.id, "kind": "JOB", "name": "Align" });
    let answers = join_all(twins.iter().map(|twin| twin.mutate("queueRun", input.clone(), "run { id }"))).await;
    let refusals: Vec<_> = answers.iter().flat_map(|answer| answer.user_errors("queueRun")).collect();
    assert_eq!(refusals.len(), 27);
    assert!(refusals.iter().all(|error| error.is() == ("QUOTA_EXCEEDED", "input.organizationId")), "{refusals:?}");
    assert_eq!(listed(&team.owner, &team.id, None).await.len(), 5);
    // What runs holds its place; what has ended gives it back.
    let runs = answers.iter().filter(|answer| answer.user_errors("queueRun").is_empty());
    let ids: Vec<String> = runs.map(|answer| text(&answer.data()["queueRun"]["run"]["id"])).collect();
    set_status(&app, &ids[0], "running").await;
    assert_eq!(team.owner.refused("queueRun", input.clone()).await.code, "QUOTA_EXCEEDED");
    set_status(&app, &ids[0], "succeeded").await;
    team.owner.queue(&team.id, "Next").await;
    team.owner.ok("cancelRun", json!({ "id": ids[1] }), "").await;
    team.owner.queue(&team.id, "Next").await;
    // A lower limit ends nothing, and none lets everything in.
    set_limit(&app, &team.id, Some(0)).await;
    assert_eq!(listed(&team.owner, &team.id, Some("QUEUED")).await.len(), 5);
    assert_eq!(team.owner.refused("queueRun", input).await.code, "QUOTA_EXCEEDED");
    set_limit(&app, &team.id, None).await;
    team.owner.queue(&team.id, "Next").await;
    app.finish().await;
}

// R42: a leaver's queued runs are cancelled, in chunks; what runs goes on, and other people's and other organizations'
// wait.
#[tokio::test]
async fn a_leavers_queued_runs_are_cancelled() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let running = ada.queue(&team.id, "Running").await;
    set_status(&app, &running, "running").await;
    let graces = team.owner.queue(&team.id, "The owner's").await;
    let other = ada.found("Elsewhere").await;
    let elsewhere = ada.queue(&other, "Elsewhere").await;
    let first = ada.queue(&team.id, "Align 0").await;
    // More than a chunk of the cascade.
    let many = format!(
        "INSERT INTO runs (id, organization_id, kind, name, status, queued_by_id, queued_at) SELECT gen_random_uuid(), '{}', 'job', \
         'Align ' || n, 'queued', '{}', rollcall_now() FROM generate_series(1, 1200) n",
        uuid(&team.id),
        uuid(&ada.user_id)
    );
    app.database.sql(&many).await;

    let member = team.member_id(&ada).await;
    let query = "query($id: ID!, $member: ID!) { organization(by: { id: $id }) { departurePlan(memberId: $member, kind: REMOVE) { \
         hash steps { step affects examples } } } }";
    let plan = team.owner.query(query, json!({ "id": team.id, "member": member })).await;
    let plan = &plan["organization"]["departurePlan"];
    let steps = plan["steps"].as_array().unwrap();
    let names: Vec<String> = steps.iter().map(|step| text(&step["step"])).collect();
    assert_eq!(names[names.len() - 3..], ["LEAVE_TEAMS", "CANCEL_RUNS", "NOTIFY"]);
    let planned = &steps[steps.len() - 2];
    assert_eq!((&planned["affects"], planned["examples"].as_array().unwrap().len()), (&json!(1_201), 5));

    // Whether there are any is part of what was planned.
    let input = json!({ "memberId": member, "planHash": plan["hash"] });
    let removed = team.owner.ok("removeMember", input, "departure { id }").await;
    let departure = app.completed(&team, &text(&removed["departure"]["id"])).await;
    let step =
        departure["steps"].as_array().unwrap().iter().find(|step| step["step"] == "CANCEL_RUNS").unwrap().clone();
    assert_eq!((&step["done"], &step["total"]), (&json!(1_201), &json!(1_201)), "{departure}");
    assert!(step["completedAt"].is_string());
    let cancelled = seen(&team.owner, &first).await;
    assert_eq!(cancelled["status"], "CANCELLED");
    assert!(cancelled["finishedAt"].is_string(), "{cancelled}");
    assert_eq!(seen(&team.owner, &running).await["status"], "RUNNING");
    assert_eq!(seen(&team.owner, &graces).await["status"], "QUEUED");
    assert_eq!(seen(&ada, &elsewhere).await["status"], "QUEUED");
    assert_eq!(team.audit().await.iter().filter(|action| *action == "departure.runs_cancelled").count(), 2);
    // Theirs are out of their reach.
    assert!(seen(&ada, &running).await.is_null());
    assert_eq!(ada.refused("cancelRun", json!({ "id": running })).await.is(), ("NOT_FOUND", "input.id"));
    app.finish().await;
}

// R42: who comes back while the cascade waits keeps what they queue from then on.
#[tokio::test]
async fn who_is_back_before_the_cascade_keeps_what_they_queue_then() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let before = ada.queue(&team.id, "Before").await;
    app.until_idle().await;
    app.stop_workers().await;
    let departure = ada.ok("leaveOrganization", json!({ "organizationId": team.id }), "departure { id }").await;
    ada.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id }").await;
    let after = ada.queue(&team.id, "After").await;
    app.start_worker();
    app.completed(&team, &text(&departure["departure"]["id"])).await;
    assert_eq!(seen(&ada, &before).await["status"], "CANCELLED");
    assert_eq!(seen(&ada, &after).await["status"], "QUEUED");
    app.finish().await;
}

// R42, R31: queueing against being removed: nothing of a leaver stays queued.
#[tokio::test]
async fn nothing_stays_queued_of_someone_who_is_removed_at_that_moment() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for round in 0..4 {
        let ada = app.join(&team, &format!("person{round}@example.org"), "MEMBER").await;
        let member = team.member_id(&ada).await;
        let twins: Vec<Client> = (0..32).map(|_| ada.twin()).collect();
        join_all(twins.iter().map(|twin| twin.run("{ __typename }", json!({})))).await;
        let input = json!({ "organizationId": team.id, "kind": "JOB", "name": "Align" });
        let queueing = join_all(twins.iter().map(|twin| twin.mutate("queueRun", input.clone(), "run { id }")));
        let removing = team.owner.ok("removeMember", json!({ "memberId": member }), "departure { id }");
        let (_, removed) = join(queueing, removing).await;
        app.completed(&team, &text(&removed["departure"]["id"])).await;
        assert!(listed(&team.owner, &team.id, Some("QUEUED")).await.is_empty(), "{round}");
    }
    app.finish().await;
}

// R42, R64: cancelling at once is one cancelling; a place of the limit is given back once.
#[tokio::test]
async fn a_run_cancelled_many_times_at_once_is_cancelled_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let Team { id, owner } = &team;
    let run = owner.queue(id, "Align").await;
    let twins: Vec<Client> = (0..32).map(|_| owner.twin()).collect();
    join_all(twins.iter().map(|twin| twin.run("{ __typename }", json!({})))).await;
    let answers = join_all(twins.iter().map(|twin| twin.mutate("cancelRun", json!({ "id": run }), ""))).await;
    let refusals: Vec<_> = answers.iter().flat_map(|answer| answer.user_errors("cancelRun")).collect();
    assert_eq!(refusals.len(), 31);
    assert!(refusals.iter().all(|error| error.code == "CONFLICT"), "{refusals:?}");
    assert_eq!(team.audit().await.iter().filter(|action| *action == "run.cancelled").count(), 1);
    app.finish().await;
}
