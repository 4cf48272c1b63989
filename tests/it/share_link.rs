//! Share links: a collection's page for whoever has the link.

use crate::support::browser::Browser;
use crate::support::client::{nodes, text};
use crate::support::page::Visitor;
use crate::support::{Client, Team, TestApp, json};

const LINKS: &str = "query($id: ID!) { node(id: $id) { ... on Resource { shareLinks { totalCount nodes { id hint expiresAt createdBy { id } } } } } }";

/// A collection of the person's with some volumes in it.
async fn collection(person: &Client, team: &Team, items: usize) -> String {
    let input =
        json!({ "organizationId": team.id, "kind": "COLLECTION", "name": "Livers", "description": "Of <b>mice</b>." });
    let id = text(&person.ok("createResource", input, "resource { id }").await["resource"]["id"]);
    let mut volumes = Vec::new();
    for n in 0..items {
        let input = json!({ "organizationId": team.id, "kind": "VOLUME", "name": format!("Reads {n:03}"), "sizeBytes": "1500000000" });
        volumes.push(text(&person.ok("createResource", input, "resource { id }").await["resource"]["id"]));
    }
    for some in volumes.chunks(100) {
        person.ok("addToCollection", json!({ "collectionId": id, "resourceIds": some }), "").await;
    }
    id
}

/// A new link: its id and its URL.
async fn link(person: &Client, collection: &str, expires_at: Option<&str>) -> (String, String) {
    let input = json!({ "resourceId": collection, "expiresAt": expires_at });
    let made = person.ok("createShareLink", input, "shareLink { id hint } url").await;
    let (id, url) = (text(&made["shareLink"]["id"]), text(&made["url"]));
    assert!(id.starts_with("lnk_") && url.ends_with(made["shareLink"]["hint"].as_str().unwrap()), "{made}");
    (id, url)
}

// R73: a collection is shared outside by a link; its page shows what it gathers and tells of nobody.
#[tokio::test]
async fn a_collection_is_shared_by_a_link() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    let id = collection(&ada, &team, 101).await;
    let (link_id, url) = link(&ada, &id, None).await;
    assert!(url.starts_with(&format!("{}/shared/", app.url)), "{url}");
    // Only its digest is kept.
    let token = url.rsplit('/').next().unwrap();
    let kept = app.database.texts("SELECT to_jsonb(l)::text AS value FROM share_links l").await;
    assert!(kept.len() == 1 && !kept[0].contains(token), "{kept:?}");
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&url).await;
    let shown = page.text();
    assert_eq!(page.status, 200, "{}", page.html);
    assert!(
        shown.contains("livers") && shown.contains("of <b>mice</b>.") && shown.contains("acme genomics"),
        "{shown}"
    );
    assert!(shown.contains("reads 000") && shown.contains("1.4 gib") && shown.contains("reads 099"), "{shown}");
    assert!(!shown.contains("reads 100") && !shown.contains("ada") && !page.html.contains("<b>"), "{shown}");
    let more =
        page.html.split("href=\"").find_map(|part| part.strip_prefix("/shared/")).unwrap().split('"').next().unwrap();
    let rest = visitor.get(&format!("/shared/{more}")).await.text();
    assert!(rest.contains("reads 100") && !rest.contains("reads 099"), "{rest}");
    assert_eq!(visitor.get(&format!("{url}?after=x")).await.status, 400);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(&url).send().await.unwrap();
    for (header, value) in
        [("referrer-policy", "no-referrer"), ("cache-control", "no-store"), ("x-robots-tag", "noindex")]
    {
        assert_eq!(answer.headers()[header], value);
    }
    // Who administers sees the link, and nobody else.
    let seen = ada.query(LINKS, json!({ "id": id })).await["node"]["shareLinks"].clone();
    assert_eq!((&seen["totalCount"], &nodes(&seen)[0]["createdBy"]["id"]), (&json!(1), &json!(ada.user_id)));
    ada.grant(&id, json!({ "userId": grace.user_id }), "CONTRIBUTE").await;
    assert!(grace.query(LINKS, json!({ "id": id })).await["node"]["shareLinks"].is_null());
    let refusal = grace.refused("createShareLink", json!({ "resourceId": id })).await;
    assert_eq!(refusal.is(), ("FORBIDDEN", "input.resourceId"));
    assert_eq!(grace.refused("revokeShareLink", json!({ "id": link_id })).await.is(), ("NOT_FOUND", "input.id"));
    let project = ada.create(&team.id, "PROJECT", "Atlas").await;
    let refusal = ada.refused("createShareLink", json!({ "resourceId": project })).await;
    assert_eq!(refusal.is(), ("INVALID", "input.resourceId"));
    let past = json!({ "resourceId": id, "expiresAt": "2000-01-01T00:00:00Z" });
    assert_eq!(ada.refused("createShareLink", past).await.is(), ("INVALID", "input.expiresAt"));
    for _ in 1..50 {
        link(&ada, &id, Some("2999-01-01T00:00:00Z")).await;
    }
    let refusal = ada.refused("createShareLink", json!({ "resourceId": id })).await;
    assert_eq!(refusal.is(), ("TOO_MANY", "input.resourceId"));
    // What has expired is in nobody's way.
    app.database.sql("UPDATE share_links SET expires_at = rollcall_now() WHERE expires_at IS NOT NULL").await;
    link(&ada, &id, None).await;
    app.finish().await;
}

// R42, R73: a link lives as long as whoever made it administers the collection, however that ends.
#[tokio::test]
async fn a_link_ends_with_its_makers_right() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let bob = app.sign_up("bob@example.org").await;
    let chief = app.sign_up("chief@example.org").await;
    let lab = crate::support::Team { id: chief.found("Lab").await, owner: chief };
    let eve = app.join(&lab, "eve@example.org", "ADMIN").await;
    let id = collection(&team.owner, &team, 1).await;
    let grant = team.owner.grant(&id, json!({ "userId": bob.user_id }), "ADMINISTER").await;
    team.owner.grant(&id, json!({ "organizationId": lab.id }), "ADMINISTER").await;
    let ((_, bobs), (_, eves)) = (link(&bob, &id, None).await, link(&eve, &id, None).await);
    let visitor = Visitor::new(&app.url);
    for url in [&bobs, &eves] {
        assert_eq!(visitor.get(url).await.status, 200, "{url}");
    }
    team.owner.ok("revokeAccess", json!({ "grantId": grant }), "").await;
    assert_eq!(visitor.get(&bobs).await.status, 404);
    // She had it by the lab, and leaves that.
    let departure = lab.remove(&eve).await;
    assert_eq!(visitor.get(&eves).await.status, 404);
    app.completed(&lab, &departure).await;
    app.finish().await;
}

// R42, R73: links that expired, were revoked, are paused or never were lead to one and the same page.
#[tokio::test]
async fn a_dead_link_says_nothing_of_what_was_there() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let (of_owner, of_ada) = (collection(&team.owner, &team, 1).await, collection(&ada, &team, 1).await);
    let now = app
        .database
        .texts("SELECT to_char(rollcall_now() + interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS value")
        .await;
    let (_, lasting) = link(&team.owner, &of_owner, None).await;
    let (_, expiring) = link(&team.owner, &of_owner, Some(&now[0])).await;
    let (revoked_id, revoked) = link(&team.owner, &of_owner, None).await;
    let (_, leavers) = link(&ada, &of_ada, None).await;
    let visitor = Visitor::new(&app.url);
    for url in [&lasting, &expiring, &revoked, &leavers] {
        assert_eq!(visitor.get(url).await.status, 200, "{url}");
    }
    let nothing = visitor.get("/shared/nothing").await;
    assert_eq!(nothing.status, 404);
    let same = async |visitor: &Visitor, url: &str| {
        let page = visitor.get(url).await;
        page.status == 404 && page.html == nothing.html
    };
    team.owner.ok("revokeShareLink", json!({ "id": revoked_id }), "revokedShareLinkId").await;
    let again = team.owner.refused("revokeShareLink", json!({ "id": revoked_id })).await;
    assert_eq!(again.is(), ("NOT_FOUND", "input.id"));
    assert!(same(&visitor, &revoked).await);
    // A leaver's die with the departure.
    app.completed(&team, &team.remove(&ada).await).await;
    assert!(same(&visitor, &leavers).await);
    assert!(team.audit().await.contains(&"share_link.revoked".to_owned()));
    // Those of an organization that keeps its sharing inside sleep, and no new ones are made.
    let policy = |sharing: &str| json!({ "organizationId": team.id, "externalSharing": sharing });
    team.owner.ok("updateOrganizationPolicy", policy("MEMBERS_ONLY"), "").await;
    assert!(same(&visitor, &lasting).await);
    let refusal = team.owner.refused("createShareLink", json!({ "resourceId": of_owner })).await;
    assert_eq!(refusal.is(), ("FORBIDDEN", "input.resourceId"));
    team.owner.ok("updateOrganizationPolicy", policy("ALLOWED"), "").await;
    assert_eq!(visitor.get(&lasting).await.status, 200);
    // Those of a deleted organization pause with it.
    let delete = json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" });
    team.owner.ok("deleteOrganization", delete, "").await;
    assert!(same(&visitor, &lasting).await);
    app.staff().ok("restoreOrganization", json!({ "id": team.id }), "").await;
    assert_eq!(visitor.get(&lasting).await.status, 200);
    app.shift_clock("1 day").await;
    let visitor = Visitor::new(&app.url);
    assert!(same(&visitor, &expiring).await);
    assert_eq!(visitor.get(&lasting).await.status, 200);
    team.owner.ok("deleteResource", json!({ "id": of_owner }), "deletedResourceId").await;
    assert!(same(&visitor, &lasting).await);
    app.finish().await;
}

// R73: in a real browser, without scripts and without an account.
#[tokio::test]
async fn a_browser_shows_a_shared_collection() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let id = collection(&team.owner, &team, 101).await;
    let (_, url) = link(&team.owner, &id, None).await;
    let browser = Browser::start(false).await;
    browser.open(&url).await;
    browser.shows("Acme Genomics").await;
    browser.shows("Reads 000").await;
    browser.find("a.button").await.click().await.unwrap();
    browser.shows("Reads 100").await;
    browser.close().await;
    app.finish().await;
}
