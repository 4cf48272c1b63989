//! Clients as they are: browser apps of other origins, Apollo's persisted queries, fields that are left out in one of
//! three ways, and answers in the form that the specification gives them.

use reqwest::{Method, StatusCode};
use sha2::{Digest, Sha256};

use crate::support::client::document;
use crate::support::{TestApp, Value, json};

const APP: &str = "https://app.example.org";

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn header(response: &reqwest::Response, name: &str) -> Option<String> {
    let values: Vec<_> = response.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

async fn preflight(app: &TestApp, origin: &str, path: &str) -> reqwest::Response {
    http()
        .request(Method::OPTIONS, format!("{}{path}", app.url))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-app-version")
        .send()
        .await
        .unwrap()
}

// Browser apps of the origins that the deployment names may call /graphql, and read every answer; nobody else's may.
#[tokio::test]
async fn apps_of_allowed_origins_may_call() {
    let app = TestApp::builder()
        .without_worker()
        .setting("ROLLCALL_ALLOWED_ORIGINS", "https://APP.example.org, http://localhost:5173")
        .start()
        .await;
    for origin in [APP, "http://localhost:5173"] {
        let response = preflight(&app, origin, "/graphql").await;
        assert!(response.status().is_success(), "{}", response.status());
        assert_eq!(header(&response, "access-control-allow-origin").as_deref(), Some(origin));
        assert_eq!(header(&response, "access-control-allow-methods").as_deref(), Some("GET,POST"));
        let headers = header(&response, "access-control-allow-headers").unwrap();
        assert_eq!(headers, "authorization,content-type,x-app-version");
        assert_eq!(header(&response, "access-control-max-age").as_deref(), Some("7200"));
        assert_eq!(header(&response, "access-control-allow-credentials"), None);
        assert!(header(&response, "x-request-id").is_some());
    }
    for (origin, path) in [
        ("https://evil.example", "/graphql"),
        ("http://app.example.org", "/graphql"),
        ("https://app.example.org:8443", "/graphql"),
        ("https://app.example.org.evil.example", "/graphql"),
        ("null", "/graphql"),
        (APP, "/sign-in"),
        (APP, "/account"),
        (APP, "/health/live"),
    ] {
        let response = preflight(&app, origin, path).await;
        assert_eq!(header(&response, "access-control-allow-origin"), None, "{origin} {path}");
    }

    let url = format!("{}/graphql", app.url);
    let post = || http().post(&url).header("origin", APP).header("content-type", "application/json");
    let query = json!({ "query": "{ __typename }" }).to_string();
    let answers = [
        (200, post().body(query.clone())),
        (200, http().get(format!("{url}?query=%7B__typename%7D")).header("origin", APP)),
        (400, post().body("{")),
        (400, post().header("accept", "application/graphql-response+json").body(r#"{"query":"{ nothing }"}"#)),
        (401, post().bearer_auth("rcs_x").body(query.clone())),
        (405, http().delete(&url).header("origin", APP)),
        (406, post().header("accept", "text/html").body(query.clone())),
        (413, post().body("x".repeat(2 * 1024 * 1024))),
        (415, http().post(&url).header("origin", APP).header("content-type", "text/plain").body(query.clone())),
        (415, post().header("content-encoding", "gzip").body(query.clone())),
    ];
    for (status, request) in answers {
        let response = loop {
            // Who still sends what is too large may not hear of it.
            match request.try_clone().unwrap().send().await {
                Ok(response) => break response,
                Err(error) => assert_eq!(status, 413, "{error}"),
            }
        };
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(header(&response, "access-control-allow-origin").as_deref(), Some(APP), "{status}");
        assert_eq!(header(&response, "access-control-expose-headers").as_deref(), Some("x-request-id,retry-after"));
        assert_eq!(header(&response, "access-control-allow-credentials"), None);
        assert!(header(&response, "vary").unwrap().contains("origin"), "{status}");
    }
    // Whoever isn't named is answered like everybody, and the browser keeps the answer from them.
    let response =
        http().post(&url).header("origin", "https://evil.example").json(&json!({ "query": "{ __typename }" }));
    let response = response.send().await.unwrap();
    assert_eq!((response.status(), header(&response, "access-control-allow-origin")), (StatusCode::OK, None));
    assert!(header(&response, "vary").unwrap().contains("origin"), "a cache must not mix them up");
    app.finish().await;
}

// Too many tries: an app can read how long to wait (R30).
#[tokio::test]
async fn an_app_can_read_how_long_to_wait() {
    let app = TestApp::builder().setting("ROLLCALL_ALLOWED_ORIGINS", APP).start().await;
    let ada = app.sign_up("ada@example.org").await;
    let body = json!({ "query": document("redeemJoinCode", ""), "variables": { "input": { "code": "0000-0000" } } });
    let limited = async {
        for _ in 0..50 {
            let request = http().post(format!("{}/graphql", app.url)).header("origin", APP).json(&body);
            let request = request.header("accept", "application/graphql-response+json");
            let response = request.bearer_auth(ada.token.as_deref().unwrap()).send().await.unwrap();
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                return response;
            }
        }
        panic!("tries are not limited");
    };
    let response = limited.await;
    assert!(header(&response, "retry-after").is_some());
    assert_eq!(header(&response, "access-control-expose-headers").as_deref(), Some("x-request-id,retry-after"));
    assert_eq!(header(&response, "access-control-allow-origin").as_deref(), Some(APP));
    app.finish().await;
}

// Without the setting no other origin is let in, and a cookie opens nothing from anywhere.
#[tokio::test]
async fn other_origins_are_kept_out_unless_they_are_named() {
    let app = TestApp::start().await;
    let response = preflight(&app, APP, "/graphql").await;
    assert_eq!((response.status().as_u16(), header(&response, "access-control-allow-origin")), (405, None));
    app.finish().await;

    let app = TestApp::builder().setting("ROLLCALL_ALLOWED_ORIGINS", APP).start().await;
    let ada = app.sign_up("ada@example.org").await;
    let cookie = format!("rollcall_session={}", ada.token.as_deref().unwrap());
    let request = http().post(format!("{}/graphql", app.url)).header("origin", APP).header("cookie", cookie);
    let answer: Value =
        request.json(&json!({ "query": "{ viewer { email } }" })).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer, json!({ "data": { "viewer": null } }));
    app.finish().await;
}

fn hash(document: &str) -> String {
    Sha256::digest(document.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn persisted(hash: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

// Apollo's protocol: the hash alone, and the whole document where that isn't known.
#[tokio::test]
async fn a_document_is_named_by_its_hash_once_it_was_sent() {
    let mut app = TestApp::builder().without_worker().start().await;
    let client = app.anonymous();
    let query = "query Type($deep: Boolean = false) { __typename viewer @include(if: $deep) { email } }";
    let hashed = json!({ "extensions": persisted(&hash(query)) });
    let unknown = client.send(&hashed).await;
    let not_found = json!({ "errors": [{ "message": "PersistedQueryNotFound", "extensions": { "code": "PERSISTED_QUERY_NOT_FOUND" } }] });
    assert_eq!((unknown.status, &unknown.body), (200, &not_found));
    // Fields that are left out are null or empty, too.
    let empty = json!({ "query": "", "operationName": null, "variables": null, "extensions": persisted(&hash(query)) });
    assert_eq!(client.send(&empty).await.body, not_found);
    let newer = http().post(format!("{}/graphql", app.url)).header("accept", "application/graphql-response+json");
    let newer = newer.json(&hashed).send().await.unwrap();
    assert_eq!((newer.status().as_u16(), newer.json::<Value>().await.unwrap()), (200, not_found.clone()));

    let whole = json!({ "query": query, "extensions": persisted(&hash(query)) });
    assert_eq!(client.send(&whole).await.body, json!({ "data": { "__typename": "Query" } }));
    assert_eq!(client.send(&hashed).await.body, json!({ "data": { "__typename": "Query" } }));
    let with_variables = json!({ "extensions": persisted(&hash(query).to_uppercase()), "variables": { "deep": true } });
    assert_eq!(client.send(&with_variables).await.body, json!({ "data": { "__typename": "Query", "viewer": null } }));
    // By GET, as Apollo's link asks where it is told to.
    let get = async |hash: &str, more: &str| {
        let url = reqwest::Url::parse_with_params(
            &format!("{}/graphql?{more}", app.url),
            [("extensions", persisted(hash).to_string())],
        );
        let response = http().get(url.unwrap()).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(
        get(&hash(query), "operationName=Type&variables=").await,
        (200, json!({ "data": { "__typename": "Query" } }))
    );
    assert_eq!(get(&hash("{ nothing }"), "").await, (200, not_found.clone()));

    // Each process learns by itself.
    let other = crate::support::Client::new(&app.another_api().await, None);
    assert_eq!(other.send(&hashed).await.body, not_found);
    app.finish().await;
}

// What is named by its hash is held to what every document is held to.
#[tokio::test]
async fn a_persisted_document_has_the_same_limits() {
    let app = TestApp::start().await;
    let client = app.anonymous();
    // A mutation by GET isn't executed, by whichever name.
    let mutation = "mutation { requestSignIn(input: { email: \"ada@example.org\" }) { userErrors { code } } }";
    client.send(&json!({ "query": mutation, "extensions": persisted(&hash(mutation)) })).await.data();
    app.mail_about("ada@example.org", "sign in").await;
    let url = reqwest::Url::parse_with_params(
        &format!("{}/graphql", app.url),
        [("extensions", persisted(&hash(mutation)).to_string())],
    );
    assert_eq!(http().get(url.unwrap()).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    app.until_idle().await;
    assert!(app.read_mail("ada@example.org", "").is_none());

    // What is refused isn't kept, so that the limits of its size are not of its hash's.
    let costly = format!("{{ {} }}", (0..31).map(|n| format!("a{n}: __typename ")).collect::<String>());
    for document in ["{ viewer {", costly.as_str(), &"{ a ".repeat(70)] {
        let whole = json!({ "query": document, "extensions": persisted(&hash(document)) });
        assert_eq!(client.send(&whole).await.error_code(), "BAD_REQUEST");
        let hashed = json!({ "extensions": persisted(&hash(document)) });
        assert_eq!(client.send(&hashed).await.error_code(), "PERSISTED_QUERY_NOT_FOUND", "{document:.20}");
    }
    let query = "{ __typename }";
    let right = hash(query);
    for (what, body) in [
        ("another hash", json!({ "query": query, "extensions": persisted(&hash("{ viewer { email } }")) })),
        ("another version", json!({ "extensions": { "persistedQuery": { "version": 2, "sha256Hash": right } } })),
        ("no version", json!({ "extensions": { "persistedQuery": { "sha256Hash": right } } })),
        ("no hash", json!({ "query": query, "extensions": { "persistedQuery": { "version": 1 } } })),
        ("half a hash", json!({ "extensions": persisted(&right[..32]) })),
        ("no digits", json!({ "extensions": persisted(&"x".repeat(64)) })),
        ("no object", json!({ "query": query, "extensions": { "persistedQuery": right } })),
        ("nothing", json!({ "extensions": {} })),
        ("nothing at all", json!({ "query": null, "extensions": null })),
    ] {
        let answer = client.send(&body).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (400, "BAD_REQUEST"), "{what}: {}", answer.body);
    }
    // A wrong hash has taught nothing.
    let hashed = json!({ "extensions": persisted(&hash("{ viewer { email } }")) });
    assert_eq!(client.send(&hashed).await.error_code(), "PERSISTED_QUERY_NOT_FOUND");
    // Null is as good as no extension.
    let without = json!({ "query": query, "extensions": { "persistedQuery": null } });
    client.send(&without).await.data();
    app.finish().await;
}

// Memory is bounded: what is named all the time stays, whatever else is sent.
#[tokio::test]
async fn persisted_documents_take_up_no_more_than_they_may() {
    let app = TestApp::builder().without_worker().start().await;
    let client = app.anonymous();
    let query = "{ __typename }";
    client.send(&json!({ "query": query, "extensions": persisted(&hash(query)) })).await.data();
    // 19 MB of documents for the 16 MB that are kept.
    let mut kept = Vec::new();
    for number in 0..80 {
        let document = format!("{{ __typename }} #{number} {}", "x".repeat(240_000));
        let hash = hash(&document);
        client.send(&json!({ "query": document, "extensions": persisted(&hash) })).await.data();
        client.send(&json!({ "extensions": persisted(&self::hash(query)) })).await.data();
        kept.push(hash);
    }
    let mut found = 0;
    for hash in kept {
        found += usize::from(client.send(&json!({ "extensions": persisted(&hash) })).await.body.get("data").is_some());
    }
    assert!((1..=70).contains(&found), "{found} of 80 are kept");
    app.finish().await;
}

// The order of the selection, by the schema as it is: some fields are read from the database, others are there already.
#[tokio::test]
async fn answers_keep_the_order_of_the_selection() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let query = "query($org: ID!, $ids: [ID!]!) { \
        nodes(ids: $ids) { ...Thing __typename ... on Organization { slug } id } \
        o: organization(by: { id: $org }) { owner { id username } id members(first: 1) { totalCount nodes { user { name id } role id } } \
          name seatsUsed: leadership { role user { username } } } \
        viewer { memberships(first: 1) { nodes { organization { slug } role } } email user { username id } } \
        __typename } \
        fragment Thing on Node { ... on Resource { owner { username } name organization { slug name } kind } ... on Organization { owner { username } name } }";
    let body = json!({ "query": query, "variables": { "org": team.id, "ids": [project, team.id] } });
    for _ in 0..5 {
        let request = http().post(format!("{}/graphql", app.url)).bearer_auth(team.owner.token.as_deref().unwrap());
        let text = request.json(&body).send().await.unwrap().text().await.unwrap();
        assert!(!text.contains("errors"), "{text}");
        let mut rest = text.as_str();
        for key in [
            "nodes",
            "owner",
            "username",
            "name",
            "organization",
            "slug",
            "name",
            "kind",
            "__typename",
            "id",
            "owner",
            "username",
            "name",
            "__typename",
            "slug",
            "id",
            "o",
            "owner",
            "id",
            "username",
            "id",
            "members",
            "totalCount",
            "nodes",
            "user",
            "name",
            "id",
            "role",
            "id",
            "name",
            "seatsUsed",
            "role",
            "user",
            "username",
            "viewer",
            "memberships",
            "nodes",
            "organization",
            "slug",
            "role",
            "email",
            "user",
            "username",
            "id",
            "__typename",
        ] {
            // The next key, whatever its name: each must be the one that was selected next.
            let next = next_key(&mut rest);
            assert_eq!(next.as_deref(), Some(key), "before {rest} in {text}");
        }
        assert_eq!(next_key(&mut rest), None);
    }
    app.finish().await;
}

/// The next key of an object in JSON below `data`.
fn next_key(rest: &mut &str) -> Option<String> {
    loop {
        let end = rest.find("\":")?;
        let start = rest[..end].rfind('"')? + 1;
        let key = rest[start..end].to_owned();
        *rest = &rest[end + 2..];
        if key != "data" {
            return Some(key);
        }
    }
}

// A field that fails is null, or else the nearest that holds it and may be; and what is there isn't null because
// nothing is selected of it.
#[tokio::test]
async fn what_fails_is_null_and_nothing_else() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let variables = json!({ "id": team.id });
    let ask = async |query: &str| {
        let answer = team.owner.run(query, variables.clone()).await;
        let paths: Vec<Value> = answer.body["errors"]
            .as_array()
            .map(|errors| errors.iter().map(|error| error["path"].clone()).collect())
            .unwrap_or_default();
        (answer.body["data"].clone(), paths)
    };
    // A nullable field of the root.
    let (data, paths) =
        ask("query($id: ID!) { viewer { email } node(id: \"x\") { id } by: organization(by: { id: $id }) { id } }")
            .await;
    assert_eq!(data, json!({ "viewer": { "email": team.owner.email }, "node": null, "by": { "id": team.id } }));
    assert_eq!(paths, [json!(["node"])]);
    // A nullable connection in something.
    let (data, paths) =
        ask("query($id: ID!) { organization(by: { id: $id }) { members(first: 1000) { nodes { id } } id } }").await;
    assert_eq!(data, json!({ "organization": { "members": null, "id": team.id } }));
    assert_eq!(paths, [json!(["organization", "members"])]);
    // One that can't be null takes what holds it along.
    let (data, paths) = ask("query($id: ID!) { organization(by: { id: $id }) { id } viewer { email sessions(first: 1000) { nodes { id } } } }").await;
    assert_eq!(data, json!({ "organization": { "id": team.id }, "viewer": null }));
    assert_eq!(paths, [json!(["viewer", "sessions"])]);
    let (data, _) = ask("query($id: ID!) { organization(by: { id: $id }) { id } nodes(ids: [\"x\"]) { id } }").await;
    assert_eq!(data, json!(null));
    // What is there, and is of another type.
    let (data, paths) = ask("query($id: ID!) { node(id: $id) { ... on Team { name } } nodes(ids: [$id, \"tea_01h455vb4pex5vsknk084sn02q\"]) { ... on User { username } } }").await;
    assert_eq!((data, paths.len()), (json!({ "node": {}, "nodes": [{}, null] }), 0));
    app.finish().await;
}

// Forms send an empty text for what nobody filled in, generated clients null, and people nothing at all: all three mean
// the same.
#[tokio::test]
async fn what_is_left_out_may_be_null_or_empty() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let group = team.group("Lab", &[]).await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let nothing = [json!(null), json!(""), json!(" \t ")];
    let full = "fullName description website location sector universityName logoUrl";
    // What is made.
    for (mutation, input, selection, fields) in [
        (
            "createOrganization",
            json!({ "name": "Left out" }),
            format!("organization {{ {full} name }}"),
            vec![
                "slug",
                "fullName",
                "description",
                "website",
                "location",
                "sector",
                "universityName",
                "logoUrl",
                "ownerEmail",
            ],
        ),
        (
            "createResource",
            json!({ "organizationId": team.id, "kind": "PROJECT", "name": "Left out" }),
            "resource { description visibility sizeBytes }".to_owned(),
            vec!["description"],
        ),
        (
            "createJoinCodes",
            json!({ "organizationId": team.id }),
            "codes { joinCode { label role } }".to_owned(),
            vec!["label"],
        ),
    ] {
        let left_out = team.owner.ok(mutation, input.clone(), &selection).await;
        for field in fields {
            for value in &nothing {
                let mut given = input.clone();
                given[field] = value.clone();
                assert_eq!(team.owner.ok(mutation, given, &selection).await, left_out, "{mutation} {field} {value}");
            }
        }
    }
    // What has a default is null where somebody leaves it to that.
    for (mutation, input, selection, field) in [
        ("createJoinCodes", json!({ "organizationId": team.id }), "codes { joinCode { role } }", "role"),
        (
            "createResource",
            json!({ "organizationId": team.id, "kind": "VOLUME", "name": "Tapes" }),
            "resource { visibility sizeBytes container { id } }",
            "visibility",
        ),
        (
            "createResource",
            json!({ "organizationId": team.id, "kind": "VOLUME", "name": "Tapes" }),
            "resource { visibility sizeBytes container { id } }",
            "sizeBytes",
        ),
        (
            "createResource",
            json!({ "organizationId": team.id, "kind": "VOLUME", "name": "Tapes" }),
            "resource { visibility sizeBytes container { id } }",
            "containerId",
        ),
        ("createApiKey", json!({ "organizationId": team.id, "name": "Key" }), "apiKey { scope expiresAt }", "scope"),
        (
            "createApiKey",
            json!({ "organizationId": team.id, "name": "Key" }),
            "apiKey { scope expiresAt }",
            "expiresAt",
        ),
    ] {
        let left_out = team.owner.ok(mutation, input.clone(), selection).await;
        let mut given = input;
        given[field] = json!(null);
        assert_eq!(team.owner.ok(mutation, given, selection).await, left_out, "{mutation} {field}");
    }
    // What is changed: null clears, and so does a text of nothing.
    for (mutation, input, path, selection, fields) in [
        (
            "updateOrganization",
            json!({ "id": team.id }),
            "organization",
            format!("organization {{ slug {full} }}"),
            vec![
                ("slug", "a-slug"),
                ("fullName", "Full"),
                ("description", "More"),
                ("website", "https://example.org"),
                ("location", "Riga"),
                ("sector", "Health"),
                ("universityName", "Turku"),
                ("logoUrl", "https://example.org/logo.png"),
            ],
        ),
        (
            "updateTeam",
            json!({ "id": group }),
            "team",
            "team { description avatarUrl }".to_owned(),
            vec![("description", "More"), ("avatarUrl", "https://example.org/a.png")],
        ),
        (
            "updateResource",
            json!({ "id": project }),
            "resource",
            "resource { description }".to_owned(),
            vec![("description", "More")],
        ),
        (
            "updateBilling",
            json!({ "organizationId": team.id }),
            "organization",
            "organization { billing { accountName contactEmail reference } }".to_owned(),
            vec![("accountName", "Lab"), ("contactEmail", "bills@example.org"), ("reference", "7")],
        ),
    ] {
        for (field, value) in fields {
            let read = |payload: &Value| {
                let at = &payload[path];
                if at[field].is_null() { at["billing"][field].clone() } else { at[field].clone() }
            };
            for nothing in &nothing {
                let mut given = input.clone();
                given[field] = json!(value);
                assert_eq!(read(&team.owner.ok(mutation, given.clone(), &selection).await), json!(value), "{mutation}");
                given[field] = nothing.clone();
                let cleared = team.owner.ok(mutation, given, &selection).await;
                assert_eq!(read(&cleared), json!(null), "{mutation} {field} {nothing}");
            }
        }
    }
    // One of two ways to name something, the other left empty.
    let eve = app.sign_up("eve@example.org").await;
    for (position, (token, name)) in
        [(json!(null), json!(null)), (json!(""), json!("")), (json!(" "), json!(" "))].into_iter().enumerate()
    {
        let invitation =
            json!({ "email": "eve@example.org", "username": token, "name": name, "teamIds": [], "permissions": {} });
        let organization = if position == 0 { team.id.clone() } else { team.owner.found("Another").await };
        let input = json!({ "organizationId": organization, "invitations": [invitation] });
        let made = team.owner.ok("inviteMembers", input, "invitations { id role }").await;
        assert_eq!(made["invitations"][0]["role"], "MEMBER");
        let input = json!({ "id": made["invitations"][0]["id"], "token": token, "name": name, "username": name });
        let joined = eve.ok("acceptInvitation", input, "member { role permissions { billableActivities } }").await;
        assert_eq!(joined["member"]["role"], "MEMBER");
    }
    // Arguments.
    let query = "query($id: ID!, $text: String, $kind: ResourceKind) { organization(by: { id: $id }) { \
        members(search: $text, after: $text, before: $text, first: 5) { totalCount nodes { id } pageInfo { hasNextPage hasPreviousPage } } \
        teams(search: $text, after: $text) { totalCount nodes { id } } resources(search: $text, kind: $kind, after: $text) { nodes { id } } \
        auditLog(action: $text, before: $text, first: 3) { nodes { action } } } }";
    let left_out = team.owner.query(query, json!({ "id": team.id })).await;
    assert_eq!(left_out["organization"]["auditLog"]["nodes"].as_array().unwrap().len(), 3);
    for text in ["", "null"] {
        let text = if text.is_empty() { json!("") } else { json!(null) };
        let given = team.owner.query(query, json!({ "id": team.id, "text": text, "kind": null })).await;
        assert_eq!(given, left_out, "{text}");
    }
    // Without a number, `before` alone asks for the items next to it; an empty one asks for nothing.
    let newest = "query($id: ID!, $before: String) { organization(by: { id: $id }) { auditLog(before: $before) { nodes { sequence } } } }";
    let first = team.owner.query(newest, json!({ "id": team.id, "before": "" })).await;
    assert_eq!(first["organization"]["auditLog"]["nodes"][0]["sequence"], "1");
    app.finish().await;
}

// What is accepted can be read back in the form that the scalar names, and is answered as it will be read.
#[tokio::test]
async fn values_that_are_accepted_can_be_read_back() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let collection = team.owner.create(&team.id, "COLLECTION", "Shared").await;
    let read_back = async |expires_at: &str| {
        let input = json!({ "organizationId": team.id, "name": "Key", "expiresAt": expires_at });
        let answer = team.owner.mutate("createApiKey", input, "apiKey { id expiresAt }").await;
        let key = answer.body["data"]["createApiKey"]["apiKey"].clone();
        if key.is_null() {
            return Err(answer);
        }
        let query = "query($id: ID!) { node(id: $id) { ... on ApiKey { expiresAt } } }";
        let read = team.owner.query(query, json!({ "id": key["id"] })).await;
        assert_eq!(read["node"]["expiresAt"], key["expiresAt"], "{expires_at}");
        Ok(crate::support::client::text(&key["expiresAt"]))
    };
    for (given, expected) in [
        ("2099-12-31T23:59:59Z", "2099-12-31T23:59:59+00:00"),
        ("2099-12-31T23:59:59.123456789-12:00", "2100-01-01T11:59:59.123456+00:00"),
        ("2099-06-30t23:59:60z", "2099-07-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59+14:00", "9999-12-31T09:59:59+00:00"),
        ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999+00:00"),
    ] {
        assert_eq!(read_back(given).await.ok().as_deref(), Some(expected), "{given}");
    }
    // Well formed, and no end that can be named: in UTC it is the year 10000; or it is over.
    for given in
        ["9999-12-31T23:59:59-01:00", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+14:00", "2001-01-01T00:00:00Z"]
    {
        let refused = read_back(given).await.unwrap_err();
        assert_eq!(refused.user_errors("createApiKey")[0].is(), ("INVALID", "input.expiresAt"), "{given}");
        let input = json!({ "resourceId": collection, "expiresAt": given });
        assert_eq!(team.owner.refused("createShareLink", input).await.is(), ("INVALID", "input.expiresAt"), "{given}");
    }
    // Not of the form: the field is named.
    let told = |answer: &crate::support::client::Answer, field: &str| {
        assert_eq!(answer.error_code(), "BAD_REQUEST");
        let message = answer.body["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(field), "{message} doesn't name {field}");
    };
    for given in [
        "2099-12-31",
        "2099-12-31T23:59:59",
        "+10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "soon",
        "",
        "2099-02-29T00:00:00Z",
    ] {
        told(&read_back(given).await.unwrap_err(), "expiresAt");
    }
    for size in
        [json!("1.5"), json!(1.5), json!("0x10"), json!("9223372036854775808"), json!(1e30), json!(""), json!(true)]
    {
        let input = json!({ "organizationId": team.id, "kind": "VOLUME", "name": "Tapes", "sizeBytes": size });
        told(&team.owner.mutate("createResource", input, "").await, "sizeBytes");
    }
    for amount in [json!("1,5"), json!("NaN"), json!(1e300), json!(""), json!([])] {
        let input = json!({ "organizationId": team.id, "amount": amount, "idempotencyKey": "x" });
        told(&app.staff().mutate("addCredits", input, "").await, "amount");
    }
    for (given, expected) in
        [(json!("007"), "7"), (json!(1024), "1024"), (json!("9007199254740993"), "9007199254740993")]
    {
        let input = json!({ "organizationId": team.id, "kind": "VOLUME", "name": "Tapes", "sizeBytes": given });
        let made = team.owner.ok("createResource", input, "resource { sizeBytes }").await;
        assert_eq!(made["resource"]["sizeBytes"], expected);
    }
    for (times, found) in [
        (json!({ "since": "0000-01-01T00:00:00+14:00", "until": "9999-12-31T23:59:59-14:00" }), true),
        (json!({ "since": "9999-12-31T23:59:59-14:00" }), false),
    ] {
        let query = "query($id: ID!, $since: DateTime, $until: DateTime) { organization(by: { id: $id }) { \
            auditLog(since: $since, until: $until) { nodes { id } } } }";
        let mut variables = times.clone();
        variables["id"] = json!(team.id);
        let log = team.owner.query(query, variables).await;
        assert_eq!(!log["organization"]["auditLog"]["nodes"].as_array().unwrap().is_empty(), found, "{times}");
    }
    // A link that can be opened from wherever it is shown.
    for link in [
        "https:example.org",
        "https:/example.org",
        "HTTPS:\\example.org",
        "//example.org",
        "example.org",
        "ftp://example.org",
    ] {
        let input = json!({ "id": team.id, "website": link });
        assert_eq!(team.owner.refused("updateOrganization", input).await.is(), ("INVALID", "input.website"), "{link}");
    }
    for link in ["https://example.org", "http://example.org/a?b=c#d", "HTTPS://example.org/%20"] {
        let input = json!({ "id": team.id, "website": link });
        assert_eq!(
            team.owner.ok("updateOrganization", input, "organization { website }").await["organization"]["website"],
            link
        );
    }
    app.finish().await;
}

// Mails are answered: a reply reaches the people whom the deployment names, and the code of a sign-in stands where it
// is seen first.
#[tokio::test]
async fn replies_reach_the_support_address() {
    let app = TestApp::builder().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.org").start().await;
    app.anonymous().ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    let mail = app.mail_to("ada@example.org").await;
    assert_eq!((mail.from.as_str(), mail.reply_to.as_str()), ("no-reply@rollcall.example", "support@example.org"));
    assert_eq!(mail.subject, format!("{} is your code to sign in to Rollcall", mail.digits()));
    // Who invites keeps their address to themselves, in a reply too (R25).
    let team = app.team().await;
    let input = json!({ "organizationId": team.id, "invitations": [{ "email": "new@example.org" }] });
    team.owner.ok("inviteMembers", input, "").await;
    let mail = app.mail_to("new@example.org").await;
    assert_eq!(mail.reply_to, "support@example.org");
    assert!(!mail.text.contains(&team.owner.email) && mail.text.contains(" UTC (in 7 days)"), "{}", mail.text);
    app.finish().await;

    let app = TestApp::start().await;
    app.anonymous().ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    assert_eq!(app.mail_to("ada@example.org").await.reply_to, "");
    app.finish().await;
}
