import { AccessBatcher, type AccessDecision } from "./access.js";
import { type CursorStore, type EventPage, type FeedEvent, type FeedOptions, followEvents, readPages } from "./feed.js";
import {
  type AccessCheckInput,
  CheckAccessDocument,
  EventsDocument,
  ExplainAccessDocument,
  type ExplainAccessQuery,
  type MemberUpsertFieldsFragment,
  type MemberUpsertInput,
  type OrganizationBy,
  type OrganizationUpsertFieldsFragment,
  type OrganizationUpsertInput,
  type ResourceUpsertFieldsFragment,
  type ResourceUpsertInput,
  type TeamUpsertFieldsFragment,
  type TeamUpsertInput,
  UpsertMembersDocument,
  UpsertOrganizationsDocument,
  UpsertResourcesDocument,
  UpsertTeamsDocument,
  UpsertUsersDocument,
  type UserUpsertFieldsFragment,
  type UserUpsertInput,
} from "./generated.js";
import { type ClientOptions, type RequestOptions, Transport, type TypedDocument } from "./transport.js";
import { type UpsertBatch, upsert } from "./upserts.js";

/** An upsert is the same when it is done twice, so it takes no idempotency key. */
export type UpsertOptions = Pick<RequestOptions, "onBehalfOf" | "signal">;
export interface MemberUpsertOptions extends UpsertOptions {
  /** Whether those who become members by this are sent an email that says so. */
  notify?: boolean | undefined;
}
/** What became of one account. */
export type UserUpsertResult = UserUpsertFieldsFragment;
/** What became of one organization. */
export type OrganizationUpsertResult = OrganizationUpsertFieldsFragment;
/** What became of one member. */
export type MemberUpsertResult = MemberUpsertFieldsFragment;
/** What became of one team. */
export type TeamUpsertResult = TeamUpsertFieldsFragment;
/** What became of one resource. */
export type ResourceUpsertResult = ResourceUpsertFieldsFragment;
/** What somebody may do with a resource, and why. */
export type ExplainedAccess = ExplainAccessQuery["checkAccess"][number];

/** A client of Rollcall. It keeps no connection of its own and may be used by many at once. */
export class RollcallClient {
  readonly #options: ClientOptions;
  readonly #transport: Transport;
  readonly #checks: AccessBatcher;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#transport = new Transport(options);
    this.#checks = new AccessBatcher(
      async (checks) => (await this.request(CheckAccessDocument, { checks })).checkAccess,
    );
  }

  /** A client that acts for a person: `usr_…`, or `external:` and the platform's own id. */
  onBehalfOf(person: string): RollcallClient {
    return new RollcallClient({ ...this.#options, onBehalfOf: person });
  }

  /**
   * Sends a document and returns its data.
   *
   * What was refused for a while (RATE_LIMITED, UNAVAILABLE) is sent again after the time that the service asks for. What
   * got no answer is sent again if it is a query, `repeatable`, or has an `idempotencyKey`.
   *
   * @throws {RequestError} The service refused it, or could not answer all of it.
   * @throws {TransportError} There was no answer.
   */
  request<Data, Variables extends object>(
    document: TypedDocument<Data, Variables>,
    ...[variables, options]: {} extends Variables
      ? [variables?: Variables, options?: RequestOptions]
      : [variables: Variables, options?: RequestOptions]
  ): Promise<Data>;
  /** Sends a document without types. */
  request<Data = unknown>(document: string, variables?: object, options?: RequestOptions): Promise<Data>;
  request(
    document: TypedDocument<unknown, object> | string,
    variables?: object,
    options?: RequestOptions,
  ): Promise<unknown> {
    return this.#transport.request(document, variables ?? {}, options ?? {});
  }

  /**
   * What somebody may do with a resource. The checks of one turn of the event loop are asked together, at most 1,000 in a
   * request, and the same one once.
   */
  checkAccess(check: AccessCheckInput): Promise<AccessDecision> {
    return this.#checks.check(check);
  }

  /** What somebody may do with a resource, with the reasons and with what limits them. Not batched. */
  async explainAccess(check: AccessCheckInput): Promise<ExplainedAccess> {
    const { checkAccess } = await this.request(ExplainAccessDocument, { check });
    return checkAccess[0] as ExplainedAccess;
  }

  /**
   * Reads the feed after a cursor, or from its beginning, page by page, and waits for more for good. Keep the page's
   * `cursor` together with what you did with its events, in one transaction where you can.
   *
   * While the service can't be reached, it tries again for good; what was refused is thrown.
   */
  eventPages(after: string | null, options: FeedOptions = {}): AsyncGenerator<EventPage, void, undefined> {
    return readPages(this.#read, after, options);
  }

  /**
   * Reads the feed event by event, after the cursor in `store`. An event's cursor is saved when the loop's body is done
   * with it and asks for the next one. After a crash, or when the loop is left by `break` or an exception, the event that
   * it was at comes again.
   */
  follow(store: CursorStore, options: FeedOptions = {}): AsyncGenerator<FeedEvent, void, undefined> {
    return followEvents(this.#read, store, options);
  }

  readonly #read: Parameters<typeof readPages>[0] = async (variables, signal) =>
    (await this.request(EventsDocument, variables, { signal })).events;

  /**
   * Brings in any number of accounts, 500 in a request. Each batch is all or none.
   *
   * @throws {UpsertError} A batch was refused; its errors name the place among all items.
   */
  upsertUsers(
    users: Iterable<UserUpsertInput> | AsyncIterable<UserUpsertInput>,
    options: UpsertOptions = {},
  ): AsyncGenerator<UpsertBatch<UserUpsertResult>, void, undefined> {
    return upsert(
      users,
      500,
      async (users) => (await this.#upsert(UpsertUsersDocument, { input: { users } }, options)).upsertUsers,
    );
  }

  /**
   * Brings in any number of organizations, 100 in a request. Each batch is all or none.
   *
   * @throws {UpsertError} A batch was refused; its errors name the place among all items.
   */
  upsertOrganizations(
    organizations: Iterable<OrganizationUpsertInput> | AsyncIterable<OrganizationUpsertInput>,
    options: UpsertOptions = {},
  ): AsyncGenerator<UpsertBatch<OrganizationUpsertResult>, void, undefined> {
    const send = async (organizations: OrganizationUpsertInput[]) =>
      (await this.#upsert(UpsertOrganizationsDocument, { input: { organizations } }, options)).upsertOrganizations;
    return upsert(organizations, 100, send);
  }

  /**
   * Makes any number of people active members of an organization, 500 in a request. Each batch is all or none.
   *
   * @throws {UpsertError} A batch was refused; its errors name the place among all items.
   */
  upsertMembers(
    organization: OrganizationBy,
    members: Iterable<MemberUpsertInput> | AsyncIterable<MemberUpsertInput>,
    { notify, ...options }: MemberUpsertOptions = {},
  ): AsyncGenerator<UpsertBatch<MemberUpsertResult>, void, undefined> {
    const send = async (members: MemberUpsertInput[]) =>
      (await this.#upsert(UpsertMembersDocument, { input: { organization, members, notify } }, options)).upsertMembers;
    return upsert(members, 500, send);
  }

  /**
   * Brings in any number of an organization's teams, up to 100 in a request. Each batch is all or none.
   *
   * @throws {UpsertError} A batch was refused; its errors name the place among all items.
   */
  upsertTeams(
    organization: OrganizationBy,
    teams: Iterable<TeamUpsertInput> | AsyncIterable<TeamUpsertInput>,
    options: UpsertOptions = {},
  ): AsyncGenerator<UpsertBatch<TeamUpsertResult>, void, undefined> {
    const send = async (teams: TeamUpsertInput[]) =>
      (await this.#upsert(UpsertTeamsDocument, { input: { organization, teams } }, options)).upsertTeams;
    return upsert(teams, 100, send);
  }

  /**
   * Brings in any number of an organization's resources, up to 1,000 in a request. Each batch is all or none. A container
   * must be in the same batch as its contents, or in an earlier one: list containers first.
   *
   * @throws {UpsertError} A batch was refused; its errors name the place among all items.
   */
  upsertResources(
    organization: OrganizationBy,
    resources: Iterable<ResourceUpsertInput> | AsyncIterable<ResourceUpsertInput>,
    options: UpsertOptions = {},
  ): AsyncGenerator<UpsertBatch<ResourceUpsertResult>, void, undefined> {
    return upsert(
      resources,
      1_000,
      async (resources) =>
        (await this.#upsert(UpsertResourcesDocument, { input: { organization, resources } }, options)).upsertResources,
    );
  }

  /** An upsert that is done twice changes nothing the second time. */
  #upsert<Data, Variables extends object>(
    document: TypedDocument<Data, Variables>,
    variables: Variables,
    options: UpsertOptions,
  ): Promise<Data> {
    return this.#transport.request(document, variables, { ...options, repeatable: true });
  }
}
