//! Many resources at once: transferred to another member, and deleted.

use std::collections::BTreeSet;

use futures_util::future::join;

use crate::platform_key::{key, made};
use crate::support::client::text;
use crate::support::{Client, TestApp, Value, json};

fn ids(ids: &[&String]) -> Value {
    ids.iter().map(|id| json!({ "id": id })).collect()
}

async fn owner_of(app: &TestApp, id: &str) -> String {
    let id = crate::support::people::uuid(id);
    app.database.texts(&format!("SELECT owner_id::text AS value FROM resources WHERE id = '{id}'")).await.remove(0)
}

fn is(client: &Client) -> String {
    crate::support::people::uuid(&client.user_id).to_string()
}

// R88: to a colleague, all or none, by whoever owns or administers them; what lies in them stays whose it was.
#[tokio::test]
async fn resources_are_transferred_to_a_colleague() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let max = app.join(&team, "max@example.org", "MEMBER").await;
    let eve = app.join(&team, "eve@example.org", "MEMBER").await;
    let platform = key(&app, &["READ", "RESOURCES_WRITE"]).await;
    let project = max.create(&team.id, "PROJECT", "Atlas").await;
    let volume = max.create_in(&project, "VOLUME", "Reads").await;
    let other = team.owner.create(&team.id, "VOLUME", "Other").await;
    let input = |resources: Value, to: Value| json!({ "organizationId": team.id, "resources": resources, "to": to });
    let to_eve = json!({ "id": eve.user_id });
    let directory = async |shown: &str| {
        let policy = json!({ "organizationId": team.id, "memberDirectory": shown });
        team.owner.ok("updateOrganizationPolicy", policy, "organization { id }").await;
    };
    directory("EVERYONE").await;

    for (client, resources, to, refusal) in [
        (&max, json!([]), to_eve.clone(), ("BLANK", "input.resources")),
        (&max, ids(&[&project, &project]), to_eve.clone(), ("INVALID", "input.resources.1")),
        (&max, ids(&vec![&project; 1001]), to_eve.clone(), ("TOO_MANY", "input.resources")),
        (&max, ids(&[&project, &other]), to_eve.clone(), ("NOT_FOUND", "input.resources.1.id")),
        (&eve, ids(&[&project]), to_eve.clone(), ("NOT_FOUND", "input.resources.0.id")),
        (&max, ids(&[&project]), json!({ "email": "eve@example.org" }), ("FORBIDDEN", "input.to")),
        (&team.owner, ids(&[&project]), json!({ "email": "nobody@example.org" }), ("NOT_FOUND", "input.to.email")),
        (&max, ids(&[&project]), json!({ "username": "nobody" }), ("NOT_FOUND", "input.to.username")),
    ] {
        assert_eq!(client.refused("transferResources", input(resources, to)).await.is(), refusal);
    }
    // Whoever administers something of somebody else's isn't its owner.
    let grant = json!({ "resourceId": project, "grantee": { "userId": eve.user_id }, "level": "ADMINISTER" });
    max.ok("grantAccess", grant, "grant { id }").await;
    let mine = input(ids(&[&project]), to_eve.clone());
    assert_eq!(eve.refused("transferResources", mine).await.is(), ("FORBIDDEN", "input.resources.0"));
    // A member whom the directory hides is nobody.
    directory("HIDDEN").await;
    let refused = max.refused("transferResources", input(ids(&[&project]), to_eve.clone())).await;
    assert_eq!(refused.is(), ("NOT_FOUND", "input.to.id"));
    directory("EVERYONE").await;
    assert_eq!(owner_of(&app, &project).await, is(&max));

    let selection = "resources { id owner { id } }";
    let transferred = max.ok("transferResources", input(ids(&[&project]), to_eve.clone()), selection).await;
    assert_eq!(transferred["resources"], json!([{ "id": project, "owner": { "id": eve.user_id } }]));
    assert_eq!((owner_of(&app, &project).await, owner_of(&app, &volume).await), (is(&eve), is(&max)));
    let to_owner = input(ids(&[&other, &project, &volume]), json!({ "email": "MAX@example.org" }));
    team.owner.ok("transferResources", to_owner, selection).await;
    let last = "SELECT string_agg(summary, '; ' ORDER BY summary) AS value FROM audit_events WHERE action = 'resource.transferred' \
         AND sequence > (SELECT max(sequence) - 2 FROM audit_events WHERE action = 'resource.transferred')";
    assert_eq!(app.database.texts(last).await[0].matches("transferred 1 resource(s)").count(), 2);
    platform
        .ok("transferResources", input(ids(&[&other]), json!({ "username": eve.username().await })), selection)
        .await;
    assert_eq!(owner_of(&app, &other).await, is(&eve));
    // R84: a suspended account is given nothing.
    app.staff().ok("suspendUser", json!({ "user": { "id": max.user_id } }), "").await;
    let refused = platform.refused("transferResources", input(ids(&[&other]), json!({ "id": max.user_id }))).await;
    assert_eq!(refused.is(), ("SUSPENDED", "input.to.id"));
    let (limited, _) = made(
        &app,
        json!({ "name": "limited", "scopes": ["RESOURCES_WRITE"], "organizationIds": [eve.found("Elsewhere").await] }),
    )
    .await;
    let refused = limited.refused("transferResources", input(ids(&[&other]), to_eve.clone())).await;
    assert_eq!(refused.is(), ("NOT_FOUND", "input.organizationId"));
    let refused = key(&app, &["READ"]).await.refused("transferResources", input(ids(&[&other]), to_eve)).await;
    assert!(refused.code == "FORBIDDEN" && refused.message.contains("RESOURCES_WRITE"), "{refused:?}");
    app.finish().await;
}

// R43, R88: nothing is transferred to somebody who is just leaving.
#[tokio::test]
async fn nothing_is_left_with_a_recipient_who_leaves() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for round in 0..5 {
        let max = app.join(&team, &format!("max{round}@example.org"), "MEMBER").await;
        let project = team.owner.create(&team.id, "PROJECT", &format!("Atlas {round}")).await;
        let input = json!({ "organizationId": team.id, "resources": ids(&[&project]), "to": { "id": max.user_id } });
        let giver = team.owner.twin();
        let (answer, departure) = join(giver.mutate("transferResources", input, ""), team.remove(&max)).await;
        answer.data();
        app.completed(&team, &departure).await;
        assert_eq!(owner_of(&app, &project).await, is(&team.owner));
    }
    app.finish().await;
}

// R88: deleted with what lies in them, or not at all; the same call again changes nothing.
#[tokio::test]
async fn resources_are_deleted_with_what_lies_in_them() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let max = app.join(&team, "max@example.org", "MEMBER").await;
    let guest = app.sign_up("guest@example.org").await;
    let platform = key(&app, &["READ", "RESOURCES_WRITE"]).await;
    let owner = json!({ "id": team.owner.user_id });
    let external = |kind: &str, id: &str| json!({ "external": { "kind": kind, "externalId": id } });
    let item = |kind: &str, id: &str, container: Value, owner: &Value| json!({ "kind": kind, "externalId": id, "name": id, "owner": owner, "container": container, "sizeBytes": "10" });
    let resources = json!([
        item("WORKSPACE", "w", Value::Null, &owner),
        item("PROJECT", "p", external("WORKSPACE", "w"), &json!({ "id": max.user_id })),
        item("VOLUME", "v", external("PROJECT", "p"), &owner),
        item("VOLUME", "u", Value::Null, &owner),
    ]);
    let input = json!({ "organization": { "id": team.id }, "resources": resources });
    let brought = platform.ok("upsertResources", input, "results { resource { id } }").await;
    let id = |at: usize| text(&brought["results"][at]["resource"]["id"]);
    // A collaborator by what is about to go, in a team.
    let grant = json!({ "resourceId": id(2), "grantee": { "userId": guest.user_id }, "level": "VIEW" });
    team.owner.ok("grantAccess", grant, "grant { id }").await;
    let lab = team.owner.ok("createTeam", json!({ "organizationId": team.id, "name": "Lab" }), "team { id }").await;
    let add = json!({ "teamId": lab["team"]["id"], "userIds": [guest.user_id] });
    team.owner.ok("addTeamMembers", add, "team { id }").await;

    let (w, p, v, u) =
        (external("WORKSPACE", "w"), external("PROJECT", "p"), external("VOLUME", "v"), external("VOLUME", "u"));
    let elsewhere = guest.found("Elsewhere").await;
    let (limited, _) =
        made(&app, json!({ "name": "limited", "scopes": ["RESOURCES_WRITE"], "organizationIds": [elsewhere] })).await;
    for (resources, refusal) in [
        (json!([]), ("BLANK", "input.resources")),
        (json!(vec![u.clone(); 1001]), ("TOO_MANY", "input.resources")),
        (json!([u, u]), ("INVALID", "input.resources.1")),
        (json!([u, p]), ("CONFLICT", "input.resources.1")),
        (json!([w, p]), ("CONFLICT", "input.resources.1")),
    ] {
        assert_eq!(platform.refused("deleteResources", json!({ "resources": resources })).await.is(), refusal);
    }
    let refused =
        key(&app, &["READ", "ORGANIZATIONS_WRITE"]).await.refused("deleteResources", json!({ "resources": [u] })).await;
    assert!(refused.code == "FORBIDDEN" && refused.message.contains("RESOURCES_WRITE"), "{refused:?}");
    assert_eq!(team.owner.refused("deleteResources", json!({ "resources": [u] })).await.code, "FORBIDDEN");
    let refused = limited.refused("deleteResources", json!({ "resources": [u], "recursive": true })).await;
    assert_eq!(refused.is(), ("NOT_FOUND", "input.resources.0.external"));
    let count = "SELECT count(*) AS value FROM resources";
    assert_eq!(app.database.number(count).await, 4);

    let gone = platform.ok("deleteResources", json!({ "resources": [p, v] }), "deleted").await;
    assert_eq!((&gone["deleted"], app.database.number(count).await), (&json!(2), 2));
    let input = json!({ "organization": { "id": team.id }, "resources": [
        item("PROJECT", "p", external("WORKSPACE", "w"), &owner), item("VOLUME", "v", external("PROJECT", "p"), &owner)] });
    platform.ok("upsertResources", input, "results { outcome }").await;
    let all = json!({ "resources": [w, u], "recursive": true });
    assert_eq!(platform.ok("deleteResources", all.clone(), "deleted").await["deleted"], 4);
    assert_eq!(platform.ok("deleteResources", all, "deleted").await["deleted"], 2);
    assert_eq!(app.database.number(count).await, 0);
    assert_eq!(app.database.number("SELECT used_bytes::bigint AS value FROM organization_storage").await, 0);
    assert_eq!(app.database.number("SELECT count(*) AS value FROM team_members").await, 0);
    let events = app
        .database
        .texts("SELECT DISTINCT jsonb_array_elements_text(metadata -> 'resourceIds') AS value FROM audit_events WHERE action = 'resource.deleted'")
        .await;
    let events: BTreeSet<String> = events.into_iter().collect();
    assert!(events.len() == 6 && (0..4).all(|at| events.contains(&id(at))), "{events:?}");
    let said = app.admin(&["verify"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    app.finish().await;
}
