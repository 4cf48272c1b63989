//! Webhooks of the platform: what happens in all organizations, told to its own services in the order of the feed.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;
use rollcall_domain::base::id::{TypedId, WebhookDeliveryId, to_text};

use crate::feed::{append, read_all};
use crate::platform_key::{self, SCOPES};
use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::receiver::{Answer, Arrival, Receiver};
use crate::support::{Client, TestApp, Value, json, until};

const SHOWN: &str = "id url events enabled failingSince organizationId platformKeyId keptByStaff createdAt \
     deliveries(first: 100) { nodes { id event organizationId sequence status attempts responseStatus error } }";

/// Makes a webhook of the platform; its id and secret.
async fn create(client: &Client, url: &str, events: &[&str]) -> (String, String) {
    let made = client.ok("createWebhook", json!({ "url": url, "events": events }), "webhook { id } secret").await;
    (text(&made["webhook"]["id"]), text(&made["secret"]))
}

/// A webhook with its newest deliveries, as somebody sees it.
async fn webhook(client: &Client, id: &str) -> Value {
    let query = format!("query($id: ID!) {{ node(id: $id) {{ ... on Webhook {{ {SHOWN} }} }} }}");
    client.query(&query, json!({ "id": id })).await["node"].clone()
}

/// The ids of the platform's webhooks that somebody is shown; null for who is shown no list.
async fn listed(client: &Client) -> Value {
    let page = client.query("{ platformWebhooks(first: 100) { totalCount nodes { id } } }", json!({})).await;
    let page = &page["platformWebhooks"];
    if page.is_null() {
        return Value::Null;
    }
    assert_eq!(page["totalCount"], nodes(page).len());
    nodes(page).iter().map(|webhook| webhook["id"].clone()).collect()
}

/// The events that the receiver took, each as it first came, in order.
fn told(receiver: &Receiver) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for arrival in receiver.arrivals().iter().filter(|arrival| arrival.taken) {
        let id = arrival.header("webhook-id").to_owned();
        match told.last() {
            // A repeat is only ever of what came last.
            Some(last) if *last == id => {}
            _ => {
                assert!(!told.contains(&id), "{id} comes again after others");
                told.push(id);
            }
        }
    }
    told
}

/// What the feed holds for a webhook from an action on something on: the ids of its events.
async fn feed_from(app: &TestApp, key: &Client, action: &str, target: &str) -> Vec<String> {
    let events = read_all(app, key).await;
    let first = events.iter().position(|event| event["action"] == action && event["targetId"] == target).unwrap();
    events[first..].iter().map(|event| text(&event["id"])).collect()
}

/// Waits until the receiver took the last event of these, and returns what it took from the first of them on.
async fn told_from(receiver: &Receiver, expected: &[String]) -> Vec<String> {
    let (first, last) = (expected.first().unwrap(), expected.last().unwrap());
    // For as long as there is progress: leases of the dead must run out, and what failed has its pauses.
    let mut count = 0;
    while !told(receiver).contains(last) {
        count = until("another event is told", async || Some(told(receiver).len()).filter(|more| *more > count)).await;
    }
    let told = told(receiver);
    let first = told.iter().position(|id| id == first).expect("the first event isn't told");
    told[first..].to_vec()
}

fn types(arrivals: &[Arrival]) -> Vec<String> {
    arrivals.iter().map(|arrival| text(&arrival.json()["type"])).collect()
}

/// The events of the deployment's own log about a webhook.
async fn audited(app: &TestApp, id: &str) -> Vec<String> {
    let events = format!(
        "SELECT action AS value FROM audit_events WHERE target_id = '{id}' \
         AND organization_id = '00000000-0000-0000-0000-000000000000' ORDER BY sequence"
    );
    app.database.texts(&events).await
}

// R75, R90: while eight write in their organizations, old transactions commit late, the receiver fails now and then and
// workers are killed, every event is told, in the order of the feed, and a repeat is only ever of what came last.
#[tokio::test]
async fn nothing_is_lost_or_overtaken_while_workers_are_killed() {
    let mut app = TestApp::builder().workers(2).start().await;
    let people = app.sign_up_many(8).await;
    let organizations = join_all(people.iter().map(|person| person.found("Acme"))).await;
    let key = platform_key::key(&app, &["EVENTS_READ"]).await;
    let receiver = Receiver::start().await;
    let (id, secret) = create(&key, &receiver.url, &["*"]).await;
    receiver.answer((0..200).map(|n| match n % 40 {
        5 => Answer::Status(500),
        25 => Answer::Status(429),
        _ => Answer::Status(200),
    }));
    let writers = join_all(people.iter().zip(&organizations).map(async |(person, organization)| {
        for number in 0..20 {
            person.create(organization, "PROJECT", &format!("Project {number}")).await;
        }
    }));
    let mut held = app.database.connection().await;
    let slow = async {
        for person in people.iter().take(3) {
            held.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
            let quiet = person.found("Quiet").await;
            held.batch_execute(&append(&quiet, "held")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
            held.batch_execute("COMMIT").await.unwrap();
        }
    };
    let kills = async {
        for count in [5, 40, 80] {
            receiver.wait_for(count).await;
            app.kill_worker();
            app.start_worker();
        }
    };
    tokio::join!(writers, slow, kills);
    let expected = feed_from(&app, &key, "platform.webhook_created", &id).await;
    assert!(expected.len() > 160, "{}", expected.len());
    assert_eq!(told_from(&receiver, &expected).await, expected);
    assert!(receiver.arrivals().iter().all(|arrival| arrival.is_signed_with(&secret)));
    app.until_idle().await;
    let unsent = "SELECT count(*) AS value FROM webhook_deliveries WHERE status <> 'sent'";
    assert_eq!(app.database.number(unsent).await, 0);
    let twice = "SELECT count(*) - count(DISTINCT (log_id, sequence)) AS value FROM webhook_deliveries";
    assert_eq!(app.database.number(twice).await, 0);
    app.finish().await;
}

// R90: founding, deletion, restoration and removal of organizations are told, and accounts, with the platform's own
// ids; like every delivery, without reasons and addresses.
#[tokio::test]
async fn the_lives_of_organizations_and_accounts_are_told() {
    let mut app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let (id, secret) = create(&app.staff(), &receiver.url, &["*"]).await;
    let team = app.team().await;
    app.database.sql(&format!("UPDATE organizations SET external_id = 'lab-7' WHERE id = '{}'", uuid(&team.id))).await;
    let max = app.join(&team, "max@example.org", "MEMBER").await;
    let input = json!({ "memberId": team.member_id(&max).await, "reason": "For the log" });
    team.owner.ok("removeMember", input, "departure { id }").await;
    let input = json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" });
    team.owner.ok("deleteOrganization", input.clone(), "purgeAt").await;
    app.staff().ok("restoreOrganization", json!({ "id": team.id }), "organization { id }").await;
    team.owner.ok("deleteOrganization", input, "purgeAt").await;
    max.ok("deleteAccount", json!({ "confirmEmail": max.email }), "").await;
    let expected = feed_from(&app, &app.staff(), "platform.webhook_created", &id).await;
    assert_eq!(told_from(&receiver, &expected).await, expected);
    let arrivals = receiver.arrivals();
    let types = types(&arrivals);
    for expected in [
        "platform.webhook_created",
        "user.created",
        "organization.created",
        "organization.member_joined",
        "organization.member_removed",
        "organization.deleted",
        "organization.restored",
        "user.deleted",
    ] {
        assert!(types.iter().any(|found| found == expected), "{expected} is not in {types:?}");
    }
    for arrival in &arrivals {
        let body = arrival.json();
        assert!(arrival.is_good_to(&secret));
        assert_eq!(arrival.header("webhook-id"), body["data"]["id"]);
        for inside in ["@example.org", "For the log"] {
            assert!(!arrival.body.contains(inside), "{}", arrival.body);
        }
    }
    let body = |action: &str| arrivals[types.iter().position(|found| found == action).unwrap()].json();
    let joined = body("organization.member_joined");
    assert_eq!(
        (&joined["data"]["organizationId"], &joined["data"]["organizationExternalId"]),
        (&json!(team.id), &json!("lab-7"))
    );
    assert_eq!(
        (&joined["data"]["metadata"]["subject"], &joined["data"]["actorKind"]),
        (&json!(max.user_id), &json!("USER"))
    );
    // The deployment's own log belongs to no organization.
    let made = body("platform.webhook_created");
    assert!(made["data"]["organizationId"].is_null() && made["data"]["organizationExternalId"].is_null(), "{made}");
    assert_eq!(made["data"]["targetId"], id.as_str());

    // What is removed for good can still be told.
    app.shift_clock("31 days").await;
    crate::housekeeping::sweep(&mut app).await;
    until("its end is told", async || {
        receiver
            .arrivals()
            .iter()
            .map(Arrival::json)
            .find(|body| body["type"] == "organization.purged" && body["data"]["organizationId"] == team.id.as_str())
    })
    .await;
    let deliveries = webhook(&app.staff(), &id).await["deliveries"].clone();
    let of_team = nodes(&deliveries).iter().filter(|delivery| delivery["organizationId"] == team.id.as_str());
    assert!(of_team.count() > 0, "{deliveries}");
    app.finish().await;
}

// R85, R90: a limited key's webhook tells of its organizations alone, and nobody else's webhooks are a key's.
#[tokio::test]
async fn a_limited_keys_webhook_tells_of_its_organizations_alone() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let other = team.owner.found("Other").await;
    let (all, some) = (Receiver::start().await, Receiver::start().await);
    let unlimited = platform_key::key(&app, &["EVENTS_READ"]).await;
    let input = json!({ "name": "limited", "scopes": ["EVENTS_READ"], "organizationIds": [team.id] });
    let (limited, limited_id) = platform_key::made(&app, input).await;
    let (of_all, _) = create(&unlimited, &all.url, &["resource.created", "resource.deleted"]).await;
    let (of_some, _) = create(&limited, &some.url, &["*"]).await;
    let mut expected = Vec::new();
    for n in 0..3 {
        team.owner.create(&other, "PROJECT", &format!("Elsewhere {n}")).await;
        expected.push(team.owner.create(&team.id, "PROJECT", &format!("Here {n}")).await);
    }
    team.owner.ok("updateResource", json!({ "id": expected[0], "name": "Another name" }), "").await;
    team.owner.ok("deleteResource", json!({ "id": expected[2] }), "").await;
    expected.extend([expected[0].clone(), expected[2].clone()]);
    all.wait_for(7).await;
    // What was committed shortly before may be told as well: an older transaction may have been running.
    let of_resources = async || {
        let targets =
            some.arrivals().iter().map(|arrival| text(&arrival.json()["data"]["targetId"])).collect::<Vec<_>>();
        let targets: Vec<String> = targets.into_iter().filter(|target| target.starts_with("res_")).collect();
        (targets.len() >= expected.len()).then_some(targets)
    };
    assert_eq!(until("all of them are told", of_resources).await, expected);
    app.until_idle().await;
    assert!(some.arrivals().iter().all(|arrival| arrival.json()["data"]["organizationId"] == team.id.as_str()));
    assert_eq!(types(&all.arrivals())[..6], ["resource.created"; 6]);
    assert_eq!(types(&all.arrivals())[6..], ["resource.deleted"]);

    // Whose they are: a key sees and changes what it made, staff everything.
    assert_eq!(listed(&unlimited).await, json!([of_all]));
    assert_eq!(listed(&limited).await, json!([of_some]));
    assert_eq!(listed(&app.staff()).await, json!([of_all, of_some]));
    let seen = webhook(&limited, &of_some).await;
    assert_eq!(
        (&seen["platformKeyId"], &seen["organizationId"], &seen["keptByStaff"]),
        (&json!(limited_id), &Value::Null, &json!(false))
    );
    let delivery = text(&nodes(&seen["deliveries"])[0]["id"]);
    let everything = platform_key::key(&app, &SCOPES).await;
    let blind = platform_key::key(&app, &["READ", "ACT_FOR_USERS"]).await;
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    let ids = json!({ "ids": [of_some, delivery] });
    for stranger in [&unlimited, &everything, &blind, &team.owner] {
        assert_eq!(stranger.query(query, ids.clone()).await["nodes"], json!([null, null]));
        for mutation in ["updateWebhook", "deleteWebhook"] {
            let refused = stranger.refused(mutation, json!({ "id": of_some })).await;
            assert_eq!(refused.is(), ("NOT_FOUND", "input.id"));
        }
        let refused = stranger.refused("redeliverWebhook", json!({ "deliveryId": delivery })).await;
        assert_eq!(refused.is(), ("NOT_FOUND", "input.deliveryId"));
    }
    for keeper in [&limited, &app.staff()] {
        assert_eq!(keeper.query(query, ids.clone()).await["nodes"][1]["id"], delivery.as_str());
        keeper.ok("redeliverWebhook", json!({ "deliveryId": delivery }), "delivery { status }").await;
        app.until_idle().await;
    }
    assert_eq!(some.arrivals().len(), 7);

    // Whoever can't: owners, by session, by key and through the platform; service keys; keys without the scope.
    let input = json!({ "organizationId": team.id, "name": "k", "scope": "WRITE" });
    let key = app.client(&text(&team.owner.ok("createApiKey", input.clone(), "secret").await["secret"]));
    let service = app.client(&text(&team.owner.ok("createServiceKey", input, "secret").await["secret"]));
    let acting = everything.on_behalf_of(&team.owner.user_id);
    let made = json!({ "url": some.url, "events": ["*"] });
    for nobody in [&team.owner, &key, &service, &acting, &blind] {
        let refused = nobody.refused("createWebhook", made.clone()).await;
        assert_eq!(
            (refused.is(), refused.message.contains("EVENTS_READ")),
            (("FORBIDDEN", "input.organizationId"), true)
        );
        assert!(listed(nobody).await.is_null());
    }
    assert!(listed(&app.anonymous()).await.is_null());
    app.finish().await;
}

// R75, R90: private addresses, and there plain http, for the platform's webhooks; not for an organization's, and those
// that tell machines their secrets for nobody's. Redirects lead nowhere.
#[tokio::test]
async fn it_leads_into_the_own_network_where_organizations_do_not() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let key = platform_key::key(&app, &["EVENTS_READ"]).await;
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    let by_name = receiver.url.replace("127.0.0.1", "localhost");
    for url in [&receiver.url, &by_name] {
        let input = json!({ "organizationId": team.id, "url": url, "events": ["*"] });
        for client in [&team.owner, &key, &app.staff()] {
            let refused = client.refused("createWebhook", input.clone()).await;
            assert!([("INVALID", "input.url"), ("FORBIDDEN", "input.organizationId")].contains(&refused.is()));
        }
    }
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/latest/meta-data",
        "http://[::ffff:169.254.169.254]/",
        "http://0xa9fea9fe/",
        "http://[fd00:ec2::254]/",
        "http://[fd20:ce::254]/",
        "http://[fd00:c1::a9fe:a9fe]/",
        "http://[fd00:42::42]/",
        "https://168.63.129.16/",
        "http://100.100.100.200/",
        "http://0.0.0.0:8080/",
        "http://[fe80::1]/",
        "http://93.184.216.34/hook",
        "http://ada:secret@10.0.0.1/",
        "ftp://10.0.0.1/",
        "10.0.0.1/hook",
        "",
    ] {
        let refused = key.refused("createWebhook", json!({ "url": url, "events": ["*"] })).await;
        assert!(matches!(refused.is(), ("INVALID" | "BLANK", "input.url")), "{url}: {refused:?}");
    }
    let (id, _) = create(&key, &by_name, &["resource.created"]).await;
    let (direct, _) = create(&app.staff(), &format!("{}/direct", receiver.url), &["resource.created"]).await;
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    receiver.wait_for(2).await;
    app.until_idle().await;
    key.ok("updateWebhook", json!({ "id": id, "enabled": false }), "").await;
    receiver.answer([Answer::Redirect(elsewhere.url.clone())]);
    team.owner.create(&team.id, "PROJECT", "Heart atlas").await;
    receiver.wait_for(4).await;
    app.until_idle().await;
    assert!(elsewhere.arrivals().is_empty());
    // One of an organization, from before the settings became stricter, isn't let in by the platform's.
    let input = json!({ "organizationId": team.id, "url": "https://example.org/hook", "events": ["resource.deleted"] });
    let tenants = text(&team.owner.ok("createWebhook", input, "webhook { id }").await["webhook"]["id"]);
    app.database.sql(&format!("UPDATE webhooks SET url = '{by_name}' WHERE id = '{}'", uuid(&tenants))).await;
    // And one of the platform that leads where none may.
    app.database
        .sql(&format!("UPDATE webhooks SET url = 'http://169.254.169.254/' WHERE id = '{}'", uuid(&direct)))
        .await;
    let gone = team.owner.create(&team.id, "PROJECT", "Lung atlas").await;
    team.owner.ok("deleteResource", json!({ "id": gone }), "").await;
    for (client, id) in [(&team.owner, &tenants), (&app.staff(), &direct)] {
        let error = until("it is refused", async || {
            let newest = nodes(&webhook(client, id).await["deliveries"]).first().cloned()?;
            (newest["status"] == "DEFERRED").then(|| text(&newest["error"]))
        })
        .await;
        assert!(error.contains("isn't allowed"), "{error}");
        client.ok("deleteWebhook", json!({ "id": id }), "").await;
    }
    assert_eq!(receiver.arrivals().len(), 4);
    app.finish().await;
}

// R75, R90: after a day of failures it is disabled and the platform's support is told; enabled again it has lost
// nothing.
#[tokio::test]
async fn a_receiver_that_was_down_gets_everything_once_it_is_back() {
    let mut app = TestApp::builder().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let team = app.team().await;
    let key = platform_key::key(&app, &["EVENTS_READ"]).await;
    let receiver = Receiver::start().await;
    receiver.always(Some(Answer::Status(503)));
    let (id, _) = create(&key, &receiver.url, &["*"]).await;
    until("it fails", async || webhook(&key, &id).await["failingSince"].is_string().then_some(())).await;
    app.shift_clock("25 hours").await;
    let mail = app.mail_about("support@example.net", "webhook").await;
    assert!(mail.text.contains(&id) && mail.text.contains("503") && mail.text.contains("platform"), "{}", mail.text);
    app.until_idle().await;
    assert_eq!(webhook(&key, &id).await["enabled"], false);
    assert_eq!(audited(&app, &id).await, ["platform.webhook_created", "platform.webhook_disabled"]);
    // While it is disabled nothing is sent.
    let tried = receiver.arrivals().len();
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    app.until_idle().await;
    assert_eq!(receiver.arrivals().len(), tried);
    receiver.always(None);
    key.ok("updateWebhook", json!({ "id": id, "enabled": true }), "webhook { enabled failingSince }").await;
    let expected = feed_from(&app, &key, "platform.webhook_created", &id).await;
    assert_eq!(told_from(&receiver, &expected).await, expected);
    app.until_idle().await;
    let seen = webhook(&key, &id).await;
    assert!(seen["failingSince"].is_null() && seen["enabled"] == true, "{seen}");
    app.finish().await;
}

// R85, R90: a key's webhook ends with the key, revoked or expired, unless staff take it over; then it tells no more
// than before, and nothing was lost.
#[tokio::test]
async fn it_ends_with_its_key_unless_staff_take_it_over() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let other = team.owner.found("Other").await;
    let (revoked_to, expired_to, kept_to) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let (revoked, revoked_id) =
        platform_key::made(&app, json!({ "name": "revoked", "scopes": ["EVENTS_READ"], "organizationIds": [team.id] }))
            .await;
    let soon = "SELECT to_char(rollcall_now() + interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS value";
    let soon = app.database.texts(soon).await.remove(0);
    let input = json!({ "name": "expiring", "scopes": ["EVENTS_READ"], "expiresAt": soon });
    let (expiring, _) = platform_key::made(&app, input).await;
    let (of_revoked, _) = create(&revoked, &revoked_to.url, &["resource.created"]).await;
    let (of_expiring, _) = create(&expiring, &expired_to.url, &["resource.created"]).await;
    let (kept, _) = create(&expiring, &kept_to.url, &["resource.created"]).await;

    // A rotation changes nothing. Staff take one over before its key ends.
    app.staff().ok("rotatePlatformKey", json!({ "id": revoked_id, "overlapHours": 0 }), "secret").await;
    let taken =
        app.staff().ok("updateWebhook", json!({ "id": kept, "enabled": true }), "webhook { keptByStaff }").await;
    assert_eq!(taken["webhook"]["keptByStaff"], true);
    assert_eq!(expiring.refused("updateWebhook", json!({ "id": kept })).await.is(), ("NOT_FOUND", "input.id"));
    assert_eq!(listed(&expiring).await, json!([of_expiring]));
    team.owner.create(&team.id, "PROJECT", "Before").await;
    for receiver in [&revoked_to, &expired_to, &kept_to] {
        receiver.wait_for(1).await;
    }
    app.until_idle().await;

    app.staff().ok("revokePlatformKey", json!({ "id": revoked_id }), "platformKey { id }").await;
    team.owner.create(&team.id, "PROJECT", "Between").await;
    app.shift_clock("1 hour").await;
    team.owner.create(&other, "PROJECT", "Elsewhere").await;
    team.owner.create(&team.id, "PROJECT", "Afterwards").await;
    let staff = app.staff();
    for id in [&of_revoked, &of_expiring] {
        until("it is disabled", async || (webhook(&staff, id).await["enabled"] == false).then_some(())).await;
        assert_eq!(audited(&app, id).await, ["platform.webhook_created", "platform.webhook_disabled"]);
    }
    kept_to.wait_for(4).await;
    app.until_idle().await;
    assert_eq!((revoked_to.arrivals().len(), kept_to.arrivals().len()), (1, 4));
    assert!(expired_to.arrivals().len() <= 2, "an event after the key's end is told");
    let because = format!(
        "SELECT metadata ->> 'because' AS value FROM audit_events WHERE target_id = '{of_revoked}' ORDER BY sequence DESC LIMIT 1"
    );
    assert_eq!(app.database.texts(&because).await, ["key_ended"]);

    // Other changes by staff don't enable it; taking it over does, with what was missed, within what the key reached.
    staff.ok("updateWebhook", json!({ "id": of_revoked, "url": format!("{}/new", revoked_to.url) }), "").await;
    assert_eq!(webhook(&staff, &of_revoked).await["enabled"], false);
    let rotated =
        staff.ok("updateWebhook", json!({ "id": of_revoked, "enabled": true, "rotateSecret": true }), "secret").await;
    revoked_to.wait_for(3).await;
    app.until_idle().await;
    let arrivals = revoked_to.arrivals();
    assert!(arrivals[2].is_signed_with(&text(&rotated["secret"])));
    let organizations: Vec<String> =
        arrivals.iter().map(|arrival| text(&arrival.json()["data"]["organizationId"])).collect();
    assert_eq!(organizations, vec![team.id.clone(); 3]);
    staff.ok("deleteWebhook", json!({ "id": of_revoked }), "deletedWebhookId").await;
    assert!(webhook(&staff, &of_revoked).await.is_null());
    assert_eq!(
        audited(&app, &of_revoked).await,
        [
            "platform.webhook_created",
            "platform.webhook_disabled",
            "platform.webhook_updated",
            "platform.webhook_updated",
            "platform.webhook_deleted"
        ]
    );
    app.finish().await;
}

// R90: other events from now on, and not what was passed over before; delivered again by hand.
#[tokio::test]
async fn its_events_change_from_now_on() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let key = platform_key::key(&app, &["EVENTS_READ"]).await;
    let receiver = Receiver::start().await;
    let (id, secret) = create(&key, &receiver.url, &["resource.created", "resource.created"]).await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    team.owner.ok("updateResource", json!({ "id": project, "name": "Atlas" }), "").await;
    receiver.wait_for(1).await;
    app.until_idle().await;
    let changed =
        key.ok("updateWebhook", json!({ "id": id, "events": ["resource.updated"] }), "webhook { events }").await;
    assert_eq!(changed["webhook"]["events"], json!(["resource.updated"]));
    team.owner.ok("updateResource", json!({ "id": project, "name": "Heart atlas" }), "").await;
    receiver.wait_for(2).await;
    app.until_idle().await;
    assert_eq!(types(&receiver.arrivals()), ["resource.created", "resource.updated"]);

    let newest = nodes(&webhook(&key, &id).await["deliveries"])[0].clone();
    assert_eq!(
        (&newest["event"], &newest["organizationId"], &newest["status"]),
        (&json!("resource.updated"), &json!(team.id), &json!("SENT"))
    );
    key.ok("redeliverWebhook", json!({ "deliveryId": newest["id"] }), "delivery { status }").await;
    receiver.wait_for(3).await;
    app.until_idle().await;
    let arrivals = receiver.arrivals();
    assert_eq!((&arrivals[1].body, arrivals[2].is_good_to(&secret)), (&arrivals[2].body, true));
    let unknown = to_text(WebhookDeliveryId::from_uuid(uuid::Uuid::now_v7()));
    assert_eq!(
        key.refused("redeliverWebhook", json!({ "deliveryId": unknown })).await.is(),
        ("NOT_FOUND", "input.deliveryId")
    );
    // Pages of deliveries, newest first.
    let query = "query($id: ID!, $after: String) { node(id: $id) { ... on Webhook { \
         deliveries(first: 1, after: $after) { nodes { event } pageInfo { hasNextPage endCursor } } } } }";
    let first = key.query(query, json!({ "id": id })).await["node"]["deliveries"].clone();
    let after = json!({ "id": id, "after": first["pageInfo"]["endCursor"] });
    let second = key.query(query, after).await["node"]["deliveries"].clone();
    assert_eq!(
        (&nodes(&first)[0]["event"], &nodes(&second)[0]["event"], &second["pageInfo"]["hasNextPage"]),
        (&json!("resource.updated"), &json!("resource.created"), &json!(false))
    );
    for (change, refusal) in [
        (json!({ "events": [] }), ("BLANK", "input.events")),
        (json!({ "events": ["resource.exploded"] }), ("INVALID", "input.events")),
        (json!({ "url": "http://169.254.169.254/" }), ("INVALID", "input.url")),
        (json!({ "url": "http://10.0.0.1/".to_owned() + &"x".repeat(2_000) }), ("TOO_LONG", "input.url")),
    ] {
        let mut input = change.clone();
        input["id"] = json!(id);
        assert_eq!(key.refused("updateWebhook", input).await.is(), refusal, "{change}");
        let mut input = json!({ "url": receiver.url, "events": ["*"] });
        input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(key.refused("createWebhook", input).await.is(), refusal, "{change}");
    }
    key.ok("deleteWebhook", json!({ "id": id }), "deletedWebhookId").await;
    assert_eq!(app.database.number("SELECT count(*) AS value FROM webhook_deliveries").await, 0);
    assert_eq!(
        audited(&app, &id).await,
        ["platform.webhook_created", "platform.webhook_updated", "platform.webhook_deleted"]
    );
    app.finish().await;
}

// R90: at most 20 in all, however many ask at once; a slow receiver holds up neither the others nor organizations.
#[tokio::test]
async fn they_are_few_and_hold_up_nobody() {
    let app = TestApp::builder().local_webhooks().start().await;
    let team = app.team().await;
    let key = platform_key::key(&app, &["EVENTS_READ"]).await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.always(Some(Answer::Hang));
    let many = join_all((0..32).map(|n| {
        let client = if n % 2 == 0 { key.twin() } else { app.staff() };
        let input = json!({ "url": slow.url, "events": ["resource.created"] });
        async move { client.mutate("createWebhook", input, "").await.user_errors("createWebhook") }
    }))
    .await;
    let refused: Vec<_> = many.iter().flatten().map(|error| error.is()).collect();
    assert_eq!(refused, vec![("TOO_MANY", "input.organizationId"); 12]);
    assert_eq!(app.database.number("SELECT count(*) AS value FROM webhooks").await, 20);
    let first = text(&listed(&app.staff()).await[0]);
    app.staff().ok("updateWebhook", json!({ "id": first, "url": format!("{}/platform", quick.url) }), "").await;
    let input = json!({ "organizationId": team.id, "url": quick.url, "events": ["resource.created"] });
    team.owner.ok("createWebhook", input, "webhook { id }").await;
    for n in 0..3 {
        team.owner.create(&team.id, "PROJECT", &format!("Project {n}")).await;
    }
    quick.wait_for(6).await;
    assert!(slow.taken().is_empty());
    slow.always(None);
    for id in listed(&app.staff()).await.as_array().unwrap() {
        app.staff().ok("deleteWebhook", json!({ "id": id }), "").await;
    }
    app.finish().await;
}
