//! Sessions: seen, ended at once, and for one person alone.

use crate::support::client::{nodes, text};
use crate::support::{TestApp, json};

const SESSIONS: &str = "{ viewer { sessions { totalCount nodes { id current createdAt expiresAt userAgent } } } }";

#[tokio::test]
async fn signing_out_ends_the_session_at_once() {
    let app = TestApp::start().await;
    let laptop = app.sign_up("ada@example.org").await;
    let phone = app.sign_up("ada@example.org").await;
    let seen = laptop.query(SESSIONS, json!({})).await;
    let sessions = nodes(&seen["viewer"]["sessions"]);
    assert_eq!((sessions.len(), &seen["viewer"]["sessions"]["totalCount"]), (2, &json!(2)));
    assert_eq!((&sessions[0]["current"], &sessions[1]["current"]), (&json!(true), &json!(false)));

    let ended = laptop.ok("signOut", json!({ "sessionId": sessions[1]["id"] }), "signedOutSessionId").await;
    assert_eq!(ended["signedOutSessionId"], sessions[1]["id"]);
    assert_eq!(phone.run(SESSIONS, json!({})).await.error_code(), "UNAUTHENTICATED");
    let error = laptop.refused("signOut", json!({ "sessionId": sessions[1]["id"] })).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.sessionId"));

    let ended = laptop.ok("signOut", json!({}), "signedOutSessionId").await;
    assert_eq!(ended["signedOutSessionId"], sessions[0]["id"]);
    let answer = laptop.run(SESSIONS, json!({})).await;
    assert_eq!((answer.status, answer.error_code()), (401, "UNAUTHENTICATED".to_owned()));
    app.finish().await;
}

#[tokio::test]
async fn nobody_ends_or_sees_the_session_of_another() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let eve = app.sign_up("eve@example.org").await;
    let id = nodes(&ada.query(SESSIONS, json!({})).await["viewer"]["sessions"])[0]["id"].clone();
    let error = eve.refused("signOut", json!({ "sessionId": id })).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.sessionId"));
    let query = "query($id: ID!) { node(id: $id) { id } }";
    assert!(eve.query(query, json!({ "id": id })).await["node"].is_null());
    assert_eq!(ada.query(query, json!({ "id": id })).await["node"]["id"], id);
    app.finish().await;
}

#[tokio::test]
async fn a_session_lasts_thirty_days() {
    let mut app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    app.shift_clock("29 days 23 hours").await;
    assert_eq!(text(&ada.query("{ viewer { email } }", json!({})).await["viewer"]["email"]), "ada@example.org");
    app.shift_clock("1 hour").await;
    assert_eq!(ada.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    app.finish().await;
}

// The secrets of the database are no use: only digests are kept.
#[tokio::test]
async fn tokens_are_kept_as_digests_only() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let secret = team.owner.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    let token = team.owner.token.clone().unwrap();
    let kept = app
        .database
        .texts("SELECT to_jsonb(s)::text AS value FROM sessions s UNION ALL SELECT to_jsonb(k)::text FROM api_keys k")
        .await;
    for row in kept {
        assert!(!row.contains(&token) && !row.contains(secret["secret"].as_str().unwrap()), "{row}");
    }
    app.finish().await;
}

// R53: the active organization concerns that session only, and takes a membership.
#[tokio::test]
async fn switching_concerns_this_session_only() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let other = app.sign_up("owner@example.org").await;
    let eve = app.sign_up("eve@example.org").await;
    team.owner.ok("switchOrganization", json!({ "organizationId": team.id }), "viewer { email }").await;
    let query = "{ viewer { activeOrganization { id } } }";
    assert_eq!(team.owner.query(query, json!({})).await["viewer"]["activeOrganization"]["id"], team.id.as_str());
    assert!(other.query(query, json!({})).await["viewer"]["activeOrganization"].is_null());
    let error = eve.refused("switchOrganization", json!({ "organizationId": team.id })).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.organizationId"));
    app.finish().await;
}

// A new device is told by mail; the account's first one, and those that it was signed in on before, aren't.
#[tokio::test]
async fn a_sign_in_on_a_new_device_is_mailed() {
    let mut app = TestApp::start().await;
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0";
    let on = |app: &TestApp, device: &str| app.anonymous().on(device);
    let ada = app.sign_in(on(&app, firefox), "ada@example.org").await;
    let again = app.sign_in(on(&app, firefox), "ada@example.org").await;
    // Signed out, it is known all the same.
    again.ok("signOut", json!({}), "").await;
    ada.ok("signOut", json!({}), "").await;
    let ada = app.sign_in(on(&app, firefox), "ada@example.org").await;
    app.until_idle().await;
    assert!(app.read_mail("ada@example.org", "New sign-in").is_none());
    let other = app.sign_in(on(&app, "curl/8.9.1"), "ada@example.org").await;
    let mail = app.mail_about("ada@example.org", "New sign-in").await;
    let sessions = ada.query(SESSIONS, json!({})).await;
    let newest = nodes(&sessions["viewer"]["sessions"]).last().unwrap()["id"].clone();
    for part in ["curl", newest.as_str().unwrap(), "You received this email because"] {
        assert!(mail.text.contains(part), "{part} is missing: {}", mail.text);
    }
    // To the place where it can be ended.
    assert!(mail.link("/account").ends_with(&format!("/account#{}", newest.as_str().unwrap())));
    // How to end it works.
    ada.ok("signOut", json!({ "sessionId": newest }), "").await;
    assert_eq!(other.run(SESSIONS, json!({})).await.error_code(), "UNAUTHENTICATED");
    // A device that was signed in on two months ago is new again: its session isn't kept any more.
    app.until_idle().await;
    app.shift_clock("62 days").await;
    app.database.sql("DELETE FROM sessions WHERE expires_at < rollcall_now() - interval '30 days'").await;
    app.sign_in(on(&app, firefox), "ada@example.org").await;
    app.mail_about("ada@example.org", "New sign-in").await;
    app.finish().await;
}

// Lists are whole: paged, counted, and without what has ended.
#[tokio::test]
async fn sessions_and_keys_are_listed_page_by_page() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    for n in 0..4 {
        app.sign_up("owner@example.org").await;
        team.owner.ok("createApiKey", json!({ "organizationId": team.id, "name": format!("{n}") }), "secret").await;
    }
    for (list, ended, with) in [("sessions", "signOut", "sessionId"), ("apiKeys", "revokeApiKey", "id")] {
        let query = format!(
            "query($after: String) {{ viewer {{ {list}(first: 2, after: $after) {{ totalCount nodes {{ id }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
        );
        let all = async || {
            let (mut ids, mut after) = (Vec::new(), json!(null));
            loop {
                let page = team.owner.query(&query, json!({ "after": after })).await["viewer"][list].clone();
                ids.extend(nodes(&page).iter().map(|node| text(&node["id"])));
                if page["pageInfo"]["hasNextPage"] != true {
                    return (ids, page["totalCount"].clone());
                }
                after = page["pageInfo"]["endCursor"].clone();
            }
        };
        let (ids, total) = all().await;
        let count = if list == "sessions" { 5 } else { 4 };
        assert_eq!((ids.len(), &total), (count, &json!(count)), "{list}");
        let input = json!({ with: ids[1] });
        assert_eq!(eve.refused(ended, input.clone()).await.code, "NOT_FOUND");
        let node = "query($id: ID!) { node(id: $id) { id } }";
        assert!(eve.query(node, json!({ "id": ids[1] })).await["node"].is_null());
        team.owner.ok(ended, input.clone(), "").await;
        assert_eq!(team.owner.refused(ended, input).await.code, "NOT_FOUND");
        let (left, total) = all().await;
        assert_eq!((left.len(), &total, left.contains(&ids[1])), (count - 1, &json!(count - 1), false), "{list}");
        assert!(team.owner.query(node, json!({ "id": ids[1] })).await["node"].is_null());
    }
    app.finish().await;
}
