# SPDX-License-Identifier: Apache-2.0
"""Many VMs at once: created, used, deleted; nothing stays."""
import concurrent.futures
import os
import shutil
import unittest

from harness import LifeTest

VMS = 20


class Parallel(LifeTest):
    def one(self, i):
        name = f"p{i}"
        self.server.create(name)
        self.assertEqual(f"{name}\n", self.server.run(name, "hostname"))
        self.assertEqual("x" * 5000, self.server.run(name, "cat", stdin="x" * 5000))
        self.server.delete(name)
        return name

    def test_twenty_at_once_leave_nothing(self):
        self.server.start()
        self.one(99)
        before = self.server.descriptors()
        with concurrent.futures.ThreadPoolExecutor(VMS) as pool:
            done = list(pool.map(self.one, range(VMS)))
        self.assertEqual(VMS, len(done))
        self.assert_nothing_left()
        self.assertEqual([], self.server.names())
        self.assertLessEqual(self.server.descriptors(), before + 2)
        # Their identities were their own.
        self.server.stop()
        self.assertEqual([], list(self.server.vmms()))

    def test_several_boots_make_the_same_initramfs(self):
        self.server.start()
        for i in range(5):
            shutil.rmtree(f"{self.home}/cache/initramfs", ignore_errors=True)
            names = [f"cold-{i}-{k}" for k in range(3)]
            with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
                made = list(pool.map(lambda name: self.server.create(name, boot="cold"), names))
            self.assertEqual(["cold"] * 3, [vm["booted_from"] for vm in made])
            self.assertEqual(1, len(os.listdir(f"{self.home}/cache/initramfs")))
            for name in names:
                self.server.delete(name)

    def test_same_name_many_times_is_one_vm(self):
        self.server.start()

        def create(_):
            return self.server.call("POST", "/vms", {"name": "same", "image": "mini", "start": False}).status

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(create, range(8)))
        self.assertEqual([201] + [409] * 7, sorted(statuses))
        self.assertEqual(["same"], self.server.names())

        def delete(_):
            return self.server.call("DELETE", "/vms/same", headers={"Prefer": "wait=60"}).status

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = set(pool.map(delete, range(8)))
        self.assertTrue(statuses <= {204, 404}, statuses)
        self.assertIn(204, statuses)
        self.assert_nothing_left()

    def test_clones_are_strangers(self):
        self.server.start()
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda i: self.server.create(f"c{i}"), range(3)))
        for argv in (["cat", "/etc/machine-id"], ["head", "-c", "64", "/dev/urandom"],
                     ["cat", "/proc/sys/kernel/random/uuid"], ["hostname"]):
            seen = {self.server.run(f"c{i}", *argv) for i in range(3)}
            self.assertEqual(3, len(seen), argv)
        for i in range(3):
            self.server.delete(f"c{i}")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
