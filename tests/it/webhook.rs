//! Webhooks: what happens in an organization, told to other services in its order.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use diesel_async::SimpleAsyncConnection;
use rollcall_domain::base::id::{TypedId, WebhookDeliveryId, to_text};

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::receiver::{Answer, Arrival, Receiver};
use crate::support::server::Authority;
use crate::support::tls_relay::TlsRelay;
use crate::support::{Client, Team, TestApp, Value, json, until};

/// An app whose webhooks may lead to this machine.
async fn start() -> TestApp {
    TestApp::builder().local_webhooks().start().await
}

/// Makes a webhook; its id and secret.
async fn create(client: &Client, organization: &str, url: &str, events: &[&str]) -> (String, String) {
    let input = json!({ "organizationId": organization, "url": url, "events": events });
    let made = client.ok("createWebhook", input, "webhook { id enabled } secret").await;
    (text(&made["webhook"]["id"]), text(&made["secret"]))
}

/// A webhook with its newest deliveries, as the owner sees it.
async fn webhook(team: &Team, id: &str) -> Value {
    let query = "query($id: ID!) { node(id: $id) { ... on Webhook { id url events enabled failingSince createdAt deliveries(first: 100) { \
         nodes { id event sequence status attempts responseStatus error lastAttemptAt } } } } }";
    team.owner.query(query, json!({ "id": id })).await["node"].clone()
}

/// The newest delivery.
async fn newest(team: &Team, id: &str) -> Value {
    nodes(&webhook(team, id).await["deliveries"]).first().cloned().unwrap_or_default()
}

/// The sequence, id and action of every event of an organization.
async fn log(team: &Team) -> Vec<(i64, String, String)> {
    let mut events = Vec::new();
    let mut after = Value::Null;
    loop {
        let query = "query($id: ID!, $after: String) { organization(by: { id: $id }) { auditLog(first: 100, after: $after) { \
             nodes { sequence id action } pageInfo { hasNextPage endCursor } } } }";
        let page = team.owner.query(query, json!({ "id": team.id, "after": after })).await;
        let page = &page["organization"]["auditLog"];
        events.extend(nodes(page).iter().map(|event| {
            (text(&event["sequence"]).parse::<i64>().unwrap(), text(&event["id"]), text(&event["action"]))
        }));
        if page["pageInfo"]["hasNextPage"] == false {
            return events;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// What comes of an event that happens now.
async fn next_delivery(app: &TestApp, team: &Team, receiver: &Receiver) -> Arrival {
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    app.until_idle().await;
    receiver.arrivals().pop().unwrap()
}

/// Each sequence once, as it first came.
fn first_arrivals(sequences: &[i64]) -> Vec<i64> {
    let mut seen = BTreeSet::new();
    sequences.iter().copied().filter(|sequence| seen.insert(*sequence)).collect()
}

// R75: members, roles and departures are announced, signed, in the order of the log.
#[tokio::test]
async fn what_happens_is_told_in_order_and_signed() {
    let app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    let (id, secret) = create(&team.owner, &team.id, &receiver.url, &["*"]).await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let input = json!({ "memberId": team.member_id(&ada).await, "role": "VIEWER" });
    team.owner.ok("changeMemberRole", input, "").await;
    let input =
        json!({ "memberId": team.member_id(&ada).await, "reason": "For the log", "messageToMember": "For her" });
    let removed = team.owner.ok("removeMember", input, "departure { id }").await;
    app.completed(&team, &text(&removed["departure"]["id"])).await;
    app.until_idle().await;

    let log: Vec<_> = log(&team).await.into_iter().skip(1).collect();
    let arrivals = receiver.arrivals();
    let told: Vec<_> = arrivals
        .iter()
        .map(|arrival| {
            let body = arrival.json();
            (arrival.sequence(), text(&body["data"]["id"]), text(&body["type"]))
        })
        .collect();
    assert_eq!(told, log);
    let actions: Vec<&str> = log.iter().map(|(_, _, action)| action.as_str()).collect();
    for expected in [
        "organization.webhook_created",
        "organization.member_invited",
        "organization.member_joined",
        "organization.member_role_changed",
        "organization.member_removed",
        "departure.completed",
    ] {
        assert!(actions.contains(&expected), "{expected} is not in {actions:?}");
    }
    for arrival in &arrivals {
        assert!(arrival.is_good_to(&secret));
        assert_eq!(arrival.header("webhook-id"), arrival.json()["data"]["id"]);
        assert_eq!(arrival.header("content-type"), "application/json");
        assert_eq!(arrival.json()["data"]["organizationId"], team.id.as_str());
        for inside in ["@example.org", "For the log", "For her"] {
            assert!(!arrival.body.contains(inside), "{}", arrival.body);
        }
        let forged = Arrival { body: arrival.body.replace("org_", "org-"), ..arrival.clone() };
        assert!(!forged.is_good_to(&secret));
    }
    let joined = arrivals.iter().find(|arrival| arrival.json()["type"] == "organization.member_joined").unwrap().json();
    assert_eq!((&joined["data"]["actorId"], &joined["data"]["actorKind"]), (&json!(ada.user_id), &json!("USER")));

    let webhook = webhook(&team, &id).await;
    let deliveries = nodes(&webhook["deliveries"]);
    assert_eq!(deliveries.len(), log.len());
    for (delivery, (sequence, _, action)) in deliveries.iter().zip(log.iter().rev()) {
        assert_eq!((&delivery["sequence"], &delivery["event"]), (&json!(sequence.to_string()), &json!(action)));
        assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("SENT"), &json!(1)));
        assert_eq!((&delivery["responseStatus"], &delivery["error"]), (&json!(204), &Value::Null));
    }
    // The secret was shown once, and is nowhere to be read.
    let kept = app.database.texts("SELECT to_jsonb(w)::text || (SELECT string_agg(to_jsonb(e)::text, '') FROM audit_events e) AS value FROM webhooks w").await;
    assert!(!kept[0].contains(secret.trim_start_matches("whsec_")));
    app.finish().await;
}

// R75: only what is asked for.
#[tokio::test]
async fn a_webhook_tells_the_events_that_it_names() {
    let app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    let (id, _) = create(&team.owner, &team.id, &receiver.url, &["resource.created", "resource.deleted"]).await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    team.owner.ok("updateResource", json!({ "id": project, "name": "Atlas" }), "").await;
    team.owner.ok("deleteResource", json!({ "id": project }), "").await;
    app.until_idle().await;
    let types = || -> Vec<String> { receiver.arrivals().iter().map(|arrival| text(&arrival.json()["type"])).collect() };
    assert_eq!(types(), ["resource.created", "resource.deleted"]);
    team.owner.ok("updateWebhook", json!({ "id": id, "events": ["resource.updated"] }), "webhook { events }").await;
    let project = team.owner.create(&team.id, "PROJECT", "Heart atlas").await;
    team.owner.ok("updateResource", json!({ "id": project, "name": "Atlas" }), "").await;
    app.until_idle().await;
    assert_eq!(types(), ["resource.created", "resource.deleted", "resource.updated"]);
    // Nothing of any other organization.
    let other = team.owner.found("Other").await;
    let elsewhere = team.owner.create(&other, "PROJECT", "Elsewhere").await;
    team.owner.ok("updateResource", json!({ "id": elsewhere, "name": "x" }), "").await;
    app.until_idle().await;
    assert_eq!(types().len(), 3);
    for (events, code) in [(json!([]), "BLANK"), (json!(["member.joined"]), "INVALID"), (json!(null), "BLANK")] {
        let refusal = team.owner.refused("updateWebhook", json!({ "id": id, "events": events })).await;
        assert_eq!(refusal.is(), (code, "input.events"));
    }
    app.finish().await;
}

// R75: with retries, and nothing overtakes what waits.
#[tokio::test]
async fn what_fails_is_tried_again_and_holds_up_the_rest() {
    let app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    receiver.answer([Answer::Status(500), Answer::Redirect("http://127.0.0.1:1/elsewhere".to_owned())]);
    let (id, secret) = create(&team.owner, &team.id, &receiver.url, &["*"]).await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    receiver.wait_for(1).await;
    until("the failure is written down", async || (newest(&team, &id).await["status"] == "DEFERRED").then_some(()))
        .await;
    let seen = webhook(&team, &id).await;
    let failed = &nodes(&seen["deliveries"])[0];
    assert_eq!((&failed["responseStatus"], &failed["attempts"]), (&json!(500), &json!(1)));
    assert!(failed["error"].is_string() && seen["failingSince"].is_string(), "{seen}");
    team.owner.ok("deleteResource", json!({ "id": project }), "").await;
    receiver.wait_for(5).await;
    app.until_idle().await;
    let arrivals = receiver.arrivals();
    let sequences: Vec<i64> = arrivals.iter().map(|arrival| arrival.sequence()).collect();
    assert_eq!(sequences, [2, 2, 2, 3, 4]);
    assert_eq!(receiver.taken(), [2, 3, 4]);
    // A repeat is told by its id, and signed anew.
    assert_eq!(arrivals[0].header("webhook-id"), arrivals[2].header("webhook-id"));
    assert!(arrivals.iter().all(|arrival| arrival.is_signed_with(&secret)));
    let seen = webhook(&team, &id).await;
    assert!(seen["failingSince"].is_null());
    let deliveries = nodes(&seen["deliveries"]);
    assert_eq!(deliveries.iter().map(|delivery| delivery["attempts"].clone()).collect::<Vec<_>>(), [1, 1, 3]);
    assert!(deliveries.iter().all(|delivery| delivery["status"] == "SENT"));
    app.finish().await;
}

// R75: a receiver says when it wants to be tried again, in seconds or by a date; what waits behind pages nobody.
#[tokio::test]
async fn a_receiver_is_tried_again_when_it_wants() {
    let app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    receiver.always(Some(Answer::Later("1800".to_owned())));
    let (id, _) = create(&team.owner, &team.id, &receiver.url, &["*"]).await;
    let pause = async || {
        let pause = "SELECT extract(epoch FROM run_at - job_clock())::bigint AS value FROM jobs \
             WHERE kind = 'deliver_webhook' AND status = 'waiting' ORDER BY scheduled_at, ordinal LIMIT 1";
        app.database.number(pause).await
    };
    let attempts = async |count: i64| {
        until("the attempt is written down", async || {
            let attempts = nodes(&webhook(&team, &id).await["deliveries"]).first().map(|one| one["attempts"].clone());
            let waits = app.database.number("SELECT count(*) AS value FROM jobs WHERE status = 'running'").await == 0;
            (waits && attempts == Some(json!(count))).then_some(())
        })
        .await;
    };
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    attempts(1).await;
    assert!((1_700..=1_800).contains(&pause().await), "{}", pause().await);

    // Another event behind it, long ago: it isn't due before its turn.
    app.database
        .sql(
            "INSERT INTO jobs (id, queue, kind, payload, serial_key, max_attempts, timeout, scheduled_at, run_at) \
             SELECT gen_random_uuid(), queue, kind, payload, serial_key, max_attempts, timeout, job_clock(), \
             job_clock() - interval '1 hour' FROM jobs WHERE kind = 'deliver_webhook' AND status = 'waiting'",
        )
        .await;
    let statistics = app.admin(&["jobs", "statistics", "--json"]);
    let statistics = String::from_utf8(statistics.stdout).unwrap();
    let mut queues = statistics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let queue = queues.find(|queue| queue["queue"] == "webhook").unwrap();
    assert_eq!((&queue["waiting"], &queue["oldestDueSeconds"]), (&json!(0), &json!(0.0)), "{queue}");
    assert!(queue["scheduled"].as_i64().unwrap() >= 1, "{queue}");

    // By a date, and at most an hour.
    for (wanted, least, most) in
        [("Fri, 31 Dec 2100 23:59:59 GMT", 3_500, 3_600), ("Sun, 06 Nov 1994 08:49:37 GMT", 0, 2)]
    {
        receiver.always(Some(Answer::Later(wanted.to_owned())));
        let made = nodes(&webhook(&team, &id).await["deliveries"])[0]["attempts"].as_i64().unwrap();
        app.database
            .sql("UPDATE jobs SET run_at = job_clock() WHERE kind = 'deliver_webhook' AND status = 'waiting'")
            .await;
        if most > 2 {
            attempts(made + 1).await;
            assert!((least..=most).contains(&pause().await), "{wanted}: {}", pause().await);
        } else {
            until("it is tried again and again", async || {
                let seen = webhook(&team, &id).await;
                (nodes(&seen["deliveries"])[0]["attempts"].as_i64().unwrap() > made + 2).then_some(())
            })
            .await;
        }
    }
    receiver.always(None);
    app.until_idle().await;
    app.finish().await;
}

// R75: after a day of failures it is disabled, the owner is told, and enabled again it has lost nothing.
#[tokio::test]
async fn a_webhook_that_fails_for_a_day_is_disabled_and_goes_on_when_enabled() {
    let mut app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    receiver.always(Some(Answer::Status(503)));
    let (id, _) = create(&team.owner, &team.id, &receiver.url, &["*"]).await;
    until("it fails", async || (newest(&team, &id).await["status"] == "DEFERRED").then_some(())).await;
    app.shift_clock("23 hours").await;
    let before = receiver.arrivals().len();
    receiver.wait_for(before + 1).await;
    assert_eq!(webhook(&team, &id).await["enabled"], true);
    app.shift_clock("90 minutes").await;
    let mail = app.mail_about("owner@example.org", "webhook").await;
    assert!(
        mail.text.contains("Acme Genomics") && mail.text.contains(&id) && mail.text.contains("503"),
        "{}",
        mail.text
    );
    let seen = webhook(&team, &id).await;
    assert_eq!((&seen["enabled"], &nodes(&seen["deliveries"])[0]["status"]), (&json!(false), &json!("FAILED")));
    assert_eq!(team.audit().await.last().unwrap(), "organization.webhook_disabled");
    // While it is disabled nothing is sent.
    app.until_idle().await;
    let tried = receiver.arrivals().len();
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    app.until_idle().await;
    assert_eq!(receiver.arrivals().len(), tried);
    let delivery = text(&newest(&team, &id).await["id"]);
    let refusal = team.owner.refused("redeliverWebhook", json!({ "deliveryId": delivery })).await;
    assert_eq!(refusal.is(), ("CONFLICT", "input.deliveryId"));

    receiver.always(None);
    team.owner.ok("updateWebhook", json!({ "id": id, "enabled": true }), "webhook { enabled failingSince }").await;
    team.owner.ok("deleteResource", json!({ "id": project }), "").await;
    app.until_idle().await;
    let events: Vec<i64> = log(&team).await.into_iter().map(|(sequence, ..)| sequence).skip(1).collect();
    assert_eq!(receiver.taken(), events);
    app.finish().await;
}

// R75: 410 Gone ends it at once.
#[tokio::test]
async fn a_receiver_that_wants_no_more_gets_no_more() {
    let app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    receiver.always(Some(Answer::Status(410)));
    let (id, _) = create(&team.owner, &team.id, &receiver.url, &["*"]).await;
    app.mail_about("owner@example.org", "webhook").await;
    assert_eq!(webhook(&team, &id).await["enabled"], false);
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    app.until_idle().await;
    assert_eq!(receiver.arrivals().len(), 1);
    // Deleted, it is gone with its deliveries.
    let deleted = team.owner.ok("deleteWebhook", json!({ "id": id }), "deletedWebhookId").await;
    assert_eq!(deleted["deletedWebhookId"], id.as_str());
    assert!(webhook(&team, &id).await.is_null());
    assert_eq!(team.owner.refused("deleteWebhook", json!({ "id": id })).await.is(), ("NOT_FOUND", "input.id"));
    assert_eq!(app.database.number("SELECT count(*) AS value FROM webhook_deliveries").await, 0);
    app.finish().await;
}

// R75: a redirect isn't followed, and a receiver that hangs holds up nobody else.
#[tokio::test]
async fn redirects_are_not_followed_and_slow_receivers_hold_up_only_themselves() {
    let app = start().await;
    let team = app.team().await;
    let (slow, quick, elsewhere) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    slow.always(Some(Answer::Hang));
    let (hanging, _) = create(&team.owner, &team.id, &slow.url, &["*"]).await;
    slow.wait_for(1).await;
    quick.answer([Answer::Redirect(elsewhere.url.clone())]);
    create(&team.owner, &team.id, &quick.url, &["*"]).await;
    for n in 0..20 {
        team.owner.create(&team.id, "PROJECT", &format!("Project {n}")).await;
    }
    quick.wait_for(22).await;
    assert_eq!(quick.taken(), (3..=23).collect::<Vec<_>>());
    assert!(elsewhere.arrivals().is_empty());
    assert!(slow.taken().is_empty());
    // The slow one's time limit ends the attempt.
    until("the attempt is over", async || (newest(&team, &hanging).await["status"] == "DEFERRED").then_some(())).await;
    assert!(text(&newest(&team, &hanging).await["error"]).contains("no answer"));
    slow.always(None);
    team.owner.ok("updateWebhook", json!({ "id": hanging, "url": quick.url }), "").await;
    app.until_idle().await;
    app.finish().await;
}

// R75: receivers that take every delivery, and their time for it, hold up nobody else's; their own keep their order,
// and no try is used up by waiting.
#[tokio::test]
async fn slow_receivers_of_others_hold_up_nobody() {
    let app = start().await;
    let team = app.team().await;
    let quick = Receiver::start().await;
    create(&team.owner, &team.id, &quick.url, &["resource.created"]).await;
    let (slow, one_of_them) = (Receiver::start().await, Receiver::start().await);
    for receiver in [&slow, &one_of_them] {
        receiver.always(Some(Answer::Slow(Duration::from_secs(8))));
    }
    let mallory = app.sign_up("mallory@example.org").await;
    for n in 0..5 {
        let organization = mallory.found(&format!("Slow {n}")).await;
        let others = (0..7).map(|_| &slow);
        for receiver in others.chain([if n == 0 { &one_of_them } else { &slow }]) {
            // Each also tells that the next ones were made.
            create(&mallory, &organization, &receiver.url, &["*"]).await;
        }
        for n in 0..10 {
            mallory.create(&organization, "PROJECT", &format!("Project {n}")).await;
        }
    }
    slow.wait_for(39).await;
    for n in 0..4 {
        let began = Instant::now();
        team.owner.create(&team.id, "PROJECT", &format!("Project {n}")).await;
        quick.wait_for(n + 1).await;
        assert!(began.elapsed() < Duration::from_secs(5), "event {n} came after {:?}", began.elapsed());
        // What waits for a place isn't due.
        let late = "SELECT count(*) AS value FROM jobs WHERE queue = 'webhook' AND status = 'waiting' AND run_at < job_clock() - interval '10 s'";
        assert_eq!(app.database.number(late).await, 0);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    one_of_them.wait_for(2).await;
    let order = one_of_them.taken();
    assert!(order.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{order:?}");
    let tries = "SELECT max(attempt - uncounted_attempts)::bigint AS value FROM jobs WHERE queue = 'webhook'";
    assert_eq!(app.database.number(tries).await, 1);
    for receiver in [&slow, &one_of_them] {
        receiver.always(None);
    }
    app.finish().await;
}

// R75: receivers whose response never begins, since interim ones come before it without end, keep no thread busy.
#[tokio::test]
async fn endless_interim_responses_hold_up_nobody() {
    let app = start().await;
    let team = app.team().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let responses = "HTTP/1.1 100 Continue\r\n\r\n".repeat(2_000);
                let _length = stream.read(&mut [0; 1_024]).unwrap();
                while stream.write_all(responses.as_bytes()).is_ok() {}
            });
        }
    });
    // More than the worker has threads.
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(create(&team.owner, &team.id, &url, &["resource.created"]).await.0);
    }
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    for id in &ids {
        until("it is given up", async || (newest(&team, id).await["status"] == "DEFERRED").then_some(())).await;
        let error = text(&newest(&team, id).await["error"]);
        assert!(error.contains("the head of the response is too long"), "{error}");
    }
    app.sign_up("grace@example.org").await;
    assert_eq!(app.health("live").await, 200);
    for id in ids {
        team.owner.ok("deleteWebhook", json!({ "id": id }), "").await;
    }
    app.finish().await;
}

// R75: nor do many deliveries that are made again.
#[tokio::test]
async fn so_many_deliveries_wait_to_be_made_again() {
    let mut app = start().await;
    let team = app.team().await;
    app.stop_workers().await;
    let (id, _) = create(&team.owner, &team.id, "http://127.0.0.1:9/", &["resource.created"]).await;
    let deliveries = format!(
        "INSERT INTO webhook_deliveries (id, organization_id, log_id, webhook_id, sequence, event, status, attempts, created_at) \
         SELECT gen_random_uuid(), '{0}', '{0}', '{1}', n, 'resource.created', 'sent', 1, rollcall_now() FROM generate_series(1, 101) n",
        uuid(&team.id),
        uuid(&id)
    );
    app.database.sql(&deliveries).await;
    let made = webhook(&team, &id).await;
    let made = nodes(&made["deliveries"]);
    assert_eq!(made.len(), 100);
    for delivery in made {
        team.owner.ok("redeliverWebhook", json!({ "deliveryId": delivery["id"] }), "").await;
    }
    // One that waits already is no other.
    team.owner.ok("redeliverWebhook", json!({ "deliveryId": made[0]["id"] }), "").await;
    let last = app.database.texts("SELECT id::text AS value FROM webhook_deliveries WHERE status = 'sent'").await;
    let last = to_text(WebhookDeliveryId::from_uuid(last[0].parse().unwrap()));
    let refused = team.owner.refused("redeliverWebhook", json!({ "deliveryId": last })).await;
    assert_eq!(refused.is(), ("TOO_MANY", "input.deliveryId"));
    app.finish().await;
}

// R75: without the settings, nothing leads to this machine or its network, and everything is encrypted.
#[tokio::test]
async fn webhooks_lead_to_public_https_only() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    for url in [
        receiver.url.as_str(),
        "http://example.org/hook",
        "https://127.0.0.1/hook",
        "https://localhost/hook",
        "https://localhost./hook",
        "https://10.0.0.7/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:192.168.0.1]/",
        "https://0x7f000001/",
        "https://ada:secret@example.org/",
        "ftp://example.org/",
        "example.org/hook",
    ] {
        let input = json!({ "organizationId": team.id, "url": url, "events": ["*"] });
        assert_eq!(team.owner.refused("createWebhook", input).await.is(), ("INVALID", "input.url"), "{url}");
    }
    // One from before the settings became stricter: nothing is sent.
    let (id, _) = create(&team.owner, &team.id, "https://example.org/hook", &["resource.created"]).await;
    app.database.sql(&format!("UPDATE webhooks SET url = '{}'", receiver.url)).await;
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    until("it is refused", async || (newest(&team, &id).await["status"] == "DEFERRED").then_some(())).await;
    assert!(text(&newest(&team, &id).await["error"]).contains("isn't allowed"));
    assert!(receiver.arrivals().is_empty());
    app.finish().await;
}

// R75: errors don't tell which names there are in the deployment's network.
#[tokio::test]
async fn a_name_of_the_own_network_looks_like_one_that_does_not_exist() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let mut ids = Vec::new();
    for host in ["localhost", "nowhere.invalid"] {
        let (id, _) = create(&team.owner, &team.id, "https://example.org/hook", &["resource.created"]).await;
        app.database.sql(&format!("UPDATE webhooks SET url = 'https://{host}/hook' WHERE id = '{}'", uuid(&id))).await;
        ids.push(id);
    }
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    for id in ids {
        until("it is refused", async || (newest(&team, &id).await["status"] == "DEFERRED").then_some(())).await;
        assert_eq!(newest(&team, &id).await["error"], "can't connect: the name leads to no public address");
    }
    app.finish().await;
}

// R75: nor which names the certificate of another host has.
#[tokio::test]
async fn the_certificate_of_another_host_is_not_recited() {
    let authority = Authority::new("the receivers' authority");
    let relay = TlsRelay::start(&authority.certificate("intranet.example.org")).await;
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ca = authority.write_to(&folder.join(format!("webhook-ca-{}.pem", relay.port)));
    let app = TestApp::builder().local_webhooks().setting("SSL_CERT_FILE", &ca).start().await;
    let team = app.team().await;
    let url = format!("https://localhost:{}/hook", relay.port);
    let (id, _) = create(&team.owner, &team.id, &url, &["resource.created"]).await;
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    until("it is refused", async || (newest(&team, &id).await["status"] == "DEFERRED").then_some(())).await;
    assert_eq!(newest(&team, &id).await["error"], "can't connect: the certificate isn't valid for the host");
    std::fs::remove_file(ca).unwrap();
    app.finish().await;
}

// R75: a new secret signs at once, beside the old one for a day.
#[tokio::test]
async fn a_secret_is_rotated_without_a_gap() {
    let mut app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    let (id, old) = create(&team.owner, &team.id, &receiver.url, &["resource.created"]).await;
    let rotated =
        team.owner.ok("updateWebhook", json!({ "id": id, "rotateSecret": true }), "secret webhook { id }").await;
    let new = text(&rotated["secret"]);
    assert_ne!(new, old);
    let delivery = next_delivery(&app, &team, &receiver).await;
    assert!(delivery.is_good_to(&new) && delivery.is_good_to(&old));
    let unchanged = team.owner.ok("updateWebhook", json!({ "id": id, "enabled": true }), "secret").await;
    assert!(unchanged["secret"].is_null());
    // The day is over.
    app.shift_clock("24 hours").await;
    let delivery = next_delivery(&app, &team, &receiver).await;
    assert!(delivery.is_signed_with(&new) && !delivery.is_signed_with(&old));
    // Whoever was shown the secret and leaves: the owner is advised to renew it.
    let admin = app.join(&team, "ada@example.org", "ADMIN").await;
    admin.ok("updateWebhook", json!({ "id": id, "rotateSecret": true }), "secret").await;
    let departure = team.remove(&admin).await;
    app.completed(&team, &departure).await;
    let receipt = app.mail_about("owner@example.org", "removed").await;
    assert!(receipt.text.contains("Renew the secret") && receipt.text.contains(&id), "{}", receipt.text);
    app.shift_clock("1 minute").await;
    app.finish().await;
}

// R75: whoever rotates again within the day ends no secret before its own 24 hours.
#[tokio::test]
async fn every_secret_signs_for_a_day_after_its_rotation() {
    let mut app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    let (id, first) = create(&team.owner, &team.id, &receiver.url, &["resource.created"]).await;
    let rotate = async || {
        let rotated = team.owner.ok("updateWebhook", json!({ "id": id, "rotateSecret": true }), "secret").await;
        text(&rotated["secret"])
    };
    let mut secrets = vec![first, rotate().await];
    app.shift_clock("10 hours").await;
    secrets.push(rotate().await);
    let signing = async |app: &TestApp| {
        let delivery = next_delivery(app, &team, &receiver).await;
        secrets.iter().map(|secret| delivery.is_signed_with(secret)).collect::<Vec<_>>()
    };
    assert_eq!(signing(&app).await, [true, true, true]);
    app.shift_clock("14 hours").await;
    assert_eq!(signing(&app).await, [false, true, true]);
    // A delivery made again is signed like any other.
    let sent = newest(&team, &id).await;
    team.owner.ok("redeliverWebhook", json!({ "deliveryId": sent["id"] }), "").await;
    app.until_idle().await;
    let again = receiver.arrivals().pop().unwrap();
    assert!(
        !again.is_signed_with(&secrets[0]) && again.is_signed_with(&secrets[1]) && again.is_signed_with(&secrets[2])
    );
    app.shift_clock("10 hours").await;
    assert_eq!(signing(&app).await, [false, false, true]);

    // Five earlier ones at a time.
    for _ in 0..5 {
        rotate().await;
    }
    let refused = team.owner.refused("updateWebhook", json!({ "id": id, "rotateSecret": true })).await;
    assert_eq!(refused.is(), ("TOO_MANY", "input.rotateSecret"));
    app.shift_clock("24 hours").await;
    let last = rotate().await;
    assert!(next_delivery(&app, &team, &receiver).await.is_signed_with(&last));
    app.finish().await;
}

// R75: delivered again by hand, and what waits behind it goes on.
#[tokio::test]
async fn an_event_is_delivered_again_by_hand() {
    let app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    let (id, _) = create(&team.owner, &team.id, &receiver.url, &["resource.created"]).await;
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    app.until_idle().await;
    let sent = newest(&team, &id).await;
    let again = team.owner.ok("redeliverWebhook", json!({ "deliveryId": sent["id"] }), "delivery { id status }").await;
    assert_eq!((&again["delivery"]["id"], &again["delivery"]["status"]), (&sent["id"], &json!("QUEUED")));
    receiver.wait_for(2).await;
    app.until_idle().await;
    let arrivals = receiver.arrivals();
    assert_eq!(arrivals[0].body, arrivals[1].body);
    assert_eq!(newest(&team, &id).await["attempts"], 2);

    // Several fail, so that the next try is some seconds away.
    receiver.always(Some(Answer::Status(500)));
    for n in 0..3 {
        team.owner.create(&team.id, "VOLUME", &format!("Reads {n}")).await;
    }
    until("some have failed", async || (newest(&team, &id).await["attempts"].as_i64() >= Some(3)).then_some(())).await;
    receiver.always(None);
    let held = newest(&team, &id).await;
    team.owner.ok("redeliverWebhook", json!({ "deliveryId": held["id"] }), "").await;
    until("the rest follows", async || {
        (first_arrivals(&receiver.taken()).len() == 4 && newest(&team, &id).await["status"] == "SENT").then_some(())
    })
    .await;
    let order = first_arrivals(&receiver.taken());
    assert!(order.is_sorted(), "{order:?}");
    app.finish().await;
}

// R75, R76: many changes at once, receivers that fail, workers that are killed: every event, in order, at least once.
#[tokio::test]
async fn no_event_is_lost_or_overtaken_when_workers_are_killed() {
    let mut app = TestApp::builder().local_webhooks().workers(2).start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    let (id, secret) = create(&team.owner, &team.id, &receiver.url, &["*"]).await;
    let clients: Vec<Client> = (0..8).map(|_| team.owner.twin()).collect();
    let changes = async {
        futures_util::future::join_all(clients.iter().enumerate().map(async |(number, client)| {
            for n in 0..25 {
                client.create(&team.id, "PROJECT", &format!("Project {number} {n}")).await;
            }
        }))
        .await;
    };
    receiver.answer((0..200).map(|n| match n % 40 {
        5 => Answer::Status(500),
        25 => Answer::Status(429),
        _ => Answer::Status(200),
    }));
    let kills = async {
        for count in [5, 30] {
            receiver.wait_for(count).await;
            app.kill_worker();
            app.start_worker();
        }
    };
    tokio::join!(changes, kills);
    let events: Vec<i64> = log(&team).await.into_iter().map(|(sequence, ..)| sequence).skip(1).collect();
    assert_eq!(events.len(), 201);
    // For as long as there is progress: leases of the dead must run out, and what failed has its pauses.
    let mut told = 0;
    while told < events.len() {
        let count = || first_arrivals(&receiver.taken()).len();
        told = until("another event is told", async || Some(count()).filter(|count| *count > told)).await;
    }
    app.until_idle().await;
    assert_eq!(first_arrivals(&receiver.taken()), events);
    // A repeat is only ever of what came last.
    assert!(receiver.taken().is_sorted());
    assert!(receiver.arrivals().iter().all(|arrival| arrival.is_signed_with(&secret)));
    let unsent = "SELECT count(*) AS value FROM webhook_deliveries WHERE status <> 'sent'";
    assert_eq!(app.database.number(unsent).await, 0);
    let delivered = format!("SELECT count(*) AS value FROM webhook_deliveries WHERE webhook_id = '{}'", uuid(&id));
    assert_eq!(app.database.number(delivered.as_str()).await, 201);
    app.finish().await;
}

// R75: made in the middle of changes, it tells every one that came after it.
#[tokio::test]
async fn a_webhook_made_in_the_middle_of_changes_overlooks_none() {
    let app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    let mut told_in_all = 0;
    for round in 0..6 {
        // Changes queue up at the log's head, before and after one that makes a webhook. It doesn't tell of its own
        // making, and silence follows, so that nothing that happens later makes up for what was overlooked.
        let mut holder = app.database.connection().await;
        let hold = format!("BEGIN; SELECT FROM audit_heads WHERE organization_id = '{}' FOR UPDATE", uuid(&team.id));
        holder.batch_execute(&hold).await.unwrap();
        let queue = async |length: i64| {
            let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            until("they wait", async || (app.database.number(waiting).await >= length).then_some(())).await;
        };
        let change = || {
            let (client, organization) = (team.owner.twin(), team.id.clone());
            tokio::spawn(async move { client.create(&organization, "PROJECT", "Liver atlas").await })
        };
        let mut changes: Vec<_> = (0..3).map(|_| change()).collect();
        queue(3).await;
        let (client, organization, url) = (team.owner.twin(), team.id.clone(), format!("{}/{round}", receiver.url));
        let made = tokio::spawn(async move { create(&client, &organization, &url, &["resource.created"]).await.0 });
        queue(4).await;
        changes.extend((0..3).map(|_| change()));
        queue(7).await;
        holder.batch_execute("ROLLBACK").await.unwrap();
        futures_util::future::join_all(changes).await;
        let webhook = made.await.unwrap();
        app.until_idle().await;
        let created = format!("SELECT min(sequence) AS value FROM audit_events WHERE target_id = '{webhook}'");
        let created = app.database.number(&created).await;
        let events = log(&team).await;
        let since = events.iter().filter(|(sequence, _, action)| *sequence > created && action == "resource.created");
        let expected: Vec<i64> = since.map(|(sequence, ..)| *sequence).collect();
        let told = format!(
            "SELECT sequence::text AS value FROM webhook_deliveries WHERE webhook_id = '{}' AND status = 'sent' ORDER BY sequence",
            uuid(&webhook)
        );
        let told: Vec<i64> = app.database.texts(&told).await.iter().map(|sequence| sequence.parse().unwrap()).collect();
        told_in_all += told.len();
        assert_eq!(told, expected);
    }
    // PostgreSQL lets them through roughly in the order in which they came.
    assert!(told_in_all > 0);
    app.finish().await;
}

// R75: for owner and admins; at most 20, however many ask at once.
#[tokio::test]
async fn webhooks_are_the_leaders_and_few() {
    let app = start().await;
    let team = app.team().await;
    let member = app.join(&team, "ada@example.org", "MEMBER").await;
    let admin = app.join(&team, "grace@example.org", "ADMIN").await;
    let (id, _) = create(&admin, &team.id, "https://example.org/hook", &["user.created"]).await;
    let listed =
        "query($id: ID!) { organization(by: { id: $id }) { webhooks(first: 100) { totalCount nodes { id url } } } }";
    assert_eq!(admin.query(listed, json!({ "id": team.id })).await["organization"]["webhooks"]["totalCount"], 1);
    assert!(member.query(listed, json!({ "id": team.id })).await["organization"]["webhooks"].is_null());
    assert!(member.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await["node"].is_null());
    let input = json!({ "organizationId": team.id, "url": "https://example.org/", "events": ["*"] });
    assert_eq!(member.refused("createWebhook", input).await.is(), ("FORBIDDEN", "input.organizationId"));
    assert_eq!(member.refused("updateWebhook", json!({ "id": id })).await.is(), ("NOT_FOUND", "input.id"));
    let many = futures_util::future::join_all((0..32).map(|_| {
        let client = team.owner.twin();
        let input = json!({ "organizationId": team.id, "url": "https://example.org/hook", "events": ["user.created"] });
        async move { client.mutate("createWebhook", input, "").await.user_errors("createWebhook") }
    }))
    .await;
    let refused: Vec<_> = many.iter().flatten().map(|error| error.is()).collect();
    assert_eq!(refused, vec![("TOO_MANY", "input.organizationId"); 13]);
    assert_eq!(app.database.number("SELECT count(*) AS value FROM webhooks").await, 20);
    app.finish().await;
}

// Twenty webhooks whose log is locked wait with their own share of the connections: mails go out meanwhile.
#[tokio::test]
async fn webhooks_that_wait_for_the_log_hold_up_no_mails() {
    let mut app = start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    for _ in 0..20 {
        create(&team.owner, &team.id, &receiver.url, &["organization.member_role_changed"]).await;
    }
    app.stop_workers().await;
    let input = json!({ "memberId": team.member_id(&ada).await, "role": "VIEWER" });
    team.owner.ok("changeMemberRole", input, "").await;
    // What nobody waits for is passed over in a transaction of its own.
    team.owner.ok("updateOrganization", json!({ "id": team.id, "name": "Another name" }), "").await;

    let mut holder = app.database.connection().await;
    holder.batch_execute("BEGIN; LOCK TABLE audit_heads").await.unwrap();
    app.start_worker();
    until("every handler has a webhook", async || {
        let running = "SELECT count(*) AS value FROM jobs WHERE queue = 'webhook' AND status = 'running'";
        (app.database.number(running).await == 16).then_some(())
    })
    .await;
    app.anonymous().ok("requestSignIn", json!({ "email": "grace@example.org" }), "").await;
    app.mail_to("grace@example.org").await;
    let waiting = "SELECT count(*) AS value FROM pg_locks WHERE NOT granted AND relation = 'audit_heads'::regclass";
    assert_eq!(app.database.number(waiting).await, 4, "the log is locked still, and the share is used up");

    holder.batch_execute("COMMIT").await.unwrap();
    // An organization has some places at a time; the others are put off.
    receiver.wait_for(20).await;
    app.until_idle().await;
    assert_eq!(receiver.arrivals().len(), 20);
    let behind =
        "SELECT count(*) AS value FROM webhooks JOIN audit_heads USING (organization_id) WHERE cursor < sequence";
    assert_eq!(app.database.number(behind).await, 0);
    app.finish().await;
}
