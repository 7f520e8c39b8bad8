# SPDX-License-Identifier: Apache-2.0
"""The server dies; VMs live on and are found again."""
import concurrent.futures
import contextlib
import http.client
import os
import signal
import sqlite3
import time
import unittest

from harness import SERVER, LifeTest, wait_until


class Crash(LifeTest):
    def boot(self, *names):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(self.server.create, names))

    def test_killed_server_finds_its_vms_again(self):
        names = ["a", "b", "c"]
        self.server.start()
        self.boot(*names)
        boots = {n: self.server.run(n, "cat", "/proc/sys/kernel/random/boot_id") for n in names}
        pids = set(self.server.vmms())
        self.server.kill()
        self.assertEqual(pids, set(self.server.vmms()), "VMs go on without their server")
        self.server.start()
        self.assertEqual(names, self.server.names())
        for name in names:
            self.assertEqual("running", self.server.state(name))
            self.assertEqual(boots[name], self.server.run(name, "cat", "/proc/sys/kernel/random/boot_id"))
        self.assertEqual(pids, set(self.server.vmms()))
        for name in names:
            self.server.delete(name)
        self.assert_nothing_left()

    def test_polite_end_leaves_vms_running(self):
        self.server.start()
        self.boot("a")
        pids = set(self.server.vmms())
        self.server.stop()
        self.assertEqual(pids, set(self.server.vmms()))
        self.server.start()
        self.assertEqual("a\n", self.server.run("a", "hostname"))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_a_killed_monitor_is_no_power_off_also_when_it_was_adopted(self):
        self.server.start()
        self.boot("a", "b")
        self.server.kill()
        self.server.start()
        for pid in self.server.vmms():
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if b"guest=a," in f.read():
                    os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.server.state("a") != "running", "the end is noticed")
        self.assertEqual("failed", self.server.state("a"), self.server.must(200, "GET", "/vms/a"))
        # The guest of the other one goes by itself.
        self.server.call("POST", "/vms/b/exec", {"argv": ["reboot", "-f"]})
        wait_until(lambda: self.server.state("b") != "running", "the reboot is noticed")
        self.assertEqual("stopped", self.server.state("b"), self.server.must(200, "GET", "/vms/b"))
        self.server.must(200, "POST", "/vms/a/recover", wait=240)
        for name in ("a", "b"):
            self.server.delete(name)
        self.assert_nothing_left()

    def test_a_new_database_removes_no_disk(self):
        self.server.start()
        self.boot("a")
        self.server.run("a", "sh", "-c", "echo precious >/root/file; sync")
        vm = self.server.must(200, "GET", "/vms/a")["id"]
        self.server.must(200, "POST", "/vms/a/stop", wait=60)
        self.server.stop()
        state = f"{self.home}/state"
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            if os.path.exists(f"{state}/{name}"):
                os.rename(f"{state}/{name}", f"{self.home}/{name}")
        open(f"{state}/state.db", "wb").close()  # what a full disk may leave
        self.server.start()
        self.assertEqual([], self.server.names())
        self.server.stop()
        aside = [name for name in os.listdir(state) if name.startswith("set-aside-")]
        self.assertEqual(1, len(aside))
        self.assertTrue(os.path.exists(f"{state}/{aside[0]}/vms/{vm}/work.ext4"))
        # The database is found again, and so is the disk.
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            if os.path.exists(f"{state}/{name}"):
                os.unlink(f"{state}/{name}")
            if os.path.exists(f"{self.home}/{name}"):
                os.rename(f"{self.home}/{name}", f"{state}/{name}")
        os.rmdir(f"{state}/vms")
        os.rename(f"{state}/{aside[0]}/vms", f"{state}/vms")
        self.server.start()
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        self.assertEqual("precious\n", self.server.run("a", "cat", "/root/file"))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_a_suspend_that_was_complete_but_not_written_down_counts(self):
        self.server.start()
        self.boot("a")
        boot = self.server.run("a", "cat", "/proc/sys/kernel/random/boot_id")
        vm = self.server.must(200, "GET", "/vms/a")["id"]
        self.server.must(200, "POST", "/vms/a/suspend", wait=60)
        self.server.kill()
        with contextlib.closing(sqlite3.connect(f"{self.home}/state/state.db")) as db:
            db.execute("UPDATE vms SET state = 'running'")
            db.commit()
        self.server.start()
        self.assertEqual("suspended", self.server.state("a"))
        self.assertEqual(boot, self.server.run("a", "cat", "/proc/sys/kernel/random/boot_id"), "the memory is kept")
        # The memory of a suspend that was broken off belongs to a disk that has moved on.
        os.mkdir(f"{self.home}/state/vms/{vm}/suspend")
        self.server.kill()
        self.server.start()
        self.assertEqual("running", self.server.state("a"))
        self.assertFalse(os.path.exists(f"{self.home}/state/vms/{vm}/suspend"))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_vm_that_ended_meanwhile_is_stopped_and_starts_again(self):
        self.server.start()
        self.boot("a")
        self.server.run("a", "sh", "-c", "echo kept >/root/file; sync")
        self.server.kill()
        for pid in self.server.vmms():
            os.kill(pid, signal.SIGKILL)
        self.server.start()
        vm = self.server.must(200, "GET", "/vms/a")
        self.assertEqual("stopped", vm["state"])
        self.assertIn("while the server was not running", vm["reason"])
        self.server.must(200, "POST", "/vms/a/start", wait=240)
        self.assertEqual("kept\n", self.server.run("a", "cat", "/root/file"))
        self.server.delete("a")
        self.assert_nothing_left()

    def test_a_restore_that_was_cut_is_told(self):
        self.server.start()
        self.boot("a")
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        snapshot = self.server.must(201, "POST", "/vms/a/snapshots", {}, wait=60)
        for state in ("stopping", "stopped"):
            self.server.kill()
            with contextlib.closing(sqlite3.connect(f"{self.home}/state/state.db")) as db:
                db.execute("UPDATE vms SET reason = 'going back to a snapshot', state = ?", (state,))
                db.commit()
            self.server.start()
            vm = self.server.must(200, "GET", "/vms/a")
            self.assertEqual("stopped", vm["state"])
            self.assertIn("the server ended while the VM went back to a snapshot", vm["reason"])
            self.assertIn("restore it again", vm["reason"])
        vm = self.server.must(200, "POST", "/vms/a/restore", {"snapshot": snapshot["id"]}, wait=240)
        self.assertEqual(("running", None), (vm["state"], vm.get("reason")))
        self.server.delete("a")
        self.server.must(204, "DELETE", f"/snapshots/{snapshot['id']}")
        self.assert_nothing_left()

    def test_a_copy_that_was_cut_is_no_new_machine(self):
        self.server.start()
        self.boot("a")
        self.server.run("a", "sh", "-c", "echo kept >/root/file; sync")
        snapshot = self.server.must(201, "POST", "/vms/a/snapshots", {}, wait=60)["id"]
        parent = self.server.must(200, "GET", "/vms/a")["id"]
        self.server.stop()
        for path, body, origin in (("/vms", {"name": "b", "from_snapshot": snapshot}, snapshot),
                                   ("/vms/a/fork", {}, parent)):
            self.server.program = os.path.join(os.path.dirname(SERVER), "banger-server-chaos")
            self.server.start(extra_env={"BANGER_CHAOS_AT": "vm.create disk", "BANGER_CHAOS_NTH": "1"})
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.server.raw("POST", path, body, {"Prefer": "wait=60"})
            self.server.process.wait(30)
            self.server.program = SERVER
            self.server.start()
            self.assertEqual([snapshot], [s["id"] for s in self.server.must(200, "GET", "/snapshots")["items"]])
            self.assertEqual([snapshot], os.listdir(f"{self.home}/state/snapshots"))
            copy = next(name for name in self.server.names() if name != "a")
            self.assertIn(self.server.state(copy), ("stopped", "failed"))
            problem = self.server.must(409, "POST", f"/vms/{copy}/start", wait=60)
            self.assertIn(f"before it was copied from {origin}; delete the VM", problem["detail"])
            self.assertEqual("failed", self.server.state(copy))
            self.server.delete(copy)
            self.server.must(201, "POST", "/vms", {"name": "b", "from_snapshot": snapshot}, wait=60)
            self.assertEqual("kept\n", self.server.run("b", "cat", "/root/file"))
            self.server.delete("b")
            self.server.stop()
        self.server.start()
        self.server.delete("a")
        self.server.must(204, "DELETE", f"/snapshots/{snapshot}")
        self.assert_nothing_left()

    def test_vmm_that_dies_is_noticed(self):
        self.server.start()
        self.boot("a")
        for pid in self.server.vmms():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.server.state("a") == "failed", "the VM is seen as failed")
        self.assertIn("SIGKILL", self.server.must(200, "GET", "/vms/a")["reason"])
        self.server.delete("a")
        self.assert_nothing_left()

    def test_interrupted_operations_are_told(self):
        self.server.start()
        accepted = self.server.must(202, "POST", "/vms", {"name": "half", "image": "mini", "vcpus": 1,
                                                          "memory_mib": 96, "boot": "cold"})
        wait_until(lambda: self.server.vmms(), "the VMM runs")
        self.server.kill()
        self.server.start()
        operation = self.server.operation(accepted["id"])
        self.assertIn(operation["state"], ("failed", "cancelled"))
        self.assertIn("error", operation)
        state = self.server.state("half")
        self.assertIn(state, ("stopped", "failed", "starting", "running"))
        self.server.delete("half")
        self.assert_nothing_left()

    def test_suspended_memory_outlives_a_crash_of_its_resume(self):
        self.server.start()
        self.server.create("a")
        self.server.run("a", "sh", "-c", "echo kept >/dev/shm/memory")
        folder = f"{self.home}/state/vms/{self.server.must(200, 'GET', '/vms/a')['id']}"
        lost = 0
        for wait_s in (0.005, 0.01, 0.02, 0.03, 0.045, 0.06):
            self.server.must(200, "POST", "/vms/a/suspend", wait=60)
            self.server.must(202, "POST", "/vms/a/resume")
            time.sleep(wait_s)
            self.server.kill()
            self.server.start()
            vm = self.server.must(200, "GET", "/vms/a")
            self.assertIn(vm["state"], ("suspended", "running", "stopped"), vm)
            if vm["state"] == "stopped":
                # Only where the guest may have run: there it would meet a disk that it does not know.
                self.assertIn("just when the guest went on", vm["reason"], vm)
                lost += 1
                self.server.must(200, "POST", "/vms/a/start", wait=240)
                self.server.run("a", "sh", "-c", "echo kept >/dev/shm/memory")
            self.assertEqual("kept\n", self.server.run("a", "cat", "/dev/shm/memory"))
            self.assertFalse({"resuming", "suspend", "suspend.new"} & set(os.listdir(folder)), os.listdir(folder))
        self.assertLessEqual(lost, 2)
        self.server.delete("a")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
