import type { DocumentTypeDecoration } from "@graphql-typed-document-node/core";
import { type GraphQLError, RequestError, TransportError } from "./errors.js";

/** A document with the types of its answer and variables, such as those that this package exports. */
export type TypedDocument<Data, Variables> = DocumentTypeDecoration<Data, Variables> & { toString(): string };

export interface ClientOptions {
  /** Where the service is, such as `https://rollcall.example.org`, without `/graphql`. */
  url: string;
  /** The platform key (`rcp_…`) or another bearer token, or what returns it, for keys that are rotated while this runs. */
  key: string | (() => string | Promise<string>);
  /** For whom to act: `usr_…`, or `external:` and the platform's own id. The key needs the scope ACT_FOR_USERS. */
  onBehalfOf?: string | undefined;
  /** Used instead of the global `fetch`. */
  fetch?: typeof fetch | undefined;
  /** How long to wait for an answer, in milliseconds; 35,000 if omitted. The service takes at most 30 seconds. */
  timeout?: number | undefined;
  /** How many times to send a request again; 4 if omitted. */
  retries?: number | undefined;
  /** A request is given up if the service asks for a longer wait than this, in milliseconds; 30,000 if omitted. */
  longestWait?: number | undefined;
}

export interface RequestOptions {
  /**
   * For a mutation: 1 to 255 visible ASCII characters. A mutation that is sent again with the same key is done once, so
   * that the client can send it again if there was no answer.
   */
  idempotencyKey?: string | undefined;
  /** For whom to act, in this request only. */
  onBehalfOf?: string | undefined;
  /** Ends the request, and the waiting for another try. */
  signal?: AbortSignal | undefined;
  /** Whether a mutation may be done twice without harm, such as an upsert. Queries always may. */
  repeatable?: boolean | undefined;
}

type Outcome = { data: unknown } | { error: RequestError | TransportError; mayRepeat: boolean };

/** Sends requests, and sends them again where that may help and can't do harm. */
export class Transport {
  readonly #options: ClientOptions;
  readonly #url: URL;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#url = new URL("graphql", options.url.endsWith("/") ? options.url : `${options.url}/`);
  }

  async request<Data, Variables>(
    document: TypedDocument<Data, Variables> | string,
    variables: Variables,
    options: RequestOptions,
  ): Promise<Data> {
    const query = documentText(document);
    const headers = this.#headers(options);
    const body = JSON.stringify({ query, variables });
    const repeatable = !isMutation(query) || options.repeatable === true || options.idempotencyKey !== undefined;
    const retries = this.#options.retries ?? 4;
    for (let attempt = 0; ; attempt += 1) {
      const outcome = await this.#send(headers, body, repeatable, options.signal);
      if ("data" in outcome) {
        return outcome.data as Data;
      }
      const wait = waitBefore(attempt, outcome.error);
      if (!outcome.mayRepeat || attempt >= retries || wait > (this.#options.longestWait ?? 30_000)) {
        throw outcome.error;
      }
      await sleep(wait, options.signal);
    }
  }

  #headers(options: RequestOptions): Headers {
    const headers = new Headers({
      accept: "application/graphql-response+json",
      "content-type": "application/json",
    });
    const person = options.onBehalfOf ?? this.#options.onBehalfOf;
    if (person !== undefined) {
      headers.set("rollcall-on-behalf-of", utf8(person));
    }
    if (options.idempotencyKey !== undefined) {
      if (!/^[!-~]{1,255}$/.test(options.idempotencyKey)) {
        throw new TypeError("idempotencyKey must be 1 to 255 visible ASCII characters");
      }
      headers.set("idempotency-key", options.idempotencyKey);
    }
    return headers;
  }

  async #send(headers: Headers, body: string, repeatable: boolean, signal: AbortSignal | undefined): Promise<Outcome> {
    const { key, fetch: send = fetch, timeout = 35_000 } = this.#options;
    headers.set("authorization", `Bearer ${typeof key === "string" ? key : await key()}`);
    const signals = [AbortSignal.timeout(timeout), ...(signal ? [signal] : [])];
    let response: Response;
    let text: string;
    try {
      // A redirect would carry the key elsewhere.
      response = await send(this.#url, {
        method: "POST",
        headers,
        body,
        redirect: "error",
        signal: AbortSignal.any(signals),
      });
      text = await response.text();
    } catch (cause) {
      signal?.throwIfAborted();
      return {
        error: new TransportError(`no answer from ${this.#url.host}`, undefined, { cause }),
        mayRepeat: repeatable,
      };
    }
    return interpret(response, text, repeatable);
  }
}

function interpret(response: Response, text: string, repeatable: boolean): Outcome {
  const { status, headers } = response;
  // Of these two, the service says that nothing was done. Whoever stands before it says nothing about 502 and 504.
  const nothingWasDone = status === 429 || status === 503;
  const answer = parse(text);
  if (answer === undefined && !nothingWasDone && status !== 401) {
    const error = new TransportError(`an answer with status ${status} that isn't GraphQL's`, status);
    return { error, mayRepeat: repeatable && (status === 502 || status === 504) };
  }
  const errors = answer?.errors ?? [];
  if (answer !== undefined && errors.length === 0 && response.ok) {
    return { data: answer.data };
  }
  const seconds = errors[0]?.extensions?.retryAfter ?? Number(headers.get("retry-after") || Number.NaN);
  const retryAfter = Number.isFinite(seconds) ? seconds : undefined;
  const requestId = headers.get("x-request-id") ?? undefined;
  return { error: new RequestError(errors, status, retryAfter, requestId, answer?.data), mayRepeat: nothingWasDone };
}

function parse(text: string): { data?: unknown; errors?: GraphQLError[] } | undefined {
  try {
    const answer: unknown = JSON.parse(text);
    const isAnswer = typeof answer === "object" && answer !== null && ("data" in answer || "errors" in answer);
    return isAnswer ? (answer as { data?: unknown; errors?: GraphQLError[] }) : undefined;
  } catch {
    return undefined;
  }
}

function documentText(document: { toString(): string }): string {
  if ("kind" in Object(document)) {
    throw new TypeError('generate documents with documentMode: "string", or pass print(document)');
  }
  return document.toString();
}

/** Whether the document may have a mutation: one that names none is a query for sure. */
function isMutation(query: string): boolean {
  return /\bmutation\b/.test(query);
}

/** A header's value holds bytes, which `fetch` takes as characters below 256. */
function utf8(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}

function waitBefore(attempt: number, error: RequestError | TransportError): number {
  const jitter = Math.random();
  if (error instanceof RequestError && error.retryAfter !== undefined) {
    return error.retryAfter * 1_000 * (1 + jitter / 10);
  }
  return backoff(attempt, 10_000);
}

/** A wait in milliseconds that doubles with each attempt, up to a longest one, so that not everybody comes at once. */
export function backoff(attempt: number, longest: number): number {
  return Math.min(longest, 250 * 2 ** Math.min(attempt, 20)) * (0.5 + Math.random() / 2);
}

export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
