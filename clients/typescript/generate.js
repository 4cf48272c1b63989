// Writes src/generated.ts from the schema and the documents. `--check` only compares, and fails where they differ.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { codegen } from "@graphql-codegen/core";
import * as typedDocumentNode from "@graphql-codegen/typed-document-node";
import * as typescriptOperations from "@graphql-codegen/typescript-operations";
import { parse } from "graphql";

const here = (path) => new URL(path, import.meta.url);
const arguments_ = process.argv.slice(2);
const schema = arguments_.find((argument) => !argument.startsWith("--")) ?? here("../../schema.graphql");
const documents = readdirSync(here("../documents")).sort();

const generated = await codegen({
  filename: "generated.ts",
  schema: parse(readFileSync(schema, "utf8")),
  documents: documents.map((name) => ({
    location: name,
    document: parse(readFileSync(here(`../documents/${name}`), "utf8")),
  })),
  plugins: [{ typescriptOperations: {} }, { typedDocumentNode: {} }],
  pluginMap: { typescriptOperations, typedDocumentNode },
  config: {
    documentMode: "string",
    enumsAsTypes: true,
    scalars: {
      // As they travel: JSON has no exact numbers of 64 bits, and no decimals.
      BigInt: { input: "string", output: "string" },
      Decimal: { input: "string", output: "string" },
      DateTime: { input: "string", output: "string" },
      ID: { input: "string", output: "string" },
      JSON: { input: "./json.js#JsonObject", output: "./json.js#JsonObject" },
    },
    skipTypename: true,
    useTypeImports: true,
    strictScalars: true,
  },
});

const header = "// Generated from schema.graphql and ../documents by generate.js. Don't edit it.\n\n";
const code = header + generated.trimEnd() + "\n";
const target = here("src/generated.ts");
if (!arguments_.includes("--check")) {
  writeFileSync(target, code);
} else if (readFileSync(target, "utf8") !== code) {
  console.error("src/generated.ts differs from schema.graphql and documents: run `make clients-generate`");
  process.exit(1);
}
