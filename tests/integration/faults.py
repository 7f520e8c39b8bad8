# SPDX-License-Identifier: Apache-2.0
"""Descriptors, memory, disk, database, clock, monitor or guest fail under a running server: what is asked for is refused
in words, nothing is lost, and all is well again when the fault is gone. What fails is told faults.c, or is real."""
import contextlib
import errno
import http.client
import json
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

from harness import SHAPE, LifeTest, wait_until

READS, WRITES, SYNCS = 1, 2, 4
PLAN = struct.Struct("=iIqII64s")
DAY_NS = 86400 * 10**9
SANITIZED = os.environ.get("BANGER_SANITIZED") == "1"
GONE = (OSError, http.client.HTTPException)


class Faults(LifeTest):
    config = "check_s = 1\n"

    def setUp(self):
        super().setUp()
        os.makedirs(f"{self.home}/config", mode=0o700, exist_ok=True)
        with open(f"{self.home}/config/banger.conf", "w", encoding="ascii") as f:
            # What is made in the background would take a fault that was meant for another.
            f.write(f"[templates]\nstandby = 0\n[vms]\n{self.config}")
        with open(f"{self.home}/faults", "w+b") as f:
            f.truncate(PLAN.size)
            self.plan = mmap.mmap(f.fileno(), PLAN.size)
        asan = os.environ.get("ASAN_OPTIONS", "")
        self.server.env = {"LD_PRELOAD": os.environ["BANGER_FAULTS_SO"], "BANGER_FAULTS": f"{self.home}/faults",
                           "ASAN_OPTIONS": f"{asan}:verify_asan_link_order=0"}
        self.server.start()

    def end(self):
        self.heal()
        super().end()
        self.plan.close()

    def tell(self, error=0, kinds=0, path="", wall_ns=0, malloc_nth=0):
        # The switch last: the server reads without a lock.
        packed = PLAN.pack(error, kinds, wall_ns, malloc_nth, 0, path.encode())
        self.plan[4:] = packed[4:]
        self.plan[:4] = packed[:4]

    def heal(self):
        self.plan[:4] = b"\0\0\0\0"
        self.plan[:] = PLAN.pack(0, 0, 0, 0, self.struck(), b"")

    def struck(self):
        """Calls that were made to fail."""
        return PLAN.unpack(self.plan[:])[4]

    @contextlib.contextmanager
    def broken(self, error, kinds, path):
        self.tell(error, kinds, path)
        try:
            yield
            self.assertGreater(self.struck(), 0, "nothing was asked of what was to fail")
        finally:
            self.heal()

    @contextlib.contextmanager
    def limit(self, which, amount):
        pid = self.server.process.pid
        kept = resource.prlimit(pid, which)
        resource.prlimit(pid, which, (amount, kept[1]))
        try:
            yield
        finally:
            resource.prlimit(pid, which, kept)

    def refused(self, status, words, method, target, body=None):
        problem = self.server.must(status, method, target, body, wait=100)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, problem["detail"])
        self.assertTrue(problem["remedy"])
        return problem

    def create(self):
        return "POST", "/vms", {"name": "b", "image": "mini", **SHAPE}

    def all_well(self, vm="a"):
        """What was there is there, and all that can be done can be done."""
        self.server.run(vm, "sh", "-c", "test \"$(cat /root/kept)\" = precious")
        self.server.must(200, "POST", f"/vms/{vm}/pause", wait=60)
        self.server.must(200, "POST", f"/vms/{vm}/resume", wait=60)
        self.server.create("z")
        self.server.run("z", "true")
        for name in ("z", vm):
            self.server.delete(name)
        self.assertEqual([], self.server.names())
        self.assert_nothing_left()

    def precious(self, name="a", **fields):
        vm = self.server.create(name, **fields)
        self.server.run(name, "sh", "-c", "echo precious >/root/kept; sync")
        return vm

    def told(self, vm):
        """What checks have found, in order."""
        events = self.server.raw("GET", f"/events?follow=false&kind=vm.reconciled&target={vm['id']}", None,
                                 {"Accept": "application/x-ndjson"}).body
        return [json.loads(line)["data"]["found"] for line in events.splitlines() if line]

    def cpu_s(self):
        with open(f"/proc/{self.server.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Host(Faults):
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


class Storage(Faults):
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


class OwnDisk(Faults):
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


class Clock(Faults):
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


class Stopped(Faults):
    """A VMM that hangs, a guest that does not answer."""

    @contextlib.contextmanager
    def stopped(self, vm):
        pids = [pid for pid, line in self.server.vmms().items() if vm["id"] in line and "qemu" in line]
        self.assertEqual(1, len(pids))
        os.kill(pids[0], signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[0], signal.SIGCONT)


class Watched(Stopped):
    def test_a_monitor_that_hangs_is_told_once(self):
        vm = self.precious()
        with self.stopped(vm):
            wait_until(lambda: "does not answer" in self.server.must(200, "GET", "/vms/a").get("reason", ""),
                       "the hanging VMM is told", 40)
            self.assertEqual("running", self.server.state("a"))
            self.server.kill()
            self.server.start()
            self.assertIn("does not answer", self.server.must(200, "GET", "/vms/a")["reason"])
            time.sleep(3)
        wait_until(lambda: "reason" not in self.server.must(200, "GET", "/vms/a"), "it answers again", 40)
        self.assertEqual(["its VMM does not answer", "its VMM answers again"], self.told(vm))
        self.all_well()

    def test_a_guest_that_somebody_else_has_stopped(self):
        vm = self.precious()
        with socket.socket(socket.AF_UNIX) as qemu:
            qemu.connect(f"{self.home}/run/vm/{vm['id']}/qmp.sock")
            qemu.sendall(b'{"execute": "qmp_capabilities"}\n{"execute": "stop"}\n')
            with qemu.makefile("rb") as said:
                while b'"STOP"' not in said.readline():
                    pass
        wait_until(lambda: self.told(vm), "it is told", 40)
        self.server.run("a", "true", timeout_s=20)
        self.assertEqual(["its guest is not as it was told"], self.told(vm))
        self.all_well()


class Monitor(Stopped):
    config = ""

    def test_a_monitor_that_hangs(self):
        vm = self.precious()
        with self.stopped(vm):
            begun = time.monotonic()
            self.refused(504, "did not answer in time", "POST", "/vms/a/pause")
            self.assertLess(time.monotonic() - begun, 25)
            self.assertEqual("running", self.server.state("a"))
            # Others are not held up.
            self.server.create("b")
            self.server.delete("b")
        self.all_well()

    def swallow(self, vm, command):
        """Between server and QEMU: what it answers to the command is lost, once."""
        path = f"{self.home}/run/vm/{vm['id']}/qmp.sock"
        os.rename(path, f"{path}.real")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def serve():
            client, _ = listener.accept()
            listener.close()
            os.rename(f"{path}.real", path)
            with client, socket.socket(socket.AF_UNIX) as qemu:
                qemu.connect(path)
                to_client, to_qemu = client.makefile("wb", 0), qemu.makefile("wb", 0)
                from_client, from_qemu = client.makefile("rb"), qemu.makefile("rb")
                to_client.write(from_qemu.readline())
                for line in from_client:
                    to_qemu.write(line)
                    answer = from_qemu.readline()
                    while b'"event"' in answer:
                        answer = from_qemu.readline()
                    if command in line:
                        return
                    to_client.write(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join, 30)

    def test_a_monitor_whose_answer_is_lost(self):
        vm = self.precious()
        for command, method, target, body in ((b'"stop"', "POST", "/vms/a/pause", None),
                                              (b'"stop"', "POST", "/vms/a/snapshots", {})):
            with self.subTest(target=target):
                self.swallow(vm, command)
                reply = self.server.call(method, target, body, {"Prefer": "wait=60"})
                self.assertEqual(503, reply.status, reply)
                self.assertEqual("running", self.server.state("a"))
                # It has stopped, and is not left so.
                self.server.run("a", "true", timeout_s=20)
        self.assertEqual("paused", self.server.must(200, "POST", "/vms/a/pause", wait=60)["state"])
        self.swallow(vm, b'"cont"')
        self.assertEqual(503, self.server.call("POST", "/vms/a/resume", None, {"Prefer": "wait=60"}).status)
        self.assertEqual("paused", self.server.state("a"))
        self.server.must(200, "POST", "/vms/a/resume", wait=60)
        self.all_well()

    def test_a_monitor_that_hangs_is_adopted_and_killed(self):
        vm = self.precious()
        with self.stopped(vm):
            self.server.kill()
            begun = time.monotonic()
            self.server.start(timeout=20)
            self.assertLess(time.monotonic() - begun, 10, "a start does not wait for a VMM")
            self.assertEqual("running", self.server.state("a"))
        self.server.run("a", "true")
        with self.stopped(vm):
            self.assertEqual("stopped", self.server.must(200, "POST", "/vms/a/kill", wait=60)["state"])
        self.server.must(200, "POST", "/vms/a/start", wait=100)
        self.all_well()

    def test_a_guest_that_does_not_answer(self):
        vm = self.precious()
        with self.stopped(vm):
            begun = time.monotonic()
            problem = self.refused(504, "", "POST", "/vms/a/exec", {"argv": ["true"], "timeout_s": 2})
            self.assertLess(time.monotonic() - begun, 25, problem)
            begun = time.monotonic()
            self.server.must(200, "POST", "/vms/a/stop", wait=60)
            self.assertLess(time.monotonic() - begun, 40)
            self.assertEqual("stopped", self.server.state("a"))
            self.assertEqual("stopped on request; the guest did not power off within 15 s and was killed",
                             self.server.must(200, "GET", "/vms/a")["reason"])
        self.server.must(200, "POST", "/vms/a/start", wait=100)
        self.all_well()

    def test_a_stop_that_is_cancelled(self):
        vm = self.precious()
        with self.stopped(vm):
            accepted = self.server.must(202, "POST", "/vms/a/stop")
            wait_until(lambda: "guest" in [s["name"] for s in self.server.operation(accepted["id"])["stages"]], "it waits")
            self.server.call("DELETE", f"/operations/{accepted['id']}")
            self.assertEqual("cancelled", self.server.wait_operation(accepted["id"])["state"])
            shown = self.server.must(200, "GET", "/vms/a")
            self.assertEqual(("running", "running"), (shown["state"], shown["desired"]))
            self.assertIn("stop was cancelled", shown["reason"])
        # It has been asked, and does it.
        wait_until(lambda: self.server.state("a") == "stopped", "the guest is off", 60)
        self.assertEqual("the guest powered off", self.server.must(200, "GET", "/vms/a")["reason"])
        self.server.must(200, "POST", "/vms/a/start", wait=100)
        self.all_well()


class Ending(Faults):
    def test_sigterm_in_the_middle_of_creates(self):
        self.precious()
        pending = [self.server.must(202, "POST", "/vms", {"name": f"n{i}", "image": "mini", **SHAPE, "boot": boot})
                   for i, boot in enumerate(("cold", "auto", "cold"))]
        time.sleep(0.3)
        self.server.stop(30)
        self.server.start()
        for accepted in pending:
            operation = self.server.operation(accepted["id"])
            self.assertIn(operation["state"], ("succeeded", "failed", "cancelled"))
            if operation["state"] != "succeeded":
                self.assertTrue(operation["error"]["detail"])
        for name in set(self.server.names()) - {"a"}:
            wait_until(lambda name=name: self.server.state(name) in ("stopped", "failed", "running"),
                       f"{name} is not between two states", 60)
            self.server.delete(name)
        self.all_well()

    def test_sigterm_while_a_monitor_hangs(self):
        vm = self.precious()
        pid = next(pid for pid, line in self.server.vmms().items() if vm["id"] in line)
        os.kill(pid, signal.SIGSTOP)
        try:
            self.server.must(202, "POST", "/vms/a/pause")
            time.sleep(0.2)
            begun = time.monotonic()
            self.server.stop(30)
            self.assertLess(time.monotonic() - begun, 8)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.server.start()
        self.assertEqual("running", self.server.state("a"))
        self.all_well()


if __name__ == "__main__":
    if os.geteuid() == 0 and "BANGER_FAULTS_INSIDE" not in os.environ:
        os.environ["BANGER_FAULTS_INSIDE"] = "1"
        alone = ["unshare", "-m", "--propagation", "private"]
        # In a chroot / may be no mount point, and then no mount can be private: each is taken away at the end.
        if subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            os.execvp("unshare", [*alone, sys.executable, *sys.argv])
    unittest.main(verbosity=2)
