# SPDX-License-Identifier: Apache-2.0
"""The server ends, as on an update: every stream says so in a last frame, and whoever waits for a reply gets one."""
import json
import socket
import threading
import unittest

from harness import LifeTest, UnixConnection, wait_until
from runs import job
from websocket import WebSocket

NDJSON = {"Accept": "application/x-ndjson"}


class Follower:
    """A request whose reply is read in the background, until it ends."""

    def __init__(self, server, method, target, body=None, headers=None):
        self.connection = UnixConnection(server.socket, 120)
        self.connection.request(method, target, json.dumps(body) if body else None, headers or {})
        self.status, self.data = None, b""
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        reply = self.connection.getresponse()
        self.status = reply.status
        for line in reply:
            self.data += line

    def last(self):
        self.thread.join(60)
        self.connection.close()
        return json.loads(self.data.splitlines()[-1])


class Endings(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()
        self.server.create("a")

    def raw_exec(self, argv):
        client, body = socket.socket(socket.AF_UNIX), json.dumps({"argv": argv}).encode()
        client.settimeout(60)
        client.connect(self.server.socket)
        client.sendall(b"POST /vms/a/exec HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return client, b""

    def test_each_stream_ends_with_a_typed_frame(self):
        record = self.server.must(201, "POST", "/vms/a/execs", {"argv": ["sh", "-c", "echo begun; exec sleep 1000"]})
        run = self.server.must(202, "POST", "/runs", job(script="echo begun; sleep 1000"))
        streams = {
            "exec": Follower(self.server, "POST", "/vms/a/exec", {"argv": ["sh", "-c", "echo begun; exec sleep 1001"]}, NDJSON),
            "output": Follower(self.server, "GET", f"/vms/a/execs/{record['id']}/output?follow=true", None, NDJSON),
            "run": Follower(self.server, "GET", f"/runs/{run['id']}/output", None, NDJSON),
            "events": Follower(self.server, "GET", "/events?kind=vm.", None, NDJSON),
            "sse": Follower(self.server, "GET", "/events?kind=vm.", None, {"Accept": "text/event-stream"}),
        }
        client, raw = self.raw_exec(["sh", "-c", "echo begun; exec sleep 1002"])
        terminal = WebSocket(self.server.socket, "/vms/a/terminal")
        terminal.send("echo here-$((40 + 2))\n")
        terminal.until("here-42")
        console = WebSocket(self.server.socket, "/vms/a/console")
        for name in ("exec", "output", "run"):
            wait_until(lambda name=name: b'"begun' in streams[name].data, f"{name} has begun", 60)
        while b"begun\n\r\n" not in raw:
            raw += client.recv(4096)
        session = terminal.messages[0]["id"]
        self.server.stop()
        while more := client.recv(4096):
            raw += more
        client.close()
        for name in ("exec", "output", "run"):
            last = streams[name].last()
            self.assertEqual(("error", "unavailable"), (last["type"], last["problem"]["code"]), name)
        self.assertEqual("end", streams["events"].last()["type"])
        streams["sse"].thread.join(60)
        self.assertIn(b'data: {"type":"end"', streams["sse"].data.replace(b'": "', b'":"'))
        # Bare bytes can't say it: the last chunk is missing, so that nobody takes what is there for the whole.
        self.assertTrue(raw.endswith(b"begun\n\r\n"), raw)
        self.assertEqual(1001, terminal.until_closed())
        self.assertEqual("end", terminal.messages[-1]["type"])
        self.assertEqual(1001, console.until_closed())
        # What outlives its clients goes on, and the plain command does not.
        self.server.start()
        self.assertEqual("running", self.server.must(200, "GET", f"/vms/a/execs/{record['id']}")["state"])
        again = WebSocket(self.server.socket, f"/vms/a/terminal?session={session}")
        again.send("echo again-$((40 + 2))\n")
        again.until("again-42")
        again.drop()
        wait_until(lambda: "sleep 1001" not in self.server.run("a", "ps"), "the command has ended", 60)
        self.server.delete("a")

    def test_whoever_waits_gets_a_reply(self):
        waiting = [Follower(self.server, "GET", "/vms/a/wait?state=stopped&timeout_s=300"),
                   Follower(self.server, "POST", "/vms/a/exec", {"argv": ["sleep", "1003"]}),
                   Follower(self.server, "POST", "/runs", job(argv=["sleep", "1004"]), {"Prefer": "wait=300"})]
        wait_until(lambda: "1003" in self.server.run("a", "ps"), "the command runs", 60)
        wait_until(lambda: [r for r in self.server.must(200, "GET", "/runs")["items"] if r["phase"] == "running"], "the run runs", 60)
        self.server.stop()
        for one in waiting:
            last = one.last()
            self.assertEqual((503, "unavailable"), (one.status, last["code"]))
            self.assertTrue(last["remedy"])
        self.server.start()
        self.server.delete("a")

    def test_runs_that_wait_for_their_turn(self):
        first = [self.server.must(202, "POST", "/runs", job(argv=["sleep", "1000"], workspace={"path": "/ws"})) for _ in range(8)]
        queued = [r for r in first if self.server.must(200, "GET", f"/runs/{r['id']}")["state"] == "queued"]
        self.assertTrue(queued, "all of them run")
        self.server.stop()
        self.server.start()
        for run in first:
            view = self.server.must(200, "GET", f"/runs/{run['id']}")
            self.assertEqual(("failed", "unavailable", "ended"), (view["state"], view["error"]["code"], view["phase"]))
            waited = "waited for its turn" in view["error"]["detail"]
            self.assertEqual(run["id"] in [q["id"] for q in queued], waited, view["error"])
            log = self.server.raw("GET", f"/runs/{run['id']}/output", headers=NDJSON).body
            last = json.loads(log.splitlines()[-1])
            self.assertEqual(("error", view["error"]["detail"]), (last["type"], last["problem"]["detail"]))
        self.server.delete("a")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
