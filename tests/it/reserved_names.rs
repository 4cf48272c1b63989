//! Usernames and slugs that were given up: nobody else gets them for a time, so that whoever still uses one reaches no
//! impostor.

use futures_util::join;

use crate::support::{Client, TestApp, Value, json};

async fn call_oneself(person: &Client, username: &str) {
    person.ok("updateProfile", json!({ "username": username }), "").await;
}

async fn call_it(owner: &Client, organization: &str, slug: &str) {
    owner.ok("updateOrganization", json!({ "id": organization, "slug": slug }), "").await;
}

// R19: an old username finds nobody, is nobody else's for 90 days, and can be taken back; the exact end counts, not the
// sweep.
#[tokio::test]
async fn an_old_username_is_kept_for_whoever_had_it() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    let eve = app.sign_up("eve@example.org").await;
    let take = json!({ "username": "Countess" });
    call_oneself(&ada, "countess").await;
    let in_use = eve.refused("updateProfile", take.clone()).await;
    assert_eq!(in_use.is(), ("USERNAME_TAKEN", "input.username"));
    call_oneself(&ada, "duchess").await;
    // In use or kept: it looks the same.
    assert_eq!(eve.refused("updateProfile", take.clone()).await, in_use);
    // Nor does anybody get it by another way.
    let countess = app.sign_up("countess@example.org").await;
    assert!(countess.username().await.starts_with("countess-"), "{}", countess.username().await);
    team.invite("new@example.org", "MEMBER").await;
    let token = app.mail_to("new@example.org").await.token();
    let accept = json!({ "token": token, "username": "countess" });
    assert_eq!(app.anonymous().refused("acceptInvitation", accept).await.is(), ("USERNAME_TAKEN", "input.username"));
    let by_old_name = json!({ "organizationId": team.id, "invitations": [{ "username": "countess" }] });
    let refused = team.owner.refused("inviteMembers", by_old_name).await;
    assert_eq!(refused.is(), ("NOT_FOUND", "input.invitations.0.username"));
    // Its owner has it back, and gives it up again.
    call_oneself(&ada, "COUNTESS").await;
    assert_eq!(ada.username().await, "countess");
    assert_eq!(
        app.database.texts("SELECT name AS value FROM reserved_names WHERE name IN ('countess', 'duchess')").await,
        ["duchess"]
    );
    call_oneself(&ada, "baroness").await;
    app.shift_clock("90 days -1 minute").await;
    let (ada, eve) = (app.sign_up("ada@example.org").await, app.sign_up("eve@example.org").await);
    assert_eq!(eve.refused("updateProfile", take.clone()).await.is(), ("USERNAME_TAKEN", "input.username"));
    app.stop_workers().await;
    app.shift_clock("2 minutes").await;
    eve.ok("updateProfile", take, "").await;
    assert_eq!(
        ada.refused("updateProfile", json!({ "username": "countess" })).await.is(),
        ("USERNAME_TAKEN", "input.username")
    );
    // What is eve's by now is kept for eve.
    call_oneself(&eve, "eve").await;
    assert_eq!(
        ada.refused("updateProfile", json!({ "username": "countess" })).await.is(),
        ("USERNAME_TAKEN", "input.username")
    );
    app.finish().await;
}

// R49, R21: the same of slugs, by founding, renaming and sharing; the old one finds nothing, for nobody.
#[tokio::test]
async fn an_old_slug_is_kept_for_the_organization_that_had_it() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let eve = app.sign_up("eve@example.org").await;
    let theirs = eve.found("Theirs").await;
    let found = async |person: &Client, slug: &str| {
        let query = "query($slug: String!) { organization(by: { slug: $slug }) { id } }";
        person.query(query, json!({ "slug": slug })).await["organization"]["id"].clone()
    };
    assert_eq!(found(&team.owner, "acme-genomics").await, team.id.as_str());
    call_it(&team.owner, &team.id, "acme").await;
    assert_eq!(found(&team.owner, "acme-genomics").await, Value::Null);
    assert_eq!(found(&team.owner, "Acme").await, team.id.as_str());
    for (mutation, input) in [
        ("createOrganization", json!({ "name": "Impostor", "slug": "Acme-Genomics" })),
        ("updateOrganization", json!({ "id": theirs, "slug": "acme-genomics" })),
    ] {
        assert_eq!(eve.refused(mutation, input).await.is(), ("SLUG_TAKEN", "input.slug"), "{mutation}");
    }
    let made = eve.ok("createOrganization", json!({ "name": "Acme Genomics" }), "organization { slug }").await;
    assert!(made["organization"]["slug"].as_str().unwrap().starts_with("acme-genomics-"), "{made}");
    let project = eve.create(&theirs, "PROJECT", "Liver atlas").await;
    let share = json!({ "resourceId": project, "grantee": { "organizationSlug": "acme-genomics" }, "level": "VIEW" });
    assert_eq!(eve.refused("grantAccess", share).await.is(), ("NOT_FOUND", "input.grantee.organizationSlug"));
    // Without a slug, the last one is kept as well; and it can be had back.
    team.owner.ok("updateOrganization", json!({ "id": team.id, "slug": null }), "").await;
    assert_eq!(eve.refused("updateOrganization", json!({ "id": theirs, "slug": "acme" })).await.code, "SLUG_TAKEN");
    call_it(&team.owner, &team.id, "acme-genomics").await;
    call_it(&team.owner, &team.id, "acme").await;
    app.shift_clock("91 days").await;
    let eve = app.sign_up("eve@example.org").await;
    call_it(&eve, &theirs, "acme-genomics").await;
    app.finish().await;
}

// R48: what a deleted account or an organization that is removed for good was called is nobody's, ever.
#[tokio::test]
async fn the_name_of_who_is_gone_is_nobodys() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    call_oneself(&ada, "countess").await;
    ada.ok("deleteAccount", json!({ "confirmEmail": "ada@example.org" }), "").await;
    let delete = json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" });
    team.owner.ok("deleteOrganization", delete, "").await;
    app.until_idle().await;
    // It can still be restored; then it is removed, and with it whoever could have taken the slug back.
    app.shift_clock("31 days").await;
    app.stop_workers().await;
    app.database.sql("UPDATE job_schedules SET next_at = job_clock()").await;
    app.start_worker();
    let left = "SELECT count(*) AS value FROM organizations WHERE slug = 'acme-genomics'";
    crate::support::until("it is removed", async || (app.database.number(left).await == 0).then_some(())).await;
    app.until_idle().await;
    app.shift_clock("3 years").await;
    let eve = app.sign_up("eve@example.org").await;
    let refused = eve.refused("updateProfile", json!({ "username": "countess" })).await;
    assert_eq!(refused.is(), ("USERNAME_TAKEN", "input.username"));
    let refused = eve.refused("createOrganization", json!({ "name": "Acme", "slug": "acme-genomics" })).await;
    assert_eq!(refused.is(), ("SLUG_TAKEN", "input.slug"));
    app.finish().await;
}

// R25: whoever takes a name at the very moment at which it is given up doesn't get it either.
#[tokio::test]
async fn nobody_catches_a_name_as_it_falls() {
    let app = TestApp::start().await;
    let mut owners = Vec::new();
    for n in 0..8 {
        let (ada, eve) = join!(async { app.sign_up(&format!("ada{n}@example.org")).await }, async {
            app.sign_up(&format!("eve{n}@example.org")).await
        });
        call_oneself(&ada, &format!("falling-{n}")).await;
        owners.push((n, ada, eve));
    }
    for (n, ada, eve) in &owners {
        let catch = json!({ "username": format!("falling-{n}") });
        let fallen = format!("fallen-{n}");
        let ((), caught) = join!(call_oneself(ada, &fallen), eve.refused("updateProfile", catch.clone()));
        assert_eq!(caught.is(), ("USERNAME_TAKEN", "input.username"));
        // One of the two that reach for it may have it, and it is the one whose it was.
        let (back, caught) =
            join!(ada.mutate("updateProfile", catch.clone(), ""), eve.refused("updateProfile", catch.clone()));
        assert!(back.user_errors("updateProfile").is_empty(), "{}", back.body);
        assert_eq!(caught.is(), ("USERNAME_TAKEN", "input.username"));
        assert_eq!(ada.username().await, format!("falling-{n}"));
    }
    app.finish().await;
}

// Nobody keeps names from others by taking one after the other.
#[tokio::test]
async fn ten_names_are_kept_for_one_holder() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.sign_up("ada@example.org").await;
    for n in 0..10 {
        call_oneself(&ada, &format!("name-{n}")).await;
        call_it(&team.owner, &team.id, &format!("name-{n}")).await;
    }
    let refused = ada.refused("updateProfile", json!({ "username": "name-10" })).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.username"));
    assert!(refused.message.contains("90 days"), "{}", refused.message);
    let refused = team.owner.refused("updateOrganization", json!({ "id": team.id, "slug": "name-10" })).await;
    assert_eq!(refused.is(), ("RATE_LIMITED", "input.slug"));
    assert_eq!(ada.username().await, "name-9");
    // One of one's own is always to be had.
    call_oneself(&ada, "name-3").await;
    app.shift_clock("90 days").await;
    let ada = app.sign_up("ada@example.org").await;
    call_oneself(&ada, "name-10").await;
    app.finish().await;
}
