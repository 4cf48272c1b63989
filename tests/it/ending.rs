//! What people issue ends with them: by the commit, however much there is, and for good.

use std::collections::HashSet;

use futures_util::future::join_all;

use crate::departure::step;
use crate::statements::statements;
use crate::support::client::{nodes, text};
use crate::support::page::Visitor;
use crate::support::people::uuid;
use crate::support::{Client, Team, TestApp, Value, json, until};

const OPEN: &str = "query($id: ID!) { organization(by: { id: $id }) { billing { seatsUsed } \
     pending: invitations(status: PENDING, first: 100) { totalCount nodes { status } } \
     revoked: invitations(status: REVOKED, first: 100) { totalCount nodes { status } } \
     active: joinCodes(status: ACTIVE, first: 100) { totalCount nodes { status } } \
     ended: joinCodes(status: REVOKED, first: 100) { totalCount nodes { status } } } }";

const PLAN: &str = "query($id: ID!, $member: ID!) { organization(by: { id: $id }) { departurePlan(memberId: $member, kind: REMOVE) { \
     hash steps { step affects examples } } } }";

impl Client {
    /// Invites an address; the invitation's id.
    async fn invites(&self, team: &Team, email: &str, role: &str) -> String {
        let input = json!({ "organizationId": team.id, "invitations": [{ "email": email, "role": role }] });
        text(&self.ok("inviteMembers", input, "invitations { id }").await["invitations"][0]["id"])
    }

    /// Makes a join code: its id and its digits.
    async fn makes_code(&self, team: &Team, role: &str) -> (String, String) {
        let input = json!({ "organizationId": team.id, "role": role });
        let made = self.ok("createJoinCodes", input, "codes { code joinCode { id } }").await;
        (text(&made["codes"][0]["joinCode"]["id"]), text(&made["codes"][0]["code"]))
    }

    /// Makes a link to a collection; its URL.
    async fn makes_link(&self, collection: &str) -> String {
        text(&self.ok("createShareLink", json!({ "resourceId": collection }), "url").await["url"])
    }
}

impl TestApp {
    /// Gives somebody so many open invitations, codes, links and invitations to a resource, as years of work would
    /// have.
    async fn give_issued(&self, team: &Team, issuer: &Client, collection: &str, count: usize) {
        let (organization, issuer, collection) = (uuid(&team.id), uuid(&issuer.user_id), uuid(collection));
        let later = "rollcall_now() + interval '3 days'";
        let insert = format!(
            "INSERT INTO invitations (id, organization_id, email, role, billable_activities, shared_apps, shared_projects, invited_by_id, \
               created_at, sent_at, expires_at) \
             SELECT gen_random_uuid(), '{organization}', 'of-{issuer}-' || n || '@example.org', 'member', false, false, 'view', '{issuer}', \
               rollcall_now(), rollcall_now(), {later} FROM generate_series(1, {count}) n; \
             INSERT INTO join_codes (id, organization_id, digest, role, hint, created_by_id, created_at, expires_at) \
             SELECT gen_random_uuid(), '{organization}', sha256(('{issuer}' || n)::bytea), 'member', '12', '{issuer}', \
               rollcall_now(), {later} FROM generate_series(1, {count}) n; \
             INSERT INTO share_links (id, organization_id, resource_id, token_digest, hint, created_by_id, created_at) \
             SELECT gen_random_uuid(), '{organization}', '{collection}', sha256(('{issuer}' || n)::bytea), 'abcd', '{issuer}', \
               rollcall_now() FROM generate_series(1, {count}) n; \
             INSERT INTO grant_invitations (id, organization_id, resource_id, email, level, invited_by_id, created_at, expires_at) \
             SELECT gen_random_uuid(), '{organization}', '{collection}', 'to-{issuer}-' || n || '@example.org', 'view', '{issuer}', \
               rollcall_now(), {later} FROM generate_series(1, {count}) n"
        );
        self.database.sql(&insert).await;
    }

    /// How many rows of all tables the transaction has written that made a departure.
    async fn rows_written(&self, departure: &str) -> i64 {
        let departure = uuid(departure);
        let made_by = format!("SELECT xmin::text AS value FROM departures WHERE id = '{departure}'");
        let transaction = self.database.texts(&made_by).await.remove(0);
        let tables = "SELECT tablename AS value FROM pg_tables WHERE schemaname = 'public'";
        let counts: Vec<String> = (self.database.texts(tables).await.iter())
            .map(|table| format!("(SELECT count(*) FROM {table} WHERE xmin::text = '{transaction}')"))
            .collect();
        self.database.number(&format!("SELECT {} AS value", counts.join(" + "))).await
    }
}

fn planned(plan: &Value) -> Value {
    let steps = plan["organization"]["departurePlan"]["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == "REVOKE_ISSUED").unwrap().clone()
}

// R31, R42: removing somebody takes the same statements, rows and events whatever they have issued; all of it is
// refused right after, and the worker marks it, a thousand at a time.
#[tokio::test]
async fn a_removal_takes_as_much_for_five_hundred_as_for_five() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let mut issuers = Vec::new();
    for (n, count) in [(1, 5), (2, 500)] {
        let issuer = app.join(&team, &format!("issuer{n}@example.org"), "ADMIN").await;
        let collection = issuer.create(&team.id, "COLLECTION", "Best of").await;
        let address = format!("invited{n}@example.org");
        let invitation = issuer.invites(&team, &address, "MEMBER").await;
        let token = app.mail_about(&address, "invites you").await.token();
        let (code_id, code) = issuer.makes_code(&team, "MEMBER").await;
        let link = issuer.makes_link(&collection).await;
        app.give_issued(&team, &issuer, &collection, count).await;
        issuers.push((issuer, count as i64, invitation, token, code_id, code, link));
    }
    let stranger = app.sign_up("stranger@example.org").await;
    app.until_idle().await;
    app.stop_workers().await;
    app.database.sql(&format!("ALTER DATABASE {} SET log_statement = 'all'", app.database.name)).await;
    app.stop_api().await;
    app.start_api().await;

    let mut taken = Vec::new();
    let mut departures = Vec::new();
    for (issuer, count, ..) in &issuers {
        let member = team.member_id(issuer).await;
        let plan = team.owner.query(PLAN, json!({ "id": team.id, "member": member })).await;
        let planned = planned(&plan);
        assert_eq!(planned["affects"], 4 * count + 3, "{planned}");
        assert_eq!(planned["examples"].as_array().unwrap().len(), 5, "{planned}");
        let hash = &plan["organization"]["departurePlan"]["hash"];
        // So that no connection is made meanwhile, which takes statements of its own.
        let seats = (0..8).map(|_| team.owner.query(OPEN, json!({ "id": team.id })));
        join_all(seats).await;
        let before = statements(&app);
        let input = json!({ "memberId": member, "planHash": hash });
        let removed = team.owner.ok("removeMember", input, "departure { id }").await;
        let statements = statements(&app) - before;
        let departure = text(&removed["departure"]["id"]);
        taken.push((statements, app.rows_written(&departure).await));
        departures.push(departure);
    }
    assert_eq!(taken[0], taken[1], "statements and rows, for 20 and for 2,000");

    // No worker has run.
    let visitor = Visitor::new(&app.url);
    for (_, _, invitation, token, code_id, code, link) in &issuers {
        assert_eq!(team.invitation(invitation).await["status"], "REVOKED");
        assert_eq!(team.join_code(code_id).await["status"], "REVOKED");
        let error = app.anonymous().refused("acceptInvitation", json!({ "token": token })).await;
        assert_eq!(error.is(), ("REVOKED", "input.token"));
        let error = app.anonymous().refused("declineInvitation", json!({ "token": token })).await;
        assert_eq!(error.is(), ("REVOKED", "input.token"));
        for mutation in ["resendInvitation", "revokeInvitation"] {
            assert_eq!(team.owner.refused(mutation, json!({ "id": invitation })).await.is(), ("REVOKED", "input.id"));
        }
        assert_eq!(team.owner.refused("revokeJoinCode", json!({ "id": code_id })).await.is(), ("REVOKED", "input.id"));
        let error = stranger.refused("redeemJoinCode", json!({ "code": code })).await;
        assert_eq!(error.is(), ("NOT_FOUND", "input.code"));
        assert_eq!(visitor.get(link).await.status, 404, "{link}");
    }
    let total = issuers.iter().map(|(_, count, ..)| count + 1).sum::<i64>();
    let open = team.owner.query(OPEN, json!({ "id": team.id })).await["organization"].clone();
    assert_eq!((&open["pending"]["totalCount"], &open["revoked"]["totalCount"]), (&json!(0), &json!(total)));
    assert_eq!((&open["active"]["totalCount"], &open["ended"]["totalCount"]), (&json!(0), &json!(total)));
    for one in nodes(&open["revoked"]).iter().chain(nodes(&open["ended"])) {
        assert_eq!(one["status"], "REVOKED");
    }
    assert_eq!(open["billing"]["seatsUsed"], 1, "the owner's");

    app.start_worker();
    let log = "query($id: ID!, $action: String!) { organization(by: { id: $id }) { auditLog(first: 100, action: $action) { \
         nodes { targetId actorKind metadata } } } }";
    for ((_, count, ..), departure) in issuers.iter().zip(&departures) {
        let completed = app.completed(&team, departure).await;
        let all = 4 * count + 3;
        assert_eq!(step(&completed, "REVOKE_ISSUED"), (all, all));
        for (action, key, marked) in [
            ("organization.invitation_revoked", "invitationIds", count + 1),
            ("organization.join_code_revoked", "joinCodeIds", count + 1),
            ("share_link.revoked", "shareLinkIds", count + 1),
            ("grant.invitation_revoked", "grantInvitationIds", *count),
        ] {
            let events = team.owner.query(log, json!({ "id": team.id, "action": action })).await;
            let events = nodes(&events["organization"]["auditLog"]).clone();
            let of_this = || events.iter().filter(|event| event["targetId"] == departure.as_str());
            let ids: HashSet<String> =
                of_this().flat_map(|event| event["metadata"][key].as_array().unwrap().iter().map(text)).collect();
            assert_eq!(ids.len() as i64, marked, "{action}");
            assert!(of_this().count() <= 2 && of_this().all(|event| event["actorKind"] == "SYSTEM"), "{action}");
        }
    }
    let open = "SELECT (SELECT count(*) FROM invitations WHERE status = 'pending') \
         + (SELECT count(*) FROM join_codes WHERE status = 'active') + (SELECT count(*) FROM share_links WHERE revoked_at IS NULL) \
         + (SELECT count(*) FROM grant_invitations) AS value";
    assert_eq!(app.database.number(open).await, 0);
    app.finish().await;
}

// R42, R45: what was issued before a departure stays dead, whoever comes back and however, before or after the worker
// has marked it; and it stands in nobody's way.
#[tokio::test]
async fn what_has_ended_stays_so() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let mut people = Vec::new();
    for (n, back) in ["reactivated", "reverted", "invited"].into_iter().enumerate() {
        let person = app.join(&team, &format!("{back}@example.org"), "ADMIN").await;
        let member = team.member_id(&person).await;
        let collection = person.create(&team.id, "COLLECTION", "Best of").await;
        let address = format!("guest{n}@example.org");
        let invitation = person.invites(&team, &address, "MEMBER").await;
        let token = app.mail_about(&address, "invites you").await.token();
        let (code_id, code) = person.makes_code(&team, "MEMBER").await;
        let link = person.makes_link(&collection).await;
        let shared = json!({ "resourceId": collection, "grantee": { "email": format!("to-{back}@example.org") }, "level": "VIEW" });
        person.ok("grantAccess", shared, "invited").await;
        people.push((back, person, member, collection, address, invitation, token, code_id, code, link));
    }
    let stranger = app.sign_up("stranger@example.org").await;
    app.until_idle().await;
    app.stop_workers().await;

    let visitor = Visitor::new(&app.url);
    for (back, person, member, collection, address, invitation, token, code_id, code, link) in &people {
        let departure = team.remove(person).await;
        match *back {
            "reactivated" => {
                team.owner.ok("reactivateMember", json!({ "memberId": member }), "member { id }").await;
            }
            "reverted" => {
                team.owner.ok("revertDeparture", json!({ "departureId": departure }), "departure { id }").await;
            }
            _ => {
                let again = team.invite(&format!("{back}@example.org"), "ADMIN").await;
                person.ok("acceptInvitation", json!({ "id": again }), "member { id }").await;
            }
        }
        assert_eq!(team.invitation(invitation).await["status"], "REVOKED", "{back}");
        assert_eq!(team.join_code(code_id).await["status"], "REVOKED", "{back}");
        let error = app.anonymous().refused("acceptInvitation", json!({ "token": token })).await;
        assert_eq!(error.is(), ("REVOKED", "input.token"), "{back}");
        let error = stranger.refused("redeemJoinCode", json!({ "code": code })).await;
        assert_eq!(error.is(), ("NOT_FOUND", "input.code"), "{back}");
        assert_eq!(visitor.get(link).await.status, 404, "{back}");
        // The same address, and the same collection, by the same person, now.
        let invitation = person.invites(&team, address, "MEMBER").await;
        assert_eq!(team.invitation(&invitation).await["status"], "PENDING", "{back}");
        let (code_id, _) = person.makes_code(&team, "MEMBER").await;
        assert_eq!(team.join_code(&code_id).await["status"], "ACTIVE", "{back}");
        if *back == "reverted" {
            assert_eq!(visitor.get(&person.makes_link(collection).await).await.status, 200);
        }
    }
    app.start_worker();
    app.until_idle().await;
    for (back, person, _, _, _, invitation, _, code_id, ..) in &people {
        assert_eq!(team.invitation(invitation).await["status"], "REVOKED", "{back}");
        assert_eq!(team.join_code(code_id).await["status"], "REVOKED", "{back}");
        // What was shared with an address ended too, though the person may share it again.
        let guest = app.sign_up(&format!("to-{back}@example.org")).await;
        let seen = guest.query("{ viewer { resources { nodes { id } } } }", json!({})).await;
        assert!(nodes(&seen["viewer"]["resources"]).is_empty(), "{back}: {seen}");
        assert!(person.belongs_to(&team.id).await, "{back}");
    }
    app.finish().await;
}

// R42: a demotion ends what the person could no longer issue, and a promotion doesn't wake it; so it is with the
// admins' powers, and where the ownership passes on.
#[tokio::test]
async fn what_a_demotion_has_ended_stays_so() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let member = team.member_id(&admin).await;
    let powers = async |powers: &str| {
        let input = json!({ "organizationId": team.id, "adminPowers": powers });
        team.owner.ok("updateOrganizationPolicy", input, "organization { id }").await;
    };
    let role = async |role: &str| {
        team.owner.ok("changeMemberRole", json!({ "memberId": member, "role": role }), "member { id }").await;
    };
    app.until_idle().await;
    app.stop_workers().await;

    let plain = admin.invites(&team, "one@example.org", "MEMBER").await;
    let (code, _) = admin.makes_code(&team, "MEMBER").await;
    role("MEMBER").await;
    role("ADMIN").await;
    assert_eq!(team.invitation(&plain).await["status"], "REVOKED");
    assert_eq!(team.join_code(&code).await["status"], "REVOKED");
    let plain = admin.invites(&team, "one@example.org", "MEMBER").await;
    let (code, _) = admin.makes_code(&team, "MEMBER").await;

    powers("OWNER_EQUIVALENT").await;
    let boss = admin.invites(&team, "boss@example.org", "ADMIN").await;
    let (admin_code, _) = admin.makes_code(&team, "ADMIN").await;
    powers("STANDARD").await;
    powers("OWNER_EQUIVALENT").await;
    assert_eq!(team.invitation(&boss).await["status"], "REVOKED");
    assert_eq!(team.join_code(&admin_code).await["status"], "REVOKED");
    assert_eq!(team.invitation(&plain).await["status"], "PENDING", "admins invite members");
    assert_eq!(team.join_code(&code).await["status"], "ACTIVE");
    // There is one admin code at a time, and none is active.
    let (owners_code, _) = team.owner.makes_code(&team, "ADMIN").await;
    powers("STANDARD").await;

    let of_owner = team.owner.invites(&team, "second@example.org", "ADMIN").await;
    let kept = team.owner.invites(&team, "third@example.org", "MEMBER").await;
    team.owner.ok("transferOwnership", team.transfer_to(&admin).await, "").await;
    let seen = async |id: &str| {
        let query = "query($id: ID!) { node(id: $id) { ... on Invitation { status } ... on JoinCode { status } } }";
        text(&admin.query(query, json!({ "id": id })).await["node"]["status"])
    };
    assert_eq!((seen(&of_owner).await, seen(&owners_code).await), ("REVOKED".into(), "REVOKED".into()));
    assert_eq!(seen(&kept).await, "PENDING");
    app.start_worker();
    app.until_idle().await;
    assert_eq!((seen(&of_owner).await, seen(&plain).await), ("REVOKED".into(), "PENDING".into()));
    let open = "SELECT (SELECT count(*) FROM invitations WHERE status = 'pending') \
         + (SELECT count(*) FROM join_codes WHERE status = 'active') AS value";
    assert_eq!(app.database.number(open).await, 3);
    app.finish().await;
}

// R48, R61: what has ended with an account or an organization is over at once, for good, and its projects can be
// offered again.
#[tokio::test]
async fn invitations_and_offers_end_with_accounts_and_organizations() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let bob = app.sign_up("bob@example.org").await;
    let elsewhere = Team { id: bob.found("Elsewhere").await, owner: bob.twin() };
    let eve = app.sign_up("eve@example.org").await;
    let invited = json!({ "organizationId": team.id, "invitations": [{ "username": eve.username().await }] });
    let invited = team.owner.ok("inviteMembers", invited, "invitations { id }").await;
    let invited = text(&invited["invitations"][0]["id"]);
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let other = ada.create(&team.id, "PROJECT", "Heart atlas").await;
    let offer = async |project: &str, to: &Client| {
        let input = json!({ "resourceId": project, "recipientId": to.user_id });
        text(&ada.ok("offerProjectTransfer", input, "transfer { id }").await["transfer"]["id"])
    };
    let status = async |id: &str| {
        let query = "query($id: ID!) { node(id: $id) { ... on ProjectTransfer { status } } }";
        text(&ada.query(query, json!({ "id": id })).await["node"]["status"])
    };
    let (to_eve, to_bob) = (offer(&project, &eve).await, offer(&other, &bob).await);
    app.until_idle().await;
    app.stop_workers().await;

    eve.ok("deleteAccount", json!({ "confirmEmail": "eve@example.org" }), "").await;
    assert_eq!(team.invitation(&invited).await["status"], "REVOKED");
    assert_eq!(status(&to_eve).await, "CANCELLED");
    let again = offer(&project, &bob).await;
    assert_eq!(status(&again).await, "OFFERED");

    let delete = json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" });
    team.owner.ok("deleteOrganization", delete, "").await;
    app.staff().ok("restoreOrganization", json!({ "id": team.id }), "").await;
    for id in [&to_bob, &again] {
        assert_eq!(status(id).await, "CANCELLED");
        let accept = json!({ "id": id, "organizationId": elsewhere.id });
        assert_eq!(bob.refused("acceptProjectTransfer", accept).await.is(), ("REVOKED", "input.id"));
        assert_eq!(bob.refused("declineProjectTransfer", json!({ "id": id })).await.is(), ("REVOKED", "input.id"));
    }
    let incoming = bob.query("{ viewer { incomingTransfers { totalCount } } }", json!({})).await;
    assert_eq!(incoming["viewer"]["incomingTransfers"]["totalCount"], 0);
    let last = offer(&project, &bob).await;
    app.start_worker();
    app.until_idle().await;
    let offered = "SELECT count(*) AS value FROM project_transfers WHERE status = 'offered'";
    assert_eq!((app.database.number(offered).await, status(&last).await), (1, "OFFERED".into()));
    let pending = "SELECT count(*) AS value FROM invitations WHERE status = 'pending'";
    assert_eq!(app.database.number(pending).await, 0);
    app.finish().await;
}

// R23, R64: an organization has at most 10,000 open invitations, and those that have ended don't count, nor hold seats.
#[tokio::test]
async fn open_invitations_have_a_limit() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let collection = admin.create(&team.id, "COLLECTION", "Best of").await;
    app.until_idle().await;
    app.stop_workers().await;
    app.give_issued(&team, &admin, &collection, 9_999).await;
    let two = ["one@example.org", "two@example.org"].map(|email| json!({ "email": email }));
    let input = json!({ "organizationId": team.id, "invitations": two });
    let refusal = team.owner.refused("inviteMembers", input).await;
    assert_eq!(refusal.is(), ("TOO_MANY", "input.invitations"));
    assert!(refusal.message.contains("10000") && refusal.message.contains("revoke"), "{}", refusal.message);
    team.invite("one@example.org", "MEMBER").await;

    // Seats for the two who are members, for the open invitation, and one more.
    let plan = json!({ "organizationId": team.id, "plan": "Small", "seatLimit": 4 });
    app.staff().ok("setPlan", plan, "organization { id }").await;
    let full = json!({ "organizationId": team.id, "invitations": [{ "email": "three@example.org" }] });
    assert_eq!(team.owner.refused("inviteMembers", full.clone()).await.code, "TOO_MANY");
    let departure = team.remove(&admin).await;
    let used = team.owner.query(OPEN, json!({ "id": team.id })).await;
    assert_eq!(used["organization"]["billing"]["seatsUsed"], 2);
    team.owner.ok("inviteMembers", full, "invitations { id }").await;
    app.start_worker();
    let departure = until("it is completed", async || {
        let departure = team.departure(&departure).await;
        (departure["status"] == "COMPLETED").then_some(departure)
    })
    .await;
    assert_eq!(step(&departure, "REVOKE_ISSUED"), (39_996, 39_996));
    app.finish().await;
}
