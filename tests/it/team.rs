//! Teams.

use crate::support::client::{nodes, text};
use crate::support::{Client, Team, TestApp, Value, json};

const MEMBERS: &str = "query($id: ID!) { node(id: $id) { ... on Team { name description organization { name } \
     members(first: 2) { totalCount nodes { user { name } member { role } } pageInfo { hasNextPage endCursor } } } } }";
const TEAMS: &str = "query($id: ID!, $search: String) { organization(by: { id: $id }) { teams(search: $search) { totalCount nodes { id name } } } }";

impl Team {
    /// A team with some members; its id.
    pub async fn group(&self, name: &str, people: &[&Client]) -> String {
        let input = json!({ "organizationId": self.id, "name": name });
        let id = text(&self.owner.ok("createTeam", input, "team { id }").await["team"]["id"]);
        if !people.is_empty() {
            let ids: Vec<&str> = people.iter().map(|person| person.user_id.as_str()).collect();
            self.owner.ok("addTeamMembers", json!({ "teamId": id, "userIds": ids }), "team { id }").await;
        }
        id
    }
}

/// The names that a viewer sees in a team, and how many there are said to be.
async fn people(viewer: &Client, team: &str) -> (Vec<String>, i64) {
    let found = viewer.query(MEMBERS, json!({ "id": team })).await;
    let members = &found["node"]["members"];
    let names = nodes(members).iter().map(|person| text(&person["user"]["name"])).collect();
    (names, members["totalCount"].as_i64().unwrap())
}

// R66: teams have a name, a description and a picture, and hold members.
#[tokio::test]
async fn leaders_manage_teams_and_everyone_sees_them() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let bob = app.join(&team, "bob@example.org", "VIEWER").await;
    let input = json!({ "organizationId": team.id, "name": " Sequencing lab ", "description": "Reads.", "avatarUrl": "https://example.org/lab.png" });
    let created = admin.ok("createTeam", input, "team { id name description avatarUrl }").await;
    let id = text(&created["team"]["id"]);
    assert!(id.starts_with("tea_"));
    assert_eq!(created["team"]["name"], "Sequencing lab");
    // Names are told apart without case.
    let twice = json!({ "organizationId": team.id, "name": "sequencing LAB" });
    assert_eq!(team.owner.refused("createTeam", twice).await.is(), ("CONFLICT", "input.name"));
    let other = team.group("Analysis", &[]).await;
    assert_eq!(
        team.owner.refused("updateTeam", json!({ "id": other, "name": "Sequencing lab" })).await.is(),
        ("CONFLICT", "input.name")
    );
    // Updates change what they name.
    let renamed = json!({ "id": id, "name": "Wet lab", "description": null });
    let updated = admin.ok("updateTeam", renamed, "team { name description avatarUrl }").await;
    assert_eq!(
        updated["team"],
        json!({ "name": "Wet lab", "description": null, "avatarUrl": "https://example.org/lab.png" })
    );
    // Members of the organization are added, all or none, and once.
    let stranger = app.sign_up("eve@example.org").await;
    let input = json!({ "teamId": id, "userIds": [ada.user_id, stranger.user_id] });
    assert_eq!(admin.refused("addTeamMembers", input).await.is(), ("NOT_FOUND", "input.userIds.1"));
    assert_eq!(people(&admin, &id).await, (vec![], 0));
    let input = json!({ "teamId": id, "userIds": [ada.user_id, bob.user_id, admin.user_id] });
    admin.ok("addTeamMembers", input.clone(), "team { id }").await;
    admin.ok("addTeamMembers", input, "team { id }").await;
    let (first, total) = people(&admin, &id).await;
    assert_eq!((first.len(), total), (2, 3));
    // Everyone in the organization finds the team; whom they see in it is the directory's (D9).
    for person in [&team.owner, &admin, &ada, &bob] {
        let found = person.query(TEAMS, json!({ "id": team.id, "search": "LAB" })).await;
        assert_eq!(
            found["organization"]["teams"],
            json!({ "totalCount": 1, "nodes": [{ "id": id, "name": "Wet lab" }] })
        );
    }
    assert_eq!(people(&bob, &id).await, (vec!["admin".to_owned(), "bob".to_owned()], 2));
    assert!(stranger.query(MEMBERS, json!({ "id": id })).await["node"].is_null());
    // Members manage none, but may go by themselves.
    for (mutation, input) in [
        ("createTeam", json!({ "organizationId": team.id, "name": "Mine" })),
        ("updateTeam", json!({ "id": id, "name": "Mine" })),
        ("deleteTeam", json!({ "id": id })),
        ("addTeamMembers", json!({ "teamId": id, "userIds": [ada.user_id] })),
        ("removeTeamMember", json!({ "teamId": id, "userId": bob.user_id })),
    ] {
        assert_eq!(ada.refused(mutation, input.clone()).await.code, "FORBIDDEN", "{mutation}");
        assert_eq!(stranger.refused(mutation, input).await.code, "NOT_FOUND", "{mutation}");
    }
    ada.ok("removeTeamMember", json!({ "teamId": id, "userId": ada.user_id }), "team { id }").await;
    let again = json!({ "teamId": id, "userId": ada.user_id });
    assert_eq!(admin.refused("removeTeamMember", again).await.is(), ("NOT_FOUND", "input.userId"));
    admin.ok("removeTeamMember", json!({ "teamId": id, "userId": bob.user_id }), "team { id }").await;
    assert_eq!(people(&team.owner, &id).await.1, 1);
    admin.ok("deleteTeam", json!({ "id": id }), "deletedTeamId").await;
    assert!(admin.query(MEMBERS, json!({ "id": id })).await["node"].is_null());
    assert_eq!(admin.refused("deleteTeam", json!({ "id": id })).await.is(), ("NOT_FOUND", "input.id"));
    let log = team.audit().await;
    for action in ["created", "updated", "members_added", "member_removed", "deleted"] {
        assert!(log.contains(&format!("organization.team_{action}")), "{action}: {log:?}");
    }
    app.finish().await;
}

// A bad cursor is its own asker's fault: what is loaded together with it comes all the same.
#[tokio::test]
async fn a_bad_cursor_spoils_nobody_elses_list() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    let theirs = Team { id: eve.found("Elsewhere").await, owner: eve };
    team.group("Lab", &[&team.owner]).await;
    let query = |arguments: &str| {
        format!(
            "{{ viewer {{ memberships {{ nodes {{ teams{arguments} {{ nodes {{ name }} }} machines{arguments} {{ nodes {{ name }} }} }} }} }} }}"
        )
    };
    let (good, bad) = (query(""), query("(first: 5, after: \"x\")"));
    let bad = (0..16).map(|_| {
        let (eve, bad) = (theirs.owner.twin(), bad.clone());
        async move { assert_eq!(eve.run(&bad, json!({})).await.error_code(), "BAD_REQUEST") }
    });
    let good = (0..16).map(|_| {
        let (owner, good) = (team.owner.twin(), good.clone());
        async move {
            let found = owner.query(&good, json!({})).await;
            assert_eq!(nodes(&found["viewer"]["memberships"])[0]["teams"]["nodes"], json!([{ "name": "Lab" }]));
        }
    });
    tokio::join!(futures_util::future::join_all(bad), futures_util::future::join_all(good));
    app.finish().await;
}

// D5: a personal organization has no teams.
#[tokio::test]
async fn a_personal_organization_has_no_teams() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let personal = ada.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let input = json!({ "organizationId": personal["viewer"]["personalOrganization"]["id"], "name": "Me" });
    assert_eq!(ada.refused("createTeam", input).await.is(), ("FORBIDDEN", "input.organizationId"));
    app.finish().await;
}

// R66: an invitation leads into teams; those that are deleted meanwhile it leads into no longer.
#[tokio::test]
async fn an_invitation_leads_into_teams() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (lab, office, gone) =
        (team.group("Lab", &[]).await, team.group("Office", &[]).await, team.group("Gone", &[]).await);
    let elsewhere = app.sign_up("eve@example.org").await;
    let theirs = Team { id: elsewhere.found("Elsewhere").await, owner: elsewhere };
    let foreign = theirs.group("Theirs", &[]).await;
    let invite = |teams: Value| json!({ "organizationId": team.id, "invitations": [{ "email": "bob@example.org" }, { "email": "ada@example.org", "teamIds": teams }] });
    let refused = team.owner.refused("inviteMembers", invite(json!([lab, foreign]))).await;
    assert_eq!(refused.is(), ("NOT_FOUND", "input.invitations.1.teamIds.1"));
    let many: Vec<&str> = (0..21).map(|_| lab.as_str()).collect();
    let refused = team.owner.refused("inviteMembers", invite(json!(many))).await;
    assert_eq!(refused.is(), ("TOO_MANY", "input.invitations.1.teamIds"));
    let selection = "invitations { id email teams { name } }";
    let made = team.owner.ok("inviteMembers", invite(json!([lab, office, gone, lab])), selection).await;
    let teams = json!([{ "name": "Lab" }, { "name": "Office" }, { "name": "Gone" }]);
    assert_eq!((&made["invitations"][0]["teams"], &made["invitations"][1]["teams"]), (&json!([]), &teams));
    team.owner.ok("deleteTeam", json!({ "id": gone }), "").await;
    // Who is invited by address sees where it leads, and gets there with a new account.
    let token = app.mail_to("ada@example.org").await.token();
    let selection = "sessionToken member { teams { totalCount nodes { name } } }";
    let accepted = app.anonymous().ok("acceptInvitation", json!({ "token": token }), selection).await;
    let ada = app.anonymous().with_token(&text(&accepted["sessionToken"]));
    let query = "query($id: ID!) { organization(by: { id: $id }) { viewerMembership { teams { totalCount nodes { name } } } } }";
    let seen = ada.query(query, json!({ "id": team.id })).await;
    let expected = json!({ "totalCount": 2, "nodes": [{ "name": "Lab" }, { "name": "Office" }] });
    assert_eq!(seen["organization"]["viewerMembership"]["teams"], expected);
    app.finish().await;
}

// R42, R45, R66: a leaver leaves all teams of the organization, and comes back into none.
#[tokio::test]
async fn a_leaver_leaves_all_teams() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let (lab, office) = (team.group("Lab", &[&ada, &team.owner]).await, team.group("Office", &[&ada]).await);
    let member = team.member_id(&ada).await;
    let plan = "query($id: ID!, $member: ID!) { organization(by: { id: $id }) { departurePlan(memberId: $member, kind: REMOVE) { steps { step affects examples } } } }";
    let plan = team.owner.query(plan, json!({ "id": team.id, "member": member })).await;
    let steps = plan["organization"]["departurePlan"]["steps"].as_array().unwrap().clone();
    let step = steps.iter().find(|step| step["step"] == "LEAVE_TEAMS").unwrap();
    assert_eq!((&step["affects"], &step["examples"]), (&json!(2), &json!(["Lab", "Office"])));
    let departure = team.remove(&ada).await;
    let left = team.departure(&departure).await;
    let step = left["steps"].as_array().unwrap().iter().find(|step| step["step"] == "LEAVE_TEAMS").unwrap().clone();
    assert_eq!((&step["done"], &step["total"], step["completedAt"].is_string()), (&json!(2), &json!(2), true));
    assert_eq!(people(&team.owner, &lab).await, (vec!["owner".to_owned()], 1));
    assert_eq!(people(&team.owner, &office).await.1, 0);
    // Nobody is put into a team who isn't a member.
    let input = json!({ "teamId": lab, "userIds": [ada.user_id] });
    assert_eq!(team.owner.refused("addTeamMembers", input.clone()).await.is(), ("NOT_FOUND", "input.userIds.0"));
    app.completed(&team, &departure).await;
    team.owner.ok("reactivateMember", json!({ "memberId": member }), "").await;
    assert_eq!(people(&team.owner, &lab).await.1, 1);
    team.owner.ok("addTeamMembers", input, "").await;
    assert_eq!(people(&team.owner, &lab).await.1, 2);
    app.finish().await;
}

// R8, R13, R35: members register machines, the list of members shows them, and a leaver's pass to the owner.
#[tokio::test]
async fn the_list_of_members_gives_their_machines() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let bob = app.join(&team, "bob@example.org", "MEMBER").await;
    ada.create(&team.id, "MACHINE", "Workstation").await;
    let input =
        json!({ "organizationId": team.id, "kind": "MACHINE", "name": "Cluster", "visibility": "ORGANIZATION" });
    ada.ok("createResource", input, "").await;
    ada.create(&team.id, "VOLUME", "Reads").await;
    let policy = json!({ "organizationId": team.id, "memberDirectory": "EVERYONE" });
    team.owner.ok("updateOrganizationPolicy", policy, "").await;
    let query = "query($id: ID!) { organization(by: { id: $id }) { members { nodes { user { username } role machines { nodes { name kind } } } } } }";
    let machines = async |viewer: &Client, username: &str| {
        let data = viewer.query(query, json!({ "id": team.id })).await;
        let members = nodes(&data["organization"]["members"]).clone();
        let member = members.into_iter().find(|member| member["user"]["username"] == username).unwrap();
        nodes(&member["machines"]).iter().map(|machine| text(&machine["name"])).collect::<Vec<_>>()
    };
    assert_eq!(machines(&team.owner, "ada").await, ["Workstation", "Cluster"]);
    assert_eq!(machines(&ada, "ada").await, ["Workstation", "Cluster"]);
    assert_eq!(machines(&bob, "ada").await, ["Cluster"]);
    assert!(machines(&team.owner, "bob").await.is_empty());
    let departure = team.remove(&ada).await;
    let departure = app.completed(&team, &departure).await;
    let step = departure["steps"].as_array().unwrap().iter().find(|step| step["step"] == "TRANSFER_OTHERS").unwrap();
    assert_eq!((&step["done"], &step["total"]), (&json!(2), &json!(2)));
    assert_eq!(machines(&team.owner, &team.owner.username().await).await, ["Workstation", "Cluster"]);
    app.finish().await;
}
