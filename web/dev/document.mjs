// SPDX-License-Identifier: Apache-2.0
/* Writes the OpenAPI document as JSON for the fixture server and the tests, and the names of its operations for the dashboard. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const document = parse(readFileSync(at("../../openapi/banger.yaml"), "utf8"));
writeFileSync(at("./openapi.json"), JSON.stringify(document));

const names = Object.values(document.paths).flatMap((item) => Object.values(item).map((operation) => operation?.operationId));
writeFileSync(at("../src/api/known.ts"), `/* Generated from openapi/banger.yaml. */\nexport const KNOWN: readonly string[] = ${JSON.stringify(names.filter(Boolean))};\n`);
