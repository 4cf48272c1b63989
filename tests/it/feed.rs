//! The feed: the events of all organizations in one order (R90).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel_async::SimpleAsyncConnection;
use futures_util::future::{join, join_all};

use crate::platform_key;
use crate::support::client::{nodes, text};
use crate::support::follower::Socket;
use crate::support::people::uuid;
use crate::support::{Client, TestApp, Value, json, until};

const EVENTS: &str = "query($after: String, $first: Int, $actions: [String!], $id: ID) { \
     events(after: $after, first: $first, actions: $actions, organizationId: $id) { \
       edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } \
       nodes { id sequence action actor { id } actorKind targetId metadata subject { id } organization { id } platformKey } } }";

/// A platform key with EVENTS_READ alone.
pub async fn events_key(app: &TestApp) -> Client {
    platform_key::key(app, &["EVENTS_READ"]).await
}

/// The events of a feed from the beginning, page by page, as far as they are shown now.
pub async fn read(client: &Client, first: usize, filter: Value) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut variables = filter.clone();
        variables["after"] = after.clone();
        variables["first"] = json!(first);
        let page = client.query(EVENTS, variables).await["events"].clone();
        assert_eq!(page["pageInfo"]["hasPreviousPage"], !after.is_null());
        events.extend(nodes(&page).iter().cloned());
        if page["pageInfo"]["hasNextPage"] == false {
            return events;
        }
        assert_eq!(nodes(&page).len(), first);
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// All events of the database, once none of them is held back any more.
pub async fn read_all(app: &TestApp, client: &Client) -> Vec<Value> {
    let count = app.database.number("SELECT count(*) AS value FROM audit_events").await;
    until("every event is shown", async || {
        let events = read(client, 1_000, json!({})).await;
        (i64::try_from(events.len()).unwrap() >= count).then_some(events)
    })
    .await
}

/// What must be true of any part of the feed from its beginning on: nothing twice, and each log in its order, whole.
fn assert_in_order(events: &[Value]) {
    let ids: BTreeSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "something comes twice");
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for event in events {
        let log = event["organization"]["id"].as_str().unwrap_or("the deployment");
        let sequence: i64 = event["sequence"].as_str().unwrap().parse().unwrap();
        assert_eq!(sequence, last.get(log).copied().unwrap_or_default() + 1, "a gap in {log}, or another order");
        last.insert(log, sequence);
    }
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| text(&event["id"])).collect()
}

/// A statement that records an event in an organization's log.
pub fn append(organization: &str, summary: &str) -> String {
    let event = json!([{
        "organization_id": uuid(organization), "id": uuid::Uuid::now_v7(), "action": "organization.updated",
        "actor_kind": "system", "actor_id": null, "target_id": organization, "summary": summary, "metadata": {},
    }]);
    format!("SELECT audit_append('{event}'::jsonb)")
}

// R90: while eight write and old transactions commit late, a reader misses nothing, gets nothing twice, and what it has
// seen stays in its place.
#[tokio::test]
async fn nothing_appears_before_what_was_shown() {
    let app = TestApp::start().await;
    let people = app.sign_up_many(8).await;
    let organizations = join_all(people.iter().map(|person| person.found("Acme"))).await;
    let key = events_key(&app).await;
    let is_over = AtomicBool::new(false);

    let writers = people.iter().zip(&organizations).map(async |(person, organization)| {
        for number in 0..15 {
            person.create(organization, "PROJECT", &format!("Project {number}")).await;
        }
    });
    // One that holds its place while others commit, and one that is older than what its log has by the time it writes.
    let slow = async {
        for round in 0..3 {
            let (mut one, mut other) = join(app.database.connection(), app.database.connection()).await;
            one.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
            other.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
            let quiet = people[round].found("Quiet").await;
            one.batch_execute(&append(&quiet, "held")).await.unwrap();
            people[7].create(&organizations[7], "PROJECT", "Meanwhile").await;
            other.batch_execute(&append(&organizations[7], "late")).await.unwrap();
            other.batch_execute("COMMIT").await.unwrap();
            people[7].create(&organizations[7], "PROJECT", "Afterwards").await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            one.batch_execute("COMMIT").await.unwrap();
        }
    };
    let writing = async {
        join(join_all(writers), slow).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let reading = async {
        let (mut seen, mut after) = (Vec::new(), Value::Null);
        loop {
            let was_over = is_over.load(Ordering::Relaxed);
            let page = key.query(EVENTS, json!({ "after": after, "first": 7 })).await["events"].clone();
            if nodes(&page).is_empty() {
                let all = app.database.number("SELECT count(*) AS value FROM audit_events").await;
                if was_over && i64::try_from(seen.len()).unwrap() == all {
                    return seen;
                }
                continue;
            }
            seen.extend(nodes(&page).iter().cloned());
            after = page["pageInfo"]["endCursor"].clone();
        }
    };
    let ((), seen) = tokio::time::timeout(std::time::Duration::from_secs(120), join(writing, reading)).await.unwrap();
    assert_in_order(&seen);
    assert_eq!(ids(&seen), ids(&read(&key, 1_000, json!({})).await));
    assert_eq!(ids(&seen), ids(&read(&app.staff(), 13, json!({})).await));
    let logs = app.database.number("SELECT count(*) AS value FROM audit_heads").await;
    let shown: BTreeSet<String> = seen.iter().map(|event| event["organization"]["id"].to_string()).collect();
    assert_eq!(i64::try_from(shown.len()).unwrap(), logs);
    for organization in &organizations {
        let verified = "query($id: ID!) { verifyAuditLog(organizationId: $id) { ok } }";
        let owner = &people[organizations.iter().position(|other| other == organization).unwrap()];
        assert_eq!(owner.query(verified, json!({ "id": organization })).await["verifyAuditLog"]["ok"], true);
    }
    app.finish().await;
}

// R90, R85: for staff and keys with the scope, within a key's organizations; filtered and paged.
#[tokio::test]
async fn it_is_for_keys_with_the_scope_and_for_staff() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let member = app.join(&team, "max@example.org", "MEMBER").await;
    let other = team.owner.found("Other").await;
    let project = team.owner.create(&team.id, "PROJECT", "Atlas").await;
    let key = events_key(&app).await;
    let all = read_all(&app, &key).await;
    assert_in_order(&all);
    assert_eq!(ids(&all), ids(&read_all(&app, &app.staff()).await));

    // An event names whom it concerns, though the key has no READ. The deployment's own log belongs to no organization.
    let joined = all.iter().find(|event| event["action"] == "organization.member_joined").unwrap();
    assert_eq!(
        (&joined["actor"]["id"], &joined["subject"]["id"], &joined["organization"]["id"]),
        (&json!(member.user_id), &json!(member.user_id), &json!(team.id))
    );
    let made = all.iter().find(|event| event["action"] == "platform.key_created").unwrap();
    assert!(made["organization"].is_null() && made["actorKind"] == "STAFF", "{made}");

    // By actions, by organization, by both; a cursor fits every filter.
    let of = |wanted: &dyn Fn(&Value) -> bool| -> Vec<String> {
        all.iter().filter(|event| wanted(event)).map(|event| text(&event["id"])).collect()
    };
    let actions = ["resource.created", "organization.created"];
    let is_named = |event: &Value| actions.contains(&event["action"].as_str().unwrap());
    let is_there = |event: &Value| event["organization"]["id"] == team.id.as_str();
    for first in [1, 3, 1_000] {
        assert_eq!(ids(&read(&key, first, json!({ "actions": actions })).await), of(&is_named));
        assert_eq!(ids(&read(&key, first, json!({ "id": team.id })).await), of(&is_there));
        let both = read(&key, first, json!({ "actions": actions, "id": team.id })).await;
        assert_eq!(ids(&both), of(&|event: &Value| is_named(event) && is_there(event)));
    }
    let cursor = key.query(EVENTS, json!({ "first": 5 })).await["events"]["pageInfo"]["endCursor"].clone();
    let rest = key.query(EVENTS, json!({ "after": cursor, "id": team.id, "first": 1_000 })).await;
    let expected: Vec<Value> = all[5..].iter().filter(|event| is_there(event)).cloned().collect();
    assert_eq!(ids(nodes(&rest["events"])), ids(&expected));

    // A limited key reads of its organizations alone.
    let input = json!({ "name": "limited", "scopes": ["EVENTS_READ"], "organizationIds": [team.id] });
    let (limited, _) = platform_key::made(&app, input).await;
    assert_eq!(ids(&read(&limited, 2, json!({})).await), of(&is_there));
    assert_eq!(ids(&read(&limited, 2, json!({ "actions": actions })).await).len(), 2);
    let id = text(&all[all.len() - 1]["id"]);
    assert_eq!(limited.run(EVENTS, json!({ "id": other })).await.error_code(), "NOT_FOUND");
    let blind = platform_key::key(&app, &["READ"]).await;
    for nobody in [&team.owner, &member, &blind] {
        let answer = nobody.run(EVENTS, json!({})).await;
        assert_eq!(answer.error_code(), "FORBIDDEN");
    }
    let seen = "query($id: ID!) { node(id: $id) { id } }";
    assert!(!key.query(seen, json!({ "id": id })).await["node"].is_null());
    assert!(limited.query(seen, json!({ "id": id })).await["node"].is_null());
    assert_eq!(app.anonymous().run(EVENTS, json!({})).await.error_code(), "UNAUTHENTICATED");
    for wrong in [
        json!({ "first": 1_001 }),
        json!({ "first": -1 }),
        json!({ "after": "nonsense" }),
        json!({ "actions": ["organization.exploded"] }),
        json!({ "id": project }),
    ] {
        assert_eq!(key.run(EVENTS, wrong.clone()).await.error_code(), "BAD_REQUEST", "{wrong}");
    }
    let nowhere = json!({ "id": "org_01h455vb4pex5vsknk084sn02q" });
    assert_eq!(key.run(EVENTS, nowhere).await.error_code(), "NOT_FOUND");
    app.finish().await;
}

// R90: a database that moves to a server whose transactions have smaller ids goes on where it was, and a cursor from a
// time that was lost is refused.
#[tokio::test]
async fn it_goes_on_in_a_restored_database() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let key = events_key(&app).await;
    let before = read_all(&app, &key).await;
    app.stop_workers().await;
    app.stop_api().await;
    app.database
        .sql(
            "ALTER TABLE audit_events DISABLE TRIGGER audit_events_only_grow; \
             UPDATE audit_events SET feed_position = feed_position + (1000000000::bigint << 16); \
             ALTER TABLE audit_events ENABLE TRIGGER audit_events_only_grow; \
             UPDATE audit_heads SET feed_position = feed_position + (1000000000::bigint << 16)",
        )
        .await;
    app.start_api().await;
    app.start_worker();
    let (owner, key) = (app.client(team.owner.token.as_deref().unwrap()), app.client(key.token.as_deref().unwrap()));
    for name in ["One", "Two"] {
        owner.found(name).await;
    }
    let after = read_all(&app, &key).await;
    assert_in_order(&after);
    assert_eq!(ids(&after[..before.len()]), ids(&before));
    let lost = URL_SAFE_NO_PAD.encode(json!(uuid::Uuid::now_v7()).to_string());
    assert_eq!(key.run(EVENTS, json!({ "after": lost })).await.error_code(), "BAD_REQUEST");
    app.finish().await;
}

/// Whoever rebuilds what there is from the feed alone.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rebuilt {
    /// Role and status, by organization and person.
    members: BTreeMap<(String, String), (String, String)>,
    /// Organization and owner, by resource.
    owners: BTreeMap<String, (String, String)>,
    /// Resource, grantee and level, by grant.
    grants: BTreeMap<String, (String, String, String)>,
    /// The people in each team.
    teams: BTreeMap<String, BTreeSet<String>>,
}

fn all<'e>(metadata: &'e Value, key: &str) -> impl Iterator<Item = String> + 'e {
    metadata[key].as_array().into_iter().flatten().map(text)
}

/// Whom an event concerns: the people in `userIds`, else its subject.
fn concerned(metadata: &Value) -> Vec<String> {
    match metadata["userIds"].is_array() {
        true => all(metadata, "userIds").collect(),
        false => vec![text(&metadata["subject"])],
    }
}

impl Rebuilt {
    fn of(events: &[Value]) -> Self {
        let mut rebuilt = Self::default();
        events.iter().for_each(|event| rebuilt.apply(event));
        rebuilt
    }

    fn member(&mut self, organization: &str, user: &str, role: &str, status: &str) {
        self.members.insert((organization.to_owned(), user.to_owned()), (role.to_owned(), status.to_owned()));
    }

    fn owner(&mut self, metadata: &Value, key: &str, owner: &Value) {
        for id in all(metadata, key) {
            if let Some(resource) = self.owners.get_mut(&id) {
                resource.1 = text(owner);
            }
        }
    }

    fn apply(&mut self, event: &Value) {
        let (metadata, organization) = (&event["metadata"], event["organization"]["id"].as_str().unwrap_or_default());
        let subject = event["subject"]["id"].as_str().unwrap_or_default();
        assert_eq!(metadata["subject"].as_str().unwrap_or_default(), subject, "{event}");
        let target = event["targetId"].as_str().unwrap_or_default().to_owned();
        let word = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        match event["action"].as_str().unwrap() {
            "user.created" | "organization.created" => self.member(organization, &word("owner"), "owner", "active"),
            "organization.member_joined" | "organization.member_reactivated" | "organization.member_role_changed" => {
                for person in concerned(metadata) {
                    self.member(organization, &person, &word("role"), "active");
                }
            }
            "organization.member_left" => self.leave(organization, subject, metadata, "left"),
            "organization.member_removed" => self.leave(organization, subject, metadata, "removed"),
            "organization.member_deactivated" => self.leave(organization, subject, metadata, "deactivated"),
            "organization.owner_set" | "organization.ownership_transferred" => {
                self.member(organization, &word("from"), "admin", "active");
                self.member(organization, &word("to"), "owner", "active");
            }
            "organization.team_created" => drop(self.teams.insert(target, BTreeSet::new())),
            "organization.team_deleted" => {
                self.teams.remove(&target);
                self.grants.retain(|_, grant| grant.1 != target);
            }
            "organization.team_members_added" => {
                self.teams.get_mut(&target).unwrap().extend(all(metadata, "userIds"));
            }
            "organization.team_member_removed" => {
                for person in concerned(metadata) {
                    self.teams.get_mut(&target).unwrap().remove(&person);
                }
            }
            "organization.collaborator_removed" => {
                for team in all(metadata, "teamIds") {
                    self.teams.get_mut(&team).unwrap().remove(subject);
                }
                self.end_grants(metadata);
            }
            "resource.created" => {
                for id in all(metadata, "resourceIds") {
                    self.owners.insert(id, (organization.to_owned(), word("owner")));
                }
            }
            "resource.deleted" => {
                for id in all(metadata, "resourceIds") {
                    self.owners.remove(&id);
                    self.grants.retain(|_, grant| grant.0 != id);
                }
            }
            "departure.resources_moved" if metadata["step"] == "collect_samples" => {}
            "departure.resources_moved" | "departure.resources_returned" => {
                self.owner(metadata, "resourceIds", &metadata["to"]);
            }
            "resource.transferred" => self.owner(metadata, "resourceIds", &metadata["owner"]),
            "transfer.accepted" => self.owner(metadata, "resourceIds", &metadata["owner"]),
            "transfer.completed" => {
                for id in all(metadata, "resourceIds") {
                    self.owners.get_mut(&id).unwrap().0 = word("toOrganizationId");
                }
                self.owner(metadata, "passedOnIds", &metadata["owner"]);
                self.end_grants(metadata);
            }
            "grant.created" | "grant.changed" => {
                let grant = (text(&metadata["resourceIds"][0]), word("grantee"), word("level"));
                self.grants.insert(text(&metadata["grantIds"][0]), grant);
            }
            "grant.revoked" | "departure.grants_removed" => self.end_grants(metadata),
            _ => {}
        }
    }

    fn leave(&mut self, organization: &str, subject: &str, metadata: &Value, status: &str) {
        self.member(organization, subject, metadata["role"].as_str().unwrap(), status);
        for team in all(metadata, "teamIds") {
            self.teams.get_mut(&team).unwrap().remove(subject);
        }
    }

    fn end_grants(&mut self, metadata: &Value) {
        for id in all(metadata, "grantIds") {
            self.grants.remove(&id);
        }
    }

    /// The same, by the ids of the database.
    fn by_uuids(&self) -> [BTreeSet<String>; 4] {
        let id = |id: &str| uuid(id).to_string();
        [
            self.members
                .iter()
                .map(|((organization, user), (role, status))| {
                    format!("{} {} {role} {status}", id(organization), id(user))
                })
                .collect(),
            self.owners
                .iter()
                .map(|(resource, (organization, owner))| format!("{} {} {}", id(resource), id(organization), id(owner)))
                .collect(),
            self.grants
                .iter()
                .map(|(grant, (resource, grantee, level))| {
                    format!("{} {} {} {level}", id(grant), id(resource), id(grantee))
                })
                .collect(),
            self.teams
                .iter()
                .flat_map(|(team, people)| people.iter().map(|person| format!("{} {}", id(team), id(person))))
                .chain(self.teams.keys().map(|team| id(team)))
                .collect(),
        ]
    }
}

/// What the database has of the same.
async fn kept(app: &TestApp) -> [BTreeSet<String>; 4] {
    let texts = async |sql: &str| app.database.texts(sql).await.into_iter().collect::<BTreeSet<String>>();
    [
        texts("SELECT concat_ws(' ', organization_id, user_id, role, status) AS value FROM members").await,
        texts("SELECT concat_ws(' ', id, organization_id, owner_id) AS value FROM resources").await,
        texts(
            "SELECT concat_ws(' ', id, resource_id, coalesce(user_id, team_id, grantee_organization_id), level) AS value FROM grants",
        )
        .await,
        texts(
            "SELECT concat_ws(' ', team_id, user_id) AS value FROM team_members \
             UNION ALL SELECT id::text FROM teams",
        )
        .await,
    ]
}

/// The metadata that docs/events.md names for each action.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/events.md")).unwrap();
    let rows = docs.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2);
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let keys = cells[2].split(',').map(|key| key.trim().trim_matches('`').to_owned());
        (cells[0].trim().trim_matches('`').to_owned(), keys.collect())
    })
    .collect()
}

// R90: whoever reads the feed from its beginning knows the members, owners, grants and teams of all organizations.
#[tokio::test]
async fn memberships_owners_grants_and_teams_can_be_rebuilt() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = team.owner.clone();
    let key = events_key(&app).await;
    let bob = app.sign_up("bob@example.org").await;
    let other = bob.found("Other").await;
    let max = app.join(&team, "max@example.org", "MEMBER").await;
    let lea = app.join(&team, "lea@example.org", "ADMIN").await;
    let vic = app.join(&team, "vic@example.org", "VIEWER").await;
    let kim = app.sign_up("kim@example.org").await;
    kim.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id }").await;
    ada.ok("changeMemberRole", json!({ "memberId": team.member_id(&vic).await, "role": "MEMBER" }), "").await;

    // Teams, resources and grants to everybody.
    let lab = team.group("Lab", &[&max, &kim]).await;
    let gone = team.group("Gone", &[&lea]).await;
    let project = max.create(&team.id, "PROJECT", "Atlas").await;
    let volume = max.create(&team.id, "VOLUME", "Raw").await;
    for name in ["L-1", "L-2"] {
        max.create(&team.id, "SAMPLE", name).await;
    }
    let document = max.create(&team.id, "DOCUMENT", "Notes").await;
    let of_lea = lea.create(&team.id, "PROJECT", "Livers").await;
    for (on, grantee, level) in
        [(&project, json!({ "userId": vic.user_id }), "VIEW"), (&project, json!({ "organizationId": other }), "UPLOAD")]
    {
        max.grant(on, grantee, level).await;
    }
    ada.grant(&project, json!({ "teamId": gone }), "VIEW").await;
    for grantee in [json!({ "userId": max.user_id }), json!({ "teamId": lab }), json!({ "userId": bob.user_id })] {
        lea.grant(&of_lea, grantee, "CONTRIBUTE").await;
    }
    lea.grant(&of_lea, json!({ "teamId": lab }), "VIEW").await;
    let revoked = lea.grant(&of_lea, json!({ "userId": kim.user_id }), "VIEW").await;
    lea.ok("revokeAccess", json!({ "grantId": revoked }), "").await;
    let deleted = kim.create(&team.id, "PROJECT", "Deleted").await;
    kim.grant(&deleted, json!({ "userId": max.user_id }), "VIEW").await;
    kim.ok("deleteResource", json!({ "id": deleted }), "").await;
    ada.ok("deleteTeam", json!({ "id": gone }), "").await;
    ada.ok("addTeamMembers", json!({ "teamId": lab, "userIds": [bob.user_id] }), "").await;
    ada.ok("removeTeamMember", json!({ "teamId": lab, "userId": kim.user_id }), "").await;
    ada.ok("removeCollaborator", json!({ "organizationId": team.id, "userId": bob.user_id }), "").await;

    // Departures: a revert, a deactivation that is lifted, a departure for good, and the end of an account.
    let departure = team.remove(&max).await;
    app.completed(&team, &departure).await;
    assert_eq!(Rebuilt::of(&read_all(&app, &key).await).by_uuids(), kept(&app).await);
    ada.ok("revertDeparture", json!({ "departureId": departure }), "").await;
    app.until_idle().await;
    let kims = json!({ "memberId": team.member_id(&kim).await });
    kim.create(&team.id, "PROJECT", "Kim's").await;
    ada.ok("deactivateMember", kims.clone(), "").await;
    app.until_idle().await;
    ada.ok("reactivateMember", kims, "").await;
    vic.create(&team.id, "VOLUME", "Vic's").await;
    vic.ok("leaveOrganization", json!({ "organizationId": team.id }), "").await;
    app.until_idle().await;
    kim.create(&team.id, "MACHINE", "Sequencer").await;
    kim.ok("deleteAccount", json!({ "confirmEmail": kim.email }), "").await;
    app.until_idle().await;

    // What a platform brings in.
    let backend = platform_key::key(&app, &["USERS_WRITE", "MEMBERS_WRITE"]).await;
    let users: Vec<Value> = ["one", "two", "three"]
        .map(|name| json!({ "externalId": name, "email": format!("{name}@example.net") }))
        .to_vec();
    backend.ok("upsertUsers", json!({ "users": users }), "").await;
    let of_team = json!({ "id": team.id });
    let group =
        json!({ "externalId": "lab", "name": "Lab", "members": [{ "id": max.user_id }, { "id": lea.user_id }] });
    backend.ok("upsertTeams", json!({ "organization": of_team, "teams": [group] }), "").await;
    for (role, teams) in [("ADMIN", json!([lab])), ("VIEWER", json!([]))] {
        let item = |name: &str| json!({ "user": { "externalId": name }, "role": role, "teams": teams });
        let back = json!({ "user": { "id": vic.user_id }, "metadata": { "role": role } });
        let people = json!([item("one"), item("two"), back, { "user": { "externalId": "three" } }]);
        backend.ok("upsertMembers", json!({ "organization": of_team, "members": people }), "").await;
    }
    let group = json!({ "externalId": "lab", "members": [{ "externalId": "one" }, { "externalId": "three" }] });
    let found = json!({ "externalId": "found", "name": "Found", "members": [{ "id": vic.user_id }] });
    backend.ok("upsertTeams", json!({ "organization": of_team, "teams": [group, found] }), "").await;

    // What the platform does with accounts.
    let vics = json!({ "user": { "id": vic.user_id } });
    app.staff().ok("suspendUser", json!({ "user": vics["user"], "reason": "Sends spam." }), "").await;
    app.staff().ok("unsuspendUser", vics.clone(), "").await;
    app.staff().ok("endUserSessions", vics.clone(), "").await;
    let address = json!({ "user": vics["user"], "email": "victor@example.org" });
    app.staff().ok("changeUserEmail", address, "").await;
    app.staff().ok("deleteUser", json!({ "user": vics["user"], "reason": "Still sends spam." }), "").await;
    app.until_idle().await;

    // Ownership, a project that moves, and an organization that is deleted and restored.
    ada.ok("transferOwnership", team.transfer_to(&lea).await, "").await;
    app.staff()
        .ok("setOrganizationOwner", json!({ "organizationId": team.id, "userId": max.user_id }), "organization { id }")
        .await;
    let moving = bob.create(&other, "PROJECT", "Moving").await;
    bob.create_in(&moving, "VOLUME", "Along").await;
    let others = crate::support::Team { id: other.clone(), owner: bob.clone() };
    let bobs = others.group("Others", &[]).await;
    bob.grant(&moving, json!({ "teamId": bobs }), "VIEW").await;
    bob.grant(&moving, json!({ "userId": ada.user_id }), "VIEW").await;
    let offer = json!({ "resourceId": moving, "recipientId": ada.user_id });
    let offer = text(&bob.ok("offerProjectTransfer", offer, "transfer { id }").await["transfer"]["id"]);
    ada.ok("acceptProjectTransfer", json!({ "id": offer, "organizationId": team.id }), "").await;
    app.until_idle().await;
    bob.ok("deleteOrganization", json!({ "id": other, "confirmOrganizationName": "Other" }), "").await;
    app.staff().ok("restoreOrganization", json!({ "id": other }), "organization { id }").await;
    app.until_idle().await;

    let events = read_all(&app, &key).await;
    assert_in_order(&events);
    let rebuilt = Rebuilt::of(&events);
    for (rebuilt, kept) in rebuilt.by_uuids().iter().zip(&kept(&app).await) {
        assert_eq!(rebuilt, kept);
    }
    assert!([&project, &volume, &document].iter().all(|id| rebuilt.owners[*id].1 == max.user_id));
    assert_eq!(rebuilt.owners[&moving], (team.id.clone(), ada.user_id.clone()));

    // The documentation names every key, and how the actor authenticated is named alike everywhere.
    let documented = documented();
    let everywhere = ["apiKeyId", "staff", "platformKey", "platformKeyId"];
    for event in &events {
        let named = &documented[event["action"].as_str().unwrap()];
        for key in event["metadata"].as_object().unwrap().keys() {
            assert!(named.contains(key) || everywhere.contains(&key.as_str()), "docs/events.md lacks {key} of {event}");
            assert!(!key.contains('_'), "{event}");
        }
    }
    let actions: BTreeSet<&str> = events.iter().map(|event| event["action"].as_str().unwrap()).collect();
    for action in [
        "user.deleted",
        "user.suspended",
        "user.suspension_lifted",
        "user.signed_out",
        "user.email_changed",
        "organization.deleted",
        "organization.restored",
        "departure.resources_returned",
    ] {
        assert!(actions.contains(action), "{action} is missing");
    }
    app.finish().await;
}

const FOLLOW: &str = "subscription($after: String, $actions: [String!], $id: ID) { \
     events(after: $after, actions: $actions, organizationId: $id) { \
       cursor node { id action sequence subject { id } organization { id } } } }";

// R90, R85: the subscription goes on where the query ends, for those who may read the feed, as long as they may.
#[tokio::test]
async fn it_is_followed_as_it_happens() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (key, key_id) = platform_key::made(&app, json!({ "name": "follower", "scopes": ["EVENTS_READ"] })).await;
    let before = read_all(&app, &key).await;
    let mut follower = Socket::of(&app.url, &key).await;
    follower.subscribe("all", FOLLOW, json!({})).await;
    let mut cursor = Value::Null;
    for event in &before {
        let told = follower.event("all").await["events"].clone();
        assert_eq!(told["node"]["id"], event["id"]);
        cursor = told["cursor"].clone();
    }
    let end = key.query(EVENTS, json!({ "first": 1_000 })).await["events"]["pageInfo"]["endCursor"].clone();
    assert_eq!(cursor, end);

    // What happens from now on, of all organizations, and of one with some actions.
    let mut some = Socket::of(&app.url, &app.staff()).await;
    let filter = json!({ "after": cursor, "actions": ["resource.created"], "id": team.id });
    some.subscribe("some", FOLLOW, filter).await;
    let other = team.owner.found("Other").await;
    team.owner.create(&other, "PROJECT", "Elsewhere").await;
    let project = team.owner.create(&team.id, "PROJECT", "Here").await;
    for (action, organization) in
        [("organization.created", &other), ("resource.created", &other), ("resource.created", &team.id)]
    {
        let told = follower.event("all").await["events"]["node"].clone();
        assert_eq!((&told["action"], &told["organization"]["id"]), (&json!(action), &json!(organization)));
        assert_eq!(told["subject"]["id"], team.owner.user_id.as_str());
    }
    let told = some.event("some").await["events"]["node"].clone();
    assert_eq!(told["organization"]["id"], team.id.as_str());
    let seen =
        app.staff().query(EVENTS, json!({ "after": cursor, "actions": ["resource.created"], "id": team.id })).await;
    assert_eq!(
        (&nodes(&seen["events"])[0]["id"], &nodes(&seen["events"])[0]["targetId"]),
        (&told["id"], &json!(project))
    );

    // A key that is revoked is told nothing more, and others never anything.
    app.staff().ok("revokePlatformKey", json!({ "id": key_id }), "platformKey { id }").await;
    team.owner.create(&team.id, "PROJECT", "Unseen").await;
    let (rest, ended) = follower.rest("all").await;
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(ended.as_deref(), Some("UNAUTHENTICATED"));
    let mut nobody = Socket::of(&app.url, &team.owner).await;
    nobody.subscribe("none", FOLLOW, json!({})).await;
    assert_eq!(nobody.rest("none").await.1.as_deref(), Some("FORBIDDEN"));
    app.finish().await;
}
