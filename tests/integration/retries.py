# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key where the first try got no reply: its client left, or the server crashed between effect and reply."""
import contextlib
import json
import socket
import sqlite3
import unittest

from harness import LifeTest, wait_until


class Retries(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()

    def keyed(self, target, body, key, wait=None):
        headers = {"Idempotency-Key": key, **({"Prefer": f"wait={wait}"} if wait else {})}
        return self.server.call("POST", target, body, headers)

    def leave(self, target, body, key, seen):
        """A client that asks and is gone before the reply."""
        data = json.dumps(body).encode()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.server.socket)
            s.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nIdempotency-Key: {key}\r\nPrefer: wait=60\r\n"
                      f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
            wait_until(seen, "the request is under way", 60)

    def crash_before_the_reply(self):
        """As if the server had been killed after the last request's effect, before its reply was kept."""
        self.server.kill()
        with contextlib.closing(sqlite3.connect(f"{self.home}/state/state.db", isolation_level=None)) as db:
            changed = db.execute("UPDATE idempotency SET status = 0, body = ''").rowcount
        self.assertGreater(changed, 0)
        self.server.start()

    def replayed(self, reply, status):
        self.assertEqual((status, "true"), (reply.status, reply.headers["Idempotent-Replayed"]), reply)
        return reply.json() if reply.body else None

    def operations(self, vm):
        return [o["id"] for o in self.server.must(200, "GET", f"/operations?target={vm}")["items"]]

    def test_a_forward_is_made_once(self):
        self.server.create("a")
        body = {"guest_port": 80}
        first = self.keyed("/vms/a/forwards", body, "f").json()
        self.crash_before_the_reply()
        again = self.replayed(self.keyed("/vms/a/forwards", body, "f"), 201)
        self.assertEqual((first["id"], first["host_port"]), (again["id"], again["host_port"]))
        self.assertEqual(1, len(self.server.must(200, "GET", "/vms/a/forwards")["items"]))
        self.assertEqual(again, self.replayed(self.keyed("/vms/a/forwards", body, "f"), 201))
        self.server.delete("a")

    def test_several_vms_after_a_client_that_left(self):
        self.server.create("a")
        self.server.create("b")
        body = {"action": "restart", "vms": ["a", "nobody", "b"]}
        before = {vm: self.operations(vm) for vm in "ab"}
        self.leave("/vms/actions", body, "r", lambda: self.operations("b") != before["b"])
        reply = self.keyed("/vms/actions", body, "r", wait=120)
        results = self.replayed(reply, 200)["results"]
        self.assertEqual(["succeeded", "failed", "succeeded"], [r["state"] for r in results], results)
        self.assertEqual("not_found", results[1]["error"]["code"])
        for vm in "ab":
            self.assertEqual(1, len(self.operations(vm)) - len(before[vm]), "restarted twice")
        self.assertEqual(reply.body, self.keyed("/vms/actions", body, "r", wait=120).body)
        self.server.delete("a")
        self.server.delete("b")

    def test_several_vms_after_a_crash(self):
        for name in "ab":
            self.server.create(name, start=False)
        body = {"action": "start", "vms": ["a", "b"]}
        first = self.keyed("/vms/actions", body, "s").json()["results"]
        self.server.kill()
        self.server.start()
        # The reply was kept: the same again, whatever became of the operations.
        self.assertEqual(first, self.replayed(self.keyed("/vms/actions", body, "s"), 200)["results"])
        for name in "ab":
            if self.server.state(name) != "running":
                self.server.call("POST", f"/vms/{name}/start", headers={"Prefer": "wait=120"})
            wait_until(lambda name=name: self.server.state(name) == "running", f"{name} runs", 120)

        def restarts(vm):
            return [o["id"] for o in self.server.must(200, "GET", f"/operations?target={vm}&kind=vm.restart")["items"]]
        self.leave("/vms/actions", {"action": "restart", "vms": ["b", "a"]}, "t", lambda: restarts("b"))
        self.server.kill()
        self.server.start()
        results = self.replayed(self.keyed("/vms/actions", {"action": "restart", "vms": ["b", "a"]}, "t", wait=60), 200)["results"]
        self.assertEqual(restarts("b"), [results[0]["operation"]])
        self.assertIn(results[0]["state"], ("failed", "cancelled", "succeeded"))
        for name in "ab":
            self.server.delete(name)

    def test_a_prune_tells_the_same(self):
        self.server.create("a", start=False)
        first = self.keyed("/vms/prune", {}, "p", wait=60).json()
        self.assertEqual(["a"], [r["vm"] for r in first["results"]])
        self.server.create("b", start=False)
        self.assertEqual(first, self.replayed(self.keyed("/vms/prune", {}, "p", wait=60), 200))
        self.assertEqual(["b"], self.server.names())
        self.server.delete("b")

    def test_a_signal_gets_its_reply(self):
        self.server.create("a")
        record = self.server.must(201, "POST", "/vms/a/execs", {"argv": ["sleep", "1000"]})
        target = f"/vms/a/execs/{record['id']}/signal"
        self.assertEqual(204, self.keyed(target, {"signal": "CONT"}, "c").status)
        self.crash_before_the_reply()
        self.assertEqual(204, self.keyed(target, {"signal": "CONT"}, "c").status)
        self.assertIsNone(self.replayed(self.keyed(target, {"signal": "CONT"}, "c"), 204))
        self.server.delete("a")

    def test_a_name_of_an_image_is_given_once(self):
        self.assertEqual(201, self.keyed("/images/mini/tag", {"name": "mini:kept"}, "n").status)
        self.crash_before_the_reply()
        reply = self.keyed("/images/mini/tag", {"name": "mini:kept"}, "n")
        self.assertEqual((201, "mini:kept"), (reply.status, reply.json()["name"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
