//! The playground in a real browser: it stays as it was left, begins where its visitor stands, and hands on what it
//! learns.

use crate::support::browser::Browser;
use crate::support::{TestApp, Value, json, scrape, until};

/// What the playground shows.
async fn look(browser: &Browser) -> Value {
    let script = "const text = (name) => document.querySelector(name)?.CodeMirror?.getValue() ?? '';\
        return { titles: [...document.querySelectorAll('.graphiql-tab')].map((tab) => tab.textContent.trim()),\
        active: document.querySelector('.graphiql-tab-active')?.textContent.trim() ?? '',\
        query: text('.graphiql-query-editor .CodeMirror'), answer: text('.result-window .CodeMirror'),\
        variables: text('.graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror'),\
        token: document.getElementById('token').value }";
    browser.page.execute(script, vec![]).await.unwrap()
}

/// Waits until the playground shows something.
async fn shows(browser: &Browser, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    until(what, async || {
        let seen = look(browser).await;
        is_so(&seen).then_some(seen)
    })
    .await
}

async fn open_tab(browser: &Browser, title: &str) -> Value {
    let script = "[...document.querySelectorAll('.graphiql-tab-button')].find((tab) => tab.textContent.trim() === arguments[0]).click()";
    browser.page.execute(script, vec![json!(title)]).await.unwrap();
    shows(browser, "the tab is open", |seen| seen["active"].as_str().unwrap().starts_with(title)).await
}

async fn set_variables(browser: &Browser, variables: &Value) {
    let script = "document.querySelector('.graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror').CodeMirror.setValue(arguments[0])";
    browser.page.execute(script, vec![json!(variables.to_string())]).await.unwrap();
}

/// Sends the tab's operation and waits for a part of the answer.
async fn run(browser: &Browser, part: &str) -> Value {
    browser.find(".graphiql-execute-button").await.click().await.unwrap();
    shows(browser, part, |seen| seen["answer"].as_str().unwrap().contains(part)).await
}

fn contains(seen: &Value, field: &str, part: &str) -> bool {
    seen[field].as_str().unwrap().contains(part)
}

#[tokio::test]
async fn reloading_changes_nothing() {
    let app = TestApp::builder().without_worker().start().await;
    let browser = Browser::start(true).await;
    browser.open(&format!("{}/", app.url)).await;
    let first = shows(&browser, "the first tab", |seen| contains(seen, "query", "requestSignIn")).await;
    assert_eq!(first["titles"].as_array().unwrap().len(), 13, "{first}");
    assert!(
        first["active"].as_str().unwrap().starts_with("RequestSignIn")
            && contains(&first, "variables", "ada@example.org")
    );
    for _ in 0..3 {
        browser.page.refresh().await.unwrap();
        let again = shows(&browser, "the same tab", |seen| contains(seen, "query", "requestSignIn")).await;
        assert_eq!((&again["titles"], &again["active"]), (&first["titles"], &first["active"]));
    }
    // In another tab, whatever was written there.
    open_tab(&browser, "Members").await;
    set_variables(&browser, &json!({ "organizationId": "mine" })).await;
    let kept = "return sessionStorage.getItem('graphiql:tabState').includes('mine')";
    until("it is kept", async || browser.page.execute(kept, vec![]).await.unwrap().as_bool().unwrap().then_some(()))
        .await;
    for _ in 0..3 {
        browser.page.refresh().await.unwrap();
        let again = shows(&browser, "the same tab", |seen| contains(seen, "variables", "mine")).await;
        assert_eq!(again["titles"], first["titles"]);
        assert!(again["active"].as_str().unwrap().starts_with("Members"), "{again}");
    }
    browser.close().await;
    app.finish().await;
}

#[tokio::test]
async fn with_a_token_it_begins_where_one_is_signed_in() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let link = format!("{}/#token={}", app.url, ada.token.as_deref().unwrap());
    // Whoever had it open before they signed in, too.
    for was_open in [false, true] {
        let browser = Browser::start(true).await;
        if was_open {
            browser.open(&format!("{}/", app.url)).await;
            shows(&browser, "the first tab", |seen| contains(seen, "query", "requestSignIn")).await;
            browser.open("about:blank").await;
        }
        browser.open(&link).await;
        let seen = shows(&browser, "the tab", |seen| contains(seen, "query", "query Viewer")).await;
        assert_eq!(seen["titles"].as_array().unwrap().len(), 13, "{seen}");
        assert!(seen["active"].as_str().unwrap().starts_with("Viewer"), "{seen}");
        assert_eq!(browser.page.current_url().await.unwrap().as_str(), format!("{}/", app.url));
        run(&browser, "\"email\": \"ada@example.org\"").await;
        browser.close().await;
    }
    app.finish().await;
}

#[tokio::test]
async fn what_one_tab_learns_stands_in_the_next() {
    let app = TestApp::start().await;
    let browser = Browser::start(true).await;
    browser.open(&format!("{}/", app.url)).await;
    shows(&browser, "the first tab", |seen| contains(seen, "query", "requestSignIn")).await;
    // Whom one asks for is whom one signs in.
    set_variables(&browser, &json!({ "input": { "email": "countess@example.org" } })).await;
    run(&browser, "\"userErrors\": []").await;
    let mail = app.mail_about("countess@example.org", "sign in").await;
    let tab = open_tab(&browser, "SignIn").await;
    assert!(contains(&tab, "variables", "countess@example.org"), "{tab}");
    let digits = json!({ "input": { "digits": { "email": "countess@example.org", "code": mail.digits() } } });
    set_variables(&browser, &digits).await;
    let signed_in = run(&browser, "rcs_").await;
    assert!(signed_in["token"].as_str().unwrap().starts_with("rcs_"), "{signed_in}");
    open_tab(&browser, "CreateOrganization").await;
    let founded = run(&browser, "org_").await;
    let id = |seen: &Value| {
        let answer: Value = serde_json::from_str(seen["answer"].as_str().unwrap()).unwrap();
        answer["data"]["createOrganization"]["organization"]["id"].as_str().unwrap().to_owned()
    };
    let first = id(&founded);
    for title in ["InviteMembers", "CreateJoinCodes", "CreateResources", "Members", "Departures", "Follow", "AuditLog"]
    {
        open_tab(&browser, title).await;
        let seen = shows(&browser, "the id", |seen| contains(seen, "variables", &first)).await;
        assert!(!contains(&seen, "variables", "the id from"), "{title}: {seen}");
    }
    run(&browser, "\"ok\": true").await;
    open_tab(&browser, "CreateJoinCodes").await;
    let codes = run(&browser, "\"code\": \"").await;
    let answer: Value = serde_json::from_str(codes["answer"].as_str().unwrap()).unwrap();
    let code = answer["data"]["createJoinCodes"]["codes"][0]["code"].as_str().unwrap().to_owned();
    open_tab(&browser, "RedeemJoinCode").await;
    shows(&browser, "the code", |seen| contains(seen, "variables", &code)).await;
    // Somebody has joined with it.
    let alan = app.sign_up("alan@example.org").await;
    let joined = alan.ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    open_tab(&browser, "Members").await;
    run(&browser, "alan@example.org").await;
    open_tab(&browser, "RemoveMember").await;
    let member = joined["member"]["id"].as_str().unwrap();
    shows(&browser, "the membership", |seen| contains(seen, "variables", member)).await;
    // A second organization takes the place of the first, also after a reload.
    open_tab(&browser, "CreateOrganization").await;
    set_variables(&browser, &json!({ "input": { "name": "Another" } })).await;
    let second = id(&run(&browser, "Another").await);
    browser.page.refresh().await.unwrap();
    shows(&browser, "the tab", |seen| contains(seen, "query", "createOrganization")).await;
    open_tab(&browser, "Departures").await;
    let seen = shows(&browser, "the id", |seen| contains(seen, "variables", &second)).await;
    assert!(!contains(&seen, "variables", &first), "{seen}");
    browser.close().await;
    app.finish().await;
}

/// A page of another site leads here with a token of its own. It isn't taken without asking.
#[tokio::test]
async fn a_token_from_another_site_is_not_taken_silently() {
    let app = TestApp::start().await;
    let eve = app.sign_up("eve@example.org").await;
    let browser = Browser::start(true).await;
    let link = format!("{}/#token={}", app.url, eve.token.as_deref().unwrap());
    let held = "return sessionStorage.getItem('token')";
    browser.open(&format!("{}/", app.url)).await;
    shows(&browser, "the first tab", |seen| contains(seen, "query", "requestSignIn")).await;
    browser.page.execute(&format!("location.href = '{link}'"), Vec::new()).await.unwrap();
    until("the page asks", async || browser.page.get_alert_text().await.ok()).await;
    browser.page.dismiss_alert().await.unwrap();
    assert_eq!(browser.page.execute(held, Vec::new()).await.unwrap(), Value::Null);
    assert_eq!(browser.page.current_url().await.unwrap().as_str(), format!("{}/", app.url));
    browser.page.execute(&format!("location.href = '{link}'"), Vec::new()).await.unwrap();
    until("the page asks", async || browser.page.get_alert_text().await.ok()).await;
    browser.page.accept_alert().await.unwrap();
    assert_eq!(browser.page.execute(held, Vec::new()).await.unwrap().as_str(), eve.token.as_deref());
    browser.close().await;
    // Whoever comes from another site is asked too.
    let page = async |site: &str| {
        let asking = reqwest::Client::new().get(format!("{}/", app.url)).header("sec-fetch-site", site);
        asking.send().await.unwrap().text().await.unwrap()
    };
    assert!(page("cross-site").await.contains("data-origin=\"elsewhere\""));
    assert!(page("same-site").await.contains("data-origin=\"elsewhere\""));
    assert!(
        page("same-origin").await.contains("data-origin=\"here\"")
            && page("none").await.contains("data-origin=\"here\"")
    );
    app.finish().await;
}

// A subscription in the playground: it shows what happens meanwhile, and stops when it is told to.
#[tokio::test]
async fn a_subscription_shows_what_happens_and_stops() {
    let app = TestApp::builder().setting("ROLLCALL_METRICS_LISTEN", "127.0.0.1:0").start().await;
    let team = app.team().await;
    let browser = Browser::start(true).await;
    browser.open(&format!("{}/#token={}", app.url, team.owner.token.as_deref().unwrap())).await;
    shows(&browser, "the tab", |seen| contains(seen, "query", "query Viewer")).await;
    open_tab(&browser, "Follow").await;
    set_variables(&browser, &json!({ "organizationId": team.id })).await;
    let click = async || browser.find(".graphiql-execute-button").await.click().await.unwrap();
    let are_open = async |wanted: f64| {
        let open = scrape(&app.api_log()).await.get("rollcall_subscriptions", &[("transport", "event_stream")]);
        (open == wanted).then_some(())
    };
    click().await;
    until("it is followed", async || are_open(1.0).await).await;
    for (sequence, email) in [(2, "grace@example.org"), (3, "alan@example.org")] {
        team.invite(email, "MEMBER").await;
        let wanted = format!("\"sequence\": \"{sequence}\"");
        let seen = shows(&browser, "the event", |seen| contains(seen, "answer", &wanted)).await;
        assert!(contains(&seen, "answer", "organization.member_invited"), "{seen}");
        assert!(contains(&seen, "answer", "\"username\": \"owner"), "{seen}");
    }
    click().await;
    until("it has stopped", async || are_open(0.0).await).await;
    browser.close().await;
    app.finish().await;
}
