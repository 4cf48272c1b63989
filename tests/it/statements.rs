//! How many statements queries take: as many for a hundred items as for one.

use std::time::Duration;

use crate::support::client::text;
use crate::support::people::uuid;
use crate::support::{Client, Team, TestApp, json};

const QUERIES: &[(&str, &str)] = &[
    (
        "viewer",
        "query($id: ID!) { viewer { email memberships { nodes { role organization { name billing { seatsUsed } owner { name } leadership { user { name } } viewerMembership { role } } } } } node(id: $id) { id } }",
    ),
    (
        "members",
        "query($id: ID!) { organization(by: { id: $id }) { members(first: 100) { totalCount nodes { role user { name } organization { name } viewerCan machines { nodes { name } } teams { totalCount nodes { name } } } } } }",
    ),
    (
        "invitations",
        "query($id: ID!) { organization(by: { id: $id }) { invitations(first: 100) { totalCount nodes { email invitedBy { name } organization { name } teams { name } grants { level resource { name } } } } } }",
    ),
    (
        "teams",
        "query($id: ID!) { organization(by: { id: $id }) { teams(first: 100) { totalCount nodes { name organization { name } members(first: 5) { totalCount nodes { user { name } member { role } } } } } } }",
    ),
    (
        "collaborators",
        "query($id: ID!) { organization(by: { id: $id }) { collaborators(first: 100) { totalCount nodes { since user { name } grantedBy { name } organization { name } teams { totalCount nodes { name } } grants(first: 5) { totalCount nodes { level resource { name } } } } } } }",
    ),
    (
        "codes",
        "query($id: ID!) { organization(by: { id: $id }) { joinCodes(first: 100) { totalCount nodes { hint createdBy { name } usedBy { name } } } } }",
    ),
    (
        "resources",
        "query($id: ID!) { organization(by: { id: $id }) { resources(first: 100) { nodes { name owner { name } createdBy { name } organization { name } viewerAccess grants(first: 5) { totalCount nodes { level resource { name } grantee { ... on User { name } ... on Team { name } ... on Organization { name } } } } grantInvitations(first: 5) { totalCount nodes { email } } shareLinks(first: 5) { totalCount nodes { hint createdBy { name } } } } } } }",
    ),
    (
        "audit log",
        "query($id: ID!) { organization(by: { id: $id }) { auditLog(first: 100) { nodes { action actor { name } target { id } } } } }",
    ),
    (
        "departures",
        "query($id: ID!) { organization(by: { id: $id }) { departures(first: 100) { totalCount nodes { member { user { name } } newOwner { name } startedBy { name } steps { step done } moves(first: 5) { nodes { resourceName resource { name } to { name } } } } } } }",
    ),
];

/// The lines that PostgreSQL has logged about the test's database so far.
fn logged(app: &TestApp) -> Vec<String> {
    let log = std::fs::read(app.database.log()).unwrap();
    let database = format!("] {} LOG:  ", app.database.name);
    String::from_utf8_lossy(&log).lines().filter(|line| line.contains(&database)).map(str::to_owned).collect()
}

/// How often PostgreSQL has planned a statement so far, with `log_planner_stats`.
fn plannings(app: &TestApp) -> usize {
    logged(app).iter().filter(|line| line.contains("PLANNER STATISTICS")).count()
}

/// How many statements PostgreSQL has logged so far.
pub fn statements(app: &TestApp) -> usize {
    // Statements of a transaction's frame, what a new connection begins with, the check of an idle one, and what wakes
    // the workers aren't the query's.
    let counted = |line: &&String| {
        (line.contains("execute ") || line.contains("LOG:  statement:"))
            && !line.ends_with("SELECT 1")
            && !line.contains("statement: SET lock_timeout")
            && !line.ends_with("SELECT rollcall_now()")
            && !line.contains("NOTIFY ")
    };
    logged(app).iter().filter(counted).count()
}

impl TestApp {
    /// Has PostgreSQL log more from now on, by a setting. No worker runs until one is started.
    pub async fn log_more(&mut self, setting: &str) {
        self.stop_workers().await;
        self.stop_api().await;
        self.database.sql(&format!("ALTER DATABASE {} SET {setting}", self.database.name)).await;
        self.start_api().await;
    }

    /// Has PostgreSQL log every statement from now on.
    pub async fn log_statements(&mut self) {
        self.log_more("log_statement = 'all'").await;
        self.start_worker();
    }

    /// The statements of each of the database's connections that PostgreSQL has logged, each in one line.
    pub async fn statements_by_connection(&self) -> Vec<Vec<String>> {
        let backends = format!(
            "SELECT pid::text AS value FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.database.name
        );
        let backends: Vec<String> =
            self.database.texts(&backends).await.iter().map(|pid| format!(" [{pid}] ")).collect();
        let log = std::fs::read(self.database.log()).unwrap();
        let log = String::from_utf8_lossy(&log).into_owned();
        let mut statements: Vec<Vec<String>> = vec![Vec::new(); backends.len()];
        let mut lines = log.lines().peekable();
        while let Some(line) = lines.next() {
            let mut logged = line.to_owned();
            while let Some(more) = lines.next_if(|line| line.starts_with('\t')) {
                logged = logged + " " + more.trim();
            }
            let Some(backend) = backends.iter().position(|pid| logged.contains(pid)) else { continue };
            let Some((_, logged)) = logged.split_once("LOG:  ") else { continue };
            let executed = logged.strip_prefix("execute ").and_then(|rest| rest.split_once(':')).map(|(_, text)| text);
            if let Some(statement) = logged.strip_prefix("statement:").or(executed) {
                statements[backend].push(statement.trim().to_owned());
            }
        }
        statements
    }
}

/// A query's name, how many items it gives, and how many statements it takes.
type Count = (&'static str, usize, usize);

async fn counts(app: &TestApp, owner: &Client, team: &Team) -> Vec<Count> {
    let mut counts = Vec::new();
    for (name, query) in QUERIES {
        let mut least = usize::MAX;
        let mut items = 0;
        // Loaders gather what comes within a moment: on a busy machine that is less at a time, so the least counts.
        for _ in 0..5 {
            let before = statements(app);
            let data = owner.query(query, json!({ "id": team.id })).await;
            least = least.min(statements(app) - before);
            let lists = [
                "members",
                "collaborators",
                "invitations",
                "joinCodes",
                "resources",
                "auditLog",
                "departures",
                "teams",
            ];
            items = lists.iter().find_map(|list| data["organization"][list]["nodes"].as_array()).map_or(1, Vec::len);
        }
        counts.push((*name, items, least));
    }
    counts
}

#[tokio::test]
async fn queries_take_as_many_statements_for_many_items_as_for_few() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let grow = async |app: &TestApp, from: usize, to: usize| {
        for n in from..to {
            let person = app.join(&team, &format!("person{n}@example.org"), "MEMBER").await;
            let project = person.create(&team.id, "PROJECT", "Atlas").await;
            person.grant(&project, json!({ "organizationId": team.id }), "VIEW").await;
            let input = json!({ "resourceId": project, "grantee": { "email": format!("shared{n}@example.org") }, "level": "VIEW" });
            person.ok("grantAccess", input, "invited").await;
            let outside = app.sign_up(&format!("outside{n}@example.org")).await;
            person.grant(&project, json!({ "userId": outside.user_id }), "VIEW").await;
            person.create(&team.id, "MACHINE", "Workstation").await;
            team.group(&format!("Team {n}"), &[&person, &team.owner]).await;
            team.invite(&format!("invited{n}@example.org"), "MEMBER").await;
            let leaver = app.sign_up(&format!("leaver{n}@example.org")).await;
            leaver.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id }").await;
            team.remove(&leaver).await;
        }
        app.until_idle().await;
    };
    grow(&app, 0, 2).await;
    app.log_more("log_statement = 'all'").await;
    let few = counts(&app, &team.owner, &team).await;
    app.start_worker();
    grow(&app, 2, 10).await;
    app.stop_workers().await;
    app.stop_api().await;
    app.start_api().await;
    let many = counts(&app, &team.owner, &team).await;
    for ((name, few_items, few), (_, many_items, many)) in few.iter().zip(&many) {
        // One statement per item would be as many more as there are more items. Loaders gather what comes within a
        // millisecond, which on a busy machine isn't everything, so that a few more prove nothing.
        let more_items = many_items.saturating_sub(*few_items);
        let is_bounded = *many <= few + 2 || *many < few + more_items;
        assert!(*few > 0 && is_bounded, "{name}: {few} for {few_items} items, {many} for {many_items}");
    }
    app.finish().await;
}

// R6, R21: whether an address has an account, nobody reads off from how long it takes to share something with it, also
// where that is refused: these are the same statements.
#[tokio::test]
async fn sharing_with_an_address_takes_the_same_statements_whether_or_not_there_is_an_account() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let mut people = Vec::new();
    for n in 0..4 {
        people.push(app.sign_up(&format!("somebody{n}@example.org")).await);
    }
    let full = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let project = ada.create(&team.id, "PROJECT", "Heart atlas").await;
    app.database
        .sql(&format!(
            "INSERT INTO grant_invitations (id, organization_id, resource_id, email, level, invited_by_id, created_at, expires_at) \
             SELECT gen_random_uuid(), '{}', '{}', 'p' || n || '@example.org', 'view', '{}', rollcall_now(), \
             rollcall_now() + interval '7 days' FROM generate_series(1, 100) n",
            uuid(&team.id),
            uuid(&full),
            uuid(&ada.user_id)
        ))
        .await;
    // From here on, there is a count of what Ada sends.
    let first = json!({ "resourceId": project, "grantee": { "email": "first@example.org" }, "level": "VIEW" });
    ada.ok("grantAccess", first, "").await;
    app.until_idle().await;
    app.log_more("log_statement = 'all'").await;
    // Refused, since so many addresses are invited; then since Ada may send no more; and in the end invited.
    for (resource, used_up) in [(&full, 0), (&project, 1_000_000), (&project, 0)] {
        let mut taken = Vec::new();
        for n in 0..4 {
            for who in ["nobody", "somebody"] {
                app.database.sql(&format!("UPDATE attempts SET count = {used_up} WHERE bucket = 'caused_mail'")).await;
                let email = format!("{who}{n}@example.org");
                let input = json!({ "resourceId": resource, "grantee": { "email": email }, "level": "VIEW" });
                let before = statements(&app);
                let answer = ada.mutate("grantAccess", input, "invited").await;
                let code = answer.user_errors("grantAccess").first().map(|error| error.code.clone());
                taken.push((statements(&app) - before, code));
            }
        }
        // Now and then one is idle, and tried, or another counts as well: of each address the least counts.
        let least = [0, 1].map(|which| taken.iter().skip(which).step_by(2).min());
        assert!(least[0] == least[1] && least[0].is_some_and(|taken| taken.0 > 0), "{taken:?}");
        assert!(taken.iter().all(|(_, code)| *code == taken[0].1), "{taken:?}");
    }
    // What is refused is mailed to nobody, and so it counts as a guess.
    let guesses = "SELECT sum(count)::bigint AS value FROM attempts WHERE bucket = 'name_guess'";
    assert_eq!(app.database.number(guesses).await, 16);
    app.start_worker();
    // Whoever has an account takes up what was shared with their address when they are next seen.
    app.shift_clock("6 minutes").await;
    for person in &people {
        person.query("{ viewer { email } }", json!({})).await;
    }
    app.finish().await;
}

// R30: whether an address has an account, nobody reads off from how long it takes to ask for a mail or to try digits:
// these are the same statements.
#[tokio::test]
async fn signing_in_takes_the_same_statements_whether_or_not_there_is_an_account() {
    let mut app = TestApp::start().await;
    app.team().await;
    app.until_idle().await;
    app.log_more("log_statement = 'all'").await;
    let anonymous = app.anonymous();
    // Once of each before it counts: what is prepared the first time isn't later.
    let mut taken = Vec::new();
    for (n, address) in ["owner@example.org", "nobody@example.org"].into_iter().cycle().take(8).enumerate() {
        let before = statements(&app);
        anonymous.ok("requestSignIn", json!({ "email": address }), "").await;
        let asked = statements(&app);
        let digits = json!({ "digits": { "email": format!("{n}{address}"), "code": "000000" } });
        let first = json!({ "digits": { "email": address, "code": "000000" } });
        for digits in [digits, first] {
            assert_eq!(anonymous.refused("signIn", digits).await.code, "INVALID");
        }
        taken.push((asked - before, statements(&app) - asked));
    }
    // A connection that is new at that moment takes some more: of each address the least counts.
    let least = |which| {
        let of_address = || taken.iter().skip(which).step_by(2);
        (of_address().map(|taken| taken.0).min(), of_address().map(|taken| taken.1).min())
    };
    assert!(least(0) == least(1) && least(0).0 > Some(0) && least(0).1 > Some(0), "{taken:?}");
    // The account's log tells of it nevertheless.
    let recorded = "SELECT count(*) AS value FROM audit_events WHERE action = 'user.sign_in_requested'";
    let before = app.database.number(recorded).await;
    app.start_worker();
    app.until_idle().await;
    assert_eq!(app.database.number(recorded).await, before + 4);
    app.finish().await;
}

/// The statements of the requests so far, once PostgreSQL has written them all into its log.
pub async fn all_statements(app: &TestApp) -> usize {
    let mut count = statements(app);
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = statements(app);
        if now == count {
            return count;
        }
        count = now;
    }
}

// R21: whether there is an organization, or anything else that the viewer may not know of, nobody reads off from how
// long its lookup takes: these are the same statements.
#[tokio::test]
async fn looking_something_up_takes_the_same_statements_whether_or_not_it_exists() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let group = team.group("Team", &[&ada]).await;
    let invitation = team.invite("invited@example.org", "MEMBER").await;
    team.code("MEMBER").await;
    let inside = "query($id: ID!) { organization(by: { id: $id }) { slug members(first: 1) { nodes { id } } joinCodes(first: 1) { nodes { id } } \
         auditLog(first: 1) { nodes { id } } } }";
    let inside = team.owner.query(inside, json!({ "id": team.id })).await["organization"].clone();
    let first = |list: &str| text(&inside[list]["nodes"][0]["id"]);
    let stranger = app.sign_up("mallory@example.org").await;
    app.until_idle().await;
    app.log_more("log_statement = 'all'").await;
    let by_slug = "query($is: String!) { organization(by: { slug: $is }) { id } }";
    let by_id = "query($is: ID!) { organization(by: { id: $is }) { id } }";
    let node = "query($is: ID!) { node(id: $is) { id } }";
    // Something that isn't shown, and something that isn't there.
    let elsewhere =
        |id: &str, other: &str| format!("{}_{}", id.split_once('_').unwrap().0, other.split_once('_').unwrap().1);
    let mut pairs = vec![
        (by_slug, text(&inside["slug"]), "no-such-slug".to_owned()),
        (by_id, team.id.clone(), elsewhere(&team.id, &project)),
    ];
    let ids = [team.id.clone(), ada.user_id.clone(), project.clone(), group, invitation];
    for id in ids.into_iter().chain(["members", "joinCodes", "auditLog"].map(first)) {
        let other = if id.starts_with("res_") { &team.id } else { &project };
        pairs.push((node, id.clone(), elsewhere(&id, other)));
    }
    for (query, hidden, missing) in pairs {
        let mut taken = Vec::new();
        for is in [&hidden, &missing].into_iter().cycle().take(8) {
            let before = all_statements(&app).await;
            let found = stranger.query(query, json!({ "is": is })).await;
            assert!(found.as_object().unwrap().values().all(|found| found.is_null()), "{found}");
            taken.push(all_statements(&app).await - before);
        }
        // A connection that is new at that moment takes some more: of each the least counts.
        let least = [0, 1].map(|which| taken.iter().skip(which).step_by(2).min());
        assert!(least[0] == least[1] && least[0] > Some(&0), "{query} {hidden}: {taken:?}");
    }
    app.start_worker();
    app.finish().await;
}

/// Queries that platforms ask again and again, with what they are asked by.
const FREQUENT: &[(&str, &str)] = &[
    ("viewer", "query { viewer { email memberships { nodes { role organization { name } } } } }"),
    (
        "organization and members",
        "query($id: ID!) { organization(by: { id: $id }) { name members(first: 50) { nodes { role user { name } } } } }",
    ),
    (
        "resources of an organization",
        "query($id: ID!) { organization(by: { id: $id }) { resources(first: 20) { nodes { name kind viewerAccess } } } }",
    ),
    ("resources of somebody", "query { viewer { resources(first: 20) { nodes { name kind } } } }"),
    ("access to one", "query($user: ID!, $one: [ID!]!) { access(userId: $user, resourceIds: $one) }"),
    ("access to many", "query($user: ID!, $many: [ID!]!) { access(userId: $user, resourceIds: $many) }"),
    ("audit log", "query($id: ID!) { organization(by: { id: $id }) { auditLog(first: 20) { nodes { action } } } }"),
];

// What is asked again and again is prepared and planned once per connection: planning takes longer than executing.
#[tokio::test]
async fn frequent_queries_are_not_planned_again() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "ADMIN").await;
    let mut many = Vec::new();
    for n in 0..30 {
        many.push(ada.create(&team.id, "PROJECT", &format!("Atlas {n}")).await);
    }
    app.until_idle().await;
    app.log_more("log_planner_stats = on").await;
    for (name, query) in FREQUENT {
        let variables = json!({ "id": team.id, "user": ada.user_id, "one": [many[0]], "many": many });
        let used = |variable: &str| query.contains(&format!("${variable}"));
        let variables: serde_json::Map<_, _> =
            variables.as_object().unwrap().clone().into_iter().filter(|(variable, _)| used(variable)).collect();
        let mut rounds = Vec::new();
        while rounds.len() < 20 && !rounds.ends_with(&[0]) {
            let before = plannings(&app);
            for _ in 0..10 {
                ada.query(query, variables.clone().into()).await;
            }
            rounds.push(plannings(&app) - before);
        }
        assert!(rounds.ends_with(&[0]), "{name} is planned each time: {rounds:?}");
    }
    assert!(plannings(&app) > FREQUENT.len());
    app.finish().await;
}

// So are the statements of what is done again and again.
#[tokio::test]
async fn frequent_changes_are_not_planned_again() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    app.until_idle().await;
    app.log_more("log_planner_stats = on").await;
    // One remains for each: PostgreSQL plans a function in SQL, as `audit_hash` is, whenever it is called.
    const INVITATIONS: usize = 4;
    let mut rounds = vec![usize::MAX];
    while rounds.len() < 20 && rounds.last() > Some(&INVITATIONS) {
        let before = plannings(&app);
        for n in 0..INVITATIONS {
            team.invite(&format!("person{}x{n}@example.org", rounds.len()), "MEMBER").await;
        }
        rounds.push(plannings(&app) - before);
    }
    assert!(rounds.last() <= Some(&INVITATIONS) && rounds.len() > 2, "more is planned each time: {rounds:?}");
    app.start_worker();
    app.finish().await;
}
