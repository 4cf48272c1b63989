//! Invitations that bring levels on projects and workspaces, and the inviter's own words, with them.

use futures_util::future::{join, join_all};

use crate::support::client::{nodes, text};
use crate::support::page::Visitor;
use crate::support::{Client, Team, TestApp, Value, json};

const SELECTION: &str = "invitations { id message grants { level resource { name } } }";

impl Team {
    /// Invites an address with levels on resources; the invitation's id.
    async fn invite_into(&self, by: &Client, email: &str, grants: &Value) -> String {
        let invitation = json!({ "email": email, "grants": grants });
        let input = json!({ "organizationId": self.id, "invitations": [invitation] });
        text(&by.ok("inviteMembers", input, SELECTION).await["invitations"][0]["id"])
    }

    /// Why somebody isn't invited with levels on resources.
    async fn not_into(&self, by: &Client, grants: &Value) -> (String, String) {
        let invitations =
            json!([{ "email": "nobody@example.org" }, { "email": "grace@example.org", "grants": grants }]);
        let input = json!({ "organizationId": self.id, "invitations": invitations });
        let error = by.refused("inviteMembers", input).await;
        (error.code, error.field)
    }

    /// What the log says of the newest person who joined.
    async fn joined(&self) -> Value {
        let query = "query($id: ID!) { organization(by: { id: $id }) { auditLog(last: 1, action: \"organization.member_joined\") { nodes { metadata } } } }";
        let log = self.owner.query(query, json!({ "id": self.id })).await["organization"]["auditLog"].clone();
        nodes(&log)[0]["metadata"].clone()
    }
}

fn level(resource: &str, level: &str) -> Value {
    json!({ "resourceId": resource, "level": level })
}

fn is(code: &str, field: &str) -> (String, String) {
    (code.to_owned(), format!("input.invitations.1.grants{field}"))
}

fn some(level: &str) -> Option<String> {
    Some(level.to_owned())
}

// R80: an invitation brings levels on a workspace and a project with it: whoever accepts it has them at once, whether
// by address or by username, and the mail and the page say so beforehand, with the inviter's own words.
#[tokio::test]
async fn an_invitation_leads_straight_into_a_workspace() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let bob = app.sign_up("bob@example.org").await;
    let workspace = team.owner.create(&team.id, "WORKSPACE", "Wet lab").await;
    let inside = team.owner.create_in(&workspace, "VOLUME", "Reads").await;
    let project = team.owner.create(&team.id, "PROJECT", "Atlas.csv").await;
    let grants = json!([level(&workspace, "CONTRIBUTE"), level(&project, "VIEW")]);
    let input = json!({
        "organizationId": team.id, "message": "  Welcome!\n\nStart with the <b>reads</b>. ",
        "invitations": [{ "email": "grace@example.org", "grants": grants }, { "username": bob.username().await, "grants": grants }],
    });
    let made = team.owner.ok("inviteMembers", input, SELECTION).await["invitations"].clone();
    let shown = json!([
        { "level": "CONTRIBUTE", "resource": { "name": "Wet lab" } },
        { "level": "VIEW", "resource": { "name": "Atlas.csv" } },
    ]);
    for invitation in made.as_array().unwrap() {
        assert_eq!(invitation["grants"], shown);
        assert_eq!(invitation["message"], "Welcome!\n\nStart with the <b>reads</b>.");
    }
    // The person sees the level, and not yet the resource, until they reach it.
    let node = "query($id: ID!) { node(id: $id) { ... on Invitation { message grants { level resource { name } } } } }";
    let seen = bob.query(node, json!({ "id": made[1]["id"] })).await["node"].clone();
    assert_eq!(
        seen["grants"],
        json!([{ "level": "CONTRIBUTE", "resource": null }, { "level": "VIEW", "resource": null }])
    );
    let mail = app.mail_about("grace@example.org", "invites you").await;
    let words: String = mail.text.replace('\u{2060}', "").split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "owner writes: “Welcome! Start with the <b>reads</b>.”",
        "Wet lab (workspace): you can view, add to and change it",
        "Atlas.csv (project): you can view it",
    ] {
        assert!(words.contains(said), "{said:?} is not in: {words}");
    }
    // Nothing in it can be clicked but the link.
    assert!(!mail.text.contains("Atlas.csv") && mail.links().len() == 1, "{}", mail.text);
    let visitor = Visitor::new(&app.url);
    let page = visitor.get(&mail.link("/invitations/")).await;
    let text = page.text();
    for said in
        ["owner writes:", "start with the <b>reads</b>", "wet lab (workspace): you can view, add to and change it"]
    {
        assert!(text.contains(said), "{said:?} is not in: {text}");
    }
    assert!(page.html.contains("&#60;b&#62;reads") || page.html.contains("&lt;b&gt;reads"), "{}", page.html);
    // By the page, and by the id.
    visitor.submit(&page, &page.form("accept"), &[("name", "Grace Hopper"), ("username", "grace")]).await;
    let grace = app.sign_in(app.anonymous(), "grace@example.org").await;
    bob.ok("acceptInvitation", json!({ "id": made[1]["id"] }), "").await;
    for person in [&grace, &bob] {
        assert_eq!(person.access(&workspace).await, some("CONTRIBUTE"));
        assert_eq!(person.access(&inside).await, some("CONTRIBUTE"));
        assert_eq!(person.access(&project).await, some("VIEW"));
    }
    assert!(team.joined().await["skipped"].is_null());
    let log = team.audit().await;
    assert_eq!(log.iter().filter(|action| *action == "grant.created").count(), 4, "{log:?}");
    // They are grants like others.
    let departure = team.remove(&bob).await;
    assert_eq!(bob.access(&workspace).await, None);
    app.completed(&team, &departure).await;
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}

// R14, R80: whoever is invited as a viewer is promised no more than a viewer has, by the mail and by the page.
#[tokio::test]
async fn a_viewer_is_promised_what_a_viewer_has() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let workspace = team.owner.create(&team.id, "WORKSPACE", "Wet lab").await;
    let bob = app.sign_up("bob@example.org").await;
    let invitation = json!({ "email": bob.email, "role": "VIEWER", "grants": [level(&workspace, "CONTRIBUTE")] });
    let input = json!({ "organizationId": team.id, "invitations": [invitation] });
    let made = team.owner.ok("inviteMembers", input, SELECTION).await["invitations"].clone();
    let mail = app.mail_about("bob@example.org", "invites you").await;
    let words: String = mail.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = Visitor::new(&app.url).get(&mail.link("/invitations/")).await.text();
    for said in [words, page] {
        assert!(said.to_lowercase().contains("wet lab (workspace): you can view it"), "{said}");
    }
    bob.ok("acceptInvitation", json!({ "id": made[0]["id"] }), "").await;
    assert_eq!(bob.access(&workspace).await, some("VIEW"));
    app.finish().await;
}

// R80: as far as the inviter could grant them; the first that is wrong is named, and nobody is invited.
#[tokio::test]
async fn nobody_is_invited_with_what_the_inviter_could_not_grant() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let project = ada.create(&team.id, "PROJECT", "Liver atlas").await;
    let volume = ada.create(&team.id, "VOLUME", "Reads").await;
    let eve = app.sign_up("eve@example.org").await;
    let elsewhere = eve.found("Elsewhere").await;
    let foreign = eve.create(&elsewhere, "PROJECT", "Foreign").await;
    eve.grant(&foreign, json!({ "userId": team.owner.user_id }), "ADMINISTER").await;
    for (grants, expected) in [
        (json!([level(&project, "VIEW"), level(&foreign, "VIEW")]), is("NOT_FOUND", ".1.resourceId")),
        (json!([level("res_01h455vb4pex5vsknk084sn02q", "VIEW")]), is("NOT_FOUND", ".0.resourceId")),
        (json!([level(&volume, "VIEW")]), is("INVALID", ".0.resourceId")),
        (json!([level(&project, "NONE")]), is("INVALID", ".0.level")),
        (json!([level(&project, "VIEW"), level(&project, "UPLOAD")]), is("INVALID", ".1.resourceId")),
        (json!((0..21).map(|_| level(&project, "VIEW")).collect::<Vec<_>>()), is("TOO_MANY", "")),
    ] {
        assert_eq!(team.not_into(&team.owner, &grants).await, expected);
    }
    // Members don't invite at all.
    assert_eq!(team.not_into(&ada, &json!([level(&project, "VIEW")])).await.0, "FORBIDDEN");
    // The words have a limit, and hold no links.
    for (message, code) in [("x".repeat(1_001), "TOO_LONG"), ("See https://evil.example now".to_owned(), "INVALID")] {
        let input =
            json!({ "organizationId": team.id, "invitations": [{ "email": "grace@example.org" }], "message": message });
        assert_eq!(team.owner.refused("inviteMembers", input).await.is(), (code, "input.message"));
    }
    let input = json!({ "organizationId": team.id, "invitations": [{ "email": "grace@example.org" }], "message": " " });
    let made = team.owner.ok("inviteMembers", input, SELECTION).await;
    assert_eq!(made["invitations"][0], json!({ "id": made["invitations"][0]["id"], "message": null, "grants": [] }));
    app.finish().await;
}

// R80: what the inviter could no longer grant is left out, in silence but for the log: what was deleted, moves, or is
// elsewhere by now. What the person has at a higher level stays as it is.
#[tokio::test]
async fn what_cannot_be_given_any_more_is_left_out() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let chief = app.sign_up("chief@example.org").await;
    let elsewhere = chief.found("Elsewhere").await;
    let create = async |name: &str| team.owner.create(&team.id, "PROJECT", name).await;
    let [deleted, gone, moving, higher, given] = [
        create("Deleted").await,
        create("Gone").await,
        create("Moving").await,
        create("Higher").await,
        create("Given").await,
    ];
    let grace = app.sign_up("grace@example.org").await;
    team.owner.grant(&higher, json!({ "userId": grace.user_id }), "CONTRIBUTE").await;
    let all = [&deleted, &gone, &moving, &higher, &given];
    let grants = json!(all.iter().map(|id| level(id, "UPLOAD")).collect::<Vec<_>>());
    let invitation = team.invite_into(&admin, "grace@example.org", &grants).await;
    let mail = app.mail_about("grace@example.org", "invites you").await;
    team.owner.ok("deleteResource", json!({ "id": deleted }), "").await;
    let give_away = async |project: &str| {
        let input = json!({ "resourceId": project, "recipientUsername": chief.username().await });
        let offer = text(&team.owner.ok("offerProjectTransfer", input, "transfer { id }").await["transfer"]["id"]);
        chief.ok("acceptProjectTransfer", json!({ "id": offer, "organizationId": elsewhere }), "").await;
    };
    give_away(&gone).await;
    app.until_idle().await;
    app.stop_workers().await;
    give_away(&moving).await;
    let node = "query($id: ID!) { node(id: $id) { ... on Invitation { grants { resource { name } } } } }";
    let seen = team.owner.query(node, json!({ "id": invitation })).await["node"]["grants"].clone();
    let named: Vec<&Value> = seen.as_array().unwrap().iter().map(|grant| &grant["resource"]["name"]).collect();
    assert_eq!(named, [&Value::Null, &Value::Null, &json!("Moving"), &json!("Higher"), &json!("Given")]);
    // The page shows what can still come of it.
    let page = Visitor::new(&app.url).get(&mail.link("/invitations/")).await.text();
    assert!(page.contains("given (project)") && !page.contains("moving") && !page.contains("gone (project)"), "{page}");
    grace.ok("acceptInvitation", json!({ "id": invitation }), "").await;
    assert_eq!((grace.access(&given).await, grace.access(&higher).await), (some("UPLOAD"), some("CONTRIBUTE")));
    for left_out in [&deleted, &gone, &moving] {
        assert_eq!(grace.access(left_out).await, None);
    }
    let skipped = team.joined().await["skipped"].clone();
    let expected = json!([
        { "resource": null, "level": "upload" }, { "resource": gone, "level": "upload" }, { "resource": moving, "level": "upload" },
    ]);
    assert_eq!(skipped, expected);
    app.start_worker();
    app.until_idle().await;
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}

// R42, R80: an invitation ends with its inviter, and so does what it would have granted; a join code brings nothing.
#[tokio::test]
async fn what_an_invitation_grants_ends_with_its_inviter() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let admin = app.join(&team, "admin@example.org", "ADMIN").await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    let grants = json!([level(&project, "CONTRIBUTE")]);
    let people = [app.sign_up("one@example.org").await, app.sign_up("two@example.org").await];
    let first = team.invite_into(&admin, "one@example.org", &grants).await;
    let second = team.invite_into(&team.owner, "two@example.org", &grants).await;
    let input = json!({ "memberId": team.member_id(&admin).await, "role": "MEMBER" });
    team.owner.ok("changeMemberRole", input, "").await;
    let refused = people[0].refused("acceptInvitation", json!({ "id": first })).await;
    assert_eq!(refused.is(), ("REVOKED", "input.id"));
    // A code makes the invitation of the same person useless, and grants nothing.
    people[1].ok("redeemJoinCode", json!({ "code": team.code("MEMBER").await }), "").await;
    assert_eq!((people[0].access(&project).await, people[1].access(&project).await), (None, None));
    assert_eq!(team.invitation(&second).await["status"], "REVOKED");
    app.finish().await;
}

// R23, R45, R68, R80: a mail that is sent again says the same; a collaborator who accepts keeps what they have, and who
// departed gets what the invitation grants, not what they had.
#[tokio::test]
async fn a_collaborator_and_a_leaver_get_what_the_invitation_grants() {
    let mut app = TestApp::start().await;
    let team = app.team().await;
    let (own, workspace) = (
        team.owner.create(&team.id, "PROJECT", "Own").await,
        team.owner.create(&team.id, "WORKSPACE", "Wet lab").await,
    );
    let eve = app.sign_up("eve@example.org").await;
    team.owner.grant(&own, json!({ "userId": eve.user_id }), "UPLOAD").await;
    let invitation = team.invite_into(&team.owner, "eve@example.org", &json!([level(&workspace, "UPLOAD")])).await;
    app.until_idle().await;
    team.owner.ok("resendInvitation", json!({ "id": invitation }), "").await;
    app.until_idle().await;
    let mail = app.read_mail("eve@example.org", "invites you").unwrap();
    assert!(mail.text.contains("Wet lab (workspace)"), "{}", mail.text);
    app.shift_clock("6 days 1 hour").await;
    let reminder = app.mail_about("eve@example.org", "expires soon").await;
    assert!(reminder.text.contains("Wet lab (workspace)"), "{}", reminder.text);
    eve.ok("acceptInvitation", json!({ "id": invitation }), "").await;
    assert_eq!((eve.access(&own).await, eve.access(&workspace).await), (some("UPLOAD"), some("UPLOAD")));
    let departure = team.remove(&eve).await;
    app.completed(&team, &departure).await;
    let invitation = team.invite_into(&team.owner, "eve@example.org", &json!([level(&workspace, "VIEW")])).await;
    eve.ok("acceptInvitation", json!({ "id": invitation }), "").await;
    assert_eq!((eve.access(&own).await, eve.access(&workspace).await), (None, some("VIEW")));
    // A revert returns resources only, once they are back.
    team.owner.ok("revertDeparture", json!({ "departureId": departure }), "").await;
    app.until_idle().await;
    assert_eq!(eve.access(&workspace).await, some("VIEW"));
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}

// R42, R80: the inviter is removed, or loses the role, at the instant of the acceptance: either all of it was given
// before, or nothing is.
#[tokio::test]
async fn an_inviter_who_goes_at_the_instant_of_the_acceptance_grants_all_or_nothing() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
    for round in 0..8 {
        let admin = app.join(&team, &format!("admin{round}@example.org"), "ADMIN").await;
        let grace = app.sign_up(&format!("grace{round}@example.org")).await;
        let invitation = team.invite_into(&admin, &grace.email, &json!([level(&project, "CONTRIBUTE")])).await;
        let member = team.member_id(&admin).await;
        join_all([&grace, &team.owner].map(|client| client.run("{ __typename }", json!({})))).await;
        let end = async {
            match round % 2 {
                0 => team.owner.ok("removeMember", json!({ "memberId": member }), "").await,
                _ => team.owner.ok("changeMemberRole", json!({ "memberId": member, "role": "MEMBER" }), "").await,
            }
        };
        let (accepted, _) =
            join(grace.mutate("acceptInvitation", json!({ "id": invitation }), "member { id }"), end).await;
        let refused = accepted.user_errors("acceptInvitation");
        match refused.first() {
            None => assert_eq!(grace.access(&project).await, some("CONTRIBUTE")),
            Some(error) => {
                assert_eq!(error.code, "REVOKED");
                assert!(!grace.belongs_to(&team.id).await);
                assert_eq!(grace.access(&project).await, None);
            }
        }
    }
    app.until_idle().await;
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}

// R80: the project is deleted, or given away, at the instant of the acceptance: the person joins all the same.
#[tokio::test]
async fn a_resource_that_goes_at_the_instant_of_the_acceptance_keeps_nobody_out() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for round in 0..8 {
        let project = team.owner.create(&team.id, "PROJECT", "Liver atlas").await;
        let grace = app.sign_up(&format!("grace{round}@example.org")).await;
        let invitation = team.invite_into(&team.owner, &grace.email, &json!([level(&project, "VIEW")])).await;
        let owner = team.owner.twin();
        join_all([&grace, &owner].map(|client| client.run("{ __typename }", json!({})))).await;
        join(
            grace.ok("acceptInvitation", json!({ "id": invitation }), "member { id }"),
            owner.ok("deleteResource", json!({ "id": project }), ""),
        )
        .await;
        assert_eq!(grace.access(&project).await, None);
    }
    assert!(app.admin(&["verify"]).status.success());
    app.finish().await;
}
