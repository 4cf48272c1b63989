// Runs the code of README.md and of docs/integration.md as a program that has the package installed.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { unique, until, url, World } from "./live.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const consumer = join(root, "build", "consumer");
const installed = join(consumer, "node_modules", "rollcall-client");

before(() => {
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", [
    "xzf",
    join(root, "build", "rollcall-client-0.1.0.tgz"),
    "--strip-components=1",
    "-C",
    installed,
  ]);
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ type: "module", private: true }));
  const compilerOptions = {
    target: "ES2022",
    lib: ["ES2023", "DOM", "DOM.Iterable"],
    module: "NodeNext",
    strict: true,
    types: ["node"],
  };
  writeFileSync(join(consumer, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
});

test("the package has what it needs and no more", () => {
  const files = execFileSync("tar", ["tzf", join(root, "build", "rollcall-client-0.1.0.tgz")], { encoding: "utf8" })
    .trim()
    .split("\n");
  for (const file of [
    "LICENSE",
    "README.md",
    "package.json",
    "schema.graphql",
    "dist/index.js",
    "dist/index.d.ts",
    "dist/webhooks.js",
  ]) {
    assert.ok(files.includes(`package/${file}`), file);
  }
  assert.deepEqual(
    files.filter(
      (file) => !/^package\/(dist\/[a-z-]+\.(js|d\.ts)|LICENSE|README\.md|package\.json|schema\.graphql)$/.test(file),
    ),
    [],
  );
});

for (const [page, name] of [
  ["README.md", "readme"],
  ["../../docs/integration.md", "integration"],
] as const) {
  test(`the code of ${page} works`, async () => {
    // The page takes for granted that p-1 has an account and owns an organization.
    const world = await World.made(["p-1"]);
    const blocks = [...readFileSync(join(root, page), "utf8").matchAll(/^```ts\n(.*?)^```$/gms)].map(
      ([, code]) => code,
    );
    assert.ok(blocks.length > 0);
    const code = blocks
      .join("\n")
      .replaceAll("http://127.0.0.1:8080", url)
      .replaceAll('"atlas"', `"${unique("atlas")}"`);
    writeFileSync(join(consumer, `${name}.ts`), code);
    execFileSync(join(root, "node_modules", ".bin", "tsc"), ["-p", consumer], { stdio: "inherit" });
    const environment = { ...process.env, ROLLCALL_KEY: world.key, ORGANIZATION: world.organization };
    const program = spawn(process.execPath, [`${name}.js`], {
      cwd: consumer,
      env: environment,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    program.stdout.setEncoding("utf8").on("data", (text) => (output += text));
    // It follows the feed for good, so it has come to its end when it tells of an event.
    await until(`the end of ${page}`, async () => {
      assert.equal(program.exitCode, null, output);
      return /^user\.created usr_/m.test(output) || undefined;
    }).finally(() => program.kill("SIGKILL"));
  });
}
