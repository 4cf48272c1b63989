//! Mutations with an Idempotency-Key: however often they are sent, they are carried out once.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;

use crate::attack::raw;
use crate::platform_key::key;
use crate::support::client::{document, text};
use crate::support::{Client, TestApp, Value, json, until};

const TEAM: &str = "team { id name }";

async fn teams(app: &TestApp) -> i64 {
    app.database.number("SELECT count(*) AS value FROM teams").await
}

/// The only user error, whose field is none of the input.
async fn conflict(client: &Client, mutation: &str, input: Value, selection: &str) -> String {
    let answer = client.mutate(mutation, input, selection).await;
    let errors = answer.user_errors(mutation);
    assert_eq!(errors.iter().map(|error| error.is()).collect::<Vec<_>>(), [("CONFLICT", "")], "{mutation}");
    errors[0].message.clone()
}

// R91: done once, answered alike; another request is refused, and another caller has keys of their own.
#[tokio::test]
async fn what_is_sent_again_is_done_once() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let named = |name: &str| json!({ "organizationId": team.id, "name": name });
    let owner = team.owner.under("k-1");
    let first = owner.ok("createTeam", named("Atlas"), TEAM).await;
    let events = team.audit().await.len();
    assert_eq!(owner.ok("createTeam", named("Atlas"), TEAM).await, first);
    let elsewhere = app.sign_in(app.anonymous(), &team.owner.email).await;
    assert_eq!(elsewhere.under("k-1").ok("createTeam", named("Atlas"), TEAM).await, first, "another session of theirs");
    assert_eq!((teams(&app).await, team.audit().await.len()), (1, events));

    for other in [named("Borealis"), json!({ "organizationId": team.id, "name": "" })] {
        assert!(conflict(&owner, "createTeam", other, TEAM).await.contains("another request"));
    }
    assert!(conflict(&owner, "deleteTeam", json!({ "id": first["team"]["id"] }), "").await.contains("another request"));
    assert_eq!((teams(&app).await, team.audit().await.len()), (1, events));
    // Nobody else meets the key, and queries have none.
    assert_eq!(admin.under("k-1").refused("createTeam", named("Atlas")).await.code, "CONFLICT");
    admin.under("k-2").ok("createTeam", named("Cetus"), TEAM).await;
    assert_eq!(owner.query("{ viewer { email } }", json!({})).await["viewer"]["email"], team.owner.email.as_str());

    // What was refused is answered alike, too, unless trying again may help.
    let long = named(&"x".repeat(101));
    let refused = team.owner.under("k-3").refused("createTeam", long.clone()).await;
    assert_eq!(
        (refused.code.as_str(), &team.owner.under("k-3").refused("createTeam", long).await),
        ("TOO_LONG", &refused)
    );

    app.shift_clock("25 hours").await;
    owner.ok("deleteTeam", json!({ "id": first["team"]["id"] }), "deletedTeamId").await;
    let later = team.owner.under("k-2").ok("createTeam", named("Atlas"), TEAM).await;
    assert_ne!(later, first);
    app.until_idle().await;
    let left = "SELECT count(*) AS value FROM idempotency_keys WHERE created_at < rollcall_now() - interval '24 hours'";
    until("old keys are forgotten", async || (app.database.number(left).await == 0).then_some(())).await;
    app.finish().await;
}

// R91: the same at the same time is done once as well, in whichever process.
#[tokio::test]
async fn what_is_sent_at_once_is_done_once() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let other = app.another_api().await;
    let owner = team.owner.under("at-once");
    let there = Client::new(&other, team.owner.token.as_deref()).under("at-once");
    for round in 0..5 {
        app.database.sql("DELETE FROM idempotency_keys").await;
        let input = json!({ "organizationId": team.id, "name": format!("Team {round}") });
        let send = async |number: usize| {
            let client = if number.is_multiple_of(2) { owner.under("at-once") } else { there.under("at-once") };
            client.ok("createTeam", input.clone(), TEAM).await
        };
        let answers = join_all((0..8).map(send)).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(teams(&app).await, round + 1);
    }
    app.finish().await;
}

// R91: of different requests at the same time under one key, one is done, and the others hear that it isn't theirs.
#[tokio::test]
async fn of_different_requests_at_once_one_is_done() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for round in 0..5 {
        let owner = team.owner.under(&format!("round-{round}"));
        let send = async |number: usize| {
            let input = json!({ "organizationId": team.id, "name": format!("Team {round} {number}") });
            owner.mutate("createTeam", input, TEAM).await
        };
        let answers = join_all((0..6).map(send)).await;
        let refused: Vec<_> = answers.iter().flat_map(|answer| answer.user_errors("createTeam")).collect();
        assert_eq!(refused.len(), 5, "{refused:?}");
        for error in refused {
            assert!(error.code == "CONFLICT" && error.message.contains("belongs to another request"), "{error:?}");
        }
        assert_eq!(teams(&app).await, round + 1);
    }
    app.finish().await;
}

// R91: each mutation of a request is done once, in the order and the form of its answer.
#[tokio::test]
async fn each_mutation_of_a_request_is_done_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let step = |alias: &str, name: &str| {
        format!(
            "{alias}: createTeam(input: {{organizationId: \"{}\", name: \"{name}\"}}) {{ userErrors {{ code }} team {{ name id }} }} ",
            team.id
        )
    };
    let query = format!("mutation {{ {} {} {} }}", step("b", "Atlas"), step("a", "Atlas"), step("c", "Cetus"));
    let owner = team.owner.under("three");
    let first = owner.run(&query, json!({})).await;
    assert_eq!(first.data()["a"]["userErrors"][0]["code"], "CONFLICT");
    let again = owner.run(&query, json!({})).await;
    assert_eq!(first.body.to_string(), again.body.to_string());
    assert_eq!(teams(&app).await, 2);
    app.finish().await;
}

// R91: whoever didn't wait for the answer gets it by sending the same again.
#[tokio::test]
async fn whoever_did_not_wait_gets_the_answer_afterwards() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let input = json!({ "organizationId": team.id, "name": "Atlas" });
    let mut holder = app.database.connection().await;
    holder.batch_execute("BEGIN; LOCK TABLE teams IN SHARE MODE").await.unwrap();
    let impatient = team.owner.with_headers(&[("idempotency-key", "gone")], Duration::from_millis(500));
    let body = json!({ "query": document("createTeam", TEAM), "variables": { "input": input } });
    assert!(impatient.try_send(&body, None).await.is_err());
    holder.batch_execute("COMMIT").await.unwrap();
    let kept = "SELECT count(*) AS value FROM idempotency_keys WHERE answers <> '{}'";
    until("the answer is kept", async || (app.database.number(kept).await == 1).then_some(())).await;
    let answered = team.owner.under("gone").ok("createTeam", input, TEAM).await;
    let id = app.database.texts("SELECT id::text AS value FROM teams").await;
    assert_eq!(id, [crate::support::people::uuid(&text(&answered["team"]["id"])).to_string()]);
    app.finish().await;
}

// R91: what an API was killed in the middle of is as if it had never come, or is done and never done again.
#[tokio::test]
async fn a_killed_api_does_nothing_twice() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let input = json!({ "organizationId": team.id, "name": "Atlas" });
    let body = json!({ "query": document("createTeam", TEAM), "variables": { "input": input } });
    let mut holder = app.database.connection().await;
    holder.batch_execute("BEGIN; LOCK TABLE teams IN SHARE MODE").await.unwrap();
    let owner = team.owner.with_headers(&[("idempotency-key", "killed")], Duration::from_secs(1));
    assert!(owner.try_send(&body, None).await.is_err());
    app.kill_api();
    holder.batch_execute("COMMIT").await.unwrap();
    app.start_api().await;
    assert_eq!(teams(&app).await, 0);
    team.owner.under("killed").ok("createTeam", input.clone(), TEAM).await;
    assert_eq!(teams(&app).await, 1);

    // Its answer is lost if it is killed after the commit.
    app.database.sql("UPDATE idempotency_keys SET answers = '{}'").await;
    let message = conflict(&team.owner.under("killed"), "createTeam", input, TEAM).await;
    assert!(message.contains("its answer is lost"), "{message}");
    assert_eq!(teams(&app).await, 1);
    app.finish().await;
}

// R91: secrets are shown once, and nowhere kept.
#[tokio::test]
async fn secrets_are_shown_to_the_first_alone() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let owner = team.owner.under("secret");
    let input = json!({ "organizationId": team.id, "name": "ci", "scope": "READ" });
    let query = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { ...F apiKey { id } userErrors { code } } } \
         fragment F on CreateApiKeyPayload { shown: secret secret }";
    let first = owner.run(query, json!({ "input": input })).await.data()["createApiKey"].clone();
    let again = owner.run(query, json!({ "input": input })).await.data()["createApiKey"].clone();
    assert_eq!((&first["apiKey"], &Value::Null, &Value::Null), (&again["apiKey"], &again["shown"], &again["secret"]));
    let codes = json!({ "organizationId": team.id, "count": 2 });
    let selection = "codes { code } file { content }";
    let owner = team.owner.under("codes");
    let made = owner.ok("createJoinCodes", codes.clone(), selection).await;
    let again = owner.ok("createJoinCodes", codes, selection).await;
    assert_eq!((&again["codes"], &again["file"]), (&Value::Null, &Value::Null));
    let kept = app.database.texts("SELECT answers::text AS value FROM idempotency_keys").await.join(" ");
    for secret in [text(&first["secret"]), text(&made["codes"][0]["code"])] {
        assert!(!kept.contains(&secret), "{kept}");
    }

    // Nobody signs in as somebody else by a key that they guess, and one link is mailed.
    let nobody = app.anonymous().under("sign-in");
    for _ in 0..2 {
        nobody.ok("requestSignIn", json!({ "email": "new@example.org" }), "").await;
    }
    nobody.ok("requestSignIn", json!({ "email": "newer@example.org" }), "").await;
    let token = app.mail_to("new@example.org").await.token();
    let signed_in = nobody.ok("signIn", json!({ "token": token }), "sessionToken").await;
    assert!(signed_in["sessionToken"].is_string());
    let again = nobody.ok("signIn", json!({ "token": token }), "sessionToken").await;
    assert!(again["sessionToken"].is_null());
    app.until_idle().await;
    assert_eq!(app.mails_about("new@example.org", "").len(), 1);
    app.finish().await;
}

// R86, R91: a platform key has keys of its own, and others for each person for whom it acts.
#[tokio::test]
async fn each_caller_has_keys_of_their_own() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let platform = key(&app, &["READ", "MEMBERS_WRITE", "RESOURCES_WRITE", "ACT_FOR_USERS"]).await;
    let input = json!({ "organizationId": team.id, "kind": "PROJECT", "name": "Atlas" });
    let person = platform.with_headers(
        &[("rollcall-on-behalf-of", &team.owner.user_id), ("idempotency-key", "k")],
        Duration::from_secs(30),
    );
    let selection = "resource { id }";
    let one = person.ok("createResource", input.clone(), selection).await;
    let two = team.owner.under("k").ok("createResource", input.clone(), selection).await;
    let three = platform.under("k").ok("createTeam", json!({ "organizationId": team.id, "name": "Atlas" }), TEAM).await;
    assert!(one != two && three["team"]["id"].is_string());
    assert_eq!(person.ok("createResource", input.clone(), selection).await, one);
    assert_eq!(team.owner.under("k").ok("createResource", input, selection).await, two);
    app.finish().await;
}

// R91: a key that can't be read is never ignored.
#[tokio::test]
async fn keys_that_cannot_be_read_are_refused() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let body = json!({
        "query": document("createTeam", TEAM),
        "variables": { "input": { "organizationId": team.id, "name": "Atlas" } },
    })
    .to_string();
    let long = "k".repeat(256);
    let headers = [
        "idempotency-key: ".to_owned(),
        "idempotency-key: two words".to_owned(),
        "idempotency-key: schlüssel".to_owned(),
        format!("idempotency-key: {long}"),
        "idempotency-key: a\r\nidempotency-key: b".to_owned(),
    ];
    for header in headers {
        let request = format!(
            "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\n{header}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            team.owner.token.as_deref().unwrap(),
            body.len(),
        );
        let answer = raw(&app, request.as_bytes()).await;
        assert!(answer.contains("BAD_REQUEST") && answer.contains("Idempotency-Key"), "{header}: {answer}");
    }
    assert_eq!(teams(&app).await, 0);
    let longest = "k".repeat(255);
    team.owner.under(&longest).ok("createTeam", json!({ "organizationId": team.id, "name": "Atlas" }), TEAM).await;
    app.finish().await;
}
