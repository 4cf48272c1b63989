import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  ChangeMemberRoleDocument,
  CreateWebhookDocument,
  orThrow,
  RemoveMemberDocument,
  UpdateOrganizationDocument,
} from "rollcall-client";
import { all, folder, platformKey, unique, until, url, World } from "./live.js";

interface Service {
  url: string;
  process: ChildProcess;
  get(path: string, person?: string): Promise<{ status: number; body: unknown }>;
}

const program = fileURLToPath(new URL("../examples/service.js", import.meta.url));

/** Starts the example as a process of its own. */
async function start(context: TestContext, environment: Record<string, string>): Promise<Service> {
  const service = spawn(process.execPath, [program], {
    env: { ...process.env, ROLLCALL_URL: url, ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  context.after(() => service.kill("SIGKILL"));
  const [line] = (await once(createInterface(service.stdout), "line")) as [string];
  const address = line.replace("listening on ", "");
  const get = async (path: string, person?: string) => {
    const response = await fetch(`${address}${path}`, { headers: person === undefined ? {} : { "x-person": person } });
    return { status: response.status, body: JSON.parse((await response.text()) || "null") };
  };
  return { url: address, process: service, get };
}

test("the example mirrors memberships, through a crash and a restart", async (context) => {
  const world = await World.of(4);
  const STATE = join(await folder(), "memberships.json");
  const environment = { ROLLCALL_KEY: await platformKey("EVENTS_READ"), STATE };
  const path = `/members/${world.organization}`;
  const mirrored = (service: Service) =>
    until("the mirror agrees", async () => {
      const { roles } = await world.members();
      const { body } = await service.get(path);
      return JSON.stringify(Object.entries(body as object).sort()) === JSON.stringify(Object.entries(roles).sort())
        ? roles
        : undefined;
    });
  const first = await start(context, environment);
  assert.equal(Object.keys(await mirrored(first)).length, 4);
  // Brought in together, they are in one event.
  const newcomers = [unique("p"), unique("p")];
  await all(
    world.client.upsertUsers(newcomers.map((externalId) => ({ externalId, email: `${externalId}@example.org` }))),
  );
  const members = newcomers.map((externalId) => ({ user: { externalId } }));
  await all(world.client.upsertMembers({ id: world.organization }, members));
  assert.equal(Object.keys(await mirrored(first)).length, 6);
  const { ids } = await world.members();
  const [, admin = "", leaver = ""] = world.users;
  const input = { memberId: ids[admin] ?? "", role: "ADMIN" as const };
  orThrow((await world.client.request(ChangeMemberRoleDocument, { input })).changeMemberRole);
  assert.equal((await mirrored(first))[admin], "admin");

  first.process.kill("SIGKILL");
  await once(first.process, "exit");
  orThrow((await world.client.request(RemoveMemberDocument, { input: { memberId: ids[leaver] ?? "" } })).removeMember);
  const second = await start(context, environment);
  const roles = await mirrored(second);
  assert.ok(!(leaver in roles) && Object.keys(roles).length === 5);
  second.process.kill("SIGTERM");
  assert.deepEqual(await once(second.process, "exit"), [0, null]);
});

test("the example ends where it may not read the feed", async () => {
  const environment = {
    ROLLCALL_URL: url,
    ROLLCALL_KEY: await platformKey("READ"),
    STATE: join(await folder(), "state"),
  };
  const service = spawn(process.execPath, [program], {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(service, "exit");
  assert.match(await text(service.stderr), /EVENTS_READ/);
  assert.deepEqual(await ended, [1, null]);
});

test("the example lets in whom Rollcall allows, and nobody without its answer", async (context) => {
  const world = await World.of(2);
  const [owner = "", member = ""] = world.people;
  const [hers, common] = [unique("project"), unique("project")];
  await all(
    world.client.upsertResources({ id: world.organization }, [
      { kind: "PROJECT", externalId: hers, name: "Hers", owner: { externalId: owner } },
      { kind: "PROJECT", externalId: common, name: "Common", owner: { externalId: owner }, visibility: "ORGANIZATION" },
    ]),
  );
  const STATE = join(await folder(), "memberships.json");
  const service = await start(context, { ROLLCALL_KEY: world.key, STATE });
  const status = async (project: string, person?: string) => (await service.get(`/projects/${project}`, person)).status;
  assert.deepEqual(await service.get(`/projects/${hers}`, owner), {
    status: 200,
    body: { project: hers, person: owner },
  });
  assert.equal(await status(common, member), 200);
  assert.equal(await status(hers, member), 404);
  assert.equal(await status(common, "a-stranger"), 404);
  assert.equal(await status("no-such-project", owner), 404);
  assert.equal(await status(common), 401);
  // Many at once are asked together, and each gets their own answer.
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, number) => status(number % 2 ? hers : common, member)),
  );
  assert.deepEqual(
    answers,
    Array.from({ length: 40 }, (_, number) => (number % 2 ? 404 : 200)),
  );

  const { ids } = await world.members();
  orThrow(
    (await world.client.request(RemoveMemberDocument, { input: { memberId: ids[world.users[1] ?? ""] ?? "" } }))
      .removeMember,
  );
  assert.equal(await status(common, member), 404);

  const blind = await start(context, { ROLLCALL_KEY: await platformKey("EVENTS_READ"), STATE: `${STATE}.2` });
  assert.notEqual((await blind.get(`/projects/${hers}`, owner)).status, 200);
  const lost = await start(context, {
    ROLLCALL_URL: "http://127.0.0.1:64999",
    ROLLCALL_KEY: world.key,
    STATE: `${STATE}.3`,
  });
  assert.equal((await lost.get(`/projects/${hers}`, owner)).status, 503);
});

test("the example takes genuine deliveries alone, with the old secret and the new one", async (context) => {
  const world = await World.of(1);
  const STATE = join(await folder(), "memberships.json");
  // The webhook's URL comes first, since the service needs its secret: a port that is free now.
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  await new Promise((closed) => probe.close(closed));
  const input = {
    organizationId: world.organization,
    url: `http://127.0.0.1:${port}/webhooks`,
    events: ["organization.updated"],
  };
  const { secret } = orThrow((await world.client.request(CreateWebhookDocument, { input })).createWebhook);
  const other = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
  const environment = { ROLLCALL_KEY: world.key, STATE, PORT: String(port), WEBHOOK_SECRETS: `${other} ${secret}` };
  const service = await start(context, environment);
  const { organization } = world;
  orThrow(
    (await world.client.request(UpdateOrganizationDocument, { input: { id: organization, name: unique("Acme") } }))
      .updateOrganization,
  );
  await until(
    "the delivery",
    async () => ((await service.get("/deliveries")).body as string[]).includes("organization.updated") || undefined,
  );
  const forged = await fetch(`${service.url}/webhooks`, {
    method: "POST",
    headers: {
      "webhook-id": "evt_1",
      "webhook-timestamp": String(Math.floor(Date.now() / 1_000)),
      "webhook-signature": "v1,AAAA",
    },
    body: "{}",
  });
  assert.equal(forged.status, 401);
});
