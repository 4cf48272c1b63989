//! The scenarios that measure Rollcall's API: the requests of each, and what every answer must contain.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::load::{Credentials, Load, LoadRequest, post};
use crate::world::{Accounts, LargeOrganization, Sizes, organization_id, resource_id, token, user_id};

/// The bearer token of the platform's staff.
pub const STAFF_TOKEN: &str = "bench-staff-token";

/// A scenario to measure.
pub struct Scenario {
    /// The name on the command line.
    pub name: String,
    /// The title in the report.
    pub title: String,
    /// The requests to send.
    pub load: Load,
    /// Whether the scenario only reads, so that pgbench can repeat its statements.
    pub reads: bool,
    /// SQL that resets the database before each round.
    pub reset: Option<&'static str>,
    /// What is prepared before each round.
    pub preparation: Preparation,
}

/// A supply of texts, of which each request of a round takes one.
pub type Supply = Rc<RefCell<Vec<String>>>;

/// What is prepared before a round.
pub enum Preparation {
    /// Nothing is prepared.
    Nothing,
    /// Join codes.
    JoinCodes(Supply),
    /// The tokens of sign-in emails.
    SignInTokens(Supply),
}

/// Deletes the invitations of previous rounds, since they count against the limit of open ones. Their emails are never
/// sent, since no worker runs.
pub const FORGET_INVITATIONS: &str = "DELETE FROM invitations; TRUNCATE jobs, attempts; VACUUM ANALYZE invitations";

const MEMBERS: &str = "query($id: ID!) { organization(by: { id: $id }) { id name slug \
     members(first: 50) { nodes { id role user { id name username } } } } }";
const RESOURCES: &str =
    "resources(first: 20) { nodes { id name kind owner { username } } pageInfo { hasNextPage endCursor } }";
const ACCESS: &str = "query($user: ID!, $ids: [ID!]!) { access(userId: $user, resourceIds: $ids) }";

/// Creates a GraphQL request with a bearer token.
pub fn graphql(token: &str, query: &str, variables: Value) -> anyhow::Result<LoadRequest> {
    post("/graphql", Credentials::Bearer(token), json!({ "query": query, "variables": variables }).to_string())
}

/// A scenario whose requests only read.
fn reading(name: &str, title: &str, requests: Vec<LoadRequest>, expected: &[(&str, usize)]) -> Scenario {
    let load = Load::cycle(requests, expected);
    Scenario {
        name: name.to_owned(),
        title: title.to_owned(),
        load,
        reads: true,
        reset: None,
        preparation: Preparation::Nothing,
    }
}

/// A kind of person who requests a list of resources, or whose access is checked.
#[derive(Clone, Copy)]
struct Asker {
    name: &'static str,
    title: &'static str,
    /// The account of such a person for an organization.
    account: fn(Sizes, u64) -> u64,
    /// The first of a hundred resources that they can reach.
    from: u64,
    /// Their access level on these resources.
    level: &'static str,
}

const ASKERS: [Asker; 3] = [
    Asker { name: "owner", title: "the owner", account: Sizes::owner, from: 0, level: "\"ADMINISTER\"" },
    Asker { name: "team", title: "a member by a team", account: Sizes::team_member, from: 0, level: "\"VIEW\"" },
    Asker {
        name: "grant",
        title: "somebody outside by a grant",
        account: Sizes::outsider,
        from: 100,
        level: "\"VIEW\"",
    },
];

/// All scenarios, in the order of the report.
pub fn all(sizes: Sizes, accounts: &Rc<Accounts>) -> anyhow::Result<Vec<Scenario>> {
    let mut scenarios = vec![typename()?, viewer(sizes)?, organization(sizes)?];
    for asker in ASKERS {
        scenarios.push(access(sizes, asker, 1)?);
    }
    for asker in ASKERS {
        scenarios.push(access(sizes, asker, 100)?);
    }
    scenarios.push(check_access(sizes)?);
    for asker in ASKERS {
        scenarios.push(resources(sizes, asker)?);
    }
    scenarios.push(audit_log(sizes)?);
    for organizations in [1, 200.min(sizes.organizations)] {
        for count in [1, 50] {
            scenarios.push(invite(sizes, organizations, count, accounts.clone()));
        }
    }
    scenarios.push(request_sign_in(sizes, accounts.clone()));
    scenarios.push(sign_in());
    scenarios.push(redeem(sizes, accounts.clone()));
    Ok(scenarios)
}

/// The main queries in one organization of a given size. Only Rollcall's own figures are compared.
pub fn by_size(one: LargeOrganization) -> anyhow::Result<Vec<Scenario>> {
    let id = organization_id(one.organization);
    let about = format!("in an organization of {} members and resources", one.count);
    let (owner, member) = (token(one.owner), token(one.team_member()));
    let members = vec![graphql(&owner, MEMBERS, json!({ "id": id }))?];
    let list = format!("query($id: ID!) {{ organization(by: {{ id: $id }}) {{ {RESOURCES} }} }}");
    let page = |token| anyhow::Ok(vec![graphql(token, &list, json!({ "id": id }))?]);
    let checks = (0..100).map(|n| {
        let variables = json!({ "user": user_id(one.team_member()), "ids": [resource_id(one.resource + n)] });
        graphql(STAFF_TOKEN, ACCESS, variables)
    });
    let checks = checks.collect::<anyhow::Result<_>>()?;
    let reachable = "query($user: UserRef!) { reachable(user: $user, first: 100) { edges { level node { id } } } }";
    let reachable =
        |account| anyhow::Ok(vec![graphql(STAFF_TOKEN, reachable, json!({ "user": { "id": user_id(account) } }))?]);
    let audience = "query($id: ID!) { audience(resource: { id: $id }, first: 100) { edges { level node { id } } } }";
    let audience = vec![graphql(STAFF_TOKEN, audience, json!({ "id": resource_id(one.resource) }))?];
    let of_size = |name: &str, title: &str, requests, expected: &[(&str, usize)]| {
        let scenario = reading(&format!("size-{name}-{}", one.count), &format!("{title}, {about}"), requests, expected);
        Scenario { reads: false, ..scenario }
    };
    Ok(vec![
        of_size("members", "page of 50 members", members, &[("\"username\"", 50)]),
        of_size("resources-owner", "page of 20 resources, for the owner", page(&owner)?, &[("\"kind\"", 20)]),
        of_size("resources-team", "page of 20 resources, for a member by a team", page(&member)?, &[("\"kind\"", 20)]),
        of_size("access", "`access`, one check, about a member by a team", checks, &[("\"VIEW\"", 1)]),
        of_size(
            "reachable-owner",
            "`reachable`, 100 resources, for the owner",
            reachable(one.owner)?,
            &[("\"level\"", 100)],
        ),
        of_size(
            "reachable-team",
            "`reachable`, 100 resources, for a member by a team",
            reachable(one.team_member())?,
            &[("\"level\"", 100)],
        ),
        of_size("audience", "`audience` of a resource", audience, &[]),
    ])
}

fn typename() -> anyhow::Result<Scenario> {
    let request = post("/graphql", Credentials::Nobody, json!({ "query": "{ __typename }" }).to_string())?;
    let mut scenario = reading("typename", "`{ __typename }`, without credentials", vec![request], &[("\"Query\"", 1)]);
    // It needs no statement.
    scenario.reads = false;
    Ok(scenario)
}

fn viewer(sizes: Sizes) -> anyhow::Result<Scenario> {
    let query = "{ viewer { email user { id name username } memberships { nodes { id role organization { id name slug } } } } }";
    let requests = (0..256.min(sizes.people())).map(|number| graphql(&token(number), query, json!({})));
    let requests = requests.collect::<anyhow::Result<_>>()?;
    Ok(reading("viewer", "viewer with two memberships and their organizations", requests, &[("\"slug\"", 2)]))
}

fn organization(sizes: Sizes) -> anyhow::Result<Scenario> {
    let requests = (0..sizes.asked()).flat_map(|organization| {
        [sizes.owner(organization), sizes.admin(organization, 0), sizes.admin(organization, 1)]
            .map(|account| graphql(&token(account), MEMBERS, json!({ "id": organization_id(organization) })))
    });
    let requests = requests.collect::<anyhow::Result<_>>()?;
    Ok(reading(
        "organization-50",
        "organization with 50 members, each with role and user",
        requests,
        &[("\"username\"", 50)],
    ))
}

fn access(sizes: Sizes, asker: Asker, count: u64) -> anyhow::Result<Scenario> {
    let requests = (0..256).map(|number| {
        let organization = number % sizes.asked();
        let first = if count == 1 { number % 100 } else { 0 };
        let place = |n| asker.from + (first + n) % 100;
        let ids: Vec<String> = (0..count).map(|n| resource_id(sizes.resource(organization, place(n)))).collect();
        let user = user_id((asker.account)(sizes, organization));
        graphql(STAFF_TOKEN, ACCESS, json!({ "user": user, "ids": ids }))
    });
    let requests = requests.collect::<anyhow::Result<_>>()?;
    let checks = if count == 1 { "one check".to_owned() } else { format!("{count} checks") };
    let count = usize::try_from(count)?;
    let name = format!("access-{count}-{}", asker.name);
    Ok(reading(&name, &format!("`access`, {checks}, about {}", asker.title), requests, &[(asker.level, count)]))
}

/// As many checks as a request may have: of each organization a few, about each of these people.
fn check_access(sizes: Sizes) -> anyhow::Result<Scenario> {
    const CHECKS: u64 = 1_000;
    let query = "query($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed level } }";
    let requests = (0..64).map(|request| {
        let checks: Vec<Value> = ASKERS
            .iter()
            .cycle()
            .zip(0..CHECKS)
            .map(|(asker, number)| {
                let organization = (request + number) % sizes.asked();
                let place = asker.from + (request + number / 10) % 100;
                json!({
                    "user": { "id": user_id((asker.account)(sizes, organization)) },
                    "resource": { "id": resource_id(sizes.resource(organization, place)) },
                })
            })
            .collect();
        graphql(STAFF_TOKEN, query, json!({ "checks": checks }))
    });
    let requests = requests.collect::<anyhow::Result<_>>()?;
    let title = "`checkAccess`, 1,000 checks, about many people in 64 organizations";
    let scenario = reading("check-access-1000", title, requests, &[("\"allowed\":true", usize::try_from(CHECKS)?)]);
    // pgbench can't tell the types of its parameters.
    Ok(Scenario { reads: false, ..scenario })
}

fn resources(sizes: Sizes, asker: Asker) -> anyhow::Result<Scenario> {
    let inside = format!("query($id: ID!) {{ organization(by: {{ id: $id }}) {{ {RESOURCES} }} }}");
    let outside = format!("{{ viewer {{ {RESOURCES} }} }}");
    let requests = (0..sizes.asked()).map(|organization| {
        let token = token((asker.account)(sizes, organization));
        match asker.name {
            "grant" => graphql(&token, &outside, json!({})),
            _ => graphql(&token, &inside, json!({ "id": organization_id(organization) })),
        }
    });
    let requests = requests.collect::<anyhow::Result<_>>()?;
    let name = format!("resources-{}", asker.name);
    Ok(reading(&name, &format!("page of 20 resources, for {}", asker.title), requests, &[("\"kind\"", 20)]))
}

fn audit_log(sizes: Sizes) -> anyhow::Result<Scenario> {
    let query = "query($id: ID!) { organization(by: { id: $id }) { \
         auditLog(last: 50) { nodes { sequence action summary occurredAt actor { username } } pageInfo { startCursor } } } }";
    let requests = (0..sizes.asked()).map(|organization| {
        let token = token(sizes.owner(organization));
        graphql(&token, query, json!({ "id": organization_id(organization) }))
    });
    let requests = requests.collect::<anyhow::Result<_>>()?;
    Ok(reading(
        "audit-log",
        "the newest 50 events of the audit log, each with its actor",
        requests,
        &[("\"summary\"", 50)],
    ))
}

fn invite(sizes: Sizes, organizations: u64, count: u64, accounts: Rc<Accounts>) -> Scenario {
    let query = "mutation($input: InviteMembersInput!) { inviteMembers(input: $input) { invitations { id status } userErrors { code message } } }";
    let request = move |number: u64| {
        let organization = number % organizations;
        let account = sizes.admin(organization, number / organizations);
        let invitations: Vec<Value> = (0..count)
            .map(|_| json!({ "email": format!("invited{}@bench.example", accounts.new_address()), "role": "MEMBER" }))
            .collect();
        let input = json!({ "organizationId": organization_id(organization), "invitations": invitations });
        // An organization has at most 10,000 open invitations.
        let room = number < 10_000 * organizations / count;
        room.then(|| graphql(&token(account), query, json!({ "input": input })).ok()).flatten()
    };
    let expected = [("\"PENDING\"", usize::try_from(count).unwrap_or_default()), ("\"userErrors\":[]", 1)];
    let (place, title) = match organizations {
        1 => ("one", "in one organization".to_owned()),
        more => ("spread", format!("spread over {more} organizations")),
    };
    Scenario {
        name: format!("invite-{count}-{place}"),
        title: format!("`inviteMembers` of {count}, {title}"),
        load: Load::each(request, &expected),
        reads: false,
        reset: Some(FORGET_INVITATIONS),
        preparation: Preparation::Nothing,
    }
}

/// Deletes what previous rounds left: attempts are counted for a quarter of an hour or longer, and no emails are sent.
const FORGET_TRIES: &str = "TRUNCATE jobs, attempts";

fn request_sign_in(sizes: Sizes, accounts: Rc<Accounts>) -> Scenario {
    let query =
        "mutation($input: RequestSignInInput!) { requestSignIn(input: $input) { userErrors { code message } } }";
    let request = move |_| {
        let email = format!("person{}@bench.example", accounts.new_address() % sizes.people());
        let body = json!({ "query": query, "variables": { "input": { "email": email } } });
        post("/graphql", Credentials::Nobody, body.to_string()).ok()
    };
    Scenario {
        name: "sign-in-request".to_owned(),
        title: "`requestSignIn`".to_owned(),
        load: Load::each(request, &[("\"userErrors\":[]", 1)]),
        reads: false,
        reset: Some(FORGET_TRIES),
        preparation: Preparation::Nothing,
    }
}

fn sign_in() -> Scenario {
    let query = "mutation($input: SignInInput!) { signIn(input: $input) { viewer { user { username } } sessionToken userErrors { code message } } }";
    let supply = Supply::default();
    let tokens = supply.clone();
    let request = move |_| {
        let body = json!({ "query": query, "variables": { "input": { "token": tokens.borrow_mut().pop()? } } });
        post("/graphql", Credentials::Nobody, body.to_string()).ok()
    };
    Scenario {
        name: "sign-in".to_owned(),
        title: "`signIn` with the link of an email".to_owned(),
        load: Load::each(request, &[("\"rcs_", 1), ("\"userErrors\":[]", 1)]),
        reads: false,
        reset: Some(FORGET_TRIES),
        preparation: Preparation::SignInTokens(supply),
    }
}

fn redeem(sizes: Sizes, accounts: Rc<Accounts>) -> Scenario {
    let query = "mutation($input: RedeemJoinCodeInput!) { redeemJoinCode(input: $input) { member { role } userErrors { code message } } }";
    let supply = Supply::default();
    let codes = supply.clone();
    let request = move |_| {
        let code = codes.borrow_mut().pop()?;
        let person = sizes.joiner(accounts.take(1).ok()?);
        graphql(&token(person), query, json!({ "input": { "code": code } })).ok()
    };
    Scenario {
        name: "redeem".to_owned(),
        title: format!("`redeemJoinCode`, spread over {} organizations", sizes.asked()),
        load: Load::each(request, &[("\"MEMBER\"", 1), ("\"userErrors\":[]", 1)]),
        reads: false,
        reset: Some("DELETE FROM join_codes WHERE status = 'active'; TRUNCATE jobs, attempts"),
        preparation: Preparation::JoinCodes(supply),
    }
}
