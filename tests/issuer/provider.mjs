// An issuer for the tests. The first line of its input is { port, audience }; each further one is a token to sign with one of its keys,
// { header, claims, key } with the key's id, or with `secret`; the token is the line that it answers. It ends with its input.
//
// Anybody signs in as whoever they say they are; the address is `<name>@example.org`, without what follows a + in the name, and it is
// verified unless the name begins with "unverified".
import { createHmac, createPrivateKey, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { port, audience } = JSON.parse((await lines.next()).value);

const generated = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }),
  alg,
  kid: `${alg}-${randomUUID()}`,
  use: "sig",
});
const keys = [
  generated("rsa", { modulusLength: 2048 }, "RS256"),
  generated("ec", { namedCurve: "P-256" }, "ES256"),
  generated("ed25519", {}, "EdDSA"),
];

const claims = (name) => ({
  email: `${name.replace(/\+.*/, "")}@example.org`,
  email_verified: !name.startsWith("unverified"),
  name: `Person ${name}`,
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys },
  cookies: { keys: ["only for tests"] },
  clients: [
    {
      client_id: "app",
      redirect_uris: ["http://127.0.0.1:1/signed-in"],
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token"],
      application_type: "native",
      scope: "openid email profile offline_access api",
    },
  ],
  scopes: ["openid", "offline_access", "api"],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId, ...claims(accountId) }) }),
  extraTokenClaims: (_, token) => claims(token.accountId),
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "urn:rollcall:RS256",
      useGrantedResource: () => true,
      // The resource says how its tokens are signed.
      getResourceServerInfo: (_, resource) => ({
        scope: "api",
        audience,
        accessTokenFormat: "jwt",
        accessTokenTTL: 600,
        jwt: { sign: { alg: resource.split(":").pop() } },
      }),
    },
  },
});
await new Promise((listening) => provider.listen(port, "127.0.0.1", listening));
console.log(JSON.stringify(keys.map(({ kid }) => kid)));

const encoded = (object) => Buffer.from(JSON.stringify(object)).toString("base64url");
const signature = ({ header, key, secret }, text) => {
  const jwk = keys.find(({ kid }) => kid === key);
  switch (header.alg) {
    case "HS256":
      return createHmac("sha256", secret).update(text).digest();
    case "none":
    case "None":
      return Buffer.alloc(0);
    default:
      return sign(jwk.alg === "EdDSA" ? null : "sha256", Buffer.from(text), {
        key: createPrivateKey({ key: jwk, format: "jwk" }),
        dsaEncoding: "ieee-p1363",
      });
  }
};
for await (const line of lines) {
  const token = JSON.parse(line);
  const text = `${encoded(token.header)}.${encoded(token.claims)}`;
  console.log(`${text}.${signature(token, text).toString("base64url")}`);
}
process.exit(0);
