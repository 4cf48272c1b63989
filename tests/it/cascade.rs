//! What becomes of a leaver's work, kind by kind, and of what was shared with them.

use tokio::sync::Notify;

use crate::departure::step;
use crate::support::client::{nodes, text};
use crate::support::{Client, Team, TestApp, Value, json, until};

const SEEN: &str = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Resource { id name kind viewerAccess visibility \
     owner { id } createdBy { id } container { id name owner { id } } } } }";

/// A leaver's work, what others have shared with them, and what they have shared with others.
struct Work {
    workspace: String,
    project: String,
    volume: String,
    /// In their project, in somebody else's, and in none.
    samples: [String; 3],
    /// In their project, and in none.
    documents: [String; 2],
    others: Vec<String>,
    /// Somebody else's: with a sample of theirs, and without.
    projects_of_others: [String; 2],
    document_of_another: String,
    /// What is shared with them of the project that a sample of theirs lies in.
    kept_grant: String,
}

impl Work {
    async fn new(team: &Team, leaver: &Client, other: &Client) -> Self {
        let workspace = leaver.create(&team.id, "WORKSPACE", "Liver").await;
        let project = leaver.create_in(&workspace, "PROJECT", "Liver atlas").await;
        let joint = other.create(&team.id, "PROJECT", "Heart atlas").await;
        let watched = other.create(&team.id, "PROJECT", "Lung atlas").await;
        let document_of_another = other.create(&team.id, "DOCUMENT", "Protocol").await;
        let kept_grant = other.grant(&joint, json!({ "userId": leaver.user_id }), "UPLOAD").await;
        other.grant(&watched, json!({ "userId": leaver.user_id }), "CONTRIBUTE").await;
        other.grant(&document_of_another, json!({ "userId": leaver.user_id }), "VIEW").await;
        let group = leaver.create_in(&workspace, "SOURCE_GROUP", "Archives").await;
        let collection = leaver.create(&team.id, "COLLECTION", "Best of").await;
        let samples = [
            leaver.create_in(&project, "SAMPLE", "L-1").await,
            leaver.create_in(&joint, "SAMPLE", "H-1").await,
            leaver.create(&team.id, "SAMPLE", "X-1").await,
        ];
        let documents =
            [leaver.create_in(&project, "DOCUMENT", "Notes").await, leaver.create(&team.id, "DOCUMENT", "Diary").await];
        leaver.grant(&documents[1], json!({ "userId": other.user_id }), "CONTRIBUTE").await;
        let input = json!({ "collectionId": collection, "resourceIds": [samples[2], documents[0]] });
        leaver.ok("addToCollection", input, "").await;
        let others = vec![
            leaver.create(&team.id, "MACHINE", "Workstation").await,
            leaver.create(&team.id, "APP", "Aligner").await,
            leaver.create_in(&group, "SOURCE", "Archive 1").await,
            leaver.create(&team.id, "SOURCE", "Archive 2").await,
            group,
            collection,
            workspace.clone(),
        ];
        Self {
            volume: leaver.create_in(&workspace, "VOLUME", "Reads").await,
            workspace,
            project,
            samples,
            documents,
            others,
            projects_of_others: [joint, watched],
            document_of_another,
            kept_grant,
        }
    }

    /// Everything that the leaver owned.
    fn owned(&self) -> Vec<&String> {
        let all = [&self.project, &self.volume].into_iter().chain(&self.samples).chain(&self.documents);
        all.chain(&self.others).collect()
    }

    /// What isn't a sample, and so passes on.
    fn passed_on(&self) -> Vec<&String> {
        self.owned().into_iter().filter(|id| !self.samples.contains(id)).collect()
    }
}

async fn seen(client: &Client, ids: &[&String]) -> Vec<Value> {
    client.query(SEEN, json!({ "ids": ids })).await["nodes"].as_array().unwrap().clone()
}

async fn access(client: &Client, id: &String) -> String {
    let seen = &seen(client, &[id]).await[0];
    seen["viewerAccess"].as_str().unwrap_or("NONE").to_owned()
}

// R5, R33, R34, R35, R36, R37, R38, D6, D8: a leaver of each kind, with everything of every kind; and what they find
// when they are back.
#[tokio::test]
async fn every_kind_of_work_finds_its_place_after_every_kind_of_departure() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    for (email, how) in [
        ("ada@example.org", "leaveOrganization"),
        ("bob@example.org", "removeMember"),
        ("eve@example.org", "deactivateMember"),
    ] {
        let leaver = app.join(&team, email, "MEMBER").await;
        let member = team.member_id(&leaver).await;
        let work = Work::new(&team, &leaver, &grace).await;
        // R5: what is the leaver's is nobody else's business, but for owner and admins.
        assert_eq!(access(&grace, &work.samples[2]).await, "NONE", "{how}");
        assert_eq!(access(&grace, &work.samples[1]).await, "ADMINISTER", "{how}: it lies in her project");

        let kind = if how == "leaveOrganization" { "LEAVE" } else { "REMOVE" };
        let query = "query($id: ID!, $member: ID!, $kind: DepartureKind!) { organization(by: { id: $id }) { \
             departurePlan(memberId: $member, kind: $kind) { steps { step affects examples } } } }";
        let asks = if how == "leaveOrganization" { &leaver } else { &team.owner };
        let plan = asks.query(query, json!({ "id": team.id, "member": member, "kind": kind })).await;
        let plan = plan["organization"]["departurePlan"]["steps"].as_array().unwrap().clone();

        let departed = match how {
            "leaveOrganization" => leaver.ok(how, json!({ "organizationId": team.id }), "departure { id }").await,
            _ => team.owner.ok(how, json!({ "memberId": member }), "departure { id }").await,
        };
        let id = text(&departed["departure"]["id"]);
        let departure = app.completed(&team, &id).await;
        for (name, count) in [
            ("TRANSFER_PROJECTS", 1),
            ("TRANSFER_VOLUMES", 1),
            ("TRANSFER_OTHERS", 7),
            ("COLLECT_SAMPLES", 1),
            ("SHARE_DOCUMENTS", 2),
            ("REMOVE_GRANTS", 2),
        ] {
            assert_eq!(step(&departure, name), (count, count), "{how} {name}");
            let planned = plan.iter().find(|step| step["step"] == name).unwrap();
            assert_eq!(planned["affects"], count, "{how}: the plan says what happens: {planned}");
            assert_eq!(planned["examples"].as_array().unwrap().len() as i64, count.min(5), "{how}: {planned}");
        }

        // What passes on is the owner's; samples stay the leaver's, and lie in projects.
        for resource in seen(&team.owner, &work.passed_on()).await {
            assert_eq!(resource["owner"]["id"], team.owner.user_id.as_str(), "{how}: {resource}");
            assert_eq!(resource["createdBy"]["id"], leaver.user_id.as_str(), "{how}: {resource}");
        }
        let samples: Vec<&String> = work.samples.iter().collect();
        let samples = seen(&team.owner, &samples).await;
        for sample in &samples {
            assert_eq!(sample["owner"]["id"], leaver.user_id.as_str(), "{how}: {sample}");
        }
        assert_eq!(samples[0]["container"]["id"], work.project.as_str());
        assert_eq!(samples[1]["container"]["id"], work.projects_of_others[0].as_str());
        assert!(text(&samples[2]["container"]["name"]).starts_with("Samples of "), "{}", samples[2]);
        assert_eq!(samples[2]["container"]["owner"]["id"], team.owner.user_id.as_str());
        // Where things lie is as it was.
        let inner = seen(&team.owner, &[&work.project, &work.volume, &work.documents[0], &work.others[2]]).await;
        let containers: Vec<_> = inner.iter().map(|resource| text(&resource["container"]["id"])).collect();
        assert_eq!(containers, [&work.workspace, &work.workspace, &work.project, &work.others[4]].map(String::clone));
        // R38: the organization reads the documents; who had more has it still.
        assert_eq!(access(&grace, &work.documents[0]).await, "VIEW", "{how}");
        assert_eq!(access(&grace, &work.documents[1]).await, "CONTRIBUTE", "{how}");
        assert_eq!(access(&grace, &work.project).await, "NONE", "{how}");
        // R33: nothing is reached by owning it, or by what was shared.
        for id in work.owned().into_iter().chain(&work.projects_of_others).chain([&work.document_of_another]) {
            assert_eq!(access(&leaver, id).await, "NONE", "{how}");
        }
        // Nor do they see what sleeps until they are back.
        let query = "query($id: ID!) { node(id: $id) { ... on Grant { level resource { name } } } }";
        assert!(leaver.query(query, json!({ "id": work.kept_grant })).await["node"].is_null(), "{how}");
        // Every move is written down: those that passed on, and the sample that was collected.
        let query = "query($id: ID!) { node(id: $id) { ... on Departure { moves(first: 100) { nodes { from { id } to { id } container { id } resource { id kind } } } } } }";
        let moves = team.owner.query(query, json!({ "id": id })).await;
        let moves = nodes(&moves["node"]["moves"]);
        assert_eq!(moves.len(), work.passed_on().len() + 1, "{how}");
        for one in moves {
            let (to, collected) = match text(&one["resource"]["kind"]).as_str() {
                "SAMPLE" => (&leaver.user_id, true),
                _ => (&team.owner.user_id, false),
            };
            assert_eq!((&one["to"]["id"], one["container"].is_object()), (&json!(to), collected), "{how}: {one}");
            assert_eq!(one["from"]["id"], leaver.user_id.as_str());
        }
        let subject = match how {
            "leaveOrganization" => "left Acme Genomics",
            "removeMember" => "was removed from Acme Genomics",
            _ => "was deactivated in Acme Genomics",
        };
        let receipt = app.mail_about("owner@example.org", subject).await;
        assert!(receipt.text.contains("They stay theirs."), "{}", receipt.text);

        // Back again: their samples are theirs to use, and the project with one of them is shared with them as it was
        // (R37).
        if how == "leaveOrganization" {
            leaver.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id }").await;
        } else {
            team.owner.ok("reactivateMember", json!({ "memberId": member }), "member { id }").await;
        }
        assert_eq!(access(&leaver, &work.projects_of_others[0]).await, "UPLOAD", "{how}");
        for sample in &work.samples {
            assert_eq!(access(&leaver, sample).await, "ADMINISTER", "{how}");
        }
        assert_eq!(access(&leaver, &work.documents[0]).await, "VIEW", "{how}");
        for id in [&work.projects_of_others[1], &work.document_of_another, &work.project, &work.volume] {
            assert_eq!(access(&leaver, id).await, "NONE", "{how}");
        }

        // R45: what the departure moved goes back to where it was.
        team.owner.ok("revertDeparture", json!({ "departureId": id }), "departure { id }").await;
        app.until_idle().await;
        assert_eq!(team.departure(&id).await["status"], "REVERTED");
        for resource in seen(&team.owner, &work.owned()).await {
            assert_eq!(resource["owner"]["id"], leaver.user_id.as_str(), "{how}: {resource}");
        }
        let back = seen(&leaver, &[&work.samples[2], &work.documents[0], &work.documents[1]]).await;
        assert!(back[0]["container"].is_null(), "{how}: {}", back[0]);
        assert_eq!((&back[1]["visibility"], &back[2]["visibility"]), (&json!("PRIVATE"), &json!("PRIVATE")), "{how}");
    }
    app.finish().await;
}

// R33, R36, R38, R43, D7: 1,500 of each kind that has a step of its own, in chunks, with the worker killed again and
// again: each is moved once.
#[tokio::test]
async fn a_cascade_that_is_killed_again_and_again_moves_each_thing_once() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let leaver = app.join(&team, "ada@example.org", "MEMBER").await;
    for kind in ["project", "volume", "machine", "source", "sample", "document"] {
        app.give(&team, &leaver, kind, 1_500).await;
    }
    let shared = team.owner.create(&team.id, "PROJECT", "Heart atlas").await;
    team.owner.grant(&shared, json!({ "userId": leaver.user_id }), "VIEW").await;
    app.until_idle().await;
    let departure = team.remove(&leaver).await;
    let mut kills = 0;
    while team.departure(&departure).await["status"] != "COMPLETED" {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        if kills < 8 {
            app.kill_worker();
            app.start_worker();
            kills += 1;
        }
    }
    let departure = team.departure(&departure).await;
    for (name, count) in [
        ("TRANSFER_PROJECTS", 1_500),
        ("TRANSFER_VOLUMES", 1_500),
        ("TRANSFER_OTHERS", 3_000),
        ("COLLECT_SAMPLES", 1_500),
        ("SHARE_DOCUMENTS", 1_500),
        ("REMOVE_GRANTS", 1),
    ] {
        assert_eq!(step(&departure, name), (count, count), "{name}, killed {kills} times");
    }
    let moves = "SELECT count(*) AS value FROM resource_moves";
    assert_eq!(app.database.number(moves).await, 9_000);
    assert_eq!(app.database.number(&moves.replace("count(*)", "count(DISTINCT resource_id)")).await, 9_000);
    // The samples, in one project.
    assert_eq!(app.owned(&team, &leaver).await, 1_500);
    let projects = "SELECT count(DISTINCT container_id) AS value FROM resources WHERE kind = 'sample' AND container_id IS NOT NULL";
    assert_eq!(app.database.number(projects).await, 1);
    app.until_idle().await;
    app.finish().await;
}

// R33–R38, R43, D7: deactivated while they upload, while the ownership passes, while others go who shared with them and
// whom they shared with: `rollcall admin verify` finds nothing afterwards.
#[tokio::test]
async fn a_leaver_who_uploads_while_everybody_comes_and_goes_leaves_everything_in_order() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let heir = app.join(&team, "heir@example.org", "ADMIN").await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let work = Work::new(&team, &ada, &grace).await;
    let (ada_member, grace_member) = (team.member_id(&ada).await, team.member_id(&grace).await);
    let (handover, former) = (team.transfer_to(&heir).await, team.owner.twin());
    let joint = &work.projects_of_others[0];
    let first_upload = Notify::new();
    let first = &first_upload;
    let uploads = (0..24).map(|n| {
        let (person, other) = if n % 3 == 0 { (grace.twin(), &ada) } else { (ada.twin(), &grace) };
        let (kind, container) =
            [("SAMPLE", Some(joint)), ("DOCUMENT", None), ("SAMPLE", None), ("VOLUME", Some(&work.project))][n % 4];
        let input = json!({ "kind": kind, "name": "late", "containerId": container,
            "organizationId": container.is_none().then_some(&team.id) });
        async move {
            let made = person.mutate("createResource", input, "resource { id }").await;
            first.notify_one();
            if let Some(id) = made.data()["createResource"]["resource"]["id"].as_str() {
                let grant = json!({ "resourceId": id, "grantee": { "userId": other.user_id }, "level": "CONTRIBUTE" });
                person.mutate("grantAccess", grant, "").await;
                person.mutate("updateResource", json!({ "id": id, "containerId": joint }), "").await;
            }
        }
    });
    let departures = async {
        first_upload.notified().await;
        futures_util::join!(
            heir.mutate("deactivateMember", json!({ "memberId": ada_member }), "departure { id }"),
            team.owner.mutate("removeMember", json!({ "memberId": grace_member }), "departure { id }"),
            team.owner.mutate("transferOwnership", handover, "organization { id }"),
        )
    };
    let (_, (deactivated, removed, transferred)) =
        futures_util::join!(futures_util::future::join_all(uploads), departures);
    for (mutation, answer) in
        [("deactivateMember", &deactivated), ("removeMember", &removed), ("transferOwnership", &transferred)]
    {
        assert_eq!(answer.user_errors(mutation), [], "{mutation}");
    }
    app.until_idle().await;
    let team = Team { id: team.id, owner: heir };
    for id in work.passed_on() {
        // Whoever was the owner when it passed on.
        let owner = text(&seen(&team.owner, &[id]).await[0]["owner"]["id"]);
        assert!([&former.user_id, &team.owner.user_id].contains(&&owner), "{owner}");
    }
    for (person, member) in [(&ada, &ada_member), (&grace, &grace_member)] {
        assert!(!person.belongs_to(&team.id).await);
        let reached =
            person.query("{ viewer { resources(first: 100) { nodes { id organization { id } } } } }", json!({})).await;
        let here =
            nodes(&reached["viewer"]["resources"]).iter().filter(|node| node["organization"]["id"] == team.id.as_str());
        // Nothing but what the other one, a member for a moment longer, shared with them as with anybody outside.
        let shared_since = format!(
            "SELECT shared.metadata -> 'resourceIds' ->> 0 AS value FROM audit_events shared JOIN audit_events gone \
             ON gone.organization_id = shared.organization_id AND gone.sequence < shared.sequence \
             WHERE gone.action IN ('organization.member_deactivated', 'organization.member_removed') \
             AND gone.target_id = '{member}' AND shared.action = 'grant.created' \
             AND shared.metadata ->> 'grantee' = '{}'",
            person.user_id
        );
        let shared_since = app.database.texts(&shared_since).await;
        for resource in here {
            assert!(shared_since.contains(&text(&resource["id"])), "{resource} of {reached}");
        }
    }
    app.finish().await;
}

// R37, R45: who is back before the cascade has come to what was shared with them finds of it what is kept, and nothing
// else; so they do where the departure is taken back after they came by themselves. Taken back from outside, it is as
// if nothing had happened.
#[tokio::test]
async fn what_was_shared_wakes_where_it_was_kept_and_nowhere_else() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    for how in ["reactivated", "back by invitation", "reverted", "reverted after an invitation"] {
        let email = format!("ada-{}@example.org", how.replace(' ', "-"));
        let ada = app.join(&team, &email, "MEMBER").await;
        let [joint, watched] =
            [grace.create(&team.id, "PROJECT", "Heart").await, grace.create(&team.id, "PROJECT", "Lung").await];
        grace.grant(&joint, json!({ "userId": ada.user_id }), "UPLOAD").await;
        grace.grant(&watched, json!({ "userId": ada.user_id }), "CONTRIBUTE").await;
        ada.create_in(&joint, "SAMPLE", "H-1").await;
        app.until_idle().await;
        app.stop_workers().await;
        let member = team.member_id(&ada).await;
        let departure = team.remove(&ada).await;
        if how == "reactivated" {
            team.owner.ok("reactivateMember", json!({ "memberId": member }), "").await;
        } else if how.contains("invitation") {
            let invitation = team.invite(&email, "MEMBER").await;
            ada.ok("acceptInvitation", json!({ "id": invitation }), "member { id }").await;
        }
        let revert = json!({ "departureId": departure });
        if how.contains("reverted") {
            team.owner.ok("revertDeparture", revert, "departure { id }").await;
        }
        let reached = async || [access(&ada, &joint).await, access(&ada, &watched).await];
        // Before the worker has looked at any of it.
        let expected = if how == "reverted" { ["UPLOAD", "CONTRIBUTE"] } else { ["NONE", "NONE"] };
        assert_eq!(reached().await, expected, "{how}");
        app.start_worker();
        app.until_idle().await;
        let expected = if how == "reverted" { ["UPLOAD", "CONTRIBUTE"] } else { ["UPLOAD", "NONE"] };
        assert_eq!(reached().await, expected, "{how}");
    }
    app.finish().await;
}

// R45, D7: who is back, works, and goes again while the first cascade hasn't begun leaves each departure its own;
// reverting one gives back what that one moved.
#[tokio::test]
async fn overlapping_departures_pass_on_what_is_theirs() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let member = team.member_id(&ada).await;
    let shared = team.owner.create(&team.id, "PROJECT", "Shared before").await;
    let shared_again = team.owner.create(&team.id, "PROJECT", "Shared between").await;
    team.owner.grant(&shared, json!({ "userId": ada.user_id }), "CONTRIBUTE").await;
    let old = ada.create(&team.id, "VOLUME", "Old").await;
    app.until_idle().await;
    app.stop_workers().await;
    let first = team.remove(&ada).await;
    team.owner.ok("reactivateMember", json!({ "memberId": member }), "").await;
    let new = ada.create(&team.id, "VOLUME", "New").await;
    team.owner.grant(&shared_again, json!({ "userId": ada.user_id }), "CONTRIBUTE").await;
    // Taken back before anything has passed on, the second leaves what the first one has ended.
    let second = team.remove(&ada).await;
    team.owner.ok("revertDeparture", json!({ "departureId": second }), "departure { id }").await;
    assert_eq!(access(&ada, &shared).await, "NONE");
    assert_eq!(access(&ada, &shared_again).await, "CONTRIBUTE");
    let second = team.remove(&ada).await;
    app.start_worker();
    app.until_idle().await;
    let query = "query($id: ID!) { node(id: $id) { ... on Departure { moves { nodes { resource { id } } } } } }";
    for (departure, moved) in [(&first, &old), (&second, &new)] {
        let moves = team.owner.query(query, json!({ "id": departure })).await;
        let moves = nodes(&moves["node"]["moves"]);
        assert_eq!(
            moves.iter().map(|one| text(&one["resource"]["id"])).collect::<Vec<_>>(),
            std::slice::from_ref(moved)
        );
    }
    team.owner.ok("revertDeparture", json!({ "departureId": second }), "departure { id }").await;
    app.until_idle().await;
    let owners: Vec<String> =
        seen(&team.owner, &[&old, &new]).await.iter().map(|resource| text(&resource["owner"]["id"])).collect();
    assert_eq!(owners, [team.owner.user_id.clone(), ada.user_id.clone()]);
    app.finish().await;
}

// R43, R61: somebody who is given a project of another organization, and leaves the one that it still lies in, loses
// nothing of it.
#[tokio::test]
async fn what_is_on_its_way_elsewhere_is_no_part_of_a_departure() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let chief = app.sign_up("chief@example.org").await;
    let there = Team { id: chief.found("Elsewhere").await, owner: chief };
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    app.join(&there, "ada@example.org", "MEMBER").await;
    let project = grace.create(&team.id, "PROJECT", "Heart atlas").await;
    grace.grant(&project, json!({ "userId": ada.user_id }), "UPLOAD").await;
    let document = ada.create_in(&project, "DOCUMENT", "Private notes").await;
    let input = json!({ "resourceId": project, "recipientId": ada.user_id });
    let offer = grace.ok("offerProjectTransfer", input, "transfer { id }").await;
    app.until_idle().await;
    app.stop_workers().await;
    let accept = json!({ "id": offer["transfer"]["id"], "organizationId": there.id });
    ada.ok("acceptProjectTransfer", accept, "").await;
    let departure = team.remove(&ada).await;
    // It is theirs, and they read it while it moves, wherever they belong.
    for found in seen(&ada, &[&project, &document]).await {
        assert_eq!((&found["owner"]["id"], &found["viewerAccess"]), (&json!(ada.user_id), &json!("VIEW")));
    }
    let listed = "{ viewer { resources { nodes { name } } } }";
    let listed = nodes(&ada.query(listed, json!({})).await["viewer"]["resources"]).clone();
    assert_eq!(listed, [json!({ "name": "Heart atlas" }), json!({ "name": "Private notes" })]);
    // The cascade comes first.
    app.database.sql("UPDATE jobs SET run_at = run_at + interval '1 hour' WHERE kind = 'move_project'").await;
    app.start_worker();
    app.completed(&team, &departure).await;
    app.database.sql("UPDATE jobs SET run_at = run_at - interval '1 hour' WHERE kind = 'move_project'").await;
    app.until_idle().await;
    assert_eq!(app.database.number("SELECT count(*) AS value FROM resource_moves").await, 0);
    let found = seen(&ada, &[&project, &document]).await;
    for resource in &found {
        assert_eq!((&resource["owner"]["id"], &resource["viewerAccess"]), (&json!(ada.user_id), &json!("ADMINISTER")));
    }
    assert_eq!(found[1]["visibility"], "PRIVATE");
    app.finish().await;
}

// D7: long cascades, as many as run at a time, take turns with those that came later.
#[tokio::test]
async fn a_short_departure_waits_for_no_long_one() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let mut leavers = Vec::new();
    for (email, count) in [("ada@example.org", 30_000), ("bob@example.org", 30_000), ("eve@example.org", 1)] {
        let leaver = app.join(&team, email, "MEMBER").await;
        app.give(&team, &leaver, "volume", count).await;
        leavers.push(leaver);
    }
    let slow = "CREATE FUNCTION slow_down() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$; \
         CREATE TRIGGER slow_down AFTER INSERT ON resource_moves FOR EACH STATEMENT EXECUTE FUNCTION slow_down()";
    app.database.sql(slow).await;
    let long = [team.remove(&leavers[0]).await, team.remove(&leavers[1]).await];
    until("both run", async || {
        let running = "SELECT count(*) AS value FROM jobs WHERE kind = 'run_departure' AND status = 'running'";
        (app.database.number(running).await == 2).then_some(())
    })
    .await;
    let short = team.remove(&leavers[2]).await;
    app.completed(&team, &short).await;
    for departure in &long {
        assert_eq!(team.departure(departure).await["status"], "RUNNING");
    }
    app.database.sql("DROP FUNCTION slow_down CASCADE").await;
    for departure in &long {
        let departure = app.completed(&team, departure).await;
        assert_eq!(step(&departure, "TRANSFER_VOLUMES"), (30_000, 30_000));
    }
    let tries = "SELECT max(attempt - uncounted_attempts)::bigint AS value FROM jobs WHERE kind = 'run_departure'";
    assert_eq!(app.database.number(tries).await, 1);
    app.finish().await;
}
