import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CreateOrganizationDocument,
  orThrow,
  RequestError,
  RollcallClient,
  TransportError,
  UserDocument,
  UserErrors,
} from "rollcall-client";
import { type Answer, refused, stub } from "./stub.js";

const by = { by: { externalId: "p-1" } };
const input = { input: { name: "Acme" } };
const user = { id: "usr_1", externalId: "p-1", username: "ada", name: "Ada", metadata: { lab: 7 } };
const found: Answer = { body: { data: { user } } };
const created: Answer = { body: { data: { createOrganization: { organization: null, userErrors: [] } } } };

/** The answers in turn; the last one again and again. */
const inTurn =
  (...answers: Answer[]) =>
  (_: unknown, number: number) =>
    answers[Math.min(number, answers.length - 1)] as Answer;

test("a request carries the key, the person and the variables", async (context) => {
  const { url, arrivals } = await stub(context, () => found);
  const client = new RollcallClient({ url: `${url}/`, key: async () => "rcp_1" });
  assert.deepEqual(await client.request(UserDocument, by), { user });
  await client.onBehalfOf("external:gérard-李").request(UserDocument, by);
  await client.request(UserDocument, by, { onBehalfOf: "usr_2" });
  const [first, second, third] = arrivals;
  assert.equal(first?.headers.authorization, "Bearer rcp_1");
  assert.equal(first?.headers["rollcall-on-behalf-of"], undefined);
  assert.deepEqual(first?.variables, by);
  assert.equal(
    Buffer.from(String(second?.headers["rollcall-on-behalf-of"]), "latin1").toString(),
    "external:gérard-李",
  );
  assert.equal(third?.headers["rollcall-on-behalf-of"], "usr_2");
});

test("what was refused for a while is sent again after the time that the service names", async (context) => {
  const { url, arrivals } = await stub(
    context,
    inTurn(
      refused(429, "RATE_LIMITED", { retryAfter: 0.2 }),
      { status: 503, headers: { "retry-after": "0" }, body: "busy" },
      created,
    ),
  );
  const began = performance.now();
  await new RollcallClient({ url, key: "k" }).request(CreateOrganizationDocument, input);
  assert.equal(arrivals.length, 3);
  assert.ok(performance.now() - began >= 200);
});

test("it gives up after some tries, and at once where the wait is too long", async (context) => {
  const busy = await stub(context, () => refused(503, "UNAVAILABLE", { retryAfter: 0.01 }));
  await assert.rejects(
    new RollcallClient({ url: busy.url, key: "k", retries: 2 }).request(UserDocument, by),
    (error) => {
      assert.ok(error instanceof RequestError);
      assert.deepEqual(
        [error.code, error.status, error.retryAfter, error.requestId],
        ["UNAVAILABLE", 503, 0.01, "req-7"],
      );
      assert.equal(error.message, "refused as UNAVAILABLE");
      return true;
    },
  );
  assert.equal(busy.arrivals.length, 3);

  const limited = await stub(context, () => refused(429, "RATE_LIMITED", { retryAfter: 900 }));
  await assert.rejects(new RollcallClient({ url: limited.url, key: "k" }).request(UserDocument, by), {
    code: "RATE_LIMITED",
    retryAfter: 900,
  });
  assert.equal(limited.arrivals.length, 1);
});

test("what has no answer is sent again only where that can do no harm", async (context) => {
  const client = ({ url }: { url: string }) => new RollcallClient({ url, key: "k", retries: 2 });
  const query = await stub(context, inTurn("cut", { status: 502, body: "<html>" }, found));
  await client(query).request(UserDocument, by);

  for (const answer of ["cut", { status: 504, body: "<html>" }] as Answer[]) {
    const mutation = await stub(context, inTurn(answer, created));
    await assert.rejects(client(mutation).request(CreateOrganizationDocument, input), TransportError);
    assert.equal(mutation.arrivals.length, 1);
  }

  const keyed = await stub(context, inTurn("cut", created));
  await client(keyed).request(CreateOrganizationDocument, input, { idempotencyKey: "acme-1" });
  assert.deepEqual(
    keyed.arrivals.map(({ headers }) => headers["idempotency-key"]),
    ["acme-1", "acme-1"],
  );
  for (const idempotencyKey of ["", "two words", "é", "x".repeat(256)]) {
    await assert.rejects(client(keyed).request(CreateOrganizationDocument, input, { idempotencyKey }), TypeError);
  }
});

test("other refusals are thrown at once", async (context) => {
  for (const [status, code] of [
    [401, "UNAUTHENTICATED"],
    [400, "BAD_REQUEST"],
    [403, "FORBIDDEN"],
    [500, "INTERNAL"],
  ] as const) {
    const { url, arrivals } = await stub(context, () => refused(status, code));
    await assert.rejects(new RollcallClient({ url, key: "k" }).request(UserDocument, by), {
      name: "RequestError",
      code,
      status,
    });
    assert.equal(arrivals.length, 1);
  }
  // Part of the answer is an error, and what could be answered is at hand.
  const partly = await stub(context, () => ({
    body: { data: { user: null }, errors: [{ message: "no", extensions: { code: "FORBIDDEN" } }] },
  }));
  await assert.rejects(new RollcallClient({ url: partly.url, key: "k" }).request(UserDocument, by), {
    code: "FORBIDDEN",
    data: { user: null },
  });
  const page = await stub(context, () => ({ body: "<html>" }));
  await assert.rejects(new RollcallClient({ url: page.url, key: "k" }).request(UserDocument, by), TransportError);
});

test("the key isn't carried elsewhere by a redirect", async (context) => {
  const elsewhere = await stub(context, () => found);
  const { url } = await stub(context, () => ({
    status: 307,
    headers: { location: `${elsewhere.url}/graphql` },
    body: "",
  }));
  await assert.rejects(new RollcallClient({ url, key: "k", retries: 0 }).request(UserDocument, by), TransportError);
  assert.equal(elsewhere.arrivals.length, 0);
});

test("a request ends with its signal, and with its time", async (context) => {
  const { url } = await stub(context, () => refused(503, "UNAVAILABLE", { retryAfter: 20 }));
  const reason = new Error("enough");
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 50);
  await assert.rejects(
    new RollcallClient({ url, key: "k" }).request(UserDocument, by, { signal: controller.signal }),
    reason,
  );

  const never: typeof fetch = (_, init) =>
    new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));
  const slow = new RollcallClient({ url, key: "k", fetch: never, timeout: 30, retries: 1 });
  await assert.rejects(slow.request(UserDocument, by), TransportError);
});

test("userErrors are data, or thrown", () => {
  const payload = {
    organization: null,
    userErrors: [{ code: "SLUG_TAKEN" as const, message: "it is taken", field: ["input", "slug"] }],
  };
  assert.throws(
    () => orThrow(payload),
    (error) => {
      assert.ok(error instanceof UserErrors);
      assert.equal(error.message, "SLUG_TAKEN on input.slug: it is taken");
      assert.deepEqual(error.userErrors, payload.userErrors);
      return true;
    },
  );
  assert.equal(orThrow({ organization: 1, userErrors: [] }).organization, 1);
});

test("documents of the wrong kind are told apart", async (context) => {
  const { url } = await stub(context, () => found);
  const client = new RollcallClient({ url, key: "k" });
  assert.deepEqual(await client.request<{ user: unknown }>("{ user(by: { id: 1 }) { id } }"), { user });
  const parsed = { kind: "Document", definitions: [] } as unknown as typeof UserDocument;
  await assert.rejects(client.request(parsed, by), TypeError);
});
