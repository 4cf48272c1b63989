//! The hourly sweeps: what lost jobs would have left behind is finished, and what nobody needs goes.

use std::collections::BTreeMap;

use crate::support::client::text;
use crate::support::people::uuid;
use crate::support::receiver::Receiver;
use crate::support::{Reply, TestApp, json, until};

/// Each of the sweeps has a schedule.
const SCHEDULES: i64 = 17;

/// The jobs of the sweeps, finished ones too.
const SWEEPS: &str = "SELECT count(*) AS value FROM jobs WHERE kind = 'sweep'";

/// Schedules that are to tick.
const BEHIND: &str = "SELECT count(*) AS value FROM job_schedules WHERE next_at <= job_clock()";

/// A worker that finds every hour come, and has done what belongs to it.
pub async fn sweep(app: &mut TestApp) {
    app.stop_workers().await;
    app.database.sql("UPDATE job_schedules SET next_at = job_clock()").await;
    assert_eq!(app.database.number(BEHIND).await, SCHEDULES);
    app.start_worker();
    swept(app).await;
}

async fn swept(app: &TestApp) {
    until("every schedule has ticked", async || (app.database.number(BEHIND).await == 0).then_some(())).await;
    app.until_idle().await;
}

// R23, R29, R76: a code and an invitation whose jobs were lost expire all the same: marked, audited, and once.
#[tokio::test]
async fn what_lost_jobs_left_expires_all_the_same() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let invitation = team.invite("grace@example.org", "MEMBER").await;
    app.mail_about("grace@example.org", "invites you").await;
    let selection = "codes { joinCode { id } }";
    let made = team.owner.ok("createJoinCodes", json!({ "organizationId": team.id }), selection).await;
    let code = text(&made["codes"][0]["joinCode"]["id"]);
    app.until_idle().await;
    app.stop_workers().await;
    app.database.sql("DELETE FROM jobs WHERE queue = 'expiry'").await;
    app.shift_clock("8 days").await;
    // Expired for everyone, but nobody has written it down.
    assert_eq!(team.invitation(&invitation).await["status"], "EXPIRED");
    let marked = "SELECT (SELECT count(*) FROM invitations WHERE status = 'expired') \
                  + (SELECT count(*) FROM join_codes WHERE status = 'expired') AS value";
    assert_eq!(app.database.number(marked).await, 0);
    let fresh = team.invite("later@example.org", "MEMBER").await;

    sweep(&mut app).await;
    assert_eq!(app.database.number(marked).await, 2);
    sweep(&mut app).await;
    let audit = team.audit().await;
    for action in ["organization.invitation_expired", "organization.join_code_expired"] {
        assert_eq!(audit.iter().filter(|found| *found == action).count(), 1, "{audit:?}");
    }
    assert_eq!(team.invitation(&fresh).await["status"], "PENDING");
    assert_eq!(team.join_code(&code).await["status"], "EXPIRED");
    app.finish().await;
}

// More than one transaction's worth.
#[tokio::test]
async fn sweeps_go_on_until_all_is_swept() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    for number in 0..24 {
        let input = json!({ "organizationId": team.id, "count": 50, "label": format!("class {number}") });
        team.owner.ok("createJoinCodes", input, "codes { code }").await;
    }
    app.until_idle().await;
    app.database.sql("DELETE FROM jobs WHERE queue = 'expiry'").await;
    app.database.sql("UPDATE join_codes SET expires_at = rollcall_now()").await;
    sweep(&mut app).await;
    let left = "SELECT count(*) AS value FROM join_codes WHERE status <> 'expired'";
    assert_eq!(app.database.number(left).await, 0);
    let events = "SELECT count(*) AS value FROM audit_events WHERE action = 'organization.join_code_expired'";
    assert_eq!(app.database.number(events).await, 1_200);
    app.finish().await;
}

#[tokio::test]
async fn what_nobody_needs_goes() {
    let mut app = TestApp::builder().local_webhooks().start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    let input = json!({ "organizationId": team.id, "url": receiver.url, "events": ["resource.created"] });
    team.owner.ok("createWebhook", input, "webhook { id }").await;
    team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    receiver.wait_for(1).await;
    app.until_idle().await;
    let counts = async |app: &TestApp| {
        let mut counts = Vec::new();
        for table in ["sessions", "sign_in_requests", "attempts", "webhook_deliveries"] {
            counts.push(app.database.number(&format!("SELECT count(*) AS value FROM {table}")).await);
        }
        counts.push(app.database.number("SELECT count(*) AS value FROM jobs WHERE kind = 'mail_sign_in'").await);
        counts
    };
    sweep(&mut app).await;
    // Nothing is older than it may be. The mail, its digits and the organization's name were tries of an account, a
    // client and the deployment each, and the mail one of the day.
    assert_eq!(counts(&app).await, [1, 1, 10, 1, 1]);
    app.shift_clock("6 days").await;
    sweep(&mut app).await;
    // The window of the tries was minutes.
    assert_eq!(counts(&app).await, [1, 1, 0, 1, 1]);
    app.shift_clock("2 days").await;
    sweep(&mut app).await;
    assert_eq!(counts(&app).await, [1, 0, 0, 1, 0]);
    assert!(team.owner.belongs_to(&team.id).await);
    // 30 days after its 30 days.
    app.shift_clock("51 days").await;
    sweep(&mut app).await;
    assert_eq!(counts(&app).await, [1, 0, 0, 0, 0]);
    app.shift_clock("2 days").await;
    sweep(&mut app).await;
    assert_eq!(counts(&app).await, [0, 0, 0, 0, 0]);
    app.finish().await;
}

// Addresses that were asked for, and those of deleted accounts whose mail was lost, are forgotten.
#[tokio::test]
async fn addresses_are_forgotten() {
    let mut app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let grace = app.sign_up("grace@example.org").await;
    ada.ok("changeEmail", json!({ "email": "countess@example.org" }), "").await;
    app.until_idle().await;
    app.stop_workers().await;
    grace.ok("deleteAccount", json!({ "confirmEmail": "grace@example.org" }), "").await;
    app.database.sql("DELETE FROM jobs WHERE kind = 'mail_account_deleted'").await;
    let counts = async |app: &TestApp| {
        let mut counts = Vec::new();
        for table in ["email_changes", "account_deletions"] {
            counts.push(app.database.number(&format!("SELECT count(*) AS value FROM {table}")).await);
        }
        counts
    };
    app.start_worker();
    sweep(&mut app).await;
    assert_eq!(counts(&app).await, [1, 1]);
    app.shift_clock("3 days").await;
    sweep(&mut app).await;
    assert_eq!(counts(&app).await, [1, 0]);
    app.shift_clock("5 days").await;
    sweep(&mut app).await;
    assert_eq!(counts(&app).await, [0, 0]);
    app.finish().await;
}

// R48: a deleted organization is kept for 30 days; then everything of it goes, but for its log.
#[tokio::test]
async fn a_deleted_organization_goes_for_good() {
    let app = TestApp::builder().local_webhooks().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net");
    let mut app = app.start().await;
    let team = app.team().await;
    let receiver = Receiver::start().await;
    let input = json!({ "organizationId": team.id, "url": receiver.url, "events": ["resource.created"] });
    let made = team.owner.ok("createWebhook", input, "webhook { id }").await;
    team.owner.ok("updateWebhook", json!({ "id": made["webhook"]["id"], "rotateSecret": true }), "").await;
    let ada = app.join(&team, "ada@example.org", "ADMIN").await;
    let grace = app.join(&team, "grace@example.org", "MEMBER").await;
    ada.create(&team.id, "PROJECT", "Liver atlas").await;
    receiver.wait_for(1).await;
    app.give(&team, &grace, "volume", 1_200).await;
    app.completed(&team, &team.remove(&grace).await).await;
    ada.queue(&team.id, "Align").await;
    ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    ada.ok("switchOrganization", json!({ "organizationId": team.id }), "viewer { email }").await;
    team.code("MEMBER").await;
    let lab = team.group("Lab", &[&ada]).await;
    let shelf = team.owner.create(&team.id, "WORKSPACE", "Shelf").await;
    let levels = json!([{ "resourceId": shelf, "level": "VIEW" }]);
    let invitation = json!({ "email": "later@example.org", "teamIds": [lab], "grants": levels });
    let input = json!({ "organizationId": team.id, "invitations": [invitation] });
    team.owner.ok("inviteMembers", input, "invitations { id }").await;
    let collection = team.owner.create(&team.id, "COLLECTION", "Livers").await;
    team.owner.grant(&collection, json!({ "teamId": lab }), "VIEW").await;
    let shared = json!({ "resourceId": collection, "grantee": { "email": "nobody@example.org" }, "level": "VIEW" });
    team.owner.ok("grantAccess", shared, "invited").await;
    team.owner.ok("createShareLink", json!({ "resourceId": collection }), "url").await;
    // What lies in something that lies in something.
    let workspace = team.owner.create(&team.id, "WORKSPACE", "Lab").await;
    let project = team.owner.create_in(&workspace, "PROJECT", "Lung atlas").await;
    let sample = json!({ "containerId": project, "kind": "SAMPLE", "name": "L-1", "sizeBytes": 7 });
    let sample = team.owner.ok("createResource", sample, "resource { id }").await;
    let input = json!({ "collectionId": collection, "resourceIds": [sample["resource"]["id"]] });
    team.owner.ok("addToCollection", input, "").await;
    let offer = json!({ "resourceId": project, "recipientId": ada.user_id });
    team.owner.ok("offerProjectTransfer", offer, "").await;
    let credits = json!({ "organizationId": team.id, "amount": "5", "idempotencyKey": "first" });
    app.staff().ok("addCredits", credits, "").await;
    let entry = json!({ "idempotencyKey": "first", "organizationId": team.id, "kind": "NETWORK_GB", "quantity": "1" });
    app.staff().ok("reportUsage", json!({ "entries": [entry] }), "").await;
    let limits = json!([{ "kind": "JOB", "limit": 9 }]);
    app.staff().ok("setPlan", json!({ "organizationId": team.id, "plan": "team", "runLimits": limits }), "").await;
    team.owner.ok("requestUpgrade", json!({ "organizationId": team.id }), "").await;
    let key = json!({ "name": "backend", "scopes": ["READ"], "organizationIds": [team.id] });
    app.staff().ok("createPlatformKey", key, "").await;
    // Somebody else's is left alone.
    let other = ada.found("Elsewhere").await;
    ada.create(&other, "PROJECT", "Heart atlas").await;
    app.until_idle().await;

    // Whatever refers to an organization as its own; what is forgotten here keeps the organization from going.
    let tables = "SELECT table_name::text AS value FROM information_schema.columns WHERE column_name = 'organization_id' \
         AND table_schema = 'public' AND table_name NOT LIKE 'audit%' ORDER BY 1";
    let tables = app.database.texts(tables).await;
    // And is found without reading everybody's: by an index of it, or of the few webhooks.
    let indexed = "SELECT DISTINCT i.indrelid::regclass::text AS value FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid \
         AND a.attnum = i.indkey[0] JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam \
         WHERE i.indpred IS NULL AND m.amname = 'btree' AND a.attname \
         = CASE WHEN i.indrelid::regclass::text IN ('webhook_deliveries', 'webhook_previous_secrets') THEN 'webhook_id' \
           ELSE 'organization_id' END";
    let indexed = app.database.texts(indexed).await;
    for table in &tables {
        assert!(indexed.contains(table), "{table} has no index that begins with its organization");
    }
    let rows = async |app: &TestApp, id: &str| {
        let mut counts = BTreeMap::new();
        for table in &tables {
            let count = format!("SELECT count(*) AS value FROM {table} WHERE organization_id = '{}'", uuid(id));
            counts.insert(table.clone(), app.database.number(&count).await);
        }
        counts
    };
    let (before, others) = (rows(&app, &team.id).await, rows(&app, &other).await);
    assert!(before.values().all(|count| *count > 0), "{before:?}");
    let input = json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" });
    team.owner.ok("deleteOrganization", input, "purgeAt").await;
    app.shift_clock("29 days 23 hours").await;
    sweep(&mut app).await;
    let counted = rows(&app, &team.id).await;
    assert_eq!((counted["members"], counted["resources"]), (before["members"], before["resources"]));
    app.shift_clock("1 hour").await;
    sweep(&mut app).await;
    assert!(rows(&app, &team.id).await.values().all(|count| *count == 0));
    let found = format!("SELECT count(*) AS value FROM organizations WHERE id = '{}'", uuid(&team.id));
    assert_eq!(app.database.number(&found).await, 0);
    let left = rows(&app, &other).await;
    assert_eq!((left["members"], left["resources"]), (others["members"], others["resources"]));
    let newest = format!(
        "SELECT action AS value FROM audit_events WHERE organization_id = '{}' ORDER BY sequence DESC LIMIT 1",
        uuid(&team.id)
    );
    assert_eq!(app.database.texts(&newest).await, ["organization.purged"]);
    let again = app.admin(&["verify-audit-log", &team.id]);
    assert!(again.status.success(), "{again:?}");
    app.finish().await;
}

// D5, R48: a deleted account's personal organization goes after its 30 days; what others have of the account stays.
#[tokio::test]
async fn a_deleted_accounts_personal_organization_goes_for_good() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let personal = ada.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let personal = text(&personal["viewer"]["personalOrganization"]["id"]);
    ada.create(&personal, "PROJECT", "At home").await;
    ada.ok("createApiKey", json!({ "organizationId": personal, "name": "laptop" }), "secret").await;
    ada.ok("deleteAccount", json!({ "confirmEmail": "ada@example.org" }), "").await;
    let rows = format!(
        "SELECT (SELECT count(*) FROM resources WHERE organization_id = '{0}') + (SELECT count(*) FROM organizations \
         WHERE id = '{0}') AS value",
        uuid(&personal)
    );
    app.until_idle().await;
    app.shift_clock("29 days 23 hours").await;
    sweep(&mut app).await;
    assert_eq!(app.database.number(&rows).await, 2);
    app.shift_clock("1 hour").await;
    sweep(&mut app).await;
    assert_eq!(app.database.number(&rows).await, 0);
    let owner = app.sign_up("owner@example.org").await;
    let query = "query($id: ID!) { node(id: $id) { ... on Resource { createdBy { id name } } } }";
    let seen = owner.query(query, json!({ "id": project })).await;
    assert_eq!(seen["node"]["createdBy"], json!({ "id": ada.user_id, "name": "Deleted account" }));
    let log = app.admin(&["verify-audit-log", &personal]);
    assert!(log.status.success(), "{log:?}");
    app.finish().await;
}

// Jobs that were given up stay for somebody to look at, however old they are.
#[tokio::test]
async fn given_up_jobs_are_not_swept() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    app.smtp.reply("nobody@example.org", [Reply::Recipient("550 no such user")]);
    team.invite("nobody@example.org", "MEMBER").await;
    let given_up = "SELECT count(*) AS value FROM jobs WHERE status = 'given_up'";
    until("it is given up", async || (app.database.number(given_up).await == 1).then_some(())).await;
    app.shift_clock("400 days").await;
    let pruned = "SELECT count(*) AS value FROM jobs WHERE kind = 'mail_sign_in'";
    until("finished jobs are swept", async || (app.database.number(pruned).await == 0).then_some(())).await;
    assert_eq!(app.database.number(given_up).await, 1);
    app.finish_with_given_up_jobs().await;
}

// However many workers run, and however many hours none did, each schedule ticks once on return.
#[tokio::test]
async fn ticks_missed_while_nobody_worked_run_once() {
    let mut app = TestApp::start().await;
    until("the schedules are known", async || {
        (app.database.number("SELECT count(*) AS value FROM job_schedules").await == SCHEDULES).then_some(())
    })
    .await;
    swept(&app).await;
    app.stop_workers().await;
    let before = app.database.number(SWEEPS).await;
    // To half past twelve, after a night and many hours, and far from the minutes at which they tick.
    let shift =
        "SELECT (date_trunc('day', rollcall_now()) + interval '36 hours 30 minutes' - rollcall_now())::text AS value";
    let shift = app.database.texts(shift).await.remove(0);
    app.shift_clock(&shift).await;
    assert_eq!(app.database.number(BEHIND).await, SCHEDULES);
    for _ in 0..3 {
        app.start_worker();
    }
    swept(&app).await;
    // A worker that ticked a second time would do so at once.
    app.stop_workers().await;
    assert_eq!(app.database.number(SWEEPS).await, before + SCHEDULES);
    app.finish().await;
}

// R75, R76: a mail and a webhook whose jobs were lost: the invitation says so, and the webhook goes on.
#[tokio::test]
async fn lost_jobs_of_mails_and_webhooks_leave_nothing_hanging() {
    let mut app = TestApp::builder().local_webhooks().start().await;
    let team = app.team().await;
    app.until_idle().await;
    app.stop_workers().await;
    let receiver = Receiver::start().await;
    let input = json!({ "organizationId": team.id, "url": receiver.url, "events": ["organization.member_invited"] });
    team.owner.ok("createWebhook", input, "webhook { id }").await;
    let lost = team.invite("grace@example.org", "MEMBER").await;
    app.database.sql("DELETE FROM jobs WHERE kind IN ('mail_invitation', 'deliver_webhook')").await;
    let week = json!({ "organizationId": team.id, "invitationDays": 30 });
    team.owner.ok("updateOrganizationPolicy", week, "").await;
    app.shift_clock("2 days").await;
    let fresh = team.invite("ada@example.org", "MEMBER").await;
    app.database.sql("DELETE FROM jobs WHERE kind = 'deliver_webhook'").await;
    app.start_worker();
    app.mail_about("ada@example.org", "invites you").await;
    sweep(&mut app).await;
    let seen = team.invitation(&lost).await;
    assert_eq!((&seen["status"], &seen["delivery"]), (&json!("PENDING"), &json!("FAILED")));
    assert!(text(&seen["deliveryError"]).contains("again"), "{seen}");
    assert_eq!(team.invitation(&fresh).await["delivery"], "SENT");
    receiver.wait_for(2).await;
    assert!(receiver.taken().is_sorted());
    // Sent again, it arrives.
    team.owner.ok("resendInvitation", json!({ "id": lost }), "").await;
    app.mail_about("grace@example.org", "invites you").await;
    app.finish().await;
}
