//! Questions about access, as a platform's services ask them: what people may do, what they reach, who reaches
//! something, and why.

use crate::platform_key::{key, made};
use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::{Client, TestApp, Value, json};

const CHECK: &str = "query($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed level revision } }";
const EXPLAIN: &str = "query($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed level limitedBy revision \
     reasons { kind level resource { id } grant { id } team { id } organization { id } } } }";
const REACHABLE: &str = "query($user: UserRef!, $organization: ID, $kind: ResourceKind, $atLeast: AccessLevel, $first: Int, $after: String) { \
     reachable(user: $user, organizationId: $organization, kind: $kind, atLeast: $atLeast, first: $first, after: $after) { \
     edges { cursor level node { id name } } nodes { id } pageInfo { hasNextPage endCursor } } }";
const AUDIENCE: &str = "query($resource: ResourceRef!, $atLeast: AccessLevel, $first: Int, $after: String) { \
     audience(resource: $resource, atLeast: $atLeast, first: $first, after: $after) { \
     edges { cursor level node { id username } reasons { kind } } nodes { id } pageInfo { hasNextPage endCursor } } }";

fn check(user: &Client, resource: &str) -> Value {
    json!({ "user": { "id": user.user_id }, "resource": { "id": resource } })
}

/// The levels that somebody is told.
async fn levels(client: &Client, checks: &[Value]) -> Vec<String> {
    let told = client.query(CHECK, json!({ "checks": checks })).await;
    told["checkAccess"].as_array().unwrap().iter().map(|decision| text(&decision["level"])).collect()
}

/// What nobody may ask about, or isn't there.
fn none() -> Value {
    json!({ "allowed": false, "level": "NONE", "revision": null })
}

async fn service_key(owner: &Client, app: &TestApp, organization: &str) -> Client {
    let made =
        owner.ok("createServiceKey", json!({ "organizationId": organization, "name": "service" }), "secret").await;
    app.client(&text(&made["secret"]))
}

// R89: many people and many things at once, however they are named, in order; to whom it isn't said, or what isn't
// there, is NONE.
#[tokio::test]
async fn services_ask_what_many_people_may_do_with_many_things() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let vera = app.join(&team, "vera@example.org", "VIEWER").await;
    let eve = app.sign_up("eve@example.org").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    ada.grant(&project, json!({ "userId": vera.user_id }), "CONTRIBUTE").await;
    let volume = ada.create_in(&project, "VOLUME", "Raw data").await;
    let elsewhere = ada.create(&ada.found("Elsewhere").await, "PROJECT", "Heart atlas").await;
    app.database
        .sql(&format!(
            "UPDATE users SET external_id = 'p-1' WHERE id = '{}'; UPDATE resources SET external_id = 'atlas' WHERE id = '{}'",
            uuid(&ada.user_id),
            uuid(&project)
        ))
        .await;
    let nobody = "usr_01h455vb4pex5vsknk084sn02q";
    let atlas = json!({ "external": { "kind": "PROJECT", "externalId": "atlas" } });
    let users = [
        json!({ "id": ada.user_id }),
        json!({ "externalId": "p-1" }),
        json!({ "email": " Ada@Example.ORG" }),
        json!({ "username": ada.username().await.to_uppercase() }),
    ];
    let resources = [json!({ "id": project }), atlas.clone()];
    let mut checks: Vec<Value> = Vec::new();
    for user in &users {
        checks.extend(
            resources.iter().map(|resource| json!({ "user": user, "resource": resource, "atLeast": "ADMINISTER" })),
        );
    }
    let found = checks.len();
    for (user, resource) in [
        (json!({ "id": nobody }), atlas.clone()),
        (json!({ "externalId": "p-2" }), atlas.clone()),
        (json!({ "email": "no address" }), atlas.clone()),
        (json!({ "username": "!" }), atlas.clone()),
        (json!({ "externalId": "\u{0}" }), atlas.clone()),
        (users[0].clone(), json!({ "external": { "kind": "PROJECT", "externalId": "\u{0}" } })),
        (users[0].clone(), json!({ "external": { "kind": "VOLUME", "externalId": "atlas" } })),
        (users[0].clone(), json!({ "id": "res_01h455vb4pex5vsknk084sn02q" })),
    ] {
        checks.push(json!({ "user": user, "resource": resource }));
    }
    let services = key(&app, &["ACCESS_CHECK"]).await;
    let told = services.query(CHECK, json!({ "checks": checks })).await;
    let sequence = format!("SELECT sequence AS value FROM audit_heads WHERE organization_id = '{}'", uuid(&team.id));
    let revision = app.database.number(&sequence).await.to_string();
    let may = json!({ "allowed": true, "level": "ADMINISTER", "revision": revision });
    for (number, decision) in told["checkAccess"].as_array().unwrap().iter().enumerate() {
        assert_eq!(*decision, if number < found { may.clone() } else { none() }, "{}", checks[number]);
    }
    // Each level is compared with what was asked for; VIEW where nothing was.
    let at_least =
        |level: &str| json!({ "user": { "id": vera.user_id }, "resource": { "id": volume }, "atLeast": level });
    let told =
        services.query(CHECK, json!({ "checks": [at_least("VIEW"), at_least("UPLOAD"), check(&vera, &volume)] })).await;
    let allowed: Vec<&Value> = told["checkAccess"].as_array().unwrap().iter().map(|one| &one["allowed"]).collect();
    assert_eq!(
        (allowed, &told["checkAccess"][0]["level"]),
        (vec![&json!(true), &json!(false), &json!(true)], &json!("VIEW"))
    );

    // Whom they may ask about.
    let one =
        |organizations: Value| json!({ "name": "one", "scopes": ["ACCESS_CHECK"], "organizationIds": organizations });
    let (limited, _) = made(&app, one(json!([team.id]))).await;
    let all = [check(&ada, &project), check(&vera, &project), check(&eve, &project), check(&ada, &elsewhere)];
    let everybody = ["ADMINISTER", "VIEW", "NONE", "ADMINISTER"];
    assert_eq!(levels(&services, &all).await, everybody);
    assert_eq!(levels(&app.staff(), &all).await, everybody);
    assert_eq!(levels(&limited, &all).await, ["ADMINISTER", "VIEW", "NONE", "NONE"]);
    assert_eq!(
        levels(&service_key(&team.owner, &app, &team.id).await, &all).await,
        ["ADMINISTER", "VIEW", "NONE", "NONE"]
    );
    assert_eq!(levels(&team.owner, &all).await, ["NONE"; 4]);
    assert_eq!(levels(&ada, &all).await, ["ADMINISTER", "NONE", "NONE", "ADMINISTER"]);
    let own = ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "x" }), "secret").await;
    assert_eq!(levels(&app.client(&text(&own["secret"])), &all).await, ["ADMINISTER", "NONE", "NONE", "NONE"]);
    let acting = key(&app, &["ACT_FOR_USERS", "ACCESS_CHECK"]).await.on_behalf_of(&vera.user_id);
    assert_eq!(levels(&acting, &all).await, ["NONE", "VIEW", "NONE", "NONE"]);
    let blind = key(&app, &["READ"]).await.run(CHECK, json!({ "checks": all })).await;
    assert_eq!(blind.error_code(), "FORBIDDEN");
    assert!(blind.body["errors"][0]["message"].as_str().unwrap().contains("ACCESS_CHECK"), "{}", blind.body);
    assert_eq!(app.anonymous().run(CHECK, json!({ "checks": all })).await.error_code(), "UNAUTHENTICATED");
    // To people, what they can't reach isn't there; services are told that it is.
    let hidden = [check(&eve, &project), check(&eve, "res_01h455vb4pex5vsknk084sn02q")];
    assert_eq!(eve.query(CHECK, json!({ "checks": hidden })).await["checkAccess"], json!([none(), none()]));
    let told = services.query(CHECK, json!({ "checks": hidden })).await;
    assert_eq!((told["checkAccess"][0]["revision"].is_null(), &told["checkAccess"][1]), (false, &none()));

    // A key that may not look everybody up can't tell strangers and nobody apart.
    for client in [&limited, &service_key(&team.owner, &app, &team.id).await] {
        let named = |user: Value| json!({ "user": user, "resource": { "id": project } });
        let strangers = [
            json!({ "id": nobody }),
            json!({ "id": eve.user_id }),
            json!({ "email": eve.email }),
            json!({ "email": "nobody@example.org" }),
            json!({ "username": eve.username().await }),
            json!({ "username": "nobody-at-all" }),
        ];
        let told = client.query(CHECK, json!({ "checks": strangers.map(named) })).await;
        let told = told["checkAccess"].as_array().unwrap();
        assert!(told.iter().all(|one| *one == told[0] && one["level"] == "NONE"), "{told:?}");
    }

    // As many as a thousand, each time; and what makes no sense.
    let long = "x".repeat(255);
    let longest = json!({ "user": { "externalId": long }, "resource": { "external": { "kind": "SOURCE_GROUP", "externalId": long } }, "atLeast": "VIEW" });
    let mut many = vec![longest; 999];
    many.push(check(&ada, &project));
    let told = levels(&services, &many).await;
    assert_eq!((told.len(), told[0].as_str(), told[999].as_str()), (1_000, "NONE", "ADMINISTER"));
    many.push(check(&ada, &project));
    for wrong in [
        json!([]),
        json!(many),
        json!([{ "user": { "id": "ada" }, "resource": { "id": project } }]),
        json!([{ "user": { "id": team.id }, "resource": { "id": project } }]),
        json!([{ "user": {}, "resource": { "id": project } }]),
        json!([{ "user": { "id": ada.user_id, "email": "ada@example.org" }, "resource": { "id": project } }]),
        json!([{ "user": { "id": ada.user_id }, "resource": { "id": project }, "atLeast": "NONE" }]),
    ] {
        assert_eq!(services.run(CHECK, json!({ "checks": wrong })).await.error_code(), "BAD_REQUEST", "{wrong}");
    }

    // What a deleted organization holds, nobody reaches.
    team.owner.ok("deleteOrganization", json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" }), "").await;
    let told = services.query(CHECK, json!({ "checks": [check(&ada, &project)] })).await;
    assert_eq!(told["checkAccess"], json!([none()]));
    app.finish().await;
}

/// Why somebody has their level: the level, the reasons with their levels, and the limits.
async fn why(client: &Client, user: &Client, resource: &str) -> (String, Vec<(String, String)>, Vec<String>) {
    let told = client.query(EXPLAIN, json!({ "checks": [check(user, resource)] })).await;
    let told = &told["checkAccess"][0];
    let reasons = told["reasons"].as_array().unwrap().iter();
    let reasons = reasons.map(|reason| (text(&reason["kind"]), text(&reason["level"]))).collect();
    let limits = told["limitedBy"].as_array().unwrap().iter().map(text).collect();
    (text(&told["level"]), reasons, limits)
}

fn told(level: &str, reasons: &[(&str, &str)], limits: &[&str]) -> (String, Vec<(String, String)>, Vec<String>) {
    let reasons = reasons.iter().map(|(kind, level)| ((*kind).to_owned(), (*level).to_owned())).collect();
    (level.to_owned(), reasons, limits.iter().map(|limit| (*limit).to_owned()).collect())
}

// R2, R14, R33, R37, R57, R58, R61, R66, R73, R89, D6: why somebody has the level that they have, and what keeps it
// lower than the reasons would give.
#[tokio::test]
async fn services_are_told_why() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let bob = app.join(&team, "bob@example.org", "MEMBER").await;
    let vera = app.join(&team, "vera@example.org", "VIEWER").await;
    let eve = app.sign_up("eve@example.org").await;
    let services = key(&app, &["ACCESS_CHECK", "READ"]).await;
    let workspace = ada.create(&team.id, "WORKSPACE", "Bench").await;
    let project = ada.create_in(&workspace, "PROJECT", "Liver atlas").await;
    let volume = ada.create_in(&project, "VOLUME", "Raw data").await;
    let group = team.group("Lab", &[&bob, &vera]).await;
    let by_team = ada.grant(&project, json!({ "teamId": group }), "CONTRIBUTE").await;
    let by_all = ada.grant(&workspace, json!({ "organizationId": team.id }), "ADMINISTER").await;
    ada.grant(&volume, json!({ "userId": eve.user_id }), "UPLOAD").await;
    let permissions = json!({ "memberId": team.member_id(&bob).await, "permissions": { "sharedProjects": "VIEW" } });
    team.owner.ok("updateMemberPermissions", permissions, "").await;

    // Each way with what it leads through.
    assert_eq!(why(&services, &team.owner, &volume).await.1[0].0, "LEADER");
    let told_bob = services.query(EXPLAIN, json!({ "checks": [check(&bob, &volume)] })).await;
    let decision = &told_bob["checkAccess"][0];
    assert_eq!((&decision["level"], &decision["limitedBy"]), (&json!("CONTRIBUTE"), &json!(["SHARED_PROJECTS"])));
    let reason = |kind: &str, level: &str, through: &str, grant: &str, team: Value, organization: Value| json!({ "kind": kind, "level": level, "resource": { "id": through }, "grant": { "id": grant }, "team": team, "organization": organization });
    let expected = json!([
        reason("ORGANIZATION_GRANT", "ADMINISTER", &workspace, &by_all, json!(null), json!({ "id": team.id })),
        reason("TEAM_GRANT", "CONTRIBUTE", &project, &by_team, json!({ "id": group }), json!(null)),
    ]);
    assert_eq!(decision["reasons"], expected);
    // To somebody else, objects that they don't see are null: staff see no resources and no grants.
    let seen = app.staff().query(EXPLAIN, json!({ "checks": [check(&bob, &volume)] })).await;
    let seen = &seen["checkAccess"][0]["reasons"][0];
    assert!(
        seen["resource"].is_null() && seen["grant"].is_null() && seen["organization"]["id"] == team.id.as_str(),
        "{seen}"
    );

    assert_eq!(
        why(&services, &ada, &volume).await,
        told(
            "ADMINISTER",
            &[
                ("OWNER", "ADMINISTER"),
                ("OWNER", "ADMINISTER"),
                ("OWNER", "ADMINISTER"),
                ("ORGANIZATION_GRANT", "ADMINISTER")
            ],
            &[]
        )
    );
    let limited = why(&services, &vera, &project).await;
    let expected = [("ORGANIZATION_GRANT", "ADMINISTER"), ("TEAM_GRANT", "CONTRIBUTE")];
    assert_eq!(limited, told("VIEW", &expected, &["VIEWER_ROLE", "SHARED_PROJECTS"]));
    assert_eq!(why(&services, &eve, &volume).await, told("UPLOAD", &[("GRANT", "UPLOAD")], &[]));
    // People are told the same of themselves, and nothing of others.
    assert_eq!(why(&bob, &bob, &volume).await, why(&services, &bob, &volume).await);
    assert_eq!(why(&bob, &ada, &volume).await, told("NONE", &[], &[]));

    // An app, visible to all and shared with the organization; a collection that gathers.
    let tool = ada.create(&team.id, "APP", "Aligner").await;
    ada.grant(&tool, json!({ "organizationId": team.id }), "CONTRIBUTE").await;
    let permissions = json!({ "memberId": team.member_id(&bob).await, "permissions": { "sharedApps": false } });
    team.owner.ok("updateMemberPermissions", permissions, "").await;
    assert_eq!(
        why(&services, &bob, &tool).await,
        told("NONE", &[("ORGANIZATION_GRANT", "CONTRIBUTE")], &["SHARED_APPS"])
    );
    ada.ok("updateResource", json!({ "id": tool, "visibility": "ORGANIZATION" }), "").await;
    let expected = [("ORGANIZATION_GRANT", "CONTRIBUTE"), ("VISIBILITY", "VIEW")];
    assert_eq!(why(&services, &bob, &tool).await, told("VIEW", &expected, &["SHARED_APPS"]));
    let document = ada.create(&team.id, "DOCUMENT", "Notes").await;
    let collection = ada.create(&team.id, "COLLECTION", "Best of").await;
    ada.grant(&collection, json!({ "userId": bob.user_id }), "ADMINISTER").await;
    ada.ok("addToCollection", json!({ "collectionId": collection, "resourceIds": [document] }), "").await;
    assert_eq!(why(&services, &bob, &document).await, told("VIEW", &[("COLLECTION", "VIEW")], &[]));

    // What the policy, a departure and a suspension end is named, to services.
    let policy = |sharing: &str| json!({ "organizationId": team.id, "externalSharing": sharing });
    team.owner.ok("updateOrganizationPolicy", policy("MEMBERS_ONLY"), "").await;
    assert_eq!(why(&services, &eve, &volume).await, told("NONE", &[("GRANT", "UPLOAD")], &["EXTERNAL_SHARING"]));
    assert_eq!(why(&eve, &eve, &volume).await, told("NONE", &[], &[]));
    team.owner.ok("updateOrganizationPolicy", policy("ALLOWED"), "").await;
    let suspend = |at: &str| format!("UPDATE users SET suspended_at = {at} WHERE id = '{}'", uuid(&eve.user_id));
    app.database.sql(&suspend("rollcall_now()")).await;
    assert_eq!(why(&services, &eve, &volume).await, told("NONE", &[("GRANT", "UPLOAD")], &["SUSPENDED"]));
    app.database.sql(&suspend("NULL")).await;
    let sample = bob.create_in(&project, "SAMPLE", "Biopsy").await;
    ada.grant(&project, json!({ "userId": bob.user_id }), "VIEW").await;
    let departure = team.remove(&bob).await;
    app.completed(&team, &departure).await;
    assert_eq!(why(&services, &bob, &project).await, told("NONE", &[("GRANT", "VIEW")], &["SLEEPING"]));
    ada.grant(&sample, json!({ "userId": bob.user_id }), "VIEW").await;
    assert_eq!(why(&services, &bob, &sample).await.1[0], ("OWN_SAMPLE".to_owned(), "ADMINISTER".to_owned()));

    // While a project moves, everybody reads; whoever receives it does so already.
    app.database
        .sql(&format!(
            "UPDATE resources SET moving = true, owner_id = '{}' WHERE id = '{}'",
            uuid(&eve.user_id),
            uuid(&project)
        ))
        .await;
    let moving = why(&services, &team.owner, &project).await;
    assert_eq!((moving.0.as_str(), moving.2), ("VIEW", vec!["MOVING".to_owned()]));
    assert_eq!(why(&services, &eve, &project).await, told("VIEW", &[("TRANSFER", "VIEW")], &[]));
    app.database
        .sql(&format!(
            "UPDATE resources SET moving = false, owner_id = '{}' WHERE id = '{}'",
            uuid(&ada.user_id),
            uuid(&project)
        ))
        .await;
    app.finish().await;
}

/// Everything that a list of what somebody reaches gives, page by page: ids and levels.
async fn reached(client: &Client, user: &Client, filter: Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut variables = json!({ "user": { "id": user.user_id }, "first": 2 });
    variables.as_object_mut().unwrap().extend(filter.as_object().unwrap().clone());
    loop {
        let page = client.query(REACHABLE, variables.clone()).await["reachable"].clone();
        let edges = page["edges"].as_array().unwrap();
        found.extend(edges.iter().map(|edge| (text(&edge["node"]["id"]), text(&edge["level"]))));
        assert_eq!(edges.len(), nodes(&page).len());
        if page["pageInfo"]["hasNextPage"] != true {
            return found;
        }
        variables["after"] = page["pageInfo"]["endCursor"].clone();
    }
}

// R89: what somebody reaches, and at which level, to whoever may ask.
#[tokio::test]
async fn services_ask_what_somebody_reaches() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let bob = app.join(&team, "bob@example.org", "MEMBER").await;
    let own = ada.create(&team.id, "VOLUME", "Mine").await;
    let shared = bob.create(&team.id, "PROJECT", "Shared").await;
    bob.grant(&shared, json!({ "userId": ada.user_id }), "UPLOAD").await;
    let inside = bob.create_in(&shared, "DOCUMENT", "Inside").await;
    let visible = bob.create(&team.id, "DOCUMENT", "Visible").await;
    bob.ok("updateResource", json!({ "id": visible, "visibility": "ORGANIZATION" }), "").await;
    bob.create(&team.id, "DOCUMENT", "Private").await;
    let other = ada.found("Elsewhere").await;
    let elsewhere = ada.create(&other, "PROJECT", "Heart atlas").await;
    let all = |some: &[(&String, &str)]| {
        some.iter().map(|(id, level)| ((*id).clone(), (*level).to_owned())).collect::<Vec<_>>()
    };
    let here = [(&own, "ADMINISTER"), (&shared, "UPLOAD"), (&inside, "UPLOAD"), (&visible, "VIEW")];
    let everywhere = [&here[..], &[(&elsewhere, "ADMINISTER")]].concat();
    let services = key(&app, &["ACCESS_CHECK", "READ"]).await;
    assert_eq!(reached(&services, &ada, json!({})).await, all(&everywhere));
    assert_eq!(reached(&app.staff(), &ada, json!({})).await, all(&everywhere));
    assert_eq!(reached(&ada, &ada, json!({})).await, all(&everywhere));
    assert_eq!(reached(&services, &ada, json!({ "organization": team.id })).await, all(&here));
    assert_eq!(reached(&services, &ada, json!({ "atLeast": "UPLOAD", "kind": "DOCUMENT" })).await, all(&here[2..3]));
    let most = [(&own, "ADMINISTER"), (&elsewhere, "ADMINISTER")];
    assert_eq!(reached(&services, &ada, json!({ "atLeast": "CONTRIBUTE" })).await, all(&most));
    // Within what a key reaches; about nobody else to people.
    let service = service_key(&team.owner, &app, &team.id).await;
    let one = json!({ "name": "one", "scopes": ["ACCESS_CHECK"], "organizationIds": [team.id] });
    for limited in [&service, &made(&app, one).await.0] {
        assert_eq!(reached(limited, &ada, json!({})).await, all(&here));
        assert_eq!(reached(limited, &ada, json!({ "organization": other })).await, []);
    }
    for nobody in [&bob, &team.owner] {
        assert_eq!(reached(nobody, &ada, json!({})).await, []);
    }
    let variables = json!({ "user": { "email": "nobody@example.org" } });
    assert_eq!(services.query(REACHABLE, variables).await["reachable"]["edges"], json!([]));
    app.database
        .sql(&format!("UPDATE users SET suspended_at = rollcall_now() WHERE id = '{}'", uuid(&ada.user_id)))
        .await;
    assert_eq!(reached(&services, &ada, json!({})).await, []);
    app.database.sql("UPDATE users SET suspended_at = NULL").await;
    let variables = json!({ "user": { "id": ada.user_id } });
    assert_eq!(key(&app, &["READ"]).await.run(REACHABLE, variables.clone()).await.error_code(), "FORBIDDEN");
    assert_eq!(app.anonymous().run(REACHABLE, variables).await.error_code(), "UNAUTHENTICATED");
    for wrong in [
        json!({ "first": 101 }),
        json!({ "after": "x" }),
        json!({ "atLeast": "NONE" }),
        json!({ "user": { "id": "x" } }),
    ] {
        let mut variables = json!({ "user": { "id": ada.user_id } });
        variables.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(services.run(REACHABLE, variables).await.error_code(), "BAD_REQUEST", "{wrong}");
    }
    app.finish().await;
}

/// Everybody whom a list of who reaches a resource gives, page by page: id, level and the kinds of reasons.
async fn audience(client: &Client, resource: &str, at_least: &str) -> Option<Vec<(String, String, Vec<String>)>> {
    let mut found = Vec::new();
    let mut variables = json!({ "resource": { "id": resource }, "atLeast": at_least, "first": 2 });
    loop {
        let page = client.query(AUDIENCE, variables.clone()).await["audience"].clone();
        if page.is_null() {
            return None;
        }
        let edges = page["edges"].as_array().unwrap();
        for edge in edges {
            let kinds = edge["reasons"].as_array().unwrap().iter().map(|reason| text(&reason["kind"])).collect();
            found.push((text(&edge["node"]["id"]), text(&edge["level"]), kinds));
        }
        assert_eq!(edges.len(), nodes(&page).len());
        if page["pageInfo"]["hasNextPage"] != true {
            return Some(found);
        }
        variables["after"] = page["pageInfo"]["endCursor"].clone();
    }
}

/// Makes somebody a member of an organization by a code.
async fn let_in(owner: &Client, organization: &str, person: &Client) {
    let made =
        owner.ok("createJoinCodes", json!({ "organizationId": organization, "count": 1 }), "codes { code }").await;
    person.ok("redeemJoinCode", json!({ "code": made["codes"][0]["code"] }), "").await;
}

fn ids(audience: Option<Vec<(String, String, Vec<String>)>>) -> Option<Vec<String>> {
    Some(audience?.into_iter().map(|(id, ..)| id).collect())
}

// R6, R7, R21, R67, R77, R89, D9: who reaches a resource, to services and to whoever administers it; people learn no
// more of each other than elsewhere.
#[tokio::test]
async fn services_and_administrators_ask_who_reaches_a_resource() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let bob = app.join(&team, "bob@example.org", "MEMBER").await;
    let vera = app.join(&team, "vera@example.org", "VIEWER").await;
    let eve = app.sign_up("eve@example.org").await;
    let zoe = app.sign_up("zoe@example.org").await;
    let other = zoe.found("Partners").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    ada.grant(&project, json!({ "username": eve.username().await }), "CONTRIBUTE").await;
    ada.grant(&project, json!({ "teamId": team.group("Lab", &[&bob, &vera]).await }), "UPLOAD").await;
    ada.grant(&project, json!({ "organizationId": other }), "VIEW").await;
    let volume = ada.create_in(&project, "VOLUME", "Raw data").await;
    let some = |people: &[&Client]| {
        let mut ids: Vec<String> = people.iter().map(|person| person.user_id.clone()).collect();
        ids.sort_unstable();
        Some(ids)
    };
    let everybody = some(&[&team.owner, &ada, &bob, &vera, &eve, &zoe]);
    let services = key(&app, &["ACCESS_CHECK", "READ"]).await;
    let found = audience(&services, &volume, "VIEW").await;
    assert_eq!(ids(found.clone()), everybody);
    let of = |person: &Client| found.as_ref().unwrap().iter().find(|(id, ..)| *id == person.user_id).unwrap().clone();
    assert_eq!((of(&bob).1.as_str(), of(&bob).2), ("UPLOAD", vec!["TEAM_GRANT".to_owned()]));
    assert_eq!(
        (of(&vera).1.as_str(), of(&eve).1.as_str(), of(&zoe).2),
        ("VIEW", "CONTRIBUTE", vec!["ORGANIZATION_GRANT".to_owned()])
    );
    assert_eq!(of(&team.owner).2, ["LEADER"]);
    assert_eq!(ids(audience(&services, &volume, "UPLOAD").await), some(&[&team.owner, &ada, &bob, &eve]));
    assert_eq!(ids(audience(&services, &volume, "ADMINISTER").await), some(&[&team.owner, &ada]));
    assert_eq!(ids(audience(&app.staff(), &volume, "VIEW").await), everybody);
    // A key that reads no accounts gets the ids that it may name, and nothing else.
    let blind = key(&app, &["ACCESS_CHECK"]).await;
    assert_eq!(ids(audience(&blind, &volume, "VIEW").await), everybody);
    let named = blind.query(AUDIENCE, json!({ "resource": { "id": volume }, "first": 1 })).await;
    assert_eq!(named["audience"]["edges"][0]["node"]["id"], named["audience"]["edges"][0]["node"]["username"]);
    // A service key knows its organization's members; others it can't look up.
    let service = service_key(&team.owner, &app, &team.id).await;
    let seen = ids(audience(&service, &volume, "VIEW").await).unwrap();
    let members = some(&[&team.owner, &ada, &bob, &vera]).unwrap();
    assert_eq!((&seen[..4], seen.len(), seen[4] == eve.user_id), (&members[..], 5, false));

    // The owner sees collaborators as they were named, and nobody of another organization.
    let seen = ids(audience(&team.owner, &volume, "VIEW").await).unwrap();
    assert_eq!((&seen[..4], seen.len(), seen[4] == eve.user_id), (&members[..], 5, false));
    let page = team.owner.query(AUDIENCE, json!({ "resource": { "id": volume } })).await;
    let last = &page["audience"]["edges"][4];
    assert_eq!(
        (last["node"]["username"].as_str(), last["level"].as_str()),
        (Some(eve.username().await.as_str()), Some("CONTRIBUTE"))
    );
    assert!(!page.to_string().contains(&eve.user_id) && !page.to_string().contains(&zoe.user_id), "{page}");
    // No cursor tells whose account it is.
    let cursor = text(&last["cursor"]);
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, cursor).unwrap();
    assert!(!String::from_utf8(decoded).unwrap().contains(&uuid(&eve.user_id).to_string()));
    // A member who administers it sees whom the directory shows, and whom they named.
    assert_eq!(ids(audience(&ada, &volume, "VIEW").await).unwrap()[..2], some(&[&team.owner, &ada]).unwrap());
    let policy = |directory: &str| json!({ "organizationId": team.id, "memberDirectory": directory });
    team.owner.ok("updateOrganizationPolicy", policy("HIDDEN"), "").await;
    let seen = ids(audience(&ada, &volume, "VIEW").await).unwrap();
    assert_eq!((seen.len(), &seen[0], seen[1] == eve.user_id), (2, &ada.user_id, false));
    team.owner.ok("updateOrganizationPolicy", policy("EVERYONE"), "").await;
    assert_eq!(ids(audience(&ada, &volume, "VIEW").await).unwrap()[..4], members);
    // Somebody outside who administers it sees themselves and how many others it is shared with.
    ada.grant(&project, json!({ "userId": zoe.user_id }), "ADMINISTER").await;
    let seen = ids(audience(&zoe, &volume, "VIEW").await).unwrap();
    assert_eq!((&seen[0], seen.len(), seen[1] == eve.user_id), (&zoe.user_id, 2, false));
    // A member who reaches it by another organization is told of as well, and so is who reaches a collection of it.
    let moth = app.join(&team, "moth@example.org", "MEMBER").await;
    let_in(&zoe, &other, &moth).await;
    let (limited, _) =
        made(&app, json!({ "name": "two", "scopes": ["ACCESS_CHECK", "READ"], "organizationIds": [team.id] })).await;
    for client in [&limited, &service, &team.owner, &services] {
        let seen = ids(audience(client, &volume, "VIEW").await).unwrap();
        assert!(seen.contains(&moth.user_id), "{seen:?}");
    }
    let document = ada.create(&team.id, "DOCUMENT", "Notes").await;
    let collection = ada.create(&team.id, "COLLECTION", "Best of").await;
    ada.ok("addToCollection", json!({ "collectionId": collection, "resourceIds": [document] }), "").await;
    let third = team.owner.found("Third").await;
    let_in(&team.owner, &third, &eve).await;
    ada.grant(&collection, json!({ "organizationId": third }), "VIEW").await;
    let seen = ids(audience(&team.owner, &document, "VIEW").await).unwrap();
    assert_eq!(Some(seen), some(&[&team.owner, &ada, &eve]));

    // Nobody else is told, nor that it exists.
    for person in [&bob, &vera] {
        assert_eq!(audience(person, &volume, "VIEW").await, None);
    }
    let (elsewhere, _) =
        made(&app, json!({ "name": "one", "scopes": ["ACCESS_CHECK"], "organizationIds": [other] })).await;
    assert_eq!(audience(&elsewhere, &volume, "VIEW").await, None);
    assert_eq!(audience(&service_key(&zoe, &app, &other).await, &volume, "VIEW").await, None);
    assert_eq!(audience(&services, "res_01h455vb4pex5vsknk084sn02q", "VIEW").await, None);
    let variables = json!({ "resource": { "id": volume } });
    assert_eq!(key(&app, &["READ"]).await.run(AUDIENCE, variables.clone()).await.error_code(), "FORBIDDEN");
    assert_eq!(app.anonymous().run(AUDIENCE, variables).await.error_code(), "UNAUTHENTICATED");
    for wrong in [json!({ "first": -1 }), json!({ "after": "x" }), json!({ "atLeast": "NONE" })] {
        let mut variables = json!({ "resource": { "id": volume } });
        variables.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(services.run(AUDIENCE, variables).await.error_code(), "BAD_REQUEST", "{wrong}");
    }
    app.finish().await;
}

// R7, R85, R89, D9: a membership by whatever names the person and the organization, to whoever may see it.
#[tokio::test]
async fn services_look_memberships_up() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let bob = app.join(&team, "bob@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let other = eve.found("Other").await;
    app.database
        .sql(&format!(
            "UPDATE users SET external_id = 'p-1' WHERE id = '{}'; UPDATE organizations SET external_id = 'acme' WHERE id = '{}'",
            uuid(&ada.user_id),
            uuid(&team.id)
        ))
        .await;
    let query = "query($user: UserRef!, $organization: OrganizationBy!) { membership(user: $user, organization: $organization) { id role status } }";
    let ask = async |client: &Client, user: Value, organization: Value| -> Option<String> {
        let found = client.query(query, json!({ "user": user, "organization": organization })).await;
        found["membership"]["status"].as_str().map(str::to_owned)
    };
    let users = [
        json!({ "id": ada.user_id }),
        json!({ "externalId": "p-1" }),
        json!({ "email": "ada@example.org" }),
        json!({ "username": ada.username().await }),
    ];
    let organizations = [json!({ "id": team.id }), json!({ "slug": "acme-genomics" }), json!({ "externalId": "acme" })];
    let limits = |organization: &str| json!({ "name": "one", "scopes": ["READ"], "organizationIds": [organization] });
    let [reader, limited] = [key(&app, &["READ"]).await, made(&app, limits(&team.id)).await.0];
    let service = service_key(&team.owner, &app, &team.id).await;
    for client in [&app.staff(), &reader, &limited, &service] {
        for user in &users {
            for organization in &organizations {
                assert_eq!(
                    ask(client, user.clone(), organization.clone()).await.as_deref(),
                    Some("ACTIVE"),
                    "{user} {organization}"
                );
            }
        }
        assert_eq!(ask(client, json!({ "id": eve.user_id }), json!({ "id": team.id })).await, None);
    }
    let here = || json!({ "id": team.id });
    let (foreign, foreign_service) = (
        made(&app, json!({ "name": "x", "scopes": ["READ"], "organizationIds": [other] })).await.0,
        service_key(&eve, &app, &other).await,
    );
    for client in [&foreign, &foreign_service, &key(&app, &["MEMBERS_WRITE", "ACCESS_CHECK"]).await, &eve] {
        for organization in &organizations {
            assert_eq!(ask(client, users[0].clone(), organization.clone()).await, None);
        }
    }
    // Owner and admins name people by their address too, others as they see them, and everybody themselves.
    let asked_by = async |client: &Client| {
        let mut seen = Vec::new();
        for user in &users {
            seen.push(ask(client, user.clone(), here()).await.is_some());
        }
        seen
    };
    assert_eq!(asked_by(&team.owner).await, [true, false, true, true]);
    assert_eq!(asked_by(&ada).await, [true; 4]);
    assert_eq!(asked_by(&bob).await, [false; 4]);
    team.owner
        .ok("updateOrganizationPolicy", json!({ "organizationId": team.id, "memberDirectory": "EVERYONE" }), "")
        .await;
    assert_eq!(asked_by(&bob).await, [true, false, false, true]);
    // Whatever its status.
    let departure = team.remove(&ada).await;
    app.completed(&team, &departure).await;
    for client in [&app.staff(), &reader, &service, &team.owner] {
        assert_eq!(ask(client, users[0].clone(), here()).await.as_deref(), Some("REMOVED"));
    }
    for client in [&ada, &bob] {
        assert_eq!(ask(client, users[0].clone(), here()).await, None);
    }
    let variables = json!({ "user": users[0], "organization": here() });
    assert_eq!(app.anonymous().run(query, variables).await.error_code(), "UNAUTHENTICATED");
    app.finish().await;
}
