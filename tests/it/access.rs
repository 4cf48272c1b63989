//! Who may call what: every mutation of the schema, as nobody, as a stranger and as a viewer of the organization.

use crate::audit::World;
use crate::bad_input::state;
use crate::schema;
use crate::support::client::document;
use crate::support::{Answer, TestApp, json};

/// Open to whoever holds the mail, or wants one.
const OPEN_TO_ANYONE: &[&str] = &["requestSignIn", "signIn", "acceptInvitation", "declineInvitation"];
/// About the person who asks alone, or open to everyone who holds what it takes.
const ABOUT_ONESELF: &[&str] = &["signOut", "updateProfile", "createOrganization", "redeemJoinCode"];
/// For the platform's staff.
const STAFF_ONLY: &[&str] = &["setOrganizationOwner", "restoreOrganization", "setPlan"];
/// What a viewer of the organization may do in it.
const OPEN_TO_VIEWERS: &[&str] = &["createApiKey", "switchOrganization", "leaveOrganization"];

fn code(mutation: &str, answer: &Answer) -> Option<String> {
    match answer.body.get("errors") {
        Some(_) => Some(answer.error_code()),
        None => answer.user_errors(mutation).first().map(|error| error.code.clone()),
    }
}

// R3, R7, R9, R14, R21: what is for the owner is for nobody else; strangers don't learn that it exists.
#[tokio::test]
async fn every_mutation_refuses_whom_it_is_not_for() {
    let app = TestApp::builder().local_webhooks().start().await;
    let world = World::new(&app).await;
    let stranger = app.sign_up("eve@example.org").await;
    stranger.found("Elsewhere").await;
    let viewer = app.join(&world.team, "viewer@example.org", "VIEWER").await;
    let mut problems = Vec::new();
    for mutation in schema::mutations() {
        let name = mutation.as_str();
        let (_, input) = world.valid(name).await;
        app.until_idle().await;
        let before = state(&app).await;
        let mut refuse = async |who: &str, client: &crate::support::Client, codes: &[&str]| {
            let answer = client.run(&document(name, ""), json!({ "input": input })).await;
            match code(name, &answer) {
                Some(code) if codes.contains(&code.as_str()) => {}
                other => problems.push(format!("{name} as {who}: {other:?}, not one of {codes:?}")),
            }
        };
        if !OPEN_TO_ANYONE.contains(&name) {
            refuse("nobody", &app.anonymous(), &["UNAUTHENTICATED"]).await;
        }
        if !OPEN_TO_ANYONE.contains(&name) && !ABOUT_ONESELF.contains(&name) {
            let staff_only = ["FORBIDDEN"];
            let hidden = ["NOT_FOUND"];
            refuse("a stranger", &stranger, if STAFF_ONLY.contains(&name) { &staff_only } else { &hidden }).await;
        }
        if name == "acceptInvitation" || name == "declineInvitation" {
            refuse("another address", &stranger, &["WRONG_EMAIL"]).await;
        }
        if !OPEN_TO_ANYONE.contains(&name) && !ABOUT_ONESELF.contains(&name) && !OPEN_TO_VIEWERS.contains(&name) {
            refuse("a viewer", &viewer, &["FORBIDDEN", "NOT_FOUND"]).await;
        }
        let after = state(&app).await;
        if after != before {
            let changed: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
            problems.push(format!("{name}: something has changed: {changed:?}"));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    app.finish().await;
}
