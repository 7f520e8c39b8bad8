#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: hostile.py <banger-server>

Sends what a client should not: requests made from the OpenAPI document by mutation, and bytes that are no HTTP.
Each has to be refused in words or closed; never a 500, a hang or a crash. Afterwards the server answers as before,
with the same memory.
"""
import json
import os
import socket
import sys
import time

from server import Server

# Creating these would work for minutes: their bodies are made wrong on purpose.
COSTLY = {"image_create", "kernel_create"}
# A guest or the host may be missing here, which is not our fault; 505 is what a strange HTTP version gets.
ALLOWED_5XX = {501, 503, 505, 507}
# Not whole requests: the server waits for the rest, and its deadline ends that.
UNFINISHED = {"nothing", "blank", "zero", "tls", "http/0.9", "bare cr", "half a head", "half a body", "endless chunks"}

STRINGS = [
    "", " ", "a" * 64, "a" * 5000, "-", "-a", "a-", "A", "ä", "\u202e\u0661", "😀", "e\u0301", "../../etc/passwd", "/", "//",
    "..", ".", "%00", "%2e%2e", "a\nb", "a\r\nX-Evil: 1", "\t", "'; DROP TABLE vms; --", "$(reboot)", "`id`", "%s%n%p",
    "${jndi:ldap://x}", "\ufeff", "\uffff", "null", "true", "NaN", "0", "-1", "1e9", "9" * 400,
]
VALUES = STRINGS + [
    None, True, False, 0, -1, 1, 65, 2**31, 2**32, 2**53, 2**63 - 1, -(2**63), 1.5, -0.0, 1e308, [], {}, [None], [[]],
    {"a": {}}, [0] * 5000, {str(i): i for i in range(3000)},
]
RAW_VALUES = [
    b"NaN", b"Infinity", b"-", b"01", b"1.", b".5", b"0x10", b"1e999", b"9223372036854775808", b"99999999999999999999999",
    b"'x'", b'"\\u0000"', b'"\\ud800"', b'"\\x41"', b'"\xff\xfe"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"unfinished', b"tru", b"",
    b"/* c */ 1", b"undefined", b"[" * 200 + b"]" * 200, b'{"a":' * 200 + b"1" + b"}" * 200, b'{"a":1,"a":2}',
]
BODIES = [
    b"", b"null", b"[]", b"0", b'"x"', b"{", b"}", b"{}{}", b"{} x", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"\x00",
    b"{" * 100000, b"[" * 500000, b'{"__proto__":{}}', b'{"constructor":1}', b'{"":1}', b'{"\\u0000":1}', b"a=b&c=d",
    b'{"name":"x",}', b"<xml/>", b" " * 100000 + b"{}", b"\xff" * 1000, json.dumps({"x" * 100000: 1}).encode(),
]
HEADERS = [
    "Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie",
    "Expect", "Host", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Origin", "Prefer", "Range",
    "Sec-WebSocket-Key", "TE", "Transfer-Encoding", "Upgrade", "X-Forwarded-For",
]
HEADER_VALUES = [
    b"", b" ", b"x", b",", b";", b";;;;", b"*", b"*/*;q=9", b"q=", b"-1", b"0x10", b"99999999999999999999", b"\xff\xfe", b'"', b'"' * 500,
    b"a" * 3000, b"a," * 3000, b"../..", b"wait=99999999999", b"Bearer", b"Bearer " + b"x" * 2000, b"chunked, chunked", b"gzip",
    b"100-continue", b"websocket", b"W/", b"bytes=0-,0-,0-",
]


def request(method, target, body=None, headers=()):
    if isinstance(target, str):
        target = target.encode()
    head = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: localhost"]
    head += [name + b": " + value for name, value in headers]
    if body is not None:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(head) + b"\r\n\r\n" + (body or b"")


def quote(text):
    return "".join(chr(b) if chr(b).isalnum() else f"%{b:02X}" for b in text.encode("utf-8", "surrogatepass"))


class Corpus:
    def __init__(self, server):
        self.server = server
        self.items = []

    def add(self, name, data):
        self.items.append((name, data))

    def example_path(self, path, params, replace=None):
        for p in params:
            if p["in"] != "path":
                continue
            schema = self.server.resolve(p["schema"])
            value = p.get("example") or schema.get("examples", ["x"])[0]
            if replace and replace[0] == p["name"]:
                path = path.replace("{" + p["name"] + "}", replace[1])
            else:
                path = path.replace("{" + p["name"] + "}", quote(str(value)))
        return path

    def operations(self):
        for path, item in self.server.document["paths"].items():
            for method in ("get", "put", "post", "delete", "patch"):
                if method in item:
                    op = item[method]
                    params = [self.server.resolve(p) for p in item.get("parameters", []) + op.get("parameters", [])]
                    yield path, method.upper(), op, params

    def bodies(self, target, method, op, content):
        name = op["operationId"]
        spoil = {"hostile": 1} if name in COSTLY else {}
        examples = content.get("examples", {})
        base = next(iter(examples.values()))["value"] if examples else {}
        schema = self.server.resolve(content["schema"])
        for field in schema.get("properties", {}):
            without = {k: v for k, v in base.items() if k != field}
            self.add(f"{name}: no {field}", request(method, target, json.dumps({**without, **spoil}).encode()))
            for value in VALUES:
                body = json.dumps({**without, field: value, **spoil}).encode()
                self.add(f"{name}: {field}={str(value)[:20]!r}", request(method, target, body))
            for raw in RAW_VALUES:
                rest = json.dumps({**without, **spoil})[1:].encode()
                body = b'{"' + field.encode() + b'":' + raw + (b"," if rest != b"}" else b"") + rest
                self.add(f"{name}: {field} raw {raw[:20]!r}", request(method, target, body))
        for body in BODIES:
            self.add(f"{name}: body {body[:20]!r}", request(method, target, body))
        good = json.dumps({**base, "hostile": 1}).encode()
        for kind in (b"text/html", b"application/xml", b"application/json; charset=utf-16", b"multipart/form-data", b"/", b"\xff"):
            self.add(f"{name}: {kind!r}", request(method, target, good, [(b"Content-Type", kind)]))
        self.add(f"{name}: too large", request(method, target, b" " * 1100000 + b"{}"))

    def parameters(self, path, method, op, params):
        name = op["operationId"]
        for p in params:
            for value in STRINGS:
                if p["in"] == "path":
                    self.add(f"{name}: {p['name']}={value[:20]!r}",
                             request(method, self.example_path(path, params, (p["name"], quote(value)))))
                elif p["in"] == "query":
                    target = self.example_path(path, params)
                    self.add(f"{name}: {p['name']}={value[:20]!r}",
                             request(method, f"{target}?{p['name']}={quote(value)}"))
        target = self.example_path(path, params)
        for query in ("?nope=1", "?a&b&c", "?" + "&".join("a" * 90), "?%ff=1", "?limit=1&limit=2", "?=", "?&&&", "?" + "x" * 7000):
            self.add(f"{name}: query {query[:20]!r}", request(method, target + query))

    def make(self):
        for path, method, op, params in self.operations():
            target = self.example_path(path, params)
            if op["operationId"] != "vm_exec":
                self.parameters(path, method, op, params)
            content = op.get("requestBody", {}).get("content", {}).get("application/json")
            if content:
                self.bodies(target, method, op, content)
        for header in HEADERS:
            for value in HEADER_VALUES:
                self.add(f"header {header}: {value[:20]!r}", request("GET", "/vms", None, [(header.encode(), value)]))
        self.framing()
        return self.items

    def framing(self):
        get = request("GET", "/healthz")
        post = b"POST /tokens HTTP/1.1\r\nHost: localhost\r\n"
        chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
        for name, data in {
            "nothing": b"", "blank": b"\r\n\r\n", "zero": b"\x00" * 100, "noise": bytes(range(256)) * 40, "tls": b"\x16\x03\x01\x02\x00\x01",
            "http/0.9": b"GET /healthz\r\n", "http/9.9": get.replace(b"HTTP/1.1", b"HTTP/9.9"), "h2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "no version": b"GET /healthz \r\nHost: x\r\n\r\n", "two spaces": b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            "lower case": get.replace(b"GET", b"get"), "odd method": get.replace(b"GET", b"G\x01T"),
            "absolute": get.replace(b"/healthz", b"http://evil/healthz"), "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "connect": b"CONNECT evil:80 HTTP/1.1\r\nHost: evil:80\r\n\r\n", "bare lf": get.replace(b"\r\n", b"\n"),
            "bare cr": get.replace(b"\r\n", b"\r"), "fold": b"GET /vms HTTP/1.1\r\nHost: x\r\nAccept: a\r\n b\r\n\r\n",
            "no colon": b"GET /vms HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", "space before colon": b"GET /vms HTTP/1.1\r\nHost : x\r\n\r\n",
            "nul in header": b"GET /vms HTTP/1.1\r\nHost: x\r\nAccept: a\x00b\r\n\r\n", "long header": b"GET /vms HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100000 + b"\r\n\r\n",
            "many headers": b"GET /vms HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10000 + b"\r\n", "long target": b"GET /" + b"a" * 60000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            "raw utf-8": "GET /vms/ä HTTP/1.1\r\nHost: x\r\n\r\n".encode(), "space in target": b"GET /vms/a b HTTP/1.1\r\nHost: x\r\n\r\n",
            "two lengths": post + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "list of lengths": post + b"Content-Length: 2, 2\r\n\r\n{}",
            "negative length": post + b"Content-Length: -1\r\n\r\n", "plus length": post + b"Content-Length: +2\r\n\r\n{}",
            "huge length": post + b"Content-Length: 99999999999999999999\r\n\r\n", "length and chunked": post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "te in te": post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "te tab": post + b"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
            "te xchunked": post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "chunk no size": chunked + b"\r\n{}\r\n0\r\n\r\n",
            "chunk bad size": chunked + b"zz\r\n{}\r\n0\r\n\r\n", "chunk negative": chunked + b"-2\r\n{}\r\n0\r\n\r\n",
            "chunk huge": chunked + b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n", "chunk extension": chunked + b"2;" + b"a" * 20000 + b"\r\n{}\r\n0\r\n\r\n",
            "chunk too long": chunked + b"2\r\n{}xx\r\n0\r\n\r\n", "chunk trailers": chunked + b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
            "chunk lf": chunked + b"2\n{}\n0\n\n", "endless chunks": chunked + b"1\r\n \r\n" * 30000, "half a body": post + b"Content-Length: 50\r\n\r\n{",
            "half a head": b"GET /vms HTTP/1.1\r\nHost", "expect": post + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
            "body on get": request("GET", "/vms", b"{}"), "smuggled": request("GET", "/vms", b"GET /tokens HTTP/1.1\r\nHost: x\r\n\r\n"),
            "upgrade": request("GET", "/vms", None, [(b"Connection", b"Upgrade"), (b"Upgrade", b"h2c")]),
        }.items():
            self.add(f"framing: {name}", data)
        self.add("pipeline", get * 200)


def read_reply(sock):
    """Status and body of the first reply; (0, b"") when the server only closed. A stream counts with its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return 0, data
        data += more
        if data.startswith(b"HTTP/1.1 100"):
            data = data.split(b"\r\n\r\n", 1)[1]
    head, _, body = data.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")), None)
    while length is not None and len(body) < length:
        more = sock.recv(65536)
        if not more:
            break
        body += more
    return status, body[:length] if length is not None else b""


def send(server, data, tcp, timeout):
    sock = socket.create_connection(("127.0.0.1", server.port)) if tcp else socket.socket(socket.AF_UNIX)
    with sock:
        sock.settimeout(timeout)
        if not tcp:
            sock.connect(server.socket_path)
        try:
            sock.sendall(data)
        except OSError:
            pass  # closed in the middle is an answer, if a reply was sent first it is read below
        try:
            return read_reply(sock)
        except ConnectionError:
            return 0, b""


def check(server, problems, name, data, tcp):
    unfinished = name.removeprefix("framing: ") in UNFINISHED
    try:
        status, body = send(server, data, tcp, 0.2 if unfinished else 30)
    except socket.timeout:
        return None if unfinished else f"{name}: no reply in time"
    if status >= 500 and status not in ALLOWED_5XX:
        return f"{name}: {status} {body[:300]!r}"
    if status >= 400 and body.startswith(b"{"):
        errors = [e.message for e in problems.iter_errors(json.loads(body))]
        if errors or json.loads(body)["status"] != status:
            return f"{name}: not a problem document: {errors} {body[:300]!r}"
    return None


def idle_and_slow(server):
    """Many connections that send nothing, or a byte now and then, keep nobody else out."""
    idle = []
    try:
        for i in range(500):
            s = socket.socket(socket.AF_UNIX)
            s.connect(server.socket_path)
            s.sendall(b"" if i % 2 else b"GET /healthz HTT")
            idle.append(s)
        start = time.monotonic()
        ok = server.call("GET", "/healthz")[0] == 200
        return None if ok and time.monotonic() - start < 5 else "500 idle connections keep others out"
    finally:
        for s in idle:
            s.close()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    server = Server(sys.argv[1])
    failures = []
    try:
        corpus = Corpus(server).make()
        problems = server.validator(server.document["components"]["schemas"]["Problem"])
        before = json.loads(server.call("GET", "/vms")[2])
        # The first round grows the allocator's arenas to their working size.
        for rss_round in range(2):
            rss = server.rss_kib()
            for i, (name, data) in enumerate(corpus):
                failures.append(check(server, problems, name, data, tcp=rss_round == 1 and i % 7 == 0))
                if server.process.poll() is not None:
                    sys.exit(f"the server ended at {name}:\n{server.log_text()}")
            grown = server.rss_kib() - rss
        failures.append(idle_and_slow(server))
        failures = [f for f in failures if f]
        # A sanitizer keeps what was freed, to tell its later use.
        if grown > 2048 and not os.environ.get("BANGER_SANITIZED"):
            failures.append(f"memory grew by {grown} KiB in the second round")
        if json.loads(server.call("GET", "/vms")[2]) != before:
            failures.append("VMs are left behind")
        print(f"{len(corpus)} requests, twice; memory +{grown} KiB")
    finally:
        status = server.stop()
    if status != 0:
        failures.append(f"the server ended with {status}")
    for f in failures[:40]:
        print(f"FAILED {f}")
    sys.exit(1 if failures or len(corpus) < 500 else 0)


if __name__ == "__main__":
    main()
