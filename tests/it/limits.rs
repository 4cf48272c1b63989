//! Limits on wrong tries and on mails: per account, per client and of everybody together.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;

use crate::support::client::text;
use crate::support::page::Visitor;
use crate::support::people::uuid;
use crate::support::{Answer, Client, TestApp, Value, json, until};

/// No account has such digits: there is no mail to these addresses.
fn wrong_digits(n: usize) -> Value {
    json!({ "digits": { "email": format!("nobody{n}@example.org"), "code": "000000" } })
}

/// Whether an answer is RATE_LIMITED, and then for at most so many seconds.
fn is_limited(answer: &Answer, window: u64) -> bool {
    if answer.body.get("errors").is_none() {
        return false;
    }
    assert_eq!(answer.error_code(), "RATE_LIMITED", "{}", answer.body);
    let retry_after = answer.body["errors"][0]["extensions"]["retryAfter"].as_u64().unwrap();
    assert!((1..=window).contains(&retry_after), "{retry_after}");
    true
}

impl TestApp {
    /// Lets it look as if so many tries had been made in the windows of these names.
    async fn tried(&self, bucket: &str, tries: u32) {
        self.database.sql(&format!("UPDATE attempts SET count = {tries} WHERE bucket = '{bucket}'")).await;
    }

    /// How many tries stay counted in the windows whose names begin so.
    async fn counted(&self, bucket: &str) -> i64 {
        let sum =
            format!("SELECT coalesce(sum(count), 0)::bigint AS value FROM attempts WHERE bucket LIKE '{bucket}%'");
        self.database.number(&sum).await
    }

    /// Whether the next try of digits from there is refused; each is at another address.
    async fn refuses_digits(&self, client: &Client) -> bool {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        is_limited(&client.mutate("signIn", wrong_digits(number), "").await, 900)
    }
}

// R30: wrong codes, by whichever accounts, from one client; what a client writes into X-Forwarded-For counts for
// nothing.
#[tokio::test]
async fn a_client_tries_only_so_many_codes_whoever_it_is() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let code = team.code("MEMBER").await;
    let wrong = json!({ "code": if code == "0000-0000" { "0000-0001" } else { "0000-0000" } });
    let people: Vec<Client> = app.sign_up_many(7).await.iter().map(|person| person.from("127.0.0.2", None)).collect();
    for person in &people[..6] {
        for _ in 0..10 {
            assert_eq!(person.refused("redeemJoinCode", wrong.clone()).await.code, "NOT_FOUND");
        }
    }
    let seventh = &people[6];
    assert!(is_limited(&seventh.mutate("redeemJoinCode", wrong.clone(), "").await, 900));
    for forwarded_for in ["203.0.113.7", "127.0.0.1", "garbage"] {
        let spoofing = seventh.from("127.0.0.2", Some(forwarded_for));
        assert!(is_limited(&spoofing.mutate("redeemJoinCode", wrong.clone(), "").await, 900), "{forwarded_for}");
    }
    // The operator hears that there may be a proxy.
    assert_eq!(app.api_log().matches("ROLLCALL_TRUSTED_PROXIES").count(), 1);
    // The tries of someone who is at their limit are nobody else's.
    assert_eq!(app.counted("join_code_deployment").await, 60);
    seventh.from("127.0.0.3", None).ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    app.finish().await;
}

// R30: the limits of an account, a client and the deployment hold for all API processes together, and over a restart,
// until the window's end.
#[tokio::test]
async fn limits_hold_across_processes_and_restarts_until_the_window_ends() {
    let mut app = TestApp::start().await;
    let (_elsewhere, url) = app.api_on(&app.database.url.clone()).await;
    let (here, there) = (app.anonymous(), Client::new(&url, None));
    assert!(!app.refuses_digits(&here).await);
    app.tried("sign_in_digits_client", 59).await;
    assert!(!app.refuses_digits(&there).await);
    assert!(app.refuses_digits(&here).await && app.refuses_digits(&there).await);
    app.stop_api().await;
    app.start_api().await;
    assert!(app.refuses_digits(&here).await);
    app.shift_clock("14 minutes").await;
    assert!(app.refuses_digits(&here).await);
    app.shift_clock("1 minute").await;
    assert!(!app.refuses_digits(&here).await);
    app.finish().await;
}

// R30: behind a trusted proxy each of its clients counts by itself: an IPv4 address, or an IPv6 /64.
#[tokio::test]
async fn behind_a_trusted_proxy_clients_are_told_apart() {
    let app = TestApp::builder().setting("ROLLCALL_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8, fd00::/8").start().await;
    let anonymous = app.anonymous();
    let through = |forwarded_for: &str| anonymous.from("127.0.0.1", Some(forwarded_for));
    for (client, same, others) in [
        (
            "203.0.113.7",
            &["::ffff:203.0.113.7", "203.0.113.7:4711", "1.1.1.1, 203.0.113.7", "203.0.113.7, 10.1.2.3, fd00::7"][..],
            &["203.0.113.8", "203.0.113.7, 203.0.113.8", "203.0.113.7, garbage", "garbage"][..],
        ),
        (
            "2001:db8:1:2::1",
            &["2001:db8:1:2:ffff:ffff:ffff:ffff", "[2001:db8:1:2::3]:443", "2001:db8:1:3::1, 2001:db8:1:2::9"],
            &["2001:db8:1:3::1", "2001:db8:1::1", "198.51.100.1"],
        ),
    ] {
        assert!(!app.refuses_digits(&through(client)).await);
        app.tried("sign_in_digits_client", 60).await;
        for same in same {
            assert!(app.refuses_digits(&through(same)).await, "{same} is {client}");
        }
        for other in others {
            assert!(!app.refuses_digits(&through(other)).await, "{other} isn't {client}");
        }
        // Who comes around the proxy is believed nothing.
        assert!(!app.refuses_digits(&anonymous.from("127.0.0.2", Some(client))).await);
        app.database.sql("DELETE FROM attempts").await;
    }
    assert!(!app.api_log().contains("which isn't believed") || app.api_log().contains("127.0.0.2 sends"));
    app.finish().await;
}

// R30: for the whole deployment only what is wrong counts: whoever enters right codes neither uses its tries up nor
// waits for others.
#[tokio::test]
async fn the_deployments_limit_counts_wrong_tries_only() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let people = app.sign_up_many(6).await;
    let wrong = json!({ "code": "0000-0000" });
    assert_eq!(people[0].refused("redeemJoinCode", wrong.clone()).await.code, "NOT_FOUND");
    app.tried("join_code_deployment", 998).await;
    for person in &people[1..4] {
        person.ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "member { id }").await;
    }
    assert_eq!(app.counted("join_code_deployment").await, 998);
    for _ in 0..2 {
        assert_eq!(people[0].refused("redeemJoinCode", wrong.clone()).await.code, "NOT_FOUND");
    }
    let fresh = people[4].from("127.0.0.9", None);
    let code = team.code("MEMBER").await;
    assert!(is_limited(&fresh.mutate("redeemJoinCode", json!({ "code": code }), "").await, 900));
    app.shift_clock("15 minutes").await;
    fresh.ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    app.finish().await;
}

// R30: a class that enters its codes at the same moment, from one address.
#[tokio::test]
async fn right_codes_and_digits_are_not_counted() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let people = app.sign_up_many(32).await;
    assert_eq!(app.counted("sign_in_digits").await, 0);
    let input = json!({ "organizationId": team.id, "count": 32 });
    let made = team.owner.ok("createJoinCodes", input, "codes { code }").await;
    let codes = made["codes"].as_array().unwrap();
    join_all(
        people
            .iter()
            .zip(codes)
            .map(|(person, code)| person.ok("redeemJoinCode", json!({ "code": code["code"] }), "member { id }")),
    )
    .await;
    assert_eq!(app.counted("join_code").await, 0);
    assert_eq!(team.members("ACTIVE").await.len(), 33);
    app.finish().await;
}

// R30: whoever asks for mail after mail to somebody's address tries ten digits an hour, not fifty; the mail's link
// isn't concerned.
#[tokio::test]
async fn digits_are_limited_per_address_and_links_are_not() {
    let mut app = TestApp::start().await;
    let anonymous = app.anonymous();
    let ask = async |app: &TestApp| {
        app.anonymous().ok("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
        app.mail_about("ada@example.org", "sign in").await
    };
    let digits = |code: &str| json!({ "digits": { "email": "Ada@example.org", "code": code } });
    for _ in 0..2 {
        let mail = ask(&app).await;
        let wrong = if mail.digits() == "000000" { "000001" } else { "000000" };
        for _ in 0..5 {
            assert_eq!(anonymous.refused("signIn", digits(wrong)).await.code, "INVALID");
        }
    }
    let mail = ask(&app).await;
    let elsewhere = anonymous.from("127.0.0.2", None);
    assert!(is_limited(&elsewhere.mutate("signIn", digits(&mail.digits()), "").await, 3_600));
    elsewhere.ok("signIn", json!({ "token": mail.token() }), "sessionToken").await;
    app.shift_clock("1 hour").await;
    let mail = ask(&app).await;
    app.anonymous().ok("signIn", digits(&mail.digits()), "sessionToken").await;
    app.finish().await;
}

// R30: sign-in mails to one address are limited. Whatever others request, from the same place or anywhere, people with
// an account are sent theirs; only strangers aren't, and the answer doesn't tell.
#[tokio::test]
async fn sign_in_mails_are_limited() {
    let mut app = TestApp::start().await;
    app.sign_up("grace@example.org").await;
    let ask = async |client: &Client, email: &str| {
        is_limited(&client.mutate("requestSignIn", json!({ "email": email }), "").await, 3_600)
    };
    let requests = async |app: &TestApp, email: &str| {
        let of = format!("SELECT count(*) AS value FROM sign_in_requests WHERE email = '{email}'");
        app.database.number(&of).await
    };
    let anonymous = app.anonymous();
    assert!(!ask(&anonymous, "ada@example.org").await);
    app.tried("sign_in_request", 10).await;
    assert!(ask(&anonymous, "ADA@example.org").await);
    // Whoever else asks isn't refused for that, and doesn't learn of it.
    assert!(!ask(&anonymous.from("127.0.0.2", None), "ada@example.org").await);
    for (bucket, full) in [("sign_in_request_client", 3_000), ("sign_in_request_deployment", 30_000)] {
        app.database.sql("DELETE FROM attempts").await;
        assert!(!ask(&anonymous, "someone@example.org").await);
        app.tried(bucket, full).await;
        let before = requests(&app, "grace@example.org").await;
        assert!(!ask(&anonymous, "hedy@example.org").await && !ask(&anonymous, "grace@example.org").await);
        until("the email to somebody with an account is requested", async || {
            (requests(&app, "grace@example.org").await == before + 1).then_some(())
        })
        .await;
        assert_eq!(requests(&app, "hedy@example.org").await, 0, "{bucket}");
        // The limit of the address and the client holds there too.
        app.tried("sign_in_request", 10).await;
        assert!(ask(&anonymous, "grace@example.org").await);
    }
    app.shift_clock("1 hour").await;
    assert!(!ask(&app.anonymous(), "hedy@example.org").await);
    assert_eq!(requests(&app, "hedy@example.org").await, 1);
    app.finish().await;
}

// R30: the pages' forms answer 429 and say how long to wait.
#[tokio::test]
async fn pages_say_how_long_to_wait() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.sign_up("ada@example.org").await;
    team.invite("ada@example.org", "MEMBER").await;
    let invitation = app.mail_about("ada@example.org", "invites you").await.link("/invitations/");
    let visitor = Visitor::new(&app.url);
    let expect_limited = |page: &crate::support::page::Page| {
        assert_eq!(page.status, 429, "{}", page.html);
        assert!((1..=3_600).contains(&page.retry_after.unwrap()), "{page:?}");
        assert!(page.text().contains("please wait"), "{}", page.text());
    };
    let asking = visitor.get("/sign-in").await;
    let form = asking.form("email");
    let sent = visitor.submit(&asking, &form, &[("email", "grace@example.org")]).await;
    assert_eq!(sent.status, 200);
    app.tried("sign_in_request", 10).await;
    // The same form again counts once, and another one is another request.
    assert_eq!(visitor.submit(&asking, &form, &[("email", "grace@example.org")]).await.status, 200);
    let asking = visitor.get("/sign-in").await;
    let form = asking.form("email");
    expect_limited(&visitor.submit(&asking, &form, &[("email", "grace@example.org")]).await);
    let invited = visitor.get(&invitation).await;
    expect_limited(&visitor.submit(&invited, &invited.form("sign-in"), &[]).await);
    let wrong = visitor.submit(&sent, &sent.form("code"), &[("code", "000000")]).await;
    assert_eq!((wrong.status, wrong.retry_after), (200, None));
    assert!(wrong.text().contains("these are not the digits"), "{}", wrong.html);
    app.tried("sign_in_digits_client", 60).await;
    expect_limited(&visitor.submit(&sent, &sent.form("code"), &[("code", "000000")]).await);
    app.finish().await;
}

// R30: counted and committed before they are looked at: of 32 tries at the same moment as many are looked at as one
// after the other.
#[tokio::test]
async fn tries_at_once_are_no_more_than_one_after_the_other() {
    let app = TestApp::start().await;
    let eve = app.sign_up("eve@example.org").await;
    let twins: Vec<Client> = (0..32).map(|_| eve.twin()).collect();
    join_all(twins.iter().map(|eve| eve.run("{ __typename }", json!({})))).await;
    let wrong = json!({ "code": "0000-0000" });
    let answers = join_all(twins.iter().map(|eve| eve.mutate("redeemJoinCode", wrong.clone(), ""))).await;
    assert_eq!(answers.iter().filter(|answer| !is_limited(answer, 900)).count(), 10);
    let digits: Vec<Answer> =
        join_all(twins.iter().map(|eve| {
            eve.mutate("signIn", json!({ "digits": { "email": "ada@example.org", "code": "000000" } }), "")
        }))
        .await;
    assert_eq!(digits.iter().filter(|answer| !is_limited(answer, 3_600)).count(), 10);
    app.finish().await;
}

// R21, R30: whoever tries names to learn who has accounts and which organizations there are is stopped before they have
// learnt much, wherever a name is taken; what leads somewhere, or is free, isn't counted.
#[tokio::test]
async fn guesses_at_names_are_limited() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let username = ada.username().await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let share = |grantee: Value| json!({ "resourceId": project, "grantee": grantee, "level": "VIEW" });
    let invite = |username: &str| json!({ "organizationId": team.id, "invitations": [{ "username": username }] });
    let owner = &team.owner;
    // What leads somewhere, or is free.
    owner.ok("grantAccess", share(json!({ "username": username })), "").await;
    owner.ok("updateOrganization", json!({ "id": team.id, "slug": "acme" }), "").await;
    owner.ok("updateProfile", json!({ "username": "grace" }), "").await;
    owner.ok("createOrganization", json!({ "name": "Other", "slug": "other" }), "").await;
    assert_eq!(app.counted("name_guess").await, 0);
    let guesses = [
        ("grantAccess", share(json!({ "organizationSlug": "nowhere" })), "NOT_FOUND"),
        ("grantAccess", share(json!({ "username": "nobody-here" })), "NOT_FOUND"),
        ("offerProjectTransfer", json!({ "resourceId": project, "recipientUsername": "nobody-here" }), "NOT_FOUND"),
        ("inviteMembers", invite("nobody-here"), "NOT_FOUND"),
        ("createOrganization", json!({ "name": "Acme", "slug": "acme" }), "SLUG_TAKEN"),
        ("updateOrganization", json!({ "id": team.id, "slug": "other" }), "SLUG_TAKEN"),
        ("updateProfile", json!({ "username": username }), "USERNAME_TAKEN"),
    ];
    // A slug that is made of a name, and isn't the one that the name gives, tells that this is another's.
    owner.ok("createOrganization", json!({ "name": "Other" }), "").await;
    assert_eq!(app.counted("name_guess").await, 3);
    for (n, (mutation, input, code)) in guesses.iter().enumerate() {
        assert_eq!(owner.refused(mutation, input.clone()).await.code, *code, "{mutation}");
        // For the account, the client and the deployment.
        assert_eq!(app.counted("name_guess").await, 3 * (i64::try_from(n).unwrap() + 2), "{mutation}");
    }
    // Who makes an account by an invitation has none yet: the invitation's tries count.
    team.invite("new@example.org", "MEMBER").await;
    let token = app.mail_about("new@example.org", "invites you").await.token();
    let accept = json!({ "token": token, "username": username });
    assert_eq!(app.anonymous().refused("acceptInvitation", accept.clone()).await.code, "USERNAME_TAKEN");
    app.tried("name_guess", 300).await;
    for (mutation, input, _) in guesses {
        assert!(is_limited(&owner.mutate(mutation, input, "").await, 900), "{mutation}");
    }
    assert!(is_limited(&app.anonymous().mutate("acceptInvitation", accept, "").await, 900));
    // By id there is nothing to guess, and every address is answered alike.
    owner.ok("grantAccess", share(json!({ "userId": ada.user_id })), "").await;
    owner.ok("grantAccess", share(json!({ "email": "nobody@example.org" })), "").await;
    app.finish().await;
}

// R21, R19, R30: each username that a request names is a guess, and each that nobody has stays counted, whatever else
// speaks against it.
#[tokio::test]
async fn each_name_of_a_request_is_a_guess() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for name in ["ada", "grace"] {
        app.sign_up(&format!("{name}@example.org")).await;
    }
    let invite = |names: &[String], more: Value| {
        let people: Vec<Value> = names.iter().map(|name| json!({ "username": name, "teamIds": more })).collect();
        json!({ "organizationId": team.id, "invitations": people })
    };
    let mut names: Vec<String> = (0..48).map(|n| format!("nobody-{n}")).collect();
    names.extend(["ada".to_owned(), "grace".to_owned()]);
    let nowhere = team.group("Lab", &[]).await;
    team.owner.ok("deleteTeam", json!({ "id": nowhere }), "").await;
    let nowhere = json!([nowhere]);
    for (more, count) in [(json!([]), 48), (nowhere, 96)] {
        let refusals = team.owner.refusals("inviteMembers", invite(&names, more)).await;
        assert!(refusals.iter().filter(|refusal| refusal.field.ends_with(".username")).count() == 48, "{refusals:?}");
        for bucket in ["name_guess", "name_guess_client", "name_guess_deployment"] {
            let counted = format!("SELECT count::bigint AS value FROM attempts WHERE bucket = '{bucket}'");
            assert_eq!(app.database.number(&counted).await, count, "{bucket}");
        }
    }
    // What is right costs nothing, and what was told of nobody.
    let known = &names[48..];
    team.owner.ok("inviteMembers", invite(known, json!([])), "").await;
    let refused = team.owner.refused("inviteMembers", invite(&known[..1], json!([]))).await;
    assert_eq!(refused.code, "ALREADY_INVITED");
    assert_eq!(app.counted("name_guess").await, 3 * 96);
    // No more than are left.
    app.tried("name_guess", 260).await;
    assert!(is_limited(&team.owner.mutate("inviteMembers", invite(&names, json!([])), "").await, 900));
    let forty: Vec<String> = names[..40].to_vec();
    assert_eq!(team.owner.refusals("inviteMembers", invite(&forty, json!([]))).await.len(), 40);
    assert!(is_limited(&team.owner.mutate("inviteMembers", invite(&forty[..1], json!([])), "").await, 900));
    app.finish().await;
}

// R25, R19: whoever invites by username learns no address by trying: not by what is refused with something else, not by
// what one may not send any more, nor among others who are sent no more mails, without being counted.
#[tokio::test]
async fn nobody_finds_the_address_behind_a_username() {
    let app = TestApp::builder().setting("ROLLCALL_NEW_ACCOUNT_INVITATIONS_PER_DAY", "20").start().await;
    let team = app.team().await;
    app.sign_up("bob@secret.example").await;
    let owner = &team.owner;
    let candidates = ["robert@secret.example", "bob@secret.example", "b@secret.example"];
    let invite = |people: &[Value]| json!({ "organizationId": team.id, "invitations": people });
    let made = owner.ok("inviteMembers", invite(&[json!({ "username": "bob" })]), "invitations { id }").await;
    let lab = text(
        &owner.ok("createTeam", json!({ "organizationId": team.id, "name": "Lab" }), "team { id }").await["team"]["id"],
    );
    owner.ok("deleteTeam", json!({ "id": lab }), "").await;
    let with_refused = |candidates: &[&str]| {
        let people: Vec<Value> = candidates.iter().map(|email| json!({ "email": email, "teamIds": [lab] })).collect();
        invite(&people)
    };
    let refusals = owner.refusals("inviteMembers", with_refused(&candidates)).await;
    let told: Vec<_> = refusals.iter().map(|refusal| refusal.code.as_str()).collect();
    assert_eq!(told, ["NOT_FOUND"; 3], "{refusals:?}");
    // They have had as many mails as one may be sent an hour.
    for _ in 0..4 {
        owner.ok("resendInvitation", json!({ "id": made["invitations"][0]["id"] }), "").await;
    }
    let refusals = owner.refusals("inviteMembers", with_refused(&candidates)).await;
    assert!(refusals.iter().all(|refusal| refusal.code == "NOT_FOUND"), "{refusals:?}");
    assert_eq!(app.counted("name_guess").await, 0);
    // One of the list is sent no more, so that nobody is: to be told of the others costs guesses.
    app.sign_up("full@example.org").await;
    app.database
        .sql("INSERT INTO attempts SELECT bucket, 'full@example.org', window_ends_at, 5 FROM attempts WHERE bucket = 'recipient_mail_hour' LIMIT 1")
        .await;
    let mut people: Vec<Value> = candidates.iter().map(|email| json!({ "email": email })).collect();
    people.push(json!({ "email": "full@example.org" }));
    let refusals = owner.refusals("inviteMembers", invite(&people)).await;
    let fields: Vec<_> = refusals.iter().map(|refusal| refusal.is()).collect();
    assert_eq!(fields, [("RATE_LIMITED", "input.invitations.1.email"), ("RATE_LIMITED", "input.invitations.3.email")]);
    assert_eq!(app.counted("name_guess").await, 3 * 4);
    app.tried("name_guess", 297).await;
    assert!(is_limited(&owner.mutate("inviteMembers", invite(&people), "").await, 900));
    app.database.sql("DELETE FROM attempts WHERE bucket LIKE 'name_guess%'").await;
    // Whoever may send no more learns that, and nothing of anybody.
    app.database.sql("UPDATE attempts SET count = 20 WHERE bucket = 'caused_mail'").await;
    let refusals = owner.refusals("inviteMembers", invite(&people)).await;
    assert_eq!(
        refusals.iter().map(|refusal| refusal.is()).collect::<Vec<_>>(),
        [("RATE_LIMITED", "input.invitations")]
    );
    let project = owner.create(&team.id, "PROJECT", "Liver atlas").await;
    for email in candidates {
        let share = json!({ "resourceId": project, "grantee": { "email": email }, "level": "VIEW" });
        assert_eq!(owner.refused("grantAccess", share).await.is(), ("RATE_LIMITED", "input.grantee"));
    }
    // Each of which is a guess as well: it would cost nothing to ask again and again.
    assert_eq!(app.counted("name_guess").await, 3 * 3);
    app.finish().await;
}

// R30: nobody waits for whoever has counted a right try and waits for a log, nor they for each other: what is
// everybody's is held by nobody who holds something else.
#[tokio::test]
async fn right_tries_hold_up_nobody_elses() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let people = app.sign_up_many(4).await;
    let eve = app.sign_up("eve@example.org").await;
    let lab = eve.found("Lab").await;
    let theirs = eve.create(&lab, "PROJECT", "Liver atlas").await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let code = team.code("MEMBER").await;
    let owner = &team.owner;
    // One who was invited long ago makes room for themselves.
    owner
        .ok("inviteMembers", json!({ "organizationId": team.id, "invitations": [{ "username": "person0" }] }), "")
        .await;
    app.database.sql("UPDATE invitations SET expires_at = rollcall_now()").await;
    let right = [
        (owner, "inviteMembers", json!({ "organizationId": team.id, "invitations": [{ "username": "person0" }] })),
        (owner, "grantAccess", json!({ "resourceId": project, "grantee": { "username": "person1" }, "level": "VIEW" })),
        (owner, "offerProjectTransfer", json!({ "resourceId": project, "recipientUsername": "person2" })),
        (owner, "updateOrganization", json!({ "id": team.id, "slug": "acme-genomics-2" })),
        (&people[3], "redeemJoinCode", json!({ "code": code })),
    ];
    app.until_idle().await;
    let guess = json!({ "resourceId": theirs, "grantee": { "username": "nobody-here" }, "level": "VIEW" });
    let hold = format!("BEGIN; SELECT FROM audit_heads WHERE organization_id = '{}' FOR UPDATE", uuid(&team.id));
    let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%audit_append%' \
         AND datname = current_database()";
    for (person, mutation, input) in right {
        let mut holder = app.database.connection().await;
        holder.batch_execute(&hold).await.unwrap();
        let meanwhile = async {
            until("it waits for the log", async || (app.database.number(waiting).await > 0).then_some(())).await;
            let refused =
                tokio::time::timeout(Duration::from_secs(10), eve.refused("grantAccess", guess.clone())).await;
            assert_eq!(refused.unwrap_or_else(|_| panic!("{mutation} holds others up")).code, "NOT_FOUND");
            let wrong = tokio::time::timeout(
                Duration::from_secs(10),
                eve.refused("redeemJoinCode", json!({ "code": "0000-0000" })),
            );
            assert_eq!(wrong.await.unwrap_or_else(|_| panic!("{mutation} holds others up")).code, "NOT_FOUND");
            holder.batch_execute("COMMIT").await.unwrap();
        };
        futures_util::future::join(person.ok(mutation, input, ""), meanwhile).await;
    }
    // What was right is taken back all the same.
    assert_eq!((app.counted("name_guess").await, app.counted("join_code").await), (3 * 5, 3 * 5));
    app.finish().await;
}

// R30: a try that one limit refuses counts for no other: nobody uses up what their neighbours behind the same address
// have, nor a busy address what its people have.
#[tokio::test]
async fn what_is_refused_is_counted_nowhere_else() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let code = team.code("MEMBER").await;
    let (eve, ada) = (app.sign_up("eve@example.org").await, app.sign_up("ada@example.org").await);
    let wrong = json!({ "code": if code == "0000-0000" { "0000-0001" } else { "0000-0000" } });
    for n in 0..80 {
        let answer = eve.mutate("redeemJoinCode", wrong.clone(), "").await;
        assert_eq!(is_limited(&answer, 900), n >= 10, "{n}");
    }
    assert_eq!((app.counted("join_code_client").await, app.counted("join_code_deployment").await), (10, 10));
    ada.ok("redeemJoinCode", json!({ "code": code }), "member { id }").await;
    // Whichever of the limits of a try is reached.
    let anonymous = app.anonymous();
    let digits = json!({ "digits": { "email": "eve@example.org", "code": "000000" } });
    let tries = [
        ("join_code", 10, &eve, "redeemJoinCode", wrong),
        ("sign_in_digits", 10, &anonymous, "signIn", digits),
        ("sign_in_request", 10, &anonymous, "requestSignIn", json!({ "email": "eve@example.org" })),
        ("email_change", 10, &eve, "changeEmail", json!({ "email": "eve@elsewhere.example" })),
        ("name_guess", 300, &eve, "updateProfile", json!({ "username": ada.username().await })),
    ];
    for (bucket, account, client, mutation, input) in tries {
        app.database.sql("DELETE FROM attempts").await;
        client.mutate(mutation, input.clone(), "").await;
        let buckets = [bucket.to_owned(), format!("{bucket}_client"), format!("{bucket}_deployment")];
        let counts = async || {
            let mut counts = Vec::new();
            for bucket in &buckets {
                let count =
                    format!("SELECT coalesce(sum(count), 0)::bigint AS value FROM attempts WHERE bucket = '{bucket}'");
                counts.push(app.database.number(&count).await);
            }
            counts
        };
        assert_eq!(counts().await, [1, 1, 1], "{bucket}");
        // Nobody is refused a sign-in email because of the requests of others.
        let refusing = if mutation == "requestSignIn" { &buckets[..1] } else { &buckets[..] };
        for full in refusing {
            // As if so many tries had been made, which is more than any limit holds.
            let tried = if *full == buckets[0] { account } else { 100_000 };
            app.tried(full, tried).await;
            let before = counts().await;
            assert!(is_limited(&client.mutate(mutation, input.clone(), "").await, 3_600), "{full}");
            assert_eq!(counts().await, before, "{full}");
            app.tried(full, 1).await;
        }
    }
    app.finish().await;
}

// R30, R21: what is refused before a name is looked up is no guess: nobody uses up by it what others at the same
// address have.
#[tokio::test]
async fn what_looks_up_no_name_is_no_guess() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let eve = app.sign_up("eve@example.org").await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let username = ada.username().await;
    let share = |grantee: Value| json!({ "resourceId": project, "grantee": grantee, "level": "VIEW" });
    for (client, mutation, input) in [
        (&app.anonymous(), "acceptInvitation", json!({ "token": "x", "username": "abc" })),
        (&eve, "acceptInvitation", json!({ "token": "x", "username": "abc" })),
        (&eve, "inviteMembers", json!({ "organizationId": team.id, "invitations": [{ "username": username }] })),
        (&eve, "grantAccess", share(json!({ "username": username }))),
        (&eve, "grantAccess", share(json!({ "username": "nobody-here" }))),
        (&eve, "grantAccess", share(json!({ "email": "ada@example.org" }))),
        (&eve, "offerProjectTransfer", json!({ "resourceId": project, "recipientUsername": username })),
        (&eve, "updateOrganization", json!({ "id": team.id, "slug": "acme" })),
    ] {
        client.refused(mutation, input).await;
        assert_eq!(app.counted("name_guess").await, 0, "{mutation}");
    }
    // Who has a genuine invitation isn't kept from accepting it by others' tries.
    team.invite("new@example.org", "MEMBER").await;
    team.invite("other@example.org", "MEMBER").await;
    let tokens = [
        app.mail_about("new@example.org", "invites you").await.token(),
        app.mail_about("other@example.org", "invites you").await.token(),
    ];
    let accept = |n: usize, username: &str| json!({ "token": tokens[n], "username": username });
    assert_eq!(app.anonymous().refused("acceptInvitation", accept(0, &username)).await.code, "USERNAME_TAKEN");
    app.tried("name_guess", 300).await;
    assert!(is_limited(&app.anonymous().mutate("acceptInvitation", accept(0, &username), "").await, 900));
    app.anonymous().ok("acceptInvitation", accept(1, "other"), "member { id }").await;
    // An organization gets a slug of its own, which then tells of no other.
    assert!(is_limited(&team.owner.mutate("updateProfile", json!({ "username": "grace" }), "").await, 900));
    let made = team.owner.ok("createOrganization", json!({ "name": "Quiet Lab" }), "organization { slug }").await;
    let slug = text(&made["organization"]["slug"]);
    assert!(slug.starts_with("quiet-lab-"), "{slug}");
    app.finish().await;
}
