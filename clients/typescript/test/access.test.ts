import assert from "node:assert/strict";
import { test } from "node:test";
import { type AccessCheckInput, RollcallClient } from "rollcall-client";
import { all, unique, World } from "./live.js";
import { type Answer, type Arrival, refused, stub } from "./stub.js";

const check = (person: string, project: string): AccessCheckInput => ({
  user: { externalId: person },
  resource: { external: { kind: "PROJECT", externalId: project } },
});

/** Allows what has the same name on both sides. */
function decide({ variables }: Arrival): Answer {
  const checks = variables.checks as AccessCheckInput[];
  if (checks.some(({ user }) => user.externalId === "malformed")) {
    return refused(400, "BAD_REQUEST");
  }
  const decisions = checks.map(({ user, resource }) => {
    const allowed = user.externalId === resource.external?.externalId;
    return { allowed, level: allowed ? "VIEW" : "NONE", revision: "1" };
  });
  return { body: { data: { checkAccess: decisions } } };
}

const sizes = (arrivals: Arrival[]) => arrivals.map(({ variables }) => (variables.checks as unknown[]).length);

test("checks of one turn are asked together, at most 1,000 at a time, each once, and answered in order", async (context) => {
  const { url, arrivals } = await stub(context, decide);
  const client = new RollcallClient({ url, key: "k" });
  const pairs = Array.from(
    { length: 3_000 },
    (_, number) => [`${number % 1_250}`, `${number % 1_250 < 7 ? number % 1_250 : "x"}`] as const,
  );
  const decisions = await Promise.all(pairs.map(([person, project]) => client.checkAccess(check(person, project))));
  assert.deepEqual(
    decisions.map(({ allowed }) => allowed),
    pairs.map(([person, project]) => person === project),
  );
  assert.deepEqual(sizes(arrivals), [1_000, 250]);

  // A check of a later turn is asked anew, and another level is another check.
  await Promise.all([
    client.checkAccess(check("1", "1")),
    client.checkAccess({ ...check("1", "1"), atLeast: "CONTRIBUTE" }),
  ]);
  assert.deepEqual(sizes(arrivals), [1_000, 250, 2]);
});

test("what is awaited within a turn is gathered too", async (context) => {
  const { url, arrivals } = await stub(context, decide);
  const client = new RollcallClient({ url, key: "k" });
  const later = async () => {
    await Promise.resolve();
    return client.checkAccess(check("2", "2"));
  };
  await Promise.all([client.checkAccess(check("1", "1")), later()]);
  assert.deepEqual(sizes(arrivals), [2]);
});

test("one malformed check fails alone", async (context) => {
  const { url, arrivals } = await stub(context, decide);
  const client = new RollcallClient({ url, key: "k" });
  const people = ["1", "2", "malformed", "4", "5"];
  const decisions = await Promise.allSettled(people.map((person) => client.checkAccess(check(person, person))));
  assert.deepEqual(
    decisions.map(({ status }) => status),
    ["fulfilled", "fulfilled", "rejected", "fulfilled", "fulfilled"],
  );
  assert.deepEqual(sizes(arrivals).sort(), [1, 2, 2, 3, 5]);
});

test("a failure is everybody's, and nobody is let in", async (context) => {
  const { url } = await stub(context, () => refused(401, "UNAUTHENTICATED"));
  const client = new RollcallClient({ url, key: "k" });
  const decisions = await Promise.allSettled(["1", "2"].map((person) => client.checkAccess(check(person, person))));
  assert.ok(
    decisions.every((decision) => decision.status === "rejected" && decision.reason.code === "UNAUTHENTICATED"),
  );
});

test("the service answers as many checks as one request may have, and says why", async () => {
  const { client, people, organization } = await World.of(2);
  const [owner = "", member = ""] = people;
  const project = unique("project");
  const kept = { kind: "PROJECT", externalId: project, name: "Atlas", owner: { externalId: owner } } as const;
  await all(client.upsertResources({ id: organization }, [kept]));
  const checks = Array.from({ length: 1_500 }, (_, number) =>
    number % 500 === 0 ? check(owner, project) : check(number % 2 ? member : owner, `${project}-${number}`),
  );
  const decisions = await Promise.all(checks.map((check) => client.checkAccess(check)));
  assert.deepEqual(
    decisions.map(({ allowed }) => allowed),
    checks.map(({ resource }) => resource.external?.externalId === project),
  );
  const explained = await client.explainAccess({ ...check(owner, project), atLeast: "ADMINISTER" });
  assert.ok(explained.allowed && explained.reasons.some(({ kind }) => kind === "OWNER"));
  assert.equal(
    (await client.checkAccess({ user: { id: "nonsense" }, resource: { id: "nonsense" } }).catch((e) => e)).code,
    "BAD_REQUEST",
  );
});
