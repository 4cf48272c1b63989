//! API keys: a person's way in for programs, in one organization only.

use crate::support::client::{nodes, text};
use crate::support::{TestApp, json};

#[tokio::test]
async fn a_key_acts_as_its_person_in_its_organization_only() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let other = team.owner.found("Other").await;
    let input = json!({ "organizationId": team.id, "name": "laptop" });
    let selection = "secret apiKey { id name prefix scope service organization { id } createdBy { id } lastUsedAt }";
    let made = team.owner.ok("createApiKey", input, selection).await;
    let secret = text(&made["secret"]);
    assert_eq!((&made["apiKey"]["scope"], &made["apiKey"]["service"]), (&json!("WRITE"), &json!(false)));
    assert!(secret.starts_with(made["apiKey"]["prefix"].as_str().unwrap()));
    let key = app.client(&secret);
    assert!(key.belongs_to(&team.id).await);
    let project = key.create(&team.id, "PROJECT", "Liver atlas").await;
    // Nothing of another organization, though its person owns it.
    assert!(!key.belongs_to(&other).await);
    let input = json!({ "organizationId": other, "kind": "PROJECT", "name": "x" });
    assert_eq!(key.refused("createResource", input).await.is(), ("NOT_FOUND", "input.organizationId"));
    let viewer = key
        .query("{ viewer { memberships { nodes { organization { id } } } resources { nodes { id } } } }", json!({}))
        .await;
    assert_eq!(nodes(&viewer["viewer"]["memberships"]).len(), 1);
    assert_eq!(nodes(&viewer["viewer"]["resources"])[0]["id"], project.as_str());
    // What takes a person isn't a key's.
    assert_eq!(key.refused("createApiKey", json!({ "organizationId": team.id, "name": "x" })).await.code, "FORBIDDEN");
    assert_eq!(key.refused("createOrganization", json!({ "name": "x" })).await.code, "FORBIDDEN");
    // The secret is shown once.
    let keys = team.owner.query("{ viewer { apiKeys { totalCount nodes { prefix lastUsedAt } } } }", json!({})).await;
    assert_eq!(keys["viewer"]["apiKeys"]["totalCount"], 1);
    assert!(nodes(&keys["viewer"]["apiKeys"])[0]["lastUsedAt"].is_string());
    assert!(!keys.to_string().contains(&secret));
    app.finish().await;
}

#[tokio::test]
async fn a_read_key_changes_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let member = team.member_id(&team.owner).await;
    let made = team
        .owner
        .ok("createApiKey", json!({ "organizationId": team.id, "name": "reader", "scope": "READ" }), "secret")
        .await;
    let key = app.client(&text(&made["secret"]));
    assert!(key.belongs_to(&team.id).await);
    for (mutation, input) in [
        ("createResource", json!({ "organizationId": team.id, "kind": "VOLUME", "name": "x" })),
        ("updateResource", json!({ "id": project, "name": "x" })),
        ("deleteResource", json!({ "id": project })),
        ("inviteMembers", json!({ "organizationId": team.id, "invitations": [{ "email": "x@example.org" }] })),
        ("createJoinCodes", json!({ "organizationId": team.id })),
        ("updateOrganization", json!({ "id": team.id, "description": "x" })),
        ("removeMember", json!({ "memberId": member })),
    ] {
        assert_eq!(key.refused(mutation, input).await.code, "FORBIDDEN", "{mutation}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_revoked_or_expired_key_is_refused_at_once() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    let now = app
        .database
        .texts("SELECT to_char(rollcall_now() + interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SSOF') AS value")
        .await
        .remove(0);
    let now = format!("{now}:00");
    let made = team
        .owner
        .ok(
            "createApiKey",
            json!({ "organizationId": team.id, "name": "a", "expiresAt": now }),
            "secret apiKey { expiresAt }",
        )
        .await;
    let expiring = app.client(&text(&made["secret"]));
    let made =
        team.owner.ok("createApiKey", json!({ "organizationId": team.id, "name": "b" }), "secret apiKey { id }").await;
    let (revoked, id) = (app.client(&text(&made["secret"])), made["apiKey"]["id"].clone());
    assert!(expiring.belongs_to(&team.id).await && revoked.belongs_to(&team.id).await);
    assert_eq!(eve.refused("revokeApiKey", json!({ "id": id })).await.is(), ("NOT_FOUND", "input.id"));
    team.owner.ok("revokeApiKey", json!({ "id": id }), "revokedApiKeyId").await;
    assert_eq!(revoked.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    assert_eq!(team.owner.refused("revokeApiKey", json!({ "id": id })).await.is(), ("NOT_FOUND", "input.id"));
    let past = json!({ "organizationId": team.id, "name": "c", "expiresAt": "2020-01-01T00:00:00Z" });
    assert_eq!(team.owner.refused("createApiKey", past).await.is(), ("INVALID", "input.expiresAt"));
    app.shift_clock("1 hour").await;
    assert_eq!(expiring.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    app.finish().await;
}

// A key reaches its one organization: neither its person's invitations and sessions, nor people of other organizations.
#[tokio::test]
async fn a_key_shows_nothing_of_other_organizations() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    let other = eve.found("Other").await;
    let input = json!({ "organizationId": other, "invitations": [{ "email": team.owner.email }] });
    eve.ok("inviteMembers", input, "invitations { id }").await;
    let input = json!({ "organizationId": team.id, "name": "ci" });
    let secret = text(&team.owner.ok("createApiKey", input, "secret").await["secret"]);
    let key = team.owner.with_token(&secret);
    let query = "{ viewer { invitations { nodes { id } totalCount } sessions { nodes { id } totalCount } } }";
    let seen = key.query(query, json!({})).await;
    assert!(
        nodes(&seen["viewer"]["invitations"]).is_empty() && nodes(&seen["viewer"]["sessions"]).is_empty(),
        "{seen}"
    );
    assert_eq!(nodes(&team.owner.query(query, json!({})).await["viewer"]["invitations"]).len(), 1);
    app.finish().await;
}
