//! Members: who sees whom, lists, and roles.

use crate::support::client::{nodes, text};
use crate::support::page::Visitor;
use crate::support::people::uuid;
use crate::support::{Client, TestApp, Value, json};

const MEMBERS: &str = "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String, $role: Role, $search: String, $order: MemberOrder) { \
     organization(by: { id: $id }) { members(first: $first, after: $after, last: $last, before: $before, role: $role, search: $search, orderBy: $order) { \
     totalCount nodes { id role email user { name } } edges { cursor node { id } } \
     pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } leadership { role user { name } } } }";

// R51: a list without pages has an end: the owner, and those who have been members for longest. Pages have the rest.
#[tokio::test]
async fn of_many_who_lead_those_are_named_who_have_been_there_for_longest() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let other = team.owner.found("Other").await;
    for (organization, count, name) in [(&team.id, 250, "first"), (&other, 150, "second")] {
        let fill = format!(
            "CREATE TEMP TABLE people ON COMMIT DROP AS SELECT gen_random_uuid() AS id, n FROM generate_series(1, {count}) n; \
             INSERT INTO users (id, email, folded_email, username, name, folded_name, created_at) \
               SELECT id, '{name}-' || n || '@example.org', '{name}-' || n || '@example.org', '{name}-' || n, '{name} ' || n, '{name} ' || n, rollcall_now() FROM people; \
             INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, joined_at, \
               joined_via) SELECT gen_random_uuid(), '{}', id, CASE WHEN n % 10 < 2 THEN 'member' ELSE 'admin' END, 'active', true, true, 'administer', rollcall_now() - make_interval(secs => n), \
               'join_code' FROM people",
            uuid(organization)
        );
        app.database.sql(&format!("BEGIN; {fill}; COMMIT")).await;
    }
    let query = "query($a: ID!, $b: ID!) { first: organization(by: { id: $a }) { ...Leaders } second: organization(by: { id: $b }) { ...Leaders } } \
         fragment Leaders on Organization { leadership { role user { name } } members(role: ADMIN) { totalCount } }";
    let seen = team.owner.query(query, json!({ "a": team.id, "b": other })).await;
    for (name, count) in [("first", 250), ("second", 150)] {
        let leaders = seen[name]["leadership"].as_array().unwrap();
        assert_eq!(leaders[0]["role"], "OWNER");
        let named: Vec<String> = leaders[1..].iter().map(|leader| text(&leader["user"]["name"])).collect();
        let longest = (1..=count).rev().filter(|n| n % 10 > 1).take(99);
        assert_eq!(named, longest.map(|n| format!("{name} {n}")).collect::<Vec<_>>());
        assert_eq!(seen[name]["members"]["totalCount"], count / 10 * 8);
    }
    app.finish().await;
}

// R2, R7, R51, D9: leaders see everyone; a member sees the leadership and themselves.
#[tokio::test]
async fn a_member_sees_the_leadership_and_leaders_see_everyone() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    for (person, sees) in [(&team.owner, 4), (&admin, 4), (&ada, 3), (&grace, 3)] {
        let seen = person.query(MEMBERS, json!({ "id": team.id })).await;
        let members = &seen["organization"]["members"];
        assert_eq!((nodes(members).len(), &members["totalCount"]), (sees, &json!(sees)), "{}", person.email);
        assert_eq!(seen["organization"]["leadership"].as_array().unwrap().len(), 2);
        // Addresses are for leaders, and one's own.
        let emails = nodes(members).iter().filter(|member| member["email"].is_string()).count();
        assert_eq!(emails, if sees == 4 { 4 } else { 1 }, "{}", person.email);
    }
    let id = team.member_id(&grace).await;
    let query = "query($id: ID!) { node(id: $id) { id } }";
    assert!(ada.query(query, json!({ "id": id })).await["node"].is_null());
    assert_eq!(grace.query(query, json!({ "id": id })).await["node"]["id"], id.as_str());
    // No address of a member can be searched by another member.
    let seen = ada.query(MEMBERS, json!({ "id": team.id, "search": "admin@example" })).await;
    assert_eq!(nodes(&seen["organization"]["members"]).len(), 0);
    app.finish().await;
}

// R15: searched, filtered, and paged in either direction.
#[tokio::test]
async fn members_are_searched_filtered_and_paged() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for n in 0..6 {
        app.join(&team, &format!("person{n}@example.org"), if n % 2 == 0 { "MEMBER" } else { "VIEWER" }).await;
    }
    let ask = async |extra: Value| {
        let mut variables = json!({ "id": team.id });
        variables.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        team.owner.query(MEMBERS, variables).await["organization"]["members"].clone()
    };
    assert_eq!(nodes(&ask(json!({ "role": "VIEWER" })).await).len(), 3);
    assert_eq!(ask(json!({ "search": "PERSON1" })).await["totalCount"], 1);
    assert_eq!(ask(json!({ "search": "%" })).await["totalCount"], 0);
    for order in ["NAME", "JOINED_AT", "ROLE"] {
        let all: Vec<String> = nodes(&ask(json!({ "order": order, "first": 100 })).await)
            .iter()
            .map(|member| text(&member["id"]))
            .collect();
        assert_eq!(all.len(), 7);
        let (mut forward, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = ask(json!({ "order": order, "first": 2, "after": after })).await;
            forward.extend(nodes(&page).iter().map(|member| text(&member["id"])));
            if page["pageInfo"]["hasNextPage"] != true {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(forward, all, "{order}");
        let (mut backward, mut before) = (Vec::new(), Value::Null);
        loop {
            let page = ask(json!({ "order": order, "last": 3, "before": before })).await;
            let ids: Vec<String> = nodes(&page).iter().map(|member| text(&member["id"])).collect();
            backward.splice(0..0, ids);
            if page["pageInfo"]["hasPreviousPage"] != true {
                break;
            }
            before = page["pageInfo"]["startCursor"].clone();
        }
        assert_eq!(backward, all, "{order}");
    }
    for wrong in
        [json!({ "first": 101 }), json!({ "first": -1 }), json!({ "first": 1, "last": 1 }), json!({ "after": "x" })]
    {
        let mut variables = json!({ "id": team.id });
        variables.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(team.owner.run(MEMBERS, variables).await.error_code(), "BAD_REQUEST", "{wrong}");
    }
    app.finish().await;
}

// R10, R12, R46: the owner promotes and demotes; ownership doesn't pass by a role.
#[tokio::test]
async fn roles_are_changed_by_whom_the_table_says() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let second = app.join(&team, "second@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let (admin_id, second_id, ada_id) =
        (team.member_id(&admin).await, team.member_id(&second).await, team.member_id(&ada).await);
    let owner_id = team.member_id(&team.owner).await;
    let change = |id: &str, role: &str| json!({ "memberId": id, "role": role });
    for (person, input, error) in [
        (&admin, change(&ada_id, "ADMIN"), ("FORBIDDEN", "input.memberId")),
        (&admin, change(&second_id, "MEMBER"), ("FORBIDDEN", "input.memberId")),
        (&admin, change(&admin_id, "MEMBER"), ("SELF", "input.memberId")),
        (&admin, change(&owner_id, "MEMBER"), ("FORBIDDEN", "input.memberId")),
        (&team.owner, change(&owner_id, "ADMIN"), ("SELF", "input.memberId")),
        (&team.owner, change(&ada_id, "OWNER"), ("FORBIDDEN", "input.role")),
        (&ada, change(&admin_id, "MEMBER"), ("FORBIDDEN", "input.memberId")),
    ] {
        assert_eq!(person.refused("changeMemberRole", input).await.is(), error);
    }
    let changed = admin.ok("changeMemberRole", change(&ada_id, "VIEWER"), "member { role }").await;
    assert_eq!(changed["member"]["role"], "VIEWER");
    team.owner.ok("changeMemberRole", change(&second_id, "MEMBER"), "member { role }").await;
    // In force at once.
    assert_eq!(second.refused("createJoinCodes", json!({ "organizationId": team.id })).await.code, "FORBIDDEN");
    app.finish().await;
}

// R3, R10: whose role changes hears of it: from what to what, and by whom.
#[tokio::test]
async fn a_changed_role_is_mailed_to_its_member() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    team.owner.ok("updateProfile", json!({ "name": "Charles Babbage" }), "").await;
    let input = json!({ "memberId": team.member_id(&ada).await, "role": "ADMIN" });
    team.owner.ok("changeMemberRole", input.clone(), "").await;
    let mail = app.mail_about("ada@example.org", "Your role in Acme Genomics is now Admin").await;
    for part in ["it was Member", "Charles Babbage", "You received this email because"] {
        assert!(mail.text.contains(part), "{}", mail.text);
    }
    // Nothing changed, nothing to tell.
    team.owner.ok("changeMemberRole", input, "").await;
    app.until_idle().await;
    assert!(app.read_mail("ada@example.org", "Your role").is_none());
    app.finish().await;
}

// R52, R54: one's organizations, at or above a role; someone without any is asked for one.
#[tokio::test]
async fn ones_organizations_are_listed_at_or_above_a_role() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let query = "query($role: Role) { viewer { needsOrganization memberships(atLeast: $role) { totalCount nodes { role organization { name } } } } }";
    let seen = ada.query(query, json!({ "role": "VIEWER" })).await;
    assert_eq!(
        (&seen["viewer"]["needsOrganization"], &seen["viewer"]["memberships"]["totalCount"]),
        (&json!(true), &json!(0))
    );
    ada.found("Mine").await;
    ada.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id }").await;
    for (role, count) in [("VIEWER", 2), ("MEMBER", 2), ("ADMIN", 1), ("OWNER", 1)] {
        let seen = ada.query(query, json!({ "role": role })).await;
        let memberships = &seen["viewer"]["memberships"];
        assert_eq!((&memberships["totalCount"], nodes(memberships).len()), (&json!(count), count), "{role}");
    }
    app.finish().await;
}

// R3, R4, R55: permissions are given by those above; the owner's can't be changed.
#[tokio::test]
async fn permissions_are_changed_by_those_above() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let ids = [team.member_id(&team.owner).await, team.member_id(&admin).await, team.member_id(&ada).await];
    let [owner_id, admin_id, ada_id] = ids;
    let change = |id: &str, permissions: Value| json!({ "memberId": id, "permissions": permissions });
    let shown = "member { permissions { billableActivities sharedApps sharedProjects } }";
    let given = admin
        .ok(
            "updateMemberPermissions",
            change(&ada_id, json!({ "billableActivities": true, "sharedProjects": "VIEW" })),
            shown,
        )
        .await;
    let before = given["member"]["permissions"].clone();
    assert_eq!((&before["billableActivities"], &before["sharedProjects"]), (&json!(true), &json!("VIEW")));
    // What is left out stays.
    let given =
        admin.ok("updateMemberPermissions", change(&ada_id, json!({ "billableActivities": false })), shown).await;
    assert_eq!(
        given["member"]["permissions"],
        json!({ "billableActivities": false, "sharedApps": before["sharedApps"], "sharedProjects": "VIEW" })
    );
    let refusal =
        ada.refused("createResource", json!({ "organizationId": team.id, "kind": "PROJECT", "name": "x" })).await;
    assert_eq!(refusal.code, "BILLING_ACCESS_REQUIRED");
    for (person, id, code) in [
        (&admin, &owner_id, "FORBIDDEN"),
        (&admin, &admin_id, "SELF"),
        (&ada, &admin_id, "FORBIDDEN"),
        (&ada, &ada_id, "SELF"),
        (&team.owner, &owner_id, "SELF"),
    ] {
        let refusal = person.refused("updateMemberPermissions", change(id, json!({ "sharedApps": false }))).await;
        assert_eq!(refusal.is(), (code, "input.memberId"));
    }
    team.owner.ok("updateMemberPermissions", change(&admin_id, json!({ "sharedApps": false })), shown).await;
    let departure = team.remove(&ada).await;
    app.completed(&team, &departure).await;
    let refusal = team.owner.refused("updateMemberPermissions", change(&ada_id, json!({ "sharedApps": false }))).await;
    assert_eq!(refusal.is(), ("CONFLICT", "input.memberId"));
    app.finish().await;
}

// R7, R51, R77, D9: under a hidden directory members and viewers see nobody else: neither who leads, nor other teams,
// nor who has invited or removed them; by no field, id, key, mail or page. Leaders see everyone as ever.
#[tokio::test]
async fn a_hidden_directory_shows_nobody_who_leads() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let viewer = app.join(&team, "viewer@example.org", "VIEWER").await;
    team.owner.ok("updateProfile", json!({ "name": "Grace Hopper" }), "").await;
    let policy = |directory: &str| json!({ "organizationId": team.id, "memberDirectory": directory });
    team.owner.ok("updateOrganizationPolicy", policy("HIDDEN"), "").await;
    let key = ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    let key = app.client(&text(&key["secret"]));
    let lab = team.group("Lab", &[&ada, &team.owner]).await;
    let board = team.group("Board", &[&admin, &team.owner]).await;
    let seen_by = async |person: &Client| {
        let query = "query($id: ID!, $owner: ID!, $board: ID!) { organization(by: { id: $id }) { name owner { name } leadership { user { name } } \
             members { totalCount } teams { totalCount nodes { name members { totalCount nodes { user { id } } } } } \
             board: teams(search: \"Board\") { totalCount } viewerMembership { teams { nodes { name } } } } \
             owner: node(id: $owner) { id } board: node(id: $board) { id } }";
        person.query(query, json!({ "id": team.id, "owner": team.owner.user_id, "board": board })).await
    };
    for (person, own) in [(&ada, 1), (&key, 1), (&viewer, 0)] {
        let seen = seen_by(person).await;
        let organization = &seen["organization"];
        assert_eq!((&organization["owner"], &organization["leadership"]), (&json!(null), &json!(null)));
        assert_eq!(
            (&organization["members"]["totalCount"], &organization["board"]["totalCount"]),
            (&json!(1), &json!(0))
        );
        assert_eq!((&seen["owner"], &seen["board"]), (&json!(null), &json!(null)));
        assert_eq!((&organization["teams"]["totalCount"], nodes(&organization["teams"]).len()), (&json!(own), own));
        for team in nodes(&organization["teams"]) {
            let themselves = json!({ "totalCount": 1, "nodes": [{ "user": { "id": ada.user_id } }] });
            assert_eq!((&team["name"], &team["members"]), (&json!("Lab"), &themselves));
        }
        assert_eq!(nodes(&organization["viewerMembership"]["teams"]).len(), own);
    }
    // Nor does a list tell whose a thing is: it knows nobody but the one who asks.
    let project = team.owner.create(&team.id, "PROJECT", "Everybody's").await;
    team.owner.ok("updateResource", json!({ "id": project, "visibility": "ORGANIZATION" }), "").await;
    let of =
        "query($id: ID!, $owner: ID) { organization(by: { id: $id }) { resources(ownerId: $owner) { nodes { id } } } }";
    for (person, owner, count) in [
        (&ada, json!(null), 1),
        (&ada, json!(team.owner.user_id), 0),
        (&ada, json!(ada.user_id), 0),
        (&key, json!(team.owner.user_id), 0),
        (&admin, json!(team.owner.user_id), 1),
    ] {
        let seen = person.query(of, json!({ "id": team.id, "owner": owner })).await;
        assert_eq!(nodes(&seen["organization"]["resources"]).len(), count, "{owner}");
    }
    // Another team might as well not exist, whatever one does.
    for (mutation, input) in [
        ("updateTeam", json!({ "id": board, "name": "Mine" })),
        ("deleteTeam", json!({ "id": board })),
        ("addTeamMembers", json!({ "teamId": board, "userIds": [ada.user_id] })),
        ("removeTeamMember", json!({ "teamId": board, "userId": ada.user_id })),
    ] {
        assert_eq!(ada.refused(mutation, input).await.code, "NOT_FOUND", "{mutation}");
    }
    assert_eq!(ada.refused("deleteTeam", json!({ "id": lab })).await.code, "FORBIDDEN");
    for person in [&team.owner, &admin] {
        let seen = seen_by(person).await;
        assert_eq!(seen["organization"]["owner"]["name"], "Grace Hopper");
        assert_eq!(seen["organization"]["leadership"].as_array().unwrap().len(), 2);
        assert_eq!(
            (&seen["organization"]["members"]["totalCount"], &seen["organization"]["teams"]["totalCount"]),
            (&json!(4), &json!(2))
        );
        assert!(seen["board"]["id"].is_string() && seen["owner"]["id"].is_string());
    }
    // Nor do mails, pages, and what leads to somebody tell who acts for the organization.
    let invited = app.sign_up("new@example.org").await;
    team.invite("new@example.org", "MEMBER").await;
    let mail = app.mail_about("new@example.org", "invited").await;
    assert_eq!(mail.subject, "You are invited to join Acme Genomics");
    let seen = invited
        .query("{ viewer { invitations { nodes { invitedBy { name } organization { owner { name } } } } } }", json!({}))
        .await;
    let nobody = json!({ "invitedBy": null, "organization": { "owner": null } });
    assert_eq!(nodes(&seen["viewer"]["invitations"])[0], nobody);
    let preview = "query($token: String!) { invitation(token: $token) { invitedBy organizationName } }";
    let preview = app.anonymous().query(preview, json!({ "token": mail.token() })).await;
    assert_eq!(preview["invitation"], json!({ "invitedBy": null, "organizationName": "Acme Genomics" }));
    let page = Visitor::new(&app.url).get(&mail.link("/invitations/")).await.text();
    assert!(page.contains("new@example.org is invited to join acme genomics"), "{page}");
    let collection = ada.create(&team.id, "COLLECTION", "Best of").await;
    team.owner.ok("createShareLink", json!({ "resourceId": collection }), "").await;
    ada.ok("createShareLink", json!({ "resourceId": collection }), "").await;
    let links = "query($id: ID!) { node(id: $id) { ... on Resource { shareLinks { nodes { createdBy { id } } } } } }";
    let links = ada.query(links, json!({ "id": collection })).await;
    let made_by = json!([{ "createdBy": null }, { "createdBy": { "id": ada.user_id } }]);
    assert_eq!(links["node"]["shareLinks"]["nodes"], made_by);
    // Nor does what is shared tell whose it is or who made it, or who offers it; one's own is one's own.
    let shared = team.owner.create(&team.id, "DOCUMENT", "Minutes").await;
    let project = admin.create(&team.id, "PROJECT", "Liver atlas").await;
    for resource in [&shared, &project] {
        team.owner.ok("updateResource", json!({ "id": resource, "visibility": "ORGANIZATION" }), "").await;
    }
    team.owner.ok("offerProjectTransfer", json!({ "resourceId": project, "recipientId": ada.user_id }), "").await;
    let whose = "{ viewer { resources(first: 50) { nodes { id owner { id name username avatarUrl } createdBy { id name username } \
         openTransfer { offeredBy { id name } } } } } }";
    let incoming =
        "{ viewer { incomingTransfers { nodes { offeredBy { id name username } resource { owner { id name } } } } } }";
    for person in [&ada, &key, &viewer] {
        let seen = person.query(whose, json!({})).await;
        let resources = nodes(&seen["viewer"]["resources"]);
        for resource in [&shared, &project] {
            let found = resources.iter().find(|found| found["id"] == resource.as_str()).unwrap();
            let (owner, maker) = (&found["owner"], &found["createdBy"]);
            assert_eq!((&owner["name"], &owner["username"]), (&json!("owner"), &json!("owner")));
            assert_eq!((&maker["name"], &maker["username"]), (&json!("creator"), &json!("creator")));
            for somebody in [owner, maker] {
                let lookup =
                    person.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": somebody["id"] })).await;
                assert_eq!(lookup["node"], json!(null));
            }
            assert_ne!(owner["id"], maker["id"]);
        }
        let seen = seen.to_string() + &person.query(incoming, json!({})).await.to_string();
        for leader in [&team.owner, &admin] {
            assert!(!seen.contains(&leader.user_id), "{seen}");
        }
    }
    let offered = ada.query(incoming, json!({})).await;
    assert_eq!(nodes(&offered["viewer"]["incomingTransfers"])[0]["offeredBy"]["name"], "member");
    let own = ada.query(whose, json!({})).await;
    let own =
        nodes(&own["viewer"]["resources"]).iter().find(|found| found["id"] == collection.as_str()).unwrap().clone();
    assert_eq!((&own["owner"]["id"], &own["createdBy"]["id"]), (&json!(ada.user_id), &json!(ada.user_id)));
    for person in [&team.owner, &admin] {
        let seen = person.query(whose, json!({})).await;
        let found =
            nodes(&seen["viewer"]["resources"]).iter().find(|found| found["id"] == shared.as_str()).unwrap().clone();
        assert_eq!(
            (&found["owner"]["name"], &found["createdBy"]["name"]),
            (&json!("Grace Hopper"), &json!("Grace Hopper"))
        );
    }
    let member = team.member_id(&ada).await;
    team.owner.ok("changeMemberRole", json!({ "memberId": member, "role": "VIEWER" }), "").await;
    team.owner.ok("changeMemberRole", json!({ "memberId": member, "role": "MEMBER" }), "").await;
    // What becomes of one's things at the end passes to the owner, and no more is said of them.
    let plan = "query($id: ID!, $member: ID!) { organization(by: { id: $id }) { departurePlan(memberId: $member, kind: LEAVE) { \
         newOwner { id name username } } } }";
    let plan = ada.query(plan, json!({ "id": team.id, "member": member })).await;
    let heir = &plan["organization"]["departurePlan"]["newOwner"];
    assert_eq!((&heir["name"], &heir["username"]), (&json!("owner"), &json!("owner")));
    assert_ne!(heir["id"], json!(team.owner.user_id));
    let departure = team.remove(&ada).await;
    app.completed(&team, &departure).await;
    let query = "query($id: ID!) { node(id: $id) { ... on Departure { startedBy { name } newOwner { id name } moves { nodes { to { id name } } } } } }";
    let seen = ada.query(query, json!({ "id": departure })).await["node"].clone();
    let moved_to = &nodes(&seen["moves"])[0]["to"];
    assert_eq!(
        (&seen["startedBy"], &seen["newOwner"]["name"], &moved_to["name"]),
        (&json!(null), &json!("owner"), &json!("owner"))
    );
    assert!(!seen.to_string().contains(&team.owner.user_id), "{seen}");
    let seen = admin.query(query, json!({ "id": departure })).await["node"].clone();
    assert_eq!(
        (&seen["startedBy"]["name"], &seen["newOwner"]["name"]),
        (&json!("Grace Hopper"), &json!("Grace Hopper"))
    );
    app.until_idle().await;
    let told: Vec<_> = app.smtp.mails().into_iter().filter(|mail| mail.recipient == "ada@example.org").collect();
    assert!(
        told.len() > 3 && told.iter().all(|mail| !mail.text.contains("Hopper") && !mail.html.contains("Hopper")),
        "{told:?}"
    );
    // Where the directory is open, members see whom to contact.
    team.owner.ok("updateOrganizationPolicy", policy("LEADERSHIP"), "").await;
    let seen = seen_by(&viewer).await;
    assert_eq!(seen["organization"]["owner"]["name"], "Grace Hopper");
    assert_eq!((&seen["organization"]["teams"]["totalCount"], seen["board"]["id"].is_string()), (&json!(2), true));
    app.finish().await;
}
