import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CreateOrganizationDocument,
  DeleteResourcesDocument,
  MembershipDocument,
  OrganizationDocument,
  orThrow,
  ResourceDocument,
  RollcallClient,
  TransferResourcesDocument,
  UpsertError,
  UserDocument,
  type UserUpsertInput,
} from "rollcall-client";
import { ALL, all, platformKey, unique, url, World } from "./live.js";

test("any number of accounts is brought in by batches, and the same again changes nothing", async () => {
  const client = new RollcallClient({ url, key: await platformKey(...ALL) });
  const prefix = unique("p");
  const accounts = Array.from({ length: 1_100 }, (_, number) => ({
    externalId: `${prefix}-${number}`,
    email: `${prefix}-${number}@example.org`,
  }));
  async function* read(): AsyncGenerator<UserUpsertInput> {
    yield* accounts;
  }
  const first = await all(client.upsertUsers(read()));
  assert.deepEqual(
    first.map(({ offset, results }) => [offset, results.length]),
    [
      [0, 500],
      [500, 500],
      [1_000, 100],
    ],
  );
  const results = first.flatMap(({ results }) => results);
  assert.ok(results.every(({ outcome }) => outcome === "CREATED"));
  assert.deepEqual(
    results.map(({ user }) => user.externalId),
    accounts.map(({ externalId }) => externalId),
  );
  const { user } = await client.request(UserDocument, { by: { externalId: `${prefix}-1050` } });
  assert.equal(user?.id, results[1_050]?.user.id);

  const again = await all(client.upsertUsers(accounts));
  assert.ok(again.flatMap(({ results }) => results).every(({ outcome }) => outcome === "UNCHANGED"));
  assert.deepEqual(await all(client.upsertUsers([])), []);
});

test("a batch that is refused names the item among all, and the batches before it stay", async () => {
  const client = new RollcallClient({ url, key: await platformKey(...ALL) });
  const prefix = unique("p");
  const accounts = Array.from({ length: 700 }, (_, number) => ({
    externalId: `${prefix}-${number}`,
    email: number === 612 ? "no address" : `${prefix}-${number}@example.org`,
  }));
  await assert.rejects(all(client.upsertUsers(accounts)), (error) => {
    assert.ok(error instanceof UpsertError);
    assert.deepEqual([error.offset, error.size, error.userErrors[0]?.code], [500, 200, "INVALID"]);
    assert.deepEqual(error.userErrors[0]?.field, ["input", "users", "612", "email"]);
    return true;
  });
  const found = async (number: number) =>
    (await client.request(UserDocument, { by: { externalId: `${prefix}-${number}` } })).user;
  assert.ok((await found(499)) !== null && (await found(500)) === null);
});

test("resources with much metadata take more requests", async () => {
  const { client, people, organization } = await World.of(1);
  const owner = { externalId: people[0] ?? "" };
  const prefix = unique("r");
  const resources = Array.from({ length: 300 }, (_, number) => ({
    kind: "VOLUME" as const,
    externalId: `${prefix}-${number}`,
    name: `Volume ${number}`,
    owner,
    sizeBytes: "9007199254740993",
    metadata: { text: "é".repeat(3_000) },
  }));
  const batches = await all(client.upsertResources({ id: organization }, resources));
  assert.ok(batches.length > 1 && batches.length < 4, `${batches.length} batches`);
  assert.equal(batches.flatMap(({ results }) => results).length, 300);
  const values = resources
    .slice(0, 100)
    .map((resource) => ({ ...resource, metadata: { list: Array.from({ length: 500 }, () => 1) } }));
  assert.equal(
    (await all(client.upsertResources({ id: organization }, values))).flatMap(({ results }) => results).length,
    100,
  );
});

test("a mutation with an idempotency key is done once", async () => {
  const { client, people } = await World.of(1);
  const owner = `external:${people[0]}`;
  const found = async (name: string, idempotencyKey?: string) => {
    const options = { onBehalfOf: owner, idempotencyKey };
    return (await client.request(CreateOrganizationDocument, { input: { name } }, options)).createOrganization;
  };
  const [name, key] = [unique("Acme"), unique("key")];
  const first = orThrow(await found(name, key)).organization?.id;
  assert.equal(orThrow(await found(name, key)).organization?.id, first);
  assert.notEqual(orThrow(await found(name)).organization?.id, first);
  assert.deepEqual(
    (await found(unique("Other"), key)).userErrors.map(({ code }) => code),
    ["CONFLICT"],
  );
});

test("organizations are brought in with their owners", async () => {
  const { client, people } = await World.of(1);
  const owner = { externalId: people[0] ?? "" };
  const prefix = unique("o");
  const organizations = Array.from({ length: 120 }, (_, number) => ({
    externalId: `${prefix}-${number}`,
    name: `Laboratory ${number}`,
    owner,
  }));
  const batches = await all(client.upsertOrganizations(organizations));
  assert.deepEqual(
    batches.map(({ offset, results }) => [offset, results.length]),
    [
      [0, 100],
      [100, 20],
    ],
  );
  const { organization } = await client.request(OrganizationDocument, { by: { externalId: `${prefix}-110` } });
  assert.equal(organization?.id, batches[1]?.results[10]?.organization.id);
  const again = await all(client.upsertOrganizations(organizations));
  assert.ok(again.flatMap(({ results }) => results).every(({ outcome }) => outcome === "UNCHANGED"));
});

test("members and teams are brought in by batches, and what is left out stays", async () => {
  const { client, organization, people } = await World.of(1);
  const prefix = unique("m");
  const names = Array.from({ length: 520 }, (_, number) => `${prefix}-${number}`);
  await all(
    client.upsertUsers(
      names.map((externalId) => ({ externalId, email: `${externalId}@example.org`, name: "Somebody" })),
    ),
  );
  const there = { id: organization };
  const members = names.map((externalId, number) => ({
    user: { externalId },
    role: number === 510 ? ("ADMIN" as const) : undefined,
  }));
  const sizes = (batches: { offset: number; results: unknown[] }[]) =>
    batches.map(({ offset, results }) => [offset, results.length]);
  const joined = await all(client.upsertMembers(there, members));
  assert.deepEqual(sizes(joined), [
    [0, 500],
    [500, 20],
  ]);
  assert.deepEqual(
    joined.flatMap(({ results }) => results.map(({ outcome, member }) => [outcome, member.user.externalId])),
    names.map((name) => ["CREATED", name]),
  );
  const again = await all(
    client.upsertMembers(
      there,
      names.map((externalId) => ({ user: { externalId } })),
    ),
  );
  assert.ok(again.flatMap(({ results }) => results).every(({ outcome }) => outcome === "UNCHANGED"));
  const found = await client.request(MembershipDocument, {
    user: { externalId: names[510] ?? "" },
    organization: there,
  });
  assert.deepEqual([found.membership?.role, found.membership?.status], ["ADMIN", "ACTIVE"]);
  const strangers = [...names, `${prefix}-stranger`].map((externalId) => ({ user: { externalId } }));
  await assert.rejects(all(client.upsertMembers(there, strangers)), (error) => {
    assert.ok(error instanceof UpsertError);
    const { code, field } = error.userErrors[0] ?? {};
    assert.deepEqual([code, field], ["NOT_FOUND", ["input", "members", "520", "user", "externalId"]]);
    return true;
  });

  const teams = Array.from({ length: 120 }, (_, number) => ({
    externalId: `${prefix}-${number}`,
    name: `Team ${number}`,
    members: [{ externalId: people[0] ?? "" }, { externalId: names[number] ?? "" }],
  }));
  const made = await all(client.upsertTeams(there, teams));
  assert.deepEqual(sizes(made), [
    [0, 100],
    [100, 20],
  ]);
  assert.equal(made[1]?.results[10]?.team.externalId, `${prefix}-110`);
  const same = await all(client.upsertTeams(there, teams));
  assert.ok(same.flatMap(({ results }) => results).every(({ outcome }) => outcome === "UNCHANGED"));
});

test("resources are transferred and deleted by the platform's own ids", async () => {
  const { client, organization, people, users } = await World.of(2);
  const [first = "", second = ""] = people;
  const externalId = unique("r");
  const volume = { kind: "VOLUME" as const, externalId, name: "Volume", owner: { externalId: first } };
  await all(client.upsertResources({ id: organization }, [volume]));
  const by = { external: { kind: "VOLUME" as const, externalId } };
  const resources = [by];
  const given = { organizationId: organization, resources, to: { externalId: second } };
  orThrow((await client.request(TransferResourcesDocument, { input: given })).transferResources);
  const { resource } = await client.request(ResourceDocument, { by });
  assert.equal(resource?.owner.id, users[1]);
  const remove = async () =>
    orThrow((await client.request(DeleteResourcesDocument, { input: { resources } })).deleteResources).deleted;
  assert.deepEqual([await remove(), await remove()], [1, 1]);
  assert.equal((await client.request(ResourceDocument, { by })).resource, null);
});
