import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CreateOrganizationDocument,
  OrganizationDocument,
  orThrow,
  RollcallClient,
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
