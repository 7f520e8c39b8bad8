# SPDX-License-Identifier: Apache-2.0
"""Limits of VMs by cgroup v2, for real: the server runs in a guest, whose kernel has every controller, in a cgroup that
was delegated to it; its VMs' monitor is a stub."""
import io
import json
import os
import shutil
import tarfile
import unittest

from harness import AGENT, BASE, SERVER, LifeTest, wait_until, with_libraries

CLI, STUB, DELEGATE = (os.environ[name] for name in ("BANGER_CLI", "BANGER_STUB_VMM", "BANGER_DELEGATE"))
CGROUP = "/sys/fs/cgroup/banger.service"
MIB = 1 << 20


class Limits(LifeTest):
    def setUp(self):
        super().setUp()
        self.server.start()
        self.server.create("host", memory_mib=384, disk_mib=4096, boot="cold")
        self.server.must(204, "PUT", "/vms/host/files/?tar=true", self.luggage(),
                         headers={"Content-Type": "application/x-tar"})
        self.begin()

    def luggage(self):
        """A home with kernel and image, the programs, and their libraries."""
        mke2fs = shutil.which("mke2fs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for name in ("images", "kernels", "state.db"):
                # The stub boots no kernel; that the file is there is enough.
                tar.add(f"{BASE}/home/state/{name}", f"root/home/state/{name}",
                        filter=lambda m: None if m.name.endswith("vmlinux") else m)
            for kernel in os.listdir(f"{BASE}/home/state/kernels"):
                tar.addfile(tarfile.TarInfo(f"root/home/state/kernels/{kernel}/vmlinux"))
            programs = {"root/bin/banger-server": SERVER, "root/bin/banger-agent": AGENT, "root/bin/banger": CLI,
                        "root/bin/banger-delegate": DELEGATE, "usr/bin/qemu-system-x86_64": STUB,
                        "usr/sbin/mke2fs": mke2fs}
            own = (SERVER, CLI, DELEGATE, STUB, mke2fs)
            libraries = {path: os.path.realpath(path) for path in with_libraries(*own) if path not in own}
            for target, file in {**programs, **libraries}.items():
                tar.add(file, target.lstrip("/"))
        return data.getvalue()

    def sh(self, script):
        return self.server.run("host", "sh", "-c", f"export PATH=$PATH:/root/bin BANGER_HOME=/root/home; {script}")

    def begin(self):
        self.sh(f"setsid banger-delegate {CGROUP} /root/bin/banger-server --home /root/home --no-tcp "
                "</dev/null >>/root/log 2>&1 & for i in $(seq 300); do banger vm list >/dev/null 2>&1 && exit; "
                "sleep 0.1; done; cat /root/log >&2; exit 1")

    def banger(self, *arguments):
        return json.loads(self.sh(f"banger {' '.join(arguments)} --json"))

    def create(self):
        return self.banger("vm create --name x --image mini --network none --vcpus 2 --memory 96 --disk 16 --boot cold")

    def of_vm(self, vm, file):
        return self.sh(f"cat {CGROUP}/vm-{vm['id']}/{file}").split()

    def groups(self):
        return self.sh(f"ls -d {CGROUP}/vm-* 2>/dev/null || true").split()

    def test_what_a_vm_may_take(self):
        vm = self.create()
        self.assertEqual("running", vm["state"])
        # Its processors and one more, its memory and what emulation takes beside it.
        self.assertEqual({"memory_bytes": (96 + 128 + 1024) * MIB, "cpu_percent": 300, "processes": 130}, vm["limits"])
        self.assertEqual([str(vm["limits"]["memory_bytes"])], self.of_vm(vm, "memory.max"))
        self.assertEqual(["300000", "100000"], self.of_vm(vm, "cpu.max"))
        self.assertEqual(["130"], self.of_vm(vm, "pids.max"))
        inside = self.of_vm(vm, "cgroup.procs")
        self.assertEqual(1, len(inside))
        self.assertIn("qemu-system-x86_64", self.sh(f"tr '\\0' ' ' </proc/{inside[0]}/cmdline"))
        rows = {row["name"]: row for row in self.banger("doctor")["checks"]}
        self.assertEqual("pass", rows["cgroups"]["status"], rows["cgroups"])
        # The kernel keeps to them: a shell that joins can't start so many, and ends by that.
        self.sh(f"sh -c 'echo $$ >{CGROUP}/vm-{vm['id']}/cgroup.procs; i=0; while [ $i -lt 300 ]; do sleep 100 & "
                "i=$((i+1)); done' >/dev/null 2>&1; true")
        self.assertLessEqual(int(self.of_vm(vm, "pids.current")[0]), 130)
        events = dict(zip(*[iter(self.of_vm(vm, "pids.events"))] * 2))
        self.assertGreater(int(events["max"]), 0, "nothing was refused")

    def test_a_restarted_server_finds_them_and_takes_them_away(self):
        vm = self.create()
        self.sh("kill -9 $(pidof banger-server)")
        self.begin()
        again = self.banger("vm show x")
        self.assertEqual(("running", vm["limits"]), (again["state"], again.get("limits")))
        self.sh("banger vm delete x")
        self.assertEqual([], self.groups())

    def test_a_monitor_that_needs_more_memory_than_it_may_have(self):
        vm = self.create()
        self.sh(f"echo 0 >{CGROUP}/vm-{vm['id']}/memory.max")
        seen = wait_until(lambda: (lambda v: v if v["state"] == "failed" else None)(self.banger("vm show x")),
                          "the VM is seen as failed", 30, 0.5)
        self.assertIn("more memory than its limit", seen["reason"])
        self.assertEqual([], self.groups())
        # With the limits of a new start.
        self.sh("banger vm start x")
        self.assertEqual([str(vm["limits"]["memory_bytes"])], self.of_vm(vm, "memory.max"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
