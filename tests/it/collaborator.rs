//! Collaborators: who reaches some of an organization's resources without being its member, alone and in teams.

use futures_util::future::{join, join_all};

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::plans::{Plans, problems};
use crate::support::{Client, Team, TestApp, Value, json};

const LIST: &str = "query($id: ID!, $first: Int, $after: String) { organization(by: { id: $id }) { \
     collaborators(first: $first, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes { \
     id user { id username } since grantedBy { id } organization { id } teams { nodes { name } } \
     grants { totalCount nodes { id level resource { id } grantedBy { id } grantee { __typename } } } } } } }";

impl Team {
    /// The collaborators as somebody sees them; null for those who see none.
    async fn collaborators(&self, viewer: &Client) -> Value {
        viewer.query(LIST, json!({ "id": self.id })).await["organization"]["collaborators"].clone()
    }

    /// The ids of the people who are listed as collaborators, as the owner sees them, in order. People who were named
    /// by their id have that one.
    async fn outside(&self) -> Vec<String> {
        let listed = self.collaborators(&self.owner).await;
        let people: Vec<String> = nodes(&listed).iter().map(|one| text(&one["user"]["id"])).collect();
        assert_eq!(listed["totalCount"], people.len());
        sorted(people)
    }

    /// Who is in a team, as the owner sees it: the person, and whether they are a member.
    async fn in_team(&self, team: &str) -> Vec<(String, bool)> {
        seen_in(&self.owner, team).await
    }

    async fn add(&self, team: &str, people: &[&Client]) {
        let ids: Vec<&str> = people.iter().map(|person| person.user_id.as_str()).collect();
        self.owner.ok("addTeamMembers", json!({ "teamId": team, "userIds": ids }), "team { id }").await;
    }

    /// Why somebody isn't added to a team.
    async fn not_added(&self, team: &str, person: &Client) -> (String, String) {
        let error = self.owner.refused("addTeamMembers", json!({ "teamId": team, "userIds": [person.user_id] })).await;
        (error.code, error.field)
    }

    async fn remove_collaborator(&self, person: &Client) -> Value {
        let input = json!({ "organizationId": self.id, "userId": person.user_id });
        self.owner.ok("removeCollaborator", input, "removedGrants").await["removedGrants"].clone()
    }

    /// Why somebody isn't removed as a collaborator.
    async fn no_collaborator(&self, by: &Client, user_id: &str) -> (String, String) {
        let error = by.refused("removeCollaborator", json!({ "organizationId": self.id, "userId": user_id })).await;
        (error.code, error.field)
    }
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}

/// The collaborator in a list who is shown by a name.
fn called<'a>(listed: &'a Value, name: &str) -> &'a Value {
    let found = nodes(listed).iter().find(|one| one["user"]["username"] == name);
    found.unwrap_or_else(|| panic!("nobody is called {name}: {listed}"))
}

/// Whom somebody sees in a team, and whether they are members.
async fn seen_in(viewer: &Client, team: &str) -> Vec<(String, bool)> {
    let query = "query($id: ID!) { node(id: $id) { ... on Team { members(first: 100) { totalCount nodes { user { id } member { id } } } } } }";
    let found = viewer.query(query, json!({ "id": team })).await["node"]["members"].clone();
    assert_eq!(found["totalCount"], nodes(&found).len());
    nodes(&found).iter().map(|one| (text(&one["user"]["id"]), one["member"].is_object())).collect()
}

fn is(code: &str, field: &str) -> (String, String) {
    (code.to_owned(), field.to_owned())
}

fn some(level: &str) -> Option<String> {
    Some(level.to_owned())
}

fn user(person: &Client) -> Value {
    json!({ "userId": person.user_id })
}

// R67, R68: whoever has a grant and no membership is listed, once, with what they reach, since when and by whom; for
// the owner and admins alone. Without a grant they are none.
#[tokio::test]
async fn who_reaches_something_from_outside_is_listed() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    assert_eq!(team.outside().await, Vec::<String>::new());
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let other = team.owner.create(&team.id, "WORKSPACE", "Lab").await;
    let first = ada.grant(&project, user(&eve), "VIEW").await;
    let second = admin.grant(&other, json!({ "username": eve.username().await }), "UPLOAD").await;
    // An address becomes a collaborator when somebody signs in with it.
    let input = json!({ "resourceId": project, "grantee": { "email": "bob@example.org" }, "level": "VIEW" });
    ada.ok("grantAccess", input, "invited").await;
    assert_eq!(team.outside().await, [eve.user_id.as_str()]);
    let bob = app.sign_up("bob@example.org").await;
    // Grants to members and to organizations make nobody one.
    ada.grant(&project, user(&admin), "VIEW").await;
    let elsewhere = app.sign_up("far@example.org").await.found("Elsewhere").await;
    ada.grant(&project, json!({ "organizationId": elsewhere }), "VIEW").await;
    let listed = team.collaborators(&admin).await;
    // Each as they were named: by an id, and by an address.
    let bobs = text(&called(&listed, "bob@example.org")["user"]["id"]);
    assert_eq!(team.outside().await, sorted(vec![eve.user_id.clone(), bobs.clone()]));
    let one = called(&listed, &eve.user_id);
    assert!(text(&one["id"]).starts_with("col_"), "{one}");
    assert_eq!((&one["organization"]["id"], &one["grantedBy"]["id"]), (&json!(team.id), &json!(ada.user_id)));
    assert_eq!(one["user"]["id"], eve.user_id.as_str());
    let grants = nodes(&one["grants"]);
    let shown: Vec<_> =
        grants.iter().map(|it| (text(&it["id"]), text(&it["level"]), text(&it["grantedBy"]["id"]))).collect();
    let expected = [
        (first.clone(), "VIEW".to_owned(), ada.user_id.clone()),
        (second.clone(), "UPLOAD".to_owned(), admin.user_id.clone()),
    ];
    assert_eq!((shown.as_slice(), &one["grants"]["totalCount"]), (expected.as_slice(), &json!(2)));
    let created =
        ada.query("query($id: ID!) { node(id: $id) { ... on Grant { createdAt } } }", json!({ "id": first })).await;
    assert_eq!(one["since"], created["node"]["createdAt"]);
    // Nobody else sees the list, or anybody in it.
    let node = "query($id: ID!) { node(id: $id) { ... on Collaborator { user { id } since } } }";
    let id = text(&one["id"]);
    let found = team.owner.query(node, json!({ "id": id })).await["node"].clone();
    assert_eq!(found, json!({ "user": { "id": eve.user_id }, "since": one["since"] }));
    let policy = json!({ "organizationId": team.id, "memberDirectory": "EVERYONE" });
    team.owner.ok("updateOrganizationPolicy", policy, "").await;
    for nobody in [&ada, &eve, &bob] {
        assert!(team.collaborators(nobody).await.is_null());
        assert!(nobody.query(node, json!({ "id": id })).await["node"].is_null());
    }
    // Page by page.
    let page = json!({ "id": team.id, "first": 1 });
    let page = team.owner.query(LIST, page).await["organization"]["collaborators"].clone();
    assert_eq!((&page["totalCount"], &page["pageInfo"]["hasNextPage"]), (&json!(2), &json!(true)));
    let next = json!({ "id": team.id, "first": 1, "after": page["pageInfo"]["endCursor"] });
    let next = team.owner.query(LIST, next).await["organization"]["collaborators"].clone();
    let both = [&page, &next].map(|page| text(&nodes(page)[0]["user"]["id"])).to_vec();
    assert_eq!((sorted(both), &next["pageInfo"]["hasNextPage"]), (team.outside().await, &json!(false)));
    // Since when: the earliest of the present grants. Then there is none, and nobody.
    ada.ok("revokeAccess", json!({ "grantId": first }), "").await;
    let listed = team.collaborators(&team.owner).await;
    let one = called(&listed, &eve.username().await);
    assert_eq!(
        (&one["id"], &one["grantedBy"]["id"], &one["grants"]["totalCount"]),
        (&json!(id), &json!(admin.user_id), &json!(1))
    );
    eve.ok("revokeAccess", json!({ "grantId": second }), "").await;
    assert_eq!(team.outside().await, [bobs.as_str()]);
    assert!(team.owner.query(node, json!({ "id": id })).await["node"].is_null());
    // While sharing is kept inside, nobody outside reaches anything.
    team.sharing("MEMBERS_ONLY").await;
    assert_eq!((team.outside().await, bob.access(&project).await), (vec![], None));
    team.sharing("ALLOWED").await;
    assert_eq!(team.outside().await, [bobs.as_str()]);
    // A deleted account is nobody's collaborator.
    bob.ok("deleteAccount", json!({ "confirmEmail": "bob@example.org" }), "").await;
    assert_eq!(team.outside().await, Vec::<String>::new());
    app.finish().await;
}

// R67: who shares learns no more than they named, the owner and admins included: a collaborator is shown by the word of
// their grant, under an id that leads to nobody, in lists, in teams and in cursors. By that id, they are put into
// teams, taken out of them, and removed.
#[tokio::test]
async fn a_collaborator_is_shown_as_they_were_named() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let policy = json!({ "organizationId": team.id, "memberDirectory": "EVERYONE" });
    team.owner.ok("updateOrganizationPolicy", policy, "").await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let people = [app.sign_up("eve@example.org").await, app.sign_up("bob@example.org").await];
    for person in &people {
        let profile = json!({ "name": "Evelyn Smith", "avatarUrl": "https://example.net/face.png" });
        person.ok("updateProfile", profile, "").await;
    }
    let [eve, bob] = &people;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let lab = team.group("Lab", &[&ada]).await;
    ada.grant(&project, json!({ "username": eve.username().await }), "VIEW").await;
    let input = json!({ "resourceId": project, "grantee": { "email": "bob@example.org" }, "level": "VIEW" });
    ada.ok("grantAccess", input, "invited").await;
    app.sign_in(app.anonymous(), "bob@example.org").await;
    let user = "user { id name username avatarUrl }";
    let list = format!(
        "query($id: ID!, $first: Int, $after: String) {{ organization(by: {{ id: $id }}) {{ collaborators(first: $first, after: $after) {{ \
         edges {{ cursor }} pageInfo {{ endCursor }} nodes {{ {user} }} }} }} }}"
    );
    let in_lab = format!(
        "query($id: ID!, $first: Int, $after: String) {{ node(id: $id) {{ ... on Team {{ members(first: $first, after: $after) {{ \
         edges {{ cursor }} pageInfo {{ endCursor }} nodes {{ member {{ id }} {user} }} }} }} }} }}"
    );
    // Nothing of an answer leads to their accounts, its cursors included.
    let reveals_nobody = |answer: &Value| {
        let mut said = answer.to_string();
        for edge in answer["edges"].as_array().unwrap() {
            use base64::Engine as _;
            let cursor = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text(&edge["cursor"])).unwrap();
            said.push_str(&String::from_utf8(cursor).unwrap());
        }
        assert!(!said.contains("Evelyn") && !said.contains("face.png"), "{said}");
        for person in &people {
            assert!(!said.contains(&person.user_id) && !said.contains(&uuid(&person.user_id).to_string()), "{said}");
        }
    };
    for leader in [&team.owner, &admin] {
        let listed =
            leader.query(&list, json!({ "id": team.id, "first": 10 })).await["organization"]["collaborators"].clone();
        assert_eq!(nodes(&listed).len(), 2);
        reveals_nobody(&listed);
        for name in [eve.username().await, "bob@example.org".to_owned()] {
            let shown = &called(&listed, &name)["user"];
            assert_eq!((&shown["name"], &shown["avatarUrl"]), (&json!(name), &Value::Null));
            let id = text(&shown["id"]);
            assert!(
                leader.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await["node"].is_null()
            );
        }
    }
    let listed = team.collaborators(&team.owner).await;
    let placeholder = |name: &str| text(&called(&listed, name)["user"]["id"]);
    let (eves, bobs) = (placeholder(&eve.username().await), placeholder("bob@example.org"));
    // Into a team, in which leaders and whoever named them see the same, and teammates see that there is someone.
    team.owner.ok("addTeamMembers", json!({ "teamId": lab, "userIds": [eves, bobs, eves] }), "").await;
    for (viewer, names) in [
        (&team.owner, [eve.username().await, "bob@example.org".to_owned()]),
        (&ada, [eve.username().await, "bob@example.org".to_owned()]),
    ] {
        let (mut seen, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = viewer.query(&in_lab, json!({ "id": lab, "first": 1, "after": after })).await["node"]["members"]
                .clone();
            reveals_nobody(&page);
            let Some(one) = nodes(&page).first() else { break };
            seen.push((one["member"].is_object(), text(&one["user"]["username"])));
            after = page["pageInfo"]["endCursor"].clone();
        }
        let mut expected = vec![(true, ada.username().await)];
        expected.extend(names.map(|name| (false, name)));
        seen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(seen, expected);
    }
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    team.add(&lab, &[&grace]).await;
    let seen = grace.query(&in_lab, json!({ "id": lab, "first": 10 })).await["node"]["members"].clone();
    reveals_nobody(&seen);
    assert_eq!(nodes(&seen).iter().filter(|one| one["user"]["username"] == "someone").count(), 2);
    // Out of it, and out of everything; by the account's id as well, and nowhere else by the placeholder's.
    team.owner.ok("removeTeamMember", json!({ "teamId": lab, "userId": eves }), "").await;
    team.owner.ok("removeTeamMember", json!({ "teamId": lab, "userId": bob.user_id }), "").await;
    assert_eq!(team.in_team(&lab).await.len(), 2);
    let elsewhere = Team { id: grace.found("Elsewhere").await, owner: grace };
    assert_eq!(elsewhere.no_collaborator(&elsewhere.owner, &eves).await, is("NOT_FOUND", "input.userId"));
    assert_eq!(team.no_collaborator(&ada, &eves).await, is("FORBIDDEN", "input.organizationId"));
    admin.ok("removeCollaborator", json!({ "organizationId": team.id, "userId": eves }), "removedGrants").await;
    assert_eq!(team.remove_collaborator(bob).await, 1);
    assert_eq!((team.outside().await, eve.access(&project).await, bob.access(&project).await), (vec![], None, None));
    assert_eq!(team.no_collaborator(&admin, &eves).await, is("NOT_FOUND", "input.userId"));
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}

// R67, R74: removing a collaborator ends everything at once: their grants, their places in teams, invitations of their
// address, and what they issued; it is in the log.
#[tokio::test]
async fn removing_a_collaborator_ends_everything_at_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let bob = app.sign_up("bob@example.org").await;
    let lab = team.group("Lab", &[&ada]).await;
    let collection = ada.create(&team.id, "COLLECTION", "Figures").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let of_team = ada.create(&team.id, "PROJECT", "Of the team").await;
    ada.grant(&of_team, json!({ "teamId": lab }), "CONTRIBUTE").await;
    // Who isn't one, who is a member, and who may.
    assert_eq!(team.no_collaborator(&team.owner, &eve.user_id).await, is("NOT_FOUND", "input.userId"));
    assert_eq!(
        team.no_collaborator(&team.owner, "usr_01h455vb4pex5vsknk084sn02q").await,
        is("NOT_FOUND", "input.userId")
    );
    assert_eq!(team.no_collaborator(&team.owner, &ada.user_id).await, is("ALREADY_MEMBER", "input.userId"));
    assert_eq!(team.no_collaborator(&ada, &eve.user_id).await, is("FORBIDDEN", "input.organizationId"));
    assert_eq!(team.no_collaborator(&bob, &eve.user_id).await, is("NOT_FOUND", "input.organizationId"));
    let grants =
        [ada.grant(&collection, user(&eve), "ADMINISTER").await, ada.grant(&project, user(&eve), "VIEW").await];
    team.add(&lab, &[&eve]).await;
    assert_eq!(eve.access(&of_team).await, some("CONTRIBUTE"));
    // What they issue, and what waits for their address.
    eve.grant(&collection, user(&bob), "VIEW").await;
    let link = eve.ok("createShareLink", json!({ "resourceId": collection }), "url shareLink { id }").await;
    let input = json!({ "resourceId": collection, "grantee": { "email": "later@example.org" }, "level": "VIEW" });
    eve.ok("grantAccess", input, "invited").await;
    let waiting = ada.create(&team.id, "PROJECT", "Waiting").await;
    let input = json!({ "resourceId": waiting, "grantee": { "email": "eve@example.org" }, "level": "VIEW" });
    ada.ok("grantAccess", input, "invited").await;
    let input = json!({ "organizationId": team.id, "userId": eve.user_id });
    let removed = admin.ok("removeCollaborator", input.clone(), "removedGrants").await;
    assert!(removed["removedGrants"] == 2 || removed["removedGrants"] == 3, "{removed}");
    for resource in [&collection, &project, &of_team, &waiting] {
        assert_eq!(eve.access(resource).await, None);
    }
    app.sign_in(app.anonymous(), "eve@example.org").await;
    assert_eq!(eve.access(&waiting).await, None);
    assert_eq!(team.in_team(&lab).await, [(ada.user_id.clone(), true)]);
    assert_eq!(team.outside().await, [bob.user_id.as_str()]);
    assert_eq!(admin.refused("removeCollaborator", input).await.is(), ("NOT_FOUND", "input.userId"));
    // What they had issued stays ended, whatever they get again; what they had granted to others stays.
    ada.grant(&collection, user(&eve), "ADMINISTER").await;
    assert_eq!(bob.access(&collection).await, some("VIEW"));
    let page = crate::support::page::Visitor::new(&app.url).get(&text(&link["url"])).await;
    assert!(page.status >= 400, "{}", page.html);
    let query = "query($id: ID!) { node(id: $id) { ... on Resource { shareLinks { totalCount } grantInvitations { totalCount } } } }";
    let left = ada.query(query, json!({ "id": collection })).await["node"].clone();
    assert_eq!(left, json!({ "shareLinks": { "totalCount": 0 }, "grantInvitations": { "totalCount": 0 } }));
    let query = "query($id: ID!) { organization(by: { id: $id }) { auditLog(last: 20, action: \"organization.collaborator_removed\") { nodes { actor { id } targetId metadata } } } }";
    let log = team.owner.query(query, json!({ "id": team.id })).await["organization"]["auditLog"].clone();
    let [event] = nodes(&log).as_slice() else { panic!("{log}") };
    assert_eq!((&event["actor"]["id"], &event["metadata"]["teamIds"]), (&json!(admin.user_id), &json!([lab])));
    assert!(text(&event["targetId"]).starts_with("col_"), "{event}");
    let named = event["metadata"]["grantIds"].as_array().unwrap();
    assert!(grants.iter().all(|grant| named.contains(&json!(grant))), "{event}");
    let log = team.audit().await;
    assert!(
        log.contains(&"share_link.revoked".to_owned()) && log.contains(&"grant.invitation_revoked".to_owned()),
        "{log:?}"
    );
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}

// R67: however much is granted to somebody, it ends in one step, and each event names at most a thousand grants.
#[tokio::test]
async fn a_collaborator_with_much_is_removed_in_one_step() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    app.give(&team, &team.owner, "project", 2_500).await;
    let (organization, who, by) = (uuid(&team.id), uuid(&eve.user_id), uuid(&team.owner.user_id));
    app.database
        .sql(&format!(
            "INSERT INTO grants (id, organization_id, resource_id, user_id, level, granted_by_id, created_at) \
             SELECT gen_random_uuid(), '{organization}', id, '{who}', 'view', '{by}', rollcall_now() FROM resources \
             WHERE organization_id = '{organization}'"
        ))
        .await;
    assert_eq!(team.outside().await, [eve.user_id.as_str()]);
    assert_eq!(team.remove_collaborator(&eve).await, 2_500);
    assert_eq!(team.outside().await, Vec::<String>::new());
    let named = app
        .database
        .texts(
            "SELECT jsonb_array_length(metadata -> 'grantIds')::text AS value FROM audit_events \
             WHERE action = 'organization.collaborator_removed' ORDER BY sequence",
        )
        .await;
    assert_eq!(named, ["1000", "1000", "500"]);
    app.finish().await;
}

// R66, R68, R81: teams hold collaborators, who have what the team is granted until they leave it, or until nothing is
// granted to themselves any more. A team makes nobody a collaborator.
#[tokio::test]
async fn teams_hold_collaborators() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let (eve, bob) = (app.sign_up("eve@example.org").await, app.sign_up("bob@example.org").await);
    let lab = team.group("Lab", &[&ada]).await;
    let own = ada.create(&team.id, "PROJECT", "Own").await;
    let second = ada.create(&team.id, "PROJECT", "Second").await;
    let workspace = ada.create(&team.id, "WORKSPACE", "Workspace").await;
    let inside = ada.create_in(&workspace, "PROJECT", "Inside").await;
    let of_lab = ada.grant(&workspace, json!({ "teamId": lab }), "CONTRIBUTE").await;
    assert_eq!(team.not_added(&lab, &eve).await, is("NOT_FOUND", "input.userIds.0"));
    // Nor does what somebody has elsewhere.
    let elsewhere = Team { id: bob.found("Elsewhere").await, owner: bob };
    let foreign = elsewhere.owner.create(&elsewhere.id, "PROJECT", "Foreign").await;
    elsewhere.owner.grant(&foreign, user(&eve), "VIEW").await;
    assert_eq!(team.not_added(&lab, &eve).await, is("NOT_FOUND", "input.userIds.0"));
    let first = ada.grant(&own, user(&eve), "VIEW").await;
    assert_eq!(eve.access(&inside).await, None);
    team.add(&lab, &[&eve]).await;
    team.add(&lab, &[&eve, &ada]).await;
    assert_eq!(team.in_team(&lab).await, [(ada.user_id.clone(), true), (eve.user_id.clone(), false)]);
    assert_eq!((eve.access(&workspace).await, eve.access(&inside).await), (some("CONTRIBUTE"), some("CONTRIBUTE")));
    eve.create_in(&inside, "DOCUMENT", "Notes").await;
    let reached = eve.query("{ viewer { resources(first: 100) { nodes { name } } } }", json!({})).await;
    let mut names: Vec<String> = nodes(&reached["viewer"]["resources"]).iter().map(|it| text(&it["name"])).collect();
    names.sort_unstable();
    assert_eq!(names, ["Foreign", "Inside", "Notes", "Own", "Workspace"]);
    // The list says by what they reach it.
    let listed = team.collaborators(&team.owner).await;
    let one = &nodes(&listed)[0];
    assert_eq!(one["teams"], json!({ "nodes": [{ "name": "Lab" }] }));
    let ids: Vec<String> = nodes(&one["grants"]).iter().map(|grant| text(&grant["id"])).collect();
    assert_eq!(ids, [of_lab.as_str(), first.as_str()]);
    // Outside they see nothing of the team or its organization.
    let query = "query($id: ID!) { node(id: $id) { ... on Team { name } } }";
    assert!(eve.query(query, json!({ "id": lab })).await["node"].is_null());
    assert!(!eve.belongs_to(&team.id).await);
    // Out of the team they are a collaborator still.
    team.owner.ok("removeTeamMember", json!({ "teamId": lab, "userId": eve.user_id }), "").await;
    assert_eq!((eve.access(&inside).await, eve.access(&own).await), (None, some("VIEW")));
    team.add(&lab, &[&eve]).await;
    // With the last grant of their own they leave their teams.
    let last = ada.grant(&second, user(&eve), "VIEW").await;
    ada.ok("revokeAccess", json!({ "grantId": first }), "").await;
    assert_eq!((team.in_team(&lab).await.len(), eve.access(&inside).await), (2, some("CONTRIBUTE")));
    eve.ok("revokeAccess", json!({ "grantId": last }), "").await;
    assert_eq!((team.in_team(&lab).await, eve.access(&inside).await), (vec![(ada.user_id.clone(), true)], None));
    assert_eq!(team.outside().await, Vec::<String>::new());
    // A later grant doesn't bring them back into it.
    ada.grant(&second, user(&eve), "VIEW").await;
    assert_eq!((eve.access(&second).await, eve.access(&inside).await), (some("VIEW"), None));
    team.add(&lab, &[&eve]).await;
    // Nor does anything stay when the resource goes.
    ada.ok("deleteResource", json!({ "id": second }), "").await;
    assert_eq!((team.in_team(&lab).await.len(), eve.access(&inside).await), (1, None));
    let removed = "SELECT count(*) AS value FROM audit_events WHERE action = 'organization.team_member_removed' AND actor_kind = 'system'";
    assert_eq!(app.database.number(removed).await, 2);
    // Where sharing is kept inside, teams hold members only, and what is there is dormant.
    ada.grant(&own, user(&eve), "VIEW").await;
    team.add(&lab, &[&eve]).await;
    team.sharing("MEMBERS_ONLY").await;
    assert_eq!((eve.access(&own).await, eve.access(&inside).await), (None, None));
    let office = team.group("Office", &[]).await;
    assert_eq!(team.not_added(&office, &eve).await, is("FORBIDDEN", "input.userIds.0"));
    team.sharing("ALLOWED").await;
    assert_eq!(eve.access(&inside).await, some("CONTRIBUTE"));
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}

// D9, R77, R81: the owner and admins see the collaborators in teams; teammates do where everybody is shown.
#[tokio::test]
async fn whom_one_sees_in_a_team_is_the_directorys() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let bob = app.join(&team, "bob@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    ada.grant(&project, user(&eve), "VIEW").await;
    let lab = team.group("Lab", &[&ada, &admin, &eve]).await;
    for (directory, of_ada, of_bob) in [("HIDDEN", 1, None), ("LEADERSHIP", 2, Some(1)), ("EVERYONE", 3, Some(2))] {
        let policy = json!({ "organizationId": team.id, "memberDirectory": directory });
        team.owner.ok("updateOrganizationPolicy", policy, "").await;
        for leader in [&team.owner, &admin] {
            assert_eq!(seen_in(leader, &lab).await.len(), 3, "{directory}");
        }
        let seen = seen_in(&ada, &lab).await;
        assert_eq!(seen.len(), of_ada, "{directory}: {seen:?}");
        assert_eq!(seen.contains(&(eve.user_id.clone(), false)), directory == "EVERYONE", "{directory}");
        match of_bob {
            None => {
                let query = "query($id: ID!) { node(id: $id) { ... on Team { name } } }";
                assert!(bob.query(query, json!({ "id": lab })).await["node"].is_null());
            }
            Some(count) => {
                let seen = seen_in(&bob, &lab).await;
                assert_eq!(seen.len(), count, "{directory}: {seen:?}");
                assert!(!seen.contains(&(eve.user_id.clone(), false)), "{directory}");
            }
        }
    }
    app.finish().await;
}

// R37, R42, R45, R67, R68: a collaborator who joins is none any more and keeps what they have; who departs is none,
// until something is granted to them again; and a revert leaves everything right.
#[tokio::test]
async fn who_joins_or_departs_is_no_collaborator() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let of_lab = team.owner.create(&team.id, "PROJECT", "Of the lab").await;
    team.owner.grant(&project, user(&eve), "UPLOAD").await;
    let lab = team.group("Lab", &[&eve]).await;
    team.owner.grant(&of_lab, json!({ "teamId": lab }), "VIEW").await;
    let invitation = team.invite("eve@example.org", "MEMBER").await;
    assert_eq!(team.outside().await, [eve.user_id.as_str()]);
    eve.ok("acceptInvitation", json!({ "id": invitation }), "").await;
    assert_eq!(team.outside().await, Vec::<String>::new());
    assert_eq!((eve.access(&project).await, eve.access(&of_lab).await), (some("UPLOAD"), some("VIEW")));
    assert_eq!(team.in_team(&lab).await, [(eve.user_id.clone(), true)]);
    // Uploading keeps the grant, which is dormant then: it makes nobody a collaborator.
    eve.create_in(&project, "SAMPLE", "L-1").await;
    let departure = team.remove(&eve).await;
    assert_eq!((team.outside().await, team.in_team(&lab).await), (vec![], vec![]));
    assert_eq!((eve.access(&project).await, eve.access(&of_lab).await), (None, None));
    assert_eq!(team.not_added(&lab, &eve).await, is("NOT_FOUND", "input.userIds.0"));
    assert_eq!(team.no_collaborator(&team.owner, &eve.user_id).await, is("NOT_FOUND", "input.userId"));
    app.completed(&team, &departure).await;
    assert_eq!(team.outside().await, Vec::<String>::new());
    // What is granted to them after that counts, and what they had doesn't.
    let after = team.owner.create(&team.id, "PROJECT", "After").await;
    team.owner.grant(&after, user(&eve), "VIEW").await;
    assert_eq!(team.outside().await, [eve.user_id.as_str()]);
    team.add(&lab, &[&eve]).await;
    assert_eq!((eve.access(&project).await, eve.access(&of_lab).await), (None, some("VIEW")));
    // A revert makes them a member again, with all of it.
    team.owner.ok("revertDeparture", json!({ "departureId": departure }), "").await;
    assert_eq!((team.outside().await, team.in_team(&lab).await), (vec![], vec![(eve.user_id.clone(), true)]));
    let reached = (eve.access(&project).await, eve.access(&of_lab).await, eve.access(&after).await);
    assert_eq!(reached, (some("UPLOAD"), some("VIEW"), some("VIEW")));
    app.until_idle().await;
    // They leave by themselves, and a removal of what comes after takes it all.
    eve.ok("leaveOrganization", json!({ "organizationId": team.id }), "").await;
    assert_eq!((team.outside().await, team.in_team(&lab).await), (vec![], vec![]));
    app.until_idle().await;
    team.owner.grant(&after, user(&eve), "VIEW").await;
    team.remove_collaborator(&eve).await;
    assert_eq!((team.outside().await, eve.access(&after).await), (vec![], None));
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}

// R61, R67: a project that moves takes its grants along: its collaborators are those of the other organization then,
// and leave the teams of the first.
#[tokio::test]
async fn collaborators_follow_a_project_that_moves() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let chief = app.sign_up("chief@example.org").await;
    let there = Team { id: chief.found("Elsewhere").await, owner: chief };
    let (eve, bob) = (app.sign_up("eve@example.org").await, app.sign_up("bob@example.org").await);
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let inside = team.owner.create_in(&project, "DOCUMENT", "Notes").await;
    let stays = team.owner.create(&team.id, "PROJECT", "Stays").await;
    team.owner.grant(&inside, user(&eve), "VIEW").await;
    team.owner.grant(&project, user(&bob), "VIEW").await;
    team.owner.grant(&stays, user(&bob), "VIEW").await;
    let lab = team.group("Lab", &[&eve, &bob]).await;
    let input = json!({ "resourceId": project, "recipientId": there.owner.user_id });
    // The recipient can be named by id once they know each other.
    let username = there.owner.username().await;
    let offer = team.owner.mutate("offerProjectTransfer", input, "transfer { id }").await;
    let offer = match offer.user_errors("offerProjectTransfer").is_empty() {
        true => text(&offer.data()["offerProjectTransfer"]["transfer"]["id"]),
        false => {
            let input = json!({ "resourceId": project, "recipientUsername": username });
            text(&team.owner.ok("offerProjectTransfer", input, "transfer { id }").await["transfer"]["id"])
        }
    };
    there.owner.ok("acceptProjectTransfer", json!({ "id": offer, "organizationId": there.id }), "").await;
    app.until_idle().await;
    assert_eq!(team.outside().await, [bob.user_id.as_str()]);
    assert_eq!(there.outside().await, sorted(vec![eve.user_id.clone(), bob.user_id.clone()]));
    assert_eq!(team.in_team(&lab).await, [(bob.user_id.clone(), false)]);
    assert_eq!((eve.access(&inside).await, bob.access(&inside).await), (some("VIEW"), some("VIEW")));
    // Each organization removes its own.
    assert_eq!(there.remove_collaborator(&bob).await, 1);
    assert_eq!((bob.access(&inside).await, bob.access(&stays).await), (None, some("VIEW")));
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}

// R66, R68: the last grants are revoked while the person is being added to a team: nobody is left in it without one.
#[tokio::test]
async fn nobody_stays_in_a_team_whose_last_grants_end_at_that_instant() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let projects: Vec<String> =
        join_all((0..2).map(|n| team.owner.create(&team.id, "PROJECT", if n == 0 { "One" } else { "Two" }))).await;
    let workspace = team.owner.create(&team.id, "WORKSPACE", "Of the lab").await;
    let lab = team.group("Lab", &[]).await;
    team.owner.grant(&workspace, json!({ "teamId": lab }), "CONTRIBUTE").await;
    for round in 0..12 {
        let eve = app.sign_up(&format!("eve{round}@example.org")).await;
        let mut grants = Vec::new();
        for project in &projects {
            grants.push(team.owner.grant(project, user(&eve), "VIEW").await);
        }
        let added_before = round % 2 == 0;
        if added_before {
            team.add(&lab, &[&eve]).await;
        }
        let [one, two, adding] = [team.owner.twin(), eve.twin(), team.owner.twin()];
        join_all([&one, &two, &adding].map(|client| client.run("{ __typename }", json!({})))).await;
        let add = json!({ "teamId": lab, "userIds": [eve.user_id] });
        let (_, added) = join(
            join(
                one.ok("revokeAccess", json!({ "grantId": grants[0] }), ""),
                two.ok("revokeAccess", json!({ "grantId": grants[1] }), ""),
            ),
            adding.mutate("addTeamMembers", add, ""),
        )
        .await;
        let codes: Vec<String> = added.user_errors("addTeamMembers").into_iter().map(|error| error.code).collect();
        assert!(codes.is_empty() || codes == ["NOT_FOUND"], "{codes:?}");
        assert_eq!(team.in_team(&lab).await, []);
        // Nor are they in it with what is granted next.
        team.owner.grant(&projects[0], user(&eve), "VIEW").await;
        assert_eq!((eve.access(&workspace).await, eve.access(&projects[0]).await), (None, some("VIEW")));
        team.remove_collaborator(&eve).await;
    }
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}

// R67: something is granted while the collaborator is being removed: it ends with the removal, or comes after it, in
// the log too.
#[tokio::test]
async fn what_is_granted_at_the_instant_of_a_removal_ends_or_comes_after_it() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let mut projects = Vec::new();
    for n in 0..8 {
        projects.push(team.owner.create(&team.id, "PROJECT", &format!("Project {n}")).await);
    }
    for round in 0..6 {
        // More is shared with strangers here than anybody shares in a day.
        app.database.sql("DELETE FROM attempts").await;
        let eve = app.sign_up(&format!("eve{round}@example.org")).await;
        team.owner.grant(&projects[0], user(&eve), "VIEW").await;
        let twins: Vec<Client> = (0..projects.len()).map(|_| team.owner.twin()).collect();
        let remover = team.owner.twin();
        join_all(twins.iter().chain([&remover]).map(|client| client.run("{ __typename }", json!({})))).await;
        let grant = async |client: &Client, project: &str| {
            let input = json!({ "resourceId": project, "grantee": user(&eve), "level": "CONTRIBUTE" });
            client.ok("grantAccess", input, "grant { id }").await
        };
        let granting = join_all(twins.iter().zip(&projects).map(|(client, project)| grant(client, project)));
        let input = json!({ "organizationId": team.id, "userId": eve.user_id });
        join(granting, remover.ok("removeCollaborator", input, "removedGrants")).await;
        // Which grants there are is what the log says, read from its beginning.
        let (organization, who) = (uuid(&team.id), &eve.user_id);
        let left = format!(
            "SELECT count(*) AS value FROM audit_events c WHERE c.organization_id = '{organization}' AND c.action = 'grant.created' \
             AND c.metadata ->> 'grantee' = '{who}' AND NOT EXISTS (SELECT FROM audit_events r WHERE r.organization_id = c.organization_id \
             AND r.action = 'organization.collaborator_removed' AND r.sequence > c.sequence AND r.metadata -> 'grantIds' ? c.target_id)"
        );
        let told = app.database.number(&left).await;
        let removed_after = format!(
            "SELECT count(*) AS value FROM audit_events c JOIN audit_events r ON r.organization_id = c.organization_id \
             AND r.action = 'organization.collaborator_removed' AND r.metadata ->> 'subject' = '{who}' AND r.sequence > c.sequence \
             WHERE c.action = 'grant.created' AND c.metadata ->> 'grantee' = '{who}' AND NOT r.metadata -> 'grantIds' ? c.target_id"
        );
        assert_eq!(app.database.number(&removed_after).await, 0, "granted before the removal, and left by it");
        let there = format!("SELECT count(*) AS value FROM grants WHERE user_id = '{}'", uuid(&eve.user_id));
        assert_eq!(app.database.number(&there).await, told);
    }
    app.finish().await;
}

// R67: a page of a thousand collaborators among many grants reads no more than its people, by an index.
#[tokio::test]
async fn a_long_list_of_collaborators_is_read_by_pages() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let (organization, owner) = (uuid(&team.id), uuid(&team.owner.user_id));
    app.give(&team, &team.owner, "project", 100).await;
    // A thousand collaborators and a thousand members, with a hundred grants each.
    app.database
        .sql(&format!(
            "CREATE TEMP TABLE people AS SELECT gen_random_uuid() AS id, n FROM generate_series(1, 2000) n; \
             INSERT INTO users (id, email, folded_email, username, name, folded_name, created_at) \
               SELECT id, 'person-' || n || '@example.org', 'person-' || n || '@example.org', 'person-' || n, 'Person ' || n, \
                 'person ' || n, rollcall_now() FROM people; \
             INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, \
                 joined_at, joined_via) \
               SELECT gen_random_uuid(), '{organization}', id, 'member', 'active', true, true, 'contribute', rollcall_now(), 'join_code' \
               FROM people WHERE n % 2 = 0; \
             INSERT INTO grants (id, organization_id, resource_id, user_id, level, granted_by_id, created_at) \
               SELECT gen_random_uuid(), '{organization}', r.id, p.id, 'view', '{owner}', rollcall_now() \
               FROM people p CROSS JOIN resources r WHERE r.organization_id = '{organization}'; \
             ANALYZE users, members, grants"
        ))
        .await;
    Plans::explain(&mut app).await;
    let plans = Plans::of(&app);
    let (mut after, mut found, mut wrong) = (Value::Null, 0, Vec::new());
    for page in 0..20 {
        let query = "query($id: ID!, $after: String) { organization(by: { id: $id }) { collaborators(first: 50, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } } }";
        let asked = team.owner.query(query, json!({ "id": team.id, "after": after }));
        let (answer, plans) = plans.during(asked).await;
        let list = &answer["organization"]["collaborators"];
        found += nodes(list).len();
        assert_eq!(list["pageInfo"]["hasNextPage"], page < 19, "page {page}");
        after = list["pageInfo"]["endCursor"].clone();
        let mut lists = plans.iter().filter(|(statement, _)| statement.contains("RECURSIVE person"));
        let (_, plan) = lists.next().expect("the list is one statement");
        let indexes = [
            "grants_outside_idx",
            "grants_collaborators_idx",
            "organizations_pkey",
            "users_pkey",
            "members_user_id_idx",
            "members_user_key",
        ];
        // There are few organizations here.
        let found = problems(plan, 200, &indexes).into_iter().filter(|problem| !problem.contains("organizations"));
        wrong.extend(found.map(|problem| format!("page {page}: {problem}")));
    }
    assert_eq!(found, 1_000);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(team.collaborators(&team.owner).await["totalCount"], 1_000);
    app.finish().await;
}
