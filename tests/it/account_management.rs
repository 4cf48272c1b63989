//! What the platform's staff and services do with people's accounts: suspend them, lift that, end their sessions,
//! change their address, and delete them.

use futures_util::future::{join, join_all};

use crate::platform_key::{key, made};
use crate::support::client::{nodes, text};
use crate::support::follower::{EVENTS, Socket};
use crate::support::page::Visitor;
use crate::support::people::uuid;
use crate::support::receiver::Receiver;
use crate::support::{Client, Team, TestApp, Value, json, until};

const VIEWER: &str = "{ viewer { email } }";

fn named(person: &Client) -> Value {
    json!({ "user": { "id": person.user_id } })
}

/// Whether the token works.
async fn is_let_in(client: &Client) -> bool {
    let answer = client.run(VIEWER, json!({})).await;
    match answer.body.get("errors") {
        Some(_) => {
            assert_eq!(answer.error_code(), "UNAUTHENTICATED");
            false
        }
        None => true,
    }
}

/// The events of an account's own log with an action: the kind of actor, and the metadata.
async fn events(app: &TestApp, person: &Client, action: &str) -> Vec<Value> {
    let sql = format!(
        "SELECT jsonb_build_object('kind', e.actor_kind, 'metadata', e.metadata)::text AS value FROM audit_events e \
         JOIN organizations o ON o.id = e.organization_id WHERE o.personal_user_id = '{}' AND e.action = '{action}' \
         ORDER BY e.sequence",
        uuid(&person.user_id)
    );
    app.database.texts(&sql).await.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

/// A link to sign in.
async fn sign_in_link(app: &TestApp, email: &str) -> String {
    app.anonymous().ok("requestSignIn", json!({ "email": email }), "").await;
    app.mail_about(email, "sign in").await.token()
}

// R84, R1: a suspended account reaches nothing, by whatever way, and is given nothing; what it has stays. Lifted, the
// old sessions and keys work again. Twice is once.
#[tokio::test]
async fn a_suspended_account_reaches_nothing_until_that_is_lifted() {
    let app = TestApp::builder().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "ADMIN").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let api_key = ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    let api_key = app.client(&text(&api_key["secret"]));
    let personal = ada.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let personal = json!({ "organizationId": personal["viewer"]["personalOrganization"]["id"], "name": "home" });
    let own_service = ada.ok("createServiceKey", personal, "secret").await;
    let own_service = app.client(&text(&own_service["secret"]));
    let of_team = ada.ok("createServiceKey", json!({ "organizationId": team.id, "name": "CI" }), "secret").await;
    let of_team = app.client(&text(&of_team["secret"]));
    let for_ada = key(&app, &["ACT_FOR_USERS"]).await.on_behalf_of(&ada.user_id);
    let (other, eve) = {
        let eve = app.sign_up("eve@example.org").await;
        (Team { id: eve.found("Elsewhere").await, owner: eve.clone() }, eve)
    };
    let shared = eve.create(&other.id, "PROJECT", "Shared").await;
    eve.grant(&shared, json!({ "userId": ada.user_id }), "VIEW").await;
    let invitation = other.invite("ada@example.org", "MEMBER").await;
    let invited = app.mail_about("ada@example.org", "invites you").await;
    let mut socket = Socket::of(&app.url, &ada).await;
    socket.subscribe("1", EVENTS, json!({ "id": team.id })).await;
    app.until_idle().await;

    let staff = app.staff();
    let input = json!({ "user": { "email": " ADA@example.org" }, "reason": "Sends spam." });
    let suspended = staff.ok("suspendUser", input.clone(), "user { id suspendedAt }").await["user"].clone();
    assert_eq!(suspended["id"], ada.user_id.as_str());
    assert!(suspended["suspendedAt"].is_string());
    let mail = app.mail_about("ada@example.org", "account was suspended").await;
    assert!(mail.text.contains("You received this email because") && !mail.text.contains("spam"), "{}", mail.text);
    for client in [&ada, &api_key, &own_service, &for_ada] {
        assert!(!is_let_in(client).await);
    }
    // The organization's service key isn't hers.
    assert!(is_let_in(&of_team).await);
    assert_eq!(socket.rest("1").await.1.as_deref(), Some("UNAUTHENTICATED"));
    let access = "query($user: ID!, $ids: [ID!]!) { access(userId: $user, resourceIds: $ids) }";
    let levels =
        async || staff.query(access, json!({ "user": ada.user_id, "ids": [project, shared] })).await["access"].clone();
    assert_eq!(levels().await, json!(["NONE", "NONE"]));

    // No way in: whoever reads the address's mails is told, and the link stays good.
    let link = sign_in_link(&app, "ada@example.org").await;
    let refused = app.anonymous().refused("signIn", json!({ "token": link })).await;
    assert_eq!(refused.is(), ("SUSPENDED", "input.token"));
    assert!(refused.message.contains("support@example.net"), "{}", refused.message);
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&format!("{}/sign-in/{link}", app.url)).await;
    let form = page.forms().remove(0);
    let told = visitor.submit(&page, &form, &[]).await;
    assert!(told.text().contains("the platform has suspended this account"), "{}", told.html);
    assert_eq!(ada.error_code("acceptInvitation", json!({ "id": invitation })).await, "UNAUTHENTICATED");
    let by_token = json!({ "token": invited.token() });
    assert_eq!(app.anonymous().error_code("acceptInvitation", by_token).await, "UNAUTHENTICATED");

    // Nor does it get anything.
    let set = json!({ "organizationId": team.id, "userId": ada.user_id });
    let refused = staff.refused("setOrganizationOwner", set.clone()).await;
    assert_eq!(refused.is(), ("SUSPENDED", "input.userId"));
    assert!(refused.message.contains("only the platform"), "{}", refused.message);
    let transfer = json!({ "organizationId": team.id, "memberId": team.member_id(&ada).await,
        "confirmOrganizationName": "Acme Genomics", "confirmUsername": "ada" });
    assert_eq!(team.owner.refused("transferOwnership", transfer).await.is(), ("SUSPENDED", "input.memberId"));
    let founded = json!({ "name": "Hers", "ownerEmail": "ada@example.org" });
    assert_eq!(staff.refused("createOrganization", founded).await.is(), ("SUSPENDED", "input.ownerEmail"));
    let volume = json!({ "organization": { "id": team.id }, "resources": [
        { "kind": "VOLUME", "externalId": "v-1", "name": "Raw", "owner": { "email": "ada@example.org" } }] });
    let refused = key(&app, &["RESOURCES_WRITE"]).await.refused("upsertResources", volume).await;
    assert_eq!(refused.is(), ("SUSPENDED", "input.resources.0.owner.email"));

    // What it has stays.
    let owner = "query($id: ID!) { node(id: $id) { ... on Resource { owner { id } } } }";
    let owner = team.owner.query(owner, json!({ "id": project })).await;
    assert_eq!(owner["node"]["owner"]["id"], ada.user_id.as_str());
    assert!(team.members("ACTIVE").await.iter().any(|member| member["email"] == "ada@example.org"));

    // Again: nothing changes, and nobody is told.
    let again = staff.ok("suspendUser", input, "user { id suspendedAt }").await["user"].clone();
    assert_eq!(again, suspended);
    app.until_idle().await;
    assert_eq!(app.mails_about("ada@example.org", "suspended").len(), 1);
    assert_eq!(events(&app, &ada, "user.suspended").await.len(), 1);

    // Lifted.
    for _ in 0..2 {
        let by_username = json!({ "user": { "username": "ada" } });
        let lifted = staff.ok("unsuspendUser", by_username, "user { id suspendedAt }").await;
        assert_eq!(lifted["user"], json!({ "id": ada.user_id, "suspendedAt": null }));
    }
    app.mail_about("ada@example.org", "works again").await;
    for client in [&ada, &api_key, &own_service, &for_ada, &of_team] {
        assert!(is_let_in(client).await);
    }
    assert!(ada.belongs_to(&team.id).await && api_key.belongs_to(&team.id).await);
    assert_eq!(levels().await, json!(["ADMINISTER", "VIEW"]));
    app.anonymous().ok("signIn", json!({ "token": link }), "").await;
    ada.ok("acceptInvitation", json!({ "id": invitation }), "member { id }").await;
    app.until_idle().await;
    assert_eq!(app.mails_about("ada@example.org", "works again").len(), 1);
    assert_eq!(events(&app, &ada, "user.suspension_lifted").await.len(), 1);
    staff.ok("setOrganizationOwner", set, "").await;
    app.finish().await;
}

// R84, R85: staff, and keys with USERS_WRITE that reach all organizations; changing an address is for staff alone. Whom
// nobody is called is NOT_FOUND.
#[tokio::test]
async fn accounts_are_managed_by_staff_and_by_keys_for_them() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let writer = key(&app, &["USERS_WRITE", "READ"]).await;
    let (limited, _) =
        made(&app, json!({ "name": "one", "scopes": ["USERS_WRITE"], "organizationIds": [team.id] })).await;
    let others = key(&app, &["READ", "MEMBERS_WRITE", "ORGANIZATIONS_WRITE", "ACT_FOR_USERS"]).await;
    let for_owner = others.on_behalf_of(&team.owner.user_id);
    let for_keys = ["suspendUser", "unsuspendUser", "endUserSessions", "deleteUser"];
    let input = |mutation: &str, user: Value| match mutation {
        "changeUserEmail" => json!({ "user": user, "email": "countess@example.org" }),
        _ => json!({ "user": user }),
    };
    for mutation in for_keys.into_iter().chain(["changeUserEmail"]) {
        let of_ada = input(mutation, json!({ "id": ada.user_id }));
        for client in [&ada, &team.owner, &limited, &others, &for_owner] {
            assert_eq!(client.refused(mutation, of_ada.clone()).await.is(), ("FORBIDDEN", "input.user"), "{mutation}");
        }
        for (user, field) in [
            (json!({ "id": "usr_01h455vb4pex5vsknk084sn02q" }), "input.user.id"),
            (json!({ "externalId": "p-404" }), "input.user.externalId"),
            (json!({ "email": "nobody@example.org" }), "input.user.email"),
            (json!({ "email": "no address" }), "input.user.email"),
            (json!({ "username": "nobody" }), "input.user.username"),
        ] {
            assert_eq!(app.staff().refused(mutation, input(mutation, user)).await.is(), ("NOT_FOUND", field));
        }
        for user in [json!({}), json!({ "id": ada.user_id, "username": "ada" }), json!({ "id": team.id })] {
            assert_eq!(app.staff().error_code(mutation, input(mutation, user)).await, "BAD_REQUEST");
        }
    }
    let refused = others.refused("suspendUser", named(&ada)).await;
    assert!(refused.message.contains("USERS_WRITE"), "{}", refused.message);
    let refused = writer.refused("changeUserEmail", input("changeUserEmail", json!({ "id": ada.user_id }))).await;
    assert_eq!(refused.is(), ("FORBIDDEN", "input.user"));
    let long = json!({ "user": { "id": ada.user_id }, "reason": "x".repeat(2_001) });
    for mutation in ["suspendUser", "deleteUser"] {
        assert_eq!(writer.refused(mutation, long.clone()).await.is(), ("TOO_LONG", "input.reason"));
    }
    assert!(is_let_in(&ada).await);

    // A key does it all by the platform's own id, and the log names it.
    let users = json!({ "users": [{ "externalId": "p-1", "email": "ada@example.org", "emailVerified": true }] });
    writer.ok("upsertUsers", users, "").await;
    let by_id = json!({ "user": { "externalId": "p-1" }, "reason": "Asked ada@example.org twice." });
    writer.ok("suspendUser", by_id.clone(), "").await;
    let kept = events(&app, &ada, "user.suspended").await;
    assert_eq!(kept[0]["kind"], "platform");
    assert_eq!(kept[0]["metadata"]["platformKey"], "backend");
    assert_eq!(kept[0]["metadata"]["subject"], ada.user_id.as_str());
    assert_eq!(kept[0]["metadata"]["reason"], "Asked [address] twice.");
    writer.ok("unsuspendUser", json!({ "user": { "externalId": "p-1" } }), "").await;
    // A key without READ learns the account's id alone.
    let blind = key(&app, &["USERS_WRITE"]).await;
    let seen = blind.ok("suspendUser", by_id.clone(), "user { id name suspendedAt }").await;
    assert_eq!(seen["user"], json!({ "id": ada.user_id, "name": "account", "suspendedAt": null }));
    writer.ok("unsuspendUser", json!({ "user": { "externalId": "p-1" } }), "").await;
    // Why is for the platform: staff and readers of the feed see it, and the person doesn't.
    let log = "{ viewer { personalOrganization { auditLog(first: 100, action: \"user.suspended\") { nodes { actorKind metadata } } } } }";
    let log = ada.query(log, json!({})).await;
    let shown = &nodes(&log["viewer"]["personalOrganization"]["auditLog"])[0];
    assert_eq!((&shown["actorKind"], &shown["metadata"]["reason"]), (&json!("PLATFORM"), &json!(null)));
    assert!(!log.to_string().contains("twice"), "{log}");
    let feed = "{ events(first: 1000, actions: [\"user.suspended\"]) { nodes { subject { id } metadata } } }";
    for reader in [&app.staff(), &key(&app, &["EVENTS_READ"]).await] {
        // The feed shows what is older than every transaction that is still running.
        let told = until("the feed shows it", async || {
            let told = reader.query(feed, json!({})).await;
            nodes(&told["events"]).first().cloned()
        })
        .await;
        assert_eq!(told["metadata"]["reason"], "Asked [address] twice.");
        assert_eq!(told["subject"]["id"], ada.user_id.as_str());
    }
    app.finish().await;
}

// R84: where staff say so, no mail tells anything of the account until the suspension is over.
#[tokio::test]
async fn a_silent_suspension_is_told_by_no_mail() {
    let app = TestApp::builder().local_webhooks().start().await;
    let ada = app.sign_up("ada@example.org").await;
    let eve = app.sign_up("eve@example.org").await;
    let receiver = Receiver::start().await;
    let personal = ada.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let personal = text(&personal["viewer"]["personalOrganization"]["id"]);
    let webhook = json!({ "organizationId": personal, "url": receiver.url, "events": ["*"] });
    ada.ok("createWebhook", webhook, "webhook { id }").await;
    app.until_idle().await;
    let before = receiver.arrivals().len();
    let mails = app.smtp.mails().len();
    for person in [&ada, &eve] {
        let silent = json!({ "user": { "id": person.user_id }, "notify": false });
        app.staff().ok("suspendUser", silent, "").await;
        // Telling is for the first time.
        app.staff().ok("suspendUser", named(person), "").await;
        assert_eq!(app.staff().ok("endUserSessions", named(person), "ended").await["ended"], 1);
    }
    app.until_idle().await;
    // Their own webhook rests, too.
    assert_eq!(receiver.arrivals().len(), before);
    app.staff().ok("unsuspendUser", named(&ada), "").await;
    app.staff().ok("deleteUser", named(&eve), "").await;
    app.until_idle().await;
    assert_eq!(app.smtp.mails().len(), mails);
    receiver.wait_for(before + 3).await;
    let bodies: Vec<String> = receiver.arrivals().into_iter().skip(before).map(|arrival| arrival.body).collect();
    for action in ["user.suspended", "user.signed_out", "user.suspension_lifted"] {
        assert!(bodies.iter().any(|body| body.contains(action)), "{action}: {bodies:?}");
    }
    // The session was ended; the account is there.
    assert!(!is_let_in(&ada).await);
    assert_eq!(app.sign_up("ada@example.org").await.user_id, ada.user_id);
    app.finish().await;
}

// R84: everywhere and at once; keys stay.
#[tokio::test]
async fn all_sessions_of_an_account_are_ended() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let phone = app.sign_up("ada@example.org").await;
    let api_key = ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    let api_key = app.client(&text(&api_key["secret"]));
    let mut socket = Socket::of(&app.url, &team.owner).await;
    socket.subscribe("1", EVENTS, json!({ "id": team.id })).await;
    assert_eq!(app.staff().ok("endUserSessions", named(&ada), "ended").await["ended"], 2);
    assert!(!is_let_in(&ada).await && !is_let_in(&phone).await);
    assert!(is_let_in(&api_key).await && is_let_in(&team.owner).await);
    let mail = app.mail_about("ada@example.org", "signed out").await;
    assert!(mail.text.contains("on every device"), "{}", mail.text);
    assert_eq!(app.staff().ok("endUserSessions", named(&ada), "ended").await["ended"], 0);
    let kept = events(&app, &ada, "user.signed_out").await;
    assert_eq!((kept.len(), &kept[0]["kind"], &kept[0]["metadata"]["staff"]), (1, &json!("staff"), &json!("ops")));
    assert_eq!(kept[0]["metadata"]["sessionIds"].as_array().unwrap().len(), 2);
    assert_eq!(app.sign_up("ada@example.org").await.user_id, ada.user_id);
    // What an owner follows ends with their session.
    app.staff().ok("endUserSessions", named(&team.owner), "ended").await;
    assert_eq!(socket.rest("1").await.1.as_deref(), Some("UNAUTHENTICATED"));
    app.finish().await;
}

// R84, R24: both addresses are told, what was under way to the old one ends, and what waits for the new one is given.
#[tokio::test]
async fn staff_give_an_account_another_address() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let (eve, staff) = (app.sign_up("eve@example.org").await, app.staff());
    let elsewhere = Team { id: eve.found("Elsewhere").await, owner: eve.clone() };
    let shared = eve.create(&elsewhere.id, "PROJECT", "Shared").await;
    let share = json!({ "resourceId": shared, "grantee": { "email": "countess@example.org" }, "level": "VIEW" });
    eve.ok("grantAccess", share, "").await;
    let pointless = team.invite("countess@example.org", "MEMBER").await;
    let kept = elsewhere.invite("countess@example.org", "MEMBER").await;
    let link = sign_in_link(&app, "ada@example.org").await;
    ada.ok("changeEmail", json!({ "email": "thief@example.org" }), "").await;
    let change = app.mail_about("thief@example.org", "Confirm").await.token();
    app.until_idle().await;

    let to = |email: &str| json!({ "user": { "id": ada.user_id }, "email": email });
    assert_eq!(staff.refused("changeUserEmail", to("eve@example.org")).await.is(), ("EMAIL_TAKEN", "input.email"));
    assert_eq!(staff.refused("changeUserEmail", to("nowhere")).await.is(), ("INVALID", "input.email"));
    staff.ok("changeUserEmail", to("Ada@Example.org "), "user { id }").await;
    assert!(events(&app, &ada, "user.email_changed").await.is_empty());

    let changed = staff.ok("changeUserEmail", to(" Countess@Example.org"), "user { id }").await;
    assert_eq!(changed["user"]["id"], ada.user_id.as_str());
    for address in ["ada@example.org", "countess@example.org"] {
        let mail = app.mail_about(address, "email address was changed").await;
        assert!(mail.text.contains("The platform's staff"), "{}", mail.text);
        assert!(mail.text.contains("countess@example.org"), "{}", mail.text);
    }
    // The sessions go on, with the new address.
    assert_eq!(ada.query(VIEWER, json!({})).await["viewer"]["email"], "countess@example.org");
    let refused = app.anonymous().refused("signIn", json!({ "token": link })).await;
    assert_eq!(refused.is(), ("ALREADY_USED", "input.token"));
    let refused = app.anonymous().refused("confirmEmailChange", json!({ "token": change })).await;
    assert_eq!(refused.is(), ("REVOKED", "input.token"));
    assert_eq!(
        ada.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": shared })).await["node"]["id"],
        shared.as_str()
    );
    assert_eq!(team.invitation(&pointless).await["status"], "REVOKED");
    assert_eq!(elsewhere.invitation(&kept).await["status"], "PENDING");
    ada.ok("acceptInvitation", json!({ "id": kept }), "member { id }").await;
    let kept = events(&app, &ada, "user.email_changed").await;
    assert_eq!((kept.len(), &kept[0]["kind"]), (1, &json!("staff")));
    assert_eq!(app.sign_up("countess@example.org").await.user_id, ada.user_id);
    // The old address is anybody's.
    assert_ne!(app.sign_up("ada@example.org").await.user_id, ada.user_id);
    // A suspended account gets it too, and stays suspended.
    staff.ok("suspendUser", named(&ada), "").await;
    staff.ok("changeUserEmail", to("lovelace@example.org"), "").await;
    let link = sign_in_link(&app, "lovelace@example.org").await;
    assert_eq!(app.anonymous().refused("signIn", json!({ "token": link })).await.code, "SUSPENDED");
    app.finish().await;
}

// R84, R40, R34: like the end of an account by its person; refused while it owns organizations.
#[tokio::test]
async fn an_account_is_deleted_by_the_platform() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (staff, owner) = (app.staff(), &team.owner);
    let heir = app.join(&team, "heir@example.org", "ADMIN").await;
    let project = owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let api_key = owner.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    let api_key = app.client(&text(&api_key["secret"]));
    // Suspended or not.
    staff.ok("suspendUser", named(owner), "").await;
    app.mail_about("owner@example.org", "suspended").await;
    let delete = json!({ "user": { "email": "owner@example.org" }, "reason": "Asked for by mail." });
    let refused = staff.refused("deleteUser", delete.clone()).await;
    assert_eq!(refused.is(), ("OWNER_MUST_STAY", "input.user"));
    assert!(refused.message.contains("Acme Genomics"), "{}", refused.message);
    staff.ok("setOrganizationOwner", json!({ "organizationId": team.id, "userId": heir.user_id }), "").await;
    let deleted = key(&app, &["USERS_WRITE"]).await.ok("deleteUser", delete.clone(), "deletedUserId").await;
    assert_eq!(deleted["deletedUserId"], owner.user_id.as_str());
    assert_eq!(staff.refused("deleteUser", delete).await.is(), ("NOT_FOUND", "input.user.email"));
    let mail = app.mail_about("owner@example.org", "account was deleted").await;
    assert!(mail.text.contains("The platform deleted your account"), "{}", mail.text);
    assert!(!is_let_in(owner).await && !is_let_in(&api_key).await);
    app.until_idle().await;
    let query = "query($id: ID!) { node(id: $id) { ... on Resource { owner { id } createdBy { name } } } }";
    let seen = heir.query(query, json!({ "id": project })).await["node"].clone();
    assert_eq!((&seen["owner"]["id"], &seen["createdBy"]["name"]), (&json!(heir.user_id), &json!("Deleted account")));
    let kept = events(&app, owner, "user.deleted").await;
    assert_eq!((kept.len(), &kept[0]["kind"]), (1, &json!("platform")));
    assert_eq!(kept[0]["metadata"]["reason"], "Asked for by mail.");
    assert_eq!(kept[0]["metadata"]["organizationIds"], json!([team.id]));
    let left = format!(
        "SELECT actor_kind AS value FROM audit_events WHERE organization_id = '{}' AND action = 'organization.member_left'",
        uuid(&team.id)
    );
    assert_eq!(app.database.texts(&left).await, ["platform"]);
    assert_ne!(app.sign_up("owner@example.org").await.user_id, owner.user_id);
    app.finish().await;
}

// R84, R34: the organization of a suspended owner goes on with its admins, and work passes on to the owner; the
// platform gives it to somebody else.
#[tokio::test]
async fn an_organization_goes_on_while_its_owner_is_suspended() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let member = app.join(&team, "member@example.org", "MEMBER").await;
    let project = member.create(&team.id, "PROJECT", "Liver atlas").await;
    app.staff().ok("suspendUser", named(&team.owner), "").await;
    let invite = json!({ "organizationId": team.id, "invitations": [{ "email": "new@example.org" }] });
    admin.ok("inviteMembers", invite, "").await;
    member.ok("leaveOrganization", json!({ "organizationId": team.id }), "").await;
    app.until_idle().await;
    let owner = "query($id: ID!) { node(id: $id) { ... on Resource { owner { id } } } }";
    let owner_of = async || text(&admin.query(owner, json!({ "id": project })).await["node"]["owner"]["id"]);
    assert_eq!(owner_of().await, team.owner.user_id);
    let set = json!({ "organizationId": team.id, "userId": admin.user_id });
    app.staff().ok("setOrganizationOwner", set, "").await;
    admin
        .ok(
            "removeMember",
            json!({ "memberId": Team { id: team.id.clone(), owner: admin.clone() }.member_id(&team.owner).await }),
            "",
        )
        .await;
    app.until_idle().await;
    assert_eq!(owner_of().await, admin.user_id);
    app.finish().await;
}

// R84, D6: the platform's suspension outlasts what an organization does, and lifts what one has done.
#[tokio::test]
async fn no_organization_lifts_what_the_platform_has_suspended() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let (founder, staff) = (app.sign_up("founder@example.org").await, app.staff());
    let other = Team { id: founder.found("Elsewhere").await, owner: founder };
    let join = async |email: &str| {
        team.invite(email, "MEMBER").await;
        let token = app.mail_about(email, "invites you").await.token();
        let made = app.anonymous().ok("acceptInvitation", json!({ "token": token }), "member { id user { id } }").await;
        let user = json!({ "user": { "id": made["member"]["user"]["id"] } });
        (json!({ "memberId": made["member"]["id"] }), user)
    };
    let shown = "query($by: UserRef!) { user(by: $by) { suspendedAt } }";
    let is_suspended =
        async |user: &Value| !staff.query(shown, json!({ "by": user["user"] })).await["user"]["suspendedAt"].is_null();
    // Deactivated by the organization that made it, then suspended by the platform: no invitation lets it in.
    let (grace, user) = join("grace@example.org").await;
    team.owner.ok("deactivateMember", grace.clone(), "").await;
    assert!(is_suspended(&user).await);
    staff.ok("suspendUser", user.clone(), "").await;
    other.invite("grace@example.org", "MEMBER").await;
    let link = sign_in_link(&app, "grace@example.org").await;
    assert_eq!(app.anonymous().refused("signIn", json!({ "token": link })).await.code, "SUSPENDED");
    team.owner.ok("reactivateMember", grace, "").await;
    assert!(is_suspended(&user).await);
    staff.ok("unsuspendUser", user.clone(), "").await;
    assert!(!is_suspended(&user).await);
    app.anonymous().ok("signIn", json!({ "token": link }), "").await;
    // The other way around.
    let (alan, user) = join("alan@example.org").await;
    staff.ok("suspendUser", user.clone(), "").await;
    team.owner.ok("deactivateMember", alan, "").await;
    staff.ok("unsuspendUser", user.clone(), "").await;
    assert!(!is_suspended(&user).await);
    // By the organization alone.
    let (kurt, user) = join("kurt@example.org").await;
    team.owner.ok("deactivateMember", kurt, "").await;
    assert!(is_suspended(&user).await);
    staff.ok("unsuspendUser", user.clone(), "").await;
    assert!(!is_suspended(&user).await);
    app.sign_up("kurt@example.org").await;
    app.finish().await;
}

// R84: what a suspended person shared rests as well: nobody takes it up, their links show nothing, until it is lifted.
#[tokio::test]
async fn what_a_suspended_person_shared_rests() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "ADMIN").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let share = json!({ "resourceId": project, "grantee": { "email": "eve@example.org" }, "level": "VIEW" });
    ada.ok("grantAccess", share, "").await;
    let collection = ada.create(&team.id, "COLLECTION", "Best of").await;
    let link = text(&ada.ok("createShareLink", json!({ "resourceId": collection }), "url").await["url"]);
    let visitor = Visitor::new(&app.url);
    assert_eq!(visitor.get(&link).await.status, 200);
    app.staff().ok("suspendUser", named(&ada), "").await;
    assert_ne!(visitor.get(&link).await.status, 200);
    let eve = app.sign_up("eve@example.org").await;
    let reaches = async || {
        let seen = eve.query("query($id: ID!) { node(id: $id) { id } }", json!({ "id": project })).await;
        seen["node"]["id"].is_string()
    };
    assert!(!reaches().await);
    app.staff().ok("unsuspendUser", named(&ada), "").await;
    assert_eq!(visitor.get(&link).await.status, 200);
    app.sign_up("eve@example.org").await;
    assert!(reaches().await);
    app.finish().await;
}

// R84: suspended while signing in, at once: whichever comes first, nobody is in.
#[tokio::test]
async fn nobody_signs_in_while_being_suspended() {
    let app = TestApp::start().await;
    let people = app.sign_up_many(16).await;
    let mut links = Vec::new();
    for person in &people {
        links.push(sign_in_link(&app, &person.email).await);
    }
    let (staff, anonymous): (Vec<Client>, Vec<Client>) = people.iter().map(|_| (app.staff(), app.anonymous())).unzip();
    join_all(staff.iter().chain(&anonymous).map(|client| client.run("{ __typename }", json!({})))).await;
    let suspending =
        join_all(staff.iter().zip(&people).map(|(staff, person)| staff.mutate("suspendUser", named(person), "")));
    let signing_in = join_all(
        anonymous
            .iter()
            .zip(&links)
            .map(|(client, link)| client.mutate("signIn", json!({ "token": link }), "sessionToken")),
    );
    let (suspended, signed_in) = join(suspending, signing_in).await;
    assert!(suspended.iter().all(|answer| answer.user_errors("suspendUser").is_empty()));
    let mut sessions = Vec::new();
    for answer in &signed_in {
        match answer.user_errors("signIn").first() {
            Some(error) => assert_eq!(error.is(), ("SUSPENDED", "input.token")),
            None => sessions.push(app.client(&text(&answer.data()["signIn"]["sessionToken"]))),
        }
    }
    for client in people.iter().chain(&sessions) {
        assert!(!is_let_in(client).await);
    }
    for person in &people {
        app.staff().ok("unsuspendUser", named(person), "").await;
    }
    for client in people.iter().chain(&sessions) {
        assert!(is_let_in(client).await);
    }
    app.finish().await;
}

// R84: suspended while accepting an invitation, at once: a member or not, nobody is in until it is lifted.
#[tokio::test]
async fn an_invitation_that_is_accepted_meanwhile_lifts_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let people = app.sign_up_many(16).await;
    let mut invitations = Vec::new();
    for person in &people {
        invitations.push(team.invite(&person.email, "MEMBER").await);
        app.forget_mails().await;
    }
    let staff: Vec<Client> = people.iter().map(|_| app.staff()).collect();
    join_all(staff.iter().chain(&people).map(|client| client.run("{ __typename }", json!({})))).await;
    let suspending =
        join_all(staff.iter().zip(&people).map(|(staff, person)| staff.mutate("suspendUser", named(person), "")));
    let accepting = join_all(
        people
            .iter()
            .zip(&invitations)
            .map(|(person, id)| person.mutate("acceptInvitation", json!({ "id": id }), "member { id }")),
    );
    let (suspended, accepted) = join(suspending, accepting).await;
    assert!(suspended.iter().all(|answer| answer.user_errors("suspendUser").is_empty()));
    let members = team.members("ACTIVE").await;
    for (person, answer) in people.iter().zip(&accepted) {
        let is_member = members.iter().any(|member| member["user"]["id"] == person.user_id.as_str());
        let code = match answer.body.get("errors") {
            Some(_) => Some(answer.error_code()),
            None => answer.user_errors("acceptInvitation").first().map(|error| error.code.clone()),
        };
        match code.as_deref() {
            None => assert!(is_member),
            Some("SUSPENDED" | "UNAUTHENTICATED") => assert!(!is_member),
            other => panic!("{other:?}"),
        }
        assert!(!is_let_in(person).await);
    }
    let suspended = "SELECT count(*) AS value FROM users WHERE platform_suspension = 'told'";
    assert_eq!(app.database.number(suspended).await, 16);
    app.finish().await;
}

// R84, D2: deleted while an organization is handed to them, at once: no organization is ever a deleted account's.
#[tokio::test]
async fn nobody_is_deleted_who_just_becomes_an_owner() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let staff = [app.staff(), app.staff()];
    join_all(staff.iter().chain([&team.owner]).map(|client| client.run("{ __typename }", json!({})))).await;
    for round in 0..8 {
        let heir = app.join(&team, &format!("heir{round}@example.org"), "ADMIN").await;
        let transfer = team.transfer_to(&heir).await;
        let set = json!({ "organizationId": team.id, "userId": heir.user_id });
        let handing_over = async {
            match round % 2 {
                0 => team.owner.mutate("transferOwnership", transfer, "").await.user_errors("transferOwnership"),
                _ => staff[0].mutate("setOrganizationOwner", set, "").await.user_errors("setOrganizationOwner"),
            }
        };
        let (handed, deleted) = join(handing_over, staff[1].mutate("deleteUser", named(&heir), "")).await;
        match (handed.first(), deleted.user_errors("deleteUser").first()) {
            (None, Some(error)) => {
                assert_eq!(error.is(), ("OWNER_MUST_STAY", "input.user"));
                let back = json!({ "organizationId": team.id, "userId": team.owner.user_id });
                app.staff().ok("setOrganizationOwner", back, "").await;
            }
            (Some(error), None) => {
                let codes = ["NOT_FOUND", "NOT_AN_ADMIN", "CONFLICT", "CONFIRMATION_MISMATCH"];
                assert!(codes.contains(&error.code.as_str()), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
        app.until_idle().await;
    }
    app.finish().await;
}

// R84: from the command line too, by address, username, id or the platform's own id.
#[tokio::test]
async fn accounts_are_managed_on_the_command_line() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let users = json!({ "users": [{ "externalId": "p-1", "email": "ada@example.org", "emailVerified": true }] });
    key(&app, &["USERS_WRITE"]).await.ok("upsertUsers", users, "").await;
    // The commands take so long that the API may close idle connections meanwhile; twins have new ones.
    let run = |arguments: &[&str]| {
        let out = app.admin(&[&["users"][..], arguments].concat());
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let refused = |arguments: &[&str]| {
        let out = app.admin(&[&["users"][..], arguments].concat());
        assert!(!out.status.success(), "{arguments:?}");
        String::from_utf8(out.stderr).unwrap()
    };
    for account in ["ada@example.org", "ADA@example.org", "ada", ada.user_id.as_str(), "external:p-1"] {
        let found = run(&["find", account]);
        for shown in
            [ada.user_id.as_str(), "ada@example.org", "p-1", "suspended    -", team.id.as_str(), "Acme Genomics"]
        {
            assert!(found.contains(shown), "{account}: {shown}: {found}");
        }
    }
    for account in ["nobody@example.org", "nobody", "usr_01h455vb4pex5vsknk084sn02q", "external:p-2"] {
        assert!(refused(&["find", account]).contains("no such account"));
        assert!(refused(&["suspend", account]).contains("no such account"));
    }
    assert!(refused(&["find", "usr_x"]).contains("no account's ID"));
    assert!(run(&["suspend", "ada", "--reason", "Sends spam."]).contains("is suspended"));
    assert!(!is_let_in(&ada.twin()).await);
    assert!(!run(&["find", "ada"]).contains("suspended    -"));
    let kept = events(&app, &ada, "user.suspended").await;
    assert_eq!(kept[0]["metadata"]["reason"], "Sends spam.");
    assert!(kept[0]["metadata"]["staff"].as_str().unwrap().starts_with("command line ("), "{kept:?}");
    run(&["unsuspend", "external:p-1"]);
    assert!(is_let_in(&ada.twin()).await);
    assert_eq!(run(&["end-sessions", "ada@example.org"]), "1 session(s) ended\n");
    assert!(!is_let_in(&ada.twin()).await);
    assert!(refused(&["change-email", "ada", "--email", "owner@example.org"]).contains("another account"));
    assert!(run(&["change-email", "ada", "--email", "Countess@example.org"]).contains("countess@example.org"));
    run(&["suspend", &ada.user_id, "--silent"]);
    assert!(refused(&["delete", "owner@example.org"]).contains("Acme Genomics"));
    assert!(run(&["delete", &ada.user_id, "--reason", "Over."]).contains("was deleted"));
    assert!(refused(&["find", &ada.user_id]).contains("no such account"));
    app.until_idle().await;
    assert!(app.mails_about("countess@example.org", "deleted").is_empty());
    app.finish().await;
}
