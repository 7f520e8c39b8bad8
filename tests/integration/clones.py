# SPDX-License-Identifier: Apache-2.0
"""Templates, snapshots, forks and suspension: memory and disk of one moment, and an identity for every copy."""
import os
import unittest

from harness import SHAPE, LifeTest

LOOK = ("cat /etc/machine-id; hostname; date +%s; cat /proc/sys/kernel/random/boot_id; od -An -tx1 -N16 /dev/urandom | tr -d ' \\n'; echo; "
        "cat /root/mark 2>/dev/null; pidof sleep || true")


class Clones(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()

    def look(self, vm):
        lines = self.server.run(vm, "sh", "-c", LOOK).split("\n")
        return {"machine_id": lines[0], "hostname": lines[1], "clock": int(lines[2]),
                "boot_id": lines[3], "random": lines[4], "rest": lines[5:]}

    def assert_distinct(self, names):
        seen = [self.look(name) for name in names]
        for name, one in zip(names, seen):
            self.assertEqual(name, one["hostname"])
            self.assertRegex(one["machine_id"], r"^[0-9a-f]{32}$")
        for field in ("machine_id", "boot_id", "random"):
            self.assertEqual(len(names), len({one[field] for one in seen}), field)
        return seen

    def test_clones_of_a_template_are_machines_of_their_own(self):
        names = [f"clone-{i}" for i in range(4)]
        for name in names:
            vm = self.server.create(name)
            self.assertRegex(vm["booted_from"], r"^[0-9a-f]{32}$", "restored, not booted")
        self.assert_distinct(names)
        if self.server.must(200, "GET", "/capabilities")["accel"] == "tcg":
            for pid, line in self.server.vmms().items():
                with open(f"/proc/{pid}/status", encoding="ascii") as f:
                    self.assertIn("THP_enabled:\t0", f.read(), f"translated code in huge pages: {line}")
        # What one writes the other does not see, and the template least of all.
        self.server.run(names[0], "sh", "-c", "echo mine >/root/mark")
        self.assertEqual("", self.server.run(names[1], "sh", "-c", "cat /root/mark 2>/dev/null || true"))
        self.server.create("later")
        self.assertEqual("", self.server.run("later", "sh", "-c", "cat /root/mark 2>/dev/null || true"))
        for name in [*names, "later"]:
            self.server.delete(name)
        self.assert_nothing_left()

    def test_programs_are_told_and_hooks_run(self):
        self.server.create("a")
        hook = "#!/bin/sh\necho \"$(grep ^hostname= /run/banger/identity) $(hostname)\" >>/root/told\n"
        self.server.run("a", "sh", "-c", "mkdir -p /etc/banger/identity.d; cd /etc/banger/identity.d; cat >10-tell; "
                        "chmod +x 10-tell; echo no >20-no-program; sync", stdin=hook)
        child = self.server.must(200, "POST", "/vms/a/fork", {"count": 1}, wait=120)["children"][0]
        self.assertEqual("succeeded", self.server.wait_operation(child["operation"])["state"])
        name = child["name"]
        self.assertEqual(f"hostname={name} {name}\n", self.server.run(name, "cat", "/root/told"))
        self.assertIn(f"machine_id={self.look(name)['machine_id']}", self.server.run(name, "cat", "/run/banger/identity"))
        self.assertEqual("", self.server.run("a", "sh", "-c", "cat /root/told 2>/dev/null || true"))
        # A copy of a copy.
        self.server.must(200, "POST", f"/vms/{name}/suspend", wait=120)
        self.server.must(200, "POST", f"/vms/{name}/resume", wait=120)
        grandchild = self.server.must(200, "POST", f"/vms/{name}/fork", {"count": 1}, wait=120)["children"][0]
        self.assertEqual("succeeded", self.server.wait_operation(grandchild["operation"])["state"])
        self.assert_distinct(["a", name, grandchild["name"]])
        for one in ("a", name, grandchild["name"]):
            self.server.delete(one)
        self.assert_nothing_left()

    def test_a_template_that_goes_does_not_hurt_its_clones(self):
        self.server.create("a")
        for template in self.server.must(200, "GET", "/templates")["items"]:
            self.server.must(204, "DELETE", f"/templates/{template['id']}")
        self.assertEqual("ok\n", self.server.run("a", "echo", "ok"))
        self.server.must(503, "POST", "/vms", {"name": "b", "image": "mini", **SHAPE, "boot": "template"}, wait=60)
        self.assertEqual(["a"], self.server.names())
        self.server.delete("a")
        self.assert_nothing_left()

    def test_boot_cold_uses_no_template(self):
        self.assertEqual("cold", self.server.create("a", boot="cold")["booted_from"])
        self.server.delete("a")

    def test_snapshot_restore_and_create_from_it(self):
        self.server.create("a")
        self.server.run("a", "sh", "-c", "echo before >/root/mark; sync; sleep 1000 >/dev/null 2>&1 &")
        running = self.server.run("a", "pidof", "sleep")
        snapshot = self.server.must(201, "POST", "/vms/a/snapshots", {"name": "s"}, wait=120)
        self.assertTrue(snapshot["memory"])
        self.server.run("a", "sh", "-c", "echo after >/root/mark; killall sleep")
        self.server.must(200, "POST", "/vms/a/restore", {"snapshot": snapshot["id"]}, wait=120)
        self.assertEqual("before\n", self.server.run("a", "cat", "/root/mark"))
        self.assertEqual(running, self.server.run("a", "pidof", "sleep"), "the memory went back as well")

        self.server.must(201, "POST", "/vms", {"name": "b", "from_snapshot": snapshot["id"]}, wait=120)
        self.assertEqual(running, self.server.run("b", "pidof", "sleep"))
        self.assert_distinct(["a", "b"])
        self.server.must(201, "POST", "/vms", {"name": "c", "from_snapshot": snapshot["id"], "restore_memory": False},
                         wait=240)
        self.assertEqual("before\n", self.server.run("c", "cat", "/root/mark"))
        self.assertEqual("", self.server.run("c", "sh", "-c", "pidof sleep || true"), "booted from the disk alone")
        self.assert_distinct(["a", "c"])

        # VMs outlive the snapshot, and it them.
        self.server.must(204, "DELETE", f"/snapshots/{snapshot['id']}")
        self.server.must(404, "GET", f"/snapshots/{snapshot['id']}")
        self.assertEqual("before\n", self.server.run("b", "cat", "/root/mark"))
        for name in ("a", "b", "c"):
            self.server.delete(name)
        self.assertEqual([], os.listdir(f"{self.home}/state/snapshots"))
        self.assert_nothing_left()

    def test_snapshots_say_what_they_can_not_do(self):
        self.server.must(404, "POST", "/vms", {"from_snapshot": "0000000000000000"})
        self.server.create("a")
        snapshot = self.server.must(201, "POST", "/vms/a/snapshots", {}, wait=120)
        self.server.must(422, "POST", "/vms", {"from_snapshot": snapshot["id"], "image": "mini"})
        self.server.must(404, "POST", "/vms/a/restore", {"snapshot": "0000000000000000"})
        self.server.must(200, "POST", "/vms/a/stop", wait=60)
        disk_only = self.server.must(201, "POST", "/vms/a/snapshots", {}, wait=120)
        self.assertFalse(disk_only["memory"], "a stopped VM has no memory")
        self.server.must(409, "POST", "/vms/a/fork", {})
        self.server.delete("a")
        self.assertEqual(2, len(self.server.must(200, "GET", "/snapshots")["items"]), "snapshots outlive their VM")

    def test_fork_copies_a_running_vm(self):
        self.server.create("a")
        self.server.run("a", "sh", "-c", "echo family >/root/mark; sleep 1000 >/dev/null 2>&1 &")
        running = self.server.run("a", "pidof", "sleep")
        children = self.server.must(200, "POST", "/vms/a/fork", {"count": 3}, wait=120)["children"]
        self.assertEqual(3, len(children))
        for child in children:
            self.assertEqual("succeeded", self.server.wait_operation(child["operation"])["state"])
            self.assertEqual(running, self.server.run(child["name"], "pidof", "sleep"))
            self.assertEqual("family\n", self.server.run(child["name"], "cat", "/root/mark"))
        names = [child["name"] for child in children]
        self.assert_distinct(["a", *names])
        self.assertEqual([], os.listdir(f"{self.home}/state/snapshots"), "the capture went with its last child")
        self.assertEqual([], self.server.must(200, "GET", "/snapshots")["items"])
        for name in ["a", *names]:
            self.server.delete(name)
        self.assert_nothing_left()

    def test_suspend_frees_the_memory_and_any_exec_wakes(self):
        self.server.create("a")
        self.server.run("a", "sh", "-c", "echo kept >/tmp/ram; sleep 1000 >/dev/null 2>&1 &")
        running = self.server.run("a", "pidof", "sleep")
        self.assertEqual("suspended", self.server.must(200, "POST", "/vms/a/suspend", wait=120)["state"])
        self.assertEqual({}, self.server.vmms(), "no process is left")
        self.server.stop()
        self.server.start()
        self.assertEqual("suspended", self.server.state("a"))
        self.assertEqual("kept\n", self.server.run("a", "cat", "/tmp/ram"), "woken by the command")
        self.assertEqual("running", self.server.state("a"))
        self.assertEqual(running, self.server.run("a", "pidof", "sleep"))
        folder = f"{self.home}/state/vms/{self.server.must(200, 'GET', '/vms/a')['id']}"
        self.assertNotIn("suspend", os.listdir(folder), "memory that was used is never used again")
        self.server.delete("a")
        self.assert_nothing_left()

    def test_a_killed_suspended_vm_keeps_its_disk(self):
        self.server.create("a")
        self.server.run("a", "sh", "-c", "echo kept >/root/mark; sync")
        self.server.must(200, "POST", "/vms/a/suspend", wait=120)
        self.assertEqual("stopped", self.server.must(200, "POST", "/vms/a/kill", wait=60)["state"])
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        self.assertEqual("kept\n", self.server.run("a", "cat", "/root/mark"))
        self.server.delete("a")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
