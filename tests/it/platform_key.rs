//! Platform keys: a platform's own services, by scope and organization, and on behalf of people.

use crate::support::client::{nodes, text};
use crate::support::{Client, Team, TestApp, json};

/// Every scope.
pub const SCOPES: [&str; 9] = [
    "READ",
    "USERS_WRITE",
    "ORGANIZATIONS_WRITE",
    "MEMBERS_WRITE",
    "RESOURCES_WRITE",
    "ACCESS_CHECK",
    "EVENTS_READ",
    "USAGE_REPORT",
    "ACT_FOR_USERS",
];

/// The mutations that a scope opens to platform keys. All others are refused, whatever scopes a key has.
const OPENED: &[(&str, &[&str])] = &[
    ("USERS_WRITE", &["upsertUsers", "suspendUser", "unsuspendUser", "endUserSessions", "deleteUser"]),
    (
        "ORGANIZATIONS_WRITE",
        &[
            "createOrganization",
            "upsertOrganizations",
            "updateOrganization",
            "updateOrganizationPolicy",
            "updateBilling",
            "setPlan",
            "setOrganizationOwner",
            "deleteOrganization",
            "restoreOrganization",
        ],
    ),
    (
        "MEMBERS_WRITE",
        &[
            "upsertMembers",
            "upsertTeams",
            "inviteMembers",
            "resendInvitation",
            "revokeInvitation",
            "createJoinCodes",
            "revokeJoinCode",
            "changeMemberRole",
            "updateMemberPermissions",
            "removeMember",
            "deactivateMember",
            "reactivateMember",
            "revertDeparture",
            "retryDeparture",
            "createTeam",
            "updateTeam",
            "deleteTeam",
            "addTeamMembers",
            "removeTeamMember",
            "removeCollaborator",
        ],
    ),
    (
        "RESOURCES_WRITE",
        &[
            "upsertResources",
            "deleteResources",
            "transferResources",
            "createResource",
            "updateResource",
            "deleteResource",
            "publishApp",
            "addToCollection",
            "removeFromCollection",
            "grantAccess",
            "revokeAccess",
            "revokeGrantInvitation",
            "createShareLink",
            "revokeShareLink",
        ],
    ),
    ("EVENTS_READ", &["createWebhook", "updateWebhook", "deleteWebhook", "redeliverWebhook"]),
    ("USAGE_REPORT", &["reportRun", "reportUsage"]),
];

/// What needs no credentials, or takes somebody's token.
const FOR_ANYBODY: [&str; 5] =
    ["requestSignIn", "signIn", "acceptInvitation", "declineInvitation", "confirmEmailChange"];

fn code(mutation: &str, answer: &crate::support::Answer) -> Option<(String, String)> {
    match answer.body.get("errors") {
        Some(_) => Some((answer.error_code(), String::new())),
        None => answer.user_errors(mutation).first().map(|error| (error.code.clone(), error.message.clone())),
    }
}

// R85: each scope opens what it names, to keys that have no other; everything else is refused to keys that have all
// others.
#[tokio::test]
async fn each_scope_opens_what_it_names_and_nothing_else() {
    let app =
        TestApp::builder().local_webhooks().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let world = crate::audit::World::new(&app).await;
    let mut problems = Vec::new();
    let all = key(&app, &SCOPES).await;
    let mut keys = std::collections::BTreeMap::new();
    for scope in SCOPES {
        let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        keys.insert(scope, (key(&app, &[scope]).await, key(&app, &others).await));
    }
    for mutation in crate::schema::mutations().into_iter().filter(|mutation| !FOR_ANYBODY.contains(&mutation.as_str()))
    {
        let name = mutation.as_str();
        let (_, mut input) = world.valid(name).await;
        if name == "createOrganization" {
            input["ownerEmail"] = json!("founder@example.org");
        }
        let send = async |client: &Client| {
            let answer = client.run(&crate::support::client::document(name, ""), json!({ "input": input })).await;
            code(name, &answer)
        };
        match OPENED.iter().find(|(_, mutations)| mutations.contains(&name)) {
            None => match send(&all).await {
                Some((code, _)) if ["FORBIDDEN", "NOT_FOUND"].contains(&code.as_str()) => {}
                other => problems.push(format!("{name} is opened by no scope: {other:?}")),
            },
            Some((scope, _)) => {
                let (only, others) = &keys[scope];
                match send(others).await {
                    Some((code, message)) if code == "FORBIDDEN" && message.contains(scope) => {}
                    other => problems.push(format!("{name} without {scope}: {other:?}")),
                }
                if let Some(refused) = send(only).await {
                    problems.push(format!("{name} with {scope}: {refused:?}"));
                }
            }
        }
        app.until_idle().await;
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    app.finish().await;
}

/// A platform key with these scopes.
pub async fn key(app: &TestApp, scopes: &[&str]) -> Client {
    made(app, json!({ "name": "backend", "scopes": scopes })).await.0
}

/// A platform key as described, and its id.
pub async fn made(app: &TestApp, input: serde_json::Value) -> (Client, String) {
    let made = app.staff().ok("createPlatformKey", input, "platformKey { id } secret").await;
    (app.client(&text(&made["secret"])), text(&made["platformKey"]["id"]))
}

// R85: shown once, listed for staff alone, audited, and nobody else makes, rotates or revokes one.
#[tokio::test]
async fn staff_make_rotate_and_revoke_keys() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let staff = app.staff();
    let input =
        json!({ "name": "billing service", "scopes": ["READ", "MEMBERS_WRITE", "READ"], "organizationIds": [team.id] });
    let selection = "secret platformKey { id name prefix scopes organizations { id name } createdAt lastUsedAt expiresAt revokedAt }";
    let made = staff.ok("createPlatformKey", input.clone(), selection).await;
    let (secret, shown) = (text(&made["secret"]), &made["platformKey"]);
    assert!(secret.starts_with("rcp_") && secret.starts_with(shown["prefix"].as_str().unwrap()), "{made}");
    assert_eq!(
        (&shown["scopes"], &shown["organizations"][0]["id"]),
        (&json!(["READ", "MEMBERS_WRITE"]), &json!(team.id))
    );
    assert!(shown["lastUsedAt"].is_null() && shown["revokedAt"].is_null() && shown["expiresAt"].is_null());
    let id = text(&shown["id"]);
    for other in [&team.owner, &app.client(&secret)] {
        assert_eq!(other.refused("createPlatformKey", input.clone()).await.is(), ("FORBIDDEN", "input.name"));
        assert_eq!(other.refused("rotatePlatformKey", json!({ "id": id })).await.is(), ("FORBIDDEN", "input.id"));
        assert_eq!(other.refused("revokePlatformKey", json!({ "id": id })).await.is(), ("FORBIDDEN", "input.id"));
        let seen =
            other.query(&format!("{{ platformKeys {{ totalCount }} node(id: \"{id}\") {{ id }} }}"), json!({})).await;
        assert!(seen["platformKeys"].is_null() && seen["node"].is_null(), "{seen}");
    }
    let listed = staff.query("{ platformKeys { totalCount nodes { id prefix lastUsedAt } } }", json!({})).await;
    assert_eq!(listed["platformKeys"]["totalCount"], 1);
    assert!(nodes(&listed["platformKeys"])[0]["lastUsedAt"].is_string());
    assert!(!listed.to_string().contains(&secret));

    // Both secrets work until the overlap is over.
    let rotated =
        staff.ok("rotatePlatformKey", json!({ "id": id, "overlapHours": 1 }), "secret platformKey { prefix }").await;
    let (old, new) = (app.client(&secret), app.client(&text(&rotated["secret"])));
    for key in [&old, &new] {
        assert!(key.belongs_to(&team.id).await);
    }
    app.shift_clock("1 hour").await;
    assert_eq!(old.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    assert!(new.belongs_to(&team.id).await);
    staff.ok("revokePlatformKey", json!({ "id": id }), "platformKey { revokedAt }").await;
    assert_eq!(new.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    for mutation in ["rotatePlatformKey", "revokePlatformKey"] {
        assert_eq!(staff.refused(mutation, json!({ "id": id })).await.is(), ("REVOKED", "input.id"));
    }
    let recorded = "SELECT action AS value FROM audit_events WHERE organization_id = '00000000-0000-0000-0000-000000000000' ORDER BY sequence";
    assert_eq!(
        app.database.texts(recorded).await,
        ["platform.key_created", "platform.key_rotated", "platform.key_revoked"]
    );
    app.finish().await;
}

#[tokio::test]
async fn a_key_that_makes_no_sense_is_refused() {
    let mut app = TestApp::start().await;
    let staff = app.staff();
    let unknown = "org_01h455vb4pex5vsknk084sn02q";
    let many: Vec<&str> = vec![unknown; 1];
    for (change, refusal) in [
        (json!({ "name": " " }), ("BLANK", "input.name")),
        (json!({ "name": "x".repeat(101) }), ("TOO_LONG", "input.name")),
        (json!({ "scopes": [] }), ("BLANK", "input.scopes")),
        (json!({ "organizationIds": [] }), ("BLANK", "input.organizationIds")),
        (json!({ "organizationIds": many }), ("NOT_FOUND", "input.organizationIds")),
        (json!({ "expiresAt": "2020-01-01T00:00:00Z" }), ("INVALID", "input.expiresAt")),
    ] {
        let mut input = json!({ "name": "backend", "scopes": ["READ"] });
        input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(staff.refused("createPlatformKey", input).await.is(), refusal, "{change}");
    }
    assert_eq!(app.database.number("SELECT count(*) AS value FROM platform_keys").await, 0);
    let (key, id) =
        made(&app, json!({ "name": "backend", "scopes": ["READ"], "expiresAt": in_an_hour(&app).await })).await;
    for hours in [-1, 721] {
        let input = json!({ "id": id, "overlapHours": hours });
        assert_eq!(staff.refused("rotatePlatformKey", input).await.is(), ("INVALID", "input.overlapHours"));
    }
    assert!(key.run("{ viewer { email } }", json!({})).await.data()["viewer"].is_null());
    app.shift_clock("1 hour").await;
    assert_eq!(key.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    assert_eq!(staff.refused("rotatePlatformKey", json!({ "id": id })).await.is(), ("EXPIRED", "input.id"));
    app.finish().await;
}

async fn in_an_hour(app: &TestApp) -> String {
    let sql = "SELECT to_char(rollcall_now() + interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SSOF') AS value";
    format!("{}:00", app.database.texts(sql).await.remove(0))
}

// R85: READ sees what an owner sees; what a key isn't limited to is NOT_FOUND; what its scopes don't name is FORBIDDEN.
#[tokio::test]
async fn a_key_sees_what_an_owner_sees_of_the_organizations_that_it_reaches() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let other = team.owner.found("Other").await;
    let member = app.join(&team, "max@example.org", "MEMBER").await;
    let project = member.create(&team.id, "PROJECT", "Liver atlas").await;
    let volume = member.create_in(&project, "VOLUME", "Raw data").await;
    let (limited, _) = made(&app, json!({ "name": "one", "scopes": ["READ"], "organizationIds": [team.id] })).await;
    let everywhere = key(&app, &["READ"]).await;
    let blind = key(&app, &["MEMBERS_WRITE"]).await;
    let query = "query ($id: ID!) { organization(by: {id: $id}) { slug owner { username } viewerCan members(status: null) { totalCount nodes { email role machines { nodes { id } } } } \
        invitations { totalCount } resources { nodes { id name viewerAccess contents { nodes { id } } } } auditLog(first: 1) { nodes { action } } billing { plan } usage { users } } }";
    for key in [&limited, &everywhere] {
        let seen = key.query(query, json!({ "id": team.id })).await;
        let seen = &seen["organization"];
        let owners = &team.owner.query(query, json!({ "id": team.id })).await["organization"];
        for field in ["slug", "owner", "members", "invitations", "resources", "auditLog", "billing", "usage"] {
            assert!(
                !seen[field].is_null() && seen[field] == owners[field],
                "{field}: {} {}",
                seen[field],
                owners[field]
            );
        }
        assert_eq!(seen["viewerCan"], json!(["VIEW_MEMBERS", "VIEW_ALL_RESOURCES", "VIEW_AUDIT_LOG"]));
        let found =
            key.query("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({ "ids": [project, volume] })).await;
        assert_eq!(found["nodes"], json!([{ "id": project }, { "id": volume }]));
    }
    assert!(limited.query(query, json!({ "id": other })).await["organization"].is_null());
    assert!(!everywhere.query(query, json!({ "id": other })).await["organization"].is_null());
    assert!(blind.query(query, json!({ "id": team.id })).await["organization"].is_null());
    let found =
        blind.query("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({ "ids": [project, team.id] })).await;
    assert_eq!(found["nodes"], json!([null, null]));

    // Each mutation says which scope it takes.
    let invitations = json!([{ "email": "new@example.org" }]);
    let refused =
        limited.refused("inviteMembers", json!({ "organizationId": team.id, "invitations": invitations })).await;
    assert_eq!(
        (refused.is(), refused.message.contains("MEMBERS_WRITE")),
        (("FORBIDDEN", "input.organizationId"), true)
    );
    let (writer, _) =
        made(&app, json!({ "name": "w", "scopes": ["READ", "MEMBERS_WRITE"], "organizationIds": [team.id] })).await;
    let refused = writer.refused("inviteMembers", json!({ "organizationId": other, "invitations": invitations })).await;
    assert_eq!(refused.is(), ("NOT_FOUND", "input.organizationId"));
    app.finish().await;
}

// R85: MEMBERS_WRITE invites, changes, removes; the log names the key, and no person.
#[tokio::test]
async fn a_key_manages_members_by_scope() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let member = app.join(&team, "max@example.org", "MEMBER").await;
    let key = key(&app, &["READ", "MEMBERS_WRITE"]).await;
    let invitations = json!([{ "email": "new@example.org", "role": "ADMIN" }]);
    let input = json!({ "organizationId": team.id, "invitations": invitations });
    let invited =
        key.ok("inviteMembers", input, "invitations { id role invitedBy { id } organization { name } }").await;
    assert!(invited["invitations"][0]["invitedBy"].is_null(), "{invited}");
    let mail = app.mail_about("new@example.org", "invited").await;
    assert!(!mail.text.contains("Ada"), "{}", mail.text);
    let joined = app
        .anonymous()
        .ok("acceptInvitation", json!({ "token": mail.token() }), "member { role user { id } } sessionToken")
        .await;
    assert_eq!(joined["member"]["role"], "ADMIN");
    let member_id = team.member_id(&member).await;
    key.ok("changeMemberRole", json!({ "memberId": member_id, "role": "VIEWER" }), "member { role }").await;
    let owner_id = team.member_id(&team.owner).await;
    let refused = key.refused("changeMemberRole", json!({ "memberId": owner_id, "role": "MEMBER" })).await;
    assert_eq!(refused.is(), ("FORBIDDEN", "input.memberId"));
    let codes = key
        .ok(
            "createJoinCodes",
            json!({ "organizationId": team.id, "count": 2 }),
            "codes { joinCode { createdBy { id } } }",
        )
        .await;
    assert!(codes["codes"][0]["joinCode"]["createdBy"].is_null());
    let removed = key.ok("removeMember", json!({ "memberId": member_id }), "departure { id startedBy { id } }").await;
    assert!(removed["departure"]["startedBy"].is_null());
    assert!(!member.belongs_to(&team.id).await);
    app.completed(&team, &text(&removed["departure"]["id"])).await;
    let log = "query ($id: ID!) { organization(by: {id: $id}) { auditLog(last: 100, action: \"organization.member_removed\") { nodes { actorKind platformKey actor { id } } } } }";
    let log = team.owner.query(log, json!({ "id": team.id })).await;
    assert_eq!(
        nodes(&log["organization"]["auditLog"])[0],
        json!({ "actorKind": "PLATFORM", "platformKey": "backend", "actor": null })
    );
    app.finish().await;
}

// R85: ORGANIZATIONS_WRITE founds, changes, deletes and restores; RESOURCES_WRITE makes, shares and deletes.
#[tokio::test]
async fn a_key_manages_organizations_and_resources_by_scope() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let member = app.join(&team, "max@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let key = key(&app, &["READ", "ORGANIZATIONS_WRITE", "RESOURCES_WRITE"]).await;
    let founded = key
        .ok(
            "createOrganization",
            json!({ "name": "Founded", "ownerEmail": "max@example.org" }),
            "organization { id owner { id } viewerMembership { id } }",
        )
        .await;
    let founded = &founded["organization"];
    assert_eq!(
        (founded["owner"]["id"].as_str(), founded["viewerMembership"].is_null()),
        (Some(member.user_id.as_str()), true)
    );
    let id = text(&founded["id"]);
    key.ok("updateOrganization", json!({ "id": id, "name": "Renamed" }), "organization { name }").await;
    key.ok(
        "updateOrganizationPolicy",
        json!({ "organizationId": id, "adminPowers": "OWNER_EQUIVALENT" }),
        "organization { id }",
    )
    .await;
    key.ok("setPlan", json!({ "organizationId": id, "plan": "pro", "seatLimit": 9 }), "organization { id }").await;
    key.ok(
        "setOrganizationOwner",
        json!({ "organizationId": id, "userId": eve.user_id }),
        "organization { owner { id } }",
    )
    .await;
    let deleted = key.refused("deleteOrganization", json!({ "id": id, "confirmOrganizationName": "Founded" })).await;
    assert_eq!(deleted.is(), ("CONFIRMATION_MISMATCH", "input.confirmOrganizationName"));
    key.ok("deleteOrganization", json!({ "id": id, "confirmOrganizationName": "Renamed" }), "deletedOrganizationId")
        .await;
    assert!(!eve.belongs_to(&id).await);
    key.ok("restoreOrganization", json!({ "id": id }), "organization { id }").await;
    assert!(eve.belongs_to(&id).await);

    let made = key
        .ok(
            "createResource",
            json!({ "organizationId": team.id, "kind": "PROJECT", "name": "Atlas" }),
            "resource { id owner { id } createdBy { id } }",
        )
        .await;
    assert_eq!(made["resource"]["owner"]["id"], team.owner.user_id.as_str());
    let project = text(&made["resource"]["id"]);
    let inside = json!({ "kind": "VOLUME", "name": "Raw", "containerId": project });
    let volume = text(&key.ok("createResource", inside, "resource { id }").await["resource"]["id"]);
    let granted = key
        .ok(
            "grantAccess",
            json!({ "resourceId": project, "grantee": { "userId": member.user_id }, "level": "VIEW" }),
            "grant { id grantedBy { id } }",
        )
        .await;
    assert!(granted["grant"]["grantedBy"].is_null());
    let reached = member.query(&format!("{{ node(id: \"{volume}\") {{ id }} }}"), json!({})).await;
    assert_eq!(reached["node"]["id"], volume.as_str());
    key.ok("revokeAccess", json!({ "grantId": granted["grant"]["id"] }), "revokedGrantId").await;
    key.ok("updateResource", json!({ "id": project, "description": "by the platform" }), "resource { id }").await;
    key.ok("deleteResource", json!({ "id": volume }), "deletedResourceId").await;
    for (mutation, input) in [
        ("createResource", json!({ "kind": "PROJECT", "name": "x" })),
        ("createApiKey", json!({ "organizationId": team.id, "name": "x" })),
        ("createServiceKey", json!({ "organizationId": team.id, "name": "x" })),
        ("leaveOrganization", json!({ "organizationId": team.id })),
        ("queueRun", json!({ "organizationId": team.id, "kind": "JOB", "name": "x" })),
        (
            "transferOwnership",
            json!({ "organizationId": team.id, "memberId": team.member_id(&member).await, "confirmOrganizationName": "x", "confirmUsername": "x" }),
        ),
        ("addCredits", json!({ "organizationId": team.id, "amount": "1", "idempotencyKey": "x" })),
    ] {
        let refused = key.refused(mutation, input).await;
        assert!(["FORBIDDEN", "BLANK"].contains(&refused.code.as_str()), "{mutation}: {}", refused.code);
    }
    app.finish().await;
}

// R86: exactly the person's rights, in the key's organizations; the log names both; what takes themselves is refused.
#[tokio::test]
async fn a_key_acts_for_a_person_with_that_persons_rights() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let other = team.owner.found("Other").await;
    let member = app.join(&team, "max@example.org", "MEMBER").await;
    let (key, id) =
        made(&app, json!({ "name": "portal", "scopes": ["ACT_FOR_USERS"], "organizationIds": [team.id] })).await;
    let for_member = key.on_behalf_of(&member.user_id);
    let viewer =
        for_member.query("{ viewer { email memberships { nodes { role organization { id } } } } }", json!({})).await;
    assert_eq!(viewer["viewer"]["email"], "max@example.org");
    let project = for_member.create(&team.id, "PROJECT", "Atlas").await;
    let owned = member
        .query(&format!("{{ node(id: \"{project}\") {{ ... on Resource {{ owner {{ id }} }} }} }}"), json!({}))
        .await;
    assert_eq!(owned["node"]["owner"]["id"], member.user_id.as_str());
    let invite = json!({ "organizationId": team.id, "invitations": [{ "email": "new@example.org" }] });
    assert_eq!(for_member.refused("inviteMembers", invite.clone()).await.is(), ("FORBIDDEN", "input.organizationId"));
    let for_owner = key.on_behalf_of(&team.owner.user_id);
    for_owner.ok("inviteMembers", invite, "invitations { id }").await;
    // Not beyond the key's organizations.
    assert!(!for_owner.belongs_to(&other).await);
    let elsewhere = json!({ "organizationId": other, "kind": "PROJECT", "name": "x" });
    assert_eq!(for_owner.refused("createResource", elsewhere).await.is(), ("NOT_FOUND", "input.organizationId"));
    for (mutation, input) in [
        ("createApiKey", json!({ "organizationId": team.id, "name": "x" })),
        ("createServiceKey", json!({ "organizationId": team.id, "name": "x" })),
        ("changeEmail", json!({ "email": "other@example.org" })),
        ("deleteAccount", json!({ "confirmEmail": "max@example.org" })),
        ("signOut", json!({})),
        ("unlinkIdentity", json!({ "id": app.identity_of(&member).await })),
        ("updateProfile", json!({ "name": "Other" })),
        ("createOrganization", json!({ "name": "Other" })),
    ] {
        assert_eq!(for_member.refused(mutation, input).await.code, "FORBIDDEN", "{mutation}");
    }
    let log = "query ($id: ID!) { organization(by: {id: $id}) { auditLog(last: 100, action: \"resource.created\") { nodes { actorKind platformKey actor { id } } } } }";
    let log = team.owner.query(log, json!({ "id": team.id })).await;
    assert_eq!(
        nodes(&log["organization"]["auditLog"])[0],
        json!({ "actorKind": "USER", "platformKey": "portal", "actor": { "id": member.user_id } })
    );
    // Never ignored: unreadable, unknown, suspended, without the scope, or beside another kind of token.
    let query = "{ viewer { email } }";
    assert_eq!(key.on_behalf_of("max").run(query, json!({})).await.error_code(), "BAD_REQUEST");
    assert_eq!(key.on_behalf_of(&team.id).run(query, json!({})).await.error_code(), "BAD_REQUEST");
    let nobody = "usr_01h455vb4pex5vsknk084sn02q";
    assert_eq!(key.on_behalf_of(nobody).run(query, json!({})).await.error_code(), "UNAUTHENTICATED");
    assert_eq!(
        self::key(&app, &["READ"]).await.on_behalf_of(&member.user_id).run(query, json!({})).await.error_code(),
        "UNAUTHENTICATED"
    );
    assert_eq!(team.owner.on_behalf_of(&member.user_id).run(query, json!({})).await.error_code(), "UNAUTHENTICATED");
    assert_eq!(app.staff().on_behalf_of(&member.user_id).run(query, json!({})).await.error_code(), "UNAUTHENTICATED");
    assert_eq!(
        app.anonymous().on_behalf_of(&member.user_id).run(query, json!({})).await.error_code(),
        "UNAUTHENTICATED"
    );
    app.database.sql(&format!("UPDATE users SET suspended_at = rollcall_now() WHERE email = '{}'", member.email)).await;
    assert_eq!(for_member.run(query, json!({})).await.error_code(), "UNAUTHENTICATED");
    app.database.sql("UPDATE users SET suspended_at = NULL").await;
    assert!(for_member.belongs_to(&team.id).await);
    app.staff().ok("revokePlatformKey", json!({ "id": id }), "platformKey { id }").await;
    assert_eq!(for_member.run(query, json!({})).await.error_code(), "UNAUTHENTICATED");
    app.finish().await;
}

// R85: from the command line too.
#[tokio::test]
async fn keys_are_made_on_the_command_line() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let out = app.admin(&[
        "platform-keys",
        "create",
        "--name",
        "cli",
        "--scope",
        "read,act_for_users",
        "--organization",
        &team.id,
    ]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let out = String::from_utf8(out.stdout).unwrap();
    let (id, secret) = out.trim().split_once('\n').unwrap();
    assert!(app.client(secret).belongs_to(&team.id).await);
    let listed = app.admin(&["platform-keys", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("READ,ACT_FOR_USERS"));
    let rotated =
        String::from_utf8(app.admin(&["platform-keys", "rotate", id, "--overlap-hours", "0"]).stdout).unwrap();
    assert_eq!(app.client(secret).run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    let secret = rotated.trim().split_once('\n').unwrap().1;
    assert!(app.client(secret).belongs_to(&team.id).await);
    assert!(app.admin(&["platform-keys", "revoke", id]).status.success());
    assert_eq!(app.client(secret).run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    let unknown = app.admin(&["platform-keys", "create", "--name", "x", "--scope", "EVERYTHING"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("MEMBERS_WRITE"));
    app.finish().await;
}

// R86: within the key's organizations only, also where a code leads elsewhere; the log names the key there too.
#[tokio::test]
async fn joining_on_behalf_of_a_person_keeps_within_the_key_and_is_in_the_log() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let other = Team { id: team.owner.found("Other").await, owner: team.owner.clone() };
    let [max, eve] = [app.sign_up("max@example.org").await, app.sign_up("eve@example.org").await];
    let scopes = json!(["ACT_FOR_USERS"]);
    let (limited, _) = made(&app, json!({ "name": "one", "scopes": scopes, "organizationIds": [team.id] })).await;
    let code = other.code("MEMBER").await;
    let refused = limited.on_behalf_of(&max.user_id).refused("redeemJoinCode", json!({ "code": code })).await;
    assert_eq!(refused.is(), ("NOT_FOUND", "input.code"));
    let key = key(&app, &["ACT_FOR_USERS"]).await;
    key.on_behalf_of(&max.user_id).ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    let accepted = other.invite("eve@example.org", "MEMBER").await;
    key.on_behalf_of(&eve.user_id).ok("acceptInvitation", json!({ "id": accepted }), "member { id }").await;
    let zoe = app.sign_up("zoe@example.org").await;
    let declined = other.invite("zoe@example.org", "MEMBER").await;
    key.on_behalf_of(&zoe.user_id).ok("declineInvitation", json!({ "id": declined }), "declined").await;
    let log = "query ($id: ID!) { organization(by: {id: $id}) { auditLog(last: 100) { nodes { action actorKind platformKey } } } }";
    let log = team.owner.query(log, json!({ "id": other.id })).await;
    for action in ["organization.member_joined", "organization.invitation_declined"] {
        let of_action: Vec<_> =
            nodes(&log["organization"]["auditLog"]).iter().filter(|event| event["action"] == action).collect();
        assert!(!of_action.is_empty());
        for event in of_action {
            assert_eq!((&event["actorKind"], &event["platformKey"]), (&json!("USER"), &json!("backend")), "{event}");
        }
    }
    // A person's keys are theirs alone.
    let made = team.owner.ok("createApiKey", json!({ "organizationId": team.id, "name": "x" }), "apiKey { id }").await;
    let revoke = json!({ "id": made["apiKey"]["id"] });
    let refused = key.on_behalf_of(&team.owner.user_id).refused("revokeApiKey", revoke).await;
    assert_eq!(refused.is(), ("FORBIDDEN", "input.id"));
    app.finish().await;
}

// R85: what was begun with a secret ends with it.
#[tokio::test]
async fn a_subscription_ends_with_the_secret_that_began_it() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (key, id) = made(&app, json!({ "name": "follower", "scopes": ["READ"] })).await;
    let query =
        "subscription ($id: ID!) { organizationEvents(organizationId: $id, afterSequence: \"0\") { sequence action } }";
    let mut stream =
        crate::support::follower::EventStream::to(&app.url, &key, query, json!({ "id": team.id })).await.unwrap();
    stream.event().await;
    app.staff().ok("rotatePlatformKey", json!({ "id": id, "overlapHours": 0 }), "platformKey { id }").await;
    team.owner.create(&team.id, "PROJECT", "After the secret").await;
    let (rest, _) = stream.rest().await;
    assert!(rest.iter().all(|event| !event.to_string().contains("resource.created")), "{rest:?}");
    app.finish().await;
}

// R85: a key that may not look people up is told no more than others by what exists, and floods nobody.
#[tokio::test]
async fn a_key_guesses_no_names_and_floods_nobody() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    let key = self::key(&app, &["RESOURCES_WRITE"]).await;
    let volume = team.owner.create(&team.id, "VOLUME", "Raw").await;
    let mut limited = false;
    for number in 0..320 {
        let input =
            json!({ "resourceId": volume, "grantee": { "username": format!("nobody-{number}") }, "level": "VIEW" });
        let answer = key.mutate("grantAccess", input, "").await;
        limited |= answer.body["errors"][0]["extensions"]["code"] == "RATE_LIMITED";
    }
    assert!(limited);
    let sharing = self::key(&app, &["RESOURCES_WRITE"]).await;
    let mut refused = 0;
    for number in 0..22 {
        let volume = team.owner.create(&team.id, "VOLUME", &format!("Volume {number}")).await;
        let input = json!({ "resourceId": volume, "grantee": { "userId": eve.user_id }, "level": "VIEW" });
        let answer = sharing.mutate("grantAccess", input, "").await;
        refused += usize::from(answer.user_errors("grantAccess").iter().any(|error| error.code == "RATE_LIMITED"));
    }
    assert_eq!(refused, 2);
    let founding = self::key(&app, &["ORGANIZATIONS_WRITE"]).await;
    let mut refused = 0;
    for number in 0..6 {
        let input = json!({ "name": format!("Founded {number}"), "ownerEmail": "new@example.org" });
        let answer = founding.mutate("createOrganization", input, "").await;
        refused +=
            usize::from(answer.user_errors("createOrganization").iter().any(|error| error.code == "RATE_LIMITED"));
    }
    assert_eq!(refused, 1);
    // Nor does it read accounts by bringing them in.
    let bringing = self::key(&app, &["USERS_WRITE"]).await;
    let users = json!({ "users": [{ "externalId": "e", "email": "eve@example.org", "emailVerified": true }] });
    let brought = bringing.ok("upsertUsers", users, "results { user { id name externalId } }").await;
    assert_eq!(brought["results"][0]["user"], json!({ "id": eve.user_id, "name": "account", "externalId": null }));
    app.finish().await;
}

// R85: a platform that mails by itself gets the links, and no mail of ours goes out; nobody else gets any.
#[tokio::test]
async fn a_platform_delivers_invitations_by_itself() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let platform = key(&app, &["MEMBERS_WRITE", "ACT_FOR_USERS"]).await;
    let invite = |send_mail: bool| {
        let people = json!([{ "email": "new@example.org", "role": "VIEWER" }, { "email": "newer@example.org" }]);
        json!({ "organizationId": team.id, "invitations": people, "sendMail": send_mail })
    };
    let blind = key(&app, &["READ", "ORGANIZATIONS_WRITE", "ACT_FOR_USERS"]).await;
    for nobody in [&team.owner, &platform.on_behalf_of(&team.owner.user_id), &app.staff(), &blind] {
        assert_eq!(nobody.refused("inviteMembers", invite(false)).await.is(), ("FORBIDDEN", "input.sendMail"));
    }
    let selection = "acceptUrls invitations { email delivery }";
    let made = platform.ok("inviteMembers", invite(false), selection).await;
    assert!(made["invitations"].as_array().unwrap().iter().all(|invitation| invitation["delivery"] == "SENT"));
    app.shift_clock("6 days").await;
    app.until_idle().await;
    assert!(app.mails_about("new@example.org", "").is_empty(), "neither an invitation nor a reminder");
    let url = text(&made["acceptUrls"][0]);
    assert!(crate::support::page::Visitor::new(&app.url).get(&url).await.text().contains("new@example.org"));
    let token = url.rsplit(['/', '=']).next().unwrap();
    let accepted =
        app.anonymous().ok("acceptInvitation", json!({ "token": token, "name": "New" }), "member { role }").await;
    assert_eq!(accepted["member"]["role"], "VIEWER");
    let again = json!({ "organizationId": team.id, "invitations": [{ "email": "newest@example.org" }] });
    let mailed = platform.ok("inviteMembers", again, selection).await;
    assert!(mailed["acceptUrls"].is_null());
    app.mail_to("newest@example.org").await;
    app.finish().await;
}
