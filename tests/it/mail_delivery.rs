//! Mails under fire: a mail server that is away, slow, rude or forgetful, and workers that die. What the database says
//! became of a mail is held against what the server took.

use std::collections::{BTreeMap, BTreeSet};

use diesel_async::SimpleAsyncConnection;

use crate::support::client::text;
use crate::support::mail::Mail;
use crate::support::people::uuid;
use crate::support::server::Authority;
use crate::support::tls_relay::TlsRelay;
use crate::support::{Act, Farewell, Reply, Stage, Team, TestApp, Value, json, until};

const GREYLISTED: &str = "451 4.7.1 Greylisted, come back later";

/// Waits until an invitation's delivery is this, and returns the invitation.
async fn delivered(team: &Team, id: &str, delivery: &str) -> Value {
    until(&format!("the delivery is {delivery}"), async || {
        let invitation = team.invitation(id).await;
        (invitation["delivery"] == delivery).then_some(invitation)
    })
    .await
}

/// The invitation mails that the server took, with repeats.
fn invitations(app: &TestApp) -> Vec<Mail> {
    app.smtp.mails().into_iter().filter(|mail| mail.subject.contains("invites you")).collect()
}

/// How often the mail of an invitation was tried so far.
async fn tries(app: &TestApp, id: &str) -> i64 {
    let jobs = format!(
        "SELECT sum(attempt) AS value FROM jobs WHERE kind = 'mail_invitation' AND payload->>'invitation_id' = '{}'",
        uuid(id)
    );
    app.database.number(&jobs).await
}

// R16: greylisting puts mails off and loses none; each is taken once.
#[tokio::test]
async fn a_greylisting_server_gets_each_mail_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.smtp.fail(Stage::Recipient, Act::Answer(GREYLISTED));
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(team.invite(&format!("person{n}@example.org"), "MEMBER").await);
    }
    for id in &ids {
        let deferred = delivered(&team, id, "DEFERRED").await;
        assert_eq!(deferred["deliveryError"], GREYLISTED);
        assert_eq!(deferred["status"], "PENDING");
    }
    assert!(invitations(&app).is_empty());
    app.smtp.mend();
    for id in &ids {
        assert!(delivered(&team, id, "SENT").await["deliveryError"].is_null());
    }
    app.until_idle().await;
    let taken: Vec<String> = invitations(&app).into_iter().map(|mail| mail.recipient).collect();
    assert_eq!(taken.len(), 10, "{taken:?}");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), (0..10).map(|n| format!("person{n}@example.org")).collect());
    app.finish().await;
}

// R16: wherever the server falls silent, the worker goes on after its time limit. Only where it falls silent after the
// mail's end may the mail come twice, and then it can be told by its Message-ID.
#[tokio::test]
async fn a_server_that_hangs_holds_nothing_up() {
    let app = TestApp::builder().smtp_parameters("?timeout=2").start().await;
    let team = app.team().await;
    let stages = [Stage::Greeting, Stage::Sender, Stage::Recipient, Stage::Data, Stage::End];
    for (n, stage) in stages.into_iter().enumerate() {
        // A greeting takes a new connection.
        app.smtp.hang_up(Farewell::Silent);
        app.smtp.fail(stage, Act::Hang);
        let address = format!("person{n}@example.org");
        let id = team.invite(&address, "MEMBER").await;
        let deferred = delivered(&team, &id, "DEFERRED").await;
        assert_eq!(deferred["deliveryError"], "no answer within 2 seconds", "{stage:?}");
        app.smtp.mend();
        delivered(&team, &id, "SENT").await;
        app.until_idle().await;
        let taken: Vec<Mail> = invitations(&app).into_iter().filter(|mail| mail.recipient == address).collect();
        let expected = if stage == Stage::End { tries(&app, &id).await } else { 1 };
        assert_eq!(taken.len() as i64, expected, "{stage:?}");
        let identities: BTreeSet<_> = taken.iter().map(|mail| (&mail.message_id, mail.token())).collect();
        assert_eq!(identities.len(), 1, "{stage:?}: {identities:?}");
    }
    app.finish().await;
}

// R16: the connection breaks where the server's answer should come: the mail is sent again, and can be told by its
// Message-ID.
#[tokio::test]
async fn a_connection_that_breaks_loses_no_mail() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for (n, stage) in [Stage::Sender, Stage::Recipient, Stage::Data, Stage::End].into_iter().enumerate() {
        app.smtp.fail(stage, Act::Close);
        let address = format!("person{n}@example.org");
        let id = team.invite(&address, "MEMBER").await;
        delivered(&team, &id, "DEFERRED").await;
        app.smtp.mend();
        delivered(&team, &id, "SENT").await;
        app.until_idle().await;
        let taken: Vec<Mail> = invitations(&app).into_iter().filter(|mail| mail.recipient == address).collect();
        let expected = if stage == Stage::End { tries(&app, &id).await } else { 1 };
        assert_eq!(taken.len() as i64, expected, "{stage:?}");
        assert!(taken.iter().all(|mail| mail.message_id == taken[0].message_id), "{stage:?}: {taken:?}");
        assert!(taken.iter().all(|mail| mail.token() == taken[0].token()), "{stage:?}: {taken:?}");
    }
    app.finish().await;
}

// R16, R23: 5xx is final wherever it comes. It is told in the server's words, and not tried again, but for a resend.
#[tokio::test]
async fn a_refusal_for_good_is_final_until_a_resend() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let refusals = [
        (Stage::Sender, "550 5.7.1 We take nothing from you"),
        (Stage::Recipient, "550 5.1.1 No such user here"),
        (Stage::Data, "554 5.5.1 No valid recipients"),
        (Stage::End, "552 5.3.4 Too much of it"),
    ];
    for (n, (stage, answer)) in refusals.into_iter().enumerate() {
        app.smtp.fail_once(stage, Act::Answer(answer));
        let address = format!("person{n}@example.org");
        let id = team.invite(&address, "MEMBER").await;
        let failed = delivered(&team, &id, "FAILED").await;
        assert_eq!((&failed["deliveryError"], &failed["status"]), (&json!(answer), &json!("PENDING")), "{stage:?}");
        let given_up = format!(
            "SELECT count(*) AS value FROM jobs WHERE kind = 'mail_invitation' AND status = 'given_up' AND attempt = 1 \
             AND payload->>'invitation_id' = '{}'",
            uuid(&id)
        );
        until("the job is given up", async || (app.database.number(&given_up).await == 1).then_some(())).await;
        assert!(app.read_mail(&address, "").is_none(), "{stage:?}");

        team.owner.ok("resendInvitation", json!({ "id": id }), "invitation { delivery }").await;
        delivered(&team, &id, "SENT").await;
        let mail = app.mail_to(&address).await;
        assert!(mail.message_id.starts_with(&format!("invitation.{id}.2@")), "{}", mail.message_id);
        app.anonymous().ok("acceptInvitation", json!({ "token": mail.token() }), "member { id }").await;
        // The next refusal is for the next invitation.
        app.mail_about("owner@example.org", "accepted your invitation").await;
    }
    app.finish_with_given_up_jobs().await;
}

// R16: refused connections.
#[tokio::test]
async fn mails_wait_for_a_server_that_is_down() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.smtp.go_down().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(team.invite(&format!("person{n}@example.org"), "MEMBER").await);
    }
    for id in &ids {
        let deferred = delivered(&team, id, "DEFERRED").await;
        assert!(text(&deferred["deliveryError"]).to_lowercase().contains("connection"), "{deferred}");
    }
    app.smtp.come_up();
    for id in &ids {
        delivered(&team, id, "SENT").await;
    }
    app.until_idle().await;
    assert_eq!(invitations(&app).len(), 5);
    app.finish().await;
}

// R16: a server that offers encryption and then refuses it, or breaks it off.
#[tokio::test]
async fn refused_encryption_puts_mails_off() {
    let app = TestApp::builder().smtp_parameters("?tls=opportunistic").start().await;
    let team = app.team().await;
    for (n, answer) in ["454 4.7.0 TLS not available", "220 Go ahead"].into_iter().enumerate() {
        app.smtp.hang_up(Farewell::Silent);
        app.smtp.offer_starttls(Some(answer));
        let id = team.invite(&format!("person{n}@example.org"), "MEMBER").await;
        let deferred = delivered(&team, &id, "DEFERRED").await;
        if answer.starts_with('4') {
            assert_eq!(deferred["deliveryError"], answer);
        }
        // Never in clear text meanwhile.
        assert_eq!(invitations(&app).len(), n);
        app.smtp.offer_starttls(None);
        delivered(&team, &id, "SENT").await;
    }
    app.until_idle().await;
    assert_eq!(invitations(&app).len(), 2);
    app.finish().await;
}

// A mail server whose certificate comes from an authority of the deployment's own, which the machine knows.
#[tokio::test]
async fn a_mail_server_is_judged_by_the_machines_certificates() {
    let authority = Authority::new("the mail server's authority");
    let relay = TlsRelay::start(&authority.certificate("localhost")).await;
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ca = authority.write_to(&folder.join(format!("mail-ca-{}.pem", relay.port)));
    let url = format!("smtps://localhost:{}", relay.port);
    let mut app = TestApp::builder().setting("ROLLCALL_SMTP_URL", &url).start().await;
    relay.lead_to(app.smtp.port);
    let ask = json!({ "email": "ada@example.org" });
    app.anonymous().ok("requestSignIn", ask, "").await;
    let put_off =
        "SELECT count(*) AS value FROM jobs WHERE kind = 'mail_sign_in' AND status = 'waiting' AND attempt > 0";
    until("nobody vouches for it", async || (app.database.number(put_off).await == 1).then_some(())).await;
    assert!(app.smtp.mails().is_empty());
    app.stop_workers().await;
    app.set("SSL_CERT_FILE", &ca);
    app.start_worker();
    app.mail_about("ada@example.org", "sign in").await;
    std::fs::remove_file(ca).unwrap();
    app.finish().await;
}

// R16: what somebody on the network appends to the answer to STARTTLS doesn't count as said by the server.
#[tokio::test]
async fn what_comes_before_tls_counts_for_nothing_within_it() {
    let authority = Authority::new("the mail server's authority");
    let certificate = authority.certificate("localhost");
    let honest = TlsRelay::with_starttls(&certificate, "").await;
    let meddled = TlsRelay::with_starttls(&certificate, "250-test\r\n250 AUTH PLAIN\r\n").await;
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ca = authority.write_to(&folder.join(format!("mail-ca-{}.pem", honest.port)));
    let url = |relay: &TlsRelay| format!("smtp://localhost:{}?tls=required", relay.port);
    let settings = TestApp::builder().setting("SSL_CERT_FILE", &ca).setting("ROLLCALL_SMTP_URL", &url(&honest));
    let mut app = settings.start().await;
    honest.lead_to(app.smtp.port);
    meddled.lead_to(app.smtp.port);
    let team = app.team().await;
    app.until_idle().await;
    app.stop_workers().await;
    app.set("ROLLCALL_SMTP_URL", &url(&meddled));
    app.start_worker();
    let id = team.invite("ada@example.org", "MEMBER").await;
    let deferred = delivered(&team, &id, "DEFERRED").await;
    assert!(text(&deferred["deliveryError"]).contains("spoke out of turn"), "{deferred}");
    assert!(invitations(&app).is_empty());
    app.stop_workers().await;
    app.set("ROLLCALL_SMTP_URL", &url(&honest));
    app.start_worker();
    delivered(&team, &id, "SENT").await;
    std::fs::remove_file(ca).unwrap();
    app.finish().await;
}

// A connection of the pool that the server has closed, or closes at the next mail, doesn't count against that mail.
#[tokio::test]
async fn a_closed_connection_of_the_pool_costs_no_try() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for (n, what) in
        ["closed", "closed with 421", "421 at the next mail", "421 at the mail's end"].into_iter().enumerate()
    {
        let before = app.smtp.connections();
        match n {
            0 => app.smtp.hang_up(Farewell::Silent),
            1 => app.smtp.hang_up(Farewell::Said),
            2 => app.smtp.fail_once(Stage::Sender, Act::Answer("421 4.7.0 Enough for one connection")),
            _ => app.smtp.fail_once(Stage::End, Act::Answer("421 4.3.2 Going down now")),
        }
        let id = team.invite(&format!("person{n}@example.org"), "MEMBER").await;
        delivered(&team, &id, "SENT").await;
        assert_eq!(tries(&app, &id).await, 1, "{what}");
        assert_eq!(app.smtp.connections(), before + 1, "{what}");
        assert_eq!(invitations(&app).len(), n + 1, "{what}");
    }
    app.finish().await;
}

// R76: a worker that dies after the server took a mail and before that is written down: the mail comes again, as the
// same.
#[tokio::test]
async fn a_worker_killed_between_acceptance_and_commit_repeats_the_mail() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    // The worker finds no job before it is held up.
    app.stop_workers().await;
    let id = team.invite("grace@example.org", "MEMBER").await;
    let mut holder = app.database.connection().await;
    let hold = format!("BEGIN; SELECT FROM invitations WHERE id = '{}' FOR UPDATE", uuid(&id));
    holder.batch_execute(&hold).await.unwrap();
    app.start_worker();
    let first = app.mail_to("grace@example.org").await;
    let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND query ILIKE '%update%invitations%'";
    until("the worker writes down that the mail was sent", async || {
        (app.database.number(waiting).await == 1).then_some(())
    })
    .await;
    app.kill_worker();
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(team.invitation(&id).await["delivery"], "QUEUED");

    app.start_worker();
    delivered(&team, &id, "SENT").await;
    let second = app.mail_to("grace@example.org").await;
    assert_eq!(first.message_id, second.message_id);
    assert_eq!(first.token(), second.token());
    app.until_idle().await;
    assert_eq!(invitations(&app).len() as i64, tries(&app, &id).await);
    assert_eq!(invitations(&app).len(), 2);
    app.finish().await;
}

// R23: what becomes of an older mail says nothing about the one that a resend has called for.
#[tokio::test]
async fn a_late_answer_to_an_old_mail_does_not_count_for_the_new_one() {
    let app = TestApp::builder().smtp_parameters("?timeout=5").start().await;
    let team = app.team().await;
    app.smtp.fail(Stage::Recipient, Act::Hang);
    let id = team.invite("grace@example.org", "MEMBER").await;
    until("the first mail hangs", async || (app.smtp.hung() == 1).then_some(())).await;
    app.smtp.mend();
    team.owner.ok("resendInvitation", json!({ "id": id }), "invitation { delivery }").await;
    delivered(&team, &id, "SENT").await;
    // Its last word is in, and it isn't sent any more.
    app.until_idle().await;
    until("no mail waits", async || {
        let waiting = "SELECT count(*) AS value FROM jobs WHERE kind = 'mail_invitation' AND status <> 'done'";
        (app.database.number(waiting).await == 0).then_some(())
    })
    .await;
    let invitation = team.invitation(&id).await;
    assert_eq!((&invitation["delivery"], &invitation["deliveryError"]), (&json!("SENT"), &Value::Null));
    let taken = invitations(&app);
    assert_eq!(taken.len(), 1);
    assert!(taken[0].message_id.starts_with(&format!("invitation.{id}.2@")), "{}", taken[0].message_id);
    app.finish().await;
}

// R16: for 24 hours, by the database's clock, and no longer.
#[tokio::test]
async fn a_mail_is_tried_for_a_day() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    app.smtp.fail(Stage::Recipient, Act::Answer(GREYLISTED));
    app.smtp.reply("never@example.org", [Reply::Recipient("452 4.2.2 Mailbox full"); 20]);
    let late = team.invite("late@example.org", "MEMBER").await;
    let never = team.invite("never@example.org", "MEMBER").await;
    delivered(&team, &late, "DEFERRED").await;
    delivered(&team, &never, "DEFERRED").await;

    // After many tries the pause is half an hour, so that a server that is back has its mails soon.
    app.stop_workers().await;
    app.database
        .sql("UPDATE jobs SET attempt = 20, run_at = job_clock() WHERE kind = 'mail_invitation' AND status = 'waiting'")
        .await;
    app.start_worker();
    let pauses = "SELECT extract(epoch FROM run_at - started_at)::int::text AS value FROM jobs \
         WHERE kind = 'mail_invitation' AND status = 'waiting' AND attempt = 21";
    let pauses =
        until("both are tried", async || Some(app.database.texts(pauses).await).filter(|all| all.len() == 2)).await;
    assert!(pauses.iter().all(|pause| (1_800..1_830).contains(&pause.parse::<i32>().unwrap())), "{pauses:?}");

    // Some minutes before the end one finds the server well again; the other is tried a last time at the end.
    app.shift_clock("23 hours 55 minutes").await;
    let last = "SELECT extract(epoch FROM run_at - created_at)::int::text AS value FROM jobs \
         WHERE kind = 'mail_invitation' AND status = 'waiting' AND attempt = 22";
    let last =
        until("both are tried", async || Some(app.database.texts(last).await).filter(|all| all.len() == 2)).await;
    assert!(last.iter().all(|age| (86_400..86_415).contains(&age.parse::<i32>().unwrap())), "{last:?}");
    assert_eq!(team.invitation(&never).await["delivery"], "DEFERRED");
    app.smtp.mend();
    app.shift_clock("5 minutes").await;
    delivered(&team, &late, "SENT").await;
    let failed = delivered(&team, &never, "FAILED").await;
    assert_eq!(failed["deliveryError"], "452 4.2.2 Mailbox full");
    assert_eq!(failed["status"], "PENDING");
    let given_up = "SELECT count(*) AS value FROM jobs WHERE kind = 'mail_invitation' AND status = 'given_up' \
         AND last_error = '452 4.2.2 Mailbox full'";
    until("the job is given up", async || (app.database.number(given_up).await == 1).then_some(())).await;
    let taken: Vec<String> = invitations(&app).into_iter().map(|mail| mail.recipient).collect();
    assert_eq!(taken, ["late@example.org"]);
    app.finish_with_given_up_jobs().await;
}

// One organization sends a hundred invitations a minute, over all workers; the rest follow, others don't wait for them,
// and no try is lost over it.
#[tokio::test]
async fn an_organization_sends_so_many_mails_a_minute() {
    let mut app =
        TestApp::builder().workers(2).setting("ROLLCALL_NEW_ACCOUNT_INVITATIONS_PER_DAY", "1000").start().await;
    let team = app.team().await;
    let modest = team.owner.found("Modest Genomics").await;
    // Everything is there before the first one is sent.
    app.stop_workers().await;
    let addresses: Vec<String> = (0..250).map(|n| format!("person{n}@example.org")).collect();
    for batch in addresses.chunks(50) {
        let people: Vec<_> = batch.iter().map(|address| json!({ "email": address })).collect();
        let input = json!({ "organizationId": team.id, "invitations": people });
        team.owner.ok("inviteMembers", input, "invitations { id }").await;
    }
    let input = json!({ "organizationId": modest, "invitations": [{ "email": "modest@example.org" }] });
    team.owner.ok("inviteMembers", input, "invitations { id }").await;
    let sent = |app: &TestApp| invitations(app).iter().filter(|mail| mail.recipient.starts_with("person")).count();
    let minutes = "SELECT count(*) || ' in ' || floor(extract(epoch FROM run_at - w.window_ends_at) / 60) AS value \
         FROM jobs, attempts w WHERE w.bucket = 'organization_mail' AND w.count > 1 AND kind = 'mail_invitation' \
         AND status = 'waiting' GROUP BY floor(extract(epoch FROM run_at - w.window_ends_at) / 60) ORDER BY 1";
    app.start_worker();
    app.start_worker();
    app.mail_to("modest@example.org").await;
    app.until_idle().await;
    assert_eq!(sent(&app), 100);
    assert_eq!(app.database.texts(minutes).await, ["100 in 0", "50 in 1"]);
    let queued = "SELECT count(*) AS value FROM invitations WHERE delivery = 'queued'";
    assert_eq!(app.database.number(queued).await, 150);
    // A sign-in isn't held back by it.
    app.sign_up("grace@example.org").await;

    for expected in [200, 250] {
        app.shift_clock("1 minute").await;
        app.until_idle().await;
        assert_eq!(sent(&app), expected);
    }
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for mail in invitations(&app) {
        *copies.entry(mail.recipient).or_default() += 1;
    }
    assert!(addresses.iter().all(|address| copies.get(address) == Some(&1)), "{copies:?}");
    let counted = "SELECT count(*) AS value FROM jobs WHERE kind = 'mail_invitation' \
         AND (status <> 'done' OR attempt - uncounted_attempts <> 1)";
    assert_eq!(app.database.number(counted).await, 0);
    app.finish().await;
}

// What keeps an account or an organization safe waits for nobody's minute.
#[tokio::test]
async fn mails_about_accounts_and_departures_wait_for_no_turn() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    app.mail_about("owner@example.org", "accepted your invitation").await;
    let member = team.member_id(&ada).await;
    let spent = format!(
        "INSERT INTO attempts VALUES ('organization_mail', '{0}', rollcall_now() + interval '1 hour', 100) \
         ON CONFLICT (bucket, subject) DO UPDATE SET count = 100, window_ends_at = excluded.window_ends_at",
        team.id
    );
    app.database.sql(&spent).await;
    // A change of a role waits.
    team.owner.ok("changeMemberRole", json!({ "memberId": member, "role": "VIEWER" }), "").await;
    let put_off =
        "SELECT count(*) AS value FROM jobs WHERE kind = 'mail_role_changed' AND status = 'waiting' AND attempt = 1";
    until("it is put off", async || (app.database.number(put_off).await == 1).then_some(())).await;
    ada.ok("changeEmail", json!({ "email": "countess@example.org" }), "").await;
    app.mail_about("countess@example.org", "Confirm your new email address").await;
    app.mail_about("ada@example.org", "A new email address was requested").await;
    app.sign_in(app.anonymous().on("curl/8.9.1"), "ada@example.org").await;
    app.mail_about("ada@example.org", "New sign-in").await;
    team.owner.ok("removeMember", json!({ "memberId": member }), "").await;
    app.mail_about("ada@example.org", "You were removed from").await;
    app.mail_about("owner@example.org", "was removed from").await;
    ada.ok("deleteAccount", json!({ "confirmEmail": "ada@example.org" }), "").await;
    app.mail_about("ada@example.org", "account was deleted").await;
    app.finish().await;
}

// The log leads from the job to the mail, and tells no address.
#[tokio::test]
async fn the_log_names_each_mail_and_no_address() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.smtp.reply("grace@example.org", [Reply::Recipient("451 4.2.0 <grace@example.org>: not now")]);
    let id = team.invite("grace@example.org", "MEMBER").await;
    delivered(&team, &id, "SENT").await;
    app.until_idle().await;
    let job = format!(
        "SELECT id::text AS value FROM jobs WHERE kind = 'mail_invitation' AND payload->>'invitation_id' = '{}'",
        uuid(&id)
    );
    let job = app.database.texts(&job).await.remove(0);
    let log = app.worker_logs();
    let line = log.lines().find(|line| line.contains("sent a mail") && line.contains(&format!("invitation.{id}.1@")));
    let line = line.unwrap_or_else(|| panic!("no line about the mail:\n{log}"));
    for part in [&*job, "kind=\"mail_invitation\"", "attempt=2"] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    assert!(log.contains("451 4.2.0 <[address]>: not now"), "{log}");
    assert!(!log.contains("@example.org"), "{log}");
    app.finish().await;
}

// R25: whoever invites by username learns of the address neither itself, nor its parts, nor its server, whatever that
// says.
#[tokio::test]
async fn a_server_tells_nothing_of_who_is_invited_by_username() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let vic = app.sign_up("quiet.vic@secretcorp.example").await;
    vic.ok("updateProfile", json!({ "username": "owl-two" }), "").await;
    for (said, shown) in [
        ("550 5.1.1 <quiet.vic@secretcorp.example>: no such user", "550 5.1.1"),
        ("550 5.2.2 mailbox quiet.vic at secretcorp.example is full", "550 5.2.2"),
        ("550 quiet.vic: user unknown", "550"),
        ("550 5.7.1 host mx1.secretcorp.example rejects", "550 5.7.1"),
    ] {
        app.smtp.reply("quiet.vic@secretcorp.example", [Reply::Recipient(said)]);
        let input = json!({ "organizationId": team.id, "invitations": [{ "username": "owl-two" }] });
        let made = team.owner.ok("inviteMembers", input, "invitations { id }").await;
        let id = text(&made["invitations"][0]["id"]);
        let failed = delivered(&team, &id, "FAILED").await;
        assert_eq!(failed["deliveryError"], format!("the mail server didn't take it: {shown}"));
        team.owner.ok("revokeInvitation", json!({ "id": id }), "").await;
    }
    // Who is invited by address is known by it; others that the server names aren't.
    app.smtp.reply(
        "vic@secretcorp.example",
        [Reply::Recipient("550 5.1.1 <vic@XN--secretcorp.example> is now quiet.vic@secretcorp.example")],
    );
    let id = team.invite("vic@secretcorp.example", "MEMBER").await;
    let failed = delivered(&team, &id, "FAILED").await;
    assert_eq!(failed["deliveryError"], "550 5.1.1 <[address]> is now [address]");
    app.finish_with_given_up_jobs().await;
}
