//! The feed: the events of all organizations in one order (R90).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use diesel_async::SimpleAsyncConnection;
use futures_util::future::{join, join_all};

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::{Client, TestApp, Value, json, until};

const EVENTS: &str = "query($after: String, $first: Int, $actions: [String!], $id: ID) { \
     events(after: $after, first: $first, actions: $actions, organizationId: $id) { \
       edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } \
       nodes { id sequence action actor { id } actorKind targetId metadata subject { id } organization { id } platformKey } } }";

/// A platform key with EVENTS_READ alone.
pub async fn events_key(app: &TestApp) -> Client {
    let input = json!({ "name": "follower", "scopes": ["EVENTS_READ"] });
    app.client(&text(&app.staff().ok("createPlatformKey", input, "secret").await["secret"]))
}

/// The events of a feed from the beginning, page by page, as far as they are shown now.
pub async fn read(client: &Client, first: usize, filter: Value) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut variables = filter.clone();
        variables["after"] = after.clone();
        variables["first"] = json!(first);
        let page = client.query(EVENTS, variables).await["events"].clone();
        assert_eq!(page["pageInfo"]["hasPreviousPage"], !after.is_null());
        events.extend(nodes(&page).iter().cloned());
        if page["pageInfo"]["hasNextPage"] == false {
            return events;
        }
        assert_eq!(nodes(&page).len(), first);
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// All events of the database, once none of them is held back any more.
pub async fn read_all(app: &TestApp, client: &Client) -> Vec<Value> {
    let count = app.database.number("SELECT count(*) AS value FROM audit_events").await;
    until("every event is shown", async || {
        let events = read(client, 1_000, json!({})).await;
        (i64::try_from(events.len()).unwrap() >= count).then_some(events)
    })
    .await
}

/// What must be true of any part of the feed from its beginning on: nothing twice, and each log in its order, whole.
fn assert_in_order(events: &[Value]) {
    let ids: BTreeSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "something comes twice");
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for event in events {
        let log = event["organization"]["id"].as_str().unwrap_or("the deployment");
        let sequence: i64 = event["sequence"].as_str().unwrap().parse().unwrap();
        assert_eq!(sequence, last.get(log).copied().unwrap_or_default() + 1, "a gap in {log}, or another order");
        last.insert(log, sequence);
    }
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| text(&event["id"])).collect()
}

/// A statement that records an event in an organization's log.
fn append(organization: &str, summary: &str) -> String {
    let event = json!([{
        "organization_id": uuid(organization), "id": uuid::Uuid::now_v7(), "action": "organization.updated",
        "actor_kind": "system", "actor_id": null, "target_id": organization, "summary": summary, "metadata": {},
    }]);
    format!("SELECT audit_append('{event}'::jsonb)")
}

// R90: while eight write and old transactions commit late, a reader misses nothing, gets nothing twice, and what it has
// seen stays in its place.
#[tokio::test]
async fn nothing_appears_before_what_was_shown() {
    let app = TestApp::start().await;
    let people = app.sign_up_many(8).await;
    let organizations = join_all(people.iter().map(|person| person.found("Acme"))).await;
    let key = events_key(&app).await;
    let is_over = AtomicBool::new(false);

    let writers = people.iter().zip(&organizations).map(async |(person, organization)| {
        for number in 0..15 {
            person.create(organization, "PROJECT", &format!("Project {number}")).await;
        }
    });
    // One that holds its place while others commit, and one that is older than what its log has by the time it writes.
    let slow = async {
        for round in 0..3 {
            let (mut one, mut other) = join(app.database.connection(), app.database.connection()).await;
            one.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
            other.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
            let quiet = people[round].found("Quiet").await;
            one.batch_execute(&append(&quiet, "held")).await.unwrap();
            people[7].create(&organizations[7], "PROJECT", "Meanwhile").await;
            other.batch_execute(&append(&organizations[7], "late")).await.unwrap();
            other.batch_execute("COMMIT").await.unwrap();
            people[7].create(&organizations[7], "PROJECT", "Afterwards").await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            one.batch_execute("COMMIT").await.unwrap();
        }
    };
    let writing = async {
        join(join_all(writers), slow).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let reading = async {
        let (mut seen, mut after) = (Vec::new(), Value::Null);
        loop {
            let was_over = is_over.load(Ordering::Relaxed);
            let page = key.query(EVENTS, json!({ "after": after, "first": 7 })).await["events"].clone();
            if nodes(&page).is_empty() {
                let all = app.database.number("SELECT count(*) AS value FROM audit_events").await;
                if was_over && i64::try_from(seen.len()).unwrap() == all {
                    return seen;
                }
                continue;
            }
            seen.extend(nodes(&page).iter().cloned());
            after = page["pageInfo"]["endCursor"].clone();
        }
    };
    let ((), seen) = tokio::time::timeout(std::time::Duration::from_secs(120), join(writing, reading)).await.unwrap();
    assert_in_order(&seen);
    assert_eq!(ids(&seen), ids(&read(&key, 1_000, json!({})).await));
    assert_eq!(ids(&seen), ids(&read(&app.staff(), 13, json!({})).await));
    let logs = app.database.number("SELECT count(*) AS value FROM audit_heads").await;
    let shown: BTreeSet<String> = seen.iter().map(|event| event["organization"]["id"].to_string()).collect();
    assert_eq!(i64::try_from(shown.len()).unwrap(), logs);
    for organization in &organizations {
        let verified = "query($id: ID!) { verifyAuditLog(organizationId: $id) { ok } }";
        let owner = &people[organizations.iter().position(|other| other == organization).unwrap()];
        assert_eq!(owner.query(verified, json!({ "id": organization })).await["verifyAuditLog"]["ok"], true);
    }
    app.finish().await;
}

// R90, R85: for staff and keys with the scope, within a key's organizations; filtered and paged.
#[tokio::test]
async fn it_is_for_keys_with_the_scope_and_for_staff() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let member = app.join(&team, "max@example.org", "MEMBER").await;
    let other = team.owner.found("Other").await;
    let project = team.owner.create(&team.id, "PROJECT", "Atlas").await;
    let key = events_key(&app).await;
    let all = read_all(&app, &key).await;
    assert_in_order(&all);
    assert_eq!(ids(&all), ids(&read_all(&app, &app.staff()).await));

    // An event names whom it concerns, though the key has no READ. The deployment's own log belongs to no organization.
    let joined = all.iter().find(|event| event["action"] == "organization.member_joined").unwrap();
    assert_eq!(
        (&joined["actor"]["id"], &joined["subject"]["id"], &joined["organization"]["id"]),
        (&json!(member.user_id), &json!(member.user_id), &json!(team.id))
    );
    let made = all.iter().find(|event| event["action"] == "platform.key_created").unwrap();
    assert!(made["organization"].is_null() && made["actorKind"] == "STAFF", "{made}");

    // By actions, by organization, by both; a cursor fits every filter.
    let of = |wanted: &dyn Fn(&Value) -> bool| -> Vec<String> {
        all.iter().filter(|event| wanted(event)).map(|event| text(&event["id"])).collect()
    };
    let actions = ["resource.created", "organization.created"];
    let is_named = |event: &Value| actions.contains(&event["action"].as_str().unwrap());
    let is_there = |event: &Value| event["organization"]["id"] == team.id.as_str();
    for first in [1, 3, 1_000] {
        assert_eq!(ids(&read(&key, first, json!({ "actions": actions })).await), of(&is_named));
        assert_eq!(ids(&read(&key, first, json!({ "id": team.id })).await), of(&is_there));
        let both = read(&key, first, json!({ "actions": actions, "id": team.id })).await;
        assert_eq!(ids(&both), of(&|event: &Value| is_named(event) && is_there(event)));
    }
    let cursor = key.query(EVENTS, json!({ "first": 5 })).await["events"]["pageInfo"]["endCursor"].clone();
    let rest = key.query(EVENTS, json!({ "after": cursor, "id": team.id, "first": 1_000 })).await;
    let expected: Vec<Value> = all[5..].iter().filter(|event| is_there(event)).cloned().collect();
    assert_eq!(ids(nodes(&rest["events"])), ids(&expected));

    // A limited key reads of its organizations alone.
    let input = json!({ "name": "limited", "scopes": ["EVENTS_READ"], "organizationIds": [team.id] });
    let limited = app.client(&text(&app.staff().ok("createPlatformKey", input, "secret").await["secret"]));
    assert_eq!(ids(&read(&limited, 2, json!({})).await), of(&is_there));
    assert_eq!(ids(&read(&limited, 2, json!({ "actions": actions })).await).len(), 2);
    let id = text(&all[all.len() - 1]["id"]);
    assert_eq!(limited.run(EVENTS, json!({ "id": other })).await.error_code(), "NOT_FOUND");
    let input = json!({ "name": "blind", "scopes": ["READ"] });
    let blind = app.client(&text(&app.staff().ok("createPlatformKey", input, "secret").await["secret"]));
    for nobody in [&team.owner, &member, &blind] {
        let answer = nobody.run(EVENTS, json!({})).await;
        assert_eq!(answer.error_code(), "FORBIDDEN");
    }
    let seen = "query($id: ID!) { node(id: $id) { id } }";
    assert!(!key.query(seen, json!({ "id": id })).await["node"].is_null());
    assert!(limited.query(seen, json!({ "id": id })).await["node"].is_null());
    assert_eq!(app.anonymous().run(EVENTS, json!({})).await.error_code(), "UNAUTHENTICATED");
    for wrong in [
        json!({ "first": 1_001 }),
        json!({ "first": -1 }),
        json!({ "after": "nonsense" }),
        json!({ "actions": ["organization.exploded"] }),
        json!({ "id": project }),
    ] {
        assert_eq!(key.run(EVENTS, wrong.clone()).await.error_code(), "BAD_REQUEST", "{wrong}");
    }
    let nowhere = json!({ "id": "org_01h455vb4pex5vsknk084sn02q" });
    assert_eq!(key.run(EVENTS, nowhere).await.error_code(), "NOT_FOUND");
    app.finish().await;
}

// R90: a database that moves to a server whose transactions have smaller ids goes on where it was, and a cursor from a
// time that was lost is refused.
#[tokio::test]
async fn it_goes_on_in_a_restored_database() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let key = events_key(&app).await;
    let before = read_all(&app, &key).await;
    app.stop_workers().await;
    app.stop_api().await;
    app.database
        .sql(
            "ALTER TABLE audit_events DISABLE TRIGGER audit_events_only_grow; \
             UPDATE audit_events SET feed_position = feed_position + (1000000000::bigint << 16); \
             ALTER TABLE audit_events ENABLE TRIGGER audit_events_only_grow; \
             UPDATE audit_heads SET feed_position = feed_position + (1000000000::bigint << 16)",
        )
        .await;
    app.start_api().await;
    app.start_worker();
    let (owner, key) = (app.client(team.owner.token.as_deref().unwrap()), app.client(key.token.as_deref().unwrap()));
    for name in ["One", "Two"] {
        owner.found(name).await;
    }
    let after = read_all(&app, &key).await;
    assert_in_order(&after);
    assert_eq!(ids(&after[..before.len()]), ids(&before));
    let lost = key.query(EVENTS, json!({ "first": 1_000 })).await["events"]["pageInfo"]["endCursor"].clone();
    app.database
        .sql(
            "ALTER TABLE audit_events DISABLE TRIGGER audit_events_only_grow; \
             DELETE FROM audit_events WHERE feed_position = (SELECT max(feed_position) FROM audit_events)",
        )
        .await;
    assert_eq!(key.run(EVENTS, json!({ "after": lost })).await.error_code(), "BAD_REQUEST");
    app.finish().await;
}
