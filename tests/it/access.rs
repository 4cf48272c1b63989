//! Who may call what and see what: every mutation and every field of the schema, as everyone from nobody to the owner.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::World;
use crate::bad_input::{foreign_ids, kind_of, leaves, state, with};
use crate::schema;
use crate::support::client::{document, nodes, text};
use crate::support::{Answer, Client, Team, TestApp, Value, json};

/// Whom a mutation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Whoever holds the mail, or wants one.
    Anyone,
    /// Whoever is signed in, about themselves.
    Oneself,
    /// Whoever made the thing.
    Maker,
    /// Members of whatever role.
    Members,
    /// Members who aren't viewers.
    Workers,
    /// Owner and admins.
    Leaders,
    /// Owner and admins, signed in.
    LeadersThemselves,
    /// The owner, and admins who have the owner's powers.
    OwnerPowers,
    /// The owner.
    Owner,
    /// The organization's runner: its service keys.
    Runner,
    /// Whoever reports usage: service keys, and the platform's staff.
    Reporters,
    /// The platform's staff.
    Staff,
    /// The platform's own services. What their scopes open besides is in another table.
    Platform,
}

/// Every mutation, and whom it is for. What of the contract nobody has built yet may stand here already.
const MUTATIONS: &[(For, &[&str])] = &[
    (For::Anyone, &["requestSignIn", "signIn", "acceptInvitation", "declineInvitation", "confirmEmailChange"]),
    (
        For::Oneself,
        &[
            "signOut",
            "updateProfile",
            "changeEmail",
            "deleteAccount",
            "setDefaultBillTo",
            "createOrganization",
            "redeemJoinCode",
        ],
    ),
    (For::Maker, &["revokeApiKey"]),
    (For::Members, &["createApiKey", "switchOrganization", "leaveOrganization"]),
    (For::Workers, &["createResource", "queueRun"]),
    (
        For::Leaders,
        &[
            "updateOrganization",
            "updateOrganizationPolicy",
            "inviteMembers",
            "resendInvitation",
            "revokeInvitation",
            "createJoinCodes",
            "revokeJoinCode",
            "changeMemberRole",
            "updateMemberPermissions",
            "removeMember",
            "deactivateMember",
            "reactivateMember",
            "revertDeparture",
            "retryDeparture",
            // Of the owner's resource, which nobody else reaches.
            "updateResource",
            "deleteResource",
            "transferResources",
            "addToCollection",
            "removeFromCollection",
            "publishApp",
            "grantAccess",
            "revokeAccess",
            "revokeGrantInvitation",
            "createShareLink",
            "revokeShareLink",
            "cancelProjectTransfer",
            // Of the owner's run.
            "cancelRun",
            "createWebhook",
            "updateWebhook",
            "deleteWebhook",
            "redeliverWebhook",
            "createTeam",
            "updateTeam",
            "deleteTeam",
            "addTeamMembers",
            "removeTeamMember",
            "requestUpgrade",
            "removeCollaborator",
        ],
    ),
    (For::LeadersThemselves, &["createServiceKey", "offerProjectTransfer"]),
    (For::OwnerPowers, &["updateBilling"]),
    (For::Runner, &["reportRun"]),
    (For::Reporters, &["reportUsage"]),
    // A project is offered to the owner.
    (
        For::Owner,
        &[
            "transferOwnership",
            "deleteOrganization",
            "acceptProjectTransfer",
            "declineProjectTransfer",
            "unlinkIdentity",
        ],
    ),
    (
        For::Staff,
        &[
            "setOrganizationOwner",
            "restoreOrganization",
            "setPlan",
            "addCredits",
            "createPlatformKey",
            "rotatePlatformKey",
            "revokePlatformKey",
            "suspendUser",
            "unsuspendUser",
            "endUserSessions",
            "changeUserEmail",
            "deleteUser",
        ],
    ),
    (
        For::Platform,
        &["upsertUsers", "upsertOrganizations", "upsertMembers", "upsertTeams", "upsertResources", "deleteResources"],
    ),
];

fn is_for(mutation: &str) -> For {
    let found = MUTATIONS.iter().find(|(_, mutations)| mutations.contains(&mutation));
    found.unwrap_or_else(|| panic!("{mutation} is not in this table: say whom it is for")).0
}

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Stranger,
    /// An API key of another organization, by someone who has nothing to do with this one.
    ForeignKey,
    /// A service key of that organization.
    ForeignServiceKey,
    /// The owner's API key for another organization of theirs.
    OtherKey,
    /// A service key of that organization.
    OtherServiceKey,
    /// A service key of this organization.
    ServiceKey,
    /// A platform key with every scope, limited to that other organization.
    ForeignPlatformKey,
    /// Somebody with an open invitation.
    Invited,
    /// The session of somebody who has left.
    Leaver,
    /// Their API key.
    LeaverKey,
    Viewer,
    Member,
    /// With STANDARD powers.
    Admin,
    /// With those of the owner.
    PowerfulAdmin,
    /// A READ key of the owner.
    ReadKey,
    Owner,
    StaffToken,
}

impl Who {
    /// Whether it is a key that reaches nothing here: another organization's, or a service key, which only asks
    /// `access`.
    fn is_other_key(self) -> bool {
        match self {
            Self::ForeignKey
            | Self::ForeignServiceKey
            | Self::OtherKey
            | Self::OtherServiceKey
            | Self::ServiceKey
            | Self::ForeignPlatformKey => true,
            Self::Nobody
            | Self::Stranger
            | Self::Invited
            | Self::Leaver
            | Self::LeaverKey
            | Self::Viewer
            | Self::Member
            | Self::Admin
            | Self::PowerfulAdmin
            | Self::ReadKey
            | Self::Owner
            | Self::StaffToken => false,
        }
    }

    /// Whether the mutation is for them.
    fn may(self, mutation: For) -> bool {
        match mutation {
            For::Anyone => self != Self::LeaverKey,
            For::Oneself => {
                !matches!(self, Self::Nobody | Self::LeaverKey | Self::ReadKey | Self::StaffToken)
                    && !self.is_other_key()
            }
            For::Maker | For::Owner => self == Self::Owner,
            For::Members => {
                matches!(self, Self::Viewer | Self::Member | Self::Admin | Self::PowerfulAdmin | Self::Owner)
            }
            For::Workers => matches!(self, Self::Member | Self::Admin | Self::PowerfulAdmin | Self::Owner),
            For::Leaders | For::LeadersThemselves => matches!(self, Self::Admin | Self::PowerfulAdmin | Self::Owner),
            For::OwnerPowers => matches!(self, Self::PowerfulAdmin | Self::Owner),
            For::Runner => self == Self::ServiceKey,
            For::Reporters => matches!(self, Self::ServiceKey | Self::StaffToken),
            For::Staff => self == Self::StaffToken,
            For::Platform => false,
        }
    }

    /// What they get where it isn't.
    fn refusals(self, mutation: For) -> &'static [&'static str] {
        match (self, mutation) {
            (Self::Nobody | Self::LeaverKey, _) => &["UNAUTHENTICATED"],
            (Self::ForeignPlatformKey, _) => &["NOT_FOUND", "FORBIDDEN"],
            (_, For::Platform) => &["FORBIDDEN"],
            (Self::StaffToken, For::Oneself) => &["FORBIDDEN", "BLANK", "INVALID"],
            (_, For::Staff) | (Self::ReadKey, For::Oneself) => &["FORBIDDEN"],
            (who, For::Oneself) if who.is_other_key() => &["FORBIDDEN"],
            (Self::ForeignServiceKey | Self::OtherServiceKey, For::Runner | For::Reporters) => &["NOT_FOUND"],
            // Nobody reports about themselves.
            (_, For::Runner | For::Reporters) => &["FORBIDDEN"],
            // They don't learn that it exists.
            (Self::Stranger | Self::Invited | Self::Leaver, _) => &["NOT_FOUND"],
            // What takes a session says so before it looks.
            (who, For::Members | For::Workers | For::Owner | For::LeadersThemselves)
                if who.is_other_key() || who == Self::StaffToken =>
            {
                &["NOT_FOUND", "FORBIDDEN"]
            }
            (who, _) if who.is_other_key() || who == Self::StaffToken => &["NOT_FOUND"],
            _ => &["FORBIDDEN", "NOT_FOUND"],
        }
    }
}

/// An organization with someone of each kind around it.
struct Cast {
    people: Vec<(Who, Client)>,
    /// The membership of a plain member.
    member_id: String,
    /// That of an admin, with their username.
    admin_id: String,
    admin_username: String,
    departure: String,
    invitation: String,
}

impl Cast {
    async fn new(app: &TestApp, team: &Team) -> Self {
        let key = async |person: &Client, organization: &str, scope: &str| {
            let input = json!({ "organizationId": organization, "name": "key", "scope": scope });
            app.client(&text(&person.ok("createApiKey", input, "secret").await["secret"]))
        };
        let stranger = app.sign_up("eve@example.org").await;
        let elsewhere = stranger.found("Elsewhere").await;
        let foreign_key = key(&stranger, &elsewhere, "WRITE").await;
        let service_key = async |person: &Client, organization: &str| {
            let input = json!({ "organizationId": organization, "name": "service" });
            app.client(&text(&person.ok("createServiceKey", input, "secret").await["secret"]))
        };
        let foreign_service_key = service_key(&stranger, &elsewhere).await;
        let input =
            json!({ "name": "elsewhere", "organizationIds": [elsewhere], "scopes": crate::platform_key::SCOPES });
        let made = app.staff().ok("createPlatformKey", input, "secret").await;
        let foreign_platform_key = app.client(&text(&made["secret"]));
        let invited = app.sign_up("invited@example.org").await;
        let invitation = team.invite("invited@example.org", "MEMBER").await;
        let viewer = app.join(team, "viewer@example.org", "VIEWER").await;
        let member = app.join(team, "member@example.org", "MEMBER").await;
        let admin = app.join(team, "admin@example.org", "ADMIN").await;
        let leaver = app.join(team, "leaver@example.org", "MEMBER").await;
        let leaver_key = key(&leaver, &team.id, "WRITE").await;
        leaver.create(&team.id, "PROJECT", "Left behind").await;
        let left = leaver.ok("leaveOrganization", json!({ "organizationId": team.id }), "departure { id }").await;
        let departure = text(&left["departure"]["id"]);
        app.completed(team, &departure).await;
        let read_key = key(&team.owner, &team.id, "READ").await;
        let other = team.owner.found("Other work").await;
        let other_key = key(&team.owner, &other, "WRITE").await;
        let other_service_key = service_key(&team.owner, &other).await;
        Self {
            member_id: team.member_id(&member).await,
            admin_id: team.member_id(&admin).await,
            admin_username: admin.username().await,
            departure,
            invitation,
            people: vec![
                (Who::Nobody, app.anonymous()),
                (Who::Stranger, stranger),
                (Who::ForeignKey, foreign_key),
                (Who::ForeignServiceKey, foreign_service_key),
                (Who::ForeignPlatformKey, foreign_platform_key),
                (Who::OtherKey, other_key),
                (Who::OtherServiceKey, other_service_key),
                (Who::ServiceKey, service_key(&team.owner, &team.id).await),
                (Who::Invited, invited),
                (Who::Leaver, leaver),
                (Who::LeaverKey, leaver_key),
                (Who::Viewer, viewer),
                (Who::Member, member),
                (Who::Admin, admin),
                (Who::ReadKey, read_key),
                (Who::Owner, team.owner.clone()),
                (Who::StaffToken, app.staff()),
            ],
        }
    }

    fn person(&self, who: Who) -> &Client {
        &self.people.iter().find(|(other, _)| *other == who).unwrap().1
    }
}

fn code(mutation: &str, answer: &Answer) -> Option<String> {
    match answer.body.get("errors") {
        Some(_) => Some(answer.error_code()),
        None => answer.user_errors(mutation).first().map(|error| error.code.clone()),
    }
}

#[test]
fn the_table_of_mutations_is_the_schemas() {
    let built = schema::mutations();
    let mut seen = BTreeSet::new();
    for (_, mutations) in MUTATIONS {
        for mutation in *mutations {
            assert!(seen.insert(*mutation), "{mutation} stands twice");
            assert!(
                built.iter().any(|built| built == mutation) || schema::is_promised(&format!("Mutation.{mutation}")),
                "there is no {mutation}"
            );
        }
    }
    built.iter().for_each(|mutation| assert!(seen.contains(mutation.as_str()), "{mutation}: say whom it is for"));
}

// R3, R7, R9, R10, R14, R21, R31, R32, D2: every mutation does what it does for whom it is, and nothing for anybody
// else; strangers don't learn that it exists.
#[tokio::test]
async fn every_mutation_refuses_whom_it_is_not_for() {
    let app =
        TestApp::builder().local_webhooks().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let world = World::new(&app).await;
    let cast = Cast::new(&app, &world.team).await;
    let mut problems = Vec::new();
    let powerful = [(Who::PowerfulAdmin, cast.person(Who::Admin).clone())];
    let everyone = schema::mutations().into_iter().map(|mutation| (mutation, cast.people.as_slice()));
    // Their powers make a difference only for what the others of the leaders may do; they come last.
    let only_others = schema::mutations().into_iter().filter(|mutation| !Who::PowerfulAdmin.may(is_for(mutation)));
    for (mutation, people) in everyone.chain(only_others.map(|mutation| (mutation, powerful.as_slice()))) {
        if people[0].0 == Who::PowerfulAdmin {
            let policy = json!({ "organizationId": world.team.id, "adminPowers": "OWNER_EQUIVALENT" });
            world.team.owner.ok("updateOrganizationPolicy", policy, "").await;
        }
        let (name, whose) = (mutation.as_str(), is_for(&mutation));
        let input = match name {
            // Of this organization, in which everyone is who they are; nobody here may.
            "transferOwnership" => json!({
                "organizationId": world.team.id, "memberId": cast.admin_id, "confirmOrganizationName": "Acme Genomics",
                "confirmUsername": cast.admin_username,
            }),
            "deleteOrganization" => json!({ "id": world.team.id, "confirmOrganizationName": "Acme Genomics" }),
            _ => world.valid(name).await.1,
        };
        app.until_idle().await;
        let before = state(&app).await;
        for (who, client) in people.iter().filter(|(who, _)| !who.may(whose)) {
            let answer = client.run(&document(name, ""), json!({ "input": input })).await;
            let codes = who.refusals(whose);
            match code(name, &answer) {
                Some(code) if codes.contains(&code.as_str()) => {}
                other => problems.push(format!("{name} as {who:?}: {other:?}, not one of {codes:?}")),
            }
        }
        if name == "acceptInvitation" || name == "declineInvitation" {
            let answer = cast.person(Who::Stranger).run(&document(name, ""), json!({ "input": input })).await;
            if code(name, &answer).as_deref() != Some("WRONG_EMAIL") {
                problems.push(format!("{name} as another address: {}", answer.body));
            }
        }
        let after = state(&app).await;
        if after != before {
            let changed: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
            problems.push(format!("{name}: something has changed: {changed:?}"));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    app.finish().await;
}

// R3, R8, R9, R10, D2: the same mutations, done by the least who may.
#[tokio::test]
async fn every_mutation_is_done_by_the_least_whom_it_is_for() {
    let app =
        TestApp::builder().local_webhooks().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let world = World::new(&app).await;
    let cast = Cast::new(&app, &world.team).await;
    let mut problems = Vec::new();
    for (powers, admin) in [("STANDARD", Who::Admin), ("OWNER_EQUIVALENT", Who::PowerfulAdmin)] {
        let policy = json!({ "organizationId": world.team.id, "adminPowers": powers });
        world.team.owner.ok("updateOrganizationPolicy", policy, "").await;
        for mutation in schema::mutations() {
            let name = mutation.as_str();
            let least = match is_for(name) {
                // By somebody made for it, in the world's own table.
                For::Anyone | For::Oneself | For::Maker | For::Owner | For::Staff | For::Platform => continue,
                _ if name == "leaveOrganization" => continue,
                For::Members => Who::Viewer,
                For::Workers => Who::Member,
                For::Leaders | For::LeadersThemselves | For::OwnerPowers => admin,
                For::Runner | For::Reporters => Who::ServiceKey,
            };
            if !least.may(is_for(name)) || admin == Who::PowerfulAdmin && least != admin {
                continue;
            }
            let person = cast.person(if least == Who::PowerfulAdmin { Who::Admin } else { least });
            let answer = person.run(&document(name, ""), json!({ "input": world.valid(name).await.1 })).await;
            if let Some(code) = code(name, &answer) {
                problems.push(format!("{name} as {least:?}: {code}: {}", answer.body));
            }
            app.until_idle().await;
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    app.finish().await;
}

/// An answer as it is whatever the id.
fn without_id(answer: &Answer, id: &str) -> (u16, String) {
    (answer.status, answer.body.to_string().replace(id, "the id"))
}

// R21: in every mutation, an id of what one may not know of is answered as one that nobody has: byte for byte, whoever
// asks, with a session or a key.
#[tokio::test]
async fn what_one_may_not_know_of_is_answered_as_if_it_were_not_there() {
    let app =
        TestApp::builder().local_webhooks().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let world = World::new(&app).await;
    let cast = Cast::new(&app, &world.team).await;
    let other = app.sign_up("other@example.org").await;
    let organization = other.found("Other").await;
    let foreign = foreign_ids(&app, &other, &organization).await;
    let read = json!({ "organizationId": organization, "name": "reader", "scope": "READ" });
    let foreign_reader = app.client(&text(&other.ok("createApiKey", read, "secret").await["secret"]));
    let outsiders = [
        Who::Nobody,
        Who::Stranger,
        Who::ForeignKey,
        Who::ForeignServiceKey,
        Who::OtherKey,
        Who::OtherServiceKey,
        Who::ServiceKey,
        Who::ForeignPlatformKey,
        Who::Leaver,
    ];
    let mut problems = Vec::new();
    let mut compared = 0;
    for mutation in schema::mutations() {
        let input_type = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        if schema::input_fields(&input_type).iter().all(|(_, of, _)| !of.contains("ID") && !of.contains("Input")) {
            continue;
        }
        let (_, valid) = match mutation.as_str() {
            // Of this organization, for whoever has it; nobody here may.
            "transferOwnership" => {
                let input = json!({ "organizationId": world.team.id, "memberId": cast.admin_id,
                    "confirmOrganizationName": "Acme Genomics", "confirmUsername": cast.admin_username });
                (world.team.owner.clone(), input)
            }
            "acceptInvitation" | "declineInvitation" => (world.team.owner.clone(), json!({ "id": cast.invitation })),
            _ => world.valid(&mutation).await,
        };
        app.until_idle().await;
        for (path, of, _) in leaves(&input_type, &valid) {
            let list = of == "[ID!]";
            if of != "ID" && !list {
                continue;
            }
            let path = if list { [path, vec!["0".to_owned()]].concat() } else { path };
            let kind = kind_of(&mutation, &path, &valid);
            let unknown = format!("{kind}_01h455vb4pex5vsknk084sn02q");
            let known = path.iter().fold(&valid, |value, part| match part.parse::<usize>() {
                Ok(position) => &value[position],
                Err(_) => &value[part.as_str()],
            });
            // Without the list there is no place in it.
            if list && known.is_null() {
                continue;
            }
            // Whoever shares or offers something may name anybody by the id that they have.
            let names_people =
                ["grantAccess", "offerProjectTransfer"].contains(&mutation.as_str()) && ["usr", "org"].contains(&kind);
            let everyone = cast.people.iter().map(|(who, client)| (format!("{who:?}"), Some(*who), client));
            let reader = [("ForeignReader".to_owned(), None, &foreign_reader)];
            for (name, who, client) in everyone.chain(reader) {
                let is_outside = who.is_none_or(|who| outsiders.contains(&who));
                let mut ids: Vec<&str> = Vec::new();
                // What is in the organization is foreign to those outside; what is elsewhere, to those inside.
                match is_outside {
                    true => ids.extend(known.as_str()),
                    false => ids.extend(foreign.get(kind).map(String::as_str)),
                }
                let leads = matches!(who, Some(Who::Admin | Who::Owner));
                if who == Some(Who::StaffToken) || who == Some(Who::LeaverKey) || names_people && leads {
                    continue;
                }
                for id in ids {
                    // About themselves, or of what is theirs, people ask as they like.
                    if client.user_id == id || is_outside && may_anyhow(&mutation, who) {
                        continue;
                    }
                    let ask = async |id: &str| {
                        let input = with(&valid, &path, json!(id));
                        without_id(&client.run(&document(&mutation, "__typename"), json!({ "input": input })).await, id)
                    };
                    let (of_known, of_unknown) = (ask(id).await, ask(&unknown).await);
                    compared += 1;
                    if of_known != of_unknown {
                        problems
                            .push(format!("{mutation} {} as {name}: {of_known:?} and {of_unknown:?}", path.join(".")));
                    }
                }
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    assert!(compared > 500, "{compared}");
    app.finish().await;
}

/// Whether someone outside may do it with what is theirs.
fn may_anyhow(mutation: &str, who: Option<Who>) -> bool {
    who.is_some_and(|who| is_for(mutation) != For::Anyone && who.may(is_for(mutation)))
}

/// Who sees a field, of those who see what it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Whoever reaches the organization from somewhere, such as an invitation.
    Reached,
    /// Members, and the platform's staff.
    Profile,
    Members,
    Leaders,
    /// Leaders, and the platform's staff.
    LeadersAndStaff,
    /// Leaders, and the person whom it is about.
    LeadersAndOneself,
    /// The person whom it is about.
    Oneself,
    /// In this test nobody: the organization isn't deleted, or only the platform sees it.
    Nobody,
}

/// The fields that not everyone sees who sees what they belong to, and for an organization all. What of the contract
/// nobody has built yet may stand here already.
const FIELDS: &[(&str, Seen, &str)] = &[
    ("Organization", Seen::Reached, "id name logoUrl personal"),
    (
        "Organization",
        Seen::Profile,
        "slug fullName description website location sector universityName createdAt owner leadership policy externalId metadata",
    ),
    ("Organization", Seen::Nobody, "deletedAt"),
    ("Organization", Seen::Members, "viewerMembership viewerCan members resources projects volumes teams runs"),
    ("Organization", Seen::Leaders, "invitations joinCodes webhooks departures auditLog serviceKeys collaborators"),
    ("Organization", Seen::LeadersAndStaff, "billing usage usageSeries"),
    ("Organization", Seen::LeadersAndOneself, "departurePlan"),
    (
        "Member",
        Seen::Reached,
        "id user organization role permissions status joinedAt joinedVia viewerCan machines teams",
    ),
    ("Member", Seen::LeadersAndOneself, "email"),
    ("Member", Seen::Leaders, "departures metadata"),
    ("Departure", Seen::Leaders, "reason"),
    (
        "Viewer",
        Seen::Oneself,
        "user email memberships personalOrganization activeOrganization needsOrganization defaultBillTo billableOrganizations \
         invitations resources apiKeys sessions incomingTransfers identities",
    ),
    ("Query", Seen::Oneself, "viewer"),
    ("Query", Seen::Reached, "node nodes organization access invitation resource"),
    // For the platform alone.
    ("Query", Seen::Nobody, "user platformKeys platformWebhooks"),
    ("PlatformKey", Seen::Nobody, "id name prefix scopes organizations createdAt lastUsedAt expiresAt revokedAt"),
    ("Query", Seen::Leaders, "verifyAuditLog"),
    // Each says who may ask; `checks` shows that.
    ("Query", Seen::Reached, "membership checkAccess reachable audience"),
    // For staff and platform keys; `feed` shows that.
    ("Query", Seen::Nobody, "events"),
    // Who sees one of these sees all of it.
    ("ApiKey", Seen::Oneself, "id name prefix scope organization createdBy service createdAt lastUsedAt expiresAt"),
    ("Session", Seen::Oneself, "id createdAt lastSeenAt expiresAt current userAgent"),
    ("Identity", Seen::Oneself, "id issuer subject email createdAt lastUsedAt"),
    (
        "AuditEvent",
        Seen::Leaders,
        "id sequence action actor actorKind platformKey subject organization targetId target summary metadata occurredAt hash",
    ),
    (
        "Departure",
        Seen::LeadersAndOneself,
        "id member kind status newOwner startedBy steps moves startedAt completedAt revertibleUntil error",
    ),
    (
        "ResourceMove",
        Seen::LeadersAndOneself,
        "id resource resourceName from to container movedAt revertedAt keptBecause",
    ),
    (
        "Invitation",
        Seen::LeadersAndOneself,
        "id organization email username name role permissions invitedBy status delivery deliveryError createdAt expiresAt teams grants message",
    ),
    ("JoinCode", Seen::Leaders, "id role status label hint createdBy createdAt expiresAt usedBy"),
    (
        "Resource",
        Seen::LeadersAndOneself,
        "id kind name description organization owner createdBy container contents items visibility sizeBytes publishedAt createdAt updatedAt viewerAccess grants grantInvitations shareLinks openTransfer subtype externalId metadata",
    ),
    ("Grant", Seen::LeadersAndOneself, "id resource grantee level grantedBy createdAt"),
    ("Collaborator", Seen::Leaders, "id user organization grants teams since grantedBy"),
    ("GrantInvitation", Seen::Leaders, "id resource email level invitedBy createdAt expiresAt"),
    ("ShareLink", Seen::Leaders, "id hint expiresAt createdAt createdBy"),
    (
        "ProjectTransfer",
        Seen::LeadersAndOneself,
        "id resource from to offeredBy recipient status createdAt expiresAt movedAt",
    ),
    (
        "Run",
        Seen::LeadersAndOneself,
        "id kind name status resource queuedBy queuedAt startedAt finishedAt cpuHours memoryGibHours credits",
    ),
    ("Team", Seen::Members, "id organization name description avatarUrl members externalId metadata"),
    ("User", Seen::Members, "id username name avatarUrl"),
    ("User", Seen::Oneself, "externalId metadata"),
    ("User", Seen::Nobody, "suspendedAt"),
    (
        "Webhook",
        Seen::Leaders,
        "id url events enabled failingSince organizationId platformKeyId keptByStaff createdAt deliveries",
    ),
    (
        "WebhookDelivery",
        Seen::Leaders,
        "id event organizationId sequence status attempts responseStatus error lastAttemptAt",
    ),
];

/// What one sees with what leads to it.
const PARTS: &[&str] = &[
    "AccessDecision",
    "AccessReason",
    "AuditVerification",
    "Billing",
    "CodeFile",
    "DeparturePlan",
    "DeparturePlanStep",
    "DepartureProgress",
    "InvitationGrant",
    "InvitationPreview",
    "MemberPermissions",
    "MemberUpsert",
    "NewJoinCode",
    "Node",
    "OrganizationPolicy",
    "OrganizationUpsert",
    "PageInfo",
    "ResourceUpsert",
    "RunLimit",
    "TeamMember",
    "TeamUpsert",
    "Usage",
    "UsagePoint",
    "UserError",
    "UserUpsert",
];

/// The fields of a type that are built, with their audience.
fn fields_of(of: &str) -> Vec<(Seen, String)> {
    let built = schema::output_fields();
    let rows = FIELDS.iter().filter(|(name, ..)| *name == of);
    let fields = rows.flat_map(|(_, seen, fields)| fields.split_whitespace().map(|field| (*seen, field.to_owned())));
    fields.filter(|(_, field)| built[of].contains_key(field)).collect()
}

#[test]
fn the_table_of_fields_is_the_schemas() {
    let mut built = schema::output_fields().clone();
    built.retain(|name, _| {
        let is_wrapper = ["Connection", "Edge", "Payload"].iter().any(|ending| name.ends_with(ending));
        // Who may follow what is shown with the subscriptions.
        !is_wrapper && name != "Mutation" && name != "Subscription" && !PARTS.contains(&name.as_str())
    });
    let mut problems = Vec::new();
    let mut entered: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, _, fields) in FIELDS {
        for field in fields.split_whitespace() {
            if !entered.entry(name).or_default().insert(field) {
                problems.push(format!("{name}.{field} stands twice"));
            }
            let is_built = built.get(*name).is_some_and(|fields| fields.contains_key(field));
            if !is_built && !schema::is_promised(&format!("{name}.{field}")) {
                problems.push(format!("there is no {name}.{field}"));
            }
        }
    }
    for (name, fields) in &built {
        for field in fields.keys() {
            if !entered.get(name.as_str()).is_some_and(|entered| entered.contains(field.as_str())) {
                problems.push(format!("{name}.{field}: say who sees it"));
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// A selection of fields, each as shallow as it can be.
fn selection(of: &str, fields: &[(Seen, String)], member_id: &str) -> String {
    let built = schema::output_fields();
    let field = |(_, name): &(Seen, String)| {
        let arguments = match name.as_str() {
            "usageSeries" => {
                let day = |days| (chrono::Utc::now() + chrono::Duration::days(days)).to_rfc3339();
                format!("(since: \"{}\", until: \"{}\")", day(-1), day(1))
            }
            "departurePlan" => format!("(memberId: \"{member_id}\", kind: REMOVE)"),
            _ => String::new(),
        };
        let below = if built.contains_key(&built[of][name]) { " { __typename }" } else { "" };
        format!("{name}{arguments}{below}")
    };
    fields.iter().map(field).collect::<Vec<_>>().join(" ")
}

/// Whether there is something to see.
fn shows(value: &Value) -> bool {
    !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
}

// R2, R7, R14, R21, R31, R32, R50, R51, D7, D9: what one may not see is null, for everyone from nobody to the owner,
// after a departure, and with keys.
#[tokio::test]
async fn every_field_shows_itself_to_whom_it_is_for() {
    let mut app =
        TestApp::builder().local_webhooks().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let world = World::new(&app).await;
    let team = &world.team;
    let cast = Cast::new(&app, team).await;
    let profile = json!({
        "id": team.id, "fullName": "x", "description": "x", "website": "https://example.org/", "location": "x", "sector": "x",
        "universityName": "x", "logoUrl": "https://example.org/x.png",
    });
    team.owner.ok("updateOrganization", profile, "").await;
    app.database.sql("UPDATE organizations SET external_id = id::text, metadata = '{}'").await;
    app.database.sql("UPDATE members SET metadata = '{}'").await;
    let (webhook, delivery) = world.webhook().await;
    let resource = team.owner.create(&team.id, "PROJECT", "Secret").await;
    let outside = app.sign_up("outside@example.org").await;
    let shared = team.owner.create(&team.id, "PROJECT", "Shared").await;
    team.owner.grant(&shared, json!({ "userId": outside.user_id }), "VIEW").await;
    let run = team.owner.queue(&team.id, "Secret").await;
    let usage = json!({ "idempotencyKey": "secret", "organizationId": team.id, "kind": "NETWORK_GB", "quantity": "1" });
    app.staff().ok("reportUsage", json!({ "entries": [usage] }), "").await;
    let payload =
        team.owner.ok("createJoinCodes", json!({ "organizationId": team.id }), "codes { joinCode { id } }").await;
    let query = "query($id: ID!, $departure: ID!) { viewer { sessions { nodes { id } } apiKeys { nodes { id } } } \
         organization(by: { id: $id }) { auditLog { nodes { id } } collaborators { nodes { id } } } \
         node(id: $departure) { ... on Departure { moves { nodes { id } } } } }";
    let found = team.owner.query(query, json!({ "id": team.id, "departure": cast.departure })).await;
    let first = |connection: &Value| text(&nodes(connection)[0]["id"]);
    let leaders = [Who::Admin, Who::PowerfulAdmin, Who::ReadKey, Who::Owner];
    let owner = [Who::ReadKey, Who::Owner];
    // Of each kind one, and who sees it: with a key what its person sees in its organization.
    let things: Vec<(&str, String, Vec<Who>)> = vec![
        ("ApiKey", first(&found["viewer"]["apiKeys"]), owner.to_vec()),
        ("Session", first(&found["viewer"]["sessions"]), vec![Who::Owner]),
        ("Identity", app.identity_of(&team.owner).await, vec![Who::Owner]),
        ("AuditEvent", first(&found["organization"]["auditLog"]), [leaders.as_slice(), &[Who::StaffToken]].concat()),
        ("Departure", cast.departure.clone(), [leaders.as_slice(), &[Who::Leaver]].concat()),
        ("ResourceMove", first(&found["node"]["moves"]), [leaders.as_slice(), &[Who::Leaver]].concat()),
        ("Invitation", cast.invitation.clone(), [leaders.as_slice(), &[Who::Invited]].concat()),
        ("JoinCode", text(&payload["codes"][0]["joinCode"]["id"]), leaders.to_vec()),
        ("Resource", resource.clone(), leaders.to_vec()),
        ("Collaborator", first(&found["organization"]["collaborators"]), leaders.to_vec()),
        ("Run", run, leaders.to_vec()),
        ("Webhook", webhook, leaders.to_vec()),
        ("WebhookDelivery", delivery, leaders.to_vec()),
        ("Member", cast.member_id.clone(), [leaders.as_slice(), &[Who::Member]].concat()),
        ("Organization", team.id.clone(), [leaders.as_slice(), &[Who::Viewer, Who::Member, Who::StaffToken]].concat()),
        ("Team", team.group("Lab", &[]).await, [leaders.as_slice(), &[Who::Viewer, Who::Member]].concat()),
        // The owner is whom everyone in the organization may contact.
        (
            "User",
            team.owner.user_id.clone(),
            [leaders.as_slice(), &[Who::OtherKey, Who::Viewer, Who::Member, Who::StaffToken]].concat(),
        ),
    ];
    let mut problems = Vec::new();
    let powerful = (Who::PowerfulAdmin, cast.person(Who::Admin).clone());
    for (who, client) in cast.people.iter().chain([&powerful]) {
        if *who == Who::PowerfulAdmin {
            let policy = json!({ "organizationId": team.id, "adminPowers": "OWNER_EQUIVALENT" });
            team.owner.ok("updateOrganizationPolicy", policy, "").await;
        }
        if *who == Who::LeaverKey {
            let answer = client.run("{ viewer { email } }", json!({})).await;
            assert_eq!((answer.status, answer.error_code().as_str()), (401, "UNAUTHENTICATED"));
            continue;
        }
        for (of, id, seen_by) in &things {
            let fields = fields_of(of);
            let query = format!(
                "query($id: ID!) {{ node(id: $id) {{ ... on {of} {{ {} }} }} nodes(ids: [$id]) {{ id }} }}",
                selection(of, &fields, &cast.member_id)
            );
            let found = client.query(&query, json!({ "id": id })).await;
            let sees = shows(&found["node"]);
            if sees != seen_by.contains(who) || sees == found["nodes"][0].is_null() {
                problems.push(format!("{of} as {who:?}: {found}"));
            }
            if !sees || !["Organization", "Member"].contains(of) {
                continue;
            }
            for (audience, field) in &fields {
                let may = match audience {
                    Seen::Reached => true,
                    Seen::Profile => seen_by.contains(who),
                    Seen::Members => *who != Who::StaffToken,
                    Seen::Leaders => leaders.contains(who),
                    Seen::LeadersAndStaff => leaders.contains(who) || *who == Who::StaffToken,
                    Seen::LeadersAndOneself => leaders.contains(who) || *of == "Member" && *who == Who::Member,
                    Seen::Oneself | Seen::Nobody => false,
                };
                let shown = shows(&found["node"][field]);
                // Nobody does anything to members of their own rank or above.
                let may_be_empty = *of == "Member" && field == "viewerCan";
                if shown != may && (shown || !may_be_empty) {
                    problems.push(format!("{of}.{field} as {who:?}: {}", found["node"][field]));
                }
            }
        }
        // Only who is someone, staff, and a service key for its own organization ask what people may do.
        let query = "query($user: ID!, $id: ID!) { access(userId: $user, resourceIds: [$id]) }";
        let answer = client.run(query, json!({ "user": team.owner.user_id, "id": resource })).await;
        let level = match who {
            Who::Nobody => json!(null),
            Who::ServiceKey | Who::StaffToken | Who::Owner | Who::ReadKey => json!(["ADMINISTER"]),
            _ => json!(["NONE"]),
        };
        if answer.body["data"]["access"] != level {
            problems.push(format!("access as {who:?}: {}", answer.body));
        }
        // The organization itself, by its slug, and whether its log is whole.
        let query = "query($id: ID!) { organization(by: { slug: \"acme-genomics\" }) { id } verifyAuditLog(organizationId: $id) { ok } }";
        let found = client.query(query, json!({ "id": team.id })).await;
        let sees = [leaders.as_slice(), &[Who::Viewer, Who::Member, Who::StaffToken]].concat().contains(who);
        if shows(&found["organization"]) != sees || shows(&found["verifyAuditLog"]) != leaders.contains(who) {
            problems.push(format!("organization by slug and verifyAuditLog as {who:?}: {found}"));
        }
        // About oneself: everybody with an account, and with a key what is of its organization.
        let fields = fields_of("Viewer");
        let query = format!("{{ viewer {{ {} }} }}", selection("Viewer", &fields, ""));
        let viewer = client.query(&query, json!({})).await["viewer"].clone();
        let is_someone = !matches!(
            who,
            Who::Nobody
                | Who::StaffToken
                | Who::ForeignServiceKey
                | Who::OtherServiceKey
                | Who::ServiceKey
                | Who::ForeignPlatformKey
        );
        let lacks = |field: &&(Seen, String)| field.1 != "activeOrganization" && viewer[&field.1].is_null();
        if viewer.is_object() != is_someone || is_someone && fields.iter().any(|field| lacks(&field)) {
            problems.push(format!("viewer as {who:?}: {viewer}"));
        }
    }
    // Somebody who reaches the organization without belonging to it: by an invitation.
    let fields = fields_of("Organization");
    let fields: Vec<_> = fields.into_iter().filter(|(_, field)| field != "departurePlan").collect();
    let selected = selection("Organization", &fields, "");
    let query = format!("{{ viewer {{ invitations {{ nodes {{ organization {{ {selected} }} }} }} }} }}");
    let found = cast.person(Who::Invited).query(&query, json!({})).await;
    let organization = &nodes(&found["viewer"]["invitations"])[0]["organization"];
    for (audience, field) in &fields {
        if shows(&organization[field]) != (*audience == Seen::Reached) {
            problems.push(format!("Organization.{field} as somebody invited: {}", organization[field]));
        }
    }
    // What the mailed link leads to is shown to whoever holds it.
    let token = app.mail_about("invited@example.org", "invites you").await.token();
    let query = "query($token: String!) { invitation(token: $token) { organizationName } }";
    let found = app.anonymous().query(query, json!({ "token": token })).await;
    assert_eq!(found["invitation"]["organizationName"], "Acme Genomics");
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    app.stop_workers().await;
    app.finish().await;
}

// R32, R48: a person's key reaches its one organization, and shows nothing of their others, living or deleted: no list,
// and nothing by its id.
#[tokio::test]
async fn a_key_shows_nothing_beyond_its_organization() {
    let mut app =
        TestApp::builder().local_webhooks().setting("ROLLCALL_SUPPORT_EMAIL", "support@example.net").start().await;
    let world = World::new(&app).await;
    let (team, owner) = (&world.team, &world.team.owner);
    let cast = Cast::new(&app, team).await;
    let key = cast.person(Who::OtherKey);
    // Of everything something, in the key's person's organization, their personal one, and elsewhere.
    let (webhook, delivery) = world.webhook().await;
    let project = owner.create(&team.id, "PROJECT", "Secret atlas").await;
    let viewer = owner.query("{ viewer { personalOrganization { id } } }", json!({})).await;
    let personal =
        owner.create(&text(&viewer["viewer"]["personalOrganization"]["id"]), "PROJECT", "Secret notes").await;
    let lab = team.group("Secret lab", &[owner]).await;
    let run = owner.queue(&team.id, "Secret run").await;
    let code =
        owner.ok("createJoinCodes", json!({ "organizationId": team.id }), "codes { joinCode { id } }").await["codes"]
            [0]["joinCode"]["id"]
            .clone();
    let grant = owner.grant(&project, json!({ "userId": cast.person(Who::Stranger).user_id }), "VIEW").await;
    let offer = json!({ "resourceId": project, "recipientId": cast.person(Who::Stranger).user_id });
    let offer = owner.ok("offerProjectTransfer", offer, "transfer { id }").await["transfer"]["id"].clone();
    owner.ok("createApiKey", json!({ "organizationId": team.id, "name": "Secret key" }), "").await;
    owner.ok("setDefaultBillTo", json!({ "organizationId": team.id }), "").await;
    owner.ok("switchOrganization", json!({ "organizationId": team.id }), "").await;
    // Whoever else is there invites the key's person, and offers them something.
    let eve = cast.person(Who::Stranger);
    let inviting = Team { id: eve.found("Secret society").await, owner: eve.clone() };
    let invitation = inviting.invite("owner@example.org", "MEMBER").await;
    let offered = eve.create(&inviting.id, "PROJECT", "Secret present").await;
    let incoming = json!({ "resourceId": offered, "recipientId": owner.user_id });
    let incoming = eve.ok("offerProjectTransfer", incoming, "transfer { id }").await["transfer"]["id"].clone();
    let found = owner
        .query(
            "query($id: ID!) { viewer { sessions { nodes { id } } apiKeys { nodes { id name } } } \
             organization(by: { id: $id }) { auditLog { nodes { id } } viewerMembership { id } } }",
            json!({ "id": team.id }),
        )
        .await;
    let session = text(&nodes(&found["viewer"]["sessions"])[0]["id"]);
    let secret_key =
        nodes(&found["viewer"]["apiKeys"]).iter().find(|key| key["name"] == "Secret key").unwrap()["id"].clone();
    let event = text(&nodes(&found["organization"]["auditLog"])[0]["id"]);
    let membership = found["organization"]["viewerMembership"]["id"].clone();
    let ids = json!([
        team.id,
        membership,
        cast.member_id,
        cast.departure,
        cast.invitation,
        webhook,
        delivery,
        project,
        personal,
        lab,
        run,
        code,
        grant,
        offer,
        session,
        secret_key,
        event,
        inviting.id,
        invitation,
        offered,
        incoming
    ]);
    let everything = "query($ids: [ID!]!, $id: ID!, $slug: String!) { nodes(ids: $ids) { __typename } \
         organization(by: { id: $id }) { id } bySlug: organization(by: { slug: $slug }) { id } verifyAuditLog(organizationId: $id) { ok } \
         viewer { email needsOrganization memberships { totalCount nodes { organization { id name } } } activeOrganization { id } \
         defaultBillTo { name } billableOrganizations { name } invitations { totalCount nodes { id } } resources { nodes { name } } \
         ofOther: resources(organizationId: $id) { nodes { name } } apiKeys { totalCount nodes { name } } sessions { totalCount nodes { id } } \
         incomingTransfers { totalCount nodes { id } } identities { id } } }";
    let variables = json!({ "ids": ids, "id": team.id, "slug": "acme-genomics" });
    for deleted in [false, true] {
        if deleted {
            let input = json!({ "id": team.id, "confirmOrganizationName": "Acme Genomics" });
            owner.ok("deleteOrganization", input, "").await;
        }
        let seen = key.query(everything, variables.clone()).await;
        assert!(seen["nodes"].as_array().unwrap().iter().all(Value::is_null), "{}", seen["nodes"]);
        for nothing in ["organization", "bySlug", "verifyAuditLog"] {
            assert!(seen[nothing].is_null(), "{nothing}: {seen}");
        }
        let viewer = &seen["viewer"];
        let memberships = &viewer["memberships"];
        assert_eq!(
            (&memberships["totalCount"], nodes(memberships)[0]["organization"]["name"].as_str()),
            (&json!(1), Some("Other work"))
        );
        assert_eq!(viewer["defaultBillTo"]["name"], "Other work");
        assert_eq!(viewer["billableOrganizations"], json!([{ "name": "Other work" }]));
        assert_eq!((&viewer["needsOrganization"], &viewer["activeOrganization"]), (&json!(false), &json!(null)));
        for list in ["invitations", "sessions", "incomingTransfers"] {
            assert_eq!(viewer[list], json!({ "totalCount": 0, "nodes": [] }), "{list}");
        }
        assert_eq!(viewer["identities"], json!([]));
        assert_eq!(viewer["apiKeys"], json!({ "totalCount": 1, "nodes": [{ "name": "key" }] }));
        for list in ["resources", "ofOther"] {
            assert_eq!(viewer[list], json!({ "nodes": [] }), "{list}");
        }
        // The person, signed in, sees it.
        assert_eq!(owner.query(everything, variables.clone()).await["organization"]["id"], json!(team.id));
    }
    app.stop_workers().await;
    app.finish().await;
}

// R1, R21: a service key is nobody, and sees no account, whoever's it is; staff see them all.
#[tokio::test]
async fn a_service_key_reads_no_account() {
    let app = TestApp::start().await;
    let team = app.team().await;
    let member = app.join(&team, "ada@example.org", "MEMBER").await;
    let stranger = app.sign_up("eve@example.org").await;
    let input = json!({ "organizationId": team.id, "name": "pipeline" });
    let service = app.client(&text(&team.owner.ok("createServiceKey", input, "secret").await["secret"]));
    let query = "query($ids: [ID!]!, $id: ID!) { nodes(ids: $ids) { ... on User { username } } node(id: $id) { ... on User { name } } }";
    let ids = json!({ "ids": [member.user_id, stranger.user_id, team.owner.user_id], "id": stranger.user_id });
    assert_eq!(service.query(query, ids.clone()).await, json!({ "nodes": [null, null, null], "node": null }));
    let seen = app.staff().query(query, ids).await;
    let usernames = json!([
        { "username": member.username().await }, { "username": stranger.username().await },
        { "username": team.owner.username().await }
    ]);
    assert_eq!(seen["nodes"], usernames);
    app.finish().await;
}

/// The Rust sources below a folder.
fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false if path.extension().is_some_and(|extension| extension == "rs") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

// What looks at one kind of actor, and takes all others for another one, compiles where a kind is added: nothing may.
#[test]
fn every_decision_by_actor_names_all_kinds() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut problems = Vec::new();
    for path in ["domain/src", "src", "jobs/src"].iter().flat_map(|folder| sources(&root.join(folder))) {
        let source = std::fs::read_to_string(&path).unwrap();
        for (number, line) in source.lines().enumerate() {
            if ["matches!(", "let ", "if "].iter().any(|start| {
                line.split_once("Actor::").is_some_and(|(before, _)| {
                    before.split_once(start).is_some_and(|(_, between)| !between.contains('='))
                })
            }) {
                problems.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(problems.is_empty(), "match on every kind, or ask one of Actor's methods:\n{}", problems.join("\n"));
}
