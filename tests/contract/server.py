# SPDX-License-Identifier: Apache-2.0
"""A banger-server of the test's own, in a home that goes with it, and the document it serves."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import jsonschema


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, program, host="127.0.0.1", config=None):
        self.home = tempfile.mkdtemp(prefix="banger-contract-")
        self.port = free_port()
        if config:
            os.mkdir(os.path.join(self.home, "config"), 0o700)
            with open(os.path.join(self.home, "config", "banger.conf"), "w", encoding="utf-8") as f:
                f.write(config)
        self.log = open(os.path.join(self.home, "log"), "wb")
        self.process = subprocess.Popen(
            [program, "--home", self.home, "--listen", f"{host}:{self.port}"],
            stderr=self.log, stdout=self.log, env={**os.environ, "BANGER_HOME": self.home})
        self.socket_path = os.path.join(self.home, "run", "server.sock")
        for _ in range(600):
            if os.path.exists(self.socket_path) and self.alive():
                break
            time.sleep(0.05)
        self.document = json.loads(self.call("GET", "/openapi.json")[2])

    def alive(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the server has ended:\n{self.log_text()}")
        try:
            return self.call("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def call(self, method, path, body=None, headers=None):
        connection = UnixConnection(self.socket_path)
        try:
            # A server that refuses a request need not read its body.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body=body, headers=headers or {})
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()
        finally:
            connection.close()

    def json(self, method, path, value=None, headers=None):
        body = None if value is None else json.dumps(value)
        status, head, data = self.call(method, path, body, headers)
        return status, head, json.loads(data) if data else None

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def log_text(self):
        with open(os.path.join(self.home, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()[-4000:]

    def stop(self):
        """Ends it and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.log.close()
        if status != 0:
            print(self.log_text())
        shutil.rmtree(self.home)
        return status

    def validator(self, schema):
        """For a schema of the document, whose references are followed."""
        resolver = jsonschema.RefResolver("", self.document)
        return jsonschema.Draft202012Validator(schema, resolver=resolver)

    def resolve(self, node):
        while "$ref" in node:
            at = self.document
            for step in node["$ref"][2:].split("/"):
                at = at[step]
            node = at
        return node
