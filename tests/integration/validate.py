# SPDX-License-Identifier: Apache-2.0
"""Holds responses against the OpenAPI document that the server serves."""
import json
import re

import jsonschema


class Mismatch(AssertionError):
    pass


class Document:
    def __init__(self, document):
        self.document = document
        self.validators = {}
        self.routes = []
        for path, item in document["paths"].items():
            rest = {p["name"] for p in item.get("parameters", []) if p.get("x-banger-rest")}
            pattern = re.compile("^" + re.sub(r"\{([^}]+)\}", lambda m: "[^?]*" if m[1] in rest else "[^/?]+", path) +
                                 r"(\?.*)?$")
            # Literal segments win over parameters.
            self.routes.append((path.count("{"), pattern, path, item))
        self.routes.sort(key=lambda r: (r[0], -len(r[2])))

    def operation(self, method, target):
        for _, pattern, path, item in self.routes:
            if pattern.match(target) and method.lower() in item:
                return path, item[method.lower()]
        return None, None

    def resolve(self, node):
        while "$ref" in node:
            found = self.document
            for part in node["$ref"].lstrip("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def validator(self, key, schema):
        if key not in self.validators:
            whole = {"$schema": "https://json-schema.org/draft/2020-12/schema",
                     "components": self.document["components"], "allOf": [schema]}
            self.validators[key] = jsonschema.Draft202012Validator(whole)
        return self.validators[key]

    def check(self, method, target, status, content_type, body):
        """Raises Mismatch unless the document promises such a response."""
        where = f"{method} {target} -> {status}"
        path, operation = self.operation(method, target)
        if operation is None:
            if status in (404, 405):
                return
            raise Mismatch(f"{where}: not in the document")
        responses = operation["responses"]
        name = str(status) if str(status) in responses else "default"
        if name == "default" and status < 400:
            raise Mismatch(f"{where}: the document knows {sorted(responses)} only")
        content = self.resolve(responses[name]).get("content", {})
        if not content:
            if body:
                raise Mismatch(f"{where}: a body where none is promised: {body[:200]!r}")
            return
        kind = content_type.split(";")[0].strip()
        if kind not in content:
            raise Mismatch(f"{where}: {kind!r} is none of {sorted(content)}")
        schema = content[kind].get("schema")
        if schema is None or not kind.endswith("json"):
            return
        texts = body.decode().splitlines() if kind == "application/x-ndjson" else [body.decode()]
        validator = self.validator((path, method, name, kind), schema)
        for text in texts:
            for error in validator.iter_errors(json.loads(text)):
                if error.validator == "required" and "fields=" in target:
                    continue
                raise Mismatch(f"{where}: {error.json_path}: {error.message}\n{text[:2000]}")
