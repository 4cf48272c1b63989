//! The pages behind mailed links: opening them changes nothing, they work without JavaScript, and they say kindly what
//! is wrong.

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
    assert_kind(&visitor.get(&mail.link("/invitations/")).await, &["already accepted", "acme genomics"]);
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
    assert_kind(&visitor.get(&resent.link("/invitations/")).await, &["newer email", "acme genomics"]);
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
    assert!(page.text().contains("another email address"), "{}", page.text());
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
    assert!(account.text().contains("curl/8.9.1 <b>") && account.text().contains("(this device)"), "{}", account.html);
    assert!(!account.html.contains("<b>"), "{}", account.html);
    let form = account.form("end this session");
    // From elsewhere nothing ends.
    assert_eq!(Visitor::new(&app.url).post(&form.action, &form.fields).await.status, 403);
    assert_eq!(other.query("{ viewer { email } }", json!({})).await["viewer"]["email"], "ada@example.org");
    let ended = visitor.submit(&account, &form, &[]).await;
    assert_eq!(ended.status, 200, "{}", ended.html);
    assert!(!ended.text().contains("curl"), "{}", ended.html);
    assert_eq!(other.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    // What isn't there is ended already.
    for gone in ["/account/sessions/x/end", "/account/sessions/ses_01h455vb4pex5vsknk084sn02q/end", &form.action] {
        let page = visitor.post(gone, &form.fields).await;
        assert_eq!((page.status, page.url.ends_with("/account")), (200, true), "{}", page.html);
    }
    app.finish().await;
}

// Sessions are named as people know their devices, and all the others end at once.
#[tokio::test]
async fn the_account_page_names_devices_and_ends_all_other_sessions() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app.url);
    sign_in(&app, &visitor, "ada@example.org").await;
    assert!(!visitor.get("/account").await.text().contains("end all other sessions"));
    let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 \
                  Mobile/15E148 Safari/604.1";
    let firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0";
    let phone = app.sign_in(app.anonymous().on(iphone), "ada@example.org").await;
    let laptop = app.sign_in(app.anonymous().on(firefox), "ada@example.org").await;
    let eve = app.sign_up("eve@example.org").await;
    let account = visitor.get("/account").await;
    for device in ["safari on an iphone", "firefox on windows"] {
        assert!(account.text().contains(device), "{}", account.text());
    }
    let form = account.form("end all other sessions");
    assert_eq!(Visitor::new(&app.url).post(&form.action, &form.fields).await.status, 403);
    let [done, again] = visitor.submit_twice(&account, &form, &[]).await;
    for page in [done, again] {
        assert!(page.status == 200 && page.text().contains("ada@example.org"), "{}", page.html);
    }
    let account = visitor.get("/account").await.text();
    assert!(!account.contains("iphone") && !account.contains("windows") && !account.contains("end all"), "{account}");
    for ended in [&phone, &laptop] {
        assert_eq!(ended.run("{ viewer { email } }", json!({})).await.error_code(), "UNAUTHENTICATED");
    }
    assert_eq!(eve.query("{ viewer { email } }", json!({})).await["viewer"]["email"], "eve@example.org");
    // The account's own log tells of it, once.
    let told = "SELECT summary AS value FROM audit_events WHERE action = 'user.signed_out'";
    assert_eq!(app.database.texts(told).await, ["ended 2 other sessions"]);
    app.finish().await;
}

/// How many rows there are of a table.
async fn count(app: &TestApp, table: &str) -> i64 {
    app.database.number(&format!("SELECT count(*)::bigint AS value FROM {table}")).await
}

// A form that is sent twice, by two clicks, does its work once, and either answer leads on.
#[tokio::test]
async fn a_form_sent_twice_acts_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let sent_to = |app: &TestApp, address: &str| {
        app.smtp.mails().iter().filter(|mail| mail.recipient == address && mail.subject.contains("sign in")).count()
    };
    // Asking for a mail, and signing in by its code.
    let visitor = Visitor::new(&app.url);
    let page = visitor.get("/sign-in").await;
    let [sent, _] = visitor.submit_twice(&page, &page.form("email"), &[("email", "ada@example.org")]).await;
    let mail = app.mail_about("ada@example.org", "sign in").await;
    app.until_idle().await;
    assert_eq!(sent_to(&app, "ada@example.org"), 1);
    let sessions = count(&app, "sessions").await;
    for page in visitor.submit_twice(&sent, &sent.form("code"), &[("code", &mail.digits())]).await {
        assert!(page.url.ends_with("/account") && page.text().contains("ada@example.org"), "{}", page.html);
    }
    assert_eq!(count(&app, "sessions").await, sessions + 1);
    // Sent again later, by going back.
    let again = visitor.submit(&sent, &sent.form("code"), &[("code", &mail.digits())]).await;
    assert!(again.url.ends_with("/account"), "{}", again.html);
    assert_eq!(count(&app, "sessions").await, sessions + 1);
    // A token for other clients.
    let account = visitor.get("/account").await;
    let token = |page: &Page| page.html.split("rcs_").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let [first, second] = visitor.submit_twice(&account, &account.form("create a token"), &[]).await;
    assert_eq!(token(&first), token(&second));
    assert_eq!(token(&visitor.get(&first.url).await), token(&first), "a reload");
    assert_eq!(count(&app, "sessions").await, sessions + 2);
    // By the link.
    let visitor = Visitor::new(&app.url);
    app.anonymous().ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    let link = app.mail_about("ada@example.org", "sign in").await.link("/sign-in/");
    let page = visitor.get(&link).await;
    for page in visitor.submit_twice(&page, &page.form("sign in"), &[]).await {
        assert!(page.url.ends_with("/account") && page.text().contains("ada@example.org"), "{}", page.html);
    }
    assert_eq!(count(&app, "sessions").await, sessions + 3);
    // A link that was used, opened again by who is signed in, says so.
    let opened = visitor.get(&link).await;
    assert!(opened.status == 200 && opened.text().contains("signed in as ada@example.org"), "{}", opened.html);
    // And out.
    let account = visitor.get("/account").await;
    for page in visitor.submit_twice(&account, &account.form("/sign-out"), &[]).await {
        assert!(page.url.ends_with("/sign-in") && page.status == 200, "{}", page.html);
    }
    // The same form signs nobody in whose session has ended.
    let back = visitor.submit(&page, &page.form("sign in"), &[]).await;
    assert!(back.status == 410 && !visitor.get("/account").await.text().contains("ada@example.org"), "{}", back.html);
    // An invitation.
    let (id, mail) = invited(&app, &team, "grace@example.org").await;
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&mail.link("/invitations/")).await;
    for page in visitor.submit_twice(&page, &page.form("accept"), &[("name", "Grace")]).await {
        assert!(page.status == 200 && page.text().contains("of acme genomics"), "{}", page.html);
    }
    assert!(visitor.get("/account").await.text().contains("grace@example.org"));
    assert_eq!(team.invitation(&id).await["status"], "ACCEPTED");
    let (id, mail) = invited(&app, &team, "alan@example.org").await;
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&mail.link("/invitations/")).await;
    for page in visitor.submit_twice(&page, &page.form("decline</button>"), &[]).await {
        assert!(page.text().contains("declined"), "{}", page.html);
    }
    assert_eq!(team.invitation(&id).await["status"], "DECLINED");
    // A link for whoever has an account.
    let bob = app.sign_up("bob@example.org").await;
    let (_, mail) = invited(&app, &team, "bob@example.org").await;
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&mail.link("/invitations/")).await;
    for page in visitor.submit_twice(&page, &page.form("email me the link"), &[]).await {
        let text = page.text();
        assert!(text.contains("sent an email to bob@example.org") || text.contains("join acme genomics"), "{text}");
    }
    app.until_idle().await;
    assert_eq!(sent_to(&app, "bob@example.org"), 2, "one to sign up, and one now");
    // Another address.
    bob.ok("changeEmail", json!({ "email": "robert@example.org" }), "").await;
    let link = app.mail_about("robert@example.org", "Confirm").await.link("/email-change/");
    let page = visitor.get(&link).await;
    let [first, second] = visitor.submit_twice(&page, &page.form("use this address"), &[]).await;
    let done = [&first, &second]
        .iter()
        .filter(|page| page.text().contains("has the email address robert@example.org"))
        .count();
    assert!(done >= 1, "{} {}", first.html, second.html);
    app.finish().await;
}

// What a form was answered can be loaded again, and sends nothing again.
#[tokio::test]
async fn a_reload_sends_nothing_again() {
    let app = TestApp::start().await;
    let visitor = Visitor::new(&app.url);
    let page = visitor.get("/sign-in").await;
    let wrong = visitor.submit(&page, &page.form("email"), &[("email", "nobody")]).await;
    assert!(wrong.html.contains("value=\"nobody\"") && wrong.text().contains("the address must be"), "{}", wrong.html);
    let again = visitor.get(&wrong.url).await;
    assert!(again.status == 200 && !again.text().contains("must be"), "{}", again.html);
    let sent = visitor.submit(&page, &page.form("email"), &[("email", "ada@example.org")]).await;
    assert!(visitor.get(&sent.url).await.text().contains("ada@example.org"));
    let mail = app.mail_about("ada@example.org", "sign in").await;
    let digits = if mail.digits() == "000000" { "000001" } else { "000000" };
    let wrong = visitor.submit(&sent, &sent.form("code"), &[("code", digits)]).await;
    assert!(wrong.status == 200 && wrong.text().contains("these are not the digits"), "{}", wrong.html);
    let tries = "SELECT sum(digit_tries)::bigint AS value FROM sign_in_requests";
    let tried = app.database.number(tries).await;
    for _ in 0..3 {
        let again = visitor.get(&wrong.url).await;
        assert!(again.status == 200 && !again.text().contains("these are not the digits"), "{}", again.html);
    }
    assert_eq!(app.database.number(tries).await, tried);
    let done = visitor.submit(&wrong, &wrong.form("code"), &[("code", &mail.digits())]).await;
    assert!(done.url.ends_with("/account"), "{}", done.html);
    // Back at the form, whoever is signed in is led on.
    assert!(visitor.get("/sign-in/code").await.url.ends_with("/account"));
    assert!(visitor.get("/sign-in").await.text().contains("you are signed in as ada@example.org"));
    assert!(Visitor::new(&app.url).get("/sign-in/code").await.url.ends_with("/sign-in"));
    app.finish().await;
}

// What is wrong is said of the field that it is wrong with, to whoever sees the page and to whoever hears it.
#[tokio::test]
async fn errors_are_tied_to_their_fields() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let visitor = Visitor::new(&app.url);
    let (_, mail) = invited(&app, &team, "grace@example.org").await;
    let assert_tied = |page: &Page, field: &str| {
        let input = page.html.split("<input").find(|input| input.contains(&format!("id=\"{field}\""))).unwrap();
        let input = input.split('>').next().unwrap();
        for part in
            ["aria-invalid=\"true\"", &format!("aria-describedby=\"{field}-error\""), "autofocus", "autocomplete="]
        {
            assert!(input.contains(part), "{part}: {input}");
        }
        let parts = [
            format!("id=\"{field}-error\""),
            format!("<label for=\"{field}\""),
            format!("href=\"#{field}\""),
            "<title>Error: ".to_owned(),
        ];
        for part in parts.iter().map(String::as_str).chain(["role=\"alert\""]) {
            assert!(page.html.contains(part), "{part}: {}", page.html);
        }
    };
    let page = visitor.get("/sign-in").await;
    assert!(!page.html.contains("aria-invalid") && page.html.contains("<title>Sign in"), "{}", page.html);
    assert_tied(&visitor.submit(&page, &page.form("email"), &[("email", "")]).await, "email");
    let sent = visitor.submit(&page, &page.form("email"), &[("email", "ada@example.org")]).await;
    assert_tied(&visitor.submit(&sent, &sent.form("code"), &[("code", "000000")]).await, "code");
    let page = visitor.get(&mail.link("/invitations/")).await;
    let fields = [("name", "https://evil.example"), ("username", "-")];
    let wrong = visitor.submit(&page, &page.form("accept"), &fields[..1]).await;
    assert_tied(&wrong, "name");
    assert!(wrong.html.contains("value=\"https://evil.example\""), "{}", wrong.html);
    assert_tied(&visitor.submit(&page, &page.form("accept"), &fields[1..]).await, "username");
    app.finish().await;
}

// An address that is nearly right leads on, and any other says where to go on; programs are answered as programs.
#[tokio::test]
async fn every_address_leads_somewhere_sensible() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (_, mail) = invited(&app, &team, "grace@example.org").await;
    let link = mail.link("/invitations/");
    let visitor = Visitor::new(&app.url);
    for (address, words) in [
        ("/sign-in/", "we email you a link"),
        ("/sign-in///", "we email you a link"),
        ("/account/?a=b", "we email you a link"),
        (&format!("{link}/"), "join acme genomics"),
    ] {
        let page = visitor.get(address).await;
        assert!(page.status == 200 && page.text().contains(words), "{address}: {}", page.html);
        assert!(!page.url.trim_end_matches("?a=b").ends_with('/'), "{}", page.url);
    }
    for (address, next) in [
        ("/nowhere", "/account"),
        ("/nowhere/", "/account"),
        ("/invitations", "/account"),
        ("/sign-in/x/y", "/account"),
        ("/mail", "/account"),
    ] {
        let page = visitor.get(address).await;
        assert!(page.status == 404 && page.html.contains(&format!("href=\"{next}\"")), "{address}: {}", page.html);
        assert_kind(&page, &["page not found", "copy the whole link"]);
    }
    let path = link.strip_prefix(&app.url).unwrap();
    for (address, next) in [
        ("/sign-out".to_owned(), "/sign-in"),
        ("/account/sessions/end-others".to_owned(), "/account"),
        ("/account/sessions/x/end".to_owned(), "/account"),
        (format!("{link}/accept"), path),
        (format!("{link}/decline"), path),
        (format!("{link}/sign-in"), path),
    ] {
        let page = visitor.get(&address).await;
        assert!(page.status == 405 && page.html.contains(&format!("href=\"{next}\"")), "{address}: {}", page.html);
        assert_kind(&page, &["can't be opened", "nothing has happened"]);
    }
    assert_eq!(visitor.post("/account", &[]).await.status, 405);
    // What isn't a form, or a path that is no text.
    for page in [visitor.get("/invitations/%FF").await, visitor.get("/shared/x?after=%FF").await] {
        assert!(page.status == 400 && page.html.contains("<main"), "{}", page.html);
    }
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let json_form = http.post(format!("{}/sign-in", app.url)).json(&json!({})).send().await.unwrap();
    assert_eq!(json_form.status(), 415);
    assert!(json_form.text().await.unwrap().contains("<main"));
    // No slash leads to another host.
    for path in ["//evil.example/", "/\\evil.example/", "///evil.example//"] {
        let answer =
            crate::attack::raw(&app, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
                .await;
        let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
        assert!(location.is_none_or(|location| location == "/evil.example"), "{path}: {answer}");
    }
    // Programs.
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("POST", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/sign-out", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/account", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/health/live", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let request = http.request(method.parse().unwrap(), format!("{}{path}", app.url));
        let answer = request.header("accept", "application/json").send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers().contains_key("allow")),
            (status, status == 405),
            "{path}"
        );
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["errors"][0]["extensions"]["code"], code, "{body}");
    }
    let graphql = http.post(format!("{}/graphql/", app.url)).json(&json!({ "query": "{ __typename }" }));
    let answer: serde_json::Value = graphql.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["data"]["__typename"], "Query");
    app.finish().await;
}

// A member who opens their link again is told so, and whoever else is signed in isn't told who they are.
#[tokio::test]
async fn a_member_who_opens_a_link_again_is_told_so() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (_, mail) = invited(&app, &team, "grace@example.org").await;
    let link = mail.link("/invitations/");
    let grace = Visitor::new(&app.url);
    let page = grace.get(&link).await;
    let welcome = grace.submit(&page, &page.form("accept"), &[("name", "Grace")]).await;
    assert!(welcome.text().contains("welcome to acme genomics") && welcome.html.contains("href=\"/account\""));
    for _ in 0..2 {
        let again = grace.get(&link).await;
        assert_eq!(again.status, 200);
        assert!(again.text().contains("you are a member of acme genomics"), "{}", again.html);
        assert!(again.html.contains("href=\"/account\""), "{}", again.html);
    }
    // Others aren't.
    let eve = Visitor::new(&app.url);
    assert_kind(&eve.get(&link).await, &["already accepted", "sign in"]);
    sign_in(&app, &eve, "eve@example.org").await;
    assert_kind(&eve.get(&link).await, &["already accepted"]);
    // Who joined by another way has nothing to accept.
    let bob = app.sign_up("bob@example.org").await;
    let (_, mail) = invited(&app, &team, "bob@example.org").await;
    let code =
        team.owner.ok("createJoinCodes", json!({ "organizationId": team.id, "count": 1 }), "codes { code }").await;
    bob.ok("redeemJoinCode", json!({ "code": code["codes"][0]["code"] }), "").await;
    let visitor = Visitor::new(&app.url);
    sign_in(&app, &visitor, "bob@example.org").await;
    let again = visitor.get(&mail.link("/invitations/")).await;
    assert!(again.status == 200 && again.text().contains("you are a member of acme genomics"), "{}", again.html);
    app.finish().await;
}

/// How strongly two colours differ, as WCAG counts it.
const CONTRAST: &str = "const light = (colour) => { \
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255) \
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)); \
    return 0.2126 * r + 0.7152 * g + 0.0722 * b }; \
  const contrast = (one, other) => { \
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05) }; \
  const page = getComputedStyle(document.body).backgroundColor; \
  return [...document.querySelectorAll('input:not([type=hidden]), button')].map((field) => { \
    const style = getComputedStyle(field); \
    const box = field.getBoundingClientRect(); \
    return { contrast: contrast(style.borderTopColor, page), height: box.height, right: box.right, \
      size: parseFloat(style.fontSize) } })";

// WCAG 1.4.11: who sees little sees where a field is; on a phone everything fits, and is large enough for a finger.
#[tokio::test]
async fn fields_are_seen_and_touched() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (_, mail) = invited(&app, &team, "grace@example.org").await;
    let browser = Browser::start(true).await;
    browser.page.set_window_size(500, 800).await.unwrap();
    for address in [format!("{}/sign-in", app.url), mail.link("/invitations/")] {
        browser.open(&address).await;
        let width = browser.page.execute("return innerWidth", vec![]).await.unwrap().as_f64().unwrap();
        for field in browser.page.execute(CONTRAST, vec![]).await.unwrap().as_array().unwrap() {
            let number = |name: &str| field[name].as_f64().unwrap();
            assert!(
                number("contrast") >= 3.0 && number("height") >= 44.0 && number("size") >= 16.0,
                "{address}: {field}"
            );
            assert!(number("right") <= width, "{address}: {field}");
        }
    }
    browser.close().await;
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
    // What a proxy passes on comes from elsewhere, whichever way it says so.
    for header in [
        "via",
        "x-real-ip",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "cf-connecting-ip",
    ] {
        let answer = by_other_name.get(format!("{}/mail", app.url)).header(header, "203.0.113.7").send().await.unwrap();
        assert_eq!(answer.status(), 404, "{header}");
        assert!(!answer.text().await.unwrap().contains("ada@"), "{header}");
    }
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
    browser.shows("already accepted").await;
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

// R24, R25: a link that is dead may be in anybody's hands: neither its page nor its preview tells the address that it
// went to, or whether that has an account, whatever has ended it.
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

// R6: a mail about what is shared leads to it, through the sign-in that makes the account; to nobody else it shows
// anything.
#[tokio::test]
async fn a_mail_about_what_is_shared_leads_to_it() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let input = json!({ "resourceId": project, "grantee": { "email": "new@example.org" }, "level": "CONTRIBUTE" });
    team.owner.ok("grantAccess", input, "").await;
    let mail = app.mail_about("new@example.org", "Liver atlas").await;
    let link = mail.link("/resources/");
    assert!(link.ends_with(&project) && mail.html_links().contains(&link), "{link}");

    let visitor = Visitor::new(&app.url);
    let asked = visitor.get(&link).await;
    assert!(asked.url.ends_with("/sign-in") && !asked.html.contains("Liver"), "{}", asked.url);
    visitor.submit(&asked, &asked.form("name=\"email\""), &[("email", "new@example.org")]).await;
    let sign_in = app.mail_about("new@example.org", "sign in").await;
    let confirm = visitor.get(&sign_in.link("/sign-in/")).await;
    let shown = visitor.submit(&confirm, &confirm.forms()[0], &[]).await;
    assert_eq!((shown.status, shown.url.as_str()), (200, link.as_str()));
    let text = shown.text();
    for words in ["liver atlas", "this project of acme genomics", "contribute", &project] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    // Opened again later, it is there at once; and another sign-in leads to the account.
    assert_eq!(visitor.get(&link).await.text(), text);

    // Somebody else learns nothing, not even that it is there.
    let stranger = Visitor::new(&app.url);
    let asked = stranger.get(&link).await;
    stranger.submit(&asked, &asked.form("name=\"email\""), &[("email", "eve@example.org")]).await;
    let sign_in = app.mail_about("eve@example.org", "sign in").await;
    let confirm = stranger.get(&sign_in.link("/sign-in/")).await;
    let hidden = stranger.submit(&confirm, &confirm.forms()[0], &[]).await;
    assert_eq!(hidden.status, 404);
    let absent = stranger.get("/resources/res_01h455vb4pex5vsknk084sn02q").await;
    assert_eq!((absent.status, &absent.html), (404, &hidden.html));
    assert_eq!(stranger.get("/resources/nothing").await.html, hidden.html);
    assert!(hidden.text().contains("eve@example.org") && !hidden.html.contains("Liver"), "{}", hidden.html);
    app.finish().await;
}
