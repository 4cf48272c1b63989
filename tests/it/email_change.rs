//! Another address for an account: asked for, mailed, and taken once somebody confirms it there.

use futures_util::future::join_all;

use crate::support::client::text;
use crate::support::page::Visitor;
use crate::support::people::uuid;
use crate::support::{Client, TestApp, json};

async fn ask(person: &Client, email: &str) {
    person.ok("changeEmail", json!({ "email": email }), "").await;
}

async fn email_of(person: &Client) -> String {
    text(&person.query("{ viewer { email } }", json!({})).await["viewer"]["email"])
}

/// The events of an account's own log.
async fn log(app: &TestApp, person: &Client) -> Vec<String> {
    let events = format!(
        "SELECT action AS value FROM audit_events e JOIN organizations o ON o.id = e.organization_id \
         WHERE o.personal_user_id = '{}' ORDER BY sequence",
        uuid(&person.user_id)
    );
    app.database.texts(&events).await
}

// R24: the new address confirms by a page and a form; the old one hears of both.
#[tokio::test]
async fn an_address_changes_once_its_link_is_confirmed() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    ask(&ada, " Countess@Example.org ").await;
    let mail = app.mail_about("countess@example.org", "Confirm your new email address").await;
    let asked = app.mail_about("ada@example.org", "A new email address was requested").await;
    assert!(asked.text.contains("countess"), "{}", asked.text);
    assert!(asked.links().iter().all(|link| link.ends_with("/account")), "{}", asked.text);
    for mail in [&mail, &asked] {
        assert!(mail.text.contains("You received this email because"), "{}", mail.text);
        assert_eq!(mail.links(), mail.html_links());
    }
    // Opening it changes nothing.
    let visitor = Visitor::new(&app.url);
    let link = mail.link("/email-change/");
    for _ in 0..2 {
        let page = visitor.get(&link).await;
        assert_eq!(page.status, 200, "{}", page.html);
        // Whoever reads a mistyped address's mails learns no other one.
        assert!(!page.html.contains("ada@example.org"), "{}", page.html);
        assert_eq!(visitor.head(&link).await, 200);
    }
    assert_eq!(email_of(&ada).await, "ada@example.org");
    // Only our own form confirms.
    let page = visitor.get(&link).await;
    let form = page.form("use this address");
    assert_eq!(Visitor::new(&app.url).post(&form.action, &form.fields).await.status, 403);
    assert_eq!(email_of(&ada).await, "ada@example.org");
    let done = visitor.submit(&page, &form, &[]).await;
    assert!(done.text().contains("countess@example.org"), "{}", done.html);
    assert_eq!(email_of(&ada).await, "countess@example.org");
    let changed = app.mail_about("ada@example.org", "Rollcall email address was changed").await;
    assert!(changed.text.contains("You received this email because"), "{}", changed.text);
    // Once.
    assert_eq!(visitor.get(&link).await.status, 410);
    let error = app.anonymous().refused("confirmEmailChange", json!({ "token": mail.token() })).await;
    assert_eq!(error.is(), ("ALREADY_USED", "input.token"));
    let same = app.sign_up("countess@example.org").await;
    assert_eq!(same.user_id, ada.user_id);
    let log = log(&app, &ada).await;
    for action in ["user.email_change_requested", "user.email_changed"] {
        assert_eq!(log.iter().filter(|found| *found == action).count(), 1, "{log:?}");
    }
    app.finish().await;
}

// A link to sign in that was mailed to the old address leads to no account that has another one by now.
#[tokio::test]
async fn links_to_the_old_address_sign_nobody_in_to_the_account() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let anonymous = app.anonymous();
    anonymous.ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    let by_link = app.mail_about("ada@example.org", "sign in").await;
    anonymous.ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    let by_digits = app.mail_about("ada@example.org", "sign in").await;
    ask(&ada, "countess@example.org").await;
    let token = app.mail_about("countess@example.org", "Confirm").await.token();
    let confirmed = anonymous.ok("confirmEmailChange", json!({ "token": token }), "email").await;
    assert_eq!(confirmed["email"], "countess@example.org");
    // The address is anybody's again, and whoever reads its mails gets an account of their own.
    let signed_in = anonymous.ok("signIn", json!({ "token": by_link.token() }), "viewer { user { id } }").await;
    let somebody = text(&signed_in["viewer"]["user"]["id"]);
    assert_ne!(somebody, ada.user_id);
    let digits = json!({ "digits": { "email": "ada@example.org", "code": by_digits.digits() } });
    let signed_in = anonymous.ok("signIn", digits, "viewer { user { id } }").await;
    assert_eq!(text(&signed_in["viewer"]["user"]["id"]), somebody);
    // The sessions of the account go on.
    assert_eq!(email_of(&ada).await, "countess@example.org");
    app.finish().await;
}

// A newer request replaces the older link; a link works for an hour.
#[tokio::test]
async fn a_link_dies_with_its_hour_and_with_a_newer_one() {
    let mut app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    ask(&ada, "first@example.org").await;
    let first = app.mail_about("first@example.org", "Confirm").await;
    ask(&ada, "second@example.org").await;
    let second = app.mail_about("second@example.org", "Confirm").await;
    let confirm = async |app: &TestApp, token: String| {
        let error = app.anonymous().refused("confirmEmailChange", json!({ "token": token })).await;
        (error.code, error.field)
    };
    assert_eq!(confirm(&app, first.token()).await, ("REVOKED".to_owned(), "input.token".to_owned()));
    assert_eq!(Visitor::new(&app.url).get(&first.link("/email-change/")).await.status, 410);
    for wrong in ["", "x", &second.token()[1..]] {
        assert_eq!(confirm(&app, wrong.to_owned()).await.0, "INVALID", "{wrong:?}");
    }
    app.until_idle().await;
    app.shift_clock("1 hour").await;
    assert_eq!(confirm(&app, second.token()).await.0, "EXPIRED");
    assert_eq!(email_of(&ada).await, "ada@example.org");
    // A token of another kind is none.
    app.anonymous().ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    let sign_in = app.mail_about("ada@example.org", "sign in").await;
    assert_eq!(confirm(&app, sign_in.token()).await.0, "INVALID");
    app.finish().await;
}

// An address that has an account is taken, which is told to whoever reads its mails, when they confirm it: asking tells
// nothing.
#[tokio::test]
async fn an_address_with_an_account_is_taken() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let change = |email: &str| json!({ "email": email });
    ask(&ada, "Owner@example.org").await;
    let token = app.mail_about("owner@example.org", "Confirm").await.token();
    let error = app.anonymous().refused("confirmEmailChange", json!({ "token": token })).await;
    assert_eq!(error.is(), ("EMAIL_TAKEN", "input.token"));
    assert_eq!(ada.refused("changeEmail", change("ADA@example.org")).await.is(), ("INVALID", "input.email"));
    assert_eq!(ada.refused("changeEmail", change("no address")).await.is(), ("INVALID", "input.email"));
    // Somebody signs up with it meanwhile.
    ask(&ada, "grace@example.org").await;
    let token = app.mail_about("grace@example.org", "Confirm").await.token();
    let grace = app.sign_up("grace@example.org").await;
    let error = app.anonymous().refused("confirmEmailChange", json!({ "token": token })).await;
    assert_eq!(error.is(), ("EMAIL_TAKEN", "input.token"));
    assert_eq!((email_of(&ada).await, email_of(&grace).await), ("ada@example.org".into(), "grace@example.org".into()));
    // Keys and staff have no address to change.
    let secret = team.owner.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    for client in [app.client(&text(&secret["secret"])), app.staff()] {
        assert_eq!(client.refused("changeEmail", change("x@example.org")).await.is(), ("FORBIDDEN", "input.email"));
    }
    for n in 0..7 {
        ask(&ada, &format!("free{n}@example.org")).await;
    }
    assert_eq!(ada.error_code("changeEmail", change("owner@example.org")).await, "RATE_LIMITED");
    ask(&grace, "hopper@example.org").await;
    app.finish().await;
}

// Confirmed 32 times at once: once. Wanted by two accounts: one of them gets it.
#[tokio::test]
async fn confirmations_at_once_end_in_one() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let grace = app.sign_up("grace@example.org").await;
    let mut tokens = Vec::new();
    for person in [&ada, &grace] {
        ask(person, "wanted@example.org").await;
        tokens.push(app.mail_about("wanted@example.org", "Confirm").await.token());
    }
    let clients: Vec<Client> = (0..32).map(|_| app.anonymous()).collect();
    join_all(clients.iter().map(|client| client.run("{ __typename }", json!({})))).await;
    let answers = join_all(
        clients
            .iter()
            .enumerate()
            .map(|(n, client)| client.mutate("confirmEmailChange", json!({ "token": tokens[n % 2] }), "email")),
    )
    .await;
    let codes: Vec<String> = answers
        .iter()
        .filter_map(|answer| answer.user_errors("confirmEmailChange").first().map(|error| error.code.clone()))
        .collect();
    assert_eq!(codes.len(), 31, "{codes:?}");
    assert!(codes.iter().all(|code| ["EMAIL_TAKEN", "ALREADY_USED"].contains(&code.as_str())), "{codes:?}");
    let wanted = "SELECT count(*) AS value FROM users WHERE email = 'wanted@example.org'";
    assert_eq!(app.database.number(wanted).await, 1);
    let changed = "SELECT count(*) AS value FROM audit_events WHERE action = 'user.email_changed'";
    assert_eq!(app.database.number(changed).await, 1);
    app.finish().await;
}

// As many addresses as the limit lets through, asked for at once: one link alone is open.
#[tokio::test]
async fn requests_at_once_leave_one_link() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let twins: Vec<Client> = (0..8).map(|_| ada.twin()).collect();
    let answers = join_all(
        twins
            .iter()
            .enumerate()
            .map(|(n, twin)| twin.mutate("changeEmail", json!({ "email": format!("address{n}@example.org") }), "")),
    )
    .await;
    assert!(answers.iter().all(|answer| answer.user_errors("changeEmail").is_empty()));
    let open = "SELECT count(*) AS value FROM email_changes WHERE status = 'open'";
    assert_eq!(app.database.number(open).await, 1);
    app.finish().await;
}

// R25: an invitation to the new address, of an organization that the person belongs to already, has no purpose any
// more.
#[tokio::test]
async fn a_member_by_another_address_is_invited_no_longer() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let invitation = team.invite("countess@example.org", "MEMBER").await;
    let elsewhere = app.sign_up("eve@example.org").await;
    let other = crate::support::Team { id: elsewhere.found("Elsewhere").await, owner: elsewhere };
    let kept = other.invite("countess@example.org", "MEMBER").await;
    ask(&ada, "countess@example.org").await;
    let token = app.mail_about("countess@example.org", "Confirm your new email address").await.token();
    app.anonymous().ok("confirmEmailChange", json!({ "token": token }), "").await;
    assert_eq!(team.invitation(&invitation).await["status"], "REVOKED");
    assert_eq!(other.invitation(&kept).await["status"], "PENDING");
    app.finish().await;
}

// R31: ending the session that asked, as the mail to the old address advises, puts an end to the change.
#[tokio::test]
async fn a_change_ends_with_the_session_that_asked_for_it() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let thief = app.sign_up("ada@example.org").await;
    ask(&thief, "thief@example.org").await;
    let token = app.mail_about("thief@example.org", "Confirm your new email address").await.token();
    app.mail_about("ada@example.org", "A new email address was requested").await;
    let query = "{ viewer { sessions { nodes { id current } } } }";
    let sessions = ada.query(query, json!({})).await;
    let sessions = crate::support::client::nodes(&sessions["viewer"]["sessions"]).clone();
    let theirs = sessions.iter().find(|session| session["current"] == false).unwrap();
    ada.ok("signOut", json!({ "sessionId": theirs["id"] }), "").await;
    let refused = app.anonymous().refused("confirmEmailChange", json!({ "token": token })).await;
    assert_eq!(refused.is(), ("REVOKED", "input.token"));
    assert_eq!(email_of(&ada).await, "ada@example.org");
    app.finish().await;
}
