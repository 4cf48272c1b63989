//! What the viewer is told they can do is what they can do.

use std::collections::BTreeSet;

use crate::schema;
use crate::support::client::{document, nodes, text};
use crate::support::people::uuid;
use crate::support::{Client, Team, TestApp, Value, json};

/// What comes of trying something that stops short of its last condition: who gets so far may do it.
const LAST_CONDITION: [&str; 2] = ["CONFIRMATION_MISMATCH", "PLAN_STALE"];

/// Whether a mutation does what it is asked for; `None` where nobody has built it yet.
async fn may(person: &Client, mutation: &str, input: Value) -> Option<bool> {
    if !schema::mutations().iter().any(|built| built == mutation) {
        return None;
    }
    let answer = person.run(&document(mutation, ""), json!({ "input": input })).await;
    let errors = answer.user_errors(mutation);
    Some(errors.iter().all(|error| LAST_CONDITION.contains(&error.code.as_str())))
}

fn words(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// Tries every action of an organization, and says where the outcome isn't what `viewerCan` says.
async fn try_organization(app: &TestApp, person: &Client, organization: &str, admin: &str, what: &str) -> Vec<String> {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let seen = person
        .query(
            "query($id: ID!) { organization(by: { id: $id }) { viewerCan members(first: 100) { totalCount } \
             resources(first: 100) { nodes { name } } auditLog { nodes { id } } } }",
            json!({ "id": organization }),
        )
        .await["organization"]
        .clone();
    let can = words(&seen["viewerCan"]);
    let all = "SELECT count(*) AS value FROM members WHERE status = 'active' AND organization_id =";
    let all = app.database.number(&format!("{all} '{}'", uuid(organization))).await;
    let sees_secret = nodes(&seen["resources"]).iter().any(|resource| resource["name"] == "Secret");
    let invite = |role: &str| {
        let email = format!("{role}{number}@example.org").to_lowercase();
        json!({ "organizationId": organization, "invitations": [{ "email": email, "role": role }] })
    };
    let here = |more: Value| {
        let mut input = json!({ "organizationId": organization });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let transfer = here(json!({ "memberId": admin, "confirmOrganizationName": "x", "confirmUsername": "x" }));
    let tried = [
        ("INVITE", may(person, "inviteMembers", invite("MEMBER")).await),
        ("INVITE_ADMIN", may(person, "inviteMembers", invite("ADMIN")).await),
        ("CREATE_JOIN_CODES", may(person, "createJoinCodes", here(json!({}))).await),
        ("CREATE_ADMIN_JOIN_CODE", may(person, "createJoinCodes", here(json!({ "role": "ADMIN" }))).await),
        ("VIEW_MEMBERS", Some(seen["members"]["totalCount"] == all)),
        ("VIEW_ALL_RESOURCES", Some(sees_secret)),
        ("CREATE_RESOURCES", may(person, "createResource", here(json!({ "kind": "VOLUME", "name": "x" }))).await),
        ("EDIT_PROFILE", may(person, "updateOrganization", json!({ "id": organization, "sector": "Science" })).await),
        ("EDIT_POLICY", may(person, "updateOrganizationPolicy", here(json!({ "invitationDays": 8 }))).await),
        ("MANAGE_TEAMS", may(person, "createTeam", here(json!({ "name": format!("Team {number}") }))).await),
        ("MANAGE_BILLING", may(person, "updateBilling", here(json!({ "accountName": "Science" }))).await),
        ("MANAGE_SERVICE_KEYS", may(person, "createServiceKey", here(json!({ "name": "x" }))).await),
        (
            "MANAGE_WEBHOOKS",
            may(person, "createWebhook", here(json!({ "url": "https://example.org/", "events": ["user.created"] })))
                .await,
        ),
        ("VIEW_AUDIT_LOG", Some(seen["auditLog"].is_object())),
        ("TRANSFER_OWNERSHIP", may(person, "transferOwnership", transfer).await),
        (
            "DELETE",
            may(person, "deleteOrganization", json!({ "id": organization, "confirmOrganizationName": "x" })).await,
        ),
        ("LEAVE", may(person, "leaveOrganization", here(json!({}))).await),
    ];
    let names: BTreeSet<String> = tried.iter().map(|(action, _)| (*action).to_owned()).collect();
    assert_eq!(names, schema::enum_values("OrganizationAction"), "every action is tried");
    // As if it had not been: who left is back, and the admin code leaves room for the next.
    app.database
        .sql(&format!(
            "UPDATE join_codes SET status = 'revoked' WHERE status = 'active'; \
             UPDATE members SET status = 'active' WHERE user_id = '{}' AND status = 'left'",
            uuid(&person.user_id)
        ))
        .await;
    tried
        .iter()
        .filter(|(action, may)| may.is_some_and(|may| may != can.contains(*action)))
        .map(|(action, may)| format!("{what}: {action} is {may:?}, and viewerCan says {can:?}"))
        .collect()
}

/// Tries every action on a member, and says where the outcome isn't what `viewerCan` says.
async fn try_member(
    app: &TestApp,
    person: &Client,
    team: &Team,
    (member, role): (&str, &str),
    what: &str,
) -> Vec<String> {
    let query = "query($id: ID!) { node(id: $id) { ... on Member { viewerCan } } }";
    let can = words(&person.query(query, json!({ "id": member })).await["node"]["viewerCan"]);
    let reset = app
        .database
        .texts(&format!(
            "SELECT format('UPDATE members SET role = %L, status = %L WHERE id = %L AND (role, status) <> (%L, %L)', \
             role, status, id, role, status) AS value FROM members WHERE id = '{}'",
            uuid(member)
        ))
        .await
        .remove(0);
    let change = |role: &str| json!({ "memberId": member, "role": role });
    // A transfer looks at the confirmations first, so these are right and it is done.
    let query = "query($id: ID!) { node(id: $id) { ... on Member { user { username } } } }";
    let found = team.owner.query(query, json!({ "id": member })).await;
    let transfer = json!({ "organizationId": team.id, "memberId": member, "confirmOrganizationName": "Acme Genomics",
        "confirmUsername": found["node"]["user"]["username"] });
    let reset = format!(
        "UPDATE members SET role = 'admin' WHERE organization_id = '{0}' AND role = 'owner' AND user_id <> '{1}'; \
         UPDATE members SET role = 'owner' WHERE organization_id = '{0}' AND user_id = '{1}'; {reset}",
        uuid(&team.id),
        uuid(&team.owner.user_id)
    );
    let stale = json!({ "memberId": member, "planHash": "x" });
    let is_admin = role == "ADMIN";
    let other = if role == "MEMBER" { "VIEWER" } else { "MEMBER" };
    let mut tried = vec![
        (
            "CHANGE_PERMISSIONS",
            "updateMemberPermissions",
            json!({ "memberId": member, "permissions": { "sharedApps": true } }),
        ),
        ("REMOVE", "removeMember", stale.clone()),
        ("DEACTIVATE", "deactivateMember", stale),
        ("REACTIVATE", "reactivateMember", json!({ "memberId": member })),
        ("MAKE_OWNER", "transferOwnership", transfer),
    ];
    // An admin can't become one, nor anyone else cease to be one.
    match is_admin {
        true => tried.push(("DEMOTE", "changeMemberRole", change("MEMBER"))),
        false => tried.extend([
            ("PROMOTE", "changeMemberRole", change("ADMIN")),
            ("CHANGE_ROLE", "changeMemberRole", change(other)),
        ]),
    }
    let mut problems = Vec::new();
    for (action, mutation, input) in &tried {
        let may = may(person, mutation, input.clone()).await.unwrap();
        if may {
            app.database.sql(&reset).await;
        }
        if may != can.contains(*action) {
            problems.push(format!("{what}: {action} is {may}, and viewerCan says {can:?}"));
        }
    }
    let known: BTreeSet<String> = tried.iter().map(|(action, ..)| (*action).to_owned()).collect();
    let left_out = if is_admin { ["PROMOTE", "CHANGE_ROLE"].as_slice() } else { &["DEMOTE"] };
    for action in left_out.iter().filter(|action| can.contains(**action)) {
        problems.push(format!("{what}: viewerCan says {action}, which makes no sense"));
    }
    let all: BTreeSet<String> = known.into_iter().chain(left_out.iter().map(|action| (*action).to_owned())).collect();
    assert_eq!(all, schema::enum_values("MemberAction"), "every action is tried");
    problems
}

/// An organization with someone of each role, and the admins' powers.
async fn set_powers(team: &Team, powers: &str, directory: &str) {
    let policy = json!({ "organizationId": team.id, "adminPowers": powers, "memberDirectory": directory });
    team.owner.ok("updateOrganizationPolicy", policy, "").await;
}

// D1, D2, D5, R3, R4, R8, R9, R10, R12, R14: for every role, with either powers of the admins, and in a personal
// organization, `viewerCan` says exactly what the mutations and lists do.
#[tokio::test]
async fn viewer_can_says_what_the_mutations_do() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let mut people = vec![("OWNER", team.owner.clone())];
    for role in ["ADMIN", "MEMBER", "VIEWER"] {
        people.push((role, app.join(&team, &format!("{role}@example.org").to_lowercase(), role).await));
    }
    let heir = team.member_id(&app.join(&team, "heir@example.org", "ADMIN").await).await;
    team.owner.create(&team.id, "VOLUME", "Secret").await;
    app.until_idle().await;
    app.stop_workers().await;
    let mut problems = Vec::new();
    for (powers, directory) in [("STANDARD", "LEADERSHIP"), ("OWNER_EQUIVALENT", "EVERYONE")] {
        for (role, person) in &people {
            set_powers(&team, powers, directory).await;
            let what = format!("{role}, {powers}");
            problems.extend(try_organization(&app, person, &team.id, &heir, &what).await);
        }
    }
    let query = "{ viewer { personalOrganization { id viewerMembership { id viewerCan } } } }";
    let personal = team.owner.query(query, json!({})).await["viewer"]["personalOrganization"].clone();
    team.owner.create(&text(&personal["id"]), "VOLUME", "Secret").await;
    let own = text(&personal["viewerMembership"]["id"]);
    problems.extend(try_organization(&app, &team.owner, &text(&personal["id"]), &own, "personal").await);
    assert_eq!(personal["viewerMembership"]["viewerCan"], json!([]));
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    app.finish().await;
}

// D1, D2, D6, R3, R4, R10, R12, R39, R46: the same for what is done to members, active and gone, to the owner and to
// oneself.
#[tokio::test]
async fn viewer_can_says_what_can_be_done_to_a_member() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let mut people = vec![("OWNER", team.owner.clone())];
    let mut targets = vec![("OWNER", team.member_id(&team.owner).await)];
    for role in ["ADMIN", "MEMBER", "VIEWER"] {
        people.push((role, app.join(&team, &format!("{role}@example.org").to_lowercase(), role).await));
        let target = app.join(&team, &format!("target-{role}@example.org").to_lowercase(), role).await;
        targets.push((role, team.member_id(&target).await));
    }
    let mut own = Vec::new();
    for (role, person) in &people {
        own.push((*role, team.member_id(person).await));
    }
    app.until_idle().await;
    app.stop_workers().await;
    let mut problems = Vec::new();
    for (powers, statuses) in
        [("STANDARD", ["active", "removed", "left"].as_slice()), ("OWNER_EQUIVALENT", &["active", "deactivated"])]
    {
        set_powers(&team, powers, "EVERYONE").await;
        for status in statuses {
            for (_, target) in targets.iter().filter(|(role, _)| *role != "OWNER") {
                app.database
                    .sql(&format!("UPDATE members SET status = '{status}' WHERE id = '{}'", uuid(target)))
                    .await;
            }
            for ((role, person), own) in people.iter().zip(&own) {
                // The owner and oneself are never gone.
                let is_active = *status == "active";
                for (target_role, target) in targets.iter().filter(|(role, _)| is_active || *role != "OWNER") {
                    let what = format!("{role}, {powers}, to {status} {target_role}");
                    problems.extend(try_member(&app, person, &team, (target, target_role), &what).await);
                }
                if is_active {
                    let what = format!("{role}, {powers}, to oneself");
                    problems.extend(try_member(&app, person, &team, (&own.1, role), &what).await);
                }
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    // Their memberships were ended by SQL, and not by departing.
    app.database.sql("UPDATE members SET status = 'active'").await;
    app.finish().await;
}
