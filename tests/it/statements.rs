//! How many statements queries take: as many for a hundred items as for one.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::{Client, Team, TestApp, json};

const QUERIES: &[(&str, &str)] = &[
    (
        "viewer",
        "query($id: ID!) { viewer { email memberships { nodes { role organization { name owner { name } leadership { user { name } } viewerMembership { role } } } } } node(id: $id) { id } }",
    ),
    (
        "members",
        "query($id: ID!) { organization(by: { id: $id }) { members(first: 100) { totalCount nodes { role user { name } organization { name } viewerCan } } } }",
    ),
    (
        "invitations",
        "query($id: ID!) { organization(by: { id: $id }) { invitations(first: 100) { totalCount nodes { email invitedBy { name } organization { name } } } } }",
    ),
    (
        "codes",
        "query($id: ID!) { organization(by: { id: $id }) { joinCodes(first: 100) { totalCount nodes { hint createdBy { name } usedBy { name } } } } }",
    ),
    (
        "resources",
        "query($id: ID!) { organization(by: { id: $id }) { resources(first: 100) { nodes { name owner { name } createdBy { name } organization { name } viewerAccess } } } }",
    ),
    (
        "audit log",
        "query($id: ID!) { organization(by: { id: $id }) { auditLog(first: 100) { nodes { action actor { name } target { id } } } } }",
    ),
    (
        "departures",
        "query($id: ID!) { organization(by: { id: $id }) { departures(first: 100) { totalCount nodes { member { user { name } } newOwner { name } startedBy { name } steps { step done } } } } }",
    ),
];

/// How many statements of the database's connections PostgreSQL has logged so far.
async fn statements(app: &TestApp) -> usize {
    let backends = format!(
        "SELECT pid::text AS value FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
        app.database.name
    );
    let backends: BTreeSet<String> =
        app.database.texts(&backends).await.into_iter().map(|pid| format!("[{pid}]")).collect();
    let log = std::fs::read(Path::new(env!("CARGO_TARGET_TMPDIR")).join("it/postgres/log")).unwrap();
    let log = String::from_utf8_lossy(&log);
    // Statements of a transaction's frame, and the check of an idle connection, aren't the query's.
    let counted = |line: &&str| {
        (line.contains("execute ") || line.contains("LOG:  statement:"))
            && !line.ends_with("SELECT 1")
            && line.split(' ').any(|word| backends.contains(word))
    };
    log.lines().filter(counted).count()
}

async fn counts(app: &TestApp, owner: &Client, team: &Team) -> Vec<(&'static str, usize)> {
    let mut counts = Vec::new();
    for (name, query) in QUERIES {
        // Once to prepare what stays prepared.
        owner.query(query, json!({ "id": team.id })).await;
        let before = statements(app).await;
        owner.query(query, json!({ "id": team.id })).await;
        counts.push((*name, statements(app).await - before));
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
            person.create(&team.id, "PROJECT", "Atlas").await;
            team.invite(&format!("invited{n}@example.org"), "MEMBER").await;
            let leaver = app.sign_up(&format!("leaver{n}@example.org")).await;
            leaver.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id }").await;
            team.remove(&leaver).await;
        }
        app.until_idle().await;
    };
    grow(&app, 0, 2).await;
    app.stop_workers().await;
    app.database.sql(&format!("ALTER DATABASE {} SET log_statement = 'all'", app.database.name)).await;
    app.stop_api().await;
    app.start_api().await;
    let few = counts(&app, &team.owner, &team).await;
    app.start_worker();
    grow(&app, 2, 10).await;
    app.stop_workers().await;
    app.stop_api().await;
    app.start_api().await;
    let many = counts(&app, &team.owner, &team).await;
    for ((name, few), (_, many)) in few.iter().zip(&many) {
        // Loaders gather what comes within a moment, so that a level may take a statement more or less; items are five times as many.
        assert!(*few > 0 && *many <= few + 4, "{name}: {few} statements for a few items, {many} for many");
    }
    app.finish().await;
}
