// Drains no-op jobs with graphile-worker in its fastest configuration, the one with which its own documentation gives its
// figures (https://worker.graphile.org/docs/performance), and prints one line of JSON.
//
//   DATABASE_URL=postgres://… NO_LOG_SUCCESS=1 node graphile-worker.mjs 20000

import { Logger, run, runMigrations } from "graphile-worker";
import pg from "pg";

const jobs = Number(process.argv[2] ?? 20_000);
const connectionString = process.env.DATABASE_URL;
const logger = new Logger(() => () => {});

await runMigrations({ connectionString, logger });
const client = new pg.Client({ connectionString });
await client.connect();
await client.query("TRUNCATE graphile_worker._private_jobs");
await client.query(
  `SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
     SELECT json_populate_record(NULL::graphile_worker.job_spec,
       json_build_object('identifier', 'nothing', 'payload', json_build_object('number', number)))
     FROM generate_series(1, $1::integer) AS number))`,
  [jobs],
);
await client.query("CHECKPOINT");

let left = jobs;
const start = performance.now();
const drained = Promise.withResolvers();
const runner = await run({
  preset: {
    worker: {
      connectionString,
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      logger,
    },
  },
  noHandleSignals: true,
  taskList: {
    nothing: () => {
      left -= 1;
      if (left === 0) drained.resolve((performance.now() - start) / 1000);
    },
  },
});
const seconds = await drained.promise;
await runner.stop();
const { rows } = await client.query("SELECT count(*)::integer AS undone FROM graphile_worker._private_jobs");
await client.end();
if (rows[0].undone !== 0) throw new Error(`${rows[0].undone} jobs are left`);
console.log(JSON.stringify({ jobs, seconds }));
