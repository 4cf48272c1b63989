//! Requests and connections that are meant to stop the service: each is refused, and others are answered meanwhile.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::client::text;
use crate::support::people::uuid;
use crate::support::{Client, PATIENCE, TestApp, Value, json, until};

/// What GraphiQL and code generators ask for.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { queryType { name } mutationType { name } subscriptionType { name } \
    types { ...FullType } directives { name description locations args(includeDeprecated: true) { ...InputValue } } } } \
    fragment FullType on __Type { kind name description specifiedByURL fields(includeDeprecated: true) { name description \
    args(includeDeprecated: true) { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } \
    inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef } \
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } } \
    fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated deprecationReason } \
    fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

/// Sends bytes from an address of this machine, and returns what comes back until the service closes the connection.
pub async fn raw(app: &TestApp, bytes: &[u8]) -> String {
    let mut stream = connect(app, "127.0.0.1").await;
    stream.write_all(bytes).await.unwrap();
    to_the_end(&mut stream).await
}

async fn connect(app: &TestApp, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(app.url.trim_start_matches("http://").parse().unwrap()).await.unwrap()
}

/// A connection whose client asks for much and reads nothing.
async fn unread(app: &TestApp, from: &str, path: &str, headers: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(app.url.trim_start_matches("http://").parse().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").repeat(8);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is reset has ended as well.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    let _ = read.await.expect("the service keeps the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads what there is of an answer whose connection stays open.
async fn to_the_end_of_answer(stream: &mut TcpStream) -> String {
    let (mut answer, mut part) = (Vec::new(), [0; 4_096]);
    while !answer.ends_with(b"}") {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut part)).await.expect("there is more").unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(body: &str, length: usize) -> String {
    format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

impl TestApp {
    /// The health of the service, asked anew.
    pub async fn health(&self, path: &str) -> u16 {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        http.get(format!("{}/health/{path}", self.url)).send().await.unwrap().status().as_u16()
    }

    /// The path of something of a megabyte.
    async fn large_answer(&self) -> String {
        let page = reqwest::get(&self.url).await.unwrap().text().await.unwrap();
        let is_script = |part: &&str| part.starts_with("/playground/") && part.ends_with("graphiql.min.js");
        page.split('"').find(is_script).unwrap().to_owned()
    }

    /// The refusal of a document before it is executed, whoever sends it.
    async fn refuses(&self, document: &str) -> Value {
        let answer = self.anonymous().run(document, json!({})).await;
        assert_eq!(answer.error_code(), "BAD_REQUEST", "{}", answer.body);
        assert!(answer.body.get("data").is_none(), "{}", answer.body);
        let refusal = answer.body["errors"][0].clone();
        // The count and its limit make one sentence.
        assert!(!refusal["message"].as_str().unwrap().contains(",;"), "{refusal}");
        refusal
    }

    /// From here on, each look at the clock takes an hour; what it was before.
    async fn stop_the_clock(&self) -> String {
        let working =
            self.database.texts("SELECT pg_get_functiondef('rollcall_now'::regproc) AS value").await.remove(0);
        self.database
            .sql(
                "CREATE OR REPLACE FUNCTION rollcall_now() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS \
                 $$ BEGIN PERFORM pg_sleep(3600); RETURN clock_timestamp(); END $$",
            )
            .await;
        working
    }

    /// How many statements look at such a clock.
    async fn asleep(&self) -> i64 {
        let asleep = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event = 'PgSleep' AND state = 'active'";
        self.database.number(asleep).await
    }
}

/// A request by which someone looks at the clock.
fn asking_as(person: &Client) -> String {
    let body = r#"{"query":"{ viewer { email } }"}"#;
    let token = person.token.as_deref().unwrap();
    post(body, body.len()).replacen("host: x\r\n", &format!("host: x\r\nauthorization: Bearer {token}\r\n"), 1)
}

/// Fragments that each spread the next one so often.
fn doubling(on: &str, depth: usize, spreads: usize, inner: &str) -> String {
    let mut fragments = String::new();
    for n in 0..depth {
        let next = format!("...F{} ", n + 1).repeat(spreads);
        write!(fragments, "fragment F{n} on {on}{{{next}}} ").unwrap();
    }
    fragments + &format!("fragment F{depth} on {on}{{{inner}}}")
}

#[tokio::test]
async fn fragments_that_double_are_refused_before_anything_walks_them() {
    let app = TestApp::builder().without_worker().start().await;
    let documents = [
        format!("{{...F0}} {}", doubling("Query", 25, 3, "__typename")),
        format!("{{...F0}} {}", doubling("Query", 40, 2, "__typename")),
        format!("{{viewer{{...F0}}}} {}", doubling("Viewer", 28, 3, "email")),
        format!("mutation{{...F0}} {}", doubling("Mutation", 28, 3, "__typename")),
        format!("{{__schema{{...F0}}}} {}", doubling("__Schema", 28, 3, "__typename")),
        // Within fields, within inline fragments, of types that don't exist.
        format!("{{node(id:\"x\"){{id ... on User{{...F0}}}}}} {}", doubling("User", 28, 4, "id")),
        format!("{{...F0}} {}", doubling("Query", 28, 3, "... on Query{__typename}")),
        format!("{{...F0}} {}", doubling("Nothing", 28, 3, "nothing")),
        // Operations that aren't selected, and fragments that nobody spreads, are walked as well.
        format!("query A{{__typename}} query B{{...F0}} {}", doubling("Query", 28, 3, "__typename")),
        format!("{{...F0}} {}", doubling("Query", 160, 1, "__typename")),
        "{...A} fragment A on Query{...B} fragment B on Query{...A}".to_owned(),
        "{__typename} fragment A on Query{viewer{...B}} fragment B on Viewer{...C ...C} fragment C on Viewer{...B}"
            .to_owned(),
        format!("{{{}}}", "viewer{email}".repeat(13_000)),
        format!("{{{}}}", "... on Query{__typename}".repeat(13_000)),
        format!("{{{}}}", "__typename @skip(if:true)".repeat(13_000)),
        (0..501).map(|n| format!("query Q{n}{{__typename}} ")).collect(),
        format!("query({}){{__typename}}", (0..25_001).map(|n| format!("$v{n}:Int ")).collect::<String>()),
    ];
    for document in documents {
        let refusal = app.refuses(&document).await;
        assert!(refusal["message"].as_str().unwrap().len() < 300, "{refusal}");
        if document.len() < 8_000 {
            let by_url = url::Url::parse_with_params(&format!("{}/graphql", app.url), [("query", &document)]).unwrap();
            let answer: Value = reqwest::get(by_url).await.unwrap().json().await.unwrap();
            assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{answer}");
        }
        assert_eq!(app.health("live").await, 200);
    }
    let counted = app.refuses(&format!("{{...F0}} {}", doubling("Query", 9, 3, "__typename"))).await;
    assert!(counted["message"].as_str().unwrap().contains("the limit is 25000"), "{counted}");
    // Whoever spreads a fragment in many places does so with good reason.
    let fragments =
        "fragment P on PageInfo{hasNextPage endCursor} fragment U on User{id name ...V} fragment V on User{username}";
    let document = format!(
        "{{ viewer {{ user {{ ...U ...V }} sessions {{ pageInfo {{ ...P }} }} apiKeys {{ pageInfo {{ ...P }} }} }} }} {fragments}"
    );
    assert_eq!(app.anonymous().query(&document, json!({})).await["viewer"], json!(null));
    app.finish().await;
}

// The executor validates a document before it looks for the operation that is named.
#[tokio::test]
async fn naming_an_operation_that_is_not_there_changes_no_limit() {
    let app = TestApp::builder().without_worker().start().await;
    let doubling = doubling("Query", 25, 3, "__typename");
    for (document, name) in [
        (format!("{{...F0}} {doubling}"), "x"),
        (format!("{{...F0}} {doubling}"), " "),
        (format!("query A{{...F0}} {doubling}"), "B"),
        (format!("query A{{__typename}} query B{{...F0}} {doubling}"), "A"),
        (format!("query A{{__typename}} {doubling}"), "x"),
        ("{__typename}".to_owned(), "x"),
    ] {
        let body = json!({ "query": document, "operationName": name });
        let posted = reqwest::Client::new().post(format!("{}/graphql", app.url)).json(&body).send().await.unwrap();
        let parameters = [("query", document.as_str()), ("operationName", name)];
        let by_url = url::Url::parse_with_params(&format!("{}/graphql", app.url), parameters).unwrap();
        for answer in [posted, reqwest::get(by_url).await.unwrap()] {
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{document}: {answer}");
            assert!(answer.get("data").is_none(), "{answer}");
        }
        assert_eq!(app.health("live").await, 200);
    }
    app.finish().await;
}

// What the validation compares with each other is limited, whether or not it is ever executed.
#[tokio::test]
async fn what_takes_long_to_validate_is_refused() {
    let app = TestApp::builder().without_worker().start().await;
    let arguments = |count: usize| (0..count).map(|n| format!("a{n}:1 ")).collect::<String>();
    let within =
        |levels: usize, inner: &str| format!("{}{inner}{}", "... on Query{".repeat(levels), "}".repeat(levels));
    let alike = format!("x:viewer({}) x:viewer({})", arguments(31), arguments(31));
    let list = format!("[{}]", "1,".repeat(20_000));
    for document in [
        format!("{{ {alike} }}"),
        format!("{{ {} }}", within(20, &alike)),
        format!("{{ __typename @skip({}) }}", arguments(31)),
        // Fragments that nobody spreads are compared as well.
        format!("{{__typename}} fragment F on Query{{{}}}", within(29, &"__typename ".repeat(12_000))),
        format!(
            "{{__typename}} fragment F on Query{{{}}} fragment G on Query{{{}}}",
            "__typename ".repeat(5_000),
            "...{...F}".repeat(5_000)
        ),
        format!(
            "{{__typename}} fragment F on Query{{x:node(id:{list})}} fragment G on Query{{{}}}",
            "...{...F}".repeat(5_000)
        ),
        format!("query({}){{__typename}}", (0..201).map(|n| format!("$v{n}:Int ")).collect::<String>()),
        format!("{{ {}: __typename }}", "x".repeat(201)),
        format!("{{ node(id: ${}) {{ id }} }}", "x".repeat(201)),
        format!("{{ nodes(ids: [{}]) {{ id }} }}", "1,".repeat(25_000)),
    ] {
        let refusal = app.refuses(&document).await;
        assert!(refusal["message"].as_str().unwrap().len() < 300, "{refusal}");
        assert_eq!(app.health("live").await, 200);
    }
    // What people write by hand, and tools for them.
    let fields = "id slug name createdAt ";
    let document = format!(
        "{{ {} }} fragment O on Organization {{ {} }}",
        (0..30).map(|n| format!("o{n}: organization(by: {{ slug: \"nobody\" }}) {{ ...O }} ")).collect::<String>(),
        within(5, fields).replace("Query", "Organization"),
    );
    app.anonymous().query(&document, json!({})).await;
    app.finish().await;
}

// Each use of a variable is validated anew, however large it is.
#[tokio::test]
async fn large_variables_are_refused() {
    let app = TestApp::builder().without_worker().start().await;
    let many = |count: usize, field: &str| (0..count).map(|n| format!("a{n}: {field} ")).collect::<String>();
    let invitations = vec![json!({ "email": "x" }); 50_000];
    let invite = "inviteMembers(input: {organizationId: \"x\", invitations: $s}) { userErrors { message } }";
    let undefined = (0..9_000).map(|n| format!("$v{n} ")).collect::<String>();
    let unselected = (1..250).map(|n| format!("query a{n}{{...F}} ")).collect::<String>();
    for (document, variables) in [
        (
            format!("query($x: Boolean!) {{ viewer {{ {} }} }}", "id @skip(if: $x) ".repeat(990)),
            json!({ "x": vec![0; 100_000] }),
        ),
        (
            format!("query($x: Boolean!) {{ viewer {{ {} }} }}", "id @skip(if: $x) ".repeat(990)),
            json!({ "x": vec![0; 9_000] }),
        ),
        (format!("mutation($s: [InvitationInput!]!) {{ {} }}", many(30, invite)), json!({ "s": invitations })),
        (
            format!("mutation($s: [InvitationInput!]!) {{ {} }}", many(30, invite)),
            json!({ "s": &invitations[..4_000] }),
        ),
        (
            format!(
                "query($x: Role) {{ organization(by: {{id: \"1\"}}) {{ {} }} }}",
                "members(role: $x) { a } ".repeat(1_500)
            ),
            json!({ "x": "x".repeat(900_000) }),
        ),
        ("{ __typename }".to_owned(), json!({ "unused": vec![0; 480_000] })),
        (format!("query($x: [ID!] = [{}]) {{ {} }}", "1,".repeat(9_000), many(30, "nodes(ids: $x) { id }")), json!({})),
        (
            format!(
                "query a0{{__typename}} {unselected} fragment F on Query{{access(userId: \"u\", resourceIds: [{undefined}])}}"
            ),
            json!({}),
        ),
    ] {
        let body = json!({ "query": document, "variables": variables, "operationName": if document.contains("query a0") { json!("a0") } else { json!(null) } });
        let answer = reqwest::Client::new().post(format!("{}/graphql", app.url)).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{answer}");
        assert!(answer.get("data").is_none() && answer.to_string().len() < 1_000, "{answer}");
        assert_eq!(app.health("live").await, 200);
    }
    // What a client may well send.
    let document = "mutation($s: [InvitationInput!]!) { inviteMembers(input: {organizationId: \"org_01h455vb4pex5vsknk084sn02q\", invitations: $s}) { userErrors { code } } }";
    let answer = app.anonymous().run(document, json!({ "s": &invitations[..50] })).await;
    assert_eq!(answer.error_code(), "UNAUTHENTICATED", "{}", answer.body);
    app.finish().await;
}

// Looking for a long text takes long, whatever is found.
#[tokio::test]
async fn searches_are_short() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let query = "query($id: ID!, $s: String) { organization(by: { id: $id }) { teams(search: $s) { totalCount } } }";
    let answer = team.owner.run(query, json!({ "id": team.id, "s": "ab c".repeat(225_000) })).await;
    assert_eq!(answer.error_code(), "BAD_REQUEST");
    let search = |characters: usize| json!({ "id": team.id, "s": "é".repeat(characters) });
    let answer = team.owner.run(query, search(201)).await;
    assert_eq!(answer.error_code(), "BAD_REQUEST");
    let refusal = &answer.body["errors"][0];
    assert_eq!(refusal["message"], "the document has 201 characters in `search`; the limit is 200");
    team.owner.query(query, search(200)).await;
    let answer = team
        .owner
        .run(
            "query($id: ID!, $s: String) { organization(by: { id: $id }) { auditLog(action: $s) { totalCount } } }",
            search(5_001),
        )
        .await;
    assert_eq!(answer.error_code(), "BAD_REQUEST");
    app.finish().await;
}

// One request takes a few connections at a time, also where it asks for much at once; and what it asked for ends with
// it.
#[tokio::test]
async fn one_request_leaves_connections_to_others() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    app.stop_workers().await;
    let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND state = 'active'";
    let mut holder = app.database.connection().await;
    let many = |field: &str| (0..25).map(|n| format!("a{n}: {field} ")).collect::<String>();
    // The second by loaders, which have tasks of their own.
    for (table, field) in
        [("teams", "teams(first: 1) { nodes { id } }"), ("members", "members(first: 5) { nodes { id } }")]
    {
        holder.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
        let query = format!("{{ organization(by: {{ id: \"{}\" }}) {{ {} }} }}", team.id, many(field));
        let token = team.owner.token.clone().unwrap();
        let asking = tokio::spawn({
            let request = reqwest::Client::new().post(format!("{}/graphql", app.url)).bearer_auth(token);
            request.json(&json!({ "query": query })).send()
        });
        let found = until("it waits", async || {
            let found = app.database.number(waiting).await;
            (found > 0).then_some(found)
        })
        .await;
        assert!(found <= 4, "{found}");
        asking.abort();
        until("nothing waits for it", async || (app.database.number(waiting).await == 0).then_some(())).await;
        holder.batch_execute("ROLLBACK").await.unwrap();
    }
    app.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_document_is_told_in_few_words() {
    let app = TestApp::builder().without_worker().start().await;
    let unknown: String = (0..20_000).map(|n| format!("f{n} ")).collect();
    let long = "x".repeat(300_000);
    for document in [
        format!("{{ viewer {{ {unknown} }} }}"),
        format!("{{ {long} }}"),
        format!("{{ viewer(a: \"{long}\") {{ email }} }}"),
        format!("{{ viewer }} }} {long}"),
        format!("query({}) {{ __typename }}", (0..9_000).map(|n| format!("$v{n}: Nothing ")).collect::<String>()),
    ] {
        let answer = app.anonymous().run(&document, json!({})).await;
        assert_eq!(answer.error_code(), "BAD_REQUEST");
        let errors = answer.body["errors"].as_array().unwrap();
        assert!(errors.len() <= 51 && answer.body.to_string().len() < 64_000, "{}", answer.body.to_string().len());
    }
    let answer = app.anonymous().run(&format!("{{ viewer {{ {unknown} }} }}"), json!({})).await;
    assert_eq!(answer.body["errors"][50]["message"], "there are 19950 more errors");
    app.finish().await;
}

#[tokio::test]
async fn typename_is_validated_like_any_field() {
    let app = TestApp::builder().without_worker().start().await;
    for document in [
        "{ __typename(a: 1) }",
        "{ __typename { name } }",
        "{ viewer { __typename(a: 1) } }",
        "{ __typename @nothing }",
        "{ __typename @skip }",
        "{ __typename @skip(if: 1) }",
        "{ __typename @include(if: $unknown) }",
        "query($a: Boolean!) { __typename }",
        "{ viewer { ...F } } fragment F on Viewer { __typename(a: 1) }",
        "{ node(id: \"x\") { ... on User { __typename { a } } } }",
    ] {
        app.refuses(document).await;
    }
    let query = "query($a: Boolean!) { __typename @include(if: $a) again: __typename ...F } fragment F on Query { third: __typename @skip(if: $a) }";
    let data = app.anonymous().query(query, json!({ "a": false })).await;
    assert_eq!(data, json!({ "again": "Query", "third": "Query" }));
    let data = app.anonymous().query(query, json!({ "a": true })).await;
    assert_eq!(data, json!({ "__typename": "Query", "again": "Query" }));
    app.finish().await;
}

#[tokio::test]
async fn aliases_root_fields_and_introspection_are_limited() {
    let app = TestApp::builder().without_worker().start().await;
    let many = |count: usize, field: &str| (0..count).map(|n| format!("a{n}: {field} ")).collect::<String>();
    for (document, limit) in [
        (format!("{{ {} }}", many(31, "__typename")), "30"),
        (format!("{{ {} }}", many(5_000, "viewer { email }")), "200"),
        (format!("{{ viewer {{ {} }} }}", many(201, "email")), "200"),
        (format!("{{ ...F }} fragment F on Query {{ {} }}", many(31, "viewer { email }")), "30"),
        (format!("{{ viewer {{ ...F ...F }} }} fragment F on Viewer {{ {} }}", many(101, "email")), "200"),
        (format!("{{ {} }}", many(2, "__schema { queryType { name } }")), "1"),
        (format!("{{ {} }}", many(400, "__schema { types { name description } }")), "200"),
        (
            format!(
                "mutation {{ {} }}",
                many(31, "requestSignIn(input: {email: \"a@example.org\"}) { userErrors { code } }")
            ),
            "30",
        ),
    ] {
        let refusal = app.refuses(&document).await;
        let message = refusal["message"].as_str().unwrap();
        assert!(message.ends_with(&format!("the limit is {limit}")), "{message}");
        assert_eq!(refusal["extensions"]["limit"].to_string(), limit);
    }
    let by_name = "{ fields { type { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }";
    let by_name = format!("{{ {} }}", many(30, &format!("__type(name: \"Query\") {by_name}")));
    let aliased = format!(
        "{{ __schema {{ types {{ {} }} }} }}",
        many(150, "fields { name description args { name type { name } } }")
    );
    // Types lead to types, and a few words to millions of them.
    let to_and_fro = |pairs: usize| {
        let names = "possibleTypes { interfaces { ".repeat(pairs);
        format!("{{ __type(name: \"Node\") {{ {names} name {} }} }}", "} }".repeat(pairs))
    };
    let by_variable = format!("query($name: String = \"Node\") {}", to_and_fro(5).replace("\"Node\"", "$name"));
    let from_all = to_and_fro(5).replace("__type(name: \"Node\") {", "__schema { types {").replacen('}', "} }", 1);
    let by_fragment = "{ __type(name: \"Node\") { ...A } } fragment A on __Type { possibleTypes { ...B } } \
         fragment B on __Type { interfaces { possibleTypes { interfaces { possibleTypes { fields { type { fields { name } } } } } } } }";
    app.anonymous().query(&to_and_fro(2), json!({})).await;
    for document in [&*by_name, &aliased, &to_and_fro(5), &to_and_fro(7), &by_variable, &from_all, by_fragment] {
        let refusal = app.refuses(document).await;
        assert!(refusal["message"].as_str().unwrap().starts_with("the introspection costs "), "{refusal}");
    }
    // One's own name for things, and what tools ask for, are fine.
    let schema = app.anonymous().query(INTROSPECTION, json!({})).await;
    let types = schema["__schema"]["types"].as_array().unwrap();
    assert!(types.iter().any(|kind| kind["name"] == "Departure"));
    app.anonymous().query(&format!("{{ {} }}", many(30, "__typename")), json!({})).await;
    app.finish().await;
}

// Many requests that each are small, one behind the other and without a pause: probes are answered all the same, and so
// is everybody else.
#[tokio::test]
async fn who_never_pauses_keeps_nobody_out() {
    let app = TestApp::builder().without_worker().start().await;
    let body =
        json!({ "query": "{ __schema { types { name description fields { name description } } } }" }).to_string();
    let requests = post(&body, body.len()).repeat(50);
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(&app, "127.0.0.1").await;
        stream.write_all(requests.as_bytes()).await.unwrap();
        streams.push(tokio::spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await }));
    }
    let other = app.anonymous().from("127.0.0.2", None);
    for _ in 0..10 {
        let asked = Instant::now();
        assert_eq!(app.health("live").await, 200);
        assert!(asked.elapsed() < Duration::from_secs(1), "a probe waited for {:?}", asked.elapsed());
        let asked = Instant::now();
        other.query("{ __typename }", json!({})).await;
        assert!(asked.elapsed() < Duration::from_secs(5), "another client waited for {:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(streams.iter().any(|stream| !stream.is_finished()), "nothing was under way meanwhile");
    streams.iter().for_each(tokio::task::JoinHandle::abort);
    app.finish().await;
}

// Many requests at once that each ask for as much as one may: one client's take turns, and everybody else is answered
// meanwhile.
#[tokio::test]
async fn who_asks_for_much_keeps_nobody_out() {
    let app = TestApp::start().await;
    let mallory = app.sign_up("mallory@example.org").await;
    let ada = app.sign_up("ada@example.org").await;
    let ids = format!("\"{}\" ", mallory.user_id).repeat(100);
    let names: String = (0..150).map(|n| format!("a{n}: id ")).collect();
    let document = format!("{{ nodes(ids: [{ids}]) {{ ... on User {{ {names} }} }} }}");
    let asking: Vec<_> = (0..60)
        .map(|_| {
            let (mallory, document) = (mallory.clone(), document.clone());
            tokio::spawn(async move { mallory.run(&document, json!({})).await.status })
        })
        .collect();
    let ada = ada.from("127.0.0.2", None);
    for _ in 0..5 {
        let asked = Instant::now();
        assert_eq!(app.health("live").await, 200);
        assert!(asked.elapsed() < Duration::from_secs(1), "a probe waited for {:?}", asked.elapsed());
        let asked = Instant::now();
        ada.query("{ viewer { email } }", json!({})).await;
        assert!(asked.elapsed() < Duration::from_secs(3), "another client waited for {:?}", asked.elapsed());
    }
    assert!(asking.iter().any(|asked| !asked.is_finished()), "nothing was under way meanwhile");
    for asked in asking {
        // What takes its turn too late is given up.
        assert!(matches!(asked.await.unwrap(), 200 | 503));
    }
    app.finish().await;
}

// The same with what is just too small for that, on a few connections without a pause, and without a token.
#[tokio::test]
async fn who_asks_for_little_again_and_again_keeps_nobody_out() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await.from("127.0.0.2", None);
    let document = format!("{{viewer{{u:user{{{}}}}}}}", "id ".repeat(1_900));
    let answered = Arc::new(AtomicUsize::new(0));
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let (mallory, document, answered) = (app.anonymous(), document.clone(), answered.clone());
            tokio::spawn(async move {
                loop {
                    mallory.query(&document, json!({})).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    until("the others are under way", async || (answered.load(Ordering::Relaxed) > 20).then_some(())).await;
    for _ in 0..5 {
        let before = answered.load(Ordering::Relaxed);
        ada.query("{ viewer { email } }", json!({})).await;
        let meanwhile = answered.load(Ordering::Relaxed) - before;
        // Each of its steps waits for one of theirs, or two.
        assert!(meanwhile < 60, "{meanwhile} of somebody else's requests came first");
    }
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    app.finish().await;
}

// Whose requests all wait for one lock takes some of the connections to the database, and no more.
#[tokio::test]
async fn who_waits_for_a_lock_keeps_nobody_out() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let project = team.owner.create(&team.id, "PROJECT", "Heart").await;
    let ada = app.sign_up("ada@example.org").await;
    let other = ada.found("Acme Chemistry").await;
    let ada = ada.from("127.0.0.2", None);
    let mut holder = app.database.connection().await;
    let lock = format!("BEGIN; SELECT FROM resources WHERE id = '{}' FOR UPDATE", uuid(&project));
    holder.batch_execute(&lock).await.unwrap();
    let waiting: Vec<_> = (0..40)
        .map(|n| {
            let (owner, input) = (team.owner.clone(), json!({ "id": project, "name": format!("Heart {n}") }));
            tokio::spawn(async move { owner.mutate("updateResource", input, "").await.status })
        })
        .collect();
    let waits = "SELECT count(*) AS value FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("they wait for the lock", async || (app.database.number(waits).await >= 4).then_some(())).await;
    for _ in 0..3 {
        ada.query("{ viewer { email } }", json!({})).await;
        ada.ok("updateOrganization", json!({ "id": other, "description": "Open" }), "").await;
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "nobody waits any more");
    // The account has so many, whichever address it comes from.
    assert!(app.database.number(waits).await <= 8);
    holder.batch_execute("ROLLBACK").await.unwrap();
    for status in join_all(waiting).await {
        assert!(matches!(status.unwrap(), 200 | 503));
    }
    app.finish().await;
}

// What a request holds besides its document is counted before it is read: a byte of it can take a hundred of memory.
#[tokio::test]
async fn values_are_counted_before_they_are_read() {
    let app = TestApp::builder().without_worker().start().await;
    let many = "[0],".repeat(200_000);
    for body in [
        format!("{{\"query\":\"{{__typename}}\",\"extensions\":{{\"a\":[{many}0]}}}}"),
        format!("{{\"query\":\"{{__typename}}\",\"variables\":{{\"a\":[{many}0]}}}}"),
        format!("{{\"query\":\"{{__typename}}\",\"unknown\":[{many}0]}}"),
    ] {
        let answer =
            raw(&app, post(&body, body.len()).replace("host: x", "host: x\r\nconnection: close").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("values in its JSON; 25000 are allowed"), "{answer}");
    }
    // A text is one value, whatever stands in it.
    let text = "[{,:\\\"".repeat(5_000);
    let answer = app
        .anonymous()
        .run("query($t: String) { __typename @include(if: true) node(id: $t) { id } }", json!({ "t": text }))
        .await;
    assert!(!answer.body.to_string().contains("values in its JSON"), "{}", answer.body);
    app.finish().await;
}

// Each field costs what it makes the service do, and the refusal says how much that is.
#[tokio::test]
async fn a_query_is_refused_by_what_it_costs() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let many = |count: usize, field: &str| (0..count).map(|n| format!("a{n}: {field} ")).collect::<String>();
    let own = format!("organization(by: {{ id: \"{}\" }})", team.id);
    let member = team.member_id(&team.owner).await;
    let plan = format!("departurePlan(memberId: \"{member}\", kind: REMOVE) {{ hash }}");
    let verify = format!("verifyAuditLog(organizationId: \"{}\") {{ ok }}", team.id);
    for document in [
        format!("{{ {own} {{ {} }} }}", many(190, &plan)),
        format!("{{ {} }}", many(6, &verify)),
        format!("{{ {own} {{ {} }} }}", many(190, "members(first: 1) { totalCount nodes { user { id } } }")),
        format!("{{ {own} {{ {} }} }}", many(190, "members(first: 1, search: \"a\") { nodes { id } }")),
        format!("{{ {} }}", many(30, &format!("{own} {{ members(first: 100) {{ nodes {{ user {{ id name }} teams(first: 10) {{ nodes {{ id }} }} }} }} }}"))),
        "{ viewer { memberships(first: 100) { nodes { organization { members(first: 100) { nodes { user { id } } } } } } } }".to_owned(),
        // Each id counts, also one that is named again.
        format!(
            "{{ nodes(ids: [{}]) {{ ... on Organization {{ {} }} }} }}",
            format!("\"{}\" ", team.id).repeat(100),
            many(2, &plan)
        ),
        format!("{{ viewer {{ {} }} }}", many(100, "billableOrganizations { name owner { name } }")),
    ] {
        let answer = team.owner.run(&document, json!({})).await;
        assert_eq!(answer.error_code(), "BAD_REQUEST", "{document}: {}", answer.body);
        let refusal = &answer.body["errors"][0];
        let cost = refusal["extensions"]["cost"].as_u64().unwrap_or_else(|| panic!("{refusal}"));
        assert!(cost > 25_000 && refusal["extensions"]["limit"] == 25_000, "{refusal}");
        assert!(refusal["message"].as_str().unwrap().contains(&cost.to_string()), "{refusal}");
    }
    // Variables count like what stands in the document.
    let by_variable = "query($n: Int, $m: Int = 100) { viewer { memberships(first: $n) { nodes { organization { members(first: $m) { nodes { user { id } } } } } } } }";
    assert_eq!(team.owner.run(by_variable, json!({ "n": 100 })).await.error_code(), "BAD_REQUEST");
    team.owner.query(by_variable, json!({ "n": 10, "m": 10 })).await;
    for document in [
        format!(
            "{{ {own} {{ {plan} members(search: \"a\") {{ totalCount nodes {{ id user {{ name }} }} }} }} {verify} }}"
        ),
        "{ viewer { memberships(first: 100) { nodes { role organization { id name owner { name } } } } } }".to_owned(),
    ] {
        team.owner.query(&document, json!({})).await;
    }
    app.finish().await;
}

#[tokio::test]
async fn an_answer_has_a_largest_size() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.give(&team, &team.owner, "document", 100).await;
    let organization = uuid(&team.id);
    app.database
        .sql(&format!("UPDATE resources SET description = repeat('€', 2000) WHERE organization_id = '{organization}'"))
        .await;
    let list = |count: usize| {
        let lists: String =
            (0..count).map(|n| format!("a{n}: resources(first: 100) {{ nodes {{ description }} }} ")).collect();
        format!("{{ organization(by: {{ id: \"{}\" }}) {{ {lists} }} }}", team.id)
    };
    let answer = team.owner.run(&list(18), json!({})).await;
    assert_eq!(answer.error_code(), "BAD_REQUEST");
    assert!(answer.body["errors"][0]["message"].as_str().unwrap().contains("larger than 10 MB"), "{}", answer.body);
    team.owner.query(&list(15), json!({})).await;
    // A mutation that was carried out doesn't look as if it hadn't been.
    let rename = list(18).replace(
        &format!("organization(by: {{ id: \"{}\" }})", team.id),
        &format!("updateOrganization(input: {{ id: \"{}\", name: \"Renamed\" }}) {{ organization", team.id),
    );
    let answer = team.owner.run(&format!("mutation {rename} }}"), json!({})).await;
    let message = text(&answer.body["errors"][0]["message"]);
    assert!(message.contains("was carried out") && message.contains("larger than 10 MB"), "{}", answer.body);
    let name = team.owner.query("query($id: ID!) { organization(by: { id: $id }) { name } }", json!({ "id": team.id }));
    assert_eq!(name.await["organization"]["name"], "Renamed");
    app.finish().await;
}

// Overload: what there is no room for is sent away before any work is done for it, and whoever probes hears the truth.
#[tokio::test]
async fn what_there_is_no_room_for_is_told_to_come_back() {
    let app = TestApp::builder().without_worker().start().await;
    let nobody = "rcs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut holder = app.database.connection().await;
    holder.batch_execute("BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let ask = async |from: &'static str| {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().local_address(Some(from.parse().unwrap()));
        let request = http.build().unwrap().post(format!("{}/graphql", app.url)).bearer_auth(nobody);
        let response = request.json(&json!({ "query": "{ viewer { email } }" })).send().await.unwrap();
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let body: Value = response.json().await.unwrap();
        (status, retry_after, body["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let began = Instant::now();
    let shed = std::sync::atomic::AtomicUsize::new(0);
    let unavailable = (503, Some("1".to_owned()), "UNAVAILABLE".to_owned());
    let crowd = join_all((0..500).map(async |_| {
        let answer = ask("127.0.0.1").await;
        if answer == unavailable {
            shed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        answer
    }));
    let observer = async {
        // One client has 128 at a time, of which the pool serves 16; nobody has an answer as long as the lock is held.
        until("the others are sent away", async || {
            (shed.load(std::sync::atomic::Ordering::Relaxed) >= 500 - 128).then_some(())
        })
        .await;
        assert_eq!((app.health("live").await, app.health("ready").await), (200, 200));
        // The client's crowd doesn't count for others; they wait for a connection, and are told that none was free.
        assert_eq!(ask("127.0.0.2").await, unavailable);
        assert_eq!((app.health("live").await, app.health("ready").await), (200, 200));
        holder.batch_execute("ROLLBACK").await.unwrap();
    };
    let (answers, ()) = tokio::join!(crowd, observer);
    assert!(answers.iter().all(|answer| *answer == unavailable || answer.0 == 401), "{answers:?}");
    assert_eq!(ask("127.0.0.1").await.0, 401);
    // A line a second says how many it stands for.
    let log = app.api_log();
    for (line, count) in [("sent away", 300), ("the database is too busy", 1)] {
        let lines: Vec<&str> = log.lines().filter(|written| written.contains(line)).collect();
        let left_out = |line: &&str| {
            let (_, rest) = line.split_once("left_out=").unwrap();
            rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap()
        };
        let told = lines.iter().map(left_out).sum::<u64>() + lines.len() as u64;
        assert!(lines.len() as u64 <= began.elapsed().as_secs() + 1 && told >= count, "{told} in {lines:?}");
    }
    app.finish().await;
}

// However many fields of a request fail, the log has a line of a kind.
#[tokio::test]
async fn a_request_writes_one_line_of_a_kind_into_the_log() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    app.stop_workers().await;
    let fields: String = (0..100).map(|n| format!("t{n}: teams {{ nodes {{ name }} }} ")).collect();
    let query = format!("query($id: ID!) {{ organization(by: {{ id: $id }}) {{ {fields} }} }}");
    let body = json!({ "query": query, "variables": { "id": team.id } });
    let ask = async |id: &str| {
        let answer = team.owner.try_send(&body, Some(id)).await.unwrap();
        (answer.body["errors"].as_array().unwrap().len(), answer.error_code())
    };
    let lines = |app: &TestApp, id: &str, text: &str| {
        app.api_log().lines().filter(|line| line.contains(id) && line.contains(text)).count()
    };
    let mut holder = app.database.connection().await;
    holder.batch_execute("BEGIN; LOCK TABLE teams IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (answer, ()) = tokio::join!(ask("too-busy-for-it"), async {
        // The request's connections wait for the lock, until that takes too long; the other fields for a connection.
        tokio::time::sleep(Duration::from_secs(12)).await;
        holder.batch_execute("ROLLBACK").await.unwrap();
    });
    assert!(answer.0 > 1, "{answer:?}");
    assert_eq!(answer.1, "UNAVAILABLE");
    assert_eq!(lines(&app, "too-busy-for-it", "the database is too busy"), 1);
    app.database.sql("ALTER TABLE teams RENAME TO gone").await;
    assert_eq!(ask("broken-by-us").await, (51, "INTERNAL".to_owned()));
    app.database.sql("ALTER TABLE gone RENAME TO teams").await;
    assert_eq!(lines(&app, "broken-by-us", "internal error"), 1);
    assert_eq!(lines(&app, "broken-by-us", "fields=100"), 1);
    // Nobody writes more into it than the line has room for.
    for start in [format!("GET /{}", "A".repeat(60_000)), format!("GET /{}", "\"".repeat(30_000)), "A".repeat(60_000)] {
        raw(&app, format!("{start} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
    }
    assert!(app.api_log().lines().all(|line| line.len() < 2_000));
    app.finish_with_errors().await;
}

// A request that its client gives up gives up its statement too, and its connection.
#[tokio::test]
async fn an_abandoned_request_cancels_its_statement() {
    let mut app = TestApp::start().await;
    let person = app.sign_up("ada@example.org").await;
    app.stop_workers().await;
    let working = app.stop_the_clock().await;
    let mut streams = Vec::new();
    // As many as an account has connections.
    for _ in 0..8 {
        let mut stream = connect(&app, "127.0.0.1").await;
        stream.write_all(asking_as(&person).as_bytes()).await.unwrap();
        streams.push(stream);
    }
    until("each has a statement", async || (app.asleep().await == 8).then_some(())).await;
    app.database.sql(&working).await;
    drop(streams);
    until("none has", async || (app.asleep().await == 0).then_some(())).await;
    person.query("{ viewer { email } }", json!({})).await;
    app.finish().await;
}

// A statement that doesn't end is ended before the request is, and the answer says when to try again.
#[tokio::test]
async fn a_statement_that_takes_too_long_is_cancelled() {
    let mut app = TestApp::start().await;
    let person = app.sign_up("ada@example.org").await;
    app.stop_workers().await;
    let working = app.stop_the_clock().await;
    let answer = person.run("{ viewer { email } }", json!({})).await;
    assert_eq!((answer.status, answer.error_code().as_str()), (503, "UNAVAILABLE"), "{}", answer.body);
    assert_eq!(answer.body["errors"][0]["extensions"]["retryAfter"], 1);
    app.database.sql(&working).await;
    app.finish().await;
}

#[tokio::test]
async fn slow_and_silent_clients_are_shown_out() {
    let app = TestApp::builder().without_worker().start().await;
    let silent = raw(&app, b"");
    let half = raw(&app, b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-ty");
    let trickling = async {
        let mut stream = connect(&app, "127.0.0.1").await;
        stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        let (mut read, mut write) = stream.split();
        let mut answer = Vec::new();
        let trickle = async {
            while write.write_all(b"a: b\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            read = read.read_to_end(&mut answer) => drop(read),
            () = trickle => {}
            () = tokio::time::sleep(PATIENCE) => panic!("headers may come for ever"),
        }
    };
    let body = post(r#"{"query":"#, 100);
    let slow_body = raw(&app, body.as_bytes());
    let slow_form = raw(
        &app,
        b"POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\nemail=",
    );
    let (silent, half, (), slow_body, slow_form) = tokio::join!(silent, half, trickling, slow_body, slow_form);
    assert_eq!((silent.as_str(), half.as_str()), ("", ""));
    assert!(slow_body.starts_with("HTTP/1.1 408 ") && slow_body.contains(r#""code":"BAD_REQUEST""#), "{slow_body}");
    assert!(slow_form.starts_with("HTTP/1.1 408 ") && slow_form.contains("<!doctype html>"), "{slow_form}");
    app.finish().await;
}

// An answer that nobody reads is given up, and so is its connection.
#[tokio::test]
async fn an_answer_waits_for_its_reader_for_so_long() {
    let app = TestApp::builder().without_worker().start().await;
    let script = app.large_answer().await;
    let mut stream = unread(&app, "127.0.0.1", &script, "").await;
    let port = format!(":{:04X}", app.url.rsplit(':').next().unwrap().parse::<u16>().unwrap());
    // The service's side of established connections.
    let open = || {
        let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let columns = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        columns.filter(|columns| columns[1].ends_with(&port) && columns[3] == "01").count()
    };
    assert!(open() > 0);
    until("the service closes the connection", async || (open() == 0).then_some(())).await;
    let read = to_the_end(&mut stream).await;
    assert!(!read.is_empty() && read.len() < 8 * 1_000_000, "{}", read.len());
    app.finish().await;
}

// What nobody reads takes its client's places until it is given up, and nobody else's.
#[tokio::test]
async fn answers_that_nobody_reads_take_places() {
    let app = TestApp::builder().without_worker().start().await;
    let script = app.large_answer().await;
    let ask = async |from: &'static str| {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().local_address(Some(from.parse().unwrap()));
        http.build().unwrap().get(format!("{}/sign-in", app.url)).send().await.unwrap().status().as_u16()
    };
    let mut streams = VecDeque::new();
    for _ in 0..128 {
        streams.push_back(unread(&app, "127.0.0.3", &script, "").await);
    }
    // The service ends what nobody reads: on a busy machine the first have ended before the last have come.
    let patience = Instant::now() + PATIENCE;
    while ask("127.0.0.3").await != 503 {
        assert!(Instant::now() < patience, "the client has a place left");
        drop(streams.pop_front());
        streams.push_back(unread(&app, "127.0.0.3", &script, "").await);
    }
    assert_eq!(ask("127.0.0.4").await, 200);
    drop(streams);
    until("it has again", async || (ask("127.0.0.3").await == 200).then_some(())).await;
    app.finish().await;
}

// Large answers that a client doesn't read take up so much memory, and no more. Others are answered meanwhile.
#[tokio::test]
async fn answers_that_nobody_reads_take_up_so_much_memory() {
    let app = TestApp::builder().without_worker().start().await;
    // Long names of fields make an answer large.
    let names: String = (0..85).map(|n| format!("{:a>96}{n}:name ", "")).collect();
    let query = format!("{{__schema{{types{{fields{{{names} args{{{names}}}}}}}}}}}");
    let body = json!({ "query": query }).to_string();
    let request = post(&body, body.len());
    let mut streams = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..16 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(app.url.trim_start_matches("http://").parse().unwrap()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        let status = String::from_utf8_lossy(&start).into_owned();
        let is_refused = status.ends_with("503");
        answers.push(status);
        streams.push(stream);
        if is_refused {
            break;
        }
    }
    assert!(answers[0].ends_with("200") && answers.last().unwrap().ends_with("503"), "{answers:?}");
    let refused = to_the_end_of_answer(streams.last_mut().unwrap()).await;
    assert!(refused.contains("retry-after: 1") && refused.contains("UNAVAILABLE"), "{refused}");
    let small = json!({ "query": "{ __typename }" });
    for from in ["127.0.0.3", "127.0.0.4"] {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().local_address(Some(from.parse().unwrap()));
        let answer = http.build().unwrap().post(format!("{}/graphql", app.url)).json(&small).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{from}");
    }
    app.finish().await;
}

// A client whose requests fill their share of memory keeps nobody else out, whatever it pads them with.
#[tokio::test]
async fn bodies_of_one_client_keep_nobody_out() {
    let app = TestApp::builder().without_worker().start().await;
    let steps: String = (0..5)
        .map(|n| format!("a{n}: requestSignIn(input: {{email: \"a{n}@example.org\"}}) {{ userErrors {{ code }} }} "))
        .collect();
    let mut body = json!({ "query": format!("mutation {{ {steps} }}") }).to_string();
    body.push_str(&" ".repeat(1024 * 1024 - body.len()));
    let request = post(&body, body.len());
    let mut streams = Vec::new();
    for _ in 0..64 {
        let mut stream = connect(&app, "127.0.0.3").await;
        // Beyond its share, the service closes the connection early.
        let _ = stream.write_all(&request.as_bytes()[..request.len() - 1]).await;
        streams.push(stream);
    }
    for stream in &mut streams {
        let _ = stream.write_all(b" ").await;
    }
    let small = json!({ "query": "{ __typename }", "extensions": { "padding": "x".repeat(20_000) } });
    for _ in 0..20 {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
        let http = http.local_address(Some("127.0.0.4".parse().unwrap())).build().unwrap();
        let answer = http.post(format!("{}/graphql", app.url)).json(&small).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    drop(streams);
    app.finish().await;
}

// Two credentials: which of them counts isn't for the service to guess.
#[tokio::test]
async fn two_credentials_are_refused() {
    let app = TestApp::builder().without_worker().start().await;
    let body = json!({ "query": "{ __typename }" }).to_string();
    let twice = "authorization: Bearer rcs_a\r\nauthorization: Bearer rcs_b\r\nconnection: close\r\n";
    let answer =
        raw(&app, post(&body, body.len()).replacen("\r\n\r\n", &format!("\r\n{twice}\r\n"), 1).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("BAD_REQUEST"), "{answer}");
    app.finish().await;
}

// What was changed is told, also where something that was to be shown besides could not be read: nobody does it twice.
#[tokio::test]
async fn a_mutation_that_was_done_is_not_to_be_sent_again() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    app.stop_workers().await;
    let mut holder = app.database.connection().await;
    let mutation = "mutation($code: CreateJoinCodesInput!, $team: CreateTeamInput!) { createJoinCodes(input: $code) { codes { code } } \
         createTeam(input: $team) { team { name members(first: 1) { nodes { __typename } } } } }";
    let input = json!({
        "code": { "organizationId": team.id, "count": 1 }, "team": { "organizationId": team.id, "name": "Lab" },
    });
    holder.batch_execute("BEGIN; LOCK TABLE team_members IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let answer = team.owner.run(mutation, input).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!((answer.status, answer.error_code().as_str()), (200, "UNAVAILABLE"), "{}", answer.body);
    assert!(answer.body["data"]["createJoinCodes"]["codes"][0]["code"].is_string(), "{}", answer.body);
    // Where nothing was changed, it says so.
    holder.batch_execute("BEGIN; LOCK TABLE join_codes IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let input = json!({ "organizationId": team.id, "count": 1 });
    let answer = team.owner.mutate("createJoinCodes", input, "codes { code }").await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(answer.user_errors("createJoinCodes")[0].code, "CONFLICT", "{}", answer.body);
    app.finish().await;
}

// Idle connections make room for others, however many there are.
#[tokio::test]
async fn idle_connections_keep_nobody_out() {
    let files = rlimit::increase_nofile_limit(6_000).unwrap();
    assert!(files >= 6_000, "the test needs 6,000 files, and may open {files}");
    let app = TestApp::builder().without_worker().start().await;
    let mut idle = Vec::new();
    for _ in 0..4_200 {
        idle.push(connect(&app, "127.0.0.1").await);
    }
    for stream in idle.iter_mut().skip(4_000) {
        stream.write_all(b"GET /health/").await.unwrap();
    }
    assert_eq!(app.health("live").await, 200);
    app.anonymous().query("{ __typename }", json!({})).await;
    // The first of them have made room.
    let mut byte = [0];
    assert_eq!(tokio::time::timeout(PATIENCE, idle[0].read(&mut byte)).await.unwrap().unwrap_or(0), 0);
    app.finish().await;
}

// Nor do connections by which somebody sends slowly, from however many addresses.
#[tokio::test]
async fn slow_bodies_keep_nobody_out() {
    let files = rlimit::increase_nofile_limit(6_000).unwrap();
    assert!(files >= 6_000, "the test needs 6,000 files, and may open {files}");
    let app = TestApp::builder().without_worker().start().await;
    let headers = post("", 1_000);
    let mut slow = Vec::new();
    for n in 0..4_200 {
        let mut stream = connect(&app, &format!("127.0.1.{}", 1 + n % 34)).await;
        stream.write_all(headers.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    assert_eq!(app.health("live").await, 200);
    app.anonymous().query("{ __typename }", json!({})).await;
    // Not even from one of these addresses.
    let http =
        reqwest::Client::builder().timeout(PATIENCE).no_proxy().local_address(Some("127.0.1.1".parse().unwrap()));
    let request = http.build().unwrap().post(format!("{}/graphql", app.url));
    assert_eq!(request.json(&json!({ "query": "{ __typename }" })).send().await.unwrap().status(), 200);
    app.finish().await;
}

// A large document takes its turn only as long as it keeps a thread busy, not while it waits for the database.
#[tokio::test]
async fn who_waits_for_the_database_keeps_no_turn() {
    let mut app = TestApp::start().await;
    let person = app.sign_up("ada@example.org").await;
    app.stop_workers().await;
    let padded = |query: &str| format!("{query} #{}", "x ".repeat(9_000));
    let mut holder = app.database.connection().await;
    holder.batch_execute("BEGIN; LOCK TABLE members IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND state = 'active'";
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let (person, query) = (person.clone(), padded("{ viewer { memberships { totalCount } } }"));
            tokio::spawn(async move { person.run(&query, json!({})).await })
        })
        .collect();
    until("all wait", async || (app.database.number(waiting).await >= 8).then_some(())).await;
    app.anonymous().query(&padded("{ __typename }"), json!({})).await;
    assert!(app.database.number(waiting).await >= 8, "nobody waits any more");
    holder.batch_execute("ROLLBACK").await.unwrap();
    for answer in asking {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    app.finish().await;
}

// SIGTERM ends the process in time, whatever is running.
#[tokio::test]
async fn the_service_ends_in_time_whatever_is_running() {
    let mut app = TestApp::start().await;
    let person = app.sign_up("ada@example.org").await;
    app.stop_workers().await;
    app.stop_the_clock().await;
    let mut streams = Vec::new();
    for bytes in [asking_as(&person).as_str(), "GET /hea", "", &post("{", 100)].repeat(10) {
        let mut stream = connect(&app, "127.0.0.1").await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    until("statements run", async || (app.asleep().await == 10).then_some(())).await;
    let asked = Instant::now();
    app.stop_api().await;
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn requests_of_the_wrong_form_are_refused() {
    let app = TestApp::builder().without_worker().start().await;
    let query = r#"{"query":"{ __typename }"}"#;
    let with = |headers: &str| {
        format!(
            "POST /graphql HTTP/1.1\r\n{headers}content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{query}",
            query.len()
        )
    };
    let huge = format!("host: x\r\nx-padding: {}\r\n", "x".repeat(66_000));
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    for (headers, status) in [
        ("host: x\r\n", 200),
        ("", 400),
        ("host: x\r\nhost: x\r\n", 400),
        ("host: x\r\nhost: y\r\n", 400),
        ("host:\r\n", 400),
        ("host: x, y\r\n", 400),
        ("host: x y\r\n", 400),
        ("host: x/../y\r\n", 400),
        ("host: ada@x\r\n", 400),
        ("host: [::1]:8080\r\n", 200),
        ("host: x\r\ncontent-encoding: gzip\r\n", 415),
        ("host: x\r\ncontent-encoding: br\r\n", 415),
        ("host: x\r\ncontent-encoding: identity\r\n", 200),
        ("host: x\r\ncontent-encoding: identity\r\ncontent-encoding: deflate\r\n", 415),
        (&huge, 431),
        (&format!("host: x\r\n{many}"), 431),
    ] {
        let answer = raw(&app, with(headers).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers:.80}: {answer:.200}");
        if matches!(status, 400 | 415) {
            assert!(answer.contains(r#""code":"BAD_REQUEST""#), "{answer}");
        }
    }
    for coding in ["gzip, chunked", "identity", "gzip"] {
        let headers = format!("host: x\r\nconnection: close\r\ntransfer-encoding: {coding}\r\n");
        let request = format!("POST /graphql HTTP/1.1\r\n{headers}content-type: application/json\r\n\r\n0\r\n\r\n");
        let answer = raw(&app, request.as_bytes()).await;
        let is_refused = ["415", "400"].iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status} ")));
        assert!(is_refused, "{coding}: {answer:.200}");
    }
    // Pages in the shape of pages; probes of HTTP/1.0 name no host.
    let page = raw(&app, b"GET /sign-in HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 400 ") && page.contains("Host header"), "{page}");
    let probe = raw(&app, b"GET /health/live HTTP/1.0\r\n\r\n").await;
    assert!(probe.starts_with("HTTP/1.0 200 "), "{probe}");
    let large = reqwest::Client::new().post(format!("{}/graphql", app.url)).header("content-type", "application/json");
    let answer = large.body("x".repeat(1024 * 1024 + 1)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().contains("1 MB")), (413, true));
    app.finish().await;
}

// What browsers are told, page by page; on https that they keep to it, and that cookies are this host's alone.
#[tokio::test]
async fn browsers_are_told_what_belongs_to_whom() {
    let app = TestApp::builder().without_worker().start().await;
    let https =
        TestApp::builder().without_worker().setting("ROLLCALL_PUBLIC_URL", "https://rollcall.example").start().await;
    for (app, is_https) in [(&app, false), (&https, true)] {
        for (path, is_page) in [
            ("/", true),
            ("/sign-in", true),
            ("/account", true),
            ("/style.css", false),
            ("/graphql?query={__typename}", false),
            ("/nowhere", false),
        ] {
            let response = reqwest::Client::new().get(format!("{}{path}", app.url)).send().await.unwrap();
            let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header("cross-origin-resource-policy").as_deref(), Some("same-origin"), "{path}");
            assert_eq!(header("cross-origin-opener-policy").as_deref(), is_page.then_some("same-origin"), "{path}");
            assert_eq!(header("permissions-policy").is_some(), is_page, "{path}");
            assert_eq!(
                header("strict-transport-security").as_deref(),
                is_https.then_some("max-age=31536000"),
                "{path}"
            );
        }
        let response = reqwest::get(format!("{}/sign-in", app.url)).await.unwrap();
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        assert_eq!(cookie.starts_with("__Host-rollcall_form="), is_https, "{cookie}");
        assert_eq!(cookie.contains("Secure"), is_https, "{cookie}");
        assert!(cookie.contains("Path=/") && !cookie.contains("Domain"), "{cookie}");
    }
    https.finish().await;
    app.finish().await;
}

// Behind a trusted proxy each client has room of its own; what somebody reads slowly is theirs alone.
#[tokio::test]
async fn clients_of_trusted_proxies_have_their_own_room() {
    let app = TestApp::builder().without_worker().setting("ROLLCALL_TRUSTED_PROXIES", "127.0.0.1").start().await;
    let script = app.large_answer().await;
    let mut crowd = Vec::new();
    for _ in 0..128 {
        crowd.push(unread(&app, "127.0.0.1", &script, "x-forwarded-for: 203.0.113.7\r\n").await);
    }
    let status = async |address: &str| {
        let client = Client::new(&app.url, None).from("127.0.0.1", Some(address));
        client.run("{ __typename }", json!({})).await.status
    };
    until("the client's room is used up", async || (status("203.0.113.7").await == 503).then_some(())).await;
    assert_eq!(status("203.0.113.8").await, 200);
    drop(crowd);
    until("there is room again", async || (status("203.0.113.7").await == 200).then_some(())).await;
    app.finish().await;
}
