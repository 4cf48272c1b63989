// Better Auth with its organization plugin, in the schema `better_auth`.
//
//   node better-auth.mjs prepare FILE ACCOUNTS   makes the tables, fills them with Rollcall's people, organizations and
//                                                memberships, and writes a cookie for each of the first accounts
//   node better-auth.mjs                         serves

import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { organization } from "better-auth/plugins";
import pg from "pg";

const secret = "bench-bench-bench-bench-bench-bench";
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 16, options: "-c search_path=better_auth" });
const options = {
  database: pool,
  secret,
  baseURL: "http://localhost",
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  logger: { level: "error" },
  plugins: [organization({ membershipLimit: 1_000_000, invitationLimit: 1_000_000_000, sendInvitationEmail: async () => {} })],
};

if (process.argv[2] === "prepare") {
  const accounts = Number(process.argv[4]);
  await pool.query("CREATE SCHEMA better_auth");
  const { runMigrations } = await getMigrations(options);
  await runMigrations();
  await pool.query(`
    INSERT INTO "user" (id, name, email, "emailVerified", "createdAt", "updatedAt")
      SELECT id::text, name, email, true, created_at, created_at FROM public.users;
    INSERT INTO organization (id, name, slug, "createdAt")
      SELECT id::text, name, slug, created_at FROM public.organizations WHERE personal_user_id IS NULL;
    INSERT INTO member (id, "organizationId", "userId", role, "createdAt")
      SELECT m.id::text, m.organization_id::text, m.user_id::text, m.role, m.joined_at
      FROM public.members m JOIN public.organizations o ON o.id = m.organization_id AND o.personal_user_id IS NULL;
    INSERT INTO session (id, token, "userId", "expiresAt", "createdAt", "updatedAt")
      SELECT id::text, 'session-of-' || substr(username, 8), id::text, now() + interval '7 days', now(), now()
      FROM public.users WHERE substr(username, 8)::bigint < ${accounts};
    ANALYZE;`);
  const cookies = Array.from({ length: accounts }, (_, number) => {
    const token = `session-of-${number}`;
    const signature = createHmac("sha256", secret).update(token).digest("base64");
    return `better-auth.session_token=${encodeURIComponent(`${token}.${signature}`)}`;
  });
  writeFileSync(process.argv[3], cookies.join("\n"));
  await pool.end();
} else {
  const server = createServer(toNodeHandler(betterAuth(options)));
  server.keepAliveTimeout = 60_000;
  server.listen(Number(process.env.PORT), "127.0.0.1");
}
