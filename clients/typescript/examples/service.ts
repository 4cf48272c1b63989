// A service of a platform: it mirrors memberships from the feed, guards its projects by what Rollcall says, and takes
// webhooks. Start it with ROLLCALL_URL, ROLLCALL_KEY (scopes EVENTS_READ and ACCESS_CHECK), WEBHOOK_SECRETS, STATE and PORT.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { RollcallClient, RollcallError } from "rollcall-client";
import { type WebhookEvent, WebhookVerificationError, verifyWebhook } from "rollcall-client/webhooks";
import { ACTIONS, Memberships } from "./memberships.js";

const {
  ROLLCALL_URL = "",
  ROLLCALL_KEY = "",
  WEBHOOK_SECRETS = "",
  STATE = "memberships.json",
  PORT = "0",
} = process.env;
const rollcall = new RollcallClient({ url: ROLLCALL_URL, key: ROLLCALL_KEY });
const memberships = await Memberships.open(STATE);
const stopping = new AbortController();

async function mirror(): Promise<void> {
  for await (const page of rollcall.eventPages(memberships.cursor, { actions: ACTIONS, signal: stopping.signal })) {
    await memberships.apply(page.events, page.cursor);
  }
}

/** Who is signed in. A platform knows it from its own session; here, a header says it. */
function signedIn(request: IncomingMessage): string | undefined {
  const person = request.headers["x-person"];
  return typeof person === "string" ? person : undefined;
}

async function mayView(person: string, project: string): Promise<boolean> {
  const decision = await rollcall.checkAccess({
    user: { externalId: person },
    resource: { external: { kind: "PROJECT", externalId: project } },
    atLeast: "VIEW",
  });
  return decision.allowed;
}

const delivered = new Map<string, WebhookEvent>();

async function answer(request: IncomingMessage): Promise<[status: number, body?: unknown]> {
  const [, first = "", second = ""] = new URL(request.url ?? "/", "http://localhost").pathname.split("/");
  switch (`${request.method} /${first}`) {
    case "GET /projects": {
      const person = signedIn(request);
      if (person === undefined) {
        return [401];
      }
      // Whoever may not know of a project isn't told whether there is one.
      return (await mayView(person, second)) ? [200, { project: second, person }] : [404];
    }
    case "GET /members":
      return [200, memberships.of(second)];
    case "GET /deliveries":
      return [200, [...delivered.values()].map(({ type }) => type)];
    case "POST /webhooks": {
      const event = verifyWebhook(
        { headers: request.headers, body: await buffer(request) },
        WEBHOOK_SECRETS.split(" "),
      );
      // A delivery may come twice.
      delivered.set(event.data.id, event);
      return [204];
    }
    default:
      return [404];
  }
}

const server = createServer(async (request, response) => {
  let status: number;
  let body: unknown;
  try {
    [status, body] = await answer(request);
  } catch (error) {
    console.error(error);
    // Without an answer from Rollcall, nobody is let in.
    status = error instanceof WebhookVerificationError ? 401 : error instanceof RollcallError ? 503 : 500;
  }
  response.writeHead(status, { "content-type": "application/json" });
  response.end(body === undefined ? undefined : JSON.stringify(body));
});

server.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.once("SIGTERM", () => {
  stopping.abort();
  server.close();
  server.closeAllConnections();
});
await mirror();
