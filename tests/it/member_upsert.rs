//! A platform's members and teams, brought in many at once.

use std::time::Instant;

use futures_util::future::{join, join_all};

use crate::feed::{events_key, read_all};
use crate::platform_key::{key, made};
use crate::statements::statements;
use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::{Client, Team, TestApp, Value, json};
use crate::upsert::outcomes;

const MEMBERS: &str = "results { outcome member { id role status joinedAt joinedVia metadata user { id } \
     permissions { billableActivities sharedApps sharedProjects } teams { nodes { id } } } }";
const TEAMS: &str = "results { outcome team { id name description avatarUrl externalId metadata \
     members { nodes { user { id } member { id } } } } }";

fn members(organization: &str, members: Value) -> Value {
    json!({ "organization": { "id": organization }, "members": members })
}

fn teams(organization: &str, teams: Value) -> Value {
    json!({ "organization": { "id": organization }, "teams": teams })
}

/// Accounts that the platform has brought in: the ids of `p-{from}` and so on, without a person who has signed in.
async fn bring_in(app: &TestApp, from: usize, count: usize) -> Vec<String> {
    let key = key(app, &["USERS_WRITE"]).await;
    let users: Vec<Value> = (from..from + count)
        .map(|n| json!({ "externalId": format!("p-{n}"), "email": format!("p{n}@example.org"), "name": format!("P {n}") }))
        .collect();
    let made = key.ok("upsertUsers", json!({ "users": users }), "results { outcome user { id } }").await;
    made["results"].as_array().unwrap().iter().map(|result| text(&result["user"]["id"])).collect()
}

fn of(payload: &Value, at: usize) -> Value {
    payload["results"][at]["member"].clone()
}

/// The people in a team, in order.
fn people(team: &Value) -> Vec<String> {
    let mut people: Vec<String> = nodes(&team["members"]).iter().map(|person| text(&person["user"]["id"])).collect();
    people.sort();
    people
}

fn sorted(ids: &[&str]) -> Vec<String> {
    let mut ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    ids.sort();
    ids
}

/// The metadata of the events of an organization with an action, oldest first.
async fn told(app: &TestApp, organization: &str, action: &str) -> Vec<Value> {
    let sql = format!(
        "SELECT metadata::text AS value FROM audit_events WHERE organization_id = '{}' AND action = '{action}' ORDER BY sequence",
        uuid(organization)
    );
    app.database.texts(&sql).await.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

// R87, R88: made members by whichever name, with role, permissions, teams and the platform's data, since they joined
// elsewhere; the same call again changes nothing, and no mail is sent.
#[tokio::test]
async fn members_are_brought_in_and_the_same_call_changes_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let lab = team.group("Lab", &[]).await;
    let ada = app.sign_up("ada@example.org").await;
    let ids = bring_in(&app, 0, 3).await;
    let invitation = team.invite("p1@example.org", "ADMIN").await;
    app.until_idle().await;
    let mails = app.smtp.mails().len();
    let key = key(&app, &["READ", "MEMBERS_WRITE"]).await;
    let list = json!([
        { "user": { "externalId": "p-0" }, "role": "ADMIN", "joinedAt": "2019-05-06T07:08:09Z", "metadata": { "desk": 4 },
          "permissions": { "billableActivities": true, "sharedProjects": "VIEW" }, "teams": [lab, lab] },
        { "user": { "email": "P1@example.org" } },
        { "user": { "username": ada.username().await }, "role": "VIEWER" },
        { "user": { "id": ids[2] }, "role": null, "teams": null, "metadata": null, "permissions": null },
    ]);
    let brought = key.ok("upsertMembers", members(&team.id, list.clone()), MEMBERS).await;
    assert_eq!(outcomes(&brought), ["CREATED"; 4]);
    let first = of(&brought, 0);
    assert_eq!(
        (&first["role"], &first["status"], &first["joinedVia"]),
        (&json!("ADMIN"), &json!("ACTIVE"), &json!("PLATFORM"))
    );
    assert!(first["joinedAt"].as_str().unwrap().starts_with("2019-05-06T07:08:09"), "{first}");
    assert_eq!((&first["metadata"], &nodes(&first["teams"])[0]["id"]), (&json!({ "desk": 4 }), &json!(lab)));
    assert_eq!(
        (&first["permissions"]["sharedProjects"], &first["permissions"]["billableActivities"]),
        (&json!("VIEW"), &json!(true))
    );
    let roles: Vec<Value> = (0..4).map(|at| of(&brought, at)["role"].clone()).collect();
    assert_eq!(roles, ["ADMIN", "MEMBER", "VIEWER", "MEMBER"]);
    assert_eq!(of(&brought, 2)["user"]["id"], ada.user_id.as_str());
    assert!(ada.belongs_to(&team.id).await);
    // An invitation to where they belong by now serves no purpose.
    assert_eq!(team.invitation(&invitation).await["status"], "REVOKED");
    assert_eq!(outcomes(&key.ok("upsertMembers", members(&team.id, list.clone()), MEMBERS).await), ["UNCHANGED"; 4]);

    // What is named changes, and the rest stays: also the role, where it is left out.
    let changes = json!([
        { "user": { "externalId": "p-0" }, "metadata": { "desk": 5 }, "permissions": { "sharedProjects": "UPLOAD" } },
        { "user": { "externalId": "p-1" }, "role": "VIEWER", "joinedAt": "2001-01-01T00:00:00Z" },
        { "user": { "id": ada.user_id }, "role": "VIEWER", "teams": [lab] },
        { "user": { "id": ids[2] }, "teams": [] },
    ]);
    let changed = key.ok("upsertMembers", members(&team.id, changes), MEMBERS).await;
    assert_eq!(outcomes(&changed), ["UPDATED", "UPDATED", "UPDATED", "UNCHANGED"]);
    let first = of(&changed, 0);
    assert_eq!((&first["role"], &first["metadata"]), (&json!("ADMIN"), &json!({ "desk": 5 })));
    assert_eq!(
        (&first["permissions"]["sharedProjects"], &first["permissions"]["billableActivities"]),
        (&json!("UPLOAD"), &json!(true))
    );
    assert_eq!(first["joinedAt"], of(&brought, 0)["joinedAt"]);
    assert_eq!(
        (&of(&changed, 1)["role"], &of(&changed, 1)["joinedAt"]),
        (&json!("VIEWER"), &of(&brought, 1)["joinedAt"])
    );
    let cleared = json!([{ "user": { "externalId": "p-0" }, "metadata": null, "teams": null }]);
    let cleared = key.ok("upsertMembers", members(&team.id, cleared), MEMBERS).await;
    assert_eq!(outcomes(&cleared), ["UPDATED"]);
    assert_eq!((&of(&cleared, 0)["metadata"], nodes(&of(&cleared, 0)["teams"]).len()), (&Value::Null, 0));

    // Few events name all; one about a single person names them as its subject too.
    let joined = told(&app, &team.id, "organization.member_joined").await;
    let joined: Vec<Value> = joined.into_iter().filter(|event| event["via"] == "platform").collect();
    assert_eq!(joined.len(), 3);
    let of_role = |role: &str| joined.iter().find(|event| event["role"] == role).unwrap().clone();
    assert_eq!(of_role("member")["userIds"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&of_role("viewer")["userIds"], &of_role("viewer")["subject"]),
        (&json!([ada.user_id]), &json!(ada.user_id))
    );
    let roles = told(&app, &team.id, "organization.member_role_changed").await;
    assert_eq!((roles.len(), &roles[0]["oldRole"], &roles[0]["role"]), (1, &json!("member"), &json!("viewer")));
    assert_eq!(told(&app, &team.id, "organization.member_updated").await.len(), 2);
    app.until_idle().await;
    assert_eq!(app.smtp.mails().len(), mails);
    app.finish().await;
}

// R88: a mail only where it is asked for, one to each who became a member by this.
#[tokio::test]
async fn a_mail_tells_new_members_where_it_is_asked_for() {
    let app = TestApp::start().await;
    let team = app.team().await;
    bring_in(&app, 0, 2).await;
    let key = key(&app, &["MEMBERS_WRITE"]).await;
    let first = json!([{ "user": { "externalId": "p-0" } }]);
    key.ok("upsertMembers", members(&team.id, first), "").await;
    let mut input = members(
        &team.id,
        json!([{ "user": { "externalId": "p-0" } }, { "user": { "externalId": "p-1" }, "role": "VIEWER" }]),
    );
    input["notify"] = json!(true);
    key.ok("upsertMembers", input.clone(), "").await;
    let mail = app.mail_about("p1@example.org", "You are a member of Acme Genomics now").await;
    assert!(mail.text.contains("Viewer") && mail.text.contains("/sign-in"), "{}", mail.text);
    key.ok("upsertMembers", input, "").await;
    app.until_idle().await;
    assert!(app.mails_about("p0@example.org", "").is_empty());
    assert_eq!(app.mails_about("p1@example.org", "").len(), 1);
    app.finish().await;
}

// R4, R64, R85, R88: all or none, with the place in the list; the owner, other tenants' teams, unknown people, seats.
#[tokio::test]
async fn members_that_cannot_be_are_refused_with_their_place_in_the_list() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let other = team.owner.found("Other").await;
    let elsewhere = Team { id: other.clone(), owner: team.owner.clone() }.group("Elsewhere", &[]).await;
    let ids = bring_in(&app, 0, 3).await;
    app.staff().ok("setPlan", json!({ "organizationId": team.id, "plan": "small", "seatLimit": 3 }), "").await;
    let owner = json!({ "id": team.owner.user_id });
    let key = key(&app, &["READ", "MEMBERS_WRITE", "ACT_FOR_USERS"]).await;
    let before = app.database.texts("SELECT to_jsonb(m)::text AS value FROM members m ORDER BY id").await;
    let good = json!({ "user": { "externalId": "p-0" } });
    let with = |change: Value| {
        let mut item = json!({ "user": { "externalId": "p-1" } });
        item.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!([good, item])
    };
    let many: Vec<Value> = (0..501).map(|n| json!({ "user": { "externalId": format!("m-{n}") } })).collect();
    for (list, refusal) in [
        (json!([]), ("BLANK", "input.members")),
        (json!(many), ("TOO_MANY", "input.members")),
        (with(json!({ "user": { "externalId": "nobody" } })), ("NOT_FOUND", "input.members.1.user.externalId")),
        (with(json!({ "user": { "email": "nobody@example.org" } })), ("NOT_FOUND", "input.members.1.user.email")),
        (with(json!({ "user": { "username": "no one" } })), ("NOT_FOUND", "input.members.1.user.username")),
        (with(json!({ "user": { "id": "usr_01h455vb4pex5vsknk084sn02q" } })), ("NOT_FOUND", "input.members.1.user.id")),
        (with(json!({ "user": { "email": "p0@example.org" } })), ("INVALID", "input.members.1.user")),
        (with(json!({ "role": "OWNER" })), ("FORBIDDEN", "input.members.1.role")),
        (with(json!({ "user": owner, "role": "ADMIN" })), ("FORBIDDEN", "input.members.1.role")),
        (
            with(json!({ "user": owner, "permissions": { "sharedApps": false } })),
            ("FORBIDDEN", "input.members.1.permissions"),
        ),
        (with(json!({ "teams": [elsewhere] })), ("NOT_FOUND", "input.members.1.teams.0")),
        (with(json!({ "metadata": [1] })), ("INVALID", "input.members.1.metadata")),
        (with(json!({ "metadata": { "a": "x".repeat(8192) } })), ("TOO_LONG", "input.members.1.metadata")),
        (with(json!({ "joinedAt": "1969-12-31T23:59:59Z" })), ("INVALID", "input.members.1.joinedAt")),
        (with(json!({ "joinedAt": "2999-01-01T00:00:00Z" })), ("INVALID", "input.members.1.joinedAt")),
        (
            json!([good, { "user": { "externalId": "p-1" } }, { "user": { "externalId": "p-2" } }]),
            ("SEAT_LIMIT", "input.members"),
        ),
    ] {
        let refused = key.refused("upsertMembers", members(&team.id, list.clone())).await;
        assert_eq!(refused.is(), refusal, "{list}: {}", refused.message);
    }
    // All that is wrong is named at once.
    let wrong = json!([{ "user": { "externalId": "x" } }, { "user": { "externalId": "p-0" }, "role": "OWNER" }]);
    assert_eq!(key.refusals("upsertMembers", members(&team.id, wrong)).await.len(), 2);
    assert_eq!(app.database.texts("SELECT to_jsonb(m)::text AS value FROM members m ORDER BY id").await, before);

    // The owner may be in the list: what the platform attaches changes, and nothing else.
    let input =
        members(&team.id, json!([{ "user": owner, "role": "OWNER", "metadata": { "desk": 1 } }, { "user": owner }]));
    assert_eq!(key.refused("upsertMembers", input).await.is(), ("INVALID", "input.members.1.user"));
    let input = members(
        &team.id,
        json!([{ "user": owner, "role": "OWNER", "metadata": { "desk": 1 }, "joinedAt": "2000-01-01T00:00:00Z" }]),
    );
    let kept = key.ok("upsertMembers", input, MEMBERS).await;
    assert_eq!(
        (outcomes(&kept), &of(&kept, 0)["role"], &of(&kept, 0)["joinedVia"]),
        (vec!["UPDATED"], &json!("OWNER"), &json!("FOUNDER"))
    );
    let input = members(&team.id, json!([{ "user": owner }]));
    assert_eq!(outcomes(&key.ok("upsertMembers", input, MEMBERS).await), ["UNCHANGED"]);

    // Personal organizations, unknown ones, those that a key isn't limited to, and everybody but keys with the scope.
    let query = "{ viewer { personalOrganization { id } } }";
    let personal = team.owner.query(query, json!({})).await["viewer"]["personalOrganization"]["id"].clone();
    let list = json!([good]);
    let input = members(personal.as_str().unwrap(), list.clone());
    assert_eq!(key.refused("upsertMembers", input).await.is(), ("FORBIDDEN", "input.organization"));
    let input = json!({ "organization": { "slug": "nowhere" }, "members": list });
    assert_eq!(key.refused("upsertMembers", input).await.is(), ("NOT_FOUND", "input.organization"));
    let limited = json!({ "name": "limited", "scopes": ["MEMBERS_WRITE"], "organizationIds": [other] });
    let (limited, _) = made(&app, limited).await;
    let input = members(&team.id, list.clone());
    assert_eq!(limited.refused("upsertMembers", input.clone()).await.is(), ("NOT_FOUND", "input.organization"));
    let blind = crate::platform_key::key(&app, &["READ"]).await;
    let refused = blind.refused("upsertMembers", input.clone()).await;
    assert!(
        refused.is() == ("FORBIDDEN", "input.organization") && refused.message.contains("MEMBERS_WRITE"),
        "{refused:?}"
    );
    for client in [&team.owner, &app.staff(), &key.on_behalf_of(&team.owner.user_id)] {
        assert_eq!(client.refused("upsertMembers", input.clone()).await.is(), ("FORBIDDEN", "input.organization"));
    }
    // Without READ, a key is shown no account, and guesses at accounts are counted.
    let input = members(&other, json!([{ "user": { "id": ids[2] } }]));
    let brought = limited.ok("upsertMembers", input, MEMBERS).await;
    assert_ne!(of(&brought, 0)["user"]["id"], json!(ids[2]));
    let mut is_limited = false;
    for round in 0..2 {
        let guesses: Vec<Value> =
            (0..200).map(|n| json!({ "user": { "email": format!("guess{round}-{n}@example.org") } })).collect();
        let answer = limited.mutate("upsertMembers", members(&other, json!(guesses)), "").await;
        is_limited |= answer.body["errors"][0]["extensions"]["code"] == "RATE_LIMITED";
    }
    assert!(is_limited);
    app.finish().await;
}

// D3, D6: one organization at a time, and suspended accounts, hold as for people.
#[tokio::test]
async fn one_organization_and_suspensions_hold() {
    let app = TestApp::builder().setting("ROLLCALL_ONE_ORGANIZATION_PER_USER", "true").start().await;
    let team = app.team().await;
    let bob = app.sign_up("bob@example.org").await;
    bob.found("Other").await;
    let key = key(&app, &["READ", "MEMBERS_WRITE"]).await;
    let input = members(&team.id, json!([{ "user": { "id": bob.user_id } }]));
    assert_eq!(key.refused("upsertMembers", input).await.is(), ("ONE_ORGANIZATION", "input.members.0.user"));
    // The account was made by this organization's invitation, and is suspended with the deactivation.
    team.invite("grace@example.org", "ADMIN").await;
    let token = app.mail_to("grace@example.org").await.token();
    let accept = json!({ "token": token });
    let accepted = app.anonymous().ok("acceptInvitation", accept, "member { id user { id } }").await;
    team.owner.ok("deactivateMember", json!({ "memberId": accepted["member"]["id"] }), "").await;
    let suspended = "SELECT count(*) AS value FROM users WHERE suspended_at IS NOT NULL";
    assert_eq!(app.database.number(suspended).await, 1);
    let ann = app.sign_up("ann@example.org").await;
    let third = ann.found("Third").await;
    let grace = json!([{ "user": { "id": accepted["member"]["user"]["id"] } }]);
    let refused = key.refused("upsertMembers", members(&third, grace.clone())).await;
    assert_eq!(refused.is(), ("SUSPENDED", "input.members.0.user"));
    // The organization that suspended it takes it back, with the role of a new member.
    let back = key.ok("upsertMembers", members(&team.id, grace), MEMBERS).await;
    assert_eq!((outcomes(&back), &of(&back, 0)["role"]), (vec!["UPDATED"], &json!("MEMBER")));
    assert_eq!(of(&back, 0)["id"], accepted["member"]["id"]);
    assert_eq!(app.database.number(suspended).await, 0);
    let grace = app.sign_up("grace@example.org").await;
    assert!(grace.belongs_to(&team.id).await);
    app.finish().await;
}

// R45, R37: who left, was removed or deactivated is a member again, also while their departure is under way; what it
// moved stays where it is.
#[tokio::test]
async fn former_members_come_back_as_new_ones_do() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let mut gone = Vec::new();
    for name in ["left", "removed", "deactivated"] {
        gone.push(app.join(&team, &format!("{name}@example.org"), "ADMIN").await);
    }
    let memberships = join_all(gone.iter().map(|person| team.member_id(person))).await;
    app.give(&team, &gone[1], "volume", 1_500).await;
    app.until_idle().await;
    app.stop_workers().await;
    gone[0].ok("leaveOrganization", json!({ "organizationId": team.id }), "").await;
    team.owner.ok("removeMember", json!({ "memberId": memberships[1] }), "").await;
    team.owner.ok("deactivateMember", json!({ "memberId": memberships[2] }), "").await;
    let key = key(&app, &["READ", "MEMBERS_WRITE"]).await;
    let list: Vec<Value> = gone.iter().map(|person| json!({ "user": { "id": person.user_id } })).collect();
    let back = key.ok("upsertMembers", members(&team.id, json!(list)), MEMBERS).await;
    assert_eq!(outcomes(&back), ["UPDATED"; 3]);
    for (at, membership) in memberships.iter().enumerate() {
        let member = of(&back, at);
        assert_eq!(
            (&member["id"], &member["status"], &member["role"]),
            (&json!(membership), &json!("ACTIVE"), &json!("MEMBER"))
        );
        assert_eq!(member["joinedVia"], "PLATFORM");
        assert!(gone[at].belongs_to(&team.id).await);
    }
    app.start_worker();
    app.until_idle().await;
    assert_eq!((app.owned(&team, &gone[1]).await, app.owned(&team, &team.owner).await), (0, 1_500));
    app.finish().await;
}

// R42, R56: what a demotion and the loss of a permission end, they end here too.
#[tokio::test]
async fn demotions_have_their_consequences() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let max = app.join(&team, "max@example.org", "MEMBER").await;
    let key = key(&app, &["READ", "MEMBERS_WRITE"]).await;
    let billing = json!([{ "user": { "id": max.user_id }, "permissions": { "billableActivities": true } }]);
    key.ok("upsertMembers", members(&team.id, billing), MEMBERS).await;
    max.ok("setDefaultBillTo", json!({ "organizationId": team.id }), "").await;
    let invite = json!({ "organizationId": team.id, "invitations": [{ "email": "guest@example.org" }] });
    let invited = admin.ok("inviteMembers", invite, "invitations { id }").await;
    let code = admin.ok("createJoinCodes", json!({ "organizationId": team.id }), "codes { code }").await;
    let list = json!([
        { "user": { "id": admin.user_id }, "role": "MEMBER" },
        { "user": { "id": max.user_id }, "permissions": { "billableActivities": false } },
    ]);
    assert_eq!(outcomes(&key.ok("upsertMembers", members(&team.id, list), MEMBERS).await), ["UPDATED"; 2]);
    assert_eq!(team.invitation(invited["invitations"][0]["id"].as_str().unwrap()).await["status"], "REVOKED");
    let eve = app.sign_up("eve@example.org").await;
    let redeem = json!({ "code": code["codes"][0]["code"] });
    assert_eq!(eve.refused("redeemJoinCode", redeem).await.is(), ("NOT_FOUND", "input.code"));
    let bill_to = max.query("{ viewer { defaultBillTo { personal } } }", json!({})).await;
    assert_eq!(bill_to["viewer"]["defaultBillTo"]["personal"], true);
    app.finish().await;
}

// R45, R88: many at once make one membership for each.
#[tokio::test]
async fn members_and_teams_brought_in_many_times_at_once_are_one() {
    let app = TestApp::start().await;
    let team = app.team().await;
    bring_in(&app, 0, 40).await;
    let key = key(&app, &["READ", "MEMBERS_WRITE"]).await;
    let list: Vec<Value> = (0..40).map(|n| json!({ "user": { "externalId": format!("p-{n}") } })).collect();
    let mut turned = list.clone();
    turned.reverse();
    let groups: Vec<Value> =
        (0..20).map(|n| json!({ "externalId": format!("t-{n}"), "name": format!("T {n}") })).collect();
    let both = |client: Client, number: usize| {
        let list = if number.is_multiple_of(2) { list.clone() } else { turned.clone() };
        let (id, groups) = (team.id.clone(), groups.clone());
        async move {
            let brought = client.ok("upsertMembers", members(&id, json!(list)), MEMBERS).await;
            (brought, client.ok("upsertTeams", teams(&id, json!(groups)), TEAMS).await)
        }
    };
    let all = join_all((0..6).map(|number| both(key.twin(), number))).await;
    let created =
        |payloads: Vec<&Value>| payloads.into_iter().flat_map(outcomes).filter(|outcome| *outcome == "CREATED").count();
    assert_eq!(created(all.iter().map(|(members, _)| members).collect()), 40);
    assert_eq!(created(all.iter().map(|(_, teams)| teams).collect()), 20);
    assert_eq!(team.members("ACTIVE").await.len(), 41);
    app.finish().await;
}

// R64, D2: seats are exact between the platform's list, invitations and their acceptance.
#[tokio::test]
async fn seats_are_exact_under_a_race() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let people = app.sign_up_many(8).await;
    bring_in(&app, 0, 8).await;
    app.staff().ok("setPlan", json!({ "organizationId": team.id, "plan": "small", "seatLimit": 9 }), "").await;
    let codes =
        team.owner.ok("createJoinCodes", json!({ "organizationId": team.id, "count": 8 }), "codes { code }").await;
    let codes = codes["codes"].as_array().unwrap();
    let key = key(&app, &["MEMBERS_WRITE"]).await;
    let keys: Vec<Client> = (0..8).map(|_| key.twin()).collect();
    let adding = join_all(keys.iter().enumerate().map(|(n, key)| {
        key.mutate("upsertMembers", members(&team.id, json!([{ "user": { "externalId": format!("p-{n}") } }])), "")
    }));
    let redeeming = join_all(
        people
            .iter()
            .zip(codes)
            .map(|(person, code)| person.mutate("redeemJoinCode", json!({ "code": code["code"] }), "")),
    );
    let (added, redeemed) = join(adding, redeeming).await;
    let refused = |mutation: &str, answers: &[crate::support::Answer]| {
        let errors = answers.iter().flat_map(|answer| answer.user_errors(mutation));
        let codes: Vec<String> = errors.map(|error| error.code.clone()).collect();
        assert!(codes.iter().all(|code| code == "SEAT_LIMIT"), "{codes:?}");
        codes.len()
    };
    let refused = refused("upsertMembers", &added) + refused("redeemJoinCode", &redeemed);
    assert_eq!((refused, team.members("ACTIVE").await.len()), (8, 9));
    app.finish().await;
}

// R31, R45, R48: against removals, and against the end of the organization: afterwards everybody is a member or has
// departed, and in a deleted organization nobody was made one.
#[tokio::test]
async fn races_with_removals_and_the_end_of_the_organization_end_well() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ids = bring_in(&app, 0, 12).await;
    let key = key(&app, &["READ", "MEMBERS_WRITE"]).await;
    let list: Vec<Value> = ids.iter().map(|id| json!({ "user": { "id": id }, "role": "VIEWER" })).collect();
    let list = json!(list);
    let brought = key.ok("upsertMembers", members(&team.id, list.clone()), MEMBERS).await;
    let memberships: Vec<String> = (0..12).map(|at| text(&of(&brought, at)["id"])).collect();
    let owners: Vec<Client> = memberships.iter().map(|_| team.owner.twin()).collect();
    let removing = join_all(
        owners.iter().zip(&memberships).map(|(owner, id)| owner.mutate("removeMember", json!({ "memberId": id }), "")),
    );
    let keys: Vec<Client> = (0..4).map(|_| key.twin()).collect();
    let bringing = join_all(keys.iter().map(|key| key.mutate("upsertMembers", members(&team.id, list.clone()), "")));
    let (removed, brought) = join(removing, bringing).await;
    let succeeded = |mutation: &str, answers: &[crate::support::Answer]| {
        let errors: Vec<_> = answers.iter().flat_map(|answer| answer.user_errors(mutation)).collect();
        // Whoever has waited for too long is told to try again.
        assert!(errors.iter().all(|error| error.code == "CONFLICT"), "{errors:?}");
        i64::try_from(answers.len() - errors.len()).unwrap()
    };
    let removed = succeeded("removeMember", &removed);
    succeeded("upsertMembers", &brought);
    app.until_idle().await;
    // Whoever was removed departed once, and is a member again where the list came later.
    let told = "SELECT count(*) AS value FROM audit_events WHERE action = 'organization.member_removed'";
    assert_eq!(app.database.number(told).await, removed);
    let again = key.ok("upsertMembers", members(&team.id, list.clone()), MEMBERS).await;
    assert_eq!(outcomes(&again).len(), 12);
    assert_eq!(team.members("ACTIVE").await.len(), 13);

    let other = app.sign_up("other@example.org").await;
    let ending = other.found("Ending").await;
    let delete = other.mutate("deleteOrganization", json!({ "id": ending, "confirmOrganizationName": "Ending" }), "");
    let (deleted, brought) = join(delete, key.mutate("upsertMembers", members(&ending, list.clone()), "")).await;
    assert!(deleted.user_errors("deleteOrganization").is_empty());
    let is_in_time = brought.user_errors("upsertMembers").is_empty();
    let number = format!("SELECT count(*) AS value FROM members WHERE organization_id = '{}'", uuid(&ending));
    assert_eq!(app.database.number(&number).await, if is_in_time { 13 } else { 1 });
    let refused = key.refused("upsertMembers", members(&ending, list)).await;
    assert_eq!(refused.is(), ("NOT_FOUND", "input.organization"));
    app.finish().await;
}

// R87, R88, R81: teams by the platform's id, else by name, with whom they hold; the same call again changes nothing.
#[tokio::test]
async fn teams_are_brought_in_and_the_same_call_changes_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let bob = app.sign_up("bob@example.org").await;
    let project = ada.create(&team.id, "PROJECT", "Atlas").await;
    let grant = ada.grant(&project, json!({ "userId": bob.user_id }), "VIEW").await;
    let by_hand = team.group("Wet lab", &[&ada]).await;
    let key = key(&app, &["READ", "MEMBERS_WRITE"]).await;
    let list = json!([
        { "externalId": "t-1", "name": "Imaging", "description": "Microscopes.", "avatarUrl": "https://example.org/i.png",
          "metadata": { "floor": 2 }, "members": [{ "id": ada.user_id }, { "email": "bob@example.org" }, { "email": "ADA@example.org" }] },
        { "externalId": "t-2", "name": "wet LAB" },
        { "externalId": "t-3", "name": "Empty", "members": null },
    ]);
    let brought = key.ok("upsertTeams", teams(&team.id, list.clone()), TEAMS).await;
    assert_eq!(outcomes(&brought), ["CREATED", "UPDATED", "CREATED"]);
    let of = |payload: &Value, at: usize| payload["results"][at]["team"].clone();
    let first = of(&brought, 0);
    assert_eq!(
        (&first["externalId"], &first["description"], &first["metadata"]),
        (&json!("t-1"), &json!("Microscopes."), &json!({ "floor": 2 }))
    );
    assert_eq!(people(&first), sorted(&[&ada.user_id, &bob.user_id]));
    // The team that had the name already is taken over, with whom it holds.
    let second = of(&brought, 1);
    assert_eq!(
        (&second["id"], &second["externalId"], &second["name"]),
        (&json!(by_hand), &json!("t-2"), &json!("wet LAB"))
    );
    assert_eq!(people(&second), std::slice::from_ref(&ada.user_id));
    assert_eq!(outcomes(&key.ok("upsertTeams", teams(&team.id, list), TEAMS).await), ["UNCHANGED"; 3]);

    // Names may be swapped; the people are replaced where they are given; null clears.
    let list = json!([
        { "externalId": "t-1", "name": "Wet lab", "metadata": null, "description": null },
        { "externalId": "t-2", "name": "Imaging", "members": [{ "id": team.owner.user_id }] },
        { "externalId": "t-4", "name": "Fourth" },
    ]);
    let changed = key.ok("upsertTeams", teams(&team.id, list), TEAMS).await;
    assert_eq!(outcomes(&changed), ["UPDATED", "UPDATED", "CREATED"]);
    assert_eq!((&of(&changed, 0)["name"], &of(&changed, 0)["metadata"]), (&json!("Wet lab"), &Value::Null));
    assert_eq!(people(&of(&changed, 0)), sorted(&[&ada.user_id, &bob.user_id]));
    assert_eq!(people(&of(&changed, 1)), std::slice::from_ref(&team.owner.user_id));
    let removed = told(&app, &team.id, "organization.team_member_removed").await;
    assert_eq!((&removed[0]["userIds"], &removed[0]["subject"]), (&json!([ada.user_id]), &json!(ada.user_id)));
    // A name that comes free in the same list is free.
    let list = json!([{ "externalId": "t-4", "name": "Fifth" }, { "externalId": "t-6", "name": "Fourth" }]);
    assert_eq!(outcomes(&key.ok("upsertTeams", teams(&team.id, list), TEAMS).await), ["UPDATED", "CREATED"]);

    // Who is in a team stays, also while nothing may be shared outside; nobody else of that kind gets in.
    let policy = json!({ "organizationId": team.id, "externalSharing": "MEMBERS_ONLY" });
    team.owner.ok("updateOrganizationPolicy", policy, "").await;
    let same = json!([{ "externalId": "t-1", "members": [{ "id": ada.user_id }, { "id": bob.user_id }] }]);
    assert_eq!(outcomes(&key.ok("upsertTeams", teams(&team.id, same), TEAMS).await), ["UNCHANGED"]);
    let refused = key
        .refused("upsertTeams", teams(&team.id, json!([{ "externalId": "t-3", "members": [{ "id": bob.user_id }] }])))
        .await;
    assert_eq!(refused.is(), ("FORBIDDEN", "input.teams.0.members.0.id"));
    ada.ok("revokeAccess", json!({ "grantId": grant }), "").await;
    let left = key.ok("upsertTeams", teams(&team.id, json!([{ "externalId": "t-1" }])), TEAMS).await;
    assert_eq!((outcomes(&left), people(&of(&left, 0))), (vec!["UNCHANGED"], vec![ada.user_id.clone()]));
    app.finish().await;
}

// R66, R85, R88: all or none, with the place in the list; names are as for people.
#[tokio::test]
async fn teams_that_cannot_be_are_refused_with_their_place_in_the_list() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    let key = key(&app, &["READ", "MEMBERS_WRITE"]).await;
    let taken = json!([{ "externalId": "taken", "name": "Taken" }]);
    key.ok("upsertTeams", teams(&team.id, taken), TEAMS).await;
    let good = json!({ "externalId": "good", "name": "Good" });
    let with = |change: Value| {
        let mut item = json!({ "externalId": "bad", "name": "Bad" });
        item.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!([good, item])
    };
    let many: Vec<Value> =
        (0..101).map(|n| json!({ "externalId": format!("m-{n}"), "name": format!("M {n}") })).collect();
    for (list, refusal) in [
        (json!([]), ("BLANK", "input.teams")),
        (json!(many), ("TOO_MANY", "input.teams")),
        (with(json!({ "externalId": "good" })), ("INVALID", "input.teams.1.externalId")),
        (with(json!({ "externalId": "" })), ("BLANK", "input.teams.1.externalId")),
        (with(json!({ "externalId": "x".repeat(256) })), ("TOO_LONG", "input.teams.1.externalId")),
        (with(json!({ "name": "gOOD" })), ("INVALID", "input.teams.1.name")),
        (with(json!({ "name": null })), ("BLANK", "input.teams.1.name")),
        (with(json!({ "name": " " })), ("BLANK", "input.teams.1.name")),
        (with(json!({ "name": "taken" })), ("CONFLICT", "input.teams.1.name")),
        (with(json!({ "avatarUrl": "nowhere" })), ("INVALID", "input.teams.1.avatarUrl")),
        (with(json!({ "metadata": "x" })), ("INVALID", "input.teams.1.metadata")),
        (
            with(json!({ "members": [{ "id": team.owner.user_id }, { "id": eve.user_id }] })),
            ("NOT_FOUND", "input.teams.1.members.1.id"),
        ),
        (with(json!({ "members": [{ "externalId": "nobody" }] })), ("NOT_FOUND", "input.teams.1.members.0.externalId")),
    ] {
        let refused = key.refused("upsertTeams", teams(&team.id, list.clone())).await;
        assert_eq!(refused.is(), refusal, "{list}: {}", refused.message);
    }
    assert_eq!(app.database.number("SELECT count(*) AS value FROM teams").await, 1);
    let input = json!({ "organization": { "externalId": "nowhere" }, "teams": [good] });
    assert_eq!(key.refused("upsertTeams", input).await.is(), ("NOT_FOUND", "input.organization"));
    let input = teams(&team.id, json!([good]));
    for client in [&team.owner, &app.staff(), &crate::platform_key::key(&app, &["READ"]).await] {
        assert_eq!(client.refused("upsertTeams", input.clone()).await.is(), ("FORBIDDEN", "input.organization"));
    }
    app.finish().await;
}

// R88: one statement per kind, and not per item.
#[tokio::test]
async fn many_take_as_many_statements_as_few() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let key = key(&app, &["READ", "MEMBERS_WRITE"]).await;
    bring_in(&app, 0, 500).await;
    bring_in(&app, 500, 500).await;
    let lab = team.group("Lab", &[]).await;
    app.until_idle().await;
    app.log_more("log_statement = 'all'").await;
    let item = |n: usize, role: &str| json!({ "user": { "externalId": format!("p-{n}") }, "role": role, "teams": [lab], "metadata": { "n": role } });
    let list = |from: usize, to: usize, role: &str| json!((from..to).map(|n| item(n, role)).collect::<Vec<_>>());
    let count = async |mutation: &str, input: Value| {
        let before = statements(&app);
        key.ok(mutation, input, "results { outcome }").await;
        statements(&app) - before
    };
    // A connection that is new at that moment takes some more: the least counts.
    let mut taken = [[usize::MAX; 3]; 2];
    for round in 0..4 {
        for (which, from, to) in [(0, round * 5, round * 5 + 5), (1, 100 + round * 200, 300 + round * 200)] {
            for (step, role) in ["ADMIN", "VIEWER", "VIEWER"].into_iter().enumerate() {
                let number = count("upsertMembers", members(&team.id, list(from, to, role))).await;
                taken[which][step] = taken[which][step].min(number);
            }
        }
    }
    assert!(taken[0] == taken[1] && taken[0][0] < 40, "{taken:?}");
    let mut taken = [usize::MAX; 2];
    for round in 0..4 {
        for (which, number) in [(0, 2), (1, 50)] {
            let groups: Vec<Value> = (0..number)
                .map(|n| json!({ "externalId": format!("{which} {round} {n}"), "name": format!("{which} {round} {n}"), "members": [{ "externalId": "p-1" }, { "externalId": "p-2" }] }))
                .collect();
            taken[which] = taken[which].min(count("upsertTeams", teams(&team.id, json!(groups))).await);
        }
    }
    assert!(taken[0] == taken[1] && taken[0] < 30, "{taken:?}");
    app.start_worker();
    app.finish().await;
}

// R88: what a platform with 4,000 people brings in, and how long that takes; the feed names each of them once.
#[tokio::test]
async fn a_platform_moves_in() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let key = key(&app, &["USERS_WRITE", "MEMBERS_WRITE"]).await;
    let people = 4_000;
    let start = Instant::now();
    for from in (0..people).step_by(500) {
        let users: Vec<Value> = (from..from + 500)
            .map(|n| json!({ "externalId": format!("p-{n}"), "email": format!("p{n}@example.org"), "name": format!("Person {n}") }))
            .collect();
        key.ok("upsertUsers", json!({ "users": users }), "results { outcome }").await;
        let list: Vec<Value> =
            (from..from + 500).map(|n| json!({ "user": { "externalId": format!("p-{n}") } })).collect();
        key.ok("upsertMembers", members(&team.id, json!(list)), "results { outcome }").await;
    }
    println!("{people} accounts and memberships: {:.1} s", start.elapsed().as_secs_f64());
    let events = read_all(&app, &events_key(&app).await).await;
    let joined = events.iter().filter(|event| event["action"] == "organization.member_joined");
    let joined: Vec<&Value> = joined.flat_map(|event| event["metadata"]["userIds"].as_array().unwrap()).collect();
    assert_eq!(joined.len(), people);
    assert_eq!(app.database.number("SELECT count(*) AS value FROM members WHERE joined_via = 'platform'").await, 4_000);
    app.finish().await;
}
