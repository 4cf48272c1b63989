//! What strangers are sent: few mails, whoever causes them, and nothing in them that somebody could click but our own
//! links.

use crate::support::client::text;
use crate::support::page::Visitor;
use crate::support::{Client, Reply, TestApp, Value, json, until};

fn invite(organization: &str, emails: &[&str]) -> Value {
    let people: Vec<Value> = emails.iter().map(|email| json!({ "email": email })).collect();
    json!({ "organizationId": organization, "invitations": people })
}

fn say_when(message: &str) {
    let after = message.split("try again in ").nth(1).unwrap_or_else(|| panic!("{message}"));
    let (number, unit) = after.split_once(' ').unwrap();
    assert!(number.parse::<u32>().unwrap() > 0, "{message}");
    assert!(["second", "minute", "hour"].iter().any(|known| unit.trim_end_matches('s') == *known), "{message}");
}

impl TestApp {
    /// How many mails are counted in windows of these names for whoever has this in their name.
    async fn mails_counted(&self, bucket: &str, subject: &str) -> i64 {
        let sum = format!(
            "SELECT coalesce(sum(count), 0)::bigint AS value FROM attempts WHERE bucket LIKE '{bucket}%' AND subject LIKE '%{subject}%'"
        );
        self.database.number(&sum).await
    }

    /// Lets it look as if so many mails had been counted.
    async fn mails_were_sent(&self, bucket: &str, number: u32) {
        self.database.sql(&format!("UPDATE attempts SET count = {number} WHERE bucket = '{bucket}'")).await;
    }
}

// R16, R23: five mails an hour to one person, over all organizations, by inviting, inviting again, sending again,
// sharing and naming their address as one's own; then nothing until the hour is over. Signing in isn't concerned.
#[tokio::test]
async fn one_person_is_sent_few_mails_whoever_sends_them() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let other = app.sign_up("other@example.org").await;
    let elsewhere = other.found("Elsewhere").await;
    let victim = "victim@example.org";
    // Each is sent before the next one could overtake it.
    let invitation = team.invite(victim, "MEMBER").await;
    app.mail_to(victim).await;
    for _ in 0..2 {
        team.owner.ok("resendInvitation", json!({ "id": invitation }), "").await;
        app.mail_to(victim).await;
    }
    let again = other.ok("inviteMembers", invite(&elsewhere, &["VICTIM@Example.ORG"]), "invitations { id }").await;
    app.mail_to(victim).await;
    other.ok("revokeInvitation", json!({ "id": again["invitations"][0]["id"] }), "").await;
    other.ok("inviteMembers", invite(&elsewhere, &[victim]), "").await;
    assert_eq!(app.mails_counted("recipient_mail_hour", victim).await, 5);

    let refused = team.owner.refused("resendInvitation", json!({ "id": invitation })).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.id"));
    say_when(&refused.message);
    assert!(refused.message.contains("minutes"), "{}", refused.message);
    let third = app.sign_up("third@example.org").await;
    let lab = third.found("Third Lab").await;
    let project = third.create(&lab, "PROJECT", "Liver atlas").await;
    let refused = third.refused("inviteMembers", invite(&lab, &["friend@example.org", "Victim@example.org"])).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.invitations.1.email"));
    // All or none: the friend is neither invited nor counted, nor is the account.
    assert_eq!(app.mails_counted("", "friend@example.org").await, 0);
    assert_eq!(app.mails_counted("caused_mail", &third.user_id).await, 0);
    let share = json!({ "resourceId": project, "grantee": { "email": victim }, "level": "VIEW" });
    assert_eq!(third.refused("grantAccess", share).await.is(), ("RATE_LIMITED", "input.grantee.email"));
    let refused = third.refused("changeEmail", json!({ "email": victim })).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.email"));
    say_when(&refused.message);
    // Whoever may not know of the invitation learns nothing of it, however many mails there were.
    assert_eq!(third.refused("resendInvitation", json!({ "id": invitation })).await.is(), ("NOT_FOUND", "input.id"));
    let nobody = third.refused("inviteMembers", invite(&team.id, &[victim])).await;
    assert_eq!(nobody.is(), ("NOT_FOUND", "input.organizationId"));
    app.until_idle().await;
    let to_victim = |app: &TestApp| app.smtp.mails().iter().filter(|mail| mail.recipient == victim).count();
    assert_eq!(to_victim(&app), 5);

    // They sign in all the same; with an account they are found by their username, and still have had enough.
    let person = app.sign_up(victim).await;
    let username = person.username().await;
    let by_username = json!({ "organizationId": lab, "invitations": [{ "username": username }] });
    let refused = third.refused("inviteMembers", by_username.clone()).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.invitations.0.username"));
    let offer = json!({ "resourceId": project, "recipientUsername": username });
    let refused = third.refused("offerProjectTransfer", offer.clone()).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.recipientUsername"));
    // So is what is shared with an address, whether or not it has an account.
    let share = json!({ "resourceId": project, "grantee": { "email": victim }, "level": "VIEW" });
    assert_eq!(third.refused("grantAccess", share).await.is(), ("RATE_LIMITED", "input.grantee.email"));

    app.shift_clock("1 hour").await;
    third.ok("inviteMembers", by_username, "").await;
    third.ok("offerProjectTransfer", offer, "").await;
    assert_eq!(app.mails_counted("recipient_mail_hour", victim).await, 2);
    assert_eq!(app.mails_counted("recipient_mail_day", victim).await, 7);
    // Twenty a day.
    app.mails_were_sent("recipient_mail_day", 20).await;
    let refused = team.owner.refused("resendInvitation", json!({ "id": invitation })).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.id"));
    assert!(refused.message.contains("hours"), "{}", refused.message);
    app.shift_clock("23 hours").await;
    team.owner.ok("resendInvitation", json!({ "id": invitation }), "").await;
    app.finish().await;
}

// R16: what an account may send a day counts addresses, not requests, over all its organizations; more once it isn't
// new any more.
#[tokio::test]
async fn an_account_invites_so_many_a_day_however_it_asks() {
    let mut app = TestApp::builder()
        .setting("ROLLCALL_NEW_ACCOUNT_INVITATIONS_PER_DAY", "6")
        .setting("ROLLCALL_INVITATIONS_PER_DAY", "9")
        .start()
        .await;
    let team = app.team().await;
    let owner = &team.owner;
    let emails = |from: usize, to: usize| (from..to).map(|n| format!("p{n}@example.org")).collect::<Vec<_>>();
    let input = |organization: &str, from: usize, to: usize| {
        let emails = emails(from, to);
        invite(organization, &emails.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let refused = owner.refused("inviteMembers", input(&team.id, 0, 7)).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.invitations"));
    assert!(refused.message.contains("6 mails") && refused.message.contains("6 are left"), "{}", refused.message);
    say_when(&refused.message);
    // By aliases within one request.
    let elsewhere = owner.found("Another of theirs").await;
    let document = "mutation($a: InviteMembersInput!, $b: InviteMembersInput!, $c: InviteMembersInput!) { \
         a: inviteMembers(input: $a) { userErrors { code } } b: inviteMembers(input: $b) { userErrors { code } } \
         c: inviteMembers(input: $c) { userErrors { code message field } } }";
    let variables = json!({ "a": input(&team.id, 0, 3), "b": input(&elsewhere, 3, 5), "c": input(&elsewhere, 5, 7) });
    let answer = owner.run(document, variables).await;
    let data = answer.data();
    assert_eq!((&data["a"]["userErrors"], &data["b"]["userErrors"]), (&json!([]), &json!([])));
    assert_eq!(data["c"]["userErrors"][0]["code"], "RATE_LIMITED");
    assert_eq!(data["c"]["userErrors"][0]["field"], json!(["input", "invitations"]));
    assert!(text(&data["c"]["userErrors"][0]["message"]).contains("1 is left"), "{data}");
    assert_eq!(app.database.number("SELECT count(*) AS value FROM invitations").await, 5);
    // Refused for another reason, nothing is counted.
    assert_eq!(owner.refused("inviteMembers", input(&team.id, 2, 3)).await.code, "ALREADY_INVITED");
    assert_eq!(app.mails_counted("caused_mail_client", "").await, 5);
    // What is shared counts too, and so does what is sent again.
    let project = owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let share = |email: &str| json!({ "resourceId": project, "grantee": { "email": email }, "level": "VIEW" });
    owner.ok("grantAccess", share("guest@example.org"), "").await;
    assert_eq!(owner.refused("grantAccess", share("guest2@example.org")).await.is(), ("RATE_LIMITED", "input.grantee"));
    let first = "SELECT id::text AS value FROM invitations ORDER BY id LIMIT 1";
    let first: uuid::Uuid = app.database.texts(first).await[0].parse().unwrap();
    let first = rollcall_domain::base::id::to_text(
        <rollcall_domain::base::id::InvitationId as rollcall_domain::base::id::TypedId>::from_uuid(first),
    );
    assert_eq!(owner.refused("resendInvitation", json!({ "id": first })).await.is(), ("RATE_LIMITED", "input.id"));
    // Nobody else's is used up.
    let other = app.sign_up("other@example.org").await;
    let lab = other.found("Other").await;
    other.ok("inviteMembers", input(&lab, 0, 6), "").await;

    app.shift_clock("1 day").await;
    owner.ok("inviteMembers", input(&team.id, 10, 19), "").await;
    let refused = owner.refused("inviteMembers", input(&team.id, 19, 20)).await;
    assert!(refused.message.contains("9 mails") && refused.message.contains("0 are left"), "{}", refused.message);
    app.finish().await;
}

// R16: by client and for the deployment, over all accounts.
#[tokio::test]
async fn clients_and_the_deployment_have_limits_of_their_own() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let other = app.sign_up("other@example.org").await;
    let lab = other.found("Other").await;
    let there = other.from("127.0.0.2", None);
    team.invite("grace@example.org", "MEMBER").await;
    app.mails_were_sent("caused_mail_client", 2_500).await;
    for (person, organization) in [(&team.owner, &team.id), (&other, &lab)] {
        let refused = person.refused("inviteMembers", invite(organization, &["alan@example.org"])).await;
        assert_eq!(refused.is(), ("RATE_LIMITED", "input.invitations"));
        assert!(refused.message.contains("from where you are"), "{}", refused.message);
        say_when(&refused.message);
    }
    there.ok("inviteMembers", invite(&lab, &["alan@example.org"]), "").await;
    app.mails_were_sent("caused_mail_deployment", 20_000).await;
    let refused = there.refused("inviteMembers", invite(&lab, &["barbara@example.org"])).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.invitations"));
    app.shift_clock("1 hour").await;
    other.ok("inviteMembers", invite(&lab, &["barbara@example.org"]), "").await;
    app.finish().await;
}

// R23: a reminder is a mail too, and isn't sent to whoever has had enough; what belongs to a membership comes twenty
// times a day, and happens all the same.
#[tokio::test]
async fn nobody_is_reminded_or_told_without_end() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    team.invite("grace@example.org", "MEMBER").await;
    app.mail_to("grace@example.org").await;
    app.until_idle().await;
    app.stop_workers().await;
    app.shift_clock("6 days").await;
    let full = "INSERT INTO attempts VALUES ('recipient_mail_day', 'grace@example.org', rollcall_now() + interval '1 hour', 20) \
         ON CONFLICT ON CONSTRAINT attempts_pkey DO UPDATE SET count = 20, window_ends_at = excluded.window_ends_at";
    app.database.sql(full).await;
    app.start_worker();
    app.until_idle().await;
    assert!(app.read_mail("grace@example.org", "expires soon").is_none());

    let member = team.member_id(&ada).await;
    team.owner.ok("changeMemberRole", json!({ "memberId": member, "role": "VIEWER" }), "").await;
    app.mail_about("ada@example.org", "role").await;
    app.mails_were_sent("membership_mail", 5).await;
    let changed =
        team.owner.ok("changeMemberRole", json!({ "memberId": member, "role": "MEMBER" }), "member { role }").await;
    assert_eq!(changed["member"]["role"], "MEMBER");
    app.until_idle().await;
    assert!(app.read_mail("ada@example.org", "role").is_none());
    app.finish().await;
}

// R30: whoever asks for mails to somebody's address doesn't lock them out: until another can be had, a link that was
// mailed works.
#[tokio::test]
async fn mails_that_others_ask_for_lock_nobody_out() {
    let mut app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let eve = app.anonymous().from("127.0.0.6", None);
    let ask = async |eve: &Client| eve.mutate("requestSignIn", json!({ "email": "ada@example.org" }), "").await;
    app.shift_clock("2 hours").await;
    let mut first = None;
    for _ in 0..10 {
        ask(&eve).await.data();
        let mail = app.mail_about("ada@example.org", "sign in").await;
        first.get_or_insert(mail);
    }
    app.shift_clock("59 minutes").await;
    // Eve has asked often enough; nobody else is refused for it, and the links of her mails still work.
    let refused = ask(&app.anonymous().from("127.0.0.6", None)).await;
    assert_eq!(refused.error_code(), "RATE_LIMITED");
    ask(&app.anonymous()).await.data();
    let token = first.unwrap().token();
    let payload = app.anonymous().ok("signIn", json!({ "token": token }), "viewer { user { id } }").await;
    assert_eq!(payload["viewer"]["user"]["id"], ada.user_id.as_str());
    app.finish().await;
}

// R49: names stand in mails that strangers receive: they hold no link, in whichever disguise. Honest names do.
#[tokio::test]
async fn names_hold_no_links() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let owner = &team.owner;
    let wrong = [
        "You won! Claim at https://claim.example",
        "ftp://claim",
        "www.claim.example",
        "Claim at claim.example/x",
        "claim-prize.com",
        "клейм.рф",
        "xn--80ak6aa92e.xn--p1ai",
        "ｃｌａｉｍ．ｃｏｍ／ｘ",
        "claim。com",
        "cla\u{ad}im.c\u{200b}om",
        "write to ada@claim.com",
        "Claim 203.0.113.7 now",
        "0x7f.0.0.1",
        "3405803777/x",
        "skype:abc?call",
        "data:text/html,x",
        "view-source:x",
    ];
    let project = owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let document = owner.create(&team.id, "DOCUMENT", "Letter").await;
    let lab = owner.ok("createTeam", json!({ "organizationId": team.id, "name": "Lab" }), "team { id }").await;
    for name in wrong {
        for (mutation, input) in [
            ("createOrganization", json!({ "name": name })),
            ("updateOrganization", json!({ "id": team.id, "name": name })),
            ("updateProfile", json!({ "name": name })),
            ("createTeam", json!({ "organizationId": team.id, "name": name })),
            ("updateTeam", json!({ "id": lab["team"]["id"], "name": name })),
            ("createResource", json!({ "organizationId": team.id, "kind": "PROJECT", "name": name })),
            ("createResource", json!({ "organizationId": team.id, "kind": "COLLECTION", "name": name })),
            ("updateResource", json!({ "id": project, "name": name })),
        ] {
            let refused = owner.refused(mutation, input).await;
            assert_eq!(refused.is(), ("INVALID", "input.name"), "{mutation} {name:?}");
            let reason = if name.contains('\u{ad}') { "U+00AD" } else { "link" };
            assert!(refused.message.contains(reason), "{}", refused.message);
        }
        let greeted =
            json!({ "organizationId": team.id, "invitations": [{ "email": "grace@example.org", "name": name }] });
        assert_eq!(owner.refused("inviteMembers", greeted).await.is(), ("INVALID", "input.invitations.0.name"));
        let full = json!({ "id": team.id, "fullName": name });
        assert_eq!(owner.refused("updateOrganization", full).await.is(), ("INVALID", "input.fullName"));
    }
    // Files are named like hosts, and not like what follows one.
    for name in ["You won! https://claim.example", "www.claim.example", "claim.com/x"] {
        let input = json!({ "organizationId": team.id, "kind": "DOCUMENT", "name": name });
        assert_eq!(owner.refused("createResource", input).await.is(), ("INVALID", "input.name"), "{name:?}");
        let refused = owner.refused("updateResource", json!({ "id": document, "name": name })).await;
        assert_eq!(refused.is(), ("INVALID", "input.name"), "{name:?}");
    }
    for kind in ["DOCUMENT", "SAMPLE", "SOURCE"] {
        owner.create(&team.id, kind, "notes.zip").await;
    }
    owner.ok("updateResource", json!({ "id": document, "name": "reads.zip" }), "").await;
    for kind in ["PROJECT", "VOLUME", "MACHINE", "APP", "WORKSPACE", "SOURCE_GROUP", "COLLECTION"] {
        let input = json!({ "organizationId": team.id, "kind": kind, "name": "claim-prize.com" });
        assert_eq!(owner.refused("createResource", input).await.is(), ("INVALID", "input.name"), "{kind}");
    }
    for name in [
        "St. John's Lab",
        "Dr. No",
        "Node.js Foundation",
        "J.R.R. Tolkien",
        "ada.lovelace",
        "Acme, Inc.",
        "Лаборатория №1",
        "Lab A: Physics",
        "Team 3:1",
        "v1.2.3.4",
    ] {
        owner.ok("updateOrganization", json!({ "id": team.id, "name": name }), "").await;
        owner.ok("updateProfile", json!({ "name": name }), "").await;
    }
    team.invite("grace@example.org", "MEMBER").await;
    let token = app.mail_to("grace@example.org").await.token();
    let input = json!({ "token": token, "name": "claim.example/x" });
    assert_eq!(app.anonymous().refused("acceptInvitation", input).await.is(), ("INVALID", "input.name"));
    // Nor does a name that is made of an address.
    let eve = app.sign_up("www.claim.com@example.org").await;
    let viewer = eve.query("{ viewer { user { name } } }", json!({})).await;
    assert_eq!(viewer["viewer"]["user"]["name"], "www claim com");
    app.finish().await;
}

// R16: what was named before the rule stays, and nothing of it can be clicked; nor of a file's name.
#[tokio::test]
async fn links_in_old_names_cannot_be_clicked() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.database.sql("UPDATE organizations SET name = 'You won! https://claim.example/x'").await;
    app.database
        .sql("UPDATE users SET name = 'www.claim．example at 203.0.113.7', folded_name = 'www.claim.example at 203.0.113.7'")
        .await;
    let project = team.owner.create(&team.id, "DOCUMENT", "claim.com").await;
    team.invite("grace@example.org", "MEMBER").await;
    let share = json!({ "resourceId": project, "grantee": { "email": "alan@example.org" }, "level": "VIEW" });
    team.owner.ok("grantAccess", share, "").await;
    for address in ["grace@example.org", "alan@example.org"] {
        let mail = app.mail_to(address).await;
        let words = mail.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("You won!"), "{}", mail.text);
        for part in [&mail.subject, &mail.text, &mail.html] {
            for link in ["claim.example", "https://claim", "www.claim", "claim.com", "claim．example", "203.0.113.7"] {
                assert!(!part.contains(link), "{link} in {part}");
            }
        }
        assert!(
            mail.links().iter().chain(&mail.html_links()).all(|link| link.starts_with(&app.url)),
            "{:?}",
            mail.links()
        );
    }
    app.finish().await;
}

// R16: a mail that its server doesn't take counts once, however often it is tried.
#[tokio::test]
async fn a_mail_counts_once() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.smtp.reply("grace@example.org", [Reply::Recipient("451 not now"), Reply::Recipient("451 not now")]);
    team.invite("grace@example.org", "MEMBER").await;
    app.mail_to("grace@example.org").await;
    until("it is sent", async || app.jobs_left().await.is_empty().then_some(())).await;
    assert_eq!(app.mails_counted("recipient_mail_day", "grace@example.org").await, 1);
    assert_eq!(app.mails_counted("caused_mail", &team.owner.user_id).await, 1);
    app.finish().await;
}

// R16: whoever may do something to a membership doesn't flood its person by that, nor those who receive what was left,
// in however many organizations.
#[tokio::test]
async fn nobody_is_flooded_by_their_memberships() {
    let app = TestApp::start().await;
    let owner = app.sign_up("owner@example.org").await;
    let ada = app.sign_up("ada@example.org").await;
    let mut memberships = Vec::new();
    for name in ["First Lab", "Second Lab", "Third Lab", "Fourth Lab", "Fifth Lab"] {
        let id = owner.found(name).await;
        let invited = owner.ok("inviteMembers", invite(&id, &["ada@example.org"]), "invitations { id }").await;
        let accept = json!({ "id": invited["invitations"][0]["id"] });
        memberships.push(text(&ada.ok("acceptInvitation", accept, "member { id }").await["member"]["id"]));
    }
    app.until_idle().await;
    let mails = async |address: &str, subject: &str| {
        app.until_idle().await;
        app.smtp.mails().iter().filter(|mail| mail.recipient == address && mail.subject.contains(subject)).count()
    };
    for member in &memberships {
        for n in 0..6 {
            let role = if n % 2 == 0 { "VIEWER" } else { "MEMBER" };
            owner.ok("changeMemberRole", json!({ "memberId": member, "role": role }), "").await;
            app.until_idle().await;
        }
        let so_far = memberships.iter().position(|other| other == member).unwrap() + 1;
        assert_eq!(mails("ada@example.org", "role").await, (5 * so_far).min(20));
    }
    // What tells of an end has a limit of its own, of which one organization uses up no more than its part.
    let removed = json!({ "memberId": memberships[0], "messageToMember": "You won!" });
    owner.ok("removeMember", removed, "departure { id }").await;
    assert_eq!(mails("ada@example.org", "removed").await, 1);
    app.mails_were_sent("member_mail", 20).await;
    owner.ok("removeMember", json!({ "memberId": memberships[2] }), "departure { id }").await;
    assert_eq!(mails("ada@example.org", "removed").await, 1);
    // Whoever receives what others left has a limit of their own.
    assert_eq!(app.mails_counted("receipt_mail", "owner@example.org").await, 2);
    app.mails_were_sent("receipt_mail", 200).await;
    let before = mails("owner@example.org", "").await;
    owner.ok("removeMember", json!({ "memberId": memberships[1] }), "departure { id }").await;
    assert_eq!(mails("owner@example.org", "").await, before);
    app.finish().await;
}

// R30: asking to sign in floods nobody, and keeps nobody from signing in: the answer is always the same.
#[tokio::test]
async fn asking_to_sign_in_floods_nobody() {
    let mut app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let ask = async |app: &TestApp, address: &str| {
        app.anonymous().ok("requestSignIn", json!({ "email": address }), "").await;
        app.until_idle().await;
    };
    let sent = |app: &TestApp, address: &str| app.smtp.mails().iter().filter(|mail| mail.recipient == address).count();
    // Signing in began it anew.
    assert_eq!(app.mails_counted("sign_in_mail", "ada@example.org").await, 0);
    for address in ["ada@example.org", "nobody@example.org"] {
        ask(&app, address).await;
    }
    app.mails_were_sent("sign_in_mail", 20).await;
    let (ada_had, nobody_had) = (sent(&app, "ada@example.org"), sent(&app, "nobody@example.org"));
    for _ in 0..3 {
        ask(&app, "ada@example.org").await;
        ask(&app, "nobody@example.org").await;
    }
    // One within the time of a link, so that there is always one that works.
    assert_eq!((sent(&app, "ada@example.org"), sent(&app, "nobody@example.org")), (ada_had + 1, nobody_had + 1));
    app.shift_clock("50 minutes").await;
    ask(&app, "ada@example.org").await;
    assert_eq!(sent(&app, "ada@example.org"), ada_had + 2);
    app.shift_clock("1 hour").await;
    while app.read_mail("ada@example.org", "sign in").is_some() {}
    app.sign_in(app.anonymous(), "ada@example.org").await;
    assert_eq!(app.mails_counted("sign_in_mail", "ada@example.org").await, 0);
    // Strangers by one client: everybody else there signs in as ever, and strangers elsewhere.
    ask(&app, "first@example.org").await;
    assert_eq!(sent(&app, "first@example.org"), 1);
    app.mails_were_sent("sign_in_mail_stranger", 100).await;
    ask(&app, "second@example.org").await;
    assert_eq!(sent(&app, "second@example.org"), 0);
    assert_eq!(app.sign_in(app.anonymous(), "ada@example.org").await.user_id, ada.user_id);
    // However often they were asked for in vain.
    for _ in 0..9 {
        app.anonymous().ok("requestSignIn", json!({ "email": "second@example.org" }), "").await;
    }
    let limited = app.anonymous().mutate("requestSignIn", json!({ "email": "second@example.org" }), "").await;
    assert_eq!(limited.error_code(), "RATE_LIMITED");
    let there = app.anonymous().from("127.0.0.2", None);
    there.ok("requestSignIn", json!({ "email": "second@example.org" }), "").await;
    app.until_idle().await;
    assert_eq!(sent(&app, "second@example.org"), 1);
    // What isn't sent leaves the digits of what was sent as they are.
    there.ok("requestSignIn", json!({ "email": "third@example.org" }), "").await;
    let digits = app.mail_about("third@example.org", "sign in").await.digits();
    ask(&app, "third@example.org").await;
    assert_eq!(sent(&app, "third@example.org"), 1);
    let input = json!({ "digits": { "email": "third@example.org", "code": digits } });
    there.ok("signIn", input, "sessionToken").await;
    app.finish().await;
}

// R30: a form that is sent again and again, with whatever address, uses up nothing that others need, and an address
// that was mistyped is put right.
#[tokio::test]
async fn a_form_sent_again_keeps_nobody_out() {
    let app = TestApp::start().await;
    app.sign_up("victim@example.org").await;
    let visitor = Visitor::new(&app.url);
    let asking = visitor.get("/sign-in").await;
    let form = asking.form("email");
    for _ in 0..12 {
        assert_eq!(visitor.submit(&asking, &form, &[("email", "eve@example.org")]).await.status, 200);
    }
    app.until_idle().await;
    assert_eq!(app.mails_about("eve@example.org", "sign in").len(), 1);
    let before = app.mails_about("victim@example.org", "sign in").len();
    for _ in 0..12 {
        assert_eq!(visitor.submit(&asking, &form, &[("email", "victim@example.org")]).await.status, 200);
    }
    app.until_idle().await;
    assert_eq!(app.mails_about("victim@example.org", "sign in").len(), before + 1);
    app.anonymous().ok("requestSignIn", json!({ "email": "victim@example.org" }), "").await;
    app.until_idle().await;
    assert_eq!(app.mails_about("victim@example.org", "sign in").len(), before + 2);
    app.finish().await;
}

// R16: nobody uses up what somebody may be sent without a mail: neither by what is refused, nor by requests that are
// given up.
#[tokio::test]
async fn what_is_not_sent_is_not_counted() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    let victim = "victim@example.org";
    let refused = eve.refused("inviteMembers", invite(&team.id, &[victim])).await;
    assert_eq!(refused.is(), ("NOT_FOUND", "input.organizationId"));
    // Nothing remains of whom she named.
    let rows = format!("SELECT count(*) AS value FROM attempts WHERE subject = '{victim}'");
    assert_eq!(app.database.number(&rows).await, 0);
    // Her own organization, and requests that end at any moment.
    let document = crate::support::client::document("inviteMembers", "");
    let lab = eve.found("Lab").await;
    for n in 0..60 {
        let address = if n % 2 == 0 { &team.id } else { &lab };
        let sent = eve.run(&document, json!({ "input": invite(address, &[victim]) }));
        let _ = tokio::time::timeout(std::time::Duration::from_millis(n % 30), sent).await;
    }
    let sent = format!("SELECT count(*) AS value FROM invitations WHERE email = '{victim}'");
    let (sent, counted) = (app.database.number(&sent).await, app.mails_counted("recipient_mail_day", victim).await);
    assert_eq!(counted, sent);
    until("what was given up is taken back", async || {
        (app.mails_counted("caused_mail_deployment", "").await <= sent).then_some(())
    })
    .await;
    // And refused at once, while others are invited.
    let mallory = app.sign_up("mallory@example.org").await;
    let twins: Vec<Client> = (0..16).map(|_| mallory.twin()).collect();
    let refusals =
        twins.iter().map(|mallory| mallory.refused("inviteMembers", invite(&team.id, &["honest@example.org"])));
    let (refusals, ()) = futures_util::join!(futures_util::future::join_all(refusals), async {
        for _ in 0..3 {
            let made =
                team.owner.ok("inviteMembers", invite(&team.id, &["honest@example.org"]), "invitations { id }").await;
            team.owner.ok("revokeInvitation", json!({ "id": made["invitations"][0]["id"] }), "").await;
        }
    });
    assert!(refusals.iter().all(|refusal| refusal.code == "NOT_FOUND"));
    app.finish().await;
}
