# SPDX-License-Identifier: Apache-2.0
"""A VM kept ready for the next one of its shape: taken under its id, a machine of its own, gone when nobody needs it."""
import os
import signal
import time
import unittest

from harness import SHAPE, LifeTest, processes_naming, wait_until

LOOK = "cat /etc/machine-id; hostname; cat /proc/sys/kernel/random/boot_id; od -An -tx1 -N16 /dev/urandom | tr -d ' \\n'; echo; date +%s"


class Standby(LifeTest):
    def setUp(self):
        super().setUp()
        self.configure("")
        self.server.start()

    def configure(self, text):
        os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
        with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
            f.write(text)

    def wait_ready(self):
        """Id of the one that is ready."""
        return wait_until(self.server.ready, "a VM is kept ready", 60)[0]

    def process_of(self, vm):
        return next(iter(processes_naming(f"{self.home}/state/vms/{vm}/")))

    def stages(self, name):
        return [stage["name"] for stage in self.server.must(200, "GET", f"/vms/{name}")["stages"]]

    def assert_gone(self, vm):
        wait_until(lambda: not processes_naming(vm) and not os.path.exists(f"{self.home}/state/vms/{vm}")
                   and not os.path.exists(f"{self.home}/run/vm/{vm}"), "nothing of it is left", 20)

    def test_the_next_vm_is_the_one_kept_ready_and_a_machine_of_its_own(self):
        self.server.create("first")
        seen = [self.server.run("first", "sh", "-c", LOOK).split("\n")]
        for i in range(3):
            ready, name = self.wait_ready(), f"next-{i}"
            pid = self.process_of(ready)
            vm = self.server.create(name)
            self.assertEqual(ready, vm["id"])
            self.assertRegex(vm["booted_from"], r"^[0-9a-f]{32}$")
            self.assertIn("resume", self.stages(name))
            self.assertNotIn("restore", self.stages(name))
            self.assertEqual(pid, self.process_of(vm["id"]), "the process that was ready")
            seen.append(self.server.run(name, "sh", "-c", LOOK).split("\n"))
            self.assertEqual(name, seen[-1][1])
            self.server.run(name, "sh", "-c", f"echo {name} >/root/mark; sync")
        for field in (0, 2, 3):
            self.assertEqual(len(seen), len({one[field] for one in seen}), seen)
        vm = self.server.create("last")
        self.assertEqual("", self.server.run("last", "sh", "-c", "cat /root/mark 2>/dev/null || true"))
        # It is a VM like any other.
        self.server.must(200, "POST", "/vms/last/suspend", wait=60)
        self.assertEqual("last\n", self.server.run("last", "hostname"))
        self.server.must(200, "POST", "/vms/last/restart", wait=240)
        self.assertEqual("last\n", self.server.run("last", "hostname"))
        for name in self.server.names():
            self.server.delete(name)
        self.assert_nothing_left()

    def test_a_request_that_is_repeated_gets_the_same_one(self):
        self.server.create("first")
        ready = self.wait_ready()
        body = {"name": "second", "image": "mini", **SHAPE}
        first = self.server.must(201, "POST", "/vms", body, wait=60, headers={"Idempotency-Key": "k"})
        again = self.server.must(201, "POST", "/vms", body, wait=60, headers={"Idempotency-Key": "k"})
        self.assertEqual([ready, ready], [first["id"], again["id"]])
        self.assertEqual(["first", "second"], self.server.names())

    def test_only_what_may_start_from_a_template_takes_it(self):
        self.server.create("first")
        ready = self.wait_ready()
        self.assertNotEqual(ready, self.server.create("cold", boot="cold")["id"])
        self.assertNotEqual(ready, self.server.create("other", memory_mib=112)["id"])
        self.assertNotEqual(ready, self.server.must(201, "POST", "/vms", {"name": "later", "image": "mini", **SHAPE, "start": False})["id"])
        self.assertIn(ready, self.server.ready())
        self.assertEqual(ready, self.server.create("warm", boot="template")["id"])

    def listed(self, query=""):
        return [vm["name"] for vm in self.server.must(200, "GET", f"/vms{query}")["items"]]

    def test_vms_are_listed_as_they_were_created_whenever_they_were_made(self):
        self.server.create("first")
        ready = self.wait_ready()
        between = self.server.must(201, "POST", "/vms", {"name": "between", "image": "mini", **SHAPE, "start": False})
        self.assertGreater(between["id"], ready)
        self.assertEqual(ready, self.server.create("last")["id"])
        names = ["first", "between", "last"]
        for _ in range(2):
            self.assertEqual(names, self.listed())
            self.assertEqual(names, self.listed("?sort=created"))
            self.assertEqual(names[::-1], self.listed("?sort=-created"))
            page = self.server.must(200, "GET", "/vms?limit=1&sort=-created")
            self.assertEqual(["between"], self.listed(f"?limit=1&sort=-created&cursor={page['next_cursor']}"))
            self.server.stop()
            self.server.start()
        page = self.server.must(200, "GET", "/vms?limit=2")
        self.server.delete("between")
        self.assertEqual(["last"], self.listed(f"?cursor={page['next_cursor']}"), "the one the cursor stands at is gone")

    def test_it_goes_with_its_template(self):
        self.server.create("first")
        ready = self.wait_ready()
        for template in self.server.must(200, "GET", "/templates")["items"]:
            self.server.must(204, "DELETE", f"/templates/{template['id']}")
        self.assert_gone(ready)
        self.assertEqual("cold", self.server.create("second")["booted_from"])

    def being_made(self):
        return [o for o in self.server.must(200, "GET", "/operations?limit=3")["items"]
                if o["kind"] == "template.standby" and o["state"] == "running"]

    def test_one_that_is_being_made_goes_with_its_template(self):
        self.server.create("first")
        self.wait_ready()
        for i in range(3):
            self.server.create(f"next-{i}")
            made = wait_until(self.being_made, "one is being made", 20, 0.01)[0]
            for template in self.server.must(200, "GET", "/templates")["items"]:
                self.server.must(204, "DELETE", f"/templates/{template['id']}")
            self.assertEqual("cancelled", self.server.wait_operation(made["id"])["state"])
            self.assertEqual([], self.server.ready())
            self.server.must(201, "POST", "/templates", {"image": "mini", **SHAPE}, wait=240)
            self.wait_ready()
        for name in self.server.names():
            self.server.delete(name)
        self.assert_nothing_left()

    def test_it_goes_with_the_server_and_vms_stay(self):
        self.server.create("first")
        ready = self.wait_ready()
        taken = self.server.create("second")["id"]
        self.assertEqual(ready, taken)
        ready = self.wait_ready()
        self.server.stop()
        self.assert_gone(ready)
        self.assertTrue(self.process_of(taken))
        self.server.start()
        self.assertEqual("second\n", self.server.run("second", "hostname"))

    def test_a_server_may_end_at_any_moment_of_it(self):
        for i in range(12):
            self.server.create(f"vm-{i}")
            time.sleep(i * 0.01)
            self.server.stop()
            self.assertEqual([], self.server.ready())
            self.server.start()

    def test_a_killed_server_leaves_none(self):
        self.server.create("first")
        ready = self.wait_ready()
        self.server.kill()
        self.assertTrue(self.process_of(ready))
        self.server.start()
        self.assert_gone(ready)
        self.assertEqual("second", self.server.create("second")["name"])

    def test_one_that_ended_is_not_given_away(self):
        self.server.create("first")
        ready = self.wait_ready()
        os.kill(self.process_of(ready), signal.SIGKILL)
        self.assert_gone(ready)
        self.assertEqual("second\n", self.server.run(self.server.create("second")["id"], "hostname"))
        self.assertIn("restore", self.stages("second"))

    def test_one_that_hangs_is_replaced_within_the_start(self):
        self.server.create("first")
        ready = self.wait_ready()
        pid = self.process_of(ready)
        os.kill(pid, signal.SIGSTOP)
        self.assertEqual(ready, self.server.create("second")["id"])
        self.assertIn("restore", self.stages("second"))
        self.assertNotEqual(pid, self.process_of(ready))
        self.assertEqual("second\n", self.server.run("second", "hostname"))
        self.server.delete("second")
        self.server.delete("first")
        self.assert_nothing_left()

    def test_the_shape_asked_for_last_has_it(self):
        self.server.stop()
        self.configure("[templates]\nstandby = 1\n")
        self.server.start()
        self.server.create("first")
        first = self.wait_ready()
        self.server.must(201, "POST", "/templates", {"image": "mini", **SHAPE, "memory_mib": 112}, wait=240)
        wait_until(lambda: self.server.ready() not in ([], [first]), "the new shape has it", 60)
        self.assert_gone(first)
        self.assertEqual(1, len(self.server.ready()))

    def test_a_shape_that_gives_way_while_its_vm_is_made(self):
        self.server.stop()
        self.configure("[templates]\nstandby = 1\n")
        self.server.start()
        other = {**SHAPE, "memory_mib": 112}
        self.server.must(201, "POST", "/templates", {"image": "mini", **other}, wait=240)
        self.wait_ready()
        for i in range(3):
            self.server.create(f"one-{i}")
            wait_until(self.being_made, "one is being made", 20, 0.01)
            self.server.must(201, "POST", "/vms", {"name": f"two-{i}", "image": "mini", **other}, wait=60)
            wait_until(lambda: {t["memory_mib"] for t in self.server.must(200, "GET", "/templates")["items"] if t["standby"]} == {112},
                       "the shape asked for last has one", 60)

    def test_none_where_none_is_wanted(self):
        self.server.stop()
        self.configure("[templates]\nstandby = 0\n")
        self.server.start()
        first = self.server.create("first")
        self.server.create("second")
        self.assertIn("restore", self.stages("second"))
        self.assertEqual([None], [t["standby"] for t in self.server.must(200, "GET", "/templates")["items"]])
        kinds = {o["kind"] for o in self.server.must(200, "GET", "/operations?limit=100")["items"] if o["created"] >= first["created"]}
        self.assertEqual({"vm.create"}, kinds)


if __name__ == "__main__":
    unittest.main()
