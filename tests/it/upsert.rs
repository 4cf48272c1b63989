//! A platform's accounts and resources, brought in many at once and found by the platform's own ids.

use crate::platform_key::key;
use crate::support::{Client, TestApp, Value, json};

/// What became of each item.
pub fn outcomes(payload: &Value) -> Vec<&str> {
    payload["results"].as_array().unwrap().iter().map(|result| result["outcome"].as_str().unwrap()).collect()
}

const USERS: &str = "results { outcome user { id username name externalId metadata } }";
const RESOURCES: &str = "results { outcome resource { id name kind subtype externalId metadata owner { id } container { id } visibility sizeBytes createdAt } }";

// R87, R88: made, changed, and left alone; found by the platform's own ids; no mail.
#[tokio::test]
async fn accounts_are_brought_in_and_the_same_call_changes_nothing() {
    let app = TestApp::start().await;
    let key = key(&app, &["READ", "USERS_WRITE", "ACT_FOR_USERS"]).await;
    let users = json!([
        { "externalId": "p-1", "email": "Ada@Example.org", "name": "Ada Lovelace", "metadata": { "lab": 7 }, "createdAt": "2020-01-02T03:04:05Z" },
        { "externalId": "p-2", "email": "ada@other.example", "username": "countess" },
        { "externalId": "p-3", "email": "ada@third.example", "name": "Ada Lovelace" },
    ]);
    let made = key.ok("upsertUsers", json!({ "users": users }), USERS).await;
    assert_eq!(outcomes(&made), ["CREATED"; 3]);
    let user = |at: usize| made["results"][at]["user"].clone();
    assert_eq!((&user(0)["externalId"], &user(0)["metadata"]), (&json!("p-1"), &json!({ "lab": 7 })));
    assert_eq!(user(1)["username"], "countess");
    assert_ne!(user(0)["username"], user(2)["username"]);
    assert_eq!(outcomes(&key.ok("upsertUsers", json!({ "users": users }), USERS).await), ["UNCHANGED"; 3]);
    let of_then =
        "SELECT count(*) AS value FROM users WHERE external_id = 'p-1' AND created_at = '2020-01-02T03:04:05Z'";
    assert_eq!(app.database.number(of_then).await, 1);

    // By whichever name, and each as its person.
    for by in [
        json!({ "externalId": "p-2" }),
        json!({ "email": "ADA@other.example" }),
        json!({ "username": "countess" }),
        json!({ "id": user(1)["id"] }),
    ] {
        let found = key.query("query ($by: UserRef!) { user(by: $by) { id } }", json!({ "by": by })).await;
        assert_eq!(found["user"]["id"], user(1)["id"], "{by}");
    }
    let found =
        key.query("query ($by: UserRef!) { user(by: $by) { id } }", json!({ "by": { "externalId": "p-9" } })).await;
    assert!(found["user"].is_null());
    let ada = key.on_behalf_of(user(0)["id"].as_str().unwrap());
    let viewer =
        ada.query("{ viewer { email user { externalId metadata } personalOrganization { name } } }", json!({})).await;
    assert_eq!(
        viewer["viewer"],
        json!({ "email": "ada@example.org", "user": { "externalId": "p-1", "metadata": { "lab": 7 } }, "personalOrganization": { "name": "Ada Lovelace" } })
    );
    let own = key.on_behalf_of("external:p-1").query("{ viewer { user { id } } }", json!({})).await;
    assert_eq!(own["viewer"]["user"]["id"], user(0)["id"]);

    // What is named changes; the rest stays.
    let changed = json!([
        { "externalId": "p-1", "name": "Ada King", "metadata": null },
        { "externalId": "p-2", "email": "countess@other.example", "emailVerified": true },
    ]);
    let changed = key.ok("upsertUsers", json!({ "users": changed }), USERS).await;
    assert_eq!(outcomes(&changed), ["UPDATED"; 2]);
    assert_eq!(
        (&changed["results"][0]["user"]["name"], &changed["results"][0]["user"]["metadata"]),
        (&json!("Ada King"), &Value::Null)
    );
    let viewer = ada.query("{ viewer { email personalOrganization { name } } }", json!({})).await;
    assert_eq!(viewer["viewer"], json!({ "email": "ada@example.org", "personalOrganization": { "name": "Ada King" } }));
    app.until_idle().await;
    assert!(app.mails_about("ada@example.org", "").is_empty());
    app.finish().await;
}

// R88: an account that has the address is taken over only where the platform vouches for it; all or none.
#[tokio::test]
async fn accounts_that_cannot_be_are_refused_with_their_place_in_the_list() {
    let app = TestApp::start().await;
    let grace = app.sign_up("grace@example.org").await;
    let key = key(&app, &["READ", "USERS_WRITE"]).await;
    let before = app.database.number("SELECT count(*) AS value FROM users").await;
    let good = json!({ "externalId": "p-1", "email": "new@example.org" });
    let many: Vec<Value> = (0..501).map(|number| json!({ "externalId": format!("m-{number}") })).collect();
    for (users, refusal) in [
        (json!([]), ("BLANK", "input.users")),
        (json!(many), ("TOO_MANY", "input.users")),
        (json!([good, { "externalId": "p-2" }]), ("BLANK", "input.users.1.email")),
        (json!([good, { "externalId": "p-1", "email": "x@example.org" }]), ("INVALID", "input.users.1.externalId")),
        (json!([good, { "externalId": "p-2", "email": "NEW@example.org" }]), ("INVALID", "input.users.1.email")),
        (json!([good, { "externalId": " p-2", "email": "x@example.org" }]), ("INVALID", "input.users.1.externalId")),
        (json!([good, { "externalId": "", "email": "x@example.org" }]), ("BLANK", "input.users.1.externalId")),
        (
            json!([good, { "externalId": "x".repeat(256), "email": "x@example.org" }]),
            ("TOO_LONG", "input.users.1.externalId"),
        ),
        (json!([good, { "externalId": "p-2", "email": "grace@example.org" }]), ("EMAIL_TAKEN", "input.users.1.email")),
        (
            json!([good, { "externalId": "p-2", "email": "x@example.org", "username": grace.username().await }]),
            ("USERNAME_TAKEN", "input.users.1.username"),
        ),
        (
            json!([good, { "externalId": "p-2", "email": "x@example.org", "username": "admin" }]),
            ("USERNAME_TAKEN", "input.users.1.username"),
        ),
        (
            json!([good, { "externalId": "p-2", "email": "x@example.org", "metadata": [1] }]),
            ("INVALID", "input.users.1.metadata"),
        ),
        (
            json!([good, { "externalId": "p-2", "email": "x@example.org", "metadata": { "a": "x".repeat(8192) } }]),
            ("TOO_LONG", "input.users.1.metadata"),
        ),
        (
            json!([good, { "externalId": "p-2", "email": "x@example.org", "metadata": nested(33) }]),
            ("INVALID", "input.users.1.metadata"),
        ),
        (
            json!([good, { "externalId": "p-2", "email": "x@example.org", "createdAt": "1969-12-31T23:59:59Z" }]),
            ("INVALID", "input.users.1.createdAt"),
        ),
        (
            json!([good, { "externalId": "p-2", "email": "x@example.org", "createdAt": "2999-01-01T00:00:00Z" }]),
            ("INVALID", "input.users.1.createdAt"),
        ),
    ] {
        assert_eq!(key.refused("upsertUsers", json!({ "users": users })).await.is(), refusal);
    }
    assert_eq!(app.database.number("SELECT count(*) AS value FROM users").await, before);
    // Linked where the platform vouches for the address; then the person keeps signing in as before.
    let linked = json!([{ "externalId": "p-2", "email": "grace@example.org", "emailVerified": true }]);
    let linked = key.ok("upsertUsers", json!({ "users": linked }), USERS).await;
    assert_eq!((outcomes(&linked), &linked["results"][0]["user"]["id"]), (vec!["UPDATED"], &json!(grace.user_id)));
    let seen = grace.query("{ viewer { user { externalId } } }", json!({})).await;
    assert_eq!(seen["viewer"]["user"]["externalId"], "p-2");
    let other = json!([{ "externalId": "p-3", "email": "grace@example.org", "emailVerified": true }]);
    assert_eq!(
        key.refused("upsertUsers", json!({ "users": other })).await.is(),
        ("EMAIL_TAKEN", "input.users.0.email")
    );
    // Of accounts that are there, too, all that are wrong are named.
    let two =
        json!([{ "externalId": "p-5", "email": "p5@example.org" }, { "externalId": "p-6", "email": "p6@example.org" }]);
    key.ok("upsertUsers", json!({ "users": two }), USERS).await;
    let renamed = json!([
        { "externalId": "p-2", "name": "Grace" },
        { "externalId": "p-5", "username": "admin" },
        { "externalId": "p-6", "username": "support" },
    ]);
    let answer = key.mutate("upsertUsers", json!({ "users": renamed }), USERS).await;
    let errors = answer.user_errors("upsertUsers");
    let errors: Vec<_> = errors.iter().map(|error| error.is()).collect();
    let taken = |field| ("USERNAME_TAKEN", field);
    assert_eq!(errors, [taken("input.users.1.username"), taken("input.users.2.username")]);
    let unverified = json!([{ "externalId": "p-2", "email": "grace2@example.org" }]);
    assert_eq!(
        key.refused("upsertUsers", json!({ "users": unverified })).await.is(),
        ("INVALID", "input.users.0.email")
    );
    // Nobody else may.
    for client in [&grace, &app.staff(), &crate::platform_key::key(&app, &["MEMBERS_WRITE"]).await] {
        assert_eq!(client.refused("upsertUsers", json!({ "users": [good] })).await.is(), ("FORBIDDEN", "input.users"));
    }
    app.finish().await;
}

/// Objects in one another, so many deep.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }))
}

// R87, R88: the same metadata is the same, however its numbers are written.
#[tokio::test]
async fn metadata_stays_what_it_is() {
    let app = TestApp::start().await;
    let key = key(&app, &["READ", "USERS_WRITE"]).await;
    let numbers =
        json!({ "a": [1e17, -1e17, 1.5e17, 1e19, 1e25, 1e300, 1e-7, 1.0, -0.0, 12345678901234567890_u64, 0.1] });
    for metadata in [numbers, nested(32)] {
        let user = json!({ "externalId": "p-1", "email": "p1@example.org", "metadata": metadata });
        let brought = key.ok("upsertUsers", json!({ "users": [user] }), USERS).await;
        let again = key.ok("upsertUsers", json!({ "users": [user] }), USERS).await;
        assert_eq!(outcomes(&again), ["UNCHANGED"]);
        assert_eq!(again["results"][0]["user"]["metadata"], brought["results"][0]["user"]["metadata"]);
    }
    app.finish().await;
}

// R88: two at once make one.
#[tokio::test]
async fn accounts_and_resources_brought_in_twice_at_once_are_one() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let key = key(&app, &["USERS_WRITE", "RESOURCES_WRITE"]).await;
    let users: Vec<Value> = (0..40)
        .map(|number| json!({ "externalId": format!("p-{number}"), "email": format!("p{number}@example.org") }))
        .collect();
    let resources: Vec<Value> = (0..40)
        .map(|number| json!({ "kind": "VOLUME", "externalId": format!("v-{number}"), "name": format!("V {number}"), "owner": { "id": team.owner.user_id }, "sizeBytes": "5" }))
        .collect();
    let both = |client: Client| {
        let (users, resources, team) = (users.clone(), resources.clone(), team.id.clone());
        async move {
            let users = client.ok("upsertUsers", json!({ "users": users }), USERS).await;
            let input = json!({ "organization": { "id": team }, "resources": resources });
            (users, client.ok("upsertResources", input, RESOURCES).await)
        }
    };
    let all = futures_util::future::join_all((0..6).map(|_| both(key.twin()))).await;
    let created =
        |payloads: Vec<&Value>| payloads.into_iter().flat_map(outcomes).filter(|outcome| *outcome == "CREATED").count();
    assert_eq!(created(all.iter().map(|(users, _)| users).collect()), 40);
    assert_eq!(created(all.iter().map(|(_, resources)| resources).collect()), 40);
    assert_eq!(app.database.number("SELECT count(*) AS value FROM users WHERE external_id IS NOT NULL").await, 40);
    assert_eq!(app.database.number("SELECT sum(used_bytes)::bigint AS value FROM organization_storage").await, 200);
    app.finish().await;
}

// R87, R88: resources in containers of the same list, in any order; found by kind and id; moved, renamed, left alone.
#[tokio::test]
async fn resources_are_brought_in_and_the_same_call_changes_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let max = app.join(&team, "max@example.org", "MEMBER").await;
    let key = key(&app, &["READ", "RESOURCES_WRITE"]).await;
    let input = |resources: Value| json!({ "organization": { "id": team.id }, "resources": resources });
    let resources = json!([
        { "kind": "SAMPLE", "externalId": "s-1", "name": "Liver", "owner": { "email": "max@example.org" }, "container": { "external": { "kind": "PROJECT", "externalId": "1" } } },
        { "kind": "PROJECT", "externalId": "1", "name": "Atlas", "owner": { "id": max.user_id }, "subtype": "study", "metadata": { "doi": "10/1" }, "container": { "external": { "kind": "WORKSPACE", "externalId": "1" } } },
        { "kind": "WORKSPACE", "externalId": "1", "name": "Bench", "owner": { "username": team.owner.username().await }, "visibility": "ORGANIZATION", "createdAt": "2019-05-06T00:00:00Z" },
        { "kind": "VOLUME", "externalId": "1", "name": "Raw", "owner": { "id": max.user_id }, "sizeBytes": "1000" },
    ]);
    let made = key.ok("upsertResources", input(resources.clone()), RESOURCES).await;
    assert_eq!(outcomes(&made), ["CREATED"; 4]);
    let of = |at: usize| made["results"][at]["resource"].clone();
    assert_eq!((&of(0)["container"]["id"], &of(1)["container"]["id"]), (&of(1)["id"], &of(2)["id"]));
    assert_eq!((&of(1)["subtype"], &of(1)["metadata"]), (&json!("study"), &json!({ "doi": "10/1" })));
    assert!(of(2)["createdAt"].as_str().unwrap().starts_with("2019-05-06"));
    assert_eq!(outcomes(&key.ok("upsertResources", input(resources), RESOURCES).await), ["UNCHANGED"; 4]);
    let by = json!({ "by": { "external": { "kind": "PROJECT", "externalId": "1" } } });
    for client in [&key, &max] {
        let found = client
            .query("query ($by: ResourceRef!) { resource(by: $by) { id externalId metadata } }", by.clone())
            .await;
        assert_eq!(found["resource"], json!({ "id": of(1)["id"], "externalId": "1", "metadata": { "doi": "10/1" } }));
    }
    let eve = app.sign_up("eve@example.org").await;
    assert!(eve.query("query ($by: ResourceRef!) { resource(by: $by) { id } }", by).await["resource"].is_null());
    let changed = json!([
        { "kind": "VOLUME", "externalId": "1", "container": { "id": of(1)["id"] }, "sizeBytes": "10" },
        { "kind": "PROJECT", "externalId": "1", "name": "Atlas 2", "metadata": null, "container": null, "owner": { "id": team.owner.user_id } },
        { "kind": "SAMPLE", "externalId": "s-1", "name": "Liver" },
    ]);
    let changed = key.ok("upsertResources", input(changed), RESOURCES).await;
    assert_eq!(outcomes(&changed), ["UPDATED", "UPDATED", "UNCHANGED"]);
    let project = &changed["results"][1]["resource"];
    assert_eq!(
        (&project["name"], &project["container"], &project["metadata"]),
        (&json!("Atlas 2"), &Value::Null, &Value::Null)
    );
    assert_eq!((&project["subtype"], &project["owner"]["id"]), (&json!("study"), &json!(max.user_id)));
    assert_eq!(app.database.number("SELECT used_bytes::bigint AS value FROM organization_storage").await, 10);
    app.finish().await;
}

// R64, R85, R88: all or none, with the place in the list; quotas and containers hold as for people.
#[tokio::test]
async fn resources_that_cannot_be_are_refused_with_their_place_in_the_list() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let other = team.owner.found("Other").await;
    let eve = app.sign_up("eve@example.org").await;
    let key = key(&app, &["READ", "RESOURCES_WRITE"]).await;
    let owner = json!({ "id": team.owner.user_id });
    let elsewhere = json!([{ "kind": "VOLUME", "externalId": "taken", "name": "x", "owner": owner }, { "kind": "PROJECT", "externalId": "else", "name": "x", "owner": owner }]);
    key.ok("upsertResources", json!({ "organization": { "id": other }, "resources": elsewhere }), RESOURCES).await;
    app.staff()
        .ok(
            "setPlan",
            json!({ "organizationId": team.id, "plan": "small", "storageLimitBytes": "100", "workspaceLimit": 1 }),
            "organization { id }",
        )
        .await;
    let good = json!({ "kind": "VOLUME", "externalId": "good", "name": "Good", "owner": owner });
    let with = |change: Value| {
        let mut item = json!({ "kind": "VOLUME", "externalId": "bad", "name": "Bad", "owner": owner });
        item.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!([good, item])
    };
    let external = |kind: &str, id: &str| json!({ "external": { "kind": kind, "externalId": id } });
    for (resources, refusal) in [
        (json!([]), ("BLANK", "input.resources")),
        (with(json!({ "externalId": "good" })), ("INVALID", "input.resources.1.externalId")),
        (with(json!({ "externalId": "taken" })), ("EXTERNAL_ID_TAKEN", "input.resources.1.externalId")),
        (with(json!({ "name": null })), ("BLANK", "input.resources.1.name")),
        (with(json!({ "owner": null })), ("BLANK", "input.resources.1.owner")),
        (with(json!({ "owner": { "id": eve.user_id } })), ("NOT_FOUND", "input.resources.1.owner.id")),
        (with(json!({ "owner": { "externalId": "nobody" } })), ("NOT_FOUND", "input.resources.1.owner.externalId")),
        (
            with(json!({ "container": external("PROJECT", "none") })),
            ("NOT_FOUND", "input.resources.1.container.external"),
        ),
        (
            with(json!({ "container": external("PROJECT", "else") })),
            ("NOT_FOUND", "input.resources.1.container.external"),
        ),
        (with(json!({ "container": external("VOLUME", "good") })), ("INVALID", "input.resources.1.container")),
        (with(json!({ "container": external("VOLUME", "bad") })), ("INVALID", "input.resources.1.container")),
        (with(json!({ "subtype": "x".repeat(51) })), ("TOO_LONG", "input.resources.1.subtype")),
        (with(json!({ "sizeBytes": "-1" })), ("INVALID", "input.resources.1.sizeBytes")),
        (with(json!({ "sizeBytes": "101" })), ("QUOTA_EXCEEDED", "input.resources")),
        (with(json!({ "createdAt": "2999-01-01T00:00:00Z" })), ("INVALID", "input.resources.1.createdAt")),
        (
            json!([{ "kind": "WORKSPACE", "externalId": "a", "name": "a", "owner": owner }, { "kind": "WORKSPACE", "externalId": "b", "name": "b", "owner": owner }]),
            ("QUOTA_EXCEEDED", "input.resources"),
        ),
    ] {
        let input = json!({ "organization": { "id": team.id }, "resources": resources });
        assert_eq!(key.refused("upsertResources", input).await.is(), refusal);
    }
    assert_eq!(app.database.number("SELECT count(*) AS value FROM resources").await, 2);
    let input = json!({ "organization": { "slug": "nowhere" }, "resources": [good] });
    assert_eq!(key.refused("upsertResources", input).await.is(), ("NOT_FOUND", "input.organization"));
    let input = json!({ "organization": { "id": team.id }, "resources": [good] });
    for client in [&team.owner, &app.staff(), &crate::platform_key::key(&app, &["READ"]).await] {
        assert_eq!(client.refused("upsertResources", input.clone()).await.is(), ("FORBIDDEN", "input.organization"));
    }
    // Only platform keys attach data to what people make.
    let input = json!({ "organizationId": team.id, "kind": "VOLUME", "name": "x", "subtype": "dataset" });
    assert_eq!(team.owner.refused("createResource", input.clone()).await.is(), ("FORBIDDEN", "input.subtype"));
    key.ok("createResource", input, "resource { subtype }").await;
    app.finish().await;
}

// R25, R88: with another address, what was on its way to one ends, and so does the invitation to where they belong.
#[tokio::test]
async fn another_address_ends_what_it_makes_pointless() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let max = app.join(&team, "max@example.org", "MEMBER").await;
    let key = key(&app, &["READ", "USERS_WRITE"]).await;
    let linked = json!({ "externalId": "p-1", "email": "max@example.org", "emailVerified": true });
    key.ok("upsertUsers", json!({ "users": [linked] }), USERS).await;
    let invitation = team.invite("max-new@example.org", "MEMBER").await;
    max.ok("changeEmail", json!({ "email": "max-old-wish@example.org" }), "").await;
    let token = app.mail_to("max-old-wish@example.org").await.token();
    let moved = json!({ "externalId": "p-1", "email": "max-new@example.org", "emailVerified": true });
    assert_eq!(outcomes(&key.ok("upsertUsers", json!({ "users": [moved] }), USERS).await), ["UPDATED"]);
    assert_eq!(team.invitation(&invitation).await["status"], "REVOKED");
    assert_eq!(app.anonymous().refused("confirmEmailChange", json!({ "token": token })).await.field, "input.token");
    let viewer = max.query("{ viewer { email } }", json!({})).await;
    assert_eq!(viewer["viewer"]["email"], "max-new@example.org");
    // Whoever follows changes of addresses hears of it.
    let told = "SELECT count(*) AS value FROM audit_events WHERE action = 'user.email_changed' AND metadata -> 'fields' IS NULL";
    assert_eq!(app.database.number(told).await, 1);
    app.finish().await;
}

// R87: one container may be named in two ways, and a key without READ names its organization as it likes.
#[tokio::test]
async fn what_is_there_may_be_named_in_any_way() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let key = key(&app, &["RESOURCES_WRITE"]).await;
    let owner = json!({ "id": team.owner.user_id });
    let item = |kind: &str, id: &str, container: Value| json!({ "kind": kind, "externalId": id, "name": id, "owner": owner, "container": container });
    let input = |resources: Value| json!({ "organization": { "slug": "acme-genomics" }, "resources": resources });
    let made = key.ok("upsertResources", input(json!([item("WORKSPACE", "w", Value::Null)])), RESOURCES).await;
    let inside = json!([
        item("PROJECT", "a", json!({ "id": made["results"][0]["resource"]["id"] })),
        item("PROJECT", "b", json!({ "external": { "kind": "WORKSPACE", "externalId": "w" } })),
    ]);
    assert_eq!(outcomes(&key.ok("upsertResources", input(inside), RESOURCES).await), ["CREATED"; 2]);
    app.finish().await;
}
