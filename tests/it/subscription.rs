//! Subscriptions: whoever follows an organization or a departure is told everything once, in order, and only as long as
//! they may see it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::statements::statements;
use crate::support::client::{nodes, text};
use crate::support::database::Database;
use crate::support::follower::{EVENTS, EventStream, PROGRESS, PROTOCOL, Socket, sequence};
use crate::support::people::uuid;
use crate::support::pooler::Pooler;
use crate::support::{Client, PATIENCE, Team, TestApp, Value, json, scrape, until};

impl Team {
    /// The sequence number of the organization's newest event.
    async fn head(&self, app: &TestApp) -> i64 {
        let head = format!("SELECT sequence AS value FROM audit_heads WHERE organization_id = '{}'", uuid(&self.id));
        app.database.number(&head).await
    }

    /// Follows the organization's events from a sequence number on.
    async fn followed_by(&self, url: &str, follower: &Client, after: Option<i64>) -> Socket {
        let mut socket = Socket::of(url, follower).await;
        let after = after.map(|after| after.to_string());
        socket.subscribe("1", EVENTS, json!({ "id": self.id, "after": after })).await;
        socket
    }

    async fn streamed_to(&self, url: &str, follower: &Client, after: Option<i64>) -> EventStream {
        let after = after.map(|after| after.to_string());
        EventStream::to(url, follower, EVENTS, json!({ "id": self.id, "after": after })).await.unwrap()
    }

    async fn event(&self) {
        let input = json!({ "organizationId": self.id, "kind": "PROJECT", "name": "Atlas" });
        self.owner.ok("createResource", input, "resource { id }").await;
    }
}

/// Follows until an event, and checks that they are all there and none twice.
async fn all_until(socket: &mut Socket, after: i64, last: i64) {
    for expected in after + 1..=last {
        assert_eq!(sequence(&socket.event("1").await), expected);
    }
}

// R74: eight write at the same time; whoever follows, whoever begins again and again, and whoever begins at the start
// or in the middle gets each event once, in the order of the log, whichever process they ask.
#[tokio::test]
async fn nothing_is_left_out_and_nothing_comes_twice() {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let elsewhere = app.another_api().await;
    app.until_idle().await;
    let before = team.head(&app).await;
    let last = before + i64::try_from(WRITERS * EACH).unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let (url, team) = (if writer % 2 == 0 { &app.url } else { &elsewhere }, &team);
        async move {
            let client = Client::new(url, team.owner.token.as_deref());
            for number in 0..EACH {
                client.create(&team.id, "PROJECT", &format!("Atlas {writer}-{number}")).await;
            }
        }
    });
    let whole = async {
        let mut socket = team.followed_by(&app.url, &team.owner, Some(0)).await;
        all_until(&mut socket, 0, last).await;
    };
    let from_now_on = team.followed_by(&elsewhere, &team.owner, None);
    let mut from_now_on = from_now_on.await;
    let as_events = async {
        let mut events = team.streamed_to(&elsewhere, &team.owner, Some(before)).await;
        for expected in before + 1..=last {
            assert_eq!(sequence(&events.event().await), expected);
        }
    };
    let again_and_again = async {
        let mut have = before;
        let mut urls = [&app.url, &elsewhere].into_iter().cycle();
        while have < last {
            let mut socket = team.followed_by(urls.next().unwrap(), &team.owner, Some(have)).await;
            let until = last.min(have + 7);
            all_until(&mut socket, have, until).await;
            have = until;
        }
    };
    // It begins at whatever was newest when the process read the message.
    let now_on = async {
        let mut have = sequence(&from_now_on.event("1").await);
        assert!(have > before);
        while have < last {
            have += 1;
            assert_eq!(sequence(&from_now_on.event("1").await), have);
        }
    };
    tokio::join!(join_all(writers), whole, as_events, again_and_again, now_on);
    // The same events as in the log, with what it says.
    let mut socket = team.followed_by(&app.url, &team.owner, Some(0)).await;
    let log = "query($id: ID!) { organization(by: { id: $id }) { auditLog(first: 100) { nodes { sequence action \
         actor { id } } } } }";
    let log = team.owner.query(log, json!({ "id": team.id })).await;
    for logged in nodes(&log["organization"]["auditLog"]) {
        assert_eq!(&socket.event("1").await["organizationEvents"], logged);
    }
    app.finish().await;
}

// What one process commits is told by another at once, and by the next look where the notification was lost, as when a
// process dies just after its commit.
#[tokio::test]
async fn other_processes_tell_of_it_even_if_the_notification_is_lost() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    app.until_idle().await;
    app.stop_workers().await;
    let elsewhere = app.another_api().await;
    let head = team.head(&app).await;
    let mut socket = team.followed_by(&elsewhere, &team.owner, Some(head)).await;
    team.event().await;
    all_until(&mut socket, head, head + 1).await;
    // Recorded without a word.
    let silent = json!([{
        "organization_id": uuid(&team.id), "id": uuid::Uuid::from_u128(7), "action": "resource.updated",
        "actor_kind": "system", "actor_id": null, "target_id": "res_1", "summary": "silently", "metadata": {},
    }]);
    let began = Instant::now();
    app.database.sql(&format!("SELECT audit_append('{silent}')")).await;
    all_until(&mut socket, head + 1, head + 2).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    app.finish().await;
}

/// How a right to follow ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Removed,
    Demoted,
    SignedOut,
    KeyRevoked,
    Expired,
    Suspended,
    Deleted,
}

// R31, R48: whoever loses the right to follow is told at once that it is over, and nothing of what happens after that,
// though others write all the time.
#[tokio::test]
async fn the_end_of_a_right_ends_what_it_allowed() {
    use Ending::{Deleted, Demoted, Expired, KeyRevoked, Removed, SignedOut, Suspended};
    let app = TestApp::start().await;
    let team = app.team().await;
    for (number, ending) in
        [Removed, Demoted, SignedOut, KeyRevoked, Expired, Suspended, Deleted].into_iter().enumerate()
    {
        let follower = app.join(&team, &format!("admin{number}@example.org"), "ADMIN").await;
        let key = json!({ "organizationId": team.id, "name": "CI" });
        let key = follower.ok("createApiKey", key, "secret apiKey { id }").await;
        let follower = match ending {
            KeyRevoked => follower.with_token(&text(&key["secret"])),
            _ => follower,
        };
        let member = team.member_id(&follower).await;
        let session = follower.with_token(follower.token.as_deref().unwrap());
        app.until_idle().await;
        let head = team.head(&app).await;
        let mut socket = team.followed_by(&app.url, &follower, Some(head)).await;
        let mut events = team.streamed_to(&app.url, &follower, Some(head)).await;
        let idle = team.streamed_to(&app.url, &follower, None);
        let mut idle = idle.await;
        team.event().await;
        assert_eq!(sequence(&socket.event("1").await), head + 1, "{ending:?}");
        assert_eq!(sequence(&events.event().await), head + 1, "{ending:?}");

        let is_over = Cell::new(false);
        let writing = async {
            while !is_over.get() {
                let input = json!({ "organizationId": team.id, "kind": "PROJECT", "name": "Atlas" });
                let answer = team.owner.mutate("createResource", input, "").await;
                if !answer.user_errors("createResource").is_empty() {
                    break;
                }
            }
        };
        let ended = async {
            let owner = &team.owner;
            match ending {
                Removed => drop(owner.ok("removeMember", json!({ "memberId": member }), "").await),
                Demoted => {
                    let input = json!({ "memberId": member, "role": "MEMBER" });
                    owner.ok("changeMemberRole", input, "").await;
                }
                SignedOut => drop(session.ok("signOut", json!({}), "").await),
                KeyRevoked => {
                    let owner_of_key = app.sign_up(&format!("admin{number}@example.org")).await;
                    owner_of_key.ok("revokeApiKey", json!({ "id": key["apiKey"]["id"] }), "").await;
                }
                Expired => {
                    let expire = format!(
                        "UPDATE sessions SET expires_at = rollcall_now() WHERE user_id = '{}'",
                        uuid(&follower.user_id)
                    );
                    app.database.sql(&expire).await;
                }
                Suspended => {
                    let suspend = format!(
                        "UPDATE users SET suspended_at = rollcall_now() WHERE id = '{}'",
                        uuid(&follower.user_id)
                    );
                    app.database.sql(&suspend).await;
                }
                Deleted => {
                    let input = json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" });
                    owner.ok("deleteOrganization", input, "").await;
                }
            }
            // Whatever is written from here on happened afterwards.
            let after = team.head(&app).await;
            let all = futures_util::future::join3(socket.rest("1"), events.rest(), idle.rest()).await;
            is_over.set(true);
            (after, all)
        };
        let ((), (after, ((by_socket, of_socket), (by_events, of_events), (by_idle, of_idle)))) =
            futures_util::future::join(writing, ended).await;
        let code = match ending {
            Removed | Deleted => "NOT_FOUND",
            Demoted => "FORBIDDEN",
            SignedOut | KeyRevoked | Expired | Suspended => "UNAUTHENTICATED",
        };
        for (told, error) in [(by_socket, of_socket), (by_events, of_events), (by_idle, of_idle)] {
            assert_eq!(error.as_deref(), Some(code), "{ending:?}");
            for event in &told {
                assert!(sequence(event) <= after, "{ending:?}: {event} came after {after}");
            }
        }
        if matches!(ending, Suspended) {
            app.database.sql("UPDATE users SET suspended_at = NULL").await;
        }
        // The connection is still there, but allows no more than its token.
        socket.subscribe("2", EVENTS, json!({ "id": team.id })).await;
        if !matches!(ending, Suspended) {
            let (told, error) = socket.rest("2").await;
            assert_eq!((told.len(), error.as_deref()), (0, Some(code)), "{ending:?}");
        }
    }
    app.until_idle().await;
    app.finish().await;
}

// R74: who may not read the log may not follow it, whoever they are, and learns nothing of what there is.
#[tokio::test]
async fn only_those_who_may_read_the_log_follow_it() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let stranger = app.sign_up("stranger@example.org").await;
    let unknown = "org_01m80mff7qeqnawy0e1cm38ebs";
    let service = json!({ "organizationId": team.id, "name": "Backend" });
    let service = team.owner.ok("createServiceKey", service, "secret").await;
    let service = app.client(&text(&service["secret"]));
    for (client, id, code) in [
        (&member, team.id.as_str(), "FORBIDDEN"),
        (&stranger, &team.id, "NOT_FOUND"),
        (&stranger, unknown, "NOT_FOUND"),
        (&service, &team.id, "NOT_FOUND"),
        (&app.staff(), &team.id, "NOT_FOUND"),
    ] {
        let mut socket = Socket::of(&app.url, client).await;
        socket.subscribe("a", EVENTS, json!({ "id": id })).await;
        assert_eq!(socket.rest("a").await, (Vec::new(), Some(code.to_owned())));
        let mut events = EventStream::to(&app.url, client, EVENTS, json!({ "id": id })).await.unwrap();
        assert_eq!(events.rest().await, (Vec::new(), Some(code.to_owned())));
    }
    // The same answer for what isn't there and what is somebody else's.
    let mut socket = Socket::of(&app.url, &stranger).await;
    let mut refusals = Vec::new();
    for id in [team.id.as_str(), unknown] {
        socket.subscribe("a", EVENTS, json!({ "id": id })).await;
        refusals.push(socket.next().await);
    }
    assert_eq!(refusals[0], refusals[1]);
    let mut anonymous = EventStream::to(&app.url, &app.anonymous(), EVENTS, json!({ "id": team.id })).await.unwrap();
    assert_eq!(anonymous.rest().await, (Vec::new(), Some("UNAUTHENTICATED".to_owned())));

    // People whom the reader may not know are left out, as in the log.
    let head = team.head(&app).await;
    let mut socket = team.followed_by(&app.url, &admin, Some(head)).await;
    let outsider = app.sign_up("outsider@example.org").await;
    let invitation = team.invite("outsider@example.org", "MEMBER").await;
    outsider.ok("declineInvitation", json!({ "id": invitation }), "").await;
    let invited = socket.event("1").await;
    assert_eq!(invited["organizationEvents"]["actor"]["id"], team.owner.user_id.as_str());
    let declined = socket.event("1").await;
    assert_eq!(declined["organizationEvents"]["action"], "organization.invitation_declined");
    assert_eq!(declined["organizationEvents"]["actor"], Value::Null);
    app.finish().await;
}

// R31, D7: a departure is followed to its end, though the worker is killed in its middle: its present state first, no
// step back, and the whole at last. Then the same for its revert (R45).
#[tokio::test]
async fn a_departure_is_followed_to_its_end() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    app.give(&team, &ada, "project", 10_000).await;
    let departure = team.remove(&ada).await;
    let mut by_owner = Socket::of(&app.url, &team.owner).await;
    by_owner.subscribe("d", PROGRESS, json!({ "id": departure })).await;
    // The leaver may see their own departure, nobody else who doesn't lead.
    let mut by_leaver = EventStream::to(&app.url, &ada, PROGRESS, json!({ "id": departure })).await.unwrap();
    let mut by_member = EventStream::to(&app.url, &member, PROGRESS, json!({ "id": departure })).await.unwrap();
    assert_eq!(by_member.rest().await, (Vec::new(), Some("NOT_FOUND".to_owned())));
    let first = by_owner.event("d").await["departureProgress"].clone();
    assert_eq!(first["steps"].as_array().unwrap().len(), 11, "{first}");
    until("some have passed on", async || (app.owned(&team, &team.owner).await > 0).then_some(())).await;
    app.kill_worker();
    app.start_worker();
    let (told, error) = by_owner.rest("d").await;
    assert_eq!(error, None);
    let done = |state: &Value| {
        let steps = state["steps"].as_array().unwrap();
        steps.iter().map(|step| step["done"].as_i64().unwrap()).sum::<i64>()
    };
    let mut states: Vec<Value> = told.iter().map(|data| data["departureProgress"].clone()).collect();
    states.insert(0, first);
    assert!(states.iter().map(done).collect::<Vec<_>>().is_sorted(), "{states:?}");
    let at_last = states.last().unwrap();
    assert_eq!((at_last["status"].as_str().unwrap(), done(at_last) >= 10_000), ("COMPLETED", true), "{at_last}");
    assert!(states.iter().rev().skip(1).all(|state| state["status"] == "RUNNING"), "{states:?}");
    let (told, error) = by_leaver.rest().await;
    assert_eq!((&told.last().unwrap()["departureProgress"], error), (at_last, None));
    // Whoever comes too late is told the end, and that it is one.
    let mut late = EventStream::to(&app.url, &team.owner, PROGRESS, json!({ "id": departure })).await.unwrap();
    let (told, error) = late.rest().await;
    assert_eq!((told.len(), &told[0]["departureProgress"], error), (1, at_last, None));

    team.owner.ok("revertDeparture", json!({ "departureId": departure }), "").await;
    by_owner.subscribe("d", PROGRESS, json!({ "id": departure })).await;
    let (told, error) = by_owner.rest("d").await;
    let statuses: Vec<_> = told.iter().map(|data| text(&data["departureProgress"]["status"])).collect();
    assert_eq!((statuses.last().map(String::as_str), error), (Some("REVERTED"), None));
    assert!(statuses.iter().rev().skip(1).all(|status| status == "REVERTING"), "{statuses:?}");
    app.until_idle().await;
    app.finish().await;
}

// R31, D7: a departure that failed has come to an end too; it is followed again once it goes on.
#[tokio::test]
async fn a_departure_that_fails_ends_what_follows_it() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    app.until_idle().await;
    app.stop_workers().await;
    let departure = team.remove(&ada).await;
    let mut socket = Socket::of(&app.url, &team.owner).await;
    socket.subscribe("d", PROGRESS, json!({ "id": departure })).await;
    assert_eq!(socket.event("d").await["departureProgress"]["status"], "RUNNING");
    let fail = format!("UPDATE departures SET status = 'failed', error = 'no' WHERE id = '{}'", uuid(&departure));
    app.database.sql(&fail).await;
    let (told, error) = socket.rest("d").await;
    assert_eq!((told.len(), error), (1, None), "{told:?}");
    assert_eq!(told[0]["departureProgress"]["error"], "no");
    socket.subscribe("d", PROGRESS, json!({ "id": departure })).await;
    assert_eq!(socket.rest("d").await.0.len(), 1);
    team.owner.ok("retryDeparture", json!({ "departureId": departure }), "").await;
    socket.subscribe("d", PROGRESS, json!({ "id": departure })).await;
    app.start_worker();
    let (told, error) = socket.rest("d").await;
    assert_eq!((told.last().unwrap()["departureProgress"]["status"].as_str(), error), (Some("COMPLETED"), None));
    app.until_idle().await;
    app.finish().await;
}

/// How many connections of a database listen.
async fn listening(app: &TestApp) -> i64 {
    let listening = "SELECT count(*) AS value FROM pg_stat_activity \
         WHERE application_name = 'rollcall subscriptions' AND datname = current_database()";
    app.database.number(listening).await
}

// The one connection that listens is cut; it is made anew, and nothing is missing.
#[tokio::test]
async fn a_lost_connection_to_the_database_loses_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.until_idle().await;
    let head = team.head(&app).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(team.followed_by(&app.url, &team.owner, Some(head)).await);
    }
    team.event().await;
    for socket in &mut sockets {
        all_until(socket, head, head + 1).await;
    }
    for round in 0..3 {
        assert_eq!(listening(&app).await, 1, "one for all of them");
        let cut = "SELECT count(pg_terminate_backend(pid)) AS value FROM pg_stat_activity \
             WHERE application_name = 'rollcall subscriptions' AND datname = current_database()";
        assert_eq!(app.database.number(cut).await, 1);
        let from = head + 1 + round * 3;
        for _ in 0..3 {
            team.event().await;
        }
        for socket in &mut sockets {
            all_until(socket, from, from + 3).await;
        }
    }
    app.finish().await;
}

// The whole database is gone for a while. Those who follow are still there when it is back.
#[tokio::test]
async fn a_restart_of_the_database_loses_nothing() {
    let app = TestApp::builder().own_postgres().start().await;
    let team = app.team().await;
    app.until_idle().await;
    let head = team.head(&app).await;
    let mut socket = team.followed_by(&app.url, &team.owner, Some(head)).await;
    team.event().await;
    all_until(&mut socket, head, head + 1).await;
    app.database.stop_postgres().await;
    app.database.start_postgres().await;
    until("it works again", async || {
        let input = json!({ "organizationId": team.id, "kind": "PROJECT", "name": "Atlas" });
        let answer = team.owner.mutate("createResource", input, "resource { id }").await;
        answer.body.get("errors").is_none().then_some(())
    })
    .await;
    assert_eq!(sequence(&socket.event("1").await), head + 2);
    app.until_idle().await;
    app.finish_with_errors().await;
}

// Where a pooler stands before the database, whatever listens goes past it.
#[tokio::test]
async fn behind_a_pooler_it_listens_directly() {
    let database = Database::new().await;
    let (direct, pooler) = (database.url.clone(), Pooler::start(&database.url, 4).await);
    let app = TestApp::builder()
        .on(database)
        .setting("DATABASE_URL", &pooler.url)
        .setting("ROLLCALL_DIRECT_DATABASE_URL", &direct)
        .start()
        .await;
    let team = app.team().await;
    app.until_idle().await;
    let head = team.head(&app).await;
    let mut socket = team.followed_by(&app.url, &team.owner, Some(head)).await;
    for number in 0..5 {
        team.event().await;
        all_until(&mut socket, head + number, head + number + 1).await;
    }
    assert_eq!(listening(&app).await, 1);
    app.finish().await;
}

// However many follow, and whatever they follow, a look takes as many statements, and without followers there is none.
#[tokio::test]
async fn followers_share_their_statements() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let other = team.owner.found("Other").await;
    app.until_idle().await;
    app.log_statements().await;
    app.stop_workers().await;
    let looks = async |app: &TestApp| {
        let before = statements(app);
        tokio::time::sleep(Duration::from_secs(4)).await;
        statements(app) - before
    };
    let mut socket = Socket::of(&app.url, &team.owner).await;
    socket.subscribe("0", EVENTS, json!({ "id": team.id })).await;
    until("it is followed", async || (listening(&app).await == 1).then_some(())).await;
    let of_one = looks(&app).await;
    // Sessions, memberships and events, once a second.
    assert!((9..=18).contains(&of_one), "{of_one}");
    for number in 1..20 {
        let id = if number % 2 == 0 { &team.id } else { &other };
        socket.subscribe(&number.to_string(), EVENTS, json!({ "id": id })).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let of_many = looks(&app).await;
    assert!(of_many <= of_one + 3, "{of_many} {of_one}");
    drop(socket);
    until("nobody follows", async || (looks(&app).await == 0).then_some(())).await;
    app.finish().await;
}

// Each account and each client has a limited number of subscriptions, the refusal says which, and whoever ends one may
// begin another.
#[tokio::test]
async fn there_is_a_limit_and_it_says_so() {
    let app = TestApp::builder().setting("ROLLCALL_METRICS_LISTEN", "127.0.0.1:0").start().await;
    let team = app.team().await;
    let admins = join_all((0..5).map(|number| {
        let (app, team) = (&app, &team);
        async move { app.join(team, &format!("admin{number}@example.org"), "ADMIN").await }
    }))
    .await;
    app.until_idle().await;
    let variables = json!({ "id": team.id });
    let mut socket = Socket::of(&app.url, &team.owner).await;
    for number in 0..20 {
        socket.subscribe(&number.to_string(), EVENTS, variables.clone()).await;
    }
    socket.subscribe("one more", EVENTS, variables.clone()).await;
    let refused = socket.next().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("one more")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "TOO_MANY", "{refused}");
    assert!(text(&refused["payload"][0]["message"]).contains("an account can have at most 20 open"), "{refused}");
    // However they come.
    let refusal = EventStream::to(&app.url, &team.owner, EVENTS, variables.clone()).await.err().unwrap();
    assert_eq!(refusal.status(), 429);
    let refusal: Value = refusal.json().await.unwrap();
    assert_eq!(refusal["errors"][0]["extensions"]["code"], "TOO_MANY");
    let open = async || {
        let metrics = scrape(&app.api_log()).await;
        let open = |name| metrics.get(name, &[("transport", "websocket")]);
        (open("rollcall_subscriptions"), open("rollcall_subscription_connections"))
    };
    assert_eq!(open().await, (20.0, 1.0));
    socket.send(json!({ "type": "complete", "id": "0" })).await;
    until("one has ended", async || (open().await.0 == 19.0).then_some(())).await;
    socket.subscribe("one more", EVENTS, variables.clone()).await;
    until("there is one more", async || (open().await.0 == 20.0).then_some(())).await;
    // Five accounts from one address have as many as one address may.
    let mut sockets = Vec::new();
    for admin in &admins[..4] {
        let mut socket = Socket::of(&app.url, admin).await;
        for number in 0..20 {
            socket.subscribe(&number.to_string(), EVENTS, variables.clone()).await;
        }
        sockets.push(socket);
    }
    until("there are a hundred", async || (open().await.0 == 100.0).then_some(())).await;
    let mut another = Socket::of(&app.url, &admins[4]).await;
    another.subscribe("a", EVENTS, variables.clone()).await;
    let refused = another.next().await;
    assert!(text(&refused["payload"][0]["message"]).contains("a client's address can have at most 100"), "{refused}");
    // Another address has its own.
    let mut from_elsewhere = Socket::open(&app.url, "127.0.0.2", PROTOCOL).await.unwrap();
    from_elsewhere.begin(&admins[4]).await;
    from_elsewhere.subscribe("a", EVENTS, json!({ "id": team.id, "after": "0" })).await;
    from_elsewhere.event("a").await;
    drop((socket, sockets, another, from_elsewhere));
    until("all have ended", async || (open().await == (0.0, 0.0)).then_some(())).await;
    // Connections that say nothing count as well.
    let silent = join_all((0..100).map(|_| Socket::to(&app.url))).await;
    let (status, body) = Socket::open(&app.url, "127.0.0.1", PROTOCOL).await.err().unwrap();
    assert_eq!(status.as_u16(), 429, "{body}");
    assert!(body.contains("at most 100 open connections for subscriptions"), "{body}");
    // Others, and other requests, are served all the same.
    Socket::open(&app.url, "127.0.0.2", PROTOCOL).await.unwrap().begin(&team.owner).await;
    team.event().await;
    drop(silent);
    app.finish().await;
}

// The protocol, message by message, and how the server closes a connection whose client doesn't keep to it.
#[tokio::test]
async fn the_websocket_protocol_is_kept() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.until_idle().await;
    let events = json!({ "query": EVENTS, "variables": { "id": team.id, "after": "0" } });
    let subscribe = |id: &str| json!({ "type": "subscribe", "id": id, "payload": events });
    let init = json!({ "type": "connection_init",
        "payload": { "Authorization": format!("Bearer {}", team.owner.token.as_deref().unwrap()) } });

    // A ping is answered before and after the acknowledgement.
    let mut socket = Socket::to(&app.url).await;
    socket.send(json!({ "type": "ping", "payload": { "at": 1 } })).await;
    assert_eq!(socket.next().await, json!({ "type": "pong" }));
    socket.send(init.clone()).await;
    assert_eq!(socket.next().await, json!({ "type": "connection_ack" }));
    socket.send(json!({ "type": "pong" })).await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.next().await, json!({ "type": "pong" }));
    // Whoever says that it is enough hears no more of it, and may use the id again.
    socket.send(subscribe("a")).await;
    socket.event("a").await;
    socket.send(json!({ "type": "complete", "id": "a" })).await;
    socket.send(json!({ "type": "complete", "id": "never was" })).await;
    socket.send(json!({ "type": "ping" })).await;
    while socket.next().await != json!({ "type": "pong" }) {}
    team.event().await;
    socket.send(subscribe("a")).await;
    assert_eq!(sequence(&socket.event("a").await), 1);
    // What a document is refused for is an error of its subscription alone.
    for (query, code) in [
        ("{ viewer { email } }", "BAD_REQUEST"),
        ("mutation { signOut(input: {}) { userErrors { code } } }", "BAD_REQUEST"),
        ("subscription { nothing }", "BAD_REQUEST"),
        ("subscription {", "BAD_REQUEST"),
        ("", "BAD_REQUEST"),
    ] {
        let mut other = Socket::of(&app.url, &team.owner).await;
        other.subscribe("q", query, json!({})).await;
        assert_eq!(other.rest("q").await, (Vec::new(), Some(code.to_owned())), "{query}");
        other.send(json!({ "type": "ping" })).await;
        assert_eq!(other.next().await, json!({ "type": "pong" }), "{query}");
    }
    assert!(team.owner.belongs_to(&team.id).await, "nobody was signed out");

    for (code, messages) in [
        (4400, vec![json!("nonsense")]),
        (4400, vec![json!({})]),
        (4400, vec![json!({ "type": "start" })]),
        (4400, vec![json!([1])]),
        (4400, vec![init.clone(), json!({ "type": "subscribe", "payload": events })]),
        (4400, vec![init.clone(), json!({ "type": "subscribe", "id": "", "payload": events })]),
        (4400, vec![init.clone(), json!({ "type": "subscribe", "id": "x".repeat(200), "payload": events })]),
        (4400, vec![init.clone(), json!({ "type": "subscribe", "id": 7, "payload": events })]),
        (4400, vec![init.clone(), json!({ "type": "subscribe", "id": "a" })]),
        (4400, vec![init.clone(), json!({ "type": "complete" })]),
        (
            4400,
            vec![
                init.clone(),
                json!({ "type": "subscribe", "id": "a",
            "payload": { "query": EVENTS, "variables": { "id": vec![0; 26_000] } } }),
            ],
        ),
        (4401, vec![subscribe("a")]),
        (4403, vec![json!({ "type": "connection_init" })]),
        (4403, vec![json!({ "type": "connection_init", "payload": { "Authorization": "Bearer rcs_unknown" } })]),
        (4403, vec![json!({ "type": "connection_init", "payload": { "Authorization": "Basic YTpi" } })]),
        (4403, vec![json!({ "type": "connection_init", "payload": { "Authorization": 1 } })]),
        (4409, vec![init.clone(), subscribe("a"), subscribe("a")]),
        (4429, vec![init.clone(), init.clone()]),
    ] {
        let mut socket = Socket::to(&app.url).await;
        for message in &messages {
            socket.send(message.clone()).await;
        }
        let (closed, reason) = socket.closed().await;
        assert_eq!(closed, code, "{reason} {messages:?}");
        assert!(!reason.is_empty());
    }
    for message in [Message::Binary(init.to_string().into_bytes().into()), Message::Text("{".into())] {
        let mut socket = Socket::to(&app.url).await;
        socket.send_message(message).await;
        assert_eq!(socket.closed().await.0, 4400);
    }
    // Whoever closes it is answered, before and after they have said who they are.
    for with_init in [false, true] {
        let mut socket = Socket::to(&app.url).await;
        if with_init {
            socket.begin(&team.owner).await;
            socket.send(subscribe("a")).await;
        }
        let frame = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
        let began = Instant::now();
        socket.send_message(Message::Close(Some(frame))).await;
        assert_eq!(socket.closed().await, (1000, "done".to_owned()));
        assert!(socket.receive().await.is_err_and(|close| close.is_none()));
        assert!(began.elapsed().as_millis() < 900, "the server closes the connection, and doesn't wait for the client");
    }
    // A message that is too large ends the connection, however it is cut into frames.
    let mut socket = Socket::of(&app.url, &team.owner).await;
    socket.send_text(&"x".repeat(65 * 1024)).await;
    let end = loop {
        match socket.receive().await {
            Ok(_) => continue,
            Err(end) => break end,
        }
    };
    assert!(end.is_none_or(|(code, _)| code == 1009));
    // Whoever doesn't say who they are.
    let mut silent = Socket::to(&app.url).await;
    let began = Instant::now();
    assert_eq!(silent.closed().await.0, 4408);
    assert!((9..20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    app.finish().await;
}

// How a WebSocket is opened: by the subprotocol, with a token that may be in a header, from no other site's page.
#[tokio::test]
async fn a_websocket_is_opened_with_a_token_and_from_known_origins() {
    let app = TestApp::builder().setting("ROLLCALL_ALLOWED_ORIGINS", "https://app.example.org").start().await;
    let team = app.team().await;
    for headers in [&[][..], &[("sec-websocket-protocol", "graphql-ws")], &[("sec-websocket-protocol", "mqtt, chat")]] {
        let (status, body) = Socket::open(&app.url, "127.0.0.1", headers).await.err().unwrap();
        assert_eq!(status.as_u16(), 400, "{body}");
        assert!(body.contains("graphql-transport-ws"), "{body}");
    }
    for (origin, is_known) in [
        (app.url.as_str(), true),
        ("https://app.example.org", true),
        ("https://evil.example", false),
        ("https://app.example.org.evil.example", false),
        ("null", false),
    ] {
        let headers = [PROTOCOL[0], ("origin", origin)];
        match Socket::open(&app.url, "127.0.0.1", &headers).await {
            Ok(mut socket) => {
                assert!(is_known, "{origin}");
                socket.begin(&team.owner).await;
            }
            Err((status, body)) => {
                assert!(!is_known && status.as_u16() == 403 && body.contains("ROLLCALL_ALLOWED_ORIGINS"), "{body}");
            }
        }
    }
    // The header counts where the message names nobody; a cookie never does.
    let authorization = format!("Bearer {}", team.owner.token.as_deref().unwrap());
    let headers = [PROTOCOL[0], ("authorization", authorization.as_str())];
    let mut socket = Socket::open(&app.url, "127.0.0.1", &headers).await.unwrap();
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await, json!({ "type": "connection_ack" }));
    socket.subscribe("a", EVENTS, json!({ "id": team.id, "after": 0 })).await;
    assert_eq!(sequence(&socket.event("a").await), 1);
    let cookie = format!("session={}", team.owner.token.as_deref().unwrap());
    let headers = [PROTOCOL[0], ("cookie", cookie.as_str())];
    let mut socket = Socket::open(&app.url, "127.0.0.1", &headers).await.unwrap();
    socket.send(json!({ "type": "connection_init", "payload": null })).await;
    assert_eq!(socket.closed().await.0, 4403);
    app.finish().await;
}

// A client that is there but says nothing, not even in answer to a ping, doesn't keep its place.
#[tokio::test]
async fn who_answers_no_ping_is_gone() {
    let app = TestApp::builder().setting("ROLLCALL_METRICS_LISTEN", "127.0.0.1:0").start().await;
    let team = app.team().await;
    // It isn't read from any more.
    let _silent = team.followed_by(&app.url, &team.owner, None).await;
    let open = async || {
        let metrics = scrape(&app.api_log()).await;
        let open = |name| metrics.get(name, &[("transport", "websocket")]);
        (open("rollcall_subscriptions"), open("rollcall_subscription_connections"))
    };
    until("it follows", async || (open().await == (1.0, 1.0)).then_some(())).await;
    until("it is gone", async || (open().await == (0.0, 0.0)).then_some(())).await;
    app.finish().await;
}

// Documents and arguments that make no sense, or too much work.
#[tokio::test]
async fn what_makes_no_sense_is_refused_before_it_begins() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.until_idle().await;
    let mut socket = Socket::of(&app.url, &team.owner).await;
    let bomb: String =
        (0..24).map(|n| format!("fragment F{n} on AuditEvent {{ ...F{} ...F{} }} ", n + 1, n + 1)).collect();
    let bomb = format!(
        "subscription {{ organizationEvents(organizationId: \"x\") {{ ...F0 }} }} {bomb} \
         fragment F24 on AuditEvent {{ id }}"
    );
    let aliases: String = (0..300).map(|n| format!("a{n}: id ")).collect();
    let id = &team.id;
    let of_event =
        |selection: &str| format!("subscription {{ organizationEvents(organizationId: \"{id}\") {{ {selection} }} }}");
    let dear = "target { ... on Organization { members(first: 100) { nodes { user { username } teams(first: 100) { \
         nodes { name members(first: 100) { nodes { user { name } } } } } } } } }";
    let documents = [
        bomb,
        of_event(&aliases),
        of_event(dear),
        format!(
            "subscription {{ a: organizationEvents(organizationId: \"{id}\") {{ id }} \
             b: organizationEvents(organizationId: \"{id}\") {{ id }} }}"
        ),
        format!(
            "subscription {{ ...S }} fragment S on Subscription {{ organizationEvents(organizationId: \"{id}\") {{ id }} }}"
        ),
        "subscription { __schema { types { name } } }".to_owned(),
        "subscription { __typename }".to_owned(),
        "subscription { organizationEvents { id } }".to_owned(),
        "subscription { organizationEvents(organizationId: \"nonsense\") { id } }".to_owned(),
        format!("subscription {{ organizationEvents(organizationId: \"{id}\") }}"),
        format!("subscription {{ departureProgress(departureId: \"{id}\") {{ id }} }}"),
    ];
    for document in &documents {
        socket.subscribe("a", document, json!({})).await;
        assert_eq!(socket.rest("a").await, (Vec::new(), Some("BAD_REQUEST".to_owned())), "{document}");
        let answer = team.owner.run(document, json!({})).await;
        assert_eq!(answer.error_code(), "BAD_REQUEST", "{document}");
        if let Ok(mut events) = EventStream::to(&app.url, &team.owner, document, json!({})).await {
            assert_eq!(events.rest().await, (Vec::new(), Some("BAD_REQUEST".to_owned())), "{document}");
        }
    }
    let head = team.head(&app).await;
    for (after, said) in [
        (json!(-1), "begins at 0"),
        (json!(i64::MIN), "begins at 0"),
        (json!(head + 1), "must be at most"),
        (json!(i64::MAX), "must be at most"),
        (json!("9223372036854775807"), "must be at most"),
        (json!("9223372036854775808"), "BigInt"),
        (json!("one"), "BigInt"),
        (json!(1.5), "BigInt"),
    ] {
        socket.subscribe("a", EVENTS, json!({ "id": team.id, "after": after })).await;
        let refused = socket.next().await;
        assert_eq!(refused["type"], "error", "{refused}");
        assert_eq!(refused["payload"][0]["extensions"]["code"], "BAD_REQUEST", "{refused}");
        assert!(text(&refused["payload"][0]["message"]).contains(said), "{after}: {refused}");
    }
    let unknown = "dep_01m80mff7qeqnawy0e1cm38ebs";
    socket.subscribe("a", PROGRESS, json!({ "id": unknown })).await;
    assert_eq!(socket.rest("a").await, (Vec::new(), Some("NOT_FOUND".to_owned())));
    app.finish().await;
}

// Server-sent events as any program sees them that can read lines.
#[tokio::test]
async fn events_are_lines_that_anybody_can_read() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let document = format!(
        r#"subscription {{ organizationEvents(organizationId: \"{}\", afterSequence: 0) {{ sequence }} }}"#,
        team.id
    );
    let body = format!(r#"{{"query":"{document}"}}"#);
    let host = app.url.strip_prefix("http://").unwrap();
    let token = team.owner.token.as_deref().unwrap();
    let ask = async |accept: &str, body: &str| {
        let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    };
    let mut stream = ask("text/event-stream", &body).await;
    let mut seen = String::new();
    let wanted = "event: next\ndata: {\"data\":{\"organizationEvents\":{\"sequence\":\"1\"}}}\n\n";
    while !seen.contains(wanted) {
        let mut buffer = [0; 1024];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "{seen}");
        seen += std::str::from_utf8(&buffer[..read]).unwrap();
    }
    assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen}");
    let head = seen.to_ascii_lowercase();
    for header in ["content-type: text/event-stream; charset=utf-8", "cache-control: no-store", "x-accel-buffering: no"]
    {
        assert!(head.contains(&format!("\r\n{header}\r\n")), "{seen}");
    }
    // A comment shows at once that the stream is open.
    assert!(seen.find(":\n\n").unwrap() < seen.find("event: next").unwrap(), "{seen}");

    // What isn't a subscription is answered where its client takes that too.
    let query = r#"{"query":"{ viewer { email } }"}"#;
    for (accept, status, said) in [
        ("application/json, text/event-stream", "200 OK", "owner@example.org"),
        ("text/event-stream", "406 Not Acceptable", "Only subscriptions"),
        ("text/html", "406 Not Acceptable", "text/event-stream"),
    ] {
        let mut stream = ask(accept, query).await;
        let mut answer = String::new();
        while !answer.contains(said) {
            let mut buffer = [0; 1024];
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
            assert!(read > 0, "{accept}: {answer}");
            answer += std::str::from_utf8(&buffer[..read]).unwrap();
        }
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{accept}: {answer}");
    }
    // A subscription whose client takes no events is told how.
    let answer = team.owner.run(EVENTS, json!({ "id": team.id })).await;
    assert!(text(&answer.body["errors"][0]["message"]).contains("Accept: text/event-stream"), "{}", answer.body);
    // A wrong token is refused before anything else.
    let refusal = EventStream::to(&app.url, &app.client("rcs_unknown"), EVENTS, json!({ "id": team.id })).await;
    assert_eq!(refusal.err().unwrap().status(), 401);
    app.finish().await;
}

// Whoever reads slowly holds nobody up, and gets everything all the same.
#[tokio::test]
async fn who_reads_slowly_misses_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.until_idle().await;
    let head = team.head(&app).await;
    let mut slow = team.followed_by(&app.url, &team.owner, Some(head)).await;
    let mut quick = team.followed_by(&app.url, &team.owner, Some(head)).await;
    // Many large events at once.
    let events = format!(
        "SELECT audit_append((SELECT jsonb_agg(jsonb_build_object('organization_id', '{}', 'id', gen_random_uuid(), \
         'action', 'resource.updated', 'actor_kind', 'system', 'target_id', 'res_1', 'summary', repeat('x', 20000), \
         'metadata', '{{}}'::jsonb)) FROM generate_series(1, 200)))",
        uuid(&team.id)
    );
    app.database.sql(&events).await;
    all_until(&mut quick, head, head + 200).await;
    team.event().await;
    all_until(&mut quick, head + 200, head + 201).await;
    all_until(&mut slow, head, head + 201).await;
    app.finish().await;
}

// A stop ends them in order and in time: WebSockets with 1001, event streams with a word and their end.
#[tokio::test]
async fn a_stop_ends_them_cleanly() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let head = team.head(&app).await;
    let mut socket = team.followed_by(&app.url, &team.owner, Some(head - 1)).await;
    let mut silent = Socket::to(&app.url).await;
    let mut events = team.streamed_to(&app.url, &team.owner, Some(head - 1)).await;
    socket.event("1").await;
    events.event().await;
    let began = Instant::now();
    let (socket, silent, events, ()) = tokio::join!(socket.closed(), silent.closed(), events.rest(), app.stop_api());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!((socket.0, silent.0), (1001, 1001));
    assert_eq!(events, (Vec::new(), Some("UNAVAILABLE".to_owned())));
    // They go on after the last that they have.
    app.start_api().await;
    let mut again = team.followed_by(&app.url, &team.owner, Some(head)).await;
    team.event().await;
    assert!(sequence(&again.event("1").await) > head);
    app.finish().await;
}

// An event that is under way is no longer one that waits: a writer who holds the log's head holds up its organization's
// followers, and nobody else's.
#[tokio::test]
async fn a_held_log_holds_up_nobody_else() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let other = Team { id: team.owner.found("Other").await, owner: team.owner.clone() };
    app.until_idle().await;
    let head = other.head(&app).await;
    let mut socket = team.followed_by(&app.url, &team.owner, None).await;
    socket.subscribe("2", EVENTS, json!({ "id": other.id, "after": head.to_string() })).await;
    let mut holder = app.database.connection().await;
    let hold = format!("BEGIN; SELECT FROM audit_heads WHERE organization_id = '{}' FOR UPDATE", uuid(&team.id));
    holder.batch_execute(&hold).await.unwrap();
    other.event().await;
    assert_eq!(sequence(&socket.event("2").await), head + 1);
    holder.batch_execute("ROLLBACK").await.unwrap();
    app.finish().await;
}

/// The seconds of a processor that a process has used.
fn cpu_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // In hundredths of a second: in user mode and in the kernel.
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

// A thousand that wait for something to happen cost little memory and hardly any work. With `--nocapture`, it says how
// much.
#[tokio::test]
async fn a_thousand_that_wait_cost_little() {
    let app = TestApp::start().await;
    let people = app.sign_up_many(50).await;
    let mut organizations = Vec::new();
    for person in &people {
        let query = "{ viewer { personalOrganization { id } } }";
        organizations.push(text(&person.query(query, json!({})).await["viewer"]["personalOrganization"]["id"]));
    }
    app.until_idle().await;
    let memory_before = app.api_mib();
    let mut sockets = Vec::new();
    for (number, (person, organization)) in people.iter().zip(&organizations).enumerate() {
        for _ in 0..20 {
            let address = format!("127.0.0.{}", 2 + number / 5);
            let mut socket = Socket::open(&app.url, &address, PROTOCOL).await.unwrap();
            socket.begin(person).await;
            socket.subscribe("1", EVENTS, json!({ "id": organization })).await;
            sockets.push(socket);
        }
    }
    until("all follow", async || (listening(&app).await == 1).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let memory = app.api_mib() - memory_before;
    let backend = "SELECT pid::text AS value FROM pg_stat_activity \
         WHERE application_name = 'rollcall subscriptions' AND datname = current_database()";
    let (api, backend) = (app.api_pid(), app.database.texts(backend).await.remove(0));
    let before = (cpu_seconds(&api), cpu_seconds(&backend));
    const WATCHED: u64 = 20;
    tokio::time::sleep(Duration::from_secs(WATCHED)).await;
    let per_second = |after: f64, before: f64| (after - before) / WATCHED as f64 * 1_000.0;
    let (of_api, of_backend) = (per_second(cpu_seconds(&api), before.0), per_second(cpu_seconds(&backend), before.1));
    println!(
        "1,000 idle subscriptions over 1,000 WebSockets: {memory:.1} MiB of the API's memory; per second {of_api:.1} ms \
         of a processor for the API and {of_backend:.1} ms for PostgreSQL"
    );
    assert!(memory < 100.0 && of_api < 100.0 && of_backend < 50.0, "{memory} {of_api} {of_backend}");
    // They are all there, nevertheless.
    people[0].create(&organizations[0], "PROJECT", "Atlas").await;
    for socket in &mut sockets[..20] {
        socket.event("1").await;
    }
    app.finish().await;
}
