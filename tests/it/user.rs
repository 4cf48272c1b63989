//! What an account says of itself: who pays for its new things.

use crate::support::client::text;
use crate::support::people::uuid;
use crate::support::{Client, TestApp, Value, json};

const BILLING: &str =
    "{ viewer { defaultBillTo { id } billableOrganizations { id personal } personalOrganization { id } } }";

async fn billing(person: &Client) -> Value {
    person.query(BILLING, json!({})).await["viewer"].clone()
}

fn ids(viewer: &Value) -> Vec<String> {
    viewer["billableOrganizations"].as_array().unwrap().iter().map(|organization| text(&organization["id"])).collect()
}

// R55: a list without pages has an end, and the same number of statements however many there are.
#[tokio::test]
async fn whoever_may_bill_to_many_organizations_sees_the_first_by_name() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.org").await;
    let insert = format!(
        "WITH o AS (INSERT INTO organizations (id, name, created_at) \
           SELECT gen_random_uuid(), CASE n % 2 WHEN 0 THEN 'lab ' ELSE 'Lab ' END || to_char(1000 - n, 'FM0000'), rollcall_now() \
           FROM generate_series(1, 400) n RETURNING id, name) \
         INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, joined_at, \
           joined_via) SELECT gen_random_uuid(), o.id, p.id, p.role, 'active', p.bills, true, 'administer', rollcall_now(), p.how \
         FROM o, LATERAL (VALUES \
           ('{}'::uuid, (ARRAY['owner', 'admin', 'member', 'member', 'viewer'])[1 + right(name, 1)::int % 5], \
             right(name, 1)::int % 5 <> 3, 'founder'), \
           ('{}', CASE right(name, 1)::int % 5 WHEN 0 THEN 'member' ELSE 'owner' END, true, 'founder')) AS p (id, role, bills, how)",
        uuid(&ada.user_id),
        uuid(&app.sign_up("eve@example.org").await.user_id)
    );
    app.database.sql(&insert).await;
    let names = async || {
        let seen = ada.query("{ viewer { billableOrganizations { name personal } } }", json!({})).await;
        let seen = seen["viewer"]["billableOrganizations"].as_array().unwrap().clone();
        assert_eq!(seen[0]["personal"], true);
        seen[1..].iter().map(|organization| text(&organization["name"])).collect::<Vec<_>>()
    };
    // Of ten numbers six: not the members without the permission, nor the viewers.
    let expected: Vec<u32> = (600..1000).filter(|n| n % 5 < 3).take(99).collect();
    let lab = |n: &u32| format!("{} {n:04}", if n.is_multiple_of(2) { "lab" } else { "Lab" });
    assert_eq!(names().await, expected.iter().map(lab).collect::<Vec<_>>());
    // One that is gone makes room for the next.
    let delete = format!(
        "UPDATE organizations SET deleted_at = rollcall_now(), deleted_by_id = '{}' WHERE name = 'lab 0600'",
        uuid(&ada.user_id)
    );
    app.database.sql(&delete).await;
    let seen = names().await;
    assert_eq!((seen.len(), seen[0].as_str()), (99, "Lab 0601"));
    app.finish().await;
}

// R55, R56: the personal organization always, others with the permission to bill; the default pays where none is named.
#[tokio::test]
async fn the_default_bill_to_takes_the_permission() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let member = team.member_id(&ada).await;
    let permit = |billable: bool| json!({ "memberId": member, "permissions": { "billableActivities": billable } });
    team.owner.ok("updateMemberPermissions", permit(false), "").await;
    let seen = billing(&ada).await;
    let personal = text(&seen["personalOrganization"]["id"]);
    assert_eq!(ids(&seen), [personal.as_str()]);
    let to = |id: &str| json!({ "organizationId": id });
    assert_eq!(
        ada.refused("setDefaultBillTo", to(&team.id)).await.is(),
        ("BILLING_ACCESS_REQUIRED", "input.organizationId")
    );
    let eve = app.sign_up("eve@example.org").await;
    assert_eq!(eve.refused("setDefaultBillTo", to(&team.id)).await.is(), ("NOT_FOUND", "input.organizationId"));
    assert_eq!(eve.refused("setDefaultBillTo", to(&personal)).await.is(), ("NOT_FOUND", "input.organizationId"));

    team.owner.ok("updateMemberPermissions", permit(true), "").await;
    assert_eq!(ids(&billing(&ada).await), [personal.as_str(), team.id.as_str()]);
    let set = ada.ok("setDefaultBillTo", to(&team.id), "viewer { defaultBillTo { id } }").await;
    assert_eq!(set["viewer"]["defaultBillTo"]["id"], team.id.as_str());
    let made = ada
        .ok("createResource", json!({ "kind": "PROJECT", "name": "Atlas" }), "resource { organization { id } }")
        .await;
    assert_eq!(made["resource"]["organization"]["id"], team.id.as_str());
    // While it is deleted, the personal organization pays (R48).
    team.owner.ok("deleteOrganization", json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" }), "").await;
    assert_eq!(billing(&ada).await["defaultBillTo"]["id"], personal.as_str());
    let project = json!({ "kind": "PROJECT", "name": "Atlas" });
    let made = ada.ok("createResource", project, "resource { organization { id } }").await;
    assert_eq!(made["resource"]["organization"]["id"], personal.as_str());
    app.staff().ok("restoreOrganization", json!({ "id": team.id }), "").await;
    assert_eq!(billing(&ada).await["defaultBillTo"]["id"], team.id.as_str());
    // A key reaches its own organization only, and changes nothing of its person.
    let secret = ada.ok("createApiKey", json!({ "organizationId": team.id, "name": "laptop" }), "secret").await;
    let key = app.client(&text(&secret["secret"]));
    let query = "{ viewer { billableOrganizations { id } } }";
    assert_eq!(ids(&key.query(query, json!({})).await["viewer"]), [team.id.as_str()]);
    assert_eq!(key.refused("setDefaultBillTo", to(&team.id)).await.is(), ("FORBIDDEN", "input.organizationId"));
    let set = ada.ok("setDefaultBillTo", to(&personal), "viewer { defaultBillTo { id } }").await;
    assert_eq!(set["viewer"]["defaultBillTo"]["id"], personal.as_str());
    // Leaders bill by their role.
    assert!(ids(&billing(&team.owner).await).contains(&team.id));
    app.finish().await;
}

// R42, R55: who may not bill there any more has their personal organization pay again.
#[tokio::test]
async fn losing_the_permission_resets_the_default() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "ADMIN").await;
    let member = team.member_id(&ada).await;
    let personal = text(&billing(&ada).await["personalOrganization"]["id"]);
    let role = |role: &str| ("changeMemberRole", json!({ "memberId": member, "role": role }));
    let permit = |billable: bool| {
        ("updateMemberPermissions", json!({ "memberId": member, "permissions": { "billableActivities": billable } }))
    };
    let remove = ("removeMember", json!({ "memberId": member }));
    // How it is lost, and how it is had again.
    for (keeps, loses, regains) in [
        (Some(role("MEMBER")), permit(false), Some(permit(true))),
        (None, role("VIEWER"), Some(role("ADMIN"))),
        // An admin bills by the role, so that the permission counts with the demotion only.
        (Some(permit(false)), role("MEMBER"), Some(permit(true))),
        (None, remove, None),
    ] {
        ada.ok("setDefaultBillTo", json!({ "organizationId": team.id }), "").await;
        if let Some((mutation, input)) = keeps {
            team.owner.ok(mutation, input, "").await;
        }
        assert_eq!(billing(&ada).await["defaultBillTo"]["id"], team.id.as_str(), "before {loses:?}");
        team.owner.ok(loses.0, loses.1.clone(), "").await;
        assert_eq!(billing(&ada).await["defaultBillTo"]["id"], personal.as_str(), "{loses:?}");
        if let Some((mutation, input)) = regains {
            team.owner.ok(mutation, input, "").await;
        }
    }
    app.finish().await;
}
