//! The public URL is the one truth: links, forms, redirects, cookies and the playground honour its path, whatever a
//! proxy makes of it.

use std::path::Path;

use crate::support::browser::Browser;
use crate::support::client::text;
use crate::support::page::Visitor;
use crate::support::process;
use crate::support::reverse_proxy::ReverseProxy;
use crate::support::{TestApp, json, until};

/// A service below `/rollcall`, behind a proxy that strips that.
async fn below_a_path(mails_as_files: bool) -> (TestApp, ReverseProxy) {
    let proxy = ReverseProxy::start("/rollcall").await;
    let builder = TestApp::builder().setting("ROLLCALL_PUBLIC_URL", &proxy.url);
    let app = match mails_as_files {
        true => builder.mails_as_files().start().await,
        false => builder.start().await,
    };
    proxy.lead_to(&app.url);
    (app, proxy)
}

#[tokio::test]
async fn a_browser_finds_everything_below_a_path() {
    let (app, proxy) = below_a_path(false).await;
    let team = app.team().await;
    let browser = Browser::start(true).await;
    let is_below = async || {
        let url = browser.page.current_url().await.unwrap();
        assert!(url.as_str().starts_with(&proxy.url), "{url}");
    };
    // Signing in.
    browser.open(&format!("{}/account", proxy.url)).await;
    browser.find("input[name=email]").await.send_keys("grace@example.org").await.unwrap();
    let styles = "return [...document.styleSheets].map((sheet) => [sheet.href, sheet.cssRules.length])";
    let styles = browser.page.execute(styles, vec![]).await.unwrap();
    assert_eq!(styles[0][0], format!("{}/style.css", proxy.url));
    assert!(styles[0][1].as_u64().unwrap() > 10, "{styles}");
    browser.find("button").await.click().await.unwrap();
    browser.shows("six-digit code").await;
    is_below().await;
    let mail = app.mail_about("grace@example.org", "sign in").await;
    assert!(mail.link("/sign-in/").starts_with(&format!("{}/sign-in/", proxy.url)), "{}", mail.text);
    browser.find("input[name=code]").await.send_keys(&mail.digits()).await.unwrap();
    browser.find("form button").await.click().await.unwrap();
    browser.shows("You are signed in").await;
    is_below().await;
    let cookies = browser.page.get_all_cookies().await.unwrap();
    let session = cookies.iter().find(|cookie| cookie.name() == "rollcall_session").unwrap();
    assert!(cookies.iter().all(|cookie| cookie.path() == Some("/rollcall")), "{cookies:?}");
    // Chromium keeps none for longer than 400 days; this one lasts as long as its session.
    let lifetime = "SELECT round(extract(epoch FROM max(expires_at)))::bigint::text AS value FROM sessions";
    let ends: i64 = app.database.texts(lifetime).await[0].parse().unwrap();
    let kept = session.expires_datetime().unwrap().unix_timestamp();
    assert!((ends - kept).abs() < 60, "{ends} {kept}");
    // An invitation, from its mail.
    let id = team.invite("grace@example.org", "MEMBER").await;
    let invitation = app.mail_about("grace@example.org", "invites you").await;
    browser.open(&invitation.link("/invitations/")).await;
    is_below().await;
    browser.find("form[action$='/accept'] button").await.click().await.unwrap();
    browser.shows("Welcome to Acme Genomics").await;
    is_below().await;
    assert_eq!(team.invitation(&id).await["status"], "ACCEPTED");
    // A token, and the playground with it.
    browser.find("a.button").await.click().await.unwrap();
    browser.find("form[action$='/account/token'] button").await.click().await.unwrap();
    browser.shows("Your token").await;
    is_below().await;
    browser.find("a.button").await.click().await.unwrap();
    browser.find(".graphiql-container .graphiql-query-editor").await;
    assert_eq!(browser.page.current_url().await.unwrap().as_str(), format!("{}/", proxy.url));
    browser.find(".graphiql-execute-button").await.click().await.unwrap();
    until("the playground answers", async || {
        let answer = "return document.querySelector('.result-window .CodeMirror')?.CodeMirror.getValue() ?? ''";
        let answer = browser.page.execute(answer, vec![]).await.unwrap();
        text(&answer).contains("\"email\": \"grace@example.org\"").then_some(())
    })
    .await;
    let loaded = "return performance.getEntriesByType('resource').map((entry) => entry.name)";
    for resource in browser.page.execute(loaded, vec![]).await.unwrap().as_array().unwrap() {
        let resource = resource.as_str().unwrap();
        assert!(resource.starts_with(&proxy.url) || resource.starts_with("data:"), "{resource}");
    }
    // A shared collection.
    let collection = team.owner.create(&team.id, "COLLECTION", "Atlas").await;
    let link = team.owner.ok("createShareLink", json!({ "resourceId": collection }), "url").await;
    assert!(text(&link["url"]).starts_with(&format!("{}/shared/", proxy.url)), "{link}");
    browser.open(&text(&link["url"])).await;
    browser.shows("Atlas").await;
    // And out.
    browser.open(&format!("{}/account/", proxy.url)).await;
    browser.find("form[action$='/sign-out'] button").await.click().await.unwrap();
    browser.shows("This device is signed out").await;
    assert_eq!(browser.page.current_url().await.unwrap().as_str(), format!("{}/sign-in", proxy.url));
    browser.close().await;
    app.finish().await;
}

#[tokio::test]
async fn mails_that_are_kept_are_found_below_a_path() {
    let (app, proxy) = below_a_path(true).await;
    app.anonymous().ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    app.until_idle().await;
    let browser = Browser::start(true).await;
    browser.open(&format!("{}/mail", proxy.url)).await;
    browser.shows("ada@example.org").await;
    browser.find(".list a").await.click().await.unwrap();
    browser.find("iframe.mail").await;
    let frame = "return [document.querySelector('iframe').src, document.querySelector('a.secondary').href]";
    let frame = browser.page.execute(frame, vec![]).await.unwrap();
    for link in frame.as_array().unwrap() {
        assert!(text(link).starts_with(&format!("{}/mail/", proxy.url)), "{frame}");
        assert_eq!(Visitor::new(&proxy.url).get(&text(link)).await.status, 200, "{link}");
    }
    // The link in the mail works there.
    let link = browser.find("pre a").await.attr("href").await.unwrap().unwrap();
    browser.open(&link).await;
    browser.find("form button").await.click().await.unwrap();
    browser.shows("You are signed in").await;
    let problem = Visitor::new(&proxy.url).get(&format!("{}/mail/none.eml", proxy.url)).await;
    assert!(problem.html.contains("href=\"/rollcall/mail\"") && problem.html.contains("href=\"/rollcall/style.css\""));
    browser.close().await;
    app.finish().await;
}

// Forms come from where people reach the service; the request's host is whatever the proxy has made of it.
#[tokio::test]
async fn forms_and_cookies_follow_the_public_url() {
    for (public, origin, path, prefix) in [
        ("https://rollcall.example", "https://rollcall.example", "/", "__Host-"),
        ("https://rollcall.example/app/", "https://rollcall.example", "/app", "__Secure-"),
    ] {
        let app = TestApp::builder().without_worker().setting("ROLLCALL_PUBLIC_URL", public).start().await;
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let page = http.get(format!("{}/sign-in", app.url)).send().await.unwrap();
        let cookie = page.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.starts_with(&format!("{prefix}rollcall_form=")), "{cookie}");
        assert!(cookie.contains("Secure") && cookie.contains(&format!("; Path={path};")), "{cookie}");
        assert_eq!(page.headers().contains_key("strict-transport-security"), path == "/");
        let html = page.text().await.unwrap();
        let action = format!("action=\"{}/sign-in\"", path.trim_end_matches('/'));
        assert!(html.contains(&action), "{html}");
        let field = html.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let send = async |origin: Option<&str>, fetch_site: Option<&str>| {
            let mut request = http
                .post(format!("{}/sign-in", app.url))
                .header("cookie", cookie.split(';').next().unwrap())
                .header("host", "backend.internal:8080");
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            if let Some(fetch_site) = fetch_site {
                request = request.header("sec-fetch-site", fetch_site);
            }
            request.form(&[("csrf", field), ("email", "nobody")]).send().await.unwrap()
        };
        for (origin, fetch_site) in [
            (Some("http://backend.internal:8080"), None),
            (Some("https://backend.internal:8080"), Some("same-origin")),
            (Some("http://rollcall.example"), None),
            (Some("https://evil.example"), None),
            (Some("null"), None),
            (Some(origin), Some("cross-site")),
            (Some(origin), Some("same-site")),
        ] {
            assert_eq!(send(origin, fetch_site).await.status(), 403, "{origin:?} {fetch_site:?}");
        }
        for fetch_site in [None, Some("same-origin")] {
            let answer = send(Some(origin), fetch_site).await;
            assert_eq!(answer.status(), 303);
            let location = answer.headers()["location"].to_str().unwrap();
            assert_eq!(location, format!("{}/sign-in", path.trim_end_matches('/')));
        }
        app.finish().await;
    }
}

// On one's own machine it has more names than one.
#[tokio::test]
async fn this_machine_is_reached_by_any_of_its_names() {
    let app = TestApp::start().await;
    for name in ["localhost", "127.0.0.1"] {
        let visitor = Visitor::new(&app.url.replace("127.0.0.1", name));
        let page = visitor.get("/sign-in").await;
        let sent = visitor.submit(&page, &page.form("email"), &[("email", "ada@example.org")]).await;
        assert!(sent.text().contains("six-digit code"), "{}", sent.html);
    }
    app.finish().await;
}

/// What a program says when it refuses to start with these settings.
fn refusal(program: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("public-url-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut all = vec![
        ("DATABASE_URL".to_owned(), "postgres://nobody@127.0.0.1:1/none".to_owned()),
        ("ROLLCALL_SECRET".to_owned(), "a-secret-of-the-tests-0123456789-0123456789".to_owned()),
    ];
    all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let output = process::command(program, &folder, &all).args(arguments).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_is_no_public_url_is_refused_at_start() {
    let worker = process::rollcall().with_file_name("rollcall-worker");
    for (program, arguments) in [(process::rollcall(), &["serve"][..]), (process::rollcall(), &[]), (&worker, &[])] {
        for (value, why) in [
            ("rollcall.example", "must begin with https:// or http://"),
            ("ftp://rollcall.example", "must begin with https:// or http://"),
            ("https://ada:hidden@rollcall.example", "must not hold a user name or password"),
            ("https://rollcall.example/?a=b", "without ? or #"),
            ("https://rollcall.example/#a", "without ? or #"),
            ("https://rollcall.example//app", "single slashes"),
        ] {
            let refusal = refusal(program, arguments, &[("ROLLCALL_PUBLIC_URL", value)]);
            assert_eq!(refusal.trim().lines().count(), 1, "{refusal}");
            for part in ["ROLLCALL_PUBLIC_URL", why, "such as https://example.org or https://example.org/rollcall"] {
                assert!(refusal.contains(part), "{value}: {refusal}");
            }
            assert!(!refusal.contains("hidden"), "{refusal}");
        }
        // Nobody else could follow a link to where this machine listens.
        for listen in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"] {
            let refusal = refusal(program, arguments, &[("ROLLCALL_LISTEN", listen)]);
            assert_eq!(refusal.trim().lines().count(), 1, "{refusal}");
            for part in ["ROLLCALL_PUBLIC_URL", listen, "https://example.org/rollcall"] {
                assert!(refusal.contains(part), "{listen}: {refusal}");
            }
        }
    }
}
