// Generated from schema.graphql and ../documents by generate.js. Don't edit it.

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { JsonObject } from './json.js';
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** Identifies the invitation to accept. Exactly one of `token` and `id` must be set. */
export type AcceptInvitationInput = {
  /** The token from the emailed link. */
  token?: string | null | undefined;
  /** The id of one of the viewer's pending invitations. */
  id?: string | null | undefined;
  /** The person's name, if a new account is created. */
  name?: string | null | undefined;
  /** A username, if a new account is created. If omitted, it is derived from the name. */
  username?: string | null | undefined;
};

/** The question whether somebody may do something with a resource. */
export type AccessCheckInput = {
  /** The person. */
  user: UserRef;
  /** The resource. */
  resource: ResourceRef;
  /** The level that it takes: VIEW or more. */
  atLeast?: AccessLevel | null | undefined;
};

/** What somebody may do with a resource. Each level includes those before it. */
export type AccessLevel =
  /** No access. */
  | 'NONE'
  /** Read the resource. */
  | 'VIEW'
  /** Also add contents. */
  | 'UPLOAD'
  /** Also change the resource. */
  | 'CONTRIBUTE'
  /** Also share, move and delete the resource. */
  | 'ADMINISTER';

/** What keeps somebody's level lower than a reason would give. */
export type AccessLimit =
  /** They are a viewer, and viewers only read. */
  | 'VIEWER_ROLE'
  /** Their permission `sharedProjects` for what is shared with the organization. */
  | 'SHARED_PROJECTS'
  /** They lack the permission `sharedApps` for apps that are shared with the organization. */
  | 'SHARED_APPS'
  /** It is moving to another organization and read-only until it is there. */
  | 'MOVING'
  /** The organization that holds it shares nothing outside. */
  | 'EXTERNAL_SHARING'
  /**
   * The grant is dormant, because the membership ended under which it was given, or, for a team's, because nothing
   * in the organization is shared with the person themselves any more.
   */
  | 'SLEEPING'
  /** Their account is suspended. */
  | 'SUSPENDED';

/** By what somebody reaches a resource. */
export type AccessReasonKind =
  /** They own it, or what it lies in, and are a member of the organization that holds it. */
  | 'OWNER'
  /** They are the owner or an admin of the organization that holds it. */
  | 'LEADER'
  /** It, or what it lies in, is shared with them. */
  | 'GRANT'
  /** It, or what it lies in, is shared with a team that they are in. */
  | 'TEAM_GRANT'
  /** It, or what it lies in, is shared with an organization that they are a member of. */
  | 'ORGANIZATION_GRANT'
  /** It, or what it lies in, is visible to all members of the organization that holds it. */
  | 'VISIBILITY'
  /** They reach a collection that it is in. */
  | 'COLLECTION'
  /** It is their own sample, in an organization that they aren't a member of, and shared with them. */
  | 'OWN_SAMPLE'
  /** It, or what it lies in, is moving to an organization of theirs, which will own it. */
  | 'TRANSFER';

/** The kind of actor that did something. */
export type ActorKind =
  /** A person with a session. */
  | 'USER'
  /** A person's API key. */
  | 'API_KEY'
  /** A service key, which belongs to the organization. */
  | 'SERVICE'
  /** A platform key, for the platform's own services. */
  | 'PLATFORM'
  /** A member of the platform's staff. */
  | 'STAFF'
  /** Rollcall itself, for example when something expires. */
  | 'SYSTEM';

/** The member and their new role. */
export type ChangeMemberRoleInput = {
  /** The member. */
  memberId: string;
  /** The new role: ADMIN, MEMBER or VIEWER. Only a transfer of the ownership makes somebody the owner. */
  role: Role;
};

/** The organization to create. */
export type CreateOrganizationInput = {
  /** The name that is shown everywhere, including in emails: 1 to 100 characters, without links. */
  name: string;
  /**
   * The short name: 2 to 39 characters out of a–z, 0–9 and single hyphens. If omitted, it is derived from the name.
   * SLUG_TAKEN if another organization has it, gave it up within the last 90 days, or had it when it was removed
   * for good.
   */
  slug?: string | null | undefined;
  /** The full name, up to 200 characters. */
  fullName?: string | null | undefined;
  /** A description, up to 2000 characters. */
  description?: string | null | undefined;
  /** The URL of the website. */
  website?: string | null | undefined;
  /** The place where the organization is located, up to 200 characters. */
  location?: string | null | undefined;
  /** The sector in which the organization works, up to 200 characters. */
  sector?: string | null | undefined;
  /** The name of the university that the organization belongs to, up to 200 characters. */
  universityName?: string | null | undefined;
  /** The URL of the logo. */
  logoUrl?: string | null | undefined;
  /**
   * For the platform's staff only: the owner's email address. If it has no account, one is created when somebody
   * signs in with it.
   */
  ownerEmail?: string | null | undefined;
};

/** The webhook to create. */
export type CreateWebhookInput = {
  /**
   * The organization whose events are delivered. Left out by platform keys with EVENTS_READ and by staff, for the
   * events of all organizations, or of those that the key reaches.
   */
  organizationId?: string | null | undefined;
  /**
   * The URL to deliver to: `https://…` at a public address, up to 2,000 characters. A webhook of the platform may
   * also lead to a private address, and there to `http://…`.
   */
  url: string;
  /** The audit log's actions to subscribe to, such as `organization.member_joined`; `*` for all. */
  events: Array<string>;
};

/** The resources to delete. */
export type DeleteResourcesInput = {
  /** The resources, 1 to 1,000, each named once. Those that aren't there count as deleted. */
  resources: Array<ResourceRef>;
  /**
   * Whether what lies in them is deleted with them, at most 10,000 resources. Otherwise everything that lies in one of
   * them must be named as well.
   */
  recursive?: boolean | null | undefined;
};

/** The account to delete. */
export type DeleteUserInput = {
  /** The account. */
  user: UserRef;
  /** Why, up to 2,000 characters. It is kept in the audit log, for staff and for readers of the feed. */
  reason?: string | null | undefined;
};

/** The status of a departure. */
export type DepartureStatus =
  /** Access has ended, and the worker is passing on what the leaver owned. */
  | 'RUNNING'
  /** Everything has been passed on. */
  | 'COMPLETED'
  /** The worker gave up. `retryDeparture` continues where it stopped. */
  | 'FAILED'
  /** The worker is returning what the departure moved. */
  | 'REVERTING'
  /** What the departure moved has been returned. */
  | 'REVERTED';

/** The account whose sessions end. */
export type EndUserSessionsInput = {
  /** The account. */
  user: UserRef;
};

/** A resource, by its kind and the platform's own id of it. */
export type ExternalResourceRef = {
  /** The kind of the resource. */
  kind: ResourceKind;
  /** The platform's own id of the resource. */
  externalId: string;
};

/** The resource to share, with whom, and at which level. */
export type GrantAccessInput = {
  /** The resource. The viewer must have ADMINISTER access to it. */
  resourceId: string;
  /** The person, team or organization to share with. */
  grantee: GranteeInput;
  /** The level of access. It replaces the level of an existing grant, whether that is higher or lower. */
  level: AccessLevel;
};

/** Whoever to share with. Exactly one field must be set. */
export type GranteeInput =
  {   /** A person, by id. */
  userId: string; username?: never; email?: never; teamId?: never; organizationId?: never; organizationSlug?: never; }
  |  { userId?: never;   /** A person, by username. */
  username: string; email?: never; teamId?: never; organizationId?: never; organizationSlug?: never; }
  |  { userId?: never; username?: never;   /**
   * A person, by email address. The address is invited to the resource, and whoever signs in with it gets the
   * grant. If the viewer already knows that this person has the address, for example because they lead an
   * organization in which the person is a member, the person gets the grant at once.
   */
  email: string; teamId?: never; organizationId?: never; organizationSlug?: never; }
  |  { userId?: never; username?: never; email?: never;   /** A team of the resource's organization. */
  teamId: string; organizationId?: never; organizationSlug?: never; }
  |  { userId?: never; username?: never; email?: never; teamId?: never;   /** An organization, by id. */
  organizationId: string; organizationSlug?: never; }
  |  { userId?: never; username?: never; email?: never; teamId?: never; organizationId?: never;   /** An organization, by slug. */
  organizationSlug: string; };

/** A level on a resource that comes with the membership. */
export type InvitationGrantInput = {
  /** A project or workspace of the organization, which the viewer must be able to share. */
  resourceId: string;
  /** The level: VIEW or more. */
  level: AccessLevel;
};

/** One person to invite. Exactly one of `email` and `username` must be set. */
export type InvitationInput = {
  /** The person's email address, which doesn't need to have an account. */
  email?: string | null | undefined;
  /** The username of the person's account. */
  username?: string | null | undefined;
  /** The person's name, up to 100 characters. */
  name?: string | null | undefined;
  /** The role: MEMBER, VIEWER, or ADMIN if the viewer may invite admins. */
  role?: Role | null | undefined;
  /** The person's permissions. Omitted ones come from the organization's policy. */
  permissions?: MemberPermissionsInput | null | undefined;
  /** Teams of the organization, at most 20, that the person joins on accepting. */
  teamIds?: Array<string> | null | undefined;
  /**
   * Levels on projects and workspaces of the organization, at most 20, that come with the membership, as far as the
   * viewer can grant them.
   */
  grants?: Array<InvitationGrantInput> | null | undefined;
};

/** The status of an invitation. */
export type InvitationStatus =
  /** It waits for an answer. */
  | 'PENDING'
  /** It was accepted and led to a membership. */
  | 'ACCEPTED'
  /** The invited person declined. */
  | 'DECLINED'
  /** It was revoked. */
  | 'REVOKED'
  /** It expired without an answer. */
  | 'EXPIRED';

/** The people to invite. */
export type InviteMembersInput = {
  /** The organization to invite them to. */
  organizationId: string;
  /** 1 to 50 people. Either all of them are invited or nobody is. */
  invitations: Array<InvitationInput>;
  /**
   * A message to these people, up to 1000 characters, which their emails and the invitation's page show. It can't
   * contain links.
   */
  message?: string | null | undefined;
  /**
   * Whether each of them gets an email, and a reminder before the invitation expires. Only platform keys with
   * MEMBERS_WRITE may say false; they get `acceptUrls` instead, to deliver by themselves.
   */
  sendMail?: boolean | null | undefined;
};

/** The permissions to give a member. Omitted ones stay as they are, or come from the organization's policy. */
export type MemberPermissionsInput = {
  /** Whether they may bill activities to the organization. */
  billableActivities?: boolean | null | undefined;
  /** Whether they may use apps that are shared with the organization. */
  sharedApps?: boolean | null | undefined;
  /** The highest level of access that they get to projects that are shared with the organization. */
  sharedProjects?: AccessLevel | null | undefined;
};

/** The status of a membership. */
export type MemberStatus =
  /** The membership is active. */
  | 'ACTIVE'
  /** The member left. */
  | 'LEFT'
  /** The owner or an admin removed the member. */
  | 'REMOVED'
  /** The owner or an admin deactivated the member, because the person has left the organization altogether. */
  | 'DEACTIVATED';

/**
 * Somebody to make an active member, or an active member to change. What is omitted stays as it is for an active
 * member.
 */
export type MemberUpsertInput = {
  /** The person, who must have an account. */
  user: UserRef;
  /**
   * The role: ADMIN, MEMBER or VIEWER. If it is omitted, an active member keeps their role, and others become
   * members with the role MEMBER, also those who had another one before. OWNER is for the current owner only.
   */
  role?: Role | null | undefined;
  /**
   * What they may bill, and what they get from grants to the organization. If it is omitted, it comes from the
   * organization's policy for those who aren't active members.
   */
  permissions?: MemberPermissionsInput | null | undefined;
  /** The teams of the organization that they are in afterwards. Null takes them out of all teams. */
  teams?: Array<string> | null | undefined;
  /** What the platform attaches to the membership, an object of at most 8 kB. Null clears it. */
  metadata?: JsonObject | null | undefined;
  /** When they joined, for those who become members by this: from 1970 to now. Now if omitted. */
  joinedAt?: string | null | undefined;
};

/** Identifies an organization. Exactly one field must be set. */
export type OrganizationBy =
  {   /** The organization's id. */
  id: string; slug?: never; externalId?: never; }
  |  { id?: never;   /** The organization's current slug. Former slugs don't find it. */
  slug: string; externalId?: never; }
  |  { id?: never; slug?: never;   /** The platform's own id of the organization. */
  externalId: string; };

/**
 * An organization, found by the platform's own id, else by its slug. An omitted field stays as it is, and null clears
 * it.
 */
export type OrganizationUpsertInput = {
  /** The platform's own id of the organization, up to 255 characters. */
  externalId: string;
  /**
   * The name that is shown everywhere, including in emails: 1 to 100 characters, without links. Needed for a new
   * organization.
   */
  name?: string | null | undefined;
  /**
   * The short name: 2 to 39 characters out of a–z, 0–9 and single hyphens. If a new organization's is omitted, it is
   * derived from the name. An organization that has the slug already, and no id of the platform's, is linked to
   * `externalId`.
   */
  slug?: string | null | undefined;
  /** The full name, up to 200 characters. */
  fullName?: string | null | undefined;
  /** A description, up to 2000 characters. */
  description?: string | null | undefined;
  /** The URL of the website. */
  website?: string | null | undefined;
  /** The place where the organization is located, up to 200 characters. */
  location?: string | null | undefined;
  /** The sector in which the organization works, up to 200 characters. */
  sector?: string | null | undefined;
  /** The name of the university that the organization belongs to, up to 200 characters. */
  universityName?: string | null | undefined;
  /** The URL of the logo. */
  logoUrl?: string | null | undefined;
  /**
   * The owner. Needed for a new organization, and only looked at there: `setOrganizationOwner` gives organizations
   * to others.
   */
  owner?: UserRef | null | undefined;
  /** What the platform attaches to it, an object of at most 8 kB. */
  metadata?: JsonObject | null | undefined;
  /**
   * When it was founded, for a new organization: from 1970 to now. Now if omitted. Its owner is a member from then
   * on.
   */
  createdAt?: string | null | undefined;
};

/** Identifies the member to reactivate. */
export type ReactivateMemberInput = {
  /** The member, who must have been removed or deactivated. */
  memberId: string;
};

/** Identifies the member to remove. */
export type RemoveMemberInput = {
  /** The member. */
  memberId: string;
  /** The reason, up to 2000 characters. The audit log keeps it for the owner and admins; the member isn't told. */
  reason?: string | null | undefined;
  /** A message to the member, up to 2000 characters, which is included in their email. */
  messageToMember?: string | null | undefined;
  /** The hash of a departure plan. If the departure would now do something else, it is refused with PLAN_STALE. */
  planHash?: string | null | undefined;
};

/** What the platform reports of a run. */
export type ReportRunInput = {
  /** The run. */
  id: string;
  /** Its status. A run only moves forward: from QUEUED to RUNNING, and to one of its ends. */
  status: RunStatus;
  /**
   * The CPU-hours that the run has used so far, from 0 to 1,000,000,000, with up to nine decimal places. If this is
   * omitted, or less than was reported before, the number stays as it is.
   */
  cpuHours?: string | null | undefined;
  /** The GiB-hours of memory that the run has used so far, likewise. */
  memoryGibHours?: string | null | undefined;
};

/** What was used outside of runs, such as downloads. */
export type ReportUsageInput = {
  /** What was used, 1 to 1,000 entries. */
  entries: Array<UsageEntryInput>;
};

/** The kind of a resource. */
export type ResourceKind =
  /**
   * A project. It can contain samples, documents, volumes and apps. Whoever creates a project bills it to its
   * organization.
   */
  | 'PROJECT'
  /** A volume. */
  | 'VOLUME'
  /** A sample. When its owner leaves the organization, it still belongs to them. */
  | 'SAMPLE'
  /** A document. */
  | 'DOCUMENT'
  /** A machine that a member has registered. */
  | 'MACHINE'
  /**
   * An app. Whoever creates an app bills it to its organization. A published app can't move to another
   * organization.
   */
  | 'APP'
  /**
   * A workspace. It can contain projects, volumes, documents, machines, apps, sources, source groups and
   * collections.
   */
  | 'WORKSPACE'
  /** A source. */
  | 'SOURCE'
  /** A group that contains sources. */
  | 'SOURCE_GROUP'
  /**
   * A collection. It refers to samples, documents, volumes, machines, apps and sources from anywhere in the
   * organization.
   */
  | 'COLLECTION';

/** Identifies a resource. Exactly one field must be set. */
export type ResourceRef =
  {   /** The resource's id. */
  id: string; external?: never; }
  |  { id?: never;   /** The resource's kind and the platform's own id of it. */
  external: ExternalResourceRef; };

/** A resource, found by its kind and the platform's own id. An omitted field stays as it is, and null clears it. */
export type ResourceUpsertInput = {
  /** The kind of the resource, which never changes. */
  kind: ResourceKind;
  /** The platform's own id of it, up to 255 characters. */
  externalId: string;
  /** The name, 1 to 100 characters. Needed for a new resource. */
  name?: string | null | undefined;
  /** A description, up to 2000 characters. */
  description?: string | null | undefined;
  /** The platform's own noun for it, up to 50 characters. */
  subtype?: string | null | undefined;
  /**
   * The owner, an active member of the organization. Needed for a new resource, and only looked at there:
   * `transferResources` gives resources to others.
   */
  owner?: UserRef | null | undefined;
  /**
   * The project, workspace or source group that it lies in, in the same organization. It may be in the same list, in
   * any order.
   */
  container?: ResourceRef | null | undefined;
  /** Who can read the resource, apart from those it is shared with. A new one is PRIVATE if this is omitted. */
  visibility?: Visibility | null | undefined;
  /** The size in bytes. */
  sizeBytes?: string | null | undefined;
  /** What the platform attaches to it, an object of at most 8 kB. */
  metadata?: JsonObject | null | undefined;
  /** When it was created, for a new resource: from 1970 to now. Now if omitted. */
  createdAt?: string | null | undefined;
};

/** Identifies the grant to revoke. */
export type RevokeAccessInput = {
  /** The grant. It must be on a resource that the viewer administers, or belong to the viewer. */
  grantId: string;
};

/** A member's role. Each role includes the rights of those after it. */
export type Role =
  /**
   * The owner, of whom each organization has exactly one. May do everything; only the owner can transfer and delete
   * the organization.
   */
  | 'OWNER'
  /** An admin. Invites people, removes members and viewers, edits the profile and settings, and sees everything. */
  | 'ADMIN'
  /** A member. Creates resources and manages their own. */
  | 'MEMBER'
  /** A viewer. Reads what is shared with them or visible to the organization, and can't change anything. */
  | 'VIEWER';

/** The status of a run. */
export type RunStatus =
  /** It waits until the platform starts it. */
  | 'QUEUED'
  /** The platform is carrying it out. */
  | 'RUNNING'
  /** It finished successfully. */
  | 'SUCCEEDED'
  /** It failed. */
  | 'FAILED'
  /** It was cancelled. */
  | 'CANCELLED';

/** The account to suspend. */
export type SuspendUserInput = {
  /** The account. */
  user: UserRef;
  /** Why, up to 2,000 characters. It is kept in the audit log, for staff and for readers of the feed. */
  reason?: string | null | undefined;
  /**
   * Whether an email tells the person. If not, no email tells them what the platform does with the account while it
   * is suspended, except for another address.
   */
  notify?: boolean | null | undefined;
};

/**
 * A team, found by the platform's own id, else by its name if the team has no such id. An omitted field stays as it
 * is, and null clears it.
 */
export type TeamUpsertInput = {
  /** The platform's own id of the team, up to 255 characters. A team that is found by its name gets it. */
  externalId: string;
  /** The name: 1 to 100 characters, unique in the organization. Needed for a new team. */
  name?: string | null | undefined;
  /** A description, up to 2000 characters. */
  description?: string | null | undefined;
  /** The URL of a picture. */
  avatarUrl?: string | null | undefined;
  /**
   * The people who are in the team afterwards: members and collaborators of the organization. If it is omitted, the
   * same people stay in it.
   */
  members?: Array<UserRef> | null | undefined;
  /** What the platform attaches to the team, an object of at most 8 kB. */
  metadata?: JsonObject | null | undefined;
};

/** The resources to transfer. */
export type TransferResourcesInput = {
  /** The organization that holds them. */
  organizationId: string;
  /** The resources, 1 to 1,000, each named once. What lies in them keeps its owners. */
  resources: Array<ResourceRef>;
  /** The new owner, an active member of the organization. */
  to: UserRef;
};

/** The account whose suspension ends. */
export type UnsuspendUserInput = {
  /** The account. */
  user: UserRef;
};

/** The changes to an organization's profile. An omitted field stays as it is; null clears it. */
export type UpdateOrganizationInput = {
  /** The organization. */
  id: string;
  /** The name that is shown everywhere, including in emails: 1 to 100 characters, without links. */
  name?: string | null | undefined;
  /**
   * The short name: 2 to 39 characters out of a–z, 0–9 and single hyphens. The old slug stops working at once, so
   * everybody who uses it needs the new one. For 90 days it is reserved for this organization, which may take it
   * back. At most 10 old slugs are reserved at a time.
   */
  slug?: string | null | undefined;
  /** The full name, up to 200 characters. */
  fullName?: string | null | undefined;
  /** A description, up to 2000 characters. */
  description?: string | null | undefined;
  /** The URL of the website. */
  website?: string | null | undefined;
  /** The place where the organization is located, up to 200 characters. */
  location?: string | null | undefined;
  /** The sector in which the organization works, up to 200 characters. */
  sector?: string | null | undefined;
  /** The name of the university that the organization belongs to, up to 200 characters. */
  universityName?: string | null | undefined;
  /** The URL of the logo. */
  logoUrl?: string | null | undefined;
};

/** The members to bring in. */
export type UpsertMembersInput = {
  /** The organization that they are members of. */
  organization: OrganizationBy;
  /** The members, 1 to 500, each person named once. */
  members: Array<MemberUpsertInput>;
  /** Whether those who become members by this are sent an email that says so. */
  notify?: boolean | null | undefined;
};

/** The organizations to bring in. */
export type UpsertOrganizationsInput = {
  /** The organizations, 1 to 100, each named once. */
  organizations: Array<OrganizationUpsertInput>;
};

/** What became of an item that was to be brought in. */
export type UpsertOutcome =
  /** It was made. */
  | 'CREATED'
  /** It was there, and was changed. */
  | 'UPDATED'
  /** It was there as it should be. */
  | 'UNCHANGED';

/** The resources to bring in. */
export type UpsertResourcesInput = {
  /** The organization that holds them. */
  organization: OrganizationBy;
  /** The resources, 1 to 1,000, each named once. */
  resources: Array<ResourceUpsertInput>;
};

/** The teams to bring in. */
export type UpsertTeamsInput = {
  /** The organization that they belong to. */
  organization: OrganizationBy;
  /** The teams, 1 to 100, each named once. */
  teams: Array<TeamUpsertInput>;
};

/** The accounts to bring in. */
export type UpsertUsersInput = {
  /** The accounts, 1 to 500, each named once. */
  users: Array<UserUpsertInput>;
};

/** Something that was used. */
export type UsageEntryInput = {
  /**
   * A key that identifies this entry, up to 200 characters. An entry that is sent again with the same key isn't
   * counted again, whatever has changed since. Of a service key, keys are its organization's; otherwise, they are
   * those of the organization that the entry names or, if it names none, of the user.
   */
  idempotencyKey: string;
  /** The organization that pays. If omitted, the user's default bill-to does. */
  organizationId?: string | null | undefined;
  /** What was used. */
  kind: UsageKind;
  /** How much was used, more than 0 and at most 1,000,000,000, with up to nine decimal places. */
  quantity: string;
  /** The network's region, on which its rate depends. */
  region?: string | null | undefined;
  /** The user who used it. Required without an organization. */
  userId?: string | null | undefined;
  /** The organization's workspace in which it was used. */
  workspaceId?: string | null | undefined;
  /** The organization's run that used it. */
  runId?: string | null | undefined;
  /** When it was used, within the last three years; now if omitted. */
  occurredAt?: string | null | undefined;
};

/** What is metered. */
export type UsageKind =
  /** Hours of one CPU. */
  | 'CPU_HOURS'
  /** Hours of one GiB (2^30 bytes) of memory. */
  | 'MEMORY_GIB_HOURS'
  /** Months of one GB (10^9 bytes) of storage. */
  | 'STORAGE_GB_MONTHS'
  /** GB (10^9 bytes) that left over the network. */
  | 'NETWORK_GB';

/** Why a mutation changed nothing, as a code for programs. */
export type UserErrorCode =
  /** The value has the wrong form. */
  | 'INVALID'
  /** The value may not be empty. */
  | 'BLANK'
  /** The value has too many characters. */
  | 'TOO_LONG'
  /** There are more items than are allowed. */
  | 'TOO_MANY'
  /** The object doesn't exist, or the viewer may not know that it does. */
  | 'NOT_FOUND'
  /** The viewer may see the object, but isn't allowed to do this. */
  | 'FORBIDDEN'
  /** Somebody else is changing the same object at this moment, or the object's state doesn't allow this. */
  | 'CONFLICT'
  /** Nobody can do this to themselves. */
  | 'SELF'
  /** The person is already a member of the organization. */
  | 'ALREADY_MEMBER'
  /** The person already has a pending invitation. */
  | 'ALREADY_INVITED'
  /** It has already been used. */
  | 'ALREADY_USED'
  /** It has expired. */
  | 'EXPIRED'
  /** It has been revoked. */
  | 'REVOKED'
  /** It is meant for another email address. */
  | 'WRONG_EMAIL'
  /** The account is suspended. */
  | 'SUSPENDED'
  /** The text that was typed as confirmation doesn't match. */
  | 'CONFIRMATION_MISMATCH'
  /** The owner can't leave before they transfer the ownership. */
  | 'OWNER_MUST_STAY'
  /** The ownership can be transferred only to an admin. */
  | 'NOT_AN_ADMIN'
  /** The departure would now do something else than the plan showed. */
  | 'PLAN_STALE'
  /** This deployment allows each user to create only one organization. */
  | 'ONE_ORGANIZATION'
  /** The organization's plan has no free seats left. */
  | 'SEAT_LIMIT'
  /** Billing to an organization requires its permission for billable activities. */
  | 'BILLING_ACCESS_REQUIRED'
  /** The organization's plan has too little storage left. */
  | 'QUOTA_EXCEEDED'
  /** A published app can't move to another organization. */
  | 'PUBLISHED'
  /** The slug is already in use. */
  | 'SLUG_TAKEN'
  /** The username is already in use. */
  | 'USERNAME_TAKEN'
  /** An account with this email address already exists. */
  | 'EMAIL_TAKEN'
  /** Another object already has this id of the platform's. */
  | 'EXTERNAL_ID_TAKEN'
  /** The limit for a period of time is used up. The message says when to try again. */
  | 'RATE_LIMITED';

/** Identifies an account. Exactly one field must be set. */
export type UserRef =
  {   /** The account's id. */
  id: string; externalId?: never; email?: never; username?: never; }
  |  { id?: never;   /** The platform's own id of the account. */
  externalId: string; email?: never; username?: never; }
  |  { id?: never; externalId?: never;   /** The account's email address. */
  email: string; username?: never; }
  |  { id?: never; externalId?: never; email?: never;   /** The account's current username. */
  username: string; };

/**
 * An account, found by the platform's own id, else by its address. An omitted field stays as it is, and null clears
 * it.
 */
export type UserUpsertInput = {
  /** The platform's own id of the account, up to 255 characters. */
  externalId: string;
  /** The email address. Needed for a new account. */
  email?: string | null | undefined;
  /**
   * Whether the platform vouches that the address is this person's. Only then is an account that has the address
   * already linked to `externalId`, and only then does an account get another address.
   */
  emailVerified?: boolean | null | undefined;
  /** The username. Made from the name if omitted for a new account. */
  username?: string | null | undefined;
  /** The person's name, 1 to 100 characters. Made from the address if omitted for a new account. */
  name?: string | null | undefined;
  /** The URL of a picture. */
  avatarUrl?: string | null | undefined;
  /** What the platform attaches to the account, an object of at most 8 kB. */
  metadata?: JsonObject | null | undefined;
  /** When the account was created, for a new one: from 1970 to now. Now if omitted. */
  createdAt?: string | null | undefined;
};

/** Who can read a resource, apart from those it is shared with. */
export type Visibility =
  /** Its owner, and the organization's owner and admins. */
  | 'PRIVATE'
  /** Every member of the organization. */
  | 'ORGANIZATION';

export type CheckAccessQueryVariables = Exact<{
  checks: Array<AccessCheckInput> | AccessCheckInput;
}>;


export type CheckAccessQuery = { checkAccess: Array<{ allowed: boolean, level: AccessLevel, revision: string | null }> };

export type AccessDecisionFieldsFragment = { allowed: boolean, level: AccessLevel, revision: string | null };

export type ExplainAccessQueryVariables = Exact<{
  check: AccessCheckInput;
}>;


export type ExplainAccessQuery = { checkAccess: Array<{ limitedBy: Array<AccessLimit>, allowed: boolean, level: AccessLevel, revision: string | null, reasons: Array<{ kind: AccessReasonKind, level: AccessLevel, resource: { id: string } | null, grant: { id: string } | null, team: { id: string } | null, organization: { id: string } | null }> }> };

export type ReachableQueryVariables = Exact<{
  user: UserRef;
  organizationId?: string | null | undefined;
  kind?: ResourceKind | null | undefined;
  atLeast?: AccessLevel | null | undefined;
  first?: number | null | undefined;
  after?: string | null | undefined;
}>;


export type ReachableQuery = { reachable: { edges: Array<{ level: AccessLevel, node: { id: string, kind: ResourceKind, externalId: string | null, name: string } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type AudienceQueryVariables = Exact<{
  resource: ResourceRef;
  atLeast?: AccessLevel | null | undefined;
  first?: number | null | undefined;
  after?: string | null | undefined;
}>;


export type AudienceQuery = { audience: { edges: Array<{ level: AccessLevel, node: { id: string, externalId: string | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } | null };

export type UserQueryVariables = Exact<{
  by: UserRef;
}>;


export type UserQuery = { user: { id: string, externalId: string | null, username: string, name: string, metadata: JsonObject | null } | null };

export type UpsertUsersMutationVariables = Exact<{
  input: UpsertUsersInput;
}>;


export type UpsertUsersMutation = { upsertUsers: { results: Array<{ outcome: UpsertOutcome, user: { id: string, externalId: string | null } }> | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type UserUpsertFieldsFragment = { outcome: UpsertOutcome, user: { id: string, externalId: string | null } };

export type SuspendUserMutationVariables = Exact<{
  input: SuspendUserInput;
}>;


export type SuspendUserMutation = { suspendUser: { user: { id: string, suspendedAt: string | null } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type UnsuspendUserMutationVariables = Exact<{
  input: UnsuspendUserInput;
}>;


export type UnsuspendUserMutation = { unsuspendUser: { user: { id: string, suspendedAt: string | null } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type EndUserSessionsMutationVariables = Exact<{
  input: EndUserSessionsInput;
}>;


export type EndUserSessionsMutation = { endUserSessions: { ended: number | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type DeleteUserMutationVariables = Exact<{
  input: DeleteUserInput;
}>;


export type DeleteUserMutation = { deleteUser: { deletedUserId: string | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type EventsQueryVariables = Exact<{
  after?: string | null | undefined;
  first?: number | null | undefined;
  actions?: Array<string> | string | null | undefined;
  organizationId?: string | null | undefined;
}>;


export type EventsQuery = { events: { edges: Array<{ cursor: string, node: { id: string, sequence: string, action: string, actorKind: ActorKind, platformKey: string | null, targetId: string | null, summary: string, metadata: JsonObject, occurredAt: string, actor: { id: string } | null, organization: { id: string, externalId: string | null } | null, subject: { id: string, externalId: string | null } | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type EventFieldsFragment = { id: string, sequence: string, action: string, actorKind: ActorKind, platformKey: string | null, targetId: string | null, summary: string, metadata: JsonObject, occurredAt: string, actor: { id: string } | null, organization: { id: string, externalId: string | null } | null, subject: { id: string, externalId: string | null } | null };

export type CreateWebhookMutationVariables = Exact<{
  input: CreateWebhookInput;
}>;


export type CreateWebhookMutation = { createWebhook: { secret: string | null, webhook: { id: string, url: string, events: Array<string> } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type MembershipQueryVariables = Exact<{
  user: UserRef;
  organization: OrganizationBy;
}>;


export type MembershipQuery = { membership: { id: string, role: Role, status: MemberStatus, user: { id: string }, organization: { id: string } } | null };

export type UpsertMembersMutationVariables = Exact<{
  input: UpsertMembersInput;
}>;


export type UpsertMembersMutation = { upsertMembers: { results: Array<{ outcome: UpsertOutcome, member: { id: string, role: Role, user: { id: string, externalId: string | null } } }> | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type MemberUpsertFieldsFragment = { outcome: UpsertOutcome, member: { id: string, role: Role, user: { id: string, externalId: string | null } } };

export type InviteMembersMutationVariables = Exact<{
  input: InviteMembersInput;
}>;


export type InviteMembersMutation = { inviteMembers: { acceptUrls: Array<string> | null, invitations: Array<{ id: string, status: InvitationStatus, expiresAt: string }> | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type AcceptInvitationMutationVariables = Exact<{
  input: AcceptInvitationInput;
}>;


export type AcceptInvitationMutation = { acceptInvitation: { member: { id: string, role: Role, status: MemberStatus, user: { id: string }, organization: { id: string } } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type ChangeMemberRoleMutationVariables = Exact<{
  input: ChangeMemberRoleInput;
}>;


export type ChangeMemberRoleMutation = { changeMemberRole: { member: { id: string, role: Role, status: MemberStatus, user: { id: string }, organization: { id: string } } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type RemoveMemberMutationVariables = Exact<{
  input: RemoveMemberInput;
}>;


export type RemoveMemberMutation = { removeMember: { departure: { id: string, status: DepartureStatus } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type ReactivateMemberMutationVariables = Exact<{
  input: ReactivateMemberInput;
}>;


export type ReactivateMemberMutation = { reactivateMember: { member: { id: string, role: Role, status: MemberStatus, user: { id: string }, organization: { id: string } } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type OrganizationQueryVariables = Exact<{
  by: OrganizationBy;
}>;


export type OrganizationQuery = { organization: { id: string, externalId: string | null, slug: string | null, name: string, personal: boolean, metadata: JsonObject | null } | null };

export type OrganizationMembersQueryVariables = Exact<{
  by: OrganizationBy;
  first?: number | null | undefined;
  after?: string | null | undefined;
}>;


export type OrganizationMembersQuery = { organization: { id: string, members: { nodes: Array<{ id: string, role: Role, status: MemberStatus, user: { id: string }, organization: { id: string } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } | null } | null };

export type CreateOrganizationMutationVariables = Exact<{
  input: CreateOrganizationInput;
}>;


export type CreateOrganizationMutation = { createOrganization: { organization: { id: string, slug: string | null, name: string } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type UpdateOrganizationMutationVariables = Exact<{
  input: UpdateOrganizationInput;
}>;


export type UpdateOrganizationMutation = { updateOrganization: { organization: { id: string, slug: string | null, name: string } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type UpsertOrganizationsMutationVariables = Exact<{
  input: UpsertOrganizationsInput;
}>;


export type UpsertOrganizationsMutation = { upsertOrganizations: { results: Array<{ outcome: UpsertOutcome, organization: { id: string, externalId: string | null, slug: string | null } }> | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type OrganizationUpsertFieldsFragment = { outcome: UpsertOutcome, organization: { id: string, externalId: string | null, slug: string | null } };

export type ResourceQueryVariables = Exact<{
  by: ResourceRef;
}>;


export type ResourceQuery = { resource: { id: string, kind: ResourceKind, subtype: string | null, externalId: string | null, name: string, metadata: JsonObject | null, owner: { id: string }, organization: { id: string } } | null };

export type UpsertResourcesMutationVariables = Exact<{
  input: UpsertResourcesInput;
}>;


export type UpsertResourcesMutation = { upsertResources: { results: Array<{ outcome: UpsertOutcome, resource: { id: string, kind: ResourceKind, externalId: string | null } }> | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type ResourceUpsertFieldsFragment = { outcome: UpsertOutcome, resource: { id: string, kind: ResourceKind, externalId: string | null } };

export type TransferResourcesMutationVariables = Exact<{
  input: TransferResourcesInput;
}>;


export type TransferResourcesMutation = { transferResources: { resources: Array<{ id: string }> | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type DeleteResourcesMutationVariables = Exact<{
  input: DeleteResourcesInput;
}>;


export type DeleteResourcesMutation = { deleteResources: { deleted: number | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type GrantAccessMutationVariables = Exact<{
  input: GrantAccessInput;
}>;


export type GrantAccessMutation = { grantAccess: { invited: boolean | null, grant: { id: string, level: AccessLevel } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type RevokeAccessMutationVariables = Exact<{
  input: RevokeAccessInput;
}>;


export type RevokeAccessMutation = { revokeAccess: { revokedGrantId: string | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type UserErrorFieldsFragment = { code: UserErrorCode, message: string, field: Array<string> };

export type MemberFieldsFragment = { id: string, role: Role, status: MemberStatus, user: { id: string }, organization: { id: string } };

export type UpsertTeamsMutationVariables = Exact<{
  input: UpsertTeamsInput;
}>;


export type UpsertTeamsMutation = { upsertTeams: { results: Array<{ outcome: UpsertOutcome, team: { id: string, externalId: string | null, name: string } }> | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type TeamUpsertFieldsFragment = { outcome: UpsertOutcome, team: { id: string, externalId: string | null, name: string } };

export type ReportRunMutationVariables = Exact<{
  input: ReportRunInput;
}>;


export type ReportRunMutation = { reportRun: { run: { id: string, status: RunStatus } | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export type ReportUsageMutationVariables = Exact<{
  input: ReportUsageInput;
}>;


export type ReportUsageMutation = { reportUsage: { recorded: number | null, alreadyRecorded: number | null, userErrors: Array<{ code: UserErrorCode, message: string, field: Array<string> }> } };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}
export const AccessDecisionFieldsFragmentDoc = new TypedDocumentString(`
    fragment AccessDecisionFields on AccessDecision {
  allowed
  level
  revision
}
    `, {"fragmentName":"AccessDecisionFields"}) as unknown as TypedDocumentString<AccessDecisionFieldsFragment, unknown>;
export const UserUpsertFieldsFragmentDoc = new TypedDocumentString(`
    fragment UserUpsertFields on UserUpsert {
  outcome
  user {
    id
    externalId
  }
}
    `, {"fragmentName":"UserUpsertFields"}) as unknown as TypedDocumentString<UserUpsertFieldsFragment, unknown>;
export const EventFieldsFragmentDoc = new TypedDocumentString(`
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
    `, {"fragmentName":"EventFields"}) as unknown as TypedDocumentString<EventFieldsFragment, unknown>;
export const MemberUpsertFieldsFragmentDoc = new TypedDocumentString(`
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
    `, {"fragmentName":"MemberUpsertFields"}) as unknown as TypedDocumentString<MemberUpsertFieldsFragment, unknown>;
export const OrganizationUpsertFieldsFragmentDoc = new TypedDocumentString(`
    fragment OrganizationUpsertFields on OrganizationUpsert {
  outcome
  organization {
    id
    externalId
    slug
  }
}
    `, {"fragmentName":"OrganizationUpsertFields"}) as unknown as TypedDocumentString<OrganizationUpsertFieldsFragment, unknown>;
export const ResourceUpsertFieldsFragmentDoc = new TypedDocumentString(`
    fragment ResourceUpsertFields on ResourceUpsert {
  outcome
  resource {
    id
    kind
    externalId
  }
}
    `, {"fragmentName":"ResourceUpsertFields"}) as unknown as TypedDocumentString<ResourceUpsertFieldsFragment, unknown>;
export const UserErrorFieldsFragmentDoc = new TypedDocumentString(`
    fragment UserErrorFields on UserError {
  code
  message
  field
}
    `, {"fragmentName":"UserErrorFields"}) as unknown as TypedDocumentString<UserErrorFieldsFragment, unknown>;
export const MemberFieldsFragmentDoc = new TypedDocumentString(`
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
    `, {"fragmentName":"MemberFields"}) as unknown as TypedDocumentString<MemberFieldsFragment, unknown>;
export const TeamUpsertFieldsFragmentDoc = new TypedDocumentString(`
    fragment TeamUpsertFields on TeamUpsert {
  outcome
  team {
    id
    externalId
    name
  }
}
    `, {"fragmentName":"TeamUpsertFields"}) as unknown as TypedDocumentString<TeamUpsertFieldsFragment, unknown>;
export const CheckAccessDocument = new TypedDocumentString(`
    query CheckAccess($checks: [AccessCheckInput!]!) {
  checkAccess(checks: $checks) {
    ...AccessDecisionFields
  }
}
    fragment AccessDecisionFields on AccessDecision {
  allowed
  level
  revision
}`) as unknown as TypedDocumentString<CheckAccessQuery, CheckAccessQueryVariables>;
export const ExplainAccessDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<ExplainAccessQuery, ExplainAccessQueryVariables>;
export const ReachableDocument = new TypedDocumentString(`
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
    `) as unknown as TypedDocumentString<ReachableQuery, ReachableQueryVariables>;
export const AudienceDocument = new TypedDocumentString(`
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
    `) as unknown as TypedDocumentString<AudienceQuery, AudienceQueryVariables>;
export const UserDocument = new TypedDocumentString(`
    query User($by: UserRef!) {
  user(by: $by) {
    id
    externalId
    username
    name
    metadata
  }
}
    `) as unknown as TypedDocumentString<UserQuery, UserQueryVariables>;
export const UpsertUsersDocument = new TypedDocumentString(`
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
    fragment UserUpsertFields on UserUpsert {
  outcome
  user {
    id
    externalId
  }
}
fragment UserErrorFields on UserError {
  code
  message
  field
}`) as unknown as TypedDocumentString<UpsertUsersMutation, UpsertUsersMutationVariables>;
export const SuspendUserDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<SuspendUserMutation, SuspendUserMutationVariables>;
export const UnsuspendUserDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<UnsuspendUserMutation, UnsuspendUserMutationVariables>;
export const EndUserSessionsDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<EndUserSessionsMutation, EndUserSessionsMutationVariables>;
export const DeleteUserDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<DeleteUserMutation, DeleteUserMutationVariables>;
export const EventsDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<EventsQuery, EventsQueryVariables>;
export const CreateWebhookDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<CreateWebhookMutation, CreateWebhookMutationVariables>;
export const MembershipDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<MembershipQuery, MembershipQueryVariables>;
export const UpsertMembersDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<UpsertMembersMutation, UpsertMembersMutationVariables>;
export const InviteMembersDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<InviteMembersMutation, InviteMembersMutationVariables>;
export const AcceptInvitationDocument = new TypedDocumentString(`
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
    fragment UserErrorFields on UserError {
  code
  message
  field
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
}`) as unknown as TypedDocumentString<AcceptInvitationMutation, AcceptInvitationMutationVariables>;
export const ChangeMemberRoleDocument = new TypedDocumentString(`
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
    fragment UserErrorFields on UserError {
  code
  message
  field
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
}`) as unknown as TypedDocumentString<ChangeMemberRoleMutation, ChangeMemberRoleMutationVariables>;
export const RemoveMemberDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<RemoveMemberMutation, RemoveMemberMutationVariables>;
export const ReactivateMemberDocument = new TypedDocumentString(`
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
    fragment UserErrorFields on UserError {
  code
  message
  field
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
}`) as unknown as TypedDocumentString<ReactivateMemberMutation, ReactivateMemberMutationVariables>;
export const OrganizationDocument = new TypedDocumentString(`
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
    `) as unknown as TypedDocumentString<OrganizationQuery, OrganizationQueryVariables>;
export const OrganizationMembersDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<OrganizationMembersQuery, OrganizationMembersQueryVariables>;
export const CreateOrganizationDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<CreateOrganizationMutation, CreateOrganizationMutationVariables>;
export const UpdateOrganizationDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<UpdateOrganizationMutation, UpdateOrganizationMutationVariables>;
export const UpsertOrganizationsDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<UpsertOrganizationsMutation, UpsertOrganizationsMutationVariables>;
export const ResourceDocument = new TypedDocumentString(`
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
    `) as unknown as TypedDocumentString<ResourceQuery, ResourceQueryVariables>;
export const UpsertResourcesDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<UpsertResourcesMutation, UpsertResourcesMutationVariables>;
export const TransferResourcesDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<TransferResourcesMutation, TransferResourcesMutationVariables>;
export const DeleteResourcesDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<DeleteResourcesMutation, DeleteResourcesMutationVariables>;
export const GrantAccessDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<GrantAccessMutation, GrantAccessMutationVariables>;
export const RevokeAccessDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<RevokeAccessMutation, RevokeAccessMutationVariables>;
export const UpsertTeamsDocument = new TypedDocumentString(`
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
    fragment UserErrorFields on UserError {
  code
  message
  field
}
fragment TeamUpsertFields on TeamUpsert {
  outcome
  team {
    id
    externalId
    name
  }
}`) as unknown as TypedDocumentString<UpsertTeamsMutation, UpsertTeamsMutationVariables>;
export const ReportRunDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<ReportRunMutation, ReportRunMutationVariables>;
export const ReportUsageDocument = new TypedDocumentString(`
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
}`) as unknown as TypedDocumentString<ReportUsageMutation, ReportUsageMutationVariables>;
