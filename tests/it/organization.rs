//! Organizations: founding, profile, and who may do so.

use crate::support::client::text;
use crate::support::{Client, TestApp, json};

const PROFILE: &str = "organization { id name slug fullName description website location sector universityName logoUrl personal owner { id } viewerCan }";

// R11, R49: whoever founds it owns it.
#[tokio::test]
async fn whoever_founds_an_organization_owns_it() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let input = json!({
        "name": "  Acme Genomics ", "slug": "Acme", "fullName": "Acme Genomics Institute", "description": "We map livers.",
        "website": "https://acme.example", "location": "Ghent", "sector": "Health", "universityName": "UGent",
        "logoUrl": "https://acme.example/logo.png",
    });
    let founded = ada.ok("createOrganization", input, PROFILE).await;
    let organization = &founded["organization"];
    assert_eq!((&organization["name"], &organization["slug"]), (&json!("Acme Genomics"), &json!("acme")));
    assert_eq!((&organization["personal"], &organization["owner"]["id"]), (&json!(false), &json!(ada.user_id)));
    assert_eq!((&organization["location"], &organization["universityName"]), (&json!("Ghent"), &json!("UGent")));
    assert!(!organization["viewerCan"].as_array().unwrap().contains(&json!("LEAVE")));
    let viewer = ada
        .query(
            "{ viewer { needsOrganization memberships(atLeast: OWNER) { nodes { role organization { slug } } } } }",
            json!({}),
        )
        .await;
    assert_eq!(viewer["viewer"]["memberships"]["nodes"][0]["organization"]["slug"], "acme");
    assert_eq!(viewer["viewer"]["needsOrganization"], false);
    // A taken slug is refused, a derived one is made unlike.
    let error = ada.refused("createOrganization", json!({ "name": "Other", "slug": "ACME" })).await;
    assert_eq!(error.is(), ("SLUG_TAKEN", "input.slug"));
    let first = ada.ok("createOrganization", json!({ "name": "Liver Lab" }), PROFILE).await;
    let second = ada.ok("createOrganization", json!({ "name": "Liver Lab" }), PROFILE).await;
    assert_eq!(first["organization"]["slug"], "liver-lab");
    assert_ne!(first["organization"]["slug"], second["organization"]["slug"]);
    assert_eq!(app.anonymous().error_code("createOrganization", json!({ "name": "x" })).await, "UNAUTHENTICATED");
    app.finish().await;
}

// R49, R50: what is left out stays, null clears, and no right changes.
#[tokio::test]
async fn an_update_keeps_what_is_left_out_and_null_clears() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    let input = json!({ "id": team.id, "description": "We map livers.", "website": "https://acme.example", "location": "Ghent" });
    let before = admin.ok("updateOrganization", input, PROFILE).await["organization"].clone();
    let after = team
        .owner
        .ok("updateOrganization", json!({ "id": team.id, "website": null, "sector": "Health" }), PROFILE)
        .await;
    let after = &after["organization"];
    assert!(after["website"].is_null());
    assert_eq!((&after["description"], &after["location"]), (&before["description"], &json!("Ghent")));
    assert_eq!(
        (&after["sector"], &after["name"], &after["slug"]),
        (&json!("Health"), &before["name"], &before["slug"])
    );
    let error = member.refused("updateOrganization", json!({ "id": team.id, "location": "Leuven" })).await;
    assert_eq!(error.is(), ("FORBIDDEN", "input.id"));
    let stranger = app.sign_up("eve@example.org").await;
    let error = stranger.refused("updateOrganization", json!({ "id": team.id, "location": "Leuven" })).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.id"));
    // Every problem at once, and nothing changed.
    let bad = json!({ "id": team.id, "website": "javascript:alert(1)", "slug": "not a slug", "location": "x".repeat(201), "sector": "Art" });
    let errors = team.owner.refusals("updateOrganization", bad).await;
    let mut errors: Vec<_> = errors.iter().map(|error| error.is()).collect();
    errors.sort_unstable();
    assert_eq!(errors, [("INVALID", "input.slug"), ("INVALID", "input.website"), ("TOO_LONG", "input.location")]);
    // R50: members see it; strangers don't (R21).
    let query = "query($id: ID!) { organization(by: { id: $id }) { sector location } }";
    assert_eq!(
        member.query(query, json!({ "id": team.id })).await["organization"],
        json!({ "sector": "Health", "location": "Ghent" })
    );
    assert!(stranger.query(query, json!({ "id": team.id })).await["organization"].is_null());
    app.finish().await;
}

// The name can't be cleared.
#[tokio::test]
async fn a_name_is_needed() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for name in ["", "   ", "\u{200b}"] {
        let error = team.owner.refused("createOrganization", json!({ "name": name })).await;
        assert_eq!(error.is(), ("BLANK", "input.name"), "{name:?}");
        let error = team.owner.refused("updateOrganization", json!({ "id": team.id, "name": name })).await;
        assert_eq!(error.is(), ("BLANK", "input.name"), "{name:?}");
    }
    let error = team.owner.refused("createOrganization", json!({ "name": "x".repeat(101) })).await;
    assert_eq!(error.is(), ("TOO_LONG", "input.name"));
    let error = team.owner.refused("updateOrganization", json!({ "id": team.id, "name": null })).await;
    assert_eq!(error.field, "input.name");
    app.finish().await;
}

// R1, D4: staff found organizations for others; here only they do.
#[tokio::test]
async fn staff_found_organizations_for_others() {
    let app = TestApp::builder().setting("ROLLCALL_ORGANIZATION_CREATION", "staff").start().await;
    let ada = app.sign_up("ada@example.org").await;
    let error = ada.refused("createOrganization", json!({ "name": "Mine" })).await;
    assert_eq!(error.code, "FORBIDDEN");
    let error = app.staff().refused("createOrganization", json!({ "name": "Acme" })).await;
    assert_eq!(error.is(), ("BLANK", "input.ownerEmail"));
    let input = json!({ "name": "Acme", "ownerEmail": "ada@example.org" });
    let founded = app.staff().ok("createOrganization", input, "organization { id owner { id } }").await;
    assert_eq!(founded["organization"]["owner"]["id"], ada.user_id.as_str());
    assert!(ada.belongs_to(&text(&founded["organization"]["id"])).await);
    app.mail_about("ada@example.org", "is ready for you").await;
    // Someone without an account owns it once they sign in.
    let input = json!({ "name": "Beta", "ownerEmail": "Grace@example.org" });
    let founded = app.staff().ok("createOrganization", input, "organization { id }").await;
    app.mail_about("grace@example.org", "is ready for you").await;
    let grace = app.sign_up("grace@example.org").await;
    assert!(grace.belongs_to(&text(&founded["organization"]["id"])).await);
    // Only staff name an owner.
    let error = ada.refused("createOrganization", json!({ "name": "x", "ownerEmail": "grace@example.org" })).await;
    assert_eq!(error.code, "FORBIDDEN");
    app.finish().await;
}

// R1: staff give an organization to another owner, by token and by the command line; the old owner becomes ADMIN.
#[tokio::test]
async fn staff_change_an_owner() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.sign_up("grace@example.org").await;
    let set = |person: &Client| json!({ "organizationId": team.id, "userId": person.user_id });
    let error = team.owner.refused("setOrganizationOwner", set(&ada)).await;
    assert_eq!(error.is(), ("FORBIDDEN", "input.organizationId"));
    let answer = app.staff().ok("setOrganizationOwner", set(&ada), "organization { owner { id } }").await;
    assert_eq!(answer["organization"]["owner"]["id"], ada.user_id.as_str());
    let role = "query($id: ID!) { organization(by: { id: $id }) { viewerMembership { role } } }";
    let seen = team.owner.query(role, json!({ "id": team.id })).await;
    assert_eq!(seen["organization"]["viewerMembership"]["role"], "ADMIN");
    app.mail_about("ada@example.org", "You own Acme Genomics").await;
    // Someone who was no member at all.
    let output = app.admin(&["set-owner", "--organization", &team.id, "--owner-email", "Grace@example.org"]);
    assert!(output.status.success(), "{output:?}");
    let seen = grace.query(role, json!({ "id": team.id })).await;
    assert_eq!(seen["organization"]["viewerMembership"]["role"], "OWNER");
    let output = app.admin(&["set-owner", "--organization", &team.id, "--owner-email", "nobody@example.org"]);
    assert!(!output.status.success());
    // Founding, by the command line too.
    let output =
        app.admin(&["create-organization", "--name", "Beta", "--owner-email", "alan@example.org", "--slug", "beta"]);
    assert!(output.status.success(), "{output:?}");
    let alan = app.sign_up("alan@example.org").await;
    let found = alan.query("{ organization(by: { slug: \"beta\" }) { owner { id } } }", json!({})).await;
    assert_eq!(found["organization"]["owner"]["id"], alan.user_id.as_str());
    // R74: the log is whole, as the command says too.
    let output = app.admin(&["verify-audit-log", &team.id]);
    assert!(output.status.success(), "{output:?}");
    let actors =
        "query($id: ID!) { organization(by: { id: $id }) { auditLog(last: 2) { nodes { actorKind action } } } }";
    let log = grace.query(actors, json!({ "id": team.id })).await;
    for event in log["organization"]["auditLog"]["nodes"].as_array().unwrap() {
        assert_eq!(event["actorKind"], "STAFF", "{event}");
    }
    app.finish().await;
}

// D3: one organization per user, where the deployment says so.
#[tokio::test]
async fn a_second_organization_is_refused_where_one_is_the_rule() {
    let app = TestApp::builder().setting("ROLLCALL_ONE_ORGANIZATION_PER_USER", "true").start().await;
    let team = app.team().await;
    let other = app.sign_up("other@example.org").await;
    let other_id = other.found("Other").await;
    let error = team.owner.refused("createOrganization", json!({ "name": "Second" })).await;
    assert_eq!(error.code, "ONE_ORGANIZATION");
    let error = other.refused("redeemJoinCode", json!({ "code": team.code("MEMBER").await })).await;
    assert_eq!(error.is(), ("ONE_ORGANIZATION", "input.code"));
    let id = team.invite("other@example.org", "MEMBER").await;
    let error = other.refused("acceptInvitation", json!({ "id": id })).await;
    assert_eq!(error.is(), ("ONE_ORGANIZATION", "input.id"));
    // Nothing was used up, and who leaves may join elsewhere.
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    ada.ok("leaveOrganization", json!({ "organizationId": team.id }), "departure { id }").await;
    let code = other.ok("createJoinCodes", json!({ "organizationId": other_id }), "codes { code }").await;
    ada.ok("redeemJoinCode", json!({ "code": code["codes"][0]["code"] }), "member { id }").await;
    app.finish().await;
}

// D5: the personal organization can't be joined or left, and has no codes, invitations or teams.
#[tokio::test]
async fn a_personal_organization_is_nobody_elses() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let viewer = ada
        .query("{ viewer { personalOrganization { id name slug viewerCan } memberships { totalCount } } }", json!({}))
        .await;
    let personal = &viewer["viewer"]["personalOrganization"];
    assert!(personal["slug"].is_null());
    assert_eq!(viewer["viewer"]["memberships"]["totalCount"], 0);
    let id = text(&personal["id"]);
    for (mutation, input) in [
        ("inviteMembers", json!({ "organizationId": id, "invitations": [{ "email": "eve@example.org" }] })),
        ("createJoinCodes", json!({ "organizationId": id })),
        ("leaveOrganization", json!({ "organizationId": id })),
        ("updateOrganization", json!({ "id": id, "description": "x" })),
    ] {
        assert_eq!(ada.refused(mutation, input).await.code, "FORBIDDEN", "{mutation}");
    }
    for action in ["INVITE", "CREATE_JOIN_CODES", "LEAVE", "DELETE", "TRANSFER_OWNERSHIP"] {
        assert!(!personal["viewerCan"].as_array().unwrap().contains(&json!(action)), "{action}");
    }
    // It holds what belongs to no team.
    ada.create(&id, "PROJECT", "At home").await;
    app.finish().await;
}
