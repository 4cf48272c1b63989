//! GraphQL over HTTP: methods, media types, limits, and who may ask.

use crate::support::{Client, TestApp, json};

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn requests_are_answered_as_graphql_over_http_says() {
    let app = TestApp::builder().without_worker().start().await;
    let url = format!("{}/graphql", app.url);
    let ask = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let media_type =
            response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        (status, media_type, response.text().await.unwrap())
    };
    let new = "application/graphql-response+json";
    let body = json!({ "query": "{ viewer { email } }" });
    let (status, media_type, text) = ask(http().post(&url).json(&body)).await;
    assert_eq!((status, media_type.starts_with("application/json")), (200, true), "{text}");
    let (status, media_type, _) = ask(http().post(&url).header("accept", new).json(&body)).await;
    assert_eq!((status, media_type.starts_with(new)), (200, true));
    // What can't be executed: 400 for those who know, 200 for older clients, and always an answer with a code.
    for query in ["{ nothing }", "{", "query($a: Int!) { __typename }", "{ viewer { email } } { viewer { email } }"] {
        let body = json!({ "query": query });
        let (status, _, text) = ask(http().post(&url).header("accept", new).json(&body)).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("BAD_REQUEST"), "{text}");
        let (status, _, text) = ask(http().post(&url).json(&body)).await;
        assert!(status == 200 && text.contains("BAD_REQUEST"), "{status} {text}");
    }
    // Queries by GET, mutations not; forms of other sites not.
    let (status, _, text) = ask(http().get(format!("{url}?query=%7B__typename%7D"))).await;
    assert_eq!((status, text.contains("Query")), (200, true), "{text}");
    let mutation = "mutation%7BrequestSignIn(input:%7Bemail:%22a@example.org%22%7D)%7BuserErrors%7Bcode%7D%7D%7D";
    assert_eq!(ask(http().get(format!("{url}?query={mutation}"))).await.0, 405);
    assert_eq!(ask(http().delete(&url)).await.0, 405);
    assert_eq!(
        ask(http().post(&url).body("query={__typename}").header("content-type", "application/x-www-form-urlencoded"))
            .await
            .0,
        415
    );
    assert_eq!(ask(http().post(&url).body(body.to_string()).header("content-type", "text/plain")).await.0, 415);
    assert_eq!(ask(http().post(&url).header("accept", "text/html").json(&body)).await.0, 406);
    for body in ["", "[]", "null", "{}", "{\"query\": 1}", "[{\"query\": \"{__typename}\"}]"] {
        let (status, _, text) = ask(http().post(&url).body(body).header("content-type", "application/json")).await;
        assert!(status == 400 && text.contains("BAD_REQUEST"), "{body}: {status} {text}");
    }
    let huge = "x".repeat(2 * 1024 * 1024);
    assert_eq!(ask(http().post(&url).json(&json!({ "query": huge }))).await.0, 413);
    app.finish().await;
}

// Limits of depth and cost hold before anything is executed.
#[tokio::test]
async fn deep_and_costly_queries_are_refused() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let deep = format!(
        "{}{}{}",
        "{ viewer { personalOrganization ".to_owned(),
        "{ owner { id } viewerMembership { organization ".repeat(20),
        "{ id } } }".repeat(20)
    ) + " } }";
    assert_eq!(team.owner.run(&deep, json!({})).await.error_code(), "BAD_REQUEST");
    let brackets = "[".repeat(100_000);
    assert_eq!(team.owner.run(&format!("{{ a(b: {brackets}) }}"), json!({})).await.error_code(), "BAD_REQUEST");
    let aliases: String = (0..3_000).map(|n| format!("a{n}: viewer {{ memberships(first: 100) {{ nodes {{ organization {{ members(first: 100) {{ nodes {{ id }} }} }} }} }} }} ")).collect();
    assert_eq!(team.owner.run(&format!("{{ {aliases} }}"), json!({})).await.error_code(), "BAD_REQUEST");
    let nodes: Vec<String> = (0..101).map(|_| team.id.clone()).collect();
    assert_eq!(
        team.owner.run("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({ "ids": nodes })).await.error_code(),
        "BAD_REQUEST"
    );
    app.finish().await;
}

// Whoever is unknown is refused, not treated as nobody.
#[tokio::test]
async fn wrong_credentials_are_refused() {
    let app = TestApp::builder().without_worker().start().await;
    for token in ["", "x", "rcs_x", "rck_x", "rcs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let answer = app.client(token).run("{ viewer { email } }", json!({})).await;
        assert_eq!((answer.status, answer.error_code()), (401, "UNAUTHENTICATED".to_owned()), "{token}");
    }
    let response = http()
        .post(format!("{}/graphql", app.url))
        .header("authorization", "Basic YTpi")
        .json(&json!({ "query": "{__typename}" }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
    app.finish().await;
}

// Cookies serve the pages: GraphQL takes bearer tokens only.
#[tokio::test]
async fn cookies_do_not_open_graphql() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let cookie = format!("rollcall_session={}", ada.token.as_deref().unwrap());
    let body = json!({ "query": "{ viewer { email } }" });
    let answer = http().post(format!("{}/graphql", app.url)).header("cookie", cookie).json(&body).send().await.unwrap();
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["data"]["viewer"], json!(null));
    app.finish().await;
}

// `node` and `nodes`: what one may not see is null, beside what one may.
#[tokio::test]
async fn nodes_gives_what_one_may_see_and_null_for_the_rest() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    let mine = eve.found("Mine").await;
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }";
    let ids = json!({ "ids": [mine, team.id, mine, eve.user_id, "res_01h455vb4pex5vsknk084sn02q"] });
    let nodes = eve.query(query, ids).await["nodes"].clone();
    assert_eq!(nodes[0], json!({ "id": mine, "__typename": "Organization" }));
    assert_eq!((&nodes[1], &nodes[4]), (&json!(null), &json!(null)));
    assert_eq!((&nodes[2], &nodes[3]["__typename"]), (&nodes[0], &json!("User")));
    for wrong in ["", "x", "org_", "org_zzzzzzzzzzzzzzzzzzzzzzzzzz", "org_01h455vb4pex5vsknk084sn02"] {
        let answer = eve.run(query, json!({ "ids": [wrong] })).await;
        assert!(answer.body.get("errors").is_some(), "{wrong:?}: {}", answer.body);
        assert_eq!(answer.error_code(), "BAD_REQUEST", "{wrong:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn the_service_says_whether_it_is_well() {
    let app = TestApp::builder().without_worker().start().await;
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(http().get(format!("{}{path}", app.url)).send().await.unwrap().status(), 200, "{path}");
    }
    let introspection = Client::new(&app.url, None).query("{ __schema { mutationType { name } } }", json!({})).await;
    assert_eq!(introspection["__schema"]["mutationType"]["name"], "Mutation");
    app.finish().await;
}

// What a query may cost is limited by what its pages may hold, not by what happens to be there.
#[tokio::test]
async fn a_query_that_asks_for_too_much_is_refused() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let inner =
        "members(first: 100) { nodes { organization { members(first: 100) { nodes { role joinedAt status } } } } }";
    let query = format!("query($id: ID!) {{ organization(by: {{ id: $id }}) {{ {inner} }} }}");
    assert_eq!(team.owner.run(&query, json!({ "id": team.id })).await.error_code(), "BAD_REQUEST");
    let query = query.replace("100", "5");
    team.owner.run(&query, json!({ "id": team.id })).await.data();
    app.finish().await;
}

// What PostgreSQL can't store is nowhere: a search for it finds nothing.
#[tokio::test]
async fn a_search_for_a_nul_character_finds_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let query =
        "query($id: ID!, $text: String!) { organization(by: { id: $id }) { members(search: $text) { nodes { id } } } }";
    let found = team.owner.query(query, json!({ "id": team.id, "text": "a\u{0}b" })).await;
    assert_eq!(found["organization"]["members"]["nodes"], json!([]));
    app.finish().await;
}
