# SPDX-License-Identifier: Apache-2.0
"""What somebody did to the folders, the processes or the database of a running server is found and put right or told."""
import contextlib
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import time
import unittest

from harness import SHAPE, LifeTest, wait_until


class Check(LifeTest):
    def setUp(self):
        super().setUp()
        os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
        with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
            f.write("[vms]\ncheck_s = 1\n")
        self.server.start()

    def database(self):
        return contextlib.closing(sqlite3.connect(f"{self.home}/state/state.db", isolation_level=None, timeout=30))

    def stored_state(self, vm):
        with self.database() as db:
            return db.execute("SELECT state FROM vms WHERE id = ?", (vm["id"],)).fetchone()[0]

    def told(self, vm):
        with self.database() as db:
            return [row[0] for row in db.execute("SELECT document FROM events WHERE kind = 'vm.reconciled' "
                                                 "AND target = ?", (vm["id"],))]

    def stopped(self, name):
        self.server.create(name)
        return self.server.must(200, "POST", f"/vms/{name}/kill", wait=60)

    def test_a_limit_on_the_size_of_files(self):
        _, hard = resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE, (16 << 20, hard))
        reply = self.server.must(507, "POST", "/vms", {"name": "a", **SHAPE}, wait=60)
        self.assertIn("File too large", reply["detail"])
        resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        self.assertEqual([], self.server.names())
        self.server.create("a")
        self.server.delete("a")
        self.assert_nothing_left()

    def test_a_disk_that_is_gone(self):
        vm = self.stopped("a")
        os.rename(f"{self.home}/state/vms/{vm['id']}/work.ext4", f"{self.home}/kept")
        wait_until(lambda: self.server.state("a") == "failed", "the VM is marked")
        self.assertIn("disk is gone", self.server.must(200, "GET", "/vms/a")["reason"])
        self.assertEqual(1, len(self.told(vm)))
        # No empty disk in its place.
        problem = self.server.must(409, "POST", "/vms/a/start", wait=60)
        self.assertIn("work.ext4 is gone", problem["detail"])
        os.rename(f"{self.home}/kept", f"{self.home}/state/vms/{vm['id']}/work.ext4")
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        self.server.delete("a")
        self.assert_nothing_left()

    def test_suspended_memory_that_is_gone(self):
        self.server.create("a")
        vm = self.server.must(200, "POST", "/vms/a/suspend", wait=120)
        shutil.rmtree(f"{self.home}/state/vms/{vm['id']}/suspend")
        wait_until(lambda: self.server.state("a") == "stopped", "the VM is stopped")
        self.assertEqual(1, len(self.told(vm)))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_what_a_stopped_vm_should_not_have(self):
        vm = self.stopped("a")
        os.makedirs(f"{self.home}/run/vm/{vm['id']}/deep")
        wait_until(lambda: not os.path.exists(f"{self.home}/run/vm/{vm['id']}"), "the folder is removed")
        self.assertEqual("stopped", self.server.state("a"))
        self.server.delete("a")

    def test_a_disk_that_is_gone_under_a_guest_is_told_once(self):
        vm = self.server.create("a")
        path = f"{self.home}/state/vms/{vm['id']}/work.ext4"
        os.rename(path, f"{self.home}/kept")
        wait_until(lambda: self.told(vm), "it is told")
        time.sleep(3)
        told = self.told(vm)
        self.assertEqual(1, len(told), told)
        self.assertIn("its disk is gone", told[0])
        self.assertIn(path, told[0])
        self.assertEqual("running", self.server.state("a"))
        # As it says: what the guest has written is there, under a number.
        self.server.run("a", "sh", "-c", "echo kept >/root/file; sync")
        self.server.must(200, "POST", "/vms/a/pause", wait=60)
        folder = re.search(r"/proc/\d+/fd", told[0])[0]
        fds = [f"{folder}/{n}" for n in os.listdir(folder) if os.path.realpath(f"{folder}/{n}") == f"{self.home}/kept"]
        shutil.copyfile(fds[0], path)
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        self.assertEqual("kept\n", self.server.run("a", "cat", "/root/file"))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_a_socket_that_is_gone_is_told_once(self):
        vm = self.server.create("a")
        for n, name in enumerate(("link.sock", "qmp.sock"), 1):
            os.unlink(f"{self.home}/run/vm/{vm['id']}/{name}")
            wait_until(lambda n=n: len(self.told(vm)) == n, f"{name} is missed")
        time.sleep(3)
        told = self.told(vm)
        self.assertEqual(2, len(told), told)
        self.assertIn("socket of its agent is gone", told[0])
        self.assertIn("socket of its monitor is gone", told[1])
        self.assertIn("restart the VM", told[1])
        self.server.must(200, "POST", "/vms/a/restart", wait=240)
        self.server.must(200, "POST", "/vms/a/pause", wait=60)
        self.server.delete("a")
        self.assert_nothing_left()

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("chattr"), "makes a folder that can't be removed")
    def test_what_does_not_go_is_told_once(self):
        vm = self.stopped("a")
        stuck = f"{self.home}/run/vm/{vm['id']}/deep"
        os.makedirs(stuck)
        if subprocess.run(["chattr", "+i", stuck], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("no file system of that kind")
        try:
            wait_until(lambda: self.told(vm), "it is told")
            time.sleep(4)
            self.assertEqual(1, len(self.told(vm)))
        finally:
            subprocess.run(["chattr", "-i", stuck], check=True)
        wait_until(lambda: not os.path.exists(stuck), "it goes in the end")
        self.server.delete("a")

    def test_sockets_that_are_gone_are_told_once(self):
        vm = self.server.create("a")
        os.rename(f"{self.home}/run/vm/{vm['id']}", f"{self.home}/run/vm/elsewhere")
        wait_until(lambda: self.told(vm), "it is told")
        self.server.create("b")
        self.server.delete("b")
        self.assertEqual(1, len(self.told(vm)))
        self.assertEqual("running", self.server.state("a"))
        self.server.must(200, "POST", "/vms/a/restart", wait=240)
        self.server.run("a", "true")
        self.server.delete("a")
        shutil.rmtree(f"{self.home}/run/vm/elsewhere")

    def test_a_locked_database_is_caught_up_with(self):
        vm = self.server.create("a")
        with self.database() as db:
            db.execute("BEGIN IMMEDIATE")
            for pid in self.server.vmms():
                os.kill(pid, 9)
            wait_until(lambda: self.server.state("a") == "failed", "the end is seen")
            self.assertEqual("running", self.stored_state(vm))
            db.execute("COMMIT")
        wait_until(lambda: self.stored_state(vm) == "failed", "the row follows")
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        self.assertEqual("running", self.stored_state(vm))
        self.server.delete("a")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
