//! Organizations: founding, profile, and who may do so.

use crate::support::client::{UserError, text};
use crate::support::{Client, TestApp, json};

const PROFILE: &str = "organization { id name slug fullName description website location sector universityName logoUrl personal owner { id } viewerCan }";

// R11, R49: whoever founds it owns it.
#[tokio::test]
async fn whoever_founds_an_organization_owns_it() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let input = json!({
        "name": "  Acme Genomics ", "slug": "Acme", "fullName": "Acme Genomics Institute", "description": "We map livers.",
        "website": "https://acme.example", "location": "Ghent", "sector": "Health", "universityName": "UGent",
        "logoUrl": "https://acme.example/logo.png",
    });
    let founded = ada.ok("createOrganization", input, PROFILE).await;
    let organization = &founded["organization"];
    assert_eq!((&organization["name"], &organization["slug"]), (&json!("Acme Genomics"), &json!("acme")));
    assert_eq!((&organization["personal"], &organization["owner"]["id"]), (&json!(false), &json!(ada.user_id)));
    assert_eq!((&organization["location"], &organization["universityName"]), (&json!("Ghent"), &json!("UGent")));
    assert!(!organization["viewerCan"].as_array().unwrap().contains(&json!("LEAVE")));
    let viewer = ada
        .query(
            "{ viewer { needsOrganization memberships(atLeast: OWNER) { nodes { role organization { slug } } } } }",
            json!({}),
        )
        .await;
    assert_eq!(viewer["viewer"]["memberships"]["nodes"][0]["organization"]["slug"], "acme");
    assert_eq!(viewer["viewer"]["needsOrganization"], false);
    // A taken slug is refused, a derived one is made unlike.
    let error = ada.refused("createOrganization", json!({ "name": "Other", "slug": "ACME" })).await;
    assert_eq!(error.is(), ("SLUG_TAKEN", "input.slug"));
    let first = ada.ok("createOrganization", json!({ "name": "Liver Lab" }), PROFILE).await;
    let second = ada.ok("createOrganization", json!({ "name": "Liver Lab" }), PROFILE).await;
    assert_eq!(first["organization"]["slug"], "liver-lab");
    assert_ne!(first["organization"]["slug"], second["organization"]["slug"]);
    assert_eq!(app.anonymous().error_code("createOrganization", json!({ "name": "x" })).await, "UNAUTHENTICATED");
    app.finish().await;
}

// R49, R50: what is left out stays, null clears, and no right changes.
#[tokio::test]
async fn an_update_keeps_what_is_left_out_and_null_clears() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    let input = json!({ "id": team.id, "description": "We map livers.", "website": "https://acme.example", "location": "Ghent" });
    let before = admin.ok("updateOrganization", input, PROFILE).await["organization"].clone();
    let after = team
        .owner
        .ok("updateOrganization", json!({ "id": team.id, "website": null, "sector": "Health" }), PROFILE)
        .await;
    let after = &after["organization"];
    assert!(after["website"].is_null());
    assert_eq!((&after["description"], &after["location"]), (&before["description"], &json!("Ghent")));
    assert_eq!(
        (&after["sector"], &after["name"], &after["slug"]),
        (&json!("Health"), &before["name"], &before["slug"])
    );
    let error = member.refused("updateOrganization", json!({ "id": team.id, "location": "Leuven" })).await;
    assert_eq!(error.is(), ("FORBIDDEN", "input.id"));
    let stranger = app.sign_up("eve@example.org").await;
    let error = stranger.refused("updateOrganization", json!({ "id": team.id, "location": "Leuven" })).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.id"));
    // Every problem at once, and nothing changed.
    let bad = json!({ "id": team.id, "website": "javascript:alert(1)", "slug": "not a slug", "location": "x".repeat(201), "sector": "Art" });
    let errors = team.owner.refusals("updateOrganization", bad).await;
    let mut errors: Vec<_> = errors.iter().map(|error| error.is()).collect();
    errors.sort_unstable();
    assert_eq!(errors, [("INVALID", "input.slug"), ("INVALID", "input.website"), ("TOO_LONG", "input.location")]);
    // R50: members see it; strangers don't (R21).
    let query = "query($id: ID!) { organization(by: { id: $id }) { sector location } }";
    assert_eq!(
        member.query(query, json!({ "id": team.id })).await["organization"],
        json!({ "sector": "Health", "location": "Ghent" })
    );
    assert!(stranger.query(query, json!({ "id": team.id })).await["organization"].is_null());
    app.finish().await;
}

// The name can't be cleared.
#[tokio::test]
async fn a_name_is_needed() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for name in ["", "   ", "\u{200b}"] {
        let error = team.owner.refused("createOrganization", json!({ "name": name })).await;
        assert_eq!(error.is(), ("BLANK", "input.name"), "{name:?}");
        let error = team.owner.refused("updateOrganization", json!({ "id": team.id, "name": name })).await;
        assert_eq!(error.is(), ("BLANK", "input.name"), "{name:?}");
    }
    let error = team.owner.refused("createOrganization", json!({ "name": "x".repeat(101) })).await;
    assert_eq!(error.is(), ("TOO_LONG", "input.name"));
    let error = team.owner.refused("updateOrganization", json!({ "id": team.id, "name": null })).await;
    assert_eq!(error.field, "input.name");
    app.finish().await;
}

// R1, D4: staff found organizations for others; here only they do.
#[tokio::test]
async fn staff_found_organizations_for_others() {
    let app = TestApp::builder().setting("ROLLCALL_ORGANIZATION_CREATION", "staff").start().await;
    let ada = app.sign_up("ada@example.org").await;
    let error = ada.refused("createOrganization", json!({ "name": "Mine" })).await;
    assert_eq!(error.code, "FORBIDDEN");
    let error = app.staff().refused("createOrganization", json!({ "name": "Acme" })).await;
    assert_eq!(error.is(), ("BLANK", "input.ownerEmail"));
    let input = json!({ "name": "Acme", "ownerEmail": "ada@example.org" });
    let founded = app.staff().ok("createOrganization", input, "organization { id owner { id } }").await;
    assert_eq!(founded["organization"]["owner"]["id"], ada.user_id.as_str());
    assert!(ada.belongs_to(&text(&founded["organization"]["id"])).await);
    app.mail_about("ada@example.org", "is ready for you").await;
    // Someone without an account owns it once they sign in.
    let input = json!({ "name": "Beta", "ownerEmail": "Grace@example.org" });
    let founded = app.staff().ok("createOrganization", input, "organization { id }").await;
    app.mail_about("grace@example.org", "is ready for you").await;
    let grace = app.sign_up("grace@example.org").await;
    assert!(grace.belongs_to(&text(&founded["organization"]["id"])).await);
    // Only staff name an owner.
    let error = ada.refused("createOrganization", json!({ "name": "x", "ownerEmail": "grace@example.org" })).await;
    assert_eq!(error.code, "FORBIDDEN");
    app.finish().await;
}

// R1: staff give an organization to another owner, by token and by the command line; the old owner becomes ADMIN.
#[tokio::test]
async fn staff_change_an_owner() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.sign_up("grace@example.org").await;
    let set = |person: &Client| json!({ "organizationId": team.id, "userId": person.user_id });
    let error = team.owner.refused("setOrganizationOwner", set(&ada)).await;
    assert_eq!(error.is(), ("FORBIDDEN", "input.organizationId"));
    let answer = app.staff().ok("setOrganizationOwner", set(&ada), "organization { owner { id } }").await;
    assert_eq!(answer["organization"]["owner"]["id"], ada.user_id.as_str());
    let role = "query($id: ID!) { organization(by: { id: $id }) { viewerMembership { role } } }";
    let seen = team.owner.query(role, json!({ "id": team.id })).await;
    assert_eq!(seen["organization"]["viewerMembership"]["role"], "ADMIN");
    app.mail_about("ada@example.org", "You own Acme Genomics").await;
    // The one who owned it hears of it, and from whom.
    let mail = app.mail_about("owner@example.org", "Acme Genomics has a new owner").await;
    let said = [&mail.text, &mail.html].map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    for part in said {
        assert!(part.contains("staff passed ownership") && part.contains("You are now an admin there."), "{part}");
        assert!(part.contains(&ada.username().await), "{part}");
    }
    // Someone who was no member at all.
    let output = app.admin(&["set-owner", "--organization", &team.id, "--owner-email", "Grace@example.org"]);
    assert!(output.status.success(), "{output:?}");
    let seen = grace.query(role, json!({ "id": team.id })).await;
    assert_eq!(seen["organization"]["viewerMembership"]["role"], "OWNER");
    app.mail_about("grace@example.org", "You own Acme Genomics").await;
    app.mail_about("ada@example.org", "Acme Genomics has a new owner").await;
    let output = app.admin(&["set-owner", "--organization", &team.id, "--owner-email", "nobody@example.org"]);
    assert!(!output.status.success());
    // Founding, by the command line too.
    let output =
        app.admin(&["create-organization", "--name", "Beta", "--owner-email", "alan@example.org", "--slug", "beta"]);
    assert!(output.status.success(), "{output:?}");
    let alan = app.sign_up("alan@example.org").await;
    let found = alan.query("{ organization(by: { slug: \"beta\" }) { owner { id } } }", json!({})).await;
    assert_eq!(found["organization"]["owner"]["id"], alan.user_id.as_str());
    // R74: the log is whole, as the command says too.
    let output = app.admin(&["verify-audit-log", &team.id]);
    assert!(output.status.success(), "{output:?}");
    let actors =
        "query($id: ID!) { organization(by: { id: $id }) { auditLog(last: 2) { nodes { actorKind action } } } }";
    let log = grace.query(actors, json!({ "id": team.id })).await;
    for event in log["organization"]["auditLog"]["nodes"].as_array().unwrap() {
        assert_eq!(event["actorKind"], "STAFF", "{event}");
    }
    app.finish().await;
}

// R46, R1: one person owns so many organizations, however they come to one: by founding, by a transfer, by staff; two
// at once too.
#[tokio::test]
async fn nobody_owns_more_organizations_than_one_may() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let heir = app.join(&team, "heir@example.org", "ADMIN").await;
    let give = async |count: u32| {
        let owner = crate::support::people::uuid(&heir.user_id);
        let insert = format!(
            "WITH o AS (INSERT INTO organizations (id, name, created_at) \
               SELECT gen_random_uuid(), 'One of many', rollcall_now() FROM generate_series(1, {count}) RETURNING id) \
             INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, joined_at, \
               joined_via) SELECT gen_random_uuid(), o.id, '{owner}', 'owner', 'active', true, true, 'administer', rollcall_now(), 'founder' FROM o"
        );
        app.database.sql(&insert).await;
    };
    give(999).await;
    let second = app.sign_up("second@example.org").await;
    let beta = second.found("Beta").await;
    let (transfer, by_staff) =
        (team.transfer_to(&heir).await, json!({ "organizationId": beta, "userId": heir.user_id }));
    let staff = app.staff();
    let (one, other) = futures_util::join!(
        team.owner.mutate("transferOwnership", transfer.clone(), ""),
        staff.mutate("setOrganizationOwner", by_staff.clone(), "")
    );
    let refusals = [one.user_errors("transferOwnership"), other.user_errors("setOrganizationOwner")].concat();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(refusals[0].code, "TOO_MANY");
    let owned = format!(
        "SELECT count(*) AS value FROM members WHERE user_id = '{}' AND role = 'owner'",
        crate::support::people::uuid(&heir.user_id)
    );
    // The personal one comes on top.
    assert_eq!(app.database.number(&owned).await, 1_001);
    let refused = heir.refused("createOrganization", json!({ "name": "One more" })).await;
    assert_eq!(refused.is(), ("TOO_MANY", "input.name"));
    let refused =
        staff.refused("createOrganization", json!({ "name": "One more", "ownerEmail": "heir@example.org" })).await;
    assert_eq!(refused.is(), ("TOO_MANY", "input.ownerEmail"));
    let gamma = second.found("Gamma").await;
    let refused =
        staff.refused("setOrganizationOwner", json!({ "organizationId": gamma, "userId": heir.user_id })).await;
    assert_eq!(refused.is(), ("TOO_MANY", "input.userId"));
    let output = app.admin(&["set-owner", "--organization", &gamma, "--owner-email", "heir@example.org"]);
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("1000 organizations"),
        "{output:?}"
    );
    let output = app.admin(&["create-organization", "--name", "Delta", "--owner-email", "heir@example.org"]);
    assert!(!output.status.success(), "{output:?}");
    // What can be restored counts, so that restoring takes no room.
    let delete = format!(
        "UPDATE organizations SET deleted_at = rollcall_now(), deleted_by_id = '{}' \
         WHERE id IN (SELECT id FROM organizations WHERE name = 'One of many' LIMIT 5)",
        crate::support::people::uuid(&heir.user_id)
    );
    app.database.sql(&delete).await;
    assert_eq!(heir.refused("createOrganization", json!({ "name": "One more" })).await.code, "TOO_MANY");
    app.finish().await;
}

// D3: one organization per user, where the deployment says so.
#[tokio::test]
async fn a_second_organization_is_refused_where_one_is_the_rule() {
    let app = TestApp::builder().setting("ROLLCALL_ONE_ORGANIZATION_PER_USER", "true").start().await;
    let team = app.team().await;
    let other = app.sign_up("other@example.org").await;
    let other_id = other.found("Other").await;
    let error = team.owner.refused("createOrganization", json!({ "name": "Second" })).await;
    assert_eq!(error.code, "ONE_ORGANIZATION");
    let error = other.refused("redeemJoinCode", json!({ "code": team.code("MEMBER").await })).await;
    assert_eq!(error.is(), ("ONE_ORGANIZATION", "input.code"));
    let id = team.invite("other@example.org", "MEMBER").await;
    let error = other.refused("acceptInvitation", json!({ "id": id })).await;
    assert_eq!(error.is(), ("ONE_ORGANIZATION", "input.id"));
    // Nothing was used up, and who leaves may join elsewhere.
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    ada.ok("leaveOrganization", json!({ "organizationId": team.id }), "departure { id }").await;
    let code = other.ok("createJoinCodes", json!({ "organizationId": other_id }), "codes { code }").await;
    ada.ok("redeemJoinCode", json!({ "code": code["codes"][0]["code"] }), "member { id }").await;
    app.finish().await;
}

// D5: the personal organization can't be joined or left, and has no codes, invitations or teams.
#[tokio::test]
async fn a_personal_organization_is_nobody_elses() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let viewer = ada
        .query("{ viewer { personalOrganization { id name slug viewerCan } memberships { totalCount } } }", json!({}))
        .await;
    let personal = &viewer["viewer"]["personalOrganization"];
    assert!(personal["slug"].is_null());
    assert_eq!(viewer["viewer"]["memberships"]["totalCount"], 0);
    let id = text(&personal["id"]);
    for (mutation, input) in [
        ("inviteMembers", json!({ "organizationId": id, "invitations": [{ "email": "eve@example.org" }] })),
        ("createJoinCodes", json!({ "organizationId": id })),
        ("leaveOrganization", json!({ "organizationId": id })),
        ("updateOrganization", json!({ "id": id, "description": "x" })),
    ] {
        assert_eq!(ada.refused(mutation, input).await.code, "FORBIDDEN", "{mutation}");
    }
    for action in ["INVITE", "CREATE_JOIN_CODES", "LEAVE", "DELETE", "TRANSFER_OWNERSHIP"] {
        assert!(!personal["viewerCan"].as_array().unwrap().contains(&json!(action)), "{action}");
    }
    // It holds what belongs to no team.
    ada.create(&id, "PROJECT", "At home").await;
    app.finish().await;
}

// R46, R47: to an admin only, with both confirmations; both get a mail.
#[tokio::test]
async fn the_owner_hands_the_organization_over() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let heir = app.join(&team, "heir@example.org", "ADMIN").await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    team.invite("boss@example.org", "ADMIN").await;
    let right = team.transfer_to(&heir).await;
    let with = |field: &str, value: serde_json::Value| {
        let mut input = right.clone();
        input[field] = value;
        input
    };
    let owner_member = team.member_id(&team.owner).await;
    let own_username = team.owner.username().await;
    let mut to_oneself = with("memberId", json!(owner_member));
    to_oneself["confirmUsername"] = json!(own_username);
    for (person, input, error) in [
        (
            &team.owner,
            with("confirmOrganizationName", json!("acme genomics")),
            ("CONFIRMATION_MISMATCH", "input.confirmOrganizationName"),
        ),
        (&team.owner, with("confirmUsername", json!(own_username)), ("CONFIRMATION_MISMATCH", "input.confirmUsername")),
        (&team.owner, team.transfer_to(&member).await, ("NOT_AN_ADMIN", "input.memberId")),
        (&team.owner, to_oneself, ("SELF", "input.memberId")),
        (&heir, right.clone(), ("FORBIDDEN", "input.organizationId")),
        (&member, right.clone(), ("FORBIDDEN", "input.organizationId")),
    ] {
        assert_eq!(person.refused("transferOwnership", input.clone()).await.is(), error, "{input}");
    }
    assert_eq!(team.member_id(&team.owner).await, owner_member);
    let passed = team
        .owner
        .ok("transferOwnership", right.clone(), "organization { owner { id } viewerMembership { role } }")
        .await;
    assert_eq!(passed["organization"]["owner"]["id"], heir.user_id.as_str());
    assert_eq!(passed["organization"]["viewerMembership"]["role"], "ADMIN");
    let received = app.mail_about("heir@example.org", "You own Acme Genomics").await;
    let given = app.mail_about("owner@example.org", "has a new owner").await;
    assert!(received.text.contains(&format!("@{own_username}")), "{}", received.text);
    assert!(given.text.contains("You received this email because"), "{}", given.text);
    // What only an owner invites is taken back (R42), and the new owner may do what the old one could.
    let invitations =
        "query($id: ID!) { organization(by: { id: $id }) { invitations(status: REVOKED) { nodes { email } } } }";
    let revoked = heir.query(invitations, json!({ "id": team.id })).await;
    assert_eq!(revoked["organization"]["invitations"]["nodes"][0]["email"], "boss@example.org");
    assert_eq!(team.owner.refused("transferOwnership", right).await.is(), ("FORBIDDEN", "input.organizationId"));
    let input = json!({ "memberId": owner_member, "role": "MEMBER" });
    heir.ok("changeMemberRole", input, "member { role }").await;
    app.finish().await;
}

const SEEN: &str = "query($id: ID!) { organization(by: { id: $id }) { name deletedAt createdAt viewerCan members { nodes { id } } resources { nodes { id } } } }";

// What is refused is said to whoever reads it: nobody is told of themselves what is so of another.
#[tokio::test]
async fn refusals_speak_to_whoever_reads_them() {
    let app = TestApp::builder().setting("ROLLCALL_ONE_ORGANIZATION_PER_USER", "true").start().await;
    let team = app.team().await;
    let speaks = |refusal: UserError, code: &str, field: &str, word: &str| {
        assert_eq!(refusal.is(), (code, field), "{}", refusal.message);
        let words: Vec<&str> = refusal.message.split(|c: char| !c.is_alphabetic()).collect();
        let to_reader = words.iter().any(|word| matches!(*word, "you" | "your"));
        assert!(to_reader == (word == "you") && words.contains(&word), "{}", refusal.message);
    };
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let member = json!({ "memberId": team.member_id(&ada).await });
    let departure = json!({ "departureId": team.remove(&ada).await });
    ada.found("Ada's").await;
    let one = "ONE_ORGANIZATION";
    speaks(team.owner.refused("reactivateMember", member.clone()).await, one, "input.memberId", "they");
    speaks(team.owner.refused("revertDeparture", departure).await, one, "input.departureId", "they");
    let set = |person: &Client| json!({ "organizationId": team.id, "userId": person.user_id });
    speaks(app.staff().refused("setOrganizationOwner", set(&ada)).await, one, "input.userId", "they");
    let appointed = json!({ "name": "Beta", "ownerEmail": "ada@example.org" });
    speaks(app.staff().refused("createOrganization", appointed).await, one, "input.ownerEmail", "they");
    speaks(ada.refused("createOrganization", json!({ "name": "Beta" })).await, one, "input.name", "you");
    let code = team.code("MEMBER").await;
    speaks(ada.refused("redeemJoinCode", json!({ "code": code })).await, "FORBIDDEN", "input.code", "you");

    // No seat is free: whoever decides is told how many there are, and who would join whom to ask.
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let member = json!({ "memberId": team.member_id(&grace).await });
    team.remove(&grace).await;
    let plan = json!({ "organizationId": team.id, "plan": "Small", "seatLimit": 1 });
    app.staff().ok("setPlan", plan, "organization { id }").await;
    let seats = "SEAT_LIMIT";
    speaks(team.owner.refused("reactivateMember", member).await, seats, "input.memberId", "seat");
    speaks(app.staff().refused("setOrganizationOwner", set(&grace)).await, seats, "input.userId", "seat");
    let bob = app.sign_up("bob@example.org").await;
    speaks(bob.refused("redeemJoinCode", json!({ "code": code })).await, seats, "input.code", "you");

    // Whoever is suspended can't own anything, and is told what to do by another refusal than those who would give it
    // to them.
    let plan = json!({ "organizationId": team.id, "plan": "Large", "seatLimit": 9 });
    app.staff().ok("setPlan", plan, "organization { id }").await;
    team.invite("eve@example.org", "MEMBER").await;
    let token = app.mail_about("eve@example.org", "invites you").await.token();
    let accepted = app.anonymous().ok("acceptInvitation", json!({ "token": token }), "member { id user { id } }").await;
    team.owner.ok("deactivateMember", json!({ "memberId": accepted["member"]["id"] }), "departure { id }").await;
    let input = json!({ "organizationId": team.id, "userId": accepted["member"]["user"]["id"] });
    speaks(app.staff().refused("setOrganizationOwner", input).await, "SUSPENDED", "input.userId", "their");
    app.finish().await;
}

// R48: access ends at once for everyone; staff restore it within 30 days, from the API or the command line.
#[tokio::test]
async fn a_deleted_organization_is_out_of_reach_and_can_be_restored() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let project = admin.create(&team.id, "PROJECT", "Liver atlas").await;
    let secret = admin.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    let key = app.client(&text(&secret["secret"]));
    let code = team.code("MEMBER").await;
    team.invite("grace@example.org", "MEMBER").await;
    let token = app.mail_to("grace@example.org").await.token();
    let wrong = json!({ "id": team.id, "confirmOrganizationName": "Acme" });
    let refusal = team.owner.refused("deleteOrganization", wrong).await;
    assert_eq!(refusal.is(), ("CONFIRMATION_MISMATCH", "input.confirmOrganizationName"));
    let right = json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" });
    assert_eq!(admin.refused("deleteOrganization", right.clone()).await.is(), ("FORBIDDEN", "input.id"));
    let not_deleted = app.staff().refused("restoreOrganization", json!({ "id": team.id })).await;
    assert_eq!(not_deleted.is(), ("CONFLICT", "input.id"));

    let deleted = team.owner.ok("deleteOrganization", right.clone(), "deletedOrganizationId purgeAt").await;
    assert_eq!(deleted["deletedOrganizationId"], team.id.as_str());
    assert!(deleted["purgeAt"].is_string());
    assert!(admin.query(SEEN, json!({ "id": team.id })).await["organization"].is_null());
    let seen = team.owner.query(SEEN, json!({ "id": team.id })).await["organization"].clone();
    assert!(seen["deletedAt"].is_string() && seen["members"].is_null() && seen["resources"].is_null(), "{seen}");
    assert_eq!(seen["viewerCan"], json!([]));
    assert!(app.staff().query(SEEN, json!({ "id": team.id })).await["organization"]["deletedAt"].is_string());
    assert!(admin.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": project })).await["node"].is_null());
    assert_eq!(key.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    let viewer = admin.query("{ viewer { needsOrganization memberships { nodes { id } } } }", json!({})).await;
    assert_eq!(
        (&viewer["viewer"]["needsOrganization"], &viewer["viewer"]["memberships"]["nodes"]),
        (&json!(true), &json!([]))
    );
    let bob = app.sign_up("bob@example.org").await;
    assert_eq!(bob.refused("redeemJoinCode", json!({ "code": code })).await.code, "NOT_FOUND");
    assert_eq!(app.anonymous().refused("acceptInvitation", json!({ "token": token })).await.code, "REVOKED");
    assert_eq!(team.owner.refused("deleteOrganization", right.clone()).await.is(), ("NOT_FOUND", "input.id"));
    let slug = "query($slug: String!) { organization(by: { slug: $slug }) { id } }";
    assert!(admin.query(slug, json!({ "slug": "acme-genomics" })).await["organization"].is_null());

    app.shift_clock("29 days").await;
    let output = app.admin(&["restore-organization", &team.id]);
    assert!(output.status.success(), "{output:?}");
    let again = admin.with_token(admin.token.as_deref().unwrap());
    assert_eq!(
        again.query(SEEN, json!({ "id": team.id })).await["organization"]["resources"]["nodes"][0]["id"],
        project.as_str()
    );
    assert!(key.belongs_to(&team.id).await);
    assert_eq!(team.members("ACTIVE").await.len(), 2);
    // After 30 days nobody takes it back.
    team.owner.ok("deleteOrganization", right, "").await;
    app.shift_clock("30 days").await;
    let late = app.staff().refused("restoreOrganization", json!({ "id": team.id })).await;
    assert_eq!(late.is(), ("EXPIRED", "input.id"));
    app.finish().await;
}

// R48: nobody is mailed into a deleted organization; once it is restored, the invitation is sent again.
#[tokio::test]
async fn a_deleted_organization_invites_nobody() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    app.stop_workers().await;
    let invitation = team.invite("grace@example.org", "MEMBER").await;
    let delete = json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" });
    team.owner.ok("deleteOrganization", delete, "").await;
    app.start_worker();
    app.until_idle().await;
    assert!(app.read_mail("grace@example.org", "").is_none());
    // By its id nothing is told of it, not even to whom it was for.
    let grace = app.sign_up("grace@example.org").await;
    let node = "query($id: ID!) { node(id: $id) { ... on Invitation { organization { name } } } }";
    assert!(grace.query(node, json!({ "id": invitation })).await["node"].is_null());
    for mutation in ["declineInvitation", "acceptInvitation"] {
        assert_eq!(grace.refused(mutation, json!({ "id": invitation })).await.is(), ("NOT_FOUND", "input.id"));
    }
    app.staff().ok("restoreOrganization", json!({ "id": team.id }), "").await;
    assert!(grace.query(node, json!({ "id": invitation })).await["node"].is_object());
    team.owner.ok("resendInvitation", json!({ "id": invitation }), "").await;
    app.mail_about("grace@example.org", "invites you").await;
    app.finish().await;
}

// D3, R48: restoring brings nobody into two organizations where one is allowed.
#[tokio::test]
async fn a_restored_organization_takes_nobody_from_another() {
    let app = TestApp::builder().setting("ROLLCALL_ONE_ORGANIZATION_PER_USER", "true").start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    team.owner.ok("deleteOrganization", json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" }), "").await;
    let elsewhere = ada.found("Elsewhere").await;
    let refusal = app.staff().refused("restoreOrganization", json!({ "id": team.id })).await;
    assert_eq!(refusal.is(), ("ONE_ORGANIZATION", "input.id"));
    ada.ok("deleteOrganization", json!({ "id": elsewhere, "confirmOrganizationName": "Elsewhere" }), "").await;
    app.staff().ok("restoreOrganization", json!({ "id": team.id }), "organization { deletedAt }").await;
    assert!(ada.belongs_to(&team.id).await);
    app.finish().await;
}

// D2, R4, R9: leaders edit the policy; what admins may do is the owner's to say.
#[tokio::test]
async fn the_policy_is_edited_by_leaders_and_admin_powers_by_the_owner() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let second = app.join(&team, "second@example.org", "ADMIN").await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    let policy = "organization { policy { memberDirectory adminPowers externalSharing invitationDays defaultPermissions { billableActivities sharedApps sharedProjects } } }";
    let input = json!({ "organizationId": team.id, "memberDirectory": "EVERYONE", "invitationDays": 30, "externalSharing": "MEMBERS_ONLY",
        "defaultPermissions": { "billableActivities": true } });
    let changed = admin.ok("updateOrganizationPolicy", input, policy).await["organization"]["policy"].clone();
    assert_eq!((&changed["memberDirectory"], &changed["invitationDays"]), (&json!("EVERYONE"), &json!(30)));
    assert_eq!(
        (&changed["adminPowers"], &changed["defaultPermissions"]["billableActivities"]),
        (&json!("STANDARD"), &json!(true))
    );
    let seen = member
        .query("query($id: ID!) { organization(by: { id: $id }) { members { totalCount } } }", json!({ "id": team.id }))
        .await;
    assert_eq!(seen["organization"]["members"]["totalCount"], 4);
    for (person, input, error) in [
        (&member, json!({ "organizationId": team.id, "invitationDays": 3 }), ("FORBIDDEN", "input.organizationId")),
        (
            &admin,
            json!({ "organizationId": team.id, "adminPowers": "OWNER_EQUIVALENT" }),
            ("FORBIDDEN", "input.adminPowers"),
        ),
        (&admin, json!({ "organizationId": team.id, "invitationDays": 31 }), ("INVALID", "input.invitationDays")),
        (&admin, json!({ "organizationId": team.id, "invitationDays": 0 }), ("INVALID", "input.invitationDays")),
    ] {
        assert_eq!(person.refused("updateOrganizationPolicy", input).await.is(), error);
    }
    // The owner's powers, and back: what admins could issue meanwhile is revoked (R42).
    let powers = |powers: &str| json!({ "organizationId": team.id, "adminPowers": powers });
    team.owner.ok("updateOrganizationPolicy", powers("OWNER_EQUIVALENT"), policy).await;
    let admin_only =
        json!({ "organizationId": team.id, "invitations": [{ "email": "boss@example.org", "role": "ADMIN" }] });
    let invited = admin.ok("inviteMembers", admin_only.clone(), "invitations { id }").await;
    let boss = text(&invited["invitations"][0]["id"]);
    let second_id = team.member_id(&second).await;
    admin.ok("changeMemberRole", json!({ "memberId": second_id, "role": "MEMBER" }), "").await;
    let owner_id = team.member_id(&team.owner).await;
    for (mutation, input) in [
        ("changeMemberRole", json!({ "memberId": owner_id, "role": "MEMBER" })),
        ("removeMember", json!({ "memberId": owner_id })),
        ("deactivateMember", json!({ "memberId": owner_id })),
        ("updateMemberPermissions", json!({ "memberId": owner_id, "permissions": { "sharedApps": false } })),
        ("updateOrganizationPolicy", powers("STANDARD")),
        ("transferOwnership", team.transfer_to(&admin).await),
        ("deleteOrganization", json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" })),
    ] {
        assert_eq!(admin.refused(mutation, input).await.code, "FORBIDDEN", "{mutation}");
    }
    team.owner.ok("updateOrganizationPolicy", powers("STANDARD"), policy).await;
    assert_eq!(team.invitation(&boss).await["status"], "REVOKED");
    assert_eq!(admin.refused("inviteMembers", admin_only).await.code, "FORBIDDEN");
    app.finish().await;
}
