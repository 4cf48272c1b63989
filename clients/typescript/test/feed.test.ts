import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  type CursorStore,
  type FeedEvent,
  orThrow,
  peopleOf,
  RemoveMemberDocument,
  RequestError,
  RollcallClient,
} from "rollcall-client";
import { FileCursor } from "rollcall-client/file-cursor";
import { all, folder, platformKey, until, url, World } from "./live.js";

/** Keeps the cursor in memory. */
class Kept implements CursorStore {
  cursor: string | null = null;
  async load(): Promise<string | null> {
    return this.cursor;
  }
  async save(cursor: string): Promise<void> {
    this.cursor = cursor;
  }
}

/** The organization's events as they are now, and none of them held back. */
async function settled(world: World, count: number): Promise<FeedEvent[]> {
  return until("every event", async () => {
    const pages = await all(world.client.eventPages(null, { organizationId: world.organization, untilCaughtUp: true }));
    const events = pages.flatMap(({ events }) => events);
    return events.length >= count ? events : undefined;
  });
}

const sequences = (events: FeedEvent[]) => events.map(({ sequence }) => Number(sequence));
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

test("pages hold every event once, in order, after any cursor and by action", async () => {
  const world = await World.of(4);
  // Founded, and three times invited and joined.
  const events = await settled(world, 7);
  assert.deepEqual(sequences(events), upTo(7));
  const pages = await all(
    world.client.eventPages(null, { organizationId: world.organization, pageSize: 2, untilCaughtUp: true }),
  );
  assert.deepEqual(
    pages.map(({ events }) => events.length),
    [2, 2, 2, 1],
  );
  const rest = await all(
    world.client.eventPages(pages[1]?.cursor ?? null, { organizationId: world.organization, untilCaughtUp: true }),
  );
  assert.deepEqual(sequences(rest.flatMap(({ events }) => events)), [5, 6, 7]);
  const joined = await all(
    world.client.eventPages(null, {
      organizationId: world.organization,
      actions: ["organization.member_joined"],
      untilCaughtUp: true,
    }),
  );
  assert.deepEqual(
    joined.flatMap(({ events }) => events.map(({ subject }) => subject?.id)),
    world.users.slice(1),
  );
});

test("a cursor is saved once its event is done, and not when the loop is left", async () => {
  const world = await World.of(3);
  await settled(world, 5);
  const store = new Kept();
  const options = { organizationId: world.organization, untilCaughtUp: true };
  const seen: number[] = [];
  for await (const event of world.client.follow(store, options)) {
    seen.push(Number(event.sequence));
    if (seen.length === 2) {
      break;
    }
  }
  const failing = async () => {
    for await (const event of world.client.follow(store, options)) {
      seen.push(Number(event.sequence));
      if (event.sequence === "4") {
        throw new Error("the handler fails");
      }
    }
  };
  await assert.rejects(failing, /the handler fails/);
  seen.push(...sequences(await all(world.client.follow(store, options))));
  assert.deepEqual(seen, [1, 2, 2, 3, 4, 4, 5]);
  assert.deepEqual(await all(world.client.follow(store, options)), []);
});

test("a reader that is killed goes on without loss", async () => {
  const world = await World.of(6);
  const events = await settled(world, 11);
  const path = await folder();
  const [cursor, notes] = [join(path, "cursor"), join(path, "notes")];
  const reader = fileURLToPath(new URL("crashing-reader.js", import.meta.url));
  const read = (last: number) =>
    spawnSync(process.execPath, [reader, url, world.key, world.organization, cursor, notes, String(last)], {
      stdio: "inherit",
    });
  const before = new FileCursor(cursor);
  assert.equal(await before.load(), null);
  assert.equal(read(3).signal, "SIGKILL");
  assert.equal(await before.load(), events[1]?.cursor);
  assert.equal(read(5).signal, "SIGKILL");
  assert.equal(read(0).status, 0);
  const done = readFileSync(notes, "utf8").trim().split("\n").map(Number);
  // What was done and not yet saved comes again; nothing is left out.
  assert.deepEqual(done, [1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11]);
});

test("it goes on through failures, and hears of what happens later until it is told to end", async () => {
  const world = await World.of(2);
  await settled(world, 3);
  let calls = 0;
  const unreliable: typeof fetch = async (input, init) => {
    calls += 1;
    if (calls % 3 !== 0) {
      throw new TypeError("fetch failed");
    }
    return fetch(input, init);
  };
  const client = new RollcallClient({ url, key: world.key, fetch: unreliable, retries: 0 });
  const controller = new AbortController();
  const seen: string[] = [];
  for await (const event of client.follow(new Kept(), {
    organizationId: world.organization,
    longestPause: 50,
    signal: controller.signal,
  })) {
    seen.push(event.action);
    if (seen.length === 3) {
      const memberId = (await world.members()).ids[world.users[1] ?? ""] ?? "";
      orThrow((await world.client.request(RemoveMemberDocument, { input: { memberId } })).removeMember);
    }
    if (event.action === "organization.member_removed") {
      controller.abort();
    }
  }
  assert.ok(calls >= 6, `${calls} calls`);
  assert.equal(seen.at(-1), "organization.member_removed");
});

test("what is refused is thrown", async () => {
  const blind = new RollcallClient({ url, key: await platformKey("READ") });
  await assert.rejects(
    all(blind.eventPages(null)),
    (error) => error instanceof RequestError && error.code === "FORBIDDEN",
  );
  const key = new RollcallClient({ url, key: await platformKey("EVENTS_READ") });
  await assert.rejects(
    all(key.eventPages("nonsense")),
    (error) => error instanceof RequestError && error.code === "BAD_REQUEST",
  );
});

test("an event concerns one person, several, or nobody in particular", () => {
  assert.deepEqual(peopleOf({ subject: "usr_1", role: "member" }), ["usr_1"]);
  assert.deepEqual(peopleOf({ subject: "usr_1", userIds: ["usr_1"] }), ["usr_1"]);
  assert.deepEqual(peopleOf({ userIds: ["usr_1", null, "usr_2"] }), ["usr_1", "usr_2"]);
  assert.deepEqual(peopleOf({ subject: null }), []);
  assert.deepEqual(peopleOf({}), []);
});
