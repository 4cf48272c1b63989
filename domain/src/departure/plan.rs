//! A preview of what a departure would do (R44).

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use sha2::{Digest, Sha256};

use crate::account::api_key::{self, ApiKey};
use crate::account::user;
use crate::authority::access::Permit;
use crate::authority::issued;
use crate::authority::rights::{Action, MemberAction, Role};
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::base::limits;
use crate::base::sql::{Statements, parameters, statement};
use crate::departure::cascade_statement::{ENDING_GRANTS, OF_KINDS, concerned};
use crate::departure::{DepartureKind, DepartureStep, owner};
use crate::event::webhook;
use crate::membership::member::{self, Member};
use crate::membership::team;
use crate::resource::kind::ResourceKind;
use crate::resource::run;

/// What a departure would do if it happened now.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The member who would leave.
    pub member: Member,
    /// The way in which the membership would end.
    pub kind: DepartureKind,
    /// The user who would receive what the member owns.
    pub new_owner_id: UserId,
    /// Every step, with the number of items that it would affect.
    pub steps: Vec<PlannedStep>,
    /// Whether the account would be suspended (D6).
    pub suspends_account: bool,
    /// The keys that would stop working.
    pub api_keys: Vec<ApiKey>,
    /// What should be done afterwards, one sentence each.
    pub advice: Vec<String>,
    /// What prevents the departure.
    pub blocked_by: Vec<Refusal>,
}

/// One step of a plan.
#[derive(Debug, Clone)]
pub struct PlannedStep {
    /// The step.
    pub step: DepartureStep,
    /// The number of items that the step would affect.
    pub affects: i64,
    /// The names of some of these items.
    pub examples: Vec<String>,
}

impl Plan {
    /// A hash of the member, kind, role, new owner, the steps that apply, the suspension and the blockers. Counts
    /// aren't included, so that a plan doesn't become stale because people continue to work.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        part(&self.member.id.to_string());
        part(self.kind.as_str());
        part(self.member.role.as_str());
        part(&self.new_owner_id.to_string());
        part(if self.suspends_account { "suspends" } else { "" });
        for step in self.steps.iter().filter(|step| step.affects > 0) {
            part(step.step.as_str());
        }
        for refusal in &self.blocked_by {
            part(&format!("{:?}", refusal.code));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The plan of a member's departure. `None` if the permit's holder may not see it: apart from the owner and admins,
/// members see only the plan of their own leaving.
pub async fn plan(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    id: MemberId,
    kind: DepartureKind,
) -> Result<Option<Plan>> {
    let Some(member) = member::by_ids(connection, &[id]).await?.pop() else { return Ok(None) };
    let own = permit.is_of(member.user_id);
    let leads = permit.standing().allows(Action::ViewAllResources);
    if member.organization_id != permit.organization_id() || !(leads || own && kind == DepartureKind::Leave) {
        return Ok(None);
    }
    Ok(Some(of_member(connection, permit, member, kind, PlanDetail::Full).await?))
}

/// How detailed a plan should be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlanDetail {
    /// With all counts and examples.
    Full,
    /// Only whether each step concerns anything at all. This is enough for the hash, and avoids counting while the
    /// organization is locked.
    Hash,
}

impl PlanDetail {
    /// The maximum count, and the maximum number of examples.
    fn limits(self) -> (Option<i64>, i64) {
        match self {
            Self::Full => (None, i64::try_from(limits::PLAN_EXAMPLES).unwrap_or(i64::MAX)),
            Self::Hash => (Some(1), 0),
        }
    }
}

async fn of_member(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    member: Member,
    kind: DepartureKind,
    detail: PlanDetail,
) -> Result<Plan> {
    let (organization_id, user_id) = (member.organization_id, member.user_id);
    let new_owner_id = owner(connection, organization_id).await?;
    let api_keys = api_key::of_member(connection, organization_id, user_id).await?;
    let leaver = user::by_id(connection, user_id).await?;
    let (limit, examples) = detail.limits();
    let mut steps = Vec::new();
    for step in DepartureStep::ALL.iter().copied() {
        let (affects, examples) = match step {
            DepartureStep::TransferProjects
            | DepartureStep::TransferVolumes
            | DepartureStep::TransferOthers
            | DepartureStep::CollectSamples
            | DepartureStep::ShareDocuments => owned(connection, &member, step, detail).await?,
            DepartureStep::RemoveGrants => ending_grants(connection, &member, detail).await?,
            DepartureStep::RevokeAccess => {
                let names = api_keys.iter().take(limits::PLAN_EXAMPLES).map(|key| key.name.clone()).collect();
                (count(api_keys.len()) + 1, names)
            }
            DepartureStep::RevokeIssued => {
                issued::around(connection, organization_id, user_id, limit, examples).await?
            }
            DepartureStep::LeaveTeams => team::teams_of(connection, organization_id, user_id, limit, examples).await?,
            DepartureStep::CancelRuns => run::queued_by(connection, organization_id, user_id, limit, examples).await?,
            // The leaver and the owner, who may be the same person.
            DepartureStep::Notify => (1 + i64::from(new_owner_id != user_id), Vec::new()),
        };
        steps.push(PlannedStep { step, affects, examples });
    }
    let suspends_account = kind == DepartureKind::Deactivate
        && leaver.origin_organization_id == Some(organization_id)
        && !user::belongs_to_another_team(connection, user_id, organization_id).await?;
    let known = webhook::known_to(connection, organization_id, user_id).await?;
    let services = api_key::known_to(connection, organization_id, user_id).await?;
    let advice =
        known.iter().map(webhook::Webhook::renewal_advice).chain(services.iter().map(ApiKey::renewal_advice)).collect();
    let blocked_by = blockers(permit, &member, kind);
    Ok(Plan { member, kind, new_owner_id, steps, suspends_account, api_keys, advice, blocked_by })
}

/// The refusals with which the departure itself would fail.
fn blockers(permit: &Permit, member: &Member, kind: DepartureKind) -> Vec<Refusal> {
    let outcome = match kind {
        DepartureKind::Leave if !permit.is_of(member.user_id) => {
            Err(Error::refused(Code::Forbidden, "memberId", "one leaves by oneself"))
        }
        DepartureKind::Leave => crate::departure::plan::require_leave(permit),
        DepartureKind::Remove => member::require(permit, member, MemberAction::Remove, "memberId"),
        DepartureKind::Deactivate => member::require(permit, member, MemberAction::Deactivate, "memberId"),
    };
    match outcome {
        Err(Error::Refused(refusals)) => refusals,
        _ => Vec::new(),
    }
}

/// The number of items that a step would affect, and the names of some of them.
#[derive(QueryableByName)]
struct PlannedItems {
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Array<Text>)]
    examples: Vec<String>,
}

parameters! {
    struct OwnedParameters {
        organization_id: SqlUuid = OrganizationId,
        leaver_id: SqlUuid = UserId,
        kinds: Array<Text> = Vec<ResourceKind>,
        examples: BigInt = i64,
        most: Nullable<BigInt> = Option<i64>,
    }
}

fn owned_text(step: &DepartureStep) -> String {
    let theirs = concerned(*step, OF_KINDS);
    format!(
        "SELECT (SELECT count(*) FROM (SELECT FROM resources r WHERE {theirs} LIMIT :most) theirs) AS count, \
         ARRAY(SELECT r.name FROM resources r WHERE {theirs} ORDER BY r.id LIMIT :examples) AS examples"
    )
}

statement! {
    struct EndingGrants {
        organization_id: SqlUuid = OrganizationId,
        leaver_id: SqlUuid = UserId,
        examples: BigInt = i64,
        most: Nullable<BigInt> = Option<i64>,
    } = format!(
        "SELECT (SELECT count(*) FROM (SELECT FROM grants g WHERE {ENDING_GRANTS} LIMIT :most) ending) AS count, \
         ARRAY(SELECT r.name FROM grants g JOIN resources r ON r.id = g.resource_id WHERE {ENDING_GRANTS} \
           ORDER BY g.id LIMIT :examples) AS examples"
    )
}

/// The leaver's resources that a step would affect.
async fn owned(
    connection: &mut AsyncPgConnection,
    member: &Member,
    step: DepartureStep,
    detail: PlanDetail,
) -> Result<(i64, Vec<String>)> {
    let (limit, examples) = detail.limits();
    static STATEMENTS: Statements<DepartureStep> = Statements::new();
    let asked = OwnedParameters {
        organization_id: member.organization_id,
        leaver_id: member.user_id,
        kinds: step.kinds(),
        examples,
        most: limit,
    };
    let found: PlannedItems = STATEMENTS.with(step, owned_text, asked).get_result(connection).await?;
    Ok((found.count, found.examples))
}

/// The grants that would end, named after the resources that they are on.
async fn ending_grants(
    connection: &mut AsyncPgConnection,
    member: &Member,
    detail: PlanDetail,
) -> Result<(i64, Vec<String>)> {
    let (limit, examples) = detail.limits();
    let (organization_id, leaver_id) = (member.organization_id, member.user_id);
    let asked = EndingGrants { organization_id, leaver_id, examples, most: limit };
    let found: PlannedItems = asked.query().get_result(connection).await?;
    Ok((found.count, found.examples))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Fails with PLAN_STALE if what would happen now differs from the plan. The caller has locked the user, the
/// organization and the member.
pub(super) async fn require(
    connection: &mut AsyncPgConnection,
    permit: &Permit,
    member: &Member,
    kind: DepartureKind,
    hash: &str,
) -> Result<()> {
    if of_member(connection, permit, member.clone(), kind, PlanDetail::Hash).await?.hash() == hash.trim() {
        return Ok(());
    }
    let message = "what would happen has changed since the plan was made; look at the plan again";
    Err(Error::refused(Code::PlanStale, "planHash", message))
}

/// Fails if the member can't leave, with the reason.
pub(super) fn require_leave(permit: &Permit) -> Result<()> {
    if permit.standing().role() == Some(Role::Owner) && !permit.standing().personal() {
        return Err(Error::refused(
            Code::OwnerMustStay,
            "organizationId",
            "the owner can't leave; transfer the ownership to an admin first",
        ));
    }
    permit.require_on(Action::Leave, "organizationId")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sql::require_fit;

    #[test]
    fn the_statements_name_their_parameters() {
        require_fit::<OwnedParameters>(DepartureStep::ALL.iter().map(owned_text));
    }
}
