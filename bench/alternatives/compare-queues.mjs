// Drains no-op jobs alternately with the queue of jobs/apalis-diesel and with graphile-worker, on one PostgreSQL, and
// prints each run, the medians and their ratio. `make bench-queue` runs it.
//
//   node compare-queues.mjs [JOBS …]
//
// PAIRS is the number of runs of each, FSYNC=off or on (the default) a setting of the PostgreSQL that is started for this, MEASURE
// our side's program.
//
// The figures favour graphile-worker a little: its time ends when the last job has been executed, ours when the last
// one has also been acknowledged in the database.

import { execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";

const here = dirname(fileURLToPath(import.meta.url));
const sizes = process.argv.length > 2 ? process.argv.slice(2) : ["20000", "100000"];
const pairs = Number(process.env.PAIRS ?? 5);
const fsync = process.env.FSYNC ?? "on";
const measure = process.env.MEASURE ?? join(here, "../../target/release/examples/measure");

// PostgreSQL refuses to run as root.
const owner =
  process.getuid() === 0
    ? { uid: Number(execFileSync("id", ["-u", "postgres"])), gid: Number(execFileSync("id", ["-g", "postgres"])) }
    : {};
const folder = mkdtempSync(join(tmpdir(), "bench-queue-"));
if (owner.uid !== undefined) chownSync(folder, owner.uid, owner.gid);
chmodSync(folder, 0o700);

function binary(name) {
  const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql") : [];
  const places = versions.sort((a, b) => b - a).map((version) => `/usr/lib/postgresql/${version}/bin`);
  const place = [...process.env.PATH.split(":"), ...places].find((place) => existsSync(join(place, name)));
  if (!place) throw new Error(`${name}, of PostgreSQL's server, is not to be found`);
  return join(place, name);
}

function url(database) {
  return `postgres://postgres@${encodeURIComponent(folder)}/${database}`;
}

async function connect() {
  for (let tries = 0; ; tries += 1) {
    const client = new pg.Client({ connectionString: url("postgres") });
    try {
      await client.connect();
      return client;
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function drain(program, args, database) {
  const env = { ...process.env, DATABASE_URL: url(database), NO_LOG_SUCCESS: "1" };
  const output = execFileSync(program, args, { env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  return JSON.parse(output);
}

const contenders = {
  "apalis-diesel": (jobs) => drain(measure, [jobs, "1000", "--json"], "ours"),
  "graphile-worker": (jobs) => drain(process.execPath, [join(here, "graphile-worker.mjs"), jobs], "theirs"),
};

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const data = join(folder, "data");
execFileSync(binary("initdb"), ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync"], { ...owner, cwd: folder });
const settings = { unix_socket_directories: folder, listen_addresses: "", fsync, shared_buffers: "256MB" };
const options = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
const server = spawn(binary("postgres"), ["-D", data, ...options], { ...owner, cwd: folder, stdio: "ignore" });
try {
  const client = await connect();
  await client.query("CREATE DATABASE ours");
  await client.query("CREATE DATABASE theirs");
  const { server_version } = (await client.query("SHOW server_version")).rows[0];
  await client.end();
  console.log(`PostgreSQL ${server_version}, fsync ${fsync}; ${cpus().length} × ${cpus()[0].model}; Node ${process.version}`);
  for (const jobs of sizes) {
    const rates = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
    const pickups = [];
    for (let pair = 0; pair < pairs; pair += 1) {
      for (const [name, run] of Object.entries(contenders)) {
        const result = run(jobs);
        rates[name].push(result.jobs / result.seconds);
        if (result.pickup_seconds !== undefined) pickups.push(result.pickup_seconds);
      }
    }
    console.log(`\n${jobs} jobs, jobs a second:`);
    for (const [name, values] of Object.entries(rates)) {
      const runs = values.map((value) => value.toFixed(0)).join(" ");
      console.log(`  ${name.padEnd(16)} median ${median(values).toFixed(0)}   (${runs})`);
    }
    const ratios = rates["apalis-diesel"].map((rate, pair) => rate / rates["graphile-worker"][pair]);
    console.log(`  ratio of each pair, median ${median(ratios).toFixed(2)}   (${ratios.map((ratio) => ratio.toFixed(2)).join(" ")})`);
    console.log(`  apalis-diesel picks up a single job after ${(median(pickups) * 1000).toFixed(1)} ms, median of the runs' medians`);
  }
} finally {
  const stopped = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGINT");
  await stopped;
  rmSync(folder, { recursive: true });
}
