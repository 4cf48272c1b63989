import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AcceptInvitationDocument,
  CreateOrganizationDocument,
  InviteMembersDocument,
  OrganizationMembersDocument,
  orThrow,
  RollcallClient,
} from "rollcall-client";

/** Where the service is that these tests run against; `with_server.py` starts it. */
export const url = setting("ROLLCALL_URL");

function setting(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is missing: run these tests by \`make clients-test\``);
  }
  return value;
}

/** A platform key with all that a backend needs, and its secret. */
export async function platformKey(...scopes: string[]): Promise<string> {
  const staff = new RollcallClient({ url, key: setting("ROLLCALL_STAFF_TOKEN") });
  const { createPlatformKey } = await staff.request<{ createPlatformKey: { secret: string; userErrors: [] } }>(
    "mutation($input: CreatePlatformKeyInput!) { createPlatformKey(input: $input) { secret userErrors { code message field } } }",
    { input: { name: "clients", scopes } },
  );
  return orThrow(createPlatformKey).secret;
}

export const ALL = [
  "READ",
  "USERS_WRITE",
  "ORGANIZATIONS_WRITE",
  "MEMBERS_WRITE",
  "RESOURCES_WRITE",
  "ACCESS_CHECK",
  "EVENTS_READ",
  "ACT_FOR_USERS",
];

/** A name that nothing else on the service has. */
export const unique = (name: string) => `${name}-${randomBytes(6).toString("hex")}`;

/** A folder that is there until the tests of this file are over, and what they started. */
export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "rollcall-client-"));
  process.once("exit", () => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Collects what an iterator yields. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) {
    found.push(item);
  }
  return found;
}

/** Waits until something is there. */
export async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (const began = Date.now(); Date.now() - began < 60_000;) {
    const found = await look();
    if (found !== undefined) {
      return found;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`there is still not: ${what}`);
}

/** An organization that people of the platform are members of. */
export class World {
  private constructor(
    readonly client: RollcallClient,
    readonly key: string,
    /** The platform's own ids of the people; the first one owns the organization. */
    readonly people: string[],
    /** Their ids, in the same order. */
    readonly users: string[],
    readonly organization: string,
  ) {}

  static async of(count: number): Promise<World> {
    const prefix = unique("p");
    return World.made(Array.from({ length: count }, (_, number) => `${prefix}-${number}`));
  }

  /** The people have usernames and addresses like their ids. */
  static async made(people: string[]): Promise<World> {
    const key = await platformKey(...ALL);
    const client = new RollcallClient({ url, key });
    const accounts = people.map((externalId) => ({
      externalId,
      email: `${externalId}@example.org`,
      username: externalId,
      name: "Somebody",
    }));
    const batches = await all(client.upsertUsers(accounts));
    const users = batches.flatMap(({ results }) => results.map(({ user }) => user.id));
    const owner = client.onBehalfOf(`external:${people[0]}`);
    const created = orThrow(
      (await owner.request(CreateOrganizationDocument, { input: { name: unique("Acme") } })).createOrganization,
    );
    const world = new World(client, key, people, users, created.organization?.id ?? "");
    for (const person of people.slice(1)) {
      await world.join(person);
    }
    return world;
  }

  async join(person: string): Promise<void> {
    const owner = this.client.onBehalfOf(`external:${this.people[0]}`);
    const input = { organizationId: this.organization, invitations: [{ username: person }] };
    const invited = orThrow((await owner.request(InviteMembersDocument, { input })).inviteMembers);
    const id = invited.invitations?.[0]?.id ?? "";
    orThrow(
      (await this.client.request(AcceptInvitationDocument, { input: { id } }, { onBehalfOf: `external:${person}` }))
        .acceptInvitation,
    );
  }

  /** The active members' roles, as the service says; and the ids of their memberships. */
  async members(): Promise<{ roles: Record<string, string>; ids: Record<string, string> }> {
    const { organization } = await this.client.request(OrganizationMembersDocument, {
      by: { id: this.organization },
      first: 100,
    });
    const nodes = organization?.members?.nodes ?? [];
    return {
      roles: Object.fromEntries(nodes.map(({ user, role }) => [user.id, role.toLowerCase()])),
      ids: Object.fromEntries(nodes.map(({ user, id }) => [user.id, id])),
    };
  }
}
