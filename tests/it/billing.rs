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

// R64: the plan's seats are held by members and by open invitations; without one nobody is let in, and nothing is half done.
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
    assert!(refused.message.contains("4 seats") && refused.message.contains("2 of them"), "{}", refused.message);
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
    let app = TestApp::start().await;
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
    app.finish().await;
}
