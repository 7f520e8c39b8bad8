# SPDX-License-Identifier: Apache-2.0
"""Descriptors, memory or the clock fail under a running server."""
import contextlib
import json
import resource
import socket
import time
import unittest

from faults import GONE, SANITIZED, FaultTest
from harness import SHAPE, wait_until

DAY_NS = 86400 * 10**9


class Host(FaultTest):
    """Descriptors and memory."""

    def test_no_descriptor_for_what_is_asked(self):
        self.precious()
        with self.connected() as connection:
            # The connection that asks is there; nothing more can be opened.
            with self.limit(resource.RLIMIT_NOFILE, self.server.descriptors()):
                for method, target, body in (self.create(), ("POST", "/vms/a/snapshots", {})):
                    connection.request(method, target, json.dumps(body), {"Content-Type": "application/json",
                                                                          "Prefer": "wait=60"})
                    reply = connection.getresponse()
                    problem = json.loads(reply.read())
                    self.assertEqual(507, reply.status, problem)
                    self.assertIn("Too many open files", problem["detail"])
                self.assertEqual("running", self.over(connection, "/vms/a")["state"])
        self.assertEqual(["a"], self.server.names())
        self.all_well()

    @contextlib.contextmanager
    def connected(self):
        from harness import UnixConnection
        connection = UnixConnection(self.server.socket, 100)
        self.over(connection, "/healthz")
        try:
            yield connection
        finally:
            connection.close()

    def over(self, connection, target):
        connection.request("GET", target)
        reply = connection.getresponse()
        text = reply.read()
        self.assertEqual(200, reply.status, text)
        return json.loads(text)

    def test_more_clients_than_descriptors(self):
        self.precious()
        for spare, stay in ((0, False), (8, False), (8, True)):
            with self.subTest(spare=spare, stay=stay):
                clients = []
                with self.limit(resource.RLIMIT_NOFILE, self.server.descriptors() + spare):
                    for _ in range(40):
                        clients.append(socket.socket(socket.AF_UNIX))
                        clients[-1].connect(self.server.socket)
                    before = self.cpu_s()
                    time.sleep(2)
                    self.assertLess(self.cpu_s() - before, 0.7, "the server turns in circles")
                if not stay:
                    for client in clients:
                        client.close()
                begun = time.monotonic()
                wait_until(self.server.answers, "clients are let in again", 20)
                self.assertLess(time.monotonic() - begun, 15)
                for client in clients:
                    client.close()
        self.assertEqual(1, self.server.log().count("new clients have to wait"))
        self.all_well()

    def test_no_address_space(self):
        self.precious()
        with open(f"/proc/{self.server.process.pid}/statm", encoding="ascii") as f:
            pages = int(f.read().split()[0])
        with self.limit(resource.RLIMIT_AS, pages * resource.getpagesize() + (1 << 20)):
            for method, target, body in ([self.create()] * 3 + [("POST", "/vms/a/snapshots", {})]):
                with contextlib.suppress(*GONE):
                    self.server.raw(method, target, body, {"Prefer": "wait=60"}, timeout=100)
            self.assertTrue(self.server.alive(), self.server.log()[-2000:])
        for name in set(self.server.names()) - {"a"}:
            self.server.delete(name)
        self.all_well()

    @unittest.skipIf(SANITIZED, "a sanitizer brings its own malloc")
    def test_every_so_many_th_allocation_fails(self):
        self.precious()
        for nth in (997, 101):
            self.tell(malloc_nth=nth)
            for round_ in range(2):
                for method, target, body in (
                        ("GET", "/vms", None), ("GET", "/doctor", None), ("GET", "/metrics", None),
                        ("GET", "/vms/a/stats?since=0", None), ("GET", "/operations", None),
                        ("PATCH", "/vms/a", {"labels": {"round": str(round_)}}),
                        ("POST", "/vms", {"name": "b", "image": "mini", **SHAPE}),
                        ("POST", "/vms/a/exec", {"argv": ["true"], "timeout_s": 1}),
                        ("POST", "/vms/a/snapshots", {}), ("POST", "/vms/b/kill", None), ("DELETE", "/vms/b", None)):
                    with contextlib.suppress(*GONE):
                        self.server.raw(method, target, body, {"Prefer": "wait=5"}, timeout=6)
                    self.assertTrue(self.server.alive(), f"{method} {target}, each {nth}th:\n{self.server.log()[-2000:]}")
            self.assertGreater(self.struck(), 0)
            self.heal()
            wait_until(self.server.answers, "the server answers", 20)
            self.clean_up_all_but_a()
        self.all_well()

    def clean_up_all_but_a(self):
        wait_until(lambda: not [o for o in self.server.must(200, "GET", "/operations")["items"]
                                if o["state"] in ("queued", "running")], "all operations end", 60)
        for name in set(self.server.names()) - {"a"}:
            self.server.delete(name)
        for snapshot in self.server.must(200, "GET", "/snapshots")["items"]:
            self.server.must(204, "DELETE", f"/snapshots/{snapshot['id']}")
        if self.server.state("a") != "running":
            self.fail(f"a is {self.server.state('a')}: {self.server.log()[-3000:]}")


class Clock(FaultTest):
    def jump(self, days):
        self.tell(wall_ns=days * DAY_NS)

    def test_pages_of_vms_that_were_made_before_the_one_before(self):
        made = []
        for days in (0, -3, 2, -400):
            self.jump(days)
            made.append(self.server.create(f"v{len(made)}", start=False)["name"])
        seen, cursor = [], ""
        while cursor is not None:
            page = self.server.must(200, "GET", f"/vms?limit=1{cursor}")
            seen += [vm["name"] for vm in page["items"]]
            cursor = f"&cursor={page['next_cursor']}" if "next_cursor" in page else None
        self.assertEqual(made, seen)
        for name in made:
            self.server.delete(name)
        self.assert_nothing_left()

    def test_jumps(self):
        self.precious()
        self.server.create("short", ttl_s=3600)
        for days in (-400, 30, 0):
            self.jump(days)
            time.sleep(1.5)
            self.server.run("a", "true")
            self.server.must(200, "PATCH", "/vms/a", {"labels": {"days": str(days)}})
            self.assertEqual("running", self.server.state("a"))
            stats = self.server.must(200, "GET", "/vms/a/stats?since=0")
            self.assertIn("samples", stats)
            # Its end is a point of time, and that has passed.
            if days == 30:
                wait_until(lambda: "short" not in self.server.names(), "the VM ends with its time", 20)
            else:
                self.assertEqual(days == -400, "short" in self.server.names())
        self.server.stop()
        self.jump(-400)
        self.server.start()
        self.all_well()


if __name__ == "__main__":
    unittest.main(verbosity=2)
