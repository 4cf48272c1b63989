//! What may happen once happens once, whoever asks at the same instant.

use futures_util::future::{join, join_all};

use crate::support::client::text;
use crate::support::people::uuid;
use crate::support::{Answer, Client, TestApp, json};

const AT_ONCE: usize = 32;

/// Opens each client's connection, so that what follows arrives together.
async fn warm(clients: &[Client]) {
    join_all(clients.iter().map(|client| client.run("{ __typename }", json!({})))).await;
}

/// Of the answers those that succeeded, and the codes of the others.
fn outcome(mutation: &str, answers: &[Answer]) -> (usize, Vec<String>) {
    let codes: Vec<String> = answers
        .iter()
        .filter_map(|answer| match answer.body.get("errors") {
            Some(_) => Some(answer.error_code()),
            None => answer.user_errors(mutation).first().map(|error| error.code.clone()),
        })
        .collect();
    (answers.len() - codes.len(), codes)
}

// R26, R30: 32 people enter the same code.
#[tokio::test]
async fn a_code_entered_by_many_at_once_brings_one_in() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let people = app.sign_up_many(AT_ONCE).await;
    let code = team.code("MEMBER").await;
    warm(&people).await;
    let input = json!({ "code": code });
    let answers =
        join_all(people.iter().map(|person| person.mutate("redeemJoinCode", input.clone(), "member { id }"))).await;
    let (joined, codes) = outcome("redeemJoinCode", &answers);
    assert_eq!(joined, 1, "{codes:?}");
    assert!(codes.iter().all(|code| code == "NOT_FOUND"), "{codes:?}");
    assert_eq!(team.members("ACTIVE").await.len(), 2);
    app.finish().await;
}

// R45: one person enters 32 different codes.
#[tokio::test]
async fn many_codes_entered_by_one_at_once_make_one_membership() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    // Fewer than the limit on tries.
    let input = json!({ "organizationId": team.id, "count": 8 });
    let made = team.owner.ok("createJoinCodes", input, "codes { code }").await;
    let twins: Vec<Client> = (0..8).map(|_| ada.twin()).collect();
    warm(&twins).await;
    let codes = made["codes"].as_array().unwrap();
    let answers = join_all(
        twins.iter().zip(codes).map(|(ada, code)| ada.mutate("redeemJoinCode", json!({ "code": code["code"] }), "")),
    )
    .await;
    let (joined, codes) = outcome("redeemJoinCode", &answers);
    assert_eq!(joined, 1, "{codes:?}");
    assert!(codes.iter().all(|code| code == "ALREADY_MEMBER"), "{codes:?}");
    assert_eq!(app.database.number("SELECT count(*) AS value FROM join_codes WHERE status = 'used'").await, 1);
    app.finish().await;
}

// R25: an invitation of someone without an account, accepted 32 times at once.
#[tokio::test]
async fn an_invitation_accepted_many_times_at_once_makes_one_account_and_membership() {
    let app = TestApp::start().await;
    let team = app.team().await;
    team.invite("grace@example.org", "MEMBER").await;
    let token = app.mail_to("grace@example.org").await.token();
    let visitors: Vec<Client> = (0..AT_ONCE).map(|_| app.anonymous()).collect();
    warm(&visitors).await;
    let input = json!({ "token": token });
    let answers =
        join_all(visitors.iter().map(|visitor| visitor.mutate("acceptInvitation", input.clone(), "sessionToken")))
            .await;
    let (joined, codes) = outcome("acceptInvitation", &answers);
    assert_eq!(joined, 1, "{codes:?}");
    assert!(codes.iter().all(|code| ["ALREADY_USED", "UNAUTHENTICATED"].contains(&code.as_str())), "{codes:?}");
    assert_eq!(app.database.number("SELECT count(*) AS value FROM users WHERE email = 'grace@example.org'").await, 1);
    assert_eq!(team.members("ACTIVE").await.len(), 2);
    app.finish().await;
}

// R25: the same with an account, by token and by id.
#[tokio::test]
async fn an_account_that_accepts_many_times_at_once_joins_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let grace = app.sign_up("grace@example.org").await;
    let id = team.invite("grace@example.org", "MEMBER").await;
    let token = app.mail_about("grace@example.org", "invites you").await.token();
    let twins: Vec<Client> = (0..AT_ONCE).map(|_| grace.twin()).collect();
    warm(&twins).await;
    let input = |n: usize| if n.is_multiple_of(2) { json!({ "token": token }) } else { json!({ "id": id }) };
    let answers = join_all(
        twins.iter().enumerate().map(|(n, grace)| grace.mutate("acceptInvitation", input(n), "member { id }")),
    )
    .await;
    let (joined, codes) = outcome("acceptInvitation", &answers);
    assert_eq!(joined, 1, "{codes:?}");
    assert!(codes.iter().all(|code| code == "ALREADY_USED"), "{codes:?}");
    assert_eq!(team.members("ACTIVE").await.len(), 2);
    app.finish().await;
}

// R23, R25: accepting against revoking: one of them wins, never both.
#[tokio::test]
async fn accepting_and_revoking_at_once_end_in_one_of_them() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for round in 0..8 {
        let email = format!("person{round}@example.org");
        let id = team.invite(&email, "MEMBER").await;
        let token = app.mail_to(&email).await.token();
        let visitor = app.anonymous();
        warm(std::slice::from_ref(&visitor)).await;
        let (accepted, revoked) = join(
            visitor.mutate("acceptInvitation", json!({ "token": token }), ""),
            team.owner.mutate("revokeInvitation", json!({ "id": id }), ""),
        )
        .await;
        let (accepts, _) = outcome("acceptInvitation", &[accepted]);
        let (revokes, _) = outcome("revokeInvitation", &[revoked]);
        assert_eq!(accepts + revokes, 1);
        let status = team.invitation(&id).await["status"].clone();
        assert_eq!(status, if accepts == 1 { "ACCEPTED" } else { "REVOKED" });
        assert_eq!(team.members("ACTIVE").await.iter().any(|member| member["email"] == email.as_str()), accepts == 1);
    }
    app.finish().await;
}

// R31, R34, R35: resources created at the instant of the departure are refused or passed on, never left.
#[tokio::test]
async fn nothing_created_at_the_instant_of_a_departure_is_left_behind() {
    let app = TestApp::builder().workers(2).start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let member = team.member_id(&ada).await;
    let twins: Vec<Client> = (0..AT_ONCE).map(|_| ada.twin()).collect();
    warm(&twins).await;
    let create = async |n: usize, ada: &Client| {
        let mut answers = Vec::new();
        for round in 0..4 {
            let kind = if round % 2 == 0 { "PROJECT" } else { "VOLUME" };
            let input = json!({ "organizationId": team.id, "kind": kind, "name": format!("{n}.{round}") });
            answers.push(ada.mutate("createResource", input, "resource { id }").await);
        }
        answers
    };
    // Once the first creations are in, and while the others come.
    let remove = async {
        crate::support::until("something is created", async || (app.owned(&team, &ada).await > 0).then_some(())).await;
        team.owner.ok("removeMember", json!({ "memberId": member }), "departure { id }").await
    };
    let (answers, removed) = join(join_all(twins.iter().enumerate().map(|(n, ada)| create(n, ada))), remove).await;
    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
    let (created, codes) = outcome("createResource", &answers);
    assert!(codes.iter().all(|code| code == "NOT_FOUND"), "{codes:?}");
    app.completed(&team, &text(&removed["departure"]["id"])).await;
    assert_eq!(app.owned(&team, &ada).await, 0);
    assert_eq!(app.owned(&team, &team.owner).await, i64::try_from(created).unwrap());
    app.finish().await;
}

// R31: issuing and joining at the instant of the departure.
#[tokio::test]
async fn nothing_issued_at_the_instant_of_a_departure_stays_open() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let member = team.member_id(&admin).await;
    let twins: Vec<Client> = (0..AT_ONCE).map(|_| admin.twin()).collect();
    warm(&twins).await;
    let issue = async |n: usize, admin: &Client| match n % 3 {
        0 => {
            let invitation = json!({ "email": format!("person{n}@example.org") });
            let input = json!({ "organizationId": team.id, "invitations": [invitation] });
            outcome("inviteMembers", &[admin.mutate("inviteMembers", input, "").await])
        }
        1 => {
            let input = json!({ "organizationId": team.id, "count": 5 });
            outcome("createJoinCodes", &[admin.mutate("createJoinCodes", input, "").await])
        }
        _ => {
            let input = json!({ "organizationId": team.id, "name": format!("key {n}") });
            outcome("createApiKey", &[admin.mutate("createApiKey", input, "").await])
        }
    };
    let remove = team.owner.ok("removeMember", json!({ "memberId": member }), "departure { id }");
    let (outcomes, _) = join(join_all(twins.iter().enumerate().map(|(n, admin)| issue(n, admin))), remove).await;
    let codes: Vec<String> = outcomes.into_iter().flat_map(|(_, codes)| codes).collect();
    assert!(codes.iter().all(|code| code == "NOT_FOUND"), "{codes:?}");
    let query = "query($id: ID!) { organization(by: { id: $id }) { \
         invitations(status: PENDING) { totalCount } joinCodes(status: ACTIVE) { totalCount } } }";
    let open = team.owner.query(query, json!({ "id": team.id })).await["organization"].clone();
    assert_eq!((&open["invitations"]["totalCount"], &open["joinCodes"]["totalCount"]), (&json!(0), &json!(0)));
    // Marking it is the worker's.
    app.until_idle().await;
    let id = uuid(&admin.user_id);
    for open in [
        format!("SELECT count(*) AS value FROM invitations WHERE invited_by_id = '{id}' AND status = 'pending'"),
        format!("SELECT count(*) AS value FROM join_codes WHERE created_by_id = '{id}' AND status = 'active'"),
        format!("SELECT count(*) AS value FROM api_keys WHERE user_id = '{id}' AND revoked_at IS NULL"),
    ] {
        assert_eq!(app.database.number(&open).await, 0, "{open}");
    }
    app.finish().await;
}

// R12: two admins remove the same member; one departure.
#[tokio::test]
async fn a_member_removed_by_many_at_once_departs_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let member = team.member_id(&ada).await;
    let mut removers: Vec<Client> = (0..AT_ONCE / 2).flat_map(|_| [admin.twin(), team.owner.twin()]).collect();
    removers.push(ada.twin());
    warm(&removers).await;
    let remove = async |remover: &Client| {
        if remover.user_id == ada.user_id {
            let input = json!({ "organizationId": team.id });
            outcome("leaveOrganization", &[remover.mutate("leaveOrganization", input, "departure { id }").await])
        } else {
            let input = json!({ "memberId": member });
            outcome("removeMember", &[remover.mutate("removeMember", input, "departure { id }").await])
        }
    };
    let outcomes = join_all(removers.iter().map(remove)).await;
    let departed: usize = outcomes.iter().map(|(done, _)| done).sum();
    let codes: Vec<&String> = outcomes.iter().flat_map(|(_, codes)| codes).collect();
    assert_eq!(departed, 1, "{codes:?}");
    assert!(codes.iter().all(|code| ["CONFLICT", "NOT_FOUND"].contains(&code.as_str())), "{codes:?}");
    assert_eq!(app.database.number("SELECT count(*) AS value FROM departures").await, 1);
    app.finish().await;
}

// D3: one organization per user, under a race of two ways in.
#[tokio::test]
async fn one_organization_per_user_holds_under_a_race() {
    let app = TestApp::builder().setting("ROLLCALL_ONE_ORGANIZATION_PER_USER", "true").start().await;
    let team = app.team().await;
    let other = app.sign_up("other@example.org").await;
    let other_id = other.found("Other").await;
    let ada = app.sign_up("ada@example.org").await;
    let code = team.code("MEMBER").await;
    let other_code = other.ok("createJoinCodes", json!({ "organizationId": other_id }), "codes { code }").await;
    let other_code = text(&other_code["codes"][0]["code"]);
    let twins: Vec<Client> = (0..3).map(|_| ada.twin()).collect();
    warm(&twins).await;
    let answers = join_all([
        twins[0].mutate("redeemJoinCode", json!({ "code": code }), "member { id }"),
        twins[1].mutate("redeemJoinCode", json!({ "code": other_code }), "member { id }"),
    ])
    .await;
    let founded = twins[2].mutate("createOrganization", json!({ "name": "Mine" }), "organization { id }").await;
    let (joined, codes) = outcome("redeemJoinCode", &answers);
    assert_eq!((joined, codes), (1, vec!["ONE_ORGANIZATION".to_owned()]));
    assert_eq!(founded.user_errors("createOrganization")[0].code, "ONE_ORGANIZATION");
    app.finish().await;
}

// D2, R43: ownership passes to someone who is just leaving, or being removed: one owner, and nothing left behind.
#[tokio::test]
async fn ownership_passing_to_someone_who_is_leaving_ends_with_one_owner() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for round in 0..8 {
        let ada = app.join(&team, &format!("person{round}@example.org"), "ADMIN").await;
        ada.create(&team.id, "PROJECT", "Atlas").await;
        let staff = app.staff();
        warm(&[ada.clone(), staff.clone()]).await;
        let (left, set) = join(
            ada.mutate("leaveOrganization", json!({ "organizationId": team.id }), ""),
            staff.mutate("setOrganizationOwner", json!({ "organizationId": team.id, "userId": ada.user_id }), ""),
        )
        .await;
        let (_, codes) = outcome("leaveOrganization", &[left]);
        assert!(codes.is_empty() || codes == ["OWNER_MUST_STAY"], "{codes:?}");
        let (_, codes) = outcome("setOrganizationOwner", &[set]);
        assert!(codes.is_empty(), "{codes:?}");
        let back = json!({ "organizationId": team.id, "userId": team.owner.user_id });
        staff.ok("setOrganizationOwner", back, "organization { id }").await;
    }
    app.finish().await;
}

// D2, R46: the owner hands over to 32 admins at once: one of them owns it.
#[tokio::test]
async fn ownership_handed_to_many_at_once_goes_to_one() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let people = app.sign_up_many(AT_ONCE).await;
    let mut inputs = Vec::new();
    for batch in people.chunks(16) {
        let invitations: Vec<_> =
            batch.iter().map(|person| json!({ "email": person.email, "role": "ADMIN" })).collect();
        let input = json!({ "organizationId": team.id, "invitations": invitations });
        let made = team.owner.ok("inviteMembers", input, "invitations { id }").await;
        for (person, invitation) in batch.iter().zip(made["invitations"].as_array().unwrap()) {
            person.ok("acceptInvitation", json!({ "id": invitation["id"] }), "").await;
        }
    }
    for person in &people {
        inputs.push(team.transfer_to(person).await);
    }
    let twins: Vec<Client> = people.iter().map(|_| team.owner.twin()).collect();
    warm(&twins).await;
    let answers =
        join_all(twins.iter().zip(&inputs).map(|(owner, input)| owner.mutate("transferOwnership", input.clone(), "")))
            .await;
    let (passed, codes) = outcome("transferOwnership", &answers);
    assert_eq!(passed, 1, "{codes:?}");
    assert!(codes.iter().all(|code| code == "FORBIDDEN" || code == "CONFLICT"), "{codes:?}");
    app.finish().await;
}

// R40, R46: the heir leaves, or is removed, while the ownership passes to them: somebody owns it, and nobody who left.
#[tokio::test]
async fn ownership_passing_while_the_heir_goes_ends_with_one_owner() {
    let app = TestApp::start().await;
    for round in 0..8 {
        let founder = app.sign_up(&format!("founder{round}@example.org")).await;
        let team = crate::support::Team { id: founder.found("Acme Genomics").await, owner: founder };
        let heir = app.join(&team, &format!("heir{round}@example.org"), "ADMIN").await;
        let input = team.transfer_to(&heir).await;
        let transfers: Vec<Client> = (0..AT_ONCE / 2).map(|_| team.owner.twin()).collect();
        let leaves: Vec<Client> = (0..AT_ONCE / 2).map(|_| heir.twin()).collect();
        warm(&transfers).await;
        warm(&leaves).await;
        let transferring = join_all(transfers.iter().map(|owner| owner.mutate("transferOwnership", input.clone(), "")));
        let leaving = join_all(
            leaves.iter().map(|heir| heir.mutate("leaveOrganization", json!({ "organizationId": team.id }), "")),
        );
        let (transferred, left) = join(transferring, leaving).await;
        let (passed, codes) = outcome("transferOwnership", &transferred);
        let (gone, _) = outcome("leaveOrganization", &left);
        assert_eq!(passed + gone, 1, "{codes:?}");
        let owner = format!(
            "SELECT user_id::text AS value FROM members WHERE organization_id = '{}' AND role = 'owner' AND status = 'active'",
            uuid(&team.id)
        );
        let expected = if passed == 1 { &heir } else { &team.owner };
        assert_eq!(app.database.texts(&owner).await, [uuid(&expected.user_id).to_string()]);
    }
    app.finish().await;
}

// R43, R48: an organization deleted while a departure runs: the cascade finishes, and nothing is left with the leaver.
#[tokio::test]
async fn a_departure_under_way_finishes_though_the_organization_is_deleted() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    app.give(&team, &ada, "project", 5_000).await;
    let member = team.member_id(&ada).await;
    let removers: Vec<Client> = (0..AT_ONCE / 2).map(|_| team.owner.twin()).collect();
    let deleters: Vec<Client> = (0..AT_ONCE / 2).map(|_| team.owner.twin()).collect();
    warm(&removers).await;
    warm(&deleters).await;
    let removing =
        join_all(removers.iter().map(|owner| owner.mutate("removeMember", json!({ "memberId": member }), "")));
    let deleting = join_all(deleters.iter().map(|owner| {
        let input = json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" });
        owner.mutate("deleteOrganization", input, "")
    }));
    let (removed, deleted) = join(removing, deleting).await;
    assert_eq!(outcome("deleteOrganization", &deleted).0, 1);
    let (removed, codes) = outcome("removeMember", &removed);
    assert!(removed <= 1, "{codes:?}");
    app.until_idle().await;
    assert_eq!(app.owned(&team, &ada).await, if removed == 1 { 0 } else { 5_000 });
    app.finish().await;
}

// R45: reverted, reactivated and invited again at the same instant: one membership, active once, and everything with
// someone.
#[tokio::test]
async fn reverting_and_inviting_again_at_once_bring_the_person_back_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let member = team.member_id(&ada).await;
    for _ in 0..4 {
        app.give(&team, &ada, "project", 1_500).await;
        let departure = team.remove(&ada).await;
        let invitation = team.invite("ada@example.org", "VIEWER").await;
        let owners: Vec<Client> = (0..AT_ONCE).map(|_| team.owner.twin()).collect();
        let invited: Vec<Client> = (0..8).map(|_| ada.twin()).collect();
        warm(&owners).await;
        warm(&invited).await;
        let taking_back = join_all(owners.iter().enumerate().map(|(n, owner)| match n % 2 {
            0 => owner.mutate("revertDeparture", json!({ "departureId": departure }), ""),
            _ => owner.mutate("reactivateMember", json!({ "memberId": member }), ""),
        }));
        let accepting =
            join_all(invited.iter().map(|ada| ada.mutate("acceptInvitation", json!({ "id": invitation }), "")));
        let (_, accepted) = join(taking_back, accepting).await;
        assert!(outcome("acceptInvitation", &accepted).0 <= 1);
        app.until_idle().await;
        let memberships = format!(
            "SELECT status || ' ' || count(*) AS value FROM members WHERE id = '{}' GROUP BY status",
            uuid(&member)
        );
        assert_eq!(app.database.texts(&memberships).await, ["active 1"]);
        let open = "SELECT count(*) AS value FROM invitations WHERE status = 'pending'";
        assert_eq!(app.database.number(open).await, 0);
        let running = "SELECT count(*) AS value FROM departures WHERE status NOT IN ('completed', 'reverted')";
        assert_eq!(app.database.number(running).await, 0);
        app.database.sql("DELETE FROM resource_moves; DELETE FROM resources").await;
    }
    app.finish().await;
}

// R64: the last seat is taken once, by whichever way in.
#[tokio::test]
async fn the_last_seat_is_taken_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let people = app.sign_up_many(AT_ONCE / 2).await;
    let input = json!({ "organizationId": team.id, "count": people.len() });
    let codes = team.owner.ok("createJoinCodes", input, "codes { code }").await["codes"].as_array().unwrap().clone();
    let inviters: Vec<Client> = (0..AT_ONCE / 2).map(|_| team.owner.twin()).collect();
    warm(&people).await;
    warm(&inviters).await;
    app.give_seats(&team, 2).await;
    let redeeming = join_all(
        people
            .iter()
            .zip(&codes)
            .map(|(person, code)| person.mutate("redeemJoinCode", json!({ "code": code["code"] }), "")),
    );
    let inviting = join_all(inviters.iter().enumerate().map(|(n, owner)| {
        let invitation = json!({ "email": format!("invited{n}@example.org") });
        owner.mutate("inviteMembers", json!({ "organizationId": team.id, "invitations": [invitation] }), "")
    }));
    let (redeemed, invited) = join(redeeming, inviting).await;
    let (joined, mut refused) = outcome("redeemJoinCode", &redeemed);
    let (asked, others) = outcome("inviteMembers", &invited);
    refused.extend(others);
    assert_eq!(joined + asked, 1);
    assert!(refused.iter().all(|code| code == "SEAT_LIMIT"), "{refused:?}");
    let used = "SELECT (SELECT count(*) FROM members m JOIN organizations o ON o.id = m.organization_id \
         WHERE o.personal_user_id IS NULL AND m.status = 'active') \
         + (SELECT count(*) FROM invitations WHERE status = 'pending') AS value";
    assert_eq!(app.database.number(used).await, 2);
    app.finish().await;
}

// R3, R10, R12: promoted by the owner and removed by an admin at once: removed as what they were, or an admin whom
// admins can't touch.
#[tokio::test]
async fn promoting_and_removing_at_once_end_in_one_of_them() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    for round in 0..4 {
        let ada = app.join(&team, &format!("person{round}@example.org"), "MEMBER").await;
        let member = team.member_id(&ada).await;
        let owners: Vec<Client> = (0..AT_ONCE / 2).map(|_| team.owner.twin()).collect();
        let admins: Vec<Client> = (0..AT_ONCE / 2).map(|_| admin.twin()).collect();
        warm(&owners).await;
        warm(&admins).await;
        let promoting = join_all(owners.iter().map(|owner| {
            owner.mutate("changeMemberRole", json!({ "memberId": member, "role": "ADMIN" }), "member { role }")
        }));
        let removing =
            join_all(admins.iter().map(|admin| admin.mutate("removeMember", json!({ "memberId": member }), "")));
        let (promoted, removed) = join(promoting, removing).await;
        let (promoted, refused) = outcome("changeMemberRole", &promoted);
        let (removed, forbidden) = outcome("removeMember", &removed);
        let stands = format!("SELECT role || ' ' || status AS value FROM members WHERE id = '{}'", uuid(&member));
        let stands = app.database.texts(&stands).await;
        if removed == 1 {
            assert_eq!((promoted, stands[0].as_str()), (0, "member removed"));
            assert!(refused.iter().all(|code| code == "CONFLICT"), "{refused:?}");
        } else {
            assert_eq!((promoted, removed, stands[0].as_str()), (AT_ONCE / 2, 0, "admin active"));
            assert!(forbidden.iter().all(|code| code == "FORBIDDEN"), "{forbidden:?}");
        }
    }
    app.finish().await;
}

// R31, R32, R42: whatever the one who is being deactivated does at that instant either came before or doesn't happen.
#[tokio::test]
async fn nothing_done_at_the_instant_of_ones_deactivation_stays() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let bob = app.join(&team, "bob@example.org", "MEMBER").await;
    let bob_id = team.member_id(&bob).await;
    team.invite("boss@example.org", "ADMIN").await;
    let token = app.mail_to("boss@example.org").await.token();
    let selection = "sessionToken member { id user { id } }";
    let made = app.anonymous().ok("acceptInvitation", json!({ "token": token }), selection).await;
    let mut boss = app.anonymous().with_token(&text(&made["sessionToken"]));
    boss.user_id = text(&made["member"]["user"]["id"]);
    let lab = team.group("Lab", &[&boss]).await;
    let twins: Vec<Client> = (0..AT_ONCE).map(|_| boss.twin()).collect();
    warm(&twins).await;
    let organization = &team.id;
    let personal = boss.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let personal = personal["viewer"]["personalOrganization"]["id"].clone();
    let act = async |n: usize, boss: &Client| {
        let (mutation, input) = match n % 9 {
            8 => ("createApiKey", json!({ "organizationId": personal, "name": format!("own key {n}") })),
            0 => {
                let invitation = json!({ "email": format!("invited{n}@example.org"), "teamIds": [lab] });
                ("inviteMembers", json!({ "organizationId": organization, "invitations": [invitation] }))
            }
            1 => ("createJoinCodes", json!({ "organizationId": organization, "count": 3 })),
            2 => ("createApiKey", json!({ "organizationId": organization, "name": format!("key {n}") })),
            3 => {
                ("createResource", json!({ "organizationId": organization, "kind": "MACHINE", "name": format!("{n}") }))
            }
            4 => ("createTeam", json!({ "organizationId": organization, "name": format!("Team {n}") })),
            5 => ("addTeamMembers", json!({ "teamId": lab, "userIds": [boss.user_id] })),
            6 => {
                let role = if n % 16 == 6 { "VIEWER" } else { "MEMBER" };
                ("changeMemberRole", json!({ "memberId": bob_id, "role": role }))
            }
            _ => ("switchOrganization", json!({ "organizationId": organization })),
        };
        outcome(mutation, &[boss.mutate(mutation, input, "").await]).1
    };
    let deactivate = team.owner.ok("deactivateMember", json!({ "memberId": made["member"]["id"] }), "departure { id }");
    let acting = join_all(twins.iter().enumerate().map(|(n, boss)| act(n, boss)));
    let (refused, departed) = join(acting, deactivate).await;
    let refused: Vec<String> = refused.into_iter().flatten().collect();
    // The invitation made the account, so that it is suspended and its sessions are gone.
    let expected = ["NOT_FOUND", "FORBIDDEN", "SUSPENDED", "UNAUTHENTICATED"];
    assert!(refused.iter().all(|code| expected.contains(&code.as_str())), "{refused:?}");
    app.completed(&team, &text(&departed["departure"]["id"])).await;
    let id = uuid(&boss.user_id);
    for left in [
        format!("SELECT count(*) AS value FROM invitations WHERE invited_by_id = '{id}' AND status = 'pending'"),
        format!("SELECT count(*) AS value FROM join_codes WHERE created_by_id = '{id}' AND status = 'active'"),
        format!("SELECT count(*) AS value FROM api_keys WHERE user_id = '{id}' AND revoked_at IS NULL"),
        format!("SELECT count(*) AS value FROM resources WHERE owner_id = '{id}'"),
        format!("SELECT count(*) AS value FROM team_members WHERE user_id = '{id}'"),
        format!("SELECT count(*) AS value FROM sessions WHERE user_id = '{id}' AND expires_at > rollcall_now()"),
        format!("SELECT count(*) AS value FROM users WHERE id = '{id}' AND suspended_at IS NULL"),
    ] {
        assert_eq!(app.database.number(&left).await, 0, "{left}");
    }
    app.finish().await;
}

// R27, R42: admins lose the owner's powers while they make admin codes: none is left that they might not make.
#[tokio::test]
async fn no_admin_code_is_made_past_the_loss_of_the_power() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let twins: Vec<Client> = (0..AT_ONCE / 2).map(|_| admin.twin()).collect();
    warm(&twins).await;
    let policy = |powers: &str| json!({ "organizationId": team.id, "adminPowers": powers });
    for _ in 0..4 {
        team.owner.ok("updateOrganizationPolicy", policy("OWNER_EQUIVALENT"), "").await;
        let codes =
            join_all(twins.iter().map(|admin| {
                admin.mutate("createJoinCodes", json!({ "organizationId": team.id, "role": "ADMIN" }), "")
            }));
        join(codes, team.owner.ok("updateOrganizationPolicy", policy("STANDARD"), "")).await;
        // At once, and whether or not the worker has marked them.
        let query = "query($id: ID!) { organization(by: { id: $id }) { joinCodes(status: ACTIVE) { totalCount } } }";
        let active = team.owner.query(query, json!({ "id": team.id })).await;
        assert_eq!(active["organization"]["joinCodes"]["totalCount"], 0);
    }
    app.until_idle().await;
    let active = "SELECT count(*) AS value FROM join_codes WHERE role = 'admin' AND status = 'active'";
    assert_eq!(app.database.number(active).await, 0);
    app.finish().await;
}

// D6: deactivated in two organizations at the same instant: suspended where the one that made the account came last,
// and only there.
#[tokio::test]
async fn deactivation_in_two_organizations_at_once_suspends_who_belongs_nowhere() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let founder = app.sign_up("founder@example.org").await;
    let other = crate::support::Team { id: founder.found("Elsewhere").await, owner: founder };
    let mut pairs = Vec::new();
    for n in 0..AT_ONCE / 2 {
        let email = format!("person{n}@example.org");
        team.invite(&email, "MEMBER").await;
        let token = app.mail_to(&email).await.token();
        let selection = "sessionToken member { id user { id } }";
        let made = app.anonymous().ok("acceptInvitation", json!({ "token": token }), selection).await;
        let person = app.anonymous().with_token(&text(&made["sessionToken"]));
        let joined = person.ok("redeemJoinCode", json!({ "code": other.code("MEMBER").await }), "member { id }").await;
        pairs.push((
            text(&made["member"]["id"]),
            text(&joined["member"]["id"]),
            uuid(&text(&made["member"]["user"]["id"])),
        ));
    }
    let owners: Vec<Client> = pairs.iter().map(|_| team.owner.twin()).collect();
    let others: Vec<Client> = pairs.iter().map(|_| other.owner.twin()).collect();
    warm(&owners).await;
    warm(&others).await;
    let here = join_all(
        owners
            .iter()
            .zip(&pairs)
            .map(|(owner, (member, ..))| owner.mutate("deactivateMember", json!({ "memberId": member }), "")),
    );
    let there = join_all(
        others
            .iter()
            .zip(&pairs)
            .map(|(owner, (_, member, _))| owner.mutate("deactivateMember", json!({ "memberId": member }), "")),
    );
    let (here, there) = join(here, there).await;
    assert_eq!(outcome("deactivateMember", &here), (pairs.len(), vec![]));
    assert_eq!(outcome("deactivateMember", &there), (pairs.len(), vec![]));
    for (_, _, user) in &pairs {
        let last = format!(
            "SELECT organization_id::text AS value FROM departures WHERE user_id = '{user}' ORDER BY started_at DESC LIMIT 1"
        );
        let origin_last = app.database.texts(&last).await == [uuid(&team.id).to_string()];
        let suspended = format!("SELECT count(*) AS value FROM users WHERE id = '{user}' AND suspended_at IS NOT NULL");
        assert_eq!(app.database.number(&suspended).await, i64::from(origin_last), "{user}");
    }
    app.finish().await;
}

// D6: deactivated by the organization that made the account while another one's code is redeemed: either the person
// belongs there and isn't suspended, or they are suspended and belong nowhere.
#[tokio::test]
async fn nobody_joins_by_code_while_being_suspended() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let founder = app.sign_up("founder@example.org").await;
    let other = crate::support::Team { id: founder.found("Elsewhere").await, owner: founder };
    let mut people = Vec::new();
    for n in 0..AT_ONCE / 2 {
        let email = format!("person{n}@example.org");
        team.invite(&email, "MEMBER").await;
        let token = app.mail_to(&email).await.token();
        let made =
            app.anonymous().ok("acceptInvitation", json!({ "token": token }), "sessionToken member { id }").await;
        let person = app.anonymous().with_token(&text(&made["sessionToken"]));
        people.push((text(&made["member"]["id"]), person, other.code("MEMBER").await, team.owner.twin()));
    }
    let persons: Vec<Client> = people.iter().map(|(_, person, ..)| person.twin()).collect();
    let owners: Vec<Client> = people.iter().map(|(.., owner)| owner.twin()).collect();
    warm(&persons).await;
    warm(&owners).await;
    let leaving = join_all(
        owners
            .iter()
            .zip(&people)
            .map(|(owner, (member, ..))| owner.mutate("deactivateMember", json!({ "memberId": member }), "")),
    );
    let joining = join_all(
        persons
            .iter()
            .zip(&people)
            .map(|(person, (_, _, code, _))| person.mutate("redeemJoinCode", json!({ "code": code }), "")),
    );
    let (left, _) = join(leaving, joining).await;
    assert_eq!(outcome("deactivateMember", &left), (people.len(), vec![]));
    let locked_out = "SELECT count(*) AS value FROM members m JOIN users u ON u.id = m.user_id \
        JOIN organizations o ON o.id = m.organization_id \
        WHERE m.status = 'active' AND u.suspended_at IS NOT NULL AND o.personal_user_id IS NULL";
    assert_eq!(app.database.number(locked_out).await, 0);
    app.finish().await;
}

// D3: 32 invitations of as many organizations, accepted at once by the same person: one is.
#[tokio::test]
async fn many_invitations_accepted_at_once_lead_into_one_organization_where_one_is_the_rule() {
    let app = TestApp::builder().setting("ROLLCALL_ONE_ORGANIZATION_PER_USER", "true").start().await;
    let founders = app.sign_up_many(AT_ONCE).await;
    let ada = app.sign_up("ada@example.org").await;
    let mut invitations = Vec::new();
    for (n, founder) in founders.iter().enumerate() {
        let id = founder.found(&format!("Organization {n}")).await;
        let input = json!({ "organizationId": id, "invitations": [{ "email": ada.email }] });
        invitations.push(text(&founder.ok("inviteMembers", input, "invitations { id }").await["invitations"][0]["id"]));
        app.forget_mails().await;
    }
    let twins: Vec<Client> = invitations.iter().map(|_| ada.twin()).collect();
    warm(&twins).await;
    let answers = join_all(
        twins.iter().zip(&invitations).map(|(ada, id)| ada.mutate("acceptInvitation", json!({ "id": id }), "")),
    )
    .await;
    let (joined, codes) = outcome("acceptInvitation", &answers);
    assert_eq!(joined, 1, "{codes:?}");
    assert!(codes.iter().all(|code| code == "ONE_ORGANIZATION"), "{codes:?}");
    app.finish().await;
}

// R25, D2: an account is deleted while it accepts invitations, redeems a code, is invited by its username and signs in
// again: whatever came first, nothing is left of it anywhere.
#[tokio::test]
async fn an_account_deleted_while_it_joins_is_nowhere_a_member() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for round in 0..4 {
        let email = format!("person{round}@example.org");
        let person = app.sign_up(&email).await;
        let username = person.username().await;
        let invitation = team.invite(&email, "ADMIN").await;
        let code = team.code("MEMBER").await;
        let other = app.sign_up(&format!("other{round}@example.org")).await;
        let elsewhere = other.found("Elsewhere").await;
        let by_name = json!({ "organizationId": elsewhere, "invitations": [{ "username": username }] });
        app.anonymous().ok("requestSignIn", json!({ "email": email }), "").await;
        let token = app.mail_about(&email, "sign in").await.token();
        let clients: Vec<Client> =
            (0..AT_ONCE).map(|n| if n % 4 == 3 { other.twin() } else { person.twin() }).collect();
        warm(&clients).await;
        let answers = join_all(clients.iter().enumerate().map(async |(n, client)| match n % 4 {
            _ if n == AT_ONCE - 1 => ("signIn", client.mutate("signIn", json!({ "token": token }), "").await),
            0 => ("acceptInvitation", client.mutate("acceptInvitation", json!({ "id": invitation }), "").await),
            1 => ("redeemJoinCode", client.mutate("redeemJoinCode", json!({ "code": code }), "").await),
            2 => ("deleteAccount", client.mutate("deleteAccount", json!({ "confirmEmail": email }), "").await),
            _ => ("inviteMembers", client.mutate("inviteMembers", by_name.clone(), "").await),
        }))
        .await;
        let (deleted, deletions): (Vec<_>, Vec<_>) =
            answers.into_iter().filter(|(name, _)| *name == "deleteAccount").unzip();
        assert_eq!(deleted.len(), AT_ONCE / 4);
        assert_eq!(outcome("deleteAccount", &deletions).0, 1);
        let memberships = format!(
            "SELECT count(*) AS value FROM members WHERE user_id = '{}' AND status = 'active' AND organization_id IN ('{}', '{}')",
            uuid(&person.user_id),
            uuid(&team.id),
            uuid(&elsewhere)
        );
        assert_eq!(app.database.number(&memberships).await, 0);
    }
    // That nobody gets in by it is held at the end of every test.
    app.finish().await;
}

// D2, R40, R46: the ownership passes to an account that is being deleted: it owns it and stays, or is gone and doesn't.
#[tokio::test]
async fn ownership_passing_to_an_account_that_is_deleted_ends_with_a_living_owner() {
    let app = TestApp::start().await;
    for round in 0..6 {
        let founder = app.sign_up(&format!("founder{round}@example.org")).await;
        let team = crate::support::Team { id: founder.found("Acme Genomics").await, owner: founder };
        let heir = app.join(&team, &format!("heir{round}@example.org"), "ADMIN").await;
        let input = team.transfer_to(&heir).await;
        let clients: Vec<Client> = (0..AT_ONCE)
            .map(|n| match n % 3 {
                0 => team.owner.twin(),
                1 => heir.twin(),
                _ => app.staff(),
            })
            .collect();
        warm(&clients).await;
        let set = json!({ "organizationId": team.id, "userId": heir.user_id });
        let delete = json!({ "confirmEmail": heir.email });
        let answers = join_all(clients.iter().enumerate().map(async |(n, client)| match n % 3 {
            0 => ("transferOwnership", client.mutate("transferOwnership", input.clone(), "").await),
            1 => ("deleteAccount", client.mutate("deleteAccount", delete.clone(), "").await),
            _ => ("setOrganizationOwner", client.mutate("setOrganizationOwner", set.clone(), "").await),
        }))
        .await;
        let succeeded = |wanted: &str| {
            let answers: Vec<Answer> =
                answers.iter().filter(|(name, _)| *name == wanted).map(|(_, answer)| answer.clone()).collect();
            outcome(wanted, &answers)
        };
        let (deleted, codes) = succeeded("deleteAccount");
        let expected = if deleted == 1 { "UNAUTHENTICATED" } else { "OWNER_MUST_STAY" };
        assert!(deleted <= 1 && codes.iter().all(|code| code == expected), "{deleted} {codes:?}");
        let owner = format!(
            "SELECT u.id::text AS value FROM members m JOIN users u ON u.id = m.user_id WHERE m.organization_id = '{}' \
             AND m.role = 'owner' AND m.status = 'active' AND u.deleted_at IS NULL",
            uuid(&team.id)
        );
        let expected = if deleted == 1 { &team.owner } else { &heir };
        assert_eq!(app.database.texts(&owner).await, [uuid(&expected.user_id).to_string()]);
    }
    app.finish().await;
}

// D7, R15: people who rename themselves wait for the cascades that concern them, and nobody waits in a circle.
#[tokio::test]
async fn renaming_oneself_during_a_cascade_makes_no_deadlock() {
    let app = TestApp::builder().workers(2).start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    app.give(&team, &ada, "project", 8_000).await;
    app.give(&team, &ada, "volume", 8_000).await;
    let people: Vec<Client> = (0..8).flat_map(|_| [team.owner.twin(), ada.twin()]).collect();
    warm(&people).await;
    let departure = team.remove(&ada).await;
    let rename = async |n: usize, person: &Client| {
        for round in 0..6 {
            let who = if person.user_id == ada.user_id { "ada" } else { "owner" };
            let input = json!({ "name": format!("{who} {n}"), "username": format!("{who}-{}", (n + round) % 4) });
            person.ok("updateProfile", input, "").await;
        }
    };
    join_all(people.iter().enumerate().map(|(n, person)| rename(n, person))).await;
    app.completed(&team, &departure).await;
    assert_eq!(app.owned(&team, &ada).await, 0);
    let deadlocks = "SELECT deadlocks AS value FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(app.database.number(deadlocks).await, 0);
    app.finish().await;
}
