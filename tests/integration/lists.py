# SPDX-License-Identifier: Apache-2.0
"""Lists in pages and in order, names that are taken, and changes to a version that was seen."""
import contextlib
import json
import time
import unittest

from harness import SHAPE, LifeTest, UnixConnection


class Lists(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()

    def make(self, name, status=201, **fields):
        return self.server.must(status, "POST", "/vms", {"name": name, "image": "mini", "start": False, **fields},
                                wait=60)

    def names(self, query):
        """Of all pages, each found by the Link header of the one before."""
        found, target = [], f"/vms?limit=2{query}"
        while target:
            reply = self.server.call("GET", target)
            self.assertEqual(200, reply.status, reply)
            body = reply.json()
            self.assertLessEqual(len(body["items"]), 2)
            found += [vm["name"] for vm in body["items"]]
            link = reply.headers.get("Link")
            self.assertEqual("next_cursor" in body, link is not None)
            target = link and link[link.index("<") + 1:link.index(">")]
        return found

    def test_order_and_pages(self):
        for name, memory in (("c", 128), ("a", 512), ("e", 100), ("b", 128), ("d", 1024)):
            self.make(name, memory_mib=memory, labels={"team": f"x{name}", name: "1"})
            time.sleep(0.002)  # the age of a VM is a number of milliseconds
        self.assertEqual(["c", "a", "e", "b", "d"], self.names(""))
        self.assertEqual(["d", "b", "e", "a", "c"], self.names("&sort=-created"))
        self.assertEqual(["a", "b", "c", "d", "e"], self.names("&sort=name"))
        self.assertEqual(["e", "c", "b", "a", "d"], self.names("&sort=memory_mib"))
        self.assertEqual(["d", "a", "b", "c", "e"], self.names("&sort=-memory_mib"))
        self.assertEqual(["a", "b"], self.names("&sort=name&name=%5Bab%5D"))
        self.assertEqual(["d"], self.names("&label_prefix=team=xd"))
        self.assertEqual(5, len(self.names("&label_prefix=te")))
        self.assertEqual([], self.names("&label_prefix=team=y"))
        self.server.must(422, "GET", "/vms?sort=colour")
        # A cursor keeps its place when its VM goes.
        page = self.server.must(200, "GET", "/vms?limit=2&sort=name")
        self.server.delete("b")
        rest = self.server.must(200, "GET", f"/vms?sort=name&cursor={page['next_cursor']}")
        self.assertEqual(["c", "d", "e"], [vm["name"] for vm in rest["items"]])

    def page(self, query):
        """Asked for twice: the second is what was kept of the first."""
        first = self.server.call("GET", f"/vms?{query}")
        again = self.server.call("GET", f"/vms?{query}")
        self.assertEqual((200, first.body), (again.status, again.body))
        for header in ("ETag", "Link", "Content-Type"):
            self.assertEqual(first.headers.get(header), again.headers.get(header))
        same = self.server.raw("GET", f"/vms?{query}", headers={"If-None-Match": first.headers["ETag"]})
        self.assertEqual(304, same.status)
        return first

    def test_a_page_is_never_older_than_what_it_shows(self):
        for name in ("a", "b", "c"):
            self.make(name, labels={"n": name})
        # More than are kept at a time, each told from the others.
        for _ in range(2):
            self.assertEqual(["a", "b", "c"], [vm["name"] for vm in self.page("sort=name").json()["items"]])
            self.assertEqual(["c", "b", "a"], [vm["name"] for vm in self.page("sort=-name").json()["items"]])
            self.assertEqual(["b"], [vm["name"] for vm in self.page("name=b").json()["items"]])
            self.assertEqual([{"name": "c"}], self.page("fields=name&label=n=c").json()["items"])
            self.assertEqual([{"id"}] * 3, [set(vm) for vm in self.page("fields=id").json()["items"]])
            part = self.page("limit=2&sort=name&fields=name")
            self.assertIn("next_cursor", part.json())
            self.assertIsNotNone(part.headers.get("Link"))
        # Whatever changes, by whichever way, the next reply says so.
        for change, fields in (({"labels": {"n": "z"}}, {"labels": {"n": "z"}}), ({"memory_mib": 97}, {"memory_mib": 97}),
                               ({"idle_stop_s": 60}, {"idle_stop_s": 60})):
            before = self.page("sort=name")
            self.server.must(200, "PATCH", "/vms/a", change)
            after = self.page("sort=name")
            self.assertNotEqual(before.headers["ETag"], after.headers["ETag"])
            seen = after.json()["items"][0]
            self.assertEqual(fields, {key: seen[key] for key in fields})
            self.assertEqual(200, self.server.raw("GET", "/vms?sort=name",
                                                  headers={"If-None-Match": before.headers["ETag"]}).status)
        kernel = self.server.must(200, "GET", "/vms/a")["kernel"]
        self.server.must(201, "POST", "/vms", {"name": "d", "image": "mini", "kernel": kernel, "start": False}, wait=60)
        self.assertEqual(4, len(self.page("sort=name").json()["items"]))
        self.server.delete("b")
        self.assertEqual(["a", "c", "d"], [vm["name"] for vm in self.page("sort=name").json()["items"]])

    def test_operations_in_pages(self):
        for name in ("a", "b", "c"):
            self.make(name)
            self.server.delete(name)
        ids, target = [], "/operations?limit=2"
        while target:
            reply = self.server.call("GET", target)
            ids += [o["id"] for o in reply.json()["items"]]
            link = reply.headers.get("Link")
            target = link and link[1:link.index(">")]
        self.assertEqual(sorted(set(ids), reverse=True), ids)
        self.assertGreaterEqual(len(ids), 3)

    def test_a_name_that_is_taken(self):
        first = self.make("a")
        self.assertEqual("/name", self.make("a", status=409)["errors"][0]["pointer"])
        self.make("a", status=409, if_exists="error")
        self.assertEqual(first["id"], self.make("a", status=200, if_exists="return", memory_mib=99)["id"])
        second = self.make("a", if_exists="replace", memory_mib=99)
        self.assertNotEqual(first["id"], second["id"])
        self.assertEqual(99, second["memory_mib"])
        self.assertEqual(["a"], self.names(""))
        self.assertEqual("b", self.make("b", if_exists="replace")["name"])
        # Said again with its key it is not done again.
        key = {"Idempotency-Key": "one"}
        body = {"name": "b", "image": "mini", "start": False, "if_exists": "replace"}
        ids = {self.server.must(201, "POST", "/vms", body, wait=60, headers=key)["id"] for _ in range(3)}
        self.assertEqual(1, len(ids))

    def test_changes_to_a_version(self):
        self.make("a")
        reply = self.server.call("GET", "/vms/a")
        etag = reply.headers["ETag"]
        change = {"labels": {"n": "1"}}
        self.server.must(412, "PATCH", "/vms/a", change, headers={"If-Match": '"other"'})
        self.assertEqual(304, self.server.raw("GET", "/vms/a", headers={"If-None-Match": etag}).status)
        self.server.must(200, "PATCH", "/vms/a", change, headers={"If-Match": f'"x", {etag}'})
        self.server.must(412, "PATCH", "/vms/a", change, headers={"If-Match": etag})
        self.server.must(200, "PATCH", "/vms/a", change, headers={"If-Match": "*"})
        self.assertEqual(200, self.server.raw("GET", "/vms/a", headers={"If-None-Match": etag}).status)


class Changing(LifeTest):
    def test_views_of_a_vm_that_changes(self):
        """They are not kept, so nothing but the reply itself holds them."""
        self.server.start()
        seen = set()
        self.server.must(202, "POST", "/vms", {"name": "a", "image": "mini", **SHAPE, "boot": "cold"})
        with contextlib.closing(UnixConnection(self.server.socket, 60)) as client:
            def get(target, headers=None):
                client.request("GET", target, headers=headers or {})
                reply = client.getresponse()
                return reply.status, reply.headers["ETag"], reply.read()
            while "running" not in seen:
                for target in ("/vms/a", "/vms?limit=5", "/vms/a?fields=state,stages"):
                    status, etag, body = get(target)
                    self.assertEqual(200, status)
                    self.assertIn(get(target, {"If-None-Match": etag})[0], (200, 304))
                seen.add(json.loads(body)["state"])
        self.assertIn("starting", seen)
        self.server.delete("a")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
