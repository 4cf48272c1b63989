//! Service keys: an organization's own programs, which ask what people may do with its resources.

use crate::support::client::{nodes, text};
use crate::support::{Client, TestApp, Value, json};

const ACCESS: &str = "query($user: ID!, $ids: [ID!]!) { access(userId: $user, resourceIds: $ids) }";

async fn asked(client: &Client, user: &Client, ids: &[&String]) -> Value {
    client.query(ACCESS, json!({ "user": user.user_id, "ids": ids })).await["access"].clone()
}

// R32, R42, R62: a service key belongs to the organization: it outlives its maker's departure, which names it, and
// people's keys don't.
#[tokio::test]
async fn a_service_key_asks_for_everyone_and_outlives_its_maker() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let input = json!({ "organizationId": team.id, "name": "pipeline" });
    assert_eq!(ada.refused("createServiceKey", input.clone()).await.is(), ("FORBIDDEN", "input.organizationId"));
    let selection = "secret apiKey { id name service createdBy { id } organization { id } }";
    let made = admin.ok("createServiceKey", input.clone(), selection).await;
    assert_eq!((&made["apiKey"]["service"], &made["apiKey"]["createdBy"]["id"]), (&json!(true), &json!(admin.user_id)));
    let service = app.client(&text(&made["secret"]));
    let own = admin.ok("createApiKey", input, "secret").await;
    let own = app.client(&text(&own["secret"]));
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let elsewhere = ada.create(&ada.found("Elsewhere").await, "PROJECT", "Heart atlas").await;
    let ids = [&project, &elsewhere, &project];
    // In the order asked; what another organization holds is none of its business.
    assert_eq!(asked(&service, &ada, &ids).await, json!(["ADMINISTER", "NONE", "ADMINISTER"]));
    assert_eq!(asked(&service, &admin, &ids).await, json!(["ADMINISTER", "NONE", "ADMINISTER"]));
    assert_eq!(asked(&app.staff(), &ada, &ids).await, json!(["ADMINISTER", "ADMINISTER", "ADMINISTER"]));
    // Others about themselves.
    assert_eq!(asked(&ada, &ada, &ids).await, json!(["ADMINISTER", "ADMINISTER", "ADMINISTER"]));
    assert_eq!(asked(&own, &admin, &ids).await, json!(["ADMINISTER", "NONE", "ADMINISTER"]));
    assert_eq!(asked(&admin, &ada, &ids).await, json!(["NONE", "NONE", "NONE"]));
    assert_eq!(asked(&own, &ada, &ids).await, json!(["NONE", "NONE", "NONE"]));
    let variables = json!({ "user": ada.user_id, "ids": ids });
    assert_eq!(app.anonymous().run(ACCESS, variables).await.error_code(), "UNAUTHENTICATED");
    for ids in [Vec::new(), vec![&project; 101]] {
        let variables = json!({ "user": ada.user_id, "ids": ids });
        assert_eq!(service.run(ACCESS, variables).await.error_code(), "BAD_REQUEST");
    }
    // It is nobody, and reaches nothing else.
    let query = "query($id: ID!, $project: ID!) { viewer { email } organization(by: { id: $id }) { id } node(id: $project) { id } }";
    let seen = service.query(query, json!({ "id": team.id, "project": project })).await;
    assert_eq!(seen, json!({ "viewer": null, "organization": null, "node": null }));
    let error =
        service.refused("createResource", json!({ "organizationId": team.id, "kind": "VOLUME", "name": "x" })).await;
    assert_eq!(error.code, "FORBIDDEN");
    assert_eq!(service.refused("deleteResource", json!({ "id": project })).await.is(), ("NOT_FOUND", "input.id"));

    // The departure names it; people's keys end.
    let member = team.member_id(&admin).await;
    let query = "query($id: ID!, $member: ID!) { organization(by: { id: $id }) { departurePlan(memberId: $member, kind: REMOVE) { advice apiKeys { service } } } }";
    let plan = team.owner.query(query, json!({ "id": team.id, "member": member })).await;
    let plan = &plan["organization"]["departurePlan"];
    assert!(text(&plan["advice"][0]).contains(&text(&made["apiKey"]["id"])), "{plan}");
    assert_eq!(plan["apiKeys"], json!([{ "service": false }]));
    let departure = team.remove(&admin).await;
    app.completed(&team, &departure).await;
    let mail = app.mail_about("owner@example.org", "was removed from Acme Genomics").await;
    assert!(mail.text.contains(&text(&made["apiKey"]["id"])), "{}", mail.text);
    assert_eq!(own.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    assert_eq!(asked(&service, &ada, &[&project]).await, json!(["ADMINISTER"]));
    assert_eq!(asked(&service, &admin, &[&project]).await, json!(["NONE"]));

    // Those who manage them see and revoke it.
    let query = "query($id: ID!) { organization(by: { id: $id }) { serviceKeys { totalCount nodes { id service lastUsedAt } } } viewer { apiKeys { totalCount } } }";
    let seen = team.owner.query(query, json!({ "id": team.id })).await;
    let keys = &seen["organization"]["serviceKeys"];
    assert_eq!((&keys["totalCount"], &nodes(keys)[0]["id"]), (&json!(1), &made["apiKey"]["id"]));
    assert!(nodes(keys)[0]["lastUsedAt"].is_string());
    assert_eq!(seen["viewer"]["apiKeys"]["totalCount"], 0);
    assert!(ada.query(query, json!({ "id": team.id })).await["organization"]["serviceKeys"].is_null());
    let revoke = json!({ "id": made["apiKey"]["id"] });
    assert_eq!(ada.refused("revokeApiKey", revoke.clone()).await.is(), ("NOT_FOUND", "input.id"));
    team.owner.ok("revokeApiKey", revoke.clone(), "revokedApiKeyId").await;
    assert_eq!(team.owner.refused("revokeApiKey", revoke).await.is(), ("NOT_FOUND", "input.id"));
    let variables = json!({ "user": ada.user_id, "ids": [project] });
    assert_eq!(service.run(ACCESS, variables).await.error_code(), "UNAUTHENTICATED");
    app.finish().await;
}

// R48: with a deleted organization its service keys pause.
#[tokio::test]
async fn service_keys_pause_with_their_organization() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let made =
        team.owner.ok("createServiceKey", json!({ "organizationId": team.id, "name": "pipeline" }), "secret").await;
    let service = app.client(&text(&made["secret"]));
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    team.owner.ok("deleteOrganization", json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" }), "").await;
    let variables = json!({ "user": team.owner.user_id, "ids": [project] });
    assert_eq!(service.run(ACCESS, variables.clone()).await.error_code(), "UNAUTHENTICATED");
    assert_eq!(asked(&app.staff(), &team.owner, &[&project]).await, json!(["NONE"]));
    app.staff().ok("restoreOrganization", json!({ "id": team.id }), "").await;
    assert_eq!(asked(&service, &team.owner, &[&project]).await, json!(["ADMINISTER"]));
    app.finish().await;
}
