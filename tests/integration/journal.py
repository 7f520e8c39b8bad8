# SPDX-License-Identifier: Apache-2.0
"""What happened and who asked for it: operations, events, the audit log, and holds, all across a restart."""
import json
import os
import signal
import sqlite3
import unittest
from contextlib import closing

from harness import SHAPE, LifeTest, wait_until


class Journal(LifeTest):
    standby = False

    def setUp(self):
        super().setUp()
        self.server.start()

    def events(self, query=""):
        """What is kept."""
        reply = self.server.raw("GET", f"/events?follow=0{query}", None, {"Accept": "application/x-ndjson"})
        self.assertEqual(200, reply.status, reply)
        return [json.loads(line) for line in reply.body.splitlines() if line]

    def stopped(self, name):
        return self.server.must(201, "POST", "/vms", {"name": name, "image": "mini", **SHAPE, "start": False})

    def test_the_audit_log_says_who_what_when_and_the_result(self):
        before = self.events()[-1]["id"]
        a = self.stopped("a")
        self.server.must(201, "POST", "/tokens", {"name": "looker", "scope": "read"})
        self.server.must(409, "POST", "/vms/a/stop")
        self.server.must(422, "PATCH", "/vms/a", {"vcpus": 0})
        self.server.must(200, "GET", "/vms/a")
        self.server.delete("a")
        self.server.stop()
        self.server.start()
        seen = [(e["by"].split(":")[0], e["data"]["request"], e["data"]["status"])
                for e in self.events(f"&kind=request&since={before}")]
        self.assertEqual([("uid", "vm_create", 201), ("uid", "token_create", 201), ("uid", "vm_stop", 409),
                          ("uid", "vm_update", 422), ("uid", "vm_delete", 204)], seen)
        self.assertEqual([], self.events("&by=token:looker"))
        self.assertTrue(self.events(f"&by=uid:{os.getuid()}"))
        of_a = self.events(f"&target={a['id']}")
        self.assertEqual({a["id"]}, {e["target"] for e in of_a})
        self.assertEqual("vm.created", of_a[0]["kind"])
        self.assertEqual("vm.deleted", [e["kind"] for e in of_a if e["kind"].startswith("vm.")][-1])
        self.assertTrue(all(e["time"] for e in of_a))

    def test_what_is_gone_is_found_by_the_name_it_had(self):
        older = self.stopped("a")
        self.server.delete("a")
        vm = self.stopped("a")
        self.server.must(200, "PATCH", "/vms/a", {"vcpus": 2, "labels": {"team": "x"}, "wake": "auto"})
        alive = self.events("&target=a")
        self.assertEqual({vm["id"]}, {e["target"] for e in alive})
        self.server.delete("a")
        for _ in range(2):
            of_a = self.events("&target=a")
            self.assertEqual(self.events(f"&target={vm['id']}"), of_a)
            self.assertEqual(alive, of_a[:len(alive)])
            requests = [e["data"]["request"] for e in of_a if e["kind"] == "request"]
            self.assertEqual(["vm_create", "vm_update", "vm_delete"], requests)
            changed = next(e for e in of_a if e["kind"] == "vm.changed")
            self.assertEqual({"vcpus": {"from": 1, "to": 2}, "labels": {"from": {}, "to": {"team": "x"}}},
                             changed["data"]["changes"])
            kinds = [o["kind"] for o in self.server.must(200, "GET", "/operations?target=a")["items"]]
            self.assertIn("vm.delete", kinds)
            self.server.stop()
            self.server.start()
        self.assertTrue(self.events(f"&target={older['id']}"))
        self.assertEqual([], self.events("&target=nobody"))

    def test_replay_has_no_gap_and_says_what_is_lost(self):
        for name in ("a", "b"):
            self.stopped(name)
        first = self.events()
        self.assertEqual(list(range(1, len(first) + 1))[-len(first):], [e["id"] - first[0]["id"] + 1 for e in first])
        middle = first[len(first) // 2]["id"]
        self.assertEqual([e for e in first if e["id"] > middle], self.events(f"&since={middle}"))
        # By name and by id.
        self.assertEqual(self.events("&target=b"), self.events(f"&target={self.server.must(200, 'GET', '/vms/b')['id']}"))
        self.server.stop()
        with closing(sqlite3.connect(f"{self.home}/state/state.db", isolation_level=None)) as db:
            db.execute("DELETE FROM events WHERE seq <= ?", (middle,))
        self.server.start()
        lost = self.events("&since=1&kind=vm.")
        self.assertEqual(("events.lost", {"since": 1}), (lost[0]["kind"], lost[0]["data"]))
        self.assertEqual(["events.lost"], [e["kind"] for e in lost if not e["kind"].startswith("vm.")])
        self.assertNotIn("events.lost", [e["kind"] for e in self.events(f"&since={first[-1]['id']}")])
        # Of a database that this one has taken the place of.
        ahead = self.events(f"&since={first[-1]['id'] + 1000}")
        self.assertEqual(("events.lost", {"since": first[-1]["id"] + 1000}), (ahead[0]["kind"], ahead[0]["data"]))
        self.assertEqual(self.events(), ahead[1:])
        for query in ("&since=-1", "&follow=maybe", "&kind="):
            self.server.must(422, "GET", f"/events?follow=false{query}")

    def test_operations_are_found_by_what_they_are(self):
        self.server.create("a")
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        b = self.server.create("b")

        def kinds(query):
            return [o["kind"] for o in self.server.must(200, "GET", f"/operations?{query}")["items"]]

        self.assertEqual(["vm.create", "vm.kill", "vm.create"], kinds("kind=vm.&limit=3"))
        self.assertEqual(["vm.kill"], kinds("kind=vm.kill"))
        self.assertEqual(["vm.create"], kinds("target=b"))
        self.assertEqual([], kinds("target=b&state=failed"))
        # Nobody runs, so that nobody is adopted.
        self.server.must(200, "POST", "/vms/b/kill", wait=60)
        everything = kinds("limit=1000")
        # Page by page, and from the store alone.
        for _ in range(2):
            paged, query = [], "/operations?limit=2"
            while query:
                reply = self.server.call("GET", query)
                paged += [o["kind"] for o in reply.json()["items"]]
                link = reply.headers.get("Link")
                query = link[link.index("<") + 1:link.index(">")] if link else None
            self.assertEqual(everything, paged)
            self.assertEqual(["vm.create"], kinds(f"target={b['id']}&state=succeeded&kind=vm.c"))
            self.server.stop()
            self.server.start()
        for vm in ("a", "b"):
            self.server.delete(vm)
        self.assert_nothing_left()

    def test_a_state_names_the_operation_and_what_was_wanted(self):
        self.server.create("a")
        wanted = {"suspend": "suspended", "resume": "running", "pause": "paused", "kill": "stopped"}
        for verb, desired in wanted.items():
            vm = self.server.must(200, "POST", f"/vms/a/{verb}", wait=240)
            self.assertEqual((desired, desired), (vm["state"], vm["desired"]))
        operations = {o["id"]: o["kind"] for o in self.server.must(200, "GET", "/operations")["items"]}
        for event in self.events("&kind=vm.state&target=a"):
            self.assertIn(event.get("operation"), operations, event)
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        for pid in self.server.vmms():
            os.kill(pid, signal.SIGSEGV)
        wait_until(lambda: self.server.state("a") == "failed", "the VM is seen as failed")
        self.assertEqual("running", self.server.must(200, "GET", "/vms/a")["desired"])
        self.server.delete("a")

    def test_a_hold_outlives_the_server(self):
        self.server.create("a", idle_stop_s=2)
        hold = self.server.must(201, "POST", "/vms/a/holds", {"ttl_s": 300, "reason": "a long download"})
        gone = self.server.must(201, "POST", "/vms/a/holds", {"ttl_s": 1})
        self.server.kill()
        self.server.start()
        self.server.raw("GET", "/operations?limit=1")
        held = self.server.must(200, "GET", "/vms/a/holds")["items"]
        self.assertIn(hold, held)
        self.assertEqual({hold["id"]}, {h["id"] for h in held} - {gone["id"]})
        self.assertEqual("running", self.server.state("a"))
        self.server.must(204, "DELETE", f"/vms/a/holds/{hold['id']}")
        self.server.must(404, "DELETE", f"/vms/a/holds/{hold['id']}")
        self.server.delete("a")
        self.assertEqual(0, self.server.rows("holds"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
