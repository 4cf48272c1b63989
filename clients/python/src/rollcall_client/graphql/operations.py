from typing import Optional, Union, Unpack

from rollcall_client._transport import RequestOptions

from .accept_invitation import AcceptInvitation, AcceptInvitationAcceptInvitation
from .audience import Audience, AudienceAudience
from .base_model import UNSET, UnsetType
from .base_operations import BaseOperations
from .change_member_role import ChangeMemberRole, ChangeMemberRoleChangeMemberRole
from .check_access import CheckAccess, CheckAccessCheckAccess
from .create_organization import (
    CreateOrganization,
    CreateOrganizationCreateOrganization,
)
from .create_webhook import CreateWebhook, CreateWebhookCreateWebhook
from .delete_resources import DeleteResources, DeleteResourcesDeleteResources
from .delete_user import DeleteUser, DeleteUserDeleteUser
from .end_user_sessions import EndUserSessions, EndUserSessionsEndUserSessions
from .enums import AccessLevel, ResourceKind
from .events import Events, EventsEvents
from .explain_access import ExplainAccess, ExplainAccessCheckAccess
from .grant_access import GrantAccess, GrantAccessGrantAccess
from .input_types import (
    AcceptInvitationInput,
    AccessCheckInput,
    ChangeMemberRoleInput,
    CreateOrganizationInput,
    CreateWebhookInput,
    DeleteResourcesInput,
    DeleteUserInput,
    EndUserSessionsInput,
    GrantAccessInput,
    InviteMembersInput,
    OrganizationBy,
    ReactivateMemberInput,
    RemoveMemberInput,
    ReportRunInput,
    ReportUsageInput,
    ResourceRef,
    RevokeAccessInput,
    SuspendUserInput,
    TransferResourcesInput,
    UnsuspendUserInput,
    UpdateOrganizationInput,
    UpsertMembersInput,
    UpsertOrganizationsInput,
    UpsertResourcesInput,
    UpsertTeamsInput,
    UpsertUsersInput,
    UserRef,
)
from .invite_members import InviteMembers, InviteMembersInviteMembers
from .membership import Membership, MembershipMembership
from .organization import Organization, OrganizationOrganization
from .organization_members import OrganizationMembers, OrganizationMembersOrganization
from .reachable import Reachable, ReachableReachable
from .reactivate_member import ReactivateMember, ReactivateMemberReactivateMember
from .remove_member import RemoveMember, RemoveMemberRemoveMember
from .report_run import ReportRun, ReportRunReportRun
from .report_usage import ReportUsage, ReportUsageReportUsage
from .resource import Resource, ResourceResource
from .revoke_access import RevokeAccess, RevokeAccessRevokeAccess
from .suspend_user import SuspendUser, SuspendUserSuspendUser
from .transfer_resources import TransferResources, TransferResourcesTransferResources
from .unsuspend_user import UnsuspendUser, UnsuspendUserUnsuspendUser
from .update_organization import (
    UpdateOrganization,
    UpdateOrganizationUpdateOrganization,
)
from .upsert_members import UpsertMembers, UpsertMembersUpsertMembers
from .upsert_organizations import (
    UpsertOrganizations,
    UpsertOrganizationsUpsertOrganizations,
)
from .upsert_resources import UpsertResources, UpsertResourcesUpsertResources
from .upsert_teams import UpsertTeams, UpsertTeamsUpsertTeams
from .upsert_users import UpsertUsers, UpsertUsersUpsertUsers
from .user import User, UserUser


def gql(q: str) -> str:
    return q


class Operations(BaseOperations):
    def check_access(
        self, checks: list[AccessCheckInput], **options: Unpack[RequestOptions]
    ) -> list[CheckAccessCheckAccess]:
        query = gql("""
            query CheckAccess($checks: [AccessCheckInput!]!) {
              checkAccess(checks: $checks) {
                ...AccessDecisionFields
              }
            }

            fragment AccessDecisionFields on AccessDecision {
              allowed
              level
              revision
            }
            """)
        variables: dict[str, object] = {"checks": checks}
        response = self.execute(
            query=query, operation_name="CheckAccess", variables=variables, **options
        )
        data = self.get_data(response)
        return CheckAccess.model_validate(data).check_access

    def explain_access(
        self, check: AccessCheckInput, **options: Unpack[RequestOptions]
    ) -> list[ExplainAccessCheckAccess]:
        query = gql("""
            query ExplainAccess($check: AccessCheckInput!) {
              checkAccess(checks: [$check]) {
                ...AccessDecisionFields
                limitedBy
                reasons {
                  kind
                  level
                  resource {
                    id
                  }
                  grant {
                    id
                  }
                  team {
                    id
                  }
                  organization {
                    id
                  }
                }
              }
            }

            fragment AccessDecisionFields on AccessDecision {
              allowed
              level
              revision
            }
            """)
        variables: dict[str, object] = {"check": check}
        response = self.execute(
            query=query, operation_name="ExplainAccess", variables=variables, **options
        )
        data = self.get_data(response)
        return ExplainAccess.model_validate(data).check_access

    def reachable(
        self,
        user: UserRef,
        organization_id: Union[Optional[str], UnsetType] = UNSET,
        kind: Union[Optional[ResourceKind], UnsetType] = UNSET,
        at_least: Union[Optional[AccessLevel], UnsetType] = UNSET,
        first: Union[Optional[int], UnsetType] = UNSET,
        after: Union[Optional[str], UnsetType] = UNSET,
        **options: Unpack[RequestOptions],
    ) -> ReachableReachable:
        query = gql("""
            query Reachable($user: UserRef!, $organizationId: ID, $kind: ResourceKind, $atLeast: AccessLevel, $first: Int, $after: String) {
              reachable(
                user: $user
                organizationId: $organizationId
                kind: $kind
                atLeast: $atLeast
                first: $first
                after: $after
              ) {
                edges {
                  level
                  node {
                    id
                    kind
                    externalId
                    name
                  }
                }
                pageInfo {
                  hasNextPage
                  endCursor
                }
              }
            }
            """)
        variables: dict[str, object] = {
            "user": user,
            "organizationId": organization_id,
            "kind": kind,
            "atLeast": at_least,
            "first": first,
            "after": after,
        }
        response = self.execute(
            query=query, operation_name="Reachable", variables=variables, **options
        )
        data = self.get_data(response)
        return Reachable.model_validate(data).reachable

    def audience(
        self,
        resource: ResourceRef,
        at_least: Union[Optional[AccessLevel], UnsetType] = UNSET,
        first: Union[Optional[int], UnsetType] = UNSET,
        after: Union[Optional[str], UnsetType] = UNSET,
        **options: Unpack[RequestOptions],
    ) -> Optional[AudienceAudience]:
        query = gql("""
            query Audience($resource: ResourceRef!, $atLeast: AccessLevel, $first: Int, $after: String) {
              audience(resource: $resource, atLeast: $atLeast, first: $first, after: $after) {
                edges {
                  level
                  node {
                    id
                    externalId
                  }
                }
                pageInfo {
                  hasNextPage
                  endCursor
                }
              }
            }
            """)
        variables: dict[str, object] = {
            "resource": resource,
            "atLeast": at_least,
            "first": first,
            "after": after,
        }
        response = self.execute(
            query=query, operation_name="Audience", variables=variables, **options
        )
        data = self.get_data(response)
        return Audience.model_validate(data).audience

    def user(
        self, by: UserRef, **options: Unpack[RequestOptions]
    ) -> Optional[UserUser]:
        query = gql("""
            query User($by: UserRef!) {
              user(by: $by) {
                id
                externalId
                username
                name
                metadata
              }
            }
            """)
        variables: dict[str, object] = {"by": by}
        response = self.execute(
            query=query, operation_name="User", variables=variables, **options
        )
        data = self.get_data(response)
        return User.model_validate(data).user

    def upsert_users(
        self, input: UpsertUsersInput, **options: Unpack[RequestOptions]
    ) -> UpsertUsersUpsertUsers:
        query = gql("""
            mutation UpsertUsers($input: UpsertUsersInput!) {
              upsertUsers(input: $input) {
                results {
                  ...UserUpsertFields
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }

            fragment UserUpsertFields on UserUpsert {
              outcome
              user {
                id
                externalId
              }
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="UpsertUsers", variables=variables, **options
        )
        data = self.get_data(response)
        return UpsertUsers.model_validate(data).upsert_users

    def suspend_user(
        self, input: SuspendUserInput, **options: Unpack[RequestOptions]
    ) -> SuspendUserSuspendUser:
        query = gql("""
            mutation SuspendUser($input: SuspendUserInput!) {
              suspendUser(input: $input) {
                user {
                  id
                  suspendedAt
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="SuspendUser", variables=variables, **options
        )
        data = self.get_data(response)
        return SuspendUser.model_validate(data).suspend_user

    def unsuspend_user(
        self, input: UnsuspendUserInput, **options: Unpack[RequestOptions]
    ) -> UnsuspendUserUnsuspendUser:
        query = gql("""
            mutation UnsuspendUser($input: UnsuspendUserInput!) {
              unsuspendUser(input: $input) {
                user {
                  id
                  suspendedAt
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="UnsuspendUser", variables=variables, **options
        )
        data = self.get_data(response)
        return UnsuspendUser.model_validate(data).unsuspend_user

    def end_user_sessions(
        self, input: EndUserSessionsInput, **options: Unpack[RequestOptions]
    ) -> EndUserSessionsEndUserSessions:
        query = gql("""
            mutation EndUserSessions($input: EndUserSessionsInput!) {
              endUserSessions(input: $input) {
                ended
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query,
            operation_name="EndUserSessions",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return EndUserSessions.model_validate(data).end_user_sessions

    def delete_user(
        self, input: DeleteUserInput, **options: Unpack[RequestOptions]
    ) -> DeleteUserDeleteUser:
        query = gql("""
            mutation DeleteUser($input: DeleteUserInput!) {
              deleteUser(input: $input) {
                deletedUserId
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="DeleteUser", variables=variables, **options
        )
        data = self.get_data(response)
        return DeleteUser.model_validate(data).delete_user

    def events(
        self,
        after: Union[Optional[str], UnsetType] = UNSET,
        first: Union[Optional[int], UnsetType] = UNSET,
        actions: Union[Optional[list[str]], UnsetType] = UNSET,
        organization_id: Union[Optional[str], UnsetType] = UNSET,
        **options: Unpack[RequestOptions],
    ) -> EventsEvents:
        query = gql("""
            query Events($after: String, $first: Int, $actions: [String!], $organizationId: ID) {
              events(
                after: $after
                first: $first
                actions: $actions
                organizationId: $organizationId
              ) {
                edges {
                  cursor
                  node {
                    ...EventFields
                  }
                }
                pageInfo {
                  hasNextPage
                  endCursor
                }
              }
            }

            fragment EventFields on AuditEvent {
              id
              sequence
              action
              actorKind
              actor {
                id
              }
              platformKey
              organization {
                id
                externalId
              }
              subject {
                id
                externalId
              }
              targetId
              summary
              metadata
              occurredAt
            }
            """)
        variables: dict[str, object] = {
            "after": after,
            "first": first,
            "actions": actions,
            "organizationId": organization_id,
        }
        response = self.execute(
            query=query, operation_name="Events", variables=variables, **options
        )
        data = self.get_data(response)
        return Events.model_validate(data).events

    def create_webhook(
        self, input: CreateWebhookInput, **options: Unpack[RequestOptions]
    ) -> CreateWebhookCreateWebhook:
        query = gql("""
            mutation CreateWebhook($input: CreateWebhookInput!) {
              createWebhook(input: $input) {
                webhook {
                  id
                  url
                  events
                }
                secret
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="CreateWebhook", variables=variables, **options
        )
        data = self.get_data(response)
        return CreateWebhook.model_validate(data).create_webhook

    def membership(
        self,
        user: UserRef,
        organization: OrganizationBy,
        **options: Unpack[RequestOptions],
    ) -> Optional[MembershipMembership]:
        query = gql("""
            query Membership($user: UserRef!, $organization: OrganizationBy!) {
              membership(user: $user, organization: $organization) {
                ...MemberFields
              }
            }

            fragment MemberFields on Member {
              id
              role
              status
              user {
                id
              }
              organization {
                id
              }
            }
            """)
        variables: dict[str, object] = {"user": user, "organization": organization}
        response = self.execute(
            query=query, operation_name="Membership", variables=variables, **options
        )
        data = self.get_data(response)
        return Membership.model_validate(data).membership

    def upsert_members(
        self, input: UpsertMembersInput, **options: Unpack[RequestOptions]
    ) -> UpsertMembersUpsertMembers:
        query = gql("""
            mutation UpsertMembers($input: UpsertMembersInput!) {
              upsertMembers(input: $input) {
                results {
                  ...MemberUpsertFields
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment MemberUpsertFields on MemberUpsert {
              outcome
              member {
                id
                role
                user {
                  id
                  externalId
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="UpsertMembers", variables=variables, **options
        )
        data = self.get_data(response)
        return UpsertMembers.model_validate(data).upsert_members

    def invite_members(
        self, input: InviteMembersInput, **options: Unpack[RequestOptions]
    ) -> InviteMembersInviteMembers:
        query = gql("""
            mutation InviteMembers($input: InviteMembersInput!) {
              inviteMembers(input: $input) {
                invitations {
                  id
                  status
                  expiresAt
                }
                acceptUrls
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="InviteMembers", variables=variables, **options
        )
        data = self.get_data(response)
        return InviteMembers.model_validate(data).invite_members

    def accept_invitation(
        self, input: AcceptInvitationInput, **options: Unpack[RequestOptions]
    ) -> AcceptInvitationAcceptInvitation:
        query = gql("""
            mutation AcceptInvitation($input: AcceptInvitationInput!) {
              acceptInvitation(input: $input) {
                member {
                  ...MemberFields
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment MemberFields on Member {
              id
              role
              status
              user {
                id
              }
              organization {
                id
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query,
            operation_name="AcceptInvitation",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return AcceptInvitation.model_validate(data).accept_invitation

    def change_member_role(
        self, input: ChangeMemberRoleInput, **options: Unpack[RequestOptions]
    ) -> ChangeMemberRoleChangeMemberRole:
        query = gql("""
            mutation ChangeMemberRole($input: ChangeMemberRoleInput!) {
              changeMemberRole(input: $input) {
                member {
                  ...MemberFields
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment MemberFields on Member {
              id
              role
              status
              user {
                id
              }
              organization {
                id
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query,
            operation_name="ChangeMemberRole",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return ChangeMemberRole.model_validate(data).change_member_role

    def remove_member(
        self, input: RemoveMemberInput, **options: Unpack[RequestOptions]
    ) -> RemoveMemberRemoveMember:
        query = gql("""
            mutation RemoveMember($input: RemoveMemberInput!) {
              removeMember(input: $input) {
                departure {
                  id
                  status
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="RemoveMember", variables=variables, **options
        )
        data = self.get_data(response)
        return RemoveMember.model_validate(data).remove_member

    def reactivate_member(
        self, input: ReactivateMemberInput, **options: Unpack[RequestOptions]
    ) -> ReactivateMemberReactivateMember:
        query = gql("""
            mutation ReactivateMember($input: ReactivateMemberInput!) {
              reactivateMember(input: $input) {
                member {
                  ...MemberFields
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment MemberFields on Member {
              id
              role
              status
              user {
                id
              }
              organization {
                id
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query,
            operation_name="ReactivateMember",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return ReactivateMember.model_validate(data).reactivate_member

    def organization(
        self, by: OrganizationBy, **options: Unpack[RequestOptions]
    ) -> Optional[OrganizationOrganization]:
        query = gql("""
            query Organization($by: OrganizationBy!) {
              organization(by: $by) {
                id
                externalId
                slug
                name
                personal
                metadata
              }
            }
            """)
        variables: dict[str, object] = {"by": by}
        response = self.execute(
            query=query, operation_name="Organization", variables=variables, **options
        )
        data = self.get_data(response)
        return Organization.model_validate(data).organization

    def organization_members(
        self,
        by: OrganizationBy,
        first: Union[Optional[int], UnsetType] = UNSET,
        after: Union[Optional[str], UnsetType] = UNSET,
        **options: Unpack[RequestOptions],
    ) -> Optional[OrganizationMembersOrganization]:
        query = gql("""
            query OrganizationMembers($by: OrganizationBy!, $first: Int, $after: String) {
              organization(by: $by) {
                id
                members(first: $first, after: $after) {
                  nodes {
                    ...MemberFields
                  }
                  pageInfo {
                    hasNextPage
                    endCursor
                  }
                }
              }
            }

            fragment MemberFields on Member {
              id
              role
              status
              user {
                id
              }
              organization {
                id
              }
            }
            """)
        variables: dict[str, object] = {"by": by, "first": first, "after": after}
        response = self.execute(
            query=query,
            operation_name="OrganizationMembers",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return OrganizationMembers.model_validate(data).organization

    def create_organization(
        self, input: CreateOrganizationInput, **options: Unpack[RequestOptions]
    ) -> CreateOrganizationCreateOrganization:
        query = gql("""
            mutation CreateOrganization($input: CreateOrganizationInput!) {
              createOrganization(input: $input) {
                organization {
                  id
                  slug
                  name
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query,
            operation_name="CreateOrganization",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return CreateOrganization.model_validate(data).create_organization

    def update_organization(
        self, input: UpdateOrganizationInput, **options: Unpack[RequestOptions]
    ) -> UpdateOrganizationUpdateOrganization:
        query = gql("""
            mutation UpdateOrganization($input: UpdateOrganizationInput!) {
              updateOrganization(input: $input) {
                organization {
                  id
                  slug
                  name
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query,
            operation_name="UpdateOrganization",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return UpdateOrganization.model_validate(data).update_organization

    def upsert_organizations(
        self, input: UpsertOrganizationsInput, **options: Unpack[RequestOptions]
    ) -> UpsertOrganizationsUpsertOrganizations:
        query = gql("""
            mutation UpsertOrganizations($input: UpsertOrganizationsInput!) {
              upsertOrganizations(input: $input) {
                results {
                  ...OrganizationUpsertFields
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment OrganizationUpsertFields on OrganizationUpsert {
              outcome
              organization {
                id
                externalId
                slug
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query,
            operation_name="UpsertOrganizations",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return UpsertOrganizations.model_validate(data).upsert_organizations

    def resource(
        self, by: ResourceRef, **options: Unpack[RequestOptions]
    ) -> Optional[ResourceResource]:
        query = gql("""
            query Resource($by: ResourceRef!) {
              resource(by: $by) {
                id
                kind
                subtype
                externalId
                name
                metadata
                owner {
                  id
                }
                organization {
                  id
                }
              }
            }
            """)
        variables: dict[str, object] = {"by": by}
        response = self.execute(
            query=query, operation_name="Resource", variables=variables, **options
        )
        data = self.get_data(response)
        return Resource.model_validate(data).resource

    def upsert_resources(
        self, input: UpsertResourcesInput, **options: Unpack[RequestOptions]
    ) -> UpsertResourcesUpsertResources:
        query = gql("""
            mutation UpsertResources($input: UpsertResourcesInput!) {
              upsertResources(input: $input) {
                results {
                  ...ResourceUpsertFields
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment ResourceUpsertFields on ResourceUpsert {
              outcome
              resource {
                id
                kind
                externalId
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query,
            operation_name="UpsertResources",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return UpsertResources.model_validate(data).upsert_resources

    def transfer_resources(
        self, input: TransferResourcesInput, **options: Unpack[RequestOptions]
    ) -> TransferResourcesTransferResources:
        query = gql("""
            mutation TransferResources($input: TransferResourcesInput!) {
              transferResources(input: $input) {
                resources {
                  id
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query,
            operation_name="TransferResources",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return TransferResources.model_validate(data).transfer_resources

    def delete_resources(
        self, input: DeleteResourcesInput, **options: Unpack[RequestOptions]
    ) -> DeleteResourcesDeleteResources:
        query = gql("""
            mutation DeleteResources($input: DeleteResourcesInput!) {
              deleteResources(input: $input) {
                deleted
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query,
            operation_name="DeleteResources",
            variables=variables,
            **options,
        )
        data = self.get_data(response)
        return DeleteResources.model_validate(data).delete_resources

    def grant_access(
        self, input: GrantAccessInput, **options: Unpack[RequestOptions]
    ) -> GrantAccessGrantAccess:
        query = gql("""
            mutation GrantAccess($input: GrantAccessInput!) {
              grantAccess(input: $input) {
                grant {
                  id
                  level
                }
                invited
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="GrantAccess", variables=variables, **options
        )
        data = self.get_data(response)
        return GrantAccess.model_validate(data).grant_access

    def revoke_access(
        self, input: RevokeAccessInput, **options: Unpack[RequestOptions]
    ) -> RevokeAccessRevokeAccess:
        query = gql("""
            mutation RevokeAccess($input: RevokeAccessInput!) {
              revokeAccess(input: $input) {
                revokedGrantId
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="RevokeAccess", variables=variables, **options
        )
        data = self.get_data(response)
        return RevokeAccess.model_validate(data).revoke_access

    def upsert_teams(
        self, input: UpsertTeamsInput, **options: Unpack[RequestOptions]
    ) -> UpsertTeamsUpsertTeams:
        query = gql("""
            mutation UpsertTeams($input: UpsertTeamsInput!) {
              upsertTeams(input: $input) {
                results {
                  ...TeamUpsertFields
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment TeamUpsertFields on TeamUpsert {
              outcome
              team {
                id
                externalId
                name
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="UpsertTeams", variables=variables, **options
        )
        data = self.get_data(response)
        return UpsertTeams.model_validate(data).upsert_teams

    def report_run(
        self, input: ReportRunInput, **options: Unpack[RequestOptions]
    ) -> ReportRunReportRun:
        query = gql("""
            mutation ReportRun($input: ReportRunInput!) {
              reportRun(input: $input) {
                run {
                  id
                  status
                }
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="ReportRun", variables=variables, **options
        )
        data = self.get_data(response)
        return ReportRun.model_validate(data).report_run

    def report_usage(
        self, input: ReportUsageInput, **options: Unpack[RequestOptions]
    ) -> ReportUsageReportUsage:
        query = gql("""
            mutation ReportUsage($input: ReportUsageInput!) {
              reportUsage(input: $input) {
                recorded
                alreadyRecorded
                userErrors {
                  ...UserErrorFields
                }
              }
            }

            fragment UserErrorFields on UserError {
              code
              message
              field
            }
            """)
        variables: dict[str, object] = {"input": input}
        response = self.execute(
            query=query, operation_name="ReportUsage", variables=variables, **options
        )
        data = self.get_data(response)
        return ReportUsage.model_validate(data).report_usage
