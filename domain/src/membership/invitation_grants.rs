//! What is granted together with the membership that an invitation gives: levels on projects and workspaces of the
//! organization (R80).
//!
//! The inviter gives them as far as they could grant them, when they invite and once more when the person accepts. What
//! can't be given any more is left out without the person learning of it; the audit log names it.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::account::grant_invitation::{self, OfferedGrant};
use crate::account::user;
use crate::authority::access::Permit;
use crate::authority::audit::NewEvent;
use crate::authority::platform::Within;
use crate::authority::resource_access::{self, Access, AccessQuestion, Giver};
use crate::authority::rights::AccessLevel;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{InvitationId, OrganizationId, ResourceId, UserId};
use crate::base::limits;
use crate::base::sql::statement;
use crate::database::Transaction;
use crate::database::schema::{grants, invitation_grants, resources};
use crate::membership::invitation::Invitation;

/// A level on a resource, as given by the inviter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvitedGrant {
    /// The resource.
    pub resource_id: ResourceId,
    /// The level.
    pub level: AccessLevel,
}

/// A level on a resource that an invitation gives. The resource is `None` if it was deleted.
#[derive(Debug, Clone, Copy, Queryable)]
pub struct InvitationGrant {
    /// The resource.
    pub resource_id: Option<ResourceId>,
    /// The level.
    pub level: AccessLevel,
}

/// A level on a resource, in the words of emails and pages.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct GrantInWords {
    /// The resource's name.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// The kind of the resource: `project` or `workspace`.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// The level, as far as the invited role allows it.
    #[diesel(sql_type = Text)]
    pub level: AccessLevel,
}

/// The kinds of resources on which an invitation can give a level.
const KINDS: [&str; 2] = ["project", "workspace"];

/// Checks what can be checked without looking anything up: the number of grants, their levels, and that no resource is
/// named twice.
pub(super) fn check(grants: &[InvitedGrant]) -> Result<(), Refusal> {
    if grants.len() > limits::MAX_INVITATION_GRANTS {
        let message = format!("must be at most {}", limits::MAX_INVITATION_GRANTS);
        return Err(Refusal::new(Code::TooMany, "grants", message));
    }
    let mut seen = HashSet::new();
    for (position, grant) in grants.iter().enumerate() {
        if grant.level == AccessLevel::None {
            return Err(at(position)(Refusal::new(Code::Invalid, "level", "must be VIEW or more; leave this one out")));
        }
        if !seen.insert(grant.resource_id) {
            let message = "is named twice; name each resource once, with its level";
            return Err(at(position)(Refusal::new(Code::Invalid, "resourceId", message)));
        }
    }
    Ok(())
}

/// Gives a refusal the path of an entry in the list of an invitation's grants.
fn at(position: usize) -> impl Fn(Refusal) -> Refusal {
    move |refusal| refusal.within(["grants", &position.to_string()])
}

/// What the inviter may do with the resources that their invitations name, and what these are.
pub(super) struct Grantable {
    kinds: HashMap<ResourceId, String>,
    access: HashMap<ResourceId, Access>,
}

impl Grantable {
    /// Reads the resources, which then aren't deleted before the transaction ends.
    pub(super) async fn read(
        transaction: &mut Transaction,
        permit: &Permit,
        grants: impl IntoIterator<Item = &InvitedGrant>,
    ) -> Result<Self> {
        let ids: HashSet<ResourceId> = grants.into_iter().map(|grant| grant.resource_id).collect();
        if ids.is_empty() {
            return Ok(Self { kinds: HashMap::new(), access: HashMap::new() });
        }
        let organization_id = permit.organization_id();
        let kinds: HashMap<ResourceId, String> = resources::table
            .filter(resources::organization_id.eq(organization_id))
            .filter(resources::id.eq_any(&ids))
            .order(resources::id)
            .select((resources::id, resources::kind))
            .for_key_share()
            .load(&mut **transaction)
            .await?
            .into_iter()
            .collect();
        let access = match permit.user_id() {
            Some(user_id) => access_to(transaction, user_id, organization_id, kinds.keys().copied()).await?,
            None => {
                let ids: Vec<ResourceId> = kinds.keys().copied().collect();
                let access = resource_access::access_of_platform(transaction, &ids).await?;
                access.into_iter().map(|(id, (_, access))| (id, access)).collect()
            }
        };
        Ok(Self { kinds, access })
    }

    /// Returns the refusals for those of an invitation's grants that the inviter can't give.
    pub(super) fn refusals(&self, grants: &[InvitedGrant]) -> Vec<Refusal> {
        let refusal = |(position, grant): (usize, &InvitedGrant)| {
            let access = self.access.get(&grant.resource_id).copied().unwrap_or(Access::NONE);
            let kind = self.kinds.get(&grant.resource_id);
            let (code, message) = match (kind, access.level) {
                (None, _) | (_, AccessLevel::None) => {
                    (Code::NotFound, "there is no such project or workspace in the organization".to_owned())
                }
                (Some(kind), _) if !KINDS.contains(&kind.as_str()) => {
                    (Code::Invalid, format!("must be a project or a workspace; this is a {}", kind.replace('_', " ")))
                }
                (_, AccessLevel::Administer) => return None,
                _ if access.moving => (Code::Conflict, "is moving to another organization; leave it out".to_owned()),
                (_, level) => {
                    (Code::Forbidden, format!("requires ADMINISTER; you have {}", level.as_str().to_uppercase()))
                }
            };
            Some(at(position)(Refusal::new(code, "resourceId", message)))
        };
        grants.iter().enumerate().filter_map(refusal).collect()
    }
}

/// Returns what a user may do with resources of an organization.
async fn access_to(
    connection: &mut AsyncPgConnection,
    user_id: UserId,
    organization_id: OrganizationId,
    ids: impl Iterator<Item = ResourceId>,
) -> Result<HashMap<ResourceId, Access>> {
    let within = Within::only([organization_id]);
    let questions: Vec<AccessQuestion> =
        ids.map(|resource_id| AccessQuestion { user_id, resource_id, within: within.clone() }).collect();
    let access = resource_access::access_of(connection, &questions).await?;
    Ok(access.into_iter().map(|(question, access)| (question.resource_id, access)).collect())
}

/// Records what new invitations of an organization grant.
pub(super) async fn add(
    transaction: &Transaction,
    organization_id: OrganizationId,
    invited: &[(InvitationId, &[InvitedGrant])],
) -> Result<()> {
    let row = |id: InvitationId, number: usize, grant: &InvitedGrant| {
        let number = i32::try_from(number).map_err(|_| Error::Bug("an invitation has few grants"))?;
        Ok((
            invitation_grants::organization_id.eq(organization_id),
            invitation_grants::invitation_id.eq(id),
            invitation_grants::number.eq(number),
            invitation_grants::resource_id.eq(grant.resource_id),
            invitation_grants::level.eq(grant.level),
        ))
    };
    let rows = invited
        .iter()
        .flat_map(|(id, grants)| grants.iter().enumerate().map(|(number, grant)| row(*id, number, grant)))
        .collect::<Result<Vec<_>>>()?;
    if !rows.is_empty() {
        diesel::insert_into(invitation_grants::table).values(rows).execute(&mut &**transaction).await?;
    }
    Ok(())
}

/// How the audit log names grants of an invitation.
pub(super) fn in_log<'a>(grants: impl IntoIterator<Item = &'a InvitedGrant>) -> Vec<Value> {
    grants
        .into_iter()
        .map(|grant| json!({ "resourceId": grant.resource_id.to_string(), "level": grant.level.as_str() }))
        .collect()
}

/// What an accepted invitation granted.
pub(super) struct GivenGrants {
    /// The events to record, one for each grant.
    pub events: Vec<NewEvent>,
    /// How the audit log names what couldn't be given.
    pub skipped: Vec<Value>,
}

/// Gives a person who accepted an invitation what it grants, as far as the inviter still could: they administer the
/// resource, which is still in the organization and isn't moving. The organization is locked, so the inviter's
/// membership and role stay as they are until the transaction ends; the resources are locked here.
pub(super) async fn give(
    transaction: &mut Transaction,
    invitation: &Invitation,
    user_id: UserId,
) -> Result<GivenGrants> {
    let offered = of_invitations(transaction, &[invitation.id]).await?;
    if offered.is_empty() {
        return Ok(GivenGrants { events: Vec::new(), skipped: Vec::new() });
    }
    let ids: Vec<ResourceId> = offered.iter().filter_map(|(_, grant)| grant.resource_id).collect();
    let here: Vec<ResourceId> = resources::table
        .filter(resources::organization_id.eq(invitation.organization_id))
        .filter(resources::id.eq_any(&ids))
        .order(resources::id)
        .select(resources::id)
        .for_share()
        .load(&mut **transaction)
        .await?;
    let giver = |resource_id: ResourceId| Giver {
        user_id: invitation.invited_by_id,
        resource_id,
        organization_id: invitation.organization_id,
    };
    let givers: Vec<Giver> = here.iter().copied().map(giver).collect();
    let rightful = resource_access::rightful(transaction, &givers).await?;
    let grants_on: HashMap<ResourceId, i64> = grants::table
        .filter(grants::resource_id.eq_any(&here))
        .group_by(grants::resource_id)
        .select((grants::resource_id, diesel::dsl::count_star()))
        .load(&mut **transaction)
        .await?
        .into_iter()
        .collect();
    let is_given = |resource_id: &ResourceId| {
        rightful.contains(&giver(*resource_id))
            && grants_on.get(resource_id).is_none_or(|number| *number < limits::MAX_GRANTS)
    };
    let to_give: Vec<OfferedGrant> = offered
        .iter()
        .filter_map(|(_, grant)| Some((grant.resource_id.filter(is_given)?, grant.level)))
        .map(|(resource_id, level)| OfferedGrant {
            organization_id: invitation.organization_id,
            resource_id,
            level,
            granted_by_id: invitation.invited_by_id,
        })
        .collect();
    // The name by which the inviter knows the person.
    let named_as = match (&invitation.email, invitation.user_id) {
        (Some(email), _) => Some(email.to_string()),
        (None, Some(id)) => Some(user::by_id(transaction, id).await?.username.to_string()),
        (None, None) => None,
    };
    let given = match to_give.is_empty() {
        true => Vec::new(),
        false => grant_invitation::give(transaction, user_id, named_as.as_deref(), &to_give).await?,
    };
    let is_skipped = |grant: &InvitationGrant| !given.iter().any(|given| Some(given.resource_id) == grant.resource_id);
    let skipped = offered.iter().filter(|(_, grant)| is_skipped(grant)).map(
        |(_, grant)| json!({ "resource": grant.resource_id.map(|id| id.to_string()), "level": grant.level.as_str() }),
    );
    Ok(GivenGrants { skipped: skipped.collect(), events: given.iter().map(|grant| grant.event(user_id)).collect() })
}

/// Returns what invitations grant, each in the inviter's order.
pub async fn of_invitations(
    connection: &mut AsyncPgConnection,
    ids: &[InvitationId],
) -> Result<Vec<(InvitationId, InvitationGrant)>> {
    Ok(invitation_grants::table
        .filter(invitation_grants::invitation_id.eq_any(ids))
        .order((invitation_grants::invitation_id, invitation_grants::number))
        .select((invitation_grants::invitation_id, (invitation_grants::resource_id, invitation_grants::level)))
        .load(connection)
        .await?)
}

statement! {
    struct GrantsInWords { id: SqlUuid = InvitationId } = "SELECT r.name, r.kind, g.level FROM invitation_grants g \
         JOIN resources r ON r.id = g.resource_id AND r.organization_id = g.organization_id AND NOT r.moving \
         WHERE g.invitation_id = :id ORDER BY g.number"
}

/// Returns what an invitation grants, in the words of its emails and its page: no more than the person will have in the
/// invited role. What has been deleted or given away since is left out: its present name is none of the invited
/// person's business.
pub(super) async fn in_words(connection: &mut AsyncPgConnection, invitation: &Invitation) -> Result<Vec<GrantInWords>> {
    let grants: Vec<GrantInWords> = GrantsInWords { id: invitation.id }.query().load(connection).await?;
    let as_far_as_allowed = |grant: GrantInWords| GrantInWords { level: grant.level.within(invitation.role), ..grant };
    Ok(grants.into_iter().map(as_far_as_allowed).collect())
}
