//! Plans and seats.

use crate::support::{Client, Team, TestApp, Value, json};

const BILLING: &str = "query($id: ID!) { organization(by: { id: $id }) { billing { plan seatLimit seatsUsed } } }";

impl TestApp {
    /// Gives an organization so many seats.
    pub async fn give_seats(&self, team: &Team, seats: impl Into<Option<i32>>) {
        let input = json!({ "organizationId": team.id, "plan": "team", "seatLimit": seats.into() });
        self.staff().ok("setPlan", input, "organization { id }").await;
    }
}

async fn billing(viewer: &Client, team: &Team) -> Value {
    viewer.query(BILLING, json!({ "id": team.id })).await["organization"]["billing"].clone()
}

// R64: the plan's seats are held by members and by open invitations; without one nobody is let in, and nothing is half
// done.
#[tokio::test]
async fn members_and_open_invitations_hold_the_seats() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    assert_eq!(billing(&team.owner, &team).await, json!({ "plan": "free", "seatLimit": null, "seatsUsed": 2 }));
    app.give_seats(&team, 4).await;
    assert_eq!(billing(&app.staff(), &team).await["seatLimit"], 4);
    assert!(billing(&ada, &team).await.is_null());
    let invite = |people: &[&str]| {
        let invitations: Vec<Value> = people.iter().map(|email| json!({ "email": email })).collect();
        json!({ "organizationId": team.id, "invitations": invitations })
    };
    // All or none.
    let three = invite(&["a@example.org", "b@example.org", "c@example.org"]);
    let refused = team.owner.refused("inviteMembers", three).await;
    assert_eq!(refused.is(), ("SEAT_LIMIT", "input.invitations"));
    assert!(refused.message.contains("4 seats") && refused.message.contains("2 are free"), "{}", refused.message);
    assert_eq!(billing(&team.owner, &team).await["seatsUsed"], 2);
    let code = team.code("MEMBER").await;
    let two = invite(&["bob@example.org", "cleo@example.org"]);
    let made = team.owner.ok("inviteMembers", two, "invitations { id }").await;
    assert_eq!(billing(&team.owner, &team).await["seatsUsed"], 4);
    // A code finds no seat, and isn't used up by that.
    let dan = app.sign_up("dan@example.org").await;
    let refused = dan.refused("redeemJoinCode", json!({ "code": code })).await;
    assert_eq!(refused.is(), ("SEAT_LIMIT", "input.code"));
    // How many seats there are is none of their business.
    assert!(!refused.message.contains('4'), "{}", refused.message);
    // Who was invited finds theirs.
    let bob = app.sign_up("bob@example.org").await;
    bob.ok("acceptInvitation", json!({ "id": made["invitations"][0]["id"] }), "member { id }").await;
    assert_eq!(billing(&team.owner, &team).await["seatsUsed"], 4);
    // Whoever holds an invitation's seat may also come by a code.
    let cleo = app.sign_up("cleo@example.org").await;
    cleo.ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    assert_eq!(billing(&team.owner, &team).await["seatsUsed"], 4);
    // A departure makes room, and who took it keeps the leaver out.
    let member = team.member_id(&ada).await;
    let departure = team.remove(&ada).await;
    app.completed(&team, &departure).await;
    dan.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id }").await;
    let back = team.owner.refused("reactivateMember", json!({ "memberId": member })).await;
    assert_eq!(back.is(), ("SEAT_LIMIT", "input.memberId"));
    let back = team.owner.refused("revertDeparture", json!({ "departureId": departure })).await;
    assert_eq!(back.is(), ("SEAT_LIMIT", "input.departureId"));
    // Fewer seats than are in use take nobody's away.
    app.give_seats(&team, 2).await;
    assert_eq!(billing(&team.owner, &team).await, json!({ "plan": "team", "seatLimit": 2, "seatsUsed": 4 }));
    app.give_seats(&team, 5).await;
    team.owner.ok("reactivateMember", json!({ "memberId": member }), "").await;
    assert!(team.audit().await.contains(&"organization.plan_set".to_owned()));
    app.finish().await;
}

fn invitation_ids(made: &Value) -> Vec<Value> {
    made["invitations"].as_array().unwrap().iter().map(|invitation| invitation["id"].clone()).collect()
}

// R64, R25: one person holds one seat, by whichever of their names they are invited; whether an address is a username's
// nobody is told.
#[tokio::test]
async fn one_person_holds_one_seat_by_whichever_name() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let grace = app.sign_up("grace@example.org").await;
    let people = |people: &[Value]| json!({ "organizationId": team.id, "invitations": people });
    let names = [("email", json!({ "email": "ada@example.org" })), ("username", json!({ "username": "ada" }))];
    let invite = async |named: &[Value]| {
        let made = team.owner.ok("inviteMembers", people(named), "invitations { id }").await;
        assert_eq!(billing(&team.owner, &team).await["seatsUsed"], 2, "{named:?}");
        invitation_ids(&made)
    };
    let [by_address, by_username] = names.clone().map(|(_, named)| named);
    for lists in [
        vec![vec![by_username.clone(), by_address.clone()]],
        vec![vec![by_address.clone()], vec![by_username.clone()]],
        vec![vec![by_username.clone()], vec![by_address.clone()]],
    ] {
        app.forget_mails().await;
        let mut made = Vec::new();
        for list in &lists {
            made.extend(invite(list).await);
        }
        // By the same name once.
        for (field, named) in &names {
            let refused = team.owner.refused("inviteMembers", people(std::slice::from_ref(named))).await;
            assert_eq!(refused.is(), ("ALREADY_INVITED", format!("input.invitations.0.{field}").as_str()));
        }
        for id in made {
            team.owner.ok("revokeInvitation", json!({ "id": id }), "").await;
        }
    }
    // Whom nobody could know for one at first.
    let both = people(&[json!({ "username": "grace" }), json!({ "email": "hopper@example.org" })]);
    let made = team.owner.ok("inviteMembers", both, "invitations { id }").await;
    assert_eq!(billing(&team.owner, &team).await["seatsUsed"], 3);
    app.give_seats(&team, 3).await;
    grace.ok("changeEmail", json!({ "email": "hopper@example.org" }), "").await;
    let token = app.mail_about("hopper@example.org", "Confirm your new email address").await.token();
    app.anonymous().ok("confirmEmailChange", json!({ "token": token }), "").await;
    assert_eq!(billing(&team.owner, &team).await["seatsUsed"], 2);
    team.invite("third@example.org", "MEMBER").await;
    grace.ok("acceptInvitation", json!({ "id": made["invitations"][1]["id"] }), "member { id }").await;
    assert_eq!(billing(&team.owner, &team).await["seatsUsed"], 3);
    assert_eq!(team.invitation(made["invitations"][0]["id"].as_str().unwrap()).await["status"], "REVOKED");
    for member in [json!({ "username": "grace" }), json!({ "email": "hopper@example.org" })] {
        assert_eq!(team.owner.refused("inviteMembers", people(&[member])).await.code, "ALREADY_MEMBER");
    }
    assert!(!ada.belongs_to(&team.id).await);
    app.finish().await;
}

// R64: revoked, declined and expired invitations give their seats back; the last by time alone.
#[tokio::test]
async fn an_invitation_that_ends_gives_its_seat_back() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    app.stop_workers().await;
    app.give_seats(&team, 2).await;
    let first = team.invite("bob@example.org", "MEMBER").await;
    let input = json!({ "organizationId": team.id, "invitations": [{ "email": "cleo@example.org" }] });
    assert_eq!(team.owner.refused("inviteMembers", input.clone()).await.code, "SEAT_LIMIT");
    team.owner.ok("revokeInvitation", json!({ "id": first }), "").await;
    team.owner.ok("inviteMembers", input.clone(), "").await;
    assert_eq!(team.owner.refused("inviteMembers", input.clone()).await.code, "ALREADY_INVITED");
    app.shift_clock("7 days").await;
    assert_eq!(billing(&team.owner, &team).await["seatsUsed"], 1);
    team.owner.ok("inviteMembers", input, "").await;
    app.start_worker();
    app.finish().await;
}

// R64: plans are the staff's, by token and from the command line.
#[tokio::test]
async fn staff_set_plans() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let output = app.admin(&["set-plan", "--organization", &team.id, "--plan", "campus", "--seat-limit", "300"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(billing(&team.owner, &team).await, json!({ "plan": "campus", "seatLimit": 300, "seatsUsed": 1 }));
    let input = json!({ "organizationId": team.id, "plan": "free" });
    assert_eq!(team.owner.refused("setPlan", input.clone()).await.is(), ("FORBIDDEN", "input.organizationId"));
    app.staff().ok("setPlan", input, "organization { billing { seatLimit } }").await;
    assert_eq!(billing(&team.owner, &team).await, json!({ "plan": "free", "seatLimit": 300, "seatsUsed": 1 }));
    let output = app.admin(&["set-plan", "--organization", &team.id, "--plan", "free", "--unlimited"]);
    assert!(output.status.success(), "{output:?}");
    for seats in [0, -1] {
        let input = json!({ "organizationId": team.id, "plan": "free", "seatLimit": seats });
        assert_eq!(app.staff().refused("setPlan", input).await.is(), ("INVALID", "input.seatLimit"));
    }
    assert_eq!(billing(&team.owner, &team).await["seatLimit"], json!(null));
    // The log names the system's user, whatever the environment makes of the name.
    app.set("USER", "ops\u{1b}[2J\nroot\u{202e}");
    let output = app.admin(&["set-plan", "--organization", &team.id, "--plan", "campus"]);
    assert!(output.status.success(), "{output:?}");
    let names = "SELECT metadata->>'staff' AS value FROM audit_events WHERE metadata->>'staff' LIKE '%ops%'";
    assert!(app.database.texts(names).await.contains(&"command line (ops[2Jroot)".to_owned()));
    app.finish().await;
}

// R63: the owner says where it is billed, for all; admins with the owner's powers too, and nobody else.
#[tokio::test]
async fn the_owner_says_where_the_organization_is_billed() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let query = "query($id: ID!) { organization(by: { id: $id }) { billing { accountName contactEmail reference creditsPurchased storageLimitBytes runLimit } } }";
    let seen =
        async |client: &Client| client.query(query, json!({ "id": team.id })).await["organization"]["billing"].clone();
    let input = json!({ "organizationId": team.id, "accountName": " Acme Inc. ", "contactEmail": "Bills@Example.net", "reference": "4711" });
    assert_eq!(admin.refused("updateBilling", input.clone()).await.is(), ("FORBIDDEN", "input.organizationId"));
    team.owner.ok("updateBilling", input, "").await;
    let billing = seen(&admin).await;
    assert_eq!((&billing["accountName"], &billing["contactEmail"]), (&json!("Acme Inc."), &json!("bills@example.net")));
    // Left out stays, null clears.
    team.owner.ok("updateBilling", json!({ "organizationId": team.id, "reference": null }), "").await;
    let billing = seen(&team.owner).await;
    assert_eq!((&billing["accountName"], &billing["reference"]), (&json!("Acme Inc."), &Value::Null));
    for (field, value, code) in [
        ("contactEmail", json!("nobody"), "INVALID"),
        ("accountName", json!("x".repeat(201)), "TOO_LONG"),
        ("reference", json!("two\nlines"), "INVALID"),
    ] {
        let mut input = json!({ "organizationId": team.id });
        input[field] = value;
        let error = team.owner.refused("updateBilling", input).await;
        assert_eq!(error.is(), (code, &*format!("input.{field}")));
    }
    let policy = json!({ "organizationId": team.id, "adminPowers": "OWNER_EQUIVALENT" });
    team.owner.ok("updateOrganizationPolicy", policy, "").await;
    admin.ok("updateBilling", json!({ "organizationId": team.id, "reference": "42" }), "").await;
    app.finish().await;
}

// Staff add what was bought, exactly, and the same purchase once.
#[tokio::test]
async fn credits_are_exact_and_count_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let staff = app.staff();
    let add = |amount: &str, key: &str| json!({ "organizationId": team.id, "amount": amount, "idempotencyKey": key });
    assert_eq!(team.owner.refused("addCredits", add("1", "a")).await.is(), ("FORBIDDEN", "input.organizationId"));
    futures_util::future::join_all((0..32).map(|n| {
        let (staff, input) = (staff.twin(), add("0.1001", &format!("invoice {}", n % 16)));
        async move { staff.ok("addCredits", input, "").await }
    }))
    .await;
    staff.ok("addCredits", add("-0.6", "taken back"), "").await;
    let query = "query($id: ID!) { organization(by: { id: $id }) { billing { creditsPurchased } } }";
    let bought = team.owner.query(query, json!({ "id": team.id })).await;
    // 16 times 0.1001 less 0.6.
    assert_eq!(bought["organization"]["billing"]["creditsPurchased"], "1.0016");
    assert_eq!(staff.refused("addCredits", add("2", "taken back")).await.is(), ("CONFLICT", "input.idempotencyKey"));
    for amount in ["0", "0.00001", "1000000001"] {
        assert_eq!(
            staff.refused("addCredits", add(amount, "wrong")).await.is(),
            ("INVALID", "input.amount"),
            "{amount}"
        );
    }
    app.finish().await;
}

// R64: as much as fits, exactly, under whatever concurrency; a lower quota takes nothing away.
#[tokio::test]
async fn the_storage_quota_holds_under_concurrency() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let plan = |bytes: Option<i64>| json!({ "organizationId": team.id, "plan": "small", "storageLimitBytes": bytes });
    app.staff().ok("setPlan", plan(Some(1_000)), "").await;
    let input = json!({ "organizationId": team.id, "kind": "VOLUME", "name": "Reads", "sizeBytes": 100 });
    let made = futures_util::future::join_all((0..32).map(|_| {
        let (owner, input) = (team.owner.twin(), input.clone());
        async move { owner.mutate("createResource", input, "resource { id }").await }
    }))
    .await;
    let errors: Vec<_> = made.iter().flat_map(|answer| answer.user_errors("createResource")).collect();
    assert_eq!(errors.len(), 22);
    assert!(errors.iter().all(|error| error.is() == ("QUOTA_EXCEEDED", "input.sizeBytes")), "{errors:?}");
    let id = made.iter().find_map(|answer| answer.data()["createResource"]["resource"]["id"].as_str()).unwrap();
    let grow = |bytes: i64| json!({ "id": id, "sizeBytes": bytes });
    assert_eq!(team.owner.refused("updateResource", grow(101)).await.is(), ("QUOTA_EXCEEDED", "input.sizeBytes"));
    team.owner.ok("updateResource", grow(99), "").await;
    team.owner.ok("updateResource", grow(100), "").await;
    app.staff().ok("setPlan", plan(Some(500)), "").await;
    // Less is more room, and never refused.
    team.owner.ok("updateResource", grow(50), "").await;
    team.owner.ok("deleteResource", json!({ "id": id }), "").await;
    assert_eq!(team.owner.refused("createResource", input.clone()).await.code, "QUOTA_EXCEEDED");
    app.staff().ok("setPlan", plan(None), "").await;
    team.owner.ok("createResource", input, "").await;
    app.finish().await;
}
