//! Very large organizations: lists and checks read no more than a page needs, and a cascade gets in nobody's way.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::client::nodes;
use crate::support::people::uuid;
use crate::support::plans::{Plans, plan_nodes, rows};
use crate::support::{Client, Team, TestApp, Value, json};

/// How many resources the organization has: a twenty-fifth of what `make bench-size` takes.
fn resources() -> usize {
    std::env::var("ROLLCALL_TEST_RESOURCES").map_or(200_000, |count| count.parse().unwrap())
}

/// Somebody's resources of a kind: private, in no container, one in 20,000 called Grace.
async fn give(app: &TestApp, team: &Team, owner: &Client, kind: &str, count: usize) {
    let (organization, owner) = (uuid(&team.id), uuid(&owner.user_id));
    app.database
        .sql(&format!(
            "INSERT INTO resources (id, organization_id, kind, name, folded_name, owner_id, owned_since, created_by_id, created_at, updated_at) \
             SELECT gen_random_uuid(), '{organization}', '{kind}', CASE n % 20000 WHEN 7 THEN 'Grace ' ELSE 'Thing ' END || n, \
             CASE n % 20000 WHEN 7 THEN 'grace ' ELSE 'thing ' END || n, \
             '{owner}', rollcall_now(), '{owner}', rollcall_now(), rollcall_now() FROM generate_series(1, {count}) n"
        ))
        .await;
}

/// Fills an organization with what others own, of every kind: a hundredth is visible to all.
async fn fill(app: &TestApp, team: &Team, count: usize) {
    for (kind, part) in
        [("sample", 50), ("document", 15), ("volume", 15), ("source", 8), ("machine", 4), ("app", 4), ("project", 4)]
    {
        give(app, team, &team.owner, kind, count * part / 100).await;
    }
    app.database
        .sql(
            "UPDATE resources SET visibility = 'organization' WHERE kind <> 'project' AND hashtext(id::text) % 100 = 0",
        )
        .await;
    tidy(app).await;
}

/// What autovacuum does by and by.
async fn tidy(app: &TestApp) {
    for table in ["resources", "resource_moves", "grants", "collection_items"] {
        app.database.sql(&format!("VACUUM ANALYZE {table}")).await;
    }
    app.database.sql("CHECKPOINT").await;
}

const LIST: &str = "query($id: ID!, $first: Int, $after: String, $kind: ResourceKind, $owner: ID, $container: ID, $search: String) { \
     organization(by: { id: $id }) { resources(first: $first, after: $after, kind: $kind, ownerId: $owner, containerId: $container, search: $search) { \
     nodes { id } pageInfo { hasNextPage endCursor } } } }";

fn is_of_resources(statement: &str) -> bool {
    statement.contains("resources r")
}

/// What is wrong with the plan of a list: it reads or sorts more rows than this somewhere, or a whole table.
fn too_much(plan: &Value, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    for node in plan_nodes(plan) {
        let of = &node["Relation Name"];
        // Small tables are read as they are.
        let at_once = rows(node) / node["Actual Loops"].as_f64().unwrap_or(1.0).max(1.0);
        if node["Node Type"] == "Seq Scan" && at_once <= 200.0 {
            continue;
        }
        if node["Node Type"] == "Seq Scan" {
            found.push(format!("reads {} rows of {of}", rows(node)));
        }
        if rows(node) > limit as f64 {
            found.push(format!("{} of {} rows {of} {}", node["Node Type"], rows(node), node["Index Name"]));
        }
    }
    found
}

// R2, R62, R72: no list of resources and no check reads or sorts more than a page needs, however large the organization
// is.
#[tokio::test]
async fn lists_and_checks_of_a_large_organization_read_no_more_than_a_page_needs() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let total = resources();
    // More than any list may read, however small the organization.
    let contents = (total / 100).max(10_000);
    fill(&app, &team, total).await;
    // Ada owns many, and reaches others by projects, a team and her organization.
    give(&app, &team, &ada, "sample", total / 10).await;
    let group = team.group("Lab", &[&ada]).await;
    let mut projects = Vec::new();
    for n in 0..10 {
        let project = grace.create(&team.id, "PROJECT", &format!("Joint {n}")).await;
        let grantee = match n % 3 {
            0 => json!({ "userId": ada.user_id }),
            1 => json!({ "teamId": group }),
            _ => json!({ "organizationId": team.id }),
        };
        grace.ok("grantAccess", json!({ "resourceId": project, "grantee": grantee, "level": "VIEW" }), "").await;
        projects.push(project);
    }
    let collection = grace.create(&team.id, "COLLECTION", "Best of").await;
    grace.ok("updateResource", json!({ "id": collection, "visibility": "ORGANIZATION" }), "").await;
    let (organization, owner) = (uuid(&team.id), uuid(&grace.user_id));
    for project in &projects {
        let project = uuid(project);
        app.database
            .sql(&format!(
                "INSERT INTO resources (id, organization_id, kind, name, folded_name, owner_id, owned_since, created_by_id, container_id, created_at, updated_at) \
                 SELECT gen_random_uuid(), '{organization}', 'document', 'Thing ' || n, 'thing ' || n, '{owner}', rollcall_now(), '{owner}', '{project}', \
                 rollcall_now(), rollcall_now() FROM generate_series(1, {contents}) n"
            ))
            .await;
    }
    let collection = uuid(&collection);
    app.database
        .sql(&format!(
            "INSERT INTO collection_items (organization_id, collection_id, resource_id, kind, added_at) \
             SELECT organization_id, '{collection}', id, kind, rollcall_now() FROM resources \
             WHERE organization_id = '{organization}' AND kind = 'source' LIMIT 200"
        ))
        .await;
    tidy(&app).await;
    app.until_idle().await;
    Plans::explain(&mut app).await;
    let plans = Plans::of(&app);
    let mut found = Vec::new();
    for (who, client) in [("owner", &team.owner), ("ada", &ada)] {
        for (filter, least) in [
            (json!({}), 50),
            (json!({ "kind": "DOCUMENT" }), 50),
            (json!({ "kind": "WORKSPACE" }), 0),
            (json!({ "owner": ada.user_id }), 50),
            (json!({ "owner": grace.user_id }), 50),
            (json!({ "owner": team.owner.user_id }), 50),
            (json!({ "owner": grace.user_id, "container": projects[0] }), 50),
            (json!({ "owner": ada.user_id, "container": projects[0] }), 0),
            (json!({ "search": "grace", "container": projects[0] }), 0),
            (json!({ "container": projects[0] }), 50),
            (json!({ "container": projects[0], "kind": "APP" }), 0),
            (json!({ "search": "thing" }), 50),
            (json!({ "search": "grace" }), 1),
            (json!({ "search": "nothing at all" }), 0),
            (json!({ "search": "gr" }), 1),
            (json!({ "search": "t" }), 50),
            (json!({ "search": "zq" }), 0),
        ] {
            let mut statements = Vec::new();
            let mut after = Value::Null;
            for page in ["first", "second", "far"] {
                let mut variables = json!({ "id": team.id, "first": 50, "after": after });
                variables.as_object_mut().unwrap().extend(filter.as_object().unwrap().clone());
                let (answer, plans) = plans.during(client.query(LIST, variables)).await;
                let list = &answer["organization"]["resources"];
                let what = format!("{page} page of {filter} as {who}");
                if page == "first" && nodes(list).len() < least {
                    found.push(format!("{what}: {} resources", nodes(list).len()));
                }
                // The check of an idle connection isn't the query's, nor the clock of a new one, nor when the session
                // was seen last.
                let others = ["SELECT 1", "SELECT rollcall_now()", "UPDATE \"sessions\""];
                let own =
                    plans.iter().filter(|(statement, _)| !others.iter().any(|other| statement.starts_with(other)));
                statements.push(own.count());
                for (_, plan) in plans.iter().filter(|(statement, _)| is_of_resources(statement)) {
                    let problems = too_much(plan, 6_000);
                    if !problems.is_empty() {
                        println!("{what}: {plan}");
                    }
                    found.extend(problems.into_iter().map(|problem| format!("{what}: {problem}")));
                }
                after = match page {
                    // Ids of these are random: so many lie before this one.
                    "second" => cursor("d0000000-0000-4000-8000-000000000000"),
                    _ => list["pageInfo"]["endCursor"].clone(),
                };
            }
            if statements.iter().any(|count| *count != statements[0]) {
                found.push(format!("{filter} as {who}: {statements:?} statements"));
            }
        }
        // Everything of everywhere; a hundred checks; what lies in a project, and what a collection gathers.
        let page = client.query(LIST, json!({ "id": team.id, "first": 100 })).await;
        let ids: Vec<Value> = nodes(&page["organization"]["resources"]).iter().map(|node| node["id"].clone()).collect();
        let collection = rollcall_domain::base::id::to_text(
            <rollcall_domain::base::id::ResourceId as rollcall_domain::base::id::TypedId>::from_uuid(collection),
        );
        for (what, query, variables) in [
            ("all", "query { viewer { resources(first: 50) { nodes { id } } } }", json!({})),
            ("kind", "query { viewer { resources(first: 50, kind: SAMPLE) { nodes { id } } } }", json!({})),
            (
                "checks",
                "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Resource { viewerAccess } } }",
                json!({ "ids": ids }),
            ),
            (
                "contents",
                "query($id: ID!) { node(id: $id) { ... on Resource { contents(first: 50) { nodes { id } } } } }",
                json!({ "id": projects[0] }),
            ),
            (
                "items",
                "query($id: ID!) { node(id: $id) { ... on Resource { items(first: 50) { nodes { id } } } } }",
                json!({ "id": collection }),
            ),
        ] {
            let (_, plans) = plans.during(client.query(query, variables)).await;
            for (_, plan) in plans.iter().filter(|(statement, _)| is_of_resources(statement)) {
                found.extend(too_much(plan, 6_000).into_iter().map(|problem| format!("{what} as {who}: {problem}")));
            }
        }
    }
    assert!(found.is_empty(), "{} problems:\n{}", found.len(), found.join("\n"));
    app.finish().await;
}

// R89: so does what services ask: a thousand checks, what somebody reaches at a level, and who reaches what all members
// see.
#[tokio::test]
async fn questions_about_access_read_no_more_than_a_page_needs() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let vera = app.join(&team, "vera@example.org", "VIEWER").await;
    let services = crate::platform_key::key(&app, &["ACCESS_CHECK", "READ"]).await;
    let total = resources();
    let (organization, owner) = (uuid(&team.id), uuid(&team.owner.user_id));
    fill(&app, &team, total).await;
    give(&app, &team, &ada, "sample", total / 10).await;
    // Everybody sees it; the organization may change it, as far as its members' permissions let them.
    let visible = ada.create(&team.id, "PROJECT", "Everybody's").await;
    ada.ok("updateResource", json!({ "id": visible, "visibility": "ORGANIZATION" }), "").await;
    ada.grant(&visible, json!({ "organizationId": team.id }), "CONTRIBUTE").await;
    let people = total / 2;
    app.database
        .sql(&format!(
            "CREATE TEMP TABLE people AS SELECT gen_random_uuid() AS id, n FROM generate_series(1, {people}) n; \
             INSERT INTO users (id, email, folded_email, username, name, folded_name, created_at) \
               SELECT id, 'person-' || n || '@example.org', 'person-' || n || '@example.org', 'person-' || n, \
                 'Person', 'person', rollcall_now() FROM people; \
             INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, \
                 joined_at, joined_via) \
               SELECT gen_random_uuid(), '{organization}', id, CASE WHEN n % 5 = 2 THEN 'viewer' ELSE 'member' END, \
                 CASE WHEN n % 5 = 3 THEN 'left' ELSE 'active' END, true, true, CASE WHEN n % 1000 = 1 THEN 'administer' ELSE 'view' END, \
                 rollcall_now(), 'join_code' FROM people"
        ))
        .await;
    tidy(&app).await;
    for table in ["users", "members"] {
        app.database.sql(&format!("VACUUM ANALYZE {table}")).await;
    }
    app.until_idle().await;
    Plans::explain(&mut app).await;
    let plans = Plans::of(&app);
    let mut found = Vec::new();
    let reachable = "query($user: ID!, $atLeast: AccessLevel, $kind: ResourceKind, $after: String) { \
         list: reachable(user: { id: $user }, atLeast: $atLeast, kind: $kind, first: 50, after: $after) { \
         edges { level node { id } } pageInfo { hasNextPage endCursor } } }";
    let audience = "query($id: ID!, $atLeast: AccessLevel, $after: String) { \
         list: audience(resource: { id: $id }, atLeast: $atLeast, first: 50, after: $after) { \
         edges { level node { id } reasons { kind } } pageInfo { hasNextPage endCursor } } }";
    let reach = |person: &Client, at_least: &str, kind: Option<&str>| {
        (reachable, json!({ "user": person.user_id, "atLeast": at_least, "kind": kind }))
    };
    let of = |at_least: &str| (audience, json!({ "id": visible, "atLeast": at_least }));
    for ((query, asked), least) in [
        (reach(&team.owner, "VIEW", None), 50),
        (reach(&team.owner, "ADMINISTER", Some("DOCUMENT")), 50),
        (reach(&ada, "VIEW", None), 50),
        (reach(&ada, "CONTRIBUTE", None), 50),
        (reach(&ada, "ADMINISTER", Some("VOLUME")), 0),
        // They see thousands, and change none.
        (reach(&vera, "VIEW", None), 50),
        (reach(&vera, "CONTRIBUTE", None), 0),
        (of("VIEW"), 50),
        (of("CONTRIBUTE"), 50),
        (of("ADMINISTER"), 2),
    ] {
        let mut after = Value::Null;
        for page in ["first", "second", "far"] {
            let mut variables = asked.clone();
            variables["after"] = after;
            let (answer, plans) = plans.during(services.query(query, variables)).await;
            let list = &answer["list"];
            let what = format!("{page} page of {asked}");
            let edges = list["edges"].as_array().unwrap().len();
            if page == "first" && edges != least {
                found.push(format!("{what}: {edges} items"));
            }
            let own = plans.iter().filter(|(statement, _)| statement.contains("access_rank"));
            if own.clone().count() != 1 {
                found.push(format!("{what}: {} statements", own.count()));
            }
            for (_, plan) in plans.iter().filter(|(statement, _)| is_of_resources(statement)) {
                let problems = too_much(plan, 10_000);
                if !problems.is_empty() {
                    println!("{what}: {plan}");
                }
                found.extend(problems.into_iter().map(|problem| format!("{what}: {problem}")));
            }
            after = match (page, query == audience) {
                ("second", false) => cursor("d0000000-0000-4000-8000-000000000000"),
                ("second", true) => place("d0000000-0000-4000-8000-000000000000"),
                _ => list["pageInfo"]["endCursor"].clone(),
            };
        }
    }
    // A thousand checks of people and resources here and there.
    let pairs = format!(
        "SELECT m.user_id || ' ' || r.id AS value FROM \
         (SELECT user_id, row_number() OVER () AS n FROM members WHERE organization_id = '{organization}' LIMIT 1000) m \
         JOIN (SELECT id, row_number() OVER () AS n FROM resources WHERE owner_id = '{owner}' LIMIT 1000) r USING (n)"
    );
    let ids = |pair: &String| {
        use rollcall_domain::base::id::{ResourceId, TypedId, UserId, to_text};
        let (user, resource) = pair.split_once(' ').unwrap();
        let (user, resource) =
            (UserId::from_uuid(user.parse().unwrap()), ResourceId::from_uuid(resource.parse().unwrap()));
        json!({ "user": { "id": to_text(user) }, "resource": { "id": to_text(resource) } })
    };
    let checks: Vec<Value> = app.database.texts(&pairs).await.iter().map(ids).collect();
    assert_eq!(checks.len(), 1_000);
    for fields in ["level", "level reasons { kind }"] {
        let query = format!("query($checks: [AccessCheckInput!]!) {{ checkAccess(checks: $checks) {{ {fields} }} }}");
        services.query(&query, json!({ "checks": checks })).await;
        let (_, plans) = plans.during(services.query(&query, json!({ "checks": checks }))).await;
        let own: Vec<_> = plans.iter().filter(|(statement, _)| statement.contains("access_rank")).collect();
        assert_eq!(own.len(), 1, "{fields}");
        println!("1,000 checks of {fields}: {} ms", own[0].1["Actual Total Time"]);
        found.extend(too_much(&own[0].1, 20_000).into_iter().map(|problem| format!("checks of {fields}: {problem}")));
    }
    assert!(found.is_empty(), "{} problems:\n{}", found.len(), found.join("\n"));
    // They were no whole accounts.
    app.database
        .sql(
            "SET session_replication_role = replica; \
             DELETE FROM members WHERE user_id IN (SELECT id FROM users WHERE username LIKE 'person-%'); \
             DELETE FROM users WHERE username LIKE 'person-%'",
        )
        .await;
    app.start_worker();
    app.finish().await;
}

/// The cursor of a place among the members who reach something, whether or not there is such a member.
fn place(id: &str) -> Value {
    use base64::Engine;
    json!(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("[false,\"{id}\"]")))
}

/// The cursor of an id, whether or not there is such a resource.
fn cursor(id: &str) -> Value {
    use base64::Engine;
    json!(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("\"{id}\"")))
}

// R23, R26, R64: what is asked under an organization's lock, and lists of what has ended, read no more than what is
// open or a page needs: not the accounts of the whole deployment, nor everybody who was ever invited.
#[tokio::test]
async fn what_is_open_is_found_without_reading_what_is_not() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let person = app.sign_up("grace@example.org").await;
    app.sign_up("ada@example.org").await;
    let code = team.code("MEMBER").await;
    let (organization, owner) = (uuid(&team.id), uuid(&team.owner.user_id));
    let open = 5_000;
    app.database
        .sql(&format!(
            "INSERT INTO users (id, email, folded_email, username, name, folded_name, created_at, deleted_at) \
             SELECT gen_random_uuid(), CASE WHEN n % 2 = 0 THEN 'user' || n || '@example.org' END, \
             CASE WHEN n % 2 = 0 THEN 'user' || n || '@example.org' END, 'user-' || n, 'User', 'user', rollcall_now(), \
             CASE WHEN n % 2 = 1 THEN rollcall_now() END FROM generate_series(1, 60000) n; \
             INSERT INTO invitations (id, organization_id, email, role, billable_activities, shared_apps, shared_projects, invited_by_id, status, \
               created_at, sent_at, expires_at) \
             SELECT gen_random_uuid(), '{organization}', 'p' || n || '@example.org', 'member', false, false, 'view', '{owner}', \
               CASE WHEN n <= {open} THEN 'pending' WHEN n % 10000 = 0 THEN 'revoked' WHEN n % 10000 = 1 THEN 'expired' ELSE 'declined' END, \
               rollcall_now(), rollcall_now(), rollcall_now() + interval '3 days' FROM generate_series(1, 60000) n; \
             INSERT INTO invitations (id, organization_id, user_id, role, billable_activities, shared_apps, shared_projects, invited_by_id, \
               created_at, sent_at, expires_at) \
             SELECT gen_random_uuid(), '{organization}', id, 'member', false, false, 'view', '{owner}', \
               rollcall_now(), rollcall_now(), rollcall_now() + interval '3 days' FROM users WHERE email LIKE 'user%' LIMIT 1000; \
             INSERT INTO join_codes (id, organization_id, digest, role, status, hint, created_by_id, created_at, expires_at) \
             SELECT gen_random_uuid(), '{organization}', sha256(n::text::bytea), 'member', \
               CASE WHEN n <= 1000 THEN 'active' WHEN n % 10000 = 0 THEN 'revoked' WHEN n % 10000 = 1 THEN 'expired' ELSE 'used' END, '12', '{owner}', \
               rollcall_now(), rollcall_now() + interval '3 days' FROM generate_series(1, 60000) n"
        ))
        .await;
    for table in ["users", "invitations", "join_codes", "members"] {
        app.database.sql(&format!("VACUUM ANALYZE {table}")).await;
    }
    app.until_idle().await;
    let seats = json!({ "organizationId": team.id, "plan": "Large", "seatLimit": 100_000 });
    app.staff().ok("setPlan", seats, "organization { id }").await;
    Plans::explain(&mut app).await;
    let plans = Plans::of(&app);
    let list = |list: &str, status: &str| {
        format!(
            "query($id: ID!) {{ organization(by: {{ id: $id }}) {{ {list}(status: {status}, first: 50) {{ totalCount nodes {{ status }} }} }} }}"
        )
    };
    let mut found = Vec::new();
    for (of, status, total) in [
        ("invitations", "REVOKED", 6),
        ("invitations", "EXPIRED", 5),
        ("joinCodes", "REVOKED", 6),
        ("joinCodes", "EXPIRED", 5),
    ] {
        let query = list(of, status);
        let (seen, seen_plans) = plans.during(team.owner.query(&query, json!({ "id": team.id }))).await;
        let seen = &seen["organization"][of];
        assert_eq!((seen["totalCount"].as_i64().unwrap(), nodes(seen).len() as i64), (total, total), "{of} {status}");
        assert!(nodes(seen).iter().all(|one| one["status"] == status), "{seen}");
        let looked = seen_plans
            .iter()
            .filter(|(statement, _)| statement.contains("invitations") || statement.contains("join_codes"));
        found.extend(
            looked.flat_map(|(_, plan)| too_much(plan, 2 * open)).map(|problem| format!("{of} {status}: {problem}")),
        );
    }
    let invite =
        json!({ "organizationId": team.id, "invitations": [{ "email": "new@example.org" }, { "username": "ada" }] });
    let (_, invited) = plans.during(team.owner.ok("inviteMembers", invite, "")).await;
    let (_, joined) = plans.during(person.ok("redeemJoinCode", json!({ "code": code }), "")).await;
    for (statement, plan) in invited.iter().chain(&joined) {
        found.extend(too_much(plan, 2 * open).into_iter().map(|problem| format!("{problem} in {statement}")));
    }
    assert!(invited.iter().any(|(statement, _)| statement.contains("count(DISTINCT")), "seats are counted");
    assert!(found.is_empty(), "{found:#?}");
    // They were no whole accounts. Nothing refers to them any more, which nobody needs to look for.
    app.database
        .sql(
            "SET session_replication_role = replica; \
             DELETE FROM invitations WHERE user_id IN (SELECT id FROM users WHERE username LIKE 'user-%'); \
             DELETE FROM users WHERE username LIKE 'user-%'",
        )
        .await;
    app.start_worker();
    app.finish().await;
}

/// How long requests take while something else goes on, in milliseconds: people who read and write, with a pause after
/// each.
async fn latencies(people: &[Client], team: &Team, ids: &[String], until: impl AsyncFn() -> bool) -> Vec<f64> {
    let done = std::sync::atomic::AtomicBool::new(false);
    let work = people.iter().enumerate().map(async |(number, person)| {
        let random = &mut StdRng::seed_from_u64(number as u64);
        let mut times = Vec::new();
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let id = &ids[random.random_range(0..ids.len())];
            let start = Instant::now();
            match random.random_range(0..5) {
                0 => drop(person.query("{ viewer { email memberships { nodes { role organization { name } } } } }", json!({})).await),
                1 => drop(person.query(LIST, json!({ "id": team.id, "first": 50 })).await),
                2 => drop(person.query("query($id: ID!) { node(id: $id) { ... on Resource { name viewerAccess owner { name } } } }", json!({ "id": id })).await),
                3 => drop(person.create(&team.id, "DOCUMENT", "Notes").await),
                _ => drop(person.mutate("updateResource", json!({ "id": id, "name": "Notes" }), "").await),
            }
            times.push(start.elapsed().as_secs_f64() * 1_000.0);
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        times
    });
    let watch = async {
        while !until().await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (times, ()) = futures_util::future::join(join_all(work), watch).await;
    let mut times = times.concat();
    times.sort_by(f64::total_cmp);
    times
}

fn percentile(times: &[f64], part: f64) -> f64 {
    times[((times.len() - 1) as f64 * part) as usize]
}

fn report(what: &str, times: &[f64]) {
    println!(
        "{what:<34}{:>8} requests, p50 {:>7.1} ms, p99 {:>7.1} ms, longest {:>7.1} ms",
        times.len(),
        percentile(times, 0.5),
        percentile(times, 0.99),
        times[times.len() - 1]
    );
}

// R34: a chunk of a cascade reads and sorts no more than it moves, however much is left.
#[tokio::test]
async fn a_chunk_of_a_cascade_reads_no_more_than_it_moves() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    for kind in ["document", "volume"] {
        give(&app, &team, &ada, kind, 12_000).await;
    }
    tidy(&app).await;
    Plans::explain(&mut app).await;
    let departure = team.remove(&ada).await;
    app.start_worker();
    let (_, plans) = Plans::of(&app).during(app.completed(&team, &departure)).await;
    let chunks: Vec<_> = plans.iter().filter(|(statement, _)| statement.contains("WITH chunk AS")).collect();
    assert!(chunks.len() >= 24, "{}", chunks.len());
    for (statement, plan) in chunks {
        let problems = too_much(plan, 5_000);
        assert!(problems.is_empty(), "{problems:?}: {statement}");
    }
    app.finish().await;
}

/// `make bench-size`: what a cascade of a fifth of an organization does to it, against a plain UPDATE, and killed at
/// random.
#[tokio::test]
#[ignore = "a measurement"]
async fn bench_size() {
    let total = std::env::var("ROLLCALL_TEST_RESOURCES").map_or(5_000_000, |count| count.parse::<usize>().unwrap());
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let leaver = app.join(&team, "leaver@example.org", "MEMBER").await;
    let mut people = Vec::new();
    for n in 0..8 {
        people.push(app.join(&team, &format!("person{n}@example.org"), "MEMBER").await);
    }
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(people[n % 8].create(&team.id, "DOCUMENT", "Notes").await);
    }
    let start = Instant::now();
    fill(&app, &team, total / 5 * 4).await;
    let kinds = [("project", 10), ("volume", 30), ("document", 30), ("machine", 10), ("sample", 20)];
    for (kind, part) in kinds {
        give(&app, &team, &leaver, kind, total / 5 * part / 100).await;
    }
    tidy(&app).await;
    println!("{total} resources made in {:.0} s", start.elapsed().as_secs_f64());
    let (organization, leaver_id, owner_id) = (uuid(&team.id), uuid(&leaver.user_id), uuid(&team.owner.user_id));
    let owned = app.owned(&team, &leaver).await;
    let seconds = |seconds: u64| {
        let start = Instant::now();
        async move || start.elapsed() > Duration::from_secs(seconds)
    };
    drop(latencies(&people, &team, &ids, seconds(10)).await);
    let before = latencies(&people, &team, &ids, seconds(40)).await;
    report("without the cascade", &before);

    // The same rows by plain statements beside the same people, taken back again.
    let nowhere = uuid(&team.owner.create(&team.id, "PROJECT", "Samples").await);
    let statements = format!(
        "BEGIN; UPDATE resources SET owner_id = '{owner_id}', owned_since = rollcall_now() WHERE organization_id = '{organization}' \
         AND owner_id = '{leaver_id}' AND kind <> 'sample'; \
         UPDATE resources SET container_id = '{nowhere}' WHERE organization_id = '{organization}' AND owner_id = '{leaver_id}' \
         AND kind = 'sample'; ROLLBACK"
    );
    let updated = std::cell::Cell::new(None);
    let update = async {
        let start = Instant::now();
        app.database.sql(&statements).await;
        updated.set(Some(start.elapsed().as_secs_f64()));
    };
    let ((), beside) =
        futures_util::future::join(update, latencies(&people, &team, &ids, async || updated.get().is_some())).await;
    let plain = updated.get().unwrap();
    report("during the plain UPDATEs", &beside);
    tidy(&app).await;

    let memory = std::cell::RefCell::new(vec![app.worker_mib()]);
    let start = Instant::now();
    let departure = team.remove(&leaver).await;
    let completed = async || {
        memory.borrow_mut().push(app.worker_mib());
        team.departure(&departure).await["status"] == "COMPLETED"
    };
    let during = latencies(&people, &team, &ids, completed).await;
    let duration = start.elapsed().as_secs_f64();
    report("during the cascade", &during);
    println!("p99 during / without: {:.2}", percentile(&during, 0.99) / percentile(&before, 0.99));
    let memory = memory.into_inner();
    let largest = memory.iter().copied().fold(0.0, f64::max);
    println!("the worker's memory: {:.0} MiB before, {largest:.0} MiB at most", memory[0]);
    println!("{owned} resources: cascade {duration:.1} s, plain UPDATE {plain:.1} s, ratio {:.2}", duration / plain);
    let moves = app.database.number("SELECT count(DISTINCT resource_id) AS value FROM resource_moves").await;
    assert_eq!(moves, owned);

    // And back again.
    let start = Instant::now();
    team.owner.ok("revertDeparture", json!({ "departureId": departure }), "departure { id }").await;
    while team.departure(&departure).await["status"] != "REVERTED" {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("reverted in {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(app.owned(&team, &leaver).await, owned);
    tidy(&app).await;

    // Once more, killed at random.
    let start = Instant::now();
    let departure = team.remove(&leaver).await;
    let random = &mut StdRng::seed_from_u64(7);
    let mut kills = 0;
    while team.departure(&departure).await["status"] != "COMPLETED" {
        tokio::time::sleep(Duration::from_millis(random.random_range(1_000..8_000))).await;
        if kills < 8 && team.departure(&departure).await["status"] != "COMPLETED" {
            app.kill_worker();
            app.start_worker();
            kills += 1;
        }
    }
    let of_departure = format!("FROM resource_moves WHERE departure_id = '{}'", uuid(&departure));
    let moves = app.database.number(&format!("SELECT count(*) AS value {of_departure}")).await;
    let distinct = app.database.number(&format!("SELECT count(DISTINCT resource_id) AS value {of_departure}")).await;
    assert_eq!((moves, distinct), (owned, owned));
    let duration = start.elapsed().as_secs_f64();
    println!("killed {kills} times and resumed: each of {moves} resources moved once, in {duration:.1} s");
    app.finish().await;
}
