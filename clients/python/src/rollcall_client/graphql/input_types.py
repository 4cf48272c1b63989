from datetime import datetime
from decimal import Decimal
from typing import Annotated, Optional

from pydantic import PlainSerializer
from rollcall_client._json import JsonObject

from .base_model import BaseModel
from .enums import AccessLevel, ResourceKind, Role, RunStatus, UsageKind, Visibility


class AcceptInvitationInput(BaseModel):
    """Identifies the invitation to accept. Exactly one of `token` and `id` must be set."""

    token: Optional[str] = None
    "The token from the emailed link."
    id: Optional[str] = None
    "The id of one of the viewer's pending invitations."
    name: Optional[str] = None
    "The person's name, if a new account is created."
    username: Optional[str] = None
    "A username, if a new account is created. If omitted, it is derived from the name."


class AccessCheckInput(BaseModel):
    """The question whether somebody may do something with a resource."""

    user: "UserRef"
    "The person."
    resource: "ResourceRef"
    "The resource."
    at_least: Optional[AccessLevel] = AccessLevel.VIEW
    "The level that it takes: VIEW or more."


class ChangeMemberRoleInput(BaseModel):
    """The member and their new role."""

    member_id: str
    "The member."
    role: Role
    "The new role: ADMIN, MEMBER or VIEWER. Only a transfer of the ownership makes somebody the owner."


class CreateOrganizationInput(BaseModel):
    """The organization to create."""

    name: str
    "The name that is shown everywhere, including in emails: 1 to 100 characters, without links."
    slug: Optional[str] = None
    "The short name: 2 to 39 characters out of a–z, 0–9 and single hyphens. If omitted, it is derived from the name.\nSLUG_TAKEN if another organization has it, gave it up within the last 90 days, or had it when it was removed\nfor good."
    full_name: Optional[str] = None
    "The full name, up to 200 characters."
    description: Optional[str] = None
    "A description, up to 2000 characters."
    website: Optional[str] = None
    "The URL of the website."
    location: Optional[str] = None
    "The place where the organization is located, up to 200 characters."
    sector: Optional[str] = None
    "The sector in which the organization works, up to 200 characters."
    university_name: Optional[str] = None
    "The name of the university that the organization belongs to, up to 200 characters."
    logo_url: Optional[str] = None
    "The URL of the logo."
    owner_email: Optional[str] = None
    "For the platform's staff only: the owner's email address. If it has no account, one is created when somebody\nsigns in with it."


class CreateWebhookInput(BaseModel):
    """The webhook to create."""

    organization_id: Optional[str] = None
    "The organization whose events are delivered. Left out by platform keys with EVENTS_READ and by staff, for the\nevents of all organizations, or of those that the key reaches."
    url: str
    "The URL to deliver to: `https://…` at a public address, up to 2,000 characters. A webhook of the platform may\nalso lead to a private address, and there to `http://…`."
    events: list[str]
    "The audit log's actions to subscribe to, such as `organization.member_joined`; `*` for all."


class DeleteResourcesInput(BaseModel):
    """The resources to delete."""

    resources: list["ResourceRef"]
    "The resources, 1 to 1,000, each named once. Those that aren't there count as deleted."
    recursive: Optional[bool] = False
    "Whether what lies in them is deleted with them, at most 10,000 resources. Otherwise everything that lies in one of\nthem must be named as well."


class DeleteUserInput(BaseModel):
    """The account to delete."""

    user: "UserRef"
    "The account."
    reason: Optional[str] = None
    "Why, up to 2,000 characters. It is kept in the audit log, for staff and for readers of the feed."


class EndUserSessionsInput(BaseModel):
    """The account whose sessions end."""

    user: "UserRef"
    "The account."


class ExternalResourceRef(BaseModel):
    """A resource, by its kind and the platform's own id of it."""

    kind: ResourceKind
    "The kind of the resource."
    external_id: str
    "The platform's own id of the resource."


class GrantAccessInput(BaseModel):
    """The resource to share, with whom, and at which level."""

    resource_id: str
    "The resource. The viewer must have ADMINISTER access to it."
    grantee: "GranteeInput"
    "The person, team or organization to share with."
    level: AccessLevel
    "The level of access. It replaces the level of an existing grant, whether that is higher or lower."


class GranteeInput(BaseModel):
    """Whoever to share with. Exactly one field must be set."""

    user_id: Optional[str] = None
    "A person, by id."
    username: Optional[str] = None
    "A person, by username."
    email: Optional[str] = None
    "A person, by email address. The address is invited to the resource, and whoever signs in with it gets the\ngrant. If the viewer already knows that this person has the address, for example because they lead an\norganization in which the person is a member, the person gets the grant at once."
    team_id: Optional[str] = None
    "A team of the resource's organization."
    organization_id: Optional[str] = None
    "An organization, by id."
    organization_slug: Optional[str] = None
    "An organization, by slug."


class InvitationGrantInput(BaseModel):
    """A level on a resource that comes with the membership."""

    resource_id: str
    "A project or workspace of the organization, which the viewer must be able to share."
    level: AccessLevel
    "The level: VIEW or more."


class InvitationInput(BaseModel):
    """One person to invite. Exactly one of `email` and `username` must be set."""

    email: Optional[str] = None
    "The person's email address, which doesn't need to have an account."
    username: Optional[str] = None
    "The username of the person's account."
    name: Optional[str] = None
    "The person's name, up to 100 characters."
    role: Optional[Role] = Role.MEMBER
    "The role: MEMBER, VIEWER, or ADMIN if the viewer may invite admins."
    permissions: Optional["MemberPermissionsInput"] = None
    "The person's permissions. Omitted ones come from the organization's policy."
    team_ids: Optional[list[str]] = None
    "Teams of the organization, at most 20, that the person joins on accepting."
    grants: Optional[list["InvitationGrantInput"]] = None
    "Levels on projects and workspaces of the organization, at most 20, that come with the membership, as far as the\nviewer can grant them."


class InviteMembersInput(BaseModel):
    """The people to invite."""

    organization_id: str
    "The organization to invite them to."
    invitations: list["InvitationInput"]
    "1 to 50 people. Either all of them are invited or nobody is."
    message: Optional[str] = None
    "A message to these people, up to 1000 characters, which their emails and the invitation's page show. It can't\ncontain links."
    send_mail: Optional[bool] = True
    "Whether each of them gets an email, and a reminder before the invitation expires. Only platform keys with\nMEMBERS_WRITE may say false; they get `acceptUrls` instead, to deliver by themselves."


class MemberPermissionsInput(BaseModel):
    """The permissions to give a member. Omitted ones stay as they are, or come from the organization's policy."""

    billable_activities: Optional[bool] = None
    "Whether they may bill activities to the organization."
    shared_apps: Optional[bool] = None
    "Whether they may use apps that are shared with the organization."
    shared_projects: Optional[AccessLevel] = None
    "The highest level of access that they get to projects that are shared with the organization."


class MemberUpsertInput(BaseModel):
    """Somebody to make an active member, or an active member to change. What is omitted stays as it is for an active
    member."""

    user: "UserRef"
    "The person, who must have an account."
    role: Optional[Role] = Role.MEMBER
    "The role: ADMIN, MEMBER or VIEWER. If it is omitted, an active member keeps their role, and others become\nmembers with the role MEMBER, also those who had another one before. OWNER is for the current owner only."
    permissions: Optional["MemberPermissionsInput"] = None
    "What they may bill, and what they get from grants to the organization. If it is omitted, it comes from the\norganization's policy for those who aren't active members."
    teams: Optional[list[str]] = None
    "The teams of the organization that they are in afterwards. Null takes them out of all teams."
    metadata: Optional[JsonObject] = None
    "What the platform attaches to the membership, an object of at most 8 kB. Null clears it."
    joined_at: Optional[datetime] = None
    "When they joined, for those who become members by this: from 1970 to now. Now if omitted."


class OrganizationBy(BaseModel):
    """Identifies an organization. Exactly one field must be set."""

    id: Optional[str] = None
    "The organization's id."
    slug: Optional[str] = None
    "The organization's current slug. Former slugs don't find it."
    external_id: Optional[str] = None
    "The platform's own id of the organization."


class OrganizationUpsertInput(BaseModel):
    """An organization, found by the platform's own id, else by its slug. An omitted field stays as it is, and null clears
    it."""

    external_id: str
    "The platform's own id of the organization, up to 255 characters."
    name: Optional[str] = None
    "The name that is shown everywhere, including in emails: 1 to 100 characters, without links. Needed for a new\norganization."
    slug: Optional[str] = None
    "The short name: 2 to 39 characters out of a–z, 0–9 and single hyphens. If a new organization's is omitted, it is\nderived from the name. An organization that has the slug already, and no id of the platform's, is linked to\n`externalId`."
    full_name: Optional[str] = None
    "The full name, up to 200 characters."
    description: Optional[str] = None
    "A description, up to 2000 characters."
    website: Optional[str] = None
    "The URL of the website."
    location: Optional[str] = None
    "The place where the organization is located, up to 200 characters."
    sector: Optional[str] = None
    "The sector in which the organization works, up to 200 characters."
    university_name: Optional[str] = None
    "The name of the university that the organization belongs to, up to 200 characters."
    logo_url: Optional[str] = None
    "The URL of the logo."
    owner: Optional["UserRef"] = None
    "The owner. Needed for a new organization, and only looked at there: `setOrganizationOwner` gives organizations\nto others."
    metadata: Optional[JsonObject] = None
    "What the platform attaches to it, an object of at most 8 kB."
    created_at: Optional[datetime] = None
    "When it was founded, for a new organization: from 1970 to now. Now if omitted. Its owner is a member from then\non."


class ReactivateMemberInput(BaseModel):
    """Identifies the member to reactivate."""

    member_id: str
    "The member, who must have been removed or deactivated."


class RemoveMemberInput(BaseModel):
    """Identifies the member to remove."""

    member_id: str
    "The member."
    reason: Optional[str] = None
    "The reason, up to 2000 characters. The audit log keeps it for the owner and admins; the member isn't told."
    message_to_member: Optional[str] = None
    "A message to the member, up to 2000 characters, which is included in their email."
    plan_hash: Optional[str] = None
    "The hash of a departure plan. If the departure would now do something else, it is refused with PLAN_STALE."


class ReportRunInput(BaseModel):
    """What the platform reports of a run."""

    id: str
    "The run."
    status: RunStatus
    "Its status. A run only moves forward: from QUEUED to RUNNING, and to one of its ends."
    cpu_hours: Optional[Annotated[Decimal, PlainSerializer(str)]] = None
    "The CPU-hours that the run has used so far, from 0 to 1,000,000,000, with up to nine decimal places. If this is\nomitted, or less than was reported before, the number stays as it is."
    memory_gib_hours: Optional[Annotated[Decimal, PlainSerializer(str)]] = None
    "The GiB-hours of memory that the run has used so far, likewise."


class ReportUsageInput(BaseModel):
    """What was used outside of runs, such as downloads."""

    entries: list["UsageEntryInput"]
    "What was used, 1 to 1,000 entries."


class ResourceRef(BaseModel):
    """Identifies a resource. Exactly one field must be set."""

    id: Optional[str] = None
    "The resource's id."
    external: Optional["ExternalResourceRef"] = None
    "The resource's kind and the platform's own id of it."


class ResourceUpsertInput(BaseModel):
    """A resource, found by its kind and the platform's own id. An omitted field stays as it is, and null clears it."""

    kind: ResourceKind
    "The kind of the resource, which never changes."
    external_id: str
    "The platform's own id of it, up to 255 characters."
    name: Optional[str] = None
    "The name, 1 to 100 characters. Needed for a new resource."
    description: Optional[str] = None
    "A description, up to 2000 characters."
    subtype: Optional[str] = None
    "The platform's own noun for it, up to 50 characters."
    owner: Optional["UserRef"] = None
    "The owner, an active member of the organization. Needed for a new resource, and only looked at there:\n`transferResources` gives resources to others."
    container: Optional["ResourceRef"] = None
    "The project, workspace or source group that it lies in, in the same organization. It may be in the same list, in\nany order."
    visibility: Optional[Visibility] = None
    "Who can read the resource, apart from those it is shared with. A new one is PRIVATE if this is omitted."
    size_bytes: Optional[Annotated[int, PlainSerializer(str)]] = None
    "The size in bytes."
    metadata: Optional[JsonObject] = None
    "What the platform attaches to it, an object of at most 8 kB."
    created_at: Optional[datetime] = None
    "When it was created, for a new resource: from 1970 to now. Now if omitted."


class RevokeAccessInput(BaseModel):
    """Identifies the grant to revoke."""

    grant_id: str
    "The grant. It must be on a resource that the viewer administers, or belong to the viewer."


class SuspendUserInput(BaseModel):
    """The account to suspend."""

    user: "UserRef"
    "The account."
    reason: Optional[str] = None
    "Why, up to 2,000 characters. It is kept in the audit log, for staff and for readers of the feed."
    notify: Optional[bool] = True
    "Whether an email tells the person. If not, no email tells them what the platform does with the account while it\nis suspended, except for another address."


class TeamUpsertInput(BaseModel):
    """A team, found by the platform's own id, else by its name if the team has no such id. An omitted field stays as it
    is, and null clears it."""

    external_id: str
    "The platform's own id of the team, up to 255 characters. A team that is found by its name gets it."
    name: Optional[str] = None
    "The name: 1 to 100 characters, unique in the organization. Needed for a new team."
    description: Optional[str] = None
    "A description, up to 2000 characters."
    avatar_url: Optional[str] = None
    "The URL of a picture."
    members: Optional[list["UserRef"]] = None
    "The people who are in the team afterwards: members and collaborators of the organization. If it is omitted, the\nsame people stay in it."
    metadata: Optional[JsonObject] = None
    "What the platform attaches to the team, an object of at most 8 kB."


class TransferResourcesInput(BaseModel):
    """The resources to transfer."""

    organization_id: str
    "The organization that holds them."
    resources: list["ResourceRef"]
    "The resources, 1 to 1,000, each named once. What lies in them keeps its owners."
    to: "UserRef"
    "The new owner, an active member of the organization."


class UnsuspendUserInput(BaseModel):
    """The account whose suspension ends."""

    user: "UserRef"
    "The account."


class UpdateOrganizationInput(BaseModel):
    """The changes to an organization's profile. An omitted field stays as it is; null clears it."""

    id: str
    "The organization."
    name: Optional[str] = None
    "The name that is shown everywhere, including in emails: 1 to 100 characters, without links."
    slug: Optional[str] = None
    "The short name: 2 to 39 characters out of a–z, 0–9 and single hyphens. The old slug stops working at once, so\neverybody who uses it needs the new one. For 90 days it is reserved for this organization, which may take it\nback. At most 10 old slugs are reserved at a time."
    full_name: Optional[str] = None
    "The full name, up to 200 characters."
    description: Optional[str] = None
    "A description, up to 2000 characters."
    website: Optional[str] = None
    "The URL of the website."
    location: Optional[str] = None
    "The place where the organization is located, up to 200 characters."
    sector: Optional[str] = None
    "The sector in which the organization works, up to 200 characters."
    university_name: Optional[str] = None
    "The name of the university that the organization belongs to, up to 200 characters."
    logo_url: Optional[str] = None
    "The URL of the logo."


class UpsertMembersInput(BaseModel):
    """The members to bring in."""

    organization: "OrganizationBy"
    "The organization that they are members of."
    members: list["MemberUpsertInput"]
    "The members, 1 to 500, each person named once."
    notify: Optional[bool] = False
    "Whether those who become members by this are sent an email that says so."


class UpsertOrganizationsInput(BaseModel):
    """The organizations to bring in."""

    organizations: list["OrganizationUpsertInput"]
    "The organizations, 1 to 100, each named once."


class UpsertResourcesInput(BaseModel):
    """The resources to bring in."""

    organization: "OrganizationBy"
    "The organization that holds them."
    resources: list["ResourceUpsertInput"]
    "The resources, 1 to 1,000, each named once."


class UpsertTeamsInput(BaseModel):
    """The teams to bring in."""

    organization: "OrganizationBy"
    "The organization that they belong to."
    teams: list["TeamUpsertInput"]
    "The teams, 1 to 100, each named once."


class UpsertUsersInput(BaseModel):
    """The accounts to bring in."""

    users: list["UserUpsertInput"]
    "The accounts, 1 to 500, each named once."


class UsageEntryInput(BaseModel):
    """Something that was used."""

    idempotency_key: str
    "A key that identifies this entry, up to 200 characters. An entry that is sent again with the same key isn't\ncounted again, whatever has changed since. Of a service key, keys are its organization's; otherwise, they are\nthose of the organization that the entry names or, if it names none, of the user."
    organization_id: Optional[str] = None
    "The organization that pays. If omitted, the user's default bill-to does."
    kind: UsageKind
    "What was used."
    quantity: Annotated[Decimal, PlainSerializer(str)]
    "How much was used, more than 0 and at most 1,000,000,000, with up to nine decimal places."
    region: Optional[str] = None
    "The network's region, on which its rate depends."
    user_id: Optional[str] = None
    "The user who used it. Required without an organization."
    workspace_id: Optional[str] = None
    "The organization's workspace in which it was used."
    run_id: Optional[str] = None
    "The organization's run that used it."
    occurred_at: Optional[datetime] = None
    "When it was used, within the last three years; now if omitted."


class UserRef(BaseModel):
    """Identifies an account. Exactly one field must be set."""

    id: Optional[str] = None
    "The account's id."
    external_id: Optional[str] = None
    "The platform's own id of the account."
    email: Optional[str] = None
    "The account's email address."
    username: Optional[str] = None
    "The account's current username."


class UserUpsertInput(BaseModel):
    """An account, found by the platform's own id, else by its address. An omitted field stays as it is, and null clears
    it."""

    external_id: str
    "The platform's own id of the account, up to 255 characters."
    email: Optional[str] = None
    "The email address. Needed for a new account."
    email_verified: Optional[bool] = False
    "Whether the platform vouches that the address is this person's. Only then is an account that has the address\nalready linked to `externalId`, and only then does an account get another address."
    username: Optional[str] = None
    "The username. Made from the name if omitted for a new account."
    name: Optional[str] = None
    "The person's name, 1 to 100 characters. Made from the address if omitted for a new account."
    avatar_url: Optional[str] = None
    "The URL of a picture."
    metadata: Optional[JsonObject] = None
    "What the platform attaches to the account, an object of at most 8 kB."
    created_at: Optional[datetime] = None
    "When the account was created, for a new one: from 1970 to now. Now if omitted."


AccessCheckInput.model_rebuild()
DeleteResourcesInput.model_rebuild()
DeleteUserInput.model_rebuild()
EndUserSessionsInput.model_rebuild()
GrantAccessInput.model_rebuild()
InvitationInput.model_rebuild()
InviteMembersInput.model_rebuild()
MemberUpsertInput.model_rebuild()
OrganizationUpsertInput.model_rebuild()
ReportUsageInput.model_rebuild()
ResourceRef.model_rebuild()
ResourceUpsertInput.model_rebuild()
SuspendUserInput.model_rebuild()
TeamUpsertInput.model_rebuild()
TransferResourcesInput.model_rebuild()
UnsuspendUserInput.model_rebuild()
UpsertMembersInput.model_rebuild()
UpsertOrganizationsInput.model_rebuild()
UpsertResourcesInput.model_rebuild()
UpsertTeamsInput.model_rebuild()
UpsertUsersInput.model_rebuild()
