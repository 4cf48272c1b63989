import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { verifyWebhook, type WebhookDelivery, WebhookVerificationError } from "rollcall-client/webhooks";

// The example of Standard Webhooks' specification.
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const now = 1_614_265_330;
const body = '{"test": 2432232314}';
const headers = {
  "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
  "webhook-timestamp": String(now),
  "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
};
const other = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

const isRefused = (delivery: WebhookDelivery, secrets: string | string[] = secret, time = now) =>
  assert.throws(() => verifyWebhook(delivery, secrets, { now: time }), WebhookVerificationError);

test("the specification's example is genuine, however its headers and body come", () => {
  for (const how of [headers, new Headers(headers)]) {
    for (const bytes of [body, new TextEncoder().encode(body), Buffer.from(body)]) {
      assert.deepEqual(verifyWebhook({ headers: how, body: bytes }, secret, { now }), { test: 2432232314 });
    }
  }
});

test("any other body, id, time or secret is refused", () => {
  isRefused({ headers, body: `${body} ` });
  isRefused({ headers, body }, other);
  isRefused({ headers: { ...headers, "webhook-id": "msg_x" }, body });
  isRefused({ headers: { ...headers, "webhook-timestamp": String(now + 1) }, body });
  for (const signature of [
    "v1,",
    "v1,AAAA",
    "",
    "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  ]) {
    isRefused({ headers: { ...headers, "webhook-signature": signature }, body });
  }
  for (const name of Object.keys(headers)) {
    isRefused({ headers: { ...headers, [name]: undefined }, body });
    isRefused({ headers: { ...headers, [name]: ["a", "b"] }, body });
  }
  isRefused({ headers: { ...headers, "webhook-timestamp": "NaN" }, body });
});

test("it is taken for five minutes before and after its time", () => {
  for (const age of [-300, 0, 300]) {
    verifyWebhook({ headers, body }, secret, { now: now + age });
  }
  isRefused({ headers, body }, secret, now + 301);
  isRefused({ headers, body }, secret, now - 301);
  verifyWebhook({ headers, body }, secret, { now: now + 900, tolerance: 1_000 });
  isRefused({ headers, body }, secret, Number.NaN);
});

test("two secrets are good while they change", () => {
  verifyWebhook({ headers, body }, [other, secret], { now });
  const key = Buffer.alloc(32, 7);
  const second = createHmac("sha256", key).update(`${headers["webhook-id"]}.${now}.${body}`).digest("base64");
  const both = { ...headers, "webhook-signature": `v1,${second} ${headers["webhook-signature"]}` };
  verifyWebhook({ headers: both, body }, secret, { now });
  verifyWebhook({ headers: both, body }, other, { now });
});

test("a secret that is none is an error of the program", () => {
  for (const secrets of ["", "whsec_", secret.slice(6), [], [secret, ""]]) {
    assert.throws(() => verifyWebhook({ headers, body }, secrets, { now }), TypeError);
  }
});
