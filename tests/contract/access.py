#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: access.py <banger-server>

How the TCP port is kept: TLS with the owner's certificate, needed beyond loopback; what it says to foreign pages; replies
that hold secrets, repeated; streams that end with a typed frame; lists that are watched.
"""
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

from server import Server, UnixConnection

PROGRAM = None


def certificate(folder):
    """A key and a certificate of its own, for localhost."""
    cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    os.chmod(key, 0o600)
    return cert, key


def refusal(*args, config=None):
    """What a server says that does not start."""
    with tempfile.TemporaryDirectory(prefix="banger-contract-") as home:
        if config:
            os.mkdir(f"{home}/config", 0o700)
            with open(f"{home}/config/banger.conf", "w", encoding="utf-8") as f:
                f.write(config)
        done = subprocess.run([PROGRAM, "--home", home, *args], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1, done
        return done.stderr


class Tls(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="banger-tls-")
        self.addCleanup(self.folder.cleanup)
        self.cert, self.key = certificate(self.folder.name)
        self.config = f"[server]\ntls_cert = {self.cert}\ntls_key = {self.key}\n"

    def test_beyond_loopback_only_with_tls(self):
        said = refusal("--listen", "0.0.0.0:0")
        self.assertIn("tls_cert", said)
        self.assertIn("go together", refusal("--listen", "0.0.0.0:0", config=f"[server]\ntls_cert = {self.cert}\n"))
        os.chmod(self.key, 0o644)
        self.assertIn("chmod", refusal("--listen", "0.0.0.0:0", config=self.config))
        os.chmod(self.key, 0o600)
        swapped = f"[server]\ntls_cert = {self.key}\ntls_key = {self.key}\n"
        self.assertIn("not a certificate", refusal("--listen", "0.0.0.0:0", config=swapped))

    def test_https(self):
        server = Server(PROGRAM, host="0.0.0.0", config=self.config)
        self.addCleanup(lambda: self.assertEqual(0, server.stop()))
        token = server.json("POST", "/tokens", {"name": "a", "scope": "admin"})[2]["token"]
        context = ssl.create_default_context(cafile=self.cert)
        connection = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=30)
        bearer = {"Authorization": f"Bearer {token}"}
        for _ in range(3):
            connection.request("GET", "/vms", headers=bearer)
            reply = connection.getresponse()
            self.assertEqual((200, {"items": []}), (reply.status, json.loads(reply.read())))
        connection.request("GET", "/vms")
        reply = connection.getresponse()
        self.assertEqual(401, reply.status)
        reply.read()
        link = server.json("POST", "/logins")[2]["url"]
        self.assertTrue(link.startswith("https://"), link)
        connection.request("GET", "/login" + link.split("/login")[1])
        reply = connection.getresponse()
        self.assertEqual(303, reply.status)
        self.assertRegex(reply.headers["Set-Cookie"], "HttpOnly; SameSite=Strict; .*Secure")
        reply.read()
        # A large page and a stream, each in many records.
        connection.request("GET", "/docs")
        self.assertGreater(len(connection.getresponse().read()), 100000)
        connection.request("GET", "/events", headers={**bearer, "Accept": "application/x-ndjson"})
        stream = connection.getresponse()
        server.json("POST", "/tokens", {"name": "b", "scope": "read"})
        while True:
            line = stream.readline()
            if line.strip():
                break
        self.assertEqual("token.created", json.loads(line)["kind"])
        connection.close()
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
        with self.assertRaises((ssl.SSLError, OSError)), socket.create_connection(("127.0.0.1", server.port)) as s:
            old.wrap_socket(s)
        # Plain HTTP on that port is cut off and harms nobody.
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.settimeout(10)
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertNotIn(b"HTTP/1.1 200", s.recv(1000))
        self.assertEqual(200, server.call("GET", "/healthz")[0])


class Plain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(PROGRAM)
        cls.token = cls.server.json("POST", "/tokens", {"name": "a", "scope": "admin"})[2]["token"]

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0

    def tcp(self, method, path, headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        connection.request(method, path, body, {"Authorization": f"Bearer {self.token}", **(headers or {})})
        reply = connection.getresponse()
        data = reply.read()
        connection.close()
        return reply.status, reply.headers, data

    def test_no_other_origin_is_allowed(self):
        for method, path in (("GET", "/vms"), ("OPTIONS", "/vms"), ("GET", "/docs"), ("GET", "/openapi.json")):
            status, headers, _ = self.tcp(method, path, {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
            self.assertEqual(403, status)
            self.assertEqual([], [h for h in headers if h.lower().startswith("access-control")])
            own = self.tcp(method, path, {"Origin": f"http://127.0.0.1:{self.server.port}"})
            self.assertEqual([], [h for h in own[1] if h.lower().startswith("access-control")])
        self.assertEqual(403, self.tcp("GET", "/vms", {"Host": f"evil.example:{self.server.port}"})[0])

    def test_a_ticket_is_good_once(self):
        ticket = self.server.json("POST", "/tickets", {"path": "/vms"})[2]["ticket"]
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        for path, status in ((f"/vms?ticket={ticket}", 200), (f"/vms?ticket={ticket}", 401)):
            connection.request("GET", path)
            reply = connection.getresponse()
            reply.read()
            self.assertEqual(status, reply.status)
        connection.close()

    def test_secrets_are_repeated_from_memory_only(self):
        key = {"Idempotency-Key": "make-c"}
        first = self.server.json("POST", "/tokens", {"name": "c", "scope": "read"}, key)
        again = self.server.json("POST", "/tokens", {"name": "c", "scope": "read"}, key)
        self.assertEqual(201, first[0])
        self.assertIsNone(first[1]["Idempotent-Replayed"])
        self.assertEqual((201, "true", first[2]), (again[0], again[1]["Idempotent-Replayed"], again[2]))
        self.assertEqual(409, self.server.json("POST", "/tokens", {"name": "d", "scope": "read"}, key)[0])
        self.assertEqual(409, self.server.json("POST", "/tokens", {"name": "c", "scope": "read"})[0])
        for name in ("state.db", "state.db-wal"):
            with open(f"{self.server.home}/state/{name}", "rb") as f:
                self.assertNotIn(first[2]["token"].encode(), f.read(), name)

    def test_every_post_knows_the_key(self):
        for path, item in self.server.document["paths"].items():
            content = item.get("post", {}).get("requestBody", {}).get("content", {"application/json": {}})
            # Streams of bytes are used up while they come: what was sent is not known twice.
            if "post" not in item or "application/json" not in content:
                continue
            names = [self.server.resolve(p)["name"] for p in item["post"].get("parameters", [])]
            self.assertIn("Idempotency-Key", names, path)

    def test_problems_as_people_like_them(self):
        status, headers, body = self.server.call("POST", "/vms", '{"vcpus":0,"colour":1}', {"Accept": "text/plain"})
        text = body.decode()
        self.assertEqual((422, "text/plain; charset=utf-8"), (status, headers["Content-Type"]))
        self.assertIn("/vcpus: must be at least 1", text)
        self.assertIn("/colour", text)
        problem = self.server.json("POST", "/vms", {"vcpus": 0})[2]
        self.assertTrue(problem["remedy"])
        self.assertEqual(200, self.server.call("GET", problem["type"])[0])

    def test_bounds_are_those_that_work(self):
        # ext4 with blocks of 4 KiB has at most 2^32 - 1 of them: 16 TiB are one too many. With less memory Linux panics.
        bounds = [("disk_mib", 16777215, 16777216), ("memory_mib", 96, 95)]
        for field, good, bad in bounds:
            for path in ("/vms", "/templates"):
                self.assertEqual(422, self.server.json("POST", path, {"image": "absent", field: bad})[0], (path, bad))
                self.assertEqual(404, self.server.json("POST", path, {"image": "absent", field: good})[0], (path, good))

    def test_since_and_cursor(self):
        for path in ("/vms", "/runs", "/operations"):
            self.assertEqual(200, self.server.call("GET", f"{path}?since=2026-01-01T00:00:00Z")[0], path)
            self.assertEqual(422, self.server.call("GET", f"{path}?since=yesterday")[0], path)
            self.assertEqual(422, self.server.call("GET", f"{path}?cursor=nonsense")[0], path)


def lines_until_end(reply, lines):
    for line in reply:
        if line.strip():
            lines.append(line)


class Streams(unittest.TestCase):
    def test_each_ends_with_a_typed_frame(self):
        server = Server(PROGRAM)
        streams = []
        for path, kind in (("/events", "application/x-ndjson"), ("/events", "text/event-stream"),
                           ("/vms?watch=true", "application/x-ndjson"), ("/runs?watch=1", "text/event-stream"),
                           ("/operations?watch=true", "*/*")):
            connection = UnixConnection(server.socket_path)
            connection.request("GET", path, headers={"Accept": kind})
            reply = connection.getresponse()
            self.assertEqual(200, reply.status, path)
            lines = []
            reader = threading.Thread(target=lines_until_end, args=(reply, lines))
            reader.start()
            streams.append((path, kind, reader, lines, connection))
        server.process.send_signal(signal.SIGTERM)
        for path, kind, reader, lines, connection in streams:
            reader.join(30)
            self.assertFalse(reader.is_alive(), path)
            last = lines[-1].removeprefix(b"data: ")
            self.assertEqual("end", json.loads(last)["type"], (path, kind, lines))
            if "watch" in path:
                self.assertTrue(any(b"synced" in line for line in lines), (path, lines))
            connection.close()
        self.assertEqual(0, server.stop())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
