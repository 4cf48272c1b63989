//! Resources: who makes, sees and changes them.

use futures_util::future::join_all;

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
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
    // Some things nobody clears, and what changes nothing is no event.
    for field in ["name", "visibility", "sizeBytes"] {
        let errors = team.owner.refusals("updateResource", json!({ "id": id, field: null })).await;
        assert_eq!(errors[0].is(), ("BLANK", format!("input.{field}").as_str()));
    }
    let before = team.audit().await;
    let same = team.owner.ok("updateResource", json!({ "id": id }), selection).await;
    assert_eq!(same["resource"]["sizeBytes"], "5");
    assert_eq!(team.audit().await, before);
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

const PLACED: &str = "resource { id container { id } organization { id } }";

// R65, R72: what lies in what is a table; at most two containers lie above a resource.
#[tokio::test]
async fn containers_hold_what_the_table_says() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let owner = &team.owner;
    let kinds = [
        "PROJECT",
        "VOLUME",
        "SAMPLE",
        "DOCUMENT",
        "MACHINE",
        "APP",
        "WORKSPACE",
        "SOURCE",
        "SOURCE_GROUP",
        "COLLECTION",
    ];
    let holds = |container: &str| -> Vec<&str> {
        match container {
            "WORKSPACE" => kinds.into_iter().filter(|kind| !["WORKSPACE", "SAMPLE"].contains(kind)).collect(),
            "PROJECT" => vec!["VOLUME", "SAMPLE", "DOCUMENT", "APP"],
            "SOURCE_GROUP" => vec!["SOURCE"],
            _ => Vec::new(),
        }
    };
    for container in kinds {
        let id = owner.create(&team.id, container, "Around").await;
        for kind in kinds {
            let input = json!({ "kind": kind, "name": "Inside", "containerId": id });
            // What is made elsewhere moves into it likewise.
            let moves = json!({ "id": owner.create(&team.id, kind, "Elsewhere").await, "containerId": id });
            if holds(container).contains(&kind) {
                let made = owner.ok("createResource", input, PLACED).await;
                assert_eq!(made["resource"]["container"]["id"], id.as_str());
                assert_eq!(made["resource"]["organization"]["id"], team.id.as_str(), "that of the container");
                let moved = owner.ok("updateResource", moves, PLACED).await;
                assert_eq!(moved["resource"]["container"]["id"], id.as_str());
            } else {
                let error = owner.refused("createResource", input).await;
                assert_eq!(error.is(), ("INVALID", "input.containerId"), "{kind} in {container}");
                let error = owner.refused("updateResource", moves).await;
                assert_eq!(error.is(), ("INVALID", "input.containerId"), "{kind} into {container}");
            }
        }
        // What holds something isn't deleted, and what lies in it can be listed by kind.
        let contents = "query($id: ID!, $kind: ResourceKind) { node(id: $id) { ... on Resource { contents(first: 100, kind: $kind) { nodes { kind } } items { nodes { id } } } } }";
        let all = owner.query(contents, json!({ "id": id })).await;
        assert_eq!(nodes(&all["node"]["contents"]).len(), 2 * holds(container).len(), "{container}");
        assert_eq!(all["node"]["items"].is_null(), container != "COLLECTION");
        if let Some(kind) = holds(container).first() {
            let of_kind = owner.query(contents, json!({ "id": id, "kind": kind })).await;
            assert_eq!(nodes(&of_kind["node"]["contents"]).len(), 2);
            assert_eq!(owner.refused("deleteResource", json!({ "id": id })).await.is(), ("CONFLICT", "input.id"));
        } else {
            owner.ok("deleteResource", json!({ "id": id }), "deletedResourceId").await;
        }
    }
    app.finish().await;
}

// R8, R14, R55: a container takes UPLOAD on it, and moving something ADMINISTER on that; nothing leaves its
// organization so.
#[tokio::test]
async fn moving_takes_rights_on_both() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let viewer = app.join(&team, "viewer@example.org", "VIEWER").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    ada.ok("updateResource", json!({ "id": project, "visibility": "ORGANIZATION" }), "").await;
    let sample = grace.create(&team.id, "SAMPLE", "L-1").await;
    // Reading it isn't enough.
    let into = json!({ "id": sample, "containerId": project });
    assert_eq!(grace.refused("updateResource", into.clone()).await.is(), ("FORBIDDEN", "input.containerId"));
    let input = json!({ "kind": "SAMPLE", "name": "L-2", "containerId": project });
    assert_eq!(grace.refused("createResource", input.clone()).await.is(), ("FORBIDDEN", "input.containerId"));
    assert_eq!(viewer.refused("createResource", input).await.is(), ("FORBIDDEN", "input.containerId"));
    // She doesn't even reach that one.
    assert_eq!(ada.refused("updateResource", into.clone()).await.is(), ("NOT_FOUND", "input.id"));
    let moved = team.owner.ok("updateResource", into, PLACED).await;
    assert_eq!(moved["resource"]["container"]["id"], project.as_str());
    // Now it lies in her project, and she takes it out again.
    let out = ada.ok("updateResource", json!({ "id": sample, "containerId": null }), PLACED).await;
    assert!(out["resource"]["container"].is_null());
    // Another organization's.
    let other = grace.found("Other").await;
    let elsewhere = grace.create(&other, "PROJECT", "Elsewhere").await;
    let error = grace.refused("updateResource", json!({ "id": sample, "containerId": elsewhere })).await;
    assert_eq!(error.is(), ("INVALID", "input.containerId"));
    let both = json!({ "organizationId": team.id, "kind": "SAMPLE", "name": "L-3", "containerId": elsewhere });
    assert_eq!(grace.refused("createResource", both).await.is(), ("INVALID", "input.organizationId"));
    let error =
        ada.refused("createResource", json!({ "kind": "SAMPLE", "name": "L-4", "containerId": elsewhere })).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.containerId"));
    // Creating projects in a workspace is billed as anywhere (R55).
    let workspace = grace.create(&team.id, "WORKSPACE", "Lab").await;
    let permissions =
        json!({ "memberId": team.member_id(&grace).await, "permissions": { "billableActivities": false } });
    team.owner.ok("updateMemberPermissions", permissions, "").await;
    let error =
        grace.refused("createResource", json!({ "kind": "APP", "name": "Aligner", "containerId": workspace })).await;
    assert_eq!(error.code, "BILLING_ACCESS_REQUIRED");
    grace.create_in(&workspace, "VOLUME", "Reads").await;
    app.finish().await;
}

// R72: source groups have a visibility each; sources are seen with their group, or by their own.
#[tokio::test]
async fn sources_are_seen_with_their_group() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let (open, closed) =
        (ada.create(&team.id, "SOURCE_GROUP", "Open").await, ada.create(&team.id, "SOURCE_GROUP", "Closed").await);
    ada.ok("updateResource", json!({ "id": open, "visibility": "ORGANIZATION" }), "").await;
    let inside =
        [ada.create_in(&open, "SOURCE", "Archive 1").await, ada.create_in(&closed, "SOURCE", "Archive 2").await];
    let shown = ada.create_in(&closed, "SOURCE", "Archive 3").await;
    ada.ok("updateResource", json!({ "id": shown, "visibility": "ORGANIZATION" }), "").await;
    let query = "query($id: ID!, $container: ID) { organization(by: { id: $id }) { resources(containerId: $container) { nodes { id viewerAccess container { id } } } } }";
    let seen = grace.query(query, json!({ "id": team.id })).await;
    let found: Vec<_> = nodes(&seen["organization"]["resources"]).iter().map(|node| text(&node["id"])).collect();
    assert_eq!(found, [&open, &inside[0], &shown].map(String::clone));
    // What lies in a group that she doesn't reach says nothing of that.
    let seen = grace.query(query, json!({ "id": team.id, "container": closed })).await;
    let found = nodes(&seen["organization"]["resources"]);
    assert_eq!((found.len(), &found[0]["container"], &found[0]["viewerAccess"]), (1, &json!(null), &json!("VIEW")));
    app.finish().await;
}

// R73: collections gather from wherever in the organization things lie, a thing in several, and show them to who
// reaches the collection.
#[tokio::test]
async fn collections_gather_and_show() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let sample = ada.create_in(&project, "SAMPLE", "L-1").await;
    let document = ada.create(&team.id, "DOCUMENT", "Notes").await;
    let collections =
        [ada.create(&team.id, "COLLECTION", "Best of").await, ada.create(&team.id, "COLLECTION", "Worst of").await];
    for collection in &collections {
        let input = json!({ "collectionId": collection, "resourceIds": [sample, document, sample] });
        let added = ada.ok("addToCollection", input.clone(), "collection { id items { nodes { id } } }").await;
        assert_eq!(nodes(&added["collection"]["items"]).len(), 2);
        ada.ok("addToCollection", input, "").await;
    }
    let access = async |id: &String| {
        let seen = grace
            .query("query($id: ID!) { node(id: $id) { ... on Resource { viewerAccess } } }", json!({ "id": id }))
            .await;
        seen["node"]["viewerAccess"].as_str().unwrap_or("NONE").to_owned()
    };
    assert_eq!(access(&sample).await, "NONE");
    ada.ok("updateResource", json!({ "id": collections[0], "visibility": "ORGANIZATION" }), "").await;
    assert_eq!((access(&sample).await, access(&document).await), ("VIEW".to_owned(), "VIEW".to_owned()));
    assert_eq!(access(&project).await, "NONE");
    let taken_out = json!({ "collectionId": collections[0], "resourceIds": [sample] });
    ada.ok("removeFromCollection", taken_out.clone(), "collection { id }").await;
    assert_eq!(access(&sample).await, "NONE");
    assert_eq!(ada.refused("removeFromCollection", taken_out).await.is(), ("NOT_FOUND", "input.resourceIds"));
    // Putting something in takes ADMINISTER on it: it is shown to others by that.
    let own = grace.create(&team.id, "COLLECTION", "Hers").await;
    let input = json!({ "collectionId": own, "resourceIds": [document] });
    assert_eq!(grace.refused("addToCollection", input).await.is(), ("FORBIDDEN", "input.resourceIds"));
    let input = json!({ "collectionId": own, "resourceIds": [sample] });
    assert_eq!(grace.refused("addToCollection", input).await.is(), ("NOT_FOUND", "input.resourceIds"));
    // A thing isn't in more collections than a check of access can look at.
    app.database
        .sql(&format!(
            "WITH made AS (INSERT INTO resources (id, organization_id, kind, name, folded_name, owner_id, owned_since, created_by_id, created_at, updated_at) \
             SELECT gen_random_uuid(), organization_id, 'collection', 'Many', 'many', owner_id, owned_since, created_by_id, created_at, updated_at \
             FROM resources, generate_series(1, 97) WHERE id = '{}' RETURNING id, organization_id) \
             INSERT INTO collection_items (organization_id, collection_id, resource_id, kind, added_at) \
             SELECT organization_id, id, '{1}', 'document', rollcall_now() FROM made",
            uuid(&collections[1]), uuid(&document)
        ))
        .await;
    let add = async |to: &str| {
        ada.mutate("addToCollection", json!({ "collectionId": to, "resourceIds": [document] }), "").await
    };
    let more =
        [ada.create(&team.id, "COLLECTION", "One more").await, ada.create(&team.id, "COLLECTION", "Too many").await];
    let at_once = join_all(more.iter().map(|to| add(to))).await;
    let refused: Vec<_> = at_once.iter().flat_map(|answer| answer.user_errors("addToCollection")).collect();
    assert_eq!(refused.iter().map(|error| error.is()).collect::<Vec<_>>(), [("TOO_MANY", "input.resourceIds")]);
    // Reading a collection doesn't change it; and not everything is gathered, nor into everything.
    let input =
        json!({ "collectionId": collections[0], "resourceIds": [grace.create(&team.id, "DOCUMENT", "Hers").await] });
    assert_eq!(grace.refused("addToCollection", input).await.is(), ("FORBIDDEN", "input.collectionId"));
    // What is one's own one takes out of somebody else's, whether or not one reaches that any more.
    let hers = grace.create(&team.id, "DOCUMENT", "Recipe").await;
    let shared = ada.create(&team.id, "COLLECTION", "Together").await;
    let grant = ada.grant(&shared, json!({ "userId": grace.user_id }), "CONTRIBUTE").await;
    let input = json!({ "collectionId": shared, "resourceIds": [hers] });
    grace.ok("addToCollection", input.clone(), "").await;
    ada.ok("revokeAccess", json!({ "grantId": grant }), "").await;
    let of_others = json!({ "collectionId": shared, "resourceIds": [hers, document] });
    assert_eq!(grace.refused("removeFromCollection", of_others).await.is(), ("NOT_FOUND", "input.collectionId"));
    let taken = grace.ok("removeFromCollection", input.clone(), "collection { id }").await;
    assert!(taken["collection"].is_null(), "{taken}");
    assert_eq!(grace.refused("removeFromCollection", input).await.is(), ("NOT_FOUND", "input.collectionId"));
    for (collection, items, is) in [
        (&collections[0], vec![project.clone()], ("INVALID", "input.resourceIds")),
        (&collections[0], vec![collections[1].clone()], ("INVALID", "input.resourceIds")),
        (&collections[0], Vec::new(), ("BLANK", "input.resourceIds")),
        (&collections[0], too_many(&document), ("TOO_MANY", "input.resourceIds")),
        (&document, vec![sample.clone()], ("INVALID", "input.collectionId")),
    ] {
        let error = ada.refused("addToCollection", json!({ "collectionId": collection, "resourceIds": items })).await;
        assert_eq!(error.is(), is, "{items:?}");
    }
    // What is elsewhere stays there.
    let other = ada.found("Other").await;
    let foreign = ada.create(&other, "SAMPLE", "O-1").await;
    let error =
        ada.refused("addToCollection", json!({ "collectionId": collections[0], "resourceIds": [foreign] })).await;
    assert_eq!(error.is(), ("INVALID", "input.resourceIds"));
    // What is deleted is gathered no longer.
    ada.ok("deleteResource", json!({ "id": document }), "").await;
    let items = ada
        .query(
            "query($id: ID!) { node(id: $id) { ... on Resource { items { nodes { id } } } } }",
            json!({ "id": collections[1] }),
        )
        .await;
    assert_eq!(nodes(&items["node"]["items"]).len(), 1);
    app.finish().await;
}

/// More ids than one request takes.
fn too_many(like: &str) -> Vec<String> {
    let (prefix, _) = like.split_at(like.len() - 3);
    (0..101).map(|n| format!("{prefix}{n:03}")).collect()
}
