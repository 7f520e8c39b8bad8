#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: replies.py <banger-server>

Calls every operation that needs no guest and compares each reply with what the OpenAPI document promises for it:
status, media type and schema. Document and router are walked both ways: every path answers, no other method does.
"""
import gzip
import json
import re
import sys

from hostile import Corpus
from server import Server


class Contract:
    def __init__(self, server):
        self.server = server
        self.failures = []
        self.checked = 0

    def fail(self, what):
        self.failures.append(what)

    def check(self, method, path, op, status, headers, body):
        what = f"{method} {path}: {status}"
        responses = op["responses"]
        self.checked += 1
        if str(status) not in responses and status < 400:
            return self.fail(f"{what}: not in the document")
        promised = self.server.resolve(responses.get(str(status), responses["default"]))
        content = promised.get("content", {})
        kind = (headers.get("Content-Type") or "").split(";")[0]
        if not content:
            return None if not body else self.fail(f"{what}: a body was not promised")
        if kind not in content:
            return self.fail(f"{what}: {kind} was not promised")
        if kind.endswith("json"):
            for e in self.server.validator(content[kind]["schema"]).iter_errors(json.loads(body)):
                self.fail(f"{what}: {'/'.join(map(str, e.absolute_path))}: {e.message}")
        return None

    def call(self, method, path, op, value=None, headers=None):
        body = None if value is None else json.dumps(value)
        status, head, data = self.server.call(method, path, body, headers)
        self.check(method, path, op, status, head, data)
        return status, head, data


def walk(contract, corpus):
    """Every operation answers as itself; what the document does not have is 405, and HEAD is GET without a body."""
    methods = {}
    for path, method, op, params in corpus.operations():
        methods.setdefault(path, {})[method] = (op, params)
    for path, there in methods.items():
        for method in ("GET", "PUT", "POST", "DELETE", "PATCH", "TRACE", "BREW"):
            op, params = there.get(method, next(iter(there.values())))
            target = corpus.example_path(path, params)
            required = "&".join(f"{p['name']}=x" for p in params if p["in"] == "query" and p.get("required"))
            if required:
                target += "?" + required
            if method not in there:
                status, head, _ = contract.server.call(method, target)
                if status != 405 or not set(there) <= set(head["Allow"].split(", ")):
                    contract.fail(f"{method} {target}: {status}, not 405 with Allow")
            elif op["operationId"] in ("event_stream", "shutdown"):
                continue
            elif method in ("GET", "DELETE"):
                status, head, data = contract.call(method, target, op)
                if method == "GET" and contract.server.call("HEAD", target)[0] != status:
                    contract.fail(f"HEAD {target}: not as GET")
            else:
                contract.call(method, target, op, {"nonsense": 1} if "requestBody" in op else None)
                contract.call(method, target, op, None, {"Accept": "text/plain"})


def examples(contract, corpus):
    """The examples of request bodies are valid: nothing is said against them but that a guest is missing."""
    for path, method, op, params in corpus.operations():
        content = op.get("requestBody", {}).get("content", {}).get("application/json")
        if not content:
            continue
        schema = contract.server.validator(contract.server.resolve(content["schema"]))
        given = content.get("examples", {})
        if not given:
            contract.fail(f"{op['operationId']}: no example of a body")
        for name, example in given.items():
            for e in schema.iter_errors(example["value"]):
                contract.fail(f"{op['operationId']}: example {name}: {e.message}")


def tokens(contract, corpus):
    ops = {op["operationId"]: op for _, _, op, _ in corpus.operations()}
    status, _, data = contract.call("POST", "/tokens", ops["token_create"], {"name": "a", "scope": "read", "ttl_s": 60})
    if status != 201 or "token" not in json.loads(data):
        contract.fail(f"POST /tokens: {status}")
    contract.call("GET", "/tokens", ops["token_list"])
    if contract.call("POST", "/tokens", ops["token_create"], {"name": "a", "scope": "read"})[0] != 409:
        contract.fail("a second token of the same name")
    if contract.call("DELETE", "/tokens/a", ops["token_delete"])[0] != 204:
        contract.fail("DELETE /tokens/a")


def reading(contract):
    """What people read: the page of the document, the catalogue of problems, and a page for each code in it."""
    server = contract.server
    status, head, page = server.call("GET", "/docs", None, {"Accept": "text/html"})
    text = page.decode()
    if status != 200 or not head["Content-Security-Policy"].startswith("default-src 'none'"):
        contract.fail(f"/docs: {status} {head}")
    if re.search(r"<script|src=|@import|url\(|<link", text):
        contract.fail("/docs needs something from elsewhere")
    links, anchors = set(re.findall(r'href="#([^"]+)"', text)), set(re.findall(r'id="([^"]+)"', text))
    if links - anchors:
        contract.fail(f"/docs: links that lead nowhere: {sorted(links - anchors)[:5]}")
    for path, item in server.document["paths"].items():
        for op in (item[m] for m in ("get", "put", "post", "delete", "patch") if m in item):
            if op["operationId"] not in anchors or path not in text:
                contract.fail(f"/docs: {op['operationId']} is missing")
    if gzip.decompress(server.call("GET", "/docs", None, {"Accept-Encoding": "gzip"})[2]) != page:
        contract.fail("/docs: compressed it is another page")
    if server.call("GET", "/docs", None, {"If-None-Match": head["ETag"]})[0] != 304:
        contract.fail("/docs: not 304 with its ETag")
    kinds = server.json("GET", "/problems")[2]["items"]
    for kind in kinds:
        status, _, body = server.call("GET", f"/problems/{kind['code']}")
        if status != 200 or kind["meaning"].split()[0] not in body.decode():
            contract.fail(f"/problems/{kind['code']}: {status}")
    if len(kinds) < 20:
        contract.fail(f"/problems: {len(kinds)} only")


# What a request says wrong, where the reply has to say that it is, and with which status.
PLACES = [
    ("POST", "/kernels", {"import": "nope"}, 422, "/import"),
    ("POST", "/kernels", {"url": "https://x/y", "name": "x"}, 422, "/sha256"),
    ("POST", "/kernels", {"import": "debian-cloud", "url": "https://x/y", "sha256": "0" * 64, "name": "x"}, 422, "/url"),
    ("POST", "/images", {}, 422, ""),
    ("POST", "/images", {"build": 1}, 422, "/build"),
    ("POST", "/images", {"build": "mini", "pull": "a"}, 422, "/pull"),
    ("POST", "/images", {"from_vm": "nope", "name": "x"}, 404, "/from_vm"),
    ("POST", "/images", {"import": "/x"}, 422, "/name"),
    ("POST", "/vms", {"image": "nope"}, 404, "/image"),
    ("POST", "/vms", {"restore_memory": True}, 422, "/from_snapshot"),
    ("POST", "/vms", {"if_exists": "return"}, 422, "/name"),
    ("POST", "/runs", {}, 422, ""),
    ("POST", "/runs", {"argv": ["a"], "script": "a"}, 422, "/script"),
    ("POST", "/runs", {"argv": ["a"], "image": "nope"}, 404, "/image"),
    ("POST", "/runs", {"argv": ["a"], "from_snapshot": "06a1b2c3d4e5f6g7"}, 404, "/from_snapshot"),
    ("POST", "/runs", {"argv": ["a"], "files": [{"path": "/a", "base64": "!"}]}, 422, "/files/0/base64"),
    ("POST", "/runs", {"argv": ["a"], "files": [{"path": "/a", "base64": "", "content": ""}]}, 422, "/files/0/base64"),
    ("POST", "/runs", {"argv": ["a"], "workspace": {"path": "/a", "base64": "!!!!"}}, 422, "/workspace/base64"),
    ("POST", "/tokens", {"name": "twice", "scope": "read"}, 409, "/name"),
    ("POST", "/tokens", {"name": "x", "scope": "read", "ttl_s": 60.5}, 422, "/ttl_s"),
    ("GET", "/vms?name=%01", None, 400, "name"),
    ("POST", "/tickets", {"path": "/nope"}, 422, "/path"),
    ("POST", "/tickets", {"path": "/tokens"}, 422, "/path"),
    ("GET", "/vms/nope", None, 404, "vm"),
    ("DELETE", "/snapshots/06a1b2c3d4e5f6g7", None, 404, "snapshot"),
    ("GET", "/vms/nope/execs/06a1b2c3d4e5f6g7", None, 404, "vm"),
]


def places(contract):
    """Every refusal says what it is about, and what to do."""
    server = contract.server
    server.json("POST", "/tokens", {"name": "twice", "scope": "read"})
    for method, path, body, wanted, place in PLACES:
        status, _, value = server.json(method, path, body)
        errors = value.get("errors", [])
        found = [e.get("pointer", e.get("parameter")) for e in errors]
        if status != wanted or found != [place]:
            contract.fail(f"{method} {path} {body}: {status} {value}, not {wanted} at {place!r}")
    value = server.json("GET", "/vms/nope")[2]
    if "GET /vms " not in value["errors"][0].get("remedy", ""):
        contract.fail(f"GET /vms/nope: {value}")
    head = {"Idempotency-Key": "one"}
    server.json("DELETE", "/tokens/twice")
    # To JSON Schema 60.0 is a whole number.
    status, _, value = server.json("POST", "/tokens", {"name": "whole", "scope": "read", "ttl_s": 60.0})
    if status != 201 or "expires" not in value:
        contract.fail(f"a whole number with a fraction: {status} {value}")
    server.json("DELETE", "/tokens/whole")
    server.json("POST", "/tokens", {"name": "twice", "scope": "read"}, head)
    status, _, value = server.json("POST", "/tokens", {"name": "other", "scope": "read"}, head)
    if (status, value["code"]) != (409, "idempotency_conflict"):
        contract.fail(f"a key that was used for something else: {status} {value}")
    server.json("DELETE", "/tokens/twice")


def remedies(contract):
    """Who is refused for a pattern is told in words what to write."""
    def walk(node, where):
        if isinstance(node, dict):
            if isinstance(node.get("pattern"), str) and "x-banger-remedy" not in node:
                contract.fail(f"{where}: a pattern without x-banger-remedy")
            for key, value in node.items():
                walk(value, f"{where}/{key}")
        elif isinstance(node, list):
            for i, value in enumerate(node):
                walk(value, f"{where}/{i}")
    walk(contract.server.document, "")


def fields(contract):
    """`fields` leaves the named ones, refuses what there is not, and has its own ETag."""
    server = contract.server
    server.json("POST", "/tokens", {"name": "picked", "scope": "read"})
    status, head, value = server.json("GET", "/tokens?fields=name,scope")
    if status != 200 or value["items"] != [{"name": "picked", "scope": "read"}]:
        contract.fail(f"/tokens?fields=name,scope: {status} {value}")
    if server.call("GET", "/tokens", None, {"If-None-Match": head["ETag"]})[0] != 200:
        contract.fail("/tokens: the ETag of some fields is that of all")
    status, _, value = server.json("GET", "/vms?fields=id,colour")
    if status != 422 or value["errors"][0]["parameter"] != "fields" or "Known fields" not in value["errors"][0]["remedy"]:
        contract.fail(f"/vms?fields=id,colour: {status} {value}")
    server.call("DELETE", "/tokens/picked")


def read_metrics(contract, text):
    """As Prometheus' own library reads it. It is Debian's, for Debian's Python: another one may not have it."""
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        sys.path.append("/usr/lib/python3/dist-packages")
        from prometheus_client.parser import text_string_to_metric_families
    families = {f.name: f for f in text_string_to_metric_families(text)}
    for name, kind in (("banger_vms", "gauge"), ("banger_events", "counter"), ("banger_http_replies", "counter"),
                       ("banger_runs", "gauge"), ("process_cpu_seconds", "counter")):
        if name not in families or families[name].type != kind or not families[name].documentation or not families[name].samples:
            contract.fail(f"/metrics: {name}: {families.get(name)}")


SAMPLE = re.compile(r'^([a-z_:][a-z0-9_:]*)(\{[a-z_]+="[^"\\\n]*"(?:,[a-z_]+="[^"\\\n]*")*\})? (-?[0-9.e+]+)$')


def metrics(contract):
    """The text exposition format: a type before the first sample, each series once, all of one metric together."""
    text = contract.server.call("GET", "/metrics")[2].decode()
    read_metrics(contract, text)
    types, series, current = {}, set(), None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
        elif line.startswith("# TYPE "):
            types[line.split()[2]] = line.split()[3]
        else:
            sample = SAMPLE.match(line)
            name = sample and re.sub("_(bucket|sum|count)$", "", sample[1]) if types.get(current) == "histogram" \
                else sample and sample[1]
            if not sample or name != current or types.get(current) not in ("gauge", "counter", "histogram"):
                contract.fail(f"/metrics: {line}")
            elif sample[1] + (sample[2] or "") in series:
                contract.fail(f"/metrics: twice: {line}")
            else:
                series.add(sample[1] + (sample[2] or ""))
    if not text.endswith("\n") or 'banger_vms{state="running"}' not in series:
        contract.fail("/metrics: not complete")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    server = Server(sys.argv[1])
    contract = Contract(server)
    try:
        corpus = Corpus(server)
        walk(contract, corpus)
        examples(contract, corpus)
        tokens(contract, corpus)
        reading(contract)
        places(contract)
        remedies(contract)
        fields(contract)
        metrics(contract)
    finally:
        if server.stop() != 0:
            contract.fail("the server did not end well")
    print(f"{contract.checked} replies checked")
    for f in contract.failures:
        print(f"FAILED {f}")
    sys.exit(1 if contract.failures else 0)


main()
