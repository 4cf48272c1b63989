//! Resources: who makes, sees and changes them.

use crate::support::client::{nodes, text};
use crate::support::{TestApp, json};

const SEEN: &str = "query($id: ID!) { node(id: $id) { ... on Resource { id name viewerAccess owner { id } createdBy { id } organization { id } sizeBytes visibility } } }";

// R2, R8, R14: a member's own, everything for leaders, what is visible for viewers.
#[tokio::test]
async fn members_reach_their_own_and_leaders_reach_all() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let viewer = app.join(&team, "viewer@example.org", "VIEWER").await;
    let stranger = app.sign_up("eve@example.org").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let input = json!({ "organizationId": team.id, "kind": "VOLUME", "name": "Reads", "visibility": "ORGANIZATION", "sizeBytes": "9007199254740993" });
    let volume = ada.ok("createResource", input, "resource { id sizeBytes }").await;
    assert_eq!(volume["resource"]["sizeBytes"].to_string().trim_matches('"'), "9007199254740993");
    let volume = text(&volume["resource"]["id"]);
    for (person, private, shared) in [
        (&team.owner, Some("ADMINISTER"), Some("ADMINISTER")),
        (&admin, Some("ADMINISTER"), Some("ADMINISTER")),
        (&ada, Some("ADMINISTER"), Some("ADMINISTER")),
        (&grace, None, Some("VIEW")),
        (&viewer, None, Some("VIEW")),
        (&stranger, None, None),
    ] {
        for (id, access) in [(&project, private), (&volume, shared)] {
            let seen = person.query(SEEN, json!({ "id": id })).await;
            assert_eq!(seen["node"]["viewerAccess"].as_str(), access, "{} {id}", person.email);
        }
        let query = "query($id: ID!) { organization(by: { id: $id }) { resources { nodes { id } } } viewer { resources { nodes { id } } } }";
        let seen = person.query(query, json!({ "id": team.id })).await;
        let count = usize::from(private.is_some()) + usize::from(shared.is_some());
        assert_eq!(nodes(&seen["viewer"]["resources"]).len(), count, "{}", person.email);
        if count > 0 {
            assert_eq!(nodes(&seen["organization"]["resources"]).len(), count, "{}", person.email);
        }
    }
    for (person, code) in [(&grace, "FORBIDDEN"), (&viewer, "FORBIDDEN"), (&stranger, "NOT_FOUND")] {
        assert_eq!(
            person.refused("updateResource", json!({ "id": volume, "name": "x" })).await.is(),
            (code, "input.id")
        );
        assert_eq!(person.refused("deleteResource", json!({ "id": volume })).await.is(), (code, "input.id"));
    }
    for (person, code) in [(&viewer, "FORBIDDEN"), (&stranger, "NOT_FOUND")] {
        let input = json!({ "organizationId": team.id, "kind": "PROJECT", "name": "x" });
        assert_eq!(person.refused("createResource", input).await.is(), (code, "input.organizationId"));
    }
    admin
        .ok(
            "updateResource",
            json!({ "id": project, "name": "Atlas", "visibility": "ORGANIZATION" }),
            "resource { name }",
        )
        .await;
    assert_eq!(grace.query(SEEN, json!({ "id": project })).await["node"]["name"], "Atlas");
    ada.ok("deleteResource", json!({ "id": volume }), "deletedResourceId").await;
    assert!(ada.query(SEEN, json!({ "id": volume })).await["node"].is_null());
    app.finish().await;
}

// In updates, what is left out stays and null clears.
#[tokio::test]
async fn an_update_keeps_what_is_left_out_and_null_clears() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let input = json!({ "organizationId": team.id, "kind": "PROJECT", "name": "Atlas", "description": "Of livers.", "sizeBytes": "5" });
    let id = text(&team.owner.ok("createResource", input, "resource { id }").await["resource"]["id"]);
    let selection = "resource { name description sizeBytes }";
    let kept = team.owner.ok("updateResource", json!({ "id": id, "name": "Map" }), selection).await;
    assert_eq!((&kept["resource"]["name"], &kept["resource"]["description"]), (&json!("Map"), &json!("Of livers.")));
    let cleared = team.owner.ok("updateResource", json!({ "id": id, "description": null }), selection).await;
    assert_eq!((&cleared["resource"]["name"], cleared["resource"]["description"].is_null()), (&json!("Map"), true));
    let errors = team.owner.refusals("updateResource", json!({ "id": id, "sizeBytes": "-1" })).await;
    assert_eq!(errors[0].is(), ("INVALID", "input.sizeBytes"));
    app.finish().await;
}

// R56: without an organization, the default bill-to's: the personal one at first.
#[tokio::test]
async fn without_an_organization_it_goes_to_the_personal_one() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let made = ada
        .ok("createResource", json!({ "kind": "PROJECT", "name": "At home" }), "resource { organization { personal } }")
        .await;
    assert_eq!(made["resource"]["organization"]["personal"], true);
    app.finish().await;
}

// R55: projects are billed to their organization, and that takes the permission for it.
#[tokio::test]
async fn projects_take_the_permission_to_bill() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let permissions = json!({ "billableActivities": false });
    let input = json!({ "organizationId": team.id, "invitations": [{ "email": "ada@example.org", "permissions": permissions }] });
    let payload = team.owner.ok("inviteMembers", input, "invitations { id permissions { billableActivities } }").await;
    assert_eq!(payload["invitations"][0]["permissions"]["billableActivities"], false);
    ada.ok("acceptInvitation", json!({ "id": payload["invitations"][0]["id"] }), "member { id }").await;
    let project = json!({ "organizationId": team.id, "kind": "PROJECT", "name": "Atlas" });
    let refusal = ada.refused("createResource", project).await;
    assert_eq!(refusal.is(), ("BILLING_ACCESS_REQUIRED", "input.organizationId"));
    ada.create(&team.id, "VOLUME", "Reads").await;
    app.finish().await;
}

// R62: members list the organization's projects that they can reach, and volumes likewise; owner and admins list all.
#[tokio::test]
async fn projects_are_listed_as_far_as_one_reaches() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    for (person, name) in [(&team.owner, "Owner's"), (&ada, "Ada's"), (&grace, "Grace's")] {
        person.create(&team.id, "PROJECT", name).await;
        person.create(&team.id, "VOLUME", name).await;
    }
    let shared = grace.create(&team.id, "PROJECT", "For all").await;
    grace.ok("updateResource", json!({ "id": shared, "visibility": "ORGANIZATION" }), "").await;
    let query =
        "query($id: ID!) { organization(by: { id: $id }) { projects { nodes { name } } volumes { nodes { name } } } }";
    for (person, projects, volumes) in [
        (&team.owner, &["Owner's", "Ada's", "Grace's", "For all"][..], &["Owner's", "Ada's", "Grace's"][..]),
        (&admin, &["Owner's", "Ada's", "Grace's", "For all"], &["Owner's", "Ada's", "Grace's"]),
        (&ada, &["Ada's", "For all"], &["Ada's"]),
    ] {
        let seen = person.query(query, json!({ "id": team.id })).await["organization"].clone();
        let names = |list: &str| nodes(&seen[list]).iter().map(|node| text(&node["name"])).collect::<Vec<_>>();
        assert_eq!(names("projects"), projects, "{}", person.email);
        assert_eq!(names("volumes"), volumes, "{}", person.email);
    }
    app.finish().await;
}
