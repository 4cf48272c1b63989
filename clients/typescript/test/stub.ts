import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";

export interface Arrival {
  headers: IncomingHttpHeaders;
  query: string;
  variables: Record<string, unknown>;
}

/** What the stub answers; "cut" closes the connection without an answer. */
export type Answer = "cut" | { status?: number; headers?: Record<string, string>; body: unknown };

export interface Stub {
  url: string;
  arrivals: Arrival[];
}

export const refused = (status: number, code: string, extensions: object = {}): Answer => ({
  status,
  headers: { "x-request-id": "req-7" },
  body: { errors: [{ message: `refused as ${code}`, extensions: { code, ...extensions } }] },
});

/** A server that answers as it is told, for what a real service can't be brought to do. */
export async function stub(context: TestContext, answer: (arrival: Arrival, number: number) => Answer): Promise<Stub> {
  const arrivals: Arrival[] = [];
  const server = createServer(async (request, response) => {
    const arrival = {
      headers: request.headers,
      ...(JSON.parse(await text(request)) as { query: string; variables: Record<string, unknown> }),
    };
    const what = answer(arrival, arrivals.push(arrival) - 1);
    if (what === "cut") {
      request.socket.destroy();
    } else {
      response.writeHead(what.status ?? 200, { "content-type": "application/json", ...what.headers });
      response.end(typeof what.body === "string" ? what.body : JSON.stringify(what.body));
    }
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, arrivals };
}
