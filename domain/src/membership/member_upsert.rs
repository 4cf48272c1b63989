//! Bringing in a platform's members, many at once: without an invitation, all or none, and the same call again changes
//! nothing (R87, R88). No mail is sent unless asked for.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use crate::account::suspension;
use crate::account::user::{self, User};
use crate::account::user_ref::{self, UserRef};
use crate::authority::access::{self, Lock, WritePermit};
use crate::authority::actor::Actor;
use crate::authority::attempt;
use crate::authority::audit::{self, AuditAction, NewEvent, in_log};
use crate::authority::membership::{JoinMethod, MemberStatus};
use crate::authority::permissions::{Permissions, PermissionsInput};
use crate::authority::platform::PlatformScope;
use crate::authority::platform_data;
use crate::authority::rights::{Action, MemberAction, Role};
use crate::authority::suspension::Suspension;
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Reader, Refusal, Result};
use crate::base::id::{MemberId, OrganizationId, TeamId, UserId};
use crate::base::job::{MailMemberAdded, MarkEnded};
use crate::base::text::EmailAddress;
use crate::base::upsert::{self, ItemRefusals, UpsertOutcome};
use crate::base::{clock, limits};
use crate::database::schema::{members, users};
use crate::database::{Database, Transaction, now};
use crate::membership::cause::Cause;
use crate::membership::member::{self, Member};
use crate::membership::member_writes::{self, EndingIssues, MemberState};
use crate::membership::seats::{self, Seats};
use crate::membership::team_places::{self, PlaceChanges};
use crate::membership::{invitation, joining, organization, role, team};

/// The name of the list in the API.
const LIST: &str = "members";

/// The members to bring in.
#[derive(Debug)]
pub struct UpsertMembers {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The members.
    pub members: Vec<MemberUpsert>,
    /// Whether those who become members by this are sent an email.
    pub notify: bool,
}

/// Somebody to make a member, or a member to change. What is `None` stays as it is, and `Some(None)` clears it.
#[derive(Debug, Clone)]
pub struct MemberUpsert {
    /// The person, who has an account.
    pub user: UserRef,
    /// The role. If it is left out, an active member keeps theirs, and others become members with the role MEMBER.
    pub role: Option<Role>,
    /// The permissions. What is left out stays as it is for an active member, and comes from the organization's policy
    /// for others.
    pub permissions: PermissionsInput,
    /// The teams that they are in afterwards.
    pub teams: Option<Vec<TeamId>>,
    /// What the platform attaches to the membership.
    pub metadata: Option<Option<Value>>,
    /// When they joined, for somebody who becomes a member by this. `None` for now.
    pub joined_at: Option<DateTime<Utc>>,
}

/// A membership that was there before, active or not, locked.
struct Existing {
    member: Member,
    metadata: Option<Value>,
}

impl Existing {
    fn state(&self) -> MemberState {
        let Member { id, user_id, role, permissions, joined_at, joined_via, .. } = self.member;
        MemberState { id, user_id, role, permissions, joined_at, joined_via, metadata: self.metadata.clone() }
    }
}

/// What the list names, as it is in the database.
struct Known {
    named: HashMap<UserRef, UserId>,
    accounts: HashMap<UserId, User>,
    existing: HashMap<UserId, Existing>,
    /// Those who aren't active members here and belong to another organization, if that forbids to join (D3).
    elsewhere: HashSet<UserId>,
    /// Those of the teams that are the organization's.
    teams: HashSet<TeamId>,
    /// The teams of those whose teams are given.
    teams_of: HashMap<UserId, BTreeSet<TeamId>>,
}

/// What becomes of an item.
struct Planned {
    change: Change,
    /// The membership afterwards.
    after: MemberState,
    /// The teams that they are in afterwards, if these change.
    teams: Option<BTreeSet<TeamId>>,
}

enum Change {
    /// There was no membership.
    Create,
    /// A former member is active again.
    Return { lifts_suspension: bool },
    /// An active member changes.
    Update(MemberState),
    /// The membership stays as it is.
    Nothing,
}

impl Planned {
    fn outcome(&self) -> UpsertOutcome {
        match self.change {
            Change::Create => UpsertOutcome::Created,
            Change::Return { .. } | Change::Update(_) => UpsertOutcome::Updated,
            Change::Nothing if self.teams.is_some() => UpsertOutcome::Updated,
            Change::Nothing => UpsertOutcome::Unchanged,
        }
    }

    fn joins(&self) -> bool {
        match self.change {
            Change::Create | Change::Return { .. } => true,
            Change::Update(_) | Change::Nothing => false,
        }
    }
}

/// Makes people active members of an organization, and changes those who are, for platform keys with MEMBERS_WRITE.
/// Returns each with what became of it, in the order of the list.
///
/// Former members come back, however their membership ended, as new ones do: with the role and the permissions of the
/// list and the policy (R45). Of what the owner has, only the metadata and the teams change.
///
/// # Errors
///
/// On `organization`: NOT_FOUND, FORBIDDEN. BLANK, TOO_MANY or SEAT_LIMIT on `members`. For each item: INVALID or
/// TOO_LONG; NOT_FOUND on `user` and `teams`; FORBIDDEN on `role` and `permissions`; SUSPENDED or ONE_ORGANIZATION on
/// `user`. RATE_LIMITED for keys that may not look people up and have guessed too often.
pub async fn upsert(
    database: &Database,
    actor: &Actor,
    command: &UpsertMembers,
    client: ClientNetwork,
) -> Result<Vec<(Member, UpsertOutcome)>> {
    let outcome = database.transaction(async |transaction| upsert_within(transaction, actor, command).await).await;
    let is_unknown =
        |refusal: &&Refusal| refusal.code == Code::NotFound && refusal.field.iter().any(|part| part == "user");
    let unknown = match &outcome {
        Err(Error::Refused(refusals)) => refusals.iter().filter(is_unknown).count(),
        _ => 0,
    };
    attempt::count_refusal(database, actor, client, unknown, outcome).await
}

/// The same within a transaction.
pub(crate) async fn upsert_within(
    transaction: &mut Transaction,
    actor: &Actor,
    command: &UpsertMembers,
) -> Result<Vec<(Member, UpsertOutcome)>> {
    actor.require_scope(PlatformScope::MembersWrite, "organization")?;
    upsert::require_number(LIST, command.members.len(), limits::MAX_UPSERTED_PEOPLE)?;
    let metadata = parse(&command.members)?;
    write(transaction, actor, command, &metadata).await
}

/// Checks what can be checked by itself, and returns what is to be attached to each membership.
fn parse(items: &[MemberUpsert]) -> Result<Vec<Option<Option<Value>>>> {
    let mut refusals = ItemRefusals::of(LIST);
    let mut parsed = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let metadata = item.metadata.as_ref().map(|data| platform_data::metadata("metadata", data.as_ref()));
        parsed.push(refusals.keep(position, metadata.transpose()).flatten());
    }
    refusals.none()?;
    Ok(parsed)
}

impl Known {
    /// Loads what the list names. The accounts are locked, and the organization by the permit; in the order of locks,
    /// the memberships come next.
    async fn load(
        transaction: &mut Transaction,
        permit: &WritePermit,
        items: &[MemberUpsert],
        named: HashMap<UserRef, UserId>,
        accounts: HashMap<UserId, User>,
    ) -> Result<Self> {
        let organization_id = permit.organization_id();
        let ids: Vec<UserId> = accounts.keys().copied().collect();
        let existing: Vec<(Member, Option<Value>)> = members::table
            .filter(members::organization_id.eq(organization_id))
            .filter(members::user_id.eq_any(&ids))
            .order(members::id)
            .select((Member::as_select(), members::metadata))
            .for_no_key_update()
            .load(&mut **transaction)
            .await?;
        let existing: HashMap<UserId, Existing> =
            existing.into_iter().map(|(member, metadata)| (member.user_id, Existing { member, metadata })).collect();
        let is_active =
            |id: &UserId| existing.get(id).is_some_and(|existing| existing.member.status == MemberStatus::Active);
        let joining: Vec<UserId> = ids.into_iter().filter(|id| !is_active(id)).collect();
        let elsewhere = match transaction.deployment().one_organization_per_user && !joining.is_empty() {
            true => user::in_other_teams(transaction, &joining, organization_id).await?,
            false => Vec::new(),
        };
        let team_ids: BTreeSet<TeamId> =
            items.iter().filter_map(|item| item.teams.as_ref()).flatten().copied().collect();
        let team_ids: Vec<TeamId> = team_ids.into_iter().collect();
        let teams = team::in_organization(transaction, organization_id, &team_ids).await?;
        let placed: Vec<UserId> = items
            .iter()
            .filter(|item| item.teams.is_some())
            .filter_map(|item| named.get(&item.user).copied())
            .collect();
        let mut teams_of: HashMap<UserId, BTreeSet<TeamId>> = HashMap::new();
        for (team_id, user_id) in team_places::of_people(transaction, organization_id, &placed).await? {
            teams_of.entry(user_id).or_default().insert(team_id);
        }
        Ok(Self {
            named,
            accounts,
            existing,
            elsewhere: elsewhere.into_iter().collect(),
            teams: teams.into_iter().collect(),
            teams_of,
        })
    }
}

async fn write(
    transaction: &mut Transaction,
    actor: &Actor,
    command: &UpsertMembers,
    metadata: &[Option<Option<Value>>],
) -> Result<Vec<(Member, UpsertOutcome)>> {
    let UpsertMembers { organization_id, members: items, notify } = command;
    let organization_id = *organization_id;
    let refs: Vec<UserRef> = items.iter().map(|item| item.user.clone()).collect();
    let named = user_ref::resolve(transaction, &refs).await?;
    // Whoever joins, leaves, suspends or deletes locks the accounts too.
    let accounts: Vec<User> = users::table
        .filter(users::id.eq_any(named.values().copied().collect::<BTreeSet<UserId>>()))
        .filter(users::deleted_at.is_null())
        .order(users::id)
        .select(User::as_select())
        .for_no_key_update()
        .load(&mut **transaction)
        .await?;
    let accounts = accounts.into_iter().map(|account| (account.id, account)).collect();
    let (lock, action) = (Lock::Organization, Action::Invite);
    let permit = access::authorize(transaction, actor, organization_id, lock, action, "organization").await?;
    let known = Known::load(transaction, &permit, items, named, accounts).await?;
    let defaults = organization::by_id(transaction, organization_id).await?.default_permissions.into();
    let at = now(transaction).await?;
    let plan = plan(&permit, items, metadata, &known, defaults, at)?;
    let mut events = admit(transaction, &permit, &known, &plan).await?;
    events.extend(change(transaction, &permit, &plan).await?);
    events.extend(place(&known, &plan).write(transaction, actor, organization_id).await?);
    if *notify {
        let mails: Vec<MailMemberAdded> = plan
            .iter()
            .filter(|planned| planned.joins())
            .map(|planned| MailMemberAdded { member_id: planned.after.id, notice: clock::uuid_of(at) })
            .collect();
        transaction.enqueue_all(&mails).await?;
    }
    let ids: Vec<MemberId> = plan.iter().map(|planned| planned.after.id).collect();
    let found: HashMap<MemberId, Member> =
        member::by_ids(transaction, &ids).await?.into_iter().map(|member| (member.id, member)).collect();
    audit::record(transaction, events).await?;
    let result = |planned: &Planned| {
        let member = found.get(&planned.after.id).cloned().ok_or(Error::Bug("each item has a membership"))?;
        Ok((member, planned.outcome()))
    };
    plan.iter().map(result).collect()
}

/// Decides what becomes of each item, or refuses what can't be.
fn plan(
    permit: &WritePermit,
    items: &[MemberUpsert],
    metadata: &[Option<Option<Value>>],
    known: &Known,
    defaults: Permissions,
    at: DateTime<Utc>,
) -> Result<Vec<Planned>> {
    let mut refusals = ItemRefusals::of(LIST);
    let account = |item: &MemberUpsert| known.named.get(&item.user).and_then(|id| known.accounts.get(id));
    let accounts = items.iter().enumerate().filter_map(|(position, item)| Some((position, account(item)?.id)));
    refusals.repeated("user", accounts);
    let mut plan = Vec::with_capacity(items.len());
    for (position, (item, metadata)) in items.iter().zip(metadata).enumerate() {
        refusals.keep(position, upsert::past("joinedAt", item.joined_at, at));
        for (number, _) in item.teams.iter().flatten().enumerate().filter(|(_, id)| !known.teams.contains(id)) {
            let refusal = Refusal::new(Code::NotFound, &number.to_string(), "there is no such team here");
            refusals.add(position, refusal.within(["teams"]));
        }
        let Some(account) = account(item) else {
            let refusal = Refusal::new(Code::NotFound, item.user.field(), "there is no such account");
            refusals.add(position, refusal.within(["user"]));
            continue;
        };
        let before = known.existing.get(&account.id);
        let active = before.filter(|before| before.member.status == MemberStatus::Active);
        let role = refusals.keep(position, wanted_role(permit, item, active.map(|active| &active.member)));
        let permissions = item.permissions.or(active.map_or(defaults, |active| active.member.permissions));
        if active.is_some_and(|active| {
            let member = &active.member;
            let is_allowed =
                permit.standing().allows_on_member(MemberAction::ChangePermissions, member.role, member.status, false);
            permissions != member.permissions && !is_allowed
        }) {
            let message = "the owner always has all permissions";
            refusals.add(position, Refusal::new(Code::Forbidden, "permissions", message));
        }
        if active.is_none() {
            let is_back = before.is_some_and(|before| before.member.status == MemberStatus::Deactivated);
            // The organization that suspended the account takes it back (D6). Only the platform lifts its own.
            let suspension = account.suspension().filter(|by| !is_back || *by == Suspension::ByPlatform);
            if let Some(suspension) = suspension {
                refusals.add(position, suspension.refusal(Reader::Another, None, "user"));
            }
            if known.elsewhere.contains(&account.id) {
                refusals.add(position, joining::belongs_elsewhere(Reader::Another, "user"));
            }
        }
        let Some(role) = role else { continue };
        let mut after = before.map_or_else(
            || MemberState {
                id: MemberId::new(),
                user_id: account.id,
                role,
                permissions,
                joined_at: at,
                joined_via: JoinMethod::Platform,
                metadata: None,
            },
            Existing::state,
        );
        (after.role, after.permissions) = (role, permissions);
        if active.is_none() {
            (after.joined_at, after.joined_via) = (item.joined_at.unwrap_or(at), JoinMethod::Platform);
        }
        if let Some(metadata) = metadata {
            after.metadata.clone_from(metadata);
        }
        let change = match (before, active) {
            (None, _) => Change::Create,
            (Some(_), None) => Change::Return { lifts_suspension: account.suspended_at.is_some() },
            (Some(_), Some(active)) if active.state() != after => Change::Update(active.state()),
            (Some(_), Some(_)) => Change::Nothing,
        };
        let teams = item.teams.as_ref().map(|teams| teams.iter().copied().collect::<BTreeSet<TeamId>>());
        let teams = teams.filter(|wanted| *wanted != known.teams_of.get(&account.id).cloned().unwrap_or_default());
        plan.push(Planned { change, after, teams });
    }
    refusals.none()?;
    Ok(plan)
}

fn wanted_role(permit: &WritePermit, item: &MemberUpsert, active: Option<&Member>) -> Result<Role, Refusal> {
    let forbidden = |message| Err(Refusal::new(Code::Forbidden, "role", message));
    match (active, item.role) {
        (None, None) => Ok(Role::Member),
        (Some(member), None) => Ok(member.role),
        (Some(member), Some(wanted)) if member.role == wanted => Ok(wanted),
        (_, Some(wanted)) if !permit.standing().may_issue(wanted) => {
            forbidden("nobody becomes the owner in this way; use setOrganizationOwner")
        }
        (Some(member), Some(wanted)) => {
            let action = role::change(member.role, wanted);
            match permit.standing().allows_on_member(action, member.role, member.status, false) {
                true => Ok(wanted),
                false => forbidden("the owner stays the owner until another one is set; leave the role out"),
            }
        }
        (None, Some(wanted)) => Ok(wanted),
    }
}

/// Makes those members who aren't, and returns the events to record.
async fn admit(
    transaction: &mut Transaction,
    permit: &WritePermit,
    known: &Known,
    plan: &[Planned],
) -> Result<Vec<NewEvent>> {
    let joined: Vec<&MemberState> =
        plan.iter().filter(|planned| planned.joins()).map(|planned| &planned.after).collect();
    if joined.is_empty() {
        return Ok(Vec::new());
    }
    let organization_id = permit.organization_id();
    let mut events = Vec::new();
    // Open invitations of the same people serve no purpose any more, and free their seats.
    let ids: Vec<UserId> = joined.iter().map(|member| member.user_id).collect();
    let emails: Vec<EmailAddress> = ids.iter().filter_map(|id| known.accounts.get(id)?.email.clone()).collect();
    let revoked = invitation::revoke_all_to(transaction, organization_id, &ids, &emails).await?;
    for chunk in revoked.chunks(limits::IDS_OF_EVENT) {
        events.push(
            Cause::Permit(permit)
                .event(organization_id, AuditAction::InvitationRevoked, organization_id)
                .summary("the invited people joined by another way")
                .with(json!({ "invitationIds": in_log(chunk) })),
        );
    }
    seats::require_seats(transaction, organization_id, Seats::More(joined.len()), LIST).await?;
    let of = |is_wanted: fn(&Change) -> bool| -> Vec<&MemberState> {
        plan.iter().filter(|planned| is_wanted(&planned.change)).map(|planned| &planned.after).collect()
    };
    member_writes::create_all(transaction, permit, &of(|change| matches!(change, Change::Create))).await?;
    member_writes::set_all(transaction, permit, &of(|change| matches!(change, Change::Return { .. }))).await?;
    let lifted = of(|change| matches!(change, Change::Return { lifts_suspension: true }));
    let lifted: Vec<UserId> = lifted.into_iter().map(|member| member.user_id).collect();
    if !lifted.is_empty() {
        let reason = "the organization that suspended it took it back";
        events.extend(suspension::lift_by_membership(transaction, &lifted, reason).await?);
    }
    for (role, members) in grouped(joined.into_iter().map(|member| (member.role, member))) {
        events.push(
            about(permit, AuditAction::MemberJoined, &members)
                .summary(format!("brought in {} member(s) as {role}", members.len()))
                .with(json!({ "via": JoinMethod::Platform.as_str(), "role": role.as_str() })),
        );
    }
    Ok(events)
}

/// Changes active members, with what that ends (R42), and returns the events to record.
async fn change(transaction: &mut Transaction, permit: &WritePermit, plan: &[Planned]) -> Result<Vec<NewEvent>> {
    let changed: Vec<(&MemberState, &MemberState)> = plan
        .iter()
        .filter_map(|planned| match &planned.change {
            Change::Update(before) => Some((before, &planned.after)),
            Change::Create | Change::Return { .. } | Change::Nothing => None,
        })
        .collect();
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let (organization_id, cause) = (permit.organization_id(), Cause::Permit(permit));
    let after: Vec<&MemberState> = changed.iter().map(|(_, after)| *after).collect();
    member_writes::set_all(transaction, permit, &after).await?;
    let may_bill =
        |member: &MemberState| permit.rights_of(member.role).may_bill(member.permissions.billable_activities);
    let not_billing: Vec<UserId> =
        after.iter().filter(|member| !may_bill(member)).map(|member| member.user_id).collect();
    if !not_billing.is_empty() {
        user::reset_default_bill_to(transaction, &not_billing, organization_id).await?;
    }
    let lost = changed.iter().filter_map(|(before, after)| {
        let lost = role::no_longer_issuable(permit.rights_of(before.role), permit.rights_of(after.role));
        Some((lost?, after.user_id))
    });
    let lost: Vec<(EndingIssues, Vec<UserId>)> = grouped(lost);
    for (ending, user_ids) in &lost {
        member_writes::end_issued(transaction, cause, organization_id, user_ids, *ending).await?;
    }
    if !lost.is_empty() {
        transaction.enqueue(&MarkEnded { organization_id }).await?;
    }
    let mut events = Vec::new();
    let roles = changed.iter().filter(|(before, after)| before.role != after.role);
    for ((from, to), members) in grouped(roles.map(|(before, after)| ((before.role, after.role), *after))) {
        events.push(
            about(permit, AuditAction::MemberRoleChanged, &members)
                .summary(format!("changed the role of {} member(s) from {from} to {to}", members.len()))
                .with(json!({ "oldRole": from.as_str(), "role": to.as_str() })),
        );
    }
    let permissions = changed.iter().filter(|(before, after)| before.permissions != after.permissions);
    let permissions = permissions.map(|(before, after)| ((before.permissions, after.permissions), *after));
    for ((from, to), members) in grouped(permissions) {
        events.push(
            about(permit, AuditAction::MemberPermissionsUpdated, &members)
                .summary(format!("changed the permissions of {} member(s)", members.len()))
                .with(json!({ "oldPermissions": from.to_json(), "permissions": to.to_json() })),
        );
    }
    let attached = changed.iter().filter(|(before, after)| before.metadata != after.metadata);
    let attached: Vec<&MemberState> = attached.map(|(_, after)| *after).collect();
    if !attached.is_empty() {
        events.push(
            about(permit, AuditAction::MemberUpdated, &attached)
                .summary(format!("changed what is attached to {} membership(s)", attached.len()))
                .with(json!({ "fields": ["metadata"] })),
        );
    }
    Ok(events)
}

/// The places in teams that the list gives and takes.
fn place(known: &Known, plan: &[Planned]) -> PlaceChanges {
    let (mut changes, none) = (PlaceChanges::default(), BTreeSet::new());
    for planned in plan {
        let (user_id, Some(wanted)) = (planned.after.user_id, &planned.teams) else { continue };
        let now = known.teams_of.get(&user_id).unwrap_or(&none);
        changes.added.extend(wanted.difference(now).map(|team_id| ((*team_id, user_id), false)));
        changes.removed.extend(now.difference(wanted).map(|team_id| (*team_id, user_id)));
    }
    changes
}

/// An event about members of the list, which one event can name all. If it is only one, they are its target and
/// subject.
fn about(permit: &WritePermit, action: AuditAction, members: &[&MemberState]) -> NewEvent {
    let (organization_id, cause) = (permit.organization_id(), Cause::Permit(permit));
    let event = match members {
        [one] => cause.event(organization_id, action, one.id).about(one.user_id),
        _ => cause.event(organization_id, action, organization_id),
    };
    let user_ids: Vec<UserId> = members.iter().map(|member| member.user_id).collect();
    event.with(json!({ "userIds": in_log(&user_ids) }))
}

/// The values of each key, in the order in which the keys come first.
fn grouped<K: PartialEq, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Vec<(K, Vec<V>)> {
    let mut groups: Vec<(K, Vec<V>)> = Vec::new();
    for (key, value) in pairs {
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => groups.push((key, vec![value])),
        }
    }
    groups
}
