//! Inviting: by mail, with a role, for some days.

use crate::support::client::{nodes, text};
use crate::support::{TestApp, json, until};

const PREVIEW: &str = "query($token: String!) { invitation(token: $token) { \
     organizationName invitedBy email role status expiresAt accountExists } }";

// R16, R17, R18, R20: an address without an account; accepting makes account and membership in one step.
#[tokio::test]
async fn accepting_makes_the_account_and_the_membership() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let input =
        json!({ "organizationId": team.id, "invitations": [{ "email": "Grace@Example.org", "name": "Grace Hopper" }] });
    let selection = "invitations { id email name role status delivery organization { id name } invitedBy { id } permissions { billableActivities } }";
    let payload = team.owner.ok("inviteMembers", input, selection).await;
    let invitation = &payload["invitations"][0];
    assert_eq!(invitation["email"], "grace@example.org");
    assert_eq!(invitation["name"], "Grace Hopper");
    assert_eq!(invitation["role"], "MEMBER");
    assert_eq!(invitation["status"], "PENDING");
    assert_eq!(invitation["invitedBy"]["id"], team.owner.user_id.as_str());

    let mail = app.mail_to("grace@example.org").await;
    let anonymous = app.anonymous();
    let preview = anonymous.query(PREVIEW, json!({ "token": mail.token() })).await;
    assert_eq!(preview["invitation"]["organizationName"], "Acme Genomics");
    assert_eq!(preview["invitation"]["email"], "grace@example.org");
    assert_eq!(preview["invitation"]["status"], "PENDING");
    assert_eq!(preview["invitation"]["accountExists"], false);

    let input = json!({ "token": mail.token(), "name": "Grace Brewster Hopper", "username": "Amazing-Grace" });
    let selection = "sessionToken member { id role status joinedVia user { id name username } organization { id } }";
    let accepted = anonymous.ok("acceptInvitation", input, selection).await;
    let member = &accepted["member"];
    assert_eq!(member["role"], "MEMBER");
    assert_eq!(member["joinedVia"], "INVITATION");
    assert_eq!(member["user"]["name"], "Grace Brewster Hopper");
    assert_eq!(member["user"]["username"], "amazing-grace");
    assert_eq!(member["organization"]["id"], team.id.as_str());

    let grace = app.client(&text(&accepted["sessionToken"]));
    let viewer = grace
        .query("{ viewer { email needsOrganization memberships { nodes { role organization { id } } } } }", json!({}))
        .await;
    assert_eq!(viewer["viewer"]["email"], "grace@example.org");
    assert_eq!(viewer["viewer"]["needsOrganization"], false);
    assert_eq!(nodes(&viewer["viewer"]["memberships"])[0]["organization"]["id"], team.id.as_str());
    // R18: raised later.
    let input = json!({ "memberId": member["id"], "role": "ADMIN" });
    let raised = team.owner.ok("changeMemberRole", input, "member { role }").await;
    assert_eq!(raised["member"]["role"], "ADMIN");
    app.finish().await;
}

// R22: after accepting, the person can switch to the organization.
#[tokio::test]
async fn an_existing_account_accepts_by_id_and_switches() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let id = team.invite("ADA@example.org", "VIEWER").await;
    let viewer = ada
        .query(
            "{ viewer { invitations { totalCount nodes { id role organization { id name createdAt } } } } }",
            json!({}),
        )
        .await;
    let open = &nodes(&viewer["viewer"]["invitations"])[0];
    assert_eq!(open["id"], id.as_str());
    assert_eq!(open["organization"]["name"], "Acme Genomics");
    assert!(open["organization"]["createdAt"].is_null(), "an invited person sees the name only");
    let accepted = ada.ok("acceptInvitation", json!({ "id": id }), "sessionToken member { role }").await;
    assert_eq!(accepted["member"]["role"], "VIEWER");
    assert!(accepted["sessionToken"].is_null());
    let selection = "viewer { activeOrganization { id } }";
    let switched = ada.ok("switchOrganization", json!({ "organizationId": team.id }), selection).await;
    assert_eq!(switched["viewer"]["activeOrganization"]["id"], team.id.as_str());
    app.finish().await;
}

// R21: nobody finds an organization, not even by its slug, without belonging to it.
#[tokio::test]
async fn an_organization_is_found_by_its_members_only() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let stranger = app.sign_up("eve@example.org").await;
    let query = "query($by: OrganizationBy!) { organization(by: $by) { id name } }";
    for by in [json!({ "id": team.id }), json!({ "slug": "acme-genomics" })] {
        assert_eq!(team.owner.query(query, json!({ "by": by })).await["organization"]["id"], team.id.as_str());
        assert!(stranger.query(query, json!({ "by": by })).await["organization"].is_null());
    }
    // Someone invited may know its name, and no more.
    let id = team.invite("eve@example.org", "MEMBER").await;
    assert!(stranger.query(query, json!({ "by": { "slug": "acme-genomics" } })).await["organization"].is_null());
    let node = stranger
        .query(
            "query($id: ID!) { node(id: $id) { ... on Invitation { organization { name owner { id } } } } }",
            json!({ "id": id }),
        )
        .await;
    assert_eq!(node["node"]["organization"]["name"], "Acme Genomics");
    assert!(node["node"]["organization"]["owner"].is_null());
    app.finish().await;
}

// R16: the mail itself.
#[tokio::test]
async fn the_mail_says_who_invites_to_what_and_leads_to_the_page() {
    let app = TestApp::start().await;
    let team = app.team().await;
    team.owner.ok("updateProfile", json!({ "name": "Ada Lovelace" }), "viewer { email }").await;
    let id = team.invite("grace@example.org", "MEMBER").await;
    let mail = app.mail_to("grace@example.org").await;
    assert_eq!(mail.from, "no-reply@rollcall.example");
    assert_eq!(mail.to, "grace@example.org");
    assert_eq!(mail.subject, "Ada Lovelace invites you to join Acme Genomics");
    assert_eq!(mail.auto_submitted, "auto-generated");
    assert!(mail.date.is_some());
    assert!(mail.message_id.contains(&id), "{}", mail.message_id);
    assert!(mail.message_id.ends_with("@rollcall.example"), "{}", mail.message_id);
    assert!(mail.text.contains("Ada Lovelace") && mail.text.contains("Acme Genomics"), "{}", mail.text);
    assert!(!mail.html.is_empty());
    assert_eq!(mail.links(), mail.html_links());
    assert!(mail.link("/invitations/").starts_with(&format!("{}/invitations/", app.url)));
    let text = mail.text.replace(&mail.link("/invitations/"), "[link]");
    let text: String =
        text.lines()
            .map(|line| {
                if line.starts_with("Open until:") { "Open until:   [time]\n".to_owned() } else { format!("{line}\n") }
            })
            .collect();
    insta::assert_snapshot!(text, @r"
    Join Acme Genomics
    ------------------

    Hello,

    Ada Lovelace invites you to join Acme Genomics on Rollcall, where its
    members share and manage their work together.

    Organization: Acme Genomics
    Your role:    Member
    Open until:   [time]

    See the invitation:
    [link]

    You can accept or decline on the page that opens; opening it changes
    nothing. You don't need an account: we create one when you accept.

    If you would rather not join, just ignore this email and the invitation will
    expire. The link is only for you, so please don't share it.

    -- 
    You received this email because someone in Acme Genomics entered your email
    address to invite you.
    ");
    app.until_idle().await;
    assert_eq!(team.invitation(&id).await["delivery"], "SENT");
    app.finish().await;
}

// R16: all or none; each problem at its place in the list.
#[tokio::test]
async fn fifty_at_once_and_all_or_none() {
    let app = TestApp::start().await;
    let team = app.team().await;
    app.join(&team, "ada@example.org", "MEMBER").await;
    let people =
        |count: usize| (0..count).map(|n| json!({ "email": format!("person{n}@example.org") })).collect::<Vec<_>>();
    let invite = |people: Vec<serde_json::Value>| json!({ "organizationId": team.id, "invitations": people });

    let error = team.owner.refused("inviteMembers", invite(people(51))).await;
    assert_eq!(error.is(), ("TOO_MANY", "input.invitations"));
    let error = team.owner.refused("inviteMembers", invite(vec![])).await;
    assert_eq!(error.is(), ("BLANK", "input.invitations"));

    let mut bad = people(3);
    bad.push(json!({ "email": "not an address" }));
    bad.push(json!({ "email": "PERSON0@example.org" }));
    bad.push(json!({}));
    bad.push(json!({ "email": "a@example.org", "username": "a" }));
    bad.push(json!({ "email": "boss@example.org", "role": "OWNER" }));
    let errors = team.owner.refusals("inviteMembers", invite(bad)).await;
    let errors: Vec<_> = errors.iter().map(|error| error.is()).collect();
    let wanted = [
        ("INVALID", "input.invitations.3.email"),
        ("ALREADY_INVITED", "input.invitations.4.email"),
        ("BLANK", "input.invitations.5.email"),
        ("INVALID", "input.invitations.6.email"),
        ("FORBIDDEN", "input.invitations.7.role"),
    ];
    assert_eq!(errors, wanted);

    let mut member = people(2);
    member.push(json!({ "email": "ada@example.org" }));
    let error = team.owner.refused("inviteMembers", invite(member)).await;
    assert_eq!(error.is(), ("ALREADY_MEMBER", "input.invitations.2.email"));
    assert_eq!(app.database.number("SELECT count(*) AS value FROM invitations WHERE status = 'pending'").await, 0);

    let made = team.owner.ok("inviteMembers", invite(people(50)), "invitations { id email }").await;
    assert_eq!(made["invitations"].as_array().unwrap().len(), 50);
    for n in 0..50 {
        app.mail_to(&format!("person{n}@example.org")).await;
    }
    let error = team.owner.refused("inviteMembers", invite(people(1))).await;
    assert_eq!(error.is(), ("ALREADY_INVITED", "input.invitations.0.email"));
    app.finish().await;
}

// D10, R3, R9: who may invite as what.
#[tokio::test]
async fn only_the_owner_invites_admins_and_only_leaders_invite() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    let viewer = app.join(&team, "viewer@example.org", "VIEWER").await;
    let stranger = app.sign_up("eve@example.org").await;
    let invite = |role: &str| json!({ "organizationId": team.id, "invitations": [{ "email": "new@example.org", "role": role }] });
    let error = admin.refused("inviteMembers", invite("ADMIN")).await;
    assert_eq!(error.is(), ("FORBIDDEN", "input.invitations.0.role"));
    for person in [&member, &viewer] {
        let error = person.refused("inviteMembers", invite("MEMBER")).await;
        assert_eq!(error.is(), ("FORBIDDEN", "input.organizationId"));
    }
    let error = stranger.refused("inviteMembers", invite("MEMBER")).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.organizationId"));
    assert_eq!(app.anonymous().error_code("inviteMembers", invite("MEMBER")).await, "UNAUTHENTICATED");
    admin.ok("inviteMembers", invite("VIEWER"), "invitations { id }").await;
    // A plain member sees no invitations.
    let query = "query($id: ID!) { organization(by: { id: $id }) { invitations { nodes { id } } } }";
    assert!(member.query(query, json!({ "id": team.id })).await["organization"]["invitations"].is_null());
    app.finish().await;
}

// R23: resending kills the old link.
#[tokio::test]
async fn a_resend_makes_a_new_link_and_kills_the_old_one() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let id = team.invite("grace@example.org", "MEMBER").await;
    let first = app.mail_to("grace@example.org").await;
    team.owner.ok("resendInvitation", json!({ "id": id }), "invitation { id status }").await;
    let second = app.mail_to("grace@example.org").await;
    assert_ne!(first.token(), second.token());
    assert_ne!(first.message_id, second.message_id);
    let error = app.anonymous().refused("acceptInvitation", json!({ "token": first.token() })).await;
    assert_eq!(error.is(), ("REVOKED", "input.token"));
    app.anonymous().ok("acceptInvitation", json!({ "token": second.token() }), "member { id }").await;
    let error = team.owner.refused("resendInvitation", json!({ "id": id })).await;
    assert_eq!(error.is(), ("ALREADY_USED", "input.id"));
    app.finish().await;
}

// R23: revoked and declined ones can't be taken, and leave room for a new one.
#[tokio::test]
async fn a_revoked_or_declined_invitation_leaves_room_for_a_new_one() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let id = team.invite("grace@example.org", "MEMBER").await;
    let mail = app.mail_to("grace@example.org").await;
    let revoked = team.owner.ok("revokeInvitation", json!({ "id": id }), "invitation { status }").await;
    assert_eq!(revoked["invitation"]["status"], "REVOKED");
    let anonymous = app.anonymous();
    let error = anonymous.refused("acceptInvitation", json!({ "token": mail.token() })).await;
    assert_eq!(error.is(), ("REVOKED", "input.token"));
    let error = anonymous.refused("declineInvitation", json!({ "token": mail.token() })).await;
    assert_eq!(error.is(), ("REVOKED", "input.token"));
    let error = team.owner.refused("revokeInvitation", json!({ "id": id })).await;
    assert_eq!(error.is(), ("REVOKED", "input.id"));

    let id = team.invite("grace@example.org", "MEMBER").await;
    let mail = app.mail_to("grace@example.org").await;
    let declined = anonymous.ok("declineInvitation", json!({ "token": mail.token() }), "declined").await;
    assert_eq!(declined["declined"], true);
    assert_eq!(team.invitation(&id).await["status"], "DECLINED");
    let error = anonymous.refused("acceptInvitation", json!({ "token": mail.token() })).await;
    assert_eq!(error.is(), ("ALREADY_USED", "input.token"));

    team.invite("grace@example.org", "MEMBER").await;
    let mail = app.mail_to("grace@example.org").await;
    anonymous.ok("acceptInvitation", json!({ "token": mail.token() }), "member { id }").await;
    // Accepting a second time: nothing changes.
    let error = anonymous.refused("acceptInvitation", json!({ "token": mail.token() })).await;
    assert_eq!(error.is(), ("ALREADY_USED", "input.token"));
    assert_eq!(team.members("ACTIVE").await.len(), 2);
    app.finish().await;
}

// R23: seven days, to the moment, with or without a worker.
#[tokio::test]
async fn an_invitation_expires_without_a_worker_and_the_worker_marks_it() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let late = team.invite("late@example.org", "MEMBER").await;
    team.invite("grace@example.org", "MEMBER").await;
    let late_mail = app.mail_to("late@example.org").await;
    let mail = app.mail_to("grace@example.org").await;
    app.until_idle().await;
    app.stop_workers().await;

    app.shift_clock("7 days -1 minute").await;
    app.anonymous().ok("acceptInvitation", json!({ "token": mail.token() }), "member { id }").await;
    app.shift_clock("1 minute").await;
    let error = app.anonymous().refused("acceptInvitation", json!({ "token": late_mail.token() })).await;
    assert_eq!(error.is(), ("EXPIRED", "input.token"));
    assert_eq!(team.invitation(&late).await["status"], "EXPIRED");
    let preview = app.anonymous().query(PREVIEW, json!({ "token": late_mail.token() })).await;
    assert_eq!(preview["invitation"]["status"], "EXPIRED");
    let error = team.owner.refused("resendInvitation", json!({ "id": late })).await;
    assert_eq!(error.is(), ("EXPIRED", "input.id"));
    // There is room for a new one although no worker has run.
    team.invite("late@example.org", "MEMBER").await;
    let marked = "SELECT count(*) AS value FROM invitations WHERE status = 'expired'";
    assert_eq!(app.database.number(marked).await, 1);

    let alone = team.invite("alone@example.org", "MEMBER").await;
    app.shift_clock("7 days").await;
    app.start_worker();
    until("the worker marks it", async || (app.database.number(marked).await == 3).then_some(())).await;
    assert_eq!(team.invitation(&alone).await["status"], "EXPIRED");
    let expired = team.audit().await.iter().filter(|action| *action == "organization.invitation_expired").count();
    assert_eq!(expired, 3);
    app.finish().await;
}

// R25: someone else's session, a forwarded mail, an id that isn't one's own.
#[tokio::test]
async fn only_the_invited_person_takes_it() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    let grace = app.sign_up("grace@example.org").await;
    let id = team.invite("grace@example.org", "MEMBER").await;
    let mail = app.mail_about("grace@example.org", "invites you").await;
    let token = mail.token();
    let error = eve.refused("acceptInvitation", json!({ "token": token })).await;
    assert_eq!(error.is(), ("WRONG_EMAIL", "input.token"));
    let error = eve.refused("declineInvitation", json!({ "token": token })).await;
    assert_eq!(error.is(), ("WRONG_EMAIL", "input.token"));
    let error = eve.refused("acceptInvitation", json!({ "id": id })).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.id"));
    // The forwarded mail of someone who has an account signs nobody in.
    let anonymous = app.anonymous();
    assert_eq!(anonymous.error_code("acceptInvitation", json!({ "token": token })).await, "UNAUTHENTICATED");
    assert_eq!(anonymous.error_code("acceptInvitation", json!({ "id": id })).await, "UNAUTHENTICATED");
    let preview = anonymous.query(PREVIEW, json!({ "token": token })).await;
    assert_eq!(preview["invitation"]["accountExists"], true);
    for wrong in ["", "x", &token[1..], &format!("{token}A")] {
        let error = grace.refused("acceptInvitation", json!({ "token": wrong })).await;
        assert_eq!(error.is(), ("NOT_FOUND", "input.token"), "{wrong:?}");
        assert!(anonymous.query(PREVIEW, json!({ "token": wrong })).await["invitation"].is_null());
    }
    let member = grace.ok("acceptInvitation", json!({ "token": token }), "member { user { id } }").await;
    assert_eq!(member["member"]["user"]["id"], grace.user_id.as_str());
    assert_eq!(team.members("ACTIVE").await.len(), 2);
    app.finish().await;
}

// R19, R25: by username; the address stays the account's own.
#[tokio::test]
async fn an_account_is_invited_by_username_without_its_address_being_told() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let grace = app.sign_up("grace@example.org").await;
    grace.ok("updateProfile", json!({ "username": "Amazing-Grace" }), "viewer { email }").await;
    let invite = |username: &str| json!({ "organizationId": team.id, "invitations": [{ "username": username }] });
    let error = team.owner.refused("inviteMembers", invite("nobody-here")).await;
    assert_eq!(error.is(), ("NOT_FOUND", "input.invitations.0.username"));
    let made = team.owner.ok("inviteMembers", invite("AMAZING-GRACE"), "invitations { id email username }").await;
    let invitation = &made["invitations"][0];
    assert_eq!((&invitation["email"], &invitation["username"]), (&json!(null), &json!("amazing-grace")));
    app.mail_about("grace@example.org", "invites you").await;
    let error = team.owner.refused("inviteMembers", invite("amazing-grace")).await;
    assert_eq!(error.is(), ("ALREADY_INVITED", "input.invitations.0.username"));
    grace.ok("acceptInvitation", json!({ "id": invitation["id"] }), "member { id }").await;
    assert_eq!(team.members("ACTIVE").await.len(), 2);
    app.finish().await;
}

// R23: a day before it expires, once; not where it was answered, taken back, sent again or refused, and not with short
// ones.
#[tokio::test]
async fn an_open_invitation_is_reminded_of_a_day_before_it_expires() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    app.smtp.reply("refused@example.org", [crate::support::Reply::Recipient("550 no such user")]);
    let mut ids = std::collections::BTreeMap::new();
    for name in ["open", "accepted", "declined", "revoked", "resent", "refused"] {
        ids.insert(name, team.invite(&format!("{name}@example.org"), "MEMBER").await);
    }
    let token = async |name: &str| app.mail_to(&format!("{name}@example.org")).await.token();
    let first = token("open").await;
    app.anonymous().ok("acceptInvitation", json!({ "token": token("accepted").await }), "member { id }").await;
    app.anonymous().ok("declineInvitation", json!({ "token": token("declined").await }), "declined").await;
    team.owner.ok("revokeInvitation", json!({ "id": ids["revoked"] }), "").await;
    until("it is refused", async || (team.invitation(&ids["refused"]).await["delivery"] == "FAILED").then_some(()))
        .await;
    let forget =
        "WITH gone AS (DELETE FROM jobs WHERE status = 'given_up' RETURNING id) SELECT count(*) AS value FROM gone";
    until("its job is given up", async || (app.database.number(forget).await == 1).then_some(())).await;
    app.until_idle().await;
    app.shift_clock("5 days").await;
    app.mail_to("resent@example.org").await;
    team.owner.ok("resendInvitation", json!({ "id": ids["resent"] }), "").await;
    team.owner.ok("updateOrganizationPolicy", json!({ "organizationId": team.id, "invitationDays": 1 }), "").await;
    team.invite("short@example.org", "MEMBER").await;
    app.until_idle().await;
    let reminders = |app: &TestApp| {
        let reminders = app.smtp.mails().into_iter().filter(|mail| mail.subject.contains("expires soon"));
        reminders.map(|mail| mail.recipient).collect::<Vec<_>>()
    };
    assert!(reminders(&app).is_empty());
    app.shift_clock("1 day").await;
    app.until_idle().await;
    assert_eq!(reminders(&app), ["open@example.org"]);
    let reminder = app.mail_about("open@example.org", "Your invitation to Acme Genomics expires soon").await;
    assert!(reminder.text.contains("You received this email because"), "{}", reminder.text);
    assert_eq!(reminder.token(), first);
    // The newer mail has a reminder of its own.
    app.shift_clock("5 days").await;
    app.until_idle().await;
    assert_eq!(reminders(&app), ["open@example.org", "resent@example.org"]);
    app.finish().await;
}

// A reminder is one of the mails that an organization may send a minute, and is tried for a day from when it was due.
#[tokio::test]
async fn a_reminder_waits_for_its_turn_and_is_tried_for_a_day() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    team.invite("grace@example.org", "MEMBER").await;
    app.mail_to("grace@example.org").await;
    app.until_idle().await;
    app.stop_workers().await;
    app.shift_clock("6 days").await;
    let spent = format!(
        "INSERT INTO attempts VALUES ('organization_mail', '{}', rollcall_now() + interval '1 minute', 100)",
        team.id
    );
    app.database.sql("DELETE FROM attempts").await;
    app.database.sql(&spent).await;
    app.start_worker();
    let put_off = "SELECT count(*) AS value FROM jobs WHERE kind = 'mail_invitation_reminder' AND status = 'waiting' \
         AND attempt > 0 AND attempt = uncounted_attempts";
    until("it is put off", async || (app.database.number(put_off).await == 1).then_some(())).await;
    app.smtp.reply("grace@example.org", [crate::support::Reply::Recipient("451 not now")]);
    app.shift_clock("1 minute").await;
    app.mail_about("grace@example.org", "expires soon").await;
    app.finish().await;
}

// R16: the inviter hears of it, while they are a member.
#[tokio::test]
async fn the_inviter_hears_of_an_acceptance() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let mail = app.mail_about("owner@example.org", "accepted your invitation to Acme Genomics").await;
    assert!(mail.text.contains("You received this email because you invited them"), "{}", mail.text);
    assert!(mail.text.contains("Admin"), "{}", mail.text);
    let invite = |email: &str| json!({ "organizationId": team.id, "invitations": [{ "email": email }] });
    admin.ok("inviteMembers", invite("grace@example.org"), "invitations { id }").await;
    let token = app.mail_to("grace@example.org").await.token();
    app.anonymous().ok("acceptInvitation", json!({ "token": token, "name": "Grace Hopper" }), "member { id }").await;
    app.mail_about("admin@example.org", "Grace Hopper accepted your invitation").await;
    // Not once they are gone.
    admin.ok("inviteMembers", invite("alan@example.org"), "invitations { id }").await;
    let token = app.mail_to("alan@example.org").await.token();
    app.until_idle().await;
    app.stop_workers().await;
    app.anonymous().ok("acceptInvitation", json!({ "token": token }), "member { id }").await;
    admin.ok("leaveOrganization", json!({ "organizationId": team.id }), "").await;
    app.start_worker();
    app.until_idle().await;
    assert!(app.read_mail("admin@example.org", "accepted your invitation").is_none());
    app.finish().await;
}
