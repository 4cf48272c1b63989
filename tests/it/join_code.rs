//! Join codes: 8 digits, once, for 24 hours.

use crate::support::client::{nodes, text};
use crate::support::{TestApp, Value, json, until};

// R26: with or without the hyphen, once.
#[tokio::test]
async fn a_code_brings_one_person_in_with_or_without_its_hyphen() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let input = json!({ "organizationId": team.id, "count": 2, "label": "Class of 2026" });
    let selection = "codes { code joinCode { id role status label hint createdBy { id } createdAt expiresAt usedBy { id } } } file { filename }";
    let payload = team.owner.ok("createJoinCodes", input, selection).await;
    let codes: Vec<String> = payload["codes"].as_array().unwrap().iter().map(|code| text(&code["code"])).collect();
    let code = &codes[0];
    assert!(code.len() == 9 && code.as_bytes()[4] == b'-', "{code}");
    let made = &payload["codes"][0]["joinCode"];
    assert_eq!(
        (&made["role"], &made["status"], &made["label"]),
        (&json!("MEMBER"), &json!("ACTIVE"), &json!("Class of 2026"))
    );
    assert_eq!(text(&made["hint"]), code[7..]);

    let ada = app.sign_up("ada@example.org").await;
    let grace = app.sign_up("grace@example.org").await;
    let selection = "member { role joinedVia organization { id } user { id } }";
    let member = ada.ok("redeemJoinCode", json!({ "code": code }), selection).await;
    assert_eq!((&member["member"]["role"], &member["member"]["joinedVia"]), (&json!("MEMBER"), &json!("JOIN_CODE")));
    // R30: each joining by code is mailed to the owner.
    let mail = app.mail_about("owner@example.org", "with a code").await;
    let member = grace.ok("redeemJoinCode", json!({ "code": codes[1].replace('-', "") }), selection).await;
    assert_eq!(member["member"]["organization"]["id"], team.id.as_str());
    let used = team.join_code(made["id"].as_str().unwrap()).await;
    assert_eq!((&used["status"], &used["usedBy"]["id"]), (&json!("USED"), &json!(ada.user_id)));

    let hint = format!("••••-••{}\n", &code[7..]);
    assert!(mail.text.contains("Acme Genomics") && mail.text.contains(&hint), "{}", mail.text);
    app.mail_about("owner@example.org", "with a code").await;
    // The digits are nowhere in what is kept (R30), nor in the owner's mail.
    let digits = code.replace('-', "");
    assert!(!mail.text.contains(&digits) && !mail.text.contains(code.as_str()));
    let kept = app.database.texts("SELECT to_jsonb(c)::text AS value FROM join_codes c UNION ALL SELECT to_jsonb(e)::text FROM audit_events e UNION ALL SELECT to_jsonb(j)::text FROM jobs j").await;
    assert!(kept.iter().all(|row| !row.contains(&digits) && !row.contains(code.as_str())));
    app.finish().await;
}

// R26, R29: exact at redemption, no worker running.
#[tokio::test]
async fn a_code_works_for_24_hours_to_the_moment_without_a_worker() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let grace = app.sign_up("grace@example.org").await;
    app.until_idle().await;
    app.stop_workers().await;
    let (in_time, too_late) = (team.code("MEMBER").await, team.code("MEMBER").await);
    app.shift_clock("24 hours -1 minute").await;
    ada.ok("redeemJoinCode", json!({ "code": in_time }), "member { id }").await;
    app.shift_clock("1 minute").await;
    let error = grace.refused("redeemJoinCode", json!({ "code": too_late })).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.code"));
    // What is shown follows the time too, before any worker has marked it.
    let query = "query($id: ID!, $status: JoinCodeStatus) { organization(by: { id: $id }) { joinCodes(status: $status) { totalCount nodes { status } } } }";
    let expired = team.owner.query(query, json!({ "id": team.id, "status": "EXPIRED" })).await;
    assert_eq!(expired["organization"]["joinCodes"]["totalCount"], 1);
    assert_eq!(nodes(&expired["organization"]["joinCodes"])[0]["status"], "EXPIRED");
    let active = team.owner.query(query, json!({ "id": team.id, "status": "ACTIVE" })).await;
    assert_eq!(active["organization"]["joinCodes"]["totalCount"], 0);
    app.finish().await;
}

// R29: the worker marks it and records the event.
#[tokio::test]
async fn the_worker_marks_a_code_expired_and_records_it() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    team.code("MEMBER").await;
    app.until_idle().await;
    assert!(!team.audit().await.contains(&"organization.join_code_expired".to_owned()));
    app.shift_clock("24 hours").await;
    let marked = "SELECT count(*) AS value FROM join_codes WHERE status = 'expired'";
    until("the worker marks it", async || (app.database.number(marked).await == 1).then_some(())).await;
    assert_eq!(team.audit().await.iter().filter(|action| *action == "organization.join_code_expired").count(), 1);
    app.finish().await;
}

// R30: wrong, used, revoked and expired all give the same message.
#[tokio::test]
async fn whatever_is_wrong_with_a_code_the_answer_is_the_same() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let grace = app.sign_up("grace@example.org").await;
    let expired = team.code("MEMBER").await;
    app.shift_clock("24 hours").await;
    let used = team.code("MEMBER").await;
    ada.ok("redeemJoinCode", json!({ "code": used }), "member { id }").await;
    let input = json!({ "organizationId": team.id });
    let payload = team.owner.ok("createJoinCodes", input, "codes { code joinCode { id } }").await;
    let (revoked, id) = (text(&payload["codes"][0]["code"]), payload["codes"][0]["joinCode"]["id"].clone());
    let answer = team.owner.ok("revokeJoinCode", json!({ "id": id }), "joinCode { status }").await;
    assert_eq!(answer["joinCode"]["status"], "REVOKED");
    // A number that nobody was given.
    let wrong =
        (0..).map(|n| format!("{n:04}-0000")).find(|code| ![&expired, &used, &revoked].contains(&code)).unwrap();
    let mut answers = Vec::new();
    for code in [&wrong, &used, &revoked, &expired] {
        answers.push(grace.refused("redeemJoinCode", json!({ "code": code })).await);
    }
    assert_eq!(answers[0].is(), ("NOT_FOUND", "input.code"));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    for malformed in ["", "1234567", "123456789", "abcd-efgh", "1234-567a"] {
        let error = grace.refused("redeemJoinCode", json!({ "code": malformed })).await;
        assert_eq!(error.is(), ("INVALID", "input.code"), "{malformed}");
    }
    let error = team.owner.refused("revokeJoinCode", json!({ "id": id })).await;
    assert_eq!(error.is(), ("REVOKED", "input.id"));
    app.finish().await;
}

// R28: fifty with a file, 51 none.
#[tokio::test]
async fn fifty_codes_come_with_a_file_and_51_are_refused() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for (count, code) in [(51, "TOO_MANY"), (0, "INVALID"), (-1, "INVALID"), (i32::MAX, "TOO_MANY")] {
        let error = team.owner.refused("createJoinCodes", json!({ "organizationId": team.id, "count": count })).await;
        assert_eq!(error.is(), (code, "input.count"), "{count}");
    }
    assert_eq!(app.database.number("SELECT count(*) AS value FROM join_codes").await, 0);
    let input = json!({ "organizationId": team.id, "count": 50, "label": "=SUM(A1)" });
    let payload = team.owner.ok("createJoinCodes", input, "codes { code } file { filename contentType content }").await;
    let mut codes: Vec<String> = payload["codes"].as_array().unwrap().iter().map(|code| text(&code["code"])).collect();
    let file = text(&payload["file"]["content"]);
    assert!(text(&payload["file"]["filename"]).ends_with(".csv"));
    assert!(text(&payload["file"]["contentType"]).starts_with("text/csv"));
    for code in &codes {
        assert!(file.contains(code.as_str()));
    }
    // A spreadsheet must not run the label.
    assert!(!file.contains(",\"=SUM") && !file.contains(",=SUM"), "{file}");
    for label in ["+1", "-1", "@SUM(A1)", "＝SUM(A1)", "＋1", "－1", "＠SUM(A1)"] {
        let input = json!({ "organizationId": team.id, "label": label });
        let payload = team.owner.ok("createJoinCodes", input, "file { content }").await;
        let file = text(&payload["file"]["content"]);
        assert!(file.contains(&format!(",\"'{label}\",")), "{file}");
    }
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 50);
    app.finish().await;
}

// R27: an admin code, by the owner, one at a time.
#[tokio::test]
async fn an_admin_code_is_the_owners_and_one_at_a_time() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    let codes = |role: &str, count: i32| json!({ "organizationId": team.id, "role": role, "count": count });
    for role in ["VIEWER", "OWNER"] {
        let error = team.owner.refused("createJoinCodes", codes(role, 1)).await;
        assert_eq!(error.is(), ("INVALID", "input.role"));
    }
    let error = team.owner.refused("createJoinCodes", codes("ADMIN", 2)).await;
    assert_eq!(error.is(), ("INVALID", "input.count"));
    let error = admin.refused("createJoinCodes", codes("ADMIN", 1)).await;
    assert_eq!(error.is(), ("FORBIDDEN", "input.role"));
    let error = member.refused("createJoinCodes", codes("MEMBER", 1)).await;
    assert_eq!(error.is(), ("FORBIDDEN", "input.organizationId"));
    admin.ok("createJoinCodes", codes("MEMBER", 3), "codes { code }").await;

    let code = team.code("ADMIN").await;
    let error = team.owner.refused("createJoinCodes", codes("ADMIN", 1)).await;
    assert_eq!(error.code, "CONFLICT");
    let boss = app.sign_up("boss@example.org").await;
    let joined = boss.ok("redeemJoinCode", json!({ "code": code }), "member { role }").await;
    assert_eq!(joined["member"]["role"], "ADMIN");
    // Used or expired, it leaves room for the next; no worker needed.
    team.code("ADMIN").await;
    app.until_idle().await;
    app.stop_workers().await;
    app.shift_clock("24 hours").await;
    team.code("ADMIN").await;
    app.finish().await;
}

// R30: tries are counted, and too many are refused with the time to wait.
#[tokio::test]
async fn too_many_tries_are_refused_for_a_while() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let code = team.code("MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let ada = app.sign_up("ada@example.org").await;
    let guess = |n: u32| {
        let guess = format!("{n:08}");
        if guess == code.replace('-', "") { "99999999".to_owned() } else { guess }
    };
    for n in 0..10 {
        let error = eve.refused("redeemJoinCode", json!({ "code": guess(n) })).await;
        assert_eq!(error.code, "NOT_FOUND");
    }
    // Even the right one is refused now.
    let answer = eve.mutate("redeemJoinCode", json!({ "code": code }), "").await;
    assert_eq!(answer.error_code(), "RATE_LIMITED");
    let retry_after = answer.body["errors"][0]["extensions"]["retryAfter"].as_i64().unwrap();
    assert!((1..=900).contains(&retry_after), "{retry_after}");
    // Somebody else isn't concerned.
    ada.ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    app.shift_clock("15 minutes").await;
    let code = team.code("MEMBER").await;
    eve.ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    app.finish().await;
}

// R26, R45: a code for someone who belongs to the organization already isn't used up.
#[tokio::test]
async fn a_member_does_not_use_a_code_up() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let code = team.code("MEMBER").await;
    let error = ada.refused("redeemJoinCode", json!({ "code": code })).await;
    assert_eq!(error.is(), ("ALREADY_MEMBER", "input.code"));
    assert_eq!(app.anonymous().error_code("redeemJoinCode", json!({ "code": code })).await, "UNAUTHENTICATED");
    let grace = app.sign_up("grace@example.org").await;
    grace.ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    app.finish().await;
}

// R26: only owner and admins see and revoke codes, and never another organization's.
#[tokio::test]
async fn codes_are_seen_and_revoked_by_leaders_only() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    let stranger = app.sign_up("eve@example.org").await;
    stranger.found("Evil").await;
    let payload =
        team.owner.ok("createJoinCodes", json!({ "organizationId": team.id }), "codes { joinCode { id } }").await;
    let id = payload["codes"][0]["joinCode"]["id"].clone();
    for person in [&member, &stranger] {
        let error = person.refused("revokeJoinCode", json!({ "id": id })).await;
        assert_eq!(error.is(), ("NOT_FOUND", "input.id"));
        let node = person.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
        assert_eq!(node["node"], Value::Null);
    }
    let query = "query($id: ID!) { organization(by: { id: $id }) { joinCodes { nodes { id } } } }";
    assert!(member.query(query, json!({ "id": team.id })).await["organization"]["joinCodes"].is_null());
    app.finish().await;
}

// R30: tries count across all API processes.
#[tokio::test]
async fn tries_count_across_processes() {
    let mut app = TestApp::start().await;
    let eve = app.sign_up("eve@example.org").await;
    let elsewhere = crate::support::Client::new(&app.another_api().await, eve.token.as_deref());
    for n in 0..5 {
        for client in [&eve, &elsewhere] {
            assert_eq!(
                client.refused("redeemJoinCode", json!({ "code": format!("0000-000{n}") })).await.code,
                "NOT_FOUND"
            );
        }
    }
    for client in [&eve, &elsewhere] {
        assert_eq!(client.error_code("redeemJoinCode", json!({ "code": "0000-0009" })).await, "RATE_LIMITED");
    }
    app.finish().await;
}
