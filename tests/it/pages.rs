//! The pages behind mailed links: opening them changes nothing, they work without JavaScript, and they say kindly what is wrong.

use crate::support::browser::Browser;
use crate::support::mail::Mail;
use crate::support::page::{Page, Visitor};
use crate::support::{Team, TestApp, json};

/// An invitation of someone without an account, and its mail.
async fn invited(app: &TestApp, team: &Team, email: &str) -> (String, Mail) {
    let id = team.invite(email, "MEMBER").await;
    (id, app.mail_about(email, "invites you").await)
}

/// Everything that opening pages could change.
async fn state(app: &TestApp) -> Vec<String> {
    app.database
        .texts(
            "SELECT status || token_version AS value FROM invitations UNION ALL SELECT 'users' || count(*) FROM users UNION ALL \
             SELECT 'members' || count(*) FROM members UNION ALL SELECT 'sessions' || count(*) FROM sessions UNION ALL \
             SELECT 'used' || count(used_at) FROM sign_in_requests UNION ALL SELECT 'jobs' || count(*) FROM jobs UNION ALL \
             SELECT 'events' || count(*) FROM audit_events ORDER BY 1",
        )
        .await
}

/// The page is kind: it says what happened and what to do, and shows nothing of the inside.
fn assert_kind(page: &Page, words: &[&str]) {
    let text = page.text();
    assert!((400..500).contains(&page.status) || page.status == 200, "{}: {text}", page.status);
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    for inside in ["error:", "panicked", "sql", "uuid", "exception"] {
        assert!(!text.contains(inside), "{text}");
    }
}

// R24: scanners open links. GET and HEAD change nothing; a POST acts.
#[tokio::test]
async fn opening_a_link_changes_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (_, mail) = invited(&app, &team, "grace@example.org").await;
    app.anonymous().ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    let sign_in = app.mail_to("ada@example.org").await;
    app.until_idle().await;
    let before = state(&app).await;
    let visitor = Visitor::new(&app.url);
    for _ in 0..2 {
        for link in [mail.link("/invitations/"), sign_in.link("/sign-in/")] {
            let page = visitor.get(&link).await;
            assert_eq!(page.status, 200, "{}", page.html);
            assert!(!page.html.contains("<script"), "{}", page.html);
            assert_eq!(visitor.head(&link).await, 200);
            for action in ["accept", "decline", "sign-in"] {
                let status = visitor.get(&format!("{link}/{action}")).await.status;
                assert!(status == 404 || status == 405, "{action}: {status}");
            }
        }
    }
    assert_eq!(state(&app).await, before);
    app.finish().await;
}

// R17, R20, R24: the page says who invites to what; its form makes the account and the membership.
#[tokio::test]
async fn the_form_accepts() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (id, mail) = invited(&app, &team, "grace@example.org").await;
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&mail.link("/invitations/")).await;
    let text = page.text();
    assert!(text.contains("acme genomics") && text.contains("grace@example.org") && text.contains("member"), "{text}");
    let form = page.form("accept");
    let done = visitor.submit(&page, &form, &[("name", "Grace Hopper"), ("username", "grace")]).await;
    assert_eq!(done.status, 200, "{}", done.html);
    assert!(done.text().contains("acme genomics"), "{}", done.text());
    assert_eq!(team.invitation(&id).await["status"], "ACCEPTED");
    let members = team.members("ACTIVE").await;
    assert!(members.iter().any(|member| member["email"] == "grace@example.org"), "{members:?}");
    // Signed in on this device, by a cookie that scripts can't read.
    assert!(visitor.get("/account").await.text().contains("grace hopper"));
    // The link is used, and says so.
    assert_kind(&visitor.get(&mail.link("/invitations/")).await, &["accepted before", "acme genomics"]);
    assert_kind(&Visitor::new(&app.url).post(&form.action, &form.fields).await, &["again"]);
    app.finish().await;
}

// R24: a POST from elsewhere does nothing.
#[tokio::test]
async fn a_form_from_elsewhere_is_refused() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (_, mail) = invited(&app, &team, "grace@example.org").await;
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&mail.link("/invitations/")).await;
    let before = state(&app).await;
    for form in page.forms() {
        let hidden = form.hidden();
        assert!(!hidden.is_empty(), "{form:?}");
        // Without the hidden field, with another's, with an empty one, and from a browser without our cookie.
        let without: Vec<_> = form.fields.iter().filter(|(name, _)| !hidden.contains(name)).cloned().collect();
        let others = Visitor::new(&app.url).get(&mail.link("/invitations/")).await.forms().remove(0);
        let foreign: Vec<(&str, &str)> = others
            .fields
            .iter()
            .filter(|(name, _)| hidden.contains(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let empty: Vec<(&str, &str)> = hidden.iter().map(|name| (name.as_str(), "")).collect();
        for answer in [
            visitor.post(&form.action, &without).await,
            visitor.post(&form.action, &form.filled(&foreign)).await,
            visitor.post(&form.action, &form.filled(&empty)).await,
            Visitor::new(&app.url).post(&form.action, &form.fields).await,
        ] {
            assert_eq!(answer.status, 403, "{}", answer.html);
        }
        // A browser that says so by itself.
        let from_elsewhere = Visitor::new("http://evil.example");
        let url = format!("{}{}", app.url, form.action);
        assert_eq!(from_elsewhere.post(&url, &form.fields).await.status, 403);
    }
    assert_eq!(state(&app).await, before);
    app.finish().await;
}

// R23, R24: declining by the form.
#[tokio::test]
async fn the_form_declines() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (id, mail) = invited(&app, &team, "grace@example.org").await;
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&mail.link("/invitations/")).await;
    let done = visitor.submit(&page, &page.form("decline</button>"), &[]).await;
    assert!(done.text().contains("declined"), "{}", done.text());
    assert_eq!(team.invitation(&id).await["status"], "DECLINED");
    assert_kind(&visitor.get(&mail.link("/invitations/")).await, &["declined", "new one"]);
    app.finish().await;
}

// R23: expired, revoked, replaced and broken links say so, and what to do.
#[tokio::test]
async fn a_dead_link_says_kindly_what_to_do() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let (revoked_id, revoked) = invited(&app, &team, "a@example.org").await;
    let (resent_id, resent) = invited(&app, &team, "b@example.org").await;
    let (_, expired) = invited(&app, &team, "c@example.org").await;
    team.owner.ok("revokeInvitation", json!({ "id": revoked_id }), "invitation { id }").await;
    team.owner.ok("resendInvitation", json!({ "id": resent_id }), "invitation { id }").await;
    let visitor = Visitor::new(&app.url);
    assert_kind(&visitor.get(&revoked.link("/invitations/")).await, &["taken back", "acme genomics"]);
    assert_kind(&visitor.get(&resent.link("/invitations/")).await, &["newer mail", "acme genomics"]);
    for wrong in ["/invitations/x", "/invitations/%00", "/sign-in/x", &format!("/invitations/{}", "x".repeat(5_000))] {
        let page = visitor.get(wrong).await;
        assert!((400..500).contains(&page.status), "{wrong}: {}", page.status);
    }
    app.shift_clock("7 days").await;
    let page = Visitor::new(&app.url).get(&expired.link("/invitations/")).await;
    assert_kind(&page, &["expired", "new one", "acme genomics"]);
    app.finish().await;
}

// Names are people's words: pages and mails show them as they are, and run nothing of them.
#[tokio::test]
async fn names_are_shown_and_never_run() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let name = "<script>alert(1)</script> & \"Söhne\" {{ 7*7 }}";
    team.owner.ok("updateOrganization", json!({ "id": team.id, "name": name }), "organization { id }").await;
    let (_, mail) = invited(&app, &team, "grace@example.org").await;
    assert!(mail.text.contains("Söhne") && !mail.html.contains("<script>"), "{}", mail.html);
    let page = Visitor::new(&app.url).get(&mail.link("/invitations/")).await;
    assert_eq!(page.status, 200);
    assert!(
        !page.html.contains("<script") && page.html.contains("Söhne") && page.html.contains("{{ 7*7 }}"),
        "{}",
        page.html
    );
    app.finish().await;
}

// R20, R25: an address with an account is mailed a link that signs in and accepts at once.
#[tokio::test]
async fn an_existing_account_signs_in_and_joins_by_a_second_mail() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let grace = app.sign_up("grace@example.org").await;
    let (id, mail) = invited(&app, &team, "grace@example.org").await;
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&mail.link("/invitations/")).await;
    // Nothing of the account is given away by the mail alone.
    assert!(page.forms().iter().all(|form| !form.action.ends_with("/accept")), "{}", page.html);
    let sent = visitor.submit(&page, &page.form("/sign-in\""), &[]).await;
    assert_eq!(sent.status, 200, "{}", sent.html);
    let mail = app.mail_about("grace@example.org", "sign in").await;
    let page = visitor.get(&mail.link("/sign-in/")).await;
    assert!(page.text().contains("acme genomics"), "{}", page.text());
    assert_eq!(team.invitation(&id).await["status"], "PENDING");
    let joined = visitor.submit(&page, &page.form("sign in and join"), &[]).await;
    assert!(joined.text().contains("acme genomics"), "{}", joined.text());
    assert_eq!(team.invitation(&id).await["status"], "ACCEPTED");
    assert!(grace.belongs_to(&team.id).await);
    app.finish().await;
}

// R25: a device on which another address is signed in.
#[tokio::test]
async fn another_address_on_this_device_is_told_so() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let visitor = Visitor::new(&app.url);
    sign_in(&app, &visitor, "eve@example.org").await;
    let (id, mail) = invited(&app, &team, "grace@example.org").await;
    let page = visitor.get(&mail.link("/invitations/")).await;
    assert!(page.text().contains("another address"), "{}", page.text());
    assert!(page.forms().iter().all(|form| !form.action.ends_with("/accept")));
    assert_eq!(team.invitation(&id).await["status"], "PENDING");
    app.finish().await;
}

/// Signs in by the pages, with the six digits.
async fn sign_in(app: &TestApp, visitor: &Visitor, email: &str) {
    let page = visitor.get("/sign-in").await;
    let sent = visitor.submit(&page, &page.form("email"), &[("email", email)]).await;
    assert_eq!(sent.status, 200, "{}", sent.html);
    let mail = app.mail_about(email, "sign in").await;
    let done = visitor.submit(&sent, &sent.form("code"), &[("code", &mail.digits())]).await;
    assert_eq!(done.status, 200, "{}", done.html);
    assert!(done.text().contains(email), "{}", done.text());
}

#[tokio::test]
async fn the_sign_in_page_signs_in_and_out() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app.url);
    let page = visitor.get("/sign-in").await;
    let wrong = visitor.submit(&page, &page.form("email"), &[("email", "not an address")]).await;
    assert_kind(&wrong, &["address"]);
    sign_in(&app, &visitor, "ada@example.org").await;
    let account = visitor.get("/account").await;
    let token = visitor.submit(&account, &account.form("token"), &[]).await;
    let token = token
        .html
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .find(|word| word.starts_with("rcs_"))
        .unwrap()
        .to_owned();
    let viewer = app.client(&token).query("{ viewer { email } }", json!({})).await;
    assert_eq!(viewer["viewer"]["email"], "ada@example.org");
    // The cookie serves the pages, and nothing else.
    let out = visitor.submit(&account, &account.form("/sign-out"), &[]).await;
    assert!(out.text().contains("signed out"), "{}", out.text());
    assert!(!visitor.get("/account").await.text().contains("ada@example.org"));
    app.finish().await;
}

// The page of the account shows where one is signed in, and ends a session elsewhere.
#[tokio::test]
async fn the_account_page_ends_sessions_elsewhere() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app.url);
    sign_in(&app, &visitor, "ada@example.org").await;
    let other = app.sign_in(app.anonymous().on("curl/8.9.1 <b>"), "ada@example.org").await;
    let account = visitor.get("/account").await;
    assert!(account.text().contains("curl/8.9.1 <b>") && account.text().contains("(here)"), "{}", account.html);
    assert!(!account.html.contains("<b>"), "{}", account.html);
    let form = account.form("end this session");
    // From elsewhere nothing ends.
    assert_eq!(Visitor::new(&app.url).post(&form.action, &form.fields).await.status, 403);
    assert_eq!(other.query("{ viewer { email } }", json!({})).await["viewer"]["email"], "ada@example.org");
    let ended = visitor.submit(&account, &form, &[]).await;
    assert_eq!(ended.status, 200, "{}", ended.html);
    assert!(!ended.text().contains("curl"), "{}", ended.html);
    assert_eq!(other.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    for wrong in ["/account/sessions/x/end", "/account/sessions/ses_01h455vb4pex5vsknk084sn02q/end"] {
        assert_eq!(visitor.post(wrong, &form.fields).await.status, 400);
    }
    app.finish().await;
}

// Without SMTP the mails are shown at /mail, on this machine only; with it they aren't.
#[tokio::test]
async fn mails_are_shown_only_where_no_mail_server_is_set() {
    let app = TestApp::builder().mails_as_files().start().await;
    app.anonymous().ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    app.until_idle().await;
    let visitor = Visitor::new(&app.url);
    let list = visitor.get("/mail").await;
    assert!(list.text().contains("ada@example.org"), "{}", list.text());
    let by_other_name = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = by_other_name.get(format!("{}/mail", app.url)).header("host", "evil.example").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    app.finish().await;

    let app = TestApp::builder().without_worker().start().await;
    assert_eq!(Visitor::new(&app.url).get("/mail").await.status, 404);
    app.finish().await;
}

// R17, R24: in a real browser, from the mail to the membership, without scripts.
#[tokio::test]
async fn a_browser_without_scripts_accepts_an_invitation() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (id, mail) = invited(&app, &team, "grace@example.org").await;
    let browser = Browser::start(false).await;
    // It runs no scripts indeed.
    browser.open("data:text/html,<p id=text>still</p><script>document.getElementById('text').textContent = 'changed'</script>").await;
    browser.shows("still").await;
    browser.open(&mail.link("/invitations/")).await;
    browser.shows("Acme Genomics").await;
    browser.shows("grace@example.org").await;
    assert_eq!(team.invitation(&id).await["status"], "PENDING");
    browser.find("input[name=name]").await.send_keys("Grace Hopper").await.unwrap();
    browser.find("form[action$='/accept'] button").await.click().await.unwrap();
    browser.shows("Welcome to Acme Genomics").await;
    assert_eq!(team.invitation(&id).await["status"], "ACCEPTED");
    // Signed in on this device.
    browser.open(&format!("{}/account", app.url)).await;
    browser.shows("Grace Hopper").await;
    browser.open(&mail.link("/invitations/")).await;
    browser.shows("accepted before").await;
    browser.close().await;
    app.finish().await;
}

// The playground works without the internet: nothing is loaded from elsewhere.
#[tokio::test]
async fn the_playground_loads_nothing_from_elsewhere() {
    let app = TestApp::builder().without_worker().start().await;
    let browser = Browser::start(true).await;
    browser.open(&format!("{}/", app.url)).await;
    browser.find(".graphiql-container").await;
    browser.find(".graphiql-query-editor").await;
    let resources = browser
        .page
        .execute("return performance.getEntriesByType('resource').map(entry => entry.name)", vec![])
        .await
        .unwrap();
    let resources = resources.as_array().unwrap();
    assert!(!resources.is_empty());
    for resource in resources {
        let resource = resource.as_str().unwrap();
        assert!(
            resource.starts_with(&app.url) || resource.starts_with("data:") || resource.starts_with("blob:"),
            "{resource}"
        );
    }
    // And nothing could be: the policy names this origin only.
    let page = reqwest::Client::builder().no_proxy().build().unwrap().get(&app.url).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
    browser.close().await;
    app.finish().await;
}

// R24, R25: a link that is dead may be in anybody's hands: neither its page nor its preview tells the address that it went to, or whether
// that has an account, whatever has ended it.
#[tokio::test]
async fn a_dead_link_tells_no_address() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let somebody = app.sign_up("moneypenny@example.org").await;
    somebody.ok("updateProfile", json!({ "name": "Eve", "username": "eve" }), "").await;
    let visitor = Visitor::new(&app.url);
    let look = async |link: &str| visitor.get(link).await;
    let preview = async |app: &TestApp, token: &str| {
        let query =
            "query($token: String!) { invitation(token: $token) { status email accountExists organizationName } }";
        app.anonymous().query(query, json!({ "token": token })).await["invitation"].clone()
    };
    let mut dead = Vec::new();
    for how in ["revokeInvitation", "declineInvitation", "acceptInvitation", "resendInvitation", "expires"] {
        let email = format!("moneypenny-{}@example.org", how.to_lowercase());
        let invitee = app.sign_up(&email).await;
        let (id, mail) = invited(&app, &team, &email).await;
        let open = preview(&app, &mail.token()).await;
        assert_eq!((&open["email"], &open["accountExists"]), (&json!(email), &json!(true)));
        assert!(look(&mail.link("/invitations/")).await.text().contains(&email));
        let status = match how {
            "revokeInvitation" => {
                team.owner.ok(how, json!({ "id": id }), "").await;
                "REVOKED"
            }
            "resendInvitation" => {
                team.owner.ok(how, json!({ "id": id }), "").await;
                "REVOKED"
            }
            "expires" => "EXPIRED",
            answer => {
                invitee.ok(answer, json!({ "id": id }), "").await;
                if answer == "acceptInvitation" { "ACCEPTED" } else { "DECLINED" }
            }
        };
        dead.push((status, mail));
    }
    let change = async |new: &str| {
        somebody.ok("changeEmail", json!({ "email": new }), "").await;
        app.mail_about(new, "Confirm").await.link("/email-change/")
    };
    let replaced = change("penny@example.net").await;
    let ended = change("money@example.net").await;
    somebody.ok("signOut", json!({}), "").await;
    app.anonymous().ok("requestSignIn", json!({ "email": "moneypenny@example.org" }), "").await;
    let used = app.mail_about("moneypenny@example.org", "sign in").await;
    app.anonymous().ok("signIn", json!({ "token": used.token() }), "").await;
    app.shift_clock("7 days").await;
    for (status, mail) in &dead {
        let seen = preview(&app, &mail.token()).await;
        let expected =
            json!({ "status": status, "email": "", "accountExists": false, "organizationName": "Acme Genomics" });
        assert_eq!(seen, expected);
    }
    let links =
        dead.iter().map(|(_, mail)| mail.link("/invitations/")).chain([replaced, ended, used.link("/sign-in/")]);
    for link in links {
        let page = look(&link).await;
        for secret in ["moneypenny", "example.org", "penny@", "money@", "@eve"] {
            assert!(page.status >= 400 && !page.html.contains(secret), "{secret}: {} {}", page.status, page.html);
        }
    }
    app.finish().await;
}
