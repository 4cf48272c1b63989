//! The list of members at 100,000: as many statements and rows for any page of it, by indexes.

use std::time::Instant;

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::plans::{Plans, problems};
use crate::support::{Client, Team, TestApp, Value, json};

/// Members of the organization.
const MEMBERS: usize = 100_000;
/// Items of a page here.
const PAGE: usize = 50;

const QUERY: &str = "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String, $role: Role, $status: MemberStatus, $search: String, $order: MemberOrder) { \
     organization(by: { id: $id }) { members(first: $first, after: $after, last: $last, before: $before, role: $role, status: $status, search: $search, orderBy: $order) { \
     totalCount nodes { id } edges { cursor } pageInfo { hasNextPage hasPreviousPage } } } }";

const ORDERS: [&str; 3] = ["NAME", "JOINED_AT", "ROLE"];

/// Fills the organization: a fifth has gone, one in a hundred is an admin, a fifth are viewers, and one in 5,000 is
/// called Grace.
async fn fill(app: &TestApp, team: &Team) {
    let organization = uuid(&team.id);
    app.database
        .sql(&format!(
            "CREATE TEMP TABLE people AS SELECT gen_random_uuid() AS id, n, \
                 CASE WHEN n % 5000 = 0 THEN 'Grace ' ELSE 'Person ' END || md5(n::text) AS name FROM generate_series(1, {MEMBERS}) n; \
             INSERT INTO users (id, email, folded_email, username, name, folded_name, created_at) \
               SELECT id, 'person-' || n || '@example.org', 'person-' || n || '@example.org', 'person-' || n, \
                 name, lower(name), rollcall_now() FROM people; \
             INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, \
                 joined_at, joined_via) \
               SELECT gen_random_uuid(), '{organization}', id, \
                 CASE WHEN n % 100 = 1 THEN 'admin' WHEN n % 5 = 2 THEN 'viewer' ELSE 'member' END, \
                 CASE n % 5 WHEN 3 THEN (ARRAY['left', 'removed', 'deactivated'])[1 + n % 3] ELSE 'active' END, \
                 true, true, 'contribute', rollcall_now() - make_interval(secs => n), 'join_code' FROM people; \
             ANALYZE users, members"
        ))
        .await;
}

/// Asks for a page.
async fn ask(client: &Client, team: &Team, page: &Value) -> Value {
    let mut variables = json!({ "id": team.id, "status": "ACTIVE" });
    variables.as_object_mut().unwrap().extend(page.as_object().unwrap().clone());
    client.query(QUERY, variables).await["organization"]["members"].clone()
}

fn with(mut page: Value, more: &Value) -> Value {
    page.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    page
}

/// The first, a middle and the last page in an order, forward and backward.
async fn pages(team: &Team, order: &str) -> Vec<(&'static str, Value)> {
    // A cursor is of a member and an order, whatever led to it.
    let middle = with(json!({ "order": order }), &json!({ "search": "person-50004" }));
    let found = ask(&team.owner, team, &middle).await;
    let cursor = found["edges"][0]["cursor"].clone();
    vec![
        ("first", json!({ "order": order, "first": PAGE })),
        ("middle", json!({ "order": order, "first": PAGE, "after": cursor })),
        ("middle, backward", json!({ "order": order, "last": PAGE, "before": cursor })),
        ("last", json!({ "order": order, "last": PAGE })),
    ]
}

fn is_list(statement: &str) -> bool {
    statement.contains("FROM members m") && statement.contains("LIMIT")
}

// R15: at 100,000 members every page in every order, with whatever filter, takes the same statements and reads no more
// than a page of each status and role, by the index of the order; nothing sorts more.
#[tokio::test]
async fn every_page_of_a_long_list_costs_the_same() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    fill(&app, &team).await;
    Plans::explain(&mut app).await;
    let plans = Plans::of(&app);
    let total = format!("SELECT count(*) AS value FROM members WHERE organization_id = '{}'", uuid(&team.id));
    let mut found = Vec::new();
    for directory in ["LEADERSHIP", "EVERYONE"] {
        let policy = json!({ "organizationId": team.id, "memberDirectory": directory });
        team.owner.ok("updateOrganizationPolicy", policy, "").await;
        for order in ORDERS {
            let index = match order {
                "NAME" => "members_by_name_idx",
                "JOINED_AT" => "members_by_joined_at_idx",
                _ => "members_by_role_idx",
            };
            for (who, client, filter, counted, ranges) in [
                ("owner", &team.owner, json!({}), "status = 'active'", 4),
                ("owner", &team.owner, json!({ "role": "ADMIN" }), "status = 'active' AND role = 'admin'", 1),
                ("owner", &team.owner, json!({ "status": null }), "true", 16),
                (
                    "owner",
                    &team.owner,
                    json!({ "status": "LEFT", "role": "VIEWER" }),
                    "status = 'left' AND role = 'viewer'",
                    1,
                ),
                (
                    "member",
                    &member,
                    json!({}),
                    match directory {
                        "EVERYONE" => "status = 'active'",
                        // The owner, the admins, and themselves.
                        _ => "status = 'active' AND (role IN ('owner', 'admin') OR sort_name = 'member')",
                    },
                    5,
                ),
            ] {
                if who == "owner" && directory == "EVERYONE" {
                    continue;
                }
                let total = app.database.number(&format!("{total} AND {counted}")).await;
                let mut statements = Vec::new();
                for (what, page) in pages(&team, order).await {
                    let page = with(page, &filter);
                    let (answer, plans) = plans.during(ask(client, &team, &page)).await;
                    let of = format!("{directory} {order} {what} {filter} as {who}");
                    if answer["totalCount"] != total {
                        found.push(format!("{of}: totalCount is {}, not {total}", answer["totalCount"]));
                    }
                    statements.push(plans.len());
                    let lists: Vec<_> = plans.iter().filter(|(statement, _)| is_list(statement)).collect();
                    assert_eq!(lists.len(), 1, "{of}: {plans:?}");
                    let indexes = [index, "members_pkey", "members_id_organization_id_key"];
                    let wrong = problems(&lists[0].1, ranges * (PAGE + 1) + 1, &indexes);
                    found.extend(wrong.into_iter().map(|problem| format!("{of}: {problem}")));
                }
                if statements.iter().any(|count| *count != statements[0]) {
                    found.push(format!("{directory} {order} {filter}: {statements:?} statements"));
                }
            }
        }
    }
    // Some of it would otherwise not be tested.
    let admins = ask(&team.owner, &team, &json!({ "role": "ADMIN", "first": PAGE })).await;
    assert_eq!((nodes(&admins).len(), &admins["pageInfo"]["hasNextPage"]), (PAGE, &json!(true)));
    assert!(found.is_empty(), "{} problems:\n{}", found.len(), found.join("\n"));
    // The list was made by SQL, and so nobody on it has departed.
    app.database.sql("DELETE FROM members WHERE status <> 'active'").await;
    app.finish().await;
}

// R15: what stands in names, or for leaders in addresses, is found by trigrams.
#[tokio::test]
async fn a_long_list_is_searched_by_trigrams() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    let policy = json!({ "organizationId": team.id, "memberDirectory": "EVERYONE" });
    team.owner.ok("updateOrganizationPolicy", policy, "").await;
    fill(&app, &team).await;
    Plans::explain(&mut app).await;
    let plans = Plans::of(&app);
    let mut found = Vec::new();
    for (client, search, total) in [
        (&team.owner, "grace", 20),
        (&team.owner, "PERSON-50004@", 1),
        (&member, "GRACE", 20),
        (&member, "person-50004", 1),
        (&member, "person-50004@", 0),
        (&team.owner, "nobody at all", 0),
        (&team.owner, "100%", 0),
    ] {
        for order in ORDERS {
            let page = json!({ "order": order, "first": PAGE, "search": search });
            let (answer, plans) = plans.during(ask(client, &team, &page)).await;
            if answer["totalCount"] != total || nodes(&answer).len() != total {
                found.push(format!("{search} {order}: {} of {}", nodes(&answer).len(), answer["totalCount"]));
            }
            for (_, plan) in plans.iter().filter(|(statement, _)| statement.contains("FROM members m")) {
                // Each status and role looks among all that match.
                let wrong = problems(plan, 4 * 20 + 100, &["members_search_idx", "members_pkey"]);
                found.extend(wrong.into_iter().map(|problem| format!("{search} {order}: {problem}")));
            }
        }
    }
    // Two letters have no trigram: a page of what many have is found on the way along the order.
    for order in ORDERS {
        let page = json!({ "order": order, "first": PAGE, "search": "ON" });
        let (answer, plans) = plans.during(ask(&team.owner, &team, &page)).await;
        assert_eq!((nodes(&answer).len(), &answer["totalCount"]), (PAGE, &json!(80_000)), "{order}");
        let list = plans.iter().find(|(statement, _)| is_list(statement)).unwrap();
        let indexes = ["members_by_name_idx", "members_by_joined_at_idx", "members_by_role_idx", "members_pkey"];
        let wrong = problems(&list.1, 5 * (PAGE + 1), &indexes);
        found.extend(wrong.into_iter().map(|problem| format!("two letters, {order}: {problem}")));
    }
    assert!(found.is_empty(), "{} problems:\n{}", found.len(), found.join("\n"));
    // The list was made by SQL, and so nobody on it has departed.
    app.database.sql("DELETE FROM members WHERE status <> 'active'").await;
    app.finish().await;
}

// R15: the order follows a name that changes, whoever changes it.
#[tokio::test]
async fn a_new_name_has_its_new_place() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let people = app.sign_up_many(3).await;
    for (person, name) in people.iter().zip(["Ada", "grace", "Hedy"]) {
        person.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id }").await;
        person.ok("updateProfile", json!({ "name": name }), "").await;
    }
    team.owner.ok("updateProfile", json!({ "name": "Zoe" }), "").await;
    let names = async |extra: Value| {
        let query = "query($id: ID!, $search: String) { organization(by: { id: $id }) { members(search: $search) { nodes { user { name } } } } }";
        let found = team.owner.query(query, with(json!({ "id": team.id }), &extra)).await;
        nodes(&found["organization"]["members"]).iter().map(|member| text(&member["user"]["name"])).collect::<Vec<_>>()
    };
    assert_eq!(names(json!({})).await, ["Ada", "grace", "Hedy", "Zoe"]);
    people[0].ok("updateProfile", json!({ "name": "Ida", "username": "countess" }), "").await;
    app.database.sql("UPDATE users SET name = 'edda', folded_name = 'edda' WHERE name = 'Hedy'").await;
    assert_eq!(names(json!({})).await, ["edda", "grace", "Ida", "Zoe"]);
    assert_eq!(names(json!({ "search": "COUNT" })).await, ["Ida"]);
    assert_eq!(names(json!({ "search": "EDDA" })).await, ["edda"]);
    assert!(names(json!({ "search": "hedy" })).await.is_empty());
    // A cursor belongs to its order.
    let page = ask(&team.owner, &team, &json!({ "first": 1 })).await;
    let mut variables = json!({ "id": team.id, "order": "ROLE", "after": page["edges"][0]["cursor"] });
    assert_eq!(team.owner.run(QUERY, variables.clone()).await.error_code(), "BAD_REQUEST");
    variables["order"] = json!("NAME");
    team.owner.query(QUERY, variables).await;
    app.finish().await;
}

/// The median times of asking so often, in milliseconds; in turns, so that what else the machine does meets all alike.
async fn medians(client: &Client, query: &str, asked: &[Value]) -> Vec<f64> {
    let mut times = vec![Vec::new(); asked.len()];
    for _ in 0..ROUNDS {
        for (variables, times) in asked.iter().zip(&mut times) {
            let start = Instant::now();
            client.query(query, variables.clone()).await;
            times.push(start.elapsed());
        }
    }
    let median = |mut times: Vec<std::time::Duration>| {
        times.sort();
        times[ROUNDS / 2].as_secs_f64() * 1_000.0
    };
    times.into_iter().map(median).collect()
}

/// How often a page is asked for.
const ROUNDS: usize = 51;

/// `make bench-members`: what the first, a middle and the last page take at 100,000 members.
#[tokio::test]
#[ignore = "a measurement"]
async fn bench_members() {
    let app = TestApp::start().await;
    let team = app.team().await;
    fill(&app, &team).await;
    // Without the count, which reads them all.
    let page_only = QUERY.replace("totalCount ", "");
    let variables = |page: &Value| with(json!({ "id": team.id, "status": "ACTIVE" }), page);
    println!("a page of {PAGE} of {MEMBERS} members, median of {ROUNDS}, in ms");
    println!("{:<12}{:>10}{:>10}{:>10}{:>14}", "order", "first", "middle", "last", "last/first");
    for order in ORDERS {
        let pages = pages(&team, order).await.into_iter().filter(|(what, _)| !what.contains("backward"));
        let asked: Vec<Value> = pages.map(|(_, page)| variables(&page)).collect();
        let [first, middle, last] = medians(&team.owner, &page_only, &asked).await[..] else { panic!("three pages") };
        println!("{order:<12}{first:>10.1}{middle:>10.1}{last:>10.1}{:>14.2}", last / first);
    }
    let first = json!({ "first": PAGE });
    println!("with totalCount               {:>12.1}", medians(&team.owner, QUERY, &[variables(&first)]).await[0]);
    for search in ["grace", "on", "qq"] {
        let page = variables(&with(first.clone(), &json!({ "search": search })));
        println!("search for {search:<19}{:>12.1}", medians(&team.owner, &page_only, &[page]).await[0]);
    }
    app.finish().await;
}
