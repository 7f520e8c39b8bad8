# SPDX-License-Identifier: Apache-2.0
"""A server that can be told to fail: with faults.c before its libraries, and with limits of its process.

In each test of this kind something fails under a running server: what is asked for is refused in words, nothing is lost,
and all is well again when the fault is gone."""
import contextlib
import http.client
import json
import mmap
import os
import resource
import struct

from harness import SHAPE, LifeTest

READS, WRITES, SYNCS = 1, 2, 4
PLAN = struct.Struct("=iIqII64s")
SANITIZED = os.environ.get("BANGER_SANITIZED") == "1"
GONE = (OSError, http.client.HTTPException)


class FaultTest(LifeTest):
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
