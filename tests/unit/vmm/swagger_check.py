#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: swagger_check.py GOLDEN_DIR

Checks every request in GOLDEN_DIR/fc-*.txt against Firecracker's own API document: the operation
exists, every field is known and of its type, every required field is there. The document is not
part of this tree: BANGER_FC_SWAGGER names it (src/firecracker/swagger/firecracker.yaml of
Firecracker's sources); without it the check is skipped.
"""
import json
import os
import pathlib
import sys

import yaml

SKIPPED = 77
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


def resolve(document, schema):
    while "$ref" in schema:
        schema = document["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def check(document, schema, value, where):
    schema = resolve(document, schema)
    kind = schema.get("type", "object")
    if not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool)):
        return [f"{where}: {value!r} is not of type {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    if kind == "array":
        return [e for i, v in enumerate(value)
                for e in check(document, schema["items"], v, f"{where}/{i}")]
    if kind != "object":
        return []
    known = schema.get("properties", {})
    errors = [f"{where}/{name}: required" for name in schema.get("required", []) if name not in value]
    for name, v in value.items():
        if name in known:
            errors += check(document, known[name], v, f"{where}/{name}")
        else:
            errors.append(f"{where}/{name}: not known")
    return errors


def find_operation(document, method, path):
    for template, operations in document["paths"].items():
        a, b = template.split("/"), path.split("/")
        if len(a) == len(b) and all(x == y or x.startswith("{") for x, y in zip(a, b)):
            return operations.get(method.lower())
    return None


def main():
    swagger = os.environ.get("BANGER_FC_SWAGGER")
    if not swagger:
        print("BANGER_FC_SWAGGER is not set")
        return SKIPPED
    document = yaml.safe_load(pathlib.Path(swagger).read_text(encoding="utf-8"))
    errors, n = [], 0
    for file in sorted(pathlib.Path(sys.argv[1]).glob("fc-*.txt")):
        for line in file.read_text(encoding="utf-8").splitlines():
            method, path, body = line.split(" ", 2)
            operation = find_operation(document, method, path)
            where = f"{file.name}: {method} {path}"
            if not operation:
                errors.append(f"{where}: no such operation")
                continue
            schemas = [p["schema"] for p in operation.get("parameters", []) if p["in"] == "body"]
            errors += check(document, schemas[0], json.loads(body), where)
            n += 1
    print("\n".join(errors) or f"{n} requests fit")
    return 1 if errors or not n else 0


sys.exit(main())
