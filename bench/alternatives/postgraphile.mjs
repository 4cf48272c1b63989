// PostGraphile over the schema `postgraphile`, for anybody without ROLE; with it, each request acts as that role for the
// user whose id is the bearer token. No session is looked up, which favours PostGraphile.

import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { PgSimplifyInflectionPreset } from "@graphile/simplify-inflection";

const role = process.env.ROLE;
const preset = {
  extends: [PostGraphileAmberPreset, PgSimplifyInflectionPreset],
  pgServices: [
    makePgService({ connectionString: process.env.DATABASE_URL, schemas: ["postgraphile"], poolConfig: { max: 16 }, pubsub: false }),
  ],
  grafserv: { watch: false, graphiql: false, websockets: false },
  grafast: role
    ? {
        context: ({ node }) => ({
          pgSettings: { role, "bench.user_id": node?.req.headers.authorization?.slice("Bearer ".length) },
        }),
      }
    : {},
};
const server = createServer();
server.keepAliveTimeout = 60_000;
await postgraphile(preset).createServ(grafserv).addTo(server);
server.listen(Number(process.env.PORT), "127.0.0.1");
