//! A platform's organizations, brought in many at once and found by the platform's own ids.

use crate::platform_key::{key, made};
use crate::statements::all_statements;
use crate::support::client::{nodes, text};
use crate::support::{Client, TestApp, Value, json};

const RESULTS: &str = "results { outcome organization { id name slug fullName description website location sector universityName logoUrl \
     externalId metadata createdAt owner { id } } }";

/// What became of each item.
fn outcomes(payload: &Value) -> Vec<&str> {
    payload["results"].as_array().unwrap().iter().map(|result| result["outcome"].as_str().unwrap()).collect()
}

fn input(organizations: Value) -> Value {
    json!({ "organizations": organizations })
}

async fn bring_in(key: &Client, organizations: Value) -> Value {
    key.ok("upsertOrganizations", input(organizations), RESULTS).await
}

// R1, R87, R88, R90: made, changed, and left alone; found by the platform's own ids; audited, and no mail.
#[tokio::test]
async fn organizations_are_brought_in_and_the_same_call_changes_nothing() {
    let app = TestApp::start().await;
    let key = key(&app, &["READ", "ORGANIZATIONS_WRITE", "USERS_WRITE"]).await;
    let users = json!([{ "externalId": "p-1", "email": "ada@example.org", "username": "countess" }]);
    let ada = key.ok("upsertUsers", json!({ "users": users }), "results { user { id } }").await;
    let ada = text(&ada["results"][0]["user"]["id"]);
    let labs = json!([
        { "externalId": "lab-1", "name": "Acme Genomics", "owner": { "externalId": "p-1" }, "metadata": { "floor": 2 },
          "createdAt": "2019-05-06T00:00:00Z", "fullName": "Acme Genomics Ltd", "description": "We map livers.",
          "website": "https://example.org/", "location": "Berlin", "sector": "Health", "universityName": "FU",
          "logoUrl": "https://example.org/logo.png" },
        { "externalId": "lab-2", "name": "Acme Genomics", "owner": { "email": "ADA@example.org" } },
        { "externalId": "lab-3", "name": "Hearts", "slug": "heart-lab", "owner": { "username": "countess" } },
        { "externalId": "lab-4", "name": "Nameless", "slug": null, "owner": { "id": ada } },
    ]);
    let first = bring_in(&key, labs.clone()).await;
    assert_eq!(outcomes(&first), ["CREATED"; 4]);
    let lab = |at: usize| first["results"][at]["organization"].clone();
    assert_eq!((&lab(0)["slug"], &lab(0)["metadata"]), (&json!("acme-genomics"), &json!({ "floor": 2 })));
    assert!(lab(0)["createdAt"].as_str().unwrap().starts_with("2019-05-06"));
    assert!(text(&lab(1)["slug"]).starts_with("acme-genomics-"));
    assert_eq!((&lab(2)["slug"], &lab(3)["slug"]), (&json!("heart-lab"), &Value::Null));
    assert!((0..4).all(|at| lab(at)["owner"]["id"] == json!(ada)));
    // The owner has been a member since then, and the platform made them one.
    let query = "query($id: ID!) { organization(by: { id: $id }) { members { nodes { role joinedVia joinedAt } } \
         auditLog { nodes { action actorKind platformKey subject { id } metadata } } } }";
    let seen = key.query(query, json!({ "id": lab(0)["id"] })).await["organization"].clone();
    let member = &nodes(&seen["members"])[0];
    assert_eq!((&member["role"], &member["joinedVia"]), (&json!("OWNER"), &json!("PLATFORM")));
    assert!(member["joinedAt"].as_str().unwrap().starts_with("2019-05-06"));
    let event = &nodes(&seen["auditLog"])[0];
    assert_eq!((&event["action"], &event["actorKind"]), (&json!("organization.created"), &json!("PLATFORM")));
    assert_eq!((&event["platformKey"], &event["subject"]["id"]), (&json!("backend"), &json!(ada)));
    assert_eq!((&event["metadata"]["owner"], &event["metadata"]["role"]), (&json!(ada), &json!("owner")));

    // The same again, also where a slug was made from the name or left out on purpose.
    let state = crate::bad_input::state(&app).await;
    assert_eq!(outcomes(&bring_in(&key, labs).await), ["UNCHANGED"; 4]);
    assert_eq!(crate::bad_input::state(&app).await, state);

    // What is named changes; the rest stays. The owner is not looked at any more.
    let changes = json!([
        { "externalId": "lab-1", "name": "Acme", "website": null, "metadata": null, "owner": { "email": "nobody@example.org" } },
        { "externalId": "lab-3", "slug": "hearts", "location": "Bonn" },
        { "externalId": "lab-2", "description": "Second" },
        { "externalId": "lab-4", "createdAt": "2001-01-01T00:00:00Z" },
    ]);
    let changed = bring_in(&key, changes).await;
    assert_eq!(outcomes(&changed), ["UPDATED", "UPDATED", "UPDATED", "UNCHANGED"]);
    let after = |at: usize| changed["results"][at]["organization"].clone();
    assert_eq!(
        (&after(0)["name"], &after(0)["website"], &after(0)["metadata"]),
        (&json!("Acme"), &Value::Null, &Value::Null)
    );
    for kept in
        ["slug", "fullName", "description", "location", "sector", "universityName", "logoUrl", "createdAt", "owner"]
    {
        assert_eq!(after(0)[kept], lab(0)[kept], "{kept}");
    }
    assert_eq!((&after(1)["slug"], &after(1)["location"]), (&json!("hearts"), &json!("Bonn")));
    assert_eq!(after(3)["createdAt"], lab(3)["createdAt"]);
    let log = key.query(query, json!({ "id": lab(2)["id"] })).await["organization"]["auditLog"].clone();
    let event = nodes(&log).last().unwrap();
    assert_eq!(
        (&event["action"], &event["metadata"]["fields"]),
        (&json!("organization.updated"), &json!(["slug", "location"]))
    );
    // A slug that was given up stays reserved, as by `updateOrganization`; its organization may take it back.
    let other = json!([{ "externalId": "lab-5", "name": "x", "slug": "heart-lab", "owner": { "id": ada } }]);
    assert_eq!(
        key.refused("upsertOrganizations", input(other)).await.is(),
        ("SLUG_TAKEN", "input.organizations.0.slug")
    );
    let back = bring_in(&key, json!([{ "externalId": "lab-3", "slug": "heart-lab" }])).await;
    assert_eq!(outcomes(&back), ["UPDATED"]);

    for by in [json!({ "externalId": "lab-3" }), json!({ "slug": "heart-lab" })] {
        let found =
            key.query("query($by: OrganizationBy!) { organization(by: $by) { id } }", json!({ "by": by })).await;
        assert_eq!(found["organization"]["id"], lab(2)["id"]);
    }
    app.until_idle().await;
    assert!(app.mails_about("ada@example.org", "").is_empty());
    app.finish().await;
}

// R87: an organization that people founded is linked by its slug, once.
#[tokio::test]
async fn an_organization_is_found_by_its_slug_if_it_has_no_other_id() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let slug = team
        .owner
        .query("query($id: ID!) { organization(by: { id: $id }) { slug name } }", json!({ "id": team.id }))
        .await;
    let (slug, name) = (slug["organization"]["slug"].clone(), slug["organization"]["name"].clone());
    let key = key(&app, &["READ", "ORGANIZATIONS_WRITE"]).await;
    let linked = bring_in(&key, json!([{ "externalId": "lab-1", "slug": slug, "sector": "Health" }])).await;
    let organization = &linked["results"][0]["organization"];
    assert_eq!(
        (outcomes(&linked), &organization["id"], &organization["name"]),
        (vec!["UPDATED"], &json!(team.id), &name)
    );
    assert_eq!(organization["externalId"], "lab-1");
    let again = json!([{ "externalId": "lab-2", "slug": slug, "name": "x", "owner": { "id": team.owner.user_id } }]);
    let refused = key.refused("upsertOrganizations", input(again)).await;
    assert_eq!(refused.is(), ("SLUG_TAKEN", "input.organizations.0.slug"));
    // Members see it.
    let seen =
        team.owner.query("query { organization(by: { externalId: \"lab-1\" }) { id externalId } }", json!({})).await;
    assert_eq!(seen["organization"], json!({ "id": team.id, "externalId": "lab-1" }));
    app.finish().await;
}

// R21, R88: all or none, with the place in the list.
#[tokio::test]
async fn organizations_that_cannot_be_are_refused_with_their_place_in_the_list() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let owner = json!({ "id": team.owner.user_id });
    let suspended = app.sign_up("suspended@example.org").await;
    let gone = app.sign_up("gone@example.org").await;
    gone.ok("deleteAccount", json!({ "confirmEmail": "gone@example.org" }), "").await;
    let id = crate::support::people::uuid(&suspended.user_id);
    app.database.sql(&format!("UPDATE users SET suspended_at = rollcall_now() WHERE id = '{id}'")).await;
    let founder = app.sign_up("founder@example.org").await;
    let key = key(&app, &["READ", "ORGANIZATIONS_WRITE"]).await;
    let deleted = json!([{ "externalId": "deleted", "name": "Deleted", "slug": "deleted-lab", "owner": { "id": founder.user_id } },
        { "externalId": "held", "name": "Held", "slug": "held", "owner": owner }]);
    let deleted = text(&bring_in(&key, deleted).await["results"][0]["organization"]["id"]);
    founder.ok("deleteOrganization", json!({ "id": deleted, "confirmOrganizationName": "Deleted" }), "").await;
    app.until_idle().await;
    let good = json!({ "externalId": "good", "name": "Good", "owner": owner });
    let with = |change: Value| {
        let mut item = json!({ "externalId": "bad", "name": "Bad", "owner": owner });
        item.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!([good, item])
    };
    let many: Vec<Value> = (0..101).map(|number| json!({ "externalId": format!("m-{number}") })).collect();
    let before = crate::bad_input::state(&app).await;
    for (organizations, code, field) in [
        (json!([]), "BLANK", ""),
        (json!(many), "TOO_MANY", ""),
        (with(json!({ "externalId": "good" })), "INVALID", ".1.externalId"),
        (with(json!({ "externalId": "" })), "BLANK", ".1.externalId"),
        (with(json!({ "externalId": " x" })), "INVALID", ".1.externalId"),
        (with(json!({ "externalId": "x".repeat(256) })), "TOO_LONG", ".1.externalId"),
        (with(json!({ "name": null })), "BLANK", ".1.name"),
        (with(json!({ "name": " " })), "BLANK", ".1.name"),
        (with(json!({ "name": "see example.org" })), "INVALID", ".1.name"),
        (with(json!({ "owner": null })), "BLANK", ".1.owner"),
        (with(json!({ "owner": { "email": "nobody@example.org" } })), "NOT_FOUND", ".1.owner.email"),
        (with(json!({ "owner": { "username": "a b" } })), "NOT_FOUND", ".1.owner.username"),
        (with(json!({ "owner": { "externalId": "p-9" } })), "NOT_FOUND", ".1.owner.externalId"),
        (with(json!({ "owner": { "id": gone.user_id } })), "NOT_FOUND", ".1.owner.id"),
        (with(json!({ "owner": { "id": suspended.user_id } })), "SUSPENDED", ".1.owner"),
        (with(json!({ "slug": "x" })), "INVALID", ".1.slug"),
        (with(json!({ "slug": "admin" })), "SLUG_TAKEN", ".1.slug"),
        (with(json!({ "slug": "held" })), "SLUG_TAKEN", ".1.slug"),
        (with(json!({ "slug": "deleted-lab" })), "SLUG_TAKEN", ".1.slug"),
        (with(json!({ "externalId": "held", "slug": "acme-genomics" })), "SLUG_TAKEN", ".1.slug"),
        (with(json!({ "externalId": "deleted" })), "CONFLICT", ".1.externalId"),
        (with(json!({ "website": "ftp://example.org" })), "INVALID", ".1.website"),
        (with(json!({ "fullName": "x".repeat(201) })), "TOO_LONG", ".1.fullName"),
        (with(json!({ "metadata": [1] })), "INVALID", ".1.metadata"),
        (with(json!({ "metadata": { "a": "x".repeat(8192) } })), "TOO_LONG", ".1.metadata"),
        (with(json!({ "createdAt": "1969-12-31T23:59:59Z" })), "INVALID", ".1.createdAt"),
        (with(json!({ "createdAt": "2999-01-01T00:00:00Z" })), "INVALID", ".1.createdAt"),
    ] {
        let refused = key.refused("upsertOrganizations", input(organizations.clone())).await;
        assert_eq!(refused.is(), (code, &*format!("input.organizations{field}")), "{organizations}");
    }
    let twice = json!([{ "externalId": "a", "name": "A", "slug": "one", "owner": owner }, { "externalId": "b", "name": "B", "slug": "One", "owner": owner }]);
    let refused = key.refused("upsertOrganizations", input(twice)).await;
    assert_eq!(refused.is(), ("INVALID", "input.organizations.1.slug"));
    assert_eq!(crate::bad_input::state(&app).await, before);
    // Nobody else may.
    let members = crate::platform_key::key(&app, &["READ", "MEMBERS_WRITE"]).await;
    for client in [&team.owner, &app.staff(), &members] {
        let refused = client.refused("upsertOrganizations", input(json!([good]))).await;
        assert_eq!(refused.is(), ("FORBIDDEN", "input.organizations"));
    }
    assert!(members.refused("upsertOrganizations", input(json!([good]))).await.message.contains("ORGANIZATIONS_WRITE"));
    app.finish().await;
}

// R21, R85: a key that is limited to some organizations changes these, and doesn't learn of others.
#[tokio::test]
async fn a_limited_key_brings_in_what_it_reaches() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let unlimited = key(&app, &["READ", "ORGANIZATIONS_WRITE"]).await;
    let owner = json!({ "id": team.owner.user_id });
    let others = json!([
        { "externalId": "mine", "slug": "acme-genomics" },
        { "externalId": "other", "name": "Other", "slug": "other", "owner": owner },
    ]);
    bring_in(&unlimited, others).await;
    let own = team.owner.found("Unlinked").await;
    let limited = json!({ "name": "limited", "scopes": ["ORGANIZATIONS_WRITE"], "organizationIds": [team.id, own] });
    let (limited, _) = made(&app, limited).await;
    let sector = |id: &str| json!([{ "externalId": id, "sector": "Health", "name": "x", "owner": owner }]);
    // It sees ids and names only.
    let changed = limited
        .ok("upsertOrganizations", input(sector("mine")), "results { outcome organization { id name sector } }")
        .await;
    assert_eq!(
        changed["results"][0],
        json!({ "outcome": "UPDATED", "organization": { "id": team.id, "name": "x", "sector": null } })
    );
    let refusal = async |organizations: Value| {
        let refused = limited.refused("upsertOrganizations", input(organizations)).await;
        (refused.code, refused.field, refused.message)
    };
    let there = refusal(sector("other")).await;
    assert_eq!((there.0.as_str(), there.1.as_str()), ("NOT_FOUND", "input.organizations.0.externalId"));
    assert_eq!(refusal(sector("nowhere")).await, there);
    for slug in ["other", "nowhere"] {
        assert_eq!(refusal(json!([{ "externalId": "new", "slug": slug, "name": "x", "owner": owner }])).await, there);
    }
    let taken = refusal(json!([{ "externalId": "mine", "slug": "other" }])).await;
    assert_eq!((taken.0.as_str(), taken.1.as_str()), ("SLUG_TAKEN", "input.organizations.0.slug"));
    // One that it reaches is linked, unless the id is another one's.
    let taken = refusal(json!([{ "externalId": "other", "slug": "unlinked" }])).await;
    assert_eq!((taken.0.as_str(), taken.1.as_str()), ("EXTERNAL_ID_TAKEN", "input.organizations.0.externalId"));
    let linked = json!([{ "externalId": "linked", "slug": "unlinked" }]);
    let linked = limited.ok("upsertOrganizations", input(linked), "results { outcome organization { id } }").await;
    assert_eq!(linked["results"][0], json!({ "outcome": "UPDATED", "organization": { "id": own } }));
    app.finish().await;
}

// R21: whoever guesses at slugs is stopped.
#[tokio::test]
async fn slugs_that_are_taken_count_as_guesses() {
    let app = TestApp::start().await;
    let team = app.team().await;
    team.owner.found("Other").await;
    let limited = json!({ "name": "limited", "scopes": ["ORGANIZATIONS_WRITE"], "organizationIds": [team.id] });
    let (limited, _) = made(&app, limited).await;
    let link = json!([{ "externalId": "mine", "slug": "acme-genomics" }]);
    limited.ok("upsertOrganizations", input(link), "results { outcome }").await;
    let guess = json!([{ "externalId": "mine", "slug": "other" }]);
    assert_eq!(limited.refused("upsertOrganizations", input(guess)).await.code, "SLUG_TAKEN");
    let guesses = "SELECT sum(count)::bigint AS value FROM attempts WHERE bucket = 'name_guess'";
    assert_eq!(app.database.number(guesses).await, 1);
    app.finish().await;
}

// D3: the owner of a new organization belongs to no other, also not to one of the same list.
#[tokio::test]
async fn owners_belong_to_one_organization_where_the_deployment_says_so() {
    let app = TestApp::builder().setting("ROLLCALL_ONE_ORGANIZATION_PER_USER", "true").start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let key = key(&app, &["READ", "ORGANIZATIONS_WRITE"]).await;
    let lab = |id: &str, owner: &Client| json!({ "externalId": id, "name": id, "owner": { "id": owner.user_id } });
    for (organizations, field) in [
        (json!([lab("lab-1", &team.owner)]), "input.organizations.0.owner"),
        (json!([lab("lab-1", &ada), lab("lab-2", &ada)]), "input.organizations.1.owner"),
    ] {
        assert_eq!(key.refused("upsertOrganizations", input(organizations)).await.is(), ("ONE_ORGANIZATION", field));
    }
    // Two at once, with different organizations.
    let both = [(key.twin(), "lab-1"), (key.twin(), "lab-2")].map(|(key, id)| {
        let organizations = input(json!([lab(id, &ada)]));
        async move { key.mutate("upsertOrganizations", organizations, RESULTS).await.user_errors("upsertOrganizations") }
    });
    let errors: Vec<_> = futures_util::future::join_all(both).await.into_iter().flatten().collect();
    assert_eq!(
        errors.iter().map(|error| error.is()).collect::<Vec<_>>(),
        [("ONE_ORGANIZATION", "input.organizations.0.owner")]
    );
    app.finish().await;
}

// R88: two at once make one.
#[tokio::test]
async fn organizations_brought_in_twice_at_once_are_one() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let key = key(&app, &["READ", "ORGANIZATIONS_WRITE"]).await;
    let labs: Vec<Value> = (0..40)
        .map(|number| json!({ "externalId": format!("lab-{number}"), "name": "Lab", "owner": { "id": team.owner.user_id } }))
        .collect();
    let all = (0..6).map(|_| (key.twin(), json!(labs)));
    let all = futures_util::future::join_all(all.map(async |(key, labs)| bring_in(&key, labs).await)).await;
    assert_eq!(all.iter().flat_map(outcomes).filter(|outcome| *outcome == "CREATED").count(), 40);
    assert_eq!(all.iter().flat_map(outcomes).filter(|outcome| *outcome == "UPDATED").count(), 0);
    let made = "SELECT count(*) AS value FROM organizations WHERE external_id IS NOT NULL";
    assert_eq!(app.database.number(made).await, 40);
    let verified = app.admin(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    app.finish().await;
}

// R88: a hundred organizations take as many statements as five, whether they are made, changed or left alone.
#[tokio::test]
async fn organizations_take_as_many_statements_for_many_as_for_few() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let key = key(&app, &["READ", "ORGANIZATIONS_WRITE"]).await;
    app.until_idle().await;
    app.log_more("log_statement = 'all'").await;
    let labs = |from: usize, to: usize, change: Value| {
        let lab = |number| {
            let mut lab = json!({ "externalId": format!("lab-{number}"), "name": format!("Lab {number}"), "owner": { "id": team.owner.user_id } });
            lab.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            if change["slug"].is_string() {
                lab["slug"] = json!(format!("{}-{number}", change["slug"].as_str().unwrap()));
            }
            lab
        };
        json!((from..to).map(lab).collect::<Vec<_>>())
    };
    let count = async |organizations: Value| {
        let before = all_statements(&app).await;
        key.ok("upsertOrganizations", input(organizations), "results { outcome }").await;
        all_statements(&app).await - before
    };
    // What is prepared the first time isn't later.
    let changes =
        [json!({}), json!({ "slug": "hall" }), json!({ "slug": "hall" }), json!({ "slug": null, "sector": "x" })];
    for change in changes.clone() {
        count(labs(200, 202, change)).await;
    }
    for change in changes {
        let few = count(labs(100, 105, change.clone())).await;
        let many = count(labs(0, 100, change.clone())).await;
        assert!(few > 0 && many <= few + 2, "{change}: {few} for 5, {many} for 100");
    }
    app.start_worker();
    app.finish().await;
}
