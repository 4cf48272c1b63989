//! The end of an account: it leaves every organization, nobody gets in by it, and what others' data refers to stays.

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::{Client, TestApp, json};

fn confirm(person: &Client) -> crate::support::Value {
    json!({ "confirmEmail": person.email })
}

// R31, R32, R34, R42: every organization is left as by leaving; sessions and keys end, the name goes, and the address
// is free.
#[tokio::test]
async fn a_deleted_account_leaves_everything() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "ADMIN").await;
    ada.ok("updateProfile", json!({ "name": "Ada Lovelace", "username": "countess" }), "").await;
    let member = team.member_id(&ada).await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let issued = ada
        .ok(
            "inviteMembers",
            json!({ "organizationId": team.id, "invitations": [{ "email": "x@example.org" }] }),
            "invitations { id }",
        )
        .await;
    let secret = ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    let key = app.client(&text(&secret["secret"]));
    let other = app.sign_up("grace@example.org").await;
    let elsewhere = other.found("Elsewhere").await;
    let input = json!({ "organizationId": elsewhere, "invitations": [{ "username": "countess" }] });
    let invited = other.ok("inviteMembers", input, "invitations { id }").await;
    let second_device = app.sign_up("ada@example.org").await;
    let personal = ada.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let personal = text(&personal["viewer"]["personalOrganization"]["id"]);

    ada.ok("changeEmail", json!({ "email": "late@example.org" }), "").await;
    let change = app.mail_about("late@example.org", "Confirm").await;
    let error = ada.refused("deleteAccount", json!({ "confirmEmail": "grace@example.org" })).await;
    assert_eq!(error.is(), ("CONFIRMATION_MISMATCH", "input.confirmEmail"));
    assert_eq!(key.refused("deleteAccount", confirm(&ada)).await.code, "FORBIDDEN");
    // Without case.
    let deleted = ada.ok("deleteAccount", json!({ "confirmEmail": " ADA@example.org" }), "deletedUserId").await;
    assert_eq!(deleted["deletedUserId"], ada.user_id.as_str());
    for client in [&ada, &second_device, &key] {
        assert_eq!(client.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    }
    let mail = app.mail_about("ada@example.org", "account was deleted").await;
    assert!(
        mail.text.contains("Hello Ada Lovelace,") && mail.text.contains("You received this email because"),
        "{}",
        mail.text
    );

    // No address comes back to it.
    let error = app.anonymous().refused("confirmEmailChange", json!({ "token": change.token() })).await;
    assert_eq!(error.is(), ("INVALID", "input.token"));

    // What it was is still referred to.
    let query = "query($id: ID!) { node(id: $id) { ... on Resource { owner { id } createdBy { id name username avatarUrl } } } }";
    app.until_idle().await;
    let seen = team.owner.query(query, json!({ "id": project })).await["node"].clone();
    assert_eq!(seen["owner"]["id"], team.owner.user_id.as_str());
    assert_eq!(
        (&seen["createdBy"]["id"], &seen["createdBy"]["name"]),
        (&json!(ada.user_id), &json!("Deleted account"))
    );
    assert!(!seen["createdBy"]["username"].as_str().unwrap().contains("countess"), "{seen}");
    let left = team.members("LEFT").await;
    assert_eq!((&left[0]["id"], &left[0]["email"]), (&json!(member), &json!(null)));
    assert_eq!(team.invitation(issued["invitations"][0]["id"].as_str().unwrap()).await["status"], "REVOKED");
    let status = other
        .query(
            "query($id: ID!) { node(id: $id) { ... on Invitation { status } } }",
            json!({ "id": invited["invitations"][0]["id"] }),
        )
        .await;
    assert_eq!(status["node"]["status"], "REVOKED");
    // The owner has a receipt, and the leaver's address hears nothing any more.
    let receipt = app.mail_about("owner@example.org", "was deleted").await;
    assert!(receipt.text.contains("Projects"), "{}", receipt.text);
    assert!(app.read_mail("ada@example.org", "You left").is_none());
    let kept = "SELECT count(*) AS value FROM account_deletions";
    assert_eq!(app.database.number(kept).await, 0);
    let log = format!(
        "SELECT action AS value FROM audit_events WHERE organization_id = '{}' ORDER BY sequence DESC LIMIT 1",
        uuid(&personal)
    );
    assert_eq!(app.database.texts(&log).await, ["user.deleted"]);

    // The address is free for somebody new, and the username is nobody's.
    let somebody = app.sign_up("ada@example.org").await;
    assert_ne!(somebody.user_id, ada.user_id);
    let refused = somebody.refused("updateProfile", json!({ "username": "countess" })).await;
    assert_eq!(refused.is(), ("USERNAME_TAKEN", "input.username"));
    assert!(!somebody.belongs_to(&team.id).await);
    app.finish().await;
}

// R40: the owner hands over first; an organization that can be restored counts too.
#[tokio::test]
async fn an_owner_stays_until_the_organizations_are_handed_over() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let heir = app.join(&team, "heir@example.org", "ADMIN").await;
    let second = team.owner.found("Beta Labs").await;
    let error = team.owner.refused("deleteAccount", confirm(&team.owner)).await;
    assert_eq!(error.is(), ("OWNER_MUST_STAY", "input.confirmEmail"));
    assert!(error.message.contains("Acme Genomics") && error.message.contains("Beta Labs"), "{}", error.message);
    team.owner.ok("transferOwnership", team.transfer_to(&heir).await, "").await;
    team.owner.ok("deleteOrganization", json!({ "id": second, "confirmOrganizationName": "Beta Labs" }), "").await;
    let error = team.owner.refused("deleteAccount", confirm(&team.owner)).await;
    assert!(error.message.contains("Beta Labs") && !error.message.contains("Acme"), "{}", error.message);
    app.staff().ok("restoreOrganization", json!({ "id": second }), "").await;
    let set = json!({ "organizationId": second, "userId": heir.user_id });
    app.staff().ok("setOrganizationOwner", set, "").await;
    team.owner.ok("deleteAccount", confirm(&team.owner), "deletedUserId").await;
    app.until_idle().await;
    app.shift_clock("1 minute").await;
    app.finish().await;
}

// R45, R48: neither a reactivation nor a revert nor a restored organization brings a deleted account back.
#[tokio::test]
async fn nothing_brings_a_deleted_account_back() {
    let app = TestApp::start().await;
    let team = app.team().await;
    // One who was removed before, and one who left by the deletion.
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let ada_id = team.member_id(&ada).await;
    let removed = team.remove(&ada).await;
    app.completed(&team, &removed).await;
    ada.ok("deleteAccount", confirm(&ada), "").await;
    for (mutation, input) in
        [("reactivateMember", json!({ "memberId": ada_id })), ("revertDeparture", json!({ "departureId": removed }))]
    {
        let error = team.owner.refused(mutation, input).await;
        assert_eq!(error.code, "CONFLICT");
        assert!(error.message.contains("deleted"), "{}", error.message);
    }
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let personal = grace.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    team.owner.ok("deleteOrganization", json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" }), "").await;
    grace.ok("deleteAccount", confirm(&grace), "").await;
    app.staff().ok("restoreOrganization", json!({ "id": team.id }), "").await;
    assert_eq!(team.members("ACTIVE").await.len(), 1);
    app.until_idle().await;
    let query = "query($id: ID!) { organization(by: { id: $id }) { departures { nodes { id kind user: member { user { id } } } } } }";
    let departures = team.owner.query(query, json!({ "id": team.id })).await;
    let left = nodes(&departures["organization"]["departures"]).iter().find(|departure| departure["kind"] == "LEAVE");
    let error = team.owner.refused("revertDeparture", json!({ "departureId": left.unwrap()["id"] })).await;
    assert!(error.code == "CONFLICT" && error.message.contains("deleted"), "{error:?}");
    // Staff neither.
    let personal = json!({ "id": personal["viewer"]["personalOrganization"]["id"] });
    assert_eq!(app.staff().refused("restoreOrganization", personal).await.is(), ("FORBIDDEN", "input.id"));
    let set = json!({ "organizationId": team.id, "userId": grace.user_id });
    assert_eq!(app.staff().refused("setOrganizationOwner", set).await.is(), ("NOT_FOUND", "input.userId"));
    app.finish().await;
}

// R25: what the same request asks for after the deletion finds no account any more.
#[tokio::test]
async fn a_deleted_account_gets_no_name_again() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let document = "mutation { deleteAccount(input: { confirmEmail: \"ada@example.org\" }) { deletedUserId userErrors { code } } \
         updateProfile(input: { name: \"Ada\", username: \"ada\" }) { userErrors { code } } }";
    let answer = ada.run(document, json!({})).await;
    assert!(answer.body["data"]["deleteAccount"]["deletedUserId"].is_string(), "{}", answer.body);
    assert_eq!(answer.error_code(), "UNAUTHENTICATED", "{}", answer.body);
    let named = "SELECT count(*) AS value FROM users WHERE username = 'ada' OR name = 'Ada'";
    assert_eq!(app.database.number(named).await, 0);
    app.finish().await;
}
