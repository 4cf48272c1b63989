//! What is shown once is in the answer of what made it, whatever fails after the commit.

use crate::support::client::text;
use crate::support::page::Visitor;
use crate::support::{Client, TestApp, Value, json};

/// From the commit of whatever records an event on, nobody can read this column.
async fn lose_after_next_commit(app: &TestApp, table: &str, column: &str) {
    let sql = format!(
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = '{column}') THEN \
             ALTER TABLE {table} RENAME COLUMN {column} TO lost; \
           END IF; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON audit_events DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION lose()"
    );
    app.database.sql(&sql).await;
}

async fn find_again(app: &TestApp, table: &str, column: &str) {
    let sql = format!(
        "DROP TRIGGER lose ON audit_events; DROP FUNCTION lose(); ALTER TABLE {table} RENAME COLUMN lost TO {column}"
    );
    app.database.sql(&sql).await;
}

/// The payload of a mutation after whose commit the column can't be read, and whether that was noticed.
async fn payload(
    app: &TestApp,
    client: &Client,
    (table, column): (&str, &str),
    mutation: &str,
    input: Value,
    selection: &str,
) -> (Value, bool) {
    lose_after_next_commit(app, table, column).await;
    let answer = client.mutate(mutation, input, selection).await;
    find_again(app, table, column).await;
    (answer.body["data"][mutation].clone(), answer.body["errors"].is_array())
}

#[tokio::test]
async fn a_read_that_fails_after_the_commit_takes_no_secret_along() {
    const NAMES: (&str, &str) = ("users", "name");
    const ORGANIZATIONS: (&str, &str) = ("organizations", "name");
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let collection = team.owner.create(&team.id, "COLLECTION", "Livers").await;
    app.until_idle().await;

    // Signing in, to a new account and to one that is there.
    for _ in 0..2 {
        app.anonymous().ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
        let code = app.mail_about("ada@example.org", "sign in").await.digits();
        app.until_idle().await;
        let input = json!({ "digits": { "email": "ada@example.org", "code": code } });
        let selection =
            "sessionToken session { id current } viewer { email user { name } personalOrganization { name } }";
        let (signed_in, noticed) = payload(&app, &app.anonymous(), NAMES, "signIn", input, selection).await;
        assert_eq!(signed_in["session"]["current"], true, "{signed_in}");
        assert_eq!(signed_in["viewer"]["email"], "ada@example.org");
        assert!(!noticed, "the account is read before the commit");
        let ada = app.client(&text(&signed_in["sessionToken"]));
        assert_eq!(ada.query("{ viewer { email } }", json!({})).await["viewer"]["email"], "ada@example.org");
    }

    // An account that an invitation makes. Nobody else reads meanwhile.
    team.invite("grace@example.org", "MEMBER").await;
    let token = app.mail_to("grace@example.org").await.token();
    team.invite("mary@example.org", "MEMBER").await;
    let page = app.mail_to("mary@example.org").await.link("/invitations/");
    app.until_idle().await;
    app.stop_workers().await;
    let members = ("members", "joined_at");
    let selection = "sessionToken member { role joinedAt user { username } }";
    let input = json!({ "token": token });
    let (accepted, _) = payload(&app, &app.anonymous(), members, "acceptInvitation", input, selection).await;
    assert_eq!(accepted["member"]["role"], "MEMBER", "{accepted}");
    let grace = app.client(&text(&accepted["sessionToken"]));
    assert!(grace.belongs_to(&team.id).await);
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&page).await;
    lose_after_next_commit(&app, "organizations", "name").await;
    let welcome = visitor.submit(&page, &page.form("accept"), &[]).await;
    find_again(&app, "organizations", "name").await;
    assert_eq!(welcome.status, 200);
    assert!(welcome.text().contains("welcome to acme genomics"), "{}", welcome.text());
    assert!(visitor.get("/account").await.text().contains("mary@example.org"));

    // What hangs on a new thing can't be read; its secret is there.
    let owner = &team.owner;
    let organization = team.id.as_str();
    let key = json!({ "organizationId": organization, "name": "laptop" });
    let selection = "apiKey { id organization { name } createdBy { name } } secret";
    for mutation in ["createApiKey", "createServiceKey"] {
        let (made, noticed) = payload(&app, owner, ORGANIZATIONS, mutation, key.clone(), selection).await;
        assert!(noticed && text(&made["secret"]).starts_with("rck_"), "{made}");
    }
    let input = json!({ "organizationId": organization, "url": "https://example.org/hook", "events": ["*"] });
    let selection = "webhook { id deliveries { nodes { id } } } secret";
    let deliveries = ("webhook_deliveries", "attempts");
    let (made, noticed) = payload(&app, owner, deliveries, "createWebhook", input, selection).await;
    assert!(noticed && text(&made["secret"]).starts_with("whsec_"), "{made}");
    let query = "query($id: ID!) { organization(by: { id: $id }) { webhooks { nodes { id } } } }";
    let webhooks = owner.query(query, json!({ "id": organization })).await;
    let id = &webhooks["organization"]["webhooks"]["nodes"][0]["id"];
    let input = json!({ "id": id, "rotateSecret": true });
    let (rotated, noticed) = payload(&app, owner, deliveries, "updateWebhook", input, selection).await;
    assert!(noticed && text(&rotated["secret"]).starts_with("whsec_"), "{rotated}");
    let input = json!({ "organizationId": organization, "count": 2 });
    let selection = "codes { code joinCode { hint createdBy { name } } } file { content }";
    let (made, noticed) = payload(&app, owner, NAMES, "createJoinCodes", input, selection).await;
    let codes: Vec<String> = made["codes"].as_array().unwrap().iter().map(|code| text(&code["code"])).collect();
    assert!(
        noticed && codes.len() == 2 && codes.iter().all(|code| text(&made["file"]["content"]).contains(code)),
        "{made}"
    );
    let input = json!({ "resourceId": collection });
    let selection = "shareLink { id createdBy { name } } url";
    let (made, noticed) = payload(&app, owner, NAMES, "createShareLink", input, selection).await;
    assert!(noticed && text(&made["url"]).contains("/shared/"), "{made}");
    app.start_worker();
    app.until_idle().await;
    // The reads that failed are in the API's log.
    app.finish_with_given_up_jobs().await;
}
