//! Signing in without a password.

use crate::support::client::text;
use crate::support::{Client, TestApp, json};

/// Asks for a sign-in mail, and reads it.
async fn ask(app: &TestApp, email: &str) -> crate::support::mail::Mail {
    app.anonymous().ok("requestSignIn", json!({ "email": email }), "").await;
    app.mail_about(&email.to_lowercase(), "sign in").await
}

fn digits(email: &str, code: &str) -> crate::support::Value {
    json!({ "digits": { "email": email, "code": code } })
}

/// Digits that aren't those.
fn others(code: &str) -> String {
    let number: u32 = code.parse().unwrap();
    format!("{:06}", (number + 1) % 1_000_000)
}

async fn email_of(client: &Client) -> String {
    text(&client.query("{ viewer { email } }", json!({})).await["viewer"]["email"])
}

#[tokio::test]
async fn a_link_signs_in_once() {
    let app = TestApp::start().await;
    let anonymous = app.anonymous();
    assert!(anonymous.query("{ viewer { email } }", json!({})).await["viewer"].is_null());
    let mail = ask(&app, "Ada@Example.org").await;
    assert_eq!(mail.to, "ada@example.org");
    assert!(mail.link("/sign-in/").starts_with(&format!("{}/sign-in/", app.url)));
    assert_eq!(mail.links(), mail.html_links());
    let selection = "sessionToken viewer { email user { username } personalOrganization { id personal } needsOrganization } session { id current }";
    let signed_in = anonymous.ok("signIn", json!({ "token": mail.token() }), selection).await;
    assert_eq!(signed_in["viewer"]["email"], "ada@example.org");
    assert_eq!(signed_in["viewer"]["personalOrganization"]["personal"], true);
    assert_eq!(signed_in["viewer"]["needsOrganization"], true);
    let ada = app.client(&text(&signed_in["sessionToken"]));
    assert_eq!(email_of(&ada).await, "ada@example.org");
    let error = anonymous.refused("signIn", json!({ "token": mail.token() })).await;
    assert_eq!(error.is(), ("ALREADY_USED", "input.token"));
    let error = anonymous.refused("signIn", digits("ada@example.org", &mail.digits())).await;
    assert_eq!(error.is(), ("INVALID", "input.digits.code"));
    for wrong in ["", "x", &mail.token()[1..]] {
        let error = anonymous.refused("signIn", json!({ "token": wrong })).await;
        assert_eq!(error.is(), ("INVALID", "input.token"));
    }
    app.finish().await;
}

// R24: addresses compare without case: one account.
#[tokio::test]
async fn digits_sign_in_to_the_same_account_whatever_the_case() {
    let app = TestApp::start().await;
    let mail = ask(&app, "ada@example.org").await;
    let first = app.anonymous().ok("signIn", digits("ADA@example.ORG", &mail.digits()), "viewer { user { id } }").await;
    let mail = ask(&app, "ADA@EXAMPLE.ORG").await;
    let spaced = format!(" {} {} ", &mail.digits()[..3], &mail.digits()[3..]);
    let second = app.anonymous().ok("signIn", digits("ada@example.org", &spaced), "viewer { user { id } }").await;
    assert_eq!(first["viewer"]["user"]["id"], second["viewer"]["user"]["id"]);
    app.finish().await;
}

#[tokio::test]
async fn digits_die_after_five_tries_and_the_link_lives() {
    let app = TestApp::start().await;
    let mail = ask(&app, "ada@example.org").await;
    let anonymous = app.anonymous();
    for _ in 0..5 {
        let error = anonymous.refused("signIn", digits("ada@example.org", &others(&mail.digits()))).await;
        assert_eq!(error.is(), ("INVALID", "input.digits.code"));
    }
    let error = anonymous.refused("signIn", digits("ada@example.org", &mail.digits())).await;
    assert_eq!(error.is(), ("INVALID", "input.digits.code"));
    anonymous.ok("signIn", json!({ "token": mail.token() }), "sessionToken").await;
    app.finish().await;
}

#[tokio::test]
async fn four_wrong_tries_leave_the_fifth() {
    let app = TestApp::start().await;
    let mail = ask(&app, "ada@example.org").await;
    let anonymous = app.anonymous();
    for _ in 0..4 {
        anonymous.refused("signIn", digits("ada@example.org", &others(&mail.digits()))).await;
    }
    anonymous.ok("signIn", digits("ada@example.org", &mail.digits()), "sessionToken").await;
    app.finish().await;
}

#[tokio::test]
async fn a_newer_request_kills_the_digits_and_not_the_link() {
    let app = TestApp::start().await;
    let first = ask(&app, "ada@example.org").await;
    let second = ask(&app, "ada@example.org").await;
    assert_ne!(first.token(), second.token());
    let anonymous = app.anonymous();
    if first.digits() != second.digits() {
        let error = anonymous.refused("signIn", digits("ada@example.org", &first.digits())).await;
        assert_eq!(error.is(), ("INVALID", "input.digits.code"));
    }
    anonymous.ok("signIn", json!({ "token": first.token() }), "sessionToken").await;
    anonymous.ok("signIn", digits("ada@example.org", &second.digits()), "sessionToken").await;
    app.finish().await;
}

#[tokio::test]
async fn digits_live_ten_minutes_and_the_link_an_hour() {
    let mut app = TestApp::start().await;
    let mut mails = Vec::new();
    for name in ["a", "b", "c", "d"] {
        mails.push(ask(&app, &format!("{name}@example.org")).await);
    }
    app.shift_clock("9 minutes").await;
    app.anonymous().ok("signIn", digits("a@example.org", &mails[0].digits()), "sessionToken").await;
    app.shift_clock("1 minute").await;
    let error = app.anonymous().refused("signIn", digits("b@example.org", &mails[1].digits())).await;
    assert_eq!(error.is(), ("INVALID", "input.digits.code"));
    app.anonymous().ok("signIn", json!({ "token": mails[1].token() }), "sessionToken").await;
    app.shift_clock("48 minutes").await;
    app.anonymous().ok("signIn", json!({ "token": mails[2].token() }), "sessionToken").await;
    app.shift_clock("2 minutes").await;
    let error = app.anonymous().refused("signIn", json!({ "token": mails[3].token() })).await;
    assert_eq!(error.is(), ("EXPIRED", "input.token"));
    app.finish().await;
}

#[tokio::test]
async fn the_answer_does_not_tell_whether_there_is_an_account() {
    let app = TestApp::start().await;
    app.sign_up("ada@example.org").await;
    let anonymous = app.anonymous();
    let known = anonymous.mutate("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    let unknown = anonymous.mutate("requestSignIn", json!({ "email": "nobody@example.org" }), "").await;
    assert_eq!((known.status, known.body), (unknown.status, unknown.body));
    let known = anonymous.refused("signIn", digits("ada@example.org", "000000")).await;
    let unknown = anonymous.refused("signIn", digits("unknown@example.org", "000000")).await;
    assert_eq!(known, unknown);
    // Asking alone makes no account.
    assert_eq!(app.database.number("SELECT count(*) AS value FROM users").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn a_flood_of_requests_is_refused() {
    let app = TestApp::start().await;
    let anonymous = app.anonymous();
    for _ in 0..10 {
        anonymous.ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    }
    let answer = anonymous.mutate("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    assert_eq!(answer.error_code(), "RATE_LIMITED");
    assert!(answer.body["errors"][0]["extensions"]["retryAfter"].as_i64().unwrap() > 0);
    anonymous.ok("requestSignIn", json!({ "email": "grace@example.org" }), "").await;
    app.finish().await;
}
