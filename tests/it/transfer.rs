//! Project transfers: a project, its ownership and its bills pass to another organization.

use futures_util::future::join_all;

use crate::support::client::{nodes, text};
use crate::support::{Client, Team, TestApp, Value, json};

const SEEN: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Resource { id viewerAccess organization { id } owner { id } createdBy { id } container { id } } } }";

/// Two organizations with a member each.
struct Two {
    here: Team,
    there: Team,
    ada: Client,
    bob: Client,
}

impl Two {
    async fn new(app: &TestApp) -> Self {
        let here = app.team().await;
        let ada = app.join(&here, "ada@example.org", "MEMBER").await;
        let chief = app.sign_up("chief@example.org").await;
        let there = Team { id: chief.found("Elsewhere").await, owner: chief };
        let bob = app.join(&there, "bob@example.org", "MEMBER").await;
        Self { here, there, ada, bob }
    }

    /// An offer of Ada's project to Bob.
    async fn offer(&self, project: &str) -> String {
        let input = json!({ "resourceId": project, "recipientId": self.bob.user_id });
        text(&self.ada.ok("offerProjectTransfer", input, "transfer { id }").await["transfer"]["id"])
    }
}

async fn seen(client: &Client, ids: &[&String]) -> Vec<Value> {
    client.query(SEEN, json!({ "ids": ids })).await["nodes"].as_array().unwrap().clone()
}

// R55, R61: offered to somebody by mail, accepted for an organization that they may bill; it leaves its workspace and
// takes along what lies in it, which is read-only until the worker has moved it.
#[tokio::test]
async fn a_project_passes_to_another_organization_with_what_lies_in_it() {
    let mut app = TestApp::start().await;
    let two = Two::new(&app).await;
    let Two { here, there, ada, bob } = &two;
    let grace = app.join(here, "grace@example.org", "MEMBER").await;
    let both = app.join(there, "ada@example.org", "MEMBER").await;
    assert_eq!(both.user_id, ada.user_id);
    let workspace = ada.create(&here.id, "WORKSPACE", "Lab").await;
    let project = ada.create_in(&workspace, "PROJECT", "Liver atlas").await;
    let lab = here.group("Lab", &[&grace]).await;
    ada.grant(&project, json!({ "teamId": lab }), "CONTRIBUTE").await;
    ada.grant(&project, json!({ "userId": grace.user_id }), "UPLOAD").await;
    let input = json!({ "containerId": project, "kind": "SAMPLE", "name": "L-1", "sizeBytes": "700" });
    let sample = text(&grace.ok("createResource", input, "resource { id }").await["resource"]["id"]);
    let document = grace.create_in(&project, "DOCUMENT", "Notes").await;
    let own = ada.create_in(&project, "VOLUME", "Reads").await;
    // Who may not bill there can't take it there.
    app.until_idle().await;
    let to = json!({ "resourceId": project, "toOrganizationId": there.id });
    let permissions = json!({ "memberId": there.member_id(ada).await, "permissions": { "billableActivities": false } });
    there.owner.ok("updateMemberPermissions", permissions, "").await;
    let error = ada.refused("offerProjectTransfer", to.clone()).await;
    assert_eq!(error.is(), ("BILLING_ACCESS_REQUIRED", "input.toOrganizationId"));
    assert_eq!(grace.refused("offerProjectTransfer", to).await.is(), ("FORBIDDEN", "input.resourceId"));
    // Whether an id is anybody's is told to nobody who can't offer it to them.
    for id in [bob.user_id.clone(), "usr_01h455vb4pex5vsknk084sn02q".to_owned()] {
        let here = json!({ "resourceId": project, "toOrganizationId": here.id, "recipientId": id });
        assert_eq!(ada.refused("offerProjectTransfer", here).await.is(), ("INVALID", "input.toOrganizationId"));
    }
    let offer = two.offer(&project).await;
    let mail = app.mail_about("bob@example.org", "offers you the project").await;
    assert!(mail.text.contains("Liver atlas") && mail.text.contains(&offer), "{}", mail.text);
    let again = json!({ "resourceId": project, "recipientUsername": grace.username().await });
    let error = ada.refused("offerProjectTransfer", again).await;
    assert_eq!(error.is(), ("CONFLICT", "input.resourceId"));
    assert!(error.message.contains(&offer), "{}", error.message);
    let query = "{ viewer { incomingTransfers { totalCount nodes { id status resource { name viewerAccess } from { name slug } to { id } offeredBy { id } recipient { id } } } } }";
    let incoming = bob.query(query, json!({})).await["viewer"]["incomingTransfers"].clone();
    let one = &nodes(&incoming)[0];
    assert_eq!((&incoming["totalCount"], &one["id"], &one["status"]), (&json!(1), &json!(offer), &json!("OFFERED")));
    assert_eq!(one["resource"], json!({ "name": "Liver atlas", "viewerAccess": "NONE" }));
    assert!(one["to"].is_null());
    assert_eq!(one["from"], json!({ "name": "Acme Genomics", "slug": null }));
    // Only the recipient answers, and chooses.
    let accept = json!({ "id": offer, "organizationId": there.id });
    assert_eq!(ada.refused("acceptProjectTransfer", accept.clone()).await.is(), ("FORBIDDEN", "input.id"));
    assert_eq!(grace.refused("acceptProjectTransfer", accept.clone()).await.is(), ("NOT_FOUND", "input.id"));
    assert_eq!(
        bob.refused("acceptProjectTransfer", json!({ "id": offer })).await.is(),
        ("BLANK", "input.organizationId")
    );
    let foreign = json!({ "id": offer, "organizationId": here.id });
    assert_eq!(bob.refused("acceptProjectTransfer", foreign).await.code, "INVALID");
    app.stop_workers().await;
    let accepted = bob.ok("acceptProjectTransfer", accept.clone(), "transfer { status to { id } movedAt }").await;
    assert_eq!(accepted["transfer"], json!({ "status": "ACCEPTED", "to": { "id": there.id }, "movedAt": null }));
    assert_eq!(bob.refused("acceptProjectTransfer", accept).await.is(), ("ALREADY_USED", "input.id"));
    // Nothing is out of order while it waits to be moved.
    let verified = app.admin(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    // Read-only for all, its old organization's owner too.
    let error = here.owner.refused("updateResource", json!({ "id": project, "name": "Mine" })).await;
    assert_eq!(error.is(), ("CONFLICT", "input.id"));
    let input = json!({ "containerId": project, "kind": "SAMPLE", "name": "late" });
    assert_eq!(here.owner.refused("createResource", input.clone()).await.is(), ("CONFLICT", "input.containerId"));
    // It isn't Ada's any more.
    assert_eq!(ada.refused("createResource", input).await.is(), ("NOT_FOUND", "input.containerId"));
    assert_eq!(grace.refused("deleteResource", json!({ "id": sample })).await.is(), ("CONFLICT", "input.id"));
    app.start_worker();
    app.until_idle().await;
    let moved = seen(bob, &[&project, &sample, &document, &own]).await;
    for resource in &moved {
        assert_eq!(resource["organization"]["id"], there.id.as_str(), "{resource}");
        assert_eq!(resource["viewerAccess"], "ADMINISTER", "{resource}");
    }
    assert!(moved[0]["container"].is_null());
    let owners: Vec<String> = moved.iter().map(|resource| text(&resource["owner"]["id"])).collect();
    // Samples stay their owners', and what members of the other organization own stays theirs.
    assert_eq!(owners, [&bob.user_id, &grace.user_id, &bob.user_id, &ada.user_id].map(String::clone));
    // Whom it was shared with keeps it; teams stay behind.
    assert_eq!(seen(&grace, &[&project]).await[0]["viewerAccess"], "UPLOAD");
    grace.refused("updateResource", json!({ "id": project, "name": "Mine" })).await;
    assert!(seen(&here.owner, &[&project]).await[0].is_null());
    // Whoever offered it hears of it, and sees of the project what they offered, whatever becomes of it there.
    let mail = app.mail_about("ada@example.org", "accepted the project").await;
    assert!(mail.text.contains("Liver atlas") && mail.text.contains("Elsewhere"), "{}", mail.text);
    bob.ok("updateResource", json!({ "id": project, "name": "Secret atlas" }), "").await;
    let query = "query($id: ID!) { node(id: $id) { ... on ProjectTransfer { status resource { name owner { id } \
         organization { id } contents { nodes { id } } } } } }";
    let seen_by = async |person: &Client| person.query(query, json!({ "id": offer })).await["node"].clone();
    let as_offered = json!({ "status": "ACCEPTED", "resource": { "name": "Liver atlas", "owner": { "id": ada.user_id },
        "organization": { "id": here.id }, "contents": { "nodes": [] } } });
    assert_eq!(seen_by(&here.owner).await, as_offered);
    let found = seen_by(bob).await;
    assert_eq!((&found["resource"]["name"], nodes(&found["resource"]["contents"]).len()), (&json!("Secret atlas"), 3));
    for team in [here, there] {
        let log = team.audit().await;
        assert!(
            log.contains(&"transfer.accepted".to_owned()) && log.contains(&"transfer.completed".to_owned()),
            "{log:?}"
        );
    }
    app.finish().await;
}

// R60, R61: at once where one may bill, but not what holds a published app, what isn't a project, or from outside.
#[tokio::test]
async fn what_one_may_bill_moves_at_once() {
    let app = TestApp::start().await;
    let two = Two::new(&app).await;
    let Two { here, there, ada, bob } = &two;
    app.join(there, "ada@example.org", "MEMBER").await;
    let project = ada.create(&here.id, "PROJECT", "Liver atlas").await;
    let aligner = ada.create_in(&project, "APP", "Aligner").await;
    let to = |id: &String| json!({ "resourceId": id, "toOrganizationId": there.id });
    assert_eq!(ada.refused("publishApp", json!({ "id": project })).await.is(), ("INVALID", "input.id"));
    let published = ada.ok("publishApp", json!({ "id": aligner }), "resource { publishedAt }").await;
    assert!(published["resource"]["publishedAt"].is_string());
    assert_eq!(ada.refused("publishApp", json!({ "id": aligner })).await.is(), ("PUBLISHED", "input.id"));
    assert_eq!(ada.refused("offerProjectTransfer", to(&project)).await.is(), ("PUBLISHED", "input.resourceId"));
    let elsewhere = ada.create(&there.id, "WORKSPACE", "Lab").await;
    let error = ada.refused("updateResource", json!({ "id": aligner, "containerId": elsewhere })).await;
    assert_eq!(error.is(), ("PUBLISHED", "input.containerId"));
    ada.ok("updateResource", json!({ "id": aligner, "containerId": null }), "").await;
    // Someone from outside administers, and may not bill where it is.
    ada.grant(&project, json!({ "userId": bob.user_id }), "ADMINISTER").await;
    let error = bob.refused("offerProjectTransfer", to(&project)).await;
    assert_eq!(error.is(), ("BILLING_ACCESS_REQUIRED", "input.resourceId"));
    let volume = ada.create(&here.id, "VOLUME", "Reads").await;
    assert_eq!(ada.refused("offerProjectTransfer", to(&volume)).await.is(), ("INVALID", "input.resourceId"));
    for (input, is) in [
        (json!({ "resourceId": project }), ("INVALID", "input.toOrganizationId")),
        (json!({ "resourceId": project, "toOrganizationId": here.id }), ("INVALID", "input.toOrganizationId")),
        (
            json!({ "resourceId": project, "recipientUsername": "nobody-here" }),
            ("NOT_FOUND", "input.recipientUsername"),
        ),
        (json!({ "resourceId": project, "recipientId": ada.user_id }), ("INVALID", "input.recipientId")),
        (
            json!({ "resourceId": project, "recipientId": bob.user_id, "recipientUsername": "bob" }),
            ("INVALID", "input.recipientUsername"),
        ),
    ] {
        assert_eq!(ada.refused("offerProjectTransfer", input.clone()).await.is(), is, "{input}");
    }
    let made = ada.ok("offerProjectTransfer", to(&project), "transfer { status recipient { id } }").await;
    assert_eq!(made["transfer"], json!({ "status": "ACCEPTED", "recipient": { "id": ada.user_id } }));
    app.until_idle().await;
    assert_eq!(seen(ada, &[&project]).await[0]["organization"]["id"], there.id.as_str());
    app.finish().await;
}

// R42, R48, R61: an offer ends when it is declined, taken back, in time, with the departure of who made it, and with
// the organization.
#[tokio::test]
async fn an_offer_ends_in_many_ways() {
    let mut app = TestApp::start().await;
    let two = Two::new(&app).await;
    let Two { here, there, ada, bob } = &two;
    let project = ada.create(&here.id, "PROJECT", "Liver atlas").await;
    let accept = |id: &String| json!({ "id": id, "organizationId": there.id });
    let declined = two.offer(&project).await;
    assert_eq!(ada.refused("declineProjectTransfer", json!({ "id": declined })).await.is(), ("FORBIDDEN", "input.id"));
    bob.ok("declineProjectTransfer", json!({ "id": declined }), "transfer { status }").await;
    let mail = app.mail_about("ada@example.org", "declined the project").await;
    assert!(mail.text.contains("It stays where it is"), "{}", mail.text);
    // Who has declined it sees no more of it than was offered.
    ada.ok("updateResource", json!({ "id": project, "name": "Kidney atlas" }), "").await;
    let query = "query($id: ID!) { node(id: $id) { ... on ProjectTransfer { status resource { name } } } }";
    let found = bob.query(query, json!({ "id": declined })).await["node"].clone();
    assert_eq!(found, json!({ "status": "DECLINED", "resource": { "name": "Liver atlas" } }));
    let cancelled = two.offer(&project).await;
    assert_eq!(bob.refused("cancelProjectTransfer", json!({ "id": cancelled })).await.is(), ("FORBIDDEN", "input.id"));
    here.owner.ok("cancelProjectTransfer", json!({ "id": cancelled }), "transfer { status }").await;
    for id in [&declined, &cancelled] {
        assert_eq!(bob.refused("acceptProjectTransfer", accept(id)).await.is(), ("REVOKED", "input.id"));
    }
    // Whoever offered it may not give it away any more.
    let vain = two.offer(&project).await;
    let member = here.member_id(ada).await;
    let permissions = json!({ "memberId": member, "permissions": { "billableActivities": false } });
    here.owner.ok("updateMemberPermissions", permissions, "").await;
    assert_eq!(bob.refused("acceptProjectTransfer", accept(&vain)).await.is(), ("REVOKED", "input.id"));
    // To the moment, without the worker.
    app.stop_workers().await;
    app.shift_clock("14 days").await;
    assert_eq!(bob.refused("acceptProjectTransfer", accept(&vain)).await.is(), ("EXPIRED", "input.id"));
    app.start_worker();
    app.until_idle().await;
    assert!(here.audit().await.contains(&"transfer.expired".to_owned()));
    let mail = app.mail_about("ada@example.org", "has expired").await;
    assert!(mail.text.contains("did not answer"), "{}", mail.text);
    let permissions = json!({ "memberId": member, "permissions": { "billableActivities": true } });
    here.owner.ok("updateMemberPermissions", permissions, "").await;
    let left = two.offer(&project).await;
    let departure = here.remove(ada).await;
    assert_eq!(bob.refused("acceptProjectTransfer", accept(&left)).await.is(), ("REVOKED", "input.id"));
    app.completed(here, &departure).await;
    let owners = here.owner.create(&here.id, "PROJECT", "Heart atlas").await;
    let input = json!({ "resourceId": owners, "recipientId": bob.user_id });
    let gone = text(&here.owner.ok("offerProjectTransfer", input, "transfer { id }").await["transfer"]["id"]);
    here.owner.ok("deleteOrganization", json!({ "id": here.id, "confirmOrganizationName": "Acme Genomics" }), "").await;
    assert_eq!(bob.refused("acceptProjectTransfer", accept(&gone)).await.is(), ("REVOKED", "input.id"));
    app.finish().await;
}

// R64: the organization that receives it has room for all of it, or nothing moves; what has moved counts there and not
// here.
#[tokio::test]
async fn what_is_received_counts_for_the_quota() {
    let app = TestApp::start().await;
    let two = Two::new(&app).await;
    let Two { here, there, ada, bob } = &two;
    let project = ada.create(&here.id, "PROJECT", "Liver atlas").await;
    let input = json!({ "containerId": project, "kind": "VOLUME", "name": "Reads", "sizeBytes": "700" });
    ada.ok("createResource", input, "").await;
    let plan =
        |team: &Team, bytes: &str| json!({ "organizationId": team.id, "plan": "small", "storageLimitBytes": bytes });
    app.staff().ok("setPlan", plan(there, "699"), "").await;
    let offer = two.offer(&project).await;
    let accept = json!({ "id": offer, "organizationId": there.id });
    let error = bob.refused("acceptProjectTransfer", accept.clone()).await;
    assert_eq!(error.is(), ("QUOTA_EXCEEDED", "input.organizationId"));
    app.staff().ok("setPlan", plan(there, "700"), "").await;
    app.staff().ok("setPlan", plan(here, "700"), "").await;
    bob.ok("acceptProjectTransfer", accept, "").await;
    app.until_idle().await;
    let more = |team: &Team| json!({ "organizationId": team.id, "kind": "VOLUME", "name": "Reads", "sizeBytes": 1 });
    assert_eq!(bob.refused("createResource", more(there)).await.is(), ("QUOTA_EXCEEDED", "input.sizeBytes"));
    ada.ok(
        "createResource",
        json!({ "organizationId": here.id, "kind": "VOLUME", "name": "Reads", "sizeBytes": 700 }),
        "",
    )
    .await;
    assert_eq!(ada.refused("createResource", more(here)).await.is(), ("QUOTA_EXCEEDED", "input.sizeBytes"));
    app.finish().await;
}

// R42, R61, D7: accepted many times, cancelled, deleted and departed from at the same instant: one of them happens, and
// everything has an owner in the end.
#[tokio::test]
async fn whatever_happens_at_the_instant_of_an_acceptance_there_is_one_outcome() {
    let app = TestApp::start().await;
    let two = Two::new(&app).await;
    let Two { here, there, ada, bob } = &two;
    for against in ["acceptProjectTransfer", "cancelProjectTransfer", "deleteResource", "leave there", "leave here"] {
        app.forget_mails().await;
        let project = ada.create(&here.id, "PROJECT", "Liver atlas").await;
        let document =
            if against == "deleteResource" { None } else { Some(ada.create_in(&project, "DOCUMENT", "Notes").await) };
        let offer = two.offer(&project).await;
        let accept = json!({ "id": offer, "organizationId": there.id });
        let accepts = (0..16).map(|_| {
            let (bob, accept) = (bob.twin(), accept.clone());
            async move {
                bob.mutate("acceptProjectTransfer", accept, "").await.user_errors("acceptProjectTransfer").is_empty()
            }
        });
        let others = (0..16).map(|_| {
            let (ada, bob) = (ada.twin(), bob.twin());
            let (offer, project, accept) = (json!({ "id": offer }), json!({ "id": project }), accept.clone());
            let (here, there) = (json!({ "organizationId": here.id }), json!({ "organizationId": there.id }));
            async move {
                match against {
                    "cancelProjectTransfer" => ada.mutate(against, offer, "").await.user_errors(against).is_empty(),
                    "deleteResource" => ada.mutate(against, project, "").await.user_errors(against).is_empty(),
                    "leave there" => {
                        bob.mutate("leaveOrganization", there, "").await.user_errors("leaveOrganization").is_empty()
                    }
                    "leave here" => {
                        ada.mutate("leaveOrganization", here, "").await.user_errors("leaveOrganization").is_empty()
                    }
                    _ => bob.mutate(against, accept, "").await.user_errors(against).is_empty(),
                }
            }
        });
        let (accepted, other) = futures_util::join!(join_all(accepts), join_all(others));
        let (accepted, other) = [accepted, other].map(|all| all.into_iter().filter(|done| *done).count()).into();
        match against {
            "leave there" | "leave here" => assert!(accepted <= 1 && other == 1, "{against}: {accepted}, {other}"),
            _ => assert_eq!(accepted + other, 1, "{against}: {accepted}, {other}"),
        }
        app.until_idle().await;
        if let Some(document) = document {
            let home = if accepted == 1 || against == "acceptProjectTransfer" { there } else { here };
            let found = seen(&home.owner, &[&project, &document]).await;
            for resource in found {
                assert_eq!(resource["organization"]["id"], home.id.as_str(), "{against}: {resource}");
            }
        }
        for (team, person) in [(there, bob), (here, ada)] {
            if !person.belongs_to(&team.id).await {
                person.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "").await;
            }
        }
    }
    app.finish().await;
}

// R61: an offer is accepted once, and whoever comes second is told so.
#[tokio::test]
async fn who_accepts_twice_is_told_so() {
    let app = TestApp::start().await;
    let two = Two::new(&app).await;
    let Two { here, there, ada, bob } = &two;
    for _ in 0..4 {
        let project = ada.create(&here.id, "PROJECT", "Liver atlas").await;
        let accept = json!({ "id": two.offer(&project).await, "organizationId": there.id });
        let answers = join_all((0..8).map(|_| {
            let (bob, accept) = (bob.twin(), accept.clone());
            async move { bob.mutate("acceptProjectTransfer", accept, "").await.user_errors("acceptProjectTransfer") }
        }))
        .await;
        let codes: Vec<String> = answers.into_iter().flatten().map(|error| error.code).collect();
        assert_eq!(codes, ["ALREADY_USED"; 7]);
    }
    app.finish().await;
}

// R42, R61: who leaves the organization that a project is offered from takes nothing along, whichever organization they
// would choose.
#[tokio::test]
async fn what_is_offered_to_a_leaver_stays() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let input = json!({ "resourceId": project, "recipientId": grace.user_id });
    let offer = ada.ok("offerProjectTransfer", input, "transfer { id }").await;
    let offer = text(&offer["transfer"]["id"]);
    let member = team.member_id(&grace).await;
    let query = "query($id: ID!, $member: ID!) { organization(by: { id: $id }) { departurePlan(memberId: $member, kind: REMOVE) { steps { step affects } } } }";
    let plan = team.owner.query(query, json!({ "id": team.id, "member": member })).await;
    let steps = plan["organization"]["departurePlan"]["steps"].as_array().unwrap().clone();
    let revoked = steps.iter().find(|step| step["step"] == "REVOKE_ISSUED").unwrap();
    assert_eq!(revoked["affects"], 1);
    let departure = team.remove(&grace).await;
    let personal = grace.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let accept = json!({ "id": offer, "organizationId": personal["viewer"]["personalOrganization"]["id"] });
    assert_eq!(grace.refused("acceptProjectTransfer", accept).await.is(), ("REVOKED", "input.id"));
    app.completed(&team, &departure).await;
    assert_eq!(seen(&ada, &[&project]).await[0]["organization"]["id"], team.id.as_str());
    app.finish().await;
}

// R61: taken elsewhere at once, a project leaves no offer behind that would be in the way there.
#[tokio::test]
async fn what_is_taken_at_once_is_offered_to_nobody() {
    let app = TestApp::start().await;
    let two = Two::new(&app).await;
    let Two { here, there, ada, bob } = &two;
    app.join(there, "ada@example.org", "MEMBER").await;
    let project = ada.create(&here.id, "PROJECT", "Liver atlas").await;
    let offer = two.offer(&project).await;
    ada.ok("offerProjectTransfer", json!({ "resourceId": project, "toOrganizationId": there.id }), "").await;
    app.until_idle().await;
    let accept = json!({ "id": offer, "organizationId": there.id });
    assert_eq!(bob.refused("acceptProjectTransfer", accept).await.is(), ("REVOKED", "input.id"));
    assert!(here.audit().await.contains(&"transfer.cancelled".to_owned()));
    let again = two.offer(&project).await;
    bob.ok("declineProjectTransfer", json!({ "id": again }), "").await;
    app.finish().await;
}

// R57, R61: where an organization keeps what it holds inside, its owner and admins alone give projects away, and offers
// of others end.
#[tokio::test]
async fn what_is_kept_inside_is_given_away_by_leaders_alone() {
    let app = TestApp::start().await;
    let two = Two::new(&app).await;
    let Two { here, there, ada, bob } = &two;
    let project = ada.create(&here.id, "PROJECT", "Liver atlas").await;
    let offer = two.offer(&project).await;
    let inside = json!({ "organizationId": here.id, "externalSharing": "MEMBERS_ONLY" });
    here.owner.ok("updateOrganizationPolicy", inside, "").await;
    let accept = |id: &str| json!({ "id": id, "organizationId": there.id });
    assert_eq!(bob.refused("acceptProjectTransfer", accept(&offer)).await.is(), ("REVOKED", "input.id"));
    ada.ok("cancelProjectTransfer", json!({ "id": offer }), "").await;
    let input = json!({ "resourceId": project, "recipientId": bob.user_id });
    let personal = ada.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let home = json!({ "resourceId": project, "toOrganizationId": personal["viewer"]["personalOrganization"]["id"] });
    for input in [&input, &home] {
        let refusal = ada.refused("offerProjectTransfer", input.clone()).await;
        assert_eq!(refusal.is(), ("FORBIDDEN", "input.resourceId"));
    }
    let offer = here.owner.ok("offerProjectTransfer", input, "transfer { id }").await;
    bob.ok("acceptProjectTransfer", accept(&text(&offer["transfer"]["id"])), "").await;
    app.finish().await;
}

// R61: whoever owns a project sees the offer that a co-administrator makes of it, finds it on the project, and takes it
// back.
#[tokio::test]
async fn an_owner_takes_a_co_administrators_offer_back() {
    let app = TestApp::start().await;
    let two = Two::new(&app).await;
    let Two { here, ada, bob, .. } = &two;
    let grace = app.join(here, "grace@example.org", "MEMBER").await;
    let project = ada.create(&here.id, "PROJECT", "Liver atlas").await;
    ada.grant(&project, json!({ "userId": grace.user_id }), "ADMINISTER").await;
    let input = json!({ "resourceId": project, "recipientId": bob.user_id });
    let offer = grace.ok("offerProjectTransfer", input, "transfer { id }").await;
    let offer = json!({ "id": offer["transfer"]["id"] });
    let query = "query($id: ID!) { node(id: $id) { ... on ProjectTransfer { status } } }";
    assert_eq!(ada.query(query, offer.clone()).await["node"]["status"], "OFFERED");
    let linus = app.join(here, "linus@example.org", "MEMBER").await;
    ada.grant(&project, json!({ "userId": linus.user_id }), "VIEW").await;
    let open = "query($id: ID!) { node(id: $id) { ... on Resource { openTransfer { id status } } } }";
    let on_project = json!({ "id": project });
    let found = ada.query(open, on_project.clone()).await["node"]["openTransfer"].clone();
    assert_eq!(found, json!({ "id": offer["id"], "status": "OFFERED" }));
    assert_eq!(linus.query(open, on_project.clone()).await["node"], json!({ "openTransfer": null }));
    ada.ok("cancelProjectTransfer", offer.clone(), "").await;
    assert_eq!(ada.query(open, on_project).await["node"], json!({ "openTransfer": null }));
    assert_eq!(grace.query(query, offer).await["node"]["status"], "CANCELLED");
    app.finish().await;
}

// R37, R61: whom something was shared with keeps it where a project has moved to, though they have left that
// organization before.
#[tokio::test]
async fn what_was_shared_before_a_move_counts_after_it() {
    let app = TestApp::start().await;
    let two = Two::new(&app).await;
    let Two { here, there, ada, bob } = &two;
    let grace = app.join(there, "grace@example.org", "MEMBER").await;
    let project = ada.create(&here.id, "PROJECT", "Liver atlas").await;
    ada.grant(&project, json!({ "userId": grace.user_id }), "UPLOAD").await;
    let departure = there.remove(&grace).await;
    app.completed(there, &departure).await;
    let offer = two.offer(&project).await;
    bob.ok("acceptProjectTransfer", json!({ "id": offer, "organizationId": there.id }), "").await;
    app.until_idle().await;
    assert_eq!(seen(&grace, &[&project]).await[0]["viewerAccess"], "UPLOAD");
    app.finish().await;
}
