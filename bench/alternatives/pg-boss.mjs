// Drains jobs that do nothing with pg-boss, in batches, and prints one line of JSON.
//
//   DATABASE_URL=postgres://… node pg-boss.mjs 20000

import { PgBoss } from "pg-boss";
import pg from "pg";

const jobs = Number(process.argv[2]);
const connectionString = process.env.DATABASE_URL;
const workers = 4;
const batchSize = 100;

const boss = new PgBoss({ connectionString, max: 10, supervise: false, schedule: false });
boss.on("error", (error) => {
  throw error;
});
await boss.start();
await boss.createQueue("nothing");
await boss.deleteAllJobs("nothing");
for (let from = 0; from < jobs; from += 1_000) {
  const count = Math.min(1_000, jobs - from);
  await boss.insert("nothing", Array.from({ length: count }, (_, number) => ({ data: { number: from + number } })));
}
const client = new pg.Client({ connectionString });
await client.connect();
await client.query("ANALYZE");
await client.query("CHECKPOINT");
await client.end();

// `work` waits for its polling interval after each batch; fetching in a loop is the fastest that pg-boss offers.
const start = performance.now();
await Promise.all(
  Array.from({ length: workers }, async () => {
    for (let batch; (batch = await boss.fetch("nothing", { batchSize })).length > 0; ) {
      await boss.complete("nothing", batch.map((job) => job.id));
    }
  }),
);
const seconds = (performance.now() - start) / 1000;
await boss.stop({ graceful: true });
console.log(JSON.stringify({ jobs, seconds }));
