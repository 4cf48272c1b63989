//! One clock: the database's, also for processes on hosts whose own is wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::client::{nodes, text};
use crate::support::mail::Mail;
use crate::support::receiver::{Answer, Receiver};
use crate::support::{Client, TestApp, json, until};

const TWO_DAYS: i64 = 2 * 24 * 60 * 60;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// A minute is much for a busy machine, and little beside two days.
fn is_now(time: i64) -> bool {
    (time - now()).abs() < 60
}

fn is_of_now(mail: &Mail) -> bool {
    mail.date.is_some_and(is_now)
}

/// When a process wrote the first line of its log, by its own clock.
fn began(log: &str) -> i64 {
    let time = log.lines().next().unwrap().split(' ').next().unwrap();
    chrono::DateTime::parse_from_rfc3339(time).unwrap().timestamp()
}

// R29, R75: what a worker signs, dates and ends.
#[tokio::test]
async fn a_worker_whose_clock_is_wrong_signs_dates_and_expires_rightly() {
    let mut app = TestApp::builder().local_webhooks().without_worker().start().await;
    app.start_worker_with_wrong_clock("+2d");
    let team = app.team().await;
    assert!(is_now(began(&app.worker_log(0)) - TWO_DAYS), "the clock isn't wrong");

    let receiver = Receiver::start().await;
    let input = json!({ "organizationId": team.id, "url": receiver.url, "events": ["resource.created"] });
    let made = team.owner.ok("createWebhook", input, "webhook { id } secret").await;
    let input = json!({ "id": made["webhook"]["id"], "rotateSecret": true });
    let rotated = team.owner.ok("updateWebhook", input, "secret").await;
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    receiver.wait_for(1).await;
    let delivery = receiver.arrivals().remove(0);
    assert!(delivery.is_good_to(&text(&rotated["secret"])) && delivery.is_good_to(&text(&made["secret"])));
    app.until_idle().await;
    let query = "query($id: ID!) { node(id: $id) { ... on Webhook { deliveries { nodes { id lastAttemptAt } } } } }";
    let webhook = team.owner.query(query, json!({ "id": made["webhook"]["id"] })).await;
    let delivered = nodes(&webhook["node"]["deliveries"])[0].clone();
    let tried_at = chrono::DateTime::parse_from_rfc3339(&text(&delivered["lastAttemptAt"])).unwrap();
    assert!(is_now(tried_at.timestamp()));
    team.owner.ok("redeliverWebhook", json!({ "deliveryId": delivered["id"] }), "").await;
    receiver.wait_for(2).await;
    let again = receiver.arrivals().remove(1);
    assert!(again.is_good_to(&text(&rotated["secret"])) && again.is_good_to(&text(&made["secret"])));

    receiver.answer([Answer::Status(410)]);
    team.owner.create(&team.id, "PROJECT", "Lung atlas").await;
    assert!(is_of_now(&app.mail_about("owner@example.org", "webhook").await));

    // Nothing ends for being two days older there.
    let invitation = team.invite("ada@example.org", "MEMBER").await;
    assert!(is_of_now(&app.mail_about("ada@example.org", "invites you").await));
    team.code("MEMBER").await;
    app.until_idle().await;
    assert_eq!(team.invitation(&invitation).await["status"], "PENDING");
    let query = "query($id: ID!) { organization(by: { id: $id }) { joinCodes { nodes { status } } } }";
    let codes = team.owner.query(query, json!({ "id": team.id })).await;
    assert_eq!(codes["organization"]["joinCodes"]["nodes"], json!([{ "status": "ACTIVE" }]));
    app.finish().await;
}

// R46: what an API makes and calls for.
#[tokio::test]
async fn an_api_whose_clock_is_wrong_makes_nothing_that_is_newer_than_the_rest() {
    let mut app = TestApp::start().await;
    let wrong_url = app.another_api_with_wrong_clock("+2d").await;
    let team = app.team().await;
    let admin = app.join(&team, "ada@example.org", "ADMIN").await;

    // The digits that count are those of the newest mail.
    let anonymous = Client::new(&wrong_url, None);
    anonymous.ok("requestSignIn", json!({ "email": "grace@example.org" }), "").await;
    app.mail_to("grace@example.org").await;
    assert!(is_now(began(&app.worker_log(1)) - TWO_DAYS), "the clock isn't wrong");
    app.anonymous().ok("requestSignIn", json!({ "email": "grace@example.org" }), "").await;
    let mail = app.mail_to("grace@example.org").await;
    let input = json!({ "digits": { "email": "grace@example.org", "code": mail.digits() } });
    app.anonymous().ok("signIn", input, "sessionToken").await;

    // Lists are in the order in which things came to be.
    let there = Client::new(&wrong_url, None).with_token(team.owner.token.as_deref().unwrap());
    let mut made = Vec::new();
    for (number, client) in [&there, &team.owner, &there, &team.owner].into_iter().enumerate() {
        made.push(json!({ "id": client.create(&team.id, "PROJECT", &format!("Atlas {number}")).await }));
    }
    let query = "query($id: ID!) { organization(by: { id: $id }) { resources { nodes { id } } } }";
    let listed = team.owner.query(query, json!({ "id": team.id })).await;
    assert_eq!(listed["organization"]["resources"]["nodes"], json!(made));

    // A notice is dated by what it tells.
    there.ok("transferOwnership", team.transfer_to(&admin).await, "").await;
    assert!(is_of_now(&app.mail_about("owner@example.org", "").await));
    until("both are told", async || app.read_mail("ada@example.org", "own").filter(is_of_now)).await;
    app.finish().await;
}
