# SPDX-License-Identifier: Apache-2.0
"""The database or the disk fails under a running server, or is full."""
import contextlib
import errno
import mmap
import os
import subprocess
import sys
import threading
import time
import unittest

from faults import PLAN, READS, SYNCS, WRITES, FaultTest
from harness import SHAPE, wait_until


class Storage(FaultTest):
    """The database and the disks of VMs."""

    def test_a_database_that_cannot_be_written(self):
        for error, status in ((errno.EIO, 500), (errno.ENOSPC, 507), (errno.EROFS, 500)):
            with self.subTest(error=errno.errorcode[error]):
                vm = self.precious()
                with self.broken(error, WRITES | SYNCS, "/state.db"):
                    self.refused(status, "database", *self.create())
                    if error != errno.ENOSPC:
                        self.refused(status, "database", "DELETE", "/vms/a")
                    self.refused(status, "database", "PATCH", "/vms/a", {"labels": {"x": "y"}})
                    self.assertEqual("running", self.server.state("a"))
                    self.assertEqual({}, self.server.must(200, "GET", "/vms/a")["labels"])
                    # What is true of a VM is true whether it can be written down or not.
                    self.server.must(200, "POST", "/vms/a/pause", wait=60)
                    self.assertEqual("paused", self.server.state("a"))
                    self.assertEqual(["a"], self.server.names())
                self.assertIn("state not stored", self.server.log())
                wait_until(lambda: self.stored_state(vm) == "paused", "the row follows", 20)
                self.server.must(200, "POST", "/vms/a/resume", wait=60)
                self.all_well()

    def stored_state(self, vm):
        import sqlite3
        with contextlib.closing(sqlite3.connect(f"{self.home}/state/state.db", timeout=30)) as db:
            return db.execute("SELECT state FROM vms WHERE id = ?", (vm["id"],)).fetchone()[0]

    def test_a_database_that_fails_in_the_middle_of_a_create(self):
        self.precious()
        accepted = self.server.must(202, "POST", "/vms", {"name": "b", "image": "mini", **SHAPE, "boot": "cold"})
        wait_until(lambda: len(self.server.vmms()) > 1, "the VMM runs")
        with self.broken(errno.EIO, WRITES | SYNCS, "/state.db"):
            self.server.call("DELETE", f"/operations/{accepted['id']}")
            self.server.wait_operation(accepted["id"])
        # Its row could not be removed then. The name is free again once it can be.
        wait_until(lambda: self.server.names() == ["a"], "the cancelled VM is gone", 20)
        self.server.create("b")
        self.server.delete("b")
        self.all_well()

    def test_a_disk_that_cannot_be_made(self):
        for error, status, words in ((errno.EIO, 500, "Input/output error"), (errno.ENOSPC, 507, "No space left"),
                                     (errno.EROFS, 500, "Read-only file system")):
            with self.subTest(error=errno.errorcode[error]):
                self.precious()
                with self.broken(error, WRITES, "/work.ext4"):
                    self.refused(status, ["work.ext4", words], *self.create())
                    self.assertEqual(["a"], self.server.names())
                    self.assertEqual(1, self.server.rows("vms"))
                self.assertEqual(1, len(os.listdir(f"{self.home}/state/vms")))
                self.all_well()

    def test_a_snapshot_that_cannot_be_written(self):
        self.precious()
        with self.broken(errno.ENOSPC, WRITES, "/snapshots/"):
            self.refused(507, "No space left", "POST", "/vms/a/snapshots", {})
            self.assertEqual("running", self.server.state("a"))
        self.assertEqual([], self.server.must(200, "GET", "/snapshots")["items"])
        self.all_well()

    def test_a_database_that_cannot_be_read(self):
        self.precious()
        self.server.stop()
        self.tell(errno.EIO, READS, "/state.db")
        self.server.spawn()
        self.assertEqual(1, self.server.process.wait(20))
        self.assertIn("state.db", self.server.log().splitlines()[-1])
        self.heal()
        self.server.start()
        self.all_well()

    def test_a_locked_database(self):
        import sqlite3
        vm = self.precious()
        with contextlib.closing(sqlite3.connect(f"{self.home}/state/state.db", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            for change in (self.create(), ("DELETE", "/vms/a"), ("POST", "/vms/a/pause"), ("POST", "/vms/a/kill"),
                           ("PATCH", "/vms/a", {"labels": {"x": "y"}}), ("POST", "/vms/a/snapshots", {}),
                           ("POST", "/vms/actions", {"action": "delete", "vms": ["a"]})):
                reply = self.server.call(change[0], change[1], change[2] if len(change) > 2 else None,
                                         {"Prefer": "wait=60"})
                self.assertEqual(503, reply.status, (change, reply))
                self.assertGreater(int(reply.headers["Retry-After"]), 0)
                self.assertIn(f"locked by process {os.getpid()}", reply.json()["detail"])
                self.assertTrue(reply.json()["remedy"])
            self.refused(503, "locked by process", "GET", "/readyz")
            # What writes nothing goes on.
            self.assertEqual(204, self.server.call("PUT", "/vms/a/files/root/new", b"x", {
                "Content-Type": "application/octet-stream"}).status)
            self.assertEqual("running", self.server.state("a"))
            db.execute("ROLLBACK")
        self.server.must(200, "GET", "/readyz")
        # What was refused does not come later: the check has come round before this VM is there.
        time.sleep(2.5)
        self.server.create("b")
        self.server.delete("b")
        self.assertEqual(["a"], self.server.names())
        self.assertEqual(("running", {}), (self.server.state("a"), self.server.must(200, "GET", "/vms/a")["labels"]))
        self.assertEqual("running", self.stored_state(vm))
        self.all_well()

    def test_a_database_that_is_locked_for_a_moment(self):
        import sqlite3
        self.precious()
        with contextlib.closing(sqlite3.connect(f"{self.home}/state/state.db", isolation_level=None,
                                                check_same_thread=False)) as db:
            for change in (("POST", "/vms/a/pause"), ("POST", "/vms/a/resume")):
                db.execute("BEGIN IMMEDIATE")
                timer = threading.Timer(0.2, db.execute, ("ROLLBACK",))
                timer.start()
                self.server.must(200, *change, wait=60)
                timer.join()
        self.all_well()


class OwnDisk(FaultTest):
    """The home is on a disk of its own, which can be filled."""
    SIZE_MIB = 600

    def furnish(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.SIZE_MIB}m,mode=0700", "faults", self.home],
                       check=True)
        super().furnish()

    def end(self):
        super().end()
        subprocess.run(["umount", "-l", self.home], check=True)

    def fill(self):
        fs = os.statvfs(self.home)
        with open(f"{self.home}/ballast", "wb") as f, contextlib.suppress(OSError):
            os.posix_fallocate(f.fileno(), 0, fs.f_bavail * fs.f_frsize)

    def write(self, wait_s):
        """16 MiB in the guest, after a while; they must have arrived when the thread ends."""
        thread = threading.Thread(target=self.server.raw, args=("POST", "/vms/a/exec", {
            "argv": ["sh", "-c", f"sleep {wait_s}; dd if=/dev/urandom of=/root/big bs=64k count=256; sync"],
            "timeout_s": 60}))
        thread.start()
        self.addCleanup(thread.join, 60)
        return thread


@unittest.skipIf(os.geteuid() != 0, "mounts")
class FullDisk(OwnDisk):
    config = "check_s = 1\ndisk_reserve_mib = 16\n"

    def test_a_guest_that_meets_a_full_disk(self):
        self.precious()
        self.fill()
        written = self.write(0)
        wait_until(lambda: self.server.state("a") == "paused", "the VM is held back", 30)
        self.assertIn("disk is nearly full", self.server.must(200, "GET", "/vms/a")["reason"])
        self.refused(507, "", *self.create())
        os.unlink(f"{self.home}/ballast")
        wait_until(lambda: self.server.state("a") == "running", "the VM goes on", 30)
        written.join()
        self.assertEqual(f"{256 * 65536}\n", self.server.run("a", "stat", "-c", "%s", "/root/big"))
        self.all_well()


    def test_a_disk_that_is_read_only(self):
        self.precious()
        self.server.must(200, "POST", "/vms/a/stop", wait=60)
        self.server.stop()
        log = self.server.log_path
        self.server.log_path = "/tmp/" + os.path.basename(self.home) + ".log"
        self.addCleanup(os.unlink, self.server.log_path)
        self.plan.close()
        subprocess.run(["mount", "-o", "remount,ro", self.home], check=True)
        try:
            self.server.spawn(extra_env={"LD_PRELOAD": ""})
            self.assertEqual(1, self.server.process.wait(20))
            said = self.server.log().splitlines()
            self.assertEqual(1, len(said), said)
            self.assertIn(self.home, said[0])
            self.assertIn("Read-only file system", said[0])
        finally:
            subprocess.run(["mount", "-o", "remount,rw", self.home], check=True)
        self.server.log_path = log
        with open(f"{self.home}/faults", "r+b") as f:
            self.plan = mmap.mmap(f.fileno(), PLAN.size)
        self.server.start()
        self.server.must(200, "POST", "/vms/a/start", wait=100)
        self.all_well()

    def test_a_full_disk_is_made_room_on(self):
        vm = self.precious()
        self.server.must(200, "POST", "/vms/a/kill", wait=60)
        self.server.create("b", start=False)
        self.fill()
        self.refused(507, "full", "PATCH", "/vms/a", {"labels": {f"x{i}": "y" * 60 for i in range(50)}})
        # This one has no disk: that its row goes is all there is to gain.
        self.server.must(204, "DELETE", "/vms/b", wait=60)
        self.server.must(204, "DELETE", "/vms/a", wait=60)
        self.assertFalse(os.path.exists(f"{self.home}/state/vms/{vm['id']}"))
        self.assertEqual([], self.server.names())
        os.unlink(f"{self.home}/ballast")
        self.server.kill()
        self.server.start()
        self.assertEqual([], self.server.names())
        self.precious()
        self.all_well()


@unittest.skipIf(os.geteuid() != 0, "mounts")
class UnwatchedDisk(OwnDisk):
    config = "check_s = 1\ndisk_reserve_mib = 0\n"

    def test_a_guest_that_its_monitor_has_stopped(self):
        # Larger than what a template has filled: the rest takes room when it is written.
        self.precious(disk_mib=256, boot="cold")
        written = self.write(2)
        self.server.run("a", "true")
        self.fill()
        wait_until(lambda: self.server.state("a") == "paused", "the VM is shown as it is", 30)
        self.assertIn("make room, then resume", self.server.must(200, "GET", "/vms/a")["reason"])
        # Without room it stops again, and that is seen again.
        self.server.must(200, "POST", "/vms/a/resume", wait=60)
        wait_until(lambda: self.server.state("a") == "paused", "the VM is shown as it is", 30)
        os.unlink(f"{self.home}/ballast")
        self.server.must(200, "POST", "/vms/a/resume", wait=60)
        written.join()
        self.assertEqual(f"{256 * 65536}\n", self.server.run("a", "stat", "-c", "%s", "/root/big"))
        self.all_well()


if __name__ == "__main__":
    if os.geteuid() == 0 and "BANGER_FAULTS_INSIDE" not in os.environ:
        os.environ["BANGER_FAULTS_INSIDE"] = "1"
        alone = ["unshare", "-m", "--propagation", "private"]
        # In a chroot / may be no mount point, and then no mount can be private: each is taken away at the end.
        if subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            os.execvp("unshare", [*alone, sys.executable, *sys.argv])
    unittest.main(verbosity=2)
