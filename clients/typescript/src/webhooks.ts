import { createHmac, timingSafeEqual } from "node:crypto";
import type { ActorKind } from "./generated.js";
import type { JsonObject } from "./json.js";

/** What a webhook delivers. */
export interface WebhookEvent {
  /** The event's action, such as `organization.member_joined`. */
  type: string;
  /** When it happened. */
  timestamp: string;
  data: {
    /** The event's id, the same in every repeat of the delivery. */
    id: string;
    /** Null for an event of the deployment's own log. */
    organizationId: string | null;
    /** The platform's own id of the organization; in deliveries of a webhook of the platform. */
    organizationExternalId?: string | null;
    /** The event's place in the organization's log. */
    sequence: string;
    actorKind: ActorKind;
    actorId: string | null;
    targetId: string | null;
    summary: string;
    metadata: JsonObject;
  };
}

/** Why a delivery isn't to be trusted. */
export class WebhookVerificationError extends Error {
  override readonly name = "WebhookVerificationError";
}

export interface WebhookDelivery {
  /** The request's headers, as Node or `fetch` have them. */
  headers: Headers | { [name: string]: string | string[] | undefined };
  /** The request's body as it came: parsed and written anew, it would not have the signature. */
  body: string | Uint8Array;
}

export interface VerificationOptions {
  /** How old or how far in the future a delivery may be, in seconds; 300 if omitted. */
  tolerance?: number | undefined;
  /** The current time, in seconds since 1970. */
  now?: number | undefined;
}

/**
 * Checks that a delivery comes from Rollcall, and returns what it says.
 *
 * @param secrets the webhook's secret (`whsec_…`); the old and the new one while you change over.
 * @throws {WebhookVerificationError} Answer with 400 or 401 then, and do nothing.
 */
export function verifyWebhook(
  delivery: WebhookDelivery,
  secrets: string | readonly string[],
  { tolerance = 300, now = Date.now() / 1_000 }: VerificationOptions = {},
): WebhookEvent {
  const keys = (typeof secrets === "string" ? [secrets] : secrets).map(keyOf);
  if (keys.length === 0) {
    throw new TypeError("there is no secret to verify webhooks with");
  }
  const id = header(delivery.headers, "webhook-id");
  const timestamp = header(delivery.headers, "webhook-timestamp");
  const signatures = header(delivery.headers, "webhook-signature");
  if (!/^\d{1,15}$/.test(timestamp)) {
    throw new WebhookVerificationError("webhook-timestamp is no time");
  }
  if (!(Math.abs(now - Number(timestamp)) <= tolerance)) {
    throw new WebhookVerificationError("the delivery is too old, or the clocks differ");
  }
  const given = signatures
    .split(" ")
    .filter((signature) => signature.startsWith("v1,"))
    .map((signature) => Buffer.from(signature.slice(3), "base64"));
  const isGenuine = keys.some((key) => {
    const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(delivery.body).digest();
    return given.some((signature) => signature.length === expected.length && timingSafeEqual(signature, expected));
  });
  if (!isGenuine) {
    throw new WebhookVerificationError("none of the signatures is one of the secrets'");
  }
  return JSON.parse(Buffer.from(delivery.body as Uint8Array).toString("utf8")) as WebhookEvent;
}

function keyOf(secret: string): Buffer {
  const encoded = secret.startsWith("whsec_") ? secret.slice("whsec_".length) : "";
  if (!/^[A-Za-z0-9+/]{32,}={0,2}$/.test(encoded)) {
    throw new TypeError("a webhook's secret is `whsec_` and base64");
  }
  return Buffer.from(encoded, "base64");
}

function header(headers: WebhookDelivery["headers"], name: string): string {
  const value = headers instanceof Headers ? headers.get(name) : headers[name];
  if (typeof value !== "string" || value === "") {
    throw new WebhookVerificationError(`there is no header ${name}, or more than one`);
  }
  return value;
}
