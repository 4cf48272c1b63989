//! Leaving, being removed, being deactivated: access ends at once, and what was owned passes to the owner.

use diesel_async::SimpleAsyncConnection;

use crate::support::client::{nodes, text};
use crate::support::mail::Mail;
use crate::support::people::uuid;
use crate::support::{Client, Reply, Team, TestApp, Value, json, until};

const STEPS: &str = "query($id: ID!, $after: String) { node(id: $id) { ... on Departure { \
     moves(first: 100, after: $after) { nodes { id from { id } to { id } movedAt resource { id kind owner { id } createdBy { id } } } \
     pageInfo { hasNextPage endCursor } } } } }";

/// The counts of a departure's step.
pub fn step(departure: &Value, name: &str) -> (i64, i64) {
    let steps = departure["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no step {name}: {departure}"));
    assert!(step["completedAt"].is_string(), "{departure}");
    (step["done"].as_i64().unwrap(), step["total"].as_i64().unwrap())
}

// R31, R32: the very next request is refused, with session and key.
#[tokio::test]
async fn access_ends_with_the_removal() {
    // No worker: nothing but the removal itself ends the access.
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    ada.ok("switchOrganization", json!({ "organizationId": team.id }), "viewer { activeOrganization { id } }").await;
    let key = ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    let key = app.client(&text(&key["secret"]));
    assert!(ada.belongs_to(&team.id).await && key.belongs_to(&team.id).await);
    app.until_idle().await;
    app.stop_workers().await;

    team.remove(&ada).await;
    assert!(!ada.belongs_to(&team.id).await);
    assert_eq!(key.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    let node = ada.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": project })).await;
    assert!(node["node"].is_null(), "owning gives no access without the membership: {node}");
    let error = ada.refused("updateResource", json!({ "id": project, "name": "mine" })).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.id"));
    let input = json!({ "organizationId": team.id, "kind": "PROJECT", "name": "late" });
    let error = ada.refused("createResource", input).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.organizationId"));
    // The account lives on, without an organization (R41).
    let viewer = ada.query("{ viewer { email needsOrganization activeOrganization { id } apiKeys { totalCount } memberships { totalCount } } }", json!({})).await;
    let viewer = &viewer["viewer"];
    assert_eq!((&viewer["needsOrganization"], &viewer["memberships"]["totalCount"]), (&json!(true), &json!(0)));
    assert!(viewer["activeOrganization"].is_null());
    assert_eq!(viewer["apiKeys"]["totalCount"], 0);
    app.finish().await;
}

// R34, R35, D8: 2,500 projects and 2,500 volumes, chunk by chunk, with a receipt for both.
#[tokio::test]
async fn projects_and_volumes_pass_to_the_owner() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let personal = ada.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let own = ada.create(&text(&personal["viewer"]["personalOrganization"]["id"]), "PROJECT", "At home").await;
    let other = grace.create(&team.id, "PROJECT", "Heart atlas").await;
    app.give(&team, &ada, "project", 2_499).await;
    app.give(&team, &ada, "volume", 2_500).await;

    let input = json!({ "memberId": team.member_id(&ada).await, "reason": "The contract has ended." });
    let selection = "departure { id status kind reason newOwner { id } startedBy { id } member { status } }";
    let removed = team.owner.ok("removeMember", input, selection).await;
    let departure = &removed["departure"];
    assert_eq!((&departure["kind"], &departure["member"]["status"]), (&json!("REMOVE"), &json!("REMOVED")));
    assert_eq!(departure["newOwner"]["id"], team.owner.user_id.as_str());
    let id = text(&departure["id"]);
    let departure = app.completed(&team, &id).await;
    assert_eq!(step(&departure, "TRANSFER_PROJECTS"), (2_500, 2_500));
    assert_eq!(step(&departure, "TRANSFER_VOLUMES"), (2_500, 2_500));
    assert_eq!(app.owned(&team, &ada).await, 0);
    assert_eq!(app.owned(&team, &team.owner).await, 5_000);

    // Every move, one by one.
    let mut after = Value::Null;
    let mut moved = std::collections::HashSet::new();
    loop {
        let page = team.owner.query(STEPS, json!({ "id": id, "after": after })).await;
        let moves = &page["node"]["moves"];
        for one in nodes(moves) {
            assert_eq!((&one["from"]["id"], &one["to"]["id"]), (&json!(ada.user_id), &json!(team.owner.user_id)));
            assert_eq!(one["resource"]["owner"]["id"], team.owner.user_id.as_str());
            assert_eq!(one["resource"]["createdBy"]["id"], ada.user_id.as_str());
            moved.insert(text(&one["resource"]["id"]));
        }
        if moves["pageInfo"]["hasNextPage"] != true {
            break;
        }
        after = moves["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(moved.len(), 5_000);
    assert!(moved.contains(&project) && !moved.contains(&own) && !moved.contains(&other));
    // What isn't the organization's stays.
    let query = "query($id: ID!) { node(id: $id) { ... on Resource { owner { id } } } }";
    assert_eq!(ada.query(query, json!({ "id": own })).await["node"]["owner"]["id"], ada.user_id.as_str());
    assert_eq!(grace.query(query, json!({ "id": other })).await["node"]["owner"]["id"], grace.user_id.as_str());

    let receipt = app.mail_about("ada@example.org", "removed from Acme Genomics").await;
    assert!(receipt.text.contains("2,500"), "{}", receipt.text);
    let receipt = app.mail_about("owner@example.org", "was removed from Acme Genomics").await;
    assert!(receipt.text.contains("2,500") && receipt.text.contains("Projects"), "{}", receipt.text);
    let audit = team.audit().await;
    assert!(audit.contains(&"departure.completed".to_owned()), "{audit:?}");
    app.finish().await;
}

/// Removes or deactivates somebody, with a reason for the log and a message to them; the departure's id.
async fn end(app: &TestApp, team: &Team, person: &Client, mutation: &str) -> String {
    app.until_idle().await;
    let input = json!({
        "memberId": team.member_id(person).await, "reason": "Do not tell him: he is under investigation.",
        "messageToMember": "Thank you for everything.\nThe contract has ended: see <b>hr.example.org</b>.",
    });
    text(&team.owner.ok(mutation, input, "departure { id }").await["departure"]["id"])
}

/// Whether the mail tells what the message says, as plain text, and not the reason.
fn tells_the_message(mail: &Mail) -> bool {
    let [text, html] = [&mail.text, &mail.html].map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    for part in [&mail.subject, &text, &html] {
        assert!(!part.contains("investigation") && !part.contains("tell him"), "{part}");
    }
    assert!(!html.contains("<b>hr") && !mail.links().iter().any(|link| link.contains("hr.example")), "{html}");
    let message = "Thank you for everything. The contract has ended:";
    assert_eq!(text.contains(message), html.contains(message), "{text}\n{html}");
    text.contains(message)
}

// R31: whoever is removed or deactivated, and whose work is passed on within a minute, gets one mail that says both.
#[tokio::test]
async fn a_leaver_whose_work_is_passed_on_at_once_gets_one_mail() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let mut people = Vec::new();
    for (email, mutation, how) in [
        ("ada@example.org", "removeMember", "removed from"),
        ("grace@example.org", "deactivateMember", "deactivated in"),
    ] {
        let person = app.join(&team, email, "MEMBER").await;
        person.create(&team.id, "PROJECT", "Liver atlas").await;
        let departure = end(&app, &team, &person, mutation).await;
        app.completed(&team, &departure).await;
        let mail = app.mail_about(email, &format!("You were {how} Acme Genomics")).await;
        assert!(tells_the_message(&mail), "{}", mail.text);
        assert!(mail.text.contains("API keys") && mail.text.contains("Liver atlas"), "{}", mail.text);
        let to_owner = app.mail_about("owner@example.org", &format!("was {how} Acme Genomics")).await;
        assert!(!to_owner.text.contains("Thank you") && !to_owner.text.contains("investigation"), "{}", to_owner.text);
        people.push((person, departure));
    }
    app.shift_clock("2 minutes").await;
    app.until_idle().await;
    for (person, departure) in &people {
        assert!(app.read_mail(&person.email, "Acme Genomics").is_none(), "one mail is enough");
        // What was said inside stays there, and is told to whoever decides.
        let reason = "query($id: ID!) { node(id: $id) { ... on Departure { status reason } } }";
        let seen = person.query(reason, json!({ "id": departure })).await["node"].clone();
        assert_eq!(seen, json!({ "status": "COMPLETED", "reason": null }));
        let seen = team.owner.query(reason, json!({ "id": departure })).await["node"].clone();
        assert_eq!(seen["reason"], "Do not tell him: he is under investigation.");
    }
    app.finish().await;
}

// R31: who would wait longer hears of the end after a minute, with the message, and gets the receipt later; tried again
// as often as it may be, it is the same.
#[tokio::test]
async fn a_leaver_whose_work_takes_longer_hears_of_the_end_first() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    ada.create(&team.id, "PROJECT", "Liver atlas").await;
    app.until_idle().await;
    app.stop_workers().await;
    let input = json!({ "memberId": team.member_id(&ada).await, "messageToMember": "x".repeat(2_001) });
    assert_eq!(team.owner.refused("removeMember", input).await.is(), ("TOO_LONG", "input.messageToMember"));
    let departure = end(&app, &team, &ada, "removeMember").await;
    app.shift_clock("2 minutes").await;
    // As if the cascade took longer.
    app.database.sql("UPDATE jobs SET run_at = run_at + interval '1 hour' WHERE kind = 'run_departure'").await;
    app.smtp.reply("ada@example.org", [Reply::Recipient("451 4.2.0 not now")]);
    app.start_worker();
    let tried = "SELECT count(*) AS value FROM jobs WHERE kind = 'mail_membership_ended' AND last_error IS NOT NULL";
    until("the mail is tried once", async || (app.database.number(tried).await == 1).then_some(())).await;
    app.kill_worker();
    app.database.sql("UPDATE jobs SET run_at = run_at - interval '1 hour' WHERE kind = 'run_departure'").await;
    app.start_worker();
    app.completed(&team, &departure).await;
    let notice = app.mail_about("ada@example.org", "Your access to Acme Genomics has ended").await;
    assert!(tells_the_message(&notice) && notice.text.contains("You were removed from"), "{}", notice.text);
    let receipt = app.mail_about("ada@example.org", "You were removed from Acme Genomics").await;
    assert!(!tells_the_message(&receipt) && receipt.text.contains("Liver atlas"), "{}", receipt.text);
    app.until_idle().await;
    assert!(app.read_mail("ada@example.org", "Acme Genomics").is_none());
    app.finish().await;
}

// R31: who has had as many such mails as are sent a day hears of the end by the receipt, and of nothing twice.
#[tokio::test]
async fn a_leaver_who_is_told_no_more_hears_of_the_end_by_the_receipt() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    ada.create(&team.id, "PROJECT", "Liver atlas").await;
    app.until_idle().await;
    app.stop_workers().await;
    let member = team.member_id(&ada).await;
    let departure = end(&app, &team, &ada, "removeMember").await;
    app.shift_clock("2 minutes").await;
    app.database
        .sql(&format!(
            "INSERT INTO attempts (bucket, subject, window_ends_at, count) \
             VALUES ('membership_mail', 'mail_membership_ended {member}', rollcall_now() + interval '1 day', 5)"
        ))
        .await;
    // As if the cascade took longer.
    app.database.sql("UPDATE jobs SET run_at = run_at + interval '1 hour' WHERE kind = 'run_departure'").await;
    app.start_worker();
    let done = "SELECT count(*) AS value FROM jobs WHERE kind = 'mail_membership_ended' AND status = 'done'";
    until("it is decided", async || (app.database.number(done).await == 1).then_some(())).await;
    app.stop_workers().await;
    app.database.sql("UPDATE jobs SET run_at = run_at - interval '1 hour' WHERE kind = 'run_departure'").await;
    app.start_worker();
    app.completed(&team, &departure).await;
    let receipt = app.mail_about("ada@example.org", "You were removed from Acme Genomics").await;
    assert!(tells_the_message(&receipt) && receipt.text.contains("Liver atlas"), "{}", receipt.text);
    app.until_idle().await;
    assert!(app.read_mail("ada@example.org", "Acme Genomics").is_none());
    app.finish().await;
}

// R40, R41: leaving by oneself, and coming back by a code (R45: as the same membership).
#[tokio::test]
async fn one_leaves_and_comes_back_by_a_code() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "ADMIN").await;
    let member = team.member_id(&ada).await;
    ada.create(&team.id, "VOLUME", "Reads").await;
    let left = ada
        .ok("leaveOrganization", json!({ "organizationId": team.id }), "departure { id kind member { status } }")
        .await;
    assert_eq!(left["departure"]["kind"], "LEAVE");
    assert!(!ada.belongs_to(&team.id).await);
    app.completed(&team, &text(&left["departure"]["id"])).await;
    app.mail_about("ada@example.org", "You left Acme Genomics").await;
    app.mail_about("owner@example.org", "left Acme Genomics").await;
    // Who goes by themselves isn't told that they are gone.
    app.until_idle().await;
    assert!(app.read_mail("ada@example.org", "has ended").is_none());
    let again = ada.refused("leaveOrganization", json!({ "organizationId": team.id })).await;
    assert_eq!(again.is(), ("NOT_FOUND", "input.organizationId"));

    let back =
        ada.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id role status }").await;
    assert_eq!(back["member"]["id"], member.as_str());
    assert_eq!((&back["member"]["role"], &back["member"]["status"]), (&json!("MEMBER"), &json!("ACTIVE")));
    // What has passed on stays where it is.
    assert_eq!(app.owned(&team, &ada).await, 0);
    app.finish().await;
}

// R39, R40: the owner stays; nobody removes the owner or themselves.
#[tokio::test]
async fn the_owner_stays() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let error = team.owner.refused("leaveOrganization", json!({ "organizationId": team.id })).await;
    assert_eq!(error.is(), ("OWNER_MUST_STAY", "input.organizationId"));
    let owner = json!({ "memberId": team.member_id(&team.owner).await });
    let own = json!({ "memberId": team.member_id(&admin).await });
    for mutation in ["removeMember", "deactivateMember"] {
        assert_eq!(admin.refused(mutation, owner.clone()).await.is(), ("FORBIDDEN", "input.memberId"));
        assert_eq!(admin.refused(mutation, own.clone()).await.is(), ("SELF", "input.memberId"));
        assert_eq!(team.owner.refused(mutation, owner.clone()).await.is(), ("SELF", "input.memberId"));
    }
    assert_eq!(team.members("ACTIVE").await.len(), 2);
    app.finish().await;
}

// R3, R12: who removes whom.
#[tokio::test]
async fn admins_remove_members_and_not_admins() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let second = app.join(&team, "second@example.org", "ADMIN").await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    let viewer = app.join(&team, "viewer@example.org", "VIEWER").await;
    let of = async |person: &crate::support::Client| json!({ "memberId": team.member_id(person).await });
    let error = admin.refused("removeMember", of(&second).await).await;
    assert_eq!(error.is(), ("FORBIDDEN", "input.memberId"));
    let error = viewer.refused("removeMember", of(&admin).await).await;
    assert_eq!(error.is(), ("FORBIDDEN", "input.memberId"));
    // A member doesn't see the other member at all (R7, D9).
    let error = member.refused("removeMember", of(&viewer).await).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.memberId"));
    let input = of(&viewer).await;
    admin.ok("removeMember", input.clone(), "departure { id }").await;
    let error = admin.refused("removeMember", input).await;
    assert_eq!(error.is(), ("CONFLICT", "input.memberId"));
    team.owner.ok("removeMember", of(&second).await, "departure { id }").await;
    app.finish().await;
}

// D6: deactivating suspends only whom this organization brought to Rollcall; an invitation lifts it.
#[tokio::test]
async fn deactivating_suspends_only_accounts_that_the_organization_made() {
    let app = TestApp::start().await;
    let team = app.team().await;
    // Made by the invitation.
    team.invite("grace@example.org", "MEMBER").await;
    let mail = app.mail_to("grace@example.org").await;
    let accepted =
        app.anonymous().ok("acceptInvitation", json!({ "token": mail.token() }), "sessionToken member { id }").await;
    let grace = app.client(&text(&accepted["sessionToken"]));
    // Was there before.
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;

    let input = json!({ "memberId": team.member_id(&ada).await });
    team.owner.ok("deactivateMember", input, "departure { kind }").await;
    assert!(!ada.belongs_to(&team.id).await);
    assert_eq!(ada.query("{ viewer { email } }", json!({})).await["viewer"]["email"], "ada@example.org");

    let input = json!({ "memberId": accepted["member"]["id"] });
    team.owner.ok("deactivateMember", input, "departure { kind }").await;
    assert_eq!(grace.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    let anonymous = app.anonymous();
    anonymous.ok("requestSignIn", json!({ "email": "grace@example.org" }), "").await;
    let mail = app.mail_about("grace@example.org", "sign in").await;
    let error = anonymous.refused("signIn", json!({ "token": mail.token() })).await;
    assert_eq!(error.is(), ("SUSPENDED", "input.token"));
    // A code is no way back (R45, D6): there is no session to enter it with. Another organization's invitation is.
    let other = app.sign_up("alan@example.org").await;
    let other_id = other.found("Bletchley").await;
    let input = json!({ "organizationId": other_id, "invitations": [{ "email": "grace@example.org" }] });
    let invited = other.ok("inviteMembers", input, "invitations { id }").await;
    anonymous.ok("requestSignIn", json!({ "email": "grace@example.org" }), "").await;
    let mail = app.mail_about("grace@example.org", "sign in").await;
    let signed_in = anonymous.ok("signIn", json!({ "token": mail.token() }), "sessionToken").await;
    let grace = app.client(&text(&signed_in["sessionToken"]));
    // For that alone.
    let error = grace.refused("createOrganization", json!({ "name": "Mine" })).await;
    assert_eq!(error.code, "SUSPENDED");
    for (mutation, input) in [
        ("changeEmail", json!({ "email": "hopper@example.org" })),
        ("deleteAccount", json!({ "confirmEmail": "grace@example.org" })),
        ("setDefaultBillTo", json!({ "organizationId": team.id })),
    ] {
        assert_eq!(grace.refused(mutation, input).await.code, "SUSPENDED", "{mutation}");
    }
    grace.ok("acceptInvitation", json!({ "id": invited["invitations"][0]["id"] }), "member { id }").await;
    assert!(grace.belongs_to(&other_id).await);
    grace.found("Mine").await;
    app.finish().await;
}

// D6: someone who belongs to another organization too isn't locked out by this one.
#[tokio::test]
async fn deactivating_suspends_nobody_who_belongs_elsewhere() {
    let app = TestApp::start().await;
    let team = app.team().await;
    team.invite("grace@example.org", "MEMBER").await;
    let mail = app.mail_to("grace@example.org").await;
    let accepted =
        app.anonymous().ok("acceptInvitation", json!({ "token": mail.token() }), "sessionToken member { id }").await;
    let grace = app.client(&text(&accepted["sessionToken"]));
    let own = grace.found("Grace's").await;
    team.owner.ok("deactivateMember", json!({ "memberId": accepted["member"]["id"] }), "departure { id }").await;
    assert!(grace.belongs_to(&own).await);
    assert!(!grace.belongs_to(&team.id).await);
    app.finish().await;
}

// D6, R45: after a removal a code is refused, and an invitation works with its own role.
#[tokio::test]
async fn after_a_removal_only_an_invitation_leads_back() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let member = team.member_id(&ada).await;
    let departure = team.remove(&ada).await;
    let code = team.code("MEMBER").await;
    let error = ada.refused("redeemJoinCode", json!({ "code": code })).await;
    assert_eq!(error.is(), ("FORBIDDEN", "input.code"));
    // The code wasn't used up by that.
    let grace = app.sign_up("grace@example.org").await;
    grace.ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    app.completed(&team, &departure).await;
    let id = team.invite("ada@example.org", "VIEWER").await;
    let back = ada.ok("acceptInvitation", json!({ "id": id }), "member { id role }").await;
    assert_eq!((&back["member"]["id"], &back["member"]["role"]), (&json!(member), &json!("VIEWER")));
    app.finish().await;
}

// R42: what the leaver issued is revoked; so are invitations to them, and nobody else's.
#[tokio::test]
async fn what_the_leaver_issued_is_revoked() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let invite = |email: &str| json!({ "organizationId": team.id, "invitations": [{ "email": email }] });
    let issued = admin.ok("inviteMembers", invite("one@example.org"), "invitations { id }").await;
    let kept = team.invite("two@example.org", "MEMBER").await;
    let codes = admin
        .ok("createJoinCodes", json!({ "organizationId": team.id, "count": 2 }), "codes { code joinCode { id } }")
        .await;
    let kept_code = team.code("MEMBER").await;
    let mail = app.mail_to("one@example.org").await;

    let departure = team.remove(&admin).await;
    assert_eq!(team.invitation(issued["invitations"][0]["id"].as_str().unwrap()).await["status"], "REVOKED");
    assert_eq!(team.invitation(&kept).await["status"], "PENDING");
    let error = app.anonymous().refused("acceptInvitation", json!({ "token": mail.token() })).await;
    assert_eq!(error.is(), ("REVOKED", "input.token"));
    let ada = app.sign_up("ada@example.org").await;
    let error = ada.refused("redeemJoinCode", json!({ "code": codes["codes"][0]["code"] })).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.code"));
    ada.ok("redeemJoinCode", json!({ "code": kept_code }), "member { id }").await;
    let departure = app.completed(&team, &departure).await;
    assert_eq!(step(&departure, "REVOKE_ISSUED"), (3, 3));
    app.finish().await;
}

// R42: a demotion revokes what one could no longer issue.
#[tokio::test]
async fn a_demotion_revokes_what_the_person_could_no_longer_issue() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let input = json!({ "organizationId": team.id, "invitations": [{ "email": "one@example.org" }] });
    let issued = admin.ok("inviteMembers", input, "invitations { id }").await;
    let input = json!({ "memberId": team.member_id(&admin).await, "role": "MEMBER" });
    team.owner.ok("changeMemberRole", input, "member { role }").await;
    assert_eq!(team.invitation(issued["invitations"][0]["id"].as_str().unwrap()).await["status"], "REVOKED");
    app.finish().await;
}

// D7: departures are seen by the leaders and the leaver, and by nobody else.
#[tokio::test]
async fn departures_are_seen_by_leaders_and_the_leaver() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let id = team.remove(&ada).await;
    app.completed(&team, &id).await;
    let query = "query($id: ID!) { node(id: $id) { id } }";
    for (person, sees) in [(&team.owner, true), (&ada, true), (&grace, false), (&eve, false), (&app.anonymous(), false)]
    {
        let node = person.run(query, json!({ "id": id })).await;
        let seen = node.body["data"]["node"]["id"].is_string();
        assert_eq!(seen, sees, "{}: {}", person.email, node.body);
    }
    let query = "query($id: ID!) { organization(by: { id: $id }) { departures(status: COMPLETED) { totalCount nodes { id } } } }";
    let seen = team.owner.query(query, json!({ "id": team.id })).await;
    assert_eq!(seen["organization"]["departures"]["totalCount"], 1);
    assert!(grace.query(query, json!({ "id": team.id })).await["organization"]["departures"].is_null());
    // Only what has failed can be retried.
    let error = team.owner.refused("retryDeparture", json!({ "departureId": id })).await;
    assert_eq!(error.is(), ("CONFLICT", "input.departureId"));
    app.finish().await;
}

// R42: an invitation that was still open when its person joined by code is no way back after the removal.
#[tokio::test]
async fn an_old_invitation_is_no_way_back() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let id = team.invite("ada@example.org", "ADMIN").await;
    ada.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id }").await;
    team.remove(&ada).await;
    let error = ada.refused("acceptInvitation", json!({ "id": id })).await;
    assert_eq!(error.is(), ("REVOKED", "input.id"));
    assert!(!ada.belongs_to(&team.id).await);
    app.finish().await;
}

// R43: ownership passes on in the middle of a cascade; the rest goes to the new owner, and nothing to the leaver.
#[tokio::test]
async fn the_rest_of_a_cascade_goes_to_the_new_owner() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let heir = app.join(&team, "heir@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    app.give(&team, &ada, "project", 2_000).await;
    app.give(&team, &ada, "volume", 2_000).await;
    app.give(&team, &ada, "machine", 10).await;
    // The cascade waits at a volume of the second chunk while the ownership passes.
    let mut holder = app.database.connection().await;
    let hold = format!(
        "BEGIN; SELECT FROM resources WHERE id = (SELECT id FROM resources WHERE kind = 'volume' AND owner_id = '{}' \
         ORDER BY id OFFSET 1500 LIMIT 1) FOR UPDATE",
        uuid(&ada.user_id)
    );
    holder.batch_execute(&hold).await.unwrap();
    let departure = team.remove(&ada).await;
    until("a part has passed on", async || (app.owned(&team, &team.owner).await == 3_000).then_some(())).await;
    let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("the cascade waits", async || (app.database.number(waiting).await >= 1).then_some(())).await;
    let set = json!({ "organizationId": team.id, "userId": heir.user_id });
    let staff = app.staff();
    let (passed, _) =
        futures_util::future::join(staff.ok("setOrganizationOwner", set, "organization { owner { id } }"), async {
            // The chunk under way holds the old owner's membership: the change of owner waits for it.
            until("one waits for the other", async || (app.database.number(waiting).await >= 2).then_some(())).await;
            holder.batch_execute("ROLLBACK").await.unwrap();
        })
        .await;
    assert_eq!(passed["organization"]["owner"]["id"], heir.user_id.as_str());
    let team = crate::support::Team { id: team.id, owner: heir };
    let departure = app.completed(&team, &departure).await;
    assert_eq!(departure["newOwner"]["id"], team.owner.user_id.as_str());
    assert_eq!(app.owned(&team, &ada).await, 0);
    assert_eq!(app.database.number("SELECT count(*) AS value FROM resource_moves").await, 4_010);
    // Each hears of what they received, and the leaver of all of it.
    for (address, subject, received) in [
        ("owner@example.org", "was removed from", [true, false]),
        ("heir@example.org", "was removed from", [false, true]),
        ("ada@example.org", "You were removed", [true, true]),
    ] {
        let mail = app.mail_about(address, subject).await;
        let told = ["Projects", "Machines"].map(|kind| mail.text.contains(kind));
        assert_eq!(told, received, "{address}: {}", mail.text);
    }
    app.finish().await;
}

const PLAN: &str = "query($id: ID!, $member: ID!, $kind: DepartureKind!) { organization(by: { id: $id }) { departurePlan(memberId: $member, kind: $kind) { \
     kind member { id } newOwner { id } suspendsAccount advice hash steps { step affects examples } apiKeys { name lastUsedAt } blockedBy { code field } } } }";

// R44: what would happen, with counts and examples; a plan that no longer fits is refused.
#[tokio::test]
async fn the_plan_says_what_would_happen_and_goes_stale() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let member = team.member_id(&ada).await;
    let plan = async |person: &Client, member: &str, kind: &str| {
        let data = person.query(PLAN, json!({ "id": team.id, "member": member, "kind": kind })).await;
        data["organization"]["departurePlan"].clone()
    };
    let affects = |plan: &Value, step: &str| {
        let steps = plan["steps"].as_array().unwrap();
        steps.iter().find(|planned| planned["step"] == step).unwrap()["affects"].as_i64().unwrap()
    };
    ada.create(&team.id, "VOLUME", "Reads").await;
    ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "").await;
    let first = plan(&admin, &member, "REMOVE").await;
    assert_eq!((&first["newOwner"]["id"], &first["suspendsAccount"]), (&json!(team.owner.user_id), &json!(false)));
    assert_eq!(
        (affects(&first, "REVOKE_ACCESS"), affects(&first, "TRANSFER_VOLUMES"), affects(&first, "NOTIFY")),
        (2, 1, 2)
    );
    assert_eq!(first["apiKeys"][0]["name"], "laptop");
    assert_eq!(first["blockedBy"], json!([]));
    // More of the same doesn't make it stale; another kind of thing, role or owner does.
    ada.create(&team.id, "VOLUME", "More reads").await;
    assert_eq!(plan(&admin, &member, "REMOVE").await["hash"], first["hash"]);
    assert_ne!(plan(&admin, &member, "DEACTIVATE").await["hash"], first["hash"]);
    app.give(&team, &ada, "project", 3).await;
    let second = plan(&admin, &member, "REMOVE").await;
    assert_ne!(second["hash"], first["hash"]);
    let projects = second["steps"].as_array().unwrap().iter().find(|step| step["step"] == "TRANSFER_PROJECTS").unwrap();
    assert_eq!((&projects["affects"], projects["examples"].as_array().unwrap().len()), (&json!(3), 3));
    let stale = json!({ "memberId": member, "planHash": first["hash"] });
    assert_eq!(admin.refused("removeMember", stale).await.is(), ("PLAN_STALE", "input.planHash"));
    admin.ok("changeMemberRole", json!({ "memberId": member, "role": "VIEWER" }), "").await;
    let stale = json!({ "memberId": member, "planHash": second["hash"] });
    assert_eq!(admin.refused("removeMember", stale).await.is(), ("PLAN_STALE", "input.planHash"));
    // What blocks it is told, and whose business it isn't gets nothing.
    let admin_id = team.member_id(&admin).await;
    assert_eq!(plan(&admin, &admin_id, "REMOVE").await["blockedBy"][0]["code"], "SELF");
    let owner_id = team.member_id(&team.owner).await;
    assert_eq!(plan(&admin, &owner_id, "REMOVE").await["blockedBy"][0]["code"], "FORBIDDEN");
    assert_eq!(plan(&team.owner, &owner_id, "LEAVE").await["blockedBy"][0]["code"], "OWNER_MUST_STAY");
    assert!(plan(&ada, &admin_id, "REMOVE").await.is_null());
    assert_eq!(plan(&ada, &member, "LEAVE").await["blockedBy"], json!([]));
    // One that fits is carried out as planned.
    let third = plan(&admin, &member, "REMOVE").await;
    let input = json!({ "memberId": member, "planHash": third["hash"] });
    let removed = admin.ok("removeMember", input, "departure { id }").await;
    let departure = app.completed(&team, removed["departure"]["id"].as_str().unwrap()).await;
    for step in departure["steps"].as_array().unwrap() {
        assert_eq!(step["done"], affects(&third, step["step"].as_str().unwrap()), "{step}");
    }
    app.finish().await;
}

// R45, D6: reactivating brings role and permissions back, and nothing that was moved.
#[tokio::test]
async fn a_removed_member_is_reactivated_with_role_and_permissions() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let boss = app.join(&team, "boss@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "VIEWER").await;
    let (ada_id, boss_id) = (team.member_id(&ada).await, team.member_id(&boss).await);
    let permissions = json!({ "memberId": ada_id, "permissions": { "sharedApps": false, "sharedProjects": "VIEW" } });
    team.owner.ok("updateMemberPermissions", permissions, "").await;
    app.give(&team, &ada, "project", 1).await;
    let again = team.owner.refused("reactivateMember", json!({ "memberId": ada_id })).await;
    assert_eq!(again.is(), ("ALREADY_MEMBER", "input.memberId"));
    let departure = team.remove(&ada).await;
    app.completed(&team, &departure).await;
    assert!(!ada.belongs_to(&team.id).await);
    let shown = "member { id role status permissions { sharedApps sharedProjects } }";
    let back = admin.ok("reactivateMember", json!({ "memberId": ada_id }), shown).await["member"].clone();
    assert_eq!((&back["id"], &back["role"], &back["status"]), (&json!(ada_id), &json!("VIEWER"), &json!("ACTIVE")));
    assert_eq!(back["permissions"], json!({ "sharedApps": false, "sharedProjects": "VIEW" }));
    assert!(ada.belongs_to(&team.id).await);
    assert_eq!(app.owned(&team, &ada).await, 0);
    // An admin is brought back by whoever may make one; who left comes back by themselves.
    let departure = team.remove(&boss).await;
    app.completed(&team, &departure).await;
    let refusal = admin.refused("reactivateMember", json!({ "memberId": boss_id })).await;
    assert_eq!(refusal.is(), ("FORBIDDEN", "input.memberId"));
    team.owner.ok("reactivateMember", json!({ "memberId": boss_id }), "").await;
    ada.ok("leaveOrganization", json!({ "organizationId": team.id }), "").await;
    let refusal = team.owner.refused("reactivateMember", json!({ "memberId": ada_id })).await;
    assert_eq!(refusal.is(), ("CONFLICT", "input.memberId"));
    assert!(!ada.belongs_to(&team.id).await);
    app.finish().await;
}

// D6: the organization that suspended an account takes it back.
#[tokio::test]
async fn reactivating_lifts_the_suspension() {
    let app = TestApp::start().await;
    let team = app.team().await;
    team.invite("grace@example.org", "MEMBER").await;
    let token = app.mail_to("grace@example.org").await.token();
    let accepted =
        app.anonymous().ok("acceptInvitation", json!({ "token": token }), "sessionToken member { id }").await;
    let member = accepted["member"]["id"].clone();
    team.owner.ok("deactivateMember", json!({ "memberId": member }), "").await;
    app.until_idle().await;
    assert_eq!(app.database.number("SELECT count(*) AS value FROM users WHERE suspended_at IS NOT NULL").await, 1);
    team.owner.ok("reactivateMember", json!({ "memberId": member }), "").await;
    let grace = app.sign_up("grace@example.org").await;
    assert!(grace.belongs_to(&team.id).await);
    app.finish().await;
}

// R45: a revert gives back what still is where the departure put it, and names the rest.
#[tokio::test]
async fn a_revert_returns_what_is_still_there_and_names_the_rest() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "ADMIN").await;
    let member = team.member_id(&ada).await;
    app.give(&team, &ada, "volume", 2_500).await;
    let deleted = ada.create(&team.id, "PROJECT", "Deleted").await;
    let passed_on = ada.create(&team.id, "PROJECT", "Passed on").await;
    let departure = team.remove(&ada).await;
    app.completed(&team, &departure).await;
    team.owner.ok("deleteResource", json!({ "id": deleted }), "").await;
    let touched = format!(
        "UPDATE resources SET owned_since = owned_since + interval '1 second' WHERE id = '{}'",
        uuid(&passed_on)
    );
    app.database.sql(&touched).await;
    // It takes the right to grant the old role.
    let refusal = admin.refused("revertDeparture", json!({ "departureId": departure })).await;
    assert_eq!(refusal.is(), ("FORBIDDEN", "input.departureId"));
    // The leaver sees the departure, and doesn't decide about it; nobody else knows of it.
    let nobody = app.sign_up("nobody@example.org").await;
    for (person, code) in [(&ada, "FORBIDDEN"), (&nobody, "NOT_FOUND")] {
        for mutation in ["revertDeparture", "retryDeparture"] {
            let refusal = person.refused(mutation, json!({ "departureId": departure })).await;
            assert_eq!(refusal.is(), (code, "input.departureId"), "{mutation}");
        }
    }
    let reverting = team
        .owner
        .ok("revertDeparture", json!({ "departureId": departure }), "departure { status member { id status role } }")
        .await;
    assert_eq!(
        (&reverting["departure"]["status"], &reverting["departure"]["member"]),
        (&json!("REVERTING"), &json!({ "id": member, "status": "ACTIVE", "role": "ADMIN" }))
    );
    assert!(ada.belongs_to(&team.id).await);
    let mail = app.mail_about("ada@example.org", "You are back in Acme Genomics").await;
    assert!(mail.text.contains("goes back to you") && mail.text.contains("Admin\n"), "{}", mail.text);
    until("it is reverted", async || (team.departure(&departure).await["status"] == "REVERTED").then_some(())).await;
    assert_eq!(app.owned(&team, &ada).await, 2_500);
    let fates = "SELECT coalesce(kept_because, 'back') || ' ' || count(*) AS value FROM resource_moves GROUP BY kept_because ORDER BY 1";
    assert_eq!(app.database.texts(fates).await, ["back 2500", "it was deleted 1", "it was passed on since 1"]);
    let moves = "query($id: ID!) { node(id: $id) { ... on Departure { moves(first: 100) { nodes { revertedAt keptBecause } } } } }";
    let seen = team.owner.query(moves, json!({ "id": departure })).await;
    let seen = seen["node"]["moves"]["nodes"].as_array().unwrap().clone();
    assert!(seen.iter().all(|moved| moved["revertedAt"].is_string() != moved["keptBecause"].is_string()), "{seen:?}");
    let refusal = team.owner.refused("revertDeparture", json!({ "departureId": departure })).await;
    assert_eq!(refusal.is(), ("CONFLICT", "input.departureId"));
    // For 30 days only.
    let second = team.remove(&ada).await;
    app.completed(&team, &second).await;
    app.shift_clock("30 days").await;
    let owner = app.sign_up("owner@example.org").await;
    let refusal = owner.refused("revertDeparture", json!({ "departureId": second })).await;
    assert_eq!(refusal.is(), ("EXPIRED", "input.departureId"));
    app.finish().await;
}

// R45: a cascade under way is stopped, and what it has not moved stays; killed in its middle the revert goes on.
#[tokio::test]
async fn a_revert_stops_the_cascade_and_survives_a_killed_worker() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    app.give(&team, &ada, "project", 10_000).await;
    let departure = team.remove(&ada).await;
    until("some have passed on", async || (app.owned(&team, &team.owner).await > 0).then_some(())).await;
    team.owner.ok("revertDeparture", json!({ "departureId": departure }), "").await;
    app.kill_worker();
    app.start_worker();
    until("it is reverted", async || (team.departure(&departure).await["status"] == "REVERTED").then_some(())).await;
    assert_eq!(app.owned(&team, &ada).await, 10_000);
    assert_eq!(app.owned(&team, &team.owner).await, 0);
    app.until_idle().await;
    app.finish().await;
}

// R36, R45: the project that samples were collected into goes once they are back, unless somebody has made it theirs.
#[tokio::test]
async fn a_revert_leaves_no_empty_project_behind() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let sample = ada.create(&team.id, "SAMPLE", "A-1").await;
    let projects = "SELECT id::text AS value FROM resources WHERE kind = 'project'";
    for used in ["not at all", "renamed", "shared", "filled"] {
        let departure = team.remove(&ada).await;
        app.completed(&team, &departure).await;
        let container = "query($id: ID!) { node(id: $id) { ... on Resource { container { id } } } }";
        let container = team.owner.query(container, json!({ "id": sample })).await["node"]["container"]["id"].clone();
        match used {
            "renamed" => {
                team.owner.ok("updateResource", json!({ "id": container, "name": "Atlas" }), "").await;
            }
            "shared" => {
                team.owner.grant(&text(&container), json!({ "organizationId": team.id }), "VIEW").await;
            }
            "filled" => {
                team.owner.create_in(&text(&container), "DOCUMENT", "Notes").await;
            }
            _ => {}
        }
        team.owner.ok("revertDeparture", json!({ "departureId": departure }), "").await;
        until("it is reverted", async || (team.departure(&departure).await["status"] == "REVERTED").then_some(()))
            .await;
        let left = app.database.texts(projects).await;
        assert_eq!(left.contains(&uuid(&text(&container)).to_string()), used != "not at all", "{used}");
    }
    app.finish().await;
}

// R37, R45, D7: an old departure that is retried takes nothing back that a newer one has kept.
#[tokio::test]
async fn an_old_departure_takes_nothing_that_a_newer_one_has_kept() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    team.owner.grant(&project, json!({ "userId": ada.user_id }), "CONTRIBUTE").await;
    ada.create_in(&project, "SAMPLE", "A-1").await;
    let member = json!({ "memberId": team.member_id(&ada).await });
    let mut departures = Vec::new();
    for _ in 0..2 {
        let departure = team.remove(&ada).await;
        app.completed(&team, &departure).await;
        team.owner.ok("reactivateMember", member.clone(), "").await;
        departures.push(departure);
    }
    // As if it had been given up before it came to the grants.
    let old = uuid(&departures[0]);
    app.database
        .sql(&format!(
            "UPDATE departures SET status = 'failed', completed_at = NULL WHERE id = '{old}'; \
             UPDATE departure_steps SET completed_at = NULL, reached_id = NULL, done = 0 \
             WHERE departure_id = '{old}' AND step IN ('remove_grants', 'notify')"
        ))
        .await;
    let ada = app.sign_up("ada@example.org").await;
    assert_eq!(ada.access(&project).await.as_deref(), Some("CONTRIBUTE"));
    team.owner.ok("retryDeparture", json!({ "departureId": departures[0] }), "").await;
    app.completed(&team, &departures[0]).await;
    assert_eq!(ada.access(&project).await.as_deref(), Some("CONTRIBUTE"));
    app.finish().await;
}

// R45, D6: after leaving, and after rejoining, only resources come back, and only to a member.
#[tokio::test]
async fn a_revert_brings_nobody_back_who_left_by_themselves() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    app.give(&team, &ada, "project", 3).await;
    let left = ada.ok("leaveOrganization", json!({ "organizationId": team.id }), "departure { id }").await;
    let departure = left["departure"]["id"].as_str().unwrap().to_owned();
    app.completed(&team, &departure).await;
    let refusal = team.owner.refused("revertDeparture", json!({ "departureId": departure })).await;
    assert_eq!(refusal.is(), ("CONFLICT", "input.departureId"));
    ada.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "").await;
    team.owner.ok("revertDeparture", json!({ "departureId": departure }), "").await;
    until("it is reverted", async || (team.departure(&departure).await["status"] == "REVERTED").then_some(())).await;
    assert_eq!(app.owned(&team, &ada).await, 3);
    app.finish().await;
}
