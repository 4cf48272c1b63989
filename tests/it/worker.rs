//! The worker as it runs in production: several of them, killed in the middle of their work.

use std::collections::{BTreeMap, BTreeSet};

use diesel_async::SimpleAsyncConnection;

use crate::support::people::uuid;
use crate::support::{Reply, TestApp, json, until};

// R76: 200 invitations, a worker killed in the middle: every address gets its mail, and a repeat is told by its
// Message-ID.
#[tokio::test]
async fn no_invitation_is_lost_when_a_worker_is_killed() {
    let mut app = TestApp::builder().workers(2).start().await;
    let team = app.team().await;
    let addresses: Vec<String> = (0..200).map(|n| format!("person{n}@example.org")).collect();
    // None of them reaches its limit of mails a minute.
    let mut organizations = vec![team.id];
    for n in 1..4 {
        organizations.push(team.owner.found(&format!("Acme Genomics {n}")).await);
    }
    // Some lose the server's answer too.
    for address in addresses.iter().step_by(67) {
        app.smtp.reply(address, [Reply::DropAfterData]);
    }
    let mut arrivals = app.smtp.arrivals();
    let before = *arrivals.borrow_and_update();
    for (organization, batch) in organizations.iter().zip(addresses.chunks(50)) {
        let people: Vec<_> = batch.iter().map(|address| json!({ "email": address })).collect();
        let input = json!({ "organizationId": organization, "invitations": people });
        team.owner.ok("inviteMembers", input, "invitations { id }").await;
    }
    arrivals.wait_for(|count| *count >= before + 40).await.unwrap();
    app.kill_worker();
    app.start_worker();
    let waiting = "SELECT count(*) AS value FROM invitations WHERE delivery <> 'sent'";
    until("every mail is sent", async || (app.database.number(waiting).await == 0).then_some(())).await;
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mail in app.smtp.mails() {
        if mail.subject.contains("invites you") {
            ids.entry(mail.recipient.clone()).or_default().insert(mail.message_id.clone());
        }
    }
    assert_eq!(ids.keys().cloned().collect::<BTreeSet<_>>(), addresses.into_iter().collect::<BTreeSet<_>>());
    assert!(ids.values().all(|ids| ids.len() == 1), "{ids:?}");
    app.finish().await;
}

// D7, R34, R35, R76: 10,000 projects and 10,000 volumes, the worker killed in the middle.
#[tokio::test]
async fn a_departure_survives_a_killed_worker() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    app.give(&team, &ada, "project", 10_000).await;
    app.give(&team, &ada, "volume", 10_000).await;
    // The cascade comes to a stop at one of the volumes, so that it is in its middle for sure.
    let mut holder = app.database.connection().await;
    let hold = format!(
        "BEGIN; SELECT FROM resources WHERE id = (SELECT id FROM resources WHERE kind = 'volume' AND owner_id = '{}' \
         ORDER BY id OFFSET 5500 LIMIT 1) FOR UPDATE",
        uuid(&ada.user_id)
    );
    holder.batch_execute(&hold).await.unwrap();
    let departure = team.remove(&ada).await;
    let volumes_moved = async || {
        let departure = team.departure(&departure).await;
        let steps = departure["steps"].as_array().unwrap();
        steps.iter().find(|step| step["step"] == "TRANSFER_VOLUMES").unwrap()["done"].as_i64().unwrap()
    };
    until("half of it has passed on", async || (volumes_moved().await == 5_000).then_some(())).await;
    app.kill_worker();
    holder.batch_execute("ROLLBACK").await.unwrap();
    drop(holder);
    assert_eq!(team.departure(&departure).await["status"], "RUNNING");
    assert_eq!(app.owned(&team, &ada).await, 5_000);

    app.start_worker();
    let departure = app.completed(&team, &departure).await;
    assert_eq!(app.owned(&team, &ada).await, 0);
    assert_eq!(app.owned(&team, &team.owner).await, 20_000);
    for step in departure["steps"].as_array().unwrap() {
        assert_eq!(step["done"], step["total"], "{departure}");
    }
    // Every resource once.
    assert_eq!(app.database.number("SELECT count(*) AS value FROM resource_moves").await, 20_000);
    assert_eq!(app.database.number("SELECT count(DISTINCT resource_id) AS value FROM resource_moves").await, 20_000);
    let receipt = app.mail_about("ada@example.org", "removed from").await;
    assert!(receipt.text.contains("10,000"), "{}", receipt.text);
    app.finish().await;
}

// SIGTERM ends API and worker in order, and what waits is done by the next ones.
#[tokio::test]
async fn asked_to_stop_the_processes_end_well_and_lose_nothing() {
    let mut app = TestApp::builder().workers(2).start().await;
    let team = app.team().await;
    let people: Vec<_> = (0..50).map(|n| json!({ "email": format!("person{n}@example.org") })).collect();
    team.owner
        .ok("inviteMembers", json!({ "organizationId": team.id, "invitations": people }), "invitations { id }")
        .await;
    // Both assert that the processes exit with 0.
    app.stop_workers().await;
    assert!(app.jobs_left().await.iter().all(|job| !job.contains("running")));
    app.stop_api().await;
    app.start_api().await;
    app.start_worker();
    for n in 0..50 {
        app.mail_to(&format!("person{n}@example.org")).await;
    }
    app.until_idle().await;
    // In order, nothing is sent twice.
    let invited = app.smtp.mails().iter().filter(|mail| mail.subject.contains("invites you")).count();
    assert_eq!(invited, 50);
    app.finish().await;
}

// Two APIs on one database: what one does the other knows at once.
#[tokio::test]
async fn two_apis_agree_at_once() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let url = app.another_api().await;
    let elsewhere = crate::support::Client::new(&url, ada.token.as_deref());
    assert!(elsewhere.belongs_to(&team.id).await);
    team.remove(&ada).await;
    assert!(!elsewhere.belongs_to(&team.id).await);
    app.finish().await;
}
