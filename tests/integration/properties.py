#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The API held against its document by requests that are made from it; see --seed and --rounds at the end.

What the document allows is done or refused in words, by a status that is no fault of the server's, with the place that it
is about; what it forbids is refused with the place that was spoiled. Ids that replies bring are used in later requests.
Every reply is one that the document promises, and the same POST with the same key is answered alike.
"""
import argparse
import json
import random
import sys
import unittest
from urllib.parse import quote

from generate import Generator, matches, pointer, spoiled
from harness import LifeTest

SEED, ROUNDS = 1, 12
# The host or the guest may lack something; all other 5xx are our own fault.
ALLOWED_5XX = {501, 502, 503, 504, 507}
# These need a guest, go on for ever, fetch from elsewhere, or take away what the others stand on.
NOT_DONE = {"vm_start", "vm_restart", "vm_recover", "image_create", "kernel_create", "image_delete", "kernel_delete", "template_create",
            "template_delete", "run_create", "vm_action", "vm_fork", "session_delete", "cache_prune", "metrics"}
# Values that keep the work small. What is forbidden is tried all the same.
FIXED_BODY = {"vm_create": {"start": False, "image": "mini", "kernel": None, "from_snapshot": None, "restore_memory": None, "ttl_s": None},
              "vm_update": {"disk_mib": None}}
FIXED_QUERY = {"timeout_s": 1, "watch": False, "follow": False}


class Properties(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()
        self.rng = random.Random(SEED)
        self.document = self.server.document
        self.generator = Generator(self.document, self.rng)
        self.pools = {"image": ["mini"], "kernel": ["debian-cloud"]}
        self.spoils = self.done = self.refused = 0

    # --- a request that is allowed ---

    def operations(self):
        for path, item in self.document.document["paths"].items():
            for method in ("post", "get", "put", "patch", "delete"):
                if method in item:
                    op = item[method]
                    yield method.upper(), path, op, [self.document.resolve(p)
                                                     for p in item.get("parameters", []) + op.get("parameters", [])]

    def body_schema(self, op):
        return op.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")

    def valid_body(self, op, schema):
        validator = self.document.validator(("body", op["operationId"]), schema)
        for _ in range(100):
            body = self.generator.value(schema)
            if isinstance(body, dict):
                body.update(FIXED_BODY.get(op["operationId"], {}))
                body = {k: v for k, v in body.items() if v is not None}
            if validator.is_valid(body):
                return body
        raise AssertionError(f"{op['operationId']}: no body found that its schema allows")

    def path_value(self, p):
        known = self.pools.get(p["name"])
        if known and self.rng.random() < 0.8:
            return self.rng.choice(known)
        value = self.plain(p["schema"])
        return value if not {".", ".."} & set(str(value).split("/")) else "x"

    def plain(self, schema):
        """Control characters are no part of a target, whatever the schema says."""
        while True:
            value = self.generator.value(schema)
            if all(c.isprintable() or c in "\u0301\u202e" for v in (value if isinstance(value, list) else [value]) for c in str(v)):
                return value

    def parameters(self, params):
        """Values by (in, name)."""
        values = {}
        for p in params:
            if p["in"] == "path":
                values["path", p["name"]] = self.path_value(p)
            elif p["in"] == "query" and p["name"] not in ("ticket", "fields", "cursor") and \
                    (p.get("required") or p["name"] in FIXED_QUERY or self.rng.random() < 0.3):
                values["query", p["name"]] = FIXED_QUERY.get(p["name"], self.plain(p["schema"]))
        return values

    @staticmethod
    def target(path, values):
        def word(value):
            return quote(str(value).lower() if isinstance(value, bool) else str(value), safe="")
        pairs = []
        for (where, name), value in values.items():
            if where == "path":
                path = path.replace("{" + name + "}", word(value))
            else:
                pairs += [f"{name}={word(v)}" for v in (value if isinstance(value, list) else [value])]
        return path + ("?" + "&".join(pairs) if pairs else "")

    def learn(self, path, reply):
        """What a POST has made can be named in the paths below."""
        if reply.status not in (200, 201, 202) or not reply.body or "json" not in reply.headers.get("Content-Type", ""):
            return
        made = reply.json()
        for below in self.document.document["paths"]:
            if below.startswith(path + "/{") and below.count("/") == path.count("/") + 1:
                name = below.rsplit("{", 1)[1][:-1]
                ids = [v for v in (made.get("id"), made.get("name")) if v and made.get("kind", name + ".").startswith(name + ".")]
                self.pools[name] = (ids + self.pools.get(name, []))[:12]
        if "operation" in made or "kind" in made:
            self.pools["operation"] = [made.get("operation", made.get("id"))]

    # --- what is held against it ---

    def send(self, method, target, body, headers=None):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if data is not None and not isinstance(body, bytes) else {}
        reply = self.server.call(method, target, data, {**kind, **(headers or {})}, timeout=60)
        if reply.status >= 500 and reply.status not in ALLOWED_5XX:
            self.fail(f"{method} {target} {body}: {reply}")
        return reply

    def allowed(self, method, path, op, params):
        schema, content = self.body_schema(op), op.get("requestBody", {}).get("content", {})
        target = self.target(path, self.parameters(params))
        body = self.valid_body(op, schema) if schema else b"x" if content else None
        headers = {"Idempotency-Key": f"k{self.done}"} if any(p["name"] == "Idempotency-Key" for p in params) else {}
        if content and not schema:
            headers["Content-Type"] = next(iter(content)).replace("*/*", "application/octet-stream")
        reply = self.send(method, target, body, headers)
        self.done += 1
        self.refused += reply.status >= 400
        what = f"{method} {target} {body}: {reply}"
        self.assertNotEqual(400, reply.status, what)
        if reply.status == 422 and not isinstance(body, bytes):
            self.assertTrue(reply.json().get("errors"), what)
        if method == "POST":
            self.learn(path, reply)
        if reply.status < 300 and "Idempotency-Key" in headers:
            again = self.send(method, target, body, headers)
            self.assertEqual("true", again.headers.get("Idempotent-Replayed"), what)
            self.assertEqual(reply.headers.get("Location"), again.headers.get("Location"), what)

    def forbidden_body(self, method, path, op, params):
        schema = self.body_schema(op)
        validator = self.document.validator(("body", op["operationId"]), schema)
        target = self.target(path, {k: v for k, v in self.parameters(params).items() if k[0] == "path" or k[1] in
                                    {p["name"] for p in params if p.get("required")}})
        body = self.generator.value(schema)
        ways = list(self.generator.wrong(schema, body))
        for how, place, other in self.rng.sample(ways, min(6, len(ways))):
            wrong = spoiled(body, place, other)
            if validator.is_valid(wrong):
                continue
            reply = self.send(method, target, json.dumps(wrong).encode(), {"Content-Type": "application/json"})
            what = f"{method} {target}: {how} at {pointer(place)}: {wrong}: {reply}"
            self.assertEqual(422, reply.status, what)
            places = [e.get("pointer") for e in reply.json().get("errors", [])]
            self.assertTrue(any(p is not None and (pointer(place) + "/").startswith(p + "/") for p in places) or
                            len(places) >= 32 or reply.json().get("truncated"), what)
            self.spoils += 1

    def forbidden_parameter(self, method, path, op, params):
        values = self.parameters(params)
        for p in params:
            schema = self.generator.flat(p["schema"])
            if p["in"] == "header" or schema.get("type") == "array":
                continue
            for how, _, other in self.generator.wrong(schema, None):
                text = str(other)
                if other is None or isinstance(other, (list, dict, bool)) or (p["in"] == "path" and text in ("", ".", "..")):
                    continue
                right = "pattern" not in schema or matches(schema["pattern"], text)
                if schema.get("type") == "string" and how.startswith("a ") or how == "too long" and not right:
                    continue
                if schema.get("type") in ("integer", "boolean") and how == "a integer":
                    continue
                target = self.target(path, {**values, (p["in"], p["name"]): other})
                if len(target) > 6000:
                    continue
                reply = self.send(method, target, {} if self.body_schema(op) else None)
                what = f"{method} {target}: {how} for {p['name']}: {reply}"
                self.assertEqual(422, reply.status, what)
                self.assertIn(p["name"], [e.get("parameter") for e in reply.json()["errors"]], what)
                self.spoils += 1

    def test_the_document_is_kept(self):
        for _ in range(ROUNDS):
            for method, path, op, params in self.operations():
                if "101" in op["responses"] or "{path}" in path and "proxy" in path:
                    continue
                if op["operationId"] not in NOT_DONE:
                    self.allowed(method, path, op, params)
                if self.body_schema(op):
                    self.forbidden_body(method, path, op, params)
                self.forbidden_parameter(method, path, op, params)
        print(f"seed {SEED}: {self.done} requests that are allowed ({self.refused} refused), {self.spoils} that are not")
        self.assertGreater(self.done - self.refused, self.done // 5, "most of what is allowed was refused")
        for vm in self.server.names():
            self.server.delete(vm)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options, rest = parser.parse_known_args()
    SEED, ROUNDS = options.seed, options.rounds
    sys.argv[1:] = rest
    unittest.main(verbosity=2)
