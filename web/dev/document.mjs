// SPDX-License-Identifier: Apache-2.0
/* Writes the OpenAPI document as JSON for the fixture server and the tests. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

const from = fileURLToPath(new URL("../../openapi/banger.yaml", import.meta.url));
const to = fileURLToPath(new URL("./openapi.json", import.meta.url));
writeFileSync(to, JSON.stringify(parse(readFileSync(from, "utf8"))));
