//! The audit log: every change leaves an event, and nobody changes one.

use std::collections::BTreeSet;

use crate::schema;
use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::receiver::Receiver;
use crate::support::{Client, Team, TestApp, Value, json};

/// What mutations are called with: an organization with everything in it.
pub struct World<'a> {
    pub app: &'a TestApp,
    pub team: Team,
    receiver: Receiver,
    number: std::cell::Cell<u32>,
}

impl<'a> World<'a> {
    pub async fn new(app: &'a TestApp) -> Self {
        let receiver = Receiver::start().await;
        Self { app, team: app.team().await, receiver, number: std::cell::Cell::new(0) }
    }

    fn fresh(&self, name: &str) -> String {
        self.number.set(self.number.get() + 1);
        format!("{name}-{}", self.number.get())
    }

    fn address(&self) -> String {
        format!("{}@example.org", self.fresh("someone"))
    }

    /// A member made for one call.
    async fn member(&self) -> (Client, String) {
        let person = self.app.join(&self.team, &self.address(), "MEMBER").await;
        let id = self.team.member_id(&person).await;
        (person, id)
    }

    /// A team made for one call.
    async fn group(&self) -> String {
        self.team.group(&self.fresh("Lab"), &[]).await
    }

    /// A webhook that has delivered the event of a new resource; the delivery comes with it.
    pub async fn webhook(&self) -> (String, String) {
        let owner = &self.team.owner;
        let input = json!({ "organizationId": self.team.id, "url": self.receiver.url, "events": ["resource.created"] });
        let made = owner.ok("createWebhook", input, "webhook { id }").await;
        owner.create(&self.team.id, "PROJECT", "Liver atlas").await;
        self.app.until_idle().await;
        let query = "query($id: ID!) { node(id: $id) { ... on Webhook { deliveries { nodes { id } } } } }";
        let found = owner.query(query, json!({ "id": made["webhook"]["id"] })).await;
        // One is enough: so many changes follow.
        owner.ok("updateWebhook", json!({ "id": made["webhook"]["id"], "events": ["user.created"] }), "").await;
        (text(&made["webhook"]["id"]), text(&nodes(&found["node"]["deliveries"])[0]["id"]))
    }

    /// Who calls a mutation, and with what, so that it succeeds; a mutation that nobody has entered here fails the
    /// test.
    /// A service key of the organization that reports what is used.
    async fn runner(&self) -> Client {
        let input = json!({ "organizationId": self.team.id, "name": self.fresh("runner") });
        let made = self.team.owner.ok("createServiceKey", input, "secret").await;
        self.app.client(&text(&made["secret"]))
    }

    pub async fn valid(&self, mutation: &str) -> (Client, Value) {
        let (team, owner) = (&self.team.id, self.team.owner.clone());
        match mutation {
            "requestSignIn" => (self.app.anonymous(), json!({ "email": "owner@example.org" })),
            "signIn" => {
                let address = self.address();
                self.app.anonymous().ok("requestSignIn", json!({ "email": address }), "").await;
                (self.app.anonymous(), json!({ "token": self.app.mail_to(&address).await.token() }))
            }
            "signOut" => (self.app.sign_up(&self.address()).await, json!({})),
            "updateProfile" => (owner, json!({ "name": "Ada Lovelace", "avatarUrl": "https://example.org/ada.png" })),
            "changeEmail" => (self.app.sign_up(&self.address()).await, json!({ "email": self.address() })),
            "confirmEmailChange" => {
                let (person, address) = (self.app.sign_up(&self.address()).await, self.address());
                person.ok("changeEmail", json!({ "email": address }), "").await;
                (self.app.anonymous(), json!({ "token": self.app.mail_to(&address).await.token() }))
            }
            "deleteAccount" => {
                let person = self.app.sign_up(&self.address()).await;
                (person.clone(), json!({ "confirmEmail": person.email }))
            }
            "setDefaultBillTo" => (owner, json!({ "organizationId": team })),
            "createApiKey" => (owner, json!({ "organizationId": team, "name": "laptop" })),
            "revokeApiKey" => {
                let key = owner
                    .ok("createApiKey", json!({ "organizationId": team, "name": "laptop" }), "apiKey { id }")
                    .await;
                (owner, json!({ "id": key["apiKey"]["id"] }))
            }
            "unlinkIdentity" => {
                let id = self.app.identity_of(&owner).await;
                (owner, json!({ "id": id }))
            }
            "switchOrganization" => (owner, json!({ "organizationId": team })),
            "createOrganization" => (owner, json!({ "name": self.fresh("Other") })),
            "updateOrganization" => {
                (owner, json!({ "id": team, "description": "We map livers.", "slug": self.fresh("acme") }))
            }
            "updateOrganizationPolicy" => (
                owner,
                json!({ "organizationId": team, "memberDirectory": "EVERYONE", "invitationDays": 14,
                    "defaultPermissions": { "sharedProjects": "UPLOAD" } }),
            ),
            "transferOwnership" => {
                let founder = self.app.sign_up(&self.address()).await;
                let other = Team { id: founder.found("Other").await, owner: founder };
                let heir = self.app.join(&other, &self.address(), "ADMIN").await;
                let member = other.member_id(&heir).await;
                let input = json!({ "organizationId": other.id, "memberId": member, "confirmOrganizationName": "Other",
                    "confirmUsername": heir.username().await });
                (other.owner, input)
            }
            "deleteOrganization" | "restoreOrganization" => {
                let founder = self.app.sign_up(&self.address()).await;
                let id = founder.found("Other").await;
                let delete = json!({ "id": id, "confirmOrganizationName": "Other" });
                if mutation == "deleteOrganization" {
                    return (founder, delete);
                }
                founder.ok("deleteOrganization", delete, "").await;
                (self.app.staff(), json!({ "id": id }))
            }
            "updateMemberPermissions" => (
                owner,
                json!({ "memberId": self.member().await.1,
                    "permissions": { "billableActivities": true, "sharedApps": false, "sharedProjects": "VIEW" } }),
            ),
            "setOrganizationOwner" => {
                let founder = self.app.sign_up(&self.address()).await;
                let organization = founder.found(&self.fresh("Other")).await;
                let heir = self.app.sign_up(&self.address()).await;
                (self.app.staff(), json!({ "organizationId": organization, "userId": heir.user_id }))
            }
            "inviteMembers" => (
                owner,
                json!({ "organizationId": team, "invitations": [{ "email": self.address(), "name": "Someone" }] }),
            ),
            "resendInvitation" | "revokeInvitation" => {
                (owner, json!({ "id": self.team.invite(&self.address(), "MEMBER").await }))
            }
            "acceptInvitation" | "declineInvitation" => {
                let address = self.address();
                self.team.invite(&address, "MEMBER").await;
                (self.app.anonymous(), json!({ "token": self.app.mail_to(&address).await.token() }))
            }
            "createJoinCodes" => (owner, json!({ "organizationId": team, "count": 2, "label": "Class" })),
            "redeemJoinCode" => {
                let person = self.app.sign_up(&self.address()).await;
                (person, json!({ "code": self.team.code("MEMBER").await }))
            }
            "revokeJoinCode" => {
                let made =
                    owner.ok("createJoinCodes", json!({ "organizationId": team }), "codes { joinCode { id } }").await;
                (owner, json!({ "id": made["codes"][0]["joinCode"]["id"] }))
            }
            "changeMemberRole" => (owner, json!({ "memberId": self.member().await.1, "role": "VIEWER" })),
            "removeMember" | "deactivateMember" => {
                (owner, json!({ "memberId": self.member().await.1, "reason": "The contract has ended." }))
            }
            "reactivateMember" | "revertDeparture" => {
                let (person, id) = self.member().await;
                let departure = self.team.remove(&person).await;
                self.app.completed(&self.team, &departure).await;
                match mutation {
                    "reactivateMember" => (owner, json!({ "memberId": id })),
                    _ => (owner, json!({ "departureId": departure })),
                }
            }
            "leaveOrganization" => (self.member().await.0, json!({ "organizationId": team })),
            "retryDeparture" => {
                let departure = self.team.remove(&self.member().await.0).await;
                self.app.completed(&self.team, &departure).await;
                // No mail server's fault: a cascade fails only where the database does.
                let fail = format!(
                    "UPDATE departures SET status = 'failed', error = 'test' WHERE id = '{}'",
                    uuid(&departure)
                );
                self.app.database.sql(&fail).await;
                let again = format!(
                    "UPDATE departure_steps SET completed_at = NULL WHERE departure_id = '{}' AND step = 'notify'",
                    uuid(&departure)
                );
                self.app.database.sql(&again).await;
                (owner, json!({ "departureId": departure }))
            }
            "createResource" => (owner, json!({ "organizationId": team, "kind": "PROJECT", "name": "Liver atlas" })),
            "updateResource" => {
                (owner.clone(), json!({ "id": owner.create(team, "PROJECT", "Liver atlas").await, "name": "Atlas" }))
            }
            "addToCollection" | "removeFromCollection" => {
                let collection = owner.create(team, "COLLECTION", "Best of").await;
                let item = owner.create(team, "SAMPLE", "L-1").await;
                let input = json!({ "collectionId": collection, "resourceIds": [item] });
                if mutation == "removeFromCollection" {
                    owner.ok("addToCollection", input.clone(), "").await;
                }
                (owner, input)
            }
            "queueRun" => {
                // Whoever may queue reads it.
                let input =
                    json!({ "organizationId": team, "kind": "PROJECT", "name": "Atlas", "visibility": "ORGANIZATION" });
                let made = owner.ok("createResource", input, "resource { id }").await;
                let id = &made["resource"]["id"];
                (
                    owner.clone(),
                    json!({ "organizationId": team, "kind": "PIPELINE", "name": "Align", "resourceId": id }),
                )
            }
            "cancelRun" => (owner.clone(), json!({ "id": owner.queue(team, "Align").await })),
            "deleteResource" => (owner.clone(), json!({ "id": owner.create(team, "VOLUME", "Reads").await })),
            "publishApp" => (owner.clone(), json!({ "id": owner.create(team, "APP", "Aligner").await })),
            "grantAccess" => {
                let project = owner.create(team, "PROJECT", "Liver atlas").await;
                let person = self.app.sign_up(&self.address()).await;
                (owner, json!({ "resourceId": project, "grantee": { "userId": person.user_id }, "level": "VIEW" }))
            }
            "revokeAccess" => {
                let project = owner.create(team, "PROJECT", "Liver atlas").await;
                let person = self.app.sign_up(&self.address()).await;
                let grant = owner.grant(&project, json!({ "userId": person.user_id }), "VIEW").await;
                (owner, json!({ "grantId": grant }))
            }
            "revokeGrantInvitation" => {
                let project = owner.create(team, "PROJECT", "Liver atlas").await;
                let input = json!({ "resourceId": project, "grantee": { "email": self.address() }, "level": "VIEW" });
                owner.ok("grantAccess", input, "invited").await;
                let query =
                    "query($id: ID!) { node(id: $id) { ... on Resource { grantInvitations { nodes { id } } } } }";
                let found = owner.query(query, json!({ "id": project })).await;
                (owner, json!({ "id": found["node"]["grantInvitations"]["nodes"][0]["id"] }))
            }
            "createShareLink" => {
                (owner.clone(), json!({ "resourceId": owner.create(team, "COLLECTION", "Best of").await }))
            }
            "revokeShareLink" => {
                let input = json!({ "resourceId": owner.create(team, "COLLECTION", "Best of").await });
                let link = owner.ok("createShareLink", input, "shareLink { id }").await;
                (owner, json!({ "id": link["shareLink"]["id"] }))
            }
            "offerProjectTransfer" => {
                let project = owner.create(team, "PROJECT", "Liver atlas").await;
                let person = self.app.sign_up(&self.address()).await;
                (owner, json!({ "resourceId": project, "recipientId": person.user_id }))
            }
            "cancelProjectTransfer" => {
                let project = owner.create(team, "PROJECT", "Liver atlas").await;
                let person = self.app.sign_up(&self.address()).await;
                let input = json!({ "resourceId": project, "recipientId": person.user_id });
                let offer = owner.ok("offerProjectTransfer", input, "transfer { id }").await;
                (owner, json!({ "id": offer["transfer"]["id"] }))
            }
            "acceptProjectTransfer" | "declineProjectTransfer" => {
                let person = self.app.sign_up(&self.address()).await;
                let organization = person.found(&self.fresh("Other")).await;
                let project = person.create(&organization, "PROJECT", "Liver atlas").await;
                let input = json!({ "resourceId": project, "recipientId": owner.user_id });
                let offer = person.ok("offerProjectTransfer", input, "transfer { id }").await;
                let id = &offer["transfer"]["id"];
                match mutation {
                    "acceptProjectTransfer" => (owner, json!({ "id": id, "organizationId": team })),
                    _ => (owner, json!({ "id": id })),
                }
            }
            "createPlatformKey" => (self.app.staff(), json!({ "name": "backend", "scopes": ["READ"] })),
            "rotatePlatformKey" | "revokePlatformKey" => {
                let input = json!({ "name": "backend", "scopes": ["READ"] });
                let made = self.app.staff().ok("createPlatformKey", input, "platformKey { id }").await;
                (self.app.staff(), json!({ "id": made["platformKey"]["id"] }))
            }
            "suspendUser" | "endUserSessions" | "deleteUser" => {
                let person = self.app.sign_up(&self.address()).await;
                (self.app.staff(), json!({ "user": { "id": person.user_id } }))
            }
            "unsuspendUser" => {
                let person = self.app.sign_up(&self.address()).await;
                let input = json!({ "user": { "id": person.user_id } });
                self.app.staff().ok("suspendUser", input.clone(), "").await;
                (self.app.staff(), input)
            }
            "changeUserEmail" => {
                let person = self.app.sign_up(&self.address()).await;
                (self.app.staff(), json!({ "user": { "id": person.user_id }, "email": self.address() }))
            }
            "upsertUsers" => {
                let input = json!({ "users": [{ "externalId": self.fresh("person"), "email": self.address() }] });
                (crate::platform_key::key(self.app, &["USERS_WRITE"]).await, input)
            }
            "upsertMembers" => {
                let person = self.app.sign_up(&self.address()).await;
                let input =
                    json!({ "organization": { "id": team }, "members": [{ "user": { "id": person.user_id } }] });
                (crate::platform_key::key(self.app, &["MEMBERS_WRITE"]).await, input)
            }
            "upsertTeams" => {
                let name = self.fresh("team");
                let item = json!({ "externalId": name, "name": name, "members": [{ "id": owner.user_id }] });
                let input = json!({ "organization": { "id": team }, "teams": [item] });
                (crate::platform_key::key(self.app, &["MEMBERS_WRITE"]).await, input)
            }
            "upsertOrganizations" => {
                let item = json!({ "externalId": self.fresh("lab"), "name": "Lab", "owner": { "id": owner.user_id } });
                (crate::platform_key::key(self.app, &["ORGANIZATIONS_WRITE"]).await, json!({ "organizations": [item] }))
            }
            "upsertResources" => {
                let item = json!({ "kind": "VOLUME", "externalId": self.fresh("volume"), "name": "Raw",
                    "owner": { "id": owner.user_id } });
                let input = json!({ "organization": { "id": team }, "resources": [item] });
                (crate::platform_key::key(self.app, &["RESOURCES_WRITE"]).await, input)
            }
            "deleteResources" => {
                let named = json!([{ "id": owner.create(team, "VOLUME", "Reads").await }]);
                (crate::platform_key::key(self.app, &["RESOURCES_WRITE"]).await, json!({ "resources": named }))
            }
            "transferResources" => {
                let named = json!([{ "id": owner.create(team, "VOLUME", "Reads").await }]);
                let to = json!({ "id": self.member().await.0.user_id });
                (owner, json!({ "organizationId": team, "resources": named, "to": to }))
            }
            "createServiceKey" => (owner, json!({ "organizationId": team, "name": "pipeline" })),
            "updateBilling" => (
                owner,
                json!({ "organizationId": team, "accountName": "Acme", "contactEmail": "bills@example.net", "reference": "4711" }),
            ),
            "addCredits" => (
                self.app.staff(),
                json!({ "organizationId": team, "amount": "100.25", "idempotencyKey": self.fresh("invoice") }),
            ),
            "setPlan" => (self.app.staff(), json!({ "organizationId": team, "plan": "team", "seatLimit": 10_000 })),
            "requestUpgrade" => {
                // As if it hadn't asked today.
                self.app.database.sql("DELETE FROM upgrade_requests").await;
                (owner, json!({ "organizationId": team, "message": "More seats, please." }))
            }
            "reportRun" => {
                let run = owner.queue(team, "Align").await;
                let input = json!({ "id": run, "status": "RUNNING", "cpuHours": "1.5", "memoryGibHours": "2" });
                (self.runner().await, input)
            }
            "reportUsage" => {
                let entry = json!({ "idempotencyKey": self.fresh("download"), "organizationId": team, "kind": "NETWORK_GB",
                    "quantity": "0.5", "region": "eu" });
                (self.runner().await, json!({ "entries": [entry] }))
            }
            "createTeam" => (owner, json!({ "organizationId": team, "name": self.fresh("Lab") })),
            "updateTeam" => {
                (owner, json!({ "id": self.group().await, "name": self.fresh("Lab"), "description": null }))
            }
            "deleteTeam" => (owner, json!({ "id": self.group().await })),
            "addTeamMembers" => (owner.clone(), json!({ "teamId": self.group().await, "userIds": [owner.user_id] })),
            "removeTeamMember" => {
                let id = self.group().await;
                owner.ok("addTeamMembers", json!({ "teamId": id, "userIds": [owner.user_id] }), "").await;
                (owner.clone(), json!({ "teamId": id, "userId": owner.user_id }))
            }
            "removeCollaborator" => {
                let project = owner.create(team, "PROJECT", "Liver atlas").await;
                let person = self.app.sign_up(&self.address()).await;
                owner.grant(&project, json!({ "userId": person.user_id }), "VIEW").await;
                (owner, json!({ "organizationId": team, "userId": person.user_id }))
            }
            "createWebhook" => {
                (owner, json!({ "organizationId": team, "url": self.receiver.url, "events": ["user.created"] }))
            }
            "updateWebhook" => {
                (owner, json!({ "id": self.webhook().await.0, "url": self.receiver.url, "rotateSecret": true }))
            }
            "deleteWebhook" => (owner, json!({ "id": self.webhook().await.0 })),
            "redeliverWebhook" => (owner, json!({ "deliveryId": self.webhook().await.1 })),
            _ => panic!(
                "{mutation} is not in this table: say how to call it, so that its audit event and its bad input are tested"
            ),
        }
    }
}

// R74: every mutation of the schema leaves an event, in the transaction that made the change.
#[tokio::test]
async fn every_mutation_leaves_an_event() {
    let mut app =
        TestApp::builder().local_webhooks().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    app.log_statements().await;
    let world = World::new(&app).await;
    for mutation in schema::mutations() {
        let (person, input) = world.valid(&mutation).await;
        app.until_idle().await;
        let count = "SELECT count(*) AS value FROM audit_events";
        let before = app.database.number(count).await;
        person.ok(&mutation, input, "").await;
        // That a sign-in was asked for is recorded by its mail's job.
        app.until_idle().await;
        assert!(app.database.number(count).await > before, "{mutation} leaves no event");
    }
    // Addresses outlive nobody in the log (R48), and secrets aren't in it.
    let events = app.database.texts("SELECT to_jsonb(e)::text AS value FROM audit_events e").await;
    let telling: Vec<&String> = events.iter().filter(|event| event.contains("@example.org")).collect();
    assert!(telling.is_empty(), "{telling:?}");
    // The head of a log is everybody's: whoever writes to it does nothing more before the commit, but what wakes
    // webhooks.
    let mut held = BTreeSet::new();
    for statements in app.statements_by_connection().await {
        for pair in statements.windows(2) {
            let is_last = pair[1] == "COMMIT" || pair[1].contains("jobs");
            if pair[0].contains("audit_append") && !is_last {
                held.insert(pair[1].clone());
            }
        }
    }
    assert!(held.is_empty(), "{held:#?}");
    app.finish().await;
}

// R48: what people write about others doesn't put addresses into a log that is kept for good.
#[tokio::test]
async fn addresses_that_people_write_down_stay_out_of_the_log() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let ada = app.join(&team, "ada@example.org", "MEMBER").await;
    let wrote = "Moved to Ada.L+x@Example.org (was: ada@example.org), see mailto:ada@пример.рф";
    let remove = json!({ "memberId": team.member_id(&ada).await, "reason": wrote });
    let removed = team.owner.ok("removeMember", remove, "departure { id reason }").await;
    // Who leads the organization still reads what was written, as long as there is an organization.
    assert_eq!(removed["departure"]["reason"], wrote);
    let label = json!({ "organizationId": team.id, "label": "for ada@example.org" });
    team.owner.ok("createJoinCodes", label, "").await;
    let key = json!({ "organizationId": team.id, "name": "of ada＠example．org" });
    team.owner.ok("createApiKey", key.clone(), "").await;
    team.owner.ok("createServiceKey", key, "").await;
    team.owner.create(&team.id, "DOCUMENT", "letter to ada@example.txt").await;
    team.owner.queue(&team.id, "as ada@example.org asked").await;
    app.staff().ok("setPlan", json!({ "organizationId": team.id, "plan": "as ada@example.org agreed" }), "").await;
    let invoice = json!({ "organizationId": team.id, "amount": "1", "idempotencyKey": "ada@example.org 1" });
    app.staff().ok("addCredits", invoice, "").await;
    app.until_idle().await;
    let log = app.database.texts("SELECT to_jsonb(e)::text AS value FROM audit_events e").await;
    assert!(log.iter().all(|event| !event.contains(['@', '＠'])), "{log:?}");
    let reasons =
        "SELECT metadata ->> 'reason' AS value FROM audit_events WHERE action = 'organization.member_removed'";
    assert_eq!(app.database.texts(reasons).await, ["Moved to [address] (was: [address]), see [address]"]);
    app.finish().await;
}

// R74, R1: staff are named as the operator has named them, with an address too; what they write is masked like
// anybody's.
#[tokio::test]
async fn staff_are_named_by_all_of_their_name() {
    let token = "a-token-of-somebody-of-the-staff";
    let tokens = format!("ops@corp.example={token}");
    let app = TestApp::builder().setting("ROLLCALL_STAFF_TOKENS", &tokens).start().await;
    let team = app.team().await;
    let plan = json!({ "organizationId": team.id, "plan": "as ada@example.org agreed" });
    app.client(token).ok("setPlan", plan, "organization { id }").await;
    let query = "query($id: ID!) { organization(by: { id: $id }) { auditLog(action: \"organization.plan_set\") { nodes { actorKind metadata } } } }";
    let log = team.owner.query(query, json!({ "id": team.id })).await;
    let event = &nodes(&log["organization"]["auditLog"])[0];
    assert_eq!((&event["actorKind"], &event["metadata"]["staff"]), (&json!("STAFF"), &json!("ops@corp.example")));
    assert_eq!(event["metadata"]["plan"], "as [address] agreed");
    app.finish().await;
}

// R74: who reads it, and what an event says.
#[tokio::test]
async fn the_log_says_who_did_what_and_when() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let member = app.join(&team, "ada@example.org", "MEMBER").await;
    let id = team.invite("grace@example.org", "MEMBER").await;
    let query = "query($id: ID!, $action: String) { organization(by: { id: $id }) { auditLog(first: 100, action: $action) { nodes { \
         id sequence action actor { id } actorKind targetId target { id } summary metadata occurredAt hash } } } }";
    let log = team.owner.query(query, json!({ "id": team.id })).await;
    let events = nodes(&log["organization"]["auditLog"]);
    let sequence = |event: &Value| {
        event["sequence"].as_i64().or_else(|| event["sequence"].as_str().and_then(|text| text.parse().ok())).unwrap()
    };
    let sequences: Vec<i64> = events.iter().map(sequence).collect();
    assert_eq!(sequences, (1..=i64::try_from(events.len()).unwrap()).collect::<Vec<_>>());
    let last = events.last().unwrap();
    assert_eq!(last["action"], "organization.member_invited");
    assert_eq!((&last["actorKind"], &last["actor"]["id"]), (&json!("USER"), &json!(team.owner.user_id)));
    assert_eq!((&last["targetId"], &last["target"]["id"]), (&json!(id), &json!(id)));
    let invited = team.owner.query(query, json!({ "id": team.id, "action": "organization.member_invited" })).await;
    assert_eq!(nodes(&invited["organization"]["auditLog"]).len(), 2);
    let seen = member.query(query, json!({ "id": team.id })).await;
    assert!(seen["organization"]["auditLog"].is_null());
    let verify = "query($id: ID!) { verifyAuditLog(organizationId: $id) { ok checked } }";
    assert!(member.query(verify, json!({ "id": team.id })).await["verifyAuditLog"].is_null());
    app.finish().await;
}

// R74: tampering is found at the first broken event.
#[tokio::test]
async fn tampering_is_found_at_the_first_broken_event() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for n in 0..10 {
        team.owner.create(&team.id, "PROJECT", &format!("Project {n}")).await;
    }
    let verify = async || {
        let query = "query($id: ID!) { verifyAuditLog(organizationId: $id) { ok checked firstBroken { sequence } nextSequence } }";
        team.owner.query(query, json!({ "id": team.id })).await["verifyAuditLog"].clone()
    };
    let whole = verify().await;
    assert_eq!((&whole["ok"], &whole["checked"]), (&json!(true), &json!(11)));
    assert!(whole["firstBroken"].is_null() && whole["nextSequence"].is_null());

    let organization = uuid(&team.id);
    for change in [
        format!("UPDATE audit_events SET summary = 'nothing happened' WHERE organization_id = '{organization}'"),
        format!("DELETE FROM audit_events WHERE organization_id = '{organization}'"),
        "TRUNCATE audit_events".to_owned(),
    ] {
        let refusal = app.database.refusal(&change).await;
        assert!(refusal.contains("only grows"), "{refusal}");
    }
    // A superuser can do everything, and is found out. Each change is taken back before the next.
    let events = format!("audit_events WHERE organization_id = '{organization}'");
    app.database.sql(&format!("CREATE TABLE kept AS SELECT * FROM {events}")).await;
    let tamper = async |sql: &str| {
        let around = format!("SET session_replication_role = replica; {sql}");
        app.database.sql(&around).await;
    };
    let restore = format!("DELETE FROM {events}; INSERT INTO audit_events SELECT * FROM kept");
    for (sql, sequence) in [
        (
            format!(
                "UPDATE audit_events SET summary = 'nothing happened' WHERE organization_id = '{organization}' AND sequence = 5"
            ),
            5,
        ),
        (
            format!(
                "UPDATE audit_events SET actor_id = NULL WHERE organization_id = '{organization}' AND sequence IN (4, 9)"
            ),
            4,
        ),
        (
            format!(
                "UPDATE audit_events SET occurred_at = occurred_at - interval '1 second' WHERE organization_id = '{organization}' AND sequence = 1"
            ),
            1,
        ),
        (format!("DELETE FROM {events} AND sequence = 6"), 7),
        (format!("DELETE FROM {events} AND sequence = 1"), 2),
        (
            format!(
                "UPDATE audit_events SET hash = sha256('x') WHERE organization_id = '{organization}' AND sequence = 3"
            ),
            3,
        ),
    ] {
        tamper(&sql).await;
        let broken = verify().await;
        assert_eq!(broken["ok"], false, "{sql}");
        let found = &broken["firstBroken"]["sequence"];
        assert_eq!(found.to_string().trim_matches('"'), sequence.to_string(), "{sql}");
        tamper(&restore).await;
        assert_eq!(verify().await["ok"], true);
    }
    // Cut off at the end: the head tells.
    tamper(&format!("DELETE FROM {events} AND sequence = 11")).await;
    assert_eq!(verify().await["ok"], false);
    tamper(&restore).await;
    assert_eq!(
        text(&team.owner.query("{ viewer { email } }", json!({})).await["viewer"]["email"]),
        "owner@example.org"
    );
    app.finish().await;
}

/// The events of these actions, newest last: the actor's username, and the metadata.
async fn told(team: &Team, last: u32) -> Vec<Value> {
    let query = "query($id: ID!, $last: Int) { organization(by: { id: $id }) { auditLog(last: $last) { nodes { \
         action actor { id username name } actorKind summary metadata } } } }";
    let log = team.owner.query(query, json!({ "id": team.id, "last": last })).await;
    nodes(&log["organization"]["auditLog"]).clone()
}

// R74, R21: the log keeps who did what, and tells its readers, and webhooks, nothing of people whom they know by a word
// alone.
#[tokio::test]
async fn the_log_tells_no_more_of_strangers_than_what_named_them() {
    let app = TestApp::builder().local_webhooks().start().await;
    let team = app.team().await;
    let owner = &team.owner;
    let receiver = Receiver::start().await;
    let input = json!({ "organizationId": team.id, "url": receiver.url, "events": ["*"] });
    owner.ok("createWebhook", input, "webhook { id }").await;
    let eve = app.sign_up("eve@example.org").await;
    eve.ok("updateProfile", json!({ "name": "Eve Moneypenny", "username": "moneypenny" }), "").await;
    let elsewhere = eve.found("Secret Service").await;
    eve.ok("updateOrganization", json!({ "id": elsewhere, "slug": "universal-exports" }), "").await;
    let create = async |name: &str| owner.create(&team.id, "PROJECT", name).await;
    let (by_email, by_name, offered) = (create("By address").await, create("By username").await, create("Offer").await);
    let share = |project: &str, grantee: Value| json!({ "resourceId": project, "grantee": grantee, "level": "VIEW" });
    // Whatever they do with what one has sent them: they take it up by signing in, decline it, and give it back.
    owner.ok("grantAccess", share(&by_email, json!({ "email": "eve@example.org" })), "").await;
    app.sign_in(app.anonymous(), "eve@example.org").await;
    let grant = owner.ok("grantAccess", share(&by_name, json!({ "username": "moneypenny" })), "grant { id }").await;
    eve.ok("revokeAccess", json!({ "grantId": grant["grant"]["id"] }), "").await;
    owner.ok("grantAccess", share(&by_name, json!({ "organizationSlug": "universal-exports" })), "").await;
    let invitation = team.invite("eve@example.org", "MEMBER").await;
    eve.ok("declineInvitation", json!({ "id": invitation }), "").await;
    let offer = json!({ "resourceId": offered, "recipientUsername": "moneypenny" });
    let offer = owner.ok("offerProjectTransfer", offer, "transfer { id }").await;
    eve.ok("declineProjectTransfer", json!({ "id": offer["transfer"]["id"] }), "").await;
    let events = told(&team, 100).await;
    let actions: Vec<&str> = events.iter().map(|event| event["action"].as_str().unwrap()).collect();
    for action in
        ["grant.created", "grant.revoked", "organization.invitation_declined", "transfer.offered", "transfer.declined"]
    {
        assert!(actions.contains(&action), "{action}: {actions:?}");
    }
    app.until_idle().await;
    receiver.wait_for(actions.len() - 1).await;
    let bodies: String = receiver.arrivals().into_iter().map(|arrival| arrival.body).collect();
    for secret in ["Eve", "Moneypenny", "moneypenny", eve.user_id.as_str(), elsewhere.as_str(), "universal", "eve@"] {
        assert!(!json!(events).to_string().contains(secret), "{secret}: {events:#?}");
        assert!(!bodies.contains(secret), "{secret}: {bodies}");
    }
    let declined = events.iter().find(|event| event["action"] == "transfer.declined").unwrap();
    assert_eq!((&declined["actor"], &declined["actorKind"]), (&Value::Null, &json!("USER")));
    let filter = "query($id: ID!, $who: ID) { organization(by: { id: $id }) { auditLog(first: 9, actorId: $who) { nodes { action } } } }";
    let count = async |who: &str| {
        let found = owner.query(filter, json!({ "id": team.id, "who": who })).await;
        nodes(&found["organization"]["auditLog"]).len()
    };
    assert_eq!((count(&eve.user_id).await, count(&owner.user_id).await), (0, 9));
    // It is all kept: whoever has come to know them reads it.
    let joined = app.join(&team, "eve@example.org", "MEMBER").await;
    assert_eq!(joined.user_id, eve.user_id);
    let events = told(&team, 100).await;
    let declined = events.iter().find(|event| event["action"] == "transfer.declined").unwrap();
    assert_eq!(declined["actor"]["username"], "moneypenny");
    assert_eq!(declined["metadata"]["to"], eve.user_id.as_str());
    assert!(count(&eve.user_id).await > 3);
    app.finish().await;
}

// R48: an address in a reason is masked, however it is written.
#[tokio::test]
async fn a_reason_holds_no_address_however_it_is_written() {
    let app = TestApp::start().await;
    let team = app.team().await;
    for (n, reason) in ["ada @ example.org left", "ada&#64;example.org", "ada (at) example.org", "ada＠example．org"]
        .into_iter()
        .enumerate()
    {
        let member = app.join(&team, &format!("person{n}@example.org"), "MEMBER").await;
        let input = json!({ "memberId": team.member_id(&member).await, "reason": reason });
        team.owner.ok("removeMember", input, "departure { id }").await;
    }
    let kept = "SELECT metadata ->> 'reason' AS value FROM audit_events WHERE action = 'organization.member_removed' ORDER BY sequence";
    assert_eq!(app.database.texts(kept).await, ["[address] left", "[address]", "[address]", "[address]"]);
    app.finish().await;
}
