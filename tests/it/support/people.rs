//! Organizations and the people in them, as most tests need them.

use rollcall_domain::base::id::{IdentityId, TypedId, to_text};
use uuid::Uuid;

use super::client::{Client, nodes, text};
use super::{TestApp, Value, json, until};

/// An organization and its owner.
pub struct Team {
    pub id: String,
    pub owner: Client,
}

impl TestApp {
    /// An organization that `owner@example.org` has founded.
    pub async fn team(&self) -> Team {
        let owner = self.sign_up("owner@example.org").await;
        let id = owner.found("Acme Genomics").await;
        Team { id, owner }
    }

    /// Brings someone into an organization by an invitation.
    pub async fn join(&self, team: &Team, email: &str, role: &str) -> Client {
        let person = self.sign_up(email).await;
        let invitation = team.invite(email, role).await;
        let invited = self.mail_about(email, "invites you").await;
        assert_eq!(invited.recipient, email);
        person.ok("acceptInvitation", json!({ "id": invitation }), "member { id }").await;
        person
    }

    /// Gives a person an identity at some issuer; its id.
    pub async fn identity_of(&self, person: &Client) -> String {
        let id = Uuid::now_v7();
        self.database
            .sql(&format!(
                "INSERT INTO identities (id, user_id, issuer, subject, created_at, last_used_at) \
                 VALUES ('{id}', '{}', 'https://id.example.org/{id}', 'somebody', rollcall_now(), rollcall_now())",
                uuid(&person.user_id)
            ))
            .await;
        to_text(IdentityId::from_uuid(id))
    }

    /// Waits until a departure is completed, and returns it.
    pub async fn completed(&self, team: &Team, departure: &str) -> Value {
        until("the departure is completed", async || {
            let departure = team.departure(departure).await;
            assert_ne!(departure["status"], "FAILED", "{departure}");
            (departure["status"] == "COMPLETED").then_some(departure)
        })
        .await
    }
}

impl Client {
    /// Founds an organization; its id.
    pub async fn found(&self, name: &str) -> String {
        let payload = self.ok("createOrganization", json!({ "name": name }), "organization { id }").await;
        text(&payload["organization"]["id"])
    }

    /// Their username.
    pub async fn username(&self) -> String {
        let data = self.query("{ viewer { user { username } } }", json!({})).await;
        text(&data["viewer"]["user"]["username"])
    }

    /// Creates a resource; its id.
    pub async fn create(&self, organization: &str, kind: &str, name: &str) -> String {
        let input = json!({ "organizationId": organization, "kind": kind, "name": name });
        let payload = self.ok("createResource", input, "resource { id }").await;
        text(&payload["resource"]["id"])
    }

    /// Creates a resource in a container; its id.
    pub async fn create_in(&self, container: &str, kind: &str, name: &str) -> String {
        let input = json!({ "containerId": container, "kind": kind, "name": name });
        let payload = self.ok("createResource", input, "resource { id }").await;
        text(&payload["resource"]["id"])
    }

    /// Queues a pipeline; its id.
    pub async fn queue(&self, organization: &str, name: &str) -> String {
        let input = json!({ "organizationId": organization, "kind": "PIPELINE", "name": name });
        text(&self.ok("queueRun", input, "run { id }").await["run"]["id"])
    }

    /// Whether the organization shows more of itself than its name to this client.
    pub async fn belongs_to(&self, organization: &str) -> bool {
        let query = "query($id: ID!) { organization(by: { id: $id }) { id createdAt } }";
        let data = self.query(query, json!({ "id": organization })).await;
        data["organization"]["createdAt"].is_string()
    }
}

impl Team {
    /// Invites one address; the invitation's id.
    pub async fn invite(&self, email: &str, role: &str) -> String {
        let input = json!({ "organizationId": self.id, "invitations": [{ "email": email, "role": role }] });
        let payload = self.owner.ok("inviteMembers", input, "invitations { id }").await;
        text(&payload["invitations"][0]["id"])
    }

    /// Makes one join code.
    pub async fn code(&self, role: &str) -> String {
        let input = json!({ "organizationId": self.id, "role": role });
        let payload = self.owner.ok("createJoinCodes", input, "codes { code }").await;
        text(&payload["codes"][0]["code"])
    }

    /// What the owner sees of an invitation.
    pub async fn invitation(&self, id: &str) -> Value {
        let query = "query($id: ID!) { node(id: $id) { ... on Invitation { \
             status delivery deliveryError role name email expiresAt createdAt } } }";
        self.owner.query(query, json!({ "id": id })).await["node"].clone()
    }

    /// What the owner sees of a join code.
    pub async fn join_code(&self, id: &str) -> Value {
        let query = "query($id: ID!) { node(id: $id) { ... on JoinCode { status role label hint usedBy { id } expiresAt createdAt } } }";
        self.owner.query(query, json!({ "id": id })).await["node"].clone()
    }

    /// What the owner sees of a departure.
    pub async fn departure(&self, id: &str) -> Value {
        let query = "query($id: ID!) { node(id: $id) { ... on Departure { \
             id status kind error reason newOwner { id } startedBy { id } steps { step done total completedAt } completedAt \
             member { id status } revertibleUntil } } }";
        self.owner.query(query, json!({ "id": id })).await["node"].clone()
    }

    /// The members with a status, as the owner sees them.
    pub async fn members(&self, status: &str) -> Vec<Value> {
        let query = "query($id: ID!, $status: MemberStatus) { organization(by: { id: $id }) { \
             members(first: 100, status: $status) { nodes { id email role status joinedVia user { id } } } } }";
        let data = self.owner.query(query, json!({ "id": self.id, "status": status })).await;
        nodes(&data["organization"]["members"]).clone()
    }

    /// The membership of an active member.
    pub async fn member_id(&self, person: &Client) -> String {
        let members = self.members("ACTIVE").await;
        let found = members.iter().find(|member| member["user"]["id"] == person.user_id.as_str());
        text(&found.unwrap_or_else(|| panic!("{} is no member", person.email))["id"])
    }

    /// What hands the organization over to a member, with both confirmations.
    pub async fn transfer_to(&self, heir: &Client) -> Value {
        json!({
            "organizationId": self.id, "memberId": self.member_id(heir).await, "confirmOrganizationName": "Acme Genomics",
            "confirmUsername": heir.username().await,
        })
    }

    /// Removes a member; the departure's id.
    pub async fn remove(&self, person: &Client) -> String {
        let input = json!({ "memberId": self.member_id(person).await });
        let payload = self.owner.ok("removeMember", input, "departure { id }").await;
        text(&payload["departure"]["id"])
    }

    /// The actions of the newest hundred audit events, oldest first.
    pub async fn audit(&self) -> Vec<String> {
        let query = "query($id: ID!) { organization(by: { id: $id }) { auditLog(last: 100) { nodes { action } } } }";
        let data = self.owner.query(query, json!({ "id": self.id })).await;
        nodes(&data["organization"]["auditLog"]).iter().map(|event| text(&event["action"])).collect()
    }
}

/// The UUID behind an id, for SQL.
pub fn uuid(id: &str) -> uuid::Uuid {
    rollcall_domain::base::id::parse_any(id).unwrap_or_else(|| panic!("no id: {id}")).1
}

impl TestApp {
    /// Gives someone many resources at once, as years of work would have.
    pub async fn give(&self, team: &Team, owner: &Client, kind: &str, count: usize) {
        let (organization, owner) = (uuid(&team.id), uuid(&owner.user_id));
        let insert = format!(
            "INSERT INTO resources (id, organization_id, kind, name, folded_name, owner_id, owned_since, created_by_id, created_at, updated_at) \
             SELECT gen_random_uuid(), '{organization}', '{kind}', '{kind} ' || n, '{kind} ' || n, '{owner}', rollcall_now(), '{owner}', \
             rollcall_now(), rollcall_now() FROM generate_series(1, {count}) n"
        );
        self.database.sql(&insert).await;
    }

    /// Lets it look as if nobody had been sent a mail lately: for those who are asked for something again and again.
    pub async fn forget_mails(&self) {
        self.database
            .sql("DELETE FROM attempts WHERE bucket LIKE 'recipient_mail%' OR bucket LIKE 'caused_mail%'")
            .await;
    }

    /// How many resources of an organization someone owns.
    pub async fn owned(&self, team: &Team, owner: &Client) -> i64 {
        let (organization, owner) = (uuid(&team.id), uuid(&owner.user_id));
        let count = format!(
            "SELECT count(*) AS value FROM resources WHERE organization_id = '{organization}' AND owner_id = '{owner}'"
        );
        self.database.number(&count).await
    }

    /// Many people at once: `person0@example.org` and so on.
    pub async fn sign_up_many(&self, count: usize) -> Vec<Client> {
        let addresses: Vec<String> = (0..count).map(|n| format!("person{n}@example.org")).collect();
        futures_util::future::join_all(addresses.iter().map(|address| self.sign_up(address))).await
    }
}
