//! Access to resources: checks and lists give the same answer as rules written down a second time, in random worlds.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rollcall_domain::base::id::{OrganizationId, ResourceId, TypedId, to_text};
use uuid::Uuid;

use crate::support::client::{nodes, text};
use crate::support::people::uuid;
use crate::support::{Client, TestApp, Value, json};

const PEOPLE: usize = 6;
const ORGANIZATIONS: usize = 3;
const RESOURCES: usize = 70;
const KINDS: [&str; 10] =
    ["workspace", "project", "source_group", "collection", "sample", "document", "volume", "machine", "app", "source"];
const LEVELS: [&str; 5] = ["none", "view", "upload", "contribute", "administer"];

#[derive(Debug, Clone)]
struct Membership {
    role: &'static str,
    active: bool,
    shared_apps: bool,
    shared_projects: usize,
    ended_at: i64,
}

#[derive(Debug, Clone)]
struct Thing {
    name: String,
    organization: usize,
    kind: &'static str,
    owner: usize,
    visible: bool,
    container: Option<usize>,
    moving: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grantee {
    Person(usize),
    Team(usize),
    Organization(usize),
}

#[derive(Debug, Clone)]
struct Granted {
    thing: usize,
    to: Grantee,
    level: usize,
    position: i64,
    /// Whether the departure that came after it has kept it (R37).
    kept: bool,
}

/// Organizations with people, teams, resources in one another, collections and grants.
#[derive(Debug)]
struct World {
    /// Whether sharing outside is allowed, and whether it is deleted.
    organizations: Vec<(bool, bool)>,
    members: BTreeMap<(usize, usize), Membership>,
    /// Accounts that are suspended (D6).
    suspended: BTreeSet<usize>,
    /// The organization of each team.
    teams: Vec<usize>,
    team_members: BTreeSet<(usize, usize)>,
    things: Vec<Thing>,
    /// Collection and what it gathers.
    items: BTreeSet<(usize, usize)>,
    grants: Vec<Granted>,
}

fn holds(container: &str) -> &'static [&'static str] {
    match container {
        "workspace" => &["project", "volume", "document", "machine", "app", "source", "source_group", "collection"],
        "project" => &["volume", "sample", "document", "app"],
        "source_group" => &["source"],
        _ => &[],
    }
}

impl World {
    fn random(random: &mut StdRng) -> Self {
        let organizations: Vec<(bool, bool)> =
            (0..ORGANIZATIONS).map(|_| (random.random_bool(0.7), random.random_bool(0.08))).collect();
        let mut members = BTreeMap::new();
        for organization in 0..ORGANIZATIONS {
            let owner = random.random_range(0..PEOPLE);
            for person in 0..PEOPLE {
                let is_owner = person == owner;
                if !is_owner && random.random_bool(0.4) {
                    continue;
                }
                let role = if is_owner {
                    "owner"
                } else {
                    *["admin", "member", "member", "member", "viewer"].choose(random).unwrap()
                };
                let membership = Membership {
                    role,
                    active: is_owner || random.random_bool(0.75),
                    shared_apps: random.random_bool(0.5),
                    shared_projects: random.random_range(0..5),
                    ended_at: random.random_range(0..100),
                };
                members.insert((organization, person), membership);
            }
        }
        let suspended = (0..PEOPLE).filter(|_| random.random_bool(0.06)).collect();
        let teams: Vec<usize> = (0..5).map(|_| random.random_range(0..ORGANIZATIONS)).collect();
        let mut team_members = BTreeSet::new();
        for (team, organization) in teams.iter().enumerate() {
            for person in 0..PEOPLE {
                let is_member = members.get(&(*organization, person)).is_some_and(|member| member.active);
                if random.random_bool(if is_member { 0.5 } else { 0.4 }) {
                    team_members.insert((team, person));
                }
            }
        }
        let mut things: Vec<Thing> = Vec::new();
        let kinds: Vec<&str> = KINDS.into_iter().chain(["project", "sample"]).collect();
        for _ in 0..RESOURCES {
            let organization = random.random_range(0..ORGANIZATIONS);
            let kind = *kinds.choose(random).unwrap();
            let fitting: Vec<usize> = (0..things.len())
                .filter(|other| {
                    things[*other].organization == organization && holds(things[*other].kind).contains(&kind)
                })
                .collect();
            things.push(Thing {
                name: format!("Thing{}{}", [" ", "-", "_", ".", "/"].choose(random).unwrap(), things.len()),
                organization,
                kind,
                owner: random.random_range(0..PEOPLE),
                visible: random.random_bool(0.2),
                container: fitting.choose(random).copied().filter(|_| random.random_bool(0.7)),
                moving: kind == "project" && random.random_bool(0.05),
            });
        }
        let mut items = BTreeSet::new();
        for (collection, thing) in things.iter().enumerate().filter(|(_, thing)| thing.kind == "collection") {
            for (item, other) in things.iter().enumerate() {
                let gathered = other.kind != "collection" && holds(other.kind).is_empty();
                if gathered && other.organization == thing.organization && random.random_bool(0.15) {
                    items.insert((collection, item));
                }
            }
        }
        let mut grants: BTreeMap<(usize, Grantee), Granted> = BTreeMap::new();
        for _ in 0..RESOURCES {
            let thing = random.random_range(0..things.len());
            let fitting: Vec<usize> =
                (0..teams.len()).filter(|team| teams[*team] == things[thing].organization).collect();
            let to = match (random.random_range(0..4), fitting.choose(random)) {
                (0 | 1, _) | (2, None) => Grantee::Person(random.random_range(0..PEOPLE)),
                (2, Some(team)) => Grantee::Team(*team),
                _ => Grantee::Organization(random.random_range(0..ORGANIZATIONS)),
            };
            let (level, position) = (random.random_range(1..5), random.random_range(0..100));
            grants.insert((thing, to), Granted { thing, to, level, position, kept: random.random_bool(0.5) });
        }
        let grants = grants.into_values().collect();
        Self { organizations, members, suspended, teams, team_members, things, items, grants }
    }

    fn active(&self, organization: usize, person: usize) -> Option<&Membership> {
        self.members.get(&(organization, person)).filter(|member| member.active)
    }

    /// What a grant gives someone on a resource that it counts for.
    fn by_grant(&self, grant: &Granted, person: usize, thing: &Thing) -> usize {
        let (outside_allowed, _) = self.organizations[thing.organization];
        match grant.to {
            Grantee::Person(other) if other != person => 0,
            Grantee::Person(_) => match self.members.get(&(thing.organization, person)) {
                // It sleeps, and wakes with them where it was kept.
                Some(member) if grant.position <= member.ended_at && !(member.active && grant.kept) => 0,
                Some(member) if member.active => grant.level,
                _ if outside_allowed => grant.level,
                _ => 0,
            },
            // R81: a collaborator has it as long as they have something of their own.
            Grantee::Team(team) if self.team_members.contains(&(team, person)) => {
                let is_member = self.active(thing.organization, person).is_some();
                if is_member || self.has_own(thing.organization, person) { grant.level } else { 0 }
            }
            Grantee::Team(_) => 0,
            Grantee::Organization(other) => {
                let Some(member) = self.active(other, person) else { return 0 };
                if self.organizations[other].1 || other != thing.organization && !outside_allowed {
                    return 0;
                }
                match member.role {
                    "owner" | "admin" => grant.level,
                    role => {
                        let cap = match thing.kind {
                            "app" if member.shared_apps => 4,
                            "app" => 0,
                            _ => member.shared_projects,
                        };
                        grant.level.min(cap).min(if role == "viewer" { 1 } else { 4 })
                    }
                }
            }
        }
    }

    /// Whether anything in an organization counts that is granted to somebody outside themselves.
    fn has_own(&self, organization: usize, person: usize) -> bool {
        let ended_at = self.members.get(&(organization, person)).map(|member| member.ended_at);
        let counts = |grant: &Granted| {
            let here = self.things[grant.thing].organization == organization;
            here && grant.to == Grantee::Person(person) && ended_at.is_none_or(|ended_at| grant.position > ended_at)
        };
        self.organizations[organization].0 && self.grants.iter().any(counts)
    }

    /// R67: who reaches something in an organization without being a member.
    fn collaborators(&self, organization: usize, people: usize) -> Vec<usize> {
        let is_one = |person: &usize| {
            let is_member = self.active(organization, *person).is_some();
            !is_member && !self.suspended.contains(person) && self.has_own(organization, *person)
        };
        (0..people).filter(is_one).collect()
    }

    /// A resource and what it lies in.
    fn chain(&self, thing: usize) -> Vec<usize> {
        std::iter::successors(Some(thing), |thing| self.things[*thing].container).collect()
    }

    /// The most that grants on any of these give someone on the thing.
    fn by_grants(&self, on: &[usize], person: usize, thing: &Thing) -> usize {
        let grants = self.grants.iter().filter(|grant| on.contains(&grant.thing));
        grants.map(|grant| self.by_grant(grant, person, thing)).max().unwrap_or(0)
    }

    /// What someone may do with a resource, as the rules say it.
    fn level(&self, person: usize, index: usize) -> usize {
        let thing = &self.things[index];
        if self.organizations[thing.organization].1 || self.suspended.contains(&person) {
            return 0;
        }
        let chain = self.chain(index);
        let member = self.active(thing.organization, person);
        let mut level = self.by_grants(&chain, person, thing);
        // R33: owning takes a membership; a sample of one's own, a grant that counts.
        let owns = chain.iter().any(|thing| self.things[*thing].owner == person);
        let is_own_sample = thing.kind == "sample" && thing.owner == person;
        if member.is_some() && owns || is_own_sample && level > 0 {
            level = 4;
        }
        if let Some(member) = member {
            if chain.iter().any(|thing| self.things[*thing].visible) {
                level = level.max(1);
            }
            // R2: owner and admins reach all.
            if matches!(member.role, "owner" | "admin") {
                level = 4;
            }
        }
        // R73: a collection shows what it gathers.
        for (collection, _) in self.items.iter().filter(|(_, item)| *item == index) {
            let around = self.chain(*collection);
            let has = |found: &dyn Fn(&Thing) -> bool| around.iter().any(|thing| found(&self.things[*thing]));
            let inside = member.is_some() && (has(&|thing| thing.owner == person) || has(&|thing| thing.visible));
            if inside || self.by_grants(&around, person, thing) > 0 {
                level = level.max(1);
            }
        }
        // R61: whoever receives a project reads it while it moves.
        let receives = |thing: &usize| self.things[*thing].moving && self.things[*thing].owner == person;
        if chain.iter().any(receives) {
            level = level.max(1);
        }
        // R14, R61: viewers read, and so does everyone while a project moves.
        let reads = member.is_some_and(|member| member.role == "viewer");
        if reads || chain.iter().any(|thing| self.things[*thing].moving) { level.min(1) } else { level }
    }
}

/// A way by which somebody reaches a resource: its kind, and what it gives by itself.
type Way = (&'static str, usize);

impl World {
    /// What keeps a grant to somebody from giving its level on a thing; `None` if it isn't to them.
    fn limits_of(&self, grant: &Granted, person: usize, thing: &Thing) -> Option<BTreeSet<&'static str>> {
        let outside_allowed = self.organizations[thing.organization].0;
        let member = self.members.get(&(thing.organization, person));
        let is_active = member.is_some_and(|member| member.active);
        let given = self.by_grant(grant, person, thing);
        let mut limits = BTreeSet::new();
        match grant.to {
            Grantee::Person(other) if other != person => return None,
            Grantee::Person(_) if given == 0 => {
                if is_active || member.is_some_and(|member| grant.position <= member.ended_at) {
                    limits.insert("SLEEPING");
                }
                if !is_active && !outside_allowed {
                    limits.insert("EXTERNAL_SHARING");
                }
            }
            Grantee::Person(_) => {}
            Grantee::Team(team) if !self.team_members.contains(&(team, person)) => return None,
            Grantee::Team(_) if given == 0 => {
                limits.insert(if outside_allowed { "SLEEPING" } else { "EXTERNAL_SHARING" });
            }
            Grantee::Team(_) => {}
            Grantee::Organization(other) => {
                let member = self.active(other, person).filter(|_| !self.organizations[other].1)?;
                let leads = matches!(member.role, "owner" | "admin");
                if other != thing.organization && !outside_allowed {
                    limits.insert("EXTERNAL_SHARING");
                }
                if thing.kind == "app" && !leads && !member.shared_apps {
                    limits.insert("SHARED_APPS");
                }
                if thing.kind != "app" && !leads && member.shared_projects < grant.level {
                    limits.insert("SHARED_PROJECTS");
                }
                if member.role == "viewer" && grant.level > 1 {
                    limits.insert("VIEWER_ROLE");
                }
            }
        }
        Some(limits)
    }

    /// Every way by which somebody reaches a resource, or would but for the limits with it.
    fn ways(&self, person: usize, index: usize) -> Vec<(Way, BTreeSet<&'static str>)> {
        let thing = &self.things[index];
        let mut ways = Vec::new();
        if self.organizations[thing.organization].1 {
            return ways;
        }
        let chain = self.chain(index);
        let member = self.active(thing.organization, person);
        let none = BTreeSet::new;
        if member.is_some_and(|member| matches!(member.role, "owner" | "admin")) {
            ways.push((("LEADER", 4), none()));
        }
        for around in chain.iter().map(|around| &self.things[*around]) {
            if member.is_some() && around.owner == person {
                ways.push((("OWNER", 4), none()));
            }
            if member.is_some() && around.visible {
                ways.push((("VISIBILITY", 1), none()));
            }
            if around.moving && around.owner == person {
                ways.push((("TRANSFER", 1), none()));
            }
        }
        for grant in self.grants.iter().filter(|grant| chain.contains(&grant.thing)) {
            let kind = match grant.to {
                Grantee::Person(_) => "GRANT",
                Grantee::Team(_) => "TEAM_GRANT",
                Grantee::Organization(_) => "ORGANIZATION_GRANT",
            };
            ways.extend(self.limits_of(grant, person, thing).map(|limits| ((kind, grant.level), limits)));
        }
        let is_own_sample = thing.kind == "sample" && thing.owner == person && member.is_none();
        if is_own_sample && self.by_grants(&chain, person, thing) > 0 {
            ways.push((("OWN_SAMPLE", 4), none()));
        }
        for (collection, _) in self.items.iter().filter(|(_, item)| *item == index) {
            let around = self.chain(*collection);
            let has = |found: &dyn Fn(&Thing) -> bool| around.iter().any(|thing| found(&self.things[*thing]));
            let inside = member.is_some() && (has(&|thing| thing.owner == person) || has(&|thing| thing.visible));
            let by_grants: Vec<BTreeSet<&str>> = self
                .grants
                .iter()
                .filter(|grant| around.contains(&grant.thing))
                .filter_map(|grant| self.limits_of(grant, person, thing))
                .collect();
            let reaches = inside || self.by_grants(&around, person, thing) > 0;
            if reaches || !by_grants.is_empty() {
                let limits = if reaches { none() } else { by_grants.into_iter().flatten().collect() };
                ways.push((("COLLECTION", 1), limits));
            }
        }
        // What holds for everything that one reaches there.
        for ((_, given), limits) in &mut ways {
            if self.suspended.contains(&person) {
                limits.insert("SUSPENDED");
            }
            if *given > 1 && member.is_some_and(|member| member.role == "viewer") {
                limits.insert("VIEWER_ROLE");
            }
            if *given > 1 && chain.iter().any(|thing| self.things[*thing].moving) {
                limits.insert("MOVING");
            }
        }
        ways
    }
}

/// Whether a search finds a name.
fn is_found(search: &str, name: &str) -> bool {
    let (search, name) = (search.to_lowercase(), name.to_lowercase());
    match search.len() {
        1 | 2 => name.split([' ', '-', '_', '.', '/']).any(|word| word.starts_with(&search)),
        _ => name.contains(&search),
    }
}

/// What a person's key to an organization opens.
fn secret(organization: Uuid, user: Uuid) -> String {
    format!("rck_{organization}-{user}")
}

/// A world in the database.
#[derive(Debug)]
pub struct Stored {
    world: World,
    people: Vec<String>,
    organizations: Vec<Uuid>,
    things: Vec<Uuid>,
}

impl Stored {
    async fn new(app: &TestApp, people: &[Client], world: World) -> Self {
        let users: Vec<Uuid> = people.iter().map(|person| uuid(&person.user_id)).collect();
        let new = |count: usize| (0..count).map(|_| Uuid::now_v7()).collect::<Vec<_>>();
        let organizations = new(world.organizations.len());
        let (teams, things) = (new(world.teams.len()), new(world.things.len()));
        let mut sql = "BEGIN;".to_owned();
        for (id, (outside, deleted)) in organizations.iter().zip(&world.organizations) {
            let sharing = if *outside { "allowed" } else { "members_only" };
            let (deleted, by) =
                if *deleted { ("rollcall_now()", format!("'{}'", users[0])) } else { ("NULL", "NULL".to_owned()) };
            sql += &format!(
                "INSERT INTO organizations (id, name, external_sharing, created_at, deleted_at, deleted_by_id) \
                 VALUES ('{id}', 'Acme', '{sharing}', rollcall_now(), {deleted}, {by});"
            );
        }
        for ((organization, person), member) in &world.members {
            let (organization, user) = (organizations[*organization], users[*person]);
            let Membership { role, active, shared_apps, shared_projects, ended_at } = member;
            let (status, caps) = (if *active { "active" } else { "removed" }, LEVELS[*shared_projects]);
            sql += &format!(
                "INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, \
                 shared_projects, joined_at, joined_via, ended_at_position) VALUES (gen_random_uuid(), '{organization}', \
                 '{user}', '{role}', '{status}', true, {shared_apps}, '{caps}', rollcall_now(), 'founder', {ended_at});"
            );
            let secret = secret(organization, user);
            sql += &format!(
                "INSERT INTO api_keys (id, organization_id, user_id, name, prefix, secret_digest, scope, created_at) \
                 VALUES (gen_random_uuid(), '{organization}', '{user}', 'Key', 'rck_', sha256('{secret}'), 'read', rollcall_now());"
            );
        }
        for person in &world.suspended {
            sql += &format!("UPDATE users SET suspended_at = rollcall_now() WHERE id = '{}';", users[*person]);
        }
        for (index, (id, organization)) in teams.iter().zip(&world.teams).enumerate() {
            let organization = organizations[*organization];
            sql += &format!(
                "INSERT INTO teams (id, organization_id, name, folded_name, created_at) \
                 VALUES ('{id}', '{organization}', 'Team {index}', 'team {index}', rollcall_now());"
            );
        }
        for (team, person) in &world.team_members {
            let organization = organizations[world.teams[*team]];
            let outside = world.active(world.teams[*team], *person).is_none();
            let (team, user) = (teams[*team], users[*person]);
            sql += &format!(
                "INSERT INTO team_members (organization_id, team_id, user_id, added_at, outside) \
                 VALUES ('{organization}', '{team}', '{user}', rollcall_now(), {outside});"
            );
        }
        for (id, thing) in things.iter().zip(&world.things) {
            let Thing { name, organization, kind, owner, visible, container, moving } = thing;
            let (organization, owner) = (organizations[*organization], users[*owner]);
            let visibility = if *visible { "organization" } else { "private" };
            let container = container.map_or("NULL".to_owned(), |container| format!("'{}'", things[container]));
            sql += &format!(
                "INSERT INTO resources (id, organization_id, kind, name, folded_name, owner_id, owned_since, created_by_id, visibility, \
                 container_id, moving, created_at, updated_at) VALUES ('{id}', '{organization}', '{kind}', '{name}', lower('{name}'), \
                 '{owner}', rollcall_now(), '{owner}', '{visibility}', {container}, {moving}, rollcall_now(), rollcall_now());"
            );
        }
        for (collection, item) in &world.items {
            let (organization, kind) = (organizations[world.things[*item].organization], world.things[*item].kind);
            let (collection, item) = (things[*collection], things[*item]);
            sql += &format!(
                "INSERT INTO collection_items (organization_id, collection_id, resource_id, kind, added_at) \
                 VALUES ('{organization}', '{collection}', '{item}', '{kind}', rollcall_now());"
            );
        }
        for Granted { thing, to, level, position, kept } in &world.grants {
            let holder = world.things[*thing].organization;
            let organization = organizations[holder];
            let member = match to {
                Grantee::Person(person) if *kept => world.members.get(&(holder, *person)),
                _ => None,
            };
            let kept = member.map_or("NULL".to_owned(), |member| member.ended_at.to_string());
            let (column, to) = match to {
                Grantee::Person(person) => ("user_id", users[*person]),
                Grantee::Team(team) => ("team_id", teams[*team]),
                Grantee::Organization(organization) => ("grantee_organization_id", organizations[*organization]),
            };
            let (thing, level, by) = (things[*thing], LEVELS[*level], users[0]);
            sql += &format!(
                "INSERT INTO grants (id, organization_id, resource_id, {column}, level, position, kept_position, granted_by_id, created_at) \
                 VALUES (gen_random_uuid(), '{organization}', '{thing}', '{to}', '{level}', {position}, {kept}, '{by}', rollcall_now());"
            );
        }
        app.database.sql(&(sql + "COMMIT")).await;
        let people = people.iter().map(|person| person.user_id.clone()).collect();
        Self { world, people, organizations, things }
    }

    /// The world as it is in the database, whatever has made it so; all accounts are these people's.
    pub async fn read(app: &TestApp, people: &[Client]) -> Self {
        let rows = async |select: &str, from: &str| -> Vec<Value> {
            let rows =
                app.database.texts(&format!("SELECT json_build_array({select})::text AS value FROM {from}")).await;
            rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
        };
        let id = |value: &Value| -> Uuid { value.as_str().unwrap().parse().unwrap() };
        let at = |ids: &[Uuid], value: &Value| ids.iter().position(|other| *other == id(value)).unwrap();
        let one_of = |words: &[&'static str], value: &Value| *words.iter().find(|word| value == **word).unwrap();
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let flag = |value: &Value| value.as_bool().unwrap();
        let users: Vec<Uuid> = people.iter().map(|person| uuid(&person.user_id)).collect();
        let found = rows("id, external_sharing = 'allowed', deleted_at IS NOT NULL", "organizations ORDER BY id").await;
        let organizations: Vec<Uuid> = found.iter().map(|row| id(&row[0])).collect();
        let of_organizations = found.iter().map(|row| (flag(&row[1]), flag(&row[2]))).collect();
        let found = rows(
            "organization_id, user_id, role, status = 'active', shared_apps, access_rank(shared_projects), ended_at_position",
            "members",
        )
        .await;
        let member = |row: &Value| {
            let membership = Membership {
                role: one_of(&["owner", "admin", "member", "viewer"], &row[2]),
                active: flag(&row[3]),
                shared_apps: flag(&row[4]),
                shared_projects: number(&row[5]),
                ended_at: row[6].as_i64().unwrap(),
            };
            ((at(&organizations, &row[0]), at(&users, &row[1])), membership)
        };
        let members = found.iter().map(member).collect();
        let found = rows("id", "users WHERE suspended_at IS NOT NULL").await;
        let suspended = found.iter().map(|row| at(&users, &row[0])).collect();
        let found = rows("id, organization_id", "teams ORDER BY id").await;
        let team_ids: Vec<Uuid> = found.iter().map(|row| id(&row[0])).collect();
        let teams = found.iter().map(|row| at(&organizations, &row[1])).collect();
        let found = rows("team_id, user_id", "team_members").await;
        let team_members = found.iter().map(|row| (at(&team_ids, &row[0]), at(&users, &row[1]))).collect();
        let found = rows(
            "id, name, organization_id, kind, owner_id, visibility = 'organization', container_id, moving",
            "resources ORDER BY id",
        )
        .await;
        let thing_ids: Vec<Uuid> = found.iter().map(|row| id(&row[0])).collect();
        let thing = |row: &Value| Thing {
            name: text(&row[1]),
            organization: at(&organizations, &row[2]),
            kind: one_of(&KINDS, &row[3]),
            owner: at(&users, &row[4]),
            visible: flag(&row[5]),
            container: (!row[6].is_null()).then(|| at(&thing_ids, &row[6])),
            moving: flag(&row[7]),
        };
        let things = found.iter().map(thing).collect();
        let found = rows("collection_id, resource_id", "collection_items").await;
        let items = found.iter().map(|row| (at(&thing_ids, &row[0]), at(&thing_ids, &row[1]))).collect();
        let found = rows(
            "g.resource_id, g.user_id, g.team_id, g.grantee_organization_id, access_rank(g.level), g.position, \
             coalesce(g.kept_position >= m.ended_at_position, false)",
            "grants g LEFT JOIN members m ON m.organization_id = g.organization_id AND m.user_id = g.user_id ORDER BY g.id",
        )
        .await;
        let grant = |row: &Value| Granted {
            thing: at(&thing_ids, &row[0]),
            to: match (&row[1], &row[2]) {
                (Value::Null, Value::Null) => Grantee::Organization(at(&organizations, &row[3])),
                (Value::Null, team) => Grantee::Team(at(&team_ids, team)),
                (user, _) => Grantee::Person(at(&users, user)),
            },
            level: number(&row[4]),
            position: row[5].as_i64().unwrap(),
            kept: flag(&row[6]),
        };
        let grants = found.iter().map(grant).collect();
        let world =
            World { organizations: of_organizations, members, suspended, teams, team_members, things, items, grants };
        let people = people.iter().map(|person| person.user_id.clone()).collect();
        Self { world, people, organizations, things: thing_ids }
    }

    async fn forget(&self, app: &TestApp) {
        let ids: Vec<String> = self.organizations.iter().map(|id| format!("'{id}'")).collect();
        let ids = ids.join(", ");
        let tables = ["collection_items", "grants", "resources", "team_members", "teams", "api_keys", "members"];
        let deletes = tables.map(|table| format!("DELETE FROM {table} WHERE organization_id IN ({ids});"));
        app.database
            .sql(&format!(
                "BEGIN; {} DELETE FROM organizations WHERE id IN ({ids}); UPDATE users SET suspended_at = NULL; COMMIT",
                deletes.join("")
            ))
            .await;
    }

    fn id(&self, thing: usize) -> String {
        to_text(ResourceId::from_uuid(self.things[thing]))
    }

    /// Everything that a list gives, page by page.
    async fn listed(&self, person: &Client, query: &str, variables: &Value, path: [&str; 2]) -> Vec<String> {
        let mut found = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut variables = variables.clone();
            variables["after"] = after;
            let data = person.query(query, variables).await;
            let list = &data[path[0]][path[1]];
            if list.is_null() {
                return found;
            }
            found.extend(nodes(list).iter().map(|node| text(&node["id"])));
            if list["pageInfo"]["hasNextPage"] != true {
                return found;
            }
            after = list["pageInfo"]["endCursor"].clone();
        }
    }

    /// Everything that is said to someone, or of them to services, that isn't what the rules say.
    pub async fn problems(&self, staff: &Client, person: usize, client: &Client, random: u64) -> Vec<String> {
        let random = &mut StdRng::seed_from_u64(random);
        let world = &self.world;
        let mut problems = self.told_apart(person, client, None, random).await;
        // What a platform's own services are told.
        let expected = (0..world.things.len()).map(|thing| LEVELS[world.level(person, thing)].to_uppercase());
        let (expected, ids): (Vec<String>, Vec<String>) = (expected.collect(), self.ids());
        let query = "query($user: ID!, $ids: [ID!]!) { access(userId: $user, resourceIds: $ids) }";
        for (expected, ids) in expected.chunks(100).zip(ids.chunks(100)) {
            let told = staff.query(query, json!({ "user": client.user_id, "ids": ids })).await;
            if told["access"] != json!(expected) {
                problems.push(format!("access: {}, not {expected:?}", told["access"]));
            }
        }
        problems.extend(self.told_why(staff, person, client).await);
        problems.extend(self.told_what_they_reach(staff, person, client, random).await);
        for _ in 0..3 {
            let thing = random.random_range(0..world.things.len());
            problems.extend(self.told_who_reaches(staff, thing, random.random_range(1..5)).await);
        }
        problems
    }

    /// R89: services are told of each resource why somebody has their level, and the most that the reasons give within
    /// their limits is that level.
    async fn told_why(&self, staff: &Client, person: usize, client: &Client) -> Vec<String> {
        let world = &self.world;
        let mut problems = Vec::new();
        let check = |id| json!({ "user": { "id": client.user_id }, "resource": { "id": id }, "atLeast": "UPLOAD" });
        let checks: Vec<Value> = self.ids().into_iter().map(check).collect();
        let query = "query($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed level limitedBy reasons { kind level } } }";
        for (first, checks) in (0..).step_by(200).zip(checks.chunks(200)) {
            let told = staff.query(query, json!({ "checks": checks })).await;
            for (index, decision) in (first..).zip(told["checkAccess"].as_array().unwrap()) {
                let level = world.level(person, index);
                let ways = world.ways(person, index);
                // A way without limits gives all that it gives by itself, and one with a limit as much as that leaves.
                let most = ways.iter().map(|((_, given), _)| *given).max().unwrap_or(0);
                let limits: BTreeSet<&str> = ways
                    .iter()
                    .filter(|((_, given), _)| *given > level)
                    .flat_map(|(_, limits)| limits.iter().copied())
                    .collect();
                let is_explained = ways.iter().all(|((_, given), limits)| *given <= level || !limits.is_empty());
                let mut expected: Vec<String> =
                    ways.iter().map(|((kind, given), _)| format!("{kind} {}", LEVELS[*given].to_uppercase())).collect();
                expected.sort_unstable();
                let reasons = decision["reasons"].as_array().unwrap().iter();
                let mut found: Vec<String> =
                    reasons.map(|reason| format!("{} {}", text(&reason["kind"]), text(&reason["level"]))).collect();
                found.sort_unstable();
                let limited: BTreeSet<String> = decision["limitedBy"].as_array().unwrap().iter().map(text).collect();
                let limits: BTreeSet<String> = limits.into_iter().map(str::to_owned).collect();
                let is_right = decision["level"] == LEVELS[level].to_uppercase().as_str()
                    && decision["allowed"] == (level >= 2)
                    && found == expected
                    && limited == limits
                    && limits.is_empty() == (most == level)
                    && is_explained;
                if !is_right {
                    problems.push(format!(
                        "why {index} {:?}: {decision}, not {} by {expected:?} within {limits:?}",
                        world.things[index], LEVELS[level]
                    ));
                }
            }
        }
        problems
    }

    /// R89: services are told what somebody reaches, and at which level.
    async fn told_what_they_reach(
        &self,
        staff: &Client,
        person: usize,
        client: &Client,
        random: &mut StdRng,
    ) -> Vec<String> {
        let world = &self.world;
        let mut problems = Vec::new();
        let query = "query($user: UserRef!, $organization: ID, $kind: ResourceKind, $atLeast: AccessLevel, $first: Int, $after: String) { \
             reachable(user: $user, organizationId: $organization, kind: $kind, atLeast: $atLeast, first: $first, after: $after) { \
             edges { level node { id } } pageInfo { hasNextPage endCursor } } }";
        let kind = *["project", "sample", "document", "app"].choose(random).unwrap();
        let organization = random.random_range(0..self.organizations.len());
        let (least, first) = (random.random_range(2..5), random.random_range(1..30));
        for (at_least, kind, organization) in
            [(1, None, None), (least, None, None), (least, Some(kind), None), (least, None, Some(organization))]
        {
            let mut variables = json!({
                "user": { "id": client.user_id }, "first": first, "atLeast": LEVELS[at_least].to_uppercase(),
                "kind": kind.map(str::to_uppercase),
                "organization": organization.map(|index| to_text(OrganizationId::from_uuid(self.organizations[index]))),
            });
            let mut found: Vec<(String, String)> = Vec::new();
            loop {
                // Staff's edges name resources, which they may not read further.
                let page = staff.query(query, variables.clone()).await["reachable"].clone();
                let edges = page["edges"].as_array().unwrap().iter();
                found.extend(edges.map(|edge| (text(&edge["node"]["id"]), text(&edge["level"]))));
                if page["pageInfo"]["hasNextPage"] != true {
                    break;
                }
                variables["after"] = page["pageInfo"]["endCursor"].clone();
            }
            let wanted: Vec<(String, String)> = (0..world.things.len())
                .filter(|index| {
                    let thing = &world.things[*index];
                    world.level(person, *index) >= at_least
                        && kind.is_none_or(|kind| kind == thing.kind)
                        && organization.is_none_or(|organization| organization == thing.organization)
                })
                .map(|index| (self.id(index), LEVELS[world.level(person, index)].to_uppercase()))
                .collect();
            if found != wanted {
                problems.push(format!("reachable {variables}: {found:?}, not {wanted:?}"));
            }
        }
        problems
    }

    /// R89: services are told who reaches a resource, each once, and at which level.
    async fn told_who_reaches(&self, staff: &Client, thing: usize, at_least: usize) -> Vec<String> {
        let query = "query($id: ID!, $atLeast: AccessLevel, $after: String) { audience(resource: { id: $id }, atLeast: $atLeast, first: 2, after: $after) { \
             edges { level node { id } reasons { kind level } } pageInfo { hasNextPage endCursor } } }";
        let world = &self.world;
        let mut problems = Vec::new();
        for at_least in [1, at_least] {
            let mut variables = json!({ "id": self.id(thing), "atLeast": LEVELS[at_least].to_uppercase() });
            let mut found: Vec<(String, String, usize)> = Vec::new();
            let is_there = loop {
                let page = staff.query(query, variables.clone()).await["audience"].clone();
                let Some(edges) = page["edges"].as_array() else { break false };
                found.extend(edges.iter().map(|edge| {
                    (text(&edge["node"]["id"]), text(&edge["level"]), edge["reasons"].as_array().unwrap().len())
                }));
                if page["pageInfo"]["hasNextPage"] != true {
                    break true;
                }
                variables["after"] = page["pageInfo"]["endCursor"].clone();
            };
            let mut wanted: Vec<(String, String, usize)> = (0..self.people.len())
                .filter(|person| world.level(*person, thing) >= at_least)
                .map(|person| {
                    let level = LEVELS[world.level(person, thing)].to_uppercase();
                    (self.people[person].clone(), level, world.ways(person, thing).len())
                })
                .collect();
            wanted.sort_unstable();
            if found != wanted || is_there == world.organizations[world.things[thing].organization].1 {
                problems.push(format!("audience {variables} {:?}: {found:?}, not {wanted:?}", world.things[thing]));
            }
        }
        problems
    }

    /// Likewise of what someone is told by their key to each organization.
    async fn problems_by_keys(&self, person: usize, client: &Client, random: u64) -> Vec<String> {
        let random = &mut StdRng::seed_from_u64(random);
        let world = &self.world;
        let mut problems = Vec::new();
        for (organization, id) in self.organizations.iter().enumerate() {
            let key = client.with_token(&secret(*id, uuid(&client.user_id)));
            let deleted = world.organizations[organization].1;
            if world.active(organization, person).is_some() && !deleted && !world.suspended.contains(&person) {
                let by_key = self.told_apart(person, &key, Some(organization), random).await;
                problems.extend(by_key.into_iter().map(|problem| format!("by a key to {organization}: {problem}")));
            } else {
                // R31, R32: there is nothing that it opens.
                let answer = key.run("{ viewer { email } }", json!({})).await;
                if answer.body["errors"][0]["extensions"]["code"] != "UNAUTHENTICATED" {
                    problems.push(format!("a key to {organization} works: {}", answer.body));
                }
            }
        }
        problems
    }

    /// R67: owner and admins are told who the collaborators are, page by page, and nobody else is.
    async fn told_of_collaborators(
        &self,
        person: usize,
        client: &Client,
        within: Option<usize>,
        organization: usize,
    ) -> Option<String> {
        let id = to_text(OrganizationId::from_uuid(self.organizations[organization]));
        let leads =
            self.world.active(organization, person).is_some_and(|member| ["owner", "admin"].contains(&member.role));
        let seen = leads && !self.world.organizations[organization].1 && !self.world.suspended.contains(&person);
        let mut wanted: Vec<&str> = Vec::new();
        if seen && within.is_none_or(|only| only == organization) {
            wanted.extend(
                self.world
                    .collaborators(organization, self.people.len())
                    .iter()
                    .map(|person| self.people[*person].as_str()),
            );
            wanted.sort_unstable();
        }
        let query = "query($id: ID!, $after: String) { organization(by: { id: $id }) { collaborators(first: 2, after: $after) { totalCount nodes { id: user { id } } pageInfo { hasNextPage endCursor } } } }";
        let mut found = Vec::new();
        let mut after = Value::Null;
        loop {
            let data = client.query(query, json!({ "id": id, "after": after })).await;
            let list = &data["organization"]["collaborators"];
            if list.is_null() {
                break;
            }
            if list["totalCount"] != wanted.len() {
                return Some(format!("{} collaborators of {organization}, not {}", list["totalCount"], wanted.len()));
            }
            found.extend(nodes(list).iter().map(|node| text(&node["id"]["id"])));
            if list["pageInfo"]["hasNextPage"] != true {
                break;
            }
            after = list["pageInfo"]["endCursor"].clone();
        }
        // The list is in the order of the collaborators' own ids.
        found.sort_unstable();
        (found != wanted).then(|| format!("collaborators of {organization}: {found:?}, not {wanted:?}"))
    }

    fn ids(&self) -> Vec<String> {
        (0..self.things.len()).map(|thing| self.id(thing)).collect()
    }

    /// Everything that checks and lists say to someone, in one organization only where a key limits them, that isn't
    /// what the rules say.
    async fn told_apart(
        &self,
        person: usize,
        client: &Client,
        within: Option<usize>,
        random: &mut StdRng,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        for organization in 0..self.organizations.len() {
            problems.extend(self.told_of_collaborators(person, client, within, organization).await);
        }
        let world = &self.world;
        let level = |(index, thing): (usize, &Thing)| match within {
            Some(organization) if organization != thing.organization => 0,
            _ => world.level(person, index),
        };
        let expected: Vec<usize> = world.things.iter().enumerate().map(level).collect();
        let ids = self.ids();
        let query = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Resource { id viewerAccess } } }";
        let mut seen = Vec::new();
        for some in ids.chunks(100) {
            let answer = client.query(query, json!({ "ids": some })).await;
            seen.extend(answer["nodes"].as_array().unwrap().clone());
        }
        for (thing, seen) in seen.iter().enumerate() {
            let level = seen["viewerAccess"].as_str().unwrap_or("NONE").to_lowercase();
            if level != LEVELS[expected[thing]] {
                problems.push(format!("{thing} {:?}: {level}, not {}", world.things[thing], LEVELS[expected[thing]]));
            }
        }
        // R89: about oneself everybody may ask; what they can't reach isn't there.
        let check = |id: &String| json!({ "user": { "id": self.people[person] }, "resource": { "id": id } });
        let query = "query($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { level limitedBy revision reasons { kind } } }";
        let mut told = Vec::new();
        for some in ids.chunks(300) {
            let checks: Vec<Value> = some.iter().map(check).collect();
            told.extend(
                client.query(query, json!({ "checks": checks })).await["checkAccess"].as_array().unwrap().clone(),
            );
        }
        for (thing, told) in told.iter().enumerate() {
            let is_right = match expected[thing] {
                0 => *told == json!({ "level": "NONE", "limitedBy": [], "revision": null, "reasons": [] }),
                level => told["level"] == LEVELS[level].to_uppercase().as_str() && told["revision"].is_string(),
            };
            if !is_right {
                problems.push(format!("{thing} {:?}: {told}, not {}", world.things[thing], LEVELS[expected[thing]]));
            }
        }
        let reached = |wanted: &dyn Fn(usize, &Thing) -> bool| -> Vec<String> {
            let things =
                world.things.iter().enumerate().filter(|(index, thing)| expected[*index] > 0 && wanted(*index, thing));
            things.map(|(index, _)| ids[index].clone()).collect()
        };
        let mut compare = |what: String, found: Vec<String>, wanted: Vec<String>| {
            if found != wanted {
                let name = |id: &String| ids.iter().position(|other| other == id);
                let more: Vec<_> = found.iter().filter(|id| !wanted.contains(id)).map(name).collect();
                let missing: Vec<_> = wanted.iter().filter(|id| !found.contains(id)).map(name).collect();
                problems.push(format!("{what}: more: {more:?}, missing: {missing:?}"));
            }
        };
        let query = "query($after: String, $first: Int!, $kind: ResourceKind, $organization: ID, $search: String) { viewer { resources(first: $first, after: $after, kind: $kind, organizationId: $organization, search: $search) { nodes { id } pageInfo { hasNextPage endCursor } } } }";
        let all = json!({ "first": random.random_range(1..30) });
        compare(
            "all".to_owned(),
            self.listed(client, query, &all, ["viewer", "resources"]).await,
            reached(&|_, _| true),
        );
        let kind = *["project", "sample", "document", "source", "app", "collection"].choose(random).unwrap();
        let of_kind = json!({ "first": 7, "kind": kind.to_uppercase() });
        let found = self.listed(client, query, &of_kind, ["viewer", "resources"]).await;
        compare(format!("kind {kind}"), found, reached(&|_, thing| thing.kind == kind));
        // Of few names, of any, and of words that begin so.
        for search in ["THING 1", "g 1", "TH", "2"] {
            let variables = json!({ "first": 50, "search": search });
            let found = self.listed(client, query, &variables, ["viewer", "resources"]).await;
            compare(format!("search {search}"), found, reached(&|_, thing| is_found(search, &thing.name)));
        }
        for (organization, id) in self.organizations.iter().enumerate() {
            let id = to_text(OrganizationId::from_uuid(*id));
            let found =
                self.listed(client, query, &json!({ "first": 50, "organization": id }), ["viewer", "resources"]).await;
            compare(
                format!("organization {organization}"),
                found,
                reached(&|_, thing| thing.organization == organization),
            );
            let (owner, container) =
                (random.random_range(0..self.people.len()), random.random_range(0..world.things.len()));
            let query = "query($id: ID!, $after: String, $first: Int!, $owner: ID, $container: ID, $search: String) { organization(by: { id: $id }) { resources(first: $first, after: $after, ownerId: $owner, containerId: $container, search: $search) { nodes { id } pageInfo { hasNextPage endCursor } } } }";
            let by_owner = json!({ "id": id, "first": 9, "owner": self.people[owner] });
            let by_container = json!({ "id": id, "first": 9, "container": ids[container] });
            let seen = world.active(organization, person).is_some() && !world.organizations[organization].1;
            if seen && within.is_none_or(|only| only == organization) {
                let found = self.listed(client, query, &by_owner, ["organization", "resources"]).await;
                let wanted = reached(&|_, thing| thing.organization == organization && thing.owner == owner);
                compare(format!("owner {owner} in {organization}"), found, wanted);
                let found = self.listed(client, query, &by_container, ["organization", "resources"]).await;
                let wanted =
                    reached(&|_, thing| thing.organization == organization && thing.container == Some(container));
                compare(format!("container {container} in {organization}"), found, wanted);
                for search in ["thing 2", "g 2", "th", "3"] {
                    let narrowed = |mut list: Value| {
                        list["search"] = json!(search);
                        list
                    };
                    let list = narrowed(by_owner.clone());
                    let found = self.listed(client, query, &list, ["organization", "resources"]).await;
                    let wanted = reached(&|_, thing| {
                        thing.organization == organization && thing.owner == owner && is_found(search, &thing.name)
                    });
                    compare(format!("owner {owner} in {organization}, search {search}"), found, wanted);
                    let list = narrowed(by_container.clone());
                    let found = self.listed(client, query, &list, ["organization", "resources"]).await;
                    let wanted = reached(&|_, thing| {
                        let here = thing.organization == organization && thing.container == Some(container);
                        here && is_found(search, &thing.name)
                    });
                    compare(format!("container {container} in {organization}, search {search}"), found, wanted);
                }
            }
        }
        for (thing, list) in [("project", "contents"), ("workspace", "contents"), ("collection", "items")] {
            let reached_ones: Vec<usize> = (0..expected.len())
                .filter(|index| expected[*index] > 0 && world.things[*index].kind == thing)
                .collect();
            let Some(one) = reached_ones.choose(random).copied() else { continue };
            let query = format!(
                "query($id: ID!, $after: String) {{ node(id: $id) {{ ... on Resource {{ {list}(first: 3, after: $after) {{ nodes {{ id }} pageInfo {{ hasNextPage endCursor }} }} }} }} }}"
            );
            let found = self.listed(client, &query, &json!({ "id": ids[one] }), ["node", list]).await;
            let wanted = reached(&|index, thing| match list {
                "contents" => thing.container == Some(one),
                _ => world.items.contains(&(one, index)),
            });
            compare(format!("{list} of {one}"), found, wanted);
        }
        problems
    }
}

// R2, R5, R6, R14, R31, R32, R33, R37, R57, R58, R66, R67, R68, R73, R81, R89, D6: single checks, lists, and what
// services are told agree with the rules and with each other, in random worlds; `make soak` tries hundreds.
#[tokio::test]
async fn checks_and_lists_agree_with_the_rules() {
    let worlds = std::env::var("ROLLCALL_TEST_WORLDS").map_or(15, |worlds| worlds.parse().unwrap());
    let app = TestApp::start().await;
    let people = app.sign_up_many(PEOPLE).await;
    let staff = app.staff();
    let first: u64 = std::env::var("ROLLCALL_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    for seed in (0..worlds).map(|world: u64| first.wrapping_add(world)) {
        let stored = Stored::new(&app, &people, World::random(&mut StdRng::seed_from_u64(seed))).await;
        let (stored_ref, staff) = (&stored, &staff);
        let asked = people.iter().enumerate().map(async |(person, client)| {
            let mut problems = stored_ref.problems(staff, person, client, seed).await;
            problems.extend(stored_ref.problems_by_keys(person, client, seed).await);
            problems
        });
        let problems = join_all(asked).await;
        let problems: Vec<String> = problems
            .into_iter()
            .enumerate()
            .flat_map(|(person, problems)| {
                problems.into_iter().map(move |problem| format!("person {person}: {problem}"))
            })
            .collect();
        assert!(
            problems.is_empty(),
            "ROLLCALL_TEST_SEED={seed}: {} problems:\n{}\n{:#?}",
            problems.len(),
            problems.join("\n"),
            stored.world
        );
        stored.forget(&app).await;
    }
    app.finish().await;
}
