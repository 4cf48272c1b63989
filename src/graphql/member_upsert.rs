//! Bringing in a platform's members, many at once.

use std::borrow::Cow;

use async_graphql::registry::Registry;
use async_graphql::{
    Context, InputObject, InputType, InputValueError, InputValueResult, Json, MaybeUndefined, Object, SimpleObject,
    Value,
};
use rollcall_domain::authority::permissions::PermissionsInput;
use rollcall_domain::authority::rights;
use rollcall_domain::base::id::TeamId;
use rollcall_domain::membership::member_upsert;

use super::context::{actor, database, request};
use super::error::{Payload, UserError, payload};
use super::id::{Id, Time};
use super::member::{Member, MemberPermissionsInput};
use super::organization::{OrganizationBy, unknown_organization};
use super::resource_upsert::UpsertOutcome;
use super::rights::Role;
use super::undefined_or;
use super::user::UserRef;

/// A role that may be omitted. In the schema, it has the default MEMBER, which is what people become who aren't members
/// yet. Whether it was omitted still matters for those who are.
enum OmittableRole {
    Omitted,
    Given(Role),
}

impl OmittableRole {
    fn given(self) -> Option<rights::Role> {
        match self {
            Self::Omitted => None,
            Self::Given(role) => Some(role.into()),
        }
    }
}

impl InputType for OmittableRole {
    type RawValueType = Role;

    fn type_name() -> Cow<'static, str> {
        <Role as InputType>::type_name()
    }

    fn qualified_type_name() -> String {
        Self::type_name().into_owned()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <Role as InputType>::create_type_info(registry);
        Self::qualified_type_name()
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        match value {
            None | Some(Value::Null) => Ok(Self::Omitted),
            given => Role::parse(given).map(Self::Given).map_err(InputValueError::propagate),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Omitted => InputType::to_value(&Role::Member),
            Self::Given(role) => InputType::to_value(role),
        }
    }

    fn as_raw_value(&self) -> Option<&Role> {
        match self {
            Self::Omitted => None,
            Self::Given(role) => Some(role),
        }
    }
}

/// The members to bring in.
#[derive(InputObject)]
pub struct UpsertMembersInput {
    /// The organization that they are members of.
    organization: OrganizationBy,
    /// The members, 1 to 500, each person named once.
    members: Vec<MemberUpsertInput>,
    /// Whether those who become members by this are sent an email that says so.
    #[graphql(default_with = "Some(false)")]
    notify: Option<bool>,
}

/// Somebody to make an active member, or an active member to change. What is omitted stays as it is for an active
/// member.
#[derive(InputObject)]
pub struct MemberUpsertInput {
    /// The person, who must have an account.
    user: UserRef,
    /// The role: ADMIN, MEMBER or VIEWER. If it is omitted, an active member keeps their role, and others become
    /// members with the role MEMBER, also those who had another one before. OWNER is for the current owner only.
    #[graphql(default_with = "OmittableRole::Omitted")]
    role: OmittableRole,
    /// What they may bill, and what they get from grants to the organization. If it is omitted, it comes from the
    /// organization's policy for those who aren't active members.
    permissions: Option<MemberPermissionsInput>,
    /// The teams of the organization that they are in afterwards. Null takes them out of all teams.
    teams: MaybeUndefined<Vec<Id<TeamId>>>,
    /// What the platform attaches to the membership, an object of at most 8 kB. Null clears it.
    metadata: MaybeUndefined<Json<serde_json::Value>>,
    /// When they joined, for those who become members by this: from 1970 to now. Now if omitted.
    joined_at: Option<Time>,
}

impl From<MemberUpsertInput> for member_upsert::MemberUpsert {
    fn from(input: MemberUpsertInput) -> Self {
        Self {
            user: input.user.into(),
            role: input.role.given(),
            permissions: input.permissions.map_or_else(PermissionsInput::default, Into::into),
            teams: undefined_or(input.teams)
                .map(|teams| teams.unwrap_or_default().into_iter().map(|id| id.0).collect()),
            metadata: undefined_or(input.metadata).map(|data| data.map(|data| data.0)),
            joined_at: input.joined_at.map(|time| time.0),
        }
    }
}

/// A member who was brought in.
#[derive(SimpleObject)]
pub struct MemberUpsert {
    /// The membership.
    member: Member,
    /// What became of it: UPDATED also for a former member who is active again.
    outcome: UpsertOutcome,
}

/// The result of bringing in members.
#[derive(SimpleObject, Default)]
pub struct UpsertMembersPayload {
    /// Each member with what became of them, in the order of the input.
    results: Option<Vec<MemberUpsert>>,
    /// Why nothing was changed.
    user_errors: Vec<UserError>,
}
payload!(UpsertMembersPayload);

/// The mutations that bring in members.
#[derive(Default)]
pub struct MemberUpsertMutation;

#[Object]
impl MemberUpsertMutation {
    /// Makes people active members of an organization, without an invitation, and changes those who are, 1 to 500, all
    /// or none. The same call again changes nothing. Former members come back, however their membership ended. For
    /// platform keys with MEMBERS_WRITE.
    async fn upsert_members(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The members to bring in.")] input: UpsertMembersInput,
    ) -> async_graphql::Result<UpsertMembersPayload> {
        let actor = actor(context)?;
        let members: Vec<member_upsert::MemberUpsert> = input.members.into_iter().map(Into::into).collect();
        let outcome = match input.organization.id(context).await? {
            Some(organization_id) => {
                let notify = input.notify.unwrap_or_default();
                let command = member_upsert::UpsertMembers { organization_id, members, notify };
                member_upsert::upsert(database(context), actor, &command, request(context).client).await
            }
            None => Err(unknown_organization()),
        };
        Payload::of(outcome, |results| UpsertMembersPayload {
            results: Some(
                results
                    .into_iter()
                    .map(|(member, outcome)| MemberUpsert { member: Member(member), outcome: outcome.into() })
                    .collect(),
            ),
            user_errors: Vec::new(),
        })
    }
}
