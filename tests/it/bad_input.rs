//! What bad input gets, in every mutation of the schema: an error that names the field, and no change at all.

use crate::audit::World;
use crate::schema;
use crate::support::client::{Answer, document, text};
use crate::support::{Client, Team, TestApp, Value, json};

/// Everything that a mutation could change, as one digest. Attempts are counted on purpose, and days are metered when
/// their hour comes.
pub async fn state(app: &TestApp) -> Vec<String> {
    let tables = "SELECT table_name::text AS value FROM information_schema.tables WHERE table_schema = 'public' \
         AND table_name NOT IN ('attempts', 'job_schedules', 'metered_days', '__diesel_schema_migrations') ORDER BY 1";
    let mut union = Vec::new();
    for table in app.database.texts(tables).await {
        // When a session was last seen isn't a change, nor is a try of digits, nor how far a webhook has come, nor that
        // a leaver's minute is over.
        let row =
            "md5((to_jsonb(t) - ARRAY['last_seen_at', 'last_used_at', 'digit_tries', 'cursor', 'told_at'])::text)";
        // The hourly sweeps come when their minute does, and have webhooks go on; leavers are told after a minute.
        let rows = if table == "jobs" {
            "(SELECT * FROM jobs WHERE kind NOT IN ('sweep', 'deliver_webhook', 'mail_membership_ended'))"
        } else {
            &*table
        };
        union.push(format!("SELECT '{table} ' || count(*) || ' ' || coalesce(md5(string_agg({row}, '' ORDER BY {row})), '') AS value FROM {rows} t"));
    }
    app.database.texts(&union.join(" UNION ALL ")).await
}

/// A value at a path into the input.
pub fn with(input: &Value, path: &[String], value: Value) -> Value {
    let mut changed = input.clone();
    let mut place = &mut changed;
    for part in path {
        place = match part.parse::<usize>() {
            Ok(position) => &mut place[position],
            Err(_) => &mut place[part.as_str()],
        };
    }
    *place = value;
    changed
}

/// The leaves of an input type: path, type without its `!`, and whether it must be given.
pub fn leaves(input: &str, given: &Value) -> Vec<(Vec<String>, String, bool)> {
    let mut found = Vec::new();
    let is_one_of = schema::committed().contains(&format!("input {input} @oneOf"));
    for (name, of, required) in schema::input_fields(input) {
        // Another one beside the one that is given is refused before anything is looked at.
        if is_one_of && given[&name].is_null() {
            continue;
        }
        let plain = of.trim_end_matches('!').to_owned();
        let element = plain.trim_start_matches('[').trim_end_matches(']').trim_end_matches('!').to_owned();
        if element.ends_with("Input") || element == "SignInDigits" {
            let inside = if plain.starts_with('[') { &given[&name][0] } else { &given[&name] };
            if inside.is_null() {
                continue;
            }
            let prefix = if plain.starts_with('[') { vec![name.clone(), "0".to_owned()] } else { vec![name.clone()] };
            for (path, of, required) in leaves(&element, inside) {
                found.push(([prefix.clone(), path].concat(), of, required));
            }
        } else {
            found.push((vec![name], plain, required));
        }
    }
    found
}

fn refusal(mutation: &str, answer: &Answer) -> Option<(String, String)> {
    if answer.body.get("errors").is_some() {
        return Some((answer.error_code(), String::new()));
    }
    answer.user_errors(mutation).first().map(|error| (error.code.clone(), error.field.clone()))
}

#[tokio::test]
async fn bad_input_is_told_and_changes_nothing() {
    let app =
        TestApp::builder().local_webhooks().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let world = World::new(&app).await;
    // Another organization with one of everything.
    let other = app.sign_up("other@example.org").await;
    let other_organization = other.found("Other").await;
    let foreign = foreign_ids(&app, &other, &other_organization).await;
    let mut problems = Vec::new();
    for mutation in schema::mutations() {
        let input_type = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        let (person, valid) = world.valid(&mutation).await;
        app.until_idle().await;
        let before = state(&app).await;
        let mut cases: Vec<(String, Value, Vec<&str>)> = Vec::new();
        for (path, of, required) in leaves(&input_type, &valid) {
            let field = path.join(".");
            let mut case = |what: &str, value: Value, codes: &[&'static str]| {
                cases.push((format!("{field}: {what}"), with(&valid, &path, value), codes.to_vec()));
            };
            if required {
                case("null", json!(null), &["BAD_REQUEST"]);
            }
            match of.as_str() {
                "ID" => {
                    let kind = kind_of(&mutation, &path, &valid);
                    // An optional id that takes the place of another proof can't stand beside it.
                    let not_found: &[&'static str] = &["NOT_FOUND", "INVALID", "UNAUTHENTICATED", "FORBIDDEN"];
                    case("unknown", json!(format!("{kind}_01h455vb4pex5vsknk084sn02q")), not_found);
                    // The platform's staff reach every organization.
                    let reaches_all = person.token == app.staff().token;
                    if let Some(id) = foreign.get(kind).filter(|_| !reaches_all) {
                        case("another organization's", json!(id), not_found);
                    }
                    for malformed in ["", "x", "org_", "res_zzzzzzzzzzzzzzzzzzzzzzzzzz", "';--", &"x".repeat(10_000)] {
                        case(&format!("malformed {malformed:.20}"), json!(malformed), &["BAD_REQUEST"]);
                    }
                    let other = if kind == "usr" { "org" } else { "usr" };
                    case("of another kind", json!(format!("{other}_01h455vb4pex5vsknk084sn02q")), &["BAD_REQUEST"]);
                    case("of a wrong type", json!({ "a": 1 }), &["BAD_REQUEST"]);
                }
                "String" => {
                    let refused = &[
                        "TOO_LONG",
                        "INVALID",
                        "NOT_FOUND",
                        "BLANK",
                        "FORBIDDEN",
                        "CONFIRMATION_MISMATCH",
                        "PLAN_STALE",
                    ];
                    case("huge", json!("x".repeat(100_000)), refused);
                    case("with NUL", json!("a\u{0}b"), refused);
                    case("of a wrong type", json!(7), &["BAD_REQUEST"]);
                    if required {
                        case("empty", json!(""), &["BLANK", "INVALID", "NOT_FOUND", "CONFIRMATION_MISMATCH"]);
                        case("blank", json!(" \t "), &["BLANK", "INVALID", "NOT_FOUND", "CONFIRMATION_MISMATCH"]);
                    }
                }
                "Int" => {
                    case("huge", json!(9_999_999_999_i64), &["BAD_REQUEST"]);
                    case("negative", json!(-1), &["INVALID"]);
                    case("of a wrong type", json!("one"), &["BAD_REQUEST"]);
                }
                "BigInt" => {
                    case("huge", json!("99999999999999999999"), &["BAD_REQUEST", "INVALID"]);
                    case("negative", json!("-1"), &["INVALID"]);
                    case("no number", json!("many"), &["BAD_REQUEST", "INVALID"]);
                }
                "DateTime" => case("no time", json!("yesterday"), &["BAD_REQUEST", "INVALID"]),
                other if schema::is_enum(other) => case("unknown value", json!("NOTHING"), &["BAD_REQUEST"]),
                _ => {}
            }
        }
        cases.push(("no input".to_owned(), json!(null), vec!["BAD_REQUEST"]));
        cases.push(("an unknown field".to_owned(), with_unknown(&valid), vec!["BAD_REQUEST"]));
        for (what, input, codes) in cases {
            let answer = person.run(&document(&mutation, ""), json!({ "input": input })).await;
            match refusal(&mutation, &answer) {
                None => problems.push(format!("{mutation} {what}: not refused")),
                Some((code, _)) if code == "RATE_LIMITED" => {}
                Some((code, field)) if !codes.contains(&code.as_str()) => {
                    problems.push(format!("{mutation} {what}: {code} {field}, not one of {codes:?}"))
                }
                Some((code, field))
                    if code != "BAD_REQUEST" && code != "UNAUTHENTICATED" && !what_names(&what, &code, &field) =>
                {
                    problems.push(format!("{mutation} {what}: {code} names the field {field}"));
                }
                Some(_) => {}
            }
            if answer.status >= 500 {
                problems.push(format!("{mutation} {what}: status {}", answer.status));
            }
        }
        app.until_idle().await;
        if state(&app).await != before {
            let after = state(&app).await;
            let changed: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
            problems.push(format!("{mutation}: something has changed: {changed:?}"));
        }
        // The one that all of these were made from works.
        if let Some(refusal) =
            refusal(&mutation, &person.run(&document(&mutation, ""), json!({ "input": valid })).await)
            && refusal.0 != "RATE_LIMITED"
        {
            problems.push(format!("{mutation}: the valid input is refused: {refusal:?}"));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    app.finish().await;
}

// R21: what can't be anybody's name is nobody's: whatever is looked up by a text finds nothing, and is no error.
#[tokio::test]
async fn texts_that_cannot_be_stored_find_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    for text in [
        "\u{0}",
        "acme-genomics\u{0}",
        "Liver\u{0}",
        "%\u{0}",
        "organization.created\u{0}",
        "x".repeat(200).as_str(),
        "\u{ffff}",
    ] {
        let query = "query($id: ID!, $text: String!, $target: ID!) { \
             bySlug: organization(by: { slug: $text }) { id } invitation(token: $text) { role } \
             organization(by: { id: $id }) { members(search: $text) { totalCount nodes { id } } teams(search: $text) { totalCount nodes { id } } \
             resources(search: $text) { nodes { id } } auditLog(action: $text) { nodes { id } } \
             byTarget: auditLog(targetId: $target) { nodes { id } } } \
             viewer { resources(organizationId: $id, search: $text) { nodes { id } } } }";
        let data = team.owner.query(query, json!({ "id": team.id, "text": text, "target": text })).await;
        assert!(data["bySlug"].is_null() && data["invitation"].is_null(), "{text:?}: {data}");
        let nothing = json!({ "totalCount": 0, "nodes": [] });
        for list in ["members", "teams"] {
            assert_eq!(data["organization"][list], nothing, "{list} {text:?}");
        }
        for log in ["auditLog", "byTarget"] {
            assert_eq!(data["organization"][log]["nodes"], json!([]), "{log} {text:?}");
        }
        for holder in ["organization", "viewer"] {
            assert_eq!(data[holder]["resources"]["nodes"], json!([]), "{holder} {text:?}");
        }
    }
    // Short ones too, which are looked for otherwise.
    let short = "{ viewer { resources(search: \"\\u0000\") { nodes { id } } } }";
    assert_eq!(team.owner.query(short, json!({})).await["viewer"]["resources"]["nodes"], json!([]));
    for (mutation, input, refusal) in [
        ("signIn", json!({ "token": "a\u{0}" }), ("INVALID", "input.token")),
        ("acceptInvitation", json!({ "token": "a\u{0}" }), ("NOT_FOUND", "input.token")),
        ("redeemJoinCode", json!({ "code": "1234-567\u{0}" }), ("INVALID", "input.code")),
    ] {
        assert_eq!(team.owner.refused(mutation, input).await.is(), refusal, "{mutation}");
    }
    let share = json!({ "resourceId": project, "grantee": { "organizationSlug": "a\u{0}" }, "level": "VIEW" });
    assert_eq!(team.owner.refused("grantAccess", share).await.is(), ("INVALID", "input.grantee.organizationSlug"));
    app.finish().await;
}

/// The prefix of the ids that a field of a mutation takes.
pub fn kind_of(mutation: &str, path: &[String], valid: &Value) -> &'static str {
    let kinds = [
        "org", "mem", "inv", "jco", "res", "dep", "key", "ses", "usr", "whk", "whd", "tea", "grt", "gin", "lnk", "trf",
        "run", "pky", "idn",
    ];
    // The valid one tells of which kind it is; where none is given, the field does.
    let given = path.iter().fold(valid, |value, part| match part.parse::<usize>() {
        Ok(position) => &value[position],
        Err(_) => &value[part.as_str()],
    });
    let named = match (mutation, path.last().map(String::as_str)) {
        ("signOut", _) => "ses",
        ("unlinkIdentity", _) => "idn",
        ("rotatePlatformKey" | "revokePlatformKey", _) => "pky",
        ("acceptInvitation" | "declineInvitation", Some("id")) => "inv",
        (_, Some("containerId" | "resourceId" | "workspaceId")) => "res",
        (_, Some("runId")) => "run",
        (_, Some("recipientId" | "userId")) => "usr",
        _ => "org",
    };
    given.as_str().and_then(|given| kinds.into_iter().find(|kind| given.starts_with(kind))).unwrap_or(named)
}

/// The error's field is the bad one, what it lies in, or one beside it that it contradicts.
fn what_names(what: &str, code: &str, field: &str) -> bool {
    let path = what.split(':').next().unwrap_or_default();
    let field = field.trim_start_matches("input").trim_start_matches('.');
    let parent = |path: &str| path.rsplit_once('.').map(|(parent, _)| parent.to_owned());
    path.starts_with(field) || field.starts_with(path) || code == "INVALID" && parent(path) == parent(field)
}

fn with_unknown(valid: &Value) -> Value {
    let mut changed = valid.clone();
    changed["surprise"] = json!(1);
    changed
}

/// One id of each kind, of another organization.
pub async fn foreign_ids(
    app: &TestApp,
    other: &Client,
    organization: &str,
) -> std::collections::BTreeMap<&'static str, String> {
    let mut ids = std::collections::BTreeMap::new();
    ids.insert("org", organization.to_owned());
    ids.insert("res", other.create(organization, "PROJECT", "Secret").await);
    let input = json!({ "organizationId": organization, "invitations": [{ "email": "elsewhere@example.org" }] });
    ids.insert("inv", text(&other.ok("inviteMembers", input, "invitations { id }").await["invitations"][0]["id"]));
    ids.insert("run", other.queue(organization, "Secret").await);
    let codes =
        other.ok("createJoinCodes", json!({ "organizationId": organization }), "codes { joinCode { id } }").await;
    ids.insert("jco", text(&codes["codes"][0]["joinCode"]["id"]));
    let key = other.ok("createApiKey", json!({ "organizationId": organization, "name": "x" }), "apiKey { id }").await;
    ids.insert("key", text(&key["apiKey"]["id"]));
    let input = json!({ "organizationId": organization, "url": "https://example.org/", "events": ["user.created"] });
    ids.insert("whk", text(&other.ok("createWebhook", input, "webhook { id }").await["webhook"]["id"]));
    let query = "query($id: ID!) { organization(by: { id: $id }) { viewerMembership { id } } viewer { sessions { nodes { id } } } }";
    let own = other.query(query, json!({ "id": organization })).await;
    let team = Team { id: organization.to_owned(), owner: other.clone() };
    ids.insert("tea", team.group("Secret", &[]).await);
    let collection = other.create(organization, "COLLECTION", "Secret").await;
    let link = other.ok("createShareLink", json!({ "resourceId": collection }), "shareLink { id }").await;
    ids.insert("lnk", text(&link["shareLink"]["id"]));
    let project = other.create(organization, "PROJECT", "Shared").await;
    ids.insert("grt", other.grant(&project, json!({ "organizationId": organization }), "VIEW").await);
    let input = json!({ "resourceId": project, "grantee": { "email": "elsewhere@example.org" }, "level": "VIEW" });
    other.ok("grantAccess", input, "").await;
    let query = "query($id: ID!) { node(id: $id) { ... on Resource { grantInvitations { nodes { id } } } } }";
    let shared = other.query(query, json!({ "id": project })).await;
    ids.insert("gin", text(&shared["node"]["grantInvitations"]["nodes"][0]["id"]));
    ids.insert("mem", text(&own["organization"]["viewerMembership"]["id"]));
    ids.insert("idn", app.identity_of(other).await);
    ids.insert("ses", text(&own["viewer"]["sessions"]["nodes"][0]["id"]));
    ids
}
