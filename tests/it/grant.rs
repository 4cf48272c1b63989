//! Grants: with whom resources are shared, inside and outside, and what they may do.

use futures_util::future::join_all;
use tokio::sync::Notify;

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::{Client, Team, TestApp, Value, json};

impl Client {
    /// Shares a resource; the grant's id.
    pub async fn grant(&self, resource: &str, grantee: Value, level: &str) -> String {
        let input = json!({ "resourceId": resource, "grantee": grantee, "level": level });
        text(&self.ok("grantAccess", input, "grant { id }").await["grant"]["id"])
    }

    /// What they may do with a resource; none where they don't reach it.
    pub(crate) async fn access(&self, resource: &str) -> Option<String> {
        let query = "query($id: ID!) { node(id: $id) { ... on Resource { viewerAccess } } }";
        let found = self.query(query, json!({ "id": resource })).await;
        found["node"]["viewerAccess"].as_str().map(str::to_owned)
    }

    /// Why sharing is refused.
    async fn no_grant(&self, resource: &str, grantee: Value, level: &str) -> (String, String) {
        let input = json!({ "resourceId": resource, "grantee": grantee, "level": level });
        let error = self.refused("grantAccess", input).await;
        (error.code, error.field)
    }

    /// How many resources they reach.
    async fn reached(&self) -> usize {
        let found = self.query("{ viewer { resources(first: 100) { nodes { id } } } }", json!({})).await;
        nodes(&found["viewer"]["resources"]).len()
    }
}

impl Team {
    pub(crate) async fn sharing(&self, sharing: &str) {
        let policy = json!({ "organizationId": self.id, "externalSharing": sharing });
        self.owner.ok("updateOrganizationPolicy", policy, "").await;
    }
}

/// The field that names a grantee.
fn named(grantee: &Value) -> String {
    format!("input.grantee.{}", grantee.as_object().unwrap().keys().next().unwrap())
}

fn some(level: &str) -> Option<String> {
    Some(level.to_owned())
}

fn is(code: &str, field: &str) -> (String, String) {
    (code.to_owned(), field.to_owned())
}

const GRANTS: &str = "query($id: ID!) { node(id: $id) { ... on Resource { grants { totalCount nodes { id level resource { id } grantee { \
     __typename ... on User { id } ... on Team { id } ... on Organization { id name slug } } } } \
     grantInvitations { totalCount nodes { id email level expiresAt } } } } }";

// R6: a project is shared with an account outside, by id or username: it reaches that and what lies in it, and nothing
// else, until the grant is revoked or given up.
#[tokio::test]
async fn a_project_is_shared_with_someone_outside() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let inside = ada.create_in(&project, "DOCUMENT", "Inside").await;
    let other = ada.create(&team.id, "PROJECT", "Other").await;
    let grant = ada.grant(&project, json!({ "userId": eve.user_id }), "VIEW").await;
    assert!(grant.starts_with("grt_"));
    for (resource, level) in [(&project, some("VIEW")), (&inside, some("VIEW")), (&other, None)] {
        assert_eq!(eve.access(resource).await, level);
    }
    assert_eq!(eve.reached().await, 2);
    assert!(!eve.belongs_to(&team.id).await);
    // The same grant is raised and lowered, however the person is named.
    let username = eve.username().await;
    assert_eq!(ada.grant(&project, json!({ "username": username }), "ADMINISTER").await, grant);
    assert_eq!(eve.access(&inside).await, some("ADMINISTER"));
    // Who administers shares on, from outside too.
    let bob = app.sign_up("bob@example.org").await;
    eve.grant(&project, json!({ "userId": bob.user_id }), "CONTRIBUTE").await;
    assert_eq!(bob.access(&inside).await, some("CONTRIBUTE"));
    assert_eq!(ada.grant(&project, json!({ "username": username.to_uppercase() }), "UPLOAD").await, grant);
    assert_eq!(eve.access(&project).await, some("UPLOAD"));
    // Nobody else does.
    for (person, code) in [(&eve, "FORBIDDEN"), (&bob, "FORBIDDEN"), (&app.sign_up("x@example.org").await, "NOT_FOUND")]
    {
        assert_eq!(
            person.no_grant(&project, json!({ "userId": ada.user_id }), "VIEW").await,
            is(code, "input.resourceId")
        );
        let seen = person.query(GRANTS, json!({ "id": project })).await;
        assert!(seen["node"]["grants"].is_null() && seen["node"]["grantInvitations"].is_null(), "{seen}");
    }
    // Nor do they know of it.
    assert_eq!(bob.refused("revokeAccess", json!({ "grantId": grant })).await.is(), ("NOT_FOUND", "input.grantId"));
    let seen = ada.query(GRANTS, json!({ "id": project })).await["node"]["grants"].clone();
    assert_eq!((&seen["totalCount"], &seen["nodes"][0]["grantee"]["id"]), (&json!(2), &json!(eve.user_id)));
    // The grantee sees their grant, and gives it up.
    let node = "query($id: ID!) { node(id: $id) { ... on Grant { level } } }";
    assert_eq!(eve.query(node, json!({ "id": grant })).await["node"]["level"], "UPLOAD");
    assert!(bob.query(node, json!({ "id": grant })).await["node"].is_null());
    let given_up = eve.ok("revokeAccess", json!({ "grantId": grant }), "revokedGrantId").await;
    assert_eq!(given_up["revokedGrantId"], grant.as_str());
    assert_eq!((eve.access(&project).await, eve.reached().await), (None, 0));
    assert_eq!(eve.refused("revokeAccess", json!({ "grantId": grant })).await.is(), ("NOT_FOUND", "input.grantId"));
    let last = text(&seen["nodes"][1]["id"]);
    ada.ok("revokeAccess", json!({ "grantId": last }), "revokedGrantId").await;
    assert_eq!(bob.access(&inside).await, None);
    let log = team.audit().await;
    for action in ["created", "changed", "revoked"] {
        assert!(log.contains(&format!("grant.{action}")), "{action}: {log:?}");
    }
    app.finish().await;
}

// R57: what can't be shared, or not with them, and why.
#[tokio::test]
async fn what_cannot_be_shared_is_told() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let elsewhere = eve.found("Elsewhere").await;
    let foreign_team = Team { id: elsewhere.clone(), owner: eve.clone() }.group("Lab", &[]).await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let personal = eve.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let personal = text(&personal["viewer"]["personalOrganization"]["id"]);
    let gone = app.sign_up("gone@example.org").await;
    gone.ok("deleteAccount", json!({ "confirmEmail": "gone@example.org" }), "").await;
    let bob = Team {
        id: app.sign_up("bob@example.org").await.found("Closed").await,
        owner: app.sign_up("bob@example.org").await,
    };
    bob.owner.ok("deleteOrganization", json!({ "id": bob.id, "confirmOrganizationName": "Closed" }), "").await;
    for (grantee, code) in [
        (json!({ "userId": ada.user_id }), "SELF"),
        (json!({ "userId": gone.user_id }), "NOT_FOUND"),
        (json!({ "username": "nobody-here" }), "NOT_FOUND"),
        (json!({ "teamId": foreign_team }), "NOT_FOUND"),
        (json!({ "organizationId": bob.id }), "NOT_FOUND"),
        (json!({ "organizationSlug": "nothing-here" }), "NOT_FOUND"),
        (json!({ "organizationId": personal }), "NOT_FOUND"),
    ] {
        let field = named(&grantee);
        assert_eq!(ada.no_grant(&project, grantee.clone(), "VIEW").await, is(code, &field), "{grantee}");
    }
    for (grantee, code, field) in [
        (json!({ "email": "no address" }), "INVALID", "input.grantee.email"),
        (json!({ "username": "" }), "BLANK", "input.grantee.username"),
        (json!({ "organizationSlug": "x".repeat(10_000) }), "TOO_LONG", "input.grantee.organizationSlug"),
    ] {
        assert_eq!(ada.no_grant(&project, grantee, "VIEW").await, is(code, field));
    }
    assert_eq!(
        team.owner.no_grant(&project, json!({ "userId": ada.user_id }), "VIEW").await,
        is("CONFLICT", "input.grantee.userId")
    );
    assert_eq!(ada.no_grant(&project, json!({ "userId": eve.user_id }), "NONE").await, is("INVALID", "input.level"));
    let two = json!({ "resourceId": project, "grantee": { "userId": eve.user_id, "email": "eve@example.org" }, "level": "VIEW" });
    assert_eq!(ada.error_code("grantAccess", two).await, "BAD_REQUEST");
    let seen = ada.query(GRANTS, json!({ "id": project })).await;
    assert_eq!(seen["node"]["grants"]["totalCount"], 0);
    // As many as it takes, and no more.
    let fill = format!(
        "INSERT INTO users (id, email, folded_email, username, name, folded_name, created_at) SELECT gen_random_uuid(), 'filler-' || n || '@example.org', 'filler-' || n || '@example.org', 'filler-' || n, 'Filler', 'filler', rollcall_now() FROM generate_series(1, 1000) n; \
         INSERT INTO grants (id, organization_id, resource_id, user_id, level, granted_by_id, created_at) SELECT gen_random_uuid(), '{0}', '{1}', \
         id, 'view', '{2}', rollcall_now() FROM users WHERE username LIKE 'filler-%'",
        uuid(&team.id),
        uuid(&project),
        uuid(&ada.user_id)
    );
    app.database.sql(&fill).await;
    assert_eq!(
        ada.no_grant(&project, json!({ "userId": eve.user_id }), "VIEW").await,
        is("TOO_MANY", "input.resourceId")
    );
    app.finish().await;
}

// R57, R58: with another organization, at once and at any level; its members get no more than their permissions give
// them.
#[tokio::test]
async fn what_is_shared_with_an_organization_is_capped_by_its_members_permissions() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let theirs = Team { id: eve.found("Elsewhere").await, owner: eve };
    let bob = app.join(&theirs, "bob@example.org", "MEMBER").await;
    let member = theirs.member_id(&bob).await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let application = ada.create(&team.id, "APP", "Aligner").await;
    for level in ["VIEW", "UPLOAD", "CONTRIBUTE", "ADMINISTER"] {
        ada.grant(&project, json!({ "organizationSlug": "elsewhere" }), level).await;
        assert_eq!(theirs.owner.access(&project).await, some(level));
    }
    ada.grant(&application, json!({ "organizationId": theirs.id }), "CONTRIBUTE").await;
    for (apps, projects, app_access, project_access) in [
        (true, "NONE", some("CONTRIBUTE"), None),
        (false, "VIEW", None, some("VIEW")),
        (false, "UPLOAD", None, some("UPLOAD")),
        (true, "ADMINISTER", some("CONTRIBUTE"), some("ADMINISTER")),
    ] {
        let permissions = json!({ "billableActivities": true, "sharedApps": apps, "sharedProjects": projects });
        theirs.owner.ok("updateMemberPermissions", json!({ "memberId": member, "permissions": permissions }), "").await;
        assert_eq!((bob.access(&application).await, bob.access(&project).await), (app_access, project_access));
    }
    // What they see of the organization that it is shared with is what they named.
    let seen = ada.query(GRANTS, json!({ "id": project })).await["node"]["grants"]["nodes"][0]["grantee"].clone();
    assert_eq!((&seen["name"], &seen["slug"]), (&json!("elsewhere"), &Value::Null));
    // Who leaves that organization has nothing of it.
    bob.ok("leaveOrganization", json!({ "organizationId": theirs.id }), "departure { id }").await;
    assert_eq!((bob.access(&application).await, bob.access(&project).await), (None, None));
    // The own organization: all its members.
    let own = ada.create(&team.id, "PROJECT", "For all").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    assert_eq!(grace.access(&own).await, None);
    ada.grant(&own, json!({ "organizationId": team.id }), "VIEW").await;
    assert_eq!(grace.access(&own).await, some("VIEW"));
    app.finish().await;
}

// R59: only who administers an app shares it, with users or organizations; who is removed loses it.
#[tokio::test]
async fn who_administers_an_app_shares_it_and_removed_members_lose_it() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let application = ada.create(&team.id, "APP", "Aligner").await;
    ada.grant(&application, json!({ "userId": grace.user_id }), "CONTRIBUTE").await;
    let bob = app.sign_up("bob@example.org").await;
    let refusal = grace.no_grant(&application, json!({ "userId": bob.user_id }), "VIEW").await;
    assert_eq!(refusal, is("FORBIDDEN", "input.resourceId"));
    let departure = team.remove(&grace).await;
    assert_eq!(grace.access(&application).await, None);
    app.completed(&team, &departure).await;
    assert_eq!(grace.access(&application).await, None);
    // Shared with them again as someone outside.
    ada.grant(&application, json!({ "userId": grace.user_id }), "VIEW").await;
    assert_eq!(grace.access(&application).await, some("VIEW"));
    app.finish().await;
}

// R66: what a team is granted all its members have, until they leave it.
#[tokio::test]
async fn what_a_team_is_granted_its_members_have() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let lab = team.group("Lab", &[&grace]).await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let inside = ada.create_in(&project, "DOCUMENT", "Inside").await;
    ada.grant(&project, json!({ "teamId": lab }), "UPLOAD").await;
    assert_eq!(grace.access(&inside).await, some("UPLOAD"));
    let seen = ada.query(GRANTS, json!({ "id": project })).await["node"]["grants"]["nodes"][0]["grantee"].clone();
    assert_eq!(seen, json!({ "__typename": "Team", "id": lab }));
    team.owner.ok("removeTeamMember", json!({ "teamId": lab, "userId": grace.user_id }), "team { id }").await;
    assert_eq!(grace.access(&inside).await, None);
    app.finish().await;
}

// R57: an organization that keeps its sharing inside shares with its members and teams; what was shared outside before
// sleeps.
#[tokio::test]
async fn sharing_stays_inside_where_the_policy_says_so() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let elsewhere = eve.found("Elsewhere").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    ada.grant(&project, json!({ "userId": eve.user_id }), "VIEW").await;
    team.sharing("MEMBERS_ONLY").await;
    assert_eq!(eve.access(&project).await, None);
    for grantee in [
        json!({ "userId": eve.user_id }),
        json!({ "email": "nobody@example.org" }),
        json!({ "organizationId": elsewhere }),
    ] {
        let field = named(&grantee);
        assert_eq!(ada.no_grant(&project, grantee, "VIEW").await, is("FORBIDDEN", &field));
    }
    ada.grant(&project, json!({ "userId": grace.user_id }), "VIEW").await;
    ada.grant(&project, json!({ "organizationId": team.id }), "VIEW").await;
    assert_eq!(grace.access(&project).await, some("VIEW"));
    team.sharing("ALLOWED").await;
    assert_eq!(eve.access(&project).await, some("VIEW"));
    app.finish().await;
}

/// Whom grants on a resource show, by the name that they show: name, username where it is a person, and id.
async fn grantees(person: &Client, resource: &str) -> Vec<(String, String, String)> {
    let query = "query($id: ID!) { node(id: $id) { ... on Resource { grants { nodes { grantee { \
         ... on User { id name username } ... on Organization { id name } ... on Team { id name } } } } } } }";
    let seen = person.query(query, json!({ "id": resource })).await;
    let shown = |grant: &Value| {
        let grantee = &grant["grantee"];
        (text(&grantee["name"]), grantee["username"].as_str().unwrap_or_default().to_owned(), text(&grantee["id"]))
    };
    nodes(&seen["node"]["grants"]).iter().map(shown).collect()
}

// R6, R21: whoever shares something learns no more than they named: every address is answered, listed, logged and
// mailed alike, whether or not it has an account, and waits for whoever signs in with it.
#[tokio::test]
async fn sharing_with_an_address_tells_of_no_account() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    eve.ok("updateProfile", json!({ "name": "Eve Moneypenny", "avatarUrl": "https://example.org/eve.png" }), "").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let addresses = ["eve@example.org", "grace@example.org", "nobody@example.org"];
    let mut told = Vec::new();
    for email in addresses {
        let input = json!({ "resourceId": project, "grantee": { "email": email }, "level": "VIEW" });
        let answer = ada.mutate("grantAccess", input, "invited grant { id }").await;
        let log = "query($id: ID!) { organization(by: { id: $id }) { auditLog(last: 1) { nodes { action summary actor { id } target { id } metadata } } } }";
        let mut event =
            nodes(&team.owner.query(log, json!({ "id": team.id })).await["organization"]["auditLog"])[0].clone();
        event["metadata"]["grantInvitationIds"] = json!(["the invitation"]);
        let mail = app.mail_about(email, "shared").await;
        let text: String = mail.text.replace(email, "the address").chars().filter(|c| !c.is_ascii_digit()).collect();
        told.push((answer.body.to_string(), event.to_string(), mail.subject, text));
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:#?}");
    assert!(told[0].0.contains("\"invited\":true") && told[0].1.contains("grant.invited"), "{told:?}");
    let seen = ada.query(GRANTS, json!({ "id": project })).await["node"].clone();
    let listed: Vec<_> = nodes(&seen["grantInvitations"])
        .iter()
        .map(|shared| (text(&shared["email"]), text(&shared["level"])))
        .collect();
    assert_eq!(listed, addresses.map(|email| (email.to_owned(), "VIEW".to_owned())));
    assert_eq!((&seen["grants"]["totalCount"], eve.access(&project).await), (&json!(0), None));
    // Whoever signs in has it, and is no more to the sharer than the address; so it is lowered, and revoked.
    let signed_in = app.sign_in(app.anonymous(), "eve@example.org").await;
    assert_eq!(signed_in.access(&project).await, some("VIEW"));
    let called = grantees(&ada, &project).await;
    assert_eq!((called.len(), called[0].0.as_str(), called[0].1.as_str()), (1, "eve@example.org", "eve@example.org"));
    assert_ne!(called[0].2, eve.user_id);
    assert!(
        ada.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": called[0].2 })).await["node"].is_null()
    );
    let grant = ada.grant(&project, json!({ "email": "eve@example.org" }), "UPLOAD").await;
    assert_eq!(eve.access(&project).await, some("UPLOAD"));
    ada.ok("revokeAccess", json!({ "grantId": grant }), "").await;
    assert_eq!(eve.access(&project).await, None);
    // Whoever is signed in all the time has it when they are next seen after some minutes.
    app.shift_clock("6 minutes").await;
    grace.query("{ viewer { email } }", json!({})).await;
    assert_eq!(grace.access(&project).await, some("VIEW"));
    // Leaders see their members' addresses anyway, and everybody knows their own.
    let of_leader = team.owner.create(&team.id, "PROJECT", "Board").await;
    team.owner.grant(&of_leader, json!({ "email": "ada@example.org" }), "VIEW").await;
    let name = ada.query("{ viewer { user { name } } }", json!({})).await["viewer"]["user"]["name"].clone();
    assert_eq!(grantees(&team.owner, &of_leader).await, [(text(&name), ada.username().await, ada.user_id.clone())]);
    assert_eq!(
        ada.no_grant(&project, json!({ "email": "ada@example.org" }), "VIEW").await,
        is("SELF", "input.grantee.email")
    );
    // Nor does the policy tell a member's address from another.
    team.sharing("MEMBERS_ONLY").await;
    let another = ada.create(&team.id, "PROJECT", "Heart atlas").await;
    for email in addresses {
        let refused = ada.no_grant(&another, json!({ "email": email }), "VIEW").await;
        assert_eq!(refused, is("FORBIDDEN", "input.grantee.email"), "{email}");
    }
    app.finish().await;
}

// R21, R57: by username, slug or id likewise: a grant shows its grantee as they were named to whoever may not look them
// up, under an id that leads nowhere unless that is what named them; those who may see them as they are.
#[tokio::test]
async fn a_grant_shows_strangers_as_they_were_named() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    eve.ok(
        "updateProfile",
        json!({ "name": "Eve Moneypenny", "username": "moneypenny", "avatarUrl": "https://example.org/eve.png" }),
        "",
    )
    .await;
    let elsewhere = eve.found("Secret Service").await;
    let logo = json!({ "id": elsewhere, "slug": "universal-exports", "logoUrl": "https://example.org/logo.png" });
    eve.ok("updateOrganization", logo, "").await;
    let bob = app.sign_up("bob@example.org").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let answer = "grant { grantee { ... on User { id name username avatarUrl } ... on Organization { id name slug logoUrl createdAt owner { id } } } }";
    let share = |grantee: Value| json!({ "resourceId": project, "grantee": grantee, "level": "ADMINISTER" });
    let by_username = ada.ok("grantAccess", share(json!({ "username": "MoneyPenny" })), answer).await;
    let by_slug = ada.ok("grantAccess", share(json!({ "organizationSlug": "universal-exports" })), answer).await;
    let by_id = ada.ok("grantAccess", share(json!({ "userId": bob.user_id })), answer).await;
    let called = |payload: &Value| text(&payload["grant"]["grantee"]["name"]);
    assert_eq!(
        [called(&by_username), called(&by_slug), called(&by_id)],
        ["moneypenny", "universal-exports", bob.user_id.as_str()]
    );
    let answers = format!("{by_username}{by_slug}{by_id}");
    for secret in ["Eve", "Secret", ".png", &eve.user_id, &elsewhere, &bob.email] {
        assert!(!answers.contains(secret), "{secret}: {answers}");
    }
    let shown = grantees(&ada, &project).await;
    assert_eq!(
        shown.iter().map(|shown| shown.0.as_str()).collect::<Vec<_>>(),
        ["moneypenny", "universal-exports", bob.user_id.as_str()]
    );
    // Themselves, and their own organization, people see as they are.
    let mut seen = grantees(&eve, &project).await;
    assert_eq!(seen.remove(0), ("Eve Moneypenny".to_owned(), "moneypenny".to_owned(), eve.user_id.clone()));
    assert_eq!(seen.remove(0), ("Secret Service".to_owned(), String::new(), elsewhere.clone()));
    // Colleagues too; a team that one isn't to see is no more than one.
    let lab = team.group("Lab", &[]).await;
    team.owner.grant(&project, json!({ "teamId": lab }), "VIEW").await;
    assert_eq!(grantees(&ada, &project).await[3].0, "Lab");
    assert_eq!(grantees(&eve, &project).await[3].0, "team");
    assert_eq!(eve.no_grant(&project, json!({ "teamId": lab }), "VIEW").await, is("NOT_FOUND", "input.grantee.teamId"));
    app.finish().await;
}

// R6: an address without an account is told by mail; who signs in with it has what was shared, at the newest level.
#[tokio::test]
async fn an_address_without_an_account_gets_its_grant_by_signing_in() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let invite =
        |email: &str, level: &str| json!({ "resourceId": project, "grantee": { "email": email }, "level": level });
    let invited = ada.ok("grantAccess", invite("New@example.org", "VIEW"), "invited grant { id }").await;
    assert_eq!((&invited["invited"], &invited["grant"]), (&json!(true), &Value::Null));
    let mail = app.mail_about("new@example.org", "shared").await;
    assert!(mail.text.contains("Liver atlas") && mail.link("/resources/").contains("/resources/res_"), "{}", mail.text);
    ada.ok("grantAccess", invite("new@example.org", "CONTRIBUTE"), "invited").await;
    ada.ok("grantAccess", invite("back@example.org", "VIEW"), "invited").await;
    ada.ok("grantAccess", invite("late@example.org", "VIEW"), "invited").await;
    let seen = ada.query(GRANTS, json!({ "id": project })).await["node"]["grantInvitations"].clone();
    assert_eq!((&seen["totalCount"], &seen["nodes"][0]["email"]), (&json!(3), &json!("new@example.org")));
    assert_eq!(seen["nodes"][0]["level"], "CONTRIBUTE");
    // One is taken back.
    let back = json!({ "id": seen["nodes"][1]["id"] });
    let stranger = app.sign_up("eve@example.org").await;
    assert_eq!(stranger.refused("revokeGrantInvitation", back.clone()).await.is(), ("NOT_FOUND", "input.id"));
    ada.ok("revokeGrantInvitation", back.clone(), "revokedGrantInvitationId").await;
    assert_eq!(ada.refused("revokeGrantInvitation", back).await.is(), ("NOT_FOUND", "input.id"));
    let new = app.sign_up("new@example.org").await;
    assert_eq!(new.access(&project).await, some("CONTRIBUTE"));
    assert_eq!(app.sign_up("back@example.org").await.access(&project).await, None);
    let seen = ada.query(GRANTS, json!({ "id": project })).await["node"].clone();
    assert_eq!((&seen["grants"]["totalCount"], &seen["grantInvitations"]["totalCount"]), (&json!(1), &json!(1)));
    // Its days are exact, whether or not the worker has swept it.
    app.shift_clock("7 days").await;
    assert_eq!(app.sign_up("late@example.org").await.access(&project).await, None);
    app.finish().await;
}

// R6, R42: by accepting an invitation elsewhere, and by a confirmed change of address too; not where the inviter
// departed, or may not share it any more.
#[tokio::test]
async fn whatever_gives_an_account_the_address_gives_the_grant() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let of_eve = team.owner.grant(&project, json!({ "userId": eve.user_id }), "ADMINISTER").await;
    let adas = ada.create(&team.id, "PROJECT", "Ada's").await;
    let invite = async |person: &Client, resource: &str, email: &str| {
        let input = json!({ "resourceId": resource, "grantee": { "email": email }, "level": "VIEW" });
        assert_eq!(person.ok("grantAccess", input, "invited").await["invited"], true);
    };
    for email in ["joins@example.org", "moves@example.org"] {
        invite(&team.owner, &project, email).await;
        invite(&ada, &adas, email).await;
    }
    invite(&eve, &project, "friend@example.org").await;
    // What a leaver shared with addresses is revoked with their departure; who may not share any more shared in vain.
    let plan = "query($id: ID!, $member: ID!) { organization(by: { id: $id }) { departurePlan(memberId: $member, kind: REMOVE) { \
         steps { step affects examples } } } }";
    let planned = team.owner.query(plan, json!({ "id": team.id, "member": team.member_id(&ada).await })).await;
    let steps = planned["organization"]["departurePlan"]["steps"].as_array().unwrap().clone();
    let revoked = steps.iter().find(|step| step["step"] == "REVOKE_ISSUED").unwrap();
    assert_eq!((&revoked["affects"], &revoked["examples"][0]), (&json!(2), &json!("joins@example.org")));
    let departure = team.remove(&ada).await;
    let completed = app.completed(&team, &departure).await;
    let done =
        completed["steps"].as_array().unwrap().iter().find(|step| step["step"] == "REVOKE_ISSUED").unwrap().clone();
    assert_eq!(done["done"], 2);
    team.owner.ok("revokeAccess", json!({ "grantId": of_eve }), "revokedGrantId").await;
    assert_eq!(app.sign_up("friend@example.org").await.access(&project).await, None);

    let elsewhere = Team { id: eve.found("Elsewhere").await, owner: eve };
    elsewhere.invite("joins@example.org", "MEMBER").await;
    let token = app.mail_about("joins@example.org", "invites you").await.token();
    let accepted = app.anonymous().ok("acceptInvitation", json!({ "token": token }), "sessionToken").await;
    let joined = app.client(&text(&accepted["sessionToken"]));
    assert_eq!((joined.access(&project).await, joined.access(&adas).await), (some("VIEW"), None));

    let mover = app.sign_up("mover@example.org").await;
    mover.ok("changeEmail", json!({ "email": "moves@example.org" }), "").await;
    let token = app.mail_about("moves@example.org", "Confirm").await.token();
    app.anonymous().ok("confirmEmailChange", json!({ "token": token }), "").await;
    let moved = app.sign_in(app.anonymous(), "moves@example.org").await;
    assert_eq!((moved.access(&project).await, moved.access(&adas).await), (some("VIEW"), None));
    app.finish().await;
}

// R32: a key that is limited to one organization shares and reaches what that holds, and nothing else.
#[tokio::test]
async fn a_key_shares_in_its_organization_only() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let other = Team { id: ada.found("Elsewhere").await, owner: ada.clone() };
    let (here, there) =
        (ada.create(&team.id, "PROJECT", "Here").await, ada.create(&other.id, "PROJECT", "There").await);
    let key = ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    let key = app.client(&text(&key["secret"]));
    let owner = json!({ "userId": team.owner.user_id });
    let bob = app.sign_up("bob@example.org").await;
    key.grant(&here, json!({ "userId": bob.user_id }), "VIEW").await;
    assert_eq!(key.no_grant(&there, owner.clone(), "VIEW").await, is("NOT_FOUND", "input.resourceId"));
    let grant = ada.grant(&there, owner, "VIEW").await;
    assert_eq!(key.refused("revokeAccess", json!({ "grantId": grant })).await.is(), ("NOT_FOUND", "input.grantId"));
    app.finish().await;
}

// D7: whoever is deactivated at the instant at which something is shared with them keeps nothing that was shared
// before, and what comes after is for someone outside, as the policy says.
#[tokio::test]
async fn sharing_with_someone_who_is_just_leaving_leaves_no_access() {
    let app = TestApp::start().await;
    let team = app.team().await;
    team.sharing("MEMBERS_ONLY").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let projects = join_all((0..32).map(|_| ada.create(&team.id, "PROJECT", "Atlas"))).await;
    let member = team.member_id(&grace).await;
    let first_grant = Notify::new();
    let first = &first_grant;
    let granting = projects.iter().map(|project| {
        let (ada, input) =
            (ada.twin(), json!({ "resourceId": project, "grantee": { "userId": grace.user_id }, "level": "VIEW" }));
        async move {
            let answer = ada.mutate("grantAccess", input, "").await;
            first.notify_one();
            answer
        }
    });
    let (answers, left) = futures_util::join!(join_all(granting), async {
        first_grant.notified().await;
        team.owner.ok("deactivateMember", json!({ "memberId": member }), "departure { id }").await
    });
    for answer in answers {
        let errors = answer.user_errors("grantAccess");
        assert!(errors.iter().all(|error| error.code == "FORBIDDEN"), "{errors:?}");
    }
    assert_eq!(grace.reached().await, 0);
    // Nor does anything come back with the policy: it was made for a member.
    team.sharing("ALLOWED").await;
    assert_eq!(grace.reached().await, 0);
    app.completed(&team, &text(&left["departure"]["id"])).await;
    app.finish().await;
}

// R57: the same shared many times at once is one grant.
#[tokio::test]
async fn sharing_at_once_makes_one_grant() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let bob = app.sign_up("bob@example.org").await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let grants = join_all((0..32).map(|n| {
        let (owner, project, bob) = (team.owner.twin(), project.clone(), bob.user_id.clone());
        async move { owner.grant(&project, json!({ "userId": bob }), ["VIEW", "UPLOAD"][n % 2]).await }
    }))
    .await;
    assert!(grants.iter().all(|grant| *grant == grants[0]), "{grants:?}");
    app.finish().await;
}

// R33: to who is no member any more a sample of their own is shared as it is, and not with all of its project.
#[tokio::test]
async fn a_leavers_own_sample_is_shared_with_them() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let sample = ada.create(&team.id, "SAMPLE", "A-1").await;
    let to_ada = json!({ "userId": ada.user_id });
    assert_eq!(team.owner.no_grant(&sample, to_ada.clone(), "VIEW").await, is("CONFLICT", "input.grantee.userId"));
    app.completed(&team, &team.remove(&ada).await).await;
    assert_eq!(ada.access(&sample).await, None);
    let grant = team.owner.grant(&sample, to_ada, "VIEW").await;
    // Hers as long as it is shared with her.
    assert_eq!(ada.access(&sample).await, some("ADMINISTER"));
    assert_eq!(ada.reached().await, 1);
    team.owner.ok("revokeAccess", json!({ "grantId": grant }), "").await;
    assert_eq!(ada.access(&sample).await, None);
    app.finish().await;
}

// R6: shared with an address at the instant that it becomes an account's: the account has it, by its next sign-in where
// it came first.
#[tokio::test]
async fn sharing_with_an_address_that_is_just_signing_up_misses_nobody() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for n in 0..6 {
        let email = format!("new{n}@example.org");
        let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
        let input = json!({ "resourceId": project, "grantee": { "email": email }, "level": "VIEW" });
        let (shared, new) =
            futures_util::join!(team.owner.mutate("grantAccess", input.clone(), "invited"), app.sign_up(&email));
        assert_eq!(shared.user_errors("grantAccess"), []);
        // By the digits again, so that the two meet at different moments.
        let other = format!("other{n}@example.org");
        let input = json!({ "resourceId": project, "grantee": { "email": other }, "level": "VIEW" });
        let anonymous = app.anonymous();
        anonymous.ok("requestSignIn", json!({ "email": other }), "").await;
        let code = app.mail_about(&other, "sign in").await.digits();
        let digits = json!({ "digits": { "email": other, "code": code } });
        let (shared, _) = futures_util::join!(
            team.owner.mutate("grantAccess", input, "invited"),
            anonymous.ok("signIn", digits, "sessionToken")
        );
        assert_eq!(shared.user_errors("grantAccess"), []);
        for (person, email) in [(new, &email), (anonymous.clone(), &other)] {
            let person = app.sign_in(person, email).await;
            assert_eq!(person.access(&project).await, some("VIEW"));
        }
    }
    app.finish().await;
}

// R6: much shared with one address is one account's with its first sign-in; it is mailed five times an hour, and then
// nothing more is shared with it until the hour is over.
#[tokio::test]
async fn much_shared_with_an_address_is_no_flood_of_mails() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for n in 0..25 {
        let project = team.owner.create(&team.id, "PROJECT", &format!("Atlas {n}")).await;
        let input = json!({ "resourceId": project, "grantee": { "email": "new@example.org" }, "level": "VIEW" });
        if n % 5 == 0 && n > 0 {
            let refused = team.owner.no_grant(&project, json!({ "email": "new@example.org" }), "VIEW").await;
            assert_eq!(refused, is("RATE_LIMITED", "input.grantee.email"));
            app.until_idle().await;
            let mails = app.smtp.mails().into_iter().filter(|mail| mail.recipient == "new@example.org").count();
            assert_eq!(mails, n);
            app.forget_mails().await;
        }
        assert_eq!(team.owner.ok("grantAccess", input, "invited").await["invited"], true);
    }
    // So much and no more waits for one address.
    app.database
        .sql(
            "INSERT INTO grant_invitations (id, organization_id, resource_id, email, level, invited_by_id, created_at, expires_at) \
             SELECT gen_random_uuid(), organization_id, resource_id, 'much@example.org', level, invited_by_id, created_at, expires_at \
             FROM grant_invitations LIMIT 25; \
             INSERT INTO resources (id, organization_id, kind, name, folded_name, owner_id, owned_since, created_by_id, created_at, updated_at) \
             SELECT gen_random_uuid(), organization_id, 'volume', 'Reads', 'reads', owner_id, owned_since, created_by_id, created_at, updated_at \
             FROM (SELECT * FROM resources WHERE kind = 'project' LIMIT 25) r CROSS JOIN generate_series(1, 39); \
             INSERT INTO grant_invitations (id, organization_id, resource_id, email, level, invited_by_id, created_at, expires_at) \
             SELECT gen_random_uuid(), r.organization_id, r.id, 'much@example.org', 'view', r.owner_id, r.created_at, \
             r.created_at + interval '7 days' FROM resources r WHERE kind = 'volume'",
        )
        .await;
    let project = team.owner.create(&team.id, "PROJECT", "One more").await;
    let refused = team.owner.no_grant(&project, json!({ "email": "much@example.org" }), "VIEW").await;
    assert_eq!(refused, is("TOO_MANY", "input.grantee.email"));
    let much = app.sign_up("much@example.org").await;
    let count =
        "SELECT count(*) AS value FROM grants g JOIN users u ON u.id = g.user_id WHERE u.email = 'much@example.org'";
    assert_eq!(app.database.number(count).await, 1_000);
    assert_eq!(much.reached().await, 100);
    app.finish().await;
}

// R6: what somebody has typed to share something, such as an address, is shown to them and to those who lead the
// organization; others who administer the same resource see that it is shared with someone.
#[tokio::test]
async fn what_others_typed_is_not_shown_to_outside_administrators() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let boss = app.join(&team, "boss@example.org", "ADMIN").await;
    let grace = app.sign_up("grace.private@corp.example").await;
    let carol = app.sign_up("carol@example.org").await;
    let elsewhere = app.sign_up("bob@example.org").await.found("Secret Service").await;
    let project = ada.create(&team.id, "PROJECT", "Joint").await;
    let share = |grantee: Value| json!({ "resourceId": project, "grantee": grantee, "level": "VIEW" });
    ada.ok("grantAccess", share(json!({ "email": "grace.private@corp.example" })), "").await;
    app.sign_in(app.anonymous(), "grace.private@corp.example").await;
    ada.ok("grantAccess", share(json!({ "email": "waiting@corp.example" })), "").await;
    ada.grant(&project, json!({ "organizationId": elsewhere }), "VIEW").await;
    ada.grant(&project, json!({ "username": carol.username().await }), "ADMINISTER").await;
    carol.ok("grantAccess", share(json!({ "email": "third@corp.example" })), "").await;
    let waiting = async |person: &Client| {
        let seen = person.query(GRANTS, json!({ "id": project })).await["node"]["grantInvitations"].clone();
        nodes(&seen).iter().map(|shared| shared["email"].clone()).collect::<Vec<_>>()
    };
    let shown: Vec<String> =
        grantees(&carol, &project).await.into_iter().take(2).flat_map(|(a, b, c)| [a, b, c]).collect();
    assert_eq!(
        (&shown[0], &shown[1], &shown[3]),
        (&"someone".to_owned(), &"someone".to_owned(), &"organization".to_owned())
    );
    assert!(!shown.contains(&grace.user_id) && !shown.contains(&elsewhere), "{shown:?}");
    assert_eq!(waiting(&carol).await, [Value::Null, json!("third@corp.example")]);
    for person in [&ada, &boss, &team.owner] {
        assert_eq!(grantees(person, &project).await[0].0, "grace.private@corp.example");
    }
    assert_eq!(waiting(&ada).await, [json!("waiting@corp.example"), Value::Null]);
    assert_eq!(waiting(&boss).await, [json!("waiting@corp.example"), json!("third@corp.example")]);
    // She may take back what she can't read.
    let seen =
        carol.query(GRANTS, json!({ "id": project })).await["node"]["grantInvitations"]["nodes"][0]["id"].clone();
    carol.ok("revokeGrantInvitation", json!({ "id": seen }), "").await;
    // Offers likewise.
    let offer = json!({ "resourceId": project, "recipientUsername": grace.username().await });
    team.owner.ok("offerProjectTransfer", offer, "").await;
    let query = "query($id: ID!) { node(id: $id) { ... on Resource { openTransfer { recipient { id username } } } } }";
    let recipient = carol.query(query, json!({ "id": project })).await["node"]["openTransfer"]["recipient"].clone();
    assert_eq!(recipient["username"], "someone");
    assert_ne!(recipient["id"], grace.user_id.as_str());
    app.finish().await;
}

// R77, R57: where sharing stays inside, a hidden directory keeps it to those whom it shows.
#[tokio::test]
async fn sharing_inside_tells_of_no_member_who_is_hidden() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let boss = app.join(&team, "boss@example.org", "ADMIN").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    team.sharing("MEMBERS_ONLY").await;
    for (directory, shown) in
        [("HIDDEN", vec![]), ("LEADERSHIP", vec![&boss, &grace]), ("EVERYONE", vec![&boss, &grace])]
    {
        let policy = json!({ "organizationId": team.id, "memberDirectory": directory });
        team.owner.ok("updateOrganizationPolicy", policy, "").await;
        let mut refusals = Vec::new();
        for person in [&boss, &grace, &eve] {
            for grantee in [json!({ "username": person.username().await }), json!({ "userId": person.user_id })] {
                if shown.iter().any(|shown| shown.user_id == person.user_id) {
                    ada.grant(&project, grantee, "VIEW").await;
                } else {
                    let answer = ada
                        .mutate(
                            "grantAccess",
                            json!({ "resourceId": project, "grantee": grantee, "level": "VIEW" }),
                            "",
                        )
                        .await;
                    let error = answer.user_errors("grantAccess").remove(0);
                    refusals.push((error.code, error.message));
                }
            }
        }
        assert!(refusals.iter().all(|refusal| *refusal == refusals[0] && refusal.0 == "FORBIDDEN"), "{refusals:?}");
        assert_eq!(refusals.len(), 2 * (3 - shown.len()), "{directory}");
    }
    team.owner.grant(&project, json!({ "username": grace.username().await }), "UPLOAD").await;
    app.finish().await;
}

// R6: what is shared by id or username needs no consent: strangers are given little of it a day.
#[tokio::test]
async fn strangers_are_given_little_a_day() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let other = app.sign_up("other@example.org").await;
    let lab = other.found("Other").await;
    let username = eve.username().await;
    for n in 0..20 {
        let (sharer, organization) = if n % 2 == 0 { (&team.owner, &team.id) } else { (&other, &lab) };
        let project = sharer.create(organization, "PROJECT", &format!("You won {n}")).await;
        sharer.grant(&project, json!({ "username": username }), "VIEW").await;
        // Another level is no new grant, and colleagues are no strangers.
        sharer.grant(&project, json!({ "username": username }), "UPLOAD").await;
        if n % 2 == 0 {
            sharer.grant(&project, json!({ "userId": ada.user_id }), "VIEW").await;
        }
    }
    let project = team.owner.create(&team.id, "PROJECT", "One more").await;
    for grantee in [json!({ "username": username }), json!({ "userId": eve.user_id })] {
        let field = named(&grantee);
        assert_eq!(team.owner.no_grant(&project, grantee, "VIEW").await, is("RATE_LIMITED", &field));
    }
    assert_eq!(eve.reached().await, 20);
    let bob = app.sign_up("bob@example.org").await;
    team.owner.grant(&project, json!({ "userId": bob.user_id }), "VIEW").await;
    app.database.sql("UPDATE attempts SET count = 50 WHERE bucket = 'stranger_grant'").await;
    let again = team.owner.create(&team.id, "PROJECT", "And more").await;
    let refused = team.owner.no_grant(&again, json!({ "userId": bob.user_id }), "VIEW").await;
    assert_eq!(refused, is("RATE_LIMITED", "input.grantee.userId"));
    team.owner.grant(&again, json!({ "organizationId": lab }), "VIEW").await;
    app.finish().await;
}
