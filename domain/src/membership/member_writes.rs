//! The statements that write `members`. Each demands proof of the right to do so.
//!
//! Two others are elsewhere: the only member of a personal organization is created with the account
//! (`account/new_account.rs`), and the purge of an organization removes its members
//! (`departure/organization_deletion.rs`). `domain/tests/writers.rs` checks that there are no more.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use crate::authority::access::WritePermit;
use crate::authority::membership::{JoinMethod, MemberStatus};
use crate::authority::permissions::Permissions;
use crate::authority::rights::{AccessLevel, Role};
use crate::base::error::Result;
use crate::base::id::{MemberId, OrganizationId, UserId};
use crate::base::sql::{Prepare as _, fixed_sql, statement};
use crate::database::schema::members;
use crate::database::{Transaction, now};
use crate::membership::cause::{Admission, Cause, Membership};
use crate::membership::member::Member;

/// Creates a member, or makes the former member `before` active again, with what the admission gives (R45).
pub(crate) async fn admit(
    transaction: &mut Transaction,
    admission: Admission<'_>,
    before: Option<MemberId>,
) -> Result<MemberId> {
    let Membership { user_id, organization_id, role, permissions, joined_via } = admission.membership();
    let at = now(transaction).await?;
    let values = (
        members::role.eq(role),
        members::status.eq(MemberStatus::Active),
        permissions,
        members::joined_at.eq(at),
        members::joined_via.eq(joined_via),
    );
    if let Some(id) = before {
        diesel::update(members::table.find(id)).set(values).prepared().execute(&mut **transaction).await?;
        return Ok(id);
    }
    let id = MemberId::new();
    diesel::insert_into(members::table)
        .values((
            members::id.eq(id),
            members::organization_id.eq(organization_id),
            members::user_id.eq(user_id),
            values,
        ))
        .execute(&mut **transaction)
        .await?;
    Ok(id)
}

/// What a membership is to be like that the platform brings in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MemberState {
    /// The membership's id.
    pub id: MemberId,
    /// The user.
    pub user_id: UserId,
    /// The role.
    pub role: Role,
    /// The permissions.
    pub permissions: Permissions,
    /// When they joined.
    pub joined_at: DateTime<Utc>,
    /// How they joined.
    pub joined_via: JoinMethod,
    /// What the platform attaches to the membership.
    pub metadata: Option<Value>,
}

statement! {
    struct InsertAll {
        status: Text = MemberStatus,
        ids: Array<SqlUuid> = Vec<MemberId>,
        organization_ids: Array<SqlUuid> = Vec<OrganizationId>,
        user_ids: Array<SqlUuid> = Vec<UserId>,
        roles: Array<Text> = Vec<Role>,
        billable_activities: Array<Bool> = Vec<bool>,
        shared_apps: Array<Bool> = Vec<bool>,
        shared_projects: Array<Text> = Vec<AccessLevel>,
        joined_at: Array<Timestamptz> = Vec<DateTime<Utc>>,
        joined_via: Array<Text> = Vec<JoinMethod>,
        metadata: Array<Nullable<Jsonb>> = Vec<Option<Value>>,
    } = "INSERT INTO members (id, organization_id, user_id, role, status, billable_activities, shared_apps, shared_projects, \
           joined_at, joined_via, metadata) \
         SELECT n.id, n.organization_id, n.user_id, n.role, :status, n.billable_activities, n.shared_apps, n.shared_projects, \
           n.joined_at, n.joined_via, n.metadata \
         FROM unnest(:ids, :organization_ids, :user_ids, :roles, :billable_activities, :shared_apps, :shared_projects, :joined_at, \
             :joined_via, :metadata) \
           AS n (id, organization_id, user_id, role, billable_activities, shared_apps, shared_projects, joined_at, joined_via, metadata)"
}

statement! {
    struct UpdateAll {
        organization_id: SqlUuid = OrganizationId,
        status: Text = MemberStatus,
        ids: Array<SqlUuid> = Vec<MemberId>,
        roles: Array<Text> = Vec<Role>,
        billable_activities: Array<Bool> = Vec<bool>,
        shared_apps: Array<Bool> = Vec<bool>,
        shared_projects: Array<Text> = Vec<AccessLevel>,
        joined_at: Array<Timestamptz> = Vec<DateTime<Utc>>,
        joined_via: Array<Text> = Vec<JoinMethod>,
        metadata: Array<Nullable<Jsonb>> = Vec<Option<Value>>,
    } = "UPDATE members AS m SET role = n.role, status = :status, billable_activities = n.billable_activities, \
           shared_apps = n.shared_apps, shared_projects = n.shared_projects, joined_at = n.joined_at, \
           joined_via = n.joined_via, metadata = n.metadata \
         FROM unnest(:ids, :roles, :billable_activities, :shared_apps, :shared_projects, :joined_at, :joined_via, :metadata) \
           AS n (id, role, billable_activities, shared_apps, shared_projects, joined_at, joined_via, metadata) \
         WHERE m.id = n.id AND m.organization_id = :organization_id"
}

/// Creates active members of the permit's organization, with one statement.
pub(super) async fn create_all(
    transaction: &mut Transaction,
    permit: &WritePermit,
    members: &[&MemberState],
) -> Result<()> {
    let members: Vec<_> = members.iter().map(|member| (permit.organization_id(), *member)).collect();
    insert_all(transaction, &members).await
}

/// Creates members who weren't members before, such as the owners of new organizations, with one statement. Each has
/// been a member since a time.
pub(crate) async fn admit_new(
    transaction: &mut Transaction,
    admissions: &[(Admission<'_>, DateTime<Utc>)],
) -> Result<()> {
    let mut states = Vec::with_capacity(admissions.len());
    for (admission, since) in admissions {
        let Membership { user_id, organization_id, role, permissions, joined_via } = admission.membership();
        let (id, joined_at) = (MemberId::new(), *since);
        let state = MemberState { id, user_id, role, permissions, joined_at, joined_via, metadata: None };
        states.push((organization_id, state));
    }
    let members: Vec<_> = states.iter().map(|(organization_id, member)| (*organization_id, member)).collect();
    insert_all(transaction, &members).await
}

async fn insert_all(transaction: &mut Transaction, members: &[(OrganizationId, &MemberState)]) -> Result<()> {
    if members.is_empty() {
        return Ok(());
    }
    let new = InsertAll {
        status: MemberStatus::Active,
        ids: members.iter().map(|(_, member)| member.id).collect(),
        organization_ids: members.iter().map(|(organization_id, _)| *organization_id).collect(),
        user_ids: members.iter().map(|(_, member)| member.user_id).collect(),
        roles: members.iter().map(|(_, member)| member.role).collect(),
        billable_activities: members.iter().map(|(_, member)| member.permissions.billable_activities).collect(),
        shared_apps: members.iter().map(|(_, member)| member.permissions.shared_apps).collect(),
        shared_projects: members.iter().map(|(_, member)| member.permissions.shared_projects).collect(),
        joined_at: members.iter().map(|(_, member)| member.joined_at).collect(),
        joined_via: members.iter().map(|(_, member)| member.joined_via).collect(),
        metadata: members.iter().map(|(_, member)| member.metadata.clone()).collect(),
    };
    new.query().execute(&mut **transaction).await?;
    Ok(())
}

/// Changes members of the permit's organization, and makes former ones active again, with one statement. The caller has
/// locked the memberships in the order of their ids.
pub(super) async fn set_all(
    transaction: &mut Transaction,
    permit: &WritePermit,
    members: &[&MemberState],
) -> Result<()> {
    if members.is_empty() {
        return Ok(());
    }
    let changed = UpdateAll {
        organization_id: permit.organization_id(),
        status: MemberStatus::Active,
        ids: members.iter().map(|member| member.id).collect(),
        roles: members.iter().map(|member| member.role).collect(),
        billable_activities: members.iter().map(|member| member.permissions.billable_activities).collect(),
        shared_apps: members.iter().map(|member| member.permissions.shared_apps).collect(),
        shared_projects: members.iter().map(|member| member.permissions.shared_projects).collect(),
        joined_at: members.iter().map(|member| member.joined_at).collect(),
        joined_via: members.iter().map(|member| member.joined_via).collect(),
        metadata: members.iter().map(|member| member.metadata.clone()).collect(),
    };
    changed.query().execute(&mut **transaction).await?;
    Ok(())
}

/// Changes the role of a member of the permit's organization.
pub(super) async fn set_role(
    transaction: &mut Transaction,
    permit: &WritePermit,
    id: MemberId,
    role: Role,
) -> Result<()> {
    diesel::update(members::table.find(id).filter(members::organization_id.eq(permit.organization_id())))
        .set(members::role.eq(role))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Changes the permissions of a member of the permit's organization.
pub(super) async fn set_permissions(
    transaction: &mut Transaction,
    permit: &WritePermit,
    id: MemberId,
    permissions: Permissions,
) -> Result<()> {
    diesel::update(members::table.find(id).filter(members::organization_id.eq(permit.organization_id())))
        .set(permissions)
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Makes the owner an admin. The same transaction must make somebody else the owner, with [`step_up`] or [`admit`].
pub(crate) async fn step_down(
    transaction: &mut Transaction,
    cause: Cause<'_>,
    organization_id: OrganizationId,
    owner: UserId,
) -> Result<()> {
    cause.require_reach(organization_id, owner)?;
    let membership =
        members::table.filter(members::organization_id.eq(organization_id)).filter(members::user_id.eq(owner));
    diesel::update(membership).set(members::role.eq(Role::Admin)).prepared().execute(&mut **transaction).await?;
    Ok(())
}

/// Makes a member the owner.
pub(crate) async fn step_up(
    transaction: &mut Transaction,
    cause: Cause<'_>,
    organization_id: OrganizationId,
    member: UserId,
) -> Result<()> {
    cause.require_reach(organization_id, member)?;
    let membership =
        members::table.filter(members::organization_id.eq(organization_id)).filter(members::user_id.eq(member));
    diesel::update(membership)
        .set((members::role.eq(Role::Owner), Permissions::all()))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Which of the invitations and codes that a member has issued end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum EndingIssues {
    /// All of them.
    All,
    /// Those that give the role ADMIN.
    ForAdmins,
}

/// Ends what members have issued, with positions that are taken under the locks on the memberships. These have already
/// been changed, so the transaction holds the locks.
pub(super) async fn end_issued(
    transaction: &mut Transaction,
    cause: Cause<'_>,
    organization_id: OrganizationId,
    user_ids: &[UserId],
    ending: EndingIssues,
) -> Result<()> {
    for user_id in user_ids {
        cause.require_reach(organization_id, *user_id)?;
    }
    let next = || fixed_sql::<BigInt>("nextval('grant_positions')");
    let all = ending == EndingIssues::All;
    diesel::update(
        members::table.filter(members::organization_id.eq(organization_id)).filter(members::user_id.eq_any(user_ids)),
    )
    .set((all.then(|| members::invites_ended_position.eq(next())), members::admin_invites_ended_position.eq(next())))
    .prepared()
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Ends the invitations and codes for the role ADMIN that the admins of the permit's organization have issued.
pub(super) async fn end_issued_for_admins(transaction: &mut Transaction, permit: &WritePermit) -> Result<()> {
    diesel::update(
        members::table
            .filter(members::organization_id.eq(permit.organization_id()))
            .filter(members::status.eq(MemberStatus::Active))
            .filter(members::role.eq(Role::Admin)),
    )
    .set(members::admin_invites_ended_position.eq(fixed_sql::<BigInt>("nextval('grant_positions')")))
    .prepared()
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The positions at which a membership ended, in the sequence of grants and of everything that people issue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndPositions {
    /// The position of this end.
    pub this: i64,
    /// The position of the end before it.
    pub previous: i64,
}

/// Ends a membership and everything that was issued under it.
pub(crate) async fn end(
    transaction: &mut Transaction,
    cause: Cause<'_>,
    member: &Member,
    status: MemberStatus,
) -> Result<EndPositions> {
    cause.require_reach(member.organization_id, member.user_id)?;
    // Waits for whatever is being written under the membership; nothing new can begin.
    let previous: i64 = members::table
        .find(member.id)
        .select(members::ended_at_position)
        .for_no_key_update()
        .first(&mut **transaction)
        .await?;
    // The position is taken only under that lock. Every grant made under the membership therefore has a lower position
    // and becomes dormant, and everything issued under it has ended.
    let this: i64 =
        diesel::select(fixed_sql::<BigInt>("nextval('grant_positions')")).get_result(&mut **transaction).await?;
    diesel::update(members::table.find(member.id))
        .set((
            members::status.eq(status),
            members::ended_at_position.eq(this),
            members::issued_ended_position.eq(this),
            members::invites_ended_position.eq(this),
            members::admin_invites_ended_position.eq(this),
        ))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(EndPositions { this, previous })
}

/// Makes a member of the permit's organization active again.
pub(crate) async fn reactivate(transaction: &mut Transaction, permit: &WritePermit, id: MemberId) -> Result<()> {
    diesel::update(members::table.find(id).filter(members::organization_id.eq(permit.organization_id())))
        .set(members::status.eq(MemberStatus::Active))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Resets a membership of the permit's organization to the position of its previous end. Grants made in between become
/// active again.
pub(crate) async fn undo_end(
    transaction: &mut Transaction,
    permit: &WritePermit,
    id: MemberId,
    previous: i64,
) -> Result<()> {
    diesel::update(members::table.find(id).filter(members::organization_id.eq(permit.organization_id())))
        .set(members::ended_at_position.eq(previous))
        .prepared()
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
